//! `mfa-admin doctor` and `device id` beside the programs that they answer for: a real `sshd -T`, the service files of
//! this host, systemd-id128.
#![allow(
    clippy::unwrap_used,
    clippy::doc_markdown,
    clippy::format_collect,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use mfa_tests::{Host, on_a_bare_host, on_a_test_host, stacks};

/// What doctor printed, and how it ended.
struct Report {
    exit: i32,
    text: String,
}

impl Report {
    /// Runs doctor; every line has to fit a terminal of 80 columns, as far as it has a blank to break at.
    fn of(host: &Host) -> Self {
        let output = host.run(&["mfa-admin", "doctor"]);
        for line in output.stdout.lines() {
            let fits = line.chars().count() <= 80 || !line.trim().contains(' ');
            assert!(fits, "more than 80 columns: {line}\n{}", output.stdout);
        }
        assert!(
            matches!(output.exit, 0 | 1),
            "{}{}",
            output.stdout,
            output.stderr
        );
        Self {
            exit: output.exit,
            text: output.stdout,
        }
    }

    /// The findings: status, id, and everything that is said, on one line.
    fn findings(&self) -> Vec<(String, String, String)> {
        let mut found: Vec<(String, String, String)> = Vec::new();
        for line in self.text.lines() {
            if let Some(more) = line.strip_prefix("      ") {
                let (_, _, said) = found.last_mut().unwrap();
                said.push(' ');
                said.push_str(more.trim());
            } else if let Some((head, said)) = line.split_once("  ")
                && ["ok", "warn", "fail"].contains(&head)
            {
                let (id, said) = said.trim_start().split_once("  ").unwrap();
                found.push((head.to_owned(), id.to_owned(), said.to_owned()));
            }
        }
        assert!(found.len() > 10, "{}", self.text);
        found
    }

    /// Exactly these findings about sshd and its service, as `status id`; the others are another test's.
    #[track_caller]
    fn expect(&self, prefix: &str, expected: &[&str]) -> &Self {
        let mut found: Vec<_> = self
            .findings()
            .into_iter()
            .filter(|(_, id, _)| id.starts_with(prefix))
            .map(|(status, id, _)| format!("{status} {id}"))
            .collect();
        found.sort();
        assert_eq!(found, expected, "{}", self.text);
        let fails = expected.iter().any(|finding| finding.starts_with("fail"));
        assert_eq!(self.exit, i32::from(fails), "{}", self.text);
        self
    }

    #[track_caller]
    fn says(&self, id: &str, words: &str) -> &Self {
        let said = self
            .findings()
            .into_iter()
            .any(|(_, found, said)| found == id && said.contains(words));
        assert!(said, "{id} says {words:?}:\n{}", self.text);
        self
    }
}

const CODE_AFTER_PASSWORD: &str =
    "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\n";
const ROOT_KEPT_OUT: &str = "PermitRootLogin no\n";

/// Writes sshd_config and makes a host key: without one `sshd -T` says nothing.
fn configure_sshd(lines: &str) {
    if !Path::new("/etc/ssh/ssh_host_ed25519_key").exists() {
        let made = Command::new("ssh-keygen")
            .args([
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                "/etc/ssh/ssh_host_ed25519_key",
            ])
            .status();
        assert!(made.unwrap().success());
    }
    fs::write("/etc/ssh/sshd_config", format!("{lines}{ROOT_KEPT_OUT}")).unwrap();
}

#[test]
fn what_sshd_would_do_is_asked_of_sshd_itself() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.enroll("bob");
        host.write_service("sshd", &stacks::example("sshd-code-after-password"));
        let doctor = |lines: &str| {
            configure_sshd(lines);
            Report::of(host)
        };

        doctor(&format!("{CODE_AFTER_PASSWORD}PubkeyAuthentication no\n"))
            .expect("sshd.", &["ok sshd.code"])
            .says("sshd.code", "after the password");
        doctor(CODE_AFTER_PASSWORD)
            .expect("sshd.", &["warn sshd.bypass"])
            .says("sshd.bypass", "a key alone");
        doctor(
            "UsePAM no\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\nPubkeyAuthentication no\n",
        )
        .expect("sshd.", &["fail sshd.use-pam"]);
        // sshd's own defaults: UsePAM no.
        doctor("").expect("sshd.", &["fail sshd.use-pam"]);
        doctor("UsePAM yes\nKbdInteractiveAuthentication no\nPasswordAuthentication yes\nPubkeyAuthentication no\n")
            .expect("sshd.", &["fail sshd.password"])
            .says("sshd.password", "nobody gets in");
        doctor("UsePAM yes\nKbdInteractiveAuthentication no\nPasswordAuthentication no\nPubkeyAuthentication no\n")
            .expect("sshd.", &["fail sshd.lockout"]);
        doctor("UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication yes\nPubkeyAuthentication no\n")
            .expect("sshd.", &["warn sshd.password"])
            .says("sshd.password", "MFA-2110");
        doctor(&format!(
            "{CODE_AFTER_PASSWORD}PubkeyAuthentication no\nLoginGraceTime 20\n"
        ))
        .expect("sshd.", &["warn sshd.grace-time"])
        .says("sshd.grace-time", "20 s");
        doctor(&format!(
            "{CODE_AFTER_PASSWORD}AuthenticationMethods keyboard-interactive:pam\n"
        ))
        .expect("sshd.", &["ok sshd.code"]);

        // Who is meant by a Match line is found, and nobody else.
        doctor(&format!(
            "{CODE_AFTER_PASSWORD}PubkeyAuthentication no\nMatch User bob\nPubkeyAuthentication yes\nMatch all\n"
        ))
        .expect("sshd.", &["ok sshd.code", "warn sshd.bypass"])
        .says("sshd.bypass", "bob:")
        .says("sshd.code", "alice");
        // And somebody without a record is asked about as well.
        doctor(&format!(
            "{CODE_AFTER_PASSWORD}PubkeyAuthentication no\nMatch User *,!alice,!bob\nPubkeyAuthentication yes\nMatch all\n"
        ))
        .expect("sshd.", &["ok sshd.code", "warn sshd.bypass"])
        .says("sshd.bypass", "(no record)");
    });
}

#[test]
fn a_key_has_to_come_before_a_code_that_stands_alone() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.write_service("sshd", &stacks::example("sshd-key-and-code"));
        let fragment = format!(
            "Include {}/config/sshd_config.d/pam_mfa.conf\n",
            mfa_tests::repository().display()
        );
        configure_sshd(&fragment);
        Report::of(host)
            .expect("sshd.", &["ok sshd.code"])
            .says("sshd.code", "after a key");
        // The code before the password, and no key before it: strangers could use up guesses.
        let stack = stacks::example("sshd-code-after-password");
        let first = format!("auth [success=ok ignore=ignore default=die] pam_mfa.so\n{stack}");
        host.write_service("sshd", &first);
        configure_sshd(&format!("{CODE_AFTER_PASSWORD}PubkeyAuthentication no\n"));
        let report = Report::of(host);
        report.says("sshd.first-factor", "before anything else");
        assert_eq!(report.exit, 1, "{}", report.text);
        host.write_service("sshd", &stacks::example("sshd-key-and-code"));
        // The same stack without the fragment: a code is all that is asked.
        configure_sshd(CODE_AFTER_PASSWORD);
        Report::of(host)
            .expect("sshd.", &["fail sshd.first-factor", "warn sshd.bypass"])
            .says("sshd.first-factor", "lock people out");
    });
}

#[test]
fn an_sshd_that_does_not_answer_is_a_warning_with_its_words() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.write_service("sshd", &stacks::example("sshd-code-after-password"));
        configure_sshd("UsePAM yes\nNoSuchKeyword yes\n");
        Report::of(host)
            .expect("sshd.", &["warn sshd.configuration"])
            .says("sshd.configuration", "NoSuchKeyword");
        configure_sshd(CODE_AFTER_PASSWORD);
        fs::remove_file("/etc/ssh/ssh_host_ed25519_key").unwrap();
        Report::of(host)
            .expect("sshd.", &["warn sshd.configuration"])
            .says("sshd.configuration", "host");
    });
}

#[test]
fn every_example_is_sound_and_each_way_to_break_it_is_found() {
    on_a_test_host(|host| {
        host.enroll("alice");
        configure_sshd(&format!("{CODE_AFTER_PASSWORD}PubkeyAuthentication no\n"));
        for (example, service) in [
            ("sshd-code-after-password", "sshd"),
            ("login", "login"),
            ("su", "su"),
            ("sudo", "sudo"),
        ] {
            let stack = stacks::example(example);
            let prefix = format!("pam.{service}.");
            let doctor = |stack: &str| {
                host.write_service(service, stack);
                Report::of(host)
            };
            let fails = |report: &Report, id: &str| {
                let found = report.findings();
                let is_found = found.iter().any(|(status, found, _)| {
                    status == "fail" && found.starts_with(&format!("{prefix}{id}"))
                });
                assert!(
                    is_found && report.exit == 1,
                    "{service}: {id}\n{}",
                    report.text
                );
            };
            let sound = doctor(&stack);
            let bad: Vec<_> = sound
                .findings()
                .into_iter()
                .filter(|(status, id, _)| status == "fail" && id.starts_with(&prefix))
                .collect();
            assert!(
                bad.is_empty() && sound.exit == 0,
                "{service}: {}",
                sound.text
            );
            doctor(&stacks::with_nullok(&stack)).expect(&format!("{prefix}nullok"), &[]);

            for hook in ["auth", "account"] {
                fails(
                    &doctor(&stacks::with_argument(&stack, &[hook], "nullok")),
                    "nullok",
                );
                // A control that shrugs at a refusal.
                let shrugging: String = stack
                    .lines()
                    .map(|line| {
                        if line.starts_with(hook) && line.contains("pam_mfa.so") {
                            format!("{hook} optional pam_mfa.so\n")
                        } else {
                            format!("{line}\n")
                        }
                    })
                    .collect();
                fails(&doctor(&shrugging), hook);
            }
            let without_permit: String = stack
                .lines()
                .filter(|line| !(line.starts_with("auth") && line.contains("pam_permit.so")))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_ne!(without_permit, stack, "{service}");
            fails(&doctor(&without_permit), "auth.permit");
            host.write_service(service, &stack);
        }
        // An auth stack of the module alone, without pam_permit.
        let bare = stacks::CODE_ALONE.replace(
            "auth     required                                pam_permit.so\n",
            "",
        );
        assert_ne!(bare, stacks::CODE_ALONE);
        host.write_service("su", &bare);
        let report = Report::of(host);
        let found = report.findings();
        assert!(
            found.iter().any(|(status, id, said)| status == "fail"
                && id.starts_with("pam.su.")
                && said.contains("pam_permit")),
            "{}",
            report.text
        );
    });
}

#[test]
fn a_device_id_is_the_one_of_systemd_for_any_machine_id() {
    on_a_test_host(|host| {
        let mut random = fs::File::open("/dev/urandom").unwrap();
        for number in 0..100 {
            let mut bytes = [0_u8; 16];
            std::io::Read::read_exact(&mut random, &mut bytes).unwrap();
            if number < 32 {
                // The bits that a version-4 UUID sets, either way.
                for (place, bits) in [(6, 0xf0), (8, 0xc0)] {
                    let byte = bytes.get_mut(place).unwrap();
                    *byte = if number % 2 == 0 {
                        *byte | bits
                    } else {
                        *byte & !bits
                    };
                }
            }
            let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            fs::write("/etc/machine-id", format!("{id}\n")).unwrap();
            let reference = host.run(&[
                "systemd-id128",
                "machine-id",
                "--app-specific=8f0b6f2e4d6c4c0fa2f1a6b7d3c95e10",
            ]);
            let reference = reference.expect_success().stdout.trim();
            assert_eq!(reference.len(), 32);
            assert_eq!(host.admin(&["device", "id"]).trim(), reference, "{id}");
            assert_eq!(
                host.admin(&["device", "id", "--machine-id", &id]).trim(),
                reference,
                "{id}"
            );
        }
    });
}

#[test]
fn doctor_finds_what_a_broken_host_is_about_at_80_columns() {
    on_a_bare_host(|host| {
        // Nothing is installed: the program under test is run where it was built.
        let admin = mfa_tests::pam_host::PamHost::new();
        let _ = host;
        for user in ["alice", "bob", "carol", "dave", "erin"] {
            admin.enroll(user);
        }
        for (file, text) in [
            (
                "lib/users/alice.toml",
                "version = 1\ncolour = \"a value that goes on and on and on, beyond what a line of a terminal holds\"\n",
            ),
            ("lib/users/bob.toml", "nonsense"),
            ("lib/state/carol", "damaged"),
            ("machine-id", "uninitialized\n"),
        ] {
            mfa_tests::pam_host::overwrite(&admin.path(file), text.as_bytes());
        }
        let output = admin.admin(&["doctor"]);
        assert_eq!(output.code, Some(1), "{}{}", output.stdout, output.stderr);
        for line in output.stdout.lines() {
            let fits = line.chars().count() <= 80 || !line.trim().contains(' ');
            assert!(fits, "more than 80 columns: {line}");
        }
        for id in ["machine-id", "records", "states"] {
            assert!(
                output
                    .stdout
                    .lines()
                    .any(|line| line.starts_with(&format!("fail  {id}"))),
                "{id}\n{}",
                output.stdout
            );
        }
    });
}

/// Sets up mail through a courier of the test's, which says `line`.
fn set_up_mail(host: &Host, line: &str, more: &str) {
    let courier = Path::new("/etc/mfa/courier-of-a-test");
    fs::write(courier, format!("#!/bin/sh\nread -r text\n{line}\n")).unwrap();
    fs::set_permissions(courier, fs::Permissions::from_mode(0o755)).unwrap();
    host.configure(&format!(
        "[paths]\ncourier = \"{}\"\n[courier.smtp]\nhost = \"mail.example.com\"\n\
         from = \"mfa@example.com\"\n{more}",
        courier.display()
    ));
    host.admin(&["init"]);
}

const LETS_IN: &str = "echo 'accepted smtp mail.example.com:465 lets the courier in'";

#[test]
fn delivery_is_tried_out_and_a_login_has_to_leave_time_for_it() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.write_service("sshd", &stacks::example("sshd-code-after-password"));
        let sshd = |grace: &str| {
            configure_sshd(&format!(
                "{CODE_AFTER_PASSWORD}PubkeyAuthentication no\nLoginGraceTime {grace}\n"
            ));
        };
        sshd("70");
        Report::of(host)
            .expect("sshd.", &["ok sshd.code"])
            .says("delivery", "Nothing is delivered");
        set_up_mail(host, LETS_IN, "[courier]\ndeadline = \"30s\"\n");
        Report::of(host)
            .expect("sshd.", &["warn sshd.grace-time"])
            .says("sshd.grace-time", "70 s")
            .says("sshd.grace-time", "courier.deadline")
            .expect("delivery", &["ok delivery", "ok delivery.email"])
            .expect("paths.spool", &["ok paths.spool"])
            .expect("courier.", &["ok courier.program", "ok courier.user"]);
        sshd("75");
        Report::of(host).expect("sshd.", &["ok sshd.code"]);
        // sshd's word for: no limit.
        sshd("0");
        Report::of(host).expect("sshd.", &["ok sshd.code"]);
        set_up_mail(
            host,
            "echo 'config smtp certificate_untrusted mail.example.com:465'",
            "",
        );
        Report::of(host)
            .expect("delivery", &["fail delivery.email", "ok delivery"])
            .says("delivery.email", "ca_file");
    });
}

#[test]
fn a_monitor_reads_the_health_of_delivery_from_json_and_the_exit_code() {
    on_a_test_host(|host| {
        host.admin(&["user", "add", "alice", "--email", "alice@example.com"]);
        host.enroll_app("alice", "phone");
        host.write_service("sshd", &stacks::example("sshd-code-after-password"));
        configure_sshd(&format!("{CODE_AFTER_PASSWORD}PubkeyAuthentication no\n"));
        let doctor = |more: &[&str]| {
            let mut words = vec!["mfa-admin", "doctor", "--json"];
            words.extend(more);
            host.run(&words)
        };
        let has = |text: &str, id: &str, status: &str| {
            text.contains(&format!(
                "\"id\": \"{id}\",\n      \"status\": \"{status}\""
            ))
        };
        set_up_mail(host, LETS_IN, "");
        let sound = doctor(&[]);
        assert_eq!(sound.exit, 0, "{}", sound.stdout);
        assert!(
            has(&sound.stdout, "delivery.email", "ok"),
            "{}",
            sound.stdout
        );
        assert!(!sound.stdout.contains("delivery.test"), "{}", sound.stdout);
        // Nobody is at a terminal to be told that this takes its time.
        assert_eq!(sound.stderr, "");
        let trial = doctor(&["--send-test", "alice"]);
        assert_eq!(trial.exit, 0, "{}", trial.stdout);
        assert!(
            has(&trial.stdout, "delivery.test", "ok"),
            "{}",
            trial.stdout
        );
        assert!(
            !trial.stdout.contains("alice@example.com"),
            "{}",
            trial.stdout
        );
        let nobody = doctor(&["--send-test", "nobody"]);
        assert!(nobody.exit == 1 && has(&nobody.stdout, "delivery.test", "fail"));

        // A server that hangs costs the deadline, and a spool that nobody empties is told as well.
        set_up_mail(host, "exec sleep 60", "[courier]\ndeadline = \"1s\"\n");
        let notice = "/var/spool/mfa/new/login~alice~0123456789abcdef0123456789abcdef";
        fs::write(notice, "").unwrap();
        let aged = host.run(&["touch", "-d", "11 minutes ago", notice]);
        aged.expect_success();
        let started = std::time::Instant::now();
        let hanging = doctor(&[]);
        assert!(started.elapsed() < std::time::Duration::from_secs(30));
        assert_eq!(hanging.exit, 1, "{}", hanging.stdout);
        for id in ["delivery.email", "spool.age"] {
            assert!(has(&hanging.stdout, id, "fail"), "{id}\n{}", hanging.stdout);
        }
        assert_eq!(hanging.stderr, "");
    });
}
