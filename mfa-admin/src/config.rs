//! `config check`: is a file right before it reaches a host?

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mfa_core::config::Config;
use mfa_core::courier::Channels;
use mfa_core::message::Texts;
use mfa_core::secure_file::{MAX_FILE_SIZE, Owner};
use nix::fcntl::OFlag;
use serde_json::json;

use crate::cli::ConfigCommand;
use crate::context::Context;
use crate::doctor::delivery;
use crate::error::{Failure, Kind};
use crate::output::{Reply, say, shown, wrap};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &ConfigCommand) -> Result<Reply, Failure> {
    match command {
        ConfigCommand::Check { file } => check(context, file.as_deref()),
    }
}

fn check(context: &Context<'_>, file: Option<&Path>) -> Result<Reply, Failure> {
    let (path, config) = match file {
        Some(path) => (path, parse(path)?),
        // The one that logins use has to be safe from others as well.
        None => (context.config_path.as_path(), context.config()?),
    };
    check_texts(context, &config)?;
    for (_, what, _) in delivery::settings_without_effect(&config, Channels::of(&config)) {
        context.output.warn(what.trim_end_matches('.'));
    }
    let name = path.display().to_string();
    Ok(Reply::done(
        json!({ "file": name, "valid": true }),
        format!("{name} is right."),
    ))
}

/// The administrator's own texts: each problem with its file, line and column.
fn check_texts(context: &Context<'_>, config: &Config) -> Result<(), Failure> {
    let (_, problems) = Texts::load(config.messages.templates.path(), Owner::ROOT);
    let mut said: Vec<String> = problems
        .iter()
        .map(|problem| shown(&problem.to_string()))
        .collect();
    if !context.output.is_json() {
        // A line each, and the last one as what the command ends with.
        while said.len() > 1 {
            say(&wrap("mfa-admin: ", "  ", &said.remove(0)));
        }
    }
    if said.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::ConfigUnusable,
        said.join("\n"),
        "mend the texts, then check again; until then the built-in ones are sent in their place",
    ))
}

/// A file of anybody's: it is on its way to where only root may write.
fn parse(path: &Path) -> Result<Config, Failure> {
    let bytes = read(path).map_err(|error| {
        Failure::new(
            Kind::ConfigUnusable,
            format!("{}: {error}", path.display()),
            "name a regular file of at most 64 KiB, or - for standard input",
        )
    })?;
    Config::parse(&bytes).map_err(|error| {
        Failure::new(
            Kind::ConfigUnusable,
            format!("{}:{error}", path.display()),
            "mend the line, then check again",
        )
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_SIZE as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        // Not waiting for the other end of a FIFO.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() > MAX_FILE_SIZE {
        return Err(io::Error::other("larger than 64 KiB"));
    }
    Ok(bytes)
}
