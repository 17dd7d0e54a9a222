use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;

use super::*;

fn shell(script: &str, input: &[u8], patience: Duration) -> Result<Vec<u8>, CredentialError> {
    let script = CString::new(script).unwrap();
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let output = run(&shell, &[c"-c", &script], input, patience)?;
    Ok(output.to_vec())
}

/// Whether a process runs that has this word on its command line.
fn is_at_work(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|process| fs::read(process.unwrap().path().join("cmdline")).ok())
        .any(|line| {
            String::from_utf8_lossy(&line)
                .split('\0')
                .any(|each| each == word)
        })
}

#[test]
fn a_program_gets_its_input_and_nothing_else_of_this_process() {
    let text = [b'x'; 5000];
    assert_eq!(shell("cat", &text, PATIENCE).unwrap(), text);
    // One that does not close itself when another program is started.
    let open = fs::File::open("/").unwrap();
    let number = nix::fcntl::fcntl(&open, nix::fcntl::FcntlArg::F_DUPFD(100)).unwrap();
    assert!(number >= 100 && open.as_raw_fd() < number);
    let seen = shell(
        "ls /proc/$$/fd | tr '\\n' ' '; env | grep -v PWD=",
        b"",
        PATIENCE,
    );
    // grep finds nothing: the environment is empty.
    assert_eq!(
        seen,
        Err(CredentialError::Refused("it does not say why".to_owned()))
    );
    let seen = shell("ls /proc/$$/fd | tr '\\n' ' '", b"", PATIENCE).unwrap();
    nix::unistd::close(number).unwrap();
    assert!(
        !seen.is_empty()
            && !String::from_utf8(seen)
                .unwrap()
                .contains(&number.to_string())
    );
}

#[test]
fn a_program_is_out_of_reach_of_terminals_and_leaves_no_core() {
    let before = program::core_limit();
    let seen = shell(
        "read pid comm state parent group session terminal rest </proc/$$/stat; echo $pid $group $session $terminal; \
         grep 'core file size' /proc/$$/limits",
        b"",
        PATIENCE,
    );
    let seen = String::from_utf8(seen.unwrap()).unwrap();
    let words: Vec<&str> = seen.split_whitespace().collect();
    assert!(words[1] == words[0] && words[2] == words[0], "{seen}");
    assert_eq!(words[3], "0", "a terminal: {seen}");
    // "Max core file size", the soft limit, the hard one: where cores are piped, only 1 says none.
    let soft = if before.0 == 0 { "0" } else { "1" };
    assert_eq!(words[8], soft, "{seen}");
    // Nor does it stay with this process, however many are started at once.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(shell("echo", b"", PATIENCE).unwrap(), b"\n"));
        }
    });
    assert_eq!(program::core_limit(), before);
}

#[test]
fn what_is_wrong_is_told_in_the_programs_own_words() {
    for (script, words) in [
        (
            "echo first >&2; echo no such key >&2; exit 1",
            "no such key",
        ),
        ("echo half; echo gave up >&2; exit 1", "gave up"),
        ("echo half; kill -9 $$", "it does not say why"),
        ("exit 0", "it does not say why"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "x"),
    ] {
        let Err(CredentialError::Refused(told)) = shell(script, b"secret", PATIENCE) else {
            panic!("{script}");
        };
        assert!(
            told.starts_with(words) && told.len() <= MAX_COMPLAINT,
            "{told}"
        );
    }
    let missing = run(Path::new("/usr/bin/no-such-creds"), &[], b"", PATIENCE).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("/usr/bin/no-such-creds: does not exist"),
        "{missing}"
    );
}

#[test]
fn a_program_that_does_not_end_is_ended() {
    for (seconds, script) in [
        ("61.125", "exec sleep 61.125"),
        ("62.125", "sleep 62.125; true"),
        ("63.125", "exec >&- 2>&- <&-; exec sleep 63.125"),
        (
            "64.125",
            "while :; do echo x; sleep 0.01; done & exec sleep 64.125",
        ),
    ] {
        let ended = shell(script, b"secret", Duration::from_millis(200));
        assert_eq!(ended, Err(CredentialError::TimedOut), "{script}");
        // What was killed takes a moment to be gone.
        let is_gone = (0..500).any(|_| {
            sleep(Duration::from_millis(10));
            !is_at_work(seconds)
        });
        assert!(is_gone, "{script}");
    }
}

#[test]
fn time_is_up_by_the_clock_where_waits_take_longer_than_they_should() {
    let mut left = Left::of(LONG_PATIENCE);
    assert_eq!(left.spend(PAUSE), Ok(()));
    left.until_ms = up_ms() - 1;
    assert_eq!(left.spend(PAUSE), Err(CredentialError::TimedOut));
    let mut left = Left::of(LONG_PATIENCE);
    assert_eq!(left.spend(LONG_PATIENCE), Ok(()));
    assert_eq!(left.spend(PAUSE), Err(CredentialError::TimedOut));
}

#[test]
fn what_protects_a_credential_is_read_from_its_beginning() {
    // What systemd-creds 252 of Debian 12 made with a host key.
    let made = b"Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAABfmMsHtBPF7rJc/KcAAAAALsLCXLj7aYvoQsk\n";
    assert_eq!(Protection::of(made), Protection::HostKey);
    for other in [&b""[..], b"Whxq", b"mfa-seal-key:1:0011223344556677"] {
        assert_eq!(Protection::of(other), Protection::Unknown);
    }
}
