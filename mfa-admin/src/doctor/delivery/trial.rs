//! `doctor --send-test NAME`: a message to somebody, on the way that a code would take.

use mfa_core::config::Config;
use mfa_core::courier::{Channels, Document};
use mfa_core::device::DeviceId;
use mfa_core::notice::Notices;
use mfa_core::request::{UserName, find_account};
use mfa_core::store::{FileStore, Store, Subject};

use super::channel::{self, Attempt};
use crate::audit::actor;
use crate::doctor::check::Check;
use crate::doctor::{Scope, files, quoted};
use crate::output::shown;

const ID: &str = "delivery.test";

/// Sends a trial message to a user, and waits for what the courier says of it.
pub(super) fn check(
    scope: &Scope,
    config: &Config,
    channels: Channels,
    (name, now): (&str, u64),
) -> Check {
    let document = match document(scope, config, channels, (name, now)) {
        Ok(document) => document,
        Err(check) => return *check,
    };
    let attempt = Attempt::start(scope, config, &document);
    let reports = channel::wait(vec![attempt], config);
    let said = shown(name);
    reports
        .iter()
        .map(|(method, report)| {
            if report.is_accepted {
                return Check::ok(
                    ID,
                    format!(
                        "A trial message to {said} is on its way by {}: {}. Ask {said} whether it arrives.",
                        method.as_str(),
                        shown(report.detail.trim_end_matches('.'))
                    ),
                );
            }
            let check = channel::judge(ID, *method, report);
            Check {
                message: format!("No trial message was sent to {said}. {}", check.message),
                ..check
            }
        })
        .next()
        .unwrap_or_else(|| Check::fail(ID, "No trial message was sent.", "Run doctor again."))
}

/// The message, or why there is none.
fn document(
    scope: &Scope,
    config: &Config,
    channels: Channels,
    (name, now): (&str, u64),
) -> Result<Document, Box<Check>> {
    let refuse = |message: String, hint: String| Box::new(Check::fail(ID, message, hint));
    let unusable = |error: &dyn std::fmt::Display| {
        let message = format!("No trial message was sent: {}", files::sentence(&error));
        refuse(message, "See the other findings about it.".to_owned())
    };
    let nobody = || {
        refuse(
            format!(
                "No trial message was sent: there is no user {}.",
                shown(name)
            ),
            format!("{} shows everybody.", scope.command("user list")),
        )
    };
    let account = find_account(name).ok().flatten();
    let user = account
        .map(|account| account.name)
        .or_else(|| UserName::parse(name))
        .ok_or_else(nobody)?;
    let device = DeviceId::read(config.paths.machine_id.as_path(), scope.owner)
        .map_err(|error| unusable(&error))?;
    let path = config.paths.store.as_path();
    let store = FileStore::open(path, scope.owner, &config.ignore_unknown)
        .map_err(|error| unusable(&error))?;
    let record = store
        .record(Subject::User(&user))
        .map_err(|error| unusable(&error))?
        .ok_or_else(nobody)?;
    let notices = Notices {
        config,
        channels,
        device,
    };
    let mut document = notices.trial(&record, now).ok_or_else(|| {
        let set = format!("user set {} --email ADDR", quoted(user.as_str()));
        refuse(
            format!(
                "No trial message was sent: {} can't be reached by what this host delivers through.",
                shown(name)
            ),
            format!("Give them an address: {}.", scope.command(&set)),
        )
    })?;
    document.actor = actor();
    Ok(document)
}
