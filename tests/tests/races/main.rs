//! Logins, and administrators, at the same time: every code counts once, every failure is charged once, no edit is lost,
//! and what is revoked is revoked for the next login.
//!
//! Two ways to bring them together: many processes behind a barrier, often; and, for each interleaving that matters, strace,
//! which has one of them stand still at a system call. A few seconds in `make test`, 10 000 rounds in `make test-races`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod administrators;
mod codes;
mod guesses;
mod keys;
mod revocations;
mod sent_codes;
mod spool;
mod standstill;

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use mfa_tests::Authenticator;
use mfa_tests::pam_host::{PamHost, Seen, overwrite};
use mfa_tests::proof::is_long;

/// Limits that no race comes near to; who is disabled after 100 failures can't be changed.
const PATIENT: &str = "[throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n";

/// People `p1`, `p2`, … who all have the same secret, so that one code serves all.
struct Crowd {
    app: Authenticator,
    size: usize,
    /// A state nobody has logged in with.
    fresh: Vec<u8>,
}

impl Crowd {
    fn enroll(host: &mut PamHost, size: usize) -> Self {
        let app = Authenticator::new();
        host.add_people((1..=size).map(|number| format!("p{number}")));
        for number in 1..=size {
            host.enroll_app(&format!("p{number}"), &app);
        }
        let fresh = fs::read(host.state_path("p1")).unwrap();
        Self { app, size, fresh }
    }

    /// Everybody as on the first day, in place.
    fn refresh(&self, host: &PamHost) {
        for number in 1..=self.size {
            overwrite(&host.state_path(&format!("p{number}")), &self.fresh);
        }
    }
}

/// What each of `children` was told in round after round; all of them went through as many.
fn rounds_of(seen: &Seen, children: usize) -> Vec<Vec<&str>> {
    let mut of_child = vec![Vec::new(); children];
    for line in &seen.lines {
        if let Some((number, result)) = line.split_once("] RESULT ") {
            let number: usize = number.trim_start_matches('[').parse().unwrap();
            of_child[number - 1].push(result.rsplit(' ').next().unwrap());
        }
    }
    let rounds = of_child[0].len();
    assert!(of_child.iter().all(|all| all.len() == rounds), "{seen}");
    (0..rounds)
        .map(|round| of_child.iter().map(|all| all[round]).collect())
        .collect()
}

fn count(results: &[&str], wanted: &str) -> usize {
    results.iter().filter(|&&result| result == wanted).count()
}

/// How far a long run has come, on standard error.
struct Progress {
    what: &'static str,
    rounds: usize,
    begin: Instant,
    said: u64,
}

impl Progress {
    fn of(what: &'static str, rounds: usize) -> Self {
        Self {
            what,
            rounds,
            begin: Instant::now(),
            said: 0,
        }
    }

    fn at(&mut self, done: usize) {
        let elapsed = self.begin.elapsed();
        if !is_long() || done == 0 || elapsed.as_secs() / 10 == self.said {
            return;
        }
        self.said = elapsed.as_secs() / 10;
        let rounds_left = u32::try_from(self.rounds.saturating_sub(done)).unwrap();
        let left = elapsed / u32::try_from(done).unwrap() * rounds_left;
        eprintln!(
            "{}: {done} of {} rounds, {} s left",
            self.what,
            self.rounds,
            left.as_secs()
        );
    }
}

/// Commands that are started at the same moment; what each of them came to, in their order.
fn at_once(commands: Vec<Command>) -> Vec<Output> {
    let barrier = Barrier::new(commands.len());
    thread::scope(|scope| {
        let running: Vec<_> = commands
            .into_iter()
            .map(|mut command| {
                let barrier = &barrier;
                scope.spawn(move || {
                    command.stdin(Stdio::null());
                    barrier.wait();
                    command.output().unwrap()
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// A command of the shell.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}
