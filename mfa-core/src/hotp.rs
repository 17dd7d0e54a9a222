//! Codes of tokens that count (HOTP, RFC 4226).

use sha1::block_api::compress;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::otp::Code;
use crate::record::Token;
use crate::request::UserName;
use crate::seal::{SealError, SealingKey};

/// No code has this number: the one that is looked for where the digits are not as many.
const NO_CODE: u32 = u32::MAX;

#[cfg(test)]
thread_local! {
    /// How many codes this thread has computed.
    pub(crate) static COMPUTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// What SHA-1 begins with (FIPS 180-4, 5.3.1).
const BEGINNING: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];
/// Bytes that SHA-1 takes at a time.
const BLOCK: usize = 64;

/// The secret of a token, ready to be asked for any counter's code. HMAC (RFC 2104) by its blocks, two of them for a
/// code: through the crate for HMAC, a hundred codes cost four times as much, and everybody who is refused pays for them.
pub struct Hotp {
    /// After the block of the key, once for the inner hash and once for the outer one.
    inner: Zeroizing<[u32; 5]>,
    outer: Zeroizing<[u32; 5]>,
    digits: u8,
}

impl Hotp {
    /// A token over a shared secret, with codes of 6 to 8 digits.
    #[must_use]
    pub fn new(secret: &[u8], digits: u8) -> Self {
        let mut key = Zeroizing::new([0; BLOCK]);
        let hashed: Zeroizing<[u8; 20]>;
        let start = if secret.len() > BLOCK {
            hashed = Zeroizing::new(Sha1::digest(secret).into());
            hashed.as_slice()
        } else {
            secret
        };
        key.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
        let keyed = |pad: u8| {
            let mut state = Zeroizing::new(BEGINNING);
            let block = Zeroizing::new(key.map(|byte| byte ^ pad));
            compress(&mut state, std::slice::from_ref(&*block));
            state
        };
        Self {
            inner: keyed(0x36),
            outer: keyed(0x5c),
            digits,
        }
    }

    /// A token as it stands in a user's record.
    ///
    /// # Errors
    ///
    /// The secret does not open with this key.
    pub fn open(key: &SealingKey, user: &UserName, token: &Token) -> Result<Self, SealError> {
        let purpose = Token::seal_purpose(&token.id);
        let secret = key.open(user.as_str(), &purpose, &token.secret)?;
        Ok(Self::new(&secret, *token.digits.get()))
    }

    /// How far behind `first` the counters are, of `count` that follow each other, whose code this is: mostly none.
    /// All of them are computed, whatever the code is.
    #[must_use]
    pub fn places_of(&self, code: &Code, first: u64, count: u32) -> Vec<u32> {
        let typed = code.as_str();
        let wanted = if typed.len() == usize::from(self.digits) {
            typed.parse().unwrap_or(NO_CODE)
        } else {
            NO_CODE
        };
        let is_wanted = |place: &u32| self.code_at(first.wrapping_add((*place).into())) == wanted;
        (0..count).filter(is_wanted).collect()
    }

    /// The counter, of `count` that begin at `first`, whose code the one is and the following one's the other.
    #[must_use]
    pub fn place_of_two(&self, codes: [&Code; 2], first: u64, count: u32) -> Option<u64> {
        let [one, other] = codes;
        let places = self.places_of(one, first, count);
        places
            .into_iter()
            .map(|place| first.wrapping_add(place.into()))
            .find(|counter| {
                let following = counter.wrapping_add(1);
                !self.places_of(other, following, 1).is_empty()
            })
    }

    /// RFC 4226, 5.3: the number that the digits of a counter's code write.
    pub(crate) fn code_at(&self, counter: u64) -> u32 {
        #[cfg(test)]
        COMPUTED.set(COMPUTED.get() + 1);
        let inner = hash(&self.inner, &counter.to_be_bytes());
        let hash = hash(&self.outer, inner.as_slice());
        // No more than 15: four bytes are always left behind it.
        let offset = usize::from(hash.last().map_or(0, |last| last & 15));
        let four = hash.get(offset..).and_then(<[u8]>::first_chunk::<4>);
        let number = four.map_or(0, |four| u32::from_be_bytes(*four) & 0x7fff_ffff);
        number % 10_u32.pow(u32::from(self.digits).min(9))
    }
}

/// The SHA-1 of a key's block, after which `state` is, and a last block: less than 56 bytes, and what SHA-1 puts
/// behind them.
fn hash(state: &[u32; 5], rest: &[u8]) -> Zeroizing<[u8; 20]> {
    let mut block = Zeroizing::new([0; BLOCK]);
    let (text, length) = block.split_at_mut(BLOCK - 8);
    if let Some((to, behind)) = text.split_at_mut_checked(rest.len()) {
        to.copy_from_slice(rest);
        behind.iter_mut().take(1).for_each(|byte| *byte = 0x80);
    }
    let bits = (BLOCK as u64 + rest.len() as u64) * 8;
    length.copy_from_slice(&bits.to_be_bytes());
    let mut state = Zeroizing::new(*state);
    compress(&mut state, std::slice::from_ref(&*block));
    let mut hash = Zeroizing::new([0; 20]);
    let (words, _) = hash.as_chunks_mut::<4>();
    for (bytes, word) in words.iter_mut().zip(state.iter()) {
        *bytes = word.to_be_bytes();
    }
    hash
}

impl std::fmt::Debug for Hotp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hotp([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::TypedAnswer;

    /// The secret and the codes of RFC 4226, appendix D: the last eight digits of the truncated decimals.
    const SECRET: &[u8] = b"12345678901234567890";
    const CODES: [&str; 10] = [
        "84755224", "94287082", "37359152", "26969429", "40338314", "68254676", "18287922",
        "82162583", "73399871", "45520489",
    ];

    /// Of secrets of so many bytes, 0, 1, 2 and so on, the code of counter 7.
    const LENGTHS: [(u8, &str); 9] = [
        (16, "97663789"),
        (20, "60100548"),
        (32, "76951503"),
        (55, "21921404"),
        (56, "44502101"),
        (63, "55549847"),
        (64, "60056793"),
        (65, "97060404"),
        (128, "19516290"),
    ];

    fn code(text: &str) -> Code {
        TypedAnswer::new(text.as_bytes().to_vec())
            .as_code()
            .unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_4226_appendix_d_hold() {
        for (counter, eight) in (0..).zip(CODES) {
            for digits in 6..=8_u8 {
                let token = Hotp::new(SECRET, digits);
                let shown = code(&eight[8 - usize::from(digits)..]);
                assert_eq!(token.places_of(&shown, 0, 10), [counter], "{digits} digits");
                assert_eq!(token.places_of(&shown, counter.into(), 1), [0]);
                assert_eq!(
                    token.places_of(&shown, u64::from(counter) + 1, 9),
                    [0_u32; 0]
                );
            }
        }
    }

    #[test]
    fn a_code_of_other_digits_is_none_of_the_tokens() {
        let token = Hotp::new(SECRET, 6);
        assert_eq!(token.places_of(&code("4755224"), 0, 1), [0_u32; 0]);
        assert_eq!(token.places_of(&code("84755224"), 0, 1), [0_u32; 0]);
        // Nor where the digits beyond are no more than zeros.
        assert_eq!(token.places_of(&code("0755224"), 0, 1), [0_u32; 0]);
        assert_eq!(token.places_of(&code("00755224"), 0, 1), [0_u32; 0]);
        let token = Hotp::new(SECRET, 8);
        assert_eq!(token.places_of(&code("755224"), 0, 1), [0_u32; 0]);
    }

    #[test]
    fn a_search_computes_the_same_whatever_is_looked_for() {
        let token = Hotp::new(SECRET, 6);
        for typed in ["755224", "520489", "000000", "1234567", "12345678"] {
            let before = COMPUTED.get();
            let _ = token.places_of(&code(typed), 0, 112);
            assert_eq!(COMPUTED.get() - before, 112, "{typed}");
        }
    }

    #[test]
    fn two_codes_count_where_they_follow_each_other() {
        let token = Hotp::new(SECRET, 6);
        let codes: Vec<Code> = CODES.iter().map(|eight| code(&eight[2..])).collect();
        let place = |one: usize, other: usize, first| {
            token.place_of_two([&codes[one], &codes[other]], first, 100)
        };
        assert_eq!(place(0, 1, 0), Some(0));
        assert_eq!(place(7, 8, 0), Some(7));
        assert_eq!(place(7, 8, 7), Some(7));
        for (one, other, first) in [(7, 8, 8), (7, 9, 0), (8, 7, 0), (7, 7, 0)] {
            assert_eq!(
                place(one, other, first),
                None,
                "{one}, {other} from {first}"
            );
        }
    }

    /// What oathtool says of secrets of all lengths: `oathtool --hotp -c 7 -d 8 HEX`.
    #[test]
    fn secrets_of_every_length_are_taken_whole() {
        for (length, expected) in LENGTHS {
            let secret: Vec<u8> = (0..length).collect();
            assert_eq!(
                Hotp::new(&secret, 8).places_of(&code(expected), 7, 1),
                [0],
                "{length}"
            );
        }
    }

    #[test]
    fn counters_at_their_end_and_long_secrets_break_nothing() {
        let token = Hotp::new(&[7; 200], 8);
        assert!(token.places_of(&code("00000000"), u64::MAX - 3, 10).len() < 2);
        let _ = token.place_of_two([&code("00000000"), &code("00000001")], u64::MAX, 3);
        assert_eq!(format!("{token:?}"), "Hotp([redacted])");
    }
}
