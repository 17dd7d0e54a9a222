//! Logs people in through real programs: sshd with the OpenSSH client, login, su and sudo.
//!
//! A test hands its body to [`on_a_test_host`]. The test binary starts itself again below `tests/host/enter`, in
//! namespaces of its own, and the body runs there as root: what it writes to /etc, whatever it starts and
//! whoever logs in exist for this one test only, so tests run in parallel and leave nothing behind.
//!
//! ```no_run
//! use mfa_tests::{Script, on_a_test_host, stacks};
//!
//! on_a_test_host(|host| {
//!     let phone = host.enroll("alice");
//!     let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
//!     let script = Script::new().answer("Verification code: ", &phone.code());
//!     sshd.ssh("alice").command("id -un").talk(script).expect_success();
//! });
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "a harness that meets something unexpected is to fail its test at once, and tests live in real time"
)]

mod audit;
mod authenticator;
mod files;
mod hardware_token;
pub mod hashes;
mod host;
pub mod mail;
mod namespace;
pub mod network;
pub mod pam_host;
pub mod proof;
mod recorder;
mod ssh;
pub mod stacks;
pub mod stopwatch;
mod syslog;
pub mod telegram;
mod terminal;

pub use audit::AuditLine;
pub use authenticator::{Authenticator, hex};
pub use files::{admin_path, courier_path, install_courier, module_path, repository, target};
pub use hardware_token::HardwareToken;
pub use host::{Host, Output, PASSWORD};
pub use namespace::{on_a_bare_host, on_a_test_host};
pub use ssh::{Client, Sshd};
pub use syslog::{LogLine, Mark, Syslog};
pub use terminal::{Script, Talk, Terminal};
