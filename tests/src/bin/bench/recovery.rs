//! The answer that is shaped like a recovery code: as long for everybody.

use mfa_tests::hashes::hashes;
use mfa_tests::pam_host::PamHost;

use crate::report::{Report, Target, Verdict};

/// The right shape, and nobody's code.
const WRONG: &str = "ZZZZ-ZZZZ-ZZZZZ";

/// Hashes that such an answer costs whoever has recovery codes, has none, and is nobody.
pub(crate) fn target(host: &PamHost, people: &[String], report: &mut Report) {
    let [with, without, ..] = people else {
        panic!("two people at least: {people:?}");
    };
    host.recovery_codes(with);
    let counts = [with, without, "nobody-of-that-name"].map(|user| {
        let (seen, count) = hashes(host, user, &[WRONG]);
        assert!(!seen.events("MFA-1004").is_empty(), "{user}\n{seen}");
        count
    });
    let (least, most) = (counts.iter().min(), counts.iter().max());
    report.target(Target {
        what: "recovery-shaped answer: argon2s".to_owned(),
        google: "–".to_owned(),
        oath: "–".to_owned(),
        ours: if least == most {
            counts[0].to_string()
        } else {
            counts.map(|count| count.to_string()).join(", ")
        },
        aim: "1".to_owned(),
        verdict: Verdict::of(counts == [1; 3]),
    });
}
