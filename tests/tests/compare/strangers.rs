//! What a stranger learns, and what the log keeps.

use std::fs;

use mfa_tests::pam_host::RHOST;
use mfa_tests::proof;
use mfa_tests::stopwatch::{Shuffle, Stopwatch, median, told_apart};

use crate::arena::{Arena, Module, copy, each, people, write_private};
use crate::codes::refused;
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "What somebody unknown sees, beside a wrong code",
        "Prompts and PAM's result, for a user with a wrong code, for an account without a record and for a name that nobody has. Right: no difference.",
        unknown_people,
    ),
    Case::new(
        "A user name of `../x` is followed out of the store",
        "A record, secret file or users file of that user lies one folder above the store; pam_oath with a file for each user, `usersfile=…/${USER}`. \
         Right: refused.",
        name_with_dots,
    ),
    Case::new(
        "The log of a failure tells the address | … of a success tells user and address",
        "The lines in syslog after a wrong code, and after a right one; PAM_RHOST is set.",
        addresses,
    ),
    Case::new(
        "Wrong code ÷ right code, time",
        "Medians of pam_authenticate, 500 logins each, interleaved in random order in one process, the state put back before each. \
         Right: between 0.8 and 1.25.",
        wrong_beside_right,
    )
    .long(),
    Case::new(
        "Enrolled told from unknown by time alone (AUC)",
        "The area under the ROC curve of the time of one wrong code, of ten users with a record and six accounts without one, 500 logins each, as above; 0.5: it says \
         nothing, 1: it always tells. Right: at most 0.6.",
        enrolled_or_not,
    )
    .long(),
];

fn unknown_people(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let wrong = arena.app.wrong_code();
    vec![each(|module| {
        let saw = |user: &str| {
            let seen = arena.login(module, user, &wrong);
            let prompts: Vec<_> = seen
                .prompts()
                .iter()
                .map(|prompt| prompt.replace(user, "NAME"))
                .collect();
            (prompts, seen.results().join(" "))
        };
        let known = saw("p1");
        let differences: Vec<_> = ["mallory", "nobody-here"]
            .map(saw)
            .into_iter()
            .filter(|seen| *seen != known)
            .collect();
        match differences.first() {
            None => Outcome::Right("the same".to_owned()),
            Some((prompts, _)) if prompts.is_empty() => Outcome::Wrong("no prompt".to_owned()),
            Some(_) => Outcome::Wrong("something else".to_owned()),
        }
    })]
}

fn name_with_dots(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let folder = arena.host.folder.display();
    arena.write_service(
        Module::Oath,
        &format!("usersfile={folder}/oath/${{USER}} window=1"),
    );
    let users = fs::read_to_string(arena.path("oath/users")).unwrap();
    write_private(
        &arena.path("x"),
        &users.lines().next().unwrap().replace("p1", "../x"),
    );
    let ours = fs::read_to_string(arena.host.record_path("p1")).unwrap();
    write_private(
        &arena.path("lib/x.toml"),
        &ours.replace("\"p1\"", "\"../x\""),
    );
    copy(&arena.host.state_path("p1"), &arena.path("lib/x"));
    vec![each(|module| {
        if module == Module::Google {
            copy(&arena.secret_file(Module::Google, "p1"), &arena.path("x"));
        } else if module == Module::Oath {
            write_private(
                &arena.path("x"),
                &users.lines().next().unwrap().replace("p1", "../x"),
            );
        }
        refused(!arena.gets_in(module, "../x", &arena.code_for(5)))
    })]
}

fn addresses(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let wrong = arena.app.wrong_code();
    let failure = each(|module| {
        let seen = arena.login(module, "p1", &wrong);
        Outcome::feature(seen.log.iter().any(|event| event.text.contains(RHOST)))
    });
    let success = each(|module| {
        let seen = arena.login(module, "p2", &arena.code_for(5));
        let both = |text: &str| text.contains(RHOST) && text.contains("p2");
        Outcome::feature(seen.log.iter().any(|event| both(&event.text)))
    });
    vec![failure, success]
}

/// What a login writes, and what is written over it before the next: copies below `as-it-was`.
fn restored(
    arena: &Arena<'_>,
    module: Module,
    user: &str,
) -> (std::path::PathBuf, std::path::PathBuf) {
    let name = match module {
        Module::Ours => format!("lib/state/{user}"),
        Module::Google => format!("google/{user}"),
        Module::Oath => "oath/users".to_owned(),
    };
    (arena.path("as-it-was").join(&name), arena.path(&name))
}

/// Times of pam_authenticate of two lists of logins, user and code each, interleaved in random order.
fn interleaved(
    arena: &Arena<'_>,
    module: Module,
    rounds: usize,
    one: &[(String, String)],
    other: &[(String, String)],
) -> [Vec<u64>; 2] {
    let mut watch = Stopwatch::start(&arena.path("pam.d"));
    let mut shuffle = Shuffle::seeded(7);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds + rounds / 10 {
        let mut order = [0, 1];
        shuffle.shuffle(&mut order);
        for which in order {
            let list = [one, other][which];
            let (user, code) = &list[round % list.len()];
            let (saved, file) = restored(arena, module, user);
            let files = saved.exists().then_some((saved.as_path(), file.as_path()));
            let (_, time) = watch.time(module.service(), user, code, files);
            if round >= rounds / 10 {
                times[which].push(time);
            }
        }
    }
    times
}

fn wrong_beside_right(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let rounds = proof::rounds(20, 500);
    let wrong = arena.app.wrong_code();
    let ten = |code: &str| {
        people()
            .take(10)
            .map(|name| (name, code.to_owned()))
            .collect::<Vec<_>>()
    };
    vec![each(|module| {
        let right = arena.code_for(20);
        let [failures, successes] = interleaved(arena, module, rounds, &ten(&wrong), &ten(&right));
        let ratio = median(&failures) / median(&successes);
        Outcome::judged(format!("{ratio:.2} ×"), (0.8..=1.25).contains(&ratio))
    })]
}

fn enrolled_or_not(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let rounds = proof::rounds(20, 500);
    let wrong = arena.app.wrong_code();
    // Accounts of as many names, spread over /etc/passwd among those of the others.
    let enrolled: Vec<_> = people()
        .take(10)
        .map(|name| (name, wrong.clone()))
        .collect();
    let unknown: Vec<_> = ["alice", "bob", "carol", "dave", "erin", "mallory"]
        .map(|name| (name.to_owned(), wrong.clone()))
        .to_vec();
    vec![each(|module| {
        let [one, other] = interleaved(arena, module, rounds, &enrolled, &unknown);
        let told = told_apart(&one, &other);
        Outcome::judged(
            format!("{:.2} ± {:.2}", told.auc, told.within),
            told.auc <= 0.6,
        )
    })]
}
