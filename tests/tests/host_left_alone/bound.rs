//! Where the sealing key is a credential, each login runs systemd-creds: nothing of that is left in the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{PamHost, SUCCESS, UNAVAIL, login_script, overwrite};
use mfa_tests::proof::tell;

use crate::{CALLERS, SIGNALS, THE_OTHERS, left_alone};

const CREDS: &str = "/usr/bin/systemd-creds";

#[test]
fn each_hook_leaves_its_host_as_it_was_whatever_systemd_creds_does() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        host.admin(&["seal", "bind"]).expect_success();
        let tables = format!(
            "[prompt]\ntries = 1\n[seal]\ncredential = \"{}\"\n",
            host.path("seal.cred").display()
        );
        host.configure(&tables);
        host.admin(&["seal", "bind", "--yes"]).expect_success();
        let app = host.enroll("alice");
        let fresh = fs::read(host.state_path("alice")).unwrap();
        fs::copy(CREDS, "/run/creds").unwrap();
        let (mut runs, mut hooks) = (0, 0);
        for (what, script) in [
            ("it opens", "exec /run/creds \"$@\""),
            ("it fails", "echo no >&2; exit 1"),
            ("it is killed", "kill -9 $$"),
            ("it is not there", ""),
            (
                "it leaves somebody behind",
                "sleep 1 >&- 2>&- <&- & exec /run/creds \"$@\"",
            ),
        ] {
            fs::remove_file(CREDS).unwrap();
            fs::write(CREDS, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(CREDS, fs::Permissions::from_mode(0o755)).unwrap();
            if script.is_empty() {
                fs::set_permissions(CREDS, fs::Permissions::from_mode(0o600)).unwrap();
            }
            for signals in SIGNALS {
                for caller in CALLERS {
                    overwrite(&host.state_path("alice"), &fresh);
                    let code = app.code_of(app.step());
                    let script = format!(
                        "{signals}{}forget\n{THE_OTHERS}",
                        login_script("alice", &[&code])
                    );
                    let what = format!("{what} {signals}");
                    let seen = left_alone(&host, "login", caller, &script, &what);
                    let is_root = caller != CALLERS[2];
                    let lets_in =
                        is_root && script.contains("authenticate") && what.starts_with("it opens");
                    let lets_in = lets_in || is_root && what.starts_with("it leaves");
                    let expected = if lets_in { SUCCESS } else { UNAVAIL };
                    assert_eq!(seen.results()[0], expected, "{what} {caller:?}\n{seen}");
                    hooks += seen.results().len();
                    runs += 1;
                }
            }
        }
        // However few descriptors there are, too.
        fs::remove_file(CREDS).unwrap();
        fs::copy("/run/creds", CREDS).unwrap();
        let (mut accepted, mut refused) = (0, 0);
        for room in 0..=12 {
            for answer in [&app.code_of(app.step()), "000000"] {
                overwrite(&host.state_path("alice"), &fresh);
                let what = format!("room for {room}, {answer}");
                let script = format!(
                    "user alice\ndescriptors {room}\nanswer text {answer}\nauthenticate\nforget\n{THE_OTHERS}"
                );
                let seen = left_alone(&host, "login", CALLERS[1], &script, &what);
                hooks += seen.results().len();
                runs += 1;
                if seen.results()[0] == SUCCESS {
                    assert_ne!(answer, "000000", "{what}\n{seen}");
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
        }
        assert!(accepted > 3 && refused > 13, "{accepted} {refused}");
        tell(
            "host-4-bound",
            "The host is left alone: a key that systemd-creds opens",
            &[
                ("processes", runs.to_string()),
                (
                    "hooks, with everything of the process compared before and after",
                    hooks.to_string(),
                ),
                ("differences", "0".to_owned()),
            ],
        );
    });
}
