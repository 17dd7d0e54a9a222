//! The border to libpam: what `pam-bindings` offers, made safe where it is not, and the functions that it
//! does not declare. The only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint};

use mfa_core::audit::Severity;
use mfa_core::otp::TypedAnswer;
use mfa_core::passphrase::PassphraseHash;
use pam::constants::{
    PAM_CHANGE_EXPIRED_AUTHTOK, PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PamFlag,
    PamResultCode,
};
use pam::conv::Conv;
use pam::items::{AuthTok, RHost, RUser, Service, Tty, User};
use pam::module::{PamHandle, PamHooks};
use zeroize::Zeroizing;

use crate::hooks;

unsafe extern "C" {
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
    fn pam_fail_delay(pamh: *mut PamHandle, microseconds: c_uint) -> c_int;
    fn pam_putenv(pamh: *mut PamHandle, name_value: *const c_char) -> c_int;
    fn pam_getenv(pamh: *mut PamHandle, name: *const c_char) -> *const c_char;
}

/// `pam_sm_chauthtok(3)` comes twice; not in pam-bindings.
const PAM_PRELIM_CHECK: PamFlag = 0x4000;
const PAM_UPDATE_AUTHTOK: PamFlag = 0x2000;

/// What a call of `pam_sm_chauthtok` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Whether it may be changed, asked of all modules before one changes anything.
    Preliminary,
    /// The change.
    Update,
    /// The change of what has expired, which passphrases don't.
    Expired,
    /// Neither: libpam does not call so.
    Unknown,
}

impl Phase {
    fn of(flags: PamFlag) -> Self {
        if flags & PAM_CHANGE_EXPIRED_AUTHTOK != 0 {
            Self::Expired
        } else if flags & PAM_PRELIM_CHECK != 0 {
            Self::Preliminary
        } else if flags & PAM_UPDATE_AUTHTOK != 0 {
            Self::Update
        } else {
            Self::Unknown
        }
    }
}
/// Under which name a handle keeps whom the emergency code has let in.
const EMERGENCY: &str = "pam_mfa_emergency";
/// And under which who knows the present passphrase, to change it.
const PRESENT: &str = "pam_mfa_present";

/// Whose present passphrase was typed, and the hash that it was right by.
type Present = Option<(Vec<u8>, PassphraseHash)>;

/// A handle of libpam's. Whatever it gives is copied at once: the next conversation may free it.
pub(crate) struct Pam<'a>(&'a mut PamHandle);

/// The items that stay the same during a login.
pub(crate) struct Items {
    pub(crate) service: String,
    pub(crate) remote_host: Option<String>,
    pub(crate) tty: Option<String>,
    pub(crate) remote_user: Option<String>,
}

impl Pam<'_> {
    /// `PAM_USER`'s bytes; asks for the name where the host program has not.
    pub(crate) fn user(&mut self) -> Option<Vec<u8>> {
        if self.current_user().is_none() {
            // Only to have libpam ask: it refuses names that are not UTF-8, we take the item.
            let _ = self.0.get_user(None);
        }
        self.current_user()
    }

    /// `PAM_USER` as it is now.
    pub(crate) fn current_user(&self) -> Option<Vec<u8>> {
        let user: User<'_> = self.0.get_item().ok()??;
        Some(user.to_bytes().to_vec())
    }

    pub(crate) fn items(&self) -> Items {
        let text = |item: Option<&CStr>| item.map(|text| text.to_string_lossy().into_owned());
        Items {
            service: text(
                self.0
                    .get_item::<Service<'_>>()
                    .ok()
                    .flatten()
                    .map(|item| item.0),
            )
            .unwrap_or_default(),
            remote_host: text(
                self.0
                    .get_item::<RHost<'_>>()
                    .ok()
                    .flatten()
                    .map(|item| item.0),
            ),
            tty: text(
                self.0
                    .get_item::<Tty<'_>>()
                    .ok()
                    .flatten()
                    .map(|item| item.0),
            ),
            remote_user: text(
                self.0
                    .get_item::<RUser<'_>>()
                    .ok()
                    .flatten()
                    .map(|item| item.0),
            ),
        }
    }

    /// The password that an earlier module was given, if there is one; an empty one is none.
    pub(crate) fn password(&self) -> Option<Zeroizing<Vec<u8>>> {
        let token: AuthTok<'_> = self.0.get_item().ok()??;
        let password = Zeroizing::new(token.as_bytes().to_vec());
        (!password.is_empty()).then_some(password)
    }

    /// Asks one question; `None` where the conversation fails or gives nothing.
    pub(crate) fn ask(&self, text: &str, echo: bool) -> Option<TypedAnswer> {
        let style = if echo {
            PAM_PROMPT_ECHO_ON
        } else {
            PAM_PROMPT_ECHO_OFF
        };
        let conversation: Conv<'_> = self.0.get_item().ok()??;
        let answer = conversation.send(style, text).ok()??;
        Some(TypedAnswer::new(answer.as_bytes().to_vec()))
    }

    /// Says something that is no question. Where it can't be shown, nobody is there to read it.
    pub(crate) fn tell(&self, text: &str) {
        if let Ok(Some(conversation)) = self.0.get_item::<Conv<'_>>() {
            let _ = conversation.send(PAM_ERROR_MSG, text);
        }
    }

    /// Writes a line to the host program's log.
    pub(crate) fn syslog(&self, severity: Severity, line: &str) {
        let priority = match severity {
            Severity::Alert => 1,
            Severity::Error => 3,
            Severity::Notice => 5,
            Severity::Info => 6,
            Severity::Debug => 7,
        };
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the handle is libpam's own and lives as long as `self`; format and argument are
        // NUL-terminated, and the one `%s` has its one argument.
        unsafe { pam_syslog(&raw const *self.0, priority, c"%s".as_ptr(), line.as_ptr()) };
    }

    /// Has the host program wait after a refusal.
    pub(crate) fn fail_delay(&mut self, microseconds: u32) {
        // SAFETY: the handle is libpam's own, borrowed mutably. The answer can only be success.
        unsafe { pam_fail_delay(&raw mut *self.0, microseconds) };
    }

    /// Leaves a variable for the hooks that follow, and for the session.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        let Ok(text) = CString::new(format!("{name}={value}")) else {
            return;
        };
        // SAFETY: the handle is libpam's own; libpam copies the text, which is NUL-terminated. Without
        // the variable, later lines carry another name: no reason to fail.
        unsafe { pam_putenv(&raw mut *self.0, text.as_ptr()) };
    }

    /// A variable that an earlier hook left.
    pub(crate) fn variable(&mut self, name: &CStr) -> Option<String> {
        // SAFETY: the handle is libpam's own, the name NUL-terminated.
        let value = unsafe { pam_getenv(&raw mut *self.0, name.as_ptr()) };
        if value.is_null() {
            return None;
        }
        // SAFETY: not null, so a NUL-terminated string of libpam's, copied before anything can change it.
        Some(
            unsafe { CStr::from_ptr(value) }
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// Notes in this handle that the emergency code let `PAM_USER` in. Neither a user nor the host program can put that
    /// there: libpam takes it from modules alone, and it never leaves the process. Whether it is noted.
    pub(crate) fn note_emergency(&mut self) -> bool {
        match self.current_user() {
            Some(user) => self.0.set_data(EMERGENCY, Box::new(user)).is_ok(),
            None => false,
        }
    }

    /// Forgets it: another login begins.
    pub(crate) fn forget_emergency(&mut self) {
        if self.noted_emergency().is_some() {
            // Where it can't be replaced it stays somebody's of that name, who was let in.
            let _ = self.0.set_data(EMERGENCY, Box::new(Vec::<u8>::new()));
        }
    }

    /// Whether the emergency code let in who is `PAM_USER` now.
    pub(crate) fn is_emergency(&self) -> bool {
        let user = self.current_user().filter(|user| !user.is_empty());
        user.is_some() && user == self.noted_emergency()
    }

    /// Notes in this handle that `PAM_USER` knows the present passphrase; whether it is noted.
    pub(crate) fn note_present(&mut self, hash: PassphraseHash) -> bool {
        match self.current_user() {
            Some(user) => {
                let present: Present = Some((user, hash));
                self.0.set_data(PRESENT, Box::new(present)).is_ok()
            }
            None => false,
        }
    }

    /// What `PAM_USER` has shown to know, once.
    pub(crate) fn take_present(&mut self) -> Option<PassphraseHash> {
        // SAFETY: what has this name was put there by `note_present` or below, and is a `Present`; it is copied at once.
        let noted = unsafe { self.0.get_data::<Present>(PRESENT) };
        let (user, hash) = noted.ok()?.clone()?;
        // Where it can't be replaced nobody is to take it again.
        self.0.set_data(PRESENT, Box::new(Present::None)).ok()?;
        (self.current_user()? == user).then_some(hash)
    }

    fn noted_emergency(&self) -> Option<Vec<u8>> {
        // SAFETY: what has this name was put there by `note_emergency` or `forget_emergency`, and is a `Vec<u8>`;
        // it is copied at once.
        unsafe { self.0.get_data::<Vec<u8>>(EMERGENCY) }
            .ok()
            .cloned()
    }
}

/// What libpam finds behind the six names.
struct Module;

pam::pam_hooks!(Module);

impl PamHooks for Module {
    fn sm_authenticate(pamh: &mut PamHandle, args: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        hooks::authenticate(&mut Pam(pamh), &args)
    }

    fn sm_setcred(pamh: &mut PamHandle, args: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        hooks::setcred(&mut Pam(pamh), &args)
    }

    fn acct_mgmt(pamh: &mut PamHandle, args: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        hooks::acct_mgmt(&mut Pam(pamh), &args)
    }

    fn sm_open_session(pamh: &mut PamHandle, args: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        hooks::open_session(&mut Pam(pamh), &args)
    }

    fn sm_close_session(pamh: &mut PamHandle, args: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        hooks::close_session(&mut Pam(pamh), &args)
    }

    fn sm_chauthtok(pamh: &mut PamHandle, args: Vec<&CStr>, flags: PamFlag) -> PamResultCode {
        hooks::chauthtok(&mut Pam(pamh), &args, Phase::of(flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_change_say_what_it_is_for() {
        const PAM_SILENT: PamFlag = 0x8000;
        for (flags, phase) in [
            (PAM_PRELIM_CHECK, Phase::Preliminary),
            (PAM_PRELIM_CHECK | PAM_SILENT, Phase::Preliminary),
            (PAM_UPDATE_AUTHTOK, Phase::Update),
            (
                PAM_UPDATE_AUTHTOK | PAM_CHANGE_EXPIRED_AUTHTOK,
                Phase::Expired,
            ),
            (
                PAM_PRELIM_CHECK | PAM_CHANGE_EXPIRED_AUTHTOK,
                Phase::Expired,
            ),
            (0, Phase::Unknown),
            (PAM_SILENT, Phase::Unknown),
        ] {
            assert_eq!(Phase::of(flags), phase, "{flags:x}");
        }
    }
}
