//! What keeps a caller's hands off what is being written. su runs with its caller's real uid, terminal and limits:
//! a Ctrl-Z, a SIGSTOP or a SIGKILL in the wrong place would keep a state locked, SIGXFSZ would end the
//! host. Inside, those signals are blocked and no uid is the caller's, who then may send none.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ResUid, Uid, getresuid, setresuid};

/// Signals that tell of a fault of the process itself: blocking them would only hide it.
const FAULTS: [Signal; 7] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// A part of the program that its caller can't stop; over when left or dropped.
#[derive(Debug)]
pub(crate) struct CriticalSection {
    /// What is to be put back; `None` when that has been done.
    before: Option<Before>,
}

#[derive(Debug)]
struct Before {
    mask: SigSet,
    uids: Option<ResUid>,
}

impl CriticalSection {
    /// Blocks signals, then takes on root's uids where the real one is not root's already.
    pub(crate) fn enter() -> Result<Self, Errno> {
        let mut blocked = SigSet::all();
        for fault in FAULTS {
            blocked.remove(fault);
        }
        let mut mask = SigSet::empty();
        change_mask(SigmaskHow::SIG_BLOCK, &blocked, Some(&mut mask))?;
        let mut section = Self {
            before: Some(Before { mask, uids: None }),
        };
        let uids = getresuid()?;
        let root = Uid::from_raw(0);
        if uids.effective == root && (uids.real != root || uids.saved != root) {
            setresuid(root, root, root)?;
            if let Some(before) = &mut section.before {
                before.uids = Some(uids);
            }
        }
        Ok(section)
    }

    /// Takes the SIGXFSZ that a write over the limit on file sizes has left pending (setrlimit(2)): it would
    /// end the host when the mask is put back. Only within a section is it blocked, and so kept, even if
    /// it is ignored. Not sigwait(3): a file system may answer EFBIG of itself, without a signal.
    #[allow(clippy::unused_self)] // proof that there is a section
    fn take_file_size_signal(&self) {
        let mut too_large = SigSet::empty();
        too_large.add(Signal::SIGXFSZ);
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        // Where the caller's limits leave no descriptor for this, it is the caller's own process that ends.
        if let Ok(pending) = SignalFd::with_flags(&too_large, flags) {
            let _ = pending.read_signal();
        }
    }

    /// Puts back what was.
    pub(crate) fn leave(mut self) -> Result<(), Errno> {
        self.restore()
    }

    fn restore(&mut self) -> Result<(), Errno> {
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        let uids = before.uids.map_or(Ok(()), |uids| {
            setresuid(uids.real, uids.effective, uids.saved)
        });
        let mask = change_mask(SigmaskHow::SIG_SETMASK, &before.mask, None);
        uids.and(mask)
    }
}

/// Changes which signals this thread blocks; tells which it did. On Linux that is what sigprocmask(2) is about;
/// `pthread_sigmask(3)` returns its error, where nix looks for one in errno, and takes what it never got for a mask.
fn change_mask(how: SigmaskHow, set: &SigSet, before: Option<&mut SigSet>) -> Result<(), Errno> {
    sigprocmask(how, Some(set), before)
}

/// Runs something in a section of its own; sections may lie in each other. Where it has met the limit on file sizes,
/// the signal of that is taken.
pub(crate) fn protected<T, E>(
    run: impl FnOnce() -> Result<T, E>,
    is_over_the_limit: impl FnOnce(&E) -> bool,
    unprotected: fn(Errno) -> E,
) -> Result<T, E> {
    let section = CriticalSection::enter().map_err(unprotected)?;
    let result = run();
    if result.as_ref().is_err_and(is_over_the_limit) {
        section.take_file_size_signal();
    }
    section.leave().map_err(unprotected)?;
    result
}

impl Drop for CriticalSection {
    fn drop(&mut self) {
        // On the way out of an error that is reported already.
        let _ = self.restore();
    }
}
