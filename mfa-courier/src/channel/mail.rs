//! A message of mail: headers, plain text and HTML (RFC 5322, RFC 2046).

use std::time::{Duration, UNIX_EPOCH};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use mfa_core::config::Config;
use mfa_core::courier::Document;
use mfa_core::message::Composed;
use zeroize::Zeroizing;

use crate::report::{Class, Failure};

/// The last second of the year 9999, which is as far as a `Date` header goes.
const LAST_SECOND: u64 = 253_402_300_799;
/// Characters of a subject at most: one without blanks can't be folded, and no line may be longer than 998 bytes.
const MAX_SUBJECT: usize = 200;

/// Who mails are from.
pub(super) struct Sender {
    mailbox: Mailbox,
}

impl Sender {
    /// `[courier.smtp] from`; without that section the courier's own user at this host.
    pub(super) fn of(config: &Config, host: &str) -> Result<Self, Failure> {
        let (name, address) = match &config.courier.smtp {
            Some(smtp) => (smtp.from.name(), smtp.from.address().to_owned()),
            None => ("", format!("{}@{host}", config.courier.user.as_str())),
        };
        let address = address.parse::<Address>().map_err(|error| {
            let detail = format!("[courier.smtp] from can't be used as a sender: {error}");
            Failure::config(Class::ConfigUnusable, detail)
        })?;
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Self {
            mailbox: Mailbox::new(name, address),
        })
    }
}

/// A message that is ready to go.
pub(super) struct Mail {
    id: String,
    from: Address,
    to: Address,
    text: Zeroizing<Vec<u8>>,
}

impl Mail {
    /// Puts a message together; the same document gives the same Message-ID.
    pub(super) fn new(
        document: &Document,
        composed: &Composed,
        sender: &Sender,
        host: &str,
    ) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::refused(Class::Document, what.to_owned());
        let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if document.id.is_empty() || document.id.len() > 64 || !document.id.chars().all(is_id) {
            return Err(wrong("its id is not made of hexadecimal digits"));
        }
        let to = document
            .to
            .parse::<Address>()
            .map_err(|_| wrong("its recipient is no address of mail"))?;
        // Others take a server that knows SMTPUTF8, which one can't count on.
        if !AsRef::<str>::as_ref(&to).is_ascii() {
            return Err(wrong("its recipient is no address in ASCII"));
        }
        let id = format!("{}@{host}", document.id);
        let date = UNIX_EPOCH + Duration::from_secs(document.time.min(LAST_SECOND));
        let message = Message::builder()
            .from(sender.mailbox.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(
                composed
                    .subject
                    .chars()
                    .take(MAX_SUBJECT)
                    .collect::<String>(),
            )
            .date(date)
            .message_id(Some(format!("<{id}>")))
            // RFC 3834: no answers from people who are away.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(MultiPart::alternative_plain_html(
                composed.text.clone(),
                composed.html.clone(),
            ))
            .map_err(|error| wrong(&format!("no message can be made of it: {error}")))?;
        Ok(Self {
            id,
            from: sender.mailbox.email.clone(),
            to,
            text: Zeroizing::new(message.formatted()),
        })
    }

    /// The Message-ID without its angle brackets.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The envelope's sender.
    pub(super) fn from(&self) -> &str {
        self.from.as_ref()
    }

    /// The one recipient.
    pub(super) fn to(&self) -> &str {
        self.to.as_ref()
    }

    /// The envelope: sender and recipient.
    pub(super) fn envelope(&self) -> (Address, Address) {
        (self.from.clone(), self.to.clone())
    }

    /// The message.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// This host's name where it is one that mail can carry, else `localhost`.
pub(crate) fn mail_host() -> String {
    Some(mfa_core::host::name())
        .filter(|name| is_domain(name))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// A domain as RFC 5321, 4.1.2 has it.
pub(super) fn is_domain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use mfa_core::courier::Kind;

    use super::*;

    fn sender() -> Sender {
        let text =
            b"version = 1\n[courier.smtp]\nhost = \"h\"\nfrom = \"MFA <alerts@example.com>\"\n";
        Sender::of(&Config::parse(text).unwrap(), "host").unwrap()
    }

    fn document() -> Document {
        let mut document = Document::new(Kind::Test, "ab".repeat(16), 1_795_168_800);
        document.to = "alice@example.com".to_owned();
        document
    }

    fn headers(mail: &Mail) -> Vec<String> {
        let text = std::str::from_utf8(mail.text()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        head.replace("\r\n ", " ")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_message_says_who_when_and_what_under_the_same_id_every_time() {
        let composed = Composed {
            subject: "Hello".to_owned(),
            text: "Grüße\n.\nend".to_owned(),
            html: "<p>Grüße</p>".to_owned(),
        };
        let mail = Mail::new(&document(), &composed, &sender(), "host.example").unwrap();
        let headers = headers(&mail);
        for line in [
            "From: MFA <alerts@example.com>",
            "To: alice@example.com",
            "Subject: Hello",
            "Date: Fri, 20 Nov 2026 10:00:00 +0000",
            "Message-ID: <abababababababababababababababab@host.example>",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(
                headers.iter().any(|header| header == line),
                "{line}: {headers:?}"
            );
        }
        let text = String::from_utf8(mail.text().to_vec()).unwrap();
        assert!(text.is_ascii());
        assert!(text.contains("multipart/alternative"));
        assert!(
            text.contains("text/plain; charset=utf-8") && text.contains("text/html; charset=utf-8")
        );
    }

    #[test]
    fn a_subject_with_line_breaks_adds_no_header() {
        let plain = Composed {
            subject: "x".to_owned(),
            text: String::new(),
            html: String::new(),
        };
        let expected = headers(&Mail::new(&document(), &plain, &sender(), "h").unwrap()).len();
        for subject in [
            "a\r\nBcc: eve@example.com".to_owned(),
            "a\r\n\r\nbody".to_owned(),
            ".\r\n.\r\n".to_owned(),
            "é".repeat(4096),
            "x".repeat(4096),
        ] {
            let composed = Composed {
                subject,
                text: ".\r\n".repeat(2000),
                html: String::new(),
            };
            let mail = Mail::new(&document(), &composed, &sender(), "h").unwrap();
            assert_eq!(headers(&mail).len(), expected, "{:?}", headers(&mail));
            let text = std::str::from_utf8(mail.text()).unwrap();
            assert!(!text.contains("\r\nBcc:"));
            assert!(text.lines().all(|line| line.len() <= 998));
        }
    }

    #[test]
    fn what_is_no_address_is_no_recipient() {
        let composed = Composed {
            subject: String::new(),
            text: String::new(),
            html: String::new(),
        };
        for to in [
            "",
            "alice",
            "a@b\r\nBcc: c@d",
            "a@b c",
            "-oX",
            "<a@b>",
            "a@b, c@d",
            "jörg@example.com",
        ] {
            let mut document = document();
            document.to = to.to_owned();
            let failure = Mail::new(&document, &composed, &sender(), "h")
                .err()
                .unwrap();
            assert_eq!(failure.class, Class::Document, "{to:?}");
            assert!(!failure.detail.contains(to) || to.is_empty());
        }
        let mut document = document();
        document.id = "../../x".to_owned();
        assert!(Mail::new(&document, &composed, &sender(), "h").is_err());
    }

    #[test]
    fn a_host_without_a_usable_name_is_localhost() {
        assert!(is_domain("host") && is_domain("a-b.example.com"));
        for name in [
            "",
            "a..b",
            "a_b",
            "-a",
            "a-",
            "a b",
            "ä",
            ".",
            &"x".repeat(64),
        ] {
            assert!(!is_domain(name), "{name}");
        }
    }
}
