//! `code`: codes for scripts, in two steps: one that is sent, and one from standard input that is judged and
//! counted like one at a login.

mod send;

use mfa_core::audit::{AuditTrail, Event};
use mfa_core::config::{Config, Count};
use mfa_core::courier::{Channels, Process};
use mfa_core::device::DeviceId;
use mfa_core::hex;
use mfa_core::login::{self, LoginOutcome, Ports, Prompt, PromptError, Setting};
use mfa_core::otp::TypedAnswer;
use mfa_core::request::{Account, LoginRequest};
use mfa_core::secure_file::Owner;
use serde_json::json;

use crate::ask;
use crate::cli::{CodeCommand, NameArgs};
use crate::context::{Context, Person, this_device};
use crate::error::{Failure, Kind};
use crate::output::{Reply, shown};

/// What PAM calls the host program, here.
const SERVICE: &str = "mfa-admin";
/// Where the system knows no account: what "nobody" is as a uid.
const NO_UID: u32 = u32::MAX;

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &CodeCommand) -> Result<Reply, Failure> {
    match command {
        CodeCommand::Send { name, channel } => send::run(context, name, *channel),
        CodeCommand::Verify(NameArgs { name }) => verify(context, name),
    }
}

/// One line of standard input is the one answer.
struct OneLine {
    failure: Option<Failure>,
}

impl Prompt for OneLine {
    fn ask(&mut self, text: &str, echo: bool) -> Result<TypedAnswer, PromptError> {
        let answer = if echo && ask::is_somebody_there() {
            ask::question(text)
        } else {
            ask::hidden_line(text)
        };
        match answer {
            Ok(Some(line)) => Ok(TypedAnswer::new(line.as_bytes().to_vec())),
            Ok(None) => Err(PromptError::Failed),
            Err(failure) => {
                self.failure = Some(failure);
                Err(PromptError::Failed)
            }
        }
    }

    fn is_password(&mut self, _: &TypedAnswer) -> bool {
        false
    }
}

fn verify(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let person = context.person(name)?;
    house.record(&person.user)?;
    let config = for_one_answer(house.config.clone());
    let setting = Setting {
        config: &config,
        device: this_device(&config)?,
        key: &house.key()?,
        channels: Channels::of(&config),
    };
    let mut courier = Process::new(&config, &context.config_path, Owner::ROOT);
    let request = request(context, &person, name);
    let mut prompt = OneLine { failure: None };
    let mut trail = new_trail(&request, setting.device)?;
    let mut log = context.log.borrow_mut();
    let mut ports = Ports {
        prompt: &mut prompt,
        clock: &context.clock,
        store: &house.store,
        courier: &mut courier,
        audit: &mut *log,
    };
    let outcome = login::run(&request, &setting, &mut ports, &mut trail);
    let user = person.user.as_str();
    match outcome {
        LoginOutcome::Accepted => Ok(Reply::done(
            json!({ "user": user, "accepted": true }),
            "Accepted.",
        )),
        LoginOutcome::Refused => {
            // The outcome alone does not tell, on purpose; the lines that were written do.
            let event = trail.first_failure();
            Err(refusal(user, event).unwrap_or_else(|| wrong_code(user, event)))
        }
        LoginOutcome::Skipped => Err(Failure::refused(
            format!(
                "{} was never enrolled: there is nothing to check a code with",
                shown(user)
            ),
            format!("run `mfa-admin app enroll {}`", shown(user)),
        )),
        LoginOutcome::ConversationFailed => Err(prompt.failure.unwrap_or_else(|| {
            Failure::failed("there is no code on standard input", "give it as one line")
        })),
        LoginOutcome::Unavailable => Err(Failure::new(
            Kind::StoreUnusable,
            format!(
                "the record, the state or the secrets of {} can't be used",
                shown(user)
            ),
            format!("`mfa-admin explain {}` says which, and why", shown(user)),
        )),
    }
}

/// There is one answer to read, and it is a code: an empty line has none sent. Codes that were sent count as
/// always.
fn for_one_answer(mut config: Config) -> Config {
    if let (Some(one), Some(none)) = (Count::new(1), Count::new(0)) {
        config.prompt.tries = one;
        config.code.max_sends = none;
    }
    config
}

/// The lines of one attempt.
fn new_trail(request: &LoginRequest, device: DeviceId) -> Result<AuditTrail, Failure> {
    let mut login = [0; 6];
    getrandom::fill(&mut login).map_err(|_| Failure::no_randomness())?;
    let mut trail = AuditTrail::new(request, hex::encode(&login), 0);
    trail.on_device(device);
    Ok(trail)
}

fn request(context: &Context<'_>, person: &Person, name: &str) -> LoginRequest {
    let account = person.account.clone().unwrap_or_else(|| {
        context.output.warn(&format!(
            "this host knows no account {}: a login would be refused as unknown",
            shown(name)
        ));
        Account {
            name: person.user.clone(),
            uid: NO_UID,
        }
    });
    LoginRequest::asked_by_root(name, Some(account), SERVICE)
}

/// What stands between a user and any code at all, from the event that says so.
fn refusal(user: &str, event: Option<Event>) -> Option<Failure> {
    let name = shown(user);
    let (kind, message) = match event? {
        Event::Throttled => (
            Kind::Throttled,
            format!("too many failures of {name} in a short time"),
        ),
        Event::RefusedWhileLocked => (
            Kind::Locked,
            format!("{name} is locked after too many failures in a row"),
        ),
        Event::RefusedWhileDisabled => (
            Kind::Locked,
            format!("{name} is disabled until `mfa-admin user unlock`"),
        ),
        Event::Busy => (
            Kind::Failed,
            "the login state is locked by another process".to_owned(),
        ),
        Event::NotApproved => (Kind::Refused, format!("{name} is not approved")),
        Event::WrongDevice => (
            Kind::Refused,
            format!("{name} is not assigned to this host"),
        ),
        Event::Suspended => (Kind::Refused, format!("{name} is suspended")),
        _ => return None,
    };
    Some(explained(kind, message, &name))
}

/// What is wrong with the code itself.
fn wrong_code(user: &str, event: Option<Event>) -> Failure {
    let name = shown(user);
    let message = match event {
        Some(Event::Replayed) => "the code was used before".to_owned(),
        Some(Event::NotEnrolled) => {
            format!("{name} has no app, and nothing else that a code could be checked with here")
        }
        Some(Event::ClockRollback) => "the clock is behind the last accepted code".to_owned(),
        Some(Event::Expired) => {
            return Failure::refused(
                "the code is the one that was sent, and too old",
                format!("have another one sent: `mfa-admin code send {name}`"),
            );
        }
        _ => "the code is wrong".to_owned(),
    };
    explained(Kind::Refused, message, &name)
}

fn explained(kind: Kind, message: String, name: &str) -> Failure {
    Failure::new(
        kind,
        message,
        format!("`mfa-admin explain {name}` says what stands in the way"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttled_and_locked_have_an_exit_code_of_their_own() {
        for (event, code) in [
            (Event::Throttled, 6),
            (Event::RefusedWhileLocked, 6),
            (Event::RefusedWhileDisabled, 6),
            (Event::Suspended, 1),
        ] {
            let failure = refusal("alice", Some(event)).unwrap();
            assert_eq!(failure.kind.exit_code(), code, "{event:?}");
        }
        for event in [
            Some(Event::BadCode),
            Some(Event::Replayed),
            Some(Event::Expired),
            None,
        ] {
            assert!(refusal("alice", event).is_none(), "{event:?}");
            assert_eq!(wrong_code("alice", event).kind.exit_code(), 1, "{event:?}");
        }
    }

    #[test]
    fn one_answer_is_one_try_and_has_nothing_sent() {
        let config = for_one_answer(Config::default());
        assert_eq!(config.prompt.tries.get(), 1);
        assert_eq!(config.code.max_sends.get(), 0);
    }
}
