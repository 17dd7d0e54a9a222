//! A user's record.

use std::collections::BTreeSet;

use mfa_core::bypass::{LONGEST, Standing};
use mfa_core::device::DeviceId;
use mfa_core::passphrase::PassphraseHash;
use mfa_core::record::{
    AppId, MAX_APPS, MAX_DEVICES, MAX_RECOVERY_CODES, MAX_REMOVED_TOKENS, Method, UserRecord,
};
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
        tokens(&record);
        bypass(&record, bytes);
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

/// Apps and tokens are told apart, and what is remembered of a removed token only goes up.
fn tokens(record: &UserRecord) {
    assert!(record.apps.len() + record.tokens.len() <= MAX_APPS);
    assert!(record.removed_tokens.len() <= MAX_REMOVED_TOKENS);
    let apps = record.apps.iter().map(|app| app.id.to_string());
    let ids: BTreeSet<_> = apps
        .chain(record.tokens.iter().map(|token| token.id.to_string()))
        .collect();
    assert_eq!(ids.len(), record.apps.len() + record.tokens.len());
    let has_one = record.tokens.iter().any(|token| !token.disabled);
    let counts = record.methods.contains(&Method::Token);
    assert_eq!(record.has_usable_token(), has_one && counts);
    let newest = AppId::parse("ffffffff").unwrap();
    let known = record.removed_tokens.iter().map(|token| token.id.clone());
    for id in known.chain([newest]) {
        let before = record.removed_counter(&id);
        for counter in [None, Some(0), Some(7), Some(u64::MAX >> 1)] {
            let mut record = record.clone();
            record.remember_removed(&id, counter);
            assert_eq!(
                record.removed_counter(&id),
                Some(before.max(counter).unwrap_or(0))
            );
            assert_eq!(
                record.removed_token(&id).unwrap().unknown,
                counter.is_none()
            );
            assert!(record.removed_tokens.len() <= MAX_REMOVED_TOKENS);
            assert_reads_back(&record);
        }
    }
}

fn assert_reads_back(record: &UserRecord) {
    let text = record.to_text().unwrap();
    let again = UserRecord::parse(text.as_bytes(), &record.user, &[]).unwrap();
    assert_eq!(again.record, *record);
}

/// Whatever a record says, nobody is let by for longer than a day, and what was over does not open again.
fn bypass(record: &UserRecord, bytes: &[u8]) {
    let Some(bypass) = &record.bypass else {
        return;
    };
    // Moments around those that are written, and others.
    let odd = bytes
        .iter()
        .fold(0_u64, |sum, byte| sum * 31 % (1 << 40) + u64::from(*byte));
    let mut was_over = false;
    let mut open_at = Vec::new();
    let mut moments = [
        0,
        odd,
        1_795_168_799,
        1_795_168_800,
        1_795_172_399,
        1_795_172_400,
        1_795_300_000,
        u64::MAX,
    ];
    moments.sort_unstable();
    for now in moments {
        match bypass.standing(now) {
            Standing::Open(left) => {
                assert!(!was_over && (1..=LONGEST).contains(&left), "{left}");
                assert_eq!(bypass.standing(now + left), Standing::Over);
                open_at.push(now);
            }
            Standing::NotYet => assert!(!was_over && open_at.is_empty()),
            Standing::Over => was_over = true,
        }
    }
    let longest = open_at.iter().max().zip(open_at.iter().min());
    assert!(longest.is_none_or(|(last, first)| last - first < LONGEST));
}
