//! How many guesses are looked at.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::pam_host::SUCCESS;
use mfa_tests::proof;
use mfa_tests::stopwatch::Stopwatch;

use crate::arena::{Arena, Module, each, write_private};
use crate::codes::let_in;
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "A right code at one of 50 prompts, after 49 wrong ones",
        "50 processes with open prompts; 49 answer with a wrong code at once, and when they have ended the last one with the right code. How often it \
         got in, of 10 rounds. Right: never, the limit on guesses is long passed.",
        right_one_of_fifty,
    ),
    Case::new(
        "A right code among 49 wrong ones, all at once",
        "50 processes with open prompts, all answer at once, one of them with the right code. How often it got in, of 30 rounds. Right: about as often as \
         it is among the first, 5 of 50 for pam_mfa: 3 of 30; up to 9 is chance.",
        right_one_among_fifty,
    )
    .long(),
    Case::new(
        "Wrong codes looked at, 16 processes, 10 s | … with nothing said of a limit",
        "16 processes guess as fast as they can. Counted are those that were compared with the secret: our `MFA-2101`, \
         pam_google_authenticator's \"Invalid verification code\" (it logs apart what its `RATE_LIMIT` stops), every refusal of pam_oath, which has no \
         limit. Right: no more than the limit that is set, 5 a minute for pam_mfa, 3 in 30 s for pam_google_authenticator. Then \
         without `RATE_LIMIT`, which users of pam_google_authenticator have to ask for; 5 were right.",
        guesses_looked_at,
    ),
    Case::new(
        "The user's own right code after 20 wrong ones of others",
        "20 wrong codes, then the right one. A limit on guesses keeps the user out as well, for up to a minute with pam_mfa's defaults (a lock of 15 minutes at \
         the tenth in a row); `mfa-admin user unlock` ends it. Right: let in.",
        kept_out_by_others,
    )
    .conceded(),
];

fn right_one_of_fifty(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let rounds = proof::rounds(2, 10);
    let wrong = arena.app.wrong_code();
    vec![each(|module| {
        let mut inside = 0;
        for round in 1..=rounds {
            let done = arena.path("done");
            let _ = fs::remove_dir_all(&done);
            fs::create_dir(&done).unwrap();
            let folder = done.display();
            let code = arena.code_for(10);
            let script = format!(
                "user p{round}\ndo barrier\nanswer run if [ %i = 50 ]; then while [ $(ls {folder} | wc -l) -lt 49 ]; do sleep 0.05; done; \
                 echo {code}; else echo {wrong}; fi\nauthenticate\nrun touch {folder}/%i\n"
            );
            let seen = arena.play(module, &["--parallel", "50"], &script);
            assert_eq!(seen.results().len(), 50, "{seen}");
            inside += seen.count(SUCCESS);
        }
        Outcome::judged(format!("let in {inside} of {rounds}"), inside == 0)
    })]
}

fn right_one_among_fifty(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let rounds = proof::rounds(1, 30);
    let wrong = arena.app.wrong_code();
    vec![each(|module| {
        let mut inside = 0;
        for round in 1..=rounds {
            let code = arena.code_for(5);
            let script = format!(
                "user p{round}\ndo barrier\nanswer run [ %i = 25 ] && echo {code} || echo {wrong}\nauthenticate\n"
            );
            inside += arena
                .play(module, &["--parallel", "50"], &script)
                .count(SUCCESS);
        }
        Outcome::judged(
            format!("let in {inside} of {rounds}"),
            inside * 10 <= rounds * 3,
        )
    })]
}

fn guesses_looked_at(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let as_recommended = each(|module| count_guesses(arena, module, [5, 3, 0]));
    arena.put_back();
    let file = arena.secret_file(Module::Google, "p1");
    let text = fs::read_to_string(&file).unwrap();
    write_private(&file, &text.replace("\" RATE_LIMIT 3 30\n", ""));
    vec![
        as_recommended,
        each(|module| count_guesses(arena, module, [5; 3])),
    ]
}

fn count_guesses(arena: &Arena<'_>, module: Module, limits: [usize; 3]) -> Outcome {
    let seconds = proof::rounds(1, 10);
    let wrong = arena.app.wrong_code();
    let confdir = arena.path("pam.d");
    let mark = arena.machine.mark();
    let deadline = Instant::now() + Duration::from_secs(seconds as u64);
    let guessed: usize = thread::scope(|scope| {
        let guessers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| guess_until(deadline, &confdir, module, &wrong)))
            .collect();
        guessers
            .into_iter()
            .map(|guesser| guesser.join().unwrap())
            .sum()
    });
    let log = arena.machine.log_since(mark);
    let logged = |text: &str| log.iter().filter(|line| line.text.contains(text)).count();
    let count = match module {
        Module::Ours => logged("id=MFA-2101 "),
        Module::Google => logged("Invalid verification code"),
        Module::Oath => guessed,
    };
    assert!(
        guessed >= 16 && count > 0,
        "{module:?}: {count} of {guessed}"
    );
    Outcome::judged(
        format!("{count} in {seconds} s"),
        count <= limits[module as usize],
    )
}

fn guess_until(deadline: Instant, confdir: &Path, module: Module, wrong: &str) -> usize {
    let mut watch = Stopwatch::start(confdir);
    let mut guessed = 0;
    while Instant::now() < deadline {
        let (result, _) = watch.time(module.service(), "p1", wrong, None);
        assert_ne!(result, 0, "{module:?}: a wrong code got in");
        guessed += 1;
    }
    guessed
}

fn kept_out_by_others(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let wrong = arena.app.wrong_code();
    let guess = format!("answer text {wrong}\nauthenticate\nrestart\n");
    vec![each(|module| {
        arena.play(module, &[], &format!("user p1\n{}", guess.repeat(20)));
        let code = arena.code_for(5);
        let_in(arena.gets_in(module, "p1", &code))
    })]
}
