//! What the clock tells: the time of `pam_authenticate` for every kind of refusal, and for each pair of kinds the area under the
//! ROC curve, 0.5 where the time says nothing and 1 where it always says who is who.
//!
//! In the long form 500 logins of each kind, interleaved in random order: in one process and in fresh ones, with the store
//! on a disk and in memory (where no disk blurs anything), alone and while 16 others guess at the same people and at others. Nothing of
//! it is asserted: it is printed, with MET or MISSED. A busy machine blurs, and so makes the figures better than they are.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use mfa_tests::pam_host::RHOST;
use mfa_tests::stopwatch::{Area, Shuffle, Stopwatch, median, told_apart};
use mfa_tests::{install_courier, on_a_test_host, proof, target};

use crate::people::{KINDS, Kind, LIMITS, People, add_accounts};

/// What no pair may pass.
const TARGET: f64 = 0.6;
/// People of each kind: one by one, so that nobody's own file is what is measured.
fn of_a_kind() -> usize {
    proof::rounds(1, 10)
}
/// Processes that guess meanwhile.
const GUESSERS: usize = 16;

/// Who is timed, and the file that a refusal writes: their own, or a decoy.
struct Timed {
    kind: Kind,
    people: Vec<(String, PathBuf)>,
    times: Vec<u64>,
}

struct Bench {
    people: People,
    wrong: String,
}

#[derive(Clone, Copy)]
struct Way {
    fresh: bool,
    guessed_at: bool,
}

impl Bench {
    fn settle_below(folder: &str) -> Self {
        let people = People::settle_below(folder, of_a_kind());
        people.host.configure(&format!(
            "[prompt]\ntries = 1\nfail_delay = \"0s\"\n{LIMITS}"
        ));
        let wrong = people.app.wrong_code();
        Self { people, wrong }
    }

    fn everybody(&self) -> Vec<Timed> {
        let timed = |kind: Kind| Timed {
            kind,
            people: (0..of_a_kind())
                .map(|which| kind.name_of(which))
                .map(|name| (name.clone(), self.state_of(kind, &name)))
                .collect(),
            times: Vec::new(),
        };
        KINDS.into_iter().map(timed).collect()
    }

    /// The name of the file that a refusal of `name` writes: for those without a record the decoy that one has just written.
    fn state_of(&self, kind: Kind, name: &str) -> PathBuf {
        if !matches!(kind, Kind::NoRecord | Kind::UnknownToNss) {
            return PathBuf::from(name);
        }
        self.people.host.login(name, &[&self.wrong]);
        let states = fs::read_dir(self.people.host.path("lib/state")).unwrap();
        let newest = states
            .map(Result::unwrap)
            .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap())
            .unwrap();
        assert!(
            newest.file_name().to_string_lossy().starts_with("%decoy-"),
            "{newest:?}"
        );
        PathBuf::from(newest.file_name())
    }

    /// `turns` logins of each kind. Before each the state is as it was at first, written over the file in place.
    fn measure(&self, way: Way, turns: usize, what: &str) -> Vec<Timed> {
        let mut everybody = self.everybody();
        self.people.put_back();
        // What was written until now is not to be waited for by logins.
        Command::new("sync").status().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            if way.guessed_at {
                let confdir = self.people.host.path("pam.d");
                for number in 0..GUESSERS {
                    let (confdir, wrong, done) = (confdir.clone(), &self.wrong, &done);
                    scope.spawn(move || guess(number as u64, &confdir, wrong, done));
                }
            }
            self.time_everybody(&mut everybody, way, turns, what);
            done.store(true, Ordering::Relaxed);
        });
        everybody
    }

    fn time_everybody(&self, everybody: &mut [Timed], way: Way, turns: usize, what: &str) {
        let confdir = self.people.host.path("pam.d");
        let (saved, states) = (
            self.people.host.path("as-it-was"),
            self.people.host.path("lib/state"),
        );
        let mut order: Vec<_> = (0..everybody.len()).collect();
        let mut shuffle = Shuffle::seeded(1);
        let mut watch = Stopwatch::start(&confdir);
        let warm_up = turns / 10;
        let begin = Instant::now();
        for turn in 0..warm_up + turns {
            shuffle.shuffle(&mut order);
            for &at in &order {
                let timed = &mut everybody[at];
                let (name, state) = &timed.people[turn % of_a_kind()];
                if way.fresh {
                    watch = Stopwatch::start(&confdir);
                }
                let restored = (saved.join(state), states.join(state));
                let (result, time) =
                    watch.time("login", name, &self.wrong, Some((&restored.0, &restored.1)));
                assert_ne!(result, 0, "{:?}: {name} got in from {RHOST}", timed.kind);
                if turn >= warm_up {
                    timed.times.push(time);
                }
            }
            if turn % 100 == 99 {
                let left = begin.elapsed().as_secs_f64() / (turn + 1) as f64
                    * (warm_up + turns - turn - 1) as f64;
                eprintln!(
                    "{what}: {} of {}, {left:.0} s left",
                    turn + 1,
                    warm_up + turns
                );
            }
        }
    }
}

/// Wrong codes without an end, at everybody in turn, each guesser in an order of its own.
fn guess(number: u64, confdir: &Path, wrong: &str, done: &AtomicBool) {
    let mut names: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| (0..of_a_kind()).map(|which| kind.name_of(which)))
        .collect();
    Shuffle::seeded(number).shuffle(&mut names);
    let mut watch = Stopwatch::start(confdir);
    for name in names.iter().cycle() {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let (result, _) = watch.time("login", name, wrong, None);
        assert_ne!(result, 0, "{name} guessed a code");
    }
}

/// Who asks for codes on a host that delivers them: somebody with an address, and people to whom none is sent.
const ASKING: [Kind; 4] = [
    Kind::Reachable,
    Kind::WrongCode,
    Kind::NoRecord,
    Kind::Suspended,
];
/// What is timed there.
const WISHES: [&str; 3] = ["Enter", "Enter again, 60 ms later", "three wrong codes"];

impl Bench {
    /// A host with a mail server that takes connections and never says a word: no courier ends by itself.
    fn deliver(&self) -> TcpListener {
        install_courier();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        self.people.host.configure(&format!(
            "[prompt]\nfail_delay = \"0s\"\n[code]\nmax_sends = 1000\n[courier.smtp]\nhost = \"127.0.0.1\"\nport = {port}\n\
             from = \"a@example.com\"\n{LIMITS}"
        ));
        server
    }

    /// Each of [`WISHES`] for each kind, interleaved.
    fn measure_wishes(&self, turns: usize) -> Vec<Vec<Timed>> {
        let server = self.deliver();
        let mut all: Vec<_> = WISHES.iter().map(|_| self.everybody()).collect();
        for timed in &mut all {
            timed.retain(|timed| ASKING.contains(&timed.kind));
        }
        let mut watch = Stopwatch::start(&self.people.host.path("pam.d"));
        let mut order: Vec<_> = (0..ASKING.len()).collect();
        let mut shuffle = Shuffle::seeded(2);
        let warm_up = turns / 10;
        for turn in 0..warm_up + turns {
            if turn % 100 == 0 {
                // Nobody has asked for more codes than there are; nobody's notices have filled the spool.
                self.people.put_back();
                eprintln!("codes asked for: {turn} of {}", warm_up + turns);
            }
            shuffle.shuffle(&mut order);
            for &at in &order {
                let (name, state) = all[0][at].people[turn % of_a_kind()].clone();
                let (saved, file) = (
                    self.people.host.path("as-it-was").join(&state),
                    self.people.host.path("lib/state").join(&state),
                );
                let (result, wrong) =
                    watch.time("login", &name, &self.wrong, Some((&saved, &file)));
                assert_ne!(result, 0, "{name}");
                let times = [
                    watch.time_enter("login", &name, 0),
                    watch.time_enter("login", &name, 60),
                    wrong,
                ];
                for entry in fs::read_dir(self.people.host.path("spool/new")).unwrap() {
                    fs::remove_file(entry.unwrap().path()).unwrap();
                }
                if turn >= warm_up {
                    for (timed, time) in all.iter_mut().zip(times) {
                        timed[at].times.push(time);
                    }
                }
            }
        }
        drop(server);
        all
    }
}

/// Prints every pair, and says which is worst.
fn report(what: &str, everybody: &[Timed]) -> (String, Area) {
    println!(
        "\n{what}: medians of pam_authenticate in µs, and how well the time of one login tells each pair apart"
    );
    let mut worst = (
        String::new(),
        Area {
            auc: 0.0,
            within: 0.0,
        },
    );
    for (at, one) in everybody.iter().enumerate() {
        println!(
            "  {:14} {:9.1} µs",
            format!("{:?}", one.kind),
            median(&one.times)
        );
        for other in &everybody[at + 1..] {
            let area = told_apart(&one.times, &other.times);
            println!(
                "      {:14} {:.3}  ({:.3} to {:.3}, 95 %)",
                format!("{:?}", other.kind),
                area.auc,
                area.auc - area.within,
                area.auc + area.within
            );
            if area.auc > worst.1.auc {
                worst = (format!("{:?} and {:?}", one.kind, other.kind), area);
            }
        }
    }
    worst
}

#[test]
fn the_time_of_a_refusal_is_measured_for_each_pair_of_kinds() {
    on_a_test_host(|machine| {
        let turns = proof::rounds(3, 500);
        let disk = target().join("timing");
        let _ = fs::remove_dir_all(&disk);
        fs::create_dir_all(&disk).unwrap();
        add_accounts(machine, of_a_kind());
        let on_disk = Bench::settle_below(disk.join("host").to_str().unwrap());
        let in_memory = Bench::settle_below("/run/pam_host");
        let mut told = vec![(
            "logins timed, of each of 12 kinds".to_owned(),
            turns.to_string(),
        )];
        let mut tell = |everybody: &[Timed], what: &str| {
            assert!(everybody.iter().all(|timed| timed.times.len() == turns));
            let (pair, area) = report(what, everybody);
            let verdict = if area.auc <= TARGET { "MET" } else { "MISSED" };
            let pairs = everybody.len() * (everybody.len() - 1) / 2;
            told.push((
                format!("{what}: worst of {pairs} pairs (AUC, at most {TARGET})"),
                format!("{:.3} ± {:.3}, {pair}: {verdict}", area.auc, area.within),
            ));
        };
        for (bench, what, fresh, guessed_at) in [
            (&on_disk, "on a disk, one process", false, false),
            (&on_disk, "on a disk, fresh processes", true, false),
            (&on_disk, "on a disk, 16 others guess", false, true),
            (&in_memory, "in memory, one process", false, false),
            (&in_memory, "in memory, 16 others guess", false, true),
        ] {
            tell(&bench.measure(Way { fresh, guessed_at }, turns, what), what);
        }
        for (what, everybody) in WISHES.iter().zip(on_disk.measure_wishes(turns)) {
            let what = format!("on a disk, a host that delivers, {what}");
            tell(&everybody, &what);
        }
        let _ = fs::remove_dir_all(&disk);
        // A handful of logins says nothing.
        if proof::is_long() {
            proof_of(&told);
        }
    });
}

fn proof_of(told: &[(String, String)]) {
    let told: Vec<_> = told
        .iter()
        .map(|(what, count)| (what.as_str(), count.clone()))
        .collect();
    proof::tell("timing-clock", "Time tells nobody apart", &told);
}

#[test]
fn an_area_is_a_half_where_time_says_nothing_and_one_where_it_tells() {
    let low: Vec<u64> = (0..100).collect();
    let high: Vec<u64> = (1000..1100).collect();
    let none = told_apart(&low, &low);
    assert!(
        (none.auc - 0.5).abs() < 1e-9 && (0.05..0.1).contains(&none.within),
        "{none:?}"
    );
    for all in [told_apart(&low, &high), told_apart(&high, &low)] {
        assert!(all.auc > 0.999 && all.within < 0.01, "{all:?}");
    }
    // Three in four pairs are one way round.
    let some = told_apart(&[1, 3], &[2, 4]);
    assert!((some.auc - 0.75).abs() < 1e-9, "{some:?}");
}
