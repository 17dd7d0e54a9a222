//! Inputs that fuzzing has found (`tests/fuzz`), tried again without a fuzzer.
#![allow(
    clippy::unwrap_used,
    reason = "a corpus that can't be read fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use mfa_properties::Property;
use mfa_tests::{module_path, on_a_bare_host, proof, repository, target};

/// Files and bytes of one corpus at most: they are in the repository, and replayed each time.
const MAX_FILES: usize = 300;
const MAX_BYTES: usize = 300_000;

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(repository().join("tests/fuzz").join(folder)).unwrap();
    let name = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    entries.map(|entry| name(entry.unwrap().path())).collect()
}

fn inputs(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(repository().join("tests/fuzz/corpus").join(name)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_fuzz_target_has_a_corpus_that_is_neither_empty_nor_large() {
    let targets = names("fuzz_targets");
    assert_eq!(targets, names("corpus"));
    for name in targets {
        let inputs = inputs(&name);
        let bytes: usize = inputs.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(
            (1..=MAX_FILES).contains(&inputs.len()),
            "{name}: {}",
            inputs.len()
        );
        assert!(bytes <= MAX_BYTES, "{name}: {bytes} bytes");
    }
}

fn failures_of(property: Property, inputs: &[(PathBuf, Vec<u8>)]) -> Vec<String> {
    let fails = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| property(bytes))).is_err();
    let failures = inputs.iter().filter(|(_, bytes)| fails(bytes));
    failures
        .map(|(path, _)| path.display().to_string())
        .collect()
}

#[test]
fn what_fuzzing_has_found_holds() {
    let corpora = mfa_properties::ALL.map(|(name, property)| (name, property, inputs(name)));
    // Side by side: fuzzed servers wait a little for lines that don't come.
    let failures: Vec<String> = thread::scope(|scope| {
        let parts = corpora
            .iter()
            .flat_map(|(_, property, inputs)| inputs.chunks(30).map(move |part| (*property, part)));
        let trials: Vec<_> = parts
            .map(|(property, part)| scope.spawn(move || failures_of(property, part)))
            .collect();
        let found = trials.into_iter().map(|trial| trial.join().unwrap());
        found.flatten().collect()
    });
    assert!(failures.is_empty(), "does not hold for {failures:#?}");
    let counts: Vec<_> = corpora
        .iter()
        .map(|(name, _, inputs)| (*name, inputs.len().to_string()))
        .collect();
    proof::tell(
        "fuzz-corpora",
        "Inputs that fuzzing has found, replayed",
        &counts,
    );
}

/// The module as it ships, with the harness that libFuzzer calls it through (`tests/fuzz/module`).
#[test]
fn what_fuzzing_has_found_holds_for_the_module_as_it_ships() {
    on_a_bare_host(|_| {
        let built = target().join("fuzz-replay");
        let script = repository().join("tests/fuzz/module/build.sh");
        assert!(Command::new(script).arg(&built).status().unwrap().success());
        let folder = Path::new("/run/fuzz");
        fs::create_dir(folder).unwrap();
        mfa_properties::host::prepare(folder, &built.join("pam_mfa.so"));
        let inputs = inputs("module");
        let replayed = Command::new(built.join("replay"))
            .arg(module_path())
            .arg(folder)
            .args(inputs.iter().map(|(path, _)| path))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&replayed.stderr);
        let last: Vec<&str> = said.lines().rev().take(2).collect();
        assert!(replayed.status.success(), "{last:#?}");

        let answered = String::from_utf8_lossy(&replayed.stdout).into_owned();
        // Success, a refusal, something unusable, no answer, and who is let by: inputs that all fail early show nothing.
        let expected = [0, 7, 9, 19, 25].map(|code| format!("authenticate {code} "));
        // A passphrase that was changed, a refusal, one that was not taken, and nobody who is asked for one.
        let of_changes = [0, 7, 20, 25].map(|code| format!("chauthtok {code} "));
        for beginning in expected.iter().chain(&of_changes) {
            let is_there = answered.lines().any(|line| line.starts_with(beginning));
            assert!(is_there, "no {beginning}in\n{answered}");
        }
        let calls: u64 = answered
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        proof::tell(
            "fuzz-corpora-module",
            "Inputs that fuzzing has found, replayed on the module as it ships",
            &[
                ("inputs", inputs.len().to_string()),
                ("calls of its hooks", calls.to_string()),
            ],
        );
    });
}
