//! The interleavings that matter, forced: strace has one process stand still at a system call while another one does all of
//! its work.

use std::fs;
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, PERM_DENIED, PamHost, SUCCESS, Seen, login_script};

use crate::guesses::number;
use crate::sent_codes::{ask, host_that_sends, keep_code, kept_code};

const LOG: &str = "/run/strace.log";
const DONE: &str = "/run/done";
/// How long a process stands still, in microseconds: many times as long as what is done meanwhile.
const STILL: u32 = 1_000_000;

/// What begins a traced command: it stands still as it enters `call`, or as it leaves it with `call:delay_exit`.
fn still_at(call: &str) -> String {
    let calls = "openat,flock,pwrite64,fdatasync,fsync,linkat,renameat";
    let _ = fs::remove_file(LOG);
    let _ = fs::remove_file(DONE);
    let call = if call.contains(':') {
        call.to_owned()
    } else {
        format!("{call}:delay_enter")
    };
    format!("strace -q -o {LOG} -e trace={calls} -e inject={call}={STILL}")
}

/// A `do` of a script: once the traced process has made a call like `pattern` so many times, `command` is run beside it.
fn meanwhile(pattern: &str, times: usize, command: &str) -> String {
    let reached = format!("test $(grep -c '{pattern}' {LOG}) -ge {times}");
    format!(
        "do run (until {reached}; do sleep 0.01; done; {command}; echo $? >{DONE}) >/dev/null 2>&1 </dev/null &\n"
    )
}

fn wait_for_done() {
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_to_string(DONE).unwrap_or_default() != "0\n" {
        assert!(Instant::now() < deadline, "{:?}", fs::read_to_string(DONE));
        sleep(Duration::from_millis(5));
    }
}

/// A login that stands still at `call`; meanwhile `deed`, then what of the log tells the order.
fn login_standing_still(host: &PamHost, call: &str, script: &str) -> Seen {
    let seen = host
        .player()
        .before(&format!("set -- {} \"$@\"", still_at(call)))
        .play(script);
    if script.contains(DONE) {
        wait_for_done();
    }
    seen
}

/// The places of the lines of two events.
fn order(seen: &Seen, first: &str, second: &str) -> bool {
    let at = |event: &str| seen.log.iter().position(|line| line.get("event") == event);
    let (first, second) = (at(first), at(second));
    assert!(first.is_some() && second.is_some(), "{seen}");
    first < second
}

#[test]
fn who_is_suspended_before_the_state_is_locked_stays_out() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        app.wait_for_room(6);
        let suspend = host.admin_command("user suspend alice --reason left");
        let script = format!(
            "user alice\n{}answer text {}\nauthenticate\n",
            meanwhile("\"alice\", O_RDWR", 1, &suspend),
            app.code()
        );
        let seen = login_standing_still(&host, "flock", &script);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert!(order(&seen, "user_suspended", "suspended"), "{seen}");
        assert!(seen.events("MFA-2001").is_empty(), "{seen}");
    });
}

#[test]
fn who_is_suspended_while_a_code_is_being_committed_stays_out_at_the_next_hook() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        app.wait_for_room(10);
        let suspend = host.admin_command("user suspend alice --reason left");
        for call in ["pwrite64", "fdatasync"] {
            host.admin(&["user", "resume", "alice"]).expect_success();
            // The record has been read for the second time, and said yes.
            let script = format!(
                "user alice\n{}answer text {}\nauthenticate\nrun until test -s {DONE}; do sleep 0.01; done\nacct_mgmt\n",
                meanwhile("\"alice.toml\"", 2, &suspend),
                app.code()
            );
            let seen = login_standing_still(&host, call, &script);
            // The answer was given before; whatever comes after obeys.
            assert_eq!(seen.results(), [SUCCESS, PERM_DENIED], "{seen}");
            assert!(order(&seen, "user_suspended", "accepted"), "{call}\n{seen}");
            let seen = host.login("alice", &[app.code()]);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        }
    });
}

#[test]
fn a_second_login_waits_for_the_first_ones_commit_and_finds_the_code_used() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        for call in ["flock:delay_exit", "pwrite64", "fdatasync"] {
            app.wait_for_room(8);
            let code = app.code_of(app.step());
            host.admin(&["state", "reset", "alice", "--yes"])
                .expect_success();
            let first = still_at(call);
            let (slow, quick) = scope(|both| {
                let slow = both.spawn(|| {
                    host.player()
                        .before(&format!("set -- {first} \"$@\""))
                        .play(&login_script("alice", &[&code]))
                });
                // Once the first one holds the lock.
                let quick = host.play(&format!(
                    "user alice\ndo run until grep -q 'flock.*) *= 0' {LOG}; do sleep 0.01; done\n\
                     answer text {code}\nauthenticate\n"
                ));
                (slow.join().unwrap(), quick)
            });
            assert_eq!(slow.result(), SUCCESS, "{call}\n{slow}");
            assert_eq!(quick.result(), AUTH_ERR, "{call}\n{quick}");
            assert_eq!(quick.events("MFA-2102").len(), 1, "{call}\n{quick}");
            let log = fs::read_to_string(LOG).unwrap();
            assert!(
                log.contains("pwrite64") && log.contains("fdatasync"),
                "{log}"
            );
            let state = host.state("alice");
            assert_eq!(number(&state, "in_row"), 1, "{state}");
        }
    });
}

#[test]
fn a_login_that_comes_second_to_make_a_state_takes_the_first_ones() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        app.wait_for_room(8);
        let code = app.code_of(app.step());
        fs::remove_file(host.state_path("alice")).unwrap();
        let first = still_at("linkat");
        let (slow, quick) = scope(|both| {
            let slow = both.spawn(|| {
                host.player()
                    .before(&format!("set -- {first} \"$@\""))
                    .play(&login_script("alice", &[&code]))
            });
            let quick = host.play(&format!(
                "user alice\ndo run until grep -q O_TMPFILE {LOG}; do sleep 0.01; done\nanswer text {code}\nauthenticate\n"
            ));
            (slow.join().unwrap(), quick)
        });
        assert_eq!(slow.result(), SUCCESS, "{slow}");
        assert_eq!(quick.result(), AUTH_ERR, "{quick}");
        assert_eq!(quick.events("MFA-2102").len(), 1, "{quick}");
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
    });
}

#[test]
fn a_user_who_is_removed_at_any_moment_of_a_login_leaves_nothing() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let remove = host.admin_command("user remove alice --yes");
        for (call, pattern, times, is_new) in [
            ("flock", "\"alice\", O_RDWR", 1, false),
            ("flock:delay_exit", "\"alice\", O_RDWR", 1, false),
            ("pwrite64", "\"alice.toml\"", 2, false),
            ("linkat", "O_TMPFILE", 1, true),
            ("fdatasync", "linkat", 1, true),
        ] {
            let app = host.enroll("alice");
            app.wait_for_room(6);
            if is_new {
                fs::remove_file(host.state_path("alice")).unwrap();
            }
            let script = format!(
                "user alice\n{}answer text {}\nauthenticate\nrun until test -s {DONE}; do sleep 0.01; done\nacct_mgmt\n",
                meanwhile(pattern, times, &remove),
                app.code()
            );
            let seen = login_standing_still(&host, call, &script);
            let [authenticated, account] = seen.results()[..] else {
                panic!("{seen}");
            };
            // Where the record had said yes before it was removed, the login was decided before.
            let is_before = call == "pwrite64" || is_new && authenticated == SUCCESS;
            let expected = if is_before { SUCCESS } else { AUTH_ERR };
            assert_eq!(
                (authenticated, account),
                (expected, PERM_DENIED),
                "{call}\n{seen}"
            );
            assert_eq!(host.stored_files(), [""; 0], "{call} {pattern}\n{seen}");
        }
    });
}

#[test]
fn an_edit_waits_for_the_one_before_and_both_are_kept() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.enroll("alice");
        for (number, call) in (1..).zip(["fsync", "renameat"]) {
            let ids = [format!("{number:031x}1"), format!("{number:031x}2")];
            let [first, second] = ids
                .each_ref()
                .map(|id| host.admin_command(&format!("device assign alice {id}")));
            let first = format!("{} {first}", still_at(call));
            scope(|both| {
                let slow = both.spawn(|| crate::shell(&first).status().unwrap());
                let wait = format!("until grep -q 'flock.*) *= 0' {LOG}; do sleep 0.01; done");
                let quick = crate::shell(&format!("{wait}; {second}")).status().unwrap();
                assert!(quick.success() && slow.join().unwrap().success(), "{call}");
            });
            let record = fs::read_to_string(host.record_path("alice")).unwrap();
            for id in &ids {
                assert!(record.contains(id), "{call}: {id} is lost\n{record}");
            }
        }
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
    });
}

#[test]
fn an_edit_while_a_record_is_sealed_anew_is_kept() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let id = format!("{:031x}1", 1);
        let edit = host.admin_command(&format!("device assign alice {id}"));
        // The record was read for the second time (the first one tells whether the key is the store's), and is yet to be
        // locked: locked and unlocked were the verb, both keys, and the list.
        let rotation = format!(
            "{} {}",
            still_at("flock:when=6:delay_enter"),
            host.admin_command("seal rotate")
        );
        scope(|both| {
            let slow = both.spawn(|| crate::shell(&rotation).status().unwrap());
            let wait = format!(
                "until [ $(grep -c 'openat.*\"alice.toml\"' {LOG}) -ge 2 ]; do sleep 0.01; done"
            );
            let quick = crate::shell(&format!("{wait}; {edit}")).status().unwrap();
            assert!(quick.success() && slow.join().unwrap().success());
        });
        let log = fs::read_to_string(LOG).unwrap();
        let second = log.match_indices("\"alice.toml\"").nth(1).unwrap();
        let (before, _) = log.split_at(second.0);
        assert_eq!(before.matches("flock(").count(), 5, "{log}");
        let record = fs::read_to_string(host.record_path("alice")).unwrap();
        assert!(record.contains(&id), "{record}");
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn unlocking_and_guessing_take_turns() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let unlock = host.admin_command("user unlock alice");
        let wrong = app.wrong_code();
        host.login("alice", &[&wrong]);
        // A guess is being charged: unlocking comes after it, and clears it.
        let script = format!(
            "user alice\n{}answer text {wrong}\nauthenticate\n",
            meanwhile("pwrite64", 1, &unlock)
        );
        let seen = login_standing_still(&host, "fdatasync", &script);
        assert_eq!(seen.events("MFA-2101").len(), 1, "{seen}");
        assert_eq!(number(&host.state("alice"), "in_row"), 0);
        // Being unlocked: a guess comes after it, and is charged.
        host.login("alice", &[&wrong]);
        let slow = format!("{} {unlock}", still_at("fdatasync"));
        scope(|both| {
            let slow = both.spawn(|| crate::shell(&slow).status().unwrap());
            let seen = host.play(&format!(
                "user alice\ndo run until grep -q pwrite64 {LOG}; do sleep 0.01; done\nanswer text {wrong}\nauthenticate\n"
            ));
            assert_eq!(seen.events("MFA-2101").len(), 1, "{seen}");
            assert!(slow.join().unwrap().success());
        });
        assert_eq!(number(&host.state("alice"), "in_row"), 1);
    });
}

#[test]
fn an_old_code_is_void_as_soon_as_a_new_one_is_being_made_and_used_as_soon_as_it_is_being_accepted()
{
    on_a_bare_host(|_| {
        let host = host_that_sends(1, "");
        let from_here = "user p1\nset rhost 203.0.113.7\n";
        let ask_still = format!(
            "{from_here}answer text \ndo run {}\nanswer convfail\nauthenticate\n",
            keep_code("p1")
        );
        let wait = format!("do run until grep -q pwrite64 {LOG}; do sleep 0.01; done\n");
        for asks_first in [true, false] {
            host.play(&ask("p1"));
            let old = kept_code("p1");
            let use_old = format!("{from_here}answer text {old}\nauthenticate\n");
            let (first, second) = if asks_first {
                (
                    ask_still.clone(),
                    use_old.replace("answer", &format!("{wait}answer")),
                )
            } else {
                (
                    use_old,
                    ask_still.replacen("answer", &format!("{wait}answer"), 1),
                )
            };
            let trace = still_at("fdatasync");
            let (first, second) = scope(|both| {
                let slow = both.spawn(|| {
                    host.player()
                        .before(&format!("set -- {trace} \"$@\""))
                        .play(&first)
                });
                let quick = host.play(&second);
                (slow.join().unwrap(), quick)
            });
            let (asked, used) = if asks_first {
                (&first, &second)
            } else {
                (&second, &first)
            };
            assert_eq!(asked.result(), CONV_ERR, "{asked}");
            let expected = if asks_first { AUTH_ERR } else { SUCCESS };
            assert_eq!(used.result(), expected, "{used}");
            // Either way the new one is good.
            let new = kept_code("p1");
            let seen = host.play(&format!("{from_here}answer text {new}\nauthenticate\n"));
            assert_eq!(seen.result(), SUCCESS, "{seen}");
        }
        assert!(Path::new(LOG).exists());
    });
}

#[test]
fn twenty_logins_that_all_linger_at_one_place_still_use_a_code_once() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 20;
        let host = PamHost::new();
        let app = host.enroll("alice");
        // Each place of a transaction in turn: before and after the lock, the look at the name, the record, the write.
        for call in [
            "flock:delay_enter",
            "flock:delay_exit",
            "newfstatat:delay_exit",
            "openat:delay_exit",
            "pwrite64:delay_enter",
            "fdatasync:delay_enter",
            "fdatasync:delay_exit",
        ] {
            host.admin(&["state", "reset", "alice", "--yes"])
                .expect_success();
            app.wait_for_room(4);
            let code = app.code_of(app.step());
            let linger = format!(
                "strace -f -q -o /dev/null -e trace=flock,newfstatat,openat,pwrite64,fdatasync -e inject={call}=2000"
            );
            let seen = host
                .player()
                .before(&format!("set -- {linger} \"$@\""))
                .options(&["--parallel", &CHILDREN.to_string()])
                .play(&format!(
                    "user alice\ndo barrier\nanswer text {code}\nauthenticate\n"
                ));
            assert_eq!(seen.code, Some(0), "{call}\n{seen}");
            assert_eq!(seen.count(SUCCESS), 1, "{call}\n{seen}");
            assert_eq!(seen.count(AUTH_ERR), CHILDREN - 1, "{call}\n{seen}");
        }
    });
}
