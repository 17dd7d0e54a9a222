//! What a text can show of a document. Everything that comes from outside is cleaned here and nowhere else.

use super::{Text, words};
use crate::clock;
use crate::courier::Document;
use crate::recovery::FEW;

/// Characters of one value at most.
const MAX_VALUE: usize = 128;
/// Addresses and events that are named at most.
const MAX_LISTED: usize = 20;

/// Declares fields with their names and the texts that have them.
macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in [$($text:ident)*];)*) => {
        /// What stands between `{{` and `}}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// All of them.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in a template.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether a text has it.
            pub(super) fn is_in(self, text: Text) -> bool {
                match self { $(Self::$variant => matches!(text, $(Text::$text)|*),)* }
            }
        }
    };
}

fields! {
    /// Whose account.
    User = "user" in [Code Login Digest Change Test];
    /// The host's name.
    Host = "host" in [Code Login Digest Change Test];
    /// What the user's record calls the host.
    Device = "device" in [Code Login Digest Change Test];
    /// `PAM_SERVICE`.
    Service = "service" in [Code Login Digest];
    /// The address that the login came from, or the console in words.
    From = "from" in [Code Login];
    /// When it happened, the first time.
    Time = "time" in [Code Login Digest Change Test];
    /// Until when a code is good; the last of several failures.
    Until = "until" in [Code Digest];
    /// With what somebody logged in.
    Method = "method" in [Login];
    /// The label of the app.
    App = "app" in [Login Change];
    /// How many recovery codes are left, where one was used.
    CodesLeft = "codes_left" in [Login];
    /// What is to be done by whoever logged in.
    ToDo = "to_do" in [Login];
    /// How far whoever it was has got.
    HowFar = "how_far" in [Login];
    /// The code.
    Code = "code" in [Code];
    /// The code where it is to stand first, else nothing.
    CodeFirst = "code_first" in [Code];
    /// The code where it is not to stand first, else nothing.
    CodeLater = "code_later" in [Code];
    /// The reference, the same as in the prompt.
    Reference = "ref" in [Code];
    /// How long the code is good.
    Lifetime = "lifetime" in [Code];
    /// How many failures.
    Count = "count" in [Digest];
    /// Where they came from.
    Addresses = "addresses" in [Digest];
    /// What they were.
    Events = "events" in [Digest];
    /// What was changed.
    Event = "event" in [Change];
    /// What exactly.
    Detail = "detail" in [Change];
    /// By whom.
    Actor = "actor" in [Change Test];
    /// The name of the login in the audit lines.
    Login = "login" in [Code Login Digest];
}

impl Field {
    /// The field of a name in a text.
    ///
    /// # Errors
    ///
    /// There is none, or it is another text's: what is wrong, and what to write.
    pub(super) fn parse(name: &str, text: Text) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|field| field.name() == name);
        if let Some(field) = found.filter(|field| field.is_in(text)) {
            return Ok(*field);
        }
        let names: Vec<&str> = Self::ALL
            .iter()
            .filter(|field| field.is_in(text))
            .map(|field| field.name())
            .collect();
        let what = match found {
            Some(_) => format!("a {} text has no field `{name}`", text.name()),
            None => format!("unknown field `{}`", clean(name)),
        };
        Err(format!("{what}; write one of {}", names.join(", ")))
    }

    /// Whether there is a value, whatever the document says.
    pub(super) fn is_always_there(self) -> bool {
        match self {
            Self::User
            | Self::Host
            | Self::From
            | Self::Time
            | Self::Method
            | Self::ToDo
            | Self::HowFar
            | Self::Code
            | Self::Lifetime
            | Self::Count
            | Self::Addresses => true,
            Self::Device
            | Self::Service
            | Self::Until
            | Self::App
            | Self::CodesLeft
            | Self::CodeFirst
            | Self::CodeLater
            | Self::Reference
            | Self::Events
            | Self::Event
            | Self::Detail
            | Self::Actor
            | Self::Login => false,
        }
    }

    /// Whether it shows the code.
    pub(super) fn is_code(self) -> bool {
        matches!(self, Self::Code | Self::CodeFirst | Self::CodeLater)
    }

    /// The value: one line, clean, empty where the document says nothing.
    pub(super) fn value(self, document: &Document, code_first: bool) -> String {
        match self {
            Self::User => clean_or(&document.user, "(unknown)"),
            Self::Host => clean_or(&document.host, "(unknown)"),
            Self::Device => clean(&document.device),
            Self::Service => clean(&document.service),
            Self::From => origin(&document.from, &document.tty),
            Self::Time => date(document.time),
            Self::Until => until(document),
            Self::Method => in_words(&document.method, words::method),
            Self::App => clean(&document.app),
            Self::CodesLeft => document
                .codes_left
                .map(|left| left.to_string())
                .unwrap_or_default(),
            Self::ToDo => to_do(document.codes_left),
            // Told when the code is accepted, before account and session.
            Self::HowFar if document.codes_left.is_some() => {
                "a recovery code of yours was accepted".to_owned()
            }
            Self::HowFar => "somebody has got past every check".to_owned(),
            Self::Code => clean_or(&document.code, "(no code)"),
            Self::CodeFirst if code_first => Self::Code.value(document, code_first),
            Self::CodeLater if !code_first => Self::Code.value(document, code_first),
            Self::CodeFirst | Self::CodeLater => String::new(),
            Self::Reference => clean(&document.reference),
            Self::Lifetime => duration(document.lifetime),
            Self::Count => count(document),
            Self::Addresses => addresses(document),
            Self::Events => events(document),
            Self::Event => in_words(&document.event, words::change),
            Self::Detail => clean(&document.detail),
            Self::Actor => clean(&document.actor),
            Self::Login => clean(&document.login),
        }
    }
}

/// A value as a message can show it: nothing that ends a line, hides, or turns the direction of what
/// follows, no beginning of an encoded word (RFC 2047), at most [`MAX_VALUE`] characters and a `…`.
pub(super) fn clean(value: &str) -> String {
    let mut shown = String::with_capacity(value.len().min(4 * MAX_VALUE));
    let mut length = 0;
    let mut before = ' ';
    for c in value.chars() {
        let is_shown = !is_deceptive(c) && (before, c) != ('=', '?');
        before = c;
        let escape = if is_shown {
            String::new()
        } else {
            c.escape_unicode().to_string()
        };
        length += if is_shown { 1 } else { escape.len() };
        if length > MAX_VALUE {
            shown.push('…');
            break;
        }
        if is_shown {
            shown.push(c);
        } else {
            shown.push_str(&escape);
        }
    }
    shown.trim().to_owned()
}

/// Characters that can't be seen, or that change how others are seen.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, joiners and fillers of no width.
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
            // Direction.
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines and paragraphs.
            | '\u{2028}' | '\u{2029}')
}

fn clean_or(value: &str, otherwise: &str) -> String {
    let shown = clean(value);
    if shown.is_empty() {
        otherwise.to_owned()
    } else {
        shown
    }
}

/// A name in words; one that has none is shown with blanks.
fn in_words(name: &str, words: impl Fn(&str) -> Option<&'static str>) -> String {
    let with_blanks = clean(&name.replace('_', " "));
    let known = if with_blanks.is_empty() {
        words("")
    } else {
        words(name)
    };
    known.map_or(with_blanks, str::to_owned)
}

/// `2026-11-20 09:00:00 UTC (+00:00)`.
fn date(unix_seconds: u64) -> String {
    let text = clock::rfc3339(unix_seconds);
    format!(
        "{} UTC (+00:00)",
        text.trim_end_matches('Z').replace('T', " ")
    )
}

/// Nothing where it is not later than the time itself.
fn until(document: &Document) -> String {
    let until = match Text::of(document.kind) {
        Text::Code => document.time.saturating_add(document.lifetime),
        _ => document.until,
    };
    if until > document.time {
        date(until)
    } else {
        String::new()
    }
}

/// The address, or what stands for it at the machine itself.
fn origin(address: &str, tty: &str) -> String {
    let address = clean(address);
    if !address.is_empty() {
        return address;
    }
    let tty = clean(tty.strip_prefix("/dev/").unwrap_or(tty));
    if tty.is_empty() {
        "the host itself".to_owned()
    } else if tty.starts_with("pts/") {
        format!("another session on the host ({tty})")
    } else {
        format!("the console of the host ({tty})")
    }
}

fn duration(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0 => return "a short time".to_owned(),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

/// What a person is to do who logged in: the end of a sentence. `codes_left`: of recovery codes, where one was used.
fn to_do(codes_left: Option<u64>) -> String {
    let left = match codes_left {
        None => return "there is nothing to do.".to_owned(),
        Some(left) if left > FEW as u64 => {
            return "cross that code out. If your app is lost, have your administrator remove it and enrol another."
                .to_owned();
        }
        Some(left) => left,
    };
    let (now, what) = match left {
        0 => (" now", "that was the last one".to_owned()),
        1 => ("", "one is left".to_owned()),
        2 => ("", "two are left".to_owned()),
        more => ("", format!("{more} are left")),
    };
    format!("ask your administrator for new recovery codes{now}. WARNING: {what}.")
}

fn count(document: &Document) -> String {
    // A failure that is told by itself counts nothing.
    let count = document.count.max(1);
    let at_least = if document.is_incomplete {
        "at least "
    } else {
        ""
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{at_least}{count} failed attempt{plural}")
}

fn addresses(document: &Document) -> String {
    if document.addresses.is_empty() {
        return origin(&document.from, &document.tty);
    }
    let shown = document.addresses.iter();
    list(shown.map(|address| origin(address, "")), ", ")
}

fn events(document: &Document) -> String {
    let words = |event: &String| in_words(event, words::failure);
    if document.events.is_empty() {
        return words(&document.event);
    }
    list(document.events.iter().map(words), "; ")
}

/// Each value once, as far as there is room for them.
fn list(values: impl Iterator<Item = String>, between: &str) -> String {
    let mut listed: Vec<String> = Vec::new();
    let mut left_out = 0_usize;
    for value in values {
        if value.is_empty() || listed.contains(&value) {
            continue;
        }
        if listed.len() < MAX_LISTED {
            listed.push(value);
        } else {
            left_out += 1;
        }
    }
    let mut text = listed.join(between);
    if left_out > 0 {
        text.push_str(between);
        text.push_str("and ");
        text.push_str(&left_out.to_string());
        text.push_str(" more");
    }
    text
}
