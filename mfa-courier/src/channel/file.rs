//! A folder instead of a mail server, for trying things out: a file a message.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mfa_core::config::FileFolder;
use mfa_core::courier::Kind;
use nix::unistd::{AccessFlags, access};

use super::mail::Mail;
use crate::progress::Progress;
use crate::report::{Class, Failure};

/// The folder of `[courier.file]`.
pub(super) struct Folder<'a> {
    path: &'a Path,
    /// Whether codes may be there.
    demo: bool,
}

impl<'a> Folder<'a> {
    pub(super) fn of(settings: &'a FileFolder, progress: &Progress) -> Result<Self, Failure> {
        let path = settings.folder.path().ok_or_else(|| {
            Failure::config(
                Class::NotConfigured,
                "[courier.file] folder is empty; write a folder's path there",
            )
        })?;
        progress.doing(format!("while writing to {}", path.display()));
        Ok(Self {
            path,
            demo: settings.demo,
        })
    }

    /// Whether files can be made there.
    pub(super) fn check(&self) -> Result<String, Failure> {
        let shown = self.path.display();
        let wrong = |what: &str| Failure::config(Class::Folder, format!("{shown}: {what}"));
        let status = fs::metadata(self.path).map_err(|error| self.failure(&error))?;
        if !status.is_dir() {
            return Err(wrong("is no folder"));
        }
        access(self.path, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|_| wrong("the courier's user can't write there; make it that user's"))?;
        Ok(format!("{shown} can be written"))
    }

    /// Keeps a message under its Message-ID. The same message again replaces itself.
    pub(super) fn keep(&self, kind: Kind, mail: &Mail) -> Result<String, Failure> {
        if kind == Kind::Code && !self.demo {
            return Err(Failure::config(
                Class::NotConfigured,
                "codes are not written to files; [courier.file] demo = true allows it on a host for trying out",
            ));
        }
        let name = format!("{}.eml", mail.id());
        let unfinished = self.path.join(format!(".{name}.unfinished"));
        self.write(&unfinished, &self.path.join(&name), mail.text())
            .map_err(|error| self.failure(&error))?;
        Ok(format!("it is in {}", self.path.display()))
    }

    fn write(&self, unfinished: &PathBuf, place: &PathBuf, text: &[u8]) -> io::Result<()> {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(unfinished)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(unfinished, place)?;
        File::open(self.path)?.sync_all()
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let detail = format!("{}: {error}", self.path.display());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Failure::retry(Class::Folder, detail)
            }
            _ => Failure::config(Class::Folder, detail),
        }
    }
}
