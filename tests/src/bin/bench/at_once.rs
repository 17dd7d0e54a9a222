//! Many logins at once, of different users: how long each takes, and how many there are in a second.

use std::process::Command;

use mfa_tests::pam_host::built;

use crate::kind::Kind;
use crate::ours;
use crate::peers;
use crate::plot::{Colour, Lines, Series};
use crate::progress::Progress;
use crate::report::{Plot, Report, number};
use crate::side_by_side::CONTROL;
use crate::site::Site;
use crate::statistics::quartiles;
use crate::table::Table;

/// Processes that log users in at the same time.
const LEVELS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Who is compared.
const WHO: [&str; 5] = ["floor", CONTROL, "pam_mfa", "google", "oath"];

/// What was seen of one of [`WHO`], per level.
pub(crate) struct AtOnce {
    who: &'static str,
    levels: Vec<Vec<Round>>,
    logins: usize,
}

/// One round of one level.
struct Round {
    accepted: u64,
    /// Nanoseconds from the first's beginning to the last's end.
    took: u64,
    /// Nanoseconds.
    median: u64,
    /// 95 of 100 took no longer.
    late: u64,
}

/// Names of `count` people, as `pam_bench --at-once` makes them.
fn crowd(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("c{number}")).collect()
}

pub(crate) fn measure(
    site: &Site,
    users: usize,
    rounds: usize,
    progress: &mut Progress,
) -> Vec<AtOnce> {
    let people = crowd(users);
    site.write_passwd(people.iter().cloned());
    let kinds = prepare(site, &people);
    let mut all = WHO.map(|who| AtOnce {
        who,
        levels: LEVELS.iter().map(|_| Vec::new()).collect(),
        // Everybody with two codes: whatever the time, both are within the window.
        logins: users * 2,
    });
    for round in 0..rounds {
        for (at, level) in LEVELS.into_iter().enumerate() {
            progress.at(round * LEVELS.len() + at, rounds * LEVELS.len());
            for (kind, seen) in kinds.iter().zip(&mut all) {
                kind.write_all_back();
                seen.levels[at].push(one_round(site, kind, level, users));
            }
        }
    }
    all.into()
}

/// What everybody needs on the disk; the kinds stand in the order of [`WHO`].
fn prepare(site: &Site, people: &[String]) -> [Kind; 5] {
    let host = ours::enrolled(site, "crowd", people);
    ours::save_states(&host, people);
    ours::add_service(site, "ours-crowd", &host);
    peers::prepare_google(site, "crowd", people, people.len());
    peers::prepare_oath(site, "crowd", people, people.len());
    site.add_to_control(people);
    let floor = site.folder.join("floors");
    std::fs::create_dir_all(&floor).unwrap();
    [
        Kind::new("floor", &format!("floor:{}", floor.display()), people),
        site.control(CONTROL, people),
        ours::logins("pam_mfa", "ours-crowd", &host, people),
        peers::google(site, "google", "crowd", people),
        peers::oath(site, "oath", "crowd", people),
    ]
}

fn one_round(site: &Site, kind: &Kind, level: usize, users: usize) -> Round {
    let step = site.app.step();
    let codes = [step, step + 1]
        .map(|step| site.app.code_of(step))
        .join(",");
    let mut command = Command::new(built("pam_bench"));
    command.arg("--at-once").arg(site.services()).args([
        &kind.service,
        &level.to_string(),
        &users.to_string(),
        &codes,
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let [accepted, took, median, late] = numbers[..] else {
        panic!("{text}");
    };
    // oath alone can't do with company.
    let all = users as u64 * 2;
    assert!(
        accepted == all || (kind.name == "oath" && level > 1),
        "{}: {accepted} of {all}, {level} at once",
        kind.name
    );
    Round {
        accepted,
        took,
        median,
        late,
    }
}

impl AtOnce {
    fn of(&self, level: usize, value: fn(&Round) -> f64) -> f64 {
        quartiles(self.levels[level].iter().map(value).collect()).median
    }

    fn latency(&self, level: usize) -> f64 {
        self.of(level, |round| round.median as f64 / 1000.0)
    }

    fn late(&self, level: usize) -> f64 {
        self.of(level, |round| round.late as f64 / 1000.0)
    }

    /// Accepted logins a second.
    fn throughput(&self, level: usize) -> f64 {
        self.of(level, |round| {
            round.accepted as f64 * 1e9 / round.took as f64
        })
    }

    fn share(&self, level: usize) -> f64 {
        self.of(level, |round| round.accepted as f64) * 100.0 / self.logins as f64
    }
}

pub(crate) fn report(all: &[AtOnce], cores: usize, report: &mut Report) {
    let head = [
        "at once",
        "floor",
        "control",
        "pam_mfa",
        "95 of 100",
        "google",
        "oath",
    ];
    let mut table = Table::new(&head);
    for (at, level) in LEVELS.iter().enumerate() {
        let mut row = vec![level.to_string()];
        for seen in all {
            row.push(number(seen.latency(at)));
            if seen.who == "pam_mfa" {
                row.push(number(seen.late(at)));
            }
        }
        table.row(row);
    }
    let about = format!(
        "Processes that log different users in with right codes, all at the same time, on {cores} cores; {} logins a round, \
         median of {} rounds of the median of one that was let in. oath refuses most of them.",
        all[0].logins,
        all[0].levels[0].len()
    );
    report.section(
        "Logins at once: how long one takes",
        &about,
        table,
        Some(plot(all)),
    );

    let mut table = Table::new(&[
        "at once",
        "floor",
        "control",
        "pam_mfa",
        "google",
        "oath",
        "let in by oath, %",
    ]);
    for (at, level) in LEVELS.iter().enumerate() {
        let mut row = vec![level.to_string()];
        row.extend(all.iter().map(|seen| number(seen.throughput(at))));
        row.push(number(all[all.len() - 1].share(at)));
        table.row(row);
    }
    report.section(
        "Logins at once: accepted in a second",
        "Of the same rounds.",
        table,
        None,
    );
}

fn plot(all: &[AtOnce]) -> Plot {
    let colours = [
        Colour::Floor,
        Colour::Control,
        Colour::Ours,
        Colour::Google,
        Colour::Oath,
    ];
    let oath = &all[all.len() - 1];
    let oath_name = format!("oath, {:.0} % let in", oath.share(LEVELS.len() - 1));
    let lines = Lines {
        title: "Logins at the same time, and how long one takes",
        below: "Median of a whole login with a right code that was let in; both scales multiply",
        across: "processes that log users in",
        ticks: LEVELS.map(|level| (level as f64, level.to_string())).into(),
        series: all
            .iter()
            .zip(colours)
            .map(|(seen, colour)| Series {
                name: if seen.who == "oath" {
                    &oath_name
                } else {
                    seen.who
                },
                colour,
                points: LEVELS
                    .iter()
                    .enumerate()
                    .map(|(at, level)| (*level as f64, seen.latency(at)))
                    .collect(),
            })
            .collect(),
    };
    Plot {
        file: "bench-at-once.svg",
        alt: "Lines: how long a login takes with 1 to 64 at the same time".to_owned(),
        svg: lines.svg(),
    }
}
