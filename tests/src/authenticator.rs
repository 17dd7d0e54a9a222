//! A person's authenticator app. The codes come from oathtool, not from our own code.

use std::cell::Cell;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is left of a step when one of its codes is handed out for use after the step has passed into the window.
const ROOM: u64 = 8;

/// An app with one secret, which never hands out a code twice.
#[derive(Debug, Clone)]
pub struct Authenticator {
    /// Base32, upper case, without padding.
    pub secret: String,
    /// SHA1, SHA256 or SHA512.
    pub algorithm: String,
    /// 6 to 8.
    pub digits: u32,
    /// Length of a step in seconds.
    pub period: u64,
    last_step: Cell<u64>,
}

impl Authenticator {
    /// An app with a fresh random secret of 160 bits, SHA-1, 6 digits, 30 s.
    pub fn new() -> Self {
        let random = Command::new("sh")
            .args(["-c", "head -c 20 /dev/urandom | base32 -w 0"])
            .output()
            .unwrap();
        Self::with_secret(String::from_utf8(random.stdout).unwrap().trim())
    }

    /// An app with a given base32 secret.
    pub fn with_secret(secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            algorithm: "SHA1".to_owned(),
            digits: 6,
            period: 30,
            last_step: Cell::new(0),
        }
    }

    /// A code of the smallest step that is still accepted (window 1) and comes after all that were handed out.
    /// Three in a row are there at any time; the fourth waits until a step has passed.
    pub fn code(&self) -> String {
        if self.left_in_step() < ROOM && self.last_step.get() + 1 < self.step() {
            // The previous step might leave the window before its code is used.
            return self.code_from(self.step());
        }
        self.code_from(self.step() - 1)
    }

    /// A code of the present step, or the next one after all that were handed out.
    pub fn present_code(&self) -> String {
        self.code_from(self.step())
    }

    fn code_from(&self, earliest: u64) -> String {
        let step = earliest.max(self.last_step.get() + 1);
        while step > self.step() + 1 {
            sleep(Duration::from_millis(200));
        }
        self.last_step.set(step);
        self.code_of(step)
    }

    /// The code of step number `step`.
    pub fn code_of(&self, step: u64) -> String {
        let output = Command::new("oathtool")
            .arg(format!("--totp={}", self.algorithm))
            .args([
                "--base32",
                &format!("--digits={}", self.digits),
                &format!("--time-step-size={}s", self.period),
            ])
            .arg(format!("--now=@{}", step * self.period))
            .arg(&self.secret)
            .env("TZ", "UTC")
            .output()
            .expect("oathtool is installed by tests/packages.sh");
        assert!(
            output.status.success(),
            "oathtool: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A code that none of the steps near now has.
    pub fn wrong_code(&self) -> String {
        let near: Vec<_> = (self.step() - 3..=self.step() + 3)
            .map(|step| self.code_of(step))
            .collect();
        let width = self.digits as usize;
        (0..8)
            .map(|guess| format!("{guess:0width$}"))
            .find(|guess| !near.contains(guess))
            .unwrap()
    }

    /// The number of the present step.
    pub fn step(&self) -> u64 {
        now() / self.period
    }

    /// The step of the last code that was handed out.
    pub fn last_step(&self) -> u64 {
        self.last_step.get()
    }

    /// Whole seconds until the next step begins.
    pub fn left_in_step(&self) -> u64 {
        self.period - now() % self.period
    }

    /// Returns at a moment when at least `seconds` are left in the present step.
    pub fn wait_for_room(&self, seconds: u64) {
        while self.left_in_step() < seconds {
            sleep(Duration::from_millis(200));
        }
    }
}

impl Default for Authenticator {
    fn default() -> Self {
        Self::new()
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A base32 secret in hexadecimal, as pam_oath wants it.
pub fn hex(base32: &str) -> String {
    let command = format!("printf %s {base32} | base32 -d | od -An -v -tx1 | tr -d ' \\n'");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
