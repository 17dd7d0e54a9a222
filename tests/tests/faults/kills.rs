//! Logins killed at moments that no system call has to do with: a login of each kind gets SIGKILL some microseconds after
//! its hook began, evenly between that and its end, which `tests/pam/killed.c` sees to. One that was quicker is
//! done once more.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mfa_tests::pam_host::{SUCCESS, Seen, built};
use mfa_tests::{on_a_bare_host, proof};

use crate::aftermath::{HALF_MADE, Login, REFUSED, RIGHT, clean_meanings, look_after};
use crate::crew::{Tally, WORKERS, share};
use crate::scenes::{SCENES, Scene};
use crate::stage::{Stage, enrolled_host};
use crate::ways_in::WAYS_IN;

const BEFORE: &str = "logins killed between two moments of their own, before the first prompt";
const AFTER: &str = "logins killed after the first prompt, before an answer was given to the host";
const AFTER_RESULT: &str = "logins killed between two hooks";
const QUICKER: &str = "logins that were quicker than their kill";

/// Kinds of logins that are killed, by their keys.
const KINDS: [&str; 7] = [
    "right", "notice", "phases", "enter", "first", "anew", "change",
];

#[test]
fn a_login_killed_at_any_moment_costs_the_next_one_nothing() {
    on_a_bare_host(|_| {
        let tally = Tally::default();
        let kills = proof::rounds(200, 10_000) / KINDS.len();
        let all = SCENES.iter().chain(WAYS_IN);
        let kinds: Vec<_> = all.filter(|scene| KINDS.contains(&scene.key)).collect();
        assert_eq!(kinds.len(), KINDS.len());
        for scene in kinds {
            kill_logins(scene, kills, &tally);
        }
        tally.expect_no_findings();
        let parts = [BEFORE, AFTER, AFTER_RESULT].map(|part| tally.count(part));
        assert_eq!(parts.iter().sum::<usize>(), kills * KINDS.len());
        assert!(
            parts[0] > kills / 4 && parts[1] > kills / 4,
            "the kills are all in one place: {parts:?}"
        );
        proof::tell(
            "faults-kills",
            "Logins killed at any moment",
            &tally.rows(&[
                BEFORE,
                AFTER,
                AFTER_RESULT,
                QUICKER,
                HALF_MADE,
                REFUSED,
                RIGHT,
            ]),
        );
    });
}

/// One worker's host, and how long a login takes there.
struct Place<'a> {
    stage: Stage<'a>,
    /// In microseconds; grows and shrinks with what is seen, so that about half of the kills come in time.
    length: f64,
}

fn kill_logins(scene: &Scene, kills: usize, tally: &Tally) {
    let (host, app) = enrolled_host(scene);
    let mut stage = Stage::new(scene, &host, &app);
    let meanings = clean_meanings(&mut stage);
    let length = clean_length(&mut stage);
    let places = (0..WORKERS).map(|_| Place {
        stage: Stage::new(scene, &host, &app),
        length,
    });
    let jobs: Vec<_> = (0..kills).collect();
    share(
        scene.title,
        &jobs,
        places.collect(),
        tally,
        |place, &job| {
            let (seen, answers, moment) = kill_one(place, job, tally)?;
            let login = Login {
                answers: &answers,
                has_let_in: seen.results().first() == Some(&SUCCESS),
                may_be_cut_short: true,
                may_be_torn: false,
                may_be_done_unsaid: true,
            };
            look_after(&mut place.stage, &login, &meanings, tally)
                .map_err(|what| format!("killed after {moment} µs\n{what}\n{seen}"))
        },
    );
    wait_for_couriers();
}

fn script(stage: &mut Stage<'_>) -> (Vec<String>, String) {
    stage.begin();
    let answers = stage.answers();
    let mut calls = vec!["getuser"];
    calls.extend(stage.scene.hooks);
    calls.push("getuser");
    let script = stage.script(&answers, &calls);
    (answers, script)
}

fn play(stage: &Stage<'_>, script: &str, moment: i64) -> Seen {
    let through = [
        built("killed").display().to_string(),
        moment.to_string(),
        "USER ".to_owned(),
    ];
    let player = stage.host.player().service(stage.scene.service);
    player.through(&through).play(script)
}

/// How long the hooks of a login take that nobody kills, in microseconds: the median of a few.
fn clean_length(stage: &mut Stage<'_>) -> f64 {
    let mut all: Vec<f64> = (0..9)
        .map(|_| {
            let (_, script) = script(stage);
            let seen = play(stage, &script, -1);
            let took = seen.starting("TOOK ")[0].rsplit(' ').next().unwrap();
            took.parse().unwrap()
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Kills one login between the beginning of its first hook and the end of its last one.
fn kill_one(
    place: &mut Place<'_>,
    job: usize,
    tally: &Tally,
) -> Result<(Seen, Vec<String>, i64), String> {
    for attempt in 0..200 {
        let (answers, script) = script(&mut place.stage);
        #[expect(clippy::cast_possible_truncation, reason = "microseconds of a login")]
        let moment = (place.length * fraction(job, attempt)) as i64;
        let seen = play(&place.stage, &script, moment);
        let marks = seen.starting("USER ").len();
        if seen.code == Some(137) && marks == 1 {
            place.length *= 1.02;
            let part = if !seen.results().is_empty() {
                AFTER_RESULT
            } else if seen.prompts().is_empty() {
                BEFORE
            } else {
                AFTER
            };
            tally.add(part, 1);
            return Ok((seen, answers, moment));
        }
        if !matches!(seen.code, Some(0 | 3 | 4 | 137)) {
            return Err(format!("ended by itself\n{seen}"));
        }
        place.length *= 0.98;
        tally.add(QUICKER, 1);
    }
    Err("two hundred logins were quicker than their kills".to_owned())
}

/// Between 0 and 1, the same for the same numbers every time (splitmix64).
fn fraction(job: usize, attempt: usize) -> f64 {
    let mut mixed = (job as u64 * 1000 + attempt as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    #[expect(clippy::cast_precision_loss, reason = "52 bits are enough")]
    let fraction = ((mixed ^ (mixed >> 31)) >> 12) as f64 / (1_u64 << 52) as f64;
    fraction
}

/// A courier whose login was killed sees that, and ends.
fn wait_for_couriers() {
    let begin = Instant::now();
    while is_a_courier_there() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "a courier does not end"
        );
        sleep(Duration::from_millis(50));
    }
}

fn is_a_courier_there() -> bool {
    fs::read_dir("/proc").unwrap().any(|entry| {
        let stat = entry.unwrap().path().join("stat");
        fs::read_to_string(stat)
            .is_ok_and(|stat| stat.contains("(mfa-courier)") && !stat.contains(") Z"))
    })
}
