use std::fs;
use std::path::PathBuf;

use super::*;
use crate::doctor::check::Status;
use crate::doctor::pam_stack::FirstFactor;

const DEFAULTS: &str = "usepam yes\nlogingracetime 120\nmaxauthtries 6\n\
    permitrootlogin without-password\npubkeyauthentication yes\nhostbasedauthentication no\n\
    gssapiauthentication no\nkerberosauthentication no\npasswordauthentication no\n\
    kbdinteractiveauthentication yes\nauthenticationmethods any\n";

fn stack(factor: FirstFactor) -> ServiceSummary {
    ServiceSummary {
        name: "sshd".to_owned(),
        auth: Some(("/etc/pam.d/sshd:5".to_owned(), factor)),
        account: Some("/etc/pam.d/sshd:9".to_owned()),
        session: true,
        passphrase: false,
    }
}

fn question(stack: Option<&ServiceSummary>, time_for_a_code: Option<Duration>) -> Question<'_> {
    Question {
        binary: Path::new("/nonexistent/sshd"),
        config: None,
        users: &[],
        without_record: "nobody",
        address: "203.0.113.7",
        stack,
        time_for_a_code,
    }
}

/// What is said of `user` with the defaults above and these lines over them.
fn found(user: &str, lines: &str, factor: FirstFactor) -> Vec<(String, Status)> {
    let settings = Settings::parse(&format!("{lines}\n{DEFAULTS}"));
    let stack = stack(factor);
    judge::judge(&settings, (user, true), &question(Some(&stack), None))
        .into_iter()
        .map(|check| (check.id, check.status))
        .collect()
}

fn only(id: &str, status: Status) -> Vec<(String, Status)> {
    vec![(id.to_owned(), status)]
}

const KEY_AND_CODE: &str = "authenticationmethods publickey,keyboard-interactive:pam";

#[test]
fn key_and_code_is_good_with_and_without_a_password() {
    for factor in [FirstFactor::Before, FirstFactor::None, FirstFactor::After] {
        assert_eq!(
            found("alice", KEY_AND_CODE, factor),
            only("sshd.code", Status::Ok)
        );
    }
}

#[test]
fn without_pam_nobody_is_asked() {
    let said = found("alice", "usepam no", FirstFactor::Before);
    assert_eq!(said, only("sshd.use-pam", Status::Fail));
}

#[test]
fn a_key_alone_passes_the_code_by() {
    for methods in [
        "any",
        "publickey,keyboard-interactive publickey",
        "publickey",
    ] {
        let lines = format!("authenticationmethods {methods}");
        assert_eq!(
            found("alice", &lines, FirstFactor::Before),
            only("sshd.bypass", Status::Warn)
        );
    }
    let lines = "kbdinteractiveauthentication no";
    assert_eq!(
        found("alice", lines, FirstFactor::Before),
        only("sshd.bypass", Status::Warn)
    );
    let lines = "gssapiauthentication yes\npubkeyauthentication no";
    assert_eq!(
        found("alice", lines, FirstFactor::Before),
        only("sshd.bypass", Status::Warn)
    );
}

#[test]
fn code_after_password_is_good_where_keys_are_off() {
    let said = found("alice", "pubkeyauthentication no", FirstFactor::Before);
    assert_eq!(said, only("sshd.code", Status::Ok));
}

#[test]
fn the_password_method_alone_locks_out() {
    let lines = "kbdinteractiveauthentication no\npasswordauthentication yes";
    let said = found("alice", lines, FirstFactor::Before);
    assert!(
        said.contains(&("sshd.password".to_owned(), Status::Fail)),
        "{said:?}"
    );
    let lines = format!("{lines}\npubkeyauthentication no");
    let said = found("alice", &lines, FirstFactor::Before);
    assert_eq!(said, only("sshd.password", Status::Fail));
}

#[test]
fn the_password_method_beside_the_prompt_is_a_warning() {
    let lines = "passwordauthentication yes\npubkeyauthentication no";
    let said = found("alice", lines, FirstFactor::Before);
    assert_eq!(said, only("sshd.password", Status::Warn));
}

#[test]
fn a_code_that_comes_first_needs_a_key_before_it() {
    for methods in [
        "any",
        "keyboard-interactive",
        "keyboard-interactive,publickey",
    ] {
        for factor in [FirstFactor::None, FirstFactor::After] {
            let lines = format!("authenticationmethods {methods}");
            let said = found("alice", &lines, factor);
            assert!(
                said.contains(&("sshd.first-factor".to_owned(), Status::Fail)),
                "{methods}"
            );
        }
    }
}

#[test]
fn methods_that_are_not_enabled_lock_out() {
    let lines = format!("{KEY_AND_CODE}\nkbdinteractiveauthentication no");
    assert_eq!(
        found("alice", &lines, FirstFactor::Before),
        only("sshd.lockout", Status::Fail)
    );
    let lines = "authenticationmethods keyboard-interactive:bsdauth";
    assert_eq!(
        found("alice", lines, FirstFactor::Before),
        only("sshd.lockout", Status::Fail)
    );
}

#[test]
fn root_can_give_a_code_only_where_permitrootlogin_is_yes() {
    assert_eq!(
        found("root", KEY_AND_CODE, FirstFactor::Before),
        only("sshd.lockout", Status::Fail)
    );
    let lines = format!("{KEY_AND_CODE}\npermitrootlogin yes");
    assert_eq!(
        found("root", &lines, FirstFactor::Before),
        only("sshd.code", Status::Ok)
    );
    let said = found("root", "permitrootlogin no", FirstFactor::Before);
    assert_eq!(said, only("sshd.code", Status::Ok));
    let said = found("root", "passwordauthentication yes", FirstFactor::Before);
    assert_eq!(said, only("sshd.bypass", Status::Warn));
}

#[test]
fn little_time_and_few_tries_are_warnings() {
    for (seconds, ids) in [
        (0, vec!["sshd.code"]),
        (59, vec!["sshd.grace-time"]),
        (60, vec!["sshd.code"]),
    ] {
        let lines = format!("{KEY_AND_CODE}\nlogingracetime {seconds}");
        let said = found("alice", &lines, FirstFactor::Before);
        let said: Vec<&str> = said.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(said, ids, "{seconds}");
    }
    let lines = format!("{KEY_AND_CODE}\nmaxauthtries 1");
    assert_eq!(
        found("alice", &lines, FirstFactor::Before),
        only("sshd.tries", Status::Warn)
    );
}

#[test]
fn a_login_has_to_wait_for_a_code_that_is_sent() {
    let stack = stack(FirstFactor::Before);
    let grace = |seconds: u64, time: u64| {
        let settings = format!("{KEY_AND_CODE}\nlogingracetime {seconds}\n{DEFAULTS}");
        let time = Some(Duration::from_secs(time));
        let question = question(Some(&stack), time);
        judge::judge(&Settings::parse(&settings), ("alice", true), &question)
    };
    for (seconds, time, id) in [
        (59, 60, "sshd.grace-time"),
        (60, 60, "sshd.code"),
        (120, 165, "sshd.grace-time"),
        (165, 165, "sshd.code"),
        (0, 165, "sshd.code"),
    ] {
        let found = grace(seconds, time);
        assert_eq!((found[0].id.as_str(), found.len()), (id, 1), "{found:?}");
    }
    let found = grace(120, 165);
    assert_eq!(found[0].status, Status::Warn);
    assert!(found[0].message.contains("courier.deadline"), "{found:?}");
    assert_eq!(found[0].hint, "Write `LoginGraceTime 165`.");
}

#[test]
fn kerberos_passwords_pass_pam_by() {
    let lines = "pubkeyauthentication no\npasswordauthentication yes\nkerberosauthentication yes";
    let said = found("alice", lines, FirstFactor::Before);
    assert!(
        said.contains(&("sshd.kerberos".to_owned(), Status::Warn)),
        "{said:?}"
    );
}

/// A program that stands in for sshd.
struct Program(PathBuf);

impl Program {
    fn new(name: &str, script: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mfa-doctor-sshd-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sshd");
        // Written by another process: a descriptor of ours, inherited by a test's child at the
        // wrong moment, would make the program "busy".
        let written = std::process::Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"",
                "sh",
                script,
            ])
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
        Self(path)
    }

    fn checks(&self, users: &[&str]) -> Vec<Check> {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        check(&Question {
            binary: &self.0,
            config: None,
            users: &users,
            without_record: "nobody",
            address: "203.0.113.7",
            stack: Some(&stack(FirstFactor::Before)),
            time_for_a_code: None,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn users_who_fare_alike_share_a_check() {
    let defaults = DEFAULTS.replace('\n', "\\n");
    let sshd = Program::new(
        "groups",
        &format!(
            "case \"$3\" in user=mallory,*) echo 'usepam no';; *) printf '{KEY_AND_CODE}\\n';; esac\n\
             printf '{defaults}'"
        ),
    );
    let checks = sshd.checks(&["alice", "mallory", "bob", "a,addr=10.0.0.1"]);
    let said: Vec<(&str, &str)> = checks
        .iter()
        .map(|check| (check.id.as_str(), check.message.split(':').next().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("sshd.code", "alice, bob and nobody (no record)"),
            ("sshd.use-pam", "mallory"),
            ("sshd.names", "a,addr=10.0.0.1")
        ]
    );
}

#[test]
fn a_failing_sshd_is_a_warning_with_its_words() {
    let sshd = Program::new(
        "fails",
        "echo 'no hostkeys available -- exiting.' >&2; exit 1",
    );
    let checks = sshd.checks(&["alice", "bob"]);
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].status, Status::Warn);
    assert!(
        checks[0].message.contains("no hostkeys available"),
        "{}",
        checks[0].message
    );
}

#[test]
fn an_sshd_that_hangs_is_given_up() {
    let checks = Program::new("hangs", "exec sleep 60").checks(&["alice"]);
    assert!(
        checks[0].message.contains("within 5 s"),
        "{}",
        checks[0].message
    );
}

#[test]
fn a_host_without_sshd_is_fine() {
    let checks = check(&question(None, None));
    assert_eq!(checks[0].status, Status::Ok);
}

#[test]
fn the_first_hundred_with_a_record_are_asked_about_and_one_without() {
    let defaults = DEFAULTS.replace('\n', "\\n");
    let sshd = Program::new(
        "hundred",
        &format!(
            "echo \"$3\" >> \"$0.asked\"\n\
             case \"$3\" in user=u100,*|user=u101,*) echo 'usepam no';; esac\n\
             printf '{KEY_AND_CODE}\\n{defaults}'"
        ),
    );
    let users: Vec<String> = (1..=150).map(|number| format!("u{number}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let checks = sshd.checks(&users);
    let asked = fs::read_to_string(format!("{}.asked", sshd.0.display())).unwrap();
    assert_eq!(asked.lines().count(), 101);
    assert!(asked.ends_with("user=nobody,host=203.0.113.7,addr=203.0.113.7\n"));
    let found = |id: &str| {
        let check = checks.iter().find(|check| check.id == id).unwrap();
        check.message.clone()
    };
    assert!(found("sshd.use-pam").starts_with("u100: "), "{checks:?}");
    assert!(found("sshd.users").contains("100 of 150"), "{checks:?}");
}
