//! `mfa-courier drain`: works off the spool. Whatever happens, `new/` is empty afterwards: what can't be delivered waits
//! in `deferred/`, and ends in `dead/` after a day. Every step is one that can be the last: killed at any moment, the
//! next drain goes on where this one was. A spool in which nothing can be changed is left alone: what was delivered from
//! it would be delivered again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mfa_core::audit::Event;
use mfa_core::clock::{Clock, SystemClock};
use mfa_core::config::{Config, EmailBy};
use mfa_core::courier::{Document, Kind, NoticeName, WaitingName};
use mfa_core::host::load_config;
use mfa_core::message::Texts;
use mfa_core::secure_file::Owner;
use nix::unistd::geteuid;

use crate::audit::{SystemLog, say_line, tell};
use crate::channel::{ChannelName, Delivery};
use crate::credential::Credentials;
use crate::digest;
use crate::obstacles::Obstacles;
use crate::progress::{NoResult, Progress, until};
use crate::report::{Class, Ending, Failure, Report, tidy};
use crate::send::no_result;
use crate::shed::{self, Environment};
use crate::spool::{Deferred, Place, Spool, Unread, Unusable, name_to_wait_under};

/// The pause after the first try, which is doubled after each further one.
const FIRST_PAUSE: u64 = 60;
/// Seconds between two tries at most.
const LONGEST_PAUSE: u64 = 3600;
/// How long it is tried.
const PATIENCE: u64 = 86_400;
/// How often it is tried at least: under a clock that is wrong, as some are until the network is there, everything is
/// old.
const MIN_TRIES: u32 = 5;
/// How often it is tried where the time of a notice lies in the future, and can't say how old it is.
const MAX_TRIES: u32 = 40;

/// Works off the spool; gives the exit code.
pub(crate) fn run(config: &Path, environment: Environment) -> u8 {
    match prepare(config, environment) {
        Ok(Some(mut drain)) => drain.run(),
        Ok(None) => 0,
        Err(failure) => {
            say("", &Report::failure(None, failure.clone()));
            failure.ending.exit_code()
        }
    }
}

fn say(what: &str, report: &Report) {
    say_line(format_args!("{what}{}", report.line().trim_end()));
}

/// Becomes the courier's user, and opens the spool; none where somebody else is at it.
fn prepare(path: &Path, environment: Environment) -> Result<Option<Drain>, Failure> {
    let config = load_config(path, Owner::ROOT)
        .map_err(|error| Failure::config(Class::ConfigUnusable, error.to_string()))?;
    let user = shed::courier_user(config.courier.user.as_str())?;
    let was_root = geteuid().is_root();
    shed::leave_terminal()?;
    shed::become_user(&user)?;
    if config.courier.email != EmailBy::Sendmail {
        shed::gain_no_privileges()?;
    }
    let spool = match Spool::open(config.paths.spool.as_path()) {
        Ok(spool) => spool,
        Err(Unusable::Busy) => {
            say_line(format_args!("another drain is at work; nothing was done"));
            return Ok(None);
        }
        Err(Unusable::Folder(path, error)) => {
            let detail = format!(
                "{}: {error}; `mfa-admin init` makes the spool's folders",
                path.display()
            );
            return Err(Failure::config(Class::ConfigUnusable, detail));
        }
        Err(Unusable::Fixed(path, error)) => {
            let detail = format!(
                "{} can't be written: {error}; nothing was delivered",
                path.display()
            );
            return Err(Failure::spool(detail));
        }
    };
    let credentials = Credentials::files(config.paths.credentials.as_path());
    // What root has in its environment is not meant for this.
    let credentials = if was_root {
        credentials
    } else {
        credentials.of_unit(environment.credentials, environment.variables)
    };
    let templates = config.messages.templates.path().map(PathBuf::from);
    let (texts, problems) = Texts::load(templates.as_deref(), Owner::ROOT);
    for problem in problems {
        say_line(format_args!("{problem}"));
    }
    Ok(Some(Drain {
        deadline: config.courier.deadline.get(),
        pause_of_digests: config.notices.digest.get().as_secs(),
        spool,
        delivery: None,
        setup: (config, texts, credentials),
        obstacles: Obstacles::default(),
        stuck: BTreeSet::new(),
        clock: SystemClock::new(),
        log: SystemLog::new(),
        worst: None,
    }))
}

struct Drain {
    deadline: Duration,
    pause_of_digests: u64,
    spool: Spool,
    /// None where it was left behind with something that hangs.
    delivery: Option<Delivery>,
    /// What a delivery is made of.
    setup: (Config, Texts, Credentials),
    /// What further messages would meet.
    obstacles: Obstacles,
    /// What can't be moved out of `new/`.
    stuck: BTreeSet<OsString>,
    clock: SystemClock,
    log: SystemLog,
    /// The exit code so far.
    worst: Option<Ending>,
}

/// A notice, and where it is.
struct Notice {
    place: Place,
    file: String,
    name: NoticeName,
    tries: u32,
    document: Document,
}

/// What was delivered can't be removed, or moved: nothing more may be delivered.
struct Stopped;

impl Drain {
    fn run(&mut self) -> u8 {
        if self.work().is_err() {
            say_line(format_args!(
                "the spool can't be changed; nothing more is delivered"
            ));
        }
        if let Some(mut delivery) = self.delivery.take() {
            delivery.close(Instant::now() + self.deadline);
        }
        self.worst.map_or(0, Ending::exit_code)
    }

    fn work(&mut self) -> Result<(), Stopped> {
        let now = self.now();
        let swept = self.spool.sweep(now);
        self.note(swept, "clearing tmp and dead");
        // First of all: what is in a digest must not be told again.
        self.finish_digests();
        loop {
            let is_empty = self.take_new()?;
            self.bundle_failures();
            self.try_waiting()?;
            if is_empty {
                return Ok(());
            }
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().unix_seconds()
    }

    fn note_ending(&mut self, ending: Ending) {
        self.worst = match (self.worst, ending) {
            (Some(Ending::Spool), _) | (_, Ending::Spool) => Some(Ending::Spool),
            (Some(Ending::Config), _) | (_, Ending::Config) => Some(Ending::Config),
            (_, Ending::Retry) => Some(Ending::Retry),
            // What was refused is not left to be done.
            (known, Ending::Refused) => known,
        };
    }

    /// Notes a failure of the spool itself.
    fn note<T>(&mut self, result: io::Result<T>, doing: &str) -> Option<T> {
        result
            .map_err(|error| {
                say_line(format_args!("{doing}: {error}"));
                self.note_ending(Ending::Spool);
            })
            .ok()
    }

    /// Takes everything out of `new/`, once; whether there was nothing.
    fn take_new(&mut self) -> Result<bool, Stopped> {
        let names = self.spool.names(Place::New);
        let Some(names) = self.note(names, "reading new") else {
            return Ok(true);
        };
        let mut is_empty = true;
        for file in names {
            if self.stuck.contains(&file) {
                continue;
            }
            is_empty = false;
            let text = file.to_str();
            let name = text.and_then(NoticeName::parse);
            if let (Some(text), Some(name)) = (text, name) {
                self.take(Place::New, text, name, 0)?;
            } else {
                self.bury_unread(Place::New, &file, "its name is none of a notice");
            }
            // What could not be moved is not looked at again: there would be no end.
            self.stuck.insert(file);
        }
        Ok(is_empty)
    }

    /// Takes one notice: a failure waits for its digest, everything else is delivered.
    fn take(
        &mut self,
        place: Place,
        file: &str,
        name: NoticeName,
        tries: u32,
    ) -> Result<(), Stopped> {
        let document = match self.spool.read(place, file, &name) {
            Ok(document) => document,
            Err(why) => {
                if self.may_be_read_later(place, file, &why) {
                    self.put_off(place, file, name, tries);
                }
                return Ok(());
            }
        };
        if name.kind == Kind::Failure {
            let deferred = self.spool.defer(place, file, &name.to_string());
            self.note(deferred, "keeping a failure for its digest");
            return Ok(());
        }
        self.deliver(&Notice {
            place,
            file: file.to_owned(),
            name,
            tries,
            document,
        })
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), Stopped> {
        let (report, is_tried) = self.report(&notice.document);
        let Err(failure) = report.result.clone() else {
            let removed = self.spool.remove(notice.place, &notice.file);
            return self
                .note(removed, "removing what is delivered")
                .ok_or(Stopped);
        };
        say(&format!("{}: ", notice.name), &report);
        self.note_ending(failure.ending);
        let now = self.now();
        let age = now.checked_sub(notice.document.time);
        // Nobody has tried what only met an obstacle. Past its day it counts all the same: a channel that is never set
        // up again must not fill the spool.
        let counts = is_tried || age.is_none_or(|age| age > PATIENCE);
        let tries = notice.tries.saturating_add(u32::from(counts));
        if failure.ending == Ending::Refused || is_over(age, tries) {
            return self.bury(notice, report.channel, &failure).ok_or(Stopped);
        }
        let name = WaitingName {
            next: now.saturating_add(pause_after(tries)),
            tries,
            notice: name_to_wait_under(notice.name.clone()),
        };
        let deferred = self
            .spool
            .defer(notice.place, &notice.file, &name.to_string());
        self.note(deferred, "keeping a notice for another time")
            .ok_or(Stopped)
    }

    /// Delivers a document, unless it is known what it would meet; and whether it was tried.
    fn report(&mut self, document: &Document) -> (Report, bool) {
        let Some(channel) = ChannelName::of(document, &self.setup.0) else {
            return (self.try_out(document, &Progress::default()), true);
        };
        if let Some(failure) = self.obstacles.before(channel, document) {
            return (Report::failure(Some(channel), failure.clone()), false);
        }
        let progress = Progress::at("while composing the message").with_own_groups();
        let report = self.try_out(document, &progress);
        match &report.result {
            Ok(_) => self.obstacles.passed(channel),
            Err(failure) => {
                let is_with_message = progress.is_with_message();
                self.obstacles
                    .met(channel, document, failure, is_with_message);
            }
        }
        (report, true)
    }

    /// Delivers a document.
    fn try_out(&mut self, document: &Document, progress: &Progress) -> Report {
        let mut delivery = self.delivery.take().unwrap_or_else(|| {
            let (config, texts, credentials) = self.setup.clone();
            Delivery::new(config, texts, credentials)
        });
        let end = Instant::now() + self.deadline;
        let (at, owned) = (progress.clone(), document.clone());
        let result = until(end, move || {
            let report = delivery.deliver(&owned, end, &at);
            (report, delivery)
        });
        match result {
            Ok((report, delivery)) => {
                self.delivery = Some(delivery);
                report
            }
            Err(none) => {
                if none == NoResult::Overdue {
                    progress.kill_program();
                }
                let channel = ChannelName::of(document, &self.setup.0);
                Report::failure(channel, no_result(&none, progress))
            }
        }
    }

    fn bury(
        &mut self,
        notice: &Notice,
        channel: Option<ChannelName>,
        failure: &Failure,
    ) -> Option<()> {
        // Its name may have lost the user while it waited.
        let new_name = OsString::from(NoticeName::of(&notice.document).to_string());
        let buried = self
            .spool
            .bury(notice.place, OsStr::new(&notice.file), &new_name);
        self.note(buried, "putting a notice into dead")?;
        let document = Some(&notice.document);
        tell(
            &mut self.log,
            Event::NoticeFailed,
            document,
            channel,
            failure,
        );
        Some(())
    }

    /// Puts away what is no notice, and what could not be read for a day; whether it is still there.
    fn may_be_read_later(&mut self, place: Place, file: &str, why: &Unread) -> bool {
        let error = match why {
            Unread::Strange(what) => {
                self.bury_unread(place, OsStr::new(file), what);
                return false;
            }
            Unread::System(error) => error,
        };
        // What it says itself of its age can't be read.
        let age = self.spool.age(place, file, self.now());
        if age.is_some_and(|age| age > PATIENCE) {
            self.bury_unread(place, OsStr::new(file), &error.to_string());
            return false;
        }
        let line = tidy(&format!("{file}: {error}; it is tried again later"));
        say_line(format_args!("{line}"));
        self.note_ending(Ending::Retry);
        true
    }

    /// Keeps for another time what can't be read.
    fn put_off(&mut self, place: Place, file: &str, name: NoticeName, tries: u32) {
        let new_name = if name.kind == Kind::Failure {
            name.to_string()
        } else {
            let tries = tries.saturating_add(1);
            let next = self.now().saturating_add(pause_after(tries));
            let notice = name_to_wait_under(name);
            WaitingName {
                next,
                tries,
                notice,
            }
            .to_string()
        };
        let deferred = self.spool.defer(place, file, &new_name);
        self.note(deferred, "keeping a notice for another time");
    }

    /// Puts away what is no notice.
    fn bury_unread(&mut self, place: Place, file: &OsStr, what: &str) {
        let shown = file.to_string_lossy();
        let line = tidy(&format!("{shown}: {what}; it is in dead now"));
        say_line(format_args!("{line}"));
        let buried = self.spool.bury(place, file, file);
        if self.note(buried, "putting something into dead").is_some() {
            let detail = format!("{shown}: {what}");
            tell_unreadable(&mut self.log, &detail);
        }
    }

    /// What is in `deferred/`, by what the names say.
    fn deferred(&mut self) -> Vec<(OsString, Deferred)> {
        let names = self.spool.names(Place::Deferred);
        self.note(names, "reading deferred")
            .unwrap_or_default()
            .into_iter()
            .map(|name| {
                let meaning = Deferred::of(&name);
                (name, meaning)
            })
            .collect()
    }

    /// Finishes the digests that were composed: their failures are removed, and each recipient's message is made. May be
    /// done any number of times, up to the last step.
    fn finish_digests(&mut self) {
        for (file, meaning) in self.deferred() {
            match meaning {
                Deferred::Digest(name) => {
                    let file = name.to_string();
                    match self.spool.read(Place::Deferred, &file, &name) {
                        Ok(document) => {
                            let finished = self.finish_digest(&file, &name, &document);
                            self.note(finished, "making a digest");
                        }
                        // Where it may be read later, it is finished then.
                        Err(why) => drop(self.may_be_read_later(Place::Deferred, &file, &why)),
                    }
                }
                Deferred::Strange => {
                    self.bury_unread(
                        Place::Deferred,
                        &file,
                        "its name is none of a notice that waits",
                    );
                }
                Deferred::Event(_) | Deferred::Waiting(_) | Deferred::Sent(_) => {}
            }
        }
    }

    fn finish_digest(
        &mut self,
        file: &str,
        name: &NoticeName,
        digest: &Document,
    ) -> io::Result<()> {
        self.spool.note_sent(&name.user, self.now())?;
        for merged in &digest.merges {
            // Names from a file: nothing but failures of this user is removed.
            if NoticeName::parse(merged)
                .is_some_and(|event| event.kind == Kind::Failure && event.user == name.user)
            {
                self.spool.remove(Place::Deferred, merged)?;
            }
        }
        let parts = digest::part(digest);
        if parts.is_empty() {
            let failure = Failure::refused(Class::Document, "there is nobody to be told");
            tell(
                &mut self.log,
                Event::NoticeFailed,
                Some(digest),
                None,
                &failure,
            );
        }
        for part in parts {
            let waiting = WaitingName {
                next: 0,
                tries: 0,
                notice: name_to_wait_under(NoticeName::of(&part)),
            };
            self.spool
                .write(&waiting.to_string(), part.to_json().as_bytes())?;
        }
        self.spool.remove(Place::Deferred, file)
    }

    /// Makes digests of the failures of those who have not been told for a while.
    fn bundle_failures(&mut self) {
        let now = self.now();
        let mut by_user: BTreeMap<String, Vec<NoticeName>> = BTreeMap::new();
        for (_, meaning) in self.deferred() {
            match meaning {
                Deferred::Event(name) => by_user.entry(name.user.clone()).or_default().push(name),
                Deferred::Sent(user) if self.is_due(&user, now) => {
                    let forgotten = self.spool.forget_sent(&user);
                    self.note(forgotten, "forgetting when somebody was told");
                }
                _ => {}
            }
        }
        for (user, names) in by_user {
            if self.is_due(&user, now) {
                self.bundle(names);
            }
        }
        self.finish_digests();
    }

    fn is_due(&self, user: &str, now: u64) -> bool {
        digest::is_due(self.spool.sent(user), now, self.pause_of_digests)
    }

    fn bundle(&mut self, names: Vec<NoticeName>) {
        let mut events = Vec::new();
        for name in names.into_iter().take(digest::MAX_EVENTS) {
            let file = name.to_string();
            match self.spool.read(Place::Deferred, &file, &name) {
                Ok(document) => events.push((name, document)),
                // Where it may be read later, it is in the next digest.
                Err(why) => drop(self.may_be_read_later(Place::Deferred, &file, &why)),
            }
        }
        let Some(digest) = digest::compose(events) else {
            return;
        };
        let name = NoticeName::of(&digest).to_string();
        let written = self.spool.write(&name, digest.to_json().as_bytes());
        self.note(written, "making a digest");
    }

    /// Tries what waits, where its time has come.
    fn try_waiting(&mut self) -> Result<(), Stopped> {
        for (file, meaning) in self.deferred() {
            let (Some(file), Deferred::Waiting(waiting)) = (file.to_str(), meaning) else {
                continue;
            };
            let now = self.now();
            // Later than any pause: the clock was set meanwhile.
            if waiting.next <= now || waiting.next > now.saturating_add(LONGEST_PAUSE) {
                // By its own name: numbers can be written in several ways.
                self.take(Place::Deferred, file, waiting.notice, waiting.tries)?;
            }
        }
        Ok(())
    }
}

fn tell_unreadable(log: &mut SystemLog, detail: &str) {
    use mfa_core::audit::{AuditLog, courier_line};
    let event = Event::NoticeFailed;
    let line = courier_line(event, None, None, None, "unreadable", &tidy(detail));
    log.write(event.severity(), &line);
}

/// Whether it has been tried for long enough, and often enough.
fn is_over(age: Option<u64>, tries: u32) -> bool {
    match age {
        Some(age) => age > PATIENCE && tries >= MIN_TRIES,
        // It comes from the future, and how old it is can't be told.
        None => tries > MAX_TRIES,
    }
}

/// 1, 2, 4 … minutes, and at most an hour.
fn pause_after(tries: u32) -> u64 {
    let doublings = tries.saturating_sub(1).min(16);
    (FIRST_PAUSE << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let pauses: Vec<_> = (1..=8).map(pause_after).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(pause_after(u32::MAX), 3600);
    }
}
