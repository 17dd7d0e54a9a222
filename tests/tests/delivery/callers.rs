//! Who starts su sets its environment: nothing of it may reach what is sent.

use mfa_tests::mail::{Certificate, MisbehavingServer, Misbehaviour, Security};
use mfa_tests::{PASSWORD, Script, on_a_test_host, stacks};

use crate::{ASK, ASK_AGAIN, add_with_mail, deliver_by, smtp, wait_for_couriers};

#[test]
fn a_caller_of_su_can_not_have_another_server_trusted() {
    on_a_test_host(|host| {
        // Its certificate is signed by itself; the caller knows it, and the host does not.
        let server = MisbehavingServer::start(&Misbehaviour::certificate(
            Security::Tls,
            Certificate::SelfSigned,
        ));
        deliver_by(host, &smtp(server.port(), "tls"));
        add_with_mail(host, "alice");
        host.write_service("su", &stacks::example("su"));
        let trusted = "/run/mail/tls/self-signed.pem";
        let environment = [
            format!("SSL_CERT_FILE={trusted}"),
            "SSL_CERT_DIR=/tmp".to_owned(),
            "PATH=/tmp/evil".to_owned(),
            "LD_PRELOAD=/tmp/evil.so".to_owned(),
            "http_proxy=http://127.0.0.1:1".to_owned(),
            "https_proxy=http://127.0.0.1:1".to_owned(),
            "ALL_PROXY=http://127.0.0.1:1".to_owned(),
            "RES_OPTIONS=ndots:15".to_owned(),
            "MFA_SMTP_PASSWORD=evil".to_owned(),
            "CREDENTIALS_DIRECTORY=/tmp".to_owned(),
            "TZ=Pacific/Apia".to_owned(),
        ];
        let mut words = vec!["env"];
        words.extend(environment.iter().map(String::as_str));
        words.extend(["/usr/bin/su", "alice", "-c", "id -un"]);
        let mark = host.mark();
        let script = Script::new()
            .answer("Password: ", PASSWORD)
            .answer(ASK, "")
            .answer_with(ASK_AGAIN, || {
                wait_for_couriers();
                "000000".to_owned()
            })
            .answer_times(2, ASK_AGAIN, "000000");
        host.terminal_of("bob", &words)
            .talk(script)
            .expect_failure();
        assert_eq!(
            &host.one_since(mark, "MFA-1002")["reason"],
            "certificate_untrusted"
        );
        server.expect_nothing_before_tls_was_right(&[mfa_tests::mail::PASSWORD, "alice"]);
        // What is the matter is the certificate alone: with it named by the administrator the code goes out.
        let known = smtp(server.port(), "tls").replace(mfa_tests::mail::ca_file(), trusted);
        deliver_by(host, &known);
        let sent = host.run(&["mfa-admin", "code", "send", "alice"]);
        sent.expect_success();
        assert_eq!(server.messages().len(), 1);
    });
}
