//! `kill -9` at every system call of a login, one after the other, and what the host is like afterwards.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use mfa_tests::pam_host::login_script;
use mfa_tests::proof;

use crate::arena::{Arena, Module, hex};
use crate::codes::PATIENCE;
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[Case::new(
    "Killed (-9) in a login: files left over | … with the secret in them | … the user's next login | … another user's next login",
    "strace kills a login with a right code before each system call on files that follows the answer, one run for each; then the folder is looked \
     through, and the user (with the code of the next step) and another one log in. The files are the most that one kill left. Right: none; every next login.",
    killed_anywhere,
)];

/// Calls that touch files.
const CALLS: [&str; 22] = [
    "openat",
    "close",
    "read",
    "write",
    "pread64",
    "pwrite64",
    "lseek",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "linkat",
    "fchmod",
    "fchown",
    "chmod",
    "chown",
    "flock",
    "fcntl",
];

/// What kills left.
#[derive(Default)]
struct Aftermath {
    kills: usize,
    left_over: usize,
    with_secret: usize,
    next_logins: usize,
    logins_of_others: usize,
}

fn killed_anywhere(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let seen = Module::ALL.map(|module| kill_everywhere(arena, module));
    let of =
        |judge: &dyn Fn(&Aftermath) -> Outcome| [judge(&seen[0]), judge(&seen[1]), judge(&seen[2])];
    let all = |count: usize, seen: &Aftermath| {
        Outcome::judged(format!("{count} of {}", seen.kills), count == seen.kills)
    };
    vec![
        of(&|seen| Outcome::judged(seen.left_over.to_string(), seen.left_over == 0)),
        of(&|seen| {
            Outcome::judged(
                if seen.with_secret == 0 { "no" } else { "yes" },
                seen.with_secret == 0,
            )
        }),
        of(&|seen| all(seen.next_logins, seen)),
        of(&|seen| all(seen.logins_of_others, seen)),
    ]
}

fn kill_everywhere(arena: &Arena<'_>, module: Module) -> Aftermath {
    arena.put_back();
    let mut points = points_after_the_answer(arena, module);
    let kept = proof::rounds(5, points.len());
    // The short form takes some, spread over all of them.
    let all = points.len();
    points = (0..kept.min(all))
        .map(|at| points[at * all / kept.min(all)].clone())
        .collect();
    let mut aftermath = Aftermath::default();
    for (call, number) in points {
        arena.put_back();
        arena.app.wait_for_room(6);
        let step = arena.app.step();
        let (now, next) = (arena.app.code_of(step), arena.app.code_of(step + 1));
        let before = files(&arena.store(module));
        let strace = format!(
            "exec strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={number} \"$@\""
        );
        let seen = arena
            .player(module)
            .before(&strace)
            .killed_after(PATIENCE * 5)
            .play(&login_script("p1", &[&now]));
        if seen.results().len() == 1 {
            // It took another way this time, and was not met.
            continue;
        }
        aftermath.kills += 1;
        let after = files(&arena.store(module));
        let new: Vec<_> = after
            .iter()
            .filter(|(name, _)| !before.contains_key(*name))
            .collect();
        aftermath.left_over = aftermath.left_over.max(new.len());
        aftermath.with_secret += new
            .iter()
            .filter(|(_, content)| holds_secret(arena, content))
            .count();
        aftermath.next_logins += usize::from(arena.gets_in(module, "p1", &next));
        aftermath.logins_of_others += usize::from(arena.gets_in(module, "p2", &now));
    }
    assert!(aftermath.kills > 2, "{module:?}: {} kills", aftermath.kills);
    aftermath
}

/// Each call on files of a login after its answer: the name, and the how many-th of that name in the whole process it is.
fn points_after_the_answer(arena: &Arena<'_>, module: Module) -> Vec<(String, usize)> {
    const TRACE: &str = "/run/kills.strace";
    let code = arena.code_for(6);
    let strace = format!("exec strace -f -qq -o {TRACE} \"$@\"");
    let seen = arena
        .player(module)
        .before(&strace)
        .play(&login_script("p1", &[&code]));
    assert_eq!(seen.results(), ["PAM_SUCCESS"], "{seen}");
    let text = fs::read_to_string(TRACE).unwrap();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut points = Vec::new();
    let mut is_answered = false;
    for line in text.lines() {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let name = call.split('(').next().unwrap();
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        if call.contains("RESULT authenticate") {
            break;
        }
        if is_answered && CALLS.contains(&name) {
            points.push((name.to_owned(), *count));
        }
        is_answered |= call.contains("PROMPT echo_off");
    }
    assert!(points.len() > 2, "{text}");
    points
}

/// The files below a folder, with what is in them.
fn files(folder: &Path) -> HashMap<String, Vec<u8>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Whether somebody who reads `content` can make codes: it holds the secret, in base32, in hexadecimal or as it is.
pub(crate) fn holds_secret(arena: &Arena<'_>, content: &[u8]) -> bool {
    let secret = &arena.app.secret;
    let in_hex = hex(secret);
    let raw: Vec<u8> = (0..in_hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&in_hex[at..at + 2], 16).unwrap())
        .collect();
    [secret.as_bytes(), in_hex.as_bytes(), &raw]
        .iter()
        .any(|form| content.windows(form.len()).any(|window| window == *form))
}
