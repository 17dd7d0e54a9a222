//! Questions to the person at the terminal, and lines from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::output::wrap;

/// No line that is asked for is longer, bytes.
const MAX_LINE: usize = 4096;
/// Ctrl-C, as the terminal sends it while nothing is made of it.
const CTRL_C: u8 = 3;

/// Whether somebody sits at standard input.
pub(crate) fn is_somebody_there() -> bool {
    io::stdin().is_terminal()
}

/// Asks for leave to do something that can't be undone.
///
/// # Errors
///
/// The answer is not yes, or nobody is there to ask and `--yes` was not given.
pub(crate) fn confirm(question: &str, is_agreed: bool) -> Result<(), Failure> {
    if is_agreed {
        return Ok(());
    }
    if !is_somebody_there() {
        return Err(Failure::refused(
            format!("{question} Nobody is at the terminal to ask"),
            "give --yes if that is meant",
        ));
    }
    prompt(&format!("{} ", wrap("", "", &format!("{question} [y/N]"))));
    let answer = line()?.unwrap_or_default();
    if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::refused(
            "nothing was changed",
            "answer y to go on, or give --yes",
        ))
    }
}

/// Asks for a line at the terminal. `None`: the input ended.
pub(crate) fn question(text: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    prompt(text);
    line()
}

/// Reads one line from standard input, which is not shown where it is typed at a terminal.
pub(crate) fn hidden_line(text: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    if !is_somebody_there() {
        return line();
    }
    // Before the question: whoever types at once is not to be shown either.
    let hidden = HiddenInput::begin();
    prompt(text);
    let answer = line();
    drop(hidden);
    prompt("\n");
    match answer {
        Ok(Some(text)) if text.bytes().any(|byte| byte == CTRL_C) => {
            Err(Failure::refused("interrupted", "nothing was changed"))
        }
        other => other,
    }
}

/// Takes a text from standard input: a line that is not shown at a terminal, else all that comes, without the
/// line's end. `None`: there is nothing. A text of more than `max` bytes is refused.
pub(crate) fn secret(text: &str, max: usize) -> Result<Option<Zeroizing<String>>, Failure> {
    if is_somebody_there() {
        return hidden_line(text);
    }
    read_all(&mut io::stdin().lock(), max)
}

fn read_all(input: &mut dyn Read, max: usize) -> Result<Option<Zeroizing<String>>, Failure> {
    // Room for all at once, and for a line's end: what grows leaves copies behind.
    let limit = max + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    let bound = u64::try_from(limit + 1).unwrap_or(u64::MAX);
    input
        .take(bound)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    let end = [&b"\r\n"[..], b"\n"]
        .into_iter()
        .find(|end| bytes.ends_with(end))
        .map_or(0, <[u8]>::len);
    let length = bytes.len() - end;
    if length > max {
        return Err(Failure::failed(
            format!("standard input holds more than {max} bytes"),
            "give one line, and nothing else",
        ));
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes.get(..length).unwrap_or_default()).map_err(not_text)?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::failed(
        format!("standard input can't be read: {error}"),
        "give it on standard input, or at a terminal",
    )
}

fn not_text(_: std::str::Utf8Error) -> Failure {
    Failure::failed("standard input is not UTF-8 text", "give it as plain text")
}

/// Reads one line from standard input, without its end. `None`: there is none.
pub(crate) fn line() -> Result<Option<Zeroizing<String>>, Failure> {
    read_line(&mut io::stdin().lock())
}

fn read_line(input: &mut dyn BufRead) -> Result<Option<Zeroizing<String>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(&error)),
        };
        if available.is_empty() {
            break;
        }
        let end = available
            .iter()
            .position(|byte| matches!(*byte, b'\n' | CTRL_C));
        let taken = end.map_or(available.len(), |end| end + 1);
        if bytes.len() + taken > MAX_LINE {
            return Err(Failure::failed(
                format!("a line on standard input is longer than {MAX_LINE} bytes"),
                "give one line for each thing that is asked for",
            ));
        }
        bytes.extend_from_slice(available.get(..taken).unwrap_or_default());
        input.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes).map_err(not_text)?;
    Ok(Some(Zeroizing::new(
        text.trim_end_matches(['\n', '\r']).to_owned(),
    )))
}

/// Text without a line end, on standard error: standard output is for answers.
fn prompt(text: &str) {
    let mut out = io::stderr();
    // A question that can't be shown can still be answered.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The terminal shows nothing of what is typed until this is dropped. Ctrl-C then ends the line instead
/// of the program, which would leave the terminal like that.
struct HiddenInput {
    before: Option<Termios>,
}

impl HiddenInput {
    fn begin() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Self { before: None };
        };
        let mut hidden = before.clone();
        hidden
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        let end_of_line = SpecialCharacterIndices::VEOL as usize;
        if let Some(character) = hidden.control_chars.get_mut(end_of_line) {
            *character = CTRL_C;
        }
        match tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &hidden) {
            Ok(()) => Self {
                before: Some(before),
            },
            Err(_) => Self { before: None },
        }
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nothing can be done where this fails.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_one_by_one_without_their_ends() {
        let mut input = io::Cursor::new(b"one\r\n\n two\n123".to_vec());
        for expected in [Some("one"), Some(""), Some(" two"), Some("123"), None] {
            let line = read_line(&mut input).unwrap();
            assert_eq!(line.as_ref().map(|line| line.as_str()), expected);
        }
    }

    #[test]
    fn a_line_without_end_and_bytes_that_are_not_text_are_refused() {
        let long = read_line(&mut io::Cursor::new(vec![b'1'; 10 << 20])).unwrap_err();
        assert!(long.message.contains("longer than 4096 bytes"));
        assert!(read_line(&mut io::Cursor::new(b"\xff\n".to_vec())).is_err());
    }

    #[test]
    fn a_text_is_taken_whole_and_without_its_end_up_to_a_size() {
        for (given, taken) in [
            ("word\n", "word"),
            ("word\r\n", "word"),
            ("word", "word"),
            ("two\nlines\n\n", "two\nlines\n"),
            ("\n", ""),
        ] {
            let text = read_all(&mut given.as_bytes(), 10).unwrap().unwrap();
            assert_eq!(text.as_str(), taken);
        }
        assert!(read_all(&mut io::empty(), 10).unwrap().is_none());
        let just = "x".repeat(10);
        assert!(read_all(&mut format!("{just}\r\n").as_bytes(), 10).is_ok());
        for more in [format!("{just}x"), format!("{just}x\n"), "x".repeat(99)] {
            let refused = read_all(&mut more.as_bytes(), 10).unwrap_err();
            assert!(refused.message.contains("more than 10 bytes"));
        }
        assert!(read_all(&mut &b"\xff"[..], 10).is_err());
    }
}
