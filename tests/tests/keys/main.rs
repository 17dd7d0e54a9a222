//! The sealing key through the built module: what logins come to while it is changed, and where it is bound to the host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

mod binding;
mod bound;
mod changed;
mod tpm2;

use std::fs;
use std::process::Command;

use mfa_tests::pam_host::PamHost;

/// Asks once; the lines of a host's `[seal]`, where it has some, follow.
const TABLES: &str = "[prompt]\ntries = 1\n";
const CREDS: &str = "/usr/bin/systemd-creds";

/// A host whose key is in a credential alone.
fn bound_host() -> PamHost {
    let host = PamHost::with_config(TABLES);
    host.admin(&["seal", "bind"]).expect_success();
    name_credential(&host);
    host.admin(&["seal", "bind", "--yes"]).expect_success();
    assert!(!host.path("seal.key").exists() && host.path("seal.cred").exists());
    host
}

/// What `seal bind` says that people should write.
fn name_credential(host: &PamHost) {
    let path = host.path("seal.cred");
    host.configure(&format!(
        "{TABLES}[seal]\ncredential = \"{}\"\n",
        path.display()
    ));
}

fn shell(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().unwrap();
    assert!(status.success(), "{line}");
}

/// Puts a script in the place of systemd-creds, on this test's own host; it finds that in /run/creds.
fn stand_in(script: &str) {
    if !fs::exists("/run/creds").unwrap() {
        shell(&format!("cp -a {CREDS} /run/creds"));
    }
    let _ = fs::remove_file(CREDS);
    fs::write(CREDS, format!("#!/bin/sh\n{script}\n")).unwrap();
    shell(&format!("chmod 755 {CREDS}"));
}

/// Systemd's own again.
fn stand_out() {
    shell(&format!("rm -f {CREDS}; cp -a /run/creds {CREDS}"));
}
