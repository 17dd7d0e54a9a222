//! Folders of somebody else's into which the owner only ever puts things. Whoever the folders belong to may have
//! planted anything in them: nothing that is there is opened, followed or replaced.

use std::ffi::OsString;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown, fsync};

use super::{FileError, Folder, Owner, write_all};

/// A folder of the owner's with folders of somebody else's in it: files are made in one of them, and moved whole
/// into another. No more descriptors are open at a time than a login needs anyway: a caller of su may have
/// left hardly any.
#[derive(Debug)]
pub struct DropBox {
    parent: Folder,
}

/// A file that is being put in.
struct Making<'a> {
    folder: Folder,
    name: &'a str,
}

impl DropBox {
    /// Opens the folder that is the owner's.
    ///
    /// # Errors
    ///
    /// As for [`Folder::open`].
    pub fn open(path: &Path, owner: Owner) -> Result<Self, FileError> {
        Ok(Self {
            parent: Folder::open(path, owner)?,
        })
    }

    /// Names of what is in one of the folders, so many at most.
    ///
    /// # Errors
    ///
    /// The folder is missing or a link, or the system refuses.
    pub fn names(&self, part: &str, most: usize) -> Result<Vec<OsString>, FileError> {
        self.parent.foreign_subfolder(part)?.0.some_names(most)
    }

    /// Makes a file in one folder and puts it into another, whole and on disk, as a file of whom that one
    /// belongs to.
    ///
    /// # Errors
    ///
    /// The system refuses, a folder is missing or a link, or something has that name already.
    pub fn put(
        &self,
        (making, taking): (&str, &str),
        name: &str,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        let (taking, stat) = self.parent.foreign_subfolder(taking)?;
        let made = self.make(making, &stat, name, bytes)?;
        Self::waste_a_file(&made, bytes);
        let from = &made.folder.fd;
        let moved = match renameat2(from, name, &taking.fd, name, RenameFlags::RENAME_NOREPLACE) {
            // A file system that can't promise it; names are random, so there is nothing to replace.
            Err(Errno::EINVAL) => renameat(from, name, &taking.fd, name),
            other => other,
        };
        if let Err(errno) = moved {
            made.discard();
            return Err(FileError::system(&taking.path.join(name), errno));
        }
        taking.sync()
    }

    /// Does the same work, and leaves nothing.
    ///
    /// # Errors
    ///
    /// As for [`DropBox::put`].
    pub fn pretend(
        &self,
        (making, taking): (&str, &str),
        name: &str,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        let (taking, stat) = self.parent.foreign_subfolder(taking)?;
        let made = self.make(making, &stat, name, bytes)?;
        made.folder.remove_if_present(name)?;
        taking.sync()
    }

    /// Makes a file and removes it, which is what `pretend` has to do besides: nobody is to tell from the time whether
    /// anything was kept. Nothing depends on it.
    fn waste_a_file(made: &Making<'_>, bytes: &[u8]) {
        let name = format!("{}~", made.name);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let private = Mode::from_bits_truncate(0o600);
        let _ = openat(&made.folder.fd, name.as_str(), flags, private)
            .and_then(|fd| write_all(&fd, bytes));
        let _ = made.folder.remove_if_present(&name);
    }

    fn make<'a>(
        &self,
        part: &str,
        like: &FileStat,
        name: &'a str,
        bytes: &[u8],
    ) -> Result<Making<'a>, FileError> {
        let (folder, _) = self.parent.foreign_subfolder(part)?;
        let fail = |errno| FileError::system(&folder.path.join(name), errno);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let private = Mode::from_bits_truncate(0o600);
        let fd = openat(&folder.fd, name, flags, private).map_err(fail)?;
        let owner = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
        let written = write_all(&fd, bytes)
            .and_then(|()| fchmod(&fd, private))
            .and_then(|()| fchown(&fd, Some(owner.0), Some(owner.1)))
            .and_then(|()| fsync(&fd))
            .map_err(fail);
        let new_file = Making { folder, name };
        if let Err(error) = written {
            new_file.discard();
            return Err(error);
        }
        Ok(new_file)
    }
}

impl Making<'_> {
    /// Best effort: it is the error before that counts.
    fn discard(&self) {
        let _ = self.folder.remove_if_present(self.name);
    }
}
