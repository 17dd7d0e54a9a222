//! Programs that watch every access to memory, over logins of every kind.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, PamHost, SUCCESS, Seen};
use mfa_tests::proof::tell;
use mfa_tests::{on_a_bare_host, target};

use crate::host_that_mails;

/// All that may follow a login.
const THE_OTHERS: &str = "forget\nsetcred\nacct_mgmt\nopen_session\nclose_session\nchauthtok\n";

/// A script of logins that end in every way, one after the other in one process: the user, the answers, the result.
fn all_kinds(code: &str) -> Vec<(&'static str, String, &'static str)> {
    let text = |answers: &[&str]| -> String {
        let lines: Vec<_> = answers
            .iter()
            .map(|answer| format!("answer {answer}\n"))
            .collect();
        lines.concat()
    };
    let wrong = text(&["text 000000"; 3]);
    vec![
        (
            "alice",
            text(&["text 000000", "text x", &format!("text {code}")]),
            SUCCESS,
        ),
        (
            "alice",
            text(&[
                "text ",
                &format!("text {code}"),
                "text email",
                "text 000001",
            ]),
            AUTH_ERR,
        ),
        (
            "alice",
            text(&["text 1234567890123", "repeat 9 300000", "hex ff00313233"]),
            AUTH_ERR,
        ),
        (
            "alice",
            text(&["hex ff", "repeat \\xff 70000", "text \\xe2\\x82\\xac"]),
            AUTH_ERR,
        ),
        ("alice", text(&["convfail"]), CONV_ERR),
        ("alice", text(&["null"]), CONV_ERR),
        ("alice", text(&["nullarray"]), CONV_ERR),
        ("nobody-here", wrong.clone(), AUTH_ERR),
        ("mallory", wrong.clone(), AUTH_ERR),
        ("\\xff\\xfe", wrong.clone(), AUTH_ERR),
        ("bob", wrong, AUTH_ERR),
    ]
}

/// Plays them below a checker, which `under` puts before the program.
fn play_all(host: &PamHost, code: &str, under: &str) -> Seen {
    let kinds = all_kinds(code);
    let script: Vec<_> = kinds
        .iter()
        .map(|(user, answers, _)| {
            format!("user {user}\nrestart\nset rhost 203.0.113.7\nset tty ssh\n{answers}authenticate\n{THE_OTHERS}")
        })
        .collect();
    let seen = host.player().before(under).play(&script.concat());
    assert!(seen.code == Some(0), "{}{seen}", reports());
    let results: Vec<_> = seen
        .starting("RESULT authenticate")
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    let expected: Vec<_> = kinds.iter().map(|kind| kind.2).collect();
    assert_eq!(results, expected, "{seen}");
    seen
}

#[test]
fn valgrind_finds_no_access_to_memory_that_is_wrong_and_none_that_is_lost() {
    on_a_bare_host(|_| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, app) = host_that_mails(&silent);
        host.enroll("bob");
        host.admin(&["user", "suspend", "bob", "--reason", "left"])
            .expect_success();
        app.wait_for_room(10);
        // Without `env`, which would be watched in its place.
        let under = "shift; set -- valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
                     --error-exitcode=99 --child-silent-after-fork=yes --log-file=/run/checked.log \"$@\"";
        let seen = play_all(&host, &app.code_of(app.step()), under);
        tell(
            "leaks-4-valgrind",
            "Leaks: valgrind's memcheck over logins of every kind",
            &[
                ("hooks", seen.results().len().to_string()),
                ("errors; bytes lost", "0; 0".to_owned()),
            ],
        );
    });
}

#[test]
fn valgrind_would_tell_of_a_module_that_loses_memory_or_reads_what_was_given_back() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        for deed in ["loses-memory", "reads-freed"] {
            let vandal = mfa_tests::pam_host::built("pam_vandal.so");
            host.stack(
                "login",
                &format!("session required {} {deed}\n", vandal.display()),
            );
            let under = "shift; set -- valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=99 \"$@\"";
            let seen = host
                .player()
                .before(under)
                .play("user alice\nopen_session\n");
            assert_eq!(seen.code, Some(99), "{deed}\n{seen}");
        }
    });
}

/// What tests/sanitizer.sh has made.
fn sanitized(name: &str) -> PathBuf {
    let path = target().join("asan").join(name);
    assert!(
        path.exists(),
        "{} is missing: run tests/sanitizer.sh",
        path.display()
    );
    path
}

/// Puts the host that brings the sanitizer in the place of the usual one.
fn under_the_sanitizer() -> String {
    format!(
        "shift 2; set -- env ASAN_OPTIONS=detect_leaks=1:exitcode=99:log_path=/run/checked.log {} \"$@\"",
        sanitized("pam_host").display()
    )
}

#[test]
#[ignore = "make test-leaks builds what it needs, and runs it"]
fn the_address_sanitizer_finds_no_access_to_memory_that_is_wrong_and_none_that_is_lost() {
    on_a_bare_host(|_| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, app) = host_that_mails(&silent);
        fs::copy(sanitized("pam_mfa.so"), host.path("pam_mfa.so")).unwrap();
        host.enroll("bob");
        host.admin(&["user", "suspend", "bob", "--reason", "left"])
            .expect_success();
        let (mut hooks, mut processes) = (0, 0);
        for _ in 0..20 {
            host.admin(&["state", "reset", "alice", "--yes"])
                .expect_success();
            app.wait_for_room(3);
            hooks += play_all(&host, &app.code_of(app.step()), &under_the_sanitizer())
                .results()
                .len();
            processes += 1;
        }
        for hook in [
            "authenticate",
            "setcred",
            "acct_mgmt",
            "open_session",
            "close_session",
            "chauthtok",
        ] {
            host.stack("panicking", &host.lines("", &format!("panic={hook}")));
            let script = format!("user alice\n{hook}\nrestart\n{hook}\n");
            let seen = host
                .player()
                .service("panicking")
                .before(&under_the_sanitizer())
                .play(&script);
            assert_eq!(
                (seen.code, seen.events("MFA-9001").len()),
                (Some(0), 2),
                "{}{seen}",
                reports()
            );
            hooks += 2;
            processes += 1;
        }
        assert_eq!(reports(), "");
        tell(
            "leaks-5-sanitizer",
            "Leaks: the address sanitizer and its leak checker over logins of every kind, panics included",
            &[
                ("processes", processes.to_string()),
                ("hooks", hooks.to_string()),
                ("errors; bytes lost", "0; 0".to_owned()),
            ],
        );
    });
}

/// What the sanitizer has to say, a file for each process.
fn reports() -> String {
    let files = fs::read_dir("/run")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.to_string_lossy().contains("checked.log"));
    files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
#[ignore = "make test-leaks builds what it needs, and runs it"]
fn the_address_sanitizer_would_tell_of_a_module_that_loses_memory_or_reads_what_was_given_back() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        for (deed, said) in [
            ("loses-memory", "LeakSanitizer"),
            ("reads-freed", "heap-use-after-free"),
        ] {
            host.stack(
                "login",
                &format!(
                    "session required {} {deed}\n",
                    sanitized("pam_vandal.so").display()
                ),
            );
            let seen = host
                .player()
                .before(&under_the_sanitizer())
                .play("user alice\nopen_session\n");
            assert_eq!(seen.code, Some(99), "{deed}\n{seen}");
            assert!(reports().contains(said), "{}", reports());
        }
    });
}
