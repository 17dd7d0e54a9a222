use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

/// A folder of its own for a test, and what opens it.
struct Place {
    dir: tempfile::TempDir,
    folder: Folder,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path(), Owner::effective_user()).unwrap();
    Place { dir, folder }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, "hello").unwrap();
        chmod(&path, mode);
        path
    }

    fn problem(&self, name: &str, privacy: Privacy) -> Problem {
        self.folder.read(name, privacy).unwrap_err().problem
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_of_the_owner_is_read() {
    let place = place();
    place.write("public", 0o644);
    place.write("private", 0o600);
    assert_eq!(
        place
            .folder
            .read("public", Privacy::Public)
            .unwrap()
            .as_slice(),
        b"hello"
    );
    assert_eq!(
        place
            .folder
            .read("private", Privacy::Private)
            .unwrap()
            .as_slice(),
        b"hello"
    );
    std::fs::write(place.path("empty"), "").unwrap();
    assert_eq!(
        place.folder.read("empty", Privacy::Public).unwrap().len(),
        0
    );
}

#[test]
fn what_others_could_have_changed_is_refused_at_once() {
    let place = place();
    place.write("loose", 0o664);
    assert_eq!(
        place.problem("loose", Privacy::Public),
        Problem::WritableByOthers(0o664)
    );
    place.write("readable", 0o640);
    assert_eq!(
        place.problem("readable", Privacy::Private),
        Problem::NotPrivate(0o640)
    );
    let target = place.write("target", 0o600);
    symlink(&target, place.path("link")).unwrap();
    assert_eq!(place.problem("link", Privacy::Private), Problem::Link);
    std::fs::hard_link(&target, place.path("other-name")).unwrap();
    assert_eq!(
        place.problem("target", Privacy::Private),
        Problem::OtherNames(2)
    );
    nix::unistd::mkfifo(&place.path("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    assert_eq!(place.problem("fifo", Privacy::Private), Problem::NotAFile);
    std::fs::create_dir(place.path("folder")).unwrap();
    assert_eq!(place.problem("folder", Privacy::Private), Problem::NotAFile);
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    assert_eq!(place.problem("socket", Privacy::Public), Problem::NotAFile);
    std::fs::write(place.path("large"), vec![0; MAX_FILE_SIZE + 1]).unwrap();
    assert_eq!(place.problem("large", Privacy::Public), Problem::TooLarge);
    assert_eq!(place.problem("nothing", Privacy::Public), Problem::Missing);
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let place = place();
    place.write("file", 0o600);
    let stranger = Owner(Owner::effective_user().0 + 1);
    let folder = Folder {
        owner: stranger,
        ..place.folder
    };
    let own = Owner::effective_user().0;
    assert_eq!(
        folder.read("file", Privacy::Private).unwrap_err().problem,
        Problem::Owner(own)
    );
}

#[test]
fn folders_on_the_way_may_be_links_but_not_everybodys() {
    let place = place();
    let owner = Owner::effective_user();
    let real = place.path("real");
    std::fs::create_dir_all(real.join("inner")).unwrap();
    symlink("real", place.path("relative")).unwrap();
    symlink(&real, place.path("absolute")).unwrap();
    symlink("loop", place.path("loop")).unwrap();
    for way in [
        "real/inner",
        "relative/inner",
        "absolute/inner",
        "relative/../absolute/inner",
    ] {
        assert!(Folder::open(&place.path(way), owner).is_ok(), "{way}");
    }
    let problem = |way: &str| Folder::open(&place.path(way), owner).unwrap_err().problem;
    assert_eq!(problem("loop/inner"), Problem::Link);
    assert_eq!(problem("real/missing"), Problem::Missing);
    chmod(&real, 0o777);
    assert_eq!(problem("real/inner"), Problem::WritableByOthers(0o777));
    assert_eq!(problem("relative/inner"), Problem::WritableByOthers(0o777));
    // The component at fault is named, by the way that leads there.
    for way in ["real/inner", "relative/inner", "absolute/../real/inner"] {
        let error = Folder::open(&place.path(way), owner).unwrap_err();
        assert_eq!(error.path, real, "{way}");
    }
    chmod(&real, 0o1777);
    assert!(Folder::open(&place.path("real/inner"), owner).is_ok());
    assert_eq!(
        Folder::open(Path::new("relative"), owner)
            .unwrap_err()
            .problem,
        Problem::NotAbsolute
    );
}

#[test]
fn a_subfolder_is_no_link_and_not_everybodys() {
    let place = place();
    place.folder.make_subfolder("users").unwrap();
    assert_eq!(
        place.path("users").metadata().unwrap().permissions().mode() & 0o7777,
        0o700
    );
    place.folder.make_subfolder("users").unwrap();
    symlink("users", place.path("link")).unwrap();
    assert_eq!(
        place.folder.subfolder("link").unwrap_err().problem,
        Problem::Link
    );
    chmod(&place.path("users"), 0o1777);
    assert_eq!(
        place.folder.subfolder("users").unwrap_err().problem,
        Problem::WritableByOthers(0o1777)
    );
    place.write("file", 0o600);
    assert_eq!(
        place.folder.subfolder("file").unwrap_err().problem,
        Problem::NotAFolder
    );
}

#[test]
fn the_machine_id_may_be_one_link_and_not_two() {
    let place = place();
    let owner = Owner::effective_user();
    place.write("id", 0o444);
    symlink("id", place.path("one")).unwrap();
    symlink("one", place.path("two")).unwrap();
    for name in ["id", "one"] {
        assert_eq!(
            read_through_one_link(&place.path(name), owner)
                .unwrap()
                .as_slice(),
            b"hello"
        );
    }
    assert_eq!(
        read_through_one_link(&place.path("two"), owner)
            .unwrap_err()
            .problem,
        Problem::Link
    );
}

#[test]
fn a_file_for_a_group_has_owner_group_and_mode_whatever_was_there() {
    let place = place();
    let is_root = Owner::effective_user() == Owner::ROOT;
    let own_group = nix::unistd::getegid().as_raw();
    let group = if is_root { 12 } else { own_group };
    place.write("secret", 0o666);
    place.write("elsewhere", 0o600);
    symlink(place.path("elsewhere"), place.path("link")).unwrap();
    for name in ["secret", "link", "new"] {
        let bytes = b"password";
        place
            .folder
            .replace_for_group(name, ".new", (0o640, group), bytes)
            .unwrap();
        let found = std::fs::symlink_metadata(place.path(name)).unwrap();
        assert!(found.is_file(), "{name}");
        assert_eq!(found.permissions().mode() & 0o7777, 0o640, "{name}");
        assert_eq!(std::os::unix::fs::MetadataExt::gid(&found), group, "{name}");
    }
    let untouched = std::fs::read(place.path("elsewhere")).unwrap();
    assert_eq!(untouched, b"hello");
    assert!(!place.path(".new").exists());
}

#[test]
fn a_file_is_replaced_whole_and_leftovers_go() {
    let place = place();
    place.write("%new-x", 0o600);
    for content in ["first", "second, longer"] {
        place
            .folder
            .replace("x", "%new-x", 0o600, content.as_bytes())
            .unwrap();
        assert_eq!(
            place.folder.read("x", Privacy::Private).unwrap().as_slice(),
            content.as_bytes()
        );
    }
    assert_eq!(place.folder.names().unwrap(), ["x"]);
    // What can't be put in its place leaves nothing behind.
    std::fs::create_dir(place.path("taken")).unwrap();
    assert!(
        place
            .folder
            .replace("taken", "%new-taken", 0o600, b"x")
            .is_err()
    );
    assert_eq!(place.folder.names().unwrap(), ["taken", "x"]);
}

fn locked(place: &Place) -> Block {
    place.folder.lock_block("state", Duration::ZERO).unwrap()
}

/// Breaks one slot of a block as an interrupted write would.
fn damage(place: &Place, slot: usize) {
    let mut bytes = std::fs::read(place.path("state")).unwrap();
    bytes[slot * BLOCK_SIZE / 2 + 21] ^= 1;
    std::fs::write(place.path("state"), bytes).unwrap();
}

#[test]
fn a_block_has_its_full_size_from_the_beginning_and_keeps_it() {
    use std::os::unix::fs::MetadataExt;
    let place = place();
    assert!(place.folder.create_block("state", b"one").unwrap());
    assert!(!place.folder.create_block("state", b"other").unwrap());
    let made = place.path("state").metadata().unwrap();
    assert_eq!((made.len(), made.mode() & 0o7777), (4096, 0o600));
    assert!(made.blocks() * 512 >= 4096, "it is sparse");
    assert_eq!(locked(&place).payload().unwrap(), b"one");
    for number in 0..5 {
        locked(&place)
            .write(format!("number {number}").as_bytes())
            .unwrap();
        assert_eq!(
            locked(&place).payload().unwrap(),
            format!("number {number}").as_bytes()
        );
    }
    let now = place.path("state").metadata().unwrap();
    assert_eq!((now.len(), now.ino()), (4096, made.ino()));
    assert_eq!(place.folder.names().unwrap(), ["state"]);
}

#[test]
fn every_prefix_of_a_slot_that_was_being_written_leaves_the_old_content() {
    let place = place();
    place.folder.create_block("state", b"old").unwrap();
    locked(&place).write(b"before").unwrap();
    let before = std::fs::read(place.path("state")).unwrap();
    locked(&place).write(b"after").unwrap();
    let after = std::fs::read(place.path("state")).unwrap();
    let slot = if before[..2048] == after[..2048] {
        2048..4096
    } else {
        0..2048
    };
    for written in 0..2048 {
        let mut torn = before.clone();
        torn[slot.start..slot.start + written]
            .copy_from_slice(&after[slot.start..slot.start + written]);
        std::fs::write(place.path("state"), &torn).unwrap();
        let mut block = locked(&place);
        let payload = block.payload().unwrap();
        assert!(
            payload == b"before" || payload == b"after",
            "{written} bytes"
        );
        // The next write goes on from there, and heals the block.
        block.write(b"next").unwrap();
        assert_eq!(block.payload().unwrap(), b"next");
        drop(block);
        assert_eq!(locked(&place).payload().unwrap(), b"next");
    }
}

#[test]
fn one_bad_slot_goes_on_and_two_are_corrupt_until_they_are_reset() {
    let place = place();
    place.folder.create_block("state", b"first").unwrap();
    locked(&place).write(b"second").unwrap();
    damage(&place, 0);
    assert!(locked(&place).has_bad_slot());
    assert!(locked(&place).payload().is_ok());
    damage(&place, 1);
    assert!(matches!(
        locked(&place).payload(),
        Err(BlockError::Corrupt(_))
    ));
    locked(&place).reset(b"fresh").unwrap();
    assert_eq!(locked(&place).payload().unwrap(), b"fresh");
    assert!(!locked(&place).has_bad_slot());
}

#[test]
fn a_block_of_another_size_is_corrupt_and_can_be_reset_in_place() {
    use std::os::unix::fs::MetadataExt;
    let place = place();
    place.folder.create_block("state", b"first").unwrap();
    let inode = place.path("state").metadata().unwrap().ino();
    for size in [0, 1, 2048, 4095, 4097, 60_000] {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(place.path("state"))
            .unwrap();
        file.set_len(size).unwrap();
        assert!(
            matches!(locked(&place).payload(), Err(BlockError::Corrupt(_))),
            "{size}"
        );
        locked(&place).reset(b"fresh").unwrap();
        let now = place.path("state").metadata().unwrap();
        assert_eq!((now.len(), now.ino()), (4096, inode));
        assert_eq!(locked(&place).payload().unwrap(), b"fresh");
    }
}

#[test]
fn a_locked_block_is_busy_and_the_holder_is_named() {
    let place = place();
    place.folder.create_block("state", b"x").unwrap();
    let held = locked(&place);
    let patience = Duration::from_millis(20);
    let error = place.folder.lock_block("state", patience).unwrap_err();
    let holder = Some(i32::try_from(std::process::id()).unwrap());
    assert_eq!(error, BlockError::Busy { holder });
    drop(held);
    assert!(place.folder.lock_block("state", patience).is_ok());
}

#[test]
fn a_folders_lock_is_waited_for_no_longer_than_one_has_patience() {
    let place = place();
    let patience = Duration::from_millis(20);
    let held = place.folder.lock().unwrap();
    let error = place.folder.lock_within(patience).unwrap_err();
    let holder = Some(i32::try_from(std::process::id()).unwrap());
    assert_eq!(error, BlockError::Busy { holder });
    drop(held);
    assert!(place.folder.lock_within(patience).is_ok());
}

#[test]
fn whoever_waited_for_a_block_that_was_exchanged_gets_the_new_one() {
    let place = place();
    place.folder.create_block("state", b"old").unwrap();
    let held = locked(&place);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let block = place
                .folder
                .lock_block("state", Duration::from_secs(20))
                .unwrap();
            block.payload().unwrap().to_vec()
        });
        place.folder.create_block("other", b"new").unwrap();
        std::fs::rename(place.path("other"), place.path("state")).unwrap();
        drop(held);
        assert_eq!(waiting.join().unwrap(), b"new");
    });
}

#[test]
fn more_than_a_slot_carries_is_refused_and_changes_nothing() {
    let place = place();
    place.folder.create_block("state", b"old").unwrap();
    let mut block = locked(&place);
    assert!(matches!(
        block.write(&[0; MAX_PAYLOAD + 1]),
        Err(BlockError::TooLarge(_))
    ));
    assert_eq!(block.payload().unwrap(), b"old");
    block.write(&[b'x'; MAX_PAYLOAD]).unwrap();
    assert_eq!(block.payload().unwrap(), [b'x'; MAX_PAYLOAD]);
}
