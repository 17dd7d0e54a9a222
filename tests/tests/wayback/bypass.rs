//! An administrator's bypass: through sshd, login, su and sudo with the stacks that we ship, and through libpam.

use std::fs;
use std::process::Command;

use mfa_tests::pam_host::{AUTH_ERR, PROMPT, PamHost, SUCCESS, UNAVAIL, login_script, overwrite};
use mfa_tests::{Host, PASSWORD, Script, on_a_bare_host, on_a_test_host, repository, stacks};

use crate::CODE;

/// A host with one stack as we ship them: what the module has no opinion about goes on.
fn pam_host() -> PamHost {
    let host = PamHost::new();
    let ours = host.line("auth", "[success=ok ignore=ignore default=die]", "");
    host.stack(
        "login",
        &format!("{}\nauth required pam_permit.so\n", ours.trim_end()),
    );
    host.enroll("alice");
    host
}

fn grant(host: &Host, name: &str) {
    let line = [
        "bypass",
        "grant",
        name,
        "--for",
        "1h",
        "--reason",
        "lost phone",
    ];
    host.admin(&line);
}

/// Moves a bypass's beginning and end, as if so many seconds had passed.
fn let_time_pass(record: &str, seconds: u32) {
    let text = fs::read_to_string(record).unwrap();
    let mut changed = text.clone();
    for key in ["granted = ", "until = "] {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        let moment = line.strip_prefix(key).unwrap();
        let output = Command::new("date")
            .args([
                "-u",
                "-d",
                &format!("{moment} - {seconds} seconds"),
                "+%FT%TZ",
            ])
            .output()
            .unwrap();
        let earlier = String::from_utf8(output.stdout).unwrap();
        changed = changed.replace(line, &format!("{key}{}", earlier.trim()));
    }
    assert_ne!(changed, text);
    overwrite(record.as_ref(), changed.as_bytes());
}

fn password() -> Script<'static> {
    Script::new().answer("Password: ", PASSWORD)
}

#[test]
fn over_ssh_nobody_is_asked_for_a_code_until_it_is_over_or_taken_back() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(&stacks::example("sshd-code-after-password"), &[]);
        let with_code = |code: String| password().answer(CODE, &code);
        grant(host, "alice");
        let mark = host.mark();
        for _ in 0..2 {
            sshd.ssh("alice")
                .talk(password())
                .expect_success()
                .expect_text("alice\n");
        }
        let lines = host.audit_since(mark);
        let ids: Vec<_> = lines.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(
            ids,
            ["MFA-2005", "MFA-2301", "MFA-2401"].repeat(2),
            "{lines:#?}"
        );
        for line in lines.iter().filter(|line| line.id == "MFA-2005") {
            assert_eq!(line.severity, "notice");
            assert_eq!(
                (
                    &line["user"],
                    &line["rhost"],
                    &line["method"],
                    &line["reason"]
                ),
                ("alice", "127.0.0.1", "bypass", "lost phone")
            );
            assert!(line["detail"].ends_with(" s left"), "{}", line.text);
        }
        assert!(
            host.admin(&["--json", "bypass", "list"])
                .contains("\"uses\": 2")
        );
        // The first factor counts as ever.
        let wrong = Script::new().answer("Password: ", "wrong");
        sshd.ssh("alice").talk(wrong).expect_failure();

        // Taken back, at once.
        host.admin(&["bypass", "revoke", "alice"]);
        sshd.ssh("alice")
            .talk(with_code(phone.code()))
            .expect_success();

        // Over, whoever has or has not noticed: one line says so.
        grant(host, "alice");
        let_time_pass("/var/lib/mfa/users/alice.toml", 3600);
        let mark = host.mark();
        sshd.ssh("alice")
            .talk(with_code(phone.code()))
            .expect_success();
        sshd.ssh("alice")
            .talk(with_code(phone.code()))
            .expect_success();
        host.admin(&["bypass", "expire"]);
        let told = host.one_since(mark, "MFA-3097");
        assert_eq!(
            (&told["user"], told.source.as_str()),
            ("alice", "pam_mfa(sshd:auth)")
        );
        assert!(!host.ids_since(mark).contains(&"MFA-2005".to_owned()));
        assert!(
            host.admin(&["bypass", "list"])
                .contains("Everybody is asked")
        );
    });
}

#[test]
fn who_is_suspended_stays_out_and_who_is_locked_comes_in() {
    on_a_test_host(|host| {
        let phone = host.enroll("alice");
        let sshd = host.start_sshd(&stacks::example("sshd-code-after-password"), &[]);
        grant(host, "alice");
        host.admin(&["user", "suspend", "alice", "--reason", "left"]);
        let mark = host.mark();
        let asked = password()
            .answer_with(CODE, || phone.code())
            .answer_times(2, CODE, "000000");
        sshd.ssh("alice").talk(asked).expect_failure();
        let ids = host.ids_since(mark);
        assert!(
            ids.contains(&"MFA-2109".to_owned()) && !ids.contains(&"MFA-2005".to_owned()),
            "{ids:?}"
        );
        host.admin(&["user", "resume", "alice"]);
        host.configure("tries = 3\n[lockout]\nafter = 2\n[throttle]\nmax_failures = 100\n");
        host.admin(&["bypass", "revoke", "alice"]);
        let wrong = password().answer_times(3, CODE, &phone.wrong_code());
        sshd.ssh("alice").talk(wrong).expect_failure();
        grant(host, "alice");
        let mark = host.mark();
        sshd.ssh("alice").talk(password()).expect_success();
        host.one_since(mark, "MFA-2005");
        // And is locked as before afterwards.
        host.admin(&["bypass", "revoke", "alice"]);
        let mark = host.mark();
        let right = password()
            .answer_with(CODE, || phone.code())
            .answer_times(2, CODE, "000000");
        sshd.ssh("alice").talk(right).expect_failure();
        assert!(host.ids_since(mark).contains(&"MFA-2202".to_owned()));
    });
}

#[test]
fn it_passes_every_stack_that_we_ship() {
    on_a_test_host(|host| {
        for name in ["alice", "bob"] {
            host.enroll(name);
            grant(host, name);
        }
        for service in ["login", "su", "sudo"] {
            host.write_service(service, &stacks::example(service));
        }
        let mark = host.mark();
        let sshd = host.start_sshd(
            &stacks::example("sshd-key-and-code"),
            &["AuthenticationMethods publickey,keyboard-interactive:pam"],
        );
        let with_key = sshd
            .ssh("alice")
            .with_key()
            .methods("publickey,keyboard-interactive");
        with_key
            .talk(Script::new())
            .expect_success()
            .expect_text("alice\n");
        let at_login = password().answer("$ ", "id -un; exit");
        host.login("alice").talk(at_login).expect_success();
        host.su("bob", "alice", "id -un")
            .talk(password())
            .expect_success()
            .expect_text("alice\n");
        host.sudo("bob", &["id", "-un"])
            .talk(Script::new().answer("bob: ", PASSWORD))
            .expect_success()
            .expect_text("root\n");
        let ids = host.ids_since(mark);
        let used = ids.iter().filter(|id| *id == "MFA-2005").count();
        assert_eq!(used, 4, "{ids:?}");
    });
}

#[test]
fn its_time_is_the_clocks_and_a_clock_that_is_set_back_does_not_open_it_again() {
    on_a_bare_host(|_| {
        let host = pam_host();
        let granted = ["bypass", "grant", "alice", "--for", "2h", "--reason", "x"];
        host.admin(&granted).expect_success();
        let at = |offset: &str, answers: &[&str]| {
            let script = login_script("alice", answers);
            host.player().clock(offset).play(&script)
        };
        for offset in ["+0m", "+119m"] {
            let seen = at(offset, &[]);
            assert_eq!(
                (seen.result(), seen.prompts().len()),
                (SUCCESS, 0),
                "{offset}\n{seen}"
            );
            assert_eq!(seen.events("MFA-2005").len(), 1, "{offset}\n{seen}");
        }
        // Before its beginning, and after its end, which is told once.
        for (offset, told) in [
            ("-1m", 0),
            ("+121m", 1),
            ("+122m", 0),
            ("+0m", 0),
            ("+119m", 0),
        ] {
            let seen = at(offset, &["000000"]);
            assert_eq!(seen.result(), AUTH_ERR, "{offset}\n{seen}");
            assert_eq!(seen.prompts(), [PROMPT], "{offset}\n{seen}");
            assert_eq!(seen.events("MFA-3097").len(), told, "{offset}\n{seen}");
            assert!(seen.events("MFA-2005").is_empty(), "{offset}\n{seen}");
        }
        // Longer than anybody could have granted, by hand.
        let record = host.record_path("alice");
        host.admin(&granted).expect_success();
        let text = fs::read_to_string(&record).unwrap();
        let line = |key| text.lines().find(|line| line.starts_with(key)).unwrap();
        let text = text
            .replace(line("until"), "until = 2199-01-01T00:00:00Z")
            .replace(line("granted"), "granted = 2026-01-01T00:00:00Z");
        overwrite(&record, text.as_bytes());
        host.admin(&["user", "unlock", "alice"]).expect_success();
        let seen = at("+0m", &["000000"]);
        assert_eq!(
            (seen.result(), seen.prompts().len()),
            (AUTH_ERR, 1),
            "{seen}"
        );
        assert_eq!(seen.events("MFA-3097").len(), 1, "{seen}");
    });
}

#[test]
fn each_of_many_uses_at_once_is_counted_and_what_can_not_be_counted_lets_nobody_in() {
    on_a_bare_host(|_| {
        let host = pam_host();
        host.admin(&["bypass", "grant", "alice", "--for", "1h", "--reason", "x"])
            .expect_success();
        let script =
            login_script::<&str>("alice", &[]).replace("authenticate", "barrier\nauthenticate");
        let seen = host.play_at_once(20, &script);
        assert_eq!(seen.count(SUCCESS), 20, "{seen}");
        assert_eq!(seen.events("MFA-2005").len(), 20, "{seen}");
        assert!(
            host.state("alice").contains("uses = 20"),
            "{}",
            host.state("alice")
        );
        overwrite(&host.state_path("alice"), &[0; 4096]);
        let seen = host.login("alice", &["000000"]);
        assert_eq!(seen.result(), UNAVAIL, "{seen}");
        assert!(seen.events("MFA-2005").is_empty(), "{seen}");
    });
}

#[test]
fn the_timer_and_crons_line_clear_what_is_over_and_say_so() {
    on_a_test_host(|host| {
        let unit =
            fs::read_to_string(repository().join("packaging/systemd/mfa-bypass.service")).unwrap();
        let line = |text: &str, start: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(start));
            found.unwrap().to_owned()
        };
        let cron =
            fs::read_to_string(repository().join("packaging/examples/cron.d/mfa-bypass")).unwrap();
        // cron ends a command at a percent sign.
        assert!(!cron.contains('%'));
        host.enroll("alice");
        for command in [line(&unit, "ExecStart="), line(&cron, "*/5 * * * * root ")] {
            grant(host, "alice");
            // Another second than the other one's.
            let_time_pass(
                "/var/lib/mfa/users/alice.toml",
                3600 + u32::try_from(command.len()).unwrap(),
            );
            let mark = host.mark();
            host.run(&["sh", "-c", &command]).expect_success();
            let told = host.one_since(mark, "MFA-3097");
            assert_eq!(
                (&told["user"], told.source.as_str()),
                ("alice", "mfa-admin")
            );
            assert!(
                !fs::read_to_string("/var/lib/mfa/users/alice.toml")
                    .unwrap()
                    .contains("bypass")
            );
            let mark = host.mark();
            host.run(&["sh", "-c", &command]).expect_success();
            assert!(
                host.log_since(mark)
                    .iter()
                    .all(|line| !line.text.contains("MFA-"))
            );
        }
    });
}
