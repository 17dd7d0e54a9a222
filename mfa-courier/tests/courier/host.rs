//! A host of its own for a test, and ways to run the courier on it.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mfa_core::courier::NoticeName;
use mfa_core::courier::{Document, Kind};
use mfa_core::request::UserName;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mfa-courier");
/// Whom the courier becomes; every system has this user.
pub(crate) const NOBODY: u32 = 65534;

/// False, and said loudly, where a test can't run.
pub(crate) fn is_root(name: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        // Past the capture of output: nobody reads what a test prints that did not fail.
        let line = format!("SKIPPED (needs root): {name}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    is_root
}

/// Leaves the test where there is no root.
macro_rules! needs_root {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_end_matches("::here");
        if !crate::host::is_root(name) {
            return;
        }
    }};
}
pub(crate) use needs_root;

/// A folder with a configuration, a spool, and a folder that mail is written to.
pub(crate) struct Host {
    folder: TempDir,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// The run has to have ended like this, with this on standard output at its beginning.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, out: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.out.starts_with(out), "{self:?}");
        self
    }

    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The time that documents are written at.
pub(crate) fn now() -> u64 {
    #[allow(clippy::disallowed_methods)] // the courier reads the clock too
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A document with an id of this number.
pub(crate) fn document(kind: Kind, number: u64, user: &str) -> Document {
    Document {
        user: user.to_owned(),
        to: format!("{user}@example.com"),
        host: "bastion".to_owned(),
        service: "sshd".to_owned(),
        event: "bad_code".to_owned(),
        from: "192.0.2.7".to_owned(),
        ..Document::new(kind, format!("{number:032x}"), now())
    }
}

/// A code, with an id of this number.
pub(crate) fn code(number: u64) -> Document {
    Document {
        code: "493817".to_owned().into(),
        reference: "K7QM".to_owned(),
        ..document(Kind::Code, number, "alice")
    }
}

impl Host {
    /// A host where mail is written to files, codes too, with further settings.
    pub(crate) fn new(settings: &str) -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::set_permissions(host.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["spool", "credentials"] {
            fs::create_dir(host.path(name)).unwrap();
        }
        for name in [
            "out",
            "spool/tmp",
            "spool/new",
            "spool/deferred",
            "spool/dead",
        ] {
            host.folder_of_nobody(name);
        }
        host.configure(&format!(
            "[courier]\nuser = \"nobody\"\ndeadline = \"2s\"\nemail = \"file\"\n\
             [courier.file]\nfolder = \"{}\"\ndemo = true\n{settings}",
            host.path("out").display()
        ));
        host
    }

    /// Writes `mfa.toml` anew; the paths stay.
    pub(crate) fn configure(&self, text: &str) {
        let paths = format!(
            "version = 1\n[paths]\nspool = \"{}\"\ncredentials = \"{}\"\n",
            self.path("spool").display(),
            self.path("credentials").display(),
        );
        fs::write(self.path("mfa.toml"), paths + text).unwrap();
        fs::set_permissions(self.path("mfa.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Changes a setting.
    pub(crate) fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("mfa.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.path("mfa.toml"), text.replace(from, to)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn folder_of_nobody(&self, name: &str) {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }

    /// A program that everybody may run.
    pub(crate) fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The courier's program where everybody can get at it.
    pub(crate) fn public_program(&self) -> PathBuf {
        let path = self.path("mfa-courier");
        if !path.exists() {
            fs::copy(PROGRAM, &path).unwrap();
        }
        path
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args([verb, "--config"])
            .arg(self.path("mfa.toml"))
            .env_clear();
        command
    }

    /// `send` with a document on standard input.
    pub(crate) fn send(&self, document: &Document) -> Run {
        Self::send_by(self.command("send"), document)
    }

    /// `send` by way of a line of shell, which finds the program's words in `$@`.
    pub(crate) fn send_through(&self, line: &str, document: &Document) -> Run {
        let mut shell = Command::new("sh");
        shell.args(["-c", line, "sh"]).arg(PROGRAM);
        shell.args(["send", "--config"]).arg(self.path("mfa.toml"));
        Self::send_by(shell, document)
    }

    /// `send` by a command that starts it.
    pub(crate) fn send_by(mut command: Command, document: &Document) -> Run {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A courier that ends without reading has its reasons, which its answer tells.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(document.to_json().as_bytes());
        Run::of(child.wait_with_output().unwrap())
    }

    /// A courier that waits for its document.
    pub(crate) fn sender(&self) -> Child {
        self.command("send")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// `send` as a login starts it, with a socket that is its input and its output.
    pub(crate) fn send_by_socket(&self, document: &Document) -> (Child, UnixStream) {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let input = OwnedFd::from(theirs);
        let output = input.try_clone().unwrap();
        let child = self
            .command("send")
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (&socket).write_all(document.to_json().as_bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        (child, socket)
    }

    /// Has what comes through a program go through one with this text.
    pub(crate) fn gateway(&self, text: &str) {
        let program = self.program("gateway", text);
        let settings = format!(
            "[courier.command]\nrun = [\"{}\"]\n[courier.file]",
            program.display()
        );
        self.change("[courier.file]", &settings);
    }

    /// `drain`.
    pub(crate) fn drain(&self) -> Run {
        Run::of(self.command("drain").output().unwrap())
    }

    /// A drain that is at work.
    pub(crate) fn drainer(&self) -> Child {
        self.command("drain").stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs a line of shell with the program's path in `$0` and `--config FILE` in `$@`, where /dev/log is listened to;
    /// gives the lines too.
    pub(crate) fn logged(&self, line: &str) -> (Run, Vec<String>) {
        let dev = self.path("dev");
        let _ = fs::create_dir(&dev);
        let _ = fs::remove_file(dev.join("log"));
        let socket = UnixDatagram::bind(dev.join("log")).unwrap();
        fs::set_permissions(dev.join("log"), fs::Permissions::from_mode(0o666)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut command = Command::new("unshare");
        command.args([
            "-m",
            "sh",
            "-c",
            "mount --bind \"$0\" /dev && shift && exec sh -c \"$@\"",
        ]);
        command
            .arg(&dev)
            .arg("-")
            .arg(line)
            .arg(PROGRAM)
            .arg("--config")
            .arg(self.path("mfa.toml"));
        let run = Run::of(command.output().unwrap());
        let mut lines = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(length) = socket.recv(&mut bytes) {
            lines.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        (run, lines)
    }

    /// Puts a notice into `new/`, as root does.
    pub(crate) fn put(&self, document: &Document) {
        self.put_as("spool/new", &NoticeName::of(document).to_string(), document);
    }

    /// Puts a notice anywhere, under any name.
    pub(crate) fn put_as(&self, folder: &str, name: &str, document: &Document) {
        let unfinished = self.path("spool/tmp").join(name);
        fs::write(&unfinished, document.to_json().as_bytes()).unwrap();
        chown(&unfinished, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::rename(unfinished, self.path(folder).join(name)).unwrap();
    }

    /// What is in a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The messages that were delivered, sorted by their ids.
    pub(crate) fn mails(&self) -> Vec<String> {
        let read = |name: &String| fs::read_to_string(self.path("out").join(name)).unwrap();
        self.names("out").iter().map(read).collect()
    }

    /// Makes everything due that waits for its next try.
    pub(crate) fn let_time_pass(&self) {
        for name in self.names("spool/deferred") {
            let mut parts: Vec<_> = name.split('~').collect();
            if parts.len() == 5 {
                parts[0] = "1";
                let folder: &Path = &self.path("spool/deferred");
                fs::rename(folder.join(&name), folder.join(parts.join("~"))).unwrap();
            }
        }
    }
}

/// A user's part of names in the spool.
pub(crate) fn user_file(user: &str) -> String {
    UserName::parse(user).unwrap().file_name().to_owned()
}

/// Waits for the end of a process, which was killed and need not be gone at once.
#[track_caller]
pub(crate) fn ends(pid: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    // A process that ended and was not reaped yet has no command line any more.
    while fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
        assert!(Instant::now() < end, "{pid} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The value of a header.
#[track_caller]
pub(crate) fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let start = format!("{name}: ");
    mail.lines()
        .find_map(|line| line.strip_prefix(&start))
        .expect(mail)
}
