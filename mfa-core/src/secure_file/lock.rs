//! flock(2), held until it is dropped.

use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::fcntl::FlockArg;

/// An open file that this process has locked. `nix::fcntl::Flock` is not it: that one panics where unlocking fails, and
/// a login that was accepted already would end as a fault of ours.
#[derive(Debug)]
pub struct Locked<T: AsFd>(T);

impl<T: AsFd> Locked<T> {
    /// Locks a file, which nobody else has a descriptor of.
    ///
    /// # Errors
    ///
    /// The system's, with the file as it was.
    pub fn lock(file: T, how: FlockArg) -> Result<Self, (T, Errno)> {
        match flock(&file, how) {
            Ok(()) => Ok(Self(file)),
            Err(errno) => Err((file, errno)),
        }
    }
}

impl<T: AsFd> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: AsFd> Drop for Locked<T> {
    fn drop(&mut self) {
        // For copies of the descriptor in processes that another thread of the host has forked. Where it fails, the
        // descriptor's end right after is the lock's too.
        let _ = flock(&self.0, FlockArg::Unlock);
    }
}

#[expect(deprecated, reason = "in favour of the type that panics")]
fn flock(file: &impl AsFd, how: FlockArg) -> Result<(), Errno> {
    nix::fcntl::flock(file.as_fd().as_raw_fd(), how)
}
