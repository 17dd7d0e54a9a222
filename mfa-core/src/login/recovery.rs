//! What an answer of a recovery code's shape comes to. Their failures are counted by themselves: they are what is left
//! where app codes are locked.

use super::judge::{spend_like_a_code, standing};
use super::passphrase::judge_beside;
use super::{Login, Noticed, Reply, Setting, event_while_held};
use crate::audit::{Entry, Event};
use crate::clock::Clock;
use crate::notice;
use crate::policy::DenyReason;
use crate::record::UserRecord;
use crate::recovery::{self, Hashed};
use crate::request::LoginRequest;
use crate::state::LoginState;
use crate::store::Subject;
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
}

/// Judges a recovery code, whose hash was computed before.
fn judge(
    setting: &Setting<'_>,
    request: &LoginRequest,
    clock: &dyn Clock,
    (record, state): (Option<&UserRecord>, &mut LoginState),
    hashed: Option<&Hashed>,
    login: &str,
) -> Judgement {
    let now = clock.now();
    state.advance(&now);
    let limits = Limits::from(setting.config);
    let verdict = throttle::admit(&state.recovery, state.now(), &limits);
    // What sshd hides may have been one as well, and is judged like an app code: that much work for everybody.
    spend_like_a_code(setting, request, record, state, now.unix_seconds());
    let set = record.and_then(|record| record.recovery.as_ref());
    let place = (hashed.zip(set)).and_then(|(hashed, set)| hashed.place_in(set));
    if let Err(reason) = standing(setting, request, record) {
        return Judgement::Denied(reason);
    }
    if verdict != Verdict::Evaluate {
        return Judgement::Held(verdict);
    }
    let elapsed = state.now();
    let charge = |failures: &mut Failures| throttle::charge(failures, elapsed, &limits);
    let Some((set, place)) = set.zip(place) else {
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
    /// Hashes every answer that is as long as a recovery code, whatever it is and whoever gives it: before anything is
    /// locked, and where there is no memory for that, the store is unusable for everybody.
    pub(super) fn hash_like_a_recovery_code(
        &mut self,
        reply: &Reply,
        length: usize,
    ) -> Option<Hashed> {
        if !recovery::TYPED.contains(&length) {
            return None;
        }
        let set = self
            .record
            .as_ref()
            .and_then(|record| record.recovery.as_ref());
        let code = match reply {
            Reply::Recovery(code) => Some(code),
            _ => None,
        };
        match Hashed::of(set, code) {
            Ok(hashed) => Some(hashed),
            Err(error) => {
                if !self.is_unusable {
                    self.is_unusable = true;
                    let detail = error.to_string();
                    let entry = Entry {
                        reason: Some("no_memory"),
                        detail: Some(&detail),
                        ..Entry::default()
                    };
                    self.log(Event::StoreUnusable, &entry);
                }
                None
            }
        }
    }

    /// Has a recovery code judged, and what came of it on disk, then says so.
    pub(super) fn judge_recovery(
        &mut self,
        subject: Subject<'_>,
        hashed: Option<&Hashed>,
        attempt: u32,
    ) -> Result<(), Noticed> {
        let mut judgement = None;
        let mut is_of_another_set = None;
        let mut has_expired = false;
        let (setting, request, clock) = (self.setting, self.request, self.ports.clock);
        let login = self.trail.login().to_owned();
        let known = self
            .record
            .as_ref()
            .and_then(|record| record.recovery.as_ref());
        let beside = &mut self.beside;
        let result = self.ports.store.transaction(subject, &mut |record, state| {
            let judge = |state: &mut _| {
                judge(
                    setting,
                    request,
                    clock,
                    (record, &mut *state),
                    hashed,
                    &login,
                )
            };
            let is_evaluated =
                |judged: &_| !matches!(judged, Judgement::Denied(_) | Judgement::Held(_));
            let judged = judge_beside(
                beside.as_mut(),
                (setting, record, state),
                judge,
                is_evaluated,
            );
            judgement = Some(judged);
            let set = record.and_then(|record| record.recovery.as_ref());
            is_of_another_set = (set != known).then(|| set.cloned());
            let bypass = record.and_then(|record| record.bypass.as_ref());
            has_expired = crate::bypass::expire(bypass, state, clock.now().unix_seconds());
        });
        if has_expired && result.is_ok() {
            self.tell_of_expiry();
        }
        // The next answer is hashed for the set that there is now.
        if let (Some(set), Some(record)) = (is_of_another_set, &mut self.record) {
            record.recovery = set;
        }
        let judgement = match self.judged(result, judgement, attempt) {
            Some(Ok(judgement)) => judgement,
            Some(Err(wrong)) => return Err(self.report_passphrase(&wrong, attempt)),
            None => return Err(None),
        };
        let left = self.report_recovery(&judgement, attempt)?;
        let is_told = self.tell_of_recovery(left);
        self.write_again(subject, &mut |state| {
            if is_told {
                state.told_of_code(&login);
            }
        });
        Ok(())
    }

    /// Writes the line of a judgement. How many codes are left, or what a notice is to say of one that does not let in.
    fn report_recovery(&mut self, judgement: &Judgement, attempt: u32) -> Result<usize, Noticed> {
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
                return Ok(*left);
            }
            Judgement::Wrong(consequence) => {
                self.log(Event::BadCode, &by_recovery);
                Some(self.report_consequence(Event::BadCode, *consequence, &by_recovery))
            }
            Judgement::Used(consequence) => {
                self.log(Event::Replayed, &by_recovery);
                Some(self.report_consequence(Event::Replayed, *consequence, &by_recovery))
            }
            Judgement::Denied(reason) => Some(self.report_denied(*reason, &entry)),
            Judgement::Held(verdict) => {
                let event = event_while_held(*verdict);
                self.log(event, &by_recovery);
                // Neither evaluated nor counted: whoever made it so was told of the failures before.
                (event != Event::Throttled).then_some(event)
            }
        };
        self.tell_filters();
        Err(noticed)
    }

    /// Has the user told of a login with a recovery code, whatever is told of other logins: not every host program
    /// opens a session, and what a session knows of its login a user can have changed. Whether the notice is kept.
    fn tell_of_recovery(&mut self, left: usize) -> bool {
        let notices = self.setting.notices();
        let Some(record) = &self.record else {
            return false;
        };
        let now = self.ports.clock.now().unix_seconds();
        let Some(mut notice) = notices.of_login(self.request, self.trail, record, now) else {
            return false;
        };
        notice.codes_left = u64::try_from(left).ok();
        notice::keep(
            &notice,
            true,
            self.ports.courier,
            self.trail,
            self.ports.audit,
        )
    }
}
