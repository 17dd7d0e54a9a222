//! A file that is replaced as a whole, and by one at a time: whoever is about to holds the lock of the file that is
//! there. Nobody but its owner can open that one, while a folder that everybody can read everybody can lock.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::block::lock;
use super::{BlockError, FileError, Folder, Locked, MAX_FILE_SIZE, Privacy, Problem};

/// A file as it is while nobody else replaces it, until this is dropped.
#[derive(Debug)]
pub struct Held {
    _lock: Locked<OwnedFd>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Held {
    /// What it holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Folder {
    /// Locks a private file and reads it. It need not be writable: the one in its place is made anew.
    ///
    /// # Errors
    ///
    /// It is missing, can't be trusted or is too large, or somebody else holds it for longer than `patience`.
    pub fn hold(&self, name: &str, patience: Duration) -> Result<Held, BlockError> {
        let path = self.path.join(name);
        let mut waited = Duration::ZERO;
        loop {
            let (fd, opened) = self.open_file(name, OFlag::O_RDONLY, Privacy::Private)?;
            let lock = lock(fd, patience, &mut waited)
                .map_err(|errno| FileError::system(&path, errno))?
                .map_err(|_| BlockError::Busy { holder: None })?;
            let named = self
                .stat(name)
                .map_err(|errno| FileError::system(&path, errno))?;
            if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino) {
                let bytes = self.fill(&lock, name, MAX_FILE_SIZE + 1, MAX_FILE_SIZE + 1)?;
                if bytes.len() > MAX_FILE_SIZE {
                    return Err(FileError::new(&path, Problem::TooLarge).into());
                }
                return Ok(Held { _lock: lock, bytes });
            }
            // Replaced while it was waited for.
            if waited >= patience {
                return Err(BlockError::Busy { holder: None });
            }
            std::thread::sleep(super::block::FIRST_PAUSE);
            waited += super::block::FIRST_PAUSE;
        }
    }
}
