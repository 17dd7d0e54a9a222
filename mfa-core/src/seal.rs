//! Secrets at rest: XChaCha20-Poly1305 under the host's sealing key, bound to the user and the purpose,
//! so that a sealed text moved to another user or field does not open.

use std::cell::Cell;
use std::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hex;

const KEY_FILE_PREFIX: &str = "mfa-seal-key:1:";
const MAC_KEY_PREFIX: &str = "mfa-mac-key:1:";
const SEALED_PREFIX: &str = "sealed:1:";
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;

/// The key that seals the secrets of one store; while they are being sealed anew, also the one before it, which
/// opens those that are not done yet.
pub struct SealingKey {
    key: Key,
    before: Option<Box<Key>>,
    /// What ids of apps, codes that were sent and decoys are computed with. It opens nothing and stays when keys are
    /// changed, so that what was used stays used and what was sent stays good.
    mac_key: Bytes,
    /// Whether the file says so; else it follows from the key.
    has_own_mac_key: bool,
    source: Option<Box<dyn Source>>,
    /// What was read when it was looked at again.
    later: Cell<Option<Box<SealingKey>>>,
}

/// In one place of the heap: what is moved about leaves copies behind.
type Bytes = Zeroizing<Vec<u8>>;

struct Key {
    bytes: Bytes,
    id: String,
}

/// Where a key was read: a person may type for longer than it takes to change all keys.
pub trait Source {
    /// The key that is kept there now, if that may be another one than the one that was read.
    ///
    /// # Errors
    ///
    /// Why it can't be read.
    fn read_again(&self) -> Result<Option<SealingKey>, String>;
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({}, [redacted])", self.key.id)
    }
}

/// Why a sealing key can't be used, or a sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key file does not hold a key.
    NotAKey,
    /// The key file holds one of another length, in digits.
    KeyLength(usize),
    /// The key could not be read again where it is kept.
    Gone(String),
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
            Self::KeyLength(digits) => write!(
                f,
                "holds a key of {digits} digits, and a sealing key has 64; put back the file from your backup"
            ),
            Self::Gone(why) => f.write_str(why),
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
        Ok(Self::of(Key::generate()?))
    }

    fn of(key: Key) -> Self {
        Self {
            mac_key: key.mac_key(),
            key,
            before: None,
            has_own_mac_key: false,
            source: None,
            later: Cell::new(None),
        }
    }

    /// Reads the text of a key file: the key that seals, the one before it while one takes the other's place, and,
    /// once keys were changed, the key of what is not sealed; a line each.
    ///
    /// # Errors
    ///
    /// [`SealError::NotAKey`] and [`SealError::KeyLength`].
    pub fn from_file_text(text: &[u8]) -> Result<Self, SealError> {
        let text = std::str::from_utf8(text).map_err(|_| SealError::NotAKey)?;
        let mut lines = text.trim_end().split('\n').map(str::trim_end);
        let key = lines
            .next()
            .and_then(|line| line.strip_prefix(KEY_FILE_PREFIX));
        let mut read = Self::of(Key::new(key_of(key.ok_or(SealError::NotAKey)?)?));
        for line in lines {
            if let Some(digits) = line.strip_prefix(KEY_FILE_PREFIX)
                && read.before.is_none()
            {
                read.before = Some(Box::new(Key::new(key_of(digits)?)));
            } else if let Some(digits) = line.strip_prefix(MAC_KEY_PREFIX)
                && !read.has_own_mac_key
            {
                read.mac_key = key_of(digits)?;
                read.has_own_mac_key = true;
            } else {
                return Err(SealError::NotAKey);
            }
        }
        Ok(read)
    }

    /// The text to keep in the key file.
    #[must_use]
    pub fn to_file_text(&self) -> Zeroizing<String> {
        // Room for all at once: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(512));
        let keys = [Some(&self.key), self.before.as_deref()];
        let keys = keys.into_iter().flatten();
        let mac_key = self.has_own_mac_key.then_some(&self.mac_key);
        let lines = keys
            .map(|key| (KEY_FILE_PREFIX, &key.bytes))
            .chain(mac_key.map(|bytes| (MAC_KEY_PREFIX, bytes)));
        for (prefix, bytes) in lines {
            text.push_str(prefix);
            hex::push(&mut text, bytes.as_slice());
            text.push('\n');
        }
        text
    }

    /// Remembers where the key was read, so that it can be looked at again.
    #[must_use]
    pub fn from_source(self, source: impl Source + 'static) -> Self {
        Self {
            source: Some(Box::new(source)),
            ..self
        }
    }

    /// A new key in the place of this one, which then is the one before; both in one file until nothing is
    /// sealed with this one any more.
    ///
    /// # Errors
    ///
    /// [`SealError::NoRandomness`].
    pub fn successor(&self) -> Result<Self, SealError> {
        Ok(Self {
            before: Some(Box::new(self.key.clone())),
            mac_key: self.mac_key.clone(),
            has_own_mac_key: true,
            ..Self::of(Key::generate()?)
        })
    }

    /// The same without the key before it.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self {
            mac_key: self.mac_key.clone(),
            has_own_mac_key: self.has_own_mac_key,
            ..Self::of(self.key.clone())
        }
    }

    /// Which key was the one before; none where no key is being changed.
    #[must_use]
    pub fn id_before(&self) -> Option<&str> {
        self.before.as_ref().map(|key| key.id.as_str())
    }

    /// Whether another file holds the same keys.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let (own, others) = (self.to_file_text(), other.to_file_text());
        constant_time_eq::constant_time_eq(own.as_bytes(), others.as_bytes())
    }

    /// Reads the key again where it is kept, if it may be another one by now; what this one opens it still opens. To be
    /// asked after the record was read: a record is sealed with a key that was kept before.
    ///
    /// # Errors
    ///
    /// [`SealError::Gone`]: it can't be read.
    pub fn look_again(&self) -> Result<(), SealError> {
        let later = self.later.take();
        let newest = later.as_deref().unwrap_or(self);
        let read = newest.source.as_ref().map(|source| source.read_again());
        self.later.set(later);
        if let Some(key) = read.transpose().map_err(SealError::Gone)?.flatten() {
            self.later.set(Some(Box::new(key)));
        }
        Ok(())
    }

    /// Eight digits that name the key without telling it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key.id
    }

    /// HMAC-SHA-256, apart for each purpose, under a key that stays when the one that seals is changed.
    #[must_use]
    pub fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        mac(&self.mac_key, purpose, data)
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
        let tag = cipher(&self.key.bytes)?
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                &associated_data(user, purpose),
                text.as_mut_slice().into(),
            )
            .map_err(|_| SealError::DoesNotOpen)?;
        let mut body = nonce.to_vec();
        body.extend_from_slice(&text);
        body.extend_from_slice(&tag);
        Ok(format!(
            "{SEALED_PREFIX}{}:{}",
            self.key.id,
            hex::encode(&body)
        ))
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
        let (id, body) = parts(sealed).ok_or(SealError::NotSealed)?;
        let Some(key) = self.key_of_text(id)? else {
            return Err(SealError::OtherKey {
                sealed_with: id.chars().take(8).collect(),
                at_hand: self.key.id.clone(),
            });
        };
        let body = hex::decode(body).ok_or(SealError::NotSealed)?;
        let (nonce, rest) = body
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::NotSealed)?;
        let (text, tag) = rest
            .split_last_chunk::<TAG_LEN>()
            .ok_or(SealError::NotSealed)?;
        let mut text = Zeroizing::new(text.to_vec());
        cipher(&key)?
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &associated_data(user, purpose),
                text.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(text)
    }

    /// The key that a sealed text names: one of those that were read, or of those that are kept by now.
    fn key_of_text(&self, id: &str) -> Result<Option<Bytes>, SealError> {
        if let Some(key) = self.find(id).or_else(|| self.find_later(id)) {
            return Ok(Some(key));
        }
        self.look_again()?;
        Ok(self.find_later(id))
    }

    fn find_later(&self, id: &str) -> Option<Bytes> {
        let later = self.later.take();
        let found = later.as_ref().and_then(|later| later.find(id));
        self.later.set(later);
        found
    }

    fn find(&self, id: &str) -> Option<Bytes> {
        let keys = [Some(&self.key), self.before.as_deref()];
        let mut keys = keys.into_iter().flatten();
        keys.find(|key| key.id == id).map(|key| key.bytes.clone())
    }
}

impl Key {
    fn generate() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new(vec![0; KEY_LEN]);
        getrandom::fill(&mut bytes).map_err(|_| SealError::NoRandomness)?;
        Ok(Self::new(bytes))
    }

    fn new(bytes: Bytes) -> Self {
        let id = mac(&bytes, "key-id", b"");
        let id = hex::encode(id.get(..4).unwrap_or_default());
        Self { bytes, id }
    }

    /// The first key's own: nobody finds the key by it.
    fn mac_key(&self) -> Bytes {
        let bytes = Zeroizing::new(mac(&self.bytes, "mac-key", b""));
        Zeroizing::new(bytes.to_vec())
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            id: self.id.clone(),
        }
    }
}

fn key_of(digits: &str) -> Result<Bytes, SealError> {
    let bytes = Zeroizing::new(hex::decode(digits).ok_or(SealError::NotAKey)?);
    if bytes.len() == KEY_LEN {
        Ok(bytes)
    } else {
        Err(SealError::KeyLength(digits.len()))
    }
}

/// Which key a text is sealed with, as [`SealingKey::id`] names it; none where it is no sealed text.
#[must_use]
pub fn sealed_with(sealed: &str) -> Option<&str> {
    parts(sealed).map(|(id, _)| id)
}

fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(SEALED_PREFIX)?.split_once(':')
}

fn cipher(key: &[u8]) -> Result<XChaCha20Poly1305, SealError> {
    // A key of another length is none, and was refused when it was read.
    XChaCha20Poly1305::new_from_slice(key).map_err(|_| SealError::NotAKey)
}

fn mac(key: &[u8], purpose: &str, data: &[u8]) -> [u8; 32] {
    let mut mac = hmac_sha256(key);
    for part in [purpose.as_bytes(), data] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
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
    use std::cell::RefCell;
    use std::rc::Rc;

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
        assert_eq!(again.id(), key.id());
        assert!(again.is_same_as(&key));
        let more = format!("{}{0}{0}", *text);
        let twice = format!(
            "{0}mfa-mac-key:1:{1}\nmfa-mac-key:1:{1}\n",
            *text,
            "0".repeat(64)
        );
        for bad in [
            "",
            "\n",
            "mfa-seal-key:2:",
            &text[..text.len() - 2],
            &more,
            &twice,
            &format!("\n{}", *text),
            &format!("mfa-mac-key:1:{}", "0".repeat(64)),
        ] {
            let error = SealingKey::from_file_text(bad.as_bytes()).unwrap_err();
            assert_eq!(error, SealError::NotAKey, "{bad}");
        }
        for digits in ["", "00", &"0".repeat(62), &"0".repeat(66)] {
            let text = format!("{KEY_FILE_PREFIX}{digits}\n");
            let error = SealingKey::from_file_text(text.as_bytes()).unwrap_err();
            assert_eq!(error, SealError::KeyLength(digits.len()));
            assert!(error.to_string().contains("has 64"));
        }
        assert!(!format!("{key:?}").contains(&hex::encode(key.key.bytes.as_slice())));
    }

    #[test]
    fn both_keys_open_while_one_takes_the_place_of_the_other_and_the_new_one_alone_afterwards() {
        let old = SealingKey::generate().unwrap();
        let of_old = old.seal("alice", "app/1", b"secret").unwrap();
        let both = old.successor().unwrap();
        let both = SealingKey::from_file_text(both.to_file_text().as_bytes()).unwrap();
        assert_eq!(both.id_before(), Some(old.id()));
        assert_ne!(both.id(), old.id());
        let of_new = both.seal("alice", "app/1", b"secret").unwrap();
        assert_eq!(sealed_with(&of_new), Some(both.id()));
        for sealed in [&of_old, &of_new] {
            assert_eq!(&**both.open("alice", "app/1", sealed).unwrap(), b"secret");
            assert!(both.open("bob", "app/1", sealed).is_err());
        }
        let new = both.alone();
        let new = SealingKey::from_file_text(new.to_file_text().as_bytes()).unwrap();
        assert_eq!((new.id(), new.id_before()), (both.id(), None));
        assert!(new.open("alice", "app/1", &of_new).is_ok());
        for (key, sealed) in [(&new, &of_old), (&old, &of_new)] {
            let error = key.open("alice", "app/1", sealed).unwrap_err();
            assert!(matches!(error, SealError::OtherKey { .. }), "{error}");
        }
        // What is computed with the key, and not sealed, does not change, however often keys are.
        let newest = new.successor().unwrap().alone();
        for key in [&both, &new, &newest] {
            assert_eq!(key.mac("app-id", b"x"), old.mac("app-id", b"x"));
        }
        assert_ne!(old.mac("app-id", b"x"), mac(&old.key.bytes, "app-id", b"x"));
    }

    /// A file that is changed while its key is in use.
    struct Drawer(Rc<RefCell<Result<Zeroizing<String>, String>>>);

    impl Source for Drawer {
        fn read_again(&self) -> Result<Option<SealingKey>, String> {
            let text = self.0.borrow().clone()?;
            let key = SealingKey::from_file_text(text.as_bytes()).unwrap();
            Ok(Some(key.from_source(Drawer(self.0.clone()))))
        }
    }

    #[test]
    fn a_key_that_was_changed_since_it_was_read_is_found_where_it_is_kept() {
        let old = SealingKey::generate().unwrap();
        let place = Rc::new(RefCell::new(Ok(old.to_file_text())));
        let of_old = old.seal("alice", "p", b"x").unwrap();
        let in_use = old.alone().from_source(Drawer(place.clone()));
        let mut newest = old;
        for _ in 0..3 {
            newest = newest.successor().unwrap().alone();
            *place.borrow_mut() = Ok(newest.to_file_text());
            let of_new = newest.seal("alice", "p", b"x").unwrap();
            assert!(in_use.open("alice", "p", &of_new).is_ok());
            // What was read before the record was sealed anew still opens.
            assert!(in_use.open("alice", "p", &of_old).is_ok());
        }
        *place.borrow_mut() = Err("no such disk".to_owned());
        let newer = newest.successor().unwrap();
        let sealed = newer.seal("alice", "p", b"x").unwrap();
        let gone = SealError::Gone("no such disk".to_owned());
        assert_eq!(in_use.open("alice", "p", &sealed).unwrap_err(), gone);
        assert_eq!(in_use.look_again().unwrap_err(), gone);
        assert!(in_use.open("alice", "p", &of_old).is_ok());
    }
}
