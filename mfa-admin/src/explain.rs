//! `explain`: what would happen at a login, step by step, and why. Nothing is decided here: `policy` and
//! `throttle` are asked what they would say.

use std::time::Duration;

use mfa_core::clock::rfc3339;
use mfa_core::config::{Config, First};
use mfa_core::courier::Channels;
use mfa_core::device::DeviceId;
use mfa_core::emergency;
use mfa_core::host;
use mfa_core::hotp::Hotp;
use mfa_core::login;
use mfa_core::otp::Authenticator;
use mfa_core::policy::{self, AccountDecision, Decision, DenyReason, SkipReason};
use mfa_core::record::{Method, UserRecord};
use mfa_core::request::{Account, LoginRequest, RemoteHost, UserName, find_account};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::Owner;
use mfa_core::state::LoginState;
use mfa_core::store::{FileStore, Store, StoreError, Subject};
use mfa_core::throttle::{self, Limits, Verdict};
use serde_json::{Value, json};

use crate::cli::ExplainArgs;
use crate::context::{Context, require_root};
use crate::emergency::never_asked;
use crate::error::Failure;
use crate::output::{Reply, capitalized, quoted, shown, wrap};
use crate::record_view::{duration, methods, moment};
use crate::recovery::Remaining;
use crate::token::{self, Standing};

/// Stands for the reference, which is another one each time.
const REFERENCE: &str = "K7QM";

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing stands in the way.
    Ok,
    /// Good to know.
    Note,
    /// This is where it ends.
    Stop,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Stop => "stop",
        }
    }
}

struct Step {
    id: &'static str,
    outcome: Outcome,
    message: String,
}

/// What a login would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prediction {
    /// A code is asked for, and a right one lets in.
    Challenge,
    /// Let by without a code.
    Skip,
    /// A code is asked for, and none lets in.
    Deny,
    /// Something that has to be there is missing or damaged.
    Unavailable,
}

impl Prediction {
    fn word(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Skip => "skip",
            Self::Deny => "deny",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The walk through one login.
#[derive(Default)]
struct Walk {
    steps: Vec<Step>,
    /// What the walk came to first, and why, in a word.
    end: Option<(Prediction, &'static str)>,
    /// The account phase, and why.
    account: Option<(&'static str, &'static str)>,
    /// What counts, where a code is asked for.
    methods: Vec<Method>,
    /// A recovery code lets in, whatever stands against other codes.
    is_recoverable: bool,
}

impl Walk {
    fn ok(&mut self, id: &'static str, message: impl Into<String>) {
        self.steps.push(Step {
            id,
            outcome: Outcome::Ok,
            message: message.into(),
        });
    }

    fn note(&mut self, id: &'static str, message: impl Into<String>) {
        self.steps.push(Step {
            id,
            outcome: Outcome::Note,
            message: message.into(),
        });
    }

    fn stop(
        &mut self,
        id: &'static str,
        prediction: Prediction,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.steps.push(Step {
            id,
            outcome: Outcome::Stop,
            message: message.into(),
        });
        self.end.get_or_insert((prediction, reason));
    }

    /// Failures with codes of an app and those that are sent. Recovery codes have a count of their own.
    fn hold(&mut self, reason: &'static str, message: String) {
        if self.end.is_none() && self.methods.is_empty() {
            self.note("failures", message);
        } else {
            self.stop("failures", Prediction::Deny, reason, message);
        }
    }

    /// Takes what is there; what is not there ends the walk.
    fn need<T, E: Into<Failure>>(
        &mut self,
        id: &'static str,
        reason: &'static str,
        found: Result<T, E>,
    ) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(error) => {
                let failure: Failure = error.into();
                let message = format!("{}. {}", failure.message, capitalized(&failure.hint));
                self.stop(id, Prediction::Unavailable, reason, message);
                None
            }
        }
    }
}

/// What a login needs of this host.
struct Ground {
    config: Config,
    device: DeviceId,
    store: FileStore,
    key: SealingKey,
}

/// Runs the verb.
pub(crate) fn run(context: &Context<'_>, arguments: &ExplainArgs) -> Result<Reply, Failure> {
    require_root()?;
    let mut walk = Walk::default();
    let account = find(&mut walk, &arguments.name);
    // What the name service can't answer ends a login before anything is read.
    let is_known = walk.end.is_none();
    if is_known && let Some(ground) = ground(context, arguments, &mut walk) {
        let request = request(arguments, account.clone());
        walk_login(context, &ground, &request, &mut walk);
    }
    if is_known {
        note_emergency(context, arguments, &mut walk);
    }
    let by = walk.methods.first().map_or("recovery", |by| by.as_str());
    let (prediction, reason) = walk.end.unwrap_or((Prediction::Challenge, by));
    let name = account.map_or_else(
        || arguments.name.clone(),
        |account| account.name.to_string(),
    );
    let document = json!({
        "user": name,
        "service": arguments.service,
        "from": arguments.from,
        "decision": prediction.word(),
        "reason": reason,
        "recovery": walk.is_recoverable,
        "account": walk.account.map_or(Value::Null, |(decision, reason)| {
            json!({ "decision": decision, "reason": reason })
        }),
        "steps": walk
            .steps
            .iter()
            .map(|step| json!({
                "id": step.id,
                "outcome": step.outcome.word(),
                "message": step.message,
            }))
            .collect::<Vec<_>>(),
    });
    Ok(Reply::answer(
        document,
        text(arguments, &name, &walk, prediction, reason),
    ))
}

/// Where this host can check nobody: whether there is another way in.
fn note_emergency(context: &Context<'_>, arguments: &ExplainArgs, walk: &mut Walk) {
    let is_unusable = matches!(walk.end, Some((Prediction::Unavailable, _)));
    if !is_unusable || arguments.from.is_some() {
        return;
    }
    let path = context.config().map_or_else(
        |_| emergency::beside(&context.config_path),
        |config| config.paths.emergency.as_path().to_owned(),
    );
    let message = match emergency::read(&path, Owner::ROOT) {
        Ok(Some(file)) if file.code().is_some() && file.used.is_none() => {
            let service = &arguments.service;
            let services = file.services.contains(service) && never_asked(service).is_none();
            let users = file.users.contains(&arguments.name);
            if services && users {
                format!(
                    "at {}, the emergency code is asked for, and lets in",
                    shown(&file.ttys.join(", "))
                )
            } else {
                format!(
                    "the emergency code lets in {} through {}, at the machine itself",
                    shown(&file.users.join(", ")),
                    shown(&file.services.join(", "))
                )
            }
        }
        Ok(_) => "there is no emergency code that is good".to_owned(),
        Err(error) => error.to_string(),
    };
    walk.note("console", message);
}

fn text(
    arguments: &ExplainArgs,
    name: &str,
    walk: &Walk,
    prediction: Prediction,
    reason: &str,
) -> String {
    let from = arguments
        .from
        .as_ref()
        .map_or(String::new(), |from| format!(" from {}", shown(from)));
    let head = format!(
        "A login of {} through {}{from}:",
        shown(name),
        shown(&arguments.service)
    );
    let mut lines = vec![wrap("", "", &head)];
    for step in &walk.steps {
        lines.push(wrap(
            &format!("  {:<6}{:<9}", step.outcome.word(), step.id),
            "                 ",
            &step.message,
        ));
    }
    let result = match prediction {
        Prediction::Challenge => "a code is asked for, and a right one lets in.".to_owned(),
        Prediction::Skip => format!("let in without a code ({reason})."),
        Prediction::Deny | Prediction::Unavailable if walk.is_recoverable => {
            format!("refused ({reason}), except with a recovery code.")
        }
        Prediction::Deny => {
            format!("refused ({reason}). The person sees the usual prompt, and no code is right.")
        }
        Prediction::Unavailable => format!("refused ({reason}): PAM_AUTHINFO_UNAVAIL."),
    };
    lines.push(wrap("Result: ", "        ", &result));
    if let Some((decision, reason)) = walk.account {
        let words = match decision {
            "accept" => {
                "accepted, which is all that a login with a public key comes through.".to_owned()
            }
            "skip" => format!("no opinion ({reason})."),
            _ => format!("refused ({reason}), so a public key does not let in either."),
        };
        lines.push(wrap("Account: ", "         ", &words));
    }
    lines.join("\n")
}

fn find(walk: &mut Walk, name: &str) -> Option<Account> {
    match find_account(name) {
        Ok(Some(account)) => {
            let message = if account.name.as_str() == name {
                format!(
                    "{} is an account of this host, uid {}",
                    shown(name),
                    account.uid
                )
            } else {
                format!(
                    "{} is the account {}, uid {}",
                    shown(name),
                    shown(account.name.as_str()),
                    account.uid
                )
            };
            walk.ok("name", message);
            Some(account)
        }
        Ok(None) => {
            // What follows from it is for `policy` to say.
            walk.note(
                "name",
                format!("{} is no account of this host (getent passwd)", shown(name)),
            );
            None
        }
        Err(errno) => {
            let message = format!("the name service can't answer: {}", errno.desc());
            walk.stop("name", Prediction::Unavailable, "nss_unusable", message);
            None
        }
    }
}

fn ground(context: &Context<'_>, arguments: &ExplainArgs, walk: &mut Walk) -> Option<Ground> {
    let path = context.config_path.display();
    let config = walk.need(
        "config",
        "config_unusable",
        host::load_config(&context.config_path, Owner::ROOT),
    )?;
    walk.ok("config", path.to_string());
    let own = DeviceId::read(config.paths.machine_id.as_path(), Owner::ROOT);
    let device = if let Some(device) = arguments.device {
        walk.ok("host", format!("as if on {device}"));
        device
    } else {
        let device = walk.need("host", "device_unusable", own)?;
        walk.ok("host", format!("this one, {device}"));
        device
    };
    let store = FileStore::open(
        config.paths.store.as_path(),
        Owner::ROOT,
        &config.ignore_unknown,
    );
    let store = walk.need("store", "store_unusable", store.map_err(StoreError::from))?;
    walk.need(
        "store",
        "store_unusable",
        store.check_writable().map_err(StoreError::from),
    )?;
    walk.ok("store", config.paths.store.to_string());
    let key = walk.need(
        "key",
        "store_unusable",
        host::load_key(&config, Owner::ROOT),
    )?;
    walk.ok(
        "key",
        format!("{} (key {})", host::KeyPlace::of(&config), key.id()),
    );
    Some(Ground {
        config,
        device,
        store,
        key,
    })
}

fn request(arguments: &ExplainArgs, account: Option<Account>) -> LoginRequest {
    LoginRequest {
        remote_host: arguments.from.as_deref().and_then(RemoteHost::parse),
        ..LoginRequest::asked_by_root(&arguments.name, account, &arguments.service)
    }
}

fn walk_login(context: &Context<'_>, ground: &Ground, request: &LoginRequest, walk: &mut Walk) {
    let Ground {
        config,
        device,
        store,
        ..
    } = ground;
    let record = match request.user() {
        None => None,
        Some(user) => match walk.need(
            "record",
            "store_unusable",
            store.record(Subject::User(user)),
        ) {
            Some(record) => record,
            None => return,
        },
    };
    if let Some(record) = &record {
        describe(config, *device, record, walk);
    }
    let channels = Channels::of(config);
    describe_prompt(config, channels, walk);
    let now = context.unix_seconds();
    if let Some(bypass) = record.as_ref().and_then(|record| record.bypass.as_ref()) {
        walk.note("bypass", crate::bypass::words(bypass, now));
    }
    match policy::decide(config, channels, request, record.as_ref(), *device, now) {
        Decision::Deny(reason) => {
            let (word, message) = denial(reason, request, record.as_ref(), channels);
            walk.stop("policy", Prediction::Deny, word, message);
        }
        // The second one with the argument `passphrase` alone, which is told apart.
        Decision::Skip(reason) | Decision::Passphrase(reason) => {
            let (word, message) = skip(reason);
            walk.stop("policy", Prediction::Skip, word, message);
        }
        Decision::Challenge(usable) => {
            let what = if usable.is_empty() {
                "a recovery code; nothing else counts here".to_owned()
            } else {
                format!("a code of: {}", methods(&usable))
            };
            walk.ok("policy", format!("asked for {what}"));
            walk.methods = usable;
        }
    }
    describe_passphrase(ground, request, (record.as_ref(), now), walk);
    let account = policy::decide_account(config, request, record.as_ref(), *device);
    walk.account = Some(match account {
        AccountDecision::Accept => ("accept", "approved"),
        AccountDecision::Skip(reason) => ("skip", skip(reason).0),
        AccountDecision::Deny(reason) => {
            ("deny", denial(reason, request, record.as_ref(), channels).0)
        }
    });
    if let (Some(record), Some(user)) = (&record, request.user()) {
        walk_state(context, ground, user, record, walk);
    }
    walk.note(
        "service",
        "without the module arguments nullok and passphrase; `mfa-admin doctor` says what the service's stack makes of it",
    );
}

/// What the module argument `passphrase` would change.
fn describe_passphrase(
    ground: &Ground,
    request: &LoginRequest,
    (record, now): (Option<&UserRecord>, u64),
    walk: &mut Walk,
) {
    let request = LoginRequest {
        passphrase: true,
        ..request.clone()
    };
    let config = &ground.config;
    let channels = Channels::of(config);
    let name = shown(&request.asked_name);
    let is_lost = record.is_some_and(|record| {
        let kept = record.passphrase.as_ref();
        kept.is_some_and(|kept| kept.is_of_another_key(&ground.key, &record.user))
    });
    let message = match policy::decide(config, channels, &request, record, ground.device, now) {
        Decision::Challenge(_) | Decision::Passphrase(_) if is_lost => format!(
            "has one that was hashed with another sealing key, so none is right: put the right seal.key back, or \
             `mfa-admin passphrase set {name}`"
        ),
        Decision::Challenge(_) => "has one: it is asked for before the code".to_owned(),
        Decision::Passphrase(_) => "has one: it alone is asked for, and lets in".to_owned(),
        Decision::Deny(DenyReason::NoPassphrase) => {
            format!("none: refused there; `mfa-admin passphrase set {name}` sets one")
        }
        Decision::Deny(_) | Decision::Skip(_) => "asked for, and refused there as well".to_owned(),
    };
    walk.note(
        "phrase",
        format!("where a service has `passphrase`: {message}"),
    );
}

/// What is asked, which does not depend on who logs in.
fn describe_prompt(config: &Config, channels: Channels, walk: &mut Walk) {
    let after_sending = login::prompt_after_sending(REFERENCE, true);
    let message = if !channels.any() {
        format!(
            "\"{}\"; nothing is delivered on this host",
            login::PROMPT.trim_end()
        )
    } else if config.code.max_sends.get() == 0 {
        format!(
            "\"{}\"; no codes are sent (code.max_sends = 0)",
            login::PROMPT.trim_end()
        )
    } else if config.prompt.first == First::Send {
        format!(
            "\"{}\", at once (prompt.first = \"send\")",
            after_sending.trim_end()
        )
    } else {
        format!(
            "\"{}\"; after Enter \"{}\"",
            login::PROMPT_BEFORE_SENDING.trim_end(),
            after_sending.trim_end()
        )
    };
    walk.ok("prompt", message);
}

/// Where codes can be sent to a user, how many more may be, and the one that was sent last.
fn walk_delivery(
    ground: &Ground,
    user: &UserName,
    record: &UserRecord,
    state: &LoginState,
    walk: &mut Walk,
) {
    let (config, channels) = (&ground.config, Channels::of(&ground.config));
    if !channels.any() || config.code.max_sends.get() == 0 {
        return;
    }
    let first = walk.methods.iter().copied().find(|m| m.is_sent());
    let enter = match first {
        Some(method) => format!("has a code sent by {}", method.as_str()),
        None => "has nothing sent, and looks as if it had".to_owned(),
    };
    walk.note("Enter", enter);
    for method in channels.methods() {
        let is_theirs = record.methods.contains(&method);
        let message = match record.address_for(method) {
            _ if !is_theirs => {
                "typed at the prompt: has nothing sent; it is no method of this user".to_owned()
            }
            None => "typed at the prompt: has nothing sent; there is no address".to_owned(),
            Some(to) => format!(
                "typed at the prompt: has a code sent{}",
                hidden(method, &to)
            ),
        };
        walk.note(method.as_str(), message);
    }
    if first.is_none() {
        return;
    }
    describe_sends(config, user, state, walk);
    describe_sent(config, state, walk);
}

/// How many codes may still be sent.
fn describe_sends(config: &Config, user: &UserName, state: &LoginState, walk: &mut Walk) {
    let (most, within) = (config.code.max_sends.get(), config.code.sends_within.get());
    let opened = state.sends.window_opened;
    let left = opened.and_then(|at| left_of(within, at, state.now()));
    let count = left.map_or(0, |_| state.sends.in_window);
    let message = match left {
        Some(left) if count >= most => format!(
            "none for {} yet: {count} were sent within {} (or until `mfa-admin user unlock {}`)",
            duration(left),
            duration(within),
            shown(user.as_str())
        ),
        _ => format!(
            "{} of {most} may be sent within {}",
            most.saturating_sub(count),
            duration(within)
        ),
    };
    walk.note("sends", message);
}

/// The code that was sent last.
fn describe_sent(config: &Config, state: &LoginState, walk: &mut Walk) {
    let Some(sent) = &state.sent else {
        return;
    };
    let by = sent.method.as_str();
    let message = match left_of(config.code.lifetime.get(), sent.at, state.now()) {
        Some(left) => format!(
            "a code sent by {by} is good for {} yet, for the address and service that it was asked from",
            duration(left)
        ),
        None => format!("the code that was sent by {by} has run out"),
    };
    walk.note("sent", message);
}

/// What is left of a length of time that began at `start`, both on the state's clock in milliseconds.
fn left_of(length: Duration, start: u64, now: u64) -> Option<Duration> {
    let passed = Duration::from_millis(now.saturating_sub(start));
    length.checked_sub(passed).filter(|left| !left.is_zero())
}

/// Enough of an address to know it again.
fn hidden(method: Method, to: &str) -> String {
    match method {
        Method::Email => {
            let (name, domain) = to.rsplit_once('@').unwrap_or((to, ""));
            let first: String = name.chars().take(1).collect();
            format!(" to {}", shown(&format!("{first}…@{domain}")))
        }
        Method::Telegram => {
            let length = to.chars().count();
            let end: String = to.chars().skip(length.saturating_sub(2)).collect();
            format!(" to …{}", shown(&end))
        }
        Method::App | Method::Command | Method::Token => String::new(),
    }
}

/// What the record says, before what follows from it.
fn describe(config: &Config, device: DeviceId, record: &UserRecord, walk: &mut Walk) {
    let standing = if !record.suspended.is_empty() {
        format!("suspended: {}", shown(&record.suspended))
    } else if record.approved {
        "approved".to_owned()
    } else {
        "not approved".to_owned()
    };
    let message = format!("{standing}; methods {}", methods(&record.methods));
    if record.suspended.is_empty() && record.approved {
        walk.ok("record", message);
    } else {
        walk.note("record", message);
    }
    let labels: Vec<String> = record
        .devices
        .iter()
        .filter(|assigned| assigned.id.includes(device))
        .map(|assigned| shown(assigned.label.get()))
        .collect();
    if !config.device.required {
        walk.ok("device", "not looked at ([device] required = false)");
    } else if labels.is_empty() {
        walk.note(
            "device",
            match record.devices.len() {
                0 => "assigned to no host".to_owned(),
                1 => "assigned to 1 host, and not to this one".to_owned(),
                count => format!("assigned to {count} hosts, and not to this one"),
            },
        );
    } else {
        walk.ok(
            "device",
            format!("assigned to this host, as {}", labels.join(", ")),
        );
    }
}

fn denial(
    reason: DenyReason,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    channels: Channels,
) -> (&'static str, String) {
    let name = shown(
        request
            .user()
            .map_or(request.asked_name.as_str(), UserName::as_str),
    );
    match reason {
        DenyReason::UnknownUser if request.account.is_none() => (
            "unknown_user",
            format!("{name} is no account here; see `getent passwd {name}`"),
        ),
        DenyReason::UnknownUser => (
            "unknown_user",
            format!("{name} has no record; `mfa-admin user add {name}` makes one"),
        ),
        DenyReason::Suspended => (
            "suspended",
            format!("suspended; `mfa-admin user resume {name}` lifts that"),
        ),
        DenyReason::NotApproved => (
            "not_approved",
            format!("not on the approved list; `mfa-admin user approve {name}` puts {name} there"),
        ),
        DenyReason::WrongDevice => (
            "wrong_device",
            format!(
                "not assigned to this host; `mfa-admin device assign {name} this`, run on it, does that"
            ),
        ),
        DenyReason::NoPassphrase => (
            "no_passphrase",
            format!("no passphrase; `mfa-admin passphrase set {name}` sets one"),
        ),
        DenyReason::NotEnrolled => {
            let methods = record.map_or(&[][..], |record| &record.methods);
            // What is there of a method that counts, and does not let in, is disabled.
            let has_disabled = record.is_some_and(|record| {
                methods.contains(&Method::App) && !record.apps.is_empty()
                    || methods.contains(&Method::Token) && !record.tokens.is_empty()
            });
            let hint = if has_disabled {
                format!(
                    "no app or token is in use; `mfa-admin user show {name}` shows which are disabled, `app enable` \
                     and `token enable` put them back"
                )
            } else if methods.contains(&Method::App) {
                format!("no app; `mfa-admin app enroll {name}` makes one")
            } else if methods.contains(&Method::Token) {
                format!("no token; `mfa-admin token add {name} --hotp` adds one")
            } else if methods.is_empty() {
                format!("no method counts; `mfa-admin user set {name} --methods app`")
            } else if methods.iter().any(|method| channels.has(*method)) {
                format!("no address to send a code to; see `mfa-admin user set {name} --help`")
            } else {
                format!(
                    "nothing is sent by {} on this host; set that up in mfa.toml, or \
                     `mfa-admin user set {name} --methods app`",
                    crate::record_view::methods(methods)
                )
            };
            ("not_enrolled", hint)
        }
    }
}

fn skip(reason: SkipReason) -> (&'static str, &'static str) {
    match reason {
        SkipReason::NoRecord => (
            "no_record",
            "no record, and [enrolment] without_record = \"skip\": not asked at all",
        ),
        SkipReason::NeverEnrolled => (
            "never_enrolled",
            "never enrolled, and [enrolment] without_record = \"skip\": not asked at all",
        ),
        SkipReason::Bypass => (
            "bypass",
            "a bypass is open: not asked at all; each such login is counted and logged (MFA-2005)",
        ),
        SkipReason::Service => ("service", "[account] skip_services names this service"),
    }
}

/// What a recovery code would come to.
fn walk_recovery(state: &LoginState, record: &UserRecord, config: &Config, walk: &mut Walk) {
    // Who is refused whatever is typed is refused with a recovery code as well.
    if walk.end.is_some() {
        return;
    }
    let Some(set) = &record.recovery else {
        return walk.note("recovery", "no recovery codes");
    };
    let remaining = Remaining::in_state(state, set, config);
    let text = remaining.text(record);
    if remaining.left > 0 && remaining.verdict == Verdict::Evaluate {
        walk.is_recoverable = true;
        if remaining.are_few() {
            walk.note("recovery", text);
        } else {
            walk.ok(
                "recovery",
                format!("{text}; each lets in once, also while other codes don't"),
            );
        }
    } else if walk.methods.is_empty() {
        let reason = match remaining.verdict {
            Verdict::Evaluate => "recovery_used_up",
            Verdict::Throttled(_) => "throttled",
            Verdict::Locked(_) => "locked",
            Verdict::Disabled => "disabled",
        };
        walk.stop("recovery", Prediction::Deny, reason, text);
    } else {
        walk.note("recovery", text);
    }
}

/// What stands against a right code: failures, the clock, secrets that don't open.
fn walk_state(
    context: &Context<'_>,
    ground: &Ground,
    user: &UserName,
    record: &UserRecord,
    walk: &mut Walk,
) {
    let Some(view) = walk.need("state", "store_unusable", ground.store.state(user)) else {
        return;
    };
    let mut state = view.map_or_else(|| LoginState::anew(Some(record)), |view| view.state);
    let now = context.now();
    state.advance(&now);
    let name = shown(user.as_str());
    walk_recovery(&state, record, &ground.config, walk);
    let count = state.codes.in_row;
    match throttle::admit(&state.codes, state.now(), &Limits::from(&ground.config)) {
        Verdict::Evaluate => walk.ok(
            "failures",
            format!("{count} in a row; an answer is looked at"),
        ),
        Verdict::Throttled(left) => {
            let message = format!(
                "too many in a short time; no answer is looked at for {} yet (or `mfa-admin user unlock {name}`)",
                duration(left)
            );
            walk.hold("throttled", message);
        }
        Verdict::Locked(left) => {
            let message = format!(
                "{count} in a row: locked for {} yet (or until `mfa-admin user unlock {name}`)",
                duration(left)
            );
            walk.hold("locked", message);
        }
        Verdict::Disabled => {
            let message =
                format!("{count} in a row: disabled until `mfa-admin user unlock {name}`");
            walk.hold("disabled", message);
        }
    }
    let seconds = now.unix_seconds();
    let behind = behind(&state, record, seconds, ground.config.app.window.get());
    let mut usable = walk_tokens(ground, record, &state, walk);
    for app in &record.apps {
        let label = shown(app.label.get());
        let window = ground.config.app.window.get();
        let opened = Authenticator::open(&ground.key, &record.user, app, window);
        if let Err(error) = opened {
            walk.note("app", format!("{label}: {error}"));
        } else if app.disabled {
            let message = format!(
                "{label}: disabled; `mfa-admin app enable {name} {}` puts it back in use",
                quoted(app.label.get())
            );
            walk.note("app", message);
        } else if let Some(at) = behind
            .iter()
            .find(|(late, _)| *late == app.id.get())
            .map(|(_, at)| at)
        {
            walk.note(
                "app",
                format!(
                    "{label}: its last code is from {}, after now ({})",
                    moment(at),
                    moment(&rfc3339(seconds))
                ),
            );
        } else {
            usable += usize::from(record.has_usable_app());
            walk.ok("app", format!("{label}: its secret opens with the key"));
        }
    }
    walk_delivery(ground, user, record, &state, walk);
    let is_sent_one = walk.methods.iter().any(|method| method.is_sent());
    let has_usable = record.has_usable_app() || record.has_usable_token();
    if usable == 0 && has_usable && is_sent_one {
        walk.note(
            "apps",
            "no code of an app or token is right; a code that is sent is",
        );
    } else if usable == 0 && has_usable {
        let is_lost = |token| token::standing(token, Some(&state)) == Standing::CounterUnknown;
        if behind.is_empty() && record.tokens.iter().any(is_lost) {
            let message = format!(
                "nobody knows where the tokens stand: `mfa-admin token resync {name}` with two codes of each"
            );
            walk.stop("tokens", Prediction::Deny, "counter_unknown", message);
        } else if behind.is_empty() {
            walk.stop(
                "apps",
                Prediction::Unavailable,
                "sealed_secret",
                "no secret opens: put the right seal.key back, or enrol again",
            );
        } else {
            let message = format!(
                "the clock is behind the last code: set it right, then `mfa-admin state set-clock {name}`"
            );
            walk.stop("clock", Prediction::Deny, "clock_rollback", message);
        }
    }
}

/// Where each token stands; how many of them can let in.
fn walk_tokens(ground: &Ground, record: &UserRecord, state: &LoginState, walk: &mut Walk) -> usize {
    let name = shown(record.user.as_str());
    let mut usable = 0;
    for entry in &record.tokens {
        let label = shown(entry.label.get());
        let word = quoted(entry.label.get());
        if let Err(error) = Hotp::open(&ground.key, &record.user, entry) {
            walk.note("token", format!("{label}: {error}"));
            continue;
        }
        let message = match token::standing(entry, Some(state)) {
            Standing::Disabled => {
                format!("disabled; `mfa-admin token enable {name} {word}` puts it back in use")
            }
            Standing::CounterUnknown | Standing::Unknown => format!(
                "nobody knows which of its codes were used; `mfa-admin token resync {name} {word}` takes two of them"
            ),
            Standing::OutOfStep => {
                usable += 1;
                format!(
                    "out of step: its last code was too far ahead; the following one lets in, or `mfa-admin token \
                     resync {name} {word}` takes two"
                )
            }
            Standing::InStep => {
                usable += 1;
                walk.ok(
                    "token",
                    format!("{label}: its secret opens with the key; in step"),
                );
                continue;
            }
        };
        walk.note("token", format!("{label}: {message}"));
    }
    if record.has_usable_token() { usable } else { 0 }
}

/// Apps whose last accepted step lies ahead of the clock, and when that is.
fn behind<'a>(
    state: &LoginState,
    record: &'a UserRecord,
    seconds: u64,
    window: u32,
) -> Vec<(&'a str, String)> {
    let late = state
        .steps
        .iter()
        .filter(|step| step.is_from_the_future(seconds, window));
    late.filter_map(|step| {
        let app = record.apps.iter().find(|app| app.id == step.app)?;
        let at = rfc3339(step.step.saturating_mul(u64::from(step.period)));
        Some((app.id.get().as_str(), at))
    })
    .collect()
}
