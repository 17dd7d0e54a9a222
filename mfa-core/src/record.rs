//! The user record: what the administrator decides about a user. Changed by `mfa-admin` alone.

mod token;

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use toml::value::Datetime;
use zeroize::Zeroizing;

use crate::bypass::Bypass;
use crate::clock::rfc3339;
use crate::device::{AssignedDevice, DeviceId};
use crate::document::node::{FromNode, Node, from_keys, one_of};
use crate::document::{self, DocumentError, IgnoreUnknown, Wrong};
use crate::hex;
use crate::passphrase::PassphraseHash;
use crate::request::UserName;
use crate::seal::SealingKey;
pub use token::{MAX_REMOVED_TOKENS, RemovedToken, Token};

/// Authenticator apps and tokens of one user at most, together.
pub const MAX_APPS: usize = 8;
/// Devices of one user at most.
pub const MAX_DEVICES: usize = 64;
/// Recovery codes of one user at most.
pub const MAX_RECOVERY_CODES: usize = 16;

/// What may count as a second factor for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// An authenticator app.
    App,
    /// A code by e-mail.
    Email,
    /// A code by Telegram.
    Telegram,
    /// A code by the administrator's own command.
    Command,
    /// A hardware token that counts (HOTP).
    Token,
}

impl Method {
    /// The name in records, options and audit lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Email => "email",
            Self::Telegram => "telegram",
            Self::Command => "command",
            Self::Token => "token",
        }
    }

    const ALL: [Self; 5] = [
        Self::App,
        Self::Email,
        Self::Telegram,
        Self::Command,
        Self::Token,
    ];

    /// The method of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether its codes are made here and sent.
    #[must_use]
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Email | Self::Telegram | Self::Command)
    }
}

impl FromNode for Method {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        word(&node, &Self::ALL.map(|method| (method.as_str(), method)))
    }
}

/// The value of the word that stands there.
fn word<T: Copy>(node: &Node<'_>, words: &[(&str, T)]) -> Result<T, Wrong> {
    let found = node.get_ref().as_str();
    if let Some((_, value)) = words.iter().find(|(name, _)| Some(*name) == found) {
        return Ok(*value);
    }
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    let instead = one_of(&names);
    Err(match found {
        Some(other) => Wrong::new(node, format!("unknown value `{other}`; write {instead}")),
        None => Wrong::of_type(node, &instead),
    })
}

/// The hash of an app's HMAC (RFC 6238, 1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    /// HMAC-SHA-1, what every app understands.
    #[default]
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl Algorithm {
    /// The name in records, options and otpauth URIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The algorithm of a name, in upper or lower case, with or without the hyphen.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().replace('-', "").as_str() {
            "SHA1" => Some(Self::Sha1),
            "SHA256" => Some(Self::Sha256),
            "SHA512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl FromNode for Algorithm {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let all = [Self::Sha1, Self::Sha256, Self::Sha512];
        word(&node, &all.map(|algorithm| (algorithm.as_str(), algorithm)))
    }
}

/// Declares a type that is written as `$inner` and checked by `$check` when it is read.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident($inner:ty), shown: $is_shown:literal, $check:expr, $instead:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Takes a value that may stand in a record.
            ///
            /// # Errors
            ///
            /// What to write instead.
            pub fn parse(value: impl Into<$inner>) -> Result<Self, String> {
                let value = value.into();
                let check: fn(&$inner) -> bool = $check;
                if check(&value) {
                    return Ok(Self(value));
                }
                // Whole addresses stand in no log; this text can come to stand there.
                let shown = if $is_shown { format!("{value:?} ") } else { String::new() };
                Err(format!("{shown}{}", $instead))
            }

            /// The value.
            #[must_use]
            pub fn get(&self) -> &$inner {
                &self.0
            }
        }

        impl FromNode for $name {
            fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
                let offset = node.span().start;
                Self::parse(<$inner>::from_node(node)?).map_err(|message| Wrong::at(offset, message))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

checked!(
    /// What people call an app or a device.
    Label(String), shown: true, |text| !text.is_empty()
        && text.chars().count() <= 32
        && !text.chars().any(char::is_control),
    "is no label; write 1 to 32 characters, no control characters"
);

checked!(
    /// An address of mail.
    EmailAddress(String), shown: false, |text| is_address(text),
    "this is no e-mail address; write one like alice@example.com"
);

checked!(
    /// Digits of an app's codes (RFC 4226, 5.3).
    Digits(u8), shown: true, |digits| (6..=8).contains(digits),
    "digits are not possible; write 6, 7 or 8"
);

checked!(
    /// Seconds of an app's time step (RFC 6238, 4.1).
    Period(u16), shown: true, |seconds| (10..=300).contains(seconds),
    "seconds are no period; write 10 to 300, usually 30"
);

checked!(
    /// What names an app or a token in the login state: 8 hexadecimal digits, see [`AppId::of_secret`], [`AppId::of_token`].
    AppId(String), shown: true, |text| is_hex(text, 8),
    "is no id of an app; it is 8 hexadecimal digits, in lower case"
);

checked!(
    /// What names a set of recovery codes in the login state: 8 hexadecimal digits, random.
    SetId(String), shown: true, |text| is_hex(text, 8),
    "is no id of a set; it is 8 hexadecimal digits, in lower case"
);

checked!(
    /// The salt of a set of recovery codes: 16 bytes.
    Salt(String), shown: false, |text| is_hex(text, 32),
    "this is no salt of recovery codes; it is 32 hexadecimal digits, in lower case. Make new codes: `mfa-admin recovery generate`"
);

checked!(
    /// What is kept of a recovery code: 32 bytes of argon2id.
    CodeHash(String), shown: false, |text| is_hex(text, 64),
    "this is no hash of a recovery code; it is 64 hexadecimal digits, in lower case. Make new codes: `mfa-admin recovery generate`"
);

impl AppId {
    /// The id of a secret and its shape in the hands of one user: the same whenever it is enrolled, so that a step which was
    /// accepted stays used when an app is removed and enrolled again, or twice. Nobody without the key can
    /// tell the secret, or that two users have the same.
    #[must_use]
    pub fn of_secret(
        key: &SealingKey,
        user: &UserName,
        secret: &[u8],
        (algorithm, digits, period): (Algorithm, &Digits, &Period),
    ) -> Self {
        // No name contains a NUL. Steps of another length are other steps.
        let shape = format!("{user}\0{}\0{digits}\0{period}\0", algorithm.as_str());
        let mut data = Zeroizing::new(Vec::with_capacity(shape.len() + secret.len()));
        data.extend_from_slice(shape.as_bytes());
        data.extend_from_slice(secret);
        let [a, b, c, d, ..] = key.mac("app-id", &data);
        Self(hex::encode(&[a, b, c, d]))
    }
}

/// Lower case alone: ids and hashes are compared as they stand.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One `@`, nothing that a mail header or a command line could take for something else.
fn is_address(text: &str) -> bool {
    let allowed = |c: char| !c.is_control() && !c.is_whitespace() && !"<>()[],;:\\\"".contains(c);
    text.len() <= 254
        && !text.starts_with('-')
        && text.chars().all(allowed)
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

/// A host that a user may log in on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Which; `*` for any.
    pub id: AssignedDevice,
    /// What people call it.
    pub label: Label,
    /// Since when.
    pub assigned: Datetime,
}

/// An authenticator app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct App {
    /// What the login state calls it.
    pub id: AppId,
    /// What people call it.
    pub label: Label,
    /// The shared secret, sealed for this user and this app.
    pub secret: String,
    /// Hash.
    pub algorithm: Algorithm,
    /// Length of a code.
    pub digits: Digits,
    /// Length of a step, seconds.
    pub period: Period,
    /// Since when.
    pub enrolled: Datetime,
    /// No code of it lets in.
    #[serde(skip_serializing_if = "is_false")]
    pub disabled: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's way
fn is_false(value: &bool) -> bool {
    !value
}

impl App {
    /// What the secret is sealed for, besides the user.
    #[must_use]
    pub fn seal_purpose(id: &AppId) -> String {
        format!("app/{id}")
    }
}

/// A set of recovery codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Names the set: marks of another set in the login state don't count.
    pub set: SetId,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated: Option<Datetime>,
    /// Salt of all hashes.
    pub salt: Salt,
    /// What is kept of each code.
    pub hashes: Vec<CodeHash>,
}

/// A sealed text of a record.
#[derive(Debug)]
pub struct SealedText<'a> {
    /// What people call it.
    pub label: &'a str,
    /// What it is sealed for, besides the user.
    pub purpose: String,
    /// The text.
    pub text: &'a mut String,
}

/// What is kept of a passphrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptPassphrase {
    /// Its hash.
    pub hash: PassphraseHash,
    /// Since when it is this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Datetime>,
}

/// What the administrator decides about a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserRecord {
    version: u64,
    /// Whose.
    #[serde(serialize_with = "user_name")]
    pub user: UserName,
    /// Whether the user is on the approved list.
    pub approved: bool,
    /// Set by the first enrolment and never cleared: `nullok` no longer lets by.
    pub enrolled_once: bool,
    /// A reason, or nothing; beats everything else.
    pub suspended: String,
    /// What counts for this user.
    pub methods: Vec<Method>,
    /// Where mail goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// Telegram's id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telegram: Option<i64>,
    /// Where the user may log in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// With what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<App>,
    /// Hardware tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// Where removed tokens stood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed_tokens: Vec<RemovedToken>,
    /// Recovery codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// A passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<KeptPassphrase>,
    /// For how long no code is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass: Option<Bypass>,
}

fn user_name<S: Serializer>(user: &UserName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(user.as_str())
}

from_keys!(Device { id, label, assigned } or default {});
from_keys!(App { id, label, secret, algorithm, digits, period, enrolled } or default { disabled });
from_keys!(Recovery { set, salt, hashes = some_hashes } or default { generated });
from_keys!(KeptPassphrase { hash } or default { changed });
from_keys!(UserRecord
    { version, user = to_user_name, approved }
    or default {
        enrolled_once,
        suspended,
        methods,
        email,
        telegram,
        devices = at_most::<_, MAX_DEVICES>,
        apps = at_most::<_, MAX_APPS>,
        tokens = at_most::<_, MAX_APPS>,
        removed_tokens = at_most::<_, MAX_REMOVED_TOKENS>,
        recovery,
        passphrase,
        bypass,
    }
);

fn to_user_name(node: Node<'_>) -> Result<UserName, Wrong> {
    let offset = node.span().start;
    let name = String::from_node(node)?;
    UserName::parse(&name).ok_or_else(|| {
        let message = format!("{name:?} is no user name; write the one of this file");
        Wrong::at(offset, message)
    })
}

fn at_most<T: FromNode, const MAX: usize>(node: Node<'_>) -> Result<Vec<T>, Wrong> {
    let offset = node.span().start;
    let entries = Vec::from_node(node)?;
    if entries.len() > MAX {
        let message = format!(
            "{} entries are too many; write at most {MAX}",
            entries.len()
        );
        return Err(Wrong::at(offset, message));
    }
    Ok(entries)
}

fn some_hashes(node: Node<'_>) -> Result<Vec<CodeHash>, Wrong> {
    let offset = node.span().start;
    let hashes = at_most::<_, MAX_RECOVERY_CODES>(node)?;
    if hashes.is_empty() {
        let message =
            "a set without codes is none; remove [recovery], or write 1 to 16 hashes".to_owned();
        return Err(Wrong::at(offset, message));
    }
    Ok(hashes)
}

/// The moment as records write it.
#[must_use]
pub fn datetime(unix_seconds: u64) -> Datetime {
    // rfc3339 writes what TOML reads; the fallback is never taken.
    rfc3339(unix_seconds).parse().unwrap_or(Datetime {
        date: None,
        time: None,
        offset: None,
    })
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// The record.
    pub record: UserRecord,
    /// Whether it holds keys of a newer release, which writing would lose.
    pub has_ignored_keys: bool,
}

impl UserRecord {
    /// An approved user with nothing yet.
    #[must_use]
    pub fn new(user: UserName) -> Self {
        Self {
            version: document::VERSION,
            user,
            approved: true,
            enrolled_once: false,
            suspended: String::new(),
            methods: Vec::new(),
            email: None,
            telegram: None,
            devices: Vec::new(),
            apps: Vec::new(),
            tokens: Vec::new(),
            removed_tokens: Vec::new(),
            recovery: None,
            passphrase: None,
            bypass: None,
        }
    }

    /// Reads a record's file, which has to be this user's.
    ///
    /// # Errors
    ///
    /// What is wrong, by line and column.
    pub fn parse(
        bytes: &[u8],
        user: &UserName,
        ignore_unknown: &[String],
    ) -> Result<ReadRecord, DocumentError> {
        let read = document::read::<Self>(bytes, IgnoreUnknown::Listed(ignore_unknown))?;
        let record = read.value;
        let apps = record.apps.iter().map(|app| &app.id);
        let tokens = record.tokens.iter().map(|token| &token.id);
        let ids: Vec<&AppId> = apps.chain(tokens).collect();
        let mut numbered = ids.iter().enumerate();
        let has_twins = numbered.any(|(place, id)| ids.iter().take(place).any(|other| other == id));
        let message = if record.user != *user {
            format!(
                "the record is of {:?}; write `user = {:?}`",
                record.user.as_str(),
                user.as_str()
            )
        } else if has_twins {
            "two apps or tokens have the same id; remove one of them".to_owned()
        } else if ids.len() > MAX_APPS {
            "there are more than 8 apps and tokens; remove some of them".to_owned()
        } else {
            return Ok(ReadRecord {
                record,
                has_ignored_keys: read.has_ignored_keys,
            });
        };
        Err(DocumentError {
            line: 1,
            column: 1,
            message,
        })
    }

    /// The text of the record's file.
    ///
    /// # Errors
    ///
    /// The record can't be written as TOML (never seen).
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Whether the user may log in on a host.
    #[must_use]
    pub fn is_assigned_to(&self, device: DeviceId) -> bool {
        self.devices
            .iter()
            .any(|assigned| assigned.id.includes(device))
    }

    /// Where codes of a method go: an address of mail, Telegram's id of the user, or nothing more than
    /// the user's name for the administrator's own program. `None`: nowhere.
    #[must_use]
    pub fn address_for(&self, method: Method) -> Option<String> {
        match method {
            Method::App | Method::Token => None,
            Method::Email => self.email.as_ref().map(ToString::to_string),
            Method::Telegram => self.telegram.map(|id| id.to_string()),
            Method::Command => Some(String::new()),
        }
    }

    /// Every sealed text of the record.
    pub fn sealed_texts(&mut self) -> impl Iterator<Item = SealedText<'_>> {
        let apps = self.apps.iter_mut().map(|app| SealedText {
            label: app.label.get(),
            purpose: App::seal_purpose(&app.id),
            text: &mut app.secret,
        });
        let tokens = self.tokens.iter_mut().map(|token| SealedText {
            label: token.label.get(),
            purpose: Token::seal_purpose(&token.id),
            text: &mut token.secret,
        });
        apps.chain(tokens)
    }

    /// Whether an app code could ever let this user in.
    #[must_use]
    pub fn has_usable_app(&self) -> bool {
        self.methods.contains(&Method::App) && self.apps.iter().any(|app| !app.disabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
version = 1
user = "alice"
approved = true
enrolled_once = true
suspended = ""
methods = ["app", "email"]
email = "alice@example.com"
telegram = 123456789
[[devices]]
id = "1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31"
label = "bastion-1"
assigned = 2026-11-20T09:00:00Z
[[apps]]
id = "5f0c2a91"
label = "phone"
secret = "sealed:1:…"
algorithm = "SHA1"
digits = 6
period = 30
enrolled = 2026-11-20T09:00:00Z
[recovery]
set = "c41d77e0"
generated = 2026-11-20T09:00:00Z
salt = "00112233445566778899aabbccddeeff"
hashes = ["00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"]
"#;

    fn alice() -> UserName {
        UserName::parse("alice").unwrap()
    }

    fn error(text: &str) -> String {
        UserRecord::parse(text.as_bytes(), &alice(), &[])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_record_survives_its_file() {
        let record = UserRecord::parse(EXAMPLE.as_bytes(), &alice(), &[])
            .unwrap()
            .record;
        let text = record.to_text().unwrap();
        assert_eq!(
            UserRecord::parse(text.as_bytes(), &alice(), &[])
                .unwrap()
                .record,
            record
        );
        let fresh = UserRecord::new(alice());
        let text = fresh.to_text().unwrap();
        assert_eq!(
            UserRecord::parse(text.as_bytes(), &alice(), &[])
                .unwrap()
                .record,
            fresh
        );
    }

    #[test]
    fn what_a_record_may_not_say_is_named_by_line() {
        for (from, to, expected) in [
            (
                "\"alice\"",
                "\"bob\"",
                "1:1: the record is of \"bob\"; write `user = \"alice\"`",
            ),
            (
                "digits = 6",
                "digits = 10",
                "19:10: 10 digits are not possible; write 6, 7 or 8",
            ),
            (
                "period = 30",
                "period = 0",
                "20:10: 0 seconds are no period; write 10 to 300, usually 30",
            ),
            (
                "\"5f0c2a91\"",
                "\"../../x\"",
                "15:6: \"../../x\" is no id of an app; it is 8 hexadecimal digits, in lower case",
            ),
            (
                "id = \"1b9d",
                "id = \"zb9d",
                "11:6: \"zb9d6bcd4f7a4b0e9a4c1c2a5d0e7f31\" is no device id; write the 32 digits that `mfa-admin device id` prints, or \"*\"",
            ),
            (
                "approved = true",
                "aproved = true",
                "4:1: unknown key `aproved`; write one of `version`, `user`, `approved`, `enrolled_once`, `suspended`, `methods`, `email`, `telegram`, `devices`, `apps`, `tokens`, `removed_tokens`, `recovery`, `passphrase`, `bypass`, or name it in `ignore_unknown` of mfa.toml",
            ),
        ] {
            assert!(EXAMPLE.contains(from));
            assert_eq!(error(&EXAMPLE.replace(from, to)), expected);
        }
        assert!(
            error(&EXAMPLE.replace("approved = true\n", "approved = true\napproved = true\n"))
                .contains("duplicate key")
        );
    }

    #[test]
    fn broken_recovery_codes_are_named_by_line_and_never_shown() {
        let hash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let salt = "salt = \"00112233445566778899aabbccddeeff\"";
        for (from, to, expected) in [
            (
                "\"c41d77e0\"",
                "\"c41d77e\"",
                "23:7: \"c41d77e\" is no id of a set; it is 8 hexadecimal digits, in lower case",
            ),
            (
                "\"c41d77e0\"",
                "\"../x.txt\"",
                "23:7: \"../x.txt\" is no id of a set",
            ),
            (
                salt,
                "salt = \"\"",
                "25:8: this is no salt of recovery codes; it is 32 hexadecimal digits",
            ),
            (
                salt,
                "salt = \"00112233445566778899aabbccddeefg\"",
                "25:8: this is no salt",
            ),
            (salt, "salt = 7", "25:8: "),
            (salt, "", "22:1: `salt` is missing"),
            (
                hash,
                "0011",
                "26:11: this is no hash of a recovery code; it is 64 hexadecimal digits",
            ),
            // What is compared as text is written in one way.
            (
                "\"c41d77e0\"",
                "\"C41D77E0\"",
                "23:7: \"C41D77E0\" is no id of a set",
            ),
            (
                salt,
                "salt = \"00112233445566778899AABBCCDDEEFF\"",
                "25:8: this is no salt",
            ),
            (hash, &hash.to_uppercase(), "26:11: this is no hash"),
            (hash, &"é".repeat(32), "26:11: this is no hash"),
            (hash, &"0".repeat(60_000), "26:11: this is no hash"),
            (
                &format!("[\"{hash}\"]"),
                "[]",
                "26:10: a set without codes is none",
            ),
            (
                &format!("[\"{hash}\"]"),
                &format!("\"{hash}\""),
                "26:10: a text can't stand here; write a list in [ ]",
            ),
            ("generated = 2026", "generated = 0", "24:"),
            (
                "[recovery]",
                "[recovery]\ncolour = 1",
                "23:1: unknown key `colour`",
            ),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = error(&EXAMPLE.replace(from, to));
            assert!(error.starts_with(expected), "{expected}: {error}");
            assert!(!error.contains("ddeeff"), "{error}");
        }
        let many = |count| {
            let hashes = vec![format!("\"{hash}\""); count].join(", ");
            EXAMPLE.replace(&format!("[\"{hash}\"]"), &format!("[{hashes}]"))
        };
        assert!(error(&many(17)).contains("17 entries are too many; write at most 16"));
        let most = many(16);
        let most = UserRecord::parse(most.as_bytes(), &alice(), &[])
            .unwrap()
            .record;
        assert_eq!(most.recovery.unwrap().hashes.len(), MAX_RECOVERY_CODES);
        // When they were made need not be said.
        let without = EXAMPLE.replace("generated = 2026-11-20T09:00:00Z\n", "");
        UserRecord::parse(without.as_bytes(), &alice(), &[]).unwrap();
    }

    #[test]
    fn the_caps_hold_on_reading() {
        let app = EXAMPLE
            .split("[[apps]]")
            .nth(1)
            .unwrap()
            .split("[recovery]")
            .next()
            .unwrap();
        let mut text = EXAMPLE.split("[[apps]]").next().unwrap().to_owned();
        for number in 0..=MAX_APPS {
            text.push_str("[[apps]]");
            text.push_str(&app.replace("5f0c2a91", &format!("0000000{number}")));
        }
        assert!(
            error(&text).contains("9 entries are too many; write at most 8"),
            "{}",
            error(&text)
        );
        let twice = format!(
            "{}[[apps]]{app}[[apps]]{app}",
            EXAMPLE.split("[[apps]]").next().unwrap()
        );
        assert!(error(&twice).contains("two apps or tokens have the same id"));
    }

    #[test]
    fn a_secret_has_one_id_for_one_user_and_shape() {
        let key = SealingKey::generate().unwrap();
        let six = Digits::parse(6).unwrap();
        let (half, whole) = (
            Period::parse(30_u16).unwrap(),
            Period::parse(60_u16).unwrap(),
        );
        let id = |user: &str, secret: &[u8], period| {
            let user = UserName::parse(user).unwrap();
            AppId::of_secret(&key, &user, secret, (Algorithm::Sha1, &six, period))
        };
        let first = id("alice", b"12345678901234567890", &half);
        assert_eq!(first, id("alice", b"12345678901234567890", &half));
        assert_ne!(first, id("alicf", b"12345678901234567890", &half));
        assert_ne!(first, id("alice", b"12345678901234567891", &half));
        assert_ne!(first, id("alice", b"12345678901234567890", &whole));
    }

    #[test]
    fn addresses_that_something_else_could_take_for_an_option_or_a_header_are_refused() {
        assert!(EmailAddress::parse("alice+mfa@example.com").is_ok());
        for text in [
            "-oX@x",
            "alice",
            "@x",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\nBcc: c",
            "<a@b>",
            "\"a\"@b",
            "a@b,c@d",
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_of_a_newer_release_can_be_passed_over_and_is_remembered() {
        let text = EXAMPLE.replace("[[apps]]", "[[apps]]\ncolour = \"red\"");
        assert!(error(&text).contains("unknown key `colour`"));
        let read =
            UserRecord::parse(text.as_bytes(), &alice(), &["apps.colour".to_owned()]).unwrap();
        assert!(read.has_ignored_keys);
    }
}
