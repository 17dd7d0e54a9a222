//! `seal bind`: from a plain file to a credential that only this host opens.
//!
//! mfa.toml is people's to write, so it takes two runs: the first makes the credential, and has it opened again, while the plain
//! file counts; the second, once mfa.toml names the credential, removes the plain file. At no time is the key in
//! neither, and `seal rotate` waits until it is in one place alone.

use std::path::Path;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::host::{KeyPlace, Protection};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::{Owner, Privacy, Problem, folder_of};
use serde_json::json;

use super::status::Found;
use super::{credential_path, exists};
use crate::ask;
use crate::context::{Context, House, file_failure};
use crate::error::{Failure, Kind};
use crate::output::{Reply, shown, wrap};

/// Runs the verb.
pub(super) fn run(context: &Context<'_>, is_agreed: bool) -> Result<Reply, Failure> {
    let house = context.open()?;
    let _lock = super::lock(&house)?;
    let (plain, credential) = (&house.config.paths.seal_key, credential_path(&house.config));
    if is_same_file(plain.as_path(), &credential) {
        // One would be written over the other, and then removed.
        return Err(Failure::new(
            Kind::ConfigUnusable,
            format!("{plain} would be both the plain file and the credential"),
            "name another file in `[seal] credential` of mfa.toml, or in `[paths] seal_key`",
        ));
    }
    let binding = Binding {
        context,
        house: &house,
        plain: KeyPlace::plain(&house.config),
        credential: KeyPlace::Credential(credential_path(&house.config)),
        is_named: house.config.seal.credential.path().is_some(),
    };
    if binding.is_named {
        binding.finish(is_agreed)
    } else {
        binding.begin()
    }
}

/// What is next where the key is in two places: the second half of `seal bind`.
pub(crate) fn half_bound(config_path: &Path, config: &Config) -> Option<String> {
    let credential = credential_path(config);
    let plain = KeyPlace::plain(config);
    let bind = "`mfa-admin seal bind`";
    if !exists(&credential) {
        return None;
    }
    if !exists(plain.path()) {
        let left = (plain.leftover()).filter(|_| config.seal.credential.path().is_some())?;
        return Some(format!(
            "A `seal rotate` that was killed left a key, plain, in {}: {bind} removes that.",
            shown(&left.display().to_string())
        ));
    }
    Some(if config.seal.credential.path().is_some() {
        format!(
            "The key is in {} and, plain, in {plain} still: {bind} removes that.",
            shown(&credential.display().to_string())
        )
    } else {
        let line = config_lines(&credential.display().to_string());
        let path = shown(&credential.display().to_string());
        format!(
            "Write {line} into {}, then run {bind} once more; or remove {path}, which nothing uses.",
            config_path.display()
        )
    })
}

/// Whether two paths lead to one file, whatever links are on the way.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|parent| parent.canonicalize().ok());
    one == other || (one.file_name() == other.file_name() && folder(one) == folder(other))
}

/// What is to stand in mfa.toml, in one line.
fn config_lines(path: &str) -> String {
    format!("`credential = {path:?}` below `[seal]`")
}

struct Binding<'a, 'c> {
    context: &'a Context<'c>,
    house: &'a House,
    plain: KeyPlace,
    credential: KeyPlace,
    is_named: bool,
}

impl Binding<'_, '_> {
    /// The first half: the plain file counts, and stays.
    fn begin(&self) -> Result<Reply, Failure> {
        if !exists(self.plain.path()) && exists(self.credential.path()) {
            let path = self.credential.to_string();
            return Err(Failure::new(
                Kind::StoreUnusable,
                format!(
                    "{} does not exist, and mfa.toml names no credential",
                    self.plain
                ),
                format!("{path} is there: write {}", config_lines(&path)),
            ));
        }
        let key = self.plain.read(Owner::ROOT)?;
        if exists(self.credential.path()) {
            // What it holds may be the only copy of a key, also where it does not open just now.
            let kept = self.credential.read(Owner::ROOT).map_err(|error| {
                let hint = "nothing was changed, since it may hold another key; where it is of no use, move it away";
                Failure::new(Kind::StoreUnusable, error.to_string(), hint)
            })?;
            if !kept.is_same_as(&key) {
                return Err(self.two_keys(&kept, &key));
            }
            return self.reply(false, true);
        }
        self.check_store(&key, || "no credential was made".to_owned())?;
        self.make(&key)?;
        self.reply(true, true)
    }

    fn two_keys(&self, kept: &SealingKey, key: &SealingKey) -> Failure {
        Failure::refused(
            format!(
                "{} holds key {}, and {} another one or more, key {}; nothing was changed",
                self.credential,
                kept.id(),
                self.plain,
                key.id()
            ),
            "`mfa-admin seal status` tells whether everything opens with the one that mfa.toml names; then move the plain \
             file away, else the credential",
        )
    }

    /// A key with which not everything opens may be the wrong one, and the right one somewhere else.
    fn check_store(&self, key: &SealingKey, what: impl FnOnce() -> String) -> Result<(), Failure> {
        let found = Found::of(&self.house.store, key)?;
        if found.is_well() {
            return Ok(());
        }
        Err(Failure::new(
            Kind::StoreUnusable,
            what(),
            format!(
                "with the key in {} {} secrets don't open, and {} records can't be read: put the right key there, or mend \
                 them, as `mfa-admin seal status` says",
                self.plain,
                found.unopened(),
                found.unreadable()
            ),
        ))
    }

    /// Keeps a copy of a credential that did not open beside the one that is made now. Never a second name of it: whoever
    /// is stopped before that one is made leaves a file that logins read, and they read none with two names.
    fn set_aside(&self) -> Result<(), Failure> {
        let path = self.credential.path();
        let aside = path.with_extension("unopened");
        let shown_aside = shown(&aside.display().to_string());
        let kept = folder_of(path, Owner::ROOT).and_then(|(folder, name)| {
            let bytes = match folder.read(&name, Privacy::Private) {
                Ok(bytes) => bytes,
                Err(error) if error.problem == Problem::Missing => return Ok(None),
                Err(error) => return Err(error),
            };
            let (folder, name) = folder_of(&aside, Owner::ROOT)?;
            // What is there already may be of a run before this one, which was stopped.
            let is_kept = folder.create_file(&name, 0o600, &bytes)?
                || folder.read(&name, Privacy::Private)? == bytes;
            Ok(Some(is_kept))
        });
        let why = match kept {
            Ok(None) => return Ok(()),
            Ok(Some(true)) => {
                self.context.output.warn(&format!(
                    "the credential that did not open is kept as {shown_aside}: remove it where it is of no use"
                ));
                return Ok(());
            }
            Ok(Some(false)) => "another one is there".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(Failure::new(
            Kind::StoreUnusable,
            format!(
                "{} does not open, and can't be kept as {shown_aside}: {why}",
                self.credential
            ),
            "nothing was changed; move one of them away",
        ))
    }

    /// The second half: the credential counts.
    fn finish(&self, is_agreed: bool) -> Result<Reply, Failure> {
        if !exists(self.plain.path()) {
            self.credential.read(Owner::ROOT)?;
            let is_changed = self.plain.leftover().is_some();
            self.plain.remove_leftover(Owner::ROOT)?;
            return self.reply(is_changed, false);
        }
        let key = self.plain.read(Owner::ROOT)?;
        match self.credential.read(Owner::ROOT) {
            Ok(kept) if kept.is_same_as(&key) => {
                self.check_store(&key, || format!("{} was not removed", self.plain))?;
            }
            Ok(kept) => return Err(self.two_keys(&kept, &key)),
            // Missing, or of another host: made of a copy of the key, where that is the right one.
            Err(error) => {
                self.check_store(&key, || error.to_string())?;
                self.set_aside()?;
                self.make(&key)?;
            }
        }
        ask::confirm(
            &format!(
                "Remove {}? The credential opens on this machine alone, and not after its disk or TPM2 is lost: keep a \
                 copy of the file elsewhere, on paper say.",
                self.plain
            ),
            is_agreed,
        )?;
        let (folder, name) = folder_of(self.plain.path(), Owner::ROOT).map_err(file_failure)?;
        folder.remove_if_present(&name).map_err(file_failure)?;
        folder.sync().map_err(file_failure)?;
        self.plain.remove_leftover(Owner::ROOT)?;
        self.log("plain file removed", &key);
        self.reply(true, false)
    }

    fn make(&self, key: &SealingKey) -> Result<(), Failure> {
        let prepared = self.credential.prepare(key);
        let put = prepared.and_then(|prepared| prepared.put(Owner::ROOT));
        put.map_err(|error| Failure {
            hint: format!("nothing was changed; the key is in {}", self.plain),
            ..error.into()
        })?;
        self.log("credential made", key);
        Ok(())
    }

    fn log(&self, reason: &str, key: &SealingKey) {
        let detail = format!("key {}, {}", key.id(), self.credential);
        let entry = Entry {
            reason: Some(reason),
            detail: Some(&detail),
            ..Entry::default()
        };
        self.context.log_change(Event::SealBound, None, &entry);
    }

    fn reply(&self, is_changed: bool, is_plain_there: bool) -> Result<Reply, Failure> {
        let protection = self.credential.protection(Owner::ROOT)?;
        let next = half_bound(&self.context.config_path, &self.house.config);
        let document = json!({
            "changed": is_changed,
            "bound": !is_plain_there,
            "credential": self.credential.to_string(),
            "protected_by": protection.map(Protection::word),
            "plain_file": self.plain.to_string(),
            "plain_file_exists": is_plain_there,
            "next": next,
        });
        if !is_plain_there {
            let text = format!(
                "The key is in {} alone{}. On another machine, or when this one's keys are lost, it does not open: your \
                 copy of the plain file does.",
                self.credential,
                if is_changed { "" } else { " already" }
            );
            return Ok(Reply::done(document, wrap("", "", &text)));
        }
        let mut text = wrap(
            "",
            "",
            &format!(
                "{} {} holds the key, and was opened again. It opens on this machine alone, and not after its disk or TPM2 \
                 is lost: keep a copy of {} elsewhere, on paper say, before you go on. Logins use that file until \
                 mfa.toml names the credential:",
                if is_changed { "Made." } else { "Made already." },
                self.credential,
                self.plain,
            ),
        );
        let line = format!(
            "\n\n    [seal]\n    credential = {:?}\n\n",
            self.credential.to_string()
        );
        text.push_str(&line);
        text.push_str(&wrap(
            "",
            "",
            "Then `mfa-admin seal bind` once more: it removes the plain file.",
        ));
        Ok(Reply::done(document, text))
    }
}
