//! `user`: who may log in.

mod add;
mod remove;
mod show;

use mfa_core::audit::{Entry, Event};
use mfa_core::record::{Label, Method, UserRecord};
use mfa_core::request::UserName;
use mfa_core::state::LoginState;
use mfa_core::store::{Store, Subject};
use mfa_core::throttle::{Failures, Sends};
use serde_json::json;

pub(crate) use add::too_many_devices;

use crate::cli::{NameArgs, OrNone, UserCommand, UserSetArgs};
use crate::context::{Context, House, this_device};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, wrap};
use crate::record_view::{self, methods};
use add::{check_methods, without_repetition};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &UserCommand) -> Result<Reply, Failure> {
    match command {
        UserCommand::Add(arguments) => add::run(context, arguments),
        UserCommand::Set(arguments) => set(context, arguments),
        UserCommand::List => show::list(context),
        UserCommand::Show(NameArgs { name }) => show::show(context, name),
        UserCommand::Approve(NameArgs { name }) => approve(context, name),
        UserCommand::Suspend { name, reason } => suspend(context, name, reason),
        UserCommand::Resume(NameArgs { name }) => resume(context, name),
        UserCommand::Unlock {
            name: Some(name), ..
        } => unlock(context, name),
        UserCommand::Unlock { name: None, .. } => unlock_all(context),
        UserCommand::Remove {
            name,
            allow_bypass,
            yes,
        } => remove::run(context, name, *allow_bypass, *yes),
    }
}

fn set(context: &Context<'_>, arguments: &UserSetArgs) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(&arguments.name)?.user;
    let mut notes = Vec::new();
    let mut before = None;
    let (record, is_changed) = house.change(&user, |record| {
        before = Some(record.clone());
        let mut dropped = Vec::new();
        match &arguments.email {
            Some(OrNone::Some(address)) => record.email = Some(address.clone()),
            Some(OrNone::None) => {
                record.email = None;
                dropped.push(Method::Email);
            }
            None => {}
        }
        match arguments.telegram {
            Some(OrNone::Some(id)) => record.telegram = Some(id),
            Some(OrNone::None) => {
                record.telegram = None;
                dropped.push(Method::Telegram);
            }
            None => {}
        }
        if arguments.methods.is_empty() {
            // A method without its address can't count.
            record.methods.retain(|method| !dropped.contains(method));
            if record.methods.is_empty() {
                return Err(Failure::refused(
                    "no method would be left",
                    "give --methods with what is to count instead, for example --methods app",
                ));
            }
            for (method, is_given) in [
                (
                    Method::Email,
                    matches!(arguments.email, Some(OrNone::Some(_))),
                ),
                (
                    Method::Telegram,
                    matches!(arguments.telegram, Some(OrNone::Some(_))),
                ),
            ] {
                if is_given && !record.methods.contains(&method) {
                    notes.push(format!(
                        "The method {} does not count yet; see --methods.",
                        method.as_str()
                    ));
                }
            }
        } else {
            record.methods = without_repetition(&arguments.methods);
        }
        check_methods(context, &house.config, record)
    })?;
    let before = before.unwrap_or_else(|| record.clone());
    let what = what_is_logged(&before, &record);
    let mut reply = changed(
        context,
        &house,
        &record,
        is_changed,
        Event::UserChanged,
        &Entry {
            detail: Some(&what),
            ..Entry::default()
        },
        ["Changed", "has all that already"],
    );
    if is_changed {
        let detail = what_is_told(&before, &record);
        let change = Change::of(Event::UserChanged).detail(&detail);
        notice::tell(context, &house.config, &[&before, &record], change);
    }
    for note in notes {
        reply.text.push('\n');
        reply.text.push_str(&note);
    }
    Ok(reply)
}

/// What `user set` changed, for a log: no address stands there.
fn what_is_logged(before: &UserRecord, after: &UserRecord) -> String {
    let mut what = format!("methods {}", methods(&after.methods));
    if before.email != after.email {
        what.push_str("; e-mail address changed");
    }
    if before.telegram != after.telegram {
        what.push_str("; Telegram id changed");
    }
    what
}

/// What `user set` changed, for whoever the account belongs to.
fn what_is_told(before: &UserRecord, after: &UserRecord) -> String {
    let mut what = Vec::new();
    if before.methods != after.methods {
        what.push(format!("methods: {}", methods(&after.methods)));
    }
    if before.telegram != after.telegram {
        let id = after
            .telegram
            .map_or("none".to_owned(), |id| id.to_string());
        what.push(format!("Telegram id: {id}"));
    }
    if before.email != after.email {
        let address = after.email.as_ref().map_or("none", |address| address.get());
        what.push(format!("e-mail address: {address}"));
    }
    what.join("; ")
}

/// The reply and the audit line of a record that was, or was not, changed.
fn changed(
    context: &Context<'_>,
    house: &House,
    record: &UserRecord,
    is_changed: bool,
    event: Event,
    entry: &Entry<'_>,
    [done, was_so]: [&str; 2],
) -> Reply {
    let here = this_device(&house.config).ok();
    let document = json!({ "changed": is_changed, "user": record_view::record(record, here) });
    let name = shown(record.user.as_str());
    if is_changed {
        context.log_change(event, Some(&record.user), entry);
        Reply::done(document, format!("{done} {name}."))
    } else {
        Reply::done(document, format!("{name} {was_so}; nothing was changed."))
    }
}

fn approve(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let (record, is_changed) = house.change(&user, |record| {
        record.approved = true;
        Ok(())
    })?;
    let words = ["Approved", "is approved already"];
    let mut reply = changed(
        context,
        &house,
        &record,
        is_changed,
        Event::UserApproved,
        &Entry::default(),
        words,
    );
    if is_changed {
        let change = Change::of(Event::UserApproved);
        notice::tell(context, &house.config, &[&record], change);
    }
    if !record.suspended.is_empty() {
        let name = shown(user.as_str());
        reply.text = format!(
            "{}\nStill suspended: {}\nNext: mfa-admin user resume {name}",
            reply.text,
            shown(&record.suspended)
        );
    }
    Ok(reply)
}

fn suspend(context: &Context<'_>, name: &str, reason: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let (record, is_changed) = house.change(&user, |record| {
        reason.clone_into(&mut record.suspended);
        Ok(())
    })?;
    let entry = Entry {
        reason: Some(reason),
        ..Entry::default()
    };
    let words = ["Suspended", "is suspended for that already"];
    let event = Event::UserSuspended;
    let reply = changed(context, &house, &record, is_changed, event, &entry, words);
    if is_changed {
        // The reason is for other administrators.
        notice::tell(context, &house.config, &[&record], Change::of(event));
    }
    Ok(reply)
}

fn resume(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let (record, is_changed) = house.change(&user, |record| {
        record.suspended.clear();
        Ok(())
    })?;
    let words = ["Resumed", "is not suspended"];
    let (event, entry) = (Event::UserResumed, Entry::default());
    let reply = changed(context, &house, &record, is_changed, event, &entry, words);
    if is_changed {
        notice::tell(context, &house.config, &[&record], Change::of(event));
    }
    Ok(reply)
}

/// Clears failures, locks and the count of codes that were sent; whether there was anything to clear. A code
/// that is on its way stays good.
fn clear_failures(house: &House, user: &UserName) -> Result<bool, Failure> {
    let has_failures = |state: &LoginState| {
        state.codes != Failures::default()
            || state.recovery != Failures::default()
            || state.passphrase != Failures::default()
            || state.sends != Sends::default()
    };
    // Most have none: their states are not written.
    if !house
        .store
        .state(user)?
        .is_some_and(|view| has_failures(&view.state))
    {
        return Ok(false);
    }
    let mut is_changed = false;
    house
        .store
        .transaction(Subject::User(user), &mut |_, state| {
            is_changed = has_failures(state);
            // The window too: whoever is unlocked is to get in now.
            state.codes = Failures::default();
            state.recovery = Failures::default();
            state.passphrase = Failures::default();
            state.sends = Sends::default();
        })?;
    Ok(is_changed)
}

fn unlock(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    house.record(&user)?;
    let is_changed = clear_failures(&house, &user)?;
    if is_changed {
        log_unlocked(context, &house, &user);
    }
    let name = shown(user.as_str());
    let text = if is_changed {
        format!("Unlocked {name}: no failures, no lock, no codes counted as sent.")
    } else {
        format!("{name} has no failures and no lock; nothing was changed.")
    };
    Ok(Reply::done(
        json!({ "changed": is_changed, "user": user.as_str() }),
        text,
    ))
}

fn log_unlocked(context: &Context<'_>, house: &House, user: &UserName) {
    context.log_change(Event::UserUnlocked, Some(user), &Entry::default());
    notice::tell_user(context, house, user, Change::of(Event::UserUnlocked));
}

fn unlock_all(context: &Context<'_>) -> Result<Reply, Failure> {
    let house = context.open()?;
    let mut unlocked = Vec::new();
    let mut failures = Vec::new();
    for user in house.store.users()? {
        match clear_failures(&house, &user) {
            Ok(true) => {
                log_unlocked(context, &house, &user);
                unlocked.push(user);
            }
            Ok(false) => {}
            Err(failure) => {
                context
                    .output
                    .warn(&format!("{}: {}", shown(user.as_str()), failure.message));
                failures.push(failure);
            }
        }
    }
    let names: Vec<&str> = unlocked.iter().map(UserName::as_str).collect();
    let text = match names.as_slice() {
        [] => "Nobody had failures or a lock; nothing was changed.".to_owned(),
        names => wrap("", "  ", &format!("Unlocked {}.", shown(&names.join(", ")))),
    };
    let exit_code = failures
        .first()
        .map_or(0, |failure| failure.kind.exit_code());
    let document = json!({ "changed": !names.is_empty(), "users": names });
    Ok(Reply::done(document, text).exiting(exit_code))
}

/// A label that nothing else of the list has, from one that may be taken.
pub(crate) fn free_label(wanted: &str, otherwise: &str, taken: &[&str]) -> Option<Label> {
    [wanted, otherwise]
        .iter()
        .map(|label| {
            label
                .chars()
                .filter(|c| !c.is_control())
                .take(32)
                .collect::<String>()
        })
        .filter(|label| !taken.contains(&label.as_str()))
        .find_map(|label| Label::parse(label).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_core::record::EmailAddress;

    #[test]
    fn what_was_set_is_told_whole_and_logged_without_addresses() {
        let mut before = UserRecord::new(UserName::parse("alice").unwrap());
        before.methods = vec![Method::App];
        let mut after = before.clone();
        after.methods = vec![Method::App, Method::Email];
        after.email = EmailAddress::parse("new@example.com").ok();
        after.telegram = Some(-5);
        assert_eq!(
            what_is_told(&before, &after),
            "methods: app, email; Telegram id: -5; e-mail address: new@example.com"
        );
        assert_eq!(
            what_is_logged(&before, &after),
            "methods app, email; e-mail address changed; Telegram id changed"
        );
        assert_eq!(
            what_is_told(&after, &before),
            "methods: app; Telegram id: none; e-mail address: none"
        );
        assert_eq!(what_is_told(&after, &after), "");
    }
}
