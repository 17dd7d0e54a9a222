//! sshd and the OpenSSH client.

use std::fs;

use mfa_tests::{PASSWORD, Script, Terminal, on_a_test_host, repository, stacks};

use crate::CODE;

/// One prompt a login, so that a test says what each single answer leads to.
const ONE_TRY: &str = "tries = 1\n";

fn code(code: &str) -> Script<'static> {
    Script::new().answer(CODE, code)
}

#[test]
fn a_person_logs_in_with_an_app_code() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let talk = sshd.ssh("alice").talk(code(&phone.present_code()));
        talk.expect_success().expect_text("alice\n");
        assert_eq!(talk.prompts, ["(alice@127.0.0.1) Verification code: "]);

        let lines = host.audit_since(mark);
        let ids: Vec<_> = lines.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(
            ids,
            ["MFA-1004", "MFA-2001", "MFA-2301", "MFA-2401"],
            "{lines:#?}"
        );
        let id128 = [
            "systemd-id128",
            "machine-id",
            "--app-specific=8f0b6f2e4d6c4c0fa2f1a6b7d3c95e10",
        ];
        let device = host.run(&id128).stdout;
        for (number, line) in lines.iter().enumerate() {
            let described = (
                &line["user"],
                &line["uid"],
                &line["service"],
                &line["rhost"],
                &line["tty"],
            );
            assert_eq!(
                described,
                ("alice", "1001", "sshd", "127.0.0.1", "ssh"),
                "{}",
                line.text
            );
            assert_eq!(&line["device"], &device[..8], "{}", line.text);
            assert_eq!(&line["login"], &lines[0]["login"], "{}", line.text);
            assert_eq!(line["seq"], (number + 1).to_string(), "{}", line.text);
            assert_eq!(line.severity, "info", "{}", line.text);
        }
        assert_eq!(
            (&lines[1]["outcome"], &lines[1]["method"], &lines[1]["app"]),
            ("success", "app", "phone")
        );
        assert_eq!(lines[1].source, "pam_mfa(sshd:auth)");
    });
}

#[test]
fn a_person_logs_in_with_password_and_code() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(&stacks::example("sshd-code-after-password"), &[]);
        let both = Script::new()
            .answer("Password: ", PASSWORD)
            .answer_with(CODE, || phone.code());
        sshd.ssh("alice")
            .talk(both)
            .expect_success()
            .expect_text("alice\n");

        let mark = host.mark();
        let client = sshd.ssh("alice");
        // The right password with a wrong code, and a wrong password with a right code.
        let wrong = phone.wrong_code();
        let script = Script::new()
            .answer("Password: ", PASSWORD)
            .answer_times(3, CODE, &wrong);
        client.talk(script).expect_failure();
        assert_eq!(
            host.ids_since(mark)
                .iter()
                .filter(|id| *id == "MFA-2101")
                .count(),
            3
        );
        let mark = host.mark();
        let talk = client.start().talk_freely(|prompt| {
            Some(if prompt.contains("Password") {
                "battery staple".to_owned()
            } else {
                phone.code()
            })
        });
        talk.expect_failure();
        assert!(!host.ids_since(mark).contains(&"MFA-2301".to_owned()));
    });
}

#[test]
fn a_person_logs_in_with_key_and_code() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let fragment = repository().join("config/sshd_config.d/pam_mfa.conf");
        let include = format!("Include {}", fragment.display());
        let sshd = host.start_sshd(&stacks::example("sshd-key-and-code"), &[&include]);
        let client = sshd
            .ssh("alice")
            .with_key()
            .methods("publickey,keyboard-interactive");
        let mark = host.mark();
        client
            .talk(code(&phone.code()))
            .expect_success()
            .expect_text("alice\n");
        host.one_since(mark, "MFA-2001");

        // The key alone, the code alone.
        client
            .clone()
            .methods("publickey")
            .talk(Script::new())
            .expect_failure();
        sshd.ssh("alice").talk(Script::new()).expect_failure();
        client
            .talk(Script::new().answer_times(3, CODE, &phone.wrong_code()))
            .expect_failure();
    });
}

#[test]
fn a_wrong_code_is_refused_and_filters_read_the_line() {
    on_a_test_host(|host| {
        host.configure(ONE_TRY);
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        sshd.ssh("alice")
            .talk(code(&phone.wrong_code()))
            .expect_failure()
            .expect_text("Permission denied");
        let line = host.one_since(mark, "MFA-2101");
        assert_eq!(
            (line.severity.as_str(), &line["outcome"], &line["try"]),
            ("notice", "failure", "1")
        );
        let classic = "pam_mfa(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=127.0.0.1 user=alice";
        let log = host.log_since(mark);
        let written: Vec<_> = log
            .iter()
            .filter(|line| {
                line.text
                    .contains("pam_mfa(sshd:auth): authentication failure")
            })
            .collect();
        assert_eq!(written.len(), 1, "{log:#?}");
        assert!(
            written[0].text.trim_end() == classic
                || written[0].text.trim_end() == format!("{classic}."),
            "{written:?}"
        );
        assert!(
            log.iter().any(|line| line
                .text
                .contains("error: PAM: Authentication failure for alice")),
            "{log:#?}"
        );
        // The next right code is accepted all the same.
        sshd.ssh("alice").talk(code(&phone.code())).expect_success();
    });
}

#[test]
fn a_code_is_good_once_and_no_earlier_one_is_after_it() {
    on_a_test_host(|host| {
        host.configure(ONE_TRY);
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        phone.wait_for_room(12);
        let now = phone.step();
        sshd.ssh("alice")
            .talk(code(&phone.code_of(now)))
            .expect_success();
        for step in [now, now - 1] {
            let mark = host.mark();
            sshd.ssh("alice")
                .talk(code(&phone.code_of(step)))
                .expect_failure();
            host.one_since(mark, "MFA-2102");
        }
        sshd.ssh("alice")
            .talk(code(&phone.code_of(now + 1)))
            .expect_success();
        let mark = host.mark();
        sshd.ssh("alice")
            .talk(code(&phone.code_of(now)))
            .expect_failure();
        host.one_since(mark, "MFA-2102");
    });
}

#[test]
fn a_code_outside_the_window_is_refused() {
    on_a_test_host(|host| {
        host.configure(ONE_TRY);
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        phone.wait_for_room(12);
        let now = phone.step();
        for step in [now - 2, now + 2] {
            let mark = host.mark();
            sshd.ssh("alice")
                .talk(code(&phone.code_of(step)))
                .expect_failure();
            host.one_since(mark, "MFA-2101");
        }
        for step in [now - 1, now + 1] {
            sshd.ssh("alice")
                .talk(code(&phone.code_of(step)))
                .expect_success();
        }
    });
}

#[test]
fn a_wrong_answer_is_asked_again_three_times_in_all() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let wrong = phone.wrong_code();
        // Two slips and a right code.
        let script = Script::new()
            .answer_times(2, CODE, &wrong)
            .answer_with(CODE, || phone.code());
        sshd.ssh("alice").talk(script).expect_success();
        let mark = host.mark();
        // Shapes that no code has use up a prompt, and are not charged.
        let script = Script::new()
            .answer(CODE, "hello")
            .answer(CODE, "")
            .answer(CODE, "12345");
        sshd.ssh("alice").talk(script).expect_failure();
        let lines = host.audit_since(mark);
        assert!(
            lines
                .iter()
                .all(|line| line.id == "MFA-1004" || line["reason"] == *"not_a_code"),
            "{lines:#?}"
        );
        assert!(
            !lines.iter().any(|line| line.text.contains("hello")),
            "{lines:#?}"
        );
        // Blanks and hyphens do not count.
        let spaced = phone.code();
        let spaced = format!(" {}-{} ", &spaced[..3], &spaced[3..]);
        sshd.ssh("alice").talk(code(&spaced)).expect_success();
    });
}

#[test]
fn scp_copies_and_a_command_runs() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        sshd.ssh("alice")
            .scp("/etc/hostname", "copied", code(&phone.code()))
            .expect_success();
        assert_eq!(
            fs::read_to_string("/run/home/alice/copied").unwrap(),
            "bastion-1\n"
        );
        let talk = sshd
            .ssh("alice")
            .command("cat copied; exit 7")
            .talk(code(&phone.code()));
        assert_eq!(talk.expect_text("bastion-1\n").exit, 7);
        sshd.ssh("alice")
            .scp(
                "/etc/hostname",
                "refused",
                code("hello").answer_times(2, CODE, "hello"),
            )
            .expect_failure();
        assert!(!fs::exists("/run/home/alice/refused").unwrap());
    });
}

#[test]
fn an_account_password_as_the_answer_is_refused_and_not_charged() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let options = ["PasswordAuthentication yes"];
        let sshd = host.start_sshd(&stacks::example("sshd-code-after-password"), &options);
        // sshd answers every prompt of the stack with the account password here.
        let password = || Script::new().answer("'s password: ", PASSWORD);
        let client = sshd.ssh("alice").methods("password");
        // More than the throttle lets through.
        for _ in 0..6 {
            let mark = host.mark();
            client
                .scp("/etc/hostname", "copied", password())
                .expect_failure();
            let line = host.one_since(mark, "MFA-2110");
            assert_eq!(&line["user"], "alice");
            assert!(
                !host
                    .log_since(mark)
                    .iter()
                    .any(|line| line.text.contains(PASSWORD))
            );
        }
        let both = Script::new()
            .answer("Password: ", PASSWORD)
            .answer_with(CODE, || phone.code());
        sshd.ssh("alice").talk(both).expect_success();
    });
}

#[test]
fn a_key_alone_meets_the_account_phase() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.enroll("carol");
        let record = fs::read_to_string("/var/lib/mfa/users/carol.toml").unwrap();
        assert!(record.contains("approved = true"), "{record}");
        fs::write(
            "/var/lib/mfa/users/carol.toml",
            record.replace("approved = true", "approved = false"),
        )
        .unwrap();
        host.admin(&[
            "user",
            "add",
            "dave",
            "--device",
            "00000000000040008000000000000000",
        ]);
        host.enroll("erin");
        host.admin(&["user", "suspend", "erin", "--reason", "on leave"]);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &["AuthenticationMethods publickey"]);
        let with_key = |name: &str| {
            sshd.ssh(name)
                .with_key()
                .methods("publickey")
                .talk(Script::new())
        };

        let mark = host.mark();
        with_key("alice").expect_success().expect_text("alice\n");
        assert_eq!(host.ids_since(mark), ["MFA-2301", "MFA-2401"]);
        for (name, reason) in [
            ("bob", "unknown_user"),
            ("carol", "not_approved"),
            ("dave", "wrong_device"),
            ("erin", "suspended"),
        ] {
            let mark = host.mark();
            with_key(name)
                .expect_failure()
                .expect_no_text(&format!("{name}\n"));
            let lines = host.audit_since(mark);
            let ids: Vec<_> = lines.iter().map(|line| line.id.as_str()).collect();
            assert_eq!(ids, ["MFA-2302"], "{name}: {lines:#?}");
            assert_eq!(
                (&lines[0]["reason"], lines[0].source.as_str()),
                (reason, "pam_mfa(sshd:account)")
            );
            assert_eq!(&lines[0]["user"], if name == "bob" { "?" } else { name });
        }
    });
}

#[test]
fn of_ten_clients_with_the_same_code_one_gets_in() {
    on_a_test_host(|host| {
        host.configure(ONE_TRY);
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let mut clients: Vec<Terminal> = (0..10).map(|_| sshd.ssh("alice").start()).collect();
        for client in &mut clients {
            client.expect_prompt(CODE);
        }
        let code = phone.present_code();
        for client in &mut clients {
            client.type_line(&code);
        }
        let inside = clients
            .into_iter()
            .map(Terminal::finish)
            .filter(|talk| talk.exit == 0)
            .count();
        assert_eq!(inside, 1);
        assert_eq!(
            host.ids_since(mark)
                .iter()
                .filter(|id| *id == "MFA-2001")
                .count(),
            1
        );
    });
}

#[test]
fn who_is_suspended_or_loses_the_app_between_prompt_and_answer_stays_out() {
    on_a_test_host(|host| {
        host.configure(ONE_TRY);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);

        let phone = host.enroll("alice");
        let mark = host.mark();
        let suspended = Script::new().answer_with(CODE, || {
            host.admin(&["user", "suspend", "alice", "--reason", "left the company"]);
            phone.code()
        });
        sshd.ssh("alice").talk(suspended).expect_failure();
        host.one_since(mark, "MFA-2109");

        let (lost, kept) = (host.enroll("bob"), host.enroll_app("bob", "tablet"));
        let mark = host.mark();
        let removed = Script::new().answer_with(CODE, || {
            host.admin(&["app", "remove", "bob", "phone", "--yes"]);
            lost.code()
        });
        sshd.ssh("bob").talk(removed).expect_failure();
        host.one_since(mark, "MFA-2101");
        sshd.ssh("bob").talk(code(&kept.code())).expect_success();
    });
}
