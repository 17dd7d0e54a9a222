use super::*;

fn config(text: &str) -> Config {
    Config::parse(format!("version = 1\n{text}").as_bytes()).unwrap()
}

const SMTP: &str = "[courier.smtp]\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"\n";

#[test]
fn what_there_is_to_deliver_by_is_named() {
    let said = |text: &str| {
        let config = config(text);
        overview(&config, Channels::of(&config)).message
    };
    assert!(said("").starts_with("Nothing is delivered on this host"));
    assert_eq!(
        said(&format!(
            "{SMTP}[courier.command]\nrun = [\"/bin/tell\", \"x\"]"
        )),
        "Codes and notices go out by email (mail.example.com:465), command (/bin/tell)."
    );
    assert!(said("[courier]\nemail = \"sendmail\"").contains("email (/usr/sbin/sendmail)"));
}

#[test]
fn a_code_has_to_last_until_it_has_arrived() {
    for (text, status) in [
        ("", Status::Ok),
        ("[code]\nlifetime = \"59s\"\n", Status::Warn),
        ("[code]\nlifetime = \"60s\"\n", Status::Ok),
        ("[code]\nmax_sends = 0\nlifetime = \"10s\"\n", Status::Ok),
    ] {
        let check = lifetime(&config(&format!("{text}{SMTP}")));
        assert_eq!(check.status, status, "{check:?}");
    }
    assert_eq!(time_for_a_code(&config("")), None);
    assert_eq!(
        time_for_a_code(&config(&format!("[courier]\ndeadline = \"30s\"\n{SMTP}"))),
        Some(Duration::from_secs(75))
    );
    assert_eq!(
        time_for_a_code(&config(&format!("[code]\nmax_sends = 0\n{SMTP}"))),
        None
    );
}

#[test]
fn settings_without_delivery_are_told_to_do_nothing() {
    let ids = |text: &str| {
        let config = config(text);
        let checks = without_effect(&config, Channels::of(&config));
        let ids: Vec<String> = checks.into_iter().map(|check| check.id).collect();
        ids.join(" ")
    };
    let settings = "[prompt]\nfirst = \"send\"\n[notices]\nadmins = [\"a@example.com\"]\n";
    assert_eq!(ids(settings), "prompt.first notices.admins");
    assert_eq!(ids(&format!("{settings}{SMTP}")), "");
    let command = "[courier.command]\nrun = [\"/bin/tell\"]\n";
    assert_eq!(ids(&format!("{settings}{command}")), "notices.admins");
}

#[test]
fn mail_that_goes_to_files_is_for_trying_out() {
    for (demo, words) in [(false, "codes are not"), (true, "whoever reads them")] {
        let text = format!(
            "[courier]\nemail = \"file\"\n[courier.file]\nfolder = \"/x\"\ndemo = {demo}\n"
        );
        let config = config(&text);
        let checks = without_effect(&config, Channels::of(&config));
        assert!(checks[0].message.contains(words), "{checks:?}");
        assert_eq!(checks[0].status, Status::Warn);
    }
}
