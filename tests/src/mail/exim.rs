//! Exim, Debian's mail server.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{CA_FILE, Certificate};
use crate::files::repository;
use crate::recorder::{pairs, text};

/// Where TLS begins at once.
pub const TLS_PORT: u16 = 465;
/// Where it begins with STARTTLS.
pub const STARTTLS_PORT: u16 = 587;

const BOXES: &str = "/run/mail/boxes";
const LOGS: [&str; 3] = ["mainlog", "rejectlog", "paniclog"];

/// How to start Exim.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it shows.
    pub certificate: Certificate,
    /// What AUTH offers, with blanks between; nothing: AUTH is not offered.
    pub mechanisms: &'static str,
    /// Names beyond the host's people, root, ops and security who have a box.
    pub also: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            certificate: Certificate::Right,
            mechanisms: "PLAIN LOGIN XOAUTH2",
            also: &[],
        }
    }
}

/// Exim, running, on the ports 465 and 587 of 127.0.0.1; one at a time. It takes mail for example.com, over TLS, from
/// [`super::USER`], and /usr/sbin/sendmail hands it what local users send. Who has no box is refused with 550.
///
/// Dropped, it is killed; mail stays, and another one can be started.
pub struct Exim {
    daemon: Child,
    handed_out: RefCell<BTreeSet<PathBuf>>,
}

impl Exim {
    /// Starts Exim and waits until it greets.
    #[track_caller]
    pub fn start(options: &Options) -> Self {
        let daemon = Command::new(repository().join("tests/mail/exim.sh"))
            .args(["--certificate", options.certificate.name()])
            .args(["--mechanisms", options.mechanisms])
            .args(options.also)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut exim = Self {
            daemon,
            handed_out: RefCell::default(),
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !greets() {
            if let Some(status) = exim.daemon.try_wait().unwrap() {
                panic!("exim has ended: {status}\n{}", exim.log());
            }
            assert!(
                Instant::now() < deadline,
                "exim does not greet:\n{}",
                exim.log()
            );
            sleep(Duration::from_millis(5));
        }
        exim
    }

    /// The next mail for `name`, the oldest that no earlier call has returned, as soon as it is there.
    #[track_caller]
    pub fn wait_for_mail(&self, name: &str, patience: Duration) -> Mail {
        let deadline = Instant::now() + patience;
        let mut handed_out = self.handed_out.borrow_mut();
        loop {
            let all = messages_of(name);
            let count = all.len();
            if let Some(path) = all.into_iter().find(|path| !handed_out.contains(path)) {
                let mail = read(std::slice::from_ref(&path)).remove(0);
                handed_out.insert(path);
                return mail;
            }
            assert!(
                Instant::now() < deadline,
                "no further mail for {name} ({count} so far); exim's log:\n{}",
                self.log()
            );
            sleep(Duration::from_millis(5));
        }
    }

    /// All mail for `name` that has arrived, the oldest first.
    pub fn mails(&self, name: &str) -> Vec<Mail> {
        read(&messages_of(name))
    }

    /// How many mails for `name` have arrived, without reading them.
    pub fn count(&self, name: &str) -> usize {
        messages_of(name).len()
    }

    /// Everybody's mail goes.
    pub fn clear(&self) {
        for entry in fs::read_dir(BOXES).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            for path in messages_of(&name) {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// The authority that has signed its certificate; everybody may read it.
    #[allow(clippy::unused_self, reason = "it is made when a server starts")]
    pub fn ca_file(&self) -> &'static str {
        CA_FILE
    }

    /// Exim's logs, for the message of a test that fails.
    pub fn log(&self) -> String {
        LOGS.iter()
            .filter_map(|name| fs::read_to_string(Path::new("/run/mail/log").join(name)).ok())
            .collect()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn greets() -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", STARTTLS_PORT)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let greeted = reader.read_line(&mut line).is_ok() && line.starts_with("220 ");
    // Good manners keep this out of the log.
    greeted && reader.get_mut().write_all(b"QUIT\r\n").is_ok()
}

/// The messages in a person's box, in the order of their arrival.
fn messages_of(name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(Path::new(BOXES).join(name).join("new")) else {
        // The box is made with the first message.
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            ((metadata.mtime(), metadata.mtime_nsec()), path)
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// A mail as it lies in a box, and as a mail program shows it: Python's email package has decoded it.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The file, byte by byte.
    pub raw: Vec<u8>,
    /// Names and decoded values, in order; Envelope-to and Return-path are Exim's, and tell the envelope.
    pub headers: Vec<(String, String)>,
    /// What the decoder had to complain of.
    pub defects: Vec<String>,
    text: Option<String>,
    html: Option<String>,
}

impl Mail {
    /// The decoded value of the only header of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut values = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value,
            (None, _) => panic!("no {name}: in {:#?}", self.headers),
            _ => panic!("more than one {name}: in {:#?}", self.headers),
        }
    }

    /// The part of type text/plain.
    #[track_caller]
    pub fn text(&self) -> &str {
        let Some(text) = &self.text else {
            panic!("no text/plain in {:#?}", self.headers)
        };
        text
    }

    /// The part of type text/html.
    #[track_caller]
    pub fn html(&self) -> &str {
        let Some(html) = &self.html else {
            panic!("no text/html in {:#?}", self.headers)
        };
        html
    }
}

fn read(paths: &[PathBuf]) -> Vec<Mail> {
    if paths.is_empty() {
        return Vec::new();
    }
    let mut reader = Command::new("/usr/bin/python3")
        .arg(repository().join("tests/mail/read.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads all of its input before it writes.
    let mut input = reader.stdin.take().unwrap();
    for path in paths {
        writeln!(input, "{}", path.display()).unwrap();
    }
    drop(input);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "read.py: {}", output.status);
    let decoded = String::from_utf8(output.stdout).unwrap();
    let mails: Vec<_> = paths
        .iter()
        .zip(decoded.lines())
        .map(|(path, line)| mail(fs::read(path).unwrap(), line))
        .collect();
    assert_eq!(mails.len(), paths.len(), "read.py skips mails");
    mails
}

fn mail(raw: Vec<u8>, line: &str) -> Mail {
    let decoded: Value = serde_json::from_str(line).unwrap();
    let part = |field: &str| (!decoded[field].is_null()).then(|| text(&decoded, field));
    let defects = decoded["defects"].as_array().unwrap();
    Mail {
        raw,
        headers: pairs(&decoded, "headers"),
        defects: defects
            .iter()
            .map(|defect| defect.as_str().unwrap().to_owned())
            .collect(),
        text: part("text"),
        html: part("html"),
    }
}
