//! `send`: one message, one line, one exit code.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mfa_core::courier::{Document, Kind, MAX_DOCUMENT};
use mfa_core::record::Method;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::host::{Host, NOBODY, PROGRAM, code, document, ends, header, needs_root};

/// A host whose messages go through a program.
fn host_with_program(text: &str) -> Host {
    let host = Host::new("");
    let program = host.program("gateway", text);
    let settings = format!(
        "[courier.command]\nrun = [\"{}\", \"a b\", \"-x\"]\n",
        program.display()
    );
    host.change("[courier.file]", &format!("{settings}[courier.file]"));
    host
}

fn by(channel: Method, mut document: Document) -> Document {
    document.channel = channel;
    document
}

#[test]
fn a_code_arrives_and_is_answered_for_in_one_line() {
    needs_root!();
    let host = Host::new("");
    let run = host.send(&code(7)).expect(0, "accepted file ");
    assert_eq!(run.out.matches('\n').count(), 1);
    assert_eq!(run.err, "");
    let mails = host.mails();
    assert_eq!(mails.len(), 1);
    assert!(header(&mails[0], "Message-ID").starts_with(&format!("<{:032x}@", 7)));
    assert_eq!(header(&mails[0], "To"), "alice@example.com");
    assert!(mails[0].contains("493817"));
    let name = host.names("out").remove(0);
    assert_eq!(name.rsplit_once('.').unwrap().1, "eml");
    for secret in ["493817", "alice", "@"] {
        assert!(!run.out.contains(secret), "{run:?}");
    }
}

#[test]
fn codes_are_not_kept_in_files_unless_that_is_asked_for() {
    needs_root!();
    let host = Host::new("");
    host.change("demo = true", "demo = false");
    host.send(&code(1))
        .expect(78, "config file not_configured ");
    assert!(host.mails().is_empty());
    host.send(&document(Kind::Test, 2, "alice"))
        .expect(0, "accepted file ");
}

#[test]
fn nothing_is_read_and_nothing_is_done() {
    needs_root!();
    let host = Host::new("");
    let run = host
        .send(&document(Kind::Nothing, 1, "alice"))
        .expect(0, "accepted - nothing\n");
    assert_eq!(run.err, "");
    assert!(host.mails().is_empty());
}

#[test]
fn a_courier_stays_as_long_as_whoever_started_it_whatever_comes_of_it() {
    needs_root!();
    let host = Host::new("");
    host.change("deadline = \"2s\"", "deadline = \"60s\"");
    for (document, line, exit_code) in [
        (
            document(Kind::Nothing, 1, "alice"),
            "accepted - nothing\n",
            0,
        ),
        (code(2), "accepted file ", 0),
        (by(Method::Command, code(3)), "config command ", 78),
        (document(Kind::Failure, 4, "alice"), "refused file ", 69),
    ] {
        let (mut child, socket) = host.send_by_socket(&document);
        let mut answer = String::new();
        BufReader::new(&socket).read_line(&mut answer).unwrap();
        assert!(answer.starts_with(line), "{answer}");
        // Its work is done.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(child.try_wait().unwrap(), None, "{line}");
        let begin = Instant::now();
        drop(socket);
        assert_eq!(child.wait().unwrap().code(), Some(exit_code), "{line}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{line}");
    }
}

#[test]
fn a_courier_does_not_stay_beyond_its_deadline() {
    needs_root!();
    let host = Host::new("");
    for (document, exit_code) in [
        (document(Kind::Nothing, 1, "alice"), 0),
        (by(Method::Command, code(3)), 78),
    ] {
        let begin = Instant::now();
        let (mut child, socket) = host.send_by_socket(&document);
        assert_eq!(child.wait().unwrap().code(), Some(exit_code));
        let took = begin.elapsed();
        assert!(took > Duration::from_secs(1), "{took:?}");
        drop(socket);
    }
}

/// What of these was opened meanwhile.
fn opened(host: &Host, names: &[&'static str], work: impl FnOnce()) -> Vec<&'static str> {
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    let watched: Vec<_> = names
        .iter()
        .map(|name| {
            let path = host.path(name);
            (
                watch.add_watch(&path, AddWatchFlags::IN_OPEN).unwrap(),
                *name,
            )
        })
        .collect();
    work();
    let events = watch.read_events().unwrap_or_default();
    watched
        .into_iter()
        .filter(|(number, _)| events.iter().any(|event| event.wd == *number))
        .map(|(_, name)| name)
        .collect()
}

#[test]
fn a_courier_for_nobody_prepares_what_any_other_prepares() {
    needs_root!();
    let host = Host::new("");
    // Never connected to: nobody is to be told anything.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = format!(
        "[courier.smtp]\nhost = \"localhost\"\nport = {port}\nfrom = \"a@b.example\"\nusername = \"u\"\n\
         ca_file = \"{}\"\n[messages]\ntemplates = \"{}\"\n[courier.file]",
        host.path("ca.pem").display(),
        host.path("templates").display(),
    );
    host.change("[courier.file]", &settings);
    std::fs::create_dir(host.path("templates")).unwrap();
    for name in [
        "ca.pem",
        "credentials/smtp-password",
        "credentials/telegram-token",
    ] {
        std::fs::write(host.path(name), "x").unwrap();
    }
    let names = [
        "ca.pem",
        "credentials/smtp-password",
        "credentials/telegram-token",
        "templates",
    ];
    let nothing = || {
        host.send(&document(Kind::Nothing, 1, "alice"))
            .expect(0, "accepted - nothing\n");
    };
    assert_eq!(opened(&host, &names, nothing), ["templates"]);
    host.change("email = \"file\"", "email = \"smtp\"");
    let read = ["ca.pem", "credentials/smtp-password", "templates"];
    assert_eq!(opened(&host, &names, nothing), read);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn what_stands_in_the_way_is_said_in_a_word() {
    needs_root!();
    let host = Host::new("");
    host.change("user = \"nobody\"", "user = \"no-such-user\"");
    host.send(&code(1)).expect(78, "config - no_user ");
    host.change("user = \"no-such-user\"", "user = \"root\"");
    host.send(&code(1)).expect(78, "config - user_is_root ");
    host.change("user = \"root\"", "user = root");
    host.send(&code(1)).expect(78, "config - config_unusable ");
    host.change("user = root", "user = \"nobody\"");
    host.send(&document(Kind::Failure, 1, "alice"))
        .expect(69, "refused file document ");
    host.send(&by(Method::Command, code(1)))
        .expect(78, "config command not_configured ");
    host.send(&by(Method::Telegram, code(1)))
        .expect(78, "config telegram credential ");
    host.change("email = \"file\"", "email = \"smtp\"");
    host.send(&code(1))
        .expect(78, "config smtp not_configured ");
    host.change("email = \"smtp\"", "email = \"sendmail\"");
    host.change(
        "[courier.file]",
        "[courier.sendmail]\npath = \"/nonexistent/sendmail\"\n[courier.file]",
    );
    host.send(&code(1)).expect(78, "config sendmail program ");
    assert!(host.mails().is_empty());
}

#[test]
fn a_credential_of_somebody_else_is_not_used() {
    needs_root!();
    let host = Host::new("[courier.telegram]\napi = \"http://127.0.0.1:1\"\n");
    let mut message = by(Method::Telegram, code(1));
    message.to = "12345".to_owned();
    let path = host.path("credentials/telegram-token");
    std::fs::write(&path, "1:secret").unwrap();
    let send = |owner, mode| {
        // The courier's group, so that it is the owner that counts and not whether it can be read.
        chown(&path, Some(owner), Some(NOBODY)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        host.send(&message)
    };
    let run = send(1234, 0o640).expect(78, "config telegram credential ");
    let reason = "is neither root's nor the courier's";
    assert!(run.out.contains(reason), "{run:?}");
    send(1234, 0o600).expect(78, "config telegram credential ");
    // Whose it may be; nobody listens there.
    for (owner, mode) in [(0, 0o640), (NOBODY, 0o600)] {
        send(owner, mode).expect(75, "retry telegram connection_refused ");
    }
}

#[test]
fn a_document_is_too_long_by_its_blanks_too() {
    needs_root!();
    let host = Host::new("");
    let with_length = |length: usize| {
        let text = code(1).to_json();
        let (start, rest) = text.split_at(1);
        let path = host.path("document");
        std::fs::write(
            &path,
            format!("{start}{}{rest}", " ".repeat(length - text.len())),
        )
        .unwrap();
        let line = format!("exec \"$@\" < {}", path.display());
        host.send_through(&line, &code(1))
    };
    with_length(MAX_DOCUMENT + 1).expect(69, "refused - document it is longer than 16 KiB\n");
    assert!(host.mails().is_empty());
    with_length(MAX_DOCUMENT).expect(0, "accepted file ");
}

#[test]
fn who_is_not_the_couriers_user_can_do_nothing_with_it() {
    needs_root!();
    let host = Host::new("");
    let program = host.public_program();
    let as_user = |uid| {
        let mut command = Command::new(&program);
        command
            .args(["send", "--config"])
            .arg(host.path("mfa.toml"));
        command.uid(uid).gid(uid);
        Host::send_by(command, &code(1))
    };
    as_user(1234).expect(78, "config - privileges ");
    assert!(host.mails().is_empty());
    as_user(NOBODY).expect(0, "accepted file ");
}

#[test]
fn a_courier_that_is_told_nothing_ends_by_itself() {
    needs_root!();
    let host = Host::new("");
    let begin = Instant::now();
    let mut child = host.sender();
    let input = child.stdin.take();
    let mut line = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut line)
        .unwrap();
    assert_eq!(line, "retry - timeout while waiting for the document\n");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    drop(input);
}

#[test]
fn the_alarm_ends_a_courier_that_cannot_even_answer() {
    needs_root!();
    let host = Host::new("");
    // Full, so that not even a line can be written.
    let (_reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'x'; 64 * 1024]).unwrap();
    // An ignored alarm is handed on by shells and by std alike.
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "trap '' ALRM; exec \"$@\"",
        "sh",
        PROGRAM,
        "send",
        "--config",
    ]);
    shell
        .arg(host.path("mfa.toml"))
        .stdin(Stdio::null())
        .stdout(writer);
    let begin = Instant::now();
    let mut child = shell.spawn().unwrap();
    let end = begin + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.signal(), Some(nix::libc::SIGALRM));
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_program_gets_its_words_and_one_json_document() {
    needs_root!();
    let host = host_with_program(
        "d=${0%/*}/out; printf '%s\\n' \"$@\" > $d/words; env > $d/env; cat > $d/input",
    );
    host.send(&by(Method::Command, code(1)))
        .expect(0, "accepted command ");
    let read = |name: &str| std::fs::read_to_string(host.path("out").join(name)).unwrap();
    assert_eq!(read("words"), "a b\n-x\n");
    assert!(read("input").starts_with(
        r#"{"version":1,"kind":"code","user":"alice","to":"alice@example.com","ref":"K7QM","code":"493817","text":""#
    ));
    assert_eq!(read("input").matches('\n').count(), 1);
    // The shell adds PWD by itself.
    let others: Vec<_> = read("env")
        .lines()
        .map(str::to_owned)
        .filter(|line| !line.starts_with("PWD="))
        .collect();
    assert_eq!(others, ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
}

#[test]
fn a_programs_exit_code_says_what_became_of_the_message() {
    needs_root!();
    for (text, code_of_courier, line) in [
        ("exit 0", 0, "accepted command "),
        ("exit 75", 75, "retry command program "),
        ("exit 1", 69, "refused command program "),
        ("kill -9 $$", 75, "retry command program "),
    ] {
        let host = host_with_program(text);
        host.send(&by(Method::Command, code(1)))
            .expect(code_of_courier, line);
    }
    let host = host_with_program("exit 0");
    host.change("gateway\"", "no-gateway\"");
    host.send(&by(Method::Command, code(1)))
        .expect(78, "config command program ");
}

#[test]
fn a_program_that_hangs_is_ended_with_its_children() {
    needs_root!();
    let host = host_with_program("sleep 600 & echo $$ $! > ${0%/*}/out/pids; wait");
    let run = host.send(&by(Method::Command, code(1)));
    assert!(
        run.out.starts_with("retry command timeout while running /"),
        "{run:?}"
    );
    let pids = std::fs::read_to_string(host.path("out/pids")).unwrap();
    pids.split_whitespace().for_each(ends);
}

#[test]
fn a_program_does_not_outlive_a_courier_that_is_killed() {
    needs_root!();
    let host = host_with_program("echo $$ > ${0%/*}/out/pid; exec sleep 600");
    let mut child = host.sender();
    let document = by(Method::Command, code(1)).to_json();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(document.as_bytes())
        .unwrap();
    let pid = loop {
        match std::fs::read_to_string(host.path("out/pid")) {
            Ok(pid) if pid.ends_with('\n') => break pid,
            _ => assert_eq!(child.try_wait().unwrap(), None),
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    ends(pid.trim());
}

#[test]
fn sendmail_gets_the_envelope_in_its_words_and_the_message() {
    needs_root!();
    let host = Host::new("");
    let program = host.program(
        "sendmail",
        "d=${0%/*}/out; printf '%s\\n' \"$@\" > $d/words; cat > $d/input; grep NoNewPrivs /proc/self/status > $d/status",
    );
    host.change("email = \"file\"", "email = \"sendmail\"");
    let settings = format!(
        "[courier.sendmail]\npath = \"{}\"\n[courier.file]",
        program.display()
    );
    host.change("[courier.file]", &settings);
    host.send(&code(1)).expect(0, "accepted sendmail ");
    let read = |name: &str| std::fs::read_to_string(host.path("out").join(name)).unwrap();
    let words = read("words");
    let words: Vec<_> = words.lines().collect();
    assert_eq!(words[..2], ["-i", "-f"]);
    assert!(words[2].starts_with("nobody@"), "{words:?}");
    assert_eq!(words[3..], ["--", "alice@example.com"]);
    assert!(read("input").contains("\nTo: alice@example.com\n"));
    // It passes the message on through a program of another group.
    assert_eq!(read("status"), "NoNewPrivs:\t0\n");
    for (exit_code, expected, line) in [
        (75, 75, "retry sendmail program "),
        (67, 69, "refused sendmail program "),
    ] {
        host.program("sendmail", &format!("exit {exit_code}"));
        host.send(&code(1)).expect(expected, line);
    }
}

#[test]
fn a_check_sends_nothing() {
    needs_root!();
    let check = || document(Kind::Check, 1, "alice");
    let host = host_with_program("touch ${0%/*}/out/ran");
    host.send(&check()).expect(0, "accepted file ");
    host.send(&by(Method::Command, check()))
        .expect(0, "accepted command ");
    assert!(host.names("out").is_empty());
    host.change("/out\"", "/nowhere\"");
    host.send(&check()).expect(78, "config file folder ");
    host.change("/nowhere\"", "/credentials\"");
    host.send(&check()).expect(78, "config file folder ");
    host.change("gateway\"", "mfa.toml\"");
    host.send(&by(Method::Command, check()))
        .expect(78, "config command program ");
}

#[test]
fn where_nobody_listens_any_more_the_courier_logs_what_went_wrong_itself() {
    needs_root!();
    let host = Host::new("");
    host.change("demo = true", "demo = false");
    std::fs::write(host.path("document"), code(1).to_json().as_bytes()).unwrap();
    let document = host.path("document");
    // Standard output is a pipe whose reader is gone.
    let line = format!(
        "{{ sleep 0.3; \"$0\" send \"$@\" < {}; }} | exit 0",
        document.display()
    );
    let (_, lines) = host.logged(&line);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("mfa-courier") && lines[0].contains("id=MFA-1002 event=delivery_failed"),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("user=\"alice\"") && lines[0].contains("reason=\"not_configured\""),
        "{lines:?}"
    );
    assert!(
        !lines[0].contains("493817") && !lines[0].contains('@'),
        "{lines:?}"
    );
    host.change("demo = false", "demo = true");
    let (_, lines) = host.logged(&line);
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(host.mails().len(), 1);
}
