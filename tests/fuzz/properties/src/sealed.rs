//! Secrets at rest.

use mfa_core::hex;
use mfa_core::host::Protection;
use mfa_core::seal::{SealError, SealingKey};

use crate::input::Input;

const KEY: &[u8] =
    b"mfa-seal-key:1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

/// Nothing opens but what was sealed, for the same user and purpose, with the same key, unaltered.
pub fn sealed(bytes: &[u8]) {
    let key = SealingKey::from_file_text(KEY).unwrap();
    let text = String::from_utf8_lossy(bytes);
    assert!(key.open("alice", "app/00000000", &text).is_err());
    key_file(bytes);
    key_of(bytes);
    credential(bytes);

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
    let key = match SealingKey::from_file_text(bytes) {
        Ok(key) => key,
        Err(error) => {
            return assert!(matches!(
                error,
                SealError::NotAKey | SealError::KeyLength(_)
            ));
        }
    };
    let text = key.to_file_text();
    let again = SealingKey::from_file_text(text.as_bytes()).unwrap();
    assert_eq!((again.id(), again.to_file_text()), (key.id(), text));
    assert!(again.is_same_as(&key) && again.id_before() == key.id_before());
    changed(&key);
}

/// A key file of bytes that come from outside, with a line, two or three: what fuzzers write themselves is seldom one.
fn key_of(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let lines = input.byte();
    let mut line = |prefix: &str| {
        let bytes: Vec<u8> = (0..32).map(|_| input.byte()).collect();
        format!("{prefix}{}\n", hex::encode(&bytes))
    };
    let mut text = line("mfa-seal-key:1:");
    if lines & 1 == 1 {
        text.push_str(&line("mfa-seal-key:1:"));
    }
    if lines & 2 == 2 {
        text.push_str(&line("mfa-mac-key:1:"));
    }
    let key = SealingKey::from_file_text(text.as_bytes()).unwrap();
    assert_eq!(*key.to_file_text(), text);
    assert_eq!(key.id_before().is_some(), lines & 1 == 1);
    changed(&key);
    // A key is whole or none.
    assert!(SealingKey::from_file_text(&text.as_bytes()[..text.len() - 2]).is_err());
}

/// What was sealed before keys were changed opens until that is done, and not after; what is computed stays.
fn changed(key: &SealingKey) {
    let next = key.successor().unwrap();
    let text = next.to_file_text();
    let next = SealingKey::from_file_text(text.as_bytes()).unwrap();
    assert_eq!(next.id_before(), Some(key.id()));
    let alone = next.alone();
    assert_eq!((alone.id(), alone.id_before()), (next.id(), None));
    let sealed = key.seal("alice", "app/00000000", b"secret").unwrap();
    let opened = next.open("alice", "app/00000000", &sealed);
    assert_eq!(opened.unwrap().as_slice(), b"secret");
    assert!(alone.open("alice", "app/00000000", &sealed).is_err());
    let sealed = next.seal("alice", "app/00000000", b"secret").unwrap();
    assert!(alone.open("alice", "app/00000000", &sealed).is_ok());
    assert!(key.open("alice", "app/00000000", &sealed).is_err());
    let mac = |key: &SealingKey| key.mac("app-id", b"data");
    assert_eq!((mac(&next), mac(&alone)), (mac(key), mac(key)));
}

/// Kinds of credentials by the first 15 bytes of their ids (systemd's creds-util.h).
const KINDS: [(&str, Protection); 6] = [
    ("5a1c6a86df9d4096b1d5a65e0862f1", Protection::HostKey),
    ("0c7cc07b117645919c4b0bea08bc20", Protection::Tpm2),
    ("faf7eb9341e3412ca1a436f95a2936", Protection::Tpm2),
    ("93a894094874449090caf2fc93cab5", Protection::HostKeyAndTpm2),
    ("af4950a849134eb1a73846304ff30c", Protection::HostKeyAndTpm2),
    ("058469daf6f54324800549da0f8ea2", Protection::Nothing),
];

/// What a credential is protected by is told by its head alone, as systemd writes it in base64.
fn credential(bytes: &[u8]) {
    let read = Protection::of(bytes);
    let kind = KINDS.iter().find(|(id, _)| {
        let head = bytes.get(..20).and_then(from_base64);
        head.is_some_and(|head| head.starts_with(id))
    });
    assert_eq!(read, kind.map_or(Protection::Unknown, |(_, kind)| *kind));
    let longer = [bytes, b"behind"].concat();
    assert!(bytes.len() < 20 || Protection::of(&longer) == read);
    assert!(!read.word().is_empty());
}

/// What whole groups of base64 stand for, in hexadecimal digits.
fn from_base64(text: &[u8]) -> Option<String> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values: Option<Vec<usize>> = text
        .iter()
        .map(|byte| alphabet.iter().position(|known| known == byte))
        .collect();
    let groups = values?;
    let group = |group: &[usize]| group.iter().fold(0, |bits, value| bits << 6 | value);
    let digits = groups
        .chunks_exact(4)
        .map(|four| format!("{:06x}", group(four)));
    Some(digits.collect())
}
