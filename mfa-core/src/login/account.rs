//! What holds for every login, with a public key too: the account phase, and the line and notice of a session.

use super::{event_of, log_store_error};
use crate::audit::{AuditLog, AuditTrail, Entry, Event};
use crate::clock::Clock;
use crate::config::{Config, OnLogin};
use crate::courier::{Channels, Courier};
use crate::critical::CriticalSection;
use crate::device::DeviceId;
use crate::notice::{self, Notices};
use crate::policy::{self, AccountDecision, SkipReason};
use crate::record::UserRecord;
use crate::request::LoginRequest;
use crate::store::{Store, StoreError, Subject};

/// How the account phase ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountOutcome {
    /// The user may log in on this host.
    Accepted,
    /// No opinion.
    Skipped,
    /// The user may not.
    Refused,
    /// The user's record is damaged.
    Unavailable,
}

/// Passes by the account phase of a service that the configuration leaves alone, whatever state this
/// host is in; `None` for every other service.
pub fn pass_by_account(
    request: &LoginRequest,
    config: &Config,
    audit: &mut dyn AuditLog,
    trail: &mut AuditTrail,
) -> Option<AccountOutcome> {
    policy::is_service_left_alone(config, request)
        .then(|| skip_account(SkipReason::Service, audit, trail))
}

fn skip_account(
    reason: SkipReason,
    audit: &mut dyn AuditLog,
    trail: &mut AuditTrail,
) -> AccountOutcome {
    trail.log(
        audit,
        Event::Skipped,
        &Entry {
            reason: Some(reason.as_str()),
            ..Entry::default()
        },
    );
    AccountOutcome::Skipped
}

/// Runs the account phase, which is all that a login with a public key comes through.
pub fn check_account(
    request: &LoginRequest,
    (config, channels, device): (&Config, Channels, DeviceId),
    ports: &mut SessionPorts<'_>,
    trail: &mut AuditTrail,
) -> AccountOutcome {
    let record = match note_user(request, ports.store, trail) {
        Ok(record) => record,
        Err(error) => {
            log_store_error(trail, ports.audit, &error);
            return AccountOutcome::Unavailable;
        }
    };
    match policy::decide_account(config, request, record.as_ref(), device) {
        AccountDecision::Accept => {
            trail.log(ports.audit, Event::AccountAccepted, &Entry::default());
            AccountOutcome::Accepted
        }
        AccountDecision::Skip(reason) => skip_account(reason, ports.audit, trail),
        AccountDecision::Deny(reason) => {
            let _section = CriticalSection::enter();
            let event = event_of(reason);
            let entry = Entry {
                reason: Some(event.name()),
                ..Entry::default()
            };
            trail.log(ports.audit, Event::AccountRefused, &entry);
            let notices = Notices {
                config,
                channels,
                device,
            };
            let now = ports.clock.now().unix_seconds();
            let record = record.as_ref();
            if let Some(failure) = notices.of_failure(request, trail, record, Some(event), now) {
                let (document, is_wanted) = (&failure.document, failure.is_wanted);
                notice::keep(document, is_wanted, ports.courier, trail, ports.audit);
            }
            AccountOutcome::Refused
        }
    }
}

/// Reads a user's record; the trail may name whoever has one, damaged or not.
///
/// # Errors
///
/// The record can't be read or trusted.
pub fn note_user(
    request: &LoginRequest,
    store: &dyn Store,
    trail: &mut AuditTrail,
) -> Result<Option<UserRecord>, StoreError> {
    let Some(user) = request.user() else {
        return Ok(None);
    };
    let record = store.record(Subject::User(user));
    if !matches!(record, Ok(None)) {
        trail.user_is_known();
    }
    record
}

/// The ports of the account phase and of a session.
pub struct SessionPorts<'a> {
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Keeps records and states.
    pub store: &'a dyn Store,
    /// Keeps notices.
    pub courier: &'a mut dyn Courier,
    /// Takes the lines.
    pub audit: &'a mut dyn AuditLog,
}

/// Writes the line of a session, and has the user told of the login.
pub fn open_session(
    request: &LoginRequest,
    (config, channels, device): (&Config, Channels, DeviceId),
    ports: &mut SessionPorts<'_>,
    trail: &mut AuditTrail,
) {
    // A caller of su could stop this process before the user is told.
    let _section = CriticalSection::enter();
    // A damaged record was reported by the account phase.
    let record = note_user(request, ports.store, trail).ok().flatten();
    trail.log(ports.audit, Event::SessionOpened, &Entry::default());
    let Some(record) = record else { return };
    let notices = Notices {
        config,
        channels,
        device,
    };
    let now = ports.clock.now().unix_seconds();
    let on_login = config.notices.on_login;
    let codes_left = match told_at_the_prompt(&record, request, ports, trail) {
        Told::Yes => return,
        Told::NotYet(codes_left) => Some(codes_left),
        Told::Unknown => None,
    };
    let is_due = codes_left.is_some();
    if on_login == OnLogin::Never && !is_due {
        return;
    }
    let Some(mut notice) = notices.of_login(request, trail, &record, now) else {
        return;
    };
    notice.codes_left = codes_left;
    let subject = Subject::User(&record.user);
    if on_login == OnLogin::NewAddress && !is_due {
        let mut is_known = false;
        let looked = ports.store.transaction(subject, &mut |_, state| {
            is_known = state.was_told_of(request.address());
        });
        match looked {
            Ok(()) if is_known => return,
            Ok(()) => {}
            // Better told once too often.
            Err(error) => log_store_error(trail, ports.audit, &error),
        }
    }
    let is_kept = notice::keep(&notice, true, ports.courier, trail, ports.audit);
    // Only who was told is not told again.
    if is_kept && (on_login == OnLogin::NewAddress || is_due) {
        let login = trail.login().to_owned();
        let noted = ports.store.transaction(subject, &mut |_, state| {
            state.told_of_code(&login);
            state.tell_of(request.address());
        });
        if let Err(error) = noted {
            log_store_error(trail, ports.audit, &error);
        }
    }
}

/// Whether the user was told of a login when a recovery code was accepted.
enum Told {
    Yes,
    /// No notice could be kept; so many codes are left.
    NotYet(u64),
    /// It is another login, or nobody knows.
    Unknown,
}

/// Whether the user was told of this login when a recovery code was accepted. The state says so, once: the environment
/// that names the login and its method is the user's as much as ours.
fn told_at_the_prompt(
    record: &UserRecord,
    request: &LoginRequest,
    ports: &mut SessionPorts<'_>,
    trail: &mut AuditTrail,
) -> Told {
    if trail
        .used_method()
        .is_none_or(|(method, _)| method != super::recovery::METHOD)
    {
        return Told::Unknown;
    }
    let mut told = Told::Unknown;
    let login = trail.login().to_owned();
    let subject = Subject::User(&record.user);
    let looked = ports.store.transaction(subject, &mut |record, state| {
        if state.take_told(&login) {
            state.tell_of(request.address());
            told = Told::Yes;
        } else if state.is_untold(&login) {
            let set = record.and_then(|record| record.recovery.as_ref());
            let left = set.map_or(0, |set| state.codes_left(set));
            told = Told::NotYet(u64::try_from(left).unwrap_or(u64::MAX));
        }
    });
    if let Err(error) = looked {
        // Better told once too often.
        log_store_error(trail, ports.audit, &error);
        return Told::Unknown;
    }
    told
}
