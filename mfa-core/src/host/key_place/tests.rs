use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::seal::SealError;
use crate::secure_file::Problem;

fn place_in(folder: &tempfile::TempDir) -> KeyPlace {
    KeyPlace::File(folder.path().join("seal.key"))
}

fn put(place: &KeyPlace, key: &SealingKey) {
    place.prepare(key).unwrap().put(owner()).unwrap();
}

fn owner() -> Owner {
    Owner::effective_user()
}

#[test]
fn a_key_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let place = place_in(&folder);
    let key = SealingKey::generate().unwrap();
    for key in [
        &key,
        &key.successor().unwrap(),
        &key.successor().unwrap().alone(),
    ] {
        put(&place, key);
        assert!(place.read(owner()).unwrap().is_same_as(key));
        let mode = fs::metadata(place.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(place.protection(owner()).unwrap(), None);
}

#[test]
fn what_is_no_key_or_not_private_or_gone_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = place_in(&folder);
    let told = || place.read(owner()).unwrap_err().to_string();
    let path = place.path().display().to_string();
    assert_eq!(told(), format!("{path}: does not exist"));
    fs::write(place.path(), "mfa-seal-key:1:0011").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(told(), format!("{path}: has mode 0640; chmod 600 it"));
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(
        told().contains("a key of 4 digits, and a sealing key has 64"),
        "{}",
        told()
    );
    fs::write(place.path(), "").unwrap();
    let HostError::Key { error, .. } = place.read(owner()).unwrap_err() else {
        panic!();
    };
    assert_eq!(error, SealError::NotAKey);
    fs::remove_dir_all(folder.path()).unwrap();
    let HostError::KeyFile(error) = place.read(owner()).unwrap_err() else {
        panic!();
    };
    assert_eq!(error.problem, Problem::Missing);
}

#[test]
fn a_key_in_use_follows_its_file_and_opens_what_it_opened() {
    let folder = tempfile::tempdir().unwrap();
    let place = place_in(&folder);
    put(&place, &SealingKey::generate().unwrap());
    let in_use = place.read(owner()).unwrap();
    let of_old = in_use.seal("alice", "p", b"x").unwrap();
    let both = in_use.successor().unwrap();
    put(&place, &both);
    let of_new = both.seal("alice", "p", b"x").unwrap();
    in_use.look_again().unwrap();
    put(&place, &both.alone());
    in_use.look_again().unwrap();
    assert!(in_use.open("alice", "p", &of_new).is_ok());
    assert!(in_use.open("alice", "p", &of_old).is_ok());
    assert!(
        place
            .read(owner())
            .unwrap()
            .open("alice", "p", &of_old)
            .is_err()
    );
    fs::remove_file(place.path()).unwrap();
    let gone = in_use.look_again().unwrap_err();
    assert!(
        gone.to_string().ends_with("seal.key: does not exist"),
        "{gone}"
    );
}
