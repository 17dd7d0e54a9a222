//! QR codes for authenticator apps: on a terminal, as SVG and as PNG. What is drawn holds a secret, so every
//! picture is wiped when it is dropped.
//!
//! ISO/IEC 18004. A code has a polarity, dark on light, and many apps don't read the other one. Characters
//! alone can't have the right one on both dark and light terminals: without colours, light modules are the
//! ones that are drawn, which is right on a dark terminal.

mod png;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

/// Light modules around the code (ISO/IEC 18004, 6.3.8).
const QUIET_ZONE: usize = 4;
/// Pixels of a module in pictures: a code of the usual size is about 400 wide.
const SCALE: usize = 8;
/// White on black of the 256-colour palette, whose first 16 colours a theme may change and these not.
const WHITE_ON_BLACK: &str = "\x1b[38;5;231;48;5;16m";
/// Nothing but white, whatever the character.
const ALL_WHITE: &str = "\x1b[38;5;231;48;5;231m";
const AS_BEFORE: &str = "\x1b[0m";

/// A QR code.
pub(crate) struct Qr {
    /// Row by row with the quiet zone; true is dark.
    modules: Zeroizing<Vec<bool>>,
    /// Modules on a side, the quiet zone included.
    side: usize,
}

impl fmt::Debug for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Qr([redacted], {} modules wide)", self.side)
    }
}

/// The text does not fit a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QrError {
    /// Its length, bytes.
    length: usize,
}

impl fmt::Display for QrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes do not fit a QR code; choose a shorter issuer or label, or type the secret",
            self.length
        )
    }
}

impl std::error::Error for QrError {}

impl Qr {
    /// Encodes a text in the smallest code that holds it, with as much error correction as that has room for.
    ///
    /// # Errors
    ///
    /// The text is too long.
    pub(crate) fn new(text: &str) -> Result<Self, QrError> {
        let too_long = |_| QrError { length: text.len() };
        let mut code = QrCode::with_error_correction_level(text, EcLevel::L).map_err(too_long)?;
        for level in [EcLevel::M, EcLevel::Q, EcLevel::H] {
            match QrCode::with_version(text, code.version(), level) {
                Ok(stronger) => code = stronger,
                Err(_) => break,
            }
        }
        let width = code.width();
        let side = width + 2 * QUIET_ZONE;
        let colours = code.into_colors();
        let dark: Zeroizing<Vec<bool>> = Zeroizing::new(
            colours
                .into_iter()
                .map(|colour| colour == Color::Dark)
                .collect(),
        );
        let mut modules = Zeroizing::new(Vec::with_capacity(side * side));
        modules.resize(side * QUIET_ZONE, false);
        for row in dark.chunks(width) {
            modules.extend([false; QUIET_ZONE]);
            modules.extend(row);
            modules.extend([false; QUIET_ZONE]);
        }
        modules.resize(side * side, false);
        Ok(Self { modules, side })
    }

    /// Columns that [`Qr::utf8`] takes; [`Qr::ascii`] takes twice as many.
    pub(crate) fn columns(&self) -> usize {
        self.side
    }

    /// Half blocks, a line for two rows of modules. With `colour`, white on black by escape sequences: right
    /// on every terminal that obeys them. Without, right on a dark one.
    pub(crate) fn utf8(&self, colour: bool) -> Zeroizing<String> {
        let (begin, end) = if colour {
            (WHITE_ON_BLACK, AS_BEFORE)
        } else {
            ("", "")
        };
        let line_len = begin.len() + 3 * self.side + end.len() + 1;
        let mut text = Zeroizing::new(String::with_capacity(line_len * self.side.div_ceil(2)));
        let mut rows = self.rows();
        while let Some(upper) = rows.next() {
            let lower = rows.next().unwrap_or_default();
            // Below the last row the quiet zone goes on.
            let lower = lower.iter().copied().chain(std::iter::repeat(false));
            text.push_str(begin);
            text.extend(upper.iter().zip(lower).map(|pair| match pair {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            }));
            text.push_str(end);
            text.push('\n');
        }
        text
    }

    /// Two characters for a module, for terminals without UTF-8; `colour` as for [`Qr::utf8`]. Without, it is
    /// to be read from a few steps away, where the characters look solid.
    pub(crate) fn ascii(&self, colour: bool) -> Zeroizing<String> {
        let codes = |codes| if colour { codes } else { "" };
        let longest_run = 2 + 2 * ALL_WHITE.len().max(WHITE_ON_BLACK.len());
        let mut text = Zeroizing::new(String::with_capacity(longest_run * self.modules.len()));
        for row in self.rows() {
            for run in row.chunk_by(|one, next| one == next) {
                let (colours, module) = match run.first() {
                    Some(true) => (WHITE_ON_BLACK, "  "),
                    _ => (ALL_WHITE, "##"),
                };
                text.push_str(codes(colours));
                text.extend(run.iter().map(|_| module));
            }
            text.push_str(codes(AS_BEFORE));
            text.push('\n');
        }
        text
    }

    /// A picture for browsers, black on white.
    pub(crate) fn svg(&self) -> Zeroizing<String> {
        let (side, pixels) = (self.side, self.side * SCALE);
        // A run of dark modules takes at most 20 characters, and there is one for two modules at most.
        let mut text = Zeroizing::new(String::with_capacity(10 * side * side + 512));
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{pixels}\" height=\"{pixels}\" \
             viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\n\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\n<path d=\""
        );
        for (y, row) in self.rows().enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, next| one == next) {
                if run.first() == Some(&true) {
                    let _ = write!(text, "M{x} {y}h{0}v1h-{0}z", run.len());
                }
                x += run.len();
            }
        }
        text.push_str("\"/>\n</svg>\n");
        text
    }

    /// A picture of black and white pixels.
    pub(crate) fn png(&self) -> Zeroizing<Vec<u8>> {
        png::encode(self.rows(), self.side, SCALE)
    }

    fn rows(&self) -> std::slice::Chunks<'_, bool> {
        self.modules.chunks(self.side)
    }
}
