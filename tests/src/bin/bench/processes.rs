//! Fresh processes: a first dlopen, and whole logins.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use mfa_tests::module_path;
use mfa_tests::pam_host::built;

use crate::site::{Bench, spread};

impl Bench {
    /// Whole processes with one login each, and the first dlopen, interleaved.
    pub(crate) fn processes(&self, count: usize) -> Vec<(String, Vec<u64>)> {
        let program = built("pam_bench");
        let (_, host) = &self.hosts[0];
        let user = &spread(&self.people, 10)[0];
        let modules = [
            ("pam_mfa", module_path()),
            (
                "google",
                security_folder().join("pam_google_authenticator.so"),
            ),
            ("oath", security_folder().join("pam_oath.so")),
            ("promptok", built("pam_promptok.so")),
        ];
        let services = [
            ("pam_permit", "permit", None),
            (
                "pam_mfa",
                "ours-10",
                Some((
                    host.path("saved").join(user),
                    host.path("lib/state").join(user),
                )),
            ),
            (
                "google",
                "google",
                Some((
                    self.folder.join("google-saved").join(user),
                    self.folder.join("google").join(user),
                )),
            ),
            (
                "oath",
                "oath-10",
                Some((
                    self.folder.join("oath-10-saved"),
                    self.folder.join("oath-10"),
                )),
            ),
        ];
        let mut times: Vec<(String, Vec<u64>)> = Vec::new();
        let mut record = |name: String, nanoseconds: u64| match times
            .iter_mut()
            .find(|(known, _)| *known == name)
        {
            Some((_, list)) => list.push(nanoseconds),
            None => times.push((name, vec![nanoseconds])),
        };
        for round in 0..count + 5 {
            for (name, module) in &modules {
                let output = Command::new(&program)
                    .arg("--dlopen")
                    .arg(module)
                    .output()
                    .unwrap();
                let line = String::from_utf8(output.stdout).unwrap();
                if round >= 5 {
                    record(
                        format!("dlopen {name}"),
                        line.split(' ').nth(1).unwrap().parse().unwrap(),
                    );
                }
            }
            let code = self.app.code_of(self.app.step());
            for (name, service, restored) in &services {
                if let Some((saved, file)) = restored {
                    let mut open = fs::OpenOptions::new().write(true).open(file).unwrap();
                    open.write_all(&fs::read(saved).unwrap()).unwrap();
                    open.set_len(fs::metadata(saved).unwrap().len()).unwrap();
                    open.sync_data().unwrap();
                }
                let mut command = Command::new(&program);
                command.arg("--once").arg(self.folder.join("pam.d")).args([
                    service,
                    user.as_str(),
                    &code,
                ]);
                let before = Instant::now();
                let status = command.status().unwrap();
                let taken = u64::try_from(before.elapsed().as_nanos()).unwrap();
                assert!(status.success(), "{name}: a whole process");
                if round >= 5 {
                    record(format!("process {name}"), taken);
                }
            }
        }
        times
    }
}

pub(crate) fn security_folder() -> PathBuf {
    let folders = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("security"));
    folders
        .into_iter()
        .find(|folder| folder.join("pam_permit.so").exists())
        .unwrap()
}
