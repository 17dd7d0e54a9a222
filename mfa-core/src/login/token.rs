//! What a code comes to among a user's hardware tokens (HOTP, RFC 4226). Every answer that does not let in by
//! something else costs one search at least, whoever gives it: from used counters up to the last that could bring a
//! token back into step.

use super::Setting;
use super::judge::Judgement;
use crate::config::Config;
use crate::hotp::Hotp;
use crate::otp::Code;
use crate::record::{Method, Token, UserRecord};
use crate::request::LoginRequest;
use crate::state::{LoginState, TokenCounter};
use crate::throttle::{self, Limits};

/// Counters before the next one that are looked at: a code that was used just now is told from a wrong one.
const LOOK_BACK: u32 = 10;

/// What a code is among a user's tokens.
pub(super) enum Found<'a> {
    /// The code before `next`.
    Right {
        token: &'a Token,
        next: u64,
        was_out_of_step: bool,
    },
    Used(&'a Token),
    /// A code of this token that does not let in, and why, in a word.
    Refused {
        token: &'a Token,
        reason: &'static str,
        /// The counter that has to come next for it to be in step again.
        resync: Option<u64>,
    },
    /// No code of any token.
    Nothing,
    /// There is no token that counts.
    NotAsked,
    NoSecretOpens(String),
}

impl Found<'_> {
    /// Whether the code was compared with those of a token.
    pub(super) fn was_asked(&self) -> bool {
        !matches!(self, Self::NotAsked | Self::NoSecretOpens(_))
    }

    /// What it comes to, with all that follows from it in the state; nothing where it was no token's.
    pub(super) fn settle(
        self,
        state: &mut LoginState,
        request: &LoginRequest,
        unix_seconds: u64,
        limits: &Limits,
    ) -> Option<Judgement> {
        let method = Method::Token;
        match self {
            Self::Right {
                token,
                next,
                was_out_of_step,
            } => {
                state.use_token(&token.id, next, unix_seconds);
                state.succeeded(unix_seconds, request.address());
                Some(Judgement::Accepted {
                    method,
                    app: token.label.to_string(),
                    was_out_of_step,
                })
            }
            Self::Used(token) => Some(Judgement::Replayed {
                method,
                app: token.label.to_string(),
                consequence: throttle::charge(&mut state.codes, state.clock.elapsed_ms, limits),
            }),
            Self::Refused {
                token,
                reason,
                resync,
            } => {
                state.resync = resync.map(|next| TokenCounter {
                    token: token.id.clone(),
                    next,
                    used: 0,
                });
                Some(Judgement::Wrong {
                    method,
                    known: Some((token.label.to_string(), reason)),
                    consequence: throttle::charge(&mut state.codes, state.clock.elapsed_ms, limits),
                })
            }
            Self::Nothing | Self::NotAsked | Self::NoSecretOpens(_) => None,
        }
    }
}

/// Looks at every token, whichever the code is of. `expected`: the one that would be back in step with this code.
pub(super) fn find<'a>(
    setting: &Setting<'_>,
    record: &'a UserRecord,
    state: &LoginState,
    expected: Option<&TokenCounter>,
    code: &Code,
) -> Found<'a> {
    if !record.methods.contains(&Method::Token) || record.tokens.is_empty() {
        spend(setting, code);
        return Found::NotAsked;
    }
    let (mut found, mut trouble, mut has_asked) = (Found::Nothing, None, false);
    for token in &record.tokens {
        let hotp = match Hotp::open(setting.key, &record.user, token) {
            Ok(hotp) => hotp,
            Err(error) => {
                if !token.disabled {
                    trouble = Some(error.to_string());
                }
                continue;
            }
        };
        has_asked |= !token.disabled;
        let counter = state.token(&token.id);
        let next = counter.map_or(token.counter, |counter| counter.next);
        let first = next.wrapping_sub(LOOK_BACK.into());
        let places = hotp.places_of(code, first, searched(setting.config));
        let refused = |reason| Found::Refused {
            token,
            reason,
            resync: None,
        };
        let this = if places.is_empty() {
            continue;
        } else if token.disabled {
            refused("disabled")
        } else if counter.is_none() {
            refused("counter_unknown")
        } else {
            let expected = expected.filter(|expected| expected.token == token.id);
            judge(
                setting.config,
                token,
                next,
                expected.map(|expected| expected.next),
                &places,
            )
        };
        // One that lets in first; of the others, whichever comes first.
        if matches!(this, Found::Right { .. }) && !matches!(found, Found::Right { .. })
            || matches!(found, Found::Nothing)
        {
            found = this;
        }
    }
    match (found, trouble) {
        (Found::Nothing, Some(error)) if !has_asked => Found::NoSecretOpens(error),
        (Found::Nothing, None) if !has_asked => Found::NotAsked,
        (found, _) => found,
    }
}

/// What a code of a token that is in use comes to, by its places behind the first counter that was looked at.
fn judge<'a>(
    config: &Config,
    token: &'a Token,
    next: u64,
    expected: Option<u64>,
    places: &[u32],
) -> Found<'a> {
    let look_ahead = u64::from(config.token.look_ahead.get());
    // How far beyond the next one; nothing for one that was used, or where nothing could stand behind it: counters
    // that begin again would be good for ever.
    let ahead = |place: &u32| {
        let ahead = place.checked_sub(LOOK_BACK).map(u64::from);
        ahead.filter(|ahead| *ahead < u64::MAX - next)
    };
    let mut later = places.iter().filter_map(ahead);
    let counter = |ahead: u64| next.saturating_add(ahead);
    let right = |ahead, was_out_of_step| Found::Right {
        token,
        next: counter(ahead).saturating_add(1),
        was_out_of_step,
    };
    // In order: two codes that are the same are taken for the earlier one, which is the one that is shown, mostly.
    match later.clone().next() {
        Some(ahead) if ahead <= look_ahead => right(ahead, false),
        Some(_) if later.any(|ahead| Some(counter(ahead)) == expected) => {
            let ahead = expected.unwrap_or(next).saturating_sub(next);
            right(ahead, true)
        }
        // The last place is looked at only for what is expected there.
        Some(ahead) if ahead <= u64::from(config.token.resync.get()) => Found::Refused {
            token,
            reason: "out_of_step",
            resync: Some(counter(ahead).saturating_add(1)),
        },
        // Before the first counter of all there is none.
        None if places.iter().any(|place| {
            let back = LOOK_BACK.checked_sub(*place).map(u64::from);
            back.is_some_and(|back| next >= back)
        }) =>
        {
            Found::Used(token)
        }
        _ => Found::Nothing,
    }
}

/// How many counters are looked at: those that were used, the next one, those ahead, and one that would follow the last.
fn searched(config: &Config) -> u32 {
    let ahead = config.token.look_ahead.get();
    LOOK_BACK + ahead.max(config.token.resync.get()) + 2
}

/// Decrypts and computes as much as for a user with one token.
pub(super) fn spend(setting: &Setting<'_>, code: &Code) {
    let sealed = format!("sealed:1:{}:{}", setting.key.id(), "0".repeat(120));
    let opened = setting.key.open("decoy", "token/00000000", &sealed);
    let hotp = Hotp::new(&[0x5a; crate::otp::SECRET_LEN], 6);
    let places = hotp.places_of(code, 0, searched(setting.config));
    let _ = std::hint::black_box((opened, places));
}
