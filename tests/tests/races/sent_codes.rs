//! Codes that are sent: each is good once, asking for another voids it, and no new one is lost.

use std::fs;
use std::os::unix::fs::chown;

use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, PamHost, SUCCESS};
use mfa_tests::proof::{rounds, tell};
use mfa_tests::{install_courier, on_a_bare_host};

use crate::{PATIENT, Progress, count, rounds_of};

/// Where the mails end up, one `.eml` each.
const OUTBOX: &str = "/run/outbox";
/// Where the codes of `pN` are put.
const CODES: &str = "/run/codes";
/// The uid of `_mfa`.
const COURIER: u32 = 991;
/// People of one run.
const BATCH: usize = 25;

/// A host that sends codes into a folder, and people with an address and nothing else.
pub(crate) fn host_that_sends(people: usize, more: &str) -> PamHost {
    install_courier();
    for folder in [OUTBOX, CODES] {
        fs::create_dir(folder).unwrap();
    }
    chown(OUTBOX, Some(COURIER), Some(COURIER)).unwrap();
    let mut host = PamHost::with_config(&format!(
        "[prompt]\ntries = 1\n{PATIENT}[code]\nmax_sends = 1000\n[notices]\non_login = \"never\"\non_failure = false\n\
         [courier]\nemail = \"file\"\n[courier.file]\nfolder = {OUTBOX:?}\ndemo = true\n{more}"
    ));
    host.add_people((1..=people).map(|number| format!("p{number}")));
    for number in 1..=people {
        let (name, address) = (format!("p{number}"), format!("p{number}@example.com"));
        host.admin(&[
            "user", "add", &name, "--method", "email", "--email", &address,
        ])
        .expect_success();
    }
    host
}

/// Waits for the mail to a person, and puts the code of it into a file.
pub(crate) fn keep_code(name: &str) -> String {
    // Renamed into place, so whole.
    format!(
        "until mail=$(grep -l '^To: .*{name}@example.com' {OUTBOX}/*.eml 2>/dev/null); do sleep 0.01; done; \
         sed -n 's/^Subject: \\([0-9]*\\) .*/\\1/p' $mail >{CODES}/{name}; rm $mail"
    )
}

/// The code that [`keep_code`] has kept.
pub(crate) fn kept_code(name: &str) -> String {
    let code = fs::read_to_string(format!("{CODES}/{name}")).unwrap();
    assert_eq!(code.trim().len(), 6, "{code}");
    code.trim().to_owned()
}

/// A login from where codes are asked for and used.
fn from_here(name: &str) -> String {
    format!("user {name}\nrestart\nset rhost 203.0.113.7\n")
}

/// A login that asks for a code, waits for the mail and hangs up.
pub(crate) fn ask(name: &str) -> String {
    format!(
        "{}answer text \ndo run {}\nanswer convfail\nauthenticate\n",
        from_here(name),
        keep_code(name)
    )
}

/// A login with a code.
fn answer(name: &str, code: &str) -> String {
    format!("{}answer text {code}\nauthenticate\n", from_here(name))
}

fn everybody(people: usize, script: impl Fn(&str) -> String) -> String {
    (1..=people)
        .map(|number| script(&format!("p{number}")))
        .collect()
}

#[test]
fn a_code_that_was_sent_lets_in_one_of_20_logins_at_once() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 20;
        let rounds = rounds(10, 750);
        let people = rounds.min(BATCH);
        let host = host_that_sends(people, "");
        let mut progress = Progress::of("a code that was sent", rounds);
        let mut done = 0;
        while done < rounds {
            let asked = host.play(&everybody(people, ask));
            assert_eq!(
                (asked.code, asked.count(CONV_ERR)),
                (Some(0), people),
                "{asked}"
            );
            let script = everybody(people, |name| {
                let code = kept_code(name);
                format!(
                    "{}do barrier\nanswer text {code}\nauthenticate\n",
                    from_here(name)
                )
            });
            let seen = host
                .player()
                .options(&["--parallel", &CHILDREN.to_string()])
                .play(&script);
            assert_eq!(seen.code, Some(0), "{seen}");
            for results in rounds_of(&seen, CHILDREN) {
                assert_eq!(count(&results, SUCCESS), 1, "{seen}");
                assert_eq!(count(&results, AUTH_ERR), CHILDREN - 1, "{seen}");
                done += 1;
            }
            progress.at(done);
        }
        tell(
            "races-07-sent-code",
            "Races: one code that was sent by mail, 20 logins at once",
            &[
                ("rounds", done.to_string()),
                ("logins let in", done.to_string()),
            ],
        );
    });
}

#[test]
fn who_asks_for_a_new_code_while_others_use_the_old_one_gets_one_that_is_good() {
    on_a_bare_host(|_| {
        const CHILDREN: usize = 6;
        let rounds = rounds(10, 500);
        let people = rounds.min(BATCH);
        let host = host_that_sends(people, "");
        let mut progress = Progress::of("asking against using", rounds);
        let (mut done, mut before, mut void) = (0, 0, 0);
        while done < rounds {
            let asked = host.play(&everybody(people, ask));
            assert_eq!(
                (asked.code, asked.count(CONV_ERR)),
                (Some(0), people),
                "{asked}"
            );
            let old: Vec<_> = (1..=people)
                .map(|number| kept_code(&format!("p{number}")))
                .collect();
            let script: Vec<_> = (1..=people)
                .map(|number| {
                    let (name, code) = (format!("p{number}"), &old[number - 1]);
                    // The first one asks; the others use what was sent before, a little sooner or later.
                    format!(
                        "{}do barrier\nanswer run test %i = 1 || {{ sleep 0.00%i; echo {code}; }}\n\
                         do run test %i != 1 || {{ {}; }}\nanswer convfail\nauthenticate\nforget\n",
                        from_here(&name),
                        keep_code(&name)
                    )
                })
                .collect();
            let seen = host
                .player()
                .options(&["--parallel", &CHILDREN.to_string()])
                .play(&script.concat());
            assert_eq!(seen.code, Some(0), "{seen}");
            for (number, results) in (1..).zip(rounds_of(&seen, CHILDREN)) {
                let name = format!("p{number}");
                assert_eq!(results[0], CONV_ERR, "{seen}");
                assert!(count(&results, SUCCESS) <= 1, "{name}\n{seen}");
                if count(&results, SUCCESS) == 1 {
                    before += 1;
                } else {
                    void += 1;
                }
                let new = kept_code(&name);
                let after = host.play(&format!(
                    "{}{}",
                    answer(&name, &old[number - 1]),
                    answer(&name, &new)
                ));
                assert_eq!(
                    after.results(),
                    [AUTH_ERR, SUCCESS],
                    "{name}\n{seen}{after}"
                );
                done += 1;
            }
            progress.at(done);
        }
        tell(
            "races-08-asking",
            "Races: one login asks for a new code while five use the old one",
            &[
                ("rounds", done.to_string()),
                ("the old code was used before", before.to_string()),
                ("the old code was void", void.to_string()),
                (
                    "the new code was good afterwards, and the old one not",
                    done.to_string(),
                ),
            ],
        );
    });
}
