//! A person's hardware token. The codes come from oathtool, not from our own code.

use std::cell::Cell;
use std::process::Command;

use crate::Host;
use crate::pam_host::PamHost;

/// A token with one secret that counts how often its button was pressed.
#[derive(Debug, Clone)]
pub struct HardwareToken {
    /// Hexadecimal, as it comes with most tokens.
    pub secret: String,
    counter: Cell<u64>,
}

impl HardwareToken {
    /// A token with a fresh random secret of 160 bits whose button was never pressed.
    pub fn new() -> Self {
        let random = Command::new("sh")
            .args(["-c", "od -An -v -tx1 -N20 /dev/urandom | tr -d ' \\n'"])
            .output()
            .unwrap();
        Self {
            secret: String::from_utf8(random.stdout).unwrap(),
            counter: Cell::new(0),
        }
    }

    /// The next code.
    pub fn press(&self) -> String {
        let counter = self.counter.get();
        self.counter.set(counter + 1);
        self.code_of(counter)
    }

    /// Presses that nobody looks at.
    pub fn press_often(&self, times: u64) {
        self.counter.set(self.counter.get() + times);
    }

    /// The code of a counter.
    pub fn code_of(&self, counter: u64) -> String {
        let output = Command::new("oathtool")
            .args(["--hotp", &format!("--counter={counter}"), &self.secret])
            .output()
            .expect("oathtool is installed by tests/packages.sh");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A code that is none of the token's first thousand, nor of 200 from where it stands.
    pub fn wrong_code(&self) -> String {
        let codes = |counter: u64, count: u64| {
            let output = Command::new("oathtool")
                .args(["--hotp", &format!("--counter={counter}")])
                .args([&format!("--window={count}"), &self.secret])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let known = codes(0, 1000) + &codes(self.counter.get(), 200);
        (0..2000)
            .map(|guess| format!("{guess:06}"))
            .find(|guess| !known.lines().any(|code| code == guess))
            .unwrap()
    }

    fn words<'a>(user: &'a str, label: &'a str) -> [&'a str; 8] {
        [
            "token",
            "add",
            user,
            "--hotp",
            "--hex",
            "--no-confirm",
            "--label",
            label,
        ]
    }

    /// Adds it to somebody with a record on a scripted host.
    pub fn add_to(&self, host: &PamHost, user: &str, label: &str) {
        host.admin_with(&Self::words(user, label), &self.secret)
            .expect_success();
    }

    /// Adds it to somebody with a record on a test host.
    pub fn add_on(&self, host: &Host, user: &str, label: &str) {
        host.admin_with(&Self::words(user, label), &self.secret);
    }
}

impl Default for HardwareToken {
    fn default() -> Self {
        Self::new()
    }
}
