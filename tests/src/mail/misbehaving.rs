//! A mail server that does what a script tells it, see tests/mail/misbehave.py.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{CA_FILE, CERTIFICATES, Certificate, ca_file};
use crate::recorder::{Recorder, text};

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// At once.
    #[default]
    Tls,
    /// With STARTTLS.
    Starttls,
}

/// What the server is to do.
#[derive(Debug, Clone)]
pub struct Misbehaviour<'a> {
    /// How TLS begins.
    pub security: Security,
    /// What the server shows.
    pub certificate: Certificate,
    /// What AUTH offers.
    pub mechanisms: &'a str,
    /// Rules of misbehave.py: `silent:connect`, `reply:rcpt:451`, `no_starttls`. None: it behaves.
    pub rules: &'a [&'a str],
}

impl Default for Misbehaviour<'_> {
    fn default() -> Self {
        Self {
            security: Security::Tls,
            certificate: Certificate::Right,
            mechanisms: "PLAIN LOGIN",
            rules: &[],
        }
    }
}

impl<'a> Misbehaviour<'a> {
    /// Rules for a server with implicit TLS and the right certificate.
    pub fn over_tls(rules: &'a [&'a str]) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Rules for a server with STARTTLS and the right certificate.
    pub fn over_starttls(rules: &'a [&'a str]) -> Self {
        Self {
            security: Security::Starttls,
            rules,
            ..Self::default()
        }
    }

    /// A server that behaves, but for its certificate.
    pub fn certificate(security: Security, certificate: Certificate) -> Self {
        Self {
            security,
            certificate,
            ..Self::default()
        }
    }
}

/// Something that happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Counted from 1.
    pub connection: u64,
    /// Since the connection began.
    pub seconds: f64,
    /// Whether it came through TLS, whose handshake the client had finished.
    pub tls: bool,
    /// `line`, `message`, `signed_in`, `tls`, `tls_failed`, `closed`…, see misbehave.py.
    pub event: String,
    /// The line, the message, AUTH decoded.
    pub text: String,
}

/// The server, running. Several may run at once.
pub struct MisbehavingServer {
    server: Recorder,
    certificate: Certificate,
}

impl MisbehavingServer {
    /// Starts the server and waits until it listens.
    #[track_caller]
    pub fn start(what: &Misbehaviour<'_>) -> Self {
        ca_file();
        let security = match what.security {
            Security::Tls => "tls",
            Security::Starttls => "starttls",
        };
        let mut arguments = vec!["--certificates", CERTIFICATES, "--security", security];
        arguments.extend(["--certificate", what.certificate.name()]);
        arguments.extend(["--auth", what.mechanisms]);
        arguments.extend(what.rules);
        Self {
            server: Recorder::start("misbehave.py", &arguments),
            certificate: what.certificate,
        }
    }

    /// Where it listens, on 127.0.0.1, which is mail.example.com.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The authority that has signed its certificate; everybody may read it.
    #[allow(clippy::unused_self, reason = "it is made when a server starts")]
    pub fn ca_file(&self) -> &'static str {
        CA_FILE
    }

    /// All that happened so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.server
            .entries()
            .iter()
            .map(|entry| Received {
                connection: entry["connection"].as_u64().unwrap(),
                seconds: entry["seconds"].as_f64().unwrap(),
                tls: entry["tls"].as_bool().unwrap(),
                event: text(entry, "event"),
                text: text(entry, "text"),
            })
            .collect()
    }

    /// The first event of this name, as soon as it has happened.
    #[track_caller]
    pub fn wait_for(&self, event: &str, patience: Duration) -> Received {
        let deadline = Instant::now() + patience;
        loop {
            let all = self.received();
            if let Some(found) = all.iter().find(|received| received.event == event) {
                return found.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no {event} at the server: {all:#?}"
            );
            sleep(Duration::from_millis(5));
        }
    }

    /// Every message that arrived, headers and all, with plain line ends.
    pub fn messages(&self) -> Vec<String> {
        let all = self.received().into_iter();
        all.filter(|received| received.event == "message")
            .map(|received| received.text)
            .collect()
    }

    /// Somebody has connected, and before TLS was right has said nothing but EHLO, STARTTLS and QUIT, with none of
    /// `secrets` in it. TLS is right when the handshake is done and the certificate is [`Certificate::Right`].
    #[track_caller]
    pub fn expect_nothing_before_tls_was_right(&self, secrets: &[&str]) {
        let all = self.received();
        assert!(
            all.iter().any(|received| received.event == "connected"),
            "nobody has connected"
        );
        for received in &all {
            if received.tls && self.certificate == Certificate::Right {
                continue;
            }
            let secret = secrets
                .iter()
                .find(|secret| received.text.contains(**secret));
            assert!(
                is_harmless(received) && secret.is_none(),
                "said before TLS was right: {received:?} of {all:#?}"
            );
        }
    }
}

/// Whether an event may stand before TLS. `bytes` are what came while the server did not listen: a handshake.
fn is_harmless(received: &Received) -> bool {
    let begins_with = |word: &str| {
        let start = received.text.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    match received.event.as_str() {
        "line" => ["EHLO ", "STARTTLS", "QUIT"].into_iter().any(begins_with),
        "signed_in" | "message" => false,
        // TLS's records of a handshake and of an alert.
        "bytes" => received.text.starts_with(['\u{16}', '\u{15}']),
        _ => true,
    }
}
