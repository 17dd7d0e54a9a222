//! A program that is no login, run with a fault, and where it may be struck.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use mfa_tests::proof;

use crate::strace::{Blow, Call, Fault, error_by_turns, errors, lasting_error_by_turns};

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs words to their end, with this on standard input; what hangs for a minute is ended, with 124.
pub(crate) fn run(words: &[String], input: &str) -> Ran {
    let mut child = Command::new("timeout")
        .arg("60")
        .args(words)
        .env_remove("SUDO_UID")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that does not read its input is not at fault here.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// More calls of one name than these are a loop, in which each error has its turn.
const LOOP: usize = 150;

/// What is to happen at these calls: a kill, and every error in the long form, an error by turns in the short one, which
/// takes every so-many-th call, beginning with number `first`; and an error from there on at some of them.
pub(crate) fn faults(calls: &[Call], (first, stride): (usize, usize)) -> Vec<Fault> {
    let stride = proof::rounds(stride, 1);
    let calls_struck = calls
        .iter()
        .enumerate()
        .skip(first % stride)
        .step_by(stride);
    let mut faults = Vec::new();
    for (place, call) in calls_struck {
        let namesakes = calls.iter().filter(|other| other.name == call.name).count();
        let turn = place / stride;
        let mut blows = vec![Blow::Kill];
        if proof::is_long() && namesakes <= LOOP {
            blows.extend(errors(&call.name).iter().map(|error| Blow::Error(error)));
        } else {
            blows.extend(error_by_turns(&call.name, turn).map(Blow::Error));
        }
        if turn.is_multiple_of(proof::rounds(4, 1)) {
            blows.extend(lasting_error_by_turns(&call.name, place).map(Blow::ErrorFromHere));
        }
        faults.extend(blows.into_iter().map(|blow| Fault {
            call: call.name.clone(),
            nth: call.nth,
            blow,
        }));
    }
    faults
}

/// The calls after the last one before which `is_before` holds.
pub(crate) fn after(calls: Vec<Call>, is_before: impl Fn(&Call) -> bool) -> Vec<Call> {
    let begin = calls.iter().rposition(is_before).unwrap() + 1;
    let ours = calls.into_iter().skip(begin);
    ours.filter(|call| !call.name.starts_with("exit")).collect()
}

/// Libraries end a program where something fails that they hold to be a mistake of its own, or can't do without: a folder that
/// was read can't be closed, there are no random numbers for a table, a thread can't be made known to the kernel.
pub(crate) fn is_of_a_library(call: &str, said: &str) -> bool {
    let words = match call {
        "close" => "unexpected error during closedir",
        "getrandom" => "failed to generate random data",
        "rseq" => "Fatal glibc error: rseq registration failed",
        _ => return false,
    };
    said.contains(words)
}
