//! Files that only their owner can have written: opened relative to a folder, then checked by descriptor,
//! so that nothing can be exchanged between the check and the use. Who the owner is (root, outside
//! tests) is a parameter.

mod block;
mod drop_box;
mod held;
mod lock;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FlockArg, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, fchown, fsync, linkat, unlinkat};
use zeroize::Zeroizing;

pub use block::{BLOCK_SIZE, Block, BlockError, MAX_PAYLOAD};
pub use drop_box::DropBox;
pub use held::Held;
pub use lock::Locked;

/// Nothing that we keep is larger.
pub const MAX_FILE_SIZE: usize = 64 * 1024;

const MAX_LINKS: usize = 8;
/// Whose files are, where nobody else is to read them.
const ROOT_GROUP: u32 = 0;
/// A file that is replaced each time that it is opened is none.
const MAX_REOPENINGS: usize = 100;

/// Whose the files must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u32);

impl Owner {
    /// Everywhere but in tests.
    pub const ROOT: Self = Self(0);

    /// The user that runs this process, for stores of tests.
    #[must_use]
    pub fn effective_user() -> Self {
        Self(nix::unistd::geteuid().as_raw())
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Anybody may read, the owner alone write.
    Public,
    /// Mode 0600 exactly.
    Private,
}

/// What is wrong with a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The path does not begin at the root.
    NotAbsolute,
    /// It is not there.
    Missing,
    /// It is a symbolic link.
    Link,
    /// It is a FIFO, a socket, a device or a folder.
    NotAFile,
    /// It is not a folder.
    NotAFolder,
    /// Somebody else owns it.
    Owner(u32),
    /// Others can write it; the mode.
    WritableByOthers(u32),
    /// Others can read it; the mode.
    NotPrivate(u32),
    /// It has other names (hard links); how many in all.
    OtherNames(u64),
    /// It is larger than [`MAX_FILE_SIZE`].
    TooLarge,
    /// The system refused.
    System(Errno),
    /// It is in place, but the system refused to make that last.
    NotSynced(Errno),
}

/// A file that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub problem: Problem,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.problem {
            Problem::NotAbsolute => {
                f.write_str("is not an absolute path; write one that begins with /")
            }
            Problem::Missing => f.write_str("does not exist"),
            Problem::Link => f.write_str("is a symbolic link; put the file itself there"),
            Problem::NotAFile => f.write_str("is not a regular file; remove it"),
            Problem::NotAFolder => f.write_str("is not a folder"),
            Problem::Owner(uid) => {
                write!(
                    f,
                    "is owned by uid {uid}; see who changed it, then chown it back"
                )
            }
            Problem::WritableByOthers(mode) => {
                write!(
                    f,
                    "has mode {mode:04o}, others can write it; see who did, then chmod go-w"
                )
            }
            Problem::NotPrivate(mode) => write!(f, "has mode {mode:04o}; chmod 600 it"),
            Problem::OtherNames(count) => {
                write!(f, "has {count} names (hard links); remove the others")
            }
            Problem::TooLarge => write!(f, "is larger than {MAX_FILE_SIZE} bytes"),
            Problem::System(errno) => f.write_str(errno.desc()),
            Problem::NotSynced(errno) => write!(
                f,
                "was changed, but the disk did not confirm it ({}): after a power failure it may be the old one",
                errno.desc()
            ),
        }
    }
}

impl std::error::Error for FileError {}

impl FileError {
    /// Whether a write went over the limit on file sizes, `setrlimit(2)`.
    pub(crate) fn is_over_the_limit(&self) -> bool {
        self.problem == Problem::System(Errno::EFBIG)
    }

    fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }

    fn system(path: &Path, errno: Errno) -> Self {
        let problem = match errno {
            Errno::ENOENT => Problem::Missing,
            Errno::ELOOP => Problem::Link,
            Errno::ENOTDIR => Problem::NotAFolder,
            other => Problem::System(other),
        };
        Self::new(path, problem)
    }
}

/// An open folder that nobody but its owner can have changed.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    owner: Owner,
}

impl Folder {
    /// Walks an absolute path from the root. Every component must be root's or the owner's and not
    /// writable by others, sticky folders excepted; so must symbolic links be root's or the owner's.
    ///
    /// # Errors
    ///
    /// A component is missing, is somebody else's, or is no folder.
    pub fn open(path: &Path, owner: Owner) -> Result<Self, FileError> {
        if !path.is_absolute() {
            return Err(FileError::new(path, Problem::NotAbsolute));
        }
        match Self::open_without_links(path, owner)? {
            Some(folder) => Ok(folder),
            None => Self::walk(path, owner),
        }
    }

    /// The quick way: where every component is the owner's or root's and nobody else can change it, what is
    /// looked at by its path is still what is opened by its path a moment later. `None`: there is a link
    /// on the way.
    fn open_without_links(path: &Path, owner: Owner) -> Result<Option<Self>, FileError> {
        let fail = |errno| FileError::system(path, errno);
        let mut so_far = PathBuf::from("/");
        for name in names(path) {
            if name == ".." {
                return Ok(None);
            }
            so_far.push(name);
            let found = fstatat(AT_FDCWD, &so_far, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(fail)?;
            check_on_the_way(&so_far, &found, owner)?;
            if kind(&found) == SFlag::S_IFLNK {
                return Ok(None);
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(fail)?;
        Ok(Some(Self {
            fd,
            path: path.to_owned(),
            owner,
        }))
    }

    fn walk(path: &Path, owner: Owner) -> Result<Self, FileError> {
        let fail = |errno| FileError::system(path, errno);
        let step = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut here = nix::fcntl::open("/", root, Mode::empty()).map_err(fail)?;
        // Where that is, for errors: the component at fault is named, not the whole path.
        let mut so_far = PathBuf::from("/");
        let mut way: VecDeque<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = way.pop_front() {
            let next = openat(&here, name.as_os_str(), step, Mode::empty()).map_err(fail)?;
            let found = fstat(&next).map_err(fail)?;
            let place = so_far.join(&name);
            check_on_the_way(&place, &found, owner)?;
            if kind(&found) == SFlag::S_IFLNK {
                links += 1;
                if links > MAX_LINKS {
                    return Err(FileError::new(path, Problem::Link));
                }
                let target = PathBuf::from(readlinkat(&next, "").map_err(fail)?);
                if target.is_absolute() {
                    so_far = PathBuf::from("/");
                    here = nix::fcntl::open("/", root, Mode::empty()).map_err(fail)?;
                }
                for name in names(&target).into_iter().rev() {
                    way.push_front(name);
                }
            } else {
                here = next;
                if name == ".." {
                    so_far.pop();
                } else {
                    so_far = place;
                }
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(&here, ".", flags, Mode::empty()).map_err(fail)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            owner,
        })
    }

    /// A folder right below this one, which may not be a link.
    ///
    /// # Errors
    ///
    /// As for [`Folder::open`]; sticky folders are refused too.
    pub fn subfolder(&self, name: &str) -> Result<Self, FileError> {
        let (folder, stat) = self.foreign_subfolder(name)?;
        if stat.st_uid != self.owner.0 {
            return Err(FileError::new(&folder.path, Problem::Owner(stat.st_uid)));
        }
        if permissions(&stat) & 0o022 != 0 {
            return Err(FileError::new(
                &folder.path,
                Problem::WritableByOthers(permissions(&stat)),
            ));
        }
        Ok(folder)
    }

    /// A folder right below this one that may be somebody else's, but no link; what is in it is not to be
    /// opened.
    fn foreign_subfolder(&self, name: &str) -> Result<(Self, FileStat), FileError> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(|errno| {
            let is_link = self
                .stat(name)
                .is_ok_and(|stat| kind(&stat) == SFlag::S_IFLNK);
            if is_link {
                FileError::new(&path, Problem::Link)
            } else {
                FileError::system(&path, errno)
            }
        })?;
        let stat = fstat(&fd).map_err(|errno| FileError::system(&path, errno))?;
        let folder = Self {
            fd,
            path,
            owner: self.owner,
        };
        Ok((folder, stat))
    }

    /// Checks a program that is about to be run: a regular file of the owner's that nobody else can change.
    ///
    /// # Errors
    ///
    /// It is missing, somebody else's, writable by others, or not executable.
    pub fn check_program(&self, name: &str) -> Result<(), FileError> {
        let path = self.path.join(name);
        let stat = self
            .stat(name)
            .map_err(|errno| FileError::system(&path, errno))?;
        let mode = permissions(&stat);
        let problem = match kind(&stat) {
            SFlag::S_IFLNK => Problem::Link,
            SFlag::S_IFREG if stat.st_uid != self.owner.0 && stat.st_uid != 0 => {
                Problem::Owner(stat.st_uid)
            }
            SFlag::S_IFREG if mode & 0o022 != 0 => Problem::WritableByOthers(mode),
            SFlag::S_IFREG if mode & 0o111 == 0 => Problem::System(Errno::EACCES),
            SFlag::S_IFREG => return Ok(()),
            _ => Problem::NotAFile,
        };
        Err(FileError::new(&path, problem))
    }

    /// Makes a folder below this one, mode 0700, or leaves the one that is there.
    ///
    /// # Errors
    ///
    /// The system refuses, or what is there can't be trusted.
    pub fn make_subfolder(&self, name: &str) -> Result<Self, FileError> {
        match mkdirat(&self.fd, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => self.subfolder(name),
            Err(errno) => Err(FileError::system(&self.path.join(name), errno)),
        }
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether files in it can be changed: `EROFS` and the like show before anybody is asked anything.
    ///
    /// # Errors
    ///
    /// They can't.
    pub fn check_writable(&self) -> Result<(), FileError> {
        faccessat(&self.fd, ".", AccessFlags::W_OK, AtFlags::AT_EACCESS)
            .map_err(|errno| FileError::system(&self.path, errno))
    }

    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// It is missing, can't be trusted, or is too large.
    pub fn read(&self, name: &str, privacy: Privacy) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let too_large = || FileError::new(&self.path.join(name), Problem::TooLarge);
        let (fd, stat) = self.open_file(name, OFlag::O_RDONLY, privacy)?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > MAX_FILE_SIZE {
            return Err(too_large());
        }
        // One byte more, so that the end shows without a second read.
        let bytes = self.fill(&fd, name, size + 1, size)?;
        if bytes.len() > size {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// Opens a file to be read piece by piece, by whoever gives up being its owner before that. How much is in it is
    /// the reader's to bound.
    ///
    /// # Errors
    ///
    /// It is missing or can't be trusted.
    pub fn open_to_read(&self, name: &str, privacy: Privacy) -> Result<std::fs::File, FileError> {
        let (fd, _) = self.open_file(name, OFlag::O_RDONLY, privacy)?;
        Ok(fd.into())
    }

    /// Reads the first bytes of a file.
    ///
    /// # Errors
    ///
    /// It is missing or can't be trusted.
    pub fn read_beginning(
        &self,
        name: &str,
        privacy: Privacy,
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let (fd, _) = self.open_file(name, OFlag::O_RDONLY, privacy)?;
        self.fill(&fd, name, length, length)
    }

    /// Reads at most `length` bytes, until there are `enough` or the file ends.
    fn fill(
        &self,
        fd: &OwnedFd,
        name: &str,
        length: usize,
        enough: usize,
    ) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let mut bytes = Zeroizing::new(vec![0; length]);
        let mut filled = 0;
        while filled < enough {
            match nix::unistd::read(fd, bytes.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(FileError::system(&self.path.join(name), errno)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Opens a file without waiting (a FIFO would), then checks what was opened.
    fn open_file(
        &self,
        name: &str,
        access: OFlag,
        privacy: Privacy,
    ) -> Result<(OwnedFd, FileStat), FileError> {
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let path = || self.path.join(name);
        for _ in 0..MAX_REOPENINGS {
            let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(|errno| match errno {
                // A folder can't be opened for writing, a socket or a FIFO without a reader not at all.
                Errno::EISDIR | Errno::ENXIO => FileError::new(&path(), Problem::NotAFile),
                other => FileError::system(&path(), other),
            })?;
            let stat = fstat(&fd).map_err(|errno| FileError::system(&path(), errno))?;
            if kind(&stat) == SFlag::S_IFREG && stat.st_nlink == 0 {
                // Another one was put in its place a moment ago.
                continue;
            }
            return match file_problem(&stat, self.owner, privacy) {
                Some(problem) => Err(FileError::new(&path(), problem)),
                None => Ok((fd, stat)),
            };
        }
        Err(FileError::new(&path(), Problem::Missing))
    }

    /// Makes a file that holds `bytes`; `false` where there is one of that name already, which stays
    /// as it is. The file has no name until it is whole and on disk.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn create_file(&self, name: &str, mode: u32, bytes: &[u8]) -> Result<bool, FileError> {
        let fail = |errno| FileError::system(&self.path.join(name), errno);
        if self.stat(name).is_ok() {
            return Ok(false);
        }
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, ".", flags, Mode::from_bits_truncate(0o600)).map_err(fail)?;
        write_all(&fd, bytes)
            .and_then(|()| self.own(&fd, mode, ROOT_GROUP))
            .and_then(|()| fsync(&fd))
            .and_then(|()| self.name_new_file(&fd, name))
            .map_err(fail)
    }

    /// Gives a file without a name its first one; `false` where another file has it.
    fn name_new_file(&self, fd: &OwnedFd, name: &str) -> Result<bool, Errno> {
        // AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH, the other way needs /proc.
        let linked = linkat(fd, "", &self.fd, name, AtFlags::AT_EMPTY_PATH).or_else(|errno| {
            if errno == Errno::EEXIST {
                return Err(errno);
            }
            let through_proc = format!("/proc/self/fd/{}", fd.as_raw_fd());
            linkat(
                AT_FDCWD,
                through_proc.as_str(),
                &self.fd,
                name,
                AtFlags::AT_SYMLINK_FOLLOW,
            )
        });
        match linked {
            Ok(()) => fsync(&self.fd).map(|()| true),
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Puts a file in the place of the one of that name, or where there is none: all of it or nothing,
    /// whatever happens meanwhile. What an earlier writer left under `temporary` is removed; the caller
    /// holds [`Folder::lock`], so that no writer is at it.
    ///
    /// # Errors
    ///
    /// The system refuses; the old file is then still there. [`Problem::NotSynced`]: the new one is in its place, for as
    /// long as the power stays on.
    pub fn replace(
        &self,
        name: &str,
        temporary: &str,
        mode: u32,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        self.replace_for_group(name, temporary, (mode, ROOT_GROUP), bytes)
    }

    /// The same with a group of its own, where the owner is root. The file has no name but `temporary` until its
    /// owner, group and mode are right.
    ///
    /// # Errors
    ///
    /// As for [`Folder::replace`].
    pub fn replace_for_group(
        &self,
        name: &str,
        temporary: &str,
        (mode, group): (u32, u32),
        bytes: &[u8],
    ) -> Result<(), FileError> {
        let fail = |errno| FileError::system(&self.path.join(name), errno);
        self.remove_if_present(temporary)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd =
            openat(&self.fd, temporary, flags, Mode::from_bits_truncate(0o600)).map_err(fail)?;
        let written = write_all(&fd, bytes)
            .and_then(|()| self.own(&fd, mode, group))
            .and_then(|()| fsync(&fd))
            .and_then(|()| renameat(&self.fd, temporary, &self.fd, name));
        if let Err(errno) = written {
            // Best effort: the next writer removes it where this one can't.
            let _ = self.remove_if_present(temporary);
            return Err(fail(errno));
        }
        fsync(&self.fd)
            .map_err(|errno| FileError::new(&self.path.join(name), Problem::NotSynced(errno)))
    }

    /// Sets the mode, whatever the umask is, and the group where the owner is root: su runs with its
    /// caller's.
    fn own(&self, fd: impl AsFd, mode: u32, group: u32) -> Result<(), Errno> {
        if self.owner == Owner::ROOT {
            fchown(&fd, None, Some(nix::unistd::Gid::from_raw(group)))?;
        }
        fchmod(&fd, Mode::from_bits_truncate(mode))
    }

    /// Removes a file; whether there was one.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn remove_if_present(&self, name: &str) -> Result<bool, FileError> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(FileError::system(&self.path.join(name), errno)),
        }
    }

    /// Makes removals and additions durable.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn sync(&self) -> Result<(), FileError> {
        fsync(&self.fd).map_err(|errno| FileError::system(&self.path, errno))
    }

    /// Waits for the folder's exclusive lock, which is held until the answer is dropped.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn lock(&self) -> Result<FolderLock, FileError> {
        let fail = |errno| FileError::system(&self.path, errno);
        let mut fd = self.reopen().map_err(fail)?;
        loop {
            match Locked::lock(fd, FlockArg::LockExclusive) {
                Ok(lock) => return Ok(FolderLock::new(lock)),
                Err((back, Errno::EINTR)) => fd = back,
                Err((_, errno)) => return Err(fail(errno)),
            }
        }
    }

    /// A description of its own: flock(2) does not exclude copies of one descriptor, and reading moves the place in
    /// the folder.
    fn reopen(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.fd, ".", flags, Mode::empty())
    }

    /// The names in the folder, sorted.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn names(&self) -> Result<Vec<OsString>, FileError> {
        self.some_names(usize::MAX)
    }

    /// As many names, sorted, as are wanted at most: whichever the system gives first.
    fn some_names(&self, most: usize) -> Result<Vec<OsString>, FileError> {
        let fail = |errno| FileError::system(&self.path, errno);
        let fd = self.reopen().map_err(fail)?;
        let number = fd.as_raw_fd();
        let mut dir = nix::dir::Dir::from_fd(fd).map_err(|errno| {
            // It is left open there, in a host that may live long.
            let _ = nix::unistd::close(number);
            fail(errno)
        })?;
        let mut found = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(fail)?;
            let name = std::os::unix::ffi::OsStrExt::from_bytes(entry.file_name().to_bytes());
            let name: &OsStr = name;
            if name != "." && name != ".." {
                if found.len() == most {
                    break;
                }
                found.push(name.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }

    fn stat(&self, name: &str) -> Result<FileStat, Errno> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A folder's exclusive lock, released when dropped.
#[derive(Debug)]
pub struct FolderLock {
    _lock: Locked<OwnedFd>,
}

impl FolderLock {
    fn new(lock: Locked<OwnedFd>) -> Self {
        Self { _lock: lock }
    }
}

/// Whether so many descriptors are free: a caller of su may have left hardly any.
///
/// # Errors
///
/// They are not (`EMFILE`, `ENFILE`).
pub fn check_descriptors(count: usize) -> Result<(), FileError> {
    let fail = |errno| FileError::system(Path::new("/"), errno);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let first = nix::fcntl::open("/", flags, Mode::empty()).map_err(fail)?;
    let mut all = Vec::with_capacity(count);
    while all.len() + 1 < count {
        let error =
            |error: std::io::Error| fail(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
        all.push(first.try_clone().map_err(error)?);
    }
    Ok(())
}

/// Opens the folder of a file's path and gives the file's name in it.
///
/// # Errors
///
/// As for [`Folder::open`].
pub fn folder_of(path: &Path, owner: Owner) -> Result<(Folder, String), FileError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str))
    else {
        return Err(FileError::new(path, Problem::NotAbsolute));
    };
    Ok((Folder::open(parent, owner)?, name.to_owned()))
}

/// Reads a file whose folder is reached through [`Folder::open`].
///
/// # Errors
///
/// As for [`Folder::open`] and [`Folder::read`].
pub fn read(path: &Path, owner: Owner, privacy: Privacy) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let (folder, name) = folder_of(path, owner)?;
    folder.read(&name, privacy)
}

/// Reads a public file that may be one symbolic link of root's or the owner's, as `/etc/machine-id` is on
/// some systems.
///
/// # Errors
///
/// As for [`read`].
pub fn read_through_one_link(path: &Path, owner: Owner) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let (folder, name) = folder_of(path, owner)?;
    let stat = folder
        .stat(&name)
        .map_err(|errno| FileError::system(path, errno))?;
    if kind(&stat) != SFlag::S_IFLNK {
        return folder.read(&name, Privacy::Public);
    }
    check_on_the_way(path, &stat, owner)?;
    let target =
        readlinkat(&folder.fd, name.as_str()).map_err(|errno| FileError::system(path, errno))?;
    read(&folder.path.join(target), owner, Privacy::Public)
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn check_on_the_way(path: &Path, stat: &FileStat, owner: Owner) -> Result<(), FileError> {
    if stat.st_uid != 0 && stat.st_uid != owner.0 {
        return Err(FileError::new(path, Problem::Owner(stat.st_uid)));
    }
    let mode = permissions(stat);
    match kind(stat) {
        SFlag::S_IFLNK => Ok(()),
        SFlag::S_IFDIR if mode & 0o022 == 0 || mode & 0o1000 != 0 => Ok(()),
        SFlag::S_IFDIR => Err(FileError::new(path, Problem::WritableByOthers(mode))),
        _ => Err(FileError::new(path, Problem::NotAFolder)),
    }
}

fn file_problem(stat: &FileStat, owner: Owner, privacy: Privacy) -> Option<Problem> {
    let mode = permissions(stat);
    if kind(stat) != SFlag::S_IFREG {
        return Some(Problem::NotAFile);
    }
    if stat.st_uid != owner.0 {
        return Some(Problem::Owner(stat.st_uid));
    }
    if mode & 0o022 != 0 {
        return Some(Problem::WritableByOthers(mode));
    }
    if privacy == Privacy::Private && mode != 0o600 {
        return Some(Problem::NotPrivate(mode));
    }
    #[allow(clippy::unnecessary_cast)] // 32 bits on some architectures
    let names = stat.st_nlink as u64;
    (names != 1).then_some(Problem::OtherNames(names))
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn permissions(stat: &FileStat) -> u32 {
    stat.st_mode & 0o7777
}

fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match nix::unistd::write(&fd, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
