//! Real programs: sshd with nothing else as a first factor, and passwd.

use mfa_tests::{Host, PASSWORD, Script, on_a_test_host, stacks};

use crate::{PASSPHRASE, RIGHT, WRONG};

const CODE: &str = "Verification code: ";
const NEW: &str = "meadow-quartz-unlike-nine";

fn sshd_stack() -> String {
    stacks::with_argument(stacks::CODE_ALONE, &["auth"], "passphrase")
}

fn set(host: &Host, name: &str) {
    host.admin_with(&["passphrase", "set", name, "-"], RIGHT);
}

#[test]
fn a_person_logs_in_over_ssh_with_a_passphrase_and_a_code() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        set(host, "alice");
        let sshd = host.start_sshd(&sshd_stack(), &[]);
        let mark = host.mark();
        let script = Script::new()
            .answer(PASSPHRASE, RIGHT)
            .answer_with(CODE, || phone.present_code());
        let talk = sshd.ssh("alice").talk(script);
        talk.expect_success().expect_text("alice\n");
        talk.expect_no_text("ocelot");
        assert_eq!(
            host.ids_since(mark),
            ["MFA-1004", "MFA-2001", "MFA-2301", "MFA-2401"]
        );
        // Doctor takes it for what it is.
        let doctor = host.run(&["mfa-admin", "doctor", "--json"]).stdout;
        assert!(doctor.contains("\"users.passphrase\""), "{doctor}");
        assert!(doctor.contains("after a passphrase of its own"), "{doctor}");
    });
}

#[test]
fn over_ssh_nobody_can_tell_which_of_the_two_was_wrong_or_who_exists() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        set(host, "alice");
        host.enroll("bob");
        let sshd = host.start_sshd(&sshd_stack(), &[]);
        let mut transcripts = Vec::new();
        for (user, passphrase, code) in [
            ("alice", WRONG, phone.code()),
            ("alice", RIGHT, phone.wrong_code()),
            ("bob", RIGHT, phone.wrong_code()),
            ("mallo", RIGHT, phone.wrong_code()),
        ] {
            let mut script = Script::new();
            for _ in 0..3 {
                script = script.answer(PASSPHRASE, passphrase).answer(CODE, &code);
            }
            let mark = host.mark();
            let talk = sshd.ssh(user).talk(script);
            talk.expect_failure();
            let prompts: Vec<String> = talk
                .prompts
                .iter()
                .map(|prompt| prompt.replace(user, "USER"))
                .collect();
            transcripts.push(prompts);
            let ids = host.ids_since(mark);
            assert_eq!(ids.len(), 4, "{user}: {ids:?}");
        }
        assert_eq!(transcripts, vec![transcripts[0].clone(); 4]);
    });
}

#[test]
fn a_person_changes_the_passphrase_with_passwd() {
    type Asked<'a> = &'a dyn Fn(&'static str) -> Script<'a>;
    on_a_test_host(|host| {
        host.enroll("alice");
        set(host, "alice");
        host.write_service("passwd", "password required pam_mfa.so passphrase\n");
        let mark = host.mark();
        let script = Script::new()
            .answer("Current passphrase: ", RIGHT)
            .answer("New passphrase: ", "passwordpassword")
            .answer("New passphrase again: ", "passwordpassword")
            .answer("New passphrase: ", NEW)
            .answer("New passphrase again: ", NEW);
        let talk = host.terminal_of("alice", &["passwd"]).talk(script);
        talk.expect_success();
        talk.expect_text("Not taken: it is too easy to guess");
        talk.expect_no_text("quartz");
        assert_eq!(host.ids_since(mark), ["MFA-1004", "MFA-3062"]);
        // The old one is good no more, and root is asked as well.
        let wrong = Script::new().answer("Current passphrase: ", RIGHT);
        host.terminal_of("alice", &["passwd"])
            .talk(wrong)
            .expect_failure();
        let wrong = Script::new().answer("Current passphrase: ", RIGHT);
        host.terminal_of("root", &["passwd", "alice"])
            .talk(wrong)
            .expect_failure();
        let right = Script::new()
            .answer("Current passphrase: ", NEW)
            .answer("New passphrase: ", RIGHT)
            .answer("New passphrase again: ", RIGHT);
        host.terminal_of("root", &["passwd", "alice"])
            .talk(right)
            .expect_success();
        // Beside the password: neither is changed without the other, and who has none changes neither. In whatever order:
        // both are asked for before anything is changed.
        let shadow = || std::fs::read_to_string("/etc/shadow").unwrap();
        let before = shadow();
        let passphrase = |answer| Script::new().answer("Current passphrase: ", answer);
        let both = |answer| {
            Script::new()
                .answer("Current password: ", PASSWORD)
                .answer("Current passphrase: ", answer)
        };
        let behind = "@include common-password\npassword required pam_mfa.so passphrase\n";
        let first = "password requisite pam_mfa.so passphrase\n@include common-password\n";
        let orders: [(&str, Asked<'_>); 2] = [(behind, &both), (first, &passphrase)];
        for (stack, asked) in orders {
            host.write_service("passwd", stack);
            for (name, answer) in [("alice", WRONG), ("bob", RIGHT)] {
                let talk = host.terminal_of(name, &["passwd"]).talk(asked(answer));
                talk.expect_failure();
                assert_eq!(shadow(), before, "{name}: {stack}");
            }
        }
        // As README has it.
        let script = Script::new()
            .answer("Current passphrase: ", RIGHT)
            .answer("Current password: ", PASSWORD)
            .answer("New passphrase: ", NEW)
            .answer("New passphrase again: ", NEW)
            .answer("New password: ", "Kestrel-7-wings-14")
            .answer("Retype new password: ", "Kestrel-7-wings-14");
        let talk = host.terminal_of("alice", &["passwd"]).talk(script);
        talk.expect_success();
        assert_ne!(shadow(), before);
        // Nobody else's.
        let refused = host
            .terminal_of("bob", &["passwd", "alice"])
            .talk(Script::new());
        refused.expect_failure();
    });
}
