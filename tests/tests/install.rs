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
    make(&folder, variables);
    let mut found = Vec::new();
    walk(&folder, &folder, &mut found);
    let _ = fs::remove_dir_all(&folder);
    found.sort();
    found
}

/// Runs `make install` into a folder.
fn make(folder: &Path, variables: &[&str]) {
    let output = Command::new("make")
        .args(["--silent", "install"])
        .arg(format!("DESTDIR={}", folder.display()))
        .args(variables)
        .current_dir(mfa_tests::repository())
        .output()
        .unwrap();
    if !output.status.success() {
        let _ = fs::remove_dir_all(folder);
    }
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
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

/// What is below the folder of examples.
const EXAMPLES: [&str; 25] = [
    "cron.d/mfa-bypass",
    "cron.d/mfa-notify",
    "mfa.toml",
    "pam.d/login",
    "pam.d/sshd-code-after-password",
    "pam.d/sshd-key-and-code",
    "pam.d/su",
    "pam.d/sudo",
    "sshd_config.d/pam_mfa.conf",
    "systemd/command.conf",
    "systemd/file.conf",
    "systemd/sendmail.conf",
    "sysusers.d/mfa.conf",
    "templates/README.md",
    "templates/change.html",
    "templates/change.txt",
    "templates/code.html",
    "templates/code.txt",
    "templates/digest.html",
    "templates/digest.txt",
    "templates/login.html",
    "templates/login.txt",
    "templates/test.html",
    "templates/test.txt",
    "tmpfiles.d/mfa.conf",
];

#[test]
fn install_obeys_destdir_prefix_moduledir_and_libexecdir() {
    let expected = |module: &str, prefix: &str, courier: &str| {
        let mut files: Vec<(String, u32)> = EXAMPLES
            .iter()
            .map(|name| (format!("{prefix}/share/doc/pam_mfa/examples/{name}"), 0o644))
            .collect();
        for unit in ["path", "service", "timer"] {
            let name = format!("{prefix}/lib/systemd/system/mfa-notify.{unit}");
            files.push((name, 0o644));
        }
        for unit in ["service", "timer"] {
            let name = format!("{prefix}/lib/systemd/system/mfa-bypass.{unit}");
            files.push((name, 0o644));
        }
        files.push((format!("{module}/pam_mfa.so"), 0o644));
        files.push((format!("{prefix}/sbin/mfa-admin"), 0o755));
        files.push((format!("{courier}/mfa-courier"), 0o755));
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
    // The courier is where mfa.toml says, whatever PREFIX is.
    let courier = "/usr/libexec/mfa";
    assert_eq!(usual, expected(module, "/usr/local", courier));
    assert_eq!(
        install("other", &["PREFIX=/usr", "MODULEDIR=/opt/modules"]),
        expected("/opt/modules", "/usr", courier)
    );
    let elsewhere = "LIBEXECDIR=/usr/lib/mfa";
    assert_eq!(
        install("elsewhere", &[elsewhere, "MODULEDIR=/opt/modules"]),
        expected("/opt/modules", "/usr/local", "/usr/lib/mfa")
    );
}

#[test]
fn whatever_names_the_courier_names_it_where_it_was_installed() {
    let folder = std::env::temp_dir().join(format!("mfa-install-{}-names", std::process::id()));
    make(&folder, &["LIBEXECDIR=/usr/lib/mfa", "PREFIX=/usr"]);
    let examples = folder.join("usr/share/doc/pam_mfa/examples");
    let named = [
        folder.join("usr/lib/systemd/system/mfa-notify.service"),
        examples.join("cron.d/mfa-notify"),
        examples.join("mfa.toml"),
    ]
    .map(|path| fs::read_to_string(path).unwrap());
    let _ = fs::remove_dir_all(&folder);
    for text in named {
        assert!(text.contains("/usr/lib/mfa/mfa-courier"), "{text}");
        assert!(!text.contains("libexec"), "{text}");
    }
}

#[test]
fn the_module_that_ships_has_no_network_crate_in_it_and_keeps_its_size() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--package",
            "pam_mfa",
            "--edges",
            "normal",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(mfa_tests::repository())
        .output()
        .unwrap();
    assert!(tree.status.success());
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(crates.contains(&"mfa-core"), "{tree}");
    for network in [
        "lettre",
        "ureq",
        "ureq-proto",
        "rustls",
        "rustls-native-certs",
        "ring",
        "tokio",
        "mio",
        "socket2",
        "native-tls",
        "openssl",
        "hyper",
        "http",
        "webpki-roots",
    ] {
        assert!(!crates.contains(&network), "{network} in:\n{tree}");
    }
    let size = fs::metadata(mfa_tests::module_path()).unwrap().len();
    assert!(size <= 1_100_000, "{size} bytes");
}
