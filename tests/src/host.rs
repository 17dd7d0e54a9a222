//! The test host, seen from inside.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::audit::AuditLine;
use crate::authenticator::Authenticator;
use crate::files::{admin_path, install_courier, module_path};
use crate::ssh::Sshd;
use crate::syslog::{LogLine, Mark, Syslog};
use crate::terminal::Terminal;

/// Everybody's account password.
pub const PASSWORD: &str = "correct horse";

/// The configuration of a test host: the defaults, without the pause after a wrong code.
const CONFIGURATION: &str = "version = 1\n\n[prompt]\nfail_delay = \"0s\"\n";

/// A host with a syslog daemon; with the module and the command as soon as [`Host::install`] was called.
pub struct Host {
    syslog: Syslog,
}

/// What a command without a terminal left.
#[derive(Debug, Clone)]
pub struct Output {
    what: String,
    /// The exit code; -1 when a signal ended it.
    pub exit: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The command ended well.
    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        assert_eq!(
            self.exit, 0,
            "`{}` was to succeed:\n{}{}",
            self.what, self.stdout, self.stderr
        );
        self
    }
}

impl Host {
    /// A host that knows nothing of pam_mfa yet.
    pub(crate) fn start() -> Self {
        Self {
            syslog: Syslog::start(),
        }
    }

    /// Installs the module, the courier and the command, and runs `mfa-admin init`.
    pub(crate) fn install(&self) {
        let module = security_folder().join("pam_mfa.so");
        fs::copy(module_path(), &module).unwrap();
        fs::set_permissions(&module, fs::Permissions::from_mode(0o644)).unwrap();
        fs::copy(admin_path(), "/usr/sbin/mfa-admin").unwrap();
        install_courier();
        self.configure("");
        self.admin(&["init"]);
    }

    /// Writes /etc/mfa/mfa.toml: version, `fail_delay = "0s"`, and `more`.
    pub fn configure(&self, more: &str) {
        fs::create_dir_all("/etc/mfa").unwrap();
        fs::write("/etc/mfa/mfa.toml", format!("{CONFIGURATION}{more}")).unwrap();
    }

    /// Runs a command without a terminal and with nothing on its standard input.
    pub fn run(&self, words: &[&str]) -> Output {
        self.run_with(words, "")
    }

    /// Runs a command with `input` on its standard input.
    pub fn run_with(&self, words: &[&str], input: &str) -> Output {
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", words[0]));
        // A command that does not read its input is no error of ours.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Output {
            what: words.join(" "),
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `mfa-admin`, which has to succeed, and returns its standard output.
    #[track_caller]
    pub fn admin(&self, arguments: &[&str]) -> String {
        self.admin_with(arguments, "")
    }

    /// Runs `mfa-admin` with `input` on its standard input.
    #[track_caller]
    pub fn admin_with(&self, arguments: &[&str], input: &str) -> String {
        let mut words = vec!["mfa-admin"];
        words.extend(arguments);
        let output = self.run_with(&words, input);
        output.expect_success();
        output.stdout
    }

    /// Puts a person on the approved list, for this host, with an app; returns the app.
    pub fn enroll(&self, name: &str) -> Authenticator {
        self.admin(&["user", "add", name]);
        self.enroll_app(name, "phone")
    }

    /// Gives a person one more app.
    pub fn enroll_app(&self, name: &str, label: &str) -> Authenticator {
        let app = Authenticator::new();
        let arguments = [
            "app",
            "enroll",
            name,
            "--label",
            label,
            "--secret",
            "-",
            "--no-confirm",
            "--qr",
            "none",
        ];
        self.admin_with(&arguments, &format!("{}\n", app.secret));
        app
    }

    /// Makes an account with the known password.
    pub fn add_account(&self, name: &str, uid: u32) {
        let home = format!("/run/home/{name}");
        let shadow = fs::read_to_string("/etc/shadow").unwrap();
        let password = shadow
            .lines()
            .find_map(|line| line.strip_prefix("alice:"))
            .unwrap()
            .split(':')
            .next()
            .unwrap();
        append(
            "/etc/passwd",
            &format!("{name}:x:{uid}:{uid}:{name}:{home}:/bin/bash"),
        );
        append("/etc/group", &format!("{name}:x:{uid}:"));
        append(
            "/etc/shadow",
            &format!("{name}:{password}:20000:0:99999:7:::"),
        );
        fs::create_dir_all(&home).unwrap();
        chown(&home, Some(uid), Some(uid)).unwrap();
    }

    /// Writes a file of /etc/pam.d.
    pub fn write_service(&self, service: &str, stack: &str) {
        fs::write(Path::new("/etc/pam.d").join(service), stack).unwrap();
    }

    /// Starts sshd with `stack` as its PAM service, and lines of sshd_config that take precedence over
    /// [`Sshd`]'s own.
    pub fn start_sshd(&self, stack: &str, options: &[&str]) -> Sshd {
        self.write_service("sshd", stack);
        Sshd::start(options)
    }

    /// `login NAME` on a terminal.
    pub fn login(&self, name: &str) -> Terminal {
        Terminal::start(&["login", name])
    }

    /// A program that `name` starts on a terminal.
    pub fn terminal_of(&self, name: &str, words: &[&str]) -> Terminal {
        let user = format!("--reuid={name}");
        let group = format!("--regid={name}");
        let mut all = vec![
            "setpriv",
            &user,
            &group,
            "--init-groups",
            "--reset-env",
            "--",
        ];
        all.extend(words);
        Terminal::start(&all)
    }

    /// `su TARGET -c COMMAND`, started by `caller` on a terminal.
    pub fn su(&self, caller: &str, target: &str, command: &str) -> Terminal {
        self.terminal_of(caller, &["su", target, "-c", command])
    }

    /// `sudo COMMAND`, started by `caller` on a terminal. The caller is made a sudoer; sudo, which begins
    /// anew after a refusal, ends at the first.
    pub fn sudo(&self, caller: &str, words: &[&str]) -> Terminal {
        let rule = Path::new("/etc/sudoers.d").join(caller);
        fs::write(
            &rule,
            format!("{caller} ALL=(ALL:ALL) ALL\nDefaults lecture=never,passwd_tries=1\n"),
        )
        .unwrap();
        fs::set_permissions(&rule, fs::Permissions::from_mode(0o440)).unwrap();
        let mut all = vec!["sudo", "-k"];
        all.extend(words);
        self.terminal_of(caller, &all)
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Mark {
        self.syslog.mark()
    }

    /// Everything in the log since `mark`.
    pub fn log_since(&self, mark: Mark) -> Vec<LogLine> {
        self.syslog.lines_since(mark)
    }

    /// The audit lines since `mark`, in order.
    pub fn audit_since(&self, mark: Mark) -> Vec<AuditLine> {
        self.log_since(mark)
            .iter()
            .filter_map(AuditLine::parse)
            .collect()
    }

    /// The ids of the audit lines since `mark`, in order.
    pub fn ids_since(&self, mark: Mark) -> Vec<String> {
        self.audit_since(mark)
            .into_iter()
            .map(|line| line.id)
            .collect()
    }

    /// The only audit line with this id since `mark`.
    #[track_caller]
    pub fn one_since(&self, mark: Mark, id: &str) -> AuditLine {
        let all = self.audit_since(mark);
        let mut with_id = all.iter().filter(|line| line.id == id);
        match (with_id.next(), with_id.next()) {
            (Some(line), None) => line.clone(),
            _ => panic!("expected {id} once in:\n{}", texts(&all)),
        }
    }
}

fn texts(lines: &[AuditLine]) -> String {
    let texts: Vec<_> = lines
        .iter()
        .map(|line| format!("  {} {}", line.severity, line.text))
        .collect();
    texts.join("\n")
}

fn append(path: &str, line: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

/// The folder in which libpam looks for modules.
fn security_folder() -> PathBuf {
    fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("security"))
        .find(|folder| folder.join("pam_unix.so").exists())
        .expect("libpam's modules are installed")
}
