//! Whether `pam_mfa.so` is where libpam looks for it, and nobody but root can exchange it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mfa_core::secure_file::{Folder, Owner};

use super::check::Check;
use super::files;
use super::quoted;
use super::tally::Tally;
use crate::output::shown;

const NAME: &str = "pam_mfa.so";

/// The folders below `root` where distributions keep their modules, each once though `/lib` may be a link to
/// `/usr/lib`: `lib/security`, `lib64/security` and, multiarch, `lib/x86_64-linux-gnu/security`.
pub(super) fn folders(root: &Path) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for library in ["usr/lib", "usr/lib64", "lib", "lib64", "usr/local/lib"] {
        let library = root.join(library);
        let mut candidates: Vec<PathBuf> = fs::read_dir(&library)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("security")))
            .collect();
        candidates.sort();
        candidates.insert(0, library.join("security"));
        for folder in candidates.into_iter().filter(|folder| folder.is_dir()) {
            let real = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
            if seen.insert(real) {
                found.push(folder);
            }
        }
    }
    found
}

/// Looks for the module in the folders.
pub(super) fn check(folders: &[PathBuf], owner: Owner) -> Check {
    let found = folders
        .iter()
        .map(|folder| folder.join(NAME))
        .filter(|path| path.exists());
    judge(found.map(|path| Installed::look(path, owner)), folders)
}

/// A module that was found.
struct Installed {
    path: PathBuf,
    /// Why it can't be trusted or loaded, and what to do.
    problem: Option<(String, String)>,
}

impl Installed {
    fn look(path: PathBuf, owner: Owner) -> Self {
        let problem = Self::problem(&path, owner);
        Self { path, problem }
    }

    fn problem(path: &Path, owner: Owner) -> Option<(String, String)> {
        let name = quoted(&path.display().to_string());
        // libpam follows links, so it is their end that counts.
        let real = fs::canonicalize(path).ok()?;
        if let Some(Err(error)) = real.parent().map(|folder| Folder::open(folder, owner)) {
            return Some((files::sentence(&error), files::remedy(&error, owner)));
        }
        let found = fs::metadata(&real).ok()?;
        let mode = found.mode() & 0o7777;
        if found.uid() != files::uid(owner) && found.uid() != 0 {
            let message = format!("{name} is owned by uid {}.", found.uid());
            return Some((
                message,
                format!("Install it anew; then see who changed it: `ls -l {name}`."),
            ));
        }
        if mode & 0o022 != 0 {
            let message = format!("{name} has mode {mode:04o}: others can write it.");
            return Some((
                message,
                format!("Install it anew, then `chmod 644 {name}`."),
            ));
        }
        if !starts_like_elf(&real) {
            let message = format!("{name} is no shared object: libpam can't load it.");
            return Some((
                message,
                "Install it anew (make install, or the package).".to_owned(),
            ));
        }
        None
    }
}

fn starts_like_elf(path: &Path) -> bool {
    let mut start = [0; 4];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok()
        && start == *b"\x7fELF"
}

fn judge(found: impl Iterator<Item = Installed>, folders: &[PathBuf]) -> Check {
    let mut places = Tally::default();
    for module in found {
        if let Some((message, hint)) = module.problem {
            return Check::fail("module", message, hint);
        }
        places.add(shown(&module.path.display().to_string()));
    }
    if places.is_empty() {
        let mut looked = Tally::default();
        for folder in folders {
            looked.add(shown(&folder.display().to_string()));
        }
        let message = if looked.is_empty() {
            format!("{NAME} is not installed: there is no folder of PAM modules.")
        } else {
            format!("{NAME} is not installed: it is not in {looked}.")
        };
        return Check::fail(
            "module",
            message,
            "Install it (make install, or the package). Services that name it refuse everybody until then.",
        );
    }
    Check::ok("module", format!("The module is {places}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn every_layout_of_the_folders_is_found_once() {
        let root = tempfile::tempdir().unwrap();
        for folder in [
            "usr/lib/x86_64-linux-gnu/security",
            "usr/lib64/security",
            "usr/lib/systemd",
        ] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        symlink("usr/lib", root.path().join("lib")).unwrap();
        let found = folders(root.path());
        let expected = ["usr/lib/x86_64-linux-gnu/security", "usr/lib64/security"];
        assert_eq!(found, expected.map(|folder| root.path().join(folder)));
    }

    #[test]
    fn the_module_has_to_be_there_and_nobody_elses_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let owner = Owner::effective_user();
        assert_eq!(check(&folders, owner).status, Status::Fail);
        let path = folder.path().join(NAME);
        fs::write(&path, b"\x7fELF...").unwrap();
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        assert_eq!(check(&folders, owner).status, Status::Ok);
        set(0o666);
        let found = check(&folders, owner);
        assert!(
            found.status == Status::Fail && found.message.contains("others can write"),
            "{found:?}"
        );
        set(0o644);
        fs::write(&path, b"").unwrap();
        assert!(check(&folders, owner).message.contains("no shared object"));
    }
}
