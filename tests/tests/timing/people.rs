//! A host with somebody of every kind that is refused.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use mfa_tests::pam_host::{AUTH_ERR, DEVICE, PamHost, overwrite};
use mfa_tests::{Authenticator, HardwareToken, Host};

/// Everybody's name is as long, so that even the bytes on a wire can be compared.
const PREFIX: &str = "person";
/// Uids of those whom NSS knows.
const FIRST_UID: u32 = 2001;
/// Nothing runs out while a test looks: neither the minute of the throttle nor a lock.
pub(crate) const LIMITS: &str = "[throttle]\nwithin = \"60m\"\n[lockout]\nfor = \"60m\"\n";

/// Shaped like a recovery code, and nobody's.
pub(crate) const RECOVERY_SHAPED: &str = "ZZZZ-ZZZZ-ZZZZZ";

/// Why somebody does not get in. All but the first would not with a right code either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    WrongCode,
    NoRecord,
    UnknownToNss,
    Unapproved,
    Suspended,
    Locked,
    Disabled,
    Throttled,
    WrongDevice,
    NoApp,
    /// Has an app and an address.
    Reachable,
    /// Has a hardware token and no app: the code of the others' app is a wrong one.
    Token,
}

pub(crate) const KINDS: [Kind; 12] = [
    Kind::WrongCode,
    Kind::NoRecord,
    Kind::UnknownToNss,
    Kind::Unapproved,
    Kind::Suspended,
    Kind::Locked,
    Kind::Disabled,
    Kind::Throttled,
    Kind::WrongDevice,
    Kind::NoApp,
    Kind::Reachable,
    Kind::Token,
];

impl Kind {
    /// The first of the people of this kind.
    pub(crate) fn name(self) -> String {
        self.name_of(0)
    }

    /// One of several people of this kind.
    pub(crate) fn name_of(self, which: usize) -> String {
        let kind = KINDS.iter().position(|&kind| kind == self).unwrap();
        format!("{PREFIX}{kind:02}{which:02}")
    }

    /// The line in the log that says why.
    pub(crate) fn event(self) -> &'static str {
        match self {
            Self::WrongCode | Self::Reachable | Self::Token => "MFA-2101",
            Self::NoRecord | Self::UnknownToNss => "MFA-2106",
            Self::Unapproved => "MFA-2104",
            Self::Suspended => "MFA-2109",
            Self::Locked => "MFA-2202",
            Self::Disabled => "MFA-2203",
            Self::Throttled => "MFA-2201",
            Self::WrongDevice => "MFA-2105",
            Self::NoApp => "MFA-2108",
        }
    }

    /// Whether a right code of the app would let them in.
    pub(crate) fn may_log_in(self) -> bool {
        matches!(self, Self::WrongCode | Self::Reachable)
    }
}

/// Everybody on one host. All have the same secret.
pub(crate) struct People {
    pub(crate) host: PamHost,
    pub(crate) app: Authenticator,
}

impl People {
    /// One of each kind on a host in memory, with accounts.
    pub(crate) fn settle(machine: &Host) -> Self {
        add_accounts(machine, 1);
        Self::settle_below("/run/pam_host", 1)
    }

    /// `count` people of each kind, on a host below `folder`; their accounts are there.
    pub(crate) fn settle_below(folder: &str, count: usize) -> Self {
        let people = Self {
            host: PamHost::below(folder, LIMITS),
            app: Authenticator::new(),
        };
        for kind in KINDS {
            for which in 0..count {
                people.make(kind, &kind.name_of(which));
            }
        }
        people.host.configure(LIMITS);
        let copied = Command::new("cp")
            .arg("-a")
            .args([people.host.path("lib/state"), people.host.path("as-it-was")])
            .status()
            .unwrap();
        assert!(copied.success());
        people
    }

    fn make(&self, kind: Kind, name: &str) {
        let host = &self.host;
        match kind {
            Kind::NoRecord | Kind::UnknownToNss => return,
            Kind::NoApp | Kind::Token => drop(
                host.admin(&["user", "add", name, "--label", DEVICE])
                    .expect_success(),
            ),
            _ => host.enroll_app(name, &self.app),
        }
        // One who may log in and one who may not.
        if matches!(kind, Kind::Reachable | Kind::Unapproved) {
            host.recovery_codes(name);
        }
        match kind {
            Kind::Unapproved => host.edit_record(name, "approved = true", "approved = false"),
            Kind::Suspended => {
                let words = ["user", "suspend", name, "--reason", "left the company"];
                host.admin(&words).expect_success();
            }
            Kind::WrongDevice => {
                let words = ["device", "revoke", name, DEVICE, "--yes"];
                host.admin(&words).expect_success();
            }
            Kind::Reachable => {
                let words = [
                    "user",
                    "set",
                    name,
                    "--email",
                    "somebody@example.com",
                    "--methods",
                    "app,email",
                ];
                host.admin(&words).expect_success();
            }
            Kind::Locked => self.fail(name, "[lockout]\nafter = 2\nfor = \"60m\"\n", 2, "MFA-2204"),
            Kind::Disabled => self.fail(
                name,
                "[lockout]\nafter = 50\ndisable_after = 2\n",
                2,
                "MFA-2205",
            ),
            Kind::Throttled => self.fail(name, LIMITS, 5, "MFA-2101"),
            Kind::Token => {
                HardwareToken::new().add_to(host, name, "key ring");
                let words = ["user", "set", name, "--methods", "token"];
                host.admin(&words).expect_success();
            }
            Kind::WrongCode | Kind::NoRecord | Kind::UnknownToNss | Kind::NoApp => {}
        }
    }

    /// Wrong codes under other rules, the last of which is to say `event`.
    fn fail(&self, name: &str, tables: &str, times: usize, event: &str) {
        self.host
            .configure(&format!("[prompt]\ntries = {times}\n{tables}"));
        let wrong = self.app.wrong_code();
        let seen = self.host.login(name, &vec![wrong.as_str(); times]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert!(!seen.events(event).is_empty(), "{seen}");
    }

    /// Puts every login state back as it was, decoys too: whatever was tried before leaves no trace.
    pub(crate) fn put_back(&self) {
        let states = self.host.path("lib/state");
        for entry in fs::read_dir(self.host.path("as-it-was")).unwrap() {
            let saved = entry.unwrap();
            let state = states.join(saved.file_name());
            let written = |metadata: Metadata| (metadata.mtime(), metadata.mtime_nsec());
            // Those that nobody has written need no writing.
            if written(fs::metadata(&state).unwrap()) != written(saved.metadata().unwrap()) {
                overwrite(&state, &fs::read(saved.path()).unwrap());
            }
        }
    }
}

/// Accounts for `count` people of each kind, spread over /etc/passwd: no kind is always found first.
pub(crate) fn add_accounts(machine: &Host, count: usize) {
    let known = KINDS.into_iter().filter(|&kind| kind != Kind::UnknownToNss);
    let names = (0..count).flat_map(|which| known.clone().map(move |kind| kind.name_of(which)));
    for (uid, name) in (FIRST_UID..).zip(names) {
        machine.add_account(&name, uid);
    }
}
