//! Logins where the key is a credential.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use mfa_tests::pam_host::{AUTH_ERR, ERR, PROMPT, PamHost, SUCCESS, UNAVAIL, overwrite};
use mfa_tests::proof::{rounds, tell};
use mfa_tests::{Script, on_a_bare_host, on_a_test_host, stacks};

use crate::{CREDS, bound_host, shell, stand_in, stand_out};

/// Nobody is asked anything, whoever it is, and one line says why.
pub(crate) fn refused_without_a_prompt(host: &PamHost, what: &str, detail: &str) {
    for user in ["alice", "mallory", "nobody-here"] {
        let seen = host.play(&format!("user {user}\nauthenticate\n"));
        assert_eq!(seen.result(), UNAVAIL, "{what}, {user}\n{seen}");
        assert!(seen.prompts().is_empty(), "{what}, {user}\n{seen}");
        let line = seen.only("MFA-4001");
        let is_error = line.priority == ERR;
        assert!(
            is_error && line.get("detail").contains(detail),
            "{what}, {user}\n{seen}"
        );
    }
}

#[test]
fn a_bound_key_lets_in_who_has_the_right_code_before_and_after_it_is_changed() {
    on_a_bare_host(|_| {
        let host = bound_host();
        let app = host.enroll("alice");
        for _ in 0..2 {
            assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
            assert_eq!(host.login("alice", &["000000"]).result(), AUTH_ERR);
            assert_eq!(host.login("mallory", &["000000"]).result(), AUTH_ERR);
            let rotate_now = host.admin_command("seal rotate");
            let seen = host.play(&format!(
                "user alice\ndo run {rotate_now}\nanswer text {}\nauthenticate\n",
                app.code()
            ));
            assert_eq!(seen.result(), SUCCESS, "{seen}");
        }
        assert!(!host.path("seal.key").exists());
    });
}

#[test]
fn a_rotation_of_a_bound_key_that_is_killed_at_any_moment_costs_nothing() {
    on_a_bare_host(|_| {
        let host = bound_host();
        let people = ["alice", "bob", "carol"];
        let apps = people.map(|name| host.enroll(name));
        let fresh = people.map(|name| fs::read(host.state_path(name)).unwrap());
        let rounds = rounds(30, 3000);
        let (mut killed, mut half_done) = (0, 0);
        for round in 0..rounds {
            // It takes some 30 ms where nothing else is at work.
            let milliseconds = 1 + round * 2 % 60;
            let command = host.admin_command("seal rotate");
            let status = std::process::Command::new("timeout")
                .args(["-s", "KILL", &format!("0.{milliseconds:03}")])
                .args(["sh", "-c", &format!("exec {command}")])
                .status()
                .unwrap();
            killed += usize::from(!status.success());
            let status = host.admin(&["seal", "status"]).expect_success();
            half_done += usize::from(status.stdout.contains("half done"));
            let number = round % people.len();
            let (name, app) = (people[number], &apps[number]);
            overwrite(&host.state_path(name), &fresh[number]);
            let seen = host.login(name, &[app.code_of(app.step())]);
            assert_eq!(seen.result(), SUCCESS, "{milliseconds} ms\n{seen}");
        }
        assert!(killed > 0, "{killed} of {rounds}");
        host.admin(&["seal", "rotate"]).expect_success();
        let status = host.admin(&["seal", "status"]).expect_success().stdout;
        assert!(
            status.contains("Sealed        3 secrets in 3 records: 3 with"),
            "{status}"
        );
        tell(
            "faults-bound-key",
            "`seal rotate` of a bound key, killed after 1 to 60 ms",
            &[
                ("rotations", rounds.to_string()),
                ("killed", killed.to_string()),
                ("of these, with both keys in place", half_done.to_string()),
                (
                    "logins afterwards, each with a right code",
                    rounds.to_string(),
                ),
                ("refused", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn whatever_is_wrong_with_a_credential_nobody_is_asked_and_no_plain_file_counts() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(crate::TABLES);
        let app = host.enroll("alice");
        shell(&format!(
            "cp -a {0}/seal.key {0}/copy",
            host.folder.display()
        ));
        host.admin(&["seal", "bind"]).expect_success();
        crate::name_credential(&host);
        // The plain file is there all the time: it counts for nothing.
        shell(&format!(
            "cd {}; cp -a seal.cred good; cp -a /var/lib/systemd/credential.secret secret",
            host.folder.display()
        ));
        for (what, damage, detail) in [
            ("gone", "rm seal.cred", "seal.cred: does not exist"),
            (
                "readable by a group",
                "chmod 640 seal.cred",
                "has mode 0640; chmod 600 it",
            ),
            ("a link", "ln -sf good seal.cred", "is a symbolic link"),
            ("empty", ": >seal.cred", "systemd-creds: "),
            (
                "cut short",
                "head -c 100 good >seal.cred",
                "systemd-creds: ",
            ),
            (
                "altered",
                "sed -i 's/^\\(.\\{60\\}\\)./\\1#/' seal.cred",
                "systemd-creds: ",
            ),
            ("a plain key", "cat copy >seal.cred", "systemd-creds: "),
            (
                "of another name",
                "systemd-creds encrypt --name=other copy - >seal.cred",
                "does not match",
            ),
            (
                "no key in it",
                "echo hello | systemd-creds encrypt --name=mfa-seal-key - - >seal.cred",
                "this is no sealing key",
            ),
            (
                "too short a key in it",
                "echo mfa-seal-key:1:0011 | systemd-creds encrypt --name=mfa-seal-key - - >seal.cred",
                "a key of 4 digits, and a sealing key has 64",
            ),
            (
                "of another host",
                "rm -f /var/lib/systemd/credential.secret; systemd-creds setup 2>/dev/null",
                "systemd-creds: ",
            ),
            (
                "the host's key is lost",
                "rm -f /var/lib/systemd/credential.secret",
                "systemd-creds: ",
            ),
        ] {
            shell(&format!("cd {}; {damage}", host.folder.display()));
            refused_without_a_prompt(&host, what, detail);
            shell(&format!(
                "cd {}; rm -f seal.cred; cp -a good seal.cred; rm -f /var/lib/systemd/credential.secret; \
                 cp -a secret /var/lib/systemd/credential.secret",
                host.folder.display()
            ));
        }
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn whatever_systemd_creds_does_nobody_is_asked_and_nothing_is_left_of_it() {
    on_a_bare_host(|_| {
        let host = bound_host();
        let app = host.enroll("alice");
        for (what, script, detail) in [
            (
                "it fails",
                "echo TPM2 is gone >&2; exit 1",
                "systemd-creds: TPM2 is gone",
            ),
            ("it says nothing", "exit 0", "it does not say why"),
            (
                "it tells half",
                "/run/creds \"$@\" | head -c 40",
                "this is no sealing key",
            ),
            (
                "it fails in the end",
                "/run/creds \"$@\"; exit 1",
                "systemd-creds: ",
            ),
            ("it is killed", "kill -9 $$", "it does not say why"),
            (
                "it tells too much",
                "head -c 100000 /dev/zero",
                "this is no sealing key",
            ),
        ] {
            stand_in(script);
            refused_without_a_prompt(&host, what, detail);
        }
        for (what, change, detail) in [
            (
                "gone",
                format!("rm {CREDS}"),
                "systemd-creds: does not exist",
            ),
            (
                "no program",
                format!("chmod 644 {CREDS}"),
                "Permission denied",
            ),
            (
                "anybody's",
                format!("chmod 757 {CREDS}"),
                "has mode 0757, others can write it",
            ),
            (
                "somebody's",
                format!("chown 1001 {CREDS}"),
                "is owned by uid 1001",
            ),
            (
                "a link",
                format!("ln -sf /run/creds {CREDS}"),
                "is a symbolic link",
            ),
        ] {
            stand_in("exec /run/creds \"$@\"");
            shell(&change);
            refused_without_a_prompt(&host, what, detail);
        }
        stand_out();
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        // What does not end is ended after five seconds, with what it has started; whatever becomes of SIGCHLD.
        stand_in("sleep 600 & exec sleep 601");
        let script = "signal CHLD ignore\nuser alice\nauthenticate\n";
        let seen = host.play_at_once(4, script);
        assert_eq!(seen.count(UNAVAIL), 4, "{seen}");
        assert!(seen.prompts().is_empty(), "{seen}");
        let lines = seen.events("MFA-4001");
        let is_told = |detail: &str| detail.contains("systemd-creds did not end in time");
        assert!(
            lines.len() == 4 && lines.iter().all(|line| is_told(line.get("detail"))),
            "{seen}"
        );
        // A process that was killed takes a moment to be gone.
        let is_at_work = || {
            let processes = fs::read_dir("/proc").unwrap();
            processes
                .filter_map(|path| fs::read(path.unwrap().path().join("cmdline")).ok())
                .any(|line| line.starts_with(b"sleep\x0060"))
        };
        assert!((0..500).any(|_| {
            sleep(Duration::from_millis(10));
            !is_at_work()
        }));
        stand_out();
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn real_programs_open_a_bound_key() {
    on_a_test_host(|host| {
        let alice = host.enroll("alice");
        let bob = host.enroll("bob");
        host.admin(&["seal", "bind"]);
        host.configure("[seal]\ncredential = \"/etc/mfa/seal.cred\"\n");
        host.admin(&["seal", "bind", "--yes"]);
        assert!(!fs::exists("/etc/mfa/seal.key").unwrap());
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let code = alice.code();
        let client = sshd.ssh("alice").command("id -un");
        let talk = client.talk(Script::new().answer(PROMPT, &code));
        talk.expect_success().expect_text("alice");
        assert_eq!(&host.one_since(mark, "MFA-2001")["user"], "alice");
        host.write_service("su", stacks::CODE_ALONE);
        // Neither limits nor signals of the caller's are systemd-creds'.
        for first in ["true", "trap '' CHLD INT TERM PIPE; ulimit -v 200000"] {
            let code = bob.code();
            let words = format!("{first}; exec su bob -c 'id -un'");
            let su = host.terminal_of("mallory", &["sh", "-c", &words]);
            su.talk(Script::new().answer(PROMPT, &code))
                .expect_text("bob");
        }
    });
}

/// Makes systemd-creds' group that of its terminal, as job control may, so that keys typed there are signals to it; and
/// says what came of that.
const REACHES_FOR_IT: &str = r#"perl -MPOSIX -e '
    $SIG{TTOU} = "IGNORE";
    select undef, undef, undef, 0.01 until -s "/run/creds.pid";
    open my $pid, "<", "/run/creds.pid"; chomp(my $its = <$pid>);
    open my $terminal, "<", "/dev/tty" or die;
    my $came = tcsetpgrp(fileno $terminal, $its) ? "reached" : "refused";
    open my $told, ">", "$ARGV[0]/told.new"; print $told $came; close $told;
    rename "$ARGV[0]/told.new", "$ARGV[0]/told"' "$PWD" &"#;

#[test]
fn a_caller_of_su_ends_systemd_creds_neither_by_the_terminal_nor_with_a_core() {
    on_a_test_host(|host| {
        let bob = host.enroll("bob");
        host.admin(&["seal", "bind"]);
        host.configure("[seal]\ncredential = \"/etc/mfa/seal.cred\"\n");
        host.admin(&["seal", "bind", "--yes"]);
        host.write_service("su", stacks::CODE_ALONE);
        // Its caller has all the time it needs.
        stand_in(
            "cut -d' ' -f7 /proc/$$/stat >/run/creds.seen; grep core /proc/$$/limits >>/run/creds.seen; \
             echo $$ >/run/creds.pid; \
             for _ in $(seq 200); do [ -e /run/creds.go ] && break; sleep 0.01; done; exec /run/creds \"$@\"",
        );
        shell("install -d -o mallory /run/mallory");
        let words = format!(
            "cd /run/mallory; ulimit -c unlimited; {REACHES_FOR_IT}\nexec su bob -c 'id -un; ulimit -c'"
        );
        let mut su = host.terminal_of("mallory", &["sh", "-c", &words]);
        let told = || fs::read_to_string("/run/mallory/told").ok();
        let told = (0..500).find_map(|_| {
            sleep(Duration::from_millis(10));
            told()
        });
        if told.as_deref() == Some("reached") {
            su.type_bytes(b"\x1c");
        }
        fs::write("/run/creds.go", "").unwrap();
        let code = bob.code();
        // What su starts has its caller's limit, as ever.
        su.talk(Script::new().answer(PROMPT, &code))
            .expect_text("bob")
            .expect_text("unlimited");
        assert_eq!(told.as_deref(), Some("refused"));
        let seen = fs::read_to_string("/run/creds.seen").unwrap();
        let words: Vec<&str> = seen.split_whitespace().collect();
        // No terminal, and a limit at which no core goes anywhere.
        assert_eq!((words[0], words[5]), ("0", "1"), "{seen}");
        assert!(!fs::exists("/run/mallory/core").unwrap());
    });
}
