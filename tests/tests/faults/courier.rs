//! `mfa-courier`: `send` and `drain`, with each of their system calls failing in turn, and killed at each, in every one of
//! their threads.
//!
//! `send` says `accepted` only of a message that lies whole in the folder, as the courier's user's; `drain` loses nothing: every
//! notice is still in the spool, or was delivered, whole. The same once more delivers what is left.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mfa_tests::pam_host::SUCCESS;
use mfa_tests::{courier_path, on_a_bare_host, proof};

use crate::crew::{Tally, WORKERS, share};
use crate::files::Files;
use crate::program::{Ran, is_of_a_library, run};
use crate::scenes::{SCENES, Scene};
use crate::stage::{Stage, enrolled_host, files_in};
use crate::strace::{Blow, list_all};
use crate::strike::{Strike, strikes};

const FAILED: &str = "system calls failed, one at a time";
const FAILED_ON: &str = "system calls failed, with all of their name that followed";
const KILLED: &str = "couriers killed, one at each system call";
const MISSED: &str = "faults whose call was not made that time";
const ACCEPTED: &str = "of these couriers: message delivered, and said so";
const WHOLE: &str = "of these couriers: delivered everything";
const MEMORY: &str = "of these couriers: ended by a failed allocation";
const ALARM: &str = "of these couriers: ended by their alarm";
const LIBRARY: &str = "of these couriers: ended by Rust's library or glibc";
const AGAIN: &str = "couriers run again, which delivered what was left";

/// The courier's user on a test host (`tests/host/enter`).
const COURIER: u32 = 991;

/// A courier that hangs ends soon.
const DEADLINE: &str = "[prompt]\ntries = 1\n[courier]\nemail = \"file\"\ndeadline = \"2s\"\n\
                        [courier.file]\ndemo = true\nfolder = ";

#[test]
fn a_courier_says_what_is_so_and_loses_nothing() {
    on_a_bare_host(|_| {
        let tally = Tally::default();
        let scene = SCENES.iter().find(|scene| scene.key == "phases").unwrap();
        let (host, app) = enrolled_host(scene);
        let places = || Place::new(scene, &host, &app);
        for kind in ["login", "code"] {
            run_kind(
                &format!("send ({kind})"),
                places,
                &tally,
                |place| place.prepare_send(kind),
                Place::send,
            );
        }
        run_kind("drain", places, &tally, Place::prepare_drain, Place::drain);
        tally.expect_no_findings();
        let all = tally.count(FAILED) + tally.count(FAILED_ON) + tally.count(KILLED);
        let missed = tally.count(MISSED);
        assert!(
            missed * 20 <= all,
            "{missed} of {all} faults came to nothing"
        );
        proof::tell(
            "faults-courier",
            "Faults in the courier",
            &tally.rows(&[
                FAILED, FAILED_ON, KILLED, MISSED, ACCEPTED, WHOLE, MEMORY, ALARM, LIBRARY, AGAIN,
            ]),
        );
    });
}

fn run_kind<'a>(
    title: &str,
    places: impl Fn() -> Place<'a>,
    tally: &Tally,
    prepare: impl Fn(&mut Place<'a>),
    round: impl Fn(&mut Place<'a>, &Strike, &Tally) -> Result<(), String> + Sync,
) {
    let mut place = places();
    prepare(&mut place);
    place.begin();
    let mut through = list_all(&place.list, true);
    through.push("-n".to_owned());
    let words = place.words(&through);
    let ran = run(&words, &place.input);
    assert_eq!(ran.code, Some(0), "{title}: {ran:?}");
    let jobs = strikes(&place.list, 4, |line| line.starts_with("close_range("));
    assert!(
        jobs.len() > 60,
        "{title}: {} calls are no courier",
        jobs.len()
    );
    let places = (0..WORKERS).map(|_| {
        let mut place = places();
        prepare(&mut place);
        place
    });
    share(title, &jobs, places.collect(), tally, |place, strike| {
        round(place, strike, tally)
    });
}

/// One worker's host.
struct Place<'a> {
    stage: Stage<'a>,
    list: PathBuf,
    told: PathBuf,
    verb: &'static str,
    input: String,
    before: Files,
    /// The ids of what lies in the folder when everything is delivered. That of a digest is made anew each time.
    delivered: BTreeSet<String>,
}

impl<'a> Place<'a> {
    fn new(
        scene: &'a Scene,
        host: &mfa_tests::pam_host::PamHost,
        app: &mfa_tests::Authenticator,
    ) -> Self {
        let stage = Stage::new(scene, host, app);
        let folder = stage.host.folder.clone();
        stage
            .host
            .configure(&format!("{DEADLINE}\"{}/out\"\n", folder.display()));
        Self {
            list: folder.with_extension("list"),
            told: folder.with_extension("struck"),
            verb: "",
            input: String::new(),
            before: Files::below(&folder, is_left_out),
            delivered: BTreeSet::new(),
            stage,
        }
    }

    fn folder(&self) -> &Path {
        &self.stage.host.folder
    }

    fn words(&self, through: &[String]) -> Vec<String> {
        let config = self.folder().join("mfa.toml").display().to_string();
        let mut words = through.to_vec();
        words.push(courier_path().display().to_string());
        words.extend([self.verb.to_owned(), "--config".to_owned(), config]);
        words
    }

    fn begin(&self) {
        self.before.put(self.folder(), is_left_out);
        let _ = fs::remove_file(&self.told);
    }

    fn run_clean(&self) -> Ran {
        run(&self.words(&[]), &self.input)
    }

    /// The text of the notice of a login, or of a code made out of it.
    fn prepare_send(&mut self, kind: &str) {
        self.verb = "send";
        self.log_in();
        let notice = files_in(&self.folder().join("spool/new")).pop().unwrap();
        let text = fs::read_to_string(&notice).unwrap();
        fs::remove_file(notice).unwrap();
        self.input = match kind {
            "code" => text.replace(
                "\"kind\":\"login\"",
                "\"kind\":\"code\",\"code\":\"493817\",\"ref\":\"K7QM\",\"lifetime\":300",
            ),
            _ => text,
        };
        self.note_beginning_and_end();
    }

    /// Notices of a login, of a failure and of a change.
    fn prepare_drain(&mut self) {
        self.verb = "drain";
        self.log_in();
        let wrong = self.stage.codes.wrong();
        self.stage.try_codes(&[&wrong]);
        let suspended = ["user", "suspend", "alice", "--reason", "away"];
        self.stage.host.admin(&suspended).expect_success();
        assert_eq!(files_in(&self.folder().join("spool/new")).len(), 3);
        self.note_beginning_and_end();
    }

    fn log_in(&mut self) {
        self.stage.begin();
        let answers = self.stage.answers();
        let script = self.stage.script(&answers, self.stage.scene.hooks);
        let seen = self.stage.host.play(&script);
        assert_eq!(seen.results(), [SUCCESS; 3], "{seen}");
    }

    fn note_beginning_and_end(&mut self) {
        self.before = Files::below(self.folder(), is_left_out);
        let ran = self.run_clean();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.delivered = self.messages().unwrap();
        assert!(!self.delivered.is_empty());
    }

    fn strike(&self, strike: &Strike, tally: &Tally) -> Result<Ran, String> {
        self.begin();
        let ran = run(&self.words(&strike.words(&self.told)), &self.input);
        tally.add(
            match strike.blow {
                Blow::Error(_) => FAILED,
                Blow::ErrorFromHere(_) => FAILED_ON,
                Blow::Kill => KILLED,
            },
            1,
        );
        if !self.told.exists() {
            tally.add(MISSED, 1);
        }
        match ran.code {
            Some(0 | 69 | 74 | 75 | 78) => {}
            Some(137) if strike.is_kill() => {}
            Some(134) if strike.is_of_memory() => tally.add(MEMORY, 1),
            Some(142) => tally.add(ALARM, 1),
            Some(101 | 134) if is_of_a_library(&strike.call, &ran.err) => tally.add(LIBRARY, 1),
            _ => return Err("it ended badly".to_owned() + &format!("\n{strike}\n{ran:#?}")),
        }
        Ok(ran)
    }

    fn send(&mut self, strike: &Strike, tally: &Tally) -> Result<(), String> {
        let ran = self.strike(strike, tally)?;
        self.look_at_send(&ran, strike, tally)
            .map_err(|what| format!("{strike}\n{what}\n{ran:#?}"))
    }

    fn look_at_send(&self, ran: &Ran, strike: &Strike, tally: &Tally) -> Result<(), String> {
        let is_there = self.messages()? == self.delivered;
        let says_accepted = ran.out.starts_with("accepted ");
        if ran.out.lines().count() > 1 {
            return Err("it answers with more than a line".to_owned());
        }
        if (says_accepted || ran.code == Some(0)) && !is_there {
            return Err("nothing was delivered".to_owned());
        }
        if ran.code == Some(0) && !says_accepted && strike.call != "write" {
            return Err("it does not say that it was accepted".to_owned());
        }
        let is_answered = ran.out.ends_with('\n');
        if matches!(ran.code, Some(69..=78)) && !is_answered && strike.call != "write" {
            return Err("it does not say what is wrong".to_owned());
        }
        tally.add(ACCEPTED, usize::from(says_accepted));
        let again = self.run_clean();
        let there = self.messages()?;
        if again.code != Some(0) || there != self.delivered {
            return Err(format!("again: {again:#?}\n{there:?}"));
        }
        tally.add(AGAIN, 1);
        Ok(())
    }

    fn drain(&mut self, strike: &Strike, tally: &Tally) -> Result<(), String> {
        let ran = self.strike(strike, tally)?;
        self.look_at_drain(&ran, tally)
            .map_err(|what| format!("{strike}\n{what}\n{ran:#?}"))
    }

    fn look_at_drain(&self, ran: &Ran, tally: &Tally) -> Result<(), String> {
        let delivered = self.messages()?.len();
        let is_new_empty = files_in(&self.folder().join("spool/new")).is_empty();
        if ran.code == Some(0) && !(is_new_empty && delivered == self.delivered.len()) {
            return Err("it says that all is done, and it is not".to_owned());
        }
        tally.add(WHOLE, usize::from(delivered == self.delivered.len()));
        if !files_in(&self.folder().join("spool/dead")).is_empty() {
            return Err("a notice was given up".to_owned());
        }
        self.make_due();
        let again = self.run_clean();
        if again.code != Some(0) {
            return Err(format!("again: {again:#?}"));
        }
        let there = self.messages()?;
        if there.len() != self.delivered.len()
            || there.intersection(&self.delivered).count() + 1 < there.len()
        {
            return Err(format!(
                "a notice is lost: {there:?} of {:?}",
                self.delivered
            ));
        }
        let left =
            ["new", "tmp", "dead"].map(|part| files_in(&self.folder().join("spool").join(part)));
        if left.iter().any(|files| !files.is_empty()) {
            return Err(format!("left over: {left:?}"));
        }
        tally.add(AGAIN, 1);
        Ok(())
    }

    /// Looks at what lies in the folder: whole messages of the courier's, and what was not finished. The messages' ids.
    fn messages(&self) -> Result<BTreeSet<String>, String> {
        let mut found = BTreeSet::new();
        for path in files_in(&self.folder().join("out")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".unfinished") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let boundary = text
                .split("boundary=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let is_whole =
                boundary.is_some_and(|boundary| text.ends_with(&format!("--{boundary}--\r\n")));
            let status = fs::metadata(&path).unwrap();
            let is_couriers = status.uid() == COURIER && status.mode() & 0o7777 == 0o600;
            if !(is_whole && is_couriers && text.starts_with("From: ")) {
                return Err(format!(
                    "{name}, of {} with mode {:o}:\n{text}",
                    status.uid(),
                    status.mode()
                ));
            }
            // What follows is the host's name, which the courier may have failed to learn.
            found.insert(name.split('@').next().unwrap().to_owned());
        }
        Ok(found)
    }

    /// Lets the time pass that a notice waits for its next try.
    fn make_due(&self) {
        for path in files_in(&self.folder().join("spool/deferred")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let mut words: Vec<_> = name.split('~').collect();
            if words.len() == 5 {
                words[0] = "1";
                fs::rename(&path, path.with_file_name(words.join("~"))).unwrap();
            }
        }
    }
}

/// All but the spool and the folder for messages.
fn is_left_out(name: &str) -> bool {
    !(name == "spool" || name.starts_with("spool/") || name == "out" || name.starts_with("out/"))
}
