//! One worker's host for one scene, put back to the same beginning before every round.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use mfa_tests::Authenticator;
use mfa_tests::pam_host::{AUTH_ERR, CONV_ERR, PERM_DENIED, PamHost, RHOST, SUCCESS, Seen};
use serde_json::Value;

use crate::codes::Codes;
use crate::scenes::Scene;

/// Who logs in.
pub(crate) const USER: &str = "alice";

/// A host where the scene is about to begin.
pub(crate) struct Stage<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) host: PamHost,
    pub(crate) codes: Codes,
    /// Where strace lists what it saw.
    pub(crate) list: PathBuf,
    /// Record and state of somebody who has just been enrolled.
    enrolled: Files,
    /// The same as the scene begins with.
    beginning: Files,
    /// What the scene's preparation handed out: a code that was sent.
    handed_out: String,
}

/// What a login may change, and a scene's preparation: a user's two files, and two of the host's; none where it is not
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files([(&'static str, Option<Vec<u8>>); 4]);

impl Files {
    fn of(host: &PamHost) -> Self {
        let names = [
            "lib/users/alice.toml",
            "lib/state/alice",
            "mfa.toml",
            "emergency.toml",
        ];
        Self(names.map(|name| (name, fs::read(host.path(name)).ok())))
    }

    fn put(&self, host: &PamHost) {
        for (name, bytes) in &self.0 {
            put_file(&host.path(name), bytes.as_deref());
        }
    }
}

/// Makes a file hold this, without a new one where there is one; or removes it.
pub(crate) fn put_file(path: &Path, bytes: Option<&[u8]>) {
    use std::os::unix::fs::PermissionsExt;
    match bytes {
        None => drop(fs::remove_file(path)),
        Some(bytes) => {
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A host with somebody enrolled, of which the workers get copies.
pub(crate) fn enrolled_host(scene: &Scene) -> (PamHost, Authenticator) {
    mfa_tests::install_courier();
    let folder = new_folder(scene);
    let host = PamHost::below(&folder, &scene.tables(&folder));
    let app = host.enroll(USER);
    let address = format!("{USER}@example.com");
    host.admin(&[
        "user",
        "set",
        USER,
        "--email",
        &address,
        "--methods",
        "app,email",
    ])
    .expect_success();
    clear(&host);
    (host, app)
}

fn new_folder(scene: &Scene) -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    format!(
        "/run/{}-{}",
        scene.key,
        MADE.fetch_add(1, Ordering::Relaxed)
    )
}

impl<'a> Stage<'a> {
    /// A copy of the enrolled host for one worker.
    pub(crate) fn new(scene: &'a Scene, enrolled: &PamHost, app: &Authenticator) -> Self {
        let folder = new_folder(scene);
        let host = enrolled.copy_below(&folder, &scene.tables(&folder));
        let files = Files::of(&host);
        let mut stage = Self {
            scene,
            codes: Codes::of(app),
            list: PathBuf::from(format!("{folder}.strace")),
            enrolled: files.clone(),
            beginning: files,
            handed_out: String::new(),
            host,
        };
        stage.prepare();
        stage
    }

    fn prepare(&mut self) {
        clear(&self.host);
        self.enrolled.put(&self.host);
        self.handed_out = (self.scene.prepare)(&self.host, &mut self.codes);
        self.beginning = Files::of(&self.host);
        clear(&self.host);
    }

    /// Everything as it was at the beginning; what depends on the time is made anew where that has gone on.
    pub(crate) fn begin(&mut self) {
        if self.codes.turn() {
            self.prepare();
        }
        clear(&self.host);
        self.beginning.put(&self.host);
    }

    /// Record and state as after the enrolment.
    pub(crate) fn lift_the_curtain(&self) {
        self.enrolled.put(&self.host);
    }

    /// What the person types.
    pub(crate) fn answers(&mut self) -> Vec<String> {
        (self.scene.answers)(&mut self.codes, &self.handed_out)
    }

    /// The script with these answers.
    pub(crate) fn script(&self, answers: &[String], hooks: &[&str]) -> String {
        let mut script = format!("user {}\n{}", self.scene.user, self.scene.from);
        for answer in answers {
            writeln!(script, "answer {answer}").unwrap();
        }
        for hook in hooks {
            writeln!(script, "{hook}").unwrap();
        }
        script
    }

    /// The user tries codes, one login each, without any fault; whether each was let in.
    pub(crate) fn try_codes(&self, codes: &[&str]) -> (Seen, Vec<bool>) {
        let logins = codes
            .iter()
            .map(|code| format!("answer text {code}\nauthenticate\n"));
        let script = format!(
            "user {USER}\nset rhost {RHOST}\n{}",
            logins.collect::<String>()
        );
        let seen = self.host.play(&script);
        let results = seen.results().into_iter().map(|result| match result {
            SUCCESS => true,
            // Where more than one code may be tried, nobody answers the second prompt.
            AUTH_ERR | CONV_ERR => false,
            // Where nobody is asked, it is for others in the stack to let in.
            PERM_DENIED if seen.prompts().is_empty() => false,
            _ => panic!("no answer of a host without faults\n{seen}"),
        });
        let results = results.collect();
        (seen, results)
    }

    /// What the user's state says, whatever the time is.
    pub(crate) fn meaning(&self) -> Meaning {
        meaning(&self.host, self.codes.step)
    }
}

/// What a state says, without the times in it; and whether a code of this step is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) text: String,
    pub(crate) is_first_used: bool,
    /// What `mfa-admin` says besides: that a write was interrupted.
    pub(crate) warnings: String,
}

/// Reads a state through `mfa-admin`; steps are told from `step` on.
pub(crate) fn meaning(host: &PamHost, step: u64) -> Meaning {
    let shown = host
        .admin(&["state", "show", USER, "--json"])
        .expect_success();
    let document: Value = serde_json::from_str(&shown.stdout).unwrap();
    let warnings = document["warnings"].as_array().unwrap();
    let state = &document["state"];
    let (codes, sends) = (&state["codes"], &state["sends"]);
    let steps: Vec<_> = state["steps"]
        .as_array()
        .map(|steps| {
            steps
                .iter()
                .map(|used| used["step"].as_u64().unwrap())
                .collect()
        })
        .unwrap_or_default();
    let last = steps
        .iter()
        .map(|&used| i128::from(used) - i128::from(step));
    // `ID next=… used=…`: neither which, nor when it was used last.
    let tokens = state["tokens"].as_array().into_iter().flatten();
    let tokens = tokens.filter_map(|token| token.as_str()?.split(' ').nth(1));
    let text = format!(
        "{} failures in the window, {} in a row, locked {}, disabled {}; {} sends; a code was sent: {}; a success: {}; \
         steps {:?}; recovery codes: {} failures, used {}; passphrases: {} failures; bypassed {}; tokens {:?}",
        codes["in_window"],
        codes["in_row"],
        codes
            .get("locked_until")
            .is_some_and(|until| !until.is_null()),
        codes["disabled"],
        sends["in_window"],
        state.get("sent").is_some(),
        state.get("last_success").is_some(),
        last.collect::<Vec<_>>(),
        state["recovery"]["in_row"],
        state["used"]["places"],
        state["passphrase"]["in_row"],
        state["bypass"]["uses"],
        tokens.collect::<Vec<_>>()
    );
    Meaning {
        text,
        is_first_used: steps.iter().any(|&used| used >= step),
        warnings: warnings.iter().map(ToString::to_string).collect(),
    }
}

/// Removes what was delivered or waits for delivery.
fn clear(host: &PamHost) {
    for folder in [
        "spool/tmp",
        "spool/new",
        "spool/deferred",
        "spool/dead",
        "out",
    ] {
        for path in files_in(&host.path(folder)) {
            fs::remove_file(path).unwrap();
        }
    }
}

/// The files in a folder; none where there is no folder.
pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What the record is called until it is whole.
pub(crate) const HALF_A_RECORD: &str = "users/%new-alice";

/// Looks at what lies around after a login: nothing but the user's files, and whole notices. How many notices
/// were left half-made.
pub(crate) fn look_around(host: &PamHost, may_be_cut_short: bool) -> Result<usize, String> {
    let stored = host.stored_files();
    let expected = |name: &str| {
        ["state/alice", "users/alice.toml"].contains(&name)
            || may_be_cut_short && name == HALF_A_RECORD
    };
    let strangers: Vec<_> = stored.iter().filter(|name| !expected(name)).collect();
    if !strangers.is_empty() {
        return Err(format!("left over: {strangers:?}"));
    }
    for path in files_in(&host.path("spool/new")) {
        let text = fs::read_to_string(&path).unwrap();
        let whole: Result<BTreeMap<String, Value>, _> = serde_json::from_str(&text);
        whole.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(files_in(&host.path("spool/tmp")).len())
}

/// Has the courier clear away what somebody began to write two days ago and left.
pub(crate) fn sweep(host: &PamHost) -> Result<(), String> {
    for path in files_in(&host.path("spool/tmp")) {
        let status = Command::new("touch")
            .args(["-h", "-d", "2 days ago"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
    }
    host.admin(&["notify", "drain"]);
    let left = files_in(&host.path("spool/tmp"));
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("drain leaves {left:?}"))
    }
}
