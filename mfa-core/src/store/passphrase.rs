//! The one thing of a record that its user changes: the passphrase. Everything else there is the administrator's, and
//! stays as it stands in the file, to the letter.

use std::time::Duration;

use super::{FileStore, StoreError, protected, record_name};
use crate::record::{KeptPassphrase, UserRecord};
use crate::request::UserName;
use crate::secure_file::Privacy;

/// Where the section of a record begins.
const HEADER: &str = "[passphrase]";

impl FileStore {
    /// See [`super::Store::change_passphrase`].
    pub(super) fn put_passphrase(
        &self,
        user: &UserName,
        patience: Duration,
        edit: &mut dyn FnMut(&UserRecord) -> Option<KeptPassphrase>,
    ) -> Result<bool, StoreError> {
        // Its caller could end this process half-way, or keep the lock that every administrator waits for.
        protected(|| {
            let _lock = self.users.lock_within(patience)?;
            let Some(read) = self.read_record(user)? else {
                return Ok(false);
            };
            let mut record = read.record;
            let Some(kept) = edit(&record) else {
                return Ok(false);
            };
            let name = record_name(user);
            if read.has_ignored_keys {
                return Err(StoreError::NewerKeys(self.users.path().join(name)));
            }
            let bytes = self.users.read(&name, Privacy::Private)?;
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            let text = with_passphrase(text, &kept);
            record.passphrase = Some(kept);
            // What the next login will read has to be what is meant.
            let again = UserRecord::parse(text.as_bytes(), user, &self.ignore_unknown);
            if !again.is_ok_and(|again| again.record == record) {
                return Err(StoreError::Unwritable(format!(
                    "{}: [passphrase] is not where it could be changed; set it with `mfa-admin passphrase set`",
                    self.users.path().join(name).display()
                )));
            }
            self.write_record(user, &text)?;
            Ok(true)
        })
    }
}

/// A record's text with another section about the passphrase, in the place of the one that is there.
fn with_passphrase(text: &str, kept: &KeptPassphrase) -> String {
    let mut section = String::from(HEADER);
    section.push_str("\nhash = \"");
    section.push_str(&kept.hash.to_text());
    section.push_str("\"\n");
    if let Some(changed) = kept.changed {
        section.push_str("changed = ");
        section.push_str(&changed.to_string());
        section.push('\n');
    }
    let mut changed = String::with_capacity(text.len() + section.len());
    let mut is_inside = false;
    for line in text.split_inclusive('\n') {
        if line.trim() == HEADER {
            is_inside = true;
            changed.push_str(&section);
        } else if is_inside && line.starts_with('[') {
            is_inside = false;
            changed.push('\n');
        }
        if !is_inside {
            changed.push_str(line);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use super::*;
    use crate::passphrase::{Cost, Hasher, Passphrase, Pepper};
    use crate::seal::SealingKey;
    use crate::secure_file::Owner;
    use crate::store::{Store, Subject};

    const CHEAP: Cost = Cost {
        memory: 64,
        passes: 1,
        lanes: 1,
    };

    fn hasher() -> Hasher {
        Hasher::new(Pepper::of(&SealingKey::generate().unwrap(), "alice"))
    }

    fn keep(text: &str) -> KeptPassphrase {
        let passphrase = Passphrase::parse(text.as_bytes()).unwrap();
        let hash = hasher().keep(&passphrase, CHEAP).unwrap();
        KeptPassphrase::new(hash, 1_800_000_000)
    }

    struct Place {
        folder: tempfile::TempDir,
        store: FileStore,
        user: UserName,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let owner = Owner::effective_user();
            let store = FileStore::create(folder.path(), owner, &["colour".to_owned()]).unwrap();
            let user = UserName::parse("alice").unwrap();
            Self {
                folder,
                store,
                user,
            }
        }

        fn path(&self) -> std::path::PathBuf {
            self.folder.path().join("users/alice.toml")
        }

        fn write(&self, text: &str) {
            let mut options = std::fs::File::options();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(self.path()).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.path()).unwrap()
        }

        fn change(&self, kept: &KeptPassphrase) -> Result<bool, StoreError> {
            self.store
                .change_passphrase(&self.user, &mut |_| Some(kept.clone()))
        }
    }

    fn section(kept: &KeptPassphrase) -> String {
        let changed = kept.changed.unwrap();
        let hash = kept.hash.to_text();
        format!("[passphrase]\nhash = \"{hash}\"\nchanged = {changed}\n")
    }

    #[test]
    fn the_passphrase_changes_and_everything_else_stays_to_the_letter() {
        let place = Place::new();
        let (old, new) = (keep("the old passphrase"), keep("the new passphrase"));
        let head =
            "# alice's\nversion = 1\nuser = \"alice\"\napproved = true\nmethods = [ \"app\" ]\n\n";
        let tail =
            "[[devices]]\nid = \"*\"\nlabel = \"[passphrase]\"\nassigned = 2026-11-20T09:00:00Z\n";
        for (between, behind) in [("", ""), ("\n", tail)] {
            place.write(&format!("{head}{}{between}{behind}", section(&old)));
            assert_eq!(place.change(&new), Ok(true));
            assert_eq!(
                place.text(),
                format!("{head}{}{between}{behind}", section(&new))
            );
            let record = place.store.record(Subject::User(&place.user)).unwrap();
            assert_eq!(record.unwrap().passphrase, Some(new.clone()));
        }
        assert_eq!(
            std::fs::metadata(place.path()).unwrap().mode() & 0o7777,
            0o600
        );
    }

    #[test]
    fn what_would_be_read_otherwise_is_not_written() {
        let place = Place::new();
        let (old, new) = (keep("the old passphrase"), keep("the new passphrase"));
        let head = "version = 1\nuser = \"alice\"\napproved = true\n";
        let hash = old.hash.to_text();
        for text in [
            format!("{head}passphrase = {{ hash = \"{hash}\" }}\n"),
            format!("{head}passphrase.hash = \"{hash}\"\n"),
            format!(
                "{head}suspended = \"\"\"\n[passphrase]\n\"\"\"\n[ passphrase ]\nhash = \"{hash}\"\n"
            ),
        ] {
            place.write(&text);
            let refused = place.change(&new).unwrap_err();
            assert!(matches!(refused, StoreError::Unwritable(_)), "{refused}");
            assert_eq!(place.text(), text);
        }
        let newer = format!("{head}colour = 1\n{}", section(&old));
        place.write(&newer);
        let refused = place.change(&new).unwrap_err();
        assert!(matches!(refused, StoreError::NewerKeys(_)), "{refused}");
        assert_eq!(place.text(), newer);
    }

    #[test]
    fn who_is_not_there_or_stays_as_is_gets_nothing() {
        let place = Place::new();
        let kept = keep("the old passphrase");
        assert_eq!(place.change(&kept), Ok(false));
        let text = format!(
            "version = 1\nuser = \"alice\"\napproved = true\n{}",
            section(&kept)
        );
        place.write(&text);
        let stays = place.store.change_passphrase(&place.user, &mut |_| None);
        assert_eq!((stays, place.text()), (Ok(false), text));
        assert_eq!(
            std::fs::read_dir(place.folder.path().join("users"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn nobody_waits_long_for_an_administrator() {
        let place = Place::new();
        let kept = keep("the old passphrase");
        let lock = place.store.users_folder().lock().unwrap();
        let busy = place.change(&kept).unwrap_err();
        assert!(matches!(
            busy,
            StoreError::Block(crate::secure_file::BlockError::Busy { .. })
        ));
        drop(lock);
    }
}
