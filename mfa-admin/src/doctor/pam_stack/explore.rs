//! Every way through a stack that its modules' possible answers allow.
//!
//! Two ways that stand alike at the same line go on alike, so they are walked once: the number of
//! standings is small where the number of combinations of answers is not. Answers are taken as
//! independent of one another, which finds too many ways rather than too few.

use std::collections::HashSet;

use super::control::{Code, IGNORE, NEW_AUTHTOK_REQD, SUCCESS};
use super::dispatch::Walk;
use super::known::{Known, Role};
use super::service::Entry;

/// Standings looked at before giving up: a stack of a hundred lines has a few thousand.
const MOST_STANDINGS: usize = 200_000;

/// What our module said on the way; the best of its answers where it stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mfa {
    NotAsked,
    Skipped,
    Refused(Code),
    Accepted,
}

/// What the first factors said on the way; the best of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Proof {
    NotAsked,
    /// A module that may be a factor had nothing to say.
    Declined,
    Wrong,
    Right,
}

/// The line that led past ours, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Passer {
    pub(super) line: usize,
    pub(super) code: Code,
}

/// One way a stack can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ending {
    pub(super) verdict: Code,
    pub(super) mfa: Mfa,
    pub(super) proof: Proof,
    pub(super) passer: Option<Passer>,
}

impl Ending {
    /// Whether the application goes on with the login. A password that is to be changed does not
    /// stop one: the host has it changed and lets in.
    pub(super) fn lets_in(&self) -> bool {
        matches!(self.verdict, SUCCESS | NEW_AUTHTOK_REQD)
    }
}

/// All the ways through a stack.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    pub(super) endings: Vec<Ending>,
    /// Our module can be asked after a first factor refused and none agreed.
    pub(super) asked_after_wrong: bool,
    /// The stack was too intricate to be walked to its end.
    pub(super) incomplete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Standing {
    walk: Walk,
    mfa: Mfa,
    proof: Proof,
    passer: Option<Passer>,
}

/// Walks every way; `known` has an element for each line of `stack`.
pub(super) fn ways(stack: &[Entry], known: &[Known]) -> Ways {
    let mut found = Ways::default();
    let mut endings = HashSet::new();
    let mut seen = HashSet::new();
    let mut open = vec![Standing {
        walk: Walk::start(),
        mfa: Mfa::NotAsked,
        proof: Proof::NotAsked,
        passer: None,
    }];
    while let Some(mut standing) = open.pop() {
        let Some((line, _)) = standing.walk.line(stack) else {
            let ending = Ending {
                verdict: standing.walk.verdict(),
                mfa: standing.mfa,
                proof: standing.proof,
                passer: standing.passer,
            };
            if endings.insert(ending) {
                found.endings.push(ending);
            }
            continue;
        };
        if !seen.insert(standing.clone()) {
            continue;
        }
        if seen.len() > MOST_STANDINGS {
            found.incomplete = true;
            break;
        }
        let Some(module) = known.get(line) else {
            continue;
        };
        if module.role == Role::Mfa && standing.proof == Proof::Wrong {
            found.asked_after_wrong = true;
        }
        for &code in module.answers.iter().rev() {
            let mut next = standing.clone();
            match module.role {
                Role::Mfa => next.mfa = next.mfa.max(mfa_said(code)),
                Role::Factor => next.proof = next.proof.max(factor_said(code)),
                Role::Condition | Role::RootOk | Role::Plain => {}
            }
            let passed = next.walk.answer(stack, code).passed;
            let past_ours = stack
                .get(passed)
                .is_some_and(|lines| lines.iter().any(Entry::is_mfa));
            if past_ours && next.passer.is_none() {
                next.passer = Some(Passer { line, code });
            }
            open.push(next);
        }
    }
    found
}

fn mfa_said(code: Code) -> Mfa {
    match code {
        SUCCESS => Mfa::Accepted,
        IGNORE => Mfa::Skipped,
        code => Mfa::Refused(code),
    }
}

fn factor_said(code: Code) -> Proof {
    match code {
        SUCCESS | NEW_AUTHTOK_REQD => Proof::Right,
        IGNORE => Proof::Declined,
        _ => Proof::Wrong,
    }
}
