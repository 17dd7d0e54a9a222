//! The sealing key, without which no secret opens.

use mfa_core::config::Config;
use mfa_core::host::{CredentialError, HostError, KeyPlace, Protection};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::Problem;

use super::check::Check;
use super::{Scope, files};
use crate::output::shown;
use crate::seal::half_bound;

/// The key, where it can be used.
pub(super) fn key(scope: &Scope, config: &Config, checks: &mut Vec<Check>) -> Option<SealingKey> {
    let place = KeyPlace::of(config);
    let path = shown(&place.to_string());
    let read = place.read(scope.owner);
    let protection = place.protection(scope.owner);
    match read.and_then(|key| Ok((key, protection?))) {
        Ok((key, protection)) => {
            let by = match protection {
                None => String::new(),
                Some(by) => format!(", bound to this host ({})", by.word()),
            };
            let message = format!("{path} is root's alone{by} and holds key {}.", key.id());
            checks.push(match protection {
                Some(Protection::Nothing) => Check::fail(
                    "seal.key",
                    message,
                    "A credential without a key protects nothing: put your copy of seal.key back, and bind it anew.",
                ),
                _ => Check::ok("seal.key", message),
            });
            checks.extend(halves(scope, config, &key));
            Some(key)
        }
        Err(error) => {
            let message = format!(
                "{} No code can be checked: all logins are refused.",
                files::sentence(&error)
            );
            checks.push(Check::fail(
                "seal.key",
                message,
                hint(scope, config, &error),
            ));
            None
        }
    }
}

/// What was begun and not ended.
fn halves(scope: &Scope, config: &Config, key: &SealingKey) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(before) = key.id_before() {
        checks.push(Check::warn(
            "seal.rotation",
            format!(
                "A rotation is half done: key {} seals, and key {before} is kept for what is not sealed anew yet.",
                key.id()
            ),
            format!("{} goes on with it.", scope.command("seal rotate")),
        ));
    }
    if let Some(next) = half_bound(&scope.config, config) {
        let message = "The sealing key is in two places: `seal bind` is half done.";
        checks.push(Check::warn("seal.bind", message, next));
    }
    checks
}

fn hint(scope: &Scope, config: &Config, error: &HostError) -> String {
    let plain = KeyPlace::plain(config);
    if let HostError::Credential {
        error: CredentialError::Program(_),
        ..
    } = error
    {
        return "It is part of systemd, 250 or newer: put it back as the system's packages have it."
            .to_owned();
    }
    let is_lost = match error {
        HostError::KeyFile(file) => file.problem == Problem::Missing,
        _ => true,
    };
    if KeyPlace::of(config) != plain && is_lost {
        return format!(
            "A credential opens on the host alone that made it, with its host key and TPM2. Put your copy of the key into \
             {} (root, mode 600); {} then makes it anew.",
            shown(&plain.to_string()),
            scope.command("seal bind")
        );
    }
    match error {
        HostError::KeyFile(file) if file.problem == Problem::Missing => format!(
            "Put it back from your backup. Only where there is none: {} makes a new one, and every app has to be \
             enrolled again.",
            scope.command("init")
        ),
        HostError::KeyFile(file) => files::remedy(file, scope.owner),
        _ => "Put it back from your backup.".to_owned(),
    }
}
