//! `user add`.

use std::collections::BTreeSet;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::courier::Channels;
use mfa_core::device::{AssignedDevice, DeviceId};
use mfa_core::record::{Device, MAX_DEVICES, Method, UserRecord, datetime};
use mfa_core::request::UserName;
use serde_json::json;

use crate::cli::{DeviceChoice, UserAddArgs};
use crate::context::{Context, this_device};
use crate::delivery::requirement;
use crate::device::{choose, default_label};
use crate::error::Failure;
use crate::output::{Reply, shown, wrap};
use crate::record_view;

/// Runs the verb.
pub(super) fn run(context: &Context<'_>, arguments: &UserAddArgs) -> Result<Reply, Failure> {
    if arguments.label.is_some() && arguments.devices.len() > 1 {
        return Err(Failure::usage(
            "--label names one host, and --device is given more than once",
            "add the others with `mfa-admin device assign NAME ID --label TEXT`",
        ));
    }
    let house = context.open()?;
    if arguments.name.chars().any(char::is_control) || arguments.name.contains(':') {
        return Err(Failure::refused(
            format!("no account can be called {}", shown(&arguments.name)),
            "give the name as `getent passwd` shows it",
        ));
    }
    let person = context.person(&arguments.name)?;
    let here = this_device(&house.config)?;
    let wanted = wanted_record(context, &house.config, &person.user, here, arguments)?;
    let has_label = arguments.label.is_some();
    let is_new = house
        .store
        .change_record(&person.user, |present| match present {
            None => Ok((Some(wanted.clone()), true)),
            Some(present) => match difference(&present, &wanted, has_label) {
                None => Ok((None, false)),
                Some(what) => Err(exists_differently(&person.user, what)),
            },
        })?;
    let name = shown(person.user.as_str());
    if person.account.is_none() {
        context.output.warn(&format!(
            "this host knows no account {name}: logins are refused as unknown until it does"
        ));
    }
    let record = house.record(&person.user)?;
    if is_new {
        context.log_change(Event::UserAdded, Some(&person.user), &Entry::default());
    }
    let document = json!({ "changed": is_new, "user": record_view::record(&record, Some(here)) });
    if !is_new {
        return Ok(Reply::done(
            document,
            format!("{name} is there already, and the same."),
        ));
    }
    let hosts: Vec<String> = record
        .devices
        .iter()
        .map(|device| host_words(device, here))
        .collect();
    let added = format!("Added {name}, approved on {}.", hosts.join(", "));
    let mut lines = vec![wrap("", "", &added)];
    if record.methods.contains(&Method::App) {
        lines.push(format!("Next: mfa-admin app enroll {name}"));
    }
    if record.methods.contains(&Method::Token) {
        lines.push(format!("Next: mfa-admin token add {name} --hotp"));
    }
    Ok(Reply::done(document, lines.join("\n")))
}

fn host_words(device: &Device, here: DeviceId) -> String {
    match device.id {
        AssignedDevice::Any => "any host".to_owned(),
        AssignedDevice::One(id) if id == here => {
            format!("this host ({})", shown(device.label.get()))
        }
        AssignedDevice::One(_) => shown(device.label.get()),
    }
}

fn wanted_record(
    context: &Context<'_>,
    config: &Config,
    user: &UserName,
    here: DeviceId,
    arguments: &UserAddArgs,
) -> Result<UserRecord, Failure> {
    let mut record = UserRecord::new(user.clone());
    record.email.clone_from(&arguments.email);
    record.telegram = arguments.telegram;
    record.methods = if arguments.methods.is_empty() {
        default_methods(&record)
    } else {
        without_repetition(&arguments.methods)
    };
    check_methods(context, config, &record)?;
    let this = [DeviceChoice::This];
    let choices = if arguments.devices.is_empty() {
        &this[..]
    } else {
        &arguments.devices
    };
    let assigned = datetime(context.unix_seconds());
    for choice in choices {
        let id = choose(*choice, here);
        if record.devices.iter().any(|device| device.id == id) {
            continue;
        }
        if record.devices.len() == MAX_DEVICES {
            return Err(too_many_devices());
        }
        let label = match &arguments.label {
            Some(label) => label.clone(),
            None => default_label(id, here, &record)?,
        };
        record.devices.push(Device {
            id,
            label,
            assigned,
        });
    }
    Ok(record)
}

/// A user has as many hosts as a record can keep.
pub(crate) fn too_many_devices() -> Failure {
    Failure::refused(
        format!("a user can be assigned to at most {MAX_DEVICES} hosts"),
        "revoke one, or assign any: `mfa-admin device assign NAME any`",
    )
}

fn default_methods(record: &UserRecord) -> Vec<Method> {
    let mut methods = vec![Method::App];
    if record.email.is_some() {
        methods.push(Method::Email);
    }
    if record.telegram.is_some() {
        methods.push(Method::Telegram);
    }
    methods
}

/// Each method once, in the order given.
pub(super) fn without_repetition(given: &[Method]) -> Vec<Method> {
    let mut methods = Vec::new();
    for method in given {
        if !methods.contains(method) {
            methods.push(*method);
        }
    }
    methods
}

/// Whether the methods can count at all.
pub(super) fn check_methods(
    context: &Context<'_>,
    config: &Config,
    record: &UserRecord,
) -> Result<(), Failure> {
    let missing = record.methods.iter().find_map(|method| match method {
        Method::Email if record.email.is_none() => Some(("email", "--email ADDR")),
        Method::Telegram if record.telegram.is_none() => Some(("telegram", "--telegram ID")),
        _ => None,
    });
    if let Some((method, option)) = missing {
        return Err(Failure::refused(
            format!("the method {method} needs an address, and there is none"),
            format!("give {option}, or leave {method} out of the methods"),
        ));
    }
    let channels = Channels::of(config);
    for method in &record.methods {
        if method.is_sent() && !channels.has(*method) {
            context.output.warn(&format!(
                "the method {} does not count on this host, which sends nothing that way: it needs {}",
                method.as_str(),
                requirement(*method)
            ));
        }
    }
    Ok(())
}

/// What a record that is there says differently from the one that was asked for.
fn difference(present: &UserRecord, wanted: &UserRecord, has_label: bool) -> Option<&'static str> {
    let methods = |record: &UserRecord| -> BTreeSet<&'static str> {
        record
            .methods
            .iter()
            .map(|method| method.as_str())
            .collect()
    };
    let devices = |record: &UserRecord| -> BTreeSet<String> {
        record
            .devices
            .iter()
            .map(|device| {
                if has_label {
                    format!("{} {}", device.id, device.label)
                } else {
                    device.id.to_string()
                }
            })
            .collect()
    };
    let differs = [
        ("is suspended", !present.suspended.is_empty()),
        ("is not approved", !present.approved),
        ("has another e-mail address", present.email != wanted.email),
        (
            "has another Telegram id",
            present.telegram != wanted.telegram,
        ),
        ("has other methods", methods(present) != methods(wanted)),
        (
            "is assigned to other hosts",
            devices(present) != devices(wanted),
        ),
    ];
    differs
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(what, _)| what)
}

fn exists_differently(user: &UserName, what: &str) -> Failure {
    let name = shown(user.as_str());
    Failure::refused(
        format!("{name} is there already, and {what}; nothing was changed"),
        format!(
            "see `mfa-admin user show {name}`; change it with `user set`, `user approve`, `user resume` or \
             `device assign`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identical_user_is_told_from_a_different_one() {
        let user = UserName::parse("alice").unwrap();
        let present = UserRecord::new(user);
        assert_eq!(difference(&present, &present, true), None);
        let mut suspended = present.clone();
        suspended.suspended = "left".to_owned();
        assert_eq!(
            difference(&suspended, &present, false),
            Some("is suspended")
        );
        let mut other = present.clone();
        other.methods = vec![Method::Email];
        assert_eq!(
            difference(&present, &other, false),
            Some("has other methods")
        );
    }
}
