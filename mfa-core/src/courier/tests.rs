//! Documents as JSON, the courier's line, and a courier in the shape of a shell script.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;
use crate::secure_file::Owner;

fn document() -> Document {
    let mut document = Document::new(Kind::Code, new_id(), 1_795_168_800);
    document.user = "zo\u{eb} \"z\\\n\u{1b}".to_owned();
    document.to = "zoe@example.com".to_owned();
    document.reference = "K7QM".to_owned();
    document.code = zeroize::Zeroizing::new("482913".to_owned());
    document.lifetime = 300;
    document.addresses = vec!["203.0.113.7".to_owned(), String::new()];
    document.is_incomplete = true;
    document
}

#[test]
fn the_text_of_a_document_is_json_that_others_read() {
    let json = document().to_json();
    assert_eq!(json.lines().count(), 1);
    let seen = std::process::Command::new("python3")
        .args([
            "-c",
            "import json,sys; d=json.loads(sys.argv[1]); print(ascii(d['user']), d['ref'], d['lifetime'], d['addresses'], d['is_incomplete'], 'app' in d)",
            json.as_str(),
        ])
        .output();
    // Where there is no Python, the courier's own tests read it.
    if let Ok(seen) = seen {
        let seen = String::from_utf8(seen.stdout).unwrap();
        assert_eq!(
            seen.trim(),
            r#"'zo\xeb "z\\\n\x1b' K7QM 300 ['203.0.113.7', ''] True False"#
        );
    }
    assert!(!format!("{:?}", document()).contains("482913"));
}

#[test]
fn the_largest_values_fit_into_a_document() {
    let mut document = document();
    let long = "\u{1}".repeat(10_000);
    for value in [
        &mut document.user,
        &mut document.host,
        &mut document.device,
        &mut document.service,
        &mut document.from,
        &mut document.tty,
        &mut document.detail,
        &mut document.actor,
    ] {
        value.clone_from(&long);
    }
    assert!(document.to_json().len() < MAX_DOCUMENT);
}

#[test]
fn the_line_of_the_courier_tells_what_came_of_it() {
    let accepted = Report::parse("accepted smtp 250 OK id=1\n").unwrap();
    assert!(accepted.is_accepted && accepted.detail == "250 OK id=1");
    let failed =
        Report::parse("retry smtp timeout while connecting to mail.example.com:465").unwrap();
    assert_eq!(
        (
            failed.is_accepted,
            failed.reason.as_str(),
            failed.detail.as_str()
        ),
        (
            false,
            "timeout",
            "smtp: while connecting to mail.example.com:465"
        )
    );
    for line in ["", "accepted", "yes smtp x", "\u{0}"] {
        assert_eq!(Report::parse(line), None, "{line}");
    }
}

#[test]
fn references_are_four_characters_that_do_not_look_alike() {
    for _ in 0..100 {
        let reference = new_reference();
        assert_eq!(reference.len(), 4);
        assert!(!reference.contains(['0', 'O', '1', 'I']), "{reference}");
    }
    assert_ne!(new_id(), new_id());
}

/// A courier that is a shell script, and the folder that it lives in.
fn courier(script: &str) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("courier");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = format!(
        "version = 1\n[paths]\ncourier = {program:?}\nspool = \"{0}/spool\"",
        folder.path().display()
    );
    let config = Config::parse(text.as_bytes()).unwrap();
    let process = Process::new(
        &config,
        "/nowhere/mfa.toml".as_ref(),
        Owner::effective_user(),
    );
    (folder, process)
}

#[test]
fn a_courier_gets_the_document_an_empty_environment_and_no_descriptor_of_ours() {
    // Above standard error the shell itself has the script open, nothing else.
    let script = "read -r text; arguments=\"$# $1 $2 $3\"; cd /; set -- /proc/$$/fd/[3-9]; \
                  [ -e \"$1\" ] || set --; variables=$(env | grep -v '^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD='); \
                  echo \"accepted sh $arguments [$variables] [$*] ${#text}\"";
    let (_folder, mut process) = courier(script);
    let document = document();
    process.start(&document).unwrap();
    let report = process.wait(Duration::from_secs(10)).unwrap();
    let length = document.to_json().trim_end().len();
    assert_eq!(
        report.detail,
        format!("3 send --config /nowhere/mfa.toml [] [] {length}")
    );
    assert!(report.is_accepted);
}

#[test]
fn a_courier_that_never_ends_is_ended_with_all_that_it_started() {
    let script = "exec sh -c 'sleep 1000 & echo $$ $! > \"$0.pids\"; wait' \"$0\"";
    let (folder, mut process) = courier(script);
    process.start(&document()).unwrap();
    let pids = folder.path().join("courier.pids");
    let patience = Instant::now();
    while !pids.metadata().is_ok_and(|meta| meta.len() > 3) {
        assert!(patience.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(process.poll(), []);
    let (method, report) = process.finish().pop().unwrap();
    assert_eq!(method, Method::Email);
    assert_eq!(
        (report.is_accepted, report.reason.as_str()),
        (false, "ended")
    );
    for pid in std::fs::read_to_string(&pids).unwrap().split_whitespace() {
        // What has lost its parent is reaped by somebody else, a moment later.
        let is_there = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            status.is_ok_and(|status| !status.contains(") Z"))
        };
        while is_there() {
            assert!(patience.elapsed() < Duration::from_secs(10), "still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(process.finish(), []);
}

#[test]
fn what_came_of_a_delivery_is_told_once() {
    let (_folder, mut process) =
        courier("cat > /dev/null; echo 'refused smtp refused 550 no'; sleep 1000");
    process.start(&document()).unwrap();
    let patience = Instant::now();
    let report = loop {
        if let Some((_, report)) = process.poll().pop() {
            break report;
        }
        assert!(patience.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(report.reason, "refused");
    assert_eq!((process.poll(), process.finish()), (vec![], vec![]));
}

#[test]
fn a_courier_that_says_nothing_or_is_not_there_is_a_failure() {
    let (_folder, mut process) = courier("exit 0");
    process.start(&document()).unwrap();
    let report = process.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(
        (report.is_accepted, report.reason.as_str()),
        (false, "no_answer")
    );
    let (folder, mut process) = courier("");
    let program = folder.path().join("courier");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(
        process.start(&document()).unwrap_err().reason(),
        "no_courier"
    );
    std::fs::remove_file(&program).unwrap();
    let error = process.start(&document()).unwrap_err();
    assert!(
        error.to_string().ends_with("/courier: does not exist"),
        "{error}"
    );
}
