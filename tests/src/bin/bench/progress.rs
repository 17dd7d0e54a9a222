//! How far it is, on standard error.

use std::io::{IsTerminal, Write as _, stderr};
use std::time::{Duration, Instant};

/// Parts with the seconds that each is expected to take, and where among them this run is.
pub(crate) struct Progress {
    parts: Vec<(&'static str, u64)>,
    part: usize,
    began: Instant,
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(parts: &[(&'static str, u64)]) -> Self {
        Self {
            parts: parts.to_vec(),
            part: 0,
            began: Instant::now(),
            told: Instant::now(),
            is_terminal: stderr().is_terminal(),
        }
    }

    /// A part begins, the next or a later one.
    pub(crate) fn begin(&mut self, part: &str) {
        self.part = self
            .parts
            .iter()
            .position(|(name, _)| *name == part)
            .unwrap_or_else(|| panic!("no such part: {part}"));
        self.tell(0, 1);
    }

    /// `done` of `all` of this part; seen every few seconds.
    pub(crate) fn at(&mut self, done: usize, all: usize) {
        let pause = Duration::from_secs(if self.is_terminal { 1 } else { 10 });
        if self.told.elapsed() >= pause {
            self.tell(done, all);
        }
    }

    fn tell(&mut self, done: usize, all: usize) {
        self.told = Instant::now();
        let weight =
            |parts: &[(&str, u64)]| parts.iter().map(|(_, weight)| *weight).sum::<u64>() as f64;
        let (name, here) = self.parts[self.part];
        let before = weight(&self.parts[..self.part]) + here as f64 * done as f64 / all as f64;
        let left = weight(&self.parts) - before;
        // At first as long as expected, then as fast as it went until now.
        let pace = if before < 5.0 {
            1.0
        } else {
            self.began.elapsed().as_secs_f64() / before
        };
        let line = format!(
            "bench: {}/{} {name}, {} % of it, {:.0} s left",
            self.part + 1,
            self.parts.len(),
            done * 100 / all,
            left * pace
        );
        // Nothing is lost where nobody reads this.
        let _ = if self.is_terminal {
            write!(stderr(), "\r{line:70}")
        } else {
            writeln!(stderr(), "{line}")
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r{:70}\r", "");
        }
    }
}
