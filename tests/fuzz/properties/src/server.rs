//! A server that says what an input says, on the other side of a socket.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long it waits for a line before it goes on as if there had been one.
const PATIENCE: Duration = Duration::from_millis(5);

/// An authority of our own, and a server's certificate that it made. Of one thread, and removed with its folder.
struct Certificates {
    authority: PathBuf,
    server: Arc<ServerConfig>,
}

thread_local! {
    static CERTIFICATES: Certificates = certificates();
}

/// The file of the authority's certificate.
pub(crate) fn authority() -> PathBuf {
    CERTIFICATES.with(|made| made.authority.clone())
}

/// Made by openssl.
fn certificates() -> Certificates {
    let folder = crate::folder::path().join("certificates");
    fs::create_dir_all(&folder).unwrap();
    let run = |line: &str| {
        let ran = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(&folder)
            .output();
        let ran = ran.expect("openssl is needed");
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    };
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "req -x509 {curve} -keyout ca.key -out ca.pem -subj /CN=authority -days 30"
    ));
    run(&format!(
        "req {curve} -keyout key.pem -out request.pem -subj /CN=server"
    ));
    fs::write(folder.join("extension"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    run(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extension -out server.pem",
    );
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Certificates {
        authority: folder.join("ca.pem"),
        server: Arc::new(server),
    }
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

/// The server's end of the one connection.
pub(crate) struct Peer {
    stream: Stream,
    server: Arc<ServerConfig>,
    /// Everything that came before TLS, and everything behind it.
    pub(crate) clear: Vec<u8>,
    pub(crate) behind_tls: Vec<u8>,
    /// What was said last before TLS.
    pub(crate) said_before_tls: Vec<u8>,
}

impl Peer {
    /// Says something; whether there was anybody.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        let said = match &mut self.stream {
            Stream::Clear(stream) => {
                self.said_before_tls.extend_from_slice(bytes);
                stream.write_all(bytes)
            }
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Gone => return false,
        };
        said.is_ok()
    }

    /// What came up to the end of a line; as much as came, where nothing more does for a while. None: nobody is there.
    pub(crate) fn hear(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            let read = match &mut self.stream {
                Stream::Clear(stream) => stream.read(&mut byte),
                Stream::Tls(stream) => stream.read(&mut byte),
                Stream::Gone => return None,
            };
            match read {
                Ok(0) => self.stream = Stream::Gone,
                Ok(_) => {
                    line.push(byte[0]);
                    if matches!(self.stream, Stream::Tls(_)) {
                        self.behind_tls.push(byte[0]);
                    } else {
                        self.clear.push(byte[0]);
                        self.said_before_tls.clear();
                    }
                    if byte[0] != b'\n' {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.stream = Stream::Gone,
            }
            let is_gone = matches!(self.stream, Stream::Gone) && line.is_empty();
            return (!is_gone).then_some(line);
        }
    }

    /// Begins TLS, or ends the connection.
    pub(crate) fn tls(&mut self) {
        let Stream::Clear(mut socket) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return;
        };
        let mut connection = ServerConnection::new(self.server.clone()).unwrap();
        let long = Duration::from_secs(10);
        socket.set_read_timeout(Some(long)).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut socket).is_err() {
                return;
            }
        }
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
    }
}

/// Runs a client against a server of one connection; what the client came to, and what the server heard.
pub(crate) fn meet<T>(
    serve: impl FnOnce(&mut Peer) + Send,
    client: impl FnOnce(u16) -> T,
) -> (T, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = CERTIFICATES.with(|made| made.server.clone());
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            drop(listener);
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.set_nodelay(true).unwrap();
            let mut peer = Peer {
                stream: Stream::Clear(socket),
                server,
                clear: Vec::new(),
                behind_tls: Vec::new(),
                said_before_tls: Vec::new(),
            };
            serve(&mut peer);
            peer.stream = Stream::Gone;
            peer
        });
        let result = client(port);
        // A client that never came is no reason to wait.
        drop(TcpStream::connect(("127.0.0.1", port)));
        (result, serving.join().unwrap())
    })
}
