//! What the command takes from people and hands to apps, for those who try it with bytes of their own.

use clap::Parser;
use mfa_core::config::Config;
use mfa_core::record::App;
use mfa_core::request::UserName;
use zeroize::Zeroizing;

use crate::cli::Cli;
use crate::{app, base32};

/// The secret of a line that somebody gave; none where it is refused.
#[must_use]
pub fn secret(line: &str) -> Option<Zeroizing<Vec<u8>>> {
    app::secret_of(line).ok()
}

/// A secret as it is shown.
#[must_use]
pub fn shown_secret(secret: &[u8]) -> Zeroizing<String> {
    base32::encode(secret)
}

/// What a QR code holds.
#[must_use]
pub fn enrolment_uri(
    config: &Config,
    user: &UserName,
    app: &App,
    secret: &[u8],
) -> Zeroizing<String> {
    app::Enrolment::new(config, user, app, secret).uri
}

/// Reads a command line, without the program's name.
///
/// # Errors
///
/// What is wrong with it.
pub fn command_line(words: &[String]) -> Result<(), String> {
    let program = std::iter::once("mfa-admin");
    Cli::try_parse_from(program.chain(words.iter().map(String::as_str)))
        .map(|_| ())
        .map_err(|error| error.to_string())
}
