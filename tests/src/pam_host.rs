//! Scripted logins through libpam and the built module: `tests/pam/pam_host.c` follows a script on a host whose files all lie in
//! one folder, and its lines to /dev/log are caught one by one.
//!
//! ```no_run
//! use mfa_tests::on_a_test_host;
//! use mfa_tests::pam_host::{PamHost, SUCCESS};
//!
//! on_a_test_host(|_| {
//!     let host = PamHost::new();
//!     let phone = host.enroll("alice");
//!     let seen = host.login("alice", &[&phone.code()]);
//!     assert_eq!(seen.result(), SUCCESS);
//!     assert_eq!(seen.only("MFA-2001").get("user"), "alice");
//! });
//! ```

use std::fmt::{self, Write as _};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::Duration;

use crate::files::{admin_path, module_path, repository, target};
use crate::namespace::is_inside;
use crate::{Authenticator, HardwareToken};

/// The prompt of a host without delivery (DESIGN §4).
pub const PROMPT: &str = "Verification code: ";
/// Where scripted people log in from.
pub const RHOST: &str = "203.0.113.7";

/// Results as `pam_host` prints them.
pub const SUCCESS: &str = "PAM_SUCCESS";
/// A refusal of auth.
pub const AUTH_ERR: &str = "PAM_AUTH_ERR";
/// A refusal of account.
pub const PERM_DENIED: &str = "PAM_PERM_DENIED";
/// The conversation failed.
pub const CONV_ERR: &str = "PAM_CONV_ERR";
/// Something of ours is unusable.
pub const UNAVAIL: &str = "PAM_AUTHINFO_UNAVAIL";
/// A panic was caught.
pub const ABORT: &str = "PAM_ABORT";

/// Severities of authpriv, as they stand before a line: 10 × 8 + severity.
pub const ALERT: u32 = 81;
/// 4xxx.
pub const ERR: u32 = 83;
/// A refusal.
pub const NOTICE: u32 = 85;
/// A success.
pub const INFO: u32 = 86;

/// The label of this host in the records that [`PamHost::enroll`] makes.
pub const DEVICE: &str = "here";
/// Where a host's files lie, in memory.
const FOLDER: &str = "/run/pam_host";
/// The module's file there.
const MODULE: &str = "pam_mfa.so";
/// Programs that did not end by themselves after this many seconds hang.
const PATIENCE: &str = "60";

/// One of the C programs, which are built first where they are older than their sources. On a test host it is a copy
/// that everybody can reach: the repository may lie in root's home.
pub fn built(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    static COPYING: Mutex<()> = Mutex::new(());
    let folder = target().join("pam");
    BUILT.call_once(|| {
        let status = Command::new(repository().join("tests/pam/build.sh"))
            .arg(&folder)
            .status()
            .unwrap();
        assert!(status.success(), "tests/pam/build.sh failed");
    });
    let program = folder.join(name);
    if !is_inside() {
        return program;
    }
    let copy = Path::new("/run/built").join(name);
    // One thread at a time: a file that another one still writes can't be started.
    let _copying = COPYING.lock().unwrap();
    if !copy.exists() {
        fs::create_dir_all("/run/built").unwrap();
        fs::copy(program, &copy).unwrap();
    }
    copy
}

/// The module that was built with the feature `panic-injection`: `MFA_MODULE_PANICS`, or `target/panics/release`.
fn panicking_module() -> PathBuf {
    let path = std::env::var_os("MFA_MODULE_PANICS").map_or_else(
        || target().join("panics/release/libpam_mfa.so"),
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} is missing: cargo build --release -p pam_mfa --features panic-injection --target-dir target/panics",
        path.display()
    );
    path
}

/// A configuration, a store and service files of their own. Call [`PamHost::new`] once on each test host.
#[derive(Debug)]
pub struct PamHost {
    /// mfa.toml, `lib/`, `pam.d/`, the sealing key.
    pub folder: PathBuf,
    people: Vec<String>,
}

impl PamHost {
    /// A host where nobody is known to the store, with a service `login` that asks for a code once.
    pub fn new() -> Self {
        Self::with_config("[prompt]\ntries = 1\n")
    }

    /// The same with other tables in mfa.toml than `tries = 1`.
    pub fn with_config(tables: &str) -> Self {
        Self::below(FOLDER, tables)
    }

    /// The same in another folder than `/run/pam_host`, for hosts that need a disk, or several.
    pub fn below(folder: impl Into<PathBuf>, tables: &str) -> Self {
        let host = Self::bare_below(folder.into());
        // Lines in the log begin with the name of the module's file.
        fs::copy(module_path(), host.path(MODULE)).unwrap();
        host.configure(tables);
        host.write("machine-id", "0123456789abcdef0123456789abcdef\n");
        host.admin(&["init", "--no-user"]).expect_success();
        host.stack("login", &host.lines("", ""));
        host
    }

    /// A folder without anything of ours, and no service but `other`, which denies.
    pub fn bare() -> Self {
        Self::bare_below(PathBuf::from(FOLDER))
    }

    /// The same with a place of its own, for hosts that a test makes itself.
    pub fn unmade(folder: impl Into<PathBuf>) -> Self {
        Self::bare_below(folder.into())
    }

    /// A copy of this host, store, sealing key and all, in another folder.
    #[must_use]
    pub fn copy_below(&self, folder: impl Into<PathBuf>, tables: &str) -> Self {
        let copy = Self {
            folder: folder.into(),
            people: self.people.clone(),
        };
        let status = Command::new("cp")
            .arg("-a")
            .arg(&self.folder)
            .arg(&copy.folder)
            .status()
            .unwrap();
        assert!(status.success());
        copy.configure(tables);
        copy.stack("login", &copy.lines("", ""));
        copy
    }

    fn bare_below(folder: PathBuf) -> Self {
        let host = Self {
            folder,
            people: Vec::new(),
        };
        fs::create_dir_all(host.folder.join("pam.d")).unwrap();
        host.stack(
            "other",
            "auth required pam_deny.so\naccount required pam_deny.so\n",
        );
        host
    }

    /// A file of this host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of this host, 0644.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// mfa.toml: all paths below this host's folder, then `tables`.
    pub fn configure(&self, tables: &str) {
        self.write("mfa.toml", &self.config_text("", tables));
    }

    /// What [`Self::configure`] writes, with lines `head` before the first table.
    pub fn config_text(&self, head: &str, tables: &str) -> String {
        let folder = self.folder.display();
        format!(
            "version = 1\n{head}\n[paths]\nstore = \"{folder}/lib\"\nspool = \"{folder}/spool\"\n\
             seal_key = \"{folder}/seal.key\"\ncredentials = \"{folder}/credentials\"\n\
             emergency = \"{folder}/emergency.toml\"\nmachine_id = \"{folder}/machine-id\"\n\n{tables}"
        )
    }

    /// The module's line of a stack: `auth required /…/pam_mfa.so conf=/…/mfa.toml ARGUMENTS`.
    pub fn line(&self, kind: &str, control: &str, arguments: &str) -> String {
        format!(
            "{kind} {control} {} conf={}/mfa.toml {arguments}\n",
            self.path(MODULE).display(),
            self.folder.display()
        )
    }

    /// Writes a service of all four phases with the module that was built to panic, and has it panic in `hook`.
    pub fn panicking_stack(&self, service: &str, hook: &str) {
        let copy = self.path("panics").join(MODULE);
        fs::create_dir_all(self.path("panics")).unwrap();
        fs::copy(panicking_module(), &copy).unwrap();
        let stack = self.lines("", &format!("panic={hook}"));
        let usual = self.path(MODULE).display().to_string();
        self.stack(service, &stack.replace(&usual, &copy.display().to_string()));
    }

    /// A stack of the module alone in all four phases, after `first`, with `arguments`.
    pub fn lines(&self, first: &str, arguments: &str) -> String {
        let own = ["auth", "account", "session", "password"]
            .map(|kind| self.line(kind, "required", arguments));
        format!("{first}{}", own.concat())
    }

    /// Writes a service file.
    pub fn stack(&self, service: &str, text: &str) {
        fs::write(self.folder.join("pam.d").join(service), text).unwrap();
    }

    /// A stack of `kind` that succeeds when the module says `PAM_IGNORE`, and fails whatever else it says.
    pub fn ignore_detector(&self, kind: &str, arguments: &str) -> String {
        let own = self.line(kind, "[ignore=1 default=ignore]", arguments);
        format!("{own}{kind} required pam_deny.so\n{kind} required pam_permit.so\n")
    }

    /// `mfa-admin --config …/mfa.toml ARGUMENTS`, with nothing on standard input.
    pub fn admin(&self, arguments: &[&str]) -> Ended {
        self.admin_with(arguments, "")
    }

    /// The same with `input` on standard input.
    pub fn admin_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = Command::new(admin_path());
        command
            .arg("--config")
            .arg(self.path("mfa.toml"))
            .args(arguments);
        let (code, stdout, stderr) = talk(&mut command, input);
        Ended {
            what: format!("mfa-admin {}", arguments.join(" ")),
            code,
            stdout,
            stderr,
        }
    }

    /// The command line of `mfa-admin` for a script's `do run`.
    pub fn admin_command(&self, arguments: &str) -> String {
        format!(
            "{} --config {} {arguments} >/dev/null 2>&1",
            admin_path().display(),
            self.path("mfa.toml").display()
        )
    }

    /// Gives `user` a record on this device and an app with a fresh secret, labelled `phone`.
    pub fn enroll(&self, user: &str) -> Authenticator {
        let app = Authenticator::new();
        self.enroll_app(user, &app);
        app
    }

    /// As [`PamHost::enroll`], and codes are mailed to an address as well.
    pub fn enroll_with_address(&self, user: &str, address: &str) -> Authenticator {
        let app = self.enroll(user);
        let words = [
            "user",
            "set",
            user,
            "--methods",
            "app,email",
            "--email",
            address,
        ];
        self.admin(&words).expect_success();
        app
    }

    /// Somebody with a hardware token and nothing else.
    pub fn enroll_token(&self, user: &str) -> HardwareToken {
        let words = ["user", "add", user, "--label", DEVICE, "--method", "token"];
        self.admin(&words).expect_success();
        let token = HardwareToken::new();
        token.add_to(self, user, "key ring");
        token
    }

    /// Ten new recovery codes of a user with a record, as they are printed.
    pub fn recovery_codes(&self, user: &str) -> Vec<String> {
        let printed = self.admin(&["recovery", "generate", user, "--yes"]);
        let printed = printed.expect_success().stdout;
        let codes: Vec<_> = printed
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .map(str::to_owned)
            .collect();
        assert_eq!(codes.len(), 10, "{printed}");
        codes
    }

    /// As [`PamHost::enroll`], with an app of any shape; `user` is new to the store.
    pub fn enroll_app(&self, user: &str, app: &Authenticator) {
        self.admin(&["user", "add", user, "--label", DEVICE])
            .expect_success();
        self.add_app(user, "phone", app);
    }

    /// A further app for a user with a record.
    pub fn add_app(&self, user: &str, label: &str, app: &Authenticator) {
        let (digits, period) = (app.digits.to_string(), app.period.to_string());
        let mut arguments = vec![
            "app",
            "enroll",
            user,
            "--label",
            label,
            "--secret",
            "-",
            "--no-confirm",
            "--qr",
            "none",
        ];
        arguments.extend([
            "--algorithm",
            &app.algorithm,
            "--digits",
            &digits,
            "--period",
            &period,
        ]);
        self.admin_with(&arguments, &format!("{}\n", app.secret))
            .expect_success();
    }

    /// Makes NSS know further people from now on, in `pam_host` and nowhere else.
    pub fn add_people(&mut self, names: impl IntoIterator<Item = String>) {
        self.people.extend(names);
        let mut passwd = fs::read_to_string("/etc/passwd").unwrap();
        for (uid, name) in (2001..).zip(&self.people) {
            writeln!(passwd, "{name}:x:{uid}:{uid}::/nonexistent:/bin/sh").unwrap();
        }
        self.write("passwd", &passwd);
    }

    /// What `mfa-admin state show` prints.
    pub fn state(&self, user: &str) -> String {
        self.admin(&["state", "show", user]).expect_success().stdout
    }

    /// The file of a user's record.
    pub fn record_path(&self, user: &str) -> PathBuf {
        self.path("lib/users").join(format!("{user}.toml"))
    }

    /// The file of a user's login state.
    pub fn state_path(&self, user: &str) -> PathBuf {
        self.path("lib/state").join(user)
    }

    /// Has one bit of a user's state flipped, as it is now: in one slot, then in the other; where that is.
    pub fn with_each_slot_damaged(&self, user: &str, mut look: impl FnMut(usize)) {
        let state = self.state_path(user);
        let sound = fs::read(&state).unwrap();
        for place in [100, 2148] {
            let mut damaged = sound.clone();
            damaged[place] ^= 1;
            overwrite(&state, &damaged);
            look(place);
        }
    }

    /// Replaces text in a record, as nobody should.
    pub fn edit_record(&self, user: &str, from: &str, to: &str) {
        let path = self.record_path(user);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in\n{text}");
        overwrite(&path, text.replacen(from, to, 1).as_bytes());
    }

    /// One login through `login`, each answer as text.
    pub fn login<Answer: AsRef<str>>(&self, user: &str, answers: &[Answer]) -> Seen {
        self.play(&login_script(user, answers))
    }

    /// Follows a script on service `login`.
    pub fn play(&self, script: &str) -> Seen {
        self.player().play(script)
    }

    /// Has `children` follow a script at once, all of which come to its end.
    #[track_caller]
    pub fn play_at_once(&self, children: usize, script: &str) -> Seen {
        let seen = self
            .player()
            .options(&["--parallel", &children.to_string()])
            .play(script);
        assert_eq!(seen.code, Some(0), "{seen}");
        seen
    }

    /// Settings for a run of `pam_host`.
    pub fn player(&self) -> Player<'_> {
        Player {
            host: self,
            service: "login".to_owned(),
            options: Vec::new(),
            environment: Vec::new(),
            before: String::new(),
            through: Vec::new(),
            killed_after: None,
        }
    }

    /// The files below the store, sorted, without the decoys of strangers.
    pub fn stored_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.path("lib"), "", &mut found);
        let is_decoy = |name: &str| {
            let number = name.strip_prefix("state/%decoy-").unwrap_or_default();
            number.len() == 2 && u8::from_str_radix(number, 16).is_ok()
        };
        found.retain(|name| !is_decoy(name));
        found.sort();
        found
    }
}

impl Default for PamHost {
    fn default() -> Self {
        Self::new()
    }
}

fn list(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

/// Writes in place: owner, mode and inode stay.
pub fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// The script of one login from [`RHOST`] on tty `ssh`.
pub fn login_script<Answer: AsRef<str>>(user: &str, answers: &[Answer]) -> String {
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| format!("answer text {}\n", answer.as_ref()))
        .collect();
    let answers = answers.concat();
    format!("user {user}\nset rhost {RHOST}\nset tty ssh\n{answers}authenticate\n")
}

/// How `pam_host` is to be run.
#[derive(Debug)]
#[must_use]
pub struct Player<'host> {
    host: &'host PamHost,
    service: String,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    before: String,
    through: Vec<String>,
    killed_after: Option<Duration>,
}

impl Player<'_> {
    /// Another service than `login`.
    pub fn service(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service);
        self
    }

    /// Options of `pam_host`, see there.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options
            .extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// The clock is moved by `offset`, as `+365d`; durations go on as they are.
    pub fn clock(mut self, offset: &str) -> Self {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketime.so.1"))
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("libfaketime is installed by tests/packages.sh");
        self.environment.extend([
            ("LD_PRELOAD".to_owned(), library),
            ("FAKETIME".to_owned(), offset.to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ]);
        self
    }

    /// Shell commands for the process that becomes `pam_host`, as `ulimit -f 1`.
    pub fn before(mut self, commands: &str) -> Self {
        self.before = format!("{commands}; ");
        self
    }

    /// A program that starts `pam_host`, as `strace -o FILE`; it ends as `pam_host` does.
    pub fn through(mut self, words: &[String]) -> Self {
        self.through.extend_from_slice(words);
        self
    }

    /// `kill -9` after a time; where that came first, [`Seen::code`] is none.
    pub fn killed_after(mut self, time: Duration) -> Self {
        self.killed_after = Some(time);
        self
    }

    /// Follows the script.
    pub fn play(self, script: &str) -> Seen {
        let log = Log::listen();
        let mut command = Command::new("timeout");
        match self.killed_after {
            Some(time) => {
                let seconds = time.as_secs_f64().to_string();
                command.args(["--foreground", "--signal=KILL", &seconds])
            }
            None => command.arg(PATIENCE),
        };
        let shell = format!("{}exec \"$@\"", self.before);
        command.args(["sh", "-c", &shell, "sh"]);
        // Inside, so that faketime does not reach `timeout`; by its path, since `before` may have changed PATH.
        command.arg("/usr/bin/env").args(
            self.environment
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        command
            .args(&self.through)
            .arg(built("pam_host"))
            .args(["--bind", &format!("{}=/dev/log", log.path.display())]);
        let passwd = self.host.path("passwd");
        if passwd.exists() {
            command.args(["--bind", &format!("{}=/etc/passwd", passwd.display())]);
        }
        command
            .args(&self.options)
            .arg(self.host.path("pam.d"))
            .arg(&self.service);
        let (code, stdout, stderr) = talk(&mut command, script);
        let lines = stdout.lines().map(str::to_owned).collect();
        // `timeout` says 124 even after it has killed.
        let was_killed = self.killed_after.is_some() && matches!(code, Some(124 | 137));
        let code = if was_killed { None } else { code };
        let seen = Seen {
            code,
            lines,
            stderr,
            log: log.stop(),
        };
        assert_ne!(code, Some(124), "it hangs\n{seen}");
        assert_ne!(code, Some(2), "pam_host was not understood\n{seen}");
        seen
    }
}

/// Runs a program to its end, with `input` on its standard input: exit code, standard output, standard error.
fn talk(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that does not read its input is not at fault here.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A socket for one run's /dev/log, and a thread that empties it: a full one would block whoever logs.
struct Log {
    path: PathBuf,
    reader: thread::JoinHandle<Vec<Event>>,
}

/// What the harness itself sends: whatever was logged before it has been read when this comes.
const END_OF_LOG: &[u8] = b"end of log";

impl Log {
    fn listen() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let path = PathBuf::from(format!(
            "/run/pam_host-log-{}",
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let socket = UnixDatagram::bind(&path).unwrap();
        // Callers that are not root log as well.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let reader = thread::spawn(move || {
            let mut events = Vec::new();
            let mut datagram = vec![0; 65_536];
            loop {
                let length = socket.recv(&mut datagram).unwrap();
                if &datagram[..length] == END_OF_LOG {
                    return events;
                }
                events.push(Event::from_datagram(&datagram[..length]));
            }
        });
        Self { path, reader }
    }

    fn stop(self) -> Vec<Event> {
        UnixDatagram::unbound()
            .unwrap()
            .send_to(END_OF_LOG, &self.path)
            .unwrap();
        let events = self.reader.join().unwrap();
        fs::remove_file(&self.path).unwrap();
        events
    }
}

/// One line that reached /dev/log.
#[derive(Debug, Clone)]
pub struct Event {
    /// Facility and severity: [`INFO`], [`NOTICE`], [`ERR`], [`ALERT`].
    pub priority: u32,
    /// The host's identity, `pam_host`.
    pub identity: String,
    /// Everything after `pam_host[1234]: `.
    pub text: String,
}

impl Event {
    /// RFC 3164 as glibc writes it: `<86>Nov 20 10:00:00 pam_host[1234]: text`.
    fn from_datagram(datagram: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(datagram).into_owned();
        let (priority, rest) = raw
            .trim_start_matches('<')
            .split_once('>')
            .unwrap_or(("0", &raw));
        let (head, text) = rest.split_once("]: ").unwrap_or(("", rest));
        let identity = head
            .split('[')
            .next()
            .unwrap_or_default()
            .rsplit(' ')
            .next()
            .unwrap_or_default();
        Self {
            priority: priority.parse().unwrap_or(0),
            identity: identity.to_owned(),
            text: text.to_owned(),
        }
    }

    /// `MFA-2101`, or nothing for a line that is no audit line.
    pub fn id(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once(" mfa v=1 id=")?;
        rest.split(' ').next()
    }

    /// The value of a field, without its quotes; `<absent>` where the line lacks it.
    pub fn get(&self, field: &str) -> &str {
        let Some(at) = self.text.find(&format!(" {field}=")) else {
            return "<absent>";
        };
        let value = &self.text[at + field.len() + 2..];
        match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => value.split(' ').next().unwrap_or_default(),
        }
    }
}

/// What was seen of a run of `pam_host`.
#[derive(Debug)]
pub struct Seen {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its lines.
    pub lines: Vec<String>,
    /// Its complaints.
    pub stderr: String,
    /// What reached /dev/log meanwhile, in order.
    pub log: Vec<Event>,
}

impl Seen {
    /// The results of all hooks, in order.
    pub fn results(&self) -> Vec<&str> {
        self.lines
            .iter()
            .filter(|line| line.contains("RESULT "))
            .map(|line| line.rsplit(' ').next().unwrap())
            .collect()
    }

    /// The result of the only hook; the host must have lived on, every prompt answered and no answer left.
    #[track_caller]
    pub fn result(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self}");
        self.sole_result()
    }

    /// The result of the only hook, answers used up or not. The host must have lived on.
    #[track_caller]
    pub fn sole_result(&self) -> &str {
        assert!(matches!(self.code, Some(0 | 3 | 4)), "{self}");
        let results = self.results();
        assert_eq!(results.len(), 1, "{self}");
        results[0]
    }

    /// How many hooks ended with `result`.
    pub fn count(&self, result: &str) -> usize {
        self.results()
            .into_iter()
            .filter(|&each| each == result)
            .count()
    }

    /// The prompts, as they were shown.
    pub fn prompts(&self) -> Vec<String> {
        let prompts = self.lines.iter().filter_map(|line| {
            line.split_once("PROMPT echo_off ")
                .or(line.split_once("PROMPT echo_on "))
        });
        prompts
            .map(|(_, quoted)| quoted.trim_matches('"').to_owned())
            .collect()
    }

    /// Lines that begin with `word`.
    pub fn starting(&self, word: &str) -> Vec<&str> {
        self.lines
            .iter()
            .filter(|line| line.starts_with(word))
            .map(String::as_str)
            .collect()
    }

    /// The ids of the audit lines, in order.
    pub fn ids(&self) -> Vec<&str> {
        self.log.iter().filter_map(Event::id).collect()
    }

    /// The audit lines with this id.
    pub fn events(&self, id: &str) -> Vec<&Event> {
        self.log
            .iter()
            .filter(|event| event.id() == Some(id))
            .collect()
    }

    /// The audit line with this id, which must be one.
    #[track_caller]
    pub fn only(&self, id: &str) -> &Event {
        let events = self.events(id);
        assert_eq!(events.len(), 1, "one line {id} is expected\n{self}");
        events[0]
    }

    /// The longest delay that pam_fail_delay asked for, in microseconds (libpam varies it by up to a half).
    pub fn delay(&self) -> u64 {
        self.starting("DELAY")
            .iter()
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .max()
            .unwrap_or(0)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "--- pam_host, exit {:?}", self.code)?;
        self.lines
            .iter()
            .try_for_each(|line| writeln!(formatter, "{line}"))?;
        writeln!(
            formatter,
            "--- complaints\n{}\n--- log",
            self.stderr.trim_end()
        )?;
        self.log
            .iter()
            .try_for_each(|event| writeln!(formatter, "<{}> {}", event.priority, event.text))
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    what: String,
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Itself, when the exit code is 0.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "most callers only want the check"
    )]
    pub fn expect_success(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "{}\n{}{}",
            self.what,
            self.stdout,
            self.stderr
        );
        self
    }
}
