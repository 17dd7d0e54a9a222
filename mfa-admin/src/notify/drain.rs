//! `notify drain`: has the courier work off the spool now.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use mfa_core::config::Config;
use mfa_core::courier::StartError;
use mfa_core::secure_file::{Owner, folder_of};
use serde_json::json;

use crate::context::{Context, require_root};
use crate::delivery::{courier_user, not_started};
use crate::error::{Failure, Kind};
use crate::output::{Reply, say, shown};

/// Bytes of a line of the courier's at most; it writes shorter ones.
const MAX_LINE: u64 = 1024;
/// Lines that are kept for a document.
const MAX_LINES: usize = 1000;
/// `EX_TEMPFAIL`, sysexits.h.
const TRY_AGAIN: i32 = 75;
/// `EX_IOERR`: the spool can't be changed.
const SPOOL: i32 = 74;
/// `EX_CONFIG`.
const CONFIGURATION: i32 = 78;

/// Runs the verb.
pub(super) fn run(context: &Context<'_>) -> Result<Reply, Failure> {
    require_root()?;
    let config = context.config()?;
    courier_user(&config)?;
    let (status, lines) = drain(context, &config)?;
    let last = lines.last().map_or("it says nothing", String::as_str);
    match status.code() {
        Some(0) => Ok(Reply::done(
            json!({ "drained": true, "messages": lines }),
            // Not that nothing is left: another drain may be at work.
            "The courier is done; `mfa-admin notify queue` shows what waits.",
        )),
        Some(TRY_AGAIN) => Err(Failure::failed(
            format!("not everything could be delivered, and is tried again later: {last}"),
            "`mfa-admin notify queue` shows what waits, and `mfa-admin doctor` tries the channels",
        )),
        Some(SPOOL) => Err(Failure::new(
            Kind::StoreUnusable,
            format!("the spool can't be changed, so nothing more was delivered: {last}"),
            "see mount, space and owner of that place; `mfa-admin doctor` looks at it",
        )),
        Some(CONFIGURATION) => Err(Failure::new(
            Kind::ConfigUnusable,
            format!("the configuration does not allow to deliver everything: {last}"),
            "`mfa-admin doctor` says what is missing; what waits is tried again",
        )),
        _ => Err(ended_badly(status, last)),
    }
}

fn ended_badly(status: ExitStatus, last: &str) -> Failure {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    };
    Failure::failed(
        format!("the courier ended with {how}: {last}"),
        "nothing is lost; run it again, and see the system's log",
    )
}

/// Runs the courier, whose lines are shown as they come; Ctrl-C reaches it as well.
fn drain(context: &Context<'_>, config: &Config) -> Result<(ExitStatus, Vec<String>), Failure> {
    let program = config.paths.courier.as_path();
    folder_of(program, Owner::ROOT)
        .and_then(|(folder, name)| folder.check_program(&name))
        .map_err(|error| not_started(&StartError::Program(error)))?;
    let fail = |error: std::io::Error| not_started(&StartError::System(error.to_string()));
    let mut child = Command::new(program)
        .arg("drain")
        .arg("--config")
        .arg(&context.config_path)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Not this terminal itself: what somebody without rights writes there would not be looked at.
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let lines = child
        .stderr
        .take()
        .map(|said| relay(context, &mut BufReader::new(said)))
        .unwrap_or_default();
    Ok((child.wait().map_err(fail)?, lines))
}

/// Shows line after line, or keeps them for the document.
fn relay(context: &Context<'_>, said: &mut dyn BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = next_line(said) {
        if !context.output.is_json() {
            say(&line);
        }
        if lines.len() == MAX_LINES {
            lines.remove(0);
        }
        lines.push(line);
    }
    lines
}

/// The next line, or as much of it as anybody would read.
fn next_line(said: &mut dyn BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        match said.take(MAX_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whatever the courier has still to say: how it ended is known all the same.
            Err(_) => return None,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    Some(shown(text.trim_end_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_bounded_and_clean() {
        let long = "x".repeat(3000);
        let text = format!("one\n\u{1b}[2Jtwo\n{long}\nlast");
        let mut said = text.as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut said) {
            lines.push(line);
        }
        assert_eq!(lines.first().map(String::as_str), Some("one"));
        assert_eq!(lines.get(1).map(String::as_str), Some("\\u{1b}[2Jtwo"));
        assert_eq!(lines.last().map(String::as_str), Some("last"));
        assert!(lines.iter().all(|line| line.len() <= 1024));
    }

    #[test]
    fn an_end_that_nobody_planned_is_told() {
        let killed = ended_badly(ExitStatus::from_raw(9), "x");
        assert!(killed.message.contains("signal 9"));
        let odd = ended_badly(ExitStatus::from_raw(101 << 8), "x");
        assert!(odd.message.contains("exit 101"));
    }
}
