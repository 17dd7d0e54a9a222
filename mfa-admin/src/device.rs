//! `device`: the hosts that users may log in on.

use std::path::Path;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::{Config, DEFAULT_PATH};
use mfa_core::device::{AssignedDevice, DeviceId};
use mfa_core::host::{HostError, load_config};
use mfa_core::record::{Device, Label, MAX_DEVICES, UserRecord, datetime};
use mfa_core::secure_file::{Owner, Problem};
use serde_json::json;

use crate::ask;
use crate::cli::{DeviceChoice, DeviceCommand, NameArgs};
use crate::context::{Context, this_device};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, table};
use crate::record_view::{self, moment};
use crate::user::{free_label, too_many_devices};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &DeviceCommand) -> Result<Reply, Failure> {
    match command {
        DeviceCommand::Id { machine_id } => id(context, machine_id.as_deref()),
        DeviceCommand::Assign {
            name,
            device,
            label,
        } => assign(context, name, *device, label.as_ref()),
        DeviceCommand::List(NameArgs { name }) => list(context, name),
        DeviceCommand::Revoke { name, device, yes } => revoke(context, name, device, *yes),
    }
}

fn id(context: &Context<'_>, machine_id: Option<&str>) -> Result<Reply, Failure> {
    let id = match machine_id {
        Some(text) => DeviceId::from_machine_id(text).map_err(|_| {
            Failure::usage(
                "--machine-id takes the 32 hexadecimal digits of a machine id, not all zero",
                "it stands in /etc/machine-id of the host that is meant",
            )
        })?,
        None => this_device(&config(context)?)?,
    };
    Ok(Reply::answer(
        json!({ "device": id.to_string() }),
        id.to_string(),
    ))
}

/// The configuration, or the defaults on a host that was not set up yet: its id is wanted elsewhere.
fn config(context: &Context<'_>) -> Result<Config, Failure> {
    let is_default = context.config_path == Path::new(DEFAULT_PATH);
    match load_config(&context.config_path, Owner::ROOT) {
        Err(HostError::ConfigFile(error)) if is_default && error.problem == Problem::Missing => {
            Ok(Config::default())
        }
        other => Ok(other?),
    }
}

/// The id of a host that was named on the command line.
pub(crate) fn choose(choice: DeviceChoice, here: DeviceId) -> AssignedDevice {
    match choice {
        DeviceChoice::This => AssignedDevice::One(here),
        DeviceChoice::Given(id) => id,
    }
}

/// What a host is called when nobody says: this one by its name, others by their id.
pub(crate) fn default_label(
    id: AssignedDevice,
    here: DeviceId,
    record: &UserRecord,
) -> Result<Label, Failure> {
    let taken: Vec<&str> = record
        .devices
        .iter()
        .map(|device| device.label.get().as_str())
        .collect();
    let whole = id.to_string();
    let (wanted, otherwise) = match id {
        AssignedDevice::Any => ("any".to_owned(), "any host".to_owned()),
        AssignedDevice::One(one) if one == here => (mfa_core::host::name(), one.short()),
        AssignedDevice::One(one) => (one.short(), whole.clone()),
    };
    free_label(&wanted, &otherwise, &taken)
        .map_or_else(|| Label::parse(whole), Ok)
        .map_err(|message| Failure::refused(message, "give --label"))
}

fn assign(
    context: &Context<'_>,
    name: &str,
    choice: DeviceChoice,
    label: Option<&Label>,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let here = this_device(&house.config)?;
    let id = choose(choice, here);
    let assigned = datetime(context.unix_seconds());
    let (record, is_changed) = house.change(&user, |record| {
        if let Some(label) = label
            && record
                .devices
                .iter()
                .any(|device| device.label == *label && device.id != id)
        {
            return Err(Failure::refused(
                format!(
                    "another host of {} is called {}",
                    shown(user.as_str()),
                    shown(label.get())
                ),
                "give another --label",
            ));
        }
        let otherwise = default_label(id, here, record)?;
        if let Some(present) = record.devices.iter_mut().find(|device| device.id == id) {
            if let Some(label) = label {
                present.label = label.clone();
            }
            return Ok(());
        }
        if record.devices.len() >= MAX_DEVICES {
            return Err(too_many_devices());
        }
        let label = label.cloned().unwrap_or(otherwise);
        record.devices.push(Device {
            id,
            label,
            assigned,
        });
        Ok(())
    })?;
    let Some(device) = record.devices.iter().find(|device| device.id == id) else {
        return Err(Failure::failed(
            "the host was revoked meanwhile",
            "assign it again",
        ));
    };
    let what = format!("{} ({id})", shown(device.label.get()));
    let document = json!({
        "changed": is_changed,
        "user": user.as_str(),
        "device": record_view::device(device, Some(here)),
    });
    let name = shown(user.as_str());
    if !is_changed {
        return Ok(Reply::done(
            document,
            format!("{name} is assigned to {what} already."),
        ));
    }
    let detail = id.to_string();
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    context.log_change(Event::DeviceAssigned, Some(&user), &entry);
    let change = Change::of(Event::DeviceAssigned).detail(&what);
    notice::tell(context, &house.config, &[&record], change);
    Ok(Reply::done(document, format!("Assigned {name} to {what}.")))
}

fn list(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let here = this_device(&house.config).ok();
    let document = json!({
        "user": user.as_str(),
        "devices": record_view::devices(&record, here),
    });
    let rows: Vec<Vec<String>> = record
        .devices
        .iter()
        .map(|device| {
            let is_here = here.is_some_and(|here| device.id.includes(here));
            vec![
                device.id.to_string(),
                shown(device.label.get()),
                moment(&device.assigned.to_string()),
                if is_here { "here" } else { "" }.to_owned(),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        let name = shown(user.as_str());
        format!("{name} is assigned to no host. Next: mfa-admin device assign {name} this")
    } else {
        table(&["ID", "LABEL", "ASSIGNED", ""], &rows)
    };
    Ok(Reply::answer(document, text))
}

fn revoke(
    context: &Context<'_>,
    name: &str,
    device: &str,
    is_agreed: bool,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let here = this_device(&house.config).ok();
    let found = find(&record, device, here)?;
    let (name, label) = (shown(user.as_str()), shown(found.label.get()));
    ask::confirm(
        &format!("Take {name} off {label} ({})?", found.id),
        is_agreed,
    )?;
    let (record, is_changed) = house.change(&user, |record| {
        record.devices.retain(|device| device.id != found.id);
        Ok(())
    })?;
    if is_changed {
        let detail = found.id.to_string();
        let entry = Entry {
            detail: Some(&detail),
            ..Entry::default()
        };
        context.log_change(Event::DeviceRevoked, Some(&user), &entry);
        let what = format!("{label} ({detail})");
        let change = Change::of(Event::DeviceRevoked).detail(&what);
        notice::tell(context, &house.config, &[&record], change);
    }
    if record.devices.is_empty() && house.config.device.required {
        context.output.warn(&format!(
            "{name} is now assigned to no host and can log in nowhere"
        ));
    }
    let document = json!({
        "changed": is_changed,
        "user": user.as_str(),
        "device": record_view::device(&found, here),
    });
    Ok(Reply::done(document, format!("Took {name} off {label}.")))
}

/// The device of a record that is meant: by its label, else by its id, `this` or `any`.
fn find(record: &UserRecord, text: &str, here: Option<DeviceId>) -> Result<Device, Failure> {
    let labelled: Vec<&Device> = record
        .devices
        .iter()
        .filter(|device| device.label.get() == text)
        .collect();
    let id = match text {
        "this" => here.map(AssignedDevice::One),
        "any" | "*" => Some(AssignedDevice::Any),
        _ => DeviceId::parse(text).map(AssignedDevice::One),
    };
    let by_id = || record.devices.iter().find(|device| Some(device.id) == id);
    match labelled.as_slice() {
        [one] => Ok((*one).clone()),
        [] => by_id().cloned().ok_or_else(|| {
            let name = shown(record.user.as_str());
            Failure::not_found(
                format!("{name} is assigned to no host {}", shown(text)),
                format!("`mfa-admin device list {name}` shows the hosts"),
            )
        }),
        [..] => Err(Failure::refused(
            format!("{} hosts are called {}", labelled.len(), shown(text)),
            "give the id instead of the label",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_core::request::UserName;

    fn record(devices: &[(&str, &str)]) -> UserRecord {
        let mut record = UserRecord::new(UserName::parse("alice").unwrap());
        for (digit, label) in devices {
            let id = match *digit {
                "*" => AssignedDevice::Any,
                digit => AssignedDevice::One(DeviceId::parse(&digit.repeat(32)).unwrap()),
            };
            let label = Label::parse(*label).unwrap();
            record.devices.push(Device {
                id,
                label,
                assigned: datetime(0),
            });
        }
        record
    }

    #[test]
    fn a_device_is_found_by_label_id_or_word_and_never_guessed() {
        let record = record(&[("1", "web"), ("2", "db"), ("3", "db"), ("*", "any")]);
        let here = DeviceId::parse(&"2".repeat(32));
        let found = |text: &str| find(&record, text, here).map(|device| device.id.to_string());
        assert_eq!(found("web").unwrap(), "1".repeat(32));
        assert_eq!(found(&"3".repeat(32)).unwrap(), "3".repeat(32));
        assert_eq!(found("this").unwrap(), "2".repeat(32));
        assert_eq!(found("any").unwrap(), "*");
        assert_eq!(found("db").unwrap_err().kind.exit_code(), 1);
        assert_eq!(found("mail").unwrap_err().kind.exit_code(), 3);
    }

    #[test]
    fn a_default_label_is_never_one_that_is_taken() {
        let here = DeviceId::parse(&"2".repeat(32)).unwrap();
        let free = default_label(AssignedDevice::One(here), here, &record(&[])).unwrap();
        assert_eq!(
            free.get(),
            &mfa_core::host::name().chars().take(32).collect::<String>()
        );
        let taken = record(&[("1", free.get())]);
        assert_eq!(
            default_label(AssignedDevice::One(here), here, &taken)
                .unwrap()
                .get(),
            "22222222"
        );
    }
}
