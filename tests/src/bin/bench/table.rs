//! Tables, as text and as Markdown.

use std::fmt::Write as _;

/// Columns of a terminal that text must do with.
pub(crate) const WIDTH: usize = 100;

/// Rows below a head; the first column stands left, the others right.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&word| word.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "{cells:?}");
        self.rows.push(cells);
    }

    pub(crate) fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let all = self.rows.iter().chain([&self.head]);
                all.map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in [&self.head].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(line, "  {cell:width$}").unwrap();
                } else {
                    write!(line, "  {cell:>width$}").unwrap();
                }
            }
            let line = line.trim_end();
            assert!(
                line.chars().count() <= WIDTH,
                "wider than {WIDTH}: {line}\n{self:?}"
            );
            writeln!(text, "{line}").unwrap();
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let right = "---:|".repeat(self.head.len() - 1);
        let mut text = format!("{}|---|{right}\n", line(&self.head));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text
    }
}

/// Lines of at most [`WIDTH`] columns, broken at blanks.
pub(crate) fn fold(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}
