//! The ways out of this host, and which of them a document takes.

mod command;
mod file;
mod mail;
mod program;
mod sendmail;
mod smtp;
mod telegram;
mod tls;

use std::time::Instant;

use mfa_core::config::{Config, EmailBy};
use mfa_core::courier::{Document, Kind};
use mfa_core::message::Texts;
use mfa_core::record::Method;
use zeroize::Zeroizing;

use crate::credential::Credentials;
use crate::progress::Progress;
use crate::report::{Class, Failure, Report};
use crate::shed;

pub(crate) use mail::mail_host;

/// A way out of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChannelName {
    /// A mail server.
    Smtp,
    /// The host's own mail system.
    Sendmail,
    /// A folder.
    File,
    /// Telegram's Bot API.
    Telegram,
    /// A program of the administrator's.
    Command,
}

impl ChannelName {
    /// The word in answers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Sendmail => "sendmail",
            Self::File => "file",
            Self::Telegram => "telegram",
            Self::Command => "command",
        }
    }

    /// Which one a document takes; none for a method that delivers nothing.
    pub(crate) fn of(document: &Document, config: &Config) -> Option<Self> {
        match document.channel {
            Method::App | Method::Token => None,
            Method::Email => Some(match config.courier.email {
                EmailBy::Smtp => Self::Smtp,
                EmailBy::Sendmail => Self::Sendmail,
                EmailBy::File => Self::File,
            }),
            Method::Telegram => Some(Self::Telegram),
            Method::Command => Some(Self::Command),
        }
    }
}

/// Everything that it takes to deliver, and what is kept from one message to the next.
pub(crate) struct Delivery {
    config: Config,
    texts: Texts,
    credentials: Credentials,
    /// This host's name as mail can carry it.
    host: String,
    smtp: smtp::Server,
}

impl Delivery {
    pub(crate) fn new(config: Config, texts: Texts, credentials: Credentials) -> Self {
        Self {
            config,
            texts,
            credentials,
            host: mail_host(),
            smtp: smtp::Server::default(),
        }
    }

    /// Ends what is kept from one message to the next.
    pub(crate) fn close(&mut self, end: Instant) {
        self.smtp.close(end);
    }

    /// Delivers one document, or tries out its channel.
    pub(crate) fn deliver(
        &mut self,
        document: &Document,
        end: Instant,
        progress: &Progress,
    ) -> Report {
        if document.kind == Kind::Nothing {
            self.rehearse(document, end, progress);
            return Report::nothing();
        }
        let Some(channel) = ChannelName::of(document, &self.config) else {
            let failure = Failure::refused(Class::Document, "nothing is delivered by app");
            return Report::failure(None, failure);
        };
        progress.through(channel);
        let result = self.deliver_by(channel, document, end, progress);
        Report {
            channel: Some(channel),
            result,
        }
    }

    /// Does what a delivery by this host's main way does before it has anything to say to anybody: so that a courier
    /// for nobody takes as much time and memory. What goes wrong with that is told where something is to be delivered.
    fn rehearse(&mut self, document: &Document, end: Instant, progress: &Progress) {
        let stand_in = Document {
            kind: Kind::Code,
            to: "nobody@localhost".to_owned(),
            code: Zeroizing::new("00000000".to_owned()),
            ..document.clone()
        };
        let courier = &self.config.courier;
        let in_subject = self.config.messages.code_in_subject;
        let composed = self.texts.compose(&stand_in, in_subject);
        let _ = mail::Sender::of(&self.config, &self.host)
            .and_then(|sender| mail::Mail::new(&stand_in, &composed, &sender, &self.host));
        match (courier.email, &courier.smtp) {
            (EmailBy::Smtp, Some(settings)) => {
                let _ = tls::client(settings.ca_file.path());
                if !settings.username.is_empty() {
                    let _ = self.credentials.read(settings.password.as_str());
                }
                if shed::is_started_by_a_login() {
                    let job = smtp::Job {
                        settings,
                        credentials: &self.credentials,
                        host: &self.host,
                        end,
                        progress,
                    };
                    self.smtp.stay(&job);
                }
            }
            (EmailBy::Smtp, None) => {
                let _ = self
                    .credentials
                    .read(courier.telegram.token.as_str())
                    .map(|token| {
                        let api = courier.telegram.api.as_str();
                        telegram::Bot::new(api, &token, end, progress).is_ok()
                    });
            }
            (EmailBy::Sendmail | EmailBy::File, _) => {}
        }
    }

    fn deliver_by(
        &mut self,
        channel: ChannelName,
        document: &Document,
        end: Instant,
        progress: &Progress,
    ) -> Result<String, Failure> {
        check_deliverable(document)?;
        let courier = &self.config.courier;
        let is_check = document.kind == Kind::Check;
        let compose = || {
            let in_subject = self.config.messages.code_in_subject;
            self.texts.compose(document, in_subject)
        };
        match channel {
            ChannelName::Smtp => {
                let settings = courier.smtp.as_ref().ok_or_else(|| {
                    Failure::config(
                        Class::NotConfigured,
                        "mfa.toml has no [courier.smtp]; write host and from there",
                    )
                })?;
                let job = smtp::Job {
                    settings,
                    credentials: &self.credentials,
                    host: &self.host,
                    end,
                    progress,
                };
                if is_check {
                    return self.smtp.check(&job);
                }
                let sender = mail::Sender::of(&self.config, &self.host)?;
                let mail = mail::Mail::new(document, &compose(), &sender, &self.host)?;
                self.smtp.send(&job, &mail)
            }
            ChannelName::Sendmail => {
                if is_check {
                    return program::check(courier.sendmail.path.as_path());
                }
                let sender = mail::Sender::of(&self.config, &self.host)?;
                let mail = mail::Mail::new(document, &compose(), &sender, &self.host)?;
                sendmail::send(courier.sendmail.path.as_path(), &mail, progress)
            }
            ChannelName::File => {
                let folder = file::Folder::of(&courier.file, progress)?;
                if is_check {
                    return folder.check();
                }
                let sender = mail::Sender::of(&self.config, &self.host)?;
                let mail = mail::Mail::new(document, &compose(), &sender, &self.host)?;
                folder.keep(document.kind, &mail)
            }
            ChannelName::Telegram => {
                let token = self.credentials.read(courier.telegram.token.as_str())?;
                let bot = telegram::Bot::new(courier.telegram.api.as_str(), &token, end, progress)?;
                if is_check {
                    return bot.check();
                }
                bot.send(document, &compose())
            }
            ChannelName::Command => {
                let words = courier.command.run.words();
                if is_check {
                    return command::check(words);
                }
                command::send(words, document, &compose(), progress)
            }
        }
    }
}

/// One message has one recipient, by which one can find it again.
fn check_deliverable(document: &Document) -> Result<(), Failure> {
    let wrong = |what: &str| Err(Failure::refused(Class::Document, what));
    if document.kind == Kind::Failure {
        return wrong("failures are told in a digest, which `mfa-courier drain` makes");
    }
    if !document.admins.is_empty() {
        return wrong(
            "one message goes to one recipient; admins are those of failures in the spool",
        );
    }
    if document.kind == Kind::Code && document.code.is_empty() {
        return wrong("there is no code in it");
    }
    Ok(())
}
