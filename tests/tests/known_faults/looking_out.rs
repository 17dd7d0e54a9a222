//! What a login looks at, and what it leaves open, system call by system call.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, PROMPT, PamHost, RHOST, SUCCESS, Seen};

/// A script on a traced host: what was seen, and every system call that names a file or makes a connection.
fn traced(host: &PamHost, script: &str) -> (Seen, String) {
    const TRACE: &str = "/run/known-faults.strace";
    let strace =
        format!("exec strace -f -qq -s 4096 -o {TRACE} -e trace=%file,socket,connect \"$@\"");
    let seen = host.player().before(&strace).play(script);
    let trace = fs::read_to_string(TRACE).unwrap();
    assert!(
        trace.contains("mfa.toml") && trace.contains("alice"),
        "the module's own files are in it\n{trace}"
    );
    (seen, trace)
}

/// Marks in a trace where a hook begins.
const HOOK: &str = "run : > /run/next-hook\n";

/// What follows a [`HOOK`], without what libpam does for the kernel's audit after it: libaudit looks the address up.
fn of_the_module(trace: &str) -> String {
    let mut is_the_modules = false;
    let mut kept = String::new();
    for line in trace.lines() {
        if line.contains("next-hook") {
            is_the_modules = true;
        } else if line.contains("NETLINK_AUDIT") {
            is_the_modules = false;
        }
        if is_the_modules {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

/// The calls that have one of `words` in them.
fn with<'trace>(trace: &'trace str, words: &[&str]) -> Vec<&'trace str> {
    let has_one = |line: &&str| words.iter().any(|word| line.contains(word));
    trace.lines().filter(has_one).collect()
}

/// A host with delivery and notices, whose server takes connections and never says a word.
fn host_with_mail(server: &std::net::TcpListener) -> PamHost {
    mfa_tests::install_courier();
    let port = server.local_addr().unwrap().port();
    let host = PamHost::with_config(&format!(
        "[courier]\nuser = \"nobody\"\n[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@example.com\"\n"
    ));
    // `init --no-user` leaves it to root.
    for folder in ["tmp", "new", "deferred", "dead"] {
        chown(host.path("spool").join(folder), Some(65534), Some(65534)).unwrap();
    }
    host
}

fn silent_server() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

// CVE-2024-10963, CVE-2022-28321 (pam_access): what stands for an address is looked up, and believed.
#[test]
fn a_remote_host_is_a_text_and_is_never_looked_up() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[prompt]\ntries = 1\n[throttle]\nmax_failures = 100\n");
        let app = host.enroll("alice");
        let wrong = app.wrong_code();
        let names = [
            "localhost",
            "mail.example.com",
            "tty1",
            "LOCAL",
            "alice",
            "0",
            "::1%lo",
            "no-such-host.invalid",
        ];
        for name in names {
            let script = format!(
                "user alice\nset rhost {name}\nset tty ssh\nanswer text {wrong}\n\
                 {HOOK}authenticate\n{HOOK}acct_mgmt\n{HOOK}open_session\n"
            );
            let (seen, trace) = traced(&host, &script);
            assert_eq!(seen.results(), [AUTH_ERR, SUCCESS, SUCCESS], "{seen}");
            assert_eq!(seen.prompts(), [PROMPT], "asked like everybody\n{seen}");
            assert_eq!(seen.only("MFA-2101").get("rhost"), name, "{seen}");
            let resolver = [
                "AF_INET",
                "/etc/hosts",
                "/etc/resolv.conf",
                "/etc/host.conf",
                "/etc/gai.conf",
            ];
            let trace = of_the_module(&trace);
            assert_eq!(trace.matches("mfa.toml").count(), 3, "a hook each\n{trace}");
            assert_eq!(with(&trace, &resolver), Vec::<&str>::new(), "{name}");
        }
    });
}

// CVE-2014-2583 (pam_timestamp): files named after the terminal and the remote user.
#[test]
fn neither_terminal_nor_remote_names_lead_to_a_file() {
    on_a_bare_host(|_| {
        let server = silent_server();
        let host = host_with_mail(&server);
        let app = host.enroll("alice");
        host.admin(&["user", "set", "alice", "--email", "alice@example.com"])
            .expect_success();
        for planted in [
            "../../../../run/planted",
            "/run/planted",
            "/dev/../run/planted",
        ] {
            let items: String = ["tty", "ruser", "rhost", "user_prompt"]
                .map(|item| format!("set {item} {planted}\n"))
                .concat();
            let script = format!(
                "user alice\n{items}answer text {}\nanswer text {}\nauthenticate\nacct_mgmt\nopen_session\nclose_session\n",
                app.wrong_code(),
                app.code(),
            );
            let (seen, trace) = traced(&host, &script);
            assert_eq!(seen.results(), [SUCCESS; 4], "{seen}");
            assert!(
                !with(&trace, &["login~alice"]).is_empty(),
                "notices are kept\n{trace}"
            );
            assert_eq!(with(&trace, &["planted"]), Vec::<&str>::new());
            assert!(!Path::new("/run/planted").exists());
        }
    });
}

// CVE-2024-47191 (pam_oath), CVE-2019-12209 (pam-u2f), CVE-2010-3435 (pam_env): root reads in the homes of users.
#[test]
fn nothing_in_a_home_is_looked_at() {
    on_a_bare_host(|_| {
        const HOME: &str = "/run/home/alice";
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        for name in [
            ".google_authenticator",
            ".pam_environment",
            ".mfa.toml",
            ".mfa",
        ] {
            symlink("/etc/shadow", Path::new(HOME).join(name)).unwrap();
        }
        let wrong = app.wrong_code();
        for answers in [
            [wrong.clone(), wrong.clone(), wrong],
            [app.code(), String::new(), String::new()],
        ] {
            let answers = answers
                .iter()
                .filter(|answer| !answer.is_empty())
                .fold(String::new(), |all, answer| {
                    all + "answer text " + answer + "\n"
                });
            let script = format!(
                "user alice\nset rhost {RHOST}\n{answers}authenticate\nsetcred\nacct_mgmt\nopen_session\nclose_session\n"
            );
            let (seen, trace) = traced(&host, &script);
            assert_eq!(seen.results().len(), 5, "{seen}");
            assert_eq!(with(&trace, &[HOME]), Vec::<&str>::new(), "{seen}");
        }
    });
}

// CVE-2018-9275 (pam_yubico), CVE-2019-12210 (pam-u2f): what the host starts has a file of the module's open.
#[test]
fn what_a_host_starts_holds_no_file_of_ours() {
    on_a_bare_host(|_| {
        let server = silent_server();
        let host = host_with_mail(&server);
        let app = host.enroll_with_address("alice", "alice@example.com");
        // Sorted, without numbers that differ from process to process.
        let list = |name: &str| {
            format!(
                "run find /proc/self/fd -type l -printf '%l\\n' | sed 's/[0-9]//g' | sort > /run/{name}"
            )
        };
        let script = format!(
            "{}\nuser alice\nset rhost {RHOST}\nanswer text \ndo {}\nanswer text {}\ndo {}\nanswer text {}\n\
             authenticate\n{}\nsetcred\nacct_mgmt\nopen_session\n{}\n",
            list("before"),
            // A courier is at work from here on.
            list("delivering"),
            app.wrong_code(),
            list("refused"),
            app.code(),
            list("accepted"),
            list("inside"),
        );
        let seen = host.play(&script);
        assert_eq!(seen.code, Some(0), "{seen}");
        assert_eq!(seen.results(), [SUCCESS; 4], "{seen}");
        assert_eq!(seen.events("MFA-1001").len(), 1, "{seen}");
        let read = |name: &str| fs::read_to_string(Path::new("/run").join(name)).unwrap();
        let before = read("before");
        assert!(before.lines().count() >= 3, "{before}");
        for name in ["delivering", "refused", "accepted", "inside"] {
            assert_eq!(read(name), before, "{name}");
        }
    });
}
