//! Nothing grows and nothing is lost in a process that logs people in again and again, as a daemon does that lives long.
//!
//! The same module, in one process: the heap, the memory that is resident, descriptors, threads and mappings after the first
//! logins and at the end. Under valgrind, and in the long form in a build for the address sanitizer (tests/sanitizer.sh),
//! what was lost, used too late or read before it was written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod checkers;
mod growth;

use std::fs;
use std::net::TcpListener;

use mfa_tests::pam_host::PamHost;
use mfa_tests::{Authenticator, install_courier};

/// A host that mails to a server which takes connections and never says a word; alice has an app and an address.
fn host_that_mails(silent: &TcpListener) -> (PamHost, Authenticator) {
    install_courier();
    let port = silent.local_addr().unwrap().port();
    let host = PamHost::with_config(&format!(
        "[code]\nmax_sends = 1000\n[notices]\non_login = \"never\"\non_failure = false\n\
         [courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@example.com\"\n"
    ));
    let app = host.enroll("alice");
    let address = [
        "user",
        "set",
        "alice",
        "--methods",
        "app,email",
        "--email",
        "alice@example.com",
    ];
    host.admin(&address).expect_success();
    keep_states(&host);
    (host, app)
}

/// States as on the first day, for whoever restores them.
fn keep_states(host: &PamHost) {
    fs::copy(host.state_path("alice"), host.path("saved-alice")).unwrap();
}
