use super::*;
use crate::record::Method;

struct Place {
    dir: tempfile::TempDir,
    store: FileStore,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::create(dir.path(), Owner::effective_user(), &[]).unwrap();
    Place { dir, store }
}

fn alice() -> UserName {
    UserName::parse("alice").unwrap()
}

impl Place {
    fn add(&self, user: &UserName) {
        self.store
            .change_record::<(), StoreError>(user, |_| {
                Ok((Some(UserRecord::new(user.clone())), ()))
            })
            .unwrap();
    }

    fn charge(&self, user: &UserName) -> Result<(), StoreError> {
        self.store
            .transaction(Subject::User(user), &mut |_, state| state.codes.in_row += 1)
    }

    fn in_row(&self, user: &UserName) -> u32 {
        self.store.state(user).unwrap().unwrap().state.codes.in_row
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("%decoy"))
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_user_is_two_files_and_leaves_none() {
    let place = place();
    place.add(&alice());
    assert_eq!(
        (place.files("users"), place.files("state")),
        (vec!["alice.toml".into()], vec!["alice".into()])
    );
    assert_eq!(place.store.users().unwrap(), [alice()]);
    assert!(place.store.remove(&alice()).unwrap());
    assert!(!place.store.remove(&alice()).unwrap());
    assert_eq!(
        (place.files("users"), place.files("state")),
        (Vec::new(), Vec::new())
    );
}

#[test]
fn a_transaction_is_on_disk_when_it_returns() {
    let place = place();
    place.add(&alice());
    for count in 1..=5 {
        place.charge(&alice()).unwrap();
        assert_eq!(place.in_row(&alice()), count);
    }
}

#[test]
fn a_login_makes_the_state_that_is_missing_but_none_for_nobody() {
    let place = place();
    place.add(&alice());
    std::fs::remove_file(place.dir.path().join("state/alice")).unwrap();
    place.charge(&alice()).unwrap();
    assert_eq!(place.in_row(&alice()), 1);
    // Removed while the prompt was open.
    place.store.remove(&alice()).unwrap();
    let mut seen = None;
    place
        .store
        .transaction(Subject::User(&alice()), &mut |record, _| {
            seen = Some(record.is_some());
        })
        .unwrap();
    assert_eq!(seen, Some(false));
    assert_eq!(place.files("state"), Vec::<String>::new());
}

#[test]
fn fifty_transactions_at_once_lose_none() {
    let place = place();
    place.add(&alice());
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| place.charge(&alice()).unwrap());
        }
    });
    assert_eq!(place.in_row(&alice()), 50);
}

#[test]
fn edits_of_records_at_once_lose_none() {
    let place = place();
    place.add(&alice());
    let methods = [
        Method::App,
        Method::Email,
        Method::Telegram,
        Method::Command,
    ];
    std::thread::scope(|scope| {
        for method in methods {
            scope.spawn({
                let store = &place.store;
                move || {
                    store
                        .change_record::<(), StoreError>(&alice(), |record| {
                            let mut record = record.unwrap();
                            record.methods.push(method);
                            Ok((Some(record), ()))
                        })
                        .unwrap();
                }
            });
        }
    });
    let record = place
        .store
        .record(Subject::User(&alice()))
        .unwrap()
        .unwrap();
    assert_eq!(record.methods.len(), 4);
}

#[test]
fn a_transaction_sees_the_record_as_it_is_now() {
    let place = place();
    place.add(&alice());
    let change = |reason: &str| {
        place
            .store
            .change_record::<(), StoreError>(&alice(), |record| {
                let mut record = record.unwrap();
                record.suspended = reason.to_owned();
                Ok((Some(record), ()))
            })
            .unwrap();
    };
    change("left");
    let mut seen = String::new();
    place
        .store
        .transaction(Subject::User(&alice()), &mut |record, _| {
            seen.clone_from(&record.unwrap().suspended);
        })
        .unwrap();
    assert_eq!(seen, "left");
}

#[test]
fn decoys_take_whatever_happens_to_them() {
    let place = place();
    let path = place.dir.path().join("state/%decoy-07");
    let run = || {
        let mut ran = false;
        place
            .store
            .transaction(Subject::Decoy(7), &mut |record, _| ran = record.is_none())
            .unwrap();
        assert!(ran);
    };
    run();
    std::fs::write(&path, "damaged").unwrap();
    run();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
    std::fs::remove_file(&path).unwrap();
    run();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    run();
    assert_eq!(place.store.record(Subject::Decoy(7)).unwrap(), None);
}

#[test]
fn a_damaged_record_or_state_is_an_error_that_names_its_place_and_stays_as_it_is() {
    let place = place();
    place.add(&alice());
    let record = place.dir.path().join("users/alice.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    for damaged in [
        "",
        "version = 2\n",
        &text[..text.len() / 2],
        &format!("{text}colour = 1\n"),
        &format!("{text}version = 1\n"),
    ] {
        std::fs::write(&record, damaged).unwrap();
        let error = place.store.record(Subject::User(&alice())).unwrap_err();
        assert!(error.is_corruption());
        assert!(error.to_string().contains("users/alice.toml:"), "{error}");
        assert_eq!(place.charge(&alice()).unwrap_err(), error);
        assert_eq!(std::fs::read_to_string(&record).unwrap(), damaged);
    }
    std::fs::write(&record, &text).unwrap();
    let state = place.dir.path().join("state/alice");
    std::fs::write(&state, "").unwrap();
    let error = place.charge(&alice()).unwrap_err();
    assert!(error.is_corruption());
    assert!(
        error
            .to_string()
            .contains("run `mfa-admin state reset NAME`"),
        "{error}"
    );
    assert_eq!(std::fs::metadata(&state).unwrap().len(), 0);
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Kept));
    place.charge(&alice()).unwrap();
}

#[test]
fn a_state_that_is_made_anew_makes_no_used_recovery_code_good_again() {
    let place = place();
    place.add(&alice());
    let (set, _) = crate::record::Recovery::generate(0).unwrap();
    place
        .store
        .change_record(&alice(), |record| {
            let mut record = record.unwrap();
            record.recovery = Some(set.clone());
            Ok::<_, StoreError>((Some(record), ()))
        })
        .unwrap();
    let left = || {
        let view = place.store.state(&alice()).unwrap().unwrap();
        view.state.codes_left(&set)
    };
    place
        .store
        .transaction(Subject::User(&alice()), &mut |_, state| {
            state.use_code(&set, 4, "9f2c41d07be1");
            state.recovery.disabled = true;
        })
        .unwrap();
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Kept));
    assert_eq!(left(), 9);
    let view = place.store.state(&alice()).unwrap().unwrap();
    assert!(view.state.is_used(&set, 4) && !view.state.recovery.disabled);
    // Nobody can tell any more which were used: as good as all.
    let state = place.dir.path().join("state/alice");
    std::fs::write(&state, "").unwrap();
    let record = place.dir.path().join("users/alice.toml");
    let text = std::fs::read(&record).unwrap();
    std::fs::write(&record, "damaged").unwrap();
    // Nor which set it was: nothing is done.
    assert!(place.store.reset_state(&alice()).is_err());
    assert_eq!(std::fs::metadata(&state).unwrap().len(), 0);
    std::fs::write(&record, text).unwrap();
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Lost));
    assert_eq!(left(), 0);
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Kept));
    assert_eq!(left(), 0);
}

#[test]
fn a_state_that_is_gone_makes_no_used_recovery_code_good_again() {
    let place = place();
    place.add(&alice());
    let (set, _) = crate::record::Recovery::generate(0).unwrap();
    let generate = |set: &crate::record::Recovery| {
        place.store.change_record(&alice(), |record| {
            let mut record = record.unwrap();
            record.recovery = Some(set.clone());
            Ok::<_, StoreError>((Some(record), ()))
        })
    };
    generate(&set).unwrap();
    let state = place.dir.path().join("state/alice");
    let left = |set| {
        let view = place.store.state(&alice()).unwrap().unwrap();
        view.state.codes_left(set)
    };
    assert_eq!(left(&set), 10);
    // Whoever makes it: a reset, a login, a change of the record.
    std::fs::remove_file(&state).unwrap();
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Lost));
    assert_eq!(left(&set), 0);
    std::fs::remove_file(&state).unwrap();
    place.charge(&alice()).unwrap();
    assert_eq!(left(&set), 0);
    std::fs::remove_file(&state).unwrap();
    generate(&set).unwrap();
    assert_eq!(left(&set), 0);
    // New ones are good.
    std::fs::remove_file(&state).unwrap();
    let (new, _) = crate::record::Recovery::generate(0).unwrap();
    generate(&new).unwrap();
    assert_eq!((left(&new), left(&set)), (10, 0));
}

#[test]
fn one_damaged_slot_makes_no_used_recovery_code_good_again() {
    let place = place();
    place.add(&alice());
    let (set, _) = crate::record::Recovery::generate(0).unwrap();
    place
        .store
        .transaction(Subject::User(&alice()), &mut |_, state| {
            state.use_code(&set, 4, "9f2c41d07be1");
        })
        .unwrap();
    // As a login does it: once more, for the other slot.
    place
        .store
        .transaction(Subject::User(&alice()), &mut |_, _| {})
        .unwrap();
    let path = place.dir.path().join("state/alice");
    let sound = std::fs::read(&path).unwrap();
    for at in [100, 2148] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let view = place.store.state(&alice()).unwrap().unwrap();
        assert!(view.has_bad_slot && view.state.is_used(&set, 4), "{at}");
    }
}

#[test]
fn a_record_with_keys_of_a_newer_release_is_read_but_not_written() {
    let place = place();
    place.add(&alice());
    let path = place.dir.path().join("users/alice.toml");
    let text = format!("{}colour = 1\n", std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, &text).unwrap();
    let store = FileStore::open(
        place.dir.path(),
        Owner::effective_user(),
        &["colour".to_owned()],
    )
    .unwrap();
    assert!(store.record(Subject::User(&alice())).unwrap().is_some());
    let error = store
        .change_record::<(), StoreError>(&alice(), |record| Ok((record, ())))
        .unwrap_err();
    assert!(matches!(error, StoreError::NewerKeys(_)));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    let place = place();
    place.add(&alice());
    let before = std::fs::read(place.dir.path().join("users/alice.toml")).unwrap();
    let refused = place.store.change_record::<(), StoreError>(&alice(), |_| {
        Err(StoreError::Unwritable("no".to_owned()))
    });
    assert!(refused.is_err());
    let none = place
        .store
        .change_record::<u8, StoreError>(&alice(), |_| Ok((None, 7)));
    assert_eq!(none, Ok(7));
    assert_eq!(
        std::fs::read(place.dir.path().join("users/alice.toml")).unwrap(),
        before
    );
}

#[test]
fn files_that_are_none_of_ours_are_found_and_passed_over() {
    let place = place();
    place.add(&alice());
    for name in [
        "users/%new-bob",
        "users/README",
        "users/Bob.toml",
        "state/.x",
    ] {
        std::fs::write(place.dir.path().join(name), "").unwrap();
    }
    assert_eq!(place.store.users().unwrap(), [alice()]);
    let mut strangers: Vec<String> = place
        .store
        .strangers()
        .unwrap()
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    strangers.sort();
    assert_eq!(strangers, ["%new-bob", ".x", "Bob.toml", "README"]);
}

#[test]
fn a_state_that_says_what_this_release_does_not_know_is_an_error_and_stays_as_it_is() {
    let place = place();
    place.add(&alice());
    place.charge(&alice()).unwrap();
    let good = encode(&place.store.state(&alice()).unwrap().unwrap().state).unwrap();
    let folder = Folder::open(&place.dir.path().join("state"), Owner::effective_user()).unwrap();
    let path = place.dir.path().join("state/alice");
    for (what, payload) in [
        (
            "newer version",
            good.replacen("version = 1", "version = 2", 1),
        ),
        ("unknown key", format!("colour = 1\n{good}")),
        ("duplicate key", format!("version = 1\n{good}")),
        ("not TOML", "nonsense".to_owned()),
        ("empty", String::new()),
    ] {
        // The checksum holds: somebody's other release has written it.
        folder
            .lock_block("alice", PATIENCE)
            .unwrap()
            .reset(payload.as_bytes())
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = place.charge(&alice()).unwrap_err();
        assert!(error.is_corruption(), "{what}: {error}");
        assert!(
            error.to_string().contains("state/alice:"),
            "{what}: {error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before, "{what}");
    }
    // A listed key is passed over where a state is only looked at. A login would lose it, and what it
    // stands for with it: it is refused.
    folder
        .lock_block("alice", PATIENCE)
        .unwrap()
        .reset(format!("colour = 1\n{good}").as_bytes())
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let listed = ["colour".to_owned()];
    let store = FileStore::open(place.dir.path(), Owner::effective_user(), &listed).unwrap();
    assert_eq!(
        store.state(&alice()).unwrap().unwrap().state.codes.in_row,
        1
    );
    let error = store
        .transaction(Subject::User(&alice()), &mut |_, _| {})
        .unwrap_err();
    assert!(matches!(error, StoreError::NewerKeys(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_state_that_is_made_anew_or_lost_makes_no_used_code_of_a_token_good_again() {
    use crate::record::{AppId, Digits, Label, Token, datetime};
    let place = place();
    place.add(&alice());
    let token = Token {
        id: AppId::parse("000000aa").unwrap(),
        label: Label::parse("key ring").unwrap(),
        secret: String::new(),
        digits: Digits::parse(6).unwrap(),
        counter: 0,
        enrolled: datetime(0),
        disabled: false,
    };
    place
        .store
        .change_record(&alice(), |record| {
            let mut record = record.unwrap();
            record.tokens = vec![token.clone()];
            Ok::<_, StoreError>((Some(record), ()))
        })
        .unwrap();
    let state = || place.store.state(&alice()).unwrap().unwrap().state;
    place
        .store
        .transaction(Subject::User(&alice()), &mut |_, state| {
            state.use_token(&token.id, 7, 1);
            state.resync = state.tokens.first().cloned();
        })
        .unwrap();
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Kept));
    assert_eq!(state().token(&token.id).unwrap().next, 7);
    assert_eq!(state().resync, None);
    // Nobody can tell any more where it stood: it is in no state until it is resynchronised.
    let path = place.dir.path().join("state/alice");
    std::fs::write(&path, "").unwrap();
    assert_eq!(place.store.reset_state(&alice()), Ok(UsedMarks::Lost));
    assert_eq!(state().token(&token.id), None);
    std::fs::remove_file(&path).unwrap();
    place.charge(&alice()).unwrap();
    assert_eq!(state().token(&token.id), None);
}

#[test]
fn a_copy_of_somebodys_record_is_no_record_of_another_user_whoever_was_read_before() {
    let place = place();
    place.add(&alice());
    let bob = UserName::parse("bob").unwrap();
    let users = place.dir.path().join("users");
    std::fs::copy(users.join("alice.toml"), users.join("bob.toml")).unwrap();
    for _ in 0..2 {
        assert!(place.store.record(Subject::User(&alice())).is_ok());
        let error = place.store.record(Subject::User(&bob)).unwrap_err();
        assert!(error.is_corruption(), "{error}");
    }
}

#[test]
fn a_record_that_no_login_could_read_is_not_written() {
    let place = place();
    place.add(&alice());
    let before = place.store.record(Subject::User(&alice())).unwrap();
    let id = |number| crate::record::AppId::parse(format!("{number:08x}")).unwrap();
    let too_many = |record: &mut UserRecord| {
        for number in 0..=crate::record::MAX_REMOVED_TOKENS {
            record.removed_tokens.push(crate::record::RemovedToken {
                id: id(number),
                counter: 0,
                unknown: false,
            });
        }
    };
    let too_far = |record: &mut UserRecord| record.remember_removed(&id(1), Some(u64::MAX));
    let another = |record: &mut UserRecord| record.user = UserName::parse("bob").unwrap();
    let edits: [&dyn Fn(&mut UserRecord); 3] = [&too_many, &too_far, &another];
    for (place_of_edit, edit) in edits.iter().enumerate() {
        let changed = place
            .store
            .change_record::<(), StoreError>(&alice(), |present| {
                let mut record = present.unwrap();
                edit(&mut record);
                Ok((Some(record), ()))
            });
        assert!(changed.is_err(), "{place_of_edit}");
        assert_eq!(place.store.record(Subject::User(&alice())).unwrap(), before);
    }
}

#[test]
fn who_is_removed_leaves_nothing_of_an_edit_that_was_killed() {
    let place = place();
    place.add(&alice());
    let left = place.dir.path().join("users/%new-alice");
    std::fs::write(&left, "half of a record").unwrap();
    assert!(place.store.remove(&alice()).unwrap());
    assert!(place.files("users").is_empty() && place.files("state").is_empty());
}

#[test]
fn what_is_read_in_the_place_of_what_is_missing_reads_well() {
    let decoy = UserName::parse("decoy").unwrap();
    // An error ends a reading early, and shows in time.
    let read = |text: &str| {
        UserRecord::parse(text.as_bytes(), &decoy, &[])
            .unwrap()
            .record
    };
    let record = read(super::DECOY_RECORD);
    assert!(record.has_usable_app() && record.recovery.is_none());
    assert!(read(super::DECOY_APP).apps.len() == 1);
    let set = read(super::DECOY_RECOVERY).recovery.unwrap();
    let (own, _) = crate::record::Recovery::generate(0).unwrap();
    assert_eq!(set.hashes.len(), own.hashes.len());
    assert_eq!(set.generated.is_some(), own.generated.is_some());
}
