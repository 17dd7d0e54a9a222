//! What an administrator's bypass does to a login: it lets in without a question, and its end is told.

use super::Login;
use crate::audit::{Entry, Event};
use crate::bypass;
use crate::critical::CriticalSection;
use crate::policy::{self, Decision, SkipReason};
use crate::secure_file::BlockError;
use crate::store::{StoreError, Subject};

/// What such a login is called in notices and the session's environment.
const METHOD: &str = "bypass";

impl Login<'_, '_> {
    /// Lets in a user whose bypass is open, as the record is under the lock, and counts that on disk first. `false`: the
    /// login goes on like any other.
    pub(super) fn pass_by(&mut self, subject: Subject<'_>) -> bool {
        // Until it is said.
        let _section = CriticalSection::enter();
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let mut passed = None;
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            let now = clock.now();
            state.advance(&now);
            let now = now.unix_seconds();
            let decision = policy::decide(
                setting.config,
                setting.channels,
                request,
                record,
                setting.device,
                now,
            );
            let bypass = record.and_then(|record| record.bypass.as_ref());
            passed = bypass
                .filter(|_| {
                    let bypass = SkipReason::Bypass;
                    // Whom a service asks for a passphrase has given it.
                    decision == Decision::Skip(bypass) || decision == Decision::Passphrase(bypass)
                })
                .and_then(|bypass| {
                    let left = bypass::use_once(bypass, state, now)?;
                    Some((bypass.reason.clone(), left))
                });
        });
        match (result, passed) {
            (Ok(()), Some((reason, left))) => {
                let detail = format!("{left} s left");
                let entry = Entry {
                    method: Some(METHOD),
                    reason: Some(&reason),
                    detail: Some(&detail),
                    ..Entry::default()
                };
                self.log(Event::Bypassed, &entry);
                self.trail.got_in_by(METHOD, "");
                true
            }
            (Ok(()), None) => false,
            (Err(StoreError::Block(busy @ BlockError::Busy { .. })), _) => {
                self.log_busy(&busy, None);
                false
            }
            (Err(error), _) => {
                self.store_is_unusable(&error);
                false
            }
        }
    }

    /// Tells of the end of a bypass.
    pub(super) fn tell_of_expiry(&mut self) {
        self.log(Event::BypassExpired, &Entry::default());
    }
}
