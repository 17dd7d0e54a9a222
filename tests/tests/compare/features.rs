//! What users ask for, and what a peer has that we have not: `yes` where a run showed it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use mfa_tests::pam_host::{SUCCESS, login_script};
use mfa_tests::{Authenticator, hex, stacks};

use crate::arena::{Arena, GOOGLE_OPTIONS, Module, each, write_private};
use crate::table::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "Two authenticators of one user, each lets in",
        "A second app, secret line or users line; a login with a code of each.",
        two_authenticators,
    ),
    Case::new(
        "Codes of 8 digits",
        "pam_oath with `digits=8` and `HOTP/T30/8`.",
        eight_digits,
    ),
    Case::new(
        "SHA-256",
        "pam_oath with `HOTP/T30` and a secret of 32 bytes; neither its files nor pam_google_authenticator's can say which hash.",
        sha256,
    ),
    Case::new(
        "A code by e-mail, at the same prompt",
        "Enter, a code taken from the message (`email = \"file\"`), a login with it.",
        code_by_mail,
    ),
    Case::new(
        "A command finds a broken stack before it locks out",
        "`mfa-admin doctor` on an sshd service whose last line is missing; the packages of the peers have no such command.",
        broken_stack,
    ),
    Case::new(
        "A secret can be shown to its owner's phone again",
        "`mfa-admin app reveal`; `google-authenticator` only makes new ones.",
        shown_again,
    ),
    Case::new(
        "Recovery codes",
        "`mfa-admin recovery generate`; pam_google_authenticator's emergency codes. One of them twice.",
        recovery_codes,
    ),
    Case::new(
        "Codes by a counter (HOTP)",
        "`mfa-admin token add --hotp`, `HOTP_COUNTER 1` in the secret file, `HOTP` in the users file.",
        counted_codes,
    ),
    Case::new(
        "No code again for a while from the same address",
        "`grace_period=600`; a second login without an answer.",
        grace,
    )
    .conceded(),
    Case::new(
        "Users enrol themselves, without root",
        "`google-authenticator` run by the user; `mfa-admin app enroll` is for root alone.",
        own_enrolment,
    )
    .conceded(),
    Case::new(
        "Works in host programs that are not root's",
        "A screen locker, say: all ids are the user's, the secret file is the user's, in the home directory.",
        not_root,
    )
    .conceded(),
];

fn two_authenticators(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let second = Authenticator::new();
    arena.host.add_app("p1", "tablet", &second);
    let file = arena.secret_file(Module::Google, "p1");
    write_private(
        &file,
        &format!("{}\n{}\n{GOOGLE_OPTIONS}", arena.app.secret, second.secret),
    );
    let users = fs::read_to_string(arena.path("oath/users")).unwrap();
    write_private(
        &arena.path("oath/users"),
        &format!("{users}HOTP/T30 p1 - {}\n", hex(&second.secret)),
    );
    vec![each(|module| {
        let first = arena.gets_in(module, "p1", &arena.code_for(8));
        Outcome::feature(first && arena.gets_in(module, "p1", &second.code_of(second.step())))
    })]
}

fn eight_digits(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let mut app = Authenticator::new();
    app.digits = 8;
    arena.host.add_app("p1", "token", &app);
    write_private(
        &arena.secret_file(Module::Google, "p1"),
        &format!("{}\n{GOOGLE_OPTIONS}", app.secret),
    );
    write_private(
        &arena.path("oath/users"),
        &format!("HOTP/T30/8 p1 - {}\n", hex(&app.secret)),
    );
    arena.write_service(
        Module::Oath,
        &format!("{} digits=8", arena.arguments(Module::Oath)),
    );
    vec![each(|module| {
        app.wait_for_room(5);
        Outcome::feature(arena.gets_in(module, "p1", &app.code_of(app.step())))
    })]
}

fn sha256(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let random = Command::new("sh")
        .args(["-c", "head -c 32 /dev/urandom | base32 -w 0 | tr -d ="])
        .output()
        .unwrap();
    let mut app = Authenticator::with_secret(String::from_utf8(random.stdout).unwrap().trim());
    "SHA256".clone_into(&mut app.algorithm);
    arena.host.add_app("p1", "token", &app);
    write_private(
        &arena.secret_file(Module::Google, "p1"),
        &format!("{}\n{GOOGLE_OPTIONS}", app.secret),
    );
    write_private(
        &arena.path("oath/users"),
        &format!("HOTP/T30 p1 - {}\n", hex(&format!("{}====", app.secret))),
    );
    vec![each(|module| {
        app.wait_for_room(5);
        Outcome::feature(arena.gets_in(module, "p1", &app.code_of(app.step())))
    })]
}

fn code_by_mail(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    const FOLDER: &str = "/run/mail";
    let _ = fs::remove_dir_all(FOLDER);
    fs::create_dir_all(FOLDER).unwrap();
    let courier = Command::new("id").args(["-u", "_mfa"]).output().unwrap();
    let courier = String::from_utf8(courier.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    chown(FOLDER, Some(courier), None).unwrap();
    let words = [
        "user",
        "set",
        "p1",
        "--email",
        "p1@example.com",
        "--methods",
        "email",
    ];
    arena.host.admin(&words).expect_success();
    let mail =
        format!("[courier]\nemail = \"file\"\n[courier.file]\nfolder = {FOLDER:?}\ndemo = true\n");
    arena
        .host
        .configure(&format!("{}{mail}", crate::arena::TABLES));
    // The code is the first word of the subject.
    let read = format!(
        "while ! ls {FOLDER}/*.eml >/dev/null 2>&1; do sleep 0.05; done; sed -n 's/^Subject: \\([0-9]*\\).*/\\1/p' {FOLDER}/*.eml"
    );
    let script = format!(
        "user p1\nset rhost 203.0.113.7\nanswer text \nanswer run timeout 10 sh -c '{}'\nauthenticate\nforget\n",
        read.replace('\'', "'\\''")
    );
    vec![each(|module| {
        Outcome::feature(arena.play(module, &[], &script).count(SUCCESS) == 1)
    })]
}

fn broken_stack(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let machine = arena.machine;
    let doctor = |stack: &str| {
        machine.write_service("sshd", stack);
        let output = machine.run(&["mfa-admin", "doctor"]);
        let lines = output
            .stdout
            .lines()
            .filter(|line| line.contains("fail") && line.contains("sshd"));
        lines.count()
    };
    let whole = stacks::example("sshd-code-after-password");
    let broken = whole.replace("auth       required     pam_permit.so\n", "");
    assert_ne!(whole, broken);
    let finds = doctor(&broken) > doctor(&whole);
    vec![each(|module| {
        Outcome::feature(module == Module::Ours && finds)
    })]
}

fn shown_again(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let shown = arena
        .host
        .admin(&["app", "reveal", "p1", "phone"])
        .expect_success()
        .stdout;
    let is_shown = shown.contains("otpauth://totp/") && shown.contains(&arena.app.secret);
    vec![each(|module| {
        Outcome::feature(module == Module::Ours && is_shown)
    })]
}

fn recovery_codes(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    const SCRATCH: &str = "12345678";
    let file = arena.secret_file(Module::Google, "p1");
    let text = fs::read_to_string(&file).unwrap();
    write_private(&file, &format!("{text}{SCRATCH}\n"));
    let ours = arena.host.recovery_codes("p1").remove(0);
    vec![each(|module| {
        let code = if module == Module::Ours {
            &ours
        } else {
            SCRATCH
        };
        let once = arena.gets_in(module, "p1", code);
        Outcome::feature(once && !arena.gets_in(module, "p1", code))
    })]
}

fn counted_codes(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let secret = &arena.app.secret;
    write_private(
        &arena.secret_file(Module::Google, "p1"),
        &format!("{secret}\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 3\n"),
    );
    write_private(
        &arena.path("oath/users"),
        &format!("HOTP p1 - {}\n", hex(secret)),
    );
    let add = ["token", "add", "p1", "--hotp", "--no-confirm"];
    arena.host.admin_with(&add, secret).expect_success();
    vec![each(|module| {
        // Google counts from 1.
        let counter = if module == Module::Google { "1" } else { "0" };
        let code = Command::new("oathtool")
            .args(["--hotp", "--base32", "-c", counter, secret])
            .output()
            .unwrap();
        let code = String::from_utf8(code.stdout).unwrap();
        Outcome::feature(arena.gets_in(module, "p1", code.trim()))
    })]
}

fn grace(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    arena.write_service(
        Module::Google,
        &format!("{} grace_period=600", arena.arguments(Module::Google)),
    );
    vec![each(|module| {
        assert!(arena.gets_in(module, "p1", &arena.code_for(5)));
        let again = arena.play(module, &[], &login_script("p1", &[] as &[&str]));
        Outcome::feature(again.count(SUCCESS) == 1)
    })]
}

fn own_enrolment(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let as_user = |words: &[&str]| {
        let mut all = vec![
            "setpriv",
            "--reuid=p1",
            "--regid=p1",
            "--init-groups",
            "--reset-env",
            "--",
        ];
        all.extend(words);
        arena.machine.run(&all)
    };
    let google = as_user(&[
        "google-authenticator",
        "-t",
        "-d",
        "-f",
        "-w",
        "3",
        "-r",
        "3",
        "-R",
        "30",
        "-Q",
        "NONE",
        "-C",
    ]);
    let file = "/run/home/p1/.google_authenticator";
    let google = google.exit == 0
        && fs::metadata(file)
            .is_ok_and(|made| made.mode() & 0o777 == 0o400 || made.mode() & 0o777 == 0o600);
    let _ = fs::remove_file(file);
    let configuration = arena.path("mfa.toml").display().to_string();
    let ours = as_user(&[
        "mfa-admin",
        "--config",
        &configuration,
        "app",
        "enroll",
        "p1",
        "--label",
        "own",
        "--no-confirm",
    ]);
    vec![[
        Outcome::feature(ours.exit == 0),
        Outcome::feature(google),
        Outcome::feature(false),
    ]]
}

fn not_root(arena: &Arena<'_>) -> Vec<[Outcome; 3]> {
    let home = "/run/home/p1";
    let uid = fs::metadata(home).unwrap().uid();
    let mut files = String::new();
    for (module, name) in [
        (Module::Google, ".google_authenticator"),
        (Module::Oath, ".oath"),
    ] {
        let own = format!("{home}/{name}");
        write_private(
            own.as_ref(),
            &fs::read_to_string(arena.secret_file(module, "p1")).unwrap(),
        );
        chown(&own, Some(uid), Some(uid)).unwrap();
        let _ = write!(files, " {own}");
    }
    fs::set_permissions(home, fs::Permissions::from_mode(0o700)).unwrap();
    arena.write_service(Module::Oath, "usersfile=${HOME}/.oath window=1");
    arena.write_service(Module::Google, "");
    let outcomes = each(|module| {
        let script = login_script("p1", &[&arena.code_for(5)]);
        let seen = arena.play(module, &["--all-uids", &uid.to_string()], &script);
        Outcome::feature(seen.count(SUCCESS) == 1)
    });
    for file in files.split_whitespace() {
        let _ = fs::remove_file(file);
    }
    vec![outcomes]
}
