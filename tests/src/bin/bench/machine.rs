//! When and on what this was measured.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// When, from which commit and by which command: `tests/bench/run.sh` knows.
pub(crate) fn stamp() -> String {
    env::var("MFA_TESTS_STAMP").unwrap_or_else(|_| "A run by hand".to_owned())
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().unwrap().get()
}

/// Processor, memory, kernel, and the file system of `folder`.
pub(crate) fn describe(folder: &Path) -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let kilobytes = field("/proc/meminfo", "MemTotal");
    let kilobytes: f64 = kilobytes
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(f64::NAN);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let output = Command::new("df")
        .arg("--output=fstype")
        .arg(folder)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let file_system = output.lines().last().unwrap_or("unknown");
    format!(
        "{}, {} cores, {:.0} GiB; Linux {}; files on {}.",
        field("/proc/cpuinfo", "model name"),
        cores(),
        kilobytes / 1024.0 / 1024.0,
        kernel.trim(),
        file_system.trim()
    )
}
