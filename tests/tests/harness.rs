//! The harness itself, with parts that are not ours: Debian's pam_unix and pam_oath. What fails here is no
//! fault of the module.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mfa_tests::{Authenticator, Host, PASSWORD, Script, on_a_bare_host};

const UNIX_ALONE: &str = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_unix.so\n";

fn oath_stack(host: &Host) -> (String, Authenticator) {
    let app = Authenticator::new();
    let hex = host
        .run_with(
            &["sh", "-c", "base32 -d | od -An -v -tx1 | tr -d ' \\n'"],
            &app.secret,
        )
        .stdout;
    fs::write("/etc/users.oath", format!("HOTP/T30 alice - {hex}\n")).unwrap();
    host.run(&["chmod", "600", "/etc/users.oath"])
        .expect_success();
    let stack = "auth required pam_oath.so usersfile=/etc/users.oath window=1\naccount required pam_unix.so\nsession required pam_unix.so\n";
    (stack.to_owned(), app)
}

#[test]
fn the_host_has_its_own_etc_log_and_network() {
    on_a_bare_host(|host| {
        assert_eq!(fs::read_to_string("/etc/hostname").unwrap(), "bastion-1\n");
        assert_eq!(
            host.run(&["ip", "-oneline", "link"]).stdout.lines().count(),
            1,
            "lo and nothing else"
        );
        assert!(Path::new("/dev/log").exists(), "rsyslogd has bound it");
        let mark = host.mark();
        host.run(&[
            "logger",
            "-p",
            "auth.warning",
            "-t",
            "somebody",
            "two\nlines",
        ])
        .expect_success();
        let lines = host.log_since(mark);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(
            (lines[0].facility.as_str(), lines[0].severity.as_str()),
            ("auth", "warning")
        );
        assert_eq!(
            (lines[0].program.as_str(), lines[0].text.as_str()),
            ("somebody", "two#012lines")
        );
        host.run(&[
            "touch",
            "/usr/bin/written",
            "/var/lib/written",
            "/etc/written",
            "/run/written",
        ])
        .expect_success();
    });
    // This line is reached inside, too, where the files are.
    if std::env::var_os("MFA_TEST_HOST").is_some() {
        return;
    }
    for path in [
        "/usr/bin/written",
        "/var/lib/written",
        "/etc/written",
        "/run/written",
    ] {
        assert!(!Path::new(path).exists(), "{path} is on the machine itself");
    }
}

#[test]
fn ssh_su_sudo_and_login_ask_for_the_account_password() {
    on_a_bare_host(|host| {
        let sshd = host.start_sshd(UNIX_ALONE, &[]);
        let right = || Script::new().answer("Password: ", PASSWORD);
        sshd.ssh("alice")
            .talk(right())
            .expect_success()
            .expect_text("alice\n");
        sshd.ssh("alice")
            .talk(Script::new().answer("Password: ", "battery staple"))
            .expect_failure();
        for service in ["su", "login", "sudo"] {
            host.write_service(service, UNIX_ALONE);
        }
        host.su("bob", "alice", "id -un")
            .talk(right())
            .expect_success()
            .expect_text("alice\n");
        host.sudo("bob", &["id", "-un"])
            .talk(Script::new().answer("password for bob: ", PASSWORD))
            .expect_text("root\n");
        host.login("alice")
            .talk(right().answer("$ ", "id -un; exit"))
            .expect_success()
            .expect_text("alice\n");
    });
}

#[test]
fn oathtool_computes_what_pam_oath_accepts_once() {
    on_a_bare_host(|host| {
        let (stack, app) = oath_stack(host);
        let sshd = host.start_sshd(&stack, &[]);
        let code = app.code();
        let prompt = "One-time password (OATH) for `alice': ";
        sshd.ssh("alice")
            .talk(Script::new().answer(prompt, &code))
            .expect_success();
        sshd.ssh("alice")
            .talk(Script::new().answer(prompt, &code))
            .expect_failure();
        sshd.ssh("alice")
            .talk(Script::new().answer(prompt, &app.code()))
            .expect_success();
        sshd.ssh("alice")
            .talk(Script::new().answer(prompt, &app.wrong_code()))
            .expect_failure();
    });
}

#[test]
fn a_key_and_scp_work() {
    on_a_bare_host(|host| {
        let sshd = host.start_sshd(
            UNIX_ALONE,
            &["AuthenticationMethods publickey,keyboard-interactive:pam"],
        );
        let client = sshd
            .ssh("alice")
            .with_key()
            .methods("publickey,keyboard-interactive");
        let right = || Script::new().answer("Password: ", PASSWORD);
        client.talk(right()).expect_success().expect_text("alice");
        sshd.ssh("alice")
            .talk(Script::new())
            .expect_failure()
            .expect_text("Permission denied");
        client
            .scp("/etc/hostname", "copied", right())
            .expect_success();
        assert_eq!(
            fs::read_to_string("/run/home/alice/copied").unwrap(),
            "bastion-1\n"
        );
    });
}

#[test]
fn a_scripted_person_complains() {
    on_a_bare_host(|host| {
        host.write_service("su", UNIX_ALONE);
        let complaint = |script: Script<'_>| {
            let talk = AssertUnwindSafe(|| host.su("bob", "alice", "true").talk(script));
            *catch_unwind(talk)
                .unwrap_err()
                .downcast::<String>()
                .unwrap()
        };
        let not_used_up = Script::new()
            .answer("Password: ", PASSWORD)
            .answer("Verification code: ", "1");
        assert!(
            complaint(not_used_up)
                .contains("has ended; expected the prompt \"Verification code: \"")
        );
        assert!(
            complaint(Script::new().answer("Verification code: ", "1"))
                .contains("asks something else")
        );
        assert!(complaint(Script::new()).contains("the script is used up"));
    });
}

#[test]
fn ctrl_z_stops_su_once_it_has_read_the_answer() {
    on_a_bare_host(|host| {
        host.write_service("su", UNIX_ALONE);
        let line = "su alice -c 'id -un' & fg >/dev/null; read -p 'end of job: '";
        let mut terminal = host.terminal_of("mallory", &["bash", "-mc", line]);
        terminal.expect_prompt("Password: ");
        // libpam_misc blocks SIGTSTP (and SIGINT) while it reads without echo.
        terminal.type_bytes(b"\x1a");
        terminal.type_line(PASSWORD);
        terminal.expect_prompt("end of job: ");
        assert!(
            terminal.transcript().contains("Stopped"),
            "{}",
            terminal.transcript()
        );
        terminal.type_line("");
        terminal.finish().expect_success();
    });
}
