//! What must not happen, in a quick round: one code that lets several in, users who keep each other out, a `kill -9` that leaves
//! something behind, guessing without end.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mfa_tests::Authenticator;
use mfa_tests::pam_host::{PamHost, SUCCESS, Seen};

use crate::kind::{Kind, find};
use crate::ours;
use crate::peers;
use crate::processes::once;
use crate::progress::Progress;
use crate::report::{Report, Target, Verdict, number};
use crate::site::Site;
use crate::statistics::median;
use crate::table::Table;

/// Processes at the same time.
const AT_ONCE: usize = 50;
/// Wrong codes, one after another and all within a minute.
const GUESSES: usize = 64;

/// google, oath and ours, in this order, on one host.
pub(crate) struct Races {
    host: PamHost,
    all: [Contender; 3],
}

struct Contender {
    kind: Kind,
    /// Where its files are.
    folder: PathBuf,
}

/// What was counted: google, oath, ours.
pub(crate) struct Counts {
    /// The fewest and the most that one code let in, of [`AT_ONCE`].
    same_code: [(usize, usize); 3],
    /// The fewest of [`AT_ONCE`] users with right codes who got in.
    crowd: [usize; 3],
    kills: [Kills; 3],
    killed: usize,
    rounds: usize,
    /// Guesses that were looked at, google's of [`AT_ONCE`] at the same time, ours of [`GUESSES`] in a row.
    looked_at: [usize; 2],
}

/// After a `kill -9`.
#[derive(Clone, Copy, Default)]
struct Kills {
    /// How many of them came in time.
    in_time: usize,
    /// How often the next login was refused.
    refused: usize,
    /// How often files were left.
    left: usize,
}

impl Races {
    pub(crate) fn prepare(site: &Site) -> Self {
        let people: Vec<_> = (1..=AT_ONCE).map(|number| format!("p{number}")).collect();
        site.write_passwd(people.iter().cloned());
        let host = ours::enrolled(site, "races", &people);
        ours::save_states(&host, &people);
        ours::add_service(site, "ours-races", &host);
        peers::prepare_google(site, "races", &people, AT_ONCE);
        peers::prepare_oath(site, "races", &people, AT_ONCE);
        for service in ["ours-races", "google-races", "oath-races"] {
            let to = host.path("pam.d").join(service);
            fs::copy(site.services().join(service), to).unwrap();
        }
        let all = [
            Contender {
                kind: peers::google(site, "google", "races", &people),
                folder: site.folder.join("google-races"),
            },
            Contender {
                kind: peers::oath(site, "oath", "races", &people),
                folder: site.folder.join("oath-races"),
            },
            Contender {
                kind: ours::logins("pam_mfa", "ours-races", &host, &people),
                folder: host.path("lib"),
            },
        ];
        Self { host, all }
    }

    /// `rounds` of each race, `kills` of each.
    pub(crate) fn run(
        &self,
        site: &Site,
        rounds: usize,
        kills: usize,
        progress: &mut Progress,
    ) -> Counts {
        let all = rounds * 2 + 3;
        let mut same_code = [(usize::MAX, 0); 3];
        let mut crowd = [usize::MAX; 3];
        for round in 0..rounds {
            progress.at(round * 2, all);
            for (contender, (fewest, most)) in self.all.iter().zip(&mut same_code) {
                let let_in = self.same_code(&site.app, contender, round % AT_ONCE + 1);
                *fewest = let_in.min(*fewest);
                *most = let_in.max(*most);
            }
            for (contender, fewest) in self.all.iter().zip(&mut crowd) {
                *fewest = self.crowd(&site.app, contender).min(*fewest);
            }
        }
        let looked_at = [
            self.guess_at_once(&site.app),
            self.guess_in_a_row(&site.app),
        ];
        let mut counted = [Kills::default(); 3];
        for (number, (contender, counted)) in self.all.iter().zip(&mut counted).enumerate() {
            progress.at(rounds * 2 + number, all);
            *counted = contender.kill(site, kills);
        }
        Counts {
            same_code,
            crowd,
            kills: counted,
            killed: kills,
            rounds,
            looked_at,
        }
    }

    fn at_once(&self, contender: &Contender, user: &str, code: &str) -> Seen {
        contender.kind.write_all_back();
        let script = format!("user {user}\ndo barrier\nanswer text {code}\nauthenticate\n");
        self.host
            .player()
            .service(&contender.kind.service)
            .options(&["--parallel", &AT_ONCE.to_string()])
            .play(&script)
    }

    /// How many one code lets in, all with their prompts open.
    fn same_code(&self, app: &Authenticator, contender: &Contender, number: usize) -> usize {
        let seen = self.at_once(contender, &format!("p{number}"), &app.code_of(app.step()));
        seen.count(SUCCESS)
    }

    /// How many different users get in.
    fn crowd(&self, app: &Authenticator, contender: &Contender) -> usize {
        self.at_once(contender, "p%i", &app.code_of(app.step()))
            .count(SUCCESS)
    }

    /// How many wrong codes google looks at, all with their prompts open, whatever its limit.
    fn guess_at_once(&self, app: &Authenticator) -> usize {
        let seen = self.at_once(&self.all[0], "p1", &app.wrong_code());
        let is_verdict = |line: &&str| line.contains("Invalid verification code");
        seen.log
            .iter()
            .map(|event| &*event.text)
            .filter(is_verdict)
            .count()
    }

    /// How many wrong codes ours looks at, within a minute.
    fn guess_in_a_row(&self, app: &Authenticator) -> usize {
        self.all[2].kind.write_all_back();
        let guess = format!("answer text {}\nauthenticate\n", app.wrong_code());
        let script = format!("user p1\n{}", guess.repeat(GUESSES));
        let began = Instant::now();
        let seen = self.host.player().service("ours-races").play(&script);
        // The window is a minute.
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{GUESSES} guesses took too long"
        );
        seen.events("MFA-2101").len()
    }
}

impl Contender {
    /// Ends processes in the middle of a login, and looks whether the next one is right.
    fn kill(&self, site: &Site, kills: usize) -> Kills {
        let mut counted = Kills::default();
        self.kind.write_all_back();
        let user = &self.kind.users[0];
        let files = files_below(&self.folder);
        let longest = self.time_of_a_process(site, user);
        for turn in 0..kills {
            self.kind.write_back(user);
            let step = site.app.step();
            let [first, next] = [step, step + 1].map(|step| site.app.code_of(step));
            let mut child = once(site, &self.kind, user, &first).spawn().unwrap();
            let began = Instant::now();
            // From the third part of the time on: before that the program itself is being loaded. Spread evenly.
            let share = 0.3 + 0.9 * (turn as f64 + 0.5) / kills as f64;
            while began.elapsed() < longest.mul_f64(share) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            counted.in_time += usize::from(child.wait().unwrap().signal() == Some(9));
            let left: Vec<_> = files_below(&self.folder)
                .into_iter()
                .filter(|file| !files.contains(file))
                .collect();
            counted.left += usize::from(!left.is_empty());
            let status = once(site, &self.kind, user, &next).status().unwrap();
            counted.refused += usize::from(!status.success());
            // What was left is not to disturb the next round.
            for file in left {
                fs::remove_file(file).unwrap();
            }
        }
        counted
    }

    /// Median of a few.
    fn time_of_a_process(&self, site: &Site, user: &str) -> Duration {
        let mut times: Vec<_> = (0..9)
            .map(|_| {
                self.kind.write_back(user);
                let mut command = once(site, &self.kind, user, &site.app.code_of(site.app.step()));
                let began = Instant::now();
                assert!(command.status().unwrap().success(), "{}", self.kind.name);
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    }
}

/// All files, sorted.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `kinds` holds the times of wrong codes.
pub(crate) fn targets(counts: &Counts, kinds: &[Kind], report: &mut Report) {
    let [google, oath, ours] = counts.same_code;
    let most = |counts: (usize, usize)| format!("up to {}", counts.1);
    report.target(Target {
        what: format!("same code, {AT_ONCE} processes: let in"),
        google: most(google),
        oath: most(oath),
        ours: if ours.0 == ours.1 {
            ours.0.to_string()
        } else {
            format!("{} to {}", ours.0, ours.1)
        },
        aim: "exactly 1".to_owned(),
        verdict: Verdict::of(ours == (1, 1)),
    });
    let [google, oath, ours] = counts.crowd.map(|count| count.to_string());
    report.target(Target {
        what: format!("{AT_ONCE} users at once, right codes: let in"),
        google,
        oath,
        ours,
        aim: AT_ONCE.to_string(),
        verdict: Verdict::of(counts.crowd[2] == AT_ONCE),
    });
    let [google, oath, ours] = counts
        .kills
        .map(|kills| format!("{} / {}", kills.refused, kills.left));
    report.target(Target {
        what: "kill -9: next refused / files left".to_owned(),
        google,
        oath,
        ours,
        aim: "0 / 0".to_owned(),
        verdict: Verdict::of(counts.kills[2].refused + counts.kills[2].left == 0),
    });
    let wrong = median(&find(kinds, "oath, wrong").login);
    report.target(Target {
        what: "wrong guesses looked at in a minute".to_owned(),
        google: format!("{} at once", counts.looked_at[0]),
        oath: number(60e6 / wrong),
        ours: counts.looked_at[1].to_string(),
        aim: "5".to_owned(),
        verdict: Verdict::of(counts.looked_at[1] == 5),
    });
}

pub(crate) fn report(counts: &Counts, report: &mut Report) {
    let mut table = Table::new(&[
        "",
        "same code: let in",
        "all: let in",
        "killed in time",
        "refused next",
        "files left",
    ]);
    for (number, who) in ["google", "oath", "pam_mfa"].into_iter().enumerate() {
        let (kills, (fewest, most)) = (counts.kills[number], counts.same_code[number]);
        table.row(vec![
            who.to_owned(),
            format!("{fewest} to {most}"),
            counts.crowd[number].to_string(),
            kills.in_time.to_string(),
            kills.refused.to_string(),
            kills.left.to_string(),
        ]);
    }
    let about = format!(
        "A quick round; make test-races and test-faults are the thorough ones. {AT_ONCE} processes with the same right code, and \
         as many users with one each (the fewest), all with their prompts open, {} times; {} processes that log a user in, \
         ended by kill -9 at different moments: how many of them before they had ended, how many of the next logins with a \
         right code were refused, and how often a file was left behind.",
        counts.rounds, counts.killed
    );
    report.section("Races and kills", &about, table, None);
}
