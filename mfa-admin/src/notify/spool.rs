//! What waits in the spool, as the names of its files tell. Nothing there is opened: the folders are the
//! courier's, and whoever is the courier may have put anything into them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use mfa_core::config::Config;
use mfa_core::courier::spool::{DEAD, DEFERRED, NEW};
use mfa_core::courier::{Kind, SpoolName};
use mfa_core::request::UserName;
use mfa_core::secure_file::{FileError, Folder, Owner, Problem};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{User, setgroups, setresgid, setresuid};

use crate::context::file_failure;
use crate::error::{Failure, Kind as FailureKind};

/// A folder of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Not looked at yet.
    New,
    /// Tried in vain, or waiting to be bundled.
    Deferred,
    /// Given up.
    Dead,
}

impl Place {
    /// All of them, in the order in which a notice passes through.
    pub(crate) const ALL: [Self; 3] = [Self::New, Self::Deferred, Self::Dead];

    /// The folder's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => NEW,
            Self::Deferred => DEFERRED,
            Self::Dead => DEAD,
        }
    }
}

/// What a file's name says of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// What it is about.
    pub(crate) kind: Kind,
    /// Whose; empty where it is nobody's.
    pub(crate) user: String,
    /// The document's id; with a number behind it where there are several recipients.
    pub(crate) id: String,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// When it is to be tried again, seconds since the Unix epoch.
    pub(crate) next: Option<u64>,
}

/// A file in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Where.
    pub(crate) place: Place,
    /// Its name, as it stands there.
    pub(crate) file: String,
    /// What the name says; none where this is no notice's.
    pub(crate) notice: Option<Described>,
    /// Since when, seconds since the Unix epoch.
    pub(crate) since: u64,
}

impl Described {
    /// What a name says in a folder; in `dead/`, `~NUMBER` stands behind it where there was one of that name.
    fn of(name: &str, place: Place) -> Option<Self> {
        let bare = match name.rsplit_once('~') {
            Some((bare, number)) if place == Place::Dead && is_number(number) => bare,
            _ => name,
        };
        let (notice, tries, next) = match SpoolName::parse(OsStr::new(bare))? {
            SpoolName::Notice(notice) => (notice, 0, None),
            SpoolName::Waiting(waiting) if place == Place::Deferred => {
                (waiting.notice, waiting.tries, Some(waiting.next))
            }
            SpoolName::Waiting(_) | SpoolName::Sent(_) => return None,
        };
        Some(Self {
            kind: notice.kind,
            user: UserName::from_file_name(&notice.user)
                .map_or(String::new(), |user| user.as_str().to_owned()),
            id: notice.id,
            tries,
            next,
        })
    }
}

fn is_number(text: &str) -> bool {
    (1..32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// When a user was last told of failures is noted beside what waits.
fn is_mark(name: &str, place: Place) -> bool {
    let parsed = SpoolName::parse(OsStr::new(name));
    place == Place::Deferred && matches!(parsed, Some(SpoolName::Sent(_)))
}

/// The folders, open and unread.
pub(crate) struct Spool {
    folders: Vec<(Place, PathBuf, OwnedFd)>,
}

impl Spool {
    /// Opens the folders, none of which may be a link.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let path = config.paths.spool.as_path();
        let parent = Folder::open(path, Owner::ROOT).map_err(|error| missing(&error))?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folders = Place::ALL
            .into_iter()
            .map(|place| {
                let path = path.join(place.name());
                openat(parent.as_fd(), place.name(), flags, Mode::empty())
                    .map(|fd| (place, path.clone(), fd))
                    .map_err(|errno| missing(&file_error(&path, errno)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { folders })
    }

    /// Everything in the folders, as somebody without rights: the rest of this process is the courier's user.
    pub(crate) fn read_as(self, user: &User) -> Result<Vec<Waiting>, Failure> {
        become_user(user)?;
        let mut found = Vec::new();
        for (place, path, fd) in self.folders {
            let fail = |errno| file_failure(file_error(&path, errno));
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let mut folder = openat(&fd, ".", flags, Mode::empty())
                .and_then(nix::dir::Dir::from_fd)
                .map_err(fail)?;
            for entry in folder.iter() {
                let entry = entry.map_err(fail)?;
                let name = entry.file_name();
                if let b"." | b".." = name.to_bytes() {
                    continue;
                }
                let stat = match fstatat(fd.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(stat) => stat,
                    // Delivered since.
                    Err(Errno::ENOENT) => continue,
                    Err(errno) => return Err(fail(errno)),
                };
                let name: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
                let file = name.to_string_lossy().into_owned();
                if is_mark(&file, place) {
                    continue;
                }
                let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
                found.push(Waiting {
                    place,
                    notice: Described::of(&file, place).filter(|_| kind == SFlag::S_IFREG),
                    file,
                    since: u64::try_from(stat.st_mtime).unwrap_or(0),
                });
            }
        }
        found.sort_by(|a, b| (a.place, a.since, &a.file).cmp(&(b.place, b.since, &b.file)));
        Ok(found)
    }
}

fn file_error(path: &Path, errno: Errno) -> FileError {
    let problem = match errno {
        Errno::ENOENT => Problem::Missing,
        Errno::ELOOP | Errno::ENOTDIR => Problem::NotAFolder,
        other => Problem::System(other),
    };
    FileError {
        path: path.to_owned(),
        problem,
    }
}

fn missing(error: &FileError) -> Failure {
    let hint = match error.problem {
        Problem::Missing => "`mfa-admin init` makes the spool; `[paths] spool` says where it is",
        _ => "`mfa-admin doctor` looks at the spool",
    };
    Failure::new(FailureKind::StoreUnusable, error.to_string(), hint)
}

/// Becomes a user without rights for good: whatever is in the courier's folders, root has not touched it.
fn become_user(user: &User) -> Result<(), Failure> {
    setgroups(&[user.gid])
        .and_then(|()| setresgid(user.gid, user.gid, user.gid))
        .and_then(|()| setresuid(user.uid, user.uid, user.uid))
        .map_err(|errno| {
            Failure::failed(
                format!("this process can't become {}: {}", user.name, errno.desc()),
                "see what confines this session (containers, seccomp)",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn parse(name: &str, place: Place) -> Option<Described> {
        Described::of(&name.replace("ID", ID), place)
    }

    #[test]
    fn a_name_tells_kind_user_tries_and_the_next_try() {
        let new = parse("login~alice~ID", Place::New).unwrap();
        assert_eq!(
            (new.kind, new.user.as_str(), new.id.as_str()),
            (Kind::Login, "alice", ID)
        );
        assert_eq!((new.tries, new.next), (0, None));
        let tried = parse("1795000000~3~change~%5Ao%C3%AB~ID", Place::Deferred).unwrap();
        assert_eq!(
            (tried.kind, tried.user.as_str()),
            (Kind::Change, "Zo\u{eb}")
        );
        assert_eq!((tried.tries, tried.next), (3, Some(1_795_000_000)));
        let digest = parse("0~0~digest~~ID-12", Place::Deferred).unwrap();
        assert_eq!((digest.kind, digest.user.as_str()), (Kind::Digest, ""));
        let failure = parse("failure~alice~ID", Place::Deferred).unwrap();
        assert_eq!((failure.kind, failure.next), (Kind::Failure, None));
        assert!(parse("test~alice~ID~7", Place::Dead).is_some());
    }

    #[test]
    fn a_name_counts_where_it_can_stand() {
        assert!(parse("login~alice~ID~7", Place::New).is_none());
        assert!(parse("1~2~login~alice~ID", Place::New).is_none());
        assert!(parse("login~alice~ID~x", Place::Dead).is_none());
        assert!(is_mark("sent~alice", Place::Deferred) && !is_mark("sent~alice", Place::New));
    }
}
