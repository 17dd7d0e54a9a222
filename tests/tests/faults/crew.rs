//! Many rounds of the same, two at a time: what they find, how far they are, and what they count.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::proof;

/// Workers that a suite has: as many as the smallest machine has processors.
pub(crate) const WORKERS: usize = 2;
/// More findings than these say nothing new.
const ENOUGH: usize = 100;
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// What was counted, and what was found wrong.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<&'static str, usize>>,
    findings: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn add(&self, what: &'static str, count: usize) {
        *self.counts.lock().unwrap().entry(what).or_insert(0) += count;
    }

    pub(crate) fn count(&self, what: &'static str) -> usize {
        self.counts.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    fn find(&self, finding: String) {
        if proof::is_long() {
            // It may be long until all of them are told.
            eprintln!("faults: found wrong: {finding}");
        }
        self.findings.lock().unwrap().push(finding);
    }

    fn has_found_enough(&self) -> bool {
        self.findings.lock().unwrap().len() >= ENOUGH
    }

    /// Fails with everything that was found, if anything was.
    pub(crate) fn expect_no_findings(&self) {
        let findings = self.findings.lock().unwrap();
        assert!(
            findings.is_empty(),
            "{} findings\n\n{}",
            findings.len(),
            findings.join("\n\n")
        );
    }

    /// For [`proof::tell`], in this order; what never happened is none.
    pub(crate) fn rows(&self, order: &[&'static str]) -> Vec<(&'static str, String)> {
        order
            .iter()
            .map(|&what| (what, self.count(what).to_string()))
            .collect()
    }
}

/// Has every job done by one of the workers, one for each place that is given. What is found wrong is kept for the end.
pub(crate) fn share<Job: Sync, Place: Send>(
    title: &str,
    jobs: &[Job],
    places: Vec<Place>,
    tally: &Tally,
    round: impl Fn(&mut Place, &Job) -> Result<(), String> + Sync,
) {
    let next = AtomicUsize::new(0);
    let progress = Mutex::new(Instant::now());
    let begin = Instant::now();
    thread::scope(|scope| {
        for mut place in places {
            let (next, progress) = (&next, &progress);
            let round = &round;
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = catch_unwind(AssertUnwindSafe(|| round(&mut place, job)));
                    let finding = match done {
                        Ok(Ok(())) => None,
                        Ok(Err(finding)) => Some(finding),
                        Err(payload) => Some(text_of(payload.as_ref())),
                    };
                    if let Some(finding) = finding {
                        tally.find(format!("{title}: {finding}"));
                    }
                    if tally.has_found_enough() {
                        return;
                    }
                    tell_progress(
                        title,
                        next.load(Ordering::Relaxed),
                        jobs.len(),
                        begin,
                        progress,
                    );
                }
            });
        }
    });
}

fn tell_progress(title: &str, done: usize, all: usize, begin: Instant, last: &Mutex<Instant>) {
    let mut last = last.lock().unwrap();
    if !proof::is_long() || last.elapsed() < PROGRESS_EVERY || done == 0 {
        return;
    }
    *last = Instant::now();
    let passed = begin.elapsed().as_secs_f64();
    let (all, done) = (all.max(done), done);
    #[expect(clippy::cast_precision_loss, reason = "numbers for people")]
    let left = passed * (all - done) as f64 / done as f64;
    eprintln!("faults: {title}: {done} of {all}, {left:.0} s left");
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
