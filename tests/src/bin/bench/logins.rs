//! Kinds of logins, timed in turn.

use mfa_tests::Authenticator;
use mfa_tests::stopwatch::Stopwatch;

use crate::kind::Kind;
use crate::progress::Progress;
use crate::site::Site;

/// Logins of one kind that follow each other before another kind's turn.
pub(crate) const BLOCK: usize = 20;

/// In blocks, so that each kind finds the caches as its own last login left them. The first tenth warms up.
pub(crate) fn run_in_blocks(
    site: &Site,
    kinds: &mut [Kind],
    blocks: usize,
    progress: &mut Progress,
) {
    let mut stopwatch = Stopwatch::start(&site.services());
    let wrong = site.app.wrong_code();
    for block in 0..blocks {
        progress.at(block, blocks);
        for kind in &mut *kinds {
            let code = answer(&site.app, kind, &wrong);
            for turn in 0..if kind.is_slow { 1 } else { BLOCK } {
                let turn = if kind.is_slow {
                    block
                } else {
                    block * BLOCK + turn
                };
                time_one(
                    &mut stopwatch,
                    kind,
                    turn,
                    &code,
                    block >= blocks.div_ceil(11),
                );
            }
        }
    }
}

/// One login of each kind in turn, in an order that changes: what came before is no part of the difference.
pub(crate) fn run_shuffled(site: &Site, kinds: &mut [Kind], turns: usize, progress: &mut Progress) {
    let mut stopwatch = Stopwatch::start(&site.services());
    let wrong = site.app.wrong_code();
    let mut random: u64 = 1;
    for turn in 0..turns {
        progress.at(turn, turns);
        for last in (1..kinds.len()).rev() {
            // A multiplicative generator: shuffling needs no better one.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            kinds.swap(last, usize::try_from(random >> 33).unwrap() % (last + 1));
        }
        for kind in &mut *kinds {
            let code = answer(&site.app, kind, &wrong);
            time_one(
                &mut stopwatch,
                kind,
                turn,
                &code,
                turn >= turns.div_ceil(11),
            );
        }
    }
}

/// What a kind of login answers now.
pub(crate) fn answer(app: &Authenticator, kind: &Kind, wrong: &str) -> String {
    if kind.is_right {
        app.code_of(app.step())
    } else {
        wrong.to_owned()
    }
}

fn time_one(stopwatch: &mut Stopwatch, kind: &mut Kind, turn: usize, code: &str, counts: bool) {
    let lap = stopwatch.obey(&kind.command("login", turn, code));
    kind.expect(lap);
    if counts {
        kind.keep(lap);
    }
}
