//! A key bound to a TPM2: a real one in software (swtpm), which systemd's own program speaks to.

use std::fs;

use mfa_tests::on_a_test_host;
use mfa_tests::pam_host::{AUTH_ERR, PamHost, SUCCESS};
use serde_json::Value;

use crate::bound::refused_without_a_prompt;
use crate::{TABLES, bound_host, name_credential, shell, stand_in};

/// Puts a host on a board with a chip: systemd-creds finds it as it finds /dev/tpmrm0 elsewhere. The chip is switched on
/// for each call, since the kernel, which gives each its own, has no part in this. In a container systemd-creds passes a
/// chip over unless it is named, so `auto` is spelled out.
fn board(auto: &str) {
    stand_in(&format!(
        r#"for word; do
    shift
    [ "$word" != --with-key=auto ] || word=--with-key={auto}
    set -- "$@" "$word"
done
exec 9>/run/board.lock
flock 9
socket=/run/chip.socket
swtpm socket --tpm2 --tpmstate dir=/run/chip --flags not-need-init,startup-clear --daemon --pid file=/run/chip.pid     --server type=unixio,path=$socket --ctrl type=unixio,path=$socket.ctrl 9>&- || exit
SYSTEMD_TPM2_DEVICE=swtpm:path=$socket /run/creds "$@" 9>&-
code=$?
# TPM2_Shutdown(CLEAR): a chip that is just switched off takes that for an attack.
python3 -c 'import socket, sys
chip = socket.socket(socket.AF_UNIX)
chip.connect(sys.argv[1])
chip.sendall(bytes.fromhex("80010000000c000001450000"))
chip.recv(10)' $socket
kill "$(cat /run/chip.pid)"
exit $code"#
    ));
    put_in_chip("one");
}

/// Each has a secret of its own.
fn put_in_chip(name: &str) {
    shell(&format!(
        "mkdir -p /run/chip-{name}; ln -sfn chip-{name} /run/chip"
    ));
}

fn status(host: &PamHost) -> Value {
    let status = host.admin(&["--json", "seal", "status"]).expect_success();
    serde_json::from_str(&status.stdout).unwrap()
}

#[test]
fn a_key_bound_to_a_tpm2_lets_in_with_that_chip_and_with_no_other() {
    on_a_test_host(|_| {
        board("host+tpm2");
        let host = bound_host();
        let app = host.enroll("alice");
        assert_eq!(status(&host)["protected_by"], "host+tpm2");
        let text = host.admin(&["seal", "status"]).expect_success().stdout;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = "encrypted with this host's key and TPM2";
        assert!(text.contains(expected), "{text}");
        for _ in 0..2 {
            assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
            assert_eq!(host.login("alice", &["000000"]).result(), AUTH_ERR);
            host.admin(&["seal", "rotate"]).expect_success();
            assert_eq!(status(&host)["protected_by"], "host+tpm2");
        }
        // The copy that README has people keep.
        let copy = "/run/copy-of-the-key";
        shell(&format!(
            "systemd-creds decrypt --name=mfa-seal-key {} - >{copy}",
            host.path("seal.cred").display()
        ));
        // The disk on another board, with everything that is on it.
        put_in_chip("two");
        refused_without_a_prompt(&host, "another chip", "systemd-creds: ");
        shell("rm /run/chip");
        refused_without_a_prompt(&host, "no chip", "systemd-creds: ");
        put_in_chip("two");
        let plain = host.path("seal.key");
        shell(&format!("install -m 600 {copy} {}", plain.display()));
        host.admin(&["seal", "bind", "--yes"]).expect_success();
        assert!(!plain.exists());
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        // Back on the first one, which knows nothing of what the other bound.
        put_in_chip("one");
        refused_without_a_prompt(&host, "the first chip", "systemd-creds: ");
    });
}

#[test]
fn a_chip_alone_is_as_good_and_named_as_what_it_is() {
    on_a_test_host(|_| {
        board("tpm2");
        // Nothing on the disk has a part in it.
        shell("rm -f /var/lib/systemd/credential.secret");
        let host = PamHost::with_config(TABLES);
        let app = host.enroll("alice");
        host.admin(&["seal", "bind"]).expect_success();
        name_credential(&host);
        host.admin(&["seal", "bind", "--yes"]).expect_success();
        assert_eq!(status(&host)["protected_by"], "tpm2");
        assert!(!fs::exists("/var/lib/systemd/credential.secret").unwrap());
        assert_eq!(host.login("alice", &[app.code()]).result(), SUCCESS);
        assert_eq!(host.login("alice", &["000000"]).result(), AUTH_ERR);
        put_in_chip("two");
        refused_without_a_prompt(&host, "another chip", "systemd-creds: ");
    });
}
