//! `make install` puts what was built where distributions want it, and nothing anywhere else.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `make install` with variables, into a folder of its own; gives the files below it with their modes.
fn install(name: &str, variables: &[&str]) -> Vec<(String, u32)> {
    let folder = std::env::temp_dir().join(format!("mfa-install-{}-{name}", std::process::id()));
    let output = Command::new("make")
        .args(["--silent", "install"])
        .arg(format!("DESTDIR={}", folder.display()))
        .args(variables)
        .current_dir(mfa_tests::repository())
        .output()
        .unwrap();
    let mut found = Vec::new();
    if output.status.success() {
        walk(&folder, &folder, &mut found);
    }
    let _ = fs::remove_dir_all(&folder);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    found.sort();
    found
}

fn walk(top: &Path, folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(top, &path, found);
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
            let name = path.strip_prefix(top).unwrap();
            found.push((format!("/{}", name.display()), mode));
        }
    }
}

/// Where libpam's own modules are.
fn security() -> PathBuf {
    let places = fs::read_dir("/usr/lib").unwrap();
    places
        .map(|place| place.unwrap().path().join("security"))
        .find(|folder| folder.join("pam_permit.so").exists())
        .unwrap()
}

#[test]
fn install_obeys_destdir_prefix_and_moduledir() {
    let examples = [
        "mfa.toml",
        "pam.d/login",
        "pam.d/sshd-code-after-password",
        "pam.d/sshd-key-and-code",
        "pam.d/su",
        "pam.d/sudo",
        "sshd_config.d/pam_mfa.conf",
    ];
    let expected = |module: &str, prefix: &str| {
        let mut files: Vec<(String, u32)> = examples
            .iter()
            .map(|name| (format!("{prefix}/share/doc/pam_mfa/examples/{name}"), 0o644))
            .collect();
        files.push((format!("{module}/pam_mfa.so"), 0o644));
        files.push((format!("{prefix}/sbin/mfa-admin"), 0o755));
        files.sort();
        files
    };
    let security = security().display().to_string();
    // libpam of Debian 12 names /lib, which is /usr/lib.
    let usual = install("usual", &[]);
    let module = usual
        .iter()
        .find_map(|(name, _)| name.strip_suffix("/pam_mfa.so"))
        .unwrap();
    assert_eq!(
        fs::canonicalize(module).unwrap(),
        fs::canonicalize(security).unwrap()
    );
    assert_eq!(usual, expected(module, "/usr/local"));
    assert_eq!(
        install("other", &["PREFIX=/usr", "MODULEDIR=/opt/modules"]),
        expected("/opt/modules", "/usr")
    );
}
