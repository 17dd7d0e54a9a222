//! Logins with what is good once for ever, a recovery code and the code of a token, killed at any moment between two system
//! calls as well.

use std::time::Instant;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{PamHost, SUCCESS, login_script};
use mfa_tests::proof::{rounds, tell};

const PATIENT: &str =
    "[prompt]\ntries = 1\n[throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n";

#[test]
fn killed_at_any_moment_a_login_uses_its_recovery_code_up_or_leaves_it_good() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(PATIENT);
        host.enroll("alice");
        let mut codes = Vec::new();
        let what = (
            "faults-recovery",
            "Logins with a recovery code, killed at any moment",
        );
        kill_often(&host, what, || {
            if codes.is_empty() {
                codes = host.recovery_codes("alice");
            }
            codes.pop().unwrap()
        });
    });
}

#[test]
fn killed_at_any_moment_a_login_uses_its_tokens_code_up_or_leaves_it_good() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(PATIENT);
        let token = host.enroll_token("alice");
        let what = ("faults-token", "Logins with a token, killed at any moment");
        kill_often(&host, what, || token.press());
    });
}

/// Logs alice in with one code after the other, kills each login somewhere, and tries its code again.
fn kill_often(host: &PamHost, (key, title): (&str, &str), mut next: impl FnMut() -> String) {
    // Not the first one, before which programs are built.
    assert_eq!(host.login("alice", &[next()]).result(), SUCCESS);
    let begin = Instant::now();
    assert_eq!(host.login("alice", &[next()]).result(), SUCCESS);
    let whole = begin.elapsed();
    let count = rounds(60, 2000);
    let (mut killed, mut ended, mut good, mut used) = (0, 0, 0, 0);
    for number in 0..count {
        if number % 9 == 0 {
            host.admin(&["user", "unlock", "alice"]).expect_success();
        }
        let code = next();
        // From before the first prompt to long after the last line.
        let part = 1 + number * 2 % 100;
        let time = whole * u32::try_from(part).unwrap() / 50;
        let script = login_script("alice", &[&code]);
        let first = host.player().killed_after(time).play(&script);
        let second = host.login("alice", &[&code]);
        let accepted = first.count(SUCCESS) + second.count(SUCCESS);
        assert!(accepted <= 1, "{first}\n{second}");
        if second.sole_result() == SUCCESS {
            good += 1;
        } else {
            used += 1;
            assert_eq!(second.events("MFA-2102").len(), 1, "{second}");
        }
        if first.code.is_none() {
            killed += 1;
        } else {
            ended += 1;
            assert_eq!((first.result(), accepted), (SUCCESS, 1), "{first}");
        }
    }
    assert!(killed > 0 && ended > 0, "{killed} killed, {ended} ended");
    assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
    tell(
        key,
        title,
        &[
            ("killed", killed.to_string()),
            ("ended before", ended.to_string()),
            ("the code was good afterwards", good.to_string()),
            ("the code was used up", used.to_string()),
            ("accepted twice", "0".to_owned()),
        ],
    );
}
