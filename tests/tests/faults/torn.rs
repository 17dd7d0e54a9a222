//! Writes of which only a part has reached the disk, and the machine gone: what a login or a verb would have written is
//! put there by the test as far as it came, in a host on which nothing runs.
//!
//! A disk writes sectors of 512 bytes, in any order: every choice of a slot's four sectors is tried, too.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;

use mfa_tests::pam_host::SUCCESS;
use mfa_tests::{on_a_bare_host, proof};

use crate::aftermath::{Login, REFUSED, RIGHT, clean_meanings, look_after};
use crate::crew::{Tally, WORKERS, share};
use crate::scenes::{SCENES, Scene};
use crate::stage::{Stage, USER, enrolled_host, put_file};

const SLOT: usize = 2048;
const SECTOR: usize = 512;

const PREFIXES: &str = "beginnings of a slot written, and no more";
const SECTORS: &str = "choices of a slot's sectors written, and no others";
const RESETS: &str = "beginnings of a reset written";
const RECORDS: &str = "beginnings of a new record written, which then had no name";
const NOTICES: &str = "beginnings of a notice written";

/// What has reached the disk.
#[derive(Debug, Clone, Copy)]
enum Tear {
    /// So many of the first bytes.
    Prefix(usize),
    /// The sectors whose bits are set.
    Sectors(usize),
}

/// Bytes of a file before and after a write, and where it wrote.
struct Write {
    before: Vec<u8>,
    after: Vec<u8>,
    place: Range<usize>,
}

impl Write {
    fn torn(&self, tear: Tear) -> Vec<u8> {
        let mut bytes = self.before.clone();
        for place in self.place.clone() {
            let offset = place - self.place.start;
            let is_written = match tear {
                Tear::Prefix(length) => offset < length,
                Tear::Sectors(chosen) => chosen >> (offset / SECTOR) & 1 == 1,
            };
            if is_written {
                bytes[place] = self.after[place];
            }
        }
        bytes
    }
}

/// How many of a number of prefixes are taken: each in the long form; in the short one every so-many-th, and those at
/// both ends.
fn prefixes(length: usize, stride: usize) -> impl Iterator<Item = usize> {
    let stride = proof::rounds(stride, 1);
    (0..=length).filter(move |at| at % stride == 0 || *at < 24 || at + 34 > length)
}

/// A worker's host, with the write that is torn; made anew with every step of the codes.
struct Place<'a> {
    stage: Stage<'a>,
    write: Option<Write>,
    /// Somebody typed a wrong code before: the other slot is the newer one.
    is_second: bool,
}

impl Place<'_> {
    /// Puts the host back, and tells what a login would write; and what is typed there.
    fn begin(&mut self) -> (&Write, Vec<String>) {
        let step = self.stage.codes.step;
        self.begin_stage();
        if self.write.is_none() || step != self.stage.codes.step {
            let before = self.state();
            let answers = self.stage.answers();
            let script = self.stage.script(&answers, &["authenticate"]);
            self.stage.host.play(&script);
            let after = self.state();
            let place = if before[..SLOT] == after[..SLOT] {
                SLOT..2 * SLOT
            } else {
                0..SLOT
            };
            assert!(before[place.clone()] != after[place.clone()]);
            self.write = Some(Write {
                before,
                after,
                place,
            });
            self.begin_stage();
        }
        let answers = self.stage.answers();
        (self.write.as_ref().unwrap(), answers)
    }

    fn begin_stage(&mut self) {
        self.stage.begin();
        if self.is_second {
            let wrong = self.stage.codes.wrong();
            self.stage.try_codes(&[&wrong]);
        }
    }

    fn state(&self) -> Vec<u8> {
        fs::read(self.stage.host.state_path(USER)).unwrap()
    }
}

fn scene(key: &str) -> &'static Scene {
    SCENES.iter().find(|scene| scene.key == key).unwrap()
}

#[test]
fn a_torn_write_is_the_old_state_or_the_new_one() {
    on_a_bare_host(|_| {
        let tally = Tally::default();
        for key in ["right", "wrong"] {
            for is_second in [false, true] {
                tear_logins(scene(key), is_second, &tally);
            }
        }
        tear_resets(&tally);
        tear_records(&tally);
        tear_notices(&tally);
        tally.expect_no_findings();
        proof::tell(
            "faults-torn",
            "Torn writes",
            &tally.rows(&[PREFIXES, SECTORS, RESETS, RECORDS, NOTICES, REFUSED, RIGHT]),
        );
    });
}

fn tear_logins(scene: &'static Scene, is_second: bool, tally: &Tally) {
    let (host, app) = enrolled_host(scene);
    let place = || Place {
        stage: Stage::new(scene, &host, &app),
        write: None,
        is_second,
    };
    let mut clean = place();
    let meanings = if is_second {
        // The wrong code before counts, whatever comes after it.
        clean.begin();
        let before = clean.stage.meaning().text;
        let (write, _) = clean.begin();
        let after = write.after.clone();
        put_file(&clean.stage.host.state_path(USER), Some(&after));
        [before, clean.stage.meaning().text].into()
    } else {
        clean_meanings(&mut clean.stage)
    };
    let mut tears: Vec<_> = prefixes(SLOT, 32).map(Tear::Prefix).collect();
    tears.extend((0..1 << (SLOT / SECTOR)).map(Tear::Sectors));
    let places = (0..WORKERS).map(|_| place()).collect();
    share(scene.title, &tears, places, tally, |place, &tear| {
        let (write, answers) = place.begin();
        let torn = write.torn(tear);
        put_file(&place.stage.host.state_path(USER), Some(&torn));
        tally.add(
            match tear {
                Tear::Prefix(_) => PREFIXES,
                Tear::Sectors(_) => SECTORS,
            },
            1,
        );
        // The machine was gone before anybody was answered.
        let login = Login {
            answers: &answers,
            has_let_in: false,
            may_be_cut_short: false,
            may_be_torn: true,
            may_be_done_unsaid: true,
        };
        look_after(&mut place.stage, &login, &meanings, tally)
            .map_err(|what| format!("{tear:?}, second slot {is_second}\n{what}"))?;
        // Three logins later both slots hold.
        let shown = place
            .stage
            .host
            .admin(&["state", "show", USER])
            .expect_success();
        if shown.stderr.is_empty() {
            Ok(())
        } else {
            Err(format!("{tear:?}: {}", shown.stderr))
        }
    });
}

/// A reset writes one slot, then the other.
fn tear_resets(tally: &Tally) {
    let scene = scene("replay");
    let (host, app) = enrolled_host(scene);
    let places = (0..WORKERS).map(|_| Stage::new(scene, &host, &app));
    let lengths: Vec<_> = prefixes(2 * SLOT, 64).collect();
    share(
        "a reset",
        &lengths,
        places.collect(),
        tally,
        |stage, &length| {
            stage.begin();
            let path = stage.host.state_path(USER);
            let before = fs::read(&path).unwrap();
            let old = stage.meaning();
            stage
                .host
                .admin(&["state", "reset", USER, "--yes"])
                .expect_success();
            let write = Write {
                before,
                after: fs::read(&path).unwrap(),
                place: 0..2 * SLOT,
            };
            let new = stage.meaning();
            put_file(&path, Some(&write.torn(Tear::Prefix(length))));
            tally.add(RESETS, 1);
            let meaning = stage.meaning();
            if ![&old.text, &new.text].contains(&&meaning.text) {
                return Err(format!("{length} bytes: {meaning:?}"));
            }
            let (first, second) = (stage.codes.first(), stage.codes.second());
            let (seen, results) = stage.try_codes(&[&first, &second]);
            // What was used before the reset is good again after it, and not before.
            if results != [!meaning.is_first_used, true] {
                return Err(format!("{length} bytes, {meaning:?}: {results:?}\n{seen}"));
            }
            tally.add(RIGHT, 1 + usize::from(results[0]));
            Ok(())
        },
    );
}

/// A record is written under another name and renamed: what was left before that is in nobody's way.
fn tear_records(tally: &Tally) {
    let scene = scene("right");
    let (host, app) = enrolled_host(scene);
    let record = fs::read(host.record_path(USER)).unwrap();
    let places = (0..WORKERS).map(|_| Stage::new(scene, &host, &app));
    let lengths: Vec<_> = prefixes(record.len(), 32).collect();
    share(
        "a record",
        &lengths,
        places.collect(),
        tally,
        |stage, &length| {
            stage.begin();
            let left = stage.host.path("lib/users/%new-alice");
            put_file(&left, Some(&record[..length]));
            tally.add(RECORDS, 1);
            let (first, second) = (stage.codes.first(), stage.codes.second());
            let (seen, results) = stage.try_codes(&[&first, &second]);
            if results != [true, true] {
                return Err(format!("{length} bytes: {results:?}\n{seen}"));
            }
            tally.add(RIGHT, 2);
            let other = format!("alice{length}@example.com");
            stage
                .host
                .admin(&["user", "set", USER, "--email", &other])
                .expect_success();
            if left.exists() {
                return Err(format!("{length} bytes: the next writer leaves it"));
            }
            Ok(())
        },
    );
}

/// A notice that was being written is delivered by nobody, and cleared away once it is old.
fn tear_notices(tally: &Tally) {
    let scene = scene("phases");
    let (host, app) = enrolled_host(scene);
    let mut stage = Stage::new(scene, &host, &app);
    stage.begin();
    let answers = stage.answers();
    let script = stage.script(&answers, scene.hooks);
    let seen = stage.host.play(&script);
    assert_eq!(seen.results(), [SUCCESS; 3], "{seen}");
    let notice = crate::stage::files_in(&stage.host.path("spool/new"))
        .pop()
        .unwrap();
    let text = fs::read(&notice).unwrap();
    let name = notice.file_name().unwrap().to_owned();
    for length in prefixes(text.len(), 64).filter(|length| length % 8 == 0) {
        stage.begin();
        let half = stage.host.path("spool/tmp").join(&name);
        fs::write(&half, &text[..length]).unwrap();
        fs::set_permissions(&half, fs::Permissions::from_mode(0o600)).unwrap();
        tally.add(NOTICES, 1);
        crate::stage::sweep(&stage.host).unwrap();
        let out = crate::stage::files_in(&stage.host.path("out"));
        assert!(
            out.is_empty(),
            "{length} bytes of a notice were delivered: {out:?}"
        );
        // The next one goes out.
        stage.host.play(&script);
        stage.host.admin(&["notify", "drain"]).expect_success();
        assert_eq!(crate::stage::files_in(&stage.host.path("out")).len(), 1);
    }
}
