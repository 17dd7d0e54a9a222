//! A folder in memory, for what is read through files.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use mfa_core::secure_file::{Folder, Owner};

/// Removed when its thread ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// In memory: where run.sh removes it whatever happens, else where everything is in memory.
pub fn root() -> PathBuf {
    std::env::var_os("MFA_FUZZ_FOLDER").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}

/// The folder of this thread.
pub(crate) fn path() -> PathBuf {
    SCRATCH.with_borrow_mut(|scratch| {
        let scratch = scratch.get_or_insert_with(|| {
            let name = format!(
                "mfa-properties-{}-{:?}",
                std::process::id(),
                std::thread::current().id()
            );
            let name = name.replace(['(', ')'], "");
            let path = root().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            Scratch(path)
        });
        scratch.0.clone()
    })
}

/// The same, opened as the product opens it.
pub(crate) fn opened() -> Folder {
    Folder::open(&path(), Owner::effective_user()).unwrap()
}

/// Makes or changes a file there that nobody else can read.
pub(crate) fn put(name: &str, bytes: &[u8]) {
    let file = path().join(name);
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}
