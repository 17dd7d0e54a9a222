//! systemd-creds, which opens a bound sealing key for a login, with each of its own system calls failing in turn, and killed at
//! each: it opens the key all the same, or nobody is asked for a code, and a line says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use mfa_tests::pam_host::{SUCCESS, Seen, UNAVAIL};
use mfa_tests::{on_a_bare_host, proof};

use crate::aftermath::{Login, REFUSED, RIGHT, clean_meanings, look_after};
use crate::crew::{Tally, share};
use crate::program::faults;
use crate::stage::{Stage, enrolled_host};
use crate::strace::{Fault, calls, list_all};
use crate::ways_in::WAYS_IN;

const STRUCK: &str = "system calls of systemd-creds failed, or killed it";
const LET_IN: &str = "of these logins: let in, rightly";

const CREDS: &str = "/usr/bin/systemd-creds";
/// Systemd's own, on this test's host.
const ASIDE: &str = "/run/creds";

#[test]
fn a_login_is_right_or_refused_whatever_systemd_creds_fails_at() {
    on_a_bare_host(|_| {
        let tally = Tally::default();
        let scene = WAYS_IN.iter().find(|scene| scene.key == "bound").unwrap();
        let (host, app) = enrolled_host(scene);
        let mut stage = Stage::new(scene, &host, &app);
        let meanings = clean_meanings(&mut stage);
        fs::copy(CREDS, ASIDE).unwrap();
        stand_in(&list_all(&stage.list, false));
        let (_, seen) = log_in(&mut stage);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let all = calls(&stage.list);
        let ours: Vec<_> = all
            .into_iter()
            .filter(|call| call.name != "execve" && !call.name.starts_with("exit"))
            .collect();
        assert!(ours.len() > 50, "{} calls open no credential", ours.len());
        let jobs = faults(&ours, (0, 16));
        // One place: there is one systemd-creds.
        share(
            "systemd-creds",
            &jobs,
            vec![stage],
            &tally,
            |stage, fault| round(stage, fault, &meanings, &tally),
        );
        tally.expect_no_findings();
        assert!(tally.count(LET_IN) < tally.count(STRUCK));
        proof::tell(
            "faults-creds",
            "Faults in systemd-creds, during a login",
            &tally.rows(&[STRUCK, LET_IN, REFUSED, RIGHT]),
        );
    });
}

/// Has systemd-creds run by another program.
fn stand_in(through: &[String]) {
    let line = through.join(" ");
    let script = format!("#!/bin/sh\nexec /usr/bin/{line} {ASIDE} \"$@\"\n");
    put(script.as_bytes());
}

fn put(bytes: &[u8]) {
    // Another file each time: one that is run can't be written.
    let new = Path::new("/usr/bin/systemd-creds.new");
    fs::write(new, bytes).unwrap();
    let status = Command::new("chmod").arg("755").arg(new).status().unwrap();
    assert!(status.success());
    fs::rename(new, CREDS).unwrap();
}

fn log_in(stage: &mut Stage<'_>) -> (Vec<String>, Seen) {
    stage.begin();
    let answers = stage.answers();
    let script = stage.script(&answers, &["authenticate", "forget"]);
    let seen = stage.host.player().options(&["--check"]).play(&script);
    (answers, seen)
}

fn round(
    stage: &mut Stage<'_>,
    fault: &Fault,
    meanings: &BTreeSet<String>,
    tally: &Tally,
) -> Result<(), String> {
    // Its preparation may make a credential.
    put(&fs::read(ASIDE).unwrap());
    stage.begin();
    stand_in(&fault.strace(&stage.list, false));
    let (answers, seen) = log_in(stage);
    put(&fs::read(ASIDE).unwrap());
    tally.add(STRUCK, 1);
    let has_let_in = seen.sole_result() == SUCCESS;
    let is_fine = match seen.sole_result() {
        SUCCESS => true,
        UNAVAIL => {
            let lines = seen.events("MFA-4001");
            seen.prompts().is_empty() && lines.len() == 1
        }
        _ => false,
    };
    if !is_fine || !seen.starting("CHANGED").is_empty() {
        return Err(format!("{fault}\n{seen}"));
    }
    tally.add(LET_IN, usize::from(has_let_in));
    let login = Login {
        answers: &answers,
        has_let_in,
        may_be_cut_short: false,
        may_be_torn: false,
        may_be_done_unsaid: false,
    };
    look_after(stage, &login, meanings, tally).map_err(|what| format!("{fault}\n{what}\n{seen}"))
}
