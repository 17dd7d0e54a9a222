//! Something that delivery needs is not there: the login goes on, and one line says so.

use std::fs;
use std::process::Command;

use mfa_tests::mail::{Exim, Options, TLS_PORT};
use mfa_tests::{Script, on_a_test_host, stacks};

use crate::{ASK, ASK_AGAIN, deliver_by, smtp, wait_for_couriers};

#[test]
fn a_login_goes_on_without_user_spool_or_courier() {
    on_a_test_host(|host| {
        let _exim = Exim::start(&Options::default());
        deliver_by(host, &smtp(TLS_PORT, "tls"));
        host.admin(&[
            "user",
            "add",
            "alice",
            "--method",
            "email",
            "--method",
            "app",
            "--email",
            "alice@example.com",
        ]);
        let phone = host.enroll_app("alice", "phone");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let log_in = |delivery: Option<&str>, notice: Option<&str>| {
            host.admin(&["state", "reset", "alice", "--yes"]);
            let mark = host.mark();
            let script = Script::new().answer(ASK, "").answer_with(ASK_AGAIN, || {
                wait_for_couriers();
                phone.code_of(phone.step())
            });
            sshd.ssh("alice").talk(script).expect_success();
            for (id, expected) in [("MFA-1002", delivery), ("MFA-5001", notice)] {
                let lines = host.audit_since(mark);
                let lines: Vec<_> = lines.iter().filter(|line| line.id == id).collect();
                let reasons: Vec<_> = lines.iter().map(|line| line["reason"].to_owned()).collect();
                assert_eq!(
                    reasons,
                    expected.into_iter().collect::<Vec<_>>(),
                    "{lines:#?}"
                );
            }
        };
        log_in(None, None);

        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let without: Vec<_> = passwd
            .lines()
            .filter(|line| !line.starts_with("_mfa:"))
            .collect();
        fs::write("/etc/passwd", without.join("\n") + "\n").unwrap();
        log_in(Some("no_user"), None);
        fs::write(
            "/etc/passwd",
            passwd.replace("_mfa:x:991:991:", "_mfa:x:0:0:"),
        )
        .unwrap();
        log_in(Some("user_is_root"), None);
        fs::write("/etc/passwd", &passwd).unwrap();

        fs::rename("/var/spool/mfa", "/var/spool/aside").unwrap();
        log_in(None, Some("spool_unusable"));
        fs::rename("/var/spool/aside", "/var/spool/mfa").unwrap();

        fs::rename("/usr/libexec/mfa/mfa-courier", "/usr/libexec/mfa/aside").unwrap();
        log_in(Some("no_courier"), None);
        fs::rename("/usr/libexec/mfa/aside", "/usr/libexec/mfa/mfa-courier").unwrap();
        host.run(&["chmod", "666", "/usr/libexec/mfa/mfa-courier"])
            .expect_success();
        log_in(Some("no_courier"), None);
        host.run(&["chmod", "755", "/usr/libexec/mfa/mfa-courier"])
            .expect_success();

        fs::remove_file("/etc/mfa/credentials/smtp-password").unwrap();
        log_in(Some("credential"), None);
        deliver_by(host, &smtp(TLS_PORT, "tls"));

        // A spool on a file system that is full.
        host.run(&[
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=16k,mode=700,uid=991,gid=991",
            "tmpfs",
            "/var/spool/mfa/tmp",
        ])
        .expect_success();
        host.run(&["sh", "-c", "cat /dev/zero >/var/spool/mfa/tmp/full"]);
        log_in(None, Some("spool_unusable"));
        Command::new("umount")
            .arg("/var/spool/mfa/tmp")
            .status()
            .unwrap();
        log_in(None, None);
    });
}

#[test]
fn names_that_nobody_has_get_the_same_words_and_no_mail() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        // A courier for nobody stays as long as one may take.
        let deadline = "[courier]\ndeadline = \"2s\"\n";
        deliver_by(host, &format!("{deadline}{}", smtp(TLS_PORT, "tls")));
        crate::add_with_mail(host, "alice");
        host.admin(&["user", "add", "bob"]);
        host.enroll_app("bob", "phone");
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mut seen = Vec::new();
        // With an address, without one, without a record, without an account.
        for name in ["alice", "bob", "carol", "nobody-of-that-name"] {
            let script = Script::new()
                .answer(ASK, "")
                .answer_with(ASK_AGAIN, || {
                    wait_for_couriers();
                    "email".to_owned()
                })
                .answer(ASK_AGAIN, "000000")
                .answer(ASK_AGAIN, "");
            let mut terminal = sshd.ssh(name).start();
            terminal.play(script);
            terminal.expect_prompt(ASK_AGAIN);
            terminal.type_line("12345");
            let talk = terminal.finish();
            talk.expect_failure();
            let words: Vec<_> = talk
                .prompts
                .iter()
                .map(|prompt| {
                    let prompt = prompt.replace(name, "NAME");
                    match prompt.split_once("(ref ") {
                        Some((before, after)) => format!("{before}(ref{}", &after[4..]),
                        None => prompt,
                    }
                })
                .collect();
            seen.push(words);
        }
        assert!(seen.iter().all(|words| *words == seen[0]), "{seen:#?}");
        assert_eq!(seen[0].len(), 5);
        exim.wait_for_mail("alice", crate::PATIENCE);
        assert_eq!(exim.count("bob") + exim.count("carol"), 0);
    });
}
