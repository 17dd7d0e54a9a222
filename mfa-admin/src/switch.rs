//! `app disable`, `app enable`, `token disable`, `token enable`: one authenticator of a user's, out of use and back.

use mfa_core::audit::{Entry, Event};
use mfa_core::record::{AppId, Label, Method, UserRecord};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, wrap};
use crate::{app, record_view, token};

/// What is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An authenticator app.
    App,
    /// A hardware token.
    Token,
}

/// The authenticator of a record that is meant, among all of a kind, by its label, or by its id where two have the
/// same label.
pub(crate) fn find_labelled<'a, T>(
    kind: Kind,
    record: &UserRecord,
    all: impl Iterator<Item = (&'a Label, &'a AppId, &'a T)>,
    text: &str,
) -> Result<&'a T, Failure> {
    let all: Vec<_> = all.collect();
    let labelled: Vec<_> = all
        .iter()
        .filter(|(label, ..)| label.get() == text)
        .collect();
    let (name, kind) = (shown(record.user.as_str()), kind.name());
    match labelled.as_slice() {
        [(.., one)] => Ok(*one),
        [] => match all.iter().find(|(_, id, _)| id.get() == text) {
            Some((.., one)) => Ok(*one),
            None => Err(Failure::not_found(
                format!("{name} has no {kind} called {}", shown(text)),
                format!("`mfa-admin {kind} list {name}` shows the {kind}s"),
            )),
        },
        [(_, first, _), ..] => Err(Failure::refused(
            format!(
                "{} {kind}s of {name} are called {}",
                labelled.len(),
                shown(text)
            ),
            format!("give the id instead, as `{kind} list --json` shows it: {first} is one"),
        )),
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Token => "token",
        }
    }

    fn event(self, is_disabled: bool) -> Event {
        match (self, is_disabled) {
            (Self::App, true) => Event::AppDisabled,
            (Self::App, false) => Event::AppEnabled,
            (Self::Token, true) => Event::TokenDisabled,
            (Self::Token, false) => Event::TokenEnabled,
        }
    }

    /// The label of the one that is meant.
    fn label(self, record: &UserRecord, text: &str) -> Result<String, Failure> {
        Ok(match self {
            Self::App => app::find(record, text)?.label.to_string(),
            Self::Token => token::find(record, text)?.label.to_string(),
        })
    }

    /// Puts it out of use, or back, by its label or id.
    fn set(self, record: &mut UserRecord, text: &str, is_disabled: bool) -> Result<(), Failure> {
        match self {
            Self::App => {
                let id = app::find(record, text)?.id.clone();
                let apps = record.apps.iter_mut().filter(|app| app.id == id);
                apps.for_each(|app| app.disabled = is_disabled);
            }
            Self::Token => {
                let id = token::find(record, text)?.id.clone();
                let tokens = record.tokens.iter_mut().filter(|token| token.id == id);
                tokens.for_each(|token| token.disabled = is_disabled);
            }
        }
        Ok(())
    }

    fn documents(self, record: &UserRecord) -> (&'static str, Value) {
        match self {
            Self::App => ("apps", record_view::apps(record, None)),
            Self::Token => ("tokens", token::documents(record, None)),
        }
    }
}

/// Runs a verb.
pub(crate) fn run(
    context: &Context<'_>,
    kind: Kind,
    name: &str,
    label: &str,
    is_disabled: bool,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let (record, is_changed) =
        house.change(&user, |record| kind.set(record, label, is_disabled))?;
    let label = kind.label(&record, label)?;
    let name = shown(user.as_str());
    if is_changed {
        let event = kind.event(is_disabled);
        let entry = Entry {
            app: Some(&label),
            ..Entry::default()
        };
        context.log_change(event, Some(&user), &entry);
        notice::tell(
            context,
            &house.config,
            &[&record],
            Change::of(event).app(&label),
        );
    }
    if is_disabled && !can_log_in(&record) {
        context.output.warn(&format!(
            "{name} has no authenticator left that is in use, and is refused: nobody is let in without a code for that"
        ));
    }
    let (key, documents) = kind.documents(&record);
    let document = json!({
        "changed": is_changed,
        "user": user.as_str(),
        "label": label,
        "disabled": is_disabled,
        key: documents,
    });
    let label = shown(&label);
    let text = match (is_changed, is_disabled) {
        (true, true) => format!("Disabled {label} of {name}: no code of it lets in."),
        (true, false) => format!("Enabled {label} of {name} again."),
        (false, true) => format!("{label} of {name} is disabled already; nothing was changed."),
        (false, false) => format!("{label} of {name} is not disabled; nothing was changed."),
    };
    Ok(Reply::done(document, wrap("", "", &text)))
}

/// Whether something is left that could let the user in.
fn can_log_in(record: &UserRecord) -> bool {
    let is_sent = |method: &Method| method.is_sent() && record.address_for(*method).is_some();
    record.has_usable_app()
        || record.has_usable_token()
        || record.recovery.is_some()
        || record.methods.iter().any(is_sent)
}
