//! What people type.

use mfa_core::courier::Report;
use mfa_core::otp::{Authenticator, TypedAnswer};
use mfa_core::record::Algorithm;

use crate::input::Input;

/// The code of an answer, as the manual has it: 6 to 8 digits, with blanks and hyphens between them.
fn code(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let digits: String = trimmed.chars().filter(|c| !" -".contains(*c)).collect();
    let is_code = text.len() <= 64
        && is_digit(trimmed.chars().next())
        && is_digit(trimmed.chars().last())
        && (6..=8).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_digit());
    is_code.then_some(digits)
}

/// The recovery code of an answer, as the manual has it: 13 letters and digits of Crockford's base32, whatever the case, with
/// blanks and hyphens anywhere, 32 bytes at most; I and L are 1, O is 0.
fn recovery_code(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let kept: String = text.chars().filter(|c| !" \t-".contains(*c)).collect();
    let plain = kept
        .to_ascii_uppercase()
        .replace(['I', 'L'], "1")
        .replace('O', "0");
    let alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let is_code =
        text.len() <= 32 && plain.len() == 13 && plain.chars().all(|c| alphabet.contains(c));
    is_code.then_some(plain)
}

/// An answer is a code exactly where it is shaped like one. Whatever else it is, it is told from words and secrets; and the
/// courier's line of answer is read or refused.
pub fn answer(bytes: &[u8]) {
    let typed = TypedAnswer::new(bytes.to_vec());
    let found = typed.as_code();
    assert_eq!(
        found.as_ref().map(|code| code.as_str().to_owned()),
        code(bytes)
    );
    let recovery = typed.as_recovery_code();
    assert_eq!(
        recovery.map(|code| code.shown().replace('-', "")),
        recovery_code(bytes)
    );
    assert_eq!(
        (typed.len(), typed.is_empty()),
        (bytes.len(), bytes.is_empty())
    );
    assert!(typed.is_same_as(bytes));
    assert!(!typed.is_same_as(&[bytes, b"x"].concat()));
    assert_eq!(typed.is_word("email"), bytes.eq_ignore_ascii_case(b"email"));
    if !bytes.is_empty() {
        assert!(typed.is_repetition_of(bytes));
        let twice = TypedAnswer::new([bytes, bytes].concat());
        assert!(twice.is_repetition_of(bytes));
    }
    assert!(!format!("{typed:?}").contains(char::is_numeric));
    if let Some(code) = found {
        matching(&code, bytes);
    }
    report(bytes);
}

/// A code that matches belongs to a step within the window.
fn matching(code: &mfa_core::otp::Code, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let time = input.number() >> 20;
    let authenticator =
        Authenticator::new(b"12345678901234567890", Algorithm::Sha1, 6, 30, 1).unwrap();
    if let Some(step) = authenticator.matching_step(code, time) {
        assert!((time / 30).abs_diff(step) <= 1, "step {step} at {time}");
    }
}

fn report(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    let Some(report) = Report::parse(&line) else {
        return;
    };
    assert_eq!(report.is_accepted, line.starts_with("accepted "));
    assert!(!report.reason.contains(' '));
    assert!(report.is_accepted == report.reason.is_empty() || report.reason.is_empty());
}
