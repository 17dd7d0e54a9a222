//! Programs of the host and of the administrator: what they get, and what their exit codes mean.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{AccessFlags, Pid, access};

use crate::progress::Progress;
use crate::report::{Class, Failure};
use crate::shed;

/// All that a program finds in its environment.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether a program is there and may be run.
pub(super) fn check(program: &Path) -> Result<String, Failure> {
    let shown = program.display();
    let wrong = |what: String| Failure::config(Class::Program, what);
    let status = std::fs::metadata(program).map_err(|error| wrong(format!("{shown}: {error}")))?;
    if !status.is_file() {
        return Err(wrong(format!("{shown} is no program")));
    }
    access(program, AccessFlags::X_OK)
        .map_err(|_| wrong(format!("{shown} may not be run by the courier's user")))?;
    Ok(format!("{shown} can be run"))
}

/// Runs a program with a text on its standard input, and waits for its end.
pub(super) fn run(
    program: &Path,
    arguments: &[impl AsRef<str>],
    input: &[u8],
    progress: &Progress,
) -> Result<ExitStatus, Failure> {
    let shown = program.display().to_string();
    progress.doing_with_message(format!("while running {shown}"));
    // What the courier needs is small; how much a program needs is not the courier's business.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_AS) {
        setrlimit(Resource::RLIMIT_AS, hard, hard)
            .map_err(|error| Failure::retry(Class::Program, format!("setrlimit: {error}")))?;
    }
    let mut command = Command::new(program);
    command
        .args(arguments.iter().map(AsRef::as_ref))
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if progress.has_own_groups() {
        // So that it can be ended with all that it started.
        command.process_group(0);
    }
    shed::dies_with_the_courier(&mut command);
    let failed = |what: String| Failure::retry(Class::Program, format!("{shown}: {what}"));
    let mut child = command.spawn().map_err(|error| match check(program) {
        Err(failure) => failure,
        Ok(_) => failed(error.to_string()),
    })?;
    progress.program_runs(child.id());
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing may be content all the same: its exit code says.
        let _ = stdin.write_all(input);
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    // Seen before it is reaped: as long as nobody has reaped it, its number is nobody else's.
    let seen = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    progress.program_ended();
    seen.map_err(|error| failed(error.to_string()))?;
    child.wait().map_err(|error| failed(error.to_string()))
}

/// How a program ended, in words.
pub(super) fn ended(program: &Path, status: ExitStatus) -> String {
    let shown = program.display();
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("{shown} ended with exit code {code}"),
        (None, Some(signal)) => format!("{shown} was ended by signal {signal}"),
        (None, None) => format!("{shown} ended"),
    }
}
