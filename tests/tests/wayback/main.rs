//! Ways back in: the emergency code at a console where this host can check nobody, and an administrator's bypass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::doc_markdown,
    reason = "tests fail at once"
)]

mod bypass;
mod console;
mod module;

/// What a host without delivery asks.
const CODE: &str = "Verification code: ";
/// What is asked where this host can check nobody.
const EMERGENCY: &str = "Emergency code: ";
/// The right shape, and nobody's code.
const WRONG: &str = "ZZZZ-ZZZZ-ZZZZZ";

/// The only code on a page.
fn code_on(page: &str) -> String {
    let mut codes = page.lines().filter_map(|line| line.strip_prefix("    "));
    let code = codes.next().unwrap().to_owned();
    assert_eq!(codes.next(), None, "{page}");
    code
}
