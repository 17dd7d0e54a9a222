//! How codes and notices leave the host: through a program of its own without privileges, which gets one
//! document for each. Nothing here opens a network connection.

mod document;
mod process;
pub mod spool;
mod spool_name;

use std::path::PathBuf;

pub use document::{DOCUMENT_VERSION, Document, Kind, MAX_DOCUMENT};
pub use process::{Process, StartError};
pub use spool::SpoolError;
pub use spool_name::{NoticeName, SpoolName, WaitingName, sent_name};

use crate::config::{Config, EmailBy};
use crate::record::Method;

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether it was taken for delivery.
    pub is_accepted: bool,
    /// Why not, in a word.
    pub reason: String,
    /// The same at length; no code, no address, no secret.
    pub detail: String,
}

impl Report {
    /// Reads the courier's line: `accepted CHANNEL DETAIL…`, or `retry`, `refused` or `config`, then `CHANNEL CLASS
    /// DETAIL…`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim_end().splitn(3, ' ');
        let (outcome, channel, rest) = (words.next()?, words.next()?, words.next().unwrap_or(""));
        if outcome == "accepted" {
            return Some(Self {
                is_accepted: true,
                reason: String::new(),
                detail: rest.to_owned(),
            });
        }
        if !["retry", "refused", "config"].contains(&outcome) {
            return None;
        }
        let (reason, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Self {
            is_accepted: false,
            reason: reason.to_owned(),
            detail: format!("{channel}: {detail}"),
        })
    }
}

/// The port through which messages leave.
pub trait Courier {
    /// Starts to deliver, and returns at once. What was started before goes on: to end it here would take a time
    /// that tells whether there was anything to end.
    ///
    /// # Errors
    ///
    /// Nothing was started.
    fn start(&mut self, document: &Document) -> Result<(), StartError>;

    /// What has come of deliveries since this was asked last, with the method of each; of [`Kind::Nothing`]
    /// nothing is told.
    fn poll(&mut self) -> Vec<(Method, Report)>;

    /// Ends all deliveries, whatever they have come to, and leaves nothing of them; what came of those that was
    /// not told before.
    fn finish(&mut self) -> Vec<(Method, Report)>;

    /// Keeps a notice for delivery; or, where nobody is to be told, takes as long and keeps nothing.
    ///
    /// # Errors
    ///
    /// It can't be kept.
    fn spool(&mut self, notice: &Document, is_wanted: bool) -> Result<(), SpoolError>;
}

/// What this host can deliver through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Mail.
    pub email: bool,
    /// Telegram's Bot API.
    pub telegram: bool,
    /// The administrator's own program.
    pub command: bool,
}

impl Channels {
    /// What a configuration sets up: `[courier.smtp]`, or `email` as `sendmail` or `file` (with a folder); the
    /// file of the Telegram token; `command.run`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let courier = &config.courier;
        Self {
            email: match courier.email {
                EmailBy::Smtp => courier.smtp.is_some(),
                EmailBy::Sendmail => true,
                EmailBy::File => courier.file.folder.path().is_some(),
            },
            // Only whether it is there: what it says is the courier's business.
            telegram: telegram_token(config).symlink_metadata().is_ok(),
            command: !courier.command.run.words().is_empty(),
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.email || self.telegram || self.command
    }

    /// The methods that can be delivered.
    #[must_use]
    pub fn methods(self) -> Vec<Method> {
        [Method::Email, Method::Telegram, Method::Command]
            .into_iter()
            .filter(|method| self.has(*method))
            .collect()
    }

    /// Whether a method's codes can be delivered.
    #[must_use]
    pub fn has(self, method: Method) -> bool {
        match method {
            Method::App | Method::Token => false,
            Method::Email => self.email,
            Method::Telegram => self.telegram,
            Method::Command => self.command,
        }
    }
}

/// The file of the Telegram bot's token.
#[must_use]
pub fn telegram_token(config: &Config) -> PathBuf {
    let folder = config.paths.credentials.as_path();
    folder.join(config.courier.telegram.token.as_str())
}

/// A fresh id for a document.
#[must_use]
pub fn new_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness two documents could bear one id: the second is then refused by its file's name.
    let _ = getrandom::fill(&mut bytes);
    crate::hex::encode(&bytes)
}

/// Four characters that people can compare: without those that look alike.
#[must_use]
pub fn new_reference() -> String {
    const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte & 31)))
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests;
