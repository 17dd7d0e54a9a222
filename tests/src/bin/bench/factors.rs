//! What a login costs with something else than an app, with a passphrase beside it, and with a key that is bound to the host.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use mfa_tests::pam_host::PamHost;
use mfa_tests::{HardwareToken, install_courier};

use crate::kind::{Kind, find};
use crate::logins::BLOCK;
use crate::ours::{self, TABLES};
use crate::populations::Population;
use crate::report::{Report, Target, number};
use crate::site::Site;
use crate::statistics::{median, quartiles_of, ratio};
use crate::table::Table;

const APP: &str = "pam_mfa, accepted";
const TOKEN: &str = "pam_mfa, token";
const RECOVERY: &str = "pam_mfa, recovery code";
const PASSPHRASE: &str = "pam_mfa, passphrase";
const WRONG_PASSPHRASE: &str = "pam_mfa, wrong passphrase";
const BOUND: &str = "pam_mfa, bound key";
/// People with each.
const OF_A_KIND: usize = 5;
/// Everybody's, and nobody's: the one is as long as the other.
const RIGHT: &str = "gravel-ocelot-sings-thrice";
const WRONG: &str = "gravel-ocelot-sings-twice-";
/// Milliseconds that a bound key may cost a login (DESIGN §8).
const MOST_FOR_BINDING: f64 = 10.0;
/// How often systemd-creds opens the key without a login.
const OPENINGS: usize = 20;

/// Their names.
pub(crate) fn people() -> impl Iterator<Item = String> {
    ["token", "recovery", "passphrase"]
        .into_iter()
        .flat_map(people_with)
}

fn people_with(what: &str) -> Vec<String> {
    (0..OF_A_KIND)
        .map(|number| format!("{what}-{number}"))
        .collect()
}

/// Logins with a token, with a recovery code and with a passphrase before the code, whose people are added to a host; and
/// those of the people of `base` on a copy of it whose key is bound.
pub(crate) fn kinds(site: &Site, base: &PamHost, population: &Population) -> Vec<Kind> {
    let mut kinds = with_something_else(population);
    kinds.extend(with_passphrases(site, &population.host));
    kinds.push(with_bound_key(site, base));
    kinds
}

fn with_something_else(population: &Population) -> Vec<Kind> {
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

/// Who has a passphrase is asked for it by a service of its own; both answers cost one hash.
fn with_passphrases(site: &Site, host: &PamHost) -> [Kind; 2] {
    // It says whether a passphrase is good enough.
    install_courier();
    let people = people_with("passphrase");
    for name in &people {
        host.enroll_app(name, &site.app);
        host.admin_with(&["passphrase", "set", name, "-"], RIGHT)
            .expect_success();
    }
    ours::save_states(host, &people);
    ours::add_service_with(site, "passphrase", host, "passphrase");
    let logins = |name| ours::logins(name, "passphrase", host, &people).slow();
    [
        logins(PASSPHRASE).answering_first(RIGHT),
        logins(WRONG_PASSPHRASE).answering_first(WRONG).refused(),
    ]
}

/// The same logins as with a plain file, but for the key.
fn with_bound_key(site: &Site, base: &PamHost) -> Kind {
    let host = base.copy_below(site.folder.join("bound"), TABLES);
    host.admin(&["seal", "bind"]).expect_success();
    let credential = host.path("seal.cred");
    host.configure(&format!(
        "{TABLES}[seal]\ncredential = \"{}\"\n",
        credential.display()
    ));
    host.admin(&["seal", "bind", "--yes"]).expect_success();
    assert!(
        !host.path("seal.key").exists(),
        "the plain file is still there"
    );
    ours::save_states(&host, &site.people);
    ours::add_service(site, "bound", &host);
    ours::logins(BOUND, "bound", &host, &site.people).slow()
}

/// Milliseconds that a login takes longer with a bound key than with a plain file.
fn cost_of_binding(kinds: &[Kind]) -> f64 {
    let [bound, plain] = [BOUND, APP].map(|name| median(&find(kinds, name).login));
    (bound - plain) / 1000.0
}

/// Milliseconds that systemd-creds itself takes to open that key.
pub(crate) fn cost_of_opening(site: &Site) -> f64 {
    let credential = site.folder.join("bound/seal.cred");
    let times: Vec<u64> = (0..OPENINGS).map(|_| time_opening(&credential)).collect();
    median(&times) / 1000.0
}

fn time_opening(credential: &Path) -> u64 {
    let begin = Instant::now();
    let opened = Command::new("/usr/bin/systemd-creds")
        .args(["decrypt", "--name=mfa-seal-key"])
        .args([credential, Path::new("-")])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let time = begin.elapsed();
    assert!(opened.unwrap().success());
    u64::try_from(time.as_nanos()).unwrap()
}

/// `opening`: what [`cost_of_opening`] has found.
pub(crate) fn target(kinds: &[Kind], opening: f64, report: &mut Report) {
    report.target(Target::at_most(
        "bound key − plain key file, ms",
        [f64::NAN; 2],
        cost_of_binding(kinds),
        MOST_FOR_BINDING,
        "",
    ));
    report.reason(|| {
        format!(
            "systemd-creds alone takes {} ms to open it.",
            number(opening)
        )
    });
}

pub(crate) fn report(kinds: &[Kind], opening: f64, report: &mut Report) {
    let mut table = Table::new(&["", "whole login", "quartiles", "÷ app code", "logins"]);
    let app = find(kinds, APP);
    for (what, kind) in [
        ("app code", app),
        ("code of a token", find(kinds, TOKEN)),
        ("recovery code", find(kinds, RECOVERY)),
        ("passphrase and app code", find(kinds, PASSPHRASE)),
        (
            "wrong passphrase, right code",
            find(kinds, WRONG_PASSPHRASE),
        ),
        ("app code, bound key", find(kinds, BOUND)),
    ] {
        let time = quartiles_of(&kind.login);
        let block = if kind.is_slow { 1 } else { BLOCK };
        table.row(vec![
            what.to_owned(),
            number(median(&kind.login)),
            format!("{}–{}", number(time.low), number(time.high)),
            number(ratio(&kind.login, &[&app.login], block).median),
            kind.login.len().to_string(),
        ]);
    }
    let about = format!(
        "µs. A recovery code costs one argon2 of 4 MiB, and is written twice; a passphrase, right or wrong, one of 19 MiB with \
         two passes. A key that `seal bind` has bound to the host is opened by systemd-creds at each login: {} ms more than a \
         plain file, of {MOST_FOR_BINDING} that it may cost; systemd-creds alone takes {} ms.",
        number(cost_of_binding(kinds)),
        number(opening)
    );
    report.section("Other ways in", &about, table, None);
}
