//! A figure as a picture: a line a server, a dot a round, a bar at the median.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use crate::result::{Figure, Series};

const WIDTH: i32 = 900;
const LINE: i32 = 28;
const TOP: i32 = 44;
const BOTTOM: i32 = 40;
/// Room for the names on the left and the medians on the right.
const LEFT: i32 = 300;
const RIGHT: i32 = 90;

/// Draws `figure` into an SVG file.
pub fn draw(figure: &Figure, title: &str, path: &Path) -> Result<()> {
    let height = TOP + BOTTOM + LINE * i32::try_from(figure.series.len())?;
    let root = SVGBackend::new(path, (WIDTH.unsigned_abs(), height.unsigned_abs())).into_drawing_area();
    picture(&root, figure, title, height).map_err(|error| Error::unable(error.to_string()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = std::result::Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn picture<'a>(root: &Area<'a>, figure: &Figure, title: &str, height: i32) -> Drawn<'a> {
    root.fill(&WHITE)?;
    let words = format!("{title}: {}", figure.metric.name());
    root.draw(&Text::new(words, (12, 14), ("sans-serif", 16).into_font()))?;
    let scale = Scale::of(figure);
    for value in scale.ticks() {
        let x = scale.x(value);
        root.draw(&PathElement::new([(x, TOP - 6), (x, height - BOTTOM)], RGBColor(220, 220, 220)))?;
        let style = TextStyle::from(("sans-serif", 12)).pos(Pos::new(HPos::Center, VPos::Top));
        let words = if value == 0.0 { "0".to_owned() } else { figure.metric.show(value) };
        root.draw(&Text::new(words, (x, height - BOTTOM + 8), style))?;
    }
    for (line, series) in (0..).zip(&figure.series) {
        draw_series(root, figure, series, &scale, TOP + LINE * line + LINE / 2, line == 0)?;
    }
    root.present()
}

fn draw_series<'a>(
    root: &Area<'a>,
    figure: &Figure,
    series: &Series,
    scale: &Scale,
    y: i32,
    ours: bool,
) -> Drawn<'a> {
    let colour = if ours { RGBColor(200, 60, 20) } else { RGBColor(40, 90, 160) };
    let name = TextStyle::from(("sans-serif", 13)).pos(Pos::new(HPos::Right, VPos::Center));
    root.draw(&Text::new(series.server, (LEFT - 10, y), name))?;
    for &value in series.values.iter().flatten() {
        root.draw(&Circle::new((scale.x(value), y), 3, colour.mix(0.35).filled()))?;
    }
    let median = scale.x(series.spread.median);
    root.draw(&Rectangle::new([(median - 1, y - 9), (median + 1, y + 9)], colour.filled()))?;
    let value = TextStyle::from(("sans-serif", 13)).pos(Pos::new(HPos::Left, VPos::Center)).color(&colour);
    root.draw(&Text::new(figure.metric.show(series.spread.median), (WIDTH - RIGHT + 10, y), value))
}

/// From zero to a little more than the greatest median; what lies beyond stands at the edge.
struct Scale {
    most: f64,
}

impl Scale {
    fn of(figure: &Figure) -> Self {
        let medians = figure.series.iter().map(|series| series.spread.median);
        Self { most: 1.1 * medians.fold(f64::MIN_POSITIVE, f64::max) }
    }

    /// Zero, and the multiples of one, two or five times a power of ten that give five lines at most.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let least = self.most / 5.0;
        let power = 10_f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|&step| step >= least);
        let (step, most) = (step.unwrap_or(self.most), self.most);
        (0..=5).map(move |tick| step * f64::from(tick)).take_while(move |&value| value <= most)
    }

    fn x(&self, value: f64) -> i32 {
        let width = f64::from(WIDTH - LEFT - RIGHT);
        LEFT + (width * (value / self.most).min(1.0)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn lines_stand_at_round_values() {
        let ticks = |most| Scale { most }.ticks().collect::<Vec<_>>();
        assert_eq!(ticks(10_300.0), [0.0, 5000.0, 10_000.0]);
        assert_eq!(ticks(4.4), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ticks(99.0), [0.0, 20.0, 40.0, 60.0, 80.0]);
    }
}
