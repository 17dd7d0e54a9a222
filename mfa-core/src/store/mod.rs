//! The store: a record and a login state for each user, a file each, so that a login costs the same with
//! ten users and with a million.

mod admin;
mod passphrase;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use zeroize::Zeroizing;

use crate::critical;
use crate::document::{DocumentError, Read};
use crate::record::{KeptPassphrase, ReadRecord, UserRecord};
use crate::request::UserName;
use crate::secure_file::{Block, BlockError, FileError, Folder, Owner, Privacy, Problem};
use crate::state::LoginState;
pub use admin::{StateView, UsedMarks};

/// How long a login waits for another one of the same user.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a login waits for who changes a record: less than a person notices.
const BRIEFLY: Duration = Duration::from_millis(500);

/// A record for nobody, read in the place of one that is missing, so that this takes as long.
const DECOY_RECORD: &str = include_str!("decoy.toml");
/// An app of nobody's, read in the place of one that a user does not have.
const DECOY_APP: &str = include_str!("decoy-app.toml");
/// Recovery codes of nobody, which are most of a record, likewise.
const DECOY_RECOVERY: &str = include_str!("decoy-recovery.toml");

/// Whose record and state a login is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A user's own.
    User(&'a UserName),
    /// Nobody's: one of 256 states that are written like any other and never say anything.
    Decoy(u8),
}

/// Why the store can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// A file or folder.
    File(FileError),
    /// A record's or state's content.
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: DocumentError,
    },
    /// A state's block.
    Block(BlockError),
    /// Something that has to be written can't be said in TOML, or does not fit.
    Unwritable(String),
    /// A record or state has keys of a newer release, which writing it would lose.
    NewerKeys(PathBuf),
    /// A transaction could not be protected from its caller, or what was before not put back.
    Unprotected(Errno),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Content { path, error } => write!(f, "{}:{error}", path.display()),
            Self::Block(error) => error.fmt(f),
            Self::Unwritable(message) => f.write_str(message),
            Self::NewerKeys(path) => write!(
                f,
                "{}: has keys of a newer release, which would be lost; change it with that release",
                path.display()
            ),
            Self::Unprotected(errno) => {
                write!(
                    f,
                    "signals or uids could not be changed for a transaction: {}",
                    errno.desc()
                )
            }
        }
    }
}

impl std::error::Error for StoreError {}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<BlockError> for StoreError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::File(error) => Self::File(error),
            other => Self::Block(other),
        }
    }
}

impl StoreError {
    /// Whether it is the system that would not: a disk, a limit, a file system that is read-only.
    fn is_refused_by_the_system(&self) -> bool {
        match self {
            Self::File(error) => {
                matches!(error.problem, Problem::System(_) | Problem::NotSynced(_))
            }
            Self::Block(BlockError::CutShort(_)) => true,
            _ => false,
        }
    }

    /// Whether what is stored is damaged, or was tampered with: more than a passing failure.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Content { .. } | Self::Block(BlockError::Corrupt(_)) => true,
            Self::File(error) => !matches!(
                error.problem,
                Problem::System(_) | Problem::NotSynced(_) | Problem::Missing
            ),
            Self::Block(_) | Self::Unwritable(_) | Self::NewerKeys(_) | Self::Unprotected(_) => {
                false
            }
        }
    }
}

/// What a transaction does with the record and the state it finds.
pub type Step<'a> = dyn FnMut(Option<&UserRecord>, &mut LoginState) + 'a;

/// The port through which a login reads and writes.
pub trait Store {
    /// A user's record, if there is one.
    ///
    /// # Errors
    ///
    /// It can't be read or trusted.
    fn record(&self, subject: Subject<'_>) -> Result<Option<UserRecord>, StoreError>;

    /// Locks a state, reads the record again, lets `step` change the state, and has it on disk before it
    /// returns. The state is not changed on any error, and what `step` came to must then not be believed.
    ///
    /// # Errors
    ///
    /// State or record can't be read, trusted or written, or the state stays locked by another process.
    fn transaction(&self, subject: Subject<'_>, step: &mut Step<'_>) -> Result<(), StoreError>;

    /// Puts another passphrase into a user's record, which is read again under the lock of those who change records;
    /// `edit` says which, or that it is to stay. Whether it was changed. Nobody is waited for long: a record is
    /// changed in a moment.
    ///
    /// # Errors
    ///
    /// The record can't be read, trusted or written, holds keys of a newer release, or somebody else keeps the lock.
    fn change_passphrase(
        &self,
        user: &UserName,
        edit: &mut dyn FnMut(&UserRecord) -> Option<KeptPassphrase>,
    ) -> Result<bool, StoreError>;
}

/// The store on a file system.
#[derive(Debug)]
pub struct FileStore {
    users: Folder,
    state: Folder,
    ignore_unknown: Vec<String>,
    /// The record that was read last: a login reads it once to decide and again under the lock, and the
    /// same bytes say the same.
    last_read: Mutex<Option<LastRead>>,
}

#[derive(Debug)]
struct LastRead {
    user: UserName,
    bytes: Zeroizing<Vec<u8>>,
    read: ReadRecord,
}

impl FileStore {
    /// Opens the folders of a store.
    ///
    /// # Errors
    ///
    /// They are missing, or others could have changed them.
    pub fn open(path: &Path, owner: Owner, ignore_unknown: &[String]) -> Result<Self, FileError> {
        let folder = Folder::open(path, owner)?;
        Ok(Self {
            users: folder.subfolder("users")?,
            state: folder.subfolder("state")?,
            ignore_unknown: ignore_unknown.to_vec(),
            last_read: Mutex::new(None),
        })
    }

    /// Makes the folders where they are missing, and the decoys, and opens the store.
    ///
    /// # Errors
    ///
    /// The system refuses, or what is there can't be trusted.
    pub fn create(
        path: &Path,
        owner: Owner,
        ignore_unknown: &[String],
    ) -> Result<Self, StoreError> {
        let folder = Folder::open(path, owner)?;
        folder.make_subfolder("users")?;
        folder.make_subfolder("state")?;
        let store = Self::open(path, owner, ignore_unknown)?;
        let payload = encode(&LoginState::default())?;
        for index in 0..=u8::MAX {
            store
                .state
                .create_block(&decoy_name(index), payload.as_bytes())?;
        }
        Ok(store)
    }

    /// Whether states can be written, before anybody is asked anything.
    ///
    /// # Errors
    ///
    /// They can't: a file system that is mounted read-only.
    pub fn check_writable(&self) -> Result<(), FileError> {
        self.state.check_writable()
    }

    fn read_record(&self, user: &UserName) -> Result<Option<ReadRecord>, StoreError> {
        let name = record_name(user);
        let bytes = match self.users.read(&name, Privacy::Private) {
            Ok(bytes) => bytes,
            Err(error) if error.problem == Problem::Missing => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut last = self
            .last_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last
            .as_ref()
            .filter(|last| last.user == *user && last.bytes == bytes)
        {
            return Ok(Some(last.read.clone()));
        }
        let read = UserRecord::parse(&bytes, user, &self.ignore_unknown).map_err(|error| {
            StoreError::Content {
                path: self.users.path().join(name),
                error,
            }
        })?;
        *last = Some(LastRead {
            user: user.clone(),
            bytes,
            read: read.clone(),
        });
        Ok(Some(read))
    }

    /// Reads a file as long as a record: what the second look at a record costs.
    fn read_decoy_file(&self, index: u8) {
        let name = decoy_name(index);
        let bytes = self
            .state
            .read_beginning(&name, Privacy::Private, DECOY_RECORD.len());
        // Nothing is to come of it but the time that it takes.
        let _ = std::hint::black_box(bytes);
    }

    /// The same, and what the first look costs besides.
    fn read_decoy_record(&self, index: u8) {
        self.read_decoy_file(index);
        parse_decoy(DECOY_RECORD);
        parse_decoy(DECOY_RECOVERY);
    }

    fn decode(&self, block: &Block, name: &str) -> Result<Read<LoginState>, StoreError> {
        LoginState::parse(block.payload()?, &self.ignore_unknown).map_err(|error| {
            StoreError::Content {
                path: self.state.path().join(name),
                error,
            }
        })
    }

    fn user_transaction(&self, user: &UserName, step: &mut Step<'_>) -> Result<(), StoreError> {
        let name = user.file_name();
        let mut block = match self.state.lock_block(name, PATIENCE) {
            Err(error) if error.is_missing() => {
                // Under the lock of who removes users: else a state could be made of one who is gone by then.
                let _lock = self.users.lock_within(PATIENCE)?;
                let Some(read) = self.read_record(user)? else {
                    // Removed while the prompt was open: nothing is to be left of the user.
                    step(None, &mut LoginState::default());
                    return Ok(());
                };
                self.create_and_lock(name, &LoginState::anew(Some(&read.record)))?
            }
            other => other?,
        };
        let read = self.decode(&block, name)?;
        if read.has_ignored_keys {
            return Err(StoreError::NewerKeys(self.state.path().join(name)));
        }
        let mut state = read.value;
        let record = self.read_record(user)?.map(|read| read.record);
        step(record.as_ref(), &mut state);
        block.write(encode(&state)?.as_bytes())?;
        Ok(())
    }

    fn create_and_lock(&self, name: &str, state: &LoginState) -> Result<Block, StoreError> {
        self.state.create_block(name, encode(state)?.as_bytes())?;
        Ok(self.state.lock_block(name, PATIENCE)?)
    }

    /// The same reads and the same write on a state that means nothing. What is wrong with its content is put
    /// right; a decoy that is locked, or no file of ours any more, is passed by. What the system refuses,
    /// it refuses everybody.
    fn decoy_transaction(&self, index: u8, step: &mut Step<'_>) -> Result<(), StoreError> {
        let name = decoy_name(index);
        let locked = match self.state.lock_block(&name, PATIENCE) {
            Err(error) if error.is_missing() => self.create_and_lock(&name, &LoginState::default()),
            other => other.map_err(StoreError::from),
        };
        let mut block = match locked {
            Ok(block) => block,
            Err(error) if error.is_refused_by_the_system() => return Err(error),
            Err(_) => {
                step(None, &mut LoginState::default());
                return Ok(());
            }
        };
        let decoded = self.decode(&block, &name);
        self.read_decoy_file(index);
        let is_sound = decoded.is_ok();
        let mut state = decoded.map(|read| read.value).unwrap_or_default();
        step(None, &mut state);
        let payload = encode(&state)?;
        if is_sound {
            block.write(payload.as_bytes())?;
        } else {
            block.reset(payload.as_bytes())?;
        }
        Ok(())
    }
}

impl Store for FileStore {
    fn record(&self, subject: Subject<'_>) -> Result<Option<UserRecord>, StoreError> {
        match subject {
            Subject::User(user) => {
                let record = self.read_record(user)?.map(|read| read.record);
                if let Some(record) = &record {
                    parse_what_is_missing(record);
                }
                Ok(record)
            }
            Subject::Decoy(index) => {
                self.read_decoy_record(index);
                Ok(None)
            }
        }
    }

    fn transaction(&self, subject: Subject<'_>, step: &mut Step<'_>) -> Result<(), StoreError> {
        protected(|| match subject {
            Subject::User(user) => self.user_transaction(user, step),
            Subject::Decoy(index) => self.decoy_transaction(index, step),
        })
    }

    fn change_passphrase(
        &self,
        user: &UserName,
        edit: &mut dyn FnMut(&UserRecord) -> Option<KeptPassphrase>,
    ) -> Result<bool, StoreError> {
        self.put_passphrase(user, BRIEFLY, edit)
    }
}

/// Runs something that its caller must not stop half-way.
fn protected<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let is_over_the_limit =
        |error: &StoreError| matches!(error, StoreError::File(error) if error.is_over_the_limit());
    critical::protected(run, is_over_the_limit, StoreError::Unprotected)
}

/// Takes the time that the larger parts of a record take, where a user does not have them.
fn parse_what_is_missing(record: &UserRecord) {
    if record.apps.is_empty() && record.tokens.is_empty() {
        parse_decoy(DECOY_APP);
    }
    if record.recovery.is_none() {
        parse_decoy(DECOY_RECOVERY);
    }
}

/// Reads a text in the place of one that is not there, and has copies of it as a record that is read has.
fn parse_decoy(text: &str) {
    let Some(user) = UserName::parse("decoy") else {
        return;
    };
    let read = UserRecord::parse(text.as_bytes(), &user, &[]);
    let copies = [read.clone(), read];
    // Nothing is to come of it but the time that it takes.
    let _ = std::hint::black_box(copies);
}

fn record_name(user: &UserName) -> String {
    format!("{}.toml", user.file_name())
}

fn decoy_name(index: u8) -> String {
    format!("%decoy-{index:02X}")
}

fn encode(state: &LoginState) -> Result<String, StoreError> {
    state
        .to_payload()
        .map_err(|error| StoreError::Unwritable(error.to_string()))
}

#[cfg(test)]
mod tests;
