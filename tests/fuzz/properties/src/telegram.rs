//! Answers of Telegram's Bot API, or of whatever stands in its place.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use mfa_core::config::Config;
use mfa_core::courier::{Document, Kind};
use mfa_core::record::Method;
use mfa_courier::probe;
use zeroize::Zeroizing;

use crate::folder;
use crate::input::Input;
use crate::server::meet;
use crate::smtp::check_line_of;

/// In the answer: the request's first line, which holds the token, and its last one, which holds the code.
const FIRST: u8 = 1;
const LAST: u8 = 2;

const TOKEN: &str = "123456:AAE-secret_token";
const CODE: &str = "87654321";
const TO: &str = "-1001234567";

/// What may be said of the Bot API (`mfa-courier/src/report.rs`).
const CLASSES: &[&str] = &[
    "timeout",
    "connection_lost",
    "connection_refused",
    "temporary",
    "refused",
    "too_much",
    "protocol",
    "unauthorized",
    "busy",
    "tls",
];

/// Whatever is answered, the courier comes to an end with one line of a documented kind that gives away neither token nor code
/// nor recipient; and nothing counts as accepted but a JSON that says `"ok": true`.
pub fn telegram(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let is_raw = flags & 1 != 0;
    let is_check = flags & 2 != 0;
    let status = 100 + u16::from(input.byte()) * 2 + u16::from(flags >> 7);
    let body = input.rest();

    let credentials = folder::path().join("tokens");
    if fs::create_dir(&credentials).is_ok() {
        let file = credentials.join("telegram-token");
        fs::write(&file, TOKEN).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }
    let config = |port: u16| {
        format!(
            "version = 1\n[paths]\ncredentials = \"{}\"\n[courier.telegram]\napi = \"http://127.0.0.1:{port}\"\n",
            credentials.display()
        )
    };
    let kind = if is_check { Kind::Check } else { Kind::Code };
    let mut document = Document::new(kind, "0123456789abcdef".repeat(2), 1_795_168_800);
    document.channel = Method::Telegram;
    TO.clone_into(&mut document.to);
    document.code = Zeroizing::new(CODE.to_owned());
    let end = Instant::now() + Duration::from_secs(60);
    let mut answered = Vec::new();
    let ((line, exit_code), peer) = meet(
        |peer| {
            let (mut first, mut last, mut length) = (Vec::new(), Vec::new(), 0);
            while let Some(line) = peer.hear() {
                if first.is_empty() {
                    first.clone_from(&line);
                }
                let text = String::from_utf8_lossy(&line).to_lowercase();
                if let Some(number) = text.strip_prefix("content-length: ") {
                    length = number.trim().parse().unwrap();
                }
                // The end of the headers, and of the body behind them.
                if line == b"\r\n" && length == 0 || !last.is_empty() && line.is_empty() {
                    break;
                }
                if !line.is_empty() {
                    last = line;
                }
                if last.first() == Some(&b'{') && last.len() >= length {
                    break;
                }
            }
            answered = filled(body, &first, &last);
            if is_raw {
                peer.say(&answered);
            } else {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    answered.len()
                );
                peer.say(&[head.as_bytes(), &answered].concat());
            }
        },
        |port| {
            let config = Config::parse(config(port).as_bytes()).unwrap();
            probe::deliver(config, &document, end)
        },
    );
    let report = check_line_of(
        &line,
        exit_code,
        CLASSES,
        &[TOKEN, "secret_token", CODE, "1001234567"],
    );
    let request = String::from_utf8_lossy(&peer.clear);
    assert_eq!(request.matches(TOKEN).count(), 1, "{request}");
    // What the courier passes over may be worse than what can be read whole.
    let answer = serde_json::from_slice::<serde_json::Value>(&answered);
    if let (true, false, Ok(answer)) = (report.is_accepted, is_raw, answer) {
        assert_eq!(answer["ok"], true, "{line} for {answer}");
    }
}

fn filled(body: &[u8], first: &[u8], last: &[u8]) -> Vec<u8> {
    let mut filled = Vec::new();
    for byte in body {
        match *byte {
            FIRST => filled.extend_from_slice(first.trim_ascii()),
            LAST => filled.extend(
                last.trim_ascii()
                    .iter()
                    .filter(|byte| !b"\"\\".contains(byte)),
            ),
            other => filled.push(other),
        }
    }
    filled
}
