//! Mail servers on 127.0.0.1: a real one, and one that misbehaves. Both are mail.example.com.

mod exim;
mod misbehaving;

use std::process::Command;

pub use exim::{Exim, Mail, Options, STARTTLS_PORT, TLS_PORT};
pub use misbehaving::{MisbehavingServer, Misbehaviour, Received, Security};

use crate::files::repository;

/// Both servers' name, which is in /etc/hosts and in their certificates.
pub const HOST_NAME: &str = "mail.example.com";
/// Who may send.
pub const USER: &str = "courier@example.com";
/// With this password. Blanks, quotes and equals signs are in it because passwords have them.
pub const PASSWORD: &str = r#"kestrel: 7 "wings" = 14"#;
/// Or with this token, over XOAUTH2.
pub const OAUTH_TOKEN: &str = "ya29.kestrel-14";

/// Where certificates.sh puts what it makes.
const CERTIFICATES: &str = "/run/mail/tls";
const CA_FILE: &str = "/run/mail/tls/ca.pem";

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// Of the test authority, for mail.example.com and localhost.
    #[default]
    Right,
    /// The same, but it ended in 2021.
    Expired,
    /// The same, but nobody else has signed it.
    SelfSigned,
    /// Of the test authority, for mail.example.net.
    OtherHost,
}

impl Certificate {
    fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Expired => "expired",
            Self::SelfSigned => "self-signed",
            Self::OtherHost => "other-host",
        }
    }
}

/// The file of the authority that has signed the servers' certificates, which everybody may read. Made by the first
/// server that is started, or here.
pub fn ca_file() -> &'static str {
    let status = Command::new(repository().join("tests/mail/certificates.sh"))
        .arg(CERTIFICATES)
        .status()
        .unwrap();
    assert!(status.success(), "certificates.sh: {status}");
    CA_FILE
}
