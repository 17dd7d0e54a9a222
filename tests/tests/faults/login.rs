//! Logins with each of their system calls failing in turn, and killed at each.
//!
//! First the login is listed by strace: every call between the beginning of a hook and its end is one. Then it is run
//! once for every call and blow, and looked at: PAM's answer was a refusal, or right; the state says what was true before,
//! or after one of the answers; no file is left over; the process is as it was (`pam_host --check`). Then the
//! same code is tried again, twice, and the next one, without a fault: a code lets in once in all, also where the
//! login that used it was killed, and the next one lets in.

use std::collections::BTreeSet;

use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, Event, PERM_DENIED, SUCCESS, Seen, UNAVAIL};
use mfa_tests::{on_a_bare_host, proof};

use crate::aftermath::{HALF_MADE, KEPT_OUT, Login, REFUSED, RIGHT, clean_meanings, look_after};
use crate::crew::{Tally, WORKERS, share};
use crate::scenes::{SCENES, Scene, Truth};
use crate::stage::{Stage, enrolled_host};
use crate::strace::{self, Blow, Fault, WRITES, error_by_turns, errors, lasting_error_by_turns};
use crate::ways_in::{self, WAYS_IN};

const FAILED: &str = "system calls failed, one at a time";
const FAILED_ON: &str = "system calls failed, with all of their name that followed";
const KILLED: &str = "logins killed, one at each system call";
const LET_IN: &str = "of these logins: let in, rightly";
const MEMORY: &str = "of these logins: host ended by a failed allocation";
const MISSED: &str = "faults whose call was not made that time";

#[test]
fn a_login_survives_each_failing_call_and_each_kill() {
    on_a_bare_host(|_| run_scenes(SCENES, (8, &[]), ("faults-login", "Faults in a login")));
}

#[test]
fn another_way_in_survives_each_failing_call_and_each_kill() {
    let what = (
        "faults-ways-in",
        "Faults in logins with passphrases, bypasses, bound keys and the emergency code",
    );
    on_a_bare_host(|_| run_scenes(WAYS_IN, (32, &WRITES), what));
}

/// In the short form every so-many-th call of a login is struck, and all of these names.
fn run_scenes(
    scenes: &'static [Scene],
    taken: (usize, &[&str]),
    (key, title): (&'static str, &str),
) {
    let tally = Tally::default();
    for scene in scenes {
        run_scene(scene, taken, &tally);
    }
    tally.expect_no_findings();
    let missed = tally.count(MISSED);
    let all = tally.count(FAILED) + tally.count(FAILED_ON) + tally.count(KILLED);
    assert!(
        missed * 100 <= all,
        "{missed} of {all} faults came to nothing"
    );
    proof::tell(
        key,
        title,
        &tally.rows(&[
            FAILED, FAILED_ON, KILLED, LET_IN, MEMORY, MISSED, HALF_MADE, REFUSED, RIGHT, KEPT_OUT,
        ]),
    );
}

fn run_scene(scene: &Scene, taken: (usize, &[&str]), tally: &Tally) {
    let (host, app) = enrolled_host(scene);
    let mut stage = Stage::new(scene, &host, &app);
    let meanings = if scene.truth == Truth::Emergency {
        BTreeSet::new()
    } else {
        clean_meanings(&mut stage)
    };
    let faults = faults_of(&mut stage, taken);
    share(
        scene.title,
        &faults,
        (0..WORKERS)
            .map(|_| Stage::new(scene, &host, &app))
            .collect(),
        tally,
        |stage, fault| round(stage, fault, &meanings, tally),
    );
}

/// Every call of a hook with everything that is to happen there; in the short form some, but for the two logins that there
/// are most of.
fn faults_of(stage: &mut Stage<'_>, (stride, always): (usize, &[&str])) -> Vec<Fault> {
    let is_main = ["right", "wrong"].contains(&stage.scene.key);
    let stride = proof::rounds(if is_main { 1 } else { stride }, 1);
    let mut faults = Vec::new();
    let calls = calls_in_hooks(&list(stage, true));
    let calls = calls.into_iter().enumerate();
    let is_taken =
        |place: usize, call: &str| place.is_multiple_of(stride) || always.contains(&call);
    for (place, (call, nth)) in calls.filter(|(place, (call, _))| is_taken(*place, call)) {
        let mut blows = vec![Blow::Kill];
        if proof::is_long() {
            blows.extend(errors(&call).iter().map(|error| Blow::Error(error)));
        } else {
            blows.extend(error_by_turns(&call, place / stride).map(Blow::Error));
        }
        faults.extend(blows.into_iter().map(|blow| Fault {
            call: call.clone(),
            nth,
            blow,
        }));
    }
    let calls = calls_between_names(&list(stage, false));
    for (place, (call, nth)) in calls
        .into_iter()
        .enumerate()
        .step_by(proof::rounds(2 * stride, 1))
    {
        let error = lasting_error_by_turns(&call, place);
        faults.extend(error.map(|error| Fault {
            call,
            nth,
            blow: Blow::ErrorFromHere(error),
        }));
    }
    faults
}

/// All calls of a login without a fault; with those of `--check`, or not.
fn list(stage: &mut Stage<'_>, is_checked: bool) -> Vec<strace::Call> {
    let through = strace::list_all(&stage.list, false);
    let (_, seen) = play(stage, &through, is_checked);
    check_clean(stage.scene, &seen);
    strace::calls(&stage.list)
}

/// Plays the scene from its beginning, through another program; what was answered, and what was seen.
fn play(stage: &mut Stage<'_>, through: &[String], is_checked: bool) -> (Vec<String>, Seen) {
    stage.begin();
    let answers = stage.answers();
    let mut calls = vec!["getuser"];
    calls.extend(stage.scene.hooks);
    calls.push("getuser");
    let script = stage.script(&answers, &calls);
    let options: &[&str] = if is_checked { &["--check"] } else { &[] };
    let player = stage.host.player().service(stage.scene.service);
    let player = player.options(options).through(through);
    (answers, player.play(&script))
}

type Names = Vec<(String, usize)>;

fn check_clean(scene: &Scene, seen: &Seen) {
    let results = seen.results();
    assert_eq!(results.len(), scene.hooks.len(), "{seen}");
    assert_eq!(
        results[0],
        if scene.may_let_in() {
            SUCCESS
        } else {
            AUTH_ERR
        },
        "{}\n{seen}",
        scene.title
    );
    assert!(seen.starting("CHANGED").is_empty(), "{seen}");
}

/// Names and numbers of the calls inside of hooks: `--check` ends its first look at the process with waitid(2), and
/// begins the second one with /proc/self/status. What the host itself writes is its own.
fn calls_in_hooks(calls: &[strace::Call]) -> Names {
    let (mut is_inside, mut is_looking_back) = (false, false);
    let mut found = Vec::new();
    for call in calls {
        if is_inside && call.line.contains("\"/proc/self/status\"") {
            (is_inside, is_looking_back) = (false, true);
        } else if call.name == "waitid" {
            is_inside = !is_looking_back;
            is_looking_back = false;
        } else if is_inside && !call.line.starts_with("write(1,") {
            found.push((call.name.clone(), call.nth));
        }
    }
    found
}

/// Names and numbers of the calls between the two lines that `getuser` writes.
fn calls_between_names(calls: &[strace::Call]) -> Names {
    let is_name = |call: &&strace::Call| call.line.starts_with("write(1, \"USER ");
    let mut names = calls.iter().filter(is_name);
    assert!(names.next().is_some() && names.next().is_some());
    let inside = calls.iter().skip_while(|call| !is_name(call)).skip(1);
    let inside = inside.take_while(|call| !is_name(call));
    // Where the host can't write any more, nobody sees what comes of the login.
    let inside = inside.filter(|call| call.name != "write");
    inside.map(|call| (call.name.clone(), call.nth)).collect()
}

fn round(
    stage: &mut Stage<'_>,
    fault: &Fault,
    meanings: &BTreeSet<String>,
    tally: &Tally,
) -> Result<(), String> {
    let through = fault.strace(&stage.list, !stage.scene.starts_program);
    // Calls that fail on would fail the second look at the process as well.
    let is_checked = !matches!(fault.blow, Blow::ErrorFromHere(_));
    let (answers, seen) = play(stage, &through, is_checked);
    tally.add(
        match fault.blow {
            Blow::Error(_) => FAILED,
            Blow::ErrorFromHere(_) => FAILED_ON,
            Blow::Kill => KILLED,
        },
        1,
    );
    if !fault.has_struck(&stage.list) {
        tally.add(MISSED, 1);
    }
    let looked = look_at(stage.scene, fault, &seen, tally, &stage.list);
    let after = looked.and_then(|has_let_in| {
        let may_be_cut_short = fault.is_kill() || fault.call == "unlinkat";
        let login = Login {
            answers: &answers,
            has_let_in,
            may_be_cut_short,
            may_be_torn: false,
            may_be_done_unsaid: fault.is_kill()
                || is_after_the_deed(fault)
                || speaks(fault)
                || seen.log.iter().any(is_of_audit),
        };
        if stage.scene.truth == Truth::Emergency {
            ways_in::look_after_an_emergency(stage, &login, &seen)
        } else {
            look_after(stage, &login, meanings, tally)
        }
    });
    after.map_err(|what| format!("{fault}\n{what}\n{seen}"))
}

/// Whether it is a call by which lines are written.
fn speaks(fault: &Fault) -> bool {
    matches!(fault.call.as_str(), "sendto" | "connect" | "socket")
}

/// Whether it is a call at which nothing can be taken back any more: what was written is brought to the disk, and signals and
/// uids are put back. Such a login is refused.
fn is_after_the_deed(fault: &Fault) -> bool {
    let calls = ["fsync", "fdatasync", "rt_sigprocmask", "setresuid"];
    calls.contains(&fault.call.as_str())
}

/// What libpam says where it can't tell the kernel's audit of a result.
fn is_of_audit(event: &Event) -> bool {
    event.text.starts_with("PAM audit_")
}

/// Looks at the login itself; whether it has let in.
fn look_at(
    scene: &Scene,
    fault: &Fault,
    seen: &Seen,
    tally: &Tally,
    list: &std::path::Path,
) -> Result<bool, String> {
    let speaks = speaks(fault);
    let mut has_let_in = false;
    for line in seen.lines.iter().filter(|line| line.starts_with("RESULT ")) {
        let words: Vec<_> = line.split(' ').collect();
        let (hook, result) = (words[1], words[3]);
        let is_fine = match (hook, result) {
            ("authenticate" | "acct_mgmt" | "chauthtok", SUCCESS) => scene.may_let_in(),
            ("authenticate", AUTH_ERR | CONV_ERR | UNAVAIL)
            | ("chauthtok", AUTH_ERR | CONV_ERR | "PAM_AUTHTOK_ERR" | "PAM_TRY_AGAIN")
            | ("acct_mgmt", PERM_DENIED | UNAVAIL)
            | ("open_session", SUCCESS) => true,
            // libpam's own, where it can't tell the kernel's audit of a result; it says so where it can.
            (_, "PAM_SYSTEM_ERR") => speaks || seen.log.iter().any(is_of_audit),
            _ => false,
        };
        if !is_fine {
            return Err(format!("{line} is no answer to that"));
        }
        has_let_in |= (hook, result) == (scene.hooks[0], SUCCESS);
    }
    if has_let_in {
        tally.add(LET_IN, 1);
    }
    let lines = ["MFA-2001", "MFA-2002", "MFA-2005", "MFA-2009", "MFA-3062"];
    let lines = lines.map(|id| seen.events(id).len());
    if has_let_in && !speaks && lines.iter().sum::<usize>() != 1 {
        return Err("let in without a line".to_owned());
    }
    match strace::ended_by(list) {
        Some(signal) if fault.is_kill() && signal == "SIGKILL" => return Ok(has_let_in),
        Some(signal) if fault.is_of_memory() && signal == "SIGABRT" => {
            tally.add(MEMORY, 1);
            return Ok(has_let_in);
        }
        Some(signal) => return Err(format!("ended by {signal}")),
        None if seen.results().len() != scene.hooks.len() => {
            return Err("a hook has no result".to_owned());
        }
        None => {}
    }
    if !has_let_in && !speaks && seen.ids().iter().all(|&id| id == "MFA-1004") {
        return Err("refused without a line".to_owned());
    }
    let may_change = |line: &str| match fault.call.as_str() {
        // Which was then not closed.
        "close" => line.contains(" fd "),
        "rt_sigprocmask" => line.contains("SigBlk") || line.contains("ShdPnd"),
        "wait4" => line.contains(" children:"),
        // glibc has opened its socket to /dev/log anew.
        "sendto" => line.contains(" fd 3:"),
        _ => false,
    };
    match seen
        .starting("CHANGED")
        .into_iter()
        .find(|line| !may_change(line))
    {
        Some(line) => Err(line.to_owned()),
        None => Ok(has_let_in),
    }
}
