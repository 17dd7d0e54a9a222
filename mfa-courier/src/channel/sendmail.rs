//! The host's own mail system: the message goes to its queue.

use std::path::Path;

use zeroize::Zeroizing;

use super::mail::Mail;
use super::program;
use crate::progress::Progress;
use crate::report::{Class, Failure};

/// sysexits.h: somebody can't be reached now, but perhaps later (`EX_OSERR`, `EX_CANTCREAT`, `EX_IOERR`,
/// `EX_TEMPFAIL`).
const TEMPORARY: [i32; 4] = [71, 73, 74, 75];

/// Hands a message over.
pub(super) fn send(path: &Path, mail: &Mail, progress: &Progress) -> Result<String, Failure> {
    // `-i`: a line with a dot alone does not end the message.
    let arguments = ["-i", "-f", mail.from(), "--", mail.to()];
    // Programs of this host end their lines as this host does.
    let text = mail.text().iter().copied().filter(|byte| *byte != b'\r');
    let text = Zeroizing::new(text.collect::<Vec<_>>());
    let status = program::run(path, &arguments, &text, progress)?;
    let ended = program::ended(path, status);
    match status.code() {
        Some(0) => Ok(format!("{} took it", path.display())),
        Some(code) if !TEMPORARY.contains(&code) => Err(Failure::refused(Class::Program, ended)),
        _ => Err(Failure::retry(Class::Program, ended)),
    }
}
