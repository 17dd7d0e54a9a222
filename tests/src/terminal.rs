//! A scripted person at a pseudo terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

/// How long a person waits for a prompt, or for a program to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// A program that is silent for this long after text that looks like a prompt is taken to wait for an answer.
const SILENCE: Duration = Duration::from_secs(3);

/// The same where a test does not say what the prompts are: it may take a half-written line for a prompt.
const PAUSE: Duration = Duration::from_millis(150);

type Answer<'a> = Box<dyn FnOnce() -> String + 'a>;

/// What a person expects to be asked, and what they answer, in order. An unexpected prompt fails the test, and so
/// does a script that is not used up.
#[derive(Default)]
pub struct Script<'a> {
    steps: Vec<(String, Answer<'a>)>,
}

impl<'a> Script<'a> {
    /// A person who expects not to be asked anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a prompt that ends in `prompt`.
    #[must_use]
    pub fn answer(self, prompt: &str, answer: &str) -> Self {
        let answer = answer.to_owned();
        self.answer_with(prompt, move || answer)
    }

    /// Does something once the prompt stands there, and answers with what that returned.
    #[must_use]
    pub fn answer_with(mut self, prompt: &str, answer: impl FnOnce() -> String + 'a) -> Self {
        self.steps.push((prompt.to_owned(), Box::new(answer)));
        self
    }

    /// The same answer to each of `count` prompts.
    #[must_use]
    pub fn answer_times(mut self, count: usize, prompt: &str, answer: &str) -> Self {
        for _ in 0..count {
            self = self.answer(prompt, answer);
        }
        self
    }
}

/// A program that runs on a terminal of its own, of which it is the controlling process.
pub struct Terminal {
    what: String,
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    transcript: String,
    answered: usize,
    prompts: Vec<String>,
}

/// Where an open terminal is after a step.
enum Seen {
    Text,
    Silence,
    End,
}

impl Terminal {
    /// Starts a program and its arguments on a new terminal of 24 lines and 80 columns.
    pub fn start(words: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).expect("/dev/ptmx opens");
        let keyboard = File::from(pair.master);
        let line = File::from(pair.slave);
        let child = Command::new("setsid")
            .arg("--ctty")
            .args(words)
            .env("TERM", "dumb")
            .stdin(Stdio::from(line.try_clone().unwrap()))
            .stdout(Stdio::from(line.try_clone().unwrap()))
            .stderr(Stdio::from(line))
            .spawn()
            .expect("setsid starts");
        let (sender, screen) = mpsc::channel();
        let mut display = keyboard.try_clone().unwrap();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            // EIO is how a terminal says that nobody has its other end any more.
            while let Ok(length @ 1..) = display.read(&mut chunk) {
                if sender.send(chunk[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            what: words.join(" "),
            child,
            keyboard,
            screen,
            transcript: String::new(),
            answered: 0,
            prompts: Vec::new(),
        }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that appeared so far.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Waits for a prompt, which is text that ends in `prompt` and has not been answered.
    pub fn expect_prompt(&mut self, prompt: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.unanswered().ends_with(prompt) {
            let seen = self.look(deadline);
            let why = match seen {
                Seen::Text => continue,
                Seen::Silence if self.waits() => "asks something else",
                Seen::Silence if Instant::now() < deadline => continue,
                Seen::Silence => "says nothing for too long",
                Seen::End if self.unanswered().ends_with(prompt) => break,
                Seen::End => "has ended",
            };
            panic!(
                "`{}` {why}; expected the prompt {prompt:?} after:\n{}",
                self.what, self.transcript
            );
        }
        let asked = self.last_line();
        self.prompts.push(asked);
    }

    /// Waits until something appears after what was typed last: without echo, that is the line break that says
    /// that an answer has been read.
    pub fn expect_output(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.unanswered().is_empty() {
            assert!(
                matches!(self.look(deadline), Seen::Text) || Instant::now() < deadline,
                "`{}` does not react after:\n{}",
                self.what,
                self.transcript
            );
        }
    }

    /// Types bytes as they are.
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        self.answered = self.transcript.len();
        // The program may be gone: then its end tells the test more than this error does.
        let _ = self.keyboard.write_all(bytes);
    }

    /// Types a line and Enter.
    pub fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    /// Plays a script to its end, and the program to its own.
    pub fn talk(mut self, script: Script<'_>) -> Talk {
        self.play(script);
        self.finish()
    }

    /// Answers whatever is asked with what `answer` says to the prompt's line, until the program ends or `answer`
    /// says nothing, which hangs up. For questions whose number and order are not what a test is about.
    pub fn talk_freely(mut self, mut answer: impl FnMut(&str) -> Option<String>) -> Talk {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.look_for(deadline, PAUSE) {
                Seen::End => break,
                Seen::Silence if self.waits() => {
                    let line = self.last_line();
                    self.prompts.push(line.clone());
                    let Some(text) = answer(&line) else {
                        let _ = self.child.kill();
                        break;
                    };
                    self.type_line(&text);
                }
                Seen::Silence if Instant::now() >= deadline => {
                    panic!(
                        "`{}` says nothing for too long after:\n{}",
                        self.what, self.transcript
                    )
                }
                Seen::Silence | Seen::Text => {}
            }
        }
        self.ended()
    }

    /// Plays a script to its end, and lets the program go on.
    pub fn play(&mut self, script: Script<'_>) {
        for (prompt, answer) in script.steps {
            self.expect_prompt(&prompt);
            let answer = answer();
            self.type_line(&answer);
        }
    }

    /// Waits for the program's end. It must not ask anything more.
    pub fn finish(mut self) -> Talk {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.look(deadline) {
                Seen::End => break,
                Seen::Silence if self.waits() || Instant::now() >= deadline => {
                    panic!(
                        "`{}` does not end; the script is used up after:\n{}",
                        self.what, self.transcript
                    )
                }
                Seen::Text | Seen::Silence => {}
            }
        }
        self.ended()
    }

    fn ended(mut self) -> Talk {
        let status = self.child.wait().unwrap();
        Talk {
            what: std::mem::take(&mut self.what),
            exit: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap()),
            transcript: self.transcript.replace("\r\n", "\n").replace('\r', ""),
            prompts: std::mem::take(&mut self.prompts),
        }
    }

    fn unanswered(&self) -> &str {
        &self.transcript[self.answered..]
    }

    /// Whether what stands there looks like a prompt.
    fn waits(&self) -> bool {
        [": ", "? ", "$ ", "# ", ":"]
            .iter()
            .any(|end| self.unanswered().ends_with(end))
    }

    fn last_line(&self) -> String {
        self.unanswered()
            .rsplit(['\n', '\r'])
            .next()
            .unwrap()
            .to_owned()
    }

    fn look(&mut self, deadline: Instant) -> Seen {
        self.look_for(deadline, SILENCE)
    }

    fn look_for(&mut self, deadline: Instant, silence: Duration) -> Seen {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.screen.recv_timeout(left.min(silence)) {
            Ok(chunk) => {
                self.transcript.push_str(&String::from_utf8_lossy(&chunk));
                Seen::Text
            }
            Err(RecvTimeoutError::Timeout) => Seen::Silence,
            Err(RecvTimeoutError::Disconnected) => Seen::End,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A person who hangs up: the keyboard's end is the SIGHUP; who ignores it is killed.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What happened at a terminal.
#[derive(Debug, Clone)]
pub struct Talk {
    what: String,
    /// The program's exit code; 128 and the signal's number when a signal ended it.
    pub exit: i32,
    /// All that the person saw, with plain line ends.
    pub transcript: String,
    /// The prompts that were answered, each a whole line.
    pub prompts: Vec<String>,
}

impl Talk {
    /// The program ended well.
    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        assert_eq!(
            self.exit, 0,
            "`{}` was to succeed:\n{}",
            self.what, self.transcript
        );
        self
    }

    /// The program ended with an error.
    #[track_caller]
    pub fn expect_failure(&self) -> &Self {
        assert_ne!(
            self.exit, 0,
            "`{}` was to fail:\n{}",
            self.what, self.transcript
        );
        self
    }

    /// The person saw `text`.
    #[track_caller]
    pub fn expect_text(&self, text: &str) -> &Self {
        assert!(
            self.transcript.contains(text),
            "`{}` was to say {text:?}:\n{}",
            self.what,
            self.transcript
        );
        self
    }

    /// The person did not see `text`.
    #[track_caller]
    pub fn expect_no_text(&self, text: &str) -> &Self {
        assert!(
            !self.transcript.contains(text),
            "`{}` was not to say {text:?}:\n{}",
            self.what,
            self.transcript
        );
        self
    }
}
