//! The sealing key is changed while people log in and administrators enrol others: every right code lets in, and in the end
//! everything is sealed with the new key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use mfa_core::otp::Authenticator as Shape;
use mfa_core::record::{
    Algorithm, App, AppId, Digits, Label, Method, Period, UserRecord, datetime,
};
use mfa_core::request::UserName;
use mfa_core::seal::SealingKey;
use mfa_tests::pam_host::{PamHost, SUCCESS};
use mfa_tests::proof::{is_long, rounds, tell};
use mfa_tests::{on_a_bare_host, target};
use serde_json::Value;

use crate::Crowd;

/// Loops of logins at the same time.
const PEOPLE: usize = 8;
/// Logins of a process of one loop.
const LOGINS: usize = 10;

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Further people, whose turn comes after that of those who log in, each with a secret of their own sealed for them, and a state; who has logged in before is not among them.
fn add_others(host: &PamHost, others: usize, state: &[u8]) {
    let key = fs::read(host.path("seal.key")).unwrap();
    let key = SealingKey::from_file_text(&key).unwrap();
    let (digits, period) = (Digits::parse(6).unwrap(), Period::parse(30_u16).unwrap());
    for number in 0..others {
        let user = UserName::parse(&format!("z{number:07}")).unwrap();
        let mut secret = [7; 20];
        secret[..8].copy_from_slice(&number.to_be_bytes());
        let id = AppId::of_secret(&key, &user, &secret, (Algorithm::Sha1, &digits, &period));
        let mut record = UserRecord::new(user.clone());
        record.enrolled_once = true;
        record.methods = vec![Method::App];
        record.apps.push(App {
            secret: key
                .seal(user.as_str(), &App::seal_purpose(&id), &secret)
                .unwrap(),
            id,
            label: Label::parse("phone").unwrap(),
            algorithm: Algorithm::Sha1,
            digits: digits.clone(),
            period: period.clone(),
            enrolled: datetime(0),
            disabled: false,
        });
        assert!(Shape::open(&key, &user, &record.apps[0], 1).is_ok());
        write(
            &host.record_path(user.as_str()),
            record.to_text().unwrap().as_bytes(),
        );
        write(&host.state_path(user.as_str()), state);
    }
}

fn status(host: &PamHost, code: i32) -> Value {
    let ended = host.admin(&["seal", "status", "--json"]);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Some logins of one person, each with a right code; how many.
fn log_in(host: &PamHost, person: usize, fresh_state: &[u8], secret: &str) -> usize {
    let name = format!("p{person}");
    let fresh = host.path(&format!("fresh-{name}"));
    fs::write(&fresh, fresh_state).unwrap();
    // Some type at once, others so slowly that their record is sealed anew meanwhile.
    let typing = ["", "do run sleep 0.3\n"][person % 2];
    let one = format!(
        "run cat {} 1<>{}\nuser {name}\nrestart\n{typing}answer run oathtool --totp -b {secret}\nauthenticate\n",
        fresh.display(),
        host.state_path(&name).display(),
    );
    let seen = host.play(&one.repeat(LOGINS));
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(seen.count(SUCCESS), LOGINS, "{seen}");
    LOGINS
}

/// How many of all secrets open with another key than the one that is kept.
fn opened_with(host: &PamHost, key: &[u8], all: usize) -> usize {
    let path = host.path("seal.key");
    let kept = fs::read(&path).unwrap();
    write(&path, key);
    let status = status(host, 1);
    write(&path, &kept);
    all - status["unopened"].as_array().unwrap().len()
}

#[test]
fn keys_are_changed_under_logins_and_enrolments_and_nobody_notices() {
    on_a_bare_host(|_| {
        let records = rounds(2_000, 100_000);
        // So many are too many for memory.
        let folder = if is_long() {
            target().join("races-keys")
        } else {
            "/run/races-keys".into()
        };
        let _ = fs::remove_dir_all(&folder);
        let mut host = PamHost::below(&folder, "[prompt]\ntries = 1\n");
        let crowd = Crowd::enroll(&mut host, PEOPLE);
        add_others(&host, records - PEOPLE, &crowd.fresh);
        let old_key = fs::read(host.path("seal.key")).unwrap();
        let before = status(&host, 0);
        assert_eq!(before["records"], records);

        let is_over = AtomicBool::new(false);
        let (logins, enrolled, rotations) =
            (AtomicUsize::new(0), AtomicUsize::new(0), rounds(10, 1));
        let (host, fresh_state, secret) = (&host, &crowd.fresh, crowd.app.secret.as_str());
        thread::scope(|scope| {
            for person in 1..=PEOPLE {
                let (is_over, logins) = (&is_over, &logins);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        logins.fetch_add(
                            log_in(host, person, fresh_state, secret),
                            Ordering::Relaxed,
                        );
                    }
                });
            }
            let administrator = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let name = format!("e{}", enrolled.fetch_add(1, Ordering::Relaxed));
                    host.admin(&["user", "add", &name]).expect_success();
                    let verb = [
                        "app",
                        "enroll",
                        &name,
                        "--secret",
                        "-",
                        "--no-confirm",
                        "--qr",
                        "none",
                    ];
                    host.admin_with(&verb, &format!("{secret}\n"))
                        .expect_success();
                }
            });
            let mut ended = Vec::new();
            for _ in 0..rotations {
                ended.push(host.admin(&["--json", "seal", "rotate"]));
            }
            // Whatever came of it: the others are not to wait for ever.
            is_over.store(true, Ordering::Relaxed);
            administrator.join().unwrap();
            for ended in ended {
                let ended = ended.expect_success();
                let document: Value = serde_json::from_str(&ended.stdout).unwrap();
                assert_eq!(document["unopened"], Value::Array(Vec::new()), "{ended:?}");
                assert!(
                    document["resealed"].as_u64().unwrap() >= records as u64,
                    "{ended:?}"
                );
            }
        });
        let (logins, enrolled) = (logins.into_inner(), enrolled.into_inner());
        let after = status(host, 0);
        let all = records + enrolled;
        assert_eq!(after["records"], all);
        assert_eq!(
            after["by_key"][after["key"].as_str().unwrap()],
            all,
            "{after}"
        );
        assert_eq!(
            (&after["rotating"], &after["unopened"]),
            (&false.into(), &Value::Array(Vec::new()))
        );
        assert_ne!(after["key"], before["key"]);
        assert_eq!(opened_with(host, &old_key, all), 0);
        assert!(logins > 0 && enrolled > 0);
        fs::remove_dir_all(&folder).unwrap();
        tell(
            "races-16-keys",
            "Races: `seal rotate` under eight loops of logins, and enrolments",
            &[
                ("records", all.to_string()),
                ("rotations", rotations.to_string()),
                (
                    "logins meanwhile, each with a right code",
                    logins.to_string(),
                ),
                ("refused", "0".to_owned()),
                ("apps enrolled meanwhile", enrolled.to_string()),
                (
                    "secrets that are not sealed with the last key",
                    "0".to_owned(),
                ),
            ],
        );
    });
}
