//! The verbs of everything beside the app: passphrases, tokens, bypasses, the emergency code, the bound key. What has to hold
//! after each is in `tried`.

use crate::stage::USER;
use crate::tried::{
    BEFORE, NEW, add_holds, add_of_used_holds, change_holds, code_on, emergency_holds,
    enabling_holds, end_holds, grant_holds, key_holds, name_credential, over, passphrase_service,
    removal_holds, resync_holds, set_holds, switch_holds, token, token_line, token_removal_holds,
    unasked_service, used_token, with_passphrase,
};
use crate::verbs::{VERB, Verb, admin};

/// Alice's files.
const RECORD: &str = "lib/users/alice.toml";
const STATE: &str = "lib/state/alice";

/// A record in which a removed token is remembered, how far it was used or not yet.
fn remembers_a_token(name: &str, shape: &str) -> bool {
    name == RECORD && shape.contains("[[removed_tokens]]")
}

/// All of them.
pub(crate) const FACTOR_VERBS: &[Verb] = &[
    Verb {
        key: "passphrase-set",
        line: "passphrase set alice -",
        setup: |host, _| passphrase_service(host),
        input: |_| NEW.to_owned(),
        holds: set_holds,
        ..VERB
    },
    Verb {
        key: "passphrase-set-anew",
        line: "passphrase set alice -",
        setup: |host, _| with_passphrase(host),
        input: |_| NEW.to_owned(),
        holds: change_holds,
        ..VERB
    },
    Verb {
        key: "passphrase-remove",
        line: "passphrase remove alice --yes",
        setup: |host, _| with_passphrase(host),
        again: &[3],
        holds: removal_holds,
        ..VERB
    },
    Verb {
        key: "emergency-generate",
        line: "emergency generate",
        again: &[1],
        holds: emergency_holds,
        ..VERB
    },
    Verb {
        key: "emergency-generate-anew",
        line: "emergency generate --yes",
        setup: |host, _| {
            let page = host
                .admin(&["emergency", "generate", "--yes"])
                .expect_success();
            host.write(BEFORE, &code_on(&page.stdout).unwrap());
        },
        holds: emergency_holds,
        ..VERB
    },
    Verb {
        key: "bypass-grant",
        line: "bypass grant alice --for 1h --reason ill",
        setup: |host, _| unasked_service(host),
        holds: grant_holds,
        // She is not asked for it.
        lets_in: false,
        ..VERB
    },
    Verb {
        key: "bypass-expire",
        line: "bypass expire",
        setup: |host, _| over(host),
        holds: end_holds,
        ..VERB
    },
    Verb {
        key: "token-add",
        line: "token add alice --hotp --hex --no-confirm --label ring",
        input: token_line,
        again: &[1],
        // What a run before had put into the state, this one takes over into the record.
        may_be: remembers_a_token,
        holds: add_holds,
        ..VERB
    },
    Verb {
        key: "token-add-confirm",
        line: "token add alice --hotp --hex --confirm - --label ring",
        input: |_| format!("{}\n{}\n", token().secret, token().code_of(0)),
        // The state may know already that the first one was used.
        next_input: Some(|_| format!("{}\n{}\n", token().secret, token().code_of(1))),
        again: &[1],
        may_be: remembers_a_token,
        holds: add_of_used_holds,
        ..VERB
    },
    Verb {
        key: "token-add-back",
        line: "token add alice --hotp --hex --no-confirm --label ring",
        setup: |host, _| {
            used_token(host);
            admin(host, "token remove alice ring --yes");
        },
        input: token_line,
        again: &[1],
        holds: add_of_used_holds,
        ..VERB
    },
    Verb {
        key: "token-resync",
        line: "token resync alice",
        setup: |host, _| token().add_to(host, USER, "ring"),
        input: |_| format!("{}\n{}\n", token().code_of(50), token().code_of(51)),
        again: &[1],
        holds: resync_holds,
        ..VERB
    },
    Verb {
        key: "token-remove",
        line: "token remove alice ring --yes",
        setup: |host, _| used_token(host),
        again: &[3],
        // How far it was used may stand in the state alone still, or in both.
        may_be: |name, shape| name == STATE || remembers_a_token(name, shape),
        is_as_good_as_done: |shapes| !shapes[RECORD][0].contains("[[tokens]]"),
        holds: token_removal_holds,
        ..VERB
    },
    Verb {
        key: "token-disable",
        line: "token disable alice ring",
        setup: |host, _| used_token(host),
        holds: switch_holds,
        ..VERB
    },
    Verb {
        key: "token-enable",
        line: "token enable alice ring",
        setup: |host, _| {
            used_token(host);
            admin(host, "token disable alice ring");
            host.write("was-off", "");
        },
        holds: switch_holds,
        ..VERB
    },
    Verb {
        key: "app-enable",
        line: "app enable alice phone",
        setup: |host, _| admin(host, "app disable alice phone"),
        holds: enabling_holds,
        ..VERB
    },
    Verb {
        key: "seal-bind",
        line: "seal bind",
        holds: key_holds,
        ..VERB
    },
    Verb {
        key: "seal-bind-named",
        line: "seal bind --yes",
        setup: |host, _| {
            admin(host, "seal bind");
            name_credential(host);
        },
        // A credential that did not open just then is made anew, and the one of before is kept.
        may_be: |name, _| name == "seal.unopened",
        is_as_good_as_done: |shapes| {
            shapes.contains_key("seal.cred") && !shapes.contains_key("seal.key")
        },
        holds: key_holds,
        ..VERB
    },
];
