//! What a login asks for, parsed once at the edge and trusted from there on.

use std::fmt;

use nix::unistd::User;

/// File names of more bytes than this would not leave room for a suffix below the 255 of most file
/// systems.
const MAX_FILE_NAME: usize = 200;

/// A user's canonical name, `pw_name` as the name service returns it, that can be a file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName {
    name: String,
    file_name: String,
}

impl UserName {
    /// Takes a name that can be kept in the store: not empty, without U+FFFD (what lossy decoding
    /// leaves of bytes that are not UTF-8), and at most 200 bytes when encoded for its file.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name.is_empty() || name.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let file_name = encode_file_name(name);
        (file_name.len() <= MAX_FILE_NAME).then(|| Self {
            name: name.to_owned(),
            file_name,
        })
    }

    /// The name in a file name that [`UserName::file_name`] made.
    #[must_use]
    pub fn from_file_name(file_name: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(file_name.len());
        let mut rest = file_name.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digits = [rest.next()?, rest.next()?];
                    *crate::hex::decode(std::str::from_utf8(&digits).ok()?)?.first()?
                }
                other => other,
            });
        }
        let parsed = Self::parse(&String::from_utf8(bytes).ok()?)?;
        (parsed.file_name == file_name).then_some(parsed)
    }

    /// The name as the system knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name as a file's: every byte outside `a-z 0-9 _ -`, and every dot but an inner one,
    /// as `%XX`, so that no name can leave its folder.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn encode_file_name(name: &str) -> String {
    use std::fmt::Write;
    let last = name.len() - 1;
    let mut encoded = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        let inner = place != 0 && place != last;
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(char::from(byte)),
            b'.' if inner => encoded.push('.'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// An account of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its canonical name.
    pub name: UserName,
    /// Its numeric id.
    pub uid: u32,
}

/// Looks an account up with `getpwnam_r(3)`. `Ok(None)`: there is none of that name, or none that the
/// store could keep.
///
/// # Errors
///
/// The name service could not answer: not the same as "unknown".
pub fn find_account(name: &str) -> Result<Option<Account>, nix::Error> {
    if name.contains('\0') {
        return Ok(None);
    }
    let user = match User::from_name(name) {
        Ok(user) => user,
        // glibc answers these for names that nobody can have (getpwnam(3), "ERRORS").
        Err(nix::Error::ENOENT | nix::Error::ESRCH | nix::Error::EBADF | nix::Error::EPERM) => None,
        Err(error) => return Err(error),
    };
    Ok(user.and_then(|user| {
        UserName::parse(&user.name).map(|name| Account {
            name,
            uid: user.uid.as_raw(),
        })
    }))
}

/// Where a person comes from: `PAM_RHOST`, a name or an address, as the host says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHost(String);

impl RemoteHost {
    /// `None` for a login at the machine itself: absent, or empty as Debian's login sets it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The text, unescaped.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One request, as PAM's items and the module's arguments tell it.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    /// The name that was asked for, whatever it is; for decoys and, escaped, for the audit line.
    pub asked_name: String,
    /// The account of that name, if the system knows one.
    pub account: Option<Account>,
    /// `PAM_SERVICE`.
    pub service: String,
    /// `PAM_RHOST`.
    pub remote_host: Option<RemoteHost>,
    /// `PAM_TTY`, with or without `/dev/`.
    pub tty: Option<String>,
    /// `PAM_RUSER`.
    pub remote_user: Option<String>,
    /// The argument `nullok`: users who were never enrolled are let by.
    pub nullok: bool,
    /// The argument `passphrase`: one is asked for before the code.
    pub passphrase: bool,
    /// The argument `audit`: names that nobody knows are logged.
    pub log_unknown_names: bool,
    /// Who runs the host program.
    pub caller: Caller,
}

impl LoginRequest {
    /// A login that root's own programs ask about, at the machine itself and without arguments of a service file.
    #[must_use]
    pub fn asked_by_root(name: &str, account: Option<Account>, service: &str) -> Self {
        Self {
            asked_name: name.to_owned(),
            account,
            service: service.to_owned(),
            remote_host: None,
            tty: None,
            remote_user: None,
            nullok: false,
            passphrase: false,
            log_unknown_names: false,
            caller: Caller { uid: 0, euid: 0 },
        }
    }
}

/// The user ids of the process that asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The real one: su and sudo keep their caller's.
    pub uid: u32,
    /// The effective one: has to be 0.
    pub euid: u32,
}

impl Caller {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            uid: nix::unistd::getuid().as_raw(),
            euid: nix::unistd::geteuid().as_raw(),
        }
    }
}

impl LoginRequest {
    /// Where the person comes from; empty at the machine itself.
    #[must_use]
    pub fn address(&self) -> &str {
        self.remote_host.as_ref().map_or("", RemoteHost::as_str)
    }

    /// The canonical name, of an account that the system knows.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        self.account.as_ref().map(|account| &account.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_leave_its_folder() {
        for (name, file_name) in [
            ("alice", "alice"),
            ("a.b", "a.b"),
            (".a.", "%2Ea%2E"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("../x", "%2E.%2Fx"),
            ("Alice", "%41lice"),
            ("a%41", "a%2541"),
            ("a\nb", "a%0Ab"),
            ("é", "%C3%A9"),
            ("svc$", "svc%24"),
            ("_mfa-1", "_mfa-1"),
        ] {
            let parsed = UserName::parse(name).unwrap();
            assert_eq!(parsed.file_name(), file_name);
            assert!(!file_name.contains('/'));
            assert_eq!(UserName::from_file_name(file_name), Some(parsed));
        }
    }

    #[test]
    fn names_that_cannot_be_kept_are_nobody() {
        assert_eq!(UserName::parse(""), None);
        assert_eq!(UserName::parse("a\u{fffd}"), None);
        assert!(UserName::parse(&"a".repeat(200)).is_some());
        assert_eq!(UserName::parse(&"a".repeat(201)), None);
        assert_eq!(UserName::parse(&"A".repeat(67)), None);
    }

    #[test]
    fn a_file_that_is_no_name_of_ours_is_not_taken_for_one() {
        for file_name in [
            "%new-alice",
            "%decoy-00",
            "%41",
            "%2",
            "%",
            "A",
            "%61lice",
            ".x",
        ] {
            let parsed = UserName::from_file_name(file_name);
            assert!(
                parsed.is_none() || file_name == "%41",
                "{file_name}: {parsed:?}"
            );
        }
    }

    #[test]
    fn an_account_is_found_by_its_name_and_nobody_by_a_strange_one() {
        assert_eq!(find_account("root").unwrap().unwrap().uid, 0);
        for name in [
            "no-such-user",
            "../root",
            "root\n",
            "a\0b",
            "",
            &"x".repeat(5000),
        ] {
            assert_eq!(find_account(name), Ok(None), "{name}");
        }
    }
}
