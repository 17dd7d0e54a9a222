//! `seal`: the key that seals the secrets, how it is changed, and where it is kept.

mod bind;
mod progress;
mod rotate;
mod status;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mfa_core::config::Config;
use mfa_core::host::KeyPlace;
use mfa_core::secure_file::{Folder, FolderLock, Owner};
use mfa_core::store::StoreError;

use crate::cli::SealCommand;
use crate::context::{Context, House, file_failure};
use crate::error::Failure;
use crate::output::Reply;
pub(crate) use bind::half_bound;

/// Somebody else who is at it takes longer; a process that is just ending does not.
const PATIENCE: Duration = Duration::from_millis(200);

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &SealCommand) -> Result<Reply, Failure> {
    match command {
        SealCommand::Status => status::run(context),
        SealCommand::Rotate => rotate::run(context),
        SealCommand::Bind { yes } => bind::run(context, *yes),
    }
}

/// Nobody else changes the key, or where it is kept, while this is held.
fn lock(house: &House) -> Result<FolderLock, Failure> {
    let path = house.config.paths.store.as_path();
    let folder = Folder::open(path, Owner::ROOT).map_err(file_failure)?;
    folder.lock_within(PATIENCE).map_err(|error| {
        let failure = Failure::from(StoreError::from(error));
        Failure::refused(
            format!(
                "another `seal rotate` or `seal bind` is at work: {}",
                failure.message
            ),
            "wait until it is done; `mfa-admin seal status` tells how things are",
        )
    })
}

/// Where `seal bind` puts the credential while the configuration names none: beside the plain file.
fn credential_path(config: &Config) -> PathBuf {
    match config.seal.credential.path() {
        Some(path) => path.to_owned(),
        None => config.paths.seal_key.as_path().with_extension("cred"),
    }
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// What keeps the key, for people.
fn kind(place: &KeyPlace) -> &'static str {
    match place {
        KeyPlace::File(_) => "a plain file",
        KeyPlace::Credential(_) => "a systemd credential",
    }
}
