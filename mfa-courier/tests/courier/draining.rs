//! `drain`: what waits is delivered, kept for later, or put away.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::JoinHandle;

use mfa_core::courier::Kind;
use mfa_core::record::Method;

use crate::host::{Host, NOBODY, document, ends, header, needs_root, now, user_file};

#[test]
fn everything_that_waits_is_delivered_and_nothing_is_left() {
    needs_root!();
    let host = Host::new("");
    for (number, kind) in [(1, Kind::Login), (2, Kind::Change), (3, Kind::Test)] {
        host.put(&document(kind, number, "alice"));
    }
    let mut far_away = document(Kind::Login, 4, "jörg é");
    far_away.to = "joerg@example.com".to_owned();
    host.put(&far_away);
    let run = host.drain().expect(0, "");
    assert_eq!(run.err, "");
    let ids: Vec<_> = host
        .mails()
        .iter()
        .map(|mail| header(mail, "Message-ID").to_owned())
        .collect();
    for (place, id) in ids.iter().enumerate() {
        assert!(id.starts_with(&format!("<{:032x}@", place + 1)), "{ids:?}");
    }
    assert_eq!(ids.len(), 4);
    for folder in ["tmp", "new", "deferred", "dead"] {
        assert!(
            host.names(&format!("spool/{folder}")).is_empty(),
            "{folder}"
        );
    }
}

#[test]
fn what_is_no_notice_is_put_away_unopened_with_a_line() {
    needs_root!();
    let host = Host::new("");
    let new = host.path("spool/new");
    let name = |number: u64| format!("login~alice~{number:032x}");
    let secret = host.path("secret");
    fs::write(&secret, "untouched").unwrap();
    symlink(&secret, new.join(name(1))).unwrap();
    nix::unistd::mkfifo(&new.join(name(2)), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(new.join("strange"), "x").unwrap();
    fs::write(new.join(name(3)), "{}").unwrap();
    // Another's, as it is root that wrote it and kept it.
    fs::write(
        new.join(name(4)),
        document(Kind::Login, 4, "alice").to_json().as_bytes(),
    )
    .unwrap();
    // Named like another, and of a kind that does not wait.
    host.put_as("spool/new", &name(5), &document(Kind::Login, 6, "alice"));
    host.put(&document(Kind::Code, 7, "alice"));
    let twice = document(Kind::Login, 8, "alice");
    host.put(&twice);
    fs::hard_link(new.join(name(8)), host.path("spool/tmp/second")).unwrap();
    let (run, lines) = host.logged("\"$0\" drain \"$@\"");
    run.expect(0, "");
    assert!(host.mails().is_empty());
    assert!(host.names("spool/new").is_empty());
    assert_eq!(host.names("spool/dead").len(), 8);
    assert_eq!(fs::read_to_string(secret).unwrap(), "untouched");
    assert_eq!(lines.len(), 8, "{lines:?}");
    for line in lines {
        assert!(
            line.contains("id=MFA-5001 event=notice_failed")
                && line.contains("reason=\"unreadable\""),
            "{line}"
        );
    }
}

#[test]
fn a_notice_that_cannot_be_delivered_waits_longer_and_longer() {
    needs_root!();
    let host = Host::new("");
    host.change("/out\"", "/nowhere\"");
    host.put(&document(Kind::Login, 1, "alice"));
    let run = host.drain().expect(78, "");
    assert!(run.err.contains("config file folder "), "{run:?}");
    assert!(host.names("spool/new").is_empty());
    let mut last = 0;
    for (tries, pause) in [(1, 60), (2, 120), (3, 240)] {
        let names = host.names("spool/deferred");
        let parts: Vec<_> = names[0].split('~').collect();
        assert_eq!(parts[1], tries.to_string(), "{names:?}");
        let wait = parts[0].parse::<u64>().unwrap() - now();
        assert!(wait > last && wait <= pause && wait + 30 > pause, "{wait}");
        last = wait;
        // Not before its time.
        host.drain().expect(0, "");
        assert_eq!(host.names("spool/deferred"), names);
        host.let_time_pass();
        host.drain().expect(78, "");
    }
    host.change("/nowhere\"", "/out\"");
    host.let_time_pass();
    host.drain().expect(0, "");
    assert_eq!(host.mails().len(), 1);
    assert!(host.names("spool/deferred").is_empty());
}

#[test]
fn a_next_try_that_is_too_far_away_is_due() {
    needs_root!();
    let host = Host::new("");
    let notice = document(Kind::Login, 1, "alice");
    let name = format!("{}~3~login~alice~{:032x}", now() + 7200, 1);
    host.put_as("spool/deferred", &name, &notice);
    host.drain().expect(0, "");
    assert_eq!(host.mails().len(), 1);
}

#[test]
fn after_a_day_it_is_over_and_a_line_says_why() {
    needs_root!();
    let host = Host::new("");
    host.change("/out\"", "/nowhere\"");
    let mut old = document(Kind::Login, 1, "alice");
    old.time = now() - 90_000;
    host.put_as(
        "spool/deferred",
        &format!("1~9~login~alice~{:032x}", 1),
        &old,
    );
    let mut future = document(Kind::Login, 2, "alice");
    future.time = now() + 90_000;
    host.put_as(
        "spool/deferred",
        &format!("1~3~login~alice~{:032x}", 2),
        &future,
    );
    let mut tried = document(Kind::Login, 3, "alice");
    tried.time = now() + 90_000;
    host.put_as(
        "spool/deferred",
        &format!("1~41~login~alice~{:032x}", 3),
        &tried,
    );
    let (run, lines) = host.logged("\"$0\" drain \"$@\"");
    run.expect(78, "");
    let dead = [
        format!("login~alice~{:032x}", 1),
        format!("login~alice~{:032x}", 3),
    ];
    assert_eq!(host.names("spool/dead"), dead);
    assert_eq!(host.names("spool/deferred").len(), 1);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("id=MFA-5001") && lines[0].contains("user=\"alice\""),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("reason=\"folder\"") && !lines[0].contains('@'),
        "{lines:?}"
    );
}

#[test]
fn what_is_refused_is_put_away_at_once_and_one_channel_does_not_stop_another() {
    needs_root!();
    let host = Host::new("");
    let program = host.program(
        "gateway",
        "read -r line; case $line in *bob*) exit 1;; *) exit 75;; esac",
    );
    let settings = format!(
        "[courier.command]\nrun = [\"{}\"]\n[courier.file]",
        program.display()
    );
    host.change("[courier.file]", &settings);
    for (number, user, channel) in [
        (1, "alice", Method::Command),
        (2, "bob", Method::Command),
        (3, "carol", Method::Telegram),
        (4, "dora", Method::Telegram),
        (5, "eve", Method::Email),
    ] {
        let mut notice = document(Kind::Login, number, user);
        notice.channel = channel;
        if channel == Method::Telegram {
            notice.to = "12345".to_owned();
        }
        host.put(&notice);
    }
    // No token: a matter of the configuration.
    host.drain().expect(78, "");
    let deferred = host.names("spool/deferred");
    assert_eq!(deferred.len(), 3, "{deferred:?}");
    assert_eq!(
        host.names("spool/dead"),
        [format!("login~{}~{:032x}", user_file("bob"), 2)]
    );
    assert_eq!(host.mails().len(), 1);
}

/// A Bot API that takes one message; gives the first line that it was asked with.
fn api() -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 8192];
        let length = stream.read(&mut bytes).unwrap();
        let body = r#"{"ok":true}"#;
        let length_of_body = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length_of_body}\r\n\r\n{body}"
        )
        .unwrap();
        String::from_utf8_lossy(&bytes[..length])
            .lines()
            .next()
            .unwrap()
            .to_owned()
    });
    (port, thread)
}

#[test]
fn a_unit_may_have_credentials_of_its_own_and_root_may_not() {
    needs_root!();
    let (port, thread) = api();
    let host = Host::new(&format!(
        "[courier.telegram]\napi = \"http://127.0.0.1:{port}\"\n"
    ));
    let mut notice = document(Kind::Login, 1, "alice");
    notice.channel = Method::Telegram;
    notice.to = "12345".to_owned();
    host.put(&notice);
    let program = host.public_program();
    let drain = |uid| {
        let mut command = Command::new(&program);
        command
            .args(["drain", "--config"])
            .arg(host.path("mfa.toml"))
            .uid(uid)
            .gid(uid);
        // A proxy that the environment names is none of the courier's.
        command
            .env("MFA_TELEGRAM_TOKEN", "1:of-the-unit")
            .env("http_proxy", "http://127.0.0.1:1");
        command.status().unwrap().code()
    };
    assert_eq!(drain(0), Some(78));
    assert_eq!(host.names("spool/deferred").len(), 1);
    host.let_time_pass();
    assert_eq!(drain(NOBODY), Some(0));
    assert_eq!(
        thread.join().unwrap(),
        "POST /bot1:of-the-unit/sendMessage HTTP/1.1"
    );
    assert!(host.names("spool/deferred").is_empty());
}

#[test]
fn a_second_drain_has_nothing_to_do() {
    needs_root!();
    let host = Host::new("");
    let folder = fs::File::open(host.path("spool/deferred")).unwrap();
    let lock = nix::fcntl::Flock::lock(folder, nix::fcntl::FlockArg::LockExclusive).unwrap();
    host.put(&document(Kind::Login, 1, "alice"));
    let run = host.drain().expect(0, "");
    assert!(run.err.contains("another drain is at work"), "{run:?}");
    assert_eq!(host.names("spool/new").len(), 1);
    drop(lock);
    host.drain().expect(0, "");
    assert_eq!(host.mails().len(), 1);
}

#[test]
fn a_spool_that_is_not_there_is_a_matter_of_the_configuration() {
    needs_root!();
    let host = Host::new("");
    fs::remove_dir(host.path("spool/dead")).unwrap();
    let run = host.drain().expect(78, "");
    assert!(
        run.err.contains("dead") && run.err.contains("mfa-admin init"),
        "{run:?}"
    );
}

#[test]
fn a_program_that_hangs_costs_its_own_time_only() {
    needs_root!();
    let host = Host::new("");
    let program = host.program("gateway", "sleep 600 & echo $! > ${0%/*}/out/pid; wait");
    let settings = format!(
        "[courier.command]\nrun = [\"{}\"]\n[courier.file]",
        program.display()
    );
    host.change("[courier.file]", &settings);
    for number in 1..=3 {
        let mut notice = document(Kind::Login, number, "alice");
        notice.channel = Method::Command;
        host.put(&notice);
    }
    let begin = std::time::Instant::now();
    let run = host.drain().expect(75, "");
    assert!(
        run.err.contains("retry command timeout while running "),
        "{run:?}"
    );
    // The second and the third are not tried: they would hang as well.
    assert!(begin.elapsed().as_secs() < 4, "{:?}", begin.elapsed());
    assert_eq!(host.names("spool/deferred").len(), 3);
    let pid = fs::read_to_string(host.path("out/pid")).unwrap();
    ends(pid.trim());
}

#[test]
fn from_a_spool_that_can_only_be_read_nothing_is_delivered() {
    needs_root!();
    for name in ["tmp", "new", "deferred", "dead"] {
        let host = Host::new("");
        host.put(&document(Kind::Login, 1, "alice"));
        let line = format!(
            "f={}; mount --bind $f $f && mount -o remount,bind,ro $f && exec \"$0\" drain \"$@\"",
            host.path("spool").join(name).display()
        );
        let (run, _) = host.logged(&line);
        let run = run.expect(74, "");
        assert!(
            run.err.contains(name) && run.err.contains("nothing was delivered"),
            "{run:?}"
        );
        assert!(host.mails().is_empty(), "{name}");
        assert_eq!(host.names("spool/new").len(), 1);
        host.drain().expect(0, "");
        assert_eq!(host.mails().len(), 1);
    }
}

#[test]
fn what_is_delivered_and_cannot_be_removed_ends_the_run() {
    needs_root!();
    // Whatever becomes of the first message, the folder can't be changed any more.
    for exit_code in [0, 1, 75] {
        let host = Host::new("");
        host.gateway(&format!(
            "d=${{0%/*}}; cat >> $d/out/log; chmod 500 $d/spool/new; exit {exit_code}"
        ));
        for number in 1..=3 {
            let mut notice = document(Kind::Login, number, &format!("user{number}"));
            notice.channel = Method::Command;
            host.put(&notice);
        }
        let run = host.drain().expect(74, "");
        assert!(run.err.contains("nothing more is delivered"), "{run:?}");
        let log = || fs::read_to_string(host.path("out/log")).unwrap();
        assert_eq!(log().lines().count(), 1);
        // And the next run does not even begin.
        let run = host.drain().expect(74, "");
        assert!(run.err.contains("nothing was delivered"), "{run:?}");
        assert_eq!(log().lines().count(), 1);
        assert_eq!(host.names("spool/new").len(), 3);
    }
}

#[test]
fn one_recipient_does_not_keep_messages_from_others() {
    needs_root!();
    let host = Host::new("");
    host.gateway(
        "read -r line; case $line in *hangs*) exec sleep 600;; esac; printf '%s\\n' \"$line\" >> ${0%/*}/out/log",
    );
    for (number, user) in ["a-hangs", "a-hangs", "b", "c-hangs", "d"]
        .iter()
        .enumerate()
    {
        let mut notice = document(Kind::Login, number as u64, user);
        notice.channel = Method::Command;
        host.put(&notice);
    }
    host.drain().expect(75, "");
    let log = fs::read_to_string(host.path("out/log")).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    // What is left was tried once, but for the second one of somebody whose first one hangs.
    assert_eq!(tries(&host), [(0, 1), (1, 0), (3, 1)]);
}

#[test]
fn a_way_on_which_three_in_a_row_hang_is_left() {
    needs_root!();
    let host = Host::new("");
    host.gateway("exec sleep 600");
    host.change("deadline = \"2s\"", "deadline = \"1s\"");
    for number in 0..30 {
        let mut notice = document(Kind::Login, number, &format!("user{number:02}"));
        notice.channel = Method::Command;
        host.put(&notice);
    }
    let begin = std::time::Instant::now();
    host.drain().expect(75, "");
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    let mut expected: Vec<_> = (0..30)
        .map(|number| (number, u32::from(number < 3)))
        .collect();
    assert_eq!(tries(&host), expected);
    // The ones that were not tried come first the next time.
    host.let_time_pass();
    host.drain().expect(75, "");
    for (number, tries) in &mut expected {
        *tries = u32::from(*number < 6);
    }
    assert_eq!(tries(&host), expected);
}

/// What waits for its next try: the number of its id, and how often it was tried.
fn tries(host: &Host) -> Vec<(u64, u32)> {
    let mut tries: Vec<_> = host
        .names("spool/deferred")
        .iter()
        .map(|name| {
            let parts: Vec<_> = name.split('~').collect();
            let wait = parts[0].parse::<u64>().unwrap() - now();
            assert!((30..=3600).contains(&wait), "{name}");
            let number = u64::from_str_radix(parts[4], 16).unwrap();
            (number, parts[1].parse().unwrap())
        })
        .collect();
    tries.sort_unstable();
    tries
}

#[test]
fn what_was_not_tried_keeps_its_tries_until_its_day_is_over() {
    needs_root!();
    let host = Host::new("");
    host.change("/out\"", "/nowhere\"");
    let old = |number| {
        let mut old = document(Kind::Login, number, "alice");
        old.time = now() - 90_000;
        old
    };
    for number in 1..=2 {
        host.put(&document(Kind::Login, number, "alice"));
    }
    host.put(&old(3));
    host.drain().expect(78, "");
    assert_eq!(tries(&host), [(1, 1), (2, 0), (3, 1)]);
    // A clock that is wrong makes everything old: a few tries are everybody's due.
    for before in 1..=4 {
        assert!(host.names("spool/dead").is_empty(), "{before}");
        host.let_time_pass();
        host.drain().expect(78, "");
    }
    assert_eq!(
        host.names("spool/dead"),
        [format!("login~alice~{:032x}", 3)]
    );
}

#[test]
fn what_waits_is_found_however_its_numbers_are_written() {
    needs_root!();
    let host = Host::new("");
    let notice = document(Kind::Login, 1, "alice");
    let name = format!("+1~03~login~alice~{:032x}", 1);
    host.put_as("spool/deferred", &name, &notice);
    host.drain().expect(0, "");
    assert_eq!(host.mails().len(), 1);
    assert!(host.names("spool/deferred").is_empty());
}
