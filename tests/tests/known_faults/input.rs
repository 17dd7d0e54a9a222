//! What is typed, and what stands in names and files.

use std::fmt::Write as _;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{AUTH_ERR, PERM_DENIED, PamHost, RHOST, SUCCESS, UNAVAIL};

// CVE-2015-9542 (pam_radius), CVE-2020-10595 (pam-krb5), CVE-2019-18634 (sudo): an answer of one length too many.
#[test]
fn an_answer_of_any_length_is_an_answer_and_nothing_else() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let before = host.state("alice");
        let mut lengths: Vec<u32> = (1..=300).collect();
        for power in 9..=20 {
            lengths.extend((1 << power) - 2..=(1 << power) + 2);
        }
        let mut script = String::from("user alice\n");
        for length in &lengths {
            // No recovery code has a U.
            writeln!(script, "answer repeat U {length}\nauthenticate").unwrap();
        }
        let seen = host.play(&script);
        assert_eq!(seen.code, Some(0), "the host lives on");
        assert_eq!(seen.count(AUTH_ERR), lengths.len());
        assert_eq!(seen.prompts().len(), lengths.len());
        assert_eq!(host.state("alice"), before, "none of them is charged");
        assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
    });
}

// CVE-2019-14287 (sudo): the user id -1 is taken for another.
#[test]
fn a_number_is_a_name_like_any_other() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        let (before, code) = (host.stored_files(), app.code());
        for name in ["-1", "0", "#0", "1001", "#1001", "4294967295", "+1001"] {
            let seen = host.play(&format!(
                "user {name}\nanswer text {code}\nauthenticate\nacct_mgmt\n"
            ));
            assert_eq!(seen.results(), [AUTH_ERR, PERM_DENIED], "{seen}");
            assert_eq!(seen.events("MFA-2106").len(), 1, "{seen}");
        }
        assert_eq!(host.stored_files(), before);
        assert_eq!(host.login("alice", &[&code]).result(), SUCCESS);
    });
}

// CVE-2011-3148 (pam_env): a long run of blanks in a file overruns a buffer.
#[test]
fn a_long_run_of_blanks_is_just_that() {
    on_a_bare_host(|_| {
        let host = PamHost::new();
        let app = host.enroll("alice");
        for blank in [" ", "\t"] {
            host.configure(&format!("{}[prompt]\ntries = 1\n", blank.repeat(60_000)));
            assert_eq!(host.login("alice", &[&app.code()]).result(), SUCCESS);
        }
        host.configure(&format!("{}[prompt]\ntries = 1\n", " ".repeat(70_000)));
        let seen = host.play("user alice\nauthenticate\n");
        assert_eq!(seen.result(), UNAVAIL, "longer than a file may be\n{seen}");
        assert_eq!(seen.events("MFA-4002").len(), 1, "{seen}");
    });
}

// CVE-2013-7176 (fail2ban's filters): a name that is read as the address of somebody else, who is then shut out.
#[test]
fn no_name_puts_another_address_before_filters() {
    on_a_bare_host(|_| {
        const OTHER: &str = "198.51.100.9";
        let mut host =
            PamHost::with_config("[prompt]\ntries = 1\n[throttle]\nmax_failures = 100\n");
        let names = [
            format!("alice rhost={OTHER}"),
            format!("alice from {OTHER}"),
            format!("rhost={OTHER}"),
            format!("{OTHER} port 22 ssh2"),
        ];
        host.add_people(names.clone());
        let wrong = names.clone().map(|name| host.enroll(&name).wrong_code());
        let known = names
            .iter()
            .zip(&wrong)
            .map(|(name, wrong)| (name.as_str(), "", RHOST, wrong.as_str()));
        // An address with a blank in it, and a remote user, are as much the outside's as a name.
        let forged = format!("{RHOST} rhost={OTHER}");
        let remote = format!("root rhost={OTHER}");
        let others = [
            ("nobody-here", remote.as_str(), RHOST, "123456"),
            ("nobody-here", "", forged.as_str(), "123456"),
        ];
        for (user, ruser, rhost, code) in known.chain(others) {
            let seen = host.play(&format!(
                "user {user}\nset ruser {ruser}\nset rhost {rhost}\nset tty ssh\nanswer text {code}\nauthenticate\n"
            ));
            assert_eq!(seen.result(), AUTH_ERR, "{seen}");
            let classic: Vec<_> = seen
                .log
                .iter()
                .filter(|event| event.id().is_none())
                .collect();
            assert_eq!(classic.len(), 1, "{seen}");
            assert!(!classic[0].text.contains(OTHER), "{}", classic[0].text);
            assert_eq!(
                classic[0].text.matches("rhost=").count(),
                1,
                "{}",
                classic[0].text
            );
            // The line of ours may tell it, in quotes.
            let outside_quotes: String = seen
                .log
                .iter()
                .filter(|event| event.id().is_some())
                .flat_map(|event| event.text.split('"').step_by(2))
                .collect();
            assert!(!outside_quotes.contains(OTHER), "{seen}");
        }
    });
}
