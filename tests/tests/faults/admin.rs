//! `mfa-admin`: every verb that writes, with each of its system calls failing in turn, and killed at each.
//!
//! Afterwards each file is what it was, or what the verb makes of it (but for times, ids and secrets, which are never
//! the same twice); the exit code is 0 only if it is all done, and else one of the manual's, with a message; the verb run
//! again comes to what it comes to without a fault, and leaves nothing over; and alice gets in, or not, as she should.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mfa_tests::pam_host::PamHost;
use mfa_tests::{Authenticator, on_a_bare_host, proof};

use crate::crew::{Tally, WORKERS, share};
use crate::factors::FACTOR_VERBS;
use crate::files::{Files, Shapes};
use crate::program::{Ran, after, faults, is_of_a_library, run};
use crate::scenes::{SCENES, Scene};
use crate::stage::{Stage, enrolled_host, files_in, put_file, sweep};
use crate::strace::{self, Blow, Fault, WRITES, calls, list_all};
use crate::tried::Outcome;
use crate::verbs::{VERBS, Verb};

const FAILED: &str = "system calls failed, one at a time";
const FAILED_ON: &str = "system calls failed, with all of their name that followed";
const KILLED: &str = "verbs killed, one at each system call";
const DONE: &str = "of these verbs: done all the same";
const OLD: &str = "of these verbs: nothing changed";
const BETWEEN: &str = "of these verbs: some files old, some new";
const MEMORY: &str = "of these verbs: ended by a failed allocation";
const LIBRARY: &str = "of these verbs: ended by Rust's library or glibc";
const LEFT: &str = "half-made files that the next writer, or the courier, removed";
const AGAIN: &str = "verbs run again, rightly";
const LOGINS: &str = "logins afterwards, let in or not as they should";

#[test]
fn a_verb_is_done_or_not_done_and_says_so() {
    on_a_bare_host(|_| run_verbs(VERBS, (16, &[]), ("faults-admin", "Faults in mfa-admin")));
}

#[test]
fn a_verb_of_another_factor_is_done_or_not_done_and_nothing_lets_in_twice() {
    let what = (
        "faults-admin-factors",
        "Faults in mfa-admin, of all beside the app",
    );
    on_a_bare_host(|_| run_verbs(FACTOR_VERBS, (80, &WRITES), what));
}

/// In the short form every so-many-th call is struck, and at those of these names a verb is killed.
fn run_verbs(
    verbs: &'static [Verb],
    (stride, deadly): (usize, &[&str]),
    (key, title): (&'static str, &str),
) {
    let tally = Tally::default();
    let scene = SCENES.iter().find(|scene| scene.key == "phases").unwrap();
    let (host, app) = enrolled_host(scene);
    for (number, verb) in verbs.iter().enumerate() {
        run_verb((verb, (number, stride), deadly), scene, &host, &app, &tally);
    }
    tally.expect_no_findings();
    proof::tell(
        key,
        title,
        &tally.rows(&[
            FAILED, FAILED_ON, KILLED, DONE, OLD, BETWEEN, MEMORY, LIBRARY, LEFT, AGAIN, LOGINS,
        ]),
    );
}

/// One worker's host.
struct Place<'a> {
    verb: &'static Verb,
    stage: Stage<'a>,
    list: PathBuf,
    /// Before the verb's setup.
    enrolled: Files,
    before: Files,
    /// What is known of the files before and after the verb.
    old: Shapes,
    new: Shapes,
}

fn run_verb(
    (verb, taken, deadly): (&'static Verb, (usize, usize), &[&str]),
    scene: &Scene,
    host: &PamHost,
    app: &Authenticator,
    tally: &Tally,
) {
    let mut place = Place::new(verb, scene, host, app);
    let words = place.words(&list_all(&place.list, false));
    place.begin();
    let input = (verb.input)(&mut place.stage.codes);
    let ran = run(&words, &input);
    assert_eq!(ran.code, Some(0), "{}: {ran:?}", verb.key);
    // What the runtime does before main ends with its handlers of signals.
    let ours = after(calls(&place.list), |call| {
        call.line.starts_with("rt_sigaction(SIGBUS")
    });
    let mut jobs = faults(&ours, taken);
    let kills = ours.iter().filter(|call| deadly.contains(&&*call.name));
    for call in kills {
        let kill = Fault {
            call: call.name.clone(),
            nth: call.nth,
            blow: Blow::Kill,
        };
        if !jobs.contains(&kill) {
            jobs.push(kill);
        }
    }
    let places = (0..WORKERS)
        .map(|_| Place::new(verb, scene, host, app))
        .collect();
    share(verb.line, &jobs, places, tally, |place, fault| {
        place.round(fault, tally)
    });
}

impl<'a> Place<'a> {
    fn new(verb: &'static Verb, scene: &'a Scene, host: &PamHost, app: &Authenticator) -> Self {
        let stage = Stage::new(scene, host, app);
        let enrolled = Files::below(&stage.host.folder, is_left_out);
        let mut place = Self {
            verb,
            list: stage.host.folder.with_extension("list"),
            before: enrolled.clone(),
            enrolled,
            stage,
            old: Shapes::new(),
            new: Shapes::new(),
        };
        place.prepare();
        place
    }

    /// What came before the verb, and what comes of it.
    fn prepare(&mut self) {
        self.stage.codes.turn();
        self.enrolled.put(&self.stage.host.folder, is_left_out);
        self.stage.lift_the_curtain();
        (self.verb.setup)(&self.stage.host, &mut self.stage.codes);
        self.before = self.files();
        self.old = self.before.shapes();
        let ran = self.run_clean();
        assert_eq!(ran.code, Some(0), "{}: {ran:?}", self.verb.key);
        self.new = self.files().shapes();
    }

    fn begin(&mut self) {
        if self.stage.codes.is_over() {
            self.prepare();
        }
        self.before.put(&self.stage.host.folder, is_left_out);
    }

    fn files(&self) -> Files {
        Files::below(&self.stage.host.folder, is_left_out)
    }

    fn words(&self, through: &[String]) -> Vec<String> {
        let folder = self.stage.host.folder.display().to_string();
        let mut words = through.to_vec();
        words.push(mfa_tests::admin_path().display().to_string());
        words.extend(["--config".to_owned(), format!("{folder}/mfa.toml")]);
        words.extend(
            self.verb
                .line
                .split(' ')
                .map(|word| word.replace("{folder}", &folder)),
        );
        words
    }

    fn run_clean(&mut self) -> Ran {
        let input = (self.verb.input)(&mut self.stage.codes);
        run(&self.words(&[]), &input)
    }

    fn round(&mut self, fault: &Fault, tally: &Tally) -> Result<(), String> {
        self.begin();
        let input = (self.verb.input)(&mut self.stage.codes);
        let ran = run(&self.words(&fault.strace(&self.list, false)), &input);
        tally.add(
            match fault.blow {
                Blow::Error(_) => FAILED,
                Blow::ErrorFromHere(_) => FAILED_ON,
                Blow::Kill => KILLED,
            },
            1,
        );
        self.look_at(fault, &ran, tally)
            .and_then(|is_done| self.try_out(is_done, &ran))
            .and_then(|()| self.look_after(tally))
            .map_err(|what| format!("{fault}\n{what}\n{ran:#?}"))
    }

    /// What became of it; whether it was done, where the files are not some old, some new.
    fn look_at(&self, fault: &Fault, ran: &Ran, tally: &Tally) -> Result<Option<bool>, String> {
        let now = self.files();
        let differences = differences(&now.shapes(), &self.old, &self.new, self.verb)?;
        let before = self.old.keys().filter(|name| is_left_over(name)).count();
        if differences.left_over > before {
            if !fault.is_kill() && fault.call != "unlinkat" && fault.call != "unlink" {
                return Err("a file is left over".to_owned());
            }
            tally.add(LEFT, differences.left_over - before);
        }
        // A picture is made before it is clear that the app is kept; who is killed can't take it back.
        let has_picture = self.stage.host.path(PICTURE).exists();
        let wants_picture = differences.is_new && self.new.contains_key(PICTURE);
        let is_wrong = if ran.code == Some(0) {
            has_picture != wants_picture
        } else {
            has_picture && !wants_picture
        };
        if is_wrong && !fault.is_kill() && !fault.call.starts_with("unlink") {
            return Err(format!("there is a picture: {has_picture}"));
        }
        tally.add(
            if differences.is_new {
                DONE
            } else if differences.is_old {
                OLD
            } else {
                BETWEEN
            },
            1,
        );
        let is_done = match (differences.is_old, differences.is_new) {
            (false, true) => Some(true),
            (true, false) => Some(false),
            (false, false) => None,
            // What is old and what is new look the same but for times, ids and secrets.
            (true, true) if ran.code == Some(0) => Some(true),
            (true, true) => (now == self.before).then_some(false),
        };
        match strace::ended_by(&self.list) {
            Some(signal) if fault.is_kill() && signal == "SIGKILL" => return Ok(is_done),
            Some(signal) if fault.is_of_memory() && signal == "SIGABRT" => {
                tally.add(MEMORY, 1);
                return Ok(is_done);
            }
            Some(signal) => return Err(format!("ended by {signal}")),
            None => {}
        }
        match ran.code {
            Some(0) if differences.is_new => Ok(is_done),
            Some(0) => Err("it says that it was done, and it was not".to_owned()),
            Some(101) if is_of_a_library(&fault.call, &ran.err) => {
                tally.add(LIBRARY, 1);
                Ok(is_done)
            }
            Some(1..=6) if ran.err.contains("panicked") => Err("it panicked".to_owned()),
            Some(1..=6) if ran.err.trim().is_empty() && fault.call != "write" => {
                Err("it does not say what is wrong".to_owned())
            }
            Some(1..=6) => Ok(is_done),
            other => Err(format!("exit {other:?} is none of the manual's")),
        }
    }

    /// Who gets in by what now; then the files as they are again.
    fn try_out(&mut self, is_done: Option<bool>, ran: &Ran) -> Result<(), String> {
        let now = self.files();
        let held = (self.verb.holds)(&mut self.stage, &Outcome { is_done, ran });
        now.put(&self.stage.host.folder, is_left_out);
        held.map_err(|what| format!("tried out after {ran:?}: {what}"))
    }

    /// The same once more, and a login.
    fn look_after(&mut self, tally: &Tally) -> Result<(), String> {
        let was_done = differences(&self.files().shapes(), &self.old, &self.new, self.verb)?.is_new;
        if !files_in(&self.stage.host.path("spool/tmp")).is_empty() {
            sweep(&self.stage.host)?;
        }
        // Which replaces no picture.
        put_file(&self.stage.host.path(PICTURE), None);
        let input = self.verb.next_input.unwrap_or(self.verb.input);
        let again = run(&self.words(&[]), &input(&mut self.stage.codes));
        let is_fine = again.code == Some(0)
            || was_done
                && again
                    .code
                    .is_some_and(|code| self.verb.again.contains(&code));
        if !is_fine {
            return Err(format!("run again (it was done: {was_done}): {again:#?}"));
        }
        let is_the_same = self.verb.next_input.is_none();
        if is_the_same && (!self.verb.changes_more || !was_done) {
            let differences = differences(&self.files().shapes(), &self.new, &self.new, self.verb)?;
            // One that finds nothing to do is no writer.
            if differences.left_over > 0 && again.code == Some(0) {
                return Err("run again, it leaves what was left over".to_owned());
            }
        }
        if again.code == Some(0) {
            self.try_out(Some(true), &again)?;
        }
        tally.add(AGAIN, 1);
        let second = self.stage.codes.second();
        let (seen, results) = self.stage.try_codes(&[&second]);
        if results != [self.verb.lets_in] {
            return Err(format!("afterwards {results:?}\n{seen}"));
        }
        tally.add(LOGINS, 1);
        Ok(())
    }
}

struct Differences {
    is_old: bool,
    is_new: bool,
    left_over: usize,
}

/// Compares each file with what it may be. Notices and messages, of which there may be fewer or more, are looked at
/// for being whole alone.
fn differences(
    now: &Shapes,
    old: &Shapes,
    new: &Shapes,
    verb: &Verb,
) -> Result<Differences, String> {
    let mut found = Differences {
        is_old: true,
        is_new: true,
        left_over: 0,
    };
    let names: BTreeSet<_> = now.keys().chain(old.keys()).chain(new.keys()).collect();
    for name in names {
        let (is, was, will_be) = (now.get(name), old.get(name), new.get(name));
        if is_passing(name) || name == PICTURE {
            continue;
        }
        if is_left_over(name) {
            found.left_over += is.map_or(0, Vec::len);
            continue;
        }
        let shape = is.and_then(|shapes| shapes.first());
        let is_half_way = shape.is_some_and(|shape| (verb.may_be)(name, shape));
        if is != was && is != will_be && !is_half_way {
            return Err(format!(
                "{name} is neither old nor new:\n{is:#?}\nold {was:#?}\nnew {will_be:#?}"
            ));
        }
        found.is_old &= is == was;
        found.is_new &= is == will_be;
    }
    found.is_new |= (verb.is_as_good_as_done)(now);
    Ok(found)
}

/// What is on its way to somebody.
fn is_passing(name: &str) -> bool {
    name.starts_with("spool/new/")
        || name.starts_with("spool/deferred/")
        || name.starts_with("out/")
}

/// What has no name of its own yet.
fn is_left_over(name: &str) -> bool {
    name == PICTURE
        || name.contains("/%new-")
        || name.contains("/.new-")
        || name.starts_with(".new-")
        || name.starts_with("spool/tmp/")
}

/// The picture of a QR code that a verb makes.
const PICTURE: &str = "qr.svg";

/// What no verb changes, but for the decoys, which `init` makes.
fn is_left_out(name: &str) -> bool {
    name.starts_with("pam.d") || name == "pam_mfa.so" || name.contains("/%decoy-")
}
