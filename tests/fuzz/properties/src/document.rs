//! What the courier is told, and the mail that it makes of it.

use std::fs;
use std::time::{Duration, Instant};

use mfa_core::config::Config;
use mfa_core::courier::{Document, Kind, NoticeName};
use mfa_courier::probe;

use crate::folder;
use crate::input::Input;
use crate::template;

/// A document is read or refused without repeating it, and survives being written. Failures become a message for each recipient.
/// And whatever a document says, the mail made of it has the headers of a mail of ours and no others, to its one recipient.
pub fn document(bytes: &[u8]) {
    match probe::read(bytes) {
        Ok(document) => {
            survives(&document);
            digests(&document);
            mail(&document);
        }
        Err(why) => assert!(why.len() < 80 && !why.contains('"'), "{why}"),
    }
    let mut input = Input::new(bytes);
    let kind = Kind::ALL[usize::from(input.byte()) % Kind::ALL.len()];
    let mut document = template::document(kind, &mut input, "");
    document.to = input.text();
    survives(&document);
    mail(&document);
}

/// Written and read, it is the same; but for what is cut, since no value may be long.
fn survives(document: &Document) {
    let text = document.to_json();
    assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
    let Ok(again) = probe::read(text.as_bytes()) else {
        assert!(text.len() > mfa_core::courier::MAX_DOCUMENT, "{}", *text);
        return;
    };
    assert_eq!(again.to_json(), text);
    let parts = [
        &document.id,
        &document.to,
        &document.user,
        &document.host,
        &document.device,
    ];
    let rest = [
        &document.service,
        &document.from,
        &document.tty,
        &document.method,
        &document.app,
    ];
    let last = [
        &document.event,
        &document.detail,
        &document.actor,
        &document.login,
        &document.reference,
    ];
    let lists = [
        &document.admins,
        &document.addresses,
        &document.events,
        &document.merges,
    ];
    let mut values = parts
        .into_iter()
        .chain(rest)
        .chain(last)
        .chain(lists.into_iter().flatten());
    if values.all(|value| value.chars().count() <= 256) && document.code.chars().count() <= 256 {
        assert!(again == *document, "{}", *text);
    }
    let name = NoticeName::of(document).to_string();
    assert!(!name.contains('/') || document.id.contains('/'));
}

fn digests(document: &Document) {
    let mut other = document.clone();
    other.from.push_str("192.0.2.1");
    other.time = other.time.wrapping_add(1);
    let messages = probe::digest(vec![document.clone(), other.clone(), other]);
    for (place, message) in messages.iter().enumerate() {
        assert_eq!(message.kind, Kind::Digest);
        assert!(message.count >= 3 && message.addresses.len() <= 20);
        assert!(message.admins.is_empty() && message.merges.is_empty() && message.code.is_empty());
        let is_alone = messages[..place]
            .iter()
            .all(|earlier| (earlier.channel, &earlier.to) != (message.channel, &message.to));
        assert!(is_alone, "{} is told twice", message.to);
        let is_alone = messages[..place]
            .iter()
            .all(|earlier| earlier.id != message.id);
        assert!(is_alone, "{} stands twice", message.id);
    }
}

fn mail(document: &Document) {
    let folder = folder::path().join("mail");
    if fs::create_dir_all(&folder).is_ok() {
        for file in fs::read_dir(&folder).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    let text = format!(
        "version = 1\n[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"{}\"\ndemo = true\n",
        folder.display()
    );
    let mut document = document.clone();
    document.channel = mfa_core::record::Method::Email;
    // For nobody a courier stays as long as it may.
    if document.kind == Kind::Nothing {
        return;
    }
    let end = Instant::now() + Duration::from_secs(60);
    let (line, code) = probe::deliver(Config::parse(text.as_bytes()).unwrap(), &document, end);
    let report = mfa_core::courier::Report::parse(&line).unwrap();
    assert_eq!(report.is_accepted, code == 0);
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    if !report.is_accepted || document.kind == Kind::Check {
        return assert!(files.is_empty());
    }
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    assert!(
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(&document.id)
    );
    is_mail(&fs::read_to_string(file).unwrap(), &document);
}

fn is_mail(mail: &str, document: &Document) {
    assert!(mail.is_ascii());
    for line in mail.split("\r\n") {
        assert!(
            line.len() <= 998 && !line.contains(['\r', '\n']),
            "{line:?}"
        );
    }
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut names: Vec<&str> = head
        .split("\r\n")
        .map(|header| {
            header
                .split_once(": ")
                .unwrap_or_else(|| panic!("{header:?} in {head}"))
                .0
        })
        .collect();
    names.sort_unstable();
    let ours = [
        "Auto-Submitted",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
    ];
    assert_eq!(names, ours, "{head}");
    let to = head
        .split("\r\n")
        .find_map(|header| header.strip_prefix("To: "))
        .unwrap();
    let (to, wanted) = (
        to.replace(['<', '>', '"'], ""),
        document.to.replace(['<', '>', '"'], ""),
    );
    assert_eq!(to, wanted, "{head}");
}
