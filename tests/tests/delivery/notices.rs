//! Notices: who is told of logins, failures and changes, and that nothing is lost on the way.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mfa_tests::mail::{Exim, Options, TLS_PORT};
use mfa_tests::{Host, Script, on_a_test_host, stacks};

use crate::{ASK, PATIENCE, deliver_by, smtp};

const SPOOL: &str = "/var/spool/mfa";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(SPOOL).join(folder)).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn add_alice(host: &Host) -> mfa_tests::Authenticator {
    host.admin(&[
        "user",
        "add",
        "alice",
        "--email",
        "alice@example.com",
        "--label",
        "the bastion",
    ]);
    let phone = host.enroll_app("alice", "Zoë's phone");
    // Of the enrolment a notice waits, which is another test's business.
    for name in names("new") {
        fs::remove_file(Path::new(SPOOL).join("new").join(name)).unwrap();
    }
    phone
}

#[test]
fn a_login_and_failures_are_told_with_host_device_address_and_time() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        let admins = "[notices]\nadmins = [\"security@example.com\"]\n";
        deliver_by(host, &format!("{}{admins}", smtp(TLS_PORT, "tls")));
        let phone = add_alice(host);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        let mark = host.mark();
        let wrong = phone.wrong_code();
        let right = Script::new()
            .answer(ASK, &wrong)
            .answer(ASK, &wrong)
            .answer_with(ASK, || phone.code());
        sshd.ssh("alice").talk(right).expect_success();
        let new = names("new");
        let kinds: Vec<_> = new
            .iter()
            .map(|name| name.split('~').next().unwrap())
            .collect();
        assert_eq!(kinds, ["failure", "failure", "login"]);
        for name in &new {
            let file = fs::symlink_metadata(Path::new(SPOOL).join("new").join(name)).unwrap();
            assert_eq!(
                (file.uid(), file.gid(), file.mode() & 0o7777),
                (991, 991, 0o600)
            );
        }
        host.admin(&["notify", "drain"]);
        assert!(names("new").is_empty());

        let mut mails: BTreeMap<String, _> = BTreeMap::new();
        for _ in 0..2 {
            let mail = exim.wait_for_mail("alice", PATIENCE);
            mails.insert(mail.header("Subject").to_owned(), mail);
        }
        let copy = exim.wait_for_mail("security", PATIENCE);
        let login = mails
            .iter()
            .find(|(subject, _)| subject.contains("logged in"))
            .unwrap()
            .1;
        let failed = mails
            .iter()
            .find(|(subject, _)| !subject.contains("logged in"))
            .unwrap()
            .1;
        for mail in [login, failed, &copy] {
            assert!(mail.defects.is_empty(), "{:?}", mail.defects);
            for part in [mail.text(), mail.html()] {
                for word in [
                    "alice",
                    "bastion-1",
                    "the bastion",
                    "127.0.0.1",
                    "UTC (+00:00)",
                ] {
                    assert!(part.contains(word), "{word:?} is missing:\n{part}");
                }
            }
        }
        for part in [login.text(), login.html()] {
            assert!(part.contains("Zoë") && part.contains("sshd"), "{part}");
        }
        assert!(
            failed.text().contains('2') && failed.text().contains("wrong code"),
            "{}",
            failed.text()
        );
        assert_eq!(copy.header("Envelope-to"), "security@example.com");
        // The time is that of the log line, to the second.
        let session = host.log_since(mark);
        let session = session
            .iter()
            .find(|line| line.text.contains("MFA-2401"))
            .unwrap();
        let clock = &session.classic[7..15];
        let utc = Command::new("date")
            .args(["-u", "-d", clock, "+%H:%M"])
            .output()
            .unwrap();
        let utc = String::from_utf8(utc.stdout).unwrap();
        assert!(
            login.text().contains(utc.trim()),
            "{utc} in:\n{}",
            login.text()
        );

        // More failures within the quarter of an hour wait for the next digest.
        let script = Script::new().answer_times(3, ASK, &wrong);
        sshd.ssh("alice").talk(script).expect_failure();
        host.admin(&["notify", "drain"]);
        let waiting = names("deferred");
        let count = waiting
            .iter()
            .filter(|name| name.starts_with("failure~alice~"))
            .count();
        assert_eq!(count, 3, "{waiting:?}");
        assert_eq!((exim.count("alice"), exim.count("security")), (2, 1));
    });
}

#[test]
fn a_thousand_notices_survive_two_hundred_kills() {
    on_a_test_host(|host| {
        let _exim = Exim::start(&Options::default());
        deliver_by(host, &smtp(TLS_PORT, "tls"));
        let id = |number: u32| format!("{number:032x}");
        for number in 0..1000 {
            let json = format!(
                "{{\"version\":1,\"kind\":\"login\",\"id\":\"{}\",\"time\":{},\"channel\":\"email\",\"to\":\"alice@example.com\",\"user\":\"alice\",\"host\":\"bastion-1\",\"service\":\"sshd\",\"method\":\"app\"}}\n",
                id(number),
                now()
            );
            let path = format!("{SPOOL}/new/login~alice~{}", id(number));
            fs::write(&path, json).unwrap();
            std::os::unix::fs::chown(&path, Some(991), Some(991)).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
        }
        let drain = || {
            Command::new("/usr/libexec/mfa/mfa-courier")
                .args(["drain", "--config", "/etc/mfa/mfa.toml"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        // Pauses that follow no rhythm of the courier's: multiples of the golden ratio, 0 to 50 ms.
        let mut kills = 0;
        let mut phase = 0.0_f64;
        while kills < 200 {
            phase = (phase + 0.618_033_988_7) % 1.0;
            let mut courier = drain();
            let end = Instant::now() + Duration::from_secs_f64(phase * 0.05);
            let mut has_ended = false;
            while Instant::now() < end && !has_ended {
                has_ended = courier.try_wait().unwrap().is_some();
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(!has_ended, "the spool was empty after {kills} kills");
            courier.kill().unwrap();
            courier.wait().unwrap();
            kills += 1;
        }
        let begin = Instant::now();
        while !names("new").is_empty() || !names("deferred").is_empty() {
            assert!(
                begin.elapsed() < Duration::from_secs(100),
                "{} left",
                names("new").len()
            );
            // Whoever was killed may have left a notice for later: its time is made to come.
            for name in names("deferred") {
                if let Some((_, rest)) = name.split_once('~') {
                    let folder = Path::new(SPOOL).join("deferred");
                    fs::rename(folder.join(&name), folder.join(format!("0~{rest}"))).unwrap();
                }
            }
            drain().wait().unwrap();
        }
        assert!(names("dead").is_empty(), "{:?}", names("dead"));
        // Exim takes a mail first and puts it into its box a moment later.
        let seen_so_far = || {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for entry in fs::read_dir("/run/mail/boxes/alice/new").unwrap() {
                let mail = fs::read_to_string(entry.unwrap().path()).unwrap();
                let id = mail
                    .lines()
                    .find_map(|line| line.strip_prefix("Message-ID: "));
                *seen.entry(id.unwrap().to_owned()).or_default() += 1;
            }
            seen
        };
        let deadline = Instant::now() + PATIENCE;
        let mut seen = seen_so_far();
        while seen.len() < 1000 {
            assert!(Instant::now() < deadline, "{} of 1000", seen.len());
            std::thread::sleep(Duration::from_millis(100));
            seen = seen_so_far();
        }
        for number in 0..1000 {
            assert!(
                seen.contains_key(&format!("<{}@bastion-1>", id(number))),
                "{number}"
            );
        }
        let duplicates: usize = seen.values().map(|count| count - 1).sum();
        assert!(
            duplicates <= kills,
            "{duplicates} duplicates of {kills} kills"
        );
        println!("{kills} kills, {duplicates} duplicates, each delivered");
    });
}

#[test]
fn a_change_of_factors_is_told_to_the_user() {
    on_a_test_host(|host| {
        let exim = Exim::start(&Options::default());
        deliver_by(host, &smtp(TLS_PORT, "tls"));
        add_alice(host);
        host.admin(&["app", "remove", "alice", "Zoë's phone", "--yes"]);
        host.admin(&["user", "set", "alice", "--email", "bob@example.com"]);
        host.admin(&["notify", "drain"]);
        // Of a new address both are told. What happened in one second comes in any order.
        let mut texts: Vec<_> = ["alice", "alice", "bob"]
            .map(|name| exim.wait_for_mail(name, PATIENCE).text().to_owned())
            .into();
        for text in &texts {
            assert!(
                text.contains("bastion-1") && text.contains("alice"),
                "{text}"
            );
        }
        texts.retain(|text| !text.contains("bob@example.com"));
        assert_eq!(texts.len(), 1, "{texts:#?}");
        assert!(texts[0].contains("Zoë"), "{}", texts[0]);
    });
}

#[test]
fn what_the_courier_planted_in_the_spool_is_not_followed_by_root() {
    on_a_test_host(|host| {
        deliver_by(host, &smtp(1, "tls"));
        let phone = add_alice(host);
        let sshd = host.start_sshd(stacks::CODE_ALONE, &[]);
        fs::write("/run/treasure", "as it was").unwrap();
        let before = fs::metadata("/run/treasure").unwrap();
        for folder in ["tmp", "new", "deferred", "dead"] {
            for (number, name) in ["login~alice~0", "x", "failure~alice~1"].iter().enumerate() {
                let path = Path::new(SPOOL)
                    .join(folder)
                    .join(format!("{name}{number}"));
                symlink("/run/treasure", &path).unwrap();
            }
            host.run(&["mkfifo", &format!("{SPOOL}/{folder}/fifo")])
                .expect_success();
        }
        let begin = Instant::now();
        let script = Script::new()
            .answer(ASK, &phone.wrong_code())
            .answer_with(ASK, || phone.code());
        sshd.ssh("alice").talk(script).expect_success();
        host.admin(&["notify", "queue"]);
        host.run(&["mfa-admin", "notify", "drain"]);
        host.run(&["mfa-admin", "doctor"]);
        assert!(begin.elapsed() < Duration::from_secs(60));
        let after = fs::metadata("/run/treasure").unwrap();
        assert_eq!(fs::read_to_string("/run/treasure").unwrap(), "as it was");
        assert_eq!(
            (before.uid(), before.mode(), before.mtime_nsec()),
            (after.uid(), after.mode(), after.mtime_nsec())
        );
        // The folder itself exchanged for a link: nothing is written through it.
        fs::rename(format!("{SPOOL}/new"), format!("{SPOOL}/aside")).unwrap();
        fs::create_dir("/run/there").unwrap();
        symlink("/run/there", format!("{SPOOL}/new")).unwrap();
        let mark = host.mark();
        sshd.ssh("alice")
            .talk(Script::new().answer_with(ASK, || phone.code()))
            .expect_success();
        assert_eq!(
            &host.one_since(mark, "MFA-5001")["reason"],
            "spool_unusable"
        );
        assert_eq!(fs::read_dir("/run/there").unwrap().count(), 0);
    });
}
