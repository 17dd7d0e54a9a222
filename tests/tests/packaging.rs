//! What comes with the programs: units, a cron line, and the folders and the user as packages make them.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use mfa_tests::{Host, on_a_bare_host, on_a_test_host, repository};

const UNITS: [&str; 3] = ["mfa-notify.path", "mfa-notify.service", "mfa-notify.timer"];
const DROP_INS: [&str; 3] = ["command.conf", "file.conf", "sendmail.conf"];
/// Ten times the exposure that `systemd-analyze security` may find: 10 is as closed as can be, 100 wide open.
const MOST_EXPOSED: u32 = 15;

fn packaging(name: &str) -> PathBuf {
    repository().join("packaging").join(name)
}

/// The settings of a unit or drop-in, in order.
fn settings(path: &Path) -> Vec<(String, String)> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with(['#', ';', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Installs what `make install` would, as far as units are about it.
fn install_units(host: &Host) {
    fs::create_dir_all("/usr/libexec/mfa").unwrap();
    fs::create_dir_all("/etc/systemd/system").unwrap();
    host.run(&[
        "install",
        "-m",
        "755",
        "/bin/true",
        "/usr/libexec/mfa/mfa-courier",
    ])
    .expect_success();
    for unit in UNITS {
        let place = Path::new("/etc/systemd/system").join(unit);
        fs::copy(packaging("systemd").join(unit), place).unwrap();
    }
}

#[test]
fn systemd_finds_nothing_wrong_in_the_units_with_and_without_what_they_may_be_changed_by() {
    on_a_bare_host(|host| {
        install_units(host);
        let drop_ins = Path::new("/etc/systemd/system/mfa-notify.service.d");
        fs::create_dir_all(drop_ins).unwrap();
        let verify = |what: &str| {
            let mut words = vec!["systemd-analyze", "verify"];
            let paths = UNITS.map(|unit| format!("/etc/systemd/system/{unit}"));
            words.extend(paths.iter().map(String::as_str));
            let output = host.run(&words);
            output.expect_success();
            assert_eq!(output.stderr, "", "{what}");
        };
        verify("as shipped");
        for name in DROP_INS {
            let source = packaging("examples/systemd").join(name);
            // What is commented out has to be right as well, once somebody takes the sign away.
            let text = fs::read_to_string(source).unwrap();
            let all: String = text
                .lines()
                .map(|line| match line.strip_prefix('#') {
                    Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                    _ => format!("{line}\n"),
                })
                .collect();
            fs::write(drop_ins.join(name), all).unwrap();
            verify(name);
            fs::remove_file(drop_ins.join(name)).unwrap();
        }
        let service = fs::read_to_string(packaging("systemd/mfa-notify.service")).unwrap();
        let all = service.replace("\n#LoadCredential", "\nLoadCredential");
        let all = all.replace("\n#IPAddress", "\nIPAddress");
        assert_ne!(all, service);
        fs::write("/etc/systemd/system/mfa-notify.service", all).unwrap();
        verify("with all that is commented out");
    });
}

#[test]
fn the_unit_is_closed_as_far_as_mail_and_telegram_allow() {
    on_a_bare_host(|host| {
        install_units(host);
        let output = host.run(&[
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            &format!("--threshold={MOST_EXPOSED}"),
            "/etc/systemd/system/mfa-notify.service",
        ]);
        assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
        // It was looked at, and not just found missing.
        assert!(
            output
                .stdout
                .contains("Overall exposure level for mfa-notify.service"),
            "{}",
            output.stdout
        );
    });
}

#[test]
fn the_unit_that_clears_bypasses_is_right_and_as_closed() {
    on_a_test_host(|host| {
        fs::create_dir_all("/etc/systemd/system").unwrap();
        let paths = ["mfa-bypass.service", "mfa-bypass.timer"].map(|unit| {
            let place = format!("/etc/systemd/system/{unit}");
            fs::copy(packaging("systemd").join(unit), &place).unwrap();
            place
        });
        let verified = host.run(&["systemd-analyze", "verify", &paths[0], &paths[1]]);
        verified.expect_success();
        assert_eq!(verified.stderr, "");
        let threshold = format!("--threshold={}", MOST_EXPOSED + 5);
        let output = host.run(&[
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &paths[0],
        ]);
        assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
        let said = "Overall exposure level for mfa-bypass.service";
        assert!(output.stdout.contains(said), "{}", output.stdout);
        let config = fs::read_to_string(repository().join("config/mfa.toml")).unwrap();
        let store = settings(&packaging("systemd/mfa-bypass.service"));
        let store = store.iter().find(|(key, _)| key == "ReadWritePaths");
        assert!(config.contains(&format!("store = \"{}\"", store.unwrap().1)));
    });
}

#[test]
fn for_sendmail_everything_is_taken_back_that_keeps_set_group_id_programs_from_working() {
    // systemd.exec(5), NoNewPrivileges=; and the capabilities that a set-user-ID program is to have.
    let implying = [
        "NoNewPrivileges",
        "CapabilityBoundingSet",
        "DynamicUser",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "PrivateDevices",
        "PrivateUsers",
        "ProtectClock",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "RestrictAddressFamilies",
        "RestrictFileSystems",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "SystemCallArchitectures",
        "SystemCallFilter",
        "SystemCallLog",
    ];
    let set = settings(&packaging("systemd/mfa-notify.service"));
    let taken_back = settings(&packaging("examples/systemd/sendmail.conf"));
    let mut seen = 0;
    for key in implying {
        if !set.iter().any(|(name, _)| name == key) {
            continue;
        }
        seen += 1;
        let value = taken_back.iter().find(|(name, _)| name == key);
        let value = value.map(|(_, value)| value.as_str());
        let expected = if key == "CapabilityBoundingSet" {
            vec!["~"]
        } else {
            vec!["no", ""]
        };
        assert!(
            value.is_some_and(|value| expected.contains(&value)),
            "{key}: {value:?}"
        );
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn the_units_are_about_the_paths_and_the_user_of_the_shipped_configuration() {
    let config = fs::read_to_string(repository().join("config/mfa.toml")).unwrap();
    let value = |key: &str| {
        let line = config
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        line.unwrap().split('"').nth(1).unwrap().to_owned()
    };
    let service = settings(&packaging("systemd/mfa-notify.service"));
    let setting = |key: &str| {
        let found = service.iter().find(|(name, _)| name == key);
        found.unwrap().1.clone()
    };
    let drain = format!("{} drain --config /etc/mfa/mfa.toml", value("courier"));
    assert_eq!(setting("ExecStart"), drain);
    assert_eq!(setting("ReadWritePaths"), value("spool"));
    assert_eq!(setting("User"), value("user"));
    let path = settings(&packaging("systemd/mfa-notify.path"));
    let new = format!("{}/new", value("spool"));
    assert!(path.contains(&("DirectoryNotEmpty".to_owned(), new)));
    let cron = fs::read_to_string(packaging("examples/cron.d/mfa-notify")).unwrap();
    assert!(cron.contains(&drain), "{cron}");
    let folders = fs::read_to_string(packaging("examples/tmpfiles.d/mfa.conf")).unwrap();
    assert!(folders.contains(&format!("d {}/new ", value("spool"))));
}

#[test]
fn packages_make_the_same_user_and_the_same_spool_as_init() {
    on_a_test_host(|host| {
        let spool = || {
            let parts = ["", "tmp", "new", "deferred", "dead"];
            parts.map(|name| {
                let status = fs::symlink_metadata(Path::new("/var/spool/mfa").join(name)).unwrap();
                (name, status.mode(), status.uid(), status.gid())
            })
        };
        let by_init = spool();
        fs::remove_dir_all("/var/spool/mfa").unwrap();
        // Nothing but this file is looked at, and nothing beside the spool.
        let file = packaging("examples/tmpfiles.d/mfa.conf");
        host.run(&[
            "systemd-tmpfiles",
            "--create",
            "--prefix=/var/spool/mfa",
            file.to_str().unwrap(),
        ])
        .expect_success();
        assert_eq!(spool(), by_init);

        let user = || {
            let line = host.run(&["getent", "passwd", "_mfa"]).stdout;
            let fields: Vec<String> = line.trim_end().split(':').map(str::to_owned).collect();
            let group = host.run(&["getent", "group", &fields[3]]).stdout;
            let is_system = fields[2].parse::<u32>().unwrap() < 1000;
            let name_of_group = group.split(':').next().unwrap().to_owned();
            (fields[4..].to_vec(), name_of_group, is_system)
        };
        let forget = || {
            for file in ["passwd", "group", "shadow", "gshadow"] {
                let path = Path::new("/etc").join(file);
                if let Ok(text) = fs::read_to_string(&path) {
                    let others = text.lines().filter(|line| !line.starts_with("_mfa:"));
                    fs::write(&path, others.collect::<Vec<_>>().join("\n") + "\n").unwrap();
                }
            }
            assert_eq!(host.run(&["getent", "passwd", "_mfa"]).exit, 2);
        };
        forget();
        host.admin(&["init"]);
        let by_init = user();
        forget();
        let file = packaging("examples/sysusers.d/mfa.conf");
        host.run(&["systemd-sysusers", file.to_str().unwrap()])
            .expect_success();
        assert_eq!(user(), by_init);
    });
}

#[test]
fn crons_line_empties_the_spool_and_tells_syslog_what_was_wrong() {
    on_a_test_host(|host| {
        let text = fs::read_to_string(packaging("examples/cron.d/mfa-notify")).unwrap();
        let line = text.lines().find(|line| line.starts_with('*')).unwrap();
        let (times_and_user, command) = line.split_at(line.find('[').unwrap());
        assert_eq!(times_and_user, "* * * * * _mfa ");
        // cron ends a command at a percent sign.
        assert!(!command.contains('%'));
        let new = Path::new("/var/spool/mfa/new/no-notice");
        fs::write(new, "no notice").unwrap();
        chown(new, Some(991), Some(991)).unwrap();
        fs::set_permissions(new, fs::Permissions::from_mode(0o600)).unwrap();
        let mark = host.mark();
        host.run(&[
            "setpriv",
            "--reuid=_mfa",
            "--regid=_mfa",
            "--init-groups",
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "/bin/sh",
            "-c",
            command,
        ])
        .expect_success();
        assert!(!new.exists());
        assert!(Path::new("/var/spool/mfa/dead/no-notice").exists());
        // Said on standard error; the courier's own line in the log is in other words.
        let lines = host.log_since(mark);
        assert!(
            lines
                .iter()
                .any(|line| line.text.contains("it is in dead now")),
            "{lines:?}"
        );
        // Where systemd runs, its units do it.
        fs::create_dir_all("/run/systemd/system").unwrap();
        fs::write(new, "no notice").unwrap();
        host.run(&["/bin/sh", "-c", command]).expect_success();
        assert!(new.exists());
    });
}

#[test]
fn what_the_readme_says_about_delivery_can_be_configured_like_that() {
    on_a_test_host(|host| {
        let readme = fs::read_to_string(repository().join("README.md")).unwrap();
        let mut seen = Vec::new();
        for block in readme
            .split("\n\n")
            .filter(|block| block.starts_with("    [courier"))
        {
            let text = format!("version = 1\n{block}\n");
            fs::write("/etc/mfa/tried.toml", text).unwrap();
            host.run(&["mfa-admin", "config", "check", "/etc/mfa/tried.toml"])
                .expect_success();
            seen.push(block.lines().next().unwrap().trim().to_owned());
        }
        let expected = [
            "[courier.smtp]",
            "[courier.smtp]",
            "[courier]",
            "[courier.command]",
        ];
        assert_eq!(seen, expected);
    });
}
