//! `mfa.toml` and `emergency.toml`.

use mfa_core::config::Config;
use mfa_core::config::emergency::EmergencyFile;

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
    if file.used.is_none() {
        let text = std::str::from_utf8(bytes).unwrap();
        let marked = format!("{text}\nused = 2026-11-20T10:00:00Z\n");
        let marked = EmergencyFile::parse(marked.as_bytes()).unwrap();
        assert!(
            marked.used.is_some() && marked.users == file.users && marked.code() == file.code()
        );
    }
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
    let api = config.courier.telegram.api.as_str();
    assert!(
        api.starts_with("https://") || api.starts_with("http://127.0.0.1"),
        "{api}"
    );
}
