//! A courier of the tests' own: it keeps what it is told, and says what it is told to say.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::host::Host;

/// Somebody without rights who is on every system.
pub(crate) const COURIER_USER: &str = "nobody";

/// `$0` is in the host's folder; there is no environment.
const SCRIPT: &str = r#"#!/bin/sh
cd "$(/usr/bin/dirname "$0")" || exit 1
echo "$* $(/usr/bin/env | /usr/bin/grep -cv -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL=)" >> calls
if [ "$1" = drain ]; then . ./drain; fi
IFS= read -r document
printf '%s\n' "$document" >> documents
. ./answer
"#;

impl Host {
    /// A host that delivers mail, with a user who has an address and an app.
    pub(crate) fn delivering(user: &str) -> Self {
        let host = Self::new();
        host.deliver();
        host.run(&format!("user add {user} --email {user}@example.com"))
            .expect(0);
        host.enroll(user, "phone");
        host.forget_notices();
        host
    }

    /// Sets up delivery by mail through the tests' courier.
    pub(crate) fn deliver(&self) {
        self.configure("user = \"_mfa\"", &format!("user = \"{COURIER_USER}\""));
        self.configure("email = \"smtp\"", "email = \"file\"");
        let mails = self.path("mails");
        self.configure(
            "folder = \"\"",
            &format!("folder = \"{}\"", mails.display()),
        );
        self.run("init --no-user").expect(0);
        let program = self.path("mfa-courier");
        std::fs::write(&program, SCRIPT).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.courier_says("accepted file kept");
        self.courier_drains("exit 0");
    }

    /// What the courier answers to a message.
    pub(crate) fn courier_says(&self, line: &str) {
        self.courier_runs(&format!("echo '{line}'"));
    }

    /// What the courier does with a message.
    pub(crate) fn courier_runs(&self, script: &str) {
        std::fs::write(self.path("answer"), script).unwrap();
    }

    /// What the courier does to the spool.
    pub(crate) fn courier_drains(&self, script: &str) {
        std::fs::write(self.path("drain"), script).unwrap();
    }

    /// What the courier was given to deliver at once, without what was for nobody.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("documents")).unwrap_or_default();
        let documents = text.lines().map(|line| serde_json::from_str(line).unwrap());
        documents
            .filter(|document: &Value| document["kind"] != "nothing")
            .collect()
    }

    /// How the courier was called, each time.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The code that was sent last.
    pub(crate) fn sent_code(&self) -> String {
        let messages = self.messages();
        let last = messages.last().expect("a code was sent");
        last["code"].as_str().unwrap().to_owned()
    }

    /// What waits in the spool, in the order of names.
    pub(crate) fn notices(&self) -> Vec<Value> {
        self.notice_files()
            .iter()
            .map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
            .collect()
    }

    /// Empties the spool.
    pub(crate) fn forget_notices(&self) {
        for path in self.notice_files() {
            std::fs::remove_file(path).unwrap();
        }
    }

    fn notice_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("spool/new")).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}
