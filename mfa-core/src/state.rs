//! The login state: what logins leave behind for the next one.

mod tokens;

use serde::Serialize;

use crate::bypass::BypassUse;
use crate::clock::{BootId, Moment};
use crate::document::node::from_keys;
use crate::document::{self, DocumentError, IgnoreUnknown, Read};
use crate::otp::SentCode;
use crate::record::{App, AppId, Recovery, SetId, UserRecord};
use crate::throttle::{Failures, Sends};
pub use tokens::TokenCounter;

/// Steps kept at most: those of 8 apps and half as many of removed ones. Each token that is kept leaves room for one less.
const MAX_STEPS: usize = 12;
/// Bytes kept of an address.
const MAX_ADDRESS: usize = 64;

/// A clock of the state's own, which only goes forward. Between two moments of one boot it counts on
/// `CLOCK_BOOTTIME`; across boots, on the wall clock; where either went backwards, it stands still once.
/// So a clock that is set neither lifts a lock nor makes it eternal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateClock {
    /// Milliseconds that have passed for this state.
    pub elapsed_ms: u64,
    /// Boot of the last reading, as 16 digits; empty before the first.
    boot: String,
    up_ms: i64,
    wall_ms: i64,
}

impl StateClock {
    /// Counts the time since the last reading.
    fn advance(&mut self, now: &Moment) {
        let boot = now.boot.to_string();
        let passed = if self.boot.is_empty() {
            0
        } else if self.boot == boot && now.boot != BootId::UNKNOWN {
            now.up_ms.saturating_sub(self.up_ms)
        } else {
            now.wall_ms.saturating_sub(self.wall_ms)
        };
        let elapsed_ms = self
            .elapsed_ms
            .saturating_add(u64::try_from(passed).unwrap_or(0));
        *self = Self {
            elapsed_ms,
            boot,
            up_ms: now.up_ms,
            wall_ms: now.wall_ms,
        };
    }
}

/// The last step of an app that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AcceptedStep {
    /// Which app.
    pub app: AppId,
    /// The step: seconds since the Unix epoch divided by the period (RFC 6238, 4.2).
    pub step: u64,
    /// The period, seconds.
    pub period: u16,
}

impl AcceptedStep {
    /// Whether the clock is behind the step: no code of the app can be right then (`clock_rollback`).
    #[must_use]
    pub fn is_from_the_future(&self, unix_seconds: u64, window: u32) -> bool {
        let latest = unix_seconds / u64::from(self.period.max(1)) + u64::from(window);
        latest < self.step
    }
}

/// Which codes of a set of recovery codes were used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsedCodes {
    /// Which set.
    pub set: SetId,
    /// A bit for each of its codes, the first one's the lowest.
    pub places: u16,
    /// The login with the last of them, until its session is opened: the user was told of that login already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// The same where the user was not told yet: no notice of it could be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
}

/// The last login that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastSuccess {
    /// Seconds since the Unix epoch.
    pub at: u64,
    /// From where; empty at the machine itself.
    pub from: String,
}

/// What logins of one user leave behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoginState {
    version: u64,
    /// How time passes for this state.
    pub clock: StateClock,
    /// Failures with app codes and delivered codes.
    pub codes: Failures,
    /// Failures with recovery codes.
    #[serde(skip_serializing_if = "is_none_at_all")]
    pub recovery: Failures,
    /// Failures with passphrases: what strangers can run up where a passphrase is all that stands before the code locks
    /// nobody out anywhere else.
    #[serde(skip_serializing_if = "is_none_at_all")]
    pub passphrase: Failures,
    /// Recovery codes that were used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<UsedCodes>,
    /// What became of an administrator's bypass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass: Option<BypassUse>,
    /// Codes that were sent lately.
    pub sends: Sends,
    /// The last code that was sent, until it is used or another one is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentCode>,
    /// The address that the user was last told of a login from; empty: the machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_from: Option<String>,
    /// The last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<LastSuccess>,
    /// Last accepted steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<AcceptedStep>,
    /// Where hardware tokens stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenCounter>,
    /// The last code was of this token, and beyond where codes let in: if the following one comes next, it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync: Option<TokenCounter>,
}

from_keys!(StateClock { elapsed_ms, boot, up_ms, wall_ms } or default {});
from_keys!(AcceptedStep { app, step, period } or default {});
from_keys!(UsedCodes { set, places } or default { told, untold });
from_keys!(LastSuccess { at, from } or default {});
from_keys!(LoginState
    { version, clock }
    or default { codes, recovery, passphrase, used, bypass, sends, sent, told_from, last_success, steps, tokens, resync }
);

impl Default for LoginState {
    /// Nothing has happened, and no time has passed.
    fn default() -> Self {
        Self {
            version: document::VERSION,
            clock: StateClock::default(),
            codes: Failures::default(),
            recovery: Failures::default(),
            passphrase: Failures::default(),
            used: None,
            bypass: None,
            sends: Sends::default(),
            sent: None,
            told_from: None,
            last_success: None,
            steps: Vec::new(),
            tokens: Vec::new(),
            resync: None,
        }
    }
}

impl LoginState {
    /// The state of a user who has none: if there was one, nobody knows which recovery codes were used, so all count
    /// as used. Codes are made after the state, and only by `mfa-admin`.
    #[must_use]
    pub fn anew(record: Option<&UserRecord>) -> Self {
        let mut state = Self::default();
        if let Some(set) = record.and_then(|record| record.recovery.as_ref()) {
            state.use_all_codes(set);
        }
        state
    }

    /// Reads what [`LoginState::to_payload`] wrote.
    ///
    /// # Errors
    ///
    /// A newer version, or what no release wrote.
    pub fn parse(payload: &[u8], ignore_unknown: &[String]) -> Result<Read<Self>, DocumentError> {
        document::read(payload, IgnoreUnknown::Listed(ignore_unknown))
    }

    /// What a slot of the block carries: TOML.
    ///
    /// # Errors
    ///
    /// It can't be written as TOML (never seen).
    pub fn to_payload(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Lets the time pass that has passed. To be called before any counter is looked at.
    pub fn advance(&mut self, now: &Moment) {
        self.clock.advance(now);
    }

    /// The state's own time, milliseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.elapsed_ms
    }

    /// The last accepted step of an app.
    #[must_use]
    pub fn last_step(&self, app: &AppId) -> Option<u64> {
        self.steps
            .iter()
            .find(|accepted| accepted.app == *app)
            .map(|accepted| accepted.step)
    }

    /// Whether the clock is behind the last accepted step of an app: no code of it can be right then
    /// (`clock_rollback`).
    #[must_use]
    pub fn is_ahead_of(&self, unix_seconds: u64, window: u32, app: &AppId) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|accepted| {
            accepted.app == *app && accepted.is_from_the_future(unix_seconds, window)
        })
    }

    /// Notes that a step was used; a smaller one than the last changes nothing.
    pub fn accept_step(&mut self, app: &App, step: u64) {
        let used = AcceptedStep {
            app: app.id.clone(),
            step,
            period: *app.period.get(),
        };
        match self
            .steps
            .iter_mut()
            .find(|accepted| accepted.app == app.id)
        {
            Some(last) if last.step < step => *last = used,
            Some(_) => {}
            None => self.steps.push(used),
        }
    }

    /// Forgets the steps of apps that the record no longer has, once their codes can't be right any more;
    /// earlier only where there is no room for more.
    pub fn forget_removed_apps(&mut self, apps: &[App], unix_seconds: u64, window: u32) {
        let is_in_use = |accepted: &AcceptedStep| apps.iter().any(|app| app.id == accepted.app);
        self.steps.retain(|accepted| {
            let good_until = accepted
                .step
                .saturating_add(u64::from(window) + 1)
                .saturating_mul(u64::from(accepted.period));
            is_in_use(accepted) || good_until >= unix_seconds
        });
        while self.steps.len() + self.tokens.len() > MAX_STEPS {
            let Some(place) = self.steps.iter().position(|accepted| !is_in_use(accepted)) else {
                break;
            };
            self.steps.remove(place);
        }
    }

    /// Notes a success with an app code or one that was sent.
    pub fn succeeded(&mut self, unix_seconds: u64, from: &str) {
        self.note_success(unix_seconds, from);
        crate::throttle::forgive(&mut self.codes);
        // The session of a login before this one is not waited for.
        if let Some(used) = &mut self.used {
            (used.told, used.untold) = (None, None);
        }
    }

    /// Notes a success with a recovery code. What stands against app codes stays.
    pub fn recovered(&mut self, unix_seconds: u64, from: &str) {
        self.note_success(unix_seconds, from);
        crate::throttle::forgive(&mut self.recovery);
    }

    fn note_success(&mut self, unix_seconds: u64, from: &str) {
        self.last_success = Some(LastSuccess {
            at: unix_seconds,
            from: kept_address(from),
        });
    }

    /// Whether a code of the set was used, by its place.
    #[must_use]
    pub fn is_used(&self, set: &Recovery, place: usize) -> bool {
        bit(place).is_none_or(|bit| self.used_places(set) & bit != 0)
    }

    /// Notes that a code of the set was used, in the login of this name, which nobody was told of yet.
    pub fn use_code(&mut self, set: &Recovery, place: usize, login: &str) {
        self.used = Some(UsedCodes {
            set: set.set.clone(),
            places: self.used_places(set) | bit(place).unwrap_or_default(),
            told: None,
            untold: Some(login.to_owned()),
        });
    }

    /// Notes that the user was told of the login of this name.
    pub fn told_of_code(&mut self, login: &str) {
        if let Some(used) = &mut self.used
            && let Some(name) = used.untold.take_if(|untold| untold == login)
        {
            used.told = Some(name);
        }
    }

    /// Whether the user is yet to be told of this login, which came in by a recovery code.
    #[must_use]
    pub fn is_untold(&self, login: &str) -> bool {
        let used = self.used.as_ref();
        used.and_then(|used| used.untold.as_deref()) == Some(login)
    }

    /// Has all codes of a set count as used: nobody knows which were.
    pub fn use_all_codes(&mut self, set: &Recovery) {
        self.used = Some(UsedCodes {
            set: set.set.clone(),
            places: u16::MAX,
            told: None,
            untold: None,
        });
    }

    /// How many codes of the set are good yet.
    #[must_use]
    pub fn codes_left(&self, set: &Recovery) -> usize {
        let places = 0..set.hashes.len();
        places.filter(|place| !self.is_used(set, *place)).count()
    }

    /// Whether the user was told of this login when it came in by a recovery code. Says so once.
    #[must_use]
    pub fn take_told(&mut self, login: &str) -> bool {
        self.used
            .as_mut()
            .and_then(|used| used.told.take_if(|told| told == login))
            .is_some()
    }

    /// What was used of this set; marks of another one don't count.
    fn used_places(&self, set: &Recovery) -> u16 {
        let used = self.used.as_ref().filter(|used| used.set == set.set);
        used.map_or(0, |used| used.places)
    }

    /// Whether an address is the one that the user was last told of a login from.
    #[must_use]
    pub fn was_told_of(&self, from: &str) -> bool {
        self.told_from.as_ref() == Some(&kept_address(from))
    }

    /// Notes that the user was told of a login from an address.
    pub fn tell_of(&mut self, from: &str) {
        self.told_from = Some(kept_address(from));
    }
}

/// The bit of a place, which no set has more of.
fn bit(place: usize) -> Option<u16> {
    1_u16.checked_shl(u32::try_from(place).ok()?)
}

/// Most users never fail with a recovery code: their states have no room for that.
fn is_none_at_all(failures: &Failures) -> bool {
    *failures == Failures::default()
}

/// As much of an address as is kept.
fn kept_address(from: &str) -> String {
    let mut kept = String::new();
    for c in from.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > MAX_ADDRESS {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Algorithm, Digits, Label, Period, datetime};
    use crate::secure_file::MAX_PAYLOAD;

    const HOUR: i64 = 3_600_000;

    fn moment(boot: u64, up_ms: i64, wall_ms: i64) -> Moment {
        Moment {
            wall_ms,
            boot: BootId(boot),
            up_ms,
        }
    }

    fn app(id: &str) -> App {
        App {
            id: AppId::parse(id).unwrap(),
            label: Label::parse("phone").unwrap(),
            secret: String::new(),
            algorithm: Algorithm::Sha1,
            digits: Digits::parse(6).unwrap(),
            period: Period::parse(30_u16).unwrap(),
            enrolled: datetime(0),
            disabled: false,
        }
    }

    fn elapsed(readings: &[Moment]) -> u64 {
        let mut state = LoginState::default();
        for reading in readings {
            let text = state.to_payload().unwrap();
            state = LoginState::parse(text.as_bytes(), &[]).unwrap().value;
            state.advance(reading);
        }
        state.now()
    }

    #[test]
    fn within_one_boot_the_wall_clock_does_not_count() {
        let year = 365 * 24 * HOUR;
        assert_eq!(elapsed(&[moment(1, 0, 0), moment(1, 1000, year)]), 1000);
        assert_eq!(elapsed(&[moment(1, 0, year), moment(1, 1000, 0)]), 1000);
        assert_eq!(
            elapsed(&[moment(1, 0, 0), moment(1, 500, year), moment(1, 1000, 0)]),
            1000
        );
    }

    #[test]
    fn across_boots_the_wall_clock_counts_and_never_backwards() {
        assert_eq!(
            elapsed(&[moment(1, 5 * HOUR, 0), moment(2, 0, HOUR)]),
            3_600_000
        );
        assert_eq!(elapsed(&[moment(1, 0, HOUR), moment(2, 0, 0)]), 0);
        // From then on the boot clock counts: the lock is not eternal.
        assert_eq!(
            elapsed(&[moment(1, 0, HOUR), moment(2, 0, 0), moment(2, HOUR, 0)]),
            3_600_000
        );
        assert_eq!(
            elapsed(&[moment(0, 0, 0), moment(0, 9 * HOUR, HOUR)]),
            3_600_000
        );
    }

    #[test]
    fn a_boot_clock_below_the_recorded_one_counts_as_no_time_once() {
        // A virtual machine that was put back to a snapshot.
        assert_eq!(elapsed(&[moment(1, HOUR, 0), moment(1, 1000, HOUR)]), 0);
        assert_eq!(
            elapsed(&[moment(1, HOUR, 0), moment(1, 1000, 0), moment(1, 3000, 0)]),
            2000
        );
    }

    #[test]
    fn a_step_is_remembered_and_never_goes_down() {
        let mut state = LoginState::default();
        let (phone, tablet) = (app("00000001"), app("00000002"));
        state.accept_step(&phone, 10);
        state.accept_step(&phone, 9);
        state.accept_step(&tablet, 3);
        assert_eq!(
            (state.last_step(&phone.id), state.last_step(&tablet.id)),
            (Some(10), Some(3))
        );
    }

    #[test]
    fn the_step_of_a_removed_app_stays_until_its_codes_are_no_longer_good() {
        let mut state = LoginState::default();
        state.accept_step(&app("00000001"), 10);
        state.forget_removed_apps(&[], 10 * 30 + 59, 1);
        assert_eq!(state.steps.len(), 1);
        state.forget_removed_apps(&[app("00000001")], 1_000_000, 1);
        assert_eq!(state.steps.len(), 1);
        state.forget_removed_apps(&[], 12 * 30 + 1, 1);
        assert_eq!(state.steps.len(), 0);
    }

    fn set(id: &str, codes: usize) -> Recovery {
        Recovery {
            set: SetId::parse(id).unwrap(),
            generated: None,
            salt: crate::record::Salt::parse("0".repeat(32)).unwrap(),
            hashes: vec![crate::record::CodeHash::parse("0".repeat(64)).unwrap(); codes],
        }
    }

    #[test]
    fn a_used_recovery_code_stays_used_in_its_own_set() {
        let mut state = LoginState::default();
        let (first, second) = (set("00000001", 16), set("00000002", 10));
        assert_eq!(state.codes_left(&first), 16);
        for place in [0, 7, 15] {
            assert!(!state.is_used(&first, place));
            state.use_code(&first, place, "9f2c41d07be1");
        }
        let text = state.to_payload().unwrap();
        let mut state = LoginState::parse(text.as_bytes(), &[]).unwrap().value;
        let used: Vec<usize> = (0..16)
            .filter(|place| state.is_used(&first, *place))
            .collect();
        assert_eq!((used, state.codes_left(&first)), (vec![0, 7, 15], 13));
        // Marks of another set don't count, and are gone when one of this set is made.
        assert_eq!(state.codes_left(&second), 10);
        state.use_code(&second, 3, "9f2c41d07be1");
        assert_eq!(
            (state.codes_left(&second), state.codes_left(&first)),
            (9, 16)
        );
        state.use_all_codes(&second);
        assert_eq!(state.codes_left(&second), 0);
        // No set has so many.
        assert!(state.is_used(&first, 16) && state.is_used(&second, 99));
    }

    #[test]
    fn the_session_of_a_recovered_login_is_told_of_once() {
        let mut state = LoginState::default();
        let (login, other) = ("9f2c41d07be1", "000000000000");
        assert!(!state.take_told(login) && !state.is_untold(login));
        state.use_code(&set("00000001", 10), 0, login);
        // Until a notice is kept nobody has been told.
        assert!(state.is_untold(login) && !state.is_untold(other) && !state.take_told(login));
        state.told_of_code(other);
        assert!(state.is_untold(login));
        state.told_of_code(login);
        assert!(!state.is_untold(login) && !state.take_told(other));
        assert!(state.take_told(login));
        assert!(!state.take_told(login));
        assert_eq!(state.codes_left(&set("00000001", 10)), 9);
    }

    #[test]
    fn the_name_of_a_recovered_login_goes_with_the_next_success() {
        let login = "9f2c41d07be1";
        for is_told in [true, false] {
            let mut state = LoginState::default();
            state.use_code(&set("00000001", 10), 0, login);
            if is_told {
                state.told_of_code(login);
            }
            state.succeeded(1, "");
            let used = state.used.unwrap();
            assert_eq!((used.told, used.untold, used.places), (None, None, 1));
        }
    }

    #[test]
    fn a_state_of_before_recovery_codes_is_read_and_stays_as_it_is() {
        let old = "version = 1\n\n[clock]\nelapsed_ms = 7\nboot = \"\"\nup_ms = 0\nwall_ms = 0\n\n[codes]\n\
                   in_window = 0\nin_row = 2\ndisabled = false\n\n[sends]\nin_window = 0\n";
        let state = LoginState::parse(old.as_bytes(), &[]).unwrap().value;
        assert_eq!(
            (state.codes.in_row, &state.recovery, &state.used),
            (2, &Failures::default(), &None)
        );
        assert_eq!(state.to_payload().unwrap(), old);
    }

    #[test]
    fn the_fullest_state_fits_its_slot() {
        let mut state = LoginState::default();
        state.advance(&moment(u64::MAX, i64::MAX, i64::MAX));
        state.clock.elapsed_ms = i64::MAX as u64;
        let apps: Vec<App> = (0..40).map(|id| app(&format!("{id:08x}"))).collect();
        for app in &apps {
            state.accept_step(app, i64::MAX as u64);
            state.forget_removed_apps(&apps[..8], 0, 1);
        }
        let big = i64::MAX as u64;
        state.codes = Failures {
            in_window: u32::MAX,
            window_opened: Some(big),
            in_row: u32::MAX,
            locked_at: Some(big),
            disabled: true,
        };
        state.last_success = None;
        state.succeeded(big, &"\u{10ffff}".repeat(100));
        state.codes = Failures {
            in_window: u32::MAX,
            window_opened: Some(big),
            in_row: u32::MAX,
            locked_at: Some(big),
            disabled: true,
        };
        state.tell_of(&"\u{10ffff}".repeat(100));
        state.sends = Sends {
            in_window: u32::MAX,
            window_opened: Some(big),
        };
        let key = crate::seal::SealingKey::generate().unwrap();
        let binding = crate::otp::Binding {
            user: "alice",
            to: "",
            service: "sshd",
            from: "",
        };
        let code = crate::otp::Code::to_send(8, 0).unwrap();
        let telegram = crate::record::Method::Telegram;
        state.sent = Some(SentCode::remember(&key, &binding, telegram, big, &code).unwrap());
        state.recovery = state.codes.clone();
        state.passphrase = state.codes.clone();
        state.use_code(&set("00000001", 16), 15, "9f2c41d07be1");
        state.used.as_mut().unwrap().places = u16::MAX;
        let bypass = crate::bypass::Bypass::grant(10_000_000_000, 60, "x", "root");
        assert!(crate::bypass::expire(Some(&bypass), &mut state, u64::MAX));
        state.bypass.as_mut().unwrap().uses = u32::MAX;
        let apps_alone = state.clone();
        // As many tokens as a record can have, in the place of the apps.
        for app in &apps[..8] {
            state.use_token(&app.id, u64::from(u32::MAX), u64::from(u32::MAX));
        }
        state.forget_removed_apps(&[], 0, 1);
        state.resync = state.tokens.first().cloned();
        assert_eq!((state.tokens.len(), state.steps.len()), (8, 4));
        for (token, app) in state.tokens.iter().zip(&apps) {
            assert_eq!(token.token, app.id);
        }
        let room = |state: &LoginState| MAX_PAYLOAD - state.to_payload().unwrap().len();
        assert!(room(&state) >= room(&apps_alone), "{} bytes", room(&state));
        let state = apps_alone;
        let payload = state.to_payload().unwrap();
        // What is to come yet.
        assert!(payload.len() + 64 <= MAX_PAYLOAD, "{} bytes", payload.len());
        assert!(payload.len() <= MAX_PAYLOAD, "{} bytes", payload.len());
        assert_eq!(
            LoginState::parse(payload.as_bytes(), &[]).unwrap().value,
            state
        );
        assert!(
            apps[..8]
                .iter()
                .all(|app| state.last_step(&app.id).is_some())
        );
    }
}
