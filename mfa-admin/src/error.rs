//! What can go wrong, and the exit code that says so: 1 failed or refused, 2 usage, 3 no such user, app or
//! device, 4 configuration or store unusable, 5 not permitted, 6 throttled or locked.

use mfa_core::device::DeviceError;
use mfa_core::host::{CredentialError, HostError};
use mfa_core::seal::SealError;
use mfa_core::secure_file::{BlockError, FileError, Problem};
use mfa_core::store::StoreError;

/// Kinds of failures, each with its exit code and its name in `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something did not work.
    Failed,
    /// It was not done, because it should not be.
    Refused,
    /// The command line.
    Usage,
    /// No such user, app or device.
    NotFound,
    /// `mfa.toml`.
    ConfigUnusable,
    /// Store, sealing key.
    StoreUnusable,
    /// The machine id.
    DeviceUnusable,
    /// Not root.
    NotPermitted,
    /// Too many failures in a time.
    Throttled,
    /// Too many failures in a row.
    Locked,
}

impl Kind {
    /// The exit code.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::Refused => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::ConfigUnusable | Self::StoreUnusable | Self::DeviceUnusable => 4,
            Self::NotPermitted => 5,
            Self::Throttled | Self::Locked => 6,
        }
    }

    /// The name in `--json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::ConfigUnusable => "config_unusable",
            Self::StoreUnusable => "store_unusable",
            Self::DeviceUnusable => "device_unusable",
            Self::NotPermitted => "not_permitted",
            Self::Throttled => "throttled",
            Self::Locked => "locked",
        }
    }
}

/// What is wrong, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which exit code.
    pub(crate) kind: Kind,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: String,
}

impl Failure {
    /// A failure of a kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Something did not work.
    pub(crate) fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message, hint)
    }

    /// Something is not done.
    pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message, hint)
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message, hint)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message, hint)
    }

    /// The system gives no random bytes.
    pub(crate) fn no_randomness() -> Self {
        Self::failed(
            "the system gives no random bytes (getrandom)",
            "try again once the system has booted",
        )
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (kind, hint) = match &error {
            StoreError::File(file) => return store_file(file),
            StoreError::Content { .. } => (
                Kind::StoreUnusable,
                "mend the line, or put the file back from a backup",
            ),
            StoreError::Block(BlockError::Busy { .. }) => (
                Kind::Failed,
                "try again; if it goes on, see what that process does",
            ),
            StoreError::Block(BlockError::Corrupt(_)) => (
                Kind::StoreUnusable,
                "`mfa-admin state reset NAME` makes it anew; see the disk's health as well",
            ),
            StoreError::Block(_) => (Kind::StoreUnusable, "see limits (ulimit -f) and the disk"),
            StoreError::NewerKeys(_) => (
                Kind::StoreUnusable,
                "change this user with the newer mfa-admin",
            ),
            StoreError::Unwritable(_) => (Kind::Failed, "nothing was changed; please report this"),
            StoreError::Unprotected(_) => (Kind::Failed, "nothing was changed; try again"),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

fn store_file(error: &FileError) -> Failure {
    let hint = match error.problem {
        Problem::Missing => "run `mfa-admin init`, or put the store back from a backup",
        Problem::System(_) => "see mount, space and permissions of that place",
        Problem::NotSynced(_) => {
            "see the kernel's log (`dmesg`) for errors of the disk, then look at it (`mfa-admin user show`)"
        }
        _ => {
            "nothing below it is trusted until that is mended; `mfa-admin doctor` looks at all paths"
        }
    };
    Failure::new(Kind::StoreUnusable, error.to_string(), hint)
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let message = error.to_string();
        match error {
            HostError::ConfigFile(file) => {
                let hint = match file.problem {
                    Problem::Missing => "run `mfa-admin init`, or name the file with --config",
                    Problem::System(_) => "see permissions and mount of that place",
                    _ => "nobody but root may be able to change the configuration",
                };
                Self::new(Kind::ConfigUnusable, message, hint)
            }
            HostError::Config { .. } => Self::new(
                Kind::ConfigUnusable,
                message,
                "mend the line, then run `mfa-admin config check`",
            ),
            HostError::Device(error) => error.into(),
            HostError::Store(error) => error.into(),
            HostError::KeyFile(file) => {
                let hint = match file.problem {
                    Problem::Missing => {
                        "put it back from your backup; on a new host run `mfa-admin init`"
                    }
                    Problem::System(_) => "see permissions and mount of that place",
                    _ => "nobody but root may be able to read the sealing key",
                };
                Self::new(Kind::StoreUnusable, message, hint)
            }
            HostError::Key { .. } => Self::new(
                Kind::StoreUnusable,
                message,
                "without it no secret opens; where there is no backup, everybody has to be enrolled again",
            ),
            HostError::Credential {
                error: CredentialError::Program(_),
                ..
            } => Self::new(
                Kind::StoreUnusable,
                message,
                "systemd-creds is part of systemd, 250 or newer: put it back as the system's packages have it",
            ),
            HostError::Credential { .. } => Self::new(
                Kind::StoreUnusable,
                message,
                "it opens on this host alone; elsewhere, or where its keys are lost, put your copy of seal.key back \
                 and take `[seal] credential` out of mfa.toml",
            ),
        }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        let hint = "a host is known by its machine id, machine-id(5); `[paths] machine_id` of mfa.toml \
                    says where it is";
        Self::new(Kind::DeviceUnusable, error.to_string(), hint)
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NoRandomness => Self::no_randomness(),
            _ => Self::new(
                Kind::StoreUnusable,
                error.to_string(),
                "compare the sealing key with your backup, or enrol the app again",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_kind_has_the_exit_code_of_the_manual() {
        for (kind, code) in [
            (Kind::Failed, 1),
            (Kind::Refused, 1),
            (Kind::Usage, 2),
            (Kind::NotFound, 3),
            (Kind::ConfigUnusable, 4),
            (Kind::StoreUnusable, 4),
            (Kind::DeviceUnusable, 4),
            (Kind::NotPermitted, 5),
            (Kind::Throttled, 6),
            (Kind::Locked, 6),
        ] {
            assert_eq!(kind.exit_code(), code, "{}", kind.name());
        }
    }

    #[test]
    fn every_error_of_the_store_says_what_to_do() {
        let path = PathBuf::from("/x");
        for error in [
            StoreError::File(FileError {
                path: path.clone(),
                problem: Problem::Missing,
            }),
            StoreError::File(FileError {
                path: path.clone(),
                problem: Problem::Link,
            }),
            StoreError::Block(BlockError::Busy { holder: Some(1) }),
            StoreError::Block(BlockError::Corrupt(path.clone())),
            StoreError::NewerKeys(path),
        ] {
            let failure = Failure::from(error);
            assert!(!failure.message.is_empty() && !failure.hint.is_empty());
        }
    }
}
