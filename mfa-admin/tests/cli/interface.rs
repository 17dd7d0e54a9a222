use std::io::Read;
use std::process::{Command, Stdio};

use crate::host::{Host, PROGRAM, assert_fits, finish, needs_root};

#[test]
fn usage_errors_are_exit_2_as_text_and_as_json() {
    needs_root!();
    let host = Host::new();
    for line in [
        "",
        "nonsense",
        "user",
        "user show",
        "user nonsense",
        "app enroll daemon --nonsense",
        "doctor x",
        "recovery",
        "recovery generate",
        "passphrase set",
    ] {
        let run = host.run(line).expect(2);
        assert!(!run.err.is_empty() && run.out.is_empty(), "{line}: {run:?}");
        let document = host.run(&format!("{line} --json")).expect(2).json();
        assert_eq!(document["error"]["kind"], "usage", "{line}");
        assert!(
            document["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("--help")
        );
    }
}

#[test]
fn every_verb_of_root_is_exit_5_for_others_and_changes_nothing() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let before = host.snapshot();
    for line in [
        "init --no-user",
        "doctor",
        "explain daemon",
        "user add bin",
        "user set daemon --email none",
        "user list",
        "user show daemon",
        "user approve daemon",
        "user suspend daemon --reason x",
        "user resume daemon",
        "user unlock daemon",
        "user unlock --all",
        "user remove daemon --yes",
        "app enroll daemon --no-confirm",
        "app list daemon",
        "app reveal daemon phone",
        "app remove daemon phone --yes",
        "app disable daemon phone",
        "app enable daemon phone",
        "token add daemon --hotp --no-confirm",
        "token list daemon",
        "token resync daemon",
        "token disable daemon token",
        "token enable daemon token",
        "token remove daemon token --yes",
        "device assign daemon any",
        "device list daemon",
        "device revoke daemon this --yes",
        "state show daemon",
        "recovery generate daemon --yes",
        "recovery status daemon",
        "passphrase set daemon -",
        "passphrase status daemon",
        "passphrase remove daemon --yes",
        "state reset daemon --yes",
        "state set-clock daemon",
        "code send daemon",
        "code verify daemon",
        "credential set smtp-password",
        "notify test daemon",
        "notify queue",
        "notify drain",
        "seal status",
        "seal rotate",
        "seal bind --yes",
        "emergency generate --yes",
        "emergency status",
        "bypass grant daemon --for 1h --reason x",
        "bypass revoke daemon",
        "bypass list",
        "bypass expire",
    ] {
        let run = host.run_as_nobody(&format!("--json {line}")).expect(5);
        assert_eq!(run.json()["error"]["kind"], "not_permitted", "{line}");
        let run = host.run_as_nobody(line).expect(5);
        assert!(
            run.err.contains("only root") && run.out.is_empty(),
            "{line}: {run:?}"
        );
    }
    assert_eq!(host.snapshot(), before);
}

#[test]
fn some_verbs_are_for_everybody() {
    needs_root!();
    let host = Host::new();
    let file = host.path("mfa.toml");
    std::fs::set_permissions(
        host.folder(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    host.run_as_nobody("device id --machine-id 0123456789abcdef0123456789abcdef")
        .expect(0);
    host.run_as_nobody("device id").expect(0);
    host.run_as_nobody(&format!("config check {}", file.display()))
        .expect(0);
    host.run_as_nobody("config check").expect(0);
    host.run_as_nobody("--help").expect(0);
    assert!(
        host.run_as_nobody("--version")
            .expect(0)
            .out
            .starts_with("mfa-admin ")
    );
}

#[test]
fn the_verbs_of_the_manual_are_in_the_help_and_no_others() {
    needs_root!();
    let host = Host::empty();
    let help = host.run("--help").expect(0).out;
    for noun in [
        "init",
        "config",
        "doctor",
        "explain",
        "user",
        "app",
        "token",
        "device",
        "state",
        "recovery",
        "passphrase",
        "code",
        "credential",
        "notify",
        "seal",
        "emergency",
        "bypass",
    ] {
        assert!(help.contains(&format!("\n  {noun} ")), "{noun}: {help}");
    }
    for noun in ["import", "export"] {
        assert!(!help.contains(&format!("\n  {noun} ")), "{noun}");
    }
    assert!(helped(&host, "") > 60, "every verb was looked at");
}

/// Looks at the help of a verb and of those below it, in both ways to ask for it; how many there are.
fn helped(host: &Host, verb: &str) -> usize {
    let help = host.run(&format!("{verb} --help")).expect(0).out;
    assert_fits(&help);
    assert_eq!(host.run(&format!("help {verb}")).expect(0).out, help);
    let below = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let below = below.split("\n\n").next().unwrap_or_default();
    let listed = below.lines().filter(|line| !line.starts_with("   "));
    let names = listed.filter_map(|line| line.split_whitespace().next());
    1 + names
        .filter(|name| *name != "help")
        .map(|name| helped(host, &format!("{verb} {name}")))
        .sum::<usize>()
}

#[test]
fn what_is_wrong_with_a_command_line_fits_a_terminal_and_moves_no_cursor() {
    needs_root!();
    let host = Host::new();
    for (line, said) in [
        (
            "bypass grant daemon --for tomorrow --reason x",
            "a bypass is no way to live",
        ),
        (
            "bypass grant daemon --for 1h --reason \u{1b}[2J",
            "write a reason",
        ),
        ("app enroll daemon --label \u{1b}[2J", "is no label"),
        ("\u{1b}[2J", "unrecognized subcommand"),
        (
            "token add daemon --hotp --counter -1",
            "write a whole number from 0 to",
        ),
        (
            "token add daemon --hotp --counter 1e3",
            "write a whole number from 0 to",
        ),
        (
            "token add daemon --hotp --counter 4294967296",
            "write a whole number from 0 to",
        ),
    ] {
        let run = host.run(line).expect(2);
        assert_fits(&run.err);
        let words: Vec<&str> = run.err.split_whitespace().collect();
        assert!(words.join(" ").contains(said), "{line}: {}", run.err);
        assert!(!run.err.contains('\u{1b}'), "{line}: {:?}", run.err);
    }
}

#[test]
fn config_check_names_line_column_and_what_to_write() {
    needs_root!();
    let host = Host::new();
    assert!(host.run("config check").expect(0).out.contains("is right"));
    let file = host.path("new.toml");
    std::fs::write(&file, "version = 1\n[prompt]\ntries = 0\n").unwrap();
    let run = host
        .run(&format!("config check {}", file.display()))
        .expect(4);
    let expected = format!(
        "{}:3:9: 0 is out of range; write a whole number from 1 to 10",
        file.display()
    );
    assert!(
        run.err
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(&expected),
        "{}",
        run.err
    );
    let error = host
        .run(&format!("--json config check {}", file.display()))
        .expect(4)
        .json()["error"]
        .clone();
    assert_eq!(error["kind"], "config_unusable");
    assert!(error["message"].as_str().unwrap().ends_with(&expected));
    host.feed("config check -", "version = 1\n").expect(0);
    host.feed("config check -", "version = 9\n").expect(4);
    for path in ["/no/such/file", "/", "/dev/null"] {
        host.run(&format!("config check {path}")).expect(4);
    }
    nix::unistd::mkfifo(&host.path("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    host.run(&format!("config check {}", host.path("fifo").display()))
        .expect(4);
}

#[test]
fn config_check_names_what_is_wrong_in_texts_and_settings_without_effect() {
    needs_root!();
    let host = Host::new();
    let texts = host.path("texts");
    std::fs::create_dir(&texts).unwrap();
    let file = host.path("new.toml");
    let write = |more: &str| {
        let text = format!("version = 1\n[messages]\ntemplates = {texts:?}\n{more}");
        std::fs::write(&file, text).unwrap();
    };
    write("");
    let check = format!("config check {}", file.display());
    host.run(&check).expect(0);
    std::fs::write(texts.join("test.txt"), "Subject: a\n\n{{nobody}}\n").unwrap();
    std::fs::write(texts.join("codes.txt"), "x").unwrap();
    let run = host.run(&check).expect(4);
    let places = |text: &str| {
        ["codes.txt:1:1: ", "test.txt:3:1: "]
            .into_iter()
            .all(|place| text.contains(&texts.join(place).display().to_string()))
    };
    assert!(places(&run.err), "{}", run.err);
    let named = run
        .err
        .lines()
        .filter(|line| line.starts_with("mfa-admin: "));
    assert_eq!(named.count(), 2, "{}", run.err);
    let error = host.run(&format!("--json {check}")).expect(4).json()["error"].clone();
    assert_eq!(error["kind"], "config_unusable");
    assert!(places(error["message"].as_str().unwrap()), "{error}");
    std::fs::remove_file(texts.join("test.txt")).unwrap();
    std::fs::remove_file(texts.join("codes.txt")).unwrap();
    write("[prompt]\nfirst = \"send\"\n[notices]\nadmins = [\"a@example.com\"]\n");
    let run = host.run(&check).expect(0);
    for key in ["prompt.first", "notices.admins"] {
        assert!(run.err.contains(key), "{}", run.err);
    }
    for wrong in [
        "[notices]\nadmins = [\"nobody\"]\n",
        "[courier.smtp]\nhost = \"x\"\nfrom = \"a\\nb@example.com\"\n",
    ] {
        write(wrong);
        let run = host.run(&check).expect(4);
        assert!(run.err.contains("new.toml:"), "{}", run.err);
    }
}

#[test]
fn a_missing_or_wrong_configuration_is_exit_4_with_what_to_do() {
    needs_root!();
    let host = Host::empty();
    let run = host.run("user list").expect(4);
    assert!(run.err.contains("mfa-admin init"), "{}", run.err);
    std::fs::write(host.path("mfa.toml"), "version = 1\nversion = 1\n").unwrap();
    let run = host.run("user list").expect(4);
    assert!(
        run.err.contains("mfa.toml:2:1: duplicate key"),
        "{}",
        run.err
    );
    let host = Host::new();
    std::fs::remove_dir_all(host.path("store")).unwrap();
    let run = host.run("--json user list").expect(4);
    assert_eq!(run.json()["error"]["kind"], "store_unusable");
}

#[test]
fn quiet_says_nothing_of_what_was_done_and_everything_that_was_asked_for() {
    needs_root!();
    let host = Host::new();
    assert_eq!(host.run("--quiet user add daemon").expect(0).out, "");
    assert!(
        host.run("--quiet user list")
            .expect(0)
            .out
            .contains("daemon")
    );
    assert_eq!(
        host.run("--quiet user suspend daemon --reason x")
            .expect(0)
            .out,
        ""
    );
    assert!(
        host.run("user show bin --quiet")
            .expect(3)
            .err
            .contains("no user bin")
    );
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error_and_a_full_disk_is_one() {
    needs_root!();
    let host = Host::new();
    for number in 0..200 {
        host.run(&format!("--quiet user add user{number}"))
            .expect(0);
    }
    let mut child = host
        .command("user list")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = host.command("user list").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn every_change_is_an_audit_line_with_its_actor_and_looking_is_none() {
    needs_root!();
    let host = Host::new();
    for (line, event) in [
        ("user add daemon", Some("id=MFA-3002 event=user_added")),
        ("user add daemon", None),
        (
            "user set daemon --email d@example.com",
            Some("id=MFA-3003 event=user_changed"),
        ),
        (
            "user suspend daemon --reason left",
            Some("id=MFA-3005 event=user_suspended"),
        ),
        ("user resume daemon", Some("id=MFA-3006 event=user_resumed")),
        (
            "app enroll daemon --no-confirm",
            Some("id=MFA-3011 event=app_enrolled"),
        ),
        ("user show daemon", None),
        ("user list", None),
        ("app list daemon", None),
        ("explain daemon", None),
        (
            "device assign daemon any",
            Some("id=MFA-3021 event=device_assigned"),
        ),
        (
            "device revoke daemon any --yes",
            Some("id=MFA-3022 event=device_revoked"),
        ),
        (
            "state reset daemon --yes",
            Some("id=MFA-3041 event=state_reset"),
        ),
        (
            "app remove daemon phone --yes",
            Some("id=MFA-3013 event=app_removed"),
        ),
        ("user unlock daemon", None),
        (
            "user remove daemon --yes",
            Some("id=MFA-3008 event=user_removed"),
        ),
    ] {
        let (run, lines) = host.run_logged(line, "");
        let run = run.expect(0);
        assert!(!run.err.contains("syslog"), "{}", run.err);
        match event {
            None => assert!(lines.is_empty(), "{line}: {lines:?}"),
            Some(event) => {
                assert_eq!(lines.len(), 1, "{line}: {lines:?}");
                let text = &lines[0];
                assert!(
                    text.starts_with("<86>") && text.contains(" mfa-admin["),
                    "{text}"
                );
                assert!(
                    text.contains(&format!(
                        "mfa v=1 {event} outcome=success user=\"daemon\" actor=\""
                    )),
                    "{text}"
                );
                assert!(
                    !text.contains("example.com") && !text.contains('\n'),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn the_actor_is_whom_sudo_names_where_no_login_is_known() {
    needs_root!();
    // In a container nobody has a login uid; where somebody has, that one counts.
    let login_uid = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let host = Host::new();
    let dev = host.path("dev");
    std::fs::create_dir(&dev).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(dev.join("log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount --bind \"$0\" /dev && exec \"$@\""]);
    command
        .arg(&dev)
        .arg(PROGRAM)
        .arg("--config")
        .arg(host.path("mfa.toml"));
    command.args(["user", "add", "daemon"]).env("SUDO_UID", "2");
    finish(command, "").expect(0);
    let mut bytes = [0; 1024];
    let length = socket.recv(&mut bytes).unwrap();
    let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let expected = if login_uid.is_empty() || login_uid.starts_with("4294967295") {
        "actor=\"bin\""
    } else {
        "actor="
    };
    assert!(line.contains(expected), "{line}");
}

#[test]
fn without_syslog_the_verb_goes_on_with_one_warning() {
    needs_root!();
    let host = Host::new();
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs none /dev && exec \"$@\"",
        "sh",
        PROGRAM,
        "--config",
    ]);
    command
        .arg(host.path("mfa.toml"))
        .args(["user", "add", "daemon"]);
    let run = finish(command, "").expect(0);
    assert_eq!(run.err.matches("syslog").count(), 1, "{}", run.err);
}

#[test]
fn doctor_prints_a_line_for_each_check_and_fails_where_one_does() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let run = host.run("doctor");
    assert_fits(&run.out);
    assert!(run.out.starts_with("ok    config  "), "{}", run.out);
    let document = host.run("--json doctor").json();
    let checks = document["checks"].as_array().unwrap();
    for check in checks {
        assert!(
            ["ok", "warn", "fail"].contains(&check["status"].as_str().unwrap()),
            "{check}"
        );
        assert!(
            check["id"].is_string() && check["message"].is_string() && check["hint"].is_string()
        );
    }
    let has_failure = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!(run.code, i32::from(has_failure));
    std::fs::write(host.path("mfa.toml"), "version = 2").unwrap();
    host.run("doctor").expect(1);
}
