//! The emergency code through libpam, where a test sees every hook.

use std::fs;
use std::os::unix::fs::symlink;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{ALERT, PERM_DENIED, PamHost, SUCCESS, UNAVAIL};

use crate::{EMERGENCY, WRONG, code_on};

/// A console in the hands of `user`, and what is done there.
fn console(user: &str, actions: &str) -> String {
    format!("user {user}\nset tty /dev/tty1\nset rhost \n{actions}")
}

/// A host whose configuration is broken, and the emergency code.
fn broken() -> (PamHost, String) {
    let host = PamHost::new();
    let page = host.admin(&["emergency", "generate"]).expect_success();
    host.write("mfa.toml", "version = 1\n[promt]\n");
    (host, code_on(&page.stdout))
}

#[test]
fn the_account_phase_believes_the_handle_and_nothing_else() {
    on_a_bare_host(|_| {
        let (host, code) = broken();
        let all = format!("answer text {code}\nauthenticate\nacct_mgmt\nsetcred\nopen_session\n");
        let seen = host
            .player()
            .options(&["--check"])
            .play(&console("root", &all));
        assert_eq!(seen.results(), [SUCCESS; 4], "{seen}");
        assert!(seen.starting("CHANGED").is_empty(), "{seen}");
        assert_eq!(seen.prompts(), [EMERGENCY], "{seen}");
        assert_eq!(seen.only("MFA-2009").priority, ALERT, "{seen}");
        // Neither without it, nor for somebody else, nor once another login has begun on the same handle.
        let again = || {
            host.admin(&["emergency", "generate", "--yes"])
                .expect_success()
                .stdout
        };
        let seen = host.play(&console("root", "acct_mgmt\n"));
        assert_eq!(seen.results(), [UNAVAIL], "{seen}");
        let code = code_on(&again());
        let seen = host.play(&console(
            "root",
            &format!("answer text {code}\nauthenticate\nset user daemon\nacct_mgmt\nset user root\nacct_mgmt\n"),
        ));
        assert_eq!(seen.results(), [SUCCESS, UNAVAIL, SUCCESS], "{seen}");
        let code = code_on(&again());
        let seen = host.play(&console(
            "root",
            &format!(
                "answer text {code}\nauthenticate\nanswer text {WRONG}\nanswer text {WRONG}\nanswer text {WRONG}\n\
                 authenticate\nacct_mgmt\n"
            ),
        ));
        assert_eq!(seen.results(), [SUCCESS, UNAVAIL, UNAVAIL], "{seen}");
        let code = code_on(&again());
        let seen = host.play(&console(
            "root",
            &format!("answer text {code}\nauthenticate\nrestart\nacct_mgmt\n"),
        ));
        assert_eq!(seen.results(), [SUCCESS, UNAVAIL], "{seen}");
    });
}

#[test]
fn a_suspension_holds_where_it_can_be_read() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("root");
        host.admin(&["user", "suspend", "root", "--reason", "left"])
            .expect_success();
        let page = host.admin(&["emergency", "generate"]).expect_success();
        let code = code_on(&page.stdout);
        fs::remove_file(host.path("seal.key")).unwrap();
        let seen = host.play(&console(
            "root",
            &format!("answer text {code}\nauthenticate\nacct_mgmt\n"),
        ));
        assert_eq!(seen.results(), [SUCCESS, PERM_DENIED], "{seen}");
        assert_eq!(seen.only("MFA-2302").get("reason"), "suspended", "{seen}");
    });
}

#[test]
fn what_is_asked_and_how_long_it_takes_does_not_tell_who_is_named() {
    on_a_bare_host(|_| {
        let (host, _) = broken();
        for user in ["root", "daemon", "nobody-here", "mallory"] {
            let answers = format!("answer text {WRONG}\n").repeat(3);
            let seen = host.play(&console(user, &format!("{answers}authenticate\n")));
            assert_eq!(seen.result(), UNAVAIL, "{user}\n{seen}");
            assert_eq!(seen.prompts(), [EMERGENCY; 3], "{user}\n{seen}");
            assert!(seen.starting("MESSAGE").is_empty(), "{user}\n{seen}");
            assert!(
                (1_000_000..=3_000_000).contains(&seen.delay()),
                "{user}\n{seen}"
            );
            assert_eq!(seen.events("MFA-2112").len(), 3, "{user}\n{seen}");
            // Whom the file does not name the log does not either.
            let name = seen.events("MFA-2112")[0].get("user").to_owned();
            assert_eq!(name, if user == "root" { "root" } else { "?" }, "{seen}");
        }
    });
}

#[test]
fn who_runs_a_program_as_somebody_else_is_never_asked() {
    on_a_bare_host(|_| {
        let (host, code) = broken();
        let script = console(
            "root",
            &format!("answer text {code}\nauthenticate\nforget\n"),
        );
        for options in [["--all-uids", "65534"], ["--real-uid", "65534"]] {
            let seen = host.player().options(&options).play(&script);
            assert_eq!(seen.sole_result(), UNAVAIL, "{options:?}\n{seen}");
            assert!(seen.prompts().is_empty(), "{options:?}\n{seen}");
        }
        let seen = host.play(&console(
            "root",
            &format!("answer text {code}\nauthenticate\n"),
        ));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn a_name_service_that_can_not_answer_is_no_emergency() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.admin(&["emergency", "generate"]).expect_success();
        fs::rename("/etc/passwd", "/etc/passwd-away").unwrap();
        // ELOOP: what a directory that is down looks like to getpwnam_r.
        symlink("passwd", "/etc/passwd").unwrap();
        let seen = host.play(&console("root", "authenticate\n"));
        fs::rename("/etc/passwd-away", "/etc/passwd").unwrap();
        assert_eq!(seen.result(), UNAVAIL, "{seen}");
        assert_eq!(seen.ids(), ["MFA-4006"], "{seen}");
        assert!(seen.prompts().is_empty(), "{seen}");
    });
}

#[test]
fn of_many_logins_with_the_code_at_once_one_gets_in() {
    on_a_bare_host(|_| {
        let (host, code) = broken();
        let children = 20;
        let script = console(
            "root",
            &format!(
                "do barrier\nanswer text {code}\nanswer text {WRONG}\nanswer text {WRONG}\nauthenticate\nforget\n"
            ),
        );
        let seen = host.play_at_once(children, &script);
        assert_eq!(seen.count(SUCCESS), 1, "{seen}");
        assert_eq!(seen.count(UNAVAIL), children - 1, "{seen}");
        assert_eq!(seen.events("MFA-2009").len(), 1, "{seen}");
    });
}
