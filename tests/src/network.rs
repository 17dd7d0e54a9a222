//! Networks that fail. They are the test host's own, whose only interface is its loopback.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use crate::host::Host;

/// A name server that takes questions and never answers. Names of /etc/hosts are found all the same.
pub struct HangingDns {
    questions: UdpSocket,
}

impl HangingDns {
    /// Whether somebody has asked since the last call.
    pub fn was_asked(&self) -> bool {
        let mut question = [0; 512];
        let mut asked = false;
        while self.questions.recv(&mut question).is_ok() {
            asked = true;
        }
        asked
    }
}

impl Drop for HangingDns {
    fn drop(&mut self) {
        set_resolver("", "hosts: files");
    }
}

impl Host {
    /// From now on, and until what this returns is dropped, every question for a name that is not in /etc/hosts
    /// hangs: the resolver's own patience is 5 s, twice.
    pub fn hang_dns(&self) -> HangingDns {
        let questions = UdpSocket::bind("127.0.0.1:53").unwrap();
        questions.set_nonblocking(true).unwrap();
        set_resolver("nameserver 127.0.0.1\n", "hosts: files dns");
        HangingDns { questions }
    }

    /// An address to which there is no way: connect(2) fails at once with EHOSTUNREACH.
    pub fn unroutable_address(&self) -> &'static str {
        route(&["unreachable", "192.0.2.0/24"]);
        "192.0.2.1"
    }

    /// An address that nobody has and from which nothing ever comes back: connect(2) hangs.
    pub fn silent_address(&self) -> &'static str {
        // The loopback gets the packets back, for an address that isn't its own, and drops them.
        route(&["198.51.100.0/24", "dev", "lo", "src", "127.0.0.1"]);
        "198.51.100.1"
    }
}

fn set_resolver(resolver: &str, hosts: &str) {
    fs::write("/etc/resolv.conf", resolver).unwrap();
    let switch = fs::read_to_string("/etc/nsswitch.conf").unwrap();
    let mut lines: Vec<&str> = switch
        .lines()
        .filter(|line| !line.starts_with("hosts:"))
        .collect();
    lines.push(hosts);
    fs::write("/etc/nsswitch.conf", lines.join("\n") + "\n").unwrap();
}

fn route(words: &[&str]) {
    let status = Command::new("ip")
        .args(["route", "replace"])
        .args(words)
        .status()
        .unwrap();
    assert!(status.success(), "ip route replace {words:?}");
}
