//! What logins leave behind.

use mfa_core::clock::{BootId, Moment};
use mfa_core::config::Config;
use mfa_core::state::LoginState;
use mfa_core::throttle::{self, Limits, Verdict};

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
    let first = throttle::admit(&state.codes, state.now(), &limits);
    let failures = state.codes.clone();
    let _ = throttle::charge(&mut state.codes, state.clock.elapsed_ms, &limits);
    assert!(state.codes.in_row > failures.in_row || failures.in_row == u32::MAX);
    if first != Verdict::Evaluate {
        assert_ne!(
            throttle::admit(&state.codes, state.now(), &limits),
            Verdict::Evaluate,
            "a failure lets nobody in"
        );
    }
    let sends = config.code.max_sends.get();
    let allowed = (0..=sends)
        .filter(|_| throttle::charge_send(&mut state.sends, state.clock.elapsed_ms, &config))
        .count();
    assert!(allowed <= sends as usize);
    state.forget_removed_apps(&[], moment.unix_seconds(), 1);
    assert!(state.steps.len() <= 12);
    for accepted in &state.steps {
        let _ = accepted.is_from_the_future(moment.unix_seconds(), 1);
    }
    state.succeeded(moment.unix_seconds(), &"\u{10ffff}\n".repeat(40));
    assert!(!state.codes.disabled && state.codes.in_row == 0);
    assert_survives(&state);
}

fn assert_survives(state: &LoginState) {
    // TOML has no numbers beyond; no clock of ours gets there.
    let Ok(text) = state.to_payload() else {
        return;
    };
    let again = LoginState::parse(text.as_bytes(), &[]).unwrap();
    assert_eq!(again.value, *state);
}
