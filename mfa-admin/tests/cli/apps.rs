use std::os::unix::fs::PermissionsExt;

use crate::host::{Host, SECRET, assert_fits, code, code_at, needs_root, wrong_code};

fn with_user() -> Host {
    let host = Host::new();
    host.run("user add daemon").expect(0);
    host
}

#[test]
fn an_app_is_kept_once_its_code_was_right_and_that_code_counts_as_used() {
    needs_root!();
    let host = with_user();
    let before = host.snapshot();
    let run = host
        .feed(
            "app enroll daemon --secret - --confirm -",
            &format!("{SECRET}\n{}\n", wrong_code()),
        )
        .expect(1);
    assert!(
        run.err.contains("clock") && run.err.contains("nothing was kept"),
        "{}",
        run.err
    );
    assert_eq!(host.snapshot(), before);
    let right = code();
    let run = host
        .feed(
            "app enroll daemon --secret - --confirm -",
            &format!("{SECRET}\n{right}\n"),
        )
        .expect(0);
    assert_fits(&run.out);
    assert!(
        run.out
            .contains(&format!("\nSecret: {SECRET}\notpauth://totp/"))
            || run.out.starts_with(&format!("Secret: {SECRET}\n"))
    );
    let used = host.feed("code verify daemon", &right).expect(1);
    assert!(used.err.contains("used before"), "{}", used.err);
    let record = std::fs::read_to_string(host.path("store/users/daemon.toml")).unwrap();
    assert!(record.contains("enrolled_once = true") && !record.contains(SECRET));
}

#[test]
fn every_kind_of_code_that_oathtool_computes_is_understood() {
    needs_root!();
    let host = with_user();
    for (label, algorithm, digits, period) in [
        ("a", "SHA1", "7", "30"),
        ("b", "sha-256", "6", "60"),
        ("c", "SHA512", "8", "30"),
        ("d", "SHA256", "8", "60"),
    ] {
        let totp = format!("--totp={}", algorithm.to_uppercase().replace('-', ""));
        let step = format!("--time-step-size={period}s");
        let code = code_at(SECRET, &[&totp, "-d", digits, &step], 0);
        let line = format!(
            "--json app enroll daemon --label {label} --algorithm {algorithm} --digits {digits} --period {period} \
             --secret - --confirm -"
        );
        let document = host
            .feed(&line, &format!("{SECRET}\n{code}\n"))
            .expect(0)
            .json();
        assert_eq!(document["confirmed"], true);
    }
    assert_eq!(
        host.run("--json app list daemon").json()["apps"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

#[test]
fn the_document_of_an_enrolment_has_its_keys() {
    needs_root!();
    let host = with_user();
    host.configure("issuer = \"%h\"", "issuer = \"A & B\"");
    let run = host
        .run("app enroll daemon --label tablet --no-confirm --json")
        .expect(0);
    let document = run.json();
    let secret = document["secret"].as_str().unwrap();
    assert_eq!(
        (
            &document["user"],
            &document["label"],
            &document["confirmed"]
        ),
        (&"daemon".into(), &"tablet".into(), &false.into())
    );
    assert_eq!(secret.len(), 32);
    assert_eq!(
        document["uri"],
        format!(
            "otpauth://totp/A%20%26%20B:daemon?secret={secret}&issuer=A%20%26%20B&algorithm=SHA1&digits=6&period=30"
        )
    );
    assert!(!run.err.contains(secret));
    let other = host
        .run("app enroll daemon --label other --no-confirm --json")
        .expect(0)
        .json();
    assert_ne!(other["secret"], secret);
}

#[test]
fn secrets_are_normalised_and_short_or_strange_ones_refused() {
    needs_root!();
    let host = with_user();
    let enroll =
        |secret: &str| host.feed("--json app enroll daemon --secret - --no-confirm", secret);
    for (secret, code) in [
        ("", 1),
        ("\n", 1),
        ("JBSWY3DP", 1),
        ("not base32 !", 1),
        ("0189", 1),
        (&"A".repeat(5000), 1),
        (&"A".repeat(240), 1),
    ] {
        let run = enroll(secret).expect(code);
        assert!(!run.json()["error"]["hint"].as_str().unwrap().is_empty());
    }
    let document = enroll("jbsw y3dp-ehpk3pxp jbswy3dpehpk3pxp====\n")
        .expect(0)
        .json();
    assert_eq!(document["secret"], SECRET);
}

#[test]
fn secrets_and_codes_are_not_taken_from_the_command_line_nor_repeated() {
    needs_root!();
    let host = with_user();
    for line in [
        format!("app enroll daemon --secret {SECRET}"),
        "app enroll daemon --confirm 123456".to_owned(),
    ] {
        for json in ["", "--json "] {
            let run = host.run(&format!("{json}{line}")).expect(2);
            assert!(
                !run.err.contains(SECRET)
                    && !run.out.contains(SECRET)
                    && !run.err.contains("123456"),
                "{run:?}"
            );
        }
    }
    host.run("app enroll daemon --confirm - --no-confirm")
        .expect(2);
}

#[test]
fn without_a_terminal_somebody_has_to_say_how_to_confirm() {
    needs_root!();
    let host = with_user();
    let run = host.run("app enroll daemon").expect(1);
    assert!(
        run.err.contains("--confirm -") && run.err.contains("--no-confirm"),
        "{}",
        run.err
    );
    assert!(!run.out.contains("Secret"));
    host.run("app enroll daemon --confirm -").expect(1);
}

#[test]
fn at_a_terminal_the_code_is_asked_for_three_times() {
    needs_root!();
    let host = with_user();
    let mut terminal = host.terminal("app enroll daemon --secret -");
    terminal.answer("Secret in base32: ", &format!("{SECRET}\n"));
    terminal.answer("Code that the app shows: ", "12\n");
    terminal.answer("Code that the app shows: ", &format!("{}\n", code()));
    let run = terminal.end().expect(0);
    assert!(
        run.out.contains('▄') && run.out.contains("Enrolled phone for daemon"),
        "{}",
        run.out
    );
    // Shown once, in the line; not where it was typed.
    assert_eq!(
        run.out.matches(&format!("{SECRET}\n")).count(),
        1,
        "{}",
        run.out
    );
    let mut terminal = host.terminal("app enroll daemon --label second");
    for _ in 0..3 {
        terminal.answer("Code that the app shows: ", "12\n");
    }
    let run = terminal.end().expect(1);
    assert!(run.out.contains("nothing was kept"), "{}", run.out);
    assert_eq!(
        host.run("--json app list daemon").json()["apps"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn ctrl_c_while_a_secret_is_typed_leaves_the_terminal_as_it_was() {
    needs_root!();
    let host = with_user();
    let mut terminal = host.terminal_then("app enroll daemon --secret - --no-confirm", "; stty -a");
    terminal.answer("Secret in base32: ", "JBSW\u{3}");
    let run = terminal.end();
    assert!(
        run.out.contains(" echo ") && run.out.contains("\nisig "),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("interrupted") && !run.out.contains("JBSW"),
        "{}",
        run.out
    );
}

#[test]
fn labels_are_unique_and_there_are_at_most_eight() {
    needs_root!();
    let host = with_user();
    host.enroll("daemon", "phone");
    let run = host.run("app enroll daemon --no-confirm").expect(1);
    assert!(run.err.contains("--label"), "{}", run.err);
    for number in 2..=8 {
        host.run(&format!(
            "app enroll daemon --label app{number} --no-confirm"
        ))
        .expect(0);
    }
    let run = host
        .run("app enroll daemon --label ninth --no-confirm")
        .expect(1);
    assert!(run.err.contains("8 apps"), "{}", run.err);
    host.run("app enroll nobody-here --no-confirm").expect(3);
    host.run("app enroll daemon --label x --digits 9 --no-confirm")
        .expect(2);
    host.run("app enroll daemon --label x --period 5 --no-confirm")
        .expect(2);
    host.run("app enroll daemon --label x --algorithm MD5 --no-confirm")
        .expect(2);
}

#[test]
fn one_secret_is_one_app_whatever_it_is_called_and_remembers_its_used_codes() {
    needs_root!();
    let host = with_user();
    host.enroll("daemon", "phone");
    let again = "app enroll daemon --label twin --secret - --no-confirm";
    let run = host.feed(again, SECRET).expect(1);
    assert!(
        run.err.contains("this secret already, as phone"),
        "{}",
        run.err
    );
    let right = code();
    host.feed("code verify daemon", &right).expect(0);
    host.run("app remove daemon phone --yes").expect(0);
    host.feed(again, SECRET).expect(0);
    host.feed("code verify daemon", &right).expect(1);
}

#[test]
fn pictures_are_new_files_that_only_root_can_read_and_that_a_scanner_reads() {
    needs_root!();
    let host = with_user();
    for (label, name) in [("a", "a.png"), ("b", "b.svg")] {
        let path = host.path(name);
        let line = format!(
            "--json app enroll daemon --label {label} --no-confirm --qr-file {}",
            path.display()
        );
        let uri = host.run(&line).expect(0).json()["uri"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        if name == "a.png" {
            let output = std::process::Command::new("zbarimg")
                .args(["-q", "--raw"])
                .arg(&path)
                .output()
                .expect("zbarimg is missing: apt-get install zbar-tools (tests/packages.sh does)");
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), uri);
        }
        host.run(&line.replace(&format!("--label {label}"), "--label again"))
            .expect(1);
    }
    host.run("app enroll daemon --label x --no-confirm --qr-file /tmp/x.jpg")
        .expect(2);
    let unkept = host.path("c.svg");
    let line = format!(
        "app enroll daemon --label c --secret - --confirm - --qr-file {}",
        unkept.display()
    );
    host.feed(&line, &format!("{SECRET}\n{}\n", wrong_code()))
        .expect(1);
    assert!(!unkept.exists());
}

#[test]
fn a_secret_is_shown_again_and_says_so_in_the_audit() {
    needs_root!();
    let host = with_user();
    host.enroll("daemon", "phone");
    let (run, lines) = host.run_logged("--json app reveal daemon phone", "");
    assert_eq!(run.expect(0).json()["secret"], SECRET);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("id=MFA-3012 event=app_revealed outcome=success user=\"daemon\" actor="),
        "{lines:?}"
    );
    assert!(lines[0].contains("app=\"phone\"") && !lines[0].contains(SECRET));
    assert!(
        host.run("app reveal daemon phone --qr utf8")
            .expect(0)
            .out
            .contains('▄')
    );
    assert!(
        host.run("app reveal daemon phone --qr ascii")
            .expect(0)
            .out
            .is_ascii()
    );
    host.run("app reveal daemon tablet").expect(3);
    // A picture, as at the enrolment: a scanner reads what is shown beside it.
    let picture = host.path("again.png");
    let line = format!("app reveal daemon phone --qr-file {}", picture.display());
    let (run, lines) = host.run_logged(&line, "");
    let said = run.expect(0).out;
    assert!(lines[0].contains("id=MFA-3012"), "{lines:?}");
    let output = std::process::Command::new("zbarimg")
        .args(["-q", "--raw"])
        .arg(&picture)
        .output()
        .expect("zbarimg is missing: apt-get install zbar-tools (tests/packages.sh does)");
    let scanned = String::from_utf8(output.stdout).unwrap();
    assert!(scanned.starts_with("otpauth://totp/") && scanned.contains(SECRET));
    assert!(said.contains(scanned.trim()), "{said}");
    // It replaces nothing.
    host.run(&line).expect(1);
}

#[test]
fn another_sealing_key_opens_nothing_and_says_so() {
    needs_root!();
    let host = with_user();
    host.enroll("daemon", "phone");
    let other = Host::new();
    std::fs::copy(other.path("seal.key"), host.path("seal.key")).unwrap();
    let run = host.run("app reveal daemon phone").expect(4);
    assert!(run.err.contains("sealed with key"), "{}", run.err);
    std::fs::write(host.path("seal.key"), "nonsense").unwrap();
    host.run("app reveal daemon phone").expect(4);
    std::fs::remove_file(host.path("seal.key")).unwrap();
    assert!(
        host.run("app enroll daemon --label x --no-confirm")
            .expect(4)
            .err
            .contains("backup")
    );
}

#[test]
fn an_app_is_removed_when_that_is_agreed_to() {
    needs_root!();
    let host = with_user();
    host.enroll("daemon", "phone");
    assert!(
        host.run("app remove daemon phone")
            .expect(1)
            .err
            .contains("--yes")
    );
    host.run("app remove daemon tablet --yes").expect(3);
    let run = host.run("app remove daemon phone --yes").expect(0);
    assert!(run.err.contains("no app left"), "{}", run.err);
    host.run("app remove daemon phone --yes").expect(3);
    let record = std::fs::read_to_string(host.path("store/users/daemon.toml")).unwrap();
    assert!(record.contains("enrolled_once = true"));
}

/// What a terminal shows of the lines that draw a QR code, as a PGM: cells of 8 × 16 pixels, `ink` on `paper` until a
/// colour is set.
fn screen(text: &str, ink: u8, paper: u8) -> Vec<u8> {
    const MARGIN: usize = 4;
    let shade = |number: &str| match number {
        "16" => 0,
        "231" => 255,
        other => panic!("colour {other}"),
    };
    let mut rows: Vec<Vec<(char, u8, u8)>> = Vec::new();
    for line in text.lines().filter(|line| line.contains(['█', '▄', '▀'])) {
        let (mut cells, mut colours, mut rest) = (Vec::new(), (ink, paper), line);
        while let Some(character) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let (parameters, more) = sequence.split_once('m').unwrap();
                let numbers: Vec<&str> = parameters.split(';').collect();
                match numbers.as_slice() {
                    ["0"] => colours = (ink, paper),
                    ["38", "5", front, "48", "5", back] => colours = (shade(front), shade(back)),
                    other => panic!("{other:?}"),
                }
                rest = more;
                continue;
            }
            cells.push((character, colours.0, colours.1));
            rest = &rest[character.len_utf8()..];
        }
        rows.push(cells);
    }
    let columns = rows.iter().map(Vec::len).max().unwrap() + 2 * MARGIN;
    let width = columns * 8;
    let height = (rows.len() + 2 * MARGIN) * 16;
    let mut pixels = vec![paper; width * height];
    for (row, cells) in rows.iter().enumerate() {
        for (column, (character, front, back)) in cells.iter().enumerate() {
            for y in 0..16 {
                let is_inked = match character {
                    ' ' => false,
                    '█' => true,
                    '▀' => y < 8,
                    '▄' => y >= 8,
                    other => panic!("no glyph for {other:?}"),
                };
                let start = ((row + MARGIN) * 16 + y) * width + (column + MARGIN) * 8;
                pixels[start..start + 8].fill(if is_inked { *front } else { *back });
            }
        }
    }
    let mut file = format!("P5\n{width} {height}\n255\n").into_bytes();
    file.extend(pixels);
    file
}

#[test]
fn a_scanner_reads_what_enrolment_shows_on_dark_and_light_terminals() {
    needs_root!();
    let host = with_user();
    let mut terminal = host.terminal("app enroll daemon --secret -");
    terminal.answer("Secret in base32: ", &format!("{SECRET}\n"));
    terminal.answer("Code that the app shows: ", &format!("{}\n", code()));
    let enrolled = terminal.end().expect(0).out;
    let revealed = host
        .terminal("app reveal daemon phone --qr utf8")
        .end()
        .expect(0)
        .out;
    for out in [enrolled, revealed] {
        let uri = out
            .lines()
            .find(|line| line.starts_with("otpauth://"))
            .unwrap_or_else(|| panic!("{out}"));
        for (terminal, ink, paper) in [("dark", 220, 20), ("light", 20, 240)] {
            let path = host.path("terminal.pgm");
            std::fs::write(&path, screen(&out, ink, paper)).unwrap();
            let output = std::process::Command::new("zbarimg")
                .args(["-q", "--raw"])
                .arg(&path)
                .output()
                .expect("zbarimg is missing: apt-get install zbar-tools (tests/packages.sh does)");
            assert_eq!(
                String::from_utf8(output.stdout).unwrap().trim(),
                uri,
                "{terminal}"
            );
        }
        let widest = out
            .lines()
            .map(|line| line.chars().filter(|c| "█▀▄ ".contains(*c)).count())
            .max();
        assert!(widest <= Some(80), "{widest:?}");
    }
}
