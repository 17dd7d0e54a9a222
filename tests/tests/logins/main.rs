//! Real logins: sshd with the OpenSSH client, login, su and sudo, each test on a host of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod callers;
mod console;
mod examples;
mod refusals;
mod ssh;
mod tokens;

/// What a host without delivery asks.
const CODE: &str = "Verification code: ";
