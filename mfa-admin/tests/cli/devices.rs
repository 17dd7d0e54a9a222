use std::process::Command;

use serde_json::json;

use crate::host::{Host, PROGRAM, finish, needs_root};

#[test]
fn the_id_is_what_systemd_derives() {
    needs_root!();
    let host = Host::new();
    let run = host
        .run("device id --machine-id 0123456789abcdef0123456789abcdef")
        .expect(0);
    assert_eq!(run.out, "fa15090af0e347089755ff96cbd4e6ec\n");
    std::fs::remove_file(host.path("machine-id")).unwrap();
    std::fs::write(
        host.path("machine-id"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    let document = host.run("device id --json").expect(0).json();
    assert_eq!(document["device"], "fa15090af0e347089755ff96cbd4e6ec");
}

#[test]
fn a_raw_id_that_says_nothing_is_a_usage_error_and_a_machine_id_that_does_is_exit_4() {
    needs_root!();
    let host = Host::new();
    for id in [
        "",
        "00000000000000000000000000000000",
        "123",
        "uninitialized",
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["device", "id", "--machine-id", id]);
        finish(command, "").expect(2);
    }
    for text in ["", "uninitialized\n", "00000000000000000000000000000000\n"] {
        std::fs::remove_file(host.path("machine-id")).unwrap();
        std::fs::write(host.path("machine-id"), text).unwrap();
        let run = host.run("--json device id").expect(4);
        assert_eq!(run.json()["error"]["kind"], "device_unusable");
    }
}

#[test]
fn hosts_are_assigned_once_listed_and_revoked_by_id_or_label() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let other = "1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31";
    let assigned = host
        .run(&format!("--json device assign daemon {other} --label db"))
        .expect(0)
        .json();
    assert_eq!(
        (&assigned["changed"], &assigned["device"]["label"]),
        (&json!(true), &json!("db"))
    );
    assert_eq!(
        host.run(&format!("--json device assign daemon {other}"))
            .expect(0)
            .json()["changed"],
        false
    );
    assert_eq!(
        host.run("--json device assign daemon this")
            .expect(0)
            .json()["changed"],
        false
    );
    assert!(
        host.run("device assign daemon any --label db")
            .expect(1)
            .err
            .contains("--label")
    );
    host.run("device assign daemon any").expect(0);
    let devices = host.run("--json device list daemon").expect(0).json()["devices"].clone();
    assert_eq!(
        (devices[1]["id"].as_str(), devices[2]["id"].as_str()),
        (Some(other), Some("*"))
    );
    host.run("device revoke daemon db").expect(1);
    host.run("device revoke daemon db --yes").expect(0);
    host.run(&format!("device revoke daemon {other} --yes"))
        .expect(3);
    host.run("device revoke daemon any --yes").expect(0);
    let run = host.run("device revoke daemon this --yes").expect(0);
    assert!(run.err.contains("can log in nowhere"), "{}", run.err);
    assert!(
        host.run("device list daemon")
            .expect(0)
            .out
            .contains("no host")
    );
    host.run("device assign daemon nonsense").expect(2);
    host.run("device assign nobody-here this").expect(3);
}

#[test]
fn a_user_has_at_most_64_hosts() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    for number in 1..64 {
        host.run(&format!("device assign daemon {number:032x}"))
            .expect(0);
    }
    let run = host
        .run(&format!("device assign daemon {:032x}", 64))
        .expect(1);
    assert!(run.err.contains("64"), "{}", run.err);
}
