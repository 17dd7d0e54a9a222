//! Where the benchmark lives: a folder on a real disk, people whom NSS knows, and service files.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mfa_tests::pam_host::built;
use mfa_tests::{Authenticator, target};

use crate::kind::Kind;

/// Where `target/bench` is seen. Folders are checked component by component, so paths are as long as those of a real host:
/// `/srv/HOST/mfa.toml` for `/etc/mfa/mfa.toml`, `/srv/HOST/lib/users` for `/var/lib/mfa/users`.
const FOLDER: &str = "/srv";

/// A folder that is emptied at the beginning and at the end.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    /// Everybody's app: one code serves a whole block.
    pub(crate) app: Authenticator,
    /// Who logs in.
    pub(crate) people: Vec<String>,
    /// The machine's /etc/passwd, as it was found.
    passwd: String,
    disk: PathBuf,
}

impl Site {
    pub(crate) fn new(people: usize) -> Self {
        Self::on(target().join("bench"), people)
    }

    /// In memory, where nobody waits for a disk: what is left is what code costs.
    pub(crate) fn in_memory(people: usize) -> Self {
        Self::on(PathBuf::from("/run/bench"), people)
    }

    fn on(disk: PathBuf, people: usize) -> Self {
        let _ = fs::remove_dir_all(&disk);
        fs::create_dir_all(&disk).unwrap();
        // In the mount namespace of this test host.
        let status = Command::new("mount")
            .arg("--bind")
            .args([&*disk, Path::new(FOLDER)])
            .status();
        assert!(status.unwrap().success());
        let site = Self {
            app: Authenticator::new(),
            people: (0..people).map(|number| format!("u{number:06}")).collect(),
            passwd: fs::read_to_string("/etc/passwd").unwrap(),
            folder: PathBuf::from(FOLDER),
            disk,
        };
        fs::create_dir_all(site.services()).unwrap();
        let promptok = built("pam_promptok.so").display().to_string();
        site.service("other", "pam_deny.so");
        site.service("permit", "pam_permit.so");
        site.service("promptok", &promptok);
        site.service("promptok-log", &format!("{promptok} log"));
        let folder = site.folder.join("control");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(site.folder.join("control-saved")).unwrap();
        site.add_to_control(&site.people);
        site.service(
            "promptok-write",
            &format!("{promptok} log write={}", folder.display()),
        );
        site
    }

    /// The service files.
    pub(crate) fn services(&self) -> PathBuf {
        self.folder.join("pam.d")
    }

    /// A service whose auth stack is one module.
    pub(crate) fn service(&self, name: &str, module: &str) {
        fs::write(
            self.services().join(name),
            format!("auth required {module}\n"),
        )
        .unwrap();
    }

    /// Files of further people for the control that writes.
    pub(crate) fn add_to_control(&self, people: &[String]) {
        for folder in ["control", "control-saved"] {
            for name in people {
                fs::write(self.folder.join(folder).join(name), [0; 4096]).unwrap();
            }
        }
    }

    /// Makes NSS know the people and `others`. They come first, in an order that spreads every sort of them: finding them costs all
    /// rows the same.
    pub(crate) fn write_passwd(&self, others: impl IntoIterator<Item = String>) {
        let mut all: Vec<_> = self.people.iter().cloned().chain(others).collect();
        all.sort_by_key(|name| name.bytes().rev().collect::<Vec<_>>());
        let mut passwd = String::new();
        for (uid, name) in (10_000..).zip(all) {
            writeln!(passwd, "{name}:x:{uid}:{uid}::/nonexistent:/bin/sh").unwrap();
        }
        fs::write("/etc/passwd", passwd + &self.passwd).unwrap();
    }

    /// What others are compared with: the disk, libpam, a prompt, a prompt and a line.
    pub(crate) fn controls(&self) -> Vec<Kind> {
        let people = &self.people;
        vec![
            Kind::floor(&self.folder.join("floor")),
            Kind::new("pam_permit", "permit", people),
            Kind::new("promptok", "promptok", people),
            Kind::new("promptok and a line", "promptok-log", people),
            self.control("control", people),
        ]
    }

    /// The control that writes, for people who have been added to it.
    pub(crate) fn control(&self, name: &str, people: &[String]) -> Kind {
        Kind::new(name, "promptok-write", people).restored(
            &self.folder.join("control-saved/{}"),
            &self.folder.join("control/{}"),
        )
    }

    /// What was written until now is not to be waited for by logins.
    pub(crate) fn settle(&self) {
        let status = Command::new("sync")
            .arg("--file-system")
            .arg(&self.folder)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.folder).status();
        let _ = fs::remove_dir_all(&self.disk);
    }
}

pub(crate) fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}
