//! Secrets at rest.

use mfa_core::seal::SealingKey;

use crate::input::Input;

const KEY: &[u8] =
    b"mfa-seal-key:1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

/// Nothing opens but what was sealed, for the same user and purpose, with the same key, unaltered.
pub fn sealed(bytes: &[u8]) {
    let key = SealingKey::from_file_text(KEY).unwrap();
    let text = String::from_utf8_lossy(bytes);
    assert!(key.open("alice", "app/00000000", &text).is_err());
    key_file(bytes);

    let mut input = Input::new(bytes);
    let (place, change) = (usize::from(input.byte()), input.byte());
    let (user, purpose, secret) = (input.text(), input.text(), input.rest());
    let sealed = key.seal(&user, &purpose, secret).unwrap();
    assert_eq!(
        key.open(&user, &purpose, &sealed).unwrap().as_slice(),
        secret
    );
    for (other_user, other_purpose) in [
        (format!("{user}x"), purpose.clone()),
        (user.clone(), format!("{purpose}x")),
        // The same letters in another order of fields.
        (format!("{user}{purpose}"), String::new()),
        (String::new(), format!("{user}{purpose}")),
    ] {
        if (&other_user, &other_purpose) != (&user, &purpose) {
            assert!(key.open(&other_user, &other_purpose, &sealed).is_err());
        }
    }
    altered(&key, &user, &purpose, &sealed, (place, change));
    let (head, _) = sealed.rsplit_once(':').unwrap();
    for shorter in [head, &format!("{head}:"), &sealed[..sealed.len() - 2]] {
        assert!(key.open(&user, &purpose, shorter).is_err());
    }
    assert!(key.open(&user, &purpose, &format!("{sealed}00")).is_err());
    let other = SealingKey::generate().unwrap();
    assert!(other.open(&user, &purpose, &sealed).is_err());
}

/// One digit of the sealed text is another one.
fn altered(
    key: &SealingKey,
    user: &str,
    purpose: &str,
    sealed: &str,
    (place, change): (usize, u8),
) {
    let begin = sealed.rfind(':').unwrap() + 1;
    let place = begin + place % (sealed.len() - begin);
    let mut altered = sealed.as_bytes().to_vec();
    let digit = char::from(altered[place]).to_digit(16).unwrap();
    let other = (digit + 1 + u32::from(change) % 15) % 16;
    altered[place] = u8::try_from(char::from_digit(other, 16).unwrap()).unwrap();
    let altered = String::from_utf8(altered).unwrap();
    assert!(key.open(user, purpose, &altered).is_err(), "{altered}");
}

fn key_file(bytes: &[u8]) {
    if let Ok(key) = SealingKey::from_file_text(bytes) {
        let text = key.to_file_text();
        let again = SealingKey::from_file_text(text.as_bytes()).unwrap();
        assert_eq!((again.id(), again.to_file_text()), (key.id(), text));
    }
}
