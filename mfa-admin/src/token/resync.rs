//! `token resync`: two codes in a row say where a token stands, however far ahead that is.

use mfa_core::audit::{Entry, Event};
use mfa_core::hotp::Hotp;
use mfa_core::otp::{Code, TypedAnswer};
use mfa_core::record::{Token, UserRecord};
use mfa_core::store::{Store, Subject};
use serde_json::json;

use super::find;
use crate::ask;
use crate::context::Context;
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown};

/// How far ahead two codes are looked for: a hundred presses a day for years. That two others look the same happens once
/// in ten million times.
const AHEAD: u32 = 100_000;

/// Runs the verb.
pub(super) fn run(
    context: &Context<'_>,
    name: &str,
    label: Option<&str>,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let key = house.key()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let token = match label {
        Some(label) => find(&record, label)?,
        None => only(&record)?,
    };
    let hotp = Hotp::open(&key, &user, token).map_err(|error| {
        Failure::failed(
            error.to_string(),
            "put the right seal.key back, or add the token again",
        )
    })?;
    let (name, label) = (shown(user.as_str()), shown(token.label.get()));
    let one = code("Code that the token shows: ")?;
    let other = code("The code after that: ")?;
    let state = house.store.state(&user)?.map(|view| view.state);
    let in_state = state.and_then(|state| state.token(&token.id).map(|counter| counter.next));
    let from = in_state
        .max(record.removed_counter(&token.id))
        .unwrap_or(0)
        .max(token.counter);
    let Some(counter) = hotp.place_of_two([&one, &other], from, AHEAD) else {
        return Err(Failure::refused(
            format!(
                "these are not two codes in a row of {label} that come after those that were used"
            ),
            "press the button and give what it shows, press it again and give that; if that does not help, the secret \
             is another token's",
        ));
    };
    let next = counter.saturating_add(2);
    house
        .store
        .transaction(Subject::User(&user), &mut |_, state| {
            state.raise_token(&token.id, next);
            state.resync.take_if(|waiting| waiting.token == token.id);
        })?;
    let detail = format!("next {next}");
    let entry = Entry {
        app: Some(token.label.get()),
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::TokenResynced, Some(&user), &entry);
    let change = Change::of(Event::TokenResynced).app(token.label.get());
    notice::tell(context, &house.config, &[&record], change);
    let document = json!({
        "user": user.as_str(),
        "label": token.label.get(),
        "next": next,
        "skipped": counter - from,
    });
    let text = format!("{label} of {name} is in step again. The next login takes the next code.");
    Ok(Reply::done(document, text))
}

/// The one token that the user has.
fn only(record: &UserRecord) -> Result<&Token, Failure> {
    let name = shown(record.user.as_str());
    match record.tokens.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::not_found(
            format!("{name} has no token"),
            format!("`mfa-admin token add {name} --hotp` adds one"),
        )),
        _ => Err(Failure::usage(
            format!("{name} has {} tokens", record.tokens.len()),
            format!("say which: `mfa-admin token resync {name} LABEL`"),
        )),
    }
}

fn code(question: &str) -> Result<Code, Failure> {
    let line = if ask::is_somebody_there() {
        ask::question(question)?
    } else {
        ask::line()?
    };
    let two = "give two codes that follow each other, a line for each; nothing was changed";
    let line = line.ok_or_else(|| Failure::failed("there is no code on standard input", two))?;
    TypedAnswer::new(line.as_bytes().to_vec())
        .as_code()
        .ok_or_else(|| Failure::refused("a code has 6 to 8 digits", two))
}
