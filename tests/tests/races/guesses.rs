//! Guesses at the same time: no more are looked at than the limits say, and each that is looked at is charged.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, PROMPT, PamHost, SUCCESS, Seen, login_script};
use mfa_tests::proof::{rounds, tell};

use crate::{Crowd, PATIENT, Progress};

const GUESSES: usize = 64;

/// A number of `state show`.
pub(crate) fn number(state: &str, key: &str) -> usize {
    let line = state
        .lines()
        .find(|line| line.starts_with(&format!("{key} = ")));
    let line = line.unwrap_or_else(|| panic!("no {key} in\n{state}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// `GUESSES` logins at once that answer `code`.
fn guess(host: &PamHost, user: &str, code: &str) -> Seen {
    let seen = host
        .player()
        .options(&["--parallel", &GUESSES.to_string()])
        .play(&format!(
            "user {user}\ndo barrier\nanswer text {code}\nauthenticate\n"
        ));
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(seen.count(AUTH_ERR), GUESSES, "{seen}");
    assert_eq!(seen.prompts(), vec![PROMPT; GUESSES], "{seen}");
    seen
}

#[test]
fn of_64_guesses_at_once_5_are_evaluated() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        let rounds = rounds(6, 400);
        let crowd = Crowd::enroll(&mut host, 1);
        let mut progress = Progress::of("64 guesses", rounds);
        for round in 1..=rounds {
            crowd.refresh(&host);
            let seen = guess(&host, "p1", &crowd.app.wrong_code());
            assert_eq!(seen.events("MFA-2101").len(), 5, "{seen}");
            assert_eq!(seen.events("MFA-2201").len(), GUESSES - 5, "{seen}");
            assert_eq!(number(&host.state("p1"), "in_row"), 5);
            progress.at(round);
        }
        let seen = host.login("p1", &[&crowd.app.code()]);
        assert_eq!(
            seen.result(),
            AUTH_ERR,
            "a right code is not evaluated either\n{seen}"
        );
        assert_eq!(seen.events("MFA-2201").len(), 1, "{seen}");
        host.admin(&["user", "unlock", "p1"]).expect_success();
        assert_eq!(host.login("p1", &[&crowd.app.code()]).result(), SUCCESS);
        tell(
            "races-09-guesses",
            "Races: 64 guesses at once, a limit of 5",
            &[
                ("rounds", rounds.to_string()),
                ("guesses that were evaluated, a round", "5".to_owned()),
            ],
        );
    });
}

#[test]
fn guesses_at_once_lock_at_the_tenth_and_disable_at_the_thirtieth() {
    on_a_bare_host(|_| {
        let mut host = PamHost::with_config(
            "[prompt]\ntries = 1\n[throttle]\nmax_failures = 1000\n[lockout]\nafter = 10\nfor = \"3s\"\ndisable_after = 30\n",
        );
        let crowd = Crowd::enroll(&mut host, 1);
        let wrong = crowd.app.wrong_code();
        for lock in 1..=3 {
            let seen = guess(&host, "p1", &wrong);
            let [bad, locked, disabled] =
                ["MFA-2101", "MFA-2204", "MFA-2205"].map(|id| seen.events(id).len());
            assert_eq!(bad, 10, "{lock}\n{seen}");
            assert_eq!(
                (locked, disabled),
                if lock < 3 { (1, 0) } else { (0, 1) },
                "{lock}\n{seen}"
            );
            assert_eq!(
                number(&host.state("p1"), "in_row"),
                10 * lock,
                "{lock}\n{seen}"
            );
            if lock < 3 {
                std::thread::sleep(Duration::from_millis(3100));
            }
        }
        let seen = host.login("p1", &[&crowd.app.code()]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.events("MFA-2203").len(), 1, "{seen}");
    });
}

#[test]
fn every_guess_that_is_evaluated_is_charged() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 30;
        let mut host = PamHost::with_config(&format!("[prompt]\ntries = 3\n{PATIENT}"));
        let rounds = rounds(10, 500);
        let crowd = Crowd::enroll(&mut host, rounds.min(50));
        let wrong = crowd.app.wrong_code();
        let mut progress = Progress::of("charges", rounds);
        let (mut done, mut charged) = (0, 0);
        while done < rounds {
            crowd.refresh(&host);
            let script: Vec<_> = (1..=crowd.size)
                .map(|person| {
                    format!("user p{person}\nrestart\nbarrier\nanswer text {wrong}\nanswer text {wrong}\nanswer text {wrong}\nauthenticate\n")
                })
                .collect();
            let seen = host
                .player()
                .options(&["--parallel", &CHILDREN.to_string()])
                .play(&script.concat());
            assert_eq!(seen.code, Some(0), "{seen}");
            for person in 1..=crowd.size {
                let name = format!("p{person}");
                let bad = seen.events("MFA-2101");
                let bad = bad.iter().filter(|event| event.get("user") == name).count();
                let disabled = seen.events("MFA-2205");
                let disabled = disabled
                    .iter()
                    .filter(|event| event.get("user") == name)
                    .count();
                // 90 failures: short of the hundred that disable.
                assert_eq!((bad, disabled), (3 * CHILDREN, 0), "{name}\n{seen}");
                let state = host.state(&name);
                assert_eq!(number(&state, "in_row"), bad, "{name}\n{state}");
                charged += bad;
                done += 1;
            }
            progress.at(done);
        }
        tell(
            "races-10-charges",
            "Races: 30 logins at once with three wrong codes each",
            &[
                ("rounds", done.to_string()),
                ("lines MFA-2101", charged.to_string()),
                ("failures in the states", charged.to_string()),
            ],
        );
    });
}

#[test]
fn unlocking_while_guesses_come_in_gives_five_more_and_no_others() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 16;
        let mut host = PamHost::new();
        let rounds = rounds(5, 200);
        let crowd = Crowd::enroll(&mut host, 1);
        let wrong = crowd.app.wrong_code();
        let unlock = host.admin_command("user unlock p1");
        let mut progress = Progress::of("unlock", rounds);
        let (mut guesses, mut unlocked) = (0, 0);
        for round in 1..=rounds {
            crowd.refresh(&host);
            // The first child unlocks three times while the others guess.
            let turn = format!(
                "restart\nbarrier\nrun test %i != 1 || {unlock}\nanswer text {wrong}\nauthenticate\n"
            );
            let seen = host
                .player()
                .options(&["--parallel", &CHILDREN.to_string()])
                .play(&format!("user p1\n{}", turn.repeat(3)));
            assert_eq!(seen.code, Some(0), "{seen}");
            let evaluated = seen.events("MFA-2101").len();
            let times = seen
                .log
                .iter()
                .filter(|event| event.get("event") == "user_unlocked")
                .count();
            assert!(evaluated <= 5 * (times + 1), "{times} times\n{seen}");
            // What was charged since the last time stands in the state; nothing of before does.
            let state = host.state("p1");
            let (in_row, in_window) = (number(&state, "in_row"), number(&state, "in_window"));
            assert!(in_row == in_window && in_row <= 5, "{state}\n{seen}");
            assert!(evaluated >= in_row, "{state}\n{seen}");
            if evaluated < 5 * (times + 1) {
                // Then there is room for one more now.
                assert!(times > 0 || evaluated >= 5, "{seen}");
            }
            guesses += evaluated;
            unlocked += times;
            progress.at(round);
        }
        host.admin(&["user", "unlock", "p1"]).expect_success();
        assert_eq!(host.login("p1", &[&crowd.app.code()]).result(), SUCCESS);
        tell(
            "races-11-unlock",
            "Races: 48 guesses at once and `user unlock` between them, a limit of 5",
            &[
                ("rounds", rounds.to_string()),
                ("times that it unlocked", unlocked.to_string()),
                (
                    "guesses that were evaluated; at most five for each, and five",
                    guesses.to_string(),
                ),
            ],
        );
    });
}

#[test]
fn several_prompts_of_one_login_are_charged_one_by_one() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        let wrong = app.wrong_code();
        let mut evaluated = 0;
        for _ in 0..3 {
            let seen = host.play(&login_script("alice", &[&wrong, &wrong, &wrong]));
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            assert_eq!(
                seen.prompts().len(),
                3,
                "the throttle does not show\n{seen}"
            );
            evaluated += seen.events("MFA-2101").len();
        }
        assert_eq!(evaluated, 5);
    });
}

/// Holds every kind of lock on a file, until it is killed.
const HOLDER: &str = "
import fcntl, sys, time
file = open(sys.argv[1], 'r+b')
fcntl.flock(file, fcntl.LOCK_EX)
fcntl.lockf(file, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(60)
";

#[test]
fn a_state_that_somebody_holds_is_busy_after_five_seconds() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let mut holder = Command::new("python3")
            .args(["-c", HOLDER])
            .arg(host.state_path("alice"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut String::new())
            .unwrap();
        let before = Instant::now();
        let seen = host.login("alice", &[app.code_of(app.step())]);
        let taken = before.elapsed();
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        let line = seen.only("MFA-2206");
        assert!(
            line.text.contains(&holder.id().to_string()),
            "the holder, {}, is named\n{seen}",
            holder.id()
        );
        assert!((4..8).contains(&taken.as_secs()), "{taken:?}");
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(
            host.login("alice", &[app.code_of(app.step())]).result(),
            SUCCESS,
            "the code is still good"
        );
    });
}
