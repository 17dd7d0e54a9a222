//! A deadline that holds whatever hangs: the work is done by a thread that is left behind when its time is over, and
//! what it was at is known here.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::channel::ChannelName;

/// What one delivery is at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
struct Stage {
    channel: Option<ChannelName>,
    doing: String,
    program: Option<Pid>,
    has_own_groups: bool,
    is_with_message: bool,
}

impl Progress {
    /// It has begun with this.
    pub(crate) fn at(doing: &str) -> Self {
        let progress = Self::default();
        progress.doing(doing);
        progress
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on it goes out this way.
    pub(crate) fn through(&self, channel: ChannelName) {
        self.stage().channel = Some(channel);
    }

    /// How it goes out.
    pub(crate) fn channel(&self) -> Option<ChannelName> {
        self.stage().channel
    }

    /// What is done from here on, in words that follow on "timeout". Any other message would go this way too.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        let mut stage = self.stage();
        stage.doing = what.into();
        stage.is_with_message = false;
    }

    /// What is done from here on with this message: what goes wrong may be its own, or its recipient's.
    pub(crate) fn doing_with_message(&self, what: impl Into<String>) {
        let mut stage = self.stage();
        stage.doing = what.into();
        stage.is_with_message = true;
    }

    /// Whether what is being done is done with this message, and not on the way there.
    pub(crate) fn is_with_message(&self) -> bool {
        self.stage().is_with_message
    }

    /// What is being done.
    pub(crate) fn what(&self) -> String {
        self.stage().doing.clone()
    }

    /// Programs get a process group of their own; else they are in the courier's, and end with it.
    pub(crate) fn with_own_groups(self) -> Self {
        self.stage().has_own_groups = true;
        self
    }

    /// Whether programs get a process group of their own.
    pub(crate) fn has_own_groups(&self) -> bool {
        self.stage().has_own_groups
    }

    /// A program runs.
    pub(crate) fn program_runs(&self, number: u32) {
        self.stage().program = i32::try_from(number).ok().map(Pid::from_raw);
    }

    /// No program runs any more, or none that was started here.
    pub(crate) fn program_ended(&self) {
        self.stage().program = None;
    }

    /// Ends the program that runs, with its children; and the courier too, where they are of one group. The lock is
    /// held meanwhile, so that its number can't become somebody else's: whoever waits for it calls
    /// [`Progress::program_ended`] before.
    pub(crate) fn kill_program(&self) {
        let mut stage = self.stage();
        if let Some(leader) = stage.program.take() {
            let own = Pid::from_raw(0);
            let group = if stage.has_own_groups { leader } else { own };
            // It may have ended by itself.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Why work has no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoResult {
    /// Its time is over.
    Overdue,
    /// It broke, or could not be begun.
    Broken,
}

/// Does a piece of work by a thread, until a moment at the latest.
pub(crate) fn until<T: Send + 'static>(
    end: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    let (sender, receiver) = channel();
    let begun = thread::Builder::new().spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
    });
    if begun.is_err() {
        return Err(NoResult::Broken);
    }
    let left = end.saturating_duration_since(Instant::now());
    receiver.recv_timeout(left).map_err(|error| match error {
        RecvTimeoutError::Timeout => NoResult::Overdue,
        RecvTimeoutError::Disconnected => NoResult::Broken,
    })
}

/// How long the answer may take before the alarm ends the courier without one.
pub(crate) const ANSWER_BEFORE_THE_ALARM: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_left_behind_at_its_end() {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(50);
        let result = until(end, || thread::sleep(Duration::from_secs(60)));
        assert_eq!(result, Err(NoResult::Overdue));
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(until(Instant::now() + Duration::from_secs(60), || 7), Ok(7));
    }

    #[test]
    fn work_that_breaks_is_known_at_once() {
        let end = Instant::now() + Duration::from_secs(600);
        let result = until(end, || assert_eq!(1, 2, "this is part of the test"));
        assert_eq!(result, Err(NoResult::Broken));
    }
}
