//! The verbs of `mfa-admin` that write, each with what was there before.

use mfa_tests::pam_host::{PamHost, SUCCESS};

use crate::codes::Codes;
use crate::files::Shapes;
use crate::stage::{Stage, USER, put_file};
use crate::tried::{
    Outcome, granted, key_holds, recovery_holds, revoking_holds, with_recovery_codes,
};

/// A verb.
pub(crate) struct Verb {
    /// For files.
    pub(crate) key: &'static str,
    /// The command line, without `--config`; `{folder}` is the host's.
    pub(crate) line: &'static str,
    /// What stands on its standard input.
    pub(crate) input: fn(&mut Codes) -> String,
    /// The same when it is run again, where that is something else.
    pub(crate) next_input: Option<fn(&mut Codes) -> String>,
    /// What came before, on a host where alice is enrolled.
    pub(crate) setup: fn(&PamHost, &mut Codes),
    /// Exit codes of the same once more, where it was done already.
    pub(crate) again: &'static [i32],
    /// Files that may be neither old nor new while the verb is half done, or where it was and is run again; whether one is
    /// what it may be then, by its name and shape.
    pub(crate) may_be: fn(&str, &str) -> bool,
    /// Whether it counts as done although not all files are as without a fault.
    pub(crate) is_as_good_as_done: fn(&Shapes) -> bool,
    /// Tried out once the verb has ended, with or without a fault: who gets in by what. The files are put back afterwards.
    pub(crate) holds: fn(&mut Stage<'_>, &Outcome<'_>) -> Result<(), String>,
    /// The same once more makes something else of the files.
    pub(crate) changes_more: bool,
    /// Whether alice gets in with the app's code afterwards.
    pub(crate) lets_in: bool,
}

fn no_input(_: &mut Codes) -> String {
    String::new()
}

fn as_enrolled(_: &PamHost, _: &mut Codes) {}

pub(crate) fn admin(host: &PamHost, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    host.admin(&words).expect_success();
}

/// A verb without anything special, of which others are made.
pub(crate) const VERB: Verb = Verb {
    key: "",
    line: "",
    input: no_input,
    next_input: None,
    setup: as_enrolled,
    again: &[0],
    may_be: |_, _| false,
    is_as_good_as_done: |_| false,
    holds: |_, _| Ok(()),
    changes_more: false,
    lets_in: true,
};

/// A secret of 160 bits, of a second app.
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n";

/// All of them but `init`, which has a host of its own, and those in `factors`.
pub(crate) const VERBS: &[Verb] = &[
    Verb {
        key: "user-add",
        line: "user add alice --label here --email alice@example.com --method app --method email",
        setup: |host, _| admin(host, "user remove alice --yes"),
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "user-set",
        line: "user set alice --email elsewhere@example.com",
        ..VERB
    },
    Verb {
        key: "user-approve",
        line: "user approve alice",
        setup: |host, _| host.edit_record(USER, "approved = true", "approved = false"),
        ..VERB
    },
    Verb {
        key: "user-suspend",
        line: "user suspend alice --reason away",
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "user-resume",
        line: "user resume alice",
        setup: |host, _| admin(host, "user suspend alice --reason away"),
        ..VERB
    },
    Verb {
        key: "user-unlock",
        line: "user unlock alice",
        setup: |host, codes| {
            for _ in 0..5 {
                host.login(USER, &[codes.wrong()]);
            }
        },
        ..VERB
    },
    Verb {
        key: "user-unlock-all",
        line: "user unlock --all",
        setup: |host, codes| {
            for _ in 0..5 {
                host.login(USER, &[codes.wrong()]);
            }
        },
        ..VERB
    },
    Verb {
        key: "user-remove",
        line: "user remove alice --yes",
        // What a writer that was killed has left of her record goes with her.
        setup: |host, _| put_file(&host.path("lib/users/%new-alice"), Some(b"version = 1")),
        again: &[3],
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "app-enroll",
        line: "app enroll alice --label tablet --secret - --no-confirm --qr none",
        input: |_| SECRET.to_owned(),
        again: &[1],
        ..VERB
    },
    Verb {
        key: "app-enroll-confirm",
        line: "app enroll alice --label phone --secret - --confirm - --qr none",
        setup: |host, _| admin(host, "app remove alice phone --yes"),
        input: |codes| format!("{}\n{}\n", codes.secret(), codes.first()),
        again: &[1],
        ..VERB
    },
    Verb {
        key: "app-enroll-picture",
        line: "app enroll alice --label tablet --secret - --no-confirm --qr-file {folder}/qr.svg",
        input: |_| SECRET.to_owned(),
        again: &[1],
        ..VERB
    },
    Verb {
        key: "app-remove",
        line: "app remove alice phone --yes",
        again: &[3],
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "device-assign",
        line: "device assign alice any",
        ..VERB
    },
    Verb {
        key: "device-revoke",
        line: "device revoke alice here --yes",
        again: &[3],
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "recovery-generate",
        line: "recovery generate alice",
        changes_more: true,
        again: &[1],
        holds: recovery_holds,
        ..VERB
    },
    Verb {
        key: "recovery-generate-anew",
        line: "recovery generate alice --yes",
        setup: |host, _| with_recovery_codes(host),
        changes_more: true,
        holds: recovery_holds,
        ..VERB
    },
    Verb {
        key: "app-disable",
        line: "app disable alice phone",
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "bypass-revoke",
        line: "bypass revoke alice",
        setup: |host, _| granted(host),
        again: &[3],
        holds: revoking_holds,
        ..VERB
    },
    Verb {
        key: "state-reset",
        line: "state reset alice --yes",
        setup: |host, codes| {
            let seen = host.login(USER, &[codes.first()]);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
        },
        ..VERB
    },
    Verb {
        key: "state-set-clock",
        line: "state set-clock alice",
        setup: |host, codes| {
            let code = codes.in_days(100);
            let script = mfa_tests::pam_host::login_script(USER, &[code]);
            let seen = host.player().clock("+100d").play(&script);
            assert_eq!(seen.result(), SUCCESS, "{seen}");
        },
        ..VERB
    },
    Verb {
        key: "code-send",
        line: "code send alice",
        changes_more: true,
        ..VERB
    },
    Verb {
        key: "code-verify",
        line: "code verify alice",
        input: |codes| format!("{}\n", codes.first()),
        again: &[1],
        changes_more: true,
        ..VERB
    },
    Verb {
        key: "credential-set",
        line: "credential set smtp-password",
        input: |_| "correct horse\n".to_owned(),
        ..VERB
    },
    Verb {
        key: "credential-set-anew",
        line: "credential set smtp-password",
        setup: |host, _| {
            host.admin_with(&["credential", "set", "smtp-password"], "battery staple\n")
                .expect_success();
        },
        input: |_| "correct horse\n".to_owned(),
        ..VERB
    },
    Verb {
        key: "notify-test",
        line: "notify test alice",
        ..VERB
    },
    Verb {
        key: "notify-drain",
        line: "notify drain",
        setup: |host, _| {
            admin(host, "user suspend alice --reason away");
            admin(host, "user resume alice");
        },
        ..VERB
    },
    Verb {
        key: "seal-rotate",
        line: "seal rotate",
        // Both keys, and the one that stays.
        may_be: |name, shape| name == "seal.key" && shape.lines().count() == 3,
        holds: key_holds,
        ..VERB
    },
    Verb {
        key: "seal-rotate-resumed",
        line: "seal rotate",
        setup: |host, _| {
            // As one that was killed leaves it: what was sealed with the second key is not done.
            let old = std::fs::read_to_string(host.path("seal.key")).unwrap();
            let digits = "0123456789abcdef".repeat(4);
            let new = format!("mfa-seal-key:1:{digits}\n{old}mfa-mac-key:1:{digits}\n");
            put_file(&host.path("seal.key"), Some(new.as_bytes()));
        },
        ..VERB
    },
];
