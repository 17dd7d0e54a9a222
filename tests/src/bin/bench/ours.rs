//! Hosts of ours: stores of many sizes, and people who are refused for one reason or another.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mfa_tests::pam_host::PamHost;

use crate::kind::Kind;
use crate::site::{Site, copy};

/// One prompt a login, and no delay that somebody would have to sleep.
pub(crate) const TABLES: &str = "[prompt]\ntries = 1\nfail_delay = \"0s\"\n";

/// A host on which `people` have records, and their app.
pub(crate) fn enrolled(site: &Site, name: &str, people: &[String]) -> PamHost {
    let host = PamHost::below(site.folder.join(name), TABLES);
    for name in people {
        host.enroll_app(name, &site.app);
    }
    host
}

/// Another module than the one that was built.
pub(crate) fn install_module(host: &PamHost, module: &Path) {
    let installed = host.path("pam_mfa.so");
    fs::remove_file(&installed).unwrap();
    fs::copy(module, installed).unwrap();
}

/// A service `name` with the host's module alone.
pub(crate) fn add_service(site: &Site, name: &str, host: &PamHost) {
    add_service_with(site, name, host, "");
}

/// The same with arguments of the module's.
pub(crate) fn add_service_with(site: &Site, name: &str, host: &PamHost, arguments: &str) {
    let line = host.line("auth", "required", arguments);
    site.service(name, line.trim().trim_start_matches("auth required"));
}

/// Keeps the states of `people` as they are now, to be written back before each login.
pub(crate) fn save_states(host: &PamHost, people: &[String]) {
    fs::create_dir_all(host.path("saved")).unwrap();
    for name in people {
        copy(&host.state_path(name), &host.path("saved").join(name));
    }
}

/// Logins of people whose states are saved.
pub(crate) fn logins(name: &str, service: &str, host: &PamHost, people: &[String]) -> Kind {
    Kind::new(name, service, people).restored(&host.path("saved/{}"), &host.path("lib/state/{}"))
}

/// Logins of people without a record, who are known to NSS.
pub(crate) fn strangers(name: &str, service: &str, host: &PamHost, people: &[String]) -> Kind {
    Kind::new(name, service, people)
        .restored(&host.path("decoys/{}-saved"), &host.path("decoys/{}"))
        .wrong()
}

/// Which decoy a stranger's answers are charged to: the one that a login has just written. Linked as
/// `decoys/NAME`, so that the very file that is about to be written is written back before, as for anybody else.
pub(crate) fn find_decoy(site: &Site, host: &PamHost, name: &str) {
    host.login(name, &[site.app.wrong_code()]);
    let states = fs::read_dir(host.path("lib/state"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let newest = states
        .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap())
        .unwrap();
    let decoys = host.path("decoys");
    fs::create_dir_all(&decoys).unwrap();
    symlink(newest.path(), decoys.join(name)).unwrap();
    fs::copy(newest.path(), decoys.join(format!("{name}-saved"))).unwrap();
}
