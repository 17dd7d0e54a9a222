//! Hardware tokens through the built module: each code once, whatever happens in between; and several authenticators of one
//! person, each with a state of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;

use mfa_tests::pam_host::{AUTH_ERR, PROMPT, PamHost, SUCCESS, overwrite};
use mfa_tests::{Authenticator, HardwareToken, on_a_bare_host};

/// Limits that no test here comes near to.
const PATIENT: &str =
    "[prompt]\ntries = 1\n[throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n";

/// Two codes for `token resync`.
fn resync(host: &PamHost, words: &[&str], one: &str, other: &str) -> Option<i32> {
    host.admin_with(words, &format!("{one}\n{other}\n")).code
}

#[test]
fn codes_of_a_token_let_in_in_their_order_and_each_once() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(PATIENT);
        let token = host.enroll_token("alice");
        for _ in 0..4 {
            let code = token.press();
            let seen = host.login("alice", &[&code]);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
            assert_eq!(seen.prompts(), [PROMPT], "{seen}");
            let line = seen.only("MFA-2001");
            assert_eq!(
                (line.get("method"), line.get("app"), line.get("outcome")),
                ("token", "key ring", "success"),
                "{seen}"
            );
            assert!(
                !seen.log.iter().any(|line| line.text.contains(&code)),
                "{seen}"
            );
            let again = host.login("alice", &[&code]);
            assert_eq!(again.result(), AUTH_ERR, "{again}");
            let line = again.only("MFA-2102");
            assert_eq!((line.get("method"), line.get("app")), ("token", "key ring"));
        }
        // Ten that nobody looked at, and not eleven.
        let skipped = token.code_of(8);
        token.press_often(10);
        assert_eq!(host.login("alice", &[&token.press()]).result(), SUCCESS);
        let seen = host.login("alice", &[&skipped]);
        assert_eq!(seen.only("MFA-2102").get("app"), "key ring", "{seen}");
        token.press_often(11);
        let seen = host.login("alice", &[&token.press()]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.only("MFA-2101").get("reason"), "out_of_step", "{seen}");
        // With blanks, as it stands on some of them, and no seven digits.
        let code = token.press();
        let seen = host.login("alice", &[&format!("{code}0")]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        let code = token.code_of(15);
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        let seen = host.login("alice", &[&spaced]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn two_codes_in_a_row_bring_it_back_at_the_prompt_and_by_the_verb_and_far_ahead_nothing_is_lost() {
    on_a_bare_host(|_| {
        let host =
            PamHost::with_config("[throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n");
        let token = host.enroll_token("alice");
        token.press_often(60);
        // In one login.
        let seen = host.login("alice", &[token.press(), token.press()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(
            seen.ids(),
            ["MFA-1004", "MFA-2101", "MFA-2004", "MFA-2001"],
            "{seen}"
        );
        let line = seen.only("MFA-2004");
        assert_eq!(
            (line.get("event"), line.get("method"), line.get("app")),
            ("token_resynchronised", "token", "key ring")
        );
        assert_eq!(host.login("alice", &[token.press()]).result(), SUCCESS);
        // From one login to the next.
        token.press_often(99);
        let wrong = token.wrong_code();
        let (one, other) = (token.press(), token.press());
        let seen = host.login("alice", &[&wrong, &wrong, &one]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        let doctor = host.admin(&["token", "list", "alice"]).stdout;
        assert!(doctor.contains("out of step"), "{doctor}");
        let seen = host.login("alice", &[&other]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.events("MFA-2004").len(), 1, "{seen}");
        for used in [&one, &other] {
            let seen = host.login("alice", &[used, &wrong, &wrong]);
            assert_eq!(seen.events("MFA-2102").len(), 1, "{seen}");
        }
        // Further ahead than a login looks.
        let before = token.code_of(162);
        token.press_often(3000);
        let far = [token.press(), token.press(), token.press()];
        let seen = host.login("alice", &far);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.events("MFA-2101").len(), 3, "{seen}");
        assert_eq!(
            host.login("alice", &[&before, &wrong, &wrong])
                .count(SUCCESS),
            0
        );
        // Neither in the wrong order, nor twice the same, nor somebody else's.
        let words = ["token", "resync", "alice"];
        let (one, other) = (token.press(), token.press());
        for [one, other] in [[&other, &one], [&one, &one], [&wrong, &wrong]] {
            assert_eq!(resync(&host, &words, one, other), Some(1));
        }
        assert_eq!(resync(&host, &words, &one, &other), Some(0));
        assert_eq!(resync(&host, &words, &one, &other), Some(1), "used");
        assert_eq!(host.login("alice", &[token.press()]).result(), SUCCESS);
    });
}

#[test]
fn nothing_that_is_done_to_a_token_or_its_state_makes_a_used_code_good_again() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(PATIENT);
        let token = host.enroll_token("alice");
        let used: Vec<String> = (0..3).map(|_| token.press()).collect();
        for code in &used {
            assert_eq!(host.login("alice", &[code]).result(), SUCCESS);
        }
        let is_used = |what: &str| {
            for code in &used {
                let seen = host.login("alice", &[code]);
                assert_eq!(seen.result(), AUTH_ERR, "{what}\n{seen}");
            }
        };
        let admin = |words: &[&str]| drop(host.admin(words).expect_success());
        admin(&["token", "disable", "alice", "key ring"]);
        admin(&["token", "enable", "alice", "key ring"]);
        is_used("disabled and enabled");
        admin(&["state", "reset", "alice", "--yes"]);
        is_used("a state made anew");
        admin(&["token", "remove", "alice", "key ring", "--yes"]);
        token.add_to(&host, "alice", "key ring");
        is_used("removed and added");
        assert_eq!(host.login("alice", &[token.press()]).result(), SUCCESS);
        // A state that is damaged, and made anew; and one that is gone.
        let path = host.state_path("alice");
        overwrite(&path, &[0; 4096]);
        admin(&["state", "reset", "alice", "--yes"]);
        is_used("a damaged state made anew");
        let seen = host.login("alice", &[token.press()]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(
            seen.only("MFA-2101").get("reason"),
            "counter_unknown",
            "{seen}"
        );
        let words = ["token", "resync", "alice"];
        assert_eq!(
            resync(&host, &words, &token.press(), &token.press()),
            Some(0)
        );
        assert_eq!(host.login("alice", &[token.press()]).result(), SUCCESS);
        fs::remove_file(&path).unwrap();
        is_used("no state");
        assert_eq!(host.login("alice", &[token.press()]).result(), AUTH_ERR);
        assert_eq!(
            resync(&host, &words, &token.press(), &token.press()),
            Some(0)
        );
        is_used("resynchronised");
        assert_eq!(host.login("alice", &[token.press()]).result(), SUCCESS);
    });
}

#[test]
fn two_apps_and_two_tokens_of_one_person_have_a_state_each_and_are_disabled_singly() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(PATIENT);
        let phone = host.enroll("alice");
        let tablet = Authenticator::new();
        host.add_app("alice", "tablet", &tablet);
        let (ring, spare) = (HardwareToken::new(), HardwareToken::new());
        ring.add_to(&host, "alice", "key ring");
        spare.add_to(&host, "alice", "spare");
        let all: [(&str, &str, &dyn Fn() -> String); 4] = [
            ("app", "phone", &|| phone.code()),
            ("token", "key ring", &|| ring.press()),
            ("app", "tablet", &|| tablet.code()),
            ("token", "spare", &|| spare.press()),
        ];
        for (method, label, code) in all {
            let code = code();
            let seen = host.login("alice", &[&code]);
            assert_eq!(seen.result(), SUCCESS, "{label}\n{seen}");
            let line = seen.only("MFA-2001");
            assert_eq!(
                (line.get("method"), line.get("app")),
                (method, label),
                "{seen}"
            );
            let seen = host.login("alice", &[&code]);
            let line = seen.only("MFA-2102");
            assert_eq!(
                (line.get("method"), line.get("app")),
                (method, label),
                "{seen}"
            );
        }
        for (method, label, _) in all {
            host.admin(&[method, "disable", "alice", label])
                .expect_success();
            for (_, other, code) in all {
                let seen = host.login("alice", &[&code()]);
                if other == label {
                    assert_eq!(seen.result(), AUTH_ERR, "{label}\n{seen}");
                    let line = seen.only("MFA-2101");
                    assert_eq!(
                        (line.get("method"), line.get("app"), line.get("reason")),
                        (method, label, "disabled"),
                        "{seen}"
                    );
                } else {
                    assert_eq!(seen.result(), SUCCESS, "{other} beside {label}\n{seen}");
                }
            }
            host.admin(&[method, "enable", "alice", label])
                .expect_success();
        }
        // All of them: nobody is let in, nor by.
        for (method, label, _) in all {
            host.admin(&[method, "disable", "alice", label])
                .expect_success();
        }
        host.stack("login", &host.lines("", "nullok"));
        let seen = host.login("alice", &[&ring.press()]);
        assert_eq!(
            (seen.result(), seen.ids()[1]),
            (AUTH_ERR, "MFA-2108"),
            "{seen}"
        );
        // One that is disabled while its code is typed does not let in.
        host.admin(&["token", "enable", "alice", "spare"])
            .expect_success();
        let disable = host.admin_command("token disable alice spare");
        let seen = host.play(&format!(
            "user alice\ndo run {disable}\nanswer text {}\nauthenticate\n",
            spare.press()
        ));
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
    });
}

#[test]
fn somebody_with_a_token_is_locked_like_everybody_and_sees_what_everybody_sees() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[lockout]\nafter = 3\n[throttle]\nmax_failures = 100\n");
        let token = host.enroll_token("alice");
        let wrong = token.wrong_code();
        let refused = host.login("alice", &[&wrong; 3]);
        assert_eq!(refused.events("MFA-2204").len(), 1, "{refused}");
        let code = token.press();
        let locked = host.login("alice", &[&code; 3]);
        assert_eq!(locked.events("MFA-2202").len(), 3, "{locked}");
        let stranger = host.login("nobody-here", &[&wrong; 3]);
        for seen in [&refused, &locked, &stranger] {
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            assert_eq!(seen.prompts(), [PROMPT; 3], "{seen}");
            assert!(seen.starting("MESSAGE").is_empty(), "{seen}");
        }
        // Nothing was used up meanwhile.
        host.admin(&["user", "unlock", "alice"]).expect_success();
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
    });
}

#[test]
fn neither_a_flipped_bit_nor_removing_what_nobody_knows_of_makes_a_used_code_good_again() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(PATIENT);
        let token = host.enroll_token("alice");
        let used = [token.press(), token.press()];
        for code in &used {
            assert_eq!(host.login("alice", &[code]).result(), SUCCESS);
        }
        let state = host.state_path("alice");
        host.with_each_slot_damaged("alice", |place| {
            let seen = host.login("alice", &[&used[1]]);
            assert_eq!(seen.result(), AUTH_ERR, "{place}\n{seen}");
            assert_eq!(seen.only("MFA-2102").get("method"), "token", "{seen}");
        });
        // Nobody knows any more which were used, whoever takes the token out and puts it in again.
        fs::remove_file(&state).unwrap();
        let words = ["token", "remove", "alice", "key ring", "--yes"];
        host.admin(&words).expect_success();
        token.add_to(&host, "alice", "key ring");
        for code in &used {
            let seen = host.login("alice", &[code]);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        }
        let resync_words = ["token", "resync", "alice"];
        let (one, other) = (token.press(), token.press());
        assert_eq!(resync(&host, &resync_words, &one, &other), Some(0));
        assert_eq!(host.login("alice", &[&used[0]]).result(), AUTH_ERR);
        assert_eq!(host.login("alice", &[token.press()]).result(), SUCCESS);
    });
}
