//! The emergency code: making it, and what is said of it, also where nothing else works.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::host::{Host, assert_fits, needs_root};
use crate::recovery::{generate_for_nobody, generate_into};

/// The code on a page.
fn code(page: &str) -> String {
    let mut codes = page.lines().filter_map(|line| line.strip_prefix("    "));
    let code = codes.next().unwrap().to_owned();
    assert_eq!(codes.next(), None, "{page}");
    code
}

fn file(host: &Host) -> String {
    fs::read_to_string(host.path("emergency.toml")).unwrap()
}

/// A text as if it had one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn init_says_for_whom_and_where_and_there_is_no_code_yet() {
    needs_root!();
    let host = Host::empty();
    let run = host.run("init --no-user").expect(0);
    assert!(
        words(&run.out).contains("emergency generate, for the day when"),
        "{}",
        run.out
    );
    let metadata = fs::metadata(host.path("emergency.toml")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let text = file(&host);
    for line in [
        "users = [\"root\"]",
        "services = [\"login\"]",
        "ttys = [\"tty1\",\"ttyS0\"]",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    let run = host.run("emergency status").expect(3);
    assert!(
        run.err.contains("there is no emergency code"),
        "{}",
        run.err
    );
    assert_eq!(
        host.run("--json emergency status").json()["error"]["kind"],
        "not_found"
    );
    // Another init leaves what people have changed.
    fs::write(host.path("emergency.toml"), "version = 1 # mine\n").unwrap();
    host.run("init --no-user").expect(0);
    assert_eq!(file(&host), "version = 1 # mine\n");
}

#[test]
fn a_code_is_printed_once_with_how_to_keep_it_and_only_its_hash_stays() {
    needs_root!();
    let host = Host::new();
    let (run, lines) = host.run_logged("emergency generate --tty null", "");
    let run = run.expect(0);
    assert_fits(&run.out);
    assert_eq!(run.err, "");
    let code = code(&run.out);
    let groups: Vec<usize> = code.split('-').map(str::len).collect();
    assert_eq!(groups, [4, 4, 5], "{code}");
    for said in [
        "Emergency code of ",
        "made 20",
        "shown this once",
        "lets in root",
        "good once",
    ] {
        assert!(words(&run.out).contains(said), "{said}: {}", run.out);
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("id=MFA-3091 event=emergency_generated outcome=success user=- actor=")
            && lines[0].contains("/emergency.toml\""),
        "{lines:?}"
    );
    let mut shown = lines.concat();
    for line in ["emergency status", "--json emergency status", "doctor"] {
        shown.push_str(&host.run(line).out);
    }
    for (_, content) in host.snapshot() {
        shown.push_str(&String::from_utf8_lossy(&content));
    }
    assert!(!shown.contains(&code) && !shown.contains(&code.replace('-', "")));
    let run = host.run("emergency status").expect(0);
    assert!(
        words(&run.out).contains("and is good. For root, through login, at null."),
        "{}",
        run.out
    );
}

#[test]
fn documents_have_stable_keys() {
    needs_root!();
    let host = Host::new();
    let made = host
        .run("--json emergency generate --user daemon --user root --service login --service other --tty /dev/null")
        .expect(0)
        .json();
    assert_eq!(made["code"].as_str().unwrap().len(), 15);
    assert_eq!(made["users"], json!(["daemon", "root"]));
    assert_eq!(made["services"], json!(["login", "other"]));
    assert_eq!(made["ttys"], json!(["null"]));
    assert!(made["host"].is_string() && made["file"].is_string() && made["generated"].is_string());
    let status = host.run("--json emergency status").expect(0).json();
    assert_eq!(status["standing"], "good");
    assert_eq!(status["used"], json!(null));
    for key in ["file", "generated", "users", "services", "ttys"] {
        assert_eq!(status[key], made[key], "{key}");
    }
    let mut text = file(&host);
    text.push_str("used = 2026-11-21T09:00:00Z\n");
    fs::write(host.path("emergency.toml"), text).unwrap();
    let run = host.run("emergency status").expect(0);
    assert!(run.out.contains("WARNING"), "{}", run.out);
    let status = host.run("--json emergency status").expect(0).json();
    assert_eq!(
        (status["standing"].clone(), status["used"].clone()),
        (json!("used"), json!("2026-11-21T09:00:00Z"))
    );
}

#[test]
fn a_code_that_was_not_used_is_replaced_only_on_purpose_and_changes_of_people_stay() {
    needs_root!();
    let host = Host::new();
    let first = code(&host.run("emergency generate").expect(0).out);
    let with_comment = format!("# Envelope 7.\n{}", file(&host));
    fs::write(host.path("emergency.toml"), &with_comment).unwrap();
    let run = host.run("emergency generate").expect(1);
    assert!(
        run.err.contains("--yes") && run.out.is_empty(),
        "{}",
        run.err
    );
    assert_eq!(file(&host), with_comment);
    let mut terminal = host.terminal("emergency generate");
    terminal.answer("[y/N]", "n\n");
    assert_eq!(terminal.end().code, 1);
    assert_eq!(file(&host), with_comment);
    let second = code(&host.run("emergency generate --yes").expect(0).out);
    assert_ne!(first, second);
    let text = file(&host);
    assert!(
        text.starts_with("# Envelope 7.\n# The emergency code"),
        "{text}"
    );
    assert_eq!(text.matches("hash = ").count(), 1);
    assert_ne!(text, with_comment);
    // A used one has nothing left to lose.
    fs::write(
        host.path("emergency.toml"),
        format!("{text}used = 2026-11-21T09:00:00Z\n"),
    )
    .unwrap();
    host.run("emergency generate").expect(0);
    assert!(!file(&host).contains("used = "));
    // Other places: the file is written anew, and what was not named stays.
    host.run("emergency generate --yes --tty tty9").expect(0);
    assert!(
        file(&host).contains("ttys = [\"tty9\"]") && file(&host).contains("users = [\"root\"]")
    );
}

#[test]
fn a_code_that_nobody_would_see_is_not_made_and_one_that_could_not_be_shown_is_said_to_be_lost() {
    needs_root!();
    let host = Host::new();
    host.run("emergency generate").expect(0);
    let before = file(&host);
    let line = "emergency generate --yes";
    let json = "--json emergency generate --yes";
    for redirection in [">&-", ">/dev/null"] {
        for line in [line, json] {
            let run = generate_into(&host, line, redirection).expect(1);
            let said = words(&run.err);
            assert!(
                said.contains("nobody would ever see the code; nothing was changed"),
                "{redirection}: {said}"
            );
            assert_eq!(file(&host), before);
        }
    }
    // A full disk; a reader who has gone.
    for line in [line, json] {
        for run in [
            generate_into(&host, line, ">/dev/full"),
            generate_for_nobody(&host, line),
        ] {
            let said = words(&run.expect(1).err);
            assert!(
                said.contains("this code is lost, and the one from before is void")
                    && !said.contains("done all the same"),
                "{said}"
            );
        }
    }
    assert_ne!(file(&host), before);
}

#[test]
fn it_works_without_configuration_store_and_key() {
    needs_root!();
    let host = Host::new();
    fs::write(host.path("mfa.toml"), "version = 1\n[promt]\n").unwrap();
    fs::remove_file(host.path("seal.key")).unwrap();
    fs::remove_dir_all(host.path("store")).unwrap();
    let run = host.run("emergency generate").expect(0);
    assert!(
        words(&run.err).contains("mfa.toml:2:2: unknown key"),
        "{}",
        run.err
    );
    code(&run.out);
    host.run("emergency status").expect(0);
    let doctor = host.run("--json doctor").json();
    let of_ours: Vec<_> = doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["id"] == "emergency")
        .collect();
    assert_eq!(of_ours.len(), 1, "{doctor}");
    assert_ne!(of_ours[0]["status"], "fail");
    // And without a file that init has begun.
    fs::remove_file(host.path("emergency.toml")).unwrap();
    host.run("emergency status").expect(3);
    host.run("emergency generate").expect(0);
    host.run("emergency status").expect(0);
}

#[test]
fn what_can_not_be_kept_or_trusted_is_an_error_and_nothing_is_lost() {
    needs_root!();
    let host = Host::new();
    for line in [
        "emergency generate --tty /dev/",
        "emergency generate --user",
        "emergency generate extra",
        "emergency",
    ] {
        host.run(line).expect(2);
    }
    fs::write(
        host.path("emergency.toml"),
        "version = 1\nusers = [\"root\"\n",
    )
    .unwrap();
    let before = host.snapshot();
    for line in ["emergency generate --yes", "emergency status"] {
        let run = host.run(line).expect(4);
        assert!(
            run.err.contains("emergency.toml:") && words(&run.err).contains("move the file away"),
            "{}",
            run.err
        );
    }
    assert_eq!(host.snapshot(), before);
    fs::set_permissions(
        host.path("emergency.toml"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let run = host.run("emergency generate --yes").expect(4);
    assert!(words(&run.err).contains("chmod 600"), "{}", run.err);
    assert_eq!(host.snapshot(), before);
    assert_eq!(host.run_as_nobody("emergency generate").code, 5);
    assert_eq!(host.run_as_nobody("emergency status").code, 5);
    // Nobody and nothing that this host has is said, and done all the same.
    fs::remove_file(host.path("emergency.toml")).unwrap();
    let run = host
        .run("emergency generate --user no-such --tty no-such")
        .expect(0);
    assert!(
        words(&run.err).contains("no-such is no account")
            && words(&run.err).contains("none of the terminals"),
        "{}",
        run.err
    );
}

#[test]
fn services_that_never_ask_for_it_are_warned_of() {
    needs_root!();
    let host = Host::enrolled("daemon");
    for (service, why) in [
        ("sudo", "people run it"),
        ("su", "people run it"),
        ("sshd", "it lets in from other hosts"),
    ] {
        let line = format!(
            "emergency generate --yes --user daemon --tty null --service login --service {service}"
        );
        let run = host.run(&line).expect(0);
        let warned = format!("{service} never asks for the emergency code: {why}");
        assert!(words(&run.err).contains(&warned), "{}", run.err);
        assert_eq!(run.err.matches("never asks").count(), 1, "{}", run.err);
    }
    let line = "emergency generate --yes --user daemon --tty null --service sudo";
    host.run(line).expect(0);
    let found = words(&host.run("doctor").out);
    assert!(
        found.contains("warn emergency The emergency code is good for no login"),
        "{found}"
    );
    fs::remove_file(host.path("seal.key")).unwrap();
    let found = words(&host.run("explain daemon --service sudo").expect(0).out);
    assert!(!found.contains("is asked for, and lets in"), "{found}");
}

#[test]
fn a_place_that_a_broken_configuration_can_not_name_is_warned_of() {
    needs_root!();
    let host = Host::new();
    let elsewhere = host.path("elsewhere.toml");
    let line = format!("emergency = \"{}\"", host.path("emergency.toml").display());
    host.configure(&line, &format!("emergency = \"{}\"", elsewhere.display()));
    let run = host.run("emergency generate").expect(0);
    assert!(words(&run.err).contains("logins look for"), "{}", run.err);
    assert!(elsewhere.is_file());
    let found = host.run("doctor").out;
    assert!(
        words(&found).contains("warn emergency Where mfa.toml can't be read"),
        "{found}"
    );
}

#[test]
fn explain_names_the_other_way_in_where_nobody_can_be_checked() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let said = |line: &str| words(&host.run(line).expect(0).out);
    host.run("emergency generate --user daemon --tty tty1")
        .expect(0);
    assert!(!said("explain daemon --service login").contains("emergency"));
    fs::remove_file(host.path("seal.key")).unwrap();
    let found = said("explain daemon --service login");
    assert!(
        found.contains("note console at tty1, the emergency code is asked for, and lets in"),
        "{found}"
    );
    let found = said("explain daemon --service sshd");
    assert!(
        found.contains("the emergency code lets in daemon through login"),
        "{found}"
    );
    assert!(!said("explain daemon --service login --from 203.0.113.7").contains("emergency"));
    fs::remove_file(host.path("emergency.toml")).unwrap();
    assert!(
        said("explain daemon --service login").contains("there is no emergency code that is good")
    );
}
