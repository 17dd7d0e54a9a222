//! The sealing key, without which no secret opens.

use mfa_core::config::Config;
use mfa_core::host::{self, HostError};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::Problem;

use super::check::Check;
use super::{Scope, files};
use crate::output::shown;

/// The key, where it can be used.
pub(super) fn key(scope: &Scope, config: &Config, checks: &mut Vec<Check>) -> Option<SealingKey> {
    let path = shown(&config.paths.seal_key.to_string());
    match host::load_key(config, scope.owner) {
        Ok(key) => {
            checks.push(Check::ok(
                "seal.key",
                format!("{path} is root's alone and holds key {}.", key.id()),
            ));
            Some(key)
        }
        Err(error) => {
            let hint = match &error {
                HostError::KeyFile(file) if file.problem == Problem::Missing => format!(
                    "Put it back from your backup. Only where there is none: {} makes a new one, and every app \
                     has to be enrolled again.",
                    scope.command("init")
                ),
                HostError::KeyFile(file) => files::remedy(file, scope.owner),
                _ => "Put it back from your backup.".to_owned(),
            };
            let message = format!(
                "{} No code can be checked: all logins are refused.",
                files::sentence(&error)
            );
            checks.push(Check::fail("seal.key", message, hint));
            None
        }
    }
}
