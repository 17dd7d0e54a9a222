//! The texts of codes and notices: what a message says, in plain text and in HTML. The built-in texts are
//! `config/templates/`; an administrator's own folder may replace each of them by a file of the same name.
//! How the files are written is told by `config/templates/README.md`.

mod fields;
mod template;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::courier::{Document, Kind};
use crate::document::DocumentError;
use crate::secure_file::{FileError, Folder, Owner, Privacy, Problem};
use template::{Html, Plain};

/// A message, ready for its envelope. No value in it can have added a line or a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Composed {
    /// One line.
    pub subject: String,
    /// Plain text; lines end in `\n`, and none begins with a dot.
    pub text: String,
    /// A whole page that says the same.
    pub html: String,
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest may hold a code, and so may the subject.
        f.write_str("Composed(…)")
    }
}

/// What is wrong with the administrator's own texts. The built-in text is used in place of a broken one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextProblem {
    /// The file, or the folder.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// `what is wrong; write … instead`.
    pub message: String,
}

impl fmt::Display for TextProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, line, column) = (self.path.display(), self.line, self.column);
        write!(f, "{path}:{line}:{column}: {}", self.message)
    }
}

impl std::error::Error for TextProblem {}

impl TextProblem {
    /// Of a file or folder as a whole.
    fn of_all(path: PathBuf, message: String) -> Self {
        Self {
            path,
            line: 1,
            column: 1,
            message,
        }
    }

    fn of_place(path: PathBuf, error: DocumentError) -> Self {
        Self {
            path,
            line: error.line,
            column: error.column,
            message: error.message,
        }
    }

    /// Of a file or folder that can't be read or trusted.
    fn of_file(error: &FileError, instead: &str) -> Self {
        let shown = error.to_string();
        // The path stands in front of every problem.
        let what = shown
            .strip_prefix(&format!("{}: ", error.path.display()))
            .unwrap_or(&shown);
        let message = match error.problem {
            // The others say themselves what to do.
            Problem::Missing | Problem::NotAFolder | Problem::TooLarge | Problem::System(_) => {
                format!("{what}; {instead}")
            }
            _ => what.to_owned(),
        };
        Self::of_all(error.path.clone(), message)
    }
}

/// The messages that have a text of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Code,
    Login,
    Digest,
    Change,
    Test,
}

impl Text {
    const ALL: [Self; 5] = [
        Self::Code,
        Self::Login,
        Self::Digest,
        Self::Change,
        Self::Test,
    ];

    /// The text of a kind. One failure is a digest of one; what is no message at all would be a trial.
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Code => Self::Code,
            Kind::Login => Self::Login,
            Kind::Failure | Kind::Digest => Self::Digest,
            Kind::Change => Self::Change,
            Kind::Test | Kind::Check | Kind::Nothing => Self::Test,
        }
    }

    /// The name of its files, without the ending.
    fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Login => "login",
            Self::Digest => "digest",
            Self::Change => "change",
            Self::Test => "test",
        }
    }

    /// The files of the built-in text: plain text and HTML.
    fn built_in(self) -> (&'static str, &'static str) {
        macro_rules! files {
            ($name:literal) => {
                (
                    include_str!(concat!("../../config/templates/", $name, ".txt")),
                    include_str!(concat!("../../config/templates/", $name, ".html")),
                )
            };
        }
        match self {
            Self::Code => files!("code"),
            Self::Login => files!("login"),
            Self::Digest => files!("digest"),
            Self::Change => files!("change"),
            Self::Test => files!("test"),
        }
    }
}

/// One message's two templates.
#[derive(Clone, Debug)]
struct Pair {
    plain: Plain,
    html: Html,
}

impl Pair {
    fn built_in(text: Text) -> Self {
        let (plain, html) = text.built_in();
        // A test proves that there is nothing wrong in any of them.
        Self {
            plain: Plain::parse(plain, text).unwrap_or_default(),
            html: Html::parse(html, text).unwrap_or_default(),
        }
    }
}

/// The texts of all messages.
#[derive(Clone, Debug)]
pub struct Texts {
    code: Pair,
    login: Pair,
    digest: Pair,
    change: Pair,
    test: Pair,
}

impl Texts {
    /// Those that come with the program.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            code: Pair::built_in(Text::Code),
            login: Pair::built_in(Text::Login),
            digest: Pair::built_in(Text::Digest),
            change: Pair::built_in(Text::Change),
            test: Pair::built_in(Text::Test),
        }
    }

    /// Those of an administrator's folder (`[messages] templates`), and the built-in ones where it has none
    /// or where there is something wrong with them. Folder and files must be the owner's.
    #[must_use]
    pub fn load(folder: Option<&Path>, owner: Owner) -> (Self, Vec<TextProblem>) {
        let mut texts = Self::built_in();
        let mut problems = Vec::new();
        let Some(path) = folder else {
            return (texts, problems);
        };
        match Folder::open(path, owner).and_then(|folder| Ok((folder.names()?, folder))) {
            Ok((names, folder)) => {
                for name in names {
                    if let Err(problem) = texts.replace(&folder, &name.to_string_lossy()) {
                        problems.push(problem);
                    }
                }
            }
            Err(error) => problems.push(TextProblem::of_file(
                &error,
                "put a folder of root's there, or write `templates = \"\"` in mfa.toml",
            )),
        }
        (texts, problems)
    }

    /// Takes one file of the administrator's folder.
    fn replace(&mut self, folder: &Folder, name: &str) -> Result<(), TextProblem> {
        // What editors leave behind, and the page that explains the files.
        if name.starts_with('.') || name.ends_with('~') || name == "README.md" {
            return Ok(());
        }
        let path = folder.path().join(name);
        let known = Text::ALL.into_iter().find_map(|text| {
            let ending = name.strip_prefix(text.name())?;
            matches!(ending, ".txt" | ".html").then_some((text, ending == ".html"))
        });
        let Some((text, is_html)) = known else {
            let names = Text::ALL.map(Text::name).join(", ");
            return Err(TextProblem::of_all(
                path,
                format!(
                    "no message has a text of this name; name it KIND.txt or KIND.html, where KIND is one of {names}"
                ),
            ));
        };
        let bytes = folder
            .read(name, Privacy::Public)
            .map_err(|error| TextProblem::of_file(&error, "put a text file there, or remove it"))?;
        let pair = self.pair_mut(text);
        let read = template::decode(&bytes).and_then(|content| {
            if is_html {
                pair.html = Html::parse(content, text)?;
            } else {
                pair.plain = Plain::parse(content, text)?;
            }
            Ok(())
        });
        read.map_err(|error| TextProblem::of_place(path, error))
    }

    /// The message of a document. With `code_in_subject`, the code stands in the subject and in the first
    /// line; without, further down alone.
    #[must_use]
    pub fn compose(&self, document: &Document, code_in_subject: bool) -> Composed {
        let pair = self.pair(Text::of(document.kind));
        let value = |field: fields::Field| field.value(document, code_in_subject);
        let mut composed = Composed {
            subject: pair.plain.subject(code_in_subject, value),
            text: pair.plain.body(value),
            html: pair.html.page(value),
        };
        // Whoever runs out of recovery codes is to learn that, also from an administrator's older text.
        if document.kind == Kind::Login && document.codes_left.is_some() {
            let to_do = format!("If this was you, {}", value(fields::Field::ToDo));
            if !pair.plain.is_sure_to_show(fields::Field::ToDo) {
                Plain::add(&mut composed.text, &to_do);
            }
            if !pair.html.is_sure_to_show(fields::Field::ToDo) {
                Html::add(&mut composed.html, &to_do);
            }
        }
        composed
    }

    fn pair(&self, text: Text) -> &Pair {
        match text {
            Text::Code => &self.code,
            Text::Login => &self.login,
            Text::Digest => &self.digest,
            Text::Change => &self.change,
            Text::Test => &self.test,
        }
    }

    fn pair_mut(&mut self, text: Text) -> &mut Pair {
        match text {
            Text::Code => &mut self.code,
            Text::Login => &mut self.login,
            Text::Digest => &mut self.digest,
            Text::Change => &mut self.change,
            Text::Test => &mut self.test,
        }
    }
}

#[cfg(test)]
mod tests;
