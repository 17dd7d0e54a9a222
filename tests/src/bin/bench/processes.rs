//! Fresh processes: a first dlopen, and whole logins. And how large modules are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mfa_tests::module_path;
use mfa_tests::pam_host::built;

use crate::kind::{Kind, find};
use crate::peers;
use crate::progress::Progress;
use crate::report::{Report, Target, number};
use crate::side_by_side::OURS;
use crate::site::Site;
use crate::statistics::{median, quartiles_of, ratio};
use crate::table::Table;

/// Rounds that warm up.
const WARM: usize = 5;
/// Processes that are compared with each other: as many as a block of logins.
const BLOCK: usize = 10;

/// One sort of process, in nanoseconds.
pub(crate) struct Processes {
    name: &'static str,
    module: PathBuf,
    dlopen: Vec<u64>,
    whole: Vec<u64>,
}

/// Interleaved. `kinds` holds the logins.
pub(crate) fn measure(
    site: &Site,
    kinds: &[Kind],
    count: usize,
    progress: &mut Progress,
) -> Vec<Processes> {
    let new = |name, module| Processes {
        name,
        module,
        dlopen: Vec::new(),
        whole: Vec::new(),
    };
    let mut all = [
        (
            new("pam_permit", peers::module("pam_permit.so")),
            "pam_permit",
        ),
        (new("promptok", built("pam_promptok.so")), "promptok"),
        (new("pam_mfa", module_path()), OURS),
        (
            new("google", peers::module("pam_google_authenticator.so")),
            "google, accepted",
        ),
        (new("oath", peers::module("pam_oath.so")), "oath, accepted"),
    ];
    for round in 0..count + WARM {
        progress.at(round, count + WARM);
        let code = site.app.code_of(site.app.step());
        for (processes, kind) in &mut all {
            let dlopen = first_dlopen(&processes.module);
            let whole = one_process(site, find(kinds, kind), &code);
            if round >= WARM {
                processes.dlopen.push(dlopen);
                processes.whole.push(whole);
            }
        }
    }
    all.map(|(processes, _)| processes).into()
}

fn first_dlopen(module: &Path) -> u64 {
    let mut command = Command::new(built("pam_bench"));
    let output = command.arg("--dlopen").arg(module).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A process that logs one user in.
pub(crate) fn once(site: &Site, kind: &Kind, user: &str, code: &str) -> Command {
    let mut command = Command::new(built("pam_bench"));
    command
        .arg("--once")
        .arg(site.services())
        .args([&kind.service, user, code]);
    command
}

/// From fork to exit, with one login of the first of a kind's people.
fn one_process(site: &Site, kind: &Kind, code: &str) -> u64 {
    let user = &kind.users[0];
    kind.write_back(user);
    let mut command = once(site, kind, user, code);
    let before = Instant::now();
    let status = command.status().unwrap();
    let taken = u64::try_from(before.elapsed().as_nanos()).unwrap();
    assert!(status.success(), "{}: a whole process", kind.name);
    taken
}

fn kilobytes(file: &Path) -> f64 {
    fs::metadata(file).unwrap().len() as f64 / 1000.0
}

/// What a module's file consists of, most first, by `size` of binutils.
fn parts(module: &Path) -> String {
    let output = Command::new("size").arg("-A").arg(module).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut sections: Vec<(u64, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().filter(|name| name.starts_with('.'))?;
            Some((words.next()?.parse().ok()?, name))
        })
        .collect();
    sections.sort_unstable();
    let largest: Vec<_> = sections
        .iter()
        .rev()
        .take(6)
        .map(|(bytes, name)| format!("{name} {:.0} kB", *bytes as f64 / 1000.0))
        .collect();
    format!("its sections are {}.", largest.join(", "))
}

/// dlopen, size and whole process.
pub(crate) fn targets(all: &[Processes], faults: &str, report: &mut Report) {
    let of = |name: &str| all.iter().find(|one| one.name == name).unwrap();
    let [google, oath, ours] = ["google", "oath", "pam_mfa"].map(of);
    let peers = [google, oath].map(|one| median(&one.dlopen));
    report.target(Target::at_most(
        "first dlopen, µs",
        peers,
        median(&ours.dlopen),
        100.0,
        "",
    ));
    report.reason(|| {
        "loading grows with the file's relocations; fresh processes stand below.".to_owned()
    });
    let peers = [
        kilobytes(&google.module),
        kilobytes(&oath.module) + kilobytes(&peers::liboath()),
    ];
    for (what, most) in [
        ("size of the .so, kB", 1_100.0),
        ("size of the .so, kB, later", 800.0),
    ] {
        report.target(Target::at_most(
            what,
            peers,
            kilobytes(&ours.module),
            most,
            "",
        ));
    }
    report.reason(|| parts(&ours.module));
    let permit = of("pam_permit");
    let [google, oath, ours] =
        [google, oath, ours].map(|one| ratio(&one.whole, &[&permit.whole], BLOCK).median);
    let what = "whole process ÷ pam_permit's";
    report.target(Target::at_most(what, [google, oath], ours, 1.35, ""));
    report.reason(|| faults.to_owned());
}

pub(crate) fn report(all: &[Processes], report: &mut Report) {
    let mut table = Table::new(&[
        "",
        "first dlopen",
        "quartiles",
        "whole process",
        "quartiles",
        "÷ pam_permit",
        "kB",
    ]);
    let permit = &all[0];
    for one in all {
        let (dlopen, whole) = (quartiles_of(&one.dlopen), quartiles_of(&one.whole));
        table.row(vec![
            one.name.to_owned(),
            number(dlopen.median),
            format!("{}–{}", number(dlopen.low), number(dlopen.high)),
            number(whole.median),
            format!("{}–{}", number(whole.low), number(whole.high)),
            number(ratio(&one.whole, &[&permit.whole], BLOCK).median),
            number(kilobytes(&one.module)),
        ]);
    }
    let about = format!(
        "Fresh processes, {} of each: dlopen of the module, and a process from fork to exit that logs one user in.",
        permit.whole.len()
    );
    report.section("Fresh processes", &about, table, None);
}
