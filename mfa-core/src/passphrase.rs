//! Passphrases: what can be one, and the argon2id (RFC 9106) that is kept of it.

mod judge;
mod phc;
pub mod policy;

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use crate::argon::{self, Input, NoMemory, Work};
use crate::config;
use crate::record::{KeptPassphrase, datetime};
use crate::request::UserName;
use crate::seal::SealingKey;
pub use judge::{Judge, Opinion, PATIENCE, Question, UNFIT};
pub use phc::PassphraseHash;
use phc::{KEY_ID_LEN, KeyId};

/// Bytes of a passphrase. A longer answer costs as much as any, and is never right.
pub const LENGTHS: RangeInclusive<usize> = 8..=1024;

/// Bytes of a fresh salt.
const SALT_LEN: usize = 16;
/// Bytes of a fresh hash.
const HASH_LEN: usize = 32;
/// Hashed in the place of an answer that can't be right.
const NOTHING: &[u8] = b"nothing that anybody typed";

#[cfg(test)]
thread_local! {
    /// How many hashes this thread has computed.
    pub(crate) static HASHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Why passphrases can be neither kept nor checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassphraseError {
    /// The system gives no random bytes.
    NoRandomness,
    /// The system gives no memory for a hash.
    NoMemory,
}

impl fmt::Display for PassphraseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRandomness => "the system gives no random bytes (getrandom)",
            Self::NoMemory => "the system gives no memory for the hash of a passphrase",
        })
    }
}

impl std::error::Error for PassphraseError {}

impl From<NoMemory> for PassphraseError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Why something is no passphrase, whatever the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPassphrase {
    /// Not UTF-8.
    NotText,
    /// Fewer bytes than [`LENGTHS`].
    TooShort,
    /// More.
    TooLong,
    /// A control character, which nobody types on purpose: a terminal sends them for keys that it was not told of.
    ControlCharacter,
}

impl fmt::Display for NoPassphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotText => "it is not UTF-8 text; type letters, digits, blanks and signs",
            Self::TooShort => "it has fewer than 8 bytes; take several words",
            Self::TooLong => "it has more than 1024 bytes; take fewer words",
            Self::ControlCharacter => {
                "it has a control character in it; leave out tabs, arrows and the like"
            }
        })
    }
}

impl std::error::Error for NoPassphrase {}

/// A text that can be a passphrase, byte for byte as it was typed. Wiped when it is dropped.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes what was typed.
    ///
    /// # Errors
    ///
    /// Why it can't be one.
    pub fn parse(typed: &[u8]) -> Result<Self, NoPassphrase> {
        if typed.len() < *LENGTHS.start() {
            return Err(NoPassphrase::TooShort);
        }
        if typed.len() > *LENGTHS.end() {
            return Err(NoPassphrase::TooLong);
        }
        let text = std::str::from_utf8(typed).map_err(|_| NoPassphrase::NotText)?;
        if text.chars().any(char::is_control) {
            return Err(NoPassphrase::ControlCharacter);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the same as another; takes the same time wherever they differ.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        constant_time_eq::constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([redacted])")
    }
}

/// What a hash takes to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB.
    pub memory: u32,
    /// Passes over them.
    pub passes: u32,
    /// Lanes; here they are computed one after the other.
    pub lanes: u32,
}

impl From<&config::Passphrase> for Cost {
    fn from(config: &config::Passphrase) -> Self {
        Self {
            memory: config.memory.get(),
            passes: config.passes.get(),
            lanes: config.lanes.get(),
        }
    }
}

/// What one user's passphrase is hashed with besides its salt, so that a stolen store does not let anybody guess, nor
/// the hash of somebody else let in: a key that follows from the host's and from the name (RFC 9106, 3.1: K). It stays
/// when sealing keys are changed.
pub struct Pepper {
    key: Zeroizing<Vec<u8>>,
    id: KeyId,
}

impl Pepper {
    /// The one of a user.
    #[must_use]
    pub fn of(key: &SealingKey, user: &str) -> Self {
        let bytes = Zeroizing::new(key.mac("passphrase", user.as_bytes()));
        let mut id = [0; KEY_ID_LEN];
        for (to, from) in id.iter_mut().zip(key.mac("passphrase-key-id", b"")) {
            *to = from;
        }
        Self {
            key: Zeroizing::new(bytes.to_vec()),
            id,
        }
    }

    /// Whether a hash was made with another host's key, or with one that is lost. No passphrase is right by it.
    #[must_use]
    pub fn is_of_another_key(&self, hash: &PassphraseHash) -> bool {
        hash.key_id().is_some_and(|id| *id != self.id)
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper([redacted])")
    }
}

/// Computes the hashes of one user's passphrases, one after the other in the same memory.
pub struct Hasher {
    argon: argon::Hasher,
    pepper: Pepper,
}

impl Hasher {
    /// One that has no memory yet.
    #[must_use]
    pub const fn new(pepper: Pepper) -> Self {
        let argon = argon::Hasher::new();
        Self { argon, pepper }
    }

    /// What it hashes with.
    #[must_use]
    pub const fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    fn hash(
        &mut self,
        text: &[u8],
        (salt, is_keyed): (&[u8], bool),
        cost: Cost,
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        #[cfg(test)]
        HASHES.set(HASHES.get() + 1);
        let work = Work {
            memory: cost.memory,
            passes: cost.passes,
            lanes: cost.lanes,
        };
        let mut hash = Zeroizing::new(vec![0; length]);
        let key: &[u8] = if is_keyed { &self.pepper.key } else { &[] };
        self.argon
            .hash(Input { text, salt, key }, work, &mut hash)?;
        Ok(hash)
    }

    /// The hash of a passphrase, with a salt of its own.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes, or no memory.
    pub fn keep(
        &mut self,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<PassphraseHash, PassphraseError> {
        let mut salt = vec![0; SALT_LEN];
        getrandom::fill(&mut salt).map_err(|_| PassphraseError::NoRandomness)?;
        let hash = self.hash(passphrase.0.as_bytes(), (&salt, true), cost, HASH_LEN)?;
        let key_id = Some(self.pepper.id);
        Ok(PassphraseHash::new(cost, key_id, salt, hash.to_vec()))
    }

    /// Whether a passphrase is the one that is kept. One hash is computed, whatever was typed (`None`: something that
    /// can't be right), and of the `usual` cost where none is kept, or one of another key, or where what is kept costs more
    /// memory than there is: then it is not right, as nobody's is, since a caller's limits are not to tell whose costs more.
    /// One that was kept without a key, by another program, is taken as it is.
    ///
    /// # Errors
    ///
    /// The system gives no memory for the usual cost.
    pub fn is_right(
        &mut self,
        typed: Option<&Passphrase>,
        kept: Option<&PassphraseHash>,
        usual: Cost,
    ) -> Result<bool, PassphraseError> {
        let kept = kept.filter(|kept| !self.pepper.is_of_another_key(kept));
        let text = typed.map_or(NOTHING, |typed| typed.0.as_bytes());
        let (salt, expected) = kept.map_or((&[0; SALT_LEN][..], &[0; HASH_LEN][..]), |kept| {
            (kept.salt(), kept.hash())
        });
        let salt = (salt, kept.is_none_or(|kept| kept.key_id().is_some()));
        let cost = kept.map_or(usual, PassphraseHash::cost);
        // What anybody's takes has to be there for everybody.
        self.argon.make_room(usual.memory as usize)?;
        let hash = match self.hash(text, salt, cost, expected.len()) {
            Err(PassphraseError::NoMemory) if cost.memory > usual.memory => {
                self.hash(NOTHING, salt, usual, expected.len())?;
                return Ok(false);
            }
            hash => hash?,
        };
        let is_same = constant_time_eq::constant_time_eq(&hash, expected);
        Ok(is_same && typed.is_some() && kept.is_some())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({} KiB)", self.argon.room())
    }
}

impl KeptPassphrase {
    /// What a record keeps of a passphrase from now on.
    #[must_use]
    pub fn new(hash: PassphraseHash, unix_seconds: u64) -> Self {
        Self {
            hash,
            changed: Some(datetime(unix_seconds)),
        }
    }

    /// Whether it was hashed with another host's key, or with one that is lost: what its user types is never right.
    #[must_use]
    pub fn is_of_another_key(&self, key: &SealingKey, user: &UserName) -> bool {
        Pepper::of(key, user.as_str()).is_of_another_key(&self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: 64,
        passes: 1,
        lanes: 1,
    };

    fn typed(text: &str) -> Passphrase {
        Passphrase::parse(text.as_bytes()).unwrap()
    }

    fn hasher_of(key: &SealingKey, user: &str) -> Hasher {
        Hasher::new(Pepper::of(key, user))
    }

    fn hasher() -> Hasher {
        hasher_of(&SealingKey::generate().unwrap(), "alice")
    }

    #[test]
    fn a_passphrase_is_taken_byte_for_byte() {
        for text in ["12345678", " two  blanks ", "blåbærgrød", &"x".repeat(1024)] {
            assert_eq!(typed(text).as_str(), text);
        }
        for (bytes, expected) in [
            (&b""[..], NoPassphrase::TooShort),
            (b"1234567", NoPassphrase::TooShort),
            (&vec![b'x'; 1025], NoPassphrase::TooLong),
            (&vec![b'x'; 10 << 20], NoPassphrase::TooLong),
            (b"\xff\xfe_______", NoPassphrase::NotText),
            (b"with a\ttab", NoPassphrase::ControlCharacter),
            (b"two\nlines__", NoPassphrase::ControlCharacter),
            (b"ends with \0", NoPassphrase::ControlCharacter),
            (
                "next\u{85}line__".as_bytes(),
                NoPassphrase::ControlCharacter,
            ),
        ] {
            assert_eq!(Passphrase::parse(bytes).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_one_that_is_kept_is_right_and_no_other() {
        let mut hasher = hasher();
        let kept = hasher.keep(&typed("correct horse battery"), CHEAP).unwrap();
        let mut is_right = |text| hasher.is_right(Some(&typed(text)), Some(&kept), CHEAP);
        assert_eq!(is_right("correct horse battery"), Ok(true));
        for other in [
            "Correct horse battery",
            "correct horse battery ",
            "correct horse batter",
        ] {
            assert_eq!(is_right(other), Ok(false), "{other}");
        }
        let again = hasher.keep(&typed("correct horse battery"), CHEAP).unwrap();
        assert_ne!(again, kept, "two salts are the same");
    }

    #[test]
    fn without_the_hosts_key_or_for_somebody_else_the_right_one_is_wrong() {
        let (key, other) = (
            SealingKey::generate().unwrap(),
            SealingKey::generate().unwrap(),
        );
        let phrase = typed("correct horse battery");
        let kept = hasher_of(&key, "alice").keep(&phrase, CHEAP).unwrap();
        let is_right = |mut hasher: Hasher, kept: &PassphraseHash| {
            let before = HASHES.get();
            let is_right = hasher.is_right(Some(&phrase), Some(kept), CHEAP).unwrap();
            assert_eq!(HASHES.get() - before, 1);
            is_right
        };
        assert!(is_right(hasher_of(&key, "alice"), &kept));
        assert!(!is_right(hasher_of(&key, "bob"), &kept));
        assert!(!is_right(hasher_of(&other, "alice"), &kept));
        // Who only strikes out that there was a key does not get round it.
        let text = kept.to_text();
        let (head, tail) = text.split_once(",keyid=").unwrap();
        let without = PassphraseHash::parse(&format!("{head}{}", &tail[8..])).unwrap();
        assert!(!is_right(hasher_of(&key, "alice"), &without));
        // Keys that are changed leave it as it is, also once the one before is gone.
        let both = key.successor().unwrap();
        assert!(is_right(hasher_of(&both, "alice"), &kept));
        assert!(is_right(hasher_of(&both.alone(), "alice"), &kept));
        assert!(hasher_of(&other, "alice").pepper().is_of_another_key(&kept));
        assert!(!hasher_of(&key, "bob").pepper().is_of_another_key(&kept));
    }

    #[test]
    fn nobody_has_nothing_as_a_passphrase() {
        let mut hasher = hasher();
        let phrase = typed("correct horse battery");
        let kept = hasher.keep(&phrase, CHEAP).unwrap();
        assert_eq!(hasher.is_right(None, Some(&kept), CHEAP), Ok(false));
        assert_eq!(hasher.is_right(Some(&phrase), None, CHEAP), Ok(false));
        assert_eq!(hasher.is_right(None, None, CHEAP), Ok(false));
        // Not even where what stands in for an answer is what is kept.
        let nothing = std::str::from_utf8(NOTHING).unwrap();
        let kept = hasher.keep(&typed(nothing), CHEAP).unwrap();
        assert_eq!(hasher.is_right(None, Some(&kept), CHEAP), Ok(false));
    }

    #[test]
    fn every_answer_costs_one_hash() {
        let mut hasher = hasher();
        let phrase = typed("correct horse battery");
        let kept = hasher.keep(&phrase, CHEAP).unwrap();
        for (typed, kept) in [
            (Some(&phrase), Some(&kept)),
            (Some(&phrase), None),
            (None, Some(&kept)),
            (None, None),
        ] {
            let before = HASHES.get();
            hasher.is_right(typed, kept, CHEAP).unwrap();
            assert_eq!(HASHES.get() - before, 1);
        }
    }

    #[test]
    fn the_memory_is_had_once_and_wiped_each_time() {
        let mut hasher = hasher();
        for memory in [64, 32, 64] {
            let cost = Cost { memory, ..CHEAP };
            hasher.keep(&typed("correct horse battery"), cost).unwrap();
            assert_eq!(hasher.argon.room(), 64);
            assert!(hasher.argon.is_wiped());
        }
    }

    #[test]
    fn nothing_of_a_passphrase_is_shown_by_accident() {
        let phrase = typed("correct horse battery");
        let kept = hasher().keep(&phrase, CHEAP).unwrap();
        assert_eq!(format!("{phrase:?}"), "Passphrase([redacted])");
        assert_eq!(format!("{kept:?}"), "PassphraseHash([redacted])");
    }
}
