//! Passphrases: setting, showing and removing them. What is good enough is said by the tests' courier here, by the real
//! one in tests/tests/passphrase.

use mfa_core::passphrase::{Cost, Hasher, Passphrase, Pepper};
use mfa_core::record::UserRecord;
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::Owner;
use mfa_core::store::{FileStore, Store, Subject};

use crate::host::{Host, assert_fits, needs_root};

const PHRASE: &str = "gravel ocelot sings thrice";

fn host() -> Host {
    let host = Host::delivering("daemon");
    host.courier_says("accepted - fit");
    host
}

fn record(host: &Host) -> UserRecord {
    let store = FileStore::open(&host.path("store"), Owner::ROOT, &[]).unwrap();
    let user = mfa_core::request::UserName::parse("daemon").unwrap();
    store.record(Subject::User(&user)).unwrap().unwrap()
}

fn is_kept(host: &Host, text: &str) -> bool {
    let cost = Cost::from(&host.config().passphrase);
    let phrase = Passphrase::parse(text.as_bytes()).unwrap();
    let kept = record(host).passphrase;
    let key = std::fs::read(host.path("seal.key")).unwrap();
    let key = SealingKey::from_file_text(&key).unwrap();
    Hasher::new(Pepper::of(&key, "daemon"))
        .is_right(Some(&phrase), kept.as_ref().map(|kept| &kept.hash), cost)
        .unwrap()
}

#[test]
fn a_passphrase_from_standard_input_is_kept_as_a_hash_told_and_logged() {
    needs_root!();
    let host = host();
    let (run, lines) = host.run_logged("passphrase set daemon -", &format!("{PHRASE}\n"));
    let run = run.expect(0);
    assert!(
        run.out.contains("The passphrase of daemon is set."),
        "{run:?}"
    );
    assert!(is_kept(&host, PHRASE) && !is_kept(&host, "gravel ocelot sings twice"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0]
            .contains("id=MFA-3061 event=passphrase_set outcome=success user=\"daemon\" actor="),
        "{lines:?}"
    );
    let notices = host.notices();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0]["event"], "passphrase_set");
    // The courier was asked as root asks it, and got the names that may not be in it.
    assert!(
        host.calls()
            .iter()
            .any(|call| call.starts_with("passphrase --config "))
    );
    let asked = std::fs::read_to_string(host.path("documents")).unwrap();
    assert!(asked.lines().any(|line| line == PHRASE), "{asked}");
    std::fs::remove_file(host.path("documents")).unwrap();
    // Nothing else that is kept or said shows it, or its hash.
    let mut shown = lines.concat();
    for line in [
        "passphrase status daemon",
        "user show daemon",
        "user list --json",
        "explain daemon",
        "--json user show daemon",
        "--json passphrase status daemon",
    ] {
        shown.push_str(&host.run(line).expect(0).out);
    }
    assert!(
        !shown.contains("$argon2") && !shown.contains("ocelot"),
        "{shown}"
    );
    for (path, content) in host.snapshot() {
        assert!(
            !String::from_utf8_lossy(&content).contains("ocelot"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn what_the_courier_does_not_take_is_refused_and_nothing_changes() {
    needs_root!();
    let host = host();
    host.feed("passphrase set daemon", PHRASE).expect(0);
    let before = record(&host);
    for (says, code, expected) in [
        (
            "refused - unfit it is too easy to guess: add a word",
            1,
            "too easy to guess: add a word",
        ),
        ("config - words /x: does not exist", 1, "nobody says"),
        ("nonsense", 1, "nobody says"),
        ("", 1, "nobody says"),
    ] {
        host.courier_says(says);
        let run = host
            .feed("passphrase set daemon -", "another good one")
            .expect(code);
        let said = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(expected), "{says}: {said}");
        assert_eq!(record(&host), before, "{says}");
    }
    host.courier_runs("exit 1");
    host.feed("passphrase set daemon -", "another good one")
        .expect(1);
    std::fs::remove_file(host.path("mfa-courier")).unwrap();
    let error = host
        .feed("--json passphrase set daemon -", "another good one")
        .expect(1);
    assert!(
        error.json()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("doctor")
    );
    assert_eq!(record(&host), before);
}

#[test]
fn what_can_be_no_passphrase_is_refused_and_never_repeated() {
    needs_root!();
    let host = host();
    for (input, expected) in [
        (String::new(), "no passphrase came"),
        ("secret7".to_owned(), "fewer than 12 characters"),
        ("secret\tsecret".to_owned(), "control character"),
        (
            "secret secret\nsecret secret\n".to_owned(),
            "control character",
        ),
        ("secret ".repeat(150), "more than 1024 bytes"),
        ("secret".repeat(2 << 20), "more than 1024 bytes"),
    ] {
        let run = host.feed("passphrase set daemon -", &input).expect(1);
        assert!(run.err.contains(expected), "{expected}: {}", run.err);
        assert!(!run.err.contains("secret"), "{}", run.err);
    }
    let mut command = host.command("passphrase set daemon -");
    command.stdin(std::process::Stdio::piped());
    let run = {
        use std::io::Write;
        let mut child = command
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"\xff\xfe secret words")
            .unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("not UTF-8"));
    assert!(record(&host).passphrase.is_none());
    let run = host.run("passphrase set daemon my-secret-words").expect(2);
    assert!(!run.err.contains("my-secret-words"), "{}", run.err);
    host.feed("passphrase set nobody-of-this-name -", PHRASE)
        .expect(3);
}

#[test]
fn at_a_terminal_it_is_typed_twice_and_not_shown() {
    needs_root!();
    let host = host();
    let mut terminal = host.terminal("passphrase set daemon");
    terminal
        .answer("New passphrase for daemon: ", &format!("{PHRASE}\n"))
        .answer("Again: ", &format!("{PHRASE}\n"));
    let run = terminal.end().expect(0);
    assert!(!run.out.contains("ocelot"), "{}", run.out);
    assert!(is_kept(&host, PHRASE));
    let mut terminal = host.terminal("passphrase set daemon");
    terminal
        .answer("New passphrase for daemon: ", "a new one, typed\n")
        .answer("Again: ", "a new one, misty ped\n");
    assert!(terminal.end().expect(1).out.contains("not the same"));
    assert!(is_kept(&host, PHRASE));
}

#[test]
fn status_and_show_say_since_when_and_what_it_costs() {
    needs_root!();
    let host = host();
    let run = host.run("passphrase status daemon").expect(3);
    assert!(run.err.contains("has no passphrase") && run.err.contains("passphrase set daemon"));
    let shown = host.run("--json user show daemon").expect(0).json();
    assert!(shown["user"]["passphrase"].is_null());
    assert!(
        !host
            .run("user show daemon")
            .expect(0)
            .out
            .contains("Passphrase:")
    );
    host.feed("passphrase set daemon -", PHRASE).expect(0);
    let run = host.run("passphrase status daemon").expect(0);
    let said = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.starts_with("daemon: set, since 20")
            && said.ends_with("UTC (argon2id, 19456 KiB, passes 2, lanes 1)"),
        "{said}"
    );
    assert_fits(&run.out);
    let document = host.run("--json passphrase status daemon").expect(0).json();
    assert_eq!(document["user"], "daemon");
    assert_eq!(
        [&document["memory"], &document["passes"], &document["lanes"]],
        [19456, 2, 1]
    );
    assert_eq!(document["hashed_anew_at_login"], false);
    assert!(document["changed"].as_str().unwrap().starts_with("20"));
    assert!(document.get("hash").is_none());
    host.configure("passes = 2", "passes = 3");
    let document = host.run("--json passphrase status daemon").expect(0).json();
    assert_eq!(document["hashed_anew_at_login"], true);
    let shown = host.run("user show daemon").expect(0).out;
    assert!(
        shown.contains("Passphrase:") && shown.contains("hashed anew"),
        "{shown}"
    );
    assert_fits(&shown);
}

#[test]
fn removing_one_asks_and_is_told() {
    needs_root!();
    let host = host();
    host.run("passphrase remove daemon --yes").expect(3);
    host.feed("passphrase set daemon -", PHRASE).expect(0);
    host.forget_notices();
    host.run("passphrase remove daemon").expect(1);
    assert!(record(&host).passphrase.is_some());
    let (run, lines) = host.run_logged("passphrase remove daemon --yes", "");
    run.expect(0);
    assert!(record(&host).passphrase.is_none());
    assert!(
        lines[0].contains("id=MFA-3063 event=passphrase_removed"),
        "{lines:?}"
    );
    assert_eq!(host.notices()[0]["event"], "passphrase_removed");
}

#[test]
fn explain_says_what_a_service_with_the_argument_would_do() {
    needs_root!();
    let host = host();
    let phrase = |host: &Host| {
        let document = host.run("--json explain daemon").expect(0).json();
        let steps = document["steps"].as_array().unwrap().clone();
        let step = steps.iter().find(|step| step["id"] == "phrase").unwrap();
        step["message"].as_str().unwrap().to_owned()
    };
    assert!(phrase(&host).contains("refused there; `mfa-admin passphrase set daemon`"));
    host.feed("passphrase set daemon -", PHRASE).expect(0);
    assert!(phrase(&host).ends_with("it is asked for before the code"));
    host.run("user suspend daemon --reason x").expect(0);
    assert!(phrase(&host).contains("refused there as well"));
    assert_fits(&host.run("explain daemon").expect(0).out);
}

#[test]
fn a_hash_that_no_host_should_compute_is_named_by_line_and_column() {
    needs_root!();
    let host = host();
    host.feed("passphrase set daemon -", PHRASE).expect(0);
    let path = host.path("store/users/daemon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let place = text
        .lines()
        .position(|line| line.starts_with("hash = "))
        .unwrap()
        + 1;
    for (from, to, expected) in [
        ("m=19456", "m=4194304", "too much or too little"),
        ("t=2", "t=4294967296", "too much or too little"),
        ("$argon2id", "$argon2d", "no hash of a passphrase"),
        ("p=1,", "p=1$=,", "no hash of a passphrase"),
        ("keyid=", "keyid==", "no hash of a passphrase"),
    ] {
        std::fs::write(&path, text.replace(from, to)).unwrap();
        for line in ["passphrase status daemon", "user show daemon"] {
            let run = host.run(line).expect(4);
            let said = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(&format!("daemon.toml:{place}:8: ")), "{said}");
            assert!(said.contains(expected), "{said}");
        }
        host.feed("passphrase set daemon -", PHRASE).expect(4);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text.replace(from, to)
        );
    }
}

#[test]
fn a_hash_of_another_sealing_key_is_told_and_set_anew() {
    needs_root!();
    let host = host();
    host.feed("passphrase set daemon -", PHRASE).expect(0);
    let other = Host::new();
    std::fs::copy(other.path("seal.key"), host.path("seal.key")).unwrap();
    assert!(!is_kept(&host, PHRASE));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let explained = host.run("explain daemon").expect(0).out;
    assert_fits(&explained);
    let expected = "hashed with another sealing key, so none is right: put the right seal.key back, or `mfa-admin \
                    passphrase set daemon`";
    assert!(one_line(&explained).contains(expected), "{explained}");
    let doctor = one_line(&host.run("doctor").out);
    let expected = "daemon (passphrase)";
    assert!(doctor.contains(expected), "{doctor}");
    host.feed("passphrase set daemon -", PHRASE).expect(0);
    assert!(is_kept(&host, PHRASE));
    assert!(!one_line(&host.run("explain daemon").expect(0).out).contains("another sealing key"));
    // Without any key none is set.
    std::fs::remove_file(host.path("seal.key")).unwrap();
    let run = host.feed("passphrase set daemon -", PHRASE).expect(4);
    assert!(run.err.contains("seal.key"), "{run:?}");
}
