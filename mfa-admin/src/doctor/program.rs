//! Runs a program that doctor asks something, and does not wait for ever.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// They answer in milliseconds; one that hangs must not hang doctor.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(2);
/// `sshd -T`, the longest answer, has about 5 kB.
const MOST_BYTES: u64 = 1 << 20;

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    /// It ended with 0.
    pub(super) is_success: bool,
    /// Its standard output.
    pub(super) output: String,
    /// Its standard error.
    pub(super) complaint: String,
}

/// Runs a program to its end, with nothing on standard input.
pub(super) fn run(command: &mut Command) -> Result<Ran, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = collect(child.stdout.take());
    let complaint = collect(child.stderr.take());
    let is_success = wait(&mut child)?;
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        let bytes = reader.join().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ran {
        is_success,
        output: text(output),
        complaint: text(complaint),
    })
}

/// Reads a pipe to its end, on a thread of its own so that a full one can't stop the program.
fn collect<R: Read + Send + 'static>(pipe: Option<R>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error is what there is.
            let _ = pipe.take(MOST_BYTES).read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Whether it ended well, within [`PATIENCE`].
fn wait(child: &mut Child) -> Result<bool, String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if started.elapsed() < PATIENCE => thread::sleep(PAUSE),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s.", PATIENCE.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
