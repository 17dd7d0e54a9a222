//! `mfa.toml`: what the administrator decides for a host. Every value is checked as it is read, the
//! keys of features that are still to come included, so that a mistake shows before a login needs it.

mod values;

use std::path::{Path, PathBuf};

pub use values::{AbsolutePath, Count, EmptyOrPath, Sender, Span};

use crate::document::node::{FromNode, Keys, Node, words};
use crate::document::{self, DocumentError, IgnoreUnknown, Wrong};
use crate::record::EmailAddress;

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/mfa/mfa.toml";

/// The key of a field: `for` is one, and a word of Rust.
const fn key_of(field: &'static str) -> &'static str {
    if let [b'r', b'#', key @ ..] = field.as_bytes()
        && let Ok(key) = std::str::from_utf8(key)
    {
        return key;
    }
    field
}

/// Declares a section whose keys have defaults and where no other key may stand. Keys that are named
/// as required have a default for nobody: they must be written.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident $(requires $required:tt)? {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl FromNode for $name {
            fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
                const NAMES: &[&str] = &[$(key_of(stringify!($field)),)*];
                let mut section = Self::default();
                let mut keys = Keys::of(node, NAMES)?;
                while let Some((name, value)) = keys.next()? {
                    $(if name == const { key_of(stringify!($field)) } {
                        section.$field = FromNode::from_node(value)?;
                        continue;
                    })*
                }
                $(keys.require(&$required)?;)?
                Ok(section)
            }
        }
    };
}

pub mod emergency;

section!(
    /// The whole of `mfa.toml`.
    Config {
        /// The format; checked before anything else.
        version: u64 = document::VERSION,
        /// Keys that a newer release may have written, as dotted paths.
        ignore_unknown: Vec<String> = Vec::new(),
        /// Where things are.
        paths: Paths = Paths::default(),
        /// Users without a record, and what an app shows.
        enrolment: Enrolment = Enrolment::default(),
        /// Whether users are bound to hosts.
        device: Device = Device::default(),
        /// The account phase.
        account: Account = Account::default(),
        /// What a person is asked.
        prompt: Prompt = Prompt::default(),
        /// App codes.
        app: App = App::default(),
        /// Codes of hardware tokens.
        token: Token = Token::default(),
        /// Delivered codes.
        code: Code = Code::default(),
        /// Failures in a time.
        throttle: Throttle = Throttle::default(),
        /// Failures in a row.
        lockout: Lockout = Lockout::default(),
        /// Delivery.
        courier: Courier = Courier::default(),
        /// Notices.
        notices: Notices = Notices::default(),
        /// Texts.
        messages: Messages = Messages::default(),
        /// Passphrases.
        passphrase: Passphrase = Passphrase::default(),
        /// Where the sealing key is kept.
        seal: Seal = Seal::default(),
    }
);

section!(
    /// `[paths]`.
    Paths {
        /// Records and states.
        store: AbsolutePath = AbsolutePath::fixed("/var/lib/mfa"),
        /// Notices waiting for delivery.
        spool: AbsolutePath = AbsolutePath::fixed("/var/spool/mfa"),
        /// The sealing key.
        seal_key: AbsolutePath = AbsolutePath::fixed("/etc/mfa/seal.key"),
        /// Passwords and tokens of the courier.
        credentials: AbsolutePath = AbsolutePath::fixed("/etc/mfa/credentials"),
        /// The break-glass code.
        emergency: AbsolutePath = AbsolutePath::fixed("/etc/mfa/emergency.toml"),
        /// The courier's program.
        courier: AbsolutePath = AbsolutePath::fixed("/usr/libexec/mfa/mfa-courier"),
        /// machine-id(5).
        machine_id: AbsolutePath = AbsolutePath::fixed("/etc/machine-id"),
    }
);

words!(
    /// What happens to a user without a record.
    WithoutRecord {
        /// Refused like a wrong code.
        Deny = "deny",
        /// Not asked for a code at all.
        Skip = "skip",
    }
);

section!(
    /// `[enrolment]`.
    Enrolment {
        /// A user without a record.
        without_record: WithoutRecord = WithoutRecord::Deny,
        /// What the app shows; `%h` is this host's name.
        issuer: values::Issuer = values::Issuer::default(),
    }
);

section!(
    /// `[device]`.
    Device {
        /// False: the devices in the records are not looked at.
        required: bool = true,
    }
);

section!(
    /// `[account]`.
    Account {
        /// Services whose account phase is none of ours.
        skip_services: Vec<String> =
            ["cron", "crond", "atd", "systemd-user", "runuser", "runuser-l"].map(String::from).to_vec(),
    }
);

words!(
    /// Whether a code is sent before a person asks for one.
    First {
        /// Ask for a code; Enter has one sent.
        Ask = "ask",
        /// Send a code at once.
        Send = "send",
    }
);

section!(
    /// `[prompt]`.
    Prompt {
        /// Ask, or send first.
        first: First = First::Ask,
        /// Prompts in one login.
        tries: Count<1, 10> = Count::fixed(3),
        /// Whether what is typed is shown.
        echo: bool = false,
        /// What libpam waits after a refusal, `pam_fail_delay(3)`.
        fail_delay: Span<0, 60> = Span::seconds(2),
    }
);

section!(
    /// `[app]`.
    App {
        /// Steps accepted before and after the present one (RFC 6238, 5.2 recommends at most 1).
        window: Count<0, 10> = Count::fixed(1),
    }
);

section!(
    /// `[token]`: hardware tokens that count (HOTP, RFC 4226).
    Token {
        /// Codes that are accepted beyond the next one (RFC 4226, 7.2).
        look_ahead: Count<0, 50> = Count::fixed(10),
        /// Up to so many beyond it two codes in a row bring a token back into step (RFC 4226, 7.4). 0: none do.
        resync: Count<0, 500> = Count::fixed(100),
    }
);

section!(
    /// `[code]`: delivered codes.
    Code {
        /// Digits.
        digits: Count<6, 8> = Count::fixed(6),
        /// How long a code is good; at most 10 minutes (NIST SP 800-63B).
        lifetime: Span<10, 600> = Span::minutes(5),
        /// Codes sent within `sends_within`.
        max_sends: Count<0, 1000> = Count::fixed(3),
        /// See `max_sends`.
        sends_within: Span<1, 86_400> = Span::minutes(15),
    }
);

section!(
    /// `[throttle]`.
    Throttle {
        /// Failures within `within`, after which answers are refused without a look at them. 0: none.
        max_failures: Count<0, 1000> = Count::fixed(5),
        /// The first failure opens a window of this length.
        within: Span<1, 86_400> = Span::minutes(1),
    }
);

section!(
    /// `[lockout]`.
    Lockout {
        /// At every so many failures in a row the user is locked for a time.
        after: Count<1, 1000> = Count::fixed(10),
        /// How long.
        r#for: Span<1, 2_592_000> = Span::minutes(15),
        /// At so many in a row: until an administrator acts (NIST SP 800-63B: at most 100).
        disable_after: Count<1, 100> = Count::fixed(100),
    }
);

words!(
    /// How mail leaves the host.
    EmailBy {
        /// To a server, `[courier.smtp]`.
        Smtp = "smtp",
        /// Through the host's own mail system.
        Sendmail = "sendmail",
        /// Into a folder, for trying things out.
        File = "file",
    }
);

section!(
    /// `[courier]`.
    Courier {
        /// Who the courier becomes.
        user: values::AccountName = values::AccountName::fixed("_mfa"),
        /// How long one delivery may take.
        deadline: Span<1, 120> = Span::seconds(15),
        /// How mail leaves.
        email: EmailBy = EmailBy::Smtp,
        /// A server for mail; nothing is mailed without one.
        smtp: Option<Smtp> = None,
        /// The host's own mail system.
        sendmail: Sendmail = Sendmail::default(),
        /// A folder.
        file: FileFolder = FileFolder::default(),
        /// Telegram's Bot API.
        telegram: Telegram = Telegram::default(),
        /// A program of the administrator's.
        command: Command = Command::default(),
    }
);

words!(
    /// How a connection to a mail server is protected.
    Security {
        /// TLS from the first byte (RFC 8314).
        Tls = "tls",
        /// STARTTLS (RFC 3207).
        Starttls = "starttls",
    }
);

words!(
    /// How the courier signs in at a mail server.
    Auth {
        /// The strongest that both sides know.
        Auto = "auto",
        /// RFC 4616.
        Plain = "plain",
        /// The older LOGIN.
        Login = "login",
        /// A token, as Google has it.
        Xoauth2 = "xoauth2",
    }
);

section!(
    /// `[courier.smtp]`.
    Smtp requires ["host", "from"] {
        /// Name of the server, which its certificate must carry.
        host: values::NonEmpty = values::NonEmpty::fixed("unset"),
        /// Port.
        port: Count<1, 65_535> = Count::fixed(465),
        /// TLS or STARTTLS, never neither.
        security: Security = Security::Tls,
        /// How to sign in.
        auth: Auth = Auth::Auto,
        /// Empty: the courier does not sign in.
        username: String = String::new(),
        /// A file in `paths.credentials`.
        password: values::FileName = values::FileName::fixed("smtp-password"),
        /// Who the mails are from.
        from: values::Sender = values::Sender::fixed("unset@localhost"),
        /// Certificates to trust instead of the system's roots.
        ca_file: EmptyOrPath = EmptyOrPath::default(),
    }
);

section!(
    /// `[courier.sendmail]`.
    Sendmail {
        /// The program.
        path: AbsolutePath = AbsolutePath::fixed("/usr/sbin/sendmail"),
    }
);

section!(
    /// `[courier.file]`.
    FileFolder {
        /// The folder; empty: none.
        folder: EmptyOrPath = EmptyOrPath::default(),
        /// Whether codes may be written there.
        demo: bool = false,
    }
);

section!(
    /// `[courier.telegram]`.
    Telegram {
        /// A file in `paths.credentials`.
        token: values::FileName = values::FileName::fixed("telegram-token"),
        /// Base of the Bot API.
        api: values::Url = values::Url::fixed("https://api.telegram.org"),
    }
);

section!(
    /// `[courier.command]`.
    Command {
        /// Absolute path and arguments; empty: none.
        run: values::CommandLine = values::CommandLine::default(),
    }
);

words!(
    /// When a person is told of a login.
    OnLogin {
        /// Every time.
        Always = "always",
        /// From an address that the last one did not come from.
        NewAddress = "new_address",
        /// Never.
        Never = "never",
    }
);

section!(
    /// `[notices]`.
    Notices {
        /// After a login.
        on_login: OnLogin = OnLogin::Always,
        /// After failures.
        on_failure: bool = true,
        /// At most one notice of failures a user in this time.
        digest: Span<1, 86_400> = Span::minutes(15),
        /// Addresses of administrators who are told of failures too.
        admins: Vec<EmailAddress> = Vec::new(),
    }
);

section!(
    /// `[messages]`.
    Messages {
        /// A folder of the administrator's own texts.
        templates: EmptyOrPath = EmptyOrPath::default(),
        /// Whether a mail's subject shows the code.
        code_in_subject: bool = true,
    }
);

words!(
    /// Kinds of characters that a passphrase may have to contain.
    CharacterClass {
        /// Upper-case letters.
        Upper = "upper",
        /// Lower-case letters.
        Lower = "lower",
        /// Digits.
        Digit = "digit",
        /// Anything else.
        Other = "other",
    }
);

section!(
    /// `[passphrase]`.
    Passphrase {
        /// Characters at least.
        min_length: Count<8, 128> = Count::fixed(12),
        /// Classes that must occur.
        classes: Vec<CharacterClass> = Vec::new(),
        /// zxcvbn's score at least.
        min_score: Count<0, 4> = Count::fixed(3),
        /// A file of refused words.
        refused: EmptyOrPath = EmptyOrPath::default(),
        /// KiB that a hash fills (argon2id; RFC 9106).
        memory: Count<7168, 262_144> = Count::fixed(19_456),
        /// Passes over them.
        passes: Count<1, 16> = Count::fixed(2),
        /// Lanes.
        lanes: Count<1, 4> = Count::fixed(1),
    }
);

section!(
    /// `[seal]`.
    Seal {
        /// The credential that `seal bind` made, instead of `paths.seal_key`.
        credential: EmptyOrPath = EmptyOrPath::default(),
    }
);

impl Config {
    /// Reads `mfa.toml`.
    ///
    /// # Errors
    ///
    /// What is wrong, by line and column, and what to write instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        Ok(document::read(bytes, IgnoreUnknown::Own)?.value)
    }
}

impl Paths {
    /// All paths below one folder: a test host, or a first try.
    #[must_use]
    pub fn below(folder: &Path) -> [(&'static str, PathBuf); 7] {
        [
            ("store", folder.join("store")),
            ("spool", folder.join("spool")),
            ("seal_key", folder.join("seal.key")),
            ("credentials", folder.join("credentials")),
            ("emergency", folder.join("emergency.toml")),
            ("courier", folder.join("mfa-courier")),
            ("machine_id", folder.join("machine-id")),
        ]
    }
}

#[cfg(test)]
mod tests;
