use super::*;

/// The contract of DESIGN §3, kept as the file that is shipped.
const SHIPPED: &str = include_str!("../../../config/mfa.toml");

fn error(text: &str) -> String {
    Config::parse(format!("version = 1\n{text}").as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn the_shipped_file_says_every_default() {
    assert_eq!(
        Config::parse(SHIPPED.as_bytes()).unwrap(),
        Config::default()
    );
    assert_eq!(Config::parse(b"version = 1").unwrap(), Config::default());
}

#[test]
fn the_shipped_file_names_every_key() {
    // Each key of the shipped file, taken out by renaming it, is then unknown: it was a real one.
    // That no key is missing there is shown the other way round, from the names in the structures.
    let debug = format!("{:?}", Config::default());
    for word in debug.split([' ', '{', '(', ',']) {
        let Some(key) = word.strip_suffix(':') else {
            continue;
        };
        let key = key.trim_start_matches("r#");
        let named = SHIPPED.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{key} ="))
                || line.starts_with(&format!("[{key}"))
                || line.contains(&format!(".{key}]"))
        });
        assert!(named, "config/mfa.toml does not name `{key}`");
    }
}

#[test]
fn the_commented_mail_section_of_the_shipped_file_is_right_too() {
    let mut inside = false;
    let text: Vec<String> = SHIPPED
        .lines()
        .map(|line| {
            inside = (inside || line.starts_with("# [courier.smtp]")) && line.starts_with('#');
            if inside {
                line.trim_start_matches("# ").to_owned()
            } else {
                line.to_owned()
            }
        })
        .collect();
    let config = Config::parse(text.join("\n").as_bytes()).unwrap();
    let smtp = config.courier.smtp.clone().expect("the section is there");
    assert_eq!(smtp.host.as_str(), "smtp.gmail.com");
    assert_eq!(
        (smtp.port.get(), smtp.security, smtp.auth),
        (465, Security::Tls, Auth::Auto)
    );
    assert_eq!(smtp.password.as_str(), "smtp-password");
}

#[test]
fn a_wrong_value_is_named_by_line_and_column_with_what_to_write() {
    for (text, expected) in [
        (
            "[prompt]\ntries = 0",
            "3:9: 0 is out of range; write a whole number from 1 to 10",
        ),
        (
            "[prompt]\nfail_delay = \"2\"",
            "3:14: \"2\" is no length of time; write a whole number and s, m, h or d, like \"5m\"",
        ),
        (
            "[prompt]\nfail_delay = \"2h\"",
            "3:14: \"2h\" is out of range; write a length of time from \"0s\" to \"60s\"",
        ),
        (
            "[prompt]\nfirst = \"asc\"",
            "3:9: unknown value `asc`; write `ask` or `send`",
        ),
        (
            "[paths]\nstore = \"var/lib\"",
            "3:9: \"var/lib\" is not an absolute path; write one that begins with / and has no . or .. in it",
        ),
        (
            "[paths]\nstore = \"/var/../lib\"",
            "3:9: \"/var/../lib\" is not an absolute path; write one that begins with / and has no . or .. in it",
        ),
        (
            "[enrolment]\nissuer = \"a:b\"",
            "3:10: \"a:b\" is no issuer; write 1 to 64 bytes without a colon or control characters",
        ),
        (
            "[courier.command]\nrun = [\"x\"]",
            "3:7: \"x\" is not an absolute path; write one that begins with /",
        ),
        (
            "[lockout]\nfor = \"15 m\"",
            "3:7: \"15 m\" is no length of time; write a whole number and s, m, h or d, like \"5m\"",
        ),
        (
            "[device]\nrequired = \"yes\"",
            "3:12: a text can't stand here; write true or false",
        ),
        (
            "[promt]\ntries = 1",
            "2:2: unknown key `promt`; write one of `version`, `ignore_unknown`, `paths`, `enrolment`, `device`, `account`, `prompt`, `app`, `token`, `code`, `throttle`, `lockout`, `courier`, `notices`, `messages`, `passphrase`, `seal`, or name it in `ignore_unknown` of mfa.toml",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_password_that_stands_where_its_file_should_is_not_repeated() {
    let message = error("[courier.telegram]\ntoken = \"12345:AA/bb\"");
    assert_eq!(
        message,
        "3:9: this is no file name; write the name of a file in paths.credentials, without /"
    );
}

#[test]
fn every_section_refuses_a_key_that_it_does_not_know() {
    for section in [
        "paths",
        "enrolment",
        "device",
        "account",
        "prompt",
        "app",
        "code",
        "throttle",
        "lockout",
        "courier",
        "courier.sendmail",
        "courier.file",
        "courier.telegram",
        "courier.command",
        "notices",
        "messages",
        "passphrase",
        "seal",
    ] {
        let message = error(&format!("[{section}]\nhello = 1"));
        assert!(
            message.starts_with("3:1: unknown key `hello`; write "),
            "{section}: {message}"
        );
    }
}

#[test]
fn every_section_is_checked() {
    assert!(error("[seal]\ncredential = \"mfa\"").starts_with("3:14: "));
    assert!(error("[passphrase]\nmin_score = 5").starts_with("3:13: 5 is out of range"));
    assert!(error("[passphrase]\nmemory = 4194304").starts_with("3:10: 4194304 is out of range"));
    assert!(error("[courier.smtp]\nhost = \"x\"").contains("`from` is missing"));
}

#[test]
fn a_listed_key_of_a_newer_release_is_passed_over() {
    let text = "version = 1\nignore_unknown = [\"prompt.colour\", \"rules\"]\n[prompt]\ncolour = 1\n[[rules]]\na = 1\n";
    assert_eq!(
        Config::parse(text.as_bytes()).unwrap().prompt,
        Prompt::default()
    );
}

#[test]
fn a_token_is_sent_in_the_clear_to_this_host_alone() {
    let is_right = |url: &str| {
        let text = format!("version = 1\n[courier.telegram]\napi = {url:?}");
        Config::parse(text.as_bytes()).is_ok()
    };
    for url in [
        "https://api.telegram.org",
        "https://proxy.example.com:8443/telegram",
        "http://127.0.0.1",
        "http://127.0.0.1:8081",
        "http://127.0.0.1:8081/base",
        "http://127.0.0.1/base",
    ] {
        assert!(is_right(url), "{url}");
    }
    for url in [
        "",
        "https://",
        "http://api.telegram.org",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:80@evil.example",
        "http://127.0.0.10",
        "https://good.example@evil.example",
        "ftp://127.0.0.1",
    ] {
        assert!(!is_right(url), "{url}");
    }
}
