//! What became of a message: in one line and an exit code for whoever started the courier, and in one word for
//! those who search logs.

use std::fmt::Write;

use crate::channel::ChannelName;

/// Characters of a detail at most.
const MAX_DETAIL: usize = 200;

/// What is to be done about a message that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It may be accepted later.
    Retry,
    /// It never will be.
    Refused,
    /// Not before an administrator changed something.
    Config,
    /// The spool can't be changed: whatever is delivered would be delivered again and again.
    Spool,
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Refused => "refused",
            Self::Config => "config",
            Self::Spool => "spool",
        }
    }

    /// As sysexits.h has it: `EX_TEMPFAIL`, `EX_UNAVAILABLE`, `EX_CONFIG`, `EX_IOERR`.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Retry => 75,
            Self::Refused => 69,
            Self::Config => 78,
            Self::Spool => 74,
        }
    }
}

/// Declares the words that say why, so that each stands in one place.
macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Why a message was not accepted, in a word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Class { $($(#[$doc])* $variant,)* }

        impl Class {
            /// The word.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

classes! {
    /// The server's name was not found.
    Dns = "dns",
    /// Nobody listens there.
    ConnectionRefused = "connection_refused",
    /// There is no way there.
    Unroutable = "unroutable",
    /// It took longer than `[courier] deadline`.
    Timeout = "timeout",
    /// The connection ended in the middle.
    ConnectionLost = "connection_lost",
    /// The certificate is not valid any more, or not yet.
    CertificateExpired = "certificate_expired",
    /// The certificate was made by nobody whom this host trusts.
    CertificateUntrusted = "certificate_untrusted",
    /// The certificate is another host's.
    CertificateName = "certificate_name",
    /// TLS did not come about for another reason.
    Tls = "tls",
    /// The server does not offer STARTTLS.
    StarttlsMissing = "starttls_missing",
    /// Something came in the clear behind the answer to STARTTLS.
    StarttlsInjected = "starttls_injected",
    /// The server does not offer a way to sign in that may be used.
    AuthMissing = "auth_missing",
    /// User name and password, or token, are not the right ones.
    AuthRejected = "auth_rejected",
    /// 4xx and the like.
    Temporary = "temporary",
    /// 5xx and the like.
    Refused = "refused",
    /// The server says more than anybody would have to.
    TooMuch = "too_much",
    /// What the server says is not of the protocol.
    Protocol = "protocol",
    /// A password's or token's file is missing or unusable.
    Credential = "credential",
    /// There are no certificates to trust.
    CaFile = "ca_file",
    /// Telegram does not know the bot.
    Unauthorized = "unauthorized",
    /// Telegram wants to be left alone for a while.
    Busy = "busy",
    /// A program failed.
    Program = "program",
    /// The folder of the channel `file`.
    Folder = "folder",
    /// The channel is not set up.
    NotConfigured = "not_configured",
    /// There is no user to become.
    NoUser = "no_user",
    /// The user to become is root.
    UserIsRoot = "user_is_root",
    /// The spool's folders.
    Spool = "spool",
    /// `mfa.toml` can't be used.
    ConfigUnusable = "config_unusable",
    /// The document can't be used.
    Document = "document",
    /// A new passphrase is not good enough.
    Unfit = "unfit",
    /// The list of refused words can't be used.
    Words = "words",
    /// Privileges could not be given up.
    Privileges = "privileges",
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) ending: Ending,
    pub(crate) class: Class,
    /// At length; what must not be told is taken out when it is written.
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn retry(class: Class, detail: impl Into<String>) -> Self {
        Self::new(Ending::Retry, class, detail)
    }

    pub(crate) fn refused(class: Class, detail: impl Into<String>) -> Self {
        Self::new(Ending::Refused, class, detail)
    }

    pub(crate) fn config(class: Class, detail: impl Into<String>) -> Self {
        Self::new(Ending::Config, class, detail)
    }

    pub(crate) fn spool(detail: impl Into<String>) -> Self {
        Self::new(Ending::Spool, Class::Spool, detail)
    }

    fn new(ending: Ending, class: Class, detail: impl Into<String>) -> Self {
        Self {
            ending,
            class,
            detail: detail.into(),
        }
    }
}

/// What became of a message, and how it went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// None before it is known, or where nothing was to be sent.
    pub(crate) channel: Option<ChannelName>,
    /// What the other side said, or why not.
    pub(crate) result: Result<String, Failure>,
}

impl Report {
    pub(crate) fn failure(channel: Option<ChannelName>, failure: Failure) -> Self {
        Self {
            channel,
            result: Err(failure),
        }
    }

    /// There was nothing to be done.
    pub(crate) fn nothing() -> Self {
        Self {
            channel: None,
            result: Ok("nothing".to_owned()),
        }
    }

    /// The exit code that says the same as the line.
    pub(crate) fn exit_code(&self) -> u8 {
        self.result
            .as_ref()
            .map_or_else(|failure| failure.ending.exit_code(), |_| 0)
    }

    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        let channel = self.channel.map_or("-", ChannelName::word);
        let mut line = match &self.result {
            Ok(detail) => format!("accepted {channel} {}", tidy(detail)),
            Err(failure) => {
                let (ending, class) = (failure.ending.word(), failure.class.word());
                format!("{ending} {channel} {class} {}", tidy(&failure.detail))
            }
        };
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// A detail as it may be written anywhere: one line, not too long, and without addresses of mail.
pub(crate) fn tidy(detail: &str) -> String {
    let mut text = String::with_capacity(detail.len());
    for word in detail.split(|c: char| c.is_control() || c == ' ') {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(if word.contains('@') { "…" } else { word });
    }
    text.chars().take(MAX_DETAIL).collect()
}

/// What of another side's words may be repeated. Servers repeat what they were told: addresses, a subject with a code
/// in it, even a password. So numbers of four digits and more, long words and whatever is in `secrets` are left out.
pub(crate) fn quote(answer: &str, secrets: &[&str]) -> String {
    let mut text = String::new();
    for word in answer.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() || text.len() > MAX_DETAIL {
            continue;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let tells = digits >= 4
            || word.chars().count() > 24
            || word.contains('@')
            || secrets.iter().any(|secret| shares(word, secret));
        let _ = write!(text, "{}", if tells { "…" } else { word });
    }
    text
}

/// Whether a word gives away a secret, or a good part of it.
fn shares(word: &str, secret: &str) -> bool {
    let (word, secret) = (word.to_lowercase(), secret.to_lowercase());
    let is_part = |part: &str| part.len() >= 4 && (word.contains(part) || part.contains(&word));
    !secret.is_empty() && (word.contains(&secret) || secret.split_whitespace().any(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_has_no_address_in_it() {
        let detail = format!(
            "no\r\naccepted - \u{1b}[2J alice@example.com {}",
            "x".repeat(5000)
        );
        let report = Report::failure(
            Some(ChannelName::Smtp),
            Failure::refused(Class::Refused, detail),
        );
        let line = report.line();
        assert!(line.starts_with("refused smtp refused no"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.chars().count() < 240);
        assert!(!line.contains("alice") && !line.contains('\u{1b}'));
        assert_eq!(report.exit_code(), 69);
    }

    #[test]
    fn a_line_without_a_detail_ends_at_its_last_word() {
        let report = Report::nothing();
        assert_eq!(report.line(), "accepted - nothing\n");
        assert_eq!(report.exit_code(), 0);
        let report = Report::failure(None, Failure::config(Class::NoUser, ""));
        assert_eq!(report.line(), "config - no_user\n");
        assert_eq!(report.exit_code(), 78);
        let report = Report::failure(None, Failure::retry(Class::Dns, "x"));
        assert_eq!(report.exit_code(), 75);
    }

    #[test]
    fn what_a_server_repeats_of_a_secret_is_not_repeated() {
        let answer = "5.7.1 rejected: 493817 is your code, hunter2 is no Password for <alice@example.com>, \
                      AGFsaWNlAGh1bnRlcjIgaHVudGVyMg== see https://example.com/help";
        assert_eq!(
            quote(answer, &["hunter2", "493817"]),
            "5.7.1 rejected: … is your code, … is no Password for … … see https://example.com/help"
        );
        assert_eq!(quote("say Open Sesame", &["open sesame"]), "say … …");
        assert_eq!(
            quote("greylisted, come back\r\nlater", &[""]),
            "greylisted, come back later"
        );
    }
}
