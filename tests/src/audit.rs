//! Audit lines as a security team's parser reads them.

use std::collections::BTreeMap;
use std::ops::Index;

use crate::syslog::LogLine;

/// One audit event, found in a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// `MFA-2001`.
    pub id: String,
    /// The line's syslog severity: `info`, `notice`, `err`, `alert`.
    pub severity: String,
    /// `pam_mfa(sshd:auth)`, or the program that wrote it.
    pub source: String,
    /// The whole text.
    pub text: String,
    fields: BTreeMap<String, String>,
}

impl AuditLine {
    /// The event in `line`, if it is an audit line at all.
    pub fn parse(line: &LogLine) -> Option<Self> {
        let start = line.text.find("mfa v=1 ")?;
        let fields = fields(&line.text[start + "mfa ".len()..]);
        let source = line.text[..start].trim_end().trim_end_matches(':');
        Some(Self {
            id: fields.get("id")?.clone(),
            severity: line.severity.clone(),
            source: if source.is_empty() {
                line.program.clone()
            } else {
                source.to_owned()
            },
            text: line.text.clone(),
            fields,
        })
    }

    /// A field's value without its quotes, if the field is there.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }
}

impl Index<&str> for AuditLine {
    type Output = str;

    #[track_caller]
    fn index(&self, key: &str) -> &str {
        self.get(key)
            .unwrap_or_else(|| panic!("no {key}= in: {}", self.text))
    }
}

/// `a=1 b="two words"`; a quote inside quotes is written as \u{22}, so the next one ends the value.
fn fields(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((key, rest)) = text.trim_start().split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a quoted value ends"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        let twice = found.insert(key.to_owned(), value.to_owned());
        assert!(twice.is_none(), "{key}= stands twice in: {text}");
        text = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_into_its_fields() {
        let text = r#"pam_mfa(sshd:auth): mfa v=1 id=MFA-2101 event=bad_code user="a b=c" app="phone" tty=ssh try=2"#;
        let line = LogLine {
            facility: "authpriv".to_owned(),
            severity: "notice".to_owned(),
            program: "sshd".to_owned(),
            text: text.to_owned(),
            classic: String::new(),
        };
        let audit = AuditLine::parse(&line).unwrap();
        assert_eq!(
            (audit.id.as_str(), audit.source.as_str()),
            ("MFA-2101", "pam_mfa(sshd:auth)")
        );
        assert_eq!(
            (&audit["user"], &audit["app"], &audit["try"]),
            ("a b=c", "phone", "2")
        );
    }
}
