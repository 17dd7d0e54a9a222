//! What sshd's settings mean for one user's logins.

use std::time::Duration;

use super::Question;
use super::settings::Settings;
use crate::doctor::check::Check;
use crate::doctor::pam_stack::{FirstFactor, ServiceSummary};

/// Less than this is short for unlocking a phone, or for a mail to arrive.
const SHORT_GRACE: u64 = 60;
/// sshd's own default.
const LONG_GRACE: u64 = 120;
/// Fewer, and an agent's keys use the attempts up before the code is asked.
const FEW_TRIES: u64 = 3;

const BOTH: &str = "AuthenticationMethods publickey,keyboard-interactive:pam";

/// One alternative of `AuthenticationMethods`, as it would go for a user.
struct Alternative {
    methods: Vec<String>,
    /// All its methods can succeed.
    open: bool,
}

impl Alternative {
    fn place(&self, method: &str) -> Option<usize> {
        self.methods.iter().position(|known| known == method)
    }

    fn asks(&self) -> bool {
        self.place("keyboard-interactive").is_some()
    }

    /// A key (or Kerberos) has to be shown before the code is asked.
    fn proves_first(&self) -> bool {
        let code = self.place("keyboard-interactive");
        ["publickey", "gssapi-with-mic", "gssapi-keyex"]
            .iter()
            .any(|method| self.place(method).is_some_and(|at| Some(at) < code))
    }
}

/// What an administrator should know about logins of `user`; `recorded`: with a record.
pub(super) fn judge(
    settings: &Settings,
    (user, recorded): (&str, bool),
    question: &Question<'_>,
) -> Vec<Check> {
    if !settings.yes("usepam") {
        return vec![Check::fail(
            "sshd.use-pam",
            "sshd does not use PAM (UsePAM no), so pam_mfa.so is never asked.",
            "Write `UsePAM yes` in sshd_config and restart sshd.",
        )];
    }
    let Some(stack) = question.stack else {
        return vec![Check::warn(
            "sshd.stack",
            "the PAM service sshd does not reach pam_mfa.so: SSH logins need no code.",
            "Add the lines of the example for sshd to /etc/pam.d/sshd.",
        )];
    };
    let Some((place, factor)) = &stack.auth else {
        return vec![Check::warn(
            "sshd.stack",
            "pam_mfa.so stands only in account for sshd: no code is ever asked over SSH.",
            "Add its auth lines to /etc/pam.d/sshd if a code is to be asked.",
        )];
    };
    let root = user == "root";
    if root && settings.value("permitrootlogin") == "no" {
        return vec![Check::ok(
            "sshd.code",
            "may not log in over SSH at all (PermitRootLogin no).",
        )];
    }
    let all = alternatives(settings, root);
    let open: Vec<&Alternative> = all.iter().filter(|one| one.open).collect();
    let asking: Vec<&Alternative> = open.iter().copied().filter(|one| one.asks()).collect();
    let mut checks = Vec::new();
    if !keys_only(settings, root) {
        password(settings, &all, &open, &asking, &mut checks);
    }
    if open.is_empty() {
        if checks.is_empty() {
            checks.push(locked_out(settings, root, recorded));
        }
        return checks;
    }
    by_passes(&open, stack, &mut checks);
    if settings.yes("kerberosauthentication")
        && all.iter().any(|one| one.place("password").is_some())
    {
        checks.push(Check::warn(
            "sshd.kerberos",
            "KerberosAuthentication checks passwords without the PAM auth stack: no code is asked.",
            "Write `KerberosAuthentication no`, or `PasswordAuthentication no`.",
        ));
    }
    let unproven = |one: &&Alternative| !one.proves_first();
    if matches!(factor, FirstFactor::None | FirstFactor::After) && asking.iter().any(unproven) {
        let (what, hint) = if *factor == FirstFactor::None {
            (
                "is all that is asked",
                format!("Write `{BOTH}`, or put `@include common-auth` before pam_mfa.so."),
            )
        } else {
            (
                "is asked before anything else",
                format!("Put the password line before pam_mfa.so, or write `{BOTH}`."),
            )
        };
        checks.push(Check::fail(
            "sshd.first-factor",
            format!(
                "the code {what}: pam_mfa.so comes first ({place}) and AuthenticationMethods ({}) \
                 does not ask for a key before it. Strangers can use up guesses and lock people out.",
                settings.value("authenticationmethods")
            ),
            hint,
        ));
    }
    if !asking.is_empty() {
        limits(settings, &asking, question.time_for_a_code, &mut checks);
    }
    if checks.is_empty() {
        let after = match (factor, asking.iter().all(|one| one.proves_first())) {
            (FirstFactor::None, _) => "a key",
            (FirstFactor::Passphrase, true) => "a key and the passphrase",
            (FirstFactor::Passphrase, false) => "the passphrase",
            (_, true) => "a key and the password",
            (_, false) => "the password",
        };
        checks.push(Check::ok(
            "sshd.code",
            format!("sshd asks for a code after {after}."),
        ));
    }
    checks
}

/// Whether sshd takes neither password nor code from this user, right or wrong: root, unless
/// `PermitRootLogin yes`.
fn keys_only(settings: &Settings, root: bool) -> bool {
    root && settings.value("permitrootlogin") != "yes"
}

/// The ways that sshd offers, each with whether it can be gone to its end.
fn alternatives(settings: &Settings, root: bool) -> Vec<Alternative> {
    let interactive = settings.yes("kbdinteractiveauthentication")
        || settings.yes("challengeresponseauthentication");
    let keys_only = keys_only(settings, root);
    let enabled = |method: &str| match method {
        "publickey" => settings.yes("pubkeyauthentication"),
        "password" => settings.yes("passwordauthentication"),
        "keyboard-interactive" => interactive,
        "hostbased" => settings.yes("hostbasedauthentication"),
        "gssapi-with-mic" => settings.yes("gssapiauthentication"),
        "gssapi-keyex" => settings.yes("gssapikeyexchange"),
        _ => false,
    };
    // The password method answers the code prompt with the password: it never succeeds.
    let succeeds = |method: &String| match method.as_str() {
        "password" => false,
        "keyboard-interactive" => interactive && !keys_only,
        method => enabled(method),
    };
    let listed = settings.value("authenticationmethods");
    let lists: Vec<Vec<String>> = if listed.is_empty() || listed == "any" {
        [
            "publickey",
            "keyboard-interactive",
            "password",
            "hostbased",
            "gssapi-with-mic",
            "gssapi-keyex",
        ]
        .into_iter()
        .filter(|method| enabled(method))
        .map(|method| vec![method.to_owned()])
        .collect()
    } else {
        let one = |list: &str| list.split(',').map(method_name).collect();
        listed.split_whitespace().map(one).collect()
    };
    lists
        .into_iter()
        .map(|methods| Alternative {
            open: methods.iter().all(succeeds),
            methods,
        })
        .collect()
}

/// `keyboard-interactive:pam` is what `keyboard-interactive` means here; another device is not.
fn method_name(method: &str) -> String {
    method.strip_suffix(":pam").unwrap_or(method).to_owned()
}

/// The password method, which can't ask for a code.
fn password(
    settings: &Settings,
    all: &[Alternative],
    open: &[&Alternative],
    asking: &[&Alternative],
    checks: &mut Vec<Check>,
) {
    let enabled = settings.yes("passwordauthentication");
    let offered = |one: &Alternative| one.place("password").is_some();
    if !enabled || !all.iter().any(offered) {
        return;
    }
    let dies = "sshd's password method answers the code prompt with the account password, which \
                is always refused (MFA-2110)";
    if asking.is_empty() {
        let who = if open.is_empty() {
            "nobody gets in"
        } else {
            "whoever has no key is locked out"
        };
        checks.push(Check::fail(
            "sshd.password",
            format!("{dies}; with no keyboard-interactive way to log in, {who}."),
            "Write `KbdInteractiveAuthentication yes` and `PasswordAuthentication no`.",
        ));
    } else {
        checks.push(Check::warn(
            "sshd.password",
            format!("{dies}: scp, ansible and clients that prefer it fail."),
            "Write `PasswordAuthentication no`; keyboard-interactive asks for password and code.",
        ));
    }
}

fn locked_out(settings: &Settings, root: bool, recorded: bool) -> Check {
    let methods = settings.value("authenticationmethods");
    let permit = settings.value("permitrootlogin");
    if root && permit != "yes" {
        let message = format!(
            "can't log in over SSH: PermitRootLogin {permit} refuses the code prompt, and \
             AuthenticationMethods is {methods}."
        );
        let hint = "Log in as yourself and use su or sudo; or write `PermitRootLogin yes` in a \
                    Match block with a key required.";
        return if recorded {
            Check::fail("sshd.lockout", message, hint)
        } else {
            Check::warn("sshd.lockout", message, hint)
        };
    }
    Check::fail(
        "sshd.lockout",
        format!("locked out: no way in AuthenticationMethods ({methods}) is enabled."),
        format!("Write `KbdInteractiveAuthentication yes`, and `{BOTH}` for key and code."),
    )
}

/// Ways in that never come to the auth stack.
fn by_passes(open: &[&Alternative], stack: &ServiceSummary, checks: &mut Vec<Check>) {
    let ways: Vec<String> = open
        .iter()
        .filter(|one| !one.asks())
        .map(|one| one.methods.join(","))
        .collect();
    if ways.is_empty() {
        return;
    }
    let checked = if stack.account.is_some() {
        "only the account line checks approval and device"
    } else {
        "and with no account line for pam_mfa.so nothing is checked, not even for the suspended"
    };
    let ways = ways.join(" or ");
    let what = if ways == "publickey" {
        "a key alone".to_owned()
    } else {
        format!("{ways} alone")
    };
    checks.push(Check::warn(
        "sshd.bypass",
        format!("the code can be passed by: {what} logs in without one; {checked}."),
        format!("If a code is always to be asked, write `{BOTH}`."),
    ));
}

/// Time and attempts for somebody who has to find a phone, or to wait for a code that is sent.
fn limits(
    settings: &Settings,
    asking: &[&Alternative],
    time_for_a_code: Option<Duration>,
    checks: &mut Vec<Check>,
) {
    let to_arrive = time_for_a_code.map_or(0, |time| time.as_secs());
    if let Some(seconds) = settings.number("logingracetime")
        && (1..to_arrive.max(SHORT_GRACE)).contains(&seconds)
    {
        let why = if to_arrive > 0 {
            format!(
                "a code that is sent may need {to_arrive} s to leave (courier.deadline), to arrive and to be typed"
            )
        } else {
            "short for finding a code and typing it".to_owned()
        };
        checks.push(Check::warn(
            "sshd.grace-time",
            format!("LoginGraceTime is {seconds} s: {why}."),
            format!("Write `LoginGraceTime {}`.", to_arrive.max(LONG_GRACE)),
        ));
    }
    let keys = asking.iter().any(|one| one.place("publickey").is_some());
    if let Some(tries) = settings.number("maxauthtries")
        && tries < FEW_TRIES
        && keys
    {
        checks.push(Check::warn(
            "sshd.tries",
            format!(
                "MaxAuthTries is {tries}: every key that the client offers counts, so the code may \
                 never be asked."
            ),
            "Write `MaxAuthTries 6`.",
        ));
    }
}
