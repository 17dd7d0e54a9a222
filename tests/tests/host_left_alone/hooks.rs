//! Each hook, with every outcome, for every kind of host.

use std::fs;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, PamHost, SUCCESS, login_script};
use mfa_tests::proof::tell;

use crate::{CALLERS, SIGNALS, THE_OTHERS, left_alone};

/// Logins that end in every way there is; a right code is `CODE`.
const LOGINS: [(&str, &str); 14] = [
    ("accepted", "user alice\nanswer text CODE\n"),
    (
        "wrong",
        "user alice\nanswer text 000000\nanswer text 000001\nanswer text 000002\n",
    ),
    (
        "no code at all",
        "user alice\nanswer text x\nanswer text \nanswer repeat y 100000\n",
    ),
    (
        "bytes",
        "user alice\nanswer hex ff00fe\nanswer hex 31323334353600\nanswer hex 00\n",
    ),
    (
        "unknown",
        "user nobody-here\nanswer text 000000\nanswer text 000000\nanswer text 000000\n",
    ),
    (
        "without record",
        "user mallory\nanswer text 000000\nanswer text 000000\nanswer text 000000\n",
    ),
    (
        "suspended",
        "user bob\nanswer text 000000\nanswer text 000000\nanswer text 000000\n",
    ),
    (
        "not a name",
        "user \\xff\\xfe\nanswer text 000000\nanswer text 000000\nanswer text 000000\n",
    ),
    (
        "no name",
        "answer text alice\nanswer text 000000\nanswer text 000000\nanswer text 000000\n",
    ),
    ("the conversation fails", "user alice\nanswer convfail\n"),
    ("a null answer", "user alice\nanswer null\n"),
    ("no answers", "user alice\nanswer nullarray\n"),
    (
        "another user meanwhile",
        "user alice\ndo setuser carol\nanswer text CODE\n",
    ),
    (
        "wrong, then right",
        "user alice\nanswer text 000000\nanswer text CODE\n",
    ),
];

/// What may be the matter with what is ours: a command of the shell below the host's folder.
const BREAKS: [(&str, &str); 13] = [
    ("no configuration", "rm mfa.toml"),
    ("a wrong configuration", "echo 'version = 2' >mfa.toml"),
    ("no TOML", "head -c 60000 /dev/urandom >mfa.toml"),
    ("a pipe for a configuration", "rm mfa.toml; mkfifo mfa.toml"),
    ("anybody's configuration", "chmod 666 mfa.toml"),
    ("no store", "rm -r lib"),
    ("no states", "rm -r lib/state"),
    (
        "a damaged record",
        "head -c 100 /dev/urandom >lib/users/alice.toml",
    ),
    (
        "a damaged state",
        "head -c 4096 /dev/urandom >lib/state/alice",
    ),
    ("no state", "rm lib/state/alice"),
    ("no sealing key", "rm seal.key"),
    ("no machine id", ": >machine-id"),
    (
        "a link for a record",
        "ln -sf /etc/passwd lib/users/alice.toml",
    ),
];

fn host_with_people() -> (PamHost, mfa_tests::Authenticator) {
    let host = PamHost::with_config("");
    let app = host.enroll("alice");
    host.enroll("bob");
    host.admin(&["user", "suspend", "bob", "--reason", "left"])
        .expect_success();
    (host, app)
}

#[test]
fn each_hook_leaves_its_host_as_it_was_however_a_login_ends() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_people();
        let fresh = fs::read(host.state_path("alice")).unwrap();
        let (mut runs, mut hooks) = (0, 0);
        for (what, login) in LOGINS {
            for signals in SIGNALS {
                for caller in CALLERS {
                    mfa_tests::pam_host::overwrite(&host.state_path("alice"), &fresh);
                    let login = login.replace("CODE", &app.code_of(app.step()));
                    let script = format!(
                        "{signals}{login}set rhost 203.0.113.7\nset tty ssh\nauthenticate\nforget\n{THE_OTHERS}"
                    );
                    hooks += left_alone(
                        &host,
                        "login",
                        caller,
                        &script,
                        &format!("{what} {signals}"),
                    )
                    .results()
                    .len();
                    runs += 1;
                }
            }
        }
        // Hooks alone, in an order of nobody's.
        for caller in CALLERS {
            let script = format!(
                "user alice\nclose_session\nchauthtok\n{THE_OTHERS}acct_mgmt\nrestart\n{THE_OTHERS}"
            );
            hooks += left_alone(&host, "login", caller, &script, "without a login")
                .results()
                .len();
            runs += 1;
        }
        tell(
            "host-1-logins",
            "The host is left alone: logins that end in every way",
            &[
                (
                    "ways to end, kinds of signal handling, kinds of caller",
                    format!("{}, {}, {}", LOGINS.len(), SIGNALS.len(), CALLERS.len()),
                ),
                ("processes", runs.to_string()),
                (
                    "hooks, with everything of the process compared before and after",
                    hooks.to_string(),
                ),
                ("differences", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn each_hook_leaves_its_host_as_it_was_whatever_is_broken() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_people();
        let (mut runs, mut hooks) = (0, 0);
        for (what, damage) in BREAKS {
            for caller in CALLERS {
                let broken = host.copy_below(format!("/run/broken-{runs}"), "");
                let status = std::process::Command::new("sh")
                    .args(["-c", damage])
                    .current_dir(&broken.folder)
                    .status()
                    .unwrap();
                assert!(status.success(), "{what}");
                let code = app.code_of(app.step());
                let script = format!(
                    "{}forget\n{THE_OTHERS}",
                    login_script("alice", &[&code, &code, &code])
                );
                hooks += left_alone(&broken, "login", caller, &script, what)
                    .results()
                    .len();
                runs += 1;
                fs::remove_dir_all(&broken.folder).unwrap();
            }
        }
        // A panic in each of them.
        for hook in [
            "authenticate",
            "setcred",
            "acct_mgmt",
            "open_session",
            "close_session",
            "chauthtok",
        ] {
            host.panicking_stack("panicking", hook);
            for caller in CALLERS {
                let script = format!("user alice\n{hook}\nforget\nrestart\n{hook}\n");
                hooks += left_alone(
                    &host,
                    "panicking",
                    caller,
                    &script,
                    &format!("a panic in {hook}"),
                )
                .results()
                .len();
                runs += 1;
            }
        }
        tell(
            "host-2-broken",
            "The host is left alone: what is broken",
            &[
                (
                    "ways, panics in each hook included",
                    (BREAKS.len() + 6).to_string(),
                ),
                ("processes", runs.to_string()),
                (
                    "hooks, with everything of the process compared before and after",
                    hooks.to_string(),
                ),
                ("differences", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn however_few_descriptors_there_are_the_host_is_left_as_it_was_and_no_wrong_code_gets_in() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_people();
        let fresh = fs::read(host.state_path("alice")).unwrap();
        let (mut hooks, mut accepted, mut refused) = (0, 0, 0);
        for room in 0..=20 {
            for caller in [CALLERS[0], CALLERS[1]] {
                // Before libpam has loaded the module, or after.
                for first in ["", "setcred\n"] {
                    for answer in [&app.code_of(app.step()), "000000"] {
                        mfa_tests::pam_host::overwrite(&host.state_path("alice"), &fresh);
                        let what = format!("room for {room} after {first:?}, {answer}");
                        let script = format!(
                            "user alice\n{first}descriptors {room}\nanswer text {answer}\nanswer text {answer}\nanswer text {answer}\n\
                             authenticate\nforget\n{THE_OTHERS}"
                        );
                        let seen = left_alone(&host, "login", caller, &script, &what);
                        hooks += seen.results().len();
                        // What the login itself came to.
                        let result = seen.results()[usize::from(!first.is_empty())].to_owned();
                        if result == SUCCESS {
                            assert_ne!(answer, "000000", "{what}\n{seen}");
                            accepted += 1;
                        } else {
                            refused += 1;
                        }
                    }
                }
            }
        }
        assert!(accepted > 10 && refused > 10, "{accepted} {refused}");
        // And when there is room again, all is well.
        mfa_tests::pam_host::overwrite(&host.state_path("alice"), &fresh);
        let code = app.code_of(app.step());
        let script = format!(
            "user alice\ndescriptors 0\nanswer convfail\nauthenticate\nforget\nrestart\ndescriptors all\nanswer text {code}\nauthenticate\n"
        );
        let seen = host.play(&script);
        assert_eq!(seen.results().last(), Some(&SUCCESS), "{seen}");
        let seen = host.login("alice", &["000000", "000000", "000000"]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        tell(
            "host-3-descriptors",
            "The host is left alone: room for 0 to 20 more descriptors",
            &[
                (
                    "hooks, with everything of the process compared before and after",
                    hooks.to_string(),
                ),
                ("differences", "0".to_owned()),
                (
                    "logins with a right code let in; with a wrong one",
                    format!("{accepted}; 0"),
                ),
            ],
        );
    });
}

#[test]
fn a_host_that_has_not_logged_before_keeps_glibcs_socket_and_nothing_else() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_people();
        let code = app.code_of(app.step());
        let script = format!("{}{THE_OTHERS}", login_script("alice", &[&code]));
        let seen = host
            .player()
            .options(&["--check", "--late-log"])
            .play(&script);
        assert_eq!(seen.results()[0], SUCCESS, "{seen}");
        let changes = seen.starting("CHANGED");
        // The descriptor and its flags, at the first line.
        let [socket, flags] = changes[..] else {
            panic!("{seen}");
        };
        assert!(socket.starts_with("CHANGED authenticate fd "), "{seen}");
        assert!(socket.contains("\"absent\" -> \"socket:["), "{seen}");
        assert!(flags.contains(" flags: \"absent\" -> "), "{seen}");
    });
}

#[test]
fn a_module_that_takes_over_the_log_would_be_noticed() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        let vandal = mfa_tests::pam_host::built("pam_vandal.so");
        for (deed, is_noticed) in [("nothing", false), ("log-identity", true)] {
            host.stack(
                "login",
                &format!("session required {} {deed}\n", vandal.display()),
            );
            let seen = host
                .play("user alice\nsyslog the host before\nopen_session\nsyslog the host after\n");
            let check = std::panic::catch_unwind(|| crate::its_own_lines_are_as_ever(&seen, deed));
            assert_eq!(check.is_err(), is_noticed, "{deed}\n{seen}");
        }
    });
}
