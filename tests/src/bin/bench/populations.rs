//! Stores of ours with few and with many users.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mfa_tests::pam_host::PamHost;

use crate::kind::Kind;
use crate::ours::{self, TABLES};
use crate::site::{Site, spread, write_private};

/// A store with so many users, and its service `ours-USERS`.
pub(crate) struct Population {
    pub(crate) users: usize,
    pub(crate) host: PamHost,
    people: Vec<String>,
}

impl Population {
    /// A copy of `base`, on which everybody has a record: people who are too many taken away, or records added that nobody logs in with.
    pub(crate) fn new(site: &Site, base: &PamHost, users: usize) -> Self {
        let service = format!("ours-{users}");
        let host = base.copy_below(site.folder.join(&service), TABLES);
        let people = spread(&site.people, users);
        for name in site.people.iter().filter(|name| !people.contains(name)) {
            fs::remove_file(host.record_path(name)).unwrap();
            fs::remove_file(host.state_path(name)).unwrap();
        }
        ours::save_states(&host, &people);
        fill_up(&host, &people[0], site.people.len()..users);
        ours::add_service(site, &service, &host);
        Self {
            users,
            host,
            people,
        }
    }

    pub(crate) fn service(&self) -> String {
        format!("ours-{}", self.users)
    }

    /// Logins of its people.
    pub(crate) fn logins(&self, what: &str) -> Kind {
        let name = format!("pam_mfa, {what}, {} users", self.users);
        ours::logins(&name, &self.service(), &self.host, &self.people)
    }
}

/// Records and states of the shape of `model`'s. Nobody logs in with them: their secrets are bound to `model`.
fn fill_up(host: &PamHost, model: &str, numbers: std::ops::Range<usize>) {
    let record = fs::read_to_string(host.record_path(model)).unwrap();
    let state = fs::read(host.state_path(model)).unwrap();
    for number in numbers {
        let name = format!("u{number:06}");
        write_private(&host.record_path(&name), &record.replacen(model, &name, 1));
        fs::write(host.state_path(&name), &state).unwrap();
        fs::set_permissions(host.state_path(&name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}
