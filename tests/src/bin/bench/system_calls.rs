//! What one login asks of the kernel, as strace sees it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use mfa_tests::pam_host::built;
use mfa_tests::stopwatch::Stopwatch;

use crate::kind::Kind;
use crate::logins::answer;
use crate::site::Site;

/// Logins, of which the last is looked at.
const LOGINS: usize = 4;

/// One system call.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// As strace prints them, with the paths of descriptors.
    pub(crate) arguments: String,
    /// None for an error.
    result: Option<u64>,
}

/// Of `pam_authenticate` in one login, in order.
pub(crate) struct Calls(pub(crate) Vec<Call>);

/// Traces one login.
pub(crate) fn trace(site: &Site, kind: &Kind) -> Calls {
    let file = site.folder.join("strace");
    let mut command = Command::new("strace");
    command
        .args([
            "--quiet=all",
            "--decode-fds=path,socket",
            "--string-limit=0",
            "--signal=none",
        ])
        .arg("--output")
        .arg(&file)
        .arg(built("pam_bench"))
        .arg(site.services());
    let mut stopwatch = Stopwatch::start_below(&mut command);
    let code = answer(&site.app, kind, &site.app.wrong_code());
    for turn in 0..LOGINS {
        let lap = stopwatch.obey(&kind.command("marked", turn, &code));
        kind.expect(lap);
    }
    drop(stopwatch);
    let text = fs::read_to_string(&file).unwrap();
    let (_, last) = text.rsplit_once("\"/bench/called\"").unwrap();
    let (inside, _) = last.split_once("access(\"/bench/returned\"").unwrap();
    // The rest of the marker's own line comes first; the stopwatch's own look at the CPU's clock stands around the login.
    let calls: Vec<_> = inside.lines().skip(1).map(Call::parse).collect();
    let [first, calls @ .., last] = &calls[..] else {
        panic!("too little was traced: {inside}");
    };
    assert_eq!(
        (&*first.name, &*last.name),
        ("clock_gettime", "clock_gettime")
    );
    Calls(calls.to_vec())
}

impl Call {
    /// `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3</etc/passwd>`
    fn parse(line: &str) -> Self {
        let (call, result) = line.rsplit_once(" = ").unwrap_or((line, "?"));
        let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
        let digits: String = result.chars().take_while(char::is_ascii_digit).collect();
        Self {
            name: name.to_owned(),
            arguments: arguments.trim_end().trim_end_matches(')').to_owned(),
            result: digits.parse().ok(),
        }
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&&*self.name)
    }
}

impl Calls {
    /// How often each is called, by name.
    pub(crate) fn by_name(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.0 {
            *counts.entry(&*call.name).or_insert(0) += 1;
        }
        counts
    }

    /// Waits for the disk.
    pub(crate) fn syncs(&self) -> usize {
        self.count(&["fsync", "fdatasync", "sync", "syncfs", "msync"])
    }

    /// Files that were opened.
    pub(crate) fn opened(&self) -> usize {
        let opens = |call: &&Call| call.is(&["open", "openat", "openat2"]) && call.result.is_some();
        self.0.iter().filter(opens).count()
    }

    /// Bytes read from files.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes(&["read", "pread64", "readv", "preadv"])
    }

    /// Bytes written to files.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes(&["write", "pwrite64", "writev", "pwritev"])
    }

    /// Bytes sent to the log's socket. libpam itself sends to the kernel's audit, with whatever module.
    pub(crate) fn bytes_logged(&self) -> u64 {
        let calls = self.0.iter().filter(|call| {
            call.is(&["send", "sendto", "sendmsg"]) && call.arguments.contains("<UNIX:")
        });
        calls.filter_map(|call| call.result).sum()
    }

    fn count(&self, names: &[&str]) -> usize {
        self.0.iter().filter(|call| call.is(names)).count()
    }

    fn bytes(&self, names: &[&str]) -> u64 {
        let calls = self.0.iter().filter(|call| call.is(names));
        calls.filter_map(|call| call.result).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_as_strace_writes_them() {
        let lines = [
            "openat(6</srv/ours/lib/state>, \"u000003\", O_RDWR|O_CLOEXEC) = 4</srv/ours/lib/state/u000003>",
            "openat(AT_FDCWD</>, \"/nowhere\", O_RDONLY) = -1 ENOENT (No such file or directory)",
            "pread64(4</srv/ours/lib/state/u000003>, \"\"..., 4096, 0) = 4096",
            "pwrite64(4</srv/ours/lib/state/u000003>, \"\"..., 2048, 0) = 2048",
            "fdatasync(4</srv/ours/lib/state/u000003>) = 0",
            "sendto(3<UNIX:[6460888->6435596]>, \"\"..., 231, MSG_NOSIGNAL, NULL, 0) = 231",
            "sendto(4<NETLINK:[6460939]>, ..., 180, 0, {sa_family=AF_NETLINK}, 12) = 180",
            "getuid()                                = 0",
        ];
        let calls = Calls(lines.map(Call::parse).into());
        assert_eq!((calls.opened(), calls.syncs()), (1, 1));
        assert_eq!(
            (
                calls.bytes_read(),
                calls.bytes_written(),
                calls.bytes_logged()
            ),
            (4096, 2048, 231)
        );
        assert_eq!(calls.by_name()["openat"], 2);
        assert_eq!(calls.by_name()["getuid"], 1);
    }
}
