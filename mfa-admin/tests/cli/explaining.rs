use mfa_core::otp::{Binding, Code, SentCode};
use mfa_core::record::Method;
use mfa_core::secure_file::Owner;

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

/// Sets up mail, and a command, on a host that delivers nothing.
fn deliver(host: &Host) {
    let text = std::fs::read_to_string(host.path("mfa.toml")).unwrap();
    let text = text.replace("\nrun = []", "\nrun = [\"/bin/tell\"]");
    let mail = "[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"mfa@example.com\"\n";
    std::fs::write(host.path("mfa.toml"), format!("{text}\n{mail}")).unwrap();
}

/// What is said of a step; empty where there is no such step.
fn step(host: &Host, line: &str, id: &str) -> String {
    let document = host.run(&format!("--json explain {line}")).expect(0).json();
    let steps = document["steps"].as_array().unwrap();
    let found: Vec<&str> = steps
        .iter()
        .filter(|step| step["id"] == id)
        .map(|step| step["message"].as_str().unwrap())
        .collect();
    found.join("\n")
}

#[test]
fn what_enter_and_the_names_of_methods_would_do_is_told() {
    needs_root!();
    let host = Host::enrolled("daemon");
    assert_eq!(
        step(&host, "daemon", "prompt"),
        "\"Verification code:\"; nothing is delivered on this host"
    );
    assert_eq!(step(&host, "daemon", "Enter"), "");
    deliver(&host);
    let prompt = step(&host, "daemon", "prompt");
    assert!(prompt.starts_with("\"Verification code (Enter to have one sent):\""));
    assert!(step(&host, "daemon", "Enter").starts_with("has nothing sent"));
    assert!(step(&host, "daemon", "email").contains("no method of this user"));
    host.run("user set daemon --email daemon@example.com --methods app,email")
        .expect(0);
    assert_eq!(step(&host, "daemon", "Enter"), "has a code sent by email");
    assert_eq!(
        step(&host, "daemon", "email"),
        "typed at the prompt: has a code sent to d…@example.com"
    );
    assert_eq!(step(&host, "daemon", "telegram"), "");
    assert_eq!(
        step(&host, "daemon", "sends"),
        "3 of 3 may be sent within 15 minutes"
    );
    assert_eq!(step(&host, "daemon", "sent"), "");
    assert_fits(&host.run("explain daemon").expect(0).out);
    // The prompt says the same of everybody.
    assert_eq!(step(&host, "no-such-user", "prompt"), prompt);
    host.configure("first = \"ask\"", "first = \"send\"");
    assert!(step(&host, "daemon", "prompt").starts_with("\"Code sent (ref "));
    host.configure("max_sends = 3", "max_sends = 0");
    assert!(step(&host, "daemon", "prompt").contains("no codes are sent"));
    assert_eq!(step(&host, "daemon", "Enter"), "");
}

#[test]
fn codes_that_were_sent_and_what_may_still_be_are_told() {
    needs_root!();
    let host = Host::enrolled("daemon");
    deliver(&host);
    host.run("user set daemon --email daemon@example.com --methods app,email")
        .expect(0);
    let key = mfa_core::host::load_key(&host.config(), Owner::ROOT).unwrap();
    let code = Code::to_send(6, 0).unwrap();
    let binding = Binding {
        user: "daemon",
        to: "daemon@example.com",
        service: "sshd",
        from: "",
    };
    host.change_state("daemon", |state| {
        let now = state.now();
        state.sends.in_window = 3;
        state.sends.window_opened = Some(now);
        state.sent = Some(SentCode::remember(&key, &binding, Method::Email, now, &code).unwrap());
    });
    assert!(step(&host, "daemon", "sends").starts_with("none for 15 minutes yet: 3 were sent"));
    let sent = step(&host, "daemon", "sent");
    assert!(
        sent.starts_with("a code sent by email is good for") && !sent.contains(code.as_str()),
        "{sent}"
    );
    host.configure("lifetime = \"5m\"", "lifetime = \"10s\"");
    host.change_state("daemon", |state| state.clock.elapsed_ms += 10_000);
    assert_eq!(
        step(&host, "daemon", "sent"),
        "the code that was sent by email has run out"
    );
}

#[test]
fn whom_no_code_can_reach_and_whom_one_still_can_is_predicted() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run("user set daemon --email daemon@example.com --methods email")
        .expect(0);
    assert_eq!(explained(&host, "daemon"), pair("deny", "not_enrolled"));
    assert!(step(&host, "daemon", "policy").contains("nothing is sent by email on this host"));
    deliver(&host);
    assert_eq!(explained(&host, "daemon"), pair("challenge", "email"));
    // Without the sealing key of the secrets no code of an app is right; one that is sent is.
    host.run("user set daemon --methods app,email").expect(0);
    let other = Host::new();
    std::fs::copy(other.path("seal.key"), host.path("seal.key")).unwrap();
    assert_eq!(explained(&host, "daemon"), pair("challenge", "app"));
    assert!(step(&host, "daemon", "apps").contains("a code that is sent is"));
}
