//! Logins with hardware tokens, and with several authenticators. The codes are those of RFC 4226, appendix D, and
//! what follows them.

use super::*;
use crate::hotp::{COMPUTED, Hotp};
use crate::record::Token;
use crate::throttle::Failures;

const MINUTE: u64 = 60;
const OTHER_SECRET: &[u8] = b"09876543210987654321";

/// The code of a counter.
fn code(secret: &[u8], counter: u64) -> &'static str {
    let text = format!("{:06}", Hotp::new(secret, 6).code_at(counter));
    Box::leak(text.into_boxed_str())
}

/// The code of the token over the secret of appendix D.
fn shown(counter: u64) -> &'static str {
    code(SECRET, counter)
}

fn token(key: &SealingKey, id: &str, label: &str, secret: &[u8]) -> Token {
    let id = AppId::parse(id).unwrap();
    let purpose = Token::seal_purpose(&id);
    Token {
        secret: key.seal("alice", &purpose, secret).unwrap(),
        id,
        label: Label::parse(label).unwrap(),
        digits: Digits::parse(6).unwrap(),
        counter: 0,
        enrolled: datetime(0),
        disabled: false,
    }
}

/// Alice with a token that stands at `next`, and nothing else.
fn with_token(next: u64) -> Scene {
    let scene = scene();
    let key = token(&scene.key, "000000aa", "key ring", SECRET);
    scene.shelf.state.borrow_mut().raise_token(&key.id, next);
    scene.change(|record| {
        record.apps.clear();
        record.methods = vec![Method::Token];
        record.tokens = vec![key];
    });
    scene
}

/// Two apps and two tokens.
fn with_four() -> Scene {
    let scene = with_token(0);
    let second = token(&scene.key, "000000bb", "spare", OTHER_SECRET);
    scene.shelf.state.borrow_mut().raise_token(&second.id, 500);
    let apps = vec![
        app(&scene.key, "00000001", "phone", SECRET),
        app(&scene.key, "00000002", "tablet", OTHER_SECRET),
    ];
    scene.change(|record| {
        record.tokens.push(second);
        record.apps = apps;
        record.methods = vec![Method::App, Method::Token];
    });
    scene
}

fn next(scene: &Scene, id: &str) -> Option<u64> {
    let state = scene.shelf.state.borrow();
    state
        .token(&AppId::parse(id).unwrap())
        .map(|token| token.next)
}

/// No failure stands against anybody.
fn forgive(scene: &Scene) {
    scene.shelf.state.borrow_mut().codes = Failures::default();
}

#[test]
fn the_codes_of_a_token_let_in_one_after_the_other_and_each_once() {
    let scene = with_token(0);
    for (counter, expected) in (0..).zip(["755224", "287082", "359152", "969429", "338314"]) {
        assert_eq!(shown(counter), expected);
        let login = scene.types(&[expected]);
        assert_eq!(login.outcome, LoginOutcome::Accepted, "{counter}");
        assert_eq!(login.events, ["1004", "2001"]);
        assert!(
            login.lines[1].contains(" method=token app=\"key ring\" try=1 "),
            "{}",
            login.lines[1]
        );
        assert_eq!(next(&scene, "000000aa"), Some(counter + 1));
        let again = scene.types(&[expected; 3]);
        assert_eq!(again.outcome, LoginOutcome::Refused);
        assert_eq!(scene.shelf.state.borrow().codes.in_row, 3, "they count");
        assert_eq!(again.events, ["1004", "2102", "2102", "2102"]);
        assert!(
            again.lines[1].contains(" method=token app=\"key ring\" "),
            "{}",
            again.lines[1]
        );
        forgive(&scene);
    }
    let state = scene.shelf.state.borrow();
    assert_eq!(state.tokens[0].used, EARLIER.0);
    assert_eq!(state.last_success.as_ref().unwrap().at, EARLIER.0);
}

#[test]
fn what_was_skipped_is_used_and_what_is_further_ahead_does_not_let_in() {
    let scene = with_token(3);
    // Ten beyond the next one, and not eleven.
    assert_eq!(scene.types(&[shown(13)]).outcome, LoginOutcome::Accepted);
    assert_eq!(next(&scene, "000000aa"), Some(14));
    let login = scene.types(&[shown(5), shown(12), shown(3)]);
    // Of those just before it is said that they were used; of earlier ones that they are wrong.
    assert_eq!(login.events, ["1004", "2102", "2102", "2101"]);
    forgive(&scene);
    let login = scene.types(&[shown(25), "000000", shown(24)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101 out_of_step", "2101", "2001"]);
    assert!(
        login.lines[1].contains(" method=token app=\"key ring\" "),
        "{}",
        login.lines[1]
    );
}

#[test]
fn two_codes_in_a_row_bring_a_token_back_into_step() {
    // At one login, and from one to the next; as far as a look goes, and no further.
    for (first, is_far) in [
        (11, false),
        (50, false),
        (100, false),
        (101, true),
        (5000, true),
    ] {
        let scene = with_token(0);
        let login =
            scene.types(&[shown(first), shown(first + 1), "000000"][..if is_far { 3 } else { 2 }]);
        if is_far {
            assert_eq!(login.events, ["1004", "2101", "2101", "2101"], "{first}");
            assert_eq!(next(&scene, "000000aa"), Some(0));
            // Nothing is lost.
            assert_eq!(scene.types(&[shown(0)]).outcome, LoginOutcome::Accepted);
            continue;
        }
        assert_eq!(login.outcome, LoginOutcome::Accepted, "{first}");
        assert_eq!(login.events, ["1004", "2101 out_of_step", "2004", "2001"]);
        assert!(
            login.lines[3].contains("event=token_resynchronised outcome=info")
                && login.lines[3].contains(" method=token app=\"key ring\" "),
            "{}",
            login.lines[3]
        );
        assert_eq!(next(&scene, "000000aa"), Some(first + 2));
        assert_eq!(scene.shelf.state.borrow().resync, None);
        let scene = with_token(0);
        let hangs_up = || -> Answer<'_> { Box::new(|| Err(PromptError::Failed)) };
        let _ = scene.play(vec![says(shown(first)), hangs_up()]);
        assert_eq!(
            scene.shelf.state.borrow().codes.in_row,
            1,
            "it is a failure"
        );
        let login = scene.types(&[shown(first + 1)]);
        assert_eq!(login.outcome, LoginOutcome::Accepted, "{first}");
        // Neither of the two is good afterwards, nor any before them.
        let login = scene.types(&[shown(first + 1), shown(first), shown(0)]);
        assert_eq!(login.outcome, LoginOutcome::Refused);
        assert_eq!(login.events[1..3], ["2102", "2102"]);
    }
}

#[test]
fn two_codes_that_do_not_follow_each_other_bring_nothing_back() {
    // In between, another code; the same one again; one left out; the other way round.
    for codes in [
        [shown(40), "000000", shown(41)],
        [shown(40), shown(40), shown(42)],
        [shown(40), shown(42), shown(44)],
        [shown(41), shown(40), shown(39)],
    ] {
        let scene = with_token(0);
        let login = scene.types(&codes);
        assert_eq!(login.outcome, LoginOutcome::Refused, "{codes:?}");
        assert_eq!(next(&scene, "000000aa"), Some(0));
    }
    // After another code, two in a row do all the same.
    let scene = with_token(0);
    let login = scene.types(&[shown(40), shown(42), shown(43)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    // A code that lets in ends it.
    let scene = with_token(0);
    assert_eq!(
        scene.types(&[shown(40), shown(2)]).outcome,
        LoginOutcome::Accepted
    );
    assert_eq!(
        scene.types(&[shown(41), "000000", "000000"]).events[1],
        "2101 out_of_step"
    );
    // What is no code does not.
    let scene = with_token(0);
    let login = scene.types(&[shown(40), "what now", shown(41)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
}

#[test]
fn where_it_is_turned_off_two_codes_in_a_row_bring_nothing_back() {
    let mut scene = with_token(0);
    scene.config = Config::parse(b"version = 1\n[token]\nresync = 0\nlook_ahead = 2").unwrap();
    let login = scene.types(&[shown(3), shown(4), shown(2)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101", "2101", "2001"]);
}

#[test]
fn a_token_whose_counter_nobody_knows_is_out_of_use() {
    let scene = with_token(7);
    scene.shelf.state.replace(LoginState::default());
    let login = scene.types(&[shown(0), shown(7), shown(50)]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(
        login.events,
        [
            "1004",
            "2101 counter_unknown",
            "2101 counter_unknown",
            "2101 counter_unknown"
        ]
    );
    let state = scene.shelf.state.borrow();
    assert_eq!(
        (state.tokens.len(), &state.resync, state.codes.in_row),
        (0, &None, 3)
    );
}

#[test]
fn a_code_that_can_not_be_marked_does_not_let_in() {
    let scene = with_token(0);
    *scene.shelf.transaction_error.borrow_mut() = Some(disk_error());
    let login = scene.types(&[shown(0), shown(1), shown(2)]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    *scene.shelf.transaction_error.borrow_mut() = None;
    assert_eq!(scene.types(&[shown(0)]).outcome, LoginOutcome::Accepted);
}

#[test]
fn several_authenticators_have_a_state_of_their_own_each() {
    let scene = with_four();
    let tablet = {
        let tablet = crate::otp::Authenticator::new(OTHER_SECRET, Algorithm::Sha1, 6, 30, 0);
        (0..1_000_000)
            .map(|number| format!("{number:06}"))
            .find(|text| {
                let typed = TypedAnswer::new(text.as_bytes().to_vec())
                    .as_code()
                    .unwrap();
                tablet
                    .as_ref()
                    .unwrap()
                    .matching_step(&typed, EARLIER.0)
                    .is_some()
            })
            .unwrap()
    };
    let tablet: &'static str = Box::leak(tablet.into_boxed_str());
    for (typed, method, label) in [
        (EARLIER.1, "app", "phone"),
        (shown(0), "token", "key ring"),
        (tablet, "app", "tablet"),
        (code(OTHER_SECRET, 502), "token", "spare"),
        (shown(1), "token", "key ring"),
    ] {
        let login = scene.types(&[typed]);
        assert_eq!(login.outcome, LoginOutcome::Accepted, "{label}");
        let named = format!(" method={method} app=\"{label}\" ");
        assert!(login.lines[1].contains(&named), "{}", login.lines[1]);
        let again = scene.types(&[typed, "12 34", "12 34"]);
        assert_eq!(again.events[1], "2102", "{label}");
        assert!(again.lines[1].contains(&named), "{}", again.lines[1]);
        forgive(&scene);
    }
    assert_eq!(next(&scene, "000000aa"), Some(2));
    assert_eq!(next(&scene, "000000bb"), Some(503));
    assert_eq!(scene.shelf.state.borrow().steps.len(), 2);
}

#[test]
fn what_is_disabled_lets_nobody_in_and_uses_nothing_up() {
    let scene = with_four();
    scene.change(|record| {
        record.apps[0].disabled = true;
        record.tokens[0].disabled = true;
    });
    let login = scene.types(&[EARLIER.1, shown(0), shown(1)]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(
        login.events,
        ["1004", "2101 disabled", "2101 disabled", "2101 disabled"]
    );
    assert!(login.lines[1].contains(" method=app app=\"phone\" "));
    assert!(login.lines[3].contains(" method=token app=\"key ring\" "));
    forgive(&scene);
    let login = scene.types(&[code(OTHER_SECRET, 500)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    scene.change(|record| {
        record.apps[0].disabled = false;
        record.tokens[0].disabled = false;
    });
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
    assert_eq!(scene.types(&[shown(0)]).outcome, LoginOutcome::Accepted);
}

#[test]
fn where_all_of_a_kind_are_disabled_the_others_go_on_and_it_is_said() {
    let scene = with_four();
    scene.change(|record| {
        for token in &mut record.tokens {
            token.disabled = true;
        }
    });
    let login = scene.types(&[shown(0), "000000", EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101 disabled", "2101", "2001"]);
    let scene = with_four();
    scene.change(|record| {
        for app in &mut record.apps {
            app.disabled = true;
        }
    });
    let login = scene.types(&[EARLIER.1, "000000", shown(0)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101 disabled", "2101", "2001"]);
}

#[test]
fn with_all_of_them_disabled_nobody_is_let_in_or_by() {
    let mut scene = with_four();
    scene.request.nullok = true;
    for enrolled_once in [true, false] {
        scene.change(|record| {
            record.enrolled_once = enrolled_once;
            record.apps.iter_mut().for_each(|app| app.disabled = true);
            record
                .tokens
                .iter_mut()
                .for_each(|token| token.disabled = true);
        });
        let login = scene.types(&[EARLIER.1, shown(0), "000000"]);
        assert_eq!(login.outcome, LoginOutcome::Refused);
        assert_eq!(login.events, ["1004", "2108", "2108", "2108"]);
    }
    // Nor with a token alone, where nothing else says that there was one.
    scene.change(|record| {
        record.apps.clear();
        record.methods = vec![Method::Token];
    });
    assert_eq!(scene.types(&[shown(0); 3]).events[1], "2108");
    // Nor does a method count that the record does not have.
    let scene = with_token(0);
    scene.change(|record| record.methods = vec![Method::App]);
    assert_eq!(scene.types(&[shown(0); 3]).events[1], "2108");
}

#[test]
fn a_token_is_no_way_round_a_clock_that_is_behind_nor_is_the_clock_one_round_the_count() {
    let scene = with_four();
    scene.change(|record| {
        record.apps.pop();
    });
    let phone = scene.shelf.record.borrow().as_ref().unwrap().apps[0].clone();
    let future = EARLIER.0 / 30 + 1000;
    scene.shelf.state.borrow_mut().accept_step(&phone, future);
    let login = scene.types(&[EARLIER.1, "000000", shown(0)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101", "2101", "2001"]);
    // Without a token nothing could have been guessed.
    scene.change(|record| record.tokens.clear());
    let login = scene.types(&[EARLIER.1; 3]);
    assert_eq!(login.events, ["1004", "4003", "4003", "4003"]);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 0);
}

#[test]
fn where_no_secret_opens_nothing_is_judged() {
    let scene = with_token(0);
    scene.change(|record| record.tokens[0].secret = "sealed:1:00000000:00".to_owned());
    let login = scene.types(&[shown(0), "000000", "000000"]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert_eq!(login.events, ["1004", "4001 sealed_secret"]);
    // Beside an app that opens it is a wrong code.
    let scene = with_four();
    scene.change(|record| {
        for token in &mut record.tokens {
            token.secret = "sealed:1:00000000:00".to_owned();
        }
    });
    assert_eq!(
        scene.types(&[shown(0), EARLIER.1]).events,
        ["1004", "2101", "2001"]
    );
}

#[test]
fn a_locked_token_user_is_refused_and_the_code_stays_good() {
    let scene = with_token(0).at(1_000_000);
    scene.types(&["000000"; 3]);
    let login = scene.types(&["000000", "000000", shown(0)]);
    assert_eq!(login.events, ["1004", "2101", "2101", "2201"]);
    let scene = scene.at(1_000_000 + 2 * MINUTE);
    assert_eq!(scene.types(&[shown(0)]).outcome, LoginOutcome::Accepted);
}

#[test]
fn everybody_who_is_refused_costs_one_search() {
    type Change = fn(&mut Scene);
    // From ten used ones over a hundred ahead to the one that would follow.
    const SEARCH: u32 = 10 + 100 + 2;
    const RECOVERY_SHAPED: &str = "0000-0000-0000-0";
    let cases: [(&str, Change, u32); 9] = [
        ("an app", |scene| *scene = super::scene(), SEARCH),
        ("a token", |_| {}, SEARCH),
        (
            "nobody",
            |scene| scene.shelf.record = RefCell::new(None),
            SEARCH,
        ),
        ("no account", |scene| scene.request.account = None, SEARCH),
        (
            "suspended",
            |scene| scene.change(|record| record.suspended = "left".into()),
            SEARCH,
        ),
        (
            "elsewhere",
            |scene| scene.change(|record| record.devices.clear()),
            SEARCH,
        ),
        (
            "locked",
            |scene| scene.shelf.state.borrow_mut().codes.disabled = true,
            SEARCH,
        ),
        (
            "disabled",
            |scene| scene.change(|record| record.tokens[0].disabled = true),
            SEARCH,
        ),
        ("two tokens", |scene| *scene = with_four(), 2 * SEARCH),
    ];
    for (who, change, expected) in cases {
        // Wrong, used, out of step, and with another number of digits.
        for typed in [
            "000000",
            shown(19),
            shown(60),
            "1234567",
            "what now",
            RECOVERY_SHAPED,
        ] {
            let mut scene = with_token(20);
            change(&mut scene);
            let before = COMPUTED.get();
            let login = scene.types(&[typed, "12 34", "12 34"]);
            assert_eq!(login.outcome, LoginOutcome::Refused);
            // What is no code, or one of another kind, costs a stranger's search.
            let expected = if ["what now", RECOVERY_SHAPED].contains(&typed) {
                SEARCH
            } else {
                expected
            };
            assert_eq!(
                COMPUTED.get() - before,
                expected + 2 * SEARCH,
                "{who}, {typed}"
            );
        }
    }
    // Who is let in by an app is let in without.
    let before = COMPUTED.get();
    let _ = scene().types(&[EARLIER.1]);
    assert_eq!(COMPUTED.get() - before, 0);
}

#[test]
fn a_token_at_the_end_of_its_counter_does_not_begin_again() {
    let scene = with_token(u64::MAX);
    for typed in [shown(0), shown(1), shown(u64::MAX)] {
        let login = scene.types(&[typed, "12 34", "12 34"]);
        assert_eq!(login.outcome, LoginOutcome::Refused, "{typed}");
        forgive(&scene);
    }
    assert_eq!(next(&scene, "000000aa"), Some(u64::MAX));
}

#[test]
fn two_codes_in_a_row_are_of_one_token() {
    let scene = with_four();
    scene.change(|record| record.tokens[1].counter = 0);
    scene.shelf.state.borrow_mut().tokens[1].next = 0;
    let spare = |counter| code(OTHER_SECRET, counter);
    let login = scene.types(&[shown(40), spare(41), spare(42)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    let expected = ["1004", "2101 out_of_step", "2101 out_of_step"];
    assert_eq!(login.events[..3], expected);
    assert_eq!(next(&scene, "000000aa"), Some(0));
    assert_eq!(next(&scene, "000000bb"), Some(43));
}

#[test]
fn a_right_code_of_one_token_lets_in_whatever_it_is_of_another() {
    // Far ahead for the first, the next one for the second.
    let far: Vec<_> = (11..100).map(shown).collect();
    let mut counters = 1000..10_000_000;
    let spare = counters.find(|counter| far.contains(&code(OTHER_SECRET, *counter)));
    let spare = spare.unwrap();
    let scene = with_four();
    scene.shelf.state.borrow_mut().tokens[1].next = spare;
    let login = scene.types(&[code(OTHER_SECRET, spare)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(next(&scene, "000000aa"), Some(0));
    assert_eq!(next(&scene, "000000bb"), Some(spare + 1));
}

#[test]
fn a_token_whose_method_does_not_count_lets_nobody_in() {
    let scene = with_four();
    scene.change(|record| record.methods = vec![Method::App]);
    let login = scene.types(&[shown(0), shown(1), EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101", "2101", "2001"]);
    assert_eq!(next(&scene, "000000aa"), Some(0));
}

#[test]
fn before_the_first_counter_no_code_was_used() {
    let scene = with_token(3);
    let login = scene.types(&[shown(u64::MAX), shown(u64::MAX - 6), shown(3)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101", "2101", "2001"]);
}
