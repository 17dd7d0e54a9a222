//! Faults in programs of several threads: `tests/pam/strike.c` strikes one call of one thread, where strace would strike
//! the same number of each.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use mfa_tests::pam_host::built;
use mfa_tests::proof;

use crate::strace::{Blow, error_by_turns, errors, lasting_error_by_turns};

/// A call, and what happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) call: String,
    /// 1 for the program itself, then its threads.
    thread: usize,
    /// The system call's number.
    number: u32,
    /// Which of this number, after execve(2).
    nth: usize,
    pub(crate) blow: Blow,
}

impl Strike {
    /// The words that come before the program's; `file` is told when it came to it.
    pub(crate) fn words(&self, file: &Path) -> Vec<String> {
        let blow = match self.blow {
            Blow::Error(error) => number(error).to_string(),
            Blow::ErrorFromHere(error) => format!("{}+", number(error)),
            Blow::Kill => "kill".to_owned(),
        };
        vec![
            built("strike").display().to_string(),
            file.display().to_string(),
            self.thread.to_string(),
            self.number.to_string(),
            self.nth.to_string(),
            blow,
        ]
    }

    pub(crate) fn is_kill(&self) -> bool {
        self.blow == Blow::Kill
    }

    pub(crate) fn is_of_memory(&self) -> bool {
        let names = ["brk", "mmap", "mremap", "mprotect"];
        !self.is_kill() && names.contains(&self.call.as_str())
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words(Path::new("FILE"));
        write!(f, "{} ({})", words.join(" "), self.call)
    }
}

/// errno(3) of x86-64 and arm64.
fn number(error: &str) -> u8 {
    match error {
        "EINTR" => 4,
        "EIO" => 5,
        "ENOMEM" => 12,
        "EMFILE" => 24,
        "ENOSPC" => 28,
        "EROFS" => 30,
        other => panic!("{other}"),
    }
}

/// Every call from the one on that `is_first`, and all of other threads, by strace's list (`-f -n`), with all that is to
/// happen there: every error and a kill in the long form, an error by turns and a kill in the short one.
pub(crate) fn strikes(list: &Path, stride: usize, is_first: impl Fn(&str) -> bool) -> Vec<Strike> {
    let stride = proof::rounds(stride, 1);
    let calls = calls(list, is_first);
    let mut strikes = Vec::new();
    for (place, found) in calls.into_iter().enumerate().step_by(stride) {
        let call = &found.call;
        let mut blows = vec![Blow::Kill];
        if proof::is_long() {
            blows.extend(errors(call).iter().map(|error| Blow::Error(error)));
        } else {
            blows.extend(error_by_turns(call, place / stride).map(Blow::Error));
        }
        if (place / stride).is_multiple_of(proof::rounds(4, 1)) {
            blows.extend(lasting_error_by_turns(call, place).map(Blow::ErrorFromHere));
        }
        strikes.extend(blows.into_iter().map(|blow| Strike {
            blow,
            ..found.clone()
        }));
    }
    strikes
}

/// Where there is something to strike, each with a kill.
fn calls(list: &Path, is_first: impl Fn(&str) -> bool) -> Vec<Strike> {
    let mut threads: Vec<String> = Vec::new();
    let mut counts: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    let mut found = Vec::new();
    let mut has_begun = false;
    for line in fs::read_to_string(list).unwrap().lines() {
        // `1234  [ 257] openat(…`; what is resumed has a number as well.
        let Some((pid, rest)) = line.split_once('[') else {
            continue;
        };
        let Some((number, rest)) = rest.split_once("] ") else {
            continue;
        };
        let call = rest.split('(').next().unwrap();
        let (pid, Ok(number)) = (pid.trim().to_owned(), number.trim().parse()) else {
            continue;
        };
        if rest.starts_with('<') || call == "execve" {
            continue;
        }
        let thread = threads
            .iter()
            .position(|known| *known == pid)
            .unwrap_or_else(|| {
                threads.push(pid);
                threads.len() - 1
            })
            + 1;
        let nth = counts.entry((thread, number)).or_insert(0);
        *nth += 1;
        has_begun |= is_first(rest);
        if has_begun && !call.starts_with("exit") {
            found.push(Strike {
                call: call.to_owned(),
                thread,
                number,
                nth: *nth,
                blow: Blow::Kill,
            });
        }
    }
    found
}
