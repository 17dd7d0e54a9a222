//! The administrator's own texts, through their files, and what becomes of values in them.

use std::fs;

use mfa_core::courier::{Document, Kind};
use mfa_core::message::Texts;
use mfa_core::secure_file::Owner;
use zeroize::Zeroizing;

use crate::folder;
use crate::input::Input;
use crate::place::assert_place;

const FILES: [(&str, Kind); 10] = [
    ("code.txt", Kind::Code),
    ("login.txt", Kind::Login),
    ("digest.txt", Kind::Digest),
    ("change.txt", Kind::Change),
    ("test.txt", Kind::Test),
    ("code.html", Kind::Code),
    ("login.html", Kind::Login),
    ("digest.html", Kind::Digest),
    ("change.html", Kind::Change),
    ("test.html", Kind::Test),
];

/// A document whose values come from outside; with `mark` in front of each of them.
pub(crate) fn document(kind: Kind, input: &mut Input<'_>, mark: &str) -> Document {
    let mut document = Document::new(kind, "0123456789abcdef".repeat(2), input.number());
    document.lifetime = input.number();
    document.count = u64::from(input.byte());
    document.until = input.number();
    document.code = Zeroizing::new("12345678".to_owned());
    let mut value = || format!("{mark}{}", input.text());
    document.user = value();
    document.host = value();
    document.device = value();
    document.service = value();
    document.from = value();
    document.tty = value();
    document.method = value();
    document.app = value();
    document.event = value();
    document.detail = value();
    document.actor = value();
    document.login = value();
    document.reference = value();
    document.addresses = vec![value(), value()];
    document.events = vec![value()];
    document
}

/// What a text says is one subject and clean lines, whatever stands in the template and in the values: no header can be added,
/// no markup, no end of a message. A code's text shows the code. What is wrong in a template is told at its place.
pub fn template(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (file, kind) = FILES[usize::from(input.byte()) % FILES.len()];
    let in_subject = input.byte().is_multiple_of(2);
    let mark = "<i>\"&'\r\nBcc: x\u{85}\u{2028}";
    let document = document(kind, &mut input, mark);
    let content = input.rest();

    let folder = folder::path().join("texts");
    fs::create_dir_all(&folder).unwrap();
    for (other, _) in FILES.iter().filter(|(other, _)| *other != file) {
        let _ = fs::remove_file(folder.join(other));
    }
    fs::write(folder.join(file), content).unwrap();
    let (texts, problems) = Texts::load(Some(&folder), Owner::effective_user());
    assert!(problems.len() <= 1);
    for problem in &problems {
        assert_eq!(problem.path, folder.join(file));
        if content.len() <= 64 * 1024 {
            let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
            assert_place(content, problem.line, problem.column, &problem.message);
        }
    }

    let composed = texts.compose(&document, in_subject);
    assert!(!composed.subject.is_empty());
    for text in [&composed.subject, &composed.text, &composed.html] {
        let is_clean = |c: char| !c.is_control() || "\n\t".contains(c);
        assert!(text.chars().all(is_clean), "{text:?}");
    }
    assert!(!composed.subject.contains(['\n', '\t', '\u{2028}']));
    for line in composed.text.lines().chain(composed.html.lines()) {
        assert!(!line.starts_with('.'), "{line:?}");
    }
    // A value adds no header of its own and no markup; the template itself may say what it likes.
    let literal = String::from_utf8_lossy(content);
    if !literal.contains("<i>") {
        assert!(!composed.html.contains("<i>"), "{}", composed.html);
    }
    if !literal.contains("Bcc:") {
        assert!(!composed.text.lines().any(|line| line.starts_with("Bcc:")));
    }
    if kind == Kind::Code {
        let is_in_text =
            composed.text.contains("12345678") || composed.subject.contains("12345678");
        assert!(is_in_text, "{}", composed.text);
        assert!(composed.html.contains("12345678"), "{}", composed.html);
    }
    if kind == Kind::Code && !in_subject {
        let is_literal = literal.contains("12345678");
        assert!(is_literal || !composed.subject.contains("12345678"));
    }
}
