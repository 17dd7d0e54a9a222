//! What one login costs besides time: instructions, system calls, bytes, memory.

use mfa_tests::stopwatch::Stopwatch;

use crate::growth::spaced;
use crate::instructions::{self, Instructions};
use crate::kind::{Kind, find};
use crate::logins::{BLOCK, answer};
use crate::progress::Progress;
use crate::report::Report;
use crate::side_by_side::{CONTROL, OURS};
use crate::site::Site;
use crate::system_calls::{self, Calls};
use crate::table::Table;

/// Whose costs are told.
const KINDS: [&str; 7] = [
    "promptok",
    CONTROL,
    OURS,
    "pam_mfa, wrong",
    "pam_mfa, unknown",
    "google, accepted",
    "oath, accepted",
];

/// What one kind of login costs.
pub(crate) struct Cost {
    name: &'static str,
    instructions: Instructions,
    calls: Calls,
    memory: Memory,
}

/// Of a fresh process.
struct Memory {
    /// Page faults of the first login, and of each later one.
    faults: (u64, f64),
    /// Bytes after many: in memory, its own alone, allocated.
    after: [u64; 3],
    /// Bytes allocated after as many again.
    allocated: u64,
}

/// Memory is looked at after so many logins, and after as many again.
pub(crate) fn measure(
    site: &Site,
    kinds: &[Kind],
    logins: usize,
    progress: &mut Progress,
) -> Vec<Cost> {
    KINDS
        .iter()
        .enumerate()
        .map(|(number, name)| {
            progress.at(number, KINDS.len());
            let kind = find(kinds, name);
            Cost {
                name,
                instructions: instructions::count(site, kind),
                calls: system_calls::trace(site, kind),
                memory: memory(site, kind, logins),
            }
        })
        .collect()
}

fn memory(site: &Site, kind: &Kind, logins: usize) -> Memory {
    let mut watch = Stopwatch::start(&site.services());
    let wrong = site.app.wrong_code();
    let log_in = |watch: &mut Stopwatch, count: usize| {
        let code = answer(&site.app, kind, &wrong);
        for _ in 0..count {
            // One user: what differs from user to user is not to look like a leak.
            kind.expect(watch.obey(&kind.command("login", 0, &code)));
        }
    };
    // Once for what looking costs.
    watch.ask("usage");
    let before = watch.ask("usage");
    log_in(&mut watch, 1);
    let first = watch.ask("usage");
    let mut log_in_many = || {
        // A code does not last for all of them.
        for block in (0..logins).step_by(BLOCK) {
            log_in(&mut watch, BLOCK.min(logins - block));
        }
        watch.ask("usage")
    };
    let (middle, last) = (log_in_many(), log_in_many());
    Memory {
        faults: (
            first[0] - before[0],
            (last[0] - middle[0]) as f64 / logins as f64,
        ),
        after: [middle[1], middle[2], middle[3]],
        allocated: last[3],
    }
}

/// Why a login takes as long as it does.
pub(crate) fn of_a_login(costs: &[Cost]) -> String {
    let [ours, control] =
        [OURS, CONTROL].map(|name| costs.iter().find(|cost| cost.name == name).unwrap());
    let of = |cost: &Cost| {
        let instructions = spaced(usize::try_from(cost.instructions.all).unwrap());
        format!(
            "{instructions} instructions and {} system calls",
            cost.calls.0.len()
        )
    };
    format!("it takes {}, the control {}", of(ours), of(control))
}

/// Why a whole process takes as long as it does.
pub(crate) fn of_a_process(costs: &[Cost]) -> String {
    let of = |name: &str| costs.iter().find(|cost| cost.name == name).unwrap();
    format!(
        "it has what an accepted code costs (above) in it, and {} page faults until the first login is over (promptok: {}, \
         google: {}, oath: {}).",
        of(OURS).memory.faults.0,
        of("promptok").memory.faults.0,
        of("google, accepted").memory.faults.0,
        of("oath, accepted").memory.faults.0
    )
}

pub(crate) fn report(costs: &[Cost], logins: usize, report: &mut Report) {
    let mut table = Table::new(&["", "instructions", "÷ promptok", "module", "libc", "other"]);
    let prompt = costs[0].instructions.all;
    for cost in costs {
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let objects = cost.instructions.by_object.iter();
            objects
                .filter(|(name, _)| wanted(name))
                .map(|(_, count)| count)
                .sum::<u64>()
        };
        let module = of(&|name| name.starts_with("pam_"));
        let libc = of(&|name| name.starts_with("libc.") || name.starts_with("ld-"));
        let all = cost.instructions.all;
        table.row(vec![
            cost.name.to_owned(),
            spaced(usize::try_from(all).unwrap()),
            format!("{:.1}", all as f64 / prompt as f64),
            spaced(usize::try_from(module).unwrap()),
            spaced(usize::try_from(libc).unwrap()),
            spaced(usize::try_from(all - module - libc).unwrap()),
        ]);
    }
    report.section(
        "Instructions",
        "Of pam_authenticate, in a process that has logged others in before, counted by callgrind: no noise, and no kernel. \
         Valgrind's processor has no instructions for SHA; a real one needs fewer.",
        table,
        None,
    );
    report_calls(costs, report);
    report_names(costs, report);
    report_memory(costs, logins, report);
}

fn report_calls(costs: &[Cost], report: &mut Report) {
    let mut table = Table::new(&[
        "",
        "system calls",
        "fsyncs",
        "files opened",
        "bytes read",
        "written",
        "logged",
    ]);
    for cost in costs {
        let calls = &cost.calls;
        table.row(vec![
            cost.name.to_owned(),
            calls.0.len().to_string(),
            calls.syncs().to_string(),
            calls.opened().to_string(),
            calls.bytes_read().to_string(),
            calls.bytes_written().to_string(),
            calls.bytes_logged().to_string(),
        ]);
    }
    report.section(
        "System calls",
        "The same, as strace sees it; libpam's own among them. fsyncs: fsync and fdatasync. Bytes: of files, and to /dev/log.",
        table,
        None,
    );
}

fn report_names(costs: &[Cost], report: &mut Report) {
    let shown = [CONTROL, OURS, "google, accepted", "oath, accepted"];
    let shown = shown.map(|name| costs.iter().find(|cost| cost.name == name).unwrap());
    let mut names: Vec<_> = shown
        .iter()
        .flat_map(|cost| cost.calls.by_name().into_keys())
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut table = Table::new(&["", "control", "pam_mfa", "google", "oath"]);
    for name in names {
        let mut row = vec![name.to_owned()];
        row.extend(shown.map(|cost| {
            let count = cost.calls.by_name().get(name).copied();
            count.map_or("–".to_owned(), |count| count.to_string())
        }));
        table.row(row);
    }
    report.section(
        "System calls by name",
        "With an accepted code. Sockets of netlink are libpam's, for the kernel's audit.",
        table,
        None,
    );
}

fn report_memory(costs: &[Cost], logins: usize, report: &mut Report) {
    let mut table = Table::new(&[
        "",
        "first login's faults",
        "later ones'",
        "RSS, kB",
        "own, kB",
        "heap, kB",
        "heap grown, B",
    ]);
    for cost in costs {
        let memory = &cost.memory;
        let [rss, own, heap] = memory.after;
        let kilobytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1000.0);
        table.row(vec![
            cost.name.to_owned(),
            memory.faults.0.to_string(),
            format!("{:.1}", memory.faults.1),
            kilobytes(rss),
            kilobytes(own),
            format!("{:.1}", heap as f64 / 1000.0),
            format!("{}", i128::from(memory.allocated) - i128::from(heap)),
        ]);
    }
    let about = format!(
        "Of a process that logs users in: page faults of the first login and of each later one; after {logins}, what is in memory, \
         what of that is its own alone (not shared with other processes), what is allocated, and by how much that grows with \
         {logins} more."
    );
    report.section("Memory", &about, table, None);
}
