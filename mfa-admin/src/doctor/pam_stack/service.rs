//! Reads a service's stacks as libpam does: facilities, includes and substacks.
//!
//! pam.conf(5); `libpam/pam_handlers.c` (`_pam_parse_conf_file`, `_pam_load_conf_file`,
//! `_pam_init_handlers`) of Linux-PAM 1.5.2, and Debian's patch `031_pam_include` for `@include`.
//! Debian takes includes from `/etc/pam.d` alone, upstream from every service folder.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::control::Control;
use super::lines::{Assembled, Lines, Token, Tokens};
use crate::output::shown;

/// How deep substacks may stand in one another (`PAM_SUBSTACK_MAX_LEVEL`).
pub(super) const LEVELS: usize = 16;
/// More than any service file has; what is longer is not read.
const FILE_BYTES: u64 = 1 << 20;
/// A service of more lines than this is not followed further.
const MAX_ENTRIES: usize = 10_000;
/// The service whose stacks stand in for missing ones.
const OTHER: &str = "other";

/// The four stacks of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facility {
    Auth,
    Account,
    Session,
    Password,
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = shown(&self.file.display().to_string());
        write!(f, "{file}:{}", self.line)
    }
}

/// What a line of a stack is to libpam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    /// `-auth …`: libpam logs nothing where the module is missing; the code is the same.
    SilentModule,
    /// A line that libpam can't use and answers with `PAM_PERM_DENIED`.
    MustFail,
    /// Marks where a substack begins; never called.
    Substack,
}

/// One line of a stack.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// In how many substacks it stands.
    pub(super) level: usize,
    pub(super) control: Control,
    /// The module as written; empty for a line that libpam can't use.
    pub(super) module: String,
    pub(super) arguments: Vec<String>,
    pub(super) place: Place,
}

impl Entry {
    /// The module's file name: `pam_unix.so`.
    pub(super) fn module_name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or(&self.module)
    }

    /// Whether this is a line of ours that asks for a passphrase before the code.
    pub(super) fn asks_for_a_passphrase(&self) -> bool {
        self.is_mfa() && self.arguments.iter().any(|given| given == "passphrase")
    }

    /// Whether this line calls our module.
    pub(super) fn is_mfa(&self) -> bool {
        matches!(self.kind, Kind::Module | Kind::SilentModule) && is_mfa(&self.module)
    }
}

fn is_mfa(module: &str) -> bool {
    module.rsplit('/').next() == Some("pam_mfa.so")
}

/// Something in a file that libpam will not do as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) place: Place,
    pub(super) what: String,
    /// libpam then refuses everything that this service is asked.
    pub(super) fatal: bool,
}

/// The stacks of one service, as libpam would hold them.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) auth: Vec<Entry>,
    pub(super) account: Vec<Entry>,
    pub(super) session: Vec<Entry>,
    password: Vec<Entry>,
    pub(super) troubles: Vec<Trouble>,
    /// A line names our module, even where libpam never gets to it.
    pub(super) mentions_mfa: bool,
    /// The files that it includes, by their names in the service folder.
    pub(super) includes: Vec<String>,
}

impl Service {
    /// Whether libpam gives up on the whole service.
    pub(super) fn unusable(&self) -> bool {
        self.troubles.iter().any(|trouble| trouble.fatal)
    }

    fn stack_mut(&mut self, facility: Facility) -> &mut Vec<Entry> {
        match facility {
            Facility::Auth => &mut self.auth,
            Facility::Account => &mut self.account,
            Facility::Session => &mut self.session,
            Facility::Password => &mut self.password,
        }
    }

    fn trouble(&mut self, place: &Place, what: impl Into<String>) {
        self.troubles.push(Trouble {
            place: place.clone(),
            what: what.into(),
            fatal: false,
        });
    }
}

/// The folders that service files are looked for in, the first one first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folders<'a>(pub(super) &'a [&'a Path]);

impl Folders<'_> {
    /// The file for a name in an `include` or of a service: absolute, or in the first folder that
    /// has it. The number says in which.
    fn find(self, name: &str) -> Option<(usize, PathBuf)> {
        if name.starts_with('/') {
            return Some((0, PathBuf::from(name)));
        }
        self.0
            .iter()
            .map(|folder| folder.join(name))
            .enumerate()
            .find(|(_, path)| path.exists())
    }

    /// The stacks of `name`. A stack that the service lacks is `other`'s, and an `other` that
    /// libpam can't read breaks every service.
    pub(super) fn load(self, name: &str) -> Service {
        let mut service = self.load_alone(name);
        if name == OTHER || self.find(OTHER).is_none() {
            return service;
        }
        let other = self.load_alone(OTHER);
        let broken = other.troubles.into_iter().filter(|trouble| trouble.fatal);
        service.troubles.extend(broken);
        for (mine, others) in [
            (&mut service.auth, other.auth),
            (&mut service.account, other.account),
            (&mut service.session, other.session),
        ] {
            if mine.is_empty() {
                *mine = others;
            }
        }
        service
    }

    fn load_alone(self, name: &str) -> Service {
        let mut reader = Reader {
            folders: self,
            service: Service {
                name: name.to_owned(),
                ..Service::default()
            },
            open: Vec::new(),
        };
        if let Some((_, path)) = self.find(name) {
            let top = Place {
                file: path.clone(),
                line: 1,
            };
            if let Err(trouble) = reader.file(&path, &top, None, 0) {
                reader.service.troubles.push(Trouble {
                    fatal: true,
                    ..trouble
                });
            }
        }
        reader.service
    }
}

struct Reader<'a> {
    folders: Folders<'a>,
    service: Service,
    /// The files being read, outermost first.
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    /// Reads one file into the stacks. An error is libpam's `PAM_ABORT` for this file; what stood
    /// before it in the file stays.
    fn file(
        &mut self,
        path: &Path,
        from: &Place,
        requested: Option<Facility>,
        level: usize,
    ) -> Result<(), Trouble> {
        let failed = |what: String| Trouble {
            place: from.clone(),
            what,
            fatal: false,
        };
        let name = shown(&path.display().to_string());
        if level >= LEVELS {
            return Err(failed(format!(
                "substacks stand more than {LEVELS} deep in one another"
            )));
        }
        if self.open.iter().any(|open| open == path) {
            return Err(Trouble {
                fatal: true,
                ..failed(format!("{name} includes itself"))
            });
        }
        let bytes = read(path).map_err(|why| failed(format!("{name} can't be read: {why}")))?;
        self.open.push(path.to_path_buf());
        let mut lines = Lines::new(&bytes);
        let mut outcome = Ok(());
        loop {
            let (number, text) = match lines.next_line() {
                Assembled::End => break,
                Assembled::Line { number, text } => (number, text),
                Assembled::Broken { number } => {
                    let place = Place {
                        file: path.to_path_buf(),
                        line: number,
                    };
                    outcome = outcome.and(Err(Trouble {
                        place,
                        what: "the line goes on (\\) past the end of the file, or is longer than \
                               libpam reads"
                            .to_owned(),
                        fatal: false,
                    }));
                    break;
                }
            };
            let place = Place {
                file: path.to_path_buf(),
                line: number,
            };
            if outcome.is_ok() {
                outcome = self.line(&text, &place, requested, level);
            } else {
                // libpam has given up; whether our module was meant to be here still matters.
                let named = Tokens::new(&text).any(|token| is_mfa(&token.text));
                self.service.mentions_mfa |= named;
            }
        }
        self.open.pop();
        outcome
    }

    fn line(
        &mut self,
        text: &[u8],
        place: &Place,
        requested: Option<Facility>,
        level: usize,
    ) -> Result<(), Trouble> {
        let mut tokens = Tokens::new(text);
        let Some(first) = tokens.next() else {
            return Ok(());
        };
        let (word, silent) = match first.text.strip_prefix('-') {
            Some(word) => (word, true),
            None => (first.text.as_str(), false),
        };
        if word.eq_ignore_ascii_case("@include") {
            let outcome = self.include(tokens.next(), place, requested, level);
            return match (outcome, requested) {
                // Within another include libpam goes on with a line that denies.
                (Err(trouble), Some(facility)) => {
                    self.service.troubles.push(trouble);
                    self.push(facility, must_fail(place, level, "@include"));
                    Ok(())
                }
                (outcome, _) => outcome,
            };
        }
        let mut kind = if silent {
            Kind::SilentModule
        } else {
            Kind::Module
        };
        let facility = match word.to_ascii_lowercase().as_str() {
            "auth" => Facility::Auth,
            "account" => Facility::Account,
            "session" => Facility::Session,
            "password" => Facility::Password,
            _ => {
                let what = format!(
                    "`{}` is none of auth, account, session, password: libpam denies at this line",
                    shown(word)
                );
                self.service.trouble(place, what);
                kind = Kind::MustFail;
                requested.unwrap_or(Facility::Auth)
            }
        };
        if requested.is_some_and(|requested| requested != facility) {
            return Ok(());
        }
        let Some(control) = tokens.next() else {
            self.service
                .trouble(place, "nothing follows the first word: libpam denies here");
            self.push(facility, must_fail(place, level, ""));
            return Ok(());
        };
        let word = control.text.to_ascii_lowercase();
        if word == "include" || word == "substack" {
            let target = tokens.next();
            let deeper = level + usize::from(word == "substack");
            if deeper > level {
                let mut entry = must_fail(place, level, &word);
                entry.kind = Kind::Substack;
                self.push(facility, entry);
            }
            if let Err(trouble) = self.include(target, place, Some(facility), deeper) {
                // libpam goes on with a line that denies in the place of the include.
                self.service.troubles.push(trouble);
                self.push(facility, must_fail(place, level, &word));
            }
            return Ok(());
        }
        let control = Control::parse(&control.text);
        if !control.understood {
            let what = format!(
                "libpam does not understand the control `{}` and takes every answer as bad",
                shown(&control.text)
            );
            self.service.trouble(place, what);
        }
        let module = tokens.next();
        if module.is_none() {
            self.service
                .trouble(place, "no module is named: libpam denies here");
            kind = Kind::MustFail;
        }
        let entry = Entry {
            kind,
            level,
            control,
            module: module.map_or_else(String::new, |token| token.text),
            arguments: tokens.map(|token| token.text).collect(),
            place: place.clone(),
        };
        self.service.mentions_mfa |= entry.is_mfa();
        self.push(facility, entry);
        Ok(())
    }

    fn include(
        &mut self,
        target: Option<Token>,
        place: &Place,
        requested: Option<Facility>,
        level: usize,
    ) -> Result<(), Trouble> {
        let failed = |what: String| Trouble {
            place: place.clone(),
            what,
            fatal: false,
        };
        let Some(Token { text: name, .. }) = target else {
            // Debian's libpam reads through a null pointer here and ends its host.
            return Err(Trouble {
                fatal: true,
                ..failed("the include names no file".to_owned())
            });
        };
        let Some((folder, path)) = self.folders.find(&name) else {
            let name = shown(&name);
            return Err(failed(format!("includes `{name}`, which does not exist")));
        };
        if folder > 0 {
            let what = format!(
                "includes `{}`, which Debian's libpam looks for in the first service folder alone",
                shown(&name)
            );
            self.service.trouble(place, what);
        }
        if !self.service.includes.contains(&name) {
            self.service.includes.push(name);
        }
        self.file(&path, place, requested, level)
    }

    fn push(&mut self, facility: Facility, entry: Entry) {
        let stack = self.service.stack_mut(facility);
        if stack.len() < MAX_ENTRIES {
            stack.push(entry);
        }
    }
}

fn must_fail(place: &Place, level: usize, control: &str) -> Entry {
    Entry {
        kind: Kind::MustFail,
        level,
        control: Control::all_bad(control),
        module: String::new(),
        arguments: Vec::new(),
        place: place.clone(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    // Asked before opening: a FIFO would hang.
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err("larger than 1 MiB".to_owned());
    }
    Ok(bytes)
}
