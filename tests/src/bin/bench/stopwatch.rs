//! `pam_bench`, and the pipes to it.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mfa_tests::pam_host::built;

/// `pam_bench`, and the pipes to it.
pub(crate) struct Stopwatch {
    pub(crate) child: Child,
    pub(crate) commands: Option<ChildStdin>,
    pub(crate) answers: BufReader<ChildStdout>,
}

impl Stopwatch {
    pub(crate) fn start(confdir: &Path) -> Self {
        let mut child = Command::new(built("pam_bench"))
            .arg(confdir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            commands: child.stdin.take(),
            answers,
            child,
        }
    }

    /// PAM's result, nanoseconds of `pam_authenticate` and of the whole login.
    pub(crate) fn time(&mut self, command: &str) -> (i32, u64, u64) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
        let mut next = || {
            words
                .next()
                .unwrap_or_else(|| panic!("pam_bench has ended at: {command}"))
        };
        let result: u64 = next();
        (i32::try_from(result).unwrap(), next(), next())
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}
