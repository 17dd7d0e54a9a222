//! What comes between a document and its line of answer, for those who try it with bytes of their own: no process, no
//! privileges, nothing given up.

use std::time::Instant;

use mfa_core::config::Config;
use mfa_core::courier::{Document, NoticeName};

use crate::progress::Progress;
use crate::{digest, passphrase, send};

/// Reads a document as it comes on standard input.
///
/// # Errors
///
/// Why it is none.
pub fn read(bytes: &[u8]) -> Result<Document, String> {
    send::parse(bytes).map_err(|failure| failure.detail)
}

/// Delivers a document; the line of answer, and the exit code.
#[must_use]
pub fn deliver(config: Config, document: &Document, end: Instant) -> (String, u8) {
    let report = send::deliver_document(config, document, end, &Progress::at("before it began"));
    (report.line(), report.exit_code())
}

/// The messages that several failures become, one for each recipient.
#[must_use]
pub fn digest(failures: Vec<Document>) -> Vec<Document> {
    let named = failures
        .into_iter()
        .map(|failure| (NoticeName::of(&failure), failure));
    digest::compose(named.collect()).map_or(Vec::new(), |digest| digest::part(&digest))
}

/// Judges a new passphrase, as it is asked about on standard input, with a list of refused words; the line of answer, and the
/// exit code.
#[must_use]
pub fn judge(config: &Config, words: &[u8], question: &[u8]) -> (String, u8) {
    let report = passphrase::run_on(config, words, question);
    (report.line(), report.exit_code())
}
