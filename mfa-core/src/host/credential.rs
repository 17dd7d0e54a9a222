//! A sealing key that systemd-creds(1) keeps for us: encrypted with a key of this host's, its TPM2's, or both. Programs
//! that ask for codes run where systemd hands them no credentials, so it is opened by that program, without a daemon.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use zeroize::Zeroizing;

use crate::clock::up_ms;
use crate::critical::CriticalSection;
use crate::program;
use crate::secure_file::{FileError, Owner, folder_of};

const PROGRAM: &str = "/usr/bin/systemd-creds";
/// What it is encrypted for: one of another name does not open.
const NAME: &std::ffi::CStr = c"--name=mfa-seal-key";
/// A login waits no longer; it takes some milliseconds, with a TPM2 some hundred.
const PATIENCE: Duration = Duration::from_secs(5);
/// An administrator does: some TPM2 take long to make a key.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// A credential with both kinds of keys is a quarter of it.
const MAX_OUTPUT: usize = 8 * 1024;
/// Of its complaints the last line is told.
const MAX_COMPLAINT: usize = 4 * 1024;
/// Whatever it does, it does not get by so often without taking this long.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a program that has closed its output is looked at until it is gone.
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// Why a credential can't be opened, or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// systemd-creds is missing, or can't be trusted.
    Program(FileError),
    /// The system refuses.
    System(Errno),
    /// It did not end in time.
    TimedOut,
    /// It refused; its own words.
    Refused(String),
    /// What it made does not open to the same.
    Altered,
    /// What it made protects nothing.
    Unprotected,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(error) => write!(f, "no credential can be opened: {error}"),
            Self::System(errno) => write!(f, "systemd-creds could not be run: {}", errno.desc()),
            Self::TimedOut => f.write_str("systemd-creds did not end in time"),
            Self::Refused(words) => write!(f, "systemd-creds: {words}"),
            Self::Altered => f.write_str("systemd-creds made something that opens to another key"),
            Self::Unprotected => f.write_str("systemd-creds has no key that would protect it"),
        }
    }
}

impl std::error::Error for CredentialError {}

/// What a credential is protected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// /var/lib/systemd/credential.secret.
    HostKey,
    /// The chip.
    Tpm2,
    /// Both.
    HostKeyAndTpm2,
    /// Nothing: a key that everybody knows.
    Nothing,
    /// Something that this release does not know.
    Unknown,
}

impl Protection {
    /// Reads what it is from the first of a credential's bytes: the id of its kind, in base64.
    #[must_use]
    pub fn of(sealed: &[u8]) -> Self {
        // Twenty of 22 digits: the last one belongs to what follows as well.
        match sealed.get(..20) {
            Some(b"Whxqht+dQJax1aZeCGLx") => Self::HostKey,
            Some(b"DHzAexF2RZGcSwvqCLwg" | b"+vfrk0HjQSyhpDb5Wik2") => Self::Tpm2,
            Some(b"k6iUCUh0RJCQyvL8k8q1" | b"r0lQqEkTTrGnOEYwT/MM") => Self::HostKeyAndTpm2,
            Some(b"BYRp2vb1QySABUnaD46i") => Self::Nothing,
            _ => Self::Unknown,
        }
    }

    /// In a word, for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::HostKey => "host",
            Self::Tpm2 => "tpm2",
            Self::HostKeyAndTpm2 => "host+tpm2",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
        }
    }
}

/// Opens a credential.
pub(super) fn open(sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let arguments = [c"decrypt", NAME, c"-", c"-"];
    run(Path::new(PROGRAM), &arguments, sealed, PATIENCE)
}

/// Makes a credential, with the best keys that this host has.
pub(super) fn seal(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let arguments = [c"encrypt", NAME, c"--with-key=auto", c"-", c"-"];
    let sealed = run(Path::new(PROGRAM), &arguments, text, LONG_PATIENCE)?;
    match Protection::of(&sealed) {
        Protection::Nothing => Err(CredentialError::Unprotected),
        _ => Ok(sealed),
    }
}

/// Runs the program to its end: what it makes of its input.
fn run(
    path: &Path,
    arguments: &[&std::ffi::CStr],
    input: &[u8],
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let (folder, name) = folder_of(path, Owner::ROOT).map_err(CredentialError::Program)?;
    folder
        .check_program(&name)
        .map_err(CredentialError::Program)?;
    // Not the caller's to stop, and with root's uids alone: it refuses others.
    let section = CriticalSection::enter().map_err(CredentialError::System)?;
    let result = Running::start(path, arguments).and_then(|running| running.talk(input, patience));
    section.leave().map_err(CredentialError::System)?;
    result
}

/// The program at work; ended and reaped when dropped.
struct Running {
    pid: Pid,
    socket: UnixStream,
    errors: UnixStream,
    is_reaped: bool,
}

impl Running {
    fn start(path: &Path, arguments: &[&std::ffi::CStr]) -> Result<Self, CredentialError> {
        let pair = || UnixStream::pair().map_err(|error| system(&error));
        let ((socket, theirs), (errors, their_errors)) = (pair()?, pair()?);
        let pid = program::start(path, arguments, &theirs, Some(&their_errors))
            .map_err(CredentialError::System)?;
        Ok(Self {
            pid,
            socket,
            errors,
            is_reaped: false,
        })
    }

    fn talk(
        mut self,
        input: &[u8],
        patience: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let mut left = Left::of(patience);
        program::hand_over(&self.socket, input).map_err(CredentialError::System)?;
        let output = read(&mut self.socket, MAX_OUTPUT, &mut left)?;
        let complaint = read(&mut self.errors, MAX_COMPLAINT, &mut left)?;
        let is_well = self.wait(&mut left)?;
        if is_well && !output.is_empty() {
            return Ok(output);
        }
        let mut lines = complaint.rsplit(|byte| *byte == b'\n');
        let last = lines.find(|line| !line.is_empty());
        let words = String::from_utf8_lossy(last.unwrap_or(b"it does not say why"));
        Err(CredentialError::Refused(words.into_owned()))
    }

    /// Waits for its end; whether that was a good one. Where the host has it reaped, by ignoring SIGCHLD or by another
    /// thread, nobody can tell: what it has written is looked at then.
    fn wait(&mut self, left: &mut Left) -> Result<bool, CredentialError> {
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    left.spend(SHORT_PAUSE)?;
                    sleep(SHORT_PAUSE);
                }
                Err(Errno::EINTR) => {}
                ended => {
                    self.is_reaped = true;
                    return Ok(matches!(
                        ended,
                        Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD)
                    ));
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // While it was not reaped, its number is nobody else's.
        if !self.is_reaped
            && waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive)
        {
            program::kill(self.pid);
            while waitpid(self.pid, None) == Err(Errno::EINTR) {}
        }
    }
}

/// The time that is left, counted by what is waited for, and by the clock: on a busy host, or one that sleeps meanwhile,
/// a wait takes longer than it should.
struct Left {
    time: Duration,
    until_ms: i64,
}

impl Left {
    fn of(time: Duration) -> Self {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self {
            time,
            until_ms: up_ms().saturating_add(ms),
        }
    }

    fn spend(&mut self, time: Duration) -> Result<(), CredentialError> {
        let left = self.time.checked_sub(time);
        self.time = left.ok_or(CredentialError::TimedOut)?;
        if up_ms() > self.until_ms {
            return Err(CredentialError::TimedOut);
        }
        Ok(())
    }
}

/// Reads until the other end is closed. Each read counts as if it took long: what comes in small pieces comes to an
/// end, too.
fn read(
    from: &mut UnixStream,
    max: usize,
    left: &mut Left,
) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    // Room for all at once: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(vec![0; max]);
    let mut filled = 0;
    from.set_read_timeout(Some(PAUSE))
        .map_err(|error| system(&error))?;
    loop {
        match from.read(bytes.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::WouldBlock => {}
                // It ended without reading all that it was given.
                ErrorKind::ConnectionReset => break,
                _ => return Err(system(&error)),
            },
        }
        left.spend(PAUSE)?;
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn system(error: &std::io::Error) -> CredentialError {
    CredentialError::System(Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

#[cfg(test)]
mod tests;
