//! The emergency code: whether there is one for the day when it is needed.

use std::fmt::Write as _;

use mfa_core::config::Config;
use mfa_core::config::emergency::EmergencyFile;
use mfa_core::emergency;
use mfa_core::host::HostError;
use mfa_core::request::find_account;

use super::check::Check;
use super::{Scope, files, quoted};
use crate::emergency::{exists, never_asked};
use crate::output::shown;
use crate::record_view::moment;

/// A line about the file that logins look for now; `None`: it is not private, which another line tells.
pub(super) fn check(scope: &Scope, config: Option<&Config>) -> Option<Check> {
    let beside = emergency::beside(&scope.config);
    let path = config.map_or(beside.as_path(), |config| config.paths.emergency.as_path());
    let name = shown(&path.display().to_string());
    let file = match emergency::read(path, scope.owner) {
        Ok(file) => file,
        Err(HostError::ConfigFile(_)) if config.is_some() => return None,
        Err(error) => {
            let remedy = match &error {
                HostError::ConfigFile(file) => files::remedy(file, scope.owner),
                _ => format!(
                    "Mend that, or move the file away and {}.",
                    scope.command("emergency generate")
                ),
            };
            return Some(Check::fail(
                "emergency",
                format!(
                    "{} The emergency code lets nobody in.",
                    files::sentence(&error)
                ),
                remedy,
            ));
        }
    };
    let Some(file) = file.filter(|file| file.code().is_some()) else {
        return Some(Check::warn(
            "emergency",
            format!(
                "There is no emergency code ({name}): an error in mfa.toml, a lost sealing key or a broken disk keeps \
                 everybody out."
            ),
            format!(
                "{}, and keep what it prints.",
                scope.command("emergency generate")
            ),
        ));
    };
    if let Some(used) = file.used {
        return Some(Check::warn(
            "emergency",
            format!(
                "The emergency code was used {} and is good no more ({name}).",
                moment(&used.to_string())
            ),
            format!(
                "If nobody of yours did that, find out who (MFA-2009). Then {}.",
                scope.command("emergency generate")
            ),
        ));
    }
    if path != beside {
        return Some(Check::warn(
            "emergency",
            format!(
                "Where mfa.toml can't be read, the emergency code is looked for in {}, not in {name}.",
                shown(&beside.display().to_string())
            ),
            "Move it there, and set [paths] emergency to that.",
        ));
    }
    Some(places(scope, &file))
}

/// For whom and where the code is good, as far as this host has them.
fn places(scope: &Scope, file: &EmergencyFile) -> Check {
    let unknown: Vec<&String> = file
        .users
        .iter()
        .filter(|user| find_account(user).is_ok_and(|account| account.is_none()))
        .collect();
    let has_service = |service: &&String| {
        let mut folders = scope.services.iter();
        never_asked(service).is_none() && folders.any(|folder| folder.join(service).is_file())
    };
    let (there, missing): (Vec<&String>, Vec<&String>) =
        file.ttys.iter().partition(|tty| exists(tty));
    let list = |words: &[&String]| {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        words.join(", ")
    };
    let problem = if file.users.is_empty() || unknown.len() == file.users.len() {
        Some("names nobody who has an account here")
    } else if !file.services.iter().any(|service| has_service(&service)) {
        Some("names no service that PAM has here and that asks for it")
    } else if there.is_empty() {
        Some("names no terminal that this host has")
    } else {
        None
    };
    if let Some(problem) = problem {
        return Check::warn(
            "emergency",
            format!("The emergency code is good for no login: its file {problem}."),
            format!(
                "Change it, or begin anew: {}.",
                scope.command("emergency generate --user NAME --service S --tty TTY")
            ),
        );
    }
    let mut text = format!(
        "There is an emergency code for {}, at {}.",
        list(&file.users.iter().collect::<Vec<_>>()),
        list(&there)
    );
    for (what, words) in [("terminals", &missing), ("accounts", &unknown)] {
        if !words.is_empty() {
            let _ = write!(text, " No such {what} here: {}.", list(words));
        }
    }
    Check::ok("emergency", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;
    use mfa_core::secure_file::Owner;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    const CODE: &str = "generated = 2026-11-20T09:00:00Z\nsalt = \"00112233445566778899aabbccddeeff\"\n\
        hash = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"\n";

    fn found(folder: &Path, text: Option<&str>, mode: u32) -> Option<(Status, String)> {
        let path = folder.join("emergency.toml");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir_all(folder.join("pam.d")).unwrap();
        for service in ["login", "sudo"] {
            std::fs::write(folder.join("pam.d").join(service), "").unwrap();
        }
        let scope = Scope {
            config: folder.join("mfa.toml"),
            owner: Owner::effective_user(),
            services: vec![folder.join("pam.d")],
            ..Scope::default()
        };
        check(&scope, None).map(|check| (check.status, format!("{} {}", check.message, check.hint)))
    }

    #[test]
    fn each_way_in_which_the_code_is_of_no_use_is_named() {
        let file = |users: &str, service: &str, tty: &str| {
            format!(
                "version = 1\nusers = [{users}]\nservices = [\"{service}\"]\nttys = [\"{tty}\", \"no-such-tty\"]\n{CODE}"
            )
        };
        let good = file("\"root\"", "login", "null");
        let used = format!("{good}used = 2026-11-21T09:00:00Z\n");
        for (text, mode, status, said) in [
            (None, 0, Status::Warn, "There is no emergency code"),
            (
                Some("version = 1\nusers = []\nservices = []\nttys = []\n"),
                0o600,
                Status::Warn,
                "emergency generate",
            ),
            (
                Some(good.as_str()),
                0o600,
                Status::Ok,
                "for root, at null. No such terminals here: no-such-tty.",
            ),
            (Some(&good), 0o644, Status::Fail, "chmod 600"),
            (
                Some("version = 1\n"),
                0o600,
                Status::Fail,
                "emergency.toml:1:1: `users` is missing",
            ),
            (
                Some(&used),
                0o600,
                Status::Warn,
                "was used 2026-11-21 09:00 UTC",
            ),
            (
                Some(&file("\"no-such-user\"", "login", "null")),
                0o600,
                Status::Warn,
                "names nobody",
            ),
            (
                Some(&file("", "login", "null")),
                0o600,
                Status::Warn,
                "names nobody",
            ),
            (
                Some(&file("\"root\"", "nologin", "null")),
                0o600,
                Status::Warn,
                "names no service",
            ),
            // Which is there.
            (
                Some(&file("\"root\"", "sudo", "null")),
                0o600,
                Status::Warn,
                "names no service",
            ),
            (
                Some(&file("\"root\"", "login", "no-tty")),
                0o600,
                Status::Warn,
                "names no terminal",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (found, words) = found(folder.path(), text, mode).unwrap();
            assert_eq!(found, status, "{words}");
            assert!(words.contains(said), "{said:?}: {words}");
        }
    }
}
