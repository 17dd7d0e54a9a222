//! Hardware tokens, and several authenticators of one user.

use std::process::Command;

use serde_json::Value;

use crate::host::{Host, SECRET, assert_fits, code, needs_root};

/// Another token's secret, in hexadecimal: 160 bits.
const HEX: &str = "3132333435363738393031323334353637383930";

/// The code of a counter, as oathtool computes it.
fn hotp(options: &[&str], secret: &str, counter: u64) -> String {
    let output = Command::new("oathtool")
        .args(["--hotp", "-c", &counter.to_string()])
        .args(options)
        .arg(secret)
        .output()
        .expect("oathtool is missing: apt-get install oathtool (tests/packages.sh does)");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The code of a counter of the token over [`SECRET`].
fn shown(counter: u64) -> String {
    hotp(&["-b"], SECRET, counter)
}

/// A user with a token over [`SECRET`] and nothing else.
fn with_token() -> Host {
    let host = Host::new();
    host.run("user add daemon").expect(0);
    add(&host, "key_ring", "");
    host
}

fn add(host: &Host, label: &str, options: &str) {
    let line = format!("token add daemon --hotp --label {label} --no-confirm {options}");
    host.feed(&line, SECRET).expect(0);
}

/// Whether a code lets in; no failure stands afterwards.
fn lets_in(host: &Host, code: &str) -> bool {
    let run = host.feed("code verify daemon", code);
    assert!(matches!(run.code, 0 | 1), "{run:?}");
    host.run("user unlock daemon").expect(0);
    run.code == 0
}

fn tokens(host: &Host) -> Value {
    let document = host.run("--json token list daemon").expect(0).json();
    document["tokens"].clone()
}

fn next(host: &Host) -> Value {
    tokens(host)[0]["next"].clone()
}

/// A text as if it had one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_token_is_added_with_its_secret_from_standard_input_and_its_codes_let_in() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let line = "--json token add daemon --hotp --label key_ring --secret - --confirm -";
    let (run, lines) = host.run_logged(line, &format!("{SECRET}\n{}\n", shown(3)));
    let document = run.expect(0).json();
    let keys: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "version",
            "user",
            "label",
            "id",
            "next",
            "confirmed",
            "warnings"
        ]
    );
    assert_eq!(
        (
            &document["label"],
            &document["next"],
            &document["confirmed"]
        ),
        (&"key ring".into(), &4.into(), &true.into())
    );
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("id=MFA-3071 event=token_added outcome=success user=\"daemon\" actor=")
            && lines[0].contains(" app=\"key ring\""),
        "{lines:?}"
    );
    // The method counts from then on; the code that was given is used.
    let record = std::fs::read_to_string(host.path("store/users/daemon.toml")).unwrap();
    assert!(
        record.contains("methods = [\"app\", \"token\"]"),
        "{record}"
    );
    assert!(record.contains("enrolled_once = true"), "{record}");
    assert!(!lets_in(&host, &shown(3)));
    assert!(lets_in(&host, &shown(4)));
    assert!(lets_in(&host, &shown(6)));
    assert!(!lets_in(&host, &shown(5)));
    // Neither the secret nor a code stands anywhere.
    let mut seen = lines.concat();
    for line in [
        "token list daemon",
        "--json user show daemon",
        "state show daemon",
        "explain daemon",
    ] {
        seen.push_str(&host.run(line).expect(0).out);
    }
    for (_, content) in host.snapshot() {
        seen.push_str(&String::from_utf8_lossy(&content));
    }
    for secret in [SECRET, &shown(4), &shown(7)] {
        assert!(!seen.contains(secret), "{secret}");
    }
    assert!(seen.contains(" next=7 used="), "{seen}");
}

#[test]
fn tokens_come_in_hexadecimal_with_more_digits_and_at_any_counter() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon --method token").expect(0);
    let line = "token add daemon --hotp --hex --digits 8 --counter 70000 --confirm -";
    let given = format!("{HEX}\n{}\n", hotp(&["-d8"], HEX, 70_000));
    let run = host.feed(line, &given).expect(0);
    assert_eq!(
        run.out,
        "Added token for daemon. The next login takes the next code.\n"
    );
    assert!(!lets_in(&host, &hotp(&["-d8"], HEX, 70_000)));
    assert!(!lets_in(&host, &hotp(&[], HEX, 70_001)));
    assert!(lets_in(&host, &hotp(&["-d8"], HEX, 70_001)));
    assert_eq!(tokens(&host)[0]["digits"], 8);
}

#[test]
fn what_is_no_token_is_refused_and_nothing_is_kept() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let before = host.snapshot();
    let add = "token add daemon --hotp --no-confirm";
    for (line, input, exit, words) in [
        (add, "", 1, "no secret on standard input"),
        (add, "\n", 1, "bits"),
        (add, "GEZDGNBV", 1, "the secret has 40 bits"),
        (add, "not a secret!", 1, "not base32"),
        (add, HEX, 1, "give --hex"),
        (&format!("{add} --hex"), SECRET, 1, "not hexadecimal"),
        (&format!("{add} --hex"), "3132", 1, "the secret has 16 bits"),
        (&format!("{add} --digits 9"), SECRET, 2, "write 6, 7 or 8"),
        (&format!("{add} --counter=-1"), SECRET, 2, "--counter"),
        (
            &format!("{add} --counter 4294967296"),
            SECRET,
            2,
            "4294967295",
        ),
        (
            &format!("{add} --secret {SECRET}"),
            "",
            2,
            "are not taken from the command line",
        ),
        (
            &format!("{add} --confirm -"),
            SECRET,
            2,
            "cannot be used with",
        ),
        ("token add daemon --no-confirm", SECRET, 2, "--hotp"),
        (
            "token add daemon --hotp",
            SECRET,
            1,
            "nobody is at the terminal",
        ),
        (
            "token add nobody-here --hotp --no-confirm",
            SECRET,
            3,
            "no user",
        ),
        ("token list nobody-here", "", 3, "no user"),
        ("token resync daemon", "", 3, "has no token"),
        ("token remove daemon x --yes", "", 3, "no token called x"),
        ("token disable daemon x", "", 3, "no token called x"),
        ("app disable daemon x", "", 3, "no app called x"),
    ] {
        let run = host.feed(line, input).expect(exit);
        let said = self::words(&run.err);
        assert!(said.contains(words), "{line}: {said}");
        assert!(
            !said.contains(SECRET) && !said.contains(HEX),
            "{line}: {said}"
        );
    }
    // A code of another counter, or of another secret.
    let line = "token add daemon --hotp --confirm -";
    for code in [shown(101), hotp(&[], HEX, 0), "1".to_owned(), String::new()] {
        let run = host.feed(line, &format!("{SECRET}\n{code}\n")).expect(1);
        assert!(
            run.err.contains("nothing was") && run.err.contains("kept"),
            "{}",
            run.err
        );
    }
    assert_eq!(host.snapshot(), before);
    assert!(
        host.run("token list daemon")
            .expect(0)
            .out
            .contains("has no token")
    );
}

#[test]
fn labels_secrets_and_places_are_each_given_once() {
    needs_root!();
    let host = with_token();
    let line = "token add daemon --hotp --no-confirm --label";
    let run = host.feed(&format!("{line} key_ring"), HEX).expect(1);
    assert!(
        words(&run.err).contains("has a token called key ring already")
            && words(&run.err).contains("token remove daemon 'key ring'`"),
        "{}",
        run.err
    );
    let run = host.feed(&format!("{line} other"), SECRET).expect(1);
    assert!(
        words(&run.err).contains("has this token already, as key ring"),
        "{}",
        run.err
    );
    // As many digits as it likes: it is the same token.
    host.feed(&format!("{line} other --digits 8"), SECRET)
        .expect(1);
    // An app over the same secret is something else.
    host.enroll("daemon", "phone");
    assert!(lets_in(&host, &code()));
    assert!(lets_in(&host, &shown(0)));
    for number in 2..8 {
        host.run(&format!(
            "app enroll daemon --label app{number} --no-confirm"
        ))
        .expect(0);
    }
    for (line, input) in [
        (
            "token add daemon --hotp --hex --no-confirm --label last",
            HEX,
        ),
        ("app enroll daemon --label last --no-confirm", ""),
    ] {
        let run = host.feed(line, input).expect(1);
        assert!(
            words(&run.err).contains("has 8 apps and tokens"),
            "{}",
            run.err
        );
    }
}

#[test]
fn no_removal_makes_a_used_code_good_again() {
    needs_root!();
    let host = with_token();
    assert!(lets_in(&host, &shown(4)));
    for round in 0..3_u64 {
        let (run, lines) = host.run_logged("token remove daemon key_ring --yes", "");
        assert!(run.expect(0).out.contains("Removed key ring of daemon."));
        assert!(
            lines[0].contains("id=MFA-3072 event=token_removed"),
            "{lines:?}"
        );
        // The state has no place to lose for it; the record remembers.
        assert!(
            !host
                .run("state show daemon")
                .expect(0)
                .out
                .contains("tokens")
        );
        assert!(!lets_in(&host, &shown(5 + round)));
        let line = "token add daemon --hotp --label key_ring --no-confirm";
        let options = ["", "--counter 2", "--digits 6"][usize::try_from(round).unwrap()];
        let run = host.feed(&format!("{line} {options}"), SECRET).expect(0);
        assert!(
            words(&run.err).contains(&format!(
                "its codes below counter {} are not good again",
                5 + round
            )),
            "{}",
            run.err
        );
        for used in 0..5 + round {
            assert!(!lets_in(&host, &shown(used)), "{used}");
        }
        assert!(lets_in(&host, &shown(5 + round)));
    }
    // Where the command was ended in between, the state still knows, and the next one puts it away.
    let path = host.path("store/users/daemon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("[[tokens]]").unwrap();
    let removed = rest.find("[[removed_tokens]]").unwrap();
    std::fs::write(&path, format!("{before}{}", &rest[removed..])).unwrap();
    add(&host, "again", "");
    assert_eq!(next(&host), 8);
    assert!(!lets_in(&host, &shown(7)));
    // What --counter says counts where it is further on.
    host.run("token remove daemon again --yes").expect(0);
    add(&host, "again", "--counter 500");
    assert_eq!(next(&host), 500);
}

#[test]
fn what_was_used_while_somebody_looked_for_their_token_stays_used() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let mut terminal = host.terminal("token add daemon --hotp --label slow");
    terminal
        .answer("Secret in base32: ", &format!("{SECRET}\n"))
        // Asked for once it was looked up where the token stands.
        .answer("Code that the token shows: ", "000000\n");
    add(&host, "quick", "");
    assert!(lets_in(&host, &shown(4)));
    host.run("token remove daemon quick --yes").expect(0);
    terminal.answer("Code that the token shows: ", &format!("{}\n", shown(0)));
    let run = terminal.end();
    assert_eq!(run.code, 0, "{}", run.out);
    for used in 0..5 {
        assert!(!lets_in(&host, &shown(used)), "{used}");
    }
    assert!(lets_in(&host, &shown(5)));
    // Nor does anybody bring it back to them who has lost the state.
    let lose = |host: &Host| std::fs::remove_file(host.path("store/state/daemon")).unwrap();
    let two = |counter| format!("{}\n{}\n", shown(counter), shown(counter + 1));
    lose(&host);
    host.feed("token resync daemon", &two(3)).expect(1);
    host.feed("token resync daemon", &two(6)).expect(0);
    let host = Host::new();
    host.run("user add daemon").expect(0);
    add(&host, "far", "--counter 500");
    lose(&host);
    host.feed("token resync daemon", &two(498)).expect(1);
    host.feed("token resync daemon", &two(500)).expect(0);
}

#[test]
fn what_another_administrator_has_added_meanwhile_is_seen() {
    needs_root!();
    for (label, other, told) in [
        ("here", HEX, "has a token called here already"),
        ("there", SECRET, "has this token already, as there"),
    ] {
        let host = Host::new();
        host.run("user add daemon").expect(0);
        let mut terminal = host.terminal("token add daemon --hotp --label here");
        terminal
            .answer("Secret in base32: ", &format!("{SECRET}\n"))
            .answer("Code that the token shows: ", "000000\n");
        let options = if other == HEX { "--hex" } else { "" };
        let line = format!("token add daemon --hotp --no-confirm --label {label} {options}");
        host.feed(&line, other).expect(0);
        terminal.answer("Code that the token shows: ", &format!("{}\n", shown(0)));
        let run = terminal.end();
        assert_eq!(run.code, 1, "{}", run.out);
        assert!(words(&run.out).contains(told), "{}", run.out);
        assert_eq!(tokens(&host).as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_token_that_came_back_is_in_step_when_another_one_goes() {
    needs_root!();
    let host = with_token();
    assert!(lets_in(&host, &shown(0)));
    host.run("token remove daemon key_ring --yes").expect(0);
    add(&host, "key_ring", "");
    let line = "token add daemon --hotp --hex --no-confirm --label spare";
    host.feed(line, HEX).expect(0);
    host.run("token remove daemon spare --yes").expect(0);
    assert_eq!(next(&host), 1);
    assert!(!lets_in(&host, &shown(0)));
    assert!(lets_in(&host, &shown(1)));
}

#[test]
fn a_token_that_is_looked_for_while_keys_are_changed_is_sealed_with_the_new_one() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let mut terminal = host.terminal("token add daemon --hotp");
    terminal
        .answer("Secret in base32: ", &format!("{SECRET}\n"))
        .answer("Code that the token shows: ", "000000\n");
    host.run("seal rotate").expect(0);
    terminal.answer("Code that the token shows: ", &format!("{}\n", shown(0)));
    let run = terminal.end();
    assert_eq!(run.code, 0, "{}", run.out);
    host.run("seal status").expect(0);
    assert!(lets_in(&host, &shown(1)));
}

#[test]
fn two_codes_in_a_row_bring_a_token_back_from_anywhere_ahead() {
    needs_root!();
    let host = with_token();
    assert!(lets_in(&host, &shown(2)));
    let two = |one: u64, other: u64| format!("{}\n{}\n", shown(one), shown(other));
    let before = host.snapshot();
    for input in [
        two(5001, 5000),
        two(5000, 5002),
        two(5000, 5000),
        // Used, both or one of them.
        two(1, 2),
        two(2, 3),
        format!("{}\n", shown(5000)),
        "123\n456\n".to_owned(),
        String::new(),
    ] {
        let run = host.feed("token resync daemon", &input).expect(1);
        assert!(!run.err.is_empty(), "{input}");
    }
    assert_eq!(host.snapshot(), before);
    let (run, lines) = host.run_logged("--json token resync daemon key_ring", &two(5000, 5001));
    let document = run.expect(0).json();
    assert_eq!(
        (&document["next"], &document["skipped"]),
        (&5002.into(), &4997.into())
    );
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("id=MFA-3073 event=token_resynced outcome=success")
            && lines[0].contains(" app=\"key ring\" detail=\"next 5002\""),
        "{lines:?}"
    );
    assert!(!lets_in(&host, &shown(5001)) && !lets_in(&host, &shown(3)));
    assert!(lets_in(&host, &shown(5002)));
    // Which one has to be said where there are several.
    host.feed(
        "token add daemon --hotp --hex --no-confirm --label spare",
        HEX,
    )
    .expect(0);
    let run = host.feed("token resync daemon", &two(5003, 5004)).expect(2);
    assert!(run.err.contains("say which"), "{}", run.err);
    host.feed("token resync daemon spare", &two(5003, 5004))
        .expect(1);
    let spare = format!("{}\n{}\n", hotp(&[], HEX, 77), hotp(&[], HEX, 78));
    host.feed("token resync daemon spare", &spare).expect(0);
    assert!(lets_in(&host, &hotp(&[], HEX, 79)));
}

#[test]
fn a_lost_state_leaves_a_token_out_of_use_until_two_codes_say_where_it_stands() {
    needs_root!();
    let path = |host: &Host| host.path("store/state/daemon");
    let lose: [fn(&Host, &std::path::Path); 3] = [
        |_, path| std::fs::remove_file(path).unwrap(),
        |host, path| {
            std::fs::write(path, [0; 4096]).unwrap();
            let run = host.run("--json state reset daemon --yes").expect(0);
            let document = run.json();
            assert_eq!(
                (&document["tokens"], &document["recovery_codes"]),
                (&"counter_unknown".into(), &"kept".into())
            );
            assert!(document.to_string().contains("token resync daemon"));
        },
        |host, _| host.change_state("daemon", |state| state.tokens.clear()),
    ];
    for lose in lose {
        let host = with_token();
        assert!(lets_in(&host, &shown(8)));
        // Made anew, a state that can be read forgets nothing of it.
        let document = host.run("--json state reset daemon --yes").expect(0).json();
        assert_eq!(document["tokens"], "kept");
        assert_eq!(next(&host), 9);
        lose(&host, &path(&host));
        for any in [0, 8, 9, 30] {
            assert!(!lets_in(&host, &shown(any)), "{any}");
        }
        let document = &tokens(&host)[0];
        assert_eq!(
            (&document["standing"], &document["next"]),
            (&"counter_unknown".into(), &Value::Null)
        );
        let explained = host.run("--json explain daemon").expect(0).json();
        assert_eq!(
            (&explained["decision"], &explained["reason"]),
            (&"deny".into(), &"counter_unknown".into())
        );
        let two = format!("{}\n{}\n", shown(30), shown(31));
        host.feed("token resync daemon", &two).expect(0);
        assert!(!lets_in(&host, &shown(31)) && !lets_in(&host, &shown(9)));
        assert!(lets_in(&host, &shown(32)));
    }
}

#[test]
fn each_authenticator_is_disabled_and_enabled_by_itself() {
    needs_root!();
    let host = with_token();
    host.enroll("daemon", "phone");
    for (noun, label, ids) in [
        ("app", "phone", [3014, 3015]),
        ("token", "key_ring", [3074, 3075]),
    ] {
        let code = || if noun == "app" { code() } else { shown(1) };
        let name = label.replace('_', " ");
        let (run, lines) = host.run_logged(&format!("--json {noun} disable daemon {label}"), "");
        let document = run.expect(0).json();
        assert_eq!(
            (
                &document["changed"],
                &document["label"],
                &document["disabled"]
            ),
            (&true.into(), &name.as_str().into(), &true.into())
        );
        assert_eq!(document[format!("{noun}s")][0]["disabled"], true);
        assert!(
            document["warnings"].as_array().unwrap().is_empty(),
            "{document}"
        );
        assert!(
            lines[0].contains(&format!("id=MFA-{} event={noun}_disabled", ids[0]))
                && lines[0].contains(&format!(" app=\"{name}\"")),
            "{lines:?}"
        );
        assert!(!lets_in(&host, &code()), "{noun}");
        let list = host.run(&format!("{noun} list daemon")).expect(0).out;
        assert!(list.contains("disabled"), "{list}");
        let shown = host.run("user show daemon").expect(0).out;
        assert!(words(&shown).contains(", disabled"), "{shown}");
        let explained = host.run("explain daemon").expect(0).out;
        assert!(
            explained.contains(&format!("{noun} enable daemon")),
            "{explained}"
        );
        assert!(explained.contains("a right one lets in"), "{explained}");
        let again = host
            .run(&format!("{noun} disable daemon {label}"))
            .expect(0)
            .out;
        assert!(again.contains("nothing was changed"), "{again}");
        let (run, lines) = host.run_logged(&format!("{noun} enable daemon {label}"), "");
        run.expect(0);
        assert!(
            lines[0].contains(&format!("id=MFA-{} event={noun}_enabled", ids[1])),
            "{lines:?}"
        );
        assert!(lets_in(&host, &code()), "{noun}");
    }
    // The last one too: nobody is let by for that.
    host.run("app disable daemon phone").expect(0);
    let run = host.run("token disable daemon key_ring").expect(0);
    assert!(
        words(&run.err).contains("no authenticator left that is in use"),
        "{}",
        run.err
    );
    let explained = host.run("explain daemon").expect(0).out;
    assert!(explained.contains("refused (not_enrolled)"), "{explained}");
    assert!(
        words(&explained).contains("no app or token is in use"),
        "{explained}"
    );
    host.configure("without_record = \"deny\"", "without_record = \"skip\"");
    assert!(!lets_in(&host, &shown(2)));
    let explained = host.run("explain daemon").expect(0).out;
    assert!(explained.contains("refused (not_enrolled)"), "{explained}");
}

#[test]
fn lists_say_where_each_stands_and_when_it_was_used_last() {
    needs_root!();
    let host = with_token();
    host.enroll("daemon", "phone");
    host.feed(
        "token add daemon --hotp --hex --no-confirm --label spare",
        HEX,
    )
    .expect(0);
    assert!(lets_in(&host, &shown(0)) && lets_in(&host, &code()));
    // Too far ahead: a failure, and remembered.
    host.feed("code verify daemon", &hotp(&[], HEX, 40))
        .expect(1);
    let list = host.run("token list daemon").expect(0).out;
    assert_fits(&list);
    for words in ["key ring", "in step", "out of step", "never", "NEXT"] {
        assert!(list.contains(words), "{list}");
    }
    let listed = tokens(&host);
    let keys: Vec<&str> = listed[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "id",
            "label",
            "digits",
            "enrolled",
            "disabled",
            "next",
            "standing",
            "last_used"
        ]
    );
    assert_eq!(
        (
            &listed[0]["standing"],
            &listed[1]["standing"],
            &listed[1]["last_used"]
        ),
        (&"in_step".into(), &"out_of_step".into(), &Value::Null)
    );
    assert!(listed[0]["last_used"].as_str().unwrap().starts_with("20"));
    let user = host.run("--json user show daemon").expect(0).json()["user"].clone();
    assert_eq!(user["tokens"], listed);
    assert!(
        user["apps"][0]["last_used"]
            .as_str()
            .unwrap()
            .starts_with("20")
    );
    let page = host.run("user show daemon").expect(0).out;
    assert_fits(&page);
    let page = words(&page);
    assert!(
        page.contains("Tokens: key ring: 6 digits, last used 20"),
        "{page}"
    );
    assert!(
        page.contains("spare: 6 digits, never used, out of step"),
        "{page}"
    );
    let explained = host.run("explain daemon").expect(0).out;
    assert!(
        words(&explained).contains("spare: out of step: its last code was too far ahead"),
        "{explained}"
    );
    // The following one brings it back.
    assert!(lets_in(&host, &hotp(&[], HEX, 41)));
    assert_eq!(tokens(&host)[1]["standing"], "in_step");
}

#[test]
fn at_a_terminal_the_secret_is_hidden_and_codes_are_asked_for() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let mut terminal = host.terminal("token add daemon --hotp --label key_ring");
    terminal
        .answer("Secret in base32: ", &format!("{SECRET}\n"))
        .answer("Code that the token shows: ", "000000\n")
        .answer("Code that the token shows: ", &format!("{}\n", shown(7)));
    let run = terminal.end();
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(!run.out.contains(SECRET), "{}", run.out);
    assert_eq!(next(&host), 8);
    let mut terminal = host.terminal("token resync daemon");
    terminal
        .answer("Code that the token shows: ", &format!("{}\n", shown(900)))
        .answer("The code after that: ", &format!("{}\n", shown(901)));
    let run = terminal.end();
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(next(&host), 902);
    let mut terminal = host.terminal("token remove daemon key_ring");
    terminal.answer("Remove the token key ring of daemon? [y/N] ", "n\n");
    assert_eq!(terminal.end().code, 1);
    host.run("token remove daemon key_ring").expect(1);
    assert_eq!(tokens(&host).as_array().unwrap().len(), 1);
}

#[test]
fn every_change_to_tokens_is_told_to_the_user_with_the_label() {
    needs_root!();
    let host = Host::delivering("daemon");
    for (line, input, event) in [
        (
            "token add daemon --hotp --label key_ring --no-confirm",
            SECRET,
            "token_added",
        ),
        ("token disable daemon key_ring", "", "token_disabled"),
        ("token enable daemon key_ring", "", "token_enabled"),
        ("token resync daemon", "", "token_resynced"),
        ("token remove daemon key_ring --yes", "", "token_removed"),
    ] {
        let two = format!("{}\n{}\n", shown(50), shown(51));
        let input = if event == "token_resynced" {
            &two
        } else {
            input
        };
        host.feed(line, input).expect(0);
        let notices = host.notices();
        assert_eq!(notices.len(), 1, "{line}: {notices:?}");
        assert_eq!(
            (&notices[0]["event"], &notices[0]["app"]),
            (&event.into(), &"key ring".into())
        );
        host.forget_notices();
    }
}

#[test]
fn a_new_sealing_key_seals_tokens_anew_and_forgets_no_counter() {
    needs_root!();
    let host = with_token();
    assert!(lets_in(&host, &shown(4)));
    let sealed = |host: &Host| {
        let record = std::fs::read_to_string(host.path("store/users/daemon.toml")).unwrap();
        let line = record.lines().find(|line| line.starts_with("secret = "));
        line.unwrap().to_owned()
    };
    let before = sealed(&host);
    host.run("seal rotate").expect(0);
    assert_ne!(sealed(&host), before);
    assert!(!lets_in(&host, &shown(4)));
    assert!(lets_in(&host, &shown(5)));
    // It is the same token under the new key.
    host.run("token remove daemon key_ring --yes").expect(0);
    add(&host, "key_ring", "");
    assert_eq!(next(&host), 6);
    assert!(!lets_in(&host, &shown(5)));
}
