//! Records as people and programs see them: everything but what is sealed.

use std::time::Duration;

use mfa_core::clock::rfc3339;
use mfa_core::device::DeviceId;
use mfa_core::record::{App, Device, EmailAddress, Method, Recovery, Token, UserRecord};
use mfa_core::state::LoginState;
use mfa_core::throttle::Verdict;
use serde_json::{Map, Value, json};

/// A record with its own keys, without secrets and hashes.
pub(crate) fn record(record: &UserRecord, here: Option<DeviceId>) -> Value {
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
    put("user", json!(record.user.as_str()));
    put("approved", json!(record.approved));
    put("enrolled_once", json!(record.enrolled_once));
    put("suspended", json!(record.suspended));
    put(
        "methods",
        json!(
            record
                .methods
                .iter()
                .map(|method| method.as_str())
                .collect::<Vec<_>>()
        ),
    );
    put("email", json!(record.email.as_ref().map(EmailAddress::get)));
    put("telegram", json!(record.telegram));
    put("devices", devices(record, here));
    put("apps", apps(record, None));
    put("tokens", crate::token::documents(record, None));
    put("recovery", recovery(record));
    put("passphrase", passphrase(record));
    put(
        "bypass",
        record.bypass.as_ref().map_or(Value::Null, |bypass| {
            json!({
                "granted": bypass.granted.to_string(),
                "until": bypass.until.to_string(),
                "reason": bypass.reason,
                "by": bypass.by,
            })
        }),
    );
    Value::Object(document)
}

/// The devices of a record.
pub(crate) fn devices(record: &UserRecord, here: Option<DeviceId>) -> Value {
    record
        .devices
        .iter()
        .map(|entry| device(entry, here))
        .collect()
}

/// One device.
pub(crate) fn device(device: &Device, here: Option<DeviceId>) -> Value {
    json!({
        "id": device.id.to_string(),
        "label": device.label.get(),
        "assigned": device.assigned.to_string(),
        "includes_this_host": here.map(|here| device.id.includes(here)),
    })
}

/// The apps of a record, with the time of the last code where a state is at hand.
pub(crate) fn apps(record: &UserRecord, state: Option<&LoginState>) -> Value {
    record.apps.iter().map(|entry| app(entry, state)).collect()
}

/// One app.
pub(crate) fn app(app: &App, state: Option<&LoginState>) -> Value {
    let mut document = json!({
        "id": app.id.get(),
        "label": app.label.get(),
        "algorithm": app.algorithm.as_str(),
        "digits": app.digits.get(),
        "period": app.period.get(),
        "enrolled": app.enrolled.to_string(),
        "disabled": app.disabled,
    });
    if let (Some(state), Some(keys)) = (state, document.as_object_mut()) {
        keys.insert("last_used".to_owned(), json!(last_used(app, state)));
    }
    document
}

/// When the step of an app's last accepted code began.
pub(crate) fn last_used(app: &App, state: &LoginState) -> Option<String> {
    let step = state.last_step(&app.id)?;
    Some(rfc3339(step.saturating_mul(u64::from(*app.period.get()))))
}

/// When a code of a token last let in.
pub(crate) fn token_last_used(token: &Token, state: Option<&LoginState>) -> Option<String> {
    let used = state?.token(&token.id)?.used;
    (used > 0).then(|| rfc3339(used))
}

/// The set of recovery codes, without what is kept of the codes; null where there is none.
pub(crate) fn recovery(record: &UserRecord) -> Value {
    record.recovery.as_ref().map_or(Value::Null, |set| {
        json!({
            "set": set.set.get(),
            "generated": generated(set),
            "codes": set.hashes.len(),
        })
    })
}

/// What a passphrase's hash costs and since when it is there, without the hash; null where there is none.
pub(crate) fn passphrase(record: &UserRecord) -> Value {
    record.passphrase.as_ref().map_or(Value::Null, |kept| {
        let cost = kept.hash.cost();
        json!({
            "changed": kept.changed.as_ref().map(ToString::to_string),
            "memory": cost.memory,
            "passes": cost.passes,
            "lanes": cost.lanes,
        })
    })
}

/// When a set of recovery codes was made, where the record says so.
pub(crate) fn generated(set: &Recovery) -> Option<String> {
    set.generated.as_ref().map(ToString::to_string)
}

/// What failures mean for the next answer, in a word, and how long.
pub(crate) fn standing(verdict: Verdict) -> (&'static str, Option<Duration>) {
    match verdict {
        Verdict::Evaluate => ("open", None),
        Verdict::Throttled(left) => ("throttled", Some(left)),
        Verdict::Locked(left) => ("locked", Some(left)),
        Verdict::Disabled => ("disabled", None),
    }
}

/// The same behind a count of failures, for people.
pub(crate) fn verdict_words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Evaluate => String::new(),
        Verdict::Throttled(left) => format!(", no answer is looked at for {} yet", duration(left)),
        Verdict::Locked(left) => format!(", locked for {} yet", duration(left)),
        Verdict::Disabled => ", disabled until `mfa-admin user unlock`".to_owned(),
    }
}

/// The methods as they stand on a line.
pub(crate) fn methods(methods: &[Method]) -> String {
    if methods.is_empty() {
        return "none".to_owned();
    }
    methods
        .iter()
        .map(|method| method.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// `2026-11-20 09:00 UTC` of an RFC 3339 time in UTC, or the text as it is.
pub(crate) fn moment(rfc3339: &str) -> String {
    let is_utc = rfc3339.ends_with('Z') && rfc3339.len() >= 17;
    match (is_utc, rfc3339.get(..10), rfc3339.get(11..16)) {
        (true, Some(date), Some(time)) => format!("{date} {time} UTC"),
        _ => rfc3339.to_owned(),
    }
}

/// A length of time in words, rounded up: nobody is to come back too early.
pub(crate) fn duration(length: Duration) -> String {
    let seconds = length.as_millis().div_ceil(1000);
    let (count, unit) = if seconds <= 120 {
        (seconds, "second")
    } else if seconds <= 7200 {
        (seconds.div_ceil(60), "minute")
    } else {
        (seconds.div_ceil(3600), "hour")
    };
    if count == 1 {
        format!("1 {unit}")
    } else {
        format!("{count} {unit}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_never_too_short() {
        assert_eq!(moment("2026-11-20T09:00:59Z"), "2026-11-20 09:00 UTC");
        assert_eq!(
            moment("2026-11-20T09:00:00+01:00"),
            "2026-11-20T09:00:00+01:00"
        );
        for (milliseconds, text) in [
            (1, "1 second"),
            (55_000, "55 seconds"),
            (899_001, "15 minutes"),
            (7_200_001, "3 hours"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }
}
