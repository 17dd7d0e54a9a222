//! The values of `mfa.toml` as types that can't be wrong: each is checked when it is read, where the
//! error still knows its line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::Wrong;
use crate::document::node::{FromNode, Node};
use crate::record::EmailAddress;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// A default, checked when the program is compiled.
    #[must_use]
    pub(super) const fn fixed(value: u32) -> Self {
        assert!(MIN <= value && value <= MAX);
        Self(value)
    }

    /// A number that is in range.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if MIN <= value && value <= MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> FromNode for Count<MIN, MAX> {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let out_of_range = |number: i64| {
            format!("{number} is out of range; write a whole number from {MIN} to {MAX}")
        };
        let offset = node.span().start;
        let number = i64::from_node(node)?;
        u32::try_from(number)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| Wrong::at(offset, out_of_range(number)))
    }
}

/// A length of time from `MIN` to `MAX` seconds, written as `"30s"`, `"5m"`, `"1h"` or `"2d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<const MIN: u64, const MAX: u64>(Duration);

impl<const MIN: u64, const MAX: u64> Span<MIN, MAX> {
    pub(super) const fn seconds(seconds: u64) -> Self {
        assert!(MIN <= seconds && seconds <= MAX);
        Self(Duration::from_secs(seconds))
    }

    pub(super) const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// The length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// Seconds of `30s`, `5m`, `1h` or `2d`.
fn parse_span(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(factor)
}

impl<const MIN: u64, const MAX: u64> FromNode for Span<MIN, MAX> {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let Some(text) = node.get_ref().as_str() else {
            return Err(Wrong::of_type(
                &node,
                "a length of time in quotes, like \"5m\"",
            ));
        };
        match parse_span(text) {
            Some(seconds) if (MIN..=MAX).contains(&seconds) => {
                Ok(Self(Duration::from_secs(seconds)))
            }
            Some(_) => Err(Wrong::new(
                &node,
                format!(
                    "{text:?} is out of range; write a length of time from \"{MIN}s\" to \"{MAX}s\""
                ),
            )),
            None => Err(Wrong::new(
                &node,
                format!(
                    "{text:?} is no length of time; write a whole number and s, m, h or d, like \"5m\""
                ),
            )),
        }
    }
}

/// Declares a string type that is checked as it is read: `check` says what to write instead.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident($inner:ty), $check:expr, $instead:literal $(, hidden: $hidden:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name($inner);

        impl $name {
            #[allow(dead_code)] // not each of them has a default
            pub(super) fn fixed(value: &str) -> Self {
                Self(<$inner>::from(value))
            }
        }

        impl FromNode for $name {
            fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
                let Some(text) = node.get_ref().as_str() else {
                    return Err(Wrong::of_type(&node, "a text in quotes"));
                };
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(<$inner>::from(text)))
                } else {
                    let shown = if false $(|| $hidden)? {
                        // Somebody may have written the password itself here; this text is logged.
                        String::new()
                    } else {
                        format!("{text:?} ")
                    };
                    Err(Wrong::new(&node, format!("{shown}{}", $instead)))
                }
            }
        }
    };
}

macro_rules! as_str {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// An absolute path without `.` or `..`: what the folder walk of `secure_file` takes.
fn is_absolute(text: &str) -> bool {
    text.starts_with('/')
        && text.len() > 1
        && is_printable(text)
        && !text.split('/').any(|part| part == ".." || part == ".")
}

checked_string!(
    /// An absolute path without `..`.
    AbsolutePath(PathBuf), is_absolute,
    "is not an absolute path; write one that begins with / and has no . or .. in it"
);

impl AbsolutePath {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for AbsolutePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

checked_string!(
    /// An absolute path, or nothing.
    EmptyOrPath(PathBuf), |text| text.is_empty() || is_absolute(text),
    "is not an absolute path; write one that begins with /, or \"\" for none"
);

impl EmptyOrPath {
    /// The path, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        (!self.0.as_os_str().is_empty()).then_some(self.0.as_path())
    }
}

impl Default for EmptyOrPath {
    fn default() -> Self {
        Self::fixed("")
    }
}

checked_string!(
    /// What an app shows above the code; `%h` stands for the host's name. A colon would end it in the
    /// otpauth URI's label.
    Issuer(String), |text| !text.is_empty() && text.len() <= 64 && is_printable(text) && !text.contains(':'),
    "is no issuer; write 1 to 64 bytes without a colon or control characters"
);
as_str!(Issuer);

impl Default for Issuer {
    fn default() -> Self {
        Self::fixed("%h")
    }
}

checked_string!(
    /// Name of an account of the system.
    AccountName(String),
    |text| !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !text.starts_with('-'),
    "is no account name; write letters, digits, _, - or ., at most 32"
);
as_str!(AccountName);

checked_string!(
    /// Name of a file in a folder that another key names.
    FileName(String),
    |text| !text.is_empty() && text != "." && text != ".." && !text.contains('/') && is_printable(text),
    "this is no file name; write the name of a file in paths.credentials, without /",
    hidden: true
);
as_str!(FileName);

checked_string!(
    /// Text that says something.
    NonEmpty(String), |text| !text.is_empty() && is_printable(text),
    "says nothing; write a text without control characters"
);
as_str!(NonEmpty);

checked_string!(
    /// Who a mail is from: `alerts@example.com`, or `MFA <alerts@example.com>`.
    Sender(String),
    |text| {
        let (name, address) = split_sender(text);
        EmailAddress::parse(address).is_ok()
            && name.len() <= 128
            && !name.chars().any(|c| c.is_control() || "\"<>\\".contains(c))
    },
    "is no sender; write an address like alerts@example.com, or a name and <alerts@example.com>, without quotes"
);
as_str!(Sender);

impl Sender {
    /// The name; empty where there is only an address.
    #[must_use]
    pub fn name(&self) -> &str {
        split_sender(&self.0).0
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &str {
        split_sender(&self.0).1
    }
}

/// Name and address of `NAME <ADDRESS>`, or of an address alone.
fn split_sender(text: &str) -> (&str, &str) {
    text.strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'))
        .map_or(("", text.trim()), |(name, address)| (name.trim(), address))
}

/// TLS, but for what listens on this host itself: a token goes there.
fn is_base_url(text: &str) -> bool {
    let is_plain = is_printable(text) && !text.contains([' ', '@', '?', '#', '\\']);
    let is_local = text.strip_prefix("http://127.0.0.1").is_some_and(|rest| {
        let (port, _) = rest.split_once('/').unwrap_or((rest, ""));
        port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|p| p.parse::<u16>().is_ok())
    });
    let host = text.strip_prefix("https://").unwrap_or_default();
    is_plain && (is_local || !host.trim_start_matches('/').is_empty())
}

checked_string!(
    /// Base of an HTTP interface.
    Url(String),
    is_base_url,
    "is no base URL; write one that begins with https://"
);
as_str!(Url);

/// A program and its arguments, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl FromNode for CommandLine {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let offset = node.span().start;
        let words = Vec::<String>::from_node(node)?;
        match words.first() {
            Some(program) if !is_absolute(program) => Err(Wrong::at(
                offset,
                format!("{program:?} is not an absolute path; write one that begins with /"),
            )),
            _ => Ok(Self(words)),
        }
    }
}
