//! Finds a login stack that asks nobody for a code, can be passed by, or locks people out.
//!
//! Service files are read and walked as Linux-PAM 1.5 does (`lines`,
//! `service`, `control`, `dispatch`); every way that the modules' possible answers allow is looked at (`known`,
//! `explore`), and what that means for a login is said in `judge` and `verdict`.

mod control;
mod dispatch;
mod explore;
mod judge;
mod known;
mod lines;
mod service;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::doctor::check::Check;
use service::{Folders, Service};

/// Where this host keeps its stacks and modules, and the configuration that doctor reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// Service folders, the first one first: `/etc/pam.d`, `/usr/lib/pam.d`.
    pub(crate) services: &'a [&'a Path],
    /// Module folders, such as `/usr/lib/x86_64-linux-gnu/security`; empty: not looked at.
    pub(crate) modules: &'a [&'a Path],
    /// The mfa.toml that doctor was run with.
    pub(crate) config: &'a Path,
}

impl Places<'_> {
    /// The file of a module as libpam would find it; None where it is missing.
    fn module(&self, name: &str) -> Option<PathBuf> {
        // libpam puts its own folder for the old `$ISA`; ours are tried without it.
        let name = name.replace("/$ISA/", "/");
        if name.starts_with('/') {
            return Some(PathBuf::from(name)).filter(|path| path.exists());
        }
        let mut candidates = self.modules.iter().map(|folder| folder.join(&name));
        candidates.find(|path| path.exists())
    }

    /// False only where the file is known to be missing.
    fn has_module(&self, name: &str) -> bool {
        self.module(name).is_some() || (self.modules.is_empty() && !name.starts_with('/'))
    }
}

/// Where the first factor stands in an auth stack, seen from our module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstFactor {
    /// Before the code, and a wrong password keeps people away from the prompt.
    Before,
    /// Before the code, which is asked for even after a wrong password.
    BeforeButAskedAnyway,
    /// After the code.
    After,
    /// There is none, or a wrong one does not matter: a code is all that is asked.
    None,
    /// Our module's own, the argument `passphrase`.
    Passphrase,
}

/// What the other rooms of doctor want to know about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceSummary {
    /// The service: `sshd`.
    pub(crate) name: String,
    /// Where our module stands in auth (`/etc/pam.d/sshd:5`), and what stands around it.
    pub(crate) auth: Option<(String, FirstFactor)>,
    /// Where our module stands in account.
    pub(crate) account: Option<String>,
    /// Whether our module stands in session.
    pub(crate) session: bool,
    /// Whether our module asks for a passphrase.
    pub(crate) passphrase: bool,
}

/// The checks, and the services that reach our module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// In the order of the services' names.
    pub(crate) checks: Vec<Check>,
    /// In the order of their names.
    pub(crate) services: Vec<ServiceSummary>,
}

impl Report {
    /// The summary of one service, if it reaches our module.
    pub(crate) fn service(&self, name: &str) -> Option<&ServiceSummary> {
        self.services.iter().find(|service| service.name == name)
    }
}

/// Services that include others and are included themselves; any other file that is included is
/// a part of services, not one.
const INCLUDED_SERVICES: [&str; 8] = [
    "login", "other", "polkit-1", "remote", "runuser", "sshd", "su", "sudo",
];

/// Judges every service that reaches our module.
pub(crate) fn check_services(places: &Places<'_>) -> Report {
    let mut report = Report::default();
    let mut names = BTreeSet::new();
    for (at, folder) in places.services.iter().enumerate() {
        match service_names(folder) {
            Ok(found) => names.extend(found),
            Err(why) if at == 0 => report.checks.push(Check::fail(
                "pam.services",
                format!(
                    "The service folder {} can't be read: {why}.",
                    folder.display()
                ),
                "Run doctor as root, on the host whose logins are to be checked.",
            )),
            Err(_) => {}
        }
    }
    let folders = Folders(places.services);
    let services: BTreeMap<String, Service> = names
        .into_iter()
        .map(|name| (name.clone(), folders.load(&name)))
        .collect();
    let included: BTreeSet<&str> = services
        .values()
        .flat_map(|service| service.includes.iter().map(String::as_str))
        .filter(|name| !INCLUDED_SERVICES.contains(name))
        .collect();
    for (name, service) in &services {
        if !included.contains(name.as_str()) {
            judge::judge(service, places, &mut report);
        }
    }
    if report.services.is_empty() && report.checks.is_empty() {
        let folder = places
            .services
            .first()
            .map_or(Path::new("/etc/pam.d"), |p| p);
        report.checks.push(Check::warn(
            "pam.services",
            format!(
                "No service in {} reaches pam_mfa.so: nobody is asked for a code.",
                folder.display()
            ),
            "Add the lines of the example for your service, and keep a root shell open while you \
             try them.",
        ));
    }
    report
}

/// The services of a folder. libpam asks for names in lower case; copies that editors and package
/// managers leave are nobody's service.
fn service_names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !is_leftover(name) && !folder.join(name).is_dir())
        .collect())
}

fn is_leftover(name: &str) -> bool {
    const ENDINGS: [&str; 13] = [
        "~",
        ".bak",
        ".orig",
        ".old",
        ".save",
        ".swp",
        ".rpmnew",
        ".rpmsave",
        ".rpmorig",
        ".md5sums",
        ".pam-old",
        ".disabled",
        ".tmp",
    ];
    name.starts_with(['.', '#'])
        || name.contains(".dpkg-")
        || name.contains(".ucf-")
        || name.chars().any(char::is_uppercase)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests;
