#![no_main]
//! The module's hooks through libpam: `module/harness.c` says what is tried and what must hold.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
// Linked for its hooks.
use pam_mfa as _;

unsafe extern "C" {
    static mut harness_folder: *const c_char;
    fn harness_one(bytes: *const u8, size: usize) -> c_int;
}

fuzz_target!(
    init: {
        let folder = mfa_properties::folder::root().join(format!("mfa-fuzz-module-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        mfa_properties::host::prepare(&folder, Path::new(env!("MFA_FUZZ_SHIM")));
        let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
        // SAFETY: nobody reads it yet; it is never freed.
        unsafe { harness_folder = folder.into_raw() };
    },
    |bytes: &[u8]| {
        // SAFETY: as many bytes as are said, which are only read.
        unsafe { harness_one(bytes.as_ptr(), bytes.len()) };
    }
);
