//! `make bench`: medians of logins through libpam, ours beside Debian's peers, and the targets of DESIGN §8 with a verdict each.
//!
//! Runs inside `tests/host/enter` (`tests/bench/run.sh` does that), store and code files on a real disk below target/bench,
//! /dev/log drained for all alike, everything interleaved in blocks. `bench QUICK` does a tenth of it, to try it out;
//! `bench PROMPTS` looks at prompts and delivery alone.
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

mod logins;
mod processes;
mod prompts;
mod report;
mod site;
mod statistics;
mod stopwatch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::thread;

use logins::BLOCK;
use prompts::report_prompts;
use report::report;
use site::Bench;

/// Blocks of each kind; the first tenth warms up.
const BLOCKS: usize = 110;
/// Fresh processes.
const PROCESSES: usize = 200;
/// Prompts with and without delivery.
const PROMPTS: usize = 500;

fn main() {
    let quick = std::env::args().any(|argument| argument == "QUICK");
    let blocks = if quick { BLOCKS / 10 } else { BLOCKS };
    drain_log();
    if std::env::args().any(|argument| argument == "PROMPTS") {
        let bench = Bench::prepare(2_000);
        report_prompts(&bench.prompts(PROMPTS));
        let _ = fs::remove_dir_all(&bench.folder);
        return;
    }
    let bench = Bench::prepare(if quick { 5_000 } else { 100_000 });
    let (mut kinds, mut refusals) = (bench.kinds(), bench.refusals());
    bench.run(&mut kinds, blocks);
    bench.run_shuffled(&mut refusals, blocks * BLOCK);
    let processes = bench.processes(if quick { PROCESSES / 10 } else { PROCESSES });
    let prompts = bench.prompts(if quick { PROMPTS / 10 } else { PROMPTS });
    report(&bench, &kinds, &refusals, &processes);
    report_prompts(&prompts);
    let _ = fs::remove_dir_all(&bench.folder);
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
