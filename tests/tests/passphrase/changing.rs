//! `pam_sm_chauthtok`, with the real courier as the judge.

use std::fs;
use std::os::unix::fs::MetadataExt;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, PamHost, SUCCESS, Seen};

use crate::{RIGHT, WRONG, host, kept, with_courier};

/// Flags of `pam_sm_chauthtok(3)`.
const CHANGE_EXPIRED: &str = "32";

const NEW: &str = "meadow-quartz-unlike-nine";
const PROMPTS: [&str; 3] = [
    "Current passphrase: ",
    "New passphrase: ",
    "New passphrase again: ",
];

fn change(host: &PamHost, user: &str, answers: &[&str]) -> Seen {
    let answers: Vec<String> = answers
        .iter()
        .map(|answer| format!("answer text {answer}\n"))
        .collect();
    host.play(&format!("user {user}\n{}chauthtok\n", answers.concat()))
}

#[test]
fn a_person_changes_the_passphrase_and_logs_in_with_the_new_one() {
    on_a_bare_host(|_| {
        let (host, app) = host("[prompt]\ntries = 1\n");
        app.wait_for_room(8);
        let before = fs::read_to_string(host.record_path("alice")).unwrap();
        let old = kept(&host, "alice");
        let seen = change(&host, "alice", &[RIGHT, NEW, NEW]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.prompts(), PROMPTS, "{seen}");
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-3062"], "{seen}");
        assert_eq!(seen.only("MFA-3062").get("user"), "alice");
        assert!(!seen.to_string().contains("quartz"), "{seen}");
        let after = fs::read_to_string(host.record_path("alice")).unwrap();
        let changed = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("changed = "));
            line.unwrap().to_owned()
        };
        let expected = before
            .replace(&old, &kept(&host, "alice"))
            .replace(&changed(&before), &changed(&after));
        assert_eq!(after, expected);
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
        assert_eq!(
            host.login("alice", &[NEW, &app.code_of(app.step())])
                .result(),
            SUCCESS
        );
        let seen = host.login("alice", &[RIGHT, &app.code_of(app.step() + 1)]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
    });
}

#[test]
fn whoever_can_not_change_it_is_asked_once_and_hears_the_same() {
    on_a_bare_host(|_| {
        let (mut host, app) = host("");
        host.add_people(["bob", "carol"].map(str::to_owned));
        host.enroll_app("bob", &app);
        host.enroll_app("carol", &app);
        crate::set(&host, "carol", RIGHT);
        host.admin(&["user", "suspend", "carol", "--reason", "x"])
            .expect_success();
        let mut delays = Vec::new();
        for (user, id, typed) in [
            ("alice", "MFA-2111", WRONG),
            ("bob", "MFA-2108", RIGHT),
            ("carol", "MFA-2109", RIGHT),
            ("nobody-here", "MFA-2106", RIGHT),
            ("mallory", "MFA-2106", RIGHT),
        ] {
            let seen = change(&host, user, &[typed]);
            assert_eq!(seen.result(), AUTH_ERR, "{user}\n{seen}");
            assert_eq!(seen.prompts(), [PROMPTS[0]], "{user}\n{seen}");
            assert!(seen.starting("MESSAGE").is_empty(), "{user}\n{seen}");
            assert_eq!(seen.ids(), ["MFA-1004", id], "{user}\n{seen}");
            delays.push((1_000_000..=3_000_000).contains(&seen.delay()));
        }
        assert_eq!(delays, [true; 5]);
        // Guesses are counted, and end.
        for _ in 0..4 {
            change(&host, "alice", &[WRONG]);
        }
        let seen = change(&host, "alice", &[RIGHT]);
        assert_eq!(
            (seen.result(), seen.ids()[1]),
            (AUTH_ERR, "MFA-2201"),
            "{seen}"
        );
    });
}

#[test]
fn weak_ones_are_refused_and_it_is_said_why() {
    on_a_bare_host(|_| {
        let words = "/run/refused-words";
        fs::write(words, "swordfish\nwinter in helsinki\n").unwrap();
        let rules = format!("[passphrase]\nrefused = \"{words}\"\nclasses = [\"lower\"]\n");
        let (host, _) = host(&rules);
        let old = kept(&host, "alice");
        for (weak, why) in [
            ("passwordpassword", "too easy to guess: "),
            ("short-one", "fewer than 12 characters"),
            (
                "alice-quartz-unlike-nine",
                "name of the user or of this host",
            ),
            ("Winter in Helsinki 2026!", "list of refused words"),
            ("MEADOW QUARTZ UNLIKE", "no small letter"),
            (RIGHT, "the one that you have"),
        ] {
            let seen = change(&host, "alice", &[RIGHT, weak, weak, NEW, "other", "x", "x"]);
            assert_eq!(seen.result(), "PAM_AUTHTOK_ERR", "{seen}");
            let prompts = seen.prompts();
            assert!(
                prompts[3].starts_with("Not taken: ") && prompts[3].contains(why),
                "{weak}: {prompts:?}"
            );
            assert!(prompts[5].contains("not the same"), "{prompts:?}");
            let messages = seen.starting("MESSAGE");
            assert_eq!(messages.len(), 1, "{seen}");
            assert!(messages[0].contains("fewer than 12 characters"), "{seen}");
            assert!(seen.ids() == ["MFA-1004"], "{seen}");
            assert_eq!(kept(&host, "alice"), old);
        }
        // The command goes by the same rules.
        let refused = host.admin_with(&["passphrase", "set", "alice", "-"], "winter in helsinki");
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("refused words"),
            "{}",
            refused.stderr
        );
        let seen = change(&host, "alice", &[RIGHT, "weak", "weak", NEW, NEW]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn without_a_judge_nothing_is_taken() {
    on_a_bare_host(|_| {
        let (host, _) = host("[prompt]\ntries = 1\n");
        let old = kept(&host, "alice");
        let nobody = "[prompt]\ntries = 1\n[courier]\nuser = \"nobody-of-this-name\"\n";
        let words = with_courier("[prompt]\ntries = 1\n[passphrase]\nrefused = \"/run/none\"\n");
        let missing = with_courier("[prompt]\ntries = 1\n");
        for (tables, said) in [
            (nobody, "no_user"),
            (words.as_str(), "words"),
            (missing.as_str(), "does not exist"),
        ] {
            host.configure(tables);
            if tables == missing {
                fs::remove_file("/usr/libexec/mfa/mfa-courier").unwrap();
            }
            let seen = change(&host, "alice", &[RIGHT, NEW, NEW]);
            assert_eq!(seen.result(), "PAM_AUTHTOK_ERR", "{seen}");
            let line = seen.only("MFA-4001");
            assert_eq!(line.get("reason"), "no_judge", "{seen}");
            assert!(line.get("detail").contains(said), "{said}\n{seen}");
            let message = seen.starting("MESSAGE").concat();
            assert!(message.contains("can't judge it now"), "{seen}");
            assert_eq!(kept(&host, "alice"), old);
        }
    });
}

#[test]
fn every_way_in_which_it_ends_has_its_code() {
    on_a_bare_host(|_| {
        let (host, _) = host("");
        // Nobody expires: what has expired is none of ours, nor is anything without the argument.
        let detector = host.ignore_detector("password", "passphrase");
        host.stack("login", &detector);
        let seen = host.play(&format!("user alice\nchauthtok {CHANGE_EXPIRED}\n"));
        assert_eq!(
            (seen.result(), seen.prompts().len()),
            (SUCCESS, 0),
            "{seen}"
        );
        host.stack("login", &host.ignore_detector("password", ""));
        let seen = host.play("user alice\nchauthtok\n");
        assert_eq!(
            (seen.result(), seen.prompts().len()),
            (SUCCESS, 0),
            "{seen}"
        );

        host.stack("login", &host.lines("", "passphrase"));
        let seen = host.play("user alice\nanswer convfail\nchauthtok\n");
        assert_eq!(
            (seen.result(), seen.ids()[1]),
            (CONV_ERR, "MFA-2107"),
            "{seen}"
        );
        let script = format!("user alice\nanswer text {RIGHT}\nanswer null\nchauthtok\n");
        assert_eq!(host.play(&script).result(), CONV_ERR);
        let changed = format!("user alice\ndo setuser bob\nanswer text {RIGHT}\nchauthtok\n");
        let seen = host.play(&changed);
        assert_eq!(
            seen.only("MFA-2107").get("reason"),
            "user_changed",
            "{seen}"
        );

        // What was shown to be known once is not known for ever.
        let seen = host.play(&format!(
            "user alice\nanswer text {RIGHT}\nanswer text {NEW}\nanswer text {NEW}\nchauthtok\n\
             answer text {WRONG}\nchauthtok\nanswer text {NEW}\nanswer text {RIGHT}\nanswer text {RIGHT}\nchauthtok\n"
        ));
        assert_eq!(seen.results(), [SUCCESS, AUTH_ERR, SUCCESS], "{seen}");
        assert_eq!(
            seen.prompts(),
            [&PROMPTS[..], &PROMPTS[..1], &PROMPTS[..]].concat(),
            "{seen}"
        );

        // What is missing shows before anybody is asked.
        let key = host.path("seal.key");
        fs::rename(&key, host.path("kept.key")).unwrap();
        let seen = host.play("user alice\nchauthtok\n");
        assert_eq!(
            (seen.result(), seen.prompts().len()),
            ("PAM_TRY_AGAIN", 0),
            "{seen}"
        );
        assert_eq!(seen.ids(), ["MFA-4001"], "{seen}");
        fs::rename(host.path("kept.key"), &key).unwrap();

        // A record that somebody changes meanwhile.
        let suspend = host.admin_command("user suspend alice --reason x");
        let script = format!(
            "user alice\nanswer text {RIGHT}\nanswer text {NEW}\ndo run {suspend}\nanswer text {NEW}\nchauthtok\n"
        );
        let seen = host.play(&script);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(
            seen.only("MFA-2111").get("reason"),
            "changed_meanwhile",
            "{seen}"
        );
        host.admin(&["user", "resume", "alice"]).expect_success();
        // A lock that somebody keeps.
        let users = host.path("lib/users").display().to_string();
        let script = format!(
            "user alice\nanswer text {RIGHT}\nanswer text {NEW}\n\
             do run flock {users} sleep 6 >/dev/null 2>&1 & while flock -n {users} true; do :; done\n\
             answer text {NEW}\nchauthtok\n"
        );
        let seen = host.play(&script);
        assert_eq!(seen.result(), "PAM_AUTHTOK_LOCK_BUSY", "{seen}");
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2206"], "{seen}");
    });
}

#[test]
fn of_eight_who_change_it_at_once_one_does() {
    on_a_bare_host(|_| {
        let (host, _) = host("[prompt]\ntries = 1\n[passphrase]\nmemory = 7168\npasses = 1\n");
        let old = kept(&host, "alice");
        let script = format!(
            "user alice\nanswer text {RIGHT}\nanswer text {NEW}-%i\ndo barrier\nanswer text {NEW}-%i\nchauthtok\n"
        );
        let seen = host.play_at_once(8, &script);
        assert_eq!(seen.count(SUCCESS), 1, "{seen}");
        assert_eq!(seen.count(SUCCESS) + seen.count(AUTH_ERR), 8, "{seen}");
        assert_eq!(seen.events("MFA-3062").len(), 1, "{seen}");
        assert_ne!(kept(&host, "alice"), old);
        let works = (1..=8).filter(|number| {
            let new = format!("{NEW}-{number}");
            // Who knows it hears what is wrong with the new one; others have answers left.
            let seen = change(&host, "alice", &[&new, &new, &new, "x", "x", "x", "x"]);
            host.admin(&["user", "unlock", "alice"]).expect_success();
            seen.sole_result() == "PAM_AUTHTOK_ERR"
        });
        assert_eq!(works.count(), 1);
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
    });
}

#[test]
fn the_caller_s_limits_and_uid_change_nothing() {
    on_a_bare_host(|_| {
        let (host, _) = host("[prompt]\ntries = 1\n");
        let old = kept(&host, "alice");
        let script = format!(
            "user alice\nanswer text {RIGHT}\nanswer text {NEW}\nanswer text {NEW}\nchauthtok\n"
        );
        // Not a byte may be written: the state's is the first.
        let seen = host.player().before("ulimit -f 0").play(&script);
        assert_ne!(seen.sole_result(), SUCCESS, "{seen}");
        assert_eq!(
            seen.code,
            Some(3),
            "the host program lives, with answers left\n{seen}"
        );
        assert_eq!(kept(&host, "alice"), old);
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
        let seen = host.player().options(&["--real-uid", "4711"]).play(&script);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let owned = fs::metadata(host.record_path("alice")).unwrap();
        assert_eq!(
            (owned.uid(), owned.gid(), owned.mode() & 0o7777),
            (0, 0, 0o600)
        );
    });
}
