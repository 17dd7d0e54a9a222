//! Answers for people and for programs: text, or one JSON document, on standard output; what went wrong
//! and what to mind on standard error.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use serde_json::{Map, Value, json};

use crate::doctor::check::{Check, Status};
use crate::error::Failure;

/// Below a check's status.
const CHECK_INDENT: &str = "      ";
/// Columns that text is wrapped at.
pub(crate) const WIDTH: usize = 80;

/// Where answers go.
#[derive(Debug, Default)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    /// Kept for the document.
    warnings: RefCell<Vec<String>>,
    /// The answer is out, or could not be got out, and another one would only spoil it.
    is_answered: Cell<bool>,
}

/// What a verb came to.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reply {
    /// The document, without `version`.
    pub(crate) document: Value,
    /// The text.
    pub(crate) text: String,
    /// Whether `--quiet` leaves the text out: it only says that something was done.
    pub(crate) is_confirmation: bool,
    /// The exit code, where a complete answer is bad news.
    pub(crate) exit_code: u8,
}

impl Reply {
    /// What was asked for.
    pub(crate) fn answer(document: Value, text: impl Into<String>) -> Self {
        Self {
            document,
            text: text.into(),
            is_confirmation: false,
            exit_code: 0,
        }
    }

    /// What was done.
    pub(crate) fn done(document: Value, text: impl Into<String>) -> Self {
        Self {
            is_confirmation: true,
            ..Self::answer(document, text)
        }
    }

    /// The same, with another exit code.
    pub(crate) fn exiting(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }
}

impl Output {
    /// Output as the global options ask for.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self {
            json,
            quiet,
            warnings: RefCell::default(),
            is_answered: Cell::new(false),
        }
    }

    /// Whether a program reads the answer.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether somebody is to see how far it has come.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet
            && io::stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    }

    /// Something to mind.
    pub(crate) fn warn(&self, message: &str) {
        if self.json && !self.is_answered.get() {
            self.warnings.borrow_mut().push(message.to_owned());
        } else {
            say(&wrap("mfa-admin: warning: ", "  ", message));
        }
    }

    /// Text before the end of a verb: what a person needs in order to answer. With `--json` it goes to
    /// standard error, for the document is alone on standard output.
    pub(crate) fn show(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            say(text.trim_end_matches('\n'));
            Ok(())
        } else {
            print(text)
        }
    }

    /// The warnings so far, for a document that a verb writes itself.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Prints the whole answer before the end of a verb: what is not to be lost, and can't be shown again. Whoever has
    /// stopped reading has lost it.
    pub(crate) fn answer(&self, text: &str) -> io::Result<()> {
        self.is_answered.set(true);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }

    /// Prints what a verb came to.
    pub(crate) fn reply(&self, reply: &Reply) -> Result<(), Failure> {
        if self.is_answered.get() {
            return Ok(());
        }
        if self.json {
            return print(&self.document(&reply.document));
        }
        if (reply.is_confirmation && self.quiet) || reply.text.is_empty() {
            return Ok(());
        }
        let end = if reply.text.ends_with('\n') { "" } else { "\n" };
        print(&format!("{}{end}", reply.text))
    }

    /// The document, with the warnings so far.
    pub(crate) fn document(&self, answer: &Value) -> String {
        let mut document = Map::new();
        document.insert("version".to_owned(), json!(1));
        if let Value::Object(answer) = answer {
            document.extend(
                answer
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        document.insert("warnings".to_owned(), json!(self.warnings.take()));
        format!("{:#}\n", Value::Object(document))
    }

    /// Prints what went wrong.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure {
            kind,
            message,
            hint,
        } = failure;
        if self.json && !self.is_answered.get() {
            for warning in self.warnings.take() {
                say(&wrap("mfa-admin: warning: ", "  ", &warning));
            }
            let error = json!({ "kind": kind.name(), "message": message, "hint": hint });
            let document = format!("{:#}\n", json!({ "version": 1, "error": error }));
            if print(&document).is_ok() && !goes_nowhere() {
                return;
            }
        }
        say(&wrap("mfa-admin: ", "  ", message));
        if !hint.is_empty() {
            say(&wrap("  ", "  ", hint));
        }
    }
}

/// Writes to standard output. A reader who has seen enough (`| head -1`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(
            format!("standard output can't be written: {error}"),
            "what was asked for has been done all the same",
        )),
        _ => Ok(()),
    }
}

/// Whether what is written to standard output goes nowhere. Rust's library opens /dev/null in the place of one that is
/// closed.
pub(crate) fn goes_nowhere() -> bool {
    let null = nix::sys::stat::stat("/dev/null").map(|null| null.st_rdev);
    let out = nix::sys::stat::fstat(io::stdout().as_fd()).map(|out| out.st_rdev);
    out.is_err() || (out == null && out != Ok(0))
}

/// Writes a line to standard error.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A text that begins a sentence.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// A text from outside as one word of a command that people copy, quoted where a shell would read it otherwise.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", shown(text).replace('\'', "'\\''"))
}

/// The words of a text; one that [`quoted`] made is whole.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.split_whitespace();
    while let Some(word) = rest.next() {
        let mut word = word.to_owned();
        if word.starts_with('\'') && !word.get(1..).is_some_and(|rest| rest.contains('\'')) {
            let behind: Vec<&str> = rest.clone().collect();
            if let Some(end) = behind.iter().position(|word| word.contains('\'')) {
                for part in rest.by_ref().take(end + 1) {
                    word.push(' ');
                    word.push_str(part);
                }
            }
        }
        words.push(word);
    }
    words
}

/// Breaks one paragraph at blanks, the first line after `first`, others after `indent`. What has no blank
/// (a path, a URI) is never broken.
pub(crate) fn wrap(first: &str, indent: &str, text: &str) -> String {
    let mut lines = vec![first.to_owned()];
    let mut is_empty = true;
    for word in words(text) {
        let Some(line) = lines.last_mut() else { break };
        let width = line.chars().count() + usize::from(!is_empty) + word.chars().count();
        if !is_empty && width > WIDTH {
            lines.push(format!("{indent}{word}"));
        } else {
            if !is_empty {
                line.push(' ');
            }
            line.push_str(&word);
        }
        is_empty = false;
    }
    lines.join("\n")
}

/// A text of several lines, which may repeat what came from outside: long lines are wrapped, each as far in as it
/// begins, and control characters are escaped.
pub(crate) fn fitted(text: &str) -> String {
    let fit = |line: &str| {
        let line = shown(line);
        if line.chars().count() <= WIDTH {
            return line;
        }
        let begin: String = line.chars().take_while(|c| *c == ' ').collect();
        wrap(&begin, &format!("{begin}  "), &line)
    };
    text.split('\n').map(fit).collect::<Vec<_>>().join("\n")
}

/// What `doctor` found: a line for each check, and what to do about it below. Exit 1 where one fails.
pub(crate) fn checks(checks: &[Check]) -> Reply {
    let documents: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "id": check.id,
                "status": check.status.word(),
                "message": check.message,
                "hint": check.hint,
            })
        })
        .collect();
    let mut lines = Vec::new();
    for check in checks {
        let first = format!("{:<6}{}  ", check.status.word(), check.id);
        lines.push(wrap(&first, CHECK_INDENT, &check.message));
        if !check.hint.is_empty() {
            lines.push(wrap(CHECK_INDENT, CHECK_INDENT, &check.hint));
        }
    }
    let count = |status: Status| checks.iter().filter(|check| check.status == status).count();
    let (warnings, failures) = (count(Status::Warn), count(Status::Fail));
    lines.push(format!(
        "{} checks, {warnings} to mind, {failures} failed",
        checks.len()
    ));
    let reply = Reply::answer(json!({ "checks": documents }), lines.join("\n"));
    reply.exiting(u8::from(failures > 0))
}

/// Rows under headings, columns as wide as they need to be; the last one takes the rest of the line.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings
        .iter()
        .map(|heading| heading.chars().count())
        .collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(
                ' ',
                (width + 2).saturating_sub(cell.chars().count()),
            ));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text from outside, fit for one line of a terminal: control characters are escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// The text, or as much of it as there is room for, with an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars()
        .take(width.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(shown("pam_x.so\r\u{1b}[2J"), "pam_x.so\\r\\u{1b}[2J");
    }

    #[test]
    fn text_is_wrapped_at_blanks_and_long_words_stay_whole() {
        let text = wrap("ok    ", "      ", &"word ".repeat(30));
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= WIDTH && !line.ends_with(' '))
        );
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("      word"))
        );
        let long = "x".repeat(200);
        assert_eq!(
            wrap("a: ", "  ", &format!("one {long} two")),
            format!("a: one\n  {long}\n  two")
        );
        assert_eq!(wrap("a: ", "  ", ""), "a: ");
    }

    #[test]
    fn a_text_of_several_lines_fits_and_moves_no_cursor() {
        let long = format!("error: {}", "word ".repeat(20));
        let text = fitted(&format!("{long}\n\n  \u{1b}[2J{long}\nshort"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert!(lines[1].starts_with("  word") && lines[2].is_empty());
        assert!(lines[3].starts_with("  \\u{1b}[2Jerror: ") && lines[4].starts_with("    word"));
        assert_eq!(lines[5], "short");
    }

    #[test]
    fn a_label_in_a_command_is_one_word_for_a_shell_and_on_one_line() {
        for (label, expected) in [
            ("phone", "phone"),
            ("key ring", "'key ring'"),
            ("Bob's", "'Bob'\\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(label), expected);
        }
        for filler in 0..80 {
            let text = format!(
                "{} `remove bob {}`; then",
                "x ".repeat(filler),
                quoted("key ring")
            );
            assert!(wrap("", "  ", &text).contains("'key ring'`;"), "{text}");
        }
        assert_eq!(wrap("", "", "a 'b c"), "a 'b c");
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let rows = vec![
            vec!["é".into(), "b".into()],
            vec!["long".into(), String::new()],
        ];
        assert_eq!(table(&["A", "B"], &rows), "A     B\né     b\nlong\n");
    }

    #[test]
    fn a_document_carries_version_first_and_warnings_last() {
        let output = Output::new(true, false);
        output.warn("mind");
        let document: Value = serde_json::from_str(&output.document(&json!({ "a": 1 }))).unwrap();
        assert_eq!(
            document,
            json!({ "version": 1, "a": 1, "warnings": ["mind"] })
        );
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(
            (cut("abc", 3), cut("abcd", 3)),
            ("abc".to_owned(), "ab…".to_owned())
        );
    }
}
