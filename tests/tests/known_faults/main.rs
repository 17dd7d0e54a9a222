//! Faults of other PAM modules and of programs like sudo, tried on this one. SECURITY.md has the table of all of them; here
//! stand those that no other test tries.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

mod input;
mod looking_out;
mod programs;
