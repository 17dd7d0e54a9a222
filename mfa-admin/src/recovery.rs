//! `recovery`: recovery codes, which are shown once and never again.

use std::fmt::Write as _;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::courier::Channels;
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
use crate::output::{self, Reply, shown, wrap};
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
    if output::goes_nowhere() {
        return Err(Failure::refused(
            "standard output is closed, or /dev/null: nobody would ever see the codes; nothing was changed",
            "let it go to a terminal, a printer or a file of yours",
        ));
    }
    // Marks of used codes are kept there. One that is made anew voids whatever codes there are.
    let state = house.store.state(&user).map_err(|error| {
        let is_damaged = error.is_corruption();
        let mut failure = Failure::from(error);
        if is_damaged {
            failure.hint = format!(
                "`mfa-admin state reset {name}` first: it voids all codes there are by then"
            );
        }
        failure
    })?;
    let agreed_on = record.recovery.as_ref().map(|set| set.set.clone());
    if record.recovery.is_some() {
        ask::confirm(
            &format!("Make new recovery codes for {name}? Those that {name} has are void then."),
            is_agreed,
        )?;
    }
    let (set, codes) = Recovery::generate(context.unix_seconds()).map_err(no_codes)?;
    let (record, _) = house.change(&user, |record| keep(record, &set, agreed_on.as_ref()))?;
    let state = state.map(|view| view.state);
    for warning in warnings(context, &house.config, &record, state) {
        context.output.warn(&warning);
    }
    // Only what was kept is shown, only once, and before all else: who is interrupted now has the codes.
    let text = if context.output.is_json() {
        document(&user, &set, &codes, &context.output.take_warnings())
    } else {
        page(&user, &set, &codes)
    };
    let answered = context.output.answer(&text);
    let detail = format!("{} codes, set {}", codes.len(), set.set);
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::RecoveryGenerated, Some(&user), &entry);
    let change = Change::of(Event::RecoveryGenerated);
    notice::tell(context, &house.config, &[&record], change);
    answered.map_err(|error| {
        Failure::failed(
            format!(
                "standard output can't be written ({error}): these codes of {name} are lost, and those of before are void"
            ),
            format!("`mfa-admin recovery generate {name}` makes new ones"),
        )
    })?;
    Ok(Reply::done(Value::Null, ""))
}

/// What to mind of codes that were just made.
fn warnings(
    context: &Context<'_>,
    config: &Config,
    record: &UserRecord,
    state: Option<LoginState>,
) -> Vec<String> {
    let name = shown(record.user.as_str());
    let mut warnings = Vec::new();
    if record.apps.is_empty() && record.methods.iter().all(|m| m.as_str() == "app") {
        warnings.push(format!(
            "{name} has no app: each login takes one of these codes. `mfa-admin app enroll {name}` makes one"
        ));
    }
    let channels = Channels::of(config);
    if !channels.any() {
        warnings.push(format!(
            "nothing is delivered on this host: {name} is not told when one of these codes is used"
        ));
    } else if !mfa_core::notice::reaches(channels, record) {
        warnings.push(format!(
            "{name} has no address that notices go to, and is not told when one of these codes is used; see \
             `mfa-admin user set {name} --help`"
        ));
    }
    let mut state = state.unwrap_or_default();
    state.advance(&context.now());
    let verdict = throttle::admit(&state.recovery, state.now(), &Limits::from(config));
    if verdict != Verdict::Evaluate {
        warnings.push(format!(
            "no recovery code of {name} lets in after {} failures in a row{}; see who was guessing, then \
             `mfa-admin user unlock {name}`",
            state.recovery.in_row,
            record_view::verdict_words(verdict)
        ));
    }
    warnings
}

/// The answer for programs. Written by hand, into room for all at once: what makes documents leaves copies behind.
fn document(
    user: &UserName,
    set: &Recovery,
    codes: &[RecoveryCode],
    warnings: &[String],
) -> Zeroizing<String> {
    let mut head = String::new();
    for (key, value) in [
        ("version", json!(1)),
        ("user", json!(user.as_str())),
        ("host", json!(host::name())),
        ("set", json!(set.set.get())),
        ("generated", json!(record_view::generated(set))),
    ] {
        let _ = writeln!(head, "  \"{key}\": {value},");
    }
    let warnings = json!(warnings).to_string();
    let room = head.len() + warnings.len() + 32 * codes.len() + 64;
    let mut text = Zeroizing::new(String::with_capacity(room));
    let _ = write!(text, "{{\n{head}  \"codes\": [");
    for (place, code) in codes.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n    \"{}\"", code.shown().as_str());
    }
    let _ = write!(text, "\n  ],\n  \"warnings\": {warnings}\n}}\n");
    text
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
    let remaining = Remaining::of(context, &house, &record, set)?;
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
        record: &UserRecord,
        set: &Recovery,
    ) -> Result<Self, Failure> {
        let view = house.store.state(&record.user)?;
        let mut state = view.map_or_else(|| LoginState::anew(Some(record)), |view| view.state);
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

    #[test]
    fn the_document_is_one_and_never_grew() {
        let user = UserName::parse("alice \"a\"").unwrap();
        let (set, codes) = Recovery::generate(0).unwrap();
        for warnings in [vec![], vec!["mind \"this\"\n".to_owned(), "é".repeat(9000)]] {
            let text = document(&user, &set, &codes, &warnings);
            let read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (&read["user"], &read["warnings"]),
                (&json!("alice \"a\""), &json!(warnings))
            );
            for (place, code) in codes.iter().enumerate() {
                assert_eq!(read["codes"][place], code.shown().as_str());
            }
            let room = text.capacity();
            assert!(
                text.ends_with("\n}\n") && room < text.len() + 400,
                "{room} for {}",
                text.len()
            );
        }
    }
}
