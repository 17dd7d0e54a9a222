//! The logins that are failed and killed, but for those of `ways_in`.

use mfa_tests::HardwareToken;
use mfa_tests::pam_host::{PamHost, SUCCESS};

use crate::aftermath::Login;
use crate::codes::Codes;
use crate::stage::{Stage, USER, files_in};

/// Whether the login may let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// It may: the answer is right.
    Right,
    /// It may not: the answer is wrong.
    Wrong,
    /// It may, and no code of the app's is used up by it.
    Free,
    /// It may not, whatever is typed, now and afterwards.
    KeptOut,
    /// It may, by the emergency code, for nobody can be checked.
    Emergency,
}

/// A login.
pub(crate) struct Scene {
    /// For people.
    pub(crate) title: &'static str,
    /// For files.
    pub(crate) key: &'static str,
    pub(crate) truth: Truth,
    pub(crate) user: &'static str,
    /// What stands in mfa.toml besides, with the host's folder as `{folder}`.
    pub(crate) tables: &'static str,
    pub(crate) hooks: &'static [&'static str],
    /// What came before; a code that was sent.
    pub(crate) prepare: fn(&PamHost, &mut Codes) -> String,
    /// What is typed, as `pam_host` knows answers.
    pub(crate) answers: fn(&mut Codes, &str) -> Vec<String>,
    /// Through which PAM service, and from where: lines of the script.
    pub(crate) service: &'static str,
    pub(crate) from: &'static str,
    /// It starts a program, which strace's numbers would strike as well.
    pub(crate) starts_program: bool,
    /// It may write into the record; what it leaves half-made there the next writer removes.
    pub(crate) writes_record: bool,
    /// What has to be true besides, before anybody logs in again; afterwards the app's codes are asked for.
    pub(crate) holds: fn(&Stage<'_>, &Login<'_>) -> Result<(), String>,
}

impl Scene {
    pub(crate) fn may_let_in(&self) -> bool {
        match self.truth {
            Truth::Right | Truth::Free | Truth::Emergency => true,
            Truth::Wrong | Truth::KeptOut => false,
        }
    }

    pub(crate) fn tables(&self, folder: &str) -> String {
        self.tables.replace("{folder}", folder)
    }
}

pub(crate) const ONCE: &str = "[prompt]\ntries = 1\n";
const DELIVERED: &str = "[prompt]\ntries = 1\n[courier]\nemail = \"file\"\n[courier.file]\n\
                         folder = \"{folder}/out\"\ndemo = true\n[passphrase]\nmemory = 7168\npasses = 1\n";
const LOCKING: &str = "[prompt]\ntries = 1\n[lockout]\nafter = 2\n";
pub(crate) const AUTH: &[&str] = &["authenticate"];
pub(crate) const ALL: &[&str] = &["authenticate", "acct_mgmt", "open_session"];

/// A login over ssh without anything special, of which others are made.
pub(crate) const SCENE: Scene = Scene {
    title: "",
    key: "",
    truth: Truth::Right,
    user: USER,
    tables: ONCE,
    hooks: AUTH,
    prepare: nothing,
    answers: right,
    service: "login",
    from: "set rhost 203.0.113.7\nset tty ssh\n",
    starts_program: false,
    writes_record: false,
    holds: |_, _| Ok(()),
};

fn nothing(_: &PamHost, _: &mut Codes) -> String {
    String::new()
}

pub(crate) fn right(codes: &mut Codes, _: &str) -> Vec<String> {
    vec![format!("text {}", codes.first())]
}

fn wrong(codes: &mut Codes, _: &str) -> Vec<String> {
    vec![format!("text {}", codes.wrong())]
}

/// Makes the folder for messages where it is not there; it is the courier's.
fn out_folder(host: &PamHost) {
    let out = host.path("out");
    if !out.exists() {
        let status = std::process::Command::new("install")
            .args(["-d", "-o", "_mfa", "-m", "700"])
            .arg(&out)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

fn courier_ready(host: &PamHost, _: &mut Codes) -> String {
    out_folder(host);
    String::new()
}

/// Has a code sent and gives it.
fn code_sent(host: &PamHost, _: &mut Codes) -> String {
    out_folder(host);
    // Enter, then nothing more: the code is good for the next login too. The courier is waited for by its file.
    let wait = format!(
        "while ! ls {}/*.eml >/dev/null 2>&1; do sleep 0.01; done",
        host.path("out").display()
    );
    host.play(&format!(
        "user {USER}\nset rhost {}\nset tty ssh\nanswer text \ndo run {wait}\nanswer convfail\nauthenticate\n",
        mfa_tests::pam_host::RHOST
    ));
    let mail = std::fs::read_to_string(&files_in(&host.path("out"))[0]).unwrap();
    let subject = mail
        .lines()
        .find_map(|line| line.strip_prefix("Subject: "))
        .unwrap();
    let code = subject.split(' ').next().unwrap();
    assert!(
        code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()),
        "{subject}"
    );
    code.to_owned()
}

/// Every kind.
pub(crate) const SCENES: &[Scene] = &[
    Scene {
        title: "a right code",
        key: "right",
        truth: Truth::Right,
        user: USER,
        tables: ONCE,
        hooks: AUTH,
        prepare: nothing,
        answers: right,
        ..SCENE
    },
    Scene {
        title: "a wrong code",
        key: "wrong",
        truth: Truth::Wrong,
        user: USER,
        tables: ONCE,
        hooks: AUTH,
        prepare: nothing,
        answers: wrong,
        ..SCENE
    },
    Scene {
        title: "a used code",
        key: "replay",
        truth: Truth::Wrong,
        user: USER,
        tables: ONCE,
        hooks: AUTH,
        prepare: |host, codes| {
            let seen = host.login(USER, &[codes.first()]);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
            String::new()
        },
        answers: right,
        ..SCENE
    },
    Scene {
        title: "nobody of that name",
        key: "nobody",
        truth: Truth::Wrong,
        user: "zoe",
        tables: ONCE,
        hooks: ALL,
        prepare: nothing,
        answers: right,
        ..SCENE
    },
    Scene {
        title: "the first login, without a state",
        key: "first",
        truth: Truth::Right,
        user: USER,
        tables: ONCE,
        hooks: AUTH,
        prepare: |host, _| {
            std::fs::remove_file(host.state_path(USER)).unwrap();
            String::new()
        },
        answers: right,
        ..SCENE
    },
    Scene {
        title: "the right code at the third prompt",
        key: "third",
        truth: Truth::Right,
        user: USER,
        tables: "",
        hooks: AUTH,
        prepare: nothing,
        answers: |codes, _| {
            vec![
                format!("text {}", codes.wrong()),
                "text none".to_owned(),
                format!("text {}", codes.first()),
            ]
        },
        ..SCENE
    },
    Scene {
        title: "all phases of a login, and its notice",
        key: "phases",
        truth: Truth::Right,
        user: USER,
        tables: DELIVERED,
        hooks: ALL,
        prepare: courier_ready,
        answers: right,
        ..SCENE
    },
    Scene {
        title: "a wrong code, and the notice of it",
        key: "notice",
        truth: Truth::Wrong,
        user: USER,
        tables: DELIVERED,
        hooks: AUTH,
        prepare: courier_ready,
        answers: wrong,
        ..SCENE
    },
    Scene {
        title: "Enter, then the app's code",
        key: "enter",
        truth: Truth::Right,
        user: USER,
        tables: DELIVERED,
        hooks: AUTH,
        prepare: courier_ready,
        answers: |codes, _| vec!["text ".to_owned(), format!("text {}", codes.first())],
        starts_program: true,
        ..SCENE
    },
    Scene {
        title: "a code that was sent",
        key: "sent",
        truth: Truth::Right,
        user: USER,
        tables: DELIVERED,
        hooks: AUTH,
        prepare: code_sent,
        answers: |_, sent| vec![format!("text {sent}")],
        ..SCENE
    },
    Scene {
        title: "a recovery code",
        key: "recovery",
        truth: Truth::Right,
        user: USER,
        tables: ONCE,
        hooks: ALL,
        prepare: |host, _| host.recovery_codes(USER).remove(0),
        answers: |_, code| vec![format!("text {code}")],
        ..SCENE
    },
    Scene {
        title: "the code of a token",
        key: "token",
        truth: Truth::Right,
        user: USER,
        tables: ONCE,
        hooks: AUTH,
        prepare: |host, _| {
            let token = HardwareToken::new();
            token.add_to(host, USER, "key ring");
            token.press()
        },
        answers: |_, code| vec![format!("text {code}")],
        ..SCENE
    },
    Scene {
        title: "a recovery code that is none of hers",
        key: "no-recovery",
        truth: Truth::Wrong,
        user: USER,
        tables: ONCE,
        hooks: AUTH,
        prepare: |host, _| host.recovery_codes(USER).remove(0),
        answers: |_, _| vec!["text ZZZZ-ZZZZ-ZZZZZ".to_owned()],
        ..SCENE
    },
    Scene {
        title: "the right code of somebody who is locked",
        key: "locked",
        truth: Truth::KeptOut,
        user: USER,
        tables: LOCKING,
        hooks: AUTH,
        prepare: |host, codes| {
            host.login(USER, &[codes.wrong()]);
            let seen = host.login(USER, &[codes.wrong()]);
            assert_eq!(seen.events("MFA-2204").len(), 1, "{seen}");
            String::new()
        },
        answers: right,
        ..SCENE
    },
    Scene {
        title: "the right code of somebody who is suspended",
        key: "suspended",
        truth: Truth::KeptOut,
        user: USER,
        tables: ONCE,
        hooks: ALL,
        prepare: |host, _| {
            host.admin(&["user", "suspend", USER, "--reason", "away"])
                .expect_success();
            String::new()
        },
        answers: right,
        ..SCENE
    },
    Scene {
        title: "the right code on another device",
        key: "device",
        truth: Truth::KeptOut,
        user: USER,
        tables: ONCE,
        hooks: ALL,
        prepare: |host, _| {
            host.admin(&["device", "revoke", USER, "here", "--yes"])
                .expect_success();
            String::new()
        },
        answers: right,
        ..SCENE
    },
];
