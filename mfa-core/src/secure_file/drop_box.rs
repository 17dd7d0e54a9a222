//! Folders of somebody else's into which the owner only ever puts things. Whoever the folders belong to may have
//! planted anything in them: nothing that is there is opened, followed or replaced.

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown, fsync};

use super::{FileError, Folder, Owner, write_all};

/// Two folders of one owner: files are made in the first, and moved whole into the second.
#[derive(Debug)]
pub struct DropBox {
    making: Folder,
    taking: Folder,
    uid: Uid,
    gid: Gid,
}

impl DropBox {
    /// Opens two folders right below one that is the owner's.
    ///
    /// # Errors
    ///
    /// They are missing, or are links.
    pub fn open(
        path: &std::path::Path,
        owner: Owner,
        making: &str,
        taking: &str,
    ) -> Result<Self, FileError> {
        let parent = Folder::open(path, owner)?;
        let (making, _) = parent.foreign_subfolder(making)?;
        let (taking, stat) = parent.foreign_subfolder(taking)?;
        Ok(Self {
            making,
            taking,
            uid: Uid::from_raw(stat.st_uid),
            gid: Gid::from_raw(stat.st_gid),
        })
    }

    /// Names of what waits to be taken.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn names(&self) -> Result<Vec<std::ffi::OsString>, FileError> {
        self.taking.names()
    }

    /// Puts a file in, whole and on disk, as a file of whom the folders belong to.
    ///
    /// # Errors
    ///
    /// The system refuses, or something has that name already.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.make(name, bytes)?;
        let moved = match renameat2(
            &self.making.fd,
            name,
            &self.taking.fd,
            name,
            RenameFlags::RENAME_NOREPLACE,
        ) {
            // A file system that can't promise it; names are random, so there is nothing to replace.
            Err(Errno::EINVAL) => renameat(&self.making.fd, name, &self.taking.fd, name),
            other => other,
        };
        if let Err(errno) = moved {
            // Best effort: it is the error before that counts.
            let _ = self.making.remove_if_present(name);
            return Err(FileError::system(&self.taking.path.join(name), errno));
        }
        self.taking.sync()
    }

    /// Does the same work, and leaves nothing.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn pretend(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.make(name, bytes)?;
        self.making.remove_if_present(name)?;
        self.taking.sync()
    }

    fn make(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let fail = |errno| FileError::system(&self.making.path.join(name), errno);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(
            &self.making.fd,
            name,
            flags,
            Mode::from_bits_truncate(0o600),
        )
        .map_err(fail)?;
        let written = write_all(&fd, bytes)
            .and_then(|()| fchmod(&fd, Mode::from_bits_truncate(0o600)))
            .and_then(|()| fchown(&fd, Some(self.uid), Some(self.gid)))
            .and_then(|()| fsync(&fd));
        if let Err(errno) = written {
            let _ = self.making.remove_if_present(name);
            return Err(fail(errno));
        }
        Ok(())
    }
}
