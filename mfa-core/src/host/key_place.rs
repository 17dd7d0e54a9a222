//! Where the sealing key is kept: in a file of its own, or in a credential of systemd's that only this host opens.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::sys::stat::stat;
use zeroize::Zeroizing;

use super::{HostError, credential};
use crate::config::Config;
use crate::host::{CredentialError, Protection};
use crate::seal::{SealingKey, Source};
use crate::secure_file::{self, Owner, Privacy, folder_of};

/// A place for a sealing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// `paths.seal_key`.
    File(PathBuf),
    /// `seal.credential`.
    Credential(PathBuf),
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

impl KeyPlace {
    /// The one that a configuration names. Where that is a credential, a plain file beside it counts for nothing.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        match config.seal.credential.path() {
            Some(path) => Self::Credential(path.to_owned()),
            None => Self::plain(config),
        }
    }

    /// The plain file, whether or not it is the one that counts.
    #[must_use]
    pub fn plain(config: &Config) -> Self {
        Self::File(config.paths.seal_key.as_path().to_owned())
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    ///
    /// The file can't be trusted, the credential not be opened, or there is no key in it.
    pub fn read(&self, owner: Owner) -> Result<SealingKey, HostError> {
        // Before the file is read: what is put there meanwhile is another one.
        let stamp = Stamp::of(self.path());
        let bytes = self.bytes(owner)?;
        let text = match self {
            Self::File(_) => bytes,
            Self::Credential(_) => credential::open(&bytes).map_err(|error| self.failed(error))?,
        };
        let key = SealingKey::from_file_text(&text).map_err(|error| HostError::Key {
            path: self.path().to_owned(),
            error,
        })?;
        Ok(key.from_source(Kept {
            place: self.clone(),
            owner,
            stamp,
        }))
    }

    /// What is left here of a key that was to be put here by a process which was killed.
    #[must_use]
    pub fn leftover(&self) -> Option<PathBuf> {
        let path = self.path();
        let left = path.with_file_name(temporary_of(path.file_name()?.to_str()?));
        left.symlink_metadata().ok().map(|_| left)
    }

    /// Removes that, and has it off the disk. The caller holds the lock under which keys are put in place.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn remove_leftover(&self, owner: Owner) -> Result<(), HostError> {
        if self.leftover().is_none() {
            return Ok(());
        }
        let (folder, name) = folder_of(self.path(), owner).map_err(HostError::KeyFile)?;
        folder
            .remove_if_present(&temporary_of(&name))
            .and_then(|_| folder.sync())
            .map_err(HostError::KeyFile)
    }

    fn bytes(&self, owner: Owner) -> Result<Zeroizing<Vec<u8>>, HostError> {
        secure_file::read(self.path(), owner, Privacy::Private).map_err(HostError::KeyFile)
    }

    fn failed(&self, error: CredentialError) -> HostError {
        HostError::Credential {
            path: self.path().to_owned(),
            error,
        }
    }

    /// Makes what is to be put there for a key. A credential is opened again, and then known to hold that key.
    ///
    /// # Errors
    ///
    /// systemd-creds refuses.
    pub fn prepare(&self, key: &SealingKey) -> Result<Prepared, HostError> {
        let text = key.to_file_text();
        let bytes = match self {
            Self::File(_) => Zeroizing::new(text.as_bytes().to_vec()),
            Self::Credential(_) => {
                let sealed =
                    credential::seal(text.as_bytes()).map_err(|error| self.failed(error))?;
                let again = credential::open(&sealed).map_err(|error| self.failed(error))?;
                if *again != text.as_bytes() {
                    return Err(self.failed(CredentialError::Altered));
                }
                sealed
            }
        };
        Ok(Prepared {
            path: self.path().to_owned(),
            bytes,
        })
    }

    /// What a credential is protected by; nothing for a plain file.
    ///
    /// # Errors
    ///
    /// The file can't be trusted.
    pub fn protection(&self, owner: Owner) -> Result<Option<Protection>, HostError> {
        match self {
            Self::File(_) => Ok(None),
            Self::Credential(_) => Ok(Some(Protection::of(&self.bytes(owner)?))),
        }
    }
}

/// What is to be put in the place of a key.
pub struct Prepared {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
}

impl Prepared {
    /// Puts it there, all of it or nothing, and has it on disk. The caller holds a lock, so that nobody else does.
    ///
    /// # Errors
    ///
    /// The system refuses. What was there before is still there.
    pub fn put(self, owner: Owner) -> Result<(), HostError> {
        let (folder, name) = folder_of(&self.path, owner).map_err(HostError::KeyFile)?;
        let temporary = temporary_of(&name);
        folder
            .replace(&name, &temporary, 0o600, &self.bytes)
            .map_err(HostError::KeyFile)
    }
}

/// What a key is written as before it is put in its place.
fn temporary_of(name: &str) -> String {
    format!(".new-{name}")
}

/// What a file looked like when it was read.
#[derive(PartialEq, Eq)]
struct Stamp(Option<[i64; 5]>);

impl Stamp {
    #[allow(clippy::cast_possible_wrap, clippy::unnecessary_cast)] // numbers that are compared and no more
    fn of(path: &Path) -> Self {
        Self(stat(path).ok().map(|file| {
            [
                file.st_dev as i64,
                file.st_ino as i64,
                file.st_ctime as i64,
                file.st_ctime_nsec as i64,
                file.st_size as i64,
            ]
        }))
    }
}

/// A key that was read from a place.
struct Kept {
    place: KeyPlace,
    owner: Owner,
    stamp: Stamp,
}

impl Source for Kept {
    fn read_again(&self) -> Result<Option<SealingKey>, String> {
        if Stamp::of(self.place.path()) == self.stamp {
            return Ok(None);
        }
        let read = self.place.read(self.owner);
        read.map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
