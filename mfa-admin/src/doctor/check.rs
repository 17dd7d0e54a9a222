//! What a check of `mfa-admin doctor` found: data, printed elsewhere.

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// Works, but not as the administrator may think.
    Warn,
    /// Locks people out, or lets them in. `doctor` exits 1.
    Fail,
}

impl Status {
    /// The word that stands in the output and in `--json`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One finding: what was looked at, how it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Check {
    /// Stable and for machines: `pam.sshd.auth`, `sshd.use-pam`.
    pub(crate) id: String,
    /// How it ended.
    pub(crate) status: Status,
    /// What is so, in a sentence or two, with file and line. One paragraph, not wrapped.
    pub(crate) message: String,
    /// What to do about it; empty where there is nothing to do.
    pub(crate) hint: String,
}

impl Check {
    /// A finding that needs nothing done.
    pub(crate) fn ok(id: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status: Status::Ok,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// A finding that the administrator should know of.
    pub(crate) fn warn(
        id: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            status: Status::Warn,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A finding that locks people out or lets them in.
    pub(crate) fn fail(
        id: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            status: Status::Fail,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_worse_than_a_warning() {
        assert!(Status::Fail > Status::Warn && Status::Warn > Status::Ok);
        assert_eq!(Status::Warn.word(), "warn");
    }
}
