use crate::host::{Host, SECRET, code, code_at, needs_root, wrong_code};

#[test]
fn a_code_is_accepted_once_and_says_so_in_the_audit() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let right = code();
    let (run, lines) = host.run_logged("code verify daemon --json", &format!("{right}\n"));
    assert_eq!(run.expect(0).json()["accepted"], true);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("mfa-admin[") && lines[0].contains("id=MFA-1004"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("<86>") && lines[1].contains("id=MFA-2001 event=accepted outcome=success user=\"daemon\" uid=1 service=mfa-admin rhost=- tty=- device="), "{lines:?}");
    let (run, lines) = host.run_logged("code verify daemon", &right);
    assert_eq!(run.expect(1).out, "");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("id=MFA-2102 event=replayed")),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| !line.contains(&right)), "{lines:?}");
    host.feed("code verify daemon", &code_at(SECRET, &[], -1))
        .expect(1);
    host.feed("code verify daemon", &code_at(SECRET, &[], -3))
        .expect(1);
}

#[test]
fn failures_are_counted_as_at_a_login_and_throttle() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let wrong = wrong_code();
    for _ in 0..5 {
        host.feed("code verify daemon", &wrong).expect(1);
    }
    let run = host.feed("--json code verify daemon", &code()).expect(6);
    assert_eq!(run.json()["error"]["kind"], "throttled");
    let explained = host.run("--json explain daemon").json();
    assert_eq!(explained["reason"], "throttled");
    host.run("user unlock daemon").expect(0);
    host.feed("code verify daemon", &code()).expect(0);
}

#[test]
fn a_locked_and_a_disabled_user_are_refused_with_exit_6() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.change_state("daemon", |state| state.codes.disabled = true);
    let run = host.feed("--json code verify daemon", &code()).expect(6);
    assert_eq!(run.json()["error"]["kind"], "locked");
    host.change_state("daemon", |state| {
        state.codes.disabled = false;
        state.codes.in_row = 10;
        state.codes.locked_at = Some(state.now());
    });
    host.feed("code verify daemon", &code()).expect(6);
    assert_eq!(host.run("--json explain daemon").json()["reason"], "locked");
}

#[test]
fn answers_that_are_no_codes_are_refused_and_not_counted() {
    needs_root!();
    let host = Host::enrolled("daemon");
    for answer in ["\n", "abc\n", "１２３４５６\n", "-123456\n", "12345\n"] {
        host.feed("code verify daemon", answer).expect(1);
    }
    host.feed("code verify daemon", "").expect(1);
    host.feed("code verify daemon", &"1".repeat(1 << 20))
        .expect(1);
    assert_eq!(
        host.run("--json state show daemon").json()["state"]["codes"]["in_row"],
        0
    );
}

#[test]
fn whoever_may_not_log_in_is_refused_with_the_reason() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("user suspend daemon --reason left").expect(0);
    assert!(
        host.feed("code verify daemon", &code())
            .expect(1)
            .err
            .contains("suspended")
    );
    host.run("user resume daemon").expect(0);
    host.run("device revoke daemon this --yes").expect(0);
    assert!(
        host.feed("code verify daemon", &code())
            .expect(1)
            .err
            .contains("not assigned to this host")
    );
    host.feed("code verify bin", "123456").expect(3);
    host.feed("code verify no-such-user", "123456").expect(3);
}

#[test]
fn a_damaged_record_or_key_is_exit_4() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let other = Host::new();
    std::fs::copy(other.path("seal.key"), host.path("seal.key")).unwrap();
    host.feed("code verify daemon", &code()).expect(4);
    std::fs::write(host.path("store/users/daemon.toml"), "damaged").unwrap();
    host.feed("code verify daemon", &code()).expect(4);
}
