//! The courier's program, and the user that it becomes.

use std::path::Path;

use mfa_core::config::Config;
use mfa_core::secure_file::{FileError, Problem, folder_of};
use nix::errno::Errno;
use nix::unistd::User;

use crate::doctor::check::Check;
use crate::doctor::{Scope, files, quoted};
use crate::output::shown;

/// What follows for delivery.
const NOTHING_LEAVES: &str = "No code and no notice leaves this host.";

/// Whether the program is there, and nobody but root can exchange it: it is started as root.
pub(super) fn program(scope: &Scope, config: &Config) -> Check {
    let path = config.paths.courier.as_path();
    let looked =
        folder_of(path, scope.owner).and_then(|(folder, name)| folder.check_program(&name));
    match looked {
        Ok(()) => Check::ok(
            "courier.program",
            format!("The courier is {}.", shown(&path.display().to_string())),
        ),
        Err(error) => Check::fail(
            "courier.program",
            format!("{} {NOTHING_LEAVES}", files::sentence(&error)),
            remedy(&error, scope),
        ),
    }
}

fn remedy(error: &FileError, scope: &Scope) -> String {
    let path = quoted(&error.path.display().to_string());
    match error.problem {
        Problem::Missing => {
            "Install it (make install, or the package), or write where it is: [paths] courier."
                .to_owned()
        }
        Problem::Link => format!("Name the program itself, not a link: `ls -l {path}`."),
        Problem::System(Errno::EACCES) if is_there(&error.path) => format!("`chmod 755 {path}`"),
        _ => files::remedy(error, scope.owner),
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The user that the courier becomes, where it can.
pub(super) fn user(scope: &Scope, config: &Config, checks: &mut Vec<Check>) -> Option<User> {
    let name = config.courier.user.as_str();
    let found = User::from_name(name);
    checks.push(judge_user(scope, name, found.as_ref()));
    found.ok().flatten().filter(|user| !user.uid.is_root())
}

fn judge_user(scope: &Scope, name: &str, found: Result<&Option<User>, &Errno>) -> Check {
    let user = match found {
        Ok(Some(user)) => user,
        Ok(None) => {
            return Check::fail(
                "courier.user",
                format!("There is no user {name}, which the courier becomes. {NOTHING_LEAVES}"),
                format!(
                    "{} makes the user; or name another one: [courier] user.",
                    scope.command("init")
                ),
            );
        }
        Err(errno) => {
            return Check::fail(
                "courier.user",
                format!(
                    "The name service can't tell about {name}, which the courier becomes: {}. {NOTHING_LEAVES}",
                    errno.desc()
                ),
                format!("See `getent passwd {name}` and /etc/nsswitch.conf."),
            );
        }
    };
    if user.uid.is_root() {
        return Check::fail(
            "courier.user",
            format!("The courier is to become {name}, which is root: it refuses. {NOTHING_LEAVES}"),
            "Name a user without privileges: [courier] user = \"_mfa\".",
        );
    }
    if !keeps_people_out(&user.shell) {
        return Check::warn(
            "courier.user",
            format!(
                "{name}, which the courier becomes, can be logged in as (shell {}), and may read its passwords.",
                shown(&user.shell.display().to_string())
            ),
            format!("`usermod --shell /usr/sbin/nologin {name}`"),
        );
    }
    Check::ok(
        "courier.user",
        format!("The courier becomes {name} (uid {}).", user.uid),
    )
}

/// passwd(5): an empty shell is /bin/sh.
fn keeps_people_out(shell: &Path) -> bool {
    let name = shell.file_name().and_then(|name| name.to_str());
    matches!(name, Some("nologin" | "false" | "true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;
    use nix::unistd::{Gid, Uid};

    fn user(uid: u32, shell: &str) -> User {
        User {
            name: "post".to_owned(),
            passwd: std::ffi::CString::default(),
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(uid),
            gecos: std::ffi::CString::default(),
            dir: "/nonexistent".into(),
            shell: shell.into(),
        }
    }

    #[test]
    fn the_couriers_user_is_there_without_privileges_and_without_a_shell() {
        let scope = Scope::default();
        for (found, status, words) in [
            (Ok(Some(user(7, "/usr/sbin/nologin"))), Status::Ok, "uid 7"),
            (Ok(Some(user(7, "/bin/false"))), Status::Ok, "uid 7"),
            (Ok(Some(user(7, "/bin/bash"))), Status::Warn, "/bin/bash"),
            (Ok(Some(user(7, ""))), Status::Warn, "logged in as"),
            (Ok(Some(user(0, "/bin/false"))), Status::Fail, "is root"),
            (Ok(None), Status::Fail, "no user post"),
            (Err(Errno::EIO), Status::Fail, "can't tell"),
        ] {
            let check = judge_user(&scope, "post", found.as_ref());
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.message.contains(words), "{check:?}");
            assert_eq!(check.hint.is_empty(), status == Status::Ok, "{check:?}");
        }
    }
}
