//! Whether the clock can be believed: a code is good for a minute and a half.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use mfa_core::clock::{Moment, rfc3339};

use super::check::Check;
use super::program;
use crate::output::shown;

/// 2025-01-01: no host that runs this release has an earlier one.
const EARLIEST: u64 = 1_735_689_600;
/// Files may have been made a little later than now by another host's clock.
const LEEWAY: u64 = 300;
/// Made by systemd-timesyncd once it has the time (systemd-timesyncd.service(8)).
const TIMESYNCD_MARK: &str = "/run/systemd/timesync/synchronized";

/// What the first one who could be asked says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Synchronized(&'static str),
    NotSynchronized(&'static str),
    /// Nobody could be asked; their words.
    Unknown(String),
}

/// Asks whether something keeps the clock right. The kernel would tell through adjtimex(2), which needs
/// `unsafe`; `timedatectl` asks it for us.
pub(super) fn synchronized() -> Check {
    judge(ask())
}

fn ask() -> Answer {
    let mut words = Vec::new();
    for (name, path, arguments, read) in [
        (
            "timedatectl",
            "/usr/bin/timedatectl",
            ["show", "-p", "NTPSynchronized", "--value"].as_slice(),
            timedatectl as fn(&str) -> Option<bool>,
        ),
        (
            "chronyc",
            "/usr/bin/chronyc",
            ["-n", "tracking"].as_slice(),
            chronyc,
        ),
    ] {
        match run(path, arguments) {
            Ok(text) => match read(&text) {
                Some(true) => return Answer::Synchronized(name),
                Some(false) => return Answer::NotSynchronized(name),
                None => words.push(format!("{name} says nothing of it")),
            },
            Err(why) => words.push(format!("{name}: {why}")),
        }
    }
    if Path::new(TIMESYNCD_MARK).exists() {
        return Answer::Synchronized("systemd-timesyncd");
    }
    Answer::Unknown(words.join("; "))
}

fn run(path: &str, arguments: &[&str]) -> Result<String, String> {
    if !Path::new(path).exists() {
        return Err("not installed".to_owned());
    }
    let mut command = Command::new(path);
    let ran = program::run(command.args(arguments).env_clear().env("LC_ALL", "C"))?;
    if ran.is_success {
        return Ok(ran.output);
    }
    let complaint = if ran.complaint.trim().is_empty() {
        ran.output
    } else {
        ran.complaint
    };
    let line = complaint
        .lines()
        .next()
        .unwrap_or("it failed without a word");
    Err(shown(line.trim()).chars().take(120).collect())
}

fn timedatectl(text: &str) -> Option<bool> {
    match text.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// `Leap status     : Normal`, or `Not synchronised` (chronyc(1), `tracking`).
fn chronyc(text: &str) -> Option<bool> {
    let status = text.lines().find(|line| line.starts_with("Leap status"))?;
    Some(!status.contains("Not synchronised"))
}

fn judge(answer: Answer) -> Check {
    match answer {
        Answer::Synchronized(by) => Check::ok(
            "clock.sync",
            format!("The clock is kept right ({by} says so)."),
        ),
        Answer::NotSynchronized(by) => Check::warn(
            "clock.sync",
            format!(
                "Nothing keeps the clock right ({by} says so): once it is a minute off, every app code is wrong."
            ),
            "Run systemd-timesyncd (`timedatectl set-ntp true`) or chrony, and see that it reaches a server.",
        ),
        Answer::Unknown(words) => Check::warn(
            "clock.sync",
            format!("Whether the clock is kept right can't be asked here ({words})."),
            "Compare `date -u` with a phone: a minute's difference makes every app code wrong.",
        ),
    }
}

/// Whether the time can be right at all: not before the configuration was written.
pub(super) fn plausible(now: &Moment, config: &Path) -> Check {
    let written = fs::metadata(config)
        .ok()
        .and_then(|found| u64::try_from(found.mtime()).ok());
    judge_time(now.unix_seconds(), written)
}

fn judge_time(now: u64, written: Option<u64>) -> Check {
    let shown_now = rfc3339(now);
    let hint = "Set the clock (`timedatectl`, `date`), then look after what keeps it right.";
    if now < EARLIEST {
        let message = format!(
            "The clock says {shown_now}, before this release was made: app codes are wrong."
        );
        return Check::fail("clock.time", message, hint);
    }
    match written {
        Some(written) if now.saturating_add(LEEWAY) < written => Check::fail(
            "clock.time",
            format!(
                "The clock says {shown_now}, but the configuration was written at {}: one of them is wrong.",
                rfc3339(written)
            ),
            hint,
        ),
        _ => Check::ok("clock.time", format!("The clock says {shown_now}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;

    #[test]
    fn each_of_them_is_understood() {
        assert_eq!(timedatectl("yes\n"), Some(true));
        assert_eq!(timedatectl("no\n"), Some(false));
        assert_eq!(timedatectl(""), None);
        assert_eq!(
            chronyc("Stratum : 3\nLeap status     : Normal\n"),
            Some(true)
        );
        assert_eq!(chronyc("Leap status     : Not synchronised\n"), Some(false));
        assert_eq!(chronyc("506 Cannot talk to daemon\n"), None);
    }

    #[test]
    fn not_kept_right_and_not_known_are_warnings() {
        assert_eq!(judge(Answer::Synchronized("x")).status, Status::Ok);
        assert_eq!(judge(Answer::NotSynchronized("x")).status, Status::Warn);
        let unknown = judge(Answer::Unknown("timedatectl: no bus".to_owned()));
        assert!(unknown.status == Status::Warn && unknown.message.contains("no bus"));
    }

    #[test]
    fn a_clock_before_what_was_already_written_is_wrong() {
        let today = EARLIEST + 86_400;
        assert_eq!(judge_time(0, None).status, Status::Fail);
        assert_eq!(judge_time(today, None).status, Status::Ok);
        assert_eq!(judge_time(today, Some(today + LEEWAY)).status, Status::Ok);
        assert_eq!(
            judge_time(today, Some(today + LEEWAY + 1)).status,
            Status::Fail
        );
    }
}
