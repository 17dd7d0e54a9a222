//! Runs `sshd -T` and reads what it prints.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::doctor::program;
use crate::output::shown;

/// Of its complaint, in a message.
const MOST_WORDS: usize = 300;

/// What `sshd -T -C user=…` prints, or why it didn't.
pub(super) fn ask(
    binary: &Path,
    config: Option<&Path>,
    user: &str,
    address: &str,
) -> Result<String, String> {
    let mut command = Command::new(binary);
    command.arg("-T");
    if let Some(config) = config {
        command.arg("-f").arg(config);
    }
    command
        .arg("-C")
        .arg(format!("user={user},host={address},addr={address}"));
    let ran = program::run(&mut command)?;
    if ran.is_success {
        return Ok(ran.output);
    }
    let complaint: String = ran
        .complaint
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ");
    let complaint: String = shown(&complaint).chars().take(MOST_WORDS).collect();
    Err(if complaint.is_empty() {
        "it failed without a word.".to_owned()
    } else {
        complaint
    })
}

/// The lines of `sshd -T`, by lower-case key.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings(HashMap<String, String>);

impl Settings {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let (key, value) = line.trim().split_once(' ')?;
            Some((key.to_ascii_lowercase(), value.trim().to_owned()))
        });
        let mut settings = HashMap::new();
        for (key, value) in lines {
            settings.entry(key).or_insert(value);
        }
        Self(settings)
    }

    /// A value as printed; empty where sshd does not know the key.
    pub(super) fn value(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(super) fn yes(&self, key: &str) -> bool {
        self.value(key) == "yes"
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.value(key).parse().ok()
    }
}
