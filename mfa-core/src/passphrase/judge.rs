//! Who says whether a new passphrase is good enough: not this process. How hard one is to guess takes dictionaries
//! that are larger than the module; they are the courier's, which is asked in a process of its own without privileges.
//! Without an answer nothing is taken.

use std::time::Duration;

use zeroize::Zeroizing;

use super::Passphrase;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The word for a passphrase that is not good enough, in the line of the answer.
pub const UNFIT: &str = "unfit";

/// What was said of a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It may be taken.
    Fit,
    /// It may not, and why.
    Unfit(String),
    /// Nothing was said, and why: it may not.
    None(String),
}

/// The port through which a new passphrase is judged.
pub trait Judge {
    /// Whether a passphrase is good enough for a user.
    fn judge(&mut self, question: &Question<'_>) -> Opinion;
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The new passphrase.
    pub candidate: &'a Passphrase,
    /// Names that may not be in it: the user's, the host's.
    pub names: [&'a str; 2],
}

impl Question<'_> {
    /// The passphrase, then each name, in a line of its own: no passphrase has a line's end in it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let [user, host] = self.names;
        let candidate = self.candidate.as_str();
        // Room for all at once: a string that grows leaves copies behind.
        let length = candidate.len() + user.len() + host.len() + 3;
        let mut text = Zeroizing::new(String::with_capacity(length));
        for line in [candidate, user, host] {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
