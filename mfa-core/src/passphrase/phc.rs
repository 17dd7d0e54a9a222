//! The text that a record keeps of a passphrase: `$argon2id$v=19$m=19456,t=2,p=1,keyid=ID$SALT$HASH`, the PHC string
//! format as argon2's reference implementation writes it, with the name of the key that it was hashed with. Without that
//! it is one of another program's. Read strictly, and only where computing it is no danger to a host: a text that asks for
//! 4 GiB is otherwise as good as any.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use super::Cost;
use crate::document::Wrong;
use crate::document::node::{FromNode, Node};

/// KiB: what a host can spare at every login, and the least that argon2 takes (RFC 9106, 3.1).
const MEMORY: RangeInclusive<u32> = 8..=256 * 1024;
/// At 256 MiB these take seconds.
const PASSES: RangeInclusive<u32> = 1..=16;
/// Each takes 8 KiB at least.
const LANES: RangeInclusive<u32> = 1..=4;
/// Bytes of a salt.
const SALT: RangeInclusive<usize> = 8..=64;
/// Bytes of a hash: fewer could be met by chance, more say no more.
const HASH: RangeInclusive<usize> = 16..=64;
/// Bytes of the name of a key: no bits are over in base64.
pub(super) const KEY_ID_LEN: usize = 6;
/// No text is longer.
const MAX_TEXT: usize = 256;

const SHAPE: &str = "this is no hash of a passphrase, $argon2id$v=19$m=…,t=…,p=…$salt$hash; remove \
                     [passphrase], then `mfa-admin passphrase set`";
const PARAMETERS: &str = "this hash of a passphrase takes too much or too little: m is 8 to 262144, and 8 for each \
                          lane, t 1 to 16, p 1 to 4; remove [passphrase], then `mfa-admin passphrase set`";
const BYTES: &str = "salt and hash of a passphrase are 8 to 64 and 16 to 64 bytes in base64 without =; remove \
                     [passphrase], then `mfa-admin passphrase set`";

/// Which key a passphrase was hashed with.
pub(super) type KeyId = [u8; KEY_ID_LEN];

/// What is kept of a passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct PassphraseHash {
    cost: Cost,
    key_id: Option<KeyId>,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PassphraseHash {
    pub(super) fn new(cost: Cost, key_id: Option<KeyId>, salt: Vec<u8>, hash: Vec<u8>) -> Self {
        Self {
            cost,
            key_id,
            salt,
            hash,
        }
    }

    /// Reads what [`PassphraseHash::to_text`] writes.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(str::to_owned)
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let parts = Some(text)
            .filter(|text| text.len() <= MAX_TEXT)
            .and_then(|text| text.strip_prefix("$argon2id$v=19$"));
        let mut parts = parts.ok_or(SHAPE)?.split('$');
        let (Some(parameters), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SHAPE);
        };
        let mut parameters = parameters.split(',');
        let mut number = |name: &str| number(parameters.next()?.strip_prefix(name)?);
        let (memory, passes, lanes) = (number("m="), number("t="), number("p="));
        let key_id = parameters.next().map(|text| {
            let bytes = decode(text.strip_prefix("keyid=")?)?;
            KeyId::try_from(bytes.as_slice()).ok()
        });
        let (Some(memory), Some(passes), Some(lanes), None | Some(Some(_)), None) =
            (memory, passes, lanes, key_id, parameters.next())
        else {
            return Err(SHAPE);
        };
        let in_range = |number: u64, range: &RangeInclusive<u32>| {
            u32::try_from(number).ok().filter(|n| range.contains(n))
        };
        let (Some(memory), Some(passes), Some(lanes)) = (
            in_range(memory, &MEMORY),
            in_range(passes, &PASSES),
            in_range(lanes, &LANES),
        ) else {
            return Err(PARAMETERS);
        };
        if memory < 8 * lanes {
            return Err(PARAMETERS);
        }
        let cost = Cost {
            memory,
            passes,
            lanes,
        };
        let salt = decode(salt).filter(|salt| SALT.contains(&salt.len()));
        let hash = decode(hash).filter(|hash| HASH.contains(&hash.len()));
        let (Some(salt), Some(hash)) = (salt, hash) else {
            return Err(BYTES);
        };
        Ok(Self::new(cost, key_id.flatten(), salt, hash))
    }

    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Cost {
            memory,
            passes,
            lanes,
        } = self.cost;
        let mut text = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}");
        if let Some(id) = &self.key_id {
            text.push_str(",keyid=");
            encode(id, &mut text);
        }
        text.push('$');
        encode(&self.salt, &mut text);
        text.push('$');
        encode(&self.hash, &mut text);
        text
    }

    /// What computing it takes.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// What to hash the same passphrase with, where more is asked for than this takes, or where it was hashed without a
    /// key; never with less of anything than it was.
    #[must_use]
    pub fn more(&self, wanted: Cost) -> Option<Cost> {
        let cost = self.cost;
        let is_more = wanted.memory > cost.memory || wanted.passes > cost.passes;
        let is_more = is_more || self.key_id.is_none();
        is_more.then(|| Cost {
            memory: wanted.memory.max(cost.memory),
            passes: wanted.passes.max(cost.passes),
            lanes: wanted.lanes,
        })
    }

    pub(super) fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn hash(&self) -> &[u8] {
        &self.hash
    }
}

impl fmt::Debug for PassphraseHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassphraseHash([redacted])")
    }
}

impl Serialize for PassphraseHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl FromNode for PassphraseHash {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let offset = node.span().start;
        Self::parse(&String::from_node(node)?).map_err(|message| Wrong::at(offset, message))
    }
}

/// A whole number as this room writes it: no sign, no zeros before it.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// base64 (RFC 4648, 4) without padding.
fn encode(bytes: &[u8], text: &mut String) {
    for chunk in bytes.chunks(3) {
        let byte = |place| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            let value = bits >> (18 - 6 * place) & 63;
            let letter = ALPHABET.get(value as usize).copied().unwrap_or(b'A');
            text.push(char::from(letter));
        }
    }
}

/// The bytes of base64 without padding, and of nothing that is not what [`encode`] writes.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let value = match chunk.get(place) {
                Some(letter) => ALPHABET.iter().position(|known| known == letter)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        let (taken, rest): (&[u8], u8) = match chunk.len() {
            2 => (&[first], second | third),
            3 => (&[first, second], third),
            4 => (&[first, second, third], 0),
            _ => return None,
        };
        if rest != 0 {
            return None;
        }
        bytes.extend_from_slice(taken);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
