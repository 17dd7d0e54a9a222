//! `code send`: has a code sent, for `code verify`.

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::courier::{Channels, Courier, Document, Kind as DocumentKind, Process, Report};
use mfa_core::courier::{SpoolError, StartError, new_reference};
use mfa_core::login::{Ports, SendOutcome, Setting, send_code};
use mfa_core::record::{Method, UserRecord};
use mfa_core::secure_file::Owner;
use serde_json::json;

use super::{OneLine, new_trail, refusal, request};
use crate::context::{Context, this_device};
use crate::delivery::{accepted, channels, not_set_up, not_started, patience};
use crate::error::{Failure, Kind};
use crate::output::{Reply, shown};
use crate::record_view::duration;

/// The courier, and what it was asked to deliver: the story that asks it tells that to nobody but the log.
struct Watched {
    courier: Process,
    channel: Option<Method>,
    failure: Option<StartError>,
}

impl Courier for Watched {
    fn start(&mut self, document: &Document) -> Result<(), StartError> {
        let started = self.courier.start(document);
        if document.kind == DocumentKind::Code {
            self.channel = Some(document.channel);
            self.failure = started.clone().err();
        }
        started
    }

    fn poll(&mut self) -> Vec<(Method, Report)> {
        self.courier.poll()
    }

    fn finish(&mut self) -> Vec<(Method, Report)> {
        self.courier.finish()
    }

    fn spool(&mut self, notice: &Document, is_wanted: bool) -> Result<(), SpoolError> {
        self.courier.spool(notice, is_wanted)
    }
}

/// Runs the verb.
pub(super) fn run(
    context: &Context<'_>,
    name: &str,
    channel: Option<Method>,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let person = context.person(name)?;
    let record = house.record(&person.user)?;
    let config = &house.config;
    let channels = channels_for(config, channel)?;
    let setting = Setting {
        config,
        device: this_device(config)?,
        key: &house.key()?,
        channels,
    };
    let request = request(context, &person, name);
    let mut courier = Watched {
        courier: Process::new(config, &context.config_path, Owner::ROOT),
        channel: None,
        failure: None,
    };
    let mut trail = new_trail(&request, setting.device)?;
    let reference = new_reference();
    let mut log = context.log.borrow_mut();
    let mut ports = Ports {
        // Nothing is asked.
        prompt: &mut OneLine { failure: None },
        clock: &context.clock,
        store: &house.store,
        courier: &mut courier,
        audit: &mut *log,
    };
    let wanted = (channel, reference.as_str());
    let outcome = send_code(&request, &setting, &mut ports, &mut trail, wanted);
    let user = person.user.as_str();
    let method = match (outcome, courier.channel) {
        (SendOutcome::Started, Some(method)) => method,
        (SendOutcome::Started | SendOutcome::NotSent, _) => {
            if let Some(error) = &courier.failure {
                return Err(not_started(error));
            }
            let event = trail.first_failure();
            let not_sent = || not_sent(config, channels, &record, channel, event);
            return Err(refusal(user, event).unwrap_or_else(not_sent));
        }
    };
    let report = courier.courier.wait(patience(config));
    if let Some(report) = report.as_ref().filter(|report| !report.is_accepted) {
        let entry = Entry {
            method: Some(method.as_str()),
            reason: Some(&report.reason),
            detail: Some(&report.detail),
            ..Entry::default()
        };
        trail.log(&mut *log, Event::DeliveryFailed, &entry);
    }
    accepted(report)?;
    Ok(Reply::done(
        json!({ "user": user, "sent": true, "ref": reference, "channel": method.as_str() }),
        format!("Code sent (ref {reference})."),
    ))
}

/// What this host delivers codes by; the method that is asked for has to be among it.
fn channels_for(config: &Config, wanted: Option<Method>) -> Result<Channels, Failure> {
    let channels = channels(config)?;
    if let Some(method) = wanted.filter(|method| !channels.has(*method)) {
        return Err(not_set_up(method));
    }
    if config.code.max_sends.get() == 0 {
        return Err(Failure::new(
            Kind::ConfigUnusable,
            "no codes are sent on this host: `[code] max_sends` of mfa.toml is 0",
            "write there how many may be sent to a user within `sends_within`",
        ));
    }
    Ok(channels)
}

/// Why no code was sent to a user whom nothing else stands in the way of.
fn not_sent(
    config: &Config,
    channels: Channels,
    record: &UserRecord,
    wanted: Option<Method>,
    event: Option<Event>,
) -> Failure {
    let name = shown(record.user.as_str());
    match event {
        Some(Event::SendThrottled) => Failure::new(
            Kind::Throttled,
            format!(
                "{} codes were sent to {name} within {}, and no more may be",
                config.code.max_sends.get(),
                duration(config.code.sends_within.get())
            ),
            format!("wait, or forget them: `mfa-admin user unlock {name}`"),
        ),
        Some(Event::DeliveryFailed | Event::NotEnrolled) => no_way(channels, record, wanted),
        _ => Failure::new(
            Kind::StoreUnusable,
            format!("the record or the state of {name} can't be used"),
            format!("`mfa-admin explain {name}` says which, and why"),
        ),
    }
}

/// The user has no such method, or none that sends.
fn no_way(channels: Channels, record: &UserRecord, wanted: Option<Method>) -> Failure {
    let name = shown(record.user.as_str());
    let possible = channels.methods();
    let mut candidates = possible
        .iter()
        .copied()
        .filter(|method| wanted.is_none_or(|wanted| wanted == *method));
    // One that only has to be counted, before one that needs an address.
    let reachable = candidates
        .clone()
        .find(|method| record.address_for(*method).is_some());
    let Some(method) = reachable.or_else(|| candidates.next()) else {
        return Failure::failed(
            format!("{name} has no method that sends codes on this host"),
            "`mfa-admin doctor` shows what this host delivers by",
        );
    };
    let word = method.as_str();
    let option = match method {
        _ if reachable.is_some() => "",
        Method::Telegram => " --telegram ID",
        Method::App | Method::Email | Method::Command | Method::Token => " --email ADDR",
    };
    let counts = record.methods.contains(&method);
    let methods = if counts {
        String::new()
    } else {
        let all: Vec<&str> = record.methods.iter().map(|known| known.as_str()).collect();
        format!(" --methods {}", [all, vec![word]].concat().join(","))
    };
    let what = match (reachable.is_some(), counts) {
        (false, _) => format!("{name} has no address that codes could be sent to by {word}"),
        (true, false) => format!("the method {word} does not count for {name}"),
        // The record was changed since.
        (true, true) => {
            return Failure::failed(
                format!("no code could be made for {name}"),
                "try again; if it goes on, the audit line MFA-1002 says why",
            );
        }
    };
    Failure::failed(
        what,
        format!("`mfa-admin user set {name}{option}{methods}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_core::record::EmailAddress;
    use mfa_core::request::UserName;

    fn alice(methods: &[Method]) -> UserRecord {
        let mut record = UserRecord::new(UserName::parse("alice").unwrap());
        record.methods = methods.to_vec();
        record
    }

    fn mail() -> Channels {
        Channels {
            email: true,
            ..Channels::default()
        }
    }

    #[test]
    fn who_can_not_be_sent_a_code_is_told_with_the_command_that_mends_it() {
        let both = Channels {
            telegram: true,
            ..mail()
        };
        let mut record = alice(&[Method::App]);
        for (channels, wanted, hint) in [
            (
                mail(),
                None,
                "`mfa-admin user set alice --email ADDR --methods app,email`",
            ),
            (
                both,
                Some(Method::Telegram),
                "`mfa-admin user set alice --telegram ID --methods app,telegram`",
            ),
        ] {
            assert_eq!(no_way(channels, &record, wanted).hint, hint);
        }
        record.email = EmailAddress::parse("alice@example.com").ok();
        let failure = no_way(mail(), &record, None);
        assert_eq!(failure.message, "the method email does not count for alice");
        assert_eq!(
            failure.hint,
            "`mfa-admin user set alice --methods app,email`"
        );
        // What has an address comes first.
        record.email = None;
        record.telegram = Some(5);
        let failure = no_way(both, &record, None);
        assert_eq!(
            failure.hint,
            "`mfa-admin user set alice --methods app,telegram`"
        );
        assert!(
            no_way(Channels::default(), &record, None)
                .message
                .contains("no method that sends")
        );
    }

    #[test]
    fn too_many_codes_have_the_exit_code_of_a_throttle() {
        let config = Config::default();
        let event = Some(Event::SendThrottled);
        let failure = not_sent(&config, mail(), &alice(&[]), None, event);
        assert_eq!(failure.kind.exit_code(), 6);
        assert!(failure.message.contains("3 codes") && failure.message.contains("15 minutes"));
    }

    #[test]
    fn a_method_that_is_not_set_up_and_codes_that_are_switched_off_are_exit_4() {
        let text = "version = 1\n[courier]\nemail = \"sendmail\"\n";
        let config = |more: &str| Config::parse(format!("{text}{more}").as_bytes()).unwrap();
        assert!(channels_for(&config(""), Some(Method::Email)).is_ok());
        for (config, wanted) in [
            (Config::default(), None),
            (config(""), Some(Method::Telegram)),
            (config("[code]\nmax_sends = 0\n"), None),
        ] {
            let failure = channels_for(&config, wanted).unwrap_err();
            assert_eq!(failure.kind.exit_code(), 4, "{failure:?}");
            assert!(!failure.hint.is_empty());
        }
    }
}
