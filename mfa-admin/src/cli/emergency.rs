//! The words of `emergency`.

use clap::{Args, Subcommand};

/// `emergency`.
#[derive(Debug, Subcommand)]
pub(crate) enum EmergencyCommand {
    /// Make a new code, show it once, void the one from before
    Generate(EmergencyArgs),
    /// Show whether there is a good code, for whom and where
    Status,
}

/// `emergency generate`.
#[derive(Debug, Args)]
pub(crate) struct EmergencyArgs {
    /// Whom it lets in [default: as the file says; root]
    #[arg(long = "user", value_name = "NAME", value_parser = entry)]
    pub(crate) users: Vec<String>,
    /// By which PAM service [default: as the file says; login]
    #[arg(long = "service", value_name = "S", value_parser = entry)]
    pub(crate) services: Vec<String>,
    /// At which terminal [default: as the file says; tty1, ttyS0]
    #[arg(long = "tty", value_name = "TTY", value_parser = tty)]
    pub(crate) ttys: Vec<String>,
    /// Don't ask
    #[arg(long)]
    pub(crate) yes: bool,
}

fn entry(text: &str) -> Result<String, String> {
    let text = super::name(text)?;
    if text.chars().any(char::is_control) {
        return Err("write it without control characters".to_owned());
    }
    Ok(text)
}

fn tty(text: &str) -> Result<String, String> {
    entry(text.strip_prefix("/dev/").unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_named_with_their_folder_or_without() {
        assert_eq!(tty("/dev/tty1").unwrap(), "tty1");
        assert_eq!(tty("pts/0").unwrap(), "pts/0");
        for wrong in ["", "/dev/", "tty\n1"] {
            assert!(tty(wrong).is_err(), "{wrong:?}");
        }
    }
}
