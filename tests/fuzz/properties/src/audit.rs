//! Audit lines, read as a security team's parser would.

use mfa_core::audit::{
    AuditLog, AuditTrail, Entry, Event, Severity, admin_line, courier_line, debug_line,
    unknown_argument_line,
};
use mfa_core::device::DeviceId;
use mfa_core::request::{Account, Caller, LoginRequest, RemoteHost, UserName};

use crate::input::Input;

/// Bytes of a line at most, without what syslog puts in front.
const MAX_LINE: usize = 900;
const ORDER: &[&str] = &[
    "v", "id", "event", "outcome", "user", "uid", "service", "rhost", "tty", "device", "actor",
    "method", "app", "try", "login", "seq", "reason", "detail",
];

#[derive(Default)]
struct Lines(Vec<String>);

impl AuditLog for Lines {
    fn write(&mut self, _: Severity, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// Whatever text comes from outside: one event, one line, of at most 900 bytes of printable ASCII, whose keys stand once and in
/// order and whose values read back as (the beginning of) what they were.
pub fn audit(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let event = Event::ALL[usize::from(input.byte()) % Event::ALL.len()];
    let flags = input.byte();
    let asked_name = input.text();
    let request = LoginRequest {
        account: (flags & 1 != 0)
            .then(|| UserName::parse(&asked_name))
            .flatten()
            .map(|name| Account {
                name,
                uid: 4_294_967_295,
            }),
        asked_name: asked_name.clone(),
        service: input.text(),
        remote_host: RemoteHost::parse(&input.text()),
        tty: Some(input.text()).filter(|tty| !tty.is_empty()),
        remote_user: Some(input.text()),
        nullok: false,
        passphrase: false,
        log_unknown_names: flags & 2 != 0,
        caller: Caller { uid: 1000, euid: 0 },
    };
    let (app, reason, detail, actor) = (input.text(), input.text(), input.text(), input.text());
    let entry = Entry {
        method: Some("telegram"),
        app: Some(&app),
        attempt: Some(10),
        reason: Some(&reason),
        detail: Some(&detail),
    };
    let mut trail = AuditTrail::new(&request, "9f2c41d07be1".to_owned(), u32::MAX);
    trail.on_device(DeviceId::parse(&"ab".repeat(16)).unwrap());
    let is_known = flags & 4 != 0 && request.account.is_some();
    if is_known {
        trail.user_is_known();
    }
    let mut lines = Lines::default();
    trail.log(&mut lines, event, &entry);
    let fields = fields(&lines.0[0]);
    let named = if is_known || request.log_unknown_names {
        asked_name.as_str()
    } else {
        "?"
    };
    is_value(&fields, "user", named);
    is_value(&fields, "service", &request.service);
    is_value(&fields, "rhost", request.address());
    is_value(&fields, "tty", request.tty.as_deref().unwrap_or_default());
    for (key, value) in [("app", &app), ("reason", &reason), ("detail", &detail)] {
        is_value(&fields, key, value);
    }
    assert_eq!(value_of(&fields, "login"), Some("9f2c41d07be1"));

    lines.0.clear();
    trail.log_classic(&mut lines);
    classic(&lines.0[0], is_known.then_some(asked_name.as_str()));

    let line = admin_line(event, Some(&asked_name), &actor, &entry);
    let fields = self::fields(&line);
    is_value(&fields, "user", &asked_name);
    is_value(&fields, "actor", &actor);
    let line = courier_line(
        event,
        Some(&asked_name),
        Some(&app),
        Some(&actor),
        &reason,
        &detail,
    );
    let fields = self::fields(&line);
    is_value(&fields, "method", &app);
    is_value(&fields, "login", &actor);
    for line in [
        debug_line("authenticate", &detail, "PAM_SUCCESS"),
        unknown_argument_line(&asked_name),
    ] {
        is_one_line(&line);
        assert!(line.starts_with("mfa: ") && !line.starts_with("mfa v="));
    }
}

fn is_one_line(line: &str) {
    assert!(line.len() <= MAX_LINE, "{} bytes: {line}", line.len());
    assert!(
        line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{line:?}"
    );
}

/// Keys and values as they are written, quotes included.
fn fields(line: &str) -> Vec<(&str, &str)> {
    is_one_line(line);
    let mut rest = line.strip_prefix("mfa").unwrap();
    let mut fields: Vec<(&str, &str)> = Vec::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
        let (key, after) = rest.split_once('=').unwrap();
        let length = match after.strip_prefix('"') {
            Some(inside) => {
                inside
                    .find('"')
                    .unwrap_or_else(|| panic!("open quotes: {line}"))
                    + 2
            }
            None => after.find(' ').unwrap_or(after.len()),
        };
        let (value, after) = after.split_at(length);
        assert!(!value.is_empty(), "{key} without a value: {line}");
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/%-".contains(&byte);
        assert!(
            value.starts_with('"') || value == "-" || value.bytes().all(is_bare),
            "{line}"
        );
        let place = |key: &str| {
            ORDER
                .iter()
                .position(|known| *known == key)
                .unwrap_or_else(|| panic!("{key}: {line}"))
        };
        if let Some((last, _)) = fields.last() {
            assert!(place(last) < place(key), "{last} before {key}: {line}");
        }
        fields.push((key, value));
        rest = after;
    }
    assert_eq!(value_of(&fields, "v"), Some("1"));
    fields
}

fn value_of<'a>(fields: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(known, _)| *known == key)
        .map(|(_, value)| *value)
}

/// The text that a value stands for.
fn unescaped(value: &str) -> String {
    let Some(mut rest) = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
    else {
        return value.to_owned();
    };
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let (digits, after) = after
            .strip_prefix("u{")
            .and_then(|after| after.split_once('}'))
            .unwrap();
        text.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
        rest = after;
    }
    text + rest
}

/// The value is the text, or its beginning where that is long; a dash stands for nothing.
fn is_value(fields: &[(&str, &str)], key: &str, text: &str) {
    let value = value_of(fields, key).unwrap_or_else(|| panic!("no {key}"));
    if value == "-" {
        assert!(text.is_empty() || text == "-", "{key}: {text:?}");
        return;
    }
    let shown = unescaped(value);
    assert!(
        text.starts_with(&shown),
        "{key}: {shown:?} is not the beginning of {text:?}"
    );
    let is_whole = shown.len() == text.len();
    // Eight characters, escaped with the longest escapes that there are, fit into every value.
    assert!(is_whole || value.len() > 54, "{key}: {value} of {text:?}");
}

/// The line that existing filters read: blanks part its fields, so no value has one, and only plain names stand there.
fn classic(line: &str, user: Option<&str>) {
    is_one_line(line);
    let rest = line.strip_prefix("authentication failure; ").unwrap();
    let keys: Vec<&str> = rest
        .split(' ')
        .map(|field| field.split_once('=').unwrap().0)
        .collect();
    let without_user = ["logname", "uid", "euid", "tty", "ruser", "rhost"];
    if let Some((_, name)) = rest.split_once(" user=") {
        assert_eq!(keys[..6], without_user);
        assert_eq!(keys[6..], ["user"]);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!(name.bytes().all(is_plain), "{name:?}");
        assert!(user.unwrap().starts_with(name));
    } else {
        assert_eq!(keys, without_user);
    }
}
