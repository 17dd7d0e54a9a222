//! The benchmark runs to its end and has all its rows, so that it still does when somebody needs it. What it measures here is
//! worth nothing.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mfa_tests::on_a_bare_host;

/// What has a target, in the order of the table.
const TARGETS: [&str; 17] = [
    "accepted, µs",
    "accepted ÷ (promptok + floor)",
    "accepted ÷ (promptok + floor), later",
    "wrong ÷ accepted",
    "10 → 50 users (peers: 50)",
    "first dlopen, µs",
    "size of the .so, kB",
    "size of the .so, kB, later",
    "whole process ÷ pam_permit's",
    "same code, 50 processes: let in",
    "50 users at once, right codes: let in",
    "kill -9: next refused / files left",
    "wrong guesses looked at in a minute",
    "time tells refusals apart (AUC)",
    "prompt after Enter, ms",
    "recovery-shaped answer: argon2s",
    "bound key − plain key file, ms",
];

/// Its tables, each with the beginning of a row that must be there.
const TABLES: [(&str, &str); 19] = [
    ("Side by side", "| pam_mfa, accepted | "),
    ("Instructions", "| pam_mfa, unknown | "),
    ("System calls", "| google, accepted | "),
    ("System calls by name", "| fdatasync | 1 | 1 | – | – |"),
    ("Memory", "| oath, accepted | "),
    ("Users", "| pam_mfa, 50 users | "),
    ("Apps of one user", "| 8 apps | "),
    ("Other ways in", "| recovery code | "),
    ("Other ways in", "| passphrase and app code | "),
    ("Other ways in", "| wrong passphrase, right code | "),
    ("Other ways in", "| app code, bound key | "),
    ("Races and kills", "| pam_mfa | 1 to 1 | 50 | "),
    ("Logins at once: how long one takes", "| 64 | "),
    ("Logins at once: accepted in a second", "| 64 | "),
    ("Fresh processes", "| pam_permit | "),
    ("Refusals", "| suspended | "),
    (
        "Prompts where codes are delivered",
        "| a silent mail server | ",
    ),
    (
        "What time tells where codes are delivered",
        "| bob and carol | ",
    ),
    (
        "Targets",
        "| recovery-shaped answer: argon2s | – | – | 1 | 1 | met |",
    ),
];

const DRAWINGS: [&str; 3] = ["bench-logins.svg", "bench-users.svg", "bench-at-once.svg"];

#[test]
fn the_benchmark_runs_to_its_end_and_has_all_its_rows() {
    on_a_bare_host(|_| {
        let folder = Path::new("/run/bench-docs");
        let output = Command::new(env!("CARGO_BIN_EXE_bench"))
            .arg("QUICK")
            .env("MFA_BENCH_DOCS", folder)
            // Nothing of this is for docs/proof.md.
            .env_remove("MFA_TESTS_LONG")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{complaints}");
        let rows: Vec<_> = text
            .lines()
            .skip_while(|line| *line != "targets")
            .skip(2)
            .zip(TARGETS)
            .collect();
        assert_eq!(rows.len(), TARGETS.len(), "{text}");
        for (row, target) in rows {
            assert!(row.trim_start().starts_with(target), "{target}\n{text}");
            let verdicts = ["met", "MISSED"];
            assert!(verdicts.iter().any(|word| row.ends_with(word)), "{row}");
        }

        let written = fs::read_to_string(folder.join("bench.md")).unwrap();
        for (title, row) in TABLES {
            let part = written
                .split("\n## ")
                .find(|part| part.starts_with(&format!("{title}\n")));
            let part = part.unwrap_or_else(|| panic!("no {title}\n{written}"));
            assert!(
                part.lines().any(|line| line.starts_with(row)),
                "{row}\n{part}"
            );
        }
        for drawing in DRAWINGS {
            assert!(written.contains(&format!("]({drawing})")), "{drawing}");
            let drawn = Command::new("rsvg-convert")
                .arg(folder.join(drawing))
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(drawn.success(), "{drawing}");
        }
    });
}

#[test]
fn one_login_is_measured_with_two_modules_side_by_side() {
    on_a_bare_host(|_| {
        let module = mfa_tests::module_path();
        let output = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["LOGIN", "QUICK", "MEMORY"])
            .args([&module, &module])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{complaints}");
        for row in ["accepted, module 1", "unknown, module 2"] {
            // Times, ratios, costs.
            let count = text
                .lines()
                .filter(|line| line.trim_start().starts_with(&format!("{row} ")))
                .count();
            assert_eq!(count, 3, "{row}\n{text}");
        }
        assert_eq!(text.matches("\n  fdatasync(").count(), 2, "{text}");
    });
}
