//! Findings that many users may share: counted, and the first few named.

use std::fmt;

/// Named in a message; the others are counted.
const NAMED: usize = 3;

/// How many there are, and which the first ones are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    first: Vec<String>,
    /// Whom the first one is about.
    example: Option<String>,
    count: usize,
}

impl Tally {
    /// A name, and what there is to say of it.
    pub(super) fn add_with(&mut self, name: &str, more: &str) {
        if self.count == 0 {
            self.example = Some(name.to_owned());
        }
        self.add(format!("{name} ({more})"));
    }

    pub(super) fn add(&mut self, name: impl Into<String>) {
        if self.first.len() < NAMED {
            self.first.push(name.into());
        }
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The first one, for a command that is to be shown with a name in it.
    pub(super) fn example(&self) -> &str {
        let first = self.example.as_ref().or(self.first.first());
        first.map_or("NAME", String::as_str)
    }

    /// For findings that are sentences: `one; two; and 5 more`.
    pub(super) fn sentences(&self) -> String {
        let told = self.first.join("; ");
        match self.count - self.first.len() {
            0 => told,
            more => format!("{told}; and {more} more"),
        }
    }
}

/// `alice`, `alice and bob`, `alice, bob, carol and 4 more`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first.as_slice(), self.count - self.first.len()) {
            ([], _) => Ok(()),
            ([one], 0) => f.write_str(one),
            ([most @ .., last], 0) => write!(f, "{} and {last}", most.join(", ")),
            (_, more) => write!(f, "{} and {more} more", self.first.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_are_named_and_the_others_counted() {
        let mut tally = Tally::default();
        let mut said = Vec::new();
        for name in ["alice", "bob", "carol", "dave", "erin"] {
            tally.add(name);
            said.push(tally.to_string());
        }
        let expected = [
            "alice",
            "alice and bob",
            "alice, bob and carol",
            "alice, bob, carol and 1 more",
            "alice, bob, carol and 2 more",
        ];
        assert_eq!(said, expected);
        assert_eq!(tally.sentences(), "alice; bob; carol; and 2 more");
        assert_eq!((tally.count(), tally.example()), (5, "alice"));
    }

    #[test]
    fn what_is_said_of_a_name_is_no_part_of_it() {
        let mut tally = Tally::default();
        tally.add_with("a (b", "2 left");
        tally.add_with("carol", "none left");
        assert_eq!(tally.to_string(), "a (b (2 left) and carol (none left)");
        assert_eq!(tally.example(), "a (b");
    }
}
