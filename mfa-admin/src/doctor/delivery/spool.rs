//! Notices that wait: whose the folders are, how long something has waited, and how much there is. What is in the
//! folders is the courier's to read; here names are read, and lstat(2) is asked when they were put there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mfa_core::config::Config;
use mfa_core::courier::SpoolName;
use mfa_core::courier::spool::{DEAD, DEFERRED, MAX_FAILURES, MAX_NOTICES, NEW, TMP};
use mfa_core::secure_file::{DropBox, FileError, Folder, Problem};
use nix::unistd::User;

use crate::doctor::check::{Check, Status};
use crate::doctor::files::{self, Entry};
use crate::doctor::tally::Tally;
use crate::doctor::{Scope, quoted};
use crate::output::shown;

/// A path unit starts the courier at once.
const LONG_IN_NEW: u64 = 10 * 60;
/// A timer starts it every five minutes, and a run may take its time.
const LONG_OVERDUE: u64 = 30 * 60;
/// Files that are asked about; the spool takes no more than [`MAX_NOTICES`].
const MOST_FILES: usize = 2 * MAX_NOTICES;

/// What waits in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Waiting {
    /// Notices that the courier has not seen yet.
    new: usize,
    /// Seconds that the oldest of them has waited.
    oldest: u64,
    /// Notices that are to be tried again.
    retries: usize,
    /// Of these, the longest that one has been due, in seconds.
    overdue: u64,
    /// Names in `deferred/`, whatever they are.
    deferred: usize,
    /// Notices that were given up.
    dead: usize,
}

/// Folders, then what is in them; `courier` is the user that the courier becomes. Where nothing is delivered, what
/// is in order is not worth a line.
pub(super) fn check(
    scope: &Scope,
    config: &Config,
    courier: Option<&User>,
    is_delivering: bool,
    now: u64,
) -> Vec<Check> {
    let path = config.paths.spool.as_path();
    let is_there = path.symlink_metadata().is_ok();
    if !is_there && !is_delivering {
        return Vec::new();
    }
    let mut checks: Vec<Check> = folders(scope, config, courier, is_delivering)
        .into_iter()
        .collect();
    match look(path, scope, now) {
        Ok(waiting) => checks.extend(
            judge(&waiting, scope)
                .into_iter()
                .filter(|check| is_delivering || check.status != Status::Ok),
        ),
        // Said of the folders already.
        Err(FileError {
            problem: Problem::Missing,
            ..
        }) => {}
        Err(error) => checks.push(Check::fail(
            "spool",
            format!(
                "{} What waits there can't be told.",
                files::sentence(&error)
            ),
            files::remedy(&error, scope.owner),
        )),
    }
    checks
}

/// The courier's own folders, below one of root's.
fn folders(
    scope: &Scope,
    config: &Config,
    courier: Option<&User>,
    is_delivering: bool,
) -> Option<Check> {
    let (path, name) = (config.paths.spool.as_path(), config.courier.user.as_str());
    let init = || format!("{} makes it.", scope.command("init"));
    if let Err(error) = Folder::open(path, scope.owner) {
        let message = files::sentence(&error);
        return Some(if error.problem == Problem::Missing {
            Check::fail(
                "paths.spool",
                format!("{message} Notices are lost."),
                init(),
            )
        } else {
            Check::fail("paths.spool", message, files::remedy(&error, scope.owner))
        });
    }
    let mut missing = Tally::default();
    let mut found = Vec::new();
    for part in [TMP, NEW, DEFERRED, DEAD].map(|part| path.join(part)) {
        match Entry::of(&part) {
            Some(entry) => found.push(entry),
            None => missing.add(quoted(&part.display().to_string())),
        }
    }
    if !missing.is_empty() && is_delivering {
        return Some(Check::fail(
            "paths.spool",
            format!("Folders of the spool are missing: {missing}. Notices are lost."),
            init(),
        ));
    }
    // `init --no-user` makes none.
    let uid = courier.map(|user| user.uid.as_raw());
    (!found.is_empty()).then(|| judge_folders(found.into_iter(), name, uid))
}

fn judge_folders(entries: impl Iterator<Item = Entry>, courier: &str, uid: Option<u32>) -> Check {
    let mut wrong = Tally::default();
    let mut status = Status::Ok;
    for entry in entries {
        let is_strange = uid.is_some_and(|uid| entry.uid != uid);
        if is_strange || entry.mode & 0o022 != 0 {
            status = Status::Fail;
        } else if entry.mode & 0o077 != 0 {
            status = status.max(Status::Warn);
        } else {
            continue;
        }
        wrong.add(format!(
            "{} (uid {}, mode {:04o})",
            shown(&entry.path),
            entry.uid,
            entry.mode
        ));
    }
    if uid.is_none() && status != Status::Fail {
        return Check::warn(
            "paths.spool",
            format!("There is no user {courier}, who is to deliver notices."),
            "Run `mfa-admin init`, which makes the user, or name another one in [courier].",
        );
    }
    if status == Status::Ok {
        return Check::ok(
            "paths.spool",
            format!("Waiting notices are {courier}'s alone."),
        );
    }
    Check {
        id: "paths.spool".to_owned(),
        status,
        message: format!(
            "Folders of waiting notices are to be {courier}'s with mode 0700: {wrong}."
        ),
        hint: format!("`chown {courier}` and `chmod 700` them, after a look at what is in them."),
    }
}

/// Counts, without opening anything of the courier's.
fn look(path: &Path, scope: &Scope, now: u64) -> Result<Waiting, FileError> {
    let names = |part| DropBox::open(path, scope.owner)?.names(part, usize::MAX);
    let (new, deferred, dead) = (names(NEW)?, names(DEFERRED)?, names(DEAD)?);
    let put = |part: &str, name: &OsString| put_there(&path.join(part).join(name));
    let since = |moment: u64| now.saturating_sub(moment);
    let oldest = new
        .iter()
        .take(MOST_FILES)
        .filter_map(|name| put(NEW, name));
    let due = deferred.iter().take(MOST_FILES).filter_map(|name| {
        // A try can't have been due before the notice was put there.
        Some(next_try(name)?.max(put(DEFERRED, name)?))
    });
    Ok(Waiting {
        new: new.len(),
        oldest: oldest.map(since).max().unwrap_or_default(),
        retries: deferred.iter().filter_map(next_try).count(),
        overdue: due.map(since).max().unwrap_or_default(),
        deferred: deferred.len(),
        dead: dead.len(),
    })
}

/// When a file was put there, seconds since the Unix epoch.
fn put_there(path: &Path) -> Option<u64> {
    // None: delivered since its name was read.
    let found = fs::symlink_metadata(path).ok()?;
    u64::try_from(found.mtime()).ok()
}

/// When a notice in `deferred/` is to be tried again. What else is there waits for a digest, or says when somebody
/// was last told.
fn next_try(name: &OsString) -> Option<u64> {
    match SpoolName::parse(name)? {
        SpoolName::Waiting(waiting) => Some(waiting.next),
        SpoolName::Notice(_) | SpoolName::Sent(_) => None,
    }
}

fn judge(waiting: &Waiting, scope: &Scope) -> Vec<Check> {
    let queue = scope.command("notify queue");
    let drain = scope.command("notify drain");
    let mut checks = Vec::new();
    let nobody = |what: String| {
        Check::fail(
            "spool.age",
            format!("{what}: nobody works off the spool."),
            format!(
                "`systemctl enable --now mfa-notify.path mfa-notify.timer`; without systemd let cron run it. {drain} \
                 does it once."
            ),
        )
    };
    checks.push(if waiting.oldest > LONG_IN_NEW {
        nobody(format!(
            "{} in the spool, the oldest for {}",
            wait(waiting.new, "waits", "wait"),
            length(waiting.oldest)
        ))
    } else if waiting.overdue > LONG_OVERDUE {
        nobody(format!(
            "A notice should have been tried again {} ago",
            length(waiting.overdue)
        ))
    } else if waiting.new == 0 {
        Check::ok("spool.age", "No new notice waits in the spool.")
    } else {
        Check::ok(
            "spool.age",
            format!(
                "{} in the spool, the oldest for {}.",
                wait(waiting.new, "waits", "wait"),
                length(waiting.oldest)
            ),
        )
    });
    if waiting.retries > 0 {
        checks.push(Check::warn(
            "spool.deferred",
            format!(
                "{} for another try, which ends after a day.",
                wait(waiting.retries, "waits", "wait")
            ),
            format!("{queue} says of whom; MFA-1002 and MFA-5001 in the log say why."),
        ));
    }
    if waiting.dead > 0 {
        checks.push(Check::warn(
            "spool.dead",
            format!(
                "{} given up: nobody was told.",
                wait(waiting.dead, "was", "were")
            ),
            format!("{queue} lists them; remove them from dead/ once they have been seen."),
        ));
    }
    let all = waiting.new + waiting.deferred;
    if all > MAX_FAILURES {
        checks.push(Check::fail(
            "spool.full",
            format!(
                "The spool holds {all} files: from {MAX_FAILURES} on nobody is told of failures, from {MAX_NOTICES} on of \
                 nothing."
            ),
            format!("See why they stay ({queue}), then {drain}."),
        ));
    }
    checks
}

fn wait(count: usize, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 notice {one}")
    } else {
        format!("{count} notices {many}")
    }
}

/// A length of time, rounded down.
fn length(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: u32, mode: u32) -> Entry {
        Entry {
            path: "/x/y".to_owned(),
            uid,
            mode,
        }
    }

    #[test]
    fn the_spool_is_the_couriers() {
        for (uid, mode, status) in [
            (7, 0o700, Status::Ok),
            (0, 0o700, Status::Fail),
            (7, 0o755, Status::Warn),
            (7, 0o770, Status::Fail),
            (8, 0o700, Status::Fail),
        ] {
            assert_eq!(
                judge_folders([entry(uid, mode)].into_iter(), "_mfa", Some(7)).status,
                status
            );
        }
        let nobodys = |mode| judge_folders([entry(7, mode)].into_iter(), "_mfa", None);
        assert!(nobodys(0o700).message.contains("no user _mfa"));
        assert_eq!(nobodys(0o777).status, Status::Fail);
    }

    fn said(waiting: Waiting) -> Vec<(String, Status)> {
        let checks = judge(&waiting, &Scope::default());
        checks
            .into_iter()
            .map(|check| (check.id, check.status))
            .collect()
    }

    #[test]
    fn what_waits_too_long_or_is_too_much_is_told() {
        let ok = ("spool.age".to_owned(), Status::Ok);
        let fail = ("spool.age".to_owned(), Status::Fail);
        let nothing = Waiting::default();
        assert_eq!(said(nothing), std::slice::from_ref(&ok));
        let recent = Waiting {
            new: 3,
            oldest: 600,
            ..nothing
        };
        assert_eq!(said(recent), std::slice::from_ref(&ok));
        let old = Waiting {
            oldest: 601,
            ..recent
        };
        assert_eq!(said(old), std::slice::from_ref(&fail));
        let retried = Waiting {
            retries: 1,
            deferred: 1,
            overdue: 1800,
            ..nothing
        };
        let warn = ("spool.deferred".to_owned(), Status::Warn);
        assert_eq!(said(retried), [ok.clone(), warn.clone()]);
        let forgotten = Waiting {
            overdue: 1801,
            ..retried
        };
        assert_eq!(said(forgotten), [fail, warn]);
        let dead = Waiting { dead: 1, ..nothing };
        assert_eq!(said(dead)[1], ("spool.dead".to_owned(), Status::Warn));
        let full = |new| {
            let waiting = Waiting {
                new,
                deferred: 400,
                ..nothing
            };
            said(waiting).len() == 2
        };
        assert!(!full(400) && full(401));
    }

    #[test]
    fn only_what_is_tried_again_has_a_time() {
        let id = "0123456789abcdef0123456789abcdef";
        for (name, next) in [
            (
                format!("1795168800~3~login~alice~{id}"),
                Some(1_795_168_800),
            ),
            (format!("failure~alice~{id}"), None),
            (format!("digest~alice~{id}"), None),
            ("sent~alice".to_owned(), None),
            ("sent~17".to_owned(), None),
            ("x".to_owned(), None),
        ] {
            assert_eq!(next_try(&OsString::from(&name)), next, "{name}");
        }
    }

    #[test]
    fn lengths_of_time_have_one_unit() {
        for (seconds, text) in [
            (1, "1 second"),
            (601, "10 minutes"),
            (7300, "2 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(length(seconds), text);
        }
    }
}
