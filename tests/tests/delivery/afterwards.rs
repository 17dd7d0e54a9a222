//! What a host program finds when a login that had a code sent is over.

use std::fs;
use std::time::{Duration, Instant};

use mfa_tests::mail::{MisbehavingServer, Misbehaviour, PASSWORD};
use mfa_tests::pam_host::{AUTH_ERR, PamHost, SUCCESS, login_script};
use mfa_tests::{Authenticator, install_courier, on_a_bare_host};

use crate::{ASK, processes, smtp};

/// A host of `pam_host`s that mails through `port`, and alice with an address and an app.
fn host_that_mails(port: u16, more: &str) -> (PamHost, Authenticator) {
    install_courier();
    let host = PamHost::with_config(&format!("{more}{}", smtp(port, "tls")));
    host.admin_with(
        &["credential", "set", "smtp-password"],
        &format!("{PASSWORD}\n"),
    )
    .expect_success();
    let app = host.enroll_with_address("alice", "alice@example.com");
    (host, app)
}

#[test]
fn a_host_finds_itself_as_it_was_while_the_server_says_nothing() {
    on_a_bare_host(|_| {
        let server = MisbehavingServer::start(&Misbehaviour::over_tls(&["silent:connect"]));
        let (host, app) = host_that_mails(server.port(), "");
        let hang_up = login_script("alice", &[""])
            .replace("authenticate\n", "answer convfail\nauthenticate\n");
        let begin = Instant::now();
        let mut logins = 0;
        for signals in [
            "",
            "signal CHLD ignore\n",
            "signal CHLD ignore\nsignal PIPE ignore\n",
        ] {
            for options in [&["--check"] as &[&str], &["--check", "--real-uid", "1002"]] {
                let right = login_script("alice", &["", "", &app.code_of(app.step())]);
                let wrong = login_script("alice", &["", "000000", "email", "000000"]);
                for (script, result) in [(right, SUCCESS), (wrong, AUTH_ERR), (hang_up.clone(), "")]
                {
                    host.admin(&["state", "reset", "alice", "--yes"])
                        .expect_success();
                    let script = format!("{signals}{script}open_session\n");
                    let seen = host.player().options(options).play(&script);
                    assert_eq!(
                        seen.starting("CHANGED"),
                        Vec::<&str>::new(),
                        "{signals}{seen}"
                    );
                    assert!(result.is_empty() || seen.results()[0] == result, "{seen}");
                    assert_eq!(seen.prompts()[0], ASK);
                    assert!(!seen.events("MFA-1001").is_empty(), "{seen}");
                    assert_eq!(processes("mfa-courier", true), [""; 0], "{seen}");
                    logins += 1;
                }
            }
        }
        // The server has kept silent all the time: nobody has waited for it.
        let each = begin.elapsed() / logins;
        assert!(each < Duration::from_secs(5), "{each:?} a login");
        assert!(server.messages().is_empty());
    });
}

#[test]
fn where_descriptors_are_few_nobody_gets_in_or_guesses_untold() {
    on_a_bare_host(|_| {
        let server = MisbehavingServer::start(&Misbehaviour::over_tls(&["silent:connect"]));
        let (host, app) = host_that_mails(server.port(), "");
        let spooled = |kind: &str| {
            let new = host.path("spool/new");
            let mut count = 0;
            for entry in fs::read_dir(new).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                count += usize::from(name.starts_with(kind));
                fs::remove_file(path).unwrap();
            }
            count
        };
        let (mut accepted, mut evaluated) = (0, 0);
        // What a caller of su may set: hardly a descriptor.
        for limit in 6..20 {
            let limits = format!("ulimit -n {limit}");
            for enters in ["", "answer text \n"] {
                host.admin(&["state", "reset", "alice", "--yes"])
                    .expect_success();
                spooled("");
                let right = app.code_of(app.step());
                let script = format!(
                    "user alice\nset rhost 203.0.113.7\n{enters}answer text {right}\nauthenticate\nforget\nopen_session\n"
                );
                let seen = host.player().before(&limits).play(&script);
                if seen.results().first() == Some(&SUCCESS) {
                    accepted += 1;
                    assert_eq!(spooled("login~"), 1, "{limits}\n{seen}");
                }
                host.admin(&["state", "reset", "alice", "--yes"])
                    .expect_success();
                spooled("");
                let script = format!(
                    "user alice\nset rhost 203.0.113.7\n{enters}answer text 000000\nauthenticate\nforget\n"
                );
                let seen = host.player().before(&limits).play(&script);
                let is_charged = host.state("alice").contains("in_row = 1");
                assert_eq!(spooled("failure~") == 1, is_charged, "{limits}\n{seen}");
                evaluated += usize::from(is_charged);
                assert_eq!(processes("mfa-courier", true), [""; 0], "{limits}\n{seen}");
            }
        }
        assert!(accepted > 5 && evaluated > 5, "{accepted} {evaluated}");
    });
}

#[test]
fn long_and_broken_names_from_outside_make_one_message_with_the_same_headers() {
    on_a_bare_host(|_| {
        install_courier();
        let folder = "/run/outbox";
        fs::create_dir(folder).unwrap();
        std::os::unix::fs::chown(folder, Some(991), Some(991)).unwrap();
        let host = PamHost::with_config(&format!(
            "[courier]\nemail = \"file\"\n[courier.file]\nfolder = {folder:?}\ndemo = true\n"
        ));
        host.enroll("alice");
        let address = [
            "user",
            "set",
            "alice",
            "--methods",
            "email",
            "--email",
            "alice@example.com",
        ];
        host.admin(&address).expect_success();
        let long = "x".repeat(4096);
        let hostile = [
            "evil\\r\\nBcc: mallory@example.com\\r\\n\\r\\nhello",
            ".\\r\\n.\\r\\nQUIT\\r\\n",
            "=?utf-8?q?evil?=\\xe2\\x80\\xae",
            long.as_str(),
        ];
        let mut headers = Vec::new();
        for text in hostile {
            host.admin(&["state", "reset", "alice", "--yes"])
                .expect_success();
            let script = format!(
                "user alice\nset rhost {text}\nset tty {text}\nset ruser {text}\nanswer text \ndo run until ls {folder} | grep -q eml; do sleep 0.02; done\nanswer text 000000\nanswer text 000000\nanswer text 000000\nauthenticate\n"
            );
            let seen = host.player().play(&script);
            assert!(seen.events("MFA-1002").is_empty(), "{seen}");
            let mut files: Vec<_> = fs::read_dir(folder)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect();
            assert_eq!(files.len(), 1, "{seen}");
            let mail = fs::read_to_string(&files[0]).unwrap();
            fs::remove_file(files.pop().unwrap()).unwrap();
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = head
                .lines()
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split(':').next().unwrap().to_owned())
                .collect();
            headers.push(names);
            assert!(
                !head.contains("mallory") && !head.contains("evil"),
                "{head}"
            );
            assert!(!body.contains("\r\n.\r\n"), "{body}");
            assert!(mail.len() < 16_384, "{} bytes", mail.len());
        }
        assert!(
            headers.iter().all(|names| *names == headers[0]),
            "{headers:#?}"
        );
    });
}

#[test]
fn jobs_of_services_that_are_left_alone_write_no_line_and_tell_nobody() {
    on_a_bare_host(|_| {
        let (host, _) = host_that_mails(1, "");
        for service in ["cron", "systemd-user", "login"] {
            host.stack(service, &host.lines("", ""));
            for entry in fs::read_dir(host.path("spool/new")).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            let seen = host
                .player()
                .service(service)
                .play("user alice\nopen_session\n");
            let is_login = service == "login";
            assert_eq!(seen.events("MFA-2401").is_empty(), !is_login, "{seen}");
            let count = fs::read_dir(host.path("spool/new")).unwrap().count();
            assert_eq!(count, usize::from(is_login), "{service}");
        }
    });
}
