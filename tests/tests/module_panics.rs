//! A panic in each hook, in a build of the module that panics where an argument tells it to.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{ABORT, PamHost, SUCCESS, login_script};

#[test]
fn a_panic_in_any_hook_is_one_line_and_the_host_lives() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        for (hook, result) in [
            ("authenticate", ABORT),
            ("acct_mgmt", ABORT),
            ("setcred", SUCCESS),
            ("open_session", SUCCESS),
            ("close_session", SUCCESS),
        ] {
            host.panicking_stack("panicking", hook);
            let before = host.state("alice");
            // setcred follows the chain that authenticate left, so it comes alone here.
            let seen = host
                .player()
                .service("panicking")
                .options(&["--check"])
                .play(&format!("user alice\n{hook}\nsyslog alive\n"));
            assert_eq!(seen.results(), [result], "{hook}\n{seen}");
            assert_eq!(seen.code, Some(0), "{hook}\n{seen}");
            let line = seen.only("MFA-9001");
            assert!(line.text.len() <= 1000, "{seen}");
            assert_eq!(seen.log.last().unwrap().text, "alive", "{seen}");
            assert_eq!(
                seen.starting("CHANGED"),
                Vec::<&str>::new(),
                "{hook}\n{seen}"
            );
            assert!(
                seen.stderr.is_empty(),
                "nothing on the person's terminal\n{seen}"
            );
            assert_eq!(host.state("alice"), before, "{hook}");
        }
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_panic_in_chauthtok_never_lets_anything_pass() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.panicking_stack("panicking", "chauthtok");
        let seen = host
            .player()
            .service("panicking")
            .options(&["--check"])
            .play("user alice\nchauthtok\nsyslog alive\n");
        assert_eq!(seen.code, Some(0), "{seen}");
        assert_ne!(seen.results(), [SUCCESS], "{seen}");
        assert!(!seen.events("MFA-9001").is_empty(), "{seen}");
        assert!(seen.stderr.is_empty(), "{seen}");
    });
}

#[test]
fn a_panic_in_one_process_costs_the_next_login_nothing() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        host.panicking_stack("panicking", "authenticate");
        let script = login_script("alice", &[&app.code()]).replace("answer", "#answer");
        for _ in 0..3 {
            assert_eq!(
                host.player().service("panicking").play(&script).result(),
                ABORT
            );
        }
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_hook_without_a_handle_aborts_and_the_host_lives() {
    on_a_bare_host(|_| {
        let script = "
import ctypes, sys
module = ctypes.CDLL(sys.argv[1])
for hook in ['authenticate', 'setcred', 'acct_mgmt', 'open_session', 'close_session', 'chauthtok']:
    print(hook, getattr(module, 'pam_sm_' + hook)(None, 0, 0, None))
";
        let output = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(mfa_tests::module_path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 6, "{text}");
        // PAM_ABORT of security/_pam_types.h.
        assert!(text.lines().all(|line| line.ends_with(" 26")), "{text}");
    });
}
