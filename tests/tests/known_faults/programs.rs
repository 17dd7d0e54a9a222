//! Who starts programs, and what they start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mfa_tests::{Host, Script, Terminal, on_a_test_host, stacks};

// CVE-2005-4890 (su, sudo), CVE-2023-28339 (doas): what is started pushes keys into the terminal of who started it.
#[test]
fn what_we_start_has_nobodys_terminal() {
    on_a_test_host(|host| {
        // Without a controlling terminal there is none that TIOCSTI would take keys for.
        fs::write(
            "/run/look",
            "#!/bin/sh\nfor fd in 0 1 2; do test -t $fd && echo \"$fd is a terminal\" >> /run/looked/new; done\n\
             (: < /dev/tty) 2> /dev/null && echo '/dev/tty opens' >> /run/looked/new\n\
             echo looked >> /run/looked/new; mv /run/looked/new /run/looked/done\n",
        )
        .unwrap();
        fs::set_permissions("/run/look", fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir("/run/looked").unwrap();
        fs::set_permissions("/run/looked", fs::Permissions::from_mode(0o777)).unwrap();
        let looked = || {
            let end = Instant::now() + Duration::from_secs(20);
            loop {
                if let Ok(text) = fs::read_to_string("/run/looked/done") {
                    fs::remove_file("/run/looked/done").unwrap();
                    return text;
                }
                assert!(Instant::now() < end, "nothing was started");
                sleep(Duration::from_millis(10));
            }
        };
        let at_a_terminal = |words: &[&str]| {
            Terminal::start(words).talk(Script::new()).expect_success();
            looked()
        };
        assert_eq!(
            at_a_terminal(&["/run/look"]),
            "0 is a terminal\n1 is a terminal\n2 is a terminal\n/dev/tty opens\nlooked\n",
            "it can see one"
        );
        host.configure("[courier.command]\nrun = [\"/run/look\"]\n");
        let phone = host.enroll("alice");
        host.admin(&["user", "set", "alice", "--methods", "app,command"]);
        host.write_service("su", stacks::CODE_ALONE);
        let script = Script::new()
            .answer("Verification code (Enter to have one sent): ", "command")
            .answer_with("Verification code (Enter for another): ", || {
                assert_eq!(looked(), "looked\n", "started by bob's su");
                phone.code()
            });
        host.su("bob", "alice", "id -un")
            .talk(script)
            .expect_success();
        assert_eq!(
            at_a_terminal(&["mfa-admin", "notify", "drain"]),
            "looked\n",
            "started by root's mfa-admin"
        );
    });
}

// CVE-2023-6246 (glibc): what logs is known by argv[0], and that was longer than syslog(3) had room for.
#[test]
fn a_program_with_a_long_name_is_logged_all_the_same() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n");
        let phone = host.enroll("alice");
        host.write_service("su", stacks::CODE_ALONE);
        for length in [100, 1000, 8000] {
            let mark = host.mark();
            let name = "s".repeat(length);
            let renamed = format!("exec -a {name} su alice -c 'id -un'");
            host.terminal_of("bob", &["bash", "-c", &renamed])
                .talk(Script::new().answer("Verification code: ", &phone.wrong_code()))
                .expect_failure();
            let lines = host.log_since(mark);
            let refused: Vec<_> = lines
                .iter()
                .filter(|line| line.text.contains("id=MFA-2101 "))
                .collect();
            assert_eq!(refused.len(), 1, "{length}");
            // It is that name, as far as rsyslog keeps it.
            assert!(refused[0].program.starts_with(&name[..100]));
        }
    });
}

// CVE-2021-4034 (pkexec): a program that is started without arguments, not even its own name.
#[test]
fn a_program_without_arguments_not_even_its_name_does_nothing() {
    on_a_test_host(|host| {
        host.enroll("alice");
        let files = |host: &Host| {
            host.run(&[
                "find",
                "/etc/mfa",
                "/var/lib/mfa",
                "/var/spool/mfa",
                "-printf",
                "%p %i %s %T@\\n",
            ])
            .expect_success()
            .stdout
            .clone()
        };
        let before = files(host);
        let start = "import ctypes, sys\n\
            argv = (ctypes.c_char_p * 1)(None)\n\
            envp = (ctypes.c_char_p * 3)(b'drain', b'PATH=GCONV_PATH=.', None)\n\
            ctypes.CDLL(None).execve(sys.argv[1].encode(), argv, envp)\n\
            sys.exit('execve has failed')";
        for program in ["/usr/sbin/mfa-admin", "/usr/libexec/mfa/mfa-courier"] {
            let ended = host.run(&["python3", "-c", start, program]);
            assert_eq!(ended.exit, 2, "{program}: {}{}", ended.stdout, ended.stderr);
            assert!(
                ended.stderr.contains("Usage: "),
                "{program}: {}",
                ended.stderr
            );
        }
        assert_eq!(files(host), before);
    });
}

// CVE-2012-6140 (google-authenticator): a secret that the user, and whatever the user runs, can read.
#[test]
fn nobody_but_root_can_read_what_is_kept_about_a_user() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.admin_with(&["credential", "set", "smtp-password"], "kestrel\n");
        let readable_by = |name: &str| {
            // find itself asks with the rights of whom it runs as (access(2)).
            let user = format!("--reuid={name}");
            let group = format!("--regid={name}");
            let found = host.run(&[
                "setpriv",
                &user,
                &group,
                "--init-groups",
                "find",
                "/etc/mfa",
                "/var/lib/mfa",
                "/var/spool/mfa",
                "-type",
                "f",
                "-readable",
            ]);
            let mut found: Vec<_> = found.stdout.lines().map(str::to_owned).collect();
            found.sort();
            found
        };
        let all = readable_by("root");
        for file in [
            "/etc/mfa/seal.key",
            "/etc/mfa/credentials/smtp-password",
            "/var/lib/mfa/users/alice.toml",
            "/var/lib/mfa/state/alice",
        ] {
            assert!(all.iter().any(|found| found == file), "{file} in {all:?}");
        }
        assert_eq!(readable_by("alice"), ["/etc/mfa/mfa.toml"]);
        assert_eq!(readable_by("bob"), ["/etc/mfa/mfa.toml"]);
        assert_eq!(
            readable_by("_mfa"),
            ["/etc/mfa/credentials/smtp-password", "/etc/mfa/mfa.toml"]
        );
    });
}
