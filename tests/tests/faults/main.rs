//! What a login, a verb of `mfa-admin` and the courier do when the system fails them, or kills them, at any point.
//!
//! | room | what |
//! |---|---|
//! | `login` | logins of several kinds with each system call failing, each with its error, and killed at each |
//! | `kills` | logins killed at moments that no system call has to do with |
//! | `torn` | writes of which only a part has reached the disk |
//! | `admin` | verbs that write, with each system call failing, and killed at each |
//! | `courier` | `send` and `drain`, the same |
//!
//! The short form (`make test`) takes one error a call, by turns; the long one (`make test-faults`) all of them. Every
//! finding names the `strace` options with which it can be seen again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

mod admin;
mod aftermath;
mod codes;
mod courier;
mod crew;
mod files;
mod init;
mod kills;
mod login;
mod program;
mod scenes;
mod stage;
mod strace;
mod strike;
mod torn;
mod verbs;
