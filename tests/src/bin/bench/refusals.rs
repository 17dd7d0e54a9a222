//! Refusals of every sort, whose time must not tell them apart.

use crate::kind::Kind;
use crate::ours::{self, TABLES};
use crate::populations::Population;
use crate::site::Site;

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
