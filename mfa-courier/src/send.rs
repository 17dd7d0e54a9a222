//! `mfa-courier send`: one document on standard input, one line on standard output, and an exit code that says the same.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mfa_core::audit::Event;
use mfa_core::config::{Config, EmailBy};
use mfa_core::courier::{DOCUMENT_VERSION, Document, Kind, MAX_DOCUMENT};
use mfa_core::host::load_config;
use mfa_core::message::Texts;
use mfa_core::record::Method;
use mfa_core::secure_file::Owner;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zeroize::Zeroizing;

use crate::audit::{SystemLog, tell};
use crate::channel::Delivery;
use crate::credential::Credentials;
use crate::progress::{ANSWER_BEFORE_THE_ALARM, NoResult, Progress, until};
use crate::report::{Class, Failure, Report};
use crate::shed;

/// Delivers what is on standard input; gives the exit code.
pub(crate) fn run(config: &Path) -> u8 {
    let begin = Instant::now();
    // Known to the one who waits as soon as it is known at all: what a failure is about.
    let document = Arc::new(Mutex::new(None));
    let progress = Progress::at("while reading the configuration");
    let mut end = begin;
    let report = prepare(config)
        .and_then(|config| {
            end += config
                .courier
                .deadline
                .get()
                .saturating_sub(ANSWER_BEFORE_THE_ALARM);
            progress.doing("while waiting for the document");
            let (seen, at) = (Arc::clone(&document), progress.clone());
            until(end, move || deliver(config, &seen, end, &at))
                .map_err(|none| no_result(&none, &progress))
        })
        .unwrap_or_else(|failure| {
            if is_nothing(&document) {
                // Preparing for nothing took too long, which is nobody's loss.
                Report::nothing()
            } else {
                Report::failure(progress.channel(), failure)
            }
        });
    let mut line = std::io::stdout();
    let is_told = line
        .write_all(report.line().as_bytes())
        .and_then(|()| line.flush())
        .is_ok();
    if let (false, Err(failure)) = (is_told, &report.result) {
        // Whoever asked is gone, and would have logged it.
        let document = document.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = SystemLog::new();
        tell(
            &mut log,
            Event::DeliveryFailed,
            document.as_ref(),
            report.channel,
            failure,
        );
    }
    linger(end);
    // With the courier, whose group it is of: the line is out, and says what the exit code would have said.
    progress.kill_program();
    report.exit_code()
}

/// Stays until whoever started this is done, so that nobody can tell from the time that couriers take, nor from whether
/// there is one, for whom a login asks for a code: a courier for nobody looks like any other. Only where it was started
/// as a login starts it, with a socket as its input; and not where it failed before it knew its deadline, which depends
/// on nobody's name.
fn linger(end: Instant) {
    if !shed::is_started_by_a_login() {
        return;
    }
    let input = std::io::stdin();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Not the end of what can be read, which the other side has long announced: that it is gone altogether, which
        // is told unasked.
        let mut peer = [PollFd::new(input.as_fd(), PollFlags::empty())];
        // In whole milliseconds, and none too few.
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut peer, timeout) {
            Ok(0) if left.is_zero() => return,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Whether a document is nobody's.
fn is_nothing(document: &Mutex<Option<Document>>) -> bool {
    let document = document.lock().unwrap_or_else(PoisonError::into_inner);
    document
        .as_ref()
        .is_some_and(|document| document.kind == Kind::Nothing)
}

/// Why there is no report, for a report.
pub(crate) fn no_result(none: &NoResult, progress: &Progress) -> Failure {
    match none {
        NoResult::Overdue => Failure::retry(Class::Timeout, progress.what()),
        NoResult::Broken => Failure::retry(
            Class::Privileges,
            format!(
                "the courier broke {}: memory or processes may be short",
                progress.what()
            ),
        ),
    }
}

/// Reads the configuration and gives everything up, before anything is read from whoever started this.
fn prepare(path: &Path) -> Result<Config, Failure> {
    let config = load_config(path, Owner::ROOT)
        .map_err(|error| Failure::config(Class::ConfigUnusable, error.to_string()))?;
    // Before names are looked up, which may hang.
    shed::set_alarm(config.courier.deadline.get());
    let user = shed::courier_user(config.courier.user.as_str())?;
    shed::leave_session()?;
    shed::become_user(&user)?;
    // Mail systems hand a message to their queue through a program that is another group's.
    if config.courier.email != EmailBy::Sendmail {
        shed::gain_no_privileges()?;
    }
    Ok(config)
}

/// Reads the document and delivers it.
fn deliver(
    config: Config,
    seen: &Mutex<Option<Document>>,
    end: Instant,
    progress: &Progress,
) -> Report {
    let document = match read(&mut std::io::stdin()) {
        Ok(document) => document,
        Err(failure) => return Report::failure(None, failure),
    };
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Document {
        code: Zeroizing::default(),
        ..document.clone()
    });
    if config.courier.email == EmailBy::Sendmail
        && document.channel != Method::Email
        && let Err(failure) = shed::gain_no_privileges()
    {
        return Report::failure(None, failure);
    }
    deliver_document(config, &document, end, progress)
}

/// Delivers a document that was read.
pub(crate) fn deliver_document(
    config: Config,
    document: &Document,
    end: Instant,
    progress: &Progress,
) -> Report {
    // What is wrong with a template is said by `config check`; nobody reads standard error here.
    let templates = config.messages.templates.path().map(PathBuf::from);
    let (texts, _) = Texts::load(templates.as_deref(), Owner::ROOT);
    let credentials = Credentials::files(config.paths.credentials.as_path());
    let mut delivery = Delivery::new(config, texts, credentials);
    let report = delivery.deliver(document, end, progress);
    delivery.close(end);
    report
}

/// One line of JSON, or as much as there is before the other side is done.
fn read(input: &mut dyn Read) -> Result<Document, Failure> {
    let mut bytes = Zeroizing::new(vec![0; MAX_DOCUMENT + 1]);
    let mut length = 0;
    while let Some(room) = bytes.get_mut(length..)
        && !room.is_empty()
    {
        let wrong = |error: std::io::Error| {
            Failure::retry(Class::Document, format!("it can't be read: {error}"))
        };
        match input.read(room) {
            Ok(0) => break,
            Ok(more) => {
                let is_complete = room.get(..more).is_some_and(|new| new.contains(&b'\n'));
                length += more;
                if is_complete {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(wrong(error)),
        }
    }
    parse(bytes.get(..length).unwrap_or_default())
}

/// A document of this version, of at most [`MAX_DOCUMENT`] bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, Failure> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(Failure::refused(
            Class::Document,
            "it is longer than 16 KiB",
        ));
    }
    parse_any(bytes).map_err(|what| Failure::refused(Class::Document, what))
}

/// A document of this version.
pub(crate) fn parse_any(bytes: &[u8]) -> Result<Document, String> {
    if bytes.is_empty() {
        return Err("there is none".to_owned());
    }
    // serde's own words may repeat values.
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "it is no document, see line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    if document.version != DOCUMENT_VERSION {
        return Err(format!(
            "it is of version {}, and this courier knows {DOCUMENT_VERSION}",
            document.version
        ));
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(bytes: &[u8]) -> Class {
        read(&mut &*bytes).unwrap_err().class
    }

    #[test]
    fn what_is_no_document_is_refused_without_repeating_it() {
        for bytes in [
            b"".as_slice(),
            b"\n",
            b"{}",
            b"[1]",
            b"\xff",
            &vec![b'x'; 20_000],
        ] {
            assert_eq!(class(bytes), Class::Document);
        }
        let text = Document::new(Kind::Nothing, "0".repeat(32), 0).to_json();
        assert!(read(&mut text.as_bytes()).is_ok());
        assert_eq!(
            class(text.replace("\"version\":1", "\"version\":2").as_bytes()),
            Class::Document
        );
        let odd = text.replace("\"kind\"", "\"pin\":\"123456\",\"kind\"");
        let failure = read(&mut odd.as_bytes()).unwrap_err();
        assert!(!failure.detail.contains("123456"), "{}", failure.detail);
    }

    #[test]
    fn blanks_count_as_much_as_anything_else() {
        let text = Document::new(Kind::Nothing, "0".repeat(32), 0).to_json();
        let text = text.trim_end();
        let longer = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
        assert!(read(&mut longer(MAX_DOCUMENT).as_bytes()).is_ok());
        let failure = read(&mut longer(MAX_DOCUMENT + 1).as_bytes()).unwrap_err();
        assert_eq!(failure.class, Class::Document);
        assert!(failure.detail.contains("16 KiB"), "{}", failure.detail);
    }

    #[test]
    fn a_document_ends_with_its_line() {
        let text = Document::new(Kind::Test, "0".repeat(32), 5).to_json();
        let document = read(&mut text.as_bytes()).unwrap();
        assert_eq!((document.kind, document.time), (Kind::Test, 5));
    }
}
