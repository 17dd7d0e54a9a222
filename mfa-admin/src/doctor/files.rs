//! Ownership and modes: what is wrong with a file, and the command that puts it right.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mfa_core::config::Config;
use mfa_core::secure_file::{self, FileError, Folder, Owner, Privacy, Problem};
use nix::errno::Errno;

use super::check::Check;
use super::quoted;
use super::tally::Tally;
use crate::output::shown;

/// An error's text, fit for one line and ended like a sentence.
pub(super) fn sentence(error: &impl fmt::Display) -> String {
    let text = shown(&error.to_string());
    if text.ends_with(['.', '!']) {
        text
    } else {
        format!("{text}.")
    }
}

/// The user id that files must have.
pub(super) fn uid(owner: Owner) -> u32 {
    if owner == Owner::ROOT {
        0
    } else {
        nix::unistd::geteuid().as_raw()
    }
}

/// What to do about a file that can't be trusted, with the exact command.
pub(super) fn remedy(error: &FileError, owner: Owner) -> String {
    let at_fault = at_fault(&error.path, owner);
    let path = quoted(&at_fault.display().to_string());
    match error.problem {
        Problem::Missing | Problem::TooLarge => format!("Put {path} back from your backup."),
        Problem::NotAbsolute => "Write the whole path, from the root: `--config /…`.".to_owned(),
        Problem::Link => format!("Put the file itself in the place of the link: `ls -l {path}`."),
        Problem::NotAFile | Problem::NotAFolder => {
            format!("See what it is (`ls -ld {path}`), then move it away.")
        }
        Problem::Owner(_) => {
            let group = if owner == Owner::ROOT { ":root" } else { "" };
            format!(
                "Find out who changed it, then `chown {}{group} {path}`.",
                uid_name(owner)
            )
        }
        Problem::WritableByOthers(_) => {
            format!("Find out who could have changed it, then `chmod go-w {path}`.")
        }
        Problem::NotPrivate(_) => format!("`chmod 600 {path}`"),
        Problem::OtherNames(_) => {
            format!("Find the other names and remove them: `find / -xdev -samefile {path}`.")
        }
        Problem::System(Errno::EACCES | Errno::EPERM) => "Run doctor as root.".to_owned(),
        Problem::System(Errno::EROFS) => {
            format!(
                "See the kernel's log for errors of the disk; then `mount -o remount,rw` what {path} is on."
            )
        }
        Problem::System(_) | Problem::NotSynced(_) => {
            "See the kernel's log (`dmesg`) for errors of the disk.".to_owned()
        }
    }
}

fn uid_name(owner: Owner) -> String {
    match uid(owner) {
        0 => "root".to_owned(),
        uid => uid.to_string(),
    }
}

/// The folder on the way to a file that others own or can write, else the file itself: the error of
/// `secure_file` names where it was going.
fn at_fault(path: &Path, owner: Owner) -> PathBuf {
    let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
    ancestors.reverse();
    let is_at_fault = |folder: &&&Path| {
        fs::metadata(folder).is_ok_and(|found| {
            let is_strange = found.uid() != 0 && found.uid() != uid(owner);
            is_strange || (found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0)
        })
    };
    ancestors
        .iter()
        .find(is_at_fault)
        .map_or_else(|| path.to_owned(), |found| (**found).to_owned())
}

/// The permission bits of a folder of records or states: names of users are nobody else's business.
pub(super) fn private_folders(folders: &[&Folder]) -> Check {
    let mut open = Tally::default();
    let mut names = Vec::new();
    for folder in folders {
        let Ok(found) = fs::symlink_metadata(folder.path()) else {
            continue;
        };
        let path = folder.path().display().to_string();
        if found.mode() & 0o7777 != 0o700 {
            open.add(format!(
                "{} has mode {:04o}",
                shown(&path),
                found.mode() & 0o7777
            ));
            names.push(quoted(&path));
        }
    }
    if open.is_empty() {
        return Check::ok(
            "paths.store",
            "Nobody but root can look into the folders of the store.",
        );
    }
    Check::warn(
        "paths.store",
        format!("Folders of the store are to have mode 0700: {open}."),
        format!("`chmod 700 {}`", names.join(" ")),
    )
}

/// Files beside the store that need not be there; nothing is said of those that aren't.
pub(super) fn optional(config: &Config, owner: Owner) -> Vec<Check> {
    let paths = &config.paths;
    let mut checks = Vec::new();
    if is_there(paths.emergency.as_path()) {
        let read = secure_file::read(paths.emergency.as_path(), owner, Privacy::Private);
        checks.push(match read {
            Ok(_) => Check::ok(
                "paths.emergency",
                format!("{} is root's alone.", paths.emergency),
            ),
            Err(error) => Check::fail("paths.emergency", sentence(&error), remedy(&error, owner)),
        });
    }
    if is_there(paths.credentials.as_path()) {
        checks.push(credentials(paths.credentials.as_path(), owner));
    }
    if let Some(words) = config.passphrase.refused.path() {
        let opened = secure_file::folder_of(words, owner)
            .and_then(|(folder, name)| folder.open_to_read(&name, Privacy::Public));
        let id = "passphrase.refused";
        checks.push(match opened {
            Ok(_) => Check::ok(id, format!("{} can be read.", words.display())),
            Err(error) => {
                let message = format!("{} No new passphrase is taken.", sentence(&error));
                Check::fail(id, message, remedy(&error, owner))
            }
        });
    }
    checks
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// root's, at most readable by the courier's group.
fn credentials(path: &Path, owner: Owner) -> Check {
    let folder = match Folder::open(path, owner) {
        Ok(folder) => folder,
        Err(error) => {
            return Check::fail("paths.credentials", sentence(&error), remedy(&error, owner));
        }
    };
    let names = folder.names().unwrap_or_default();
    let inside = names.iter().map(|name| path.join(name));
    let found = std::iter::once(path.to_owned())
        .chain(inside)
        .map(|path| Entry::of(&path));
    judge_credentials(found.flatten(), uid(owner))
}

/// What there is to know of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) uid: u32,
    pub(super) mode: u32,
}

impl Entry {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        let path = path.display().to_string();
        Some(Self {
            path,
            uid: found.uid(),
            mode: found.mode() & 0o7777,
        })
    }
}

fn judge_credentials(entries: impl Iterator<Item = Entry>, owner: u32) -> Check {
    let mut open = Tally::default();
    let mut first = None;
    for entry in entries {
        if entry.uid != owner || entry.mode & 0o027 != 0 {
            open.add(format!(
                "{} (uid {}, mode {:04o})",
                shown(&entry.path),
                entry.uid,
                entry.mode
            ));
            first.get_or_insert(entry.path);
        }
    }
    match first {
        None => Check::ok(
            "paths.credentials",
            "Passwords and tokens are root's and the courier's alone.",
        ),
        Some(path) => {
            let path = quoted(&path);
            Check::fail(
                "paths.credentials",
                format!("Passwords and tokens that others can read or change: {open}."),
                format!(
                    "`chown root {path}; chmod o-rwx,g-w {path}`, and replace what others could read."
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;
    use std::os::unix::fs::PermissionsExt;

    fn entry(uid: u32, mode: u32) -> Entry {
        Entry {
            path: "/x/y".to_owned(),
            uid,
            mode,
        }
    }

    #[test]
    fn credentials_are_readable_by_root_and_the_couriers_group_alone() {
        for (uid, mode, status) in [
            (0, 0o750, Status::Ok),
            (0, 0o640, Status::Ok),
            (0, 0o644, Status::Fail),
            (0, 0o660, Status::Fail),
            (7, 0o600, Status::Fail),
        ] {
            assert_eq!(
                judge_credentials([entry(uid, mode)].into_iter(), 0).status,
                status,
                "{mode:o}"
            );
        }
    }

    #[test]
    fn the_folder_at_fault_is_the_one_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir_all(open.join("inner")).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let owner = Owner::effective_user();
        let error = Folder::open(&open.join("inner"), owner).unwrap_err();
        let hint = remedy(&error, owner);
        assert!(
            hint.ends_with(&format!("`chmod go-w {}`.", open.display())),
            "{hint}"
        );
    }

    #[test]
    fn every_problem_has_a_remedy_with_the_path_in_it() {
        let error = |problem| FileError {
            path: PathBuf::from("/nonexistent/a b"),
            problem,
        };
        for problem in [
            Problem::Missing,
            Problem::Link,
            Problem::NotAFile,
            Problem::NotAFolder,
            Problem::Owner(7),
            Problem::WritableByOthers(0o666),
            Problem::NotPrivate(0o644),
            Problem::OtherNames(2),
            Problem::TooLarge,
        ] {
            let hint = remedy(&error(problem), Owner::ROOT);
            assert!(hint.contains("'/nonexistent/a b'"), "{hint}");
        }
    }
}
