//! Mail servers, through the courier's own connection, TLS and dialogue.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use mfa_core::config::Config;
use mfa_core::courier::{Document, Kind, Report};
use mfa_courier::probe;
use zeroize::Zeroizing;

use crate::folder;
use crate::input::Input;
use crate::server::{Peer, authority, meet};

/// In what the server says: the last line that it heard, the beginning of TLS, the end of the connection, far too much, and
/// everything that it heard so far.
const ECHO: u8 = 1;
const TLS: u8 = 2;
const END: u8 = 3;
const TOO_MUCH: u8 = 4;
const ALL: u8 = 5;

const PASSWORD: &str = "correct-horse";
/// `\0alerts\0correct-horse`, and its parts, as AUTH PLAIN, LOGIN and XOAUTH2 say them.
const ENCODED: [&str; 3] = [
    "AGFsZXJ0cwBjb3JyZWN0LWhvcnNl",
    "Y29ycmVjdC1ob3JzZQ==",
    "YWxlcnRz",
];
const CODE: &str = "87654321";
const TO: &str = "alice@example.com";

/// What may be said of a mail server (`mfa-courier/src/report.rs`).
const CLASSES: &[&str] = &[
    "timeout",
    "connection_lost",
    "connection_refused",
    "certificate_expired",
    "certificate_untrusted",
    "certificate_name",
    "tls",
    "starttls_missing",
    "starttls_injected",
    "auth_missing",
    "auth_rejected",
    "temporary",
    "refused",
    "too_much",
    "protocol",
];

/// Whatever a server says, the courier comes to an end with one line of a documented kind that gives nothing away; before TLS
/// nothing but greetings is said; and nothing counts as accepted but a message that went out whole.
pub fn smtp(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let is_starttls = flags & 1 != 0;
    let is_check = flags & 2 != 0;
    let auth = ["auto", "plain", "login", "xoauth2"][usize::from(flags >> 2 & 3)];
    let username = if flags & 16 != 0 { "" } else { "alerts" };
    let script: Vec<&[u8]> = input.rest().split(|byte| *byte == 0xff).collect();

    let credentials = folder::path().join("credentials");
    if fs::create_dir(&credentials).is_ok() {
        let file = credentials.join("smtp-password");
        fs::write(&file, PASSWORD).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }
    let security = if is_starttls { "starttls" } else { "tls" };
    let config = |port: u16| {
        format!(
            "version = 1\n[paths]\ncredentials = \"{}\"\n[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\n\
             security = \"{security}\"\nauth = \"{auth}\"\nusername = \"{username}\"\nfrom = \"MFA <alerts@example.com>\"\n\
             ca_file = \"{}\"\n",
            credentials.display(),
            authority().display(),
        )
    };
    let kind = if is_check { Kind::Check } else { Kind::Code };
    let mut document = Document::new(kind, "0123456789abcdef".repeat(2), 1_795_168_800);
    TO.clone_into(&mut document.to);
    document.code = Zeroizing::new(CODE.to_owned());
    let end = Instant::now() + Duration::from_secs(60);
    let ((line, exit_code), peer) = meet(
        |peer| converse(peer, &script, is_starttls),
        |port| {
            let config = Config::parse(config(port).as_bytes()).unwrap();
            probe::deliver(config, &document, end)
        },
    );
    check_line(&line, exit_code);
    check_clear(&peer.clear, is_starttls);
    if exit_code == 0 && is_starttls {
        // One answer to STARTTLS, and not a byte behind it: what came in the clear must not count as said behind TLS.
        let said = String::from_utf8_lossy(&peer.said_before_tls);
        let lines: Vec<&str> = said.split_inclusive('\n').collect();
        let (last, before) = lines.split_last().unwrap();
        assert!(before.iter().all(|line| line.starts_with("220-")), "{said}");
        assert!(
            last.starts_with("220") && !last.starts_with("220-"),
            "{said}"
        );
    }
    if exit_code == 0 && !is_check {
        let heard = String::from_utf8_lossy(&peer.behind_tls);
        assert!(heard.contains("\r\n.\r\n"), "{line} after {heard}");
        assert_eq!(heard.matches("RCPT TO:").count(), 1);
    }
}

/// The server's side: for each line that it hears the next part of the script; an empty part, and what comes behind the last
/// one, is what a server would usually say.
fn converse(peer: &mut Peer, script: &[&[u8]], is_starttls: bool) {
    if !is_starttls {
        peer.tls();
    }
    let mut last = Vec::new();
    let mut is_message = false;
    let mut silences = 0;
    for turn in 0.. {
        let part = script.get(turn).copied().unwrap_or_default();
        let answer = if part.is_empty() {
            usual(&last, turn)
        } else {
            part.to_vec()
        };
        is_message = is_message && !last.starts_with(b".\r\n") || answer.starts_with(b"354");
        if !act(peer, &answer, &last) {
            return;
        }
        loop {
            let Some(line) = peer.hear() else {
                return;
            };
            silences = if line.is_empty() { silences + 1 } else { 0 };
            // Nobody has anything to say.
            if silences > 1 && turn >= script.len() || turn > script.len() + 20 {
                return;
            }
            last = line;
            if !is_message || last == b".\r\n" || last.is_empty() {
                break;
            }
        }
    }
}

/// Says a part of the script; whether the connection goes on.
fn act(peer: &mut Peer, part: &[u8], last: &[u8]) -> bool {
    for piece in part.split_inclusive(|byte| (ECHO..=ALL).contains(byte)) {
        let (piece, deed) = match piece.split_last() {
            Some((deed, piece)) if (ECHO..=ALL).contains(deed) => (piece, *deed),
            _ => (piece, 0),
        };
        if !piece.is_empty() && !peer.say(piece) {
            return false;
        }
        match deed {
            ECHO if !peer.say(last.trim_ascii_end()) => return false,
            TLS => peer.tls(),
            END => return false,
            ALL => {
                let heard = String::from_utf8_lossy(&peer.behind_tls).into_owned();
                for line in heard.lines().take(60) {
                    if !peer.say(format!("550-{line}\r\n").as_bytes()) {
                        return false;
                    }
                }
            }
            TOO_MUCH if !peer.say(&vec![b'x'; 70_000]) => return false,
            _ => {}
        }
    }
    true
}

fn usual(line: &[u8], turn: usize) -> Vec<u8> {
    let verb = line
        .split(|byte| b" :\r\n".contains(byte))
        .next()
        .unwrap_or_default();
    let answer: &[u8] = match verb {
        _ if turn == 0 => b"220 server\r\n",
        b"EHLO" => {
            b"250-server\r\n250-AUTH LOGIN PLAIN XOAUTH2\r\n250-STARTTLS\r\n250 8BITMIME\r\n"
        }
        b"STARTTLS" => b"220 go on\r\n\x02",
        b"AUTH" if line.starts_with(b"AUTH LOGIN") => b"334 VXNlcm5hbWU6\r\n",
        b"YWxlcnRz" => b"334 UGFzc3dvcmQ6\r\n",
        b"AUTH" | b"Y29ycmVjdC1ob3JzZQ==" => b"235 welcome\r\n",
        b"DATA" => b"354 go on\r\n",
        b"QUIT" => b"221 bye\r\n\x03",
        b"" => b"",
        _ => b"250 ok\r\n",
    };
    answer.to_vec()
}

/// One line, of a documented class, that gives nothing away. With `MFA_FUZZ_SHOW` in the environment it is shown.
pub(crate) fn check_line_of(
    line: &str,
    exit_code: u8,
    classes: &[&str],
    secrets: &[&str],
) -> Report {
    if std::env::var_os("MFA_FUZZ_SHOW").is_some() {
        eprint!("{line}");
    }
    assert!(
        line.ends_with('\n') && line.matches('\n').count() == 1,
        "{line:?}"
    );
    assert!(line.chars().count() < 260, "{line}");
    assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
    let report = Report::parse(line).unwrap_or_else(|| panic!("{line}"));
    assert_eq!(report.is_accepted, exit_code == 0, "{line}");
    assert!([0, 69, 75, 78].contains(&exit_code), "{exit_code}: {line}");
    assert!(
        report.is_accepted || classes.contains(&report.reason.as_str()),
        "{line}"
    );
    for secret in secrets {
        assert!(!line.contains(secret), "{secret} in {line}");
    }
    report
}

fn check_line(line: &str, exit_code: u8) {
    let secrets = [PASSWORD, ENCODED[0], ENCODED[1], CODE, TO];
    check_line_of(line, exit_code, CLASSES, &secrets);
}

fn check_clear(clear: &[u8], is_starttls: bool) {
    let heard = String::from_utf8_lossy(clear);
    for secret in ENCODED.into_iter().chain([PASSWORD, CODE, TO, "alerts"]) {
        assert!(!heard.contains(secret), "{secret} in the clear: {heard:?}");
    }
    if is_starttls {
        // Then TLS, or what would have been its beginning.
        let words: Vec<&str> = heard
            .split("\r\n")
            .take_while(|line| line.is_ascii())
            .collect();
        let is_hello = |line: &str| line.starts_with('\u{16}') || line.starts_with('\u{15}');
        for (place, line) in words.iter().enumerate() {
            let is_usual = match place {
                0 => line.starts_with("EHLO ") || line.is_empty(),
                1 => *line == "STARTTLS" || line.is_empty(),
                _ => line.is_empty() || is_hello(line),
            };
            assert!(is_usual || is_hello(line), "{line:?} in {heard:?}");
        }
    }
}
