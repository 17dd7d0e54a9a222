//! Servers that misbehave: nothing secret is said before TLS is right, the deadline holds, one line says what was
//! wrong, and the login goes on by other ways.

use std::time::Duration;

use mfa_tests::mail::{self, Certificate, MisbehavingServer, Misbehaviour, PASSWORD, Security};
use mfa_tests::telegram::{BotApi, BotMode, TOKEN};
use mfa_tests::{Authenticator, Host, Script, Sshd, on_a_test_host, stacks};

use crate::{ASK, ASK_AGAIN, deliver_by, processes, smtp, wait_for_couriers};

/// What one delivery may take, seconds; short, so that tests are.
const DEADLINE: u64 = 2;

/// A host where alice has an address and an app, and somebody who asks for a code there.
struct Scene<'a> {
    host: &'a Host,
    sshd: Sshd,
    phone: Authenticator,
}

impl<'a> Scene<'a> {
    fn new(host: &'a Host, method: &str) -> Self {
        host.admin(&[
            "user",
            "add",
            "alice",
            "--method",
            method,
            "--method",
            "app",
            "--email",
            "alice@example.com",
            "--telegram",
            "4711",
        ]);
        Self {
            phone: host.enroll_app("alice", "phone"),
            sshd: host.start_sshd(stacks::CODE_ALONE, &[]),
            host,
        }
    }

    /// Asks for a code, waits for what becomes of that, and logs in with the app. What the one line says of the
    /// delivery: class and detail.
    #[track_caller]
    fn ask(&self, what: &str) -> (String, String) {
        // Sends and used codes of the case before are none of this one's.
        self.host.admin(&["state", "reset", "alice", "--yes"]);
        let mark = self.host.mark();
        let script = Script::new().answer(ASK, "").answer_with(ASK_AGAIN, || {
            let took = wait_for_couriers();
            assert!(took < Duration::from_secs(DEADLINE + 2), "{what}: {took:?}");
            self.phone.code_of(self.phone.step())
        });
        self.sshd.ssh("alice").talk(script).expect_success();
        assert_eq!(processes("mfa-courier", true), [""; 0], "{what}");
        let failures: Vec<_> = self.host.audit_since(mark);
        let failures: Vec<_> = failures
            .iter()
            .filter(|line| line.id == "MFA-1002")
            .collect();
        assert_eq!(failures.len(), 1, "{what}: {failures:#?}");
        let line = failures[0];
        for secret in [PASSWORD, TOKEN, "alice@example.com"] {
            assert!(!line.text.contains(secret), "{}", line.text);
        }
        (line["reason"].to_owned(), line["detail"].to_owned())
    }
}

fn with_deadline(more: &str) -> String {
    // Three sends are soon used up by a table of cases.
    format!("[courier]\ndeadline = \"{DEADLINE}s\"\n{more}")
}

/// Each server in turn, and how what it does is called.
fn play(host: &Host, cases: &[(Misbehaviour<'_>, &str)]) {
    deliver_by(host, &with_deadline(&smtp(1, "tls")));
    let scene = Scene::new(host, "email");
    for (what, class) in cases {
        let server = MisbehavingServer::start(what);
        let security = match what.security {
            Security::Tls => "tls",
            Security::Starttls => "starttls",
        };
        deliver_by(host, &with_deadline(&smtp(server.port(), security)));
        let (seen, detail) = scene.ask(&format!("{what:?}"));
        assert_eq!(seen, *class, "{what:?}: {detail}");
        assert!(detail.starts_with("smtp: "), "{detail}");
        server.expect_nothing_before_tls_was_right(&[PASSWORD, "alice", "example.com>"]);
        let is_after_the_message = what.rules.iter().any(|rule| rule.ends_with(":message"));
        assert!(
            is_after_the_message || server.messages().is_empty(),
            "{what:?}"
        );
    }
}

#[test]
fn a_server_that_says_nothing_or_too_much_is_left_at_the_deadline() {
    on_a_test_host(|host| {
        let tls = Misbehaviour::over_tls;
        let starttls = Misbehaviour::over_starttls;
        play(
            host,
            &[
                (tls(&["silent:connect"]), "timeout"),
                (starttls(&["silent:greeting"]), "timeout"),
                (tls(&["silent:secure"]), "timeout"),
                (tls(&["drip:greeting"]), "timeout"),
                (starttls(&["drip:greeting"]), "timeout"),
                (tls(&["endless:greeting"]), "too_much"),
                (starttls(&["endless:greeting"]), "too_much"),
                (tls(&["long_line:greeting"]), "too_much"),
                (starttls(&["long_line:ehlo"]), "too_much"),
                (tls(&["silent:message"]), "timeout"),
            ],
        );
    });
}

#[test]
fn a_server_that_refuses_is_quoted_by_its_class() {
    on_a_test_host(|host| {
        let tls = Misbehaviour::over_tls;
        play(
            host,
            &[
                (tls(&["reply:mail:451"]), "temporary"),
                (tls(&["reply:rcpt:550"]), "refused"),
                (tls(&["reply:rcpt:452"]), "temporary"),
                (tls(&["reply:data:554"]), "refused"),
                (tls(&["reply:greeting:421"]), "temporary"),
                (tls(&["close:mail"]), "connection_lost"),
                (tls(&["garbage:greeting"]), "protocol"),
                (tls(&["reply:auth:535"]), "auth_rejected"),
                (tls(&["no_auth"]), "auth_missing"),
                (
                    Misbehaviour {
                        mechanisms: "CRAM-MD5 GSSAPI",
                        ..tls(&[])
                    },
                    "auth_missing",
                ),
            ],
        );
    });
}

#[test]
fn a_server_whose_tls_is_not_right_learns_nothing() {
    on_a_test_host(|host| {
        let starttls = Misbehaviour::over_starttls;
        let certificate = Misbehaviour::certificate;
        play(
            host,
            &[
                (
                    certificate(Security::Tls, Certificate::Expired),
                    "certificate_expired",
                ),
                (
                    certificate(Security::Tls, Certificate::SelfSigned),
                    "certificate_untrusted",
                ),
                (
                    certificate(Security::Tls, Certificate::OtherHost),
                    "certificate_name",
                ),
                (
                    certificate(Security::Starttls, Certificate::Expired),
                    "certificate_expired",
                ),
                (
                    certificate(Security::Starttls, Certificate::SelfSigned),
                    "certificate_untrusted",
                ),
                (
                    certificate(Security::Starttls, Certificate::OtherHost),
                    "certificate_name",
                ),
                (starttls(&["no_starttls"]), "starttls_missing"),
                (
                    starttls(&["no_starttls", "auth_in_clear"]),
                    "starttls_missing",
                ),
                (starttls(&["inject_starttls"]), "starttls_injected"),
                (
                    starttls(&["auth_in_clear", "reply:starttls:454"]),
                    "temporary",
                ),
            ],
        );
    });
}

#[test]
fn a_server_that_can_not_be_reached_is_named() {
    on_a_test_host(|host| {
        deliver_by(host, &with_deadline(&smtp(1, "tls")));
        let scene = Scene::new(host, "email");
        let (class, detail) = scene.ask("a server that is down");
        assert_eq!(class, "connection_refused", "{detail}");
        assert!(detail.contains("mail.example.com:1"), "{detail}");
        let to = |address: &str| smtp(465, "tls").replace(mail::HOST_NAME, address);
        for (address, expected) in [
            (host.unroutable_address(), "unroutable"),
            (host.silent_address(), "timeout"),
        ] {
            deliver_by(host, &with_deadline(&to(address)));
            let (class, detail) = scene.ask(address);
            assert_eq!(class, expected, "{address}: {detail}");
        }
        deliver_by(host, &with_deadline(&to("no-such-host.example.com")));
        let (class, detail) = scene.ask("an unknown name");
        assert_eq!(class, "dns", "{detail}");
        let dns = host.hang_dns();
        let (class, detail) = scene.ask("a name server that says nothing");
        assert_eq!(class, "timeout", "{detail}");
        assert!(detail.contains("looking up"), "{detail}");
        assert!(dns.was_asked());
    });
}

#[test]
fn what_telegram_answers_is_told_apart_and_the_token_is_in_no_line() {
    on_a_test_host(|host| {
        let configure = |url: &str| {
            host.configure(&with_deadline(&format!(
                "[courier.telegram]\napi = {url:?}\n"
            )));
            host.admin_with(
                &["credential", "set", "telegram-token"],
                &format!("{TOKEN}\n"),
            );
        };
        configure("http://127.0.0.1:1");
        let scene = Scene::new(host, "telegram");
        assert_eq!(scene.ask("nobody listens").0, "connection_refused");
        for (mode, expected) in [
            (BotMode::Unauthorized, "unauthorized"),
            (BotMode::Busy, "busy"),
            (BotMode::ChatNotFound, "refused"),
            (BotMode::NotJson, "protocol"),
            (BotMode::Truncated, "protocol"),
            (BotMode::EndlessHeaders, "too_much"),
            (BotMode::Drip, "timeout"),
            (BotMode::Close, "connection_lost"),
            (BotMode::Html, "protocol"),
            (BotMode::Redirect, "protocol"),
            (BotMode::Huge, "too_much"),
            (BotMode::Hang, "timeout"),
            (BotMode::Blocked, "refused"),
        ] {
            let what = format!("{mode:?}");
            let api = BotApi::start(mode);
            configure(&api.url());
            let mark = host.mark();
            let (class, detail) = scene.ask(&what);
            assert_eq!(class, expected, "{what}: {detail}");
            if expected == "busy" {
                assert!(detail.contains("retry_after 17"), "{detail}");
            }
            assert!(!api.requests().is_empty(), "{what}");
            let log = host.log_since(mark);
            assert!(log.iter().all(|line| !line.text.contains(TOKEN)), "{what}");
        }
    });
}
