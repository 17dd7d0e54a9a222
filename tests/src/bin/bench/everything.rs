//! All parts in one run, and what is written of them.

use std::env;
use std::fs;
use std::path::PathBuf;

use mfa_tests::{repository, target};

use crate::at_once;
use crate::costs;
use crate::factors;
use crate::growth::{self, Sizes};
use crate::logins::{self, BLOCK};
use crate::machine;
use crate::ours;
use crate::populations::Population;
use crate::processes;
use crate::progress::Progress;
use crate::prompts;
use crate::races::{self, Races};
use crate::recovery;
use crate::refusals;
use crate::report::Report;
use crate::side_by_side;
use crate::site::Site;

/// How much of everything there is.
pub(crate) struct Extent {
    /// Blocks of each kind of login; the first of them warm up.
    blocks: usize,
    /// Users of the stores that are larger than ten.
    ours: &'static [usize],
    peers: &'static [usize],
    processes: usize,
    /// Logins after which memory is looked at.
    memory: usize,
    prompts: usize,
    /// Users who log in at the same time, and how often they all do.
    crowd: (usize, usize),
    races: usize,
    kills: usize,
    is_quick: bool,
    /// Parts, and the seconds that each takes on an idle machine of two cores.
    parts: &'static [(&'static str, u64)],
}

/// What `make bench` does.
pub(crate) const WHOLE: Extent = Extent {
    blocks: 110,
    ours: &[1_000, 100_000, 1_000_000],
    peers: &[1_000, 100_000],
    processes: 200,
    memory: 1_000,
    prompts: 400,
    crowd: (128, 5),
    races: 10,
    kills: 200,
    is_quick: false,
    parts: &[
        ("stores", 60),
        ("logins", 75),
        ("refusals", 10),
        ("processes", 10),
        ("costs", 30),
        ("prompts", 30),
        ("races", 30),
        ("logins at once", 60),
    ],
};

/// To see that it works: too little of everything to say anything.
pub(crate) const QUICK: Extent = Extent {
    blocks: 2,
    ours: &[50],
    peers: &[50],
    processes: 10,
    memory: 50,
    prompts: 10,
    crowd: (64, 1),
    races: 1,
    kills: 5,
    is_quick: true,
    parts: &[
        ("stores", 2),
        ("logins", 2),
        ("refusals", 1),
        ("processes", 1),
        ("costs", 8),
        ("prompts", 1),
        ("races", 2),
        ("logins at once", 2),
    ],
};

/// People who log in, in every store.
const PEOPLE: usize = 10;

pub(crate) fn run(extent: &Extent) {
    let mut progress = Progress::new(extent.parts);
    let mut report = Report::new();

    progress.begin("stores");
    let site = if extent.is_quick {
        Site::in_memory(PEOPLE)
    } else {
        Site::new(PEOPLE)
    };
    let strangers = side_by_side::strangers().into_iter();
    let refused = refusals::names().into_iter();
    let others = growth::app_people().into_iter().chain(factors::people());
    site.write_passwd(strangers.chain(refused).chain(others));
    let base = ours::enrolled(&site, "base", &site.people);
    let ten = Population::new(&site, &base, PEOPLE, |_| ());
    let sizes = Sizes {
        ours: extent.ours.to_vec(),
        peers: extent.peers.to_vec(),
    };
    let mut kinds = side_by_side::kinds(&site, &ten);
    let compared = kinds.len();
    kinds.extend(growth::kinds(&site, &base, &sizes, &mut progress));
    kinds.extend(growth::app_kinds(&site, &ten));
    kinds.extend(factors::kinds(&site, &base, &ten));
    refusals::add(&site, &ten);
    site.settle();

    progress.begin("logins");
    logins::run_in_blocks(&site, &mut kinds, extent.blocks, &mut progress);
    progress.begin("refusals");
    let mut refused = refusals::logins(&ten);
    logins::run_shuffled(
        &site,
        &mut refused,
        extent.blocks * BLOCK / 2,
        &mut progress,
    );
    progress.begin("processes");
    let processes = processes::measure(&site, &kinds, extent.processes, &mut progress);
    progress.begin("costs");
    let costs = costs::measure(&site, &kinds, extent.memory, &mut progress);
    progress.begin("prompts");
    let delivery = prompts::measure(&site, extent.prompts, &mut progress);
    progress.begin("races");
    let counts = Races::prepare(&site).run(&site, extent.races, extent.kills, &mut progress);
    progress.begin("logins at once");
    let at_once = at_once::measure(&site, extent.crowd.0, extent.crowd.1, &mut progress);
    drop(progress);

    let compared = &kinds[..compared];
    side_by_side::targets(compared, &costs::of_a_login(&costs), &mut report);
    growth::target(&kinds, &sizes, &mut report);
    processes::targets(&processes, &costs::of_a_process(&costs), &mut report);
    races::targets(&counts, &kinds, &mut report);
    refusals::target(&kinds, &refused, &mut report);
    delivery.target(&mut report);
    recovery::target(&base, &site.people, &mut report);
    let opening = factors::cost_of_opening(&site);
    factors::target(&kinds, opening, &mut report);
    side_by_side::report(compared, &mut report);
    costs::report(&costs, extent.memory, &mut report);
    growth::report(&kinds, &sizes, &mut report);
    factors::report(&kinds, opening, &mut report);
    races::report(&counts, &mut report);
    at_once::report(&at_once, machine::cores(), &mut report);
    processes::report(&processes, &mut report);
    refusals::report(&refused, &mut report);
    delivery.report(&mut report);

    let mut head = format!("{}. {}", machine::stamp(), machine::describe(&site.folder));
    if extent.is_quick {
        head.push_str(" QUICK, in memory: to see that it works; the figures are worth nothing.");
    }
    let warning = side_by_side::warning(compared);
    if let Some(warning) = &warning {
        head.push_str("\n\n**");
        head.push_str(warning);
        head.push_str("**");
    }
    report.print(&head.replace('*', ""));
    report.tell(warning.as_deref());
    let folder = documents(extent.is_quick);
    fs::create_dir_all(&folder).unwrap();
    report.write(&folder, &head);
    eprintln!("bench: {}/bench.md", folder.display());
}

/// docs/ for the whole of it, a folder below target/ for a try.
fn documents(is_quick: bool) -> PathBuf {
    match env::var_os("MFA_BENCH_DOCS") {
        Some(folder) => PathBuf::from(folder),
        None if is_quick => target().join("bench-docs"),
        None => repository().join("docs"),
    }
}
