//! Who learns of what an administrator changes.

use crate::host::{Host, needs_root};

#[test]
fn every_change_to_a_user_is_told_once_with_what_it_was_and_by_whom() {
    needs_root!();
    let host = Host::delivering("daemon");
    let device = host.run("device id").out.trim().to_owned();
    for (line, event, app, detail) in [
        (
            "app enroll daemon --label tablet --no-confirm",
            "app_enrolled",
            "tablet",
            "",
        ),
        ("app reveal daemon tablet", "app_revealed", "tablet", ""),
        ("app disable daemon tablet", "app_disabled", "tablet", ""),
        ("app enable daemon tablet", "app_enabled", "tablet", ""),
        (
            "app remove daemon tablet --yes",
            "app_removed",
            "tablet",
            "",
        ),
        ("device assign daemon any", "device_assigned", "", "any (*)"),
        (
            "device revoke daemon any --yes",
            "device_revoked",
            "",
            "any (*)",
        ),
        (
            "user suspend daemon --reason left_us",
            "user_suspended",
            "",
            "",
        ),
        ("user resume daemon", "user_resumed", "", ""),
        ("recovery generate daemon", "recovery_generated", "", ""),
        ("state reset daemon --yes", "state_reset", "", ""),
        (
            "user set daemon --methods app",
            "user_changed",
            "",
            "methods: app",
        ),
        (
            "user set daemon --telegram 5",
            "user_changed",
            "",
            "Telegram id: 5",
        ),
        ("user remove daemon --yes", "user_removed", "", ""),
    ] {
        let (run, lines) = host.run_logged(line, "");
        run.expect(0);
        assert_eq!(lines.len(), 1, "{line}: {lines:?}");
        let notices = host.notices();
        assert_eq!(notices.len(), 1, "{line}: {notices:?}");
        let notice = &notices[0];
        let text = |key: &str| notice[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            [text("kind"), text("event"), text("app"), text("detail")],
            ["change", event, app, detail],
            "{line}"
        );
        assert_eq!(
            [text("to"), text("user"), text("channel")],
            ["daemon@example.com", "daemon", "email"],
            "{line}"
        );
        assert!(
            !text("actor").is_empty() && !text("host").is_empty(),
            "{line}"
        );
        assert!(!notice.to_string().contains("left us"), "{notice}");
        host.forget_notices();
    }
    assert_eq!(host.messages().len(), 0);
    assert_eq!(device.len(), 32);
}

#[test]
fn a_reset_that_voids_recovery_codes_says_so_to_whom_it_is_about() {
    needs_root!();
    let host = Host::delivering("daemon");
    let made = host.run("--json recovery generate daemon").expect(0).json();
    assert_eq!(made["warnings"], serde_json::json!([]));
    host.forget_notices();
    for (is_damaged, detail) in [(false, ""), (true, "all recovery codes of before are void")] {
        if is_damaged {
            std::fs::write(host.path("store/state/daemon"), "").unwrap();
        }
        host.run("state reset daemon --yes").expect(0);
        let notices = host.notices();
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0]["event"], "state_reset");
        assert_eq!(notices[0]["detail"].as_str().unwrap_or_default(), detail);
        host.forget_notices();
    }
}

#[test]
fn approval_and_unlocking_are_told_and_what_changes_nothing_is_not() {
    needs_root!();
    let host = Host::delivering("daemon");
    let path = host.path("store/users/daemon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("approved = true", "approved = false")).unwrap();
    let failures = |host: &Host| host.change_state("daemon", |state| state.codes.in_row = 3);
    failures(&host);
    for (line, event) in [
        ("user approve daemon", Some("user_approved")),
        ("user approve daemon", None),
        ("user unlock daemon", Some("user_unlocked")),
        ("user unlock daemon", None),
        ("user resume daemon", None),
        ("user set daemon --email daemon@example.com", None),
        ("device assign daemon this", None),
        ("user show daemon", None),
        ("app list daemon", None),
    ] {
        host.run(line).expect(0);
        let notices = host.notices();
        let events: Vec<&str> = notices
            .iter()
            .map(|notice| notice["event"].as_str().unwrap())
            .collect();
        assert_eq!(events, event.into_iter().collect::<Vec<_>>(), "{line}");
        host.forget_notices();
    }
    failures(&host);
    host.run("user unlock --all").expect(0);
    assert_eq!(host.notices()[0]["event"], "user_unlocked");
}

#[test]
fn a_new_address_is_told_to_the_old_one_and_to_the_new_one() {
    needs_root!();
    let host = Host::delivering("daemon");
    let told = |line: &str| {
        let (run, lines) = host.run_logged(line, "");
        run.expect(0);
        assert!(
            lines.iter().all(|line| !line.contains("example.com")),
            "{lines:?}"
        );
        assert!(lines[0].contains("e-mail address changed"), "{lines:?}");
        let mut told: Vec<(String, String)> = host
            .notices()
            .iter()
            .map(|notice| {
                let text = |key: &str| notice[key].as_str().unwrap().to_owned();
                (text("to"), text("detail"))
            })
            .collect();
        told.sort();
        host.forget_notices();
        told
    };
    let detail = "e-mail address: new@example.com".to_owned();
    assert_eq!(
        told("user set daemon --email new@example.com"),
        [
            ("daemon@example.com".to_owned(), detail.clone()),
            ("new@example.com".to_owned(), detail)
        ]
    );
    assert_eq!(
        told("user set daemon --email none"),
        [(
            "new@example.com".to_owned(),
            "methods: app; e-mail address: none".to_owned()
        )]
    );
}

#[test]
fn what_can_not_be_told_is_a_warning_and_a_line_and_the_change_is_done() {
    needs_root!();
    let host = Host::delivering("daemon");
    std::fs::remove_dir(host.path("spool/new")).unwrap();
    let (run, lines) = host.run_logged("user suspend daemon --reason x", "");
    let run = run.expect(0);
    assert!(
        run.err.contains("warning: daemon is not told of this") && run.out.contains("Suspended"),
        "{run:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1]
            .contains("id=MFA-5001 event=notice_failed outcome=failure user=\"daemon\" actor=\"")
            && lines[1].contains("reason=\"spool_unusable\""),
        "{lines:?}"
    );
    let (run, _) = host.run_logged("--json user resume daemon", "");
    let run = run.expect(0);
    assert_eq!(run.json()["changed"], true);
    assert_eq!(run.json()["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn nobody_is_told_where_nothing_is_delivered_or_there_is_no_address() {
    needs_root!();
    let silent = Host::enrolled("daemon");
    silent
        .run("user set daemon --email d@example.com")
        .expect(0);
    let (run, lines) = silent.run_logged("user suspend daemon --reason x", "");
    assert_eq!(run.expect(0).err, "");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let host = Host::delivering("daemon");
    host.run("user add bin").expect(0);
    let (run, lines) = host.run_logged("user suspend bin --reason x", "");
    assert_eq!(run.expect(0).err, "");
    assert_eq!((lines.len(), host.notices().len()), (1, 0), "{lines:?}");
}

#[test]
fn a_record_that_can_not_be_read_is_reset_and_unlocked_with_a_warning() {
    needs_root!();
    let host = Host::delivering("daemon");
    std::fs::write(host.path("store/users/daemon.toml"), "damaged").unwrap();
    let run = host.run("state reset daemon --yes").expect(0);
    assert!(
        run.err.contains("daemon is not told of this"),
        "{}",
        run.err
    );
}
