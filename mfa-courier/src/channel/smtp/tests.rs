//! Mail servers of all kinds, good and bad, each of which says afterwards what it was told.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Socket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};

use mfa_core::config::Config;
use mfa_core::courier::{Document, Kind};
use mfa_core::message::Composed;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::*;
use crate::channel::mail::Sender;
use crate::channel::tls::provider;

const PASSWORD: &str = "correct-horse";
/// `\0alerts\0correct-horse` in Base64.
const PLAIN: &str = "AGFsZXJ0cwBjb3JyZWN0LWhvcnNl";

/// An authority, and certificates that it made; the key is the same for all.
static CERTIFICATES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let ran = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(
            ran.expect("these tests need openssl").success(),
            "openssl {line}"
        );
    };
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "req -x509 {curve} -keyout ca.key -out ca.pem -subj /CN=authority -days 30"
    ));
    run(&format!(
        "req {curve} -keyout key.pem -out request.pem -subj /CN=server"
    ));
    run(
        "req -x509 -key key.pem -out self_signed.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30",
    );
    for (name, host, days) in [
        ("good", "localhost", "30"),
        ("expired", "localhost", "-1"),
        ("other_name", "mail.example.com", "30"),
    ] {
        let extension = folder.path().join("extension");
        fs::write(extension, format!("subjectAltName=DNS:{host}\n")).unwrap();
        run(&format!(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile extension -out {name}.pem"
        ));
    }
    folder
});

fn certificate(name: &str) -> Arc<ServerConfig> {
    let folder = CERTIFICATES.path();
    let chain = vec![CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

enum Stream {
    Clear(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
    Gone,
}

/// The server's end of a connection.
struct Peer {
    stream: Stream,
    /// What came, in lines; `tls:` before those that came behind TLS.
    heard: Vec<String>,
}

impl Peer {
    fn stream(&mut self) -> Option<&mut dyn ReadWrite> {
        match &mut self.stream {
            Stream::Clear(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream),
            Stream::Gone => None,
        }
    }

    /// Says something; whether there was anybody.
    fn say(&mut self, text: &str) -> bool {
        self.stream().is_some_and(|stream| {
            stream
                .write_all(text.as_bytes())
                .and_then(|()| stream.flush())
                .is_ok()
        })
    }

    /// The next line; empty where there is none.
    fn hear(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while let Some(stream) = self.stream() {
            match stream.read(&mut byte) {
                Ok(1) if byte[0] == b'\n' => break,
                Ok(1) => line.push(byte[0]),
                _ => {
                    self.stream = Stream::Gone;
                    break;
                }
            }
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !line.is_empty() {
            let is_tls = matches!(self.stream, Stream::Tls(_));
            let prefix = if is_tls { "tls:" } else { "" };
            self.heard.push(format!("{prefix}{line}"));
        }
        line
    }

    /// TLS, if the other side likes the certificate.
    fn tls(&mut self, name: &str) {
        let Stream::Clear(mut socket) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return;
        };
        let mut connection = ServerConnection::new(certificate(name)).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut socket).is_err() {
                return;
            }
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
    }

    /// An ordinary session, but for what is to be answered differently.
    fn session(&mut self, odd: &[(&str, &str)]) {
        self.session_after_greeting("220 server\r\n", odd);
    }

    fn session_after_greeting(&mut self, greeting: &str, odd: &[(&str, &str)]) {
        self.say(greeting);
        let usual = [
            (
                "EHLO",
                "250-server\r\n250-AUTH LOGIN PLAIN\r\n250 8BITMIME\r\n",
            ),
            ("STARTTLS", "220 go on\r\n"),
            ("AUTH", "235 welcome\r\n"),
            ("MAIL", "250 ok\r\n"),
            ("RCPT", "250 ok\r\n"),
            ("DATA", "354 go on\r\n"),
            (".", "250 taken\r\n"),
            ("RSET", "250 ok\r\n"),
            ("QUIT", "221 bye\r\n"),
        ];
        let mut is_message = false;
        while !matches!(self.stream, Stream::Gone) {
            let line = self.hear();
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            if line.is_empty() || (is_message && line != ".") {
                continue;
            }
            let answer = odd.iter().chain(&usual).find(|(name, _)| *name == verb);
            let answer = answer.map_or("500 what?\r\n", |(_, answer)| answer);
            is_message = verb == "DATA" && answer.starts_with('3');
            if !answer.is_empty() && !self.say(answer) || verb == "QUIT" || verb == "STARTTLS" {
                return;
            }
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// A server for one connection after the other.
struct Listener {
    port: u16,
    thread: JoinHandle<Vec<String>>,
}

impl Listener {
    fn start(connections: usize, script: impl Fn(&mut Peer, usize) + Send + 'static) -> Self {
        // Before any deadline begins.
        LazyLock::force(&CERTIFICATES);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            let mut heard = Vec::new();
            for number in 0..connections {
                let (socket, _) = listener.accept().unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_secs(20)))
                    .unwrap();
                socket
                    .set_write_timeout(Some(Duration::from_secs(20)))
                    .unwrap();
                let mut peer = Peer {
                    stream: Stream::Clear(socket),
                    heard: Vec::new(),
                };
                script(&mut peer, number);
                heard.append(&mut peer.heard);
            }
            heard
        });
        Self { port, thread }
    }

    fn once(script: impl Fn(&mut Peer) + Send + 'static) -> Self {
        Self::start(1, move |peer, _| script(peer))
    }

    /// What the server was told, once it is done.
    #[track_caller]
    fn heard(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

/// A client's side: settings, a password, and a connection that is kept.
struct Client {
    folder: TempDir,
    config: Config,
    server: Server,
    deadline: Duration,
    progress: Progress,
}

impl Client {
    fn new(port: u16, settings: &str) -> Self {
        Self::trusting(&CERTIFICATES.path().join("ca.pem"), port, settings)
    }

    fn trusting(ca_file: &Path, port: u16, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("smtp-password");
        fs::write(&password, PASSWORD).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let host = if settings.contains("host =") {
            ""
        } else {
            "host = \"localhost\"\n"
        };
        let text = format!(
            "version = 1\n[courier.smtp]\n{host}from = \"MFA <alerts@example.com>\"\nport = {port}\nca_file = {ca_file:?}\n{settings}\n"
        );
        Self {
            folder,
            config: Config::parse(text.as_bytes()).unwrap(),
            server: Server::default(),
            deadline: Duration::from_secs(15),
            progress: Progress::default(),
        }
    }

    fn within(mut self, milliseconds: u64) -> Self {
        self.deadline = Duration::from_millis(milliseconds);
        self
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut Server, &Job<'_>, &Mail) -> T) -> T {
        let mut document = Document::new(Kind::Code, "ab".repeat(16), 1_795_168_800);
        document.to = "alice@example.com".to_owned();
        let composed = Composed {
            subject: "493817 is your code".to_owned(),
            text: "one\n.\n..two\n".to_owned(),
            html: "<p>one</p>".to_owned(),
        };
        let sender = Sender::of(&self.config, "host").unwrap();
        let mail = Mail::new(&document, &composed, &sender, "host").unwrap();
        let credentials = Credentials::files(self.folder.path());
        let job = Job {
            settings: self.config.courier.smtp.as_ref().unwrap(),
            credentials: &credentials,
            host: "client.example.com",
            end: Instant::now() + self.deadline,
            progress: &self.progress,
        };
        work(&mut self.server, &job, &mail)
    }

    fn send(&mut self) -> Result<String, Failure> {
        self.with(Server::send)
    }

    fn close(&mut self) {
        self.server.close(Instant::now() + self.deadline);
    }

    fn check(&mut self) -> Result<String, Failure> {
        self.with(|server, job, _| server.check(job))
    }

    #[track_caller]
    fn fails(&mut self, ending: Ending, class: Class) -> Failure {
        let failure = self.send().unwrap_err();
        assert_eq!(
            (failure.ending, failure.class),
            (ending, class),
            "{failure:?}"
        );
        let line = crate::report::Report::failure(None, failure.clone()).line();
        for secret in ["@", PASSWORD, PLAIN, "493817"] {
            assert!(!line.contains(secret), "{line}");
        }
        failure
    }
}

const SIGN_IN: &str = "username = \"alerts\"";
const STARTTLS: &str = "security = \"starttls\"\nusername = \"alerts\"";

/// Nothing but greetings may have been said.
#[track_caller]
fn nothing_was_told(listener: Listener) {
    let heard = listener.heard();
    for line in &heard {
        let line = line.trim_start_matches("tls:");
        let harmless = ["EHLO client.example.com", "STARTTLS", "QUIT"];
        assert!(harmless.contains(&line), "{heard:?}");
    }
}

#[test]
fn a_message_goes_out_behind_tls_after_signing_in() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[]);
    });
    let mut client = Client::new(listener.port, SIGN_IN);
    assert!(client.send().unwrap().contains("localhost took it"));
    client.close();
    let heard = listener.heard();
    assert!(
        heard.iter().all(|line| line.starts_with("tls:")),
        "{heard:?}"
    );
    let lines: Vec<_> = heard.iter().map(|line| &line[4..]).collect();
    assert_eq!(
        lines[..2],
        ["EHLO client.example.com", &format!("AUTH PLAIN {PLAIN}")]
    );
    assert_eq!(
        lines[2..5],
        [
            "MAIL FROM:<alerts@example.com>",
            "RCPT TO:<alice@example.com>",
            "DATA"
        ]
    );
    assert_eq!(*lines.last().unwrap(), "QUIT");
    assert!(lines.contains(&"Subject: 493817 is your code"));
    // A dot at a line's beginning is doubled on its way (RFC 5321, 4.5.2).
    assert!(
        lines.contains(&"..") && lines.contains(&"...two"),
        "{lines:?}"
    );
}

#[test]
fn behind_starttls_nothing_is_in_the_clear_but_the_way_to_it() {
    let listener = Listener::once(|peer| {
        peer.session(&[("EHLO", "250-server\r\n250 STARTTLS\r\n")]);
        peer.tls("good");
        peer.session_after_greeting("", &[]);
    });
    let mut client = Client::new(listener.port, STARTTLS);
    client.send().unwrap();
    client.close();
    let heard = listener.heard();
    let clear: Vec<_> = heard
        .iter()
        .filter(|line| !line.starts_with("tls:"))
        .collect();
    assert_eq!(clear, ["EHLO client.example.com", "STARTTLS"]);
    assert!(heard.contains(&format!("tls:AUTH PLAIN {PLAIN}")));
    assert!(heard.contains(&"tls:QUIT".to_owned()));
}

#[test]
fn login_is_used_where_plain_is_not_offered() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[
            ("EHLO", "250-server\r\n250 AUTH LOGIN\r\n"),
            ("AUTH", "334 VXNlcm5hbWU6\r\n"),
            ("YWxlcnRz", "334 UGFzc3dvcmQ6\r\n"),
            ("Y29ycmVjdC1ob3JzZQ==", "235 welcome\r\n"),
        ]);
    });
    let mut client = Client::new(listener.port, SIGN_IN);
    client.send().unwrap();
    client.close();
    assert!(listener.heard().contains(&"tls:AUTH LOGIN".to_owned()));
}

#[test]
fn a_token_is_used_only_where_it_is_asked_for() {
    const OFFER: (&str, &str) = ("EHLO", "250-server\r\n250 AUTH XOAUTH2\r\n");
    let script = |peer: &mut Peer| {
        peer.tls("good");
        peer.session(&[OFFER, ("AUTH", "334 eyJzdGF0dXMiOiI0MDEifQ==\r\n")]);
    };
    let listener = Listener::once(script);
    Client::new(listener.port, SIGN_IN).fails(Ending::Config, Class::AuthMissing);
    nothing_was_told(listener);
    let listener = Listener::once(script);
    let settings = format!("{SIGN_IN}\nauth = \"xoauth2\"");
    Client::new(listener.port, &settings).fails(Ending::Config, Class::AuthRejected);
    assert!(listener.heard()[1].starts_with("tls:AUTH XOAUTH2 "));
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[OFFER]);
    });
    let mut client = Client::new(listener.port, &settings);
    client.send().unwrap();
    client.close();
    listener.heard();
}

#[test]
fn who_has_no_user_name_does_not_sign_in() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[("EHLO", "250 server\r\n")]);
    });
    let mut client = Client::new(listener.port, "");
    client.send().unwrap();
    client.close();
    assert!(listener.heard()[1].starts_with("tls:MAIL"));
}

#[test]
fn what_comes_behind_the_answer_to_starttls_ends_everything() {
    let listener = Listener::once(|peer| {
        peer.session(&[
            ("EHLO", "250-server\r\n250 starttls\r\n"),
            ("STARTTLS", "220 go on\r\n250 AUTH PLAIN\r\n"),
        ]);
        peer.tls("good");
        peer.session(&[]);
    });
    Client::new(listener.port, STARTTLS).fails(Ending::Retry, Class::StarttlsInjected);
    nothing_was_told(listener);
}

#[test]
fn without_starttls_nothing_is_told() {
    for offers in [
        "250-server\r\n250 AUTH PLAIN\r\n",
        "250 STARTTLS\r\n",
        "250-server\r\n250 XSTARTTLS\r\n",
    ] {
        let listener = Listener::once(move |peer| peer.session(&[("EHLO", offers)]));
        Client::new(listener.port, STARTTLS).fails(Ending::Config, Class::StarttlsMissing);
        nothing_was_told(listener);
    }
    let listener = Listener::once(|peer| {
        peer.session(&[
            ("EHLO", "250-server\r\n250 STARTTLS\r\n"),
            ("STARTTLS", "454 not now\r\n"),
        ]);
        peer.session(&[]);
    });
    Client::new(listener.port, STARTTLS).fails(Ending::Retry, Class::Temporary);
    nothing_was_told(listener);
}

#[test]
fn a_wrong_certificate_is_told_nothing() {
    for (name, ending, class) in [
        ("expired", Ending::Retry, Class::CertificateExpired),
        ("other_name", Ending::Config, Class::CertificateName),
        ("self_signed", Ending::Config, Class::CertificateUntrusted),
    ] {
        let listener = Listener::once(move |peer| {
            peer.tls(name);
            peer.session(&[]);
        });
        Client::new(listener.port, SIGN_IN).fails(ending, class);
        nothing_was_told(listener);
        let listener = Listener::once(move |peer| {
            peer.session(&[("EHLO", "250-server\r\n250 STARTTLS\r\n")]);
            peer.tls(name);
            peer.session(&[]);
        });
        Client::new(listener.port, STARTTLS).fails(ending, class);
        nothing_was_told(listener);
    }
    // Good, but made by an authority that this host does not know.
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[]);
    });
    let stranger = CERTIFICATES.path().join("self_signed.pem");
    let mut client = Client::trusting(&stranger, listener.port, SIGN_IN);
    client.fails(Ending::Config, Class::CertificateUntrusted);
    nothing_was_told(listener);
}

#[test]
fn without_certificates_to_trust_nobody_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = CERTIFICATES.path().join("key.pem");
    for path in [
        Path::new("/nonexistent/ca.pem"),
        &key,
        Path::new("/dev/null"),
    ] {
        Client::trusting(path, port, SIGN_IN).fails(Ending::Config, Class::CaFile);
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn a_server_that_signs_nobody_in_gets_no_message() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[("EHLO", "250-server\r\n250 AUTH CRAM-MD5\r\n")]);
    });
    Client::new(listener.port, SIGN_IN).fails(Ending::Config, Class::AuthMissing);
    nothing_was_told(listener);
    for (answer, ending, class) in [
        (
            "535 5.7.8 no correct-horse AGFsZXJ0cwBjb3JyZWN0LWhvcnNl\r\n",
            Ending::Config,
            Class::AuthRejected,
        ),
        (
            "454 4.7.0 correct-horse\r\n",
            Ending::Retry,
            Class::Temporary,
        ),
        ("250 whatever\r\n", Ending::Retry, Class::Protocol),
    ] {
        let listener = Listener::once(move |peer| {
            peer.tls("good");
            peer.session(&[("AUTH", answer)]);
        });
        let failure = Client::new(listener.port, SIGN_IN).fails(ending, class);
        assert!(
            class == Class::Protocol || failure.detail.contains(&answer[..3]),
            "{failure:?}"
        );
        assert!(!listener.heard().iter().any(|line| line.contains("MAIL")));
    }
}

#[test]
fn a_missing_password_is_told_before_anything_is_sent() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[]);
    });
    let settings = format!("{SIGN_IN}\npassword = \"other\"");
    Client::new(listener.port, &settings).fails(Ending::Config, Class::Credential);
    nothing_was_told(listener);
}

#[test]
fn what_a_server_refuses_for_now_is_tried_again_and_what_it_refuses_for_good_is_not() {
    for verb in ["MAIL", "RCPT", "DATA", "."] {
        for (answer, ending, class) in [
            (
                "451 4.7.1 greylisted <alice@example.com> 493817\r\n",
                Ending::Retry,
                Class::Temporary,
            ),
            (
                "550-5.1.1 no\r\n550 5.1.1 such alice@example.com\r\n",
                // A sender who sent too much today is refused with a 5xx too: only of a recipient it is for good.
                if verb == "RCPT" {
                    Ending::Refused
                } else {
                    Ending::Retry
                },
                Class::Refused,
            ),
        ] {
            let listener = Listener::once(move |peer| {
                peer.tls("good");
                peer.session(&[(verb, answer)]);
            });
            let failure = Client::new(listener.port, SIGN_IN).fails(ending, class);
            assert!(failure.detail.contains(&answer[..3]), "{failure:?}");
            listener.heard();
        }
    }
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[("MAIL", "530 5.7.0 Authentication required\r\n")]);
    });
    Client::new(listener.port, "").fails(Ending::Config, Class::AuthMissing);
    listener.heard();
    // Before there is a message nothing can be refused for good.
    for (greeting, class) in [
        ("554 go away\r\n", Class::Refused),
        ("421 too busy\r\n", Class::Temporary),
    ] {
        let listener = Listener::once(move |peer| {
            peer.tls("good");
            peer.session_after_greeting(greeting, &[]);
        });
        Client::new(listener.port, SIGN_IN).fails(Ending::Retry, class);
        nothing_was_told(listener);
        let listener = Listener::once(move |peer| peer.session_after_greeting(greeting, &[]));
        Client::new(listener.port, STARTTLS).fails(Ending::Retry, class);
        nothing_was_told(listener);
    }
}

#[test]
fn what_goes_wrong_from_the_sender_on_is_known_from_what_goes_wrong_before() {
    let silent = |verb: &'static str| {
        Listener::once(move |peer| {
            peer.tls("good");
            peer.session(&[(verb, "")]);
        })
    };
    for (verb, is_with_message) in [
        ("EHLO", false),
        ("AUTH", false),
        ("MAIL", true),
        ("RCPT", true),
        (".", true),
    ] {
        let listener = silent(verb);
        let mut client = Client::new(listener.port, SIGN_IN).within(1500);
        client.fails(Ending::Retry, Class::Timeout);
        assert_eq!(client.progress.is_with_message(), is_with_message, "{verb}");
        drop(client);
        listener.heard();
    }
    // Connected to again, since the old connection was lost with a message; and then it is the server that is gone.
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[]);
    });
    let mut client = Client::new(listener.port, SIGN_IN);
    client.send().unwrap();
    let connection = client.server.connection.as_mut().unwrap();
    let runtime = client.server.runtime.as_ref().unwrap();
    runtime.block_on(connection.command(Quit)).unwrap();
    listener.heard();
    client.fails(Ending::Retry, Class::ConnectionRefused);
    assert!(!client.progress.is_with_message());
}

/// Says something again and again, until nobody listens; fails where somebody listens for too long.
fn talk(peer: &mut Peer, text: &str) {
    let mut said = 0;
    while peer.say(text) {
        said += text.len();
        assert!(said < 64 * 1024 * 1024, "somebody reads all of it");
    }
}

#[test]
fn a_server_that_says_too_much_is_not_listened_to() {
    for text in [
        "220-welcome to this server\r\n".to_owned(),
        "x".repeat(64 * 1024),
    ] {
        let said = text.clone();
        let listener = Listener::once(move |peer| {
            peer.tls("good");
            talk(peer, &said);
        });
        Client::new(listener.port, SIGN_IN).fails(Ending::Retry, Class::TooMuch);
        nothing_was_told(listener);
        let listener = Listener::once(move |peer| talk(peer, &text));
        Client::new(listener.port, STARTTLS).fails(Ending::Retry, Class::TooMuch);
        nothing_was_told(listener);
    }
}

#[test]
fn a_server_that_says_nothing_is_left_at_the_deadline() {
    for (settings, stage) in [
        (SIGN_IN, "in the TLS handshake"),
        (STARTTLS, "waiting for the greeting"),
    ] {
        let listener = Listener::once(|peer| {
            while !matches!(peer.stream, Stream::Gone) {
                // Nothing that comes here is a line.
                if let Some(stream) = peer.stream()
                    && !matches!(stream.read(&mut [0; 512]), Ok(1..))
                {
                    peer.stream = Stream::Gone;
                }
            }
        });
        let begin = Instant::now();
        let mut client = Client::new(listener.port, settings).within(300);
        let failure = client.fails(Ending::Retry, Class::Timeout);
        assert_eq!(failure.detail, stage);
        assert!(begin.elapsed() < Duration::from_secs(5));
        nothing_was_told(listener);
    }
    for (verb, stage) in [
        ("AUTH", "while signing in"),
        ("MAIL", "waiting for the answer to MAIL"),
        ("RCPT", "waiting for the answer to RCPT"),
        ("DATA", "waiting for the answer to DATA"),
        (".", "waiting for the answer to the message"),
    ] {
        let listener = Listener::once(move |peer| {
            peer.tls("good");
            peer.session(&[(verb, "")]);
        });
        let mut client = Client::new(listener.port, SIGN_IN).within(1500);
        assert_eq!(client.fails(Ending::Retry, Class::Timeout).detail, stage);
        drop(client);
        listener.heard();
    }
}

#[test]
fn a_server_that_drips_is_left_at_the_deadline() {
    let listener = Listener::once(|peer| {
        while peer.say("2") {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let begin = Instant::now();
    let mut client = Client::new(listener.port, STARTTLS).within(300);
    client.fails(Ending::Retry, Class::Timeout);
    assert!(begin.elapsed() < Duration::from_secs(5));
    nothing_was_told(listener);
}

#[test]
fn a_server_that_speaks_another_language_is_told_nothing() {
    for (settings, text, class) in [
        (
            STARTTLS,
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            Class::Protocol,
        ),
        (STARTTLS, "\u{1}\u{2}\r\n", Class::Protocol),
        (STARTTLS, "", Class::ConnectionLost),
        (STARTTLS, "220-half a greeting\r\n", Class::ConnectionLost),
    ] {
        let listener = Listener::once(move |peer| {
            peer.say(text);
        });
        Client::new(listener.port, settings).fails(Ending::Retry, class);
        nothing_was_told(listener);
    }
    let listener = Listener::once(|peer| {
        peer.say("220 no TLS here\r\n");
        // Kept open until the other side is gone: what it says is TLS, and no line.
        while let Some(stream) = peer.stream()
            && matches!(stream.read(&mut [0; 512]), Ok(1..))
        {}
    });
    Client::new(listener.port, SIGN_IN).fails(Ending::Retry, Class::Tls);
    nothing_was_told(listener);
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session_after_greeting("HTTP/1.1 200 OK\r\n", &[]);
    });
    Client::new(listener.port, SIGN_IN).fails(Ending::Retry, Class::Protocol);
    nothing_was_told(listener);
}

#[test]
fn a_server_that_is_not_there_is_told_from_one_that_has_no_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut client = Client::new(port, SIGN_IN);
    client.fails(Ending::Retry, Class::ConnectionRefused);
    let mut client = Client::new(port, &format!("{SIGN_IN}\nhost = \"no..name\""));
    client.fails(Ending::Retry, Class::Dns);
    let mut client = Client::new(port, &format!("{SIGN_IN}\nhost = \"255.255.255.255\""));
    client.fails(Ending::Retry, Class::Unroutable);
}

#[test]
fn a_connection_carries_many_messages_refused_ones_too() {
    let listener = Listener::start(2, |peer, number| {
        peer.tls("good");
        let answer = if number == 0 {
            "250 ok\r\n"
        } else {
            "450 later\r\n"
        };
        peer.session(&[("RCPT", answer)]);
    });
    let mut client = Client::new(listener.port, SIGN_IN);
    client.send().unwrap();
    client.send().unwrap();
    client.close();
    client.fails(Ending::Retry, Class::Temporary);
    client.fails(Ending::Retry, Class::Temporary);
    client.close();
    let heard = listener.heard();
    let count = |verb: &str| {
        heard
            .iter()
            .filter(|line| line.starts_with(&format!("tls:{verb}")))
            .count()
    };
    assert_eq!((count("AUTH"), count("MAIL"), count("RSET")), (2, 4, 2));
}

#[test]
fn a_server_that_left_between_two_messages_is_connected_to_again() {
    let listener = Listener::start(2, |peer, _| {
        peer.tls("good");
        peer.session(&[]);
    });
    let mut client = Client::new(listener.port, SIGN_IN);
    client.send().unwrap();
    // The server is done with this connection, as with one on which nothing happens for too long.
    let connection = client.server.connection.as_mut().unwrap();
    let runtime = client.server.runtime.as_ref().unwrap();
    runtime.block_on(connection.command(Quit)).unwrap();
    client.send().unwrap();
    client.close();
    let heard = listener.heard();
    let count = heard
        .iter()
        .filter(|line| line.starts_with("tls:MAIL"))
        .count();
    assert_eq!(count, 2, "{heard:?}");
}

#[test]
fn a_server_that_does_not_say_goodbye_changes_nothing() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[("QUIT", "")]);
        while peer.stream().is_some() {
            peer.hear();
        }
    });
    let begin = Instant::now();
    let mut client = Client::new(listener.port, SIGN_IN).within(2000);
    client.check().unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    drop(client);
    listener.heard();
}

#[test]
fn a_check_signs_in_and_sends_nothing() {
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[]);
    });
    assert!(Client::new(listener.port, SIGN_IN).check().is_ok());
    let heard = listener.heard();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(heard[2], "tls:QUIT");
    let listener = Listener::once(|peer| {
        peer.tls("good");
        peer.session(&[("AUTH", "535 no\r\n")]);
    });
    let failure = Client::new(listener.port, SIGN_IN).check().unwrap_err();
    assert_eq!(failure.class, Class::AuthRejected);
    listener.heard();
}
