//! Secrets at rest: XChaCha20-Poly1305 under the host's sealing key, bound to the user and the purpose,
//! so that a sealed text moved to another user or field does not open.

use std::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hex;

const KEY_FILE_PREFIX: &str = "mfa-seal-key:1:";
const SEALED_PREFIX: &str = "sealed:1:";
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// The key that seals the secrets of one store.
pub struct SealingKey {
    key: Zeroizing<[u8; 32]>,
    id: String,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({}, [redacted])", self.id)
    }
}

/// Why a sealing key can't be used, or a sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key file does not hold a key.
    NotAKey,
    /// The text is no sealed text of a format that this release knows.
    NotSealed,
    /// Sealed with another key.
    OtherKey {
        /// The key it was sealed with, as [`SealingKey::id`] names it.
        sealed_with: String,
        /// The key at hand.
        at_hand: String,
    },
    /// Altered, or of another user or purpose.
    DoesNotOpen,
    /// The system gave no random bytes.
    NoRandomness,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAKey => f.write_str(
                "this is no sealing key; put back the file that `mfa-admin init` made, from your backup",
            ),
            Self::NotSealed => f.write_str("a secret is not in the sealed form; enrol the app again"),
            Self::OtherKey { sealed_with, at_hand } => write!(
                f,
                "sealed with key {sealed_with}, the key here is {at_hand}; put the right seal.key back"
            ),
            Self::DoesNotOpen => f.write_str(
                "a sealed secret was altered or belongs to another user; enrol the app again",
            ),
            Self::NoRandomness => f.write_str("the system gives no random bytes (getrandom)"),
        }
    }
}

impl std::error::Error for SealError {}

impl SealingKey {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// [`SealError::NoRandomness`].
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|_| SealError::NoRandomness)?;
        Ok(Self::from_bytes(key))
    }

    fn from_bytes(key: Zeroizing<[u8; 32]>) -> Self {
        let mut made = Self {
            key,
            id: String::new(),
        };
        made.id = hex::encode(made.mac("key-id", b"").get(..4).unwrap_or_default());
        made
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    ///
    /// [`SealError::NotAKey`].
    pub fn from_file_text(text: &[u8]) -> Result<Self, SealError> {
        let digits = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim_end().strip_prefix(KEY_FILE_PREFIX))
            .ok_or(SealError::NotAKey)?;
        let bytes = Zeroizing::new(hex::decode(digits).ok_or(SealError::NotAKey)?);
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(SealError::NotAKey);
        }
        key.copy_from_slice(&bytes);
        Ok(Self::from_bytes(key))
    }

    /// The text to keep in the key file.
    #[must_use]
    pub fn to_file_text(&self) -> Zeroizing<String> {
        let digits = Zeroizing::new(hex::encode(self.key.as_slice()));
        Zeroizing::new(format!("{KEY_FILE_PREFIX}{}\n", digits.as_str()))
    }

    /// Eight digits that name the key without telling it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// HMAC-SHA-256 under this key, apart for each purpose.
    #[must_use]
    pub fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let mut mac = hmac_sha256(self.key.as_slice());
        for part in [purpose.as_bytes(), data] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Seals a secret for one user and purpose, under a fresh random nonce.
    ///
    /// # Errors
    ///
    /// [`SealError::NoRandomness`].
    pub fn seal(&self, user: &str, purpose: &str, secret: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let mut text = Zeroizing::new(secret.to_vec());
        let tag = self
            .cipher()
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                &associated_data(user, purpose),
                text.as_mut_slice().into(),
            )
            .map_err(|_| SealError::DoesNotOpen)?;
        let mut body = nonce.to_vec();
        body.extend_from_slice(&text);
        body.extend_from_slice(&tag);
        Ok(format!("{SEALED_PREFIX}{}:{}", self.id, hex::encode(&body)))
    }

    /// Opens what [`SealingKey::seal`] made for the same user and purpose.
    ///
    /// # Errors
    ///
    /// Not sealed, sealed with another key, altered, or of another user or purpose.
    pub fn open(
        &self,
        user: &str,
        purpose: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (id, body) = sealed
            .strip_prefix(SEALED_PREFIX)
            .and_then(|rest| rest.split_once(':'))
            .ok_or(SealError::NotSealed)?;
        if id != self.id {
            return Err(SealError::OtherKey {
                sealed_with: id.chars().take(8).collect(),
                at_hand: self.id.clone(),
            });
        }
        let body = hex::decode(body).ok_or(SealError::NotSealed)?;
        let (nonce, rest) = body
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::NotSealed)?;
        let (text, tag) = rest
            .split_last_chunk::<TAG_LEN>()
            .ok_or(SealError::NotSealed)?;
        let mut text = Zeroizing::new(text.to_vec());
        self.cipher()
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &associated_data(user, purpose),
                text.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(text)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

/// HMAC-SHA-256 (RFC 2104) under a key of at most 64 bytes, one block; what is beyond does not count.
#[must_use]
pub(crate) fn hmac_sha256(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    <Hmac<Sha256> as KeyInit>::new((&*block).into())
}

/// User and purpose with their lengths, so that no two pairs look the same.
fn associated_data(user: &str, purpose: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(user.len() + purpose.len() + 16);
    for part in [user, purpose] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_user_its_purpose_and_its_key() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal("alice", "app/1", b"12345678901234567890").unwrap();
        assert_eq!(
            key.open("alice", "app/1", &sealed).unwrap().as_slice(),
            b"12345678901234567890"
        );
        for (user, purpose) in [("bob", "app/1"), ("alice", "app/2"), ("alicea", "pp/1")] {
            assert_eq!(
                key.open(user, purpose, &sealed).unwrap_err(),
                SealError::DoesNotOpen
            );
        }
        let other = SealingKey::generate().unwrap();
        assert!(matches!(
            other.open("alice", "app/1", &sealed),
            Err(SealError::OtherKey { .. })
        ));
    }

    #[test]
    fn an_altered_text_does_not_open() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal("alice", "app", b"secret").unwrap();
        let start = SEALED_PREFIX.len() + key.id().len() + 1;
        for place in start..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let altered = String::from_utf8(bytes).unwrap();
            assert_eq!(
                key.open("alice", "app", &altered).unwrap_err(),
                SealError::DoesNotOpen
            );
        }
        for text in [
            "",
            "sealed:1:",
            "sealed:2:00:00",
            "secret",
            &sealed[..sealed.len() - 1],
        ] {
            assert!(key.open("alice", "app", text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_seals_of_one_secret_differ() {
        let key = SealingKey::generate().unwrap();
        assert_ne!(
            key.seal("a", "p", b"x").unwrap(),
            key.seal("a", "p", b"x").unwrap()
        );
    }

    #[test]
    fn a_key_survives_its_file_and_nothing_else_is_a_key() {
        let key = SealingKey::generate().unwrap();
        let text = key.to_file_text();
        let again = SealingKey::from_file_text(text.as_bytes()).unwrap();
        assert_eq!((again.id(), *again.key), (key.id(), *key.key));
        for bad in [
            "",
            "mfa-seal-key:1:00",
            "mfa-seal-key:2:",
            &text[..text.len() - 3],
        ] {
            assert_eq!(
                SealingKey::from_file_text(bad.as_bytes()).unwrap_err(),
                SealError::NotAKey
            );
        }
        assert!(!format!("{key:?}").contains(&hex::encode(key.key.as_slice())));
    }
}
