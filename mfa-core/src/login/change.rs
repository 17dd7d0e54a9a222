//! A person changes the passphrase, `pam_sm_chauthtok(3)`: the present one is asked for and judged like at a login, before
//! any module of the service changes anything; then the new one twice. Whoever has none sees what somebody sees who does not
//! know it.

use super::{Login, LoginOutcome, Noticed, Ports, Setting, decoy_index, note_user};
use crate::audit::{AuditTrail, Entry, Event};
use crate::critical::CriticalSection;
use crate::host;
use crate::notice;
use crate::passphrase::policy as passphrase_policy;
use crate::passphrase::{Cost, Judge, Opinion, Passphrase, PassphraseHash, Question};
use crate::policy::{self, Decision, DenyReason};
use crate::record::{KeptPassphrase, UserRecord};
use crate::request::LoginRequest;
use crate::secure_file::BlockError;
use crate::store::{StoreError, Subject};

/// What is asked first.
pub(super) const CURRENT_PROMPT: &str = "Current passphrase: ";
/// What is asked for once that was right.
pub(super) const NEW_PROMPT: &str = "New passphrase: ";
/// And once more.
pub(super) const AGAIN_PROMPT: &str = "New passphrase again: ";

/// Why none is taken where nobody says whether it is good enough.
const NO_JUDGE: &str = "this host can't judge it now; tell your administrator";

/// Characters of a text that a host program shows (`PAM_MAX_MSG_SIZE` is 512 bytes).
const MAX_WHY: usize = 200;

/// How a change ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// There is another passphrase now.
    Changed,
    /// The present one was not right, or this user has none to change; why is in the audit lines alone.
    Refused,
    /// No new one was good enough, or it could not be judged; that was said.
    NotTaken,
    /// The host program got no answer, or changed the user meanwhile.
    ConversationFailed,
    /// Somebody else was changing the record.
    Busy,
    /// Something that has to be there is missing or damaged.
    Unavailable,
}

/// Asks for the present passphrase; the hash that it was right by, which [`change_passphrase`] takes the place of.
///
/// # Errors
///
/// How the change ended with that.
pub fn ask_for_present_passphrase(
    request: &LoginRequest,
    setting: &Setting<'_>,
    ports: &mut Ports<'_>,
    trail: &mut AuditTrail,
) -> Result<PassphraseHash, ChangeOutcome> {
    Login::new(request, setting, ports, trail).prove()
}

/// Has a person who knows the `present` passphrase change it.
pub fn change_passphrase(
    request: &LoginRequest,
    setting: &Setting<'_>,
    ports: &mut Ports<'_>,
    trail: &mut AuditTrail,
    (present, judge): (&PassphraseHash, &mut dyn Judge),
) -> ChangeOutcome {
    // Names the user in the lines; who is gone meanwhile has nothing that could be changed.
    let _ = note_user(request, ports.store, trail);
    let mut login = Login::new(request, setting, ports, trail);
    match login.ask_for_a_new_one(present, judge) {
        Ok(()) => ChangeOutcome::Changed,
        Err(outcome) => outcome,
    }
}

impl Login<'_, '_> {
    fn prove(&mut self) -> Result<PassphraseHash, ChangeOutcome> {
        let decoy = Subject::Decoy(decoy_index(self.setting.key, self.request));
        let record = match note_user(self.request, self.ports.store, self.trail) {
            Ok(None) => self.ports.store.record(decoy),
            found => found,
        };
        let subject = match (self.request.user(), &record) {
            (Some(user), Ok(Some(_))) => Subject::User(user),
            _ => decoy,
        };
        let reason = Some("change_of_passphrase");
        let entry = Entry {
            reason,
            ..Entry::default()
        };
        self.log(Event::Challenge, &entry);
        match record {
            Ok(record) => self.record = record,
            Err(error) => self.store_is_unusable(&error),
        }
        self.ask_for_the_present_one(subject)?;
        self.beside().right_hash().ok_or(ChangeOutcome::Refused)
    }

    fn ask_for_the_present_one(&mut self, subject: Subject<'_>) -> Result<(), ChangeOutcome> {
        let answer = self.ask_secret(CURRENT_PROMPT, 1).map_err(unanswered)?;
        self.beside().type_in(answer);
        // Until all is said and kept: who stopped this process in between would guess without a trace.
        let _section = CriticalSection::enter();
        let judged = self.judge_passphrase(subject, |setting, request, record, _| {
            may_change(setting, request, record)
        });
        let is_busy = judged.is_none() && !self.is_unusable;
        let noticed: Noticed = match self.report_alone(judged.as_ref(), &Entry::default()) {
            Ok(()) => return Ok(()),
            Err(noticed) => noticed,
        };
        self.notify(noticed);
        Err(if self.is_unusable {
            ChangeOutcome::Unavailable
        } else if is_busy {
            ChangeOutcome::Busy
        } else {
            ChangeOutcome::Refused
        })
    }

    fn ask_for_a_new_one(
        &mut self,
        present: &PassphraseHash,
        judge: &mut dyn Judge,
    ) -> Result<(), ChangeOutcome> {
        // In the next prompt: what is said apart from one, not every host program shows.
        let mut why = String::new();
        for attempt in 1..=self.setting.config.prompt.tries.get() {
            let first = self.ask_secret(&format!("{why}{NEW_PROMPT}"), attempt);
            let first = first.map_err(unanswered)?;
            let again = self.ask_secret(AGAIN_PROMPT, attempt).map_err(unanswered)?;
            let refusal = match first.as_passphrase() {
                Ok(new)
                    if again
                        .as_passphrase()
                        .is_ok_and(|again| again.is_same_as(&new)) =>
                {
                    match self.judge_new(&new, present, judge) {
                        Ok(()) => return self.put(&new, present),
                        Err(refusal) => refusal,
                    }
                }
                Ok(_) => "the two are not the same; type one twice".to_owned(),
                Err(none) => passphrase_policy::unusable(none, &self.setting.config.passphrase),
            };
            let refusal: String = refusal.chars().take(MAX_WHY).map(shown).collect();
            why = format!("Not taken: {refusal}.\n");
        }
        self.ports.prompt.tell(why.trim_end());
        Err(ChangeOutcome::NotTaken)
    }

    /// Why a new passphrase is not taken.
    fn judge_new(
        &mut self,
        new: &Passphrase,
        present: &PassphraseHash,
        judge: &mut dyn Judge,
    ) -> Result<(), String> {
        match self.beside().is_right_by(new, present) {
            Ok(false) => {}
            Ok(true) => return Err("it is the one that you have; take another".to_owned()),
            Err(error) => {
                self.passphrase_is_unusable(error, &Entry::default());
                return Err(NO_JUDGE.to_owned());
            }
        }
        let host = host::name();
        let question = Question {
            candidate: new,
            names: [&self.request.asked_name, &host],
        };
        match judge.judge(&question) {
            Opinion::Fit => Ok(()),
            Opinion::Unfit(why) => Err(why),
            Opinion::None(why) => {
                let entry = Entry {
                    reason: Some("no_judge"),
                    detail: Some(&why),
                    ..Entry::default()
                };
                self.log(Event::StoreUnusable, &entry);
                Err(NO_JUDGE.to_owned())
            }
        }
    }

    /// Keeps it, if the one that was asked for is still the present one.
    fn put(&mut self, new: &Passphrase, old: &PassphraseHash) -> Result<(), ChangeOutcome> {
        let (setting, request) = (self.setting, self.request);
        let cost = Cost::from(&setting.config.passphrase);
        let fresh = match self.beside().keep(new, cost) {
            Ok(fresh) => fresh,
            Err(error) => {
                self.passphrase_is_unusable(error, &Entry::default());
                return Err(ChangeOutcome::Unavailable);
            }
        };
        let Some(user) = request.user() else {
            return Err(ChangeOutcome::Refused);
        };
        // Until the user is told.
        let _section = CriticalSection::enter();
        if !self.can_tell() {
            return Err(ChangeOutcome::Unavailable);
        }
        let now = self.ports.clock.now().unix_seconds();
        let mut changed = None;
        let put = self.ports.store.change_passphrase(user, &mut |record| {
            let present = record.passphrase.as_ref().map(|kept| &kept.hash);
            if present != Some(old) || may_change(setting, request, Some(record)).is_err() {
                return None;
            }
            changed = Some(record.clone());
            Some(KeptPassphrase::new(fresh.clone(), now))
        });
        match (put, changed) {
            (Ok(true), Some(record)) => {
                self.log(Event::PassphraseChanged, &Entry::default());
                self.tell_of_change(&record, now);
                Ok(())
            }
            (Ok(_), _) => {
                let entry = Entry {
                    reason: Some("changed_meanwhile"),
                    ..Entry::default()
                };
                self.log(Event::BadPassphrase, &entry);
                Err(ChangeOutcome::Refused)
            }
            (Err(StoreError::Block(busy @ BlockError::Busy { .. })), _) => {
                self.log_busy(&busy, None);
                Err(ChangeOutcome::Busy)
            }
            (Err(error), _) => {
                self.store_is_unusable(&error);
                Err(ChangeOutcome::Unavailable)
            }
        }
    }

    /// Has the user told, by the record's addresses.
    fn tell_of_change(&mut self, record: &UserRecord, now: u64) {
        let notices = self.setting.notices();
        let account = self.request.account.as_ref();
        let uid = self.request.caller.uid;
        let actor = match account.filter(|account| account.uid == uid) {
            Some(account) => account.name.to_string(),
            None => format!("uid {uid}"),
        };
        let event = Event::PassphraseChanged;
        if let Some(document) = notices.of_change(record, event, &actor, "", now) {
            // A line says so where it could not be kept.
            let _ = notice::keep(
                &document,
                true,
                self.ports.courier,
                self.trail,
                self.ports.audit,
            );
        }
    }
}

/// Whether somebody may change the passphrase here: who may log in, and has one.
fn may_change(
    setting: &Setting<'_>,
    request: &LoginRequest,
    record: Option<&UserRecord>,
) -> Result<(), DenyReason> {
    let (config, channels) = (setting.config, setting.channels);
    match policy::decide_asked(config, channels, request, record, setting.device) {
        // Without anything that a code could be checked with, too.
        Decision::Deny(reason) if reason != DenyReason::NotEnrolled => Err(reason),
        _ => record
            .and_then(|record| record.passphrase.as_ref())
            .map(drop)
            .ok_or(DenyReason::NoPassphrase),
    }
}

fn unanswered(outcome: LoginOutcome) -> ChangeOutcome {
    match outcome {
        LoginOutcome::ConversationFailed => ChangeOutcome::ConversationFailed,
        LoginOutcome::Accepted
        | LoginOutcome::Skipped
        | LoginOutcome::Refused
        | LoginOutcome::Unavailable => ChangeOutcome::Refused,
    }
}

/// A character of what the courier says, on somebody's terminal: it has no privileges, and is to steer none.
fn shown(c: char) -> char {
    if (' '..='~').contains(&c) { c } else { '?' }
}
