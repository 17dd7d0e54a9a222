//! The courier's own attempt: it connects, checks certificates, signs in, and sends nothing. All channels at once,
//! so that what hangs costs `[courier] deadline` and no more.

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use mfa_core::config::Config;
use mfa_core::courier::{self, Channels, Courier, Document, Kind, Process, Report, StartError};
use mfa_core::record::Method;

use crate::delivery::explanation;
use crate::doctor::Scope;
use crate::doctor::check::{Check, Status};
use crate::output::{capitalized, say, shown};

/// The courier answers before its deadline; this is for one that does not.
const LEEWAY: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// A person who waits longer wants to know what for.
const LONG: Duration = Duration::from_secs(2);

/// A courier that is at work.
pub(super) struct Attempt {
    method: Method,
    process: Process,
    started: Result<(), StartError>,
    report: Option<Report>,
}

impl Attempt {
    pub(super) fn start(scope: &Scope, config: &Config, document: &Document) -> Self {
        let mut process = Process::new(config, &scope.config, scope.owner);
        Self {
            method: document.channel,
            started: process.start(document),
            process,
            report: None,
        }
    }

    fn is_over(&mut self) -> bool {
        if self.report.is_none() && self.started.is_ok() {
            self.report = self.process.poll().pop().map(|(_, report)| report);
        }
        self.report.is_some() || self.started.is_err()
    }

    /// What came of it; before that is known, the courier is ended.
    fn end(mut self, config: &Config) -> Report {
        let failed = |reason: &str, detail: String| Report {
            is_accepted: false,
            reason: reason.to_owned(),
            detail,
        };
        if let Err(error) = self.started {
            return failed(error.reason(), error.to_string());
        }
        let ended = self.process.finish().pop().map(|(_, report)| report);
        match self.report.or(ended) {
            Some(report) if report.reason != "ended" => report,
            // What is said of one that had to be ended is about logins.
            _ => {
                let seconds = config.courier.deadline.get().as_secs();
                failed("ended", format!("its deadline is {seconds} s"))
            }
        }
    }
}

/// Tries out every channel.
pub(super) fn check(
    scope: &Scope,
    config: &Config,
    channels: Channels,
    can_start: bool,
    now: u64,
) -> Vec<Check> {
    let methods = channels.methods();
    if !can_start {
        let untried = |method| {
            Check::warn(
                id(method),
                format!("Delivery by {method} was not tried: the courier can't be started."),
                "See courier.program and courier.user, then run doctor again.",
            )
        };
        return methods
            .into_iter()
            .map(|method| untried(method.as_str()))
            .collect();
    }
    let attempts = methods
        .into_iter()
        .map(|method| {
            let mut document = Document::new(Kind::Check, courier::new_id(), now);
            document.channel = method;
            Attempt::start(scope, config, &document)
        })
        .collect();
    wait(attempts, config)
        .into_iter()
        .map(|(method, report)| judge(&id(method.as_str()), method, &report))
        .collect()
}

fn id(method: &str) -> String {
    format!("delivery.{method}")
}

/// Waits until all are over, or must be.
pub(super) fn wait(mut attempts: Vec<Attempt>, config: &Config) -> Vec<(Method, Report)> {
    let patience = config.courier.deadline.get() + LEEWAY;
    let started = Instant::now();
    let mut is_told = !std::io::stderr().is_terminal();
    loop {
        let waiting: Vec<&str> = attempts
            .iter_mut()
            .filter_map(|attempt| (!attempt.is_over()).then_some(attempt.method.as_str()))
            .collect();
        if waiting.is_empty() || started.elapsed() > patience {
            break;
        }
        if !is_told && started.elapsed() > LONG {
            is_told = true;
            say(&format!(
                "mfa-admin: waiting for delivery by {}, {} s at most",
                waiting.join(", "),
                patience.as_secs()
            ));
        }
        thread::sleep(PAUSE);
    }
    attempts
        .into_iter()
        .map(|attempt| (attempt.method, attempt.end(config)))
        .collect()
}

/// What an attempt means.
pub(super) fn judge(id: &str, method: Method, report: &Report) -> Check {
    let name = method.as_str();
    let detail = shown(report.detail.trim_end_matches('.'));
    if report.is_accepted {
        return Check::ok(id, format!("Delivery by {name} works: {detail}."));
    }
    let known = explanation(&report.reason).or_else(|| of_the_start(&report.reason));
    let (what, hint) = known.unwrap_or((
        "the courier's word for it is not known here",
        "see that mfa-admin and the courier are of one release",
    ));
    let hint = if method == Method::Telegram && hint.contains("[courier.smtp]") {
        "see `api` in `[courier.telegram]`, and whether this host gets out to it"
    } else {
        hint
    };
    let class = shown(&report.reason);
    let words = if detail.is_empty() {
        class
    } else {
        format!("{class}, {detail}")
    };
    let status = if is_passing(&report.reason) {
        Status::Warn
    } else {
        Status::Fail
    };
    Check {
        id: id.to_owned(),
        status,
        message: format!("Delivery by {name} does not work: {what} ({words})."),
        hint: sentence(hint),
    }
}

/// Why there is no courier that could have said anything.
fn of_the_start(reason: &str) -> Option<(&'static str, &'static str)> {
    match reason {
        "no_courier" => Some((
            "the courier's program can't be used",
            "install it anew (make install, or the package)",
        )),
        "not_started" => Some((
            "the system does not start the courier",
            "see limits of processes and memory, and the kernel's log",
        )),
        _ => None,
    }
}

/// A hint of the command's, which ends an error, as a sentence of doctor's.
fn sentence(hint: &str) -> String {
    capitalized(hint) + "."
}

/// Whether the other side asks to be tried again.
fn is_passing(class: &str) -> bool {
    matches!(class, "temporary" | "busy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(reason: &str, detail: &str) -> Check {
        let report = Report {
            is_accepted: false,
            reason: reason.to_owned(),
            detail: detail.to_owned(),
        };
        judge("delivery.email", Method::Email, &report)
    }

    #[test]
    fn a_class_is_told_in_words_with_what_to_do() {
        let check = found("auth_rejected", "smtp: 535 no\u{1b}[2J");
        assert_eq!(check.status, Status::Fail);
        assert_eq!(
            check.message,
            "Delivery by email does not work: the server does not accept user name and password \
             (auth_rejected, smtp: 535 no\\u{1b}[2J)."
        );
        assert!(check.hint.contains("credential set") && check.hint.ends_with('.'));
        for reason in ["no_courier", "not_started", "ended", "no_answer", "dns"] {
            let check = found(reason, "");
            assert!(!check.message.contains("not known"), "{check:?}");
            assert!(
                check
                    .hint
                    .starts_with(|c: char| c.is_ascii_uppercase() || c == '`')
            );
        }
        assert!(
            found("brand_new", "")
                .message
                .contains("not known here (brand_new)")
        );
    }

    #[test]
    fn what_is_to_be_done_about_telegram_is_not_about_mail() {
        for reason in ["dns", "connection_refused", "protocol", "timeout"] {
            let report = Report {
                is_accepted: false,
                reason: reason.to_owned(),
                detail: String::new(),
            };
            let check = judge("delivery.telegram", Method::Telegram, &report);
            assert!(!check.hint.contains("smtp"), "{check:?}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_a_warning() {
        for (reason, status) in [
            ("temporary", Status::Warn),
            ("busy", Status::Warn),
            ("timeout", Status::Fail),
            ("refused", Status::Fail),
        ] {
            assert_eq!(found(reason, "x").status, status, "{reason}");
        }
    }
}
