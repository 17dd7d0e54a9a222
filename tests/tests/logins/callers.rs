//! su runs with its caller's limits, signals and terminal. Whatever the caller does with them: the victim's next
//! login works, and no guess goes uncharged.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mfa_tests::{Authenticator, Host, Script, Terminal, on_a_test_host, stacks};

use crate::CODE;

/// A login has to be decided within this time, whoever hangs in another one of the same user.
const AT_ONCE: Duration = Duration::from_secs(4);

/// mallory's `su TARGET`, started by a shell that has run `first`.
fn mallorys_su(host: &Host, first: &str, target: &str) -> Terminal {
    host.terminal_of(
        "mallory",
        &[
            "sh",
            "-c",
            &format!("{first}\nexec su {target} -c 'id -un'"),
        ],
    )
}

/// `target` logs in with a right code, from an ordinary caller and without waiting.
fn the_victim_logs_in(host: &Host, target: &str, phone: &Authenticator, what: &str) {
    let code = phone.code();
    let started = Instant::now();
    let talk = host
        .su("bob", target, "id -un")
        .talk(Script::new().answer(CODE, &code));
    assert!(
        talk.exit == 0 && talk.transcript.contains(target),
        "after {what}:\n{}",
        talk.transcript
    );
    assert!(
        started.elapsed() < AT_ONCE,
        "after {what}: {:?}",
        started.elapsed()
    );
}

#[test]
fn su_with_a_file_size_limit_does_not_lock_the_victim_out() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n");
        host.write_service("su", stacks::CODE_ALONE);
        // In units of 512 bytes: nothing, less than a slot of the state, the first slot and part of the second.
        let limits = [
            "ulimit -f 0",
            "ulimit -f 1",
            "ulimit -f 5",
            "trap '' XFSZ; ulimit -f 0",
            "trap '' XFSZ; ulimit -f 1",
            "trap '' XFSZ; ulimit -f 5",
        ];
        for (number, limit) in (0u32..).zip(limits) {
            let name = format!("victim{number}");
            host.add_account(&name, 3000 + number);
            let phone = host.enroll(&name);
            let guess = Script::new().answer(CODE, &phone.wrong_code());
            mallorys_su(host, limit, &name)
                .talk(guess)
                .expect_failure()
                .expect_no_text(&format!("{name}\n"));
            the_victim_logs_in(host, &name, &phone, limit);
            // The right code lets in only when its use was kept.
            let code = phone.code();
            let script = || Script::new().answer(CODE, &code);
            let talk = mallorys_su(host, limit, &name).talk(script());
            if talk.transcript.contains(&format!("{name}\n")) {
                assert!(limit.ends_with('5'), "{limit}:\n{}", talk.transcript);
                host.su("bob", &name, "id -un")
                    .talk(script())
                    .expect_failure();
            }
            the_victim_logs_in(host, &name, &phone, limit);
        }
        let stores = host
            .run(&["find", "/var/lib/mfa", "!", "-user", "root"])
            .stdout;
        assert_eq!(stores, "", "all files are root's");
    });
}

/// A shell of mallory's that sends signals when told to, fast.
struct Accomplice {
    shell: Child,
    orders: ChildStdin,
}

impl Accomplice {
    fn new() -> Self {
        let mut shell = Command::new("setpriv")
            .args([
                "--reuid=mallory",
                "--regid=mallory",
                "--init-groups",
                "bash",
                "-c",
                "while read -r order; do eval \"$order\"; done",
            ])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = shell.stdin.take().unwrap();
        Self { shell, orders }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }
}

impl Drop for Accomplice {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// For each of many moments: mallory guesses at a victim of her own through su, `disturb`s su after that time, and the
/// victim logs in while it stands still. Returns how often su was found in the state `wanted` of /proc.
fn disturbed_at_many_moments(
    host: &Host,
    wanted: char,
    disturb: impl Fn(&mut Terminal, &mut Accomplice, u32),
) -> u32 {
    const MOMENTS: u32 = 40;
    host.configure("tries = 1\n");
    host.write_service("su", stacks::CODE_ALONE);
    let mut accomplice = Accomplice::new();
    // How long a guess takes, from when it was read to the end of su.
    host.enroll("carol");
    let (mut terminal, _) = mallorys_job(host, "carol");
    terminal.expect_prompt(CODE);
    terminal.type_line("000000");
    terminal.expect_output();
    let started = Instant::now();
    terminal.play(Script::new().answer("end of job: ", ""));
    let whole = started.elapsed().min(Duration::from_millis(50));

    let mut found = 0;
    for moment in 0..MOMENTS {
        let name = format!("victim{moment}");
        host.add_account(&name, 3000 + moment);
        let phone = host.enroll(&name);
        let (mut terminal, su) = mallorys_job(host, &name);
        terminal.expect_prompt(CODE);
        let mark = host.mark();
        terminal.type_line(&phone.wrong_code());
        terminal.expect_output();
        sleep(whole * moment / MOMENTS);
        disturb(&mut terminal, &mut accomplice, su);
        the_victim_logs_in(
            host,
            &name,
            &phone,
            &format!("a signal at {moment}/{MOMENTS} of {whole:?}"),
        );
        let ids = host.ids_since(mark);
        assert!(!ids.contains(&"MFA-2206".to_owned()), "busy: {ids:?}");
        found += u32::from(state_of(su) == Some(wanted));
    }
    found
}

/// mallory's `su TARGET` as a job of her shell, so that Ctrl-Z stops it, and its process id.
fn mallorys_job(host: &Host, target: &str) -> (Terminal, u32) {
    mallorys_job_at(host, target, CODE)
}

fn mallorys_job_at(host: &Host, target: &str, prompt: &str) -> (Terminal, u32) {
    let line = format!("su {target} -c 'id -un'; read -p 'end of job: '");
    let mut terminal = host.terminal_of("mallory", &["bash", "-mc", &line]);
    terminal.expect_prompt(prompt);
    let shell = terminal.pid().to_string();
    let su = host.run(&["pgrep", "--parent", &shell, "--exact", "su"]);
    (terminal, su.stdout.trim().parse().unwrap())
}

/// The letter in /proc/PID/stat; none when the process is gone.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

#[test]
fn su_stopped_with_sigstop_holds_nobody_up() {
    on_a_test_host(|host| {
        let stopped = disturbed_at_many_moments(host, 'T', |_, accomplice, su| {
            accomplice.order(&format!("kill -STOP {su}"));
        });
        assert!(stopped > 0, "su was never caught");
    });
}

#[test]
fn su_stopped_with_ctrl_z_holds_nobody_up() {
    on_a_test_host(|host| {
        let stopped =
            disturbed_at_many_moments(host, 'T', |terminal, _, _| terminal.type_bytes(b"\x1a"));
        assert!(stopped > 0, "su was never caught");
    });
}

#[test]
fn su_can_not_be_stopped_while_it_holds_the_victims_state() {
    on_a_test_host(|host| {
        host.configure("tries = 1\n");
        host.write_service("su", stacks::CODE_ALONE);
        let mut accomplice = Accomplice::new();
        for (uid, way) in (3000..).zip(["SIGSTOP", "Ctrl-Z", "SIGTERM"]) {
            let name = format!("victim-of-{}", way.to_lowercase());
            host.add_account(&name, uid);
            let phone = host.enroll(&name);
            let (mut terminal, su) = mallorys_job(host, &name);
            terminal.expect_prompt(CODE);
            let tracer = Tracer::attach(su);
            terminal.type_line(&phone.wrong_code());
            tracer.wait_for("pwrite64");
            match way {
                "SIGSTOP" => accomplice.order(&format!("kill -STOP {su}")),
                "Ctrl-Z" => terminal.type_bytes(b"\x1a"),
                _ => accomplice.order(&format!("kill -TERM {su}")),
            }
            the_victim_logs_in(host, &name, &phone, way);
            accomplice.order(&format!("kill -KILL {su}"));
            // What was guessed is charged, whatever came in between.
            let state = host.admin(&["state", "show", &name]);
            assert!(state.contains("in_window = 1"), "{way}: {state}");
        }
    });
}

/// strace, which makes the transaction of a process last: its write to the disk takes 1.5 s.
struct Tracer {
    strace: Child,
    pid: u32,
}

impl Tracer {
    const LOG: &str = "/run/strace.log";

    fn attach(pid: u32) -> Self {
        Self::slowing("pwrite64,fdatasync", "fdatasync:delay_enter=1500000", pid)
    }

    fn slowing(trace: &str, inject: &str, pid: u32) -> Self {
        let _ = fs::remove_file(Self::LOG);
        let strace = Command::new("strace")
            .args([
                "-q",
                "-o",
                Self::LOG,
                "-e",
                &format!("trace={trace}"),
                "-e",
                &format!("inject={inject}"),
            ])
            .args(["-p", &pid.to_string()])
            .spawn()
            .unwrap();
        wait_until("strace has attached", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status
                .lines()
                .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        });
        Self { strace, pid }
    }

    fn wait_for(&self, call: &str) {
        wait_until(&format!("{call} in process {}", self.pid), || {
            fs::read_to_string(Self::LOG).is_ok_and(|log| log.contains(call))
        });
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_guess_that_was_charged_is_in_the_log_and_told_whoever_kills_su_then() {
    on_a_test_host(|host| {
        host.configure(
            "tries = 1\n[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"/var/mail\"\n",
        );
        host.write_service("su", stacks::CODE_ALONE);
        let mut accomplice = Accomplice::new();
        let ask = "Verification code (Enter to have one sent): ";
        for (uid, name) in (3000..).zip(["victim0", "victim1", "victim2"]) {
            host.add_account(name, uid);
            let address = format!("{name}@example.com");
            host.admin(&[
                "user", "add", name, "--method", "email", "--email", &address,
            ]);
            let mark = host.mark();
            let (mut terminal, su) = mallorys_job_at(host, name, ask);
            // What is said of the guess takes its time: room enough to kill in, if that were possible.
            let tracer = Tracer::slowing(
                "pwrite64,sendto,renameat2",
                "sendto,renameat2:delay_enter=300000",
                su,
            );
            terminal.type_line("000000");
            tracer.wait_for("sendto");
            accomplice.order(&format!(
                "until kill -KILL {su}; do kill -0 {su} || [ -d /proc/{su} ] || break; done"
            ));
            wait_until("su has ended", || {
                state_of(su).is_none_or(|state| state == 'Z')
            });
            drop(tracer);
            let state = host.admin(&["state", "show", name]);
            assert!(state.contains("in_window = 1"), "{state}");
            assert!(host.ids_since(mark).contains(&"MFA-2101".to_owned()));
            let told = host.run(&[
                "sh",
                "-c",
                &format!("ls /var/spool/mfa/new | grep -c '^failure~{name}~'"),
            ]);
            assert_eq!(told.stdout, "1\n", "{name}");
        }
    });
}

#[test]
fn su_killed_at_any_moment_holds_nobody_up() {
    on_a_test_host(|host| {
        disturbed_at_many_moments(host, 'Z', |_, accomplice, su| {
            accomplice.order(&format!("kill -KILL {su}"));
        });
        let left = host.run(&["sh", "-c", "ls -A /var/lib/mfa/users /var/lib/mfa/state | grep -v -e '^carol' -e '^victim' -e '^%decoy' -e :$ -e '^$'"]);
        assert_eq!(left.stdout, "", "nothing is left behind");
    });
}
