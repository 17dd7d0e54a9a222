//! The passphrase of a login, where a service asks for one because it has no other first factor. It is asked for
//! before the code, and judged with it: nobody learns which of the two was wrong.

use super::event_while_held;
use super::{
    Login, LoginOutcome, Noticed, PASSPHRASE_PROMPT, PromptError, SSHD_DUMMY_PASSWORD, Setting,
};
use crate::audit::{Entry, Event};
use crate::critical::CriticalSection;
use crate::otp::TypedAnswer;
use crate::passphrase::{Cost, Hasher, Passphrase, PassphraseError, PassphraseHash, Pepper};
use crate::policy::{self, Decision, DenyReason, SkipReason};
use crate::record::{KeptPassphrase, UserRecord};
use crate::request::{LoginRequest, UserName};
use crate::secure_file::BlockError;
use crate::state::LoginState;
use crate::store::{StoreError, Subject};
use crate::throttle::{self, Consequence, Limits, Verdict};

/// What a login with nothing but a passphrase is called in lines, notices and the session's environment.
pub(super) const METHOD: &str = "passphrase";

/// What was typed as the passphrase of a try, and what it was found to be.
#[derive(Debug)]
pub(super) struct Beside {
    hasher: Hasher,
    /// Until it is judged.
    typed: Option<TypedAnswer>,
    /// The same as a passphrase; none where it can't be one.
    passphrase: Option<Passphrase>,
    found: Option<Found>,
    /// A failure was charged for it: at a wish for a code, and not again at the code.
    is_charged: bool,
    /// A notice was asked for of what stands against it, likewise.
    is_told: bool,
}

#[derive(Debug)]
struct Found {
    /// What it was compared with.
    with: Option<PassphraseHash>,
    is_right: Result<bool, PassphraseError>,
}

impl Beside {
    pub(super) fn of(setting: &Setting<'_>, request: &LoginRequest) -> Self {
        let user = request
            .user()
            .map_or(&*request.asked_name, UserName::as_str);
        Self {
            hasher: Hasher::new(Pepper::of(setting.key, user)),
            typed: None,
            passphrase: None,
            found: None,
            is_charged: false,
            is_told: false,
        }
    }

    pub(super) fn is_typed(&self) -> bool {
        self.typed.is_some()
    }

    pub(super) fn type_in(&mut self, answer: TypedAnswer) {
        self.passphrase = answer.as_passphrase().ok();
        self.typed = Some(answer);
        self.found = None;
        self.is_charged = false;
        self.is_told = false;
    }

    /// What a notice is to say, once.
    fn tell_once(&mut self, noticed: Noticed) -> Noticed {
        noticed.filter(|_| !std::mem::replace(&mut self.is_told, true))
    }

    /// Another one is to be typed beside the next code.
    fn use_up(&mut self) {
        self.typed = None;
    }

    /// Compares what was typed with what a record keeps, by one hash, whoever it is and whatever was typed.
    pub(super) fn check(&mut self, record: Option<&UserRecord>, cost: Cost) {
        let kept = kept_hash(record);
        let is_right = self.hasher.is_right(self.passphrase.as_ref(), kept, cost);
        self.found = Some(Found {
            with: kept.cloned(),
            is_right,
        });
    }

    /// Whether what was typed is right by the record as it is now: compared again only where that was changed since.
    pub(super) fn is_right(
        &mut self,
        record: Option<&UserRecord>,
        cost: Cost,
    ) -> Result<bool, PassphraseError> {
        let kept = kept_hash(record);
        let is_checked = |found: &Found| found.with.as_ref() == kept;
        // A decoy's is not right, whatever it was compared with.
        if kept.is_some() && !self.found.as_ref().is_some_and(is_checked) {
            self.check(record, cost);
        }
        match &self.found {
            Some(found) => Ok(found.is_right? && kept.is_some()),
            None => Ok(false),
        }
    }

    /// The hash that what was typed was right by, and the one to take its place, where more is wanted.
    fn renew(
        &mut self,
        wanted: Cost,
    ) -> Option<(PassphraseHash, Result<PassphraseHash, PassphraseError>)> {
        let found = self.found.as_ref();
        let old = found
            .filter(|found| found.is_right == Ok(true))?
            .with
            .clone()?;
        let fresh = self
            .hasher
            .keep(self.passphrase.as_ref()?, old.more(wanted)?);
        Some((old, fresh))
    }

    /// Why what was typed could not be compared.
    fn error(&self) -> Option<PassphraseError> {
        self.found.as_ref()?.is_right.err()
    }

    /// Why nothing that is typed is right.
    fn reason(&self) -> Option<&'static str> {
        let with = self.found.as_ref()?.with.as_ref()?;
        let is_lost = self.hasher.pepper().is_of_another_key(with);
        is_lost.then_some("sealed_secret")
    }

    /// Whether another one is the one that is kept.
    pub(super) fn is_right_by(
        &mut self,
        other: &Passphrase,
        kept: &PassphraseHash,
    ) -> Result<bool, PassphraseError> {
        self.hasher.is_right(Some(other), Some(kept), kept.cost())
    }

    /// What it was right by.
    pub(super) fn right_hash(&self) -> Option<PassphraseHash> {
        let found = self.found.as_ref();
        found
            .filter(|found| found.is_right == Ok(true))?
            .with
            .clone()
    }

    /// The hash of another one, in the same memory.
    pub(super) fn keep(
        &mut self,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<PassphraseHash, PassphraseError> {
        self.hasher.keep(passphrase, cost)
    }
}

fn kept_hash(record: Option<&UserRecord>) -> Option<&PassphraseHash> {
    record?.passphrase.as_ref().map(|kept| &kept.hash)
}

/// What stands against an answer before its code is looked at.
#[derive(Debug)]
pub(super) enum Wrong {
    Passphrase(Consequence),
    Held(Verdict),
    Unable(PassphraseError),
}

/// Has a code judged, or the wish for one, and lets that count beside a right passphrase alone: with a wrong one nothing of
/// it stays, a right code is good as before, and one failure is charged, to a counter of passphrases' own: strangers run
/// it up, and nobody is to be kept out by them where a passphrase is not asked for. `is_evaluated`: it depends on what was
/// typed.
pub(super) fn judge_beside<J>(
    beside: Option<&mut Beside>,
    (setting, record, state): (&Setting<'_>, Option<&UserRecord>, &mut LoginState),
    judge: impl FnOnce(&mut LoginState) -> J,
    is_evaluated: impl FnOnce(&J) -> bool,
) -> Result<J, Wrong> {
    let Some(beside) = beside else {
        return Ok(judge(state));
    };
    let is_right = beside.is_right(record, Cost::from(&setting.config.passphrase));
    let mut tried = state.clone();
    let judged = judge(&mut tried);
    if !is_evaluated(&judged) {
        *state = tried;
        return Ok(judged);
    }
    state.clock = tried.clock.clone();
    let limits = Limits::from(setting.config);
    let verdict = throttle::admit(&state.passphrase, state.now(), &limits);
    if verdict != Verdict::Evaluate {
        return Err(Wrong::Held(verdict));
    }
    if is_right.map_err(Wrong::Unable)? {
        *state = tried;
        throttle::forgive(&mut state.passphrase);
        return Ok(judged);
    }
    let elapsed = state.now();
    let consequence = if std::mem::replace(&mut beside.is_charged, true) {
        Consequence::Counted
    } else {
        throttle::charge(&mut state.passphrase, elapsed, &limits)
    };
    Err(Wrong::Passphrase(consequence))
}

/// Whether a passphrase alone may do anything for somebody.
pub(super) type Standing =
    fn(&Setting<'_>, &LoginRequest, Option<&UserRecord>, u64) -> Result<(), DenyReason>;

/// What a passphrase without a code came to.
pub(super) enum Alone {
    Right,
    Wrong(Consequence),
    Denied(DenyReason),
    Held(Verdict),
    Unable(PassphraseError),
}

impl<'a> Login<'a, '_> {
    /// What stands beside the code, whether the service asks for it or not.
    pub(super) fn beside(&mut self) -> &mut Beside {
        let (setting, request) = (self.setting, self.request);
        self.beside
            .get_or_insert_with(|| Beside::of(setting, request))
    }

    /// Asks for the passphrase where the service has one asked for, once for each code that is judged.
    pub(super) fn ask_passphrase(&mut self, attempt: u32) -> Result<(), LoginOutcome> {
        let Some(beside) = &mut self.beside else {
            return Ok(());
        };
        if beside.is_typed() {
            return Ok(());
        }
        let answer = self.ask_secret(PASSPHRASE_PROMPT, attempt)?;
        // What sshd hides has nobody typed.
        let is_dummy = answer.is_repetition_of(SSHD_DUMMY_PASSWORD);
        if !is_dummy && self.ports.prompt.is_password(&answer) {
            let attempt = Some(attempt);
            let entry = Entry {
                attempt,
                ..Entry::default()
            };
            self.log(Event::PasswordAsAnswer, &entry);
            return Err(LoginOutcome::Refused);
        }
        if let Some(beside) = &mut self.beside {
            beside.type_in(answer);
        }
        Ok(())
    }

    /// Asks one question whose answer is not shown; the line where there is none.
    pub(super) fn ask_secret(
        &mut self,
        text: &str,
        attempt: u32,
    ) -> Result<TypedAnswer, LoginOutcome> {
        self.ports.prompt.ask(text, false).map_err(|error| {
            let reason = match error {
                PromptError::Failed => "no_answer",
                PromptError::UserChanged => "user_changed",
            };
            let entry = Entry {
                attempt: Some(attempt),
                reason: Some(reason),
                ..Entry::default()
            };
            self.log(Event::ConversationFailed, &entry);
            LoginOutcome::ConversationFailed
        })
    }

    /// Computes what is to be known of the passphrase, before anything is locked. Where there is no memory for that,
    /// the store is unusable for everybody: else a caller's limits would tell who is looked at further.
    pub(super) fn check_passphrase(&mut self) {
        let cost = Cost::from(&self.setting.config.passphrase);
        let Some(beside) = &mut self.beside else {
            return;
        };
        let record = self.record.as_ref().filter(|_| !self.is_unusable);
        beside.check(record, cost);
        if let Some(error) = beside.error()
            && !self.is_unusable
        {
            self.passphrase_is_unusable(error, &Entry::default());
        }
    }

    /// The next code is to be typed with another one.
    pub(super) fn use_up_passphrase(&mut self) {
        if let Some(beside) = &mut self.beside {
            beside.use_up();
        }
    }

    /// Writes the line of a wrong passphrase: nothing in it tells what the code was.
    pub(super) fn report_passphrase(&mut self, wrong: &Wrong, attempt: u32) -> Noticed {
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        let by_passphrase = Entry {
            method: Some(METHOD),
            ..entry.clone()
        };
        let noticed = match wrong {
            Wrong::Passphrase(consequence) => {
                self.counter = Some(METHOD);
                self.log_bad_passphrase(&entry);
                let event =
                    self.report_consequence(Event::BadPassphrase, *consequence, &by_passphrase);
                self.tell_filters();
                Some(event)
            }
            Wrong::Held(verdict) => {
                self.counter = Some(METHOD);
                let event = event_while_held(*verdict);
                self.log(event, &by_passphrase);
                self.tell_filters();
                // Neither evaluated nor counted: whoever made it so was told of the failures before.
                (event != Event::Throttled).then_some(event)
            }
            Wrong::Unable(error) => {
                self.passphrase_is_unusable(*error, &entry);
                None
            }
        };
        self.beside.as_mut()?.tell_once(noticed)
    }

    fn log_bad_passphrase(&mut self, entry: &Entry<'_>) {
        let reason = self.beside.as_ref().and_then(Beside::reason);
        self.log(
            Event::BadPassphrase,
            &Entry {
                reason,
                ..entry.clone()
            },
        );
    }

    pub(super) fn passphrase_is_unusable(&mut self, error: PassphraseError, entry: &Entry<'_>) {
        self.is_unusable = true;
        let detail = error.to_string();
        let entry = Entry {
            reason: Some("no_memory"),
            detail: Some(&detail),
            ..entry.clone()
        };
        self.log(Event::StoreUnusable, &entry);
    }

    /// Asks whom a rule lets by for the passphrase, and for nothing else.
    pub(super) fn ask_for_the_passphrase_alone(
        &mut self,
        subject: Subject<'a>,
        decoy: Subject<'a>,
        reason: SkipReason,
    ) -> LoginOutcome {
        let by_rule = Entry {
            reason: Some(reason.as_str()),
            ..Entry::default()
        };
        self.log(Event::Challenge, &by_rule);
        for attempt in 1..=self.setting.config.prompt.tries.get() {
            if let Err(outcome) = self.ask_passphrase(attempt) {
                return outcome;
            }
            let section = CriticalSection::enter();
            let judged = self.judge_passphrase(subject, |setting, request, record, now| {
                let (config, channels) = (setting.config, setting.channels);
                match policy::decide(config, channels, request, record, setting.device, now) {
                    Decision::Passphrase(_) => Ok(()),
                    Decision::Deny(reason) => Err(reason),
                    // Enrolled since the prompt was shown: a code is asked for from now on.
                    Decision::Skip(_) | Decision::Challenge(_) => Err(DenyReason::NotEnrolled),
                }
            });
            let entry = Entry {
                attempt: Some(attempt),
                ..Entry::default()
            };
            if reason == SkipReason::Bypass {
                let is_over = match judged {
                    Some(Alone::Right) if self.pass_by(subject) => return LoginOutcome::Accepted,
                    Some(Alone::Right | Alone::Denied(DenyReason::NotEnrolled)) => true,
                    _ => false,
                };
                // It ended, or was taken back, while the passphrase was typed: like anybody from now on.
                if is_over {
                    drop(section);
                    self.log(Event::Challenge, &Entry::default());
                    return self.ask_for_codes(subject, decoy);
                }
            }
            match self.report_alone(judged.as_ref(), &entry) {
                Ok(()) => {
                    let method = Some(METHOD);
                    self.log(
                        Event::Accepted,
                        &Entry {
                            method,
                            attempt: Some(attempt),
                            ..by_rule
                        },
                    );
                    self.trail.got_in_by(METHOD, "");
                    return LoginOutcome::Accepted;
                }
                Err(noticed) => self.notify(noticed),
            }
        }
        if self.is_unusable {
            LoginOutcome::Unavailable
        } else {
            LoginOutcome::Refused
        }
    }

    /// Has a passphrase judged by itself, and what came of it on disk. `None`: the store can't be used, or is busy,
    /// and a line says so. What stands against codes stays.
    pub(super) fn judge_passphrase(
        &mut self,
        subject: Subject<'_>,
        standing: Standing,
    ) -> Option<Alone> {
        if !self.can_tell() {
            return None;
        }
        self.check_passphrase();
        self.use_up_passphrase();
        let cost = Cost::from(&self.setting.config.passphrase);
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let mut judged = None;
        let beside = self
            .beside
            .get_or_insert_with(|| Beside::of(setting, request));
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            let now = clock.now();
            state.advance(&now);
            let limits = Limits::from(setting.config);
            let verdict = throttle::admit(&state.passphrase, state.now(), &limits);
            let is_right = beside.is_right(record, cost);
            let standing = standing(setting, request, record, now.unix_seconds());
            judged = Some(match (standing, verdict) {
                (Err(reason), _) => Alone::Denied(reason),
                (Ok(()), Verdict::Evaluate) => match is_right {
                    Ok(true) => {
                        throttle::forgive(&mut state.passphrase);
                        Alone::Right
                    }
                    Ok(false) => {
                        let elapsed = state.now();
                        Alone::Wrong(throttle::charge(&mut state.passphrase, elapsed, &limits))
                    }
                    Err(error) => Alone::Unable(error),
                },
                (Ok(()), held) => Alone::Held(held),
            });
        });
        match result {
            Ok(()) if !self.is_unusable => judged,
            Ok(()) => None,
            Err(StoreError::Block(busy @ BlockError::Busy { .. })) => {
                self.log_busy(&busy, None);
                None
            }
            Err(error) => {
                self.store_is_unusable(&error);
                None
            }
        }
    }

    /// Writes the line of what is not right; what a notice is to say of it.
    pub(super) fn report_alone(
        &mut self,
        judged: Option<&Alone>,
        entry: &Entry<'_>,
    ) -> Result<(), Noticed> {
        let noticed = match judged {
            Some(Alone::Right) => return Ok(()),
            Some(Alone::Wrong(consequence)) => {
                self.counter = Some(METHOD);
                self.log_bad_passphrase(entry);
                Some(self.report_consequence(Event::BadPassphrase, *consequence, entry))
            }
            Some(Alone::Denied(reason)) => Some(self.report_denied(*reason, entry)),
            Some(Alone::Held(verdict)) => {
                self.counter = Some(METHOD);
                let event = event_while_held(*verdict);
                self.log(event, entry);
                (event != Event::Throttled).then_some(event)
            }
            Some(Alone::Unable(error)) => {
                self.passphrase_is_unusable(*error, entry);
                return Err(None);
            }
            None => return Err(None),
        };
        self.tell_filters();
        Err(noticed)
    }

    /// Hashes the passphrase of a login that succeeded anew, where the configuration asks for more than it was hashed
    /// with. What hinders that is said, and hinders nothing else.
    pub(super) fn renew_passphrase(&mut self) {
        let wanted = Cost::from(&self.setting.config.passphrase);
        let Some((user, beside)) = self.request.user().zip(self.beside.as_mut()) else {
            return;
        };
        let (old, fresh) = match beside.renew(wanted) {
            None => return,
            Some((old, Ok(fresh))) => (old, fresh),
            Some((_, Err(error))) => {
                let detail = error.to_string();
                return self.not_renewed(&detail);
            }
        };
        let put = self.ports.store.change_passphrase(user, &mut |record| {
            let kept = record.passphrase.as_ref().filter(|kept| kept.hash == old)?;
            Some(KeptPassphrase {
                hash: fresh.clone(),
                changed: kept.changed,
            })
        });
        match put {
            // Somebody was changing it meanwhile, or any record: the next login is soon enough.
            Ok(false) | Err(StoreError::Block(BlockError::Busy { .. })) => {}
            Ok(true) => self.log(Event::PassphraseRehashed, &Entry::default()),
            Err(error) => self.not_renewed(&error.to_string()),
        }
    }

    fn not_renewed(&mut self, detail: &str) {
        let entry = Entry {
            reason: Some("passphrase_not_rehashed"),
            detail: Some(detail),
            ..Entry::default()
        };
        self.log(Event::StoreUnusable, &entry);
    }
}
