//! Every service file that we ship: skips let in, errors do not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mfa_tests::{Authenticator, Host, PASSWORD, Talk, on_a_test_host, repository, stacks};

/// The examples and the host program that uses each.
const EXAMPLES: [(&str, &str); 5] = [
    ("sshd-code-after-password", "sshd"),
    ("sshd-key-and-code", "sshd"),
    ("login", "login"),
    ("su", "su"),
    ("sudo", "sudo"),
];

/// What shows in the transcript of whoever got in.
const INSIDE: &str = "he-is-inside";

/// Logs `name` in through `example`, and answers passwords and codes rightly whenever they are asked for.
fn attempt(
    host: &Host,
    example: &str,
    stack: &str,
    name: &str,
    phone: Option<&Authenticator>,
) -> Talk {
    let service = EXAMPLES
        .iter()
        .find(|(known, _)| *known == example)
        .unwrap()
        .1;
    let greeting = "printf 'he-is-%s\\n' inside";
    let mut asked = 0;
    let person = |prompt: &str| {
        asked += 1;
        match prompt {
            // Everybody is asked a few times; who is asked for ever is not let in.
            _ if asked > 8 => None,
            prompt if prompt.ends_with("login: ") => None,
            prompt if prompt.ends_with("$ ") => Some(format!("{greeting}; exit")),
            prompt if prompt.contains("code") => {
                Some(phone.map_or_else(|| "000000".to_owned(), |phone| phone.code_of(phone.step())))
            }
            _ => Some(PASSWORD.to_owned()),
        }
    };
    // Debian's login waits 3 s after a failure of any kind; nothing here depends on it.
    let stack = stack.replace("delay=3000000", "delay=0");
    host.write_service(service, &stack);
    match (example, service) {
        ("sshd-key-and-code", _) => {
            let fragment = repository().join("config/sshd_config.d/pam_mfa.conf");
            let sshd = host.start_sshd(&stack, &[&format!("Include {}", fragment.display())]);
            let client = sshd
                .ssh(name)
                .with_key()
                .methods("publickey,keyboard-interactive")
                .command(greeting);
            client.start().talk_freely(person)
        }
        (_, "sshd") => {
            let sshd = host.start_sshd(&stack, &[]);
            sshd.ssh(name).command(greeting).start().talk_freely(person)
        }
        (_, "login") => host.login(name).talk_freely(person),
        (_, "su") => host.su("mallory", name, greeting).talk_freely(person),
        _ => host.sudo(name, &["sh", "-c", greeting]).talk_freely(person),
    }
}

#[test]
fn all_examples_are_tested() {
    let mut found: Vec<String> = fs::read_dir(repository().join("config/pam.d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut tested = EXAMPLES.map(|(name, _)| name);
    tested.sort_unstable();
    assert_eq!(found, tested);
}

#[test]
fn a_code_lets_in_through_every_example() {
    on_a_test_host(|host| {
        for (number, (example, _)) in EXAMPLES.into_iter().enumerate() {
            let name = ["alice", "bob", "carol", "dave", "erin"][number];
            let phone = host.enroll(name);
            let mark = host.mark();
            attempt(host, example, &stacks::example(example), name, Some(&phone))
                .expect_text(INSIDE);
            host.one_since(mark, "MFA-2001");
        }
    });
}

#[test]
fn nullok_lets_in_who_has_no_record_through_every_example() {
    on_a_test_host(|host| {
        for (example, _) in EXAMPLES {
            let stack = stacks::example(example);
            attempt(host, example, &stack, "alice", None).expect_no_text(INSIDE);
            let mark = host.mark();
            attempt(host, example, &stacks::with_nullok(&stack), "alice", None).expect_text(INSIDE);
            let lines = host.audit_since(mark);
            let skips: Vec<_> = lines.iter().filter(|line| line.id == "MFA-2003").collect();
            assert_eq!(skips.len(), 2, "auth and account: {lines:#?}");
            assert!(
                skips
                    .iter()
                    .all(|line| line.severity == "info" && line["outcome"] == *"info")
            );
            // On one hook only it lets nobody in.
            let half = stacks::with_argument(&stack, &["auth"], "nullok");
            attempt(host, example, &half, "alice", None).expect_no_text(INSIDE);
        }
    });
}

#[test]
fn nullok_lets_in_nobody_who_was_enrolled_once() {
    on_a_test_host(|host| {
        host.enroll("alice");
        host.admin(&["app", "remove", "alice", "phone", "--yes"]);
        for (example, _) in EXAMPLES {
            let mark = host.mark();
            attempt(
                host,
                example,
                &stacks::with_nullok(&stacks::example(example)),
                "alice",
                None,
            )
            .expect_no_text(INSIDE);
            assert!(!host.ids_since(mark).contains(&"MFA-2003".to_owned()));
            host.admin(&["user", "unlock", "alice"]);
        }
    });
}

#[test]
fn nullok_lets_in_who_has_a_record_and_never_had_an_app() {
    on_a_test_host(|host| {
        host.admin(&["user", "add", "alice"]);
        for (example, _) in EXAMPLES {
            attempt(
                host,
                example,
                &stacks::with_nullok(&stacks::example(example)),
                "alice",
                None,
            )
            .expect_text(INSIDE);
        }
    });
}

type Damage = (&'static str, &'static str, fn(&Host));

/// What can be broken, the audit id that tells so, and how it is broken.
const DAMAGES: [Damage; 9] = [
    ("a typing error in mfa.toml", "MFA-4002", |_| {
        fs::write("/etc/mfa/mfa.toml", "version = 1\n[prompt\n").unwrap();
    }),
    ("no mfa.toml", "MFA-4002", |_| {
        fs::remove_file("/etc/mfa/mfa.toml").unwrap();
    }),
    ("no sealing key", "MFA-4001", |_| {
        fs::remove_file("/etc/mfa/seal.key").unwrap();
    }),
    ("a sealing key that others read", "MFA-4001", |_| {
        fs::set_permissions("/etc/mfa/seal.key", fs::Permissions::from_mode(0o644)).unwrap();
    }),
    ("no machine id", "MFA-4004", |_| {
        fs::write("/etc/machine-id", "").unwrap();
    }),
    ("an unreadable record", "MFA-4001", |_| {
        fs::write("/var/lib/mfa/users/alice.toml", "version = \n").unwrap();
    }),
    ("a state with two bad slots", "MFA-4001", |_| {
        fs::write("/var/lib/mfa/state/alice", [0; 4096]).unwrap();
    }),
    ("a state that others write", "MFA-4001", |_| {
        let mode = fs::Permissions::from_mode(0o602);
        fs::set_permissions("/var/lib/mfa/state/alice", mode).unwrap();
    }),
    ("no store", "MFA-4001", |_| {
        fs::rename("/var/lib/mfa/users", "/var/lib/mfa/gone").unwrap();
        fs::rename("/var/lib/mfa/state", "/var/lib/mfa/gone-too").unwrap();
    }),
];

/// With nullok on top: what lets people in without a code must not be reached by an error.
fn nobody_gets_in(example: &str, host: &Host) {
    let stack = stacks::with_nullok(&stacks::example(example));
    host.configure("tries = 1\n");
    let phone = host.enroll("alice");
    host.run(&[
        "sh",
        "-c",
        "mkdir /run/intact && cp -a /etc/mfa /run/intact/etc && cp -a /var/lib/mfa /run/intact/lib",
    ])
    .expect_success();
    for (damage, id, break_it) in DAMAGES {
        break_it(host);
        for (name, phone) in [("alice", Some(&phone)), ("bob", None)] {
            // What is alice's alone is nothing to bob.
            if name == "bob" && (damage.contains("record") || damage.contains("state")) {
                continue;
            }
            let mark = host.mark();
            let talk = attempt(host, example, &stack, name, phone);
            assert!(
                !talk.transcript.contains(INSIDE),
                "{example}, {damage}: {name} got in:\n{}",
                talk.transcript
            );
            let lines = host.audit_since(mark);
            assert!(
                lines.iter().any(|line| line.id == id),
                "{example}, {damage}, {name}: {lines:#?}\n{}",
                talk.transcript
            );
        }
        host.run(&["sh", "-c", "rm -rf /etc/mfa /var/lib/mfa/*; cp -a /run/intact/etc /etc/mfa; cp -a /run/intact/lib/. /var/lib/mfa"])
            .expect_success();
        fs::write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n").unwrap();
    }
    host.admin(&["user", "unlock", "alice"]);
    attempt(host, example, &stack, "alice", Some(&phone)).expect_text(INSIDE);
}

#[test]
fn no_error_lets_in_through_ssh_with_password_and_code() {
    on_a_test_host(|host| nobody_gets_in("sshd-code-after-password", host));
}

#[test]
fn no_error_lets_in_through_ssh_with_key_and_code() {
    on_a_test_host(|host| nobody_gets_in("sshd-key-and-code", host));
}

#[test]
fn no_error_lets_in_through_login() {
    on_a_test_host(|host| nobody_gets_in("login", host));
}

#[test]
fn no_error_lets_in_through_su() {
    on_a_test_host(|host| nobody_gets_in("su", host));
}

#[test]
fn no_error_lets_in_through_sudo() {
    on_a_test_host(|host| nobody_gets_in("sudo", host));
}
