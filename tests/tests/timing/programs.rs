//! What a person at a terminal sees of sshd with the OpenSSH client (`ssh -vvv`: packet by packet), login and su.

use std::fs;

use mfa_tests::{Host, PASSWORD, Script, Sshd, Talk, Terminal, on_a_test_host, stacks};

use crate::people::{KINDS, Kind, LIMITS, People};

const CODE: &str = "Verification code: ";

/// Everybody, and module lines in a stack read their configuration.
fn settle(machine: &Host) -> People {
    let people = People::settle(machine);
    people
        .host
        .configure(&format!("[prompt]\nfail_delay = \"0s\"\n{LIMITS}"));
    people
}

fn with_configuration(people: &People, stack: &str) -> String {
    let path = people.host.path("mfa.toml");
    stack.replace("pam_mfa.so", &format!("pam_mfa.so conf={}", path.display()))
}

/// The exit code and all that stood on the terminal, without the user's name and seconds.
fn transcript(name: &str, talk: &Talk) -> String {
    let lines: Vec<_> = talk
        .transcript
        .lines()
        .filter(|line| {
            !line.starts_with("Bytes per second") && !line.starts_with("debug1: Local version")
        })
        .map(|line| match line.split_once(" bytes, in ") {
            Some((bytes, _seconds)) => format!("{bytes} bytes"),
            None => line.replace(name, "NAME"),
        })
        .collect();
    format!("exit {}\n{}", talk.exit, lines.join("\n"))
}

/// What a person saw of a program that ends with a refusal. When the leader of a terminal's session exits, the kernel throws
/// away what nobody has read yet: on a busy machine the last line gets lost now and then, and the program is run again.
fn seen_to_the_end(run: impl Fn() -> Talk) -> Talk {
    const REFUSALS: [&str; 3] = [
        "Permission denied",
        "Login incorrect",
        "Authentication failure",
    ];
    for _ in 0..8 {
        let talk = run();
        if REFUSALS.iter().any(|text| talk.transcript.contains(text))
            && talk.transcript.ends_with('\n')
        {
            return talk;
        }
    }
    panic!("no refusal is seen:\n{}", run().transcript);
}

/// Has everybody try, and compares each with the first. How many were.
#[track_caller]
fn compare(
    machine: &Host,
    people: &People,
    what: &str,
    tries: &dyn Fn(&str) -> Talk,
    names: &[(String, &str)],
) -> usize {
    let mut expected: Option<String> = None;
    for (name, why) in names {
        let mark = machine.mark();
        let talk = seen_to_the_end(|| {
            people.put_back();
            tries(name)
        });
        let text = transcript(name, &talk);
        let ids = machine.ids_since(mark);
        assert!(
            why.is_empty() || ids.iter().any(|id| id == why),
            "{what}, {name}: {why} in {ids:?}\n{text}"
        );
        assert!(
            !ids.iter().any(|id| id == "MFA-2401"),
            "{what}, {name}: a session"
        );
        match &expected {
            None => expected = Some(text),
            Some(expected) => assert_eq!(&text, expected, "{what}, {name}"),
        }
    }
    names.len()
}

/// Everybody, and why the log says that they are refused.
fn everybody(without: &[Kind]) -> Vec<(String, &'static str)> {
    KINDS
        .into_iter()
        .filter(|kind| !without.contains(kind))
        .map(|kind| (kind.name(), kind.event()))
        .collect()
}

/// The same people, without a look at the log: sshd keeps the answers of who it does not want, or nothing is asked of us.
fn nobody_asks_why(names: Vec<(String, &'static str)>) -> Vec<(String, &'static str)> {
    names.into_iter().map(|(name, _)| (name, "")).collect()
}

fn verbose(sshd: &Sshd, name: &str, methods: &str) -> Terminal {
    // Each packet with its type, in order.
    sshd.ssh(name)
        .methods(methods)
        .option("LogLevel=DEBUG3")
        .start()
}

#[test]
fn ssh_shows_everybody_who_is_refused_the_same_packet_by_packet() {
    on_a_test_host(|machine| {
        let people = settle(machine);
        let wrong = people.app.wrong_code();
        let alone = with_configuration(&people, stacks::CODE_ALONE);
        let mut compared = 0;
        let by_code = |sshd: &Sshd, name: &str| {
            verbose(sshd, name, "keyboard-interactive")
                .talk(Script::new().answer_times(3, CODE, &wrong))
        };

        let sshd = machine.start_sshd(&alone, &[]);
        compared += compare(
            machine,
            &people,
            "a code alone",
            &|name| by_code(&sshd, name),
            &everybody(&[]),
        );
        drop(sshd);

        // Who is not in AllowUsers is somebody whom sshd does not want: it plays the same to its end.
        let allowed = format!(
            "AllowUsers {} {}",
            Kind::WrongCode.name(),
            Kind::Suspended.name()
        );
        let sshd = machine.start_sshd(&alone, &["PasswordAuthentication yes", &allowed]);
        let names = nobody_asks_why(everybody(&[]));
        compared += compare(
            machine,
            &people,
            "AllowUsers",
            &|name| by_code(&sshd, name),
            &names,
        );
        // The password method hands what was typed to the module as its answer: the account password, or a code.
        for typed in [PASSWORD, wrong.as_str()] {
            let by_password = |name: &str| {
                let prompt = format!("{name}@127.0.0.1's password: ");
                verbose(&sshd, name, "password").talk(Script::new().answer(&prompt, typed))
            };
            compared += compare(
                machine,
                &people,
                "PasswordAuthentication",
                &by_password,
                &names,
            );
        }
        drop(sshd);

        // Password, then code. Whom NSS does not know has no password, and never comes as far.
        let example = with_configuration(&people, &stacks::example("sshd-code-after-password"));
        let sshd = machine.start_sshd(&example, &[]);
        let both = |name: &str| {
            let script = Script::new()
                .answer("Password: ", PASSWORD)
                .answer_times(3, CODE, &wrong);
            verbose(&sshd, name, "keyboard-interactive").talk(script)
        };
        compared += compare(
            machine,
            &people,
            "password, then code",
            &both,
            &everybody(&[Kind::UnknownToNss]),
        );
        let wrong_password = |name: &str| {
            verbose(&sshd, name, "keyboard-interactive")
                .talk(Script::new().answer("Password: ", "no"))
        };
        compared += compare(
            machine,
            &people,
            "a wrong password",
            &wrong_password,
            &nobody_asks_why(everybody(&[])),
        );
        mfa_tests::proof::tell(
            "timing-ssh",
            "Texts tell nobody apart: sshd and the OpenSSH client",
            &[
                ("transcripts of ssh -vvv compared", compared.to_string()),
                ("that differ from a wrong code's", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn login_and_su_show_everybody_who_is_refused_the_same() {
    on_a_test_host(|machine| {
        let people = settle(machine);
        let wrong = people.app.wrong_code();
        // One attempt, then login goes.
        let definitions = fs::read_to_string("/etc/login.defs").unwrap();
        fs::write(
            "/etc/login.defs",
            format!("{definitions}\nLOGIN_RETRIES 1\n"),
        )
        .unwrap();
        let alone = with_configuration(&people, stacks::CODE_ALONE);
        let mut compared = 0;

        machine.write_service("login", &alone);
        let console = |name: &str| {
            machine
                .login(name)
                .talk(Script::new().answer_times(3, CODE, &wrong))
        };
        compared += compare(
            machine,
            &people,
            "login, a code alone",
            &console,
            &everybody(&[]),
        );
        let example = stacks::example("login").replace("delay=3000000", "delay=0");
        machine.write_service("login", &with_configuration(&people, &example));
        let both = |name: &str| {
            let script = Script::new()
                .answer("Password: ", PASSWORD)
                .answer_times(3, CODE, &wrong);
            machine.login(name).talk(script)
        };
        compared += compare(
            machine,
            &people,
            "login",
            &both,
            &everybody(&[Kind::UnknownToNss]),
        );

        // su itself says of whom NSS does not know that there is no such user, before it calls PAM.
        machine.write_service("su", &with_configuration(&people, &stacks::example("su")));
        let become_them = |name: &str| {
            let script = Script::new()
                .answer("Password: ", PASSWORD)
                .answer_times(3, CODE, &wrong);
            machine.su("mallory", name, "id -un").talk(script)
        };
        compared += compare(
            machine,
            &people,
            "su",
            &become_them,
            &everybody(&[Kind::UnknownToNss]),
        );
        mfa_tests::proof::tell(
            "timing-console",
            "Texts tell nobody apart: login and su",
            &[
                ("transcripts compared", compared.to_string()),
                ("that differ from a wrong code's", "0".to_owned()),
            ],
        );
    });
}
