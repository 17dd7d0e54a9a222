//! A real syslog daemon on /dev/log, whose lines tests read.

use std::cell::Cell;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SOCKET: &str = "/dev/log";
const FILE: &str = "/var/log/all.log";
/// One line per message: `authpriv.notice Nov 20 10:00:00 bastion-1 sshd[12]: text`. What follows the first blank
/// is what Debian's /var/log/auth.log holds. A direct queue keeps the order in which messages were sent.
const CONFIGURATION: &str = r#"
global(workDirectory="/var/spool/rsyslog" maxMessageSize="16k")
main_queue(queue.type="Direct")
module(load="imuxsock" SysSock.RateLimit.Interval="0")
template(name="line" type="string"
    string="%syslogfacility-text%.%syslogseverity-text% %TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n")
action(type="omfile" file="/var/log/all.log" template="line" asyncWriting="off" flushOnTXEnd="on")
"#;

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// `authpriv`.
    pub facility: String,
    /// `info`, `notice`, `err`, `alert`.
    pub severity: String,
    /// The program's name, without its process id.
    pub program: String,
    /// What follows `program[pid]: `.
    pub text: String,
    /// The line as Debian's auth.log would hold it.
    pub classic: String,
}

/// rsyslogd, running.
pub struct Syslog {
    daemon: Child,
    synced: Cell<u64>,
}

impl Syslog {
    /// Starts rsyslogd and waits until it reads /dev/log.
    pub fn start() -> Self {
        assert!(
            !Path::new(SOCKET).exists(),
            "nobody listens on /dev/log of a new host"
        );
        fs::write("/run/rsyslog.conf", CONFIGURATION).unwrap();
        let daemon = Command::new("rsyslogd")
            .args(["-n", "-f", "/run/rsyslog.conf", "-i", "/run/rsyslogd.pid"])
            .stdin(Stdio::null())
            .spawn()
            .expect("rsyslogd is unpacked by tests/packages.sh");
        let syslog = Self {
            daemon,
            synced: Cell::new(0),
        };
        syslog.sync();
        syslog
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Mark {
        self.sync();
        Mark(fs::read(FILE).unwrap().len())
    }

    /// All lines since a mark. What was sent to /dev/log before this call is among them.
    pub fn lines_since(&self, mark: Mark) -> Vec<LogLine> {
        self.sync();
        let bytes = fs::read(FILE).unwrap();
        let text = String::from_utf8_lossy(&bytes[mark.0..]).into_owned();
        text.lines()
            .filter_map(LogLine::parse)
            .filter(|line| line.program != "mfa-tests-sync")
            .collect()
    }

    /// Waits until a message of our own has come through: the socket keeps the order, so all before it have.
    fn sync(&self) {
        self.synced.set(self.synced.get() + 1);
        let token = format!(
            "mfa-tests-sync: number {} of {}",
            self.synced.get(),
            std::process::id()
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut sent = false;
        loop {
            if !sent {
                // Until rsyslogd has bound it there is no socket to send to.
                let socket = UnixDatagram::unbound().unwrap();
                sent = socket
                    .send_to(format!("<86>{token}").as_bytes(), SOCKET)
                    .is_ok();
            }
            if sent && fs::read_to_string(FILE).is_ok_and(|text| text.contains(&token)) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "rsyslogd has not written `{token}` to {FILE}"
            );
            sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl LogLine {
    fn parse(line: &str) -> Option<Self> {
        let (priority, classic) = line.split_once(' ')?;
        let (facility, severity) = priority.split_once('.')?;
        // `Nov 20 10:00:00 bastion-1 `: 16 characters of time, then the host.
        let (_host, message) = classic.get(16..)?.split_once(' ')?;
        let (tag, text) = message.split_once(": ")?;
        Some(Self {
            facility: facility.to_owned(),
            severity: severity.to_owned(),
            program: tag.split('[').next()?.to_owned(),
            text: text.to_owned(),
            classic: classic.to_owned(),
        })
    }
}
