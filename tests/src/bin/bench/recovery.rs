//! The answer that is shaped like a recovery code: as long for everybody.

use mfa_tests::pam_host::PamHost;

use crate::report::{Report, Target, Verdict};

/// `mfa-admin` knows no recovery codes in this release.
fn is_built(host: &PamHost) -> bool {
    // Usage is 2, a user who is missing 3.
    host.admin(&["recovery", "status", "nobody-of-that-name"])
        .code
        != Some(2)
}

pub(crate) fn target(host: &PamHost, report: &mut Report) {
    assert!(
        !is_built(host),
        "recovery codes are built now: measure here that each such answer costs one argon2, for everybody"
    );
    report.target(Target {
        what: "recovery-shaped answer: argon2s".to_owned(),
        google: "–".to_owned(),
        oath: "–".to_owned(),
        ours: "–".to_owned(),
        aim: "1".to_owned(),
        verdict: Verdict::NotBuiltYet,
    });
}
