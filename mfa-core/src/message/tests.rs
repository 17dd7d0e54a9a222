use std::os::unix::fs::{PermissionsExt, symlink};

use zeroize::Zeroizing;

use super::fields::{Field, clean};
use super::*;
use crate::audit::Event;

/// 2026-11-20 09:00:00 UTC, as `date -u -d 2026-11-20T09:00:00Z +%s` prints it.
const NINE: u64 = 1_795_165_200;

/// What no value may do to a message.
const HOSTILE: &[&str] = &[
    "x\r\nBcc: eve@example.com\r\n\r\nhello",
    "\n.\nQUIT",
    ".",
    "...",
    "<script>alert(1)</script>",
    "\"'><a href=\"http://203.0.113.9\">&amp;",
    "=?utf-8?B?CgpYCg==?=",
    "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f",
    "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}f",
    "\u{1b}[2Jx\0y\u{7f}",
    "{{code}} {{{{ }} {{",
    " \t ",
];

fn document(kind: Kind) -> Document {
    let mut document = Document::new(kind, "0123456789abcdef".repeat(2), NINE);
    for (field, value) in [
        (&mut document.user, "alice"),
        (&mut document.host, "bastion-1.example.com"),
        (&mut document.device, "bastion-1"),
        (&mut document.service, "sshd"),
        (&mut document.from, "203.0.113.7"),
        (&mut document.tty, "ssh"),
        (&mut document.login, "9f2c41d07be1"),
    ] {
        value.clone_into(field);
    }
    document
}

fn code() -> Document {
    Document {
        reference: "K7QM".to_owned(),
        code: Zeroizing::new("482913".to_owned()),
        lifetime: 300,
        ..document(Kind::Code)
    }
}

fn login() -> Document {
    Document {
        method: "app".to_owned(),
        app: "phone".to_owned(),
        ..document(Kind::Login)
    }
}

fn digest() -> Document {
    Document {
        count: 3,
        until: NINE + 610,
        addresses: vec!["203.0.113.7".to_owned(), "2001:db8::7".to_owned()],
        events: vec!["bad_code".to_owned(), "replayed".to_owned()],
        ..document(Kind::Digest)
    }
}

fn change() -> Document {
    Document {
        event: "app_enrolled".to_owned(),
        app: "phone".to_owned(),
        actor: "carol".to_owned(),
        ..document(Kind::Change)
    }
}

fn trial() -> Document {
    Document {
        actor: "carol".to_owned(),
        ..document(Kind::Test)
    }
}

/// One document for every text, full and almost empty.
fn all() -> Vec<Document> {
    let mut documents = vec![code(), login(), digest(), change(), trial()];
    for kind in [
        Kind::Code,
        Kind::Login,
        Kind::Failure,
        Kind::Digest,
        Kind::Change,
        Kind::Test,
        Kind::Check,
        Kind::Nothing,
    ] {
        documents.push(Document::new(kind, String::new(), 0));
    }
    documents
}

/// Every value that comes as text.
fn values(document: &mut Document) -> Vec<&mut String> {
    vec![
        &mut document.user,
        &mut document.host,
        &mut document.device,
        &mut document.service,
        &mut document.from,
        &mut document.tty,
        &mut document.method,
        &mut document.app,
        &mut document.event,
        &mut document.detail,
        &mut document.actor,
        &mut document.login,
        &mut document.reference,
        &mut document.code,
    ]
}

fn compose(document: &Document) -> Composed {
    Texts::built_in().compose(document, true)
}

/// The words that a reader of the page sees.
fn words_of_page(html: &str) -> Vec<String> {
    let (_, body) = html.split_once("<body").unwrap();
    let mut text = String::new();
    for piece in body.split('<') {
        let (_, shown) = piece.split_once('>').unwrap();
        text.push_str(shown);
        text.push(' ');
    }
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    text.split_whitespace().map(str::to_owned).collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn check_is_one_message(composed: &Composed) {
    let subject = &composed.subject;
    assert!(!subject.is_empty() && !subject.contains("=?"), "{subject}");
    assert!(subject.chars().count() < 500, "{subject}");
    let seen = [subject, &composed.text, &composed.html];
    for c in seen.iter().flat_map(|text| text.chars()) {
        assert!(
            c == '\n' || !c.is_control() && !"\u{2028}\u{2029}\u{202e}\u{2066}\u{200b}".contains(c),
            "{c:?} in {seen:?}"
        );
    }
    assert!(!subject.contains('\n'), "{subject}");
    for line in composed.text.lines() {
        assert!(!line.starts_with('.'), "{line}");
    }
    assert!(composed.text.ends_with('\n') && composed.html.ends_with("</html>\n"));
    for forbidden in ["<script", "<a ", "<img", "http-equiv"] {
        assert!(!composed.html.contains(forbidden), "{}", composed.html);
    }
}

#[test]
fn every_built_in_text_is_right() {
    for text in Text::ALL {
        let (plain, html) = text.built_in();
        assert_eq!(Plain::parse(plain, text).err(), None, "{text:?}");
        assert_eq!(Html::parse(html, text).err(), None, "{text:?}");
    }
}

#[test]
fn no_built_in_text_asks_for_a_click_or_fetches_anything() {
    for text in Text::ALL {
        let (plain, html) = text.built_in();
        for forbidden in ["://", "href", "src", "url(", "<a", "<img", "<link", "click"] {
            assert!(!plain.to_lowercase().contains(forbidden), "{text:?}");
            assert!(!html.to_lowercase().contains(forbidden), "{text:?}");
        }
        assert!(plain.lines().all(|line| line.chars().count() <= 72));
    }
}

#[test]
fn no_sentence_of_a_built_in_text_is_torn_where_a_line_is_left_out() {
    for text in Text::ALL {
        let (plain, _) = text.built_in();
        let mut sentence_is_open = false;
        for line in plain.split_once("\n\n").unwrap().1.lines() {
            let is_row = line.contains(":  ");
            let can_go = Field::ALL.iter().any(|field| {
                !field.is_always_there() && line.contains(&format!("{{{{{}}}}}", field.name()))
            });
            if can_go && !is_row {
                assert!(!sentence_is_open && line.ends_with('.'), "{line}");
            }
            sentence_is_open = !line.is_empty() && !is_row && !line.ends_with('.');
        }
    }
}

#[test]
fn a_mail_with_a_code_says_who_asked_for_it_and_what_to_do() {
    let composed = compose(&code());
    assert_eq!(
        composed.subject,
        "482913 is your code for bastion-1.example.com (ref K7QM)"
    );
    assert_eq!(
        composed.text,
        "\
482913 is your code for bastion-1.example.com.

Somebody, most likely you, is logging in as alice on
bastion-1.example.com.
The prompt must show the same reference, K7QM, before you type it.
Type it there, and nowhere else.

Reference:   K7QM
User:        alice
Host:        bastion-1.example.com
Device:      bastion-1
Service:     sshd
From:        203.0.113.7
Asked at:    2026-11-20 09:00:00 UTC (+00:00)
Good until:  2026-11-20 09:05:00 UTC (+00:00)
In the log:  login=9f2c41d07be1

The code is good once, for 5 minutes, and at this host alone.

If this is not you: give the code to nobody, whoever asks for it.
Somebody may know the password of this account. Change the password,
and tell your administrator.
"
    );
}

#[test]
fn a_code_that_may_not_stand_on_a_lock_screen_stands_further_down() {
    let composed = Texts::built_in().compose(&code(), false);
    assert_eq!(
        composed.subject,
        "Your code for bastion-1.example.com (ref K7QM)"
    );
    assert!(!composed.text.lines().next().unwrap().contains("482913"));
    assert!(composed.text.contains("\nCode:        482913\n"));
    assert_eq!(composed.text.matches("482913").count(), 1);
    assert_eq!(composed.html.matches("482913").count(), 1);
    let place = words_of_page(&composed.html)
        .iter()
        .position(|word| word == "482913");
    assert!(place.unwrap() > 20);
    assert!(
        !composed
            .html
            .split("<body")
            .next()
            .unwrap()
            .contains("482913")
    );
}

#[test]
fn a_login_is_told_with_all_that_is_known_of_it() {
    let composed = compose(&login());
    assert_eq!(
        composed.subject,
        "alice logged in on bastion-1.example.com from 203.0.113.7"
    );
    assert_eq!(
        composed.text,
        "\
Somebody logged in as alice on bastion-1.example.com.

User:        alice
Host:        bastion-1.example.com
Device:      bastion-1
From:        203.0.113.7
Service:     sshd
Time:        2026-11-20 09:00:00 UTC (+00:00)
Method:      a code from the app
Label:       phone
In the log:  login=9f2c41d07be1

If this was you, there is nothing to do.

If it was not: somebody has got past every check.
Tell your administrator at once, in person or by telephone. Change the
password of this account and replace its keys.

For administrators: \"mfa-admin user suspend\" keeps the account out
from its next login on; a session that is open stays open.
"
    );
}

#[test]
fn a_login_with_a_recovery_code_says_how_many_are_left_and_warns_when_they_are_few() {
    for (left, to_do) in [
        (9, "cross that code out. If your app is lost,"),
        (3, "cross that code out. If your app is lost,"),
        (
            2,
            "ask your administrator for new recovery codes. WARNING: two are left.",
        ),
        (
            1,
            "ask your administrator for new recovery codes. WARNING: one is left.",
        ),
        (
            0,
            "ask your administrator for new recovery codes now. WARNING: that was the last one.",
        ),
    ] {
        let composed = compose(&Document {
            method: "recovery".to_owned(),
            app: String::new(),
            codes_left: Some(left),
            ..login()
        });
        let text = words(&composed.text).join(" ");
        let html = words_of_page(&composed.html).join(" ");
        for said in [
            "Method: a recovery code".to_owned(),
            format!("Codes left: {left}"),
            format!("If this was you, {to_do}"),
            "If it was not: a recovery code of yours was accepted. Tell your".to_owned(),
        ] {
            assert!(
                text.contains(&said) && html.contains(&said),
                "{said}: {}",
                composed.text
            );
        }
        assert!(!text.contains("nothing to do"), "{text}");
        assert_eq!(text.contains("WARNING"), left <= 2, "{text}");
    }
    assert!(!compose(&login()).text.contains("Codes left"));
}

#[test]
fn a_text_of_ones_own_that_does_not_say_what_to_do_says_so_all_the_same_where_a_recovery_code_was_used()
 {
    let own = Own::new();
    let recovered = Document {
        method: "recovery".to_owned(),
        app: String::new(),
        codes_left: Some(1),
        ..login()
    };
    let to_do =
        "If this was you, ask your administrator for new recovery codes. WARNING: one is left.";
    for (text, page) in [
        ("Hello {{user}}.", "<p>Hello</p>"),
        ("Hello.", "<html><body>\n<p>Hello</p>\n</body>\n</html>"),
        // A line that may be left out is not sure to say it.
        ("App {{app}}: {{to_do}}", "<p>{{app}} {{to_do}}</p>"),
    ] {
        own.write("login.txt", format!("Subject: x\n\n{text}\n"));
        own.write("login.html", format!("{page}\n"));
        let (texts, problems) = own.load();
        assert!(problems.is_empty(), "{problems:?}");
        let composed = texts.compose(&recovered, true);
        assert!(
            words(&composed.text).join(" ").ends_with(to_do),
            "{}",
            composed.text
        );
        assert_eq!(composed.html.matches("WARNING: one is left.").count(), 1);
        let end = composed.html.find("</body>").unwrap_or(composed.html.len());
        assert!(
            composed.html.rfind(to_do).unwrap() < end,
            "{}",
            composed.html
        );
        // Other logins need no such line.
        assert!(
            !texts
                .compose(&login(), true)
                .html
                .contains("If this was you")
        );
    }
    for text in ["{{to_do}}", "{{user}}: {{to_do}}"] {
        own.write("login.txt", format!("Subject: x\n\n{text}\n"));
        let (texts, _) = own.load();
        let composed = texts.compose(&recovered, true);
        assert_eq!(
            composed.text.matches("WARNING").count(),
            1,
            "{}",
            composed.text
        );
    }
}

#[test]
fn every_lock_of_recovery_codes_has_words() {
    for event in [
        "became_locked",
        "became_disabled",
        "refused_while_locked",
        "refused_while_disabled",
    ] {
        for (name, is_of_them) in [
            (event.to_owned(), false),
            (format!("recovery_{event}"), true),
        ] {
            let failed = super::words::failure(&name).unwrap();
            assert_eq!(failed.contains("recovery codes"), is_of_them, "{failed}");
        }
    }
}

#[test]
fn failures_are_told_by_number_place_and_kind() {
    let composed = compose(&digest());
    assert_eq!(
        composed.subject,
        "alice on bastion-1.example.com: 3 failed attempts to log in"
    );
    assert_eq!(
        composed.text,
        "\
Somebody tried to log in as alice on bastion-1.example.com and was
refused.

Attempts:    3 failed attempts
What:        a wrong code; a code that had been used before
From:        203.0.113.7, 2001:db8::7
User:        alice
Host:        bastion-1.example.com
Device:      bastion-1
Service:     sshd
Time:        2026-11-20 09:00:00 UTC (+00:00)
Until:       2026-11-20 09:10:10 UTC (+00:00)
In the log:  login=9f2c41d07be1

If this was you, with a mistyped code for instance, there is nothing to
do. A lock ends by itself after a time.

If it was not: somebody may know the password of this account. Change
the password, and tell your administrator.

For administrators: \"mfa-admin explain\" tells what would happen at the
next login, and \"mfa-admin user unlock\" ends a lock.
"
    );
}

#[test]
fn a_change_is_told_with_who_did_it() {
    let composed = compose(&change());
    assert_eq!(
        composed.subject,
        "alice on bastion-1.example.com: an authenticator app was added"
    );
    assert_eq!(
        composed.text,
        "\
How alice logs in was changed.

Change:      an authenticator app was added
Label:       phone
User:        alice
Changed by:  carol
Host:        bastion-1.example.com
Device:      bastion-1
Time:        2026-11-20 09:00:00 UTC (+00:00)

If you expected this, there is nothing to do.

If you did not: ask your administrator, in person or by telephone,
before the next login. Somebody may be about to use this account.
"
    );
}

#[test]
fn a_trial_says_that_it_is_one() {
    let composed = compose(&trial());
    assert_eq!(composed.subject, "Trial message from bastion-1.example.com");
    assert!(composed.text.starts_with("This is a trial message."));
    assert!(composed.text.contains("\nStarted by:  carol\n"));
}

#[test]
fn the_page_says_what_the_text_says_word_for_word() {
    for document in all() {
        for code_in_subject in [true, false] {
            let composed = Texts::built_in().compose(&document, code_in_subject);
            let page = words_of_page(&composed.html);
            assert_eq!(page, words(&composed.text), "{document:?}");
        }
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let composed = compose(&Document::new(Kind::Login, String::new(), NINE));
    assert!(composed.text.starts_with(
        "Somebody logged in as (unknown) on (unknown).\n\n\
         User:        (unknown)\nHost:        (unknown)\nFrom:        the host itself\n\
         Time:        2026-11-20 09:00:00 UTC (+00:00)\n\
         Method:      a public key or another way without a code\n\n"
    ));
    for (document, code_in_subject) in all()
        .into_iter()
        .flat_map(|d| [(d.clone(), true), (d, false)])
    {
        let composed = Texts::built_in().compose(&document, code_in_subject);
        check_is_one_message(&composed);
        assert!(!composed.text.contains("\n\n\n") && !composed.text.starts_with('\n'));
        for line in composed.text.lines() {
            assert!(
                !line.ends_with([' ', ':']) || line.ends_with("not:"),
                "{line}"
            );
        }
        let rows = composed.html.matches("<tr>").count();
        assert_eq!(rows, composed.html.matches("</tr>").count());
    }
}

#[test]
fn a_field_that_is_always_there_has_a_value_whatever_the_document_says() {
    for mut document in all() {
        for blank in ["", " ", "\n", "_"] {
            for value in values(&mut document) {
                blank.clone_into(value);
            }
            for field in Field::ALL.iter().filter(|field| field.is_always_there()) {
                assert_ne!(field.value(&document, true), "", "{field:?} {blank:?}");
            }
        }
    }
}

#[test]
fn no_value_can_add_a_line_a_header_or_a_tag() {
    let texts = Texts::built_in();
    for original in all() {
        let places = values(&mut original.clone()).len();
        for place in 0..places {
            for hostile in HOSTILE {
                let mut document = original.clone();
                (*hostile).clone_into(values(&mut document)[place]);
                document.addresses = vec![(*hostile).to_owned(), String::new()];
                document.events.push((*hostile).to_owned());
                for code_in_subject in [true, false] {
                    let composed = texts.compose(&document, code_in_subject);
                    check_is_one_message(&composed);
                    assert_eq!(words_of_page(&composed.html), words(&composed.text));
                    // Every line is one that the template has, or the rest of such a line.
                    let labels = composed.text.lines().filter(|line| line.starts_with("Bcc"));
                    assert_eq!(labels.count(), 0, "{}", composed.text);
                }
            }
        }
    }
}

#[test]
fn a_value_of_four_thousand_characters_is_cut() {
    for letter in ["x", "\n", "李", "&", "x ", "\u{10ffff}"] {
        for mut document in all() {
            for value in values(&mut document) {
                *value = letter.repeat(4096);
            }
            document.addresses = vec![letter.repeat(4096); 300];
            document.events = (0..300)
                .map(|n| format!("{n}{}", letter.repeat(4096)))
                .collect();
            let composed = compose(&document);
            check_is_one_message(&composed);
            assert!(composed.text.contains('…'), "{}", composed.text);
            assert!(composed.text.len() < 30_000, "{}", composed.text.len());
        }
    }
}

#[test]
fn a_value_is_cut_after_128_characters_and_never_within_an_escape() {
    assert_eq!(clean(&"é".repeat(128)), "é".repeat(128));
    assert_eq!(clean(&"é".repeat(129)), format!("{}…", "é".repeat(128)));
    assert_eq!(
        clean(&"\n".repeat(100)),
        format!("{}…", "\\u{a}".repeat(25))
    );
}

#[test]
fn what_can_not_be_seen_is_shown() {
    for (value, shown) in [
        ("a\r\nb", "a\\u{d}\\u{a}b"),
        ("a\u{202e}b", "a\\u{202e}b"),
        ("a\u{200d}b", "a\\u{200d}b"),
        ("=?utf-8?Q?x?=", "=\\u{3f}utf-8?Q?x?="),
        ("  a b  ", "a b"),
    ] {
        assert_eq!(clean(value), shown);
    }
}

#[test]
fn names_in_other_scripts_stay_as_they_are() {
    for name in ["Zoë", "李", "Ωμέγα", "שרה", "a\u{301}b", "🦀"] {
        let mut document = code();
        name.clone_into(&mut document.user);
        name.clone_into(&mut document.host);
        let composed = compose(&document);
        assert_eq!(
            composed.subject,
            format!("482913 is your code for {name} (ref K7QM)")
        );
        assert!(composed.text.contains(&format!("\nUser:        {name}\n")));
        assert!(composed.html.contains(&format!(">{name}</td>")));
    }
}

#[test]
fn lines_that_get_too_long_are_broken_below_their_value() {
    let mut document = digest();
    document.addresses = (0..30)
        .map(|n| format!("2001:db8:1234:5678::{n:x}"))
        .collect();
    let composed = compose(&document);
    for line in composed.text.lines() {
        assert!(line.chars().count() <= 72, "{line}");
    }
    assert!(composed.text.contains(
        "From:        2001:db8:1234:5678::0, 2001:db8:1234:5678::1,\n             2001:db8:1234:5678::2,"
    ));
    assert!(composed.text.contains("and 10 more\n"));
    // A line that can't be broken is longer.
    "x".repeat(100).clone_into(&mut document.user);
    let row = format!("\nUser:        {}\n", "x".repeat(100));
    assert!(compose(&document).text.contains(&row));
    // What comes to the beginning of a line may not begin it with a dot.
    let text = "Subject: x\n\n{{user}}\n.{{host}}\n";
    let plain = Plain::parse(text, Text::Login).unwrap();
    let dots = [
        "x".repeat(71),
        format!(".{}", "y".repeat(71)),
        ".".to_owned(),
    ]
    .join(" ");
    let body = plain.body(|field| match field {
        Field::User => dots.clone(),
        _ => ".".to_owned(),
    });
    assert_eq!(
        body,
        format!("{}\n .{}\n .\n ..\n", "x".repeat(71), "y".repeat(71))
    );
}

#[test]
fn dates_are_those_of_the_system() {
    // The right-hand sides were printed by `date -u -d @N '+%F %T UTC (+00:00)'`.
    for (seconds, date) in [
        (0, "1970-01-01 00:00:00 UTC (+00:00)"),
        (951_782_400, "2000-02-29 00:00:00 UTC (+00:00)"),
        (NINE, "2026-11-20 09:00:00 UTC (+00:00)"),
        (4_107_542_399, "2100-02-28 23:59:59 UTC (+00:00)"),
    ] {
        let document = Document::new(Kind::Login, String::new(), seconds);
        assert_eq!(Field::Time.value(&document, true), date);
    }
}

#[test]
fn an_end_is_told_where_there_is_one() {
    let mut document = code();
    let until = |document: &Document| Field::Until.value(document, true);
    assert_eq!(until(&document), "2026-11-20 09:05:00 UTC (+00:00)");
    document.lifetime = 0;
    assert_eq!(until(&document), "");
    document.lifetime = u64::MAX;
    assert_eq!(until(&document), "9999-12-31 23:59:59 UTC (+00:00)");
    let mut document = digest();
    for not_later in [0, NINE - 1, NINE] {
        document.until = not_later;
        assert_eq!(until(&document), "");
    }
}

#[test]
fn durations_and_numbers_are_said_in_words() {
    let mut document = code();
    for (seconds, words) in [
        (0, "a short time"),
        (1, "1 second"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (7200, "2 hours"),
    ] {
        document.lifetime = seconds;
        assert_eq!(Field::Lifetime.value(&document, true), words);
    }
    for (count, is_incomplete, words) in [
        (0, false, "1 failed attempt"),
        (1, false, "1 failed attempt"),
        (3, false, "3 failed attempts"),
        (3, true, "at least 3 failed attempts"),
    ] {
        (document.count, document.is_incomplete) = (count, is_incomplete);
        assert_eq!(Field::Count.value(&document, true), words);
    }
}

#[test]
fn a_login_without_an_address_is_told_by_its_terminal() {
    let mut document = login();
    for (from, tty, words) in [
        ("203.0.113.7", "ssh", "203.0.113.7"),
        ("", "tty1", "the console of the host (tty1)"),
        ("", "/dev/ttyS0", "the console of the host (ttyS0)"),
        ("", "pts/3", "another session on the host (pts/3)"),
        ("", "", "the host itself"),
    ] {
        from.clone_into(&mut document.from);
        tty.clone_into(&mut document.tty);
        assert_eq!(Field::From.value(&document, true), words);
    }
    document.addresses = ["", "203.0.113.7", "", "203.0.113.7"]
        .map(str::to_owned)
        .into();
    assert_eq!(
        Field::Addresses.value(&document, true),
        "the host itself, 203.0.113.7"
    );
}

#[test]
fn one_failure_reads_like_a_digest_of_one() {
    let mut document = document(Kind::Failure);
    "wrong_device".clone_into(&mut document.event);
    let composed = compose(&document);
    assert_eq!(
        composed.subject,
        "alice on bastion-1.example.com: 1 failed attempt to log in"
    );
    assert!(composed.text.contains(
        "What:        the account is not assigned to this host\nFrom:        203.0.113.7\n"
    ));
    assert!(!composed.text.contains("Until:"));
}

#[test]
fn every_event_that_people_are_told_of_has_words() {
    for event in Event::ALL {
        let (id, name) = (event.id(), event.name());
        let is_failure = (2101..2300).contains(&id) || *event == Event::AccountRefused;
        if is_failure || id / 1000 == 4 {
            assert!(words::failure(name).is_some(), "{name}");
        }
        // Those about a user; 3001 and 3050 on are about the host.
        if (3002..3050).contains(&id) {
            assert!(words::change(name).is_some(), "{name}");
        }
    }
    let mut document = change();
    "something_new".clone_into(&mut document.event);
    assert_eq!(Field::Event.value(&document, true), "something new");
}

#[test]
fn mistakes_in_headers_are_named_by_line_and_column() {
    for (text, content, error) in [
        (
            Text::Login,
            "",
            "1:1: `Subject` is missing; write `Subject: …`",
        ),
        (
            Text::Login,
            "\nhello\n",
            "1:1: `Subject` is missing; write `Subject: …`",
        ),
        (
            Text::Login,
            "Hello\n\nhello\n",
            "1:1: this is no header; write `Subject: …`, then a blank line, then the text",
        ),
        (
            Text::Login,
            "Subject: x\nFrom: y\n\nz\n",
            "2:1: unknown header `From`; write `Subject: …`",
        ),
        (
            Text::Login,
            "Subject: x\nSubject-without-code: y\n\nz\n",
            "2:1: unknown header `Subject-without-code`; write `Subject: …`",
        ),
        (
            Text::Login,
            "Subject:  \n\nz\n",
            "1:1: the header is empty; write a text after the colon",
        ),
        (
            Text::Login,
            "Subject: x\nsubject: y\n\nz\n",
            "2:1: the header stands here twice; remove one of them",
        ),
        (
            Text::Login,
            "Subject: x\n\n \n",
            "2:1: there is no text; write it after a blank line below the headers",
        ),
        (
            Text::Code,
            "Subject: a\n\n{{code}}\n",
            "2:1: `Subject-without-code` is missing; write `Subject-without-code: …`, for `code_in_subject = false`",
        ),
        (
            Text::Code,
            "Subject: a\nSubject-without-code: {{code}}\n\n{{code}}\n",
            "2:1: `Subject-without-code` shows the code; write it without",
        ),
        (
            Text::Code,
            "Subject: {{code}}\nSubject-without-code: b\n\nhello\n",
            "4:1: no line is sure to show the code; write {{code}} on a line without other fields",
        ),
    ] {
        let found = Plain::parse(content, text).unwrap_err();
        assert_eq!(found.to_string(), error, "{content:?}");
    }
    let right = "Subject: a\nSubject-without-code: b\n\n{{code}}\n";
    assert!(Plain::parse(right, Text::Code).is_ok());
}

#[test]
fn mistakes_in_fields_are_named_by_line_and_column() {
    for (text, content, error) in [
        (
            Text::Test,
            "Subject: Zoë {{usr}}\n\nz\n",
            "1:14: unknown field `usr`; write one of user, host, device, time, actor",
        ),
        (
            Text::Test,
            "Subject: x\n\nhello {{user}} {{code}}\n",
            "3:16: a test text has no field `code`; write one of user, host, device, time, actor",
        ),
        (
            Text::Test,
            "Subject: x\n\n{{User}}\n",
            "3:1: unknown field `User`; write one of user, host, device, time, actor",
        ),
        (
            Text::Test,
            "Subject: x\n\n{{}}\n",
            "3:1: unknown field ``; write one of user, host, device, time, actor",
        ),
        (
            Text::Login,
            "Subject: x\n\n李 {{user\n}}\n",
            "3:3: `{{` without `}}`; write `{{name}}`, or `{{{{` for two braces",
        ),
        (
            Text::Login,
            "Subject: x\n\n{{user {{host}}\n",
            "3:1: `{{` without `}}`; write `{{name}}`, or `{{{{` for two braces",
        ),
        (
            Text::Login,
            "Subject: x\n\nab\u{1b}[1m\n",
            "3:3: the control character \\u{1b}; remove it",
        ),
    ] {
        let found = Plain::parse(content, text).unwrap_err();
        assert_eq!(found.to_string(), error, "{content:?}");
    }
    for (text, content, error) in [
        (
            Text::Login,
            "",
            "1:1: there is no text; write a page, or remove the file",
        ),
        (
            Text::Test,
            "<p>\n<b>{{ ref }}",
            "2:4: a test text has no field `ref`; write one of user, host, device, time, actor",
        ),
        (
            Text::Code,
            "<p>{{code_first}}</p>",
            "1:1: no line is sure to show the code; write {{code}} on a line without other fields",
        ),
    ] {
        let found = Html::parse(content, text).unwrap_err();
        assert_eq!(found.to_string(), error, "{content:?}");
    }
}

#[test]
fn a_text_of_a_code_shows_it_whatever_else_is_empty() {
    let page = |content: &str| Html::parse(content, Text::Code).is_ok();
    assert!(page("{{code}}"));
    assert!(page("{{code}} for {{user}} on {{host}}"));
    assert!(page("{{code_first}}\n{{code_later}}"));
    assert!(!page("{{code}} {{ref}}"));
    assert!(!page("{{code_later}}"));
    assert!(!page("{{code_first}} {{code_later}}"));
}

#[test]
fn a_value_ends_neither_a_tag_nor_an_attribute() {
    let html = Html::parse("<p title=\"{{user}}\" class='{{user}}'>", Text::Login).unwrap();
    assert_eq!(
        html.page(|_| "<b>\"'&amp;".to_owned()),
        "<p title=\"&lt;b&gt;&quot;&#39;&amp;amp;\" class='&lt;b&gt;&quot;&#39;&amp;amp;'>\n"
    );
}

#[test]
fn two_braces_are_written_as_four() {
    let text = "Subject: {{{{x}} {{{{{{ user }}\n\n{{{{user}} {{user}}}} } { {{{{\n";
    let plain = Plain::parse(text, Text::Login).unwrap();
    let value = |_| "a".to_owned();
    assert_eq!(plain.subject(true, value), "{{x}} {{a");
    assert_eq!(plain.body(value), "{{user}} a}} } { {{\n");
}

#[test]
fn line_ends_and_marks_of_other_editors_are_taken() {
    let bytes = "\u{feff}Subject: x {{app}}\r\n\r\nhello\r\n\r\n\r\nyou\r\n".as_bytes();
    let plain = Plain::parse(template::decode(bytes).unwrap(), Text::Login).unwrap();
    assert_eq!(plain.subject(true, |_| String::new()), "x -");
    assert_eq!(plain.body(|_| String::new()), "hello\n\nyou\n");
}

/// A folder of an administrator's texts.
struct Own(tempfile::TempDir);

impl Own {
    fn new() -> Self {
        let own = Self(tempfile::tempdir().unwrap());
        own.mode("", 0o755);
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
        self.mode(name, 0o644);
    }

    /// The texts, and the problems without the folder's path.
    fn load(&self) -> (Texts, Vec<String>) {
        let (texts, problems) = Texts::load(Some(self.0.path()), Owner::effective_user());
        let folder = format!("{}/", self.0.path().display());
        let shown = problems.iter().map(|problem| {
            let shown = problem.to_string();
            shown.strip_prefix(&folder).unwrap_or(&shown).to_owned()
        });
        (texts, shown.collect())
    }
}

#[test]
fn an_administrators_text_is_used_and_the_rest_is_built_in() {
    let own = Own::new();
    own.write(
        "login.txt",
        "Subject: Hallo {{user}}\n\nAnmeldung auf {{host}}.\n",
    );
    own.write("code.html", "<p>{{code}} für {{user}}</p>");
    for passed_over in [".login.txt.swp", "login.txt~", "README.md"] {
        own.write(passed_over, "{{nothing");
    }
    let (texts, problems) = own.load();
    assert_eq!(problems, [""; 0]);
    let composed = texts.compose(&login(), true);
    assert_eq!(composed.subject, "Hallo alice");
    assert_eq!(composed.text, "Anmeldung auf bastion-1.example.com.\n");
    assert_eq!(composed.html, compose(&login()).html);
    let composed = texts.compose(&code(), true);
    assert_eq!(composed.text, compose(&code()).text);
    assert_eq!(composed.html, "<p>482913 für alice</p>\n");
}

#[test]
fn in_place_of_a_broken_text_the_built_in_one_is_used() {
    let own = Own::new();
    own.write("login.txt", "Subject: x\n\nHello {{usre}}\n");
    own.write("login.html", "<p>{{user}}</p>");
    own.write("digest.html", b"<p>\nab\xff</p>");
    own.write("change.html", "x".repeat(64 * 1024 + 1));
    own.write("failure.txt", "Subject: x\n\ny\n");
    own.write("code.htm", "{{code}}");
    own.write("test.txt", "Subject: x\n\ny\n");
    own.mode("test.txt", 0o666);
    symlink("/etc/passwd", own.path("code.txt")).unwrap();
    std::fs::create_dir(own.path("test.html")).unwrap();
    let names =
        "name it KIND.txt or KIND.html, where KIND is one of code, login, digest, change, test";
    let (texts, problems) = own.load();
    assert_eq!(
        problems,
        [
            "change.html:1:1: is larger than 65536 bytes; put a text file there, or remove it".to_owned(),
            format!("code.htm:1:1: no message has a text of this name; {names}"),
            "code.txt:1:1: is a symbolic link; put the file itself there".to_owned(),
            "digest.html:2:3: this is not UTF-8; write the file as UTF-8 text".to_owned(),
            format!("failure.txt:1:1: no message has a text of this name; {names}"),
            "login.txt:3:7: unknown field `usre`; write one of user, host, device, service, from, time, method, \
             app, codes_left, to_do, how_far, login"
                .to_owned(),
            "test.html:1:1: is not a regular file; remove it".to_owned(),
            "test.txt:1:1: has mode 0666, others can write it; see who did, then chmod go-w".to_owned(),
        ]
    );
    for document in [code(), digest(), change(), trial()] {
        assert_eq!(texts.compose(&document, true), compose(&document));
    }
    let composed = texts.compose(&login(), true);
    assert_eq!(composed.text, compose(&login()).text);
    assert_eq!(composed.html, "<p>alice</p>\n");
}

#[test]
fn a_folder_that_is_missing_or_that_others_can_write_is_a_problem() {
    let own = Own::new();
    let (_, none) = Texts::load(None, Owner::effective_user());
    assert_eq!(none, []);
    let missing = own.path("none");
    let (texts, problems) = Texts::load(Some(&missing), Owner::effective_user());
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        format!(
            "{}:1:1: does not exist; put a folder of root's there, or write `templates = \"\"` in mfa.toml",
            missing.display()
        )
    );
    assert_eq!(texts.compose(&code(), true), compose(&code()));
    own.write("login.txt", "Subject: x\n\ny\n");
    own.mode("", 0o777);
    let (texts, problems) = own.load();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains(":1:1: has mode 0777, others can write it"));
    assert_eq!(texts.compose(&login(), true), compose(&login()));
}

#[test]
fn the_page_about_the_texts_names_every_field_and_where_it_is() {
    let page = include_str!("../../../config/templates/README.md");
    for field in Field::ALL {
        let start = format!("| `{{{{{}}}}}` | ", field.name());
        let row = page.lines().find_map(|line| line.strip_prefix(&start));
        let columns: Vec<&str> = row.unwrap_or_default().split(" | ").collect();
        let texts = Text::ALL.into_iter().filter(|text| field.is_in(*text));
        let texts: Vec<&str> = texts.map(Text::name).collect();
        let all = texts.len() == Text::ALL.len();
        let texts = if all {
            "all".to_owned()
        } else {
            texts.join(", ")
        };
        assert_eq!(columns[0], texts, "{field:?}");
        assert_eq!(columns[2] == "yes |", !field.is_always_there(), "{field:?}");
    }
}

#[test]
fn nobody_sees_a_code_by_printing_a_message() {
    assert_eq!(format!("{:?}", compose(&code())), "Composed(…)");
}

#[test]
fn no_document_and_no_template_makes_a_panic() {
    // Xorshift: the same numbers each time.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    let pieces: Vec<char> = "\n\r\t .{}<>&\"'=?:/aZ0…é李\u{202e}\u{200b}\u{10ffff}\0"
        .chars()
        .collect();
    let numbers = [0, 1, 59, 60, 3600, NINE, u64::MAX / 2, u64::MAX];
    let templates: Vec<&str> = Text::ALL
        .iter()
        .flat_map(|text| <[&str; 2]>::from(text.built_in()))
        .collect();
    let texts = Texts::built_in();
    for _ in 0..400 {
        let mut random = |length: usize| -> String {
            let length = next(length);
            (0..length).map(|_| pieces[next(pieces.len())]).collect()
        };
        let mut documents = all();
        let strings = [random(9), random(80), random(300)];
        let mut document = documents.swap_remove(next(documents.len()));
        for value in values(&mut document) {
            if next(2) == 0 {
                value.clone_from(&strings[next(3)]);
            }
        }
        document.time = numbers[next(8)];
        document.until = numbers[next(8)];
        document.lifetime = numbers[next(8)];
        document.count = numbers[next(8)];
        document.addresses = (0..next(30)).map(|n| strings[n % 3].clone()).collect();
        document.events = document.addresses.clone();
        check_is_one_message(&texts.compose(&document, next(2) == 0));

        let mut broken: Vec<char> = templates[next(templates.len())].chars().collect();
        for _ in 0..next(4) {
            let place = next(broken.len());
            match next(3) {
                0 => drop(broken.remove(place)),
                1 => broken.insert(place, pieces[next(pieces.len())]),
                _ => broken.truncate(place + 1),
            }
        }
        let broken: String = broken.into_iter().collect();
        for text in Text::ALL {
            if let Ok(plain) = Plain::parse(&broken, text) {
                plain.body(|field| field.value(&document, true));
            }
            if let Ok(html) = Html::parse(&broken, text) {
                html.page(|field| field.value(&document, false));
            }
        }
    }
}
