//! Recovery codes through a real sshd, and what their users are told.

use mfa_tests::mail::{Exim, Options, TLS_PORT};
use mfa_tests::{Host, Script, Sshd, on_a_test_host, stacks};

use crate::{ASK, PATIENCE, deliver_by, smtp};

/// Ten new codes, as they were printed.
fn generate(host: &Host) -> Vec<String> {
    let printed = host.admin(&["recovery", "generate", "alice", "--yes"]);
    let codes = printed.lines().filter_map(|line| line.strip_prefix("    "));
    codes.map(str::to_owned).collect()
}

/// Logs in with a code; the ids of the audit lines.
fn log_in(host: &Host, sshd: &Sshd, code: &str) -> Vec<String> {
    let mark = host.mark();
    let talk = sshd
        .ssh("alice")
        .command("echo by=$MFA_LOGIN_METHOD=")
        .talk(Script::new().answer(ASK, code));
    talk.expect_success().expect_text("by=recovery=");
    host.ids_since(mark)
}

/// The text and the page of the one mail that a login led to.
fn told(host: &Host, exim: &Exim) -> [String; 2] {
    // What waits is the whole of it: the session has been opened, or a command could not have run.
    let waiting = std::fs::read_dir("/var/spool/mfa/new").unwrap().count();
    assert_eq!(waiting, 1, "notices that wait");
    host.admin(&["notify", "drain"]);
    let left = std::fs::read_dir("/var/spool/mfa/new").unwrap().count();
    assert_eq!(left, 0, "notices that wait yet");
    let mail = exim.wait_for_mail("alice", PATIENCE);
    assert!(mail.defects.is_empty(), "{:?}", mail.defects);
    assert_eq!(exim.count("alice"), 1);
    exim.clear();
    [mail.text().to_owned(), mail.html().to_owned()]
}

#[test]
fn a_login_by_ssh_with_a_recovery_code_is_told_whatever_else_is() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        let delivery = smtp(TLS_PORT, "tls");
        deliver_by(host, &delivery);
        host.admin(&["user", "add", "alice", "--email", "alice@example.com"]);
        host.enroll_app("alice", "phone");
        let mark = host.mark();
        let codes = generate(host);
        host.one_since(mark, "MFA-3031");
        host.admin(&["notify", "drain"]);
        while exim.count("alice") < 2 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let mails = exim.mails("alice");
        let told_of_it = mails
            .iter()
            .any(|mail| mail.text().contains("new recovery codes were made"));
        assert!(told_of_it, "the making of them is told");
        for mail in &mails {
            assert!(codes.iter().all(|code| !mail.text().contains(code)));
        }
        exim.clear();

        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let ids = ["MFA-1004", "MFA-2002", "MFA-2301", "MFA-2401"];
        for (place, on_login) in ["always", "never", "new_address"].iter().enumerate() {
            deliver_by(
                host,
                &format!("{delivery}[notices]\non_login = {on_login:?}\n"),
            );
            assert_eq!(log_in(host, &sshd, &codes[place]), ids, "{on_login}");
            for part in told(host, &exim) {
                for words in ["a recovery code", "127.0.0.1", "cross that code out"] {
                    assert!(part.contains(words), "{on_login}: {words}\n{part}");
                }
                assert!(part.contains(&(9 - place).to_string()), "{part}");
                assert!(!part.contains(codes[place].as_str()), "{part}");
            }
        }
        for code in &codes[3..7] {
            log_in(host, &sshd, code);
            told(host, &exim);
        }
        for (code, warning) in
            codes[7..]
                .iter()
                .zip(["two are left", "one is left", "that was the last one"])
        {
            log_in(host, &sshd, code);
            let [text, html] = told(host, &exim);
            for part in [text, html] {
                let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(part.contains(&format!("WARNING: {warning}")), "{part}");
                assert!(
                    part.contains("ask your administrator for new recovery codes"),
                    "{part}"
                );
            }
        }
        let doctor = host.run(&["mfa-admin", "doctor"]).stdout;
        assert!(doctor.contains("alice (0 left)"), "{doctor}");
        let used = Script::new().answer_times(3, ASK, &codes[9]);
        let mark = host.mark();
        sshd.ssh("alice").talk(used).expect_failure();
        assert_eq!(host.ids_since(mark)[1..4], ["MFA-2102"; 3]);
    });
}
