//! Lines and words of a service file, as libpam takes them apart.
//!
//! pam.conf(5); `libpam/pam_handlers.c` (`_pam_assemble_line`) and `libpam/pam_misc.c`
//! (`_pam_StrTok`) of Linux-PAM 1.5.2.

/// libpam's line buffer (`BUF_SIZE`), its end mark included.
const LINE_BYTES: usize = 1024;

/// What came of reading on in a file.
pub(super) enum Assembled {
    Line {
        number: usize,
        text: Vec<u8>,
    },
    /// libpam gives up on the file here.
    Broken {
        number: usize,
    },
    End,
}

/// The lines of a file with comments taken off and continued ones joined.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            number: 1,
        }
    }

    /// What `fgets` would read into a buffer of `size`: a line, or as much of one as fits.
    fn chunk(&mut self, size: usize) -> Option<&'a [u8]> {
        let limit = self.rest.len().min(size.saturating_sub(1));
        let window = self.rest.get(..limit)?;
        let end = window
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(limit, |at| at + 1);
        let (chunk, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        if chunk.ends_with(b"\n") {
            self.number += 1;
        }
        (!chunk.is_empty()).then_some(chunk)
    }

    pub(super) fn next_line(&mut self) -> Assembled {
        let mut text: Vec<u8> = Vec::new();
        let mut first = None;
        loop {
            let number = self.number;
            let broken = Assembled::Broken {
                number: first.unwrap_or(number),
            };
            let room = LINE_BYTES.saturating_sub(text.len());
            // With room for the end mark alone libpam would read nothing for ever.
            if room <= 1 {
                return broken;
            }
            let Some(chunk) = self.chunk(room) else {
                return if first.is_some() {
                    broken
                } else {
                    Assembled::End
                };
            };
            // C sees no further than a NUL.
            let chunk = chunk.split(|byte| *byte == 0).next().unwrap_or_default();
            let body = trim_start(chunk);
            if body.is_empty() || body.starts_with(b"#") {
                continue;
            }
            let number = *first.get_or_insert(number);
            if chunk.contains(&b'#') {
                let kept = chunk.split(|byte| *byte == b'#').next();
                text.extend_from_slice(kept.unwrap_or_default());
                return Assembled::Line { number, text };
            }
            let Some(kept) = trim_end(chunk).strip_suffix(b"\\") else {
                text.extend_from_slice(chunk);
                return Assembled::Line { number, text };
            };
            text.extend_from_slice(kept);
            text.push(b' ');
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    text.get(blanks..).unwrap_or_default()
}

fn trim_end(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|byte| is_blank(**byte));
    let kept = text.len() - blanks.count();
    text.get(..kept).unwrap_or_default()
}

/// A word of a line, or what stood in `[…]`.
pub(super) struct Token {
    pub(super) text: String,
}

/// The words of a line.
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let from = trim_start(self.rest);
        let mut word = Vec::new();
        let mut used = 0;
        if let Some(inner) = from.strip_prefix(b"[") {
            used += 1;
            let mut bytes = inner.iter().peekable();
            while let Some(&byte) = bytes.next() {
                used += 1;
                match byte {
                    b']' => break,
                    b'\\' if bytes.peek() == Some(&&b']') => {
                        used += 1;
                        bytes.next();
                        word.push(b']');
                    }
                    _ => word.push(byte),
                }
            }
        } else {
            if from.is_empty() {
                self.rest = from;
                return None;
            }
            word.extend(from.iter().take_while(|byte| !is_blank(**byte)));
            // The blank that ends the word goes with it.
            used = word.len() + 1;
        }
        self.rest = from.get(used..).unwrap_or_default();
        Some(Token {
            text: String::from_utf8_lossy(&word).into_owned(),
        })
    }
}
