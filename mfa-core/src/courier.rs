//! How codes and notices leave the host: through a program of its own without privileges, which gets one
//! document for each. Nothing here opens a network connection.

mod document;

use std::path::PathBuf;

pub use document::{DOCUMENT_VERSION, Document, Kind, MAX_DOCUMENT};

use crate::config::{Config, EmailBy};
use crate::record::Method;

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

    /// Whether a method's codes can be delivered.
    #[must_use]
    pub fn has(self, method: Method) -> bool {
        match method {
            Method::App => false,
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
