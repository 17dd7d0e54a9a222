//! Bars that lie beside each other, as long as their times.

use std::fmt::Write as _;

use super::{Colour, GRID, Label, TEXT, TITLE, WIDTH, begin, line, short, time};

/// Groups of two bars: a strong one, and a pale one where there is a second value.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) below: &'a str,
    /// What the strong and the pale bars are.
    pub(crate) kinds: [&'a str; 2],
    /// Name, who, microseconds.
    pub(crate) groups: Vec<(&'a str, Colour, f64, Option<f64>)>,
}

const LEFT: f64 = 206.0;
const RIGHT: f64 = 84.0;
const TOP: f64 = 100.0;
const BAR: f64 = 17.0;
const GAP: f64 = 13.0;
const PALE: f64 = 0.42;

impl Bars<'_> {
    pub(crate) fn svg(&self) -> String {
        let rows: usize = self
            .groups
            .iter()
            .map(|group| 1 + usize::from(group.3.is_some()))
            .sum();
        let bottom = TOP + rows as f64 * BAR + self.groups.len() as f64 * GAP;
        let mut svg = begin(bottom + 38.0, self.title, self.below);
        let longest = self.groups.iter().fold(0.0_f64, |longest, group| {
            longest.max(group.2).max(group.3.unwrap_or(0.0))
        });
        let step = step(longest);
        let length = |value: f64| value / longest * (WIDTH - LEFT - RIGHT);
        let mut tick = 0.0;
        while tick <= longest {
            let x = LEFT + length(tick);
            line(&mut svg, (x, TOP - 6.0), (x, bottom), GRID);
            text(x, bottom + 18.0, "middle", TEXT).draw(&mut svg, &time(tick));
            tick += step;
        }
        self.legend(&mut svg);
        let mut y = TOP;
        for (name, colour, strong, pale) in &self.groups {
            let height = if pale.is_some() { 2.0 * BAR } else { BAR };
            let label = Label {
                is_bold: *colour == Colour::Ours,
                ..text(LEFT - 12.0, y + height / 2.0 + 4.5, "end", TITLE)
            };
            label.draw(&mut svg, name);
            for (value, opacity) in [(Some(*strong), 1.0), (*pale, PALE)] {
                let Some(value) = value else { continue };
                bar(&mut svg, (LEFT, y), length(value), colour.hex(), opacity);
                text(LEFT + length(value) + 7.0, y + BAR - 5.0, "start", TEXT)
                    .draw(&mut svg, &short(value));
                y += BAR;
            }
            y += GAP;
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = LEFT;
        for (kind, opacity) in self.kinds.iter().zip([1.0, PALE]) {
            bar(svg, (x, TOP - 31.0), 14.0, Colour::Control.hex(), opacity);
            text(x + 20.0, TOP - 19.0, "start", TEXT).draw(svg, kind);
            x += 20.0 + kind.chars().count() as f64 * 6.6 + 26.0;
        }
    }
}

fn text<'a>(x: f64, y: f64, anchor: &'a str, colour: &'a str) -> Label<'a> {
    Label {
        x,
        y,
        size: 12.5,
        anchor,
        colour,
        is_bold: false,
    }
}

fn bar(svg: &mut String, (x, y): (f64, f64), length: f64, colour: &str, opacity: f64) {
    writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"2\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
        length.max(1.0),
        BAR - 2.0
    )
    .unwrap();
}

/// Between four and ten ticks.
fn step(longest: f64) -> f64 {
    let power = 10_f64.powf(longest.log10().floor());
    let steps = [0.1, 0.2, 0.25, 0.5, 1.0].map(|part| part * power);
    steps
        .into_iter()
        .find(|step| longest / step <= 7.0)
        .unwrap_or(2.0 * power)
}
