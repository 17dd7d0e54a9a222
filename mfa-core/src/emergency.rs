//! The break-glass file: found, read, and marked where its code was used. What it says is in
//! [`crate::config::emergency`], who is asked for the code in [`crate::login`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::rfc3339;
use crate::config::emergency::EmergencyFile;
use crate::host::HostError;
use crate::secure_file::{self, BlockError, FileError, Held, Owner, Privacy, Problem};

/// The file's name, where the configuration can't say it.
pub const FILE_NAME: &str = "emergency.toml";
/// What the file is called until it is whole.
pub const TEMPORARY: &str = ".new-emergency.toml";
/// How long who changes the file waits for another one who does.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Where the file is when the configuration can't be read: beside it.
#[must_use]
pub fn beside(configuration: &Path) -> PathBuf {
    configuration.with_file_name(FILE_NAME)
}

/// Reads the file; `None` where there is none.
///
/// # Errors
///
/// It can't be trusted, or says something wrong.
pub fn read(path: &Path, owner: Owner) -> Result<Option<EmergencyFile>, HostError> {
    match secure_file::read(path, owner, Privacy::Private) {
        Ok(bytes) => parse(path, &bytes).map(Some),
        Err(error) if error.problem == Problem::Missing => Ok(None),
        Err(error) => Err(HostError::ConfigFile(error)),
    }
}

/// What the bytes of the file say.
///
/// # Errors
///
/// They say something wrong.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<EmergencyFile, HostError> {
    EmergencyFile::parse(bytes).map_err(|error| HostError::Config {
        path: path.to_owned(),
        error,
    })
}

/// What became of a code that was right.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was good, and is no more.
    Used,
    /// It is good, and could not be marked: so it stays. Why.
    Unmarked(String),
    /// It let somebody in before.
    UsedBefore,
    /// Another one was made meanwhile, or the file is gone, or names others now.
    Replaced,
    /// Another login holds the file for so long: it may just be marking it.
    Busy,
}

/// Why the file could not be changed.
enum Obstacle {
    File(FileError),
    Block(BlockError),
    Content(HostError),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Block(error) => error.fmt(f),
            Self::Content(error) => error.fmt(f),
        }
    }
}

/// Marks a code as used, as the file is now: another login may have been quicker, and root may have changed it while the
/// code was typed. `still`: whether it lets in by what it says. All else in the file stays, to the letter.
pub fn use_up(
    path: &Path,
    owner: Owner,
    code: (&str, &str),
    still: &dyn Fn(&EmergencyFile) -> bool,
    unix_seconds: u64,
) -> Mark {
    match try_to_use_up(path, owner, code, still, unix_seconds) {
        Ok(mark) => mark,
        // It was there when this login began: who removes it takes the code back.
        Err(Obstacle::Block(BlockError::File(error))) if error.problem == Problem::Missing => {
            Mark::Replaced
        }
        Err(Obstacle::Block(BlockError::Busy { .. })) => Mark::Busy,
        Err(obstacle) => Mark::Unmarked(obstacle.to_string()),
    }
}

fn try_to_use_up(
    path: &Path,
    owner: Owner,
    code: (&str, &str),
    still: &dyn Fn(&EmergencyFile) -> bool,
    unix_seconds: u64,
) -> Result<Mark, Obstacle> {
    let (folder, name) = secure_file::folder_of(path, owner).map_err(Obstacle::File)?;
    let held = folder.hold(&name, PATIENCE).map_err(Obstacle::Block)?;
    let file = parse(path, held.bytes()).map_err(Obstacle::Content)?;
    if file.code() != Some(code) || !still(&file) {
        return Ok(Mark::Replaced);
    }
    if file.used.is_some() {
        return Ok(Mark::UsedBefore);
    }
    let marked = marked(&held, unix_seconds);
    folder
        .replace(&name, TEMPORARY, 0o600, &marked)
        .map_err(Obstacle::File)?;
    Ok(Mark::Used)
}

/// The file with one more line. It has no section that could swallow it: none is known.
fn marked(held: &Held, unix_seconds: u64) -> Vec<u8> {
    let mut bytes = held.bytes().to_vec();
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"used = ");
    bytes.extend_from_slice(rfc3339(unix_seconds).as_bytes());
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const SALT: &str = "00112233445566778899aabbccddeeff";

    fn file(hash: &str) -> String {
        format!(
            "# Ours.\nversion = 1\nusers = [\"root\"]\nservices = [\"login\"]\nttys = [\"tty1\"]\n\
             generated = 2026-11-20T09:00:00Z\nsalt = \"{SALT}\"\nhash = \"{hash}\" # kept"
        )
    }

    fn place(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_code_is_marked_once_and_all_else_stays() {
        let hash = SALT.repeat(2);
        let (folder, path) = place(&file(&hash));
        let owner = Owner::effective_user();
        let use_up = || use_up(&path, owner, (SALT, &hash), &|_| true, 1_795_168_800);
        assert_eq!(use_up(), Mark::Used);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            format!("{}\nused = 2026-11-20T10:00:00Z\n", file(&hash))
        );
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(use_up(), Mark::UsedBefore);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_at_once_one_marks_it() {
        let hash = SALT.repeat(2);
        for _ in 0..20 {
            let (_folder, path) = place(&file(&hash));
            let owner = Owner::effective_user();
            let marks = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| use_up(&path, owner, (SALT, &hash), &|_| true, 0)))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect::<Vec<_>>()
            });
            let used = marks.iter().filter(|mark| **mark == Mark::Used).count();
            let late = marks.iter().filter(|mark| **mark == Mark::UsedBefore);
            assert_eq!((used, late.count()), (1, 7), "{marks:?}");
        }
    }

    #[test]
    fn another_code_is_not_marked_and_what_can_not_be_written_is_said() {
        let hash = SALT.repeat(2);
        let (folder, path) = place(&file(&"11".repeat(32)));
        let owner = Owner::effective_user();
        let use_up = || use_up(&path, owner, (SALT, &hash), &|_| true, 0);
        assert_eq!(use_up(), Mark::Replaced);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(matches!(use_up(), Mark::Unmarked(why) if why.contains("emergency.toml:1:")));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(use_up(), Mark::Replaced);
        drop(folder);
    }

    #[test]
    fn whom_the_file_names_no_more_it_does_not_let_in() {
        let hash = SALT.repeat(2);
        let (_folder, path) = place(&file(&hash));
        let owner = Owner::effective_user();
        let names = |name: &'static str| {
            move |file: &EmergencyFile| file.users.iter().any(|user| user == name)
        };
        let before = std::fs::read(&path).unwrap();
        let mark = use_up(&path, owner, (SALT, &hash), &names("alice"), 0);
        assert_eq!(mark, Mark::Replaced);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let mark = use_up(&path, owner, (SALT, &hash), &names("root"), 0);
        assert_eq!(mark, Mark::Used);
    }

    #[test]
    fn a_file_that_is_not_there_is_none_and_one_that_others_can_read_is_refused() {
        let (_folder, path) = place(&file(&SALT.repeat(2)));
        let owner = Owner::effective_user();
        assert!(read(&path, owner).unwrap().is_some());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path, owner).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, owner).unwrap().is_none());
        assert_eq!(
            beside(Path::new("/etc/mfa/mfa.toml")),
            Path::new("/etc/mfa/emergency.toml")
        );
    }
}
