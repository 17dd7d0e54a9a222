//! Whatever the environment of su, sudo or another program says, a login is the same: what is shown and logged, who gets in,
//! what the courier is handed, and which files are opened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mfa_tests::pam_host::{AUTH_ERR, PamHost, SUCCESS, Seen, built, login_script, overwrite};
use mfa_tests::proof::tell;
use mfa_tests::{Authenticator, Host, Script, Terminal, on_a_bare_host, on_a_test_host, stacks};

const ASK: &str = "Verification code (Enter to have one sent): ";
const ASK_AGAIN: &str = "Verification code (Enter for another): ";

/// Where all that the environments name lies: whoever opens something here has listened to them.
const TRAP: &str = "/run/hostile";

/// What callers may come up with, a variable or several that belong together.
const ENVIRONMENTS: [&[&str]; 31] = [
    &["TZ=:/run/hostile/tz"],
    &["TZ=/run/hostile/tz"],
    &["TZ=:/dev/zero"],
    &["TZ=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+167:59:59,M99.99.99"],
    &["TZ=Pacific/Kiritimati", "TZDIR=/run/hostile"],
    &["LD_PRELOAD=/run/hostile/spy.so"],
    &["LD_LIBRARY_PATH=/run/hostile"],
    &["LD_AUDIT=/run/hostile/spy.so"],
    &["LD_DEBUG=all", "LD_DEBUG_OUTPUT=/run/hostile/debug"],
    &[
        "LD_BIND_NOW=1",
        "LD_PROFILE=pam_mfa.so",
        "LD_PROFILE_OUTPUT=/run/hostile",
    ],
    &[
        "RUST_BACKTRACE=full",
        "RUST_LIB_BACKTRACE=full",
        "RUST_LOG=trace",
    ],
    &["RUST_MIN_STACK=99999999999999"],
    &[
        "HOME=/run/hostile/home",
        "XDG_CONFIG_HOME=/run/hostile/home",
    ],
    &[
        "LANG=xx_YY.UTF-99",
        "LC_ALL=../../../run/hostile/locale",
        "LANGUAGE=../../run/hostile",
    ],
    &["LOCPATH=/run/hostile", "LC_ALL=de_DE.UTF-8"],
    &[
        "SSL_CERT_FILE=/run/hostile/ca.pem",
        "SSL_CERT_DIR=/run/hostile",
    ],
    &[
        "http_proxy=http://127.0.0.1:1",
        "https_proxy=http://127.0.0.1:1",
        "ALL_PROXY=socks5://127.0.0.1:1",
        "NO_PROXY=",
    ],
    &[
        "TMPDIR=/run/hostile",
        "TMP=/run/hostile",
        "TEMP=/run/hostile",
    ],
    &["PATH=/run/hostile/bin"],
    &[
        "MALLOC_CHECK_=3",
        "MALLOC_PERTURB_=165",
        "MALLOC_ARENA_MAX=1",
        "MALLOC_TRACE=/run/hostile/trace",
    ],
    &["GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.perturb=165"],
    &["GCONV_PATH=/run/hostile", "NLSPATH=/run/hostile/%N"],
    &[
        "HOSTALIASES=/run/hostile/hosts",
        "RES_OPTIONS=ndots:15 debug",
        "LOCALDOMAIN=evil.example",
        "RESOLV_HOST_CONF=/run/hostile/c",
    ],
    &[
        "NIS_PATH=/run/hostile",
        "GETCONF_DIR=/run/hostile",
        "MEMUSAGE_OUTPUT=/run/hostile/m",
    ],
    &[
        "MFA_CONFIG=/run/hostile/mfa.toml",
        "MFA_LOGIN=000000000000",
        "MFA_LOGIN_SEQ=900",
        "MFA_LOGIN_METHOD=app evil",
    ],
    &[
        "MFA_SMTP_PASSWORD=evil",
        "CREDENTIALS_DIRECTORY=/run/hostile",
        "NOTIFY_SOCKET=/run/hostile/n",
    ],
    &[
        "PAM_USER=root",
        "PAM_RHOST=198.51.100.1",
        "PAM_TTY=tty9",
        "SUDO_UID=0",
        "SUDO_USER=root",
    ],
    &[
        "USER=root",
        "LOGNAME=root",
        "SHELL=/run/hostile/bin/sh",
        "TERM=../../run/hostile",
        "TERMINFO=/run/hostile",
    ],
    &["HOSTNAME=evil", "COLUMNS=1", "LINES=1", "POSIXLY_CORRECT=1"],
    &["A==b", "B=\u{1b}[2J\u{7}", "C=\nid=MFA-2001 user=root"],
    &[
        "GCOV_PREFIX=/run/hostile",
        "ASAN_OPTIONS=log_path=/run/hostile/asan",
        "LLVM_PROFILE_FILE=/run/hostile/p",
    ],
];

/// In the courier's place: what it was started with is kept, and then it is the courier.
const WRAPPER: &str = "#!/bin/sh\ncat /proc/$$/environ >>/run/couriers-environment\necho started >>/run/couriers-started\nexec /usr/libexec/mfa/real \"$@\"\n";

/// What a caller sees and the log says, without what is new each time.
#[derive(Debug, PartialEq)]
struct Login {
    exit: i32,
    transcript: String,
    log: Vec<String>,
}

/// Names of attempts, references, terminals and process ids are new each time.
fn without_the_new(text: &str) -> String {
    let mut text = text.to_owned();
    for (mark, length) in [("login=", 12), ("(ref ", 4), ("\"ref ", 4)] {
        let mut from = 0;
        while let Some(at) = text[from..].find(mark) {
            let begin = from + at + mark.len();
            text.replace_range(begin..begin + length, "…");
            from = begin;
        }
    }
    let digits = |text: &str, mark: &str| {
        let (head, rest) = text.split_once(mark)?;
        Some(format!(
            "{head}{mark}N{}",
            rest.trim_start_matches(|c: char| c.is_ascii_digit())
        ))
    };
    digits(&text, "pts/").unwrap_or(text)
}

/// A host whose su and sudo ask for a code alone, where codes are sent; alice and bob have an app and an address.
struct Callers<'a> {
    host: &'a Host,
    phone: Authenticator,
    fresh: Vec<u8>,
}

impl<'a> Callers<'a> {
    fn new(host: &'a Host) -> Self {
        host.configure(
            "tries = 3\n[code]\nmax_sends = 1000\n[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"/run/outbox\"\n",
        );
        for service in ["su", "sudo"] {
            host.write_service(service, stacks::CODE_ALONE);
        }
        host.run(&["install", "-d", "-o", "_mfa", "/run/outbox"])
            .expect_success();
        host.run(&[
            "mv",
            "/usr/libexec/mfa/mfa-courier",
            "/usr/libexec/mfa/real",
        ])
        .expect_success();
        fs::write("/usr/libexec/mfa/mfa-courier", WRAPPER).unwrap();
        fs::set_permissions(
            "/usr/libexec/mfa/mfa-courier",
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        // bash complains of locales.
        host.run(&["sed", "-i", "/^alice:/s|/bin/bash|/bin/sh|", "/etc/passwd"])
            .expect_success();
        let phone = Authenticator::new();
        for name in ["alice", "bob"] {
            let address = format!("{name}@example.com");
            host.admin(&["user", "add", name, "--email", &address]);
            let enroll = [
                "app",
                "enroll",
                name,
                "--label",
                "phone",
                "--secret",
                "-",
                "--no-confirm",
                "--qr",
                "none",
            ];
            host.admin_with(&enroll, &format!("{}\n", phone.secret));
        }
        // Makes bob a sudoer.
        drop(host.sudo("bob", &["true"]));
        set_the_trap();
        let fresh = fs::read("/var/lib/mfa/state/alice").unwrap();
        Self { host, phone, fresh }
    }

    /// bob starts a program that asks for a code: he has one sent, and gives a right one or wrong ones.
    fn log_in(&self, program: &[&str], environment: &[&str], is_right: bool) -> Login {
        for name in ["alice", "bob"] {
            overwrite(&Path::new("/var/lib/mfa/state").join(name), &self.fresh);
        }
        // A spool that fills up would be another matter.
        self.host.run(&["sh", "-c", "rm -f /var/spool/mfa/new/*"]);
        let mark = self.host.mark();
        let mut words = vec!["env"];
        words.extend(environment);
        words.extend(program);
        let code = if is_right {
            self.phone.code_of(self.phone.step())
        } else {
            "000000".to_owned()
        };
        let started = couriers_started();
        let mut script = Script::new().answer(ASK, "").answer_with(ASK_AGAIN, || {
            let deadline = Instant::now() + Duration::from_secs(20);
            while couriers_started() == started {
                assert!(Instant::now() < deadline, "no courier: {words:?}");
                sleep(Duration::from_millis(2));
            }
            code.clone()
        });
        if !is_right {
            script = script.answer_times(2, ASK_AGAIN, "000000");
        }
        let talk = self.host.terminal_of("bob", &words).talk(script);
        let log = self.host.audit_since(mark);
        // Whether the mail is out by the end of the login is a matter of luck.
        let log = log.iter().filter(|line| line.id != "MFA-1002");
        Login {
            exit: talk.exit,
            transcript: without_the_new(&talk.transcript),
            log: log
                .map(|line| {
                    without_the_new(&line.text).replace(&format!("seq={}", &line["seq"]), "")
                })
                .collect(),
        }
    }
}

fn couriers_started() -> usize {
    fs::read_to_string("/run/couriers-started")
        .unwrap_or_default()
        .lines()
        .count()
}

fn set_the_trap() {
    for folder in ["bin", "home", "locale"] {
        fs::create_dir_all(format!("{TRAP}/{folder}")).unwrap();
    }
    // Libraries that would be found by their names, programs that would be, and files that say so.
    for library in [
        "spy.so",
        "libc.so.6",
        "libpam.so.0",
        "libgcc_s.so.1",
        "libnss_files.so.2",
    ] {
        fs::copy(built("env_spy.so"), format!("{TRAP}/{library}")).unwrap();
    }
    for program in ["sh", "id", "mfa-courier", "sendmail"] {
        fs::write(
            format!("{TRAP}/bin/{program}"),
            "#!/bin/sh\n/bin/touch /run/hostile/ran\n",
        )
        .unwrap();
        fs::set_permissions(
            format!("{TRAP}/bin/{program}"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    }
    for file in ["tz", "ca.pem", "mfa.toml", "hosts"] {
        fs::write(format!("{TRAP}/{file}"), "nonsense\n").unwrap();
    }
    fs::write(format!("{TRAP}/spy"), "").unwrap();
    for path in [TRAP.to_owned(), format!("{TRAP}/spy")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
}

/// All of them together.
fn everything() -> Vec<&'static str> {
    ENVIRONMENTS
        .iter()
        .flat_map(|all| all.iter().copied())
        .collect()
}

/// The programs that have loaded the library which the environment names.
fn has_been_loaded_into(program: &str) -> bool {
    fs::read_to_string(format!("{TRAP}/spy"))
        .unwrap()
        .lines()
        .any(|line| line == format!("loaded {program}"))
}

#[test]
fn no_environment_changes_a_login_through_su_or_sudo() {
    on_a_test_host(|host| {
        let callers = Callers::new(host);
        let programs: [(&str, &[&str]); 2] = [
            ("su", &["/usr/bin/su", "alice", "-c", "/usr/bin/id -un"]),
            ("sudo", &["/usr/bin/sudo", "-k", "/usr/bin/id", "-un"]),
        ];
        let mut logins = 0;
        for (name, program) in programs {
            for is_right in [true, false] {
                let clean = callers.log_in(program, &[], is_right);
                assert_eq!(clean.exit == 0, is_right, "{clean:#?}");
                let ids: Vec<_> = clean
                    .log
                    .iter()
                    .filter_map(|line| line.split("id=").nth(1)?.split(' ').next())
                    .collect();
                assert!(
                    ids.contains(&"MFA-1001")
                        && ids.contains(&if is_right { "MFA-2001" } else { "MFA-2101" }),
                    "{clean:#?}"
                );
                let all = everything();
                let together = [all.as_slice()];
                // Wrong codes go the same way as far as the environment matters: all at once will do.
                let each: &[&[&str]] = if is_right { &ENVIRONMENTS } else { &[] };
                for environment in each.iter().chain(&together) {
                    let seen = callers.log_in(program, environment, is_right);
                    assert_eq!(seen, clean, "{name} with {environment:?}");
                    logins += 1;
                }
            }
            assert!(
                !has_been_loaded_into(name),
                "the library of the caller was loaded into {name}"
            );
        }
        // Where there is no change of rights, it is.
        host.run(&["env", "LD_PRELOAD=/run/hostile/spy.so", "/usr/bin/id"]);
        assert!(has_been_loaded_into("id"));
        let of_couriers = || fs::read_to_string("/run/couriers-environment").unwrap();
        assert_eq!(of_couriers(), "", "couriers have an empty environment");
        // It would be seen.
        host.run(&["env", "-i", "X=1", "/usr/libexec/mfa/mfa-courier", "--help"]);
        assert_eq!(of_couriers(), "X=1\0");
        assert!(couriers_started() >= logins);
        assert!(!Path::new(&format!("{TRAP}/ran")).exists());
        tell(
            "host-6-environment",
            "Hostile environments: su and sudo",
            &[
                (
                    "environments, each and all together",
                    (ENVIRONMENTS.len() + 1).to_string(),
                ),
                (
                    "logins whose transcript, result and audit lines are those of a clean one",
                    logins.to_string(),
                ),
                (
                    "couriers started; variables in their environments",
                    format!("{}; 0", couriers_started()),
                ),
            ],
        );
    });
}

#[test]
fn nothing_that_an_environment_names_is_opened_by_su_sudo_or_the_courier() {
    on_a_test_host(|host| {
        let callers = Callers::new(host);
        for program in [
            &["/usr/bin/su", "alice", "-c", "/usr/bin/true"][..],
            &["/usr/bin/sudo", "-k", "/usr/bin/true"],
        ] {
            overwrite(Path::new("/var/lib/mfa/state/alice"), &callers.fresh);
            overwrite(Path::new("/var/lib/mfa/state/bob"), &callers.fresh);
            let mut words = vec![
                "strace",
                "-u",
                "bob",
                "-f",
                "-qq",
                "-s",
                "300",
                "-o",
                "/run/strace.log",
                "-e",
                "trace=%file,execve",
                "env",
            ];
            let all = everything();
            words.extend(&all);
            words.extend(program);
            let code = callers.phone.code_of(callers.phone.step());
            let script = Script::new().answer(ASK, "").answer(ASK_AGAIN, &code);
            Terminal::start(&words).talk(script).expect_success();
            let log = fs::read_to_string("/run/strace.log").unwrap();
            assert!(log.contains(TRAP), "`env` has begun its search with it");
            let opened = opened_by_the_login(&log, program[0]);
            assert!(opened.len() > 50, "{log}");
            assert!(
                opened.iter().any(|line| line.contains("/etc/mfa")),
                "the module is among them"
            );
            let trapped: Vec<_> = opened.iter().filter(|line| line.contains(TRAP)).collect();
            assert!(trapped.is_empty(), "{trapped:#?}");
        }
    });
}

/// The calls of the program that asks for the code, and of couriers: not of `env` before, nor of the command after.
fn opened_by_the_login<'log>(log: &'log str, program: &str) -> Vec<&'log str> {
    let mut running = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some((_, rest)) = call.split_once("execve(\"")
            && call.starts_with("execve(")
            && call.ends_with("= 0")
        {
            let started = rest.split('"').next().unwrap();
            running.insert(pid, started);
            continue;
        }
        // Who has not started anything is a child of one who has: before it does.
        let is_login = running
            .get(pid)
            .is_none_or(|running| *running == program || running.starts_with("/usr/libexec/mfa/"));
        if is_login && running.values().any(|running| *running == program) {
            found.push(line);
        }
    }
    found
}

#[test]
fn a_program_for_which_the_environment_does_count_finds_the_module_deaf_to_it() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[prompt]\ntries = 3\n");
        let app = host.enroll("alice");
        set_the_trap();
        let fresh = fs::read(host.state_path("alice")).unwrap();
        let log_in = |environment: &[&str]| -> Vec<Seen> {
            let exports: Vec<_> = environment.iter().map(|each| format!("'{each}'")).collect();
            let before = format!("set -- env {} \"$@\"", exports.join(" "));
            let code = app.code_of(app.step());
            [
                format!(
                    "{}setcred\nacct_mgmt\nopen_session\nclose_session\nchauthtok\n",
                    login_script("alice", &["000000", &code])
                ),
                login_script("nobody-here", &["000000", "x", ""]),
                "user alice\nanswer convfail\nauthenticate\n".to_owned(),
            ]
            .iter()
            .map(|script| {
                overwrite(&host.state_path("alice"), &fresh);
                host.player()
                    .before(&before)
                    .options(&["--check"])
                    .play(script)
            })
            .collect()
        };
        let told = |all: &[Seen]| -> Vec<(Vec<String>, Vec<String>)> {
            let without_delay = |seen: &Seen| {
                seen.lines
                    .iter()
                    .filter(|line| !line.starts_with("DELAY"))
                    .cloned()
                    .collect()
            };
            all.iter()
                .map(|seen| {
                    (
                        without_delay(seen),
                        seen.log
                            .iter()
                            .map(|event| without_the_new(&event.text))
                            .collect(),
                    )
                })
                .collect()
        };
        let clean = log_in(&[]);
        assert_eq!(clean[0].results()[0], SUCCESS, "{}", clean[0]);
        assert_eq!(clean[1].results(), [AUTH_ERR], "{}", clean[1]);
        for environment in ENVIRONMENTS {
            // What the dynamic linker does with these is a program's own affair, and may end it.
            let is_linkers = environment.iter().any(|each| each.starts_with("LD_"));
            if !is_linkers {
                assert_eq!(told(&log_in(environment)), told(&clean), "{environment:?}");
            }
        }
        // Who asks for a variable is told on: first a module that does, then ours.
        let spied = |what: &str| {
            let spy = fs::read_to_string(format!("{TRAP}/spy")).unwrap();
            spy.lines()
                .filter(|line| line.starts_with(what))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let spy = ["LD_PRELOAD=/run/hostile/spy.so"];
        host.stack(
            "looking",
            &format!(
                "session required {} looks\n",
                built("pam_vandal.so").display()
            ),
        );
        let seen = host
            .player()
            .service("looking")
            .before("export LD_PRELOAD=/run/hostile/spy.so")
            .play("user alice\nopen_session\n");
        assert_eq!(seen.results(), [SUCCESS], "{seen}");
        assert_eq!(spied("pam_vandal.so"), ["pam_vandal.so VANDAL"]);
        assert_eq!(told(&log_in(&spy)), told(&clean));
        assert!(has_been_loaded_into("pam_host"));
        assert_eq!(
            spied("pam_mfa.so"),
            [""; 0],
            "the module asks for no variable at all"
        );
    });
}
