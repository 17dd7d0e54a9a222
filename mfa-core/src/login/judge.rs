//! What an answer comes to, on the record and the state as they are under the lock, whatever was true when the
//! prompt was shown. Every answer costs the same, whoever gives it.

use super::{Setting, token};
use crate::clock::Clock;
use crate::courier::{self, Document, Kind};
use crate::host;
use crate::notice;
use crate::otp::{Authenticator, Binding, Code, SentCode, TypedAnswer};
use crate::policy::{self, Decision, DenyReason};
use crate::record::{App, Method, UserRecord};
use crate::request::LoginRequest;
use crate::seal::SealError;
use crate::state::LoginState;
use crate::throttle::{self, Consequence, Limits, Verdict};

/// What a code came to.
#[derive(Debug)]
pub(super) enum Judgement {
    Accepted {
        method: Method,
        /// The label of the app or token; empty for other methods.
        app: String,
        /// Two codes in a row have brought the token back into step.
        was_out_of_step: bool,
    },
    Wrong {
        method: Method,
        /// The app or token whose code it is all the same, and why it does not let in, in a word.
        known: Option<(String, &'static str)>,
        consequence: Consequence,
    },
    Replayed {
        method: Method,
        app: String,
        consequence: Consequence,
    },
    /// The code that was sent, too late.
    Expired {
        method: Method,
        consequence: Consequence,
    },
    ClockRollback,
    Denied(DenyReason),
    Held(Verdict),
    /// None of the user's secrets opens.
    NoSecretOpens(String),
}

/// What the wish for a code came to.
#[derive(Debug)]
pub(super) enum Delivery {
    /// It is to be sent.
    Send(Box<Document>),
    /// Too many were.
    Throttled,
    Denied(DenyReason),
    Held(Verdict),
    /// The user has no such method, or none that sends.
    NoAddress,
    /// The system gives no random bytes.
    NoRandomness,
}

/// A user who may be asked for a code: the record, and what counts.
pub(super) type Standing<'a> = Result<(&'a UserRecord, Vec<Method>), DenyReason>;

pub(super) fn standing<'a>(
    setting: &Setting<'_>,
    request: &LoginRequest,
    record: Option<&'a UserRecord>,
) -> Standing<'a> {
    let (config, channels) = (setting.config, setting.channels);
    let decision = policy::decide_asked(config, channels, request, record, setting.device);
    match (decision, record) {
        (Decision::Challenge(methods), Some(record)) => Ok((record, methods)),
        (Decision::Deny(reason), _) => Err(reason),
        // Who would now be let by was asked when the prompt was shown, and lost the record since.
        (Decision::Skip(_) | Decision::Passphrase(_) | Decision::Challenge(_), _) => {
            Err(DenyReason::NotEnrolled)
        }
    }
}

/// Judges a code.
pub(super) fn judge(
    setting: &Setting<'_>,
    request: &LoginRequest,
    clock: &dyn Clock,
    record: Option<&UserRecord>,
    state: &mut LoginState,
    code: &Code,
) -> Judgement {
    let config = setting.config;
    let now = clock.now();
    state.advance(&now);
    let seconds = now.unix_seconds();
    let limits = Limits::from(config);
    let verdict = throttle::admit(&state.codes, state.now(), &limits);
    let standing = standing(setting, request, record);
    let sent_by = matching_sent_code(setting, request, record, state, code);
    let (record, methods) = match standing {
        Ok(standing) => standing,
        Err(reason) => {
            spend_like_an_app(setting, code, seconds);
            token::spend(setting, code);
            return Judgement::Denied(reason);
        }
    };
    if verdict != Verdict::Evaluate {
        spend_like_an_app(setting, code, seconds);
        token::spend(setting, code);
        return Judgement::Held(verdict);
    }
    let found = if record.methods.contains(&Method::App) && !record.apps.is_empty() {
        find(setting, record, state, code, seconds)
    } else {
        spend_like_an_app(setting, code, seconds);
        Found::NotAsked
    };
    // Of two codes in a row the second one comes next, or they are none.
    let expected = state.resync.take();
    let of_token = match found {
        // Who is let in may be let in sooner.
        Found::Right { .. } => token::Found::NotAsked,
        _ => token::find(setting, record, state, expected.as_ref(), code),
    };
    if let Some(sent) = sent_by.filter(|sent| methods.contains(&sent.method)) {
        // Right or too late: it is not looked at again.
        state.sent = None;
        let age = state.now().saturating_sub(sent.at);
        if u128::from(age) < config.code.lifetime.get().as_millis() {
            state.succeeded(seconds, request.address());
            return Judgement::Accepted {
                method: sent.method,
                app: String::new(),
                was_out_of_step: false,
            };
        }
        return Judgement::Expired {
            method: sent.method,
            consequence: throttle::charge(&mut state.codes, state.clock.elapsed_ms, &limits),
        };
    }
    let is_guess_at_more = state.sent.is_some() || of_token.was_asked();
    let found = match (found, of_token) {
        (Found::NotAsked, token::Found::NoSecretOpens(error)) => Found::NoSecretOpens(error),
        (found @ (Found::Right { .. } | Found::Used { .. }), _) => found,
        (found, of_token) => match of_token.settle(state, request, seconds, &limits) {
            Some(judgement) => return judgement,
            None => found,
        },
    };
    let mut charge = || throttle::charge(&mut state.codes, state.clock.elapsed_ms, &limits);
    match found {
        Found::Right { app, step } => {
            state.accept_step(app, step);
            state.forget_removed_apps(&record.apps, seconds, config.app.window.get());
            state.succeeded(seconds, request.address());
            Judgement::Accepted {
                method: Method::App,
                app: app.label.to_string(),
                was_out_of_step: false,
            }
        }
        Found::Used { app } => Judgement::Replayed {
            method: Method::App,
            app: app.label.to_string(),
            consequence: charge(),
        },
        Found::Disabled { app } => Judgement::Wrong {
            method: Method::App,
            known: Some((app.label.to_string(), "disabled")),
            consequence: charge(),
        },
        // Whatever is the matter with the apps: it was a guess at the code that was sent, or at a token's, as well.
        Found::ClockRollback if !is_guess_at_more => Judgement::ClockRollback,
        Found::NoSecretOpens(error) if !is_guess_at_more => Judgement::NoSecretOpens(error),
        Found::Nothing | Found::NotAsked | Found::ClockRollback | Found::NoSecretOpens(_) => {
            Judgement::Wrong {
                method: methods.first().copied().unwrap_or(Method::App),
                known: None,
                consequence: charge(),
            }
        }
    }
}

/// The code that was sent last, if this is it.
fn matching_sent_code(
    setting: &Setting<'_>,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    state: &LoginState,
    code: &Code,
) -> Option<SentCode> {
    let sent = state.sent.as_ref();
    // An address that was changed meanwhile is another one.
    let to = record
        .zip(sent)
        .and_then(|(record, sent)| record.address_for(sent.method))
        .unwrap_or_default();
    let binding = binding(request, record, &to);
    SentCode::is_code(sent, setting.key, &binding, code)
        .then(|| sent.cloned())
        .flatten()
}

fn binding<'a>(
    request: &'a LoginRequest,
    record: Option<&'a UserRecord>,
    to: &'a str,
) -> Binding<'a> {
    Binding {
        user: record.map_or(request.asked_name.as_str(), |record| record.user.as_str()),
        to,
        service: &request.service,
        from: request.address(),
    }
}

/// Makes a code to be sent, and remembers it in the place of the one before. `wanted`: the method that was asked
/// for; else the first of the user's that sends. Counted; failures are not forgiven.
pub(super) fn judge_wish(
    setting: &Setting<'_>,
    request: &LoginRequest,
    clock: &dyn Clock,
    record: Option<&UserRecord>,
    state: &mut LoginState,
    wanted: Option<Method>,
    reference: &str,
) -> Delivery {
    let config = setting.config;
    let now = clock.now();
    state.advance(&now);
    let seconds = now.unix_seconds();
    let verdict = throttle::admit(&state.codes, state.now(), &Limits::from(config));
    let standing = standing(setting, request, record);
    let sends = |method: &Method| method.is_sent() && wanted.is_none_or(|w| w == *method);
    let chosen = standing.as_ref().ok().and_then(|(record, methods)| {
        let method = methods.iter().copied().find(sends)?;
        Some((method, record.address_for(method)?))
    });
    // Made for everybody, and thrown away where nobody is to have it.
    let (method, to) = chosen.clone().unwrap_or((Method::Email, String::new()));
    let made = make_code(
        setting,
        &binding(request, record, &to),
        method,
        state.now(),
        seconds,
    );
    let (record, _) = match standing {
        Ok(standing) => standing,
        Err(reason) => return Delivery::Denied(reason),
    };
    if verdict != Verdict::Evaluate {
        return Delivery::Held(verdict);
    }
    if chosen.is_none() {
        return Delivery::NoAddress;
    }
    let Ok((code, sent)) = made else {
        return Delivery::NoRandomness;
    };
    if !throttle::charge_send(&mut state.sends, state.clock.elapsed_ms, config) {
        return Delivery::Throttled;
    }
    state.sent = Some(sent);
    let mut document = setting.notices().document(Kind::Code, record, seconds);
    document.channel = method;
    document.to = to;
    notice::tell_of_request(&mut document, request);
    reference.clone_into(&mut document.reference);
    document.code.push_str(code.as_str());
    document.lifetime = config.code.lifetime.get().as_secs();
    Delivery::Send(Box::new(document))
}

fn make_code(
    setting: &Setting<'_>,
    binding: &Binding<'_>,
    method: Method,
    at: u64,
    seconds: u64,
) -> Result<(Code, SentCode), SealError> {
    let code = Code::to_send(setting.config.code.digits.get(), seconds)?;
    let sent = SentCode::remember(setting.key, binding, method, at, &code)?;
    Ok((code, sent))
}

/// A document for nobody: a courier is started with it where no code is to be sent, since starting one takes
/// time. As long as one for somebody.
pub(super) fn nothing_to_send(seconds: u64) -> Document {
    let mut document = Document::new(Kind::Nothing, courier::new_id(), seconds);
    document.host = host::name();
    document.to.push_str("nobody@localhost");
    document.reference = courier::new_reference();
    document
}

/// What a code is among a user's apps.
enum Found<'a> {
    Right {
        app: &'a App,
        step: u64,
    },
    Used {
        app: &'a App,
    },
    /// The code of an app that is disabled.
    Disabled {
        app: &'a App,
    },
    Nothing,
    /// No app was asked.
    NotAsked,
    ClockRollback,
    NoSecretOpens(String),
}

/// Looks at every app, whichever the code is of, so that they all take the same time.
fn find<'a>(
    setting: &Setting<'_>,
    record: &'a UserRecord,
    state: &LoginState,
    code: &Code,
    seconds: u64,
) -> Found<'a> {
    let window = setting.config.app.window.get();
    let (mut right, mut used, mut disabled, mut trouble) = (None, None, None, None);
    let (mut has_asked, mut is_behind) = (false, false);
    for app in &record.apps {
        let authenticator = match Authenticator::open(setting.key, &record.user, app, window) {
            Ok(authenticator) => authenticator,
            Err(error) => {
                if !app.disabled {
                    trouble = Some(error.to_string());
                }
                continue;
            }
        };
        let last = state.last_step(&app.id);
        let matching = authenticator.matching_step(code, seconds);
        if app.disabled {
            disabled = disabled.or(matching.map(|_| app));
            continue;
        }
        if state.is_ahead_of(seconds, window, &app.id) {
            is_behind = true;
            continue;
        }
        has_asked = true;
        match matching {
            Some(step) if last.is_none_or(|last| last < step) => {
                right = right.or(Some((app, step)));
            }
            Some(_) => used = used.or(Some(app)),
            None => {}
        }
    }
    match (right, used, trouble) {
        // Used for one app is used: two apps can have one secret.
        (_, Some(app), _) => Found::Used { app },
        (Some((app, step)), None, _) => Found::Right { app, step },
        (None, None, _) if disabled.is_some() => {
            disabled.map_or(Found::Nothing, |app| Found::Disabled { app })
        }
        (None, None, _) if has_asked => Found::Nothing,
        (None, None, _) if is_behind => Found::ClockRollback,
        (None, None, Some(error)) => Found::NoSecretOpens(error),
        (None, None, None) => Found::NotAsked,
    }
}

/// Does as much as for a code, and charges nothing.
pub(super) fn spend_like_a_code(
    setting: &Setting<'_>,
    request: &LoginRequest,
    record: Option<&UserRecord>,
    state: &LoginState,
    seconds: u64,
) {
    if let Some(code) = TypedAnswer::new(b"000000".to_vec()).as_code() {
        let sent = matching_sent_code(setting, request, record, state, &code);
        spend_like_an_app(setting, &code, seconds);
        token::spend(setting, &code);
        let _ = std::hint::black_box(sent);
    }
}

/// Decrypts and computes as much as for a user with one app.
pub(super) fn spend_like_an_app(setting: &Setting<'_>, code: &Code, seconds: u64) {
    let sealed = format!("sealed:1:{}:{}", setting.key.id(), "0".repeat(120));
    let opened = setting.key.open("decoy", "app/00000000", &sealed);
    let matching = Authenticator::decoy(setting.config.app.window.get())
        .map(|authenticator| authenticator.matching_step(code, seconds));
    let _ = std::hint::black_box((opened, matching));
}
