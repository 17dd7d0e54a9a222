//! What the courier has to read: passwords, tokens, certificates, an administrator's own texts.

use std::fs;
use std::path::{Path, PathBuf};

use mfa_core::config::{Config, EmailBy};
use mfa_core::courier::{Channels, telegram_token};
use mfa_core::message::Texts;

use super::reader::Reader;
use crate::doctor::check::Check;
use crate::doctor::tally::Tally;
use crate::doctor::{Scope, quoted};
use crate::output::shown;

/// The files of passwords and tokens that the configuration names, each with its name in the folder.
fn needed(config: &Config, channels: Channels) -> Vec<(String, PathBuf)> {
    let courier = &config.courier;
    let mut needed = Vec::new();
    if let (EmailBy::Smtp, Some(smtp)) = (courier.email, &courier.smtp)
        && !smtp.username.is_empty()
    {
        let name = smtp.password.as_str();
        let path = config.paths.credentials.as_path().join(name);
        needed.push((name.to_owned(), path));
    }
    if channels.telegram {
        needed.push((
            courier.telegram.token.as_str().to_owned(),
            telegram_token(config),
        ));
    }
    needed
}

/// Whether what is needed is there, and the courier may read it.
pub(super) fn check(
    scope: &Scope,
    config: &Config,
    channels: Channels,
    reader: Option<&Reader>,
) -> Option<Check> {
    let needed = needed(config, channels);
    let user = config.courier.user.as_str();
    for (name, path) in &needed {
        let said = shown(&path.display().to_string());
        let set = format!(
            "{} writes it, for {user} alone to read.",
            scope.command(&format!("credential set {}", quoted(name)))
        );
        let Ok(found) = fs::symlink_metadata(path) else {
            let message =
                format!("{said} does not exist, and mfa.toml names it: the courier can't sign in.");
            return Some(Check::fail("courier.credentials", message, set));
        };
        if !found.is_file() || found.len() == 0 {
            let what = if found.is_file() {
                "is empty"
            } else {
                "is no file"
            };
            let message = format!("{said} {what}: the courier can't sign in.");
            return Some(Check::fail("courier.credentials", message, set));
        }
        if let Some((reader, place)) = blocked(reader, path) {
            return Some(Check::fail(
                "courier.credentials",
                format!("{said} can't be read by {user}: the courier can't sign in."),
                let_read(reader, &place, config),
            ));
        }
    }
    let mut names = Tally::default();
    for (name, _) in &needed {
        names.add(shown(name));
    }
    (!needed.is_empty()).then(|| {
        Check::ok(
            "courier.credentials",
            format!("The courier may read what it signs in with: {names}."),
        )
    })
}

fn blocked<'a>(reader: Option<&'a Reader>, path: &Path) -> Option<(&'a Reader, PathBuf)> {
    let reader = reader?;
    Some((reader, reader.obstacle(path)?))
}

/// The command that lets the courier read a password or token, and nobody else.
fn let_read(reader: &Reader, place: &Path, config: &Config) -> String {
    let said = quoted(&place.display().to_string());
    let folder = fs::canonicalize(config.paths.credentials.as_path()).unwrap_or_default();
    if place == folder {
        format!("`chgrp {} {said}; chmod 750 {said}`", reader.group())
    } else if place.starts_with(&folder) {
        format!("`chgrp {} {said}; chmod 640 {said}`", reader.group())
    } else {
        format!("`chmod o+x {said}`")
    }
}

/// The certificates that are trusted instead of the system's. The modes are a warning: it is the courier's own
/// attempt that counts.
pub(super) fn ca_file(config: &Config, reader: Option<&Reader>) -> Option<Check> {
    let courier = &config.courier;
    let smtp = courier.smtp.as_ref()?;
    let path = smtp.ca_file.path()?;
    if courier.email != EmailBy::Smtp {
        return None;
    }
    let said = shown(&path.display().to_string());
    Some(match fs::metadata(path) {
        Err(error) => Check::fail(
            "courier.ca-file",
            format!("{said} ([courier.smtp] ca_file): {error}. Nothing is mailed."),
            "Put the CA's certificate there (PEM), or write ca_file = \"\" for the system's own.",
        ),
        Ok(_) => match blocked(reader, path) {
            Some((_, place)) => {
                let user = courier.user.as_str();
                Check::warn(
                    "courier.ca-file",
                    format!("{said} can't be read by {user}, going by owner, group and mode."),
                    format!("`chmod o+rX {}`", quoted(&place.display().to_string())),
                )
            }
            None => Check::ok(
                "courier.ca-file",
                format!("The mail server's certificate is checked with {said}."),
            ),
        },
    })
}

/// The administrator's own texts.
pub(super) fn texts(scope: &Scope, config: &Config, reader: Option<&Reader>) -> Option<Check> {
    let folder = config.messages.templates.path()?;
    let (_, problems) = Texts::load(Some(folder), scope.owner);
    if problems.is_empty() {
        return Some(match unreadable_text(folder, reader) {
            None => Check::ok(
                "messages.templates",
                format!(
                    "The texts in {} are right.",
                    shown(&folder.display().to_string())
                ),
            ),
            Some(place) => {
                let place = quoted(&place.display().to_string());
                Check::warn(
                    "messages.templates",
                    format!(
                        "{place} can't be read by {}: the built-in texts are sent instead.",
                        config.courier.user.as_str()
                    ),
                    format!("`chmod o+rX {place}`: texts hold no secret."),
                )
            }
        });
    }
    let mut wrong = Tally::default();
    for problem in &problems {
        wrong.add(shown(&problem.to_string()));
    }
    Some(Check::warn(
        "messages.templates",
        format!(
            "Texts of [messages] templates can't be used, and the built-in ones are sent instead: {}.",
            wrong.sentences().trim_end_matches('.')
        ),
        format!("Mend them; {} checks them.", scope.command("config check")),
    ))
}

/// The folder of texts, or the first text in it, that the courier may not read.
fn unreadable_text(folder: &Path, reader: Option<&Reader>) -> Option<PathBuf> {
    let reader = reader?;
    let inside = fs::read_dir(folder).into_iter().flatten().flatten();
    std::iter::once(folder.to_owned())
        .chain(inside.map(|entry| entry.path()))
        .find_map(|path| reader.obstacle(&path))
}
