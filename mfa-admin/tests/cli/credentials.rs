//! Passwords and tokens of the courier.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::courier::COURIER_USER;
use crate::host::{Host, finish, needs_root};

fn host() -> Host {
    let host = Host::new();
    host.deliver();
    host
}

fn kept(host: &Host, name: &str) -> String {
    std::fs::read_to_string(host.path("credentials").join(name)).unwrap()
}

#[test]
fn a_credential_is_kept_for_root_to_write_and_the_courier_to_read() {
    needs_root!();
    let host = host();
    let group = nix::unistd::User::from_name(COURIER_USER)
        .unwrap()
        .unwrap()
        .gid;
    let path = host.path("credentials/smtp-password");
    // A link in its place is replaced, not followed.
    let elsewhere = host.path("elsewhere");
    std::fs::write(&elsewhere, "untouched").unwrap();
    symlink(&elsewhere, &path).unwrap();
    for (input, expected) in [
        ("correct horse\n", "correct horse\n"),
        ("second\r\n", "second\n"),
        ("third", "third\n"),
    ] {
        let mut command = std::process::Command::new("sh");
        let line = "umask 0; exec \"$0\" --config \"$1\" credential set smtp-password";
        command.args(["-c", line, crate::host::PROGRAM]);
        command.arg(host.path("mfa.toml"));
        let run = finish(command, input).expect(0);
        assert!(!run.out.contains("horse") && run.out.contains("Kept smtp-password"));
        assert_eq!(kept(&host, "smtp-password"), expected);
        let found = path.symlink_metadata().unwrap();
        assert!(found.is_file());
        assert_eq!(
            (
                found.uid(),
                found.gid(),
                found.permissions().mode() & 0o7777
            ),
            (0, group.as_raw(), 0o640)
        );
    }
    assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "untouched");
    let names: Vec<_> = std::fs::read_dir(host.path("credentials"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["smtp-password"]);
}

#[test]
fn the_log_and_the_answer_name_the_credential_and_never_tell_it() {
    needs_root!();
    let host = host();
    let (run, lines) = host.run_logged("--json credential set telegram-token", "123:secret\n");
    let run = run.expect(0);
    let answer = run.json();
    assert_eq!(
        (&answer["changed"], &answer["name"]),
        (&true.into(), &"telegram-token".into())
    );
    assert_eq!(answer["warnings"], serde_json::json!([]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("id=MFA-3051 event=credential_set outcome=success user=- actor=\"")
            && lines[0].contains("reason=\"telegram-token\""),
        "{lines:?}"
    );
    for text in [&run.out, &run.err, &lines[0]] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn names_that_leave_the_folder_or_hide_are_usage_errors_and_others_are_pointed_out() {
    needs_root!();
    let host = host();
    let before = host.snapshot();
    for name in ["../x", "a/b", "/etc/x", ".x", "..", ""] {
        let mut command = host.command("credential set");
        command.arg(name);
        finish(command, "secret\n").expect(2);
    }
    assert_eq!(host.snapshot(), before);
    let run = host.feed("credential set relay", "secret\n").expect(0);
    assert!(
        run.err.contains("mfa.toml names no such file") && run.err.contains("smtp-password"),
        "{}",
        run.err
    );
    assert_eq!(kept(&host, "relay"), "secret\n");
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    needs_root!();
    let host = host();
    for line in [
        "credential set smtp-password hunter2",
        "credential set smtp-password --hunter2",
        "--json credential set smtp-password hunter2",
    ] {
        let run = host.feed(line, "secret\n").expect(2);
        let said = format!("{}{}", run.out, run.err);
        assert!(
            said.contains("command line") && said.contains("standard input"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    host.feed("credential set smtp-password -", "secret\n")
        .expect(0);
    assert_eq!(kept(&host, "smtp-password"), "secret\n");
}

#[test]
fn what_is_not_one_line_of_text_is_refused_and_the_old_one_stays() {
    needs_root!();
    let host = host();
    host.feed("credential set smtp-password", "old\n").expect(0);
    let long = "x".repeat(8193);
    for input in ["", "\n", "a\nb\n", "a\tb\n", "a\u{1b}[2J\n", long.as_str()] {
        let run = host.feed("credential set smtp-password", input).expect(1);
        assert!(!run.err.contains('\u{1b}'), "{}", run.err);
    }
    assert_eq!(kept(&host, "smtp-password"), "old\n");
    host.feed("credential set smtp-password", &"x".repeat(8192))
        .expect(0);
}

#[test]
fn an_app_password_of_google_is_kept_as_gmail_takes_it() {
    needs_root!();
    let host = host();
    let run = host
        .feed("credential set smtp-password", "abcd efgh ijkl mnop\n")
        .expect(0);
    assert!(run.err.contains("without its blanks"), "{}", run.err);
    assert_eq!(kept(&host, "smtp-password"), "abcdefghijklmnop\n");
    let run = host
        .feed("credential set smtp-password", " with blanks \n")
        .expect(0);
    assert!(
        run.err.contains("begins or ends with a blank"),
        "{}",
        run.err
    );
    assert_eq!(kept(&host, "smtp-password"), " with blanks \n");
    host.feed("credential set telegram-token", "abcd efgh ijkl mnop\n")
        .expect(0);
    assert_eq!(kept(&host, "telegram-token"), "abcd efgh ijkl mnop\n");
}

#[test]
fn without_the_courier_s_user_or_the_folder_it_is_said_what_to_do() {
    needs_root!();
    let host = host();
    let user = format!("user = \"{COURIER_USER}\"");
    for (name, words) in [
        ("no-such-user", "`mfa-admin init`"),
        ("root", "without rights"),
    ] {
        host.configure(&user, &format!("user = \"{name}\""));
        let run = host.feed("credential set smtp-password", "x\n").expect(4);
        assert!(run.err.contains(words), "{}", run.err);
        host.configure(&format!("user = \"{name}\""), &user);
    }
    std::fs::remove_dir(host.path("credentials")).unwrap();
    let run = host.feed("credential set smtp-password", "x\n").expect(4);
    assert!(run.err.contains("mfa-admin init"), "{}", run.err);
    // A folder that the courier can't get into is of no use.
    std::fs::create_dir(host.path("credentials")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(host.path("credentials"), mode).unwrap();
    let run = host.feed("credential set smtp-password", "x\n").expect(0);
    assert!(run.err.contains("does not let nobody pass"), "{}", run.err);
}

#[test]
fn at_a_terminal_a_credential_is_asked_for_and_not_shown() {
    needs_root!();
    let host = host();
    let mut terminal = host.terminal("credential set smtp-password");
    terminal.answer("smtp-password: ", "horse-battery\n");
    let run = terminal.end().expect(0);
    assert!(!run.out.contains("horse-battery"), "{}", run.out);
    assert_eq!(kept(&host, "smtp-password"), "horse-battery\n");
}
