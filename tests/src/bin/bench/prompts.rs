//! How soon prompts come where codes are delivered, and what their time tells.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::thread;

use mfa_tests::pam_host::PamHost;
use mfa_tests::{Authenticator, install_courier};

use crate::report::verdict;
use crate::site::{Site, copy};
use crate::statistics::{auc, median};
use crate::stopwatch::Stopwatch;

/// How soon prompts come on a host that delivers, or does not.
pub(crate) struct Prompts {
    pub(crate) name: &'static str,
    /// After the beginning of `pam_authenticate`, nanoseconds.
    pub(crate) first: Vec<u64>,
    /// After Enter.
    pub(crate) second: Vec<u64>,
}

/// The same person on hosts without delivery and with a mail server that takes connections and never says a word.
pub(crate) fn prompts(site: &Site, count: usize) -> (Vec<Prompts>, Vec<ToldApart>) {
    install_courier();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    thread::spawn(move || {
        // Kept open until the other side has gone.
        let mut all: VecDeque<_> = VecDeque::new();
        for stream in server.incoming() {
            all.push_back(stream);
            if all.len() > 64 {
                all.pop_front();
            }
        }
    });
    let mail = format!(
        "[prompt]\nfail_delay = \"0s\"\nFIRST[code]\nmax_sends = 1000\n[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@example.com\"\n"
    );
    let hosts = [
        ("no delivery", "[prompt]\nfail_delay = \"0s\"\n".to_owned()),
        ("a silent mail server", mail.replace("FIRST", "")),
        (
            "the same, a code sent at once",
            mail.replace("FIRST", "first = \"send\"\n"),
        ),
    ];
    let mut seen = Vec::new();
    let mut watches: Vec<Stopwatch> = Vec::new();
    let mut told_apart = Vec::new();
    for (number, (name, tables)) in hosts.iter().enumerate() {
        let folder = site.folder.join(format!("prompts{number}"));
        let host = PamHost::below(&folder, tables);
        host.enroll_app("alice", &site.app);
        let address = [
            "user",
            "set",
            "alice",
            "--methods",
            "app,email",
            "--email",
            "alice@example.com",
        ];
        host.admin(&address).expect_success();
        watches.push(Stopwatch::start(&folder.join("pam.d")));
        seen.push(Prompts {
            name,
            first: Vec::new(),
            second: Vec::new(),
        });
        if number == 1 {
            told_apart = told_apart_by_time(&host, &mut watches[number], count);
        }
    }
    for turn in 0..count + count / 10 {
        for (watch, seen) in watches.iter_mut().zip(&mut seen) {
            let lap = watch.time("prompt login alice");
            // The first tenth warms up.
            if turn >= count / 10 {
                seen.first.push(lap.authenticate);
                seen.second.push(lap.login);
            }
        }
    }
    (seen, told_apart)
}

/// What the time of a host that delivers tells about a person.
pub(crate) struct ToldApart {
    pub(crate) name: &'static str,
    /// From Enter to the next prompt, nanoseconds.
    pub(crate) enter: Vec<u64>,
    /// From Enter, pressed again when a courier has had time to begin, to the next prompt.
    pub(crate) again: Vec<u64>,
    /// A login of three wrong codes.
    pub(crate) wrong: Vec<u64>,
}

/// Somebody with an address, with an app alone, and without a record.
pub(crate) fn told_apart_by_time(
    host: &PamHost,
    watch: &mut Stopwatch,
    count: usize,
) -> Vec<ToldApart> {
    host.enroll_app("bob", &Authenticator::new());
    let mut all: Vec<_> = ["alice", "bob", "carol"]
        .map(|name| ToldApart {
            name,
            enter: Vec::new(),
            again: Vec::new(),
            wrong: Vec::new(),
        })
        .into();
    for name in ["alice", "bob"] {
        copy(
            &host.state_path(name),
            &host.path(&format!("state-of-{name}")),
        );
    }
    for turn in 0..count + count / 10 {
        // Another order each time.
        all.rotate_left(1);
        for person in &mut all {
            let name = person.name;
            let restored = if name == "carol" {
                String::new()
            } else {
                let saved = host.path(&format!("state-of-{name}"));
                format!(" {} {}", saved.display(), host.state_path(name).display())
            };
            let enter = watch.time(&format!("prompt login {name}")).login;
            let again = watch.time(&format!("prompt login {name} 60")).login;
            let wrong = watch
                .time(&format!("login login {name} 000000{restored}"))
                .authenticate;
            // So that there is always room for a notice.
            for entry in fs::read_dir(host.path("spool/new")).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            if turn >= count / 10 {
                person.enter.push(enter);
                person.again.push(again);
                person.wrong.push(wrong);
            }
        }
    }
    all.sort_by_key(|person| person.name);
    all
}

pub(crate) fn report_prompts((all, told_apart): &(Vec<Prompts>, Vec<ToldApart>)) {
    println!(
        "\nprompts, medians in µs{:30}{:>14} {:>14} {:>7}",
        "", "the first", "after Enter", "logins"
    );
    for prompts in all {
        println!(
            "{:51}{:14.1} {:14.1} {:7}",
            prompts.name,
            median(&prompts.first),
            median(&prompts.second),
            prompts.first.len()
        );
    }
    let [without, with, at_once] = &all[..] else {
        return;
    };
    let later = |one: &[u64], other: &[u64]| (median(one) - median(other)) / 1000.0;
    verdict(
        "Enter, a silent server: later than without delivery, ms",
        later(&with.second, &without.second),
        5.0,
        "",
    );
    verdict(
        "the first prompt, a code sent at once: later, ms",
        later(&at_once.first, &without.first),
        5.0,
        "",
    );
    println!(
        "\nhow well the time tells apart: alice has an address, bob an app alone, carol no record (AUC), medians in µs"
    );
    let mut worst: f64 = 0.5;
    for (at, one) in told_apart.iter().enumerate() {
        for other in &told_apart[at + 1..] {
            let mut line = format!("  {:6} {:6}", one.name, other.name);
            for (what, one, other) in [
                ("Enter", &one.enter, &other.enter),
                ("and again", &one.again, &other.again),
                ("three wrong codes", &one.wrong, &other.wrong),
            ] {
                let area = auc(one, other);
                worst = worst.max(area);
                let _ = write!(
                    line,
                    "  {what} {area:.3} ({:.0}, {:.0})",
                    median(one),
                    median(other)
                );
            }
            println!("{line}");
        }
    }
    verdict("worst pair on a host that delivers", worst, 0.6, "");
}
