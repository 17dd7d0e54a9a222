//! What is left of root, and of whoever started the courier, when it begins its work.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mfa_core::courier::Kind;
use mfa_core::record::Method;

use crate::host::{Host, NOBODY, PROGRAM, code, document, needs_root};

/// A host whose program writes down what it is.
fn host() -> Host {
    let host = Host::new("");
    let program = host.program(
        "program",
        // A shell that waits for a program blocks signals: it reads by itself.
        "d=${0%/*}/out; while IFS= read -r l; do printf '%s\\n' \"$l\"; done < /proc/$$/status > $d/status; umask > $d/umask; pwd > $d/cwd; \
         ls /proc/$$/fd > $d/fd; ulimit -c > $d/core; ulimit -f > $d/size; ulimit -v > $d/memory; cat /proc/$$/stat > $d/stat",
    );
    host.change(
        "[courier.file]",
        &format!(
            "[courier.command]\nrun = [\"{}\"]\n[courier.file]",
            program.display()
        ),
    );
    host
}

fn read(host: &Host, name: &str) -> String {
    fs::read_to_string(host.path("out").join(name)).unwrap()
}

fn status(host: &Host, name: &str) -> String {
    let text = read(host, "status");
    let start = format!("{name}:");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap()
        .trim()
        .to_owned()
}

#[track_caller]
fn nothing_of_root_is_left(host: &Host) {
    let nobody = "65534\t65534\t65534\t65534";
    assert_eq!(status(host, "Uid"), nobody);
    assert_eq!(status(host, "Gid"), nobody);
    assert_eq!(status(host, "Groups"), "65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(host, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(host, "NoNewPrivs"), "1");
}

#[test]
fn the_couriers_user_has_nothing_of_root() {
    needs_root!();
    let host = host();
    let mut document = code(1);
    document.channel = Method::Command;
    host.send(&document).expect(0, "accepted command ");
    nothing_of_root_is_left(&host);
}

#[test]
fn under_su_nothing_of_root_and_nothing_of_the_caller_is_left() {
    needs_root!();
    let host = host();
    let mut document = code(1);
    document.channel = Method::Command;
    // As su is: the real user is the caller, the effective one root.
    let mut command = Command::new("perl");
    command
        .args(["-e", "$( = 1234; $< = 1234; exec @ARGV"])
        .arg(PROGRAM);
    command
        .args(["send", "--config"])
        .arg(host.path("mfa.toml"));
    Host::send_by(command, &document).expect(0, "accepted command ");
    nothing_of_root_is_left(&host);
}

#[test]
fn what_the_starting_process_left_behind_is_gone() {
    needs_root!();
    let host = host();
    let mut document = code(1);
    document.channel = Method::Command;
    let line = "trap '' HUP INT TERM ALRM PIPE USR1; umask 000; cd /var; ulimit -S -f 1; ulimit -S -c 100; \
                export LD_DEBUG_OUTPUT=/x SSL_CERT_FILE=/x http_proxy=http://x; exec 7</etc/shadow; exec \"$@\"";
    host.send_through(line, &document)
        .expect(0, "accepted command ");
    nothing_of_root_is_left(&host);
    assert_eq!(read(&host, "cwd"), "/\n");
    assert_eq!(read(&host, "umask"), "0077\n");
    assert_eq!(read(&host, "core"), "0\n");
    assert_eq!(read(&host, "size"), "unlimited\n");
    assert_eq!(read(&host, "memory"), "unlimited\n");
    for set in ["SigIgn", "SigBlk"] {
        let set = u64::from_str_radix(&status(&host, set), 16).unwrap();
        // 32 and 33 are glibc's own, which lets nobody at them.
        assert_eq!(set & !(0b11 << 31), 0, "{set:x}");
    }
    assert!(!read(&host, "fd").lines().any(|number| number == "7"));
    // A session of its own: the courier's, since nobody in it has a terminal.
    let stat = read(&host, "stat");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(fields[4], "0", "{stat}");
    assert_ne!(fields[3], nix::unistd::getsid(None).unwrap().to_string());
}

/// Waits for a connection, as long as the process is there that is to make one.
#[track_caller]
fn accept(listener: &TcpListener, child: &mut std::process::Child) -> std::net::TcpStream {
    listener.set_nonblocking(true).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok((stream, _)) = listener.accept() {
            return stream;
        }
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(Instant::now() < end, "nobody came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobody_looks_into_a_courier_at_work_even_as_its_own_user() {
    needs_root!();
    // Says nothing, so that the courier waits with password and code in its memory.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = Host::new(&format!(
        "[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@b.example\"\n"
    ));
    host.change("email = \"file\"", "email = \"smtp\"");
    host.change("deadline = \"2s\"", "deadline = \"60s\"");
    host.put(&document(Kind::Login, 1, "alice"));
    fs::write(host.path("document"), code(2).to_json().as_bytes()).unwrap();
    let program = host.public_program();
    // Who changes its user can't be looked into for that alone; a unit starts the courier as its user.
    for (verb, uid) in [
        ("send", 0),
        ("send", NOBODY),
        ("drain", 0),
        ("drain", NOBODY),
    ] {
        let mut child = Command::new(&program)
            .args([verb, "--config"])
            .arg(host.path("mfa.toml"))
            .uid(uid)
            .gid(uid)
            .stdin(fs::File::open(host.path("document")).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let connection = accept(&listener, &mut child);
        let process = format!("/proc/{}", child.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        // What is in a process's folder is root's where the process is not dumpable; the folder itself never is
        // (proc(5)).
        let owner = fs::metadata(format!("{process}/environ")).unwrap().uid();
        let looked = Command::new("cat")
            .arg(format!("{process}/maps"))
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        drop(connection);
        assert!(
            status.contains("\nUid:\t65534\t65534\t65534\t65534\n"),
            "{verb} {uid}: {status}"
        );
        assert_eq!(owner, 0, "{verb} started by {uid}");
        assert!(!looked.status.success(), "{verb} started by {uid}");
        assert!(looked.stdout.is_empty(), "{verb} started by {uid}");
    }
}
