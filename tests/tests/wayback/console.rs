//! login(1) on a terminal, on hosts that can check nobody.

use std::fs;
use std::path::Path;
use std::process::Command;

use mfa_tests::{Authenticator, Host, PASSWORD, Script, on_a_test_host, stacks};

use crate::{CODE, EMERGENCY, WRONG, code_on};

/// A host whose root has an app, and an emergency code for root at any terminal of a test.
struct Scene<'a> {
    host: &'a Host,
    phone: Authenticator,
    code: String,
}

impl<'a> Scene<'a> {
    fn new(host: &'a Host) -> Self {
        host.write_service("login", &stacks::example("login"));
        let phone = host.enroll("root");
        let code = generate(host);
        Self { host, phone, code }
    }

    /// root logs in: password, what is asked before the emergency code, that code, and a shell. The ids of the lines, and
    /// what became of the code.
    #[track_caller]
    fn expect_in(&self, before: &[(&str, &str)], what: &str) -> (Vec<String>, String) {
        let mark = self.host.mark();
        let mut script = Script::new().answer("Password: ", PASSWORD);
        for (prompt, answer) in before {
            script = script.answer(prompt, answer);
        }
        let script = script
            .answer(EMERGENCY, &self.code)
            .answer("# ", "id -un; exit");
        let talk = self.host.login("root").talk(script);
        assert!(
            talk.exit == 0 && talk.transcript.contains("root\n"),
            "{what}:\n{}",
            talk.transcript
        );
        let line = self.host.one_since(mark, "MFA-2009");
        assert_eq!(line.severity, "alert", "{what}");
        assert_eq!(
            (
                &line["user"],
                &line["service"],
                &line["method"],
                &line["rhost"]
            ),
            ("root", "login", "emergency", "-"),
            "{what}"
        );
        // The account phase lets in, and the session is opened: it is all one login.
        let lines = self.host.audit_since(mark);
        for id in ["MFA-2301", "MFA-2401"] {
            let later = self.host.one_since(mark, id);
            assert_eq!(&later["login"], &line["login"], "{what}");
            assert_eq!(&later["user"], "root", "{what}: {}", later.text);
        }
        let ids = lines.into_iter().map(|line| line.id).collect();
        (ids, line["detail"].to_owned())
    }

    /// Somebody at the terminal answers questions and stays out.
    #[track_caller]
    fn expect_out(&self, name: &str, questions: &[(&str, &str)], what: &str) {
        let mark = self.host.mark();
        let mut script = Script::new().answer("Password: ", PASSWORD);
        for (prompt, answer) in questions {
            script = script.answer(prompt, answer);
        }
        let mut terminal = self.host.login(name);
        terminal.play(script);
        terminal.expect_prompt("login: ");
        assert!(
            terminal.transcript().contains("Login incorrect"),
            "{what}:\n{}",
            terminal.transcript()
        );
        let ids = self.host.ids_since(mark);
        for id in ["MFA-2009", "MFA-2001", "MFA-2401"] {
            assert!(!ids.contains(&id.to_owned()), "{what}: {ids:?}");
        }
    }
}

/// A code for root, through login, at the terminals that tests get.
fn generate(host: &Host) -> String {
    let mut words = vec!["emergency".to_owned(), "generate".into(), "--yes".into()];
    for number in 0..20 {
        words.push("--tty".to_owned());
        words.push(format!("pts/{number}"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    code_on(&host.admin(&words))
}

fn run(words: &[&str]) {
    let status = Command::new(words[0]).args(&words[1..]).status().unwrap();
    assert!(status.success(), "{words:?}");
}

/// Puts a folder on a disk of its own, which is `size` large.
fn move_to_a_disk(folder: &str, size: &str) {
    let aside = format!("{folder}.aside");
    run(&["cp", "-a", folder, &aside]);
    let options = format!("mode=755,size={size}");
    run(&["mount", "-t", "tmpfs", "-o", &options, "disk", folder]);
    run(&["cp", "-a", &format!("{aside}/."), folder]);
}

/// Writes until nothing more fits.
fn fill(folder: &str) {
    let path = Path::new(folder).join("full");
    let written = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096"])
        .arg(format!("of={}", path.display()))
        .output()
        .unwrap();
    assert!(!written.status.success(), "the disk is to be full");
    // Nor is there a page left for anything small.
    assert!(fs::write(Path::new(folder).join("more"), "x").is_err());
}

#[test]
fn a_typing_error_in_the_configuration() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        fs::write("/etc/mfa/mfa.toml", "version = 1\n[promt]\n").unwrap();
        let (ids, detail) = scene.expect_in(&[], "a typing error");
        assert_eq!(
            ids,
            [
                "MFA-4002", "MFA-1004", "MFA-2009", "MFA-4002", "MFA-2301", "MFA-4002", "MFA-2401"
            ]
        );
        assert_eq!(detail, "marked as used");
        // Used once, it lets in no more, and who tries is seen.
        let mark = host.mark();
        let again = [(EMERGENCY, scene.code.as_str()); 3];
        scene.expect_out("root", &again, "a used code");
        let refused = host.audit_since(mark);
        let refused: Vec<_> = refused
            .iter()
            .filter(|line| line.id == "MFA-2112")
            .collect();
        assert_eq!(refused.len(), 3);
        for line in refused {
            assert_eq!((line.severity.as_str(), &line["reason"]), ("alert", "used"));
        }
        // A new one, made while the configuration is still broken, does.
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[], "a new code");
        // And a configuration that is gone is as bad as one that is wrong.
        fs::remove_file("/etc/mfa/mfa.toml").unwrap();
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[], "no configuration");
    });
}

#[test]
fn a_lost_sealing_key() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        let aside = "/etc/mfa/seal.key.aside";
        fs::rename("/etc/mfa/seal.key", aside).unwrap();
        scene.expect_in(&[], "a lost key");
        // root need not be on the approved list: the break-glass file names whom it lets in.
        host.admin(&["user", "remove", "root", "--yes"]);
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[], "a lost key, and no record");
        // A key that is damaged, and the key of another host, which shows with the first answer.
        fs::write("/etc/mfa/seal.key", "not a key\n").unwrap();
        run(&["chmod", "600", "/etc/mfa/seal.key"]);
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[], "no key at all");
        fs::remove_file("/etc/mfa/seal.key").unwrap();
        host.admin(&["init"]);
        let phone = host.enroll("root");
        fs::rename(aside, "/etc/mfa/seal.key").unwrap();
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[(CODE, &phone.code())], "another key");
    });
}

#[test]
fn a_corrupt_state_or_record() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        let state = "/var/lib/mfa/state/root";
        let sound = fs::read(state).unwrap();
        fs::write(state, [0; 4096]).unwrap();
        // What is wrong shows with the first answer; then there is one question that has a right one.
        let code = scene.phone.code();
        let (ids, _) = scene.expect_in(&[(CODE, &code)], "a corrupt state");
        assert_eq!(
            ids,
            [
                "MFA-1004", "MFA-4001", "MFA-1004", "MFA-2009", "MFA-2301", "MFA-2401"
            ]
        );
        fs::write(state, sound).unwrap();
        let record = "/var/lib/mfa/users/root.toml";
        let text = fs::read_to_string(record).unwrap();
        fs::write(record, &text[..text.len() / 2]).unwrap();
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[], "a corrupt record");
        // Where nothing is broken nobody is asked: the code is no second way in.
        fs::write(record, text).unwrap();
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        let tries = [(CODE, scene.code.as_str()); 3];
        scene.expect_out("root", &tries, "nothing is broken");
    });
}

#[test]
fn a_store_that_is_read_only() {
    on_a_test_host(|host| {
        move_to_a_disk("/var/lib/mfa", "4m");
        let scene = Scene::new(host);
        run(&["mount", "-o", "remount,ro", "/var/lib/mfa"]);
        let (ids, detail) = scene.expect_in(&[], "a read-only store");
        assert_eq!(
            ids,
            ["MFA-4001", "MFA-1004", "MFA-2009", "MFA-2301", "MFA-2401"]
        );
        assert_eq!(detail, "marked as used");
    });
}

#[test]
fn a_root_that_is_read_only_keeps_the_code_good_and_each_use_says_so() {
    on_a_test_host(|host| {
        move_to_a_disk("/etc/mfa", "1m");
        move_to_a_disk("/var/lib/mfa", "4m");
        let scene = Scene::new(host);
        for folder in ["/etc/mfa", "/var/lib/mfa"] {
            run(&["mount", "-o", "remount,ro", folder]);
        }
        for _ in 0..2 {
            let (_, detail) = scene.expect_in(&[], "a read-only root");
            let expected = "not marked as used, so it stays good: /etc/mfa/";
            assert!(
                detail.starts_with(expected) && detail.ends_with(": Read-only file system"),
                "{detail}"
            );
        }
        run(&["mount", "-o", "remount,rw", "/etc/mfa"]);
        let (_, detail) = scene.expect_in(&[], "a root that can be written again");
        assert_eq!(detail, "marked as used");
        let again = [(EMERGENCY, scene.code.as_str()); 3];
        scene.expect_out("root", &again, "a used code");
    });
}

#[test]
fn a_full_disk() {
    on_a_test_host(|host| {
        move_to_a_disk("/etc/mfa", "1m");
        move_to_a_disk("/var/lib/mfa", "4m");
        let scene = Scene::new(host);
        fill("/var/lib/mfa");
        fill("/etc/mfa");
        // States are changed in place: who has one logs in as ever.
        let script = Script::new()
            .answer("Password: ", PASSWORD)
            .answer_with(CODE, || scene.phone.code())
            .answer("# ", "exit");
        host.login("root").talk(script).expect_success();
        // Who has none can't have one made.
        fs::remove_file("/var/lib/mfa/state/root").unwrap();
        let _ = fs::write("/var/lib/mfa/again", vec![0; 1 << 20]);
        let code = scene.phone.code();
        for _ in 0..2 {
            let (_, detail) = scene.expect_in(&[(CODE, &code)], "a full disk");
            let expected =
                "not marked as used, so it stays good: /etc/mfa/emergency.toml: No space";
            assert!(detail.starts_with(expected), "{detail}");
        }
    });
}

#[test]
fn a_machine_id_that_is_gone() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        fs::remove_file("/etc/machine-id").unwrap();
        let (ids, _) = scene.expect_in(&[], "no machine id");
        assert_eq!(&ids[..3], ["MFA-4004", "MFA-1004", "MFA-2009"]);
        fs::write("/etc/machine-id", "").unwrap();
        let scene = Scene {
            code: generate(host),
            ..scene
        };
        scene.expect_in(&[], "an empty machine id");
    });
}

#[test]
fn wrong_codes_are_refused_and_everybody_there_is_asked_the_same() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        fs::write("/etc/mfa/mfa.toml", "nonsense\n").unwrap();
        scene.expect_out("root", &[(EMERGENCY, WRONG); 3], "wrong codes");
        scene.expect_out(
            "root",
            &[
                (EMERGENCY, ""),
                (EMERGENCY, "123456"),
                (EMERGENCY, PASSWORD),
            ],
            "no codes",
        );
        // The file does not name alice, whoever she is.
        let right = [(EMERGENCY, scene.code.as_str()); 3];
        scene.expect_out("alice", &right, "somebody else");
        // A wrong code uses nothing up.
        scene.expect_in(&[(EMERGENCY, WRONG)], "the right one after a wrong one");
    });
}

#[test]
fn nobody_is_asked_at_another_terminal_over_ssh_by_su_or_by_sudo() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        host.write_service("su", &stacks::example("su"));
        host.write_service("sudo", &stacks::example("sudo"));
        let sshd = host.start_sshd(
            &stacks::example("sshd-code-after-password"),
            &["PermitRootLogin yes"],
        );
        host.admin(&["user", "add", "alice"]);
        // Even where the file says more than it should.
        let text = fs::read_to_string("/etc/mfa/emergency.toml").unwrap();
        let wide = text
            .replace("[\"root\"]", "[\"root\", \"alice\", \"bob\"]")
            .replace("[\"login\"]", "[\"login\", \"sshd\", \"su\", \"sudo\"]")
            .replace("\"pts/0\"", "\"ssh\", \"pts/0\"");
        assert_ne!(wide, text);
        fs::write("/etc/mfa/emergency.toml", wide).unwrap();
        fs::write("/etc/mfa/mfa.toml", "nonsense\n").unwrap();
        let mark = host.mark();
        let over_ssh = sshd.ssh("root").start().talk_freely(|prompt| {
            assert!(!prompt.contains("Emergency"), "{prompt}");
            Some(PASSWORD.to_owned())
        });
        over_ssh.expect_failure();
        let script = || Script::new().answer("Password: ", PASSWORD);
        host.su("bob", "alice", "id -un")
            .talk(script())
            .expect_failure();
        let script = || Script::new().answer("bob: ", PASSWORD);
        host.sudo("bob", &["id", "-un"])
            .talk(script())
            .expect_failure();
        // Another terminal than those that the file names.
        fs::write("/etc/mfa/emergency.toml", text.replace("pts/", "tty")).unwrap();
        scene.expect_out("root", &[], "another terminal");
        let ids = host.ids_since(mark);
        assert!(
            ids.iter()
                .all(|id| id == "MFA-4002" || id.starts_with("MFA-3")),
            "{ids:?}"
        );
    });
}

#[test]
fn a_wrong_break_glass_file_lets_nobody_in_and_is_named() {
    on_a_test_host(|host| {
        let scene = Scene::new(host);
        let text = fs::read_to_string("/etc/mfa/emergency.toml").unwrap();
        fs::write("/etc/mfa/mfa.toml", "nonsense\n").unwrap();
        fs::write("/etc/mfa/emergency.toml", text.replace("users", "user")).unwrap();
        let mark = host.mark();
        scene.expect_out("root", &[], "a wrong file");
        let lines = host.audit_since(mark);
        assert!(
            lines.iter().any(|line| line.id == "MFA-4002"
                && line["detail"].contains("/etc/mfa/emergency.toml:5:1: unknown key")),
            "{lines:#?}"
        );
        fs::write("/etc/mfa/emergency.toml", &text).unwrap();
        run(&["chmod", "644", "/etc/mfa/emergency.toml"]);
        scene.expect_out("root", &[], "a file that others can read");
        run(&["chmod", "600", "/etc/mfa/emergency.toml"]);
        scene.expect_in(&[], "the file as it was");
    });
}
