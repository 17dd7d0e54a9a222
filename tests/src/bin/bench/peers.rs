//! Debian's peers with their files: `pam_google_authenticator`, a file for each user, and `pam_oath`, one file for all.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::kind::Kind;
use crate::populations::Filler;
use crate::site::{Site, copy, write_private};

/// Files of google for `people` and others, `users` in all, and the service `google-NAME`.
pub(crate) fn prepare_google(site: &Site, name: &str, people: &[String], users: usize) {
    let folder = site.folder.join(format!("google-{name}"));
    site.service(
        &format!("google-{name}"),
        &format!(
            "pam_google_authenticator.so secret={}/${{USER}} user=root",
            folder.display()
        ),
    );
    let saved = site.folder.join(format!("google-{name}-saved"));
    fs::create_dir_all(&saved).unwrap();
    // What its own command writes when every question is answered with yes.
    let content = format!(
        "{}\n\" RATE_LIMIT 3 30\n\" WINDOW_SIZE 3\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n",
        site.app.secret
    );
    for name in people {
        write_private(&saved.join(name), &content);
    }
    copy(&saved, &folder);
    let others = users.saturating_sub(people.len());
    let mut filler = Filler::new(others);
    for number in 0..others {
        filler.add(&folder.join(format!("f{number:07}")), content.as_bytes());
    }
}

/// Logins with google's service.
pub(crate) fn google(site: &Site, what: &str, name: &str, people: &[String]) -> Kind {
    let service = format!("google-{name}");
    Kind::new(what, &service, people).restored(
        &site.folder.join(format!("{service}-saved/{{}}")),
        &site.folder.join(format!("{service}/{{}}")),
    )
}

/// oath's file with `people` and others, `users` in all, and the service `oath-NAME`.
pub(crate) fn prepare_oath(site: &Site, name: &str, people: &[String], users: usize) {
    let service = format!("oath-{name}");
    // In a folder of its own: it makes files beside it.
    let folder = site.folder.join(&service);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("users");
    site.service(
        &service,
        &format!("pam_oath.so usersfile={} window=1", file.display()),
    );
    let secret = hex(&site.app.secret);
    let mut text = String::new();
    // People among the others, evenly.
    let between = users / people.len();
    for number in 0..users {
        match people.get(number / between) {
            Some(name) if number % between == 0 => writeln!(text, "HOTP/T30 {name} - {secret}"),
            _ => writeln!(text, "HOTP/T30 f{number:07} - {secret}"),
        }
        .unwrap();
    }
    write_private(&file, &text);
    write_private(&site.folder.join(format!("{service}-saved")), &text);
}

/// Logins with oath's service.
pub(crate) fn oath(site: &Site, what: &str, name: &str, people: &[String]) -> Kind {
    let service = format!("oath-{name}");
    Kind::new(what, &service, people).restored(
        &site.folder.join(format!("{service}-saved")),
        &site.folder.join(format!("{service}/users")),
    )
}

/// Where Debian's modules are, on the test host.
pub(crate) fn module(name: &str) -> PathBuf {
    libraries()
        .into_iter()
        .map(|folder| folder.join("security").join(name))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("{name} is unpacked by tests/packages.sh"))
}

/// The library of oath that its module needs.
pub(crate) fn liboath() -> PathBuf {
    libraries()
        .into_iter()
        .map(|folder| folder.join("liboath.so.0"))
        .find(|file| file.exists())
        .unwrap()
}

fn libraries() -> Vec<PathBuf> {
    let folders = fs::read_dir("/usr/lib").unwrap();
    folders.map(|entry| entry.unwrap().path()).collect()
}

fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
