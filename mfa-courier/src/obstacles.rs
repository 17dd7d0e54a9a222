//! What a drain has met on its way, so that nothing is tried a thousand times that failed once: channels that are of
//! no use at the moment, and recipients. One recipient must not stand in the way of the others.

use std::collections::BTreeMap;

use mfa_core::courier::Document;

use crate::channel::ChannelName;
use crate::report::{Class, Ending, Failure};

/// So many different recipients in a row whose messages failed in the middle: it is not the recipients.
const MANY: u32 = 3;

/// What an obstacle is in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Whatever takes the channel.
    Channel,
    /// Whatever goes to the recipient; and it may turn out to be the channel.
    Recipient,
    /// Whatever goes to the recipient, and nothing else.
    RecipientAlone,
    /// This message.
    Message,
}

impl Extent {
    fn of(failure: &Failure, is_with_message: bool) -> Self {
        match failure.class {
            Class::Document => Self::Message,
            // A program that is missing is missing for every message; one that ended has said what it thinks of this one.
            Class::Program if failure.ending != Ending::Config => Self::Message,
            // The courier itself broke, and this message may be what breaks it.
            Class::Privileges => Self::Recipient,
            // The Bot API counts by conversation.
            Class::Busy => Self::RecipientAlone,
            Class::Refused if is_with_message => Self::Message,
            Class::Timeout
            | Class::ConnectionLost
            | Class::Protocol
            | Class::TooMuch
            | Class::Tls
            | Class::Temporary
                if is_with_message =>
            {
                Self::Recipient
            }
            _ => Self::Channel,
        }
    }
}

/// Who gets a message: an address, or a user by whose name a program goes.
fn recipient(document: &Document) -> &str {
    if document.to.is_empty() {
        &document.user
    } else {
        &document.to
    }
}

/// What is in the way, in one run.
#[derive(Default)]
pub(crate) struct Obstacles {
    channels: BTreeMap<ChannelName, Failure>,
    recipients: BTreeMap<(ChannelName, String), Failure>,
    /// How many in a row failed in the middle.
    row: BTreeMap<ChannelName, u32>,
}

impl Obstacles {
    /// What a document would meet again.
    pub(crate) fn before(&self, channel: ChannelName, document: &Document) -> Option<&Failure> {
        self.channels.get(&channel).or_else(|| {
            let key = (channel, recipient(document).to_owned());
            self.recipients.get(&key)
        })
    }

    /// A message was taken.
    pub(crate) fn passed(&mut self, channel: ChannelName) {
        self.row.remove(&channel);
    }

    /// A message was not taken, on the way or when its own turn had come.
    pub(crate) fn met(
        &mut self,
        channel: ChannelName,
        document: &Document,
        failure: &Failure,
        is_with_message: bool,
    ) {
        let extent = Extent::of(failure, is_with_message);
        match extent {
            Extent::Channel => {
                self.channels.insert(channel, failure.clone());
            }
            Extent::Recipient | Extent::RecipientAlone => {
                let key = (channel, recipient(document).to_owned());
                self.recipients.insert(key, failure.clone());
            }
            Extent::Message => {}
        }
        if extent != Extent::Recipient {
            self.row.remove(&channel);
            return;
        }
        let row = self.row.entry(channel).or_default();
        *row += 1;
        if *row >= MANY {
            self.channels.insert(channel, failure.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use mfa_core::courier::Kind;

    use super::*;

    const CHANNEL: ChannelName = ChannelName::Smtp;

    fn to(name: &str) -> Document {
        let mut document = Document::new(Kind::Login, "0".repeat(32), 0);
        document.to = format!("{name}@example.com");
        document
    }

    fn retry(class: Class) -> Failure {
        Failure::retry(class, "")
    }

    fn blocks(obstacles: &Obstacles, name: &str) -> bool {
        obstacles.before(CHANNEL, &to(name)).is_some()
    }

    #[test]
    fn what_goes_wrong_on_the_way_goes_wrong_for_everybody() {
        for failure in [
            retry(Class::Dns),
            retry(Class::Timeout),
            retry(Class::ConnectionLost),
            retry(Class::TooMuch),
            retry(Class::Protocol),
            // A greeting.
            retry(Class::Temporary),
            retry(Class::Refused),
            Failure::config(Class::Unauthorized, ""),
            Failure::config(Class::Credential, ""),
            Failure::config(Class::Program, ""),
        ] {
            let mut obstacles = Obstacles::default();
            obstacles.met(CHANNEL, &to("alice"), &failure, false);
            assert!(blocks(&obstacles, "bob"), "{failure:?}");
            assert!(
                obstacles
                    .before(ChannelName::Telegram, &to("alice"))
                    .is_none()
            );
        }
        // To be signed in is asked for behind MAIL by some.
        let mut obstacles = Obstacles::default();
        let failure = Failure::config(Class::AuthMissing, "");
        obstacles.met(CHANNEL, &to("alice"), &failure, true);
        assert!(blocks(&obstacles, "bob"));
    }

    #[test]
    fn what_goes_wrong_with_a_message_is_its_recipients_until_it_is_three_in_a_row() {
        for class in [
            Class::Timeout,
            Class::ConnectionLost,
            Class::Protocol,
            Class::TooMuch,
            Class::Temporary,
        ] {
            let mut obstacles = Obstacles::default();
            let meet = |obstacles: &mut Obstacles, name: &str| {
                obstacles.met(CHANNEL, &to(name), &retry(class), true);
            };
            meet(&mut obstacles, "alice");
            assert!(blocks(&obstacles, "alice") && !blocks(&obstacles, "bob"));
            meet(&mut obstacles, "bob");
            obstacles.passed(CHANNEL);
            meet(&mut obstacles, "carol");
            meet(&mut obstacles, "dora");
            assert!(!blocks(&obstacles, "eve"), "{class:?}");
            meet(&mut obstacles, "eve");
            assert!(blocks(&obstacles, "frank"), "{class:?}");
        }
    }

    #[test]
    fn what_a_server_thinks_of_one_message_says_nothing_about_another() {
        let mut obstacles = Obstacles::default();
        for name in ["alice", "bob", "carol", "dora"] {
            obstacles.met(CHANNEL, &to(name), &retry(Class::Refused), true);
            let refused = Failure::refused(Class::Program, "");
            obstacles.met(CHANNEL, &to(name), &refused, true);
            let refused = Failure::refused(Class::Document, "");
            obstacles.met(CHANNEL, &to(name), &refused, false);
            assert!(!blocks(&obstacles, name));
        }
        // Too much for one conversation.
        for name in ["alice", "bob", "carol", "dora"] {
            obstacles.met(CHANNEL, &to(name), &retry(Class::Busy), true);
            assert!(blocks(&obstacles, name) && !blocks(&obstacles, "eve"));
        }
    }
}
