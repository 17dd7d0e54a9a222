//! A user's record.

use mfa_core::device::DeviceId;
use mfa_core::passphrase::PassphraseHash;
use mfa_core::record::{MAX_APPS, MAX_DEVICES, MAX_RECOVERY_CODES, Method, UserRecord};
use mfa_core::request::UserName;

use crate::place::assert_within;

/// A record is read or refused at a place that there is; what is read keeps to its bounds, is this user's, and survives being
/// written.
pub fn record(bytes: &[u8]) {
    let alice = UserName::parse("alice").unwrap();
    let lists = [vec![], vec!["newer".to_owned(), "apps.colour".to_owned()]];
    for ignored in lists {
        let read = match UserRecord::parse(bytes, &alice, &ignored) {
            Ok(read) => read,
            Err(error) => {
                assert_within(bytes, &error);
                continue;
            }
        };
        let record = read.record;
        assert_eq!(record.user, alice);
        assert!(record.apps.len() <= MAX_APPS && record.devices.len() <= MAX_DEVICES);
        let codes = record.recovery.as_ref().map_or(0, |set| set.hashes.len());
        assert!(codes <= MAX_RECOVERY_CODES);
        if let Some(kept) = &record.passphrase {
            let cost = kept.hash.cost();
            assert!((8..=262_144).contains(&cost.memory) && (1..=16).contains(&cost.passes));
            assert!((1..=4).contains(&cost.lanes) && cost.memory >= 8 * cost.lanes);
            let text = kept.hash.to_text();
            assert_eq!(PassphraseHash::parse(&text).as_ref(), Ok(&kept.hash));
        }
        for app in &record.apps {
            assert!((6..=8).contains(app.digits.get()) && (10..=300).contains(app.period.get()));
        }
        for method in [Method::Email, Method::Telegram, Method::Command] {
            let to = record.address_for(method).unwrap_or_default();
            assert!(!to.chars().any(|c| c.is_control() || c.is_whitespace()));
        }
        let here = DeviceId::parse(&"1".repeat(32)).unwrap();
        assert!(!record.is_assigned_to(here) || !record.devices.is_empty());
        let text = record.to_text().unwrap();
        let again = UserRecord::parse(text.as_bytes(), &alice, &[]).unwrap();
        assert_eq!(again.record, record);
        assert!(!again.has_ignored_keys);
        assert_eq!(again.record.to_text().unwrap(), text);
        let bob = UserName::parse("bob").unwrap();
        assert!(UserRecord::parse(bytes, &bob, &ignored).is_err());
    }
}
