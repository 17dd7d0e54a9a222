//! What a stranger sees does not depend on who exists: prompts, their number, the PAM code and the delay are those of a wrong code;
//! the audit line tells an administrator which it was.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use mfa_tests::pam_host::{AUTH_ERR, NOTICE, PROMPT, PamHost, SUCCESS, Seen, login_script};
use mfa_tests::{Authenticator, on_a_bare_host};

/// A host with somebody of every kind. `locked` is locked by two wrong codes.
fn host_with_everybody() -> (PamHost, Authenticator) {
    let mut host = PamHost::with_config("[lockout]\nafter = 2\n[throttle]\nmax_failures = 100\n");
    let names = [
        "unapproved",
        "suspended",
        "elsewhere",
        "noapp",
        "locked",
        "disabled",
        "throttled",
    ];
    host.add_people(names.iter().map(|&name| name.to_owned()));
    let app = Authenticator::new();
    for name in [
        "alice",
        "unapproved",
        "suspended",
        "elsewhere",
        "locked",
        "disabled",
        "throttled",
    ] {
        host.enroll_app(name, &app);
    }
    host.edit_record("unapproved", "approved = true", "approved = false");
    host.admin(&[
        "user",
        "suspend",
        "suspended",
        "--reason",
        "left the company",
    ])
    .expect_success();
    host.admin(&["device", "revoke", "elsewhere", "here", "--yes"])
        .expect_success();
    host.admin(&["user", "add", "noapp"]).expect_success();
    (host, app)
}

fn three_times(host: &PamHost, user: &str, answer: &str) -> Seen {
    host.login(user, &[answer; 3])
}

#[test]
fn every_refusal_looks_like_a_wrong_code() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_everybody();
        let wrong = app.wrong_code();
        let usual = "[throttle]\nmax_failures = 100\n";

        host.configure("[lockout]\nafter = 2\n[throttle]\nmax_failures = 100\n");
        let seen = three_times(&host, "locked", &wrong);
        assert_eq!(seen.events("MFA-2204").len(), 1, "became locked\n{seen}");
        host.configure(
            "[lockout]\nafter = 50\ndisable_after = 2\n[throttle]\nmax_failures = 100\n",
        );
        let seen = three_times(&host, "disabled", &wrong);
        assert_eq!(seen.events("MFA-2205").len(), 1, "became disabled\n{seen}");
        host.configure("[throttle]\nmax_failures = 1\n");
        three_times(&host, "throttled", &wrong);

        for (user, id, tables) in [
            ("alice", "MFA-2101", usual),
            ("nobody-here", "MFA-2106", usual),
            ("mallory", "MFA-2106", usual),
            ("unapproved", "MFA-2104", usual),
            ("suspended", "MFA-2109", usual),
            ("elsewhere", "MFA-2105", usual),
            ("noapp", "MFA-2108", usual),
            ("locked", "MFA-2202", usual),
            ("disabled", "MFA-2203", usual),
            ("throttled", "MFA-2201", "[throttle]\nmax_failures = 1\n"),
        ] {
            host.configure(tables);
            // Where the right code is refused as well, it looks the same.
            let answers = if user == "alice" {
                vec![wrong.clone()]
            } else {
                vec![wrong.clone(), app.code_of(app.step())]
            };
            for answer in answers {
                let seen = three_times(&host, user, &answer);
                assert_eq!(seen.result(), AUTH_ERR, "{user}\n{seen}");
                assert_eq!(seen.prompts(), [PROMPT; 3], "{user}\n{seen}");
                assert!(seen.starting("MESSAGE").is_empty(), "{user}\n{seen}");
                assert!(
                    (1_000_000..=3_000_000).contains(&seen.delay()),
                    "{user}: the same delay\n{seen}"
                );
                let events = seen.events(id);
                assert!(!events.is_empty(), "{user}: {id}\n{seen}");
                assert!(
                    events
                        .iter()
                        .all(|event| event.priority == NOTICE && event.get("outcome") == "failure"),
                    "{seen}"
                );
                let others = [
                    "MFA-2101", "MFA-2104", "MFA-2105", "MFA-2106", "MFA-2108", "MFA-2109",
                ]
                .into_iter()
                .filter(|&other| other != id);
                for other in others {
                    assert!(
                        seen.events(other).is_empty(),
                        "{user}: only one reason\n{seen}"
                    );
                }
            }
        }
    });
}

#[test]
fn names_that_nobody_has_are_logged_only_where_the_administrator_wants_it() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_everybody();
        let wrong = app.wrong_code();
        for user in ["nobody-here", "mallory"] {
            host.stack("login", &host.lines("", ""));
            let seen = three_times(&host, user, &wrong);
            assert!(!seen.events("MFA-2106").is_empty(), "{seen}");
            for event in &seen.log {
                assert!(event.id().is_none() || event.get("user") == "?", "{seen}");
                assert!(
                    !event.text.contains(user),
                    "not in the classic line either\n{seen}"
                );
            }
            host.stack("login", &host.lines("", "audit"));
            let seen = three_times(&host, user, &wrong);
            assert!(
                seen.events("MFA-2106")
                    .iter()
                    .all(|event| event.get("user") == user),
                "{seen}"
            );
        }
    });
}

#[test]
fn an_odd_answer_looks_the_same_for_everybody() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_everybody();
        for answers in [
            ["", "", ""],
            ["x", "email", "0000-0000-0000-0"],
            ["telegram", "１２３４５６", "12345"],
        ] {
            let seen: Vec<_> = ["alice", "nobody-here", "mallory", "suspended", "noapp"]
                .map(|user| host.login(user, &answers))
                .into();
            for each in &seen {
                assert_eq!(each.result(), AUTH_ERR, "{each}");
                assert_eq!(each.prompts(), seen[0].prompts(), "{each}");
            }
        }
        assert_eq!(
            host.login("alice", &["", "", &app.code()]).result(),
            SUCCESS
        );
    });
}

#[test]
fn strangers_leave_decoys_of_the_states_size_and_nothing_else() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_everybody();
        let before = host.stored_files();
        for number in 0..20 {
            let seen = host.login(
                &format!("stranger{number}"),
                &[app.wrong_code().as_str(); 3],
            );
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            assert!(
                seen.events("MFA-2206").is_empty() && seen.events("MFA-2202").is_empty(),
                "{seen}"
            );
        }
        assert_eq!(host.stored_files(), before);
        for entry in std::fs::read_dir(host.path("lib/state")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().len(), 4096);
        }
    });
}

/// The system calls of one login that touch the store or the log, in order: `flock`, `pwrite64`, `fdatasync`, and the id
/// of each audit line.
fn traced(host: &PamHost, user: &str, answers: &[&str]) -> (Seen, Vec<String>) {
    const TRACE: &str = "/run/disclosure.strace";
    let strace = format!(
        "exec strace -f -qq -s 400 -o {TRACE} -e trace=flock,pwrite64,fdatasync,sendto \"$@\""
    );
    let seen = host
        .player()
        .before(&strace)
        .play(&login_script(user, answers));
    let text = std::fs::read_to_string(TRACE).unwrap();
    let calls = text.lines().filter_map(|line| {
        let (_, call) = line.split_once(' ')?;
        let call = call.trim_start();
        let name = call.split('(').next()?;
        match name {
            "sendto" => call
                .split_once(" id=")
                .and_then(|(_, rest)| rest.split(' ').next())
                .map(str::to_owned),
            "flock" if call.contains("LOCK_UN") => None,
            name => Some(name.to_owned()),
        }
    });
    let calls = calls.collect();
    std::fs::remove_file(TRACE).unwrap();
    (seen, calls)
}

#[test]
fn an_outcome_is_on_disk_before_anybody_hears_of_it() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        let (wrong, code) = (app.wrong_code(), app.code());
        let (seen, calls) = traced(&host, "alice", &[wrong.as_str(), code.as_str()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let expected = [
            "MFA-1004",
            "flock",
            "pwrite64",
            "fdatasync",
            "MFA-2101",
            "flock",
            "pwrite64",
            "fdatasync",
            "MFA-2001",
        ];
        assert_eq!(calls, expected);
    });
}

#[test]
fn a_stranger_costs_as_many_locks_and_writes_as_a_wrong_code() {
    on_a_bare_host(|_| {
        let (host, app) = host_with_everybody();
        host.configure("[throttle]\nmax_failures = 100\n");
        let wrong = app.wrong_code();
        let work = |user: &str| {
            let (seen, calls) = traced(&host, user, &[wrong.as_str(); 3]);
            assert_eq!(seen.result(), AUTH_ERR, "{user}\n{seen}");
            calls
                .into_iter()
                .map(|call| {
                    if call.starts_with("MFA-") {
                        "line".to_owned()
                    } else {
                        call
                    }
                })
                .collect::<Vec<_>>()
        };
        let expected = work("alice");
        assert_eq!(
            expected.iter().filter(|call| *call == "pwrite64").count(),
            3,
            "{expected:?}"
        );
        for user in [
            "nobody-here",
            "mallory",
            "unapproved",
            "suspended",
            "elsewhere",
            "noapp",
        ] {
            assert_eq!(work(user), expected, "{user}");
        }
    });
}
