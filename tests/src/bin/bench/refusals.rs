//! Refusals of every sort, whose time must not tell them apart.

use mfa_tests::stopwatch::told_apart;

use crate::kind::{Kind, find};
use crate::ours::{self, TABLES};
use crate::populations::Population;
use crate::report::{Report, Target, number};
use crate::site::Site;
use crate::statistics::median;
use crate::table::Table;

/// The sorts, and the beginnings of their people's names.
const SORTS: [&str; 5] = ["enrolled", "norecord", "suspended", "locked", "elsewhere"];
/// People of each sort.
const OF_A_SORT: usize = 10;

/// Everybody's names.
pub(crate) fn names() -> Vec<String> {
    SORTS.iter().flat_map(|sort| names_of(sort)).collect()
}

fn names_of(sort: &str) -> Vec<String> {
    (0..OF_A_SORT)
        .map(|number| format!("{sort}{number}"))
        .collect()
}

/// Adds them all to a host.
pub(crate) fn add(site: &Site, population: &Population) {
    let host = &population.host;
    for sort in SORTS {
        for name in names_of(sort) {
            if sort != "norecord" {
                host.enroll_app(&name, &site.app);
            }
            match sort {
                "norecord" => ours::find_decoy(site, host, &name),
                "suspended" => {
                    let command = ["user", "suspend", &name, "--reason", "left"];
                    host.admin(&command).expect_success();
                }
                "elsewhere" => {
                    let command = ["device", "revoke", &name, "here", "--yes"];
                    host.admin(&command).expect_success();
                }
                "locked" => {
                    host.configure(&format!("{TABLES}[lockout]\nafter = 1\n"));
                    host.login(&name, &[site.app.wrong_code()]);
                    host.configure(TABLES);
                }
                _ => {}
            }
        }
        if sort != "norecord" {
            ours::save_states(host, &names_of(sort));
        }
    }
}

/// Wrong answers of people of every sort.
pub(crate) fn logins(population: &Population) -> Vec<Kind> {
    let (service, host) = (population.service(), &population.host);
    SORTS
        .map(|sort| match sort {
            "norecord" => ours::strangers(sort, &service, host, &names_of(sort)),
            _ => ours::logins(sort, &service, host, &names_of(sort)).wrong(),
        })
        .into()
}

/// The two sorts that the time of one refusal tells apart best, and how well.
fn worst(refused: &[Kind]) -> (f64, [&Kind; 2]) {
    let pairs = refused
        .iter()
        .enumerate()
        .flat_map(|(at, one)| refused[at + 1..].iter().map(move |other| [one, other]));
    pairs
        .map(|[one, other]| {
            (
                told_apart(&one.authenticate, &other.authenticate).auc,
                [one, other],
            )
        })
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .unwrap()
}

/// `kinds` holds the peers' wrong and unknown.
pub(crate) fn target(kinds: &[Kind], refused: &[Kind], report: &mut Report) {
    let peers = ["google", "oath"].map(|who| {
        let times = |what: &str| &*find(kinds, &format!("{who}, {what}")).authenticate;
        told_apart(times("wrong"), times("unknown")).auc
    });
    let what = "time tells refusals apart (AUC)";
    let (area, pair) = worst(refused);
    report.target(Target::at_most(what, peers, area, 0.6, ""));
    report.reason(|| {
        let [one, other] =
            pair.map(|kind| format!("{} {} µs", kind.name, number(median(&kind.authenticate))));
        format!("{one}, {other} in the median. All pairs stand below.")
    });
}

pub(crate) fn report(refused: &[Kind], report: &mut Report) {
    let mut head = vec!["", "pam_authenticate"];
    head.extend(SORTS);
    let mut table = Table::new(&head);
    for sort in SORTS {
        let one = find(refused, sort);
        let mut row = vec![sort.to_owned(), number(median(&one.authenticate))];
        row.extend(SORTS.map(|other| {
            if other == sort {
                return "–".to_owned();
            }
            format!(
                "{:.3}",
                told_apart(&one.authenticate, &find(refused, other).authenticate).auc
            )
        }));
        table.row(row);
    }
    report.section(
        "Refusals",
        "One wrong code of somebody enrolled, without a record, suspended, locked and enrolled on another host: how well the \
         time tells two of them apart (AUC; 0.5 not at all, 1 always). A quick look; make test-timing is the thorough one.",
        table,
        None,
    );
}
