//! Logins to a service with the argument.

use std::fs;
use std::process::Command;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{
    ALERT, AUTH_ERR, PROMPT, PamHost, RHOST, SUCCESS, UNAVAIL, login_script, overwrite,
};

use crate::{BOTH, PASSPHRASE, RIGHT, WRONG, host, kept, set, with_courier};

#[test]
fn both_are_asked_for_and_both_have_to_be_right() {
    on_a_bare_host(|_| {
        let (host, app) = host("[prompt]\ntries = 1\n");
        app.wait_for_room(8);
        let (code, wrong) = (app.code_of(app.step()), app.wrong_code());
        let mut refused = Vec::new();
        for answers in [[WRONG, &code], [WRONG, &wrong], [RIGHT, &wrong]] {
            let seen = host.login("alice", &answers);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            assert_eq!(seen.prompts(), BOTH, "{seen}");
            assert!(seen.starting("MESSAGE").is_empty(), "{seen}");
            refused.push((seen.ids()[1].to_owned(), seen.delay() / 3_000_000));
        }
        let ids: Vec<&str> = refused.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["MFA-2111", "MFA-2111", "MFA-2101"]);
        // The code was not used up by a wrong passphrase.
        let seen = host.login("alice", &[RIGHT, &code]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let line = seen.only("MFA-2001");
        assert_eq!(
            (line.get("method"), line.get("app")),
            ("app", "phone"),
            "{seen}"
        );
        assert!(!seen.to_string().contains("ocelot"), "{seen}");
        // Nor is it good twice.
        let seen = host.login("alice", &[RIGHT, &code]);
        assert_eq!(seen.only("MFA-2102").get("app"), "phone", "{seen}");
        // A service without the argument asks for the code alone.
        host.stack("plain", &host.lines("", ""));
        let seen = host
            .player()
            .service("plain")
            .play(&login_script("alice", &[wrong.as_str()]));
        assert_eq!(seen.prompts(), [PROMPT], "{seen}");
    });
}

#[test]
fn nobody_is_let_by_without_the_passphrase() {
    on_a_bare_host(|_| {
        let (mut host, _) = host("[prompt]\ntries = 1\n");
        host.add_people(["bob".to_owned(), "carol".to_owned()]);
        for name in ["bob", "carol"] {
            host.admin(&["user", "add", name]).expect_success();
        }
        set(&host, "bob", RIGHT);
        let skip = "[enrolment]\nwithout_record = \"skip\"\n[prompt]\ntries = 1\n";
        for (arguments, tables) in [("passphrase nullok", ""), ("passphrase", skip)] {
            host.configure(&with_courier(tables));
            let stack = host.lines("", arguments);
            host.stack("login", &stack);
            // Without an app: the passphrase lets in, and nothing else does.
            let seen = host.login("bob", &[RIGHT]);
            assert_eq!(
                (seen.result(), seen.prompts()),
                (SUCCESS, vec![PASSPHRASE.to_owned()])
            );
            let line = seen.only("MFA-2001");
            assert_eq!(
                (line.get("method"), line.get("reason")),
                ("passphrase", "never enrolled"),
                "{seen}"
            );
            let tries = if tables.is_empty() { 3 } else { 1 };
            let seen = host.login("bob", &vec![WRONG; tries]);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            assert_eq!(seen.events("MFA-2111").len(), tries, "{seen}");
            // Without a passphrase, and without a record.
            for name in ["carol", "mallory"] {
                let answers = [RIGHT, "000000"].repeat(tries);
                let seen = host.login(name, &answers);
                assert_eq!(seen.result(), AUTH_ERR, "{name}\n{seen}");
                assert_eq!(seen.prompts(), BOTH.repeat(tries), "{name}\n{seen}");
            }
            host.admin(&["user", "unlock", "bob"]).expect_success();
        }
        // libpam hears yes, and not that it is to be ignored.
        host.stack("login", &host.ignore_detector("auth", "passphrase nullok"));
        let seen = host.login("bob", &[RIGHT]);
        assert_ne!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn a_passphrase_that_is_changed_while_the_prompt_is_open_counts_as_it_is_now() {
    on_a_bare_host(|_| {
        let (host, app) = host("[prompt]\ntries = 1\n");
        app.wait_for_room(8);
        let new = "an-entirely-different-fox";
        let admin = host.admin_command("passphrase set alice -");
        let change = format!("printf {new} | {admin}");
        let script = |typed: &str| {
            format!(
                "user alice\nset rhost {RHOST}\nanswer text {typed}\ndo run {change}\nanswer text {}\nauthenticate\n",
                app.code_of(app.step())
            )
        };
        let seen = host.play(&script(RIGHT));
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2111"], "{seen}");
        set(&host, "alice", RIGHT);
        let seen = host.play(&script(new));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let remove = host.admin_command("passphrase remove alice --yes");
        let seen = host.play(&script(new).replace(&change, &remove));
        assert_eq!(
            seen.only("MFA-2108").get("reason"),
            "no_passphrase",
            "{seen}"
        );
        assert_eq!(seen.prompts(), BOTH, "{seen}");
    });
}

#[test]
fn a_cheap_hash_is_made_anew_at_the_next_login_and_nothing_else_changes() {
    on_a_bare_host(|_| {
        let cheap = "[prompt]\ntries = 1\n[passphrase]\nmemory = 7168\npasses = 1\n";
        let (host, app) = host(cheap);
        app.wait_for_room(8);
        let old = kept(&host, "alice");
        assert!(
            old.starts_with("$argon2id$v=19$m=7168,t=1,p=1,keyid="),
            "{old}"
        );
        host.configure(&with_courier("[prompt]\ntries = 1\n"));
        let before = fs::read_to_string(host.record_path("alice")).unwrap();
        for answers in [
            [WRONG.to_owned(), app.code_of(app.step())],
            [RIGHT.to_owned(), app.wrong_code()],
        ] {
            let seen = host.login("alice", &answers);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        }
        assert_eq!(
            fs::read_to_string(host.record_path("alice")).unwrap(),
            before
        );
        let seen = host.login("alice", &[RIGHT, &app.code_of(app.step())]);
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2001", "MFA-3064"], "{seen}");
        let new = kept(&host, "alice");
        assert!(
            new.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid="),
            "{new}"
        );
        let after = fs::read_to_string(host.record_path("alice")).unwrap();
        assert_eq!(after, before.replace(&old, &new));
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
        let seen = host.login("alice", &[RIGHT, &app.code_of(app.step() + 1)]);
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2001"], "{seen}");
    });
}

#[test]
fn what_hinders_a_new_hash_hinders_no_login() {
    on_a_bare_host(|_| {
        let cheap = "[prompt]\ntries = 1\n[passphrase]\nmemory = 7168\npasses = 1\n";
        let (host, app) = host(cheap);
        let dear = "[prompt]\ntries = 1\n[passphrase]\nmemory = 8192\n";
        app.wait_for_room(8);
        let old = kept(&host, "alice");
        // Somebody holds the lock on records for longer than a login waits.
        host.configure(&with_courier(dear));
        let users = host.path("lib/users").display().to_string();
        let mut holder = Command::new("flock")
            // Without -o the lock would be the sleeping one's as well.
            .args(["-o", users.as_str(), "sleep", "5"])
            .spawn()
            .unwrap();
        let held = || {
            !Command::new("flock")
                .args(["-n", &users, "true"])
                .status()
                .unwrap()
                .success()
        };
        while !held() {
            std::thread::yield_now();
        }
        let seen = host.login("alice", &[RIGHT, &app.code_of(app.step())]);
        assert_eq!(
            (seen.result(), seen.ids()),
            (SUCCESS, vec!["MFA-1004", "MFA-2001"])
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(kept(&host, "alice"), old);
        // A record with keys of a newer release is not written.
        let newer = "ignore_unknown = [\"colour\"]";
        host.write("mfa.toml", &host.config_text(newer, &with_courier(dear)));
        host.edit_record("alice", "approved = true", "approved = true\ncolour = 1");
        let seen = host.login("alice", &[RIGHT, &app.code_of(app.step() + 1)]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let line = seen.only("MFA-4001");
        assert_eq!(line.get("reason"), "passphrase_not_rehashed", "{seen}");
        assert_eq!(kept(&host, "alice"), old);
    });
}

#[test]
fn hashes_that_no_host_should_compute_let_nobody_in_and_are_named() {
    on_a_bare_host(|_| {
        let (host, app) = host("[prompt]\ntries = 1\n");
        app.wait_for_room(8);
        let sound = fs::read_to_string(host.record_path("alice")).unwrap();
        let hash = kept(&host, "alice");
        let salt = hash.split('$').nth(4).unwrap().to_owned();
        let with = |from: &str, to: &str| sound.replace(&hash, &hash.replace(from, to));
        let shape = "no hash of a passphrase";
        let parameters = "too much or too little";
        for (text, said) in [
            (with("m=19456", "m=4194304"), parameters),
            (with("t=2", "t=4294967296"), parameters),
            (with("t=2", "t=0"), shape),
            (with("p=1", "p=16777216"), parameters),
            (with("$argon2id", "$argon2i"), shape),
            (with("v=19", "v=16"), shape),
            (with(&salt, ""), "base64"),
            (with(&salt, "AAAA"), "base64"),
            (with(&salt, &"A".repeat(100)), "base64"),
            (with(&salt, "not base64 at all!"), "base64"),
            (with(&hash, &"A".repeat(60_000)), shape),
            (with(&hash, ""), shape),
        ] {
            assert_ne!(text, sound);
            overwrite(&host.record_path("alice"), text.as_bytes());
            let seen = host.login("alice", &[RIGHT, &app.code_of(app.step())]);
            assert_eq!(seen.result(), UNAVAIL, "{seen}");
            assert_eq!(seen.prompts(), BOTH, "{seen}");
            let line = seen.only("MFA-4001");
            assert_eq!(line.priority, ALERT, "{seen}");
            assert!(line.get("detail").contains("alice.toml:"), "{seen}");
            assert!(line.text.contains(said), "{said}\n{seen}");
            assert!(!line.text.contains(&salt), "{seen}");
        }
        overwrite(&host.record_path("alice"), sound.as_bytes());
        assert_eq!(
            host.login("alice", &[RIGHT, &app.code_of(app.step())])
                .result(),
            SUCCESS
        );
    });
}

#[test]
fn answers_that_can_be_no_passphrase_are_wrong_and_nothing_is_lost() {
    on_a_bare_host(|_| {
        let (host, app) = host("[prompt]\ntries = 1\n[throttle]\nmax_failures = 100\n");
        app.wait_for_room(8);
        for answer in [
            "answer repeat x 10485760".to_owned(),
            "answer hex fffe20736563726574".to_owned(),
            "answer text ".to_owned(),
            "answer text short".to_owned(),
            format!("answer text {RIGHT}\\t"),
            format!("answer text {RIGHT}\\n"),
            format!("answer repeat {} 1025", 'x'),
        ] {
            let script = format!(
                "user alice\nset rhost {RHOST}\n{answer}\nanswer text {}\nauthenticate\n",
                app.code_of(app.step())
            );
            let seen = host.play(&script);
            assert_eq!(seen.code, Some(0), "{answer}\n{seen}");
            assert_eq!(seen.result(), AUTH_ERR, "{answer}\n{seen}");
            assert_eq!(seen.ids(), ["MFA-1004", "MFA-2111"], "{answer}\n{seen}");
        }
        assert_eq!(
            host.login("alice", &[RIGHT, &app.code_of(app.step())])
                .result(),
            SUCCESS
        );
        let script = "user alice\nanswer null\nauthenticate\n";
        assert_eq!(host.play(script).ids(), ["MFA-1004", "MFA-2107"]);
    });
}

#[test]
fn wrong_passphrases_lock_like_wrong_codes_do() {
    on_a_bare_host(|_| {
        let limits = "[lockout]\nafter = 2\n[throttle]\nmax_failures = 100\n";
        let (host, app) = host(&format!("[prompt]\ntries = 1\n{limits}"));
        app.wait_for_room(8);
        let code = app.code_of(app.step());
        host.login("alice", &[WRONG, &code]);
        let seen = host.login("alice", &[WRONG, &code]);
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2111", "MFA-2204"], "{seen}");
        let seen = host.login("alice", &[RIGHT, &code]);
        assert_eq!(
            (seen.result(), seen.ids()[1]),
            (AUTH_ERR, "MFA-2202"),
            "{seen}"
        );
        host.admin(&["user", "unlock", "alice"]).expect_success();
        assert_eq!(host.login("alice", &[RIGHT, &code]).result(), SUCCESS);
        // Recovery codes: their own counter, and not used up.
        let recovery = host.recovery_codes("alice");
        let seen = host.login("alice", &[WRONG, &recovery[0]]);
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2111"], "{seen}");
        let seen = host.login("alice", &[RIGHT, &recovery[0]]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn the_account_password_as_a_passphrase_ends_the_login() {
    on_a_bare_host(|_| {
        let (host, _) = host("");
        let setter = "auth optional pam_exec.so expose_authtok /bin/true\n";
        let stack = PamHost::lines(&host, setter, "passphrase");
        host.stack("login", &stack);
        let seen = host.login("alice", &["the-account-password", "the-account-password"]);
        assert_eq!(seen.ids(), ["MFA-1004", "MFA-2110"], "{seen}");
        assert!(!host.state("alice").contains("in_row = 1"));
    });
}
