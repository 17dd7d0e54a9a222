//! When it is looked at whether the key was changed.

use std::cell::Cell;

use super::*;
use crate::seal::Source;

thread_local! {
    /// How often a key was asked for where it is kept.
    pub(super) static LOOKS: Cell<u32> = const { Cell::new(0) };
}

/// A place where the key stays as it is, or can't be read any more.
struct Counted(Result<(), &'static str>);

impl Source for Counted {
    fn read_again(&self) -> Result<Option<SealingKey>, String> {
        LOOKS.set(LOOKS.get() + 1);
        self.0.map(|()| None).map_err(str::to_owned)
    }
}

fn scene_with(kept: Result<(), &'static str>) -> Scene {
    let mut scene = scene();
    scene.key = scene.key.from_source(Counted(kept));
    scene
}

#[test]
fn every_answer_that_is_judged_costs_one_look_before_anything_is_locked() {
    for user in ["alice", "nobody"] {
        for typed in [
            "000000",
            // As long as a recovery code.
            "0000-0000-0000-0001",
            // What sshd hands over for somebody it does not want: as long as either.
            "\u{8}\n\r\u{7f}IN",
            "\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r\u{7f}",
            "no code",
        ] {
            let mut scene = scene_with(Ok(()));
            if user == "nobody" {
                scene.request.asked_name = user.to_owned();
                scene.request.account = None;
            }
            let before = LOOKS.get();
            let login = scene.types(&[typed; 3]);
            assert_eq!(login.outcome, LoginOutcome::Refused, "{user}, {typed:?}");
            assert_eq!(LOOKS.get() - before, 3, "{user}, {typed:?}");
        }
    }
}

#[test]
fn a_key_that_can_not_be_read_any_more_opens_what_it_opened() {
    let scene = scene_with(Err("gone"));
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
}
