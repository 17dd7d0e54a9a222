//! `emergency.toml`: whom the emergency code lets in, where, and what is kept of it. People write the first part, and
//! `mfa-admin emergency generate` the second.

use toml::value::Datetime;

use super::key_of;
use crate::document::node::{FromNode, Keys, Node};
use crate::document::{self, DocumentError, IgnoreUnknown, Wrong};
use crate::hex;
use crate::request::LoginRequest;

section!(
    /// The whole file.
    EmergencyFile requires ["version", "users", "services", "ttys"] {
        /// The format; checked before anything else.
        version: u64 = document::VERSION,
        /// Whom the code lets in.
        users: Vec<String> = Vec::new(),
        /// Through which PAM services.
        services: Vec<String> = Vec::new(),
        /// At which terminals.
        ttys: Vec<String> = Vec::new(),
        /// When the code was made; none: there is no code.
        generated: Option<Datetime> = None,
        /// What was mixed into its hash, 16 bytes.
        salt: Option<HexDigits<16>> = None,
        /// What is kept of the code: 32 bytes of argon2id.
        hash: Option<HexDigits<32>> = None,
        /// When it let somebody in: it is good no more.
        used: Option<Datetime> = None,
    }
);

/// `N` bytes as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexDigits<const N: usize>(String);

impl<const N: usize> HexDigits<N> {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> FromNode for HexDigits<N> {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let digits = node.get_ref().as_str().unwrap_or_default();
        if hex::decode(digits).is_some_and(|bytes| bytes.len() == N) {
            return Ok(Self(digits.to_owned()));
        }
        // What stands there may be the code itself, by mistake: it is not repeated.
        Err(Wrong::new(
            &node,
            "this is not what is kept of a code; make a new one: `mfa-admin emergency generate`"
                .to_owned(),
        ))
    }
}

impl EmergencyFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// What is wrong, by line and column, and what to write instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let file = document::read::<Self>(bytes, IgnoreUnknown::Listed(&[]))?.value;
        let parts = [
            file.generated.is_some(),
            file.salt.is_some(),
            file.hash.is_some(),
        ];
        if parts.contains(&true) && parts.contains(&false) {
            return Err(DocumentError {
                line: 1,
                column: 1,
                message: "`generated`, `salt` and `hash` belong together; make a new code: \
                          `mfa-admin emergency generate`"
                    .to_owned(),
            });
        }
        Ok(file)
    }

    /// Salt and hash of the code, used or not.
    #[must_use]
    pub fn code(&self) -> Option<(&str, &str)> {
        Some((self.salt.as_ref()?.as_str(), self.hash.as_ref()?.as_str()))
    }

    /// Whether a login is one at which the code is asked for: at one of these terminals, by one of these services, from
    /// nowhere else, by a program that root runs, and for itself. su and sudo keep their caller's real uid, and say for whom
    /// they run (`PAM_RUSER`): callers can bring errors about, by their limits. Who logs in does not matter: everybody there
    /// is asked the same.
    #[must_use]
    pub fn is_asked_at(&self, request: &LoginRequest) -> bool {
        let tty = without_dev(request.tty.as_deref().unwrap_or_default());
        self.code().is_some()
            && request.remote_host.is_none()
            && request.caller.uid == 0
            && request
                .remote_user
                .as_deref()
                .unwrap_or_default()
                .is_empty()
            && self.services.contains(&request.service)
            && !tty.is_empty()
            && self.ttys.iter().any(|listed| without_dev(listed) == tty)
    }

    /// Whether the code lets this user in: by the very name that is listed.
    #[must_use]
    pub fn lets_in(&self, request: &LoginRequest) -> bool {
        self.users.contains(&request.asked_name)
    }
}

/// The name of a terminal, which some programs give with its folder.
fn without_dev(tty: &str) -> &str {
    tty.strip_prefix("/dev/").unwrap_or(tty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Caller, RemoteHost};

    const FILE: &str = "\
version = 1
users = [\"root\"]
services = [\"login\"]
ttys = [\"tty1\", \"/dev/ttyS0\"]
generated = 2026-11-20T09:00:00Z
salt = \"00112233445566778899aabbccddeeff\"
hash = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"
";

    fn request() -> LoginRequest {
        LoginRequest {
            asked_name: "root".to_owned(),
            account: None,
            service: "login".to_owned(),
            remote_host: None,
            tty: Some("/dev/tty1".to_owned()),
            remote_user: None,
            nullok: false,
            passphrase: false,
            log_unknown_names: false,
            caller: Caller { uid: 0, euid: 0 },
        }
    }

    #[test]
    fn the_code_is_asked_for_at_the_machine_itself_and_nowhere_else() {
        type Change = fn(&mut LoginRequest);
        let cases: [(Change, bool); 12] = [
            (|_| {}, true),
            (|r| r.tty = Some("tty1".to_owned()), true),
            (|r| r.tty = Some("ttyS0".to_owned()), true),
            (|r| r.asked_name = "alice".to_owned(), true),
            (|r| r.tty = Some("tty10".to_owned()), false),
            (|r| r.tty = None, false),
            (|r| r.tty = Some(String::new()), false),
            (|r| r.remote_host = RemoteHost::parse("localhost"), false),
            (|r| r.service = "su".to_owned(), false),
            (|r| r.caller.uid = 1000, false),
            (|r| r.remote_user = Some("alice".to_owned()), false),
            (|r| r.remote_user = Some(String::new()), true),
        ];
        for (number, (change, expected)) in cases.into_iter().enumerate() {
            let mut request = request();
            change(&mut request);
            let file = EmergencyFile::parse(FILE.as_bytes()).unwrap();
            assert_eq!(file.is_asked_at(&request), expected, "case {number}");
        }
        let file = EmergencyFile::parse(FILE.as_bytes()).unwrap();
        assert!(file.lets_in(&request()));
        for name in ["alice", "ROOT", "root ", ""] {
            let mut request = request();
            request.asked_name = name.to_owned();
            assert!(!file.lets_in(&request), "{name:?}");
        }
    }

    #[test]
    fn without_a_code_nobody_is_asked_and_a_used_one_is_still_asked_for() {
        let head = FILE.split("generated").next().unwrap();
        let file = EmergencyFile::parse(head.as_bytes()).unwrap();
        assert!(file.code().is_none() && !file.is_asked_at(&request()));
        // A list that names an empty terminal names none.
        let empty = FILE.replace("\"tty1\"", "\"\", \"/dev/\"");
        let file = EmergencyFile::parse(empty.as_bytes()).unwrap();
        let mut nowhere = request();
        nowhere.tty = Some("/dev/".to_owned());
        assert!(!file.is_asked_at(&nowhere));
        let used = format!("{FILE}used = 2026-11-20T10:00:00Z\n");
        let file = EmergencyFile::parse(used.as_bytes()).unwrap();
        assert_eq!(file.used.unwrap().to_string(), "2026-11-20T10:00:00Z");
        assert!(file.is_asked_at(&request()));
    }

    #[test]
    fn what_the_file_may_not_say_is_named_by_line() {
        for (from, to, expected) in [
            (
                "version = 1",
                "version = 2",
                "1:11: version 2 is of a newer release",
            ),
            ("users = [\"root\"]\n", "", "`users` is missing; write it"),
            (
                "users =",
                "user =",
                "2:1: unknown key `user`; write one of `version`",
            ),
            (
                "[\"root\"]",
                "\"root\"",
                "2:9: a text can't stand here; write a list in [ ]",
            ),
            (
                "2026-11-20T09:00:00Z",
                "\"today\"",
                "5:13: a text can't stand here; write a date and time",
            ),
            (
                "salt = \"00",
                "salt = \"",
                "6:8: this is not what is kept of a code; make a new one",
            ),
            ("generated = 2026-11-20T09:00:00Z\n", "", "belong together"),
            (
                "version = 1",
                "version = 1\nversion = 1",
                "2:1: duplicate key",
            ),
        ] {
            let text = FILE.replacen(from, to, 1);
            let error = EmergencyFile::parse(text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{to:?}: {error}");
        }
        // What could be the code is not repeated where others read it.
        let wrong = FILE.replace("00112233445566778899aabbccddeeff\"", "K7QM-2R9T-XW4ZP\"");
        let error = EmergencyFile::parse(wrong.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("K7QM"), "{error}");
    }
}
