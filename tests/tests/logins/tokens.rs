//! Hardware tokens, and several authenticators of one person, through sshd.

use mfa_tests::{HardwareToken, Script, Terminal, on_a_test_host, stacks};

use crate::CODE;

fn code(code: &str) -> Script<'static> {
    Script::new().answer(CODE, code)
}

#[test]
fn a_person_logs_in_with_a_hardware_token() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n");
        host.admin(&["user", "add", "alice", "--method", "token"]);
        let token = HardwareToken::new();
        token.add_on(host, "alice", "key ring");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let first = token.press();
        let talk = sshd.ssh("alice").talk(code(&first));
        talk.expect_success().expect_text("alice\n");
        assert_eq!(talk.prompts, ["(alice@127.0.0.1) Verification code: "]);
        let line = host.one_since(mark, "MFA-2001");
        assert_eq!(
            (&line["method"], &line["app"], &line["rhost"]),
            ("token", "key ring", "127.0.0.1")
        );
        let mark = host.mark();
        sshd.ssh("alice").talk(code(&first)).expect_failure();
        assert_eq!(&host.one_since(mark, "MFA-2102")["app"], "key ring");
        // The button was pressed in a pocket.
        token.press_often(9);
        sshd.ssh("alice")
            .talk(code(&token.press()))
            .expect_success();
        // Its password and an app go on beside it, and each line names what it was.
        let phone = host.enroll_app("alice", "phone");
        host.admin(&["user", "set", "alice", "--methods", "token,app"]);
        let mark = host.mark();
        sshd.ssh("alice").talk(code(&phone.code())).expect_success();
        assert_eq!(&host.one_since(mark, "MFA-2001")["app"], "phone");
        host.admin(&["token", "disable", "alice", "key ring"]);
        let mark = host.mark();
        sshd.ssh("alice")
            .talk(code(&token.press()))
            .expect_failure();
        assert_eq!(&host.one_since(mark, "MFA-2101")["reason"], "disabled");
        sshd.ssh("alice").talk(code(&phone.code())).expect_success();
    });
}

#[test]
fn a_token_that_is_out_of_step_comes_back_by_two_codes_in_one_ssh_login() {
    on_a_test_host(|host| {
        host.admin(&["user", "add", "alice", "--method", "token"]);
        let token = HardwareToken::new();
        token.add_on(host, "alice", "key ring");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        token.press_often(50);
        let mark = host.mark();
        let two = Script::new()
            .answer(CODE, &token.press())
            .answer(CODE, &token.press());
        sshd.ssh("alice").talk(two).expect_success();
        assert_eq!(
            host.ids_since(mark)[..4],
            ["MFA-1004", "MFA-2101", "MFA-2004", "MFA-2001"]
        );
        // Far ahead nothing helps but the verb, and nothing is lost.
        token.press_often(2000);
        let three = (0..3).fold(Script::new(), |script, _| {
            script.answer(CODE, &token.press())
        });
        sshd.ssh("alice").talk(three).expect_failure();
        let resync = ["mfa-admin", "token", "resync", "alice", "key ring"];
        let used = format!("{}\n{}\n", token.code_of(50), token.code_of(51));
        let refused = host.run_with(&resync, &used);
        assert_eq!(refused.exit, 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("two codes in a row"),
            "{}",
            refused.stderr
        );
        let two = format!("{}\n{}\n", token.press(), token.press());
        host.run_with(&resync, &two).expect_success();
        sshd.ssh("alice")
            .talk(code(&token.press()))
            .expect_success();
    });
}

#[test]
fn of_ten_clients_with_the_same_code_of_a_token_one_gets_in() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n[throttle]\nmax_failures = 100\n");
        host.admin(&["user", "add", "alice", "--method", "token"]);
        let token = HardwareToken::new();
        token.add_on(host, "alice", "key ring");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let mut clients: Vec<Terminal> = (0..10).map(|_| sshd.ssh("alice").start()).collect();
        for client in &mut clients {
            client.expect_prompt(CODE);
        }
        let shown = token.press();
        for client in &mut clients {
            client.type_line(&shown);
        }
        let talks = clients.into_iter().map(Terminal::finish);
        assert_eq!(talks.filter(|talk| talk.exit == 0).count(), 1);
        let ids = host.ids_since(mark);
        let count = |id: &str| ids.iter().filter(|seen| *seen == id).count();
        assert_eq!((count("MFA-2001"), count("MFA-2102")), (1, 9));
    });
}
