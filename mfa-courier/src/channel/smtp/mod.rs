//! A mail server. Names and connections, the way to TLS and the bounds on what a server may say are made here; the
//! dialogue behind TLS is lettre's. (lettre's own connections have no overall deadline, keep what came in the clear
//! behind the answer to STARTTLS, and read lines of any length.)

mod bounded;
mod prelude;

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use lettre::transport::smtp::authentication::{Credentials as Login, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error as SmtpError, response::Response};
use mfa_core::config::{Auth, Security, Smtp};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant as TokioInstant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use self::bounded::{Bounded, TooMuch};
use super::mail::{Mail, is_domain};
use super::tls;
use crate::credential::Credentials;
use crate::progress::Progress;
use crate::report::{Class, Ending, Failure, quote};

/// How long a server may take to say goodbye: everything that matters is done by then.
const GOODBYE: Duration = Duration::from_millis(500);

/// What one message, or one check, needs.
pub(super) struct Job<'a> {
    pub(super) settings: &'a Smtp,
    pub(super) credentials: &'a Credentials,
    /// This host's name.
    pub(super) host: &'a str,
    pub(super) end: Instant,
    pub(super) progress: &'a Progress,
}

/// The one server of `[courier.smtp]`, with the connection to it once there is one.
#[derive(Default)]
pub(super) struct Server {
    runtime: Option<Runtime>,
    connection: Option<AsyncSmtpConnection>,
}

impl Server {
    fn run<T>(
        &mut self,
        job: &Job<'_>,
        work: impl AsyncFnOnce(&mut Option<AsyncSmtpConnection>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.runtime.is_none() {
            let runtime = Builder::new_current_thread().enable_all().build();
            self.runtime = Some(runtime.map_err(|error| {
                Failure::retry(Class::ConnectionLost, format!("no sockets: {error}"))
            })?);
        }
        let Some(runtime) = &self.runtime else {
            return Err(Failure::retry(Class::ConnectionLost, "no sockets"));
        };
        let connection = &mut self.connection;
        let end = TokioInstant::from_std(job.end);
        let result = runtime.block_on(async { timeout_at(end, work(connection)).await });
        // Whoever uses the connection takes it out, so that one on which nobody knows what the next answer is for is gone.
        result.unwrap_or_else(|_| Err(Failure::retry(Class::Timeout, job.progress.what())))
    }

    /// Waits until the end as if for a server that says nothing: in one thread more, which wakes up for its own
    /// deadline. Where the login's process runs next, and how soon, depends on such things.
    pub(super) fn stay(&mut self, job: &Job<'_>) {
        // It always ends in its time being over.
        let _: Result<(), Failure> = self.run(job, async |_| std::future::pending().await);
    }

    /// Connects, signs in, and leaves.
    pub(super) fn check(&mut self, job: &Job<'_>) -> Result<String, Failure> {
        let (addresses, host) = (resolve(job)?, shown(job.settings));
        self.run(job, async |_| {
            let connection = sign_in(connect(job, &addresses).await?, job).await?;
            let left = job.end.saturating_duration_since(Instant::now()) / 2;
            goodbye(connection, left.min(GOODBYE)).await;
            Ok(format!("{host} lets the courier in"))
        })
    }

    /// Sends a message over the connection that there is, or over a new one.
    pub(super) fn send(&mut self, job: &Job<'_>, mail: &Mail) -> Result<String, Failure> {
        let mut is_old = self.connection.is_some();
        loop {
            if self.connection.is_none() {
                let addresses = resolve(job)?;
                self.run(job, async |kept| {
                    *kept = Some(sign_in(connect(job, &addresses).await?, job).await?);
                    Ok(())
                })?;
            }
            let result = self.run(job, async |kept| {
                let Some(mut connection) = kept.take() else {
                    return Err(lost(job));
                };
                let (result, is_good) = transact(&mut connection, job, mail).await;
                if is_good {
                    *kept = Some(connection);
                }
                result
            });
            match result {
                // A server may have closed a connection on which nothing happened for a while.
                Err(failure) if is_old && failure.class == Class::ConnectionLost => is_old = false,
                result => return result,
            }
        }
    }

    /// Ends the connection, if there is one; before a moment, since an answer may be waiting to be told.
    pub(super) fn close(&mut self, end: Instant) {
        if let (Some(runtime), Some(connection)) = (&self.runtime, self.connection.take()) {
            let left = end.saturating_duration_since(Instant::now()) / 2;
            runtime.block_on(goodbye(connection, left.min(GOODBYE)));
        }
    }
}

fn shown(settings: &Smtp) -> String {
    format!("{}:{}", settings.host.as_str(), settings.port.get())
}

fn port(settings: &Smtp) -> u16 {
    u16::try_from(settings.port.get()).unwrap_or(0)
}

fn lost(job: &Job<'_>) -> Failure {
    let host = job.settings.host.as_str();
    Failure::retry(
        Class::ConnectionLost,
        format!("{host} ended the connection {}", job.progress.what()),
    )
}

/// The server's addresses. This may hang for as long as the system's resolver likes: the thread that waits is left
/// behind then.
fn resolve(job: &Job<'_>) -> Result<Vec<SocketAddr>, Failure> {
    let host = job.settings.host.as_str();
    job.progress.doing(format!("while looking up {host}"));
    let addresses = (host, port(job.settings))
        .to_socket_addrs()
        .map_err(|error| Failure::retry(Class::Dns, format!("{host} was not found: {error}")))?;
    let addresses: Vec<_> = addresses.collect();
    if addresses.is_empty() {
        return Err(Failure::retry(Class::Dns, format!("{host} has no address")));
    }
    Ok(addresses)
}

/// A connection as far as the end of TLS' handshake and the server's first words behind it.
async fn connect(job: &Job<'_>, addresses: &[SocketAddr]) -> Result<AsyncSmtpConnection, Failure> {
    let host = job.settings.host.as_str();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        Failure::config(
            Class::ConfigUnusable,
            format!("{host} is no name of a host; write one as [courier.smtp] host"),
        )
    })?;
    // Before anything is connected: without certificates to trust there is nothing to be done.
    let connector = TlsConnector::from(tls::client(job.settings.ca_file.path())?);
    let client_id = client_id(job.host);
    let mut stream = dial(job, addresses).await?;
    let greeting: &[u8] = match job.settings.security {
        Security::Tls => b"",
        Security::Starttls => {
            prelude::starttls(&mut stream, &client_id.to_string(), job.progress, host).await?;
            // lettre waits for a greeting, which the server gave before TLS, and which nobody may rely on.
            b"220 ready\r\n"
        }
    };
    job.progress.doing("in the TLS handshake");
    let stream = connector.connect(name, stream).await.map_err(|error| {
        tls::failure_of(&error, host).unwrap_or_else(|| io_failure(&error, job))
    })?;
    job.progress.doing("waiting for the greeting");
    let stream = Box::new(Bounded::new(stream, greeting));
    AsyncSmtpConnection::connect_with_transport(stream, &client_id)
        .await
        .map_err(|error| not_for_good(&error, job))
}

fn client_id(host: &str) -> ClientId {
    if is_domain(host) && host != "localhost" {
        ClientId::Domain(host.to_owned())
    } else {
        // RFC 5321, 4.1.4: an address where there is no name.
        ClientId::Ipv4(Ipv4Addr::LOCALHOST)
    }
}

/// The first address that answers. Each gets its share of the time: one that swallows everything must not keep the
/// others from being tried.
async fn dial(job: &Job<'_>, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let shown = shown(job.settings);
    job.progress.doing(format!("while connecting to {shown}"));
    let mut last = Failure::retry(Class::Dns, format!("{shown} has no address"));
    for (place, address) in addresses.iter().enumerate() {
        let left = job.end.saturating_duration_since(Instant::now());
        let shares = u32::try_from(addresses.len() - place).unwrap_or(u32::MAX);
        let attempt = timeout(left / shares, TcpStream::connect(address));
        last = match attempt.await {
            Ok(Ok(stream)) => {
                // Without: only slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => dial_failure(&error, &shown),
            Err(_) => Failure::retry(Class::Timeout, job.progress.what()),
        };
    }
    Err(last)
}

fn dial_failure(error: &io::Error, shown: &str) -> Failure {
    let class = match error.kind() {
        ErrorKind::ConnectionRefused => Class::ConnectionRefused,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        // What a firewall on this host answers.
        | ErrorKind::PermissionDenied => Class::Unroutable,
        ErrorKind::TimedOut => Class::Timeout,
        _ => Class::ConnectionLost,
    };
    Failure::retry(class, format!("no connection to {shown}: {error}"))
}

/// Signs in where `mfa.toml` names a user; then the connection is ready for messages.
async fn sign_in(
    mut connection: AsyncSmtpConnection,
    job: &Job<'_>,
) -> Result<AsyncSmtpConnection, Failure> {
    let settings = job.settings;
    if settings.username.is_empty() {
        return Ok(connection);
    }
    job.progress.doing("while signing in");
    let host = settings.host.as_str();
    let wanted: &[Mechanism] = match settings.auth {
        Auth::Auto => &[Mechanism::Plain, Mechanism::Login],
        Auth::Plain => &[Mechanism::Plain],
        Auth::Login => &[Mechanism::Login],
        Auth::Xoauth2 => &[Mechanism::Xoauth2],
    };
    let Some(mechanism) = connection.server_info().get_auth_mechanism(wanted) else {
        let names: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        return Err(Failure::config(
            Class::AuthMissing,
            format!("{host} does not offer AUTH {}", names.join(" or ")),
        ));
    };
    let password = job.credentials.read(settings.password.as_str())?;
    let login = Login::new(settings.username.clone(), password.to_string());
    let answer = connection.auth(&[mechanism], &login).await;
    match answer {
        Ok(answer) if answer.has_code(235) => Ok(connection),
        Ok(_) => Err(Failure::retry(
            Class::Protocol,
            format!("{host} answered AUTH in a way of its own"),
        )),
        // What is wrong with a token comes in a challenge (XOAUTH2), to which there is no answer.
        Err(error) if error.is_client() && mechanism == Mechanism::Xoauth2 => {
            Err(rejected(host, mechanism, ""))
        }
        Err(error) if error.is_permanent() => {
            // Nothing of the text is repeated: some servers echo what they were sent.
            let code = error
                .status()
                .map_or(String::new(), |code| code.to_string());
            Err(rejected(host, mechanism, &format!(" ({code})")))
        }
        Err(error) if error.is_transient() => {
            let code = error
                .status()
                .map_or(String::new(), |code| code.to_string());
            Err(Failure::retry(
                Class::Temporary,
                format!("{host} can't sign anybody in at the moment ({code})"),
            ))
        }
        Err(error) => Err(failure_of(&error, job)),
    }
}

fn rejected(host: &str, mechanism: Mechanism, code: &str) -> Failure {
    Failure::config(
        Class::AuthRejected,
        format!(
            "{host} refused user name and password{code} by AUTH {mechanism}; \
             write the password with `mfa-admin credential set`"
        ),
    )
}

/// One message, from MAIL to the answer to its last dot. Also tells whether the connection is good for another.
async fn transact(
    connection: &mut AsyncSmtpConnection,
    job: &Job<'_>,
    mail: &Mail,
) -> (Result<String, Failure>, bool) {
    let result = dialogue(connection, job, mail).await;
    let (answered, is_recipient) = match result {
        Ok(response) => {
            let host = job.settings.host.as_str();
            return (Ok(format!("{host} took it ({})", response.code())), true);
        }
        Err(Unsent {
            error,
            is_recipient,
        }) => (error, is_recipient),
    };
    let failure = if is_recipient {
        failure_of(&answered, job)
    } else {
        not_for_good(&answered, job)
    };
    let is_answer = matches!(failure.class, Class::Temporary | Class::Refused);
    // 421: the server is going away.
    let is_leaving = answered
        .status()
        .is_some_and(|code| code.to_string() == "421");
    let is_good = is_answer && !is_leaving && connection.command(Rset).await.is_ok();
    (Err(failure), is_good)
}

/// Why a server did not take a message.
struct Unsent {
    error: SmtpError,
    /// It is the recipient that the server does not like.
    is_recipient: bool,
}

impl From<SmtpError> for Unsent {
    fn from(error: SmtpError) -> Self {
        Self {
            error,
            is_recipient: false,
        }
    }
}

async fn dialogue(
    connection: &mut AsyncSmtpConnection,
    job: &Job<'_>,
    mail: &Mail,
) -> Result<Response, Unsent> {
    let (from, to) = mail.envelope();
    // Messages are ASCII as a rule; where one is not, the server is told.
    let eight_bits = connection
        .server_info()
        .supports_feature(Extension::EightBitMime);
    let parameters = if eight_bits && !mail.text().is_ascii() {
        vec![MailParameter::Body(MailBodyParameter::EightBitMime)]
    } else {
        Vec::new()
    };
    job.progress
        .doing_with_message("waiting for the answer to MAIL");
    connection
        .command(MailFrom::new(Some(from), parameters))
        .await?;
    job.progress
        .doing_with_message("waiting for the answer to RCPT");
    connection
        .command(Rcpt::new(to, Vec::new()))
        .await
        .map_err(|error| Unsent {
            error,
            is_recipient: true,
        })?;
    job.progress
        .doing_with_message("waiting for the answer to DATA");
    connection.command(Data).await?;
    job.progress
        .doing_with_message("waiting for the answer to the message");
    Ok(connection.message(mail.text()).await?)
}

async fn goodbye(mut connection: AsyncSmtpConnection, patience: Duration) {
    // Everything that matters has been answered.
    let _ = timeout(patience, connection.command(Quit)).await;
}

/// What went wrong with anything but a recipient. Another time it may go better, even after a 5xx: servers answer one
/// where too much was sent today, or where they don't like the sender's network at the moment.
fn not_for_good(error: &SmtpError, job: &Job<'_>) -> Failure {
    let failure = failure_of(error, job);
    Failure {
        ending: match failure.ending {
            Ending::Refused => Ending::Retry,
            ending => ending,
        },
        ..failure
    }
}

/// What lettre has met.
fn failure_of(error: &SmtpError, job: &Job<'_>) -> Failure {
    let host = job.settings.host.as_str();
    if let Some(code) = error.status() {
        let said = error.source().map_or(String::new(), |text| {
            quote(&text.to_string(), &[&job.settings.username])
        });
        let stage = job
            .progress
            .what()
            .replace("waiting for the ", "")
            .replace("answer to ", "");
        let detail = format!("{host} answered {code} to {stage}: {said}");
        // RFC 4954, 6: the server wants to know who this is.
        return if code.to_string() == "530" {
            Failure::config(
                Class::AuthMissing,
                format!("{detail}; write username and password in [courier.smtp]"),
            )
        } else if error.is_permanent() {
            Failure::refused(Class::Refused, detail)
        } else {
            Failure::retry(Class::Temporary, detail)
        };
    }
    if let Some(error) = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
    {
        return io_failure(error, job);
    }
    // lettre has no other word for a connection that ends in the middle of an answer.
    if error
        .source()
        .is_some_and(|source| source.to_string() == "incomplete response")
    {
        return lost(job);
    }
    Failure::retry(
        Class::Protocol,
        format!(
            "{host} does not speak SMTP as it should, {}",
            job.progress.what()
        ),
    )
}

/// What became of a connection.
fn io_failure(error: &io::Error, job: &Job<'_>) -> Failure {
    let host = job.settings.host.as_str();
    if error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TooMuch>())
        .is_some()
    {
        return too_much(host, job.progress);
    }
    if let Some(failure) = tls::failure_of(error, host) {
        return failure;
    }
    match error.kind() {
        // What is not UTF-8.
        ErrorKind::InvalidData => Failure::retry(
            Class::Protocol,
            format!(
                "{host} does not speak SMTP as it should, {}",
                job.progress.what()
            ),
        ),
        _ => lost(job),
    }
}

fn too_much(host: &str, progress: &Progress) -> Failure {
    Failure::retry(
        Class::TooMuch,
        format!("{host} says too much, {}", progress.what()),
    )
}

#[cfg(test)]
mod tests;
