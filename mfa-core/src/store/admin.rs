//! What `mfa-admin` does with the store: it alone changes records.

use super::{FileStore, StoreError, decoy_name, encode, protected, record_name};
use crate::record::UserRecord;
use crate::request::UserName;
use crate::secure_file::{FileError, Folder, Privacy, Problem};
use crate::state::LoginState;

/// A state as an administrator looks at it.
#[derive(Clone, Debug)]
pub struct StateView {
    /// What it says.
    pub state: LoginState,
    /// One of the two slots does not hold: a write was interrupted, or the disk has damaged it.
    pub has_bad_slot: bool,
}

/// What became of the marks of used recovery codes, and of the counters of tokens, in a state that was made anew.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedMarks {
    /// They are as they were.
    Kept,
    /// Nobody can tell what they were: every code of the user's set counts as used, and no token is in use until it is
    /// resynchronised.
    Lost,
}

impl FileStore {
    /// The folder of the records.
    #[must_use]
    pub fn users_folder(&self) -> &Folder {
        &self.users
    }

    /// The folder of the states.
    #[must_use]
    pub fn state_folder(&self) -> &Folder {
        &self.state
    }

    /// Everybody who has a record, sorted by file name; files that are none of ours are passed over.
    ///
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn users(&self) -> Result<Vec<UserName>, StoreError> {
        let names = self.users.names()?;
        Ok(names
            .iter()
            .filter_map(|name| UserName::from_file_name(name.to_str()?.strip_suffix(".toml")?))
            .collect())
    }

    /// Changes a record, or makes one, while nobody else can: `edit` gets the present one and gives
    /// the one to write, or none to leave things as they are. The user's state is made where it is missing.
    ///
    /// # Errors
    ///
    /// The store's, as `E`, and those of `edit`. The old record is then still there.
    pub fn change_record<T, E: From<StoreError>>(
        &self,
        user: &UserName,
        edit: impl FnOnce(Option<UserRecord>) -> Result<(Option<UserRecord>, T), E>,
    ) -> Result<T, E> {
        let _lock = self.users.lock().map_err(StoreError::from)?;
        let name = record_name(user);
        let present = self.read_record(user)?;
        let has_ignored_keys = present.as_ref().is_some_and(|read| read.has_ignored_keys);
        let state = LoginState::anew(present.as_ref().map(|read| &read.record));
        let (changed, answer) = edit(present.map(|read| read.record))?;
        let Some(record) = changed else {
            return Ok(answer);
        };
        if has_ignored_keys {
            return Err(StoreError::NewerKeys(self.users.path().join(name)).into());
        }
        let text = self.to_readable_text(user, &record)?;
        self.create_state(user, &state)?;
        self.write_record(user, &text)?;
        Ok(answer)
    }

    /// Puts a record in the place of the one that is there. The caller holds the lock on the folder.
    pub(super) fn write_record(&self, user: &UserName, text: &str) -> Result<(), StoreError> {
        let (name, temporary) = (record_name(user), temporary_name(user));
        Ok(self
            .users
            .replace(&name, &temporary, 0o600, text.as_bytes())?)
    }

    /// The record's text, which the module would read back the same.
    fn to_readable_text(&self, user: &UserName, record: &UserRecord) -> Result<String, StoreError> {
        let text = record
            .to_text()
            .map_err(|error| StoreError::Unwritable(error.to_string()))?;
        let path = || self.users.path().join(record_name(user));
        let again =
            UserRecord::parse(text.as_bytes(), user, &self.ignore_unknown).map_err(|error| {
                StoreError::Content {
                    path: path(),
                    error,
                }
            })?;
        let fits = text.len() <= crate::secure_file::MAX_FILE_SIZE;
        if again.record != *record || !fits {
            let message = format!(
                "{}: the module could not read this record",
                path().display()
            );
            return Err(StoreError::Unwritable(message));
        }
        Ok(text)
    }

    /// Makes a user's state where there is none.
    fn create_state(&self, user: &UserName, state: &LoginState) -> Result<(), StoreError> {
        let payload = encode(state)?;
        self.state
            .create_block(user.file_name(), payload.as_bytes())?;
        Ok(())
    }

    /// Removes a user's record, then the state, and what an interrupted writer has left of a record; whether there was
    /// either.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn remove(&self, user: &UserName) -> Result<bool, StoreError> {
        let _lock = self.users.lock()?;
        let had_record = self.users.remove_if_present(&record_name(user))?;
        self.users.remove_if_present(&temporary_name(user))?;
        self.users.sync()?;
        let had_state = self.state.remove_if_present(user.file_name())?;
        self.state.sync()?;
        Ok(had_record || had_state)
    }

    /// A user's state; `None` where there is none yet.
    ///
    /// # Errors
    ///
    /// It can't be read or trusted.
    pub fn state(&self, user: &UserName) -> Result<Option<StateView>, StoreError> {
        let name = user.file_name();
        protected(|| match self.state.lock_block(name, super::PATIENCE) {
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
            Ok(block) => Ok(Some(StateView {
                state: self.decode(&block, name)?.value,
                has_bad_slot: block.has_bad_slot(),
            })),
        })
    }

    /// Makes a user's state anew, in place: what it said is forgotten, replays of the last minute included. Recovery
    /// codes that were used stay so; where the state no longer tells which were, all of them count as used. Tokens stand
    /// where they stood; where the state no longer tells where, none is in use until it is resynchronised.
    ///
    /// # Errors
    ///
    /// The file can't be trusted or written. Neither state nor record can be read: which recovery codes are not
    /// to be good again can't be told.
    pub fn reset_state(&self, user: &UserName) -> Result<UsedMarks, StoreError> {
        let name = user.file_name();
        protected(|| {
            let mut block = match self.state.lock_block(name, super::PATIENCE) {
                Err(error) if error.is_missing() => {
                    // While nobody makes codes.
                    let _lock = self.users.lock_within(super::PATIENCE)?;
                    let record = self.read_record(user)?.map(|read| read.record);
                    let state = LoginState::anew(record.as_ref());
                    self.create_state(user, &state)?;
                    return Ok(marks_of(record.as_ref()));
                }
                other => other?,
            };
            let mut state = LoginState::default();
            let mut marks = UsedMarks::Kept;
            if let Ok(read) = self.decode(&block, name) {
                state.used = read.value.used;
                state.tokens = read.value.tokens;
            } else {
                let record = self.read_record(user)?.map(|read| read.record);
                state = LoginState::anew(record.as_ref());
                marks = marks_of(record.as_ref());
            }
            block.reset(encode(&state)?.as_bytes())?;
            Ok(marks)
        })
    }

    /// What is wrong with the files of the decoys, those that are missing included.
    #[must_use]
    pub fn decoy_problems(&self) -> Vec<FileError> {
        (0..=u8::MAX)
            .filter_map(|index| self.state.read(&decoy_name(index), Privacy::Private).err())
            .collect()
    }

    /// Names of files in the store's folders that no verb of ours made, as paths.
    ///
    /// # Errors
    ///
    /// A folder can't be read.
    pub fn strangers(&self) -> Result<Vec<std::path::PathBuf>, StoreError> {
        let mut found = Vec::new();
        for name in self.users.names()? {
            let is_record = name
                .to_str()
                .and_then(|name| UserName::from_file_name(name.strip_suffix(".toml")?))
                .is_some();
            if !is_record {
                found.push(self.users.path().join(name));
            }
        }
        for name in self.state.names()? {
            let is_decoy = (0..=u8::MAX).any(|index| decoy_name(index).as_str() == name);
            if !is_decoy && name.to_str().and_then(UserName::from_file_name).is_none() {
                found.push(self.state.path().join(name));
            }
        }
        Ok(found)
    }

    /// Whether a user has a state.
    ///
    /// # Errors
    ///
    /// The folder can't be read, or what is there can't be trusted.
    pub fn has_state(&self, user: &UserName) -> Result<bool, StoreError> {
        match self.state.read(user.file_name(), Privacy::Private) {
            Ok(_) => Ok(true),
            Err(error) if error.problem == Problem::Missing => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What becomes of the marks where nobody can tell what they were.
fn marks_of(record: Option<&UserRecord>) -> UsedMarks {
    let has_any = |record: &UserRecord| record.recovery.is_some() || !record.tokens.is_empty();
    if record.is_some_and(has_any) {
        UsedMarks::Lost
    } else {
        UsedMarks::Kept
    }
}

/// What a record is called until it is whole.
fn temporary_name(user: &UserName) -> String {
    format!("%new-{}", user.file_name())
}
