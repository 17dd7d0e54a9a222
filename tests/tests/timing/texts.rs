//! What an application that calls PAM sees, to the last byte: prompts, their number, echo, results, the delay that is asked for,
//! PAM's environment, and what the module left behind in its process.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use mfa_tests::pam_host::{AUTH_ERR, SUCCESS, Seen, UNAVAIL, built};
use mfa_tests::{install_courier, on_a_bare_host, proof};

use crate::people::{KINDS, Kind, LIMITS, People, RECOVERY_SHAPED};

/// Mail that goes into a folder: delivery without a server.
const MAIL: &str =
    "[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"/run/mail\"\ndemo = true\n";

/// Two attempts of one application, the second as it comes after the first.
fn script(user: &str, answers: &[&str]) -> String {
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| format!("answer text {answer}\n"))
        .collect();
    let answers = answers.concat();
    // Not MFA_LOGIN_SEQ, the number of lines in the log, which does depend on the user: nobody but the host program sees it
    // before a login has succeeded.
    let environment = "getuser\ngetenv MFA_LOGIN\ngetenv MFA_LOGIN_METHOD\n";
    let attempt = format!("{answers}authenticate\n{environment}forget\n");
    format!("user {user}\nset rhost 203.0.113.7\nset tty ssh\n{attempt}{attempt}setcred\n")
}

/// What an attacker sees of a run: all of it, but for the user's own name, the reference, the attempt's name and the part of the
/// delay that libpam makes up at random.
fn transcript(kind: Kind, seen: &Seen) -> String {
    let mut text = format!("exit {:?}\n{}", seen.code, seen.stderr);
    for line in &seen.lines {
        let mut line = line.replace(&kind.name(), "NAME");
        if let Some((before, rest)) = line.split_once("(ref ") {
            let (_, after) = rest.split_once(')').unwrap();
            line = format!("{before}(ref ????){after}");
        }
        if line.starts_with("DELAY") || line.starts_with("ENV MFA_LOGIN \"") {
            line = line.rsplit_once(' ').unwrap().0.to_owned();
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Answers that are typed by turns; none of them lets anybody in. Where more is asked, the application gives up.
fn answers(wrong: &str) -> Vec<Vec<&str>> {
    vec![
        vec![wrong; 12],
        vec![""; 24],
        vec!["", wrong, "", wrong, wrong, wrong, wrong],
        vec!["email", "telegram", "command", "email", wrong, wrong],
        vec!["x", "12345", "1234567890123456789012345", "x", "x", "x"],
        vec!["0000-0000-0000-0", "00000000", "0000 0000", wrong, wrong],
        vec![
            RECOVERY_SHAPED,
            "no such code!",
            RECOVERY_SHAPED,
            wrong,
            wrong,
        ],
        vec![wrong],
        vec![],
    ]
}

/// Has everybody try everything in each of the configurations. How many transcripts were compared.
fn compare(people: &People, configurations: &[(&str, &str)]) -> usize {
    let wrong = people.app.wrong_code();
    let spy = format!("export LD_PRELOAD={}", built("pam_delay.so").display());
    let mut compared = 0;
    for (number, (configuration, tables)) in configurations.iter().enumerate() {
        people.host.configure(&format!("{LIMITS}{tables}"));
        for (at, typed) in answers(&wrong).into_iter().enumerate() {
            // The short form takes half of them by turns, and always wrong codes.
            if !proof::is_long() && at > 0 && (at + number) % 2 == 0 {
                continue;
            }
            let mut expected = None;
            for kind in KINDS {
                people.put_back();
                let player = people.host.player().options(&["--check"]).before(&spy);
                let seen = player.play(&script(&kind.name(), &typed));
                let text = transcript(kind, &seen);
                assert!(text.contains("ASKED FOR DELAY"), "{seen}");
                assert!(!seen.results().contains(&SUCCESS), "{seen}");
                // Whose code is judged is refused for the reason that is meant; else all of this compares nothing.
                assert!(
                    at > 0 || !seen.events(kind.event()).is_empty(),
                    "{kind:?}\n{seen}"
                );
                compared += 1;
                match &expected {
                    None => expected = Some(text),
                    Some(expected) => assert_eq!(
                        &text, expected,
                        "{kind:?} and a wrong code, {configuration}, {typed:?}\n{seen}"
                    ),
                }
            }
        }
    }
    compared
}

fn tell(name: &str, title: &str, compared: usize) {
    let counts = [
        (
            "transcripts compared, 12 kinds of people",
            compared.to_string(),
        ),
        ("that differ from a wrong code's", "0".to_owned()),
    ];
    proof::tell(name, title, &counts);
}

#[test]
fn every_refusal_gives_the_transcript_of_a_wrong_code_where_nothing_is_delivered() {
    on_a_bare_host(|machine| {
        let configurations = [
            ("the defaults", ""),
            (
                "one prompt, echo, no delay",
                "[prompt]\ntries = 1\necho = true\nfail_delay = \"0s\"\n",
            ),
            (
                "five prompts, a long delay",
                "[prompt]\ntries = 5\nfail_delay = \"4s\"\n",
            ),
        ];
        let compared = compare(&People::settle(machine), &configurations);
        tell(
            "timing-texts",
            "Texts tell nobody apart: libpam, nothing is delivered",
            compared,
        );
    });
}

#[test]
fn every_refusal_gives_the_transcript_of_a_wrong_code_where_codes_are_delivered() {
    on_a_bare_host(|machine| {
        install_courier();
        fs::create_dir_all("/run/mail").unwrap();
        let courier = Command::new("id").args(["-u", "_mfa"]).output().unwrap();
        let courier = String::from_utf8(courier.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        chown("/run/mail", Some(courier), None).unwrap();
        let configurations = [
            ("on request", MAIL.to_owned()),
            ("at once", format!("[prompt]\nfirst = \"send\"\n{MAIL}")),
            ("never", format!("[code]\nmax_sends = 0\n{MAIL}")),
        ];
        let configurations = configurations
            .each_ref()
            .map(|(what, tables)| (*what, tables.as_str()));
        let compared = compare(&People::settle(machine), &configurations);
        tell(
            "timing-texts-delivery",
            "Texts tell nobody apart: libpam, codes are delivered",
            compared,
        );
    });
}

/// A caller of su can say how much memory its process may have, and say so while the prompt is open.
#[test]
fn who_has_no_memory_for_a_hash_is_refused_alike_whoever_it_is() {
    const MIB: usize = 1 << 20;
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        people
            .host
            .configure(&format!("[prompt]\ntries = 1\n{LIMITS}"));
        for (room, expected) in [(MIB, UNAVAIL), (3 * MIB, UNAVAIL), (40 * MIB, AUTH_ERR)] {
            for answer in [
                RECOVERY_SHAPED,
                "no such code!",
                r"\x08\n\r\x7fINCORRECT\x08\n",
            ] {
                for kind in KINDS {
                    people.put_back();
                    let limit = format!(
                        "prlimit --pid $PPID --as=$(( $(cut -d' ' -f1 /proc/$PPID/statm) * $(getconf PAGESIZE) + {room} ))"
                    );
                    let seen = people.host.play(&format!(
                        "user {}\ndo run {limit}\nanswer text {answer}\nauthenticate\n",
                        kind.name()
                    ));
                    assert_eq!(
                        seen.sole_result(),
                        expected,
                        "{kind:?}, {answer:?}, {room}\n{seen}"
                    );
                    let lines = seen.events("MFA-4001").len();
                    assert_eq!(lines, usize::from(expected == UNAVAIL), "{kind:?}\n{seen}");
                }
            }
        }
    });
}

#[test]
fn a_right_code_of_who_may_not_log_in_looks_like_a_wrong_one() {
    on_a_bare_host(|machine| {
        let people = People::settle(machine);
        let wrong = people.app.wrong_code();
        let play = |kind: Kind, code: &str| {
            people.put_back();
            let seen = people
                .host
                .player()
                .options(&["--check"])
                .play(&script(&kind.name(), &[code; 3]));
            (transcript(kind, &seen), seen)
        };
        let (expected, _) = play(Kind::WrongCode, &wrong);
        let mut refused = 0;
        for kind in KINDS {
            let (text, seen) = play(kind, &people.app.code_of(people.app.step()));
            if kind.may_log_in() {
                // The code is right: this test would see it.
                assert!(text.contains("PAM_SUCCESS\nUSER"), "{seen}");
            } else {
                assert_eq!(text, expected, "{kind:?}\n{seen}");
                refused += 1;
            }
        }
        assert_eq!(refused, KINDS.len() - 2);
    });
}
