//! The emergency code: what is asked at the machine itself when this host can check nobody, and what the account phase
//! makes of whoever it let in. The file names who, through what and where.

use std::path::Path;

use super::{LoginOutcome, Prompt, PromptError, account::AccountOutcome, note_user};
use crate::audit::{AuditLog, AuditTrail, Entry, Event};
use crate::clock::Clock;
use crate::config::emergency::EmergencyFile;
use crate::critical::CriticalSection;
use crate::emergency::{self, Mark};
use crate::otp::TypedAnswer;
use crate::recovery;
use crate::request::LoginRequest;
use crate::secure_file::Owner;
use crate::store::Store;

/// What is asked.
pub const EMERGENCY_PROMPT: &str = "Emergency code: ";

/// Prompts in one login. The configuration may be what can't be read.
const TRIES: u32 = 3;
/// What such a login is called in lines, notices and the session's environment.
const METHOD: &str = "emergency";

/// A login at which the emergency code can be asked for.
#[derive(Debug)]
pub struct BreakGlass<'a> {
    path: &'a Path,
    owner: Owner,
    file: EmergencyFile,
}

/// What an answer came to.
enum Judgement {
    /// How the mark was made.
    Accepted(String),
    Refused(&'static str),
}

impl<'a> BreakGlass<'a> {
    /// Looks whether this login is one. `Err`: the file is wrong, so it is not.
    ///
    /// # Errors
    ///
    /// The file can't be trusted, or says something wrong.
    pub fn find(
        path: &'a Path,
        owner: Owner,
        request: &LoginRequest,
    ) -> Result<Option<Self>, crate::host::HostError> {
        let file = emergency::read(path, owner)?;
        Ok(file
            .filter(|file| file.is_asked_at(request))
            .map(|file| Self { path, owner, file }))
    }

    /// Asks for the code. Everybody is asked at such a place, and every answer of a code's shape costs the same; it lets
    /// in those whom the file names. Nothing counts failures: there may be nowhere to keep them, and nobody finds 65
    /// bits by trying.
    pub fn ask(
        &self,
        request: &LoginRequest,
        prompt: &mut dyn Prompt,
        clock: &dyn Clock,
        (audit, trail): (&mut dyn AuditLog, &mut AuditTrail),
    ) -> LoginOutcome {
        if self.file.lets_in(request) {
            // Whom this file names is no secret of the store's.
            trail.user_is_known();
        }
        let entry = Entry {
            method: Some(METHOD),
            ..Entry::default()
        };
        trail.log(audit, Event::Challenge, &entry);
        for attempt in 1..=TRIES {
            let entry = Entry {
                attempt: Some(attempt),
                ..entry.clone()
            };
            let answer = match prompt.ask(EMERGENCY_PROMPT, false) {
                Ok(answer) => answer,
                Err(error) => {
                    let reason = match error {
                        PromptError::Failed => "no_answer",
                        PromptError::UserChanged => "user_changed",
                    };
                    let reason = Some(reason);
                    trail.log(audit, Event::ConversationFailed, &Entry { reason, ..entry });
                    return LoginOutcome::ConversationFailed;
                }
            };
            // Until all is said. Where that can't be had, it goes on without: root's own programs alone come here.
            let _section = CriticalSection::enter();
            match self.judge(request, &answer, clock.now().unix_seconds()) {
                Judgement::Accepted(detail) => {
                    let detail = Some(detail.as_str());
                    let event = Event::AcceptedWithEmergencyCode;
                    trail.log(audit, event, &Entry { detail, ..entry });
                    trail.got_in_by(METHOD, "");
                    return LoginOutcome::Accepted;
                }
                Judgement::Refused(reason) => {
                    let reason = Some(reason);
                    trail.log(audit, Event::BadEmergencyCode, &Entry { reason, ..entry });
                    if attempt == 1 {
                        trail.log_classic(audit);
                    }
                }
            }
        }
        LoginOutcome::Unavailable
    }

    fn judge(&self, request: &LoginRequest, answer: &TypedAnswer, now: u64) -> Judgement {
        let Some(kept) = self.file.code() else {
            return Judgement::Refused("no_code");
        };
        let Some(code) = answer.as_recovery_code() else {
            return Judgement::Refused("not_a_code");
        };
        match recovery::is_single(&code, kept) {
            Ok(true) if !self.file.lets_in(request) => Judgement::Refused("not_named"),
            // As it was read for this login: who can't be asked again must not make it good.
            Ok(true) if self.file.used.is_some() => Judgement::Refused("used"),
            Ok(true) => match emergency::use_up(
                self.path,
                self.owner,
                kept,
                &|file| file.is_asked_at(request) && file.lets_in(request),
                now,
            ) {
                Mark::Used => Judgement::Accepted("marked as used".to_owned()),
                Mark::Unmarked(why) => {
                    let mut detail = "not marked as used, so it stays good: ".to_owned();
                    detail.push_str(&why);
                    Judgement::Accepted(detail)
                }
                Mark::UsedBefore => Judgement::Refused("used"),
                Mark::Busy => Judgement::Refused("busy"),
                Mark::Replaced => Judgement::Refused("replaced"),
            },
            Ok(false) => Judgement::Refused("wrong"),
            Err(_) => Judgement::Refused("no_memory"),
        }
    }
}

/// The account phase of a login that the emergency code let in: this host may be able to tell nothing about the user,
/// and whom the break-glass file names need not be on the approved list. A suspension holds where it can be read.
/// `store`: none where it can't be opened, and that has been said.
pub fn check_account_in_emergency(
    request: &LoginRequest,
    store: Option<&dyn Store>,
    audit: &mut dyn AuditLog,
    trail: &mut AuditTrail,
) -> AccountOutcome {
    let record = match store.map(|store| note_user(request, store, trail)) {
        Some(Ok(record)) => record,
        Some(Err(error)) => {
            super::log_store_error(trail, audit, &error);
            None
        }
        None => None,
    };
    trail.user_is_known();
    if record.is_some_and(|record| !record.suspended.is_empty()) {
        let entry = Entry {
            reason: Some(Event::Suspended.name()),
            ..Entry::default()
        };
        trail.log(audit, Event::AccountRefused, &entry);
        return AccountOutcome::Refused;
    }
    let entry = Entry {
        reason: Some(METHOD),
        ..Entry::default()
    };
    trail.log(audit, Event::AccountAccepted, &entry);
    AccountOutcome::Accepted
}
