//! Several failures of one user become one message.

use mfa_core::courier::{Document, Kind, NoticeName};
use mfa_core::record::Method;
use zeroize::Zeroizing;

/// Addresses that a digest names at most.
const MAX_ADDRESSES: usize = 20;
/// Failures of one digest at most; the names of all of them have to fit into it.
pub(crate) const MAX_EVENTS: usize = 1000;

/// Whether a user is to be told now, who was last told at some time.
pub(crate) fn is_due(last: Option<u64>, now: u64, pause: u64) -> bool {
    // A time from the future was written under another clock, and says nothing.
    last.is_none_or(|last| last > now || now - last >= pause)
}

/// The digest of failures; none of none.
pub(crate) fn compose(mut events: Vec<(NoticeName, Document)>) -> Option<Document> {
    events.sort_by(|(_, one), (_, other)| (one.time, &one.id).cmp(&(other.time, &other.id)));
    let (first, newest) = (&events.first()?.1, &events.last()?.1);
    let documents = || events.iter().map(|(_, document)| document);
    let mut digest = Document {
        kind: Kind::Digest,
        // No message has borne it: failures are told in digests alone.
        id: first.id.clone(),
        time: first.time,
        until: documents()
            .map(|document| document.until.max(document.time))
            .max()?,
        count: documents()
            .map(|document| document.count.max(1))
            .fold(0, u64::saturating_add),
        is_incomplete: documents().any(|document| document.is_incomplete),
        code: Zeroizing::default(),
        merges: events.iter().map(|(name, _)| name.to_string()).collect(),
        addresses: Vec::new(),
        events: Vec::new(),
        ..newest.clone()
    };
    for document in documents() {
        note(&mut digest.addresses, &document.from);
        document
            .addresses
            .iter()
            .for_each(|address| note(&mut digest.addresses, address));
        note(&mut digest.events, &document.event);
        document
            .events
            .iter()
            .for_each(|event| note(&mut digest.events, event));
    }
    digest.addresses.truncate(MAX_ADDRESSES);
    Some(digest)
}

fn note(values: &mut Vec<String>, value: &str) {
    if !value.is_empty() && !values.iter().any(|known| known == value) {
        values.push(value.to_owned());
    }
}

/// A message for each recipient, each with an id of its own: so that one who got it does not get it again because
/// another did not.
pub(crate) fn part(digest: &Document) -> Vec<Document> {
    let mut recipients = Vec::new();
    // A program of the administrator's may go by the user's name alone.
    if !digest.to.is_empty() || digest.channel == Method::Command {
        recipients.push((digest.channel, &digest.to));
    }
    for admin in &digest.admins {
        if !recipients.contains(&(Method::Email, admin)) {
            recipients.push((Method::Email, admin));
        }
    }
    let message = |(place, (channel, to)): (usize, (Method, &String))| Document {
        id: match place {
            0 => digest.id.clone(),
            _ => format!("{}-{place}", digest.id),
        },
        channel,
        to: to.clone(),
        admins: Vec::new(),
        merges: Vec::new(),
        ..digest.clone()
    };
    recipients.into_iter().enumerate().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(number: u64, event: &str, from: &str) -> (NoticeName, Document) {
        let mut document = Document::new(Kind::Failure, format!("{number:032x}"), 1000 + number);
        document.user = "alice".to_owned();
        document.to = format!("alice-{number}@example.com");
        document.event = event.to_owned();
        document.from = from.to_owned();
        (NoticeName::of(&document), document)
    }

    #[test]
    fn a_digest_tells_of_all_failures_and_goes_where_the_newest_says() {
        let events = vec![
            failure(3, "bad_code", "192.0.2.1"),
            failure(1, "replayed", "192.0.2.2"),
            failure(2, "bad_code", ""),
        ];
        let digest = compose(events).unwrap();
        assert_eq!(digest.kind, Kind::Digest);
        assert_eq!(digest.id, format!("{:032x}", 1));
        assert_eq!((digest.time, digest.until, digest.count), (1001, 1003, 3));
        assert_eq!(digest.to, "alice-3@example.com");
        assert_eq!(digest.addresses, ["192.0.2.2", "192.0.2.1"]);
        assert_eq!(digest.events, ["replayed", "bad_code"]);
        assert_eq!(digest.merges.len(), 3);
        assert!(!digest.is_incomplete);
        assert_eq!(compose(Vec::new()), None);
    }

    #[test]
    fn a_digest_names_twenty_addresses_and_counts_everything() {
        let events = (0..MAX_EVENTS as u64)
            .map(|number| failure(number, "bad_code", &format!("192.0.2.{}", number % 200)))
            .collect();
        let digest = compose(events).unwrap();
        assert_eq!((digest.count, digest.addresses.len()), (1000, 20));
        assert!(digest.to_json().len() < crate::spool::MAX_DIGEST);
    }

    #[test]
    fn every_recipient_gets_a_message_of_their_own() {
        let (_, mut digest) = failure(1, "bad_code", "");
        digest.kind = Kind::Digest;
        digest.admins = [
            "a@b.example",
            "c@d.example",
            "a@b.example",
            "alice-1@example.com",
        ]
        .map(str::to_owned)
        .to_vec();
        digest.merges = vec!["x".to_owned()];
        let parts = part(&digest);
        let told: Vec<_> = parts.iter().map(|part| part.to.as_str()).collect();
        assert_eq!(told, ["alice-1@example.com", "a@b.example", "c@d.example"]);
        assert_eq!(parts[1].id, format!("{:032x}-1", 1));
        assert!(
            parts
                .iter()
                .all(|part| part.admins.is_empty() && part.merges.is_empty())
        );
        digest.channel = Method::Telegram;
        digest.to = String::new();
        let parts = part(&digest);
        assert!(parts.iter().all(|part| part.channel == Method::Email));
        assert_eq!(parts.len(), 3);
        digest.admins.clear();
        assert!(part(&digest).is_empty());
    }

    #[test]
    fn a_program_is_told_of_a_user_who_has_no_address() {
        let (_, mut digest) = failure(1, "bad_code", "");
        digest.kind = Kind::Digest;
        digest.channel = Method::Command;
        digest.to = String::new();
        digest.admins = vec!["a@b.example".to_owned()];
        let told: Vec<_> = part(&digest)
            .into_iter()
            .map(|part| (part.channel, part.to, part.user))
            .collect();
        let alice = || "alice".to_owned();
        let expected = [
            (Method::Command, String::new(), alice()),
            (Method::Email, "a@b.example".to_owned(), alice()),
        ];
        assert_eq!(told, expected);
        // Mail needs an address: there the administrators are all.
        digest.channel = Method::Email;
        assert_eq!(part(&digest).len(), 1);
        assert_eq!(part(&digest)[0].to, "a@b.example");
    }

    #[test]
    fn a_user_is_told_at_once_and_then_not_for_a_while() {
        assert!(is_due(None, 1000, 900));
        assert!(!is_due(Some(1000), 1000, 900));
        assert!(!is_due(Some(1000), 1899, 900));
        assert!(is_due(Some(1000), 1900, 900));
        assert!(is_due(Some(5000), 1900, 900));
    }
}
