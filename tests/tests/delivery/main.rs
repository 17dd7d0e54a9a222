//! Codes and notices that reach people: logins through a real sshd, mail through a real Exim, and servers that
//! misbehave, each test on a host of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod afterwards;
mod callers;
mod codes;
mod notices;
mod recovery;
mod servers;
mod without;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mfa_tests::Host;
use mfa_tests::mail::{self, Mail};

/// What a host with delivery asks first.
const ASK: &str = "Verification code (Enter to have one sent): ";
/// The end of what it asks when a code is under way.
const ASK_AGAIN: &str = "Verification code (Enter for another): ";
/// How long a mail may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// `[courier.smtp]` for a server on this host.
fn smtp(port: u16, security: &str) -> String {
    format!(
        "[courier.smtp]\nhost = {:?}\nport = {port}\nsecurity = \"{security}\"\nusername = {:?}\n\
         from = \"MFA bastion-1 <{}>\"\nca_file = {:?}\n",
        mail::HOST_NAME,
        mail::USER,
        mail::USER,
        mail::ca_file(),
    )
}

/// Sets a host up for mail; `more` is added to mfa.toml.
fn deliver_by(host: &Host, more: &str) {
    host.configure(more);
    let password = format!("{}\n", mail::PASSWORD);
    host.admin_with(&["credential", "set", "smtp-password"], &password);
}

/// Adds a person with an address, and no app.
fn add_with_mail(host: &Host, name: &str) {
    let address = format!("{name}@example.com");
    host.admin(&[
        "user", "add", name, "--method", "email", "--email", &address,
    ]);
}

/// The code in a mail, which is the first word of its subject.
fn code_in(mail: &Mail) -> String {
    let code = mail.header("Subject").split(' ').next().unwrap().to_owned();
    assert!(
        code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{}",
        mail.header("Subject")
    );
    code
}

/// `K7QM` of `… (ref K7QM)…`.
fn reference_in(text: &str) -> &str {
    let (_, rest) = text.split_once("(ref ").expect(text);
    let reference = rest.split(')').next().unwrap();
    assert_eq!(reference.len(), 4, "{text}");
    reference
}

/// Couriers that are at work, by process id: neither those that have ended nor those that have said what came of it
/// and stay until the login ends, waiting in poll(2) for that alone.
fn couriers() -> Vec<String> {
    let mut found = processes("mfa-courier", false);
    found.retain(|pid| {
        let place = fs::read_to_string(format!("/proc/{pid}/wchan"));
        place.is_ok_and(|place| !place.contains("poll"))
    });
    found
}

/// Processes of a name; those that nobody has reaped too, where asked for.
fn processes(name: &str, with_zombies: bool) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(&format!("({name})")) && (with_zombies || !stat.contains(") Z"))
        })
        .collect()
}

/// Waits until no courier is at work any more; how long that took.
fn wait_for_couriers() -> Duration {
    let begin = Instant::now();
    while !couriers().is_empty() {
        assert!(begin.elapsed() < PATIENCE, "a courier does not end");
        sleep(Duration::from_millis(10));
    }
    begin.elapsed()
}
