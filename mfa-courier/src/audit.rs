//! The courier's own lines in syslog (RFC 3164, authpriv): what nobody else is left to tell.

use std::io::Write;

use mfa_core::audit::{AuditLog, Event, Severity, courier_line};
use mfa_core::courier::Document;
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use crate::channel::ChannelName;
use crate::report::{Failure, tidy};

/// Writes a line to standard error. Who reads it may be gone, which is no reason to stop.
pub(crate) fn say_line(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "mfa-courier: {line}");
}

/// syslog, opened with the first line; where there is none, standard error is told once.
pub(crate) struct SystemLog {
    logger: Option<Logger<LoggerBackend, Formatter3164>>,
    is_missing: bool,
}

impl SystemLog {
    pub(crate) fn new() -> Self {
        Self {
            logger: None,
            is_missing: false,
        }
    }

    fn give_up(&mut self, why: &str) {
        self.logger = None;
        if !self.is_missing {
            say_line(format_args!("{why}: what happens now leaves no audit line"));
        }
        self.is_missing = true;
    }
}

impl AuditLog for SystemLog {
    fn write(&mut self, severity: Severity, line: &str) {
        if self.logger.is_none() && !self.is_missing {
            let formatter = Formatter3164 {
                facility: Facility::LOG_AUTHPRIV,
                hostname: None,
                process: "mfa-courier".to_owned(),
                pid: std::process::id(),
            };
            match syslog::unix(formatter) {
                Ok(logger) => self.logger = Some(logger),
                Err(_) => self.give_up("there is no syslog on this host (/dev/log)"),
            }
        }
        let Some(logger) = &mut self.logger else {
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
            self.give_up("syslog takes no lines");
        }
    }
}

/// Tells that a document was not delivered.
pub(crate) fn tell(
    log: &mut dyn AuditLog,
    event: Event,
    document: Option<&Document>,
    channel: Option<ChannelName>,
    failure: &Failure,
) {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let user = document.and_then(|document| known(&document.user));
    let login = document.and_then(|document| known(&document.login));
    let method = document.map(|document| document.channel.as_str());
    let through = channel.map_or(String::new(), |channel| format!("{}: ", channel.word()));
    let line = courier_line(
        event,
        user.as_deref(),
        method,
        login.as_deref(),
        failure.class.word(),
        &format!("{through}{}", tidy(&failure.detail)),
    );
    log.write(event.severity(), &line);
}
