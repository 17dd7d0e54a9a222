//! Codes that are sent, trial messages, and the spool, through a courier of the tests' own.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::time::{Duration, Instant};

use mfa_core::audit::{AuditLog, AuditTrail, Severity};
use mfa_core::clock::SystemClock;
use mfa_core::courier::{Channels, Process};
use mfa_core::device::DeviceId;
use mfa_core::login::{
    self, LoginOutcome, Ports, Prompt, PromptError, SendOutcome, Setting, send_code,
};
use mfa_core::otp::TypedAnswer;
use mfa_core::request::{Account, Caller, LoginRequest, UserName};
use mfa_core::secure_file::Owner;
use mfa_core::store::FileStore;

use crate::host::{Host, assert_fits, code, needs_root};

/// What libpam is asked by: one answer.
struct Answer(String);

impl Prompt for Answer {
    fn ask(&mut self, _: &str, _: bool) -> Result<TypedAnswer, PromptError> {
        Ok(TypedAnswer::new(self.0.clone().into_bytes()))
    }

    fn is_password(&mut self, _: &TypedAnswer) -> bool {
        false
    }
}

struct NoLog;

impl AuditLog for NoLog {
    fn write(&mut self, _: Severity, _: &str) {}
}

/// What sshd would have the module do for daemon at the machine itself.
fn at_sshd<T>(
    host: &Host,
    answer: &str,
    act: impl FnOnce(&LoginRequest, &Setting<'_>, &mut Ports<'_>, &mut AuditTrail) -> T,
) -> T {
    let config = host.config();
    let request = LoginRequest {
        asked_name: "daemon".to_owned(),
        account: Some(Account {
            name: UserName::parse("daemon").unwrap(),
            uid: 1,
        }),
        service: "sshd".to_owned(),
        remote_host: None,
        tty: None,
        remote_user: None,
        nullok: false,
        passphrase: false,
        log_unknown_names: false,
        caller: Caller { uid: 0, euid: 0 },
    };
    let setting = Setting {
        config: &config,
        device: DeviceId::read(&host.path("machine-id"), Owner::ROOT).unwrap(),
        key: &mfa_core::host::load_key(&config, Owner::ROOT).unwrap(),
        channels: Channels::of(&config),
    };
    let store = FileStore::open(&host.path("store"), Owner::ROOT, &[]).unwrap();
    let mut ports = Ports {
        prompt: &mut Answer(answer.to_owned()),
        clock: &SystemClock::new(),
        store: &store,
        courier: &mut Process::new(&config, &host.path("mfa.toml"), Owner::ROOT),
        audit: &mut NoLog,
    };
    let mut trail = AuditTrail::new(&request, "0".repeat(12), 0);
    act(&request, &setting, &mut ports, &mut trail)
}

fn in_row(host: &Host) -> i64 {
    host.run("--json state show daemon").expect(0).json()["state"]["codes"]["in_row"]
        .as_i64()
        .unwrap()
}

#[test]
fn a_code_is_sent_and_good_once() {
    needs_root!();
    let host = Host::delivering("daemon");
    let (run, lines) = host.run_logged("code send daemon", "");
    let run = run.expect(0);
    let messages = host.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let message = &messages[0];
    for (key, value) in [
        ("kind", "code"),
        ("channel", "email"),
        ("to", "daemon@example.com"),
        ("user", "daemon"),
        ("service", "mfa-admin"),
    ] {
        assert_eq!(message[key], value, "{message}");
    }
    assert_eq!(message["from"], serde_json::Value::Null);
    let reference = message["ref"].as_str().unwrap();
    assert_eq!(run.out, format!("Code sent (ref {reference}).\n"));
    let sent = host.sent_code();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains(
            "id=MFA-1001 event=code_sent outcome=info user=\"daemon\" uid=1 service=mfa-admin"
        ) && lines[0].contains("method=email")
            && !lines[0].contains(&sent)
            && !lines[0].contains("example.com"),
        "{lines:?}"
    );
    assert!(!run.err.contains(&sent), "{}", run.err);
    let (run, lines) = host.run_logged("--json code verify daemon", &sent);
    assert_eq!(run.expect(0).json()["accepted"], true);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("id=MFA-2001") && line.contains("method=email")),
        "{lines:?}"
    );
    host.feed("code verify daemon", &sent).expect(1);
}

#[test]
fn a_script_learns_reference_and_channel_and_the_last_code_alone_is_good() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.run("code send daemon").expect(0);
    let first = host.sent_code();
    let answer = host
        .run("--json code send daemon --channel email")
        .expect(0)
        .json();
    assert_eq!(
        (&answer["user"], &answer["sent"], &answer["channel"]),
        (&"daemon".into(), &true.into(), &"email".into())
    );
    assert_eq!(answer["ref"], host.messages()[1]["ref"]);
    let second = host.sent_code();
    if first != second {
        host.feed("code verify daemon", &first).expect(1);
    }
    host.feed("code verify daemon", &second).expect(0);
    // An app code is good beside one that was sent.
    host.run("code send daemon").expect(0);
    host.feed("code verify daemon", &code()).expect(0);
    // Secrets and codes are in no argument and in no environment.
    for call in host.calls() {
        let expected = format!("send --config {} 0", host.path("mfa.toml").display());
        assert_eq!(call, expected);
    }
}

#[test]
fn a_wrong_code_is_charged_and_told_of_and_an_old_one_is_said_to_be_old() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.run("code send daemon").expect(0);
    let sent = host.sent_code();
    let wrong = if sent == "000000" { "000001" } else { "000000" };
    host.feed("code verify daemon", wrong).expect(1);
    assert_eq!(in_row(&host), 1);
    let notices = host.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(
        (
            &notices[0]["kind"],
            &notices[0]["event"],
            &notices[0]["service"]
        ),
        (&"failure".into(), &"bad_code".into(), &"mfa-admin".into())
    );
    host.change_state("daemon", |state| state.clock.elapsed_ms += 301_000);
    let run = host.feed("code verify daemon", &sent).expect(1);
    assert!(
        run.err.contains("too old") && run.err.contains("mfa-admin code send daemon"),
        "{}",
        run.err
    );
    assert_eq!(in_row(&host), 2);
}

#[test]
fn a_code_is_good_for_the_service_that_asked_and_no_other() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.run("code send daemon").expect(0);
    let ours = host.sent_code();
    let outcome = at_sshd(&host, &ours, login::run);
    assert_eq!(outcome, LoginOutcome::Refused);
    let outcome = at_sshd(&host, "", |request, setting, ports, trail| {
        let sent = send_code(request, setting, ports, trail, (None, "K7QM"));
        // Whoever ends the courier too early gets no message.
        let patience = Instant::now() + Duration::from_secs(20);
        while ports.courier.poll().is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        sent
    });
    assert_eq!(outcome, SendOutcome::Started);
    let theirs = host.sent_code();
    assert_eq!(host.messages().last().unwrap()["service"], "sshd");
    host.feed("code verify daemon", &theirs).expect(1);
    assert_eq!(at_sshd(&host, &theirs, login::run), LoginOutcome::Accepted);
}

#[test]
fn an_empty_line_and_the_name_of_a_method_are_no_codes_and_have_none_sent() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.configure("first = \"ask\"", "first = \"send\"");
    for answer in ["\n", "email\n"] {
        let run = host.feed("code verify daemon", answer).expect(1);
        assert!(run.err.contains("the code is wrong"), "{}", run.err);
    }
    host.feed("code verify daemon", "").expect(1);
    assert_eq!(host.calls(), [""; 0]);
    assert_eq!(in_row(&host), 0);
    // With no app, what was sent is still a code.
    host.run("app remove daemon phone --yes").expect(0);
    host.run("code send daemon").expect(0);
    host.feed("code verify daemon", &host.sent_code()).expect(0);
}

#[test]
fn three_codes_may_be_sent_and_unlock_forgets_them() {
    needs_root!();
    let host = Host::delivering("daemon");
    for _ in 0..3 {
        host.run("code send daemon").expect(0);
    }
    let (run, lines) = host.run_logged("--json code send daemon", "");
    let error = run.expect(6).json()["error"].clone();
    assert_eq!(error["kind"], "throttled");
    assert!(
        error["message"].as_str().unwrap().contains("3 codes"),
        "{error}"
    );
    assert!(
        lines.iter().any(|line| line.contains("id=MFA-1003")),
        "{lines:?}"
    );
    assert_eq!(host.messages().len(), 3);
    let shown = host.run("user show daemon").expect(0).out;
    assert!(
        shown.contains("Codes sent:   3 of 3, counted for 15 minutes yet; the last by email")
            && shown.contains("is good until"),
        "{shown}"
    );
    assert_fits(&shown);
    let codes = host.run("--json user show daemon").json()["state"]["codes_sent"].clone();
    assert_eq!(
        (
            &codes["count"],
            &codes["max"],
            &codes["outstanding"]["is_good"]
        ),
        (&3.into(), &3.into(), &true.into())
    );
    assert_eq!(codes["outstanding"]["method"], "email");
    let unlocked = host.run("--json user unlock daemon").expect(0).json();
    assert_eq!(unlocked["changed"], true);
    let last = host.sent_code();
    host.feed("code verify daemon", &last).expect(0);
    let shown = host.run("user show daemon").expect(0).out;
    assert!(
        shown.contains("Codes sent:   0 of 3\n") || shown.ends_with("0 of 3\n"),
        "{shown}"
    );
    host.run("code send daemon").expect(0);
}

#[test]
fn whoever_is_locked_or_kept_out_is_sent_nothing() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.change_state("daemon", |state| state.codes.disabled = true);
    let error = host.run("--json code send daemon").expect(6).json()["error"].clone();
    assert_eq!(error["kind"], "locked");
    host.run("user unlock daemon").expect(0);
    host.run("user suspend daemon --reason left").expect(0);
    let run = host.run("code send daemon").expect(1);
    assert!(run.err.contains("daemon is suspended"), "{}", run.err);
    host.run("user resume daemon").expect(0);
    host.run("device revoke daemon this --yes").expect(0);
    let run = host.run("code send daemon").expect(1);
    assert!(run.err.contains("not assigned to this host"), "{}", run.err);
    host.run("code send bin").expect(3);
    host.run("code send no-such-user").expect(3);
    assert_eq!(host.messages().len(), 0);
}

#[test]
fn without_an_address_or_a_way_the_command_that_mends_it_is_named() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.run("user add bin").expect(0);
    let run = host.run("code send bin").expect(1);
    assert!(
        run.err
            .contains("mfa-admin user set bin --email ADDR --methods app,email"),
        "{}",
        run.err
    );
    host.run("user set bin --email bin@example.com").expect(0);
    let run = host.run("code send bin").expect(1);
    assert!(
        run.err.contains("the method email does not count for bin"),
        "{}",
        run.err
    );
    let run = host.run("code send daemon --channel telegram").expect(4);
    assert!(
        run.err.contains("credential set telegram-token"),
        "{}",
        run.err
    );
    host.run("code send daemon --channel app").expect(2);
    host.configure("max_sends = 3", "max_sends = 0");
    let run = host.run("code send daemon").expect(4);
    assert!(run.err.contains("max_sends"), "{}", run.err);
    let silent = Host::enrolled("daemon");
    for line in ["code send daemon", "notify test daemon"] {
        let run = silent.run(line).expect(4);
        assert!(
            run.err.contains("nothing is delivered on this host")
                && run.err.contains("[courier.smtp]"),
            "{line}: {}",
            run.err
        );
    }
}

#[test]
fn what_kept_a_code_from_going_out_is_said_in_words_and_logged_in_one() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.courier_says("refused smtp auth_rejected 535 5.7.8 no");
    let (run, lines) = host.run_logged("code send daemon", "");
    let err = run.expect(1).err;
    let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        err.contains("does not accept user name and password (auth_rejected, smtp: 535 5.7.8 no)")
            && err.contains("credential set smtp-password"),
        "{err}"
    );
    let ids: Vec<bool> = lines
        .iter()
        .map(|line| line.contains("id=MFA-1001") || line.contains("id=MFA-1002"))
        .collect();
    assert_eq!(ids, [true, true], "{lines:?}");
    assert!(
        lines[1].contains("method=email") && lines[1].contains("reason=\"auth_rejected\""),
        "{lines:?}"
    );
    host.courier_runs("exit 1");
    let run = host.run("code send daemon").expect(1);
    assert!(run.err.contains("ended without a word"), "{}", run.err);
    std::fs::remove_file(host.path("mfa-courier")).unwrap();
    let (run, lines) = host.run_logged("code send daemon", "");
    let err = run.expect(1).err;
    assert!(
        err.contains("does not exist") && err.contains("install mfa-courier"),
        "{err}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("id=MFA-1002") && line.contains("no_courier")),
        "{lines:?}"
    );
}

#[test]
fn a_courier_that_hangs_is_ended_soon_after_its_deadline() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.configure("deadline = \"15s\"", "deadline = \"1s\"");
    let pid = host.path("pid");
    host.courier_runs(&format!(
        "echo $$ > '{}'; exec /bin/sleep 60",
        pid.display()
    ));
    let start = Instant::now();
    let run = host.run("code send daemon").expect(1);
    assert!(
        run.err.contains("did not end by itself at its deadline"),
        "{}",
        run.err
    );
    let took = start.elapsed();
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(20),
        "{took:?}"
    );
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(
        !std::path::Path::new("/proc").join(pid.trim()).exists(),
        "{pid}"
    );
}

#[test]
fn a_trial_message_is_sent_at_once_and_says_who_asked_for_it() {
    needs_root!();
    let host = Host::delivering("daemon");
    let run = host.run("notify test daemon").expect(0);
    assert!(
        run.out
            .contains("daemon by email to daemon@example.com (kept)."),
        "{}",
        run.out
    );
    let answer = host.run("--json notify test daemon").expect(0).json();
    assert_eq!(
        (&answer["sent"], &answer["channel"]),
        (&true.into(), &"email".into())
    );
    let message = host.messages()[0].clone();
    assert_eq!(
        (&message["kind"], &message["user"]),
        (&"test".into(), &"daemon".into())
    );
    assert!(!message["actor"].as_str().unwrap().is_empty());
    host.courier_says("retry smtp dns no such name");
    let run = host.run("notify test daemon").expect(1);
    assert!(
        run.err.contains("the server's name was not found"),
        "{}",
        run.err
    );
    host.run("user add bin").expect(0);
    let run = host.run("notify test bin").expect(1);
    assert!(run.err.contains("user set bin --email ADDR"), "{}", run.err);
    host.run("notify test sys").expect(3);
}

#[test]
fn the_queue_tells_what_waits_and_opens_nothing() {
    needs_root!();
    let host = Host::delivering("daemon");
    assert!(
        host.run("notify queue")
            .expect(0)
            .out
            .contains("No notice waits"),
    );
    host.run("user suspend daemon --reason x").expect(0);
    let spool = host.path("spool");
    let id = "0123456789abcdef".repeat(2);
    for name in [
        format!("deferred/1795000000~3~login~daemon~{id}"),
        format!("deferred/failure~daemon~{id}"),
        "deferred/sent~daemon".to_owned(),
        format!("dead/digest~daemon~{id}"),
        "dead/\u{1b}[2Jx".to_owned(),
    ] {
        std::fs::write(spool.join(name), "not to be read").unwrap();
    }
    symlink("/etc/shadow", spool.join(format!("new/test~daemon~{id}"))).unwrap();
    let fifo = spool.join(format!("new/change~daemon~{id}"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = host.run("notify queue").expect(0);
    assert_fits(&run.out);
    assert!(
        !run.out.contains('\u{1b}') && run.out.contains("\\u{1b}[2Jx"),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("3 new, 2 deferred, 2 dead."),
        "{}",
        run.out
    );
    for words in [
        "new change daemon",
        "0 next drain",
        "3 2026-11-18 11:06",
        "0 in a digest",
        "0 never",
        "new ? test~daemon~",
        "new ? change~daemon~",
    ] {
        let lines: Vec<String> = run
            .out
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(
            lines.iter().any(|line| line.contains(words)),
            "{words}: {}",
            run.out
        );
    }
    let answer = host.run("--json notify queue").expect(0).json();
    assert_eq!(
        answer["counts"],
        serde_json::json!({ "new": 3, "deferred": 2, "dead": 2 })
    );
    let waiting = answer["notices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|notice| notice["tries"] == 3)
        .unwrap();
    assert_eq!(
        (&waiting["place"], &waiting["kind"], &waiting["user"]),
        (&"deferred".into(), &"login".into(), &"daemon".into())
    );
    assert_eq!(waiting["next_try"], "2026-11-18T11:06:40Z");
}

#[test]
fn the_queue_is_read_with_the_rights_of_the_courier_alone() {
    needs_root!();
    let host = Host::delivering("daemon");
    // Root could read it all the same.
    chown(host.path("spool/new"), Some(1), Some(1)).unwrap();
    let run = host.run("notify queue").expect(4);
    assert!(run.err.contains("spool/new"), "{}", run.err);
    std::fs::remove_dir(host.path("spool/new")).unwrap();
    symlink("/etc", host.path("spool/new")).unwrap();
    let run = host.run("notify queue").expect(4);
    assert!(run.err.contains("is not a folder"), "{}", run.err);
    std::fs::remove_file(host.path("spool/new")).unwrap();
    let run = host.run("notify queue").expect(4);
    assert!(run.err.contains("mfa-admin init"), "{}", run.err);
}

#[test]
fn draining_shows_what_the_courier_says_and_how_it_ended() {
    needs_root!();
    let host = Host::delivering("daemon");
    host.courier_drains("printf 'one\\n\\033[2Jtwo\\n' >&2; exit 0");
    let run = host.run("notify drain").expect(0);
    assert_eq!(run.err, "one\n\\u{1b}[2Jtwo\n");
    assert!(run.out.contains("The courier is done"), "{}", run.out);
    let answer = host.run("--json notify drain").expect(0).json();
    assert_eq!(answer["drained"], true);
    assert_eq!(
        answer["messages"],
        serde_json::json!(["one", "\\u{1b}[2Jtwo"])
    );
    for (script, code, words) in [
        (
            "echo 'retry smtp dns' >&2; exit 75",
            1,
            "tried again later: retry smtp dns",
        ),
        (
            "echo 'config smtp ca_file' >&2; exit 78",
            4,
            "config smtp ca_file",
        ),
        ("exit 9", 1, "exit 9"),
        ("kill -9 $$", 1, "signal 9"),
    ] {
        host.courier_drains(script);
        let run = host.run("notify drain").expect(code);
        let err = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(err.contains(words), "{script}: {err}");
    }
    for call in host.calls() {
        let expected = format!("drain --config {} 0", host.path("mfa.toml").display());
        assert_eq!(call, expected);
    }
    let others = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(host.path("mfa-courier"), others).unwrap();
    let run = host.run("notify drain").expect(1);
    assert!(run.err.contains("others can write it"), "{}", run.err);
}

#[test]
fn draining_ends_with_the_terminal_s_interrupt() {
    needs_root!();
    let host = Host::delivering("daemon");
    let pid = host.path("pid");
    host.courier_drains(&format!(
        "echo $$ > '{}'; echo at work >&2; exec /bin/sleep 60",
        pid.display()
    ));
    let mut terminal = host.terminal("notify drain");
    terminal.answer("at work", "\u{3}");
    let start = Instant::now();
    terminal.end();
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = std::fs::read_to_string(pid).unwrap();
    let gone = Instant::now() + Duration::from_secs(5);
    let process = std::path::Path::new("/proc").join(pid.trim());
    while process.exists() && Instant::now() < gone {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!process.exists());
}
