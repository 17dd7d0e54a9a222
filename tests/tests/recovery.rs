//! Recovery codes through the built module: once each, whatever stands against app codes, at the same cost for everybody.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;

use mfa_tests::hashes::hashes;
use mfa_tests::pam_host::{ALERT, AUTH_ERR, PROMPT, PamHost, SUCCESS, UNAVAIL, overwrite};
use mfa_tests::{Authenticator, on_a_bare_host};

/// How somebody writes a code.
type Writing = fn(&str) -> String;

/// The right shape, and nobody's code.
const WRONG: &str = "ZZZZ-ZZZZ-ZZZZZ";

#[test]
fn a_code_is_taken_in_any_writing_and_once() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("alice");
        let codes = host.recovery_codes("alice");
        let writings: [Writing; 5] = [
            str::to_lowercase,
            |code| code.replace('-', ""),
            |code| format!("{} ", code.replace('-', "  ")),
            |code| code.replace('0', "O").replace('1', "I"),
            |code| code.replace('0', "o").replace('1', "l").to_lowercase(),
        ];
        for (code, written) in codes.iter().zip(writings) {
            let written = written(code);
            let seen = host.login("alice", &[&written]);
            assert_eq!(seen.result(), SUCCESS, "{written:?}\n{seen}");
            assert_eq!(seen.prompts(), [PROMPT], "{seen}");
            let line = seen.only("MFA-2002");
            assert_eq!(
                (line.get("event"), line.get("method"), line.get("outcome")),
                ("accepted_with_recovery_code", "recovery", "success"),
                "{seen}"
            );
            assert!(
                !seen.to_string().contains(&written.to_uppercase()) || written == *code,
                "{seen}"
            );
            assert!(
                seen.log.iter().all(|line| !line.text.contains(code)),
                "{seen}"
            );
            // In every other writing it is the same one.
            let seen = host.login("alice", &[code]);
            assert_eq!(seen.result(), AUTH_ERR, "{code}\n{seen}");
            assert_eq!(seen.only("MFA-2102").get("method"), "recovery", "{seen}");
            host.admin(&["user", "unlock", "alice"]).expect_success();
        }
        for no_code in [
            &codes[9][..14],
            &format!("{}Z", codes[9]),
            "UUUU-UUUU-UUUUU",
        ] {
            let seen = host.login("alice", &[no_code]);
            assert_eq!(seen.only("MFA-2101").get("reason"), "not_a_code", "{seen}");
        }
        let status = host.admin(&["recovery", "status", "alice"]);
        let status = status.expect_success().stdout;
        assert!(status.contains("5 of 10 recovery codes left"), "{status}");
        // What was no code was not counted.
        assert!(!status.contains("in a row"), "{status}");
    });
}

#[test]
fn they_work_while_app_codes_are_locked_and_have_a_counter_of_their_own() {
    on_a_bare_host(|_| {
        let limits = "[lockout]\nafter = 2\n[throttle]\nmax_failures = 100\n";
        let host = PamHost::with_config(&format!("[prompt]\ntries = 1\n{limits}"));
        let app = host.enroll("alice");
        let codes = host.recovery_codes("alice");
        let wrong = app.wrong_code();
        host.login("alice", &[&wrong]);
        assert_eq!(host.login("alice", &[&wrong]).events("MFA-2204").len(), 1);
        app.wait_for_room(4);
        let right = app.code();
        let seen = host.login("alice", &[&right]);
        assert_eq!(
            (seen.result(), seen.ids()[1]),
            (AUTH_ERR, "MFA-2202"),
            "{seen}"
        );
        let seen = host.login("alice", &[&codes[0]]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        // A code of ten does not unlock what guesses have locked.
        let seen = host.login("alice", &[&right]);
        assert_eq!(seen.ids()[1], "MFA-2202", "{seen}");
        host.login("alice", &[WRONG]);
        let seen = host.login("alice", &[WRONG]);
        assert_eq!(seen.only("MFA-2204").get("method"), "recovery", "{seen}");
        let seen = host.login("alice", &[&codes[1]]);
        assert_eq!(
            (seen.result(), seen.ids()[1]),
            (AUTH_ERR, "MFA-2202"),
            "{seen}"
        );
        host.admin(&["user", "unlock", "alice"]).expect_success();
        assert_eq!(host.login("alice", &[&codes[1]]).result(), SUCCESS);
        // And the other way round: locked recovery codes leave the app alone.
        host.login("alice", &[WRONG]);
        host.login("alice", &[WRONG]);
        app.wait_for_room(4);
        let seen = host.login("alice", &[&app.code()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(host.login("alice", &[&codes[2]]).result(), AUTH_ERR);
    });
}

#[test]
fn a_new_set_voids_the_old_one() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("alice");
        let old = host.recovery_codes("alice");
        assert_eq!(host.login("alice", &[&old[0]]).result(), SUCCESS);
        // While the prompt is open, too.
        // Codes that nobody would see are not made.
        let again = host.admin_command("recovery generate alice --yes --quiet");
        let again = again.replace(">/dev/null", ">/run/new-codes");
        let seen = host.play(&format!(
            "user alice\ndo run {again}\nanswer text {}\nauthenticate\n",
            old[1]
        ));
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.only("MFA-2101").get("method"), "recovery", "{seen}");
        let new = host.recovery_codes("alice");
        for void in &old[2..5] {
            assert_eq!(host.login("alice", &[void]).result(), AUTH_ERR);
        }
        assert_eq!(host.login("alice", &[&new[0]]).result(), SUCCESS);
        let text = fs::read_to_string(host.record_path("alice")).unwrap();
        assert_eq!(text.matches("[recovery]").count(), 1, "{text}");
        assert!(
            new.iter()
                .all(|code| !text.contains(&code.replace('-', ""))),
            "{text}"
        );
    });
}

#[test]
fn an_answer_of_that_shape_costs_everybody_one_hash_and_shows_nobody_anything() {
    on_a_bare_host(|_| {
        let usual = "[throttle]\nmax_failures = 100\n";
        let mut host = PamHost::with_config(usual);
        let app = Authenticator::new();
        let refused = ["unapproved", "suspended", "elsewhere", "locked"];
        host.add_people(refused.iter().map(|&name| name.to_owned()));
        host.add_people(["plain".to_owned(), "codesonly".to_owned()]);
        let mut known = String::new();
        for name in ["alice", "plain"].iter().chain(&refused) {
            host.enroll_app(name, &app);
            if *name != "plain" {
                known.clone_from(&host.recovery_codes(name)[0]);
            }
        }
        host.admin(&["user", "add", "codesonly"]).expect_success();
        host.recovery_codes("codesonly");
        host.edit_record("unapproved", "approved = true", "approved = false");
        host.admin(&["user", "suspend", "suspended", "--reason", "left"])
            .expect_success();
        host.admin(&["device", "revoke", "elsewhere", "here", "--yes"])
            .expect_success();
        host.configure("[lockout]\nafter = 2\n[throttle]\nmax_failures = 100\n");
        let seen = host.login("locked", &[WRONG; 3]);
        assert_eq!(seen.events("MFA-2204").len(), 1, "{seen}");
        host.configure(usual);
        for (user, id, answers) in [
            ("alice", "MFA-2101", [WRONG; 3]),
            ("plain", "MFA-2101", [WRONG; 3]),
            ("codesonly", "MFA-2101", [WRONG; 3]),
            ("nobody-here", "MFA-2106", [WRONG; 3]),
            ("mallory", "MFA-2106", [WRONG; 3]),
            ("unapproved", "MFA-2104", [WRONG; 3]),
            ("suspended", "MFA-2109", [WRONG; 3]),
            ("elsewhere", "MFA-2105", [WRONG; 3]),
            ("locked", "MFA-2202", [known.as_str(), WRONG, &known]),
        ] {
            let (seen, count) = hashes(&host, user, &answers);
            assert_eq!(count, 3, "{user}: one hash an answer\n{seen}");
            assert_eq!(seen.result(), AUTH_ERR, "{user}\n{seen}");
            assert_eq!(seen.prompts(), [PROMPT; 3], "{user}\n{seen}");
            assert!(seen.starting("MESSAGE").is_empty(), "{user}\n{seen}");
            assert!(
                (1_000_000..=3_000_000).contains(&seen.delay()),
                "{user}\n{seen}"
            );
            assert!(!seen.events(id).is_empty(), "{user}: {id}\n{seen}");
        }
        // As long as one, and none; and what can't be one.
        for (answer, expected) in [
            ("correct horse", 1),
            ("1 2 3 4 5 6 7", 1),
            ("000000", 0),
            ("correct", 0),
        ] {
            for user in ["alice", "nobody-here", "suspended"] {
                let (seen, count) = hashes(&host, user, &[answer; 3]);
                assert_eq!(count, 3 * expected, "{user}, {answer:?}\n{seen}");
                assert_eq!(seen.prompts(), [PROMPT; 3], "{user}, {answer:?}\n{seen}");
            }
        }
        let right = host.recovery_codes("alice");
        let (seen, count) = hashes(&host, "alice", &[right[9].as_str()]);
        assert_eq!((seen.result(), count), (SUCCESS, 1), "{seen}");
    });
}

#[test]
fn a_damaged_state_lets_no_code_in_and_made_anew_it_makes_none_good_again() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("alice");
        let codes = host.recovery_codes("alice");
        assert_eq!(host.login("alice", &[&codes[0]]).result(), SUCCESS);
        host.admin(&["state", "reset", "alice", "--yes"])
            .expect_success();
        let seen = host.login("alice", &[&codes[0]]);
        assert_eq!(
            (seen.result(), seen.events("MFA-2102").len()),
            (AUTH_ERR, 1),
            "{seen}"
        );
        assert_eq!(host.login("alice", &[&codes[1]]).result(), SUCCESS);

        overwrite(&host.state_path("alice"), &[0; 4096]);
        let seen = host.login("alice", &[&codes[2]]);
        assert_eq!(seen.result(), UNAVAIL, "{seen}");
        assert_eq!(seen.only("MFA-4001").priority, ALERT, "{seen}");
        let reset = host
            .admin(&["state", "reset", "alice", "--yes"])
            .expect_success();
        assert!(reset.stderr.contains("count as used"), "{}", reset.stderr);
        for code in &codes[..4] {
            assert_eq!(host.login("alice", &[code]).result(), AUTH_ERR);
        }
        host.admin(&["user", "unlock", "alice"]).expect_success();
        let new = host.recovery_codes("alice");
        assert_eq!(host.login("alice", &[&new[0]]).result(), SUCCESS);
    });
}

#[test]
fn neither_a_flipped_bit_nor_a_state_that_is_gone_makes_a_used_code_good_again() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let codes = host.recovery_codes("alice");
        assert_eq!(host.login("alice", &[&codes[0]]).result(), SUCCESS);
        let state = host.state_path("alice");
        host.with_each_slot_damaged("alice", |place| {
            let seen = host.login("alice", &[&codes[0]]);
            assert_eq!(seen.result(), AUTH_ERR, "{place}\n{seen}");
            assert_eq!(seen.only("MFA-2102").get("method"), "recovery", "{seen}");
        });
        // Whatever is typed first where there is no state: nobody knows any more which were used.
        let right = app.code();
        for first in [&codes[0], &codes[1], &right] {
            fs::remove_file(&state).unwrap();
            let seen = host.login("alice", &[first]);
            let is_code = first == &right;
            assert_eq!(seen.result() == SUCCESS, is_code, "{first}\n{seen}");
            for code in &codes[..3] {
                assert_eq!(host.login("alice", &[code]).result(), AUTH_ERR, "{code}");
            }
        }
        let new = host.recovery_codes("alice");
        host.admin(&["user", "unlock", "alice"]).expect_success();
        assert_eq!(host.login("alice", &[&new[0]]).result(), SUCCESS);
    });
}

#[test]
fn broken_recovery_codes_in_a_record_are_named_and_let_nobody_in() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let codes = host.recovery_codes("alice");
        let sound = fs::read_to_string(host.record_path("alice")).unwrap();
        let value = |key: &str| {
            let line = sound.lines().find(|line| line.starts_with(key)).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        for (key, broken, said) in [
            ("salt", "", "no salt of recovery codes"),
            ("salt", "zz", "no salt of recovery codes"),
            ("salt", &"0".repeat(60_000), "no salt of recovery codes"),
            ("set", "../../x", "no id of a set"),
            ("set", "", "no id of a set"),
            ("hashes", "", "no hash of a recovery code"),
            (
                "hashes",
                "$argon2id$v=19$m=4194304,t=9,p=1$AAAAAAAAAAA$AAAA",
                "no hash of a recovery code",
            ),
        ] {
            let from = format!("\"{}\"", value(key));
            let text = sound.replace(&from, &format!("{broken:?}"));
            assert_ne!(text, sound);
            overwrite(&host.record_path("alice"), text.as_bytes());
            for answer in [&codes[0], &app.code_of(app.step())] {
                let seen = host.login("alice", &[answer]);
                assert_eq!(seen.result(), UNAVAIL, "{key}\n{seen}");
                assert_eq!(seen.prompts(), [PROMPT], "{key}\n{seen}");
                let line = seen.only("MFA-4001");
                assert_eq!(line.priority, ALERT, "{key}\n{seen}");
                assert!(line.get("detail").contains("alice.toml:"), "{key}\n{seen}");
                assert!(line.text.contains(said), "{key}\n{seen}");
            }
            let shown = host.admin(&["recovery", "status", "alice"]);
            assert_eq!(
                shown.code,
                Some(4),
                "{key}: {}{}",
                shown.stdout,
                shown.stderr
            );
            assert!(shown.stderr.contains("alice.toml:"), "{}", shown.stderr);
        }
        overwrite(&host.record_path("alice"), sound.as_bytes());
        assert_eq!(host.login("alice", &[&codes[0]]).result(), SUCCESS);
    });
}
