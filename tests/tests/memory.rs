//! Nothing secret is left in the memory of a host program after a login: a core dump is searched for it.
//!
//! The host program (tests/pam/pam_forgetful.c) keeps no copy of what is typed, and what was freed stays in its memory; gcore(1)
//! dumps it once the login is over and pam_end was called, with the module still loaded.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use mfa_core::seal::SealingKey;
use mfa_tests::pam_host::{PamHost, built};
use mfa_tests::{Authenticator, HardwareToken, hex, install_courier, on_a_bare_host};

/// Somebody at the prompts: what is typed at each, and whatever happens meanwhile.
type Answer<'a> = Box<dyn FnMut() -> String + 'a>;

/// A secret in one of the forms that it has.
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Needles(Vec<Needle>);

impl Needles {
    fn add(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        assert!(bytes.len() >= 8, "{name} is found anywhere");
        let name = name.to_owned();
        self.0.push(Needle { name, bytes });
    }

    /// A key in bytes, in digits, and as the two blocks that HMAC begins with (RFC 2104).
    fn add_key(&mut self, name: &str, key: &[u8]) {
        let digits = key.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        self.add(name, key);
        self.add(&format!("{name}, in digits"), &digits);
        self.add(&format!("{name}, in capital digits"), digits.to_uppercase());
        for pad in [0x36, 0x5c] {
            let block: Vec<_> = key.iter().map(|byte| byte ^ pad).collect();
            self.add(&format!("{name}, ^ {pad:x}"), block);
        }
    }

    /// Something that was typed, whole and without its beginning and end.
    fn add_typed(&mut self, name: &str, text: &str) {
        self.add(name, text);
        let plain = text.replace(['-', ' '], "");
        if plain != text {
            self.add(&format!("{name}, without hyphens"), &plain);
        }
        if plain.to_uppercase() != plain {
            self.add(&format!("{name}, in capitals"), plain.to_uppercase());
        }
    }

    fn expect_none_in(&self, core: &[u8]) {
        // All in one pass: there are tens of them, and tens of millions of bytes.
        let is_first = |byte: &u8| self.0.iter().any(|needle| needle.bytes[0] == *byte);
        let firsts: Vec<_> = (0..=u8::MAX).map(|byte| is_first(&byte)).collect();
        let mut times = vec![0; self.0.len()];
        for (place, byte) in core.iter().enumerate() {
            if firsts[usize::from(*byte)] {
                for (needle, times) in self.0.iter().zip(&mut times) {
                    *times += usize::from(core[place..].starts_with(&needle.bytes));
                }
            }
        }
        let found = self.0.iter().zip(times).filter(|(_, times)| *times > 0);
        let found: Vec<_> = found
            .map(|(needle, times)| format!("{} ({times} times)", needle.name))
            .collect();
        assert!(found.is_empty(), "left in memory: {}", found.join(", "));
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    let first = needle[0];
    let places = haystack.iter().enumerate();
    places
        .filter(|(place, byte)| **byte == first && haystack[*place..].starts_with(needle))
        .count()
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A login with these answers; what the process holds when it is over.
fn core_after(host: &PamHost, hooks: &[&str], answers: Vec<Answer<'_>>, result: &str) -> Vec<u8> {
    let mut child = Command::new(built("pam_forgetful"))
        .arg(host.path("pam.d"))
        .args(["login", "alice"])
        .args(hooks)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut said = String::new();
    let mut results = Vec::new();
    let mut answers = answers.into_iter();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        said.push_str(&line);
        said.push('\n');
        if line.starts_with("PROMPT ") {
            let answer = answers.next().map(|mut answer| answer());
            writeln!(typed, "{}", answer.unwrap_or_else(|| panic!("{said}"))).unwrap();
        } else if let Some(number) = line.strip_prefix("RESULT ") {
            results.push(number.to_owned());
        } else if line == "OVER" {
            break;
        }
    }
    assert_eq!(results.first().map(String::as_str), Some(result), "{said}");
    assert!(answers.next().is_none(), "not asked for\n{said}");
    let prefix = host.path("core");
    let dumped = Command::new("gcore")
        .arg("-o")
        .arg(&prefix)
        .arg(child.id().to_string())
        .output()
        .unwrap();
    let path = format!("{}.{}", prefix.display(), child.id());
    let core = fs::read(&path).unwrap_or_else(|error| panic!("{error}: {dumped:?}"));
    fs::remove_file(path).unwrap();
    drop(typed);
    assert!(child.wait().unwrap().success());
    // Else nothing was searched.
    assert!(find(&core, host.folder.to_str().unwrap().as_bytes()) > 0);
    assert!(find(&core, b"PROMPT ") > 0);
    core
}

fn says<'a>(text: &str) -> Answer<'a> {
    let text = text.to_owned();
    Box::new(move || text.clone())
}

/// A code that is none, and looks like nothing else.
fn wrong_code(app: &Authenticator) -> String {
    let right: Vec<_> = (0..20)
        .map(|ahead| app.code_of(app.step() + ahead - 10))
        .collect();
    let mut wrong = ["91827364", "28374651"].into_iter();
    let none_of_those = wrong.find(|code| right.iter().all(|right| right != code));
    none_of_those.unwrap().to_owned()
}

/// A host where everything secret is longer than what stands in memory by chance.
fn host() -> (PamHost, Authenticator, Needles) {
    install_courier();
    let host = PamHost::with_config("[code]\ndigits = 8\n");
    let out = host.path("out").display().to_string();
    host.configure(&format!(
        "[code]\ndigits = 8\n[courier]\nemail = \"file\"\n[courier.file]\nfolder = {out:?}\ndemo = true\n"
    ));
    let made = Command::new("install")
        .args(["-d", "-o", "_mfa", "-m", "700"])
        .arg(&out)
        .status()
        .unwrap();
    assert!(made.success());
    let mut app = Authenticator::new();
    app.digits = 8;
    host.enroll_app("alice", &app);
    host.admin(&["user", "set", "alice", "--email", "alice@example.com"])
        .expect_success();
    host.admin(&["user", "set", "alice", "--methods", "app,email"])
        .expect_success();
    let mut needles = Needles::default();
    needles.add("the app's secret, in base32", &app.secret);
    needles.add_key("the app's secret", &bytes_of(&hex(&app.secret)));
    // Both keys in its file: the one that seals, and that of what is not sealed.
    host.admin(&["seal", "rotate"]).expect_success();
    let keys = fs::read_to_string(host.path("seal.key")).unwrap();
    for (line, name) in keys.lines().zip(["the sealing key", "the key of ids"]) {
        needles.add_key(name, &bytes_of(line.rsplit(':').next().unwrap()));
    }
    assert_eq!(keys.lines().count(), 2);
    let key = SealingKey::from_file_text(keys.as_bytes()).unwrap();
    needles.add_key("the passphrase's key", &key.mac("passphrase", b"alice"));
    (host, app, needles)
}

const ALL: &[&str] = &["authenticate", "acct_mgmt", "open_session", "close_session"];
const SUCCESS: &str = "0";
const AUTH_ERR: &str = "7";

#[test]
fn a_login_with_an_app_code_leaves_neither_keys_nor_codes_nor_answers() {
    on_a_bare_host(|_| {
        let (host, app, mut needles) = host();
        app.wait_for_room(8);
        let (right, wrong) = (app.code_of(app.step()), wrong_code(&app));
        needles.add_typed("the right code", &right);
        needles.add_typed("the wrong code", &wrong);
        needles.add_typed("what was no code", "correct horse battery");
        let answers = vec![says(&wrong), says("correct horse battery"), says(&right)];
        needles.expect_none_in(&core_after(&host, ALL, answers, SUCCESS));
    });
}

#[test]
fn a_refused_login_leaves_none_of_them_either() {
    on_a_bare_host(|_| {
        let (host, app, mut needles) = host();
        let wrong = wrong_code(&app);
        needles.add_typed("the wrong code", &wrong);
        let answers = vec![says(&wrong), says(&wrong), says(&wrong)];
        needles.expect_none_in(&core_after(&host, ALL, answers, AUTH_ERR));
    });
}

#[test]
fn a_login_with_a_recovery_code_leaves_none_of_it() {
    on_a_bare_host(|_| {
        let (host, _, mut needles) = host();
        let code = host.recovery_codes("alice").remove(0).to_lowercase();
        needles.add_typed("the recovery code", &code);
        needles.add_typed("the wrong one", "q7wz-3k9m-x5tpr");
        let answers = vec![says("q7wz-3k9m-x5tpr"), says(&code)];
        needles.expect_none_in(&core_after(&host, ALL, answers, SUCCESS));
    });
}

#[test]
fn a_login_with_a_token_under_a_bound_key_leaves_none_of_either() {
    on_a_bare_host(|_| {
        let (host, _, mut needles) = host();
        let secret = HardwareToken::new().secret;
        let words = "token add alice --hotp --hex --no-confirm --digits 8";
        let words: Vec<_> = words.split(' ').collect();
        host.admin_with(&words, &secret).expect_success();
        host.admin(&["seal", "bind"]).expect_success();
        let path = host.path("seal.cred").display().to_string();
        let text = fs::read_to_string(host.path("mfa.toml")).unwrap();
        host.write(
            "mfa.toml",
            &format!("{text}\n[seal]\ncredential = {path:?}\n"),
        );
        host.admin(&["seal", "bind", "--yes"]).expect_success();
        needles.add_key("the token's secret", &bytes_of(&secret));
        let shown = |counter: &str| {
            let words = ["--hotp", "-d", "8", "-c", counter, &secret];
            let shown = Command::new("oathtool").args(words).output().unwrap();
            String::from_utf8(shown.stdout).unwrap().trim().to_owned()
        };
        let (far, right) = (shown("50"), shown("0"));
        needles.add_typed("the code that is far ahead", &far);
        needles.add_typed("the right code", &right);
        let answers = vec![says(&far), says(&right)];
        needles.expect_none_in(&core_after(&host, ALL, answers, SUCCESS));
    });
}

#[test]
fn a_login_with_a_passphrase_and_a_change_of_it_leave_none() {
    on_a_bare_host(|_| {
        let (host, app, mut needles) = host();
        let typed = [
            ("the passphrase", "gravel-ocelot-sings-thrice"),
            ("the wrong one", "puddle-anchor-hums-backwards"),
            ("the new one", "meadow-quartz-unlike-nine"),
        ];
        let [(_, right), (_, wrong), (_, new)] = typed;
        for (name, text) in typed {
            needles.add_typed(name, text);
        }
        host.admin_with(&["passphrase", "set", "alice", "-"], right)
            .expect_success();
        host.stack("login", &host.lines("", "passphrase"));
        app.wait_for_room(8);
        let code = app.code_of(app.step());
        needles.add_typed("the right code", &code);
        // Hashed anew after the login: the configuration asks for more by then.
        let text = fs::read_to_string(host.path("mfa.toml")).unwrap();
        host.write("mfa.toml", &format!("{text}\n[passphrase]\npasses = 3\n"));
        let answers = [wrong, &code, right, &code].map(says);
        needles.expect_none_in(&core_after(&host, ALL, answers.into(), SUCCESS));
        let record = fs::read_to_string(host.record_path("alice")).unwrap();
        assert!(record.contains(",t=3,"), "{record}");
        let answers = [right, "passwordpassword", "passwordpassword", new, new].map(says);
        needles.expect_none_in(&core_after(&host, &["chauthtok"], answers.into(), SUCCESS));
    });
}

#[test]
fn a_login_with_a_code_that_was_sent_leaves_none_of_it() {
    on_a_bare_host(|_| {
        let (host, _, mut needles) = host();
        let sent = std::cell::RefCell::new(String::new());
        let wait_for_it = || {
            *sent.borrow_mut() = sent_code(&host);
            sent.borrow().clone()
        };
        let answers = vec![says(""), Box::new(wait_for_it) as Answer<'_>];
        let core = core_after(&host, ALL, answers, SUCCESS);
        needles.add_typed("the code that was sent", &sent.borrow());
        needles.expect_none_in(&core);
    });
}

/// The code in the message, once it is there.
fn sent_code(host: &PamHost) -> String {
    loop {
        let mails = fs::read_dir(host.path("out")).unwrap();
        let mail = mails
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|kind| kind == "eml"));
        if let Some(mail) = mail {
            let text = fs::read_to_string(mail).unwrap();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            let code = subject.unwrap().split(' ').next().unwrap();
            assert_eq!(code.len(), 8, "{text}");
            return code.to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn mfa_admin_takes_nothing_secret_before_it_has_turned_core_dumps_off() {
    on_a_bare_host(|_| {
        const TRACE: &str = "/run/admin.strace";
        let host = PamHost::new();
        host.enroll("alice");
        let enroll =
            host.admin_command("app enroll alice --label tablet --secret - --no-confirm --qr none");
        let traced = format!(
            "echo GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ | strace -f -o {TRACE} -e trace=prctl,read,openat {enroll}"
        );
        let done = Command::new("sh").args(["-c", &traced]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let calls = fs::read_to_string(TRACE).unwrap();
        let place = |what: &str| calls.lines().position(|call| call.contains(what));
        let off = place("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE").unwrap();
        for secret in ["read(0, \"GEZD", "seal.key"] {
            assert!(off < place(secret).unwrap(), "{secret}\n{calls}");
        }
        assert!(
            !calls.contains("PR_SET_DUMPABLE, SUID_DUMP_USER"),
            "{calls}"
        );
    });
}
