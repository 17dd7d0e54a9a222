//! `make bench`: medians of logins through libpam, ours beside Debian's peers, and the targets of DESIGN §8 with a verdict each.
//!
//! Runs inside `tests/host/enter` (`tests/bench/run.sh` does that), store and code files on the disk of target/bench,
//! /dev/log drained for all alike, everything interleaved in blocks. `bench QUICK` does a tenth of it, to try it out;
//! `bench LOGIN` looks at one login alone.
//!
//! Everybody has the same secret, so one code of oathtool serves a whole block. Before each login, outside of the timed part, the
//! person's state is written back in place: nobody is throttled and no code is a replay, with ten users as with 100 000. The
//! records that nobody logs in with are copies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark that meets something unexpected ends at once, and a median needs no more than 52 bits"
)]

mod at_once;
mod costs;
mod everything;
mod factors;
mod growth;
mod instructions;
mod kind;
mod logins;
mod machine;
mod one_login;
mod ours;
mod peers;
mod plot;
mod populations;
mod processes;
mod progress;
mod prompts;
mod races;
mod recovery;
mod refusals;
mod report;
mod side_by_side;
mod site;
mod statistics;
mod system_calls;
mod table;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::thread;

fn main() {
    let mut words: Vec<_> = env::args().skip(1).collect();
    let mut is_given = |word: &str| {
        let before = words.len();
        words.retain(|given| given != word);
        words.len() < before
    };
    let (is_quick, is_login) = (is_given("QUICK"), is_given("LOGIN"));
    let is_in_memory = is_login && is_given("MEMORY");
    let rest: Vec<_> = words.iter().map(PathBuf::from).collect();
    assert!(
        rest.is_empty() || is_login,
        "usage: bench [QUICK] [LOGIN [MEMORY] [MODULE…]]"
    );
    drain_log();
    if is_login {
        one_login::run(&rest, is_in_memory, is_quick);
    } else if is_quick {
        everything::run(&everything::QUICK);
    } else {
        everything::run(&everything::WHOLE);
    }
}

/// Reads and forgets what everybody logs, so that nobody waits for a full socket.
fn drain_log() {
    let _ = fs::remove_file("/dev/log");
    let socket = UnixDatagram::bind("/dev/log").unwrap();
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
    thread::spawn(move || {
        let mut line = [0; 8192];
        while socket.recv(&mut line).is_ok() {}
    });
}
