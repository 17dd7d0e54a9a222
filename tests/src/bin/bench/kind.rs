//! Kinds of logins: how they are made, and what they took.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use mfa_tests::stopwatch::Lap;

/// One kind of login.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) users: Vec<String>,
    /// What is answered: a right code of the app, or a wrong one.
    pub(crate) is_right: bool,
    /// What each of the users answers in the place of that.
    answers: Vec<String>,
    /// What the first prompt is answered with, before that of the code.
    first: Option<String>,
    pub(crate) is_accepted: bool,
    /// Once per block instead of a whole block.
    pub(crate) is_slow: bool,
    /// What is written back before each login: copy and file, with `{}` for the user.
    restored: Option<(String, String)>,
    /// Nanoseconds of `pam_authenticate`.
    pub(crate) authenticate: Vec<u64>,
    /// Of these, on a CPU.
    pub(crate) cpu: Vec<u64>,
    /// Nanoseconds of the whole login.
    pub(crate) login: Vec<u64>,
}

/// The service name of what is no login, but one write.
const FLOOR: &str = "floor";

impl Kind {
    /// Right codes that are accepted.
    pub(crate) fn new(name: &str, service: &str, users: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            service: service.to_owned(),
            users: users.to_vec(),
            is_right: true,
            answers: Vec::new(),
            first: None,
            is_accepted: true,
            is_slow: false,
            restored: None,
            authenticate: Vec::new(),
            cpu: Vec::new(),
            login: Vec::new(),
        }
    }

    /// One write in place of 2048 bytes and fdatasync, to `file`.
    pub(crate) fn floor(file: &Path) -> Self {
        Self::new("floor", FLOOR, &[file.display().to_string()])
    }

    pub(crate) fn restored(mut self, saved: &Path, file: &Path) -> Self {
        self.restored = Some((saved.display().to_string(), file.display().to_string()));
        self
    }

    /// An answer for each user, good for ever since states are restored.
    pub(crate) fn answering(mut self, answers: Vec<String>) -> Self {
        assert_eq!(answers.len(), self.users.len());
        self.answers = answers;
        self
    }

    /// Another question comes before the one for the code.
    pub(crate) fn answering_first(mut self, answer: &str) -> Self {
        self.first = Some(answer.to_owned());
        self
    }

    /// Right codes that let nobody in.
    pub(crate) fn refused(mut self) -> Self {
        self.is_accepted = false;
        self
    }

    pub(crate) fn wrong(mut self) -> Self {
        self.is_right = false;
        self.is_accepted = false;
        self
    }

    pub(crate) fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    /// The command of `pam_bench`; `verb` is `login` or another that takes the same words.
    pub(crate) fn command(&self, verb: &str, turn: usize, code: &str) -> String {
        let place = turn % self.users.len();
        let user = &self.users[place];
        let code = self.answers.get(place).map_or(code, String::as_str);
        let code = match &self.first {
            Some(first) => format!("{first},{code}"),
            None => code.to_owned(),
        };
        if self.service == FLOOR {
            return format!("floor {user}");
        }
        let restored = match &self.restored {
            Some((saved, file)) => format!(
                " {} {}",
                saved.replace("{}", user),
                file.replace("{}", user)
            ),
            None => String::new(),
        };
        format!("{verb} {} {user} {code}{restored}", self.service)
    }

    /// Writes back what a login of this person has changed, in place; it is on the disk before a login that is timed begins.
    pub(crate) fn write_back(&self, user: &str) {
        if let Some((saved, file)) = &self.restored {
            let content = fs::read(saved.replace("{}", user)).unwrap();
            let path = file.replace("{}", user);
            let mut open = fs::OpenOptions::new().write(true).open(path).unwrap();
            open.write_all(&content).unwrap();
            open.set_len(content.len() as u64).unwrap();
            open.sync_data().unwrap();
        }
    }

    /// The same for everybody.
    pub(crate) fn write_all_back(&self) {
        for user in &self.users {
            self.write_back(user);
        }
    }

    /// Ends the benchmark when PAM did not say what it should.
    pub(crate) fn expect(&self, lap: Lap) {
        assert_eq!(
            lap.result == 0,
            self.is_accepted,
            "{}: PAM returned {}",
            self.name,
            lap.result
        );
    }

    pub(crate) fn keep(&mut self, lap: Lap) {
        self.authenticate.push(lap.authenticate);
        self.cpu.push(lap.cpu);
        self.login.push(lap.login);
    }
}

/// The kind of that name.
pub(crate) fn find<'a>(kinds: &'a [Kind], name: &str) -> &'a Kind {
    kinds
        .iter()
        .find(|kind| kind.name == name)
        .unwrap_or_else(|| panic!("no kind {name}"))
}
