//! Many logins at once through the built module.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mfa_tests::pam_host::{AUTH_ERR, PROMPT, PamHost, SUCCESS, login_script};
use mfa_tests::{Authenticator, on_a_bare_host};

const PEOPLE: usize = 50;
const RUNS: usize = 20;
const GUESSES: usize = 64;

/// `p1`, `p2`, … as `pam_host --parallel` numbers its children, all with one secret, so that one code serves all.
fn crowd(host: &mut PamHost, count: usize) -> Authenticator {
    let app = Authenticator::new();
    let names: Vec<_> = (1..=count).map(|number| format!("p{number}")).collect();
    host.add_people(names.iter().cloned());
    for name in &names {
        host.enroll_app(name, &app);
    }
    app
}

#[test]
fn of_50_processes_with_the_same_right_code_one_gets_in() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        let app = crowd(&mut host, RUNS);
        for run in 1..=RUNS {
            // Held back at the open prompt, or before the first look at the store.
            let barrier = if run % 2 == 0 {
                "do barrier"
            } else {
                "barrier"
            };
            app.wait_for_room(4);
            let code = app.code_of(app.step());
            let script = format!("user p{run}\n{barrier}\nanswer text {code}\nauthenticate\n");
            let seen = host
                .player()
                .options(&["--parallel", &PEOPLE.to_string()])
                .play(&script);
            assert_eq!(seen.code, Some(0), "{seen}");
            assert_eq!(seen.count(SUCCESS), 1, "run {run}\n{seen}");
            assert_eq!(seen.count(AUTH_ERR), PEOPLE - 1, "run {run}\n{seen}");
            assert_eq!(seen.events("MFA-2001").len(), 1, "run {run}\n{seen}");
        }
    });
}

#[test]
fn fifty_people_with_right_codes_all_get_in_at_once() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        let app = crowd(&mut host, PEOPLE);
        app.wait_for_room(6);
        for (barrier, step) in [("do barrier", app.step()), ("barrier", app.step() + 1)] {
            let script = format!(
                "user p%i\n{barrier}\nanswer text {}\nauthenticate\n",
                app.code_of(step)
            );
            let seen = host
                .player()
                .options(&["--parallel", &PEOPLE.to_string()])
                .play(&script);
            assert_eq!(seen.code, Some(0), "{seen}");
            assert_eq!(seen.count(SUCCESS), PEOPLE, "{seen}");
            assert_eq!(seen.events("MFA-2001").len(), PEOPLE, "{seen}");
        }
    });
}

#[test]
fn of_64_guesses_at_once_5_are_evaluated() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let options = ["--parallel", &GUESSES.to_string()];
        let script = format!(
            "user alice\ndo barrier\nanswer text {}\nauthenticate\n",
            app.wrong_code()
        );
        let seen = host.player().options(&options).play(&script);
        assert_eq!(seen.code, Some(0), "{seen}");
        assert_eq!(seen.count(AUTH_ERR), GUESSES, "{seen}");
        assert_eq!(seen.prompts(), vec![PROMPT; GUESSES], "{seen}");
        assert_eq!(seen.events("MFA-2101").len(), 5, "{seen}");
        assert_eq!(seen.events("MFA-2201").len(), GUESSES - 5, "{seen}");
        let seen = host.login("alice", &[&app.code()]);
        assert_eq!(
            seen.result(),
            AUTH_ERR,
            "a right code is not evaluated either\n{seen}"
        );
        assert_eq!(seen.events("MFA-2201").len(), 1, "{seen}");
        host.admin(&["user", "unlock", "alice"]).expect_success();
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
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

#[test]
fn killed_at_any_moment_a_login_costs_the_next_one_nothing() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(
            "[prompt]\ntries = 1\n[throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n",
        );
        let app = host.enroll("alice");
        let wrong = app.wrong_code();
        let (mut killed, mut ended) = (0, 0);
        for number in 0..400 {
            if number % 50 == 0 {
                // Long before the 100 failures that disable her.
                host.admin(&["user", "unlock", "alice"]).expect_success();
            }
            // From before the first prompt to after the last line: a login takes about 3 ms here, its start another 3.
            let time = Duration::from_micros(1500 + number * 20);
            let answers = [if number % 4 == 3 {
                app.code_of(app.step())
            } else {
                wrong.clone()
            }];
            let seen = host
                .player()
                .killed_after(time)
                .play(&login_script("alice", &answers));
            if seen.code.is_none() {
                killed += 1;
            } else {
                ended += 1;
            }
        }
        assert!(
            killed > 20 && ended > 20,
            "the moments lie around a login: {killed} killed, {ended} ended"
        );
        assert_eq!(
            host.stored_files(),
            ["state/alice", "users/alice.toml"],
            "no file is left over"
        );
        let seen = host.login("alice", &[app.code_of(app.step() + 1)]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
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
