//! `seal rotate`: a new key, and every secret sealed with it.
//!
//! Both keys are kept from before the first record is sealed anew until after the last one is, so that it can be killed at
//! any moment, and logins go on. Who seals a secret reads the key under the lock under which both keys are put in
//! place (the one of `users/`): no record is sealed with the key before once that was done. The list of records is made under it, too, so
//! that none is missed for being replaced meanwhile.

use mfa_core::audit::{Entry, Event};
use mfa_core::host::{HostError, KeyPlace};
use mfa_core::record::UserRecord;
use mfa_core::request::UserName;
use mfa_core::seal::{SealError, SealingKey, sealed_with};
use mfa_core::secure_file::{FileError, Owner, Problem};
use mfa_core::store::{FileStore, Store, StoreError, Subject};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::json;

use super::half_bound;
use super::progress::Progress;
use crate::context::{Context, House, file_failure};
use crate::error::{Failure, Kind};
use crate::output::{Reply, shown, wrap};

/// As many are named; the others are counted.
const MOST_NAMED: usize = 20;

/// Runs the verb.
pub(super) fn run(context: &Context<'_>) -> Result<Reply, Failure> {
    let house = context.open()?;
    let _lock = super::lock(&house)?;
    if house.config.seal.credential.path().is_some() {
        KeyPlace::plain(&house.config).remove_leftover(Owner::ROOT)?;
    }
    if let Some(next) = half_bound(&context.config_path, &house.config) {
        return Err(Failure::refused("`seal bind` is half done", next));
    }
    let interrupts = Interrupts::begin()?;
    let place = KeyPlace::of(&house.config);
    let key = house.key()?;
    let is_resumed = key.id_before().is_some();
    if !is_resumed && !is_of_this_store(&house.store, &key)? {
        return Err(Failure::refused(
            format!(
                "no secret in the store is sealed with key {}; nothing was changed",
                key.id()
            ),
            "put the right sealing key back from your backup: `mfa-admin seal status` names it",
        ));
    }
    let both = if is_resumed {
        key
    } else {
        let both = key.successor()?;
        put(&house, &place, &both)?;
        both
    };
    let before = both.id_before().unwrap_or_default().to_owned();
    let detail = format!("from key {before} to key {}", both.id());
    let entry = Entry {
        reason: is_resumed.then_some("resumed"),
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::SealRotationBegun, None, &entry);
    let walk = Walk {
        context,
        store: &house.store,
        both: &both,
        before: &before,
    };
    let done = walk.all(&interrupts)?;
    if !done.stuck.is_empty() {
        return Err(stuck(&done, &before));
    }
    put(&house, &place, &both.alone())?;
    let detail = format!("key {}, {} secrets", both.id(), done.resealed);
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::SealRotated, None, &entry);
    warn_of_foreign(context, &done);
    let document = json!({
        "changed": true,
        "key": both.id(),
        "previous": before,
        "resumed": is_resumed,
        "records": done.records,
        "resealed": done.resealed,
        "unopened": done.foreign,
    });
    let text = format!(
        "Key {} seals {} secrets of {} records; key {before} is gone. {} What was copied of the store until now opens \
         with the key of your last backup alone.",
        both.id(),
        match done.foreign.len() {
            0 => format!("all {}", done.secrets),
            others => format!(
                "{} of {}",
                done.secrets.saturating_sub(others),
                done.secrets
            ),
        },
        done.records,
        match &place {
            KeyPlace::File(path) =>
                format!("Back up {} again, apart from the store.", path.display()),
            KeyPlace::Credential(path) => format!(
                "Keep a copy of it elsewhere again: `systemd-creds decrypt --name=mfa-seal-key {} -` prints what a plain \
                 seal.key holds.",
                path.display()
            ),
        },
    );
    let reply = Reply::done(document, wrap("", "", &text));
    Ok(reply.exiting(u8::from(!done.foreign.is_empty())))
}

/// Names what is sealed with neither key, which stays as it is.
fn warn_of_foreign(context: &Context<'_>, done: &Done) {
    let count = done.foreign.len();
    for text in done.foreign.iter().take(MOST_NAMED) {
        context.output.warn(text);
    }
    if count > MOST_NAMED {
        context.output.warn(&format!(
            "and {} more that neither key opens",
            count - MOST_NAMED
        ));
    }
    if count > 0 {
        context.output.warn(
            "what neither key opens was left as it is: `mfa-admin seal status` says with which key it opens",
        );
    }
}

/// Whether anything is sealed with a key, or nothing at all. The wrong one is told by the first record, as a rule; changed, it
/// would leave its name, and the key of what is not sealed, in the place of the right one's.
fn is_of_this_store(store: &FileStore, key: &SealingKey) -> Result<bool, Failure> {
    let mut is_empty = true;
    for user in store.users()? {
        // What can't be read is named later.
        let Ok(Some(mut record)) = store.record(Subject::User(&user)) else {
            continue;
        };
        for sealed in record.sealed_texts() {
            if sealed_with(sealed.text) == Some(key.id()) {
                return Ok(true);
            }
            is_empty = false;
        }
    }
    Ok(is_empty)
}

/// Puts keys in place while nobody else changes records.
fn put(house: &House, place: &KeyPlace, key: &SealingKey) -> Result<(), Failure> {
    let prepared = place.prepare(key)?;
    let _users = house.store.users_folder().lock().map_err(file_failure)?;
    prepared.put(Owner::ROOT).map_err(|error| match error {
        HostError::KeyFile(FileError {
            problem: Problem::System(_) | Problem::NotSynced(_),
            ..
        }) => Failure::new(
            Kind::StoreUnusable,
            error.to_string(),
            "no secret is lost; see mount and space of that place, then run `mfa-admin seal rotate` again",
        ),
        other => other.into(),
    })
}

fn stuck(done: &Done, before: &str) -> Failure {
    let mut names = done.stuck.clone();
    let more = names.len().saturating_sub(MOST_NAMED);
    names.truncate(MOST_NAMED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    Failure::failed(
        format!(
            "{} could not be sealed anew, so key {before} is kept as well: {}",
            match done.stuck.len() {
                1 => "1 record".to_owned(),
                count => format!("{count} records"),
            },
            names.join("; ")
        ),
        "logins go on with both keys; mend these records, or remove what can't be mended (`app remove`, `user remove`), \
         and run `mfa-admin seal rotate` again",
    )
}

/// What a walk came to.
#[derive(Default)]
struct Done {
    records: usize,
    secrets: usize,
    resealed: usize,
    /// Records that may hold something sealed with the key before.
    stuck: Vec<String>,
    /// Secrets that neither key opens.
    foreign: Vec<String>,
}

struct Walk<'a, 'c> {
    context: &'a Context<'c>,
    store: &'a FileStore,
    both: &'a SealingKey,
    before: &'a str,
}

impl Walk<'_, '_> {
    /// Seals everything anew, until there is nothing left to do.
    fn all(&self, interrupts: &Interrupts) -> Result<Done, Failure> {
        let mut resealed = 0;
        let mut what = "Sealing anew";
        loop {
            let mut done = self.once(what, interrupts)?;
            resealed += done.resealed;
            if done.resealed == 0 {
                done.resealed = resealed;
                return Ok(done);
            }
            what = "Looking over";
        }
    }

    fn once(&self, what: &'static str, interrupts: &Interrupts) -> Result<Done, Failure> {
        let users = {
            let _users = self.store.users_folder().lock().map_err(file_failure)?;
            self.store.users()?
        };
        let is_wanted = self.context.output.shows_progress();
        let mut progress = Progress::of(what, users.len(), is_wanted);
        let mut done = Done::default();
        for (count, user) in users.iter().enumerate() {
            progress.at(count);
            if interrupts.came() {
                drop(progress);
                return Err(Failure::failed(
                    format!(
                        "interrupted after {count} of {} records; both keys are kept, and logins go on with them",
                        users.len()
                    ),
                    "`mfa-admin seal rotate` goes on",
                ));
            }
            self.record(user, &mut done)?;
        }
        progress.at(users.len());
        Ok(done)
    }

    fn record(&self, user: &UserName, done: &mut Done) -> Result<(), Failure> {
        let mut found = match self.store.record(Subject::User(user)) {
            // Removed since it was listed.
            Ok(None) => return Ok(()),
            Ok(Some(record)) => record,
            Err(error) => {
                done.stuck.push(shown(&error.to_string()));
                return Ok(());
            }
        };
        done.records += 1;
        let name = shown(user.as_str());
        let mut is_due = false;
        for sealed in found.sealed_texts() {
            done.secrets += 1;
            match sealed_with(sealed.text) {
                Some(id) if id == self.both.id() => {}
                Some(id) if id == self.before => is_due = true,
                _ => done.foreign.push(format!(
                    "{name} ({}): neither key opens it",
                    shown(sealed.label)
                )),
            }
        }
        if !is_due {
            return Ok(());
        }
        let result = self.store.change_record(user, |present| {
            let Some(mut record) = present else {
                return Ok((None, 0));
            };
            let count = self.reseal(&mut record)?;
            Ok((Some(record), count))
        });
        match result {
            Ok(count) => done.resealed += count,
            Err(Trouble::Sealed(SealError::NoRandomness)) => return Err(Failure::no_randomness()),
            Err(Trouble::Sealed(error)) => done.stuck.push(format!("{name}: {error}")),
            Err(Trouble::Store(StoreError::File(error))) => {
                return Err(Failure::new(
                    Kind::StoreUnusable,
                    error.to_string(),
                    "both keys are kept, and logins go on with them; see mount and space of that place, then run \
                     `mfa-admin seal rotate` again",
                ));
            }
            Err(Trouble::Store(error)) => done.stuck.push(shown(&error.to_string())),
        }
        Ok(())
    }

    /// Seals what was sealed with the key before; how much that was.
    fn reseal(&self, record: &mut UserRecord) -> Result<usize, SealError> {
        let user = record.user.as_str().to_owned();
        let mut count = 0;
        for sealed in record.sealed_texts() {
            if sealed_with(sealed.text) == Some(self.before) {
                let secret = self.both.open(&user, &sealed.purpose, sealed.text)?;
                *sealed.text = self.both.seal(&user, &sealed.purpose, &secret)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

enum Trouble {
    Store(StoreError),
    Sealed(SealError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SealError> for Trouble {
    fn from(error: SealError) -> Self {
        Self::Sealed(error)
    }
}

/// Ctrl-C and SIGTERM, which end the walk between two records; they stay blocked until the command ends.
struct Interrupts(SignalFd);

impl Interrupts {
    fn begin() -> Result<Self, Failure> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        let begin = || {
            signals.thread_block()?;
            SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        };
        begin().map(Self).map_err(|errno| {
            Failure::failed(
                format!("signals can't be waited for: {}", errno.desc()),
                "nothing was changed; see the limits of this shell (ulimit -n)",
            )
        })
    }

    fn came(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}
