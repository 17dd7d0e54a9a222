//! `pam_host` itself, with modules that are not ours. What fails here is no fault of the module.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mfa_tests::pam_host::{
    AUTH_ERR, CONV_ERR, INFO, PROMPT, PamHost, SUCCESS, built, login_script,
};
use mfa_tests::{Authenticator, on_a_bare_host};

fn control_module(host: &PamHost, arguments: &str) {
    host.stack(
        "login",
        &format!(
            "auth required {} {arguments}\n",
            built("pam_promptok.so").display()
        ),
    );
}

#[test]
fn a_script_answers_prompts_and_complains() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        control_module(&host, "log");
        for answer in [
            "text 123456",
            "hex 00ff",
            "repeat \\xff 10485760",
            "null",
            "nullarray",
            "run echo 1",
        ] {
            let seen = host.play(&format!("user alice\nanswer {answer}\nauthenticate\n"));
            assert_eq!(
                (seen.result(), seen.prompts()),
                (SUCCESS, vec![PROMPT.to_owned()]),
                "{answer}"
            );
            assert_eq!(seen.log.len(), 1, "{seen}");
            assert_eq!(seen.log[0].priority, INFO, "{seen}");
            assert!(
                seen.log[0]
                    .text
                    .starts_with("pam_promptok(login:auth): control v=1"),
                "{seen}"
            );
        }
        assert_eq!(
            host.play("user alice\nanswer convfail\nauthenticate\n")
                .result(),
            CONV_ERR
        );
        let seen = host.login("alice", &["1", "2"]);
        assert_eq!(
            (seen.code, seen.starting("LEFTOVER").len()),
            (Some(3), 1),
            "{seen}"
        );
        let seen = host.login::<&str>("alice", &[]);
        assert_eq!(
            (seen.code, seen.starting("UNANSWERED").len()),
            (Some(4), 1),
            "{seen}"
        );
        let seen = host.play("user alice\ndo run touch /run/open\ndo setuser bob\nanswer run ls /run/open\nauthenticate\ngetuser\n");
        assert_eq!(
            (seen.result(), seen.starting("USER")),
            (SUCCESS, vec!["USER \"bob\""]),
            "{seen}"
        );
        assert_eq!(
            host.play("user alice\ndo run false\nanswer null\nauthenticate\n")
                .code,
            Some(5)
        );
    });
}

#[test]
fn children_wait_for_each_other() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        control_module(&host, "");
        for barrier in ["barrier", "do barrier"] {
            // Each counts who is there when it goes on: everybody.
            let script = format!(
                "user p%i\nrun touch /run/there-%i\n{barrier}\nanswer text 1\nauthenticate\nrun test $(ls /run/there-* | wc -l) = 30\n"
            );
            let seen = host.player().options(&["--parallel", "30"]).play(&script);
            assert_eq!((seen.code, seen.count(SUCCESS)), (Some(0), 30), "{seen}");
            fs::read_dir("/run")
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.to_string_lossy().contains("there-"))
                .for_each(|path| fs::remove_file(path).unwrap());
        }
    });
}

#[test]
fn whatever_a_module_changes_is_noticed() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        // What the vandal does, and what is said to have changed then.
        let deeds = [
            ("umask", "status Umask"),
            ("uid", "status Uid"),
            ("fsuid", "status Uid"),
            ("gid", "status Gid"),
            ("groups", "status Groups"),
            ("thread", "status Threads"),
            ("child", "children"),
            ("handler", "signal 17"),
            ("handler-mask", "signal 17"),
            ("ignored", "signal 13"),
            ("realtime-handler", "signal 37"),
            ("mask", "status SigBlk"),
            ("pending", "status SigPnd"),
            ("signal-stack", "signal stack"),
            ("cwd", "cwd"),
            ("variable", "environ"),
            ("variable-moved", "environment "),
            ("locale", "locale"),
            ("thread-locale", "locale of the thread"),
            ("time-zone", "time zone"),
            ("descriptor", "fd "),
            ("descriptor-flag", "fd 2 flags"),
            ("descriptor-place", "fd 9 flags"),
            ("limit", "limit 7"),
            ("nice", "scheduling"),
            ("affinity", "scheduling"),
            ("alarm", "alarm"),
            ("posix-timer", "timers"),
            ("name", "name"),
            ("dumpable", "dumpable"),
            ("no-new-privs", "status NoNewPrivs"),
            ("keepcaps", "keeps capabilities"),
            ("subreaper", "subreaper"),
            ("death-signal", "signal at the parent's death"),
            ("capability", "status CapBnd"),
            ("session", "group and session"),
            ("locked-memory", "status VmLck"),
            ("log-mask", "syslog mask"),
            ("namespace", "ns/uts"),
        ];
        let vandal = built("pam_vandal.so");
        let changes = |what: &str| {
            host.stack(
                "login",
                &format!("session required {} {what}\n", vandal.display()),
            );
            let seen = host
                .player()
                .before("exec 9</etc/passwd; export SHELL=/bin/sh LC_ALL=C")
                .options(&["--check"])
                .play("user alice\nopen_session\n");
            assert_eq!(seen.results(), [SUCCESS], "{what}\n{seen}");
            let changes = seen.starting("CHANGED open_session ");
            changes
                .iter()
                .map(|line| line[21..].to_owned())
                .collect::<Vec<_>>()
        };
        for (what, fact) in deeds {
            let changes = changes(what);
            assert!(
                changes.iter().any(|change| change.starts_with(fact)),
                "{what}: {changes:#?}"
            );
        }
        assert_eq!(changes("nothing"), [""; 0]);
    });
}

#[test]
fn a_hook_finds_as_much_room_for_descriptors_as_was_asked_for() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        host.stack(
            "login",
            &format!(
                "session required {} descriptor\n",
                built("pam_vandal.so").display()
            ),
        );
        // Loaded first: that takes descriptors as well.
        let load = "user alice\nclose_session\n";
        let seen = host.play(&format!("{load}descriptors 1\nopen_session\n"));
        assert_eq!(seen.code, Some(0), "{seen}");
        // Without room the vandal can't open anything, and gives up.
        let seen = host.play(&format!("{load}descriptors 0\nopen_session\n"));
        assert_ne!(seen.code, Some(0), "{seen}");
    });
}

#[test]
fn a_peer_is_logged_in_to_with_a_code_of_oathtool() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        let app = Authenticator::new();
        host.write(
            "users.oath",
            &format!("HOTP/T30 alice - {}\n", hex(&app.secret)),
        );
        fs::set_permissions(host.path("users.oath"), fs::Permissions::from_mode(0o600)).unwrap();
        host.stack(
            "login",
            &format!(
                "auth required pam_oath.so usersfile={} window=1\n",
                host.path("users.oath").display()
            ),
        );
        let code = app.code();
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
        assert_eq!(host.login("alice", &[&code]).result(), AUTH_ERR);
        let year = 365 * 24 * 60 * 60 / app.period;
        let seen = host
            .player()
            .clock("+365d")
            .play(&login_script("alice", &[app.code_of(app.step() + year)]));
        assert_eq!(seen.result(), SUCCESS, "a year ahead\n{seen}");
    });
}

#[test]
fn callers_have_the_uids_that_were_asked_for() {
    on_a_bare_host(|_| {
        let host = PamHost::bare();
        control_module(&host, "log");
        for (options, uids) in [
            (["--real-uid", "1001"], "1001 0 0 0"),
            (["--all-uids", "1001"], "1001 1001 1001 1001"),
        ] {
            let script = "user alice\nanswer run set -- $(grep ^Uid /proc/$PPID/status); shift; echo $* >/run/home/alice/uids; echo 1\nauthenticate\n";

            let seen = host.player().options(&options).play(script);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
            assert_eq!(seen.log.len(), 1, "who is not root logs as well\n{seen}");
            assert_eq!(
                fs::read_to_string("/run/home/alice/uids").unwrap().trim(),
                uids
            );
        }
    });
}

fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
