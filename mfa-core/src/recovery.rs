//! Recovery codes: ten of them are printed once, hashes of them are kept, and each is good once.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use crate::argon::{self, Input, NoMemory, Work};
use crate::hex;
use crate::record::{CodeHash, Recovery, Salt, SetId, datetime};

/// Codes of a set.
pub const CODES: usize = 10;
/// At so many that are left people are told to have new ones made.
pub const FEW: usize = 2;
/// Bytes of an answer that can be a recovery code, blanks and hyphens included. Every answer of such a length costs
/// as much as one, whatever it is: sshd hides from us what whom it does not want has typed, and not how long it was.
pub const TYPED: RangeInclusive<usize> = LENGTH..=32;

/// Characters of a code, 5 bits each: 65 bits, which nobody finds by trying however fast the hash is.
const LENGTH: usize = 13;
/// Crockford's base32: neither I, L and O, which are read as digits, nor U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How a code is parted where it is shown.
const GROUPS: [RangeInclusive<usize>; 3] = [0..=3, 4..=7, 8..=12];

/// What a hash costs: 4 MiB.
const WORK: Work = Work {
    memory: 4096,
    passes: 1,
    lanes: 1,
};
/// Bytes of a hash.
const HASH_LEN: usize = 32;
/// Bytes of a salt.
const SALT_LEN: usize = 16;

#[cfg(test)]
thread_local! {
    /// How many hashes this thread has computed.
    pub(crate) static HASHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    /// Whether the system has no memory for this thread's hashes.
    pub(crate) static HAS_NO_MEMORY: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Why recovery codes can be neither made nor checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryError {
    /// The system gives no random bytes.
    NoRandomness,
    /// The system gives no memory for a hash.
    NoMemory,
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRandomness => "the system gives no random bytes (getrandom)",
            Self::NoMemory => "the system gives no memory for the hash of a recovery code",
        })
    }
}

impl std::error::Error for RecoveryError {}

impl From<NoMemory> for RecoveryError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// A recovery code as it is meant, however it was typed. Wiped when it is dropped.
pub struct RecoveryCode(Zeroizing<[u8; LENGTH]>);

impl RecoveryCode {
    /// The code that an answer is shaped like: case does not matter, I and L are 1, O is 0, blanks and hyphens
    /// don't count.
    #[must_use]
    pub fn parse(typed: &[u8]) -> Option<Self> {
        if !TYPED.contains(&typed.len()) {
            return None;
        }
        let mut code = Self(Zeroizing::new([0; LENGTH]));
        let mut places = code.0.iter_mut();
        for byte in typed {
            let meant = match byte.to_ascii_uppercase() {
                b' ' | b'\t' | b'-' => continue,
                b'I' | b'L' => b'1',
                b'O' => b'0',
                other => other,
            };
            if !ALPHABET.contains(&meant) {
                return None;
            }
            *places.next()? = meant;
        }
        places.next().is_none().then_some(code)
    }

    /// A fresh one.
    fn random() -> Result<Self, RecoveryError> {
        let mut code = Self(Zeroizing::new([0; LENGTH]));
        getrandom::fill(code.0.as_mut_slice()).map_err(|_| RecoveryError::NoRandomness)?;
        for byte in code.0.iter_mut() {
            // A byte has no remainder among 32 characters: each is as likely as any other.
            let place = usize::from(*byte) % ALPHABET.len();
            *byte = ALPHABET.get(place).copied().unwrap_or(b'0');
        }
        Ok(code)
    }

    /// As it is printed: `K7QM-2R9T-XW4ZP`.
    #[must_use]
    pub fn shown(&self) -> Zeroizing<String> {
        // Room for all at once: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(LENGTH + GROUPS.len()));
        for group in GROUPS {
            if !text.is_empty() {
                text.push('-');
            }
            let bytes = self.0.get(group).unwrap_or_default();
            text.extend(bytes.iter().copied().map(char::from));
        }
        text
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode([redacted])")
    }
}

/// Computes hashes of codes.
struct Hasher(argon::Hasher);

impl Hasher {
    const fn new() -> Self {
        Self(argon::Hasher::new())
    }

    /// One pass over little memory: codes of 65 bits need no more.
    fn hash(&mut self, code: &RecoveryCode, salt: &[u8]) -> Result<CodeHash, RecoveryError> {
        #[cfg(test)]
        if HAS_NO_MEMORY.get() {
            return Err(RecoveryError::NoMemory);
        }
        #[cfg(test)]
        HASHES.set(HASHES.get() + 1);
        let mut hash = Zeroizing::new([0; HASH_LEN]);
        let input = Input {
            text: code.0.as_slice(),
            salt,
            key: &[],
        };
        self.0.hash(input, WORK, hash.as_mut_slice())?;
        CodeHash::parse(hex::encode(hash.as_slice())).map_err(|_| RecoveryError::NoMemory)
    }
}

impl Recovery {
    /// A fresh set: what the record keeps of it, and the codes, which nobody can tell from that.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes, or no memory.
    pub fn generate(unix_seconds: u64) -> Result<(Self, Vec<RecoveryCode>), RecoveryError> {
        let mut random = [0; SALT_LEN + 4];
        getrandom::fill(&mut random).map_err(|_| RecoveryError::NoRandomness)?;
        let (salt, id) = random.split_at(SALT_LEN);
        let mut argon2 = Hasher::new();
        let mut codes = Vec::with_capacity(CODES);
        let mut hashes = Vec::with_capacity(CODES);
        for _ in 0..CODES {
            let code = RecoveryCode::random()?;
            hashes.push(argon2.hash(&code, salt)?);
            codes.push(code);
        }
        let no_id = |_| RecoveryError::NoRandomness;
        let set = Self {
            set: SetId::parse(hex::encode(id)).map_err(no_id)?,
            generated: Some(datetime(unix_seconds)),
            salt: Salt::parse(hex::encode(salt)).map_err(no_id)?,
            hashes,
        };
        Ok((set, codes))
    }
}

/// The hash of an answer. It takes milliseconds, so it is computed before anything is locked.
pub struct Hashed {
    /// Whose salt it was computed with.
    set: Option<(SetId, Salt)>,
    hash: CodeHash,
}

impl Hashed {
    /// Hashes an answer with the salt of a set. As much is done where there is no set, and where the answer is no code.
    ///
    /// # Errors
    ///
    /// The system gives no memory.
    pub fn of(set: Option<&Recovery>, code: Option<&RecoveryCode>) -> Result<Self, RecoveryError> {
        let salt = set.and_then(|set| hex::decode(set.salt.get()));
        let salt = salt.unwrap_or_else(|| vec![0; SALT_LEN]);
        let nothing = RecoveryCode(Zeroizing::new([b'0'; LENGTH]));
        Ok(Self {
            set: set.map(|set| (set.set.clone(), set.salt.clone())),
            hash: Hasher::new().hash(code.unwrap_or(&nothing), &salt)?,
        })
    }

    /// Which of a set's codes it is, counted from 0. None of a set that has taken the place of the one it was computed for.
    #[must_use]
    pub fn place_in(&self, set: &Recovery) -> Option<usize> {
        let is_of_it =
            (self.set.as_ref()).is_some_and(|(id, salt)| (id, salt) == (&set.set, &set.salt));
        let mut found = None;
        for (place, kept) in set.hashes.iter().enumerate() {
            if constant_time_eq::constant_time_eq(self.hash.get().as_bytes(), kept.get().as_bytes())
            {
                found = Some(place);
            }
        }
        found.filter(|_| is_of_it)
    }
}

/// One fresh code that belongs to nobody's set, with its salt and its hash in hexadecimal digits: the emergency code.
///
/// # Errors
///
/// The system gives no random bytes, or no memory.
pub fn single() -> Result<(RecoveryCode, String, String), RecoveryError> {
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).map_err(|_| RecoveryError::NoRandomness)?;
    let code = RecoveryCode::random()?;
    let hash = Hasher::new().hash(&code, &salt)?;
    Ok((code, hex::encode(&salt), hash.get().clone()))
}

/// Whether a code is the one of which [`single`] gave salt and hash. One hash is computed.
///
/// # Errors
///
/// The system gives no memory.
pub fn is_single(code: &RecoveryCode, (salt, kept): (&str, &str)) -> Result<bool, RecoveryError> {
    let salt = hex::decode(salt).unwrap_or_default();
    let hash = Hasher::new().hash(code, &salt)?;
    Ok(constant_time_eq::constant_time_eq(
        hash.get().as_bytes(),
        kept.as_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Option<String> {
        RecoveryCode::parse(typed.as_bytes()).map(|code| code.shown().to_string())
    }

    fn place_of(set: Option<&Recovery>, code: &RecoveryCode) -> Option<usize> {
        Hashed::of(set, Some(code)).unwrap().place_in(set?)
    }

    #[test]
    fn a_code_is_taken_as_it_is_meant() {
        for typed in [
            "K7QM-2R0T-XW41P",
            "K7QM2R0TXW41P",
            "k7qm-2r0t-xw41p",
            "k7qm2r0txw41p",
            "K7QM 2R0T XW41P",
            " k7qm - 2r0t - xw41p ",
            "K7QM-2ROT-XW4IP",
            "k7qm-2rot-xw4lp",
            "K7QM-2ROT-XW4LP",
            "k7qm2r0txw4ip\t",
            "-K7QM2R0TXW41P-",
            "K-7-Q-M-2-R-0-T-X-W-4-1-P",
        ] {
            assert_eq!(parsed(typed).as_deref(), Some("K7QM-2R0T-XW41P"), "{typed}");
        }
        assert_eq!(parsed("oOiIlL0011000").as_deref(), Some("0011-1100-11000"));
    }

    #[test]
    fn what_is_shaped_otherwise_is_no_code() {
        for typed in [
            "",
            "123456",
            "K7QM-2R0T-XW41",
            "K7QM-2R0T-XW41PP",
            "K7QM-2R0T-XW4UP",
            "K7QM-2R0T-XW4_P",
            "K7QM.2R0T.XW41P",
            "K7QM\n2R0T\nXW41P",
            "K7QM\u{a0}2R0TXW41P",
            "Ｋ7QM2R0TXW41P",
            "K7QM2R0TXW4\u{661}P",
            "K7QM-2R0T-XW41P                  ",
            "-------------",
            "             ",
        ] {
            assert_eq!(parsed(typed), None, "{typed}");
        }
        assert!(RecoveryCode::parse(&[0xff; 13]).is_none());
        assert!(RecoveryCode::parse(&vec![b'1'; 10 << 20]).is_none());
    }

    #[test]
    fn the_codes_of_a_set_are_its_own_and_in_their_places() {
        let (set, codes) = Recovery::generate(0).unwrap();
        assert_eq!((set.hashes.len(), codes.len()), (CODES, CODES));
        for (place, code) in codes.iter().enumerate() {
            let shown = code.shown();
            assert_eq!(shown.len(), 15);
            let typed = RecoveryCode::parse(shown.to_lowercase().as_bytes()).unwrap();
            assert_eq!(place_of(Some(&set), &typed), Some(place));
        }
        let (other, others) = Recovery::generate(0).unwrap();
        assert_eq!(place_of(Some(&set), &others[0]), None);
        assert_eq!(place_of(Some(&other), &codes[0]), None);
        assert!(set.set != other.set && set.salt != other.salt);
    }

    #[test]
    fn every_character_comes_up_in_every_place() {
        let mut seen = [[false; 32]; LENGTH];
        for _ in 0..1000 {
            let code = RecoveryCode::random().unwrap();
            for (seen, byte) in seen.iter_mut().zip(code.0.iter()) {
                seen[ALPHABET.iter().position(|c| c == byte).unwrap()] = true;
            }
        }
        // By chance one is missing in one of 10^11 runs.
        assert!(seen.iter().flatten().all(|seen| *seen));
    }

    #[test]
    fn an_answer_costs_one_hash_with_a_set_and_without() {
        let (set, codes) = Recovery::generate(0).unwrap();
        for set in [None, Some(&set)] {
            for code in [None, Some(&codes[9])] {
                let before = HASHES.get();
                Hashed::of(set, code).unwrap();
                assert_eq!(HASHES.get() - before, 1);
            }
        }
    }

    #[test]
    fn a_hash_is_good_for_the_set_it_was_computed_for_alone() {
        let (set, codes) = Recovery::generate(0).unwrap();
        let hashed = Hashed::of(Some(&set), Some(&codes[4])).unwrap();
        assert_eq!(hashed.place_in(&set), Some(4));
        let (other, _) = Recovery::generate(0).unwrap();
        for changed in [
            Recovery {
                set: other.set.clone(),
                ..set.clone()
            },
            Recovery {
                salt: other.salt.clone(),
                ..set.clone()
            },
            Recovery {
                hashes: other.hashes,
                ..set.clone()
            },
        ] {
            assert_eq!(hashed.place_in(&changed), None);
        }
        let of_nobody = Hashed::of(None, Some(&codes[4])).unwrap();
        assert_eq!(of_nobody.place_in(&set), None);
    }

    /// What the reference implementation says of the same: `echo -n K7QM2R0TXW41P | argon2 0123456789abcdef -id
    /// -k 4096 -t 1 -p 1 -l 32 -r`.
    #[test]
    fn hashes_are_those_of_the_reference_implementation() {
        let code = RecoveryCode::parse(b"K7QM2R0TXW41P").unwrap();
        let hash = Hasher::new().hash(&code, b"0123456789abcdef").unwrap();
        assert_eq!(
            hash.get(),
            "d822d1f59aa017f18c51d3e7039859098a0979f971b516f54cd5d84da89347a5"
        );
    }

    #[test]
    fn nothing_of_a_code_is_shown_by_accident() {
        let code = RecoveryCode::parse(b"K7QM2R0TXW41P").unwrap();
        assert_eq!(format!("{code:?}"), "RecoveryCode([redacted])");
    }
}
