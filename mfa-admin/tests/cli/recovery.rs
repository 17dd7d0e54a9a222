//! Recovery codes: making them, and what is said of them.

use std::process::{Command, Stdio};

use crate::host::{Host, PROGRAM, Run, assert_fits, code, finish, needs_root, wrong_code};

/// The codes on a page.
fn codes(page: &str) -> Vec<String> {
    let codes = page.lines().filter_map(|line| line.strip_prefix("    "));
    codes.map(str::to_owned).collect()
}

/// A text as if it had one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn generate(host: &Host) -> Vec<String> {
    codes(&host.run("recovery generate daemon --yes").expect(0).out)
}

#[test]
fn ten_codes_are_printed_once_with_how_to_use_them() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let (run, lines) = host.run_logged("recovery generate daemon", "");
    let run = run.expect(0);
    assert!(
        words(&run.err).starts_with(
            "mfa-admin: warning: nothing is delivered on this host: daemon is not told"
        ) && run.err.matches("warning").count() == 1,
        "{}",
        run.err
    );
    assert_fits(&run.out);
    let printed = codes(&run.out);
    assert_eq!(printed.len(), 10, "{}", run.out);
    for code in &printed {
        let groups: Vec<usize> = code.split('-').map(str::len).collect();
        assert_eq!(groups, [4, 4, 5], "{code}");
        assert!(
            code.bytes()
                .all(|byte| b"-0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte)),
            "{code}"
        );
    }
    let mut different = printed.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 10);
    for words in [
        "Recovery codes of daemon on ",
        ", made 20",
        "lets in once",
        "shown this once",
    ] {
        assert!(run.out.contains(words), "{words}: {}", run.out);
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains(
            "id=MFA-3031 event=recovery_generated outcome=success user=\"daemon\" actor="
        ),
        "{lines:?}"
    );
    // Nothing that is kept or said afterwards shows one.
    let mut shown = lines.concat();
    for line in [
        "recovery status daemon",
        "user show daemon",
        "user list --json",
        "state show daemon",
        "explain daemon",
        "--json user show daemon",
    ] {
        shown.push_str(&host.run(line).expect(0).out);
    }
    for (path, content) in host.snapshot() {
        shown.push_str(&String::from_utf8_lossy(&content));
        assert!(path.exists());
    }
    for code in &printed {
        assert!(
            !shown.contains(code) && !shown.contains(&code.replace('-', "")),
            "{code}"
        );
    }
    let record = std::fs::read_to_string(host.path("store/users/daemon.toml")).unwrap();
    assert!(
        record.contains("[recovery]\n") && record.contains("generated = 20"),
        "{record}"
    );
}

#[test]
fn a_document_has_stable_keys_and_quiet_still_prints_the_codes() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let document = host.run("--json recovery generate daemon").expect(0).json();
    let keys: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "version",
            "user",
            "host",
            "set",
            "generated",
            "codes",
            "warnings"
        ]
    );
    assert_eq!(document["codes"].as_array().unwrap().len(), 10);
    assert_eq!(document["set"].as_str().unwrap().len(), 8);
    let first = document["codes"][0].as_str().unwrap();
    host.feed("code verify daemon", first).expect(0);
    host.feed("code verify daemon", first).expect(1);
    let status = host.run("--json recovery status daemon").expect(0).json();
    let keys: Vec<&str> = status
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "version",
            "set",
            "generated",
            "codes",
            "user",
            "left",
            "standing",
            "seconds_left",
            "failures_in_row",
            "warnings"
        ]
    );
    assert_eq!((&status["codes"], &status["left"]), (&10.into(), &9.into()));
    assert_eq!(status["set"], document["set"]);
    assert_eq!(
        (&status["standing"], &status["failures_in_row"]),
        (&"open".into(), &1.into())
    );
    let quiet = host.run("--quiet recovery generate daemon --yes").expect(0);
    assert_eq!(codes(&quiet.out).len(), 10);
}

#[test]
fn a_set_over_another_is_asked_about_and_voids_it() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let old = generate(&host);
    let before = host.snapshot();
    let refused = host.run("recovery generate daemon").expect(1);
    assert!(
        refused.err.contains("--yes") && refused.out.is_empty(),
        "{refused:?}"
    );
    assert_eq!(host.snapshot(), before);
    let mut terminal = host.terminal("recovery generate daemon");
    terminal.answer("[y/N] ", "n\n");
    let refused = terminal.end().expect(1);
    assert!(
        refused.out.contains("nothing was changed"),
        "{}",
        refused.out
    );
    assert_eq!(host.snapshot(), before);
    let mut terminal = host.terminal("recovery generate daemon");
    terminal.answer("[y/N] ", "y\n");
    let new = codes(&terminal.end().expect(0).out);
    assert_eq!(new.len(), 10);
    host.feed("code verify daemon", &old[0]).expect(1);
    host.feed("code verify daemon", &new[0]).expect(0);
}

#[test]
fn who_is_not_there_or_has_none_is_exit_3() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("recovery generate bin").expect(3);
    host.run("recovery status bin").expect(3);
    let run = host.run("recovery status daemon").expect(3);
    assert!(run.err.contains("recovery generate daemon"), "{}", run.err);
    let shown = host.run("user show daemon").expect(0).out;
    assert!(
        shown.contains("Recovery:     no codes; `mfa-admin recovery generate daemon`"),
        "{shown}"
    );
    host.run("user add bin").expect(0);
    let run = host.run("recovery generate bin").expect(0);
    assert!(run.err.contains("bin has no app"), "{}", run.err);
    let record = std::fs::read_to_string(host.path("store/users/bin.toml")).unwrap();
    assert!(record.contains("enrolled_once = true"), "{record}");
}

#[test]
fn two_that_are_left_are_a_warning_everywhere() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let codes = generate(&host);
    for code in &codes[..7] {
        host.feed("code verify daemon", code).expect(0);
    }
    for line in ["recovery status daemon", "user show daemon"] {
        let text = host.run(line).expect(0).out;
        assert!(
            text.contains("3 of 10 recovery codes left, made 20"),
            "{line}: {text}"
        );
        assert!(!text.contains("WARNING"), "{line}: {text}");
        assert_fits(&text);
    }
    assert!(!host.run("doctor").out.contains("users.recovery"));
    host.feed("code verify daemon", &codes[7]).expect(0);
    for line in [
        "recovery status daemon",
        "user show daemon",
        "explain daemon",
    ] {
        let text = host.run(line).expect(0).out;
        let text = words(&text);
        assert!(
            text.contains("2 of 10 recovery codes left"),
            "{line}: {text}"
        );
        assert!(
            text.contains("WARNING: make new ones: `mfa-admin recovery generate daemon`"),
            "{line}: {text}"
        );
    }
    let checks = host.run("--json doctor").json();
    let found = checks["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["id"] == "users.recovery");
    let found = found.unwrap();
    assert_eq!(
        (&found["status"], &found["message"]),
        (
            &"warn".into(),
            &"Recovery codes run out: daemon (2 left).".into()
        )
    );
    assert!(
        found["hint"]
            .as_str()
            .unwrap()
            .contains("recovery generate daemon"),
        "{found}"
    );
    let user = host.run("--json user show daemon").json();
    assert_eq!(
        (
            &user["user"]["recovery"]["codes"],
            &user["state"]["recovery"]["left"]
        ),
        (&10.into(), &2.into())
    );
    generate(&host);
    assert!(!host.run("doctor").out.contains("users.recovery"));
}

#[test]
fn their_counter_is_shown_and_unlocked_with_the_other() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let codes = generate(&host);
    for _ in 0..5 {
        host.feed("code verify daemon", "ZZZZ-ZZZZ-ZZZZZ").expect(1);
    }
    host.feed("code verify daemon", &codes[0]).expect(6);
    let status = words(&host.run("recovery status daemon").expect(0).out);
    assert!(
        status.contains("5 failures in a row, no answer is looked at for"),
        "{status}"
    );
    let explained = host.run("--json explain daemon").json();
    assert_eq!(
        (&explained["decision"], &explained["recovery"]),
        (&"challenge".into(), &false.into())
    );
    host.feed("code verify daemon", &code()).expect(0);
    host.run("user unlock daemon").expect(0);
    assert_eq!(
        host.run("--json recovery status daemon").json()["failures_in_row"],
        0
    );
    host.feed("code verify daemon", &codes[0]).expect(0);
    host.change_state("daemon", |state| state.recovery.disabled = true);
    host.feed("code verify daemon", &codes[1]).expect(6);
    assert_eq!(
        host.run("--json recovery status daemon").json()["standing"],
        "disabled"
    );
    host.run("user unlock --all").expect(0);
    host.feed("code verify daemon", &codes[1]).expect(0);
}

#[test]
fn explain_says_what_a_recovery_code_would_do() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let explain = || host.run("--json explain daemon").expect(0).json();
    assert_eq!(explain()["recovery"], false);
    let codes = generate(&host);
    let wrong = wrong_code();
    for _ in 0..5 {
        host.feed("code verify daemon", &wrong).expect(1);
    }
    let document = explain();
    assert_eq!(
        (
            &document["decision"],
            &document["reason"],
            &document["recovery"]
        ),
        (&"deny".into(), &"throttled".into(), &true.into())
    );
    let text = host.run("explain daemon").expect(0).out;
    assert!(
        text.contains("refused (throttled), except with a recovery code."),
        "{text}"
    );
    host.run("user suspend daemon --reason left").expect(0);
    let document = explain();
    assert_eq!(
        (&document["reason"], &document["recovery"]),
        (&"suspended".into(), &false.into())
    );
    host.run("user resume daemon").expect(0);
    host.run("user unlock daemon").expect(0);
    host.run("app remove daemon phone --yes").expect(0);
    let document = explain();
    assert_eq!(
        (&document["decision"], &document["reason"]),
        (&"challenge".into(), &"recovery".into())
    );
    // The count of other codes is none of theirs.
    host.change_state("daemon", |state| state.codes.disabled = true);
    let document = explain();
    assert_eq!(
        (
            &document["decision"],
            &document["reason"],
            &document["recovery"]
        ),
        (&"challenge".into(), &"recovery".into(), &true.into())
    );
    assert!(
        host.run("doctor")
            .out
            .contains("1 user is asked for a code")
    );
    for code in &codes {
        host.feed("code verify daemon", code).expect(0);
    }
    let document = explain();
    assert_eq!(
        (
            &document["decision"],
            &document["reason"],
            &document["recovery"]
        ),
        (&"deny".into(), &"recovery_used_up".into(), &false.into())
    );
    // Whom no code lets in is not ready.
    let doctor = words(&host.run("doctor").out);
    assert!(
        doctor.contains("0 users are asked for a code; without an app or token in use: daemon"),
        "{doctor}"
    );
}

/// A run whose standard output is what the shell makes it.
pub(crate) fn generate_into(host: &Host, line: &str, redirection: &str) -> Run {
    let mut command = Command::new("sh");
    let script = format!("exec {PROGRAM} --config \"$0\" {line} {redirection}");
    command.args(["-c", &script]).arg(host.path("mfa.toml"));
    finish(command, "")
}

#[test]
fn codes_that_nobody_would_see_are_not_made() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let old = generate(&host);
    let before = host.snapshot();
    for redirection in [">&-", ">/dev/null", "<&- >&- 2>/dev/null"] {
        for line in [
            "recovery generate daemon --yes",
            "--json recovery generate daemon --yes",
        ] {
            let run = generate_into(&host, line, redirection).expect(1);
            assert_eq!(run.out, "");
            let is_said =
                words(&run.err).contains("nobody would ever see the codes; nothing was changed");
            assert!(
                is_said || redirection.contains("2>"),
                "{redirection}: {}",
                run.err
            );
            assert_eq!(host.snapshot(), before);
        }
    }
    host.feed("code verify daemon", &old[0]).expect(0);
}

#[test]
fn codes_that_could_not_be_shown_are_said_to_be_lost() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let old = generate(&host);
    // A full disk; a reader who has gone.
    for redirection in [">/dev/full", "| sleep 0"] {
        for line in [
            "recovery generate daemon --yes",
            "--json recovery generate daemon --yes",
        ] {
            let record = std::fs::read(host.path("store/users/daemon.toml")).unwrap();
            let run = if redirection.starts_with('>') {
                generate_into(&host, line, redirection).expect(1)
            } else {
                generate_for_nobody(&host, line).expect(1)
            };
            let said = words(&run.err);
            assert!(
                said.contains("these codes of daemon are lost, and those of before are void")
                    && said.contains("`mfa-admin recovery generate daemon` makes new ones"),
                "{redirection}, {line}: {said}"
            );
            assert!(!said.contains("done all the same"), "{said}");
            assert_ne!(
                record,
                std::fs::read(host.path("store/users/daemon.toml")).unwrap()
            );
        }
    }
    host.feed("code verify daemon", &old[0]).expect(1);
    // What else can't be printed is said with --json as well.
    let run = generate_into(&host, "--json recovery status daemon", ">/dev/full").expect(1);
    assert!(
        run.err.contains("standard output can't be written"),
        "{}",
        run.err
    );
}

/// A run whose reader has gone before anything is written.
pub(crate) fn generate_for_nobody(host: &Host, line: &str) -> Run {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = host.command(line);
    command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped());
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::new(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn who_can_not_be_told_or_is_locked_is_a_warning_when_codes_are_made() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let warned = |line: &str| {
        let run = host.run(line).expect(0);
        let document = host.run(&format!("--json {line}")).expect(0).json();
        let listed: Vec<_> = document["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|said| words(said.as_str().unwrap()))
            .collect();
        let said = words(&run.err);
        assert!(
            listed.iter().all(|listed| said.contains(listed.as_str())),
            "{said}\n{listed:?}"
        );
        assert_eq!(codes(&run.out).len(), 10);
        listed
    };
    let line = "recovery generate daemon --yes";
    let listed = warned(line);
    assert!(
        listed.len() == 1 && listed[0].starts_with("nothing is delivered on this host"),
        "{listed:?}"
    );
    let path = host.path("mfa.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"\n");
    std::fs::write(&path, text).unwrap();
    let listed = warned(line);
    assert!(
        listed.len() == 1 && listed[0].starts_with("daemon has no address"),
        "{listed:?}"
    );
    host.change_state("daemon", |state| {
        state.recovery.disabled = true;
        state.recovery.in_row = 100;
    });
    let listed = warned(line);
    assert_eq!(
        listed[1],
        "no recovery code of daemon lets in after 100 failures in a row, disabled until `mfa-admin user unlock`; see \
         who was guessing, then `mfa-admin user unlock daemon`"
    );
    let doctor = words(&host.run("doctor").out);
    assert!(
        doctor.contains("disabled: daemon (recovery codes)"),
        "{doctor}"
    );
    assert!(doctor.contains("user unlock daemon"), "{doctor}");
    host.run("user unlock daemon").expect(0);
    host.run("user set daemon --email d@example.com").expect(0);
    // There is no spool, which is another matter: it is said when the notice can't be kept.
    let run = host.run(&format!("--json {line}")).expect(0);
    assert_eq!(run.json()["warnings"], serde_json::json!([]));
    assert!(
        run.err.contains("daemon is not told of this"),
        "{}",
        run.err
    );
}

#[test]
fn a_reset_says_what_became_of_used_codes() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let codes = generate(&host);
    host.feed("code verify daemon", &codes[0]).expect(0);
    let reset = host.run("--json state reset daemon --yes").expect(0).json();
    assert_eq!(reset["recovery_codes"], "kept");
    host.feed("code verify daemon", &codes[0]).expect(1);
    let left = || host.run("--json recovery status daemon").expect(0).json()["left"].clone();
    assert_eq!(left(), 9);
    std::fs::write(host.path("store/state/daemon"), "").unwrap();
    host.run("recovery status daemon").expect(4);
    let shown = words(&host.run("user show daemon").expect(0).out);
    assert!(shown.contains("nobody knows what is left"), "{shown}");
    let record = host.path("store/users/daemon.toml");
    let text = std::fs::read(&record).unwrap();
    std::fs::write(&record, "damaged").unwrap();
    let run = host.run("state reset daemon --yes").expect(4);
    assert!(run.err.contains("daemon.toml:"), "{}", run.err);
    std::fs::write(&record, text).unwrap();
    let (run, lines) = host.run_logged("state reset daemon --yes", "");
    let run = run.expect(0);
    assert!(run.err.contains("all of them count as used"), "{}", run.err);
    assert_eq!(left(), 0);
    let detail = "detail=\"all recovery codes of before are void\"";
    assert!(
        lines[0].contains("event=state_reset") && lines[0].contains(detail),
        "{lines:?}"
    );
    let (_, lines) = host.run_logged("state reset daemon --yes", "");
    assert!(!lines[0].contains("detail"), "{lines:?}");
}

#[test]
fn a_state_that_is_gone_makes_no_used_code_good_again() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let used = |codes: &[String]| host.feed("code verify daemon", &codes[0]).code;
    let state = host.path("store/state/daemon");
    for makes_it in [
        "state reset daemon --yes",
        "user set daemon --email d@example.com",
        "recovery status daemon",
    ] {
        let codes = generate(&host);
        assert_eq!(used(&codes), 0);
        std::fs::remove_file(&state).unwrap();
        // Before anybody makes it anew, too.
        assert_eq!(
            host.run("--json recovery status daemon").expect(0).json()["left"],
            0
        );
        assert!(host.run("doctor").out.contains("daemon (0 left)"));
        let shown = host.run("state show daemon").expect(0).out;
        assert!(shown.contains("places = 65535"), "{shown}");
        let run = host.run(makes_it).expect(0);
        assert_eq!(
            run.err.contains("all of them count as used"),
            makes_it.starts_with("state"),
            "{}",
            run.err
        );
        assert_eq!(used(&codes), 1, "{makes_it}");
        assert_eq!(
            host.feed("code verify daemon", &codes[1]).code,
            1,
            "{makes_it}"
        );
        host.run("user unlock daemon").expect(0);
    }
}
