//! The logins beside those with codes alone: passphrases, and their change; a bypass; a key that systemd-creds opens; and the
//! emergency code.

use std::fs;

use mfa_tests::pam_host::{CONV_ERR, PamHost, SUCCESS, Seen};
use serde_json::Value;

use crate::aftermath::Login;
use crate::codes::Codes;
use crate::scenes::{ALL, AUTH, ONCE, SCENE, Scene, Truth};
use crate::stage::{Stage, USER};
use crate::tried::{
    NEW, OLD, UNASKED, WITH_PASSPHRASE, code_on, granted, is_present, name_credential,
    with_passphrase,
};

/// What a passphrase costs, and what more it is to cost from now on.
const CHEAP: &str = "[prompt]\ntries = 1\n[passphrase]\nmemory = 7168\npasses = 1\n";
const DEARER: &str = "[prompt]\ntries = 1\n[passphrase]\nmemory = 8192\npasses = 1\n";

fn passphrase_set(host: &PamHost, _: &mut Codes) -> String {
    with_passphrase(host);
    String::new()
}

/// The old one lets in whoever else there is, whatever its hash costs.
fn old_holds(stage: &Stage<'_>, _: &Login<'_>) -> Result<(), String> {
    let record = fs::read_to_string(stage.host.record_path(USER)).unwrap();
    if !["m=7168,t=1,p=1", "m=8192,t=1,p=1"]
        .iter()
        .any(|cost| record.contains(cost))
    {
        return Err(format!("neither cost is in\n{record}"));
    }
    if is_present(&stage.host, OLD) {
        Ok(())
    } else {
        Err("the passphrase is not good any more".to_owned())
    }
}

fn change_holds(stage: &Stage<'_>, login: &Login<'_>) -> Result<(), String> {
    let is_new = is_present(&stage.host, NEW);
    let is_old = is_present(&stage.host, OLD);
    let may_be = is_new == login.has_let_in || is_new && login.may_be_done_unsaid;
    if is_old != is_new && may_be {
        return Ok(());
    }
    let said = login.has_let_in;
    Err(format!(
        "said to be changed: {said}; the new one is good: {is_new}, the old one: {is_old}"
    ))
}

/// A use is counted before it lets in.
fn bypass_holds(stage: &Stage<'_>, login: &Login<'_>) -> Result<(), String> {
    let listed = stage
        .host
        .admin(&["--json", "bypass", "list"])
        .expect_success();
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let uses = listed["bypasses"][0]["uses"].as_u64().unwrap();
    stage
        .host
        .admin(&["bypass", "revoke", USER])
        .expect_success();
    if uses == u64::from(login.has_let_in) || uses == 1 && login.may_be_done_unsaid {
        return Ok(());
    }
    Err(format!("let in: {}; uses: {uses}", login.has_let_in))
}

/// Binds the key, once for each host.
fn bind(host: &PamHost) {
    if host.path("seal.cred").exists() {
        name_credential(host);
        return;
    }
    host.admin(&["seal", "bind"]).expect_success();
    name_credential(host);
    host.admin(&["seal", "bind", "--yes"]).expect_success();
}

/// The emergency code of this host, which lets alice in.
fn emergency_code(host: &PamHost) -> String {
    let words = ["emergency", "generate", "--user", USER, "--yes"];
    let page = host.admin(&words).expect_success();
    code_on(&page.stdout).unwrap()
}

/// What has to be true after a login by the emergency code: it is used up, or good, and says so where it let in; nothing
/// is left of a file half written once it is written again; and once this host can check people, it does.
pub(crate) fn look_after_an_emergency(
    stage: &mut Stage<'_>,
    login: &Login<'_>,
    seen: &Seen,
) -> Result<(), String> {
    let host = &stage.host;
    let left = host.path(".new-emergency.toml");
    if left.exists() && !login.may_be_cut_short {
        return Err("a half-made file is left over".to_owned());
    }
    let text = fs::read_to_string(host.path("emergency.toml")).unwrap();
    let is_used = text.lines().any(|line| line.starts_with("used = "));
    let says_not = seen
        .events("MFA-2009")
        .iter()
        .any(|event| event.text.contains("not marked as used"));
    if login.has_let_in && !is_used && !says_not && !login.may_be_done_unsaid {
        return Err("let in, not marked, and nobody told".to_owned());
    }
    let again = stage.script(login.answers, &["authenticate", "forget"]);
    let once_more = [host.play(&again), host.play(&again)];
    let results = once_more.each_ref().map(Seen::sole_result);
    let should_be = [is_used, true].map(|is_refused| if is_refused { CONV_ERR } else { SUCCESS });
    if results != should_be {
        let [one, other] = &once_more;
        return Err(format!("used: {is_used}\n{one}{other}"));
    }
    if left.exists() {
        return Err("the next writer leaves what was half made".to_owned());
    }
    let (first, second) = (stage.codes.first(), stage.codes.second());
    stage.lift_the_curtain();
    let (seen, results) = stage.try_codes(&[&first, &first, &second]);
    if results == [true, false, true] {
        Ok(())
    } else {
        Err(format!("{results:?}, with nothing in the way\n{seen}"))
    }
}

/// Every kind.
pub(crate) const WAYS_IN: &[Scene] = &[
    Scene {
        title: "a passphrase, then a code",
        key: "passphrase",
        tables: CHEAP,
        service: WITH_PASSPHRASE,
        prepare: passphrase_set,
        answers: |codes, _| vec![format!("text {OLD}"), format!("text {}", codes.first())],
        holds: old_holds,
        ..SCENE
    },
    Scene {
        title: "a wrong passphrase, then a right code",
        key: "no-passphrase",
        truth: Truth::Wrong,
        tables: CHEAP,
        service: WITH_PASSPHRASE,
        prepare: passphrase_set,
        answers: |codes, _| vec![format!("text {NEW}"), format!("text {}", codes.first())],
        holds: old_holds,
        ..SCENE
    },
    Scene {
        title: "a passphrase that is hashed anew",
        key: "anew",
        tables: CHEAP,
        service: WITH_PASSPHRASE,
        prepare: |host, _| {
            host.configure(CHEAP);
            with_passphrase(host);
            host.configure(DEARER);
            String::new()
        },
        answers: |codes, _| vec![format!("text {OLD}"), format!("text {}", codes.first())],
        writes_record: true,
        holds: old_holds,
        ..SCENE
    },
    Scene {
        title: "a change of the passphrase",
        key: "change",
        truth: Truth::Free,
        tables: CHEAP,
        service: WITH_PASSPHRASE,
        hooks: &["chauthtok"],
        prepare: passphrase_set,
        answers: |_, _| {
            [OLD, NEW, NEW]
                .map(|answer| format!("text {answer}"))
                .to_vec()
        },
        // mfa-courier, which says whether it is good enough.
        starts_program: true,
        writes_record: true,
        holds: change_holds,
        ..SCENE
    },
    Scene {
        title: "a bypass",
        key: "bypass",
        truth: Truth::Free,
        service: UNASKED,
        prepare: |host, _| {
            granted(host);
            String::new()
        },
        answers: |_, _| vec!["convfail".to_owned()],
        holds: bypass_holds,
        ..SCENE
    },
    Scene {
        title: "a right code, with the key in a credential",
        key: "bound",
        prepare: |host, _| {
            bind(host);
            String::new()
        },
        hooks: ALL,
        starts_program: true,
        ..SCENE
    },
    Scene {
        title: "the emergency code, where mfa.toml is broken",
        key: "emergency",
        truth: Truth::Emergency,
        hooks: &["authenticate", "acct_mgmt"],
        from: "set tty tty1\n",
        prepare: |host, _| {
            let code = emergency_code(host);
            host.write("mfa.toml", "version = 1\n[promt]\n");
            code
        },
        answers: |_, code| vec![format!("text {code}")],
        ..SCENE
    },
    Scene {
        title: "the emergency code, where her state is corrupt",
        key: "corrupt",
        truth: Truth::Emergency,
        hooks: AUTH,
        tables: ONCE,
        from: "set tty tty1\n",
        prepare: |host, _| {
            let code = emergency_code(host);
            mfa_tests::pam_host::overwrite(&host.state_path(USER), &[0; 4096]);
            code
        },
        // What is asked for before it is seen that nothing can be right.
        answers: |codes, code| vec![format!("text {}", codes.first()), format!("text {code}")],
        ..SCENE
    },
];
