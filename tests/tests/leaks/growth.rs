//! Thousands of logins in one process: what it holds does not grow.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use mfa_tests::pam_host::{PamHost, built};
use mfa_tests::proof::{rounds, tell};
use mfa_tests::{Authenticator, on_a_bare_host};

use crate::{host_that_mails, keep_states};

/// Logins before the first look.
const WARM: usize = 200;

const PAM_SUCCESS: u8 = 0;
const PAM_AUTH_ERR: u8 = 7;
const PAM_CONV_ERR: u8 = 19;
const PAM_AUTHINFO_UNAVAIL: u8 = 9;

/// What the process held after [`WARM`] logins, and at the end.
#[derive(Debug)]
struct Held(BTreeMap<String, (usize, usize)>);

impl Held {
    fn growth(&self, what: &str) -> usize {
        let (before, after) = self.0[what];
        after.saturating_sub(before)
    }

    /// Not a descriptor, thread or mapping more, and far less than a byte of heap for each login.
    #[track_caller]
    fn has_not_grown(&self, logins: usize, what: &str) {
        for kind in ["fds", "threads", "maps"] {
            assert_eq!(self.growth(kind), 0, "{what}: {kind} {self:?}");
        }
        assert!(self.growth("heap") < logins / 4, "{what}: {self:?}");
        assert!(self.growth("rss") < 512 * 1024, "{what}: {self:?}");
    }
}

/// Puts the code of the moment into a file.
fn write_code(folder: &Path, secret: &str) {
    let app = Authenticator::with_secret(secret);
    fs::write(folder.join("code.new"), app.code_of(app.step())).unwrap();
    fs::rename(folder.join("code.new"), folder.join("code")).unwrap();
}

/// Says that it is over however that comes about.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps the code of the moment in a file for as long as `body` runs.
fn with_codes<T>(host: &PamHost, app: &Authenticator, body: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    let (folder, secret) = (host.folder.clone(), app.secret.clone());
    write_code(&folder, &secret);
    scope(|both| {
        let over = &is_over;
        both.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(500));
                write_code(&folder, &secret);
            }
        });
        let _over = Over(over);
        body()
    })
}

/// Runs `pam_leaks` with these logins, whose lines may name `SAVED`, `STATE` and `CODE`.
fn run(host: &PamHost, arguments: &[&str], logins: &str) -> Held {
    let path = |name: &str| host.path(name).display().to_string();
    let logins = logins
        .replace("SAVED", &path("saved-alice"))
        .replace("STATE", &host.state_path("alice").display().to_string())
        .replace("CODE", &format!("@{}", path("code")));
    let mut child = Command::new(built("pam_leaks"))
        .args(arguments)
        // See pam_leaks.c: else what is free is counted as in use.
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(logins.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (said, complaints) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{said}{complaints}",
        output.status
    );
    let held = said.lines().filter_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let [what, before, after] = words[..] else {
            return None;
        };
        Some((
            what.to_owned(),
            (before.parse().unwrap(), after.parse().unwrap()),
        ))
    });
    Held(held.collect())
}

#[test]
fn a_process_that_logs_people_in_for_ever_does_not_grow() {
    on_a_bare_host(|_| {
        let logins = rounds(800, 10_000);
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        keep_states(&host);
        let confdir = host.path("pam.d").display().to_string();
        let (warm, count) = (WARM.to_string(), (logins + WARM).to_string());
        let arguments = [confdir.as_str(), "login", &warm, &count];
        let mut told = Vec::new();
        for (what, script) in [
            (
                "right and wrong codes in turn",
                format!(
                    "alice {PAM_SUCCESS} SAVED STATE CODE\nalice {PAM_AUTH_ERR} SAVED STATE 000000 000000 000000\n"
                ),
            ),
            (
                "strangers, nonsense, no answers",
                format!(
                    "nobody-here {PAM_AUTH_ERR} - - 000000 x 000000\nmallory {PAM_AUTH_ERR} - - 000000 000000 000000\n\
                     alice {PAM_CONV_ERR} SAVED STATE 000000 !\nalice {PAM_AUTH_ERR} SAVED STATE - - -\n"
                ),
            ),
        ] {
            let held = with_codes(&host, &app, || run(&host, &arguments, &script));
            held.has_not_grown(logins, what);
            told.push((what, held));
        }
        // What goes wrong before anybody is asked.
        host.write("mfa.toml", "version = 2\n");
        let script = format!("alice {PAM_AUTHINFO_UNAVAIL} - -\n");
        let held = run(&host, &arguments, &script);
        held.has_not_grown(logins, "a broken configuration");
        told.push(("a broken configuration", held));
        let told: Vec<_> = told
            .iter()
            .flat_map(|(what, held)| {
                let grown = format!(
                    "{} bytes of heap, {} of resident memory, {} descriptors, {} threads, {} mappings",
                    held.growth("heap"), held.growth("rss"), held.growth("fds"), held.growth("threads"), held.growth("maps")
                );
                [(format!("{what}: logins in one process"), logins.to_string()), ("growth".to_owned(), grown)]
            })
            .collect();
        let told: Vec<_> = told
            .iter()
            .map(|(what, count)| (what.as_str(), count.clone()))
            .collect();
        tell(
            "leaks-1-growth",
            "Leaks: load the module, log in, close it, in one process",
            &told,
        );
    });
}

#[test]
fn a_process_that_has_codes_sent_for_ever_does_not_grow() {
    on_a_bare_host(|_| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, app) = host_that_mails(&silent);
        let logins = rounds(200, 2_000);
        let confdir = host.path("pam.d").display().to_string();
        let count = (logins + WARM).to_string();
        let script = format!(
            "alice {PAM_SUCCESS} SAVED STATE - CODE\nalice {PAM_AUTH_ERR} SAVED STATE - 000000 000000 000000\n\
             mallory {PAM_AUTH_ERR} - - - 000000 000000 000000\nalice {PAM_CONV_ERR} SAVED STATE - !\n"
        );
        let warm = WARM.to_string();
        let held = with_codes(&host, &app, || {
            run(&host, &[&confdir, "login", &warm, &count], &script)
        });
        held.has_not_grown(logins, "codes that are sent");
        tell(
            "leaks-2-couriers",
            "Leaks: the same with a courier for each login",
            &[
                ("logins in one process", logins.to_string()),
                (
                    "growth",
                    format!(
                        "{} bytes of heap, {} descriptors, {} threads",
                        held.growth("heap"),
                        held.growth("fds"),
                        held.growth("threads")
                    ),
                ),
            ],
        );
    });
}

#[test]
fn processes_that_log_somebody_in_and_end_leave_nothing() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        keep_states(&host);
        let confdir = host.path("pam.d").display().to_string();
        let processes = rounds(300, 10_000);
        let everything = || {
            let folder = host.folder.display();
            let list = format!(
                "find {folder} /dev/shm /run /var/spool /var/lib -xdev ! -name 'code*' ! -name '*.log' 2>/dev/null | sort"
            );
            let output = Command::new("sh").args(["-c", &list]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let login = format!("alice {PAM_SUCCESS} SAVED STATE CODE\n");
        with_codes(&host, &app, || {
            run(&host, &["--forks", "1", &confdir, "login"], &login)
        });
        let before = everything();
        with_codes(&host, &app, || {
            run(
                &host,
                &["--forks", &processes.to_string(), &confdir, "login"],
                &login,
            )
        });
        assert_eq!(everything(), before);
        tell(
            "leaks-3-processes",
            "Leaks: a process for each login, as sshd has it",
            &[
                ("processes", processes.to_string()),
                ("files left behind", "0".to_owned()),
            ],
        );
    });
}
