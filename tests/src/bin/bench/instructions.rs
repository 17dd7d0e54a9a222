//! Instructions of `pam_authenticate`, counted by callgrind: the same number on every machine, however busy it is.
//!
//! What the kernel does is not in it, and valgrind's processor has no instructions for SHA.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use mfa_tests::pam_host::built;
use mfa_tests::stopwatch::Stopwatch;

use crate::kind::Kind;
use crate::logins::answer;
use crate::site::Site;

/// Logins, of which the last is looked at: what happens once in a process is over by then.
const LOGINS: usize = 4;

/// Instructions of one login.
pub(crate) struct Instructions {
    pub(crate) all: u64,
    /// By file of code, most first.
    pub(crate) by_object: Vec<(String, u64)>,
    /// By function, most first; without symbols a file is one.
    pub(crate) by_function: Vec<(String, u64)>,
}

/// Counts one login.
pub(crate) fn count(site: &Site, kind: &Kind) -> Instructions {
    let folder = site.folder.join("callgrind");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .args([
            "--toggle-collect=pam_authenticate",
            "--dump-after=pam_authenticate",
        ])
        .arg(format!("--callgrind-out-file={}/out", folder.display()))
        .arg(built("pam_bench"))
        .arg(site.services());
    let mut stopwatch = Stopwatch::start_below(&mut command);
    let code = answer(&site.app, kind, &site.app.wrong_code());
    for turn in 0..LOGINS {
        let lap = stopwatch.obey(&kind.command("login", turn, &code));
        kind.expect(lap);
    }
    drop(stopwatch);
    annotate(&folder.join(format!("out.{LOGINS}")))
}

/// What `callgrind_annotate` makes of a file: lines `1,234 (12.3%)  source:function [/path/of/object]`.
fn annotate(file: &Path) -> Instructions {
    let output = Command::new("callgrind_annotate")
        .args(["--auto=no", "--threshold=100", "--show-percs=no"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "callgrind_annotate: {text}");
    let mut all = u64::MAX;
    let (mut objects, mut functions) = (HashMap::new(), HashMap::new());
    for line in text.lines() {
        let Some((number, what)) = line.trim_start().split_once("  ") else {
            continue;
        };
        let Ok(number) = number.replace(',', "").parse::<u64>() else {
            continue;
        };
        if what.trim() == "PROGRAM TOTALS" {
            all = number;
            continue;
        }
        // Callers of what is counted, `main` and the like, come with all of it.
        if number >= all {
            continue;
        }
        let (function, object) = what.trim().rsplit_once(" [").unwrap_or((what.trim(), "?"));
        let object = object.trim_end_matches(']').rsplit('/').next().unwrap();
        let function = function.split_once(':').map_or(function, |(_, name)| name);
        *objects.entry(object.to_owned()).or_insert(0) += number;
        *functions
            .entry(format!("{function} [{object}]"))
            .or_insert(0) += number;
    }
    assert!(all != u64::MAX, "no totals: {text}");
    Instructions {
        all,
        by_object: most_first(objects),
        by_function: most_first(functions),
    }
}

fn most_first(counts: HashMap<String, u64>) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    counts
}
