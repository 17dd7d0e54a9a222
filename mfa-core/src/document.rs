//! TOML documents that carry a version: configuration, records and states are all read here, so that
//! a newer release's file, an unknown key and a typing error are refused alike, by line and column.

pub(crate) mod node;

use std::fmt;

use node::FromNode;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The version that this release reads and writes.
pub const VERSION: u64 = 1;

/// What is wrong in a document, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// `what is wrong; write … instead`.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for DocumentError {}

/// Which keys may be unknown.
#[derive(Clone, Copy, Debug)]
pub enum IgnoreUnknown<'a> {
    /// The document names them itself, under `ignore_unknown` (mfa.toml).
    Own,
    /// These, as dotted paths; an array is passed through without an index (`apps.colour`).
    Listed(&'a [String]),
}

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// What it says.
    pub value: T,
    /// Whether keys were left out that only a newer release understands.
    pub has_ignored_keys: bool,
}

/// What is wrong at a place of a document.
pub(crate) struct Wrong {
    /// Bytes from the beginning of the text.
    pub(crate) offset: usize,
    /// `what is wrong; write … instead`.
    pub(crate) message: String,
    /// It is a key that nobody knows, and stands at that place.
    pub(crate) is_unknown_key: bool,
}

/// Reads a document of this release's version. A key that may be unknown is left out where `T` does not know it,
/// and only then: a listed key of this release counts as always.
///
/// # Errors
///
/// Not UTF-8, not TOML, a missing or newer version, an unknown or duplicate key, a wrong value.
pub(crate) fn read<T: FromNode>(
    bytes: &[u8],
    ignore: IgnoreUnknown<'_>,
) -> Result<Read<T>, DocumentError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let text = std::str::from_utf8(valid).unwrap_or_default();
        at(
            text,
            text.len(),
            "this is not UTF-8; write the file as UTF-8 text".to_owned(),
        )
    })?;
    let place = |wrong: Wrong| at(text, wrong.offset, wrong.message);
    let mut root = DeTable::parse(text).map_err(|error| place(wrong_of(&error)))?;
    check_version(text, root.get_ref())?;
    let own;
    let listed = match ignore {
        IgnoreUnknown::Listed(listed) => listed,
        IgnoreUnknown::Own => {
            own = own_list(root.get_ref());
            &own
        }
    };
    let read = |value, has_ignored_keys| Read {
        value,
        has_ignored_keys,
    };
    if listed.is_empty() {
        return T::from_node(node::whole(root))
            .map(|value| read(value, false))
            .map_err(place);
    }
    let mut has_ignored_keys = false;
    loop {
        match T::from_node(node::whole(root.clone())) {
            Ok(value) => return Ok(read(value, has_ignored_keys)),
            Err(wrong)
                if wrong.is_unknown_key
                    && listed
                        .iter()
                        .any(|path| remove(root.get_mut(), path, wrong.offset)) =>
            {
                has_ignored_keys = true;
            }
            Err(wrong) => return Err(place(wrong)),
        }
    }
}

fn check_version(text: &str, document: &DeTable<'_>) -> Result<(), DocumentError> {
    let Some(version) = document.get("version") else {
        return Err(at(
            text,
            0,
            format!("`version` is missing; write `version = {VERSION}`"),
        ));
    };
    let number = version
        .get_ref()
        .as_integer()
        .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok());
    match number {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(at(
            text,
            version.span().start,
            format!("version {newer} is of a newer release; this one reads `version = {VERSION}`"),
        )),
        _ => Err(at(
            text,
            version.span().start,
            format!("this is no version; write `version = {VERSION}`"),
        )),
    }
}

/// The strings under `ignore_unknown`; anything else there is refused when the document is read.
fn own_list(document: &DeTable<'_>) -> Vec<String> {
    let entries = document
        .get("ignore_unknown")
        .and_then(|value| value.get_ref().as_array());
    entries
        .into_iter()
        .flat_map(|array| array.iter())
        .filter_map(|entry| entry.get_ref().as_str().map(str::to_owned))
        .collect()
}

/// Removes the key of a path that stands at `offset`; whether there is one.
fn remove(table: &mut DeTable<'_>, path: &str, offset: usize) -> bool {
    let Some((first, rest)) = path.split_once('.') else {
        let stands_there = table
            .get_key_value(path)
            .is_some_and(|(key, _)| key.span().start == offset);
        return stands_there && table.remove(path).is_some();
    };
    table
        .get_mut(first)
        .is_some_and(|value| remove_below(value, rest, offset))
}

fn remove_below(value: &mut Spanned<DeValue<'_>>, path: &str, offset: usize) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, path, offset),
        DeValue::Array(array) => array
            .iter_mut()
            .any(|entry| remove_below(entry, path, offset)),
        _ => false,
    }
}

/// What toml says of a text that is none.
fn wrong_of(error: &toml::de::Error) -> Wrong {
    Wrong {
        offset: error.span().map_or(0, |span| span.start),
        message: error
            .message()
            .replace('\n', " ")
            .replacen(", expected ", "; write ", 1),
        is_unknown_key: false,
    }
}

/// An error at a place of a text.
fn at(text: &str, offset: usize, message: String) -> DocumentError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    DocumentError {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::from_keys;

    #[derive(Debug, PartialEq)]
    struct Sample {
        version: u64,
        ignore_unknown: Vec<String>,
        inner: Vec<Inner>,
    }
    from_keys!(Sample { version } or default { ignore_unknown, inner });

    #[derive(Debug, PartialEq)]
    struct Inner {
        name: String,
    }
    from_keys!(Inner { name } or default {});

    fn error(text: &str) -> String {
        read::<Sample>(text.as_bytes(), IgnoreUnknown::Own)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn errors_name_line_column_and_what_to_write() {
        assert_eq!(error(""), "1:1: `version` is missing; write `version = 1`");
        assert_eq!(
            error("# hello\nversion = 2\n"),
            "2:11: version 2 is of a newer release; this one reads `version = 1`"
        );
        assert_eq!(
            error("version = \"x\""),
            "1:11: this is no version; write `version = 1`"
        );
        assert!(error("version = 1\nversion = 1\n").starts_with("2:1: duplicate key"));
        assert_eq!(
            error("version = 1\n[[inner]]\nname = \"ä\"\nnam = 2\n"),
            "4:1: unknown key `nam`; write `name`, or name it in `ignore_unknown` of mfa.toml"
        );
        assert_eq!(
            error("version = 1\n[[inner]]\nname = 3\n"),
            "3:8: the number 3 can't stand here; write a text in quotes"
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_by_place() {
        let error = read::<Sample>(b"version = 1\n# \xff", IgnoreUnknown::Own).unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
    }

    #[test]
    fn a_listed_key_that_is_known_counts_all_the_same() {
        let listed = [
            "inner".to_owned(),
            "inner.name".to_owned(),
            "new".to_owned(),
        ];
        let text = b"version = 1\nnew = 1\n[[inner]]\nname = \"a\"\n";
        let read: Read<Sample> = read(text, IgnoreUnknown::Listed(&listed)).unwrap();
        assert!(read.has_ignored_keys);
        assert_eq!(read.value.inner[0].name, "a");
    }

    #[test]
    fn a_listed_key_may_be_unknown_in_every_entry_of_an_array() {
        let text = "version = 1\nignore_unknown = [\"new\", \"inner.colour\"]\nnew = true\n\
                    [[inner]]\nname = \"a\"\ncolour = 1\n[[inner]]\nname = \"b\"\n";
        let read: Read<Sample> = read(text.as_bytes(), IgnoreUnknown::Own).unwrap();
        assert!(read.has_ignored_keys);
        assert_eq!(read.value.inner.len(), 2);
    }
}
