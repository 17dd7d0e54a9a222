//! `make bench`: medians of logins through libpam, ours beside Debian's peers, and the targets of DESIGN §8 with a verdict each.
//!
//! Runs inside `tests/host/enter` (`tests/bench/run.sh` does that), store and code files on the disk of target/bench,
//! /dev/log drained for all alike, everything interleaved in blocks. `bench QUICK` does a tenth of it, to try it out;
//! `bench PROMPTS` looks at prompts and delivery alone, `bench LOGIN` at one login alone.
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

mod instructions;
mod kind;
mod logins;
mod one_login;
mod ours;
mod peers;
mod populations;
mod processes;
mod progress;
mod prompts;
mod refusals;
mod report;
mod site;
mod statistics;
mod stopwatch;
mod system_calls;
mod table;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::thread;

use logins::BLOCK;
use populations::Population;
use progress::Progress;
use site::Site;

/// Blocks of each kind; the first tenth warms up.
const BLOCKS: usize = 110;
/// Fresh processes.
const PROCESSES: usize = 200;
/// Prompts with and without delivery.
const PROMPTS: usize = 500;
/// People who log in; the same in every population but the smallest, where it is each twentieth of them.
const PEOPLE: usize = 200;

fn main() {
    let mut words: Vec<_> = env::args().skip(1).collect();
    let mut is_given = |word: &str| {
        let before = words.len();
        words.retain(|given| given != word);
        words.len() < before
    };
    let (is_quick, is_login, is_prompts) =
        (is_given("QUICK"), is_given("LOGIN"), is_given("PROMPTS"));
    let is_in_memory = is_login && is_given("MEMORY");
    let rest: Vec<_> = words.iter().map(PathBuf::from).collect();
    assert!(
        rest.is_empty() || is_login,
        "usage: bench [QUICK] [PROMPTS | LOGIN [MEMORY] [MODULE…]]"
    );
    drain_log();
    if is_login {
        one_login::run(&rest, is_in_memory, is_quick);
    } else if is_prompts {
        let site = Site::new(0);
        site.write_passwd([]);
        prompts::report_prompts(&prompts::prompts(&site, PROMPTS));
    } else {
        run_all(is_quick);
    }
}

fn run_all(is_quick: bool) {
    let (many, share) = if is_quick { (5_000, 10) } else { (100_000, 1) };
    let blocks = BLOCKS / share;
    let mut progress = Progress::new(&[
        ("stores", 30),
        ("logins", 60),
        ("refusals", 15),
        ("processes", 10),
        ("prompts", 30),
    ]);
    progress.begin("stores");
    let site = Site::new(PEOPLE);
    site.write_passwd(refusals::names());
    peers::prepare_google(&site);
    let base = ours::enrolled(&site, "base", &site.people);
    let populations = [10, 1_000, many].map(|users| Population::new(&site, &base, users));
    refusals::add(&site, &populations[1]);
    let mut kinds = site.controls();
    for population in &populations {
        kinds.push(population.logins("accepted"));
        kinds.push(population.logins("wrong").wrong());
    }
    kinds.push(peers::google(&site, "google, accepted"));
    kinds.push(peers::google(&site, "google, wrong").wrong());
    for users in [10, many] {
        peers::prepare_oath(&site, users);
    }
    kinds.push(peers::oath(&site, "oath, accepted, 10 users", 10));
    kinds.push(peers::oath(&site, "oath, wrong, 10 users", 10).wrong());
    let name = format!("oath, accepted, {many} users");
    kinds.push(peers::oath(&site, &name, many).slow());
    site.settle();

    progress.begin("logins");
    logins::run_in_blocks(&site, &mut kinds, blocks, &mut progress);
    progress.begin("refusals");
    let mut refused = refusals::logins(&populations[1]);
    logins::run_shuffled(&site, &mut refused, blocks * BLOCK, &mut progress);
    progress.begin("processes");
    let processes = processes::processes(&site, &populations[0], PROCESSES / share);
    progress.begin("prompts");
    let prompts = prompts::prompts(&site, PROMPTS / share);
    drop(progress);
    report::report(many, &kinds, &refused, &processes);
    prompts::report_prompts(&prompts);
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
