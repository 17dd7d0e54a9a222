use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use mfa_core::courier::Channels;
use mfa_core::device::AssignedDevice;
use mfa_core::record::{
    Algorithm, App, AppId, Device, Digits, EmailAddress, Label, Method, Period, UserRecord,
    datetime,
};
use mfa_core::request::UserName;
use mfa_core::seal::SealingKey;
use mfa_core::store::{FileStore, Store, StoreError, Subject};

use super::*;
use check::Status;

/// A host in a folder of its own, with everything in order and one enrolled user: whoever runs the test.
struct Trial {
    folder: tempfile::TempDir,
    scope: Scope,
    key: SealingKey,
    store: FileStore,
    _syslog: std::os::unix::net::UnixDatagram,
}

impl Trial {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owner = Owner::effective_user();
        let mut text = String::from("version = 1\n[paths]\n");
        for (key, path) in mfa_core::config::Paths::below(folder.path()) {
            writeln!(text, "{key} = {:?}", path.display().to_string()).unwrap();
        }
        write(&at("mfa.toml"), &text, 0o644);
        write(
            &at("machine-id"),
            "5d1c8a1a5c8f4f7e9f5b7c6a1d2e3f40\n",
            0o444,
        );
        let code = format!(
            "version = 1\nusers = [\"root\"]\nservices = [\"login\"]\nttys = [\"null\"]\n\
             generated = 2026-11-20T09:00:00Z\nsalt = \"{0}\"\nhash = \"{0}{0}\"\n",
            "00112233445566778899aabbccddeeff"
        );
        write(&at("emergency.toml"), &code, 0o600);
        let key = SealingKey::generate().unwrap();
        write(&at("seal.key"), &key.to_file_text(), 0o600);
        for name in ["store", "pam.d", "security"] {
            fs::create_dir(at(name)).unwrap();
        }
        write(&at("security/pam_mfa.so"), "\x7fELF", 0o644);
        let stack = "auth [success=ok ignore=ignore default=die] pam_mfa.so conf=CONF\nauth required pam_permit.so\n";
        write(
            &at("pam.d/sshd"),
            &stack.replace("CONF", &at("mfa.toml").display().to_string()),
            0o644,
        );
        write(&at("pam.d/login"), "auth required pam_permit.so\n", 0o644);
        let store = FileStore::create(&at("store"), owner, &[]).unwrap();
        let syslog = at("log");
        let trial = Self {
            scope: Scope {
                config: at("mfa.toml"),
                owner,
                services: vec![at("pam.d")],
                modules: vec![at("security")],
                sshd: at("no-sshd"),
                sshd_config: None,
                address: "203.0.113.7".to_owned(),
                syslog: syslog.clone(),
                send_test: None,
            },
            folder,
            key,
            store,
            _syslog: std::os::unix::net::UnixDatagram::bind(syslog).unwrap(),
        };
        trial.add("root", |_| {});
        trial
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a user with an app who may log in here, but for what `change` does.
    fn add(&self, name: &str, change: impl FnOnce(&mut UserRecord)) {
        let user = UserName::parse(name).unwrap();
        let id = AppId::parse("00000001").unwrap();
        let secret = self
            .key
            .seal(name, &App::seal_purpose(&id), &[7; 20])
            .unwrap();
        let mut record = UserRecord::new(user.clone());
        record.approved = true;
        record.methods = vec![Method::App];
        record.devices = vec![Device {
            id: AssignedDevice::One(
                DeviceId::read(&self.at("machine-id"), self.scope.owner).unwrap(),
            ),
            label: Label::parse("here").unwrap(),
            assigned: datetime(0),
        }];
        record.apps = vec![App {
            id,
            label: Label::parse("phone").unwrap(),
            secret,
            algorithm: Algorithm::Sha1,
            digits: Digits::parse(6).unwrap(),
            period: Period::parse(30_u16).unwrap(),
            enrolled: datetime(0),
            disabled: false,
        }];
        change(&mut record);
        let written = self
            .store
            .change_record(&user, |_| Ok::<_, StoreError>((Some(record), ())));
        written.unwrap();
    }

    /// The only finding of an id.
    fn find(&self, id: &str) -> Check {
        let mut found: Vec<Check> = run(&self.scope)
            .into_iter()
            .filter(|check| check.id == id)
            .collect();
        assert_eq!(found.len(), 1, "{id}: {found:?}");
        found.pop().unwrap()
    }

    /// Asserts that a finding has a status and says something; its hint, to look further.
    fn expect(&self, id: &str, status: Status, words: &str) -> String {
        let check = self.find(id);
        assert!(
            check.status == status && check.message.contains(words),
            "{check:?}"
        );
        check.hint
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.at(name)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.at(name), text.replace(from, to)).unwrap();
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    // What is there may be read-only, which only root can overwrite.
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
#[ignore = "takes a minute to set up: cargo test doctor -- --ignored --nocapture"]
fn a_hundred_thousand_users_are_walked_in_seconds() {
    let trial = Trial::new();
    let record = fs::read(trial.at("store/users/root.toml")).unwrap();
    let state = fs::read(trial.at("store/state/root")).unwrap();
    let record = String::from_utf8(record).unwrap();
    for number in 0..100_000 {
        let name = format!("user{number}");
        let text = record.replace("\"root\"", &format!("{name:?}"));
        write(&trial.at(&format!("store/users/{name}.toml")), &text, 0o600);
        fs::write(trial.at(&format!("store/state/{name}")), &state).unwrap();
        trial.set_mode(&format!("store/state/{name}"), 0o600);
    }
    let started = std::time::Instant::now();
    for check in run(&trial.scope) {
        println!(
            "{} {}: {} [{}]",
            check.status.word(),
            check.id,
            check.message,
            check.hint
        );
    }
    println!("{:?}", started.elapsed());
}

/// What depends on the machine that runs the test, not on the trial.
const OF_THE_MACHINE: [&str; 3] = ["clock.sync", "filesystem", "space"];

#[test]
fn a_host_in_order_is_ok_line_by_line() {
    let trial = Trial::new();
    let checks = run(&trial.scope);
    let of_ours = checks.iter().filter(|check| !check.id.starts_with("pam."));
    for check in of_ours.filter(|check| !OF_THE_MACHINE.contains(&check.id.as_str())) {
        assert_eq!(check.status, Status::Ok, "{check:?}");
        assert!(
            check.hint.is_empty() && check.message.ends_with('.'),
            "{check:?}"
        );
    }
    let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
    let expected = [
        "config",
        "store",
        "paths.store",
        "paths.emergency",
        "filesystem",
        "space",
        "seal.key",
        "machine-id",
        "paths.records",
        "seal.secrets",
        "records",
        "accounts",
        "users",
        "states",
        "emergency",
        "delivery",
        "clock.sync",
        "clock.time",
        "module",
        "syslog",
    ];
    assert_eq!(ids[..expected.len()], expected);
    assert!(
        ids.iter().any(|id| id.starts_with("pam.sshd")) && ids.contains(&"sshd.installed"),
        "{ids:?}"
    );
}

#[test]
fn a_wrong_configuration_is_named_by_line_and_the_rest_goes_on() {
    let trial = Trial::new();
    trial.edit("mfa.toml", "version = 1", "version = 1\ntries = 3");
    let hint = trial.expect("config", Status::Fail, "mfa.toml:2:1: unknown key `tries`");
    assert!(hint.contains(&format!(
        "`mfa-admin --config {}/mfa.toml config check`",
        trial.folder.path().display()
    )));
    trial.expect("store", Status::Warn, "not looked at");
    trial.expect("module", Status::Ok, "pam_mfa.so");
    fs::remove_file(trial.at("mfa.toml")).unwrap();
    let hint = trial.expect("config", Status::Fail, "does not exist");
    assert!(hint.contains("init`"), "{hint}");
}

#[test]
fn modes_and_links_in_the_store_are_found_with_the_command_that_mends_them() {
    let trial = Trial::new();
    trial.set_mode("store/users/root.toml", 0o640);
    let hint = trial.expect("paths.records", Status::Fail, "root.toml: has mode 0640");
    assert_eq!(
        hint,
        format!(
            "`chmod 600 {}`",
            trial.at("store/users/root.toml").display()
        )
    );
    trial.set_mode("store/users/root.toml", 0o600);
    trial.set_mode("store/state/%decoy-7F", 0o666);
    trial.expect("paths.records", Status::Fail, "%decoy-7F: has mode 0666");
    trial.set_mode("store/state/%decoy-7F", 0o600);
    symlink("root.toml", trial.at("store/users/eve.toml")).unwrap();
    trial.expect(
        "paths.records",
        Status::Fail,
        "eve.toml: is a symbolic link",
    );
    trial.set_mode("store/users", 0o755);
    let hint = trial.expect("paths.store", Status::Warn, "has mode 0755");
    assert_eq!(
        hint,
        format!("`chmod 700 {}`", trial.at("store/users").display())
    );
    trial.set_mode("store", 0o777);
    let hint = trial.expect("store", Status::Fail, "others can write it");
    assert!(
        hint.ends_with(&format!("`chmod go-w {}`.", trial.at("store").display())),
        "{hint}"
    );
}

#[test]
fn the_sealing_key_is_missed_and_another_one_noticed() {
    let trial = Trial::new();
    let other = SealingKey::generate().unwrap();
    write(&trial.at("seal.key"), &other.to_file_text(), 0o600);
    let hint = trial.expect(
        "seal.secrets",
        Status::Fail,
        "don't open: root (phone); the first: sealed with key",
    );
    assert!(hint.starts_with("No secret opens"), "{hint}");
    write(&trial.at("seal.key"), "x", 0o600);
    trial.expect("seal.key", Status::Fail, "is no sealing key");
    fs::remove_file(trial.at("seal.key")).unwrap();
    let hint = trial.expect("seal.key", Status::Fail, "does not exist");
    assert!(hint.starts_with("Put it back from your backup"), "{hint}");
    // Everything else is still looked at.
    trial.expect("records", Status::Ok, "1 record is read");
}

#[test]
fn a_secret_that_was_moved_to_another_user_is_noticed() {
    let trial = Trial::new();
    let stolen = trial
        .store
        .record(Subject::User(&UserName::parse("root").unwrap()))
        .unwrap()
        .unwrap();
    trial.add("daemon", |record| {
        record.apps[0].secret = stolen.apps[0].secret.clone();
    });
    let hint = trial.expect(
        "seal.secrets",
        Status::Fail,
        "don't open: daemon (phone); the first: a sealed secret was altered",
    );
    assert!(hint.contains("app enroll daemon`"), "{hint}");
}

#[test]
fn records_that_say_something_wrong_are_named_by_line_and_column() {
    let trial = Trial::new();
    for name in ["bin", "daemon", "games", "mail", "nobody"] {
        trial.add(name, |_| {});
        trial.edit(
            &format!("store/users/{name}.toml"),
            "approved = true",
            "approved = 1",
        );
    }
    let hint = trial.expect("records", Status::Fail, "users/bin.toml:3:12: ");
    assert!(hint.contains("line"), "{hint}");
    trial.expect("records", Status::Fail, "; and 2 more.");
}

#[test]
fn who_can_log_in_and_who_not_is_told() {
    let trial = Trial::new();
    trial.add("bin", |record| record.suspended = "left".to_owned());
    trial.add("daemon", |record| record.approved = false);
    trial.add("games", |record| record.devices.clear());
    trial.expect("users", Status::Ok, "1 user is asked for a code; suspended: bin; not approved: daemon; not assigned to this host: games.");
    trial.add("mail", |record| record.apps.clear());
    let hint = trial.expect(
        "users",
        Status::Warn,
        "without an app or token in use: mail",
    );
    assert!(hint.contains("app enroll mail`"), "{hint}");
}

#[test]
fn a_record_whose_account_is_gone_is_a_warning() {
    let trial = Trial::new();
    trial.add("no such user", |_| {});
    trial.expect(
        "accounts",
        Status::Warn,
        "without an account here: 'no such user'.",
    );
}

#[test]
fn an_empty_store_is_a_warning_that_says_how_to_go_on() {
    let trial = Trial::new();
    trial
        .store
        .remove(&UserName::parse("root").unwrap())
        .unwrap();
    let hint = trial.expect("records", Status::Warn, "no users yet");
    assert!(hint.contains("user add NAME`"), "{hint}");
}

#[test]
fn one_bad_slot_is_a_warning_and_two_are_a_failure() {
    let trial = Trial::new();
    let path = trial.at("store/state/root");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    trial.expect("states.slots", Status::Warn, "does not hold: root.");
    bytes[2048 + 100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let hint = trial.expect(
        "states",
        Status::Fail,
        "damaged, so they are refused: root.",
    );
    assert!(hint.contains("state reset root`"), "{hint}");
}

/// Changes the state of `root`.
fn with_state(
    trial: &Trial,
    mut change: impl FnMut(&UserRecord, &mut mfa_core::state::LoginState),
) {
    let user = UserName::parse("root").unwrap();
    let subject = Subject::User(&user);
    trial
        .store
        .transaction(subject, &mut |record, state| change(record.unwrap(), state))
        .unwrap();
}

#[test]
fn steps_from_the_future_locks_and_disabled_users_are_told() {
    let trial = Trial::new();
    with_state(&trial, |_, state| state.codes.locked_at = Some(state.now()));
    trial.expect("users", Status::Ok, "locked for a time: root.");
    with_state(&trial, |_, state| state.codes.disabled = true);
    let hint = trial.expect("users", Status::Warn, "disabled: root.");
    assert!(hint.contains("user unlock root`"), "{hint}");
    with_state(&trial, |record, state| {
        state.accept_step(&record.apps[0], 1 << 40);
    });
    let hint = trial.expect("states.ahead", Status::Fail, "still to come");
    assert!(hint.contains("state set-clock root`"), "{hint}");
}

#[test]
fn a_state_that_somebody_holds_is_told_with_the_holder() {
    let trial = Trial::new();
    let folder = trial.store.state_folder();
    let held = folder
        .lock_block("root", std::time::Duration::ZERO)
        .unwrap();
    let words = format!("root (by process {})", std::process::id());
    trial.expect("states.busy", Status::Warn, &words);
    drop(held);
    trial.expect("states", Status::Ok, "1 state is sound");
}

#[test]
fn states_are_left_out_where_they_cannot_be_written() {
    let trial = Trial::new();
    let config = configuration(&trial.scope, &mut Vec::new()).unwrap();
    let now = SystemClock::new().now();
    let surveyor = survey::Surveyor {
        config: &config,
        channels: Channels::of(&config),
        store: &trial.store,
        key: None,
        is_writable: false,
        device: None,
        now: &now,
    };
    let checks = surveyor.survey().unwrap().checks(&trial.scope, &config);
    let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["paths.records", "records", "accounts"]);
}

#[test]
fn leftovers_states_of_nobody_and_missing_decoys_are_told() {
    let trial = Trial::new();
    fs::write(trial.at("store/users/%new-root"), "").unwrap();
    fs::copy(trial.at("store/state/root"), trial.at("store/state/gone")).unwrap();
    fs::remove_file(trial.at("store/state/%decoy-00")).unwrap();
    trial.expect("leftovers", Status::Warn, "%new-root");
    trial.expect("leftovers", Status::Warn, "state/gone");
    trial.expect("states.decoys", Status::Warn, "1 of 256");
}

#[test]
fn a_machine_without_an_id_is_a_failure_and_the_users_are_still_read() {
    let trial = Trial::new();
    for (text, words) in [("", "is empty"), ("uninitialized\n", "not initialized")] {
        write(&trial.at("machine-id"), text, 0o644);
        let hint = trial.expect("machine-id", Status::Fail, words);
        assert!(hint.contains("systemd-machine-id-setup"));
    }
    trial.expect("seal.secrets", Status::Ok, "(1)");
    assert!(run(&trial.scope).iter().all(|check| check.id != "users"));
}

#[test]
fn what_need_not_be_there_is_looked_at_where_it_is() {
    let trial = Trial::new();
    write(&trial.at("emergency.toml"), "", 0o644);
    let hint = trial.expect("paths.emergency", Status::Fail, "has mode 0644");
    assert!(hint.contains("chmod 600"), "{hint}");
    fs::create_dir(trial.at("credentials")).unwrap();
    trial.set_mode("credentials", 0o750);
    trial.expect("paths.credentials", Status::Ok, "alone");
    write(&trial.at("credentials/smtp-password"), "x", 0o644);
    trial.expect("paths.credentials", Status::Fail, "smtp-password (uid ");
}

#[test]
fn a_text_from_outside_cannot_move_the_cursor() {
    let trial = Trial::new();
    fs::write(trial.at("store/users/\u{1b}[2J"), "").unwrap();
    let message = trial.find("leftovers").message;
    assert!(!message.contains('\u{1b}'), "{message:?}");
    assert_eq!(quoted("it's"), "'it'\\''s'");
}

#[test]
fn somebody_without_a_record_is_found_for_sshd() {
    let trial = Trial::new();
    let config = configuration(&trial.scope, &mut Vec::new()).unwrap();
    let known = || {
        store::check(
            &trial.scope,
            &config,
            &SystemClock::new().now(),
            &mut Vec::new(),
        )
    };
    assert_eq!(known().without_record.as_deref(), Some("nobody"));
    trial.add("nobody", |_| {});
    assert_eq!(known().without_record.as_deref(), Some("daemon"));
    assert_eq!(known().users, ["nobody", "root"]);
}

/// A courier that reads its document, writes it down, and says what the test wants.
fn write_courier(trial: &Trial, script: &str) {
    // Written by another process: a descriptor of ours, inherited by another test's child at the wrong moment, would
    // make the program "busy".
    let written = std::process::Command::new("sh")
        .args([
            "-c",
            "printf '#!/bin/sh\\nread -r text\\necho \"$text\" >> \"$0.seen\"\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"",
            "sh",
            script,
        ])
        .arg(trial.at("mfa-courier"))
        .status();
    assert!(written.unwrap().success());
}

/// Sets up mail by SMTP, with everything in order; whoever runs the tests is the courier, or `daemon` for root.
fn set_up_mail(trial: &Trial) {
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let own = own.unwrap().unwrap();
    let user = if own.uid.is_root() {
        "daemon"
    } else {
        &own.name
    };
    let courier = nix::unistd::User::from_name(user).unwrap().unwrap();
    let settings = format!(
        "[courier]\nuser = {user:?}\ndeadline = \"1s\"\n[courier.smtp]\nhost = \"mail.example.com\"\n\
         from = \"a@example.com\"\nusername = \"a\"\n"
    );
    let text = fs::read_to_string(trial.at("mfa.toml")).unwrap();
    write(&trial.at("mfa.toml"), &format!("{text}{settings}"), 0o644);
    let is = |name: &str| {
        std::os::unix::fs::chown(
            trial.at(name),
            Some(courier.uid.as_raw()),
            Some(courier.gid.as_raw()),
        )
        .unwrap();
    };
    fs::create_dir(trial.at("spool")).unwrap();
    trial.set_mode("spool", 0o755);
    for part in ["spool/tmp", "spool/new", "spool/deferred", "spool/dead"] {
        fs::create_dir(trial.at(part)).unwrap();
        trial.set_mode(part, 0o700);
        is(part);
    }
    fs::create_dir(trial.at("credentials")).unwrap();
    write(&trial.at("credentials/smtp-password"), "x", 0o640);
    for (name, mode) in [("credentials", 0o750), ("credentials/smtp-password", 0o640)] {
        let group = Some(courier.gid.as_raw());
        std::os::unix::fs::chown(trial.at(name), None, group).unwrap();
        trial.set_mode(name, mode);
    }
    write_courier(
        trial,
        "echo 'accepted smtp mail.example.com:465 lets the courier in'",
    );
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn delivery_in_order_is_ok_line_by_line_and_every_id_is_documented() {
    let trial = Trial::new();
    set_up_mail(&trial);
    let checks = run(&trial.scope);
    let from = checks
        .iter()
        .position(|check| check.id == "delivery")
        .unwrap();
    let found: Vec<&str> = checks[from..]
        .iter()
        .take_while(|check| check.id != "clock.sync")
        .map(|check| check.id.as_str())
        .collect();
    let expected = [
        "delivery",
        "code.lifetime",
        "courier.program",
        "courier.user",
        "courier.credentials",
        "paths.spool",
        "spool.age",
        "delivery.email",
    ];
    // Who runs the tests without being root can be logged in as.
    let bad =
        |check: &&Check| check.status != Status::Ok && (is_root() || check.id != "courier.user");
    assert!(
        checks[from..from + expected.len()]
            .iter()
            .find(bad)
            .is_none(),
        "{checks:?}"
    );
    assert_eq!(found, expected);
    let manual = include_str!("../../../docs/monitoring.md");
    for check in &checks {
        let id = match check.id.split_once('.') {
            Some(("pam", _)) => "pam.",
            Some(("sshd", _)) => "sshd.",
            _ => &check.id,
        };
        assert!(
            manual.contains(&format!("`{id}")),
            "{id} is not in the manual"
        );
    }
    let seen = fs::read_to_string(trial.at("mfa-courier.seen")).unwrap();
    assert!(
        seen.contains("\"kind\":\"check\"") && !seen.contains("\"to\""),
        "{seen}"
    );
}

#[test]
fn what_the_courier_says_is_told_with_what_to_do() {
    let trial = Trial::new();
    set_up_mail(&trial);
    for (line, status, words, hint) in [
        (
            "config smtp auth_rejected 535 no",
            Status::Fail,
            "user name and password",
            "credential set",
        ),
        (
            "retry smtp certificate_expired mail",
            Status::Fail,
            "is not valid now",
            "clock",
        ),
        (
            "retry smtp temporary 421 later",
            Status::Warn,
            "421 later",
            "again",
        ),
        ("", Status::Fail, "without a word", "log"),
    ] {
        write_courier(&trial, &format!("echo '{line}'"));
        let said = trial.expect("delivery.email", status, words);
        assert!(said.contains(hint), "{line}: {said}");
    }
}

#[test]
fn a_courier_that_hangs_does_not_hang_doctor() {
    let trial = Trial::new();
    set_up_mail(&trial);
    write_courier(&trial, "exec sleep 60");
    let started = std::time::Instant::now();
    trial.expect("delivery.email", Status::Fail, "deadline");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn what_delivery_needs_is_missed_by_name() {
    let trial = Trial::new();
    set_up_mail(&trial);
    fs::remove_file(trial.at("credentials/smtp-password")).unwrap();
    let hint = trial.expect(
        "courier.credentials",
        Status::Fail,
        "smtp-password does not exist",
    );
    assert!(hint.contains("credential set smtp-password`"), "{hint}");
    write(&trial.at("credentials/smtp-password"), "", 0o640);
    trial.expect("courier.credentials", Status::Fail, "is empty");
    fs::remove_dir(trial.at("spool/new")).unwrap();
    trial.expect("paths.spool", Status::Fail, "spool/new");
    fs::remove_dir_all(trial.at("spool")).unwrap();
    let hint = trial.expect("paths.spool", Status::Fail, "Notices are lost");
    assert!(hint.contains("init`"), "{hint}");
    trial.set_mode("mfa-courier", 0o777);
    trial.expect("courier.program", Status::Fail, "others can write");
    trial.expect("delivery.email", Status::Warn, "was not tried");
    fs::remove_file(trial.at("mfa-courier")).unwrap();
    let hint = trial.expect("courier.program", Status::Fail, "does not exist");
    assert!(hint.contains("Install it"), "{hint}");
}

#[test]
fn what_the_courier_may_not_read_is_found_with_the_command_that_mends_it() {
    if !is_root() {
        // Past what libtest keeps back.
        let line = b"SKIPPED (needs root): what_the_courier_may_not_read_is_found_with_the_command_that_mends_it\n";
        std::io::Write::write_all(&mut std::io::stderr(), line).unwrap();
        return;
    }
    let trial = Trial::new();
    set_up_mail(&trial);
    trial.set_mode("credentials/smtp-password", 0o600);
    let hint = trial.expect(
        "courier.credentials",
        Status::Fail,
        "can't be read by daemon",
    );
    assert!(
        hint.contains("chgrp daemon ") && hint.contains("chmod 640"),
        "{hint}"
    );
    write(&trial.at("ca.pem"), "x", 0o600);
    let ca = format!("username = \"a\"\nca_file = {:?}", trial.at("ca.pem"));
    trial.edit("mfa.toml", "username = \"a\"", &ca);
    trial.expect("courier.ca-file", Status::Warn, "can't be read by daemon");
    trial.set_mode("ca.pem", 0o644);
    trial.expect("courier.ca-file", Status::Ok, "ca.pem");
    fs::remove_file(trial.at("ca.pem")).unwrap();
    trial.expect("courier.ca-file", Status::Fail, "ca.pem");
    trial.edit("mfa.toml", "user = \"daemon\"", "user = \"root\"");
    trial.expect("courier.user", Status::Fail, "is root");
    trial.edit("mfa.toml", "user = \"root\"", "user = \"no-such-user\"");
    let hint = trial.expect("courier.user", Status::Fail, "no user no-such-user");
    assert!(hint.contains("init`"), "{hint}");
}

#[test]
fn broken_texts_are_told_by_file_line_and_column() {
    let trial = Trial::new();
    set_up_mail(&trial);
    fs::create_dir(trial.at("texts")).unwrap();
    trial.set_mode("texts", 0o755);
    let name = format!("[messages]\ntemplates = {:?}\n", trial.at("texts"));
    let text = fs::read_to_string(trial.at("mfa.toml")).unwrap();
    write(&trial.at("mfa.toml"), &format!("{text}{name}"), 0o644);
    trial.expect("messages.templates", Status::Ok, "are right");
    write(
        &trial.at("texts/test.txt"),
        "Subject: a\n\n{{nobody}}\n",
        0o644,
    );
    trial.expect(
        "messages.templates",
        Status::Warn,
        "test.txt:3:1: unknown field",
    );
    if is_root() {
        write(
            &trial.at("texts/test.txt"),
            "Subject: a\n\n{{user}}\n",
            0o600,
        );
        trial.expect(
            "messages.templates",
            Status::Warn,
            "can't be read by daemon",
        );
    }
}

#[test]
fn a_spool_that_nobody_empties_is_a_failure_and_links_in_it_are_not_followed() {
    let trial = Trial::new();
    set_up_mail(&trial);
    let notice = "spool/new/login~root~0123456789abcdef0123456789abcdef";
    fs::write(trial.at(notice), "x").unwrap();
    trial.expect("spool.age", Status::Ok, "1 notice waits");
    symlink("/etc/hostname", trial.at("spool/new/planted")).unwrap();
    trial.expect("spool.age", Status::Ok, "2 notices wait");
    let touched = std::process::Command::new("touch")
        .args(["-h", "-d", "20 minutes ago"])
        .arg(trial.at(notice))
        .status();
    assert!(touched.unwrap().success());
    let hint = trial.expect("spool.age", Status::Fail, "the oldest for 20 minutes");
    assert!(hint.contains("mfa-notify.timer"), "{hint}");
    fs::write(trial.at("spool/dead/x"), "x").unwrap();
    trial.expect("spool.dead", Status::Warn, "1 notice was given up");
}

#[test]
fn methods_that_reach_nobody_are_told_with_names() {
    let trial = Trial::new();
    trial.add("daemon", |record| {
        record.methods = vec![Method::App, Method::Email];
    });
    let hint = trial.expect(
        "users.delivery",
        Status::Warn,
        "nothing is sent by email on this host, to daemon",
    );
    assert!(hint.contains("[courier.smtp]"), "{hint}");
    trial.add("bin", |record| record.methods = vec![Method::Email]);
    let hint = trial.expect(
        "users",
        Status::Warn,
        "without a method that works here: bin",
    );
    assert!(hint.contains("explain bin`"), "{hint}");
    set_up_mail(&trial);
    let hint = trial.expect(
        "users.delivery",
        Status::Warn,
        "no address for bin (email) and daemon (email)",
    );
    assert!(hint.contains("user set bin --email ADDR"), "{hint}");
}

#[test]
fn a_trial_message_goes_to_whom_it_was_asked_for() {
    let mut trial = Trial::new();
    trial.scope.send_test = Some("daemon".to_owned());
    trial.expect("delivery.test", Status::Fail, "nothing is delivered");
    set_up_mail(&trial);
    trial.expect("delivery.test", Status::Fail, "no user daemon");
    trial.add("daemon", |_| {});
    trial.expect("delivery.test", Status::Fail, "can't be reached");
    trial.add("daemon", |record| {
        record.email = Some(EmailAddress::parse("d@example.com").unwrap());
    });
    let check = trial.find("delivery.test");
    assert_eq!(check.status, Status::Ok, "{check:?}");
    assert!(!check.message.contains("d@example.com"), "{check:?}");
    let seen = fs::read_to_string(trial.at("mfa-courier.seen")).unwrap();
    let tests: Vec<&str> = seen
        .lines()
        .filter(|line| line.contains("\"kind\":\"test\""))
        .collect();
    assert!(
        tests.len() == 1 && tests[0].contains("\"to\":\"d@example.com\""),
        "{seen}"
    );
    write_courier(&trial, "echo 'refused smtp refused 550 no'");
    trial.expect(
        "delivery.test",
        Status::Fail,
        "No trial message was sent to daemon.",
    );
}

#[test]
fn tokens_that_are_out_of_step_and_secrets_that_do_not_open_are_told() {
    let trial = Trial::new();
    let id = AppId::parse("000000aa").unwrap();
    let key = &trial.key;
    let token = |user: &str| mfa_core::record::Token {
        secret: key
            .seal(user, &mfa_core::record::Token::seal_purpose(&id), &[7; 20])
            .unwrap(),
        id: id.clone(),
        label: Label::parse("key ring").unwrap(),
        digits: Digits::parse(6).unwrap(),
        counter: 0,
        enrolled: datetime(0),
        disabled: false,
    };
    for (name, standing) in [("bin", 0), ("daemon", 1), ("games", 2)] {
        trial.add(name, |record| {
            record.apps.clear();
            record.methods = vec![Method::Token];
            record.tokens = vec![token(name)];
        });
        let user = UserName::parse(name).unwrap();
        trial
            .store
            .transaction(Subject::User(&user), &mut |_, state| {
                if standing > 0 {
                    state.raise_token(&id, 5);
                }
                if standing > 1 {
                    state.resync = state.tokens.first().cloned();
                }
            })
            .unwrap();
    }
    // All of them are asked, and have nothing to enrol.
    trial.expect("users", Status::Ok, "4 users are asked for a code");
    trial.expect("seal.secrets", Status::Ok, "apps and tokens open (4)");
    let hint = trial.expect(
        "users.tokens",
        Status::Warn,
        "bin (key ring: counter unknown) and games (key ring: out of step).",
    );
    assert!(hint.contains("token resync bin`"), "{hint}");
    trial.add("mail", |record| {
        record.apps[0].disabled = true;
        record.tokens = vec![token("games")];
        record.tokens[0].disabled = true;
    });
    trial.expect(
        "users",
        Status::Warn,
        "without an app or token in use: mail",
    );
    trial.expect("seal.secrets", Status::Fail, "mail (token key ring)");
}
