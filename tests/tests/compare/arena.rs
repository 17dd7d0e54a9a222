//! A host on which the three modules know the same people with the same secret.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mfa_tests::pam_host::{PamHost, Player, SUCCESS, Seen, login_script};
use mfa_tests::{Authenticator, Host, target};

use crate::table::Outcome;

/// People with a secret, as `pam_host --parallel` numbers its children: `p1`, `p2`, …
pub(crate) const PEOPLE: usize = 50;
/// One prompt in a login, and no waiting.
pub(crate) const TABLES: &str = "[prompt]\ntries = 1\nfail_delay = \"0s\"\n";
/// What `google-authenticator -t -d -w 3 -r 3 -R 30` writes.
pub(crate) const GOOGLE_OPTIONS: &str =
    "\" RATE_LIMIT 3 30\n\" WINDOW_SIZE 3\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n";

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Module {
    Ours,
    Google,
    Oath,
}

impl Module {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Google, Self::Oath];

    /// The PAM service that has it in its stack.
    pub(crate) fn service(self) -> &'static str {
        ["ours", "google", "oath"][self as usize]
    }
}

/// One outcome of each module.
pub(crate) fn each(run: impl FnMut(Module) -> Outcome) -> [Outcome; 3] {
    Module::ALL.map(run)
}

pub(crate) struct Arena<'host> {
    pub(crate) machine: &'host Host,
    pub(crate) host: PamHost,
    pub(crate) app: Authenticator,
}

impl<'host> Arena<'host> {
    /// With everybody's accounts on the machine, and files on a disk: in memory races are won that are lost on a host.
    pub(crate) fn open(machine: &'host Host) -> Self {
        for (uid, name) in (3001..).zip(people()) {
            machine.add_account(&name, uid);
        }
        let folder = target().join("compare/arena");
        let _ = fs::remove_dir_all(&folder);
        Self::below(machine, folder.to_str().unwrap(), PEOPLE)
    }

    /// The same in another folder, with fewer people; the accounts are there.
    pub(crate) fn below(machine: &'host Host, folder: &str, count: usize) -> Self {
        let arena = Self {
            machine,
            host: PamHost::below(folder, TABLES),
            app: Authenticator::new(),
        };
        for name in people().take(count) {
            arena.host.enroll_app(&name, &arena.app);
        }
        fs::create_dir_all(arena.path("google")).unwrap();
        let mut users = String::new();
        for name in people().take(count) {
            let content = format!("{}\n{GOOGLE_OPTIONS}", arena.app.secret);
            write_private(&arena.path("google").join(&name), &content);
            writeln!(users, "HOTP/T30 {name} - {}", hex(&arena.app.secret)).unwrap();
        }
        fs::create_dir_all(arena.path("oath")).unwrap();
        write_private(&arena.path("oath/users"), &users);
        arena.write_services();
        // What put_back puts back.
        fs::create_dir_all(arena.path("as-it-was")).unwrap();
        for folder in ["lib", "google", "oath"] {
            copy(&arena.path(folder), &arena.path("as-it-was").join(folder));
        }
        arena
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.path(name)
    }

    /// The services `ours`, `google` and `oath`, with the usual settings.
    pub(crate) fn write_services(&self) {
        for module in Module::ALL {
            self.write_service(module, &self.arguments(module));
        }
    }

    /// The usual arguments.
    pub(crate) fn arguments(&self, module: Module) -> String {
        let folder = self.host.folder.display();
        match module {
            Module::Ours => format!("conf={folder}/mfa.toml"),
            Module::Google => format!("secret={folder}/google/${{USER}} user=root"),
            Module::Oath => format!("usersfile={folder}/oath/users window=1"),
        }
    }

    /// A stack of the module with `arguments`.
    pub(crate) fn stack(&self, module: Module, arguments: &str) -> String {
        let file = match module {
            Module::Ours => self.path("pam_mfa.so").display().to_string(),
            Module::Google => "pam_google_authenticator.so".to_owned(),
            Module::Oath => "pam_oath.so".to_owned(),
        };
        format!(
            "auth required {file} {arguments}\naccount required pam_permit.so\nsession required pam_permit.so\n"
        )
    }

    pub(crate) fn write_service(&self, module: Module, arguments: &str) {
        self.host
            .stack(module.service(), &self.stack(module, arguments));
    }

    /// Stores, states, configuration and services as they were at first.
    pub(crate) fn put_back(&self) {
        for folder in ["lib", "google", "oath"] {
            let _ = fs::remove_dir_all(self.path(folder));
            copy(&self.path("as-it-was").join(folder), &self.path(folder));
        }
        self.host.configure(TABLES);
        self.write_services();
    }

    /// The file that tells whether `user`'s code is right.
    pub(crate) fn secret_file(&self, module: Module, user: &str) -> PathBuf {
        match module {
            Module::Ours => self.host.record_path(user),
            Module::Google => self.path("google").join(user),
            Module::Oath => self.path("oath/users"),
        }
    }

    /// The folder in which a login writes.
    pub(crate) fn store(&self, module: Module) -> PathBuf {
        self.path(["lib", "google", "oath"][module as usize])
    }

    pub(crate) fn player(&self, module: Module) -> Player<'_> {
        self.host.player().service(module.service())
    }

    /// A script on a module's service.
    pub(crate) fn play(&self, module: Module, options: &[&str], script: &str) -> Seen {
        self.player(module).options(options).play(script)
    }

    pub(crate) fn login(&self, module: Module, user: &str, code: &str) -> Seen {
        self.play(module, &[], &login_script(user, &[code]))
    }

    /// Whether a login with one answer got in.
    pub(crate) fn gets_in(&self, module: Module, user: &str, code: &str) -> bool {
        self.login(module, user, code).count(SUCCESS) == 1
    }

    /// The code of the present step, which stays it for `seconds`.
    pub(crate) fn code_for(&self, seconds: u64) -> String {
        self.app.wait_for_room(seconds);
        self.app.code_of(self.app.step())
    }

    /// Which packages the peers come from.
    pub(crate) fn versions(&self) -> String {
        let archives = fs::read_dir(target().join("debian/archives")).unwrap();
        let mut names: Vec<_> = archives
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                [
                    "libpam-google-authenticator_",
                    "libpam-oath_",
                    "liboath0_",
                    "openssh-server_",
                ]
                .iter()
                .any(|start| name.starts_with(start))
            })
            .map(|name| {
                name.trim_end_matches(".deb")
                    .rsplit_once('_')
                    .unwrap()
                    .0
                    .replace('_', " ")
                    .replace("%3a", ":")
            })
            .collect();
        names.sort();
        let ours = self
            .machine
            .admin(&["--version"])
            .trim()
            .replace("mfa-admin", "pam_mfa");
        format!("{ours}; Debian's {}.", names.join(", "))
    }
}

/// `p1`, `p2`, …
pub(crate) fn people() -> impl Iterator<Item = String> {
    (1..=PEOPLE).map(|number| format!("p{number}"))
}

pub(crate) fn write_private(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-aT")
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success(), "cp {}", from.display());
}

/// Hexadecimal, as pam_oath wants a secret.
pub(crate) fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
