//! The audit lines: one event, one line, and the only place where text from outside is escaped and cut.

use std::fmt::Write;

use crate::device::DeviceId;
use crate::request::{Account, LoginRequest};

/// Characters of one value at most.
const MAX_VALUE: usize = 64;
/// Characters of a `detail` at most: a path, a place in it and what is wrong there.
const MAX_DETAIL: usize = 200;

/// How urgent a line is, as syslog(3) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `LOG_ALERT`.
    Alert,
    /// `LOG_ERR`.
    Error,
    /// `LOG_NOTICE`.
    Notice,
    /// `LOG_INFO`.
    Info,
    /// `LOG_DEBUG`, with the argument `debug` only.
    Debug,
}

/// How an event ended for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    Info,
}

/// Declares events with their number, name, outcome and severity. Numbers are never used again.
macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $outcome:ident, $severity:ident;)*) => {
        /// What an audit line tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])* $variant,)* }

        impl Event {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number in `MFA-nnnn`.
            #[must_use]
            pub fn id(self) -> u16 {
                match self { $(Self::$variant => $id,)* }
            }

            /// The name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The severity that the line is logged at.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            fn outcome(self) -> Outcome {
                match self { $(Self::$variant => Outcome::$outcome,)* }
            }
        }
    };
}

events! {
    /// A code was made, and a courier started with it.
    CodeSent = 1001, "code_sent", Info, Info;
    /// A code did not get out.
    DeliveryFailed = 1002, "delivery_failed", Failure, Notice;
    /// A code was asked for, and too many had been sent.
    SendThrottled = 1003, "send_throttled", Failure, Notice;
    /// A person is asked for a code.
    Challenge = 1004, "challenge", Info, Info;
    /// A right code.
    Accepted = 2001, "accepted", Success, Info;
    /// A right recovery code.
    AcceptedWithRecoveryCode = 2002, "accepted_with_recovery_code", Success, Info;
    /// Let by without a code.
    Skipped = 2003, "skipped", Info, Info;
    /// Two codes in a row have brought a token back into step.
    TokenResynchronised = 2004, "token_resynchronised", Info, Info;
    /// Let by without a code, by an administrator's bypass.
    Bypassed = 2005, "bypassed", Info, Notice;
    /// A right emergency code.
    AcceptedWithEmergencyCode = 2009, "accepted_with_emergency_code", Success, Alert;
    /// A wrong code, or an answer that is none.
    BadCode = 2101, "bad_code", Failure, Notice;
    /// A code that was used before, or an earlier one.
    Replayed = 2102, "replayed", Failure, Notice;
    /// The right code, too late.
    Expired = 2103, "expired", Failure, Notice;
    /// Not on the approved list.
    NotApproved = 2104, "not_approved", Failure, Notice;
    /// Not assigned to this host.
    WrongDevice = 2105, "wrong_device", Failure, Notice;
    /// Nobody that the store knows.
    UnknownUser = 2106, "unknown_user", Failure, Notice;
    /// The host program got no answer.
    ConversationFailed = 2107, "conversation_failed", Failure, Notice;
    /// No authenticator.
    NotEnrolled = 2108, "not_enrolled", Failure, Notice;
    /// Suspended by an administrator.
    Suspended = 2109, "suspended", Failure, Notice;
    /// The account password came as the answer.
    PasswordAsAnswer = 2110, "password_as_answer", Failure, Notice;
    /// A wrong passphrase, whatever the code was.
    BadPassphrase = 2111, "bad_passphrase", Failure, Notice;
    /// A wrong emergency code, a used one, or an answer that is none.
    BadEmergencyCode = 2112, "bad_emergency_code", Failure, Alert;
    /// Too many failures in a short time.
    Throttled = 2201, "throttled", Failure, Notice;
    /// An answer while locked.
    RefusedWhileLocked = 2202, "refused_while_locked", Failure, Notice;
    /// An answer while disabled.
    RefusedWhileDisabled = 2203, "refused_while_disabled", Failure, Notice;
    /// Too many failures in a row.
    BecameLocked = 2204, "became_locked", Failure, Notice;
    /// Far too many failures in a row.
    BecameDisabled = 2205, "became_disabled", Failure, Notice;
    /// The state was locked by another process for too long.
    Busy = 2206, "busy", Failure, Notice;
    /// The account phase has nothing against the user.
    AccountAccepted = 2301, "account_accepted", Success, Info;
    /// The account phase refuses the user.
    AccountRefused = 2302, "account_refused", Failure, Notice;
    /// A session begins.
    SessionOpened = 2401, "session_opened", Success, Info;
    /// `mfa-admin init` made something.
    Initialised = 3001, "initialised", Success, Info;
    /// A user was added.
    UserAdded = 3002, "user_added", Success, Info;
    /// Address or methods of a user were changed.
    UserChanged = 3003, "user_changed", Success, Info;
    /// A user was put on the approved list.
    UserApproved = 3004, "user_approved", Success, Info;
    /// A user was suspended.
    UserSuspended = 3005, "user_suspended", Success, Info;
    /// A suspension was lifted.
    UserResumed = 3006, "user_resumed", Success, Info;
    /// Locks and failures of a user were cleared.
    UserUnlocked = 3007, "user_unlocked", Success, Info;
    /// A user was removed.
    UserRemoved = 3008, "user_removed", Success, Info;
    /// An app was enrolled.
    AppEnrolled = 3011, "app_enrolled", Success, Info;
    /// An app's secret was shown.
    AppRevealed = 3012, "app_revealed", Success, Info;
    /// An app was removed.
    AppRemoved = 3013, "app_removed", Success, Info;
    /// No code of an app lets in any more.
    AppDisabled = 3014, "app_disabled", Success, Info;
    /// Codes of an app let in again.
    AppEnabled = 3015, "app_enabled", Success, Info;
    /// A user was assigned to a device.
    DeviceAssigned = 3021, "device_assigned", Success, Info;
    /// A user was taken off a device.
    DeviceRevoked = 3022, "device_revoked", Success, Info;
    /// A set of recovery codes was made, in the place of the one before.
    RecoveryGenerated = 3031, "recovery_generated", Success, Info;
    /// A login state was made anew.
    StateReset = 3041, "state_reset", Success, Info;
    /// Steps from the future were cleared.
    StateClockSet = 3042, "state_clock_set", Success, Info;
    /// A password or token for the courier was kept.
    CredentialSet = 3051, "credential_set", Success, Info;
    /// A passphrase was set by an administrator.
    PassphraseSet = 3061, "passphrase_set", Success, Info;
    /// A passphrase was changed by whose it is.
    PassphraseChanged = 3062, "passphrase_changed", Success, Info;
    /// A passphrase was removed.
    PassphraseRemoved = 3063, "passphrase_removed", Success, Info;
    /// A passphrase was hashed anew, with what the configuration asks for now.
    PassphraseRehashed = 3064, "passphrase_rehashed", Success, Info;
    /// A hardware token was added.
    TokenAdded = 3071, "token_added", Success, Info;
    /// A hardware token was removed.
    TokenRemoved = 3072, "token_removed", Success, Info;
    /// A hardware token was brought back into step.
    TokenResynced = 3073, "token_resynced", Success, Info;
    /// No code of a token lets in any more.
    TokenDisabled = 3074, "token_disabled", Success, Info;
    /// Codes of a token let in again.
    TokenEnabled = 3075, "token_enabled", Success, Info;
    /// A new sealing key took the first place, or what was begun so is gone on with.
    SealRotationBegun = 3081, "seal_rotation_begun", Success, Info;
    /// Everything is sealed with the new key, which is alone now.
    SealRotated = 3082, "seal_rotated", Success, Info;
    /// The sealing key was put into a credential of this host, or its plain file removed.
    SealBound = 3083, "seal_bound", Success, Info;
    /// An emergency code was made, in the place of the one before.
    EmergencyGenerated = 3091, "emergency_generated", Success, Info;
    /// A user was allowed in without a code for a time.
    BypassGranted = 3092, "bypass_granted", Success, Notice;
    /// A bypass was taken back.
    BypassRevoked = 3093, "bypass_revoked", Success, Info;
    /// A bypass came to its end.
    BypassExpired = 3097, "bypass_expired", Info, Info;
    /// The store, the sealing key, or one user's part of them can't be used.
    StoreUnusable = 4001, "store_unusable", Failure, Error;
    /// The configuration can't be used.
    ConfigUnusable = 4002, "config_unusable", Failure, Alert;
    /// The clock is behind the last accepted code.
    ClockRollback = 4003, "clock_rollback", Failure, Error;
    /// This host's machine id can't be used.
    DeviceUnusable = 4004, "device_unusable", Failure, Error;
    /// The host program does not run as root.
    NotRoot = 4005, "not_root", Failure, Error;
    /// The name service can't answer.
    NssUnusable = 4006, "nss_unusable", Failure, Error;
    /// A notice could not be kept for delivery, or not be delivered.
    NoticeFailed = 5001, "notice_failed", Failure, Error;
    /// A mistake of ours.
    Internal = 9001, "internal", Failure, Error;
}

/// The port through which lines leave.
pub trait AuditLog {
    /// Writes one line.
    fn write(&mut self, severity: Severity, line: &str);
}

/// What one line tells besides who, where and which login.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// The method that the answer was for.
    pub method: Option<&'a str>,
    /// The label of the app.
    pub app: Option<&'a str>,
    /// Number of the prompt, from 1.
    pub attempt: Option<u32>,
    /// Why, in a word or two.
    pub reason: Option<&'a str>,
    /// Why, at length: an error of a file, with its place.
    pub detail: Option<&'a str>,
}

/// The lines of one login: who, from where, on which host, and how many so far.
#[derive(Clone, Debug)]
pub struct AuditTrail {
    user: Option<String>,
    asked_name: String,
    uid: Option<u32>,
    log_unknown_names: bool,
    is_known: bool,
    service: String,
    rhost: Option<String>,
    tty: Option<String>,
    remote_user: Option<String>,
    caller: crate::request::Caller,
    device: Option<DeviceId>,
    login: String,
    lines: u32,
    first_failure: Option<Event>,
    used: Option<(String, String)>,
}

impl AuditTrail {
    /// The trail of a request; `login` names the attempt, `lines` have been written of it so far.
    #[must_use]
    pub fn new(request: &LoginRequest, login: String, lines: u32) -> Self {
        let mut trail = Self {
            user: None,
            asked_name: request.asked_name.clone(),
            uid: None,
            log_unknown_names: request.log_unknown_names,
            is_known: false,
            service: request.service.clone(),
            rhost: request
                .remote_host
                .as_ref()
                .map(|host| host.as_str().to_owned()),
            tty: request.tty.clone(),
            remote_user: request.remote_user.clone(),
            caller: request.caller,
            device: None,
            login,
            lines,
            first_failure: None,
            used: None,
        };
        trail.of_account(request.account.as_ref());
        trail
    }

    /// From here on it is known whether there is an account.
    pub fn of_account(&mut self, account: Option<&Account>) {
        self.user = account.map(|account| account.name.to_string());
        self.uid = account.map(|account| account.uid);
    }

    /// From here on the host is known.
    pub fn on_device(&mut self, device: DeviceId) {
        self.device = Some(device);
    }

    /// From here on the user is known to the store, and may be named.
    pub fn user_is_known(&mut self) {
        self.is_known = true;
    }

    /// Whether lines name the user as somebody whom the store knows.
    #[must_use]
    pub fn names_the_user(&self) -> bool {
        self.is_known
    }

    /// From here on it is known what the user got in with: a method, and the label of an app or nothing.
    pub fn got_in_by(&mut self, method: &str, app: &str) {
        self.used = Some((method.to_owned(), app.to_owned()));
    }

    /// What the user got in with; `None` where no code was asked for.
    #[must_use]
    pub fn used_method(&self) -> Option<(String, String)> {
        self.used.clone()
    }

    /// Name of the attempt.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }

    /// Lines written so far.
    #[must_use]
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// The first event that was a failure: why somebody was refused, for those who may know.
    #[must_use]
    pub fn first_failure(&self) -> Option<Event> {
        self.first_failure
    }

    /// Writes a line.
    pub fn log(&mut self, to: &mut dyn AuditLog, event: Event, entry: &Entry<'_>) {
        self.log_at(to, event, event.severity(), entry);
    }

    /// Writes a line at another severity than the event's own.
    pub fn log_at(
        &mut self,
        to: &mut dyn AuditLog,
        event: Event,
        severity: Severity,
        entry: &Entry<'_>,
    ) {
        self.lines = self.lines.saturating_add(1);
        if event.outcome() == Outcome::Failure {
            self.first_failure.get_or_insert(event);
        }
        to.write(severity, &self.line(event, entry));
    }

    fn line(&self, event: Event, entry: &Entry<'_>) -> String {
        let mut line = head(event);
        let (user, uid) = match (&self.user, self.is_known) {
            (Some(name), true) => (name.as_str(), self.uid),
            _ if self.log_unknown_names => (self.asked_name.as_str(), None),
            _ => ("?", None),
        };
        let _ = write!(line, " user={}", quoted(user, MAX_VALUE));
        field(&mut line, "uid", uid.map(|uid| uid.to_string()));
        field(&mut line, "service", Some(bare_or_quoted(&self.service)));
        field(
            &mut line,
            "rhost",
            self.rhost.as_deref().map(bare_or_quoted),
        );
        field(&mut line, "tty", self.tty.as_deref().map(bare_or_quoted));
        field(
            &mut line,
            "device",
            self.device.map(|device| device.short()),
        );
        field(&mut line, "method", entry.method);
        field(
            &mut line,
            "app",
            entry.app.map(|app| quoted(app, MAX_VALUE)),
        );
        field(
            &mut line,
            "try",
            entry.attempt.map(|attempt| attempt.to_string()),
        );
        let _ = write!(line, " login={} seq={}", self.login, self.lines);
        explanation(&mut line, entry.reason, entry.detail);
        line
    }

    /// The line that existing filters (fail2ban's among them) read: no field that could mislead them.
    pub fn log_classic(&self, to: &mut dyn AuditLog) {
        let plain = |text: Option<&String>| {
            text.filter(|text| is_bare(text))
                .map_or(String::new(), |text| cut(text, MAX_VALUE).to_owned())
        };
        let mut line = format!(
            "authentication failure; logname= uid={} euid={} tty={} ruser={} rhost={}",
            self.caller.uid,
            self.caller.euid,
            plain(self.tty.as_ref()),
            plain(self.remote_user.as_ref()),
            plain(self.rhost.as_ref()),
        );
        let is_plain_name = |name: &&String| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if let Some(name) = self
            .user
            .as_ref()
            .filter(|_| self.is_known)
            .filter(is_plain_name)
        {
            let _ = write!(line, " user={}", cut(name, MAX_VALUE));
        }
        to.write(Severity::Notice, &line);
    }
}

/// The line of something that an administrator did.
#[must_use]
pub fn admin_line(event: Event, user: Option<&str>, actor: &str, entry: &Entry<'_>) -> String {
    let mut line = head(event);
    field(&mut line, "user", user.map(|user| quoted(user, MAX_VALUE)));
    field(&mut line, "actor", Some(quoted(actor, MAX_VALUE)));
    field(
        &mut line,
        "app",
        entry.app.map(|app| quoted(app, MAX_VALUE)),
    );
    explanation(&mut line, entry.reason, entry.detail);
    line
}

/// The line of something that happened to a message after its login had ended, or never had one.
#[must_use]
pub fn courier_line(
    event: Event,
    user: Option<&str>,
    method: Option<&str>,
    login: Option<&str>,
    reason: &str,
    detail: &str,
) -> String {
    let mut line = head(event);
    field(&mut line, "user", user.map(|user| quoted(user, MAX_VALUE)));
    field(&mut line, "method", method.map(bare_or_quoted));
    field(&mut line, "login", login.map(bare_or_quoted));
    explanation(&mut line, Some(reason), Some(detail));
    line
}

/// The line of a module argument that nobody knows.
#[must_use]
pub fn unknown_argument_line(argument: &str) -> String {
    format!(
        "mfa: unknown argument {} is ignored; known are conf=PATH debug nullok audit passphrase",
        quoted(argument, MAX_VALUE)
    )
}

/// The line of a call of a hook, with the argument `debug`.
#[must_use]
pub fn debug_line(hook: &str, conf: &str, code: &str) -> String {
    let conf = quoted(conf, MAX_DETAIL);
    format!("mfa: debug hook={hook} conf={conf} code={code}")
}

fn head(event: Event) -> String {
    let outcome = match event.outcome() {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Info => "info",
    };
    format!(
        "mfa v=1 id=MFA-{} event={} outcome={outcome}",
        event.id(),
        event.name()
    )
}

#[allow(clippy::needless_pass_by_value)] // callers have made the value for this
fn field(line: &mut String, name: &str, value: Option<impl AsRef<str>>) {
    let value = value.as_ref().map_or("-", AsRef::as_ref);
    for part in [" ", name, "=", value] {
        line.push_str(part);
    }
}

fn explanation(line: &mut String, reason: Option<&str>, detail: Option<&str>) {
    for (name, text, max) in [
        ("reason", reason, MAX_VALUE),
        ("detail", detail, MAX_DETAIL),
    ] {
        if let Some(text) = text {
            let _ = write!(line, " {name}={}", quoted(text, max));
        }
    }
}

fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:/%-".contains(&byte))
}

fn bare_or_quoted(text: &str) -> String {
    if is_bare(text) {
        cut(text, MAX_VALUE).to_owned()
    } else {
        quoted(text, MAX_VALUE)
    }
}

fn cut(text: &str, max: usize) -> &str {
    text.char_indices()
        .nth(max)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

/// In quotes, with everything escaped that a reader of logs could stumble over, cut at `max` characters
/// of what is written, never within an escape.
fn quoted(text: &str, max: usize) -> String {
    let mut value = String::with_capacity(text.len().min(max) + 2);
    value.push('"');
    let mut length = 0;
    for c in text.chars() {
        let plain = matches!(c, ' '..='~') && c != '"' && c != '\\';
        let escape = if plain {
            String::new()
        } else {
            c.escape_unicode().to_string()
        };
        length += if plain { 1 } else { escape.len() };
        if length > max {
            break;
        }
        if plain {
            value.push(c);
        } else {
            value.push_str(&escape);
        }
    }
    value.push('"');
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Account, Caller, RemoteHost, UserName};

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl AuditLog for Lines {
        fn write(&mut self, _: Severity, line: &str) {
            self.0.push(line.to_owned());
        }
    }

    fn request() -> LoginRequest {
        LoginRequest {
            asked_name: "alice".to_owned(),
            account: Some(Account {
                name: UserName::parse("alice").unwrap(),
                uid: 1000,
            }),
            service: "sshd".to_owned(),
            remote_host: RemoteHost::parse("203.0.113.7"),
            tty: Some("ssh".to_owned()),
            remote_user: None,
            nullok: false,
            passphrase: false,
            log_unknown_names: false,
            caller: Caller { uid: 0, euid: 0 },
        }
    }

    fn trail(request: &LoginRequest) -> AuditTrail {
        let mut trail = AuditTrail::new(request, "9f2c41d07be1".to_owned(), 2);
        trail.on_device(DeviceId::parse("1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31").unwrap());
        trail
    }

    fn lines(trail: &mut AuditTrail, event: Event, entry: &Entry<'_>) -> Vec<String> {
        let mut lines = Lines::default();
        trail.log(&mut lines, event, entry);
        trail.log_classic(&mut lines);
        lines.0
    }

    #[test]
    fn a_line_is_the_one_of_the_design() {
        let mut trail = trail(&request());
        trail.user_is_known();
        let entry = Entry {
            method: Some("app"),
            app: Some("phone"),
            attempt: Some(2),
            ..Entry::default()
        };
        assert_eq!(
            lines(&mut trail, Event::BadCode, &entry),
            [
                "mfa v=1 id=MFA-2101 event=bad_code outcome=failure user=\"alice\" uid=1000 service=sshd \
                 rhost=203.0.113.7 tty=ssh device=1b9d6bcd method=app app=\"phone\" try=2 login=9f2c41d07be1 seq=3",
                "authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7 user=alice",
            ]
        );
    }

    #[test]
    fn a_user_whom_nobody_knows_is_not_named_unless_asked_for() {
        let mut unknown = trail(&request());
        let written = lines(&mut unknown, Event::UnknownUser, &Entry::default());
        assert!(written[0].contains(" user=\"?\" uid=- "), "{}", written[0]);
        assert!(!written[1].contains("user=alice"));
        let mut named = trail(&LoginRequest {
            log_unknown_names: true,
            ..request()
        });
        assert!(
            lines(&mut named, Event::UnknownUser, &Entry::default())[0]
                .contains(" user=\"alice\" uid=- ")
        );
    }

    #[test]
    fn the_first_failure_is_remembered() {
        let mut trail = trail(&request());
        for (event, remembered) in [
            (Event::Challenge, None),
            (Event::BadCode, Some(Event::BadCode)),
            (Event::BecameLocked, Some(Event::BadCode)),
        ] {
            lines(&mut trail, event, &Entry::default());
            assert_eq!(trail.first_failure(), remembered);
        }
    }

    #[test]
    fn text_from_outside_can_neither_end_a_line_nor_a_value() {
        let hostile = "x\" id=MFA-2001\n\r\u{1b}[31mfrom 192.0.2.1 é\\";
        let request = LoginRequest {
            asked_name: hostile.to_owned(),
            account: None,
            service: hostile.to_owned(),
            remote_host: RemoteHost::parse(hostile),
            tty: Some(hostile.to_owned()),
            remote_user: Some(hostile.to_owned()),
            log_unknown_names: true,
            ..request()
        };
        let entry = Entry {
            app: Some(hostile),
            reason: Some(hostile),
            detail: Some(hostile),
            ..Entry::default()
        };
        for line in lines(&mut trail(&request), Event::BadCode, &entry) {
            assert!(
                line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{line}"
            );
            assert_eq!(line.matches('"').count() % 2, 0);
            assert!(!line.contains("\" id=MFA-2001"));
            assert!(
                !line.starts_with("auth") || !line.contains("192.0.2.1"),
                "{line}"
            );
        }
    }

    #[test]
    fn no_line_is_longer_than_900_bytes_and_no_escape_is_cut() {
        for text in [
            "x".repeat(5000),
            "\u{10ffff}".repeat(5000),
            "a/".repeat(5000),
            "\n".repeat(70),
        ] {
            let request = LoginRequest {
                asked_name: text.clone(),
                service: text.clone(),
                remote_host: RemoteHost::parse(&text),
                tty: Some(text.clone()),
                remote_user: Some(text.clone()),
                log_unknown_names: true,
                ..request()
            };
            let mut trail = trail(&request);
            trail.lines = u32::MAX;
            let entry = Entry {
                method: Some("telegram"),
                app: Some(&text),
                attempt: Some(10),
                reason: Some(&text),
                detail: Some(&text),
            };
            for event in Event::ALL {
                for line in lines(&mut trail, *event, &entry) {
                    assert!(line.len() <= 900, "{} bytes", line.len());
                    assert_eq!(line.matches("\\u{").count(), line.matches('}').count());
                }
            }
        }
    }

    #[test]
    fn no_number_and_no_name_stands_twice() {
        for (place, event) in Event::ALL.iter().enumerate() {
            for other in &Event::ALL[..place] {
                assert_ne!((event.id(), event.name()), (other.id(), other.name()));
                assert!(other.id() < event.id());
            }
        }
    }
}
