//! Walks the store once, a record and a state at a time, and keeps counts and a few names: 100 000 users
//! take a few seconds. What it means is said in `findings`.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use mfa_core::bypass;
use mfa_core::clock::Moment;
use mfa_core::config::Config;
use mfa_core::courier::Channels;
use mfa_core::device::DeviceId;
use mfa_core::hotp::Hotp;
use mfa_core::otp::Authenticator;
use mfa_core::policy::{self, Decision, DenyReason};
use mfa_core::record::UserRecord;
use mfa_core::recovery::FEW;
use mfa_core::request::{self, Account, LoginRequest, UserName};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::{BlockError, FileError, Problem};
use mfa_core::state::LoginState;
use mfa_core::store::{FileStore, Store, StoreError, Subject};
use mfa_core::throttle::{self, Limits, Verdict};

use super::quoted;
use super::tally::Tally;
use crate::output::shown;
use crate::token::{self, Standing};

/// The name service may be a server far away, and read a long file for each name.
const NSS_TIME: Duration = Duration::from_secs(2);
/// A locked state costs its five seconds; after so many the others are not looked at.
const MOST_BUSY: usize = 3;
/// So many bypasses have a line each.
const MOST_BYPASSES: usize = 20;

/// What the walk needs.
pub(super) struct Surveyor<'a> {
    pub(super) config: &'a Config,
    /// What can be delivered.
    pub(super) channels: Channels,
    pub(super) store: &'a FileStore,
    /// None: it can't be used, and no secret is tried.
    pub(super) key: Option<&'a SealingKey>,
    /// False: states can't be opened, and are left out.
    pub(super) is_writable: bool,
    /// None: devices are not compared.
    pub(super) device: Option<DeviceId>,
    pub(super) now: &'a Moment,
}

/// Users, or their files, that share a fate; the names in a message are fit for a terminal.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Everybody who has a record.
    pub(super) users: Vec<String>,
    /// Whether this host is known, without which nobody's standing is.
    pub(super) has_device: bool,
    /// Users who will be asked for a code.
    pub(super) ready: usize,
    /// Records that can't be trusted, and the first of them.
    pub(super) record_files: Tally,
    pub(super) first_record_file: Option<FileError>,
    /// Records that say something wrong, with line and column.
    pub(super) records: Tally,
    /// Users whom the name service does not know, and how many it was asked about.
    pub(super) unknown: Tally,
    pub(super) asked: usize,
    pub(super) name_service: Option<String>,
    pub(super) suspended: Tally,
    pub(super) unapproved: Tally,
    pub(super) elsewhere: Tally,
    /// Who has to have an app or a token, and has none in use.
    pub(super) without_app: Tally,
    /// Who has methods, and none that works here.
    pub(super) without_method: Tally,
    /// Methods of users that this host can't deliver by, and users without an address for one.
    pub(super) undelivered: BTreeMap<&'static str, Tally>,
    pub(super) without_address: Tally,
    /// Whose recovery codes run out, and how many are left.
    pub(super) few_codes: Tally,
    /// Whose tokens no code lets in until they are resynchronised, and how it came to that.
    pub(super) out_of_step: Tally,
    /// Who has no passphrase, where a service asks for one.
    pub(super) without_passphrase: Tally,
    /// Users who are let in without a code for a time, each with how long and why, and how many more.
    pub(super) bypasses: Vec<(String, String)>,
    pub(super) more_bypasses: usize,
    /// Whose bypass is over, and was not cleared.
    pub(super) over: Tally,
    /// Let by without a code, by `without_record = "skip"`.
    pub(super) let_by: Tally,
    /// Secrets that opened, and those that did not.
    pub(super) opened: usize,
    pub(super) sealed: Tally,
    /// Why the first did not, and whose it is.
    pub(super) first_sealed: Option<String>,
    pub(super) first_sealed_user: Option<String>,
    /// Whether states were looked at.
    pub(super) has_states: bool,
    pub(super) states: usize,
    pub(super) state_files: Tally,
    pub(super) first_state_file: Option<FileError>,
    pub(super) corrupt: Tally,
    /// States that hold what this release can't read.
    pub(super) unreadable: Tally,
    pub(super) bad_slots: Tally,
    pub(super) ahead: Tally,
    pub(super) locked: Tally,
    pub(super) disabled: Tally,
    pub(super) busy: Tally,
    pub(super) missing_decoys: usize,
    /// Files that no verb of ours made, and states of nobody.
    pub(super) strangers: Tally,
}

impl Surveyor<'_> {
    /// Looks at everything.
    pub(super) fn survey(&self) -> Result<Survey, StoreError> {
        let mut survey = Survey {
            has_device: self.device.is_some(),
            has_states: self.is_writable,
            ..Survey::default()
        };
        let users = self.store.users()?;
        let started = Instant::now();
        for user in &users {
            if started.elapsed() < NSS_TIME && survey.name_service.is_none() {
                survey.ask_name_service(user);
            }
            let record = self.record(user, &mut survey);
            if self.is_writable && survey.busy.count() < MOST_BUSY {
                self.state(user, record.as_ref(), &mut survey);
            }
        }
        self.decoys(&mut survey);
        self.strangers(&users, &mut survey)?;
        survey.users = users.iter().map(|user| user.as_str().to_owned()).collect();
        Ok(survey)
    }

    fn record(&self, user: &UserName, survey: &mut Survey) -> Option<UserRecord> {
        match self.store.record(Subject::User(user)) {
            // None: removed since its name was read.
            Ok(None) => None,
            Ok(Some(record)) => {
                self.standing(&record, survey);
                self.bypass(&record, survey);
                self.secrets(&record, survey);
                Some(record)
            }
            Err(StoreError::File(error)) => {
                survey.record_files.add(shown(&error.to_string()));
                survey.first_record_file.get_or_insert(error);
                None
            }
            Err(error) => {
                survey.records.add(shown(&error.to_string()));
                None
            }
        }
    }

    /// Asks the policy what it would do with this user over SSH.
    fn decide(&self, record: &UserRecord) -> Option<Decision> {
        let account = Account {
            name: record.user.clone(),
            uid: u32::MAX,
        };
        let request = LoginRequest::asked_by_root(record.user.as_str(), Some(account), "sshd");
        let (config, channels) = (self.config, self.channels);
        Some(policy::decide_asked(
            config,
            channels,
            &request,
            Some(record),
            self.device?,
        ))
    }

    fn standing(&self, record: &UserRecord, survey: &mut Survey) {
        let Some(decision) = self.decide(record) else {
            return;
        };
        if record.passphrase.is_none() {
            survey.without_passphrase.add(name(&record.user));
        }
        if matches!(
            decision,
            Decision::Challenge(_) | Decision::Deny(DenyReason::NotEnrolled)
        ) {
            self.deliveries(record, survey);
        }
        let tally = match decision {
            Decision::Challenge(_) => {
                survey.ready += 1;
                return;
            }
            Decision::Skip(_) | Decision::Passphrase(_) => &mut survey.let_by,
            Decision::Deny(DenyReason::Suspended) => &mut survey.suspended,
            Decision::Deny(DenyReason::NotApproved) => &mut survey.unapproved,
            Decision::Deny(DenyReason::WrongDevice) => &mut survey.elsewhere,
            Decision::Deny(
                DenyReason::NotEnrolled | DenyReason::UnknownUser | DenyReason::NoPassphrase,
            ) => {
                if record.methods.iter().all(|method| !method.is_sent()) {
                    &mut survey.without_app
                } else {
                    &mut survey.without_method
                }
            }
        };
        tally.add(name(&record.user));
    }

    /// Whether this user is let in without a code for a time.
    fn bypass(&self, record: &UserRecord, survey: &mut Survey) {
        let Some(bypass) = &record.bypass else { return };
        let now = self.now.unix_seconds();
        if bypass.standing(now) == bypass::Standing::Over {
            survey.over.add(name(&record.user));
        } else if survey.bypasses.len() < MOST_BYPASSES {
            let words = crate::bypass::words(bypass, now);
            survey.bypasses.push((name(&record.user), words));
        } else {
            survey.more_bypasses += 1;
        }
    }

    /// What of a user's methods can't be delivered here.
    fn deliveries(&self, record: &UserRecord, survey: &mut Survey) {
        for method in &record.methods {
            let is_delivered = method.is_sent();
            if is_delivered && !self.channels.has(*method) {
                let users = survey.undelivered.entry(method.as_str()).or_default();
                users.add(name(&record.user));
            } else if is_delivered && record.address_for(*method).is_none() {
                survey
                    .without_address
                    .add_with(&name(&record.user), method.as_str());
            }
        }
    }

    /// Opens every secret, which takes microseconds, and throws it away.
    fn secrets(&self, record: &UserRecord, survey: &mut Survey) {
        let Some(key) = self.key else { return };
        let user = name(&record.user);
        let mut keep = |label: String, trouble: Option<String>| match trouble {
            None => survey.opened += 1,
            Some(why) => {
                survey.sealed.add(format!("{user} ({label})"));
                survey.first_sealed.get_or_insert(shown(&why) + ".");
                survey.first_sealed_user.get_or_insert(user.clone());
            }
        };
        for app in &record.apps {
            let opened = Authenticator::open(key, &record.user, app, 0);
            keep(
                shown(app.label.get()),
                opened.err().map(|why| why.to_string()),
            );
        }
        for token in &record.tokens {
            let opened = Hotp::open(key, &record.user, token);
            let label = format!("token {}", shown(token.label.get()));
            keep(label, opened.err().map(|why| why.to_string()));
        }
        if let Some(kept) = &record.passphrase
            && kept.is_of_another_key(key, &record.user)
        {
            let why =
                "hashed with another sealing key: the right one is refused until it is set anew";
            keep("passphrase".to_owned(), Some(why.to_owned()));
        }
    }

    fn state(&self, user: &UserName, record: Option<&UserRecord>, survey: &mut Survey) {
        match self.store.state(user) {
            // The next login makes it.
            Ok(None) => self.judge_state(user, record, LoginState::anew(record), survey),
            Ok(Some(view)) => {
                survey.states += 1;
                if view.has_bad_slot {
                    survey.bad_slots.add(name(user));
                }
                self.judge_state(user, record, view.state, survey);
            }
            Err(StoreError::Block(BlockError::Corrupt(_))) => survey.corrupt.add(name(user)),
            Err(StoreError::Block(BlockError::Busy { holder })) => {
                let holder = holder.map_or("somebody".to_owned(), |pid| format!("process {pid}"));
                survey.busy.add(format!("{} (by {holder})", name(user)));
            }
            Err(StoreError::File(error)) => {
                survey.state_files.add(shown(&error.to_string()));
                survey.first_state_file.get_or_insert(error);
            }
            Err(error) => survey.unreadable.add(shown(&error.to_string())),
        }
    }

    fn judge_state(
        &self,
        user: &UserName,
        record: Option<&UserRecord>,
        mut state: LoginState,
        survey: &mut Survey,
    ) {
        let apps = record.map_or(&[][..], |record| &record.apps);
        let (seconds, window) = (self.now.unix_seconds(), self.config.app.window.get());
        if apps
            .iter()
            .any(|app| state.is_ahead_of(seconds, window, &app.id))
        {
            survey.ahead.add(name(user));
        }
        for entry in record.map_or(&[][..], |record| &record.tokens) {
            let standing = token::standing(entry, Some(&state));
            if matches!(standing, Standing::CounterUnknown | Standing::OutOfStep) {
                let (label, words) = (shown(entry.label.get()), standing.words());
                survey
                    .out_of_step
                    .add_with(&name(user), &format!("{label}: {words}"));
            }
        }
        if let Some(set) = record.and_then(|record| record.recovery.as_ref()) {
            let left = state.codes_left(set);
            if left <= FEW {
                survey
                    .few_codes
                    .add_with(&name(user), &format!("{left} left"));
            }
            if left == 0 && self.has_recovery_codes_alone(record) {
                // Asked, and nothing lets in.
                survey.ready = survey.ready.saturating_sub(1);
                survey.without_app.add(name(user));
            }
        }
        state.advance(self.now);
        let counters = [
            (&state.codes, ""),
            (&state.recovery, "recovery codes"),
            (&state.passphrase, "passphrases"),
        ];
        for (failures, whose) in counters {
            let tally = match throttle::admit(failures, state.now(), &Limits::from(self.config)) {
                Verdict::Disabled => &mut survey.disabled,
                Verdict::Locked(_) => &mut survey.locked,
                Verdict::Evaluate | Verdict::Throttled(_) => continue,
            };
            if whose.is_empty() {
                tally.add(name(user));
            } else {
                tally.add_with(&name(user), whose);
            }
        }
    }

    /// Whether a user is asked for a code, and nothing but recovery codes counts.
    fn has_recovery_codes_alone(&self, record: Option<&UserRecord>) -> bool {
        let decision = record.and_then(|record| self.decide(record));
        decision.is_some_and(
            |decision| matches!(decision, Decision::Challenge(usable) if usable.is_empty()),
        )
    }

    /// The states that are nobody's: a login mends what is wrong in them, not whose they are.
    fn decoys(&self, survey: &mut Survey) {
        for error in self.store.decoy_problems() {
            if error.problem == Problem::Missing {
                survey.missing_decoys += 1;
            } else {
                survey.state_files.add(shown(&error.to_string()));
                survey.first_state_file.get_or_insert(error);
            }
        }
    }

    fn strangers(&self, users: &[UserName], survey: &mut Survey) -> Result<(), StoreError> {
        for path in self.store.strangers()? {
            survey.strangers.add(quoted(&path.display().to_string()));
        }
        let known: HashSet<&str> = users.iter().map(UserName::file_name).collect();
        let folder = self.store.state_folder();
        for file in folder.names()? {
            let user = file.to_str().and_then(UserName::from_file_name);
            if user.is_some_and(|user| !known.contains(user.file_name())) {
                survey
                    .strangers
                    .add(quoted(&folder.path().join(file).display().to_string()));
            }
        }
        Ok(())
    }
}

impl Survey {
    fn ask_name_service(&mut self, user: &UserName) {
        match request::find_account(user.as_str()) {
            Ok(Some(account)) if account.name == *user => {}
            Ok(_) => self.unknown.add(name(user)),
            Err(errno) => {
                self.name_service = Some(errno.desc().to_owned());
                return;
            }
        }
        self.asked += 1;
    }
}

/// A user's name as a command would take it.
fn name(user: &UserName) -> String {
    quoted(user.as_str())
}
