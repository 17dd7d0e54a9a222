//! Whatever the environment of su, sudo or another program says, a login is the same: what is shown and logged, who gets in,
//! what the courier is handed, and which files are opened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mfa_tests::pam_host::{AUTH_ERR, PamHost, SUCCESS, Seen, built, login_script, overwrite};
use mfa_tests::proof::tell;
use mfa_tests::{Authenticator, Host, Script, Terminal, on_a_bare_host, on_a_test_host, stacks};

use crate::trap::{ENVIRONMENTS, TRAP, everything, has_been_loaded_into, set_the_trap};

const ASK: &str = "Verification code (Enter to have one sent): ";
const ASK_AGAIN: &str = "Verification code (Enter for another): ";

/// In the courier's place: what it was started with is kept, and then it is the courier.
const WRAPPER: &str = "#!/bin/sh\n/bin/cat /proc/$$/environ >>/run/couriers-environment\necho started >>/run/couriers-started\nexec /usr/libexec/mfa/real \"$@\"\n";

/// What a caller sees and the log says, without what is new each time.
#[derive(Debug, PartialEq)]
struct Login {
    exit: i32,
    transcript: String,
    log: Vec<String>,
}

/// Names of attempts, references, terminals and process ids are new each time.
fn without_the_new(text: &str) -> String {
    let mut text = text.to_owned();
    for (mark, length) in [("login=", 12), ("(ref ", 4), ("\"ref ", 4)] {
        let mut from = 0;
        while let Some(at) = text[from..].find(mark) {
            let begin = from + at + mark.len();
            text.replace_range(begin..begin + length, "…");
            from = begin;
        }
    }
    let digits = |text: &str, mark: &str| {
        let (head, rest) = text.split_once(mark)?;
        Some(format!(
            "{head}{mark}N{}",
            rest.trim_start_matches(|c: char| c.is_ascii_digit())
        ))
    };
    digits(&text, "pts/").unwrap_or(text)
}

/// A host whose su and sudo ask for a code alone, where codes are sent; alice and bob have an app and an address.
struct Callers<'a> {
    host: &'a Host,
    phone: Authenticator,
    fresh: Vec<u8>,
}

impl<'a> Callers<'a> {
    fn new(host: &'a Host) -> Self {
        host.configure(
            "tries = 3\n[code]\nmax_sends = 1000\n[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"/run/outbox\"\n",
        );
        for service in ["su", "sudo"] {
            host.write_service(service, stacks::CODE_ALONE);
        }
        host.run(&["install", "-d", "-o", "_mfa", "/run/outbox"])
            .expect_success();
        host.run(&[
            "mv",
            "/usr/libexec/mfa/mfa-courier",
            "/usr/libexec/mfa/real",
        ])
        .expect_success();
        fs::write("/usr/libexec/mfa/mfa-courier", WRAPPER).unwrap();
        fs::set_permissions(
            "/usr/libexec/mfa/mfa-courier",
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        // bash complains of locales.
        host.run(&["sed", "-i", "/^alice:/s|/bin/bash|/bin/sh|", "/etc/passwd"])
            .expect_success();
        let phone = Authenticator::new();
        for name in ["alice", "bob"] {
            let address = format!("{name}@example.com");
            host.admin(&["user", "add", name, "--email", &address]);
            let enroll = [
                "app",
                "enroll",
                name,
                "--label",
                "phone",
                "--secret",
                "-",
                "--no-confirm",
                "--qr",
                "none",
            ];
            host.admin_with(&enroll, &format!("{}\n", phone.secret));
        }
        // Makes bob a sudoer.
        drop(host.sudo("bob", &["true"]));
        set_the_trap();
        let fresh = fs::read("/var/lib/mfa/state/alice").unwrap();
        Self { host, phone, fresh }
    }

    /// bob starts a program that asks for a code: he has one sent, and gives a right one or wrong ones.
    fn log_in(&self, program: &[&str], environment: &[&str], is_right: bool) -> Login {
        for name in ["alice", "bob"] {
            overwrite(&Path::new("/var/lib/mfa/state").join(name), &self.fresh);
        }
        // A spool that fills up would be another matter.
        self.host.run(&["sh", "-c", "rm -f /var/spool/mfa/new/*"]);
        let mark = self.host.mark();
        let mut words = vec!["env"];
        words.extend(environment);
        words.extend(program);
        let code = if is_right {
            self.phone.code_of(self.phone.step())
        } else {
            "000000".to_owned()
        };
        let started = couriers_started();
        let mut script = Script::new().answer(ASK, "").answer_with(ASK_AGAIN, || {
            let deadline = Instant::now() + Duration::from_secs(20);
            while couriers_started() == started {
                assert!(Instant::now() < deadline, "no courier: {words:?}");
                sleep(Duration::from_millis(2));
            }
            code.clone()
        });
        if !is_right {
            script = script.answer_times(2, ASK_AGAIN, "000000");
        }
        let talk = self.host.terminal_of("bob", &words).talk(script);
        let log = self.host.audit_since(mark);
        // Whether the mail is out by the end of the login is a matter of luck.
        let log = log.iter().filter(|line| line.id != "MFA-1002");
        Login {
            exit: talk.exit,
            transcript: without_the_new(&talk.transcript),
            log: log
                .map(|line| {
                    without_the_new(&line.text).replace(&format!("seq={}", &line["seq"]), "")
                })
                .collect(),
        }
    }
}

fn couriers_started() -> usize {
    fs::read_to_string("/run/couriers-started")
        .unwrap_or_default()
        .lines()
        .count()
}

#[test]
fn no_environment_changes_a_login_through_su_or_sudo() {
    on_a_test_host(|host| {
        let callers = Callers::new(host);
        let programs: [(&str, &[&str]); 2] = [
            ("su", &["/usr/bin/su", "alice", "-c", "/usr/bin/id -un"]),
            ("sudo", &["/usr/bin/sudo", "-k", "/usr/bin/id", "-un"]),
        ];
        let mut logins = 0;
        for (name, program) in programs {
            for is_right in [true, false] {
                let clean = callers.log_in(program, &[], is_right);
                assert_eq!(clean.exit == 0, is_right, "{clean:#?}");
                let ids: Vec<_> = clean
                    .log
                    .iter()
                    .filter_map(|line| line.split("id=").nth(1)?.split(' ').next())
                    .collect();
                assert!(
                    ids.contains(&"MFA-1001")
                        && ids.contains(&if is_right { "MFA-2001" } else { "MFA-2101" }),
                    "{clean:#?}"
                );
                let all = everything();
                let together = [all.as_slice()];
                // Wrong codes go the same way as far as the environment matters: all at once will do.
                let each: &[&[&str]] = if is_right { &ENVIRONMENTS } else { &[] };
                for environment in each.iter().chain(&together) {
                    let seen = callers.log_in(program, environment, is_right);
                    assert_eq!(seen, clean, "{name} with {environment:?}");
                    logins += 1;
                }
            }
            assert!(
                !has_been_loaded_into(name),
                "the library of the caller was loaded into {name}"
            );
        }
        // Where there is no change of rights, it is.
        host.run(&["env", "LD_PRELOAD=/run/hostile/spy.so", "/usr/bin/id"]);
        assert!(has_been_loaded_into("id"));
        let of_couriers = || fs::read_to_string("/run/couriers-environment").unwrap();
        assert_eq!(of_couriers(), "", "couriers have an empty environment");
        // It would be seen.
        host.run(&["env", "-i", "X=1", "/usr/libexec/mfa/mfa-courier", "--help"]);
        assert_eq!(of_couriers(), "X=1\0");
        assert!(couriers_started() >= logins);
        assert!(!Path::new(&format!("{TRAP}/ran")).exists());
        tell(
            "host-6-environment",
            "Hostile environments: su and sudo",
            &[
                (
                    "environments, each and all together",
                    (ENVIRONMENTS.len() + 1).to_string(),
                ),
                (
                    "logins whose transcript, result and audit lines are those of a clean one",
                    logins.to_string(),
                ),
                (
                    "couriers started; variables in their environments",
                    format!("{}; 0", couriers_started()),
                ),
            ],
        );
    });
}

#[test]
fn nothing_that_an_environment_names_is_opened_by_su_sudo_or_the_courier() {
    on_a_test_host(|host| {
        let callers = Callers::new(host);
        for program in [
            &["/usr/bin/su", "alice", "-c", "/usr/bin/true"][..],
            &["/usr/bin/sudo", "-k", "/usr/bin/true"],
        ] {
            overwrite(Path::new("/var/lib/mfa/state/alice"), &callers.fresh);
            overwrite(Path::new("/var/lib/mfa/state/bob"), &callers.fresh);
            let mut words = vec![
                "strace",
                "-u",
                "bob",
                "-f",
                "-qq",
                "-s",
                "300",
                "-o",
                "/run/strace.log",
                "-e",
                "trace=%file,execve",
                "env",
            ];
            let all = everything();
            words.extend(&all);
            words.extend(program);
            let code = callers.phone.code_of(callers.phone.step());
            let script = Script::new().answer(ASK, "").answer(ASK_AGAIN, &code);
            Terminal::start(&words).talk(script).expect_success();
            let log = fs::read_to_string("/run/strace.log").unwrap();
            assert!(log.contains(TRAP), "`env` has begun its search with it");
            let opened = opened_by_the_login(&log, program[0]);
            assert!(opened.len() > 50, "{log}");
            assert!(
                opened.iter().any(|line| line.contains("/etc/mfa")),
                "the module is among them"
            );
            let trapped: Vec<_> = opened.iter().filter(|line| line.contains(TRAP)).collect();
            assert!(trapped.is_empty(), "{trapped:#?}");
        }
    });
}

/// The calls of the program that asks for the code, and of couriers: not of `env` before, nor of the command after.
fn opened_by_the_login<'log>(log: &'log str, program: &str) -> Vec<&'log str> {
    let mut running = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some((_, rest)) = call.split_once("execve(\"")
            && call.starts_with("execve(")
            && call.ends_with("= 0")
        {
            let started = rest.split('"').next().unwrap();
            running.insert(pid, started);
            continue;
        }
        // Who has not started anything is a child of one who has: before it does.
        let is_login = running
            .get(pid)
            .is_none_or(|running| *running == program || running.starts_with("/usr/libexec/mfa/"));
        if is_login && running.values().any(|running| *running == program) {
            found.push(line);
        }
    }
    found
}

#[test]
fn a_program_for_which_the_environment_does_count_finds_the_module_deaf_to_it() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[prompt]\ntries = 3\n");
        let app = host.enroll("alice");
        set_the_trap();
        let fresh = fs::read(host.state_path("alice")).unwrap();
        let log_in = |environment: &[&str]| -> Vec<Seen> {
            let exports: Vec<_> = environment.iter().map(|each| format!("'{each}'")).collect();
            let before = format!("set -- env {} \"$@\"", exports.join(" "));
            let code = app.code_of(app.step());
            [
                format!(
                    "{}setcred\nacct_mgmt\nopen_session\nclose_session\nchauthtok\n",
                    login_script("alice", &["000000", &code])
                ),
                login_script("nobody-here", &["000000", "x", ""]),
                "user alice\nanswer convfail\nauthenticate\n".to_owned(),
            ]
            .iter()
            .map(|script| {
                overwrite(&host.state_path("alice"), &fresh);
                host.player()
                    .before(&before)
                    .options(&["--check"])
                    .play(script)
            })
            .collect()
        };
        let told = |all: &[Seen]| -> Vec<(Vec<String>, Vec<String>)> {
            let without_delay = |seen: &Seen| {
                seen.lines
                    .iter()
                    .filter(|line| !line.starts_with("DELAY"))
                    .cloned()
                    .collect()
            };
            all.iter()
                .map(|seen| {
                    (
                        without_delay(seen),
                        seen.log
                            .iter()
                            .map(|event| without_the_new(&event.text))
                            .collect(),
                    )
                })
                .collect()
        };
        let clean = log_in(&[]);
        assert_eq!(clean[0].results()[0], SUCCESS, "{}", clean[0]);
        assert_eq!(clean[1].results(), [AUTH_ERR], "{}", clean[1]);
        for environment in ENVIRONMENTS {
            // What the dynamic linker does with these is a program's own affair, and may end it.
            let is_linkers = environment.iter().any(|each| each.starts_with("LD_"));
            if !is_linkers {
                assert_eq!(told(&log_in(environment)), told(&clean), "{environment:?}");
            }
        }
        // Who asks for a variable is told on: first a module that does, then ours.
        let spied = |what: &str| {
            let spy = fs::read_to_string(format!("{TRAP}/spy")).unwrap();
            spy.lines()
                .filter(|line| line.starts_with(what))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let spy = ["LD_PRELOAD=/run/hostile/spy.so"];
        host.stack(
            "looking",
            &format!(
                "session required {} looks\n",
                built("pam_vandal.so").display()
            ),
        );
        let seen = host
            .player()
            .service("looking")
            .before("export LD_PRELOAD=/run/hostile/spy.so")
            .play("user alice\nopen_session\n");
        assert_eq!(seen.results(), [SUCCESS], "{seen}");
        assert_eq!(spied("pam_vandal.so"), ["pam_vandal.so VANDAL"]);
        assert_eq!(told(&log_in(&spy)), told(&clean));
        assert!(has_been_loaded_into("pam_host"));
        assert_eq!(
            spied("pam_mfa.so"),
            [""; 0],
            "the module asks for no variable at all"
        );
    });
}
