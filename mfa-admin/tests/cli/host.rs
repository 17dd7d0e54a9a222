//! A host of its own for a test, and ways to run the command on it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use mfa_core::config::Config;
use mfa_core::request::UserName;
use mfa_core::secure_file::Owner;
use mfa_core::state::LoginState;
use mfa_core::store::{FileStore, Store, Subject};
use serde_json::Value;
use tempfile::TempDir;

/// 160 bits.
pub(crate) const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
/// Somebody without any rights.
const NOBODY: u32 = 65534;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mfa-admin");

/// A folder with a configuration, a store and a sealing key.
pub(crate) struct Host {
    folder: TempDir,
}

/// What a run of the command came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// The run has to have ended like this.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Standard output as a document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let document: Value = serde_json::from_str(&self.out).expect(&self.out);
        assert_eq!(document["version"], 1);
        document
    }
}

impl Host {
    /// A host after `init`.
    pub(crate) fn new() -> Self {
        let host = Self::empty();
        host.run("init --no-user").expect(0);
        host
    }

    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command with words that are parted by blanks; `_` stands for a blank in a word.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.command_of(Path::new(PROGRAM), line)
    }

    fn command_of(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--config").arg(self.path("mfa.toml"));
        command
            .args(words(line))
            .env("LC_ALL", "C.UTF-8")
            .env_remove("SUDO_UID");
        command
    }

    /// Runs the command with nothing on standard input.
    pub(crate) fn run(&self, line: &str) -> Run {
        self.feed(line, "")
    }

    /// Runs the command with a text on standard input.
    pub(crate) fn feed(&self, line: &str, input: &str) -> Run {
        finish(self.command(line), input)
    }

    /// Runs the command as somebody without any rights.
    pub(crate) fn run_as_nobody(&self, line: &str) -> Run {
        let mut command = self.command_of(&program_for_everybody(), line);
        command.uid(NOBODY).gid(NOBODY);
        finish(command, "")
    }

    /// Runs the command at a terminal of its own; what it shows comes from there.
    pub(crate) fn terminal(&self, line: &str) -> Terminal {
        // No shell between them: one that waits has an exit code of its own after Ctrl-C.
        Terminal::start(&format!("exec {}", self.at_terminal(line)))
    }

    /// The same, with another command at that terminal afterwards.
    pub(crate) fn terminal_then(&self, line: &str, then: &str) -> Terminal {
        Terminal::start(&format!("{} {then}", self.at_terminal(line)))
    }

    /// The command as a shell reads it.
    fn at_terminal(&self, line: &str) -> String {
        let config = self.path("mfa.toml");
        let words: Vec<String> = words(line).map(|word| format!("'{word}'")).collect();
        format!(
            "{PROGRAM} --config {} {}",
            config.display(),
            words.join(" ")
        )
    }

    /// Runs the command where /dev/log is listened to; gives the lines too.
    pub(crate) fn run_logged(&self, line: &str, input: &str) -> (Run, Vec<String>) {
        let dev = self.path("dev");
        let _ = std::fs::create_dir(&dev);
        let _ = std::fs::remove_file(dev.join("log"));
        let socket = std::os::unix::net::UnixDatagram::bind(dev.join("log")).unwrap();
        socket.set_nonblocking(true).unwrap();
        // What else is needed of /dev: a program that is started gets a /dev/null.
        std::fs::write(dev.join("null"), "").unwrap();
        let script =
            "mount --bind /dev/null \"$0\"/null && mount --rbind \"$0\" /dev && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]);
        command
            .arg(&dev)
            .arg(PROGRAM)
            .arg("--config")
            .arg(self.path("mfa.toml"))
            .args(words(line));
        command.env_remove("SUDO_UID");
        let run = finish(command, input);
        let mut lines = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(length) = socket.recv(&mut bytes) {
            lines.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        (run, lines)
    }

    /// Adds a user whom the system knows, with an app over [`SECRET`].
    pub(crate) fn enrolled(user: &str) -> Self {
        let host = Self::new();
        host.run(&format!("user add {user}")).expect(0);
        host.enroll(user, "phone");
        host
    }

    /// Enrols an app over [`SECRET`] without using a code of it.
    pub(crate) fn enroll(&self, user: &str, label: &str) {
        let line = format!("app enroll {user} --label {label} --secret - --no-confirm");
        self.feed(&line, SECRET).expect(0);
    }

    /// Changes a user's state as a login could.
    pub(crate) fn change_state(&self, user: &str, mut change: impl FnMut(&mut LoginState)) {
        let store = FileStore::open(&self.path("store"), Owner::ROOT, &[]).unwrap();
        let user = UserName::parse(user).unwrap();
        store
            .transaction(Subject::User(&user), &mut |_, state| change(state))
            .unwrap();
    }

    /// Puts lines at the end of a section of mfa.toml.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.path("mfa.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }

    /// Every file below the folder, with its content: what a verb must not have changed.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.is_file() {
                    let content = std::fs::read(&path).unwrap();
                    found.push((path, content));
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.sort();
        found
    }

    /// The configuration as the module reads it.
    pub(crate) fn config(&self) -> Config {
        mfa_core::host::load_config(&self.path("mfa.toml"), Owner::ROOT).unwrap()
    }
}

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| word.replace('_', " "))
}

/// A copy of the program that everybody can reach: the repository may lie in root's home.
fn program_for_everybody() -> PathBuf {
    static COPY: OnceLock<TempDir> = OnceLock::new();
    let folder = COPY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        std::fs::copy(PROGRAM, folder.path().join("mfa-admin")).unwrap();
        folder
    });
    folder.path().join("mfa-admin")
}

/// Whether this process is root; says by name, past what libtest keeps back, which test did not run if not.
pub(crate) fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("?");
        let line = format!("SKIPPED (needs root): {name}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_root
}

/// Ends a test that needs root where there is none.
macro_rules! needs_root {
    () => {
        if !crate::host::is_root() {
            return;
        }
    };
}

pub(crate) use needs_root;

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, input: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end without reading it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The command at a terminal.
pub(crate) struct Terminal {
    child: Child,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn start(command: &str) -> Self {
        let mut child = Command::new("timeout")
            .args(["30", "script", "-qec", command, "/dev/null"])
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm")
            // The one that script(1) starts; another machine's may do otherwise.
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of the package bsdutils");
        let screen = child.stdout.take().unwrap();
        Self {
            child,
            screen,
            seen: String::new(),
        }
    }

    /// Waits until something is shown, then types a line.
    pub(crate) fn answer(&mut self, question: &str, line: &str) -> &mut Self {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&bytes).contains(question) {
            let count = self.screen.read(&mut byte).unwrap();
            assert!(
                count > 0,
                "{question:?} was not asked; shown: {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.push(byte[0]);
        }
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin
            .write_all(line.as_bytes())
            .and_then(|()| stdin.flush())
            .unwrap();
        self
    }

    /// Everything that was shown, and the exit code.
    pub(crate) fn end(mut self) -> Run {
        let mut rest = Vec::new();
        let _ = self.screen.read_to_end(&mut rest);
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().unwrap();
        Run {
            code: status.code().unwrap_or(-1),
            out: self.seen.replace('\r', ""),
            err: String::new(),
        }
    }
}

/// The code of a secret now, or some steps away, as oathtool computes it.
pub(crate) fn code_at(secret: &str, options: &[&str], steps: i64) -> String {
    let moment = format!("@{}", unix_seconds() + steps * 30);
    let output = Command::new("oathtool")
        .args(["-b", "-N", &moment])
        .args(if options.is_empty() {
            &["--totp"]
        } else {
            options
        })
        .arg(secret)
        .output()
        .expect("oathtool is missing: apt-get install oathtool (tests/packages.sh does)");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The code of [`SECRET`] now.
pub(crate) fn code() -> String {
    code_at(SECRET, &[], 0)
}

/// A code that is none now.
pub(crate) fn wrong_code() -> String {
    let right: Vec<String> = (-2..=2).map(|steps| code_at(SECRET, &[], steps)).collect();
    ["000000", "111111", "222222", "333333", "444444", "555555"]
        .into_iter()
        .find(|code| !right.iter().any(|right| right == code))
        .unwrap()
        .to_owned()
}

/// Now, seconds since the Unix epoch.
#[allow(clippy::disallowed_methods)] // what the tests compare the command with
pub(crate) fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .try_into()
        .unwrap()
}

/// Every line fits a terminal of 80 columns.
#[track_caller]
pub(crate) fn assert_fits(text: &str) {
    for line in text.lines() {
        let is_unbreakable = line.starts_with("otpauth://") || !line.trim().contains(' ');
        assert!(line.chars().count() <= 80 || is_unbreakable, "{line}");
    }
}
