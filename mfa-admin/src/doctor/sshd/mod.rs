//! Asks sshd what it would do with each user, and says whether a code would be asked, could be
//! passed by, or would lock people out.
//!
//! `sshd_config(5)`, `sshd(8)` `-T` and `-C`; auth2.c (`AuthenticationMethods`), auth-pam.c
//! (`sshpam_passwd_conv` answers every hidden prompt with the password), auth.c
//! (`auth_root_allowed`) of OpenSSH 9.2.

mod judge;
mod settings;

use std::path::Path;
use std::time::Duration;

use crate::doctor::check::Check;
use crate::doctor::pam_stack::ServiceSummary;
use crate::doctor::tally::Tally;
use crate::output::shown;
use settings::Settings;

/// Users whose configuration is looked at: each is a run of sshd.
const MOST_USERS: usize = 100;

/// Which sshd is asked, and about whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// `/usr/sbin/sshd`: sshd wants to be called by its absolute path.
    pub(crate) binary: &'a Path,
    /// Another configuration than `/etc/ssh/sshd_config` (`-f`).
    pub(crate) config: Option<&'a Path>,
    /// Users with a record; the first hundred are asked about.
    pub(crate) users: &'a [String],
    /// The name of somebody without a record.
    pub(crate) without_record: &'a str,
    /// The client's address that `Match` lines see.
    pub(crate) address: &'a str,
    /// The service `sshd` as the PAM checks saw it; None: it does not reach our module.
    pub(crate) stack: Option<&'a ServiceSummary>,
    /// How long a login must be able to wait for a code that is sent; None: none is.
    pub(crate) time_for_a_code: Option<Duration>,
}

/// Judges sshd for each user; users who fare alike share a check.
pub(crate) fn check(question: &Question<'_>) -> Vec<Check> {
    if !question.binary.exists() {
        return vec![Check::ok(
            "sshd.installed",
            format!(
                "There is no {}: no SSH logins to check.",
                question.binary.display()
            ),
        )];
    }
    let with_record = question.users.iter().take(MOST_USERS).map(String::as_str);
    let mut groups = Groups::default();
    let mut unasked = Tally::default();
    for (user, recorded) in with_record
        .map(|user| (user, true))
        .chain([(question.without_record, false)])
    {
        let label = if recorded {
            shown(user)
        } else {
            format!("{} (no record)", shown(user))
        };
        if !can_be_asked_about(user) {
            unasked.add(label);
            continue;
        }
        let text = match settings::ask(question.binary, question.config, user, question.address) {
            Ok(text) => text,
            Err(why) => {
                // It would say the same about everybody else, slowly.
                return vec![Check::warn(
                    "sshd.configuration",
                    format!(
                        "`{} -T` does not tell what sshd would do: {why}",
                        question.binary.display()
                    ),
                    "Mend what it complains about (host keys, /run/sshd, a line of sshd_config), \
                     then run doctor again.",
                )];
            }
        };
        let settings = Settings::parse(&text);
        for found in judge::judge(&settings, (user, recorded), question) {
            groups.add(&label, found);
        }
    }
    let mut checks = groups.checks();
    if !unasked.is_empty() {
        checks.push(Check::warn(
            "sshd.names",
            format!("{unasked}: sshd can't be asked about names like these (`sshd -T -C`)."),
            "Read sshd_config for Match lines that mean them.",
        ));
    }
    if question.users.len() > MOST_USERS {
        checks.push(Check::ok(
            "sshd.users",
            format!(
                "Asked sshd about the first {MOST_USERS} of {} users with a record.",
                question.users.len()
            ),
        ));
    }
    checks
}

/// Whether a name can stand in `-C user=…`, which has no way to quote.
fn can_be_asked_about(user: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !",=\"".contains(c);
    !user.is_empty() && user.chars().all(is_plain)
}

/// Findings with the users whom they are about.
#[derive(Default)]
struct Groups(Vec<(Check, Tally)>);

impl Groups {
    fn add(&mut self, user: &str, check: Check) {
        let known = self.0.iter_mut().find(|(known, _)| *known == check);
        if let Some((_, users)) = known {
            users.add(user);
        } else {
            let mut users = Tally::default();
            users.add(user);
            self.0.push((check, users));
        }
    }

    fn checks(self) -> Vec<Check> {
        let named = self.0.into_iter().map(|(check, users)| Check {
            message: format!("{users}: {}", check.message),
            ..check
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests;
