//! Passphrases through the built module: as the first factor of a service that has no other, and changed by whose they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod changing;
mod memory;
mod module;
mod programs;

use std::fs;

use mfa_tests::pam_host::{PROMPT, PamHost};
use mfa_tests::{Authenticator, install_courier};

/// What is asked first.
const PASSPHRASE: &str = "Passphrase: ";
/// Alice's, and one that is not.
const RIGHT: &str = "gravel-ocelot-sings-thrice";
const WRONG: &str = "gravel-ocelot-sings-twice-";
/// The two prompts of one try.
const BOTH: [&str; 2] = [PASSPHRASE, PROMPT];

/// A host whose service `login` asks for a passphrase, with alice, who has one and an app.
fn host(tables: &str) -> (PamHost, Authenticator) {
    install_courier();
    let host = PamHost::with_config(&with_courier(tables));
    host.stack("login", &host.lines("", "passphrase"));
    let app = host.enroll("alice");
    set(&host, "alice", RIGHT);
    (host, app)
}

/// The courier becomes somebody whom every system has.
fn with_courier(tables: &str) -> String {
    format!("{tables}\n[courier]\nuser = \"nobody\"\n")
}

fn set(host: &PamHost, user: &str, passphrase: &str) {
    host.admin_with(&["passphrase", "set", user, "-"], passphrase)
        .expect_success();
}

/// The hash that is kept of a user's passphrase.
fn kept(host: &PamHost, user: &str) -> String {
    let text = fs::read_to_string(host.record_path(user)).unwrap();
    let line = text.lines().find(|line| line.starts_with("hash = \""));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}
