//! Fresh processes: a first dlopen, and whole logins.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use mfa_tests::module_path;
use mfa_tests::pam_host::built;

use crate::peers;
use crate::populations::Population;
use crate::site::{Site, spread};

/// Whole processes with one login each, and the first dlopen, interleaved.
pub(crate) fn processes(site: &Site, few: &Population, count: usize) -> Vec<(String, Vec<u64>)> {
    let program = built("pam_bench");
    let host = &few.host;
    let user = &spread(&site.people, 10)[0];
    let modules = [
        ("pam_mfa", module_path()),
        ("google", peers::module("pam_google_authenticator.so")),
        ("oath", peers::module("pam_oath.so")),
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
                site.folder.join("google-saved").join(user),
                site.folder.join("google").join(user),
            )),
        ),
        (
            "oath",
            "oath-10",
            Some((
                site.folder.join("oath-10-saved"),
                site.folder.join("oath-10"),
            )),
        ),
    ];
    let mut times: Vec<(String, Vec<u64>)> = Vec::new();
    let mut record =
        |name: String, nanoseconds: u64| match times.iter_mut().find(|(known, _)| *known == name) {
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
        let code = site.app.code_of(site.app.step());
        for (name, service, restored) in &services {
            if let Some((saved, file)) = restored {
                let mut open = fs::OpenOptions::new().write(true).open(file).unwrap();
                open.write_all(&fs::read(saved).unwrap()).unwrap();
                open.set_len(fs::metadata(saved).unwrap().len()).unwrap();
                open.sync_data().unwrap();
            }
            let mut command = Command::new(&program);
            command
                .arg("--once")
                .arg(site.services())
                .args([service, user.as_str(), &code]);
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
