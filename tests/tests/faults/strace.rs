//! System calls as strace(1) lists them, and makes them fail.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// What the system says to a call.
const ERRORS: [&str; 6] = ["EIO", "ENOSPC", "EROFS", "EMFILE", "EINTR", "ENOMEM"];

/// Calls that take files from one state to the next.
pub(crate) const WRITES: [&str; 7] = [
    "fdatasync",
    "fsync",
    "linkat",
    "pwrite64",
    "renameat",
    "renameat2",
    "unlinkat",
];

/// What the system may say to a call of this name.
pub(crate) fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "brk" => &["ENOMEM"],
        // They "are always successful" (getpid(2), getuid(2), …).
        "getpid" | "gettid" | "getuid" | "geteuid" | "getgid" | "getegid" | "umask" | "alarm" => {
            &[]
        }
        // It sleeps, or is interrupted (Rust's library takes anything else for a mistake of its own).
        "clock_nanosleep" => &["EINTR"],
        _ => &ERRORS,
    }
}

/// One of them, the next one for each number.
pub(crate) fn error_by_turns(call: &str, number: usize) -> Option<&'static str> {
    let errors = errors(call);
    errors.get(number % errors.len().max(1)).copied()
}

/// The same, where it goes on. What is always interrupted is tried again without end, as it should be.
pub(crate) fn lasting_error_by_turns(call: &str, number: usize) -> Option<&'static str> {
    let error = match error_by_turns(call, number)? {
        "EINTR" if errors(call).contains(&"EIO") => "EIO",
        "EINTR" => return None,
        error => error,
    };
    Some(error)
}

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It fails, and is not made.
    Error(&'static str),
    /// It fails, and so do all of its name that follow: a disk that is gone.
    ErrorFromHere(&'static str),
    /// The process is killed before it is made: right after whatever it did before.
    Kill,
}

/// One of a process's calls, and what happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `fdatasync`.
    pub(crate) call: String,
    /// Which of this name, from 1, since the process began.
    pub(crate) nth: usize,
    pub(crate) blow: Blow,
}

impl Fault {
    fn injection(&self) -> String {
        let Self { call, nth, .. } = self;
        // Which never says why it fails: it answers with an end of memory that is not the one asked for.
        if call == "brk" && !self.is_kill() {
            let on = if matches!(self.blow, Blow::ErrorFromHere(_)) {
                "+"
            } else {
                ""
            };
            return format!("brk:retval=0:when={nth}{on}");
        }
        match self.blow {
            Blow::Error(error) => format!("{call}:error={error}:when={nth}"),
            Blow::ErrorFromHere(error) => format!("{call}:error={error}:when={nth}+"),
            Blow::Kill => format!("{call}:signal=KILL:when={nth}"),
        }
    }

    /// strace and its options. `is_alone`: the program starts no other, which would be struck as well, at the same number
    /// of its own; that is quicker, for strace then need not stop at other calls.
    pub(crate) fn strace(&self, list: &Path, is_alone: bool) -> Vec<String> {
        let mut words = vec!["strace".to_owned(), "-qq".to_owned()];
        words.extend(["-o".to_owned(), list.display().to_string()]);
        words.extend(["-e".to_owned(), format!("trace={}", self.call)]);
        words.extend(["-e".to_owned(), format!("inject={}", self.injection())]);
        // With it, strace 6.1 does not send its signal.
        if is_alone && !self.is_kill() {
            words.extend(["-f".to_owned(), "--seccomp-bpf".to_owned()]);
        }
        words
    }

    /// Whether it came to that, by strace's list; what ends before its call is not struck.
    pub(crate) fn has_struck(&self, list: &Path) -> bool {
        let text = fs::read_to_string(list).unwrap_or_default();
        match self.blow {
            Blow::Kill => text.contains("killed by SIGKILL"),
            Blow::Error(_) | Blow::ErrorFromHere(_) => text.contains("(INJECTED)"),
        }
    }

    /// Whether it is memory that could not be had.
    pub(crate) fn is_of_memory(&self) -> bool {
        let is_memory = matches!(self.call.as_str(), "brk" | "mmap" | "mremap" | "mprotect");
        is_memory && self.blow != Blow::Kill
    }

    pub(crate) fn is_kill(&self) -> bool {
        self.blow == Blow::Kill
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "strace -e inject={}", self.injection())
    }
}

/// The words of a strace that lists every call.
pub(crate) fn list_all(list: &Path, follow: bool) -> Vec<String> {
    let mut words: Vec<_> = ["strace", "-qq", "-o"].map(str::to_owned).into();
    words.push(list.display().to_string());
    if follow {
        words.push("-f".to_owned());
    }
    words
}

/// Whether strace's list says that a signal other than ours ended a process; which.
pub(crate) fn ended_by(list: &Path) -> Option<String> {
    let text = fs::read_to_string(list).unwrap_or_default();
    let (_, rest) = text.rsplit_once("+++ killed by ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// One line of strace's list.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Which of this name in this process or thread, from 1.
    pub(crate) nth: usize,
    /// All of the line.
    pub(crate) line: String,
}

/// The calls of a list, in order. Each process and thread has numbers of its own, as strace counts.
pub(crate) fn calls(list: &Path) -> Vec<Call> {
    let mut counts = BTreeMap::new();
    let mut found = Vec::new();
    for line in fs::read_to_string(list).unwrap().lines() {
        let (process, rest) = match line.split_once(' ') {
            Some((pid, rest)) if pid.bytes().all(|byte| byte.is_ascii_digit()) => (pid, rest),
            _ => ("", line),
        };
        let rest = rest.trim_start();
        // Neither `<... read resumed>` nor `+++ exited` nor `--- SIGCHLD`.
        let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let Some(name) = rest.split('(').next().filter(is_name) else {
            continue;
        };
        let count = counts
            .entry((process.to_owned(), name.to_owned()))
            .or_insert(0);
        *count += 1;
        found.push(Call {
            name: name.to_owned(),
            nth: *count,
            line: rest.to_owned(),
        });
    }
    found
}
