//! `seal`, but for credentials, which need a host of their own (`tests/tests/keys`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mfa_core::otp::Authenticator;
use mfa_core::record::UserRecord;
use mfa_core::seal::{SealingKey, sealed_with};
use mfa_core::secure_file::{Folder, Owner};
use mfa_core::store::{FileStore, Store, Subject};
use serde_json::Value;

use crate::host::{Host, Run, SECRET, assert_fits, code, finish, needs_root};

/// Accounts that every system has.
const PEOPLE: [&str; 3] = ["daemon", "bin", "sys"];

/// A host with three people, each with an app over the same secret.
fn crowded() -> Host {
    let host = Host::new();
    for name in PEOPLE {
        host.run(&format!("user add {name}")).expect(0);
        host.enroll(name, "phone");
    }
    host
}

fn key_of(host: &Host) -> SealingKey {
    // Not the one that finds what was put in its place since.
    SealingKey::from_file_text(key_text(host).as_bytes()).unwrap()
}

fn key_text(host: &Host) -> String {
    fs::read_to_string(host.path("seal.key")).unwrap()
}

fn write_key(host: &Host, text: &str) {
    fs::write(host.path("seal.key"), text).unwrap();
}

fn record_path(host: &Host, user: &str) -> std::path::PathBuf {
    host.path(&format!("store/users/{user}.toml"))
}

fn record_text(host: &Host, user: &str) -> String {
    fs::read_to_string(record_path(host, user)).unwrap()
}

fn record_of(host: &Host, user: &str) -> UserRecord {
    let store = FileStore::open(&host.path("store"), Owner::ROOT, &[]).unwrap();
    let user = mfa_core::request::UserName::parse(user).unwrap();
    store.record(Subject::User(&user)).unwrap().unwrap()
}

fn opens(key: &SealingKey, record: &UserRecord) -> bool {
    let apps = record.apps.iter();
    let mut opened = apps.map(|app| Authenticator::open(key, &record.user, app, 1).is_ok());
    opened.all(|opened| opened)
}

/// The sealed text of a user's only app.
fn sealed(host: &Host, user: &str) -> String {
    record_of(host, user).apps[0].secret.clone()
}

/// A text as if it had one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn status(host: &Host, code: i32) -> Value {
    host.run("seal status --json").expect(code).json()
}

#[test]
fn a_rotation_seals_everything_with_a_new_key_and_changes_nothing_else() {
    needs_root!();
    let host = crowded();
    let old = key_of(&host);
    let before = PEOPLE.map(|name| record_of(&host, name));
    let (run, lines) = host.run_logged("seal rotate", "");
    let run = run.expect(0);
    let new = key_of(&host);
    assert_ne!(new.id(), old.id());
    assert!(
        run.out.contains(new.id()) && run.out.contains(old.id()),
        "{run:?}"
    );
    assert_fits(&run.out);
    assert_eq!(run.err, "", "no bar where nobody sees it");
    for (name, mut was) in PEOPLE.into_iter().zip(before) {
        let mut is = record_of(&host, name);
        assert!(
            opens(&new, &is) && !opens(&new, &was) && !opens(&old, &is),
            "{name}"
        );
        assert_eq!(sealed_with(&is.apps[0].secret), Some(new.id()));
        is.apps[0].secret.clear();
        was.apps[0].secret.clear();
        assert_eq!(is, was, "{name}");
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    let detail = format!("detail=\"from key {} to key {}\"", old.id(), new.id());
    assert!(
        lines[0].contains("id=MFA-3081 event=seal_rotation_begun outcome=success user=- actor=\"")
    );
    assert!(lines[0].ends_with(&detail), "{lines:?}");
    assert!(lines[1].contains("id=MFA-3082 event=seal_rotated outcome=success user=- actor=\""));
    assert!(
        lines[1].ends_with(&format!("detail=\"key {}, 3 secrets\"", new.id())),
        "{lines:?}"
    );
    let (text, old_text) = (key_text(&host), old.to_file_text());
    for line in lines.iter().chain([&run.out]) {
        let mut keys = text.lines().chain(old_text.lines());
        assert!(
            !keys.any(|key| line.contains(key.rsplit(':').next().unwrap())),
            "{line}"
        );
    }
    let left: Vec<_> = fs::read_dir(host.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let document = host.run("--json seal rotate").expect(0).json();
    for (key, value) in [
        ("changed", Value::from(true)),
        ("key", key_of(&host).id().into()),
        ("previous", new.id().into()),
        ("resumed", false.into()),
        ("records", 3.into()),
        ("resealed", 3.into()),
        ("unopened", Value::Array(Vec::new())),
    ] {
        assert_eq!(document[key], value, "{key}");
    }
    assert_eq!(host.run("--quiet seal rotate").expect(0).out, "");
}

#[test]
fn status_names_the_keys_and_what_does_not_open() {
    needs_root!();
    let host = crowded();
    let key = key_of(&host);
    let run = host.run("seal status").expect(0);
    for text in [
        key.id(),
        "seal.key, a plain file",
        "3 secrets in 3 records: 3 with",
        "Don't open    none",
    ] {
        assert!(run.out.contains(text), "{text}: {}", run.out);
    }
    assert_fits(&run.out);
    let digits = key_text(&host);
    let digits = digits.trim().rsplit(':').next().unwrap();
    assert!(!run.out.contains(digits));
    let document = status(&host, 0);
    assert_eq!(document["key"], key.id());
    assert_eq!(document["previous"], Value::Null);
    assert_eq!(document["rotating"], false);
    assert_eq!(document["kept_in"], "file");
    assert_eq!(
        document["path"],
        host.path("seal.key").display().to_string()
    );
    assert_eq!(document["protected_by"], Value::Null);
    assert!(document["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(document["by_key"][key.id()], 3);
    assert_eq!(document["next"], Value::Array(Vec::new()));

    // A record that is another user's copy, one secret in the place of another, one of another key, and one that
    // can't be read.
    host.feed(
        "app enroll daemon --label tablet --secret - --no-confirm",
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    )
    .expect(0);
    let text = record_text(&host, "daemon").replace("user = \"daemon\"", "user = \"bin\"");
    fs::write(record_path(&host, "bin"), text).unwrap();
    let apps = record_of(&host, "daemon").apps;
    let text = record_text(&host, "daemon").replace(&apps[1].secret, &apps[0].secret);
    fs::write(record_path(&host, "daemon"), text).unwrap();
    let other = SealingKey::generate().unwrap();
    let text = record_text(&host, "sys").replace(
        &sealed(&host, "sys"),
        &other.seal("sys", "app/1", b"12345678901234567890").unwrap(),
    );
    fs::write(record_path(&host, "sys"), text).unwrap();
    let document = status(&host, 1);
    let unopened: Vec<_> = document["unopened"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["user"].as_str().unwrap(), it["label"].as_str().unwrap()))
        .collect();
    let expected = [
        ("bin", "phone"),
        ("bin", "tablet"),
        ("daemon", "tablet"),
        ("sys", "phone"),
    ];
    assert_eq!(unopened, expected);
    assert_eq!(document["by_key"][other.id()], 1);
    let reason = document["unopened"][3]["reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("sealed with key {}", other.id())),
        "{reason}"
    );
    assert!(
        document["next"][0]
            .as_str()
            .unwrap()
            .contains("backup's seal.key")
    );
    fs::write(record_path(&host, "sys"), "version = 1\nuser = \"sys\"\n").unwrap();
    let document = status(&host, 1);
    assert_eq!(document["unreadable"].as_array().unwrap().len(), 1);
    let run = host.run("seal status").expect(1);
    assert!(
        run.out
            .contains("Don't open    bin (phone): a sealed secret was altered"),
        "{}",
        run.out
    );
    assert!(run.out.contains("Unreadable"), "{}", run.out);
    assert_fits(&run.out);
}

#[test]
fn what_a_killed_rotation_left_is_gone_on_with_and_no_third_key_is_made() {
    needs_root!();
    let host = crowded();
    let old = key_of(&host);
    let both = old.successor().unwrap();
    write_key(&host, &both.to_file_text());
    // One of three is done.
    let mut record = record_of(&host, "bin");
    for sealed in record.sealed_texts() {
        let secret = both.open("bin", &sealed.purpose, sealed.text).unwrap();
        *sealed.text = both.seal("bin", &sealed.purpose, &secret).unwrap();
    }
    fs::write(record_path(&host, "bin"), record.to_text().unwrap()).unwrap();
    let document = status(&host, 0);
    assert_eq!(
        (&document["key"], &document["previous"]),
        (&both.id().into(), &old.id().into())
    );
    assert_eq!(document["rotating"], true);
    assert_eq!(
        (
            &document["by_key"][old.id()],
            &document["by_key"][both.id()]
        ),
        (&2.into(), &1.into())
    );
    let run = host.run("seal status").expect(0);
    assert!(
        run.out.contains("a rotation is half done") && run.out.contains("goes on"),
        "{}",
        run.out
    );
    let doctor = host.run("doctor --json").json();
    let check = |id: &str| {
        let checks = doctor["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(check("seal.rotation")["status"], "warn");
    assert_eq!(check("seal.secrets")["status"], "ok");
    // Who is enrolled now is sealed with the new key.
    host.run("app remove sys phone --yes").expect(0);
    host.enroll("sys", "phone");
    assert_eq!(sealed_with(&sealed(&host, "sys")), Some(both.id()));
    let (run, lines) = host.run_logged("seal rotate --json", "");
    let document = run.expect(0).json();
    assert_eq!(document["resumed"], true);
    assert_eq!(document["resealed"], 1);
    assert!(
        lines[0].contains("3081") && lines[0].contains("reason=\"resumed\""),
        "{lines:?}"
    );
    let new = key_of(&host);
    assert_eq!((new.id(), new.id_before()), (both.id(), None));
    assert!(
        PEOPLE
            .iter()
            .all(|name| opens(&new, &record_of(&host, name)))
    );
}

#[test]
fn what_can_not_be_sealed_anew_keeps_both_keys_until_it_is_mended() {
    needs_root!();
    let host = crowded();
    let old = key_of(&host);
    let sound = record_text(&host, "bin");
    let broken = sound.replace("approved = true", "aproved = true");
    fs::write(record_path(&host, "bin"), &broken).unwrap();
    // Sealed for daemon, and so it opens for nobody here.
    let of_daemon = sealed(&host, "daemon");
    let of_sys = record_text(&host, "sys");
    fs::write(
        record_path(&host, "sys"),
        of_sys.replace(&sealed(&host, "sys"), &of_daemon),
    )
    .unwrap();
    for _ in 0..2 {
        let run = host.run("seal rotate").expect(1);
        for text in [
            "2 records could not be sealed anew",
            old.id(),
            "bin.toml:3:1",
            "sys:",
        ] {
            assert!(run.err.contains(text), "{text}: {}", run.err);
        }
        assert_fits(&run.err);
        assert_eq!(record_text(&host, "bin"), broken, "as it was");
        let both = key_of(&host);
        assert_eq!(both.id_before(), Some(old.id()));
        assert!(opens(&both, &record_of(&host, "daemon")));
    }
    fs::write(record_path(&host, "bin"), &sound).unwrap();
    host.run("app remove sys phone --yes").expect(0);
    host.run("seal rotate").expect(0);
    let new = key_of(&host);
    assert_eq!(new.id_before(), None);
    assert!(opens(&new, &record_of(&host, "bin")));
}

#[test]
fn a_record_of_an_old_backup_comes_back_with_the_key_of_its_time() {
    needs_root!();
    let host = crowded();
    let (backup, key_then) = (record_text(&host, "bin"), key_text(&host));
    host.run("seal rotate").expect(0);
    fs::write(record_path(&host, "bin"), backup).unwrap();
    status(&host, 1);
    // As `seal status` says: that key's line below the first one.
    let now = key_text(&host);
    let (first, rest) = now.split_once('\n').unwrap();
    write_key(&host, &format!("{first}\n{key_then}{rest}"));
    status(&host, 0);
    host.run("seal rotate").expect(0);
    let document = status(&host, 0);
    assert_eq!(document["rotating"], false);
    assert_eq!(
        key_of(&host).id(),
        SealingKey::from_file_text(now.as_bytes()).unwrap().id()
    );
}

#[test]
fn a_rotation_does_not_say_that_it_sealed_what_neither_key_opens() {
    needs_root!();
    let host = crowded();
    for name in PEOPLE {
        for letter in 'A'..='G' {
            let line = format!("app enroll {name} --label {letter} --secret - --no-confirm");
            host.feed(&line, &SECRET.replacen('J', &letter.to_string(), 1))
                .expect(0);
        }
    }
    // One that still opens, and 23 of a key that is gone.
    let gone = key_text(&host);
    host.run("app remove bin phone --yes").expect(0);
    let other = SealingKey::generate().unwrap();
    write_key(&host, &other.to_file_text());
    host.enroll("bin", "phone");
    let run = host.run("seal rotate").expect(1);
    assert_fits(&run.out);
    assert_fits(&run.err);
    let said = words(&run.out);
    assert!(said.contains("seals 1 of 24 secrets"), "{said}");
    assert_eq!(run.err.matches("neither key opens it").count(), 20);
    let said = words(&run.err);
    for text in [
        "and 3 more that neither key opens",
        "`mfa-admin seal status` says with which key it opens",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    let document = host.run("seal rotate --json").expect(1).json();
    assert_eq!(document["unopened"].as_array().unwrap().len(), 23);
    // Nothing of it was lost.
    let now = key_text(&host);
    let (first, rest) = now.split_once('\n').unwrap();
    write_key(&host, &format!("{first}\n{gone}{rest}"));
    host.run("seal rotate").expect(0);
    assert!(opens(&key_of(&host), &record_of(&host, "daemon")));
}

#[test]
fn a_key_that_nothing_is_sealed_with_is_not_changed() {
    needs_root!();
    let host = crowded();
    let old = key_text(&host);
    host.run("seal rotate").expect(0);
    let right = key_text(&host);
    // The key of an old backup, by mistake.
    write_key(&host, &old);
    let run = host.run("seal rotate").expect(1);
    let said = words(&run.err);
    for text in [
        "no secret in the store is sealed with key",
        "nothing was changed",
        "put the right sealing key back",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert_fits(&run.err);
    assert_eq!(key_text(&host), old);
    write_key(&host, &right);
    host.run("seal rotate").expect(0);
    status(&host, 0);
    // Where nothing is sealed at all, any key is as good.
    for name in PEOPLE {
        let line = format!("app remove {name} phone --yes");
        host.run(&line).expect(0);
    }
    host.run("seal rotate").expect(0);
}

#[test]
fn one_rotation_at_a_time() {
    needs_root!();
    let host = crowded();
    let before = key_text(&host);
    let lock = Folder::open(&host.path("store"), Owner::ROOT)
        .unwrap()
        .lock()
        .unwrap();
    for line in ["seal rotate", "seal bind --yes"] {
        let run = host.run(line).expect(1);
        assert!(
            run.err
                .contains("another `seal rotate` or `seal bind` is at work"),
            "{}",
            run.err
        );
    }
    assert_eq!(key_text(&host), before);
    // Looking is not changing.
    host.run("seal status").expect(0);
    drop(lock);
    host.run("seal rotate").expect(0);
}

#[test]
fn who_is_enrolling_while_keys_are_changed_is_sealed_with_the_new_one() {
    needs_root!();
    let host = crowded();
    host.run("user add games").expect(0);
    let line = "app enroll games --secret - --confirm - --qr none";
    // Its secret is read, and so was the key; it waits for the code.
    let mut enrolment = Command::new("sh");
    let words = format!(
        "(echo {SECRET}; for i in $(seq 1500); do test -e {0}/go && break; sleep 0.02; done; echo {1}) | {2} --config {0}/mfa.toml {line}",
        host.folder().display(),
        code(),
        crate::host::PROGRAM
    );
    enrolment.args(["-c", &words]);
    let mut child = enrolment
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| has_shown(&host, "app\0enroll"));
    std::thread::sleep(Duration::from_millis(300));
    host.run("seal rotate").expect(0);
    fs::write(host.path("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    let new = key_of(&host);
    assert!(opens(&new, &record_of(&host, "games")));
    assert_eq!(status(&host, 0)["by_key"][new.id()], 4);
}

/// Whether a process of this host's runs with such words.
fn has_shown(host: &Host, words: &str) -> bool {
    process(host, words).is_some()
}

fn process(host: &Host, words: &str) -> Option<std::path::PathBuf> {
    let config = host.path("mfa.toml").display().to_string();
    let processes = fs::read_dir("/proc").unwrap();
    processes.map(|entry| entry.unwrap().path()).find(|path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_ours =
            fs::read_link(path.join("exe")).is_ok_and(|exe| exe == Path::new(crate::host::PROGRAM));
        is_ours && line.contains(&config) && line.contains(words)
    })
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not come to that");
}

#[test]
fn ctrl_c_ends_a_rotation_between_two_records_and_says_how_to_go_on() {
    needs_root!();
    let host = crowded();
    let old = key_of(&host);
    let store = FileStore::open(&host.path("store"), Owner::ROOT, &[]).unwrap();
    let lock = store.users_folder().lock().unwrap();
    let mut terminal = host.terminal("seal rotate");
    wait_until(|| {
        let blocked = process(&host, "seal\0rotate").and_then(|path| {
            let status = fs::read_to_string(path.join("status")).ok()?;
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigBlk:"))?
                .trim()
                .to_owned();
            u64::from_str_radix(&mask, 16).ok()
        });
        blocked.is_some_and(|mask| mask & 0b10 != 0)
    });
    terminal.answer("", "\u{3}");
    wait_until(|| {
        process(&host, "seal\0rotate").is_some_and(|path| {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
            pending.is_some_and(|mask| mask.trim().ends_with('2'))
        })
    });
    drop(lock);
    let Run { code, out, .. } = terminal.end();
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("interrupted after 0 of 3 records; both keys are kept"),
        "{out}"
    );
    assert!(out.contains("`mfa-admin seal rotate` goes on"), "{out}");
    assert_eq!(key_of(&host).id_before(), Some(old.id()));
    status(&host, 0);
    host.run("seal rotate").expect(0);
    assert_eq!(key_of(&host).id_before(), None);
}

#[test]
fn at_a_terminal_people_see_how_far_it_is_on_one_line() {
    needs_root!();
    let host = crowded();
    let seen = host.terminal("seal rotate").end();
    assert_eq!(seen.code, 0, "{}", seen.out);
    for text in [
        "Sealing anew [....",
        "of 3",
        "Looking over [####",
        "\u{1b}[K",
    ] {
        assert!(seen.out.contains(text), "{text}: {}", seen.out);
    }
    let seen = host.terminal("seal rotate --quiet").end();
    assert!(
        seen.code == 0 && !seen.out.contains("Sealing") && !seen.out.contains('\u{1b}'),
        "{}",
        seen.out
    );
}

#[test]
fn a_key_that_is_none_or_not_private_or_gone_is_exit_4_and_nothing_is_changed() {
    needs_root!();
    let host = crowded();
    let (path, text) = (host.path("seal.key"), key_text(&host));
    let records = || PEOPLE.map(|name| record_text(&host, name));
    let before = records();
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let refused = |words: &str| {
        for line in [
            "seal status",
            "seal rotate",
            "seal bind --yes",
            "app enroll daemon --no-confirm",
        ] {
            let run = host.run(line).expect(4);
            assert!(
                run.err.replace("\n  ", " ").contains(words),
                "{line}: {}",
                run.err
            );
            assert_eq!(
                host.run(&format!("{line} --json")).expect(4).json()["error"]["kind"],
                "store_unusable"
            );
        }
        assert_eq!(records(), before);
    };
    write_key(&host, "mfa-seal-key:1:00112233\n");
    refused("holds a key of 8 digits, and a sealing key has 64");
    write_key(&host, "");
    refused("this is no sealing key");
    write_key(&host, &text);
    mode(0o644);
    refused("has mode 0644; chmod 600 it");
    mode(0o600);
    fs::remove_file(&path).unwrap();
    refused("seal.key: does not exist");
    write_key(&host, &text);
    mode(0o600);
    // On a file system that is gone.
    host.configure(
        &format!("seal_key = \"{}\"", path.display()),
        &format!("seal_key = \"{}/gone/seal.key\"", host.folder().display()),
    );
    refused("does not exist");
}

#[test]
fn a_key_that_can_not_be_written_is_exit_4_and_the_old_one_stays() {
    needs_root!();
    let host = crowded();
    let before = (key_text(&host), PEOPLE.map(|name| record_text(&host, name)));
    let mut command = Command::new("unshare");
    let folder = host.folder().display().to_string();
    // The folder of the key is read-only, the store is not.
    let script = "mount --bind \"$0/store\" \"$0/store\" && mount --bind \"$0\" \"$0\" && mount --rbind \"$0/store\" \"$0/store\" && \
                  mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    command.args([
        "-m",
        "sh",
        "-c",
        script,
        &folder,
        crate::host::PROGRAM,
        "--config",
    ]);
    command.arg(host.path("mfa.toml")).args(["seal", "rotate"]);
    let run = finish(command, "").expect(4);
    assert!(
        run.err.contains("seal.key: Read-only file system"),
        "{}",
        run.err
    );
    assert!(run.err.contains("no secret is lost"), "{}", run.err);
    let after = (key_text(&host), PEOPLE.map(|name| record_text(&host, name)));
    assert_eq!(before, after);
}

#[test]
fn an_app_that_was_removed_before_a_rotation_has_the_same_id_after_it() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let id = record_of(&host, "daemon").apps[0].id.clone();
    host.run("app remove daemon phone --yes").expect(0);
    host.run("seal rotate").expect(0);
    host.run("seal rotate").expect(0);
    host.enroll("daemon", "again");
    assert_eq!(record_of(&host, "daemon").apps[0].id, id);
    // And the same secret twice is refused as before.
    let run = host.feed(
        "app enroll daemon --label twice --secret - --no-confirm",
        SECRET,
    );
    assert!(run.expect(1).err.contains("has this secret already"));
}
