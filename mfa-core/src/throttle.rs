//! How many failures are too many: pure, over the counters that a login state keeps.

use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::document::node::from_keys;

/// Failures of one kind of answer. Times are on the state's own clock, milliseconds
/// ([`crate::state::StateClock`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// Failures since the window was opened.
    pub in_window: u32,
    /// When the first failure opened the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_opened: Option<u64>,
    /// Failures since the last success or unlock.
    pub in_row: u32,
    /// When the lock began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_at: Option<u64>,
    /// Until an administrator acts.
    pub disabled: bool,
}

/// Codes that were sent. Times are on the state's own clock, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sends {
    /// Codes sent since the window was opened.
    pub in_window: u32,
    /// When the first of them opened the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_opened: Option<u64>,
}

from_keys!(Failures {} or default { in_window, window_opened, in_row, locked_at, disabled });
from_keys!(Sends {} or default { in_window, window_opened });

/// What the configuration allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    max_failures: u32,
    within: Duration,
    lock_after: u32,
    lock_for: Duration,
    disable_after: u32,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_failures: config.throttle.max_failures.get(),
            within: config.throttle.within.get(),
            lock_after: config.lockout.after.get(),
            lock_for: config.lockout.r#for.get(),
            disable_after: config.lockout.disable_after.get(),
        }
    }
}

/// Whether an answer may be looked at.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Evaluate,
    /// Too many failures in too short a time; how long until the next may be.
    Throttled(Duration),
    /// Locked; for how long yet.
    Locked(Duration),
    /// Disabled until an administrator acts.
    Disabled,
}

/// What a failure led to.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It was counted.
    Counted,
    /// It was counted, and the user is locked for a time.
    BecameLocked,
    /// It was counted, and the user is disabled.
    BecameDisabled,
}

/// Whether an answer may be looked at now.
pub fn admit(failures: &Failures, now: u64, limits: &Limits) -> Verdict {
    if failures.disabled {
        return Verdict::Disabled;
    }
    if let Some(left) = left_of(failures.locked_at, now, limits.lock_for) {
        return Verdict::Locked(left);
    }
    if limits.max_failures == 0 {
        return Verdict::Throttled(limits.within);
    }
    match left_of(failures.window_opened, now, limits.within) {
        Some(left) if failures.in_window >= limits.max_failures => Verdict::Throttled(left),
        _ => Verdict::Evaluate,
    }
}

/// Counts a failure.
pub fn charge(failures: &mut Failures, now: u64, limits: &Limits) -> Consequence {
    if left_of(failures.window_opened, now, limits.within).is_none() {
        failures.window_opened = Some(now);
        failures.in_window = 0;
    }
    failures.in_window = failures.in_window.saturating_add(1);
    failures.in_row = failures.in_row.saturating_add(1);
    if failures.in_row >= limits.disable_after {
        failures.disabled = true;
        return Consequence::BecameDisabled;
    }
    if failures.in_row.is_multiple_of(limits.lock_after.max(1)) {
        failures.locked_at = Some(now);
        return Consequence::BecameLocked;
    }
    Consequence::Counted
}

/// Counts a code that is to be sent; `false` where there were enough, and nothing is counted.
#[must_use]
pub fn charge_send(sends: &mut Sends, now: u64, config: &Config) -> bool {
    let (max, within) = (config.code.max_sends.get(), config.code.sends_within.get());
    let is_open = left_of(sends.window_opened, now, within).is_some();
    if max == 0 || (is_open && sends.in_window >= max) {
        return false;
    }
    if !is_open {
        *sends = Sends {
            in_window: 0,
            window_opened: Some(now),
        };
    }
    sends.in_window = sends.in_window.saturating_add(1);
    true
}

/// After a success, or an administrator's `unlock`: nothing in a row, no lock. A success leaves the
/// window as it is, so that right codes in between don't buy more guesses.
pub fn forgive(failures: &mut Failures) {
    failures.in_row = 0;
    failures.locked_at = None;
    failures.disabled = false;
}

/// How much of a time that began at `start` is left; `None` when it never began or is over.
fn left_of(start: Option<u64>, now: u64, length: Duration) -> Option<Duration> {
    let passed = Duration::from_millis(now.saturating_sub(start?));
    length.checked_sub(passed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::from(&Config::default())
    }

    const MINUTE: u64 = 60_000;

    #[test]
    fn five_failures_a_minute_and_no_sixth_look() {
        let mut failures = Failures::default();
        for second in 0..5 {
            assert_eq!(
                admit(&failures, second * 1000, &limits()),
                Verdict::Evaluate
            );
            assert_eq!(
                charge(&mut failures, second * 1000, &limits()),
                Consequence::Counted
            );
        }
        assert_eq!(
            admit(&failures, 5000, &limits()),
            Verdict::Throttled(Duration::from_secs(55))
        );
        assert_eq!(
            admit(&failures, MINUTE - 1, &limits()),
            Verdict::Throttled(Duration::from_millis(1))
        );
        assert_eq!(admit(&failures, MINUTE, &limits()), Verdict::Evaluate);
        let _ = charge(&mut failures, MINUTE, &limits());
        assert_eq!((failures.in_window, failures.in_row), (1, 6));
    }

    #[test]
    fn every_tenth_in_a_row_locks_and_the_hundredth_disables() {
        let mut failures = Failures::default();
        let mut now = 0;
        for count in 1..=100 {
            now += 20 * MINUTE;
            assert_eq!(
                admit(&failures, now, &limits()),
                Verdict::Evaluate,
                "{count}"
            );
            let expected = match count {
                100 => Consequence::BecameDisabled,
                _ if count % 10 == 0 => Consequence::BecameLocked,
                _ => Consequence::Counted,
            };
            assert_eq!(charge(&mut failures, now, &limits()), expected, "{count}");
            if expected == Consequence::BecameLocked {
                assert_eq!(
                    admit(&failures, now + 14 * MINUTE, &limits()),
                    Verdict::Locked(Duration::from_secs(60))
                );
                assert_eq!(
                    admit(&failures, now + 15 * MINUTE, &limits()),
                    Verdict::Evaluate
                );
            }
        }
        assert_eq!(admit(&failures, u64::MAX, &limits()), Verdict::Disabled);
        forgive(&mut failures);
        assert_eq!(admit(&failures, u64::MAX, &limits()), Verdict::Evaluate);
        assert_eq!(failures.in_row, 0);
    }

    #[test]
    fn a_success_does_not_buy_more_guesses_within_the_window() {
        let mut failures = Failures::default();
        for _ in 0..5 {
            let _ = charge(&mut failures, 0, &limits());
            forgive(&mut failures);
        }
        assert!(matches!(
            admit(&failures, 1, &limits()),
            Verdict::Throttled(_)
        ));
    }

    #[test]
    fn three_codes_a_quarter_of_an_hour_and_no_fourth() {
        let config = Config::default();
        let mut sends = Sends::default();
        for second in 0..3 {
            assert!(charge_send(&mut sends, second * 1000, &config));
        }
        for now in [3000, 15 * MINUTE - 1] {
            assert!(!charge_send(&mut sends, now, &config));
        }
        assert_eq!(sends.in_window, 3);
        assert!(charge_send(&mut sends, 15 * MINUTE, &config));
        assert_eq!(
            (sends.in_window, sends.window_opened),
            (1, Some(15 * MINUTE))
        );
        let none = Config::parse(b"version = 1\n[code]\nmax_sends = 0").unwrap();
        assert!(!charge_send(&mut Sends::default(), 0, &none));
    }

    #[test]
    fn a_limit_of_none_allows_none_and_counters_saturate() {
        let none = Limits {
            max_failures: 0,
            ..limits()
        };
        assert!(matches!(
            admit(&Failures::default(), 0, &none),
            Verdict::Throttled(_)
        ));
        let mut failures = Failures {
            in_window: u32::MAX,
            window_opened: Some(0),
            in_row: u32::MAX,
            ..Failures::default()
        };
        assert_eq!(
            charge(&mut failures, 0, &limits()),
            Consequence::BecameDisabled
        );
        assert_eq!((failures.in_window, failures.in_row), (u32::MAX, u32::MAX));
    }
}
