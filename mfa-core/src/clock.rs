//! What time it is: the only room that asks the system's clocks.

use std::fmt;
use std::fs::File;
use std::io::Read;

use nix::time::{ClockId, clock_gettime};

/// The boot that a moment belongs to: the first 64 bits of `/proc/sys/kernel/random/boot_id`
/// (random(4)), or 0 where it can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub u64);

impl BootId {
    /// Where the kernel does not tell: no two moments count as of one boot.
    pub const UNKNOWN: Self = Self(0);
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch; may be set by an administrator or by NTP.
    pub wall_ms: i64,
    /// The boot that `up_ms` counts from.
    pub boot: BootId,
    /// Milliseconds on `CLOCK_BOOTTIME`, which no one can set.
    pub up_ms: i64,
}

impl Moment {
    /// Whole seconds since the Unix epoch, 0 for a clock before it.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        u64::try_from(self.wall_ms.div_euclid(1000)).unwrap_or(0)
    }
}

/// The port through which a login learns the time.
pub trait Clock {
    /// The clocks now.
    fn now(&self) -> Moment;
}

/// The clocks of this host.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    boot: BootId,
}

impl SystemClock {
    /// Reads the boot id once; it can't change while a process lives.
    #[must_use]
    pub fn new() -> Self {
        // The text of a UUID fits, and comes in one read.
        let mut text = [0; 64];
        let read =
            File::open("/proc/sys/kernel/random/boot_id").and_then(|mut file| file.read(&mut text));
        let boot = read
            .ok()
            .and_then(|length| std::str::from_utf8(text.get(..length)?).ok())
            .and_then(|text| {
                let digits: String = text
                    .chars()
                    .filter(char::is_ascii_hexdigit)
                    .take(16)
                    .collect();
                u64::from_str_radix(&digits, 16).ok()
            })
            .map_or(BootId::UNKNOWN, BootId);
        Self { boot }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let (wall_ms, _) = milliseconds(ClockId::CLOCK_REALTIME);
        let (up_ms, known) = milliseconds(ClockId::CLOCK_BOOTTIME);
        let boot = if known { self.boot } else { BootId::UNKNOWN };
        Moment {
            wall_ms,
            boot,
            up_ms,
        }
    }
}

/// Milliseconds on `CLOCK_BOOTTIME`; where that can't be read, always the same.
pub(crate) fn up_ms() -> i64 {
    milliseconds(ClockId::CLOCK_BOOTTIME).0
}

/// A clock's milliseconds, and whether it could be read. A kernel without `CLOCK_BOOTTIME` (before
/// 2.6.39) falls back to the wall clock through [`BootId::UNKNOWN`].
fn milliseconds(clock: ClockId) -> (i64, bool) {
    #[allow(clippy::disallowed_methods)] // this is the clock adapter
    match clock_gettime(clock) {
        Ok(time) => {
            let ms = time
                .tv_sec()
                .saturating_mul(1000)
                .saturating_add(time.tv_nsec() / 1_000_000);
            (ms, true)
        }
        Err(_) => (0, false),
    }
}

/// `2026-11-20T09:00:00Z` for a number of seconds since the Unix epoch (RFC 3339, UTC; years 1970 to
/// 9999, later ones are shown as the last second of 9999).
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    let seconds = unix_seconds.min(LAST);
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the proleptic Gregorian calendar, counted in 400-year eras that begin on
/// 1 March, so that the leap day is the last day of a year.
fn civil_date(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        // The right-hand sides were printed by `date -u -d @N --iso-8601=seconds`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_168_800, "2026-11-20T10:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn the_system_clocks_go_forward() {
        let clock = SystemClock::new();
        let (first, second) = (clock.now(), clock.now());
        assert_eq!(first.boot, second.boot);
        assert_ne!(first.boot, BootId::UNKNOWN);
        assert!(second.up_ms >= first.up_ms);
        assert!(first.unix_seconds() > 1_700_000_000);
    }
}
