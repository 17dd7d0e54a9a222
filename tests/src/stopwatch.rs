//! Logins with a stopwatch (`tests/pam/pam_bench.c`), and how well their times tell two kinds of people apart.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::pam_host::built;

/// `pam_bench`: one process that logs people in, as a daemon that lives long.
pub struct Stopwatch {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What one command took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// PAM's result.
    pub result: i32,
    /// `pam_authenticate`; until the first prompt where that is what was asked for.
    pub authenticate: u64,
    /// The whole login; from Enter to the next prompt where that is what was asked for.
    pub login: u64,
    /// Of `pam_authenticate`, on a CPU; 0 where that is not told.
    pub cpu: u64,
}

impl Stopwatch {
    /// A process that reads its services from `confdir`.
    pub fn start(confdir: &Path) -> Self {
        Self::start_below(Command::new(built("pam_bench")).arg(confdir))
    }

    /// The same below another program: strace, valgrind.
    pub fn start_below(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            commands: child.stdin.take(),
            answers,
            child,
        }
    }

    /// PAM's result and the nanoseconds of `pam_authenticate`, of one login of `user`. Before the clock starts, `restored.0`
    /// is written over `restored.1`, in place.
    pub fn time(
        &mut self,
        service: &str,
        user: &str,
        code: &str,
        restored: Option<(&Path, &Path)>,
    ) -> (i32, u64) {
        let restored = restored.map_or(String::new(), |(saved, file)| {
            format!(" {} {}", saved.display(), file.display())
        });
        let lap = self.obey(&format!("login {service} {user} {code}{restored}"));
        (lap.result, lap.authenticate)
    }

    /// Nanoseconds from Enter at a prompt to the next: at the first prompt, or with a pause in milliseconds at the second, so much
    /// after it has come. Then hangs up.
    pub fn time_enter(&mut self, service: &str, user: &str, pause: u32) -> u64 {
        let pause = if pause == 0 {
            String::new()
        } else {
            format!(" {pause}")
        };
        self.obey(&format!("prompt {service} {user}{pause}")).login
    }

    /// What a command took.
    pub fn obey(&mut self, command: &str) -> Lap {
        let numbers = self.ask(command);
        Lap {
            result: i32::try_from(numbers[0]).unwrap(),
            authenticate: numbers[1],
            login: numbers[2],
            cpu: numbers.get(3).copied().unwrap_or(0),
        }
    }

    /// The numbers of an answer, three at least.
    pub fn ask(&mut self, command: &str) -> Vec<u64> {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect();
        assert!(
            numbers.len() >= 3,
            "pam_bench has ended, or answers `{line}`, to: {command}"
        );
        numbers
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}

/// The median, in microseconds.
#[allow(
    clippy::cast_precision_loss,
    reason = "a median needs no more than 52 bits"
)]
pub fn median(nanoseconds: &[u64]) -> f64 {
    let mut sorted = nanoseconds.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2] as f64 / 1000.0
}

/// How well the time of one login tells two kinds of people apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// The area under the ROC curve, whichever way round: 0.5 not at all, 1 always.
    pub auc: f64,
    /// What is to be added and taken away for bounds of 95 % (Hanley and McNeil, 1982).
    pub within: f64,
}

/// Measures how well time tells two kinds of people apart.
#[allow(clippy::cast_precision_loss, reason = "thousands of times")]
pub fn told_apart(one: &[u64], other: &[u64]) -> Area {
    let mut sorted = other.to_vec();
    sorted.sort_unstable();
    // Each pair counts 2 where `one` took longer, and 1 where both took as long.
    let pairs: usize = one
        .iter()
        .map(|time| {
            sorted.partition_point(|each| each < time) + sorted.partition_point(|each| each <= time)
        })
        .sum();
    let (ones, others) = (one.len() as f64, other.len() as f64);
    let share = pairs as f64 / 2.0 / ones / others;
    let auc = share.max(1.0 - share);
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let square = auc * auc;
    let variance =
        (auc * (1.0 - auc) + (ones - 1.0) * (q1 - square) + (others - 1.0) * (q2 - square))
            / (ones * others);
    Area {
        auc,
        within: 1.96 * variance.max(0.0).sqrt(),
    }
}

/// A generator for orders that are different each time and the same in each run.
#[derive(Debug, Clone)]
pub struct Shuffle(u64);

impl Shuffle {
    /// The same seed, the same orders.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        // A linear congruential generator (Knuth's MMIX): shuffling needs no better one.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    /// Puts a list into another order.
    pub fn shuffle<Item>(&mut self, list: &mut [Item]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
