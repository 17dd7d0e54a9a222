//! Who gets in by what, tried out: by passphrases, tokens, bypasses, recovery codes, the emergency code and a bound key. Nothing
//! lets in twice, and nothing that was good is lost.

use std::fs;

use mfa_tests::HardwareToken;
use mfa_tests::pam_host::{PamHost, SUCCESS};

use crate::codes::Codes;
use crate::program::Ran;
use crate::stage::{Stage, USER};

/// Two passphrases of alice's.
pub(crate) const OLD: &str = "gravel-ocelot-sings-thrice";
pub(crate) const NEW: &str = "meadow-quartz-unlike-nine";
/// The service that asks for one.
pub(crate) const WITH_PASSPHRASE: &str = "passphrase";

/// What became of a verb, to see what holds.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    /// By the files; `None`: some are old, some new.
    pub(crate) is_done: Option<bool>,
    pub(crate) ran: &'a Ran,
}

impl Outcome<'_> {
    /// What something comes to that is so once the verb is done, and only then.
    fn expect(&self, what: &str, is_so: bool) -> Result<(), String> {
        match self.is_done {
            Some(is_done) if is_done != is_so => {
                Err(format!("done: {is_done}, but {what}: {is_so}"))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn expect_results(what: &str, is: &[bool], should_be: &[bool]) -> Result<(), String> {
    if is == should_be {
        return Ok(());
    }
    Err(format!("{what}: let in {is:?}, should be {should_be:?}"))
}

/// Gives alice the old passphrase, and the host a service that asks for one.
pub(crate) fn with_passphrase(host: &PamHost) {
    passphrase_service(host);
    host.admin_with(&["passphrase", "set", USER, "-"], OLD)
        .expect_success();
}

pub(crate) fn passphrase_service(host: &PamHost) {
    host.stack(WITH_PASSPHRASE, &host.lines("", "passphrase"));
}

/// Whether somebody who says that this is the present one is asked for another.
pub(crate) fn is_present(host: &PamHost, passphrase: &str) -> bool {
    let script = format!("user {USER}\nanswer text {passphrase}\nanswer convfail\nchauthtok\n");
    let seen = host.player().service(WITH_PASSPHRASE).play(&script);
    seen.prompts().len() > 1
}

pub(crate) fn set_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    outcome.expect("the new one is good", is_present(&stage.host, NEW))
}

pub(crate) fn change_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    let is_new = is_present(&stage.host, NEW);
    if is_present(&stage.host, OLD) == is_new {
        return Err(format!("both are good, or none: {is_new}"));
    }
    outcome.expect("the new one is good", is_new)
}

pub(crate) fn removal_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    outcome.expect("it is refused", !is_present(&stage.host, OLD))
}

/// Alice's token, the same in every round.
pub(crate) fn token() -> HardwareToken {
    let mut token = HardwareToken::new();
    "3132333435363738393031323334353637383930".clone_into(&mut token.secret);
    token
}

pub(crate) fn token_line(_: &mut Codes) -> String {
    format!("{}\n", token().secret)
}

/// Whether codes of these counters are let in, one after the other.
pub(crate) fn try_tokens(stage: &Stage<'_>, counters: &[u64]) -> Vec<bool> {
    let token = token();
    let codes: Vec<_> = counters.iter().map(|&at| token.code_of(at)).collect();
    let codes: Vec<_> = codes.iter().map(String::as_str).collect();
    stage.try_codes(&codes).1
}

pub(crate) fn has_token(host: &PamHost) -> bool {
    let record = fs::read_to_string(host.record_path(USER)).unwrap();
    record.contains("[[tokens]]")
}

/// A token of which one code was used.
pub(crate) fn used_token(host: &PamHost) {
    let token = token();
    token.add_to(host, USER, "ring");
    let seen = host.login(USER, &[token.code_of(0)]);
    assert_eq!(seen.result(), SUCCESS, "{seen}");
}

pub(crate) fn add_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    let is_there = has_token(&stage.host);
    outcome.expect("the token is there", is_there)?;
    let results = try_tokens(stage, &[0, 0, 1]);
    expect_results("codes 0, 0, 1", &results, &[is_there, false, is_there])
}

/// As [`add_holds`], where the first code is used already, and maybe the second.
pub(crate) fn add_of_used_holds(
    stage: &mut Stage<'_>,
    outcome: &Outcome<'_>,
) -> Result<(), String> {
    let is_there = has_token(&stage.host);
    outcome.expect("the token is there", is_there)?;
    let results = try_tokens(stage, &[0, 2, 2]);
    expect_results("codes 0, 2, 2", &results, &[false, is_there, false])
}

/// The token that is removed, or half removed, has used no code less than before: it is added again to see.
pub(crate) fn token_removal_holds(
    stage: &mut Stage<'_>,
    outcome: &Outcome<'_>,
) -> Result<(), String> {
    let is_there = has_token(&stage.host);
    outcome.expect("the token is gone", !is_there)?;
    if !is_there {
        token().add_to(&stage.host, USER, "again");
    }
    let results = try_tokens(stage, &[0, 1, 1]);
    expect_results("codes 0, 1, 1", &results, &[false, true, false])
}

pub(crate) fn resync_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    // No two in a row, with which a login would bring it back into step.
    let results = try_tokens(stage, &[51, 53, 53]);
    outcome.expect("code 53 is one of the next", results[1])?;
    if results[1] {
        return expect_results("codes 51, 53, 53", &results, &[false, true, false]);
    }
    let results = try_tokens(stage, &[0, 1]);
    expect_results("codes 0, 1, of old", &results, &[true, true])
}

pub(crate) fn switch_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    let record = fs::read_to_string(stage.host.record_path(USER)).unwrap();
    let (_, token) = record.split_once("[[tokens]]").unwrap();
    let is_off = token.contains("disabled = true");
    let is_to_be_off = outcome.is_done.is_none_or(|is_done| {
        let was_off = stage.host.path("was-off").exists();
        is_done != was_off
    });
    if is_off != is_to_be_off {
        return Err(format!("switched off: {is_off}"));
    }
    let results = try_tokens(stage, &[0, 1, 1]);
    expect_results("codes 0, 1, 1", &results, &[false, !is_off, false])
}

pub(crate) fn enabling_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    let code = stage.codes.first();
    let results = stage.try_codes(&[&code, &code]).1;
    outcome.expect("a code lets in", results[0])?;
    expect_results("the same again", &results[1..], &[false])
}

/// The service on which alice is let in if nobody asks her for a code.
pub(crate) const UNASKED: &str = "unasked";

pub(crate) fn unasked_service(host: &PamHost) {
    host.stack(UNASKED, &host.ignore_detector("auth", ""));
}

pub(crate) fn is_passed_by(host: &PamHost) -> bool {
    let script = format!("user {USER}\nanswer convfail\nauthenticate\nforget\n");
    host.player().service(UNASKED).play(&script).result() == SUCCESS
}

pub(crate) fn granted(host: &PamHost) {
    unasked_service(host);
    let words = [
        "bypass", "grant", USER, "--for", "1h", "--reason", "no phone",
    ];
    host.admin(&words).expect_success();
}

/// One that is over, as nobody has told yet.
pub(crate) fn over(host: &PamHost) {
    granted(host);
    let path = host.record_path(USER);
    let record = fs::read_to_string(&path).unwrap();
    let lines = record.lines().map(|line| match line.split_once(" = ") {
        Some(("granted", _)) => "granted = 2026-01-01T00:00:00Z",
        Some(("until", _)) => "until = 2026-01-01T01:00:00Z",
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    mfa_tests::pam_host::overwrite(&path, text.as_bytes());
}

pub(crate) fn grant_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    outcome.expect("she is not asked", is_passed_by(&stage.host))
}

pub(crate) fn revoking_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    outcome.expect("she is asked", !is_passed_by(&stage.host))
}

pub(crate) fn end_holds(stage: &mut Stage<'_>, _: &Outcome<'_>) -> Result<(), String> {
    expect_results("over", &[is_passed_by(&stage.host)], &[false])
}

/// Where a setup leaves a code of before.
pub(crate) const BEFORE: &str = "code-of-before";

/// The first code on a page.
pub(crate) fn code_on(page: &str) -> Option<String> {
    let mut lines = page.lines();
    lines
        .find_map(|line| line.strip_prefix("    "))
        .map(|code| code.trim().to_owned())
}

/// What is done at the console of a host whose configuration is broken.
pub(crate) fn console(user: &str, code: &str) -> String {
    format!("user {user}\nset tty tty1\nanswer text {code}\nauthenticate\nforget\n")
}

pub(crate) fn emergency_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    stage.host.write("mfa.toml", "version = 1\n[promt]\n");
    let lets_in = |code: &str| {
        // Whoever does not get in is asked three times.
        let seen = stage.host.play(&console("root", code).repeat(2));
        seen.count(SUCCESS)
    };
    let new = code_on(&outcome.ran.out);
    if let Some(code) = &new {
        // Whatever became of the verb after that.
        expect_results("the code that was printed", &[lets_in(code) == 1], &[true])?;
    }
    let is_to_be_printed = outcome.ran.code == Some(0);
    if is_to_be_printed && new.is_none() {
        return Err("done, and nothing printed".to_owned());
    }
    let Ok(old) = fs::read_to_string(stage.host.path(BEFORE)) else {
        return Ok(());
    };
    outcome.expect("the code of before is void", lets_in(&old) == 0)
}

pub(crate) fn recovery_holds(stage: &mut Stage<'_>, outcome: &Outcome<'_>) -> Result<(), String> {
    let new = code_on(&outcome.ran.out);
    if let Some(code) = &new {
        let results = stage.try_codes(&[code, code]).1;
        expect_results("the code that was printed", &results, &[true, false])?;
    }
    if outcome.ran.code == Some(0) && new.is_none() {
        return Err("done, and nothing printed".to_owned());
    }
    let Ok(old) = fs::read_to_string(stage.host.path(BEFORE)) else {
        return Ok(());
    };
    let results = stage.try_codes(&[&old, &old]).1;
    expect_results("of before", &results[1..], &[false])?;
    outcome.expect("the codes of before are void", !results[0])
}

/// A set of recovery codes, one of which is tried out later.
pub(crate) fn with_recovery_codes(host: &PamHost) {
    host.write(BEFORE, &host.recovery_codes(USER)[0]);
}

/// Whatever is half done, the key that logins use opens her secret.
pub(crate) fn key_holds(stage: &mut Stage<'_>, _: &Outcome<'_>) -> Result<(), String> {
    let code = stage.codes.first();
    let results = stage.try_codes(&[&code, &code]).1;
    expect_results("the app's code, twice", &results, &[true, false])
}

/// What `seal bind` says that people should write.
pub(crate) fn name_credential(host: &PamHost) {
    let text = fs::read_to_string(host.path("mfa.toml")).unwrap();
    let path = host.path("seal.cred");
    host.write(
        "mfa.toml",
        &format!("{text}\n[seal]\ncredential = \"{}\"\n", path.display()),
    );
}
