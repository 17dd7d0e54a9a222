//! Audit lines to syslog (RFC 3164, authpriv), and who it is that changes something.

use mfa_core::audit::{AuditLog, Severity};
use nix::unistd::{Uid, User, getuid};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use crate::output::Output;

/// What a process has whose login was never recorded, `pam_loginuid(8)`.
const NO_LOGIN_UID: u32 = u32::MAX;

/// syslog, or a warning that there is none: what was asked for is done all the same.
pub(crate) struct SystemLog<'a> {
    connection: Connection,
    output: &'a Output,
}

enum Connection {
    NotYet,
    Open(Box<Logger<LoggerBackend, Formatter3164>>),
    /// It was said that there is none.
    None,
}

impl<'a> SystemLog<'a> {
    /// A log that is opened when the first line is written.
    pub(crate) fn new(output: &'a Output) -> Self {
        Self {
            connection: Connection::NotYet,
            output,
        }
    }

    fn connect(&mut self) {
        let formatter = Formatter3164 {
            facility: Facility::LOG_AUTHPRIV,
            hostname: None,
            process: "mfa-admin".to_owned(),
            pid: std::process::id(),
        };
        self.connection = match syslog::unix(formatter) {
            Ok(logger) => Connection::Open(Box::new(logger)),
            Err(_) => self.give_up("there is no syslog on this host (/dev/log)"),
        };
    }

    fn give_up(&self, why: &str) -> Connection {
        self.output
            .warn(&format!("{why}: what is done now leaves no audit line"));
        Connection::None
    }
}

impl AuditLog for SystemLog<'_> {
    fn write(&mut self, severity: Severity, line: &str) {
        if matches!(self.connection, Connection::NotYet) {
            self.connect();
        }
        let Connection::Open(logger) = &mut self.connection else {
            return;
        };
        let written = match severity {
            Severity::Alert => logger.alert(line),
            Severity::Error => logger.err(line),
            Severity::Notice => logger.notice(line),
            Severity::Info => logger.info(line),
            Severity::Debug => logger.debug(line),
        };
        if written.is_err() {
            self.connection = self.give_up("syslog takes no lines");
        }
    }
}

/// Who changes something: the login uid, which sudo and su leave as it is; else whom sudo names; else
/// this process' own user.
pub(crate) fn actor() -> String {
    let login_uid = std::fs::read_to_string("/proc/self/loginuid").ok();
    let sudo_uid = std::env::var("SUDO_UID").ok();
    let uid = acting_uid(login_uid.as_deref(), sudo_uid.as_deref(), getuid().as_raw());
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

fn acting_uid(login_uid: Option<&str>, sudo_uid: Option<&str>, own: u32) -> u32 {
    let parse = |text: &str| text.trim().parse().ok().filter(|uid| *uid != NO_LOGIN_UID);
    login_uid
        .and_then(parse)
        .or_else(|| sudo_uid.and_then(parse))
        .unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_is_who_logged_in_before_whom_sudo_names() {
        assert_eq!(acting_uid(Some("1000\n"), Some("1001"), 0), 1000);
        assert_eq!(acting_uid(Some("4294967295"), Some("1001"), 0), 1001);
        assert_eq!(acting_uid(None, Some("x"), 7), 7);
        assert_eq!(acting_uid(None, None, 0), 0);
    }
}
