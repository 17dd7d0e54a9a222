//! What has to be true after a login that was failed, killed or torn: of its files, and of the logins that follow.

use std::collections::BTreeSet;

use crate::crew::Tally;
use crate::scenes::Truth;
use crate::stage::{Stage, USER, look_around, sweep};

/// Counted: a code that was tried again.
pub(crate) const REFUSED: &str = "logins afterwards with a code that was used, refused";
/// Counted: one that was still good, and the next one.
pub(crate) const RIGHT: &str = "logins afterwards with a right code, let in";
/// Counted: whom nothing lets in.
pub(crate) const KEPT_OUT: &str =
    "logins afterwards of who is locked, suspended or elsewhere, refused";
/// Counted: notices that were being written.
pub(crate) const HALF_MADE: &str = "half-made notices in tmp, which the courier clears away";

/// A login that is over, one way or another.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own"
)]
pub(crate) struct Login<'a> {
    pub(crate) answers: &'a [String],
    pub(crate) has_let_in: bool,
    /// Nobody could clear away a notice that was being written.
    pub(crate) may_be_cut_short: bool,
    /// A slot of the state may hold half of something.
    pub(crate) may_be_torn: bool,
    /// It may have changed what it could not say any more, or not be sure of.
    pub(crate) may_be_done_unsaid: bool,
}

/// What the state says before the first answer and after each; a wish for a code may have come to nothing.
pub(crate) fn clean_meanings(stage: &mut Stage<'_>) -> BTreeSet<String> {
    stage.begin();
    let all = stage.answers();
    let is_wish = |answer: &String| answer == "text ";
    let without_wishes: Vec<_> = all.iter().filter(|answer| !is_wish(answer)).collect();
    let mut found = BTreeSet::new();
    if stage.scene.truth == Truth::Free {
        // It asks nothing before it lets in.
        found.insert(stage.meaning().text);
    }
    for count in 0..=all.len() {
        found.insert(meaning_after(stage, |answers| answers.truncate(count)));
    }
    for count in 0..=without_wishes.len() {
        found.insert(meaning_after(stage, |answers| {
            answers.retain(|answer| !is_wish(answer));
            answers.truncate(count);
        }));
    }
    found
}

fn meaning_after(stage: &mut Stage<'_>, change: impl Fn(&mut Vec<String>)) -> String {
    stage.begin();
    let mut answers = stage.answers();
    change(&mut answers);
    answers.push("convfail".to_owned());
    let script = stage.script(&answers, &[stage.scene.hooks[0], "forget"]);
    let player = stage.host.player().service(stage.scene.service);
    player.play(&script);
    stage.meaning().text
}

/// Looks at files and state, then logs in again, without any fault.
pub(crate) fn look_after(
    stage: &mut Stage<'_>,
    login: &Login<'_>,
    meanings: &BTreeSet<String>,
    tally: &Tally,
) -> Result<(), String> {
    let may_be_half = login.may_be_cut_short && stage.scene.writes_record;
    let half_made = look_around(&stage.host, may_be_half)?;
    if half_made > 0 {
        if !login.may_be_cut_short {
            return Err("a half-made notice is left over".to_owned());
        }
        sweep(&stage.host)?;
        tally.add(HALF_MADE, half_made);
    }
    let meaning = stage.meaning();
    if !meanings.contains(&meaning.text) {
        return Err(format!("the state says {meaning:?}, none of {meanings:#?}"));
    }
    if !meaning.warnings.is_empty() && !login.may_be_torn {
        return Err(meaning.warnings);
    }
    (stage.scene.holds)(stage, login)
        .and_then(|()| log_in_again(stage, login, meaning.is_first_used, tally))
        .map_err(|what| format!("the state had said {meaning:?}; afterwards {what}"))?;
    if may_be_half {
        let words = ["user", "set", USER, "--email", "elsewhere@example.com"];
        stage.host.admin(&words).expect_success();
        look_around(&stage.host, false)?;
    }
    Ok(())
}

fn log_in_again(
    stage: &mut Stage<'_>,
    login: &Login<'_>,
    is_first_used: bool,
    tally: &Tally,
) -> Result<(), String> {
    let (first, second) = (stage.codes.first(), stage.codes.second());
    if stage.scene.truth == Truth::KeptOut {
        let (seen, results) = stage.try_codes(&[&first, &second]);
        if results != [false, false] {
            return Err(format!("{results:?}\n{seen}"));
        }
        tally.add(KEPT_OUT, 2);
        stage.lift_the_curtain();
        let (seen, results) = stage.try_codes(&[&second]);
        if results != [true] {
            return Err(format!("{results:?}, with nothing in the way\n{seen}"));
        }
        tally.add(RIGHT, 1);
        return Ok(());
    }
    // What was typed last, if it was right; a code of the app's otherwise.
    let typed = match stage.scene.truth {
        Truth::Right => {
            let last = login
                .answers
                .last()
                .and_then(|answer| answer.strip_prefix("text "));
            last.unwrap().to_owned()
        }
        Truth::Wrong | Truth::Free | Truth::KeptOut | Truth::Emergency => first.clone(),
    };
    let (seen, results) = stage.try_codes(&[&typed, &typed, &second]);
    let times = results.iter().take(2).filter(|&&is_in| is_in).count();
    let has_used = login.has_let_in && stage.scene.truth == Truth::Right;
    let wrong = if times + usize::from(has_used) > 1 {
        "a code has let in twice"
    } else if typed == first && (times == 0) != is_first_used {
        "the state was not believed"
    } else if results.get(2) != Some(&true) {
        "the next login is refused"
    } else {
        tally.add(RIGHT, 1 + times);
        tally.add(REFUSED, 2 - times);
        return Ok(());
    };
    Err(format!("{results:?}: {wrong}\n{seen}"))
}
