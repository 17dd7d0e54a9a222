//! Codes of apps: each is good once, and for everybody who has one.

use mfa_tests::pam_host::{AUTH_ERR, PamHost, SUCCESS};
use mfa_tests::proof::{rounds, tell};
use mfa_tests::{Authenticator, on_a_bare_host};
use std::fs;

use crate::{Crowd, PATIENT, Progress, count, rounds_of};

/// Logins of one round.
const PROCESSES: usize = 50;
/// Rounds in one run of `pam_host`: all of them within the time that one code is good.
const BATCH: usize = 50;

/// Rounds in which `PROCESSES` logins of one person meet, a person each; `answer` is what child `%i` answers.
fn meet(people: usize, barriers: [&str; 2], answer: &str) -> String {
    let rounds: Vec<_> = (1..=people)
        .map(|person| {
            // Held back at the open prompt, or before the first look at the store.
            let barrier = barriers[person % 2];
            format!("user p{person}\nrestart\n{barrier}\n{answer}\nauthenticate\n")
        })
        .collect();
    rounds.concat()
}

const BARRIERS: [&str; 2] = ["barrier", "do barrier"];

#[test]
fn of_50_processes_with_the_same_right_code_one_gets_in() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        let rounds = rounds(20, 4000);
        let crowd = Crowd::enroll(&mut host, rounds.min(BATCH));
        let processes = PROCESSES.to_string();
        let mut progress = Progress::of("the same code", rounds);
        let (mut done, mut accepted) = (0, 0);
        while done < rounds {
            crowd.refresh(&host);
            crowd.app.wait_for_room(2);
            let code = crowd.app.code_of(crowd.app.step());
            let script = meet(crowd.size, BARRIERS, &format!("answer text {code}"));
            let seen = host
                .player()
                .options(&["--parallel", &processes])
                .play(&script);
            assert_eq!(seen.code, Some(0), "{seen}");
            for results in rounds_of(&seen, PROCESSES) {
                assert_eq!(count(&results, SUCCESS), 1, "{seen}");
                assert_eq!(count(&results, AUTH_ERR), PROCESSES - 1, "{seen}");
                accepted += 1;
                done += 1;
            }
            assert_eq!(seen.events("MFA-2001").len(), crowd.size, "{seen}");
            progress.at(done);
        }
        tell(
            "races-01-same-code",
            "Races: one code, many logins",
            &[
                (
                    "rounds of 50 logins at once with the same right code",
                    done.to_string(),
                ),
                ("logins let in", accepted.to_string()),
            ],
        );
    });
}

#[test]
fn of_50_processes_with_the_same_recovery_code_one_gets_in() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("alice");
        let rounds = rounds(4, 500);
        let processes = PROCESSES.to_string();
        let mut progress = Progress::of("the same recovery code", rounds);
        let mut codes = Vec::new();
        for round in 0..rounds {
            if codes.is_empty() {
                codes = host.recovery_codes("alice");
            }
            let code = codes.pop().unwrap();
            host.admin(&["user", "unlock", "alice"]).expect_success();
            let barrier = BARRIERS[round % 2];
            let script = format!("user alice\n{barrier}\nanswer text {code}\nauthenticate\n");
            let seen = host
                .player()
                .options(&["--parallel", &processes])
                .play(&script);
            assert_eq!(seen.code, Some(0), "{seen}");
            assert_eq!(seen.count(SUCCESS), 1, "round {round}\n{seen}");
            assert_eq!(seen.count(AUTH_ERR), PROCESSES - 1, "round {round}\n{seen}");
            assert_eq!(seen.events("MFA-2002").len(), 1, "round {round}\n{seen}");
            // Five are looked at in a minute, and refused as used; the others not at all.
            assert_eq!(seen.events("MFA-2102").len(), 5, "round {round}\n{seen}");
            assert_eq!(
                seen.events("MFA-2201").len(),
                PROCESSES - 6,
                "round {round}\n{seen}"
            );
            progress.at(round + 1);
        }
        tell(
            "races-01-same-recovery-code",
            "Races: one recovery code, many logins",
            &[
                (
                    "rounds of 50 logins at once with the same recovery code",
                    rounds.to_string(),
                ),
                ("logins let in", rounds.to_string()),
            ],
        );
    });
}

#[test]
fn of_50_processes_with_the_same_code_of_a_token_one_gets_in() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(&format!("[prompt]\ntries = 1\n{PATIENT}"));
        let token = host.enroll_token("alice");
        let runs = rounds(4, 500);
        let mut progress = Progress::of("the same code of a token", runs);
        let mut resynchronised = 0;
        for run in 0..runs {
            let barrier = BARRIERS[run % 2];
            host.admin(&["user", "unlock", "alice"]).expect_success();
            if run % 4 > 1 {
                // The second of two codes that bring it back.
                token.press_often(20);
                assert_eq!(host.login("alice", &[token.press()]).result(), AUTH_ERR);
                resynchronised += 1;
            }
            let code = token.press();
            let script = format!("user alice\n{barrier}\nanswer text {code}\nauthenticate\n");
            let seen = host.play_at_once(PROCESSES, &script);
            assert_eq!(seen.count(SUCCESS), 1, "run {run}\n{seen}");
            assert_eq!(seen.count(AUTH_ERR), PROCESSES - 1, "run {run}\n{seen}");
            assert_eq!(seen.events("MFA-2001").len(), 1, "run {run}\n{seen}");
            assert_eq!(
                seen.events("MFA-2102").len(),
                PROCESSES - 1,
                "run {run}\n{seen}"
            );
            assert_eq!(seen.events("MFA-2004").len(), usize::from(run % 4 > 1));
            progress.at(run + 1);
        }
        tell(
            "races-01-same-token-code",
            "Races: one code of a token, many logins",
            &[
                ("rounds", runs.to_string()),
                (
                    "of them with a token out of step",
                    resynchronised.to_string(),
                ),
                ("processes a round", PROCESSES.to_string()),
                ("logins let in", runs.to_string()),
            ],
        );
    });
}

#[test]
fn of_the_codes_of_the_window_each_is_good_once_and_the_newest_always() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 12;
        let mut host = PamHost::with_config(&format!("[prompt]\ntries = 1\n{PATIENT}"));
        let rounds = rounds(20, 1000);
        let crowd = Crowd::enroll(&mut host, rounds.min(BATCH));
        let mut progress = Progress::of("three codes", rounds);
        let (mut done, mut accepted) = (0, 0);
        while done < rounds {
            crowd.refresh(&host);
            crowd.app.wait_for_room(12);
            let now = crowd.app.step();
            let codes = [now - 1, now, now + 1].map(|step| crowd.app.code_of(step));
            let [first, second, third] = &codes;
            let answer =
                format!("answer run set -- {first} {second} {third}; shift $((%i % 3)); echo $1");
            let script = meet(crowd.size, ["do barrier"; 2], &answer);
            let seen = host.play_at_once(CHILDREN, &script);
            for results in rounds_of(&seen, CHILDREN) {
                let of = |code: usize| -> usize {
                    let of_code = (1..=CHILDREN).filter(|child| child % 3 == code);
                    of_code
                        .filter(|child| results[child - 1] == SUCCESS)
                        .count()
                };
                assert!(of(0) <= 1 && of(1) <= 1, "{results:?}\n{seen}");
                assert_eq!(
                    of(2),
                    1,
                    "the newest is good whatever came before\n{results:?}\n{seen}"
                );
                accepted += count(&results, SUCCESS);
                done += 1;
            }
            progress.at(done);
        }
        tell(
            "races-02-window",
            "Races: the three codes of the window, four logins each",
            &[
                ("rounds", done.to_string()),
                (
                    "logins let in; never two with one code",
                    accepted.to_string(),
                ),
            ],
        );
    });
}

#[test]
fn fifty_people_with_right_codes_all_get_in_at_once() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        let crowd = Crowd::enroll(&mut host, PROCESSES);
        let rounds = rounds(6, 400);
        let mut progress = Progress::of("50 people", rounds);
        let (mut done, mut accepted) = (0, 0);
        while done < rounds {
            crowd.refresh(&host);
            if done % 2 == 0 {
                // Their states are yet to be made.
                for person in 1..=PROCESSES {
                    fs::remove_file(host.state_path(&format!("p{person}"))).unwrap();
                }
            }
            crowd.app.wait_for_room(4);
            let now = crowd.app.step();
            let both = [(BARRIERS[1], now), (BARRIERS[0], now + 1)].map(|(barrier, step)| {
                let code = crowd.app.code_of(step);
                format!("user p%i\nrestart\n{barrier}\nanswer text {code}\nauthenticate\n")
            });
            let seen = host.play_at_once(PROCESSES, &both.concat());
            assert_eq!(seen.count(SUCCESS), 2 * PROCESSES, "{seen}");
            assert_eq!(seen.events("MFA-2001").len(), 2 * PROCESSES, "{seen}");
            accepted += 2 * PROCESSES;
            done += 1;
            progress.at(done);
        }
        tell(
            "races-03-people",
            "Races: 50 people at once with right codes, twice a round, every other round without states",
            &[
                ("rounds", done.to_string()),
                ("logins", accepted.to_string()),
                ("let in", accepted.to_string()),
            ],
        );
    });
}

#[test]
fn one_state_is_made_by_the_first_logins_of_a_person_and_the_code_is_good_once() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 16;
        let mut host = PamHost::new();
        let rounds = rounds(20, 1500);
        let crowd = Crowd::enroll(&mut host, rounds.min(BATCH));
        let mut progress = Progress::of("no state yet", rounds);
        let mut done = 0;
        let files = host.stored_files();
        while done < rounds {
            for person in 1..=crowd.size {
                fs::remove_file(host.state_path(&format!("p{person}"))).unwrap();
            }
            crowd.app.wait_for_room(2);
            let code = crowd.app.code_of(crowd.app.step());
            let script = meet(crowd.size, BARRIERS, &format!("answer text {code}"));
            let seen = host.play_at_once(CHILDREN, &script);
            for results in rounds_of(&seen, CHILDREN) {
                assert_eq!(count(&results, SUCCESS), 1, "{seen}");
                done += 1;
            }
            assert_eq!(
                host.stored_files(),
                files,
                "one state each, and nothing else"
            );
            progress.at(done);
        }
        tell(
            "races-04-first-login",
            "Races: 16 logins at once of somebody without a state yet, one right code",
            &[
                ("rounds", done.to_string()),
                ("logins let in", done.to_string()),
            ],
        );
    });
}

#[test]
fn two_apps_of_one_person_are_good_once_each_at_once() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 16;
        let mut host = PamHost::with_config(&format!("[prompt]\ntries = 1\n{PATIENT}"));
        let rounds = rounds(10, 500);
        let crowd = Crowd::enroll(&mut host, rounds.min(BATCH));
        let tablet = Authenticator::new();
        for person in 1..=crowd.size {
            host.add_app(&format!("p{person}"), "tablet", &tablet);
        }
        let mut done = 0;
        while done < rounds {
            crowd.refresh(&host);
            crowd.app.wait_for_room(6);
            let (one, other) = (
                crowd.app.code_of(crowd.app.step()),
                tablet.code_of(tablet.step()),
            );
            let answer = format!("answer run test $((%i % 2)) = 0 && echo {one} || echo {other}");
            let script = meet(crowd.size, ["do barrier"; 2], &answer);
            let seen = host.play_at_once(CHILDREN, &script);
            for results in rounds_of(&seen, CHILDREN) {
                for parity in [0, 1] {
                    let of_app: Vec<_> = results.iter().copied().skip(parity).step_by(2).collect();
                    assert_eq!(count(&of_app, SUCCESS), 1, "{results:?}\n{seen}");
                }
                done += 1;
            }
        }
        tell(
            "races-05-two-apps",
            "Races: two apps of one person, eight logins with the code of each",
            &[
                ("rounds", done.to_string()),
                ("logins let in", (2 * done).to_string()),
            ],
        );
    });
}

#[test]
fn a_code_is_good_once_at_a_login_and_at_code_verify_together() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 8;
        let mut host = PamHost::new();
        let rounds = rounds(8, 400);
        let crowd = Crowd::enroll(&mut host, rounds.min(20));
        let mut progress = Progress::of("login and code verify", rounds);
        let verified = host.path("verified");
        let (mut done, mut by_login) = (0, 0);
        while done < rounds {
            crowd.refresh(&host);
            crowd.app.wait_for_room(2);
            let code = crowd.app.code_of(crowd.app.step());
            let script: Vec<_> = (1..=crowd.size)
                .map(|person| {
                    let verify = host.admin_command(&format!("code verify p{person}"));
                    let verify = format!(
                        "run if test $((%i % 2)) = 0; then echo {code} | {verify} && echo p{person} >>{}; fi; true",
                        verified.display()
                    );
                    // Every other child only logs in; the others verify meanwhile, and log in then.
                    format!("user p{person}\nrestart\nbarrier\n{verify}\ndo run test $((%i % 2)) = 0 || sleep 0.00%i\nanswer text {code}\nauthenticate\n")
                })
                .collect();
            fs::write(&verified, "").unwrap();
            let seen = host.play_at_once(CHILDREN, &script.concat());
            let verified = fs::read_to_string(&verified).unwrap();
            for (person, results) in (1..).zip(rounds_of(&seen, CHILDREN)) {
                let name = format!("p{person}");
                let verified = verified.lines().filter(|line| *line == name).count();
                assert_eq!(count(&results, SUCCESS) + verified, 1, "{name}\n{seen}");
                by_login += count(&results, SUCCESS);
                done += 1;
            }
            progress.at(done);
        }
        tell(
            "races-06-two-paths",
            "Races: one code at eight logins and four times at `code verify`, at once",
            &[
                ("rounds", done.to_string()),
                ("accepted by a login", by_login.to_string()),
                ("accepted by code verify", (done - by_login).to_string()),
            ],
        );
    });
}

#[test]
fn any_number_of_strangers_at_once_are_told_what_one_is_told() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        // The same name for half of them: one decoy; and one each for the others.
        let script = "user nobody-%i\ndo barrier\nanswer text 000000\nauthenticate\nuser nobody\nrestart\nbarrier\nanswer text 000000\nauthenticate\n";
        let seen = host.play_at_once(PROCESSES, script);
        assert_eq!(seen.count(AUTH_ERR), 2 * PROCESSES, "{seen}");
        assert_eq!(
            seen.events("MFA-2106").len(),
            2 * PROCESSES,
            "neither busy nor throttled\n{seen}"
        );
        assert_eq!(host.stored_files(), [""; 0]);
    });
}
