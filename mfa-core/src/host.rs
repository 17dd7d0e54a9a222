//! What a login needs of this host before it can begin: configuration, machine id, store, sealing key.

mod credential;
mod key_place;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::audit::{Event, Severity};
use crate::config::Config;
use crate::courier::Channels;
use crate::device::{DeviceError, DeviceId};
use crate::document::DocumentError;
use crate::seal::{SealError, SealingKey};
use crate::secure_file::{self, FileError, Owner, Privacy};
use crate::store::{FileStore, StoreError};
pub use credential::{CredentialError, Protection};
pub use key_place::{KeyPlace, Prepared};

/// A host that is ready for logins.
#[derive(Debug)]
pub struct Host {
    /// The configuration.
    pub config: Config,
    /// Which host this is.
    pub device: DeviceId,
    /// Records and states.
    pub store: FileStore,
    /// What can be delivered.
    pub channels: Channels,
}

/// Why this host can't check anybody.
#[derive(Debug)]
pub enum HostError {
    /// The configuration's file can't be read or trusted.
    ConfigFile(FileError),
    /// The configuration says something wrong.
    Config {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: DocumentError,
    },
    /// The machine id.
    Device(DeviceError),
    /// The store.
    Store(StoreError),
    /// The sealing key's file can't be read or trusted.
    KeyFile(FileError),
    /// The credential that holds the sealing key can't be opened, or none be made.
    Credential {
        /// The file.
        path: PathBuf,
        /// Why.
        error: CredentialError,
    },
    /// The sealing key's file holds no key.
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SealError,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigFile(error) | Self::KeyFile(error) => error.fmt(f),
            Self::Config { path, error } => write!(f, "{}:{error}", path.display()),
            Self::Device(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Key { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Credential { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for HostError {}

impl HostError {
    /// The event and the severity of its line.
    #[must_use]
    pub fn event(&self) -> (Event, Severity) {
        let event = match self {
            Self::ConfigFile(_) | Self::Config { .. } => Event::ConfigUnusable,
            Self::Device(_) => Event::DeviceUnusable,
            Self::Store(error) if error.is_corruption() => {
                return (Event::StoreUnusable, Severity::Alert);
            }
            Self::Store(_) | Self::KeyFile(_) | Self::Key { .. } | Self::Credential { .. } => {
                Event::StoreUnusable
            }
        };
        (event, event.severity())
    }
}

impl Host {
    /// Opens what the configuration points to; the sealing key apart, which not every hook needs.
    ///
    /// # Errors
    ///
    /// The machine id or the store can't be used.
    pub fn open(config: Config, owner: Owner) -> Result<Self, HostError> {
        let device =
            DeviceId::read(config.paths.machine_id.as_path(), owner).map_err(HostError::Device)?;
        let store = FileStore::open(config.paths.store.as_path(), owner, &config.ignore_unknown)
            .map_err(|error| HostError::Store(error.into()))?;
        Ok(Self {
            channels: Channels::of(&config),
            config,
            device,
            store,
        })
    }

    /// What else a login needs: the sealing key, and a store that can be written. Asked for before anybody is
    /// asked for a code.
    ///
    /// # Errors
    ///
    /// The key is missing, not private, or none; the store is on a file system that is read-only.
    pub fn prepare_login(&self, owner: Owner) -> Result<SealingKey, HostError> {
        let key = load_key(&self.config, owner)?;
        self.store
            .check_writable()
            .map_err(|error| HostError::Store(error.into()))?;
        Ok(key)
    }
}

/// This host's name, as hostname(1) prints it.
#[must_use]
pub fn name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Reads the configuration.
///
/// # Errors
///
/// [`HostError::ConfigFile`] and [`HostError::Config`].
pub fn load_config(path: &Path, owner: Owner) -> Result<Config, HostError> {
    let bytes = secure_file::read(path, owner, Privacy::Public).map_err(HostError::ConfigFile)?;
    Config::parse(&bytes).map_err(|error| HostError::Config {
        path: path.to_owned(),
        error,
    })
}

/// Reads the sealing key that a configuration names: for logins and for the command alike.
///
/// # Errors
///
/// [`HostError::KeyFile`], [`HostError::Credential`] and [`HostError::Key`].
pub fn load_key(config: &Config, owner: Owner) -> Result<SealingKey, HostError> {
    KeyPlace::of(config).read(owner)
}
