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

/// Mail that goes into a folder, which everybody wants at the prompt.
const MAIL: &str = "[courier.file]\nfolder = \"/run/mail\"\ndemo = true\n[notices]\nadmins = [\"admins@example.com\"]\n";

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
    trace(people, kind, &login_script(&kind.name(), answers), "-f")
}

fn trace(people: &People, kind: Kind, script: &str, options: &str) -> Vec<String> {
    const TRACE: &str = "/run/passphrases.strace";
    people.put_back();
    let strace = format!("exec strace {options} -qq -s 64 -o {TRACE} \"$@\"");
    let seen = people.host.player().before(&strace).play(script);
    assert_ne!(seen.sole_result(), SUCCESS, "{seen}");
    let trace = fs::read_to_string(TRACE).unwrap();
    // Without -f no process is named before a call.
    let trace = match options {
        "" => format!("0 {}", trace.trim_end().replace('\n', "\n0 ")),
        _ => trace,
    };
    comparable_calls(kind, &trace)
}

/// What takes time that could be measured. What is kept and what is pretended to be kept differ in the names of
/// files, a wrong passphrase has one line more in the log, and what the courier does meanwhile is its own matter.
fn costs(call: &str) -> bool {
    let name = call.split(' ').next().unwrap();
    let dear = [
        "fsync",
        "fdatasync",
        "getdents64",
        "pread64",
        "pwrite64",
        "flock",
        "clone3",
        "mmap",
        "munmap",
        "fchown",
        "socketpair",
    ];
    dear.contains(&name)
}

/// Who asks for a code and hangs up: the notice that the user gets, where the passphrase was wrong, is nothing that a
/// stranger could see.
#[test]
fn who_hangs_up_after_a_wish_for_a_code_makes_the_same_system_calls() {
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        settle(&people);
        let tables = TABLES.replace("[courier]\n", "[courier]\nemail = \"file\"\n");
        people.host.configure(&format!("{LIMITS}{tables}{MAIL}"));
        fs::create_dir_all("/run/mail").unwrap();
        let set = ["passphrase", "set", &Kind::Reachable.name(), "-"];
        people.host.admin_with(&set, RIGHT).expect_success();
        let calls = |kind: Kind, passphrase: &str| {
            let script = format!(
                "user {}\nset rhost 203.0.113.7\nanswer text {passphrase}\nanswer text \nanswer convfail\nauthenticate\n",
                kind.name()
            );
            let all = trace(&people, kind, &script, "");
            let kept = all.iter().filter(|call| call.starts_with("renameat2"));
            (
                kept.count(),
                all.into_iter()
                    .filter(|call| costs(call))
                    .collect::<Vec<_>>(),
            )
        };
        let (kept, expected) = calls(Kind::Reachable, WRONG);
        assert_eq!(kept, 1, "the notice of a wrong one");
        let count = |name| {
            expected
                .iter()
                .filter(|call| call.starts_with(name))
                .count()
        };
        assert_eq!((count("fsync"), count("clone3")), (2, 1), "{expected:?}");
        for kind in KINDS {
            for passphrase in [WRONG, RIGHT] {
                let (_, calls) = calls(kind, passphrase);
                assert_eq!(calls, expected, "{kind:?}, {passphrase}");
            }
        }
    });
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
