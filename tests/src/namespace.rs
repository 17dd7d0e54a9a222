//! How a test gets onto a host of its own.

use std::any::type_name;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::files::repository;
use crate::host::Host;
use crate::proof;

/// Set for the copy of the test binary that runs inside.
const INSIDE: &str = "MFA_TEST_HOST";
/// Printed by the copy when the body has run to its end: a filter that met no test must not pass.
const DONE: &str = "the body has run on its own host";
/// A login that hangs is ended after this time; the slowest test takes a fifth of it.
const DEADLINE: Duration = Duration::from_secs(150);
/// The same where the long form of a test runs.
const LONG_DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// Runs `body` as root on a test host of its own, see `tests/host/enter`. Call it once, directly from the test
/// function: the test's name is read from the closure's type.
///
/// The module, the courier and mfa-admin are installed, and `mfa-admin init` has run. Without root the test is skipped, by name,
/// on standard error.
#[track_caller]
pub fn on_a_test_host<Body: FnOnce(&Host)>(body: Body) {
    enter(test_name::<Body>(), |host| {
        host.install();
        body(host);
    });
}

/// Like [`on_a_test_host`], on a host without anything of ours.
#[track_caller]
pub fn on_a_bare_host<Body: FnOnce(&Host)>(body: Body) {
    enter(test_name::<Body>(), body);
}

#[track_caller]
fn enter(name: &str, body: impl FnOnce(&Host)) {
    if is_inside() {
        body(&Host::start());
        println!("{DONE}: {name}");
        return;
    }
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        // Written past the capture of libtest, so that it shows when the test passes.
        let line = format!("SKIPPED (needs root): {name}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let (status, output) = run_inside(name);
    assert!(
        status == Some(0) && output.contains(&format!("{DONE}: {name}")),
        "inside the test host, exit {status:?}:\n{output}"
    );
}

/// Whether this process runs on a test host.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// `logins::a_person_logs_in::{{closure}}` → `a_person_logs_in`, with its modules, as `--exact` wants it.
fn test_name<Body>() -> &'static str {
    let path = type_name::<Body>();
    let path = path.split("::{{closure}}").next().unwrap();
    path.split_once("::").map_or(path, |(_crate, name)| name)
}

fn run_inside(name: &str) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = Command::new(repository().join("tests/host/enter"))
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            name,
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ])
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    // The pipe ends when the last process in there has died, which is when the host is gone.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let said = String::from_utf8_lossy(&line);
            // Past the capture of libtest: of a long run people see how far it has come, of any what it counted.
            if proof::is_long() || said.starts_with("proof: ") {
                let _ = std::io::stderr().write_all(&line);
            }
            text.push_str(&said);
            line.clear();
        }
        let _ = sender.send(text);
    });
    let deadline = if proof::is_long() {
        LONG_DEADLINE
    } else {
        DEADLINE
    };
    if let Ok(text) = receiver.recv_timeout(deadline) {
        return (child.wait().unwrap().code(), text);
    }
    // Ends everything in there: enter runs below `unshare --kill-child`.
    child.kill().unwrap();
    child.wait().unwrap();
    let text = receiver
        .recv_timeout(Duration::from_secs(10))
        .unwrap_or_default();
    (
        None,
        format!("{text}\n(ended after {} s)", deadline.as_secs()),
    )
}
