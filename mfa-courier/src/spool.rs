//! The spool from the courier's side: everything in it is this user's own, and whatever is not a notice goes to
//! `dead/` without being opened.
//!
//! Names in `new/` are `KIND~USER~ID`. In `deferred/` there are failures that wait for a digest under that name, digests
//! that are still to be parted among their recipients (`digest~USER~ID`), notices that wait for their next try
//! (`NEXT~TRIES~KIND~USER~ID`), and when a user was last told of failures (`sent~USER`). Where the name of one that
//! waits would be too long for a file, it leaves out the user.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mfa_core::courier::spool::{DEAD, DEFERRED, NEW, TMP};
use mfa_core::courier::{
    Document, Kind, MAX_DOCUMENT, NoticeName, SpoolName, WaitingName, sent_name,
};
use mfa_core::secure_file::Locked;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FlockArg};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, access, geteuid};
use zeroize::Zeroizing;

use crate::send::parse_any;

/// The file in `tmp/` that the courier has not finished; it writes one at a time.
const UNFINISHED: &str = "courier~";
/// Bytes of a digest that names all the failures it tells of.
pub(crate) const MAX_DIGEST: usize = 1024 * 1024;
/// What somebody began to write and left: nobody takes a day.
const LEFT_BEHIND: Duration = Duration::from_secs(86_400);
/// How long `dead/` is kept: a month to look into what went wrong.
const REST: Duration = Duration::from_secs(30 * 86_400);
/// Files of one name that `dead/` keeps.
const MAX_NAMESAKES: u32 = 1000;
/// Bytes of what tells namesakes apart.
const MAX_SUFFIX: usize = "~999".len();
/// Bytes of a file's name at most (`NAME_MAX`, limits.h).
const MAX_NAME: usize = 255;
/// Bytes of these that are left for what stands before the name of a notice that waits: two numbers with a `~` each.
const MAX_NUMBERS: usize = 32;

/// What a name in `deferred/` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deferred {
    /// A failure that waits for a digest.
    Event(NoticeName),
    /// A digest that is still to be parted.
    Digest(NoticeName),
    /// A notice that waits for its next try.
    Waiting(WaitingName),
    /// When a user was last told of failures.
    Sent(String),
    /// None of these.
    Strange,
}

impl Deferred {
    pub(crate) fn of(name: &OsStr) -> Self {
        match SpoolName::parse(name) {
            Some(SpoolName::Notice(notice)) if notice.kind == Kind::Failure => Self::Event(notice),
            Some(SpoolName::Notice(notice)) if notice.kind == Kind::Digest => Self::Digest(notice),
            Some(SpoolName::Waiting(waiting)) => Self::Waiting(waiting),
            Some(SpoolName::Sent(user)) => Self::Sent(user),
            Some(SpoolName::Notice(_)) | None => Self::Strange,
        }
    }
}

/// One of the spool's folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tmp,
    New,
    Deferred,
    Dead,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Tmp => TMP,
            Self::New => NEW,
            Self::Deferred => DEFERRED,
            Self::Dead => DEAD,
        }
    }
}

/// Why the spool can't be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// Another drain is at work.
    Busy,
    /// A folder.
    Folder(PathBuf, io::Error),
    /// A folder in which nothing can be changed.
    Fixed(PathBuf, io::Error),
}

/// Why a notice can't be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is none: what is wrong with it.
    Strange(String),
    /// The system can't read it now: a disk that fails, too many open files.
    System(io::Error),
}

impl Unread {
    fn of(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(
                Errno::ENOENT
                | Errno::ELOOP
                | Errno::EACCES
                | Errno::EPERM
                | Errno::ENXIO
                | Errno::EISDIR
                | Errno::ENOTDIR,
            )
            | None => Self::Strange(error.to_string()),
            Some(_) => Self::System(error),
        }
    }
}

/// A notice's name as a part of longer ones: without the user where those would be too long.
pub(crate) fn name_to_wait_under(mut name: NoticeName) -> NoticeName {
    if name.to_string().len() + MAX_NUMBERS > MAX_NAME {
        name.user.clear();
    }
    name
}

/// Moves a file. An administrator may have removed it meanwhile: then there is nothing left to be moved.
fn moved(source: &Path, target: &Path) -> io::Result<()> {
    match fs::rename(source, target) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(source).is_err() =>
        {
            Ok(())
        }
        result => result,
    }
}

/// The spool, for one process at a time.
pub(crate) struct Spool {
    root: PathBuf,
    _lock: Locked<File>,
}

impl Spool {
    /// Opens the spool, unless somebody else has.
    pub(crate) fn open(root: &Path) -> Result<Self, Unusable> {
        for place in [Place::Tmp, Place::New, Place::Deferred, Place::Dead] {
            let path = root.join(place.name());
            let status = fs::symlink_metadata(&path)
                .map_err(|error| Unusable::Folder(path.clone(), error))?;
            if !status.is_dir() || status.uid() != geteuid().as_raw() {
                return Err(Unusable::Folder(path, io::Error::from(Errno::ENOTDIR)));
            }
            // What is delivered has to be removed, or it is delivered again and again. This fails where the file
            // system is mounted for reading too.
            access(&path, AccessFlags::W_OK | AccessFlags::X_OK)
                .map_err(|error| Unusable::Fixed(path, error.into()))?;
        }
        let path = root.join(Place::Deferred.name());
        let folder = File::open(&path).map_err(|error| Unusable::Folder(path.clone(), error))?;
        match Locked::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self {
                root: root.to_owned(),
                _lock: lock,
            }),
            Err((_, Errno::EWOULDBLOCK)) => Err(Unusable::Busy),
            Err((_, error)) => Err(Unusable::Folder(path, error.into())),
        }
    }

    fn path(&self, place: Place, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(place.name()).join(name)
    }

    /// What is in a folder, sorted by name.
    pub(crate) fn names(&self, place: Place) -> io::Result<Vec<OsString>> {
        let mut names = fs::read_dir(self.root.join(place.name()))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Reads a notice, whose name has to be its own.
    pub(crate) fn read(
        &self,
        place: Place,
        name: &str,
        notice: &NoticeName,
    ) -> Result<Document, Unread> {
        let bytes = self.bytes(
            place,
            name,
            if notice.kind == Kind::Digest {
                MAX_DIGEST
            } else {
                MAX_DOCUMENT
            },
        )?;
        let document = parse_any(&bytes).map_err(Unread::Strange)?;
        let own = NoticeName::of(&document);
        let is_own =
            own == *notice || place == Place::Deferred && name_to_wait_under(own) == *notice;
        if !is_own {
            let what = "it is named like another one".to_owned();
            return Err(Unread::Strange(what));
        }
        match document.kind {
            Kind::Login | Kind::Failure | Kind::Digest | Kind::Change | Kind::Test => Ok(document),
            Kind::Code | Kind::Check | Kind::Nothing => Err(Unread::Strange(format!(
                "a {} is nothing that waits",
                document.kind.as_str()
            ))),
        }
    }

    fn bytes(&self, place: Place, name: &str, max: usize) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let path = self.path(place, name);
        let strange = |what: &str| Err(Unread::Strange(what.to_owned()));
        // Not even opened if it is no file: to open a device can have consequences.
        if !fs::symlink_metadata(&path).map_err(Unread::of)?.is_file() {
            return strange("it is no regular file");
        }
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(&path)
            .map_err(Unread::of)?;
        let status = file.metadata().map_err(Unread::of)?;
        if !status.is_file() || status.uid() != geteuid().as_raw() || status.nlink() != 1 {
            return strange("it is not a file of the courier's alone");
        }
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        if status.len() > max {
            return strange("it is too long");
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_DOCUMENT));
        file.take(max).read_to_end(&mut bytes).map_err(Unread::of)?;
        Ok(bytes)
    }

    /// Writes a file of `deferred/` all at once, and for good; replaces one of that name.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path(Place::Tmp, UNFINISHED);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path(Place::Deferred, name))?;
        File::open(self.root.join(Place::Deferred.name()))?.sync_all()
    }

    /// Moves something to `deferred/` under a name of its own there.
    pub(crate) fn defer(&self, place: Place, name: &str, new_name: &str) -> io::Result<()> {
        moved(
            &self.path(place, name),
            &self.path(Place::Deferred, new_name),
        )
    }

    /// Moves anything to `dead/`, unopened.
    pub(crate) fn bury(&self, place: Place, name: &OsStr, new_name: &OsStr) -> io::Result<()> {
        let source = self.path(place, name);
        // It rests from now on. What is not the courier's own can't be told so, and rests by the age that it has.
        let now = TimeSpec::UTIME_NOW;
        let _ = utimensat(
            AT_FDCWD,
            &source,
            &now,
            &now,
            UtimensatFlags::NoFollowSymlink,
        );
        // Whatever it is named: there is to be room for a number.
        let bytes = new_name.as_bytes();
        let bytes = bytes.get(..MAX_NAME - MAX_SUFFIX).unwrap_or(bytes);
        let new_name = OsString::from_vec(bytes.to_vec());
        let mut target = self.path(Place::Dead, &new_name);
        for number in 1..MAX_NAMESAKES {
            if fs::symlink_metadata(&target).is_err() {
                break;
            }
            let mut name = new_name.clone();
            name.push(format!("~{number}"));
            target = self.path(Place::Dead, name);
        }
        moved(&source, &target)
    }

    /// Removes a file; one that is gone already is no error.
    pub(crate) fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(place, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// When a user was last told of failures, in seconds since the Unix epoch.
    pub(crate) fn sent(&self, user: &str) -> Option<u64> {
        let bytes = self.bytes(Place::Deferred, &sent_name(user), 32).ok()?;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
    }

    /// Notes that a user is told of failures now.
    pub(crate) fn note_sent(&self, user: &str, now: u64) -> io::Result<()> {
        self.write(&sent_name(user), format!("{now}\n").as_bytes())
    }

    /// Forgets when a user was last told.
    pub(crate) fn forget_sent(&self, user: &str) -> io::Result<()> {
        self.remove(Place::Deferred, &sent_name(user))
    }

    /// Since when a file has been as it is, in seconds; none where that is not known, or lies in the future.
    pub(crate) fn age(&self, place: Place, name: &str, now: u64) -> Option<u64> {
        let status = fs::symlink_metadata(self.path(place, name)).ok()?;
        now.checked_sub(u64::try_from(status.mtime()).ok()?)
    }

    /// Removes what was begun and will never be finished: the courier's own, since nobody else is at work, and what
    /// root left a day ago. And what has been dead for long enough.
    pub(crate) fn sweep(&self, now: u64) -> io::Result<()> {
        self.sweep_folder(Place::Tmp, now, LEFT_BEHIND)?;
        self.sweep_folder(Place::Dead, now, REST)
    }

    fn sweep_folder(&self, place: Place, now: u64, patience: Duration) -> io::Result<()> {
        let now = UNIX_EPOCH + Duration::from_secs(now);
        for name in self.names(place)? {
            let path = self.path(place, &name);
            let is_own = place == Place::Tmp && name == UNFINISHED;
            let status = match fs::symlink_metadata(&path) {
                Ok(status) if !status.is_dir() => status,
                _ => continue,
            };
            let age = status
                .modified()
                .ok()
                .and_then(|time| now.duration_since(time).ok());
            if is_own || age.is_some_and(|age| age > patience) {
                fs::remove_file(&path).or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tmp", "new", "deferred", "dead"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let spool = Spool::open(folder.path()).unwrap();
        (folder, spool)
    }

    #[test]
    fn what_can_not_be_read_now_is_told_from_what_is_no_notice() {
        let of = |errno: Errno| Unread::of(io::Error::from(errno));
        for errno in [Errno::EIO, Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM] {
            assert!(matches!(of(errno), Unread::System(_)), "{errno}");
        }
        for errno in [Errno::ENOENT, Errno::ELOOP, Errno::EACCES, Errno::ENXIO] {
            assert!(matches!(of(errno), Unread::Strange(_)), "{errno}");
        }
    }

    #[test]
    fn names_in_deferred_are_told_apart() {
        let of = |name: &str| Deferred::of(OsStr::new(name));
        assert!(matches!(of(&format!("failure~~{ID}")), Deferred::Event(_)));
        assert!(matches!(of(&format!("digest~a~{ID}")), Deferred::Digest(_)));
        assert!(matches!(of("sent~alice"), Deferred::Sent(user) if user == "alice"));
        let waiting = format!("17~3~digest~alice~{ID}-2");
        assert!(matches!(of(&waiting), Deferred::Waiting(_)));
        for name in ["x", &format!("login~alice~{ID}")] {
            assert_eq!(of(name), Deferred::Strange, "{name}");
        }
    }

    #[test]
    fn one_drain_at_a_time() {
        let (folder, spool) = spool();
        assert!(matches!(Spool::open(folder.path()), Err(Unusable::Busy)));
        drop(spool);
        assert!(Spool::open(folder.path()).is_ok());
        fs::remove_dir(folder.path().join("new")).unwrap();
        assert!(
            matches!(Spool::open(folder.path()), Err(Unusable::Folder(path, _)) if path.ends_with("new"))
        );
    }

    #[test]
    fn only_a_file_of_ones_own_with_its_own_name_is_read() {
        let (folder, spool) = spool();
        let new = folder.path().join("new");
        let mut document = Document::new(Kind::Login, ID.to_owned(), 5);
        document.user = "alice".to_owned();
        let name = format!("login~alice~{ID}");
        let notice = NoticeName::parse(&name).unwrap();
        fs::write(new.join(&name), document.to_json().as_bytes()).unwrap();
        assert_eq!(spool.read(Place::New, &name, &notice).unwrap(), document);
        // Another user's name, or another kind's.
        let other = NoticeName::parse(&format!("login~bob~{ID}")).unwrap();
        assert!(spool.read(Place::New, &name, &other).is_err());
        // A second name.
        fs::hard_link(new.join(&name), new.join("second")).unwrap();
        assert!(spool.read(Place::New, &name, &notice).is_err());
        fs::remove_file(new.join("second")).unwrap();
        assert!(spool.read(Place::New, &name, &notice).is_ok());
        // A link.
        fs::rename(new.join(&name), folder.path().join("aside")).unwrap();
        symlink(folder.path().join("aside"), new.join(&name)).unwrap();
        assert!(spool.read(Place::New, &name, &notice).is_err());
        fs::remove_file(new.join(&name)).unwrap();
        // A pipe that nobody writes to.
        nix::unistd::mkfifo(&new.join(&name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(spool.read(Place::New, &name, &notice).is_err());
        fs::remove_file(new.join(&name)).unwrap();
        // Too long.
        fs::write(new.join(&name), " ".repeat(MAX_DOCUMENT + 1)).unwrap();
        let unread = spool.read(Place::New, &name, &notice).unwrap_err();
        assert!(matches!(unread, Unread::Strange(what) if what.contains("too long")));
    }

    #[test]
    fn a_code_does_not_wait() {
        let (folder, spool) = spool();
        let document = Document::new(Kind::Code, ID.to_owned(), 5);
        let notice = NoticeName::of(&document);
        let path = folder.path().join("new").join(notice.to_string());
        fs::write(path, document.to_json().as_bytes()).unwrap();
        assert!(
            spool
                .read(Place::New, &notice.to_string(), &notice)
                .is_err()
        );
    }

    #[test]
    fn namesakes_are_buried_side_by_side() {
        let (folder, spool) = spool();
        for _ in 0..3 {
            fs::write(folder.path().join("new/x"), "").unwrap();
            spool
                .bury(Place::New, OsStr::new("x"), OsStr::new("x"))
                .unwrap();
        }
        assert_eq!(spool.names(Place::Dead).unwrap(), ["x", "x~1", "x~2"]);
    }

    #[test]
    fn what_was_begun_is_swept_away() {
        let (folder, spool) = spool();
        let tmp = folder.path().join("tmp");
        fs::write(tmp.join(UNFINISHED), "").unwrap();
        fs::write(tmp.join("of-root"), "").unwrap();
        let modified = fs::metadata(tmp.join("of-root")).unwrap().mtime();
        let modified = u64::try_from(modified).unwrap();
        spool.sweep(modified + 3600).unwrap();
        assert_eq!(spool.names(Place::Tmp).unwrap(), ["of-root"]);
        spool.sweep(modified + 100_000).unwrap();
        assert!(spool.names(Place::Tmp).unwrap().is_empty());
    }

    #[test]
    fn what_has_been_dead_for_a_month_is_removed() {
        let (folder, spool) = spool();
        let old = folder.path().join("new/old");
        let file = File::create(&old).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(5))
            .unwrap();
        // It may be old: what counts is how long it has been there.
        let name = OsStr::new("old");
        spool.bury(Place::New, name, name).unwrap();
        fs::write(folder.path().join("clock"), "").unwrap();
        let clock = fs::metadata(folder.path().join("clock")).unwrap();
        let buried = u64::try_from(clock.mtime()).unwrap();
        spool.sweep(buried + 29 * 86_400).unwrap();
        assert_eq!(spool.names(Place::Dead).unwrap(), ["old"]);
        spool.sweep(buried + 31 * 86_400).unwrap();
        assert!(spool.names(Place::Dead).unwrap().is_empty());
    }

    #[test]
    fn what_an_administrator_removed_need_not_be_moved() {
        let (folder, spool) = spool();
        spool.defer(Place::New, "gone", "new-name").unwrap();
        let name = OsStr::new("gone");
        spool.bury(Place::New, name, name).unwrap();
        // A folder that is gone is another matter.
        fs::write(folder.path().join("new/here"), "").unwrap();
        fs::remove_dir(folder.path().join("deferred")).unwrap();
        assert!(spool.defer(Place::New, "here", "new-name").is_err());
    }

    #[test]
    fn any_name_can_be_buried_and_twice() {
        let (folder, spool) = spool();
        let long = "x".repeat(MAX_NAME);
        for _ in 0..2 {
            fs::write(folder.path().join("new").join(&long), "").unwrap();
            spool
                .bury(Place::New, OsStr::new(&long), OsStr::new(&long))
                .unwrap();
        }
        assert!(spool.names(Place::New).unwrap().is_empty());
        assert_eq!(spool.names(Place::Dead).unwrap().len(), 2);
    }

    #[test]
    fn the_longest_name_of_a_notice_that_waits_is_short_enough() {
        let long = NoticeName::parse(&format!("digest~{}~{ID}-1234567", "u".repeat(200))).unwrap();
        let name_of = |notice| WaitingName {
            next: 99_999_999_999,
            tries: u32::MAX,
            notice: name_to_wait_under(notice),
        };
        let name = name_of(long).to_string();
        assert!(name.len() <= MAX_NAME, "{name}");
        assert!(matches!(
            Deferred::of(OsStr::new(&name)),
            Deferred::Waiting(_)
        ));
        let ordinary = NoticeName::parse(&format!("digest~alice~{ID}-1")).unwrap();
        assert_eq!(name_of(ordinary.clone()).notice, ordinary);
    }

    #[test]
    fn only_a_name_that_is_too_long_may_leave_out_the_user() {
        let (folder, spool) = spool();
        let place = folder.path().join("deferred");
        for (user, is_read) in [("alice".to_owned(), false), ("u".repeat(200), true)] {
            let mut document = Document::new(Kind::Login, ID.to_owned(), 5);
            document.user = user;
            let notice = NoticeName::parse(&format!("login~~{ID}")).unwrap();
            fs::write(place.join("x"), document.to_json().as_bytes()).unwrap();
            let read = spool.read(Place::Deferred, "x", &notice);
            assert_eq!(read.is_ok(), is_read, "{read:?}");
        }
    }
}
