//! What is left of root, and of whoever started the courier, when it begins its work.

use std::fs;
use std::process::Command;

use mfa_core::record::Method;

use crate::host::{Host, PROGRAM, code, needs_root};

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
