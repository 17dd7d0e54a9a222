//! The host that the module is called on: a store with a person for each way that a login can go.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use mfa_core::device::{AssignedDevice, DeviceId};
use mfa_core::passphrase::{Cost, Hasher, Passphrase, Pepper};
use mfa_core::record::{
    Algorithm, App, AppId, Device, Digits, EmailAddress, KeptPassphrase, Label, Method, Period,
    Recovery, UserRecord, datetime,
};
use mfa_core::request::UserName;
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::{Folder, Owner};
use mfa_core::state::LoginState;

const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";
const KEY: &str =
    "mfa-seal-key:1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
/// Whoever the spool belongs to; not root.
const COURIER: u32 = 65_534;

/// The secret of a person's app, as `tests/fuzz/module/harness.c` knows it too.
fn secret(name: &str) -> Vec<u8> {
    let mut secret = b"12345678901234567890".to_vec();
    secret[..name.len()].copy_from_slice(name.as_bytes());
    secret
}

/// What a hash of a passphrase costs here: the least that a configuration may say.
const CHEAP: Cost = Cost {
    memory: 7168,
    passes: 1,
    lanes: 1,
};

/// The passphrase of a person, as `tests/fuzz/module/person.c` knows it too.
fn passphrase(name: &str) -> Passphrase {
    Passphrase::parse(format!("passphrase of {name}").as_bytes()).unwrap()
}

/// Makes the host in a folder of root's. `shim` is what libpam loads as the module.
pub fn prepare(folder: &Path, shim: &Path) {
    for name in ["lib/users", "lib/state", "credentials", "mail"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for name in ["", "lib", "lib/users", "lib/state"] {
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o700)).unwrap();
    }
    for name in ["tmp", "new", "deferred", "dead"] {
        let path = folder.join("spool").join(name);
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(COURIER), Some(COURIER)).unwrap();
    }
    fs::copy(shim, folder.join("pam_mfa.so")).unwrap();
    put(folder, "machine-id", MACHINE_ID, 0o644);
    put(folder, "seal.key", KEY, 0o600);
    put(folder, "mfa-courier", "#!/bin/false\n", 0o755);
    services(folder);
    configurations(folder);
    people(folder);
}

fn put(folder: &Path, name: &str, text: &str, mode: u32) {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

fn services(folder: &Path) {
    let module = folder.join("pam_mfa.so").display().to_string();
    let lines: Vec<String> = ["auth", "account", "session", "password"]
        .iter()
        .map(|kind| format!("{kind} required {module}\n"))
        .collect();
    for name in ["fuzz", "other"] {
        put(folder, name, &lines.concat(), 0o644);
    }
}

fn configurations(folder: &Path) {
    let shown = folder.display();
    let paths = |key: &str, id: &str| {
        format!(
            "version = 1\n[paths]\nstore = \"{shown}/lib\"\nspool = \"{shown}/spool\"\n\
             seal_key = \"{shown}/{key}\"\ncredentials = \"{shown}/credentials\"\n\
             courier = \"{shown}/mfa-courier\"\nmachine_id = \"{shown}/{id}\"\n"
        )
    };
    let usual = paths("seal.key", "machine-id");
    let deliver = format!(
        "{usual}[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"{shown}/mail\"\n\
         [courier.command]\nrun = [\"/bin/false\"]\n[notices]\nadmins = [\"root@example.com\"]\n"
    );
    let with = |text: &str, name: &str| {
        let text = if name == "dear" {
            text.to_owned()
        } else {
            format!("{text}[passphrase]\nmemory = 7168\npasses = 1\n")
        };
        put(folder, &format!("{name}.toml"), &text, 0o644);
    };
    with(&usual, "plain");
    with(&deliver, "deliver");
    with(&format!("{deliver}[prompt]\nfirst = \"send\"\n"), "first");
    with(
        &format!("{usual}[enrolment]\nwithout_record = \"skip\"\n"),
        "skip",
    );
    with(&format!("{usual}[prompt]\ntries = \"three\"\n"), "broken");
    with(
        &format!("{usual}[passphrase]\nmemory = 8192\npasses = 1\n"),
        "dear",
    );
    with(&paths("no.key", "machine-id"), "key");
    with(&paths("seal.key", "no-machine-id"), "id");
}

fn people(folder: &Path) {
    let key = SealingKey::from_file_text(KEY.as_bytes()).unwrap();
    let here = DeviceId::from_machine_id(MACHINE_ID).unwrap();
    let elsewhere = DeviceId::parse(&"2".repeat(32)).unwrap();
    let states = Folder::open(&folder.join("lib/state"), Owner::ROOT).unwrap();
    let fresh = LoginState::default().to_payload().unwrap();
    for name in [
        "alice", "bob", "carol", "dave", "erin", "frank", "grace", "ivan", "mallory",
    ] {
        let mut record = UserRecord::new(UserName::parse(name).unwrap());
        record.methods = vec![Method::App];
        let device = if name == "frank" { elsewhere } else { here };
        record.devices = vec![Device {
            id: AssignedDevice::One(device),
            label: Label::parse("here").unwrap(),
            assigned: datetime(0),
        }];
        if name != "erin" {
            record.enrolled_once = true;
            record.apps = vec![app(&key, &record.user)];
        }
        // Ivan has none.
        if name != "ivan" {
            let hash = Hasher::new(Pepper::of(&key, name))
                .keep(&passphrase(name), CHEAP)
                .unwrap();
            record.passphrase = Some(KeptPassphrase::new(hash, 0));
        }
        match name {
            "bob" => "on leave".clone_into(&mut record.suspended),
            "mallory" => record.approved = false,
            "alice" => record.recovery = Some(Recovery::generate(0).unwrap().0),
            "grace" => {
                record.methods = vec![Method::App, Method::Email, Method::Command];
                record.email = Some(EmailAddress::parse("grace@example.com").unwrap());
            }
            _ => {}
        }
        let text = record.to_text().unwrap();
        let text = if name == "carol" {
            &text[..text.len() / 2]
        } else {
            &text
        };
        put(folder, &format!("lib/users/{name}.toml"), text, 0o600);
        // Ivan's is made by his first login.
        if name != "ivan" {
            states.create_block(name, fresh.as_bytes()).unwrap();
        }
    }
    let mut block = states
        .lock_block("dave", std::time::Duration::ZERO)
        .unwrap();
    block.reset(b"version = 1\nno state\n").unwrap();
}

fn app(key: &SealingKey, user: &UserName) -> App {
    let secret = secret(user.as_str());
    let (digits, period) = (Digits::parse(6).unwrap(), Period::parse(30_u16).unwrap());
    let id = AppId::of_secret(key, user, &secret, (Algorithm::Sha1, &digits, &period));
    let purpose = App::seal_purpose(&id);
    App {
        secret: key.seal(user.as_str(), &purpose, &secret).unwrap(),
        id,
        label: Label::parse("phone").unwrap(),
        algorithm: Algorithm::Sha1,
        digits,
        period,
        enrolled: datetime(0),
        disabled: false,
    }
}
