//! Kinds of logins, timed in turn.

use std::path::Path;

use crate::site::{Bench, OF_A_KIND, REFUSALS, spread};
use crate::stopwatch::Stopwatch;

/// Logins of one kind that follow each other before another kind's turn.
pub(crate) const BLOCK: usize = 20;
/// One row of the table: how its logins are made, and what they took.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) users: Vec<String>,
    pub(crate) right: bool,
    /// What is written back before each login: copy and file, with `{}` for the user.
    pub(crate) restored: Option<(String, String)>,
    pub(crate) accepted: bool,
    /// Once per block instead of a whole block.
    pub(crate) slow: bool,
    pub(crate) authenticate: Vec<u64>,
    pub(crate) login: Vec<u64>,
}

impl Kind {
    pub(crate) fn new(name: &str, service: &str, users: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            service: service.to_owned(),
            users: users.to_vec(),
            right: true,
            restored: None,
            accepted: true,
            slow: false,
            authenticate: Vec::new(),
            login: Vec::new(),
        }
    }

    pub(crate) fn restored(mut self, saved: &Path, file: &Path) -> Self {
        self.restored = Some((saved.display().to_string(), file.display().to_string()));
        self
    }

    pub(crate) fn wrong(mut self) -> Self {
        self.right = false;
        self.accepted = false;
        self
    }

    pub(crate) fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

impl Bench {
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let everybody = &self.people;
        let google = |kind: Kind| {
            kind.restored(
                &self.folder.join("google-saved/{}"),
                &self.folder.join("google/{}"),
            )
        };
        let oath = |kind: Kind| {
            kind.restored(
                &self.folder.join("oath-10-saved"),
                &self.folder.join("oath-10"),
            )
        };
        let few = spread(everybody, 10);
        let mut kinds = vec![
            Kind::new("floor", "floor", everybody),
            Kind::new("pam_permit", "permit", everybody),
            Kind::new("promptok", "promptok", everybody),
            Kind::new("promptok, one line logged", "promptok-log", everybody),
        ];
        for (users, host) in &self.hosts {
            let service = format!("ours-{users}");
            let ours =
                |kind: Kind| kind.restored(&host.path("saved/{}"), &host.path("lib/state/{}"));
            let people = spread(everybody, *users);
            kinds.push(ours(Kind::new(
                &format!("pam_mfa, accepted, {users} users"),
                &service,
                &people,
            )));
            kinds.push(ours(
                Kind::new(&format!("pam_mfa, wrong, {users} users"), &service, &people).wrong(),
            ));
        }
        kinds.push(google(Kind::new("google, accepted", "google", everybody)));
        kinds.push(google(
            Kind::new("google, wrong", "google", everybody).wrong(),
        ));
        kinds.push(oath(Kind::new("oath, accepted, 10 users", "oath-10", &few)));
        kinds.push(oath(
            Kind::new("oath, wrong, 10 users", "oath-10", &few).wrong(),
        ));
        kinds.push(
            Kind::new(
                &format!("oath, accepted, {} users", self.many),
                "oath-many",
                everybody,
            )
            .slow(),
        );
        kinds
    }

    /// Wrong answers of people of every kind, on the host with 1 000 users.
    pub(crate) fn refusals(&self) -> Vec<Kind> {
        let (_, host) = &self.hosts[1];
        let kind = |name: &str| {
            let users: Vec<_> = (0..OF_A_KIND)
                .map(|number| format!("{name}{number}"))
                .collect();
            let kind = Kind::new(name, "ours-1000", &users).wrong();
            if name == "norecord" {
                kind.restored(&host.path("decoys/{}-saved"), &host.path("decoys/{}"))
            } else {
                kind.restored(&host.path("saved/{}"), &host.path("lib/state/{}"))
            }
        };
        REFUSALS.map(kind).into()
    }

    /// In blocks, so that each kind finds the caches as its own last login left them.
    pub(crate) fn run(&self, kinds: &mut [Kind], blocks: usize) {
        let mut stopwatch = Stopwatch::start(&self.folder.join("pam.d"));
        let wrong = self.app.wrong_code();
        for block in 0..blocks {
            for kind in &mut *kinds {
                let code = if kind.right {
                    self.app.code_of(self.app.step())
                } else {
                    wrong.clone()
                };
                for turn in 0..if kind.slow { 1 } else { BLOCK } {
                    let turn = if kind.slow {
                        block
                    } else {
                        block * BLOCK + turn
                    };
                    self.time_one(&mut stopwatch, kind, turn, &code, block >= blocks / 11);
                }
            }
        }
    }

    /// One login of each kind in turn, in an order that changes: what came before is no part of the difference.
    pub(crate) fn run_shuffled(&self, kinds: &mut [Kind], turns: usize) {
        let mut stopwatch = Stopwatch::start(&self.folder.join("pam.d"));
        let wrong = self.app.wrong_code();
        let mut random: u64 = 1;
        for turn in 0..turns {
            for last in (1..kinds.len()).rev() {
                // A multiplicative generator: shuffling needs no better one.
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                kinds.swap(last, usize::try_from(random >> 33).unwrap() % (last + 1));
            }
            for kind in &mut *kinds {
                self.time_one(&mut stopwatch, kind, turn, &wrong, turn >= turns / 11);
            }
        }
    }

    pub(crate) fn time_one(
        &self,
        stopwatch: &mut Stopwatch,
        kind: &mut Kind,
        turn: usize,
        code: &str,
        counts: bool,
    ) {
        let user = &kind.users[turn % kind.users.len()];
        let command = if kind.service == "floor" {
            format!("floor {}", self.folder.join("floor").display())
        } else {
            let restored = kind
                .restored
                .as_ref()
                .map_or(String::new(), |(saved, file)| {
                    format!(
                        " {} {}",
                        saved.replace("{}", user),
                        file.replace("{}", user)
                    )
                });
            format!("login {} {user} {code}{restored}", kind.service)
        };
        let (result, authenticate, login) = stopwatch.time(&command);
        assert_eq!(
            result == 0,
            kind.accepted,
            "{}: PAM returned {result} to {user}",
            kind.name
        );
        if counts {
            kind.authenticate.push(authenticate);
            kind.login.push(login);
        }
    }
}
