use serde_json::json;

use crate::host::{Host, assert_fits, needs_root};

#[test]
fn a_user_is_added_for_this_host_with_a_state() {
    needs_root!();
    let host = Host::new();
    let run = host
        .run("--json user add daemon --email d@example.com --telegram -5")
        .expect(0);
    let device = host.run("device id").out.trim().to_owned();
    let document = run.json();
    let user = &document["user"];
    assert_eq!(document["changed"], true);
    assert_eq!(user["user"], "daemon");
    assert_eq!(user["approved"], true);
    assert_eq!(user["methods"], json!(["app", "email", "telegram"]));
    assert_eq!(user["telegram"], -5);
    assert_eq!(user["devices"][0]["id"], device.as_str());
    assert_eq!(user["devices"][0]["includes_this_host"], true);
    assert!(host.path("store/state/daemon").exists());
}

#[test]
fn an_identical_user_again_is_done_and_a_different_one_refused() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon --device this --device any --method app")
        .expect(0);
    let before = host.snapshot();
    host.run("user add daemon --device any --device this")
        .expect(0);
    for line in [
        "user add daemon",
        "user add daemon --device this --device any --email x@example.com",
        "user add daemon --device this --device any --telegram 1",
    ] {
        let run = host.run(line).expect(1);
        assert!(run.err.contains("is there already"), "{}", run.err);
    }
    assert_eq!(host.snapshot(), before);
    host.run("user suspend daemon --reason left").expect(0);
    let run = host
        .run("user add daemon --device this --device any")
        .expect(1);
    assert!(run.err.contains("is suspended"));
}

#[test]
fn a_name_that_the_system_does_not_know_is_a_warning() {
    needs_root!();
    let host = Host::new();
    let run = host.run("user add no-such-user").expect(0);
    assert!(
        run.err.contains("knows no account no-such-user"),
        "{}",
        run.err
    );
    let run = host.run("--json user add other-user").expect(0);
    assert!(
        run.json()["warnings"][0]
            .as_str()
            .unwrap()
            .contains("knows no account")
    );
}

#[test]
fn names_that_nobody_can_have_are_refused_and_strange_ones_stay_in_their_folder() {
    needs_root!();
    let host = Host::new();
    for name in ["a\nb", "a:b", "\u{1b}[2J"] {
        let mut command = host.command("user add");
        command.arg(name);
        let run = crate::host::finish(command, "").expect(1);
        assert!(!run.err.contains('\u{1b}'));
    }
    host.run("user add ../../x").expect(0);
    assert!(host.path("store/users/%2E.%2F..%2Fx.toml").exists());
    assert_eq!(
        host.run("--json user show ../../x").expect(0).json()["user"]["user"],
        "../../x"
    );
    host.run(&format!("user add {}", "x".repeat(201))).expect(3);
    host.run(&format!("user add {}", "x".repeat(300))).expect(2);
    host.run("user show ..").expect(3);
}

#[test]
fn address_and_methods_are_set_and_unset() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let user = |line: &str| {
        host.run(&format!("--json user set daemon {line}"))
            .expect(0)
            .json()["user"]
            .clone()
    };
    assert_eq!(user("--email d@example.com")["methods"], json!(["app"]));
    assert_eq!(
        user("--methods app,email")["methods"],
        json!(["app", "email"])
    );
    let without = user("--email none");
    assert_eq!(
        (&without["methods"], &without["email"]),
        (&json!(["app"]), &json!(null))
    );
    assert_eq!(
        user("--telegram -42 --methods telegram,app,app")["methods"],
        json!(["telegram", "app"])
    );
    assert_eq!(user("--telegram none")["telegram"], json!(null));
    host.run("user set daemon").expect(2);
    host.run("user set daemon --email nonsense").expect(2);
    host.run("user set daemon --methods sms").expect(2);
    host.run("user set daemon --methods email").expect(1);
    host.run("user set bin --email none").expect(3);
}

#[test]
fn an_address_that_is_more_than_an_address_is_refused_when_it_is_entered() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let before = host.snapshot();
    for address in [
        "-oX",
        "-oX@example.com",
        "\"Alice\" <alice@example.com>",
        "Alice <alice@example.com>",
        "\"a b\"@example.com",
        "alice@example.com\nBcc: eve@example.com",
        "alice@example.com\r",
        "alice@example.com,eve@example.com",
        "alice@example.com eve@example.com",
        "alice",
        "@example.com",
        "",
    ] {
        for verb in ["user set daemon", "user add bin"] {
            let mut command = host.command(verb);
            command.arg(format!("--email={address}"));
            let run = crate::host::finish(command, "").expect(2);
            assert!(run.out.is_empty(), "{address:?}: {run:?}");
            let mut command = host.command(verb);
            command.args(["--email", address]);
            crate::host::finish(command, "").expect(2);
        }
    }
    assert_eq!(host.snapshot(), before);
}

#[test]
fn a_method_that_this_host_does_not_deliver_is_a_warning_and_one_that_it_does_is_none() {
    needs_root!();
    let host = Host::new();
    let run = host.run("user add daemon --email d@example.com").expect(0);
    assert!(
        run.err
            .contains("the method email does not count on this host")
            && run.err.contains("[courier.smtp]")
            && !run.err.contains("release"),
        "{}",
        run.err
    );
    let run = host.run("user set daemon --methods command,app").expect(0);
    assert!(run.err.contains("[courier.command] run"), "{}", run.err);
    host.deliver();
    for line in [
        "user add bin --email b@example.com --method email",
        "user set daemon --methods email,app",
    ] {
        let run = host.run(line).expect(0);
        assert!(!run.err.contains("does not count on"), "{}", run.err);
    }
}

#[test]
fn approval_and_suspension_are_told_and_change_nothing_twice() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let suspended = host
        .run("--json user suspend daemon --reason on_leave")
        .expect(0)
        .json();
    assert_eq!(suspended["user"]["suspended"], "on leave");
    assert!(
        host.run("user show daemon")
            .out
            .contains("suspended: on leave")
    );
    assert_eq!(
        host.run("--json user suspend daemon --reason on_leave")
            .json()["changed"],
        false
    );
    assert!(
        host.run("user approve daemon")
            .expect(0)
            .out
            .contains("Still suspended")
    );
    assert_eq!(
        host.run("--json user resume daemon").expect(0).json()["changed"],
        true
    );
    assert_eq!(
        host.run("--json user resume daemon").expect(0).json()["changed"],
        false
    );
    host.run("user suspend daemon").expect(2);
    for verb in ["approve", "resume", "unlock", "show", "remove --yes"] {
        host.run(&format!("user {verb} nobody-here")).expect(3);
    }
}

#[test]
fn a_record_that_is_not_approved_can_be_approved() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    let path = host.path("store/users/daemon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("approved = true", "approved = false")).unwrap();
    assert!(host.run("user list").expect(0).out.contains("not approved"));
    host.run("user approve daemon").expect(0);
    assert!(!host.run("user list").expect(0).out.contains("not approved"));
}

#[test]
fn unlocking_clears_failures_locks_and_disabling() {
    needs_root!();
    let host = Host::new();
    for name in ["daemon", "bin", "sys"] {
        host.run(&format!("user add {name}")).expect(0);
    }
    for name in ["daemon", "bin"] {
        host.change_state(name, |state| {
            state.codes.in_row = 100;
            state.codes.disabled = true;
        });
    }
    let shown = host.run("user show daemon").expect(0).out;
    assert!(shown.contains("100 in a row, disabled until"), "{shown}");
    assert_eq!(
        host.run("--json user show daemon").json()["state"]["standing"],
        "disabled"
    );
    assert_eq!(
        host.run("--json user unlock daemon").expect(0).json()["changed"],
        true
    );
    assert_eq!(
        host.run("--json user unlock daemon").expect(0).json()["changed"],
        false
    );
    assert_eq!(
        host.run("--json user show daemon").json()["state"]["standing"],
        "open"
    );
    assert_eq!(
        host.run("--json user unlock --all").expect(0).json()["users"],
        json!(["bin"])
    );
    host.run("user unlock").expect(2);
    host.run("user unlock daemon --all").expect(2);
}

#[test]
fn removing_asks_and_leaves_nothing_behind() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let run = host.run("user remove daemon").expect(1);
    assert!(run.err.contains("--yes"), "{}", run.err);
    let mut terminal = host.terminal("user remove daemon");
    terminal.answer("[y/N] ", "n\n");
    let refused = terminal.end().expect(1);
    assert!(
        refused.out.contains("nothing was changed"),
        "{}",
        refused.out
    );
    let mut terminal = host.terminal("user remove daemon");
    terminal.answer("[y/N] ", "y\n");
    assert!(terminal.end().expect(0).out.contains("Removed daemon"));
    assert!(
        !host.path("store/users/daemon.toml").exists() && !host.path("store/state/daemon").exists()
    );
    host.run("user remove daemon --yes").expect(3);
}

#[test]
fn removing_does_not_open_the_door_unless_that_is_meant() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.configure("without_record = \"deny\"", "without_record = \"skip\"");
    let run = host.run("user remove daemon --yes").expect(1);
    assert!(
        run.err.contains("without a code") && run.err.contains("suspend"),
        "{}",
        run.err
    );
    host.run("user remove daemon --yes --allow-bypass")
        .expect(0);
}

#[test]
fn a_removal_that_was_interrupted_can_be_finished() {
    needs_root!();
    let host = Host::enrolled("root");
    let (record, state) = (
        host.path("store/users/root.toml"),
        host.path("store/state/root"),
    );
    let half = host.path("store/users/%new-root");
    std::fs::rename(&record, &half).unwrap();
    host.run("user remove root --yes").expect(0);
    assert!(!half.exists() && !state.exists());
    host.run("user remove root --yes").expect(3);
}

#[test]
fn a_damaged_record_is_named_in_the_list_and_can_be_removed() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    host.run("user add bin").expect(0);
    std::fs::write(
        host.path("store/users/bin.toml"),
        "version = 1\nhello = 1\n",
    )
    .unwrap();
    let run = host.run("user list").expect(4);
    assert!(
        run.out.contains("daemon") && run.out.contains("unreadable"),
        "{}",
        run.out
    );
    assert!(run.err.contains("bin.toml:2:1: unknown key"), "{}", run.err);
    let users = host.run("--json user list").expect(4).json()["users"].clone();
    assert!(
        users[0]["error"].is_string() && users[1]["user"] == "daemon",
        "{users}"
    );
    host.run("user show bin").expect(4);
    host.run("user remove bin --yes").expect(0);
    host.run("user list").expect(0);
}

#[test]
fn a_record_of_a_newer_release_is_never_written() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon").expect(0);
    host.configure("ignore_unknown = []", "ignore_unknown = [\"colour\"]");
    let path = host.path("store/users/daemon.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("approved", "colour = 1\napproved")).unwrap();
    let before = host.snapshot();
    host.run("user suspend daemon --reason x").expect(4);
    assert_eq!(host.snapshot(), before);
}

#[test]
fn show_and_list_are_pleasant_at_80_columns() {
    needs_root!();
    let host = Host::enrolled("daemon");
    host.run(
        "user set daemon --email a.rather.long.address.of.somebody@mail.department.example.com",
    )
    .expect(0);
    host.run("device assign daemon any").expect(0);
    host.run("user suspend daemon --reason a_reason_that_goes_on_and_on_until_it_does_not_fit_a_line_of_eighty_columns_any_more").expect(0);
    let long = "x".repeat(100);
    host.run(&format!("user add {long}")).expect(0);
    let shown = host.run("user show daemon").expect(0).out;
    assert_fits(&shown);
    assert!(
        shown.contains("(this host)") && shown.contains("never used") && !shown.contains("sealed")
    );
    let list = host.run("user list").expect(0).out;
    assert_fits(&list);
    assert!(
        list.lines().all(|line| line.chars().count() <= 80),
        "{list}"
    );
}

#[test]
fn json_of_records_holds_no_sealed_secret() {
    needs_root!();
    let host = Host::enrolled("daemon");
    for line in [
        "--json user show daemon",
        "--json user list",
        "--json app list daemon",
    ] {
        assert!(!host.run(line).expect(0).out.contains("sealed:"), "{line}");
    }
}

#[test]
fn a_label_names_one_host() {
    needs_root!();
    let host = Host::new();
    host.run("user add daemon --device this --device any --label x")
        .expect(2);
    host.run("user add daemon --device any --label everywhere")
        .expect(0);
    assert!(host.run("device list daemon").out.contains("everywhere"));
    host.run("user add bin --device nonsense").expect(2);
}

#[test]
fn the_list_shows_tokens_and_who_is_let_in_without_a_code() {
    needs_root!();
    let host = Host::enrolled("daemon");
    let cells = || -> Vec<String> {
        let listed = host.run("user list").expect(0).out;
        assert_fits(&listed);
        let row = listed.lines().find(|line| line.starts_with("daemon"));
        row.unwrap().split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(cells(), ["daemon", "approved", "app", "1", "0", "1", "yes"]);
    host.feed(
        "token add daemon --hotp --no-confirm",
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    )
    .expect(0);
    host.run("bypass grant daemon --for 1h --reason phone")
        .expect(0);
    assert_eq!(cells()[1..5], ["bypass", "app,token", "1", "1"]);
    host.run("user suspend daemon --reason x").expect(0);
    assert_eq!(cells()[1], "suspended");
}
