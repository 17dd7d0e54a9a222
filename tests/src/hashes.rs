//! How many hashes of a recovery code a login computes, seen from outside, and that nothing is locked meanwhile.

use std::fs;

use crate::pam_host::{PamHost, Seen, login_script};

/// One login; how many hashes it computed. Each asks the kernel for 33 MiB, of which it fills four. Time under a lock would tell who has a state, and let a slow caller keep others waiting.
#[must_use]
pub fn hashes(host: &PamHost, user: &str, answers: &[&str]) -> (Seen, usize) {
    const TRACE: &str = "/run/recovery.strace";
    let strace = format!("exec strace -f -qq -o {TRACE} -e trace=mmap,mremap,flock,close \"$@\"");
    let seen = host
        .player()
        .before(&strace)
        .play(&login_script(user, answers));
    let text = fs::read_to_string(TRACE).unwrap();
    fs::remove_file(TRACE).unwrap();
    let is_hash = |call: &str| {
        let length = call
            .split(", ")
            .nth(1)
            .and_then(|length| length.parse().ok());
        let is_one =
            length.is_some_and(|length: usize| (33 << 20..(33 << 20) + 65_536).contains(&length));
        is_one && call.contains("MAP_ANONYMOUS")
    };
    let (mut hashes, mut locks, mut locked) = (0, 0, Vec::new());
    for call in text.lines() {
        let descriptor = |name: &str| {
            let (_, arguments) = call.split_once(name)?;
            Some(arguments.split([',', ')']).next().unwrap().to_owned())
        };
        if let Some(descriptor) = descriptor(" flock(")
            && call.ends_with("= 0")
        {
            locks += 1;
            locked.push(descriptor);
        } else if let Some(closed) = descriptor(" close(") {
            locked.retain(|descriptor| *descriptor != closed);
        } else if is_hash(call) {
            hashes += 1;
            assert!(locked.is_empty(), "a hash while locked:\n{text}");
        }
    }
    assert!(locks >= answers.len(), "{text}");
    (seen, hashes)
}
