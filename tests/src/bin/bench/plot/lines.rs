//! Lines on scales whose steps multiply.

use std::fmt::Write as _;

use super::{Colour, GRID, Label, TEXT, WIDTH, begin, line, time};

/// One line, named at its end.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) colour: Colour,
    /// Whatever stands below, and microseconds.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over a scale.
pub(crate) struct Lines<'a> {
    pub(crate) title: &'a str,
    pub(crate) below: &'a str,
    /// What stands below, in words.
    pub(crate) across: &'a str,
    /// Where its marks are.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) series: Vec<Series<'a>>,
}

const LEFT: f64 = 76.0;
const RIGHT: f64 = 186.0;
const TOP: f64 = 82.0;
const HEIGHT: f64 = 420.0;
const BOTTOM: f64 = HEIGHT - 62.0;
/// Names at the ends of lines keep so much away from each other.
const APART: f64 = 16.0;

impl Lines<'_> {
    pub(crate) fn svg(&self) -> String {
        let mut svg = begin(HEIGHT, self.title, self.below);
        let times = self
            .series
            .iter()
            .flat_map(|series| series.points.iter().map(|point| point.1));
        let (lowest, highest) = times.fold((f64::MAX, f64::MIN), |(lowest, highest), time| {
            (lowest.min(time), highest.max(time))
        });
        let (low, high) = (lowest.log10().floor(), highest.log10().ceil());
        let (left, right) = (
            self.ticks[0].0.log10(),
            self.ticks[self.ticks.len() - 1].0.log10(),
        );
        let x =
            |value: f64| LEFT + (value.log10() - left) / (right - left) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| BOTTOM - (value.log10() - low) / (high - low) * (BOTTOM - TOP);
        let label = |x, y, anchor| Label {
            x,
            y,
            size: 12.5,
            anchor,
            colour: TEXT,
            is_bold: false,
        };
        let mut power = low;
        while power <= high {
            let value = 10_f64.powf(power);
            line(&mut svg, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), GRID);
            label(LEFT - 10.0, y(value) + 4.5, "end").draw(&mut svg, &time(value));
            power += 1.0;
        }
        for (value, name) in &self.ticks {
            line(
                &mut svg,
                (x(*value), BOTTOM),
                (x(*value), BOTTOM + 5.0),
                "#9aa5b1",
            );
            label(x(*value), BOTTOM + 20.0, "middle").draw(&mut svg, name);
        }
        line(&mut svg, (LEFT, BOTTOM), (WIDTH - RIGHT, BOTTOM), "#9aa5b1");
        label((LEFT + WIDTH - RIGHT) / 2.0, BOTTOM + 42.0, "middle").draw(&mut svg, self.across);
        for series in &self.series {
            draw(&mut svg, series, &x, &y);
        }
        self.name_ends(&mut svg, &x, &y);
        svg.push_str("</svg>\n");
        svg
    }

    /// Names stand right of the ends, from the lowest up, none over another.
    fn name_ends(&self, svg: &mut String, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
        let mut ends: Vec<_> = self
            .series
            .iter()
            .map(|series| (series, series.points[series.points.len() - 1]))
            .collect();
        ends.sort_by(|one, other| one.1.1.total_cmp(&other.1.1));
        let mut below = f64::MAX;
        for (series, (at, value)) in ends {
            let place = (y(value) + 4.5).min(below - APART);
            below = place;
            let label = Label {
                x: x(at) + 10.0,
                y: place,
                size: 12.5,
                anchor: "start",
                colour: series.colour.hex(),
                is_bold: series.colour == Colour::Ours,
            };
            label.draw(svg, &format!("{}: {}", series.name, time(value)));
        }
    }
}

fn draw(svg: &mut String, series: &Series<'_>, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
    let places: Vec<_> = series
        .points
        .iter()
        .map(|&(across, time)| (x(across), y(time)))
        .collect();
    let path: Vec<_> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let colour = series.colour.hex();
    let width = if series.colour == Colour::Ours {
        3.0
    } else {
        2.0
    };
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>",
        path.join(" ")
    )
    .unwrap();
    for (x, y) in places {
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\" fill=\"{colour}\"/>",
            width + 1.0
        )
        .unwrap();
    }
}
