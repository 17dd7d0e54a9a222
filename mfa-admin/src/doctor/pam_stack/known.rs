//! What other people's modules can answer, and what an answer means.
//!
//! From the RETURN VALUES of the modules' manual pages and their sources in Linux-PAM 1.5.2. A
//! module that is not here may check a password and may answer anything that its line tells apart.

use super::control::{
    ABORT, ACCT_EXPIRED, AUTH_ERR, AUTHINFO_UNAVAIL, AUTHTOK_EXPIRED, CODES, CONV_ERR, Code,
    IGNORE, INCOMPLETE, MAXTRIES, MODULE_UNKNOWN, NEW_AUTHTOK_REQD, PERM_DENIED, SERVICE_ERR,
    SESSION_ERR, SUCCESS, USER_UNKNOWN,
};
use super::service::{Entry, Facility, Kind};

/// What a module is for, as far as a second factor cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Ours.
    Mfa,
    /// Checks a password or the like, or might.
    Factor,
    /// Asks who it is or where from, no secret.
    Condition,
    /// Success where the calling process is root.
    RootOk,
    /// Says nothing about who is there.
    Plain,
}

/// A line's module and its possible answers.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) role: Role,
    pub(super) answers: Vec<Code>,
}

/// What our module answers to an authentication that it refuses, or can't decide.
const MFA_AUTH: [Code; 7] = [
    SUCCESS,
    IGNORE,
    AUTH_ERR,
    AUTHINFO_UNAVAIL,
    CONV_ERR,
    ABORT,
    MODULE_UNKNOWN,
];
const MFA_ACCOUNT: [Code; 6] = [
    SUCCESS,
    IGNORE,
    PERM_DENIED,
    AUTHINFO_UNAVAIL,
    ABORT,
    MODULE_UNKNOWN,
];

/// The role and the answers of a line in the auth or account stack.
pub(super) fn known(entry: &Entry, facility: Facility) -> Known {
    let account = facility == Facility::Account;
    let of = |role, answers: &[Code]| Known {
        role,
        answers: answers.to_vec(),
    };
    if entry.kind == Kind::MustFail {
        return of(Role::Plain, &[PERM_DENIED]);
    }
    if entry.is_mfa() {
        let answers: &[Code] = if account { &MFA_ACCOUNT } else { &MFA_AUTH };
        let mut known = of(Role::Mfa, answers);
        // Nobody is skipped where the passphrase is asked for.
        known
            .answers
            .retain(|code| account || *code != IGNORE || !entry.asks_for_a_passphrase());
        return known;
    }
    let has = |argument: &str| entry.arguments.iter().any(|given| given == argument);
    match entry.module_name() {
        "pam_permit.so" => of(Role::Plain, &[SUCCESS]),
        "pam_deny.so" => of(Role::Plain, &[AUTH_ERR]),
        "pam_unix.so" if account => of(
            Role::Factor,
            &[
                SUCCESS,
                NEW_AUTHTOK_REQD,
                ACCT_EXPIRED,
                AUTHTOK_EXPIRED,
                USER_UNKNOWN,
                AUTHINFO_UNAVAIL,
            ],
        ),
        "pam_unix.so" => of(
            Role::Factor,
            &[SUCCESS, AUTH_ERR, USER_UNKNOWN, AUTHINFO_UNAVAIL, MAXTRIES],
        ),
        "pam_rootok.so" => of(Role::RootOk, &[SUCCESS, AUTH_ERR]),
        "pam_faildelay.so" | "pam_warn.so" | "pam_mail.so" | "pam_keyinit.so" | "pam_env.so"
        | "pam_group.so" => of(Role::Plain, &[IGNORE]),
        "pam_nologin.so" => of(Role::Plain, &[IGNORE, SUCCESS, AUTH_ERR, USER_UNKNOWN]),
        "pam_securetty.so" | "pam_shells.so" | "pam_lastlog.so" => {
            of(Role::Condition, &[SUCCESS, IGNORE, AUTH_ERR, USER_UNKNOWN])
        }
        "pam_cap.so"
        | "pam_echo.so"
        | "pam_gnome_keyring.so"
        | "pam_kwallet5.so"
        | "pam_ecryptfs.so"
        | "pam_mount.so" => of(Role::Plain, &[SUCCESS, IGNORE, AUTH_ERR]),
        "pam_issue.so" => of(Role::Plain, &[IGNORE, SERVICE_ERR]),
        "pam_loginuid.so" => of(Role::Plain, &[SUCCESS, IGNORE, SESSION_ERR]),
        "pam_faillock.so" | "pam_tally2.so" if has("authfail") => {
            of(Role::Plain, &[IGNORE, AUTH_ERR, USER_UNKNOWN])
        }
        "pam_faillock.so" | "pam_tally2.so" => {
            of(Role::Plain, &[SUCCESS, IGNORE, AUTH_ERR, USER_UNKNOWN])
        }
        "pam_wheel.so" if !has("trust") => of(
            Role::Condition,
            &[IGNORE, PERM_DENIED, AUTH_ERR, USER_UNKNOWN],
        ),
        "pam_wheel.so" | "pam_succeed_if.so" | "pam_localuser.so" | "pam_usertype.so"
        | "pam_access.so" | "pam_listfile.so" | "pam_time.so" | "pam_timestamp.so"
        | "pam_sepermit.so" | "pam_rhosts.so" => of(
            Role::Condition,
            &[
                SUCCESS,
                AUTH_ERR,
                PERM_DENIED,
                USER_UNKNOWN,
                SERVICE_ERR,
                IGNORE,
            ],
        ),
        _ => Known {
            role: Role::Factor,
            answers: anything(entry, account),
        },
    }
}

/// The usual answers, and one code for each further action of the line's control.
fn anything(entry: &Entry, account: bool) -> Vec<Code> {
    let mut answers = vec![
        SUCCESS,
        AUTH_ERR,
        IGNORE,
        USER_UNKNOWN,
        AUTHINFO_UNAVAIL,
        PERM_DENIED,
    ];
    if account {
        answers.extend([NEW_AUTHTOK_REQD, ACCT_EXPIRED]);
    }
    let action = |code: Code| entry.control.action(code);
    for code in (0..CODES).filter_map(|code| Code::try_from(code).ok()) {
        // An incomplete stack is called again; a missing module is seen from its file.
        let possible = code != INCOMPLETE && code != MODULE_UNKNOWN;
        if possible && !answers.iter().any(|&answer| action(answer) == action(code)) {
            answers.push(code);
        }
    }
    answers
}
