//! The table: printed in 100 columns, and written as docs/compare.md.

use std::fmt::Write as _;
use std::fs;

use mfa_tests::repository;

use crate::arena::{Arena, Module};

/// What one module did in one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Right(String),
    Wrong(String),
    /// Neither: told for itself, or nothing that can be tried.
    Told(String),
}

impl Outcome {
    pub(crate) fn judged(text: impl Into<String>, is_right: bool) -> Self {
        if is_right {
            Self::Right(text.into())
        } else {
            Self::Wrong(text.into())
        }
    }

    /// `yes` is right.
    pub(crate) fn feature(has_it: bool) -> Self {
        Self::judged(if has_it { "yes" } else { "no" }, has_it)
    }

    pub(crate) fn is_right(&self) -> bool {
        matches!(self, Self::Right(_))
    }

    pub(crate) fn is_judged(&self) -> bool {
        !matches!(self, Self::Told(_))
    }

    fn marked(&self) -> String {
        match self {
            Self::Right(text) => format!("✓ {text}"),
            Self::Wrong(text) => format!("✗ {text}"),
            Self::Told(text) => format!("  {text}"),
        }
    }
}

/// Something that is tried with each module; one run may fill several rows.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The rows, one below the other, with ` | ` between them.
    pub(crate) what: &'static str,
    /// What the rows mean, and which settings were used, for docs/compare.md.
    pub(crate) how: &'static str,
    /// One list of outcomes per row, in the order of [`Module::ALL`].
    pub(crate) run: fn(&Arena) -> Vec<[Outcome; 3]>,
    /// A peer is better here, and we are not right.
    pub(crate) conceded: bool,
    /// Needs a clock or much time.
    pub(crate) needs_long: bool,
}

impl Case {
    pub(crate) const fn new(
        what: &'static str,
        how: &'static str,
        run: fn(&Arena) -> Vec<[Outcome; 3]>,
    ) -> Self {
        Self {
            what,
            how,
            run,
            conceded: false,
            needs_long: false,
        }
    }

    pub(crate) const fn conceded(self) -> Self {
        Self {
            conceded: true,
            ..self
        }
    }

    pub(crate) const fn long(self) -> Self {
        Self {
            needs_long: true,
            ..self
        }
    }
}

/// One row.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    how: &'static str,
    pub(crate) conceded: bool,
    outcomes: [Outcome; 3],
}

impl Row {
    pub(crate) fn of(&self, module: Module) -> &Outcome {
        &self.outcomes[module as usize]
    }
}

pub(crate) fn rows_of(case: &Case, outcomes: Vec<[Outcome; 3]>) -> Vec<Row> {
    let names: Vec<_> = case.what.split(" | ").collect();
    assert_eq!(names.len(), outcomes.len(), "{}", case.what);
    let rows = names.into_iter().zip(outcomes);
    rows.map(|(what, outcomes)| Row {
        what,
        how: case.how,
        conceded: case.conceded,
        outcomes,
    })
    .collect()
}

/// Columns of a terminal: what was tried, and three outcomes.
const WIDTHS: [usize; 4] = [46, 17, 17, 17];

/// Prints the table and writes it.
pub(crate) fn publish(rows: &[Row], versions: &str) {
    print!("{}", plain(rows));
    let stamp = std::env::var("MFA_TESTS_STAMP").unwrap_or_default();
    fs::write(
        repository().join("docs/compare.md"),
        markdown(rows, versions, &stamp),
    )
    .unwrap();
}

pub(crate) fn plain(rows: &[Row]) -> String {
    let mut text = String::from("\n");
    let head = ["", "pam_mfa", "google", "oath"].map(str::to_owned);
    line(&mut text, &head);
    for row in rows {
        let cells = Module::ALL.map(|module| row.of(module).marked());
        let [ours, google, oath] = cells;
        line(&mut text, &[row.what.to_owned(), ours, google, oath]);
    }
    text
}

/// One row, over several lines where a cell is too long.
fn line(text: &mut String, cells: &[String; 4]) {
    let wrapped: Vec<_> = cells
        .iter()
        .zip(WIDTHS)
        .map(|(cell, width)| wrap(cell, width))
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap();
    for at in 0..height {
        let mut whole = String::new();
        for (lines, width) in wrapped.iter().zip(WIDTHS) {
            let part = lines.get(at).map_or("", |line| line.trim_end());
            let _ = write!(whole, "{part:width$} ");
        }
        let _ = writeln!(text, "{}", whole.trim_end());
    }
}

fn wrap(cell: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in cell.split_inclusive(' ') {
        let last = lines.last_mut().unwrap();
        if !last.is_empty() && last.chars().count() + word.trim_end().chars().count() > width {
            // Below the text, not below the mark.
            lines.push(format!("  {word}"));
        } else {
            last.push_str(word);
        }
    }
    lines
}

fn markdown(rows: &[Row], versions: &str, stamp: &str) -> String {
    let mut text = format!(
        "# Beside the peers\n\nWritten by `make compare`, never by hand: {stamp}. {versions} Each cell is what a run of that module did; ✓ is right, \
         ✗ is not, a cell without a mark is told for itself. What was run, and with which settings, stands below the table.\n\n\
         Settings, where nothing else is said: pam_mfa as it ships, but with one prompt in a login and no pause after a failure; \
         pam_google_authenticator with what `google-authenticator -t -d -w 3 -r 3 -R 30` writes (`TOTP_AUTH`, `DISALLOW_REUSE`, `WINDOW_SIZE 3`, \
         `RATE_LIMIT 3 30`), its files where root alone can write (`secret=…/${{USER}} user=root`); pam_oath with one users file and `window=1`, stricter than its documentation asks for. pam_duo is not \
         in Debian and is left out.\n\n\
         | | pam_mfa | pam_google_authenticator | pam_oath |\n|---|---|---|---|\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let [ours, google, oath] =
            Module::ALL.map(|module| row.of(module).marked().trim().to_owned());
        let _ = writeln!(
            text,
            "| {}. {} | {ours} | {google} | {oath} |",
            number + 1,
            row.what
        );
    }
    text.push_str("\n## What was run\n\n");
    let mut number = 1;
    for cluster in rows.chunk_by(|one, other| std::ptr::eq(one.how, other.how)) {
        let last = number + cluster.len() - 1;
        let numbers = if last == number {
            number.to_string()
        } else {
            format!("{number} to {last}")
        };
        let _ = writeln!(text, "- **{numbers}.** {}", cluster[0].how);
        number = last + 1;
    }
    let better: Vec<_> = rows
        .iter()
        .filter(|row| row.conceded)
        .map(|row| row.what)
        .collect();
    let _ = writeln!(text, "\nWhere a peer is better: {}.", better.join("; "));
    text
}
