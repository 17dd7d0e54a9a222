//! `seal status`: which key seals, where it is kept, and what does not open with it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use mfa_core::clock::rfc3339;
use mfa_core::host::{KeyPlace, Protection};
use mfa_core::seal::{SealingKey, sealed_with};
use mfa_core::secure_file::Owner;
use mfa_core::store::{FileStore, Store, Subject};
use serde_json::{Value, json};

use super::half_bound;
use crate::context::{Context, House};
use crate::error::Failure;
use crate::output::{Reply, shown, wrap};
use crate::record_view::moment;

/// As many are named in the text; a document has all.
const MOST_NAMED: usize = 20;

/// Runs the verb.
pub(super) fn run(context: &Context<'_>) -> Result<Reply, Failure> {
    let house = context.open()?;
    let place = KeyPlace::of(&house.config);
    let key = house.key()?;
    let protection = place.protection(Owner::ROOT)?;
    let since = since(&place);
    let found = Found::of(&house.store, &key)?;
    let next = next(context, &house, &key, &found);
    let by_key: serde_json::Map<String, Value> = found
        .by_key
        .iter()
        .map(|(id, count)| (id.clone(), json!(count)))
        .collect();
    let unopened: Vec<Value> = found
        .unopened
        .iter()
        .map(|it| json!({ "user": it.user, "label": it.label, "reason": it.reason }))
        .collect();
    let document = json!({
        "key": key.id(),
        "previous": key.id_before(),
        "rotating": key.id_before().is_some(),
        "kept_in": match place {
            KeyPlace::File(_) => "file",
            KeyPlace::Credential(_) => "credential",
        },
        "path": place.to_string(),
        "protected_by": protection.map(Protection::word),
        "since": since,
        "records": found.records,
        "secrets": found.secrets,
        "by_key": by_key,
        "unopened": unopened,
        "unreadable": found.unreadable,
        "next": next,
    });
    let text = text(&place, protection, since.as_deref(), &key, &found, &next);
    Ok(Reply::answer(document, text).exiting(u8::from(!found.is_well())))
}

/// When the file was written last; of a key that was put back from a backup, when that was.
fn since(place: &KeyPlace) -> Option<String> {
    let found = std::fs::metadata(place.path()).ok()?;
    Some(rfc3339(u64::try_from(found.mtime()).ok()?))
}

fn text(
    place: &KeyPlace,
    protection: Option<Protection>,
    since: Option<&str>,
    key: &SealingKey,
    found: &Found,
    next: &[String],
) -> String {
    let mut lines = Vec::new();
    let mut say = |head: &str, text: &str| {
        lines.push(wrap(&format!("{head:<14}"), "              ", text));
    };
    let since = since.map_or(String::new(), |at| format!(", written {}", moment(at)));
    say("Key", &format!("{}{since}", key.id()));
    if let Some(before) = key.id_before() {
        say("Key before", &format!("{before}: a rotation is half done"));
    }
    let by = match protection {
        None => "",
        Some(Protection::HostKey) => ", encrypted with this host's key",
        Some(Protection::Tpm2) => ", encrypted with this host's TPM2",
        Some(Protection::HostKeyAndTpm2) => ", encrypted with this host's key and TPM2",
        Some(Protection::Nothing) => ", which protects nothing",
        Some(Protection::Unknown) => ", encrypted in a way that this release does not know",
    };
    let path = shown(&place.to_string());
    say("Kept in", &format!("{path}, {}{by}", super::kind(place)));
    let counts: Vec<String> = found
        .by_key
        .iter()
        .map(|(id, count)| format!("{count} with {id}"))
        .collect();
    let counts = if counts.is_empty() {
        String::new()
    } else {
        format!(": {}", counts.join(", "))
    };
    say(
        "Sealed",
        &format!(
            "{} secrets in {} records{counts}",
            found.secrets, found.records
        ),
    );
    let unopened = found
        .unopened
        .iter()
        .map(|it| format!("{} ({}): {}", shown(&it.user), shown(&it.label), it.reason));
    for (head, all) in [
        ("Don't open", unopened.collect::<Vec<_>>()),
        ("Unreadable", found.unreadable.clone()),
    ] {
        for text in all.iter().take(MOST_NAMED) {
            say(head, text);
        }
        if all.len() > MOST_NAMED {
            let more = all.len() - MOST_NAMED;
            say(head, &format!("and {more} more; --json has all of them"));
        }
    }
    if found.is_well() {
        say("Don't open", "none");
    }
    for step in next {
        say("Next", step);
    }
    lines.join("\n")
}

fn next(context: &Context<'_>, house: &House, key: &SealingKey, found: &Found) -> Vec<String> {
    let mut next = Vec::new();
    if key.id_before().is_some() {
        next.push("`mfa-admin seal rotate` goes on with the rotation.".to_owned());
    }
    next.extend(half_bound(&context.config_path, &house.config));
    if found.unopened.iter().any(|it| it.is_of_another_key) {
        let head = "What is sealed with another key opens with that one: ";
        next.push(match house.config.seal.credential.path() {
            None => format!(
                "{head}add its line of your backup's seal.key below the first line of this one, and run `mfa-admin seal \
                 rotate`."
            ),
            Some(credential) => {
                let credential = shown(&credential.display().to_string());
                let plain = shown(&house.config.paths.seal_key.to_string());
                format!(
                    "{head}run `systemd-creds decrypt --name=mfa-seal-key {credential} {plain}` and `chmod 600 {plain}`, \
                     add its line of your backup's seal.key below the first line of {plain}, move {credential} away \
                     (nobody logs in until it is there again), and run `mfa-admin seal bind`, then `mfa-admin seal rotate`."
                )
            }
        });
    } else if !found.unopened.is_empty() {
        next.push(
            "What was altered, or is another user's, has to be enrolled again (`app remove`, `app enroll`)."
                .to_owned(),
        );
    }
    if !found.unreadable.is_empty() {
        next.push(
            "Mend those records, or put them back from a backup; `mfa-admin doctor` says more."
                .to_owned(),
        );
    }
    next
}

/// A secret that does not open.
struct Unopened {
    user: String,
    label: String,
    reason: String,
    is_of_another_key: bool,
}

/// What a walk through the store found.
#[derive(Default)]
pub(super) struct Found {
    records: usize,
    secrets: usize,
    by_key: BTreeMap<String, usize>,
    unopened: Vec<Unopened>,
    unreadable: Vec<String>,
}

impl Found {
    pub(super) fn of(store: &FileStore, key: &SealingKey) -> Result<Self, Failure> {
        let mut found = Self::default();
        for user in store.users()? {
            let mut record = match store.record(Subject::User(&user)) {
                // Removed since it was listed.
                Ok(None) => continue,
                Ok(Some(record)) => record,
                Err(error) => {
                    found.unreadable.push(shown(&error.to_string()));
                    continue;
                }
            };
            found.records += 1;
            for sealed in record.sealed_texts() {
                found.secrets += 1;
                let id = sealed_with(sealed.text).map_or("none".to_owned(), shown);
                let opened = key.open(user.as_str(), &sealed.purpose, sealed.text);
                let is_known = Some(id.as_str()) == key.id_before() || id == key.id();
                *found.by_key.entry(id).or_default() += 1;
                if let Err(error) = opened {
                    found.unopened.push(Unopened {
                        user: user.as_str().to_owned(),
                        label: sealed.label.to_owned(),
                        reason: shown(&error.to_string()),
                        is_of_another_key: !is_known && sealed_with(sealed.text).is_some(),
                    });
                }
            }
        }
        Ok(found)
    }

    /// Whether everything opens.
    pub(super) fn is_well(&self) -> bool {
        self.unopened.is_empty() && self.unreadable.is_empty()
    }

    /// How many don't.
    pub(super) fn unopened(&self) -> usize {
        self.unopened.len()
    }

    /// How many records can't be read.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable.len()
    }
}
