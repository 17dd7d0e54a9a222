//! Crowds, full and read-only disks, files that are missing or empty, and odd hosts.

use std::fs;
use std::process::Command;

use mfa_tests::pam_host::SUCCESS;
use mfa_tests::proof;

use crate::arena::{Arena, PEOPLE, each};
use crate::codes::{PATIENCE, of, refused};
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "50 users at once, each with a right code, let in",
        "50 processes with open prompts, a user each, all answer at once; 10 rounds, the least and the most. Right: 50.",
        crowd,
    ),
    Case::new(
        "A right code on a full disk | … the same code once more there",
        "The store on a file system without a free block. Right: let in, or refused because it can't be written down; never twice.",
        full_disk,
    ),
    Case::new(
        "A right code on a read-only disk | … the same code once more there",
        "The same on a file system that is mounted read-only.",
        read_only_disk,
    ),
    Case::new(
        "A right code, and the secret file is empty",
        "Record, secret file or users file of no bytes. Right: refused.",
        empty_file,
    ),
    Case::new(
        "A right code, and the secret file is gone",
        "The same without the file. Right: refused.",
        missing_file,
    ),
    Case::new(
        "A host program without an answer for the prompt",
        "The conversation succeeds with a reply without text; with no reply at all. Right: refused; wrong: the host program dies.",
        null_answer,
    ),
    Case::new(
        "A FIFO in the place of the secret file",
        "With nobody at its other end; a login is given 2 seconds. Right: refused at once.",
        fifo,
    ),
];

fn crowd(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let rounds = proof::rounds(2, 10);
    vec![each(|module| {
        let counts: Vec<_> = (0..rounds)
            .map(|_| {
                arena.put_back();
                let code = arena.code_for(5);
                let script = format!("user p%i\ndo barrier\nanswer text {code}\nauthenticate\n");
                arena
                    .play(module, &["--parallel", "50"], &script)
                    .count(SUCCESS)
            })
            .collect();
        of(&counts, PEOPLE, PEOPLE)
    })]
}

/// A right code twice, on a small file system of its own to which something was done.
fn on_a_small_disk(arena: &Arena<'_>, spoil: &dyn Fn(&str)) -> Vec<[Outcome; 3]> {
    const FOLDER: &str = "/run/small";
    let mut twice = Vec::new();
    let first = each(|module| {
        fs::create_dir_all(FOLDER).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=16m", "small", FOLDER]);
        let small = Arena::below(arena.machine, FOLDER, 2);
        spoil(FOLDER);
        let code = small.code_for(5);
        let got_in = [(); 2].map(|()| small.gets_in(module, "p1", &code));
        run("umount", &["-l", FOLDER]);
        twice.push(if got_in[1] {
            Outcome::judged("let in", false)
        } else {
            Outcome::judged("refused", true)
        });
        Outcome::judged(if got_in[0] { "let in" } else { "refused" }, true)
    });
    vec![first, twice.try_into().unwrap()]
}

fn full_disk(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    on_a_small_disk(arena, &|folder| {
        let filler = format!(
            "cat /dev/zero >{folder}/filler 2>/dev/null; ! echo more >{folder}/one-more 2>/dev/null"
        );
        run("sh", &["-c", &filler]);
    })
}

fn read_only_disk(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    on_a_small_disk(arena, &|folder| run("mount", &["-o", "remount,ro", folder]))
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn empty_file(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| {
        fs::write(arena.secret_file(module, "p1"), "").unwrap();
        refused(!arena.gets_in(module, "p1", &arena.code_for(5)))
    })]
}

fn missing_file(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| {
        fs::remove_file(arena.secret_file(module, "p1")).unwrap();
        refused(!arena.gets_in(module, "p1", &arena.code_for(5)))
    })]
}

fn null_answer(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| {
        let died = ["null", "nullarray"].iter().any(|answer| {
            // Killed, where it has not died of that: `timeout` says of both that there is no exit code.
            let script = format!("user p1\nanswer {answer}\nauthenticate\n");
            let seen = arena.player(module).killed_after(PATIENCE).play(&script);
            assert_eq!(seen.count(SUCCESS), 0, "{seen}");
            seen.results().is_empty()
        });
        Outcome::judged(if died { "host dies" } else { "refused" }, !died)
    })]
}

fn fifo(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| {
        let file = arena.secret_file(module, "p1");
        fs::remove_file(&file).unwrap();
        run("mkfifo", &["-m", "600", file.to_str().unwrap()]);
        let code = arena.code_for(5);
        let script = mfa_tests::pam_host::login_script("p1", &[&code]);
        let seen = arena.player(module).killed_after(PATIENCE).play(&script);
        assert_eq!(seen.count(SUCCESS), 0, "{seen}");
        let hung = seen.code.is_none();
        Outcome::judged(if hung { "hangs" } else { "refused" }, !hung)
    })]
}
