//! The mail servers and the Bot API of the tests, with clients that are not ours: Python's smtplib and urllib,
//! openssl. What fails here is no fault of the courier.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::doc_markdown,
    reason = "tests fail at once, and live in real time"
)]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mfa_tests::mail::{
    Certificate, Exim, MisbehavingServer, Misbehaviour, OAUTH_TOKEN, Options, PASSWORD,
    STARTTLS_PORT, Security, TLS_PORT, USER,
};
use mfa_tests::telegram::{BotApi, BotMode, RETRY_AFTER, TOKEN};
use mfa_tests::{Host, Output, on_a_bare_host};

const SOON: Duration = Duration::from_secs(10);

/// What mail clients begin with. `connect` gives up after two seconds of silence.
const PRELUDE: &str = r#"
import base64, smtplib, socket, ssl
from email.message import EmailMessage
trust = ssl.create_default_context(cafile="/run/mail/tls/ca.pem")
def connect(port, implicit):
    if implicit:
        return smtplib.SMTP_SSL("mail.example.com", port, context=trust, timeout=2)
    client = smtplib.SMTP("mail.example.com", port, timeout=2)
    client.ehlo()
    client.starttls(context=trust)
    return client
def sign_in(client, mechanism, user, password):
    client.ehlo()
    client.user, client.password = user, password
    client.auth(mechanism, getattr(client, "auth_" + mechanism.lower()))
"#;

fn python(host: &Host, script: &str) -> Output {
    host.run_with(&["/usr/bin/python3", "-"], script)
}

fn mail_client(host: &Host, script: &str) -> Output {
    python(host, &format!("{PRELUDE}{script}"))
}

/// A careful client's whole dialogue; returns where it ended, and why.
fn send_to(host: &Host, server: &MisbehavingServer, security: Security) -> String {
    let script = format!(
        r#"
try:
    client = connect({port}, {implicit})
    client.login({USER:?}, {PASSWORD:?})
    client.sendmail({USER:?}, ["alice@example.com"], "Subject: 123456\r\n\r\n.123456\r\n")
    client.quit()
    print("sent")
except Exception as error:
    print(type(error).__name__, error)
"#,
        port = server.port(),
        implicit = if security == Security::Tls {
            "True"
        } else {
            "False"
        },
    );
    let output = mail_client(host, &script);
    output.expect_success();
    output.stdout
}

#[test]
fn mail_arrives_over_tls_and_starttls_from_who_signs_in_with_plain_login_or_xoauth2() {
    on_a_bare_host(|host| {
        let exim = Exim::start(&Options::default());
        for (port, implicit) in [(TLS_PORT, "True"), (STARTTLS_PORT, "False")] {
            for mechanism in ["PLAIN", "LOGIN"] {
                let script = format!(
                    r#"
client = connect({port}, {implicit})
sign_in(client, "{mechanism}", {USER:?}, {PASSWORD:?})
message = EmailMessage()
message["From"], message["To"] = {USER:?}, "alice@example.com"
message["Subject"] = "{mechanism} über {port}"
message.set_content(".Zoë\n" + "x" * 200)
message.add_alternative("<p>李</p>", subtype="html")
client.send_message(message)
client.quit()
"#
                );
                mail_client(host, &script).expect_success();
                let mail = exim.wait_for_mail("alice", SOON);
                assert_eq!(mail.header("Subject"), format!("{mechanism} über {port}"));
                assert_eq!(mail.header("envelope-to"), "alice@example.com");
                assert_eq!(mail.header("Return-path"), format!("<{USER}>"));
                assert!(mail.header("Received").contains("esmtpsa"), "{mail:?}");
                assert_eq!(mail.text().trim_end(), format!(".Zoë\n{}", "x".repeat(200)));
                assert_eq!(mail.html().trim_end(), "<p>李</p>");
                assert_eq!(mail.defects, Vec::<String>::new());
                assert!(mail.raw.starts_with(b"Return-path: "));
            }
        }
        assert_eq!((exim.mails("alice").len(), exim.count("alice")), (4, 4));
        let log = exim.log();
        assert_eq!(log.matches(&format!("A=plain:{USER}")).count(), 2, "{log}");
        assert_eq!(log.matches(&format!("A=login:{USER}")).count(), 2, "{log}");
        let script = format!(
            r#"
client = connect({TLS_PORT}, True)
client.ehlo()
for token, expected in ("wrong", 535), ("{OAUTH_TOKEN}", 235):
    words = f"user={USER}\x01auth=Bearer {{token}}\x01\x01"
    answer = client.docmd("AUTH", "XOAUTH2 " + base64.b64encode(words.encode()).decode())
    assert answer[0] == expected, (token, answer)
"#
        );
        mail_client(host, &script).expect_success();
        exim.clear();
        assert_eq!(exim.count("alice"), 0);
    });
}

#[test]
fn exim_takes_nothing_from_strangers_and_for_strangers() {
    on_a_bare_host(|host| {
        let exim = Exim::start(&Options::default());
        let script = format!(
            r#"
# In clear: not offered, not taken.
client = smtplib.SMTP("mail.example.com", {STARTTLS_PORT}, timeout=5)
client.ehlo()
assert client.has_extn("starttls") and not client.has_extn("auth"), client.esmtp_features
plain = base64.b64encode("\0{USER}\0".encode() + {PASSWORD:?}.encode()).decode()
assert client.docmd("AUTH", "PLAIN " + plain)[0] == 503
client.docmd("MAIL", "FROM:<{USER}>")
assert client.docmd("RCPT", "TO:<alice@example.com>") == (550, b"TLS first")
# Under TLS: the right password, and then a person who has a box.
for mechanism in "PLAIN", "LOGIN":
    client = connect({TLS_PORT}, True)
    client.ehlo()
    assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN", "XOAUTH2"], client.esmtp_features
    for user, password in ({USER:?}, {PASSWORD:?} + "x"), ("alice@example.com", {PASSWORD:?}), ({USER:?}, ""):
        try:
            sign_in(client, mechanism, user, password)
            raise SystemExit("signed in with " + password)
        except smtplib.SMTPAuthenticationError as error:
            assert error.smtp_code == 535, error
client = connect({TLS_PORT}, True)
client.ehlo()
client.docmd("MAIL", "FROM:<{USER}>")
assert client.docmd("RCPT", "TO:<alice@example.com>") == (550, b"sign in first")
client.rset()
sign_in(client, "PLAIN", {USER:?}, {PASSWORD:?})
for stranger in "nobody@example.com", "alice@example.org":
    client.docmd("MAIL", "FROM:<{USER}>")
    assert client.docmd("RCPT", f"TO:<{{stranger}}>")[0] == 550, stranger
    client.rset()
"#
        );
        mail_client(host, &script).expect_success();
        assert_eq!(exim.count("alice"), 0);
    });
}

#[test]
fn exim_offers_the_mechanisms_it_is_told_and_keeps_mail_across_a_restart() {
    on_a_bare_host(|host| {
        let offer = || {
            let script = format!(
                "client = connect({TLS_PORT}, True)\nclient.ehlo()\nprint(client.esmtp_features.get('auth'))\n"
            );
            let output = mail_client(host, &script);
            output.expect_success();
            output.stdout.trim().to_owned()
        };
        let exim = Exim::start(&Options {
            mechanisms: "LOGIN",
            also: &["zoe"],
            ..Options::default()
        });
        assert_eq!(offer(), "LOGIN");
        let words = ["/usr/sbin/sendmail", "-i", "--", "zoe@example.com"];
        host.run_with(&words, "Subject: one\n\n.\nend\n")
            .expect_success();
        assert_eq!(exim.wait_for_mail("zoe", SOON).text(), ".\nend\n");
        drop(exim);
        assert!(
            TcpStream::connect(("127.0.0.1", TLS_PORT)).is_err(),
            "exim is gone"
        );
        let exim = Exim::start(&Options {
            mechanisms: "",
            ..Options::default()
        });
        assert_eq!(offer(), "None");
        assert_eq!(exim.count("zoe"), 1);
    });
}

#[test]
fn sendmail_takes_mail_from_the_couriers_user_and_keeps_its_sender() {
    on_a_bare_host(|host| {
        let exim = Exim::start(&Options::default());
        let words = "setpriv --reuid=_mfa --regid=_mfa --clear-groups /usr/sbin/sendmail -i -f mfa@example.com -- bob@example.com";
        let words: Vec<&str> = words.split(' ').collect();
        host.run_with(&words, "To: bob@example.com\nSubject: local\n\nlocal\n")
            .expect_success();
        let mail = exim.wait_for_mail("bob", SOON);
        assert_eq!(mail.header("Return-path"), "<mfa@example.com>");
        assert!(mail.header("Received").contains("from _mfa"), "{mail:?}");
    });
}

#[test]
fn certificates_are_what_they_are_called() {
    on_a_bare_host(|host| {
        for (certificate, verdict) in [
            (Certificate::Right, "0 (ok)"),
            (Certificate::Expired, "10 (certificate has expired)"),
            (Certificate::SelfSigned, "18 (self-signed certificate)"),
            (Certificate::OtherHost, "62 (hostname mismatch)"),
        ] {
            let exim = Exim::start(&Options {
                certificate,
                ..Options::default()
            });
            let scripted =
                MisbehavingServer::start(&Misbehaviour::certificate(Security::Tls, certificate));
            let ports = [
                (TLS_PORT, &[][..]),
                (STARTTLS_PORT, &["-starttls", "smtp"][..]),
                (scripted.port(), &[][..]),
            ];
            for (port, how) in ports {
                for name in ["mail.example.com", "localhost"] {
                    let target = format!("{name}:{port}");
                    let mut words = vec!["openssl", "s_client", "-connect", &target];
                    words.extend(["-CAfile", exim.ca_file(), "-verify_hostname", name]);
                    words.extend(how);
                    let output = host.run_with(&words, "QUIT\r\n");
                    let expected = format!("Verify return code: {verdict}");
                    assert!(output.stdout.contains(&expected), "{target}: {output:?}");
                }
            }
        }
        // What the courier's user may read, and what it may not.
        for (file, exit) in [("ca.pem", 0), ("right.key", 1)] {
            let path = format!("/run/mail/tls/{file}");
            let words = ["setpriv", "--reuid=_mfa", "--regid=_mfa", "--clear-groups"];
            let words = [&words[..], &["cat", &path]].concat();
            assert_eq!(host.run(&words).exit, exit, "{path}");
        }
    });
}

#[test]
fn a_scripted_server_without_rules_takes_mail_and_tells_what_came_through_tls() {
    on_a_bare_host(|host| {
        for security in [Security::Tls, Security::Starttls] {
            let server = MisbehavingServer::start(&Misbehaviour {
                security,
                ..Misbehaviour::default()
            });
            assert_eq!(send_to(host, &server, security), "sent\n");
            server.expect_nothing_before_tls_was_right(&[PASSWORD, "alice", "123456"]);
            assert_eq!(server.messages(), ["Subject: 123456\n\n.123456"]);
            let signed_in = server.wait_for("signed_in", SOON);
            assert_eq!(signed_in.text, format!("PLAIN \0{USER}\0{PASSWORD}"));
            assert!(signed_in.tls);
            let all = server.received();
            let in_clear: Vec<_> = all
                .iter()
                .filter(|received| received.event == "line" && !received.tls)
                .map(|received| received.text.split(' ').next().unwrap())
                .collect();
            let expected: &[&str] = match security {
                Security::Tls => &[],
                Security::Starttls => &["ehlo", "STARTTLS"],
            };
            assert_eq!(in_clear, expected);
        }
    });
}

#[test]
fn a_client_that_says_too_much_too_early_is_found_out() {
    on_a_bare_host(|host| {
        for certificate in [
            Certificate::Expired,
            Certificate::SelfSigned,
            Certificate::OtherHost,
        ] {
            for security in [Security::Tls, Security::Starttls] {
                let what = Misbehaviour::certificate(security, certificate);
                let server = MisbehavingServer::start(&what);
                let end = send_to(host, &server, security);
                assert!(end.starts_with("SSLCertVerificationError"), "{end}");
                server.wait_for("tls_failed", SOON);
                server.expect_nothing_before_tls_was_right(&[PASSWORD, "alice"]);
            }
        }
        let in_clear = "client = smtplib.SMTP('mail.example.com', PORT, timeout=2)\n";
        let signs_in = format!("sign_in(client, 'LOGIN', {USER:?}, {PASSWORD:?})\n");
        let careless = [
            (
                Misbehaviour::certificate(Security::Tls, Certificate::Expired),
                format!(
                    "trust = ssl._create_unverified_context()\nclient = connect(PORT, True)\n{signs_in}"
                ),
            ),
            (
                Misbehaviour::over_starttls(&["auth_in_clear", "no_starttls"]),
                format!("{in_clear}{signs_in}"),
            ),
            (
                Misbehaviour::over_starttls(&[]),
                format!("{in_clear}client.docmd('MAIL', 'FROM:<a@example.com>')\n"),
            ),
            (
                Misbehaviour::over_starttls(&["silent:greeting"]),
                "socket.create_connection(('127.0.0.1', PORT)).sendall(b'EHLO me')\n".to_owned(),
            ),
        ];
        for (what, script) in careless {
            let server = MisbehavingServer::start(&what);
            let script = script.replace("PORT", &server.port().to_string());
            mail_client(host, &script).expect_success();
            server.wait_for("closed", SOON);
            let complaint = catch_unwind(AssertUnwindSafe(|| {
                server.expect_nothing_before_tls_was_right(&[]);
            }));
            assert!(complaint.is_err(), "{:#?}", server.received());
            if script.contains("sign_in") {
                let signed_in = server.wait_for("signed_in", SOON);
                assert_eq!(signed_in.text, format!("LOGIN {USER}\n{PASSWORD}"));
            }
        }
    });
}

#[test]
fn a_scripted_server_refuses_and_leaves_where_it_is_told() {
    on_a_bare_host(|host| {
        let cases = [
            ("reply:greeting:554", "SMTPConnectError (554,"),
            ("reply:auth:535", "SMTPAuthenticationError (535,"),
            ("reply:auth:454", "SMTPAuthenticationError (454,"),
            ("reply:mail:451", "SMTPSenderRefused (451,"),
            (
                "reply:rcpt:550",
                "SMTPRecipientsRefused {'alice@example.com': (550,",
            ),
            ("reply:data:554", "SMTPDataError (554,"),
            ("reply:message:452", "SMTPDataError (452,"),
            ("close:greeting", "SMTPServerDisconnected"),
            ("reset:mail", "SMTPServerDisconnected"),
            ("close:message", "SMTPServerDisconnected"),
            ("no_auth", "SMTPNotSupportedError SMTP AUTH"),
            ("garbage:greeting", "SMTPConnectError (-1,"),
        ];
        for (rule, expected) in cases {
            let rules = [rule];
            let server = MisbehavingServer::start(&Misbehaviour::over_tls(&rules));
            let end = send_to(host, &server, Security::Tls);
            assert!(end.starts_with(expected), "{rule}: {end}");
        }
        // The answer repeats what the client has said: a courier must not pass it on.
        let server = MisbehavingServer::start(&Misbehaviour::over_tls(&["reply:message:550"]));
        assert!(send_to(host, &server, Security::Tls).contains("123456"));
        // A rule that nobody knows is no good behaviour.
        for rule in [
            "silent",
            "silent:nowhere",
            "reply:mail",
            "close:mail:451",
            "no_tls",
        ] {
            let rules = [rule];
            let what = Misbehaviour::over_tls(&rules);
            assert!(
                catch_unwind(|| MisbehavingServer::start(&what)).is_err(),
                "{rule}"
            );
        }
    });
}

#[test]
fn starttls_is_missing_refused_or_followed_by_forged_answers() {
    on_a_bare_host(|host| {
        let server = MisbehavingServer::start(&Misbehaviour::over_starttls(&["no_starttls"]));
        let end = send_to(host, &server, Security::Starttls);
        assert!(end.starts_with("SMTPNotSupportedError STARTTLS"), "{end}");
        let server =
            MisbehavingServer::start(&Misbehaviour::over_starttls(&["reply:starttls:454"]));
        let end = send_to(host, &server, Security::Starttls);
        assert!(end.starts_with("SMTPResponseException (454,"), "{end}");
        let server = MisbehavingServer::start(&Misbehaviour::over_starttls(&["inject_starttls"]));
        let script = format!(
            r#"
stream = socket.create_connection(("127.0.0.1", {port}), timeout=2)
stream.recv(100)
stream.sendall(b"EHLO me\r\n")
features = stream.recv(1000)
assert b"STARTTLS" in features and b"AUTH" not in features, features
stream.sendall(b"STARTTLS\r\n")
answer = stream.recv(1000)
assert answer.startswith(b"220 ") and b"\r\n250 AUTH PLAIN LOGIN\r\n" in answer, answer
tls = trust.wrap_socket(stream, server_hostname="mail.example.com")
tls.sendall(b"EHLO me\r\n")
assert b"AUTH" in tls.recv(1000)
"#,
            port = server.port()
        );
        mail_client(host, &script).expect_success();
        server.expect_nothing_before_tls_was_right(&[]);
    });
}

#[test]
fn a_scripted_server_falls_silent() {
    on_a_bare_host(|host| {
        for (stage, tls) in [("connect", false), ("greeting", true), ("message", true)] {
            let rule = format!("silent:{stage}");
            let rules = [rule.as_str()];
            let server = MisbehavingServer::start(&Misbehaviour::over_tls(&rules));
            let end = send_to(host, &server, Security::Tls);
            assert!(end.contains("timed out"), "{rule}: {end}");
            let stuck = server.wait_for("stuck", SOON);
            assert_eq!((stuck.text.as_str(), stuck.tls), (stage, tls));
            // The client's patience.
            assert!(server.wait_for("closed", SOON).seconds >= 2.0);
            server.expect_nothing_before_tls_was_right(&[PASSWORD]);
        }
    });
}

#[test]
fn a_scripted_server_drips_or_says_far_too_much() {
    on_a_bare_host(|host| {
        // What comes in 2.5 s, up to 20 MB: its length, its lines and how it begins. smtplib's timeout begins anew
        // with every byte.
        let taste = |what: &Misbehaviour<'_>| {
            let server = MisbehavingServer::start(what);
            let script = format!(
                r#"
import socket, time
stream = socket.create_connection(("127.0.0.1", {}))
end, got = time.monotonic() + 2.5, bytearray()
while len(got) < 20_000_000 and (left := end - time.monotonic()) > 0:
    stream.settimeout(left)
    try:
        got += stream.recv(1 << 20)
    except TimeoutError:
        break
print(len(got), got.count(b"\n"), got[:5].hex())
"#,
                server.port()
            );
            let output = python(host, &script);
            output.expect_success();
            assert!(server.wait_for("closed", SOON).seconds < 8.0);
            let words: Vec<_> = output.stdout.split_whitespace().collect();
            let number = |index: usize| words[index].parse::<usize>().unwrap();
            (number(0), number(1), words[2].to_owned())
        };
        for (what, expected) in [
            (Misbehaviour::over_tls(&["drip:connect"]), "1603033fff"),
            (
                Misbehaviour::over_starttls(&["drip:greeting"]),
                "3232302d61",
            ),
        ] {
            let (length, lines, start) = taste(&what);
            assert!((1..=3).contains(&length) && lines == 0, "{length} {lines}");
            assert!(expected.starts_with(&start), "{start}");
        }
        let (length, lines, start) = taste(&Misbehaviour::over_starttls(&["endless:greeting"]));
        assert!(length >= 20_000_000 && lines > 500_000, "{length} {lines}");
        assert_eq!(start, "3232302d6d");
        let (length, lines, start) = taste(&Misbehaviour::over_starttls(&["long_line:greeting"]));
        assert!(length >= 20_000_000 && lines == 0, "{length} {lines}");
        assert_eq!(start, "3232302d61");
    });
}

#[test]
fn the_bot_api_sends_with_the_right_token_alone() {
    on_a_bare_host(|host| {
        let api = BotApi::start(BotMode::Ok);
        let script = r#"
import json, urllib.error, urllib.parse, urllib.request
def ask(token, method, **fields):
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"URL/bot{token}/{method}", json.dumps(fields).encode(), kind)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
token = "TOKEN"
assert ask(token, "getMe")[1]["result"]["is_bot"]
status, answer = ask(token, "sendMessage", chat_id=42, text="Zoë: 123 456")
assert status == 200 and answer["ok"] and answer["result"]["chat"]["id"] == 42, answer
refused = 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}
assert ask(token[:-1] + "x", "sendMessage", chat_id=42, text="x") == refused
assert ask("x", "getMe")[0] == 404
for words, fields in {"empty": dict(chat_id=1, text=""), "too long": dict(chat_id=1, text="x" * 4097),
                      "chat_id": dict(text="x"), "not found": dict(chat_id="alice", text="x")}.items():
    status, answer = ask(token, "sendMessage", **fields)
    assert status == 400 and words in answer["description"], answer
form = urllib.parse.urlencode(dict(chat_id="-7", text="form")).encode()
urllib.request.urlopen(f"URL/bot{token}/sendMessage", form, timeout=5)
"#;
        let script = script.replace("URL", &api.url()).replace("TOKEN", TOKEN);
        python(host, &script).expect_success();
        let first = api.wait_for_message(1, SOON);
        assert_eq!((first.chat_id, first.text.as_str()), (42, "Zoë: 123 456"));
        let messages = api.messages();
        assert_eq!((messages.len(), messages[1].chat_id), (2, -7));
        let requests = api.requests();
        assert_eq!(requests.len(), 9);
        assert_eq!(requests[0].path, format!("/bot{TOKEN}/getMe"));
        let sent = &requests[1];
        assert_eq!((sent.method.as_str(), sent.status), ("POST", 200));
        let kind = ("Content-Type".to_owned(), "application/json".to_owned());
        assert!(sent.headers.contains(&kind) && sent.body.contains("42"));
    });
}

#[test]
fn the_bot_api_fails_as_it_is_told() {
    on_a_bare_host(|host| {
        let busy = format!(r#""retry_after": {RETRY_AFTER}"#);
        let cases = [
            (BotMode::Unauthorized, "HTTP/1.1 401", "Unauthorized"),
            (BotMode::Busy, "HTTP/1.1 429", busy.as_str()),
            (BotMode::ChatNotFound, "HTTP/1.1 400", "chat not found"),
            (BotMode::Blocked, "HTTP/1.1 403", "blocked by the user"),
            (BotMode::Html, "HTTP/1.1 502", TOKEN),
            (BotMode::NotJson, "HTTP/1.1 200", "fine, thank you"),
            (BotMode::Truncated, "HTTP/1.1 200", r#""message_id":"#),
            (BotMode::NotOk, "HTTP/1.1 200", r#""ok": false"#),
            (BotMode::Redirect, "HTTP/1.1 302", "/elsewhere"),
            (BotMode::Huge, "HTTP/1.1 200", "aaaaaaaa"),
            (BotMode::EndlessHeaders, "HTTP/1.1 200", "X-Header-50: "),
            (BotMode::Hang, "nothing", "timed out"),
            (BotMode::Drip, "H", "timed out"),
            (BotMode::Close, "nothing", "closed"),
        ];
        for (mode, status, words) in cases {
            let api = BotApi::start(mode);
            let script = r#"
import socket, time
host, port = "URL"[len("http://"):].split(":")
stream = socket.create_connection((host, int(port)))
stream.sendall(b"GET /botTOKEN/getMe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
end, answer, why = time.monotonic() + 1.5, b"", "enough"
while len(answer) < 200_000:
    stream.settimeout(max(end - time.monotonic(), 0.001))
    try:
        chunk = stream.recv(65536)
    except TimeoutError:
        why = "timed out"
        break
    if not chunk:
        why = "closed"
        break
    answer += chunk
print((answer or b"nothing").decode(), why)
"#;
            let script = script.replace("URL", &api.url()).replace("TOKEN", TOKEN);
            let output = python(host, &script);
            output.expect_success();
            let answer = &output.stdout;
            let start: String = answer.chars().take(300).collect();
            assert!(answer.starts_with(status), "{mode:?}: {start}");
            assert!(answer.contains(words), "{mode:?}: {start}");
            assert_eq!(api.requests().len(), 1);
            assert!(api.messages().is_empty());
        }
    });
}

#[test]
fn networks_hang_and_lead_nowhere() {
    on_a_bare_host(|host| {
        let connect = |address: &str| {
            let target: SocketAddr = format!("{address}:465").parse().unwrap();
            let begun = Instant::now();
            let error = TcpStream::connect_timeout(&target, Duration::from_secs(1)).unwrap_err();
            (error.kind(), begun.elapsed())
        };
        let (kind, after) = connect(host.unroutable_address());
        assert_eq!(kind, ErrorKind::HostUnreachable);
        assert!(after < Duration::from_millis(500), "{after:?}");
        let (kind, after) = connect(host.silent_address());
        assert_eq!(kind, ErrorKind::TimedOut);
        assert!(after >= Duration::from_secs(1), "{after:?}");

        let dns = host.hang_dns();
        assert!("mail.example.com:465".to_socket_addrs().is_ok());
        assert!(!dns.was_asked());
        let ask = ["timeout", "1.5", "getent", "ahosts", "mail.example.net"];
        assert_eq!(host.run(&ask).exit, 124, "it hangs");
        assert!(dns.was_asked());
        drop(dns);
        assert_eq!(host.run(&ask[2..]).exit, 2, "there is no such name");
    });
}
