//! login, su and sudo with the service files that we ship.

use std::fs;
use std::time::{Duration, Instant};

use mfa_tests::{PASSWORD, Script, on_a_test_host, stacks};

use crate::CODE;

#[test]
fn a_person_logs_in_on_a_console() {
    on_a_test_host(|host| {
        host.write_service("login", &stacks::example("login"));
        let phone = host.enroll("alice");
        let mark = host.mark();
        let script = Script::new()
            .answer("Password: ", PASSWORD)
            .answer_with(CODE, || phone.code())
            .answer("$ ", "id -un; exit");
        host.login("alice")
            .talk(script)
            .expect_success()
            .expect_text("alice\n");
        let line = host.one_since(mark, "MFA-2001");
        assert_eq!(
            (&line["service"], &line["rhost"], line.source.as_str()),
            ("login", "-", "pam_mfa(login:auth)")
        );
        assert!(line["tty"].contains("pts/"), "{}", line.text);
        host.one_since(mark, "MFA-2401");
    });
}

#[test]
fn a_wrong_code_on_a_console_is_a_failed_login() {
    on_a_test_host(|host| {
        host.write_service("login", &stacks::example("login"));
        let phone = host.enroll("alice");
        let mark = host.mark();
        let script =
            Script::new()
                .answer("Password: ", PASSWORD)
                .answer_times(3, CODE, &phone.wrong_code());
        let mut terminal = host.login("alice");
        terminal.play(script);
        terminal.expect_prompt("login: ");
        assert!(terminal.transcript().contains("Login incorrect"));
        assert_eq!(
            host.ids_since(mark)
                .iter()
                .filter(|id| *id == "MFA-2101")
                .count(),
            3
        );
    });
}

#[test]
fn su_asks_for_the_targets_code() {
    on_a_test_host(|host| {
        host.write_service("su", &stacks::example("su"));
        let (of_bob, of_alice) = (host.enroll("bob"), host.enroll("alice"));
        let with = |code: String| {
            Script::new()
                .answer("Password: ", PASSWORD)
                .answer(CODE, &code)
        };
        let mark = host.mark();
        host.su("bob", "alice", "id -un")
            .talk(with(of_alice.code()))
            .expect_success()
            .expect_text("alice\n");
        let line = host.one_since(mark, "MFA-2001");
        assert_eq!((&line["user"], &line["service"]), ("alice", "su"));
        let others = with(of_bob.code()).answer_times(2, CODE, &of_bob.code());
        host.su("bob", "alice", "id -un")
            .talk(others)
            .expect_failure()
            .expect_no_text("alice\n");
    });
}

#[test]
fn sudo_asks_for_the_callers_code() {
    on_a_test_host(|host| {
        host.write_service("sudo", &stacks::example("sudo"));
        let phone = host.enroll("bob");
        let with = |code: &str| Script::new().answer("bob: ", PASSWORD).answer(CODE, code);
        let mark = host.mark();
        host.sudo("bob", &["id", "-un"])
            .talk(with(&phone.code()))
            .expect_success()
            .expect_text("root\n");
        let line = host.one_since(mark, "MFA-2001");
        assert_eq!((&line["user"], &line["service"]), ("bob", "sudo"));
        let mark = host.mark();
        host.sudo("bob", &["id", "-un"])
            .talk(with(&phone.wrong_code()).answer_times(2, CODE, &phone.wrong_code()))
            .expect_failure()
            .expect_no_text("root\n");
        assert!(!host.ids_since(mark).contains(&"MFA-2301".to_owned()));
    });
}

#[test]
fn ctrl_c_at_the_prompt_of_su_does_no_harm() {
    on_a_test_host(|host| {
        host.write_service("su", stacks::CODE_ALONE);
        let phone = host.enroll("alice");
        let mut terminal = host.su("bob", "alice", "id -un");
        terminal.expect_prompt(CODE);
        // libpam_misc keeps Ctrl-C waiting until the answer is read; the module's transaction keeps it waiting, too.
        terminal.type_bytes(b"\x03");
        terminal.type_line(&phone.wrong_code());
        terminal.finish().expect_failure();
        let script = Script::new().answer(CODE, &phone.code());
        host.su("bob", "alice", "id -un")
            .talk(script)
            .expect_success();
    });
}

#[test]
fn a_wrong_code_costs_time_whether_the_user_is_known_or_not() {
    on_a_test_host(|host| {
        // The default, which other tests have switched off: two seconds, of which libpam takes up to half away.
        fs::write("/etc/mfa/mfa.toml", "version = 1\n[prompt]\ntries = 1\n").unwrap();
        host.write_service("su", stacks::CODE_ALONE);
        host.enroll("alice");
        for target in ["alice", "carol"] {
            let mut terminal = host.su("bob", target, "id -un");
            terminal.play(Script::new().answer(CODE, "000000"));
            let started = Instant::now();
            terminal.finish().expect_failure();
            let taken = started.elapsed();
            assert!(taken > Duration::from_millis(900), "{target}: {taken:?}");
        }
    });
}
