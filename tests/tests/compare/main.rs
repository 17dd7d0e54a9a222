//! This module, pam_google_authenticator and pam_oath in the same places, one table: what each does was run, not read.
//!
//! `make compare` prints the table and writes docs/compare.md. `make test` runs the cases with fewer rounds and without those that
//! need a clock, and asserts our own column; the peers have to be seen to fail where they are known to, or the suite could tell nothing.
//! duo_unix is not in Debian and talks to a service of its vendor: it is left out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod arena;
mod codes;
mod cost;
mod faults;
mod features;
mod guessing;
mod kills;
mod strangers;
mod table;
mod trust;

use std::fs;
use std::time::Instant;

use mfa_tests::{on_a_test_host, proof};

use arena::{Arena, Module};
use table::{Case, Outcome, Row};

/// All cases, in the order of the table.
fn cases() -> Vec<Case> {
    [
        codes::CASES,
        guessing::CASES,
        strangers::CASES,
        faults::CASES,
        kills::CASES,
        trust::CASES,
        features::CASES,
        cost::CASES,
    ]
    .concat()
}

#[test]
fn our_column_is_right_and_the_peers_are_seen_to_fail() {
    on_a_test_host(|machine| {
        let arena = Arena::open(machine);
        let cases: Vec<_> = cases()
            .into_iter()
            .filter(|case| proof::is_long() || !case.needs_long)
            .collect();
        let begin = Instant::now();
        let mut rows: Vec<Row> = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            if proof::is_long() {
                let passed = begin.elapsed().as_secs();
                eprintln!(
                    "case {} of {}, after {passed} s: {}",
                    number + 1,
                    cases.len(),
                    case.what
                );
            }
            arena.put_back();
            let outcomes = (case.run)(&arena);
            rows.extend(table::rows_of(case, outcomes));
        }
        let _ = fs::remove_dir_all(&arena.host.folder);
        if proof::is_long() {
            table::publish(&rows, &arena.versions());
        }
        let too_wide: Vec<_> = table::plain(&rows)
            .lines()
            .filter(|line| line.chars().count() > 100)
            .map(str::to_owned)
            .collect();
        assert!(too_wide.is_empty(), "{too_wide:#?}");
        let wrong: Vec<_> = rows
            .iter()
            .filter(|row| row.of(Module::Ours).is_right() == row.conceded)
            .map(|row| row.what)
            .collect();
        assert!(
            wrong.is_empty(),
            "not as it should be: {wrong:#?}\n{}",
            table::plain(&rows)
        );
        // None of them a race: where the peers are not seen to fail in these, the suite can tell nothing.
        for (module, what) in [
            (Module::Google, "followed out of the store"),
            (Module::Google, "FIFO"),
            (Module::Oath, "others can write"),
            (Module::Oath, "without an answer"),
        ] {
            let failed = rows
                .iter()
                .any(|row| row.what.contains(what) && matches!(row.of(module), Outcome::Wrong(_)));
            assert!(
                failed,
                "{module:?} is known to fail `{what}`, and was not seen to\n{}",
                table::plain(&rows)
            );
        }
        tell(&rows);
    });
}

/// How many rows each gets right.
fn tell(rows: &[Row]) {
    let right = |module: Module| {
        let judged: Vec<_> = rows
            .iter()
            .map(|row| row.of(module))
            .filter(|outcome| outcome.is_judged())
            .collect();
        let right = judged.iter().filter(|outcome| outcome.is_right()).count();
        format!("{right} of {}", judged.len())
    };
    let conceded = rows.iter().filter(|row| row.conceded).count();
    proof::tell(
        "compare",
        "Beside the peers (docs/compare.md)",
        &[
            ("rows right, pam_mfa", right(Module::Ours)),
            (
                "rows right, pam_google_authenticator",
                right(Module::Google),
            ),
            ("rows right, pam_oath", right(Module::Oath)),
            ("rows in which a peer is better", conceded.to_string()),
        ],
    );
}
