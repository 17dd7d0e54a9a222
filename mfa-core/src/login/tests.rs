//! Scripted logins: a person who answers from a list and complains when it is not used up, a clock that is
//! set, a store in memory. The codes are those of RFC 6238, appendix B.

mod bypass;
mod emergency;
mod key;
mod passphrase;
mod recovery;
mod token;

use super::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::clock::{BootId, Moment};
use crate::courier::{Kind, SpoolError, StartError};
use crate::device::AssignedDevice;
use crate::record::{
    Algorithm, App, AppId, Device, Digits, KeptPassphrase, Label, Period, datetime,
};
use crate::request::{Account, Caller, RemoteHost, UserName};
use crate::secure_file::{FileError, Problem};
use crate::state::LoginState;

/// The secret of appendix B, and two codes of it that follow each other.
const SECRET: &[u8] = b"12345678901234567890";
const EARLIER: (u64, &str) = (1_111_111_109, "081804");
const LATER: (u64, &str) = (1_111_111_111, "050471");

/// A store in memory. `edits` are made while the prompt is open: between the look and the transaction.
#[derive(Default)]
struct Shelf {
    record: RefCell<Option<UserRecord>>,
    state: RefCell<LoginState>,
    decoy: RefCell<LoginState>,
    record_error: RefCell<Option<StoreError>>,
    transaction_error: RefCell<Option<StoreError>>,
    transactions: RefCell<Vec<&'static str>>,
    change_error: RefCell<Option<StoreError>>,
}

impl Store for Shelf {
    fn record(&self, subject: Subject<'_>) -> Result<Option<UserRecord>, StoreError> {
        match subject {
            Subject::Decoy(_) => Ok(None),
            Subject::User(_) => match self.record_error.borrow().clone() {
                Some(error) => Err(error),
                None => Ok(self.record.borrow().clone()),
            },
        }
    }

    fn transaction(
        &self,
        subject: Subject<'_>,
        step: &mut crate::store::Step<'_>,
    ) -> Result<(), StoreError> {
        if let Subject::Decoy(_) = subject {
            self.transactions.borrow_mut().push("decoy");
            let looks = key::LOOKS.get();
            step(None, &mut self.decoy.borrow_mut());
            assert_eq!(key::LOOKS.get(), looks, "a look at the key while locked");
            return Ok(());
        }
        self.transactions.borrow_mut().push("user");
        let mut changed = self.state.borrow().clone();
        let hashes = crate::recovery::HASHES.get();
        let looks = key::LOOKS.get();
        step(self.record.borrow().as_ref(), &mut changed);
        // It would tell by time who has recovery codes, and keep others waiting.
        assert_eq!(crate::recovery::HASHES.get(), hashes, "a hash while locked");
        assert_eq!(key::LOOKS.get(), looks, "a look at the key while locked");
        if let Some(error) = self.transaction_error.borrow().clone() {
            return Err(error);
        }
        *self.state.borrow_mut() = changed;
        Ok(())
    }

    fn change_passphrase(
        &self,
        _: &UserName,
        edit: &mut dyn FnMut(&UserRecord) -> Option<KeptPassphrase>,
    ) -> Result<bool, StoreError> {
        if let Some(error) = self.change_error.borrow().clone() {
            return Err(error);
        }
        let mut record = self.record.borrow_mut();
        let Some(record) = record.as_mut() else {
            return Ok(false);
        };
        let changed = edit(record);
        record.passphrase = changed.clone().or(record.passphrase.take());
        Ok(changed.is_some())
    }
}

struct Watch(Cell<u64>);

impl Clock for Watch {
    fn now(&self) -> Moment {
        let ms = i64::try_from(self.0.get() * 1000).unwrap();
        Moment {
            wall_ms: ms,
            boot: BootId(1),
            up_ms: ms,
        }
    }
}

#[derive(Default)]
struct Lines(Vec<String>);

impl AuditLog for Lines {
    fn write(&mut self, _: Severity, line: &str) {
        self.0.push(line.to_owned());
    }
}

type Answer<'a> = Box<dyn FnMut() -> Result<&'static str, PromptError> + 'a>;

/// A person who answers from a list.
struct Person<'a> {
    answers: VecDeque<Answer<'a>>,
    prompts: Vec<(String, bool)>,
}

impl Prompt for Person<'_> {
    fn ask(&mut self, text: &str, echo: bool) -> Result<TypedAnswer, PromptError> {
        self.prompts.push((text.to_owned(), echo));
        let mut answer = self
            .answers
            .pop_front()
            .expect("a prompt that the script does not have");
        answer().map(|text| TypedAnswer::new(text.as_bytes().to_vec()))
    }

    fn is_password(&mut self, answer: &TypedAnswer) -> bool {
        answer.is_same_as(b"correct horse") || answer.is_same_as(b"654321")
    }
}

/// What left the host, and what was kept for it.
#[derive(Default)]
struct Post {
    /// Documents that couriers were started with.
    started: RefCell<Vec<Document>>,
    /// Notices, and whether they were wanted.
    spooled: RefCell<Vec<(Document, bool)>>,
    /// What the next deliveries come to; none: still under way when the login ends.
    reports: RefCell<VecDeque<Report>>,
    /// No courier can be started.
    is_broken: Cell<bool>,
    /// The spool is full.
    is_full: Cell<bool>,
}

struct Messenger<'a> {
    post: &'a Post,
    /// What was started, and what comes of it: none, still under way; told, nothing more.
    started: Vec<(Kind, Method, Option<Report>, bool)>,
}

impl Courier for Messenger<'_> {
    fn start(&mut self, document: &Document) -> Result<(), StartError> {
        if self.post.is_broken.get() {
            return Err(StartError::System("no".to_owned()));
        }
        self.post.started.borrow_mut().push(document.clone());
        let report = self.post.reports.borrow_mut().pop_front();
        let started = (document.kind, document.channel, report, false);
        self.started.push(started);
        Ok(())
    }

    fn poll(&mut self) -> Vec<(Method, Report)> {
        let mut reports = Vec::new();
        for (kind, method, report, is_told) in &mut self.started {
            if let (Kind::Code, Some(report)) = (*kind, report.take()) {
                reports.push((*method, report));
                *is_told = true;
            }
        }
        reports
    }

    fn finish(&mut self) -> Vec<(Method, Report)> {
        let mut reports = self.poll();
        for (kind, method, _, is_told) in std::mem::take(&mut self.started) {
            if kind == Kind::Code && !is_told {
                reports.push((method, Report::parse("retry - ended x").unwrap()));
            }
        }
        reports
    }

    fn spool(&mut self, notice: &Document, is_wanted: bool) -> Result<(), SpoolError> {
        if self.post.is_full.get() {
            return Err(SpoolError::Full);
        }
        self.post
            .spooled
            .borrow_mut()
            .push((notice.clone(), is_wanted));
        Ok(())
    }
}

struct Scene {
    post: Post,
    shelf: Shelf,
    watch: Watch,
    key: SealingKey,
    config: Config,
    request: LoginRequest,
}

/// What a login showed and left.
struct Scenes {
    outcome: LoginOutcome,
    prompts: Vec<(String, bool)>,
    events: Vec<String>,
    lines: Vec<String>,
}

fn here() -> DeviceId {
    DeviceId::parse("1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31").unwrap()
}

/// The key of a scene's host.
fn sealing_key() -> SealingKey {
    let text = format!("mfa-seal-key:1:{}", "5a".repeat(32));
    SealingKey::from_file_text(text.as_bytes()).unwrap()
}

fn app(key: &SealingKey, id: &str, label: &str, secret: &[u8]) -> App {
    let id = AppId::parse(id).unwrap();
    App {
        secret: key.seal("alice", &App::seal_purpose(&id), secret).unwrap(),
        id,
        label: Label::parse(label).unwrap(),
        algorithm: Algorithm::Sha1,
        digits: Digits::parse(6).unwrap(),
        period: Period::parse(30_u16).unwrap(),
        enrolled: datetime(0),
        disabled: false,
    }
}

fn scene() -> Scene {
    let key = sealing_key();
    let mut record = UserRecord::new(UserName::parse("alice").unwrap());
    record.methods = vec![Method::App];
    record.enrolled_once = true;
    record.devices = vec![Device {
        id: AssignedDevice::One(here()),
        label: Label::parse("here").unwrap(),
        assigned: datetime(0),
    }];
    record.apps = vec![app(&key, "00000001", "phone", SECRET)];
    let request = LoginRequest {
        asked_name: "alice".to_owned(),
        account: Some(Account {
            name: record.user.clone(),
            uid: 1000,
        }),
        service: "sshd".to_owned(),
        remote_host: RemoteHost::parse("203.0.113.7"),
        tty: Some("ssh".to_owned()),
        remote_user: None,
        nullok: false,
        passphrase: false,
        log_unknown_names: false,
        caller: Caller { uid: 0, euid: 0 },
    };
    let shelf = Shelf {
        record: RefCell::new(Some(record)),
        ..Shelf::default()
    };
    Scene {
        post: Post::default(),
        shelf,
        watch: Watch(Cell::new(EARLIER.0)),
        key,
        config: Config::default(),
        request,
    }
}

impl Scene {
    /// Goes through a part of a login with somebody at the prompts and this store; what came of it, and the lines.
    fn through<T>(
        &self,
        person: &mut dyn Prompt,
        store: &dyn Store,
        play: impl FnOnce(&LoginRequest, &Setting<'_>, &mut Ports<'_>, &mut AuditTrail) -> T,
    ) -> (T, Vec<String>) {
        let mut lines = Lines::default();
        let mut trail = AuditTrail::new(&self.request, "9f2c41d07be1".to_owned(), 0);
        let setting = Setting {
            config: &self.config,
            device: here(),
            key: &self.key,
            channels: Channels::of(&self.config),
        };
        let mut messenger = Messenger {
            post: &self.post,
            started: Vec::new(),
        };
        let mut ports = Ports {
            prompt: person,
            clock: &self.watch,
            store,
            courier: &mut messenger,
            audit: &mut lines,
        };
        let outcome = play(&self.request, &setting, &mut ports, &mut trail);
        assert!(messenger.started.is_empty(), "a courier is still at work");
        (outcome, lines.0)
    }

    /// One login with these answers; the login may use fewer only where `all` is not asked for.
    fn play(&self, answers: Vec<Answer<'_>>) -> Scenes {
        let mut person = Person {
            answers: answers.into(),
            prompts: Vec::new(),
        };
        let (outcome, lines) = self.through(&mut person, &self.shelf, run);
        assert!(
            person.answers.is_empty(),
            "{} answers were not asked for",
            person.answers.len()
        );
        let events = lines.iter().filter_map(|line| {
            let id = line.split("id=MFA-").nth(1)?.get(..4)?;
            let reason = line
                .split("reason=")
                .nth(1)
                .map_or("", |rest| rest.split('"').nth(1).unwrap());
            Some(format!("{id} {reason}").trim().to_owned())
        });
        Scenes {
            outcome,
            prompts: person.prompts,
            events: events.collect(),
            lines,
        }
    }

    fn types(&self, answers: &[&'static str]) -> Scenes {
        self.play(answers.iter().map(|answer| says(answer)).collect())
    }

    fn change(&self, edit: impl FnOnce(&mut UserRecord)) {
        edit(self.shelf.record.borrow_mut().as_mut().unwrap());
    }

    fn at(self, seconds: u64) -> Self {
        self.watch.0.set(seconds);
        self
    }
}

fn says<'a>(text: &'static str) -> Answer<'a> {
    Box::new(move || Ok(text))
}

#[test]
fn a_right_code_lets_in_and_is_on_disk_before() {
    let scene = scene();
    let login = scene.types(&[EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2001"]);
    assert_eq!(login.prompts, [("Verification code: ".to_owned(), false)]);
    let state = scene.shelf.state.borrow();
    assert_eq!(state.steps[0].step, EARLIER.0 / 30);
    assert_eq!(state.last_success.as_ref().unwrap().from, "203.0.113.7");
    assert!(
        login.lines[1].ends_with("method=app app=\"phone\" try=1 login=9f2c41d07be1 seq=2"),
        "{}",
        login.lines[1]
    );
}

#[test]
fn a_code_is_accepted_once_and_no_earlier_one_after_it() {
    let scene = scene().at(LATER.0);
    assert_eq!(scene.types(&[LATER.1]).outcome, LoginOutcome::Accepted);
    // EARLIER is within the window, and was never used itself.
    let again = scene.types(&[LATER.1, EARLIER.1, LATER.1]);
    assert_eq!(again.outcome, LoginOutcome::Refused);
    assert_eq!(again.events, ["1004", "2102", "2102", "2102"]);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 3);
}

#[test]
fn steps_that_follow_each_other_are_each_accepted() {
    let scene = scene();
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
    assert_eq!(scene.types(&[LATER.1]).outcome, LoginOutcome::Accepted);
}

#[test]
fn a_code_outside_the_window_is_wrong() {
    for seconds in [EARLIER.0 - 60, EARLIER.0 + 60] {
        let login = scene().at(seconds).types(&[EARLIER.1; 3]);
        assert_eq!(
            (login.outcome, login.events[1].as_str()),
            (LoginOutcome::Refused, "2101")
        );
    }
}

#[test]
fn a_second_prompt_can_be_answered_right() {
    let login = scene().types(&["000000", "12 34", EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101", "2101 not_a_code", "2001"]);
}

#[test]
fn the_line_that_filters_read_comes_once_at_the_first_wrong_answer() {
    let classic = "authentication failure; logname= uid=0 euid=0 tty=ssh ruser= \
                   rhost=203.0.113.7 user=alice";
    let places = |login: &Scenes| -> Vec<usize> {
        let lines = login.lines.iter().enumerate();
        lines
            .filter(|(_, line)| *line == classic)
            .map(|(place, _)| place)
            .collect()
    };
    assert_eq!(places(&scene().types(&["000000"; 3])), [2]);
    assert_eq!(places(&scene().types(&["000000", EARLIER.1])), [2]);
    assert_eq!(places(&scene().types(&[EARLIER.1])), []);
    // Who hangs up after the first guess has been seen.
    let hangs_up = || -> Answer<'_> { Box::new(|| Err(PromptError::Failed)) };
    assert_eq!(places(&scene().play(vec![says("000000"), hangs_up()])), [2]);
    assert_eq!(places(&scene().play(vec![hangs_up()])), []);
    // Nothing was guessed, and the login is refused all the same: at its end.
    assert_eq!(places(&scene().types(&["", "", ""])), [4]);
    assert_eq!(places(&scene().types(&["correct horse"])), [2]);
}

#[test]
fn answers_of_another_shape_use_a_prompt_and_charge_nothing() {
    let scene = scene();
    let login = scene.types(&["", "email", "１２３４５６"]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(
        login.events,
        [
            "1004",
            "2101 not_a_code",
            "2101 not_a_code",
            "2101 not_a_code"
        ]
    );
    // As much work as for a code, and nothing of it is the user's.
    assert_eq!(*scene.shelf.transactions.borrow(), ["decoy"; 3]);
}

#[test]
fn everybody_who_is_refused_sees_the_same() {
    type Change = fn(&mut Scene);
    let cases: [(&str, Change); 9] = [
        ("2101", |_| {}),
        ("2106", |scene| scene.shelf.record = RefCell::new(None)),
        ("2106", |scene| scene.request.account = None),
        ("2109", |scene| {
            scene.change(|record| record.suspended = "left".into());
        }),
        ("2104", |scene| {
            scene.change(|record| record.approved = false);
        }),
        ("2105", |scene| {
            scene.change(|record| record.devices.clear());
        }),
        ("2108", |scene| scene.change(|record| record.apps.clear())),
        ("2202", |scene| {
            scene.shelf.state.borrow_mut().codes.locked_at = Some(0);
        }),
        ("2203", |scene| {
            scene.shelf.state.borrow_mut().codes.disabled = true;
        }),
    ];
    let as_wrong = scene().types(&["000000"; 3]).prompts;
    for (event, change) in cases {
        let mut scene = scene();
        change(&mut scene);
        let login = scene.types(&["000000"; 3]);
        assert_eq!(login.outcome, LoginOutcome::Refused, "{event}");
        assert_eq!(login.prompts, as_wrong, "{event}");
        assert_eq!(login.events, ["1004", event, event, event]);
        // One transaction an answer, for everybody.
        assert_eq!(scene.shelf.transactions.borrow().len(), 3, "{event}");
    }
}

#[test]
fn a_right_code_helps_nobody_who_is_refused() {
    for change in [
        |record: &mut UserRecord| record.suspended = "left".into(),
        |record: &mut UserRecord| record.approved = false,
        |record: &mut UserRecord| record.devices.clear(),
        |record: &mut UserRecord| record.methods.clear(),
    ] {
        let scene = scene();
        scene.change(change);
        assert_eq!(scene.types(&[EARLIER.1; 3]).outcome, LoginOutcome::Refused);
        assert_eq!(scene.shelf.state.borrow().steps, []);
        assert_eq!(scene.shelf.state.borrow().codes.in_row, 0);
    }
}

#[test]
fn five_guesses_are_looked_at_and_the_sixth_is_not_even_if_it_is_right() {
    let mut scene = scene();
    scene.config = Config::parse(b"version = 1\n[prompt]\ntries = 6").unwrap();
    let login = scene.types(&["000000", "000000", "000000", "000000", "000000", EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(
        login.events,
        ["1004", "2101", "2101", "2101", "2101", "2101", "2201"]
    );
    assert_eq!(scene.shelf.state.borrow().codes.in_window, 5);
}

#[test]
fn the_tenth_failure_in_a_row_locks_and_says_so() {
    let scene = scene();
    scene.shelf.state.borrow_mut().codes.in_row = 9;
    let login = scene.types(&["000000", EARLIER.1, "000000"]);
    assert_eq!(login.events, ["1004", "2101", "2204", "2202", "2202"]);
    scene.watch.0.set(EARLIER.0 + 901);
    // Its codes are other ones by now; what counts is that they are looked at again.
    assert_eq!(
        scene.types(&["000000"; 3]).events,
        ["1004", "2101", "2101", "2101"]
    );
    scene.shelf.state.borrow_mut().codes.in_row = 99;
    scene.watch.0.set(EARLIER.0 + 2000);
    assert_eq!(
        scene.types(&["000000"; 3]).events,
        ["1004", "2101", "2205", "2203", "2203"]
    );
}

#[test]
fn a_success_sets_the_row_to_nothing() {
    let scene = scene();
    scene.types(&["000000", EARLIER.1]);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 0);
}

#[test]
fn whatever_is_changed_while_the_prompt_is_open_counts() {
    type Change = fn(&Scene);
    let cases: [(&str, Change); 6] = [
        ("2109", |scene| {
            scene.change(|record| record.suspended = "left".into());
        }),
        ("2104", |scene| {
            scene.change(|record| record.approved = false);
        }),
        ("2105", |scene| {
            scene.change(|record| record.devices.clear());
        }),
        ("2108", |scene| scene.change(|record| record.apps.clear())),
        ("2101", |scene| {
            scene.change(|record| {
                record.apps = vec![app(&scene.key, "00000002", "new", b"another secret......")];
            });
        }),
        ("2106", |scene| *scene.shelf.record.borrow_mut() = None),
    ];
    for (event, change) in cases {
        for nullok in [false, true] {
            let mut scene = scene();
            scene.request.nullok = nullok;
            let login = scene.play(vec![
                Box::new(|| {
                    change(&scene);
                    Ok(EARLIER.1)
                }),
                says("000000"),
                says("000000"),
            ]);
            assert_eq!(login.outcome, LoginOutcome::Refused, "{event}");
            let removed = nullok && event == "2106";
            assert_eq!(login.events[1], if removed { "2108" } else { event });
        }
    }
}

#[test]
fn the_password_as_an_answer_ends_the_login_and_is_not_charged() {
    for answer in ["correct horse", "654321"] {
        let scene = scene();
        let login = scene.types(&[answer]);
        assert_eq!(login.outcome, LoginOutcome::Refused);
        assert_eq!(login.events, ["1004", "2110"]);
        assert_eq!(scene.shelf.transactions.borrow().len(), 0);
        let tells = |line: &String| line.contains("horse") || line.contains("654321");
        assert!(!login.lines.iter().any(tells));
    }
}

#[test]
fn whom_sshd_does_not_want_is_asked_like_everybody_and_charged_to_nobody() {
    // sshd's dummy in the lengths of 123456, 123 456 and something that is no code.
    let dummies = [
        "\u{8}\n\r\u{7f}IN",
        "\u{8}\n\r\u{7f}INC",
        "\u{8}\n\r\u{7f}INCORR",
    ];
    let known = scene();
    let login = known.types(&dummies);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    let refused = "2101 refused_by_sshd";
    assert_eq!(login.events, ["1004", refused, refused, "2101 not_a_code"]);
    assert_eq!(*known.shelf.transactions.borrow(), ["decoy"; 3]);
    assert_eq!(known.shelf.state.borrow().codes.in_row, 0);
    let mut stranger = scene();
    stranger.request.account = None;
    let login = stranger.types(&dummies);
    assert_eq!(login.events, ["1004", "2106", "2106", "2101 not_a_code"]);
    assert_eq!(login.prompts, scene().types(&["000000"; 3]).prompts);
    assert_eq!(*stranger.shelf.transactions.borrow(), ["decoy"; 3]);
}

#[test]
fn a_conversation_that_fails_is_said_and_a_changed_user_too() {
    for (error, reason) in [
        (PromptError::Failed, "2107 no_answer"),
        (PromptError::UserChanged, "2107 user_changed"),
    ] {
        let scene = scene();
        let login = scene.play(vec![says("000000"), Box::new(move || Err(error))]);
        assert_eq!(login.outcome, LoginOutcome::ConversationFailed);
        assert_eq!(login.events, ["1004", "2101", reason]);
    }
}

fn disk_error() -> StoreError {
    StoreError::File(FileError {
        path: "/state/alice".into(),
        problem: Problem::System(nix::errno::Errno::EIO),
    })
}

#[test]
fn a_right_code_that_cannot_be_written_down_does_not_let_in() {
    let scene = scene();
    *scene.shelf.transaction_error.borrow_mut() = Some(disk_error());
    let login = scene.types(&[EARLIER.1, EARLIER.1, EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    // One line says so; the questions go on as for everybody, on a decoy.
    assert_eq!(login.events, ["1004", "4001"]);
    assert_eq!(
        *scene.shelf.transactions.borrow(),
        ["user", "decoy", "decoy"]
    );
    assert_eq!(login.prompts.len(), 3);
}

#[test]
fn a_damaged_record_is_said_once_and_asked_about_as_always() {
    let scene = scene();
    *scene.shelf.record_error.borrow_mut() = Some(disk_error());
    let login = scene.types(&[EARLIER.1; 3]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert_eq!(login.events, ["1004", "4001"]);
    assert_eq!(*scene.shelf.transactions.borrow(), ["decoy"; 3]);
    assert!(login.lines[1].contains("user=\"alice\""));
}

#[test]
fn a_busy_state_refuses_and_names_the_holder() {
    let scene = scene();
    *scene.shelf.transaction_error.borrow_mut() =
        Some(StoreError::Block(BlockError::Busy { holder: Some(4711) }));
    let login = scene.types(&[EARLIER.1; 3]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.events, ["1004", "2206", "2206", "2206"]);
    assert!(
        login.lines[1].contains("locked by process 4711"),
        "{}",
        login.lines[1]
    );
}

#[test]
fn another_sealing_key_opens_nothing() {
    let mut scene = scene();
    scene.key = SealingKey::generate().unwrap();
    let login = scene.types(&[EARLIER.1; 3]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert_eq!(login.events, ["1004", "4001 sealed_secret"]);
    assert!(
        login.lines[1].contains("put the right seal.key back"),
        "{}",
        login.lines[1]
    );
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 0);
}

#[test]
fn one_secret_that_does_not_open_does_not_lock_the_other_app_out() {
    let scene = scene();
    let other = SealingKey::generate().unwrap();
    scene.change(|record| {
        record
            .apps
            .insert(0, app(&other, "00000002", "old phone", SECRET));
    });
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
}

#[test]
fn apps_have_their_steps_apart() {
    let scene = scene();
    // The same secret with eight digits: other codes, and steps of its own.
    let mut tablet = app(&scene.key, "00000002", "tablet", SECRET);
    tablet.digits = Digits::parse(8).unwrap();
    scene.change(|record| record.apps.push(tablet));
    assert!(scene.types(&[EARLIER.1]).lines[1].contains("app=\"phone\""));
    assert!(scene.types(&["07081804"]).lines[1].contains("app=\"tablet\""));
    assert_eq!(
        scene.types(&["07081804", EARLIER.1, "07081804"]).events[1..],
        ["2102"; 3]
    );
}

#[test]
fn a_secret_that_stands_there_twice_has_codes_that_are_good_once() {
    let scene = scene();
    scene.change(|record| {
        let twin = app(&scene.key, "00000002", "tablet", SECRET);
        record.apps.push(twin);
    });
    assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
    assert_eq!(
        scene.types(&[EARLIER.1; 3]).events,
        ["1004", "2102", "2102", "2102"]
    );
}

#[test]
fn a_clock_that_jumped_ahead_and_came_back_is_named_and_charges_nothing() {
    let scene = scene();
    let phone = scene.shelf.record.borrow().as_ref().unwrap().apps[0].clone();
    scene
        .shelf
        .state
        .borrow_mut()
        .accept_step(&phone, EARLIER.0 / 30 + 1_051_200);
    let login = scene.types(&[EARLIER.1, "000000", EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.events, ["1004", "4003", "4003", "4003"]);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 0);
    // A step that is ahead by no more than the window is a replay, not a clock.
    let other = self::scene();
    other
        .shelf
        .state
        .borrow_mut()
        .accept_step(&phone, EARLIER.0 / 30 + 1);
    assert_eq!(
        other.types(&[EARLIER.1; 3]).events,
        ["1004", "2102", "2102", "2102"]
    );
}

#[test]
fn who_was_never_enrolled_is_let_by_without_a_question_where_the_service_says_so() {
    let mut scene = scene();
    scene.request.nullok = true;
    *scene.shelf.record.borrow_mut() = None;
    let login = scene.types(&[]);
    assert_eq!(
        (login.outcome, login.events),
        (LoginOutcome::Skipped, vec!["2003 no record".to_owned()])
    );
}

#[test]
fn the_account_phase_says_who_may_log_in_here_at_all() {
    type Change = fn(&mut Scene);
    let cases: [(AccountOutcome, &str, Change); 7] = [
        (AccountOutcome::Accepted, "2301", |_| {}),
        (AccountOutcome::Accepted, "2301", |scene| {
            scene.shelf.state.borrow_mut().codes.disabled = true;
        }),
        (
            AccountOutcome::Refused,
            "reason=\"unknown_user\"",
            |scene| scene.shelf.record = RefCell::new(None),
        ),
        (AccountOutcome::Refused, "reason=\"suspended\"", |scene| {
            scene.change(|record| record.suspended = "x".into());
        }),
        (
            AccountOutcome::Refused,
            "reason=\"not_approved\"",
            |scene| scene.change(|record| record.approved = false),
        ),
        (
            AccountOutcome::Refused,
            "reason=\"wrong_device\"",
            |scene| scene.change(|record| record.devices.clear()),
        ),
        (AccountOutcome::Unavailable, "4001", |scene| {
            scene.shelf.record_error = RefCell::new(Some(disk_error()));
        }),
    ];
    for (expected, said, change) in cases {
        let mut scene = scene();
        change(&mut scene);
        let mut lines = Lines::default();
        let mut trail = AuditTrail::new(&scene.request, "9f2c41d07be1".to_owned(), 0);
        let outcome = account(&scene, &mut lines, &mut trail);
        assert_eq!(outcome, expected);
        assert!(
            lines.0.len() == 1 && lines.0[0].contains(said),
            "{:?}",
            lines.0
        );
        assert!(pass_by_account(&scene.request, &scene.config, &mut lines, &mut trail).is_none());
        scene.request.service = "cron".to_owned();
        let passed = pass_by_account(&scene.request, &scene.config, &mut lines, &mut trail);
        assert_eq!(passed, Some(AccountOutcome::Skipped));
    }
}

fn account(scene: &Scene, lines: &mut Lines, trail: &mut AuditTrail) -> AccountOutcome {
    let mut messenger = Messenger {
        post: &scene.post,
        started: Vec::new(),
    };
    let mut ports = SessionPorts {
        clock: &scene.watch,
        store: &scene.shelf,
        courier: &mut messenger,
        audit: lines,
    };
    let here = (&scene.config, Channels::of(&scene.config), here());
    check_account(&scene.request, here, &mut ports, trail)
}

#[test]
fn who_is_refused_with_a_key_is_told_as_well() {
    for (change, event) in [
        ((|_| {}) as fn(&Scene), None),
        (|s| s.change(|r| r.devices.clear()), Some("wrong_device")),
        (
            |s| s.change(|r| r.suspended = "left".to_owned()),
            Some("suspended"),
        ),
    ] {
        let scene = mailing();
        change(&scene);
        let mut trail = AuditTrail::new(&scene.request, "9f2c41d07be1".to_owned(), 0);
        let _ = account(&scene, &mut Lines::default(), &mut trail);
        let spooled = scene.post.spooled.borrow();
        let told = spooled
            .iter()
            .map(|(d, wanted)| (d.event.as_str(), *wanted));
        let expected = event.into_iter().map(|event| (event, true));
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

/// A host that mails, and alice with an address.
fn mailing() -> Scene {
    let mut scene = scene();
    scene.config = config("[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"");
    scene.change(|record| {
        record.methods.push(Method::Email);
        record.email = Some(crate::record::EmailAddress::parse("alice@example.com").unwrap());
    });
    scene
}

fn config(text: &str) -> Config {
    Config::parse(format!("version = 1\n{text}").as_bytes()).unwrap()
}

/// Types what the last document that was handed to a courier says.
fn types_what_was_sent(post: &Post) -> Answer<'_> {
    Box::new(move || {
        let started = post.started.borrow();
        let document = started.iter().rev().find(|d| !d.code.is_empty());
        Ok(Box::leak(
            document.unwrap().code.to_string().into_boxed_str(),
        ))
    })
}

fn prompts(login: &Scenes) -> Vec<&str> {
    login
        .prompts
        .iter()
        .map(|(text, _)| text.as_str())
        .collect()
}

/// The prompt with the reference taken out, and the reference.
fn reference(prompt: &str) -> (String, &str) {
    let (before, rest) = prompt.split_once("(ref ").unwrap();
    let (reference, after) = rest.split_once(')').unwrap();
    (format!("{before}(ref){after}"), reference)
}

const AFTER_ENTER: &str = "Code sent (ref). Verification code (Enter for another): ";

#[test]
fn enter_has_a_code_sent_that_lets_in_once() {
    let scene = mailing();
    let login = scene.play(vec![says(""), types_what_was_sent(&scene.post)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "1001", "2001", "1002 ended"]);
    let prompts = prompts(&login);
    assert_eq!(prompts[0], "Verification code (Enter to have one sent): ");
    let started = scene.post.started.borrow();
    assert_eq!(
        reference(prompts[1]),
        (AFTER_ENTER.to_owned(), started[0].reference.as_str())
    );
    let document = &started[0];
    assert_eq!(
        (
            document.to.as_str(),
            document.service.as_str(),
            document.from.as_str()
        ),
        ("alice@example.com", "sshd", "203.0.113.7")
    );
    assert_eq!(
        (
            document.device.as_str(),
            document.lifetime,
            document.login.as_str()
        ),
        ("here", 300, "9f2c41d07be1")
    );
    assert!(login.lines[1].contains("method=email") && login.lines[1].contains("detail=\"ref "));
    assert!(!login.lines.iter().any(|line| line.contains(document.code.as_str()) || line.contains("alice@example.com")));
    drop(started);
    let again = scene.play(vec![
        types_what_was_sent(&scene.post),
        says("000000"),
        says("000000"),
    ]);
    assert_eq!(again.outcome, LoginOutcome::Refused);
    assert_eq!(again.events[1], "2101");
}

#[test]
fn a_sent_code_is_good_on_a_new_connection_and_only_for_who_asked() {
    for (change, is_good) in [
        ((|_| {}) as fn(&mut Scene), true),
        (|scene| scene.request.service = "su".to_owned(), false),
        (
            |scene| scene.request.remote_host = RemoteHost::parse("203.0.113.8"),
            false,
        ),
        (|scene| scene.request.remote_host = None, false),
        (
            |scene| {
                scene.change(|r| {
                    r.email = Some(crate::record::EmailAddress::parse("b@example.com").unwrap());
                });
            },
            false,
        ),
        (
            |scene| scene.change(|r| r.methods = vec![Method::App]),
            false,
        ),
        (|scene| scene.watch.0.set(EARLIER.0 + 299), true),
    ] {
        let mut scene = mailing();
        let hangs_up: Answer<'_> = Box::new(|| Err(PromptError::Failed));
        let first = scene.play(vec![says(""), hangs_up]);
        assert_eq!(first.outcome, LoginOutcome::ConversationFailed);
        scene.config.prompt.tries = crate::config::Count::new(1).unwrap();
        change(&mut scene);
        let outcome = scene.play(vec![types_what_was_sent(&scene.post)]).outcome;
        assert_eq!(outcome == LoginOutcome::Accepted, is_good);
    }
}

#[test]
fn a_sent_code_that_comes_too_late_is_expired_and_charged() {
    let scene = mailing();
    let late: Answer<'_> = Box::new(|| {
        scene.watch.0.set(EARLIER.0 + 300);
        types_what_was_sent(&scene.post)()
    });
    let login = scene.play(vec![
        says(""),
        late,
        types_what_was_sent(&scene.post),
        says("000000"),
    ]);
    assert_eq!(login.events[..4], ["1004", "1001", "2103", "2101"]);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 3);
}

#[test]
fn another_code_voids_the_one_before_and_forgives_nothing() {
    let scene = mailing();
    let first_code = || -> Answer<'_> {
        Box::new(|| {
            let code = scene.post.started.borrow()[0].code.to_string();
            Ok(Box::leak(code.into_boxed_str()))
        })
    };
    let login = scene.play(vec![
        says("000000"),
        says(""),
        says(""),
        first_code(),
        types_what_was_sent(&scene.post),
    ]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(
        login.events,
        [
            "1004",
            "2101",
            "1001",
            "1001",
            "2101",
            "2001",
            "1002 ended",
            "1002 ended"
        ]
    );
    let references: Vec<_> = prompts(&login)[2..4]
        .iter()
        .map(|prompt| reference(prompt).1.to_owned())
        .collect();
    assert_ne!(references[0], references[1]);
    // Of the failures in the minute none was taken back.
    assert_eq!(scene.shelf.state.borrow().codes.in_window, 2);
}

#[test]
fn of_many_wishes_three_are_granted_and_the_last_code_stays_good() {
    let scene = mailing();
    let mut answers: Vec<Answer<'_>> = (0..3).map(|_| says("")).collect();
    // These use up prompts: three are free.
    answers.push(says(""));
    answers.push(says(""));
    answers.push(types_what_was_sent(&scene.post));
    let login = scene.play(answers);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    let sent = login.events.iter().filter(|event| *event == "1001").count();
    let throttled = login.events.iter().filter(|event| *event == "1003").count();
    assert_eq!((sent, throttled), (3, 2));
    // Nobody can tell from the process that was started, or not.
    let kinds: Vec<_> = scene
        .post
        .started
        .borrow()
        .iter()
        .map(|d| d.kind.as_str())
        .collect();
    assert_eq!(kinds, ["code", "code", "code", "nothing", "nothing"]);
    assert!(
        prompts(&login)[1..]
            .iter()
            .all(|prompt| reference(prompt).0 == AFTER_ENTER)
    );
}

#[test]
fn a_hundred_wishes_in_a_minute_are_three_mails() {
    let scene = mailing();
    for _ in 0..34 {
        let hangs_up: Answer<'_> = Box::new(|| Err(PromptError::Failed));
        let _ = scene.play(vec![says(""), says(""), says(""), hangs_up]);
    }
    let started = scene.post.started.borrow();
    assert_eq!(started.iter().filter(|d| !d.code.is_empty()).count(), 3);
    assert_eq!(started.len(), 102);
}

#[test]
fn a_code_is_sent_at_once_where_the_host_says_so() {
    let mut scene = mailing();
    scene.config.prompt.first = First::Send;
    let login = scene.play(vec![types_what_was_sent(&scene.post)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(reference(prompts(&login)[0]).0, AFTER_ENTER);
}

#[test]
fn a_method_can_be_asked_for_by_its_name() {
    let mut scene = mailing();
    scene.config = config(
        "[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"\n[courier.command]\nrun = [\"/bin/true\"]",
    );
    scene.change(|record| record.methods.push(Method::Command));
    let login = scene.play(vec![
        says("Command"),
        says("email"),
        types_what_was_sent(&scene.post),
    ]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    let channels: Vec<_> = scene
        .post
        .started
        .borrow()
        .iter()
        .map(|d| d.channel)
        .collect();
    assert_eq!(channels, [Method::Command, Method::Email]);
    // Not delivered here: an answer like any other.
    let login = mailing().types(&["telegram", "command", "000000"]);
    assert_eq!(login.events[1..3], ["2101 not_a_code", "2101 not_a_code"]);
}

#[test]
fn who_may_not_have_a_code_sees_what_everybody_sees() {
    type Change = fn(&mut Scene);
    let cases: [(Change, &str); 8] = [
        (|_| {}, "1001"),
        (|s| *s.shelf.record.borrow_mut() = None, "2106"),
        (|s| s.request.account = None, "2106"),
        (|s| s.change(|r| r.email = None), "1002 no_address"),
        (|s| s.change(|r| r.suspended = "left".to_owned()), "2109"),
        (|s| s.change(|r| r.devices.clear()), "2105"),
        (|s| s.shelf.state.borrow_mut().codes.disabled = true, "2203"),
        (|s| s.post.is_broken.set(true), "1002 not_started"),
    ];
    for (change, event) in cases {
        let mut scene = mailing();
        change(&mut scene);
        let login = scene.types(&["", "000000", "email", "abcde"]);
        assert_eq!(login.outcome, LoginOutcome::Refused);
        assert_eq!(login.events[1], event);
        let seen: Vec<_> = prompts(&login)[1..]
            .iter()
            .map(|prompt| reference(prompt).0)
            .collect();
        assert_eq!(seen, [AFTER_ENTER; 3], "{event}");
        let is_broken = scene.post.is_broken.get();
        let started = scene.post.started.borrow();
        assert_eq!(started.len(), if is_broken { 0 } else { 3 }, "{event}");
        let codes = started.iter().filter(|d| !d.code.is_empty()).count();
        assert_eq!(codes, if event == "1001" { 2 } else { 0 }, "{event}");
    }
}

#[test]
fn what_sshd_hides_looks_like_what_it_hides() {
    const DUMMY: &str = "\x08\n\r\x7fINCORRECT";
    let all = "[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"\n[courier.command]\nrun = [\"/bin/true\"]";
    for typed in [
        "email", "abcde", "command", "1234567", "000000", "abcd", "x", "",
    ] {
        let play = |is_hidden: bool| {
            let mut scene = mailing();
            scene.config = config(all);
            if is_hidden {
                *scene.shelf.record.borrow_mut() = None;
            }
            let hide = |text: &'static str| {
                if is_hidden {
                    &DUMMY[..text.len()]
                } else {
                    text
                }
            };
            let mut answers = vec![
                says(hide(typed)),
                says(hide("000000")),
                says(hide("000000")),
            ];
            if typed.is_empty() {
                answers.push(says(hide("000000")));
            }
            let login = scene.play(answers);
            let texts: Vec<_> = prompts(&login)
                .into_iter()
                .map(|prompt| {
                    if prompt.contains("(ref ") {
                        reference(prompt).0
                    } else {
                        prompt.to_owned()
                    }
                })
                .collect();
            // What is done for it, too: processes, transactions, notices or what takes as long.
            let work = (
                scene.post.started.borrow().len(),
                scene.shelf.transactions.borrow().len(),
                scene.post.spooled.borrow().len(),
            );
            (texts, work)
        };
        assert_eq!(play(false), play(true), "{typed:?}");
    }
}

#[test]
fn what_came_of_a_delivery_is_said_when_it_is_known() {
    let scene = mailing();
    scene
        .post
        .reports
        .borrow_mut()
        .push_back(Report::parse("retry smtp timeout while connecting").unwrap());
    scene
        .post
        .reports
        .borrow_mut()
        .push_back(Report::parse("accepted smtp 250 OK").unwrap());
    let login = scene.play(vec![says(""), says(""), types_what_was_sent(&scene.post)]);
    assert_eq!(
        login.events,
        ["1004", "1001", "1002 timeout", "1001", "2001"]
    );
    assert!(
        login.lines[2].contains("method=email")
            && login.lines[2].ends_with("detail=\"smtp: while connecting\"")
    );
    // The login goes on by other ways.
    let scene = mailing();
    scene.post.is_broken.set(true);
    assert_eq!(
        scene.types(&["", EARLIER.1]).outcome,
        LoginOutcome::Accepted
    );
}

#[test]
fn guesses_at_a_sent_code_are_charged_whatever_is_the_matter_with_the_apps() {
    for damage in [
        (|s: &Scene| s.change(|r| r.apps[0].secret = "sealed:1:00000000:00".to_owned()))
            as fn(&Scene),
        |s| s.watch.0.set(EARLIER.0 - 100_000),
    ] {
        let scene = mailing();
        assert_eq!(scene.types(&[EARLIER.1]).outcome, LoginOutcome::Accepted);
        damage(&scene);
        let login = scene.play(vec![
            says(""),
            says("000000"),
            types_what_was_sent(&scene.post),
        ]);
        assert_eq!(login.outcome, LoginOutcome::Accepted, "{:?}", login.events);
        assert_eq!(login.events[2], "2101");
        assert_eq!(scene.shelf.state.borrow().codes.in_window, 1);
    }
}

#[test]
fn of_failures_the_user_is_told_and_of_others_it_takes_as_long() {
    let scene = mailing();
    let _ = scene.types(&["000000", "12", EARLIER.1]);
    let spooled = scene.post.spooled.borrow();
    let seen: Vec<_> = spooled
        .iter()
        .map(|(d, wanted)| (d.event.as_str(), *wanted))
        .collect();
    assert_eq!(seen, [("bad_code", true), ("", false)]);
    let notice = &spooled[0].0;
    assert_eq!(
        (
            notice.to.as_str(),
            notice.from.as_str(),
            notice.user.as_str(),
            notice.time
        ),
        ("alice@example.com", "203.0.113.7", "alice", EARLIER.0)
    );
    // Nobody of that name: as much work, and nothing kept.
    let stranger = mailing();
    *stranger.shelf.record.borrow_mut() = None;
    let _ = stranger.types(&["000000"; 3]);
    let seen: Vec<_> = stranger
        .post
        .spooled
        .borrow()
        .iter()
        .map(|(_, wanted)| *wanted)
        .collect();
    assert_eq!(seen, [false; 3]);
    // A host that delivers nothing keeps nothing.
    let quiet = self::scene();
    let _ = quiet.types(&["000000"; 3]);
    assert!(quiet.post.spooled.borrow().is_empty());
}

#[test]
fn a_lock_is_what_a_notice_tells_rather_than_the_code_that_led_to_it() {
    let scene = mailing();
    scene.shelf.state.borrow_mut().codes.in_row = 9;
    let login = scene.types(&["000000"; 3]);
    assert_eq!(login.events[..3], ["1004", "2101", "2204"]);
    let seen: Vec<_> = scene
        .post
        .spooled
        .borrow()
        .iter()
        .map(|(d, _)| d.event.clone())
        .collect();
    assert_eq!(
        seen,
        [
            "became_locked",
            "refused_while_locked",
            "refused_while_locked"
        ]
    );
}

#[test]
fn a_notice_that_can_not_be_kept_is_said_and_stops_nobody() {
    let scene = mailing();
    scene.post.is_full.set(true);
    let login = scene.types(&["000000", EARLIER.1]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2101", "5001 spool_full", "2001"]);
}

fn session(scene: &Scene) -> Vec<Document> {
    session_by(scene, "app")
}

/// What is told of a session whose login the environment says was by a method.
fn session_by(scene: &Scene, method: &str) -> Vec<Document> {
    let mut messenger = Messenger {
        post: &scene.post,
        started: Vec::new(),
    };
    let mut lines = Lines::default();
    let mut ports = SessionPorts {
        clock: &scene.watch,
        store: &scene.shelf,
        courier: &mut messenger,
        audit: &mut lines,
    };
    let mut trail = AuditTrail::new(&scene.request, "9f2c41d07be1".to_owned(), 3);
    trail.got_in_by(method, if method == "app" { "phone" } else { "" });
    let here = (&scene.config, Channels::of(&scene.config), here());
    open_session(&scene.request, here, &mut ports, &mut trail);
    assert!(lines.0[0].contains("event=session_opened"));
    scene
        .post
        .spooled
        .borrow_mut()
        .drain(..)
        .map(|(document, wanted)| {
            assert!(wanted);
            document
        })
        .collect()
}

#[test]
fn a_login_is_told_to_the_user() {
    let scene = mailing();
    let notices = session(&scene);
    assert_eq!(notices.len(), 1);
    let notice = &notices[0];
    assert_eq!(
        (notice.kind, notice.method.as_str(), notice.app.as_str()),
        (courier::Kind::Login, "app", "phone")
    );
    assert_eq!(
        (notice.device.as_str(), notice.from.as_str()),
        ("here", "203.0.113.7")
    );
}

#[test]
fn a_login_is_told_as_often_as_the_host_says() {
    let mail = "[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n[notices]\non_login = ";
    let mut scene = mailing();
    scene.config = config(&format!("{mail}\"never\""));
    assert_eq!(session(&scene).len(), 0);
    scene.config = config(&format!("{mail}\"new_address\""));
    assert_eq!((session(&scene).len(), session(&scene).len()), (1, 0));
    scene.request.remote_host = None;
    assert_eq!((session(&scene).len(), session(&scene).len()), (1, 0));
    // Nobody to be told, and nowhere to tell it.
    scene.config = config(&format!("{mail}\"always\""));
    scene.change(|record| record.email = None);
    assert_eq!(session(&scene).len(), 0);
    *scene.shelf.record.borrow_mut() = None;
    assert_eq!(session(&scene).len(), 0);
    assert_eq!(session(&self::scene()).len(), 0);
}

#[test]
fn a_lock_stops_codes_that_were_sent_as_well() {
    type Hold = fn(&mut crate::throttle::Failures, u64);
    let holds: [(Hold, &str); 3] = [
        (|f, now| f.locked_at = Some(now), "2202"),
        (|f, _| f.disabled = true, "2203"),
        (
            |f, now| (f.in_window, f.window_opened) = (5, Some(now)),
            "2201",
        ),
    ];
    for (hold, event) in holds {
        let scene = mailing();
        let held: Answer<'_> = Box::new(|| {
            let now = scene.shelf.state.borrow().clock.elapsed_ms;
            hold(&mut scene.shelf.state.borrow_mut().codes, now);
            types_what_was_sent(&scene.post)()
        });
        let login = scene.play(vec![says(""), held, says("000000"), says("000000")]);
        assert_eq!(login.outcome, LoginOutcome::Refused, "{event}");
        assert_eq!(login.events[2], event);
    }
}

#[test]
fn a_notice_names_each_kind_of_failure_and_none_that_was_not_looked_at() {
    let told = |scene: &Scene| -> Vec<String> {
        let spooled = scene.post.spooled.borrow();
        let wanted = spooled.iter().filter(|(_, wanted)| *wanted);
        wanted.map(|(notice, _)| notice.event.clone()).collect()
    };
    let replay = mailing();
    let _ = replay.types(&[EARLIER.1]);
    let _ = replay.types(&[EARLIER.1; 3]);
    assert_eq!(told(&replay), ["replayed"; 3]);
    let elsewhere = mailing();
    elsewhere.change(|record| record.devices.clear());
    let _ = elsewhere.types(&["000000"; 3]);
    assert_eq!(told(&elsewhere), ["wrong_device"; 3]);
    let late = mailing();
    let too_late: Answer<'_> = Box::new(|| {
        late.watch.0.set(EARLIER.0 + 300);
        types_what_was_sent(&late.post)()
    });
    let _ = late.play(vec![says(""), too_late, says("x"), says("x")]);
    assert_eq!(told(&late), ["expired"]);
    let throttled = mailing();
    for _ in 0..3 {
        let _ = throttled.types(&["000000"; 3]);
    }
    assert_eq!(told(&throttled), ["bad_code"; 5]);
}

#[test]
fn administrators_are_told_where_mail_goes_out_and_the_user_has_no_address() {
    let admins = "[notices]\nadmins = [\"sec@example.com\"]\n";
    let mail = "[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n";
    let command = "[courier.command]\nrun = [\"/bin/true\"]\n";
    for (channels, is_told) in [(mail, true), (command, false)] {
        let mut scene = mailing();
        scene.config = config(&format!("{channels}{admins}"));
        scene.change(|record| record.email = None);
        let _ = scene.types(&["000000"; 3]);
        let spooled = scene.post.spooled.borrow();
        assert_eq!(spooled[0].1, is_told);
        assert_eq!(spooled[0].0.admins.len(), usize::from(is_told));
    }
}

#[test]
fn what_is_sent_goes_by_the_first_method_in_the_length_and_for_the_time_that_are_set() {
    let mut scene = mailing();
    scene.config = config(
        "[code]\ndigits = 8\nlifetime = \"2m\"\n[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n\
         [courier.command]\nrun = [\"/bin/true\"]\n",
    );
    scene.change(|record| record.methods = vec![Method::App, Method::Command, Method::Email]);
    scene.request.tty = Some("ssh".to_owned());
    let login = scene.play(vec![says(""), types_what_was_sent(&scene.post)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    let sent = &scene.post.started.borrow()[0];
    assert_eq!((sent.channel, sent.code.len()), (Method::Command, 8));
    assert_eq!((sent.lifetime, sent.tty.as_str()), (120, "ssh"));
}

#[test]
fn neither_asking_nor_a_login_takes_back_what_was_counted() {
    let scene = mailing();
    let hangs_up: Answer<'_> = Box::new(|| Err(PromptError::Failed));
    let _ = scene.play(vec![says("000000"), says(""), hangs_up]);
    assert_eq!(scene.shelf.state.borrow().codes.in_row, 1);
    let login = scene.play(vec![types_what_was_sent(&scene.post)]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(scene.shelf.state.borrow().sends.in_window, 1);
    let again = scene.play(vec![
        says(""),
        says(""),
        says(""),
        says("x"),
        says("x"),
        says("x"),
    ]);
    let sent = again.events.iter().filter(|event| *event == "1001").count();
    assert_eq!(sent, 2);
}

#[test]
fn enter_is_not_free_for_ever() {
    let scene = mailing();
    // Three are free, three use up the prompts: a seventh is not asked for.
    let login = scene.play((0..6).map(|_| says("")).collect());
    assert_eq!(login.outcome, LoginOutcome::Refused);
    assert_eq!(login.prompts.len(), 6);
}

#[test]
fn a_user_who_can_not_be_looked_up_among_the_told_is_told() {
    let mut scene = mailing();
    scene.config = config(
        "[courier.smtp]\nhost = \"m\"\nfrom = \"a@example.com\"\n[notices]\non_login = \"new_address\"",
    );
    scene.shelf.transaction_error = RefCell::new(Some(disk_error()));
    assert_eq!((session(&scene).len(), session(&scene).len()), (1, 1));
    // Nor is anybody noted as told who was not.
    scene.shelf.transaction_error = RefCell::new(None);
    scene.post.is_full.set(true);
    assert_eq!(session(&scene).len(), 0);
    scene.post.is_full.set(false);
    assert_eq!((session(&scene).len(), session(&scene).len()), (1, 0));
}

#[test]
fn a_code_that_can_not_be_made_since_the_state_is_busy_starts_a_courier_all_the_same() {
    let mut scene = mailing();
    scene.shelf.transaction_error =
        RefCell::new(Some(StoreError::Block(BlockError::Busy { holder: None })));
    let hangs_up: Answer<'_> = Box::new(|| Err(PromptError::Failed));
    let login = scene.play(vec![says(""), hangs_up]);
    assert_eq!(login.events[1], "2206");
    assert_eq!(scene.post.started.borrow()[0].kind, Kind::Nothing);
}
