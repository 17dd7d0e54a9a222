//! Notices of changes: whoever an account belongs to learns what an administrator did to it, once it is done.

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::courier::{Channels, Courier, Process};
use mfa_core::notice::Notices;
use mfa_core::record::UserRecord;
use mfa_core::request::UserName;
use mfa_core::secure_file::Owner;
use mfa_core::store::{Store, Subject};

use crate::audit::actor;
use crate::context::{Context, House, this_device};
use crate::output::shown;

/// What was changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    event: Event,
    app: &'a str,
    detail: &'a str,
}

impl<'a> Change<'a> {
    /// A change whose name says all.
    pub(crate) fn of(event: Event) -> Self {
        Self {
            event,
            app: "",
            detail: "",
        }
    }

    /// The app that it is about, by its label.
    pub(crate) fn app(self, app: &'a str) -> Self {
        Self { app, ..self }
    }

    /// What exactly.
    pub(crate) fn detail(self, detail: &'a str) -> Self {
        Self { detail, ..self }
    }
}

/// Has a user told, wherever the records say: where an address was changed, the record before the change and
/// the one after it. The change is done and stays: what can't be told is a warning and an audit line.
pub(crate) fn tell(
    context: &Context<'_>,
    config: &Config,
    records: &[&UserRecord],
    change: Change<'_>,
) {
    let channels = Channels::of(config);
    let Some(user) = records.first().map(|record| &record.user) else {
        return;
    };
    if !channels.any() {
        return;
    }
    let device = match this_device(config) {
        Ok(device) => device,
        Err(failure) => return not_told(context, user, "device_unusable", &failure.message),
    };
    let notices = Notices {
        config,
        channels,
        device,
    };
    let now = context.unix_seconds();
    let mut courier = Process::new(config, &context.config_path, Owner::ROOT);
    let mut told = Vec::new();
    for record in records {
        let notice = notices.of_change(record, change.event, &actor(), change.detail, now);
        let Some(mut notice) = notice else { continue };
        let way = (notice.channel, notice.to.clone());
        if told.contains(&way) {
            continue;
        }
        told.push(way);
        change.app.clone_into(&mut notice.app);
        if let Err(error) = courier.spool(&notice, true) {
            not_told(context, user, error.reason(), &error.to_string());
        }
    }
}

/// The same for whoever a name belongs to, as the record says now.
pub(crate) fn tell_user(context: &Context<'_>, house: &House, user: &UserName, change: Change<'_>) {
    if !Channels::of(&house.config).any() {
        return;
    }
    match house.store.record(Subject::User(user)) {
        Ok(Some(record)) => tell(context, &house.config, &[&record], change),
        // Nobody is left to be told.
        Ok(None) => {}
        Err(error) => not_told(context, user, "record_unusable", &error.to_string()),
    }
}

fn not_told(context: &Context<'_>, user: &UserName, reason: &str, detail: &str) {
    let name = shown(user.as_str());
    context
        .output
        .warn(&format!("{name} is not told of this: {detail}"));
    let entry = Entry {
        reason: Some(reason),
        detail: Some(detail),
        ..Entry::default()
    };
    context.log_change(Event::NoticeFailed, Some(user), &entry);
}
