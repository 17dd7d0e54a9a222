//! Notices: who is told of a login, of failures, and of changes to an account. They are kept for the courier
//! and never delay or fail anything.

use crate::audit::{AuditLog, AuditTrail, Entry, Event};
use crate::config::Config;
use crate::courier::{self, Channels, Courier, Document, Kind};
use crate::device::DeviceId;
use crate::host;
use crate::record::{Method, UserRecord};
use crate::request::LoginRequest;

/// What notices of this host have in common.
#[derive(Clone, Copy, Debug)]
pub struct Notices<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// What can be delivered.
    pub channels: Channels,
    /// This host.
    pub device: DeviceId,
}

/// A notice, and whether there is anybody to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What it says.
    pub document: Document,
    /// Whether it is to be kept. Where not, keeping it is pretended where time could tell.
    pub is_wanted: bool,
}

impl Notices<'_> {
    /// A login, told to the user. `None`: nobody is told of logins on this host, or this user can't be.
    #[must_use]
    pub fn of_login(
        &self,
        request: &LoginRequest,
        trail: &AuditTrail,
        record: &UserRecord,
        unix_seconds: u64,
    ) -> Option<Document> {
        let mut document = self.document(Kind::Login, record, unix_seconds);
        tell_of_request(&mut document, request);
        trail.login().clone_into(&mut document.login);
        let (method, app) = trail.used_method().unwrap_or_default();
        document.method = method;
        document.app = app;
        self.address(&mut document, record).then_some(document)
    }

    /// A failure, told to the user and to the administrators. `event`: what it was, if anybody is told of
    /// such; `record`: whose account it was, if there is one. `None`: nobody is told of failures on this host.
    #[must_use]
    pub fn of_failure(
        &self,
        request: &LoginRequest,
        trail: &AuditTrail,
        record: Option<&UserRecord>,
        event: Option<Event>,
        unix_seconds: u64,
    ) -> Option<Notice> {
        if !self.config.notices.on_failure || !self.channels.any() {
            return None;
        }
        let Some(record) = record else {
            let mut document = Document::new(Kind::Failure, courier::new_id(), unix_seconds);
            tell_of_request(&mut document, request);
            trail.login().clone_into(&mut document.login);
            return Some(Notice {
                document,
                is_wanted: false,
            });
        };
        let mut document = self.document(Kind::Failure, record, unix_seconds);
        tell_of_request(&mut document, request);
        trail.login().clone_into(&mut document.login);
        if self.channels.email {
            let admins = self.config.notices.admins.iter();
            document.admins = admins.map(ToString::to_string).collect();
        }
        let has_address = self.address(&mut document, record);
        let event_name = event.map(Event::name);
        event_name
            .unwrap_or_default()
            .clone_into(&mut document.event);
        let is_wanted = event_name.is_some() && (has_address || !document.admins.is_empty());
        Some(Notice {
            document,
            is_wanted,
        })
    }

    /// A change by an administrator, told to the user as the record says (before the change and after it: two
    /// notices where the address itself was changed). `None`: the user can't be told.
    #[must_use]
    pub fn of_change(
        &self,
        record: &UserRecord,
        event: Event,
        actor: &str,
        detail: &str,
        unix_seconds: u64,
    ) -> Option<Document> {
        let mut document = self.document(Kind::Change, record, unix_seconds);
        event.name().clone_into(&mut document.event);
        actor.clone_into(&mut document.actor);
        detail.clone_into(&mut document.detail);
        self.address(&mut document, record).then_some(document)
    }

    /// A trial message to a user. `None`: the user can't be told.
    #[must_use]
    pub fn trial(&self, record: &UserRecord, unix_seconds: u64) -> Option<Document> {
        let mut document = self.document(Kind::Test, record, unix_seconds);
        self.address(&mut document, record).then_some(document)
    }

    /// What a document of a user's says in any case.
    #[must_use]
    pub fn document(&self, kind: Kind, record: &UserRecord, unix_seconds: u64) -> Document {
        let mut document = Document::new(kind, courier::new_id(), unix_seconds);
        document.user = record.user.to_string();
        document.host = host::name();
        document.device = record
            .devices
            .iter()
            .find(|assigned| assigned.id.includes(self.device))
            .map_or_else(
                || self.device.short(),
                |assigned| assigned.label.to_string(),
            );
        document
    }

    /// Addresses a notice to a user: by mail where that is possible, else by what else reaches them. Whether
    /// there is a way.
    fn address(&self, document: &mut Document, record: &UserRecord) -> bool {
        let Some((method, to)) = way(self.channels, record) else {
            return false;
        };
        document.channel = method;
        document.to = to;
        true
    }
}

/// By what notices reach a user, and where.
fn way(channels: Channels, record: &UserRecord) -> Option<(Method, String)> {
    let by_command = record.methods.contains(&Method::Command);
    let ways = [Method::Email, Method::Telegram, Method::Command];
    ways.into_iter().find_map(|method| {
        let is_possible = channels.has(method) && (method != Method::Command || by_command);
        let to = record.address_for(method).filter(|_| is_possible)?;
        Some((method, to))
    })
}

/// Whether notices reach a user at all.
#[must_use]
pub fn reaches(channels: Channels, record: &UserRecord) -> bool {
    way(channels, record).is_some()
}

/// Says in a document which request it is about.
pub(crate) fn tell_of_request(document: &mut Document, request: &LoginRequest) {
    document.service.clone_from(&request.service);
    request.address().clone_into(&mut document.from);
    document.tty = request.tty.clone().unwrap_or_default();
}

/// Keeps a notice, or pretends to; a line says so where that failed. Whether it was done.
pub fn keep(
    notice: &Document,
    is_wanted: bool,
    courier: &mut dyn Courier,
    trail: &mut AuditTrail,
    audit: &mut dyn AuditLog,
) -> bool {
    if let Err(error) = courier.spool(notice, is_wanted) {
        let detail = error.to_string();
        let entry = Entry {
            reason: Some(error.reason()),
            detail: Some(&detail),
            ..Entry::default()
        };
        trail.log(audit, Event::NoticeFailed, &entry);
        return false;
    }
    true
}
