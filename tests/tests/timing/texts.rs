//! What an application that calls PAM sees, to the last byte: prompts, their number, echo, results, the delay that is asked for,
//! PAM's environment, and what the module left behind in its process.

use mfa_tests::pam_host::{Seen, built};
use mfa_tests::{install_courier, on_a_bare_host};

use crate::people::{KINDS, Kind, LIMITS, People};

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
        vec![wrong],
        vec![],
    ]
}

#[test]
fn every_refusal_gives_the_transcript_of_a_wrong_code_in_every_configuration() {
    on_a_bare_host(|machine| {
        install_courier();
        std::fs::create_dir_all("/run/mail").unwrap();
        std::os::unix::fs::chown("/run/mail", Some(991), Some(991)).unwrap();
        let people = People::settle(machine);
        let wrong = people.app.wrong_code();
        let spy = format!("export LD_PRELOAD={}", built("pam_delay.so").display());
        let mut compared = 0;
        for (configuration, tables) in [
            ("no delivery", String::new()),
            (
                "one prompt, echo, no delay",
                "[prompt]\ntries = 1\necho = true\nfail_delay = \"0s\"\n".to_owned(),
            ),
            (
                "nobody without a record is asked to have one",
                "[device]\nrequired = true\n[prompt]\ntries = 5\nfail_delay = \"4s\"\n".to_owned(),
            ),
            ("mail, on request", MAIL.to_owned()),
            (
                "mail, at once",
                format!("[prompt]\nfirst = \"send\"\n{MAIL}"),
            ),
            ("mail, never sent", format!("[code]\nmax_sends = 0\n{MAIL}")),
        ] {
            people.host.configure(&format!("{LIMITS}{tables}"));
            for typed in answers(&wrong) {
                let mut expected = None;
                for kind in KINDS {
                    people.put_back();
                    let seen = people
                        .host
                        .player()
                        .options(&["--check"])
                        .before(&spy)
                        .play(&script(&kind.name(), &typed));
                    let text = transcript(kind, &seen);
                    assert!(
                        text.contains("ASKED FOR DELAY") && !text.contains("PAM_SUCCESS\nUSER"),
                        "{seen}"
                    );
                    // Somebody whose code is judged has to be told why, once at least; else all of this compares nothing.
                    assert!(
                        typed != vec![wrong.as_str(); 12] || !seen.events(kind.event()).is_empty(),
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
        mfa_tests::proof::tell(
            "timing-texts",
            "Texts tell nobody apart: libpam",
            &[
                (
                    "transcripts compared, 11 kinds of people",
                    compared.to_string(),
                ),
                ("that differ from a wrong code's", "0".to_owned()),
            ],
        );
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
