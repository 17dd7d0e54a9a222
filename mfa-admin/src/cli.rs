//! The command line.

mod bypass;
mod emergency;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use mfa_core::device::{AssignedDevice, DeviceId};
use mfa_core::record::{Algorithm, Digits, EmailAddress, Label, Method, Period};

pub(crate) use bypass::BypassCommand;
pub(crate) use emergency::{EmergencyArgs, EmergencyCommand};

/// Longer than any name that the store could keep.
const MAX_NAME: usize = 256;

/// Bytes of a credential's name; room is left for what stands before it while it is written.
const MAX_CREDENTIAL_NAME: usize = 100;

/// More often nobody presses a button.
const MAX_COUNTER: u64 = u32::MAX as u64;

/// Under which options stand that every verb knows.
const GLOBAL: &str = "Options of every command";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mfa-admin",
    version,
    about = "Manages the users, secrets and devices of pam_mfa, and finds out why\nsomebody can or can't log in",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// The configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = mfa_core::config::DEFAULT_PATH,
        help_heading = GLOBAL
    )]
    pub(crate) config: PathBuf,
    /// Answer with one JSON document
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Don't say that it was done
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs, by noun.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make folders, sealing key, configuration and user, where missing
    Init(InitArgs),
    /// The configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Check this host: a line for each thing that was looked at
    Doctor(DoctorArgs),
    /// Tell what would happen at a login, step by step, and why
    Explain(ExplainArgs),
    /// Who may log in
    #[command(subcommand, arg_required_else_help = true)]
    User(UserCommand),
    /// Authenticator apps
    #[command(subcommand, arg_required_else_help = true)]
    App(AppCommand),
    /// Hardware tokens
    #[command(subcommand, arg_required_else_help = true)]
    Token(TokenCommand),
    /// Hosts that users may log in on
    #[command(subcommand, arg_required_else_help = true)]
    Device(DeviceCommand),
    /// What logins leave behind: used codes, failures, locks
    #[command(subcommand, arg_required_else_help = true)]
    State(StateCommand),
    /// Recovery codes
    #[command(subcommand, arg_required_else_help = true)]
    Recovery(RecoveryCommand),
    /// Passphrases, where a service asks for one before the code
    #[command(subcommand, arg_required_else_help = true)]
    Passphrase(PassphraseCommand),
    /// Codes, for scripts
    #[command(subcommand, arg_required_else_help = true)]
    Code(CodeCommand),
    /// Passwords and tokens of the courier
    #[command(subcommand, arg_required_else_help = true)]
    Credential(CredentialCommand),
    /// Trial messages, and notices that wait
    #[command(subcommand, arg_required_else_help = true)]
    Notify(NotifyCommand),
    /// The key that seals the secrets
    #[command(subcommand, arg_required_else_help = true)]
    Seal(SealCommand),
    /// The code for the day when this host can check nobody
    #[command(subcommand, arg_required_else_help = true)]
    Emergency(EmergencyCommand),
    /// Logins without a code, for a time
    #[command(subcommand, arg_required_else_help = true)]
    Bypass(BypassCommand),
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Leave the courier's user alone
    #[arg(long)]
    pub(crate) no_user: bool,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file before it goes to a host: what is wrong, and where
    Check {
        /// Another file than the one of --config; - for standard input
        file: Option<PathBuf>,
    },
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Send a trial message to a user, too
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) send_test: Option<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Who logs in
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// With which PAM service
    #[arg(long, default_value = "sshd", value_parser = name)]
    pub(crate) service: String,
    /// From where
    #[arg(long, value_name = "ADDR", value_parser = name)]
    pub(crate) from: Option<String>,
    /// On another host than this one
    #[arg(long, value_name = "ID", value_parser = device_id)]
    pub(crate) device: Option<DeviceId>,
}

/// `user`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Approve somebody, for this host unless told otherwise
    Add(UserAddArgs),
    /// Change address or methods
    Set(UserSetArgs),
    /// List everybody
    List,
    /// Show what is decided about a user, and what logins left behind
    Show(NameArgs),
    /// Put a user back on the approved list
    Approve(NameArgs),
    /// Keep a user out, whatever else holds
    Suspend {
        /// Who
        #[arg(value_parser = name)]
        name: String,
        /// Why; for other administrators
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Lift a suspension
    Resume(NameArgs),
    /// Forget failures, lift locks
    #[command(group = ArgGroup::new("who").required(true))]
    Unlock {
        /// Who
        #[arg(group = "who", value_parser = name)]
        name: Option<String>,
        /// Everybody
        #[arg(long, group = "who")]
        all: bool,
    },
    /// Remove a user's record, apps and state
    Remove {
        /// Who
        #[arg(value_parser = name)]
        name: String,
        /// Even where that lets the user in without a code
        #[arg(long)]
        allow_bypass: bool,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// A user.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Who
    #[arg(value_parser = name)]
    pub(crate) name: String,
}

/// `user add`.
#[derive(Debug, Args)]
pub(crate) struct UserAddArgs {
    /// Who, as the system knows them
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// Where mail goes
    #[arg(long, value_name = "ADDR", value_parser = email)]
    pub(crate) email: Option<EmailAddress>,
    /// Telegram's id of the user
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub(crate) telegram: Option<i64>,
    /// app (default), email, telegram, command, token
    #[arg(long = "method", value_name = "M", value_parser = method)]
    pub(crate) methods: Vec<Method>,
    /// A host; ID is what `device id` prints there
    #[arg(long = "device", value_name = "this|any|ID", value_parser = device_choice)]
    pub(crate) devices: Vec<DeviceChoice>,
    /// What to call the host
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub(crate) label: Option<Label>,
}

/// `user set`.
#[derive(Debug, Args)]
#[command(
    override_usage = "mfa-admin user set <NAME> [OPTIONS]",
    group = ArgGroup::new("what").required(true).multiple(true)
)]
pub(crate) struct UserSetArgs {
    /// Who
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// Where mail goes; none: nowhere
    #[arg(long, group = "what", value_name = "ADDR|none", value_parser = email_or_none)]
    pub(crate) email: Option<OrNone<EmailAddress>>,
    /// Telegram's id of the user; none: none
    #[arg(long, group = "what", value_name = "ID|none", value_parser = telegram_or_none, allow_hyphen_values = true)]
    pub(crate) telegram: Option<OrNone<i64>>,
    /// What counts: app, email, telegram, command, token
    #[arg(long, group = "what", value_name = "M,M", value_parser = method, value_delimiter = ',')]
    pub(crate) methods: Vec<Method>,
}

/// A value, or that there is to be none.
#[derive(Clone, Debug)]
pub(crate) enum OrNone<T> {
    /// This one.
    Some(T),
    /// None.
    None,
}

/// A host, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The one that the command runs on.
    This,
    /// Any, or one by its id.
    Given(AssignedDevice),
}

/// `app`.
#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Show a new secret; keep it once a code from the app was right
    Enroll(EnrollArgs),
    /// List a user's apps
    List(NameArgs),
    /// Show an app's secret again
    Reveal {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
        /// How it is shown.
        #[command(flatten)]
        picture: PictureArgs,
    },
    /// Remove an app
    Remove {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Let no code of an app in, until it is enabled again
    Disable {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
    },
    /// Let codes of an app in again
    Enable {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
    },
}

/// `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Add a token; its secret comes from standard input
    Add(TokenAddArgs),
    /// List a user's tokens
    List(NameArgs),
    /// Bring a token back into step: two codes in a row from standard input
    Resync {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which, where there are several
        #[arg(value_parser = name)]
        label: Option<String>,
    },
    /// Remove a token
    Remove {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Let no code of a token in, until it is enabled again
    Disable {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
    },
    /// Let codes of a token in again
    Enable {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_parser = name)]
        label: String,
    },
}

/// `token add`.
#[derive(Debug, Args)]
pub(crate) struct TokenAddArgs {
    /// Whose
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// It counts presses of its button (HOTP, RFC 4226)
    #[arg(long, required = true)]
    pub(crate) hotp: bool,
    /// Where it stands [default: 0]
    #[arg(long, value_name = "N", value_parser = counter, allow_negative_numbers = true)]
    pub(crate) counter: Option<u64>,
    /// What to call the token
    #[arg(long, value_name = "TEXT", default_value = "token", value_parser = label)]
    pub(crate) label: Label,
    /// Digits of a code, 6 to 8
    #[arg(long, value_name = "N", default_value = "6", value_parser = digits)]
    pub(crate) digits: Digits,
    /// Take the secret from standard input, as is done anyway
    #[arg(long, value_name = "-", value_parser = standard_input, allow_hyphen_values = true)]
    pub(crate) secret: Option<()>,
    /// The secret is in hexadecimal, not in base32
    #[arg(long)]
    pub(crate) hex: bool,
    /// Take a code of the token from standard input, too
    #[arg(long, value_name = "-", value_parser = standard_input, allow_hyphen_values = true, conflicts_with = "no_confirm")]
    pub(crate) confirm: Option<()>,
    /// Keep the secret without a code from the token
    #[arg(long)]
    pub(crate) no_confirm: bool,
}

/// `app enroll`.
#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Whose
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// What to call the app
    #[arg(long, value_name = "TEXT", default_value = "phone", value_parser = label)]
    pub(crate) label: Label,
    /// SHA1, SHA256 or SHA512 [default: SHA1]
    #[arg(long, value_name = "A", default_value = "SHA1", hide_default_value = true, value_parser = algorithm)]
    pub(crate) algorithm: Algorithm,
    /// Digits of a code, 6 to 8
    #[arg(long, value_name = "N", default_value = "6", value_parser = digits)]
    pub(crate) digits: Digits,
    /// Seconds that a code is shown
    #[arg(long, value_name = "S", default_value = "30", value_parser = period)]
    pub(crate) period: Period,
    /// Take a secret in base32 from standard input
    #[arg(long, value_name = "-", value_parser = standard_input, allow_hyphen_values = true)]
    pub(crate) secret: Option<()>,
    /// How it is shown.
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    /// Take the app's code from standard input
    #[arg(long, value_name = "-", value_parser = standard_input, allow_hyphen_values = true, conflicts_with = "no_confirm")]
    pub(crate) confirm: Option<()>,
    /// Keep the secret without a code from the app
    #[arg(long)]
    pub(crate) no_confirm: bool,
}

/// How a secret is shown.
#[derive(Debug, Args)]
pub(crate) struct PictureArgs {
    /// How the QR code is drawn
    #[arg(
        long,
        value_enum,
        value_name = "utf8|ascii|none",
        hide_possible_values = true
    )]
    pub(crate) qr: Option<QrForm>,
    /// Write the QR code to a new file, .svg or .png
    #[arg(long, value_name = "FILE")]
    pub(crate) qr_file: Option<PathBuf>,
}

/// A QR code in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // what is said here would stand in the help
pub(crate) enum QrForm {
    Utf8,
    Ascii,
    None,
}

/// `device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Print this host's id
    Id {
        /// Derive it from a raw machine id instead
        #[arg(long, value_name = "HEX", value_parser = name)]
        machine_id: Option<String>,
    },
    /// Let a user log in on a host
    Assign {
        /// Who
        #[arg(value_parser = name)]
        name: String,
        /// this, any, or what `device id` prints there
        #[arg(value_name = "this|any|ID", value_parser = device_choice)]
        device: DeviceChoice,
        /// What to call the host
        #[arg(long, value_name = "TEXT", value_parser = label)]
        label: Option<Label>,
    },
    /// List the hosts that a user may log in on
    List(NameArgs),
    /// Take a user off a host
    Revoke {
        /// Who
        #[arg(value_parser = name)]
        name: String,
        /// Which
        #[arg(value_name = "ID|LABEL", value_parser = name)]
        device: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// `state`.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Print a user's login state as TOML
    Show(NameArgs),
    /// Make a user's login state anew, a damaged one too
    Reset {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Clear used codes from the future, after the clock was wrong
    SetClock(NameArgs),
}

/// `recovery`.
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Make ten new codes, show them once, void those from before
    Generate {
        /// For whom
        #[arg(value_parser = name)]
        name: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Show how many codes are left
    Status(NameArgs),
}

/// `passphrase`.
#[derive(Debug, Subcommand)]
pub(crate) enum PassphraseCommand {
    /// Set a passphrase, typed twice or from standard input
    Set {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Where the value does not belong.
        #[arg(value_name = "VALUE", hide = true, value_parser = standard_input, allow_hyphen_values = true)]
        value: Option<()>,
    },
    /// Show since when there is one, and what its hash costs
    Status(NameArgs),
    /// Remove it: services that ask for one refuse the user then
    Remove {
        /// Whose
        #[arg(value_parser = name)]
        name: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// `code`.
#[derive(Debug, Subcommand)]
pub(crate) enum CodeCommand {
    /// Have a code sent for `code verify`, in the place of one sent before
    Send {
        /// To whom
        #[arg(value_parser = name)]
        name: String,
        /// By this method [default: the first of the user's that sends]
        #[arg(long, value_name = "email|telegram|command", value_parser = channel)]
        channel: Option<Method>,
    },
    /// Check a code from standard input, counted like a login
    Verify(NameArgs),
}

/// `credential`.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Keep a password or token from standard input
    Set {
        /// Its file: smtp-password, telegram-token, or as mfa.toml has it
        #[arg(value_parser = credential)]
        name: String,
        /// Where the value does not belong.
        #[arg(value_name = "VALUE", hide = true, value_parser = standard_input, allow_hyphen_values = true)]
        value: Option<()>,
    },
}

/// `notify`.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Send a trial message to a user now
    Test(NameArgs),
    /// Show what waits for delivery, and what was given up
    Queue,
    /// Deliver what waits, now
    Drain,
}

/// `seal`.
#[derive(Debug, Subcommand)]
pub(crate) enum SealCommand {
    /// Show which key seals, where it is kept, and what does not open
    Status,
    /// Make a new key and seal everything anew; logins go on meanwhile
    Rotate,
    /// Keep the key as a systemd credential of this host
    Bind {
        /// Don't ask before the plain file is removed
        #[arg(long)]
        yes: bool,
    },
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} bytes"));
    }
    Ok(text.to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err("write a reason of 1 to 200 characters, in one line".to_owned());
    }
    Ok(text.to_owned())
}

fn label(text: &str) -> Result<Label, String> {
    Label::parse(text)
}

fn email(text: &str) -> Result<EmailAddress, String> {
    EmailAddress::parse(text)
}

fn email_or_none(text: &str) -> Result<OrNone<EmailAddress>, String> {
    if text == "none" {
        Ok(OrNone::None)
    } else {
        email(text).map(OrNone::Some)
    }
}

fn telegram_or_none(text: &str) -> Result<OrNone<i64>, String> {
    if text == "none" {
        return Ok(OrNone::None);
    }
    text.parse()
        .map(OrNone::Some)
        .map_err(|_| "write a whole number, or none".to_owned())
}

fn method(text: &str) -> Result<Method, String> {
    Method::parse(text).ok_or_else(|| "write app, email, telegram, command or token".to_owned())
}

/// A method by which codes are sent.
fn channel(text: &str) -> Result<Method, String> {
    Method::parse(text)
        .filter(|method| method.is_sent())
        .ok_or_else(|| "write email, telegram or command".to_owned())
}

/// Name of a file, and of no hidden one.
fn credential(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && text.len() <= MAX_CREDENTIAL_NAME
        && !text.starts_with(['.', '-'])
        && !text.contains('/')
        && !text.chars().any(char::is_control);
    if is_name {
        return Ok(text.to_owned());
    }
    Err("write the name of a file, like smtp-password: no / in it, no dot at the front".to_owned())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::parse(text).ok_or_else(|| "write SHA1, SHA256 or SHA512".to_owned())
}

fn digits(text: &str) -> Result<Digits, String> {
    text.parse::<u8>()
        .map_err(|_| "write 6, 7 or 8".to_owned())
        .and_then(Digits::parse)
}

fn counter(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|counter| *counter <= MAX_COUNTER)
        .ok_or_else(|| format!("write a whole number from 0 to {MAX_COUNTER}"))
}

fn period(text: &str) -> Result<Period, String> {
    let seconds = text
        .parse::<u16>()
        .map_err(|_| "write 10 to 300, usually 30".to_owned())?;
    Period::parse(seconds)
}

fn device_id(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text)
        .ok_or_else(|| "write the 32 digits that `mfa-admin device id` prints there".to_owned())
}

fn device_choice(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "this" => Ok(DeviceChoice::This),
        "any" | "*" => Ok(DeviceChoice::Given(AssignedDevice::Any)),
        _ => DeviceId::parse(text)
            .map(|id| DeviceChoice::Given(AssignedDevice::One(id)))
            .ok_or_else(|| {
                "write this, any, or the 32 digits that `mfa-admin device id` prints there"
                    .to_owned()
            }),
    }
}

/// Secrets and codes are never taken from the command line, where every user of the host can read them.
fn standard_input(text: &str) -> Result<(), String> {
    if text == "-" {
        return Ok(());
    }
    Err(
        "write -, and give it on standard input: everybody on this host can read a command line"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_work_anywhere_on_the_line() {
        for line in [
            "mfa-admin --json --config /x user show alice",
            "mfa-admin user --json show --config /x alice",
            "mfa-admin user show alice --config=/x --json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(
                cli.json && cli.config == std::path::Path::new("/x"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_credential_has_the_name_of_a_file_in_its_folder() {
        for name in ["smtp-password", "telegram-token", "x", "a b", "relay.2"] {
            assert!(credential(name).is_ok(), "{name}");
        }
        let long = "x".repeat(101);
        for name in [
            "", ".", "..", ".x", "../x", "a/b", "/x", "-x", "a\nb", &long,
        ] {
            assert!(credential(name).is_err(), "{name:?}");
        }
        assert!(channel("email").is_ok() && channel("app").is_err() && channel("sms").is_err());
    }

    #[test]
    fn names_and_reasons_are_cut_at_sane_sizes() {
        assert!(name(&"a".repeat(257)).is_err() && name("").is_err());
        assert!(reason("a\nb").is_err() && reason(" ").is_err() && reason(" left ").is_ok());
        assert!(method("sms").is_err() && digits("9").is_err() && period("5").is_err());
    }
}
