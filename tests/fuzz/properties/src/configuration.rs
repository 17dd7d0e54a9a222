//! `mfa.toml` and `emergency.toml`.

use mfa_core::config::Config;
use mfa_core::config::emergency::EmergencyFile;
use mfa_core::emergency::{self, FILE_NAME, Mark};
use mfa_core::secure_file::Owner;

use crate::folder;
use crate::place::assert_within;

/// A configuration is read or refused at a place that there is; the same text says the same again; and a key that nobody knows
/// is refused by its name.
pub fn configuration(bytes: &[u8]) {
    emergency_file(bytes);
    let config = match Config::parse(bytes) {
        Ok(config) => config,
        Err(error) => return assert_within(bytes, &error),
    };
    assert_eq!(Config::parse(bytes), Ok(config.clone()));
    check_values(&config);
    let text = std::str::from_utf8(bytes).unwrap();
    let has_mark = text.starts_with('\u{feff}');
    if !has_mark && !config.ignore_unknown.iter().any(|key| key == "nobody") {
        let odd = format!("nobody = 1\n{text}");
        let error = Config::parse(odd.as_bytes()).unwrap_err();
        assert!(error.message.contains("`nobody`"), "{error}");
        assert_eq!((error.line, error.column), (1, 1), "{error}");
    }
}

/// The same bytes as the break-glass file: a code is there as a whole or not at all, and one more line can be added.
fn emergency_file(bytes: &[u8]) {
    let file = match EmergencyFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => return assert_within(bytes, &error),
    };
    let parts = [
        file.generated.is_some(),
        file.salt.is_some(),
        file.hash.is_some(),
    ];
    assert!(parts.iter().all(|part| *part == file.code().is_some()));
    mark(bytes, &file);
}

/// Its code is marked as used once, all else stays to the letter, and what is written reads back.
fn mark(bytes: &[u8], file: &EmergencyFile) {
    let Some((salt, hash)) = file.code() else {
        return;
    };
    folder::put(FILE_NAME, bytes);
    let path = folder::path().join(FILE_NAME);
    let owner = Owner::effective_user();
    let mark_if = |hash: &str, still: bool| {
        emergency::use_up(&path, owner, (salt, hash), &|_| still, 1_795_168_800)
    };
    let use_up = |hash: &str| mark_if(hash, true);
    assert_eq!(use_up("00"), Mark::Replaced);
    assert_eq!(mark_if(hash, false), Mark::Replaced);
    let expected = match file.used {
        Some(_) => Mark::UsedBefore,
        None => Mark::Used,
    };
    assert_eq!(use_up(hash), expected);
    assert_eq!(use_up(hash), Mark::UsedBefore);
    let marked = std::fs::read(&path).unwrap();
    assert!(marked.starts_with(bytes));
    let marked = EmergencyFile::parse(&marked).unwrap();
    let as_it_was = EmergencyFile {
        used: file.used,
        ..marked.clone()
    };
    assert!(marked.used.is_some() && as_it_was == *file);
}

/// What everything else relies on.
fn check_values(config: &Config) {
    let paths = &config.paths;
    for path in [
        &paths.store,
        &paths.spool,
        &paths.seal_key,
        &paths.credentials,
        &paths.emergency,
        &paths.courier,
        &paths.machine_id,
        &config.courier.sendmail.path,
    ] {
        let path = path.as_path();
        let has_parent = path.components().any(|part| part.as_os_str() == "..");
        assert!(path.is_absolute() && !has_parent, "{}", path.display());
    }
    assert!((1..=10).contains(&config.prompt.tries.get()));
    assert!((1..=100).contains(&config.lockout.disable_after.get()));
    // NIST SP 800-63B: a delivered code is good for 10 minutes at most.
    assert!((10..=600).contains(&config.code.lifetime.get().as_secs()));
    if let Some(smtp) = &config.courier.smtp {
        assert!(smtp.from.address().contains('@') && !smtp.host.as_str().is_empty());
        assert!(!smtp.password.as_str().contains('/'));
        for text in [smtp.from.name(), smtp.from.address(), smtp.host.as_str()] {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
    assert!((7168..=262_144).contains(&config.passphrase.memory.get()));
    assert!((1..=16).contains(&config.passphrase.passes.get()));
    let api = config.courier.telegram.api.as_str();
    assert!(
        api.starts_with("https://") || api.starts_with("http://127.0.0.1"),
        "{api}"
    );
}
