//! `user show` and `user list`.

use std::fmt::Write;
use std::time::Duration;

use mfa_core::bypass::Standing;
use mfa_core::clock::rfc3339;
use mfa_core::config::Config;
use mfa_core::courier::Channels;
use mfa_core::device::{AssignedDevice, DeviceId};
use mfa_core::record::UserRecord;
use mfa_core::state::LoginState;
use mfa_core::store::{Store, Subject};
use mfa_core::throttle::{self, Limits, Verdict};
use serde_json::{Value, json};

use crate::context::{Context, House, this_device};
use crate::error::Failure;
use crate::output::{Reply, cut, shown, table, wrap};
use crate::record_view::{self, duration, methods, moment};
use crate::recovery::Remaining;
use crate::token;

/// How many failures stand against a user, and whether they are too many now.
fn standing(context: &Context<'_>, house: &House, state: &LoginState) -> (LoginState, Verdict) {
    let mut state = state.clone();
    state.advance(&context.now());
    let verdict = throttle::admit(&state.codes, state.now(), &Limits::from(&house.config));
    (state, verdict)
}

/// `user show`.
pub(super) fn show(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let here = this_device(&house.config).ok();
    let view = match house.store.state(&user) {
        Ok(view) => view,
        Err(error) => {
            context.output.warn(&Failure::from(error).message);
            None
        }
    };
    let state = view.map(|view| standing(context, &house, &view.state));
    let codes = state
        .as_ref()
        .map(|(state, _)| SentCodes::of(state, &house.config, context.unix_seconds()));
    let recovery = record.recovery.as_ref().zip(state.as_ref());
    let recovery = recovery.map(|(set, (state, _))| Remaining::in_state(state, set, &house.config));
    let mut document = json!({ "user": record_view::record(&record, here) });
    if let Some(keys) = document.as_object_mut() {
        let known = state.as_ref().map(|(state, _)| state);
        if let Some(user) = keys.get_mut("user").and_then(Value::as_object_mut) {
            user.insert("apps".to_owned(), record_view::apps(&record, known));
            user.insert("tokens".to_owned(), token::documents(&record, known));
        }
        let bypass = record.bypass.as_ref();
        let view = bypass.map(|open| crate::bypass::view(open, known, context.unix_seconds()));
        keys.insert("bypass".to_owned(), json!(view));
        let state = state_document(state.as_ref(), codes.as_ref(), recovery.as_ref());
        keys.insert("state".to_owned(), state);
    }
    let mut lines = record_lines(
        &record,
        here,
        (state.as_ref(), recovery.as_ref()),
        (&house.config, context.unix_seconds()),
    );
    if let Some(codes) = codes.filter(|codes| codes.are_of_interest(&house.config)) {
        lines.push("Codes sent", &codes.text());
    }
    Ok(Reply::answer(document, lines.lines.join("\n")))
}

/// Codes that were sent to a user, as far as the state remembers them.
struct SentCodes {
    count: u32,
    max: u32,
    /// Until no code counts any more.
    left: Option<Duration>,
    outstanding: Option<OutstandingCode>,
}

/// The last code that was sent, and not used.
struct OutstandingCode {
    method: &'static str,
    /// Seconds since the Unix epoch.
    at: u64,
    good_until: u64,
    is_good: bool,
}

impl SentCodes {
    fn of(state: &LoginState, config: &Config, now: u64) -> Self {
        let since = |at: u64| Duration::from_millis(state.now().saturating_sub(at));
        let left = state
            .sends
            .window_opened
            .and_then(|opened| config.code.sends_within.get().checked_sub(since(opened)))
            .filter(|left| !left.is_zero());
        let lifetime = config.code.lifetime.get();
        let outstanding = state.sent.as_ref().map(|sent| {
            let at = now.saturating_sub(since(sent.at).as_secs());
            OutstandingCode {
                method: sent.method.as_str(),
                at,
                good_until: at.saturating_add(lifetime.as_secs()),
                is_good: since(sent.at) < lifetime,
            }
        });
        Self {
            count: left.map_or(0, |_| state.sends.in_window),
            max: config.code.max_sends.get(),
            left,
            outstanding,
        }
    }

    /// Where nothing is sent and nothing was, there is nothing to be said.
    fn are_of_interest(&self, config: &Config) -> bool {
        self.count > 0 || self.outstanding.is_some() || Channels::of(config).any()
    }

    fn text(&self) -> String {
        let mut text = format!("{} of {}", self.count, self.max);
        if let Some(left) = self.left {
            let _ = write!(text, ", counted for {} yet", duration(left));
        }
        if let Some(code) = &self.outstanding {
            let (at, until) = (moment(&rfc3339(code.at)), moment(&rfc3339(code.good_until)));
            let verb = if code.is_good { "is" } else { "was" };
            let method = code.method;
            let _ = write!(
                text,
                "; the last by {method}, {at}, unused, {verb} good until {until}"
            );
        }
        text
    }

    fn document(&self) -> Value {
        json!({
            "count": self.count,
            "max": self.max,
            "seconds_left": self.left.map(|left| left.as_secs()),
            "outstanding": self.outstanding.as_ref().map(|code| json!({
                "method": code.method,
                "at": rfc3339(code.at),
                "good_until": rfc3339(code.good_until),
                "is_good": code.is_good,
            })),
        })
    }
}

fn state_document(
    state: Option<&(LoginState, Verdict)>,
    codes: Option<&SentCodes>,
    recovery: Option<&Remaining>,
) -> Value {
    let Some((state, verdict)) = state else {
        return Value::Null;
    };
    let (standing, left) = record_view::standing(*verdict);
    json!({
        "standing": standing,
        "seconds_left": left.map(|left| left.as_secs()),
        "failures_in_row": state.codes.in_row,
        "recovery": recovery.map(Remaining::document),
        "codes_sent": codes.map(SentCodes::document),
        "last_success": state.last_success.as_ref().map(|last| json!({
            "at": rfc3339(last.at),
            "from": last.from,
        })),
    })
}

fn status(record: &UserRecord) -> &'static str {
    if !record.suspended.is_empty() {
        "suspended"
    } else if record.approved {
        "approved"
    } else {
        "not approved"
    }
}

/// The lines of `user show`, each after its name.
#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    last_name: &'static str,
}

impl Lines {
    /// A line; a name that is the same as above is not said again.
    fn push(&mut self, name: &'static str, text: &str) {
        let shown_name = if name == self.last_name {
            String::new()
        } else {
            format!("{name}:")
        };
        self.last_name = name;
        let first = format!("{shown_name:<14}");
        self.lines.push(wrap(&first, "              ", text));
    }
}

fn record_lines(
    record: &UserRecord,
    here: Option<DeviceId>,
    (state, recovery): (Option<&(LoginState, Verdict)>, Option<&Remaining>),
    (config, now): (&Config, u64),
) -> Lines {
    let mut lines = Lines::default();
    lines.push("User", &shown(record.user.as_str()));
    if record.suspended.is_empty() {
        lines.push("Status", status(record));
    } else {
        lines.push(
            "Status",
            &format!("suspended: {}", shown(&record.suspended)),
        );
    }
    lines.push("Methods", &methods(&record.methods));
    if let Some(address) = &record.email {
        lines.push("E-mail", address.get());
    }
    if let Some(id) = record.telegram {
        lines.push("Telegram", &id.to_string());
    }
    push_devices(&mut lines, record, here, config);
    push_apps(&mut lines, record, state.map(|(state, _)| state));
    push_tokens(&mut lines, record, state.map(|(state, _)| state));
    lines.push("Recovery", &recovery_line(record, recovery));
    if let Some(kept) = &record.passphrase {
        lines.push("Passphrase", &crate::passphrase::line(kept, config));
    }
    if let Some(bypass) = &record.bypass {
        lines.push("Bypass", &crate::bypass::words(bypass, now));
    }
    push_logins(&mut lines, state);
    lines
}

fn push_devices(lines: &mut Lines, record: &UserRecord, here: Option<DeviceId>, config: &Config) {
    for device in &record.devices {
        let id = match device.id {
            AssignedDevice::Any => "any host".to_owned(),
            AssignedDevice::One(id) => id.to_string(),
        };
        let is_here = here.is_some_and(|here| device.id == AssignedDevice::One(here));
        let mark = if is_here { " (this host)" } else { "" };
        lines.push(
            "Hosts",
            &format!("{}: {id}{mark}", shown(device.label.get())),
        );
    }
    if !config.device.required {
        lines.push("Hosts", "not looked at: [device] required = false");
    } else if record.devices.is_empty() {
        lines.push("Hosts", "none: may log in nowhere");
    } else if here.is_some_and(|here| !record.is_assigned_to(here)) {
        lines.push("Hosts", "not assigned to this host");
    }
}

fn push_apps(lines: &mut Lines, record: &UserRecord, state: Option<&LoginState>) {
    for app in &record.apps {
        let last = state.and_then(|state| record_view::last_used(app, state));
        let used = last.map_or("never used".to_owned(), |at| {
            format!("last used {}", moment(&at))
        });
        let label = shown(app.label.get());
        let (hash, digits, period) = (app.algorithm.as_str(), &app.digits, &app.period);
        let standing = if app.disabled { ", disabled" } else { "" };
        lines.push(
            "Apps",
            &format!("{label}: {hash}, {digits} digits, {period} s, {used}{standing}"),
        );
    }
    if record.apps.is_empty() && record.tokens.is_empty() {
        lines.push("Apps", "none; `mfa-admin app enroll` makes one");
    }
}

fn push_tokens(lines: &mut Lines, record: &UserRecord, state: Option<&LoginState>) {
    for token in &record.tokens {
        let last = record_view::token_last_used(token, state);
        let used = last.map_or("never used".to_owned(), |at| {
            format!("last used {}", moment(&at))
        });
        let label = shown(token.label.get());
        let standing = token::standing(token, state).words();
        lines.push(
            "Tokens",
            &format!("{label}: {} digits, {used}, {standing}", token.digits),
        );
    }
}

fn recovery_line(record: &UserRecord, remaining: Option<&Remaining>) -> String {
    match (&record.recovery, remaining) {
        (None, _) => format!(
            "no codes; `mfa-admin recovery generate {}` makes some",
            shown(record.user.as_str())
        ),
        (Some(_), Some(remaining)) => remaining.text(record),
        (Some(set), None) => {
            let count = set.hashes.len();
            format!(
                "{count} codes were made; without a login state nobody knows what is left, and none lets in"
            )
        }
    }
}

fn push_logins(lines: &mut Lines, state: Option<&(LoginState, Verdict)>) {
    let Some((state, verdict)) = state else {
        return lines.push("Failures", "no login state");
    };
    let failures = format!(
        "{} in a row{}",
        state.codes.in_row,
        record_view::verdict_words(*verdict)
    );
    lines.push("Failures", &failures);
    let last = match &state.last_success {
        None => "never".to_owned(),
        Some(last) if last.from.is_empty() => {
            format!("{}, at the machine itself", moment(&rfc3339(last.at)))
        }
        Some(last) => format!("{}, from {}", moment(&rfc3339(last.at)), shown(&last.from)),
    };
    lines.push("Last success", &last);
}

/// `user list`.
pub(super) fn list(context: &Context<'_>) -> Result<Reply, Failure> {
    let house = context.open()?;
    let here = this_device(&house.config).ok();
    let mut documents = Vec::new();
    let mut rows = Vec::new();
    let mut is_whole = true;
    for user in house.store.users()? {
        match house.store.record(Subject::User(&user)) {
            Ok(Some(record)) => {
                rows.push(row(&record, here, context.unix_seconds()));
                documents.push(record_view::record(&record, here));
            }
            // Removed since the folder was read.
            Ok(None) => {}
            Err(error) => {
                is_whole = false;
                context.output.warn(&error.to_string());
                documents.push(json!({ "user": user.as_str(), "error": error.to_string() }));
                rows.push(vec![
                    cut(&shown(user.as_str()), 22),
                    "unreadable".to_owned(),
                ]);
            }
        }
    }
    let text = if rows.is_empty() {
        "No users yet. Next: mfa-admin user add NAME".to_owned()
    } else {
        table(&HEADINGS, &rows)
    };
    let reply = Reply::answer(json!({ "users": documents }), text);
    Ok(if is_whole { reply } else { reply.exiting(4) })
}

const HEADINGS: [&str; 7] = [
    "USER", "STATUS", "METHODS", "APPS", "TOKENS", "HOSTS", "HERE",
];

/// One line of the list: 22 + 12 + 15 + 4 + 6 + 5 + 4 characters at most, and six gaps of 2.
fn row(record: &UserRecord, here: Option<DeviceId>, now: u64) -> Vec<String> {
    let is_any = record
        .devices
        .iter()
        .any(|device| device.id == AssignedDevice::Any);
    let hosts = if is_any {
        "any".to_owned()
    } else {
        record.devices.len().to_string()
    };
    let is_here = match here {
        Some(here) if record.is_assigned_to(here) => "yes",
        Some(_) => "no",
        None => "?",
    };
    let bypass = record.bypass.as_ref().map(|bypass| bypass.standing(now));
    let status = match (status(record), bypass) {
        // Who is let in without a code is to be seen.
        ("approved", Some(Standing::Open(_))) => "bypass",
        (status, _) => status,
    };
    vec![
        cut(&shown(record.user.as_str()), 22),
        status.to_owned(),
        cut(&methods(&record.methods).replace(", ", ","), 15),
        record.apps.len().to_string(),
        record.tokens.len().to_string(),
        hosts,
        is_here.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_core::record::Method;
    use mfa_core::request::UserName;

    #[test]
    fn a_row_of_the_list_fits_80_columns_at_its_widest() {
        let mut record = UserRecord::new(UserName::parse(&"x".repeat(100)).unwrap());
        record.approved = false;
        record.methods = vec![
            Method::App,
            Method::Email,
            Method::Telegram,
            Method::Command,
        ];
        let text = table(
            &HEADINGS,
            &[row(&record, DeviceId::parse(&"1".repeat(32)), 0)],
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}
