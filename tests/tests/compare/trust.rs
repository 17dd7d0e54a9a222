//! Files that others could have written or planted, and what lies readable.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use crate::arena::{Arena, Module, copy, each, write_private};
use crate::codes::refused;
use crate::kills::holds_secret;
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "A right code, and others can write the secret file",
        "Mode 0666. Right: refused.",
        world_writable,
    ),
    Case::new(
        "A right code, and the secret file belongs to somebody else",
        "Owned by mallory. Right: refused.",
        foreign_owner,
    ),
    Case::new(
        "A right code, and the secret file is a link to mallory's",
        "A link to a file with the same content that belongs to mallory, mode 0600. Right: refused.",
        linked,
    ),
    Case::new(
        "Links in a user's home lead root astray",
        "CVE-2024-47191: files in the home directory (`usersfile=${HOME}/…` of pam_oath, pam_google_authenticator's default), and the user plants links with the names of \
         temporary files and locks. Wrong: a file of root's has changed. Debian's package has the correction.",
        links_in_a_home,
    ),
    Case::new(
        "The secret can be read in a copy of the store",
        "Looked for in base32, in hexadecimal and as bytes. Wrong: whoever gets hold of a backup makes codes.",
        readable_secrets,
    ),
    Case::new(
        "A copy of the store lets in on another host",
        "The same files, another machine id. Right: refused, unless that host is assigned.",
        other_host,
    ),
];

fn world_writable(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| {
        fs::set_permissions(
            arena.secret_file(module, "p1"),
            fs::Permissions::from_mode(0o666),
        )
        .unwrap();
        refused(!arena.gets_in(module, "p1", &arena.code_for(5)))
    })]
}

fn foreign_owner(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let mallory = fs::metadata("/run/home/mallory").unwrap().uid();
    vec![each(|module| {
        chown(arena.secret_file(module, "p1"), Some(mallory), None).unwrap();
        refused(!arena.gets_in(module, "p1", &arena.code_for(5)))
    })]
}

fn linked(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let mallory = fs::metadata("/run/home/mallory").unwrap().uid();
    vec![each(|module| {
        let file = arena.secret_file(module, "p1");
        let elsewhere = arena.path("elsewhere");
        let _ = fs::remove_file(&elsewhere);
        copy(&file, &elsewhere);
        chown(&elsewhere, Some(mallory), None).unwrap();
        fs::remove_file(&file).unwrap();
        symlink(&elsewhere, &file).unwrap();
        refused(!arena.gets_in(module, "p1", &arena.code_for(5)))
    })]
}

fn links_in_a_home(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    const VICTIM: &str = "/etc/precious";
    const CONTENT: &str = "root's own\n";
    let home = "/run/home/p1";
    let uid = fs::metadata(home).unwrap().uid();
    arena.write_service(Module::Oath, "usersfile=${HOME}/.oath window=1");
    arena.write_service(Module::Google, "");
    vec![each(|module| {
        write_private(VICTIM.as_ref(), CONTENT);
        let name = if module == Module::Oath {
            ".oath"
        } else {
            ".google_authenticator"
        };
        let own = format!("{home}/{name}");
        let secret = arena.secret_file(
            if module == Module::Ours {
                Module::Google
            } else {
                module
            },
            "p1",
        );
        write_private(own.as_ref(), &fs::read_to_string(secret).unwrap());
        chown(&own, Some(uid), Some(uid)).unwrap();
        let planted: Vec<_> = [".new", ".lock", "~", ".tmp"]
            .map(|end| format!("{own}{end}"))
            .to_vec();
        for link in &planted {
            symlink(VICTIM, link).unwrap();
        }
        arena.login(module, "p1", &arena.code_for(5));
        // And the file itself, which points at root's.
        fs::remove_file(&own).unwrap();
        symlink(VICTIM, &own).unwrap();
        arena.login(module, "p1", &arena.code_for(5));
        let victim = fs::metadata(VICTIM).unwrap();
        let changed = victim.uid() != 0
            || victim.mode() & 0o777 != 0o600
            || fs::read_to_string(VICTIM).unwrap() != CONTENT;
        for link in planted.iter().chain([&own]) {
            let _ = fs::remove_file(link);
        }
        Outcome::judged(if changed { "yes" } else { "no" }, !changed)
    })]
}

fn readable_secrets(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    vec![each(|module| {
        let content = fs::read(arena.secret_file(module, "p1")).unwrap();
        let can_be_read = holds_secret(arena, &content);
        Outcome::judged(if can_be_read { "yes" } else { "no" }, !can_be_read)
    })]
}

fn other_host(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let here = fs::read_to_string(arena.path("machine-id")).unwrap();
    let outcomes = each(|module| {
        arena
            .host
            .write("machine-id", "fedcba9876543210fedcba9876543210\n");
        refused(!arena.gets_in(module, "p1", &arena.code_for(5)))
    });
    arena.host.write("machine-id", &here);
    vec![outcomes]
}
