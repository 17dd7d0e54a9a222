//! What a walk through the store means, and what to do about it.

use mfa_core::config::Config;

use super::Scope;
use super::check::{Check, Status};
use super::files;
use super::pam_stack::Report;
use super::survey::Survey;
use super::tally::Tally;
use crate::output::shown;

impl Survey {
    /// A line for each kind of finding.
    pub(super) fn checks(&self, scope: &Scope, config: &Config) -> Vec<Check> {
        let mut checks = vec![self.files(scope)];
        checks.extend(self.secrets(scope));
        checks.push(self.records(scope));
        checks.extend(self.accounts());
        if self.has_device {
            checks.push(self.standing(scope, config));
            checks.extend(self.deliveries(scope));
        }
        self.bypasses(scope, &mut checks);
        if self.has_states {
            checks.extend(self.recovery(scope));
            checks.extend(self.tokens(scope));
            self.states(scope, &mut checks);
        }
        if !self.strangers.is_empty() {
            checks.push(Check::warn(
                "leftovers",
                format!("Files that belong to no user: {}.", self.strangers),
                "Interrupted commands leave them; `rm` them when nobody is at it, after a look at what they are.",
            ));
        }
        checks
    }

    /// Ownership and modes of records and states.
    fn files(&self, scope: &Scope) -> Check {
        let first = self
            .first_record_file
            .as_ref()
            .or(self.first_state_file.as_ref());
        let Some(first) = first else {
            return Check::ok(
                "paths.records",
                "Records and states are root's alone (mode 0600).",
            );
        };
        let mut found = Vec::new();
        for tally in [&self.record_files, &self.state_files] {
            if !tally.is_empty() {
                found.push(tally.sentences());
            }
        }
        Check::fail(
            "paths.records",
            format!(
                "Files of the store that can't be read or trusted, whose users are refused: {}.",
                found.join("; ")
            ),
            files::remedy(first, scope.owner),
        )
    }

    fn secrets(&self, scope: &Scope) -> Option<Check> {
        if self.sealed.is_empty() {
            let message = format!("All secrets of apps and tokens open ({}).", self.opened);
            return (self.opened > 0).then(|| Check::ok("seal.secrets", message));
        }
        let hint = if self.opened == 0 {
            "No secret opens: put the right sealing key back from your backup.".to_owned()
        } else {
            format!(
                "Put the right sealing key back, or set anew what does not open: {}.",
                scope.command(&format!(
                    "app enroll {}",
                    self.first_sealed_user.as_deref().unwrap_or("NAME")
                ))
            )
        };
        let message = format!(
            "Secrets of apps or tokens don't open: {}; the first: {}",
            self.sealed,
            self.first_sealed.as_deref().unwrap_or_default()
        );
        Some(Check::fail("seal.secrets", message, hint))
    }

    fn records(&self, scope: &Scope) -> Check {
        if !self.records.is_empty() {
            return Check::fail(
                "records",
                format!(
                    "Records that say something wrong, whose users are refused: {}.",
                    self.records.sentences()
                ),
                "Put that line right, or put the record back from your backup.",
            );
        }
        if self.users.is_empty() {
            return Check::warn(
                "records",
                "There are no users yet.",
                format!("Add the first one: {}.", scope.command("user add NAME")),
            );
        }
        // The others are reported with their files.
        let count = self.users.len().saturating_sub(self.record_files.count());
        let are_read = plural(count, "record is read", "records are read");
        Check::ok("records", format!("{count} {are_read} and right."))
    }

    fn accounts(&self) -> Option<Check> {
        if let Some(why) = &self.name_service {
            return Some(Check::fail(
                "accounts",
                format!("The name service does not answer ({why}): logins are refused meanwhile."),
                "See `getent passwd` and the lines of /etc/nsswitch.conf.",
            ));
        }
        let asked = if self.asked < self.users.len() {
            format!(
                " Only {} of {} users were asked about: the name service is slow.",
                self.asked,
                self.users.len()
            )
        } else {
            String::new()
        };
        if !self.unknown.is_empty() {
            return Some(Check::warn(
                "accounts",
                format!(
                    "Users with a record but without an account here: {}.{asked}",
                    self.unknown
                ),
                "Fine where records are the same on many hosts. Names are compared to the letter.",
            ));
        }
        (self.asked > 0).then(|| {
            Check::ok(
                "accounts",
                format!("The system knows everybody who has a record.{asked}"),
            )
        })
    }

    /// Who is asked for a code, and why others are not.
    fn standing(&self, scope: &Scope, config: &Config) -> Check {
        let mut parts = vec![format!(
            "{} {} asked for a code",
            self.ready,
            plural(self.ready, "user is", "users are")
        )];
        for (what, tally) in [
            ("suspended", &self.suspended),
            ("not approved", &self.unapproved),
            ("not assigned to this host", &self.elsewhere),
            (
                "let by without a code (enrolment.without_record)",
                &self.let_by,
            ),
            ("without an app or token in use", &self.without_app),
            ("without a method that works here", &self.without_method),
            ("locked for a time", &self.locked),
            ("disabled", &self.disabled),
        ] {
            if !tally.is_empty() {
                parts.push(format!("{what}: {tally}"));
            }
        }
        let mut check = Check::ok("users", format!("{}.", parts.join("; ")));
        if !self.without_app.is_empty() {
            check.status = Status::Warn;
            let command = format!("app enroll {}", self.without_app.example());
            check.hint = format!(
                "Who has no app and no token in use is refused: {}; where they are disabled, {} says so.",
                scope.command(&command),
                scope.command(&format!("explain {}", self.without_app.example()))
            );
        } else if !self.without_method.is_empty() {
            check.status = Status::Warn;
            let command = format!("explain {}", self.without_method.example());
            check.hint = format!(
                "Who has no method that works here is refused: {} says why.",
                scope.command(&command)
            );
        } else if self.ready == 0
            && !self.users.is_empty()
            && config.device.required
            && !self.elsewhere.is_empty()
        {
            check.status = Status::Warn;
            let command = format!("device assign {} this", self.elsewhere.example());
            check.hint = format!(
                "Nobody may log in on this host: {}.",
                scope.command(&command)
            );
        } else if !self.disabled.is_empty() {
            check.status = Status::Warn;
            let command = format!("user unlock {}", self.disabled.example());
            check.hint = format!(
                "Find out who was guessing (MFA-2205), then {}.",
                scope.command(&command)
            );
        }
        check
    }

    /// Users who were given a method by which nothing reaches them.
    fn deliveries(&self, scope: &Scope) -> Option<Check> {
        let mut parts: Vec<String> = self
            .undelivered
            .iter()
            .map(|(method, users)| format!("nothing is sent by {method} on this host, to {users}"))
            .collect();
        if !self.without_address.is_empty() {
            parts.push(format!("there is no address for {}", self.without_address));
        }
        let hint = if let Some((method, users)) = self.undelivered.first_key_value() {
            let set = format!("user set {} --methods app", users.example());
            let section = match *method {
                "email" => "[courier.smtp]",
                "telegram" => "[courier.telegram], and write its token (credential set)",
                _ => "[courier.command]",
            };
            format!(
                "Set up {section}; or have them use what works: {}.",
                scope.command(&set)
            )
        } else {
            let user = self.without_address.example();
            let set = format!("user set {user} --email ADDR");
            format!("{}; --telegram ID for Telegram.", scope.command(&set))
        };
        (!parts.is_empty()).then(|| {
            Check::warn(
                "users.delivery",
                format!("Codes that can't reach people: {}.", parts.join("; ")),
                hint,
            )
        })
    }

    /// Users who are let in without a code for a time, a line each.
    fn bypasses(&self, scope: &Scope, checks: &mut Vec<Check>) {
        for (user, words) in &self.bypasses {
            checks.push(Check::warn(
                "users.bypass",
                format!("{user}: {words}."),
                format!(
                    "When it is no longer needed: {}.",
                    scope.command(&format!("bypass revoke {user}"))
                ),
            ));
        }
        if self.more_bypasses > 0 {
            checks.push(Check::warn(
                "users.bypass",
                format!(
                    "{} more users are let in without a code.",
                    self.more_bypasses
                ),
                format!("{} names them.", scope.command("bypass list")),
            ));
        }
        if !self.over.is_empty() {
            checks.push(Check::warn(
                "users.bypass",
                format!("Over, and not cleared from the records: {}.", self.over),
                format!(
                    "{} does that; mfa-bypass.timer or cron runs it.",
                    scope.command("bypass expire")
                ),
            ));
        }
    }

    /// Users who will soon have nothing for the day when the phone is lost.
    fn recovery(&self, scope: &Scope) -> Option<Check> {
        let user = self.few_codes.example();
        (!self.few_codes.is_empty()).then(|| {
            Check::warn(
                "users.recovery",
                format!("Recovery codes run out: {}.", self.few_codes),
                format!(
                    "New ones void those that are left: {}.",
                    scope.command(&format!("recovery generate {user}"))
                ),
            )
        })
    }

    /// Users whose tokens and this host don't agree on how often the button was pressed.
    fn tokens(&self, scope: &Scope) -> Option<Check> {
        let user = self.out_of_step.example();
        (!self.out_of_step.is_empty()).then(|| {
            Check::warn(
                "users.tokens",
                format!("Tokens that are out of step: {}.", self.out_of_step),
                format!(
                    "Two codes in a row bring one back: {}.",
                    scope.command(&format!("token resync {user}"))
                ),
            )
        })
    }

    fn states(&self, scope: &Scope, checks: &mut Vec<Check>) {
        let before = checks.len();
        if !self.corrupt.is_empty() {
            checks.push(Check::fail(
                "states",
                format!(
                    "Both slots of the state are damaged, so they are refused: {}.",
                    self.corrupt
                ),
                format!(
                    "See the kernel's log for errors of the disk, then {}.",
                    scope.command(&format!("state reset {}", self.corrupt.example()))
                ),
            ));
        }
        if !self.unreadable.is_empty() {
            checks.push(Check::fail(
                "states",
                format!(
                    "States that this release can't read, whose users are refused: {}.",
                    self.unreadable.sentences()
                ),
                format!(
                    "Of a newer release: install that one. Else {}.",
                    scope.command("state reset NAME")
                ),
            ));
        }
        if !self.ahead.is_empty() {
            checks.push(Check::fail(
                "states.ahead",
                format!(
                    "App codes were accepted at a time that is still to come, so those of now are refused: {}. The \
                     clock was ahead then, or is behind now.",
                    self.ahead
                ),
                format!(
                    "Make sure that the clock is right; then {}.",
                    scope.command(&format!("state set-clock {}", self.ahead.example()))
                ),
            ));
        }
        if !self.busy.is_empty() {
            checks.push(Check::warn(
                "states.busy",
                format!(
                    "Locked for 5 s and more: {}. Their logins are refused meanwhile.",
                    self.busy.sentences()
                ),
                "See what that process is (`ps -fp PID`): a login takes a millisecond.",
            ));
        }
        if !self.bad_slots.is_empty() {
            checks.push(Check::warn(
                "states.slots",
                format!(
                    "One of two slots does not hold: {}. A write was interrupted, which loses nothing; or the disk has \
                     damaged it, and what the last login left may be forgotten.",
                    self.bad_slots
                ),
                "The next login puts it right. If it comes back, see the kernel's log for errors of the disk.",
            ));
        }
        if self.missing_decoys > 0 {
            checks.push(Check::warn(
                "states.decoys",
                format!("{} of 256 decoy states are missing: the first refusals of unknown users take longer.", self.missing_decoys),
                format!("{} makes them.", scope.command("init")),
            ));
        }
        if checks.len() == before && self.state_files.is_empty() {
            checks.push(Check::ok(
                "states",
                format!(
                    "{} {} sound.",
                    self.states,
                    plural(self.states, "state is", "states are")
                ),
            ));
        }
    }
}

/// Who is refused by services that ask for a passphrase, for want of one.
pub(super) fn passphrases(scope: &Scope, report: &Report, without: &Tally) -> Option<Check> {
    let asking: Vec<&str> = report
        .services
        .iter()
        .filter(|service| service.passphrase)
        .map(|service| service.name.as_str())
        .collect();
    if asking.is_empty() {
        return None;
    }
    let services = shown(&asking.join(", "));
    if without.is_empty() {
        return Some(Check::ok(
            "users.passphrase",
            format!("Everybody has a passphrase, which is asked for by {services}."),
        ));
    }
    Some(Check::warn(
        "users.passphrase",
        format!("Refused by {services} for want of a passphrase: {without}."),
        format!(
            "{}, for each who is to log in there.",
            scope.command(&format!("passphrase set {}", without.example()))
        ),
    ))
}

fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
