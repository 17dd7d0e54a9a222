//! Logins before, while and after keys are changed.

use std::fs;
use std::os::unix::fs::chown;

use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, PamHost, SUCCESS, UNAVAIL, login_script};
use mfa_tests::{install_courier, on_a_bare_host};

use crate::{TABLES, name_credential};

/// The uid of `_mfa`.
const COURIER: u32 = 991;

fn rotate(host: &PamHost) {
    host.admin(&["seal", "rotate"]).expect_success();
}

#[test]
fn keys_are_changed_while_a_person_types_and_the_code_is_as_good_as_before() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let rotate_now = format!("do run {}\n", host.admin_command("seal rotate"));
        for (rotations, answer, result) in [
            (1, app.code(), SUCCESS),
            (3, app.code(), SUCCESS),
            (1, "000000".to_owned(), AUTH_ERR),
        ] {
            let seen = host.play(&format!(
                "user alice\n{}answer text {answer}\nauthenticate\n",
                rotate_now.repeat(rotations)
            ));
            assert_eq!(seen.result(), result, "{seen}");
            assert!(seen.events("MFA-4001").is_empty(), "{seen}");
        }
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn with_both_keys_at_hand_everybody_gets_in_whatever_was_sealed_anew() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        let (old_key, old_bob) = (
            fs::read(host.path("seal.key")).unwrap(),
            fs::read(host.record_path("bob")).unwrap(),
        );
        rotate(&host);
        // As a rotation that was killed half-way leaves it.
        let new_key = fs::read_to_string(host.path("seal.key")).unwrap();
        let (first, rest) = new_key.split_once('\n').unwrap();
        let both = format!(
            "{first}\n{}{rest}",
            String::from_utf8(old_key.clone()).unwrap()
        );
        fs::write(host.path("seal.key"), &both).unwrap();
        fs::write(host.record_path("bob"), &old_bob).unwrap();
        assert_eq!(host.login("alice", &[alice.code()]).result(), SUCCESS);
        assert_eq!(host.login("bob", &[bob.code()]).result(), SUCCESS);
        rotate(&host);
        assert_eq!(fs::read_to_string(host.path("seal.key")).unwrap(), new_key);
        assert_eq!(host.login("alice", &[alice.code()]).result(), SUCCESS);
        assert_eq!(host.login("bob", &[bob.code()]).result(), SUCCESS);
        // The key before opens nothing any more.
        fs::write(host.path("seal.key"), &old_key).unwrap();
        for user in ["alice", "bob"] {
            let seen = host.login(user, &["000000"]);
            assert_eq!(seen.result(), UNAVAIL, "{seen}");
            assert_eq!(
                seen.only("MFA-4001").get("reason"),
                "sealed_secret",
                "{seen}"
            );
        }
    });
}

#[test]
fn a_key_that_is_lost_while_people_type_lets_in_whom_the_key_at_hand_does() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        host.enroll("bob");
        host.admin(&["user", "suspend", "bob", "--reason", "left"])
            .expect_success();
        let (key, aside) = (host.path("seal.key"), host.path("aside"));
        let (key, aside) = (key.display(), aside.display());
        let play = |user: &str, meanwhile: &str, code: &str| {
            host.play(&format!(
                "user {user}\n{meanwhile}do run mv {key} {aside}\nanswer text {code}\nauthenticate\nrun mv {aside} {key}\n"
            ))
        };
        for (user, code, result) in [
            ("alice", app.code(), SUCCESS),
            ("alice", "000000".to_owned(), AUTH_ERR),
            ("bob", "000000".to_owned(), AUTH_ERR),
            ("mallory", "000000".to_owned(), AUTH_ERR),
            ("nobody-here", "000000".to_owned(), AUTH_ERR),
        ] {
            let seen = play(user, "", &code);
            assert_eq!(seen.result(), result, "{user}\n{seen}");
            assert!(seen.events("MFA-4001").is_empty(), "{user}\n{seen}");
        }
        // What was sealed with the key that is lost does not open, and it is said why.
        let rotate_now = format!("do run {}\n", host.admin_command("seal rotate"));
        let code = app.code();
        let seen = play("alice", &rotate_now, &code);
        assert_eq!(seen.result(), UNAVAIL, "{seen}");
        let line = seen.only("MFA-4001");
        assert!(
            line.get("detail").ends_with("seal.key: does not exist"),
            "{seen}"
        );
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
    });
}

#[test]
fn who_was_asked_before_the_key_was_bound_gets_in_after_it() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        name_credential(&host);
        fs::copy(host.path("mfa.toml"), host.path("bound.toml")).unwrap();
        host.configure(TABLES);
        let (config, bound) = (host.path("mfa.toml"), host.path("bound.toml"));
        let seen = host.play(&format!(
            "user alice\ndo run {}\ndo run cp {} {}\ndo run {}\nanswer text {}\nauthenticate\n",
            host.admin_command("seal bind"),
            bound.display(),
            config.display(),
            host.admin_command("seal bind --yes"),
            app.code(),
        ));
        assert!(!host.path("seal.key").exists(), "{seen}");
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn what_was_used_stays_used_when_keys_are_changed() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let code = app.code();
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
        rotate(&host);
        assert_eq!(
            host.login("alice", &[&code]).only("MFA-2102").get("app"),
            "phone"
        );
        // Removed and enrolled again meanwhile, too.
        host.admin(&["app", "remove", "alice", "phone", "--yes"])
            .expect_success();
        rotate(&host);
        host.add_app("alice", "again", &app);
        let seen = host.login("alice", &[&code]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.only("MFA-2102").get("app"), "again", "{seen}");
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_code_that_was_sent_is_good_after_keys_were_changed_and_once() {
    on_a_bare_host(|_| {
        install_courier();
        fs::create_dir("/run/outbox").unwrap();
        chown("/run/outbox", Some(COURIER), Some(COURIER)).unwrap();
        let host = PamHost::with_config(
            "[prompt]\ntries = 1\n[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"/run/outbox\"\ndemo = true\n",
        );
        host.admin(&[
            "user",
            "add",
            "alice",
            "--method",
            "email",
            "--email",
            "alice@example.com",
        ])
        .expect_success();
        // A sealed secret besides, so that there is something to be done.
        host.enroll("bob");
        let seen = host.play(
            "user alice\nset rhost 203.0.113.7\nset tty ssh\nanswer text \n\
             do run until ls /run/outbox/*.eml; do sleep 0.05; done\nanswer convfail\nauthenticate\n",
        );
        assert_eq!(seen.sole_result(), CONV_ERR, "{seen}");
        let mail = fs::read_dir("/run/outbox")
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let mail = fs::read_to_string(mail.path()).unwrap();
        let subject = mail.lines().find_map(|line| line.strip_prefix("Subject: "));
        let code = subject.unwrap().split(' ').next().unwrap();
        rotate(&host);
        rotate(&host);
        let seen = host.play(&login_script("alice", &[code]));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(seen.only("MFA-2001").get("method"), "email", "{seen}");
        assert_eq!(
            host.play(&login_script("alice", &[code])).result(),
            AUTH_ERR
        );
    });
}

#[test]
fn a_secret_in_another_place_does_not_open_after_a_rotation_either() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        let tablet = mfa_tests::Authenticator::new();
        host.add_app("alice", "tablet", &tablet);
        rotate(&host);
        // The whole record, with the name changed.
        let of_alice = fs::read_to_string(host.record_path("alice")).unwrap();
        let of_bob = fs::read_to_string(host.record_path("bob")).unwrap();
        let stolen = of_alice.replace("user = \"alice\"", "user = \"bob\"");
        fs::write(host.record_path("bob"), &stolen).unwrap();
        for app in [&alice, &tablet, &bob] {
            let seen = host.login("bob", &[app.code()]);
            assert_eq!(seen.result(), UNAVAIL, "{seen}");
            assert_eq!(
                seen.only("MFA-4001").get("reason"),
                "sealed_secret",
                "{seen}"
            );
        }
        let refused = host.admin(&["app", "reveal", "bob", "phone"]);
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert!(refused.stdout.is_empty() && refused.stderr.contains("belongs to another user"));
        fs::write(host.record_path("bob"), &of_bob).unwrap();
        // One app's in the place of the other.
        let sealed: Vec<_> = of_alice
            .lines()
            .filter(|line| line.starts_with("secret = "))
            .collect();
        let moved = of_alice.replacen(sealed[0], sealed[1], 1);
        fs::write(host.record_path("alice"), moved).unwrap();
        let refused = host.admin(&["app", "reveal", "alice", "phone"]);
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert_eq!(host.login("alice", &[alice.code()]).result(), AUTH_ERR);
        assert_eq!(host.login("alice", &[tablet.code()]).result(), SUCCESS);
        fs::write(host.record_path("alice"), &of_alice).unwrap();
        assert_eq!(host.login("alice", &[alice.code()]).result(), SUCCESS);
        assert_eq!(host.login("bob", &[bob.code()]).result(), SUCCESS);
    });
}
