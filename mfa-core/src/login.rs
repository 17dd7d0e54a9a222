//! The one story of a login, top to bottom: read, decide, ask, then in one transaction read and decide
//! again, verify, charge or accept; and only after that say what came of it.

mod account;
mod bypass;
mod change;
mod emergency;
mod judge;
mod passphrase;
mod recovery;
mod token;

pub use account::{
    AccountOutcome, SessionPorts, check_account, note_user, open_session, pass_by_account,
};
pub use change::{ChangeOutcome, ask_for_present_passphrase, change_passphrase};
pub use emergency::{BreakGlass, EMERGENCY_PROMPT, check_account_in_emergency};

use crate::audit::{AuditLog, AuditTrail, Entry, Event, Severity};
use crate::clock::Clock;
use crate::config::{Config, First};
use crate::courier::{self, Channels, Courier, Document, Report};
use crate::critical::CriticalSection;
use crate::device::DeviceId;
use crate::host::Host;
use crate::notice::{self, Notices};
use crate::otp::{Code, TypedAnswer};
use crate::policy::{self, Decision, DenyReason, SkipReason};
use crate::record::{Method, UserRecord};
use crate::recovery::RecoveryCode;
use crate::request::LoginRequest;
use crate::seal::SealingKey;
use crate::secure_file::{self, BlockError};
use crate::state::LoginState;
use crate::store::{Store, StoreError, Subject};
use crate::throttle::{Consequence, Verdict};
use judge::{Delivery, Judgement};
use passphrase::Beside;

/// What is asked before the code, with the argument `passphrase`.
pub const PASSPHRASE_PROMPT: &str = "Passphrase: ";
/// What is asked where no code can be sent.
pub const PROMPT: &str = "Verification code: ";
/// What is asked where one can.
pub const PROMPT_BEFORE_SENDING: &str = "Verification code (Enter to have one sent): ";
/// What is asked where one was; `is_certain`: it was Enter that was typed, which nothing hides from us.
#[must_use]
pub fn prompt_after_sending(reference: &str, is_certain: bool) -> String {
    let on_condition = if is_certain { "" } else { " if asked for" };
    format!("Code sent{on_condition} (ref {reference}). Verification code (Enter for another): ")
}

/// How often Enter uses up no prompt, in one login. A name always does: sshd may hide from us that it was one.
const MAX_FREE_WISHES: u32 = 10;

/// Descriptors that judging an answer and keeping a notice of it take, and the courier's socket.
const DESCRIPTORS: usize = 8;

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

    /// Says something that wants no answer. It is lost where nobody listens.
    fn tell(&mut self, _text: &str) {}

    /// Whether the emergency code can be asked for in the place of a code that can't be checked.
    fn can_break_glass(&mut self) -> bool {
        false
    }
}

/// The ports of a login.
pub struct Ports<'a> {
    /// Asks.
    pub prompt: &'a mut dyn Prompt,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Keeps records and states.
    pub store: &'a dyn Store,
    /// Delivers codes, keeps notices.
    pub courier: &'a mut dyn Courier,
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
    /// What can be delivered.
    pub channels: Channels,
}

impl<'a> Setting<'a> {
    /// What a host says.
    #[must_use]
    pub fn of(host: &'a Host, key: &'a SealingKey) -> Self {
        Self {
            config: &host.config,
            device: host.device,
            key,
            channels: host.channels,
        }
    }

    /// What notices are made from.
    fn notices(&self) -> Notices<'_> {
        Notices {
            config: self.config,
            channels: self.channels,
            device: self.device,
        }
    }

    /// Whether anybody can have a code sent on this host.
    fn sends_codes(&self) -> bool {
        self.channels.any() && self.config.code.max_sends.get() > 0
    }
}

/// What was typed at one prompt.
enum Reply {
    Code(Code),
    Recovery(RecoveryCode),
    /// A code is to be sent: by this method, or by the first that sends.
    Wish(Option<Method>),
    /// Something as long as a code, which sshd keeps from us.
    Dummy,
    /// Something else: the prompt is used, and nothing is charged.
    NotACode,
}

/// What a refused answer is in a notice; `None`: nobody is told of such.
type Noticed = Option<Event>;

/// What became of somebody's wish for a code.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// A courier is at work with it.
    Started,
    /// It was not made, or no courier could be started; why is in the audit lines.
    NotSent,
}

/// Runs the auth phase of one login.
pub fn run(
    request: &LoginRequest,
    setting: &Setting<'_>,
    ports: &mut Ports<'_>,
    trail: &mut AuditTrail,
) -> LoginOutcome {
    let mut login = Login::new(request, setting, ports, trail);
    let outcome = login.run();
    let _section = CriticalSection::enter();
    if outcome == LoginOutcome::Refused {
        login.tell_filters();
    }
    if outcome == LoginOutcome::Accepted {
        login.renew_passphrase();
    }
    let reports = login.ports.courier.finish();
    login.report_deliveries(&reports);
    outcome
}

/// Has a code sent to a user outside of a login's prompts, by one method or by the first that sends. The
/// courier is then at work; what comes of it is its caller's to wait for. Counted like one at a prompt.
pub fn send_code(
    request: &LoginRequest,
    setting: &Setting<'_>,
    ports: &mut Ports<'_>,
    trail: &mut AuditTrail,
    (method, reference): (Option<Method>, &str),
) -> SendOutcome {
    let mut login = Login::new(request, setting, ports, trail);
    let decoy = Subject::Decoy(decoy_index(setting.key, request));
    let record = login.read_record(decoy);
    let subject = match (request.user(), record) {
        (Some(user), Ok(Some(_))) => Subject::User(user),
        (_, Ok(_)) => decoy,
        (_, Err(error)) => {
            login.store_is_unusable(&error);
            return SendOutcome::NotSent;
        }
    };
    match login.send(subject, method, reference, None) {
        Ok(()) => SendOutcome::Started,
        // Where no prompt is, no passphrase is asked for.
        Err(_) => SendOutcome::NotSent,
    }
}

struct Login<'a, 'p> {
    request: &'a LoginRequest,
    setting: &'a Setting<'a>,
    ports: &'a mut Ports<'p>,
    trail: &'a mut AuditTrail,
    /// The user's record as it was at the beginning, for notices.
    record: Option<UserRecord>,
    /// This user's record or state can't be used: the questions go on, and nothing is right.
    is_unusable: bool,
    /// The line that existing filters read has been written.
    has_told_filters: bool,
    /// What the prompt and the message with the code both show.
    reference: Option<Reference>,
    /// Which counter the answer was up against, where it has one of its own.
    counter: Option<&'static str>,
    /// The passphrase of a try, where one is asked for.
    beside: Option<Beside>,
}

struct Reference {
    text: String,
    /// Enter was pressed, which nothing hides from us.
    is_certain: bool,
}

impl<'a, 'p> Login<'a, 'p> {
    fn new(
        request: &'a LoginRequest,
        setting: &'a Setting<'a>,
        ports: &'a mut Ports<'p>,
        trail: &'a mut AuditTrail,
    ) -> Self {
        Self {
            request,
            setting,
            ports,
            trail,
            record: None,
            is_unusable: false,
            has_told_filters: false,
            reference: None,
            counter: None,
            beside: request.passphrase.then(|| Beside::of(setting, request)),
        }
    }

    fn run(&mut self) -> LoginOutcome {
        let Setting {
            config,
            channels,
            device,
            ..
        } = *self.setting;
        let decoy = Subject::Decoy(decoy_index(self.setting.key, self.request));
        let record = self.read_record(decoy);
        let subject = match (self.request.user(), &record) {
            (Some(user), Ok(Some(_))) => Subject::User(user),
            _ => decoy,
        };
        let now = self.ports.clock.now().unix_seconds();
        let decision = record.as_ref().ok().map(|record| {
            policy::decide(config, channels, self.request, record.as_ref(), device, now)
        });
        match decision {
            Some(Decision::Skip(SkipReason::Bypass)) => {
                if self.pass_by(subject) {
                    return LoginOutcome::Skipped;
                }
            }
            Some(Decision::Skip(reason)) => {
                let entry = Entry {
                    reason: Some(reason.as_str()),
                    ..Entry::default()
                };
                self.log(Event::Skipped, &entry);
                return LoginOutcome::Skipped;
            }
            Some(Decision::Passphrase(reason)) => {
                self.record = record.ok().flatten();
                return self.ask_for_the_passphrase_alone(subject, decoy, reason);
            }
            Some(Decision::Deny(_) | Decision::Challenge(_)) | None => {}
        }
        self.log(Event::Challenge, &Entry::default());
        match record {
            Ok(record) => self.record = record,
            Err(error) => self.store_is_unusable(&error),
        }
        if config.prompt.first == First::Send && self.setting.sends_codes() {
            // A code is sent beside a right passphrase alone.
            if let Err(outcome) = self.ask_passphrase(1) {
                return outcome;
            }
            let _section = CriticalSection::enter();
            let subject = if self.can_tell() { subject } else { decoy };
            self.check_passphrase();
            let noticed = self.grant_wish(subject, None, None);
            self.notify_of_passphrase(noticed);
        }
        self.ask_for_codes(subject, decoy)
    }

    /// Asks as often as the configuration says, until a code is right.
    fn ask_for_codes(&mut self, mut subject: Subject<'a>, decoy: Subject<'a>) -> LoginOutcome {
        let config = self.setting.config;
        let mut free_wishes = config.code.max_sends.get().min(MAX_FREE_WISHES);
        let mut attempt = 1;
        while attempt <= config.prompt.tries.get() {
            if self.is_unusable {
                if self.ports.prompt.can_break_glass() {
                    // No answer can be right any more, and another question has one that can.
                    return LoginOutcome::Unavailable;
                }
                subject = decoy;
            }
            if let Err(outcome) = self.ask_passphrase(attempt) {
                return outcome;
            }
            let (reply, length) = match self.ask(attempt) {
                Ok(reply) => reply,
                Err(outcome) => return outcome,
            };
            // Until all is said and kept: who stopped this process in between would guess, or use up what may be
            // sent, without a trace. Where that can't be had, the store refuses as well.
            let _section = CriticalSection::enter();
            if !self.can_tell() {
                subject = decoy;
            }
            self.check_passphrase();
            if !matches!(reply, Reply::Wish(None)) {
                self.use_up_passphrase();
                // Keys may have been changed while a person typed, and who opens one may take seconds: before anything
                // is locked, for everybody. Where it can't be read, what the key at hand opens still opens; what
                // needs a newer one looks again, and says so.
                let _ = self.setting.key.look_again();
            }
            let hashed = self.hash_like_a_recovery_code(&reply, length);
            if self.is_unusable {
                subject = decoy;
            }
            let noticed = match reply {
                Reply::Recovery(_) => {
                    self.counter = Some(recovery::METHOD);
                    match self.judge_recovery(subject, hashed.as_ref(), attempt) {
                        Ok(()) => return LoginOutcome::Accepted,
                        Err(noticed) => noticed,
                    }
                }
                Reply::Code(code) => match self.judge(subject, &code, attempt) {
                    Ok(()) => return LoginOutcome::Accepted,
                    Err(noticed) => noticed,
                },
                Reply::Dummy => self.refuse_for_sshd(decoy, attempt),
                Reply::NotACode => self.refuse_what_is_no_code(decoy, attempt),
                Reply::Wish(method) => {
                    let noticed = self.grant_wish(subject, method, Some(attempt));
                    if method.is_none() && free_wishes > 0 {
                        free_wishes -= 1;
                        self.notify_of_passphrase(noticed);
                    } else {
                        self.notify(noticed);
                        attempt += 1;
                    }
                    continue;
                }
            };
            self.notify(noticed);
            self.act_like_a_wish(length);
            attempt += 1;
        }
        if self.is_unusable {
            LoginOutcome::Unavailable
        } else {
            LoginOutcome::Refused
        }
    }

    /// Whether what is judged could be told: else it is not judged, and a line says why.
    fn can_tell(&mut self) -> bool {
        if !self.setting.channels.any() {
            return true;
        }
        match secure_file::check_descriptors(DESCRIPTORS) {
            Ok(()) => true,
            Err(error) => {
                self.store_is_unusable(&error.into());
                false
            }
        }
    }

    /// The user's record, at the same cost whether there is one or not.
    fn read_record(&mut self, decoy: Subject<'a>) -> Result<Option<UserRecord>, StoreError> {
        match note_user(self.request, self.ports.store, self.trail) {
            Ok(None) => self.ports.store.record(decoy),
            found => found,
        }
    }

    /// What is asked: a matter of this host's configuration and of what was typed before, as far as sshd
    /// shows that to us of everybody.
    fn prompt(&self) -> String {
        if !self.setting.sends_codes() {
            return PROMPT.to_owned();
        }
        match &self.reference {
            None => PROMPT_BEFORE_SENDING.to_owned(),
            Some(Reference { text, is_certain }) => prompt_after_sending(text, *is_certain),
        }
    }

    /// Asks once; what was typed, and how long that was.
    fn ask(&mut self, attempt: u32) -> Result<(Reply, usize), LoginOutcome> {
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        let (text, echo) = (self.prompt(), self.setting.config.prompt.echo);
        let answer = match self.ports.prompt.ask(&text, echo) {
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
        let reports = self.ports.courier.poll();
        self.report_deliveries(&reports);
        let length = answer.len();
        let is_dummy = answer.is_repetition_of(SSHD_DUMMY_PASSWORD);
        let is_as_long = answer.is_as_long_as_a_code() || answer.is_as_long_as_a_recovery_code();
        if is_dummy && is_as_long {
            return Ok((Reply::Dummy, length));
        }
        if !is_dummy && self.ports.prompt.is_password(&answer) {
            self.log(Event::PasswordAsAnswer, &entry);
            return Err(LoginOutcome::Refused);
        }
        if let Some(wish) = self.wish(&answer) {
            return Ok((wish, length));
        }
        let reply = match answer.as_code() {
            Some(code) => Reply::Code(code),
            None => answer
                .as_recovery_code()
                .map_or(Reply::NotACode, Reply::Recovery),
        };
        Ok((reply, length))
    }

    /// Whether an answer asks for a code: nothing at all, or the name of a method that this host delivers by.
    fn wish(&self, answer: &TypedAnswer) -> Option<Reply> {
        if !self.setting.sends_codes() {
            return None;
        }
        if answer.is_empty() {
            return Some(Reply::Wish(None));
        }
        let methods = self.setting.channels.methods();
        let named = methods.into_iter().find(|m| answer.is_word(m.as_str()))?;
        Some(Reply::Wish(Some(named)))
    }

    /// Has a code sent where the user may have one, and shows the same to everybody else; what a notice is to say of a
    /// passphrase that was wrong.
    fn grant_wish(
        &mut self,
        subject: Subject<'_>,
        method: Option<Method>,
        attempt: Option<u32>,
    ) -> Noticed {
        if method.is_none() {
            self.reference = None;
        }
        let reference = self.reference_for(method.is_none());
        self.send(subject, method, &reference, attempt).err()?
    }

    /// What sshd hides from us could have been the name of a method if it is as long: everybody whose answer
    /// is so long sees the same prompt after it, as late.
    fn act_like_a_wish(&mut self, length: usize) {
        let is_as_long = |method: &Method| method.as_str().len() == length;
        if self.setting.sends_codes() && self.setting.channels.methods().iter().any(is_as_long) {
            self.reference_for(false);
            self.start_for_nobody();
        }
    }

    fn reference_for(&mut self, is_certain: bool) -> String {
        let reference = self.reference.get_or_insert_with(|| Reference {
            text: courier::new_reference(),
            is_certain,
        });
        reference.text.clone()
    }

    /// Makes a code, has it on disk, and starts a courier with it. `Err`: it was not sent, and what a notice is to say of a
    /// passphrase that was wrong.
    fn send(
        &mut self,
        subject: Subject<'_>,
        method: Option<Method>,
        reference: &str,
        attempt: Option<u32>,
    ) -> Result<(), Noticed> {
        let mut delivery = None;
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let beside = &mut self.beside;
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            let made = passphrase::judge_beside(
                beside.as_mut(),
                (setting, record, state),
                |state| {
                    judge::judge_wish(setting, request, clock, record, state, method, reference)
                },
                |made| matches!(made, Delivery::Send(_)),
            );
            delivery = Some(made);
        });
        let delivery = match delivery {
            Some(Err(wrong)) if result.is_ok() => {
                self.start_for_nobody();
                return Err(self.report_passphrase(&wrong, attempt.unwrap_or(1)));
            }
            Some(made) => made.ok(),
            None => None,
        };
        let entry = Entry {
            attempt,
            method: method.map(Method::as_str),
            ..Entry::default()
        };
        let failed = |reason| (Event::DeliveryFailed, Some(reason));
        let (event, reason) = match (result, delivery) {
            (Ok(()), Some(Delivery::Send(document))) if !self.is_unusable => {
                return self.start(document, &entry);
            }
            (Ok(()), Some(Delivery::Denied(reason))) => {
                self.start_for_nobody();
                self.report_denied(reason, &entry);
                return Err(None);
            }
            (Ok(()), Some(Delivery::Held(verdict))) => (event_while_held(verdict), None),
            (Ok(()), Some(Delivery::Throttled)) => (Event::SendThrottled, None),
            (Ok(()), Some(Delivery::NoAddress)) => failed("no_address"),
            (Ok(()), Some(Delivery::NoRandomness)) => failed("no_randomness"),
            (Ok(()), Some(Delivery::Send(_)) | None) => failed("store_unusable"),
            (Err(StoreError::Block(busy @ BlockError::Busy { .. })), _) => {
                self.start_for_nobody();
                self.log_busy(&busy, attempt);
                return Err(None);
            }
            (Err(error), _) => {
                self.store_is_unusable(&error);
                failed("store_unusable")
            }
        };
        self.start_for_nobody();
        self.log(event, &Entry { reason, ..entry });
        Err(None)
    }

    fn start(&mut self, mut document: Box<Document>, entry: &Entry<'_>) -> Result<(), Noticed> {
        self.trail.login().clone_into(&mut document.login);
        let method = document.channel;
        let entry = Entry {
            method: Some(method.as_str()),
            ..entry.clone()
        };
        match self.ports.courier.start(&document) {
            Ok(()) => {
                let detail = format!("ref {}", document.reference);
                let detail = Some(detail.as_str());
                self.log(Event::CodeSent, &Entry { detail, ..entry });
                Ok(())
            }
            Err(error) => {
                let detail = error.to_string();
                let entry = Entry {
                    reason: Some(error.reason()),
                    detail: Some(&detail),
                    ..entry
                };
                self.log(Event::DeliveryFailed, &entry);
                Err(None)
            }
        }
    }

    /// Starts a courier that has nothing to do: starting one takes time, and nobody is to tell from it
    /// whether a code was sent.
    fn start_for_nobody(&mut self) {
        let document = judge::nothing_to_send(self.ports.clock.now().unix_seconds());
        // Where it can't be started, that is said of the codes that are to be sent.
        let _ = self.ports.courier.start(&document);
    }

    fn report_deliveries(&mut self, reports: &[(Method, Report)]) {
        for (method, report) in reports {
            if !report.is_accepted {
                let entry = Entry {
                    method: Some(method.as_str()),
                    reason: Some(&report.reason),
                    detail: Some(&report.detail),
                    ..Entry::default()
                };
                self.log(Event::DeliveryFailed, &entry);
            }
        }
    }

    /// An answer that can't be right: a prompt is used, and nothing is evaluated or charged. It takes as long
    /// as one that can, since sshd hides from us what whom it does not want has typed.
    fn refuse_what_is_no_code(&mut self, decoy: Subject<'_>, attempt: u32) -> Noticed {
        self.spend_like_a_code(decoy);
        let entry = Entry {
            attempt: Some(attempt),
            reason: Some("not_a_code"),
            ..Entry::default()
        };
        self.log(Event::BadCode, &entry);
        None
    }

    /// What was typed was perhaps a code, and sshd has hidden it: the user is refused whatever it was,
    /// after the same work and the same questions as for a wrong code.
    fn refuse_for_sshd(&mut self, decoy: Subject<'_>, attempt: u32) -> Noticed {
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
        None
    }

    /// Judges a code that nobody typed, on a decoy.
    fn spend_like_a_code(&mut self, decoy: Subject<'_>) {
        let Some(code) = TypedAnswer::new(b"000000".to_vec()).as_code() else {
            return;
        };
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let result = self.ports.store.transaction(decoy, &mut |record, state| {
            let _ = judge::judge(setting, request, clock, record, state, &code);
        });
        if let Err(error) = result {
            self.store_is_unusable(&error);
        }
    }

    /// Has a code judged, and what came of it on disk, then says so.
    fn judge(&mut self, subject: Subject<'_>, code: &Code, attempt: u32) -> Result<(), Noticed> {
        let mut judgement = None;
        let mut has_expired = false;
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let beside = &mut self.beside;
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            let judge = |state: &mut _| judge::judge(setting, request, clock, record, state, code);
            // What it comes to whatever the passphrase is must not tell whether that is right.
            let is_evaluated = |judged: &_| {
                !matches!(
                    judged,
                    Judgement::Denied(_)
                        | Judgement::Held(_)
                        | Judgement::NoSecretOpens(_)
                        | Judgement::ClockRollback
                )
            };
            let judged = passphrase::judge_beside(
                beside.as_mut(),
                (setting, record, state),
                judge,
                is_evaluated,
            );
            judgement = Some(judged);
            let bypass = record.and_then(|record| record.bypass.as_ref());
            has_expired = crate::bypass::expire(bypass, state, clock.now().unix_seconds());
        });
        if has_expired && result.is_ok() {
            self.tell_of_expiry();
        }
        match self.judged(result, judgement, attempt) {
            Some(Ok(judgement)) => {
                self.report(&judgement, attempt)?;
                if let Judgement::Accepted {
                    method: Method::Token,
                    ..
                } = judgement
                {
                    self.write_again(subject, &mut |_| {});
                }
                Ok(())
            }
            Some(Err(wrong)) => Err(self.report_passphrase(&wrong, attempt)),
            None => Err(None),
        }
    }

    /// Writes the state once more after a login by what is good once for ever, so that both slots have it as used. Where
    /// that fails the first one has, and a line says so.
    fn write_again(&mut self, subject: Subject<'_>, change: &mut dyn FnMut(&mut LoginState)) {
        let written = self
            .ports
            .store
            .transaction(subject, &mut |_, state| change(state));
        if let Err(error) = written {
            log_store_error(self.trail, self.ports.audit, &error);
        }
    }

    /// What an answer was judged to be, where that can be believed and is on disk; a line says so where not.
    fn judged<T>(
        &mut self,
        result: Result<(), StoreError>,
        judgement: Option<T>,
        attempt: u32,
    ) -> Option<T> {
        match result {
            // An answer that has found its user's files damaged once is not judged on a decoy.
            _ if self.is_unusable => None,
            Ok(()) => judgement,
            Err(StoreError::Block(busy @ BlockError::Busy { .. })) => {
                self.log_busy(&busy, Some(attempt));
                None
            }
            Err(error) => {
                self.store_is_unusable(&error);
                None
            }
        }
    }

    /// Writes the line of a judgement; what a notice is to say of one that does not let in.
    fn report(&mut self, judgement: &Judgement, attempt: u32) -> Result<(), Noticed> {
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        let by = |method: Method| Entry {
            method: Some(method.as_str()),
            ..entry.clone()
        };
        let noticed = match judgement {
            Judgement::Accepted {
                method,
                app,
                was_out_of_step,
            } => {
                let label = Some(app.as_str()).filter(|label| !label.is_empty());
                if *was_out_of_step {
                    let entry = Entry {
                        app: label,
                        ..by(*method)
                    };
                    self.log(Event::TokenResynchronised, &entry);
                }
                self.log(
                    Event::Accepted,
                    &Entry {
                        app: label,
                        ..by(*method)
                    },
                );
                self.trail.got_in_by(method.as_str(), app);
                return Ok(());
            }
            Judgement::Wrong {
                method,
                known,
                consequence,
            } => {
                let known = known.as_ref();
                let entry_of_code = Entry {
                    app: known.map(|(app, _)| app.as_str()),
                    reason: known.map(|(_, reason)| *reason),
                    ..by(*method)
                };
                self.log(Event::BadCode, &entry_of_code);
                Some(self.report_consequence(Event::BadCode, *consequence, &entry))
            }
            Judgement::Replayed {
                method,
                app,
                consequence,
            } => {
                self.log(
                    Event::Replayed,
                    &Entry {
                        app: Some(app),
                        ..by(*method)
                    },
                );
                Some(self.report_consequence(Event::Replayed, *consequence, &entry))
            }
            Judgement::Expired {
                method,
                consequence,
            } => {
                self.log(Event::Expired, &by(*method));
                Some(self.report_consequence(Event::Expired, *consequence, &entry))
            }
            Judgement::ClockRollback => {
                self.log(Event::ClockRollback, &by(Method::App));
                None
            }
            Judgement::Denied(reason) => Some(self.report_denied(*reason, &entry)),
            Judgement::Held(verdict) => {
                let event = event_while_held(*verdict);
                self.log(event, &entry);
                // Neither evaluated nor counted: whoever made it so was told of the failures before.
                (event != Event::Throttled).then_some(event)
            }
            Judgement::NoSecretOpens(error) => {
                self.is_unusable = true;
                let entry = Entry {
                    reason: Some("sealed_secret"),
                    detail: Some(error),
                    ..entry
                };
                self.log(Event::StoreUnusable, &entry);
                return Err(None);
            }
        };
        self.tell_filters();
        Err(noticed)
    }

    /// Writes the line of somebody who is refused whatever is typed.
    fn report_denied(&mut self, reason: DenyReason, entry: &Entry<'_>) -> Event {
        let event = event_of(reason);
        let reason = (reason == DenyReason::NoPassphrase).then_some("no_passphrase");
        self.log(
            event,
            &Entry {
                reason,
                ..entry.clone()
            },
        );
        event
    }

    /// Writes the line that existing filters read, once a login, at its first wrong answer: who guesses
    /// and hangs up before the last prompt is to be seen as well.
    fn tell_filters(&mut self) {
        if !self.has_told_filters {
            self.has_told_filters = true;
            self.trail.log_classic(self.ports.audit);
        }
    }

    /// Writes the line of what a failure led to; the event that says most.
    fn report_consequence(
        &mut self,
        failure: Event,
        consequence: Consequence,
        entry: &Entry<'_>,
    ) -> Event {
        let event = match consequence {
            Consequence::Counted => return failure,
            Consequence::BecameLocked => Event::BecameLocked,
            Consequence::BecameDisabled => Event::BecameDisabled,
        };
        self.log(event, entry);
        event
    }

    /// Has the user and the administrators told of a refused answer; or takes as long.
    fn notify(&mut self, what: Noticed) {
        let notices = self.setting.notices();
        let record = self.record.as_ref();
        let now = self.ports.clock.now().unix_seconds();
        let failure = notices.of_failure(self.request, self.trail, record, what, now);
        let counter = self.counter.take();
        if let Some(mut failure) = failure {
            if let Some(counter) = counter.filter(|_| what.is_some_and(is_about_a_lock)) {
                // A lock of one counter is none of the other's, and the account is open yet.
                let event = &mut failure.document.event;
                event.insert(0, '_');
                event.insert_str(0, counter);
            }
            notice::keep(
                &failure.document,
                failure.is_wanted,
                self.ports.courier,
                self.trail,
                self.ports.audit,
            );
        }
    }

    /// Tells of a wrong passphrase at once, whatever comes next: who hangs up has guessed at it as well.
    fn notify_of_passphrase(&mut self, what: Noticed) {
        if self.beside.is_some() {
            self.notify(what);
        }
    }

    fn log_busy(&mut self, busy: &BlockError, attempt: Option<u32>) {
        let detail = busy.to_string();
        let entry = Entry {
            attempt,
            detail: Some(&detail),
            ..Entry::default()
        };
        self.log(Event::Busy, &entry);
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

/// Which decoy stands in for a name: always the same one, and nobody without the key can tell which.
fn decoy_index(key: &SealingKey, request: &LoginRequest) -> u8 {
    let [index, ..] = key.mac("decoy", request.asked_name.as_bytes());
    index
}

/// Whether an event is about a lock, which is a counter's.
fn is_about_a_lock(event: Event) -> bool {
    matches!(
        event,
        Event::BecameLocked
            | Event::BecameDisabled
            | Event::RefusedWhileLocked
            | Event::RefusedWhileDisabled
    )
}

/// An answer that is not looked at.
fn event_while_held(verdict: Verdict) -> Event {
    match verdict {
        // `Evaluate` holds nobody.
        Verdict::Throttled(_) | Verdict::Evaluate => Event::Throttled,
        Verdict::Locked(_) => Event::RefusedWhileLocked,
        Verdict::Disabled => Event::RefusedWhileDisabled,
    }
}

fn event_of(reason: DenyReason) -> Event {
    match reason {
        DenyReason::UnknownUser => Event::UnknownUser,
        DenyReason::Suspended => Event::Suspended,
        DenyReason::NotApproved => Event::NotApproved,
        DenyReason::WrongDevice => Event::WrongDevice,
        DenyReason::NotEnrolled | DenyReason::NoPassphrase => Event::NotEnrolled,
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

#[cfg(test)]
mod tests;
