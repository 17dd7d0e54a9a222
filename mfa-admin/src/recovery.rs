//! `recovery`: recovery codes, which are shown once and never again.

use std::fmt::Write as _;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::host;
use mfa_core::record::{Recovery, SetId, UserRecord};
use mfa_core::recovery::{CODES, FEW, RecoveryCode, RecoveryError};
use mfa_core::request::UserName;
use mfa_core::state::LoginState;
use mfa_core::throttle::{self, Limits, Verdict};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::ask;
use crate::cli::{NameArgs, RecoveryCommand};
use crate::context::{Context, House};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, wrap};
use crate::record_view::{self, moment};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &RecoveryCommand) -> Result<Reply, Failure> {
    match command {
        RecoveryCommand::Generate { name, yes } => generate(context, name, *yes),
        RecoveryCommand::Status(NameArgs { name }) => status(context, name),
    }
}

fn generate(context: &Context<'_>, name: &str, is_agreed: bool) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let name = shown(user.as_str());
    let agreed_on = record.recovery.as_ref().map(|set| set.set.clone());
    if record.recovery.is_some() {
        ask::confirm(
            &format!("Make new recovery codes for {name}? Those that {name} has are void then."),
            is_agreed,
        )?;
    }
    let (set, codes) = Recovery::generate(context.unix_seconds()).map_err(no_codes)?;
    let (record, _) = house.change(&user, |record| keep(record, &set, agreed_on.as_ref()))?;
    let detail = format!("{} codes, set {}", codes.len(), set.set);
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::RecoveryGenerated, Some(&user), &entry);
    let change = Change::of(Event::RecoveryGenerated);
    notice::tell(context, &house.config, &[&record], change);
    if record.apps.is_empty() && record.methods.iter().all(|m| m.as_str() == "app") {
        context.output.warn(&format!(
            "{name} has no app: each login takes one of these codes. `mfa-admin app enroll {name}` makes one"
        ));
    }
    // Only what was kept is shown, and only once.
    if !context.output.is_json() {
        context.output.show(&page(&user, &set, &codes))?;
    }
    let shown_codes: Vec<Value> = codes
        .iter()
        .filter(|_| context.output.is_json())
        .map(|code| json!(code.shown().as_str()))
        .collect();
    let document = json!({
        "user": user.as_str(),
        "host": host::name(),
        "set": set.set.get(),
        "generated": record_view::generated(&set),
        "codes": shown_codes,
    });
    Ok(Reply::done(document, ""))
}

/// Puts the set into the record, in the place of the one that was agreed on.
fn keep(record: &mut UserRecord, set: &Recovery, agreed_on: Option<&SetId>) -> Result<(), Failure> {
    if record.recovery.as_ref().map(|set| &set.set) != agreed_on {
        return Err(Failure::refused(
            format!(
                "somebody else has just made recovery codes for {}; nothing was changed",
                shown(record.user.as_str())
            ),
            "begin again if theirs are to be void",
        ));
    }
    record.recovery = Some(set.clone());
    // Whoever has these is asked for a code from now on, also where they are taken out of the record.
    record.enrolled_once = true;
    Ok(())
}

fn no_codes(error: RecoveryError) -> Failure {
    match error {
        RecoveryError::NoRandomness => Failure::no_randomness(),
        RecoveryError::NoMemory => Failure::failed(
            error.to_string(),
            "see the limits of this shell (ulimit -v)",
        ),
    }
}

/// What is to be printed and kept.
fn page(user: &UserName, set: &Recovery, codes: &[RecoveryCode]) -> Zeroizing<String> {
    let name = shown(user.as_str());
    // Room for all at once: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let made = record_view::generated(set).map_or(String::new(), |at| moment(&at));
    let head = format!(
        "Recovery codes of {name} on {}, made {made}",
        shown(&host::name())
    );
    let _ = writeln!(text, "{}\n", wrap("", "", &head));
    for code in codes {
        let _ = writeln!(text, "    {}", code.shown().as_str());
    }
    for paragraph in [
        "Each of them lets in once where a verification code is asked for, in the place of the code that the app \
         shows: when the phone is lost, or locked out. Capitals or not, blanks and hyphens make no difference; \
         cross out what was used.",
        "They are shown this once. Print them, keep them where only you find them, and not with the phone. They void \
         all codes that were made before.",
    ] {
        let _ = write!(text, "\n{}\n", wrap("", "", paragraph));
    }
    text
}

fn status(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let name = shown(user.as_str());
    let Some(set) = &record.recovery else {
        return Err(Failure::not_found(
            format!("{name} has no recovery codes"),
            format!("`mfa-admin recovery generate {name}` makes {CODES}"),
        ));
    };
    let remaining = Remaining::of(context, &house, &user, set)?;
    let mut document = record_view::recovery(&record);
    if let (Some(keys), Value::Object(more)) = (document.as_object_mut(), remaining.document()) {
        keys.insert("user".to_owned(), json!(user.as_str()));
        keys.extend(more);
    }
    let text = wrap("", "", &format!("{name}: {}", remaining.text(&record)));
    Ok(Reply::answer(document, text))
}

/// What is left of a user's recovery codes, and what stands against them.
pub(crate) struct Remaining {
    /// Codes that are good yet.
    pub(crate) left: usize,
    /// Codes of the set.
    pub(crate) of: usize,
    /// Whether one would be looked at now.
    pub(crate) verdict: Verdict,
    in_row: u32,
    generated: Option<String>,
}

impl Remaining {
    fn of(
        context: &Context<'_>,
        house: &House,
        user: &UserName,
        set: &Recovery,
    ) -> Result<Self, Failure> {
        let view = house.store.state(user)?;
        let mut state = view.map(|view| view.state).unwrap_or_default();
        state.advance(&context.now());
        Ok(Self::in_state(&state, set, &house.config))
    }

    /// The same of a state that was read, on whose clock it is now.
    pub(crate) fn in_state(state: &LoginState, set: &Recovery, config: &Config) -> Self {
        Self {
            left: state.codes_left(set),
            of: set.hashes.len(),
            verdict: throttle::admit(&state.recovery, state.now(), &Limits::from(config)),
            in_row: state.recovery.in_row,
            generated: record_view::generated(set),
        }
    }

    /// Whether it is time for new ones.
    pub(crate) fn are_few(&self) -> bool {
        self.left <= FEW
    }

    /// For programs.
    pub(crate) fn document(&self) -> Value {
        let (standing, left) = record_view::standing(self.verdict);
        json!({
            "left": self.left,
            "standing": standing,
            "seconds_left": left.map(|left| left.as_secs()),
            "failures_in_row": self.in_row,
        })
    }

    /// For people.
    pub(crate) fn text(&self, record: &UserRecord) -> String {
        let mut text = format!("{} of {} recovery codes left", self.left, self.of);
        if let Some(at) = &self.generated {
            let _ = write!(text, ", made {}", moment(at));
        }
        if self.in_row > 0 || self.verdict != Verdict::Evaluate {
            let words = record_view::verdict_words(self.verdict);
            let _ = write!(text, "; {} failures in a row{words}", self.in_row);
        }
        if self.are_few() {
            let name = shown(record.user.as_str());
            let _ = write!(
                text,
                ". WARNING: make new ones: `mfa-admin recovery generate {name}`"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_takes_only_the_place_of_the_one_that_was_agreed_on() {
        let mut record = UserRecord::new(UserName::parse("alice").unwrap());
        let (first, _) = Recovery::generate(0).unwrap();
        let (second, _) = Recovery::generate(0).unwrap();
        keep(&mut record, &first, None).unwrap();
        assert!(record.enrolled_once);
        assert!(keep(&mut record, &second, None).is_err());
        assert_eq!(record.recovery.as_ref(), Some(&first));
        keep(&mut record, &second, Some(&first.set)).unwrap();
        assert_eq!(record.recovery.as_ref(), Some(&second));
    }

    #[test]
    fn the_page_has_all_codes_and_fits_a_terminal() {
        let user = UserName::parse("alice").unwrap();
        let (set, codes) = Recovery::generate(0).unwrap();
        let text = page(&user, &set, &codes);
        for code in &codes {
            assert!(text.contains(code.shown().as_str()));
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{}",
            *text
        );
        assert!(text.len() < 4096);
    }
}
