//! One code lets in once, and only for as long as it is meant to.

use std::time::Duration;

use mfa_tests::pam_host::{SUCCESS, login_script};
use mfa_tests::{Sshd, Terminal, proof};

use crate::arena::{Arena, Module, each};
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "One code from 50 processes at once lets in",
        "50 processes of one user, each held at its open prompt until all are there, then the same right code from all. The most that got in, \
         over 20 rounds. Right: 1.",
        same_code_at_once,
    ),
    Case::new(
        "One code from 10 ssh clients at once lets in",
        "The same with a real sshd and ten OpenSSH clients, 5 rounds.",
        ssh_clients_at_once,
    ),
    Case::new(
        "The same code a second time",
        "Two logins, one after the other. Right: refused.",
        replay,
    ),
    Case::new(
        "The same, with no word on replays in the configuration",
        "pam_google_authenticator without `DISALLOW_REUSE`, which its users have to ask for. Right: refused.",
        replay_by_default,
    ),
    Case::new(
        "A used code again, after the clock stood an hour back",
        "A login; with the clock an hour back (libfaketime) a login with the code of that time; with the right clock the first code again. \
         Right: refused.",
        replay_after_the_clock_was_back,
    ),
    Case::new(
        "A login while the clock stands an hour back",
        "The login in the middle of the case above. pam_mfa refuses codes from before the last one that it accepted (`MFA-4003`) until the clock is right \
         or an administrator says `state set-clock`. Right: let in.",
        login_while_the_clock_is_back,
    )
    .conceded(),
    Case::new(
        "Steps whose codes are accepted, by default",
        "Codes of 8 steps before to 8 after the present one, each on its own; pam_oath without `window=`. Right: at most one step of delay \
         (RFC 6238, 5.2).",
        steps_accepted,
    ),
];

fn same_code_at_once(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let rounds = proof::rounds(3, 20);
    vec![each(|module| {
        let mut counts = Vec::new();
        for round in 1..=rounds {
            let code = arena.code_for(5);
            let script = format!("user p{round}\ndo barrier\nanswer text {code}\nauthenticate\n");
            counts.push(
                arena
                    .play(module, &["--parallel", "50"], &script)
                    .count(SUCCESS),
            );
        }
        of(&counts, 50, 1)
    })]
}

/// `1 of 50`, or `1 to 3 of 50`; right where each is `right`.
pub(crate) fn of(counts: &[usize], all: usize, right: usize) -> Outcome {
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    let range = if least == most {
        format!("{most}")
    } else {
        format!("{least} to {most}")
    };
    Outcome::judged(
        format!("{range} of {all}"),
        counts.iter().all(|&count| count == right),
    )
}

fn ssh_clients_at_once(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    const CLIENTS: usize = 10;
    let rounds = proof::rounds(1, 5);
    vec![each(|module| {
        let sshd = arena
            .machine
            .start_sshd(&arena.stack(module, &arena.arguments(module)), &[]);
        let counts: Vec<_> = (1..=rounds)
            .map(|round| clients_let_in(arena, &sshd, module, &format!("p{round}"), CLIENTS))
            .collect();
        of(&counts, CLIENTS, 1)
    })]
}

fn clients_let_in(
    arena: &Arena<'_>,
    sshd: &Sshd,
    module: Module,
    name: &str,
    clients: usize,
) -> usize {
    let mut terminals: Vec<Terminal> = (0..clients).map(|_| sshd.ssh(name).start()).collect();
    let prompt = if module == Module::Oath {
        format!("(OATH) for `{name}': ")
    } else {
        "Verification code: ".to_owned()
    };
    for terminal in &mut terminals {
        terminal.expect_prompt(&prompt);
    }
    let code = arena.code_for(5);
    for terminal in &mut terminals {
        terminal.type_line(&code);
    }
    // Whoever is refused is asked again, and hangs up.
    let talks = terminals
        .into_iter()
        .map(|terminal| terminal.talk_freely(|_| None));
    talks.filter(|talk| talk.exit == 0).count()
}

fn replay(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| second_time(arena, module))]
}

fn second_time(arena: &Arena<'_>, module: Module) -> Outcome {
    let code = arena.code_for(5);
    assert!(arena.gets_in(module, "p1", &code), "{module:?}");
    refused(!arena.gets_in(module, "p1", &code))
}

pub(crate) fn refused(is_refused: bool) -> Outcome {
    Outcome::judged(if is_refused { "refused" } else { "let in" }, is_refused)
}

fn replay_by_default(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let file = arena.secret_file(Module::Google, "p1");
    let text = std::fs::read_to_string(&file).unwrap();
    crate::arena::write_private(&file, &text.replace("\" DISALLOW_REUSE\n", ""));
    vec![each(|module| second_time(arena, module))]
}

/// A login, one an hour back, and the first code again: whether the last two got in.
fn around_the_clock(arena: &Arena<'_>, module: Module) -> (bool, bool) {
    let code = arena.code_for(5);
    assert!(arena.gets_in(module, "p1", &code), "{module:?}");
    let earlier = arena.app.code_of(arena.app.step() - 120);
    let script = login_script("p1", &[&earlier]);
    let back = arena.player(module).clock("-3600").play(&script);
    (back.count(SUCCESS) == 1, arena.gets_in(module, "p1", &code))
}

fn replay_after_the_clock_was_back(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| refused(!around_the_clock(arena, module).1))]
}

fn login_while_the_clock_is_back(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| let_in(around_the_clock(arena, module).0))]
}

pub(crate) fn let_in(is_in: bool) -> Outcome {
    Outcome::judged(if is_in { "let in" } else { "refused" }, is_in)
}

fn steps_accepted(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let oath = arena.arguments(Module::Oath).replace(" window=1", "");
    arena.write_service(Module::Oath, &oath);
    vec![each(|module| {
        arena.app.wait_for_room(10);
        let step = arena.app.step();
        // Each with a person of their own: neither a limit nor a code that was used stands in the way.
        let accepted: Vec<i64> = (-8..=8)
            .zip(1..)
            .filter(|(offset, person)| {
                let code = arena.app.code_of(step.checked_add_signed(*offset).unwrap());
                arena.gets_in(module, &format!("p{person}"), &code)
            })
            .map(|(offset, _)| offset)
            .collect();
        assert!(!accepted.is_empty(), "{module:?} accepts no code");
        let (first, last) = (accepted[0], accepted[accepted.len() - 1]);
        Outcome::judged(format!("{first:+} to {last:+}"), first >= -1 && last <= 1)
    })]
}

/// How long something may take that is to end by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
