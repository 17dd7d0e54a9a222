//! What the names of files in the spool say. Names are all that root looks at there, so they carry what is needed
//! to count, to list and to bundle.

use std::ffi::OsStr;
use std::fmt;

use super::{Document, Kind};
use crate::request::UserName;

/// What parts the parts of a name; no part has it in it.
const PART: char = '~';
/// Begins a name that only says when a user was last told of failures.
const SENT: &str = "sent";

/// A file in the spool, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolName {
    /// `KIND~USER~ID`: a new notice; in `deferred/` a failure that waits for its digest, or a digest that is still
    /// to be parted among its recipients.
    Notice(NoticeName),
    /// `NEXT~TRIES~KIND~USER~ID`: a notice that waits for its next try.
    Waiting(WaitingName),
    /// `sent~USER`: when a user, as in file names, was last told of failures.
    Sent(String),
}

/// The name of a notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoticeName {
    /// What it is about.
    pub kind: Kind,
    /// The user as in file names; may be empty.
    pub user: String,
    /// The document's id; with a number behind it where there are several recipients.
    pub id: String,
}

/// The name of a notice that waits for its next try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingName {
    /// When that is, seconds since the Unix epoch.
    pub next: u64,
    /// How often it was tried.
    pub tries: u32,
    /// The notice's own name.
    pub notice: NoticeName,
}

impl SpoolName {
    /// What a name says; `None` for one that nobody of ours gave.
    #[must_use]
    pub fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        if let Some(notice) = NoticeName::parse(name) {
            return Some(Self::Notice(notice));
        }
        let (first, rest) = name.split_once(PART)?;
        if first == SENT {
            return (!rest.contains(PART)).then(|| Self::Sent(rest.to_owned()));
        }
        let (tries, notice) = rest.split_once(PART)?;
        Some(Self::Waiting(WaitingName {
            next: first.parse().ok()?,
            tries: tries.parse().ok()?,
            notice: NoticeName::parse(notice)?,
        }))
    }
}

impl NoticeName {
    /// Takes `KIND~USER~ID`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(PART);
        let (kind, user, id) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let (digits, part) = id.split_once('-').unwrap_or((id, "0"));
        let is_id = digits.len() == 32
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            && (1..=7).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_user = user.is_empty() || UserName::from_file_name(user).is_some();
        (parts.next().is_none() && is_id && is_user).then(|| Self {
            kind,
            user: user.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The name of a document.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        let user = UserName::parse(&document.user);
        Self {
            kind: document.kind,
            user: user.map_or(String::new(), |user| user.file_name().to_owned()),
            id: document.id.clone(),
        }
    }
}

impl fmt::Display for NoticeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, user, id } = self;
        write!(f, "{}{PART}{user}{PART}{id}", kind.as_str())
    }
}

impl fmt::Display for WaitingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            next,
            tries,
            notice,
        } = self;
        write!(f, "{next}{PART}{tries}{PART}{notice}")
    }
}

/// The name of the file that says when a user, as in file names, was last told of failures.
#[must_use]
pub fn sent_name(user: &str) -> String {
    format!("{SENT}{PART}{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn parse(name: &str) -> Option<SpoolName> {
        SpoolName::parse(OsStr::new(&name.replace("ID", ID)))
    }

    #[test]
    fn a_name_tells_kind_user_tries_and_the_next_try() {
        for name in [
            "login~alice~ID",
            "change~%5Ao%C3%AB~ID",
            "failure~~ID",
            "digest~alice~ID-12",
        ] {
            let Some(SpoolName::Notice(notice)) = parse(name) else {
                panic!("{name}");
            };
            assert_eq!(notice.to_string(), name.replace("ID", ID));
        }
        let Some(SpoolName::Waiting(waiting)) = parse("1795000000~3~digest~alice~ID-2") else {
            panic!("a notice that waits");
        };
        assert_eq!((waiting.next, waiting.tries), (1_795_000_000, 3));
        assert_eq!(waiting.notice.kind, Kind::Digest);
        assert_eq!(
            waiting.to_string(),
            format!("1795000000~3~digest~alice~{ID}-2")
        );
        for user in ["alice", ""] {
            assert_eq!(
                parse(&sent_name(user)),
                Some(SpoolName::Sent(user.to_owned()))
            );
        }
    }

    #[test]
    fn other_names_are_none_of_ours() {
        for name in [
            "",
            "x",
            "~~",
            "sent",
            "sent~a~b",
            "login~alice",
            "login~alice~",
            "login~alice~0123",
            "login~alice~ID~7",
            "~alice~ID",
            "Login~alice~ID",
            "login~Alice~ID",
            "login~alice~ID\u{1b}",
            "login~alice~ID-",
            "login~alice~ID-x",
            "login~alice~ID-12345678",
            "x~2~login~alice~ID",
            "1~-2~login~alice~ID",
            "-1~0~login~alice~ID",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_document_has_its_name() {
        let mut document = Document::new(Kind::Login, ID.to_owned(), 1);
        document.user = "../Zo\u{eb}".to_owned();
        let name = NoticeName::of(&document);
        assert_eq!(name.to_string(), format!("login~%2E.%2F%5Ao%C3%AB~{ID}"));
        assert_eq!(NoticeName::parse(&name.to_string()), Some(name));
    }
}
