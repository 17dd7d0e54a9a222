#![no_main]

use std::ffi::c_int;

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
}

libfuzzer_sys::fuzz_target!(
    init: {
        // As in every program of Rust's, and in the courier: a peer that is gone is an error to be handled.
        // SAFETY: SIGPIPE and SIG_IGN (signal(7)); no code of ours is called.
        unsafe { signal(13, 1) };
    },
    |bytes: &[u8]| mfa_properties::smtp(bytes)
);
