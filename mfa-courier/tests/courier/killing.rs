//! Killed at any moment, the courier loses nothing.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use mfa_core::courier::Kind;
use mfa_core::record::Method;

use crate::host::{Host, document, header, needs_root};

const NOTICES: u64 = 1000;
const FAILURES: u64 = 60;
const USERS: u64 = 6;
const KILLS: u32 = 200;

/// Starts a drain and kills it, again and again: each one after some messages, and some microseconds. `count` tells
/// how much was delivered.
fn kill_drains(host: &Host, times: u32, most: u64, count: impl Fn() -> usize) {
    // The same moments every time, as far as a machine does the same every time.
    let mut random = 20_261_120_u64;
    let mut next = |below| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..times {
        let goal = count() + usize::try_from(next(most)).unwrap();
        let mut drain = host.drainer();
        // One that is done earlier has nothing left to do.
        while count() < goal && drain.try_wait().unwrap().is_none() {
            sleep(Duration::from_micros(100));
        }
        sleep(Duration::from_micros(next(3000)));
        drain.kill().unwrap();
        drain.wait().unwrap();
    }
}

#[test]
fn a_thousand_notices_survive_two_hundred_kills() {
    needs_root!();
    let host = Host::new("");
    for number in 0..NOTICES {
        host.put(&document(Kind::Login, number, "alice"));
    }
    for number in 0..FAILURES {
        let user = format!("user{}", number % USERS);
        host.put(&document(Kind::Failure, NOTICES + number, &user));
    }
    kill_drains(&host, KILLS, 10, || host.names("out").len());
    let left = host.names("spool/new").len();
    assert!(left < 500, "{left} are left: hardly any drain did anything");
    host.drain().expect(0, "");
    let mails = host.mails();
    let ids: BTreeSet<_> = mails
        .iter()
        .map(|mail| header(mail, "Message-ID").to_owned())
        .collect();
    assert_eq!(ids.len(), mails.len());
    let is_notice = |number: u64| {
        ids.iter()
            .any(|id| id.starts_with(&format!("<{number:032x}@")))
    };
    assert!((0..NOTICES).all(is_notice));
    // One digest a user: all of them had come before the first was told.
    assert_eq!(
        mails.len() as u64,
        NOTICES + USERS,
        "{left} were left after the kills"
    );
    for folder in ["tmp", "new", "dead"] {
        assert!(
            host.names(&format!("spool/{folder}")).is_empty(),
            "{folder}"
        );
    }
    assert_eq!(host.names("spool/deferred").len() as u64, USERS);
}

#[test]
fn a_kill_repeats_the_message_in_flight_at_most() {
    needs_root!();
    let (notices, kills) = (300, 60);
    let host = Host::new("");
    let program = host.program("gateway", "cat >> ${0%/*}/out/log");
    let settings = format!(
        "[courier.command]\nrun = [\"{}\"]\n[courier.file]",
        program.display()
    );
    host.change("[courier.file]", &settings);
    for number in 0..notices {
        let mut notice = document(Kind::Login, number, &format!("user{number}"));
        notice.channel = Method::Command;
        host.put(&notice);
    }
    let log = || std::fs::read_to_string(host.path("out/log")).unwrap_or_default();
    kill_drains(&host, kills, 10, || log().matches('\n').count());
    host.drain().expect(0, "");
    let log = log();
    let told = |number| log.matches(&format!("\"user\":\"user{number}\"")).count();
    let times: Vec<_> = (0..notices).map(told).collect();
    assert!(times.iter().all(|times| *times >= 1), "{times:?}");
    let repeated: usize = times.iter().map(|times| times - 1).sum();
    assert!(
        repeated <= kills as usize,
        "{repeated} repeated after {kills} kills"
    );
}
