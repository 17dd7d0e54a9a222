//! `notify`: trial messages, and what waits in the spool.

mod drain;
mod spool;

use mfa_core::clock::rfc3339;
use mfa_core::courier::{Courier, Kind, Process};
use mfa_core::notice::Notices;
use mfa_core::record::{Method, UserRecord};
use mfa_core::secure_file::Owner;
use serde_json::{Value, json};

use crate::audit::actor;
use crate::cli::{NameArgs, NotifyCommand};
use crate::context::{Context, require_root, this_device};
use crate::delivery::{accepted, channels, courier_user, not_started, patience};
use crate::error::Failure;
use crate::output::{Reply, cut, shown, table, wrap};
use spool::{Place, Spool, Waiting};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &NotifyCommand) -> Result<Reply, Failure> {
    match command {
        NotifyCommand::Test(NameArgs { name }) => test(context, name),
        NotifyCommand::Queue => queue(context),
        NotifyCommand::Drain => drain::run(context),
    }
}

fn test(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let config = &house.config;
    let notices = Notices {
        config,
        channels: channels(config)?,
        device: this_device(config)?,
    };
    let Some(mut document) = notices.trial(&record, context.unix_seconds()) else {
        return Err(unreachable_user(&record));
    };
    document.actor = actor();
    let mut courier = Process::new(config, &context.config_path, Owner::ROOT);
    courier
        .start(&document)
        .map_err(|error| not_started(&error))?;
    let report = accepted(courier.wait(patience(config)))?;
    let channel = document.channel;
    let answer = json!({
        "user": user.as_str(),
        "sent": true,
        "channel": channel.as_str(),
        "detail": report.detail,
    });
    let to = match channel {
        Method::Email | Method::Telegram => format!(" to {}", shown(&document.to)),
        Method::App | Method::Command | Method::Token => String::new(),
    };
    let said = if report.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", shown(&report.detail))
    };
    let text = format!(
        "Sent a trial message to {} by {}{to}{said}.",
        shown(user.as_str()),
        channel.as_str()
    );
    Ok(Reply::done(answer, wrap("", "", &text)))
}

/// Nothing that is delivered on this host reaches the user.
fn unreachable_user(record: &UserRecord) -> Failure {
    let name = shown(record.user.as_str());
    Failure::failed(
        format!("{name} has no address that anything is delivered to on this host"),
        format!("`mfa-admin user set {name} --email ADDR`"),
    )
}

fn queue(context: &Context<'_>) -> Result<Reply, Failure> {
    require_root()?;
    let config = context.config()?;
    let user = courier_user(&config)?;
    let waiting = Spool::open(&config)?.read_as(&user)?;
    let count = |place: Place| waiting.iter().filter(|file| file.place == place).count();
    let document = json!({
        "counts": {
            "new": count(Place::New),
            "deferred": count(Place::Deferred),
            "dead": count(Place::Dead),
        },
        "notices": waiting.iter().map(file_document).collect::<Vec<_>>(),
    });
    if waiting.is_empty() {
        return Ok(Reply::answer(
            document,
            "No notice waits, and none was given up.",
        ));
    }
    let rows: Vec<Vec<String>> = waiting.iter().map(row).collect();
    let counts = format!(
        "{} new, {} deferred, {} dead. Times are in UTC.",
        count(Place::New),
        count(Place::Deferred),
        count(Place::Dead)
    );
    let mut text = table(
        &["PLACE", "KIND", "USER", "SINCE", "TRIES", "NEXT TRY"],
        &rows,
    );
    text.push_str(&counts);
    if count(Place::Dead) > 0 {
        let folder = config.paths.spool.as_path().join(Place::Dead.name());
        let note = format!(
            "What is dead is not tried again: the system's log says why (MFA-5001); the files are in {}.",
            folder.display()
        );
        text.push('\n');
        text.push_str(&wrap("", "", &note));
    }
    Ok(Reply::answer(document, text))
}

fn file_document(file: &Waiting) -> Value {
    let notice = file.notice.as_ref();
    json!({
        "place": file.place.name(),
        "kind": notice.map(|notice| notice.kind.as_str()),
        "user": notice.map(|notice| &notice.user),
        "id": notice.map(|notice| &notice.id),
        "since": rfc3339(file.since),
        "tries": notice.map(|notice| notice.tries),
        "next_try": notice.and_then(|notice| notice.next).map(rfc3339),
        "file": file.file,
    })
}

/// One line of the queue: 8 + 7 + 20 + 16 + 5 + 16 characters at most, and five gaps of 2, but 2 fewer.
fn row(file: &Waiting) -> Vec<String> {
    let place = file.place.name().to_owned();
    let since = minute(file.since);
    let Some(notice) = &file.notice else {
        let name = cut(&shown(&file.file), 18);
        return vec![place, "?".to_owned(), name, since];
    };
    let next = match (file.place, notice.next) {
        (Place::Dead, _) => "never".to_owned(),
        (_, Some(next)) => minute(next),
        (Place::Deferred, None) if notice.kind == Kind::Failure => "in a digest".to_owned(),
        (Place::New | Place::Deferred, None) => "next drain".to_owned(),
    };
    let user = if notice.user.is_empty() {
        "-".to_owned()
    } else {
        cut(&shown(&notice.user), 18)
    };
    vec![
        place,
        notice.kind.as_str().to_owned(),
        user,
        since,
        notice.tries.to_string(),
        next,
    ]
}

/// `2026-11-20 09:00`.
fn minute(unix_seconds: u64) -> String {
    crate::record_view::moment(&rfc3339(unix_seconds)).replace(" UTC", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::WIDTH;
    use spool::Described;

    #[test]
    fn the_queue_fits_80_columns_at_its_widest_and_cannot_move_the_cursor() {
        let widest = Described {
            kind: Kind::Failure,
            user: "x".repeat(200),
            id: "0".repeat(32),
            tries: 99_999,
            next: Some(u64::MAX),
        };
        let file = |notice, file: &str| Waiting {
            place: Place::Deferred,
            file: file.to_owned(),
            notice,
            since: u64::MAX,
        };
        let rows = [
            row(&file(Some(widest), "")),
            row(&file(None, "\u{1b}[2J\u{1b}[2J\u{1b}[2J")),
        ];
        let text = table(
            &["PLACE", "KIND", "USER", "SINCE", "TRIES", "NEXT TRY"],
            &rows,
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }
}
