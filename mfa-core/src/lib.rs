//! What is decided at a login, and the store it is decided from.
//!
//! No PAM, no command line, no network: `pam_mfa` and `mfa-admin` translate to this crate and back.
//! Rooms and the way through them are drawn in `docs/architecture.md`.
#![forbid(unsafe_code)]

mod argon;
pub mod audit;
pub mod bypass;
pub mod clock;
pub mod config;
pub mod courier;
mod critical;

pub mod device;
pub mod document;
pub mod emergency;
pub mod hex;
pub mod host;
pub mod hotp;
pub mod login;
pub mod message;
pub mod notice;
pub mod otp;
pub mod passphrase;
pub mod policy;
mod program;
pub mod record;
pub mod recovery;
pub mod request;
pub mod seal;
pub mod secure_file;
pub mod state;
pub mod store;
pub mod throttle;
