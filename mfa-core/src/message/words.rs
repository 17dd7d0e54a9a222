//! What the names of events and methods are called in a message.

/// What went wrong at a login, by the name of the audit event.
pub(super) fn failure(event: &str) -> Option<&'static str> {
    Some(match event {
        "bad_code" => "a wrong code",
        "replayed" => "a code that had been used before",
        "expired" => "a code whose time was over",
        "not_approved" => "the account is not approved for logins",
        "wrong_device" => "the account is not assigned to this host",
        "unknown_user" => "the account is not known",
        "conversation_failed" => "broken off at the prompt",
        "not_enrolled" => "the account has no second factor yet",
        "suspended" => "the account is suspended",
        "password_as_answer" => "the account's password in place of a code",
        "bad_passphrase" => "a wrong passphrase",
        "bad_emergency_code" => "a wrong emergency code",
        "throttled" => "too many attempts in a short time",
        "refused_while_locked" => "an attempt while the account was locked",
        "refused_while_disabled" => "an attempt while the account was disabled",
        "became_locked" => "the account became locked for a time",
        "became_disabled" => "the account became disabled until an administrator unlocks it",
        "passphrase_refused_while_locked" => "an attempt while passphrases were locked",
        "passphrase_refused_while_disabled" => "an attempt while passphrases were disabled",
        "passphrase_became_locked" => "passphrases became locked for a time",
        "passphrase_became_disabled" => "passphrases were disabled until an administrator acts",
        "recovery_refused_while_locked" => "an attempt while recovery codes were locked",
        "recovery_refused_while_disabled" => "an attempt while recovery codes were disabled",
        "recovery_became_locked" => "recovery codes became locked for a time",
        "recovery_became_disabled" => {
            "recovery codes became disabled until an administrator unlocks them"
        }
        "busy" => "another login held the account up",
        "account_refused" => "refused after the password or key",
        "clock_rollback" => "the host's clock is behind",
        "store_unusable" | "config_unusable" | "device_unusable" | "not_root" | "nss_unusable"
        | "internal" => "the host could not check the login",
        "delivery_failed" => "a code could not be delivered",
        "send_throttled" => "too many codes were asked for",
        _ => return None,
    })
}

/// What an administrator did, by the name of the audit event.
pub(super) fn change(event: &str) -> Option<&'static str> {
    Some(match event {
        "user_added" => "the user was added",
        "user_changed" => "addresses or methods were changed",
        "user_approved" => "logins were approved",
        "user_suspended" => "the user was suspended",
        "user_resumed" => "the suspension was lifted",
        "user_unlocked" => "locks and failures were cleared",
        "user_removed" => "the user was removed",
        "app_enrolled" => "an authenticator app was added",
        "app_revealed" => "the secret of an authenticator app was shown",
        "app_removed" => "an authenticator app was removed",
        "app_disabled" => "an authenticator app was disabled",
        "app_enabled" => "an authenticator app was enabled again",
        "token_added" => "a hardware token was added",
        "token_removed" => "a hardware token was removed",
        "token_resynced" => "a hardware token was brought back into step",
        "token_disabled" => "a hardware token was disabled",
        "token_enabled" => "a hardware token was enabled again",
        "device_assigned" => "a host was assigned",
        "device_revoked" => "a host was taken away",
        "recovery_generated" => "new recovery codes were made",
        "passphrase_set" => "a passphrase was set",
        "passphrase_changed" => "the passphrase was changed",
        "passphrase_removed" => "the passphrase was removed",
        "bypass_granted" => "logins without a code were allowed for a time",
        "bypass_revoked" => "a code is asked for again",
        "state_reset" => "counters and locks were reset",
        "state_clock_set" => "codes from the future were cleared",
        _ => return None,
    })
}

/// With what somebody logged in.
pub(super) fn method(name: &str) -> Option<&'static str> {
    Some(match name {
        "" => "a public key or another way without a code",
        "app" => "a code from the app",
        "email" => "a code by e-mail",
        "telegram" => "a code by Telegram",
        "command" => "a code that this host's own program delivered",
        "token" => "a code from the hardware token",
        "recovery" => "a recovery code",
        "passphrase" => "a passphrase, without a code",
        "emergency" => "the emergency code",
        "bypass" => "no code: an administrator had allowed that for a time",
        _ => return None,
    })
}
