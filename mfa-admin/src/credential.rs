//! `credential set`: a password or token from standard input, for the courier alone to read.

use mfa_core::audit::{Entry, Event};
use mfa_core::config::{Config, Smtp};
use mfa_core::secure_file::{FileError, Folder, Owner, Problem};
use nix::sys::stat::fstat;
use nix::unistd::User;
use serde_json::json;
use zeroize::Zeroizing;

use crate::ask;
use crate::cli::CredentialCommand;
use crate::context::{Context, file_failure, require_root};
use crate::delivery::courier_user;
use crate::error::{Failure, Kind};
use crate::output::{Reply, shown, wrap};

/// Bytes of a password or token at most: what the courier reads.
const MAX_LENGTH: usize = 8 * 1024;
/// Root writes, the courier reads, nobody else does either.
const MODE: u32 = 0o640;

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &CredentialCommand) -> Result<Reply, Failure> {
    match command {
        CredentialCommand::Set { name, value: _ } => set(context, name),
    }
}

fn set(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    require_root()?;
    let config = context.config()?;
    let user = courier_user(&config)?;
    let folder = folder(&config)?;
    warn_of_name(context, &config, name);
    let value = value(context, &config, name)?;
    write(&folder, name, &value, &user)?;
    let entry = Entry {
        reason: Some(name),
        ..Entry::default()
    };
    context.log_change(Event::CredentialSet, None, &entry);
    warn_of_folder(context, &folder, &user)?;
    let path = folder.path().join(name).display().to_string();
    let text = format!(
        "Kept {} in {}, for {} to read.",
        shown(name),
        shown(&folder.path().display().to_string()),
        shown(&user.name)
    );
    Ok(Reply::done(
        json!({ "changed": true, "name": name, "path": path }),
        wrap("", "", &text),
    ))
}

fn folder(config: &Config) -> Result<Folder, Failure> {
    let path = config.paths.credentials.as_path();
    Folder::open(path, Owner::ROOT).map_err(|error| folder_failure(&error))
}

fn folder_failure(error: &FileError) -> Failure {
    if error.problem == Problem::Missing {
        let hint = "`mfa-admin init` makes it; `[paths] credentials` of mfa.toml says where it is";
        return Failure::new(Kind::StoreUnusable, error.to_string(), hint);
    }
    file_failure(error.clone())
}

/// The file gets its name with owner, group and mode as they have to be: no moment earlier.
fn write(folder: &Folder, name: &str, value: &str, user: &User) -> Result<(), Failure> {
    // One line, as an editor would leave it.
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + 1));
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
    let _lock = folder.lock().map_err(file_failure)?;
    // No credential begins with a dot.
    let temporary = format!(".new-{name}");
    let reader = (MODE, user.gid.as_raw());
    folder
        .replace_for_group(name, &temporary, reader, &bytes)
        .map_err(file_failure)
}

/// The name of the file of `[courier.smtp] password`, as it is or would be.
fn password_name(config: &Config) -> String {
    let by_default = Smtp::default();
    let smtp = config.courier.smtp.as_ref().unwrap_or(&by_default);
    smtp.password.as_str().to_owned()
}

/// A file that nothing reads may be a slip of the pen.
fn warn_of_name(context: &Context<'_>, config: &Config, name: &str) {
    let password = password_name(config);
    let token = config.courier.telegram.token.as_str();
    if name != password && name != token {
        context.output.warn(&format!(
            "mfa.toml names no such file: `[courier.smtp] password` is {}, `[courier.telegram] token` is {}",
            shown(&password),
            shown(token)
        ));
    }
}

/// Whether the courier gets as far as the file.
fn warn_of_folder(context: &Context<'_>, folder: &Folder, user: &User) -> Result<(), Failure> {
    let stat = fstat(folder).map_err(|errno| {
        file_failure(FileError {
            path: folder.path().to_owned(),
            problem: Problem::System(errno),
        })
    })?;
    let is_open = if stat.st_gid == user.gid.as_raw() {
        stat.st_mode & 0o010 != 0
    } else {
        stat.st_mode & 0o001 != 0
    };
    if !is_open {
        context.output.warn(&format!(
            "{} does not let {} pass: `mfa-admin init` gives the folder its group, `chmod 750` its mode",
            folder.path().display(),
            shown(&user.name)
        ));
    }
    Ok(())
}

/// What is to be kept.
fn value(context: &Context<'_>, config: &Config, name: &str) -> Result<Zeroizing<String>, Failure> {
    let question = format!("{}: ", shown(name));
    let given = ask::secret(&question, MAX_LENGTH)?.unwrap_or_default();
    check(&given)?;
    if name == password_name(config)
        && let Some(password) = without_blanks_of_google(&given)
    {
        context
            .output
            .warn("this looks like an app password of Google's: it is kept without its blanks");
        return Ok(password);
    }
    if given.trim() != given.as_str() {
        context
            .output
            .warn("this begins or ends with a blank, which is kept");
    }
    Ok(given)
}

fn check(value: &str) -> Result<(), Failure> {
    let what = if value.is_empty() {
        "there is nothing on standard input"
    } else if value.len() > MAX_LENGTH {
        "this is longer than 8 KiB"
    } else if value.contains(['\n', '\r']) {
        "this is more than one line"
    } else if value.chars().any(char::is_control) {
        "there are control characters in this"
    } else {
        return Ok(());
    };
    Err(Failure::refused(
        format!("{what}; nothing was changed"),
        "give the password or token on standard input, as one line",
    ))
}

/// An app password as Google shows it, `abcd efgh ijkl mnop`, as its mail server takes it.
fn without_blanks_of_google(text: &str) -> Option<Zeroizing<String>> {
    let text = text.trim();
    // Copied out of a browser, blanks are often such as do not break.
    let groups = || text.split(char::is_whitespace);
    let is_group =
        |group: &str| group.len() == 4 && group.bytes().all(|byte| byte.is_ascii_lowercase());
    if groups().count() != 4 || !groups().all(is_group) {
        return None;
    }
    let mut joined = Zeroizing::new(String::with_capacity(16));
    for group in groups() {
        joined.push_str(group);
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_password_of_google_loses_its_blanks_and_nothing_else_does() {
        for text in [
            "abcd efgh ijkl mnop",
            " abcd efgh ijkl mnop",
            "abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop",
        ] {
            let joined = without_blanks_of_google(text).expect(text);
            assert_eq!(joined.as_str(), "abcdefghijklmnop");
        }
        for text in [
            "abcdefghijklmnop",
            "abcd efgh ijkl",
            "abcd efgh ijkl mnop qrst",
            "abcd  efgh ijkl mnop",
            "Abcd efgh ijkl mnop",
            "abc1 efgh ijkl mnop",
            "abcde fgh ijkl mnop",
        ] {
            assert!(without_blanks_of_google(text).is_none(), "{text}");
        }
    }

    #[test]
    fn one_line_of_text_is_a_credential_and_nothing_else() {
        assert!(check("correct horse é").is_ok() && check(&"x".repeat(MAX_LENGTH)).is_ok());
        for text in ["", "a\nb", "a\rb", "a\tb", "a\u{1b}b", "a\0b"] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check(&"x".repeat(MAX_LENGTH + 1)).is_err());
    }
}
