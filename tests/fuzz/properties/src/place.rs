//! Whether errors point at a place that there is.

use mfa_core::document::DocumentError;

/// Line and column must be those of a character of the text, or of its end, or of the end of a line; and the message one line.
pub(crate) fn assert_within(bytes: &[u8], error: &DocumentError) {
    assert_place(bytes, error.line, error.column, &error.message);
}

/// The same.
pub(crate) fn assert_place(bytes: &[u8], line: usize, column: usize, message: &str) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // Only what is readable can be counted.
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap(),
    };
    let Some(shown) = text.split('\n').nth(line.wrapping_sub(1)) else {
        panic!("line {line} of {} in {message:?}", text.split('\n').count());
    };
    let columns = shown.chars().count() + 1;
    assert!(
        (1..=columns).contains(&column),
        "column {column} of {columns} in line {line}: {message:?}"
    );
    assert!(
        !message.is_empty() && !message.contains('\n'),
        "{message:?}"
    );
}
