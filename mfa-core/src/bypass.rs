//! A bypass: an administrator lets a user in without a code for a time, which ends by itself. The record says since when,
//! until when, why and by whose hand; the state, how often it was used and whether its end was told.

use serde::Serialize;
use toml::value::{Datetime, Offset};

use crate::document::node::from_keys;
use crate::record::datetime;
use crate::state::LoginState;

/// The shortest bypass, seconds.
pub const SHORTEST: u64 = 60;
/// The longest one, seconds. A longer one in a record, however it came there, is none.
pub const LONGEST: u64 = 24 * 3600;

/// What a record says of a bypass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bypass {
    /// Since when.
    pub granted: Datetime,
    /// Until when.
    pub until: Datetime,
    /// Why.
    pub reason: String,
    /// Who granted it.
    pub by: String,
}

/// Where a bypass stands.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It lets in, for so many seconds yet.
    Open(u64),
    /// The clock is before its beginning: it lets nobody in, and is not over.
    NotYet,
    /// It lets nobody in any more.
    Over,
}

impl Bypass {
    /// One that begins now. `seconds`: [`SHORTEST`] to [`LONGEST`].
    #[must_use]
    pub fn grant(now: u64, seconds: u64, reason: &str, by: &str) -> Self {
        Self {
            granted: datetime(now),
            until: datetime(now.saturating_add(seconds)),
            reason: reason.to_owned(),
            by: by.to_owned(),
        }
    }

    /// Where it stands. It has a beginning as well as an end, so that a clock that is set back does not keep it open for
    /// longer than its whole length.
    pub fn standing(&self, now: u64) -> Standing {
        let (Some(granted), Some(until)) = (seconds(&self.granted), seconds(&self.until)) else {
            return Standing::Over;
        };
        if until <= now || until.saturating_sub(granted) > LONGEST {
            Standing::Over
        } else if now < granted {
            Standing::NotYet
        } else {
            Standing::Open(until - now)
        }
    }

    /// What the state knows it by.
    fn id(&self) -> u64 {
        seconds(&self.granted).unwrap_or_default()
    }
}

/// What is remembered of a bypass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BypassUse {
    /// Of which: when it began, seconds since the Unix epoch.
    granted: u64,
    /// How often it let in.
    pub uses: u32,
    /// When it was first seen, on the state's own clock, milliseconds, which no clock that is set turns back.
    since: u64,
    /// How long it had yet, milliseconds.
    left: u64,
    /// Its end was told: a clock that is set back does not open it again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    over: bool,
}

impl BypassUse {
    /// Whether as much time has passed for the state as the bypass had.
    fn has_run_out(&self, state_now: u64) -> bool {
        state_now.saturating_sub(self.since) >= self.left
    }
}

from_keys!(Bypass { granted, until, reason, by } or default {});
from_keys!(BypassUse { granted, uses, since, left } or default { over });

/// What the state remembers of this bypass.
#[must_use]
pub fn remembered<'a>(bypass: &Bypass, state: &'a LoginState) -> Option<&'a BypassUse> {
    let id = bypass.id();
    state.bypass.as_ref().filter(|known| known.granted == id)
}

/// Notes that a bypass was seen, at a time in seconds since the Unix epoch: from now on its time runs on the state's clock
/// as well, which is to have been advanced.
pub fn note<'a>(bypass: &Bypass, state: &'a mut LoginState, now: u64) -> &'a mut BypassUse {
    let granted = bypass.id();
    if remembered(bypass, state).is_none() {
        state.bypass = None;
    }
    let left = match bypass.standing(now) {
        Standing::Open(seconds) => seconds,
        // Its whole length, from whenever it is first seen.
        Standing::NotYet => seconds(&bypass.until)
            .unwrap_or_default()
            .saturating_sub(granted),
        Standing::Over => 0,
    };
    let since = state.now();
    state.bypass.get_or_insert(BypassUse {
        granted,
        uses: 0,
        since,
        left: left.saturating_mul(1000),
        over: false,
    })
}

/// Counts a login that a bypass lets in; how many seconds it has yet. `None`: it lets nobody in.
pub fn use_once(bypass: &Bypass, state: &mut LoginState, now: u64) -> Option<u64> {
    let Standing::Open(left) = bypass.standing(now) else {
        return None;
    };
    let state_now = state.now();
    let known = note(bypass, state, now);
    if known.over || known.has_run_out(state_now) {
        return None;
    }
    known.uses = known.uses.saturating_add(1);
    Some(left)
}

/// Whether a bypass is over and nobody has told: whoever is answered so tells, once.
pub fn expire(bypass: Option<&Bypass>, state: &mut LoginState, now: u64) -> bool {
    let Some(bypass) = bypass else {
        return false;
    };
    let is_over = bypass.standing(now) == Standing::Over;
    let has_run_out = remembered(bypass, state).is_some_and(|known| known.has_run_out(state.now()));
    if !is_over && !has_run_out {
        return false;
    }
    !std::mem::replace(&mut note(bypass, state, now).over, true)
}

/// Seconds since the Unix epoch of a moment as records write it (RFC 3339); `None` before the epoch, and where a part
/// is missing.
fn seconds(moment: &Datetime) -> Option<u64> {
    let (date, time) = (moment.date?, moment.time?);
    let minutes = match moment.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days from civil, the other way round than in `clock`: years begin on 1 March.
    let is_early = date.month <= 2;
    let year = i64::from(date.year) - i64::from(is_early);
    let month = (i64::from(date.month) + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + i64::from(date.day) - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let of_day = i64::from(time.hour) * 3600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0));
    u64::try_from(days * 86_400 + of_day - minutes * 60).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_168_800;
    const HOUR: u64 = 3600;

    fn of(granted: &str, until: &str) -> Bypass {
        Bypass {
            granted: granted.parse().unwrap(),
            until: until.parse().unwrap(),
            reason: "lost phone".to_owned(),
            by: "root".to_owned(),
        }
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for moment in [
            0,
            951_782_399,
            951_782_400,
            1_709_251_199,
            NOW,
            4_107_542_400,
        ] {
            assert_eq!(seconds(&datetime(moment)), Some(moment));
        }
        for day in 0..60_000 {
            assert_eq!(
                seconds(&datetime(day * 86_400 + 86_399)),
                Some(day * 86_400 + 86_399)
            );
        }
        let moment = |text: &str| seconds(&text.parse().unwrap());
        assert_eq!(moment("2026-11-20T11:30:00+01:30"), Some(NOW));
        assert_eq!(moment("2026-11-20T05:00:00-05:00"), Some(NOW));
        for no_moment in [
            "2026-11-20",
            "10:00:00",
            "2026-11-20T10:00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(moment(no_moment), None, "{no_moment}");
        }
    }

    #[test]
    fn it_is_open_from_its_beginning_to_its_end_and_at_no_other_time() {
        let bypass = Bypass::grant(NOW, HOUR, "lost phone", "root");
        for (now, expected) in [
            (0, Standing::NotYet),
            (NOW - 1, Standing::NotYet),
            (NOW, Standing::Open(HOUR)),
            (NOW + HOUR - 1, Standing::Open(1)),
            (NOW + HOUR, Standing::Over),
            (u64::MAX, Standing::Over),
        ] {
            assert_eq!(bypass.standing(now), expected, "{now}");
        }
        let longest = Bypass::grant(NOW, LONGEST, "x", "root");
        assert_eq!(longest.standing(NOW), Standing::Open(LONGEST));
    }

    #[test]
    fn what_nobody_could_have_granted_lets_nobody_in() {
        for (granted, until) in [
            ("2026-11-20T10:00:00Z", "2026-11-21T10:00:01Z"),
            ("2026-11-20T10:00:00Z", "9999-12-31T23:59:59Z"),
            ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
            ("2026-11-20T10:00:00Z", "2026-11-20T09:00:00Z"),
            ("2026-11-20T10:00:00Z", "2026-11-20"),
            ("2026-11-20", "2026-11-20T11:00:00Z"),
        ] {
            let standing = of(granted, until).standing(NOW);
            assert_eq!(standing, Standing::Over, "{granted} {until}");
        }
    }

    #[test]
    fn uses_are_counted_and_the_end_is_told_once_and_holds() {
        let bypass = Bypass::grant(NOW, HOUR, "lost phone", "root");
        let mut state = LoginState::default();
        assert_eq!(use_once(&bypass, &mut state, NOW - 1), None);
        assert_eq!(use_once(&bypass, &mut state, NOW), Some(HOUR));
        assert_eq!(use_once(&bypass, &mut state, NOW + 1), Some(HOUR - 1));
        assert_eq!(remembered(&bypass, &state).unwrap().uses, 2);
        assert!(!expire(Some(&bypass), &mut state, NOW + HOUR - 1));
        assert!(!expire(None, &mut state, NOW + HOUR));
        assert!(expire(Some(&bypass), &mut state, NOW + HOUR));
        assert!(!expire(Some(&bypass), &mut state, NOW + HOUR));
        // The clock is set back: it stays over, also through its file.
        let text = state.to_payload().unwrap();
        let mut state = LoginState::parse(text.as_bytes(), &[]).unwrap().value;
        assert_eq!(use_once(&bypass, &mut state, NOW), None);
        assert!(!expire(Some(&bypass), &mut state, NOW + HOUR));
        // Another one begins anew.
        let next = Bypass::grant(NOW + HOUR, HOUR, "still lost", "root");
        assert!(remembered(&next, &state).is_none());
        assert_eq!(use_once(&next, &mut state, NOW + HOUR), Some(HOUR));
        assert_eq!(remembered(&next, &state).unwrap().uses, 1);
    }
}
