//! The machine id, and what is derived from it.

use mfa_core::device::{APPLICATION_ID, DeviceId};
use sha2::{Digest, Sha256};

/// HMAC-SHA-256 (RFC 2104), by hand.
fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36), data].concat());
    let outer = Sha256::digest([&block.map(|byte| byte ^ 0x5c), inner.as_slice()].concat());
    outer.to_vec()
}

/// A machine id is taken exactly where it is one, and its device id is systemd's
/// (`sd_id128_get_machine_app_specific(3)`).
pub fn machine_id(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let digits = text.strip_suffix('\n').unwrap_or(&text);
    let is_id = digits.len() == 32
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && digits.bytes().any(|byte| byte != b'0');
    let derived = DeviceId::from_machine_id(&text);
    assert_eq!(derived.is_ok(), is_id, "{text:?}: {derived:?}");
    let given = DeviceId::parse(&text);
    if let Some(given) = given {
        assert_eq!(given.to_string(), text.to_lowercase());
    }
    let Ok(derived) = derived else {
        return;
    };
    let key: Vec<u8> = (0..16)
        .map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap())
        .collect();
    let mut id = hmac(&key, &APPLICATION_ID);
    id.truncate(16);
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let expected = mfa_core::hex::encode(&id);
    assert_eq!(derived.to_string(), expected);
    assert_ne!(
        derived.to_string(),
        digits.to_lowercase(),
        "the raw id is confidential"
    );
    assert!(expected.starts_with(&derived.short()));
}
