//! Programs that this process starts: without anything of its environment, and with signals as they are by default,
//! whatever it does with them itself, in a session of their own. Who starts one is in a critical section: it is not to be
//! its caller's to stop.

use std::ffi::{CStr, CString};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::secure_file::{Folder, Owner};

/// A session of its own, `POSIX_SPAWN_SETSID` of glibc and musl, which nix does not name: from a terminal that the caller of su
/// has, any process in its session can be sent Ctrl-\ and Ctrl-Z, whoever's it is.
const SETSID: PosixSpawnFlags = PosixSpawnFlags::from_bits_retain(0x80);

/// Starts a program of ours, with a socket as its input and output, which sheds the rest itself. One of somebody else's
/// has `errors` to write its complaints to; it gets no other descriptor, and leaves no core.
pub(crate) fn start(
    program: &Path,
    arguments: &[&CStr],
    socket: &UnixStream,
    errors: Option<&UnixStream>,
) -> Result<Pid, Errno> {
    let program = CString::new(program.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut files = PosixSpawnFileActions::init()?;
    files.add_dup2(socket.as_raw_fd(), 0)?;
    files.add_dup2(0, 1)?;
    if let Some(errors) = errors {
        files.add_dup2(errors.as_raw_fd(), 2)?;
        for number in open_descriptors() {
            files.add_close(number)?;
        }
    } else {
        files.add_open(2, "/dev/null", OFlag::O_WRONLY, Mode::empty())?;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | SETSID,
    )?;
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    let mut words = Vec::with_capacity(arguments.len() + 1);
    words.push(program.as_c_str());
    words.extend_from_slice(arguments);
    let environment: [&CStr; 0] = [];
    let _cores = errors.map(|_| NoCores::begin()).transpose()?;
    posix_spawn(
        program.as_c_str(),
        &files,
        &attributes,
        &words,
        &environment,
    )
}

/// While it is there, what is started leaves no core, wherever cores go: the folder and the limit are the caller's, and a
/// sealing key would lie in it.
struct NoCores {
    before: (rlim_t, rlim_t),
    _alone: MutexGuard<'static, ()>,
}

/// The limit is the whole process's: of two threads that start something at once, the second would take for its host's what
/// the first has set.
static CORE_LIMIT: Mutex<()> = Mutex::new(());

impl NoCores {
    /// Below a page there are no files; and at 1 nothing is handed to a program either (core(5)).
    const LIMIT: rlim_t = 1;

    fn begin() -> Result<Self, Errno> {
        let alone = CORE_LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
        let before = getrlimit(Resource::RLIMIT_CORE)?;
        let (soft, hard) = before;
        setrlimit(Resource::RLIMIT_CORE, soft.min(hard).min(Self::LIMIT), hard)?;
        Ok(Self {
            before,
            _alone: alone,
        })
    }
}

impl Drop for NoCores {
    fn drop(&mut self) {
        let (soft, hard) = self.before;
        // What the hard limit allowed it still does.
        let _ = setrlimit(Resource::RLIMIT_CORE, soft, hard);
    }
}

/// What it is while nothing is being started.
#[cfg(test)]
pub(crate) fn core_limit() -> (rlim_t, rlim_t) {
    let _alone = CORE_LIMIT.lock().unwrap();
    getrlimit(Resource::RLIMIT_CORE).unwrap()
}

/// What is open beyond the standard streams; of that which can't be told (no /proc), nothing.
fn open_descriptors() -> Vec<RawFd> {
    let folder = Folder::open(Path::new("/proc/self/fd"), Owner::ROOT);
    let names = folder.and_then(|folder| folder.names()).unwrap_or_default();
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse().ok());
    numbers.filter(|number| *number > 2).collect()
}

/// Writes all that a program is to read, which fits into the socket's buffer, without a signal where nobody reads.
pub(crate) fn hand_over(socket: &UnixStream, mut text: &[u8]) -> Result<(), Errno> {
    while !text.is_empty() {
        match send(socket.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            // Gone already: its answer says why, and is yet to be read.
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    // The end of it; where that fails, the line's end was it.
    let _ = socket.shutdown(Shutdown::Write);
    Ok(())
}

/// Ends a program that was not reaped, with all that it has started in its session's group.
pub(crate) fn kill(pid: Pid) {
    // Where it is gone already there is nothing to end.
    let _ = nix::sys::signal::kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
    let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
}
