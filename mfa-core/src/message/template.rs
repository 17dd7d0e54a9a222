//! The files of texts: literal text and `{{field}}`, nothing else. A line in which a field is empty is
//! left out as a whole; `{{{{` is a literal `{{`.

use super::Text;
use super::fields::{Field, clean};
use crate::document::DocumentError;

/// Columns of plain text, where the values allow it.
const COLUMNS: usize = 72;
/// A label is shorter than this; what follows its colon and two blanks or more stands in a column.
const LABEL: usize = 20;

/// The text of a file.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, DocumentError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let valid = String::from_utf8_lossy(valid);
        let last = valid.rsplit('\n').next().unwrap_or_default();
        wrong(
            valid.matches('\n').count() + 1,
            last.chars().count() + 1,
            "this is not UTF-8; write the file as UTF-8 text",
        )
    })?;
    // Some editors put one in front.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A plain text: headers, a blank line, the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    subject: Line,
    subject_without_code: Option<Line>,
    body: Vec<Line>,
}

impl Plain {
    /// Reads a `.txt` file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and where.
    pub(super) fn parse(content: &str, text: Text) -> Result<Self, DocumentError> {
        let mut lines = numbered(content);
        let mut subject = None;
        let mut subject_without_code = None;
        // Where the headers end.
        let mut end = 1;
        for (number, line) in lines.by_ref() {
            end = number;
            if line.trim().is_empty() {
                break;
            }
            let (header, value) = header(line, number, text)?;
            let place = match header {
                Header::Subject => &mut subject,
                Header::SubjectWithoutCode => &mut subject_without_code,
            };
            if place.replace(value).is_some() {
                let message = "the header stands here twice; remove one of them";
                return Err(wrong(number, 1, message));
            }
        }
        let missing = |what| wrong(end, 1, what);
        let subject = subject.ok_or_else(|| missing("`Subject` is missing; write `Subject: …`"))?;
        if text == Text::Code && subject_without_code.is_none() {
            return Err(missing(
                "`Subject-without-code` is missing; write `Subject-without-code: …`, for `code_in_subject = false`",
            ));
        }
        let body = body(lines, text)?;
        if body.iter().all(Line::is_blank) {
            return Err(missing(
                "there is no text; write it after a blank line below the headers",
            ));
        }
        check_code(&body, text, end + 1)?;
        Ok(Self {
            subject,
            subject_without_code,
            body,
        })
    }

    /// The subject, in one line.
    pub(super) fn subject(&self, with_code: bool, value: impl Fn(Field) -> String) -> String {
        let line = match &self.subject_without_code {
            Some(line) if !with_code => line,
            _ => &self.subject,
        };
        // A header can't be left out: what is empty shows as a dash.
        let value = |field| Some(value(field)).filter(|value| !value.is_empty());
        let filled = line.fill(|field| Some(value(field).unwrap_or_else(|| "-".to_owned())));
        filled
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The text below the headers.
    pub(super) fn body(&self, value: impl Fn(Field) -> String) -> String {
        let mut text = String::new();
        let mut has_gap = false;
        for line in filled(&self.body, value) {
            if line.trim().is_empty() {
                // One blank line between two paragraphs, whatever was left out between them.
                has_gap = !text.is_empty();
                continue;
            }
            if has_gap {
                text.push('\n');
                has_gap = false;
            }
            push_folded(&mut text, line.trim_end());
        }
        text
    }

    /// Whether a line is sure to show a field, whatever else is empty.
    pub(super) fn is_sure_to_show(&self, field: Field) -> bool {
        shows(&self.body, field)
    }

    /// A paragraph more, below the text.
    pub(super) fn add(text: &mut String, paragraph: &str) {
        text.push('\n');
        push_folded(text, paragraph);
    }
}

/// A page of HTML.
#[derive(Clone, Debug, Default)]
pub(super) struct Html {
    lines: Vec<Line>,
}

impl Html {
    /// Reads a `.html` file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and where.
    pub(super) fn parse(content: &str, text: Text) -> Result<Self, DocumentError> {
        let lines = body(numbered(content), text)?;
        if lines.iter().all(Line::is_blank) {
            return Err(wrong(
                1,
                1,
                "there is no text; write a page, or remove the file",
            ));
        }
        check_code(&lines, text, 1)?;
        Ok(Self { lines })
    }

    /// The page; values are escaped.
    pub(super) fn page(&self, value: impl Fn(Field) -> String) -> String {
        let mut page = String::new();
        for line in filled(&self.lines, |field| escape(&value(field))) {
            if line.starts_with('.') {
                page.push(' ');
            }
            page.push_str(&line);
            page.push('\n');
        }
        page
    }

    /// Whether a line is sure to show a field, whatever else is empty.
    pub(super) fn is_sure_to_show(&self, field: Field) -> bool {
        shows(&self.lines, field)
    }

    /// A paragraph more, at the end of the page.
    pub(super) fn add(page: &mut String, paragraph: &str) {
        let end = page.rfind("</body>").unwrap_or(page.len());
        page.insert_str(end, &format!("<p>{}</p>\n", escape(paragraph)));
    }
}

/// A line of a template.
#[derive(Clone, Debug, Default)]
struct Line(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Field(Field),
}

impl Line {
    /// Reads a line from a byte on.
    fn parse(line: &str, from: usize, number: usize, text: Text) -> Result<Self, DocumentError> {
        let place = |rest: &str| {
            let before = line.get(..line.len() - rest.len()).unwrap_or(line);
            before.chars().count() + 1
        };
        let strange = line
            .char_indices()
            .find(|(_, c)| c.is_control() && *c != '\t');
        if let Some((at, c)) = strange {
            let column = place(line.get(at..).unwrap_or_default());
            let what = c.escape_unicode();
            return Err(wrong(
                number,
                column,
                format!("the control character {what}; remove it"),
            ));
        }
        let mut parts = Vec::new();
        let mut rest = line.get(from..).unwrap_or_default();
        while let Some((literal, after)) = rest.split_once("{{") {
            let mut literal = literal.to_owned();
            if let Some(after) = after.strip_prefix("{{") {
                literal.push_str("{{");
                parts.push(Part::Literal(literal));
                rest = after;
                continue;
            }
            parts.push(Part::Literal(literal));
            let column = place(after) - 2;
            let (name, after) = after
                .split_once("}}")
                .filter(|(name, _)| !name.contains("{{"))
                .ok_or_else(|| {
                    wrong(
                        number,
                        column,
                        "`{{` without `}}`; write `{{name}}`, or `{{{{` for two braces",
                    )
                })?;
            let field = Field::parse(name.trim(), text)
                .map_err(|message| wrong(number, column, message))?;
            parts.push(Part::Field(field));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Literal(literal) if literal.is_empty()));
        Ok(Self(parts))
    }

    fn is_blank(&self) -> bool {
        self.0
            .iter()
            .all(|part| matches!(part, Part::Literal(literal) if literal.trim().is_empty()))
    }

    fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.0.iter().filter_map(|part| match part {
            Part::Field(field) => Some(*field),
            Part::Literal(_) => None,
        })
    }

    /// The line with its values; `None` where one has none.
    fn fill(&self, value: impl Fn(Field) -> Option<String>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => filled.push_str(literal),
                Part::Field(field) => filled.push_str(&value(*field)?),
            }
        }
        Some(filled)
    }
}

/// The lines that have all their values.
fn filled(lines: &[Line], value: impl Fn(Field) -> String) -> impl Iterator<Item = String> {
    lines
        .iter()
        .filter_map(move |line| line.fill(|field| Some(value(field)).filter(|v| !v.is_empty())))
}

fn numbered(content: &str) -> impl Iterator<Item = (usize, &str)> {
    content
        .lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line))
}

fn body<'a>(
    lines: impl Iterator<Item = (usize, &'a str)>,
    text: Text,
) -> Result<Vec<Line>, DocumentError> {
    lines
        .map(|(number, line)| Line::parse(line, 0, number, text))
        .collect()
}

/// What stands above a plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Subject,
    SubjectWithoutCode,
}

/// Reads a line above the text.
fn header(line: &str, number: usize, text: Text) -> Result<(Header, Line), DocumentError> {
    let known = match text {
        Text::Code => "`Subject: …`, `Subject-without-code: …`",
        _ => "`Subject: …`",
    };
    let Some((name, _)) = line.split_once(':') else {
        let message = format!("this is no header; write {known}, then a blank line, then the text");
        return Err(wrong(number, 1, message));
    };
    let header = if name.eq_ignore_ascii_case("Subject") {
        Header::Subject
    } else if name.eq_ignore_ascii_case("Subject-without-code") && text == Text::Code {
        Header::SubjectWithoutCode
    } else {
        let message = format!("unknown header `{}`; write {known}", clean(name));
        return Err(wrong(number, 1, message));
    };
    let value = Line::parse(line, name.len() + 1, number, text)?;
    if value.is_blank() {
        let message = "the header is empty; write a text after the colon";
        return Err(wrong(number, 1, message));
    }
    if header == Header::SubjectWithoutCode && value.fields().any(Field::is_code) {
        let message = "`Subject-without-code` shows the code; write it without";
        return Err(wrong(number, 1, message));
    }
    Ok((header, value))
}

/// A text of a code must show it, whatever else is empty.
fn check_code(lines: &[Line], text: Text, number: usize) -> Result<(), DocumentError> {
    if text != Text::Code {
        return Ok(());
    }
    let shows = |wanted: Field| shows(lines, wanted);
    if shows(Field::Code) || shows(Field::CodeFirst) && shows(Field::CodeLater) {
        return Ok(());
    }
    Err(wrong(
        number,
        1,
        "no line is sure to show the code; write {{code}} on a line without other fields",
    ))
}

/// Whether a line is sure to show a field, whatever else is empty.
fn shows(lines: &[Line], wanted: Field) -> bool {
    lines.iter().any(|line| {
        line.fields().any(|field| field == wanted)
            && line
                .fields()
                .all(|field| field == wanted || field.is_always_there())
    })
}

fn wrong(line: usize, column: usize, message: impl Into<String>) -> DocumentError {
    DocumentError {
        line,
        column,
        message: message.into(),
    }
}

/// Adds a line, in several where it is too long: broken at blanks, the rest below the first one's value.
fn push_folded(text: &mut String, line: &str) {
    let indent = " ".repeat(value_column(line));
    let mut rest = line.to_owned();
    loop {
        // Values may begin with a dot, which ends a message where SMTP is spoken carelessly.
        if rest.starts_with('.') {
            rest.insert(0, ' ');
        }
        let Some((first, after)) = break_line(&rest, indent.len()) else {
            break;
        };
        text.push_str(first);
        text.push('\n');
        rest = format!("{indent}{after}");
    }
    text.push_str(&rest);
    text.push('\n');
}

/// Where a line that is too long can be broken, right of its first `indent` characters.
fn break_line(line: &str, indent: usize) -> Option<(&str, &str)> {
    if line.chars().count() <= COLUMNS {
        return None;
    }
    let blanks = line
        .char_indices()
        .enumerate()
        .filter(|(column, (_, c))| *c == ' ' && *column > indent);
    let mut best = None;
    for (column, (at, _)) in blanks {
        if column > COLUMNS && best.is_some() {
            break;
        }
        best = Some(at);
        if column > COLUMNS {
            break;
        }
    }
    let (first, after) = line.split_at_checked(best?)?;
    let (first, after) = (first.trim_end(), after.trim_start());
    (!first.is_empty() && !after.is_empty()).then_some((first, after))
}

/// The column that the lines below a broken one begin in: that of a label's value, else the line's own.
fn value_column(line: &str) -> usize {
    let own = line.len() - line.trim_start_matches(' ').len();
    let Some((label, value)) = line.split_once(": ") else {
        return own;
    };
    let trimmed = value.trim_start_matches(' ');
    if label.chars().count() < LABEL && value.starts_with(' ') {
        line.chars().count() - trimmed.chars().count()
    } else {
        own
    }
}

/// A value as text of HTML, or as an attribute in quotes.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}
