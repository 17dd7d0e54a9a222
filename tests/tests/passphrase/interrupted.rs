//! Changes of the passphrase that are killed, or whose system calls fail: there is the old one or the new one, never none.

use std::fs;
use std::time::Instant;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{PamHost, SUCCESS};
use mfa_tests::proof::{rounds, tell};

use crate::{RIGHT, host, kept, set};

const NEW: &str = "meadow-quartz-unlike-nine";
const TABLES: &str = "[prompt]\ntries = 1\n[passphrase]\nmemory = 7168\npasses = 1\n\
                      [throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n";

fn script() -> String {
    format!("user alice\nanswer text {RIGHT}\nanswer text {NEW}\nanswer text {NEW}\nchauthtok\n")
}

/// Whether somebody who says that this is the present one is asked for another.
fn is_present(host: &PamHost, passphrase: &str) -> bool {
    let script = format!("user alice\nanswer text {passphrase}\nanswer convfail\nchauthtok\n");
    host.play(&script).prompts().len() > 1
}

/// Looks at what there is, which is the old one or the new one; whether it is the new one.
fn look_after(host: &PamHost, old: &str, what: &str) -> bool {
    let is_new = kept(host, "alice") != old;
    assert_eq!(is_present(host, NEW), is_new, "{what}");
    assert_eq!(is_present(host, RIGHT), !is_new, "{what}");
    is_new
}

/// Everything as it was; whatever was left over is gone with that.
fn begin_again(host: &PamHost, what: &str) {
    set(host, "alice", RIGHT);
    host.admin(&["user", "unlock", "alice"]).expect_success();
    assert_eq!(
        host.stored_files(),
        ["state/alice", "users/alice.toml"],
        "{what}"
    );
}

#[test]
fn killed_at_any_moment_a_change_leaves_the_old_passphrase_or_the_new_one() {
    on_a_bare_host(|_| {
        let (host, _) = host(TABLES);
        let begin = Instant::now();
        assert_eq!(host.play(&script()).result(), SUCCESS);
        let whole = begin.elapsed();
        let count = rounds(40, 1000);
        let (mut killed, mut new, mut old) = (0, 0, 0);
        for number in 0..count {
            let what = format!("round {number}");
            begin_again(&host, &what);
            let before = kept(&host, "alice");
            // From before the first prompt to after the last line.
            let part = 1 + number * 7 % 60;
            let time = whole * u32::try_from(part).unwrap() / 50;
            let seen = host.player().killed_after(time).play(&script());
            let is_new = look_after(&host, &before, &what);
            if seen.code.is_none() {
                killed += 1;
            } else {
                assert!(is_new && seen.result() == SUCCESS, "{seen}");
            }
            if is_new { new += 1 } else { old += 1 }
        }
        assert!(killed > 0 && killed < count, "{killed} of {count}");
        tell(
            "passphrase-kills",
            "Changes of the passphrase, killed at any moment",
            &[
                ("killed", killed.to_string()),
                ("the old one was there", old.to_string()),
                ("the new one was there", new.to_string()),
                ("neither", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn whatever_call_fails_a_change_is_made_or_refused() {
    on_a_bare_host(|_| {
        const TRACE: &str = "/run/interrupted.strace";
        let (host, _) = host(TABLES);
        // Calls that a change makes, and pam_host and its loader do not.
        let calls = [
            "flock",
            "fsync",
            "fdatasync",
            "renameat",
            "fchmod",
            "fchown",
            "unlinkat",
            "pwrite64",
            "socketpair",
            "vfork,clone,clone3",
        ];
        let (mut failed, mut made) = (0, 0);
        for call in calls {
            for nth in 1..=rounds(3, 12) {
                let what = format!("{call} {nth}");
                begin_again(&host, &what);
                let before = kept(&host, "alice");
                let strace = format!(
                    "exec strace -qq -o {TRACE} -e trace={call} -e inject={call}:error=EIO:when={nth} \"$@\""
                );
                let seen = host.player().before(&strace).play(&script());
                assert!(
                    seen.code.is_some(),
                    "the host program died of {what}\n{seen}"
                );
                let is_hit = fs::read_to_string(TRACE).unwrap().contains("(INJECTED)");
                let is_new = look_after(&host, &before, &what);
                let is_success = seen.sole_result() == SUCCESS;
                // The one call after which nothing can be taken back: the folder's own fsync.
                assert!(is_success == is_new || call == "fsync", "{what}\n{seen}");
                assert!(is_success || is_hit, "{what}\n{seen}");
                if is_hit {
                    failed += 1;
                    if !is_success {
                        let lines = seen.ids().len();
                        assert!(lines > 1, "a line says why: {what}\n{seen}");
                    }
                }
                made += usize::from(is_success);
            }
        }
        assert!(failed >= 12, "{failed}");
        tell(
            "passphrase-faults",
            "Changes of the passphrase, with a call that fails",
            &[
                ("calls failed", failed.to_string()),
                (
                    "changes that were made all the same, or met none",
                    made.to_string(),
                ),
            ],
        );
    });
}
