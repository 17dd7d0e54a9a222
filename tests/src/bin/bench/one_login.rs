//! `bench LOGIN [MEMORY] [MODULE…]`: what one login costs, for who makes the module quicker. Several modules are measured side by
//! side, in turn. With MEMORY no disk is waited for: a busy one hides all else.

use std::path::PathBuf;

use mfa_tests::module_path;

use crate::instructions::{self, Instructions};
use crate::kind::{Kind, find};
use crate::logins::{BLOCK, run_in_blocks};
use crate::ours;
use crate::progress::Progress;
use crate::side_by_side::CONTROL;
use crate::site::Site;
use crate::statistics::{quartiles_of, ratio};
use crate::system_calls::{self, Calls};
use crate::table::Table;

/// Blocks of each kind; the first tenth warms up.
const BLOCKS: usize = 55;
/// People who log in.
const PEOPLE: usize = 10;
/// Functions and files of code that are shown.
const SHOWN: usize = 24;

pub(crate) fn run(modules: &[PathBuf], is_in_memory: bool, is_quick: bool) {
    let mut progress = Progress::new(&[
        ("people", 1),
        ("times", 2 + 2 * modules.len() as u64),
        ("instructions", 3 + 4 * modules.len() as u64),
    ]);
    progress.begin("people");
    let modules = match modules {
        [] => vec![module_path()],
        given => given.to_vec(),
    };
    let site = if is_in_memory {
        Site::in_memory(PEOPLE)
    } else {
        Site::new(PEOPLE)
    };
    site.write_passwd(["stranger".to_owned()]);
    let mut kinds = site.controls();
    kinds.extend(of_modules(&site, &modules));
    site.settle();

    progress.begin("times");
    let blocks = if is_quick { BLOCKS / 5 } else { BLOCKS };
    run_in_blocks(&site, &mut kinds, blocks, &mut progress);
    progress.begin("instructions");
    // What is counted stays the same from run to run: the control that logs stands for the others.
    let counted: Vec<_> = kinds
        .iter()
        .skip(3)
        .map(|kind| {
            (
                &*kind.name,
                instructions::count(&site, kind),
                system_calls::trace(&site, kind),
            )
        })
        .collect();
    drop(progress);
    for (number, module) in modules.iter().enumerate() {
        println!("module {}: {}", number + 1, module.display());
    }
    println!("\ntimes in µs, quartiles\n{}", times(&kinds).text());
    println!(
        "whole logins to each other, block by block, quartiles; sum: promptok + floor, as the target has it; on a CPU: pam_authenticate\n{}",
        ratios(&kinds).text()
    );
    println!(
        "instructions and system calls of pam_authenticate\n{}",
        costs(&counted).text()
    );
    for (name, instructions, calls) in &counted {
        if name.contains("accepted") {
            tell_parts(name, instructions, calls);
        }
    }
}

/// Accepted, wrong and unknown with each module.
fn of_modules(site: &Site, modules: &[PathBuf]) -> Vec<Kind> {
    let base = ours::enrolled(site, "base", &site.people);
    let mut kinds = Vec::new();
    for (number, module) in modules.iter().enumerate() {
        let service = format!("module{}", number + 1);
        let host = base.copy_below(site.folder.join(&service), ours::TABLES);
        ours::install_module(&host, module);
        ours::add_service(site, &service, &host);
        ours::find_decoy(site, &host, "stranger");
        ours::save_states(&host, &site.people);
        let name = |what: &str| format!("{what}, module {}", number + 1);
        let stranger = ["stranger".to_owned()];
        kinds.extend([
            ours::logins(&name("accepted"), &service, &host, &site.people),
            ours::logins(&name("wrong"), &service, &host, &site.people).wrong(),
            ours::strangers(&name("unknown"), &service, &host, &stranger),
        ]);
    }
    kinds
}

fn times(kinds: &[Kind]) -> Table {
    let mut table = Table::new(&["", "pam_authenticate", "on a CPU", "whole login", "logins"]);
    for kind in kinds {
        let cell = |times: &[u64]| {
            let quartiles = quartiles_of(times);
            format!(
                "{:.1} {:.1}–{:.1}",
                quartiles.median, quartiles.low, quartiles.high
            )
        };
        table.row(vec![
            kind.name.clone(),
            cell(&kind.authenticate),
            format!("{:.1}", quartiles_of(&kind.cpu).median),
            cell(&kind.login),
            kind.login.len().to_string(),
        ]);
    }
    table
}

fn ratios(kinds: &[Kind]) -> Table {
    let [floor, prompt, control] = ["floor", "promptok", CONTROL].map(|name| find(kinds, name));
    let mut table = Table::new(&[
        "",
        "÷ sum",
        "÷ control",
        "on a CPU",
        "÷ module 1",
        "on a CPU",
    ]);
    for kind in kinds.iter().filter(|kind| kind.name.contains("module")) {
        let (what, _) = kind.name.split_once(", ").unwrap();
        let first = find(kinds, &format!("{what}, module 1"));
        let cell = |others: &[&Kind]| {
            let others: Vec<_> = others.iter().map(|other| &*other.login).collect();
            let quartiles = ratio(&kind.login, &others, BLOCK);
            let (low, high) = (quartiles.low, quartiles.high);
            format!("{:.2} {low:.2}–{high:.2}", quartiles.median)
        };
        let on_cpu = |other: &Kind| {
            let quartiles = ratio(&kind.cpu, &[&other.cpu], BLOCK);
            format!("{:.2}", quartiles.median)
        };
        table.row(vec![
            kind.name.clone(),
            cell(&[prompt, floor]),
            cell(&[control]),
            on_cpu(control),
            cell(&[first]),
            on_cpu(first),
        ]);
    }
    table
}

fn costs(counted: &[(&str, Instructions, Calls)]) -> Table {
    let mut table = Table::new(&[
        "",
        "instructions",
        "system calls",
        "fsync",
        "opened",
        "read",
        "written",
        "logged",
    ]);
    for (name, instructions, calls) in counted {
        table.row(vec![
            (*name).to_owned(),
            instructions.all.to_string(),
            calls.0.len().to_string(),
            calls.syncs().to_string(),
            calls.opened().to_string(),
            calls.bytes_read().to_string(),
            calls.bytes_written().to_string(),
            calls.bytes_logged().to_string(),
        ]);
    }
    table
}

fn tell_parts(name: &str, instructions: &Instructions, calls: &Calls) {
    let table = |head: &str, counts: &[(String, u64)]| {
        let mut table = Table::new(&[head, "instructions", "%"]);
        for (what, count) in counts.iter().take(SHOWN) {
            let share = *count as f64 * 100.0 / instructions.all as f64;
            let what = what.chars().take(70).collect();
            table.row(vec![what, count.to_string(), format!("{share:.1}")]);
        }
        table.text()
    };
    println!(
        "{name}: instructions by file of code\n{}",
        table("", &instructions.by_object)
    );
    println!(
        "{name}: instructions by function (names: CARGO_PROFILE_RELEASE_STRIP=none)\n{}",
        table("", &instructions.by_function)
    );
    let names: Vec<_> = calls
        .by_name()
        .into_iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("{name}: system calls: {}", names.join(", "));
    for call in &calls.0 {
        let line = format!("  {}({})", call.name, call.arguments);
        println!("{}", line.chars().take(100).collect::<String>());
    }
    println!();
}
