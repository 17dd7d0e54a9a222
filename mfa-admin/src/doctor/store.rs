//! The store and what stands around it.

use mfa_core::clock::Moment;
use mfa_core::config::Config;
use mfa_core::courier::Channels;
use mfa_core::request;
use mfa_core::secure_file::{FileError, Problem};
use mfa_core::store::FileStore;

use super::check::Check;
use super::survey::{Survey, Surveyor};
use super::{Known, Scope, files, filesystem, machine_id, seal};

/// Accounts that every system has and nobody logs in as; one of them will do for the user without a record.
const STRANGERS: [&str; 4] = ["nobody", "daemon", "bin", "games"];

/// Everything that the configuration points to.
pub(super) fn check(
    scope: &Scope,
    config: &Config,
    now: &Moment,
    checks: &mut Vec<Check>,
) -> Known {
    let store = open(scope, config, checks);
    checks.extend(files::optional(config, scope.owner));
    if let Some(store) = &store {
        checks.extend(filesystem::check(store.state_folder().path()));
    }
    let key = seal::key(scope, config, checks);
    let device = machine_id(scope, config, checks);
    let Some(store) = store else {
        return Known::default();
    };
    let surveyor = Surveyor {
        config,
        channels: Channels::of(config),
        store: &store,
        key: key.as_ref(),
        device,
        now,
        is_writable: store.check_writable().is_ok(),
    };
    match surveyor.survey() {
        Ok(survey) => {
            checks.extend(survey.checks(scope, config));
            known(survey)
        }
        Err(error) => {
            let hint = "Run doctor as root; see the kernel's log for errors of the disk.";
            checks.push(Check::fail("records", files::sentence(&error), hint));
            Known::default()
        }
    }
}

/// The store, where its folders can be trusted and written.
fn open(scope: &Scope, config: &Config, checks: &mut Vec<Check>) -> Option<FileStore> {
    let refused = |error: &FileError| {
        let hint = if error.problem == Problem::Missing {
            format!(
                "Put it back from your backup, or make an empty one: {}.",
                scope.command("init")
            )
        } else {
            files::remedy(error, scope.owner)
        };
        let message = format!("{} Every login is refused.", files::sentence(error));
        Check::fail("store", message, hint)
    };
    let path = config.paths.store.as_path();
    let store = match FileStore::open(path, scope.owner, &config.ignore_unknown) {
        Ok(store) => store,
        Err(error) => {
            checks.push(refused(&error));
            return None;
        }
    };
    checks.push(match store.check_writable() {
        Ok(()) => Check::ok(
            "store",
            format!("{} can be read and written.", config.paths.store),
        ),
        Err(error) => refused(&error),
    });
    checks.push(files::private_folders(&[
        store.users_folder(),
        store.state_folder(),
    ]));
    Some(store)
}

/// What the checks of sshd ask about.
fn known(survey: Survey) -> Known {
    let has_record = |name: &str| survey.users.iter().any(|user| user == name);
    let exists = |name: &str| request::find_account(name).is_ok_and(|account| account.is_some());
    let without_record = STRANGERS
        .into_iter()
        .find(|name| !has_record(name) && exists(name));
    Known {
        without_record: without_record.map(str::to_owned),
        users: survey.users,
        without_passphrase: survey.without_passphrase,
    }
}
