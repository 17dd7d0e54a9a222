//! Giving everything up: what the starting process left behind (signals, descriptors, limits, environment, terminal)
//! and the privileges of root. With `pam_mfa/src/ffi.rs` the only room with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{
    Gid, ROOT, Uid, User, alarm, chdir, getegid, geteuid, getgroups, getresgid, getresuid,
    initgroups, setresgid, setresuid, setsid,
};
use zeroize::Zeroizing;

use crate::report::{Class, Failure};

/// Bytes of address space: far more than a message takes, far less than a host has.
const MAX_MEMORY: u64 = 512 * 1024 * 1024;
/// Descriptors: programs that are started close as many as they may have.
const MAX_DESCRIPTORS: u64 = 1024;

/// What of the environment is of any use here. Everything else is gone: programs and libraries read more than one
/// knows (`SSL_CERT_FILE`, `http_proxy`, `RES_OPTIONS`, …).
#[derive(Default)]
pub(crate) struct Environment {
    /// systemd's credentials.
    pub(crate) credentials: Option<PathBuf>,
    /// What begins with `MFA_`.
    pub(crate) variables: Vec<(String, Zeroizing<String>)>,
}

/// Takes what is of use out of the environment, and empties it. To be called while there is one thread only.
pub(crate) fn take_environment() -> Environment {
    let text = |value: OsString| value.into_string().ok();
    let environment = Environment {
        credentials: std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute()),
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((text(name)?, Zeroizing::new(text(value)?))))
            .filter(|(name, _)| name.starts_with("MFA_"))
            .collect(),
    };
    // SAFETY: there is one thread, and no reference into the environment is kept.
    unsafe {
        libc::clearenv();
    }
    environment
}

/// Signals as a program finds them that nobody prepared: an alarm that is ignored or blocked would not end anything.
/// std hands ignored signals on to its children.
pub(crate) fn reset_signals() {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is no code of ours. The call fails for numbers that can't be set, which then need not be.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
    }
    // A peer that is gone is an error to be handled.
    // SAFETY: SIG_IGN is no code of ours.
    let ignored = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    // Neither can fail with these arguments (sigaction(2), sigprocmask(2)).
    debug_assert!(ignored.is_ok());
    let unblocked = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    debug_assert!(unblocked.is_ok());
}

/// Closes everything but standard input, output and error.
pub(crate) fn close_descriptors() {
    // SAFETY: nothing of this program has been opened yet that it still holds.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if closed != 0 {
        // A kernel before 5.9.
        for descriptor in 3..4096 {
            // SAFETY: as above.
            unsafe {
                libc::close(descriptor);
            }
        }
    }
}

/// Has a program end when the courier does, however that ends.
pub(crate) fn dies_with_the_courier(command: &mut Command) {
    // SAFETY: between fork and exec one system call, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Whether standard input is a socket: so a login starts the courier, and `mfa-admin`. Whoever tries it out has a pipe
/// or a file there.
pub(crate) fn is_started_by_a_login() -> bool {
    fstat(std::io::stdin()).is_ok_and(|status| {
        SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK
    })
}

/// The account that the courier is to be.
pub(crate) fn courier_user(name: &str) -> Result<User, Failure> {
    let user = User::from_name(name)
        .map_err(|error| {
            Failure::config(Class::NoUser, format!("{name} can't be looked up: {error}"))
        })?
        .ok_or_else(|| {
            Failure::config(
                Class::NoUser,
                format!("there is no user {name}; `mfa-admin init` makes it"),
            )
        })?;
    if user.uid.is_root() {
        return Err(Failure::config(
            Class::UserIsRoot,
            format!("{name} is root; name somebody without privileges as [courier] user"),
        ));
    }
    Ok(user)
}

/// After so long the courier ends, whatever it does.
pub(crate) fn set_alarm(after: Duration) {
    let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX).max(1);
    alarm::set(seconds);
}

/// A session of its own: nobody's terminal, nobody's Ctrl-C.
pub(crate) fn leave_session() -> Result<(), Failure> {
    match setsid() {
        // Who leads a group or a session already was put there by whoever started it.
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(privileges("setsid", error)),
    }
}

/// Nobody's terminal, and still of the group that Ctrl-C ends: who could type into the terminal of the administrator
/// who started this (`TIOCSTI`) would be root.
pub(crate) fn leave_terminal() -> Result<(), Failure> {
    let Ok(terminal) = std::fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
        .open("/dev/tty")
    else {
        return Ok(());
    };
    // Who leads a session is sent a hangup when it gives up its terminal.
    // SAFETY: SIG_IGN and SIG_DFL are no code of ours; the descriptor is open, and this request takes no argument
    // (ioctl_tty(2)).
    let left = unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        let left = libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY);
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
        left
    };
    Errno::result(left)
        .map(drop)
        .map_err(|error| privileges("TIOCNOTTY", error))
}

/// Becomes a user for good, and sees to it that there is no way back.
pub(crate) fn become_user(user: &User) -> Result<(), Failure> {
    set_limits()?;
    umask(Mode::from_bits_truncate(0o077));
    chdir("/").map_err(|error| privileges("chdir", error))?;
    prctl::set_keepcaps(false).map_err(|error| privileges("prctl", error))?;
    if geteuid().is_root() {
        let name = CString::new(user.name.as_str())
            .map_err(|_| privileges("initgroups", Errno::EINVAL))?;
        initgroups(&name, user.gid).map_err(|error| privileges("initgroups", error))?;
        setresgid(user.gid, user.gid, user.gid).map_err(|error| privileges("setresgid", error))?;
        // Under su the real user is the caller, and only the effective one is root: all three.
        setresuid(user.uid, user.uid, user.uid).map_err(|error| privileges("setresuid", error))?;
    }
    check_become(user)?;
    prctl::set_dumpable(false).map_err(|error| privileges("prctl", error))
}

/// Nothing that is executed from here on gains anything.
pub(crate) fn gain_no_privileges() -> Result<(), Failure> {
    prctl::set_no_new_privs().map_err(|error| privileges("prctl", error))
}

fn privileges(call: &str, error: Errno) -> Failure {
    Failure::config(
        Class::Privileges,
        format!("privileges can't be given up: {call}: {error}"),
    )
}

fn check_become(user: &User) -> Result<(), Failure> {
    let wrong = |what: &str| {
        Err(Failure::config(
            Class::Privileges,
            format!("{what}; start the courier as root or as {}", user.name),
        ))
    };
    let ids = getresuid().map_err(|error| privileges("getresuid", error))?;
    if [ids.real, ids.effective, ids.saved] != [user.uid; 3] {
        return wrong("the courier runs as somebody else");
    }
    let groups = getresgid().map_err(|error| privileges("getresgid", error))?;
    let is_root = |group: &Gid| group.as_raw() == 0 && user.gid.as_raw() != 0;
    let others = getgroups().map_err(|error| privileges("getgroups", error))?;
    if [groups.real, groups.effective, groups.saved]
        .iter()
        .chain(&others)
        .any(is_root)
    {
        return wrong("the courier has kept the group of root");
    }
    // With a capability left, one of these would bring root back.
    if setresuid(ROOT, ROOT, ROOT).is_ok() || setresuid(user.uid, ROOT, user.uid).is_ok() {
        return wrong("the courier could become root again");
    }
    if getegid() != groups.effective || geteuid() != Uid::from_raw(user.uid.as_raw()) {
        return wrong("the courier's user changed by itself");
    }
    Ok(())
}

/// Limits are whatever the person has who started su, say: too low to work, or none.
fn set_limits() -> Result<(), Failure> {
    let set = |resource, soft, hard| {
        setrlimit(resource, soft, hard).map_err(|error| privileges("setrlimit", error))
    };
    for resource in [
        Resource::RLIMIT_CPU,
        Resource::RLIMIT_FSIZE,
        Resource::RLIMIT_DATA,
        Resource::RLIMIT_AS,
        Resource::RLIMIT_NPROC,
    ] {
        // Root may raise what somebody lowered for good, where it has CAP_SYS_RESOURCE.
        if setrlimit(resource, RLIM_INFINITY, RLIM_INFINITY).is_err() {
            let (_, hard) = getrlimit(resource).map_err(|error| privileges("getrlimit", error))?;
            set(resource, hard, hard)?;
        }
    }
    for (resource, soft) in [
        (Resource::RLIMIT_AS, MAX_MEMORY),
        (Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS),
    ] {
        let (_, hard) = getrlimit(resource).map_err(|error| privileges("getrlimit", error))?;
        set(resource, soft.min(hard), hard)?;
    }
    set(Resource::RLIMIT_CORE, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_root_nor_nobody_at_all_is_a_user_to_become() {
        assert_eq!(courier_user("root").unwrap_err().class, Class::UserIsRoot);
        let failure = courier_user("nobody-of-this-name").unwrap_err();
        assert_eq!(failure.class, Class::NoUser);
        assert!(
            failure.detail.contains("mfa-admin init"),
            "{}",
            failure.detail
        );
        assert!(!courier_user("nobody").unwrap().uid.is_root());
    }
}
