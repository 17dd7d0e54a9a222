//! Telegram's Bot API. The token is part of every URL, so no text of an error that may hold one goes any further.

use std::io::ErrorKind;
use std::net::ToSocketAddrs;
use std::time::Instant;

use mfa_core::courier::Document;
use mfa_core::message::Composed;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use zeroize::Zeroizing;

use super::tls;
use crate::progress::Progress;
use crate::report::{Class, Failure, quote};

/// Bytes of an answer at most.
const MAX_ANSWER: u64 = 64 * 1024;
/// Length of a message at most, in units of UTF-16 (Bot API, sendMessage).
const MAX_TEXT: usize = 4096;

/// One bot, and one conversation with the API.
pub(super) struct Bot<'a> {
    agent: Agent,
    /// Up to the method's name; holds the token.
    base: Zeroizing<String>,
    token: &'a str,
    host: String,
    progress: &'a Progress,
}

#[derive(Serialize)]
struct Message<'a> {
    chat_id: i64,
    text: &'a str,
}

/// What the API answers, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    retry_after: u64,
}

/// As much of a text as one message may have.
fn cut(text: &str) -> &str {
    let mut length = 0;
    let end = text.char_indices().find(|(_, c)| {
        length += c.len_utf16();
        length > MAX_TEXT
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

impl<'a> Bot<'a> {
    pub(super) fn new(
        api: &str,
        token: &'a str,
        end: Instant,
        progress: &'a Progress,
    ) -> Result<Self, Failure> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "_:-".contains(c);
        if !token.chars().all(is_token) {
            return Err(Failure::config(
                Class::Credential,
                "the Telegram token is none: it is made of letters, digits, :, _ and -",
            ));
        }
        let (scheme, rest) = api.split_once("://").unwrap_or(("https", api));
        let host = rest.split('/').next().unwrap_or(rest).to_owned();
        let mut tls_config = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(tls::provider());
        if scheme == "https" {
            let roots = tls::roots(None)?;
            let roots: Vec<_> = roots
                .iter()
                .map(|root| Certificate::from_der(root).to_owned())
                .collect();
            tls_config = tls_config.root_certs(RootCerts::new_with_certs(&roots));
        }
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(end.saturating_duration_since(Instant::now())))
            .user_agent("mfa-courier")
            .tls_config(tls_config.build())
            .build();
        let base = Zeroizing::new(format!("{}/bot{token}/", api.trim_end_matches('/')));
        Ok(Self {
            agent: config.new_agent(),
            base,
            token,
            host,
            progress,
        })
    }

    /// Whether the name is known. ureq would look it up by itself, but has no word of its own for the failure.
    fn look_up(&self) -> Result<(), Failure> {
        let host = &self.host;
        self.progress.doing(format!("while looking up {host}"));
        let with_port = if host.contains(':') {
            host.clone()
        } else {
            format!("{host}:443")
        };
        with_port.to_socket_addrs().map_err(|error| {
            Failure::retry(Class::Dns, format!("{host} was not found: {error}"))
        })?;
        self.progress.doing(format!("while asking {host}"));
        Ok(())
    }

    /// Whether the API knows the bot.
    pub(super) fn check(&self) -> Result<String, Failure> {
        let url = Zeroizing::new(format!("{}getMe", *self.base));
        self.look_up()?;
        let response = self.agent.get(url.as_str()).call();
        self.understand(response, &[])?;
        Ok(format!("{} knows the bot", self.host))
    }

    /// Sends a message: its subject is the first line.
    pub(super) fn send(&self, document: &Document, composed: &Composed) -> Result<String, Failure> {
        let chat_id = document.to.parse().map_err(|_| {
            Failure::refused(Class::Document, "its recipient is no id of a Telegram user")
        })?;
        let text = Zeroizing::new(format!("{}\n\n{}", composed.subject, composed.text));
        let message = Message {
            chat_id,
            text: cut(&text),
        };
        let json = serde_json::to_vec(&message)
            .map_err(|error| Failure::refused(Class::Document, error.to_string()))?;
        let json = Zeroizing::new(json);
        let url = Zeroizing::new(format!("{}sendMessage", *self.base));
        self.look_up()?;
        let response = self
            .agent
            .post(url.as_str())
            .content_type("application/json")
            .send(json.as_slice());
        self.understand(response, &[&document.code, &document.user, &document.to])?;
        Ok(format!("{} took it", self.host))
    }

    fn understand(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        secrets: &[&str],
    ) -> Result<(), Failure> {
        let host = &self.host;
        let mut response = response.map_err(|error| self.failure(&error))?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|error| self.failure(&error))?;
        if matches!(status, 401 | 404) {
            return Err(Failure::config(
                Class::Unauthorized,
                format!(
                    "{host} does not know the bot ({status}); write its token with `mfa-admin credential set`"
                ),
            ));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
            Failure::retry(
                Class::Protocol,
                format!("{host} answered {status}, and not in the JSON of the Bot API"),
            )
        })?;
        // It is the Bot API that answers, and it knows the bot.
        self.progress
            .doing_with_message(format!("while asking {host}"));
        if answer.ok && (200..300).contains(&status) {
            return Ok(());
        }
        let mut hidden = vec![self.token];
        hidden.extend_from_slice(secrets);
        let said = quote(&answer.description, &hidden);
        let detail = format!("{host} answered {status}: {said}");
        Err(match status {
            429 => Failure::retry(
                Class::Busy,
                format!(
                    "{host} answered {status}, retry_after {} s",
                    answer.parameters.retry_after
                ),
            ),
            400..500 => Failure::refused(Class::Refused, detail),
            _ => Failure::retry(Class::Temporary, detail),
        })
    }

    /// What an error is about, without its text: that may hold the URL.
    fn failure(&self, error: &ureq::Error) -> Failure {
        let host = &self.host;
        let retry = |class, what: String| Failure::retry(class, what);
        match error {
            ureq::Error::HostNotFound => retry(Class::Dns, format!("{host} was not found")),
            ureq::Error::Timeout(_) => retry(Class::Timeout, self.progress.what()),
            ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(_, _) => {
                retry(Class::TooMuch, format!("{host} says too much"))
            }
            ureq::Error::Rustls(error) => tls::failure(error, host),
            ureq::Error::Tls(_) | ureq::Error::Pem(_) => {
                retry(Class::Tls, format!("no TLS with {host}"))
            }
            ureq::Error::ConnectionFailed => {
                retry(Class::ConnectionRefused, format!("no connection to {host}"))
            }
            ureq::Error::Io(error) => self.io_failure(error),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::config(
                Class::ConfigUnusable,
                "[courier.telegram] api is no base URL".to_owned(),
            ),
            _ => retry(
                Class::Protocol,
                format!("{host} does not speak HTTP as it should"),
            ),
        }
    }

    fn io_failure(&self, error: &std::io::Error) -> Failure {
        let host = &self.host;
        if let Some(failure) = tls::failure_of(error, host) {
            return failure;
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => Failure::retry(
                Class::ConnectionRefused,
                format!("{host} takes no connections"),
            ),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Failure::retry(Class::Unroutable, format!("there is no way to {host}"))
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                Failure::retry(Class::Timeout, self.progress.what())
            }
            ErrorKind::InvalidData | ErrorKind::InvalidInput => Failure::retry(
                Class::Protocol,
                format!("{host} does not speak HTTP as it should"),
            ),
            _ => Failure::retry(
                Class::ConnectionLost,
                format!("the connection to {host} was lost"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use mfa_core::courier::Kind;

    use super::*;
    use crate::report::Ending;

    const TOKEN: &str = "123456:AAE-secret_token";

    /// One request: its first line, its headers, its body.
    fn request(stream: &TcpStream) -> (String, String, String) {
        let mut reader = BufReader::new(stream);
        let (mut line, mut headers) = (String::new(), String::new());
        reader.read_line(&mut line).unwrap();
        while !headers.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut headers).unwrap() > 0, "{headers}");
        }
        let length = headers.lines().find_map(|header| {
            let (name, value) = header.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        (
            line.trim_end().to_owned(),
            headers,
            String::from_utf8(body).unwrap(),
        )
    }

    /// A server that answers one request; gives what it was asked.
    fn api(answer: Vec<u8>) -> (String, JoinHandle<(String, String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            stream
                .set_write_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let request = request(&stream);
            // A client may have heard enough before the end.
            let _ = stream.write_all(&answer);
            request
        });
        (base, thread)
    }

    fn answer(status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        let head = "Content-Type: application/json\r\nConnection: close";
        format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    fn document() -> Document {
        let mut document = Document::new(Kind::Code, "0".repeat(32), 0);
        document.to = "-1001234".to_owned();
        document.user = "alice".to_owned();
        *document.code = "493817".to_owned();
        document
    }

    fn composed(text: &str) -> Composed {
        Composed {
            subject: "493817 is your code".to_owned(),
            text: text.to_owned(),
            html: String::new(),
        }
    }

    fn send(base: &str, document: &Document, milliseconds: u64) -> Result<String, Failure> {
        let end = Instant::now() + Duration::from_millis(milliseconds);
        let progress = Progress::default();
        Bot::new(base, TOKEN, end, &progress)?.send(document, &composed("line one\nline \"two\""))
    }

    #[track_caller]
    fn fails(answer: Vec<u8>, ending: Ending, class: Class) -> Failure {
        let (base, thread) = api(answer);
        let failure = send(&base, &document(), 15_000).unwrap_err();
        assert_eq!(
            (failure.ending, failure.class),
            (ending, class),
            "{failure:?}"
        );
        for secret in [TOKEN, "secret_token", "493817", "alice", "1001234"] {
            assert!(!failure.detail.contains(secret), "{failure:?}");
        }
        thread.join().unwrap();
        failure
    }

    #[test]
    fn a_message_goes_to_the_bots_own_address_with_the_subject_first() {
        let (base, thread) = api(answer("200 OK", r#"{"ok":true,"result":{"message_id":1}}"#));
        let said = send(&format!("{base}/"), &document(), 15_000).unwrap();
        assert!(!said.contains(TOKEN));
        let (line, headers, body) = thread.join().unwrap();
        assert_eq!(line, format!("POST /bot{TOKEN}/sendMessage HTTP/1.1"));
        assert!(
            headers
                .to_lowercase()
                .contains("content-type: application/json")
        );
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["chat_id"], -1_001_234);
        assert_eq!(
            body["text"],
            "493817 is your code\n\nline one\nline \"two\""
        );
        assert_eq!(body.as_object().unwrap().len(), 2);
    }

    #[test]
    fn a_check_asks_who_the_bot_is() {
        let (base, thread) = api(answer("200 OK", r#"{"ok":true,"result":{"is_bot":true}}"#));
        let end = Instant::now() + Duration::from_secs(15);
        let progress = Progress::default();
        Bot::new(&base, TOKEN, end, &progress)
            .unwrap()
            .check()
            .unwrap();
        assert_eq!(
            thread.join().unwrap().0,
            format!("GET /bot{TOKEN}/getMe HTTP/1.1")
        );
    }

    #[test]
    fn what_the_api_refuses_is_told_by_its_reason() {
        let refused = |status: &str, description: &str| {
            answer(
                status,
                &format!(r#"{{"ok":false,"description":"{description}"}}"#),
            )
        };
        for status in ["401 Unauthorized", "404 Not Found"] {
            fails(
                refused(status, "Unauthorized"),
                Ending::Config,
                Class::Unauthorized,
            );
        }
        let busy = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 17","parameters":{"retry_after":17}}"#;
        let failure = fails(
            answer("429 Too Many Requests", busy),
            Ending::Retry,
            Class::Busy,
        );
        assert!(failure.detail.contains("retry_after 17 s"), "{failure:?}");
        let failure = fails(
            refused(
                "400 Bad Request",
                &format!("chat not found -1001234 alice 493817 {TOKEN}"),
            ),
            Ending::Refused,
            Class::Refused,
        );
        assert!(failure.detail.contains("chat not found"), "{failure:?}");
        fails(
            refused("500 Internal", "oops"),
            Ending::Retry,
            Class::Temporary,
        );
        fails(
            answer("200 OK", r#"{"ok":false}"#),
            Ending::Retry,
            Class::Temporary,
        );
    }

    #[test]
    fn what_the_api_has_against_a_message_is_known_from_what_it_has_against_the_bot() {
        let refusal = r#"{"ok":false,"description":"no"}"#;
        for (status, body, is_with_message) in [
            ("400 Bad Request", refusal, true),
            ("429 Too Many Requests", refusal, true),
            ("500 Internal", refusal, true),
            ("401 Unauthorized", refusal, false),
            ("404 Not Found", refusal, false),
            ("502 Bad Gateway", "<html>", false),
        ] {
            let (base, thread) = api(answer(status, body));
            let end = Instant::now() + Duration::from_secs(15);
            let progress = Progress::default();
            let bot = Bot::new(&base, TOKEN, end, &progress).unwrap();
            bot.send(&document(), &composed("text")).unwrap_err();
            assert_eq!(progress.is_with_message(), is_with_message, "{status}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_is_not_the_api_is_told_so() {
        fails(
            answer("200 OK", "<html>sign in to this network</html>"),
            Ending::Retry,
            Class::Protocol,
        );
        fails(
            answer("502 Bad Gateway", "<html>"),
            Ending::Retry,
            Class::Protocol,
        );
        let elsewhere = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/bot{TOKEN}\r\nContent-Length: 0\r\n\r\n"
        );
        fails(elsewhere.into_bytes(), Ending::Retry, Class::Protocol);
        fails(
            b"220 mail.example.com\r\n".to_vec(),
            Ending::Retry,
            Class::Protocol,
        );
        fails(
            answer("200 OK", &" ".repeat(100_000)),
            Ending::Retry,
            Class::TooMuch,
        );
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(4 * 1024 * 1024));
        fails(endless.into_bytes(), Ending::Retry, Class::TooMuch);
        fails(Vec::new(), Ending::Retry, Class::ConnectionLost);
    }

    #[test]
    fn an_api_that_is_not_there_or_silent_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let failure = send(&base, &document(), 200).unwrap_err();
        assert_eq!(failure.class, Class::Timeout, "{failure:?}");
        assert_eq!(
            failure.detail,
            format!("while asking {}", base.trim_start_matches("http://"))
        );
        drop(listener);
        let failure = send(&base, &document(), 15_000).unwrap_err();
        assert_eq!(failure.class, Class::ConnectionRefused, "{failure:?}");
        let failure = send("http://no..name", &document(), 15_000).unwrap_err();
        assert_eq!(failure.class, Class::Dns, "{failure:?}");
    }

    #[test]
    fn neither_a_strange_token_nor_a_strange_recipient_is_sent() {
        let end = Instant::now() + Duration::from_secs(15);
        let progress = Progress::default();
        for token in ["a/../b", "a b", "a?b", "a#b", "\u{e9}", "a%2fb"] {
            let failure = Bot::new("http://127.0.0.1:1", token, end, &progress)
                .err()
                .unwrap();
            assert_eq!(failure.class, Class::Credential);
            assert!(!failure.detail.contains(token));
        }
        let mut document = document();
        document.to = "@alice".to_owned();
        let failure = send("http://127.0.0.1:1", &document, 15_000).unwrap_err();
        assert_eq!(failure.class, Class::Document);
    }

    #[test]
    fn what_is_sent_is_cut_at_its_end() {
        let (base, thread) = api(answer("200 OK", r#"{"ok":true}"#));
        let end = Instant::now() + Duration::from_secs(15);
        let progress = Progress::default();
        let bot = Bot::new(&base, TOKEN, end, &progress).unwrap();
        bot.send(&document(), &composed(&"x".repeat(5000))).unwrap();
        let (_, _, body) = thread.join().unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let text = body["text"].as_str().unwrap();
        let whole = format!("493817 is your code\n\n{}", "x".repeat(5000));
        assert_eq!(text, &whole[..4096]);
    }

    #[test]
    fn a_text_is_cut_where_the_api_would_refuse_it() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"x".repeat(5000)).len(), 4096);
        // Two units of UTF-16 each.
        assert_eq!(cut(&"\u{1f511}".repeat(5000)).chars().count(), 2048);
    }
}
