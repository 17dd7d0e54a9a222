use crate::host::{Host, assert_fits, needs_root};

fn explained(host: &Host, line: &str) -> (String, String) {
    let document = host.run(&format!("--json explain {line}")).expect(0).json();
    assert!(
        document["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["message"].is_string())
    );
    let text = |key: &str| document[key].as_str().unwrap().to_owned();
    (text("decision"), text("reason"))
}

fn pair(decision: &str, reason: &str) -> (String, String) {
    (decision.to_owned(), reason.to_owned())
}

#[test]
fn every_outcome_is_predicted_with_its_reason() {
    needs_root!();
    let host = Host::new();
    assert_eq!(
        explained(&host, "no-such-user"),
        pair("deny", "unknown_user")
    );
    assert_eq!(explained(&host, "daemon"), pair("deny", "unknown_user"));
    host.run("user add daemon").expect(0);
    assert_eq!(explained(&host, "daemon"), pair("deny", "not_enrolled"));
    host.enroll("daemon", "phone");
    assert_eq!(explained(&host, "daemon"), pair("challenge", "app"));
    let elsewhere = "daemon --device 1b9d6bcd4f7a4b0e9a4c1c2a5d0e7f31";
    assert_eq!(explained(&host, elsewhere), pair("deny", "wrong_device"));
    host.run("user suspend daemon --reason left").expect(0);
    assert_eq!(explained(&host, "daemon"), pair("deny", "suspended"));
    let document = host.run("--json explain daemon --service cron").json();
    assert_eq!(document["account"]["decision"], "skip");
    host.run("user resume daemon").expect(0);
    host.configure("without_record = \"deny\"", "without_record = \"skip\"");
    assert_eq!(explained(&host, "bin"), pair("skip", "no_record"));
}

#[test]
fn what_a_host_lacks_is_predicted_too() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let other = Host::new();
    std::fs::copy(other.path("seal.key"), host.path("seal.key")).unwrap();
    assert_eq!(
        explained(&host, "daemon"),
        pair("unavailable", "sealed_secret")
    );
    std::fs::write(host.path("store/state/daemon"), "damaged").unwrap();
    assert_eq!(
        explained(&host, "daemon"),
        pair("unavailable", "store_unusable")
    );
    std::fs::remove_file(host.path("seal.key")).unwrap();
    assert_eq!(
        explained(&host, "daemon"),
        pair("unavailable", "store_unusable")
    );
    std::fs::remove_file(host.path("machine-id")).unwrap();
    assert_eq!(
        explained(&host, "daemon"),
        pair("unavailable", "device_unusable")
    );
    std::fs::write(host.path("mfa.toml"), "version = 2").unwrap();
    assert_eq!(
        explained(&host, "daemon"),
        pair("unavailable", "config_unusable")
    );
}

#[test]
fn an_explanation_is_pleasant_at_80_columns_and_tells_no_lies_to_a_terminal() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("user suspend daemon --reason on_a_long_leave_until_somebody_comes_back_and_says_that_it_is_over").expect(0);
    let run = host
        .run("explain daemon --from 2001:db8::1 --service sudo")
        .expect(0);
    assert_fits(&run.out);
    assert!(
        run.out.contains("Result: refused (suspended)"),
        "{}",
        run.out
    );
    let mut command = host.command("explain");
    command.args(["a\u{1b}[2J\nb", "--from", "x\ny"]);
    let run = crate::host::finish(command, "").expect(0);
    assert!(!run.out.contains('\u{1b}'), "{}", run.out);
    host.run("explain daemon --device nonsense").expect(2);
}
