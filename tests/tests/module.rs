//! The built module through libpam: codes, the six hooks, skips, and what it leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::process::Command;

use mfa_tests::pam_host::{
    AUTH_ERR, CONV_ERR, ERR, INFO, NOTICE, PERM_DENIED, PROMPT, PamHost, RHOST, SUCCESS, UNAVAIL,
    built, login_script,
};
use mfa_tests::{Authenticator, module_path, on_a_bare_host};

#[test]
fn a_code_is_accepted_once() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        app.wait_for_room(6);
        let now = app.step();

        let seen = host.login("alice", &[&app.code_of(now)]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.prompts(), [PROMPT]);
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2001"], "{seen}");
        let line = seen.only("MFA-2001");
        assert_eq!(line.priority, INFO);
        for (field, value) in [
            ("event", "accepted"),
            ("outcome", "success"),
            ("user", "alice"),
            ("uid", "1001"),
            ("service", "login"),
            ("rhost", RHOST),
            ("tty", "ssh"),
            ("method", "app"),
            ("app", "phone"),
            ("try", "1"),
            ("seq", "2"),
        ] {
            assert_eq!(line.get(field), value, "{field} in {}", line.text);
        }
        assert!(
            line.text
                .starts_with("pam_mfa(login:auth): mfa v=1 id=MFA-2001 "),
            "{}",
            line.text
        );
        assert_eq!(line.get("device").len(), 8);
        assert_eq!(line.get("login"), seen.only("MFA-1004").get("login"));

        for (what, step, id) in [
            ("the same code again", now, "MFA-2102"),
            ("the previous step after it", now - 1, "MFA-2102"),
            ("three steps ago", now - 3, "MFA-2101"),
            ("three steps ahead", now + 3, "MFA-2101"),
        ] {
            let seen = host.login("alice", &[&app.code_of(step)]);
            assert_eq!(seen.result(), AUTH_ERR, "{what}\n{seen}");
            let line = seen.only(id);
            assert_eq!(
                (line.priority, line.get("outcome")),
                (NOTICE, "failure"),
                "{what}\n{seen}"
            );
        }

        let seen = host.login("alice", &[&app.code_of(now + 1)]);
        assert_eq!(
            seen.result(),
            SUCCESS,
            "the next step, after all that\n{seen}"
        );
        assert_eq!(
            host.stored_files(),
            ["state/alice", "users/alice.toml"],
            "nothing else is left behind"
        );
    });
}

#[test]
fn a_refusal_writes_the_line_that_existing_filters_read() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let seen = host.login("alice", &[&app.wrong_code()]);
        assert_eq!(seen.result(), AUTH_ERR);
        let classic = "pam_mfa(login:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7 user=alice";
        let found: Vec<_> = seen
            .log
            .iter()
            .filter(|event| event.id().is_none())
            .map(|event| event.text.trim_end())
            .collect();
        assert_eq!(found, [classic], "{seen}");
        assert!(
            (1_000_000..=3_000_000).contains(&seen.delay()),
            "pam_fail_delay asks for 2 s, give or take a half\n{seen}"
        );
    });
}

#[test]
fn the_codes_of_oathtool_are_accepted_for_every_algorithm_length_and_period() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        let mut apps = Vec::new();
        for algorithm in ["SHA1", "SHA256", "SHA512"] {
            for digits in [6, 7, 8] {
                for period in [30, 60] {
                    let mut app = Authenticator::new();
                    algorithm.clone_into(&mut app.algorithm);
                    (app.digits, app.period) = (digits, period);
                    apps.push((
                        format!("p{}{digits}{period}", algorithm.to_lowercase()),
                        app,
                    ));
                }
            }
        }
        host.add_people(apps.iter().map(|(name, _)| name.clone()));
        for (name, app) in &apps {
            host.enroll_app(name, app);
            let seen = host.login(name, &[&app.wrong_code()]);
            assert_eq!(seen.result(), AUTH_ERR, "{name}\n{seen}");
            let code = app.present_code();
            assert_eq!(code.len(), app.digits as usize);
            assert_eq!(host.login(name, &[&code]).result(), SUCCESS, "{name}");
            assert_eq!(
                host.login(name, &[&code]).result(),
                AUTH_ERR,
                "{name}, again"
            );
        }
    });
}

#[test]
fn a_person_may_have_several_apps_and_each_line_names_the_one() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let phone = host.enroll("alice");
        let mut tablet = Authenticator::new();
        "SHA256".clone_into(&mut tablet.algorithm);
        tablet.digits = 8;
        host.add_app("alice", "tablet", &tablet);
        for (label, app) in [("tablet", &tablet), ("phone", &phone)] {
            let seen = host.login("alice", &[&app.code()]);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
            assert_eq!(seen.only("MFA-2001").get("app"), label);
        }
        host.admin(&["app", "remove", "alice", "tablet", "--yes"])
            .expect_success();
        assert_eq!(host.login("alice", &[&tablet.code()]).result(), AUTH_ERR);
        assert_eq!(host.login("alice", &[&phone.code()]).result(), SUCCESS);
    });
}

#[test]
fn blanks_and_hyphens_in_a_code_do_not_count() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        for (user, gap) in [("alice", " "), ("bob", "-"), ("carol", " - ")] {
            let app = host.enroll(user);
            let code = app.code();
            let seen = host.login(user, &[&format!("{}{gap}{}", &code[..3], &code[3..])]);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
        }
    });
}

#[test]
fn a_prompt_is_repeated_as_often_as_tries_says() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        let wrong = app.wrong_code();
        let seen = host.login("alice", &[&wrong, &wrong, &app.code()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.prompts(), [PROMPT; 3]);
        assert_eq!(
            seen.ids(),
            ["MFA-1004", "MFA-2101", "MFA-2101", "MFA-2001"],
            "{seen}"
        );
        let numbers: Vec<_> = seen
            .log
            .iter()
            .filter(|event| event.id().is_some())
            .map(|event| event.get("seq"))
            .collect();
        assert_eq!(numbers, ["1", "2", "3", "4"], "{seen}");
        let tries: Vec<_> = seen
            .log
            .iter()
            .filter(|event| !matches!(event.id(), None | Some("MFA-1004")))
            .map(|event| event.get("try"))
            .collect();
        assert_eq!(tries, ["1", "2", "3"], "{seen}");
        let classic = seen
            .log
            .iter()
            .filter(|event| event.text.contains("authentication failure;"));
        assert_eq!(classic.count(), 1, "at the first wrong answer\n{seen}");
        let seen = host.login("alice", &[&wrong, &wrong, &wrong]);
        assert_eq!(
            seen.result(),
            AUTH_ERR,
            "prompts used up are not PAM_MAXTRIES\n{seen}"
        );
        assert_eq!(seen.prompts().len(), 3);
    });
}

#[test]
fn the_prompt_echoes_where_the_configuration_says_so() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[prompt]\necho = true\n");
        let app = host.enroll("alice");
        let seen = host.login("alice", &[&app.code()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(
            seen.starting("PROMPT"),
            [format!("PROMPT echo_on \"{PROMPT}\"")]
        );
    });
}

#[test]
fn the_account_phase_holds_without_a_prompt() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        for user in ["alice", "bob", "carol", "dave"] {
            host.enroll(user);
        }
        host.edit_record("bob", "approved = true", "approved = false");
        host.admin(&["user", "suspend", "carol", "--reason", "left"])
            .expect_success();
        host.admin(&["device", "revoke", "dave", "here", "--yes"])
            .expect_success();
        host.admin(&[
            "device",
            "assign",
            "dave",
            "1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31",
        ])
        .expect_success();
        let account =
            |user: &str| host.play(&format!("user {user}\nset rhost {RHOST}\nacct_mgmt\n"));

        let seen = account("alice");
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let line = seen.only("MFA-2301");
        assert_eq!((line.priority, line.get("user")), (INFO, "alice"));
        let mut reasons = Vec::new();
        for user in ["bob", "carol", "dave", "mallory", "nobody-here"] {
            let seen = account(user);
            assert_eq!(seen.result(), PERM_DENIED, "{user}\n{seen}");
            assert!(seen.prompts().is_empty());
            let line = seen.only("MFA-2302");
            assert_eq!(
                (line.priority, line.get("outcome")),
                (NOTICE, "failure"),
                "{seen}"
            );
            reasons.push(line.get("reason").to_owned());
        }
        assert!(
            !reasons
                .iter()
                .any(|reason| reason == "<absent>" || reason == "-"),
            "{reasons:?}"
        );
        reasons.dedup();
        assert!(
            reasons.len() >= 4,
            "each refusal has a reason of its own: {reasons:?}"
        );
    });
}

#[test]
fn cron_and_systemd_user_go_on_in_the_account_phase() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let stack = host.line("account", "[success=ok ignore=ignore default=die]", "");
        for service in ["cron", "systemd-user"] {
            host.stack(service, &format!("{stack}account required pam_permit.so\n"));
            let seen = host
                .player()
                .service(service)
                .play("user mallory\nacct_mgmt\n");
            assert_eq!(seen.result(), SUCCESS, "{seen}");
            assert_eq!(seen.only("MFA-2003").get("service"), service);
            host.stack(service, &host.ignore_detector("account", ""));
            assert_eq!(
                host.player()
                    .service(service)
                    .play("user mallory\nacct_mgmt\n")
                    .result(),
                SUCCESS,
                "it is PAM_IGNORE"
            );
        }
        host.stack("sshd", &format!("{stack}account required pam_permit.so\n"));
        assert_eq!(
            host.player()
                .service("sshd")
                .play("user mallory\nacct_mgmt\n")
                .result(),
            PERM_DENIED
        );
    });
}

#[test]
fn the_other_hooks_return_what_they_should() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let all = format!(
            "{}setcred\nacct_mgmt\nopen_session\ngetenv MFA_LOGIN\nclose_session\n",
            login_script("alice", &[&app.code()])
        );
        let seen = host.play(&all);
        assert_eq!(seen.code, Some(0), "{seen}");
        assert_eq!(seen.results(), [SUCCESS; 5], "{seen}");
        assert_eq!(
            seen.ids(),
            ["MFA-1004", "MFA-2001", "MFA-2301", "MFA-2401"],
            "{seen}"
        );
        let login = seen.only("MFA-2401").get("login").to_owned();
        assert_ne!(login, "-");
        assert_eq!(
            login,
            seen.only("MFA-2001").get("login"),
            "one login, one name for it"
        );
        assert_eq!(seen.starting("ENV"), [format!("ENV MFA_LOGIN \"{login}\"")]);

        // Any subset in any order: a session without a login before it.
        let seen =
            host.play("user alice\nopen_session\nclose_session\nsetcred\nacct_mgmt\nsetcred 4\n");
        assert_eq!(seen.results(), [SUCCESS; 5], "{seen}");
        let seen = host.play("user mallory\nopen_session\nclose_session\n");
        assert_eq!(
            seen.results(),
            [SUCCESS; 2],
            "sessions are never refused here\n{seen}"
        );

        host.stack("passwd", &host.ignore_detector("password", ""));
        assert_eq!(
            host.player()
                .service("passwd")
                .play("user alice\nchauthtok\n")
                .result(),
            SUCCESS,
            "chauthtok is PAM_IGNORE"
        );
    });
}

#[test]
fn what_an_error_costs_is_never_ignored() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("alice");
        host.stack(
            "detect",
            &format!(
                "{}{}",
                host.ignore_detector("auth", "nullok"),
                host.ignore_detector("account", "nullok")
            ),
        );
        let both = |user: &str| {
            host.player().service("detect").play(&format!(
                "user {user}\nanswer text 000000\nauthenticate\nforget\nacct_mgmt\n"
            ))
        };
        // pam_deny speaks where the module did not say PAM_IGNORE.
        assert_eq!(
            both("mallory").results(),
            [SUCCESS, SUCCESS],
            "nullok skips who has no record: the detector works"
        );
        assert_eq!(both("alice").results()[0], AUTH_ERR, "a wrong code");
        let key = host.path("seal.key");
        fs::rename(&key, host.path("elsewhere")).unwrap();
        assert_eq!(both("alice").results()[0], AUTH_ERR, "no sealing key");
        assert_eq!(
            both("mallory").results()[0],
            AUTH_ERR,
            "no sealing key, nullok"
        );
        fs::rename(host.path("elsewhere"), &key).unwrap();
        host.write("mfa.toml", "version = 1\nnonsense\n");
        for user in ["alice", "mallory"] {
            let seen = both(user);
            assert_eq!(
                seen.results(),
                [AUTH_ERR, AUTH_ERR],
                "wrong configuration\n{seen}"
            );
        }
    });
}

#[test]
fn people_without_an_app_are_skipped_only_where_the_administrator_says_so() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.admin(&["user", "add", "bob"]).expect_success();
        let gone = host.enroll("carol");
        host.admin(&["app", "remove", "carol", "phone", "--yes"])
            .expect_success();
        host.stack("nullok", &host.ignore_detector("auth", "nullok"));
        let nullok = |user: &str, answer: &str| {
            host.player()
                .service("nullok")
                .play(&format!("user {user}\n{answer}authenticate\n"))
        };

        let seen = nullok("bob", "");
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.only("MFA-2003").get("user"), "bob");
        let seen = nullok("carol", &format!("answer text {}\n", gone.code()));
        assert_eq!(
            seen.sole_result(),
            AUTH_ERR,
            "an app was there once: no skip\n{seen}"
        );
        assert_eq!(seen.events("MFA-2108").len(), 1, "{seen}");
        let seen = host.login("bob", &["000000"]);
        assert_eq!(seen.result(), AUTH_ERR, "without nullok\n{seen}");
        assert_eq!(seen.events("MFA-2108").len(), 1, "{seen}");

        host.configure("[enrolment]\nwithout_record = \"skip\"\n[prompt]\ntries = 1\n");
        host.stack("skip", &host.ignore_detector("auth", ""));
        let seen = host
            .player()
            .service("skip")
            .play("user mallory\nauthenticate\n");
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.ids(), ["MFA-2003"], "{seen}");
    });
}

#[test]
fn a_program_that_is_root_by_its_effective_uid_alone_logs_people_in() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let seen = host
            .player()
            .options(&["--real-uid", "1002", "--check"])
            .play(&login_script("alice", &[&app.code()]));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.starting("CHANGED"), Vec::<&str>::new(), "{seen}");
    });
}

#[test]
fn a_caller_that_is_not_root_is_refused() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let before = host.state("alice");
        let seen = host
            .player()
            .options(&["--all-uids", "1001", "--check"])
            .play("user alice\nauthenticate\nacct_mgmt\nopen_session\n");
        assert_eq!(seen.results(), [UNAVAIL, UNAVAIL, SUCCESS], "{seen}");
        assert_eq!(seen.starting("CHANGED"), Vec::<&str>::new(), "{seen}");
        assert!(seen.prompts().is_empty(), "{seen}");
        assert!(!seen.events("MFA-4005").is_empty(), "{seen}");
        assert_eq!(seen.events("MFA-4005")[0].priority, ERR);
        assert_eq!(host.state("alice"), before);
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn an_unknown_argument_is_named_and_ignored() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        host.stack("login", &host.lines("", "use_first_pass"));
        let seen = host.login("alice", &[&app.code()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let named: Vec<_> = seen
            .log
            .iter()
            .filter(|event| event.text.contains("use_first_pass"))
            .collect();
        assert_eq!(named.len(), 1, "{seen}");
        assert_eq!(named[0].priority, ERR, "{seen}");
    });
}

#[test]
fn the_argument_debug_logs_neither_codes_nor_secrets_nor_answers() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        host.stack("login", &host.lines("", "debug"));
        let (wrong, code) = (app.wrong_code(), app.code());
        let seen = host.login("alice", &["a passphrase, say", &wrong, &code]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        for secret in ["a passphrase, say", &wrong, &code, &app.secret] {
            assert!(
                !seen.log.iter().any(|event| event.text.contains(secret)),
                "{secret} is in the log\n{seen}"
            );
        }
    });
}

#[test]
fn exactly_the_six_hooks_are_exported() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(module_path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<_> = text
        .lines()
        .map(|line| line.split([' ', '@']).next().unwrap())
        .collect();
    names.sort_unstable();
    let hooks = [
        "acct_mgmt",
        "authenticate",
        "chauthtok",
        "close_session",
        "open_session",
        "setcred",
    ];
    assert_eq!(names, hooks.map(|hook| format!("pam_sm_{hook}")));
}

#[test]
fn the_module_stays_loaded_and_needs_no_library_of_its_own() {
    let output = Command::new("readelf")
        .args(["-d", "-W"])
        .arg(module_path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("NODELETE"), "{text}");
    let usual = [
        "libpam.so.0",
        "libc.so.6",
        "libgcc_s.so.1",
        "ld-linux",
        "libm.so.6",
    ];
    for line in text.lines().filter(|line| line.contains("(NEEDED)")) {
        assert!(usual.iter().any(|library| line.contains(library)), "{line}");
    }
}

#[test]
fn a_login_without_address_and_terminal_is_logged_as_such() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let seen = host.play(&format!(
            "user alice\nanswer text {}\nauthenticate\n",
            app.code()
        ));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let line = seen.only("MFA-2001");
        assert_eq!((line.get("rhost"), line.get("tty")), ("-", "-"));
        let seen = host.play(&format!(
            "user alice\nset rhost \nset tty /dev/tty1\nanswer text {}\nauthenticate\n",
            app.code()
        ));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let line = seen.only("MFA-2001");
        assert_eq!(
            line.get("rhost"),
            "-",
            "Debian's login sets an empty one\n{seen}"
        );
    });
}

#[test]
fn text_from_outside_is_escaped_and_bounded() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let long = "a".repeat(3000);
        for rhost in [
            r"evil\nid=MFA-2001 user=root",
            r"\e[31mred",
            r"\xff\xfe",
            "quote\" outcome=success",
            &long,
            "f\u{fc}r",
        ] {
            let seen = host.play(&format!(
                "user alice\nset rhost {rhost}\nset tty {rhost}\nanswer text {}\nauthenticate\n",
                app.wrong_code()
            ));
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            for event in &seen.log {
                assert!(
                    event.text.len() <= 1100,
                    "{} bytes\n{seen}",
                    event.text.len()
                );
                assert!(
                    event.text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{seen}"
                );
            }
            let line = seen.only("MFA-2101");
            assert_eq!(line.get("outcome"), "failure", "{seen}");
            assert_eq!(
                line.text.matches('"').count() % 2,
                0,
                "no quote of the outside's ends a value\n{seen}"
            );
            assert!(!line.text.contains("\" outcome=success"), "{seen}");
            assert!(seen.events("MFA-2001").is_empty(), "{seen}");
            host.admin(&["user", "unlock", "alice"]).expect_success();
        }
    });
}

#[test]
fn a_user_suspended_between_prompt_and_answer_stays_out() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let meanwhile = |command: &str, code: &str| {
            format!(
                "user alice\ndo run {}\nanswer text {code}\nauthenticate\n",
                host.admin_command(command)
            )
        };
        let seen = host.play(&meanwhile("user suspend alice --reason left", &app.code()));
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert!(!seen.events("MFA-2109").is_empty(), "{seen}");
        host.admin(&["user", "resume", "alice"]).expect_success();
        let seen = host.play(&meanwhile("device revoke alice here --yes", &app.code()));
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert!(!seen.events("MFA-2105").is_empty(), "{seen}");
        host.admin(&["device", "assign", "alice", "this"])
            .expect_success();
        let seen = host.play(&meanwhile(
            "app remove alice phone --yes",
            &app.present_code(),
        ));
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert!(seen.events("MFA-2001").is_empty(), "{seen}");
    });
}

#[test]
fn a_user_changed_while_the_prompt_is_open_stays_out() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        let before = (host.state("alice"), host.state("bob"));
        for code in [alice.code(), bob.code()] {
            let seen = host.play(&format!(
                "user alice\ndo setuser bob\nanswer text {code}\nauthenticate\n"
            ));
            assert_eq!(seen.result(), CONV_ERR, "{seen}");
            assert_eq!(
                seen.only("MFA-2107").get("reason"),
                "user_changed",
                "{seen}"
            );
        }
        assert_eq!(
            (host.state("alice"), host.state("bob")),
            before,
            "nobody is charged"
        );
    });
}

#[test]
fn an_earlier_module_may_name_the_user() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let first = format!(
            "auth required {} noprompt setuser=alice\n",
            built("pam_promptok.so").display()
        );
        host.stack("login", &host.lines(&first, ""));
        let seen = host.login("mallory", &[&app.code()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.only("MFA-2001").get("user"), "alice");
    });
}
