//! Logins with the emergency code, and the account phase after it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::emergency::FILE_NAME;
use crate::recovery::HASHES;
use crate::secure_file::Owner;

/// The right shape, and not the code.
const WRONG: &str = "ZZZZ-ZZZZ-ZZZZZ";

/// A console at which the host can check nobody.
struct Console {
    folder: tempfile::TempDir,
    code: &'static str,
    request: LoginRequest,
}

impl Console {
    fn new() -> Self {
        let (code, salt, hash) = crate::recovery::single().unwrap();
        let console = Self {
            folder: tempfile::tempdir().unwrap(),
            code: Box::leak(code.shown().to_string().into_boxed_str()),
            request: LoginRequest {
                asked_name: "root".to_owned(),
                service: "login".to_owned(),
                remote_host: None,
                tty: Some("/dev/tty1".to_owned()),
                ..scene().request
            },
        };
        console.write(&format!(
            "version = 1\nusers = [\"root\"]\nservices = [\"login\"]\nttys = [\"tty1\"]\n\
             generated = 2026-11-20T09:00:00Z\nsalt = \"{salt}\"\nhash = \"{hash}\"\n"
        ));
        console
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILE_NAME)
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn glass<'a>(&self, path: &'a std::path::Path) -> Option<BreakGlass<'a>> {
        BreakGlass::find(path, Owner::effective_user(), &self.request).unwrap()
    }

    fn types(&self, answers: &[&'static str]) -> Scenes {
        self.play(answers.iter().map(|answer| says(answer)).collect())
    }

    fn play(&self, answers: Vec<Answer<'_>>) -> Scenes {
        let mut person = Person {
            answers: answers.into(),
            prompts: Vec::new(),
        };
        let mut lines = Lines::default();
        let mut trail = AuditTrail::new(&self.request, "9f2c41d07be1".to_owned(), 1);
        let path = self.path();
        let glass = self.glass(&path).expect("this is asked for here");
        let watch = Watch(Cell::new(1_795_168_800));
        let outcome = glass.ask(&self.request, &mut person, &watch, (&mut lines, &mut trail));
        assert!(person.answers.is_empty(), "answers were not asked for");
        let is_emergency = outcome == LoginOutcome::Accepted;
        assert_eq!(
            trail.used_method().is_some_and(|(by, _)| by == "emergency"),
            is_emergency
        );
        let events = lines.0.iter().filter_map(|line| {
            let id = line.split("id=MFA-").nth(1)?.get(..4)?;
            let reason = line.split("reason=\"").nth(1).unwrap_or_default();
            let reason = reason.split('"').next().unwrap();
            Some(format!("{id} {reason}").trim().to_owned())
        });
        Scenes {
            outcome,
            prompts: person.prompts,
            events: events.collect(),
            lines: lines.0,
        }
    }
}

#[test]
fn the_code_lets_in_once_and_is_marked_before() {
    let console = Console::new();
    let before = console.text();
    let login = console.types(&[console.code]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.prompts, [("Emergency code: ".to_owned(), false)]);
    assert_eq!(login.events, ["1004", "2009"]);
    assert!(
        login.lines[1]
            .contains("event=accepted_with_emergency_code outcome=success user=\"alice\"")
            && login.lines[1].contains("service=login rhost=- tty=/dev/tty1")
            && login.lines[1].contains(" method=emergency app=- try=1 ")
            && login.lines[1].ends_with("detail=\"marked as used\""),
        "{}",
        login.lines[1]
    );
    assert_eq!(
        console.text(),
        format!("{before}used = 2026-11-20T10:00:00Z\n")
    );
    // It is asked for all the same, so that the log tells who has a used one.
    let again = console.types(&[console.code; 3]);
    assert_eq!(again.outcome, LoginOutcome::Unavailable);
    assert_eq!(
        again.events,
        ["1004", "2112 used", "2112 used", "2112 used"]
    );
}

#[test]
fn a_code_that_can_not_be_marked_lets_in_all_the_same_and_each_use_says_so() {
    let console = Console::new();
    // A folder in the way of the new file, which is not removed like a file: as on a disk that is read-only.
    let in_the_way = console.folder.path().join(crate::emergency::TEMPORARY);
    fs::create_dir(&in_the_way).unwrap();
    for _ in 0..2 {
        let login = console.types(&[console.code]);
        assert_eq!(login.outcome, LoginOutcome::Accepted);
        assert!(
            login.lines[1].contains("detail=\"not marked as used, so it stays good: "),
            "{}",
            login.lines[1]
        );
    }
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(
        console.types(&[console.code]).outcome,
        LoginOutcome::Accepted
    );
    assert_eq!(
        console.types(&[console.code; 3]).outcome,
        LoginOutcome::Unavailable
    );
}

#[test]
fn what_is_not_the_code_is_refused_three_times_and_a_code_after_it_is_right() {
    let console = Console::new();
    let login = console.types(&[WRONG, "", "123456"]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert_eq!(
        login.events,
        ["1004", "2112 wrong", "2112 not_a_code", "2112 not_a_code"]
    );
    // The line that filters read, once.
    let classic = |line: &&String| line.starts_with("authentication failure;");
    assert_eq!(login.lines.iter().filter(classic).count(), 1);
    assert!(!console.text().contains("used"));
    let written = Box::leak(
        console
            .code
            .to_lowercase()
            .replace('-', " ")
            .into_boxed_str(),
    );
    let login = console.types(&[WRONG, written]);
    assert_eq!(login.outcome, LoginOutcome::Accepted);
    assert_eq!(login.events, ["1004", "2112 wrong", "2009"]);
    assert!(login.lines.iter().all(|line| !line.contains(console.code)));
}

#[test]
fn everybody_is_asked_there_and_the_code_lets_in_nobody_who_is_not_named() {
    let mut console = Console::new();
    console.request.asked_name = "alice".to_owned();
    let before = HASHES.get();
    let login = console.types(&[console.code, WRONG, console.code]);
    assert_eq!(HASHES.get() - before, 3);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert_eq!(
        login.prompts,
        vec![("Emergency code: ".to_owned(), false); 3]
    );
    assert_eq!(
        login.events,
        ["1004", "2112 not_named", "2112 wrong", "2112 not_named"]
    );
    assert!(login.lines.iter().all(|line| !line.contains("alice")));
    assert!(!console.text().contains("used"));
}

#[test]
fn who_gives_no_answer_or_becomes_somebody_else_stays_out() {
    for (error, reason) in [
        (PromptError::Failed, "2107 no_answer"),
        (PromptError::UserChanged, "2107 user_changed"),
    ] {
        let console = Console::new();
        let login = console.play(vec![Box::new(move || Err(error))]);
        assert_eq!(login.outcome, LoginOutcome::ConversationFailed);
        assert_eq!(login.events, ["1004", reason]);
    }
}

#[test]
fn a_code_that_is_replaced_while_the_prompt_is_open_is_good_no_more() {
    let (console, other) = (Console::new(), Console::new());
    let code = console.code;
    let replaced: Answer<'_> = Box::new(|| {
        console.write(&other.text());
        Ok(code)
    });
    let login = console.play(vec![replaced, says(WRONG), says(WRONG)]);
    assert_eq!(login.outcome, LoginOutcome::Unavailable);
    assert_eq!(login.events[1], "2112 replaced");
    assert!(!console.text().contains("used"));
}

#[test]
fn what_is_taken_out_of_the_file_while_the_prompt_is_open_counts() {
    type Change = fn(&Console);
    let changes: [Change; 4] = [
        |console| fs::remove_file(console.path()).unwrap(),
        |console| console.write(&console.text().replace("[\"root\"]", "[\"daemon\"]")),
        |console| console.write(&console.text().replace("[\"tty1\"]", "[\"tty2\"]")),
        |console| console.write(&console.text().replace("[\"login\"]", "[]")),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let console = Console::new();
        let code = console.code;
        let edited: Answer<'_> = Box::new(|| {
            change(&console);
            Ok(code)
        });
        let login = console.play(vec![edited, says(code), says(code)]);
        assert_eq!(login.outcome, LoginOutcome::Unavailable, "case {number}");
        assert_eq!(login.events[1..], ["2112 replaced"; 3], "case {number}");
    }
}

#[test]
fn a_wrong_file_asks_nobody() {
    let console = Console::new();
    console.write("version = 1\nusers = [\n");
    let owner = Owner::effective_user();
    let error = BreakGlass::find(&console.path(), owner, &console.request).unwrap_err();
    assert!(error.to_string().contains("emergency.toml:"), "{error}");
    assert_eq!(error.event(), (Event::ConfigUnusable, Severity::Alert));
    fs::remove_file(console.path()).unwrap();
    assert!(console.glass(&console.path()).is_none());
}

/// A person at a console with a break-glass file.
struct AtTheConsole<'a>(Person<'a>);

impl Prompt for AtTheConsole<'_> {
    fn ask(&mut self, text: &str, echo: bool) -> Result<TypedAnswer, PromptError> {
        self.0.ask(text, echo)
    }

    fn is_password(&mut self, answer: &TypedAnswer) -> bool {
        self.0.is_password(answer)
    }

    fn can_break_glass(&mut self) -> bool {
        true
    }
}

#[test]
fn questions_that_can_have_no_right_answer_end_at_once_where_another_one_has() {
    type Damage = fn(&Scene);
    let damages: [(Damage, Vec<&'static str>); 2] = [
        // The record shows before the first question, the state after it.
        (
            |scene| *scene.shelf.record_error.borrow_mut() = Some(corrupt()),
            vec![],
        ),
        (
            |scene| *scene.shelf.transaction_error.borrow_mut() = Some(corrupt()),
            vec![EARLIER.1],
        ),
    ];
    for (damage, answers) in damages {
        let scene = scene();
        damage(&scene);
        let mut person = AtTheConsole(Person {
            answers: answers.into_iter().map(says).collect(),
            prompts: Vec::new(),
        });
        let (outcome, _) = scene.through(&mut person, &scene.shelf, run);
        assert_eq!(outcome, LoginOutcome::Unavailable);
        assert!(person.0.answers.is_empty());
    }
}

fn corrupt() -> StoreError {
    StoreError::File(FileError {
        path: PathBuf::from("/store/users/alice.toml"),
        problem: Problem::NotAFile,
    })
}

#[test]
fn after_the_emergency_code_the_account_phase_refuses_nobody_but_the_suspended() {
    type Change = fn(&Scene);
    let cases: [(Change, AccountOutcome); 5] = [
        (|_| {}, AccountOutcome::Accepted),
        (
            |scene| *scene.shelf.record.borrow_mut() = None,
            AccountOutcome::Accepted,
        ),
        (
            |scene| scene.change(|record| record.devices.clear()),
            AccountOutcome::Accepted,
        ),
        (
            |scene| *scene.shelf.record_error.borrow_mut() = Some(corrupt()),
            AccountOutcome::Accepted,
        ),
        (
            |scene| scene.change(|record| record.suspended = "left".to_owned()),
            AccountOutcome::Refused,
        ),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let scene = scene();
        change(&scene);
        for store in [Some(&scene.shelf as &dyn Store), None] {
            let expected = match store {
                Some(_) => expected,
                None => AccountOutcome::Accepted,
            };
            let mut lines = Lines::default();
            let mut trail = AuditTrail::new(&scene.request, "9f2c41d07be1".to_owned(), 0);
            let outcome = check_account_in_emergency(&scene.request, store, &mut lines, &mut trail);
            assert_eq!(outcome, expected, "case {number}");
            let last = lines.0.last().unwrap();
            let said = match expected {
                AccountOutcome::Accepted => "id=MFA-2301 event=account_accepted",
                _ => "id=MFA-2302 event=account_refused",
            };
            assert!(
                last.contains(said) && last.contains("user=\"alice\""),
                "{last}"
            );
        }
    }
}
