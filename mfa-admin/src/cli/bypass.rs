//! The words of `bypass`.

use clap::Subcommand;
use mfa_core::bypass::{LONGEST, SHORTEST};

use super::{NameArgs, name, reason};

/// `bypass`.
#[derive(Debug, Subcommand)]
pub(crate) enum BypassCommand {
    /// Let a user in without a code for a time; voids what was granted before
    Grant {
        /// Whom
        #[arg(value_parser = name)]
        name: String,
        /// How long, from 1m to 24h
        #[arg(long = "for", value_name = "TIME", value_parser = length, allow_hyphen_values = true)]
        length: u64,
        /// Why; for other administrators and for the log
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Have a user asked for a code again
    Revoke(NameArgs),
    /// List who is not asked for a code, and until when
    List,
    /// Clear those that are over, with a line in the log; for a timer
    Expire,
}

/// Seconds in `90s`, `30m`, `1h`, `1d`.
fn length(text: &str) -> Result<u64, String> {
    let wrong =
        || "write a time from 1m to 24h, as 30m or 8h: a bypass is no way to live".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 86_400,
        _ => return Err(wrong()),
    };
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count
        .checked_mul(unit)
        .filter(|seconds| is_plain && (SHORTEST..=LONGEST).contains(seconds))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bypass_is_as_long_as_a_minute_to_a_day() {
        for (text, seconds) in [
            ("60s", 60),
            ("1m", 60),
            ("30m", 1800),
            ("1h", 3600),
            ("24h", 86_400),
            ("1440m", 86_400),
            ("1d", 86_400),
        ] {
            assert_eq!(length(text), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "0",
            "0h",
            "h",
            "1",
            "59s",
            "25h",
            "2d",
            "1441m",
            "-1h",
            "+1h",
            "1.5h",
            "1 h",
            "1H",
            "1hh",
            "99999999999999999999h",
            "é",
            "1é",
        ] {
            assert!(length(text).is_err(), "{text:?}");
        }
    }
}
