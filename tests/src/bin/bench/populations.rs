//! Stores with few and with many users: of ours, and google's folder.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mfa_tests::pam_host::PamHost;

use crate::kind::Kind;
use crate::ours::{self, TABLES};
use crate::site::Site;

/// Up to so many users each has files of their own. Beyond that the users whom nobody logs in as share files, by hard links:
/// what a login could notice of them is the size of the folders.
const OWN_FILES: usize = 100_000;
/// Names of one file; ext4 has 65 000 at most.
const NAMES: usize = 60_000;

/// A store of ours with so many users, and its service `ours-USERS`.
pub(crate) struct Population {
    pub(crate) users: usize,
    pub(crate) host: PamHost,
    people: Vec<String>,
}

impl Population {
    /// A copy of `base`, on which the people of `site` have records, with others added; `tell` hears how many.
    pub(crate) fn new(
        site: &Site,
        base: &PamHost,
        users: usize,
        mut tell: impl FnMut(usize),
    ) -> Self {
        let service = format!("ours-{users}");
        let host = base.copy_below(site.folder.join(&service), TABLES);
        ours::save_states(&host, &site.people);
        let model = &site.people[0];
        let record = fs::read_to_string(host.record_path(model)).unwrap();
        let state = fs::read(host.state_path(model)).unwrap();
        let others = users - site.people.len();
        let (users_folder, states) = (host.path("lib/users"), host.path("lib/state"));
        let mut records = Filler::new(others);
        let mut blocks = Filler::new(others);
        for number in 0..others {
            tell(number);
            let name = format!("f{number:07}");
            // Nobody logs in with them: their secrets are bound to another name.
            let record = record.replacen(model, &name, 1);
            records.add(
                &users_folder.join(format!("{name}.toml")),
                record.as_bytes(),
            );
            blocks.add(&states.join(&name), &state);
        }
        ours::add_service(site, &service, &host);
        Self {
            users,
            host,
            people: site.people.clone(),
        }
    }

    pub(crate) fn service(&self) -> String {
        format!("ours-{}", self.users)
    }

    /// Logins of the people of the site.
    pub(crate) fn logins(&self, name: &str) -> Kind {
        ours::logins(name, &self.service(), &self.host, &self.people)
    }
}

/// Adds files that nobody reads.
pub(crate) struct Filler {
    is_shared: bool,
    count: usize,
    model: PathBuf,
}

impl Filler {
    pub(crate) fn new(files: usize) -> Self {
        Self {
            is_shared: files > OWN_FILES,
            count: 0,
            model: PathBuf::new(),
        }
    }

    pub(crate) fn add(&mut self, path: &Path, content: &[u8]) {
        if self.is_shared && !self.count.is_multiple_of(NAMES) {
            fs::hard_link(&self.model, path).unwrap();
        } else {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .unwrap();
            file.write_all(content).unwrap();
            path.clone_into(&mut self.model);
        }
        self.count += 1;
    }
}
