//! Failures: told at once, and then bundled.

use std::fs;
use std::os::unix::fs::chown;

use mfa_core::courier::{Document, Kind, NoticeName};
use mfa_core::record::Method;

use crate::host::{Host, NOBODY, document, header, needs_root, now};

fn failure(number: u64, user: &str) -> Document {
    document(Kind::Failure, number, user)
}

fn name_of(document: &Document) -> String {
    NoticeName::of(document).to_string()
}

/// Notes when a user was last told.
fn told(host: &Host, user: &str, when: u64) {
    let path = host.path("spool/deferred").join(format!("sent~{user}"));
    fs::write(&path, when.to_string()).unwrap();
    chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
}

#[test]
fn the_first_failure_is_told_at_once_and_the_next_ones_together() {
    needs_root!();
    let host = Host::new("");
    host.put(&failure(1, "alice"));
    host.drain().expect(0, "");
    assert_eq!(host.mails().len(), 1);
    assert_eq!(host.names("spool/deferred"), ["sent~alice"]);
    for number in 2..=30 {
        host.put(&failure(number, "alice"));
    }
    host.put(&failure(31, "bob"));
    host.drain().expect(0, "");
    // Bob's, and nothing more of Alice's.
    let mails = host.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(header(&mails[1], "To"), "bob@example.com");
    assert_eq!(host.names("spool/deferred").len(), 29 + 2);
    told(&host, "alice", now() - 900);
    host.drain().expect(0, "");
    let mails = host.mails();
    assert_eq!(mails.len(), 3);
    assert!(header(&mails[1], "Message-ID").starts_with(&format!("<{:032x}@", 2)));
    assert!(mails[1].contains("29"), "{}", mails[1]);
    assert_eq!(host.names("spool/deferred"), ["sent~alice", "sent~bob"]);
    // Nothing is told where nothing happened, and what is over is forgotten.
    told(&host, "alice", now() - 900);
    told(&host, "bob", now() + 900);
    host.drain().expect(0, "");
    assert_eq!(host.mails().len(), 3);
    assert!(host.names("spool/deferred").is_empty());
}

#[test]
fn administrators_get_a_message_each() {
    needs_root!();
    let host = Host::new("");
    let mut one = failure(1, "alice");
    one.admins = vec!["ops@example.com".to_owned(), "sec@example.com".to_owned()];
    host.put(&one);
    let mut nobody = failure(2, "bob");
    nobody.to = String::new();
    nobody.admins = vec!["ops@example.com".to_owned()];
    host.put(&nobody);
    host.drain().expect(0, "");
    let mails = host.mails();
    let mut recipients: Vec<_> = mails.iter().map(|mail| header(mail, "To")).collect();
    recipients.sort_unstable();
    let expected = [
        "alice@example.com",
        "ops@example.com",
        "ops@example.com",
        "sec@example.com",
    ];
    assert_eq!(recipients, expected);
    let mut ids: Vec<_> = mails
        .iter()
        .map(|mail| header(mail, "Message-ID"))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_digest_that_was_begun_is_finished_and_told_once() {
    needs_root!();
    // As a kill leaves it at any step: the digest is there, and some of its failures, and some of its parts.
    for (events, parts) in [(3, 0), (1, 0), (0, 0), (0, 1), (0, 2), (3, 2)] {
        let host = Host::new("");
        let mut digest = failure(1, "alice");
        digest.kind = Kind::Digest;
        digest.count = 3;
        digest.admins = vec!["ops@example.com".to_owned()];
        digest.merges = (1..=3)
            .map(|number| name_of(&failure(number, "alice")))
            .collect();
        host.put_as("spool/deferred", &name_of(&digest), &digest);
        for number in 3 - events + 1..=3 {
            host.put_as(
                "spool/deferred",
                &name_of(&failure(number, "alice")),
                &failure(number, "alice"),
            );
        }
        for place in 0..parts {
            let mut part = digest.clone();
            part.admins.clear();
            part.merges.clear();
            if place > 0 {
                part.id = format!("{}-{place}", part.id);
                part.to = "ops@example.com".to_owned();
            }
            host.put_as("spool/deferred", &format!("0~0~{}", name_of(&part)), &part);
        }
        // Another failure that came meanwhile is told another time.
        host.put(&failure(4, "alice"));
        host.drain().expect(0, "");
        let mails = host.mails();
        let recipients: Vec<_> = mails.iter().map(|mail| header(mail, "To")).collect();
        assert_eq!(
            recipients,
            ["ops@example.com", "alice@example.com"],
            "{events} {parts}"
        );
        let waiting = [name_of(&failure(4, "alice")), "sent~alice".to_owned()];
        assert_eq!(host.names("spool/deferred"), waiting, "{events} {parts}");
    }
}

#[test]
fn a_digest_removes_nothing_but_failures_of_its_user() {
    needs_root!();
    let host = Host::new("");
    let login = document(Kind::Login, 9, "bob");
    host.put_as(
        "spool/deferred",
        &format!("{}~1~{}", now() + 600, name_of(&login)),
        &login,
    );
    host.put_as(
        "spool/deferred",
        &name_of(&failure(8, "bob")),
        &failure(8, "bob"),
    );
    told(&host, "bob", now());
    let mut digest = failure(1, "alice");
    digest.kind = Kind::Digest;
    digest.merges = host.names("spool/deferred");
    digest.merges.push("../new/x".to_owned());
    let before = host.names("spool/deferred");
    host.put_as("spool/deferred", &name_of(&digest), &digest);
    host.drain().expect(0, "");
    let mut after = host.names("spool/deferred");
    after.retain(|name| name != "sent~alice");
    assert_eq!(after, before);
}

#[test]
fn a_user_whom_only_a_program_reaches_is_told_by_it() {
    needs_root!();
    let host = Host::new("");
    host.gateway("cat >> ${0%/*}/out/log");
    let mut one = failure(1, "alice");
    one.channel = Method::Command;
    one.to = String::new();
    host.put(&one);
    host.drain().expect(0, "");
    let log = fs::read_to_string(host.path("out/log")).unwrap();
    assert!(
        log.contains(r#""kind":"digest","user":"alice","to":"""#),
        "{log}"
    );
    assert_eq!(host.names("spool/deferred"), ["sent~alice"]);
}

#[test]
fn failures_of_a_user_with_the_longest_name_are_told_to_everybody() {
    needs_root!();
    let host = Host::new("");
    host.change("/out\"", "/nowhere\"");
    let user = "u".repeat(200);
    let mut one = failure(1, &user);
    one.to = "long@example.com".to_owned();
    // Numbers of recipients make names longer still.
    one.admins = (10..30)
        .map(|number| format!("ops-{number}@example.com"))
        .collect();
    host.put(&one);
    host.drain().expect(78, "");
    assert_eq!(host.names("spool/deferred").len(), 1 + 21);
    host.change("/nowhere\"", "/out\"");
    host.let_time_pass();
    host.drain().expect(0, "");
    let mails = host.mails();
    let mut recipients: Vec<_> = mails.iter().map(|mail| header(mail, "To")).collect();
    recipients.sort_unstable();
    let mut expected = one.admins.clone();
    expected.insert(0, one.to);
    assert_eq!(recipients, expected);
    assert_eq!(host.names("spool/deferred"), [format!("sent~{user}")]);
    assert!(host.names("spool/dead").is_empty());
}
