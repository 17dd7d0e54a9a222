//! Whether codes and notices get out: what delivery needs on this host, then the courier itself, started the way a
//! login starts it.

mod channel;
mod courier;
mod credentials;
mod reader;
mod spool;
mod trial;

use std::time::Duration;

use mfa_core::clock::Moment;
use mfa_core::config::{Config, EmailBy, First};
use mfa_core::courier::Channels;
use mfa_core::record::Method;
use nix::unistd::User;

use super::Scope;
use super::check::{Check, Status};
use crate::output::shown;
use crate::record_view::duration;
use reader::Reader;

/// For a message to arrive once it has left, and for a person to read it and type the code.
const TO_ARRIVE: Duration = Duration::from_secs(45);

/// How long a login must be able to wait for a code that is sent; `None`: none is sent on this host.
pub(super) fn time_for_a_code(config: &Config) -> Option<Duration> {
    sends_codes(config).then(|| config.courier.deadline.get() + TO_ARRIVE)
}

fn sends_codes(config: &Config) -> bool {
    Channels::of(config).any() && config.code.max_sends.get() > 0
}

/// Everything about delivery.
pub(super) fn check(scope: &Scope, config: &Config, now: &Moment, checks: &mut Vec<Check>) {
    let channels = Channels::of(config);
    let seconds = now.unix_seconds();
    checks.push(overview(config, channels));
    checks.extend(without_effect(config, channels));
    if !channels.any() {
        let user = User::from_name(config.courier.user.as_str()).ok().flatten();
        checks.extend(spool::check(scope, config, user.as_ref(), false, seconds));
        if scope.send_test.is_some() {
            checks.push(Check::fail(
                "delivery.test",
                "No trial message was sent: nothing is delivered on this host.",
                "Set up [courier.smtp] in mfa.toml, say.",
            ));
        }
        return;
    }
    checks.push(lifetime(config));
    let program = courier::program(scope, config);
    let is_there = program.status == Status::Ok;
    checks.push(program);
    let user = courier::user(scope, config, checks);
    let reader = user.as_ref().map(Reader::of);
    checks.extend(credentials::check(scope, config, channels, reader.as_ref()));
    checks.extend(credentials::ca_file(config, reader.as_ref()));
    checks.extend(credentials::texts(scope, config, reader.as_ref()));
    let can_start = is_there && user.as_ref().is_some_and(|user| !user.uid.is_root());
    checks.extend(spool::check(scope, config, user.as_ref(), true, seconds));
    checks.extend(channel::check(scope, config, channels, can_start, seconds));
    if let Some(name) = &scope.send_test {
        checks.push(trial::check(scope, config, channels, (name, seconds)));
    }
}

/// What there is to deliver by.
fn overview(config: &Config, channels: Channels) -> Check {
    let ways: Vec<String> = channels
        .methods()
        .into_iter()
        .map(|method| format!("{} ({})", method.as_str(), by(config, method)))
        .collect();
    let message = if ways.is_empty() {
        "Nothing is delivered on this host: no code is sent, and nobody is told of logins."
            .to_owned()
    } else {
        format!("Codes and notices go out by {}.", ways.join(", "))
    };
    Check::ok("delivery", message)
}

/// Through what a method's messages go.
fn by(config: &Config, method: Method) -> String {
    let courier = &config.courier;
    let way = match (method, courier.email, &courier.smtp) {
        (Method::Email, EmailBy::Smtp, Some(smtp)) => {
            format!("{}:{}", smtp.host.as_str(), smtp.port.get())
        }
        (Method::Email, EmailBy::File, _) => {
            let folder = courier.file.folder.path().unwrap_or("-".as_ref());
            format!("files in {}", folder.display())
        }
        (Method::Email, ..) => courier.sendmail.path.to_string(),
        (Method::Telegram, ..) => courier.telegram.api.as_str().to_owned(),
        (Method::Command, ..) => {
            let program = courier.command.run.words().first();
            program.cloned().unwrap_or_default()
        }
        (Method::App | Method::Token, ..) => String::new(),
    };
    shown(&way)
}

/// Settings that look as if they did something.
fn without_effect(config: &Config, channels: Channels) -> Vec<Check> {
    let mut checks: Vec<Check> = settings_without_effect(config, channels)
        .into_iter()
        .map(|(id, message, hint)| Check::warn(id, message, hint))
        .collect();
    let file = &config.courier.file;
    if config.courier.email == EmailBy::File && channels.email {
        let (message, hint) = if file.demo {
            (
                "Codes are written to files on this host, for trying out: whoever reads them gets in.",
                "Set up [courier.smtp] and write email = \"smtp\" before people rely on it.",
            )
        } else {
            (
                "Mail is written to files on this host, and codes are not: nobody gets a code by email.",
                "Set up [courier.smtp] and write email = \"smtp\"; to try things out, [courier.file] demo = true.",
            )
        };
        checks.push(Check::warn("courier.file", message, hint));
    }
    checks
}

/// Settings of delivery that need what is not set up: an id, what is so, what to do.
pub(crate) fn settings_without_effect(
    config: &Config,
    channels: Channels,
) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut found = Vec::new();
    if config.prompt.first == First::Send && !channels.any() {
        found.push((
            "prompt.first",
            "prompt.first = \"send\" has no effect: this host has nothing to send a code by.",
            "Set up [courier.smtp], say, or write first = \"ask\".",
        ));
    }
    if !config.notices.admins.is_empty() && !channels.email {
        found.push((
            "notices.admins",
            "notices.admins are told of nothing: this host sends no mail.",
            "Set up [courier.smtp], or write admins = [].",
        ));
    }
    found
}

/// Whether a code can be used before it ends.
fn lifetime(config: &Config) -> Check {
    let (lifetime, deadline) = (config.code.lifetime.get(), config.courier.deadline.get());
    if !sends_codes(config) {
        return Check::ok(
            "code.lifetime",
            "No codes are sent (code.max_sends = 0), only notices.",
        );
    }
    if lifetime < deadline + TO_ARRIVE {
        return Check::warn(
            "code.lifetime",
            format!(
                "A code is good for {}, and may take {} (courier.deadline) to leave this host; then it has to arrive \
                 and to be typed.",
                duration(lifetime),
                duration(deadline)
            ),
            "Write `lifetime = \"5m\"` in [code].",
        );
    }
    Check::ok(
        "code.lifetime",
        format!("A code that is sent is good for {}.", duration(lifetime)),
    )
}

#[cfg(test)]
mod tests;
