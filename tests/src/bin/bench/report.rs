//! What was measured: targets with their verdicts, sections with tables and plots; as text, and as docs/bench.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mfa_tests::proof;

use crate::table::{Table, WIDTH, fold};

/// Everything that is told at the end.
pub(crate) struct Report {
    targets: Vec<Target>,
    /// Why a target is missed, as measured.
    reasons: Vec<String>,
    sections: Vec<Section>,
}

/// One row of the targets.
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) google: String,
    pub(crate) oath: String,
    pub(crate) ours: String,
    pub(crate) aim: String,
    pub(crate) verdict: Verdict,
}

/// What came of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
}

/// A table, with what there is to say about it.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) table: Table,
    pub(crate) plot: Option<Plot>,
}

/// A drawing beside docs/bench.md.
pub(crate) struct Plot {
    /// `bench-….svg`
    pub(crate) file: &'static str,
    /// What it shows, for who can't see it.
    pub(crate) alt: String,
    pub(crate) svg: String,
}

impl Verdict {
    pub(crate) fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
        }
    }
}

impl Target {
    /// A value that is to be at most so much. With three digits, or two places.
    pub(crate) fn at_most(what: &str, peers: [f64; 2], ours: f64, most: f64, unit: &str) -> Self {
        let [google, oath] = peers.map(|value| {
            if value.is_nan() {
                "–".to_owned()
            } else {
                number(value)
            }
        });
        Self {
            what: what.to_owned(),
            google,
            oath,
            ours: number(ours),
            aim: format!("≤ {most}{unit}"),
            verdict: Verdict::of(ours <= most),
        }
    }
}

/// Three digits, or two places.
pub(crate) fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            targets: Vec::new(),
            reasons: Vec::new(),
            sections: Vec::new(),
        }
    }

    pub(crate) fn target(&mut self, target: Target) {
        self.targets.push(target);
    }

    /// The measured reason, where the target that was added last is missed.
    pub(crate) fn reason(&mut self, text: impl FnOnce() -> String) {
        let last = self.targets.last().unwrap();
        if last.verdict == Verdict::Missed {
            self.reasons.push(format!("{}: {}", last.what, text()));
        }
    }

    pub(crate) fn section(&mut self, title: &str, about: &str, table: Table, plot: Option<Plot>) {
        self.sections.push(Section {
            title: title.to_owned(),
            about: about.to_owned(),
            table,
            plot,
        });
    }

    fn targets_table(&self) -> Table {
        let mut table = Table::new(&["", "google", "oath", "pam_mfa", "target", ""]);
        for target in &self.targets {
            table.row(vec![
                target.what.clone(),
                target.google.clone(),
                target.oath.clone(),
                target.ours.clone(),
                target.aim.clone(),
                target.verdict.word().to_owned(),
            ]);
        }
        table
    }

    /// At most 100 columns wide.
    pub(crate) fn print(&self, head: &str) {
        let mut text = format!("{}\ntargets\n{}", fold(head), self.targets_table().text());
        for reason in &self.reasons {
            writeln!(text, "{}", fold(&format!("why not: {reason}"))).unwrap();
        }
        for section in &self.sections {
            let title = fold(&format!("{}. {}", section.title, section.about));
            write!(text, "\n{title}\n{}", section.table.text()).unwrap();
        }
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "too wide: {line}");
            println!("{line}");
        }
    }

    /// docs/bench.md and its drawings.
    pub(crate) fn write(&self, folder: &Path, head: &str) {
        let mut text = format!(
            "# What logins cost\n\n{head}\n\nWritten by `make bench`, nothing in here by hand. Times are medians in µs, \
             with quartiles where two\nmore numbers stand beside them; ratios are medians over blocks of logins that \
             took turns.\n\n## Targets\n\n{}\n",
            self.targets_table().markdown()
        );
        if !self.reasons.is_empty() {
            text.push_str("Why targets are missed, as measured:\n\n");
        }
        for reason in &self.reasons {
            writeln!(text, "- {reason}").unwrap();
        }
        for section in &self.sections {
            writeln!(text, "\n## {}\n\n{}\n", section.title, section.about).unwrap();
            if let Some(plot) = &section.plot {
                fs::write(folder.join(plot.file), &plot.svg).unwrap();
                writeln!(text, "![{}]({})\n", plot.alt, plot.file).unwrap();
            }
            text.push_str(&section.table.markdown());
        }
        fs::write(folder.join("bench.md"), text).unwrap();
    }

    /// For docs/proof.md.
    pub(crate) fn tell(&self, warning: Option<&str>) {
        let mut rows: Vec<_> = self
            .targets
            .iter()
            .map(|target| {
                let verdict = target.verdict.word();
                let row = format!("{} (target {}): {verdict}", target.ours, target.aim);
                (&*target.what, row)
            })
            .collect();
        if let Some(warning) = warning {
            rows.push(("a warning", warning.to_owned()));
        }
        proof::tell("bench", "Targets, measured by the benchmark", &rows);
    }
}
