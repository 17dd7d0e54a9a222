//! Notices that wait for delivery: put into folders of the courier's, which root never reads.

use std::fmt;
use std::path::Path;

use nix::errno::Errno;

use super::{Document, Kind, MAX_DOCUMENT, NoticeName, SpoolName};
use crate::critical;
use crate::secure_file::{DropBox, FileError, Owner};

/// Where files are made.
pub const TMP: &str = "tmp";
/// Where the courier finds them.
pub const NEW: &str = "new";
/// Where those wait that could not be delivered, and failures that are to be bundled.
pub const DEFERRED: &str = "deferred";
/// Where those end that nobody takes.
pub const DEAD: &str = "dead";

/// Notices that may wait in all.
pub const MAX_NOTICES: usize = 1000;
/// Of these, notices of logins at most: who logs in and out is not to keep everything else out, …
const MAX_LOGINS: usize = 900;
/// … and guessers even less.
pub const MAX_FAILURES: usize = 800;
/// Notices of one kind for one user at most.
const MAX_OF_ONE: usize = 32;
/// Names that are looked at: the courier's user may have put there as many as it likes.
const MAX_NAMES: usize = 2 * MAX_NOTICES;

/// Why a notice is not in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolError {
    /// A file or folder.
    File(FileError),
    /// So many wait already.
    Full,
    /// So many of this kind wait already for this user.
    FullForUser,
    /// The document is larger than what is taken.
    TooLarge,
    /// The caller's signals could not be kept off.
    Unprotected(Errno),
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Full => write!(
                f,
                "too many notices wait in the spool ({MAX_NOTICES} at most); see `mfa-admin notify queue`"
            ),
            Self::FullForUser => write!(
                f,
                "{MAX_OF_ONE} notices of this kind wait for this user already; see `mfa-admin notify queue`"
            ),
            Self::TooLarge => write!(f, "the notice is larger than {MAX_DOCUMENT} bytes"),
            Self::Unprotected(errno) => write!(
                f,
                "signals or uids could not be changed while writing: {}",
                errno.desc()
            ),
        }
    }
}

impl std::error::Error for SpoolError {}

impl From<FileError> for SpoolError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl SpoolError {
    /// For the audit line.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Unprotected(_) => "spool_unusable",
            Self::Full | Self::FullForUser => "spool_full",
            Self::TooLarge => "too_large",
        }
    }
}

/// Puts a notice into the spool; or does as much work and leaves nothing, so that nobody can tell from the
/// time whether there is somebody to be told.
pub(super) fn put(
    path: &Path,
    owner: Owner,
    document: &Document,
    is_wanted: bool,
) -> Result<(), SpoolError> {
    let is_over_the_limit =
        |error: &SpoolError| matches!(error, SpoolError::File(error) if error.is_over_the_limit());
    critical::protected(
        || put_unprotected(path, owner, document, is_wanted),
        is_over_the_limit,
        SpoolError::Unprotected,
    )
}

fn put_unprotected(
    path: &Path,
    owner: Owner,
    document: &Document,
    is_wanted: bool,
) -> Result<(), SpoolError> {
    let folders = DropBox::open(path, owner)?;
    let mut names = folders.names(DEFERRED, MAX_NAMES)?;
    names.extend(folders.names(NEW, MAX_NAMES)?);
    let own = NoticeName::of(document);
    let (mut count, mut of_one) = (0, 0);
    for name in &names {
        let waiting = match SpoolName::parse(name) {
            Some(SpoolName::Notice(notice)) => Some(notice),
            Some(SpoolName::Waiting(waiting)) => Some(waiting.notice),
            // Only says when somebody was told.
            Some(SpoolName::Sent(_)) => continue,
            None => None,
        };
        count += 1;
        if waiting.is_some_and(|other| (other.kind, &other.user) == (own.kind, &own.user)) {
            of_one += 1;
        }
    }
    // Of recovery codes there are few, and nobody is to crowd out that one was used.
    let is_crowd = document.kind == Kind::Login && document.codes_left.is_none();
    let most = match document.kind {
        Kind::Failure => MAX_FAILURES,
        Kind::Login if is_crowd => MAX_LOGINS,
        _ => MAX_NOTICES,
    };
    if count >= most {
        return Err(SpoolError::Full);
    }
    let mut is_wanted = is_wanted;
    let mut document = document.clone();
    match document.kind {
        // Whoever reads the digest learns that there were more. It takes as long as one that is kept.
        Kind::Failure => {
            is_wanted &= of_one < MAX_OF_ONE;
            document.is_incomplete = of_one + 1 >= MAX_OF_ONE;
        }
        Kind::Login if is_crowd && of_one >= MAX_OF_ONE => return Err(SpoolError::FullForUser),
        _ => {}
    }
    let text = document.to_json();
    if text.len() > MAX_DOCUMENT {
        return Err(SpoolError::TooLarge);
    }
    let name = own.to_string();
    if is_wanted {
        folders.put((TMP, NEW), &name, text.as_bytes())?;
    } else {
        folders.pretend((TMP, NEW), &name, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::courier::new_id;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Place(tempfile::TempDir);

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        for name in [TMP, NEW, DEFERRED, DEAD] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Place(dir)
    }

    impl Place {
        fn put(&self, document: &Document) -> Result<(), SpoolError> {
            put(self.0.path(), Owner::effective_user(), document, true)
        }

        fn names(&self, folder: &str) -> Vec<String> {
            let entries = std::fs::read_dir(self.0.path().join(folder)).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    fn notice(kind: Kind, user: &str) -> Document {
        let mut document = Document::new(kind, new_id(), 1);
        document.user = user.to_owned();
        document
    }

    #[test]
    fn a_notice_is_put_whole_into_the_folder_of_new_ones() {
        let place = place();
        let document = notice(Kind::Login, "../Zo\u{eb}");
        place.put(&document).unwrap();
        let name = format!("login~%2E.%2F%5Ao%C3%AB~{}", document.id);
        assert_eq!(place.names(NEW), [name.as_str()]);
        assert!(place.names(TMP).is_empty());
        let file = place.path(NEW).join(&name);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            document.to_json().as_str()
        );
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // The same once more is refused, and leaves nothing.
        assert!(matches!(place.put(&document), Err(SpoolError::File(_))));
        assert!(place.names(TMP).is_empty());
    }

    #[test]
    fn what_is_pretended_leaves_nothing() {
        let place = place();
        let owner = Owner::effective_user();
        put(place.0.path(), owner, &notice(Kind::Failure, "x"), false).unwrap();
        assert!(place.names(NEW).is_empty() && place.names(TMP).is_empty());
    }

    #[test]
    fn a_file_becomes_that_of_whom_the_folder_belongs_to() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED a_file_becomes_that_of_whom_the_folder_belongs_to: needs root");
            return;
        }
        let place = place();
        for name in [TMP, NEW] {
            std::os::unix::fs::chown(place.path(name), Some(12345), Some(23456)).unwrap();
        }
        place.put(&notice(Kind::Login, "alice")).unwrap();
        let name = place.names(NEW).pop().unwrap();
        let file = place.path(NEW).join(name).metadata().unwrap();
        assert_eq!((file.uid(), file.gid()), (12345, 23456));
    }

    #[test]
    fn links_and_fifos_that_were_planted_are_neither_followed_nor_replaced() {
        let place = place();
        let treasure = place.path("treasure");
        std::fs::write(&treasure, "as it was").unwrap();
        for folder in [TMP, NEW] {
            let document = notice(Kind::Login, "alice");
            let planted = place
                .path(folder)
                .join(NoticeName::of(&document).to_string());
            symlink(&treasure, &planted).unwrap();
            assert!(matches!(place.put(&document), Err(SpoolError::File(_))));
            std::fs::remove_file(&planted).unwrap();
            nix::unistd::mkfifo(&planted, nix::sys::stat::Mode::S_IRWXU).unwrap();
            assert!(matches!(place.put(&document), Err(SpoolError::File(_))));
            assert!(std::fs::symlink_metadata(&planted).is_ok());
            std::fs::remove_file(&planted).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&treasure).unwrap(), "as it was");
        // The folders themselves may be no links.
        std::fs::rename(place.path(NEW), place.path("elsewhere")).unwrap();
        symlink("elsewhere", place.path(NEW)).unwrap();
        let refused = place.put(&notice(Kind::Login, "alice")).unwrap_err();
        assert!(refused.to_string().contains("symbolic link"), "{refused}");
        assert!(place.names("elsewhere").is_empty());
    }

    #[test]
    fn no_spool_is_an_error_that_names_it() {
        let place = place();
        std::fs::remove_dir(place.path(NEW)).unwrap();
        let error = place.put(&notice(Kind::Login, "alice")).unwrap_err();
        assert!(
            error.to_string().ends_with("/new: does not exist"),
            "{error}"
        );
        assert_eq!(error.reason(), "spool_unusable");
    }

    #[test]
    fn a_thousand_notices_wait_at_most_and_guessers_leave_room_for_others() {
        let place = place();
        for number in 0..MAX_FAILURES {
            let folder = if number % 2 == 0 { NEW } else { DEFERRED };
            std::fs::write(place.path(folder).join(format!("{number}")), "").unwrap();
            // When somebody was told is no notice.
            std::fs::write(place.path(DEFERRED).join(format!("sent~{number}")), "").unwrap();
        }
        let failure = notice(Kind::Failure, "alice");
        assert_eq!(place.put(&failure), Err(SpoolError::Full));
        for number in MAX_FAILURES..MAX_LOGINS {
            place
                .put(&notice(Kind::Login, &format!("user{number}")))
                .unwrap();
        }
        assert_eq!(
            place.put(&notice(Kind::Login, "alice")),
            Err(SpoolError::Full)
        );
        for _ in MAX_LOGINS..MAX_NOTICES {
            place.put(&notice(Kind::Change, "alice")).unwrap();
        }
        assert_eq!(
            place.put(&notice(Kind::Change, "alice")),
            Err(SpoolError::Full)
        );
    }

    #[test]
    fn of_one_user_so_many_failures_wait_and_the_last_one_says_that_there_may_be_more() {
        let place = place();
        place.put(&notice(Kind::Failure, "alice.a")).unwrap();
        for number in 0..40 {
            place.put(&notice(Kind::Failure, "alice")).unwrap();
            // What the courier has taken over and keeps for a digest counts as well.
            if number == 10 {
                for name in place.names(NEW) {
                    let (new, deferred) = (place.path(NEW), place.path(DEFERRED));
                    std::fs::rename(new.join(&name), deferred.join(&name)).unwrap();
                }
            }
        }
        for name in place.names(DEFERRED) {
            let (new, deferred) = (place.path(NEW), place.path(DEFERRED));
            std::fs::rename(deferred.join(&name), new.join(&name)).unwrap();
        }
        let names = place.names(NEW);
        let of_alice = names
            .iter()
            .filter(|name| name.starts_with("failure~alice~"));
        let incomplete = of_alice.clone().filter(|name| {
            let text = std::fs::read_to_string(place.path(NEW).join(name)).unwrap();
            text.contains("is_incomplete")
        });
        assert_eq!((of_alice.count(), incomplete.count()), (32, 1));
    }

    #[test]
    fn whoever_logs_in_all_the_time_keeps_nobody_elses_notices_out() {
        let place = place();
        for _ in 0..MAX_OF_ONE {
            place.put(&notice(Kind::Login, "mallory")).unwrap();
        }
        let refused = place.put(&notice(Kind::Login, "mallory"));
        assert_eq!(refused, Err(SpoolError::FullForUser));
        place.put(&notice(Kind::Failure, "mallory")).unwrap();
        place.put(&notice(Kind::Login, "alice")).unwrap();
    }

    #[test]
    fn logins_crowd_out_no_notice_of_a_recovery_code() {
        let place = place();
        let mut recovery = notice(Kind::Login, "alice");
        recovery.codes_left = Some(9);
        for _ in 0..MAX_OF_ONE {
            place.put(&notice(Kind::Login, "alice")).unwrap();
        }
        place.put(&recovery).unwrap();
        for number in MAX_OF_ONE + 1..MAX_NOTICES {
            std::fs::write(place.path(NEW).join(format!("{number}")), "").unwrap();
            if number == MAX_LOGINS {
                let refused = place.put(&notice(Kind::Login, "bob"));
                assert_eq!(refused, Err(SpoolError::Full));
                recovery.id = new_id();
                place.put(&recovery).unwrap();
                std::fs::remove_file(place.path(NEW).join(format!("{number}"))).unwrap();
            }
        }
        recovery.id = new_id();
        assert_eq!(place.put(&recovery), Err(SpoolError::Full));
    }
}
