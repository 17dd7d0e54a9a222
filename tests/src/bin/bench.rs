//! `make bench`: medians of logins through libpam, ours beside Debian's peers, and the targets of DESIGN §8 with a verdict each.
//!
//! Runs inside `tests/host/enter` (`tests/bench/run.sh` does that), store and code files on a real disk below target/bench,
//! /dev/log drained for all alike, everything interleaved in blocks. `bench QUICK` does a tenth of it, to try it out;
//! `bench PROMPTS` looks at prompts and delivery alone.
//!
//! Everybody has the same secret, so one code of oathtool serves a whole block. Before each login, outside of the timed part, the
//! person's state is written back in place: nobody is throttled and no code is a replay, with ten users as with 100 000. The
//! records that nobody logs in with are copies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark that meets something unexpected ends at once, and a median needs no more than 52 bits"
)]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Instant;

use mfa_tests::pam_host::{PamHost, built};
use mfa_tests::{Authenticator, install_courier, module_path, target};

/// Logins of one kind that follow each other before another kind's turn.
const BLOCK: usize = 20;
/// Blocks of each kind; the first tenth warms up.
const BLOCKS: usize = 110;
/// People who log in; the same in every population but the smallest, where it is each twentieth of them.
const PEOPLE: usize = 200;
/// People of each kind of refusal.
const OF_A_KIND: usize = 10;
/// Fresh processes.
const PROCESSES: usize = 200;
/// Prompts with and without delivery.
const PROMPTS: usize = 500;
const TABLES: &str = "[prompt]\ntries = 1\nfail_delay = \"0s\"\n";

fn main() {
    let quick = std::env::args().any(|argument| argument == "QUICK");
    let blocks = if quick { BLOCKS / 10 } else { BLOCKS };
    drain_log();
    if std::env::args().any(|argument| argument == "PROMPTS") {
        let bench = Bench::prepare(2_000);
        report_prompts(&bench.prompts(PROMPTS));
        let _ = fs::remove_dir_all(&bench.folder);
        return;
    }
    let bench = Bench::prepare(if quick { 5_000 } else { 100_000 });
    let (mut kinds, mut refusals) = (bench.kinds(), bench.refusals());
    bench.run(&mut kinds, blocks);
    bench.run_shuffled(&mut refusals, blocks * BLOCK);
    let processes = bench.processes(if quick { PROCESSES / 10 } else { PROCESSES });
    let prompts = bench.prompts(if quick { PROMPTS / 10 } else { PROMPTS });
    report(&bench, &kinds, &refusals, &processes);
    report_prompts(&prompts);
    let _ = fs::remove_dir_all(&bench.folder);
}

/// Reads and forgets what everybody logs, so that nobody waits for a full socket.
fn drain_log() {
    let _ = fs::remove_file("/dev/log");
    let socket = UnixDatagram::bind("/dev/log").unwrap();
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
    thread::spawn(move || {
        let mut line = [0; 8192];
        while socket.recv(&mut line).is_ok() {}
    });
}

/// One row of the table: how its logins are made, and what they took.
struct Kind {
    name: String,
    service: String,
    users: Vec<String>,
    right: bool,
    /// What is written back before each login: copy and file, with `{}` for the user.
    restored: Option<(String, String)>,
    accepted: bool,
    /// Once per block instead of a whole block.
    slow: bool,
    authenticate: Vec<u64>,
    login: Vec<u64>,
}

impl Kind {
    fn new(name: &str, service: &str, users: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            service: service.to_owned(),
            users: users.to_vec(),
            right: true,
            restored: None,
            accepted: true,
            slow: false,
            authenticate: Vec::new(),
            login: Vec::new(),
        }
    }

    fn restored(mut self, saved: &Path, file: &Path) -> Self {
        self.restored = Some((saved.display().to_string(), file.display().to_string()));
        self
    }

    fn wrong(mut self) -> Self {
        self.right = false;
        self.accepted = false;
        self
    }

    fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

struct Bench {
    folder: PathBuf,
    app: Authenticator,
    people: Vec<String>,
    many: usize,
    /// Ours with 10, 1 000 and many users.
    hosts: Vec<(usize, PamHost)>,
}

/// Kinds of refusals whose time must not tell them apart.
const REFUSALS: [&str; 5] = ["enrolled", "norecord", "suspended", "locked", "elsewhere"];

impl Bench {
    fn prepare(many: usize) -> Self {
        let folder = target().join("bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("pam.d")).unwrap();
        let people: Vec<_> = (0..PEOPLE).map(|number| format!("u{number:06}")).collect();
        let bench = Self {
            app: Authenticator::new(),
            people,
            many,
            hosts: Vec::new(),
            folder,
        };
        bench.write_passwd();
        bench.prepare_peers();
        let hosts = bench.prepare_hosts();
        // What was written until now is not to be waited for by logins.
        Command::new("sync").status().unwrap();
        Self { hosts, ..bench }
    }

    /// The people of the benchmark come first, each population spread over them: NSS costs all rows the same.
    fn write_passwd(&self) {
        let system = fs::read_to_string("/etc/passwd").unwrap();
        let mut passwd = String::new();
        let refused = REFUSALS
            .iter()
            .flat_map(|kind| (0..OF_A_KIND).map(move |number| format!("{kind}{number}")));
        let mut all: Vec<_> = self.people.iter().cloned().chain(refused).collect();
        // Spread: neither kind of people is always found first.
        all.sort_by_key(|name| name.bytes().rev().collect::<Vec<_>>());
        for (uid, name) in (10_000..).zip(all) {
            writeln!(passwd, "{name}:x:{uid}:{uid}::/nonexistent:/bin/sh").unwrap();
        }
        fs::write("/etc/passwd", passwd + &system).unwrap();
    }

    fn service(&self, name: &str, line: &str) {
        fs::write(
            self.folder.join("pam.d").join(name),
            format!("auth required {line}\n"),
        )
        .unwrap();
    }

    fn prepare_peers(&self) {
        let folder = self.folder.display();
        let promptok = built("pam_promptok.so").display().to_string();
        self.service("other", "pam_deny.so");
        self.service("permit", "pam_permit.so");
        self.service("promptok", &promptok);
        self.service("promptok-log", &format!("{promptok} log"));
        self.service(
            "google",
            &format!("pam_google_authenticator.so secret={folder}/google/${{USER}} user=root"),
        );
        fs::create_dir_all(self.folder.join("google-saved")).unwrap();
        let content = format!(
            "{}\n\" RATE_LIMIT 3 30\n\" WINDOW_SIZE 3\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n",
            self.app.secret
        );
        for name in &self.people {
            write_private(&self.folder.join("google-saved").join(name), &content);
        }
        copy(
            &self.folder.join("google-saved"),
            &self.folder.join("google"),
        );
        let secret = hex(&self.app.secret);
        for (service, users) in [("oath-10", 10), ("oath-many", self.many)] {
            self.service(
                service,
                &format!("pam_oath.so usersfile={folder}/{service} window=1"),
            );
            let mut text = String::new();
            for name in spread(&self.people, users) {
                writeln!(text, "HOTP/T30 {name} - {secret}").unwrap();
            }
            for number in PEOPLE..users {
                writeln!(text, "HOTP/T30 u{number:06} - {secret}").unwrap();
            }
            write_private(&self.folder.join(service), &text);
            write_private(&self.folder.join(format!("{service}-saved")), &text);
        }
    }

    fn prepare_hosts(&self) -> Vec<(usize, PamHost)> {
        let base = PamHost::below(self.folder.join("base"), TABLES);
        for name in &self.people {
            base.enroll_app(name, &self.app);
        }
        let mut hosts = Vec::new();
        for users in [10, 1_000, self.many] {
            let host = base.copy_below(self.folder.join(format!("ours-{users}")), TABLES);
            let kept = spread(&self.people, users);
            for name in self.people.iter().filter(|name| !kept.contains(name)) {
                fs::remove_file(host.record_path(name)).unwrap();
                fs::remove_file(host.state_path(name)).unwrap();
            }
            fill_up(&host, &self.people[0], users);
            if users == 1_000 {
                self.add_refusals(&host);
            }
            copy(&host.path("lib/state"), &host.path("saved-all"));
            // A copy of the login states of those who log in; the others' are not needed.
            fs::create_dir_all(host.path("saved")).unwrap();
            let refused = REFUSALS
                .iter()
                .flat_map(|kind| (0..OF_A_KIND).map(move |number| format!("{kind}{number}")));
            for name in kept.into_iter().chain(refused) {
                let _ = fs::rename(
                    host.path("saved-all").join(&name),
                    host.path("saved").join(&name),
                );
            }
            fs::remove_dir_all(host.path("saved-all")).unwrap();
            let line = host.line("auth", "required", "");
            self.service(
                &format!("ours-{users}"),
                line.trim().trim_start_matches("auth required"),
            );
            hosts.push((users, host));
        }
        hosts
    }

    fn add_refusals(&self, host: &PamHost) {
        for kind in REFUSALS {
            for number in 0..OF_A_KIND {
                let name = format!("{kind}{number}");
                if kind != "norecord" {
                    host.enroll_app(&name, &self.app);
                }
                match kind {
                    "norecord" => self.find_decoy(host, &name),
                    "suspended" => {
                        let command = ["user", "suspend", &name, "--reason", "left"];
                        host.admin(&command).expect_success();
                    }
                    "elsewhere" => {
                        let command = ["device", "revoke", &name, "here", "--yes"];
                        host.admin(&command).expect_success();
                    }
                    "locked" => {
                        host.configure(&format!("{TABLES}[lockout]\nafter = 1\n"));
                        host.login(&name, &[self.app.wrong_code()]);
                        host.configure(TABLES);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Which decoy a stranger's answers are charged to: the one that a login has just written. Linked as
    /// `decoys/NAME`, so that the very file that is about to be written is written back before, as for anybody else.
    fn find_decoy(&self, host: &PamHost, name: &str) {
        host.login(name, &[self.app.wrong_code()]);
        let states = fs::read_dir(host.path("lib/state"))
            .unwrap()
            .map(|entry| entry.unwrap());
        let newest = states
            .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap())
            .unwrap();
        fs::create_dir_all(host.path("decoys")).unwrap();
        symlink(newest.path(), host.path("decoys").join(name)).unwrap();
        fs::copy(
            newest.path(),
            host.path("decoys").join(format!("{name}-saved")),
        )
        .unwrap();
    }

    fn kinds(&self) -> Vec<Kind> {
        let everybody = &self.people;
        let google = |kind: Kind| {
            kind.restored(
                &self.folder.join("google-saved/{}"),
                &self.folder.join("google/{}"),
            )
        };
        let oath = |kind: Kind| {
            kind.restored(
                &self.folder.join("oath-10-saved"),
                &self.folder.join("oath-10"),
            )
        };
        let few = spread(everybody, 10);
        let mut kinds = vec![
            Kind::new("floor", "floor", everybody),
            Kind::new("pam_permit", "permit", everybody),
            Kind::new("promptok", "promptok", everybody),
            Kind::new("promptok, one line logged", "promptok-log", everybody),
        ];
        for (users, host) in &self.hosts {
            let service = format!("ours-{users}");
            let ours =
                |kind: Kind| kind.restored(&host.path("saved/{}"), &host.path("lib/state/{}"));
            let people = spread(everybody, *users);
            kinds.push(ours(Kind::new(
                &format!("pam_mfa, accepted, {users} users"),
                &service,
                &people,
            )));
            kinds.push(ours(
                Kind::new(&format!("pam_mfa, wrong, {users} users"), &service, &people).wrong(),
            ));
        }
        kinds.push(google(Kind::new("google, accepted", "google", everybody)));
        kinds.push(google(
            Kind::new("google, wrong", "google", everybody).wrong(),
        ));
        kinds.push(oath(Kind::new("oath, accepted, 10 users", "oath-10", &few)));
        kinds.push(oath(
            Kind::new("oath, wrong, 10 users", "oath-10", &few).wrong(),
        ));
        kinds.push(
            Kind::new(
                &format!("oath, accepted, {} users", self.many),
                "oath-many",
                everybody,
            )
            .slow(),
        );
        kinds
    }

    /// Wrong answers of people of every kind, on the host with 1 000 users.
    fn refusals(&self) -> Vec<Kind> {
        let (_, host) = &self.hosts[1];
        let kind = |name: &str| {
            let users: Vec<_> = (0..OF_A_KIND)
                .map(|number| format!("{name}{number}"))
                .collect();
            let kind = Kind::new(name, "ours-1000", &users).wrong();
            if name == "norecord" {
                kind.restored(&host.path("decoys/{}-saved"), &host.path("decoys/{}"))
            } else {
                kind.restored(&host.path("saved/{}"), &host.path("lib/state/{}"))
            }
        };
        REFUSALS.map(kind).into()
    }

    /// In blocks, so that each kind finds the caches as its own last login left them.
    fn run(&self, kinds: &mut [Kind], blocks: usize) {
        let mut stopwatch = Stopwatch::start(&self.folder.join("pam.d"));
        let wrong = self.app.wrong_code();
        for block in 0..blocks {
            for kind in &mut *kinds {
                let code = if kind.right {
                    self.app.code_of(self.app.step())
                } else {
                    wrong.clone()
                };
                for turn in 0..if kind.slow { 1 } else { BLOCK } {
                    let turn = if kind.slow {
                        block
                    } else {
                        block * BLOCK + turn
                    };
                    self.time_one(&mut stopwatch, kind, turn, &code, block >= blocks / 11);
                }
            }
        }
    }

    /// One login of each kind in turn, in an order that changes: what came before is no part of the difference.
    fn run_shuffled(&self, kinds: &mut [Kind], turns: usize) {
        let mut stopwatch = Stopwatch::start(&self.folder.join("pam.d"));
        let wrong = self.app.wrong_code();
        let mut random: u64 = 1;
        for turn in 0..turns {
            for last in (1..kinds.len()).rev() {
                // A multiplicative generator: shuffling needs no better one.
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                kinds.swap(last, usize::try_from(random >> 33).unwrap() % (last + 1));
            }
            for kind in &mut *kinds {
                self.time_one(&mut stopwatch, kind, turn, &wrong, turn >= turns / 11);
            }
        }
    }

    fn time_one(
        &self,
        stopwatch: &mut Stopwatch,
        kind: &mut Kind,
        turn: usize,
        code: &str,
        counts: bool,
    ) {
        let user = &kind.users[turn % kind.users.len()];
        let command = if kind.service == "floor" {
            format!("floor {}", self.folder.join("floor").display())
        } else {
            let restored = kind
                .restored
                .as_ref()
                .map_or(String::new(), |(saved, file)| {
                    format!(
                        " {} {}",
                        saved.replace("{}", user),
                        file.replace("{}", user)
                    )
                });
            format!("login {} {user} {code}{restored}", kind.service)
        };
        let (result, authenticate, login) = stopwatch.time(&command);
        assert_eq!(
            result == 0,
            kind.accepted,
            "{}: PAM returned {result} to {user}",
            kind.name
        );
        if counts {
            kind.authenticate.push(authenticate);
            kind.login.push(login);
        }
    }

    /// Whole processes with one login each, and the first dlopen, interleaved.
    fn processes(&self, count: usize) -> Vec<(String, Vec<u64>)> {
        let program = built("pam_bench");
        let (_, host) = &self.hosts[0];
        let user = &spread(&self.people, 10)[0];
        let modules = [
            ("pam_mfa", module_path()),
            (
                "google",
                security_folder().join("pam_google_authenticator.so"),
            ),
            ("oath", security_folder().join("pam_oath.so")),
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
                    self.folder.join("google-saved").join(user),
                    self.folder.join("google").join(user),
                )),
            ),
            (
                "oath",
                "oath-10",
                Some((
                    self.folder.join("oath-10-saved"),
                    self.folder.join("oath-10"),
                )),
            ),
        ];
        let mut times: Vec<(String, Vec<u64>)> = Vec::new();
        let mut record = |name: String, nanoseconds: u64| match times
            .iter_mut()
            .find(|(known, _)| *known == name)
        {
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
            let code = self.app.code_of(self.app.step());
            for (name, service, restored) in &services {
                if let Some((saved, file)) = restored {
                    let mut open = fs::OpenOptions::new().write(true).open(file).unwrap();
                    open.write_all(&fs::read(saved).unwrap()).unwrap();
                    open.set_len(fs::metadata(saved).unwrap().len()).unwrap();
                    open.sync_data().unwrap();
                }
                let mut command = Command::new(&program);
                command.arg("--once").arg(self.folder.join("pam.d")).args([
                    service,
                    user.as_str(),
                    &code,
                ]);
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
}

/// `count` of the people, evenly spread; all of them where there are fewer.
fn spread(people: &[String], count: usize) -> Vec<String> {
    let count = count.min(people.len());
    people
        .iter()
        .step_by(people.len() / count)
        .take(count)
        .cloned()
        .collect()
}

/// Records and states of the shape of `model`'s, until there are `users`. Nobody logs in with them: their secrets are bound to `model`.
fn fill_up(host: &PamHost, model: &str, users: usize) {
    let record = fs::read_to_string(host.record_path(model)).unwrap();
    let state = fs::read(host.state_path(model)).unwrap();
    for number in PEOPLE..users {
        let name = format!("u{number:06}");
        write_private(&host.record_path(&name), &record.replacen(model, &name, 1));
        fs::write(host.state_path(&name), &state).unwrap();
        fs::set_permissions(host.state_path(&name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status()
            .unwrap()
            .success()
    );
}

fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn security_folder() -> PathBuf {
    let folders = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("security"));
    folders
        .into_iter()
        .find(|folder| folder.join("pam_permit.so").exists())
        .unwrap()
}

/// How soon prompts come on a host that delivers, or does not.
struct Prompts {
    name: &'static str,
    /// After the beginning of `pam_authenticate`, nanoseconds.
    first: Vec<u64>,
    /// After Enter.
    second: Vec<u64>,
}

impl Bench {
    /// The same person on hosts without delivery and with a mail server that takes connections and never says a word.
    fn prompts(&self, count: usize) -> (Vec<Prompts>, Vec<ToldApart>) {
        install_courier();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        thread::spawn(move || {
            // Kept open until the other side has gone.
            let mut all: VecDeque<_> = VecDeque::new();
            for stream in server.incoming() {
                all.push_back(stream);
                if all.len() > 64 {
                    all.pop_front();
                }
            }
        });
        let mail = format!(
            "[prompt]\nfail_delay = \"0s\"\nFIRST[code]\nmax_sends = 1000\n[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@example.com\"\n"
        );
        let hosts = [
            ("no delivery", "[prompt]\nfail_delay = \"0s\"\n".to_owned()),
            ("a silent mail server", mail.replace("FIRST", "")),
            (
                "the same, a code sent at once",
                mail.replace("FIRST", "first = \"send\"\n"),
            ),
        ];
        let mut seen = Vec::new();
        let mut watches: Vec<Stopwatch> = Vec::new();
        let mut told_apart = Vec::new();
        for (number, (name, tables)) in hosts.iter().enumerate() {
            let folder = self.folder.join(format!("prompts{number}"));
            let host = PamHost::below(&folder, tables);
            host.enroll_app("alice", &self.app);
            let address = [
                "user",
                "set",
                "alice",
                "--methods",
                "app,email",
                "--email",
                "alice@example.com",
            ];
            host.admin(&address).expect_success();
            watches.push(Stopwatch::start(&folder.join("pam.d")));
            seen.push(Prompts {
                name,
                first: Vec::new(),
                second: Vec::new(),
            });
            if number == 1 {
                told_apart = told_apart_by_time(&host, &mut watches[number], count);
            }
        }
        for turn in 0..count + count / 10 {
            for (watch, seen) in watches.iter_mut().zip(&mut seen) {
                let (_, first, second) = watch.time("prompt login alice");
                // The first tenth warms up.
                if turn >= count / 10 {
                    seen.first.push(first);
                    seen.second.push(second);
                }
            }
        }
        (seen, told_apart)
    }
}

/// What the time of a host that delivers tells about a person.
struct ToldApart {
    name: &'static str,
    /// From Enter to the next prompt, nanoseconds.
    enter: Vec<u64>,
    /// From Enter, pressed again when a courier has had time to begin, to the next prompt.
    again: Vec<u64>,
    /// A login of three wrong codes.
    wrong: Vec<u64>,
}

/// Somebody with an address, with an app alone, and without a record.
fn told_apart_by_time(host: &PamHost, watch: &mut Stopwatch, count: usize) -> Vec<ToldApart> {
    host.enroll_app("bob", &Authenticator::new());
    let mut all: Vec<_> = ["alice", "bob", "carol"]
        .map(|name| ToldApart {
            name,
            enter: Vec::new(),
            again: Vec::new(),
            wrong: Vec::new(),
        })
        .into();
    for name in ["alice", "bob"] {
        copy(
            &host.state_path(name),
            &host.path(&format!("state-of-{name}")),
        );
    }
    for turn in 0..count + count / 10 {
        // Another order each time.
        all.rotate_left(1);
        for person in &mut all {
            let name = person.name;
            let restored = if name == "carol" {
                String::new()
            } else {
                let saved = host.path(&format!("state-of-{name}"));
                format!(" {} {}", saved.display(), host.state_path(name).display())
            };
            let (_, _, enter) = watch.time(&format!("prompt login {name}"));
            let (_, _, again) = watch.time(&format!("prompt login {name} 60"));
            let (_, wrong, _) = watch.time(&format!("login login {name} 000000{restored}"));
            // So that there is always room for a notice.
            for entry in fs::read_dir(host.path("spool/new")).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            if turn >= count / 10 {
                person.enter.push(enter);
                person.again.push(again);
                person.wrong.push(wrong);
            }
        }
    }
    all.sort_by_key(|person| person.name);
    all
}

fn report_prompts((all, told_apart): &(Vec<Prompts>, Vec<ToldApart>)) {
    println!(
        "\nprompts, medians in µs{:30}{:>14} {:>14} {:>7}",
        "", "the first", "after Enter", "logins"
    );
    for prompts in all {
        println!(
            "{:51}{:14.1} {:14.1} {:7}",
            prompts.name,
            median(&prompts.first),
            median(&prompts.second),
            prompts.first.len()
        );
    }
    let [without, with, at_once] = &all[..] else {
        return;
    };
    let later = |one: &[u64], other: &[u64]| (median(one) - median(other)) / 1000.0;
    verdict(
        "Enter, a silent server: later than without delivery, ms",
        later(&with.second, &without.second),
        5.0,
        "",
    );
    verdict(
        "the first prompt, a code sent at once: later, ms",
        later(&at_once.first, &without.first),
        5.0,
        "",
    );
    println!(
        "\nhow well the time tells apart: alice has an address, bob an app alone, carol no record (AUC), medians in µs"
    );
    let mut worst: f64 = 0.5;
    for (at, one) in told_apart.iter().enumerate() {
        for other in &told_apart[at + 1..] {
            let mut line = format!("  {:6} {:6}", one.name, other.name);
            for (what, one, other) in [
                ("Enter", &one.enter, &other.enter),
                ("and again", &one.again, &other.again),
                ("three wrong codes", &one.wrong, &other.wrong),
            ] {
                let area = auc(one, other);
                worst = worst.max(area);
                let _ = write!(
                    line,
                    "  {what} {area:.3} ({:.0}, {:.0})",
                    median(one),
                    median(other)
                );
            }
            println!("{line}");
        }
    }
    verdict("worst pair on a host that delivers", worst, 0.6, "");
}

/// `pam_bench`, and the pipes to it.
struct Stopwatch {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Stopwatch {
    fn start(confdir: &Path) -> Self {
        let mut child = Command::new(built("pam_bench"))
            .arg(confdir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            commands: child.stdin.take(),
            answers,
            child,
        }
    }

    /// PAM's result, nanoseconds of `pam_authenticate` and of the whole login.
    fn time(&mut self, command: &str) -> (i32, u64, u64) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
        let mut next = || {
            words
                .next()
                .unwrap_or_else(|| panic!("pam_bench has ended at: {command}"))
        };
        let result: u64 = next();
        (i32::try_from(result).unwrap(), next(), next())
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}

/// In microseconds.
fn median(nanoseconds: &[u64]) -> f64 {
    let mut sorted = nanoseconds.to_vec();
    sorted.sort_unstable();
    sorted
        .get(sorted.len() / 2)
        .map_or(f64::NAN, |&middle| middle as f64 / 1000.0)
}

/// How well one login's time tells two kinds apart: 0.5 not at all, 1 always.
fn auc(one: &[u64], other: &[u64]) -> f64 {
    let mut sorted = other.to_vec();
    sorted.sort_unstable();
    let below: usize = one
        .iter()
        .map(|value| {
            sorted.partition_point(|each| each < value)
                + sorted.partition_point(|each| each <= value)
        })
        .sum();
    let share = below as f64 / 2.0 / one.len() as f64 / other.len() as f64;
    share.max(1.0 - share)
}

fn report(bench: &Bench, kinds: &[Kind], refusals: &[Kind], processes: &[(String, Vec<u64>)]) {
    println!(
        "medians in µs{:38}{:>16} {:>14} {:>7}",
        "", "pam_authenticate", "whole login", "logins"
    );
    for kind in kinds {
        let (authenticate, login) = (median(&kind.authenticate), median(&kind.login));
        println!(
            "{:51}{authenticate:16.1} {login:14.1} {:7}",
            kind.name,
            kind.login.len()
        );
    }
    for (name, times) in processes {
        println!(
            "{name:51}{:16} {:14.1} {:7}",
            "",
            median(times),
            times.len()
        );
    }

    let find = |name: &str| kinds.iter().find(|kind| kind.name == name).unwrap();
    let authenticate = |name: &str| median(&find(name).authenticate);
    let whole = |name: &str| median(&find(name).login);
    let process =
        |name: &str| median(&processes.iter().find(|(known, _)| known == name).unwrap().1);
    let few = "pam_mfa, accepted, 10 users";
    let many = format!("pam_mfa, accepted, {} users", bench.many);

    println!("\ntargets (DESIGN §8)");
    let floor = authenticate("floor");
    for (what, time) in [
        ("pam_authenticate", &authenticate as &dyn Fn(&str) -> f64),
        ("whole login", &whole),
    ] {
        for control in ["promptok", "promptok, one line logged"] {
            let ratio = time(few) / (time(control) + floor);
            verdict(
                &format!("accepted ÷ ({control} + floor), {what}"),
                ratio,
                1.6,
                "then 1.3",
            );
        }
        let peers = time("google, accepted").min(time("oath, accepted, 10 users"));
        verdict(
            &format!("accepted ÷ the faster peer, {what}"),
            time(few) / peers,
            1.0,
            "",
        );
        let ratio = time("pam_mfa, wrong, 10 users") / time(few);
        verdict(
            &format!("wrong ÷ accepted, {what}"),
            ratio.max(1.0 / ratio),
            1.1,
            "either way round",
        );
        verdict(
            &format!("{} ÷ 10 users, {what}", bench.many),
            time(&many) / time(few),
            1.1,
            "",
        );
    }
    verdict("first dlopen, µs", process("dlopen pam_mfa"), 100.0, "");
    let size = fs::metadata(module_path()).unwrap().len() as f64 / 1000.0;
    verdict("size of the .so, kB", size, 1100.0, "then 800");
    verdict(
        "whole process ÷ pam_permit's",
        process("process pam_mfa") / process("process pam_permit"),
        1.35,
        "",
    );

    println!(
        "\nhow well the time of one refusal tells kinds apart (AUC; 0.5: not at all), median of pam_authenticate in µs"
    );
    let mut worst: f64 = 0.5;
    let mut refusals: Vec<_> = refusals.iter().collect();
    refusals.sort_by(|one, other| one.name.cmp(&other.name));
    for (at, one) in refusals.iter().enumerate() {
        let areas: Vec<_> = refusals[at + 1..]
            .iter()
            .map(|other| (&other.name, auc(&one.authenticate, &other.authenticate)))
            .collect();
        worst = areas
            .iter()
            .fold(worst, |worst, (_, area)| worst.max(*area));
        let areas: Vec<_> = areas
            .iter()
            .map(|(name, area)| format!("{name} {area:.3}"))
            .collect();
        println!(
            "  {:10} {:8.1}   {}",
            one.name,
            median(&one.authenticate),
            areas.join("  ")
        );
    }
    verdict("worst pair", worst, 0.6, "");
}

fn verdict(what: &str, value: f64, most: f64, remark: &str) {
    let verdict = if value <= most { "ok" } else { "MISSED" };
    println!("  {what:66} {value:8.2}  at most {most:<7} {verdict:6} {remark}");
}
