//! `mfa-admin doctor`: why people can or can't log in, before they try. Each room gathers facts and
//! judges them apart, so that the judgement can be tested on any machine.

pub(crate) mod check;
mod clock;
pub(crate) mod delivery;
mod emergency;
mod files;
mod filesystem;
mod findings;
mod module;
pub(crate) mod pam_stack;
mod program;
mod seal;
pub(crate) mod sshd;
mod store;
mod survey;
mod syslog;
mod tally;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mfa_core::clock::{Clock, SystemClock};
use mfa_core::config::{self, Config};
use mfa_core::device::DeviceId;
use mfa_core::host::{self, HostError};
use mfa_core::secure_file::{Owner, Problem};

use check::Check;

use crate::output::{quoted, shown};

/// Somebody who surely has no record, where nobody better can be found.
const NOBODY: &str = "mfa-doctor-nobody";

/// Which host is looked at: this one, or a test host in a folder of its own.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// `mfa.toml`.
    pub(crate) config: PathBuf,
    /// Whose our files must be.
    pub(crate) owner: Owner,
    /// Service folders of PAM, the first one first.
    pub(crate) services: Vec<PathBuf>,
    /// Folders where modules may be installed.
    pub(crate) modules: Vec<PathBuf>,
    /// sshd, by its absolute path.
    pub(crate) sshd: PathBuf,
    /// Another configuration than sshd's own.
    pub(crate) sshd_config: Option<PathBuf>,
    /// The client's address that `Match` lines of sshd see.
    pub(crate) address: String,
    /// Where syslog listens.
    pub(crate) syslog: PathBuf,
    /// Who is to get a trial message.
    pub(crate) send_test: Option<String>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            config: PathBuf::from(config::DEFAULT_PATH),
            owner: Owner::ROOT,
            services: ["/etc/pam.d", "/usr/lib/pam.d"].map(PathBuf::from).into(),
            modules: module::folders(Path::new("/")),
            sshd: PathBuf::from("/usr/sbin/sshd"),
            sshd_config: None,
            // RFC 5737: an address that is nobody's.
            address: "203.0.113.7".to_owned(),
            syslog: PathBuf::from("/dev/log"),
            send_test: None,
        }
    }
}

/// Runs every check, in the order in which a login depends on them. One that fails stops only those
/// that have nothing to look at without it.
pub(crate) fn run(scope: &Scope) -> Vec<Check> {
    let now = SystemClock::new().now();
    let mut checks = Vec::new();
    let config = configuration(scope, &mut checks);
    let known = config
        .as_ref()
        .map(|config| store::check(scope, config, &now, &mut checks))
        .unwrap_or_default();
    checks.extend(emergency::check(scope, config.as_ref()));
    if let Some(config) = &config {
        delivery::check(scope, config, &now, &mut checks);
    }
    checks.push(clock::synchronized());
    checks.push(clock::plausible(&now, &scope.config));
    checks.push(module::check(&scope.modules, scope.owner));
    checks.push(syslog::check(&scope.syslog));
    let time_for_a_code = config.as_ref().and_then(delivery::time_for_a_code);
    services(scope, &known, time_for_a_code, &mut checks);
    checks
}

/// What the checks of PAM and sshd want to know of the store.
#[derive(Debug, Default)]
struct Known {
    /// Users with a record.
    users: Vec<String>,
    /// Somebody without one.
    without_record: Option<String>,
    /// Users with a record and without a passphrase.
    without_passphrase: tally::Tally,
}

/// The configuration, where it can be used.
fn configuration(scope: &Scope, checks: &mut Vec<Check>) -> Option<Config> {
    let path = shown(&scope.config.display().to_string());
    match host::load_config(&scope.config, scope.owner) {
        Ok(config) => {
            checks.push(Check::ok("config", format!("{path} is right.")));
            Some(config)
        }
        Err(error) => {
            checks.push(unusable_configuration(scope, &error));
            checks.push(Check::warn(
                "store",
                "Store, sealing key, machine id and delivery were not looked at: the configuration says where they are.",
                "Mend the configuration, then run doctor again.",
            ));
            None
        }
    }
}

fn unusable_configuration(scope: &Scope, error: &HostError) -> Check {
    let message = format!(
        "{} Every login that reaches the module is refused.",
        files::sentence(error)
    );
    let hint = match error {
        HostError::ConfigFile(file) if file.problem == Problem::Missing => {
            format!(
                "Put it back, or write a first one: {}.",
                scope.command("init")
            )
        }
        HostError::ConfigFile(file) => files::remedy(file, scope.owner),
        _ => format!(
            "Mend that line; {} checks it.",
            scope.command("config check")
        ),
    };
    Check::fail("config", message, hint)
}

/// The machine id: which host this is.
fn machine_id(scope: &Scope, config: &Config, checks: &mut Vec<Check>) -> Option<DeviceId> {
    match DeviceId::read(config.paths.machine_id.as_path(), scope.owner) {
        Ok(device) => {
            checks.push(Check::ok(
                "machine-id",
                format!("This host is device {device}."),
            ));
            Some(device)
        }
        Err(error) => {
            checks.push(Check::fail(
                "machine-id",
                format!(
                    "{} Nobody can be checked against their devices: every login is refused.",
                    files::sentence(&error)
                ),
                "Run `systemd-machine-id-setup`, or put the old machine id back: records name it.",
            ));
            None
        }
    }
}

/// The stacks, and what sshd does before it comes to them.
fn services(
    scope: &Scope,
    known: &Known,
    time_for_a_code: Option<Duration>,
    checks: &mut Vec<Check>,
) {
    let services: Vec<&Path> = scope.services.iter().map(PathBuf::as_path).collect();
    let modules: Vec<&Path> = scope.modules.iter().map(PathBuf::as_path).collect();
    let report = pam_stack::check_services(&pam_stack::Places {
        services: &services,
        modules: &modules,
        config: &scope.config,
    });
    let stack = report.service("sshd").cloned();
    checks.extend(findings::passphrases(
        scope,
        &report,
        &known.without_passphrase,
    ));
    checks.extend(report.checks);
    checks.extend(sshd::check(&sshd::Question {
        binary: &scope.sshd,
        config: scope.sshd_config.as_deref(),
        users: &known.users,
        without_record: known.without_record.as_deref().unwrap_or(NOBODY),
        address: &scope.address,
        stack: stack.as_ref(),
        time_for_a_code,
    }));
}

impl Scope {
    /// A command of ours about this host, as it would be typed.
    fn command(&self, rest: &str) -> String {
        if self.config == Path::new(config::DEFAULT_PATH) {
            return format!("`mfa-admin {rest}`");
        }
        let config = self.config.display().to_string();
        format!("`mfa-admin --config {} {rest}`", quoted(&config))
    }
}
