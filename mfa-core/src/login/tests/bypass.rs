//! Logins under an administrator's bypass.

use super::*;
use crate::bypass::Bypass;

const NOW: u64 = EARLIER.0;
const HOUR: u64 = 3600;

type Change = fn(&mut UserRecord);

fn with_bypass(seconds: u64) -> Scene {
    let scene = scene();
    scene.change(|record| {
        record.bypass = Some(Bypass::grant(NOW, seconds, "lost phone", "root"));
    });
    scene
}

fn uses(scene: &Scene) -> Option<u32> {
    let state = scene.shelf.state.borrow();
    state.bypass.as_ref().map(|known| known.uses)
}

#[test]
fn nobody_is_asked_while_it_is_open_and_each_use_is_told_and_counted_before() {
    let scene = with_bypass(HOUR);
    for (number, at) in (1..).zip([NOW, NOW + 60, NOW + HOUR - 1]) {
        scene.watch.0.set(at);
        let login = scene.types(&[]);
        assert_eq!(login.outcome, LoginOutcome::Skipped);
        assert_eq!(login.events, ["2005 lost phone"]);
        assert!(
            login.lines[0].contains("event=bypassed outcome=info user=\"alice\"")
                && login.lines[0].contains(" method=bypass ")
                && login.lines[0].ends_with(&format!(
                    "reason=\"lost phone\" detail=\"{} s left\"",
                    NOW + HOUR - at
                )),
            "{}",
            login.lines[0]
        );
        assert_eq!(uses(&scene), Some(number));
    }
    assert_eq!(*scene.shelf.transactions.borrow(), ["user"; 3]);
    let scene = scene.at(NOW + HOUR);
    assert_eq!(scene.types(&["000000"; 3]).outcome, LoginOutcome::Refused);
}

#[test]
fn a_clock_that_is_set_back_keeps_none_open_whose_time_has_passed() {
    let scene = with_bypass(60);
    assert_eq!(scene.types(&[]).outcome, LoginOutcome::Skipped);
    // A minute by the clock that nobody sets; that of the wall is back where it was.
    scene.shelf.state.borrow_mut().clock.elapsed_ms += 60_000;
    let login = scene.types(&["000000", EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "3097", "2101", "2001"]);
    // An end that somebody moves is no later either.
    scene.change(|record| record.bypass = Some(Bypass::grant(NOW, HOUR, "lost phone", "root")));
    assert_eq!(scene.types(&["000000"; 3]).outcome, LoginOutcome::Refused);
}

#[test]
fn its_end_is_told_once_and_a_clock_that_is_set_back_does_not_open_it_again() {
    let scene = with_bypass(60).at(NOW + 60);
    let login = scene.types(&["000000", EARLIER.1, "000001"]);
    assert_eq!(login.events[..3], ["1004", "3097", "2101"]);
    assert!(login.events[3..].iter().all(|event| event != "3097"));
    let scene = scene.at(NOW + 1);
    let login = scene.types(&[LATER.1]);
    assert_eq!(login.events, ["1004", "2001"]);
    // Nor before it began.
    let early = with_bypass(60).at(NOW - 1);
    let login = early.types(&["000000"; 3]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert!(!login.events.contains(&"3097".to_owned()));
}

#[test]
fn it_lets_in_who_is_locked_or_has_nothing_and_nobody_who_may_not_log_in() {
    let scene = with_bypass(HOUR);
    scene.shelf.state.borrow_mut().codes.disabled = true;
    assert_eq!(scene.types(&[]).outcome, LoginOutcome::Skipped);
    assert!(scene.shelf.state.borrow().codes.disabled);
    scene.change(|record| {
        record.apps.clear();
        record.methods.clear();
    });
    assert_eq!(scene.types(&[]).outcome, LoginOutcome::Skipped);
    let changes: [(Change, &str); 3] = [
        (|record| record.suspended = "left".to_owned(), "2109"),
        (|record| record.approved = false, "2104"),
        (|record| record.devices.clear(), "2105"),
    ];
    for (change, event) in changes {
        let scene = with_bypass(HOUR);
        scene.change(change);
        let login = scene.types(&[EARLIER.1; 3]);
        assert_eq!(login.outcome, LoginOutcome::Refused);
        assert_eq!(login.events, ["1004", event, event, event]);
        assert_eq!(uses(&scene), None);
    }
}

#[test]
fn what_can_not_be_counted_lets_nobody_in() {
    let scene = with_bypass(HOUR);
    *scene.shelf.transaction_error.borrow_mut() = Some(disk_error());
    let login = scene.types(&[EARLIER.1; 3]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert!(login.events.iter().all(|event| !event.starts_with("2005")));
    // Somebody else at the state for too long: a code is asked for.
    let busy = StoreError::Block(BlockError::Busy { holder: Some(7) });
    *scene.shelf.transaction_error.borrow_mut() = Some(busy);
    let login = scene.types(&[EARLIER.1; 3]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.events[..2], ["2206", "1004"]);
}

/// A store in which an administrator is quicker than the login: its look finds what the transaction does not.
struct Quick<'a> {
    before: Option<UserRecord>,
    shelf: &'a Shelf,
}

impl Store for Quick<'_> {
    fn record(&self, subject: Subject<'_>) -> Result<Option<UserRecord>, StoreError> {
        match subject {
            Subject::User(_) => Ok(self.before.clone()),
            Subject::Decoy(_) => Ok(None),
        }
    }

    fn transaction(
        &self,
        subject: Subject<'_>,
        step: &mut crate::store::Step<'_>,
    ) -> Result<(), StoreError> {
        self.shelf.transaction(subject, step)
    }

    fn change_passphrase(
        &self,
        user: &UserName,
        edit: &mut dyn FnMut(&UserRecord) -> Option<crate::record::KeptPassphrase>,
    ) -> Result<bool, StoreError> {
        self.shelf.change_passphrase(user, edit)
    }
}

#[test]
fn it_is_decided_again_before_it_is_counted() {
    let taken_back: Change = |record| record.bypass = None;
    let suspended: Change = |record| record.suspended = "left".to_owned();
    for (change, outcome) in [
        (taken_back, LoginOutcome::Accepted),
        (suspended, LoginOutcome::Refused),
    ] {
        let mut scene = with_bypass(HOUR);
        scene.config.prompt.tries = crate::config::Count::new(1).unwrap();
        let before = scene.shelf.record.borrow().clone();
        scene.change(change);
        let quick = Quick {
            before,
            shelf: &scene.shelf,
        };
        let mut person = Person {
            answers: vec![says(EARLIER.1)].into(),
            prompts: Vec::new(),
        };
        let (ended, lines) = scene.through(&mut person, &quick, run);
        assert_eq!(ended, outcome);
        assert_eq!(person.prompts.len(), 1);
        assert!(lines.iter().all(|line| !line.contains("MFA-2005")));
        assert_eq!(uses(&scene), None);
    }
}

#[test]
fn one_that_is_granted_while_the_prompt_is_open_spoils_no_code() {
    let scene = scene();
    let grant = || {
        scene.change(|record| record.bypass = Some(Bypass::grant(NOW, HOUR, "x", "root")));
        Ok(EARLIER.1)
    };
    let login = scene.play(vec![Box::new(grant)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2001"]);
}

#[test]
fn a_code_that_a_script_has_checked_is_checked() {
    let mut scene = with_bypass(HOUR);
    scene.request.service = "mfa-admin".to_owned();
    let login = scene.types(&["000000", EARLIER.1]);
    assert_eq!(login.events, ["1004", "2101", "2001"]);
    assert_eq!(uses(&scene), None);
}
