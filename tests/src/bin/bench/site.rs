//! What lies on the disk: people, Debian's peers with their files, hosts of ours with 10, 1 000 and many users.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use mfa_tests::pam_host::{PamHost, built};
use mfa_tests::{Authenticator, target};

/// People who log in; the same in every population but the smallest, where it is each twentieth of them.
pub(crate) const PEOPLE: usize = 200;
/// People of each kind of refusal.
pub(crate) const OF_A_KIND: usize = 10;
pub(crate) const TABLES: &str = "[prompt]\ntries = 1\nfail_delay = \"0s\"\n";

pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    pub(crate) app: Authenticator,
    pub(crate) people: Vec<String>,
    pub(crate) many: usize,
    /// Ours with 10, 1 000 and many users.
    pub(crate) hosts: Vec<(usize, PamHost)>,
}

/// Kinds of refusals whose time must not tell them apart.
pub(crate) const REFUSALS: [&str; 5] = ["enrolled", "norecord", "suspended", "locked", "elsewhere"];

impl Bench {
    pub(crate) fn prepare(many: usize) -> Self {
        let folder = target().join("bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("pam.d")).unwrap();
        let people: Vec<_> = (0..PEOPLE).map(|number| format!("u{number:06}")).collect();
        let bench = Self {
            app: Authenticator::new(),
            people,
            many,
            hosts: Vec::new(),
            folder,
        };
        bench.write_passwd();
        bench.prepare_peers();
        let hosts = bench.prepare_hosts();
        // What was written until now is not to be waited for by logins.
        Command::new("sync").status().unwrap();
        Self { hosts, ..bench }
    }

    /// The people of the benchmark come first, each population spread over them: NSS costs all rows the same.
    pub(crate) fn write_passwd(&self) {
        let system = fs::read_to_string("/etc/passwd").unwrap();
        let mut passwd = String::new();
        let refused = REFUSALS
            .iter()
            .flat_map(|kind| (0..OF_A_KIND).map(move |number| format!("{kind}{number}")));
        let mut all: Vec<_> = self.people.iter().cloned().chain(refused).collect();
        // Spread: neither kind of people is always found first.
        all.sort_by_key(|name| name.bytes().rev().collect::<Vec<_>>());
        for (uid, name) in (10_000..).zip(all) {
            writeln!(passwd, "{name}:x:{uid}:{uid}::/nonexistent:/bin/sh").unwrap();
        }
        fs::write("/etc/passwd", passwd + &system).unwrap();
    }

    pub(crate) fn service(&self, name: &str, line: &str) {
        fs::write(
            self.folder.join("pam.d").join(name),
            format!("auth required {line}\n"),
        )
        .unwrap();
    }

    pub(crate) fn prepare_peers(&self) {
        let folder = self.folder.display();
        let promptok = built("pam_promptok.so").display().to_string();
        self.service("other", "pam_deny.so");
        self.service("permit", "pam_permit.so");
        self.service("promptok", &promptok);
        self.service("promptok-log", &format!("{promptok} log"));
        self.service(
            "google",
            &format!("pam_google_authenticator.so secret={folder}/google/${{USER}} user=root"),
        );
        fs::create_dir_all(self.folder.join("google-saved")).unwrap();
        let content = format!(
            "{}\n\" RATE_LIMIT 3 30\n\" WINDOW_SIZE 3\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n",
            self.app.secret
        );
        for name in &self.people {
            write_private(&self.folder.join("google-saved").join(name), &content);
        }
        copy(
            &self.folder.join("google-saved"),
            &self.folder.join("google"),
        );
        let secret = hex(&self.app.secret);
        for (service, users) in [("oath-10", 10), ("oath-many", self.many)] {
            self.service(
                service,
                &format!("pam_oath.so usersfile={folder}/{service} window=1"),
            );
            let mut text = String::new();
            for name in spread(&self.people, users) {
                writeln!(text, "HOTP/T30 {name} - {secret}").unwrap();
            }
            for number in PEOPLE..users {
                writeln!(text, "HOTP/T30 u{number:06} - {secret}").unwrap();
            }
            write_private(&self.folder.join(service), &text);
            write_private(&self.folder.join(format!("{service}-saved")), &text);
        }
    }

    pub(crate) fn prepare_hosts(&self) -> Vec<(usize, PamHost)> {
        let base = PamHost::below(self.folder.join("base"), TABLES);
        for name in &self.people {
            base.enroll_app(name, &self.app);
        }
        let mut hosts = Vec::new();
        for users in [10, 1_000, self.many] {
            let host = base.copy_below(self.folder.join(format!("ours-{users}")), TABLES);
            let kept = spread(&self.people, users);
            for name in self.people.iter().filter(|name| !kept.contains(name)) {
                fs::remove_file(host.record_path(name)).unwrap();
                fs::remove_file(host.state_path(name)).unwrap();
            }
            fill_up(&host, &self.people[0], users);
            if users == 1_000 {
                self.add_refusals(&host);
            }
            copy(&host.path("lib/state"), &host.path("saved-all"));
            // A copy of the login states of those who log in; the others' are not needed.
            fs::create_dir_all(host.path("saved")).unwrap();
            let refused = REFUSALS
                .iter()
                .flat_map(|kind| (0..OF_A_KIND).map(move |number| format!("{kind}{number}")));
            for name in kept.into_iter().chain(refused) {
                let _ = fs::rename(
                    host.path("saved-all").join(&name),
                    host.path("saved").join(&name),
                );
            }
            fs::remove_dir_all(host.path("saved-all")).unwrap();
            let line = host.line("auth", "required", "");
            self.service(
                &format!("ours-{users}"),
                line.trim().trim_start_matches("auth required"),
            );
            hosts.push((users, host));
        }
        hosts
    }

    pub(crate) fn add_refusals(&self, host: &PamHost) {
        for kind in REFUSALS {
            for number in 0..OF_A_KIND {
                let name = format!("{kind}{number}");
                if kind != "norecord" {
                    host.enroll_app(&name, &self.app);
                }
                match kind {
                    "norecord" => self.find_decoy(host, &name),
                    "suspended" => {
                        let command = ["user", "suspend", &name, "--reason", "left"];
                        host.admin(&command).expect_success();
                    }
                    "elsewhere" => {
                        let command = ["device", "revoke", &name, "here", "--yes"];
                        host.admin(&command).expect_success();
                    }
                    "locked" => {
                        host.configure(&format!("{TABLES}[lockout]\nafter = 1\n"));
                        host.login(&name, &[self.app.wrong_code()]);
                        host.configure(TABLES);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Which decoy a stranger's answers are charged to: the one that a login has just written. Linked as
    /// `decoys/NAME`, so that the very file that is about to be written is written back before, as for anybody else.
    pub(crate) fn find_decoy(&self, host: &PamHost, name: &str) {
        host.login(name, &[self.app.wrong_code()]);
        let states = fs::read_dir(host.path("lib/state"))
            .unwrap()
            .map(|entry| entry.unwrap());
        let newest = states
            .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap())
            .unwrap();
        fs::create_dir_all(host.path("decoys")).unwrap();
        symlink(newest.path(), host.path("decoys").join(name)).unwrap();
        fs::copy(
            newest.path(),
            host.path("decoys").join(format!("{name}-saved")),
        )
        .unwrap();
    }
}

/// `count` of the people, evenly spread; all of them where there are fewer.
pub(crate) fn spread(people: &[String], count: usize) -> Vec<String> {
    let count = count.min(people.len());
    people
        .iter()
        .step_by(people.len() / count)
        .take(count)
        .cloned()
        .collect()
}

/// Records and states of the shape of `model`'s, until there are `users`. Nobody logs in with them: their secrets are bound to `model`.
pub(crate) fn fill_up(host: &PamHost, model: &str, users: usize) {
    let record = fs::read_to_string(host.record_path(model)).unwrap();
    let state = fs::read(host.state_path(model)).unwrap();
    for number in PEOPLE..users {
        let name = format!("u{number:06}");
        write_private(&host.record_path(&name), &record.replacen(model, &name, 1));
        fs::write(host.state_path(&name), &state).unwrap();
        fs::set_permissions(host.state_path(&name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

pub(crate) fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status()
            .unwrap()
            .success()
    );
}

pub(crate) fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
