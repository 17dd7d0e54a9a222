//! How soon prompts come where codes are delivered, and what their time tells.

use std::collections::VecDeque;
use std::fs;
use std::net::TcpListener;
use std::thread;

use mfa_tests::pam_host::PamHost;
use mfa_tests::stopwatch::{Stopwatch, told_apart};
use mfa_tests::{Authenticator, install_courier};

use crate::progress::Progress;
use crate::report::{Report, Target, number};
use crate::site::{Site, copy};
use crate::statistics::{median, quartiles_of};
use crate::table::Table;

/// Both are measured within one run.
pub(crate) struct Delivery {
    prompts: Vec<Prompts>,
    told_apart: Vec<ToldApart>,
}

/// How soon prompts come on a host that delivers, or does not.
struct Prompts {
    name: &'static str,
    /// After the beginning of `pam_authenticate`, nanoseconds.
    first: Vec<u64>,
    /// After Enter.
    second: Vec<u64>,
}

/// What the time of a host that delivers tells about a person.
struct ToldApart {
    name: &'static str,
    /// From Enter to the next prompt, nanoseconds.
    enter: Vec<u64>,
    /// From Enter, pressed again when a courier has had time to begin, to the next prompt.
    again: Vec<u64>,
    /// A login of three wrong codes.
    wrong: Vec<u64>,
}

/// Who is told apart, and what is known of them.
const PEOPLE: [(&str, &str); 3] = [
    ("alice", "an address"),
    ("bob", "an app alone"),
    ("carol", "no record"),
];

/// The same person on hosts without delivery and with a mail server that takes connections and never says a word.
pub(crate) fn measure(site: &Site, count: usize, progress: &mut Progress) -> Delivery {
    install_courier();
    let port = silent_server();
    let plain = "[prompt]\nfail_delay = \"0s\"\n";
    let mail = format!(
        "[code]\nmax_sends = 1000\n[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"a@example.com\"\n"
    );
    let hosts = [
        ("no delivery", plain.to_owned()),
        ("a silent mail server", format!("{plain}{mail}")),
        (
            "the same, a code sent at once",
            format!("{plain}first = \"send\"\n{mail}"),
        ),
    ];
    let hosts: Vec<_> = (0..)
        .zip(hosts)
        .map(|(number, (name, tables))| (name, host(site, number, &tables)))
        .collect();
    let mut watches: Vec<_> = hosts
        .iter()
        .map(|(_, host)| Stopwatch::start(&host.path("pam.d")))
        .collect();
    let mut prompts: Vec<_> = hosts
        .iter()
        .map(|&(name, _)| Prompts {
            name,
            first: Vec::new(),
            second: Vec::new(),
        })
        .collect();
    let told_apart = tell_apart(&hosts[1].1, &mut watches[1], count / 4, progress);
    for turn in 0..count + count / 10 {
        for (watch, seen) in watches.iter_mut().zip(&mut prompts) {
            let lap = watch.obey("prompt login alice");
            // The first tenth warms up.
            if turn >= count / 10 {
                seen.first.push(lap.authenticate);
                seen.second.push(lap.login);
            }
        }
    }
    Delivery {
        prompts,
        told_apart,
    }
}

fn silent_server() -> u16 {
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
    port
}

fn host(site: &Site, number: usize, tables: &str) -> PamHost {
    let host = PamHost::below(site.folder.join(format!("prompts{number}")), tables);
    host.enroll_app("alice", &site.app);
    let methods = ["user", "set", "alice", "--methods", "app,email"];
    let address = ["--email", "alice@example.com"];
    host.admin(&[&methods[..], &address].concat())
        .expect_success();
    host.enroll_app("bob", &Authenticator::new());
    host
}

/// Somebody with an address, with an app alone, and without a record.
fn tell_apart(
    host: &PamHost,
    watch: &mut Stopwatch,
    count: usize,
    progress: &mut Progress,
) -> Vec<ToldApart> {
    let mut all: Vec<_> = PEOPLE
        .map(|(name, _)| ToldApart {
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
    let warm = count.div_ceil(10);
    for turn in 0..count + warm {
        progress.at(turn, count + warm);
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
            let enter = watch.obey(&format!("prompt login {name}")).login;
            let again = watch.obey(&format!("prompt login {name} 60")).login;
            let wrong = watch
                .obey(&format!("login login {name} 000000{restored}"))
                .authenticate;
            // So that there is always room for a notice.
            for entry in fs::read_dir(host.path("spool/new")).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            if turn >= warm {
                person.enter.push(enter);
                person.again.push(again);
                person.wrong.push(wrong);
            }
        }
    }
    all.sort_by_key(|person| person.name);
    all
}

impl Delivery {
    pub(crate) fn target(&self, report: &mut Report) {
        let slowest = self.prompts[1..]
            .iter()
            .map(|prompts| median(&prompts.second));
        let ours = slowest.fold(median(&self.prompts[2].first), f64::max) / 1000.0;
        let peers = [f64::NAN, f64::NAN];
        report.target(Target::at_most(
            "prompt after Enter, ms",
            peers,
            ours,
            5.0,
            "",
        ));
        report.reason(|| "see the table of prompts below".to_owned());
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let mut table = Table::new(&["", "first prompt", "quartiles", "after Enter", "quartiles"]);
        for prompts in &self.prompts {
            let (first, second) = (quartiles_of(&prompts.first), quartiles_of(&prompts.second));
            table.row(vec![
                prompts.name.to_owned(),
                number(first.median),
                format!("{}–{}", number(first.low), number(first.high)),
                number(second.median),
                format!("{}–{}", number(second.low), number(second.high)),
            ]);
        }
        let about = format!(
            "{} logins of somebody who presses Enter to have a code sent, by mail; the server takes connections and never \
             says a word. Of the three, the slowest prompt that follows Enter, or a code sent at once, counts above.",
            self.prompts[0].first.len()
        );
        report.section("Prompts where codes are delivered", &about, table, None);
        self.report_apart(report);
    }

    fn report_apart(&self, report: &mut Report) {
        let mut table = Table::new(&[
            "",
            "Enter",
            "AUC",
            "again",
            "AUC",
            "three wrong codes",
            "AUC",
        ]);
        for (at, one) in self.told_apart.iter().enumerate() {
            for other in &self.told_apart[at + 1..] {
                let mut row = vec![format!("{} and {}", one.name, other.name)];
                for (one, other) in [
                    (&one.enter, &other.enter),
                    (&one.again, &other.again),
                    (&one.wrong, &other.wrong),
                ] {
                    row.push(format!("{:.0}, {:.0}", median(one), median(other)));
                    row.push(format!("{:.3}", told_apart(one, other).auc));
                }
                table.row(row);
            }
        }
        let known = PEOPLE.map(|(name, what)| format!("{name} has {what}"));
        let about = format!(
            "The same host, {} logins each: {}. How well the time of a prompt after Enter, after Enter once more, and of a \
             login of three wrong codes tells two of them apart (AUC; 0.5 not at all).",
            self.told_apart[0].enter.len(),
            known.join(", ")
        );
        report.section(
            "What time tells where codes are delivered",
            &about,
            table,
            None,
        );
    }
}
