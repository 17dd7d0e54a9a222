//! What a login, a verb of `mfa-admin` and the courier do when the system fails them, or kills them, at any point.
//!
//! | room | what |
//! |---|---|
//! | `login` | logins of several kinds (`scenes`, `ways_in`) with each system call failing, each with its errors, and killed at each |
//! | `kills` | logins killed at moments that no system call has to do with |
//! | `torn` | writes of which only a part has reached the disk |
//! | `aftermath` | what has to be true after each of those |
//! | `admin` `init` | verbs that write (`verbs`, `factors`), with each system call failing, and killed at each |
//! | `tried` | who gets in by what after those |
//! | `courier` | `send` and `drain`, the same, in each of their threads |
//! | `creds` | systemd-creds, the same, while it opens the key for a login |
//! | `strace` `strike` | what fails a call or kills there: strace(1), and `tests/pam/strike.c` for programs of several threads |
//! | `stage` `files` `codes` `program` `crew` | a worker's host, what lies there, its codes; a program; the workers |
//!
//! The short form (`make test`) takes some calls, and one error each, by turns; the long one (`make test-faults`) all calls and
//! all errors. Every finding names the words with which it can be seen again.
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
mod creds;
mod crew;
mod factors;
mod files;
mod init;
mod kills;
mod login;
mod once;
mod program;
mod scenes;
mod stage;
mod strace;
mod strike;
mod torn;
mod tried;
mod verbs;
mod ways_in;
