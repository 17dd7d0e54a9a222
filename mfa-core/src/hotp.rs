//! Codes of tokens that count (HOTP, RFC 4226).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::otp::{Code, OpenError, UnusableSecret};
use crate::record::Token;
use crate::request::UserName;
use crate::seal::SealingKey;

/// No code has this number: the one that is looked for where the digits are not as many.
const NO_CODE: u32 = u32::MAX;

#[cfg(test)]
thread_local! {
    /// How many codes this thread has computed.
    pub(crate) static COMPUTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// The secret of a token, ready to be asked for any counter's code.
pub struct Hotp {
    keyed: Hmac<Sha1>,
    digits: u8,
}

impl Hotp {
    /// A token over a shared secret, with codes of 6 to 8 digits.
    ///
    /// # Errors
    ///
    /// The secret can't be used.
    pub fn new(secret: &[u8], digits: u8) -> Result<Self, UnusableSecret> {
        let keyed = <Hmac<Sha1> as KeyInit>::new_from_slice(secret).map_err(|_| UnusableSecret)?;
        Ok(Self { keyed, digits })
    }

    /// A token as it stands in a user's record.
    ///
    /// # Errors
    ///
    /// The secret does not open with this key, or can't be used.
    pub fn open(key: &SealingKey, user: &UserName, token: &Token) -> Result<Self, OpenError> {
        let secret = key
            .open(
                user.as_str(),
                &Token::seal_purpose(&token.id),
                &token.secret,
            )
            .map_err(OpenError::Sealed)?;
        Self::new(&secret, *token.digits.get()).map_err(OpenError::Unusable)
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
        let mut mac = self.keyed.clone();
        mac.update(&counter.to_be_bytes());
        let hash: Zeroizing<[u8; 20]> = Zeroizing::new(mac.finalize().into_bytes().into());
        // No more than 15: four bytes are always left behind it.
        let offset = usize::from(hash.last().map_or(0, |last| last & 15));
        let four = hash.get(offset..).and_then(<[u8]>::first_chunk::<4>);
        let number = four.map_or(0, |four| u32::from_be_bytes(*four) & 0x7fff_ffff);
        number % 10_u32.pow(u32::from(self.digits).min(9))
    }
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

    fn code(text: &str) -> Code {
        TypedAnswer::new(text.as_bytes().to_vec())
            .as_code()
            .unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_4226_appendix_d_hold() {
        for (counter, eight) in (0..).zip(CODES) {
            for digits in 6..=8_u8 {
                let token = Hotp::new(SECRET, digits).unwrap();
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
        let token = Hotp::new(SECRET, 6).unwrap();
        assert_eq!(token.places_of(&code("4755224"), 0, 1), [0_u32; 0]);
        assert_eq!(token.places_of(&code("84755224"), 0, 1), [0_u32; 0]);
        let token = Hotp::new(SECRET, 8).unwrap();
        assert_eq!(token.places_of(&code("755224"), 0, 1), [0_u32; 0]);
    }

    #[test]
    fn a_search_computes_the_same_whatever_is_looked_for() {
        let token = Hotp::new(SECRET, 6).unwrap();
        for typed in ["755224", "520489", "000000", "1234567", "12345678"] {
            let before = COMPUTED.get();
            let _ = token.places_of(&code(typed), 0, 112);
            assert_eq!(COMPUTED.get() - before, 112, "{typed}");
        }
    }

    #[test]
    fn two_codes_count_where_they_follow_each_other() {
        let token = Hotp::new(SECRET, 6).unwrap();
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

    #[test]
    fn counters_at_their_end_and_long_secrets_break_nothing() {
        let token = Hotp::new(&[7; 200], 8).unwrap();
        assert!(token.places_of(&code("00000000"), u64::MAX - 3, 10).len() < 2);
        let _ = token.place_of_two([&code("00000000"), &code("00000001")], u64::MAX, 3);
        assert_eq!(format!("{token:?}"), "Hotp([redacted])");
    }
}
