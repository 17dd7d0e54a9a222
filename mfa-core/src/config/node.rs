//! Values as they stand in the file, and how a section takes them. By hand and not by serde: the code that
//! serde makes for seventeen sections is a third of the module's size and half of the time that a login
//! takes to read its configuration.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

pub(super) use crate::document::Wrong;

/// A value with its place.
pub(super) type Node<'i> = Spanned<DeValue<'i>>;

impl Wrong {
    pub(super) fn new(node: &Node<'_>, message: String) -> Self {
        Self {
            offset: node.span().start,
            message,
            is_unknown_key: false,
        }
    }

    /// A value of another type than `instead` says.
    pub(super) fn of_type(node: &Node<'_>, instead: &str) -> Self {
        let found = match node.get_ref() {
            DeValue::Integer(integer) => format!("the number {}", integer.as_str()),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::String(text) => format!("the text {text:?}"),
            other => format!("a {}", other.type_str()),
        };
        Self::new(node, format!("{found} can't stand here; write {instead}"))
    }
}

/// What can be read from a value.
pub(super) trait FromNode: Sized {
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

impl FromNode for u64 {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let offset = node.span().start;
        let number = i64::from_node(node)?;
        Self::try_from(number).map_err(|_| Wrong {
            offset,
            message: format!("the number {number} can't stand here; write a whole number"),
            is_unknown_key: false,
        })
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
pub(super) fn table_node(root: Spanned<DeTable<'_>>) -> Node<'_> {
    let span = root.span();
    Spanned::new(span, DeValue::Table(root.into_inner()))
}

/// The keys of one section, each of them known.
pub(super) struct Keys<'i, 'n> {
    section: usize,
    rest: Vec<(Spanned<DeString<'i>>, Node<'i>)>,
    names: &'n [&'static str],
    seen: Vec<&'static str>,
}

impl<'i, 'n> Keys<'i, 'n> {
    /// The keys of a table, in the order of the text; `names` are all that may stand there.
    pub(super) fn of(node: Node<'i>, names: &'n [&'static str]) -> Result<Self, Wrong> {
        let section = node.span().start;
        if !node.get_ref().is_table() {
            return Err(Wrong::of_type(&node, "a section in [ ]"));
        }
        let mut rest: Vec<_> = match node.into_inner() {
            DeValue::Table(table) => table.into_iter().collect(),
            _ => Vec::new(),
        };
        // The last one is taken first.
        rest.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(key.span().start));
        Ok(Self {
            section,
            rest,
            names,
            seen: Vec::new(),
        })
    }

    /// The next key and its value.
    pub(super) fn next(&mut self) -> Result<Option<(&'static str, Node<'i>)>, Wrong> {
        let Some((key, value)) = self.rest.pop() else {
            return Ok(None);
        };
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
    pub(super) fn require(&self, required: &[&str]) -> Result<(), Wrong> {
        match required.iter().find(|name| !self.seen.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let message = format!("`{name}` is missing; write it");
                Err(Wrong {
                    offset: self.section,
                    message,
                    is_unknown_key: false,
                })
            }
        }
    }
}

/// `` `a` ``, `` `a` or `b` ``, ``one of `a`, `b`, `c` ``.
pub(super) fn one_of(names: &[&str]) -> String {
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
                        format!("unknown value `{other}`; write {}", crate::config::node::one_of(&words)),
                    )),
                    None => Err(Wrong::of_type(&node, &crate::config::node::one_of(&words))),
                }
            }
        }
    };
}

pub(super) use words;
