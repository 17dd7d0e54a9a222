//! The courier as it is started in earnest: the real program, as root, on hosts in folders of their own. It becomes
//! `nobody`. Needs root, perl (perl-base) and unshare.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)] // a test may

mod digests;
mod draining;
mod host;
mod killing;
mod sending;
mod shedding;
mod trusting;
