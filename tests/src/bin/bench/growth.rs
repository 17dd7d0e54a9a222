//! How the cost of a login grows with users, and with the apps of one user.

use mfa_tests::Authenticator;
use mfa_tests::pam_host::PamHost;

use crate::kind::{Kind, find};
use crate::logins::BLOCK;
use crate::ours;
use crate::peers;
use crate::plot::{Colour, Lines, Series};
use crate::populations::Population;
use crate::progress::Progress;
use crate::report::{Plot, Report, Target, number};
use crate::side_by_side::OURS;
use crate::site::Site;
use crate::statistics::{median, quartiles_of, ratio};
use crate::table::Table;

/// Numbers of apps; the code is the last one's.
const APPS: [usize; 4] = [1, 2, 4, 8];
/// People with each number.
const OF_A_NUMBER: usize = 5;

/// How many users stores have, besides ten.
pub(crate) struct Sizes {
    pub(crate) ours: Vec<usize>,
    pub(crate) peers: Vec<usize>,
}

fn name(who: &str, users: usize) -> String {
    format!("{who}, accepted, {users} users")
}

/// Logins with more users than ten; the stores are put on the disk.
pub(crate) fn kinds(
    site: &Site,
    base: &PamHost,
    sizes: &Sizes,
    progress: &mut Progress,
) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let (all, mut before): (usize, _) = (sizes.ours.iter().sum(), 0);
    for &users in &sizes.ours {
        let tell = |added| progress.at(before + added, all);
        let population = Population::new(site, base, users, tell);
        before += users;
        kinds.push(population.logins(&name("pam_mfa", users)));
    }
    for &users in &sizes.peers {
        let (folder, people) = (users.to_string(), &site.people);
        peers::prepare_google(site, &folder, people, users);
        kinds.push(peers::google(site, &name("google", users), &folder, people));
        peers::prepare_oath(site, &folder, people, users);
        let oath = peers::oath(site, &name("oath", users), &folder, people);
        // A file of megabytes is rewritten each time.
        kinds.push(if users > 10_000 { oath.slow() } else { oath });
    }
    kinds
}

/// Names of people with many apps.
pub(crate) fn app_people() -> Vec<String> {
    APPS.iter().flat_map(|&apps| people_with(apps)).collect()
}

fn people_with(apps: usize) -> Vec<String> {
    (0..OF_A_NUMBER)
        .map(|number| format!("apps{apps}-{number}"))
        .collect()
}

/// Logins of people with many apps; they are added to a host.
pub(crate) fn app_kinds(site: &Site, population: &Population) -> Vec<Kind> {
    let host = &population.host;
    APPS.iter()
        .map(|&apps| {
            let people = people_with(apps);
            for name in &people {
                host.admin(&["user", "add", name, "--label", "here"])
                    .expect_success();
                for number in 1..apps {
                    host.add_app(name, &format!("other{number}"), &Authenticator::new());
                }
                host.add_app(name, "phone", &site.app);
            }
            ours::save_states(host, &people);
            let name = format!("pam_mfa, {apps} apps");
            ours::logins(&name, &population.service(), host, &people)
        })
        .collect()
}

/// All sizes of who, with the kind of each.
fn sizes_of<'a>(kinds: &'a [Kind], who: &str, users: &[usize]) -> Vec<(usize, &'a Kind)> {
    let ten = (10, find(kinds, &format!("{who}, accepted")));
    let more = users
        .iter()
        .map(|&users| (users, find(kinds, &name(who, users))));
    [ten].into_iter().chain(more).collect()
}

/// What a whole login with the most users is to one with ten.
fn growth(all: &[(usize, &Kind)]) -> f64 {
    let (first, last) = (all[0].1, all[all.len() - 1].1);
    if last.is_slow {
        // No blocks of the same length.
        median(&last.login) / median(&first.login)
    } else {
        ratio(&last.login, &[&first.login], BLOCK).median
    }
}

pub(crate) fn target(kinds: &[Kind], sizes: &Sizes, report: &mut Report) {
    let ours = sizes_of(kinds, "pam_mfa", &sizes.ours);
    let [google, oath] = ["google", "oath"].map(|who| growth(&sizes_of(kinds, who, &sizes.peers)));
    let most = ours[ours.len() - 1].0;
    let fewer = sizes.peers[sizes.peers.len() - 1];
    let what = format!("10 → {} users (peers: {})", spaced(most), spaced(fewer));
    report.target(Target::at_most(
        &what,
        [google, oath],
        growth(&ours),
        1.1,
        "",
    ));
    report.reason(|| {
        let times = ours.iter().map(|(users, kind)| {
            format!("{} µs with {}", number(median(&kind.login)), spaced(*users))
        });
        format!("a login takes {}.", times.collect::<Vec<_>>().join(", "))
    });
}

pub(crate) fn report(kinds: &[Kind], sizes: &Sizes, report: &mut Report) {
    let mut table = Table::new(&["", "whole login", "quartiles", "÷ 10 users", "logins"]);
    let who = ["pam_mfa", "google", "oath"];
    let all = who.map(|who| {
        let users = if who == "pam_mfa" {
            &sizes.ours
        } else {
            &sizes.peers
        };
        sizes_of(kinds, who, users)
    });
    for (who, all) in who.iter().zip(&all) {
        for (users, kind) in all {
            let time = quartiles_of(&kind.login);
            table.row(vec![
                format!("{who}, {} users", spaced(*users)),
                number(time.median),
                format!("{}–{}", number(time.low), number(time.high)),
                number(growth(&[all[0], (*users, kind)])),
                kind.login.len().to_string(),
            ]);
        }
    }
    let series = |name, colour, all: &[(usize, &Kind)]| Series {
        name,
        colour,
        points: all
            .iter()
            .map(|(users, kind)| (*users as f64, median(&kind.login)))
            .collect(),
    };
    let lines = Lines {
        title: "Users of a host, and what a login costs",
        below: "Median of a whole login with a right code; both scales multiply",
        across: "users in the store",
        ticks: [10, 100, 1_000, 10_000, 100_000, 1_000_000]
            .map(|users| (users as f64, spaced(users)))
            .into(),
        series: vec![
            series("pam_mfa", Colour::Ours, &all[0]),
            series("google", Colour::Google, &all[1]),
            series("oath", Colour::Oath, &all[2]),
        ],
    };
    report.section(
        "Users",
        "The same ten people log in, among so many. Beyond 100 000 users the others share files, by hard links: what a login \
         could notice is the size of the folders. oath keeps all users in one file.",
        table,
        Some(Plot {
            file: "bench-users.svg",
            alt: "Lines: how long a login takes with 10 to 1 000 000 users".to_owned(),
            svg: lines.svg(),
        }),
    );
    report_apps(kinds, report);
}

fn report_apps(kinds: &[Kind], report: &mut Report) {
    let mut table = Table::new(&[
        "",
        "whole login",
        "quartiles",
        "÷ 1 app",
        "pam_authenticate",
    ]);
    let first = find(kinds, "pam_mfa, 1 apps");
    for apps in APPS {
        let kind = find(kinds, &format!("pam_mfa, {apps} apps"));
        let time = quartiles_of(&kind.login);
        table.row(vec![
            if apps == 1 {
                "1 app".to_owned()
            } else {
                format!("{apps} apps")
            },
            number(time.median),
            format!("{}–{}", number(time.low), number(time.high)),
            number(ratio(&kind.login, &[&first.login], BLOCK).median),
            number(median(&kind.authenticate)),
        ]);
    }
    let about = format!(
        "The code is the last app's. ({OURS}, with ten other people: {} µs.)",
        number(median(&find(kinds, OURS).login))
    );
    report.section("Apps of one user", &about, table, None);
}

/// 1 000 000
pub(crate) fn spaced(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
