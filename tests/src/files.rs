//! Where the parts under test lie.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The checkout.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap().to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(
        || repository().join("target"),
        |folder| repository().join(folder),
    )
}

/// The module under test: `MFA_MODULE`, or what `cargo build --release` made.
pub fn module_path() -> PathBuf {
    built("MFA_MODULE", "libpam_mfa.so")
}

/// The command under test: `MFA_ADMIN`, or what `cargo build --release` made.
pub fn admin_path() -> PathBuf {
    built("MFA_ADMIN", "mfa-admin")
}

/// The courier under test: `MFA_COURIER`, or what `cargo build --release` made.
pub fn courier_path() -> PathBuf {
    built("MFA_COURIER", "mfa-courier")
}

/// Puts the courier where mfa.toml looks for it.
pub fn install_courier() {
    fs::create_dir_all("/usr/libexec/mfa").unwrap();
    fs::copy(courier_path(), "/usr/libexec/mfa/mfa-courier").unwrap();
}

fn built(variable: &str, name: &str) -> PathBuf {
    let path =
        env::var_os(variable).map_or_else(|| target().join("release").join(name), PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: run `make build` first, or set {variable}",
        path.display()
    );
    path
}
