//! Where hardware tokens stand. The state alone says which of their codes are good: a token that it does not name is
//! out of use until an administrator has it resynchronised.

use std::fmt;

use serde::{Serialize, Serializer};

use super::LoginState;
use crate::document::Wrong;
use crate::document::node::{FromNode, Node};
use crate::record::AppId;

/// Where one token stands; written as `5f0c2a91 next=12 used=1790000000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCounter {
    /// Which token.
    pub token: AppId,
    /// The first counter whose code was not used, nor any later one's.
    pub next: u64,
    /// When a code of it last let in, seconds since the Unix epoch; 0: never.
    pub used: u64,
}

impl TokenCounter {
    /// Reads what [`TokenCounter`]'s `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let token = AppId::parse(words.next()?).ok()?;
        let mut number = |name: &str| words.next()?.strip_prefix(name)?.parse().ok();
        let (next, used) = (number("next=")?, number("used=")?);
        let counter = Self { token, next, used };
        words.next().is_none().then_some(counter)
    }
}

impl fmt::Display for TokenCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, next, used } = self;
        write!(f, "{token} next={next} used={used}")
    }
}

impl Serialize for TokenCounter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromNode for TokenCounter {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let counter = node.get_ref().as_str().and_then(Self::parse);
        counter.ok_or_else(|| {
            let message = "this is no counter of a token; it is like \"5f0c2a91 next=12 used=0\"";
            Wrong::new(&node, message.to_owned())
        })
    }
}

impl LoginState {
    /// Where a token stands; `None`: nobody knows, and no code of it is good.
    #[must_use]
    pub fn token(&self, id: &AppId) -> Option<&TokenCounter> {
        self.tokens.iter().find(|counter| counter.token == *id)
    }

    /// Notes that every code of a token below `next` is no longer good. A smaller counter than is known changes
    /// nothing.
    pub fn raise_token(&mut self, id: &AppId, next: u64) {
        match self.tokens.iter_mut().find(|counter| counter.token == *id) {
            Some(known) => known.next = known.next.max(next),
            None => self.tokens.push(TokenCounter {
                token: id.clone(),
                next,
                used: 0,
            }),
        }
    }

    /// Notes that the code before `next` has let in.
    pub fn use_token(&mut self, id: &AppId, next: u64, unix_seconds: u64) {
        self.raise_token(id, next);
        if let Some(known) = self.tokens.iter_mut().find(|known| known.token == *id) {
            known.used = unix_seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_as_it_is_written_and_nothing_else_is_one() {
        let written = "5f0c2a91 next=12 used=1790000000";
        let counter = TokenCounter::parse(written).unwrap();
        assert_eq!((counter.next, counter.used), (12, 1_790_000_000));
        assert_eq!(counter.to_string(), written);
        for wrong in [
            "",
            "5f0c2a91",
            "5f0c2a91 next=12",
            "5f0c2a91 used=0 next=12",
            "5f0c2a91 next=12 used=",
            "5f0c2a91 next=-1 used=0",
            "5f0c2a91 next=12 used=0 ",
            "5f0c2a9 next=12 used=0",
            "5f0c2a91  next=12 used=0",
            "5f0c2a91 next=99999999999999999999 used=0",
        ] {
            assert_eq!(TokenCounter::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_counter_only_goes_up_and_stays_through_the_file() {
        let mut state = LoginState::default();
        let id = AppId::parse("5f0c2a91").unwrap();
        assert_eq!(state.token(&id), None);
        state.raise_token(&id, 7);
        state.raise_token(&id, 3);
        state.use_token(&id, 5, 1_790_000_000);
        let text = state.to_payload().unwrap();
        assert!(text.contains("tokens = [\"5f0c2a91 next=7 used=1790000000\"]"));
        assert_eq!(
            LoginState::parse(text.as_bytes(), &[]).unwrap().value,
            state
        );
        let wrong = text.replace("next=7", "next=x");
        let error = LoginState::parse(wrong.as_bytes(), &[]).unwrap_err();
        assert!(
            error.to_string().contains("no counter of a token"),
            "{error}"
        );
    }
}
