//! What a line's control field makes of each PAM code.
//!
//! pam.conf(5), "the control"; `libpam/pam_misc.c` (`_pam_parse_control`) and
//! `libpam/pam_handlers.c` (`_pam_parse_conf_file`) of Linux-PAM 1.5.2.

/// How many codes PAM knows (`_PAM_RETURN_VALUES`).
pub(super) const CODES: usize = 32;

/// A PAM code, as numbered in `security/_pam_types.h`.
pub(super) type Code = u8;

pub(super) const SUCCESS: Code = 0;
pub(super) const SERVICE_ERR: Code = 3;
pub(super) const PERM_DENIED: Code = 6;
pub(super) const AUTH_ERR: Code = 7;
pub(super) const AUTHINFO_UNAVAIL: Code = 9;
pub(super) const USER_UNKNOWN: Code = 10;
pub(super) const MAXTRIES: Code = 11;
pub(super) const NEW_AUTHTOK_REQD: Code = 12;
pub(super) const ACCT_EXPIRED: Code = 13;
pub(super) const SESSION_ERR: Code = 14;
pub(super) const CONV_ERR: Code = 19;
pub(super) const IGNORE: Code = 25;
pub(super) const ABORT: Code = 26;
pub(super) const AUTHTOK_EXPIRED: Code = 27;
pub(super) const MODULE_UNKNOWN: Code = 28;
pub(super) const INCOMPLETE: Code = 31;

/// The names in brackets, by code; the last is not a code.
const NAMES: [&str; CODES + 1] = [
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
    "default",
];

/// A code as administrators know it: `PAM_AUTH_ERR`.
pub(super) fn code_name(code: Code) -> String {
    let name = NAMES
        .get(usize::from(code))
        .map_or("unknown", |name| *name)
        .to_uppercase();
    format!("PAM_{name}")
}

/// What happens on a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    /// Skip so many of the following lines.
    Jump(u32),
}

/// The words for actions; libpam takes any text that begins with one.
const ACTIONS: [(&str, Action); 6] = [
    ("ignore", Action::Ignore),
    ("ok", Action::Ok),
    ("done", Action::Done),
    ("bad", Action::Bad),
    ("die", Action::Die),
    ("reset", Action::Reset),
];

/// A line's control: an action for each code, and the words it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    actions: [Action; CODES],
    /// As written, brackets included.
    pub(super) text: String,
    /// False where libpam can't read it and takes every code as `bad`.
    pub(super) understood: bool,
}

impl Control {
    /// Every code is bad: what libpam makes of a line it can't use.
    pub(super) fn all_bad(text: &str) -> Self {
        Self {
            actions: [Action::Bad; CODES],
            text: text.to_owned(),
            understood: false,
        }
    }

    /// One of the four old words, or what stood in brackets.
    pub(super) fn parse(word: &str) -> Self {
        let lower = word.to_ascii_lowercase();
        let (yes, ignored, rest) = match lower.as_str() {
            "required" => (Action::Ok, Action::Ignore, Action::Bad),
            "requisite" => (Action::Ok, Action::Ignore, Action::Die),
            "optional" => (Action::Ok, Action::Ignore, Action::Ignore),
            "sufficient" => (Action::Done, Action::Ignore, Action::Ignore),
            _ => return Self::parse_brackets(word),
        };
        let mut actions = [rest; CODES];
        for (code, action) in [(SUCCESS, yes), (NEW_AUTHTOK_REQD, yes), (IGNORE, ignored)] {
            if let Some(slot) = actions.get_mut(usize::from(code)) {
                *slot = action;
            }
        }
        Self {
            actions,
            text: lower,
            understood: true,
        }
    }

    fn parse_brackets(inner: &str) -> Self {
        let text = format!("[{inner}]");
        let mut actions = [None; CODES];
        let mut rest = inner.trim_start_matches(is_space);
        while !rest.is_empty() {
            let Some((name, action, after)) = pair(rest) else {
                return Self::all_bad(&text);
            };
            match actions.get_mut(name) {
                Some(slot) => *slot = Some(action),
                None => {
                    for slot in actions.iter_mut().filter(|slot| slot.is_none()) {
                        *slot = Some(action);
                    }
                }
            }
            rest = after.trim_start_matches(is_space);
        }
        Self {
            actions: actions.map(|action| action.unwrap_or(Action::Bad)),
            text,
            understood: true,
        }
    }

    /// What this line does on `code`; a code that PAM does not know is bad.
    pub(super) fn action(&self, code: Code) -> Action {
        self.actions
            .get(usize::from(code))
            .copied()
            .unwrap_or(Action::Bad)
    }
}

/// C's `isspace`: `char::is_ascii_whitespace` lacks the vertical tab.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

/// `name = action`, and what follows; blanks around the sign, none needed after the action.
fn pair(text: &str) -> Option<(usize, Action, &str)> {
    let (name, rest) = NAMES
        .iter()
        .enumerate()
        .find_map(|(at, name)| Some((at, text.strip_prefix(name)?)))?;
    let rest = rest.trim_start_matches(is_space).strip_prefix('=')?;
    let rest = rest.trim_start_matches(is_space);
    let word = ACTIONS
        .iter()
        .find_map(|(word, action)| Some((*action, rest.strip_prefix(word)?)));
    if let Some((action, rest)) = word {
        return Some((name, action, rest));
    }
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    // A number too big for libpam's int is past every stack's end, either way.
    let jump = number.parse().unwrap_or(u32::MAX);
    (jump > 0).then_some((name, Action::Jump(jump), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_words_mean_what_the_manual_says() {
        let required = Control::parse("Required");
        assert_eq!(required.action(SUCCESS), Action::Ok);
        assert_eq!(required.action(IGNORE), Action::Ignore);
        assert_eq!(required.action(AUTH_ERR), Action::Bad);
        assert_eq!(Control::parse("requisite").action(AUTH_ERR), Action::Die);
        assert_eq!(Control::parse("optional").action(AUTH_ERR), Action::Ignore);
        let sufficient = Control::parse("sufficient");
        assert_eq!(sufficient.action(SUCCESS), Action::Done);
        assert_eq!(sufficient.action(NEW_AUTHTOK_REQD), Action::Done);
    }

    #[test]
    fn brackets_give_each_code_its_action() {
        let control = Control::parse("success=ok ignore = ignore default=die");
        assert_eq!(control.action(SUCCESS), Action::Ok);
        assert_eq!(control.action(IGNORE), Action::Ignore);
        assert_eq!(control.action(AUTH_ERR), Action::Die);
        assert_eq!(control.text, "[success=ok ignore = ignore default=die]");
    }

    #[test]
    fn default_fills_only_what_stands_before_it_open() {
        let control = Control::parse("default=1 success=ok");
        assert_eq!(control.action(SUCCESS), Action::Ok);
        assert_eq!(control.action(AUTH_ERR), Action::Jump(1));
        assert_eq!(Control::parse("success=ok").action(AUTH_ERR), Action::Bad);
    }

    #[test]
    fn a_control_that_libpam_cannot_read_is_bad_throughout() {
        for text in [
            "success=0",
            "success",
            "succes=ok",
            "success=okay",
            "success=",
            "=ok",
            "SUCCESS=ok",
        ] {
            let control = Control::parse(text);
            assert!(!control.understood, "{text}");
            assert_eq!(control.action(SUCCESS), Action::Bad, "{text}");
        }
        // libpam needs no blank between two pairs.
        assert!(Control::parse("success=okdefault=die").understood);
    }
}
