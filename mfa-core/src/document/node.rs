//! Values as they stand in a document, and how a section takes them. By hand and not by serde: the code that
//! serde makes for the sections of the configuration, of records and of states is a third of the module's size,
//! and half of the time that a login takes to read them.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Wrong;
use toml::value::Datetime;

/// A value with its place.
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

impl Wrong {
    /// A value that can't stand where it does.
    pub(crate) fn new(node: &Node<'_>, message: String) -> Self {
        Self::at(node.span().start, message)
    }

    /// The same, by its place.
    pub(crate) fn at(offset: usize, message: String) -> Self {
        Self {
            offset,
            message,
            is_unknown_key: false,
        }
    }

    /// A value of another type than `instead` says.
    pub(crate) fn of_type(node: &Node<'_>, instead: &str) -> Self {
        let found = match node.get_ref() {
            DeValue::Integer(integer) => format!("the number {}", integer.as_str()),
            DeValue::Boolean(boolean) => boolean.to_string(),
            // What stands there may be secret, and this text is logged.
            DeValue::String(_) => "a text".to_owned(),
            other => format!("a {}", other.type_str()),
        };
        Self::new(node, format!("{found} can't stand here; write {instead}"))
    }
}

/// What can be read from a value.
pub(crate) trait FromNode: Sized {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong>;
}

impl FromNode for bool {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        node.get_ref()
            .as_bool()
            .ok_or_else(|| Wrong::of_type(&node, "true or false"))
    }
}

impl FromNode for i64 {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        node.get_ref()
            .as_integer()
            .and_then(|integer| Self::from_str_radix(integer.as_str(), integer.radix()).ok())
            .ok_or_else(|| Wrong::of_type(&node, "a whole number"))
    }
}

macro_rules! from_whole_number {
    ($($number:ident),*) => {$(
        impl FromNode for $number {
            fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
                let offset = node.span().start;
                let number = i64::from_node(node)?;
                Self::try_from(number).map_err(|_| {
                    let most = i64::try_from($number::MAX).unwrap_or(i64::MAX);
                    let message = format!("the number {number} can't stand here; write a whole number from 0 to {most}");
                    Wrong::at(offset, message)
                })
            }
        }
    )*};
}
from_whole_number!(u8, u16, u32, u64);

impl FromNode for Datetime {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        match node.get_ref() {
            DeValue::Datetime(datetime) => Ok(*datetime),
            _ => Err(Wrong::of_type(
                &node,
                "a date and time like 2026-11-20T09:00:00Z",
            )),
        }
    }
}

impl FromNode for String {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        match node.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(Wrong::of_type(&node, "a text in quotes")),
        }
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        if !node.get_ref().is_array() {
            return Err(Wrong::of_type(&node, "a list in [ ]"));
        }
        match node.into_inner() {
            DeValue::Array(values) => values.into_iter().map(T::from_node).collect(),
            _ => Ok(Self::new()),
        }
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        T::from_node(node).map(Some)
    }
}

/// A whole document as one value.
pub(crate) fn whole(root: Spanned<DeTable<'_>>) -> Node<'_> {
    let span = root.span();
    Spanned::new(span, DeValue::Table(root.into_inner()))
}

/// The keys of one section, each of them known.
pub(crate) struct Keys<'i, 'n> {
    section: usize,
    rest: Vec<(Spanned<DeString<'i>>, Node<'i>)>,
    names: &'n [&'static str],
    seen: Vec<&'static str>,
}

impl<'i, 'n> Keys<'i, 'n> {
    /// The keys of a table, in the order of the text; `names` are all that may stand there.
    pub(crate) fn of(node: Node<'i>, names: &'n [&'static str]) -> Result<Self, Wrong> {
        let section = node.span().start;
        if !node.get_ref().is_table() {
            return Err(Wrong::of_type(&node, "a section in [ ]"));
        }
        let rest = match node.into_inner() {
            DeValue::Table(table) => table.into_iter().collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            section,
            rest,
            names,
            seen: Vec::new(),
        })
    }

    /// The next key and its value.
    pub(crate) fn next(&mut self) -> Result<Option<(&'static str, Node<'i>)>, Wrong> {
        // The first of so few is found sooner than they are sorted.
        let places = self.rest.iter().enumerate();
        let first = places.min_by_key(|(_, (key, _))| key.span().start);
        let Some(place) = first.map(|(place, _)| place) else {
            return Ok(None);
        };
        let (key, value) = self.rest.swap_remove(place);
        let Some(name) = self.names.iter().find(|name| *name == key.get_ref()) else {
            let message = format!(
                "unknown key `{}`; write {}, or name it in `ignore_unknown` of mfa.toml",
                key.get_ref(),
                one_of(self.names)
            );
            let offset = key.span().start;
            let is_unknown_key = true;
            return Err(Wrong {
                offset,
                message,
                is_unknown_key,
            });
        };
        self.seen.push(name);
        Ok(Some((name, value)))
    }

    /// Whether keys were there that have no default.
    pub(crate) fn require(&self, required: &[&str]) -> Result<(), Wrong> {
        match required.iter().find(|name| !self.seen.contains(name)) {
            None => Ok(()),
            Some(name) => Err(self.missing(&format!("`{name}`"))),
        }
    }

    /// What is said of a key that is not there.
    pub(crate) fn missing(&self, what: &str) -> Wrong {
        Wrong::at(self.section, format!("{what} is missing; write it"))
    }
}

/// `` `a` ``, `` `a` or `b` ``, ``one of `a`, `b`, `c` ``.
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [only] => format!("`{only}`"),
        [one, other] => format!("`{one}` or `{other}`"),
        many => format!("one of `{}`", many.join("`, `")),
    }
}

/// Declares an enum whose values are words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$word_doc])* $variant,)* }

        impl FromNode for $name {
            fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
                let words = [$($word,)*];
                match node.get_ref().as_str() {
                    $(Some($word) => Ok(Self::$variant),)*
                    Some(other) => Err(Wrong::new(
                        &node,
                        format!("unknown value `{other}`; write {}", crate::document::node::one_of(&words)),
                    )),
                    None => Err(Wrong::of_type(&node, &crate::document::node::one_of(&words))),
                }
            }
        }
    };
}

/// Declares how a struct is read from the keys of a section that are named like its fields: those that must be
/// there, and those that have a default. `key = function` reads a value in its own way.
macro_rules! from_keys {
    ($name:ident
        { $($required:ident $(= $read:expr)?),* $(,)? }
        or default { $($optional:ident $(= $read_optional:expr)?),* $(,)? }
    ) => {
        impl $crate::document::node::FromNode for $name {
            fn from_node(
                node: $crate::document::node::Node<'_>,
            ) -> Result<Self, $crate::document::Wrong> {
                const NAMES: &[&str] = &[$(stringify!($required),)* $(stringify!($optional),)*];
                const REQUIRED: &[&str] = &[$(stringify!($required),)*];
                $(let mut $required = None;)*
                $(let mut $optional = None;)*
                let mut keys = $crate::document::node::Keys::of(node, NAMES)?;
                while let Some((name, value)) = keys.next()? {
                    $(if name == stringify!($required) {
                        $required = Some($crate::document::node::read_by!(value $(, $read)?)?);
                        continue;
                    })*
                    $(if name == stringify!($optional) {
                        $optional = Some($crate::document::node::read_by!(value $(, $read_optional)?)?);
                        continue;
                    })*
                }
                keys.require(REQUIRED)?;
                match ($($required,)*) {
                    ($(Some($required),)*) => Ok(Self {
                        $($required,)*
                        $($optional: $optional.unwrap_or_default(),)*
                    }),
                    // `require` has seen to it.
                    #[allow(unreachable_patterns)] // where all have a default
                    _ => Err(keys.missing("a key")),
                }
            }
        }
    };
}

macro_rules! read_by {
    ($value:expr) => {
        $crate::document::node::FromNode::from_node($value)
    };
    ($value:expr, $read:expr) => {
        $read($value)
    };
}

pub(crate) use {from_keys, read_by, words};
