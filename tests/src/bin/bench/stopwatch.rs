//! `pam_bench`, and the pipes to it.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mfa_tests::pam_host::built;

/// One `pam_bench` that waits for commands.
pub(crate) struct Stopwatch {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What one command took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// PAM's result.
    pub(crate) result: i32,
    /// `pam_authenticate`; until the first prompt where that is what was asked for.
    pub(crate) authenticate: u64,
    /// The whole login; from Enter to the next prompt where that is what was asked for.
    pub(crate) login: u64,
    /// Of `pam_authenticate`, on a CPU.
    pub(crate) cpu: u64,
}

impl Stopwatch {
    pub(crate) fn start(confdir: &Path) -> Self {
        Self::start_below(Command::new(built("pam_bench")).arg(confdir))
    }

    /// The same below another program: strace, valgrind.
    pub(crate) fn start_below(command: &mut Command) -> Self {
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

    pub(crate) fn time(&mut self, command: &str) -> Lap {
        let numbers = self.ask(command);
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        Lap {
            result: i32::try_from(number(0)).unwrap(),
            authenticate: number(1),
            login: number(2),
            cpu: number(3),
        }
    }

    /// The numbers of an answer.
    pub(crate) fn ask(&mut self, command: &str) -> Vec<u64> {
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
