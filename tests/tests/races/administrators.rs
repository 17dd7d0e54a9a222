//! Several administrators at once: no edit is lost, no name is taken twice, and a host is made once.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use mfa_tests::pam_host::{PamHost, SUCCESS};
use mfa_tests::proof::{rounds, tell};
use mfa_tests::{Authenticator, on_a_bare_host};

use crate::{Progress, at_once, shell};

/// Administrators at the same time.
const ADMINISTRATORS: usize = 8;

/// Runs `mfa-admin` with each of these arguments at once; the exit codes.
fn administer(host: &PamHost, arguments: impl IntoIterator<Item = String>) -> Vec<i32> {
    let commands = arguments
        .into_iter()
        .map(|each| shell(&host.admin_command(&each)))
        .collect();
    at_once(commands).iter().map(exit_code).collect()
}

fn exit_code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[test]
fn edits_at_once_are_all_kept() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let rounds = rounds(12, 600);
        let mut progress = Progress::of("edits", rounds);
        let mut edits = 0;
        let app = host.enroll("alice");
        for round in 1..=rounds {
            // Two give the same person hosts, the others change what else there is; 64 hosts are as many as can be.
            let ids: Vec<_> = (0..4)
                .map(|number| format!("{round:024x}{number:08x}"))
                .collect();
            let address = format!("round-{round}@example.com");
            let secret = Authenticator::new().secret;
            let enroll = format!(
                "app enroll alice --label round-{round} --secret - --no-confirm --qr none <<<{secret}"
            );
            let edits_now = [
                format!("device assign alice {} --label a{round}", ids[0]),
                format!("device assign alice {} --label b{round}", ids[1]),
                format!("device assign alice {} --label c{round}", ids[2]),
                format!("device assign alice {} --label d{round}", ids[3]),
                format!("user set alice --email {address}"),
                format!("user set alice --telegram {round}"),
                format!("user suspend alice --reason round-{round}"),
            ];
            let mut commands: Vec<_> = edits_now
                .iter()
                .map(|each| shell(&host.admin_command(each)))
                .collect();
            // `<<<` is bash's.
            let (verb, secret) = enroll.split_once("<<<").unwrap();
            commands.push(shell(&format!(
                "echo {secret} | {}",
                host.admin_command(verb)
            )));
            edits += commands.len();
            let codes: Vec<_> = at_once(commands).iter().map(exit_code).collect();
            assert_eq!(codes, [0; ADMINISTRATORS], "round {round}");
            let record = fs::read_to_string(host.record_path("alice")).unwrap();
            for kept in ids.iter().chain([
                &address,
                &format!("telegram = {round}\n"),
                &format!("suspended = \"round-{round}\""),
                &format!("label = \"round-{round}\""),
            ]) {
                assert!(
                    record.contains(kept.as_str()),
                    "round {round}: {kept} is lost\n{record}"
                );
            }
            // Taken back at once, too.
            let back = ["a", "b", "c", "d"]
                .map(|label| format!("device revoke alice {label}{round} --yes"));
            let back = back.into_iter().chain([
                format!("app remove alice round-{round} --yes"),
                "user resume alice".to_owned(),
            ]);
            let codes = administer(&host, back);
            edits += codes.len();
            assert_eq!(codes, [0; 6], "round {round}");
            let record = fs::read_to_string(host.record_path("alice")).unwrap();
            assert!(!record.contains(&format!("round-{round}\"")), "{record}");
            assert!(
                !ids.iter().any(|id| record.contains(id)),
                "round {round}\n{record}"
            );
            progress.at(round);
        }
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
        tell(
            "races-13-edits",
            "Races: eight edits of one record at once, then six",
            &[
                ("rounds", rounds.to_string()),
                ("edits", edits.to_string()),
                ("edits that were lost", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn of_several_who_add_one_user_one_has_added_it() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let rounds = rounds(10, 300);
        let mut progress = Progress::of("user add", rounds);
        for round in 1..=rounds {
            let same: Vec<_> = (0..ADMINISTRATORS)
                .map(|_| "user add alice --label here".to_owned())
                .collect();
            let commands = same.iter().map(|each| {
                // What it says tells who was the one.
                shell(&host.admin_command(each).replace(">/dev/null", ""))
            });
            let outputs = at_once(commands.collect());
            let added = outputs
                .iter()
                .filter(|output| output.stdout.starts_with(b"Added alice"))
                .count();
            let codes: Vec<_> = outputs.iter().map(exit_code).collect();
            assert_eq!(
                (codes, added),
                (vec![0; ADMINISTRATORS], 1),
                "round {round}"
            );
            host.admin(&["user", "remove", "alice", "--yes"])
                .expect_success();

            let codes = administer(
                &host,
                (0..ADMINISTRATORS).map(|number| {
                    format!(
                        "user add alice --label here --method email --email a{number}@example.com"
                    )
                }),
            );
            let winners: Vec<_> = (0..ADMINISTRATORS)
                .filter(|&number| codes[number] == 0)
                .collect();
            assert_eq!(winners.len(), 1, "round {round}: {codes:?}");
            assert!(codes.iter().all(|code| [0, 1].contains(code)), "{codes:?}");
            let record = fs::read_to_string(host.record_path("alice")).unwrap();
            assert!(
                record.contains(&format!("a{}@example.com", winners[0])),
                "{record}"
            );

            // Removed by several: one has done it, the others find nobody.
            let codes = administer(
                &host,
                vec!["user remove alice --yes".to_owned(); ADMINISTRATORS],
            );
            assert_eq!(
                codes.iter().filter(|&&code| code == 0).count(),
                1,
                "{codes:?}"
            );
            assert!(codes.iter().all(|code| [0, 3].contains(code)), "{codes:?}");
            assert_eq!(host.stored_files(), [""; 0]);
            progress.at(round);
        }
        tell(
            "races-14-user-add",
            "Races: eight times `user add` of one name, then eight different ones, then eight times `user remove`",
            &[
                ("rounds", rounds.to_string()),
                (
                    "rounds with exactly one winner each time",
                    rounds.to_string(),
                ),
            ],
        );
    });
}

#[test]
fn of_several_apps_with_one_label_or_one_secret_or_one_place_left_one_is_kept() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.admin(&["user", "add", "alice"]).expect_success();
        let enroll = |label: &str, secret: &str| {
            let verb =
                format!("app enroll alice --label {label} --secret - --no-confirm --qr none");
            shell(&format!("echo {secret} | {}", host.admin_command(&verb)))
        };
        let winners = |commands: Vec<_>| {
            let codes: Vec<_> = at_once(commands).iter().map(exit_code).collect();
            assert!(codes.iter().all(|code| [0, 1].contains(code)), "{codes:?}");
            codes.iter().filter(|&&code| code == 0).count()
        };
        let secrets: Vec<_> = (0..12).map(|_| Authenticator::new().secret).collect();
        let rounds = rounds(3, 100);
        for round in 0..rounds {
            let one_label = secrets
                .iter()
                .take(ADMINISTRATORS)
                .map(|secret| enroll("phone", secret));
            assert_eq!(winners(one_label.collect()), 1, "round {round}");
            let one_secret =
                (0..ADMINISTRATORS).map(|number| enroll(&format!("t{number}"), &secrets[11]));
            assert_eq!(winners(one_secret.collect()), 1, "round {round}");
            // Two are there, eight are as many as can be; none of these secrets is among the two.
            let many = secrets[8..11]
                .iter()
                .cloned()
                .chain((0..9).map(|_| Authenticator::new().secret));
            let many = (0..)
                .zip(many)
                .map(|(number, secret)| enroll(&format!("k{number}"), &secret));
            assert_eq!(winners(many.collect()), 6, "round {round}");
            let record = fs::read_to_string(host.record_path("alice")).unwrap();
            let labels: Vec<_> = record
                .lines()
                .skip_while(|line| *line != "[[apps]]")
                .filter(|line| line.starts_with("label = "))
                .collect();
            assert_eq!(labels.len(), 8, "{record}");
            assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), 8, "{record}");
            for label in labels {
                let label = label.trim_start_matches("label = ").trim_matches('"');
                host.admin(&["app", "remove", "alice", label, "--yes"])
                    .expect_success();
            }
        }
        tell(
            "races-15-apps",
            "Races: eight apps with one label, eight with one secret, twelve for six places, each at once",
            &[
                ("rounds", rounds.to_string()),
                ("apps beyond those", "0".to_owned()),
            ],
        );
    });
}

#[test]
fn several_inits_at_once_make_one_host() {
    on_a_bare_host(|_| {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let rounds = rounds(4, 200);
        for round in 1..=rounds {
            // Without the courier's user, which each of them would make.
            let without: Vec<_> = passwd
                .lines()
                .filter(|line| !line.starts_with("_mfa:"))
                .collect();
            fs::write("/etc/passwd", without.join("\n") + "\n").unwrap();
            let group = fs::read_to_string("/etc/group").unwrap();
            let without: Vec<_> = group
                .lines()
                .filter(|line| !line.starts_with("_mfa:"))
                .collect();
            fs::write("/etc/group", without.join("\n") + "\n").unwrap();
            let host = PamHost::unmade(format!("/run/host-{round}"));
            let made = |number: usize| host.path(&format!("made-{number}"));
            let commands = (0..4).map(|number| {
                let command = host
                    .admin_command("init")
                    .replace("/dev/null", &made(number).display().to_string());
                shell(&command)
            });
            let codes: Vec<_> = at_once(commands.collect()).iter().map(exit_code).collect();
            let said: Vec<_> = (0..4)
                .map(|number| fs::read_to_string(made(number)).unwrap())
                .collect();
            assert_eq!(codes, [0; 4], "round {round}\n{}", said.join("\n---\n"));
            for thing in ["sealing key", "configuration", "machine id", "user  "] {
                let makers = said
                    .iter()
                    .filter(|text| text.contains(&format!("  {thing}")))
                    .count();
                assert_eq!(
                    makers,
                    1,
                    "round {round}: {thing}\n{}",
                    said.join("\n---\n")
                );
            }
            let again = host.admin(&["init"]).expect_success();
            assert!(
                again.stdout.contains("nothing was changed"),
                "{}",
                again.stdout
            );
            assert!(
                !said.concat().contains("warning"),
                "{}",
                said.join("\n---\n")
            );
            host.admin(&["user", "add", "alice"]).expect_success();
        }
        tell(
            "races-16-init",
            "Races: four times `init` at once",
            &[
                ("rounds", rounds.to_string()),
                (
                    "hosts with one sealing key, one machine id, one user",
                    rounds.to_string(),
                ),
            ],
        );
    });
}
