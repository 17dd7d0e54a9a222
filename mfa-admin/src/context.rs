//! What every verb needs: the configuration, the store, the host, the log, and who a name is.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use mfa_core::audit::{AuditLog, Entry, Event, admin_line};
use mfa_core::clock::{Clock, Moment, SystemClock};
use mfa_core::config::Config;
use mfa_core::device::DeviceId;
use mfa_core::host::{self, KeyPlace};
use mfa_core::record::UserRecord;
use mfa_core::request::{Account, UserName, find_account};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::{FileError, Owner};
use mfa_core::store::{FileStore, Store, StoreError, Subject};

use crate::audit::{SystemLog, actor};
use crate::error::{Failure, Kind};
use crate::output::{Output, shown};

/// One run of the command.
pub(crate) struct Context<'a> {
    /// The configuration's file.
    pub(crate) config_path: PathBuf,
    /// Where answers go.
    pub(crate) output: &'a Output,
    /// Where audit lines go.
    pub(crate) log: RefCell<SystemLog<'a>>,
    /// The clocks.
    pub(crate) clock: SystemClock,
}

/// A host with a store.
pub(crate) struct House {
    /// The configuration.
    pub(crate) config: Config,
    /// Records and states.
    pub(crate) store: FileStore,
}

/// Somebody whom a name on the command line means.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The name, as the system knows it.
    pub(crate) user: UserName,
    /// The account; none where the system does not know the name, or can't tell.
    pub(crate) account: Option<Account>,
}

impl<'a> Context<'a> {
    /// A run with a configuration file.
    pub(crate) fn new(config_path: &Path, output: &'a Output) -> Result<Self, Failure> {
        let config_path = std::path::absolute(config_path).map_err(|error| {
            Failure::new(
                Kind::ConfigUnusable,
                error.to_string(),
                "name a file with --config",
            )
        })?;
        Ok(Self {
            config_path,
            output,
            log: RefCell::new(SystemLog::new(output)),
            clock: SystemClock::new(),
        })
    }

    /// The configuration; anybody may read it.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(host::load_config(&self.config_path, Owner::ROOT)?)
    }

    /// Configuration and store, for root.
    pub(crate) fn open(&self) -> Result<House, Failure> {
        require_root()?;
        let config = self.config()?;
        let store = FileStore::open(
            config.paths.store.as_path(),
            Owner::ROOT,
            &config.ignore_unknown,
        )
        .map_err(StoreError::from)?;
        Ok(House { config, store })
    }

    /// Now.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The moment as records write it.
    pub(crate) fn unix_seconds(&self) -> u64 {
        self.now().unix_seconds()
    }

    /// Writes the audit line of something that was changed.
    pub(crate) fn log_change(&self, event: Event, user: Option<&UserName>, entry: &Entry<'_>) {
        let line = admin_line(event, user.map(UserName::as_str), &actor(), entry);
        self.log.borrow_mut().write(event.severity(), &line);
    }

    /// Whom a name means: the canonical name, where the system knows another one.
    pub(crate) fn person(&self, name: &str) -> Result<Person, Failure> {
        let account = match find_account(name) {
            Ok(account) => account,
            Err(errno) => {
                self.output.warn(&format!(
                    "the name service can't answer ({}): {} is taken as it stands",
                    errno.desc(),
                    shown(name)
                ));
                None
            }
        };
        if let Some(account) = account {
            if account.name.as_str() != name {
                let canonical = shown(account.name.as_str());
                self.output
                    .warn(&format!("the system knows {} as {canonical}", shown(name)));
            }
            return Ok(Person {
                user: account.name.clone(),
                account: Some(account),
            });
        }
        let user = UserName::parse(name).ok_or_else(|| no_such_user(name))?;
        Ok(Person {
            user,
            account: None,
        })
    }
}

impl House {
    /// A user's record.
    pub(crate) fn record(&self, user: &UserName) -> Result<UserRecord, Failure> {
        self.store
            .record(Subject::User(user))?
            .ok_or_else(|| no_such_user(user.as_str()))
    }

    /// What opens the secrets. What is to seal one is read where nobody else can change records
    /// ([`FileStore::change_record`]): `seal rotate` takes the key before out of use once all records are done.
    pub(crate) fn key(&self) -> Result<SealingKey, Failure> {
        host::load_key(&self.config, Owner::ROOT).map_err(|error| {
            let mut failure = Failure::from(error);
            let plain = KeyPlace::plain(&self.config);
            if KeyPlace::of(&self.config) != plain && plain.path().exists() {
                failure.hint = format!("`mfa-admin seal bind` makes it anew of {plain}");
            }
            failure
        })
    }

    /// Changes a record that has to be there. `edit` says whether it changed anything; the record
    /// as it is now comes back with that.
    pub(crate) fn change(
        &self,
        user: &UserName,
        edit: impl FnOnce(&mut UserRecord) -> Result<(), Failure>,
    ) -> Result<(UserRecord, bool), Failure> {
        self.store.change_record(user, |present| {
            let Some(before) = present else {
                return Err(no_such_user(user.as_str()));
            };
            let mut record = before.clone();
            edit(&mut record)?;
            let is_changed = record != before;
            let to_write = is_changed.then(|| record.clone());
            Ok((to_write, (record, is_changed)))
        })
    }
}

/// Refuses everybody but root.
pub(crate) fn require_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::NotPermitted,
        "only root may do this: the store and the sealing key are root's",
        "run it with sudo",
    ))
}

/// This host.
pub(crate) fn this_device(config: &Config) -> Result<DeviceId, Failure> {
    Ok(DeviceId::read(
        config.paths.machine_id.as_path(),
        Owner::ROOT,
    )?)
}

/// Nobody of that name has a record.
pub(crate) fn no_such_user(name: &str) -> Failure {
    Failure::not_found(
        format!("there is no user {}", shown(name)),
        "`mfa-admin user list` shows everybody; `mfa-admin user add NAME` adds one",
    )
}

/// A file's error as a failure of the store.
pub(crate) fn file_failure(error: FileError) -> Failure {
    StoreError::from(error).into()
}
