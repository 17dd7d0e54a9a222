//! Hardware tokens in a record (HOTP, RFC 4226).

use serde::Serialize;
use toml::value::Datetime;
use zeroize::Zeroizing;

use super::{AppId, Digits, Label, UserRecord};
use crate::document::node::from_keys;
use crate::hex;
use crate::request::UserName;
use crate::seal::SealingKey;

/// Removed tokens whose counters a record remembers at most; of more, the oldest is forgotten.
pub const MAX_REMOVED_TOKENS: usize = 64;

/// A token that counts how often its button was pressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// What the login state calls it, see [`AppId::of_token`].
    pub id: AppId,
    /// What people call it.
    pub label: Label,
    /// The shared secret, sealed for this user and this token.
    pub secret: String,
    /// Length of a code.
    pub digits: Digits,
    /// Where it stood when it was added: no earlier code was good since. What counts is in the login state.
    pub counter: u64,
    /// Since when.
    pub enrolled: Datetime,
    /// No code of it lets in.
    #[serde(skip_serializing_if = "super::is_false")]
    pub disabled: bool,
}

/// What is remembered of a token that was removed: none of its codes is to be good again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemovedToken {
    /// Which.
    pub id: AppId,
    /// The counter of the first code that was never good.
    pub counter: u64,
    /// Nobody knew how far its codes were used: added again, it is out of use until it is resynchronised.
    #[serde(skip_serializing_if = "super::is_false")]
    pub unknown: bool,
}

from_keys!(Token { id, label, secret, digits, counter, enrolled } or default { disabled });
from_keys!(RemovedToken { id, counter } or default { unknown });

impl Token {
    /// What the secret is sealed for, besides the user.
    #[must_use]
    pub fn seal_purpose(id: &AppId) -> String {
        format!("token/{id}")
    }
}

impl AppId {
    /// The id of a token in the hands of one user: the same whenever its secret is added, so that counters that
    /// were used stay so. How many digits are shown of a code makes no other token of it. Nobody without the key can tell
    /// the secret.
    #[must_use]
    pub fn of_token(key: &SealingKey, user: &UserName, secret: &[u8]) -> Self {
        // No name contains a NUL.
        let mut data = Zeroizing::new(Vec::with_capacity(user.as_str().len() + 1 + secret.len()));
        data.extend_from_slice(user.as_str().as_bytes());
        data.push(0);
        data.extend_from_slice(secret);
        let [a, b, c, d, ..] = key.mac("token-id", &data);
        Self(hex::encode(&[a, b, c, d]))
    }
}

impl UserRecord {
    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: &AppId) -> Option<&Token> {
        self.tokens.iter().find(|token| token.id == *id)
    }

    /// Whether the code of a token could ever let this user in.
    #[must_use]
    pub fn has_usable_token(&self) -> bool {
        self.methods.contains(&super::Method::Token)
            && self.tokens.iter().any(|token| !token.disabled)
    }

    /// What is known of a token that was removed.
    #[must_use]
    pub fn removed_token(&self, id: &AppId) -> Option<&RemovedToken> {
        self.removed_tokens.iter().find(|removed| removed.id == *id)
    }

    /// The counter below which no code of a token that was removed is good.
    #[must_use]
    pub fn removed_counter(&self, id: &AppId) -> Option<u64> {
        self.removed_token(id).map(|removed| removed.counter)
    }

    /// Remembers where a token stood that is no longer in the record; `None`: nobody knows. A smaller counter than is
    /// known changes nothing.
    pub fn remember_removed(&mut self, id: &AppId, counter: Option<u64>) {
        let unknown = counter.is_none();
        let counter = self.removed_counter(id).max(counter).unwrap_or(0);
        self.removed_tokens.retain(|removed| removed.id != *id);
        let surplus = (self.removed_tokens.len() + 1).saturating_sub(MAX_REMOVED_TOKENS);
        self.removed_tokens.drain(..surplus);
        let id = id.clone();
        self.removed_tokens.push(RemovedToken {
            id,
            counter,
            unknown,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> AppId {
        AppId::parse(format!("{number:08x}")).unwrap()
    }

    #[test]
    fn a_secret_has_one_id_for_one_user_and_none_of_an_app() {
        let key = SealingKey::generate().unwrap();
        let (alice, bob) = (
            UserName::parse("alice").unwrap(),
            UserName::parse("bob").unwrap(),
        );
        let secret = b"12345678901234567890";
        let first = AppId::of_token(&key, &alice, secret);
        assert_eq!(first, AppId::of_token(&key, &alice, secret));
        assert_ne!(first, AppId::of_token(&key, &bob, secret));
        assert_ne!(first, AppId::of_token(&key, &alice, &secret[1..]));
        // Where the name ends and the secret begins counts.
        let longer = UserName::parse("alice1").unwrap();
        assert_ne!(first, AppId::of_token(&key, &longer, &secret[1..]));
        let (six, half) = (
            Digits::parse(6).unwrap(),
            super::super::Period::parse(30_u16).unwrap(),
        );
        let kind = (super::super::Algorithm::Sha1, &six, &half);
        assert_ne!(first, AppId::of_secret(&key, &alice, secret, kind));
    }

    #[test]
    fn a_secret_of_an_app_does_not_open_as_that_of_a_token() {
        let key = SealingKey::generate().unwrap();
        let user = UserName::parse("alice").unwrap();
        let mut token = Token {
            id: id(1),
            label: Label::parse("key ring").unwrap(),
            secret: String::new(),
            digits: Digits::parse(6).unwrap(),
            counter: 0,
            enrolled: super::super::datetime(0),
            disabled: false,
        };
        for (purpose, opens) in [
            (Token::seal_purpose(&token.id), true),
            (super::super::App::seal_purpose(&token.id), false),
        ] {
            token.secret = key.seal("alice", &purpose, &[7; 20]).unwrap();
            let opened = crate::hotp::Hotp::open(&key, &user, &token);
            assert_eq!(opened.is_ok(), opens, "{purpose}");
        }
    }

    #[test]
    fn a_removed_token_is_remembered_by_its_highest_counter() {
        let mut record = UserRecord::new(UserName::parse("alice").unwrap());
        record.remember_removed(&id(1), Some(7));
        record.remember_removed(&id(2), Some(3));
        record.remember_removed(&id(1), Some(5));
        assert_eq!(record.removed_counter(&id(1)), Some(7));
        assert_eq!(record.removed_tokens.len(), 2);
        // That nobody knows is remembered as well, and what was known before.
        record.remember_removed(&id(2), None);
        let removed = record.removed_token(&id(2)).unwrap();
        assert_eq!((removed.counter, removed.unknown), (3, true));
        let text = record.to_text().unwrap();
        let again = UserRecord::parse(text.as_bytes(), &record.user, &[]).unwrap();
        assert_eq!(again.record, record);
        for number in 3..80 {
            record.remember_removed(&id(number), Some(1));
        }
        assert_eq!(record.removed_tokens.len(), MAX_REMOVED_TOKENS);
        assert_eq!(record.removed_counter(&id(1)), None);
        assert_eq!(record.removed_counter(&id(79)), Some(1));
        let text = record.to_text().unwrap();
        UserRecord::parse(text.as_bytes(), &record.user, &[]).unwrap();
    }
}
