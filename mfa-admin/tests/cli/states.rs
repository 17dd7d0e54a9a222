use mfa_core::record::AppId;
use mfa_core::state::AcceptedStep;

use crate::host::{Host, code, needs_root, unix_seconds};

#[test]
fn a_state_is_shown_as_toml_and_as_json() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.feed("code verify daemon", &code()).expect(0);
    let text = host.run("state show daemon").expect(0).out;
    assert!(
        text.starts_with("version = 1\n")
            && text.contains("[[steps]]")
            && text.contains("[last_success]"),
        "{text}"
    );
    let document = host.run("state show daemon --json").expect(0).json();
    assert_eq!(document["user"], "daemon");
    assert_eq!(document["state"]["codes"]["in_row"], 0);
    assert!(document["state"]["steps"][0]["step"].is_u64());
    host.run("state show bin").expect(3);
}

#[test]
fn a_state_with_one_bad_slot_goes_on_and_one_with_two_is_reset() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let path = host.path("store/state/daemon");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(
        host.run("state show daemon")
            .expect(0)
            .err
            .contains("may be forgotten")
    );
    bytes[2148] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let run = host.run("state show daemon").expect(4);
    assert!(run.err.contains("state reset"), "{}", run.err);
    assert!(
        host.run("user show daemon")
            .expect(0)
            .err
            .contains("corrupt")
    );
    host.run("app enroll daemon --label x --no-confirm")
        .expect(0);
    // Marks of used recovery codes could not be kept, and a reset would void what was just made.
    let before = host.snapshot();
    let run = host.run("recovery generate daemon").expect(4);
    assert!(
        run.err.contains("`mfa-admin state reset daemon` first"),
        "{}",
        run.err
    );
    assert_eq!(host.snapshot(), before);
    host.run("state reset daemon").expect(1);
    host.run("state reset daemon --yes").expect(0);
    host.run("state show daemon").expect(0);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
}

#[test]
fn a_reset_makes_a_missing_state_and_refuses_strangers() {
    needs_root!();
    let host = Host::enrolled("daemon");
    std::fs::remove_file(host.path("store/state/daemon")).unwrap();
    host.run("state show daemon").expect(0);
    host.run("state reset daemon --yes").expect(0);
    assert!(host.path("store/state/daemon").exists());
    host.run("state reset bin --yes").expect(3);
    std::fs::write(host.path("store/users/daemon.toml"), "damaged").unwrap();
    host.run("state reset daemon --yes").expect(0);
}

#[test]
fn files_that_can_not_be_trusted_are_refused_and_left_alone() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let record = host.path("store/users/daemon.toml");
    let text = std::fs::read(&record).unwrap();
    std::fs::rename(&record, host.path("aside")).unwrap();
    std::os::unix::fs::symlink(host.path("aside"), &record).unwrap();
    assert!(
        host.run("user suspend daemon --reason x")
            .expect(4)
            .err
            .contains("symbolic link")
    );
    std::fs::remove_file(&record).unwrap();
    nix::unistd::mkfifo(
        &record,
        nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR,
    )
    .unwrap();
    assert!(
        host.run("user show daemon")
            .expect(4)
            .err
            .contains("not a regular file")
    );
    assert_eq!(std::fs::read(host.path("aside")).unwrap(), text);
    let state = host.path("store/state/daemon");
    std::fs::remove_file(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    host.run("state reset daemon --yes").expect(4);
}

#[test]
fn used_codes_from_the_future_are_cleared() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let app = host.run("--json app list daemon").json()["apps"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let step = u64::try_from(unix_seconds() + 365 * 86_400).unwrap() / 30;
    host.change_state("daemon", |state| {
        state.steps = vec![AcceptedStep {
            app: AppId::parse(app.as_str()).unwrap(),
            step,
            period: 30,
        }];
    });
    let refused = host.feed("code verify daemon", &code()).expect(1);
    assert!(refused.err.contains("clock is behind"), "{}", refused.err);
    let explained = host.run("--json explain daemon").expect(0).json();
    assert_eq!(
        (&explained["decision"], &explained["reason"]),
        (&"deny".into(), &"clock_rollback".into())
    );
    let (run, lines) = host.run_logged("state set-clock daemon", "");
    assert!(run.expect(0).out.contains("Cleared the used code of phone"));
    assert!(lines[0].contains("event=state_clock_set"), "{lines:?}");
    host.feed("code verify daemon", &code()).expect(0);
    assert_eq!(
        host.run("--json state set-clock daemon").expect(0).json()["changed"],
        false
    );
}
