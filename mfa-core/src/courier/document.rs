//! What the courier is told: one JSON document a message, on its standard input or in the spool. Written by
//! hand, since the module writes nothing else in JSON; `mfa-courier` reads it with serde.

use std::fmt::Write;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::record::Method;

/// The format's version.
pub const DOCUMENT_VERSION: u64 = 1;
/// Bytes of a document at most.
pub const MAX_DOCUMENT: usize = 16 * 1024;
/// Characters of a value from outside at most; what a message shows of it is shorter still.
const MAX_VALUE: usize = 256;

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A code that somebody asked for at a login.
    Code,
    /// A login that succeeded.
    Login,
    /// A failure on somebody's account; `drain` makes one digest of several.
    Failure,
    /// Failures of one user, bundled.
    Digest,
    /// An administrator changed a user's factors.
    Change,
    /// A trial message.
    Test,
    /// No message: connect, sign in, and leave again.
    Check,
    /// Nobody's message: read, and nothing is done. A login of somebody unknown starts a courier as well.
    Nothing,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Code,
        Self::Login,
        Self::Failure,
        Self::Digest,
        Self::Change,
        Self::Test,
        Self::Check,
        Self::Nothing,
    ];

    /// The name in documents, file names and templates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Login => "login",
            Self::Failure => "failure",
            Self::Digest => "digest",
            Self::Change => "change",
            Self::Test => "test",
            Self::Check => "check",
            Self::Nothing => "nothing",
        }
    }
}

/// One message, or what is to become part of one. What a kind does not need is empty.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`DOCUMENT_VERSION`].
    pub version: u64,
    /// What it is about.
    pub kind: Kind,
    /// 32 hexadecimal digits: the left part of the Message-ID, the same at every try.
    pub id: String,
    /// Seconds since the Unix epoch: when it happened.
    pub time: u64,
    /// How the message is to go out: never [`Method::App`].
    pub channel: Method,
    /// The recipient: an address of mail, Telegram's id of a user, or nothing.
    #[serde(default)]
    pub to: String,
    /// Further recipients of mail: the administrators of `[notices]`, each of whom gets a mail of their own.
    #[serde(default)]
    pub admins: Vec<String>,
    /// Whose account.
    #[serde(default)]
    pub user: String,
    /// This host's name.
    #[serde(default)]
    pub host: String,
    /// What the user's record calls this host.
    #[serde(default)]
    pub device: String,
    /// `PAM_SERVICE`.
    #[serde(default)]
    pub service: String,
    /// `PAM_RHOST`; empty at the machine itself.
    #[serde(default)]
    pub from: String,
    /// `PAM_TTY`.
    #[serde(default)]
    pub tty: String,
    /// What was used to log in: `app`, `email`, …
    #[serde(default)]
    pub method: String,
    /// The label of the app that was used, enrolled or removed.
    #[serde(default)]
    pub app: String,
    /// How many recovery codes are left, where one was used to log in.
    #[serde(default)]
    pub codes_left: Option<u64>,
    /// The name of the audit event: `bad_code`, `app_enrolled`, …
    #[serde(default)]
    pub event: String,
    /// What exactly an administrator changed.
    #[serde(default)]
    pub detail: String,
    /// Who changed it.
    #[serde(default)]
    pub actor: String,
    /// Name of the login attempt in the audit lines.
    #[serde(default)]
    pub login: String,
    /// Four characters that stand in the prompt and in the message alike.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// The code.
    #[serde(default)]
    pub code: Zeroizing<String>,
    /// Seconds that the code is good.
    #[serde(default)]
    pub lifetime: u64,
    /// How many failures there were ([`Kind::Digest`]).
    #[serde(default)]
    pub count: u64,
    /// Some failures may not have been counted: there was no room for all of them.
    #[serde(default)]
    pub is_incomplete: bool,
    /// Seconds since the Unix epoch: the last of several failures.
    #[serde(default)]
    pub until: u64,
    /// Where several failures came from, each address once.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What the failures were: names of events, each once.
    #[serde(default)]
    pub events: Vec<String>,
    /// Names of the spooled failures that a digest tells of.
    #[serde(default)]
    pub merges: Vec<String>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({}, {})", self.kind.as_str(), self.id)
    }
}

impl Document {
    /// A document that says nothing yet.
    #[must_use]
    pub fn new(kind: Kind, id: String, time: u64) -> Self {
        Self {
            version: DOCUMENT_VERSION,
            kind,
            id,
            time,
            channel: Method::Email,
            to: String::new(),
            admins: Vec::new(),
            user: String::new(),
            host: String::new(),
            device: String::new(),
            service: String::new(),
            from: String::new(),
            tty: String::new(),
            method: String::new(),
            app: String::new(),
            codes_left: None,
            event: String::new(),
            detail: String::new(),
            actor: String::new(),
            login: String::new(),
            reference: String::new(),
            code: Zeroizing::new(String::new()),
            lifetime: 0,
            count: 0,
            is_incomplete: false,
            until: 0,
            addresses: Vec::new(),
            events: Vec::new(),
            merges: Vec::new(),
        }
    }

    /// The JSON text, in one line. What is empty is left out.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        // Room for all at once: a string that grows leaves copies of the code behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_DOCUMENT));
        let _ = write!(
            text,
            "{{\"version\":{},\"kind\":\"{}\",\"time\":{},\"channel\":\"{}\"",
            self.version,
            self.kind.as_str(),
            self.time,
            self.channel.as_str(),
        );
        for (name, value) in [
            ("id", &self.id),
            ("to", &self.to),
            ("user", &self.user),
            ("host", &self.host),
            ("device", &self.device),
            ("service", &self.service),
            ("from", &self.from),
            ("tty", &self.tty),
            ("method", &self.method),
            ("app", &self.app),
            ("event", &self.event),
            ("detail", &self.detail),
            ("actor", &self.actor),
            ("login", &self.login),
            ("ref", &self.reference),
            ("code", &*self.code),
        ] {
            if !value.is_empty() {
                let _ = write!(text, ",\"{name}\":");
                push_string(&mut text, value);
            }
        }
        if let Some(left) = self.codes_left {
            let _ = write!(text, ",\"codes_left\":{left}");
        }
        for (name, value) in [
            ("lifetime", self.lifetime),
            ("count", self.count),
            ("until", self.until),
        ] {
            if value != 0 {
                let _ = write!(text, ",\"{name}\":{value}");
            }
        }
        if self.is_incomplete {
            text.push_str(",\"is_incomplete\":true");
        }
        for (name, values) in [
            ("admins", &self.admins),
            ("addresses", &self.addresses),
            ("events", &self.events),
            ("merges", &self.merges),
        ] {
            if !values.is_empty() {
                let _ = write!(text, ",\"{name}\":[");
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    push_string(&mut text, value);
                }
                text.push(']');
            }
        }
        text.push_str("}\n");
        text
    }
}

/// A JSON string (RFC 8259, 7), cut at [`MAX_VALUE`] characters.
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars().take(MAX_VALUE) {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text.push('"');
}
