//! `pam_mfa.so`: translates what PAM asks into `mfa_core`'s terms, and its answers into PAM's codes.

mod args;
mod ffi;
mod guard;
mod hooks;
