//! What a user may read, going by owner, group and mode. Access control lists are not looked at: where they
//! matter, it is the courier's own attempt that tells.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User, getgrouplist};

/// Read a file, or list a folder and open what is in it.
const READ: u32 = 0o4;
/// Pass through a folder.
const PASS: u32 = 0o1;

/// A user and the groups that the courier has when it has become that user.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    uid: u32,
    groups: Vec<u32>,
    /// Name of the user's own group.
    group: String,
}

impl Reader {
    pub(super) fn of(user: &User) -> Self {
        let groups = CString::new(user.name.as_str())
            .ok()
            .and_then(|name| getgrouplist(&name, user.gid).ok())
            .unwrap_or_else(|| vec![user.gid]);
        let group = Group::from_gid(user.gid).ok().flatten();
        Self {
            uid: user.uid.as_raw(),
            groups: groups.iter().map(|gid| gid.as_raw()).collect(),
            group: group.map_or_else(|| user.gid.to_string(), |group| group.name),
        }
    }

    /// What a file is to belong to for this user to read it.
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// The file itself or the first folder on the way to it that keeps this user from reading it. `None`: nothing
    /// does, or the file is not there.
    pub(super) fn obstacle(&self, path: &Path) -> Option<PathBuf> {
        let real = fs::canonicalize(path).ok()?;
        let mut folders: Vec<&Path> = real.ancestors().skip(1).collect();
        folders.reverse();
        let wanted = if real.is_dir() { READ | PASS } else { READ };
        folders
            .into_iter()
            .map(|folder| (folder, PASS))
            .chain([(real.as_path(), wanted)])
            .find(|(place, wanted)| !self.may(place, *wanted))
            .map(|(place, _)| place.to_owned())
    }

    fn may(&self, place: &Path, wanted: u32) -> bool {
        let Ok(found) = fs::metadata(place) else {
            return false;
        };
        let shift = if found.uid() == self.uid {
            6
        } else if self.groups.contains(&found.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || (found.mode() >> shift) & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn owner_group_and_others_are_told_apart_as_the_kernel_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(folder.path(), 0o755);
        let found = fs::metadata(&file).unwrap();
        let reader = |uid: u32, gid: u32| Reader {
            uid,
            groups: vec![gid],
            group: gid.to_string(),
        };
        let (uid, gid) = (found.uid(), found.gid());
        let somebody = reader(uid + 7, gid + 7);
        for (mode, by_group, by_others) in [
            (0o640, true, false),
            (0o604, false, true),
            (0o600, false, false),
            (0o644, true, true),
        ] {
            set(&file, mode);
            let reads = |reader: &Reader| reader.obstacle(&file).is_none();
            assert_eq!(reads(&reader(uid + 7, gid)), by_group, "{mode:o}");
            assert_eq!(reads(&somebody), by_others, "{mode:o}");
        }
        set(folder.path(), 0o700);
        let real = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(somebody.obstacle(&file), Some(real));
        assert_eq!(somebody.obstacle(&folder.path().join("gone")), None);
    }
}
