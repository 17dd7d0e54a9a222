//! Drawings for docs/, in SVG: a ground of their own, so that they are legible on light and dark pages.

mod bars;
mod lines;

pub(crate) use bars::Bars;
pub(crate) use lines::{Lines, Series};

use std::fmt::Write as _;

/// Who is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Ours,
    Google,
    Oath,
    Control,
    Floor,
}

impl Colour {
    fn hex(self) -> &'static str {
        match self {
            Self::Ours => "#0b7285",
            Self::Google => "#d9480f",
            Self::Oath => "#6741d9",
            Self::Control => "#495057",
            Self::Floor => "#868e96",
        }
    }
}

/// In pixels.
const WIDTH: f64 = 760.0;
const TITLE: &str = "#1f2933";
const TEXT: &str = "#3e4c59";
const GRID: &str = "#e4e7eb";

/// Text that stands somewhere.
struct Label<'a> {
    x: f64,
    y: f64,
    size: f64,
    /// start, middle, end
    anchor: &'a str,
    colour: &'a str,
    is_bold: bool,
}

impl Label<'_> {
    fn draw(&self, svg: &mut String, text: &str) {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        let weight = if self.is_bold {
            " font-weight=\"600\""
        } else {
            ""
        };
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{}\" text-anchor=\"{}\" fill=\"{}\"{weight}>{escaped}</text>",
            self.x, self.y, self.size, self.anchor, self.colour
        )
        .unwrap();
    }
}

/// The ground, the title and what stands below it.
fn begin(height: f64, title: &str, below: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\">\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#ffffff\" stroke=\"#cbd2d9\"/>\n",
        WIDTH - 1.0,
        height - 1.0
    );
    let label = |y, size, colour, is_bold| Label {
        x: 24.0,
        y,
        size,
        anchor: "start",
        colour,
        is_bold,
    };
    label(34.0, 17.0, TITLE, true).draw(&mut svg, title);
    label(54.0, 12.5, TEXT, false).draw(&mut svg, below);
    svg
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    )
    .unwrap();
}

/// Microseconds as people say them.
fn time(microseconds: f64) -> String {
    if microseconds == 0.0 {
        "0".to_owned()
    } else if microseconds >= 999_500.0 {
        format!("{} s", short(microseconds / 1e6))
    } else if microseconds >= 999.5 {
        format!("{} ms", short(microseconds / 1e3))
    } else {
        format!("{} µs", short(microseconds))
    }
}

/// Two or three digits, without noughts behind the point.
fn short(value: f64) -> String {
    let text = if value >= 99.5 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    };
    text.trim_end_matches(".0").to_owned()
}
