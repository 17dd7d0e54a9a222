//! The arguments that stand behind the module's name in a service file.

use std::path::PathBuf;

use mfa_core::config::DEFAULT_PATH;

/// What a service file says.
#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is an argument
pub(crate) struct ModuleArgs {
    /// Where the configuration is.
    pub(crate) conf: PathBuf,
    /// Whether to say what is going on, at `LOG_DEBUG`.
    pub(crate) debug: bool,
    /// Whether users who were never enrolled are let by.
    pub(crate) nullok: bool,
    /// Whether a passphrase is asked for before the code, and can be changed.
    pub(crate) passphrase: bool,
    /// Whether names that nobody knows are logged.
    pub(crate) audit: bool,
    /// What nobody knows.
    pub(crate) unknown: Vec<String>,
    #[cfg(feature = "panic-injection")]
    pub(crate) panic: Option<String>,
}

impl ModuleArgs {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut parsed = Self {
            conf: PathBuf::from(DEFAULT_PATH),
            debug: false,
            nullok: false,
            passphrase: false,
            audit: false,
            unknown: Vec::new(),
            #[cfg(feature = "panic-injection")]
            panic: None,
        };
        for argument in arguments {
            match argument.split_once('=').unwrap_or((&argument, "")) {
                ("conf", path) if !path.is_empty() => parsed.conf = PathBuf::from(path),
                #[cfg(feature = "panic-injection")]
                ("panic", hook) => parsed.panic = Some(hook.to_owned()),
                _ => match argument.as_str() {
                    "debug" => parsed.debug = true,
                    "nullok" => parsed.nullok = true,
                    "passphrase" => parsed.passphrase = true,
                    "audit" => parsed.audit = true,
                    _ => {
                        // A slip in the word that makes the first factor must not leave a code alone.
                        parsed.passphrase |= argument.starts_with("pass");
                        parsed.unknown.push(argument);
                    }
                },
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> ModuleArgs {
        ModuleArgs::parse(
            line.split(' ')
                .filter(|word| !word.is_empty())
                .map(str::to_owned),
        )
    }

    #[test]
    fn every_argument_has_its_meaning() {
        let args = parse("conf=/x/y debug nullok audit passphrase");
        assert_eq!(args.conf, PathBuf::from("/x/y"));
        assert!(args.debug && args.nullok && args.audit && args.unknown.is_empty());
        assert!(args.passphrase);
    }

    #[test]
    fn what_nobody_knows_is_kept_for_the_log_and_changes_nothing() {
        let args = parse("nulok nullok=1 conf= conf debug=yes");
        assert_eq!(
            args.unknown,
            ["nulok", "nullok=1", "conf=", "conf", "debug=yes"]
        );
        assert_eq!(
            ModuleArgs {
                unknown: Vec::new(),
                ..args
            },
            parse("")
        );
    }

    #[test]
    fn a_slip_in_the_word_for_the_first_factor_takes_nothing_away() {
        for slip in ["passphrase=1", "passphrase=yes", "passprase", "pass"] {
            let args = parse(slip);
            assert!(args.passphrase, "{slip}");
            assert_eq!(args.unknown, [slip]);
        }
    }
}
