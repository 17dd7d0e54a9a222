//! The six hooks: read the items, ask `mfa_core`, answer in PAM's codes.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use mfa_core::audit::{
    AuditLog, AuditTrail, Entry, Event, Severity, debug_line, unknown_argument_line,
};
use mfa_core::clock::SystemClock;
use mfa_core::config::Config;
use mfa_core::courier::Process;
use mfa_core::emergency;
use mfa_core::hex;
use mfa_core::host::{self, Host, HostError};
use mfa_core::login::{
    self, AccountOutcome, BreakGlass, ChangeOutcome, LoginOutcome, Ports, Prompt, PromptError,
    SessionPorts, Setting,
};
use mfa_core::otp::TypedAnswer;
use mfa_core::passphrase::{Judge, PassphraseHash};
use mfa_core::policy;
use mfa_core::request::{Caller, LoginRequest, RemoteHost, find_account};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::Owner;
use mfa_core::store::Store;
use pam::constants::PamResultCode;

use crate::args::ModuleArgs;
use crate::ffi::{Pam, Phase};
use crate::guard;

/// Names the attempt for the hooks that follow, and for whoever reads the session's environment. It is
/// for reading only: nothing is decided by it.
const LOGIN_VARIABLE: &CStr = c"MFA_LOGIN";
/// How many lines of that attempt have been written.
const LINES_VARIABLE: &CStr = c"MFA_LOGIN_SEQ";
/// What the user got in with, for the notice of the login: a method, and the label of an app behind a blank.
const METHOD_VARIABLE: &CStr = c"MFA_LOGIN_METHOD";
/// What a wrong emergency code costs, microseconds: the default of `[prompt] fail_delay`, which may be what can't be
/// read.
const EMERGENCY_DELAY: u32 = 2_000_000;

pub(crate) fn authenticate(pam: &mut Pam<'_>, args: &[&CStr]) -> PamResultCode {
    run(
        "authenticate",
        pam,
        args,
        PamResultCode::PAM_ABORT,
        |visit| auth_code(visit.authenticate()),
    )
}

pub(crate) fn acct_mgmt(pam: &mut Pam<'_>, args: &[&CStr]) -> PamResultCode {
    run("acct_mgmt", pam, args, PamResultCode::PAM_ABORT, |visit| {
        account_code(visit.check_account())
    })
}

pub(crate) fn setcred(pam: &mut Pam<'_>, args: &[&CStr]) -> PamResultCode {
    run("setcred", pam, args, PamResultCode::PAM_SUCCESS, |_| {
        PamResultCode::PAM_SUCCESS
    })
}

pub(crate) fn open_session(pam: &mut Pam<'_>, args: &[&CStr]) -> PamResultCode {
    run(
        "open_session",
        pam,
        args,
        PamResultCode::PAM_SUCCESS,
        |visit| {
            visit.open_session();
            PamResultCode::PAM_SUCCESS
        },
    )
}

pub(crate) fn close_session(pam: &mut Pam<'_>, args: &[&CStr]) -> PamResultCode {
    run(
        "close_session",
        pam,
        args,
        PamResultCode::PAM_SUCCESS,
        |_| PamResultCode::PAM_SUCCESS,
    )
}

pub(crate) fn chauthtok(pam: &mut Pam<'_>, args: &[&CStr], phase: Phase) -> PamResultCode {
    let hook: fn(&mut Visit<'_, '_>) -> PamResultCode = match phase {
        Phase::Preliminary => |visit| match visit.ask_for_present_passphrase() {
            Ok(outcome) => outcome.map_or_else(change_code, |()| PamResultCode::PAM_SUCCESS),
            Err(_) => PamResultCode::PAM_TRY_AGAIN,
        },
        Phase::Update => |visit| change_code(visit.change_passphrase()),
        Phase::Expired => |_| PamResultCode::PAM_IGNORE,
        Phase::Unknown => |_| PamResultCode::PAM_ABORT,
    };
    let args_say = args.iter().any(|word| word.to_bytes() == b"passphrase");
    let hook = if args_say {
        hook
    } else {
        |_: &mut Visit<'_, '_>| PamResultCode::PAM_IGNORE
    };
    run("chauthtok", pam, args, PamResultCode::PAM_ABORT, hook)
}

fn change_code(outcome: ChangeOutcome) -> PamResultCode {
    match outcome {
        ChangeOutcome::Changed => PamResultCode::PAM_SUCCESS,
        ChangeOutcome::Refused => PamResultCode::PAM_AUTH_ERR,
        ChangeOutcome::NotTaken | ChangeOutcome::Unavailable => PamResultCode::PAM_AUTHTOK_ERR,
        ChangeOutcome::ConversationFailed => PamResultCode::PAM_CONV_ERR,
        ChangeOutcome::Busy => PamResultCode::PAM_AUTHTOK_LOCK_BUSY,
    }
}

fn auth_code(outcome: LoginOutcome) -> PamResultCode {
    match outcome {
        LoginOutcome::Accepted => PamResultCode::PAM_SUCCESS,
        LoginOutcome::Skipped => PamResultCode::PAM_IGNORE,
        LoginOutcome::Refused => PamResultCode::PAM_AUTH_ERR,
        LoginOutcome::ConversationFailed => PamResultCode::PAM_CONV_ERR,
        LoginOutcome::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
    }
}

fn account_code(outcome: AccountOutcome) -> PamResultCode {
    match outcome {
        AccountOutcome::Accepted => PamResultCode::PAM_SUCCESS,
        AccountOutcome::Skipped => PamResultCode::PAM_IGNORE,
        AccountOutcome::Refused => PamResultCode::PAM_PERM_DENIED,
        AccountOutcome::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
    }
}

/// Runs a hook behind the guard; `on_panic` is what it answers where it panics.
fn run(
    name: &str,
    pam: &mut Pam<'_>,
    args: &[&CStr],
    on_panic: PamResultCode,
    hook: fn(&mut Visit<'_, '_>) -> PamResultCode,
) -> PamResultCode {
    let args = args.iter().map(|word| word.to_string_lossy().into_owned());
    let result = guard::catch(|| {
        let args = ModuleArgs::parse(args);
        for argument in &args.unknown {
            pam.syslog(Severity::Error, &unknown_argument_line(argument));
        }
        #[cfg(feature = "panic-injection")]
        #[allow(clippy::panic, clippy::manual_assert)]
        if args.panic.as_deref() == Some(name) {
            panic!("injected into {name}");
        }
        let code = hook(&mut Visit { pam, args: &args });
        if args.debug {
            let conf = args.conf.display().to_string();
            let text = debug_line(name, &conf, &format!("{code:?}"));
            pam.syslog(Severity::Debug, &text);
        }
        code
    });
    result.unwrap_or_else(|message| {
        // What failed can fail again here: behind a guard of its own.
        let _ = guard::catch(|| {
            let request = request_of(pam, &ModuleArgs::parse([].into_iter()));
            let mut trail = resumed_trail(pam, &request);
            let message = format!("{name}: {message}");
            let entry = Entry {
                reason: Some("panic"),
                detail: Some(&message),
                ..Entry::default()
            };
            trail.log(&mut Log(pam), Event::Internal, &entry);
        });
        on_panic
    })
}

/// One call of a hook.
struct Visit<'a, 'p> {
    pam: &'a mut Pam<'p>,
    args: &'a ModuleArgs,
}

/// Nobody can be checked; the line that says why has been written.
enum Unusable {
    /// It is this host: for that there is the emergency code.
    Host,
    /// It is the process, or the name service.
    Other,
}

impl Visit<'_, '_> {
    fn authenticate(&mut self) -> LoginOutcome {
        let mut request = request_of(self.pam, self.args);
        let mut trail = AuditTrail::new(&request, new_login_name(), 0);
        self.pam.forget_emergency();
        let mut glass = emergency::beside(&self.args.conf);
        let outcome = match self.login(&mut request, &mut trail, &mut glass) {
            Ok(LoginOutcome::Unavailable) | Err(Unusable::Host) => {
                self.break_glass(&mut request, &mut trail, &glass)
            }
            Ok(outcome) => outcome,
            Err(Unusable::Other) => LoginOutcome::Unavailable,
        };
        self.leave_trail(&trail);
        outcome
    }

    /// Asks for the emergency code, where that is asked for.
    fn break_glass(
        &mut self,
        request: &mut LoginRequest,
        trail: &mut AuditTrail,
        path: &Path,
    ) -> LoginOutcome {
        let glass = match BreakGlass::find(path, Owner::ROOT, request) {
            Ok(Some(glass)) => glass,
            Ok(None) => return LoginOutcome::Unavailable,
            Err(error) => {
                log_host_error(self.pam, trail, &error);
                return LoginOutcome::Unavailable;
            }
        };
        name_account(request, trail);
        self.pam.fail_delay(EMERGENCY_DELAY);
        let mut prompt = Conversation {
            user: self.pam.current_user(),
            pam: self.pam,
            emergency: None,
        };
        let log = (&mut Log(self.pam) as &mut dyn AuditLog, trail);
        let outcome = glass.ask(request, &mut prompt, &SystemClock::new(), log);
        if outcome == LoginOutcome::Accepted && !self.pam.note_emergency() {
            // The account phase would refuse.
            return LoginOutcome::Unavailable;
        }
        outcome
    }

    fn login(
        &mut self,
        request: &mut LoginRequest,
        trail: &mut AuditTrail,
        glass: &mut PathBuf,
    ) -> Result<LoginOutcome, Unusable> {
        let config = self.config(request, trail)?;
        config.paths.emergency.as_path().clone_into(glass);
        let host = self.host(config, request, trail)?;
        let key = host
            .prepare_login(Owner::ROOT)
            .map_err(|error| log_host_error(self.pam, trail, &error))?;
        self.delay_refusals(&host.config);
        let setting = Setting::of(&host, &key);
        let mut courier = Process::new(&host.config, &self.args.conf, Owner::ROOT);
        let mut ports = Ports {
            prompt: &mut Conversation {
                user: self.pam.current_user(),
                pam: self.pam,
                emergency: Some((request, glass)),
            },
            clock: &SystemClock::new(),
            store: &host.store,
            courier: &mut courier,
            audit: &mut Log(self.pam),
        };
        Ok(login::run(request, &setting, &mut ports, trail))
    }

    /// Asks who wants another passphrase for the present one, and notes by what it was right.
    fn ask_for_present_passphrase(&mut self) -> Result<Result<(), ChangeOutcome>, Unusable> {
        self.pam.take_present();
        let asked = self.change(|request, setting, ports, trail, _| {
            login::ask_for_present_passphrase(request, setting, ports, trail)
        })?;
        Ok(asked.and_then(|present: PassphraseHash| {
            let is_noted = self.pam.note_present(present);
            is_noted.then_some(()).ok_or(ChangeOutcome::Unavailable)
        }))
    }

    fn change_passphrase(&mut self) -> ChangeOutcome {
        // libpam comes here only when the present one was right; PAM_USER may have been changed since.
        let Some(present) = self.pam.take_present() else {
            return ChangeOutcome::Refused;
        };
        let changed = self.change(|request, setting, ports, trail, judge| {
            login::change_passphrase(request, setting, ports, trail, (&present, judge))
        });
        changed.unwrap_or(ChangeOutcome::Unavailable)
    }

    /// What a login and a change of the passphrase need of this host.
    fn prepare(
        &mut self,
        request: &mut LoginRequest,
        trail: &mut AuditTrail,
    ) -> Result<(Host, SealingKey), Unusable> {
        let config = self.config(request, trail)?;
        let host = self.host(config, request, trail)?;
        let key = host
            .prepare_login(Owner::ROOT)
            .map_err(|error| log_host_error(self.pam, trail, &error))?;
        Ok((host, key))
    }

    /// Plays one half of a change, in lines of the same login.
    fn change<T>(
        &mut self,
        half: impl FnOnce(
            &LoginRequest,
            &Setting<'_>,
            &mut Ports<'_>,
            &mut AuditTrail,
            &mut dyn Judge,
        ) -> T,
    ) -> Result<T, Unusable> {
        let mut request = request_of(self.pam, self.args);
        let mut trail = resumed_trail(self.pam, &request);
        let prepared = self.prepare(&mut request, &mut trail);
        let played = prepared.map(|(host, key)| {
            self.delay_refusals(&host.config);
            let setting = Setting::of(&host, &key);
            let mut courier = Process::new(&host.config, &self.args.conf, Owner::ROOT);
            let mut judge = Process::new(&host.config, &self.args.conf, Owner::ROOT);
            let mut ports = Ports {
                prompt: &mut Conversation {
                    user: self.pam.current_user(),
                    pam: self.pam,
                    emergency: None,
                },
                clock: &SystemClock::new(),
                store: &host.store,
                courier: &mut courier,
                audit: &mut Log(self.pam),
            };
            half(&request, &setting, &mut ports, &mut trail, &mut judge)
        });
        self.leave_trail(&trail);
        played
    }

    /// Has the host program wait after a refusal.
    fn delay_refusals(&mut self, config: &Config) {
        let delay = config.prompt.fail_delay.get();
        self.pam
            .fail_delay(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX));
    }

    fn check_account(&mut self) -> AccountOutcome {
        let mut request = request_of(self.pam, self.args);
        let mut trail = resumed_trail(self.pam, &request);
        let outcome = if self.pam.is_emergency() {
            self.account_in_emergency(&mut request, &mut trail)
        } else {
            self.account(&mut request, &mut trail)
                .unwrap_or(AccountOutcome::Unavailable)
        };
        self.leave_trail(&trail);
        outcome
    }

    fn account_in_emergency(
        &mut self,
        request: &mut LoginRequest,
        trail: &mut AuditTrail,
    ) -> AccountOutcome {
        let host = self
            .config(request, trail)
            .and_then(|config| self.host(config, request, trail))
            .ok();
        name_account(request, trail);
        let store = host.as_ref().map(|host| &host.store as &dyn Store);
        login::check_account_in_emergency(request, store, &mut Log(self.pam), trail)
    }

    fn account(
        &mut self,
        request: &mut LoginRequest,
        trail: &mut AuditTrail,
    ) -> Result<AccountOutcome, Unusable> {
        let config = self.config(request, trail)?;
        if let Some(passed) = login::pass_by_account(request, &config, &mut Log(self.pam), trail) {
            return Ok(passed);
        }
        let host = self.host(config, request, trail)?;
        let mut courier = Process::new(&host.config, &self.args.conf, Owner::ROOT);
        let mut ports = SessionPorts {
            clock: &SystemClock::new(),
            store: &host.store,
            courier: &mut courier,
            audit: &mut Log(self.pam),
        };
        let here = (&host.config, host.channels, host.device);
        Ok(login::check_account(request, here, &mut ports, trail))
    }

    /// Writes the line of a session, with as much as this host can tell, and has the user told: the session is
    /// opened in any case.
    fn open_session(&mut self) {
        let mut request = request_of(self.pam, self.args);
        let mut trail = resumed_trail(self.pam, &request);
        if self.pam.is_emergency() {
            name_account(&mut request, &mut trail);
            trail.user_is_known();
        }
        if let Ok(config) = self.config(&request, &mut trail) {
            if policy::is_service_left_alone(&config, &request) {
                return;
            }
            if let Ok(host) = self.host(config, &mut request, &mut trail) {
                let mut courier = Process::new(&host.config, &self.args.conf, Owner::ROOT);
                let mut ports = SessionPorts {
                    clock: &SystemClock::new(),
                    store: &host.store,
                    courier: &mut courier,
                    audit: &mut Log(self.pam),
                };
                let here = (&host.config, host.channels, host.device);
                login::open_session(&request, here, &mut ports, &mut trail);
                self.leave_trail(&trail);
                return;
            }
        }
        trail.log(&mut Log(self.pam), Event::SessionOpened, &Entry::default());
        self.leave_trail(&trail);
    }

    /// The configuration, once it is clear that this process may read it.
    fn config(
        &mut self,
        request: &LoginRequest,
        trail: &mut AuditTrail,
    ) -> Result<Config, Unusable> {
        if request.caller.euid != 0 {
            let detail = format!(
                "the program runs as uid {}, not as root",
                request.caller.euid
            );
            let entry = Entry {
                detail: Some(&detail),
                ..Entry::default()
            };
            trail.log(&mut Log(self.pam), Event::NotRoot, &entry);
            return Err(Unusable::Other);
        }
        host::load_config(&self.args.conf, Owner::ROOT)
            .map_err(|error| log_host_error(self.pam, trail, &error))
    }

    /// What the configuration points to, and the account that is asked for.
    fn host(
        &mut self,
        config: Config,
        request: &mut LoginRequest,
        trail: &mut AuditTrail,
    ) -> Result<Host, Unusable> {
        let host = Host::open(config, Owner::ROOT)
            .map_err(|error| log_host_error(self.pam, trail, &error))?;
        trail.on_device(host.device);
        match find_account(&request.asked_name) {
            Ok(account) => {
                request.account = account;
                trail.of_account(request.account.as_ref());
                Ok(host)
            }
            Err(errno) => {
                let entry = Entry {
                    detail: Some(errno.desc()),
                    ..Entry::default()
                };
                trail.log(&mut Log(self.pam), Event::NssUnusable, &entry);
                Err(Unusable::Other)
            }
        }
    }

    fn leave_trail(&mut self, trail: &AuditTrail) {
        for (name, value) in [
            (LOGIN_VARIABLE, trail.login()),
            (LINES_VARIABLE, &trail.lines().to_string()),
        ] {
            self.pam.set_variable(&name.to_string_lossy(), value);
        }
        if let Some((method, app)) = trail.used_method() {
            let name = METHOD_VARIABLE.to_string_lossy();
            self.pam
                .set_variable(&name, format!("{method} {app}").trim_end());
        }
    }
}

fn log_host_error(pam: &Pam<'_>, trail: &mut AuditTrail, error: &HostError) -> Unusable {
    let (event, severity) = error.event();
    let detail = error.to_string();
    let entry = Entry {
        detail: Some(&detail),
        ..Entry::default()
    };
    trail.log_at(&mut Log(pam), event, severity, &entry);
    Unusable::Host
}

/// Looks up whose name it is, for the lines of a login that ended before that.
fn name_account(request: &mut LoginRequest, trail: &mut AuditTrail) {
    if request.account.is_none() {
        request.account = find_account(&request.asked_name).ok().flatten();
        trail.of_account(request.account.as_ref());
    }
}

fn request_of(pam: &mut Pam<'_>, args: &ModuleArgs) -> LoginRequest {
    // A name that is not UTF-8 becomes one with U+FFFD, which nobody has.
    let asked_name = pam
        .user()
        .map(|name| String::from_utf8_lossy(&name).into_owned());
    let items = pam.items();
    LoginRequest {
        asked_name: asked_name.unwrap_or_default(),
        account: None,
        service: items.service,
        remote_host: items.remote_host.as_deref().and_then(RemoteHost::parse),
        tty: items.tty.filter(|tty| !tty.is_empty()),
        remote_user: items.remote_user,
        nullok: args.nullok,
        passphrase: args.passphrase,
        log_unknown_names: args.audit,
        caller: Caller::of_this_process(),
    }
}

/// The trail that an earlier hook has begun, in this process or in another one of the host program's, or
/// a new one.
fn resumed_trail(pam: &mut Pam<'_>, request: &LoginRequest) -> AuditTrail {
    let is_name =
        |name: &String| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match pam.variable(LOGIN_VARIABLE).filter(is_name) {
        Some(name) => {
            let lines = pam
                .variable(LINES_VARIABLE)
                .and_then(|lines| lines.parse().ok());
            let mut trail = AuditTrail::new(request, name, lines.unwrap_or(0));
            if let Some(used) = pam.variable(METHOD_VARIABLE) {
                let (method, app) = used.split_once(' ').unwrap_or((&used, ""));
                trail.got_in_by(method, app);
            }
            trail
        }
        None => AuditTrail::new(request, new_login_name(), 0),
    }
}

fn new_login_name() -> String {
    let mut bytes = [0; 6];
    // Without randomness the lines of several logins bear one name; logins themselves need none.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(&bytes)
}

struct Log<'a, 'p>(&'a Pam<'p>);

impl AuditLog for Log<'_, '_> {
    fn write(&mut self, severity: Severity, line: &str) {
        self.0.syslog(severity, line);
    }
}

struct Conversation<'a, 'p> {
    pam: &'a Pam<'p>,
    user: Option<Vec<u8>>,
    /// The login, and the break-glass file, where that can be what is asked for next.
    emergency: Option<(&'a LoginRequest, &'a Path)>,
}

impl Prompt for Conversation<'_, '_> {
    fn ask(&mut self, text: &str, echo: bool) -> Result<TypedAnswer, PromptError> {
        let answer = self.pam.ask(text, echo);
        if self.pam.current_user() != self.user {
            return Err(PromptError::UserChanged);
        }
        answer.ok_or(PromptError::Failed)
    }

    fn is_password(&mut self, answer: &TypedAnswer) -> bool {
        self.pam
            .password()
            .is_some_and(|password| answer.is_same_as(&password))
    }

    fn tell(&mut self, text: &str) {
        self.pam.tell(text);
    }

    fn can_break_glass(&mut self) -> bool {
        self.emergency.is_some_and(|(request, path)| {
            matches!(BreakGlass::find(path, Owner::ROOT, request), Ok(Some(_)))
        })
    }
}
