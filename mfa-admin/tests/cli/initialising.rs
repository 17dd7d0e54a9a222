use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::host::{Host, PROGRAM, assert_fits, finish, needs_root};

#[test]
fn init_makes_everything_below_the_folder_with_its_modes() {
    needs_root!();
    let host = Host::empty();
    let run = host.run("init --no-user").expect(0);
    assert_fits(&run.out);
    for (name, mode) in [
        ("mfa.toml", 0o644),
        ("seal.key", 0o600),
        ("machine-id", 0o444),
        ("store", 0o700),
        ("store/users", 0o700),
        ("store/state", 0o700),
        ("spool", 0o755),
        ("credentials", 0o750),
    ] {
        let metadata = std::fs::metadata(host.path(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
        assert_eq!(metadata.uid(), 0, "{name}");
    }
    let config = host.config();
    assert!(config.paths.store.as_path().starts_with(host.folder()));
    assert!(
        run.out.contains("Back up") && run.out.contains("user add") && run.out.contains("doctor")
    );
}

#[test]
fn init_again_changes_nothing_and_says_so() {
    needs_root!();
    let host = Host::new();
    let before = host.snapshot();
    let run = host.run("--json init --no-user").expect(0);
    assert_eq!(run.json()["changed"], false);
    assert_eq!(run.json()["made"], serde_json::json!([]));
    assert_eq!(host.snapshot(), before);
    assert!(
        host.run("init --no-user")
            .expect(0)
            .out
            .contains("nothing was changed")
    );
}

#[test]
fn init_obeys_a_configuration_that_is_there_and_refuses_a_wrong_one() {
    needs_root!();
    let host = Host::empty();
    let store = host.path("elsewhere");
    let text = format!(
        "version = 1\n[paths]\nstore = \"{}\"\nspool = \"{1}/spool\"\nseal_key = \"{1}/key\"\n\
         credentials = \"{1}/c\"\n",
        store.display(),
        host.folder().display()
    );
    std::fs::write(host.path("mfa.toml"), &text).unwrap();
    host.run("init --no-user").expect(0);
    assert!(store.join("users").is_dir() && host.path("key").is_file());
    assert_eq!(
        std::fs::read_to_string(host.path("mfa.toml")).unwrap(),
        text
    );
    let wrong = Host::empty();
    std::fs::write(wrong.path("mfa.toml"), "version = 1\n[promt]\n").unwrap();
    assert!(
        wrong
            .run("init --no-user")
            .expect(4)
            .err
            .contains("mfa.toml:2:2: unknown key")
    );
    assert_eq!(wrong.snapshot().len(), 1);
}

#[test]
fn init_completes_what_was_interrupted() {
    needs_root!();
    let host = Host::new();
    std::fs::remove_file(host.path("store/state/%decoy-7F")).unwrap();
    std::fs::remove_file(host.path("seal.key")).unwrap();
    std::fs::remove_dir(host.path("spool")).unwrap();
    host.run("init --no-user").expect(0);
    for name in ["store/state/%decoy-7F", "seal.key", "spool"] {
        assert!(host.path(name).exists(), "{name}");
    }
}

#[test]
fn init_uses_the_folder_that_an_interrupted_one_has_left() {
    needs_root!();
    let host = Host::new();
    let (credentials, half) = (host.path("credentials"), host.path(".new-credentials"));
    std::fs::rename(&credentials, &half).unwrap();
    std::fs::set_permissions(&half, std::fs::Permissions::from_mode(0o700)).unwrap();
    let run = host.run("--json init --no-user").expect(0);
    assert_eq!(run.json()["changed"], true);
    assert!(!half.exists());
    let mode = std::fs::metadata(&credentials)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[test]
fn init_takes_no_folder_that_somebody_else_has_left() {
    needs_root!();
    let host = Host::new();
    let (credentials, half) = (host.path("credentials"), host.path(".new-credentials"));
    std::fs::rename(&credentials, &half).unwrap();
    std::os::unix::fs::chown(&half, Some(65534), None).unwrap();
    let run = host.run("init --no-user").expect(4);
    assert!(
        run.err.contains(".new-credentials") && run.err.contains("uid 65534"),
        "{}",
        run.err
    );
    assert!(!credentials.exists());
}

#[test]
fn a_password_that_mail_needs_is_named_until_it_is_set() {
    needs_root!();
    let host = Host::new();
    assert!(
        !host
            .run("init --no-user")
            .expect(0)
            .err
            .contains("credential")
    );
    let text = std::fs::read_to_string(host.path("mfa.toml")).unwrap();
    let mail = "[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"mfa@example.com\"\n";
    let file = host.path("mfa.toml");
    std::fs::write(&file, format!("{text}\n{mail}")).unwrap();
    // A server that lets this host send without signing in needs none.
    assert!(
        !host
            .run("init --no-user")
            .expect(0)
            .err
            .contains("credential")
    );
    std::fs::write(&file, format!("{text}\n{mail}username = \"mfa\"\n")).unwrap();
    let said = host.run("init --no-user").expect(0).err;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("credential set smtp-password"), "{said}");
    let document = host.run("--json init --no-user").expect(0).json();
    assert_eq!(document["changed"], false);
    assert!(
        document["next"]
            .to_string()
            .contains("credential set smtp-password")
    );
    std::fs::write(host.path("credentials/smtp-password"), "x").unwrap();
    assert!(
        !host
            .run("init --no-user")
            .expect(0)
            .err
            .contains("credential")
    );
}

#[test]
fn a_part_of_the_spool_that_is_not_the_couriers_is_left_and_told() {
    needs_root!();
    let host = Host::new();
    host.configure("user = \"_mfa\"", "user = \"daemon\"");
    host.run("init").expect(0);
    let part = host.path("spool/new");
    let mode = |mode| std::fs::set_permissions(&part, PermissionsExt::from_mode(mode)).unwrap();
    let run = host.run("init").expect(0);
    assert!(run.err.is_empty(), "{}", run.err);
    mode(0o755);
    let run = host.run("init").expect(0);
    let said = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("spool/new is to be a folder of daemon's") && said.contains("mode 0755"),
        "{said}"
    );
    let found = std::fs::metadata(&part).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o755);
}

#[test]
fn a_lost_sealing_key_is_never_silently_replaced() {
    needs_root!();
    let host = Host::enrolled("daemon");
    std::fs::remove_file(host.path("seal.key")).unwrap();
    let run = host.run("init --no-user").expect(4);
    assert!(run.err.contains("backup"), "{}", run.err);
    assert!(!host.path("seal.key").exists());
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    needs_root!();
    let host = Host::empty();
    let open = host.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .arg("--config")
        .arg(open.join("mfa.toml"))
        .args(["init", "--no-user"]);
    let run = finish(command, "").expect(4);
    assert!(run.err.contains("others can write it"), "{}", run.err);
    assert!(!open.join("mfa.toml").exists());
}

/// The machine's own folders are covered by copies in a mount namespace.
#[test]
fn init_on_a_bare_host_makes_the_files_of_the_manual_and_the_courier_s_user() {
    needs_root!();
    let host = Host::empty();
    let script = r#"
        set -e
        mkdir -p "$0/etc" "$0/var/lib" "$0/var/spool" && cp -a /etc/. "$0/etc"
        rm -rf "$0/etc/mfa"
        sed -i /^_mfa:/d "$0/etc/passwd" "$0/etc/group" "$0/etc/shadow" "$0/etc/gshadow"
        [ -s "$0/etc/machine-id" ] || echo 0123456789abcdef0123456789abcdef > "$0/etc/machine-id"
        # Not /var itself: this very program may lie below it.
        mount --bind "$0/etc" /etc
        for folder in /var/lib /var/spool; do mount --bind "$0$folder" "$folder"; done
        "$1" init
        stat -c '%n %U:%G %a' /etc/mfa/mfa.toml /etc/mfa/seal.key /etc/mfa/credentials /var/lib/mfa \
            /var/lib/mfa/users /var/spool/mfa /var/spool/mfa/tmp /var/spool/mfa/new \
            /var/spool/mfa/deferred /var/spool/mfa/dead
        getent passwd _mfa
        "$1" init
    "#;
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script])
        .arg(host.folder())
        .arg(PROGRAM);
    let run = finish(command, "").expect(0);
    for line in [
        "/etc/mfa/mfa.toml root:root 644",
        "/etc/mfa/seal.key root:root 600",
        "/etc/mfa/credentials root:_mfa 750",
        "/var/lib/mfa root:root 700",
        "/var/lib/mfa/users root:root 700",
        "/var/spool/mfa root:root 755",
        "/var/spool/mfa/tmp _mfa:_mfa 700",
        "/var/spool/mfa/new _mfa:_mfa 700",
        "/var/spool/mfa/deferred _mfa:_mfa 700",
        "/var/spool/mfa/dead _mfa:_mfa 700",
        "/nonexistent:/usr/sbin/nologin",
        "nothing was changed",
    ] {
        assert!(run.out.contains(line), "{line} is missing in\n{}", run.out);
    }
    let written = std::fs::read_to_string(host.path("etc/mfa/mfa.toml")).unwrap();
    assert_eq!(written, include_str!("../../../config/mfa.toml"));
}
