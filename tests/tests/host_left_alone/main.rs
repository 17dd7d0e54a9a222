//! The program that calls the module finds itself as it was: before and after each hook `pam_host --check` compares everything
//! of the process that others could notice (tests/pam/facts.h); pam_vandal.so shows that it would notice. And whatever a
//! caller of su or sudo has put into the environment changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod bound;
mod couriers;
mod environment;
mod hooks;
mod trap;

use mfa_tests::pam_host::{INFO, PamHost, Seen};

/// How a caller may have started the program, as options of `pam_host`.
const CALLERS: [&[&str]; 3] = [&[], &["--real-uid", "1002"], &["--all-uids", "1001"]];

/// What a host may do with the two signals that a child process brings.
const SIGNALS: [&str; 5] = [
    "",
    "signal CHLD ignore\nsignal PIPE ignore\n",
    "signal CHLD handle\nsignal PIPE handle\n",
    "signal CHLD reap\n",
    "signal PIPE ignore\n",
];

/// All that may follow a login, each hook once.
const THE_OTHERS: &str = "setcred\nacct_mgmt\nopen_session\nclose_session\nchauthtok\nsetcred 4\n";

/// Follows a script and compares before and after each hook.
#[track_caller]
fn left_alone(host: &PamHost, service: &str, caller: &[&str], script: &str, what: &str) -> Seen {
    let script = format!("syslog the host before\n{script}forget\nsyslog the host after\n");
    let seen = host
        .player()
        .service(service)
        .options(&["--check"])
        .options(caller)
        .play(&script);
    assert_eq!(
        seen.starting("CHANGED"),
        Vec::<&str>::new(),
        "{what} {caller:?}\n{seen}"
    );
    assert!(
        matches!(seen.code, Some(0 | 4)),
        "{what} {caller:?}\n{seen}"
    );
    assert!(
        seen.stderr.is_empty(),
        "{what}: nothing on anybody's terminal\n{seen}"
    );
    its_own_lines_are_as_ever(&seen, what);
    assert!(!seen.results().is_empty(), "{what}\n{seen}");
    seen
}

/// The host's lines bear its own name, facility and severity before and after, and so do ours.
#[track_caller]
fn its_own_lines_are_as_ever(seen: &Seen, what: &str) {
    let own: Vec<_> = seen
        .log
        .iter()
        .filter(|event| event.text.starts_with("the host "))
        .map(|event| (event.identity.as_str(), event.priority, event.text.as_str()))
        .collect();
    let expected = [
        ("pam_host", INFO, "the host before"),
        ("pam_host", INFO, "the host after"),
    ];
    assert_eq!(own, expected, "{what}\n{seen}");
    assert!(
        seen.log.iter().all(|event| event.identity == "pam_host"),
        "{what}\n{seen}"
    );
}
