//! `mfa-admin`: the command with which an administrator manages `pam_mfa`, and finds out why somebody can
//! or can't log in.
//!
//! A library, so that tests of other packages can hand it other people's bytes ([`probe`]).
#![forbid(unsafe_code)]

mod app;
mod ask;
mod audit;
mod base32;
mod bypass;
mod cli;
mod code;
mod config;
mod context;
mod credential;
mod delivery;
mod device;
mod doctor;
mod emergency;
mod error;
mod explain;
mod init;
mod notice;
mod notify;
mod output;
mod passphrase;
pub mod probe;
mod qr;
mod record_view;
mod recovery;
mod seal;
mod state;
mod switch;
mod token;
mod user;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};
use nix::sys::prctl::set_dumpable;

use crate::cli::{Cli, Command, DoctorArgs};
use crate::context::{Context, require_root};
use crate::error::Failure;
use crate::output::{Output, Reply};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(refuse_command_line(&error)),
    };
    let output = Output::new(cli.json, cli.quiet);
    let result = run(&cli, &output).and_then(|reply| {
        output.reply(&reply)?;
        Ok(reply.exit_code)
    });
    ExitCode::from(result.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.kind.exit_code()
    }))
}

fn run(cli: &Cli, output: &Output) -> Result<Reply, Failure> {
    // Secrets go through here: where the command ends badly, none is to stand in a core dump.
    set_dumpable(false).map_err(|error| {
        let hint = "see prctl(2), PR_SET_DUMPABLE: nothing on a usual system refuses it";
        Failure::failed(
            format!("core dumps can't be turned off: {}", error.desc()),
            hint,
        )
    })?;
    let context = Context::new(&cli.config, output)?;
    match &cli.command {
        Command::Init(arguments) => init::run(&context, arguments),
        Command::Config(command) => config::run(&context, command),
        Command::Doctor(arguments) => run_doctor(&context, arguments),
        Command::Explain(arguments) => explain::run(&context, arguments),
        Command::User(command) => user::run(&context, command),
        Command::App(command) => app::run(&context, command),
        Command::Token(command) => token::run(&context, command),
        Command::Device(command) => device::run(&context, command),
        Command::Recovery(command) => recovery::run(&context, command),
        Command::Passphrase(command) => passphrase::run(&context, command),
        Command::State(command) => state::run(&context, command),
        Command::Code(command) => code::run(&context, command),
        Command::Credential(command) => credential::run(&context, command),
        Command::Notify(command) => notify::run(&context, command),
        Command::Seal(command) => seal::run(&context, command),
        Command::Emergency(command) => emergency::run(&context, command),
        Command::Bypass(command) => bypass::run(&context, command),
    }
}

/// `doctor`: runs the checks and prints them; exit 1 where one fails.
fn run_doctor(context: &Context<'_>, arguments: &DoctorArgs) -> Result<Reply, Failure> {
    require_root()?;
    let scope = doctor::Scope {
        config: context.config_path.clone(),
        send_test: arguments.send_test.clone(),
        ..doctor::Scope::default()
    };
    Ok(output::checks(&doctor::run(&scope)))
}

/// Whether the command line holds what must not stand there, and is not to be repeated.
fn is_secret(error: &clap::Error) -> bool {
    let argument = error
        .get(ContextKind::InvalidArg)
        .map(ToString::to_string)
        .unwrap_or_default();
    error.kind() == ErrorKind::ValueValidation
        && ["--secret", "--confirm", "[VALUE]"]
            .iter()
            .any(|name| argument.starts_with(name))
}

/// Prints help, version, or what is wrong with the command line, as JSON where that was asked for.
fn refuse_command_line(error: &clap::Error) -> u8 {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let wants_json = std::env::args_os()
        .skip(1)
        .any(|argument| argument == "--json");
    if is_secret(error) {
        let message = "secrets and codes are not taken from the command line, which everybody on this host can read";
        let hint = "write - there, and give them on standard input";
        Output::new(wants_json, false).failure(&Failure::usage(message, hint));
    } else if is_help {
        // Where the reader is gone there is nobody left to tell.
        let _ = error.print();
    } else if !wants_json {
        output::say(&output::fitted(error.to_string().trim_end()));
    } else {
        let text = error.to_string();
        let lines: Vec<&str> = text
            .lines()
            .take_while(|line| !line.is_empty())
            .map(str::trim)
            .collect();
        let message = lines.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let hint = "`mfa-admin --help` and `mfa-admin COMMAND --help` show what there is";
        Output::new(true, false).failure(&Failure::usage(message, hint));
    }
    if is_help { 0 } else { 2 }
}
