//! Passwords and tokens. They are in files that this user may read, or, for `drain` in its unit, where systemd puts
//! them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::report::{Class, Failure};

/// Bytes of a password or token at most.
const MAX_CREDENTIAL: u64 = 8 * 1024;

/// Where credentials come from.
#[derive(Clone)]
pub(crate) struct Credentials {
    folder: PathBuf,
    /// `$CREDENTIALS_DIRECTORY`, systemd.exec(5).
    systemd: Option<PathBuf>,
    /// Variables of the unit's environment whose names begin with `MFA_`.
    variables: Vec<(String, Zeroizing<String>)>,
}

impl Credentials {
    /// Files of a folder, and nothing else.
    pub(crate) fn files(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            systemd: None,
            variables: Vec::new(),
        }
    }

    /// What a unit was given comes before the files.
    pub(crate) fn of_unit(
        mut self,
        systemd: Option<PathBuf>,
        variables: Vec<(String, Zeroizing<String>)>,
    ) -> Self {
        self.systemd = systemd;
        self.variables = variables;
        self
    }

    /// The credential of a name.
    pub(crate) fn read(&self, name: &str) -> Result<Zeroizing<String>, Failure> {
        if let Some(folder) = &self.systemd {
            let path = folder.join(name);
            if path.symlink_metadata().is_ok() {
                return read_file(&path);
            }
        }
        let variable = variable_of(name);
        if let Some((_, value)) = self.variables.iter().find(|(name, _)| *name == variable) {
            return checked(
                value.clone(),
                &format!("the environment variable {variable}"),
            );
        }
        read_file(&self.folder.join(name))
    }
}

/// `MFA_SMTP_PASSWORD` for `smtp-password`.
fn variable_of(name: &str) -> String {
    format!("MFA_{}", name.to_ascii_uppercase().replace('-', "_"))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display().to_string();
    let wrong = |what: &str| Failure::config(Class::Credential, format!("{shown}: {what}"));
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => wrong("is missing; write it with `mfa-admin credential set`"),
            Some(libc::ELOOP) => wrong("is a link; put the file itself there"),
            Some(libc::EACCES) => wrong(
                "can't be read by the courier's user; give it the group of that user and mode 0640",
            ),
            _ => wrong(&error.to_string()),
        })?;
    let status = file.metadata().map_err(|error| wrong(&error.to_string()))?;
    if !status.is_file() {
        return Err(wrong("is no regular file"));
    }
    if status.uid() != 0 && status.uid() != geteuid().as_raw() {
        return Err(wrong("is neither root's nor the courier's; make it root's"));
    }
    if status.mode() & 0o027 != 0 {
        return Err(wrong(
            "may be read or written by others; set its mode to 0640",
        ));
    }
    if status.len() > MAX_CREDENTIAL {
        return Err(wrong("is longer than 8 KiB"));
    }
    // Room for all at once: what grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8 * 1024 + 1));
    (&mut file)
        .take(MAX_CREDENTIAL)
        .read_to_string(&mut text)
        .map_err(|_| wrong("is not text in UTF-8"))?;
    checked(text, &shown)
}

/// Without the line break that an editor adds; what is left has to be one line.
fn checked(mut text: Zeroizing<String>, shown: &str) -> Result<Zeroizing<String>, Failure> {
    if text.ends_with('\n') {
        text.pop();
    }
    let wrong = |what: &str| Failure::config(Class::Credential, format!("{shown} {what}"));
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong("holds more than one line, or control characters"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn written(folder: &Path, name: &str, bytes: &[u8], mode: u32) {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn one_line_break_at_the_end_is_the_editors() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), "a", b"pass word\n", 0o640);
        let credentials = Credentials::files(folder.path());
        assert_eq!(*credentials.read("a").unwrap(), "pass word");
        written(folder.path(), "a", b"pass word", 0o600);
        assert_eq!(*credentials.read("a").unwrap(), "pass word");
    }

    #[test]
    fn what_is_no_private_file_with_one_line_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        written(path, "open", b"x", 0o644);
        written(path, "group", b"x", 0o660);
        written(path, "empty", b"\n", 0o600);
        written(path, "lines", b"a\nb\n", 0o600);
        written(path, "bytes", b"\xff", 0o600);
        written(path, "long", &[b'x'; 8193], 0o600);
        symlink("lines", path.join("link")).unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        nix::unistd::mkfifo(&path.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let credentials = Credentials::files(path);
        for name in [
            "missing", "open", "group", "empty", "lines", "bytes", "long", "link", "folder", "fifo",
        ] {
            let failure = credentials.read(name).unwrap_err();
            assert_eq!(failure.class, Class::Credential, "{name}");
            assert!(failure.detail.contains(name), "{name}: {}", failure.detail);
        }
    }

    #[test]
    fn what_a_unit_was_given_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let unit = tempfile::tempdir().unwrap();
        written(folder.path(), "smtp-password", b"file", 0o600);
        written(unit.path(), "smtp-password", b"systemd", 0o400);
        let variables = vec![(
            "MFA_SMTP_PASSWORD".to_owned(),
            Zeroizing::new("unit".to_owned()),
        )];
        let of = |systemd: Option<&Path>, variables: &[(String, Zeroizing<String>)]| {
            let credentials = Credentials::files(folder.path())
                .of_unit(systemd.map(Path::to_owned), variables.to_vec());
            credentials.read("smtp-password").unwrap().to_string()
        };
        assert_eq!(of(Some(unit.path()), &variables), "systemd");
        assert_eq!(of(None, &variables), "unit");
        assert_eq!(of(None, &[]), "file");
    }
}
