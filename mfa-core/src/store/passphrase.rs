//! The one thing of a record that its user changes: the passphrase. Everything else there is the administrator's.

use std::time::Duration;

use super::{FileStore, StoreError, protected, record_name};
use crate::record::{KeptPassphrase, UserRecord};
use crate::request::UserName;

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
            if read.has_ignored_keys {
                return Err(StoreError::NewerKeys(
                    self.users.path().join(record_name(user)),
                ));
            }
            record.passphrase = Some(kept);
            self.replace_record(user, &record)?;
            Ok(true)
        })
    }
}
