//! Names that become names of files: users, and what waits in the spool.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use mfa_core::courier::{Document, Kind, NoticeName, SpoolName, sent_name};
use mfa_core::request::{RemoteHost, UserName};

use crate::input::Input;

/// No name leaves its folder, two names are never one file, and what is no name of ours is not taken for one.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    user_name(&text);
    file_name(&text);
    spool_name(bytes);
    notice_name(bytes);
    let host = RemoteHost::parse(&text);
    assert_eq!(host.is_none(), text.is_empty());
    assert_eq!(host.as_ref().map_or("", RemoteHost::as_str), text);
}

fn is_safe(file_name: &str) -> bool {
    let bytes = file_name.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(byte);
    !bytes.is_empty()
        && bytes.len() <= 200
        && bytes.iter().all(is_plain)
        && bytes[0] != b'.'
        && bytes[bytes.len() - 1] != b'.'
}

fn user_name(text: &str) {
    let Some(user) = UserName::parse(text) else {
        let encoded: usize = text
            .bytes()
            .map(|byte| if byte.is_ascii_lowercase() { 1 } else { 3 })
            .sum();
        assert!(
            text.is_empty() || text.contains('\u{fffd}') || encoded > 200,
            "{text:?}"
        );
        return;
    };
    assert_eq!(user.as_str(), text);
    assert!(is_safe(user.file_name()), "{text:?}: {}", user.file_name());
    // There and back again: so no two names have one file.
    assert_eq!(UserName::from_file_name(user.file_name()), Some(user));
}

fn file_name(text: &str) {
    if let Some(user) = UserName::from_file_name(text) {
        assert_eq!(user.file_name(), text);
        assert!(is_safe(text));
    }
}

fn spool_name(bytes: &[u8]) {
    let written = match SpoolName::parse(OsStr::from_bytes(bytes)) {
        None => return,
        Some(SpoolName::Notice(name)) => name.to_string(),
        Some(SpoolName::Waiting(name)) => {
            let again = SpoolName::parse(OsStr::new(&name.to_string()));
            // Numbers can be written in several ways.
            return assert_eq!(again, Some(SpoolName::Waiting(name)));
        }
        Some(SpoolName::Sent(user)) => sent_name(&user),
    };
    assert_eq!(written.as_bytes(), bytes);
}

fn notice_name(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = Kind::ALL[usize::from(input.byte()) % Kind::ALL.len()];
    let mut document = Document::new(kind, "0123456789abcdef".repeat(2), 0);
    document.user = input.text();
    let name = NoticeName::of(&document);
    assert_eq!(NoticeName::parse(&name.to_string()), Some(name.clone()));
    assert!(name.user.is_empty() || is_safe(&name.user));
    assert!(name.to_string().len() <= 255);
}
