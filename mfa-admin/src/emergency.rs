//! `emergency`: the code for the day when this host can check nobody. All of this works without mfa.toml, store and
//! sealing key.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mfa_core::audit::{Entry, Event};
use mfa_core::clock::rfc3339;
use mfa_core::config::emergency::EmergencyFile;
use mfa_core::emergency::{self, PATIENCE, TEMPORARY};
use mfa_core::host::{self, HostError};
use mfa_core::recovery::{RecoveryCode, RecoveryError, single};
use mfa_core::request::find_account;
use mfa_core::secure_file::{self, BlockError, Owner};
use mfa_core::store::StoreError;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::ask;
use crate::cli::{EmergencyArgs, EmergencyCommand};
use crate::context::{Context, file_failure, require_root};
use crate::error::Failure;
use crate::output::{self, Reply, shown, wrap};
use crate::record_view::moment;

/// What stands before the lists of a file that is made anew.
const HEAD: &str = "\
# The emergency code of pam_mfa: lets in when this host can check nobody (mfa.toml, store, sealing key or machine id
# can't be used) and the login comes from no other host. Owner root, mode 0600. Comments and changes of yours stay.
version = 1
";
/// What stands before the code.
const FOOT: &str = "\
# Below, `mfa-admin emergency generate` writes what is kept of the code, and a login that has used it says so.
";
/// What the code's own lines begin with.
const KEYS: [&str; 4] = ["generated", "salt", "hash", "used"];

/// Whom the code lets in, through what and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lists {
    users: Vec<String>,
    services: Vec<String>,
    ttys: Vec<String>,
}

impl Default for Lists {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Self {
            users: list(&["root"]),
            services: list(&["login"]),
            ttys: list(&["tty1", "ttyS0"]),
        }
    }
}

impl Lists {
    fn of(file: &EmergencyFile) -> Self {
        Self {
            users: file.users.clone(),
            services: file.services.clone(),
            ttys: file.ttys.clone(),
        }
    }

    /// These, with what was given on the command line in their place.
    fn with(mut self, arguments: &EmergencyArgs) -> Self {
        for (list, given) in [
            (&mut self.users, &arguments.users),
            (&mut self.services, &arguments.services),
            (&mut self.ttys, &arguments.ttys),
        ] {
            if !given.is_empty() {
                list.clone_from(given);
            }
        }
        self
    }

    /// A new file with them, and without a code.
    fn text(&self) -> String {
        let list = |words: &[String]| json!(words).to_string();
        format!(
            "{HEAD}# Whom it lets in.\nusers = {}\n# Through which PAM services.\nservices = {}\n\
             # At which terminals.\nttys = {}\n{FOOT}",
            list(&self.users),
            list(&self.services),
            list(&self.ttys)
        )
    }
}

/// The file that `init` offers: for whom and where, and no code yet.
pub(crate) fn offered() -> String {
    Lists::default().text()
}

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &EmergencyCommand) -> Result<Reply, Failure> {
    require_root()?;
    let path = place(context);
    match command {
        EmergencyCommand::Generate(arguments) => generate(context, &path, arguments),
        EmergencyCommand::Status => status(&path),
    }
}

/// Where logins look for the file now.
fn place(context: &Context<'_>) -> PathBuf {
    let beside = emergency::beside(&context.config_path);
    match context.config() {
        Ok(config) => {
            let path = config.paths.emergency.as_path().to_owned();
            if path != beside {
                context.output.warn(&format!(
                    "where {} can't be read, logins look for {} instead: set [paths] emergency to that",
                    context.config_path.display(),
                    beside.display()
                ));
            }
            path
        }
        Err(failure) => {
            context.output.warn(&format!(
                "{}: this is about {}, which logins take now",
                failure.message,
                beside.display()
            ));
            beside
        }
    }
}

/// The file as it is.
fn read(path: &Path) -> Result<Option<EmergencyFile>, Failure> {
    emergency::read(path, Owner::ROOT).map_err(unusable)
}

fn unusable(error: HostError) -> Failure {
    let failure = Failure::from(error);
    Failure {
        hint: "mend that, or move the file away; then run `mfa-admin emergency generate`"
            .to_owned(),
        ..failure
    }
}

/// The code that is there, if it is good yet.
fn good(file: Option<&EmergencyFile>) -> Option<(String, String)> {
    let file = file.filter(|file| file.used.is_none())?;
    let (salt, hash) = file.code()?;
    Some((salt.to_owned(), hash.to_owned()))
}

fn generate(
    context: &Context<'_>,
    path: &Path,
    arguments: &EmergencyArgs,
) -> Result<Reply, Failure> {
    let present = read(path)?;
    if output::goes_nowhere() {
        return Err(Failure::refused(
            "standard output is closed, or /dev/null: nobody would ever see the code; nothing was changed",
            "let it go to a terminal, a printer or a file of yours",
        ));
    }
    let agreed_on = good(present.as_ref());
    if agreed_on.is_some() {
        ask::confirm(
            "Make a new emergency code? The one from before, never used, is void then.",
            arguments.yes,
        )?;
    }
    let (code, salt, hash) = single().map_err(no_code)?;
    let generated = rfc3339(context.unix_seconds());
    let lines = format!("generated = {generated}\nsalt = \"{salt}\"\nhash = \"{hash}\"\n");
    let lists = keep(path, agreed_on.as_ref(), arguments, &lines)?;
    let entry = Entry {
        detail: Some(&path.display().to_string()),
        ..Entry::default()
    };
    context.log_change(Event::EmergencyGenerated, None, &entry);
    mind_strangers(context, &lists);
    // Only what was kept is shown, and only once.
    let text = if context.output.is_json() {
        let document = json!({
            "host": host::name(),
            "file": path.display().to_string(),
            "generated": generated,
            "code": code.shown().as_str(),
            "users": lists.users,
            "services": lists.services,
            "ttys": lists.ttys,
        });
        Zeroizing::new(context.output.document(&document))
    } else {
        page(&lists, &generated, &code)
    };
    context.output.answer(&text).map_err(|error| {
        Failure::failed(
            format!(
                "standard output can't be written ({error}): this code is lost, and the one from before is void"
            ),
            "`mfa-admin emergency generate` makes a new one",
        )
    })?;
    Ok(Reply::done(Value::Null, ""))
}

/// Puts a code into the file, in the place of the one that was agreed on.
fn keep(
    path: &Path,
    agreed_on: Option<&(String, String)>,
    arguments: &EmergencyArgs,
    code: &str,
) -> Result<Lists, Failure> {
    let (folder, name) = secure_file::folder_of(path, Owner::ROOT).map_err(file_failure)?;
    let lists = Lists::default().with(arguments);
    let new = lists.text() + code;
    if folder
        .create_file(&name, 0o600, new.as_bytes())
        .map_err(file_failure)?
    {
        return Ok(lists);
    }
    let held = folder.hold(&name, PATIENCE).map_err(not_held)?;
    let present = emergency::parse(path, held.bytes()).map_err(unusable)?;
    if good(Some(&present)).as_ref() != agreed_on {
        return Err(Failure::refused(
            "somebody else has just made an emergency code; nothing was changed",
            "begin again if theirs is to be void",
        ));
    }
    let before = Lists::of(&present);
    let lists = before.clone().with(arguments);
    let mut text = None;
    if lists == before {
        text = with_code(held.bytes(), &lists, code);
    }
    let text = text.unwrap_or_else(|| lists.text() + code);
    folder
        .replace(&name, TEMPORARY, 0o600, text.as_bytes())
        .map_err(file_failure)?;
    Ok(lists)
}

/// The file with another code and all else as it is; `None` where it is written in a way that this can't follow.
fn with_code(bytes: &[u8], lists: &Lists, code: &str) -> Option<String> {
    let is_of_the_code = |line: &&str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        KEYS.contains(&key)
    };
    let mut text = String::new();
    for line in std::str::from_utf8(bytes).ok()?.lines() {
        if !is_of_the_code(&line) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str(code);
    let again = EmergencyFile::parse(text.as_bytes()).ok()?;
    let is_right = Lists::of(&again) == *lists && good(Some(&again)).is_some();
    is_right.then_some(text)
}

fn not_held(error: BlockError) -> Failure {
    match error {
        BlockError::File(error) => file_failure(error),
        BlockError::Busy { .. } => Failure::failed(
            "a login or another command is at the file",
            "try again; nothing was changed",
        ),
        other => StoreError::from(other).into(),
    }
}

fn no_code(error: RecoveryError) -> Failure {
    match error {
        RecoveryError::NoRandomness => Failure::no_randomness(),
        RecoveryError::NoMemory => Failure::failed(
            error.to_string(),
            "see the limits of this shell (ulimit -v)",
        ),
    }
}

/// Says what of the lists this host does not have.
fn mind_strangers(context: &Context<'_>, lists: &Lists) {
    for user in &lists.users {
        if find_account(user).is_ok_and(|account| account.is_none()) {
            let user = shown(user);
            context.output.warn(&format!(
                "{user} is no account of this host (getent passwd)"
            ));
        }
    }
    for service in &lists.services {
        if let Some(why) = never_asked(service) {
            let service = shown(service);
            context.output.warn(&format!(
                "{service} never asks for the emergency code: {why}"
            ));
        }
    }
    if !lists.ttys.iter().any(|tty| exists(tty)) {
        let all = shown(&lists.ttys.join(", "));
        context
            .output
            .warn(&format!("this host has none of the terminals: {all}"));
    }
}

/// Why a service is of no use in the file, whatever else stands there.
pub(crate) fn never_asked(service: &str) -> Option<&'static str> {
    match service {
        "su" | "su-l" | "sudo" | "sudo-i" => Some(
            "people run it, and not root; name what asks for names at a terminal, as login does",
        ),
        "sshd" => {
            Some("it lets in from other hosts; name what asks at the machine itself, as login does")
        }
        _ => None,
    }
}

/// Whether this host has a terminal of that name now.
pub(crate) fn exists(tty: &str) -> bool {
    let name = tty.strip_prefix("/dev/").unwrap_or(tty);
    !name.is_empty() && Path::new("/dev").join(name).exists()
}

/// What is to be printed and kept.
fn page(lists: &Lists, generated: &str, code: &RecoveryCode) -> Zeroizing<String> {
    // Room for all at once: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8192));
    let head = format!(
        "Emergency code of {}, made {}",
        shown(&host::name()),
        moment(generated)
    );
    let _ = writeln!(
        text,
        "{}\n\n    {}",
        wrap("", "", &head),
        code.shown().as_str()
    );
    let who = shown(&lists.users.join(", "));
    let through = shown(&lists.services.join(", "));
    let at = shown(&lists.ttys.join(", "));
    for paragraph in [
        format!(
            "It lets in {who} through {through}, at the machine itself ({at}), when pam_mfa can check nobody there: \
             mfa.toml is wrong, the sealing key or the machine id is gone, the disk is full, damaged or read-only. \
             After the password `Emergency code:` is asked. Capitals or not, blanks and hyphens make no difference."
        ),
        "It is good once. Mend what is broken, then make a new one: `mfa-admin emergency generate`. Each use is an alert \
         in the log (MFA-2009)."
            .to_owned(),
        "It is shown this once. Print it, put it into an envelope that shows whether it was opened, and keep that near \
         the machine and not in it. It voids the code that was made before."
            .to_owned(),
    ] {
        let _ = write!(text, "\n{}\n", wrap("", "", &paragraph));
    }
    text
}

fn status(path: &Path) -> Result<Reply, Failure> {
    let none = || {
        Failure::not_found(
            format!("there is no emergency code ({})", path.display()),
            "`mfa-admin emergency generate` makes one",
        )
    };
    let file = read(path)?.ok_or_else(none)?;
    let generated = file.generated.ok_or_else(none)?.to_string();
    let used = file.used.map(|used| used.to_string());
    let standing = if used.is_some() { "used" } else { "good" };
    let lists = Lists::of(&file);
    let mut text = format!("An emergency code was made {}", moment(&generated));
    match &used {
        None => text.push_str(" and is good."),
        Some(used) => {
            let _ = write!(
                text,
                " and used {}. WARNING: it is good no more; make a new one: `mfa-admin emergency generate`.",
                moment(used)
            );
        }
    }
    let _ = write!(
        text,
        " For {}, through {}, at {}.",
        shown(&lists.users.join(", ")),
        shown(&lists.services.join(", ")),
        shown(&lists.ttys.join(", "))
    );
    let document = json!({
        "file": path.display().to_string(),
        "standing": standing,
        "generated": generated,
        "used": used.map_or(Value::Null, Value::from),
        "users": lists.users,
        "services": lists.services,
        "ttys": lists.ttys,
    });
    Ok(Reply::answer(document, wrap("", "", &text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "generated = 2026-11-20T09:00:00Z\nsalt = \"00112233445566778899aabbccddeeff\"\n\
        hash = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"\n";

    #[test]
    fn the_file_that_is_offered_says_for_whom_and_where_and_has_no_code() {
        let file = EmergencyFile::parse(offered().as_bytes()).unwrap();
        assert_eq!(Lists::of(&file), Lists::default());
        assert!(file.code().is_none());
        assert!(offered().lines().all(|line| line.chars().count() <= 120));
    }

    #[test]
    fn a_new_code_leaves_what_people_wrote() {
        let text = "version = 1 # ours\nusers = [\n  \"root\", # us\n]\nservices = [\"login\"]\nttys = [\"tty1\"]\n\
                    used = 2026-11-19T09:00:00Z\n # hash = not a key\n";
        let old = format!("{text}{}", CODE.replace("11\"", "22\""));
        let lists = Lists::of(&EmergencyFile::parse(old.as_bytes()).unwrap());
        let new = with_code(old.as_bytes(), &lists, CODE).unwrap();
        assert_eq!(
            new,
            format!(
                "{}{CODE}",
                text.replace("used = 2026-11-19T09:00:00Z\n", "")
            )
        );
    }

    #[test]
    fn a_file_that_is_written_in_another_way_is_not_guessed_at() {
        // A name over several lines, one of which looks like a key.
        let odd = "version = 1\nusers = [\"\"\"\nused = x\"\"\"]\nservices = [\"login\"]\nttys = [\"tty1\"]\n";
        let lists = Lists::of(&EmergencyFile::parse(odd.as_bytes()).unwrap());
        assert_eq!(with_code(odd.as_bytes(), &lists, CODE), None);
        let quoted = format!("{}\"used\" = 2026-11-19T09:00:00Z\n{CODE}", offered());
        assert_eq!(with_code(quoted.as_bytes(), &Lists::default(), CODE), None);
        let new = Lists::default().text() + CODE;
        assert!(good(Some(&EmergencyFile::parse(new.as_bytes()).unwrap())).is_some());
    }

    #[test]
    fn the_page_has_the_code_and_fits_a_terminal() {
        let (code, ..) = single().unwrap();
        let text = page(&Lists::default(), "2026-11-20T09:00:00Z", &code);
        assert!(text.contains(code.shown().as_str()));
        assert!(
            text.lines().all(|line| line.chars().count() <= 80) && text.len() < 8192,
            "{}",
            *text
        );
    }
}
