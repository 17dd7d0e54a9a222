//! Notices that are put into the spool while several drains work it off: each is delivered, and none twice.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::thread::scope;

use mfa_tests::pam_host::PamHost;
use mfa_tests::proof::{rounds, tell};
use mfa_tests::{install_courier, on_a_bare_host};

use crate::{Progress, at_once, shell};

/// People whose sessions are opened at once.
const PEOPLE: usize = 12;
/// Sessions of each in one round.
const SESSIONS: usize = 4;
/// What stands in for the host's mail system: a line for every message that it was handed.
const SENDMAIL: &str =
    "#!/bin/sh\nid=$(sed -n 's/^Message-ID: //Ip' | head -1)\necho \"$id\" >>/run/outbox/sent\n";

fn delivered() -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for id in fs::read_to_string("/run/outbox/sent")
        .unwrap_or_default()
        .lines()
    {
        *times.entry(id.to_owned()).or_default() += 1;
    }
    times
}

#[test]
fn what_logins_put_into_the_spool_is_delivered_once_by_however_many_drains() {
    on_a_bare_host(|_| {
        install_courier();
        fs::create_dir("/run/outbox").unwrap();
        chown("/run/outbox", Some(991), Some(991)).unwrap();
        fs::write("/usr/local/sbin/sendmail", SENDMAIL).unwrap();
        fs::set_permissions(
            "/usr/local/sbin/sendmail",
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        let mut host = PamHost::with_config(
            "[courier]\nemail = \"sendmail\"\n[courier.sendmail]\npath = \"/usr/local/sbin/sendmail\"\n",
        );
        host.add_people((1..=PEOPLE).map(|number| format!("p{number}")));
        for number in 1..=PEOPLE {
            let (name, address) = (format!("p{number}"), format!("p{number}@example.com"));
            host.admin(&["user", "add", &name, "--email", &address])
                .expect_success();
        }
        host.admin(&["notify", "drain"]).expect_success();
        let before: usize = delivered().values().sum();
        let rounds = rounds(4, 150);
        let mut progress = Progress::of("drains", rounds);
        let mut drains = 0;
        for round in 1..=rounds {
            let turn = "restart\nbarrier\nopen_session\n".repeat(SESSIONS);
            let seen = scope(|both| {
                let logins = both.spawn(|| {
                    host.player()
                        .options(&["--parallel", &PEOPLE.to_string()])
                        .play(&format!("user p%i\n{turn}"))
                });
                while !logins.is_finished() {
                    let drain = host.admin_command("notify drain");
                    let outputs = at_once((0..3).map(|_| shell(&drain)).collect());
                    assert!(outputs.iter().all(|output| output.status.success()));
                    drains += outputs.len();
                }
                logins.join().unwrap()
            });
            assert_eq!(seen.code, Some(0), "{seen}");
            assert_eq!(seen.events("MFA-2401").len(), PEOPLE * SESSIONS, "{seen}");
            assert!(seen.events("MFA-5001").is_empty(), "{seen}");
            progress.at(round);
        }
        host.admin(&["notify", "drain"]).expect_success();
        for place in ["tmp", "new", "deferred", "dead"] {
            let left = fs::read_dir(host.path("spool").join(place))
                .unwrap()
                .count();
            assert_eq!(left, 0, "{place}");
        }
        let delivered = delivered();
        assert!(delivered.values().all(|&times| times == 1), "{delivered:?}");
        let sessions = rounds * PEOPLE * SESSIONS;
        assert_eq!(delivered.len() - before, sessions, "none is lost");
        tell(
            "races-17-drains",
            "Races: twelve logins at once whose notices three drains at once work off",
            &[
                ("notices", sessions.to_string()),
                ("drains", drains.to_string()),
                ("delivered once", sessions.to_string()),
                ("twice, or not at all", "0".to_owned()),
            ],
        );
    });
}
