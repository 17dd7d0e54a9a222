//! What passphrases take of a host program's memory.

use std::fs;
use std::process::{Command, Stdio};

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, SUCCESS, UNAVAIL, built, login_script};
use mfa_tests::proof::{rounds, tell};

use crate::{BOTH, RIGHT, WRONG, host};

/// Bytes of a resident host program at most.
const MOST: u64 = 40 << 20;

#[test]
fn a_thousand_wrong_passphrases_leave_a_host_program_small() {
    on_a_bare_host(|_| {
        let (host, app) = host("");
        let wrong = rounds(1002, 9999);
        let saved = host.path("saved");
        fs::copy(host.state_path("alice"), &saved).unwrap();
        // Three tries a login, each time with the state as it was: all of them are looked at.
        let answers = [WRONG, app.wrong_code().as_str()].join(" ").repeat(1);
        let line = format!(
            "alice 7 {} {} {answers} {answers} {answers}\n",
            saved.display(),
            host.state_path("alice").display()
        );
        let logins = (wrong / 3 + 1).to_string();
        let mut child = Command::new(built("pam_leaks"))
            .arg(host.path("pam.d"))
            .args(["login", "1", &logins])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, line.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complaints}");
        let rss = said.lines().find_map(|line| line.strip_prefix("rss "));
        let rss = rss.unwrap().split(' ').nth(1).unwrap();
        let rss: u64 = rss.parse().unwrap();
        assert!(rss <= MOST, "{rss} bytes\n{said}");
        tell(
            "passphrase-memory",
            "Wrong passphrases in one process",
            &[
                ("wrong passphrases", wrong.to_string()),
                ("resident memory afterwards, KiB", (rss >> 10).to_string()),
            ],
        );
    });
}

#[test]
fn a_host_program_without_memory_refuses_and_lives() {
    on_a_bare_host(|_| {
        let costly = "[prompt]\ntries = 2\n[passphrase]\nmemory = 262144\npasses = 1\n";
        let (host, app) = host(costly);
        app.wait_for_room(8);
        for user in ["alice", "nobody-here"] {
            let script = login_script(
                user,
                &[
                    RIGHT,
                    &app.code_of(app.step()),
                    RIGHT,
                    &app.code_of(app.step()),
                ],
            );
            let seen = host.player().before("ulimit -v 200000").play(&script);
            assert_eq!(seen.code, Some(0), "{seen}");
            assert_eq!(seen.prompts(), BOTH.repeat(2), "{seen}");
            if user == "alice" {
                assert_eq!(seen.result(), UNAVAIL, "{seen}");
                let line = seen.only("MFA-4001");
                assert_eq!(line.get("reason"), "no_memory", "{seen}");
            } else {
                assert_ne!(seen.result(), SUCCESS, "{seen}");
            }
        }
        let seen = host.login(
            "alice",
            &[
                WRONG,
                &app.code_of(app.step()),
                RIGHT,
                &app.code_of(app.step()),
            ],
        );
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

/// The mappings of a megabyte and more that a login makes, by their length.
fn mappings(host: &mfa_tests::pam_host::PamHost, user: &str, answers: &[&str]) -> Vec<String> {
    const TRACE: &str = "/run/passphrase.strace";
    let strace = format!(
        "export MALLOC_MMAP_THRESHOLD_=1048576; exec strace -f -qq -o {TRACE} -e trace=mmap,munmap,mremap \"$@\""
    );
    let seen = host
        .player()
        .before(&strace)
        .play(&login_script(user, answers));
    assert_eq!(seen.result(), AUTH_ERR, "{seen}");
    let text = fs::read_to_string(TRACE).unwrap();
    fs::remove_file(TRACE).unwrap();
    let of_memory = text.lines().filter_map(|call| {
        let (name, rest) = call.split_once(' ')?.1.trim_start().split_once('(')?;
        let length = rest.split(", ").nth(1)?.split(')').next()?;
        let is_large = length.parse().is_ok_and(|length: u64| length > 1 << 20);
        let is_memory = name != "mmap" || call.contains("MAP_ANONYMOUS");
        (is_large && is_memory).then(|| format!("{name} {length}"))
    });
    of_memory.collect()
}

#[test]
fn whoever_is_refused_takes_the_same_memory() {
    on_a_bare_host(|_| {
        let (mut host, app) = host("");
        host.add_people(["bob", "carol", "dave"].map(str::to_owned));
        for name in ["bob", "carol", "dave"] {
            host.enroll_app(name, &app);
        }
        for name in ["bob", "carol"] {
            crate::set(&host, name, RIGHT);
        }
        host.admin(&["user", "suspend", "bob", "--reason", "x"])
            .expect_success();
        host.configure(&crate::with_courier("[lockout]\nafter = 1\n"));
        host.login("carol", &[WRONG, "000000"].repeat(3));
        let wrong = app.wrong_code();
        let answers = [WRONG, &wrong].repeat(3);
        let expected = mappings(&host, "alice", &answers);
        let blocks = expected.iter().filter(|call| {
            let length = call
                .strip_prefix("mmap ")
                .and_then(|length| length.parse().ok());
            length.is_some_and(|length: u64| length > 19_456 << 10)
        });
        assert_eq!(blocks.count(), 1, "one for all tries: {expected:?}");
        host.admin(&["user", "unlock", "alice"]).expect_success();
        for (user, typed) in [
            ("alice", "short"),
            ("bob", RIGHT),
            ("carol", RIGHT),
            ("dave", RIGHT),
            ("nobody-here", RIGHT),
            ("mallory", RIGHT),
        ] {
            let answers = [typed, &wrong].repeat(3);
            assert_eq!(mappings(&host, user, &answers), expected, "{user}");
        }
    });
}
