//! flock(2) on a descriptor of its own.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::close;

/// A file that is locked until this is dropped.
#[derive(Debug)]
pub(super) struct Locked(Option<Flock<OwnedFd>>);

impl Locked {
    /// Takes the lock, or gives the descriptor back.
    pub(super) fn lock(fd: OwnedFd, how: FlockArg) -> Result<Self, (OwnedFd, Errno)> {
        Flock::lock(fd, how).map(|lock| Self(Some(lock)))
    }

    /// The descriptor.
    pub(super) fn fd(&self) -> Result<&OwnedFd, Errno> {
        self.0.as_deref().ok_or(Errno::EBADF)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // nix panics where a file system fails to unlock. What the lock was for is done by now, and closing the
        // descriptor ends it too.
        if let Some(Err((lock, _))) = self.0.take().map(Flock::unlock) {
            let fd = lock.as_raw_fd();
            mem::forget(lock);
            let _ = close(fd);
        }
    }
}
