//! Delivery in words: what this host delivers by, what kept a message from going out, and what to do about it.

use std::time::Duration;

use mfa_core::config::Config;
use mfa_core::courier::{Channels, Report, StartError};
use mfa_core::record::Method;
use mfa_core::secure_file::Problem;
use nix::unistd::User;

use crate::error::{Failure, Kind};
use crate::output::shown;

/// How much longer than its own deadline a courier is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// The courier's words for failures, what they mean, and what to do about it.
const EXPLANATIONS: &[(&str, &str, &str)] = &[
    (
        "dns",
        "the server's name was not found",
        "see `host` in `[courier.smtp]` of mfa.toml, and this host's name servers",
    ),
    (
        "connection_refused",
        "nobody listens at the server's port",
        "see `host` and `port` in `[courier.smtp]` of mfa.toml, and that the server runs",
    ),
    (
        "unroutable",
        "there is no way to the server",
        "see this host's network, and firewalls in between",
    ),
    (
        "timeout",
        "it was not done in time",
        "a firewall may drop what goes to that port; a slow server needs a longer `[courier] deadline`",
    ),
    (
        "connection_lost",
        "the connection ended in the middle",
        "try again; if it goes on, the server's log says why",
    ),
    (
        "certificate_expired",
        "the server's certificate is not valid now",
        "see this host's clock; else the server needs a new certificate",
    ),
    (
        "certificate_untrusted",
        "nobody whom this host trusts has signed the server's certificate",
        "name the file of your own authority as `ca_file`; for public servers install ca-certificates",
    ),
    (
        "certificate_name",
        "the server's certificate is another host's",
        "write as `host` in `[courier.smtp]` the name that the certificate carries",
    ),
    (
        "tls",
        "TLS did not come about",
        "port 465 goes with security = \"tls\", port 587 with \"starttls\"",
    ),
    (
        "starttls_missing",
        "the server offers no STARTTLS, and nothing is sent without TLS",
        "try port 465 with security = \"tls\"",
    ),
    (
        "starttls_injected",
        "somebody between here and the server slips in text before TLS begins",
        "use port 465 with security = \"tls\", and find out who that is",
    ),
    (
        "auth_missing",
        "the server offers no way to sign in that may be used",
        "see `auth` in `[courier.smtp]`; without a `username` the courier does not sign in",
    ),
    (
        "auth_rejected",
        "the server does not accept user name and password",
        "`mfa-admin credential set smtp-password`; Gmail wants an app password, not the account's own",
    ),
    (
        "temporary",
        "the other side can't take it now",
        "try again in a while",
    ),
    (
        "refused",
        "the other side refuses it",
        "see the address with `mfa-admin user show`, and `from` in `[courier.smtp]`",
    ),
    (
        "too_much",
        "who answers there is not what the configuration says",
        "see `host`, `port` and `security` in `[courier.smtp]`, or `api` in `[courier.telegram]`",
    ),
    (
        "protocol",
        "who answers there is not what the configuration says",
        "see `host`, `port` and `security` in `[courier.smtp]`, or `api` in `[courier.telegram]`",
    ),
    (
        "credential",
        "the password or token can't be used",
        "`mfa-admin credential set NAME` writes it anew; NAME is the file's",
    ),
    (
        "ca_file",
        "there are no certificates to trust",
        "see `ca_file` in `[courier.smtp]`; the courier's user has to be able to read it",
    ),
    (
        "unauthorized",
        "Telegram does not know the bot",
        "`mfa-admin credential set telegram-token`, with the token as BotFather shows it",
    ),
    (
        "busy",
        "Telegram wants to be left alone for a while",
        "try again after that time",
    ),
    (
        "program",
        "the program that is to deliver it failed",
        "run it as the courier's user and see what it says; exit 0 means delivered",
    ),
    (
        "spool",
        "the spool can't be changed",
        "see mount, space and owner of `[paths] spool`; `mfa-admin doctor` looks at it",
    ),
    (
        "folder",
        "the folder that mails are written to can't be used",
        "see `[courier.file]` of mfa.toml: the folder must be the courier's; codes need demo = true",
    ),
    (
        "not_configured",
        "the channel is not set up",
        "see `[courier]` of mfa.toml, then run `mfa-admin config check`",
    ),
    (
        "no_user",
        "there is no user for the courier to run as",
        "`mfa-admin init` makes it; `[courier] user` of mfa.toml names another one",
    ),
    (
        "user_is_root",
        "the courier is to run as root, and refuses",
        "name somebody without rights as `[courier] user` of mfa.toml",
    ),
    (
        "config_unusable",
        "the courier can't use the configuration",
        "run `mfa-admin config check`",
    ),
    (
        "document",
        "the courier does not understand what it was given",
        "see that mfa-admin, the module and the courier are of one release",
    ),
    (
        "unfit",
        "a new passphrase is not good enough",
        "see [passphrase] of mfa.toml; this is no answer to a message",
    ),
    (
        "words",
        "the list of refused words can't be used",
        "see `[passphrase] refused` of mfa.toml: a file of root's, at most 64 MiB",
    ),
    (
        "privileges",
        "the courier could not give up its privileges, and did nothing",
        "see `[courier] user` of mfa.toml, and what confines this session (containers, seccomp)",
    ),
    (
        "no_answer",
        "the courier ended without a word",
        "see the system's log; `mfa-admin doctor` checks the courier",
    ),
    // The parent's word for a courier that it had to end.
    (
        "ended",
        "the courier did not end by itself at its deadline",
        "see `[courier] deadline` of mfa.toml, and what the courier hangs on",
    ),
];

/// How long to wait for the courier's word.
pub(crate) fn patience(config: &Config) -> Duration {
    config.courier.deadline.get() + GRACE
}

/// What this host delivers by, which has to be something.
pub(crate) fn channels(config: &Config) -> Result<Channels, Failure> {
    let channels = Channels::of(config);
    if channels.any() {
        return Ok(channels);
    }
    Err(Failure::new(
        Kind::ConfigUnusable,
        "nothing is delivered on this host: mfa.toml sets up neither mail, nor Telegram, nor a command",
        "write `[courier.smtp]` with host, username and from, then run `mfa-admin credential set smtp-password`",
    ))
}

/// A method that this host does not deliver by.
pub(crate) fn not_set_up(method: Method) -> Failure {
    Failure::new(
        Kind::ConfigUnusable,
        format!("nothing is delivered by {} on this host", method.as_str()),
        format!("it needs {}", requirement(method)),
    )
}

/// What a method's codes need on the host.
pub(crate) fn requirement(method: Method) -> &'static str {
    match method {
        Method::App | Method::Token => "nothing",
        Method::Email => "`[courier.smtp]` in mfa.toml, or another `[courier] email`",
        Method::Telegram => "the bot's token: `mfa-admin credential set telegram-token`",
        Method::Command => "`[courier.command] run` in mfa.toml",
    }
}

/// The courier's account, without which nothing is delivered.
pub(crate) fn courier_user(config: &Config) -> Result<User, Failure> {
    let name = config.courier.user.as_str();
    let wrong = |message: String, hint: &str| Failure::new(Kind::ConfigUnusable, message, hint);
    match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => Err(wrong(
            format!("{name}, as whom the courier is to run, is root"),
            "name somebody without rights as `[courier] user` of mfa.toml",
        )),
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(wrong(
            format!("there is no user {name}, as whom the courier runs"),
            "`mfa-admin init` makes it; `[courier] user` of mfa.toml names another one",
        )),
        Err(errno) => Err(Failure::failed(
            format!(
                "the name service can't tell whether there is a user {name}: {}",
                errno.desc()
            ),
            "try again",
        )),
    }
}

/// Why no courier could be started.
pub(crate) fn not_started(error: &StartError) -> Failure {
    let hint = match error {
        StartError::Program(file) if file.problem == Problem::Missing => {
            "install mfa-courier there, or say where it is: `[paths] courier` of mfa.toml"
        }
        StartError::Program(_) => "mend that; nobody but root may be able to change the courier",
        StartError::System(_) => "see memory and the number of processes, then try again",
    };
    Failure::failed(error.to_string(), hint)
}

/// What the courier said, where it took the message.
pub(crate) fn accepted(report: Option<Report>) -> Result<Report, Failure> {
    let report = report.unwrap_or_else(|| Report {
        is_accepted: false,
        reason: "no_answer".to_owned(),
        detail: String::new(),
    });
    if report.is_accepted {
        Ok(report)
    } else {
        Err(undelivered(&report))
    }
}

/// Why a message did not go out.
fn undelivered(report: &Report) -> Failure {
    let (what, hint) = explanation(&report.reason).unwrap_or((
        "the message did not go out",
        "`mfa-admin doctor` tries the channels one by one",
    ));
    // What is said of a courier that had to be ended is about logins.
    let detail = Some(report.detail.as_str()).filter(|_| report.reason != "ended");
    let details: Vec<&str> = [Some(report.reason.as_str()), detail]
        .into_iter()
        .flatten()
        .map(|text| text.trim().trim_end_matches(':'))
        .filter(|text| !text.is_empty())
        .collect();
    let details = shown(&details.join(", "));
    Failure::failed(format!("{what} ({details})"), hint)
}

/// What the courier's word for a failure means, and what to do about it.
pub(crate) fn explanation(class: &str) -> Option<(&'static str, &'static str)> {
    EXPLANATIONS
        .iter()
        .find(|(word, _, _)| *word == class)
        .map(|(_, what, hint)| (*what, *hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of the courier's own list.
    fn classes() -> Vec<&'static str> {
        let source = include_str!("../../mfa-courier/src/report.rs");
        let (_, list) = source.split_once("\nclasses! {").unwrap();
        let (list, _) = list.split_once("\n}\n").unwrap();
        list.lines()
            .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""))
            .map(|(_, word)| word)
            .collect()
    }

    #[test]
    fn every_word_of_the_courier_is_explained_with_what_to_do() {
        let classes = classes();
        assert!(classes.len() > 25, "{classes:?}");
        // The last two stand for a courier that says nothing.
        for class in classes.into_iter().chain(["no_answer", "ended"]) {
            let (what, hint) = explanation(class).expect(class);
            assert!(!what.is_empty() && !hint.is_empty(), "{class}");
        }
    }

    #[test]
    fn a_word_that_nobody_knows_is_shown_and_cannot_move_the_cursor() {
        let report = Report::parse("refused smtp new_class 550\u{1b}[2J no").unwrap();
        let failure = undelivered(&report);
        assert_eq!(
            failure.message,
            "the message did not go out (new_class, smtp: 550\\u{1b}[2J no)"
        );
        assert!(failure.hint.contains("doctor"));
    }

    #[test]
    fn a_failure_says_in_words_what_the_courier_said_in_one() {
        let report = Report::parse("refused smtp auth_rejected 535 5.7.8 no").unwrap();
        let failure = undelivered(&report);
        assert_eq!(
            failure.message,
            "the server does not accept user name and password (auth_rejected, smtp: 535 5.7.8 no)"
        );
        assert!(failure.hint.contains("app password"));
        let bare = undelivered(&Report::parse("config - no_user").unwrap());
        assert!(bare.message.ends_with("(no_user, -)"), "{}", bare.message);
        assert!(
            accepted(None)
                .unwrap_err()
                .message
                .contains("without a word")
        );
        assert!(accepted(Report::parse("accepted smtp 250 ok")).is_ok());
    }
}
