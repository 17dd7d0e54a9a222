//! What there is to say about a service: its lines here, its stacks in `verdict`.

use std::path::Path;

use super::service::{Entry, Kind, Service};
use super::{Places, Report, ServiceSummary};
use crate::doctor::check::{Check, Status};
use crate::output::shown;

/// The control that DESIGN §4 gives our line.
pub(super) const OUR_CONTROL: &str = "[success=ok ignore=ignore default=die]";

/// Where the module looks without `conf=`.
const DEFAULT_CONFIG: &str = "/etc/mfa/mfa.toml";

/// Judges one service; nothing is said about one that has nothing to do with us.
pub(super) fn judge(service: &Service, places: &Places<'_>, report: &mut Report) {
    let ours = |stack: &[Entry]| stack.iter().any(Entry::is_mfa);
    let (in_auth, in_account) = (ours(&service.auth), ours(&service.account));
    let in_session = ours(&service.session);
    let reaches = in_auth || in_account || in_session || service.mentions_mfa;
    let mut judge = Judge {
        service,
        places,
        checks: Vec::new(),
    };
    judge.troubles(reaches);
    if !reaches {
        report.checks.append(&mut judge.checks);
        return;
    }
    judge.modules();
    judge.arguments();
    judge.nullok();
    let auth = in_auth.then(|| judge.auth());
    let account = in_account.then(|| judge.account());
    if in_auth && !in_account {
        judge.without_account();
    }
    if in_auth && !in_session {
        judge.warn(
            "session",
            "has no session line for pam_mfa.so: no session_opened line is written and no notice \
             of the login is sent.",
            "Add `session optional pam_mfa.so` if you want them.",
        );
    }
    report.services.push(ServiceSummary {
        name: service.name.clone(),
        auth,
        account,
        session: in_session,
        passphrase: service.auth.iter().any(Entry::asks_for_a_passphrase),
    });
    report.checks.append(&mut judge.checks);
}

/// One service and what was found about it.
pub(super) struct Judge<'a> {
    pub(super) service: &'a Service,
    pub(super) places: &'a Places<'a>,
    pub(super) checks: Vec<Check>,
}

impl Judge<'_> {
    pub(super) fn say(&mut self, status: Status, what: &str, message: &str, hint: &str) {
        self.checks.push(Check {
            id: format!("pam.{}.{what}", shown(&self.service.name)),
            status,
            message: format!("{} {message}", shown(&self.service.name)),
            hint: hint.to_owned(),
        });
    }

    pub(super) fn ok(&mut self, what: &str, message: &str) {
        self.say(Status::Ok, what, message, "");
    }

    pub(super) fn warn(&mut self, what: &str, message: &str, hint: &str) {
        self.say(Status::Warn, what, message, hint);
    }

    pub(super) fn fail(&mut self, what: &str, message: &str, hint: &str) {
        self.say(Status::Fail, what, message, hint);
    }

    /// Lines that libpam can't use; in a service without us only what makes all of it unusable.
    fn troubles(&mut self, reaches: bool) {
        let service = self.service;
        for trouble in &service.troubles {
            if trouble.fatal {
                let status = if reaches { Status::Fail } else { Status::Warn };
                self.say(
                    status,
                    "file",
                    &format!(
                        "denies everybody: libpam gives up on it at {}, because {}.",
                        trouble.place, trouble.what
                    ),
                    "Mend that line before the next login; keep a root shell open.",
                );
            } else if reaches {
                self.fail(
                    "file",
                    &format!("has a broken line, {}: {}.", trouble.place, trouble.what),
                    "Mend or remove that line.",
                );
            }
        }
    }

    /// Module files that are missing.
    fn modules(&mut self) {
        let service = self.service;
        let mut told: Vec<&str> = Vec::new();
        for entry in service
            .auth
            .iter()
            .chain(&service.account)
            .chain(&service.session)
        {
            let named = matches!(entry.kind, Kind::Module) || entry.is_mfa();
            if !named || told.contains(&&*entry.module) || self.places.has_module(&entry.module) {
                continue;
            }
            told.push(&entry.module);
            let message = format!(
                "names {} at {}, and there is no such file.",
                shown(&entry.module),
                entry.place
            );
            if entry.is_mfa() {
                self.fail(
                    "module",
                    &message,
                    "Install the module (make install, or the package), or take the line out: \
                     until then every login here is refused.",
                );
            } else {
                self.warn(
                    "module",
                    &message,
                    "Install what it belongs to, or take the line out.",
                );
            }
        }
    }

    /// The module's arguments: an unknown one is ignored, which is seldom what was meant.
    fn arguments(&mut self) {
        let service = self.service;
        let stacks = service
            .auth
            .iter()
            .chain(&service.account)
            .chain(&service.session);
        let mut other_config = None;
        for entry in stacks.filter(|entry| entry.is_mfa()) {
            let mut config = DEFAULT_CONFIG;
            for argument in &entry.arguments {
                match argument.strip_prefix("conf=") {
                    Some(path) => config = path,
                    None if matches!(
                        argument.as_str(),
                        "debug" | "nullok" | "audit" | "passphrase"
                    ) => {}
                    None => self.warn(
                        "arguments",
                        &format!(
                            "gives pam_mfa.so the argument `{}` at {}; the module does not know \
                             it and ignores it.",
                            shown(argument),
                            entry.place
                        ),
                        "The arguments are conf=PATH, debug, nullok, passphrase and audit.",
                    ),
                }
            }
            if Path::new(config) != self.places.config {
                other_config.get_or_insert((config, &entry.place));
            }
        }
        if let Some((config, place)) = other_config {
            let config = shown(config);
            self.warn(
                "conf",
                &format!(
                    "uses the configuration {config} (at {place}), not {}, which these checks are \
                     about.",
                    self.places.config.display()
                ),
                &format!("Run `mfa-admin --config {config} doctor` for it."),
            );
        }
    }

    /// `nullok` on one of auth and account skips in one and refuses in the other.
    fn nullok(&mut self) {
        let service = self.service;
        let nullok = |entry: &&Entry| entry.arguments.iter().any(|a| a == "nullok");
        let ours = |stack: &[Entry]| -> (Option<String>, Option<String>) {
            let (with, without): (Vec<&Entry>, Vec<&Entry>) = stack
                .iter()
                .filter(|entry| entry.is_mfa())
                .partition(nullok);
            let place = |lines: Vec<&Entry>| lines.first().map(|entry| entry.place.to_string());
            (place(with), place(without))
        };
        let (auth_with, auth_without) = ours(&service.auth);
        let (account_with, account_without) = ours(&service.account);
        let odd = match (auth_with, auth_without, account_with, account_without) {
            (Some(with), _, None, _) => Some((with, "auth", "account")),
            (_, Some(_), Some(with), _) => Some((with, "account", "auth")),
            (Some(with), _, _, Some(_)) => Some((with, "auth", "every account line")),
            _ => None,
        };
        if let Some((place, here, there)) = odd {
            self.fail(
                "nullok",
                &format!("has `nullok` on {here} ({place}) and not on {there}."),
                "Put `nullok` on both the auth and the account line, or on neither: people whom \
                 one of them skips are refused by the other.",
            );
        }
    }

    pub(super) fn told(&self, what: &str) -> bool {
        let id = format!("pam.{}.{what}", shown(&self.service.name));
        self.checks.iter().any(|check| check.id == id)
    }

    fn without_account(&mut self) {
        let message = if self.service.name == "sshd" {
            "has no account line for pam_mfa.so: a login with an SSH key alone is not checked at \
             all, not even for people who are suspended."
        } else {
            "has no account line for pam_mfa.so: where auth is not asked (root in su, sudo within \
             its timeout), approval and device are not checked."
        };
        self.warn(
            "account",
            message,
            &format!("Put `account {OUR_CONTROL} pam_mfa.so` before `@include common-account`."),
        );
    }
}
