//! What a refusal costs, without a clock: the system calls, in order and with their names and arguments, and the number of
//! instructions.

use std::fs;
use std::process::Command;

use mfa_tests::pam_host::{SUCCESS, built, login_script};
use mfa_tests::{on_a_bare_host, proof};

use crate::people::{KINDS, Kind, LIMITS, People, RECOVERY_SHAPED};

/// The system calls of one login, from the moment when the application knows the user: names and errors, and how much is read
/// from and written to login states.
fn calls(people: &People, kind: Kind, answers: &[&str]) -> Vec<String> {
    const TRACE: &str = "/run/work.strace";
    people.put_back();
    let seen = people
        .host
        .player()
        .before(&format!("exec strace -f -qq -s 64 -o {TRACE} \"$@\""))
        .play(&login_script(&kind.name(), answers));
    assert_ne!(seen.sole_result(), SUCCESS, "{seen}");
    comparable_calls(kind, &fs::read_to_string(TRACE).unwrap())
}

/// What of a trace is to be the same for everybody.
pub(crate) fn comparable_calls(kind: Kind, trace: &str) -> Vec<String> {
    let all = trace
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.trim_start());
    let of_the_login = all.skip_while(|call| !call.starts_with("read(0, \"user "));
    let mut calls: Vec<_> = of_the_login
        .filter(|call| !is_the_look_for_no_record(kind, call))
        .map(|call| {
            let name = call.split('(').next().unwrap();
            let error = call.rsplit_once(" = -1 ").map_or("", |(_, error)| error);
            let amount = if name.starts_with("pread") || name.starts_with("pwrite") {
                call.rsplit(' ').next().unwrap()
            } else {
                ""
            };
            format!("{name} {error}{amount}")
        })
        .collect();
    assert!(calls.len() > 100, "{trace}");
    // NSS reads /etc/passwd to its end for somebody who is not in it, and as far as their line for others.
    calls.dedup_by(|one, other| *one == "read " && one == other);
    calls
}

/// A record has to be looked for before one knows that there is none: one call more, at the beginning of a login.
fn is_the_look_for_no_record(kind: Kind, call: &str) -> bool {
    let missing = format!("\"{}.toml\"", kind.name());
    call.starts_with("openat(") && call.contains(&missing) && call.contains(" ENOENT ")
}

#[test]
fn every_refusal_makes_the_same_system_calls() {
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        people.host.configure(LIMITS);
        let wrong = people.app.wrong_code();
        let right = people.app.code_of(people.app.step());
        let mut compared = 0;
        for answers in [
            vec![wrong.as_str(); 3],
            vec!["0000-0000-0000-0"],
            vec![RECOVERY_SHAPED; 3],
            vec!["no such code!"],
            vec!["x", &wrong],
            vec![],
        ] {
            let expected = calls(&people, Kind::WrongCode, &answers);
            assert_eq!(
                calls(&people, Kind::WrongCode, &answers),
                expected,
                "the same login twice"
            );
            for kind in KINDS {
                assert_eq!(
                    calls(&people, kind, &answers),
                    expected,
                    "{kind:?}, {answers:?}"
                );
                compared += expected.len();
            }
        }
        // What sshd hands over in the place of an answer of whom it does not want, in the length of what was typed.
        for (typed, hidden) in [
            (wrong.as_str(), r"\x08\n\r\x7fIN"),
            (RECOVERY_SHAPED, r"\x08\n\r\x7fINCORRECT\x08\n"),
        ] {
            let expected = calls(&people, Kind::WrongCode, &[typed; 3]);
            for kind in KINDS {
                assert_eq!(
                    calls(&people, kind, &[hidden; 3]),
                    expected,
                    "{kind:?}, {typed:?} hidden by sshd"
                );
                compared += expected.len();
            }
        }
        let expected = calls(&people, Kind::WrongCode, &[wrong.as_str(); 3]);
        for kind in KINDS.into_iter().filter(|kind| !kind.may_log_in()) {
            assert_eq!(
                calls(&people, kind, &[right.as_str(); 3]),
                expected,
                "{kind:?}, the right code"
            );
            compared += expected.len();
        }
        proof::tell(
            "timing-calls",
            "Work tells nobody apart: system calls",
            &[
                ("system calls compared, name by name", compared.to_string()),
                ("that differ from a wrong code's", "0".to_owned()),
            ],
        );
    });
}

/// Instructions within `pam_authenticate`, as callgrind counts them; every prompt has the same answer.
pub(crate) fn instructions(people: &People, kind: Kind, code: &str) -> u64 {
    const COUNTED: &str = "/run/work.callgrind";
    people.put_back();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=pam_authenticate"])
        .arg(format!("--callgrind-out-file={COUNTED}"))
        .arg(built("pam_bench"))
        .arg("--once")
        .arg(people.host.path("pam.d"))
        .args(["login", &kind.name(), code])
        .output()
        .expect("valgrind is installed by tests/packages.sh");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "refused: {said}");
    let text = fs::read_to_string(COUNTED).unwrap();
    let (_, count) = text
        .split_once("\nsummary: ")
        .unwrap_or_else(|| panic!("{said}"));
    count.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn every_refusal_takes_about_as_many_instructions() {
    /// Records are not of the same length, and reading them is most of what is counted. What must not be left out for
    /// anybody is more than that: to read the record again in the transaction, or to open and check a secret.
    const MOST: f64 = 1.08;
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        people
            .host
            .configure(&format!("[prompt]\ntries = 1\n{LIMITS}"));
        let wrong = people.app.wrong_code();
        let kinds = if proof::is_long() {
            KINDS.to_vec()
        } else {
            // Valgrind takes its time: the extremes, and whom it is about most.
            vec![
                Kind::WrongCode,
                Kind::NoRecord,
                Kind::Suspended,
                Kind::NoApp,
                Kind::Token,
            ]
        };
        let counts: Vec<_> = kinds
            .iter()
            .map(|&kind| (kind, instructions(&people, kind, &wrong)))
            .collect();
        let again = instructions(&people, kinds[0], &wrong) as f64 / counts[0].1 as f64;
        assert!((0.99..1.01).contains(&again), "not the same twice: {again}");
        let most = counts.iter().map(|(_, count)| *count).max().unwrap();
        let least = counts.iter().map(|(_, count)| *count).min().unwrap();
        assert!(least > 100_000, "little is counted: {counts:?}");
        assert!(most as f64 / (least as f64) < MOST, "{counts:?}");
        let mut told: Vec<_> = counts
            .iter()
            .map(|(kind, count)| {
                (
                    format!("instructions of one refusal, {kind:?}"),
                    count.to_string(),
                )
            })
            .collect();
        told.push((
            "most ÷ least".to_owned(),
            format!("{:.3}", most as f64 / least as f64),
        ));
        let told: Vec<_> = told
            .iter()
            .map(|(what, count)| (what.as_str(), count.clone()))
            .collect();
        proof::tell(
            "timing-instructions",
            "Work tells nobody apart: instructions",
            &told,
        );
    });
}
