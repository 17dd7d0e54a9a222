//! Servers of tests/mail that print their port, run until they are killed and write down what they are told.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::files::repository;

/// One of the scripts, running.
pub(crate) struct Recorder {
    server: Child,
    port: u16,
    record: PathBuf,
}

impl Recorder {
    /// Starts `tests/mail/SCRIPT --record FILE ARGUMENTS…` and waits until it listens.
    #[track_caller]
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let record = PathBuf::from(format!("/run/{script}-{number}.jsonl"));
        let mut server = Command::new("/usr/bin/python3")
            .arg(repository().join("tests/mail").join(script))
            .arg("--record")
            .arg(&record)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed by tests/packages.sh");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{script} {arguments:?} has not started"));
        Self {
            server,
            port,
            record,
        }
    }

    /// Where it listens, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The record so far, an object per line.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.record).unwrap();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The text of an object's field.
pub(crate) fn text(entry: &Value, field: &str) -> String {
    entry[field].as_str().unwrap().to_owned()
}

/// The pairs of texts in an object's field.
pub(crate) fn pairs(entry: &Value, field: &str) -> Vec<(String, String)> {
    let part = |pair: &Value, index: usize| pair[index].as_str().unwrap().to_owned();
    let list = entry[field].as_array().unwrap();
    list.iter()
        .map(|pair| (part(pair, 0), part(pair, 1)))
        .collect()
}
