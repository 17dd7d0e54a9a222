//! A courier that is at work: a process of its own, started without anything of this one's, and gone when the
//! login is over.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Courier, Document, Kind, Report, SpoolError, spool};
use crate::config::Config;
use crate::critical::CriticalSection;
use crate::passphrase::{Judge, Opinion, PATIENCE, Question, UNFIT};
use crate::program;
use crate::record::Method;
use crate::secure_file::{FileError, Owner, folder_of};

/// The courier's line is shorter.
const MAX_LINE: usize = 1024;

/// Why no courier is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The program is missing, or can't be trusted.
    Program(FileError),
    /// The system refuses.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(error) => error.fmt(f),
            Self::System(message) => write!(f, "the courier could not be started: {message}"),
        }
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// For the audit line.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Program(_) => "no_courier",
            Self::System(_) => "not_started",
        }
    }
}

/// The courier of a configuration.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    config_path: PathBuf,
    spool: PathBuf,
    owner: Owner,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    socket: UnixStream,
    answer: Vec<u8>,
    has_told: bool,
    is_reaped: bool,
    method: Method,
    /// What comes of it is told: it is somebody's.
    is_told: bool,
}

impl Process {
    /// The courier that a configuration names. It is told where the configuration is.
    #[must_use]
    pub fn new(config: &Config, config_path: &Path, owner: Owner) -> Self {
        Self {
            program: config.paths.courier.as_path().to_owned(),
            config_path: config_path.to_owned(),
            spool: config.paths.spool.as_path().to_owned(),
            owner,
            running: Vec::new(),
        }
    }

    /// Waits for what comes of the last delivery, whatever it is of, this long at most; then ends it.
    pub fn wait(&mut self, patience: Duration) -> Option<Report> {
        let mut running = self.running.pop()?;
        running.is_told = true;
        running.wait(patience);
        let report = running.report();
        running.end();
        Some(report.unwrap_or_else(ended))
    }

    fn spawn(&self, verb: &CStr, (method, is_told): (Method, bool)) -> Result<Running, StartError> {
        let (folder, name) = folder_of(&self.program, self.owner).map_err(StartError::Program)?;
        folder.check_program(&name).map_err(StartError::Program)?;
        let fail = |error: std::io::Error| StartError::System(error.to_string());
        let (socket, theirs) = UnixStream::pair().map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let pid = self
            .exec(&theirs, verb)
            .map_err(|errno| StartError::System(errno.desc().to_owned()))?;
        Ok(Running {
            pid,
            socket,
            answer: Vec::new(),
            has_told: false,
            is_reaped: false,
            method,
            is_told,
        })
    }

    fn exec(&self, socket: &UnixStream, verb: &CStr) -> Result<Pid, Errno> {
        let config = CString::new(self.config_path.as_os_str().as_bytes());
        let config = config.map_err(|_| Errno::EINVAL)?;
        let arguments = [verb, c"--config", config.as_c_str()];
        program::start(&self.program, &arguments, socket, None)
    }
}

impl Courier for Process {
    fn start(&mut self, document: &Document) -> Result<(), StartError> {
        let fail = |errno: Errno| StartError::System(errno.desc().to_owned());
        // What is started here must not be the caller's to stop, until it has become somebody else.
        let section = CriticalSection::enter().map_err(fail)?;
        let whose = (document.channel, document.kind != Kind::Nothing);
        let started = self.spawn(c"send", whose).and_then(|mut running| {
            let sent = running.hand_over(document.to_json().as_bytes());
            if sent.is_ok() {
                self.running.push(running);
            } else {
                running.end();
            }
            sent.map_err(fail)
        });
        section.leave().map_err(fail)?;
        started
    }

    fn poll(&mut self) -> Vec<(Method, Report)> {
        let reports = self.running.iter_mut().filter_map(|running| {
            let report = running.report()?;
            running.is_told.then_some((running.method, report))
        });
        reports.collect()
    }

    fn finish(&mut self) -> Vec<(Method, Report)> {
        let mut reports = self.poll();
        // All of them first, so that they end side by side.
        for running in &mut self.running {
            running.kill();
        }
        for mut running in std::mem::take(&mut self.running) {
            if !running.has_told && running.is_told {
                reports.push((running.method, ended()));
            }
            running.end();
        }
        reports
    }

    fn spool(&mut self, notice: &Document, is_wanted: bool) -> Result<(), SpoolError> {
        spool::put(&self.spool, self.owner, notice, is_wanted)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Judge for Process {
    /// Asks `mfa-courier passphrase`, which answers in a line and ends.
    fn judge(&mut self, question: &Question<'_>) -> Opinion {
        let asked = CriticalSection::enter()
            .map_err(|errno| errno.desc().to_owned())
            .and_then(|_section| {
                let mut running = self
                    .spawn(c"passphrase", (Method::Email, true))
                    .map_err(|error| error.to_string())?;
                let sent = running.hand_over(question.to_text().as_bytes());
                if sent.is_ok() {
                    running.wait(PATIENCE);
                }
                let report = running.report();
                running.end();
                sent.map_err(|errno| errno.desc().to_owned())?;
                report.ok_or_else(|| "the courier did not answer in time".to_owned())
            });
        match asked {
            Ok(report) if report.is_accepted => Opinion::Fit,
            // It has no channel.
            Ok(report) => match report.detail.trim_start_matches("-: ") {
                why if report.reason == UNFIT => Opinion::Unfit(why.to_owned()),
                why => Opinion::None(format!("{}: {why}", report.reason)),
            },
            Err(why) => Opinion::None(why),
        }
    }
}

fn ended() -> Report {
    Report {
        is_accepted: false,
        reason: "ended".to_owned(),
        detail: "the login was over before the message was out".to_owned(),
    }
}

impl Running {
    /// Writes the document, which fits into the socket's buffer, without a signal where nobody reads.
    fn hand_over(&mut self, text: &[u8]) -> Result<(), Errno> {
        program::hand_over(&self.socket, text)
    }

    /// What came of it, if that is known and was not told.
    fn report(&mut self) -> Option<Report> {
        let is_over = self.read();
        if self.has_told {
            return None;
        }
        let line = self.line();
        if line.is_none() && !is_over {
            return None;
        }
        self.has_told = true;
        let report = line.and_then(|line| Report::parse(&line));
        Some(report.unwrap_or_else(|| Report {
            is_accepted: false,
            reason: "no_answer".to_owned(),
            detail: "the courier ended without a word".to_owned(),
        }))
    }

    /// Reads what there is; whether that was all that matters.
    fn read(&mut self) -> bool {
        let mut bytes = [0; MAX_LINE];
        while self.answer.len() < MAX_LINE {
            match self.socket.read(&mut bytes) {
                Ok(0) => return true,
                Ok(count) => self
                    .answer
                    .extend_from_slice(bytes.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        true
    }

    fn line(&self) -> Option<String> {
        let end = self.answer.iter().position(|byte| *byte == b'\n')?;
        let line = self.answer.get(..end)?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Waits until there is a line, or there will be none.
    fn wait(&mut self, patience: Duration) {
        // The courier writes its line at once: what comes in pieces is waited for a few times.
        for _ in 0..4 {
            let ready = self
                .socket
                .set_nonblocking(false)
                .and_then(|()| self.socket.set_read_timeout(Some(patience)));
            let mut bytes = [0; MAX_LINE];
            match ready.and_then(|()| self.socket.read(&mut bytes)) {
                Ok(count) if count > 0 => self
                    .answer
                    .extend_from_slice(bytes.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
            if self.line().is_some() {
                break;
            }
        }
        // Where this fails, reading ends at the timeout.
        let _ = self.socket.set_nonblocking(true);
    }

    /// Ends the process with all that it has started. While it was not reaped, its number is nobody else's; where
    /// the host reaped it, or has it done by ignoring SIGCHLD, there is nothing to end.
    fn kill(&mut self) {
        if self.is_reaped {
            return;
        }
        if waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive) {
            self.is_reaped = true;
            return;
        }
        // Its group is its own from setsid(2) on; a program of the administrator's is in it.
        program::kill(self.pid);
    }

    /// The same, and reaps it, whatever the host does with SIGCHLD.
    fn end(&mut self) {
        self.kill();
        while !self.is_reaped {
            self.is_reaped = waitpid(self.pid, None) != Err(Errno::EINTR);
        }
    }
}
