//! The file system of the store: states are changed in place, under a lock, and must be there after a
//! power cut.

use std::path::Path;

use nix::sys::statfs::statfs;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::check::Check;
use crate::output::shown;

/// Less is soon used up by states of new users, 4 KiB each.
const LITTLE_SPACE: u64 = 16 << 20;
const FEW_FILES: u64 = 1000;

/// What a kind of file system means for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Writes where the block is.
    InPlace,
    /// Writes elsewhere each time, which needs room and breaks what `fdatasync` is measured for.
    CopyOnWrite,
    /// Locks and writes are another host's to keep.
    Network,
    /// What is behind it can't be told.
    Unclear,
    /// Gone at the next boot.
    Memory,
}

/// `f_type` of statfs(2), most of them from linux/magic.h.
const KINDS: [(u32, &str, Kind); 37] = [
    (0x0000_ef53, "ext2, ext3 or ext4", Kind::InPlace),
    (0x5846_5342, "xfs", Kind::InPlace),
    (0x3153_464a, "jfs", Kind::InPlace),
    (0x5265_4973, "reiserfs", Kind::InPlace),
    (0x794c_7630, "overlay", Kind::InPlace),
    (0x9123_683e, "btrfs", Kind::CopyOnWrite),
    (0x2fc1_2fc1, "zfs", Kind::CopyOnWrite),
    (0xca45_1a4e, "bcachefs", Kind::CopyOnWrite),
    (0xf2f5_2010, "f2fs", Kind::CopyOnWrite),
    (0x0000_3434, "nilfs", Kind::CopyOnWrite),
    (0x2405_1905, "ubifs", Kind::CopyOnWrite),
    (0x0000_72b6, "jffs2", Kind::CopyOnWrite),
    (0x0000_6969, "nfs", Kind::Network),
    (0x0000_517b, "smb", Kind::Network),
    (0xff53_4d42, "cifs", Kind::Network),
    (0xfe53_4d42, "smb2", Kind::Network),
    (0x0102_1997, "9p", Kind::Network),
    (0x00c3_6400, "ceph", Kind::Network),
    (0x5346_414f, "afs", Kind::Network),
    (0x6b41_4653, "afs", Kind::Network),
    (0x7375_7245, "coda", Kind::Network),
    (0x0000_564c, "ncp", Kind::Network),
    (0x0bd0_0bd0, "lustre", Kind::Network),
    (0x4750_4653, "gpfs", Kind::Network),
    (0x1983_0326, "fhgfs", Kind::Network),
    (0xaad7_aaea, "panfs", Kind::Network),
    (0x0116_1970, "gfs2", Kind::Network),
    (0x7461_636f, "ocfs2", Kind::Network),
    (0x786f_4256, "vboxsf", Kind::Network),
    (0xbacb_acbc, "vmhgfs", Kind::Network),
    (0x2030_4020, "pvfs2", Kind::Network),
    (0x6573_5546, "fuse", Kind::Unclear),
    (0x0000_f15f, "ecryptfs", Kind::Unclear),
    (0x6175_6673, "aufs", Kind::Unclear),
    (0x0000_4d44, "fat", Kind::Unclear),
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58f6, "ramfs", Kind::Memory),
];

/// Kind of file system, then free space.
pub(super) fn check(folder: &Path) -> Vec<Check> {
    let path = shown(&folder.display().to_string());
    let kind = match statfs(folder) {
        Ok(found) => {
            // Negative on 32 bits where the uppermost bit is set: the bits are what counts.
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::unnecessary_cast
            )]
            let magic = found.filesystem_type().0 as u32;
            judge(&path, magic)
        }
        Err(errno) => unanswered("filesystem", &path, errno.desc()),
    };
    let space = match statvfs(folder) {
        #[allow(clippy::useless_conversion)] // 32 bits on some architectures
        Ok(found) => judge_space(
            &path,
            &Space {
                free: u64::from(found.blocks_available())
                    .saturating_mul(u64::from(found.fragment_size())),
                files: u64::from(found.files()),
                free_files: u64::from(found.files_available()),
                is_read_only: found.flags().contains(FsFlags::ST_RDONLY),
            },
        ),
        Err(errno) => unanswered("space", &path, errno.desc()),
    };
    vec![kind, space]
}

fn unanswered(id: &str, path: &str, why: &str) -> Check {
    Check::warn(
        id,
        format!("The system does not tell about the file system of {path}: {why}."),
        "Run doctor as root, on the host whose logins are to be checked.",
    )
}

fn judge(path: &str, magic: u32) -> Check {
    let known = KINDS.iter().find(|(number, ..)| *number == magic);
    let Some((_, name, kind)) = known else {
        return Check::warn(
            "filesystem",
            format!("{path} is on a file system that this release does not know (0x{magic:x})."),
            "A local one like ext4 or xfs is known to keep what was written.",
        );
    };
    match kind {
        Kind::InPlace => Check::ok("filesystem", format!("{path} is on {name}.")),
        Kind::CopyOnWrite => Check::warn(
            "filesystem",
            format!(
                "{path} is on {name}, which writes each login's state to a new place: logins are slower, \
                 and fail when the disk is full."
            ),
            "Better put the store on ext4 or xfs; on btrfs, `chattr +C` an empty folder before `init`.",
        ),
        Kind::Network => Check::fail(
            "filesystem",
            format!(
                "{path} is on {name}, shared or on another host: locks there don't hold, so a code could be \
                 used twice, and nobody logs in while it is away."
            ),
            "Put the store on a local disk (ext4, xfs): each host keeps its own.",
        ),
        Kind::Unclear => Check::warn(
            "filesystem",
            format!(
                "{path} is on {name}: whether locks and writes hold there can't be told from here."
            ),
            "Put the store on a local disk (ext4, xfs).",
        ),
        Kind::Memory => Check::warn(
            "filesystem",
            format!(
                "{path} is on {name}, in memory: records, states and locks are gone at the next boot."
            ),
            "Put the store on a disk, unless this is a trial.",
        ),
    }
}

/// Room on a file system.
#[derive(Clone, Copy, Debug)]
struct Space {
    /// Bytes.
    free: u64,
    /// Files that there can be in all; 0 where the file system has no such limit.
    files: u64,
    free_files: u64,
    is_read_only: bool,
}

fn judge_space(path: &str, space: &Space) -> Check {
    if space.is_read_only {
        return Check::fail(
            "space",
            format!(
                "{path} is mounted read-only: what a login leaves behind can't be kept, so all are refused."
            ),
            "See the kernel's log for errors of the disk; then `mount -o remount,rw` it.",
        );
    }
    let hint = "Make room: enrolled users still log in, but nobody can be added or changed.";
    if space.free < LITTLE_SPACE {
        let message = format!(
            "{path}: only {} KiB are free on its file system.",
            space.free / 1024
        );
        return Check::warn("space", message, hint);
    }
    if space.files > 0 && space.free_files < FEW_FILES {
        let message = format!(
            "{path}: only {} more files can be made on its file system.",
            space.free_files
        );
        return Check::warn("space", message, hint);
    }
    Check::ok(
        "space",
        format!("{} MiB are free for the store.", space.free >> 20),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;
    use nix::sys::statfs as magic;

    #[test]
    fn in_place_is_good_copy_on_write_a_warning_and_the_network_a_failure() {
        for (magic, status) in [
            (magic::EXT4_SUPER_MAGIC, Status::Ok),
            (magic::XFS_SUPER_MAGIC, Status::Ok),
            (magic::OVERLAYFS_SUPER_MAGIC, Status::Ok),
            (magic::BTRFS_SUPER_MAGIC, Status::Warn),
            (magic::FUSE_SUPER_MAGIC, Status::Warn),
            (magic::TMPFS_MAGIC, Status::Warn),
            (magic::NFS_SUPER_MAGIC, Status::Fail),
            (magic::SMB_SUPER_MAGIC, Status::Fail),
            (magic::AFS_SUPER_MAGIC, Status::Fail),
            (magic::CODA_SUPER_MAGIC, Status::Fail),
            (magic::OCFS2_SUPER_MAGIC, Status::Fail),
        ] {
            let magic = u32::try_from(magic.0).unwrap();
            assert_eq!(judge("/s", magic).status, status, "{magic:x}");
        }
        for (magic, status) in [
            (0x0102_1997, Status::Fail),
            (0xfe53_4d42, Status::Fail),
            (0x00c3_6400, Status::Fail),
            (0x2fc1_2fc1, Status::Warn),
            (0xca45_1a4e, Status::Warn),
            (1, Status::Warn),
        ] {
            assert_eq!(judge("/s", magic).status, status, "{magic:x}");
        }
    }

    #[test]
    fn no_kind_is_listed_twice() {
        let mut numbers: Vec<u32> = KINDS.iter().map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KINDS.len());
    }

    #[test]
    fn little_room_is_a_warning_and_none_to_write_a_failure() {
        let plenty = Space {
            free: 1 << 30,
            files: 1 << 20,
            free_files: 1 << 19,
            is_read_only: false,
        };
        for (space, status) in [
            (plenty, Status::Ok),
            (
                Space {
                    files: 0,
                    free_files: 0,
                    ..plenty
                },
                Status::Ok,
            ),
            (Space { free: 0, ..plenty }, Status::Warn),
            (
                Space {
                    free_files: 999,
                    ..plenty
                },
                Status::Warn,
            ),
            (
                Space {
                    is_read_only: true,
                    ..plenty
                },
                Status::Fail,
            ),
        ] {
            assert_eq!(judge_space("/s", &space).status, status, "{space:?}");
        }
    }

    #[test]
    fn this_machine_answers() {
        let checks = check(Path::new("/"));
        assert_eq!(checks.len(), 2);
        assert!(
            checks
                .iter()
                .all(|check| !check.message.contains("does not tell")),
            "{checks:?}"
        );
    }
}
