//! What `mfa-admin` takes from people, and what it hands to apps.

use mfa_admin::probe;
use mfa_core::config::Config;
use mfa_core::otp::{MAX_SECRET_LEN, MIN_SECRET_LEN};
use mfa_core::record::{Algorithm, App, AppId, Digits, Label, Period, datetime};
use mfa_core::request::UserName;

use crate::input::Input;

/// A secret is taken as apps write it, and shown so that it is the same secret again. The URI of a QR code reads back as what
/// it was made of, whatever the names in it. And no command line is worse than a wrong one.
pub fn admin(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    secret(&line);
    let mut input = Input::new(bytes);
    let digits = Digits::parse(6 + input.byte() % 3).unwrap();
    let period = Period::parse(10 + u16::from(input.byte())).unwrap();
    let (issuer, user) = (input.text(), input.text());
    let secret = input.bytes().to_vec();
    if let Some(user) = UserName::parse(&user) {
        uri(&issuer, &user, (digits, period), &secret);
    }
    let mut words: Vec<String> = Vec::new();
    let mut rest = Input::new(bytes);
    while words.len() < 12 {
        words.push(rest.text());
    }
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    command_line(&words);
}

fn secret(line: &str) {
    let Some(secret) = probe::secret(line) else {
        return;
    };
    assert!((MIN_SECRET_LEN..=MAX_SECRET_LEN).contains(&secret.len()));
    let shown = probe::shown_secret(&secret);
    let again = probe::secret(&shown).unwrap();
    assert_eq!(again, secret);
    let letters: String = line
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    assert_eq!(letters.len(), shown.len());
    // Bits of the last letter that are no byte's may have been anything.
    assert_eq!(letters[..letters.len() - 1], shown[..shown.len() - 1]);
}

fn uri(issuer: &str, user: &UserName, (digits, period): (Digits, Period), secret: &[u8]) {
    let written: String = issuer
        .chars()
        .flat_map(|c| {
            format!("\\U{:08X}", u32::from(c))
                .chars()
                .collect::<Vec<_>>()
        })
        .collect();
    let text = format!("version = 1\n[enrolment]\nissuer = \"{written}\"\n");
    let Ok(config) = Config::parse(text.as_bytes()) else {
        return;
    };
    let app = App {
        id: AppId::parse("00000001").unwrap(),
        label: Label::parse("phone").unwrap(),
        secret: String::new(),
        algorithm: Algorithm::Sha256,
        digits: digits.clone(),
        period: period.clone(),
        enrolled: datetime(0),
        disabled: false,
    };
    let uri = probe::enrolment_uri(&config, user, &app, secret);
    assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{}", *uri);
    let (label, query) = uri
        .strip_prefix("otpauth://totp/")
        .and_then(|rest| rest.split_once('?'))
        .unwrap();
    let (shown, name) = label.split_once(':').unwrap();
    let issuer = issuer.replace("%h", &mfa_core::host::name());
    assert_eq!(decoded(shown), issuer);
    assert_eq!(decoded(name), user.as_str());
    let fields: Vec<(&str, &str)> = query
        .split('&')
        .map(|field| field.split_once('=').unwrap())
        .collect();
    let expected = [
        ("secret", probe::shown_secret(secret).to_string()),
        ("issuer", shown.to_owned()),
        ("algorithm", "SHA256".to_owned()),
        ("digits", digits.to_string()),
        ("period", period.to_string()),
    ];
    let found: Vec<(&str, String)> = fields
        .into_iter()
        .map(|(key, value)| (key, value.to_owned()))
        .collect();
    assert_eq!(found, expected);
}

/// Percent-decoding (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            assert!(
                byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
                "{text}"
            );
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn command_line(words: &[String]) {
    if let Err(what) = probe::command_line(words) {
        assert!(!what.is_empty());
    }
    // A secret on the command line is no secret: everybody on the host can read it.
    let line = ["app", "enroll", "alice", "--secret"].map(str::to_owned);
    for word in words {
        let mut line = line.to_vec();
        line.push(word.clone());
        assert_eq!(probe::command_line(&line).is_ok(), word == "-", "{word:?}");
    }
}
