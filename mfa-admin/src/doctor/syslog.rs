//! Whether anybody takes the audit lines.

use std::io;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

use super::check::Check;
use crate::output::shown;

/// Connects to the socket, and sends nothing.
pub(super) fn check(path: &Path) -> Check {
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    // Some daemons listen for streams; syslog(3) tries both.
    let connected = connected.or_else(|_| UnixStream::connect(path).map(drop));
    judge(&shown(&path.display().to_string()), connected)
}

fn judge(path: &str, connected: io::Result<()>) -> Check {
    match connected {
        Ok(()) => Check::ok("syslog", format!("Audit lines are taken at {path}.")),
        Err(error) => Check::warn(
            "syslog",
            format!("Audit lines are lost: nobody listens at {path} ({error})."),
            "Start systemd-journald or rsyslog; in a container, bind /dev/log into it.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;

    #[test]
    fn a_listener_is_needed_and_a_socket_without_one_is_not_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(check(&path).status, Status::Warn);
        let listener = UnixDatagram::bind(&path).unwrap();
        assert_eq!(check(&path).status, Status::Ok);
        drop(listener);
        assert_eq!(check(&path).status, Status::Warn);
    }
}
