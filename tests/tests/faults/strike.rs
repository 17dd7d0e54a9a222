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
    /// Of any name, after execve(2).
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

/// Every call from the one on that `is_first`, and all of other threads, by strace's list (`-f`), with all that is to
/// happen there: every error and a kill in the long form, an error by turns and a kill in the short one.
pub(crate) fn strikes(list: &Path, stride: usize, is_first: impl Fn(&str) -> bool) -> Vec<Strike> {
    let stride = proof::rounds(stride, 1);
    let mut strikes = Vec::new();
    for (place, (thread, nth, call)) in calls(list, is_first)
        .into_iter()
        .enumerate()
        .step_by(stride)
    {
        let mut blows = vec![Blow::Kill];
        if proof::is_long() {
            blows.extend(errors(&call).iter().map(|error| Blow::Error(error)));
        } else {
            blows.extend(error_by_turns(&call, place / stride).map(Blow::Error));
        }
        if (place / stride).is_multiple_of(proof::rounds(4, 1)) {
            blows.extend(lasting_error_by_turns(&call, place).map(Blow::ErrorFromHere));
        }
        strikes.extend(blows.into_iter().map(|blow| Strike {
            call: call.clone(),
            thread,
            nth,
            blow,
        }));
    }
    strikes
}

fn calls(list: &Path, is_first: impl Fn(&str) -> bool) -> Vec<(usize, usize, String)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut found = Vec::new();
    let mut has_begun = false;
    for line in fs::read_to_string(list).unwrap().lines() {
        let (pid, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        let name = rest.split('(').next().unwrap();
        if name.contains(['<', '+', '-', ' ']) || name == "execve" {
            continue;
        }
        let number = counts.len() + 1;
        let (thread, count) = counts.entry(pid.to_owned()).or_insert((number, 0));
        *count += 1;
        has_begun |= is_first(rest);
        if has_begun && !name.starts_with("exit") {
            found.push((*thread, *count, name.to_owned()));
        }
    }
    found
}
