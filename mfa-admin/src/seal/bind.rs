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
use mfa_core::secure_file::{Owner, folder_of};
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
    if !exists(&credential) || !exists(plain.path()) {
        return None;
    }
    let bind = "`mfa-admin seal bind`";
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
        let is_there = exists(self.credential.path())
            && self
                .credential
                .read(Owner::ROOT)
                .is_ok_and(|kept| kept.is_same_as(&key));
        if !is_there {
            self.make(&key)?;
        }
        self.reply(!is_there, true)
    }

    /// The second half: the credential counts.
    fn finish(&self, is_agreed: bool) -> Result<Reply, Failure> {
        if !exists(self.plain.path()) {
            self.credential.read(Owner::ROOT)?;
            return self.reply(false, false);
        }
        let key = self.plain.read(Owner::ROOT)?;
        match self.credential.read(Owner::ROOT) {
            Ok(kept) if kept.is_same_as(&key) => {}
            Ok(kept) => {
                return Err(Failure::refused(
                    format!(
                        "{} holds key {}, and {} another one or more, key {}; nothing was changed",
                        self.credential,
                        kept.id(),
                        self.plain,
                        key.id()
                    ),
                    "`mfa-admin seal status` tells whether everything opens with the first; then move the plain file \
                     away, else the credential",
                ));
            }
            // Missing, or of another host: made of a copy of the key, where that is the right one.
            Err(error) => {
                let found = Found::of(&self.house.store, &key)?;
                if found.unopened() > 0 {
                    return Err(Failure::new(
                        Kind::StoreUnusable,
                        error.to_string(),
                        format!(
                            "with the key in {} {} secrets don't open, so no credential is made of that; put the right \
                             one there",
                            self.plain,
                            found.unopened()
                        ),
                    ));
                }
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
