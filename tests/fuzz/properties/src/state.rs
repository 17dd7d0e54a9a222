//! What logins leave behind.

use mfa_core::bypass::{self, Bypass};
use mfa_core::clock::{BootId, Moment};
use mfa_core::config::Config;
use mfa_core::record::AppId;
use mfa_core::state::LoginState;
use mfa_core::throttle::{self, Failures, Limits, Verdict};

use crate::input::Input;
use crate::place::assert_within;

/// A state is read or refused at a place that there is, and survives being written. Its clock never goes back, its counters
/// never wrap, and who is locked or disabled stays so while no time passes.
pub fn state(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let moment = Moment {
        wall_ms: input.number().cast_signed(),
        boot: BootId(input.number()),
        up_ms: input.number().cast_signed(),
    };
    let payload = input.rest();
    let mut state = match LoginState::parse(payload, &[]) {
        Ok(read) => read.value,
        Err(error) => return assert_within(payload, &error),
    };
    assert_survives(&state);
    let before = state.now();
    state.advance(&moment);
    assert!(state.now() >= before);
    let passed = state.now();
    state.advance(&moment);
    assert_eq!(state.now(), passed, "no time passes within a moment");

    let config = Config::default();
    let limits = Limits::from(&config);
    let now = state.now();
    for failures in [&mut state.codes, &mut state.recovery, &mut state.passphrase] {
        charge(failures, now, &limits);
    }
    let sends = config.code.max_sends.get();
    let allowed = (0..=sends)
        .filter(|_| throttle::charge_send(&mut state.sends, state.clock.elapsed_ms, &config))
        .count();
    assert!(allowed <= sends as usize);
    tokens(&mut state);
    bypasses(&mut state);
    state.forget_removed_apps(&[], moment.unix_seconds(), 1);
    assert!(state.steps.len() <= 12);
    for accepted in &state.steps {
        let _ = accepted.is_from_the_future(moment.unix_seconds(), 1);
    }
    state.succeeded(moment.unix_seconds(), &"\u{10ffff}\n".repeat(40));
    assert!(!state.codes.disabled && state.codes.in_row == 0);
    assert_survives(&state);
}

/// Each counter for itself, codes, recovery codes and passphrases alike.
fn charge(failures: &mut Failures, now: u64, limits: &Limits) {
    let first = throttle::admit(failures, now, limits);
    let before = failures.clone();
    let _ = throttle::charge(failures, now, limits);
    assert!(failures.in_row > before.in_row || before.in_row == u32::MAX);
    if first != Verdict::Evaluate {
        assert_ne!(
            throttle::admit(failures, now, limits),
            Verdict::Evaluate,
            "a failure lets nobody in"
        );
    }
}

/// A counter that was used stays so.
fn tokens(state: &mut LoginState) {
    let known: Vec<AppId> = state
        .tokens
        .iter()
        .map(|known| known.token.clone())
        .collect();
    let unknown = AppId::parse("ffffffff").unwrap();
    for id in known.iter().chain([&unknown]) {
        let next = |state: &LoginState| state.token(id).map_or(0, |known| known.next);
        let before = next(state);
        state.raise_token(id, before.saturating_sub(1));
        assert_eq!(next(state), before);
        let after = before.saturating_add(1);
        state.use_token(id, after, 7);
        assert_eq!((next(state), state.token(id).unwrap().used), (after, 7));
    }
    let names = state.tokens.iter().map(|known| known.token.to_string());
    assert!(names.count() <= known.len() + 1);
}

/// A bypass lets in while it is open, whatever a state remembers of others; once it was told to be over, never again.
fn bypasses(state: &mut LoginState) {
    const NOW: u64 = 1_795_168_800;
    let fresh = Bypass::grant(NOW, 3600, "no phone", "root");
    let uses = bypass::remembered(&fresh, state).map_or(0, |known| known.uses);
    let left = bypass::use_once(&fresh, state, NOW);
    if left.is_some() {
        let known = bypass::remembered(&fresh, state).unwrap();
        assert_eq!((left, known.uses), (Some(3600), uses.saturating_add(1)));
    }
    assert_eq!(bypass::use_once(&fresh, state, NOW + 3600), None);
    bypass::expire(Some(&fresh), state, NOW + 3600);
    assert!(
        !bypass::expire(Some(&fresh), state, NOW + 3600),
        "told twice"
    );
    assert_eq!(bypass::use_once(&fresh, state, NOW), None, "open again");
}

fn assert_survives(state: &LoginState) {
    // TOML has no numbers beyond; no clock of ours gets there.
    let Ok(text) = state.to_payload() else {
        return;
    };
    let again = LoginState::parse(text.as_bytes(), &[]).unwrap();
    assert_eq!(again.value, *state);
}
