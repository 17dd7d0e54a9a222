//! `state`: what logins leave behind.

use mfa_core::audit::{Entry, Event};
use mfa_core::clock::rfc3339;
use mfa_core::record::UserRecord;
use mfa_core::request::UserName;
use mfa_core::state::{AcceptedStep, LoginState};
use mfa_core::store::{Store, Subject, UsedMarks};
use serde_json::json;

use crate::ask;
use crate::cli::{NameArgs, StateCommand};
use crate::context::{Context, House, no_such_user};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, wrap};
use crate::record_view::moment;

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &StateCommand) -> Result<Reply, Failure> {
    match command {
        StateCommand::Show(NameArgs { name }) => show(context, name),
        StateCommand::Reset { name, yes } => reset(context, name, *yes),
        StateCommand::SetClock(NameArgs { name }) => set_clock(context, name),
    }
}

fn show(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let view = house.store.state(&user)?;
    // A login that finds no state makes one: as if it were there.
    let anew = match &view {
        None => LoginState::anew(Some(&house.record(&user)?)),
        Some(_) => LoginState::default(),
    };
    if view.as_ref().is_some_and(|view| view.has_bad_slot) {
        context.output.warn(
            "one of the two slots does not hold, and the next login mends it: a write was interrupted, which loses \
             nothing; or the disk has damaged it, and what the last login left may be forgotten",
        );
    }
    let state = view.map_or(anew, |view| view.state);
    let text = state
        .to_payload()
        .map_err(|error| Failure::failed(error.to_string(), "please report this"))?;
    let document = serde_json::to_value(&state)
        .map_err(|error| Failure::failed(error.to_string(), "please report this"))?;
    Ok(Reply::answer(
        json!({ "user": user.as_str(), "state": document }),
        text,
    ))
}

fn reset(context: &Context<'_>, name: &str, is_agreed: bool) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    if !has_record_or_state(&house, &user)? {
        return Err(no_such_user(user.as_str()));
    }
    let name = shown(user.as_str());
    ask::confirm(
        &format!(
            "Forget failures, locks and used codes of {name}? An app's code of the last minute is good again; used \
             recovery codes and used codes of tokens are not."
        ),
        is_agreed,
    )?;
    let marks = house.store.reset_state(&user)?;
    let is_lost = |has: fn(&UserRecord) -> bool| {
        let record = house.store.record(Subject::User(&user)).ok().flatten();
        marks == UsedMarks::Lost && record.is_some_and(|record| has(&record))
    };
    let are_codes_lost = is_lost(|record| record.recovery.is_some());
    let are_tokens_lost = is_lost(|record| !record.tokens.is_empty());
    if are_tokens_lost {
        context.output.warn(&format!(
            "the state no longer told where the tokens of {name} stand, so no code of them lets in; \
             `mfa-admin token resync {name}` brings each back into step with two of its codes"
        ));
    }
    if are_codes_lost {
        context.output.warn(&format!(
            "the state no longer told which recovery codes of {name} were used, so all of them count as used; \
             `mfa-admin recovery generate {name}` makes new ones"
        ));
    }
    let lost = match (are_codes_lost, are_tokens_lost) {
        (true, true) => Some(
            "all recovery codes of before are void; no token is in use until it is resynchronised",
        ),
        (true, false) => Some("all recovery codes of before are void"),
        (false, true) => Some("no token is in use until it is resynchronised"),
        (false, false) => None,
    };
    let entry = Entry {
        detail: lost,
        ..Entry::default()
    };
    context.log_change(Event::StateReset, Some(&user), &entry);
    let change = Change::of(Event::StateReset).detail(lost.unwrap_or_default());
    notice::tell_user(context, &house, &user, change);
    let document = json!({
        "changed": true,
        "user": user.as_str(),
        "recovery_codes": if are_codes_lost { "void" } else { "kept" },
        "tokens": if are_tokens_lost { "counter_unknown" } else { "kept" },
    });
    Ok(Reply::done(
        document,
        format!("Made the login state of {name} anew."),
    ))
}

/// A record that can't be read is one: its state can be reset all the same.
fn has_record_or_state(house: &House, user: &UserName) -> Result<bool, Failure> {
    let has_record = !matches!(house.store.record(Subject::User(user)), Ok(None));
    Ok(has_record || house.store.has_state(user)?)
}

fn set_clock(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let (now, window) = (context.unix_seconds(), house.config.app.window.get());
    let mut cleared = Vec::new();
    if house
        .store
        .state(&user)?
        .is_some_and(|view| has_future_step(&view.state, now, window))
    {
        house
            .store
            .transaction(Subject::User(&user), &mut |_, state| {
                cleared = clear_future_steps(state, now, window);
            })?;
    }
    let described: Vec<(String, String)> = cleared
        .iter()
        .map(|step| (label_of(&record, step), time_of(step)))
        .collect();
    let document = json!({
        "changed": !cleared.is_empty(),
        "user": user.as_str(),
        "cleared": described
            .iter()
            .map(|(label, time)| json!({ "label": label, "time": time }))
            .collect::<Vec<_>>(),
    });
    if cleared.is_empty() {
        let text = format!(
            "No used code of {} is from after now ({}); nothing was changed.",
            shown(user.as_str()),
            moment(&rfc3339(now)),
        );
        return Ok(Reply::done(document, wrap("", "", &text)));
    }
    let detail: Vec<String> = described
        .iter()
        .map(|(label, time)| format!("{label} {time}"))
        .collect();
    let detail = detail.join(", ");
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::StateClockSet, Some(&user), &entry);
    let mut lines: Vec<String> = described
        .iter()
        .map(|(label, time)| {
            let text = format!(
                "Cleared the used code of {} from {}.",
                shown(label),
                moment(time)
            );
            wrap("", "", &text)
        })
        .collect();
    lines.push(wrap(
        "",
        "",
        "Codes are good again. See that the clock is right, and stays so (NTP).",
    ));
    Ok(Reply::done(document, lines.join("\n")))
}

fn has_future_step(state: &LoginState, now: u64, window: u32) -> bool {
    state
        .steps
        .iter()
        .any(|step| step.is_from_the_future(now, window))
}

fn clear_future_steps(state: &mut LoginState, now: u64, window: u32) -> Vec<AcceptedStep> {
    state
        .steps
        .extract_if(.., |step| step.is_from_the_future(now, window))
        .collect()
}

fn label_of(record: &UserRecord, step: &AcceptedStep) -> String {
    record
        .apps
        .iter()
        .find(|app| app.id == step.app)
        .map_or_else(
            || format!("a removed app ({})", step.app),
            |app| app.label.to_string(),
        )
}

fn time_of(step: &AcceptedStep) -> String {
    rfc3339(step.step.saturating_mul(u64::from(step.period)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_core::record::AppId;

    fn step(id: &str, step: u64) -> AcceptedStep {
        AcceptedStep {
            app: AppId::parse(id).unwrap(),
            step,
            period: 30,
        }
    }

    #[test]
    fn only_steps_that_no_code_of_now_can_reach_are_cleared() {
        let mut state = LoginState::default();
        let now = 1000 * 30;
        state.steps = vec![
            step("00000001", 999),
            step("00000002", 1001),
            step("00000003", 1002),
        ];
        assert!(has_future_step(&state, now, 1));
        assert_eq!(
            clear_future_steps(&mut state, now, 1),
            [step("00000003", 1002)]
        );
        assert_eq!(state.steps.len(), 2);
        assert!(!has_future_step(&state, now, 1));
    }
}
