//! `token add`.

use mfa_core::audit::{Entry, Event};
use mfa_core::hex;
use mfa_core::hotp::Hotp;
use mfa_core::otp::TypedAnswer;
use mfa_core::record::{AppId, Method, Token, UserRecord, datetime};
use mfa_core::request::UserName;
use mfa_core::store::{Store, Subject};
use serde_json::json;
use zeroize::Zeroizing;

use super::move_counters;
use crate::app::{self, Confirmation};
use crate::ask;
use crate::cli::TokenAddArgs;
use crate::context::{Context, House, no_such_user};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, quoted, shown, wrap};

/// How far ahead of where a token is said to stand its code is looked for.
const AHEAD: u32 = 100;
/// How often a code is asked for at a terminal.
const TRIES: u32 = 3;

/// Runs the verb.
pub(super) fn run(context: &Context<'_>, arguments: &TokenAddArgs) -> Result<Reply, Failure> {
    let house = context.open()?;
    let key = house.key()?;
    let user = context.person(&arguments.name)?.user;
    check_room(&house.record(&user)?, arguments)?;
    let confirmation = confirmation(arguments)?;
    let secret = secret(arguments)?;
    let id = AppId::of_token(&key, &user, &secret);
    let record = house.record(&user)?;
    check_secret(&record, &id)?;
    let counter = counter(context, &house, &record, &id, arguments)?;
    let hotp = Hotp::new(&secret, *arguments.digits.get());
    let confirmed = match confirmation {
        Confirmation::None => None,
        Confirmation::StandardInput => Some(code_from_standard_input(&hotp, counter)?),
        Confirmation::Terminal => Some(code_from_terminal(&hotp, counter)?),
    };
    let next = confirmed.map_or(counter, |counter| counter.saturating_add(1));
    let token = Token {
        secret: String::new(),
        id,
        label: arguments.label.clone(),
        digits: arguments.digits.clone(),
        counter: next,
        enrolled: datetime(context.unix_seconds()),
        disabled: false,
    };
    let has_method = keep(&house, &user, (&token, &secret), arguments)?;
    let entry = Entry {
        app: Some(token.label.get()),
        reason: confirmed.is_none().then_some("not confirmed"),
        ..Entry::default()
    };
    context.log_change(Event::TokenAdded, Some(&user), &entry);
    let record = house.record(&user)?;
    let change = Change::of(Event::TokenAdded).app(token.label.get());
    notice::tell(context, &house.config, &[&record], change);
    let document = json!({
        "user": user.as_str(),
        "label": token.label.get(),
        "id": token.id.get(),
        "next": next,
        "confirmed": confirmed.is_some(),
    });
    let (name, label) = (shown(user.as_str()), shown(token.label.get()));
    let counts = if has_method {
        ""
    } else {
        " The method token counts from now on."
    };
    let text = match confirmed {
        Some(_) => format!("Added {label} for {name}. The next login takes the next code.{counts}"),
        None => format!(
            "Added {label} for {name}, without a code from the token, at counter {next}.{counts}"
        ),
    };
    Ok(Reply::done(document, wrap("", "", &text)))
}

fn confirmation(arguments: &TokenAddArgs) -> Result<Confirmation, Failure> {
    app::confirmation(arguments.no_confirm, arguments.confirm.is_some(), "token")
}

/// Whether one more token, and this label, has a place in the record.
fn check_room(record: &UserRecord, arguments: &TokenAddArgs) -> Result<(), Failure> {
    let name = shown(record.user.as_str());
    let label = shown(arguments.label.get());
    if record
        .tokens
        .iter()
        .any(|token| token.label == arguments.label)
    {
        return Err(Failure::refused(
            format!("{name} has a token called {label} already"),
            format!(
                "give another --label, or remove that one first: `mfa-admin token remove {name} {}`",
                quoted(arguments.label.get())
            ),
        ));
    }
    app::check_count(record)
}

/// Whether the record does not have this secret yet.
fn check_secret(record: &UserRecord, id: &AppId) -> Result<(), Failure> {
    let Some(token) = record.token(id) else {
        return Ok(());
    };
    let name = shown(record.user.as_str());
    let label = shown(token.label.get());
    Err(Failure::refused(
        format!("{name} has this token already, as {label}"),
        format!(
            "`mfa-admin token resync {name} {}` brings it back into step",
            quoted(token.label.get())
        ),
    ))
}

/// The secret, from the first line of standard input.
fn secret(arguments: &TokenAddArgs) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let form = if arguments.hex {
        "hexadecimal"
    } else {
        "base32"
    };
    let line = ask::hidden_line(&format!("Secret in {form}: "))?.ok_or_else(|| {
        Failure::failed(
            "there is no secret on standard input",
            format!("give it in {form}, as one line"),
        )
    })?;
    if arguments.hex {
        return secret_of_hex(&line);
    }
    app::secret_of(&line).map_err(|failure| {
        let is_hex = secret_of_hex(&line).is_ok();
        let hint = if is_hex {
            "it looks hexadecimal: give --hex".to_owned()
        } else {
            failure.hint
        };
        Failure { hint, ..failure }
    })
}

/// A secret in hexadecimal, as it comes with many tokens: blanks, hyphens and colons are no mistakes.
fn secret_of_hex(line: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut digits = Zeroizing::new(String::with_capacity(line.len()));
    digits.extend(line.chars().filter(|c| !" -:\t".contains(*c)));
    let secret = hex::decode(&digits).map(Zeroizing::new).ok_or_else(|| {
        Failure::failed(
            "the secret is not hexadecimal",
            "it is made of two of the digits 0 to 9 and the letters a to f for each byte",
        )
    })?;
    app::check_length(secret)
}

/// Where the token begins: where it was said to, and never before a code that was good once.
fn counter(
    context: &Context<'_>,
    house: &House,
    record: &UserRecord,
    id: &AppId,
    arguments: &TokenAddArgs,
) -> Result<u64, Failure> {
    let state = house.store.state(&record.user)?.map(|view| view.state);
    let in_state = state.and_then(|state| state.token(id).map(|counter| counter.next));
    let known = record.removed_counter(id).max(in_state).unwrap_or(0);
    let given = arguments.counter.unwrap_or(0);
    if is_unknown(record, id) && in_state.is_none() {
        context.output.warn(&format!(
            "{0} had this token before, and nobody knows how far its codes were used: none lets in until `mfa-admin token resync {0}`",
            shown(record.user.as_str())
        ));
    } else if given < known {
        context.output.warn(&format!(
            "{} had this token before: its codes below counter {known} are not good again, and it goes on from there",
            shown(record.user.as_str())
        ));
    }
    Ok(given.max(known))
}

/// Whether the token was removed when nobody knew any more how far its codes were used.
fn is_unknown(record: &UserRecord, id: &AppId) -> bool {
    record
        .removed_token(id)
        .is_some_and(|removed| removed.unknown)
}

fn code_from_standard_input(hotp: &Hotp, counter: u64) -> Result<u64, Failure> {
    let line = ask::line()?.ok_or_else(|| {
        Failure::failed(
            "there is no code on standard input",
            "give the token's code as one line; nothing was kept",
        )
    })?;
    counter_of(hotp, counter, &line).ok_or_else(|| not_the_code(counter))
}

fn code_from_terminal(hotp: &Hotp, counter: u64) -> Result<u64, Failure> {
    for attempt in 1..=TRIES {
        let line = ask::question("Code that the token shows: ")?.ok_or_else(|| {
            Failure::refused(
                "no code was given; nothing was kept",
                "begin again with `token add`",
            )
        })?;
        if let Some(counter) = counter_of(hotp, counter, &line) {
            return Ok(counter);
        }
        if attempt < TRIES {
            crate::output::say(
                "That is not one of its next codes; press the button and try again.",
            );
        }
    }
    Err(not_the_code(counter))
}

fn counter_of(hotp: &Hotp, counter: u64, line: &str) -> Option<u64> {
    let code = TypedAnswer::new(line.as_bytes().to_vec()).as_code()?;
    let places = hotp.places_of(&code, counter, AHEAD + 1);
    Some(counter.saturating_add(u64::from(*places.first()?)))
}

fn not_the_code(counter: u64) -> Failure {
    Failure::refused(
        format!(
            "that is not a code of this secret from counter {counter} on, nor one of the {AHEAD} after it; nothing was \
             kept"
        ),
        "see that secret and --digits are right; a token that was used elsewhere needs --counter, or --no-confirm and \
         then `token resync`",
    )
}

/// Puts where the token stands into the state, then the token into the record: no login is to find it without. Whether
/// its method counted before.
fn keep(
    house: &House,
    user: &UserName,
    (token, secret): (&Token, &[u8]),
    arguments: &TokenAddArgs,
) -> Result<bool, Failure> {
    move_counters(house, user)?;
    let raise = || {
        house
            .store
            .transaction(Subject::User(user), &mut |record, state| {
                let removed = record.and_then(|record| record.removed_token(&token.id));
                // Where nobody knows which were used the state stays without it, and no code of it lets in. While somebody
                // looked for their token, another administrator may have added it, and removed it after a login.
                let known = removed.map_or(0, |removed| removed.counter);
                if !removed.is_some_and(|removed| removed.unknown) {
                    state.raise_token(&token.id, token.counter.max(known));
                }
            })
    };
    raise()?;
    let had_method = house.store.change_record(user, |present| {
        let Some(mut record) = present else {
            return Err(no_such_user(user.as_str()));
        };
        check_room(&record, arguments)?;
        check_secret(&record, &token.id)?;
        let has_method = record.methods.contains(&Method::Token);
        if !has_method {
            record.methods.push(Method::Token);
        }
        // Sealed here: the key may have been changed while somebody looked for their token.
        let purpose = Token::seal_purpose(&token.id);
        record.tokens.push(Token {
            secret: house.key()?.seal(user.as_str(), &purpose, secret)?,
            ..token.clone()
        });
        record.enrolled_once = true;
        Ok((Some(record), has_method))
    })?;
    // Once more: another administrator may have taken the counter for a removed token's meanwhile.
    raise()?;
    Ok(had_method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_as_they_come_with_tokens() {
        for text in [
            "3132333435363738393031323334353637383930",
            "31 32 33 34 35 36 37 38 39 30 31 32 33 34 35 36 37 38 39 30",
            "31:32:33:34:35:36:37:38:39:30:31:32:33:34:35:36:37:38:39:30",
            "31323334-35363738-39303132-33343536-37383930",
        ] {
            assert_eq!(
                secret_of_hex(text).unwrap().as_slice(),
                b"12345678901234567890"
            );
        }
        assert!(secret_of_hex("313").is_err());
        assert!(secret_of_hex("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").is_err());
        // RFC 4226, 4 (R6).
        let short = secret_of_hex(&"31".repeat(15)).unwrap_err();
        assert_eq!(short.message, "the secret has 120 bits");
    }
}
