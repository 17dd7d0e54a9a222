//! App codes (RFC 6238), codes that are sent, and what counts as one among the things that people type.

use std::fmt;

use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use serde::Serialize;

use crate::document::node::from_keys;
use crate::hex;
use crate::passphrase::{NoPassphrase, Passphrase};
use crate::record::{Algorithm, App, Method};
use crate::recovery::{self, RecoveryCode};
use crate::request::UserName;
use crate::seal::{SealError, SealingKey};

/// RFC 4226, 4 (R6): a shared secret has at least 128 bits.
pub const MIN_SECRET_LEN: usize = 16;
/// RFC 4226, 4 (R6) recommends 160 bits; what every app takes.
pub const SECRET_LEN: usize = 20;
/// Longer than any secret that apps hand out.
pub const MAX_SECRET_LEN: usize = 128;

/// A right code has at most 8 digits; blanks and hyphens between them are allowed for.
const MAX_ANSWER_LEN: usize = 64;

/// What somebody typed, wiped when it is dropped.
pub struct TypedAnswer(Zeroizing<Vec<u8>>);

impl TypedAnswer {
    /// Takes the bytes of an answer.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Whether it is the same as another secret; takes the same time wherever they differ.
    #[must_use]
    pub fn is_same_as(&self, other: &[u8]) -> bool {
        constant_time_eq::constant_time_eq(&self.0, other)
    }

    /// Whether it is a text said over and over, and cut at any place.
    #[must_use]
    pub fn is_repetition_of(&self, text: &[u8]) -> bool {
        !self.0.is_empty() && self.0.iter().zip(text.iter().cycle()).all(|(a, b)| a == b)
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much was typed, bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is a word, in upper or lower case and without anything around it.
    #[must_use]
    pub fn is_word(&self, word: &str) -> bool {
        self.0.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it is as long as a code without blanks.
    #[must_use]
    pub fn is_as_long_as_a_code(&self) -> bool {
        (6..=8).contains(&self.0.len())
    }

    /// Whether it is as long as a recovery code can be typed.
    #[must_use]
    pub fn is_as_long_as_a_recovery_code(&self) -> bool {
        recovery::TYPED.contains(&self.0.len())
    }

    /// The recovery code it is shaped like.
    #[must_use]
    pub fn as_recovery_code(&self) -> Option<RecoveryCode> {
        RecoveryCode::parse(&self.0)
    }

    /// The passphrase that it can be.
    ///
    /// # Errors
    ///
    /// Why it can be none.
    pub fn as_passphrase(&self) -> Result<Passphrase, NoPassphrase> {
        Passphrase::parse(&self.0)
    }

    /// The code it is shaped like: 6 to 8 ASCII digits, with blanks and hyphens between them.
    #[must_use]
    pub fn as_code(&self) -> Option<Code> {
        if self.0.len() > MAX_ANSWER_LEN {
            return None;
        }
        let typed = self.0.trim_ascii();
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        if !is_digit(typed.first()) || !is_digit(typed.last()) {
            return None;
        }
        let mut digits = Zeroizing::new(String::with_capacity(MAX_ANSWER_LEN));
        for byte in typed {
            match byte {
                b'0'..=b'9' => digits.push(char::from(*byte)),
                b' ' | b'-' => {}
                _ => return None,
            }
        }
        (6..=8).contains(&digits.len()).then_some(Code(digits))
    }
}

impl fmt::Debug for TypedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedAnswer([redacted])")
    }
}

/// 6 to 8 digits, wiped when they are dropped.
pub struct Code(Zeroizing<String>);

impl Code {
    /// A fresh code to be sent: one of an authenticator whose secret nobody else has, made at a moment
    /// and checked at that same moment.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn to_send(digits: u32, unix_seconds: u64) -> Result<Self, SealError> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        getrandom::fill(secret.as_mut_slice()).map_err(|_| SealError::NoRandomness)?;
        let digits = u8::try_from(digits).unwrap_or(6);
        let authenticator = Authenticator::new(&*secret, Algorithm::Sha1, digits, 30, 0)
            .map_err(|_| SealError::NoRandomness)?;
        let code = Self(Zeroizing::new(
            authenticator.totp.generate(unix_seconds).to_string(),
        ));
        // What was made has to be what a check would take.
        authenticator
            .matching_step(&code, unix_seconds)
            .map(|_| code)
            .ok_or(SealError::NoRandomness)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For whom and where a code is good.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Whose code.
    pub user: &'a str,
    /// Where it was sent to.
    pub to: &'a str,
    /// The PAM service that asked.
    pub service: &'a str,
    /// The address that asked; empty at the machine itself.
    pub from: &'a str,
}

/// A code that was sent, as the login state keeps it: nobody can tell the code from it without the
/// sealing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentCode {
    /// When, on the state's own clock, milliseconds.
    pub at: u64,
    /// By which method.
    pub method: Method,
    /// 16 random bytes, in hexadecimal digits.
    nonce: String,
    /// The first 16 bytes of an HMAC over nonce, code and [`Binding`], in hexadecimal digits.
    mac: String,
}

from_keys!(SentCode { at, method, nonce, mac } or default {});

impl SentCode {
    /// Remembers a code.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn remember(
        key: &SealingKey,
        binding: &Binding<'_>,
        method: Method,
        at: u64,
        code: &Code,
    ) -> Result<Self, SealError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let nonce = hex::encode(&nonce);
        let mac = sent_code_mac(key, binding, &nonce, code);
        Ok(Self {
            at,
            method,
            nonce,
            mac,
        })
    }

    /// Whether a code is the one that was sent, typed by whom and where it is good; whether it still is
    /// in time is another question. Where none was sent (`None`), it takes as long and is not.
    #[must_use]
    pub fn is_code(
        sent: Option<&Self>,
        key: &SealingKey,
        binding: &Binding<'_>,
        code: &Code,
    ) -> bool {
        let nothing = "0".repeat(32);
        let nonce = sent.map_or(nothing.as_str(), |sent| sent.nonce.as_str());
        let expected = sent.map_or("", |sent| sent.mac.as_str());
        let mac = sent_code_mac(key, binding, nonce, code);
        constant_time_eq::constant_time_eq(mac.as_bytes(), expected.as_bytes())
    }
}

fn sent_code_mac(key: &SealingKey, binding: &Binding<'_>, nonce: &str, code: &Code) -> String {
    let parts = [
        binding.user,
        binding.to,
        binding.service,
        binding.from,
        nonce,
        code.as_str(),
    ];
    let length = parts.iter().map(|part| part.len() + 8).sum();
    // Each part with its length before it: no two bindings read the same.
    let mut data = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    let mac = key.mac("sent-code", &data);
    hex::encode(mac.get(..16).unwrap_or_default())
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code([redacted])")
    }
}

/// Why a secret can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableSecret;

impl fmt::Display for UnusableSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a shared secret has {MIN_SECRET_LEN} to {MAX_SECRET_LEN} bytes ({} base32 characters at least)",
            (MIN_SECRET_LEN * 8).div_ceil(5)
        )
    }
}

impl std::error::Error for UnusableSecret {}

/// Why the authenticator in a record is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The secret does not open.
    Sealed(SealError),
    /// It opens, and is no secret.
    Unusable(UnusableSecret),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(error) => error.fmt(f),
            Self::Unusable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// What makes codes and checks them.
pub struct Authenticator {
    totp: Totp,
}

impl Authenticator {
    /// An authenticator over a shared secret. `window` is the number of steps that are accepted on either
    /// side of the present one.
    ///
    /// # Errors
    ///
    /// The secret is too short or too long.
    pub fn new(
        secret: &[u8],
        algorithm: Algorithm,
        digits: u8,
        period: u16,
        window: u32,
    ) -> Result<Self, UnusableSecret> {
        if secret.len() > MAX_SECRET_LEN {
            return Err(UnusableSecret);
        }
        let algorithm = match algorithm {
            Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
            Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
            Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
        };
        let totp = Builder::new()
            .with_algorithm(algorithm)
            .with_digits(digits)
            .with_step_duration(u64::from(period))
            .with_skew(u16::try_from(window).unwrap_or(u16::MAX))
            .with_secret(Secret::new(secret.into()))
            .build()
            .map_err(|_| UnusableSecret)?;
        Ok(Self { totp })
    }

    /// The authenticator of an enrolled app.
    ///
    /// # Errors
    ///
    /// As for [`Authenticator::new`].
    pub fn of_app(app: &App, secret: &[u8], window: u32) -> Result<Self, UnusableSecret> {
        Self::new(
            secret,
            app.algorithm,
            *app.digits.get(),
            *app.period.get(),
            window,
        )
    }

    /// The authenticator of an app as it stands in a user's record.
    ///
    /// # Errors
    ///
    /// The secret does not open with this key, or can't be used.
    pub fn open(
        key: &SealingKey,
        user: &UserName,
        app: &App,
        window: u32,
    ) -> Result<Self, OpenError> {
        let purpose = App::seal_purpose(&app.id);
        let secret = key
            .open(user.as_str(), &purpose, &app.secret)
            .map_err(OpenError::Sealed)?;
        Self::of_app(app, &secret, window).map_err(OpenError::Unusable)
    }

    /// One whose codes nobody has, that costs as much to ask as a real one.
    ///
    /// # Errors
    ///
    /// Never: the secret is long enough.
    pub fn decoy(window: u32) -> Result<Self, UnusableSecret> {
        Self::new(&[0x5a; SECRET_LEN], Algorithm::Sha1, 6, 30, window)
    }

    /// The step within the window whose code this is, if it is one.
    #[must_use]
    pub fn matching_step(&self, code: &Code, unix_seconds: u64) -> Option<u64> {
        self.totp.check(&code.0, unix_seconds)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        TypedAnswer::new(text.as_bytes().to_vec()).as_code()
    }

    fn step(
        secret: &[u8],
        algorithm: Algorithm,
        digits: u8,
        period: u16,
        text: &str,
        time: u64,
    ) -> Option<u64> {
        Authenticator::new(secret, algorithm, digits, period, 1)
            .unwrap()
            .matching_step(&code(text).unwrap(), time)
    }

    #[test]
    fn the_vectors_of_rfc_6238_appendix_b_hold() {
        let seed = b"1234567890123456789012345678901234567890123456789012345678901234";
        for (time, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            for (algorithm, length, text) in [
                (Algorithm::Sha1, 20, sha1),
                (Algorithm::Sha256, 32, sha256),
                (Algorithm::Sha512, 64, sha512),
            ] {
                assert_eq!(
                    step(&seed[..length], algorithm, 8, 30, text, time),
                    Some(time / 30),
                    "{algorithm:?} at {time}"
                );
            }
        }
    }

    #[test]
    fn a_code_is_right_one_step_early_or_late_and_no_further() {
        let seed = b"12345678901234567890";
        let right = "94287082"; // step 1: seconds 30 to 59
        for (time, expected) in [
            (0, Some(1)),
            (29, Some(1)),
            (59, Some(1)),
            (89, Some(1)),
            (90, None),
            (3600, None),
        ] {
            assert_eq!(
                step(seed, Algorithm::Sha1, 8, 30, right, time),
                expected,
                "{time}"
            );
        }
        assert_eq!(step(seed, Algorithm::Sha1, 6, 30, right, 59), None);
        assert_eq!(step(seed, Algorithm::Sha1, 6, 30, "287082", 59), Some(1));
    }

    #[test]
    fn codes_are_ascii_digits_with_blanks_and_hyphens_between_them() {
        for text in [
            "123456",
            "123 456",
            "12-34-56",
            " 123456\n",
            "1234 5678",
            "1234567",
        ] {
            assert!(code(text).is_some(), "{text}");
        }
        for text in [
            "",
            " ",
            "12345",
            "123456789",
            "+123456",
            "-123456",
            "123456-",
            "12345a",
            "１２３４５６",
            "123.456",
            "0x123456",
            "123456\u{a0}",
            "1 2 3 4 5",
            "email",
        ] {
            assert!(code(text).is_none(), "{text}");
        }
        assert!(code(&format!("123{}456", " ".repeat(100))).is_none());
        assert!(TypedAnswer::new(vec![0xff; 6]).as_code().is_none());
        assert!(TypedAnswer::new(vec![b'1'; 10 << 20]).as_code().is_none());
    }

    #[test]
    fn codes_to_send_are_new_each_time_and_have_the_digits_that_were_asked_for() {
        for digits in 6..=8 {
            let codes: Vec<Code> = (0..20)
                .map(|_| Code::to_send(digits, 1_111_111_109).unwrap())
                .collect();
            assert!(
                codes
                    .iter()
                    .all(|code| code.as_str().len() == digits as usize)
            );
            let mut texts: Vec<_> = codes.iter().map(Code::as_str).collect();
            texts.sort_unstable();
            texts.dedup();
            assert!(texts.len() > 15);
        }
    }

    #[test]
    fn a_sent_code_is_good_for_the_user_address_and_service_that_it_was_sent_for() {
        let key = SealingKey::generate().unwrap();
        let here = Binding {
            user: "alice",
            to: "alice@example.com",
            service: "sshd",
            from: "203.0.113.7",
        };
        let right = code("482913").unwrap();
        let sent = SentCode::remember(&key, &here, Method::Email, 5, &right).unwrap();
        assert!(!format!("{sent:?}").contains("482913"));
        assert!(SentCode::is_code(Some(&sent), &key, &here, &right));
        assert!(!SentCode::is_code(None, &key, &here, &right));
        assert!(!SentCode::is_code(
            Some(&sent),
            &key,
            &here,
            &code("482914").unwrap()
        ));
        let other_key = SealingKey::generate().unwrap();
        assert!(!SentCode::is_code(Some(&sent), &other_key, &here, &right));
        for other in [
            Binding {
                user: "bob",
                ..here
            },
            Binding {
                to: "bob@example.com",
                ..here
            },
            Binding {
                service: "su",
                ..here
            },
            Binding { from: "", ..here },
            // The same letters, cut elsewhere.
            Binding {
                user: "alic",
                to: "ealice@example.com",
                ..here
            },
        ] {
            assert!(
                !SentCode::is_code(Some(&sent), &key, &other, &right),
                "{other:?}"
            );
        }
        let again = SentCode::remember(&key, &here, Method::Email, 5, &right).unwrap();
        assert_ne!(sent, again);
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(Authenticator::new(&[1; 15], Algorithm::Sha1, 6, 30, 1).is_err());
        assert!(Authenticator::new(&[1; 16], Algorithm::Sha1, 6, 30, 1).is_ok());
        assert!(Authenticator::new(&[1; 129], Algorithm::Sha1, 6, 30, 1).is_err());
        assert!(Authenticator::decoy(1).is_ok());
    }

    #[test]
    fn nothing_that_was_typed_shows_in_debug_output() {
        let answer = TypedAnswer::new(b"123456".to_vec());
        assert!(!format!("{answer:?}{:?}", answer.as_code()).contains("123456"));
    }
}
