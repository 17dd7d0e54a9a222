//! What an answer of a recovery code's shape comes to. Their failures are counted by themselves: they are what is left
//! where app codes are locked.

use super::judge::standing;
use super::{Login, Noticed, Setting, event_of, event_while_held};
use crate::audit::{Entry, Event};
use crate::clock::Clock;
use crate::notice::{self, Notices};
use crate::policy::DenyReason;
use crate::record::UserRecord;
use crate::recovery::{self, RecoveryCode, RecoveryError};
use crate::request::LoginRequest;
use crate::secure_file::BlockError;
use crate::state::LoginState;
use crate::store::{StoreError, Subject};
use crate::throttle::{self, Consequence, Failures, Limits, Verdict};

/// What a login with a recovery code is called in lines, notices and the session's environment.
pub(super) const METHOD: &str = "recovery";

/// What a recovery code came to.
#[derive(Debug)]
enum Judgement {
    Accepted { left: usize, of: usize },
    Wrong(Consequence),
    Used(Consequence),
    Denied(DenyReason),
    Held(Verdict),
    Unable(RecoveryError),
}

/// Judges a recovery code. One hash is computed, whoever gives it and whatever stands against them.
fn judge(
    setting: &Setting<'_>,
    request: &LoginRequest,
    clock: &dyn Clock,
    (record, state): (Option<&UserRecord>, &mut LoginState),
    code: &RecoveryCode,
    login: &str,
) -> Judgement {
    let now = clock.now();
    state.advance(&now);
    let limits = Limits::from(setting.config);
    let verdict = throttle::admit(&state.recovery, state.now(), &limits);
    let set = record.and_then(|record| record.recovery.as_ref());
    let place = recovery::place_of(set, code);
    if let Err(reason) = standing(setting, request, record) {
        return Judgement::Denied(reason);
    }
    if verdict != Verdict::Evaluate {
        return Judgement::Held(verdict);
    }
    let found = match place {
        Ok(place) => set.zip(place),
        Err(error) => return Judgement::Unable(error),
    };
    let elapsed = state.now();
    let charge = |failures: &mut Failures| throttle::charge(failures, elapsed, &limits);
    let Some((set, place)) = found else {
        return Judgement::Wrong(charge(&mut state.recovery));
    };
    if state.is_used(set, place) {
        return Judgement::Used(charge(&mut state.recovery));
    }
    state.use_code(set, place, login);
    state.recovered(now.unix_seconds(), request.address());
    Judgement::Accepted {
        left: state.codes_left(set),
        of: set.hashes.len(),
    }
}

impl Login<'_, '_> {
    /// Has a recovery code judged, and what came of it on disk, then says so.
    pub(super) fn judge_recovery(
        &mut self,
        subject: Subject<'_>,
        code: &RecoveryCode,
        attempt: u32,
    ) -> Result<(), Noticed> {
        let mut judgement = None;
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let login = self.trail.login().to_owned();
        let mut has_expired = false;
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            let judged = judge(setting, request, clock, (record, &mut *state), code, &login);
            judgement = Some(judged);
            let bypass = record.and_then(|record| record.bypass.as_ref());
            has_expired = crate::bypass::expire(bypass, state, clock.now().unix_seconds());
        });
        if has_expired && result.is_ok() {
            self.tell_of_expiry();
        }
        if judgement.is_none() {
            // Nothing could be looked at, which is not to show in the time.
            recovery::spend();
        }
        // An answer that has found its user's files damaged once is not judged on a decoy.
        if self.is_unusable {
            return Err(None);
        }
        match (result, judgement) {
            (Ok(()), Some(judgement)) => self.report_recovery(&judgement, attempt),
            (Ok(()), None) => Err(None),
            (Err(StoreError::Block(busy @ BlockError::Busy { .. })), _) => {
                self.log_busy(&busy, Some(attempt));
                Err(None)
            }
            (Err(error), _) => {
                self.store_is_unusable(&error);
                Err(None)
            }
        }
    }

    /// Writes the line of a judgement, and has the user told of a login; what a notice is to say of one that does
    /// not let in.
    fn report_recovery(&mut self, judgement: &Judgement, attempt: u32) -> Result<(), Noticed> {
        let entry = Entry {
            attempt: Some(attempt),
            ..Entry::default()
        };
        let by_recovery = Entry {
            method: Some(METHOD),
            ..entry.clone()
        };
        let noticed = match judgement {
            Judgement::Accepted { left, of } => {
                let detail = format!("{left} of {of} left");
                let detail = Some(detail.as_str());
                let event = Event::AcceptedWithRecoveryCode;
                self.log(
                    event,
                    &Entry {
                        detail,
                        ..by_recovery
                    },
                );
                self.trail.got_in_by(METHOD, "");
                self.tell_of_recovery(*left);
                return Ok(());
            }
            Judgement::Wrong(consequence) => {
                self.log(Event::BadCode, &by_recovery);
                Some(self.report_consequence(Event::BadCode, *consequence, &by_recovery))
            }
            Judgement::Used(consequence) => {
                self.log(Event::Replayed, &by_recovery);
                Some(self.report_consequence(Event::Replayed, *consequence, &by_recovery))
            }
            Judgement::Denied(reason) => {
                let event = event_of(*reason);
                self.log(event, &entry);
                Some(event)
            }
            Judgement::Held(verdict) => {
                let event = event_while_held(*verdict);
                self.log(event, &by_recovery);
                // Neither evaluated nor counted: whoever made it so was told of the failures before.
                (event != Event::Throttled).then_some(event)
            }
            Judgement::Unable(error) => {
                self.is_unusable = true;
                let detail = error.to_string();
                let entry = Entry {
                    reason: Some("no_memory"),
                    detail: Some(&detail),
                    ..by_recovery
                };
                self.log(Event::StoreUnusable, &entry);
                return Err(None);
            }
        };
        self.tell_filters();
        Err(noticed)
    }

    /// Has the user told of a login with a recovery code, whatever is told of other logins: not every host program
    /// opens a session, and what a session knows of its login a user can have changed.
    fn tell_of_recovery(&mut self, left: usize) {
        let Setting {
            config,
            channels,
            device,
            ..
        } = *self.setting;
        let notices = Notices {
            config,
            channels,
            device,
        };
        let Some(record) = &self.record else { return };
        let now = self.ports.clock.now().unix_seconds();
        let Some(mut notice) = notices.of_login(self.request, self.trail, record, now) else {
            return;
        };
        notice.codes_left = u64::try_from(left).ok();
        // A line says so where it could not be kept.
        let _ = notice::keep(
            &notice,
            true,
            self.ports.courier,
            self.trail,
            self.ports.audit,
        );
    }
}
