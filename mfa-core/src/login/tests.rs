//! Scripted logins: a person who answers from a list and complains when it is not used up, a clock that is
//! set, a store in memory. The codes are those of RFC 6238, appendix B.

use super::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::clock::{BootId, Moment};
use crate::device::AssignedDevice;
use crate::record::{Algorithm, AppId, Device, Digits, Label, Method, Period, datetime};
use crate::request::{Account, Caller, RemoteHost, UserName};
use crate::secure_file::{FileError, Problem};

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
            step(None, &mut self.decoy.borrow_mut());
            return Ok(());
        }
        self.transactions.borrow_mut().push("user");
        let mut changed = self.state.borrow().clone();
        step(self.record.borrow().as_ref(), &mut changed);
        if let Some(error) = self.transaction_error.borrow().clone() {
            return Err(error);
        }
        *self.state.borrow_mut() = changed;
        Ok(())
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

struct Scene {
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
    }
}

fn scene() -> Scene {
    let key = SealingKey::generate().unwrap();
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
        log_unknown_names: false,
        caller: Caller { uid: 0, euid: 0 },
    };
    let shelf = Shelf {
        record: RefCell::new(Some(record)),
        ..Shelf::default()
    };
    Scene {
        shelf,
        watch: Watch(Cell::new(EARLIER.0)),
        key,
        config: Config::default(),
        request,
    }
}

impl Scene {
    /// One login with these answers; the login may use fewer only where `all` is not asked for.
    fn play(&self, answers: Vec<Answer<'_>>) -> Scenes {
        let mut person = Person {
            answers: answers.into(),
            prompts: Vec::new(),
        };
        let mut lines = Lines::default();
        let mut trail = AuditTrail::new(&self.request, "9f2c41d07be1".to_owned(), 0);
        let setting = Setting {
            config: &self.config,
            device: here(),
            key: &self.key,
        };
        let mut ports = Ports {
            prompt: &mut person,
            clock: &self.watch,
            store: &self.shelf,
            audit: &mut lines,
        };
        let outcome = run(&self.request, &setting, &mut ports, &mut trail);
        assert!(
            person.answers.is_empty(),
            "{} answers were not asked for",
            person.answers.len()
        );
        let events = lines.0.iter().filter_map(|line| {
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
            lines: lines.0,
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
    // sshd's dummy in the lengths of 123456, 123 456 and something longer than itself.
    let dummies = [
        "\u{8}\n\r\u{7f}IN",
        "\u{8}\n\r\u{7f}INC",
        "\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r",
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
        let outcome = check_account(
            &scene.request,
            &scene.config,
            here(),
            &scene.shelf,
            &mut lines,
            &mut trail,
        );
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
