//! The same with a passphrase before the code.

use std::fs;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{SUCCESS, login_script};

use crate::people::{KINDS, Kind, LIMITS, People};
use crate::work::{comparable_calls, instructions};

const RIGHT: &str = "gravel-ocelot-sings-thrice";
const WRONG: &str = "gravel-ocelot-sings-twice-";

/// A hash for all of them, cheap to compute: valgrind takes its time.
const TABLES: &str = "[passphrase]\nmemory = 7168\npasses = 1\n[courier]\nuser = \"nobody\"\n";

/// Everybody with a passphrase but one, at a service that asks for it.
fn settle(people: &People) {
    mfa_tests::install_courier();
    people.host.configure(&format!("{LIMITS}{TABLES}"));
    for kind in KINDS {
        if !matches!(kind, Kind::NoRecord | Kind::UnknownToNss | Kind::Reachable) {
            let name = kind.name();
            people
                .host
                .admin_with(&["passphrase", "set", &name, "-"], RIGHT)
                .expect_success();
        }
    }
    people
        .host
        .stack("login", &people.host.lines("", "passphrase"));
}

fn calls(people: &People, kind: Kind, answers: &[&str]) -> Vec<String> {
    const TRACE: &str = "/run/passphrases.strace";
    people.put_back();
    let seen = people
        .host
        .player()
        .before(&format!("exec strace -f -qq -s 64 -o {TRACE} \"$@\""))
        .play(&login_script(&kind.name(), answers));
    assert_ne!(seen.sole_result(), SUCCESS, "{seen}");
    comparable_calls(kind, &fs::read_to_string(TRACE).unwrap())
}

#[test]
fn every_refusal_makes_the_same_system_calls_with_a_passphrase() {
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        settle(&people);
        let wrong = people.app.wrong_code();
        let expected = calls(&people, Kind::WrongCode, &[WRONG, &wrong].repeat(3));
        let right = people.app.code_of(people.app.step());
        for kind in KINDS {
            for passphrase in [WRONG, RIGHT, "short"] {
                let answers = [passphrase, wrong.as_str()].repeat(3);
                assert_eq!(
                    calls(&people, kind, &answers),
                    expected,
                    "{kind:?}, {passphrase}"
                );
            }
            // The right code beside a wrong passphrase, for whom it would let in as well.
            let answers = [WRONG, right.as_str()].repeat(3);
            assert_eq!(
                calls(&people, kind, &answers),
                expected,
                "{kind:?}, the right code"
            );
        }
    });
}

#[test]
fn every_refusal_takes_about_as_many_instructions_with_a_passphrase() {
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        settle(&people);
        people
            .host
            .configure(&format!("[prompt]\ntries = 1\n{LIMITS}{TABLES}"));
        // Everybody has seven digits and a blank for a passphrase, and for a code: both are of the right shape.
        let counts = [
            Kind::WrongCode,
            Kind::NoRecord,
            Kind::Locked,
            Kind::Reachable,
        ]
        .map(|kind| (kind, instructions(&people, kind, "000 0000")));
        let least = counts.iter().map(|(_, count)| *count).min().unwrap();
        let most = counts.iter().map(|(_, count)| *count).max().unwrap();
        // One hash of 7 MiB is most of it: two of them, or none, would show.
        assert!(least > 5_000_000, "a hash is computed: {counts:?}");
        assert!(most as f64 / (least as f64) < 1.05, "{counts:?}");
    });
}
