//! The one story of a login, top to bottom: read, decide, ask, then in one transaction read and decide
//! again, verify, charge or accept; and only after that say what came of it.

use crate::audit::{AuditLog, AuditTrail, Entry, Event, Severity};
use crate::clock::Clock;
use crate::config::Config;
use crate::device::DeviceId;
use crate::otp::{Authenticator, Code, TypedAnswer};
use crate::policy::{self, AccountDecision, Decision, DenyReason, SkipReason};
use crate::record::{App, UserRecord};
use crate::request::LoginRequest;
use crate::seal::SealingKey;
use crate::secure_file::BlockError;
use crate::state::LoginState;
use crate::store::{Store, StoreError, Subject};
use crate::throttle::{self, Consequence, Limits, Verdict};

/// The one text that is shown as long as no code can be sent.
pub const PROMPT: &str = "Verification code: ";

/// What sshd hands to modules in the place of an answer when it does not want the user in (unknown to it, or
/// root where `PermitRootLogin` says no): this, over and over, in the length of what was typed
/// (`fake_password` in OpenSSH's auth-pam.c).
const SSHD_DUMMY_PASSWORD: &[u8] = b"\x08\n\r\x7fINCORRECT";

/// How a login ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// A right code.
    Accepted,
    /// Let by without a code, by policy.
    Skipped,
    /// Refused; why is in the audit lines alone.
    Refused,
    /// The host program got no answer, or changed the user meanwhile.
    ConversationFailed,
    /// Something that has to be there is missing or damaged.
    Unavailable,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptError {
    /// The conversation failed or gave nothing.
    Failed,
    /// The host program changed `PAM_USER` while the prompt was open.
    UserChanged,
}

/// The port through which a person is asked.
pub trait Prompt {
    /// Asks one question.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is not this user's.
    fn ask(&mut self, text: &str, echo: bool) -> Result<TypedAnswer, PromptError>;

    /// Whether an answer is the account's password, as far as the host program knows it.
    fn is_password(&mut self, answer: &TypedAnswer) -> bool;
}

/// The ports of a login.
pub struct Ports<'a> {
    /// Asks.
    pub prompt: &'a mut dyn Prompt,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Keeps records and states.
    pub store: &'a dyn Store,
    /// Takes the lines.
    pub audit: &'a mut dyn AuditLog,
}

/// What stays the same during a login.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// This host.
    pub device: DeviceId,
    /// What opens the secrets.
    pub key: &'a SealingKey,
}

/// What was typed at one prompt.
enum Reply {
    Code(Code),
    /// Something as long as a code, which sshd keeps from us.
    Dummy,
    /// Something else: the prompt is used, and nothing is charged.
    NotACode,
}

/// What one answer came to.
#[derive(Debug)]
enum Judgement {
    Accepted {
        app: String,
    },
    Wrong(Consequence),
    Replayed {
        app: String,
        consequence: Consequence,
    },
    ClockRollback,
    Denied(DenyReason),
    Held(Verdict),
    /// None of the user's secrets opens.
    NoSecretOpens(String),
}

/// Runs the auth phase of one login.
pub fn run(
    request: &LoginRequest,
    setting: &Setting<'_>,
    ports: &mut Ports<'_>,
    trail: &mut AuditTrail,
) -> LoginOutcome {
    let mut login = Login {
        request,
        setting,
        ports,
        trail,
        is_unusable: false,
        has_told_filters: false,
    };
    let outcome = login.run();
    if outcome == LoginOutcome::Refused {
        login.tell_filters();
    }
    outcome
}

struct Login<'a, 'p> {
    request: &'a LoginRequest,
    setting: &'a Setting<'a>,
    ports: &'a mut Ports<'p>,
    trail: &'a mut AuditTrail,
    /// This user's record or state can't be used: the questions go on, and nothing is right.
    is_unusable: bool,
    /// The line that existing filters read has been written.
    has_told_filters: bool,
}

impl<'a> Login<'a, '_> {
    fn run(&mut self) -> LoginOutcome {
        let decoy = Subject::Decoy(decoy_index(self.setting.key, self.request));
        let record = self.read_record(decoy);
        let mut subject = match (self.request.user(), &record) {
            (Some(user), Ok(Some(_))) => Subject::User(user),
            _ => decoy,
        };
        if let Ok(record) = &record {
            let Setting { config, device, .. } = *self.setting;
            if let Decision::Skip(reason) =
                policy::decide(config, self.request, record.as_ref(), device)
            {
                self.log(
                    Event::Skipped,
                    &Entry {
                        reason: Some(reason.as_str()),
                        ..Entry::default()
                    },
                );
                return LoginOutcome::Skipped;
            }
        }
        self.log(Event::Challenge, &Entry::default());
        if let Err(error) = record {
            self.store_is_unusable(&error);
        }
        for attempt in 1..=self.setting.config.prompt.tries.get() {
            if self.is_unusable {
                subject = decoy;
            }
            match self.ask(attempt) {
                Ok(Reply::Code(code)) if self.is_right(subject, &code, attempt) => {
                    return LoginOutcome::Accepted;
                }
                Ok(Reply::Dummy) => self.refuse_for_sshd(decoy, attempt),
                Ok(Reply::NotACode) => self.refuse_what_is_no_code(decoy, attempt),
                Ok(Reply::Code(_)) => {}
                Err(outcome) => return outcome,
            }
        }
        if self.is_unusable {
            LoginOutcome::Unavailable
        } else {
            LoginOutcome::Refused
        }
    }

    /// The user's record, at the same cost whether there is one or not.
    fn read_record(&mut self, decoy: Subject<'a>) -> Result<Option<UserRecord>, StoreError> {
        match note_user(self.request, self.ports.store, self.trail) {
            Ok(None) => self.ports.store.record(decoy),
            found => found,
        }
    }

    /// Asks once.
    fn ask(&mut self, attempt: u32) -> Result<Reply, LoginOutcome> {
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        let answer = match self
            .ports
            .prompt
            .ask(PROMPT, self.setting.config.prompt.echo)
        {
            Ok(answer) => answer,
            Err(error) => {
                let reason = match error {
                    PromptError::Failed => "no_answer",
                    PromptError::UserChanged => "user_changed",
                };
                self.log(
                    Event::ConversationFailed,
                    &Entry {
                        reason: Some(reason),
                        ..entry
                    },
                );
                return Err(LoginOutcome::ConversationFailed);
            }
        };
        let is_dummy = answer.is_repetition_of(SSHD_DUMMY_PASSWORD);
        if is_dummy && answer.is_as_long_as_a_code() {
            return Ok(Reply::Dummy);
        }
        if !is_dummy && self.ports.prompt.is_password(&answer) {
            self.log(Event::PasswordAsAnswer, &entry);
            return Err(LoginOutcome::Refused);
        }
        Ok(answer.as_code().map_or(Reply::NotACode, Reply::Code))
    }

    /// An answer that can't be right: a prompt is used, and nothing is evaluated or charged. It takes as long
    /// as one that can, since sshd hides from us what whom it does not want has typed.
    fn refuse_what_is_no_code(&mut self, decoy: Subject<'_>, attempt: u32) {
        self.spend_like_a_code(decoy);
        let entry = Entry {
            attempt: Some(attempt),
            reason: Some("not_a_code"),
            ..Entry::default()
        };
        self.log(Event::BadCode, &entry);
    }

    /// What was typed was perhaps a code, and sshd has hidden it: the user is refused whatever it was,
    /// after the same work and the same questions as for a wrong code.
    fn refuse_for_sshd(&mut self, decoy: Subject<'_>, attempt: u32) {
        self.spend_like_a_code(decoy);
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        if self.trail.names_the_user() {
            let reason = Some("refused_by_sshd");
            self.log(Event::BadCode, &Entry { reason, ..entry });
        } else {
            self.log(Event::UnknownUser, &entry);
        }
        self.tell_filters();
    }

    /// Judges a code that nobody typed, on a decoy.
    fn spend_like_a_code(&mut self, decoy: Subject<'_>) {
        let Some(code) = TypedAnswer::new(b"000000".to_vec()).as_code() else {
            return;
        };
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let result = self.ports.store.transaction(decoy, &mut |record, state| {
            let _ = judge(setting, request, clock, record, state, &code);
        });
        if let Err(error) = result {
            self.store_is_unusable(&error);
        }
    }

    /// Has a code judged, and what came of it on disk, then says so.
    fn is_right(&mut self, subject: Subject<'_>, code: &Code, attempt: u32) -> bool {
        let mut judgement = None;
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            judgement = Some(judge(setting, request, clock, record, state, code));
        });
        // An answer that has found its user's files damaged once is not judged on a decoy.
        if self.is_unusable {
            return false;
        }
        match (result, judgement) {
            (Ok(()), Some(judgement)) => self.report(&judgement, attempt),
            (Ok(()), None) => false,
            (Err(StoreError::Block(busy @ BlockError::Busy { .. })), _) => {
                let detail = busy.to_string();
                let entry = Entry {
                    attempt: Some(attempt),
                    detail: Some(&detail),
                    ..Entry::default()
                };
                self.log(Event::Busy, &entry);
                false
            }
            (Err(error), _) => {
                self.store_is_unusable(&error);
                false
            }
        }
    }

    /// Writes the line of a judgement; whether it lets in.
    fn report(&mut self, judgement: &Judgement, attempt: u32) -> bool {
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        let app_entry = Entry {
            method: Some("app"),
            ..entry.clone()
        };
        match judgement {
            Judgement::Accepted { app } => {
                self.log(
                    Event::Accepted,
                    &Entry {
                        app: Some(app),
                        ..app_entry
                    },
                );
                return true;
            }
            Judgement::Wrong(consequence) => {
                self.log(Event::BadCode, &app_entry);
                self.report_consequence(*consequence, &entry);
            }
            Judgement::Replayed { app, consequence } => {
                self.log(
                    Event::Replayed,
                    &Entry {
                        app: Some(app),
                        ..app_entry
                    },
                );
                self.report_consequence(*consequence, &entry);
            }
            Judgement::ClockRollback => self.log(Event::ClockRollback, &app_entry),
            Judgement::Denied(reason) => self.log(event_of(*reason), &entry),
            Judgement::Held(Verdict::Throttled(_)) => self.log(Event::Throttled, &entry),
            Judgement::Held(Verdict::Locked(_)) => self.log(Event::RefusedWhileLocked, &entry),
            Judgement::Held(Verdict::Disabled) => self.log(Event::RefusedWhileDisabled, &entry),
            Judgement::Held(Verdict::Evaluate) => {}
            Judgement::NoSecretOpens(error) => {
                self.is_unusable = true;
                let entry = Entry {
                    reason: Some("sealed_secret"),
                    detail: Some(error),
                    ..entry
                };
                self.log(Event::StoreUnusable, &entry);
                return false;
            }
        }
        self.tell_filters();
        false
    }

    /// Writes the line that existing filters read, once a login, at its first wrong answer: who guesses
    /// and hangs up before the last prompt is to be seen as well.
    fn tell_filters(&mut self) {
        if !self.has_told_filters {
            self.has_told_filters = true;
            self.trail.log_classic(self.ports.audit);
        }
    }

    fn report_consequence(&mut self, consequence: Consequence, entry: &Entry<'_>) {
        match consequence {
            Consequence::Counted => {}
            Consequence::BecameLocked => self.log(Event::BecameLocked, entry),
            Consequence::BecameDisabled => self.log(Event::BecameDisabled, entry),
        }
    }

    /// Says so once; what a decoy then says of the same disk is not worth another line.
    fn store_is_unusable(&mut self, error: &StoreError) {
        if !self.is_unusable {
            self.is_unusable = true;
            log_store_error(self.trail, self.ports.audit, error);
        }
    }

    fn log(&mut self, event: Event, entry: &Entry<'_>) {
        self.trail.log(self.ports.audit, event, entry);
    }
}

/// Judges a code on the record and the state as they are now, under the lock, whatever was true when
/// the prompt was shown.
fn judge(
    setting: &Setting<'_>,
    request: &LoginRequest,
    clock: &dyn Clock,
    record: Option<&UserRecord>,
    state: &mut LoginState,
    code: &Code,
) -> Judgement {
    let config = setting.config;
    let now = clock.now();
    state.advance(&now);
    let seconds = now.unix_seconds();
    let limits = Limits::from(config);
    let verdict = throttle::admit(&state.codes, state.now(), &limits);
    let record = match (
        policy::decide(config, request, record, setting.device),
        record,
    ) {
        (Decision::Challenge(_), Some(record)) => record,
        (Decision::Deny(reason), _) => {
            spend_like_an_app(setting, code, seconds);
            return Judgement::Denied(reason);
        }
        // Who would now be let by was asked when the prompt was shown, and lost the record since.
        (Decision::Skip(_) | Decision::Challenge(_), _) => {
            spend_like_an_app(setting, code, seconds);
            return Judgement::Denied(DenyReason::NotEnrolled);
        }
    };
    if verdict != Verdict::Evaluate {
        spend_like_an_app(setting, code, seconds);
        return Judgement::Held(verdict);
    }
    let found = find(setting, record, state, code, seconds);
    match found {
        Found::Right { app, step } => {
            state.accept_step(app, step);
            state.forget_removed_apps(&record.apps, seconds, config.app.window.get());
            let from = request
                .remote_host
                .as_ref()
                .map_or("", |host| host.as_str());
            state.succeeded(seconds, from);
            Judgement::Accepted {
                app: app.label.to_string(),
            }
        }
        Found::Used { app } => Judgement::Replayed {
            app: app.label.to_string(),
            consequence: throttle::charge(&mut state.codes, state.clock.elapsed_ms, &limits),
        },
        Found::Nothing => Judgement::Wrong(throttle::charge(
            &mut state.codes,
            state.clock.elapsed_ms,
            &limits,
        )),
        Found::ClockRollback => Judgement::ClockRollback,
        Found::NoSecretOpens(error) => Judgement::NoSecretOpens(error),
    }
}

/// What a code is among a user's apps.
enum Found<'a> {
    Right { app: &'a App, step: u64 },
    Used { app: &'a App },
    Nothing,
    ClockRollback,
    NoSecretOpens(String),
}

/// Looks at every app, whichever the code is of, so that they all take the same time.
fn find<'a>(
    setting: &Setting<'_>,
    record: &'a UserRecord,
    state: &LoginState,
    code: &Code,
    seconds: u64,
) -> Found<'a> {
    let window = setting.config.app.window.get();
    let (mut right, mut used, mut trouble) = (None, None, None);
    let (mut has_asked, mut is_behind) = (false, false);
    for app in &record.apps {
        let authenticator = match Authenticator::open(setting.key, &record.user, app, window) {
            Ok(authenticator) => authenticator,
            Err(error) => {
                trouble = Some(error.to_string());
                continue;
            }
        };
        let last = state.last_step(&app.id);
        let matching = authenticator.matching_step(code, seconds);
        if state.is_ahead_of(seconds, window, &app.id) {
            is_behind = true;
            continue;
        }
        has_asked = true;
        match matching {
            Some(step) if last.is_none_or(|last| last < step) => {
                right = right.or(Some((app, step)));
            }
            Some(_) => used = used.or(Some(app)),
            None => {}
        }
    }
    match (right, used, trouble) {
        // Used for one app is used: two apps can have one secret.
        (_, Some(app), _) => Found::Used { app },
        (Some((app, step)), None, _) => Found::Right { app, step },
        (None, None, _) if has_asked => Found::Nothing,
        (None, None, _) if is_behind => Found::ClockRollback,
        (None, None, Some(error)) => Found::NoSecretOpens(error),
        (None, None, None) => Found::Nothing,
    }
}

/// Decrypts and computes as much as for a user with one app.
fn spend_like_an_app(setting: &Setting<'_>, code: &Code, seconds: u64) {
    let sealed = format!("sealed:1:{}:{}", setting.key.id(), "0".repeat(120));
    let opened = setting.key.open("decoy", "app/00000000", &sealed);
    let matching = Authenticator::decoy(setting.config.app.window.get())
        .map(|authenticator| authenticator.matching_step(code, seconds));
    let _ = std::hint::black_box((opened, matching));
}

/// Which decoy stands in for a name: always the same one, and nobody without the key can tell which.
fn decoy_index(key: &SealingKey, request: &LoginRequest) -> u8 {
    let [index, ..] = key.mac("decoy", request.asked_name.as_bytes());
    index
}

fn event_of(reason: DenyReason) -> Event {
    match reason {
        DenyReason::UnknownUser => Event::UnknownUser,
        DenyReason::Suspended => Event::Suspended,
        DenyReason::NotApproved => Event::NotApproved,
        DenyReason::WrongDevice => Event::WrongDevice,
        DenyReason::NotEnrolled => Event::NotEnrolled,
    }
}

fn log_store_error(trail: &mut AuditTrail, audit: &mut dyn AuditLog, error: &StoreError) {
    let severity = if error.is_corruption() {
        Severity::Alert
    } else {
        Event::StoreUnusable.severity()
    };
    let detail = error.to_string();
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    trail.log_at(audit, Event::StoreUnusable, severity, &entry);
}

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
    config: &Config,
    device: DeviceId,
    store: &dyn Store,
    audit: &mut dyn AuditLog,
    trail: &mut AuditTrail,
) -> AccountOutcome {
    let record = match note_user(request, store, trail) {
        Ok(record) => record,
        Err(error) => {
            log_store_error(trail, audit, &error);
            return AccountOutcome::Unavailable;
        }
    };
    match policy::decide_account(config, request, record.as_ref(), device) {
        AccountDecision::Accept => {
            trail.log(audit, Event::AccountAccepted, &Entry::default());
            AccountOutcome::Accepted
        }
        AccountDecision::Skip(reason) => skip_account(reason, audit, trail),
        AccountDecision::Deny(reason) => {
            let entry = Entry {
                reason: Some(event_of(reason).name()),
                ..Entry::default()
            };
            trail.log(audit, Event::AccountRefused, &entry);
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

#[cfg(test)]
mod tests;
