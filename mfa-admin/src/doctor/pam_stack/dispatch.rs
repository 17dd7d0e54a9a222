//! Walks a stack as libpam does.
//!
//! `libpam/pam_dispatch.c` (`_pam_dispatch_aux`) of Linux-PAM 1.5.2 on the first pass over a stack
//! (authenticate, `acct_mgmt`); the frozen second pass (setcred) is not modelled.

use std::ops::Range;

use super::control::{Action, Code, IGNORE, PERM_DENIED, SUCCESS};
use super::service::{Entry, Kind, LEVELS};

/// What the stack leans towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Impression {
    Undefined,
    Positive,
    Negative,
}

/// Impression and status, as they were when a substack was entered.
type Standing = (Impression, Code);

/// A place in a stack, and how things stand there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Walk {
    index: usize,
    /// The level of the line before.
    level: usize,
    standing: Standing,
    entered: [Standing; LEVELS],
}

/// What one line did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The lines that were skipped.
    pub(super) passed: Range<usize>,
    /// What the control made of the code.
    pub(super) action: Action,
}

impl Walk {
    pub(super) fn start() -> Self {
        let nothing = (Impression::Undefined, PERM_DENIED);
        Self {
            index: 0,
            level: 0,
            standing: nothing,
            entered: [nothing; LEVELS],
        }
    }

    /// The next line that answers, with its number; None at the end.
    pub(super) fn line<'a>(&mut self, stack: &'a [Entry]) -> Option<(usize, &'a Entry)> {
        loop {
            let entry = stack.get(self.index)?;
            if self.level < entry.level
                && let Some(slot) = self.entered.get_mut(entry.level)
            {
                *slot = self.standing;
            }
            self.level = entry.level;
            if entry.kind != Kind::Substack {
                return Some((self.index, entry));
            }
            self.index += 1;
        }
    }

    /// The line that `line` gave answers with `code`.
    pub(super) fn answer(&mut self, stack: &[Entry], code: Code) -> Step {
        let at = self.index;
        let action = stack
            .get(at)
            .map_or(Action::Bad, |entry| entry.control.action(code));
        let (impression, status) = self.standing;
        match action {
            Action::Ignore => {}
            Action::Reset => {
                if let Some(standing) = self.entered.get(self.level) {
                    self.standing = *standing;
                }
            }
            Action::Ok | Action::Done => {
                if impression == Impression::Undefined
                    || (impression == Impression::Positive && status == SUCCESS)
                {
                    self.standing = (Impression::Positive, code);
                }
                if action == Action::Done && self.standing.0 == Impression::Positive {
                    self.leave(stack);
                }
            }
            Action::Bad | Action::Die => {
                if impression != Impression::Negative {
                    let status = if code == IGNORE { PERM_DENIED } else { code };
                    self.standing = (Impression::Negative, status);
                }
                if action == Action::Die {
                    self.leave(stack);
                }
            }
            Action::Jump(lines) => self.jump(stack, lines),
        }
        let passed = at + 1..self.index + 1;
        self.index += 1;
        Step { passed, action }
    }

    /// The level of the line after the current one.
    fn next_level(&self, stack: &[Entry]) -> Option<usize> {
        stack.get(self.index + 1).map(|entry| entry.level)
    }

    /// Goes to the last line of the current substack.
    fn leave(&mut self, stack: &[Entry]) {
        while self
            .next_level(stack)
            .is_some_and(|next| next >= self.level)
        {
            self.index += 1;
        }
    }

    /// A substack below counts as one line with its marker; a jump past the end of its own denies.
    fn jump(&mut self, stack: &[Entry], lines: u32) {
        for _ in 0..lines {
            if self.next_level(stack).is_none_or(|next| next < self.level) {
                self.standing = (Impression::Negative, PERM_DENIED);
                return;
            }
            self.index += 1;
            while self.next_level(stack).is_some_and(|next| next > self.level) {
                self.index += 1;
            }
        }
    }

    /// What the application is told, once `line` has given None.
    pub(super) fn verdict(&self) -> Code {
        match self.standing {
            (Impression::Undefined | Impression::Negative, SUCCESS) => PERM_DENIED,
            (_, status) => status,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::control::{AUTH_ERR, Control, MODULE_UNKNOWN, NEW_AUTHTOK_REQD};
    use super::super::service::Place;
    use super::*;

    /// A stack from lines `level control`; a level alone marks a substack.
    pub(crate) fn stack(lines: &[(usize, &str)]) -> Vec<Entry> {
        lines
            .iter()
            .enumerate()
            .map(|(at, (level, control))| Entry {
                kind: if *control == "substack" {
                    Kind::Substack
                } else {
                    Kind::Module
                },
                level: *level,
                control: Control::parse(control),
                module: "pam_debug.so".to_owned(),
                arguments: Vec::new(),
                place: Place {
                    file: "/etc/pam.d/test".into(),
                    line: at + 1,
                },
            })
            .collect()
    }

    /// What a stack says when its lines answer so.
    pub(crate) fn verdict(stack: &[Entry], answers: &[Code]) -> Code {
        let mut walk = Walk::start();
        while let Some((at, _)) = walk.line(stack) {
            walk.answer(stack, answers.get(at).copied().unwrap_or(SUCCESS));
        }
        walk.verdict()
    }

    #[test]
    fn a_stack_without_lines_denies() {
        assert_eq!(verdict(&[], &[]), PERM_DENIED);
    }

    #[test]
    fn a_stack_whose_only_module_says_ignore_denies() {
        let lines = stack(&[(0, "success=ok ignore=ignore default=die")]);
        assert_eq!(verdict(&lines, &[IGNORE]), PERM_DENIED);
        assert_eq!(verdict(&lines, &[SUCCESS]), SUCCESS);
        assert_eq!(verdict(&lines, &[AUTH_ERR]), AUTH_ERR);
    }

    #[test]
    fn sufficient_ends_the_stack_only_while_nothing_was_refused() {
        let lines = stack(&[(0, "required"), (0, "sufficient"), (0, "required")]);
        assert_eq!(verdict(&lines, &[SUCCESS, SUCCESS, AUTH_ERR]), SUCCESS);
        assert_eq!(verdict(&lines, &[AUTH_ERR, SUCCESS, SUCCESS]), AUTH_ERR);
    }

    #[test]
    fn a_jump_past_the_end_denies() {
        let lines = stack(&[
            (0, "required"),
            (0, "success=2 default=ignore"),
            (0, "required"),
        ]);
        assert_eq!(verdict(&lines, &[SUCCESS, SUCCESS, SUCCESS]), PERM_DENIED);
    }

    #[test]
    fn a_substack_is_one_line_to_a_jump_and_done_leaves_only_it() {
        let lines = stack(&[
            (0, "success=1 default=ignore"),
            (0, "substack"),
            (1, "required"),
            (1, "required"),
            (0, "required"),
        ]);
        assert_eq!(
            verdict(&lines, &[SUCCESS, 0, AUTH_ERR, AUTH_ERR, SUCCESS]),
            SUCCESS
        );
        let lines = stack(&[
            (0, "substack"),
            (1, "sufficient"),
            (1, "required"),
            (0, "required"),
        ]);
        assert_eq!(verdict(&lines, &[0, SUCCESS, SUCCESS, AUTH_ERR]), AUTH_ERR);
    }

    #[test]
    fn reset_forgets_what_the_substack_said() {
        let lines = stack(&[
            (0, "substack"),
            (1, "required"),
            (1, "success=reset"),
            (0, "required"),
        ]);
        assert_eq!(verdict(&lines, &[0, AUTH_ERR, SUCCESS, SUCCESS]), SUCCESS);
    }

    #[test]
    fn a_password_to_be_changed_stays_the_verdict() {
        let lines = stack(&[(0, "new_authtok_reqd=done default=ignore"), (0, "required")]);
        assert_eq!(
            verdict(&lines, &[NEW_AUTHTOK_REQD, AUTH_ERR]),
            NEW_AUTHTOK_REQD
        );
        assert_eq!(verdict(&lines, &[MODULE_UNKNOWN, SUCCESS]), SUCCESS);
    }
}
