//! Bad input: every case is refused with one clear line, the host process lives, and nothing that was stored is lost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{
    ALERT, AUTH_ERR, CONV_ERR, ERR, PROMPT, PamHost, RHOST, SUCCESS, Seen, UNAVAIL, built,
    login_script, overwrite,
};

fn shell(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

// ---- answers

#[test]
fn answers_of_no_codes_shape_use_a_prompt_and_nothing_else() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[prompt]\ntries = 2\n");
        let app = host.enroll("alice");
        let before = host.state("alice");
        for answer in [
            "text ",
            "text ＋１２３４５６",
            "text １２３４５６",
            "text +12345",
            "text -12345x",
            "text 12345",
            "text 123456789",
            "text 0x1234",
            "text 1e5000",
            "hex ff3132333435",
            "hex fffefd",
            "hex 003132333435",
            "hex 1b5b33316d",
            "text %s%n%s%n",
            "repeat 7 10485760",
            "repeat A 10485760",
        ] {
            let seen = host.play(&format!(
                "user alice\nanswer {answer}\nanswer {answer}\nauthenticate\n"
            ));
            assert_eq!(seen.result(), AUTH_ERR, "{answer}\n{seen}");
            assert_eq!(seen.prompts(), [PROMPT; 2], "{answer}\n{seen}");
            let lines: Vec<_> = seen
                .log
                .iter()
                .filter(|event| event.get("try") != "<absent>" && event.get("try") != "-")
                .collect();
            assert_eq!(lines.len(), 2, "one line per answer: {answer}\n{seen}");
            for line in lines {
                assert_ne!(
                    line.get("reason"),
                    "<absent>",
                    "it says that nothing was evaluated: {answer}\n{seen}"
                );
            }
            assert_eq!(host.state("alice"), before, "not charged: {answer}");
        }
        let seen = host.play(&format!(
            "user alice\nanswer hex 00313233\nanswer text {}\nauthenticate\n",
            app.code()
        ));
        assert_eq!(
            seen.result(),
            SUCCESS,
            "the next prompt is as good as the first\n{seen}"
        );
    });
}

#[test]
fn a_right_code_with_something_hidden_behind_it_is_what_c_says_it_is() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        // A reply is a C string: what follows the NUL is not part of it.
        let hex: Vec<_> = app
            .code()
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let seen = host.play(&format!(
            "user alice\nanswer hex {}00ffff\nauthenticate\n",
            hex.concat()
        ));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn a_conversation_that_gives_nothing_is_refused() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let before = host.state("alice");
        for answer in ["convfail", "null", "nullarray"] {
            for user in ["alice", "mallory", "nobody-here"] {
                let seen = host.play(&format!("user {user}\nanswer {answer}\nauthenticate\n"));
                assert_eq!(seen.result(), CONV_ERR, "{user}, {answer}\n{seen}");
                assert_eq!(seen.prompts(), [PROMPT], "{user}, {answer}\n{seen}");
                assert_eq!(
                    seen.only("MFA-2107").get("reason"),
                    "no_answer",
                    "{user}, {answer}\n{seen}"
                );
            }
            assert_eq!(host.state("alice"), before, "{answer}");
        }
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn the_account_password_as_the_answer_is_refused_and_not_charged() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("");
        let app = host.enroll("alice");
        // A password that looks like a code would be charged if it were evaluated.
        for password in ["correct-horse", "123456", "1234567"] {
            let first = format!(
                "auth required {} noprompt authtok={password}\n",
                built("pam_promptok.so").display()
            );
            host.stack("login", &host.lines(&first, ""));
            let before = host.state("alice");
            let seen = host.login("alice", &[password]);
            assert_eq!(seen.result(), AUTH_ERR, "at once: one prompt\n{seen}");
            assert_eq!(seen.events("MFA-2110").len(), 1, "{seen}");
            assert!(
                !seen.log.iter().any(|event| event.text.contains(password)),
                "{seen}"
            );
            assert_eq!(host.state("alice"), before);
            for user in ["mallory", "nobody-here"] {
                let seen = host.login(user, &[password]);
                assert_eq!(seen.result(), AUTH_ERR, "the same for everybody\n{seen}");
            }
        }
        // An account with an empty password: Enter at the prompt is no password, and the questions go on.
        let first = format!(
            "auth required {} noprompt authtok=\n",
            built("pam_promptok.so").display()
        );
        host.stack("login", &host.lines(&first, ""));
        let seen = host.login("alice", &["", "", ""]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.events("MFA-2110").len(), 0, "{seen}");
        assert_eq!(seen.prompts(), [PROMPT; 3], "{seen}");
        // What sshd puts in the place of an answer of somebody whom it does not want, in the length of what was typed,
        // which may have been a code or a recovery code: asked about as often as a wrong code, and charged to nobody.
        let before = host.state("alice");
        for (dummy, id, reason) in [
            ("080a0d7f494e", "MFA-2101", "refused_by_sshd"),
            ("080a0d7f494e434f5252454354", "MFA-2101", "refused_by_sshd"),
            (
                "080a0d7f494e434f5252454354080a",
                "MFA-2101",
                "refused_by_sshd",
            ),
            (
                "080a0d7f494e434f525245435408",
                "MFA-2101",
                "refused_by_sshd",
            ),
            ("080a0d7f494e434f52524543", "MFA-2101", "not_a_code"),
        ] {
            for (user, is_known) in [("alice", true), ("mallory", false), ("nobody-here", false)] {
                let answers = format!("answer hex {dummy}\n").repeat(3);
                let seen = host.play(&format!("user {user}\n{answers}authenticate\n"));
                assert_eq!(seen.result(), AUTH_ERR, "{user}\n{seen}");
                assert_eq!(seen.prompts(), [PROMPT; 3], "{user}\n{seen}");
                let is_unknown = !is_known && reason == "refused_by_sshd";
                let events = seen.events(if is_unknown { "MFA-2106" } else { id });
                assert_eq!(events.len(), 3, "{user}\n{seen}");
                assert!(
                    is_unknown || events.iter().all(|event| event.get("reason") == reason),
                    "{user}\n{seen}"
                );
            }
            assert_eq!(host.state("alice"), before, "not charged");
        }
        assert_eq!(
            host.login("alice", &[&app.code()]).result(),
            SUCCESS,
            "another answer than the password counts"
        );
    });
}

// ---- names

#[test]
fn names_lead_nowhere_and_leave_one_harmless_line() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let before = host.stored_files();
        let long = "a".repeat(256);
        let longer = "b".repeat(100_000);
        let names = [
            "../users/alice",
            "a/b",
            "/etc/passwd",
            "..",
            ".",
            ".alice",
            "alice/",
            r"alice\nbob",
            r"\r\n<13>root logged in",
            r"\e[2J\e[31m",
            r"a\xff\xfeb",
            "\u{fffd}",
            "al\"ice",
            "alice id=MFA-2001",
            "%decoy-00",
            "%new-alice",
            "a%41",
            "ALICE",
            &long,
            &longer,
        ];
        for arguments in ["", "audit"] {
            host.stack("login", &host.lines("", arguments));
            for name in names {
                let seen = host.login(name, &[&app.code_of(app.step())]);
                assert_eq!(seen.result(), AUTH_ERR, "{seen}");
                assert_eq!(seen.prompts(), [PROMPT], "{seen}");
                let line = seen.only("MFA-2106");
                assert!(line.get("user").len() <= 64 * 8, "{seen}");
                for event in &seen.log {
                    assert!(event.text.len() <= 1000, "{seen}");
                    assert!(
                        event
                            .text
                            .trim_end()
                            .bytes()
                            .all(|byte| (b' '..=b'~').contains(&byte)),
                        "{seen}"
                    );
                }
            }
        }
        // The empty name: libpam may ask for one itself.
        let seen = host.play(&format!(
            "user \nanswer text {}\nauthenticate\n",
            app.wrong_code()
        ));
        assert_ne!(seen.results(), [SUCCESS], "{seen}");
        let added: Vec<_> = host
            .stored_files()
            .into_iter()
            .filter(|name| !before.contains(name))
            .collect();
        assert!(added.is_empty(), "{added:?}");
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn odd_names_that_do_exist_have_files_of_their_own() {
    on_a_bare_host(|_| {
        let mut host = PamHost::new();
        // As long as a name can be: 67 bytes that become three each would be one byte too many.
        let (longest, too_long) = ("b".repeat(200), "b".repeat(256));
        let names = [
            "..",
            ".",
            "../alice",
            "../../lib/users/alice",
            "a/b",
            "alice.toml",
            &longest,
            "Alice",
            "al.ice",
            ".alice",
            "alice.",
            "a%41",
            "a b",
            "%decoy-00",
            "al+ice$",
        ];
        host.add_people(names.iter().map(|&name| name.to_owned()));
        host.add_people([too_long.clone(), "A".repeat(67)]);
        let apps: Vec<_> = names.iter().map(|name| host.enroll(name)).collect();
        let lower = host.enroll("alice");
        for name in [too_long, "A".repeat(67)] {
            let seen = host.login(&name, &[&lower.code_of(lower.step())]);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            assert_eq!(seen.events("MFA-2106").len(), 1, "nobody's name\n{seen}");
        }
        for (name, app) in names.iter().zip(&apps) {
            assert_eq!(
                host.login(name, &[&lower.code_of(lower.step())]).result(),
                AUTH_ERR,
                "{name}: somebody else's code"
            );
            let seen = host.login(name, &[&app.code()]);
            assert_eq!(seen.result(), SUCCESS, "{name}\n{seen}");
        }
        let records: Vec<_> = host
            .stored_files()
            .into_iter()
            .filter(|file| file.starts_with("users/"))
            .collect();
        assert_eq!(records.len(), names.len() + 1, "{records:?}");
        for expected in [
            "users/%2E%2E.toml",
            "users/%41lice.toml",
            "users/al.ice.toml",
            "users/%2Ealice.toml",
            "users/alice%2E.toml",
            "users/a%2541.toml",
            "users/a%20b.toml",
        ] {
            assert!(
                records.iter().any(|file| file == expected),
                "{expected} in {records:?}"
            );
        }
    });
}

// ---- the store

/// Every file below a folder with its inode, mode, owner and, of regular files, content; without the decoys, which
/// refusals write.
fn everything_below(folder: &Path) -> Vec<(String, [u64; 4], Vec<u8>)> {
    let mut found = Vec::new();
    for sub in ["users", "state"] {
        for entry in fs::read_dir(folder.join(sub)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("%decoy") {
                continue;
            }
            let at = fs::symlink_metadata(entry.path()).unwrap();
            let content = if at.is_file() {
                fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            let identity = [
                at.ino(),
                u64::from(at.mode()),
                u64::from(at.uid()),
                at.nlink(),
            ];
            found.push((format!("{sub}/{name}"), identity, content));
        }
    }
    found.sort();
    found
}

/// Damages a file, looks at logins, puts it back.
struct Damage<'host> {
    host: &'host PamHost,
    file: &'static str,
}

impl Damage<'_> {
    /// After `damage`: alice is refused after the usual prompt with one MFA-4001, bob is not concerned; once repaired, alice gets in.
    fn is_refused(&self, what: &str, damage: impl FnOnce(&Path)) -> Seen {
        let path = self.host.path(self.file);
        let saved = self.host.path("saved");
        shell(&format!(
            "rm -rf {0}; cp -a {1} {0}",
            saved.display(),
            path.display()
        ));
        damage(&path);
        let before = everything_below(&self.host.path("lib"));
        let seen = self.host.login("alice", &["000000"]);
        assert_eq!(seen.result(), UNAVAIL, "{} {what}\n{seen}", self.file);
        assert_eq!(
            seen.prompts(),
            [PROMPT],
            "after the usual prompts: {} {what}\n{seen}",
            self.file
        );
        let line = seen.only("MFA-4001");
        assert!(line.priority == ALERT || line.priority == ERR, "{seen}");
        let says_why = [" reason=", " detail="]
            .iter()
            .any(|field| line.text.contains(field));
        assert!(says_why, "{} {what}\n{seen}", self.file);
        assert!(seen.events("MFA-2001").is_empty());
        let seen_in_account = self
            .host
            .play(&format!("user alice\nset rhost {RHOST}\nacct_mgmt\n"));
        if self.file.contains("users/") {
            assert_eq!(
                seen_in_account.result(),
                UNAVAIL,
                "{} {what}, account\n{seen_in_account}",
                self.file
            );
        }
        self.host.stack("nullok", &self.host.lines("", "nullok"));
        let lenient = self
            .host
            .player()
            .service("nullok")
            .play(&login_script("alice", &["000000"]));
        assert_eq!(
            lenient.sole_result(),
            UNAVAIL,
            "nullok is no way around: {what}\n{lenient}"
        );
        assert_eq!(
            everything_below(&self.host.path("lib")),
            before,
            "nothing that was stored is changed or lost: {} {what}",
            self.file
        );
        shell(&format!(
            "rm -rf {1}; mv {0} {1}",
            saved.display(),
            path.display()
        ));
        seen
    }
}

fn rewrite(path: &Path, change: impl FnOnce(String) -> String) {
    overwrite(path, change(fs::read_to_string(path).unwrap()).as_bytes());
}

#[test]
fn a_damaged_record_is_refused_and_nothing_of_it_is_lost() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        let record = fs::read(host.record_path("alice")).unwrap();
        let damage = Damage {
            host: &host,
            file: "lib/users/alice.toml",
        };
        damage.is_refused("empty", |path| overwrite(path, b""));
        damage.is_refused("cut off", |path| {
            rewrite(path, |text| text[..text.len() / 2].to_owned());
        });
        damage.is_refused("not UTF-8", |path| {
            overwrite(path, b"version = 1\nuser = \"\xff\"\n");
        });
        damage.is_refused("too long", |path| {
            rewrite(path, |text| format!("{text}#{}\n", "x".repeat(70_000)));
        });
        damage.is_refused("deeply nested", |path| {
            rewrite(path, |text| format!("x = {}\n{text}", "[".repeat(20_000)));
        });
        let seen = damage.is_refused("unknown key", |path| {
            rewrite(path, |text| format!("colour = \"red\"\n{text}"));
        });
        assert!(
            seen.only("MFA-4001").text.contains("colour"),
            "the key is named\n{seen}"
        );
        damage.is_refused("duplicate key", |path| {
            rewrite(path, |text| format!("approved = true\n{text}"));
        });
        damage.is_refused("newer version", |path| {
            rewrite(path, |text| text.replacen("version = 1", "version = 2", 1));
        });
        damage.is_refused("somebody else's", |path| {
            rewrite(path, |text| text.replacen("\"alice\"", "\"bob\"", 1));
        });
        damage.is_refused("another user's whole record", |path| {
            overwrite(path, &fs::read(path.with_file_name("bob.toml")).unwrap());
        });
        damage.is_refused("symlink", |path| {
            fs::rename(path, "/run/pam_host/target").unwrap();
            symlink("/run/pam_host/target", path).unwrap();
        });
        damage.is_refused("hard link", |path| {
            fs::hard_link(path, path.with_file_name("carol.toml")).unwrap();
        });
        fs::remove_file(host.record_path("carol")).unwrap();
        damage.is_refused("FIFO", |path| {
            shell(&format!("rm {0}; mkfifo -m 600 {0}", path.display()));
        });
        damage.is_refused("directory", |path| {
            shell(&format!("rm {0}; mkdir -m 700 {0}", path.display()));
        });
        damage.is_refused("device", |path| {
            shell(&format!("rm {0}; mknod -m 600 {0} c 1 3", path.display()));
        });
        damage.is_refused("socket", |path| {
            fs::remove_file(path).unwrap();
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        });
        damage.is_refused("owned by somebody else", |path| {
            chown(path, Some(1001), None).unwrap();
        });
        for mode in [0o602, 0o620, 0o644, 0o666] {
            damage.is_refused(&format!("mode {mode:o}"), |path| {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            });
        }
        assert_eq!(fs::read(host.record_path("alice")).unwrap(), record);
        assert_eq!(
            host.login("bob", &[&bob.code()]).result(),
            SUCCESS,
            "others are not concerned"
        );
        assert_eq!(
            host.login("alice", &[&alice.code()]).result(),
            SUCCESS,
            "repaired"
        );
    });
}

#[test]
fn a_damaged_state_is_refused_until_it_is_repaired() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        assert_eq!(host.login("alice", &[&alice.code()]).result(), SUCCESS);
        let damage = Damage {
            host: &host,
            file: "lib/state/alice",
        };
        damage.is_refused("empty", |path| overwrite(path, b""));
        damage.is_refused("cut off", |path| {
            fs::OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(3000)
                .unwrap();
        });
        damage.is_refused("longer", |path| {
            fs::OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(8192)
                .unwrap();
        });
        damage.is_refused("zeros", |path| overwrite(path, &[0; 4096]));
        damage.is_refused("symlink", |path| {
            fs::rename(path, "/run/pam_host/target").unwrap();
            symlink("/run/pam_host/target", path).unwrap();
        });
        damage.is_refused("hard link", |path| {
            fs::hard_link(path, path.with_file_name("carol")).unwrap();
        });
        fs::remove_file(host.state_path("carol")).unwrap();
        damage.is_refused("FIFO", |path| {
            shell(&format!("rm {0}; mkfifo -m 600 {0}", path.display()));
        });
        damage.is_refused("directory", |path| {
            shell(&format!("rm {0}; mkdir -m 700 {0}", path.display()));
        });
        damage.is_refused("owned by somebody else", |path| {
            chown(path, Some(1001), None).unwrap();
        });
        damage.is_refused("world-writable", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o602)).unwrap();
        });
        assert_eq!(
            host.login("bob", &[&bob.code()]).result(),
            SUCCESS,
            "others are not concerned"
        );
        assert_eq!(
            host.login("alice", &[&alice.code()]).result(),
            SUCCESS,
            "repaired"
        );
    });
}

/// Flips bytes in the middle of a slot.
fn spoil(path: &Path, slot: u64) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut bytes = [0; 64];
    file.read_exact_at(&mut bytes, slot * 2048 + 16).unwrap();
    file.write_all_at(&bytes.map(|byte| !byte), slot * 2048 + 16)
        .unwrap();
}

#[test]
fn one_bad_slot_is_survived_and_two_are_not() {
    on_a_bare_host(|_| {
        for slot in [0, 1] {
            let host = PamHost::new();
            let user = ["alice", "bob"][usize::try_from(slot).unwrap()];
            let app = host.enroll(user);
            app.wait_for_room(5);
            let step = app.step();
            assert_eq!(
                host.login(user, &[&app.code_of(step - 1)]).result(),
                SUCCESS
            );
            spoil(&host.state_path(user), slot);
            let seen = host.login(user, &[&app.code_of(step)]);
            assert_eq!(seen.result(), SUCCESS, "slot {slot}\n{seen}");
            assert_eq!(
                host.login(user, &[&app.code_of(step)]).result(),
                AUTH_ERR,
                "and it is written again"
            );
            spoil(&host.state_path(user), slot);
            spoil(&host.state_path(user), 1 - slot);
            let seen = host.login(user, &[&app.code_of(step + 1)]);
            assert_eq!(seen.result(), UNAVAIL, "{seen}");
            assert_eq!(seen.only("MFA-4001").priority, ALERT, "{seen}");
            assert_eq!(
                host.login(user, &[&app.code_of(step + 1)]).result(),
                UNAVAIL,
                "it stays so"
            );
            host.admin(&["state", "reset", user, "--yes"])
                .expect_success();
            let seen = host.login(user, &[&app.code_of(step + 1)]);
            assert_eq!(
                seen.result(),
                SUCCESS,
                "until an administrator acts\n{seen}"
            );
        }
    });
}

#[test]
fn a_login_that_finds_no_state_makes_one() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        fs::remove_file(host.state_path("alice")).unwrap();
        let code = app.code();
        let seen = host.login("alice", &[&code]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(
            host.login("alice", &[&code]).result(),
            AUTH_ERR,
            "and it remembers"
        );
        let made = fs::metadata(host.state_path("alice")).unwrap();
        assert_eq!(
            (made.len(), made.permissions().mode() & 0o7777),
            (4096, 0o600)
        );
        assert_eq!(host.stored_files(), ["state/alice", "users/alice.toml"]);
    });
}

#[test]
fn a_store_in_a_folder_that_others_may_write_is_refused() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        for (folder, mode, usual) in [
            ("lib", 0o777, 0o755),
            ("lib/users", 0o770, 0o700),
            ("lib/state", 0o703, 0o700),
        ] {
            let before = fs::metadata(host.path(folder)).unwrap().permissions();
            fs::set_permissions(host.path(folder), fs::Permissions::from_mode(mode)).unwrap();
            let seen = host.play(&format!(
                "user alice\nanswer text {}\nauthenticate\n",
                app.code_of(app.step())
            ));
            assert_eq!(
                seen.sole_result(),
                UNAVAIL,
                "{folder} {mode:o} (usual: {usual:o})\n{seen}"
            );
            assert_eq!(seen.events("MFA-4001").len(), 1, "{seen}");
            fs::set_permissions(host.path(folder), before).unwrap();
        }
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

// ---- sealing key, configuration, machine id: without a prompt

/// Refused in auth and account, for everybody, without a prompt, with one line `id` per phase.
fn refused_without_a_prompt(host: &PamHost, what: &str, id: &str, account_too: bool) -> Seen {
    let before = everything_below(&host.path("lib"));
    for user in ["mallory", "nobody-here"] {
        let seen = host.play(&format!("user {user}\nauthenticate\n"));
        assert_eq!(seen.result(), UNAVAIL, "{what}, {user}\n{seen}");
    }
    if account_too {
        let seen = host.play("user alice\nacct_mgmt\n");
        assert_eq!(seen.result(), UNAVAIL, "{what}\n{seen}");
        assert_eq!(seen.events(id).len(), 1, "{what}\n{seen}");
    }
    let seen = host.play("user alice\nauthenticate\n");
    assert_eq!(seen.result(), UNAVAIL, "{what}\n{seen}");
    assert!(seen.prompts().is_empty(), "{what}\n{seen}");
    let line = seen.only(id);
    assert!(
        line.priority == ERR || line.priority == ALERT,
        "{what}\n{seen}"
    );
    assert_eq!(
        everything_below(&host.path("lib")),
        before,
        "nothing that was stored is changed or lost: {what}"
    );
    seen
}

#[test]
fn without_its_sealing_key_the_host_lets_nobody_in() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let (key, saved) = (host.path("seal.key"), host.path("saved"));
        fs::rename(&key, &saved).unwrap();
        refused_without_a_prompt(&host, "no key", "MFA-4001", false);
        for (what, bytes) in [
            ("empty", b"" as &[u8]),
            ("cut off", &fs::read(&saved).unwrap()[..20]),
        ] {
            fs::write(&key, bytes).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            refused_without_a_prompt(&host, what, "MFA-4001", false);
        }
        shell(&format!(
            "cp -a {} {1}; chmod 640 {1}",
            saved.display(),
            key.display()
        ));
        refused_without_a_prompt(&host, "readable by a group", "MFA-4001", false);
        fs::rename(&saved, &key).unwrap();
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn with_another_sealing_key_the_secrets_do_not_open() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let (key, saved) = (host.path("seal.key"), host.path("saved"));
        fs::rename(&key, &saved).unwrap();
        let other = PamHost::below("/run/other_host", "");
        shell(&format!(
            "cp -a {} {}",
            other.path("seal.key").display(),
            key.display()
        ));
        assert_ne!(fs::read(&key).unwrap(), fs::read(&saved).unwrap());
        let seen = host.play(&format!(
            "user alice\nanswer text {}\nauthenticate\n",
            app.code()
        ));
        assert_eq!(seen.sole_result(), UNAVAIL, "{seen}");
        assert_eq!(seen.events("MFA-4001").len(), 1, "{seen}");
        fs::rename(&saved, &key).unwrap();
        assert_eq!(
            host.login("alice", &[&app.present_code()]).result(),
            SUCCESS
        );
    });
}

#[test]
fn a_wrong_configuration_is_named_by_line_and_column() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let good = fs::read_to_string(host.path("mfa.toml")).unwrap();
        let lines = good.lines().count();
        for (what, text, place) in [
            (
                "unknown key",
                format!("{good}colour = \"red\"\n"),
                Some(format!("{}:1", lines + 1)),
            ),
            (
                "wrong type",
                format!("{good}\n[throttle]\n  max_failures = \"many\"\n"),
                Some(format!("{}:", lines + 3)),
            ),
            (
                "not TOML",
                format!("{good}nonsense\n"),
                Some(format!("{}:", lines + 1)),
            ),
            (
                "duplicate key",
                format!("{good}tries = 1\n"),
                Some(format!("{}:", lines + 1)),
            ),
            (
                "out of range",
                format!("{good}fail_delay = \"2 parsecs\"\n"),
                Some(format!("{}:", lines + 1)),
            ),
            (
                "newer version",
                good.replacen("version = 1", "version = 2", 1),
                Some("1:".to_owned()),
            ),
            (
                "relative path",
                good.replacen("store = \"/", "store = \"", 1),
                Some("4:".to_owned()),
            ),
            ("empty", String::new(), None),
            ("no version", good.replacen("version = 1", "", 1), None),
        ] {
            host.write("mfa.toml", &text);
            let seen = refused_without_a_prompt(&host, what, "MFA-4002", true);
            if let Some(place) = place {
                assert!(
                    seen.only("MFA-4002").text.contains(&place),
                    "{what}: {place}\n{seen}"
                );
            }
        }
        fs::remove_file(host.path("mfa.toml")).unwrap();
        let seen = refused_without_a_prompt(&host, "missing", "MFA-4002", true);
        assert!(seen.only("MFA-4002").text.contains("mfa.toml"), "{seen}");
        shell(&format!("mkfifo {}", host.path("mfa.toml").display()));
        refused_without_a_prompt(&host, "FIFO", "MFA-4002", true);
        for (what, command) in [
            ("writable by others", "chmod 646"),
            ("owned by somebody else", "chown 1001"),
        ] {
            host.write("mfa.toml", &good);
            shell(&format!("{command} {}", host.path("mfa.toml").display()));
            refused_without_a_prompt(&host, what, "MFA-4002", true);
        }
        // ignore_unknown is for fleets on two releases.
        host.write(
            "mfa.toml",
            &format!(
                "{}colour = \"red\"\n",
                good.replacen(
                    "version = 1",
                    "version = 1\nignore_unknown = [\"prompt.colour\"]",
                    1
                )
            ),
        );
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_host_that_does_not_know_which_it_is_lets_nobody_in() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let good = "0123456789abcdef0123456789abcdef\n";
        let path = host.path("machine-id");
        for (what, text) in [
            ("empty", ""),
            ("blank", "\n"),
            ("uninitialized", "uninitialized\n"),
            ("zeros", "00000000000000000000000000000000\n"),
            ("short", "0123456789abcdef\n"),
            ("long", "0123456789abcdef0123456789abcdef0\n"),
            ("not hex", "0123456789abcdef0123456789abcdeg\n"),
        ] {
            host.write("machine-id", text);
            let seen = refused_without_a_prompt(&host, what, "MFA-4004", true);
            assert!(
                !seen
                    .log
                    .iter()
                    .any(|event| event.text.contains("0123456789abcdef")),
                "the raw id is confidential\n{seen}"
            );
        }
        fs::remove_file(&path).unwrap();
        refused_without_a_prompt(&host, "missing", "MFA-4004", true);
        host.write("elsewhere", good);
        symlink(host.path("elsewhere"), &path).unwrap();
        assert_eq!(
            host.login("alice", &[&app.code()]).result(),
            SUCCESS,
            "one root-owned symlink is allowed"
        );
        fs::remove_file(&path).unwrap();
        host.write("machine-id", "fedcba9876543210fedcba9876543210\n");
        let seen = host.login("alice", &[&app.present_code()]);
        assert_eq!(seen.result(), AUTH_ERR, "{seen}");
        assert_eq!(seen.events("MFA-2105").len(), 1, "another device\n{seen}");
        host.write("machine-id", good);
        assert_eq!(
            host.login("alice", &[&app.present_code()]).result(),
            SUCCESS
        );
    });
}

// ---- disks and clocks

#[test]
fn a_full_disk_locks_nobody_out_who_is_enrolled() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        shell(&format!(
            "mount -t tmpfs -o size=2m,mode=755 full {}",
            host.path("lib").display()
        ));
        host.admin(&["init", "--no-user"]).expect_success();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        fs::remove_file(host.state_path("bob")).unwrap();
        let filler = host.path("lib/filler");
        let dd = Command::new("dd")
            .args(["if=/dev/zero", "bs=512"])
            .arg(format!("of={}", filler.display()))
            .output()
            .unwrap();
        assert!(!dd.status.success(), "the disk is full");

        let code = alice.code();
        let seen = host.login("alice", &[&code]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        let seen = host.login("alice", &[&code]);
        assert_eq!(seen.result(), AUTH_ERR, "a replay is known\n{seen}");
        let seen = host.play(&format!(
            "user bob\nanswer text {}\nauthenticate\n",
            bob.code()
        ));
        assert_eq!(
            seen.sole_result(),
            UNAVAIL,
            "where a state can't be made, nobody gets in\n{seen}"
        );
        assert_eq!(seen.events("MFA-4001").len(), 1, "{seen}");
        let seen = host.play("user nobody-here\nanswer text 000000\nauthenticate\n");
        assert_ne!(seen.sole_result(), SUCCESS, "{seen}");
        fs::remove_file(filler).unwrap();
        let seen = host.login("bob", &[&bob.code()]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert!(
            !host.stored_files().iter().any(|file| file.contains("new")),
            "{:?}",
            host.stored_files()
        );
    });
}

#[test]
fn a_read_only_file_system_is_refused_with_its_reason() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let before = host.state("alice");
        let store = host.path("lib").display().to_string();
        shell(&format!(
            "mount --bind {store} {store} && mount -o remount,bind,ro {store}"
        ));
        let seen = host.play(&format!(
            "user alice\nanswer text {}\nauthenticate\n",
            app.code()
        ));
        assert_eq!(seen.sole_result(), UNAVAIL, "{seen}");
        let line = &seen.only("MFA-4001").text;
        assert!(line.to_lowercase().contains("read-only"), "{seen}");
        shell(&format!("umount {store}"));
        assert_eq!(host.state("alice"), before);
        assert_eq!(
            host.login("alice", &[&app.present_code()]).result(),
            SUCCESS
        );
    });
}

#[test]
fn a_write_cut_short_denies_and_the_next_login_works() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        app.wait_for_room(6);
        let step = app.step();
        for (number, (limit, signal)) in [
            ("ulimit -f 1", ""),
            ("ulimit -f 1", "trap '' XFSZ; "),
            ("ulimit -f 0", ""),
            ("ulimit -f 5", ""),
        ]
        .into_iter()
        .enumerate()
        {
            for _ in 0..2 {
                // Twice: the next transaction writes the other slot.
                let seen = host
                    .player()
                    .before(&format!("{signal}{limit}"))
                    .options(&["--real-uid", "1002", "--check"])
                    .play(&login_script("alice", &[&app.wrong_code()]));
                assert!(
                    [UNAVAIL, AUTH_ERR].contains(&seen.result()),
                    "{limit} {signal}\n{seen}"
                );
                assert_eq!(
                    seen.starting("CHANGED"),
                    Vec::<&str>::new(),
                    "{limit} {signal}\n{seen}"
                );
            }
            let seen = host
                .player()
                .before(&format!("{signal}{limit}"))
                .options(&["--real-uid", "1002"])
                .play(&login_script("alice", &[&app.code_of(step - 1)]));
            if number == 0 || limit == "ulimit -f 0" {
                assert_ne!(
                    seen.result(),
                    SUCCESS,
                    "what can't be committed is not accepted: {limit}\n{seen}"
                );
            }
            host.admin(&["user", "unlock", "alice"]).expect_success();
        }
        let seen = host.login("alice", &[&app.code_of(step + 1)]);
        assert_eq!(seen.result(), SUCCESS, "the victim's next login\n{seen}");
    });
}

#[test]
fn a_limit_on_file_sizes_ends_no_host_and_tells_nobody_apart() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        host.enroll("carol");
        fs::remove_file(host.state_path("carol")).unwrap();
        for limit in ["ulimit -f 0", "ulimit -f 1", "ulimit -f 5"] {
            // carol's state would have to be made; the others' are a decoy.
            for user in ["alice", "carol", "mallory", "nobody-here"] {
                // Twice: the next transaction writes the other slot, of a decoy as well.
                for _ in 0..2 {
                    let seen = host
                        .player()
                        .before(limit)
                        .options(&["--real-uid", "1002", "--check"])
                        .play(&format!(
                            "{}syslog alive\n",
                            login_script(user, &[&app.wrong_code()])
                        ));
                    // With no byte to write nothing is decided about anybody; with more it depends on the slot.
                    let decided = if limit.ends_with('0') {
                        UNAVAIL
                    } else {
                        AUTH_ERR
                    };
                    assert!(
                        [UNAVAIL, decided].contains(&seen.result()),
                        "the host lives: {user}, {limit}\n{seen}"
                    );
                    assert_eq!(seen.prompts(), [PROMPT], "{user}, {limit}\n{seen}");
                    assert_eq!(
                        seen.starting("CHANGED"),
                        Vec::<&str>::new(),
                        "{user}, {limit}\n{seen}"
                    );
                    assert_eq!(
                        seen.log.last().unwrap().text,
                        "alive",
                        "{user}, {limit}\n{seen}"
                    );
                }
            }
            host.admin(&["user", "unlock", "alice"]).expect_success();
        }
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_lock_goes_on_over_a_reboot_and_ends_by_the_wall_clock_then() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config("[prompt]\ntries = 1\n[lockout]\nafter = 2\n");
        host.write("boot", "11111111-2222-4333-8444-555555555555\n");
        host.write("next-boot", "66666666-7777-4888-9999-aaaaaaaaaaaa\n");
        let app = host.enroll("alice");
        let minutes = |minutes: u64| 60 * minutes / app.period;
        let at = |boot: &str, offset: &str, steps: u64| {
            let bind = format!(
                "{}=/proc/sys/kernel/random/boot_id",
                host.path(boot).display()
            );
            host.player()
                .options(&["--bind", &bind])
                .clock(offset)
                .play(&login_script("alice", &[&app.code_of(app.step() + steps)]))
        };
        let lock = || {
            for _ in 0..2 {
                let bind = format!(
                    "{}=/proc/sys/kernel/random/boot_id",
                    host.path("boot").display()
                );
                host.player()
                    .options(&["--bind", &bind])
                    .play(&login_script("alice", &[&app.wrong_code()]));
            }
        };
        lock();
        let seen = at("boot", "+16m", minutes(16));
        assert_eq!(
            seen.events("MFA-2202").len(),
            1,
            "within one boot a clock that is set does not count\n{seen}"
        );
        // That reading of the wall clock is known now; the next one is fourteen minutes after it.
        let seen = at("next-boot", "+30m", minutes(30));
        assert_eq!(seen.events("MFA-2202").len(), 1, "14 minutes\n{seen}");
        let seen = at("boot", "+10m", minutes(10));
        assert_eq!(
            seen.events("MFA-2202").len(),
            1,
            "a reboot with a clock that is behind is no time\n{seen}"
        );
        let seen = at("next-boot", "+12m", minutes(12));
        assert_eq!(seen.result(), SUCCESS, "14 and 2 minutes\n{seen}");
    });
}

#[test]
fn a_name_service_that_can_not_answer_is_not_an_unknown_user() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let before = host.state("alice");
        host.stack("nullok", &host.lines("", "nullok"));
        fs::rename("/etc/passwd", "/etc/passwd-away").unwrap();
        // ELOOP: what a directory that is down looks like to getpwnam_r.
        symlink("passwd", "/etc/passwd").unwrap();
        for service in ["login", "nullok"] {
            for user in ["alice", "mallory", "nobody-here"] {
                for hook in ["authenticate", "acct_mgmt"] {
                    let seen = host
                        .player()
                        .service(service)
                        .play(&format!("user {user}\nset rhost {RHOST}\n{hook}\n"));
                    assert_eq!(seen.result(), UNAVAIL, "{service}, {user}, {hook}\n{seen}");
                    assert!(seen.prompts().is_empty(), "{user}, {hook}\n{seen}");
                    let line = seen.only("MFA-4006");
                    assert_eq!((line.priority, line.get("user")), (ERR, "?"), "{seen}");
                    assert!(line.text.contains(" detail=\"Too many symbolic"), "{seen}");
                    assert_eq!(seen.ids(), ["MFA-4006"], "{user}, {hook}\n{seen}");
                }
            }
        }
        fs::remove_file("/etc/passwd").unwrap();
        fs::rename("/etc/passwd-away", "/etc/passwd").unwrap();
        assert_eq!(host.state("alice"), before);
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_sealed_secret_is_good_for_its_user_and_its_app_only() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let (alice, bob) = (host.enroll("alice"), host.enroll("bob"));
        let sealed = |user: &str| {
            let record = fs::read_to_string(host.record_path(user)).unwrap();
            let at = record.find("sealed:").unwrap();
            record[at..].split('"').next().unwrap().to_owned()
        };
        let (of_alice, of_bob) = (sealed("alice"), sealed("bob"));
        let id_of = |user: &str| {
            let record = fs::read_to_string(host.record_path(user)).unwrap();
            let (_, app) = record.split_once("[[apps]]").unwrap();
            let (_, id) = app.split_once("id = \"").unwrap();
            id[..8].to_owned()
        };
        // Bob's secret in alice's record, under her app's id and under his own.
        for id in [id_of("alice"), id_of("bob")] {
            let own = id_of("alice");
            host.edit_record("alice", &of_alice, &of_bob);
            host.edit_record(
                "alice",
                &format!("id = \"{own}\""),
                &format!("id = \"{id}\""),
            );
            for code in [bob.code(), alice.code()] {
                let seen = host.login("alice", &[code]);
                assert_eq!(seen.result(), UNAVAIL, "{seen}");
                assert_eq!(
                    seen.only("MFA-4001").get("reason"),
                    "sealed_secret",
                    "{seen}"
                );
            }
            host.edit_record(
                "alice",
                &format!("id = \"{id}\""),
                &format!("id = \"{own}\""),
            );
            host.edit_record("alice", &of_bob, &of_alice);
        }
        // Her own under another id: the used codes of an app can't be left behind by renaming it.
        let code = alice.code();
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
        let own = id_of("alice");
        host.edit_record("alice", &format!("id = \"{own}\""), "id = \"00c0ffee\"");
        let seen = host.login("alice", &[&code]);
        assert_eq!(seen.result(), UNAVAIL, "{seen}");
        host.edit_record("alice", "id = \"00c0ffee\"", &format!("id = \"{own}\""));
        assert_eq!(host.login("alice", &[&code]).result(), AUTH_ERR);
        assert_eq!(host.login("alice", &[&alice.code()]).result(), SUCCESS);
    });
}

#[test]
fn a_clock_that_jumped_ahead_a_year_and_came_back_allows_no_replay() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        app.wait_for_room(8);
        let year = 365 * 24 * 60 * 60 / app.period;
        let seen = host
            .player()
            .clock("+365d")
            .play(&login_script("alice", &[&app.code_of(app.step() + year)]));
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        for _ in 0..2 {
            let seen = host.login("alice", &[&app.code_of(app.step())]);
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            let line = seen.only("MFA-4003");
            assert_eq!(line.priority, ERR, "{seen}");
        }
        host.admin(&["state", "set-clock", "alice"])
            .expect_success();
        let code = app.code_of(app.step());
        let seen = host.login("alice", &[&code]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
        assert_eq!(host.login("alice", &[&code]).result(), AUTH_ERR);
    });
}

#[test]
fn a_clock_that_jumps_lifts_no_lock_and_makes_none_eternal() {
    on_a_bare_host(|_| {
        let host =
            PamHost::with_config("[prompt]\ntries = 1\n[lockout]\nafter = 2\nfor = \"4s\"\n");
        let app = host.enroll("alice");
        let year = 365 * 24 * 60 * 60 / app.period;
        for _ in 0..2 {
            host.login("alice", &[&app.wrong_code()]);
        }
        for (offset, step) in [("+365d", app.step() + year), ("-365d", app.step() - year)] {
            let seen = host
                .player()
                .clock(offset)
                .play(&login_script("alice", &[&app.code_of(step)]));
            assert_eq!(seen.result(), AUTH_ERR, "{offset}\n{seen}");
            assert_eq!(seen.events("MFA-2202").len(), 1, "{offset}\n{seen}");
        }
        std::thread::sleep(std::time::Duration::from_secs(5));
        let seen = host.login("alice", &[&app.code_of(app.step())]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}

#[test]
fn a_login_state_holds_no_code_and_no_secret() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let code = app.code();
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
        let (state, record) = (
            fs::read(host.state_path("alice")).unwrap(),
            fs::read(host.record_path("alice")).unwrap(),
        );
        for secret in [code.as_bytes(), app.secret.as_bytes()] {
            for file in [&state, &record] {
                assert!(!file.windows(secret.len()).any(|window| window == secret));
            }
        }
        // What this test looks for would be found.
        let mut probe = fs::OpenOptions::new()
            .write(true)
            .open(host.state_path("alice"))
            .unwrap();
        probe.seek(SeekFrom::Start(100)).unwrap();
        probe.write_all(code.as_bytes()).unwrap();
        assert!(
            fs::read(host.state_path("alice"))
                .unwrap()
                .windows(6)
                .any(|window| window == code.as_bytes())
        );
    });
}
