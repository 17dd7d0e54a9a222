//! Logins with recovery codes.

use std::sync::LazyLock;

use super::*;
use crate::record::Recovery;
use crate::recovery::{HAS_NO_MEMORY, HASHES};

const MINUTE: u64 = 60;

/// A right shape, and nobody's code.
const WRONG: &str = "ZZZZ-ZZZZ-ZZZZZ";

/// Alice with the app and ten recovery codes, which are given too.
pub(super) fn with_codes(scene: Scene) -> (Scene, &'static [&'static str]) {
    static SET: LazyLock<(Recovery, Vec<&str>)> = LazyLock::new(generate);
    scene.change(|record| record.recovery = Some(SET.0.clone()));
    (scene, &SET.1)
}

fn generate() -> (Recovery, Vec<&'static str>) {
    let (set, codes) = Recovery::generate(0).unwrap();
    (set, codes.iter().map(|code| leak(&code.shown())).collect())
}

/// Answers of a script live as long as the test.
fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// How many hashes a login computes.
fn hashes(play: impl FnOnce() -> Scenes) -> (Scenes, usize) {
    let before = HASHES.get();
    let login = play();
    (login, HASHES.get() - before)
}

#[test]
fn a_recovery_code_lets_in_once_and_is_marked_before() {
    let (scene, codes) = with_codes(scene());
    let login = scene.types(&[codes[3]]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2002"]);
    assert_eq!(login.prompts, [("Verification code: ".to_owned(), false)]);
    assert!(
        login.lines[1].contains("event=accepted_with_recovery_code outcome=success")
            && login.lines[1].contains(" method=recovery app=- try=1 ")
            && login.lines[1].ends_with("detail=\"9 of 10 left\""),
        "{}",
        login.lines[1]
    );
    assert!(login.lines.iter().all(|line| !line.contains(codes[3])));
    let again = scene.types(&[codes[3], codes[4]]);
    assert_eq!(again.outcome, LoginOutcome::Accepted);
    assert_eq!(again.events, ["1004", "2102", "2002"]);
    assert!(
        again.lines[1].contains("event=replayed") && again.lines[1].contains("method=recovery")
    );
    // The app goes on as ever.
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
}

#[test]
fn it_is_taken_as_it_is_meant() {
    let (scene, codes) = with_codes(scene());
    let plain = codes[1].replace('-', "");
    let misread = codes[2].replace('0', "o").replace('1', "l");
    for typed in [
        codes[0].to_lowercase(),
        plain.clone(),
        format!(" {} ", codes[2].replace('-', " ")),
    ] {
        assert_eq!(
            scene.types(&[leak(&typed)]).outcome,
            LoginOutcome::Accepted,
            "{typed}"
        );
    }
    assert_eq!(scene.types(&[leak(&misread), EARLIER.1]).events[1], "2102");
}

#[test]
fn a_code_that_can_not_be_marked_does_not_let_in() {
    let (scene, codes) = with_codes(scene());
    *scene.shelf.transaction_error.borrow_mut() = Some(disk_error());
    let login = scene.types(&[codes[0], EARLIER.1, "000000"]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert!(
        login.events.iter().all(|event| event != "2002"),
        "{:?}",
        login.events
    );
    *scene.shelf.transaction_error.borrow_mut() = None;
    assert_eq!(scene.types(&[codes[0]]).outcome, LoginOutcome::Accepted);
}

#[test]
fn it_lets_in_whatever_stands_against_app_codes_and_takes_none_of_it_back() {
    for stands in [
        |state: &mut LoginState| state.codes.disabled = true,
        |state: &mut LoginState| state.codes.locked_at = Some(state.now()),
        |state: &mut LoginState| {
            state.codes.window_opened = Some(state.now());
            state.codes.in_window = 5;
        },
    ] {
        let (scene, codes) = with_codes(scene());
        stands(&mut scene.shelf.state.borrow_mut());
        let before = scene.shelf.state.borrow().codes.clone();
        let login = scene.types(&[EARLIER.1, codes[0]]);
        assert_eq!(login.outcome, LoginOutcome::Accepted, "{before:?}");
        assert_eq!(scene.shelf.state.borrow().codes, before);
    }
}

#[test]
fn wrong_recovery_codes_are_counted_by_themselves() {
    let (scene, codes) = with_codes(scene());
    let scene = scene.at(1_000_000);
    let login = scene.types(&[WRONG; 3]);
    assert_eq!(login.events, ["1004", "2101", "2101", "2101"]);
    assert!(
        login.lines[1].contains("event=bad_code") && login.lines[1].contains("method=recovery")
    );
    let login = scene.types(&[WRONG, WRONG, codes[0]]);
    assert_eq!(login.events, ["1004", "2101", "2101", "2201"]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    let state = scene.shelf.state.borrow().clone();
    assert_eq!((state.recovery.in_row, state.codes.in_row), (5, 0));
    assert_eq!(state.used, None);
    // App codes don't mind, and their success forgives nothing here.
    scene.watch.0.set(EARLIER.0);
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
    assert_eq!(scene.shelf.state.borrow().recovery.in_row, 5);
    let login = scene.types(&[WRONG, WRONG, WRONG]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    let scene = scene.at(EARLIER.0 + 2 * MINUTE);
    let login = scene.types(&[WRONG, WRONG, codes[0]]);
    assert_eq!(login.events, ["1004", "2101", "2101", "2204", "2202"]);
    assert!(
        login.lines[4].contains("event=became_locked")
            && login.lines[4].contains("method=recovery")
    );
    let scene = scene.at(EARLIER.0 + 20 * MINUTE);
    assert_eq!(scene.types(&[codes[0]]).outcome, LoginOutcome::Accepted);
    let state = scene.shelf.state.borrow();
    assert_eq!((state.recovery.in_row, state.recovery.locked_at), (0, None));
}

#[test]
fn a_hundred_wrong_recovery_codes_in_a_row_disable_them_and_not_the_app() {
    let (scene, codes) = with_codes(scene());
    scene.shelf.state.borrow_mut().recovery.in_row = 99;
    let login = scene.types(&[WRONG, codes[0], codes[0]]);
    assert_eq!(login.events, ["1004", "2101", "2205", "2203", "2203"]);
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
}

#[test]
fn a_new_set_voids_the_one_before_also_while_the_prompt_is_open() {
    let (scene, old) = with_codes(scene());
    assert_eq!(scene.types(&[old[0]]).outcome, LoginOutcome::Accepted);
    let (set, new) = generate();
    let (late, first) = (old[1], new[0]);
    let login = scene.play(vec![
        Box::new(|| {
            scene.change(|record| record.recovery = Some(set.clone()));
            Ok(late)
        }),
        says(first),
    ]);
    assert_eq!(login.events, ["1004", "2101", "2002"]);
    assert!(login.lines[3].contains("9 of 10 left"));
    // Marks of the one don't count for the other.
    assert_eq!(
        scene.types(&[new[0], new[1]]).events,
        ["1004", "2102", "2002"]
    );
}

#[test]
fn who_is_refused_is_refused_with_a_recovery_code_too_and_loses_none() {
    for (event, change) in [
        (
            "2109",
            (|record: &mut UserRecord| record.suspended = "left".into()) as fn(&mut UserRecord),
        ),
        ("2104", |record| record.approved = false),
        ("2105", |record| record.devices.clear()),
    ] {
        let (scene, codes) = with_codes(scene());
        scene.change(change);
        let login = scene.types(&[codes[0], codes[1], codes[2]]);
        assert_eq!(login.outcome, LoginOutcome::Refused);
        assert_eq!(login.events, ["1004", event, event, event]);
        assert_eq!(scene.shelf.state.borrow().used, None);
    }
}

#[test]
fn recovery_codes_alone_are_enough_and_when_they_are_used_up_nobody_is_let_by() {
    let (mut scene, codes) = with_codes(scene());
    scene.request.nullok = true;
    scene.change(|record| {
        record.apps.clear();
        record.enrolled_once = false;
    });
    for code in codes {
        assert_eq!(scene.types(&[code]).outcome, LoginOutcome::Accepted);
    }
    let login = scene.types(&[codes[0], EARLIER.1, "000000"]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.events, ["1004", "2102", "2101", "2101"]);
}

#[test]
fn an_answer_as_long_as_a_recovery_code_costs_one_hash_whoever_gives_it() {
    type Change = fn(&mut Scene);
    let cases: [(&str, Change); 12] = [
        ("a wrong code", |_| {}),
        ("no set", |scene| {
            scene.change(|record| record.recovery = None);
        }),
        ("no app", |scene| scene.change(|record| record.apps.clear())),
        ("no record", |scene| scene.shelf.record = RefCell::new(None)),
        ("no account", |scene| scene.request.account = None),
        ("suspended", |scene| {
            scene.change(|record| record.suspended = "left".into());
        }),
        ("not approved", |scene| {
            scene.change(|record| record.approved = false);
        }),
        ("elsewhere", |scene| {
            scene.change(|record| record.devices.clear());
        }),
        ("locked", |scene| {
            scene.shelf.state.borrow_mut().recovery.locked_at = Some(0);
        }),
        ("disabled", |scene| {
            scene.shelf.state.borrow_mut().recovery.disabled = true;
        }),
        ("a damaged record", |scene| {
            *scene.shelf.record_error.borrow_mut() = Some(disk_error());
        }),
        ("busy", |scene| {
            *scene.shelf.transaction_error.borrow_mut() =
                Some(StoreError::Block(BlockError::Busy { holder: None }));
        }),
    ];
    // Shaped like one; as long and of another shape; a code with blanks; what sshd makes of each.
    for typed in [
        WRONG,
        "ZZZZZZZZZZZZZ",
        "no such code!",
        "1 2 3 4 5 6 7 8",
        "correct battery staple",
        "\u{8}\n\r\u{7f}INCORRECT",
        "\u{8}\n\r\u{7f}INCORRECT\u{8}\n",
        "\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r\u{7f}INC",
    ] {
        let (plain, _) = with_codes(scene());
        let expected = plain.types(&[typed; 3]).prompts;
        for (who, change) in cases {
            let (mut scene, _) = with_codes(scene());
            change(&mut scene);
            let (login, count) = hashes(|| scene.types(&[typed; 3]));
            assert_eq!(count, 3, "{typed:?}, {who}");
            assert_eq!(login.prompts, expected, "{typed:?}, {who}");
            assert_ne!(login.outcome, LoginOutcome::Accepted, "{typed:?}, {who}");
            assert_eq!(
                scene.shelf.transactions.borrow().len(),
                3,
                "{typed:?}, {who}"
            );
        }
    }
    // What can't be one costs none.
    let (scene, _) = with_codes(scene());
    let long = leak(&"Z".repeat(33));
    assert_eq!(
        hashes(|| scene.types(&["000000", "ZZZZZZZZZZZZ", long])).1,
        0
    );
}

#[test]
fn a_right_one_costs_one_hash_too() {
    let (scene, codes) = with_codes(scene());
    for code in [codes[9], codes[0]] {
        assert_eq!(hashes(|| scene.types(&[code])).1, 1);
    }
}

#[test]
fn what_sshd_hides_may_have_been_a_recovery_code() {
    let (mut stranger, _) = with_codes(scene());
    stranger.request.account = None;
    let dummy: String = "\u{8}\n\r\u{7f}INCORRECT".repeat(3);
    let classic = "authentication failure; ";
    // Whatever could have been one is charged and told like one; nothing else is.
    for (length, event) in [
        (5, "2101 not_a_code"),
        (12, "2101 not_a_code"),
        (13, "2106"),
        (14, "2106"),
        (15, "2106"),
        (16, "2106"),
        (32, "2106"),
        (33, "2101 not_a_code"),
    ] {
        stranger.shelf.transactions.take();
        let login = stranger.types(&[leak(&dummy[..length]); 3]);
        assert_eq!(login.events, ["1004", event, event, event], "{length}");
        assert_eq!(*stranger.shelf.transactions.borrow(), ["decoy"; 3]);
        let place = login
            .lines
            .iter()
            .position(|line| line.starts_with(classic));
        let told_at_once = place == Some(2);
        assert_eq!(told_at_once, event == "2106", "{length}");
    }
}

#[test]
fn where_there_is_no_memory_for_a_hash_everybody_is_refused_alike() {
    let tries = |change: fn(&mut Scene), typed: &'static str| {
        let (mut scene, codes) = with_codes(scene());
        change(&mut scene);
        HAS_NO_MEMORY.set(true);
        let typed = if typed.is_empty() { codes[0] } else { typed };
        let login = scene.types(&[typed; 3]);
        HAS_NO_MEMORY.set(false);
        // Nobody's state was looked at.
        assert_eq!(*scene.shelf.transactions.borrow(), ["decoy"; 3]);
        assert_eq!(scene.shelf.state.borrow().recovery.in_row, 0);
        (login.outcome, login.prompts, login.events[1].clone())
    };
    let expected = tries(|_| {}, "");
    assert_eq!(expected.0, LoginOutcome::Unavailable);
    assert_eq!(expected.2, "4001 no_memory");
    for change in [
        |_: &mut Scene| {},
        |scene: &mut Scene| scene.shelf.record = RefCell::new(None),
        |scene: &mut Scene| scene.request.account = None,
        |scene: &mut Scene| scene.change(|record| record.recovery = None),
        |scene: &mut Scene| scene.change(|record| record.suspended = "left".into()),
        |scene: &mut Scene| scene.shelf.state.borrow_mut().recovery.disabled = true,
    ] {
        for typed in [WRONG, "no such code!", "\u{8}\n\r\u{7f}INCORRECT\u{8}\n"] {
            assert_eq!(tries(change, typed), expected, "{typed:?}");
        }
    }
    // What can't be one needs none.
    let (scene, _) = with_codes(scene());
    HAS_NO_MEMORY.set(true);
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
    HAS_NO_MEMORY.set(false);
}

/// The notices of a login, and those of its session, of a host that tells of logins as it says.
fn told(scene: &Scene, code: &'static str, method: &str) -> (Vec<Document>, Vec<Document>) {
    assert_eq!(scene.types(&[code]).outcome, LoginOutcome::Accepted);
    let at_the_prompt = scene.post.spooled.take();
    assert!(at_the_prompt.iter().all(|(_, is_wanted)| *is_wanted));
    let at_the_prompt = at_the_prompt.into_iter().map(|(notice, _)| notice);
    let at_the_prompt = at_the_prompt.collect();
    (at_the_prompt, session_by(scene, method))
}

#[test]
fn a_login_with_a_recovery_code_is_told_once_whatever_the_host_tells_of_others() {
    let mail = "[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n[notices]\non_login = ";
    for on_login in ["always", "new_address", "never"] {
        let (mut scene, codes) = with_codes(mailing());
        scene.config = config(&format!("{mail}{on_login:?}"));
        let (at_the_prompt, at_the_session) = told(&scene, codes[0], "recovery");
        let [notice] = &at_the_prompt[..] else {
            panic!("{on_login}: {at_the_prompt:?}")
        };
        assert_eq!(
            (
                notice.kind,
                notice.method.as_str(),
                notice.codes_left,
                notice.to.as_str()
            ),
            (Kind::Login, "recovery", Some(9), "alice@example.com")
        );
        assert_eq!(
            (notice.from.as_str(), notice.login.as_str()),
            ("203.0.113.7", "9f2c41d07be1")
        );
        assert!(at_the_session.is_empty(), "{on_login}");
        // The session says so once; the environment alone silences nothing.
        let again = session_by(&scene, "recovery").len();
        assert_eq!(again, usize::from(on_login == "always"), "{on_login}");
    }
}

#[test]
fn what_the_environment_says_of_a_login_does_not_silence_its_notice() {
    let (scene, codes) = with_codes(mailing());
    let (at_the_prompt, at_the_session) = told(&scene, codes[0], "app");
    assert_eq!((at_the_prompt.len(), at_the_session.len()), (1, 1));
    let (at_the_prompt, at_the_session) = told(&scene, EARLIER.1, "app");
    assert_eq!((at_the_prompt.len(), at_the_session.len()), (0, 1));
}

#[test]
fn a_notice_that_can_not_be_kept_is_said_and_the_session_tells_whatever_is_told_of_others() {
    let mail = "[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n[notices]\non_login = ";
    for on_login in ["always", "new_address", "never"] {
        let (mut scene, codes) = with_codes(mailing());
        scene.config = config(&format!("{mail}{on_login:?}"));
        // Somebody who was told of this address before is told of the code all the same.
        scene.shelf.state.borrow_mut().tell_of("203.0.113.7");
        scene.post.is_full.set(true);
        let login = scene.types(&[codes[0]]);
        assert_eq!(login.outcome, LoginOutcome::Accepted);
        assert_eq!(login.events, ["1004", "2002", "5001 spool_full"]);
        assert!(session_by(&scene, "recovery").is_empty(), "still full");
        scene.post.is_full.set(false);
        let told = session_by(&scene, "recovery");
        assert_eq!(told.len(), 1, "{on_login}");
        assert_eq!(
            (told[0].method.as_str(), told[0].codes_left),
            ("recovery", Some(9)),
            "{on_login}"
        );
        // Once.
        assert!(session_by(&scene, "recovery").is_empty(), "{on_login}");
    }
}

#[test]
fn an_address_counts_as_told_only_where_the_user_was_told() {
    let mail = "[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n[notices]\non_login = ";
    let (mut scene, codes) = with_codes(mailing());
    scene.config = config(&format!("{mail}\"new_address\""));
    scene.post.is_full.set(true);
    assert_eq!(scene.types(&[codes[0]]).outcome, LoginOutcome::Accepted);
    assert!(session_by(&scene, "recovery").is_empty());
    assert!(!scene.shelf.state.borrow().was_told_of("203.0.113.7"));
    scene.post.is_full.set(false);
    // Nobody to be told: no address.
    scene.change(|record| record.email = None);
    assert_eq!(scene.types(&[codes[1]]).outcome, LoginOutcome::Accepted);
    assert!(session_by(&scene, "recovery").is_empty());
    assert!(!scene.shelf.state.borrow().was_told_of("203.0.113.7"));
}

#[test]
fn a_lock_of_recovery_codes_is_told_as_one() {
    let (scene, _) = with_codes(mailing());
    scene.shelf.state.borrow_mut().recovery.in_row = 9;
    let login = scene.types(&[WRONG, WRONG, "000000"]);
    assert_eq!(login.events[..4], ["1004", "2101", "2204", "2202"]);
    let told = || -> Vec<String> {
        let spooled = scene.post.spooled.take();
        spooled
            .into_iter()
            .map(|(notice, _)| notice.event)
            .collect()
    };
    assert_eq!(
        told(),
        [
            "recovery_became_locked",
            "recovery_refused_while_locked",
            "bad_code"
        ]
    );
    scene.shelf.state.borrow_mut().recovery.in_row = 99;
    scene.shelf.state.borrow_mut().recovery.locked_at = None;
    scene.types(&[WRONG; 3]);
    assert_eq!(
        told(),
        [
            "recovery_became_disabled",
            "recovery_refused_while_disabled",
            "recovery_refused_while_disabled"
        ]
    );
}

#[test]
fn both_slots_have_a_code_as_used_before_anybody_is_in() {
    let (scene, codes) = with_codes(scene());
    assert_eq!(scene.types(&[codes[0]]).outcome, LoginOutcome::Accepted);
    assert_eq!(*scene.shelf.transactions.borrow(), ["user", "user"]);
    // A refusal takes one transaction, as of everybody.
    scene.shelf.transactions.take();
    scene.types(&[codes[0], WRONG, WRONG]);
    assert_eq!(scene.shelf.transactions.borrow().len(), 3);
}

#[test]
fn of_failures_with_recovery_codes_the_user_is_told_as_of_others() {
    let (scene, codes) = with_codes(mailing());
    assert_eq!(scene.types(&[codes[0]]).outcome, LoginOutcome::Accepted);
    scene.post.spooled.borrow_mut().clear();
    scene.types(&[WRONG, codes[0], "ZZZZZZZZZZZZU"]);
    let spooled = scene.post.spooled.borrow();
    let told: Vec<_> = spooled
        .iter()
        .map(|(notice, wanted)| (notice.event.as_str(), *wanted))
        .collect();
    assert_eq!(told, [("bad_code", true), ("replayed", true), ("", false)]);
}

#[test]
fn a_used_recovery_code_counts_as_a_failure_every_time() {
    let (scene, codes) = with_codes(scene());
    assert_eq!(scene.types(&[codes[0]]).outcome, LoginOutcome::Accepted);
    let login = scene.types(&[codes[0]; 3]);
    assert_eq!(login.events, ["1004", "2102", "2102", "2102"]);
    let state = scene.shelf.state.borrow();
    assert_eq!((state.recovery.in_row, state.codes.in_row), (3, 0));
}
