//! What the tests have counted, for docs/proof.md.
//!
//! Suites with many rounds have two lengths: a short one in `make test`, and the long one of a command of its own, which sets
//! `MFA_TESTS_LONG=1` (`tests/long.sh`). Both print what they counted; the long one leaves it below `target/proof` as well,
//! from where `tests/proof.sh` writes docs/proof.md.

use std::env;
use std::fmt::Write as _;
use std::fs;

use crate::files::target;

/// Whether the long form runs.
pub fn is_long() -> bool {
    env::var_os("MFA_TESTS_LONG").is_some_and(|value| value == "1")
}

/// How many rounds: `short` in `make test`, `long` in the long form.
pub fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Prints what was counted, a line `proof: WHAT: COUNT` each, and keeps it for docs/proof.md in the long form.
///
/// `name` is the suite and the part of it, `faults-login`; `title` is the heading that people read. Neither a heading nor what
/// was counted holds a tab or a line break.
pub fn tell(name: &str, title: &str, counts: &[(&str, String)]) {
    // When, which commit and which command: tests/long.sh knows.
    let stamp = env::var("MFA_TESTS_STAMP").unwrap_or_default();
    let mut text = format!("{title}\n{stamp}\n");
    // libtest has begun a line: `test NAME ... `.
    println!();
    for (what, count) in counts {
        println!("proof: {title}: {what}: {count}");
        writeln!(text, "{what}\t{count}").unwrap();
    }
    if is_long() {
        let folder = target().join("proof");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }
}
