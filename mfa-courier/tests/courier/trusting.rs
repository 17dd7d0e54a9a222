//! Whom the courier trusts as a server: the authorities of the system, or those of `ca_file`; nobody else, whatever the
//! environment says. Needs openssl besides.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mfa_core::courier::{Document, Kind};
use mfa_core::record::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::host::{Host, NOBODY, PROGRAM, Run, code, document, needs_root};

const TOKEN: &str = "123456:AAE-secret_token";

fn openssl(folder: &Path, line: &str) -> String {
    let output = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(folder)
        .output()
        .expect("these tests need openssl");
    assert!(output.status.success(), "openssl {line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An authority of its own in a folder of the host; gives its certificate, which everybody may read.
fn authority(host: &Host, name: &str) -> PathBuf {
    let folder = host.path(name);
    fs::create_dir(&folder).unwrap();
    openssl(
        &folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN={name} -days 30"
        ),
    );
    fs::set_permissions(folder.join("ca.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    folder.join("ca.pem")
}

/// What a server came to hear on one connection.
#[derive(Debug)]
struct Heard {
    /// As it was on the wire.
    raw: Vec<u8>,
    /// What was said behind TLS.
    text: String,
    /// Why TLS did not come about.
    error: Option<String>,
}

impl Heard {
    /// The other side began a handshake, and left it without a word behind TLS.
    #[track_caller]
    fn is_nothing(&self) {
        assert!(self.text.is_empty() && self.error.is_some(), "{self:?}");
        // A record of the handshake whose message is a ClientHello (RFC 8446, sections 4 and 5.1); behind it there may be
        // room for an alert, not for a request.
        assert_eq!((self.raw[0], self.raw[5]), (22, 1), "{self:?}");
        let length = usize::from(u16::from_be_bytes([self.raw[3], self.raw[4]]));
        assert!(self.raw.len() < 5 + length + 64, "{self:?}");
        let raw = String::from_utf8_lossy(&self.raw);
        for secret in ["secret_token", "493817", "alice"] {
            assert!(!raw.contains(secret), "{self:?}");
        }
    }
}

/// A socket that keeps what comes through it.
struct Recorder {
    socket: TcpStream,
    raw: Vec<u8>,
}

impl Read for Recorder {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(room)?;
        self.raw.extend_from_slice(&room[..length]);
        Ok(length)
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

type Stream = StreamOwned<ServerConnection, Recorder>;

/// A server that calls itself localhost, with a certificate of an authority.
struct Server {
    port: u16,
    heard: Receiver<Heard>,
}

impl Server {
    fn start(authority: &Path, speak: fn(&mut BufReader<&mut Stream>, &mut String)) -> Self {
        let folder = authority.parent().unwrap();
        openssl(
            folder,
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem -subj /CN=server",
        );
        fs::write(folder.join("extension"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl(
            folder,
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extension -out server.pem",
        );
        let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                let patience = Some(Duration::from_secs(20));
                socket.set_read_timeout(patience).unwrap();
                socket.set_write_timeout(patience).unwrap();
                let heard = serve(&config, socket, speak);
                if sender.send(heard).is_err() {
                    // The test is over.
                    return;
                }
            }
        });
        Self { port, heard }
    }

    #[track_caller]
    fn heard(&self) -> Heard {
        self.heard.recv_timeout(Duration::from_secs(30)).unwrap()
    }
}

fn serve(
    config: &Arc<ServerConfig>,
    socket: TcpStream,
    speak: fn(&mut BufReader<&mut Stream>, &mut String),
) -> Heard {
    let mut recorder = Recorder {
        socket,
        raw: Vec::new(),
    };
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut recorder) {
            return Heard {
                raw: recorder.raw,
                text: String::new(),
                error: Some(error.to_string()),
            };
        }
    }
    let mut stream = StreamOwned::new(connection, recorder);
    let mut text = String::new();
    speak(&mut BufReader::new(&mut stream), &mut text);
    stream.conn.send_close_notify();
    let _ = stream.flush();
    Heard {
        raw: stream.sock.raw,
        text,
        error: None,
    }
}

/// A mail server that takes everything.
fn mail(stream: &mut BufReader<&mut Stream>, text: &mut String) {
    let mut answer = "220 server\r\n";
    let mut is_message = false;
    loop {
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
        let begin = text.len();
        if !stream.read_line(text).is_ok_and(|length| length > 0) {
            return;
        }
        let line = text[begin..].trim_end();
        answer = match line {
            "." => "250 taken\r\n",
            _ if is_message => "",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        is_message = line == "DATA" || is_message && line != ".";
    }
}

/// A Bot API that takes one message.
fn bot_api(stream: &mut BufReader<&mut Stream>, text: &mut String) {
    while !text.ends_with("\r\n\r\n") {
        if !stream.read_line(text).is_ok_and(|length| length > 0) {
            return;
        }
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    text.push_str(&String::from_utf8_lossy(&body));
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
    let _ = stream.get_mut().write_all(answer.as_bytes());
}

/// A host whose mail goes to a server.
fn host_with_mail(host: &Host, server: &Server) {
    let settings = format!(
        "[courier.smtp]\nhost = \"localhost\"\nport = {}\nfrom = \"a@b.example\"\n[courier.file]",
        server.port
    );
    host.change("[courier.file]", &settings);
    host.change("email = \"file\"", "email = \"smtp\"");
    host.change("deadline = \"2s\"", "deadline = \"20s\"");
}

/// `send` on a host whose system trusts one more authority.
fn send_where_the_system_trusts(host: &Host, authority: &Path, document: &Document) -> Run {
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount --bind \"$0\" /etc/ssl/certs/ca-certificates.crt && exec \"$@\"",
    ]);
    command.arg(authority).arg(PROGRAM);
    command
        .args(["send", "--config"])
        .arg(host.path("mfa.toml"));
    Host::send_by(command, document)
}

#[test]
fn whom_the_environment_trusts_no_drain_trusts() {
    needs_root!();
    let host = Host::new("");
    let ca = authority(&host, "authority");
    let server = Server::start(&ca, mail);
    host_with_mail(&host, &server);
    let hash = openssl(&host.path("authority"), "x509 -hash -noout -in ca.pem");
    let folder = host.path("hashed");
    fs::create_dir(&folder).unwrap();
    fs::copy(&ca, folder.join(format!("{}.0", hash.trim()))).unwrap();
    let program = host.public_program();
    let drain = |uid, name: &str, value: &Path| {
        let mut command = Command::new(&program);
        command
            .args(["drain", "--config"])
            .arg(host.path("mfa.toml"))
            .uid(uid)
            .gid(uid)
            .env(name, value);
        command.output().unwrap()
    };
    let mut number = 0;
    for uid in [0, NOBODY] {
        for (name, value) in [("SSL_CERT_FILE", &ca), ("SSL_CERT_DIR", &folder)] {
            number += 1;
            host.put(&document(Kind::Login, number, "alice"));
            let output = drain(uid, name, value);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{uid} {name}: {said}");
            assert!(
                said.contains("certificate_untrusted"),
                "{uid} {name}: {said}"
            );
            server.heard().is_nothing();
        }
    }
    // It is the certificate alone that was wrong.
    let trusted = format!("ca_file = \"{}\"\nport = ", ca.display());
    host.change("port = ", &trusted);
    host.put(&document(Kind::Login, 9, "alice"));
    assert_eq!(drain(0, "SSL_CERT_FILE", &ca).status.code(), Some(0));
    assert!(server.heard().text.contains("RCPT TO:<alice@example.com>"));
}

#[test]
fn with_a_ca_file_the_authorities_of_the_system_are_not_trusted() {
    needs_root!();
    let host = Host::new("");
    let ca = authority(&host, "authority");
    let other = authority(&host, "other");
    let server = Server::start(&ca, mail);
    host_with_mail(&host, &server);
    let send = || send_where_the_system_trusts(&host, &ca, &code(1));
    send().expect(0, "accepted smtp ");
    assert!(server.heard().text.contains("493817"));
    let trusted = format!("ca_file = \"{}\"\nport = ", other.display());
    host.change("port = ", &trusted);
    send().expect(78, "config smtp certificate_untrusted ");
    server.heard().is_nothing();
}

#[test]
fn a_bot_api_with_a_certificate_of_nobody_is_told_no_token() {
    needs_root!();
    let host = Host::new("");
    let ca = authority(&host, "authority");
    let server = Server::start(&ca, bot_api);
    let settings = format!(
        "[courier.telegram]\napi = \"https://localhost:{}\"\n[courier.file]",
        server.port
    );
    host.change("[courier.file]", &settings);
    host.change("deadline = \"2s\"", "deadline = \"20s\"");
    let token = host.path("credentials/telegram-token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
    chown(&token, Some(0), Some(NOBODY)).unwrap();
    let mut message = code(1);
    message.channel = Method::Telegram;
    message.to = "12345".to_owned();
    host.send(&message)
        .expect(78, "config telegram certificate_untrusted ");
    server.heard().is_nothing();
    // It is the certificate alone that was wrong.
    send_where_the_system_trusts(&host, &ca, &message).expect(0, "accepted telegram ");
    let heard = server.heard();
    let request = format!("POST /bot{TOKEN}/sendMessage HTTP/1.1\r\n");
    assert!(heard.text.starts_with(&request), "{heard:?}");
    assert!(!String::from_utf8_lossy(&heard.raw).contains("secret_token"));
}
