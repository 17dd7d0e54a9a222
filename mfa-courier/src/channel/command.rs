//! A program of the administrator's: a gateway for text messages, a chat, whatever takes one JSON document.

use std::path::Path;

use mfa_core::courier::Document;
use mfa_core::message::Composed;
use serde::Serialize;
use zeroize::Zeroizing;

use super::program;
use crate::progress::Progress;
use crate::report::{Class, Failure};

/// sysexits.h, `EX_TEMPFAIL`.
const TRY_AGAIN: i32 = 75;

/// What is on the program's standard input, in one line.
#[derive(Serialize)]
struct Message<'a> {
    version: u64,
    kind: &'a str,
    user: &'a str,
    to: &'a str,
    r#ref: &'a str,
    code: &'a str,
    text: &'a str,
}

fn program(words: &[String]) -> Result<(&Path, &[String]), Failure> {
    let (program, arguments) = words.split_first().ok_or_else(|| {
        Failure::config(
            Class::NotConfigured,
            "[courier.command] run is empty; write the program's path there",
        )
    })?;
    Ok((Path::new(program), arguments))
}

/// Whether the program is there and may be run.
pub(super) fn check(words: &[String]) -> Result<String, Failure> {
    program::check(program(words)?.0)
}

/// Hands a message over.
pub(super) fn send(
    words: &[String],
    document: &Document,
    composed: &Composed,
    progress: &Progress,
) -> Result<String, Failure> {
    let (program, arguments) = program(words)?;
    let input = input(document, composed)?;
    let status = program::run(program, arguments, &input, progress)?;
    let ended = program::ended(program, status);
    match status.code() {
        Some(0) => Ok(format!("{} took it", program.display())),
        Some(TRY_AGAIN) | None => Err(Failure::retry(Class::Program, ended)),
        Some(_) => Err(Failure::refused(Class::Program, ended)),
    }
}

fn input(document: &Document, composed: &Composed) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let message = Message {
        version: 1,
        kind: document.kind.as_str(),
        user: &document.user,
        to: &document.to,
        r#ref: &document.reference,
        code: &document.code,
        text: &composed.text,
    };
    // Room for all at once: a vector that grows leaves copies of the code behind.
    let mut json = Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *json, &message)
        .map_err(|error| Failure::refused(Class::Document, error.to_string()))?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_core::courier::Kind;

    #[test]
    fn the_program_gets_exactly_these_keys_in_one_line() {
        let mut document = Document::new(Kind::Code, "0".repeat(32), 0);
        document.user = "bob".to_owned();
        document.to = "bob@example.com".to_owned();
        document.reference = "K7QM".to_owned();
        document.code = Zeroizing::new("123456".to_owned());
        let composed = Composed {
            subject: "subject".to_owned(),
            text: "one\n\"two\"".to_owned(),
            html: String::new(),
        };
        let input = input(&document, &composed).unwrap();
        assert_eq!(
            std::str::from_utf8(&input).unwrap(),
            concat!(
                r#"{"version":1,"kind":"code","user":"bob","to":"bob@example.com","ref":"K7QM","#,
                r#""code":"123456","text":"one\n\"two\""}"#,
                "\n"
            )
        );
    }
}
