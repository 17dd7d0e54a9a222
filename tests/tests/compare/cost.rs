//! What it takes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mfa_tests::stopwatch::{Stopwatch, median};
use mfa_tests::{module_path, target};

use crate::arena::{Arena, Module, each, hex, write_private};
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "100 000 users ÷ 10 users, time of a login",
        "Medians of pam_authenticate with a right code, 200 logins (pam_oath 40) with each number of users, interleaved, on a disk, warm. Right: at most 1.25.",
        many_users,
    )
    .long(),
    Case::new(
        "Size of the module on disk",
        "The file, and liboath for pam_oath.",
        size,
    )
    .conceded(),
];

/// People who log in, of those many.
const LOGGED_IN: usize = 10;

fn many_users(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let folder = target().join("compare/users");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let populations = [10, 100_000].map(|users| {
        (
            users,
            populated(arena, &folder.join(users.to_string()), users),
        )
    });
    Command::new("sync").status().unwrap();
    let outcomes = each(|module| {
        let rounds = if module == Module::Oath { 40 } else { 200 };
        let mut times = [Vec::new(), Vec::new()];
        let mut watches = [0, 1].map(|which| Stopwatch::start(&populations[which].1.path("pam.d")));
        for round in 0..rounds + rounds / 10 {
            for (which, (_, host)) in populations.iter().enumerate() {
                let user = format!("p{}", round % LOGGED_IN + 1);
                let name = match module {
                    Module::Ours => format!("lib/state/{user}"),
                    Module::Google => format!("google/{user}"),
                    Module::Oath => "oath/users".to_owned(),
                };
                let code = host.app.code_of(host.app.step());
                let (saved, file) = (host.path("as-it-was").join(&name), host.path(&name));
                let (result, time) =
                    watches[which].time(module.service(), &user, &code, Some((&saved, &file)));
                assert_eq!(
                    result, 0,
                    "{module:?}: {user} with {} users",
                    populations[which].0
                );
                if round >= rounds / 10 {
                    times[which].push(time);
                }
            }
        }
        let [few, many] = times.map(|times| median(&times));
        Outcome::judged(
            format!("{:.1} × ({few:.0}, {many:.0} µs)", many / few),
            many / few <= 1.25,
        )
    });
    let _ = fs::remove_dir_all(&folder);
    vec![outcomes]
}

/// `users` people on a disk, of whom the first ten log in. The others' files only lie there: they are links to those of people who
/// don't log in either, which is quicker to make, and as much to look through.
fn populated<'host>(arena: &Arena<'host>, folder: &Path, users: usize) -> Arena<'host> {
    /// More than so many links to one file ext4 does not take.
    const LINKS: usize = 50_000;
    let host = Arena::below(arena.machine, folder.to_str().unwrap(), LOGGED_IN);
    let mut oath = fs::read_to_string(host.path("oath/users")).unwrap();
    let secret = hex(&host.app.secret);
    let files = |name: &str| {
        let own = &host.host;
        [
            own.record_path(name),
            own.state_path(name),
            host.secret_file(Module::Google, name),
        ]
    };
    for number in LOGGED_IN..users {
        let name = format!("u{number:06}");
        let first = format!("u{:06}", LOGGED_IN.max(number / LINKS * LINKS));
        for ((file, model), original) in files(&name).iter().zip(files(&first)).zip(files("p1")) {
            if name == first {
                fs::copy(original, file).unwrap();
            } else {
                fs::hard_link(model, file).unwrap();
            }
        }
        writeln!(oath, "HOTP/T30 {name} - {secret}").unwrap();
    }
    for file in ["oath/users", "as-it-was/oath/users"] {
        write_private(&host.path(file), &oath);
    }
    host
}

fn size(_: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let library = |name: &str| {
        let folders = fs::read_dir("/usr/lib")
            .unwrap()
            .map(|entry| entry.unwrap().path());
        folders
            .map(|folder| folder.join(name))
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("{name}"))
    };
    vec![each(|module| {
        let files: Vec<PathBuf> = match module {
            Module::Ours => vec![module_path()],
            Module::Google => vec![library("security/pam_google_authenticator.so")],
            Module::Oath => vec![library("security/pam_oath.so"), library("liboath.so.0")],
        };
        let bytes: u64 = files
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum();
        Outcome::Told(format!("{} kB", bytes / 1000))
    })]
}
