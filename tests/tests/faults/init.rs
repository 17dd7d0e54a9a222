//! `mfa-admin init` in an empty folder, with each of its system calls failing in turn, and killed at each. Afterwards there
//! is no half of a file; and `init` run again completes what is there, to what it is without a fault.

use std::fs;
use std::path::{Path, PathBuf};

use mfa_tests::{admin_path, on_a_bare_host, proof};

use crate::crew::{Tally, WORKERS, share};
use crate::files::{Files, Shapes};
use crate::program::{after, faults, is_of_a_library, run};
use crate::strace::{self, Blow, Call, Fault, calls, list_all};

const FAILED: &str = "system calls failed, one at a time";
const FAILED_ON: &str = "system calls failed, with all of their name that followed";
const KILLED: &str = "inits killed, one at each system call";
const DONE: &str = "of these inits: done all the same";
const MEMORY: &str = "of these inits: ended by a failed allocation";
const LIBRARY: &str = "of these inits: ended by Rust's library or glibc";
const FOLDERS: &str = "half-made folders, which the next init used";
const AGAIN: &str = "inits run again, which completed everything";

#[test]
fn init_completes_what_an_init_before_has_left() {
    on_a_bare_host(|_| {
        let tally = Tally::default();
        let mut place = Place::new("list");
        place.begin();
        let ran = run(&place.words(&list_all(&place.list, false)), "");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let ours = after(calls(&place.list), |call| {
            call.line.starts_with("rt_sigaction(SIGBUS")
        });
        assert!(ours.len() > 2000, "{} calls make no 256 decoys", ours.len());
        // 256 decoys are made one like the other, by nine calls each: every seventh of these is each of them in turn.
        let is_of_decoy = |call: &Call| call.line.contains("\"%decoy-");
        let first = ours.iter().position(is_of_decoy).unwrap();
        let last = ours.iter().rposition(is_of_decoy).unwrap();
        let (begin, rest) = ours.split_at(first);
        let (decoys, end) = rest.split_at(last - first);
        let decoys: Vec<_> = decoys.iter().step_by(7).cloned().collect();
        let mut jobs = faults(&[end, begin].concat(), (0, 5));
        jobs.extend(faults(&decoys, (0, 22)));
        let places = (0..WORKERS).map(|number| Place::new(&number.to_string()));
        share("init", &jobs, places.collect(), &tally, |place, fault| {
            place.round(fault, &tally)
        });
        tally.expect_no_findings();
        proof::tell(
            "faults-init",
            "Faults in mfa-admin init",
            &tally.rows(&[
                FAILED, FAILED_ON, KILLED, DONE, MEMORY, LIBRARY, FOLDERS, AGAIN,
            ]),
        );
    });
}

/// A worker's folder.
struct Place {
    folder: PathBuf,
    list: PathBuf,
    new: Shapes,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(format!("/run/init-{name}"));
        let mut place = Self {
            list: folder.with_extension("list"),
            folder,
            new: Shapes::new(),
        };
        place.begin();
        let ran = run(&place.words(&[]), "");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        place.new = place.shapes();
        assert!(place.new.len() > 260);
        place
    }

    fn begin(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir(&self.folder).unwrap();
    }

    fn words(&self, through: &[String]) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let mut words = through.to_vec();
        words.extend([text(&admin_path()), "--config".to_owned()]);
        words.extend([text(&self.folder.join("mfa.toml")), "init".to_owned()]);
        words
    }

    fn shapes(&self) -> Shapes {
        Files::below(&self.folder, |_| false).shapes()
    }

    fn round(&mut self, fault: &Fault, tally: &Tally) -> Result<(), String> {
        self.begin();
        let ran = run(&self.words(&fault.strace(&self.list, true)), "");
        tally.add(
            match fault.blow {
                Blow::Error(_) => FAILED,
                Blow::ErrorFromHere(_) => FAILED_ON,
                Blow::Kill => KILLED,
            },
            1,
        );
        let is_done = self.shapes() == self.new;
        tally.add(DONE, usize::from(is_done));
        let has_ended = match (strace::ended_by(&self.list).as_deref(), ran.code) {
            (Some("SIGKILL"), _) if fault.is_kill() => Ok(()),
            (Some("SIGABRT"), _) if fault.is_of_memory() => {
                tally.add(MEMORY, 1);
                Ok(())
            }
            (None, Some(101)) if is_of_a_library(&fault.call, &ran.err) => {
                tally.add(LIBRARY, 1);
                Ok(())
            }
            (None, Some(0)) if is_done => Ok(()),
            (None, Some(0)) => Err("it says that it was done, and it was not".to_owned()),
            (None, Some(1..=6)) if !ran.err.trim().is_empty() || fault.call == "write" => Ok(()),
            _ => Err("it ended badly".to_owned()),
        };
        has_ended
            .and_then(|()| self.look_at_halves(tally))
            .and_then(|()| self.complete(tally))
            .map_err(|what| format!("{fault}\n{what}\n{ran:#?}"))
    }

    /// A file or folder is as it should be or not there; a folder has no name of its own before.
    fn look_at_halves(&self, tally: &Tally) -> Result<(), String> {
        for (name, shape) in self.shapes() {
            if self.new.get(&name) == Some(&shape) {
                continue;
            }
            if !shape[0].ends_with(" a folder") || !is_temporary(&name) {
                return Err(format!("{name}: {shape:?}"));
            }
            tally.add(FOLDERS, 1);
        }
        Ok(())
    }

    fn complete(&self, tally: &Tally) -> Result<(), String> {
        let again = run(&self.words(&[]), "");
        let shapes = self.shapes();
        let differs = |name: &&String| shapes.get(*name) != self.new.get(*name);
        let wrong: Vec<_> = shapes
            .keys()
            .chain(self.new.keys())
            .filter(differs)
            .collect();
        if again.code != Some(0) || !wrong.is_empty() {
            let is = wrong.first().map(|name| shapes.get(*name));
            return Err(format!(
                "run again, {wrong:?} are not as they should be: {is:?}\n{again:#?}"
            ));
        }
        tally.add(AGAIN, 1);
        Ok(())
    }
}

fn is_temporary(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap();
    // The folder of credentials gets its group when the courier's user is known.
    last.starts_with(".new-") || name == "credentials"
}
