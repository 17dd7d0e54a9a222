//! Logins to a service that asks for a passphrase first, and changes of it.

use super::recovery::with_codes;
use super::*;
use crate::passphrase::{
    Cost, HASHES, Hasher, Judge, Opinion, Passphrase, PassphraseHash, Pepper, Question,
};

const RIGHT: &str = "correct horse battery";
const WRONG: &str = "correct horse batterz";
/// sshd's dummy in the length of a passphrase.
const DUMMY: &str = "\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r\u{7f}";

fn cost(memory: u32, passes: u32) -> Cost {
    Cost {
        memory,
        passes,
        lanes: 1,
    }
}

fn hasher() -> Hasher {
    Hasher::new(Pepper::of(&sealing_key(), "alice"))
}

fn keep(text: &str, cost: Cost) -> KeptPassphrase {
    let passphrase = Passphrase::parse(text.as_bytes()).unwrap();
    KeptPassphrase::new(hasher().keep(&passphrase, cost).unwrap(), 0)
}

/// Alice with app and passphrase, at a service with the argument.
fn with_passphrase() -> Scene {
    let mut scene = scene();
    scene.request.passphrase = true;
    scene.config = Config::parse(b"version = 1\n[passphrase]\nmemory = 7168\npasses = 1").unwrap();
    scene.change(|record| record.passphrase = Some(keep(RIGHT, cost(7168, 1))));
    scene
}

/// The same where mails are sent, and Alice has an address.
fn with_address() -> Scene {
    let mut scene = with_passphrase();
    scene.config = Config::parse(
        b"version = 1\n[courier.smtp]\nhost = \"h\"\nfrom = \"a@b\"\n[passphrase]\nmemory = 7168\npasses = 1",
    )
    .unwrap();
    scene.change(|record| {
        record.email = Some(crate::record::EmailAddress::parse("alice@example.com").unwrap());
    });
    scene
}

fn hashes<T>(play: impl FnOnce() -> T) -> (T, usize) {
    let before = HASHES.get();
    let played = play();
    (played, HASHES.get() - before)
}

#[test]
fn the_passphrase_is_asked_for_first_and_both_have_to_be_right() {
    let scene = with_passphrase();
    let login = scene.types(&[RIGHT, EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2001"]);
    let prompts = ["Passphrase: ", "Verification code: "];
    assert_eq!(login.prompts, prompts.map(|text| (text.to_owned(), false)));
    assert!(login.lines.iter().all(|line| !line.contains("horse")));
}

#[test]
fn a_wrong_passphrase_looks_like_a_wrong_code_and_leaves_a_right_one_good() {
    let scene = with_passphrase();
    let wrong = scene.types(&[WRONG, EARLIER.1, WRONG, EARLIER.1, RIGHT, "000000"]);
    assert_eq!(wrong.outcome, LoginOutcome::Refused);
    assert_eq!(wrong.events, ["1004", "2111", "2111", "2101"]);
    let failures = |state: &LoginState| (state.passphrase.in_window, state.codes.in_row);
    assert_eq!(failures(&scene.shelf.state.borrow()), (2, 1));
    assert_eq!(scene.shelf.state.borrow().steps, []);
    let both = with_passphrase();
    let both_wrong = both.types(&[WRONG, "000000", WRONG, "111111", RIGHT, "000000"]);
    // Nothing that is written down tells what the code was.
    assert_eq!(both_wrong.lines, wrong.lines);
    assert_eq!(both_wrong.prompts, wrong.prompts);
    // The failures are those of the minute; the code is good.
    assert_eq!(
        scene.types(&[RIGHT, EARLIER.1]).outcome,
        LoginOutcome::Accepted
    );
}

#[test]
fn the_prompt_shows_nothing_even_where_codes_are_shown() {
    let mut scene = with_passphrase();
    let text = "version = 1\n[prompt]\necho = true\n[passphrase]\nmemory = 7168\npasses = 1";
    scene.config = Config::parse(text.as_bytes()).unwrap();
    let echoes: Vec<bool> = scene
        .types(&[RIGHT, EARLIER.1])
        .prompts
        .iter()
        .map(|(_, echo)| *echo)
        .collect();
    assert_eq!(echoes, [false, true]);
}

#[test]
fn everybody_sees_the_same_and_costs_one_hash_a_try() {
    type Change = fn(&mut Scene);
    let cases: [(&str, Change); 11] = [
        ("2111", |_| {}),
        ("2106", |scene| *scene.shelf.record.borrow_mut() = None),
        ("2106", |scene| scene.request.account = None),
        ("2109", |scene| {
            scene.change(|record| record.suspended = "left".into());
        }),
        ("2104", |scene| {
            scene.change(|record| record.approved = false);
        }),
        ("2105", |scene| {
            scene.change(|record| record.devices.clear());
        }),
        ("2108", |scene| scene.change(|record| record.apps.clear())),
        ("2108 no_passphrase", |scene| {
            scene.change(|record| record.passphrase = None);
        }),
        ("2202", |scene| {
            scene.shelf.state.borrow_mut().codes.locked_at = Some(0);
        }),
        ("2203", |scene| {
            scene.shelf.state.borrow_mut().codes.disabled = true;
        }),
        ("4001", |scene| {
            *scene.shelf.record_error.borrow_mut() = Some(disk_error());
        }),
    ];
    let answers = [WRONG, "000000"].repeat(3);
    let as_wrong = with_passphrase().types(&answers).prompts;
    for (event, change) in cases {
        let mut scene = with_passphrase();
        change(&mut scene);
        let (login, hashes) = hashes(|| scene.types(&answers));
        assert_eq!(login.prompts, as_wrong, "{event}");
        assert_eq!(hashes, 3, "{event}");
        assert_eq!(login.events[1], event);
        assert_eq!(scene.shelf.transactions.borrow().len(), 3, "{event}");
        // A right passphrase and a right code help none of them but the first.
        if event != "2111" {
            let (login, _) =
                super::passphrase::hashes(|| scene.types(&[RIGHT, EARLIER.1].repeat(3)));
            assert_ne!(login.outcome, LoginOutcome::Accepted, "{event}");
        }
    }
}

#[test]
fn answers_that_can_be_no_passphrase_cost_as_much_and_are_wrong() {
    for typed in [
        "",
        "short",
        "with a\ttab",
        DUMMY,
        leak(&"x".repeat(10 << 20)),
    ] {
        let scene = with_passphrase();
        let (login, hashes) = hashes(|| scene.types(&[typed, EARLIER.1, RIGHT, EARLIER.1]));
        assert_eq!(login.events, ["1004", "2111", "2001"]);
        assert_eq!(login.outcome, LoginOutcome::Accepted);
        assert_eq!(hashes, 2);
    }
}

#[test]
fn neither_is_looked_at_while_locked_or_throttled() {
    let scene = with_passphrase();
    scene.shelf.state.borrow_mut().codes.locked_at = Some(0);
    let before = scene.shelf.state.borrow().codes.clone();
    let login = scene.types(&[RIGHT, EARLIER.1, WRONG, EARLIER.1, WRONG, "000000"]);
    assert_eq!(login.events, ["1004", "2202", "2202", "2202"]);
    assert_eq!(scene.shelf.state.borrow().codes, before);
    let mut scene = with_passphrase();
    scene.config =
        Config::parse(b"version = 1\n[prompt]\ntries = 6\n[passphrase]\nmemory = 7168\npasses = 1")
            .unwrap();
    let mut answers = [WRONG, EARLIER.1].repeat(5);
    answers.extend([RIGHT, EARLIER.1]);
    let login = scene.types(&answers);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.events[5..], ["2111", "2201"]);
}

#[test]
fn wrong_ones_lock_like_wrong_codes() {
    let scene = with_passphrase();
    scene.shelf.state.borrow_mut().passphrase.in_row = 9;
    let login = scene.types(&[WRONG, EARLIER.1, RIGHT, EARLIER.1, RIGHT, EARLIER.1]);
    assert_eq!(login.events, ["1004", "2111", "2204", "2202", "2202"]);
    // Who can run that up keeps nobody out where no passphrase is asked for.
    let mut elsewhere = scene;
    elsewhere.request.passphrase = false;
    assert_eq!(
        elsewhere.types(&[EARLIER.1]).outcome,
        LoginOutcome::Accepted
    );
}

#[test]
fn what_a_code_comes_to_whatever_was_typed_does_not_tell_whether_the_passphrase_was_right() {
    let outcome = |passphrase| {
        let scene = with_passphrase();
        scene.change(|record| record.apps[0].secret = "sealed:1:00000000:00".to_owned());
        let login = scene.types(&[passphrase, EARLIER.1].repeat(3));
        let charged = scene.shelf.state.borrow().passphrase.in_window;
        (login.outcome, login.events, charged)
    };
    assert_eq!(outcome(RIGHT), outcome(WRONG));
    assert_eq!(outcome(RIGHT).2, 0);
}

#[test]
fn recovery_codes_are_used_up_beside_a_right_passphrase_alone() {
    let (scene, codes) = with_codes(with_passphrase());
    let login = scene.types(&[WRONG, codes[0], WRONG, "ZZZZ-ZZZZ-ZZZZZ", RIGHT, codes[0]]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2111", "2111", "2002"]);
    let state = scene.shelf.state.borrow();
    let failures = [&state.passphrase, &state.recovery, &state.codes];
    assert_eq!(failures.map(|failures| failures.in_window), [2, 0, 0]);
}

#[test]
fn a_code_that_is_sent_is_not_used_up_by_a_wrong_passphrase() {
    let mut scene = with_passphrase();
    let text = "version = 1\n[courier.smtp]\nhost = \"h\"\nfrom = \"a@b\"\n[passphrase]\nmemory = 7168\npasses = 1";
    scene.config = Config::parse(text.as_bytes()).unwrap();
    scene.change(|record| {
        record.methods = vec![Method::Email];
        record.email = Some(crate::record::EmailAddress::parse("alice@example.com").unwrap());
    });
    let accepted = Report::parse("accepted email x");
    scene.post.reports.borrow_mut().extend(accepted);
    let codes = || -> Vec<String> {
        let started = scene.post.started.borrow();
        let codes = started.iter().map(|document| document.code.to_string());
        codes.filter(|code| !code.is_empty()).collect()
    };
    let sent = || leak(&codes()[0]);
    let login = scene.play(vec![
        says(RIGHT),
        says(""),
        // The passphrase is not asked for again.
        says("000000"),
        says(WRONG),
        Box::new(|| Ok(sent())),
        says(RIGHT),
        Box::new(|| Ok(sent())),
    ]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "1001", "2101", "2111", "2001"]);
    assert!(login.prompts[2].0.starts_with("Code sent"));
    assert_eq!(login.prompts[3].0, "Passphrase: ");
    // Beside a wrong one none is sent, which nobody sees, and it is one failure.
    let before = scene.shelf.state.borrow().clone();
    let login = scene.types(&[
        WRONG, "", "000000", WRONG, "", "000000", WRONG, "", "000000",
    ]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert!(login.prompts[2].0.starts_with("Code sent"));
    assert_eq!(codes().len(), 1);
    let after = scene.shelf.state.borrow();
    assert_eq!(after.sends, before.sends);
    let charged = after.passphrase.in_window - before.passphrase.in_window;
    assert_eq!(charged, 3);
}

#[test]
fn who_hangs_up_after_a_wish_was_told_of_once_and_everybody_costs_one_notice_a_wish() {
    type Change = fn(&mut Scene);
    let cases: [(&[&str], Change, usize); 6] = [
        (&[WRONG, ""], |_| {}, 1),
        // One guess is one notice, however often a code is asked for beside it.
        (&[WRONG, "", "", "000000"], |_| {}, 1),
        (&[RIGHT, ""], |_| {}, 0),
        (
            &[RIGHT, ""],
            |scene| *scene.shelf.record.borrow_mut() = None,
            0,
        ),
        (
            &[RIGHT, "", ""],
            |scene| {
                scene.shelf.state.borrow_mut().passphrase.locked_at = Some(0);
            },
            1,
        ),
        (
            &[WRONG, ""],
            |scene| {
                scene.change(|record| record.suspended = "left".into());
            },
            0,
        ),
    ];
    for first in ["ask", "send"] {
        for (number, (typed, change, told)) in cases.iter().enumerate() {
            let mut scene = with_passphrase();
            let text = format!(
                "version = 1\n[prompt]\nfirst = \"{first}\"\n[courier.smtp]\nhost = \"h\"\nfrom = \"a@b\"\n\
                 [passphrase]\nmemory = 7168\npasses = 1"
            );
            scene.config = Config::parse(text.as_bytes()).unwrap();
            scene.change(|record| {
                record.methods = vec![Method::App, Method::Email];
                let address = crate::record::EmailAddress::parse("alice@example.com");
                record.email = Some(address.unwrap());
            });
            change(&mut scene);
            let mut answers: Vec<Answer<'_>> = typed.iter().map(|text| says(text)).collect();
            answers.push(Box::new(|| Err(PromptError::Failed)));
            let login = scene.play(answers);
            assert_eq!(login.outcome, LoginOutcome::ConversationFailed);
            let spooled = scene.post.spooled.borrow();
            // With `send` the first wish is nobody's answer.
            let wishes = typed.len() - 1 + usize::from(first == "send");
            assert_eq!(spooled.len(), wishes, "{first}, case {number}");
            let wanted = spooled.iter().filter(|(_, is_wanted)| *is_wanted);
            let events: Vec<&str> = wanted
                .map(|(document, _)| document.event.as_str())
                .collect();
            assert_eq!(events.len(), *told, "{first}, case {number}: {events:?}");
            if typed[0] == WRONG && *told > 0 {
                assert_eq!(events, ["bad_passphrase"]);
                assert_eq!(scene.shelf.state.borrow().passphrase.in_window, 1);
            }
        }
    }
}

#[test]
fn each_wrong_passphrase_is_told_of_and_each_at_a_change_too() {
    let scene = with_address();
    let told = || {
        let spooled = scene.post.spooled.take();
        let told = spooled.into_iter().filter(|(_, is_wanted)| *is_wanted);
        told.map(|(document, _)| document.event).collect::<Vec<_>>()
    };
    let login = scene.types(&[WRONG, "000000"].repeat(3));
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(told(), ["bad_passphrase"; 3]);
    let changed = change(&scene, answers(&[WRONG]), vec![]);
    assert_eq!(changed.outcome, ChangeOutcome::Refused);
    assert_eq!(told(), ["bad_passphrase"]);
    // And where it is all that is asked for.
    let bypass = crate::bypass::Bypass::grant(EARLIER.0, 3600, "no phone", "root");
    scene.change(|record| record.bypass = Some(bypass.clone()));
    scene.watch.0.set(EARLIER.0 + 61);
    scene.types(&[WRONG, RIGHT]);
    assert_eq!(told(), ["bad_passphrase"]);
}

#[test]
fn where_a_code_is_sent_at_once_everybody_costs_one_hash_before_it() {
    type Change = fn(&mut Scene);
    let cases: [Change; 4] = [
        |_| {},
        |scene| *scene.shelf.record.borrow_mut() = None,
        |scene| scene.change(|record| record.suspended = "left".into()),
        |scene| scene.change(|record| record.passphrase = None),
    ];
    for (number, change) in cases.into_iter().enumerate() {
        for typed in [RIGHT, WRONG] {
            let mut scene = with_passphrase();
            let text = "version = 1\n[prompt]\nfirst = \"send\"\n[courier.smtp]\nhost = \"h\"\nfrom = \"a@b\"\n\
                        [passphrase]\nmemory = 7168\npasses = 1";
            scene.config = Config::parse(text.as_bytes()).unwrap();
            change(&mut scene);
            let hangs_up: Answer<'_> = Box::new(|| Err(PromptError::Failed));
            let (_, hashes) = hashes(|| scene.play(vec![says(typed), hangs_up]));
            assert_eq!(hashes, 1, "case {number}, {typed}");
        }
    }
}

#[test]
fn the_clock_goes_on_beside_wrong_passphrases_and_a_right_one_ends_their_row() {
    let scene = with_passphrase();
    scene.types(&[WRONG, "000000"].repeat(3));
    let login = scene.types(&[WRONG, "000000"].repeat(3));
    assert_eq!(login.events, ["1004", "2111", "2111", "2201"]);
    // The minute is over for whoever has waited for it, though no code was looked at meanwhile.
    scene.watch.0.set(EARLIER.0 + 61);
    let login = scene.types(&[WRONG, "000000", RIGHT, "000000", RIGHT, "111111"]);
    assert_eq!(login.events, ["1004", "2111", "2101", "2101"]);
    let state = scene.shelf.state.borrow();
    let failures = (state.passphrase.in_window, state.passphrase.in_row);
    assert_eq!(failures, (1, 0), "a slip is no row of them");
}

/// sshd hands the same dummy to other modules in the place of the password.
struct Unwanted<'a>(Person<'a>);

impl Prompt for Unwanted<'_> {
    fn ask(&mut self, text: &str, echo: bool) -> Result<TypedAnswer, PromptError> {
        self.0.ask(text, echo)
    }

    fn is_password(&mut self, answer: &TypedAnswer) -> bool {
        answer.is_same_as(DUMMY.as_bytes())
    }
}

#[test]
fn what_sshd_hides_is_no_password_where_a_passphrase_is_asked_for() {
    let scene = with_passphrase();
    let dummies = [DUMMY, "\u{8}\n\r\u{7f}IN"].repeat(3);
    let mut person = Unwanted(Person {
        answers: answers(&dummies).into(),
        prompts: Vec::new(),
    });
    let (outcome, _) = scene.through(&mut person, &scene.shelf, run);
    assert_eq!(outcome, LoginOutcome::Refused);
    // As many questions as for everybody.
    assert!(person.0.answers.is_empty());
}

#[test]
fn the_password_as_a_passphrase_ends_the_login_and_is_not_charged() {
    let scene = with_passphrase();
    let login = scene.types(&["correct horse"]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.events, ["1004", "2110"]);
    assert_eq!(scene.shelf.transactions.borrow().len(), 0);
}

#[test]
fn whom_sshd_does_not_want_is_refused_at_the_same_cost() {
    let scene = with_passphrase();
    let dummies = [DUMMY, "\u{8}\n\r\u{7f}IN"].repeat(3);
    let (login, hashes) = hashes(|| scene.types(&dummies));
    let refused = "2101 refused_by_sshd";
    assert_eq!(login.events, ["1004", refused, refused, refused]);
    assert_eq!(hashes, 3);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 0);
}

#[test]
fn nobody_is_let_by_without_the_passphrase() {
    type Change = fn(&mut Scene);
    let skips: [Change; 2] = [
        |scene| scene.request.nullok = true,
        |scene| {
            let text = "version = 1\n[enrolment]\nwithout_record = \"skip\"\n[passphrase]\nmemory = 7168\npasses = 1";
            scene.config = Config::parse(text.as_bytes()).unwrap();
        },
    ];
    for lets_by in skips {
        let unenrolled = || {
            let mut scene = with_passphrase();
            lets_by(&mut scene);
            scene.change(|record| {
                record.apps.clear();
                record.enrolled_once = false;
            });
            scene
        };
        let scene = unenrolled();
        let login = scene.types(&[WRONG, "", RIGHT]);
        assert_eq!(login.outcome, LoginOutcome::Accepted);
        assert_eq!(
            login.events,
            ["1004 never enrolled", "2111", "2111", "2001 never enrolled"]
        );
        assert!(login.prompts.iter().all(|(text, _)| text == "Passphrase: "));
        assert!(
            login.lines[4].contains(" method=passphrase "),
            "{:?}",
            login.lines
        );
        assert_eq!(
            unenrolled().types(&[WRONG; 3]).outcome,
            LoginOutcome::Refused
        );
        // Charged at once: the answer tells whether it was right.
        assert_eq!(scene.shelf.state.borrow().passphrase.in_window, 2);
        // Without one, and without a record: both questions, and no.
        let without: [Change; 2] = [
            |scene| scene.change(|record| record.passphrase = None),
            |scene| *scene.shelf.record.borrow_mut() = None,
        ];
        for change in without {
            let mut scene = unenrolled();
            change(&mut scene);
            let login = scene.types(&[RIGHT, EARLIER.1].repeat(3));
            assert_eq!(login.outcome, LoginOutcome::Refused);
            assert_eq!(login.events[1], "2108 no_passphrase");
        }
        // The same without the argument.
        let mut plain = unenrolled();
        plain.request.passphrase = false;
        assert_eq!(plain.types(&[]).outcome, LoginOutcome::Skipped);
    }
}

#[test]
fn who_was_enrolled_while_the_passphrase_was_typed_stays_out_without_a_code() {
    let mut scene = with_passphrase();
    scene.request.nullok = true;
    let apps = scene.shelf.record.borrow_mut().as_mut().map(|record| {
        record.enrolled_once = false;
        std::mem::take(&mut record.apps)
    });
    let login = scene.play(vec![
        Box::new(|| {
            scene.change(|record| record.apps = apps.clone().unwrap());
            Ok(RIGHT)
        }),
        says(RIGHT),
        says(RIGHT),
    ]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
}

#[test]
fn a_passphrase_that_was_changed_while_it_was_typed_counts_as_it_is_now() {
    for (typed, expected) in [
        (RIGHT, LoginOutcome::Refused),
        ("a wholly new one", LoginOutcome::Accepted),
    ] {
        let scene = with_passphrase();
        let mut answers = vec![
            says(typed),
            Box::new(|| {
                let new = keep("a wholly new one", cost(7168, 1));
                scene.change(|record| record.passphrase = Some(new));
                Ok(EARLIER.1)
            }) as Answer<'_>,
        ];
        if expected == LoginOutcome::Refused {
            answers.extend([RIGHT, EARLIER.1].repeat(2).into_iter().map(says));
        }
        assert_eq!(scene.play(answers).outcome, expected);
    }
    let scene = with_passphrase();
    let removes = || -> Answer<'_> {
        Box::new(|| {
            scene.change(|record| record.passphrase = None);
            Ok(EARLIER.1)
        })
    };
    let mut answers = vec![says(RIGHT), removes()];
    answers.extend([RIGHT, EARLIER.1].repeat(2).into_iter().map(says));
    let login = scene.play(answers);
    assert_eq!(login.events[1], "2108 no_passphrase");
    assert_eq!(login.outcome, LoginOutcome::Refused);
}

#[test]
fn a_cheap_hash_is_made_anew_after_a_login_and_only_then() {
    let scene = with_passphrase();
    let cheap = keep(RIGHT, cost(64, 1));
    scene.change(|record| record.passphrase = Some(cheap.clone()));
    scene.types(&[WRONG, EARLIER.1, WRONG, "000000", RIGHT, "000000"]);
    let kept = || {
        scene
            .shelf
            .record
            .borrow()
            .as_ref()
            .unwrap()
            .passphrase
            .clone()
            .unwrap()
    };
    assert_eq!(kept(), cheap);
    let login = scene.types(&[RIGHT, EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2001", "3064"]);
    assert_eq!(kept().hash.cost(), cost(7168, 1));
    assert_eq!(kept().changed, cheap.changed);
    scene.watch.0.set(LATER.0 + 1);
    let login = scene.types(&[RIGHT, LATER.1]);
    assert_eq!(login.events, ["1004", "2001"]);
}

#[test]
fn a_hash_that_another_program_made_without_a_key_is_taken_and_made_anew_with_one() {
    let scene = with_passphrase();
    // argon2-cffi's `hash_secret` of RIGHT.
    let foreign = "$argon2id$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xxArdw3Akq5V2N0rZWC8lI9HHv4WAP1K35tFPV7mCL4";
    let hash = PassphraseHash::parse(foreign).unwrap();
    scene.change(|record| record.passphrase = Some(KeptPassphrase::new(hash, 0)));
    let login = scene.types(&[RIGHT, EARLIER.1]);
    assert_eq!(login.events, ["1004", "2001", "3064"]);
    let kept = scene.shelf.record.borrow().clone().unwrap().passphrase;
    let text = kept.unwrap().hash.to_text();
    assert!(
        text.starts_with("$argon2id$v=19$m=7168,t=2,p=1,keyid="),
        "{text}"
    );
    scene.watch.0.set(LATER.0 + 1);
    let login = scene.types(&[RIGHT, LATER.1]);
    assert_eq!(login.events, ["1004", "2001"]);
}

#[test]
fn by_a_hash_of_another_hosts_key_or_of_another_users_nothing_is_right() {
    let other = SealingKey::generate().unwrap();
    let own = sealing_key();
    for (pepper, events) in [
        (Pepper::of(&other, "alice"), ["1004", "2111 sealed_secret"]),
        (Pepper::of(&own, "bob"), ["1004", "2111"]),
    ] {
        let mut scene = with_passphrase();
        scene.config = Config::parse(
            b"version = 1\n[prompt]\ntries = 1\n[passphrase]\nmemory = 7168\npasses = 1",
        )
        .unwrap();
        let phrase = Passphrase::parse(RIGHT.as_bytes()).unwrap();
        let hash = Hasher::new(pepper).keep(&phrase, cost(64, 1)).unwrap();
        scene.change(|record| record.passphrase = Some(KeptPassphrase::new(hash, 0)));
        let (login, hashes) = hashes(|| scene.types(&[RIGHT, EARLIER.1]));
        assert_eq!((login.outcome, hashes), (LoginOutcome::Refused, 1));
        assert_eq!(login.events, events);
    }
}

#[test]
fn what_hinders_a_new_hash_hinders_no_login() {
    for (error, events) in [
        (
            disk_error(),
            vec!["1004", "2001", "4001 passphrase_not_rehashed"],
        ),
        (
            StoreError::NewerKeys("/users/alice.toml".into()),
            vec!["1004", "2001", "4001 passphrase_not_rehashed"],
        ),
        (
            StoreError::Block(BlockError::Busy { holder: None }),
            vec!["1004", "2001"],
        ),
    ] {
        let scene = with_passphrase();
        scene.change(|record| record.passphrase = Some(keep(RIGHT, cost(64, 1))));
        *scene.shelf.change_error.borrow_mut() = Some(error);
        let login = scene.types(&[RIGHT, EARLIER.1]);
        assert_eq!(login.outcome, LoginOutcome::Accepted);
        assert_eq!(login.events, events);
    }
}

/// Says of each candidate what the script says.
struct Script(VecDeque<Opinion>, Vec<String>);

impl Judge for Script {
    fn judge(&mut self, question: &Question<'_>) -> Opinion {
        self.1.push(question.to_text().to_string());
        self.0
            .pop_front()
            .expect("a question that the script does not have")
    }
}

struct Changed {
    outcome: ChangeOutcome,
    prompts: Vec<String>,
    lines: Vec<String>,
}

impl Changed {
    fn ids(&self) -> Vec<&str> {
        let id = |line: &'_ str| line.find("id=MFA-").map(|at| at + 7..at + 11);
        let ids = self.lines.iter().filter_map(|line| Some(&line[id(line)?]));
        ids.collect()
    }
}

fn change(scene: &Scene, answers: Vec<Answer<'_>>, opinions: Vec<Opinion>) -> Changed {
    let mut person = Person {
        answers: answers.into(),
        prompts: Vec::new(),
    };
    let mut script = Script(opinions.into(), Vec::new());
    let (outcome, lines) = scene.through(
        &mut person,
        &scene.shelf,
        |request, setting, ports, trail| match ask_for_present_passphrase(
            request, setting, ports, trail,
        ) {
            Ok(present) => {
                change_passphrase(request, setting, ports, trail, (&present, &mut script))
            }
            Err(outcome) => outcome,
        },
    );
    assert!(person.answers.is_empty() && script.0.is_empty());
    assert!(lines.iter().all(|line| !line.contains("horse")));
    Changed {
        outcome,
        prompts: person.prompts.into_iter().map(|(text, _)| text).collect(),
        lines,
    }
}

const NEW: &str = "an entirely new one";

fn answers(texts: &[&'static str]) -> Vec<Answer<'static>> {
    texts.iter().map(|text| says(text)).collect()
}

#[test]
fn what_the_courier_says_steers_no_terminal() {
    let mut scene = with_passphrase();
    scene.config =
        Config::parse(b"version = 1\n[prompt]\ntries = 2\n[passphrase]\nmemory = 7168\npasses = 1")
            .unwrap();
    let odd = "weak\u{1b}[2J\r\n\0\u{9b}1m\u{202e}PassXY: ";
    let changed = change(
        &scene,
        answers(&[RIGHT, NEW, NEW, NEW, NEW]),
        vec![Opinion::Unfit(odd.to_owned()), Opinion::Fit],
    );
    assert_eq!(changed.outcome, ChangeOutcome::Changed);
    assert_eq!(
        changed.prompts[3],
        "Not taken: weak?[2J????1m?PassXY: .\nNew passphrase: "
    );
}

#[test]
fn a_person_changes_the_passphrase_who_knows_the_present_one() {
    let scene = with_address();
    let changed = change(&scene, answers(&[RIGHT, NEW, NEW]), vec![Opinion::Fit]);
    assert_eq!(changed.outcome, ChangeOutcome::Changed);
    assert_eq!(
        changed.prompts,
        [
            "Current passphrase: ",
            "New passphrase: ",
            "New passphrase again: "
        ]
    );
    assert_eq!(changed.ids(), ["1004", "3062"]);
    let spooled = scene.post.spooled.borrow();
    assert_eq!(spooled.len(), 1);
    assert_eq!(spooled[0].0.event, "passphrase_changed");
    assert_eq!(
        (spooled[0].0.to.as_str(), spooled[0].1),
        ("alice@example.com", true)
    );
    drop(spooled);
    assert_eq!(
        scene.types(&[NEW, EARLIER.1]).outcome,
        LoginOutcome::Accepted
    );
    scene.watch.0.set(LATER.0);
    let old = scene.types(&[RIGHT, LATER.1].repeat(3));
    assert_eq!(old.outcome, LoginOutcome::Refused);
}

#[test]
fn who_does_not_know_it_or_has_none_is_asked_once_and_charged_like_at_a_login() {
    type Change = fn(&mut Scene);
    let cases: [(&str, Change); 7] = [
        ("2111", |_| {}),
        ("2106", |scene| *scene.shelf.record.borrow_mut() = None),
        ("2106", |scene| scene.request.account = None),
        ("2109", |scene| {
            scene.change(|record| record.suspended = "left".into());
        }),
        ("2108", |scene| {
            scene.change(|record| record.passphrase = None);
        }),
        ("2202", |scene| {
            scene.shelf.state.borrow_mut().passphrase.locked_at = Some(0);
        }),
        ("2203", |scene| {
            scene.shelf.state.borrow_mut().passphrase.disabled = true;
        }),
    ];
    for (event, edit) in cases {
        let mut scene = with_passphrase();
        edit(&mut scene);
        let typed = if event == "2111" { WRONG } else { RIGHT };
        let (changed, hashes) = hashes(|| change(&scene, answers(&[typed]), vec![]));
        assert_eq!(changed.outcome, ChangeOutcome::Refused, "{event}");
        assert_eq!(changed.prompts, ["Current passphrase: "]);
        assert_eq!(changed.ids(), ["1004", event]);
        assert_eq!(hashes, 1);
        assert_eq!(scene.shelf.transactions.borrow().len(), 1);
    }
    let scene = with_passphrase();
    let _ = change(&scene, answers(&[WRONG]), vec![]);
    assert_eq!(scene.shelf.state.borrow().passphrase.in_row, 1);
    // A right one takes nothing of the window back: else it would buy more guesses.
    scene.shelf.state.borrow_mut().codes.in_row = 1;
    let changed = change(&scene, answers(&[RIGHT, NEW, NEW]), vec![Opinion::Fit]);
    assert_eq!(changed.outcome, ChangeOutcome::Changed);
    let state = scene.shelf.state.borrow();
    assert_eq!((state.passphrase.in_window, state.codes.in_row), (1, 1));
}

#[test]
fn why_a_new_one_is_not_taken_stands_in_the_next_prompt() {
    let scene = with_passphrase();
    let before = scene.shelf.record.borrow().clone();
    let unfit = Opinion::Unfit("it is too easy to guess".to_owned());
    let typed = [RIGHT, NEW, "another new one", "short", "short", NEW, NEW];
    let changed = change(&scene, answers(&typed), vec![unfit]);
    assert_eq!(changed.outcome, ChangeOutcome::NotTaken);
    assert_eq!(
        changed.prompts[3],
        "Not taken: the two are not the same; type one twice.\nNew passphrase: "
    );
    assert!(changed.prompts[5].starts_with("Not taken: it has fewer than 12 characters; "));
    assert_eq!(*scene.shelf.record.borrow(), before);
    let scene = with_passphrase();
    let unfit = Opinion::Unfit("it is too easy to guess".to_owned());
    let typed = [RIGHT, RIGHT, RIGHT, NEW, NEW, NEW, NEW];
    let changed = change(&scene, answers(&typed), vec![unfit, Opinion::Fit]);
    assert_eq!(changed.outcome, ChangeOutcome::Changed);
    assert!(changed.prompts[3].contains("it is the one that you have"));
    assert!(changed.prompts[5].contains("it is too easy to guess"));
    assert!(changed.prompts.iter().all(|text| text.len() < 512));
}

#[test]
fn without_a_judge_nothing_is_taken() {
    let scene = with_passphrase();
    let before = scene.shelf.record.borrow().clone();
    let none = || Opinion::None("the courier ended without a word".to_owned());
    let typed = [RIGHT, NEW, NEW, NEW, NEW, NEW, NEW];
    let changed = change(&scene, answers(&typed), vec![none(), none(), none()]);
    assert_eq!(changed.outcome, ChangeOutcome::NotTaken);
    assert_eq!(changed.ids(), ["1004", "4001", "4001", "4001"]);
    assert_eq!(*scene.shelf.record.borrow(), before);
}

#[test]
fn what_changed_while_the_new_one_was_typed_is_not_overwritten() {
    type Change = fn(&mut UserRecord);
    let edits: [Change; 2] = [
        |record| record.passphrase = Some(keep("somebody else's", cost(7168, 1))),
        |record| record.suspended = "left".into(),
    ];
    for edit in edits {
        let scene = with_passphrase();
        let last: Answer<'_> = Box::new(|| {
            scene.change(edit);
            Ok(NEW)
        });
        let changed = change(
            &scene,
            vec![says(RIGHT), says(NEW), last],
            vec![Opinion::Fit],
        );
        assert_eq!(changed.outcome, ChangeOutcome::Refused);
        assert!(changed.lines.last().unwrap().contains("changed_meanwhile"));
        let record = scene.shelf.record.borrow().clone().unwrap();
        let kept = record.passphrase.unwrap();
        let new = Passphrase::parse(NEW.as_bytes()).unwrap();
        assert_eq!(
            hasher().is_right(Some(&new), Some(&kept.hash), cost(64, 1)),
            Ok(false)
        );
    }
}

#[test]
fn what_the_store_says_of_a_change_is_its_outcome() {
    for (error, outcome, id) in [
        (disk_error(), ChangeOutcome::Unavailable, "4001"),
        (
            StoreError::NewerKeys("/users/alice.toml".into()),
            ChangeOutcome::Unavailable,
            "4001",
        ),
        (
            StoreError::Block(BlockError::Busy { holder: Some(7) }),
            ChangeOutcome::Busy,
            "2206",
        ),
    ] {
        let scene = with_passphrase();
        *scene.shelf.change_error.borrow_mut() = Some(error);
        let changed = change(&scene, answers(&[RIGHT, NEW, NEW]), vec![Opinion::Fit]);
        assert_eq!(changed.outcome, outcome);
        assert_eq!(changed.ids(), ["1004", id]);
    }
    let scene = with_passphrase();
    let hangs_up = || -> Answer<'_> { Box::new(|| Err(PromptError::Failed)) };
    let changed = change(&scene, vec![says(RIGHT), hangs_up()], vec![]);
    assert_eq!(changed.outcome, ChangeOutcome::ConversationFailed);
    let broken = with_passphrase();
    *broken.shelf.record_error.borrow_mut() = Some(disk_error());
    let changed = change(&broken, answers(&[RIGHT]), vec![]);
    assert_eq!(changed.outcome, ChangeOutcome::Unavailable);
    assert_eq!(changed.prompts, ["Current passphrase: "]);
}

/// Answers of a script live as long as the test.
fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// Alice, to whom an hour without codes was granted, at such a service.
fn under_a_bypass() -> Scene {
    let scene = with_passphrase();
    scene.change(|record| {
        let bypass = crate::bypass::Bypass::grant(EARLIER.0, 3600, "no phone", "root");
        record.bypass = Some(bypass);
    });
    scene
}

#[test]
fn a_bypass_stands_for_the_code_and_not_for_the_passphrase() {
    let uses = |scene: &Scene| {
        scene
            .shelf
            .state
            .borrow()
            .bypass
            .as_ref()
            .map(|known| known.uses)
    };
    let scene = under_a_bypass();
    let login = scene.types(&[WRONG, RIGHT]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004 bypass", "2111", "2005 no phone"]);
    assert!(login.prompts.iter().all(|(text, _)| text == "Passphrase: "));
    assert_eq!(uses(&scene), Some(1));
    let wrong = under_a_bypass();
    assert_eq!(wrong.types(&[WRONG; 3]).outcome, LoginOutcome::Refused);
    assert_eq!(uses(&wrong), None);
    // Nothing that strangers can run up against codes keeps her out.
    let locked = under_a_bypass();
    locked.shelf.state.borrow_mut().codes.disabled = true;
    assert_eq!(locked.types(&[RIGHT]).outcome, LoginOutcome::Accepted);
    let none = under_a_bypass();
    none.change(|record| record.passphrase = None);
    assert_eq!(
        none.types(&[RIGHT, EARLIER.1].repeat(3)).outcome,
        LoginOutcome::Refused
    );
}

#[test]
fn a_bypass_that_ends_while_the_passphrase_is_typed_leads_to_the_code() {
    let scene = under_a_bypass();
    let login = scene.play(vec![
        Box::new(|| {
            scene.change(|record| record.bypass = None);
            Ok(RIGHT)
        }),
        says(RIGHT),
        says(EARLIER.1),
    ]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004 bypass", "1004", "2001"]);
    assert_eq!(login.prompts[2].0, "Verification code: ");
}
