//! `mfa-courier`: delivers codes and notices, without privileges. `pam_mfa` and `mfa-admin` start it for a message
//! (`send`); systemd, cron or an administrator for what waits in the spool (`drain`);
//! and those who set a passphrase have it judged (`passphrase`).
//!
//! A library, so that tests of other packages can hand it other people's bytes without a process for each ([`probe`]).

mod audit;
mod channel;
mod cli;
mod credential;
mod digest;
mod drain;
mod obstacles;
mod passphrase;
pub mod probe;
mod progress;
mod report;
mod send;
mod shed;
mod spool;

use clap::Parser;

use crate::cli::{Cli, Command};

/// The program.
pub fn main() -> ! {
    // First of all: nothing of what follows is to depend on who started it, and how.
    shed::close_descriptors();
    shed::reset_signals();
    let environment = shed::take_environment();
    let cli = Cli::parse();
    let code = match cli.command {
        Command::Send => send::run(&cli.config),
        Command::Drain => drain::run(&cli.config, environment),
        Command::Passphrase => passphrase::run(&cli.config),
    };
    // Not by returning: a thread may still hang in the system's resolver.
    std::process::exit(i32::from(code))
}
