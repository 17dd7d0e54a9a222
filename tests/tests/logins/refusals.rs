//! Nobody learns who exists: whoever is refused sees the same; the audit line tells why.

use std::fs;

use mfa_tests::{Host, Script, Talk, on_a_test_host, stacks};

use crate::CODE;

/// What a person saw, without their name.
fn anonymous(name: &str, talk: &Talk) -> (i32, String, Vec<String>) {
    let prompts = talk
        .prompts
        .iter()
        .map(|prompt| prompt.replace(name, "NAME"))
        .collect();
    (talk.exit, talk.transcript.replace(name, "NAME"), prompts)
}

/// People who are refused, and the audit id that tells why. All others must look like alice with a wrong code.
fn people(host: &Host) -> Vec<(&'static str, &'static str)> {
    host.add_account("frank", 2001);
    for name in ["alice", "carol", "dave", "erin", "mallory"] {
        host.enroll(name);
    }
    let record = "/var/lib/mfa/users/carol.toml";
    let approved = fs::read_to_string(record).unwrap();
    fs::write(
        record,
        approved.replace("approved = true", "approved = false"),
    )
    .unwrap();
    host.admin(&["user", "suspend", "dave", "--reason", "on leave"]);
    host.admin(&[
        "device",
        "assign",
        "erin",
        "00000000000040008000000000000000",
        "--label",
        "elsewhere",
    ]);
    let here = host.admin(&["device", "id"]);
    host.admin(&["device", "revoke", "erin", here.trim(), "--yes"]);
    host.admin(&["user", "add", "frank"]);
    vec![
        ("alice", "MFA-2101"),
        ("bob", "MFA-2106"),
        ("zelda", "MFA-2106"),
        ("carol", "MFA-2104"),
        ("dave", "MFA-2109"),
        ("erin", "MFA-2105"),
        ("frank", "MFA-2108"),
        ("mallory", "MFA-2202"),
    ]
}

#[test]
fn everybody_who_is_refused_over_ssh_sees_the_same() {
    on_a_test_host(|host| {
        host.configure("[throttle]\nmax_failures = 100\n[lockout]\nafter = 3\n");
        let people = people(host);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let wrong = || Script::new().answer_times(3, CODE, "000000");
        let mark = host.mark();
        sshd.ssh("mallory").talk(wrong()).expect_failure();
        host.one_since(mark, "MFA-2204");

        let mut seen = Vec::new();
        for (name, why) in people {
            let mark = host.mark();
            let talk = sshd.ssh(name).talk(wrong());
            seen.push((name, anonymous(name, &talk)));
            let lines = host.audit_since(mark);
            assert!(
                lines.iter().any(|line| line.id == why),
                "{name}, {why}: {lines:#?}"
            );
            assert!(
                !lines.iter().any(|line| line["outcome"] == *"success"),
                "{name}: {lines:#?}"
            );
            let known = if why == "MFA-2106" { "?" } else { name };
            assert!(
                lines.iter().all(|line| line["user"] == *known),
                "{name}: {lines:#?}"
            );
        }
        let (_, expected) = &seen[0];
        assert_eq!((expected.0, expected.2.len()), (255, 3));
        for (name, saw) in &seen {
            assert_eq!(saw, expected, "{name}");
        }
    });
}

#[test]
fn an_answer_of_no_shape_tells_nobody_apart() {
    on_a_test_host(|host| {
        host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        // sshd replaces the answers of users that it does not know by a dummy of the same length.
        for answer in ["x", "no code, but a long answer", "1234 5678 9012"] {
            let saw = |name: &str| {
                anonymous(
                    name,
                    &sshd
                        .ssh(name)
                        .start()
                        .talk_freely(|_| Some(answer.to_owned())),
                )
            };
            let expected = saw("alice");
            assert_eq!(expected.2.len(), 3);
            for name in ["bob", "zelda", "root"] {
                assert_eq!(saw(name), expected, "{name}, {answer:?}");
            }
        }
    });
}

#[test]
fn the_right_code_does_not_help_who_may_not_log_in() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n[throttle]\nmax_failures = 100\n[lockout]\nafter = 1\n");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        for (name, why) in [
            ("carol", "MFA-2104"),
            ("dave", "MFA-2109"),
            ("erin", "MFA-2105"),
            ("mallory", "MFA-2202"),
        ] {
            let phone = host.enroll(name);
            match name {
                "carol" => {
                    let record = fs::read_to_string("/var/lib/mfa/users/carol.toml").unwrap();
                    fs::write(
                        "/var/lib/mfa/users/carol.toml",
                        record.replace("approved = true", "approved = false"),
                    )
                    .unwrap();
                }
                "dave" => drop(host.admin(&["user", "suspend", "dave", "--reason", "on leave"])),
                "erin" => drop(host.admin(&[
                    "device",
                    "revoke",
                    "erin",
                    host.admin(&["device", "id"]).trim(),
                    "--yes",
                ])),
                _ => drop(
                    sshd.ssh(name)
                        .talk(Script::new().answer(CODE, &phone.wrong_code())),
                ),
            }
            let mark = host.mark();
            sshd.ssh(name)
                .talk(Script::new().answer(CODE, &phone.code()))
                .expect_failure();
            host.one_since(mark, why);
        }
    });
}

#[test]
fn five_wrong_codes_a_minute_are_evaluated_and_no_more() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n");
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        for _ in 0..7 {
            sshd.ssh("alice")
                .talk(Script::new().answer(CODE, &phone.wrong_code()))
                .expect_failure();
        }
        sshd.ssh("alice")
            .talk(Script::new().answer(CODE, &phone.code()))
            .expect_failure();
        let ids = host.ids_since(mark);
        let count = |id: &str| ids.iter().filter(|found| *found == id).count();
        assert_eq!(
            (count("MFA-2101"), count("MFA-2201"), count("MFA-2001")),
            (5, 3, 0),
            "{ids:?}"
        );
        host.admin(&["user", "unlock", "alice"]);
        sshd.ssh("alice")
            .talk(Script::new().answer_with(CODE, || phone.code()))
            .expect_success();
    });
}
