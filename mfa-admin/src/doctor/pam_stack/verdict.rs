//! What the ways through the auth and account stacks mean for a login.

use super::FirstFactor;
use super::control::{Code, MODULE_UNKNOWN, NEW_AUTHTOK_REQD, code_name};
use super::explore::{Ending, Mfa, Passer, Proof, Ways, ways};
use super::judge::{Judge, OUR_CONTROL};
use super::known::{Known, Role, known};
use super::service::{Entry, Facility, Kind, Service};
use crate::doctor::check::{Check, Status};
use crate::output::shown;

/// Services in which `pam_rootok` looks at the person's own uid, not at that of a daemon.
const ROOTOK_SERVICES: [&str; 12] = [
    "chage",
    "chfn",
    "chpasswd",
    "chsh",
    "groupmod",
    "newusers",
    "passwd",
    "runuser",
    "runuser-l",
    "su",
    "su-l",
    "usermod",
];

impl Judge<'_> {
    /// What each line of a stack can answer; a module that is missing answers one thing.
    fn known(&self, stack: &[Entry], facility: Facility) -> Vec<Known> {
        let lines = stack.iter().map(|entry| {
            let module = matches!(entry.kind, Kind::Module | Kind::SilentModule);
            if module && !entry.is_mfa() && !self.places.has_module(&entry.module) {
                Known {
                    role: Role::Plain,
                    answers: vec![MODULE_UNKNOWN],
                }
            } else {
                known(entry, facility)
            }
        });
        lines.collect()
    }

    pub(super) fn auth(&mut self) -> (String, FirstFactor) {
        let stack = &self.service.auth;
        let known = self.known(stack, Facility::Auth);
        let first = stack.iter().position(Entry::is_mfa).unwrap_or_default();
        let place = stack
            .get(first)
            .map_or_else(String::new, |entry| entry.place.to_string());
        if self.service.unusable() {
            return (place, FirstFactor::Before);
        }
        let found = ways(stack, &known);
        let before = self.checks.len();
        self.incomplete(&found, "auth");
        self.passed_by(&found, stack, &known, Facility::Auth);
        self.refusals(&found, stack, Facility::Auth);
        self.lockout(&found, stack, Facility::Auth);
        self.skips(&found, stack, Facility::Auth);
        let mut ours = stack.iter().filter(|entry| entry.is_mfa());
        let factor = match first_factor(&found, &known, first) {
            FirstFactor::None if ours.all(Entry::asks_for_a_passphrase) => FirstFactor::Passphrase,
            factor => factor,
        };
        self.first_factor(&place, factor, known.iter().any(is_factor));
        self.permit(stack, Facility::Auth);
        let worse = |check: &Check| check.status != Status::Ok;
        if !self.checks.iter().skip(before).any(worse) {
            let when = match factor {
                FirstFactor::Before => "after the first factor",
                FirstFactor::BeforeButAskedAnyway => "after the first factor, right or wrong",
                FirstFactor::After => "before the first factor",
                FirstFactor::None => "and no password",
                FirstFactor::Passphrase => "after a passphrase of its own",
            };
            self.ok(
                "auth",
                &format!(
                    "asks for a code {when} ({place}); nothing leads past it, a refusal denies, a \
                     skip lets in."
                ),
            );
        }
        (place, factor)
    }

    pub(super) fn account(&mut self) -> String {
        let stack = &self.service.account;
        let known = self.known(stack, Facility::Account);
        let ours = stack.iter().find(|entry| entry.is_mfa());
        let place = ours.map_or_else(String::new, |entry| entry.place.to_string());
        if self.service.unusable() {
            return place;
        }
        let found = ways(stack, &known);
        let before = self.checks.len();
        self.incomplete(&found, "account");
        self.passed_by(&found, stack, &known, Facility::Account);
        self.refusals(&found, stack, Facility::Account);
        self.lockout(&found, stack, Facility::Account);
        self.skips(&found, stack, Facility::Account);
        self.permit(stack, Facility::Account);
        let worse = |check: &Check| check.status != Status::Ok;
        if !self.checks.iter().skip(before).any(worse) {
            self.ok(
                "account",
                &format!("checks the approved list and the device without a prompt ({place})."),
            );
        }
        place
    }

    fn incomplete(&mut self, found: &Ways, stack: &str) {
        if found.incomplete {
            self.warn(
                &format!("{stack}.intricate"),
                &format!("has an {stack} stack too intricate to be followed to its end."),
                "Make it simpler: what was not seen can be a way in.",
            );
        }
    }

    /// Lines that lead to a login without our module having been asked.
    fn passed_by(&mut self, found: &Ways, stack: &[Entry], known: &[Known], facility: Facility) {
        let mut told: Vec<(usize, Status)> = Vec::new();
        let passing = |ending: &&Ending| ending.lets_in() && ending.mfa == Mfa::NotAsked;
        for ending in found.endings.iter().filter(passing) {
            let Some(passer) = ending.passer else {
                continue;
            };
            let Some((entry, module)) = stack.get(passer.line).zip(known.get(passer.line)) else {
                continue;
            };
            let status = self.how_bad(ending, passer, module, facility);
            match told.iter_mut().find(|(line, _)| *line == passer.line) {
                Some((_, worst)) if *worst >= status => continue,
                Some((_, worst)) => *worst = status,
                None => told.push((passer.line, status)),
            }
            let (what, message, hint) = passed_by_text(entry, module, passer, status, facility);
            let id = format!("pam.{}.{what}", shown(&self.service.name));
            let same = |check: &Check| check.id == id && check.message.contains(&at(entry));
            self.checks.retain(|check| !same(check));
            self.say(status, what, &message, hint);
        }
    }

    fn how_bad(&self, ending: &Ending, passer: Passer, by: &Known, facility: Facility) -> Status {
        match by.role {
            Role::RootOk if ROOTOK_SERVICES.contains(&self.service.name.as_str()) => Status::Ok,
            _ if facility == Facility::Account && passer.code == NEW_AUTHTOK_REQD => Status::Warn,
            Role::Condition if facility == Facility::Auth => match ending.proof {
                Proof::Right | Proof::Declined => Status::Warn,
                Proof::NotAsked | Proof::Wrong => Status::Fail,
            },
            Role::Condition if is_exemption(self.service, passer) => Status::Warn,
            _ => Status::Fail,
        }
    }

    /// A refusal of ours that the rest of the stack turns into a login.
    fn refusals(&mut self, found: &Ways, stack: &[Entry], facility: Facility) {
        let mut codes: Vec<Code> = Vec::new();
        for ending in found.endings.iter().filter(|ending| ending.lets_in()) {
            match ending.mfa {
                Mfa::Refused(code) if !codes.contains(&code) => codes.push(code),
                _ => {}
            }
        }
        let Some(entry) = stack.iter().find(|entry| entry.is_mfa()) else {
            return;
        };
        if codes.is_empty() {
            return;
        }
        codes.sort_unstable();
        let names: Vec<String> = codes.into_iter().map(code_name).collect();
        let word = facility_word(facility);
        self.fail(
            &format!("{word}.refusal"),
            &format!(
                "lets in although pam_mfa.so refused ({}): its control `{}` at {} does not stop \
                 the login.",
                names.join(", "),
                shown(&entry.control.text),
                entry.place
            ),
            &format!("Write `{word} {OUR_CONTROL} pam_mfa.so`."),
        );
    }

    /// Nobody gets in, with whatever code.
    fn lockout(&mut self, found: &Ways, stack: &[Entry], facility: Facility) {
        let accepted = |ending: &Ending| ending.lets_in() && ending.mfa == Mfa::Accepted;
        if found.incomplete || found.endings.iter().any(accepted) {
            return;
        }
        let word = facility_word(facility);
        let asked = |ending: &Ending| ending.mfa != Mfa::NotAsked;
        if found.endings.iter().any(asked) {
            self.fail(
                &format!("{word}.lockout"),
                &format!(
                    "locks everybody out: its {word} stack denies even after pam_mfa.so agreed{}.",
                    stack
                        .iter()
                        .rev()
                        .find(|entry| !entry.is_mfa() && entry.kind != Kind::Substack)
                        .map_or_else(String::new, |entry| format!(
                            " (it ends with {} at {})",
                            line_name(entry),
                            entry.place
                        ))
                ),
                &format!(
                    "Write `{word} {OUR_CONTROL} pam_mfa.so`, and after it `{word} required \
                          pam_permit.so`."
                ),
            );
        } else if !self.told(&format!("{word}.bypass")) {
            let place = stack
                .iter()
                .find(|entry| entry.is_mfa())
                .map_or_else(String::new, |entry| entry.place.to_string());
            self.fail(
                &format!("{word}.never"),
                &format!(
                    "never gets to pam_mfa.so at {place}: a line before it always ends the stack."
                ),
                "Move the line up, before the one that ends the stack.",
            );
        }
    }

    /// Whom the policy skips (nullok, `without_record`, `skip_services`) has to get in.
    fn skips(&mut self, found: &Ways, stack: &[Entry], facility: Facility) {
        let lets_in = |said: Mfa| {
            let mut endings = found.endings.iter();
            endings.any(|ending| ending.lets_in() && ending.mfa == said)
        };
        // Where not even a code helps, that is said already.
        if found.incomplete || !lets_in(Mfa::Accepted) || lets_in(Mfa::Skipped) {
            return;
        }
        let mut ours = stack.iter().filter(|entry| entry.is_mfa());
        if facility == Facility::Auth && ours.all(Entry::asks_for_a_passphrase) {
            return;
        }
        let word = facility_word(facility);
        let entry = stack.iter().find(|entry| entry.is_mfa());
        let place = entry.map_or_else(String::new, |entry| entry.place.to_string());
        let who = if facility == Facility::Auth {
            "nullok, without_record"
        } else {
            "nullok, skip_services"
        };
        self.fail(
            &format!("{word}.skip"),
            &format!(
                "locks out everybody whom the policy skips ({who}): after {place} nothing says yes."
            ),
            &format!(
                "Write `{word} {OUR_CONTROL} pam_mfa.so`, and after it `{word} required \
                      pam_permit.so`."
            ),
        );
    }

    /// The order of password and code; sshd's depends on `AuthenticationMethods` and is judged
    /// with its configuration.
    fn first_factor(&mut self, place: &str, factor: FirstFactor, any_factor: bool) {
        let sshd = self.service.name == "sshd";
        match factor {
            FirstFactor::Before | FirstFactor::Passphrase => {}
            FirstFactor::BeforeButAskedAnyway => self.warn(
                "auth.first",
                &format!(
                    "asks for a code ({place}) even after a wrong password: strangers can use up \
                     guesses, and lock people out."
                ),
                "Let a wrong password end the stack before pam_mfa.so: Debian's `@include \
                 common-auth` does, and so does `requisite`; within a substack it ends only that.",
            ),
            FirstFactor::None | FirstFactor::After if sshd => {}
            FirstFactor::After => self.warn(
                "auth.first",
                &format!(
                    "asks for the code ({place}) before the password: whoever knows a user's name \
                     can use up guesses, and lock them out."
                ),
                "Put the password line before pam_mfa.so.",
            ),
            FirstFactor::None if any_factor => self.fail(
                "auth.first",
                &format!("lets in without the right password: the code ({place}) alone is enough."),
                "Make the password `requisite`, or put `@include common-auth` before pam_mfa.so.",
            ),
            FirstFactor::None => self.fail(
                "auth.first",
                &format!(
                    "asks for no password: a code alone is enough ({place}), and nothing at all \
                     from whom the policy skips."
                ),
                "Put `@include common-auth` before pam_mfa.so.",
            ),
        }
    }

    /// DESIGN §4: every stack ends in `required pam_permit.so` after our line.
    fn permit(&mut self, stack: &[Entry], facility: Facility) {
        let word = facility_word(facility);
        let after = stack.iter().rev().take_while(|entry| !entry.is_mfa());
        let mut after = after.filter(|entry| entry.kind != Kind::Substack);
        let permits = |entry: &Entry| {
            entry.module_name() == "pam_permit.so"
                && matches!(entry.control.text.as_str(), "required" | "requisite")
        };
        let is_told = ["skip", "lockout"]
            .iter()
            .any(|what| self.told(&format!("{word}.{what}")));
        if after.any(permits) || is_told {
            return;
        }
        let entry = stack.iter().find(|entry| entry.is_mfa());
        let place = entry.map_or_else(String::new, |entry| entry.place.to_string());
        let end = format!("{word} required pam_permit.so");
        self.fail(
            &format!("{word}.permit"),
            &format!(
                "does not end in `{end}` after {place}: whom the policy skips gets in only as \
                 long as another line says yes."
            ),
            &format!("Add `{end}` after pam_mfa.so."),
        );
    }
}

fn is_factor(known: &Known) -> bool {
    known.role == Role::Factor
}

/// Whether our module's yes is enough without one of the first factor's.
fn code_alone(found: &Ways) -> bool {
    found.endings.iter().any(|ending| {
        let agreed = matches!(ending.mfa, Mfa::Accepted | Mfa::Skipped);
        let unproven = matches!(ending.proof, Proof::NotAsked | Proof::Wrong);
        ending.lets_in() && agreed && unproven
    })
}

fn first_factor(found: &Ways, known: &[Known], first: usize) -> FirstFactor {
    if !known.iter().any(is_factor) || code_alone(found) {
        FirstFactor::None
    } else if !known.iter().take(first).any(is_factor) {
        FirstFactor::After
    } else if found.asked_after_wrong {
        FirstFactor::BeforeButAskedAnyway
    } else {
        FirstFactor::Before
    }
}

/// An account line that was put there to exempt somebody, rather than one that happens to end the
/// stack for most people, as `pam_localuser` does.
fn is_exemption(service: &Service, passer: Passer) -> bool {
    let entry = service.account.get(passer.line);
    entry
        .is_some_and(|entry| !matches!(entry.module_name(), "pam_localuser.so" | "pam_usertype.so"))
}

fn facility_word(facility: Facility) -> &'static str {
    match facility {
        Facility::Auth => "auth",
        Facility::Account => "account",
        Facility::Session => "session",
        Facility::Password => "password",
    }
}

fn line_name(entry: &Entry) -> String {
    match entry.kind {
        Kind::MustFail => "a broken line".to_owned(),
        _ => format!(
            "{} {}",
            shown(&entry.control.text),
            shown(entry.module_name())
        ),
    }
}

fn at(entry: &Entry) -> String {
    format!("at {}", entry.place)
}

/// What to say about a line that leads past ours: what, message, hint.
fn passed_by_text(
    entry: &Entry,
    known: &Known,
    passer: Passer,
    status: Status,
    facility: Facility,
) -> (&'static str, String, &'static str) {
    let account = facility == Facility::Account;
    let what = if account {
        "account.bypass"
    } else {
        "auth.bypass"
    };
    let line = format!("`{}` {}", line_name(entry), at(entry));
    let place_ours = "Put pam_mfa.so before that line, or let that line do less.";
    match known.role {
        Role::RootOk if status == Status::Ok && account => (
            "account.rootok",
            format!("does not check whom root becomes: {line}, so that root's scripts go on."),
            "",
        ),
        Role::RootOk if status == Status::Ok => (
            "auth.rootok",
            format!("does not ask root for a code: {line}, as is usual."),
            "",
        ),
        Role::RootOk => (
            what,
            format!(
                "asks nobody for a code: {line} looks at the uid of the program, which runs as root \
                 here."
            ),
            "Remove that line.",
        ),
        _ if account && passer.code == NEW_AUTHTOK_REQD => (
            what,
            format!(
                "does not check whose password has expired: {line} then ends the stack before \
                 pam_mfa.so."
            ),
            "Put the account line of pam_mfa.so before `@include common-account`.",
        ),
        Role::Condition => (
            what,
            format!("exempts people by {line}: for whom it holds, pam_mfa.so is not asked."),
            "If that is meant, leave it; else remove the line or put pam_mfa.so before it.",
        ),
        _ if account => (
            what,
            format!(
                "can be passed by: {line} ends the stack or jumps over pam_mfa.so, so approval and device are not checked."
            ),
            place_ours,
        ),
        _ => (
            what,
            format!(
                "can be passed by: after {line} answers {}, a login needs no code.",
                code_name(passer.code)
            ),
            place_ours,
        ),
    }
}
