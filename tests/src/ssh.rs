//! A real sshd on 127.0.0.1 and the OpenSSH client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::terminal::{Script, Talk, Terminal};

/// The network is the test host's own, so this port is always free.
const PORT: u16 = 2222;
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
const KNOWN_HOSTS: &str = "/run/known_hosts";
const CONFIGURATION: &str = "\
Port 2222
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication no
PermitRootLogin no
LogLevel VERBOSE
UseDNS no
MaxStartups 200
PrintMotd no
Subsystem sftp /usr/lib/openssh/sftp-server
";

/// sshd, running.
pub struct Sshd {
    daemon: Child,
}

impl Sshd {
    /// Starts sshd and waits until it greets. In sshd_config the first value counts: `options` come first.
    pub(crate) fn start(options: &[&str]) -> Self {
        if !Path::new(HOST_KEY).exists() {
            keygen(HOST_KEY);
            let public = fs::read_to_string(format!("{HOST_KEY}.pub")).unwrap();
            fs::write(KNOWN_HOSTS, format!("[127.0.0.1]:{PORT} {public}")).unwrap();
        }
        fs::write(
            "/etc/ssh/sshd_config",
            format!("{}\n{CONFIGURATION}", options.join("\n")),
        )
        .unwrap();
        let daemon = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f", "/etc/ssh/sshd_config"])
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd is unpacked by tests/packages.sh");
        let mut sshd = Self { daemon };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !greets() {
            if let Some(status) = sshd.daemon.try_wait().unwrap() {
                panic!("sshd has ended: {status}");
            }
            assert!(
                Instant::now() < deadline,
                "sshd does not accept connections"
            );
            sleep(Duration::from_millis(5));
        }
        sshd
    }

    /// A client that logs `user` in by keyboard-interactive, once.
    #[allow(clippy::unused_self, reason = "there is no client without a server")]
    pub fn ssh(&self, user: &str) -> Client {
        Client {
            user: user.to_owned(),
            methods: "keyboard-interactive".to_owned(),
            options: Vec::new(),
            command: "id -un".to_owned(),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn greets() -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", PORT)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .is_ok_and(|_| line.starts_with("SSH-2.0"))
}

fn keygen(path: &str) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", path])
        .status()
        .unwrap();
    assert!(status.success(), "ssh-keygen");
}

/// One run of the ssh client.
#[derive(Debug, Clone)]
pub struct Client {
    user: String,
    methods: String,
    options: Vec<String>,
    command: String,
}

impl Client {
    /// Authentication methods that the client offers, in its words: `publickey,keyboard-interactive`.
    #[must_use]
    pub fn methods(mut self, methods: &str) -> Self {
        methods.clone_into(&mut self.methods);
        self
    }

    /// Makes a key for this user, authorises it and lets the client use it.
    #[must_use]
    pub fn with_key(self) -> Self {
        let key = format!("/run/key-of-{}", self.user);
        if !Path::new(&key).exists() {
            keygen(&key);
            let folder = format!("/run/home/{}/.ssh", self.user);
            fs::create_dir_all(&folder).unwrap();
            let authorized = format!("{folder}/authorized_keys");
            fs::copy(format!("{key}.pub"), &authorized).unwrap();
            let home = fs::metadata(format!("/run/home/{}", self.user)).unwrap();
            for path in [folder, authorized] {
                chown(path, Some(home.uid()), Some(home.gid())).unwrap();
            }
        }
        self.option(&format!("IdentityFile={key}"))
    }

    /// An option of ssh_config, `Name=value`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// What to run on the host; `id -un` if nothing is said.
    #[must_use]
    pub fn command(mut self, command: &str) -> Self {
        command.clone_into(&mut self.command);
        self
    }

    /// Starts ssh on a terminal.
    pub fn start(&self) -> Terminal {
        let mut words = self.words("ssh", "-p");
        let target = format!("{}@127.0.0.1", self.user);
        words.extend([target, self.command.clone()]);
        start(&words)
    }

    /// Runs ssh on a terminal with a person who follows `script`.
    pub fn talk(&self, script: Script<'_>) -> Talk {
        self.start().talk(script)
    }

    /// Copies a file to the host with scp.
    pub fn scp(&self, from: &str, to: &str, script: Script<'_>) -> Talk {
        let mut words = self.words("scp", "-P");
        words.extend([from.to_owned(), format!("{}@127.0.0.1:{to}", self.user)]);
        start(&words).talk(script)
    }

    fn words(&self, program: &str, port: &str) -> Vec<String> {
        let number = PORT.to_string();
        let mut words: Vec<String> = [program, "-F", "none", port, &number]
            .map(str::to_owned)
            .to_vec();
        let methods = format!("PreferredAuthentications={}", self.methods);
        let public_key = if self.methods.contains("publickey") {
            "yes"
        } else {
            "no"
        };
        let ours = [
            methods,
            format!("PubkeyAuthentication={public_key}"),
            format!("UserKnownHostsFile={KNOWN_HOSTS}"),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        // In ssh, too, the first value counts.
        let default = "NumberOfPasswordPrompts=1".to_owned();
        for option in self.options.iter().chain(&ours).chain([&default]) {
            words.extend(["-o".to_owned(), option.clone()]);
        }
        words
    }
}

fn start(words: &[String]) -> Terminal {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Terminal::start(&words)
}
