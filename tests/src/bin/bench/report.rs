//! What is printed.

use std::fs;

use mfa_tests::module_path;

use crate::kind::Kind;
use crate::statistics::{auc, median};

pub(crate) fn report(
    many: usize,
    kinds: &[Kind],
    refusals: &[Kind],
    processes: &[(String, Vec<u64>)],
) {
    println!(
        "medians in µs{:38}{:>16} {:>14} {:>7}",
        "", "pam_authenticate", "whole login", "logins"
    );
    for kind in kinds {
        let (authenticate, login) = (median(&kind.authenticate), median(&kind.login));
        println!(
            "{:51}{authenticate:16.1} {login:14.1} {:7}",
            kind.name,
            kind.login.len()
        );
    }
    for (name, times) in processes {
        println!(
            "{name:51}{:16} {:14.1} {:7}",
            "",
            median(times),
            times.len()
        );
    }

    let find = |name: &str| kinds.iter().find(|kind| kind.name == name).unwrap();
    let authenticate = |name: &str| median(&find(name).authenticate);
    let whole = |name: &str| median(&find(name).login);
    let process =
        |name: &str| median(&processes.iter().find(|(known, _)| known == name).unwrap().1);
    let few = "pam_mfa, accepted, 10 users";
    let many = format!("pam_mfa, accepted, {many} users");

    println!("\ntargets (DESIGN §8)");
    let floor = authenticate("floor");
    for (what, time) in [
        ("pam_authenticate", &authenticate as &dyn Fn(&str) -> f64),
        ("whole login", &whole),
    ] {
        for control in ["promptok", "promptok, one line logged"] {
            let ratio = time(few) / (time(control) + floor);
            verdict(
                &format!("accepted ÷ ({control} + floor), {what}"),
                ratio,
                1.6,
                "then 1.3",
            );
        }
        let peers = time("google, accepted").min(time("oath, accepted, 10 users"));
        verdict(
            &format!("accepted ÷ the faster peer, {what}"),
            time(few) / peers,
            1.0,
            "",
        );
        let ratio = time("pam_mfa, wrong, 10 users") / time(few);
        verdict(
            &format!("wrong ÷ accepted, {what}"),
            ratio.max(1.0 / ratio),
            1.1,
            "either way round",
        );
        verdict(
            &format!("{many} ÷ 10 users, {what}"),
            time(&many) / time(few),
            1.1,
            "",
        );
    }
    verdict("first dlopen, µs", process("dlopen pam_mfa"), 100.0, "");
    let size = fs::metadata(module_path()).unwrap().len() as f64 / 1000.0;
    verdict("size of the .so, kB", size, 1100.0, "then 800");
    verdict(
        "whole process ÷ pam_permit's",
        process("process pam_mfa") / process("process pam_permit"),
        1.35,
        "",
    );

    println!(
        "\nhow well the time of one refusal tells kinds apart (AUC; 0.5: not at all), median of pam_authenticate in µs"
    );
    let mut worst: f64 = 0.5;
    let mut refusals: Vec<_> = refusals.iter().collect();
    refusals.sort_by(|one, other| one.name.cmp(&other.name));
    for (at, one) in refusals.iter().enumerate() {
        let areas: Vec<_> = refusals[at + 1..]
            .iter()
            .map(|other| (&other.name, auc(&one.authenticate, &other.authenticate)))
            .collect();
        worst = areas
            .iter()
            .fold(worst, |worst, (_, area)| worst.max(*area));
        let areas: Vec<_> = areas
            .iter()
            .map(|(name, area)| format!("{name} {area:.3}"))
            .collect();
        println!(
            "  {:10} {:8.1}   {}",
            one.name,
            median(&one.authenticate),
            areas.join("  ")
        );
    }
    verdict("worst pair", worst, 0.6, "");
}

pub(crate) fn verdict(what: &str, value: f64, most: f64, remark: &str) {
    let verdict = if value <= most { "ok" } else { "MISSED" };
    println!("  {what:66} {value:8.2}  at most {most:<7} {verdict:6} {remark}");
}
