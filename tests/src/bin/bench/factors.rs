//! What a login costs with something else than an app.

use mfa_tests::HardwareToken;

use crate::kind::{Kind, find};
use crate::logins::BLOCK;
use crate::ours;
use crate::populations::Population;
use crate::report::{Report, number};
use crate::statistics::{median, quartiles_of, ratio};
use crate::table::Table;

const TOKEN: &str = "pam_mfa, token";
const RECOVERY: &str = "pam_mfa, recovery code";
/// People with each.
const OF_A_KIND: usize = 5;

/// Their names.
pub(crate) fn people() -> impl Iterator<Item = String> {
    ["token", "recovery"].into_iter().flat_map(people_with)
}

fn people_with(what: &str) -> Vec<String> {
    (0..OF_A_KIND)
        .map(|number| format!("{what}-{number}"))
        .collect()
}

/// Logins with a token, and with a recovery code; whose they are is added to a host.
pub(crate) fn kinds(population: &Population) -> Vec<Kind> {
    let (host, service) = (&population.host, population.service());
    let with_tokens = people_with("token");
    let token = HardwareToken::new();
    for name in &with_tokens {
        let words = ["user", "add", name, "--label", "here", "--method", "token"];
        host.admin(&words).expect_success();
        token.add_to(host, name, "key ring");
    }
    let with_codes = people_with("recovery");
    let codes = with_codes.iter().map(|name| {
        host.admin(&["user", "add", name, "--label", "here"])
            .expect_success();
        host.recovery_codes(name).remove(0)
    });
    let codes: Vec<_> = codes.collect();
    ours::save_states(host, &with_tokens);
    ours::save_states(host, &with_codes);
    vec![
        ours::logins(TOKEN, &service, host, &with_tokens).answering(vec![token.press(); OF_A_KIND]),
        ours::logins(RECOVERY, &service, host, &with_codes).answering(codes),
    ]
}

pub(crate) fn report(kinds: &[Kind], report: &mut Report) {
    let mut table = Table::new(&["", "whole login", "quartiles", "÷ app code", "logins"]);
    let app = find(kinds, "pam_mfa, accepted");
    for (what, kind) in [
        ("app code", app),
        ("code of a token", find(kinds, TOKEN)),
        ("recovery code", find(kinds, RECOVERY)),
    ] {
        let time = quartiles_of(&kind.login);
        table.row(vec![
            what.to_owned(),
            number(median(&kind.login)),
            format!("{}–{}", number(time.low), number(time.high)),
            number(ratio(&kind.login, &[&app.login], BLOCK).median),
            kind.login.len().to_string(),
        ]);
    }
    report.section(
        "Other ways in",
        "µs. A recovery code costs one argon2 of 4 MiB, and is written twice.",
        table,
        None,
    );
}
