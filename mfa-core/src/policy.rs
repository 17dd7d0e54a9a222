//! Who is asked for a code, who is let by, who is refused: pure, over the configuration, the request
//! and the record. Nothing here acts; `login` does.

use crate::bypass::Standing;
use crate::config::{Config, WithoutRecord};
use crate::courier::Channels;
use crate::device::DeviceId;
use crate::record::{Method, UserRecord};
use crate::request::LoginRequest;

/// Why a user is refused, whatever is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// No account, or no record.
    UnknownUser,
    /// An administrator suspended the user.
    Suspended,
    /// Not on the approved list.
    NotApproved,
    /// Not assigned to this host.
    WrongDevice,
    /// Nothing that a code could be checked with.
    NotEnrolled,
    /// No passphrase, where one is asked for.
    NoPassphrase,
}

/// Why a user is let by without a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// No record, and the host or the service lets such users by.
    NoRecord,
    /// A record without any authenticator so far, likewise.
    NeverEnrolled,
    /// The account phase of a service that the configuration leaves alone.
    Service,
    /// An administrator's bypass is open.
    Bypass,
}

impl SkipReason {
    /// For the audit line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRecord => "no record",
            Self::NeverEnrolled => "never enrolled",
            Self::Service => "service",
            Self::Bypass => "bypass",
        }
    }
}

/// What is to happen in the auth phase.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Refuse, after the same questions as for everybody.
    Deny(DenyReason),
    /// Let by.
    Skip(SkipReason),
    /// Ask for the passphrase alone: who would be let by has nothing else to show where there is no other first factor.
    Passphrase(SkipReason),
    /// Ask; one of these counts, and a recovery code where there are some.
    Challenge(Vec<Method>),
}

/// What is to happen in the account phase.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountDecision {
    /// Refuse.
    Deny(DenyReason),
    /// Have no opinion.
    Skip(SkipReason),
    /// Let in.
    Accept,
}

/// What `mfa-admin code verify` calls its service: a code is judged there, and nobody is let in.
const NO_LOGIN: &str = "mfa-admin";

/// Decides the auth phase, at a time in seconds since the Unix epoch: whom a bypass lets by is not asked for a code, locked or
/// without any authenticator as they may be; everybody else as [`decide_asked`] says.
pub fn decide(
    config: &Config,
    channels: Channels,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    device: DeviceId,
    now: u64,
) -> Decision {
    let bypass = record.and_then(|record| record.bypass.as_ref());
    let is_open = bypass.is_some_and(|bypass| matches!(bypass.standing(now), Standing::Open(_)));
    let is_let_by = is_open && request.service != NO_LOGIN;
    let decision = if is_let_by && standing(config, request, record, device).is_ok() {
        Decision::Skip(SkipReason::Bypass)
    } else {
        decide_code(config, channels, request, record, device)
    };
    beside_passphrase(request, record, decision)
}

/// Decides the auth phase of somebody who is not let by for a time: also of one who has been asked, and was granted a
/// bypass while the prompt was open.
pub fn decide_asked(
    config: &Config,
    channels: Channels,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    device: DeviceId,
) -> Decision {
    let decision = decide_code(config, channels, request, record, device);
    beside_passphrase(request, record, decision)
}

/// Nobody is let by where the passphrase is the first factor: whatever was decided about the code, it is asked for, and
/// who has none is refused.
fn beside_passphrase(
    request: &LoginRequest,
    record: Option<&UserRecord>,
    decision: Decision,
) -> Decision {
    if !request.passphrase {
        return decision;
    }
    let has_one = record.is_some_and(|record| record.passphrase.is_some());
    match decision {
        Decision::Skip(_) | Decision::Challenge(_) if !has_one => {
            Decision::Deny(DenyReason::NoPassphrase)
        }
        Decision::Skip(reason) => Decision::Passphrase(reason),
        decided => decided,
    }
}

/// Decides about the code alone. `[[rules]]` about who is asked when will come in here, between the checks of the
/// user and the methods.
fn decide_code(
    config: &Config,
    channels: Channels,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    device: DeviceId,
) -> Decision {
    let record = match standing(config, request, record, device) {
        Ok(record) => record,
        Err(Bar::Deny(reason)) => return Decision::Deny(reason),
        Err(Bar::Skip(reason)) => return Decision::Skip(reason),
    };
    let usable = usable_methods(record, channels);
    // Used up or not: who once had recovery codes is never let by for want of something else.
    if !usable.is_empty() || record.recovery.is_some() {
        return Decision::Challenge(usable);
    }
    // Whoever has had codes sent is asked for one, also when this host no longer delivers.
    let could_receive = |method: &Method| method.is_sent() && record.address_for(*method).is_some();
    let was_never_enrolled = !record.enrolled_once
        && record.apps.is_empty()
        && record.tokens.is_empty()
        && !record.methods.iter().any(could_receive);
    if was_never_enrolled && skips_the_unenrolled(config, request) {
        return Decision::Skip(SkipReason::NeverEnrolled);
    }
    Decision::Deny(DenyReason::NotEnrolled)
}

/// Decides the account phase: the same but for the code, since a login with a public key comes this way
/// alone.
pub fn decide_account(
    config: &Config,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    device: DeviceId,
) -> AccountDecision {
    if is_service_left_alone(config, request) {
        return AccountDecision::Skip(SkipReason::Service);
    }
    match standing(config, request, record, device) {
        Ok(_) => AccountDecision::Accept,
        Err(Bar::Deny(reason)) => AccountDecision::Deny(reason),
        Err(Bar::Skip(reason)) => AccountDecision::Skip(reason),
    }
}

/// Whether the account phase of this service is none of ours; nothing is read then.
#[must_use]
pub fn is_service_left_alone(config: &Config, request: &LoginRequest) -> bool {
    config.account.skip_services.contains(&request.service)
}

/// What counts for a user and could be used here, in the order of the record.
fn usable_methods(record: &UserRecord, channels: Channels) -> Vec<Method> {
    let is_usable = |method: &Method| match method {
        Method::App => record.has_usable_app(),
        Method::Token => record.has_usable_token(),
        other => channels.has(*other) && record.address_for(*other).is_some(),
    };
    record.methods.iter().copied().filter(is_usable).collect()
}

/// What stands between a user and the question for a code.
enum Bar {
    Deny(DenyReason),
    Skip(SkipReason),
}

/// The record of a user who may log in here at all, or what is to happen to others.
fn standing<'a>(
    config: &Config,
    request: &LoginRequest,
    record: Option<&'a UserRecord>,
    device: DeviceId,
) -> Result<&'a UserRecord, Bar> {
    let Some(record) = record else {
        // Whom the name service does not know is never let by: it may only have failed to say so.
        let is_known = request.account.is_some();
        return Err(if is_known && skips_the_unenrolled(config, request) {
            Bar::Skip(SkipReason::NoRecord)
        } else {
            Bar::Deny(DenyReason::UnknownUser)
        });
    };
    let refused = if !record.suspended.is_empty() {
        DenyReason::Suspended
    } else if !record.approved {
        DenyReason::NotApproved
    } else if config.device.required && !record.is_assigned_to(device) {
        DenyReason::WrongDevice
    } else {
        return Ok(record);
    };
    Err(Bar::Deny(refused))
}

fn skips_the_unenrolled(config: &Config, request: &LoginRequest) -> bool {
    request.nullok || config.enrolment.without_record == WithoutRecord::Skip
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::AssignedDevice;
    use crate::record::{Algorithm, App, AppId, Device, Digits, Label, Period, datetime};
    use crate::request::{Account, Caller, UserName};

    fn here() -> DeviceId {
        DeviceId::parse("1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31").unwrap()
    }

    fn none() -> Channels {
        Channels::default()
    }

    fn request(nullok: bool) -> LoginRequest {
        LoginRequest {
            asked_name: "alice".to_owned(),
            account: Some(Account {
                name: UserName::parse("alice").unwrap(),
                uid: 1000,
            }),
            service: "sshd".to_owned(),
            remote_host: None,
            tty: None,
            remote_user: None,
            nullok,
            passphrase: false,
            log_unknown_names: false,
            caller: Caller { uid: 0, euid: 0 },
        }
    }

    fn alice() -> UserRecord {
        let mut record = UserRecord::new(UserName::parse("alice").unwrap());
        record.methods = vec![Method::App];
        record.enrolled_once = true;
        record.devices = vec![Device {
            id: AssignedDevice::One(here()),
            label: Label::parse("here").unwrap(),
            assigned: datetime(0),
        }];
        record.apps = vec![App {
            id: AppId::parse("00000001").unwrap(),
            label: Label::parse("phone").unwrap(),
            secret: String::new(),
            algorithm: Algorithm::Sha1,
            digits: Digits::parse(6).unwrap(),
            period: Period::parse(30_u16).unwrap(),
            enrolled: datetime(0),
            disabled: false,
        }];
        record
    }

    fn outcome(change: impl Fn(&mut UserRecord), nullok: bool) -> (Decision, AccountDecision) {
        let mut record = alice();
        change(&mut record);
        let config = Config::default();
        (
            decide_asked(&config, none(), &request(nullok), Some(&record), here()),
            decide_account(&config, &request(nullok), Some(&record), here()),
        )
    }

    #[test]
    fn every_standing_of_a_user_has_its_decision() {
        use AccountDecision as A;
        use Decision as D;
        type Change = fn(&mut UserRecord);
        let cases: [(Change, D, A); 8] = [
            (|_| {}, D::Challenge(vec![Method::App]), A::Accept),
            (
                |r| r.suspended = "left".into(),
                D::Deny(DenyReason::Suspended),
                A::Deny(DenyReason::Suspended),
            ),
            (
                |r| r.approved = false,
                D::Deny(DenyReason::NotApproved),
                A::Deny(DenyReason::NotApproved),
            ),
            (
                |r| {
                    r.approved = false;
                    r.suspended = "x".into();
                },
                D::Deny(DenyReason::Suspended),
                A::Deny(DenyReason::Suspended),
            ),
            (
                |r| r.devices.clear(),
                D::Deny(DenyReason::WrongDevice),
                A::Deny(DenyReason::WrongDevice),
            ),
            (
                |r| r.apps.clear(),
                D::Deny(DenyReason::NotEnrolled),
                A::Accept,
            ),
            (
                |r| r.methods = vec![Method::Email],
                D::Deny(DenyReason::NotEnrolled),
                A::Accept,
            ),
            (
                |r| r.methods.clear(),
                D::Deny(DenyReason::NotEnrolled),
                A::Accept,
            ),
        ];
        for (change, decision, account) in cases {
            // nullok opens no door for anybody who was enrolled once.
            for nullok in [false, true] {
                assert_eq!(outcome(change, nullok), (decision.clone(), account));
            }
        }
    }

    #[test]
    fn who_has_recovery_codes_is_asked_and_never_let_by() {
        let set = crate::record::Recovery::generate(0).unwrap().0;
        let alone = |r: &mut UserRecord| {
            r.apps.clear();
            r.enrolled_once = false;
            r.recovery = Some(set.clone());
        };
        for nullok in [false, true] {
            assert_eq!(outcome(alone, nullok).0, Decision::Challenge(vec![]));
        }
        let both = |r: &mut UserRecord| r.recovery = Some(set.clone());
        assert_eq!(
            outcome(both, false).0,
            Decision::Challenge(vec![Method::App])
        );
        let suspended = |r: &mut UserRecord| {
            alone(r);
            r.suspended = "left".into();
        };
        let elsewhere = |r: &mut UserRecord| {
            alone(r);
            r.devices.clear();
        };
        assert_eq!(
            outcome(suspended, true).0,
            Decision::Deny(DenyReason::Suspended)
        );
        assert_eq!(
            outcome(elsewhere, true).0,
            Decision::Deny(DenyReason::WrongDevice)
        );
    }

    #[test]
    fn only_users_who_were_never_enrolled_are_let_by() {
        let never = |r: &mut UserRecord| {
            r.apps.clear();
            r.enrolled_once = false;
        };
        assert_eq!(
            outcome(never, true).0,
            Decision::Skip(SkipReason::NeverEnrolled)
        );
        assert_eq!(
            outcome(never, false).0,
            Decision::Deny(DenyReason::NotEnrolled)
        );
        let config = Config::default();
        assert_eq!(
            decide_asked(&config, none(), &request(false), None, here()),
            Decision::Deny(DenyReason::UnknownUser)
        );
        assert_eq!(
            decide_asked(&config, none(), &request(true), None, here()),
            Decision::Skip(SkipReason::NoRecord)
        );
        assert_eq!(
            decide_account(&config, &request(false), None, here()),
            AccountDecision::Deny(DenyReason::UnknownUser)
        );
        assert_eq!(
            decide_account(&config, &request(true), None, here()),
            AccountDecision::Skip(SkipReason::NoRecord)
        );
        let skip = Config::parse(b"version = 1\n[enrolment]\nwithout_record = \"skip\"").unwrap();
        assert_eq!(
            decide_asked(&skip, none(), &request(false), None, here()),
            Decision::Skip(SkipReason::NoRecord)
        );
        // A suspended user is not let by for lack of an app.
        let both = |r: &mut UserRecord| {
            never(r);
            r.suspended = "left".into();
        };
        assert_eq!(outcome(both, true).0, Decision::Deny(DenyReason::Suspended));
    }

    #[test]
    fn whom_the_name_service_does_not_know_is_not_let_by() {
        let stranger = LoginRequest {
            account: None,
            ..request(true)
        };
        let config = Config::default();
        let denied = DenyReason::UnknownUser;
        assert_eq!(
            decide_asked(&config, none(), &stranger, None, here()),
            Decision::Deny(denied)
        );
        assert_eq!(
            decide_account(&config, &stranger, None, here()),
            AccountDecision::Deny(denied)
        );
    }

    #[test]
    fn devices_count_only_where_the_host_says_so() {
        let mut record = alice();
        record.devices.clear();
        let config = Config::parse(b"version = 1\n[device]\nrequired = false").unwrap();
        assert!(matches!(
            decide_asked(&config, none(), &request(false), Some(&record), here()),
            Decision::Challenge(_)
        ));
        assert_eq!(
            decide_account(&config, &request(false), Some(&record), here()),
            AccountDecision::Accept
        );
    }

    #[test]
    fn a_method_counts_where_it_can_be_delivered_and_there_is_an_address() {
        let all = Channels {
            email: true,
            telegram: true,
            command: true,
        };
        let mut record = alice();
        record.methods = vec![
            Method::Telegram,
            Method::Email,
            Method::App,
            Method::Command,
        ];
        let methods = |record: &UserRecord, channels| {
            let decision = decide_asked(
                &Config::default(),
                channels,
                &request(false),
                Some(record),
                here(),
            );
            match decision {
                Decision::Challenge(methods) => methods,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(methods(&record, all), [Method::App, Method::Command]);
        record.email = Some(crate::record::EmailAddress::parse("alice@example.com").unwrap());
        record.telegram = Some(7);
        assert_eq!(methods(&record, all), record.methods);
        assert_eq!(methods(&record, none()), [Method::App]);
        let mail = Channels {
            email: true,
            ..none()
        };
        assert_eq!(methods(&record, mail), [Method::Email, Method::App]);
        // Mail alone will do.
        record.apps.clear();
        assert_eq!(methods(&record, mail), [Method::Email]);
    }

    #[test]
    fn a_host_that_no_longer_delivers_opens_no_door() {
        let mut record = alice();
        record.apps.clear();
        record.enrolled_once = false;
        record.methods = vec![Method::App, Method::Telegram];
        let decision = |record: &UserRecord| {
            let config = Config::default();
            decide_asked(&config, none(), &request(true), Some(record), here())
        };
        assert_eq!(decision(&record), Decision::Skip(SkipReason::NeverEnrolled));
        record.telegram = Some(7);
        assert_eq!(decision(&record), Decision::Deny(DenyReason::NotEnrolled));
        record.methods = vec![Method::Command];
        assert_eq!(decision(&record), Decision::Deny(DenyReason::NotEnrolled));
    }

    #[test]
    fn cron_and_systemd_user_pass_by_the_account_phase() {
        for service in [
            "cron",
            "crond",
            "atd",
            "systemd-user",
            "runuser",
            "runuser-l",
        ] {
            let request = LoginRequest {
                service: service.to_owned(),
                ..request(false)
            };
            assert_eq!(
                decide_account(&Config::default(), &request, None, here()),
                AccountDecision::Skip(SkipReason::Service)
            );
            // The auth phase does not know them.
            assert_eq!(
                decide_asked(&Config::default(), none(), &request, None, here()),
                Decision::Deny(DenyReason::UnknownUser)
            );
        }
    }

    #[test]
    fn a_bypass_lets_by_whoever_may_log_in_and_nobody_else() {
        type Change = fn(&mut UserRecord);
        let skipped = Decision::Skip(SkipReason::Bypass);
        let cases: [(Change, Decision); 6] = [
            (|_| {}, skipped.clone()),
            (|r| r.apps.clear(), skipped),
            (
                |r| r.suspended = "left".into(),
                Decision::Deny(DenyReason::Suspended),
            ),
            (
                |r| r.approved = false,
                Decision::Deny(DenyReason::NotApproved),
            ),
            (
                |r| r.devices.clear(),
                Decision::Deny(DenyReason::WrongDevice),
            ),
            (|r| r.bypass = None, Decision::Challenge(vec![Method::App])),
        ];
        let config = Config::default();
        for (change, expected) in cases {
            let mut record = alice();
            record.bypass = Some(crate::bypass::Bypass::grant(1000, 60, "x", "root"));
            change(&mut record);
            let decide_at =
                |now| decide(&config, none(), &request(false), Some(&record), here(), now);
            assert_eq!(decide_at(1000), expected);
            for closed in [999, 1060] {
                let asked = decide_asked(&config, none(), &request(false), Some(&record), here());
                assert_eq!(decide_at(closed), asked);
            }
            // It is about the code alone.
            let account = decide_account(&config, &request(false), Some(&record), here());
            let may = standing(&config, &request(false), Some(&record), here()).is_ok();
            assert_eq!(account == AccountDecision::Accept, may);
        }
    }
}
