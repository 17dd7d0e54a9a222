//! Inputs that fuzzing has found (`tests/fuzz`), tried again without a fuzzer.
#![allow(
    clippy::unwrap_used,
    reason = "a corpus that can't be read fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use mfa_tests::{proof, repository};

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

#[test]
fn what_fuzzing_has_found_holds() {
    let mut counts = Vec::new();
    let mut failures = Vec::new();
    for (name, property) in mfa_properties::ALL {
        let inputs = inputs(name);
        for (path, bytes) in &inputs {
            if catch_unwind(AssertUnwindSafe(|| property(bytes))).is_err() {
                failures.push(path.display().to_string());
            }
        }
        counts.push((*name, inputs.len().to_string()));
    }
    assert!(failures.is_empty(), "does not hold for {failures:#?}");
    proof::tell(
        "fuzz-corpora",
        "Inputs that fuzzing has found, replayed",
        &counts,
    );
}
