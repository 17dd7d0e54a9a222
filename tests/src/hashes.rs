//! How many hashes of a recovery code a login computes, seen from outside.

use std::fs;

use crate::pam_host::{PamHost, Seen, login_script};

/// One login; how many hashes it computed. Each fills 4 MiB, which malloc is told to ask the kernel for, every time.
#[must_use]
pub fn hashes(host: &PamHost, user: &str, answers: &[&str]) -> (Seen, usize) {
    const TRACE: &str = "/run/recovery.strace";
    let strace = format!(
        "export MALLOC_MMAP_THRESHOLD_=1048576; exec strace -f -qq -o {TRACE} -e trace=mmap,mremap \"$@\""
    );
    let seen = host
        .player()
        .before(&strace)
        .play(&login_script(user, answers));
    let text = fs::read_to_string(TRACE).unwrap();
    fs::remove_file(TRACE).unwrap();
    let hashes = text.lines().filter(|call| {
        let length = call
            .split(", ")
            .nth(1)
            .and_then(|length| length.parse().ok());
        let is_one =
            length.is_some_and(|length: usize| (4 << 20..(4 << 20) + 65_536).contains(&length));
        is_one && call.contains("MAP_ANONYMOUS")
    });
    (seen, hashes.count())
}
