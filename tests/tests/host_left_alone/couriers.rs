//! Hooks that start a courier, whatever becomes of it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use mfa_tests::pam_host::{PamHost, overwrite};
use mfa_tests::proof::tell;
use mfa_tests::{Authenticator, install_courier, on_a_bare_host};

use crate::{CALLERS, SIGNALS, THE_OTHERS, left_alone};

const PROGRAM: &str = "/usr/libexec/mfa/mfa-courier";

/// Programs in the courier's place. The real one, before a server that says nothing, is none of these.
const COURIERS: [(&str, &str); 9] = [
    ("ends at once", "exit 0"),
    ("is killed", "kill -9 $$"),
    ("aborts", "kill -ABRT $$"),
    ("never ends", "exec sleep 1000"),
    ("says nonsense", "head -c 100000 /dev/urandom; exit 1"),
    (
        "says much without a line",
        "yes | tr -d '\\n' | head -c 1000000",
    ),
    ("closes its ends", "exec <&- >&-; exec sleep 1000"),
    ("stops itself", "kill -STOP $$"),
    (
        "leaves others behind",
        "sleep 1000 & sleep 1000 & echo accepted",
    ),
];

/// Wishes for a code that end in every way; `CODE` is a right one.
const LOGINS: [(&str, &str); 5] = [
    ("accepted", "user alice\nanswer text \nanswer text CODE\n"),
    (
        "refused",
        "user alice\nanswer text \nanswer text email\nanswer text 000000\nanswer text 000000\n",
    ),
    (
        "hangs up",
        "user alice\nanswer text \nanswer text \nanswer convfail\n",
    ),
    (
        "unknown",
        "user nobody-here\nanswer text \nanswer text 000000\nanswer text 000000\nanswer text 000000\n",
    ),
    (
        "without record",
        "user mallory\nanswer text \nanswer text email\nanswer text 000000\nanswer text 000000\n",
    ),
];

/// A host that mails to a server which takes connections and never says a word, and alice with an address and an app.
fn host_that_mails(silent: &TcpListener, more: &str) -> (PamHost, Authenticator) {
    install_courier();
    let port = silent.local_addr().unwrap().port();
    let host = PamHost::with_config(&format!(
        "{more}[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@example.com\"\n"
    ));
    let app = host.enroll("alice");
    host.admin(&[
        "user",
        "set",
        "alice",
        "--methods",
        "app,email",
        "--email",
        "alice@example.com",
    ])
    .expect_success();
    (host, app)
}

fn put_in_its_place(script: &str) {
    // Renamed into place: the one before may be running.
    fs::write("/usr/libexec/mfa/new", format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions("/usr/libexec/mfa/new", fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename("/usr/libexec/mfa/new", PROGRAM).unwrap();
}

/// The login with this state and the hooks after it; how many hooks.
fn play(
    host: &PamHost,
    app: &Authenticator,
    fresh: &[u8],
    (login, signals): (&str, &str),
    caller: &[&str],
    what: &str,
) -> usize {
    overwrite(&host.state_path("alice"), fresh);
    let login = login.replace("CODE", &app.code_of(app.step()));
    let script = format!(
        "{signals}{login}set rhost 203.0.113.7\nset tty ssh\nauthenticate\nforget\n{THE_OTHERS}"
    );
    let hooks = left_alone(host, "login", caller, &script, &format!("{what} {signals}"))
        .results()
        .len();
    empty(host);
    hooks
}

/// Nobody works the spool off here, and a full one would be another matter.
fn empty(host: &PamHost) {
    for entry in fs::read_dir(host.path("spool/new")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn each_hook_leaves_its_host_as_it_was_whatever_becomes_of_the_courier() {
    on_a_bare_host(|_| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, app) = host_that_mails(&silent, "[code]\nmax_sends = 1000\n");
        let fresh = fs::read(host.state_path("alice")).unwrap();
        let (mut runs, mut hooks) = (0, 0);
        // The real one: waits for a server.
        for (way, login) in LOGINS {
            for signals in SIGNALS {
                for caller in CALLERS {
                    hooks += play(&host, &app, &fresh, (login, signals), caller, way);
                    runs += 1;
                }
            }
        }
        for (number, (what, script)) in COURIERS.into_iter().enumerate() {
            put_in_its_place(script);
            for (way, login) in LOGINS {
                // Every kind of signal handling meets every courier, with one login or another.
                let signals = SIGNALS[(number + way.len()) % SIGNALS.len()];
                for caller in CALLERS {
                    hooks += play(
                        &host,
                        &app,
                        &fresh,
                        (login, signals),
                        caller,
                        &format!("it {what}, {way}"),
                    );
                    runs += 1;
                }
            }
        }
        for (what, damage) in [
            ("not executable", "chmod 644 mfa-courier"),
            ("anybody's", "chmod 777 mfa-courier"),
            (
                "no program",
                "echo nonsense >mfa-courier; chmod 755 mfa-courier",
            ),
            ("a folder", "rm mfa-courier; mkdir mfa-courier"),
            ("not there", "rmdir mfa-courier"),
        ] {
            let line = format!("cd /usr/libexec/mfa && {damage}");
            assert!(
                std::process::Command::new("sh")
                    .args(["-c", &line])
                    .status()
                    .unwrap()
                    .success()
            );
            for (way, login) in LOGINS {
                for signals in [SIGNALS[0], SIGNALS[1]] {
                    hooks += play(
                        &host,
                        &app,
                        &fresh,
                        (login, signals),
                        &[],
                        &format!("it is {what}, {way}"),
                    );
                    runs += 1;
                }
            }
        }
        tell(
            "host-4-couriers",
            "The host is left alone: hooks that start a courier",
            &[
                (
                    "couriers: one whose server hangs, and others that misbehave or are missing",
                    (COURIERS.len() + 6).to_string(),
                ),
                ("processes", runs.to_string()),
                (
                    "hooks, with everything of the process compared before and after",
                    hooks.to_string(),
                ),
                ("differences; children left behind", "0; 0".to_owned()),
            ],
        );
    });
}

#[test]
fn however_few_descriptors_there_are_a_host_that_has_a_code_sent_is_left_as_it_was() {
    on_a_bare_host(|_| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, app) = host_that_mails(&silent, "[code]\nmax_sends = 1000\n");
        let fresh = fs::read(host.state_path("alice")).unwrap();
        let mut hooks = 0;
        for room in 0..=24 {
            for (way, login) in &LOGINS[..3] {
                for first in ["", "setcred\n"] {
                    let login = login.replacen('\n', &format!("\n{first}descriptors {room}\n"), 1);
                    let what = format!("room for {room}, {way}");
                    hooks += play(&host, &app, &fresh, (&login, ""), &[], &what);
                }
            }
        }
        tell(
            "host-5-couriers-descriptors",
            "The host is left alone: a code is sent with room for 0 to 24 more descriptors",
            &[
                (
                    "hooks, with everything of the process compared before and after",
                    hooks.to_string(),
                ),
                ("differences; children left behind", "0; 0".to_owned()),
            ],
        );
    });
}
