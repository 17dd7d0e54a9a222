use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use mfa_core::device::AssignedDevice;
use mfa_core::record::{
    Algorithm, App, AppId, Device, Digits, Label, Method, Period, UserRecord, datetime,
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
fn keys_of_later_releases_are_a_warning() {
    let trial = Trial::new();
    trial.edit(
        "mfa.toml",
        "version = 1",
        "version = 1\n[prompt]\nfirst = \"send\"",
    );
    trial.expect(
        "config.later",
        Status::Warn,
        "not in this release, so without effect: prompt.first",
    );
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
    let hint = trial.expect("users", Status::Warn, "without an app: mail");
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
    trial.expect("states.slots", Status::Warn, "nothing is lost: root.");
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
