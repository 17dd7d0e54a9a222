//! What administrators change, against logins: after a command has returned, every answer is judged by what it wrote.

use std::fs;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, PERM_DENIED, PamHost, SUCCESS};
use mfa_tests::proof::{rounds, tell};

use crate::{Crowd, PATIENT, Progress, count, rounds_of};

/// Logins of one round: one administrator's own, one that comes after, and those in between.
const CHILDREN: usize = 5;

/// What takes a right away, and what gives it back.
const EDITS: [(&str, &str); 5] = [
    ("user suspend NAME --reason left", "user resume NAME"),
    (
        "device revoke NAME here --yes",
        "device assign NAME this --label here",
    ),
    ("app remove NAME phone --yes", ""),
    (
        "user set NAME --email NAME@example.com --methods email",
        "user set NAME --methods app",
    ),
    ("user remove NAME --yes", ""),
];

#[test]
fn a_revocation_counts_for_every_answer_given_after_it() {
    on_a_bare_host(|_| {
        let mut host = PamHost::with_config(&format!("[prompt]\ntries = 1\n{PATIENT}"));
        let rounds = rounds(50, 1500);
        let mut progress = Progress::of("revocations", rounds);
        let (mut done, mut accepted, mut logins, mut resumed) = (0, 0, 0, 0);
        let crowd = Crowd::enroll(&mut host, 50);
        while done < rounds {
            crowd.app.wait_for_room(3);
            let code = crowd.app.code_of(crowd.app.step());
            let next = crowd.app.code_of(crowd.app.step() + 1);
            let script: Vec<_> = (0..crowd.size)
                .map(|index| {
                    let name = format!("p{}", index + 1);
                    let edit = host.admin_command(&EDITS[index % EDITS.len()].0.replace("NAME", &name));
                    let edited = host.path(&format!("edited-{name}"));
                    let edited = edited.display();
                    // Sooner or later than the others' answers.
                    let delay = index * 7 % 20;
                    // All prompts are open. The first child edits the record and answers then; the last one answers as soon as
                    // that is done; the others don't wait for anybody. All with one right code, and the last with a newer one.
                    format!(
                        "user {name}\nrestart\ndo barrier\n\
                         do run test %i != 1 || {{ sleep 0.0{delay:02}; {edit} && touch {edited}; }}\n\
                         do run test %i != {CHILDREN} || until test -e {edited}; do sleep 0.001; done\n\
                         answer run test %i = {CHILDREN} && echo {next} || {{ sleep 0.00$(((%i - 1) * 2)); echo {code}; }}\n\
                         authenticate\nacct_mgmt\n"
                    )
                })
                .collect();
            let seen = host
                .player()
                .options(&["--parallel", &CHILDREN.to_string()])
                .play(&script.concat());
            assert_eq!(seen.code, Some(0), "{seen}");
            let results = rounds_of(&seen, CHILDREN);
            for (index, pair) in results.chunks(2).enumerate() {
                let [authenticated, account] = pair else {
                    panic!("{seen}");
                };
                let name = format!("p{}", index + 1);
                let edit = EDITS[index % EDITS.len()].0;
                for late in [0, CHILDREN - 1] {
                    assert_eq!(authenticated[late], AUTH_ERR, "{name}: {edit}\n{seen}");
                    let without_app = edit.starts_with("app remove") || edit.contains("--methods");
                    let expected = if without_app {
                        account[late]
                    } else {
                        PERM_DENIED
                    };
                    assert_eq!(account[late], expected, "{name}: {edit}\n{seen}");
                }
                assert!(count(authenticated, SUCCESS) <= 1, "{name}: {edit}\n{seen}");
                accepted += count(authenticated, SUCCESS);
                logins += CHILDREN;
                done += 1;
            }
            // What is given back counts at once as well, and so does what is removed.
            let mut script = Vec::new();
            for index in 0..crowd.size {
                let name = format!("p{}", index + 1);
                let back = EDITS[index % EDITS.len()].1.replace("NAME", &name);
                if !back.is_empty() {
                    let back = host.admin_command(&back);
                    script.push(format!(
                        "user {name}\nrestart\ndo run {back}\nanswer text {next}\nauthenticate\n"
                    ));
                }
            }
            resumed += script.len();
            let seen = host.play(&script.concat());
            assert_eq!(
                (seen.code, seen.count(SUCCESS)),
                (Some(0), script.len()),
                "{seen}"
            );
            restore(&host, &crowd);
            progress.at(done);
        }
        tell(
            "races-12-revocations",
            "Races: an edit of the record while five logins have their prompts open",
            &[
                ("edits", done.to_string()),
                ("logins with right codes", logins.to_string()),
                ("let in before the edit was done", accepted.to_string()),
                ("let in with an answer given after it", "0".to_owned()),
                ("imports against logins", "not built yet".to_owned()),
                (
                    "edits that gave the right back; the next login was let in",
                    resumed.to_string(),
                ),
            ],
        );
    });
}

/// Everybody as before.
fn restore(host: &PamHost, crowd: &Crowd) {
    for index in 0..crowd.size {
        let name = format!("p{}", index + 1);
        let edit = EDITS[index % EDITS.len()].0;
        if edit.starts_with("user remove") {
            assert!(!host.record_path(&name).exists() && !host.state_path(&name).exists());
            host.enroll_app(&name, &crowd.app);
        } else if edit.starts_with("app remove") {
            host.add_app(&name, "phone", &crowd.app);
        }
        let _ = fs::remove_file(host.path(&format!("edited-{name}")));
    }
    crowd.refresh(host);
}
