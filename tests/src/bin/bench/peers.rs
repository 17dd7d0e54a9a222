//! Debian's peers with their files: `pam_google_authenticator`, a file for each user, and `pam_oath`, one file for all.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::kind::Kind;
use crate::site::{Site, copy, spread, write_private};

/// Files of google for everybody, and its service.
pub(crate) fn prepare_google(site: &Site) {
    let folder = site.folder.display();
    site.service(
        "google",
        &format!("pam_google_authenticator.so secret={folder}/google/${{USER}} user=root"),
    );
    let saved = site.folder.join("google-saved");
    fs::create_dir_all(&saved).unwrap();
    for name in &site.people {
        write_private(&saved.join(name), &google_file(site));
    }
    copy(&saved, &site.folder.join("google"));
}

fn google_file(site: &Site) -> String {
    format!(
        "{}\n\" RATE_LIMIT 3 30\n\" WINDOW_SIZE 3\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n",
        site.app.secret
    )
}

/// Logins of everybody.
pub(crate) fn google(site: &Site, name: &str) -> Kind {
    Kind::new(name, "google", &site.people).restored(
        &site.folder.join("google-saved/{}"),
        &site.folder.join("google/{}"),
    )
}

/// oath's file with `users` users, people among them, and its service `oath-USERS`.
pub(crate) fn prepare_oath(site: &Site, users: usize) {
    let service = format!("oath-{users}");
    let file = site.folder.join(&service);
    site.service(
        &service,
        &format!("pam_oath.so usersfile={} window=1", file.display()),
    );
    let secret = hex(&site.app.secret);
    let mut text = String::new();
    for name in spread(&site.people, users) {
        writeln!(text, "HOTP/T30 {name} - {secret}").unwrap();
    }
    for number in site.people.len()..users {
        writeln!(text, "HOTP/T30 u{number:06} - {secret}").unwrap();
    }
    write_private(&file, &text);
    write_private(&site.folder.join(format!("{service}-saved")), &text);
}

/// Logins of the people among `users` users.
pub(crate) fn oath(site: &Site, name: &str, users: usize) -> Kind {
    let service = format!("oath-{users}");
    Kind::new(name, &service, &spread(&site.people, users)).restored(
        &site.folder.join(format!("{service}-saved")),
        &site.folder.join(&service),
    )
}

/// Where Debian's modules are, on the test host.
pub(crate) fn module(name: &str) -> PathBuf {
    let mut folders = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("security"));
    let folder = folders.find(|folder| folder.join("pam_permit.so").exists());
    folder.unwrap().join(name)
}

fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
