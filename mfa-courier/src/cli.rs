//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mfa-courier",
    version,
    about = "Delivers the codes and notices of pam_mfa, without privileges",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// The configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = mfa_core::config::DEFAULT_PATH
    )]
    pub(crate) config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Deliver the one message on standard input, and answer in a line
    Send,
    /// Deliver what waits in the spool
    Drain,
    /// Say whether the new passphrase on standard input is good enough, in a line
    Passphrase,
}
