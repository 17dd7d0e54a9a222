//! What documents say of tests, and advise to set, is so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail at once"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mfa_tests::{on_a_test_host, repository};

/// Every document of the repository, with its text.
fn documents() -> Vec<(String, String)> {
    let root = repository();
    let folders = ["", "docs"];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let mut found: Vec<_> = files
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn document(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap()
}

/// Every `FILE.rs::NAME` of a text.
fn references(text: &str) -> Vec<(String, String)> {
    let is_of_a_reference =
        |character: char| character.is_ascii_alphanumeric() || "/._-:".contains(character);
    text.split(|character| !is_of_a_reference(character))
        .filter_map(|word| word.split_once(".rs::"))
        .map(|(file, name)| (format!("{file}.rs"), name.to_owned()))
        .collect()
}

/// What is wrong with a reference, if anything is.
fn problem(root: &Path, file: &str, name: &str) -> Option<String> {
    let Ok(code) = fs::read_to_string(root.join(file)) else {
        return Some(format!("there is no {file}"));
    };
    let lines: Vec<_> = code.lines().map(str::trim).collect();
    let Some(at) = lines
        .iter()
        .position(|line| line.starts_with(&format!("fn {name}(")))
    else {
        return Some(format!("there is no {name} in {file}"));
    };
    // Attributes and comments may stand between the two.
    let is_test = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .any(|line| *line == "#[test]");
    (!is_test).then(|| format!("{name} in {file} is no test"))
}

#[test]
fn every_test_that_a_document_names_exists() {
    let root = repository();
    let mut problems = Vec::new();
    for (document, text) in documents() {
        for (file, name) in references(&text) {
            if let Some(problem) = problem(&root, &file, &name) {
                problems.push(format!("{document}: {problem}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    // The documents are found, and read as they are written.
    for name in ["SECURITY.md", "docs/known-faults.md", "docs/conformance.md"] {
        assert!(references(&document(name)).len() > 50, "{name}");
    }
    // A reference that is wrong is noticed.
    let own = "tests/tests/docs.rs";
    assert_eq!(
        problem(&root, own, "every_test_that_a_document_names_exists"),
        None
    );
    for (file, name) in [
        ("tests/tests/gone.rs", "x"),
        (own, "gone"),
        (own, "problem"),
    ] {
        assert!(problem(&root, file, name).is_some(), "{file} {name}");
    }
}

/// The rows of the tables between the heading `## TITLE` and the next one of its kind, each as its cells.
fn rows(text: &str, title: &str) -> Vec<Vec<String>> {
    let heading = format!("## {title}\n");
    let section = text
        .split_once(&heading)
        .unwrap_or_else(|| panic!("{heading}"))
        .1;
    let section = section.split("\n## ").next().unwrap();
    let is_row = |line: &&str| line.starts_with('|') && !line.starts_with("|---");
    let lines: Vec<_> = section.lines().collect();
    lines
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, line)| is_row(line))
        // The head of a table stands above a ruler.
        .filter(|(at, _)| {
            !lines
                .get(at + 1)
                .is_some_and(|next| next.starts_with("|---"))
        })
        .map(|(_, line)| {
            let line = line.trim_matches('|');
            line.split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn every_promise_and_every_known_fault_has_a_test_or_says_why_not() {
    let security = document("SECURITY.md");
    let faults = document("docs/known-faults.md");
    let tables = [
        (&security, "What is promised", 20, 3),
        (&security, "Known faults of others", 20, 4),
        (&faults, "PAM modules and their servers", 25, 5),
        (&faults, "sudo, su and their like", 15, 5),
        (&faults, "sshd", 5, 5),
        (&faults, "Logs and mail", 5, 5),
        (&faults, "Without a number", 10, 5),
    ];
    for (text, title, least, columns) in tables {
        let rows = rows(text, title);
        assert!(rows.len() >= least, "{title}: {} rows", rows.len());
        for row in rows {
            assert_eq!(row.len(), columns, "{title}: {row:?}");
            let says_why = row.iter().any(|cell| {
                ["not ours", "not protected", "not built yet"]
                    .iter()
                    .any(|words| cell.starts_with(words))
            });
            let has_test = row.iter().any(|cell| !references(cell).is_empty());
            assert!(has_test || says_why, "{title}: {row:?}");
        }
    }
}

#[test]
fn every_line_about_a_standard_says_whether_it_is_met() {
    let text = document("docs/conformance.md");
    let verdicts = [
        "met",
        "met by setting",
        "partly",
        "not met",
        "not built yet",
        "not ours",
    ];
    let mut seen = 0;
    for title in [
        "RFC 4226",
        "RFC 6238",
        "NIST SP 800-63B-4",
        "PCI DSS 4.0.1",
        "OWASP ASVS 5.0.0, V6",
    ] {
        for row in rows(&text, title) {
            assert_eq!(row.len(), 4, "{title}: {row:?}");
            assert!(verdicts.contains(&row[2].as_str()), "{title}: {row:?}");
            seen += 1;
        }
    }
    assert!(seen > 120, "{seen}");
}

/// The indented blocks of a text, blank lines within them included.
fn blocks(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        let indented = line.strip_prefix("    ");
        match (indented, is_inside) {
            (Some(line), true) => writeln!(found.last_mut().unwrap(), "{line}").unwrap(),
            (Some(line), false) => found.push(format!("{line}\n")),
            (None, true) if line.is_empty() => found.last_mut().unwrap().push('\n'),
            (None, _) => {}
        }
        is_inside = indented.is_some() || is_inside && line.is_empty();
    }
    found
}

#[test]
fn what_is_advised_for_standards_can_be_configured_like_that() {
    on_a_test_host(|host| {
        let advised = blocks(&document("docs/conformance.md"));
        let sections: Vec<_> = advised
            .iter()
            .map(|block| block.matches("\n[").count())
            .collect();
        assert_eq!(sections, [6, 4]);
        for block in advised {
            fs::write("/etc/mfa/tried.toml", &block).unwrap();
            let checked = host.run(&["mfa-admin", "config", "check", "/etc/mfa/tried.toml"]);
            checked.expect_success();
            // A key that has no effect would be a warning.
            let said = format!("{}{}", checked.stdout, checked.stderr);
            assert_eq!(said, "/etc/mfa/tried.toml is right.\n", "{block}");
        }
    });
}

#[test]
fn what_standards_forbid_can_not_be_set() {
    on_a_test_host(|host| {
        let smtp =
            "[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"\nsecurity = ";
        for (allowed, forbidden) in [
            // NIST SP 800-63B-4, 3.1.3.2; ASVS 6.5.4 and 6.5.5.
            ("[code]\ndigits = 6", "[code]\ndigits = 5"),
            ("[code]\nlifetime = \"10m\"", "[code]\nlifetime = \"601s\""),
            // NIST SP 800-63B-4, 3.2.2: none is more than a hundred as well.
            (
                "[lockout]\ndisable_after = 100",
                "[lockout]\ndisable_after = 101",
            ),
            (
                "[lockout]\ndisable_after = 1",
                "[lockout]\ndisable_after = 0",
            ),
            // PCI DSS 8.3.2.
            (&format!("{smtp}\"starttls\""), &format!("{smtp}\"none\"")),
        ] {
            let exit = |text: &str| {
                fs::write("/etc/mfa/tried.toml", format!("version = 1\n{text}\n")).unwrap();
                let words = ["mfa-admin", "config", "check", "/etc/mfa/tried.toml"];
                host.run(&words).exit
            };
            assert_eq!(exit(allowed), 0, "{allowed}");
            assert_eq!(exit(forbidden), 4, "{forbidden}");
        }
        // RFC 4226, 4 (R4 and R6).
        host.admin(&["user", "add", "alice"]);
        let enroll = |digits: &str, secret: &str| {
            let words = [
                "mfa-admin",
                "app",
                "enroll",
                "alice",
                "--secret",
                "-",
                "--no-confirm",
                "--qr",
                "none",
                "--digits",
                digits,
            ];
            host.run_with(&words, &format!("{secret}\n")).exit
        };
        let (bits_120, bits_160) = ("A".repeat(24), "A".repeat(32));
        assert_ne!(enroll("6", &bits_120), 0);
        assert_ne!(enroll("5", &bits_160), 0);
        assert_eq!(enroll("6", &bits_160), 0);
    });
}

/// Whether a cell like `MFA-2202, 2203` or `MFA-3011 to 3015` names an id.
fn names_id(cell: &str, id: u32) -> bool {
    let ids: Vec<u32> = cell
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    if cell.contains(" to ") {
        return (ids[0]..=ids[1]).contains(&id);
    }
    ids.contains(&id)
}

#[test]
fn every_event_of_the_log_stands_in_the_readme_with_its_id_and_no_other() {
    let source = document("mfa-core/src/audit.rs");
    let events: Vec<(u32, String)> = source
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(" = ")?;
            let (id, rest) = rest.split_once(", \"")?;
            let (name, _) = rest.split_once('"')?;
            Some((id.parse().ok()?, name.to_owned()))
        })
        .collect();
    assert!(events.len() > 60, "{events:?}");
    let rows: Vec<(String, Vec<String>)> = document("README.md")
        .lines()
        .filter(|line| line.starts_with("| MFA-"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let names = cells[2].split(", ").map(str::to_owned);
            (
                cells[1].to_owned(),
                names.filter(|name| !name.is_empty()).collect(),
            )
        })
        .collect();
    let mut wrong = Vec::new();
    for (id, name) in &events {
        let is_there =
            |(ids, names): &(String, Vec<String>)| names.contains(name) && names_id(ids, *id);
        if rows.iter().filter(|row| is_there(row)).count() != 1 {
            wrong.push(format!("MFA-{id} {name}"));
        }
    }
    for name in rows.iter().flat_map(|(_, names)| names) {
        if !events.iter().any(|(_, event)| event == name) {
            wrong.push(format!("{name}, which is no event"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
