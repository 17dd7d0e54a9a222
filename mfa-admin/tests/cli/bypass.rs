//! Bypasses: granting, taking back, and what is said of them.

use serde_json::json;

use crate::host::{Host, assert_fits, code, needs_root};

fn record(host: &Host) -> String {
    std::fs::read_to_string(host.path("store/users/daemon.toml")).unwrap()
}

/// A text as if it had one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Moves a bypass that was granted now, by its lines in the record.
fn make_older(host: &Host, seconds: i64) {
    let moment = |line: &str| line.split(" = ").nth(1).unwrap().to_owned();
    let text = record(host);
    let mut changed = text.clone();
    for key in ["granted = ", "until = "] {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        let at = std::process::Command::new("date")
            .args([
                "-u",
                "-d",
                &format!("{} - {seconds} seconds", moment(line)),
                "+%Y-%m-%dT%H:%M:%SZ",
            ])
            .output()
            .unwrap();
        let at = String::from_utf8(at.stdout).unwrap();
        changed = changed.replace(line, &format!("{key}{}", at.trim()));
    }
    assert_ne!(changed, text);
    std::fs::write(host.path("store/users/daemon.toml"), changed).unwrap();
}

#[test]
fn a_bypass_is_granted_shown_and_taken_back() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let line = "bypass grant daemon --for 1h --reason lost_phone";
    let (run, lines) = host.run_logged(line, "");
    let run = run.expect(0);
    assert_fits(&run.out);
    assert!(
        words(&run.out).starts_with("daemon is not asked for a code until 20"),
        "{}",
        run.out
    );
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains(
            "id=MFA-3092 event=bypass_granted outcome=success user=\"daemon\" actor=\"root\""
        ) && lines[0].contains("reason=\"lost phone\" detail=\"until 20"),
        "{lines:?}"
    );
    let text = record(&host);
    assert!(
        text.contains("[bypass]\n") && text.contains("reason = \"lost phone\"\nby = \"root\"\n"),
        "{text}"
    );
    let run = host.run("bypass list").expect(0);
    assert_fits(&run.out);
    assert!(
        run.out.contains("daemon")
            && run.out.contains("60 minutes")
            && run.out.contains("lost phone"),
        "{}",
        run.out
    );
    let listed = host.run("--json bypass list").expect(0).json();
    let bypass = &listed["bypasses"][0];
    assert_eq!(bypass["user"], "daemon");
    assert_eq!(
        (&bypass["standing"], &bypass["uses"]),
        (&json!("open"), &json!(0))
    );
    assert_eq!(
        (&bypass["by"], &bypass["reason"]),
        (&json!("root"), &json!("lost phone"))
    );
    let left = bypass["seconds_left"].as_u64().unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
    for (line, said) in [
        ("user show daemon", "Bypass: no code is asked for"),
        ("explain daemon", "let in without a code (bypass)"),
        ("doctor", "warn users.bypass daemon: no code is asked for"),
    ] {
        let run = host.run(line);
        assert_fits(&run.out);
        assert!(words(&run.out).contains(said), "{line}: {}", run.out);
    }
    let shown = host.run("--json user show daemon").json();
    assert_eq!(shown["bypass"]["standing"], "open");
    assert_eq!(shown["user"]["bypass"]["until"], bypass["until"]);
    assert_eq!(host.run("--json explain daemon").json()["reason"], "bypass");
    // A script that has a code checked gets it checked.
    host.feed("code verify daemon", "000000\n").expect(1);
    host.feed("code verify daemon", &code()).expect(0);

    let (run, lines) = host.run_logged("bypass revoke daemon", "");
    assert_eq!(run.expect(0).out, "daemon is asked for a code again.\n");
    assert!(
        lines.len() == 1 && lines[0].contains("id=MFA-3093 event=bypass_revoked"),
        "{lines:?}"
    );
    assert!(!record(&host).contains("bypass"));
    let run = host.run("bypass revoke daemon").expect(3);
    assert!(run.err.contains("daemon has no bypass"), "{}", run.err);
    assert_eq!(
        host.run("bypass list").expect(0).out,
        "Everybody is asked for a code.\n"
    );
    assert_eq!(
        host.run("--json user show daemon").json()["bypass"],
        json!(null)
    );
}

#[test]
fn what_is_no_bypass_is_refused_and_nothing_is_lost() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("bypass grant daemon --for 2h --reason first")
        .expect(0);
    let before = host.snapshot();
    let long = "x".repeat(201);
    for (line, said) in [
        (
            "bypass grant daemon --for -1h --reason x".to_owned(),
            "write a time from 1m to 24h",
        ),
        (
            "bypass grant daemon --for 0 --reason x".to_owned(),
            "write a time from 1m to 24h",
        ),
        (
            "bypass grant daemon --for 25h --reason x".to_owned(),
            "write a time from 1m to 24h",
        ),
        (
            "bypass grant daemon --for 2026-11-19 --reason x".to_owned(),
            "write a time from 1m to 24h",
        ),
        (
            "bypass grant daemon --for 59s --reason x".to_owned(),
            "write a time from 1m to 24h",
        ),
        ("bypass grant daemon --for 1h".to_owned(), "--reason <TEXT>"),
        ("bypass grant daemon --reason x".to_owned(), "--for <TIME>"),
        (
            "bypass grant daemon --for 1h --reason _".to_owned(),
            "write a reason of 1 to 200",
        ),
        (
            format!("bypass grant daemon --for 1h --reason {long}"),
            "write a reason of 1 to 200",
        ),
        (
            "bypass grant daemon --for 1h --reason a\nb".to_owned(),
            "write a reason of 1 to 200",
        ),
        ("bypass grant --for 1h --reason x".to_owned(), "<NAME>"),
    ] {
        let run = host.run(&line).expect(2);
        assert!(
            words(&run.err).contains(said) && run.out.is_empty(),
            "{line}: {}",
            run.err
        );
        let run = host.run(&format!("--json {line}")).expect(2);
        assert_eq!(run.json()["error"]["kind"], "usage");
    }
    let run = host
        .run("bypass grant nobody --for 1h --reason x")
        .expect(3);
    assert!(run.err.contains("there is no user nobody"), "{}", run.err);
    for line in [
        "bypass grant daemon --for 1h --reason x",
        "bypass list",
        "bypass revoke daemon",
        "bypass expire",
    ] {
        assert_eq!(host.run_as_nobody(line).code, 5, "{line}");
    }
    assert_eq!(host.snapshot(), before);
}

#[test]
fn another_one_takes_the_place_of_the_first_and_says_so() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("bypass grant daemon --for 2h --reason first")
        .expect(0);
    let run = host
        .run("--json bypass grant daemon --for 30m --reason second")
        .expect(0)
        .json();
    assert!(
        run["replaced_until"].is_string() && run["reason"] == "second",
        "{run}"
    );
    let text = record(&host);
    assert!(text.contains("second") && !text.contains("first"), "{text}");
    assert_eq!(text.matches("[bypass]").count(), 1);
}

#[test]
fn it_is_said_where_it_has_no_effect() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("user suspend daemon --reason left").expect(0);
    let run = host
        .run("bypass grant daemon --for 1h --reason x")
        .expect(0);
    assert!(
        words(&run.err).contains("daemon is suspended, and stays out here all the same"),
        "{}",
        run.err
    );
    assert_eq!(
        host.run("--json explain daemon").json()["reason"],
        "suspended"
    );
    host.run("user resume daemon").expect(0);
    host.run("device revoke daemon 1 --yes");
    let list = host.run("--json device list daemon").json();
    let id = list["devices"][0]["id"].as_str().unwrap().to_owned();
    host.run(&format!("device revoke daemon {id} --yes"))
        .expect(0);
    let run = host
        .run("bypass grant daemon --for 1h --reason x")
        .expect(0);
    assert!(
        words(&run.err).contains("daemon is not assigned to this host"),
        "{}",
        run.err
    );
}

#[test]
fn the_end_of_a_bypass_is_told_once_and_the_record_is_cleared() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("bypass grant daemon --for 1h --reason lost_phone")
        .expect(0);
    let (run, lines) = host.run_logged("bypass expire", "");
    assert_eq!(run.expect(0).out, "No bypass is over.\n");
    assert!(lines.is_empty() && record(&host).contains("[bypass]"));
    make_older(&host, 3600);
    // Only looked at, nothing changes.
    let before = host.snapshot();
    assert!(host.run("bypass list").expect(0).out.contains("over"));
    let found = words(&host.run("doctor").out);
    assert!(
        found.contains("warn users.bypass Over, and not cleared from the records: daemon."),
        "{found}"
    );
    assert!(words(&host.run("user show daemon").out).contains("Bypass: over since"));
    assert_eq!(
        host.run("--json explain daemon").json()["decision"],
        "challenge"
    );
    assert_eq!(host.snapshot(), before);
    let (run, lines) = host.run_logged("--json bypass expire", "");
    assert_eq!(run.expect(0).json()["expired"], json!(["daemon"]));
    assert!(
        lines.len() == 1
            && lines[0].contains("id=MFA-3097 event=bypass_expired outcome=info user=\"daemon\""),
        "{lines:?}"
    );
    assert!(!record(&host).contains("bypass"));
    let (_, lines) = host.run_logged("bypass expire", "");
    assert!(lines.is_empty(), "{lines:?}");
    // Whoever grants or takes back the next one tells as well; a login that has told leaves nothing to tell.
    let mut seconds = 3600;
    for (line, code, expected) in [
        (
            "bypass grant daemon --for 1h --reason next",
            0,
            ["MFA-3097", "MFA-3092"].as_slice(),
        ),
        ("bypass revoke daemon", 3, &["MFA-3097"]),
        ("bypass expire", 0, &["MFA-3097"]),
    ] {
        host.run("bypass grant daemon --for 1h --reason lost_phone")
            .expect(0);
        // Another second than the last one began in: that is what a state knows it by.
        seconds += 100;
        make_older(&host, seconds);
        let (run, lines) = host.run_logged(line, "");
        run.expect(code);
        let ids: Vec<&str> = lines
            .iter()
            .map(|line| line.split("id=").nth(1).unwrap().split(' ').next().unwrap())
            .collect();
        assert_eq!(ids, expected, "{line}");
    }
    host.run("bypass grant daemon --for 1h --reason lost_phone")
        .expect(0);
    make_older(&host, 7200);
    host.feed("code verify daemon", "000000\n").expect(1);
    let (run, lines) = host.run_logged("bypass expire", "");
    assert_eq!(run.expect(0).out, "1 cleared: daemon.\n");
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn one_damaged_record_keeps_no_other_bypass_from_being_listed_or_cleared() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("user add bin").expect(0);
    host.run("bypass grant daemon --for 1h --reason x")
        .expect(0);
    make_older(&host, 3600);
    std::fs::write(host.path("store/users/bin.toml"), "nonsense").unwrap();
    let run = host.run("bypass list").expect(4);
    assert!(
        run.out.contains("daemon") && run.err.contains("bin.toml"),
        "{}{}",
        run.out,
        run.err
    );
    let run = host.run("bypass expire").expect(4);
    assert!(
        run.out.contains("1 cleared: daemon.") && run.err.contains("bin.toml"),
        "{}",
        run.err
    );
}

#[test]
fn the_user_is_told_of_a_grant_and_of_its_end_by_hand_and_not_why() {
    needs_root!();
    let host = Host::delivering("daemon");
    for (line, event) in [
        (
            "bypass grant daemon --for 1h --reason lost_phone",
            "bypass_granted",
        ),
        ("bypass revoke daemon", "bypass_revoked"),
    ] {
        host.run(line).expect(0);
        let notices = host.notices();
        assert_eq!(notices.len(), 1, "{line}: {notices:?}");
        assert_eq!(
            (&notices[0]["kind"], &notices[0]["event"]),
            (&json!("change"), &json!(event))
        );
        assert_eq!(notices[0]["to"], "daemon@example.com");
        let detail = notices[0]["detail"].as_str().unwrap_or_default();
        assert_eq!(
            detail.starts_with("until 20"),
            event == "bypass_granted",
            "{detail}"
        );
        assert!(
            !notices[0].to_string().contains("lost phone"),
            "{notices:?}"
        );
        host.forget_notices();
    }
    host.run("bypass grant daemon --for 25h --reason x")
        .expect(2);
    host.run("bypass list").expect(0);
    assert!(host.notices().is_empty());
}
