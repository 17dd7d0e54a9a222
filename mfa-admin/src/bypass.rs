//! `bypass`: who is let in without a code for a time, and why.

use mfa_core::audit::{Entry, Event};
use mfa_core::bypass::{self, Bypass, Standing};
use mfa_core::clock::Clock;
use mfa_core::policy::{self, AccountDecision, DenyReason};
use mfa_core::record::UserRecord;
use mfa_core::request::{Account, LoginRequest, UserName};
use mfa_core::state::LoginState;
use mfa_core::store::{Store, Subject};
use serde_json::{Value, json};
use std::time::Duration;

use crate::audit::actor;
use crate::cli::{BypassCommand, NameArgs};
use crate::context::{Context, House, this_device};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, WIDTH, cut, shown, table, wrap};
use crate::record_view::{duration, moment};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &BypassCommand) -> Result<Reply, Failure> {
    match command {
        BypassCommand::Grant {
            name,
            length,
            reason,
        } => grant(context, name, *length, reason),
        BypassCommand::Revoke(NameArgs { name }) => revoke(context, name),
        BypassCommand::List => list(context),
        BypassCommand::Expire => expire(context),
    }
}

fn grant(context: &Context<'_>, name: &str, length: u64, reason: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    // What is over is told before it is replaced.
    clear(context, &house, &user)?;
    let new = Bypass::grant(context.unix_seconds(), length, reason, &actor());
    // Before the record: its time runs from now on, whatever becomes of the clock.
    house
        .store
        .transaction(Subject::User(&user), &mut |record, state| {
            if record.is_some() {
                let now = context.clock.now();
                state.advance(&now);
                bypass::note(&new, state, now.unix_seconds());
            }
        })?;
    let mut replaced = None;
    let (record, _) = house.change(&user, |record| {
        replaced = record.bypass.replace(new.clone());
        Ok(())
    })?;
    let until = new.until.to_string();
    let detail = format!("until {until}");
    let entry = Entry {
        reason: Some(reason),
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::BypassGranted, Some(&user), &entry);
    // The reason is for administrators.
    let told = format!("until {}", moment(&until));
    let change = Change::of(Event::BypassGranted).detail(&told);
    notice::tell(context, &house.config, &[&record], change);
    mind_who_may_not(context, &house, &record);
    let name = shown(user.as_str());
    let mut text = format!(
        "{name} is not asked for a code until {} ({}). Revoke it when it is no longer needed: `mfa-admin bypass revoke {name}`.",
        moment(&until),
        duration(Duration::from_secs(length))
    );
    if let Some(before) = &replaced {
        let until = moment(&before.until.to_string());
        text.push_str(" In the place of the one until ");
        text.push_str(&until);
        text.push('.');
    }
    let mut document = view(&new, None, context.unix_seconds());
    if let Some(keys) = document.as_object_mut() {
        keys.insert("user".to_owned(), json!(user.as_str()));
        let before = replaced.map(|before| before.until.to_string());
        keys.insert("replaced_until".to_owned(), json!(before));
    }
    Ok(Reply::done(document, wrap("", "", &text)))
}

/// Says where a bypass has no effect: it stands for the code, and for nothing else.
fn mind_who_may_not(context: &Context<'_>, house: &House, record: &UserRecord) {
    let Ok(device) = this_device(&house.config) else {
        return;
    };
    let account = Account {
        name: record.user.clone(),
        uid: u32::MAX,
    };
    let request = LoginRequest::asked_by_root(record.user.as_str(), Some(account), "");
    let decision = policy::decide_account(&house.config, &request, Some(record), device);
    let AccountDecision::Deny(reason) = decision else {
        return;
    };
    let name = shown(record.user.as_str());
    let (why, verb) = match reason {
        DenyReason::Suspended => ("is suspended", format!("user resume {name}")),
        DenyReason::WrongDevice => (
            "is not assigned to this host",
            format!("device assign {name} this"),
        ),
        _ => ("is not approved", format!("user approve {name}")),
    };
    context.output.warn(&format!(
        "{name} {why}, and stays out here all the same: `mfa-admin {verb}`"
    ));
}

fn revoke(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    clear(context, &house, &user)?;
    let mut revoked = None;
    let (record, _) = house.change(&user, |record| {
        revoked = record.bypass.take();
        Ok(())
    })?;
    let name = shown(user.as_str());
    let Some(revoked) = revoked else {
        return Err(Failure::not_found(
            format!("{name} has no bypass"),
            "`mfa-admin bypass list` shows those there are",
        ));
    };
    let detail = format!("was until {}", revoked.until);
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::BypassRevoked, Some(&user), &entry);
    let change = Change::of(Event::BypassRevoked);
    notice::tell(context, &house.config, &[&record], change);
    Ok(Reply::done(
        json!({ "user": user.as_str(), "revoked": true }),
        format!("{name} is asked for a code again."),
    ))
}

/// Takes out of a record what is over, and tells of it where no login has. Whether there was something.
fn clear(context: &Context<'_>, house: &House, user: &UserName) -> Result<bool, Failure> {
    let now = context.unix_seconds();
    let is_over = |bypass: &Bypass| bypass.standing(now) == Standing::Over;
    let record = house.record(user)?;
    let Some(bypass) = record.bypass.filter(is_over) else {
        return Ok(false);
    };
    let mut is_untold = false;
    house
        .store
        .transaction(Subject::User(user), &mut |_, state| {
            is_untold = bypass::expire(Some(&bypass), state, now);
        })?;
    if is_untold {
        let detail = format!("was until {}", bypass.until);
        let entry = Entry {
            detail: Some(&detail),
            ..Entry::default()
        };
        context.log_change(Event::BypassExpired, Some(user), &entry);
    }
    house.change(user, |record| {
        // Another one may have been granted meanwhile.
        record.bypass = record.bypass.take().filter(|bypass| !is_over(bypass));
        Ok(())
    })?;
    Ok(true)
}

fn expire(context: &Context<'_>) -> Result<Reply, Failure> {
    let house = context.open()?;
    let mut cleared = Vec::new();
    let mut is_whole = true;
    for user in house.store.users()? {
        match clear(context, &house, &user) {
            Ok(true) => cleared.push(user.as_str().to_owned()),
            Ok(false) => {}
            // Removed since the folder was read.
            Err(failure) if failure.kind == crate::error::Kind::NotFound => {}
            // The others are not to wait for this one.
            Err(failure) => {
                is_whole = false;
                context.output.warn(&failure.message);
            }
        }
    }
    let text = match cleared.len() {
        0 => "No bypass is over.".to_owned(),
        count => format!("{count} cleared: {}.", shown(&cleared.join(", "))),
    };
    let reply = Reply::done(json!({ "expired": cleared }), wrap("", "", &text));
    Ok(if is_whole { reply } else { reply.exiting(4) })
}

fn list(context: &Context<'_>) -> Result<Reply, Failure> {
    let house = context.open()?;
    let now = context.unix_seconds();
    let (mut documents, mut rows) = (Vec::new(), Vec::new());
    let mut is_whole = true;
    for user in house.store.users()? {
        let record = match house.store.record(Subject::User(&user)) {
            Ok(record) => record,
            Err(error) => {
                is_whole = false;
                context.output.warn(&error.to_string());
                continue;
            }
        };
        let Some(bypass) = record.and_then(|record| record.bypass) else {
            continue;
        };
        let state = house.store.state(&user).ok().flatten();
        let state = state.map(|view| view.state);
        let mut document = view(&bypass, state.as_ref(), now);
        rows.push(row(&user, &bypass, state.as_ref(), now));
        if let Some(keys) = document.as_object_mut() {
            keys.insert("user".to_owned(), json!(user.as_str()));
        }
        documents.push(document);
    }
    let text = if rows.is_empty() {
        "Everybody is asked for a code.".to_owned()
    } else {
        list_of(rows)
    };
    let reply = Reply::answer(json!({ "bypasses": documents }), text);
    Ok(if is_whole { reply } else { reply.exiting(4) })
}

/// The list; reasons have what the other columns leave of the line.
fn list_of(mut rows: Vec<Vec<String>>) -> String {
    let headings = ["USER", "LEFT", "USES", "BY", "REASON"];
    let last = headings.len() - 1;
    let width = |(column, heading): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max();
        widest.unwrap_or_default().max(heading.chars().count()) + 2
    };
    let others: usize = headings.iter().enumerate().take(last).map(width).sum();
    for reason in rows.iter_mut().filter_map(|row| row.get_mut(last)) {
        *reason = cut(reason, WIDTH.saturating_sub(others));
    }
    table(&headings, &rows)
}

/// One line of the list: 20 + 10 + 4 + 12 characters at most and four gaps of 2, and the reason.
fn row(user: &UserName, bypass: &Bypass, state: Option<&LoginState>, now: u64) -> Vec<String> {
    let left = match bypass.standing(now) {
        Standing::Open(left) => duration(Duration::from_secs(left)),
        Standing::NotYet => "not yet".to_owned(),
        Standing::Over => "over".to_owned(),
    };
    let count = uses(bypass, state).map_or("?".to_owned(), |count| count.to_string());
    vec![
        cut(&shown(user.as_str()), 20),
        left,
        cut(&count, 4),
        cut(&shown(&bypass.by), 12),
        shown(&bypass.reason),
    ]
}

/// How often a bypass let in; `None` without a state that could tell.
fn uses(bypass: &Bypass, state: Option<&LoginState>) -> Option<u32> {
    state.map(|state| bypass::remembered(bypass, state).map_or(0, |known| known.uses))
}

/// A bypass for programs.
pub(crate) fn view(bypass: &Bypass, state: Option<&LoginState>, now: u64) -> Value {
    let (standing, left) = match bypass.standing(now) {
        Standing::Open(left) => ("open", Some(left)),
        Standing::NotYet => ("not_yet", None),
        Standing::Over => ("over", None),
    };
    json!({
        "granted": bypass.granted.to_string(),
        "until": bypass.until.to_string(),
        "reason": bypass.reason,
        "by": bypass.by,
        "standing": standing,
        "seconds_left": left,
        "uses": uses(bypass, state),
    })
}

/// A bypass for people, behind a name.
pub(crate) fn words(bypass: &Bypass, now: u64) -> String {
    let (until, by) = (moment(&bypass.until.to_string()), shown(&bypass.by));
    let reason = shown(&bypass.reason);
    match bypass.standing(now) {
        Standing::Open(left) => format!(
            "no code is asked for {} yet, until {until} (by {by}: {reason})",
            duration(Duration::from_secs(left))
        ),
        Standing::NotYet => format!(
            "from {} to {until}, so the clock is behind (by {by}: {reason})",
            moment(&bypass.granted.to_string())
        ),
        Standing::Over => format!("over since {until} (by {by}: {reason})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_list_fits_80_columns_at_its_widest() {
        let user = UserName::parse(&"x".repeat(100)).unwrap();
        let bypass = Bypass::grant(1000, 86_400, &"y".repeat(200), &"z".repeat(100));
        let state = LoginState::default();
        for now in [999, 1000, 1060, 86_400, 100_000] {
            let text = list_of(vec![row(&user, &bypass, Some(&state), now)]);
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
        }
    }

    #[test]
    fn a_reason_is_cut_no_sooner_than_the_line_ends() {
        let user = UserName::parse("alice").unwrap();
        let reason = "phone at the repair shop, ticket 4711, back soon";
        for (reason, is_whole) in [(reason, true), (&"y".repeat(200)[..], false)] {
            let bypass = Bypass::grant(1000, 86_400, reason, "root");
            let text = list_of(vec![row(&user, &bypass, None, 1000)]);
            assert_eq!(text.contains(reason), is_whole, "{text}");
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(is_whole || widest == Some(80), "{text}");
        }
    }
}
