//! Codes that are sent, typed at a real prompt.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mfa_tests::mail::{Exim, Mail, Options, STARTTLS_PORT, TLS_PORT};
use mfa_tests::telegram::{BotApi, BotMode, TOKEN};
use mfa_tests::{Host, PASSWORD, Script, on_a_test_host, stacks};

use crate::{
    ASK, ASK_AGAIN, PATIENCE, add_with_mail, code_in, deliver_by, processes, reference_in, smtp,
    wait_for_couriers,
};

/// Asks for a code by Enter and types what is in the mail.
fn by_mail<'a>(exim: &'a Exim, name: &'a str, read: &'a RefCell<Option<Mail>>) -> Script<'a> {
    Script::new()
        .answer(ASK, "")
        .answer_with(ASK_AGAIN, move || {
            let mail = exim.wait_for_mail(name, PATIENCE);
            let code = code_in(&mail);
            *read.borrow_mut() = Some(mail);
            code
        })
}

/// A login over ssh with a code out of Exim's maildir, and what the mail says.
fn log_in_with_a_mailed_code(host: &Host, port: u16, security: &str) {
    let exim = Exim::start(&Options::default());
    deliver_by(host, &smtp(port, security));
    add_with_mail(host, "alice");
    let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
    let mark = host.mark();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let read = RefCell::new(None);
    let talk = sshd.ssh("alice").talk(by_mail(&exim, "alice", &read));
    talk.expect_success().expect_text("alice\n");
    assert_eq!(
        host.ids_since(mark),
        ["MFA-1004", "MFA-1001", "MFA-2001", "MFA-2301", "MFA-2401"]
    );
    let sent = host.one_since(mark, "MFA-1001");
    assert_eq!((&sent["method"], &sent["outcome"]), ("email", "info"));
    let accepted = host.one_since(mark, "MFA-2001");
    assert_eq!((&accepted["method"], &accepted["app"]), ("email", "-"));

    let mail = read.borrow_mut().take().unwrap();
    let reference = reference_in(&talk.prompts[1]).to_owned();
    assert_eq!(reference_in(mail.header("Subject")), reference);
    assert_eq!(sent["detail"], format!("ref {reference}"));
    assert_eq!(mail.header("To"), "alice@example.com");
    assert_eq!(mail.header("Envelope-to"), "alice@example.com");
    assert_eq!(
        mail.header("From"),
        format!("MFA bastion-1 <{}>", mfa_tests::mail::USER)
    );
    assert!(mail.defects.is_empty(), "{:?}", mail.defects);
    let code = code_in(&mail);
    for part in [mail.text(), mail.html()] {
        for word in [
            "bastion-1",
            "sshd",
            "127.0.0.1",
            &reference,
            &code,
            "UTC (+00:00)",
        ] {
            assert!(part.contains(word), "{word:?} is missing:\n{part}");
        }
    }
    // The minute it was asked for, as date(1) has it.
    let minutes = [before.as_secs(), before.as_secs() + 60].map(|seconds| {
        let at = format!("@{seconds}");
        let date = Command::new("date")
            .args(["-u", "-d", &at, "+%Y-%m-%d %H:%M:"])
            .output();
        String::from_utf8(date.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    });
    assert!(
        minutes.iter().any(|minute| mail.text().contains(minute)),
        "{minutes:?} in:\n{}",
        mail.text()
    );
    // Neither the log nor the state holds the code, or the whole address.
    let log: Vec<_> = host
        .log_since(mark)
        .into_iter()
        .map(|line| line.text)
        .collect();
    let log = log.join("\n");
    assert!(
        !log.contains(&code) && !log.contains("alice@example.com"),
        "{log}"
    );
    let state = fs::read("/var/lib/mfa/state/alice").unwrap();
    assert!(!String::from_utf8_lossy(&state).contains(&code));
    let log = exim.log();
    assert!(log.contains("A=") && log.contains("X=TLS"), "{log}");

    // Used, it is worth nothing any more.
    let again = Script::new().answer_times(3, ASK, &code);
    sshd.ssh("alice").talk(again).expect_failure();
    assert_eq!(processes("mfa-courier", true), [""; 0]);
}

#[test]
fn a_person_logs_in_with_a_code_mailed_over_implicit_tls() {
    on_a_test_host(|host| log_in_with_a_mailed_code(host, TLS_PORT, "tls"));
}

#[test]
fn a_person_logs_in_with_a_code_mailed_over_starttls() {
    on_a_test_host(|host| log_in_with_a_mailed_code(host, STARTTLS_PORT, "starttls"));
}

#[test]
fn every_way_to_sign_in_is_known() {
    on_a_test_host(|host| {
        for (mechanisms, auth, password) in [
            ("PLAIN", "auto", mfa_tests::mail::PASSWORD),
            ("LOGIN", "auto", mfa_tests::mail::PASSWORD),
            ("PLAIN LOGIN", "login", mfa_tests::mail::PASSWORD),
            (
                "PLAIN LOGIN XOAUTH2",
                "xoauth2",
                mfa_tests::mail::OAUTH_TOKEN,
            ),
        ] {
            let exim = Exim::start(&Options {
                mechanisms,
                ..Options::default()
            });
            deliver_by(
                host,
                &format!("{}auth = \"{auth}\"\n", smtp(TLS_PORT, "tls")),
            );
            host.admin_with(
                &["credential", "set", "smtp-password"],
                &format!("{password}\n"),
            );
            host.run(&["mfa-admin", "user", "remove", "alice", "--yes"]);
            add_with_mail(host, "alice");
            let sent = host.admin(&["code", "send", "alice"]);
            let mail = exim.wait_for_mail("alice", PATIENCE);
            assert_eq!(reference_in(&sent), reference_in(mail.header("Subject")));
            exim.clear();
        }
    });
}

#[test]
fn a_code_is_sent_at_once_where_the_host_says_so_and_outlives_its_connection() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        let first = "[prompt]\nfail_delay = \"0s\"\nfirst = \"send\"\n";
        let text = format!("version = 1\n{first}{}", smtp(TLS_PORT, "tls"));
        deliver_by(host, "");
        fs::write("/etc/mfa/mfa.toml", &text).unwrap();
        add_with_mail(host, "alice");
        // sshd ends what takes too long.
        let sshd = host.start_sshd(stacks::CODE_ALONE, &["LoginGraceTime 4"]);
        let mut terminal = sshd.ssh("alice").start();
        terminal.expect_prompt(ASK_AGAIN);
        let mail = exim.wait_for_mail("alice", PATIENCE);
        sleep(Duration::from_secs(5));
        terminal.type_line("000000");
        terminal.finish().expect_failure();
        // On the next connection, where none is sent by itself, it is still good.
        fs::write("/etc/mfa/mfa.toml", text.replace("\"send\"", "\"ask\"")).unwrap();
        let script = Script::new().answer(ASK, &code_in(&mail));
        sshd.ssh("alice").talk(script).expect_success();
        assert_eq!(exim.count("alice"), 1);
    });
}

#[test]
fn a_code_comes_by_telegram_when_that_is_typed() {
    on_a_test_host(|host| {
        let api = BotApi::start(BotMode::Ok);
        host.configure(&format!("[courier.telegram]\napi = {:?}\n", api.url()));
        host.admin_with(
            &["credential", "set", "telegram-token"],
            &format!("{TOKEN}\n"),
        );
        host.admin(&[
            "user",
            "add",
            "alice",
            "--method",
            "telegram",
            "--telegram",
            "4711",
        ]);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let text = RefCell::new(String::new());
        let script = Script::new()
            .answer(ASK, "telegram")
            .answer_with(ASK_AGAIN, || {
                let message = api.wait_for_message(1, PATIENCE);
                assert_eq!(message.chat_id, 4711);
                text.replace(message.text);
                text.borrow().split(' ').next().unwrap().to_owned()
            });
        let talk = sshd.ssh("alice").talk(script);
        talk.expect_success();
        assert!(
            text.borrow().contains(reference_in(&talk.prompts[1])),
            "{}",
            text.borrow()
        );
        assert_eq!(&host.one_since(mark, "MFA-2001")["method"], "telegram");
        let lines = host.log_since(mark);
        assert!(lines.iter().all(|line| !line.text.contains(TOKEN)));
    });
}

#[test]
fn a_code_comes_by_the_administrators_own_program() {
    on_a_test_host(|host| {
        // Whoever runs it may not write to root's folders.
        fs::create_dir("/run/sms").unwrap();
        fs::set_permissions("/run/sms", fs::Permissions::from_mode(0o777)).unwrap();
        let program = "#!/bin/sh\nid -un >/run/sms/who\nenv >/run/sms/env\ncat >/run/sms/new && mv /run/sms/new /run/sms/message\n";
        fs::write("/usr/local/bin/sms", program).unwrap();
        fs::set_permissions("/usr/local/bin/sms", fs::Permissions::from_mode(0o755)).unwrap();
        host.configure("[courier.command]\nrun = [\"/usr/local/bin/sms\", \"--now\"]\n");
        host.admin(&["user", "add", "alice", "--method", "command"]);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let script = Script::new().answer(ASK, "").answer_with(ASK_AGAIN, || {
            while !Path::new("/run/sms/message").exists() {
                sleep(Duration::from_millis(10));
            }
            let jq = "import json,sys; d = json.load(open('/run/sms/message')); assert d['version'] == 1 and d['kind'] == 'code' and d['user'] == 'alice' and d['code'] in d['text'], d; print(d['code'])";
            let output = host.run(&["python3", "-c", jq]);
            output.expect_success().stdout.trim().to_owned()
        });
        sshd.ssh("alice").talk(script).expect_success();
        assert_eq!(fs::read_to_string("/run/sms/who").unwrap(), "_mfa\n");
        let environment = fs::read_to_string("/run/sms/env").unwrap();
        assert!(
            !environment.contains("MFA_") && !environment.contains("HOME="),
            "{environment}"
        );
    });
}

#[test]
fn a_code_goes_through_the_hosts_own_mail_system() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        host.configure("[courier]\nemail = \"sendmail\"\n");
        add_with_mail(host, "alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let read = RefCell::new(None);
        sshd.ssh("alice")
            .talk(by_mail(&exim, "alice", &read))
            .expect_success();
        let mail = read.borrow_mut().take().unwrap();
        assert!(
            mail.header("From").starts_with("_mfa@"),
            "{}",
            mail.header("From")
        );
    });
}

#[test]
fn login_and_su_take_mailed_codes_too() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        deliver_by(host, &smtp(TLS_PORT, "tls"));
        add_with_mail(host, "alice");
        for service in ["login", "su"] {
            host.write_service(service, &stacks::example(service));
        }
        let read = RefCell::new(None);
        let password = |exim, read| {
            let mut script = Script::new().answer("Password: ", PASSWORD);
            for step in [0, 1] {
                script = match step {
                    0 => script.answer(ASK, ""),
                    _ => script.answer_with(ASK_AGAIN, move || {
                        let exim: &Exim = exim;
                        let mail = exim.wait_for_mail("alice", PATIENCE);
                        let code = code_in(&mail);
                        let read: &RefCell<Option<Mail>> = read;
                        *read.borrow_mut() = Some(mail);
                        code
                    }),
                };
            }
            script
        };
        let mut terminal = host.login("alice");
        terminal.play(password(&exim, &read));
        terminal.expect_prompt("$ ");
        terminal.type_line("exit");
        terminal.finish();
        // Not from elsewhere: the mail says so.
        let text = read.borrow().as_ref().unwrap().text().to_owned();
        assert!(text.contains("on the host"), "{text}");
        host.su("bob", "alice", "id -un")
            .talk(password(&exim, &read))
            .expect_success()
            .expect_text("alice\n");
    });
}

#[test]
fn a_hundred_wishes_in_a_minute_are_three_mails() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        deliver_by(host, &smtp(TLS_PORT, "tls"));
        add_with_mail(host, "alice");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &["MaxStartups 1000"]);
        let mark = host.mark();
        // Ten connections with what is free and what uses up prompts: six each, until it is a hundred.
        let mut wishes = 0;
        while wishes < 100 {
            // The first three are sent; nobody waits for what is not.
            let is_first = wishes == 0;
            let mut script = Script::new().answer(ASK, "");
            for number in 0..5 {
                script = script.answer_with(ASK_AGAIN, move || {
                    if is_first && number < 3 {
                        wait_for_couriers();
                    }
                    String::new()
                });
            }
            let talk = sshd.ssh("alice").talk(script);
            talk.expect_failure();
            wishes += 6;
        }
        let ids = host.ids_since(mark);
        let count = |id: &str| ids.iter().filter(|other| *other == id).count();
        assert_eq!((count("MFA-1001"), count("MFA-1003")), (3, wishes - 3));
        for _ in 0..3 {
            exim.wait_for_mail("alice", PATIENCE);
        }
        assert_eq!(exim.count("alice"), 3);
    });
}
