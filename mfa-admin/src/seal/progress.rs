//! How far a walk through the store has come: one line on a terminal that is written over and over.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::output::WIDTH;

/// A line is written over no sooner.
const PAUSE: Duration = Duration::from_millis(100);
/// Before that nobody can tell how long it takes.
const FIRST_ESTIMATE: Duration = Duration::from_secs(1);
/// Columns of the bar itself.
const BAR: usize = 24;

/// The line, gone when dropped.
pub(super) struct Progress {
    what: &'static str,
    total: usize,
    begun: Instant,
    shown: Option<Instant>,
    is_wanted: bool,
}

impl Progress {
    /// Of so many records; shown where that is wanted.
    pub(super) fn of(what: &'static str, total: usize, is_wanted: bool) -> Self {
        Self {
            what,
            total,
            begun: Instant::now(),
            shown: None,
            is_wanted,
        }
    }

    /// So many are done.
    pub(super) fn at(&mut self, done: usize) {
        let now = Instant::now();
        let is_too_soon = self.shown.is_some_and(|shown| now - shown < PAUSE);
        if !self.is_wanted || (is_too_soon && done < self.total) {
            return;
        }
        self.shown = Some(now);
        let line = line(self.what, done, self.total, now - self.begun);
        write(&format!("\r{line}\x1b[K"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            write("\r\x1b[K");
        }
    }
}

/// To standard error; where nobody can see it, nothing is lost.
fn write(text: &str) {
    let mut out = io::stderr();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn line(what: &str, done: usize, total: usize, elapsed: Duration) -> String {
    let filled = (done * BAR).checked_div(total).unwrap_or(BAR).min(BAR);
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    let left = match u32::try_from(done) {
        Ok(count) if count > 0 && elapsed >= FIRST_ESTIMATE => {
            let rest = u32::try_from(total.saturating_sub(done)).unwrap_or(u32::MAX);
            let seconds = (elapsed / count).saturating_mul(rest).as_secs();
            format!(", {}:{:02} left", seconds / 60, seconds % 60)
        }
        _ => String::new(),
    };
    let line = format!(
        "{what} [{}{}] {percent:>3} %  {done} of {total}{left}",
        "#".repeat(filled),
        ".".repeat(BAR - filled)
    );
    // A line that wraps can't be written over.
    line.chars().take(WIDTH - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is_and_how_long_it_takes_yet() {
        let seconds = Duration::from_secs;
        assert_eq!(
            line("Sealing anew", 0, 100_000, seconds(0)),
            "Sealing anew [........................]   0 %  0 of 100000"
        );
        assert_eq!(
            line("Sealing anew", 25_000, 100_000, seconds(25)),
            "Sealing anew [######..................]  25 %  25000 of 100000, 1:15 left"
        );
        assert_eq!(
            line("Sealing anew", 3, 3, seconds(2)),
            "Sealing anew [########################] 100 %  3 of 3, 0:00 left"
        );
        assert!(line("Sealing anew", 0, 0, seconds(0)).contains("100 %"));
        let longest = line("Sealing anew", 1, 1_000_000_000, seconds(86_400));
        assert!(longest.len() < WIDTH, "{longest}");
    }
}
