//! `token`: hardware tokens that count (HOTP, RFC 4226). The record names them; the login state alone says where each
//! stands, and remembers it until the record does.

mod add;
mod resync;

use mfa_core::audit::{Entry, Event};
use mfa_core::record::{AppId, Token, UserRecord};
use mfa_core::request::UserName;
use mfa_core::state::LoginState;
use mfa_core::store::{Store, Subject};
use serde_json::{Value, json};

use crate::ask;
use crate::cli::{NameArgs, TokenCommand};
use crate::context::{Context, House};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, table, wrap};
use crate::record_view::{self, moment};
use crate::switch::{self, Kind, find_labelled};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &TokenCommand) -> Result<Reply, Failure> {
    match command {
        TokenCommand::Add(arguments) => add::run(context, arguments),
        TokenCommand::List(NameArgs { name }) => list(context, name),
        TokenCommand::Resync { name, label } => resync::run(context, name, label.as_deref()),
        TokenCommand::Disable { name, label } => {
            switch::run(context, Kind::Token, name, label, true)
        }
        TokenCommand::Enable { name, label } => {
            switch::run(context, Kind::Token, name, label, false)
        }
        TokenCommand::Remove { name, label, yes } => remove(context, name, label, *yes),
    }
}

fn list(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let state = match house.store.state(&user) {
        Ok(view) => Some(view.map(|view| view.state).unwrap_or_default()),
        Err(error) => {
            context.output.warn(&Failure::from(error).message);
            None
        }
    };
    let document = json!({ "user": user.as_str(), "tokens": documents(&record, state.as_ref()) });
    let rows: Vec<Vec<String>> = record
        .tokens
        .iter()
        .map(|token| {
            let counter = state.as_ref().and_then(|state| state.token(&token.id));
            let last = record_view::token_last_used(token, state.as_ref());
            vec![
                shown(token.label.get()),
                token.digits.to_string(),
                counter.map_or("?".to_owned(), |counter| counter.next.to_string()),
                standing(token, state.as_ref()).words().to_owned(),
                moment(&token.enrolled.to_string()).replace(" UTC", ""),
                last.map_or("never".to_owned(), |at| moment(&at).replace(" UTC", "")),
            ]
        })
        .collect();
    let name = shown(user.as_str());
    let text = if rows.is_empty() {
        format!("{name} has no token. Next: mfa-admin token add {name} --hotp")
    } else {
        table(
            &[
                "LABEL",
                "DIGITS",
                "NEXT",
                "STANDING",
                "ADDED (UTC)",
                "LAST USED",
            ],
            &rows,
        )
    };
    Ok(Reply::answer(document, text))
}

/// What stands against the codes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its next code lets in.
    InStep,
    /// A code came that was too far ahead; two in a row bring it back.
    OutOfStep,
    /// Nobody knows which of its codes were used.
    CounterUnknown,
    /// By an administrator.
    Disabled,
    /// The login state can't be read.
    Unknown,
}

impl Standing {
    /// For programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InStep => "in_step",
            Self::OutOfStep => "out_of_step",
            Self::CounterUnknown => "counter_unknown",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }

    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::InStep => "in step",
            Self::OutOfStep => "out of step",
            Self::CounterUnknown => "counter unknown",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }
}

/// How a token stands, where a state is at hand.
pub(crate) fn standing(token: &Token, state: Option<&LoginState>) -> Standing {
    match state {
        _ if token.disabled => Standing::Disabled,
        None => Standing::Unknown,
        Some(state) if state.token(&token.id).is_none() => Standing::CounterUnknown,
        Some(state) => match &state.resync {
            Some(waiting) if waiting.token == token.id => Standing::OutOfStep,
            _ => Standing::InStep,
        },
    }
}

/// The tokens of a record, with where they stand where a state is at hand.
pub(crate) fn documents(record: &UserRecord, state: Option<&LoginState>) -> Value {
    let documents = record.tokens.iter().map(|token| {
        let mut document = json!({
            "id": token.id.get(),
            "label": token.label.get(),
            "digits": token.digits.get(),
            "enrolled": token.enrolled.to_string(),
            "disabled": token.disabled,
        });
        if let (Some(state), Some(keys)) = (state, document.as_object_mut()) {
            let next = state.token(&token.id).map(|counter| counter.next);
            keys.insert("next".to_owned(), json!(next));
            let standing = standing(token, Some(state)).name();
            keys.insert("standing".to_owned(), json!(standing));
            let last = record_view::token_last_used(token, Some(state));
            keys.insert("last_used".to_owned(), json!(last));
        }
        document
    });
    documents.collect()
}

/// The token of a record that is meant, by its label, or by its id where two have the same.
pub(crate) fn find<'a>(record: &'a UserRecord, text: &str) -> Result<&'a Token, Failure> {
    let tokens = record.tokens.iter();
    let all = tokens.map(|token| (&token.label, &token.id, token));
    find_labelled(Kind::Token, record, all, text)
}

/// Takes the counters of tokens that the record no longer has over into it, then out of the state, which has room for
/// few. Whatever interrupts this, one of the two knows them.
fn move_counters(house: &House, user: &UserName) -> Result<(), Failure> {
    let state = house.store.state(user)?.map(|view| view.state);
    let counters = state.map(|state| state.tokens).unwrap_or_default();
    let record = house.record(user)?;
    if counters
        .iter()
        .all(|counter| record.token(&counter.token).is_some())
    {
        return Ok(());
    }
    house.change(user, |record| {
        for counter in &counters {
            if record.token(&counter.token).is_none() {
                record.remember_removed(&counter.token, Some(counter.next));
            }
        }
        Ok(())
    })?;
    house
        .store
        .transaction(Subject::User(user), &mut |record, state| {
            let Some(record) = record else { return };
            let is_needed = |id: &AppId, next: u64| {
                record.token(id).is_some()
                    || record.removed_counter(id).is_none_or(|known| known < next)
            };
            state
                .tokens
                .retain(|counter| is_needed(&counter.token, counter.next));
            state
                .resync
                .take_if(|waiting| record.token(&waiting.token).is_none());
        })?;
    Ok(())
}

fn remove(
    context: &Context<'_>,
    name: &str,
    label: &str,
    is_agreed: bool,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let found = find(&record, label)?;
    let (id, label) = (found.id.clone(), found.label.clone());
    let name = shown(user.as_str());
    ask::confirm(
        &format!("Remove the token {} of {name}?", shown(label.get())),
        is_agreed,
    )?;
    let (_, is_changed) = house.change(&user, |record| {
        if record.token(&id).is_some() {
            record.tokens.retain(|token| token.id != id);
            // The state says how far it was used, where it can be read and names it.
            record.remember_removed(&id, None);
        }
        Ok(())
    })?;
    if let Err(failure) = move_counters(&house, &user) {
        // The state remembers the counter as well as the record would.
        context.output.warn(&failure.message);
    }
    let record = house.record(&user)?;
    if is_changed {
        let entry = Entry {
            app: Some(label.get()),
            ..Entry::default()
        };
        context.log_change(Event::TokenRemoved, Some(&user), &entry);
        let change = Change::of(Event::TokenRemoved).app(label.get());
        notice::tell(context, &house.config, &[&record], change);
    }
    if record.tokens.is_empty() {
        context.output.warn(&format!(
            "{name} has no token left and can't log in with one"
        ));
    }
    let document = json!({
        "changed": is_changed,
        "user": user.as_str(),
        "label": label.get(),
        "tokens": documents(&record, None),
    });
    Ok(Reply::done(
        document,
        wrap(
            "",
            "",
            &format!("Removed {} of {name}.", shown(label.get())),
        ),
    ))
}
