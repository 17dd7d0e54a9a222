//! `seal bind`: from a plain file to a credential, without a moment in which the key is in neither.

use std::fs;

use mfa_tests::pam_host::{Ended, PamHost, SUCCESS, UNAVAIL};
use mfa_tests::{on_a_bare_host, on_a_test_host};
use serde_json::Value;

use crate::{TABLES, bound_host, name_credential, shell, stand_in, stand_out};

fn admin(host: &PamHost, line: &str, code: i32) -> Ended {
    let words: Vec<_> = line.split(' ').collect();
    let ended = host.admin(&words);
    assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
    ended
}

fn document(host: &PamHost, line: &str, code: i32) -> Value {
    serde_json::from_str(&admin(host, &format!("--json {line}"), code).stdout).unwrap()
}

fn key_text(host: &PamHost) -> String {
    fs::read_to_string(host.path("seal.key")).unwrap()
}

/// What `doctor` thinks of these.
fn checks(host: &PamHost, ids: &[&str]) -> Vec<String> {
    let ended = host.admin(&["--json", "doctor"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let all = document["checks"].as_array().unwrap();
    ids.iter()
        .map(|id| {
            let found = all.iter().find(|check| check["id"] == *id);
            found.map_or("none".to_owned(), |check| {
                check["status"].as_str().unwrap().to_owned()
            })
        })
        .collect()
}

#[test]
fn binding_takes_two_runs_and_the_plain_file_goes_last() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        let key = key_text(&host);
        let credential = host.path("seal.cred").display().to_string();
        let made = document(&host, "seal bind", 0);
        assert_eq!(
            (&made["changed"], &made["bound"]),
            (&true.into(), &false.into())
        );
        assert_eq!(
            (&made["credential"], &made["protected_by"]),
            (&credential.clone().into(), &"host".into())
        );
        assert!(
            made["next"]
                .as_str()
                .unwrap()
                .contains(&format!("credential = {credential:?}"))
        );
        let text = admin(&host, "seal bind", 0).stdout;
        assert!(text.starts_with("Made already. "), "{text}");
        assert!(
            text.contains(&format!("\n    [seal]\n    credential = {credential:?}\n")),
            "{text}"
        );
        assert!(
            text.contains("opens on this machine alone") && text.contains("on paper"),
            "{text}"
        );
        // The plain file counts, and is there.
        assert_eq!(key_text(&host), key);
        assert_eq!(document(&host, "seal status", 0)["kept_in"], "file");
        assert_eq!(checks(&host, &["seal.key", "seal.bind"]), ["ok", "warn"]);
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        // The key is in two places, which no rotation could change at once.
        let refused = admin(&host, "seal rotate", 1);
        assert!(
            refused.stderr.contains("`seal bind` is half done"),
            "{refused:?}"
        );
        name_credential(&host);
        let refused = admin(&host, "seal rotate", 1);
        assert!(
            refused.stderr.contains("`seal bind` is half done"),
            "{refused:?}"
        );
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        let refused = admin(&host, "seal bind", 1);
        assert!(
            refused.stderr.contains("Nobody is at the terminal to ask"),
            "{refused:?}"
        );
        assert_eq!(key_text(&host), key);
        let status = document(&host, "seal status", 0);
        assert_eq!(
            (&status["kept_in"], &status["protected_by"]),
            (&"credential".into(), &"host".into())
        );
        assert_eq!(
            checks(&host, &["seal.key", "seal.bind", "seal.secrets"]),
            ["ok", "warn", "ok"]
        );
        let bound = document(&host, "seal bind --yes", 0);
        assert_eq!(
            (&bound["changed"], &bound["bound"]),
            (&true.into(), &true.into())
        );
        assert!(!host.path("seal.key").exists());
        let again = document(&host, "seal bind --yes", 0);
        assert_eq!(
            (&again["changed"], &again["bound"]),
            (&false.into(), &true.into())
        );
        assert_eq!(
            checks(&host, &["seal.key", "seal.bind", "seal.secrets"]),
            ["ok", "none", "ok"]
        );
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        admin(&host, "config check", 0);
        admin(&host, "init --no-user", 0);
        assert!(!host.path("seal.key").exists());
        // The way back, as the manual says.
        shell(&format!(
            "systemd-creds decrypt --name=mfa-seal-key {credential} {0}/seal.key; chmod 600 {0}/seal.key; rm {credential}",
            host.folder.display()
        ));
        assert_eq!(key_text(&host), key);
        host.configure(TABLES);
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn what_systemd_creds_fails_at_loses_nothing_and_is_told() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        let key = key_text(&host);
        let other =
            "mfa-seal-key:1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        for (script, told) in [
            (
                "echo no TPM2 here >&2; exit 1",
                "systemd-creds: no TPM2 here",
            ),
            ("exec /run/creds \"$@\" --with-key=tpm2", "systemd-creds: "),
            (
                "cat >/dev/null; echo nothing like it",
                "opens to another key",
            ),
            // It does not open again, or to something else.
            (
                "[ $1 = encrypt ] || exit 1; exec /run/creds \"$@\"",
                "systemd-creds: ",
            ),
            (
                &format!("[ $1 = encrypt ] && exec /run/creds \"$@\"; echo {other}"),
                "opens to another key",
            ),
            // The key that stands for no key.
            (
                "shift 3; exec /run/creds encrypt --name=mfa-seal-key --with-key=tpm2-absent \"$@\"",
                "no key that would protect it",
            ),
        ] {
            stand_in(script);
            let refused = admin(&host, "seal bind", 4);
            let text = refused.stderr.replace("\n  ", " ");
            assert!(text.contains(told), "{script}: {text}");
            assert!(!host.path("seal.cred").exists(), "{script}");
            assert_eq!(key_text(&host), key);
        }
        shell("rm /usr/bin/systemd-creds");
        let refused = admin(&host, "seal bind", 4);
        assert!(
            refused.stderr.contains("systemd-creds: does not exist"),
            "{refused:?}"
        );
        // A bound key that can't be sealed anew stays as it is, and so do the records.
        stand_out();
        let bound = PamHost::below("/run/bound", TABLES);
        let bobs = bound.enroll("bob");
        admin(&bound, "seal bind", 0);
        name_credential(&bound);
        admin(&bound, "seal bind --yes", 0);
        let files = || {
            (
                fs::read(bound.path("seal.cred")).unwrap(),
                fs::read(bound.record_path("bob")).unwrap(),
            )
        };
        let before = files();
        stand_in("[ $1 = decrypt ] || { echo busy >&2; exit 1; }; exec /run/creds \"$@\"");
        let refused = admin(&bound, "seal rotate", 4);
        assert!(
            refused.stderr.contains("systemd-creds: busy"),
            "{refused:?}"
        );
        assert!(files() == before);
        assert_eq!(bound.login("bob", &[bobs.code()]).result(), SUCCESS);
        // It fails for the second time, at the end: both keys are kept, and it goes on afterwards.
        stand_in(
            "[ $1 = decrypt ] || { [ ! -e /run/once ] || { echo busy >&2; exit 1; }; touch /run/once; }; exec /run/creds \"$@\"",
        );
        let refused = admin(&bound, "seal rotate", 4);
        assert!(
            refused.stderr.contains("systemd-creds: busy"),
            "{refused:?}"
        );
        assert_eq!(document(&bound, "seal status", 0)["rotating"], true);
        assert_eq!(bound.login("bob", &[bobs.code()]).result(), SUCCESS);
        stand_out();
        assert_eq!(document(&bound, "seal rotate", 0)["resumed"], true);
        assert_eq!(document(&bound, "seal status", 0)["rotating"], false);
        assert_eq!(bound.login("bob", &[bobs.code()]).result(), SUCCESS);
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn the_plain_file_is_never_taken_for_the_credential() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let key = key_text(&host);
        shell("ln -s /run/pam_host /run/other_way");
        for path in ["/run/pam_host/seal.key", "/run/other_way/seal.key"] {
            host.configure(&format!("{TABLES}[seal]\ncredential = \"{path}\"\n"));
            let refused = admin(&host, "seal bind --yes", 4);
            let text = refused.stderr.replace("\n  ", " ");
            assert!(
                text.contains("both the plain file and the credential"),
                "{refused:?}"
            );
            assert_eq!(key_text(&host), key);
        }
        host.configure(&format!("{TABLES}[seal]\ncredential = \"seal.cred\"\n"));
        let refused = admin(&host, "seal bind --yes", 4);
        assert!(refused.stderr.contains("absolute path"), "{refused:?}");
    });
}

#[test]
fn on_another_machine_a_copy_of_the_key_is_bound_anew_and_only_the_right_one() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        let key = key_text(&host);
        admin(&host, "seal bind", 0);
        name_credential(&host);
        admin(&host, "seal bind --yes", 0);
        // Another machine: its own host key, our backup.
        shell("rm /var/lib/systemd/credential.secret; systemd-creds setup");
        assert_eq!(host.play("user alice\nauthenticate\n").result(), UNAVAIL);
        let status = admin(&host, "seal status", 4);
        assert!(
            status.stderr.contains("opens on this host alone"),
            "{status:?}"
        );
        assert_eq!(checks(&host, &["seal.key"]), ["fail"]);
        // Nor is it called bound, where nothing plain is there.
        let refused = admin(&host, "seal bind --yes", 4);
        assert!(refused.stdout.is_empty(), "{refused:?}");
        let plain = host.path("seal.key");
        let write = |text: &str| {
            fs::write(&plain, text).unwrap();
            shell(&format!("chmod 600 {}", plain.display()));
        };
        let kept = fs::read(host.path("seal.cred")).unwrap();
        write(&format!(
            "mfa-seal-key:1:{}\n",
            "0123456789abcdef".repeat(4)
        ));
        let refused = admin(&host, "seal bind --yes", 4);
        assert!(
            refused.stderr.contains("1 secrets don't open"),
            "{refused:?}"
        );
        assert_eq!(fs::read(host.path("seal.cred")).unwrap(), kept);
        write(&key);
        let status = admin(&host, "seal status", 4);
        assert!(
            status
                .stderr
                .contains("`mfa-admin seal bind` makes it anew"),
            "{status:?}"
        );
        assert_eq!(document(&host, "seal bind --yes", 0)["bound"], true);
        // The one that did not open is not lost.
        assert_eq!(fs::read(host.path("seal.unopened")).unwrap(), kept);
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        assert!(!plain.exists());
        // A plain file with another key than the credential's: nobody but people can tell which is right.
        write(&format!(
            "mfa-seal-key:1:{}\n",
            "0123456789abcdef".repeat(4)
        ));
        let refused = admin(&host, "seal bind --yes", 1);
        assert!(
            refused.stderr.contains("nothing was changed"),
            "{refused:?}"
        );
        assert!(plain.exists());
        // The file of neither: mfa.toml names none, and the plain one is gone.
        fs::remove_file(&plain).unwrap();
        host.configure(TABLES);
        let refused = admin(&host, "seal bind", 4);
        assert!(refused.stderr.contains("is there: write"), "{refused:?}");
    });
}

#[test]
fn a_credential_that_could_not_be_made_anew_still_opens_and_is_made_the_next_time() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        admin(&host, "seal bind", 0);
        name_credential(&host);
        let kept = fs::read(host.path("seal.cred")).unwrap();
        // It does not open for the moment, nor can another one be made: twice, as somebody tries who is told of an error.
        for _ in 0..2 {
            stand_in("echo busy >&2; exit 1");
            let refused = admin(&host, "seal bind --yes", 4);
            assert!(
                refused.stderr.contains("systemd-creds: busy"),
                "{refused:?}"
            );
            stand_out();
            assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
            assert_eq!(fs::read(host.path("seal.unopened")).unwrap(), kept);
        }
        // What is kept already is not written over by another one.
        fs::write(host.path("seal.unopened"), "of before").unwrap();
        stand_in("[ $1 = encrypt ] && exec /run/creds \"$@\"; exit 1");
        let refused = admin(&host, "seal bind --yes", 4);
        assert!(
            refused.stderr.contains("another one is there"),
            "{refused:?}"
        );
        stand_out();
        assert_eq!(fs::read(host.path("seal.cred")).unwrap(), kept);
        assert_eq!(document(&host, "seal bind --yes", 0)["bound"], true);
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn an_old_plain_file_is_never_bound_over_the_key_that_counts() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        let old = key_text(&host);
        let plain = host.path("seal.key");
        let put_back = |text: &str| {
            fs::write(&plain, text).unwrap();
            shell(&format!("chmod 600 {}", plain.display()));
        };
        // What does not open, or can't be read, may need another key: neither half is done.
        let record = fs::read_to_string(host.record_path("alice")).unwrap();
        let write = |text: &str| fs::write(host.record_path("alice"), text).unwrap();
        for (text, told) in [
            (
                &*record.replace("secret = \"sealed:1:", "secret = \"sealed:1:0"),
                "1 secrets",
            ),
            ("no record", "1 records can't be read"),
        ] {
            write(text);
            let refused = admin(&host, "seal bind", 4);
            assert!(
                refused.stderr.replace("\n  ", " ").contains(told),
                "{refused:?}"
            );
            assert!(!host.path("seal.cred").exists());
            write(&record);
            admin(&host, "seal bind", 0);
            name_credential(&host);
            write(text);
            let refused = admin(&host, "seal bind --yes", 4);
            assert!(refused.stderr.contains("was not removed"), "{refused:?}");
            assert_eq!(key_text(&host), old);
            fs::remove_file(host.path("seal.cred")).unwrap();
            let refused = admin(&host, "seal bind --yes", 4);
            assert!(
                refused.stderr.replace("\n  ", " ").contains(told),
                "{refused:?}"
            );
            assert!(!host.path("seal.cred").exists());
            write(&record);
            host.configure(TABLES);
        }
        admin(&host, "seal bind", 0);
        name_credential(&host);
        admin(&host, "seal bind --yes", 0);
        admin(&host, "seal rotate", 0);
        let kept = fs::read(host.path("seal.cred")).unwrap();
        // A backup of before is put back, without the credential.
        host.configure(TABLES);
        put_back(&old);
        let refused = admin(&host, "seal bind", 1);
        assert!(
            refused.stderr.contains("nothing was changed"),
            "{refused:?}"
        );
        assert_eq!(fs::read(host.path("seal.cred")).unwrap(), kept);
        // It does not open for the moment.
        stand_in("echo busy >&2; exit 1");
        let refused = admin(&host, "seal bind", 4);
        assert!(
            refused.stderr.contains("systemd-creds: busy"),
            "{refused:?}"
        );
        assert_eq!(fs::read(host.path("seal.cred")).unwrap(), kept);
        stand_out();
        name_credential(&host);
        fs::remove_file(&plain).unwrap();
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn what_a_killed_rotation_left_in_plain_is_told_and_removed() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        let left = host.path(".new-seal.key");
        let leave = || fs::write(&left, "mfa-seal-key:1:00").unwrap();
        leave();
        admin(&host, "seal bind", 0);
        name_credential(&host);
        admin(&host, "seal bind --yes", 0);
        assert!(!left.exists());
        assert_eq!(checks(&host, &["seal.bind"]), ["none"]);
        leave();
        assert_eq!(checks(&host, &["seal.bind"]), ["warn"]);
        let next = document(&host, "seal status", 0)["next"].to_string();
        assert!(next.contains("/.new-seal.key"), "{next}");
        assert_eq!(document(&host, "seal bind", 0)["changed"], true);
        assert!(!left.exists());
        leave();
        admin(&host, "seal rotate", 0);
        assert!(!left.exists());
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_secret_of_an_older_key_is_got_back_on_a_bound_host_as_status_says() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        let (old, record) = (
            key_text(&host),
            fs::read(host.record_path("alice")).unwrap(),
        );
        admin(&host, "seal bind", 0);
        name_credential(&host);
        admin(&host, "seal bind --yes", 0);
        admin(&host, "seal rotate", 0);
        fs::write(host.record_path("alice"), &record).unwrap();
        let next = document(&host, "seal status", 1)["next"][0]
            .as_str()
            .unwrap()
            .to_owned();
        let commands: Vec<_> = next.split('`').skip(1).step_by(2).collect();
        let [decrypt, chmod, bind, rotate] = commands[..] else {
            panic!("{next}");
        };
        assert_eq!(
            (bind, rotate),
            ("mfa-admin seal bind", "mfa-admin seal rotate")
        );
        shell(&format!("{decrypt}; {chmod}"));
        let mut lines: Vec<_> = key_text(&host).lines().map(str::to_owned).collect();
        lines.insert(1, old.trim().to_owned());
        fs::write(host.path("seal.key"), lines.join("\n") + "\n").unwrap();
        fs::rename(host.path("seal.cred"), host.path("away")).unwrap();
        admin(&host, "seal bind --yes", 0);
        admin(&host, "seal rotate", 0);
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
    });
}

#[test]
fn systemd_creds_is_told_the_key_by_its_input_alone() {
    on_a_bare_host(|_| {
        let host = bound_host();
        let app = host.enroll("alice");
        stand_in(
            "{ tr '\\0' ' ' </proc/$$/cmdline; echo; tr '\\0' '\\n' </proc/$$/environ; ls -l /proc/$$/fd; } >>/run/seen; \
             exec /run/creds \"$@\"",
        );
        let texts: Vec<String> = (0..2)
            .map(|_| {
                admin(&host, "seal rotate", 0);
                let seen = host
                    .player()
                    .options(&["--real-uid", "1002"])
                    .before("exec 8</etc/passwd 9</etc/group; export SYSTEMD_LOG_LEVEL=debug")
                    .play(&format!(
                        "user alice\nanswer text {}\nauthenticate\n",
                        app.code()
                    ));
                assert_eq!(seen.result(), SUCCESS, "{seen}");
                let path = host.path("seal.cred");
                let opened = std::process::Command::new("/run/creds")
                    .args(["decrypt", "--name=mfa-seal-key"])
                    .arg(path)
                    .output()
                    .unwrap();
                String::from_utf8(opened.stdout).unwrap()
            })
            .collect();
        let seen = fs::read_to_string("/run/seen").unwrap();
        assert!(
            seen.contains(" decrypt --name=mfa-seal-key - - ")
                && seen.contains(" encrypt --name=mfa-seal-key ")
        );
        for text in &texts {
            for line in text.lines() {
                let key = line.rsplit(':').next().unwrap();
                assert!(key.len() == 64 && !seen.contains(key), "{seen}");
            }
        }
        // Nothing in its environment, nothing open of the caller's, no socket but its own three.
        assert!(
            !seen.contains("SYSTEMD_") && !seen.contains("PATH="),
            "{seen}"
        );
        assert!(!seen.contains("/etc/"), "{seen}");
    });
}

#[test]
fn the_log_tells_who_bound_and_changed_the_key_and_never_the_key() {
    on_a_test_host(|host| {
        host.enroll("alice");
        let mark = host.mark();
        host.admin(&["seal", "bind"]);
        host.configure("[seal]\ncredential = \"/etc/mfa/seal.cred\"\n");
        let text = fs::read_to_string("/etc/mfa/seal.key").unwrap();
        host.admin(&["seal", "bind", "--yes"]);
        host.admin(&["seal", "rotate"]);
        assert_eq!(
            host.ids_since(mark),
            ["MFA-3083", "MFA-3083", "MFA-3081", "MFA-3082"]
        );
        let lines = host.log_since(mark);
        let lines: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
        assert!(
            lines[0].contains("event=seal_bound")
                && lines[0].contains("reason=\"credential made\"")
        );
        assert!(
            lines[1].contains("reason=\"plain file removed\""),
            "{lines:?}"
        );
        assert!(lines.iter().all(|line| line.contains("actor=")));
        let key = text.trim().rsplit(':').next().unwrap();
        assert!(!lines.iter().any(|line| line.contains(key)), "{lines:?}");
    });
}
