//! Nobody learns who exists, from texts or from time: whoever is refused sees what a wrong code sees, and costs the same work.
//!
//! Asserted is what is deterministic: whole transcripts (`texts`, `programs`), system calls and instructions (`work`). What the
//! clock tells is measured and printed, never asserted (`clock`): `make test-timing` is the long form.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

mod clock;
mod passphrases;
mod people;
mod programs;

mod texts;
mod work;
