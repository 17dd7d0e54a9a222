//! A login that is killed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail at once, and live in real time"
)]

use std::time::Duration;

use mfa_tests::on_a_bare_host;
use mfa_tests::pam_host::{PamHost, SUCCESS, login_script};

#[test]
fn killed_at_any_moment_a_login_costs_the_next_one_nothing() {
    on_a_bare_host(|_| {
        let host = PamHost::with_config(
            "[prompt]\ntries = 1\n[throttle]\nmax_failures = 1000\n[lockout]\nafter = 1000\n",
        );
        let app = host.enroll("alice");
        let wrong = app.wrong_code();
        let (mut killed, mut ended) = (0, 0);
        for number in 0..400 {
            if number % 50 == 0 {
                // Long before the 100 failures that disable her.
                host.admin(&["user", "unlock", "alice"]).expect_success();
            }
            // From before the first prompt to after the last line: a login takes about 3 ms here, its start another 3.
            let time = Duration::from_micros(1500 + number * 20);
            let answers = [if number % 4 == 3 {
                app.code_of(app.step())
            } else {
                wrong.clone()
            }];
            let seen = host
                .player()
                .killed_after(time)
                .play(&login_script("alice", &answers));
            if seen.code.is_none() {
                killed += 1;
            } else {
                ended += 1;
            }
        }
        assert!(
            killed > 20 && ended > 20,
            "the moments lie around a login: {killed} killed, {ended} ended"
        );
        assert_eq!(
            host.stored_files(),
            ["state/alice", "users/alice.toml"],
            "no file is left over"
        );
        let seen = host.login("alice", &[app.code_of(app.step() + 1)]);
        assert_eq!(seen.result(), SUCCESS, "{seen}");
    });
}
