//! The models as a picture: a panel a quantity, a line a model, more clients to the right.

use std::error::Error as AnyError;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::models::{Crowd, METRICS, MODELS};
use crate::peers::Peer;

const SIZE: (u32, u32) = (1260, 500);
const HEAD: i32 = 76;
const COLOURS: [RGBColor; 4] =
    [RGBColor(200, 60, 20), RGBColor(110, 110, 110), RGBColor(40, 90, 160), RGBColor(20, 130, 80)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn AnyError>>;

/// Draws all crowds into an SVG file.
pub fn draw(crowds: &[Crowd], path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    picture(&root, crowds).map_err(|error| Error::unable(error.to_string()))
}

fn picture(root: &Area, crowds: &[Crowd]) -> Drawn {
    root.fill(&WHITE)?;
    let (head, panels) = root.split_vertically(HEAD);
    legend(&head)?;
    for (panel, metric) in panels.split_evenly((1, METRICS.len())).iter().zip(METRICS) {
        draw_panel(panel, crowds, metric)?;
    }
    Ok(root.present()?)
}

fn legend(area: &Area) -> Drawn {
    let (large, small) = (("sans-serif", 18).into_font(), ("sans-serif", 14).into_font());
    area.draw(&Text::new("The listener's models under more and more clients", (20, 16), large))?;
    for (x, (model, colour)) in (20..).step_by(130).zip(MODELS.iter().zip(COLOURS)) {
        area.draw(&PathElement::new([(x, 56), (x + 26, 56)], colour.stroke_width(3)))?;
        area.draw(&Circle::new((x + 13, 56), 4, colour.filled()))?;
        area.draw(&Text::new(model.name, (x + 34, 48), small.clone()))?;
    }
    let words = "hollow: some clients waited all the time, and the point speaks of those served";
    Ok(area.draw(&Text::new(words, (560, 48), small))?)
}

fn draw_panel(panel: &Area, crowds: &[Crowd], metric: Metric) -> Drawn {
    let curves: Vec<Vec<Point>> = MODELS.iter().map(|&model| curve(crowds, metric, model)).collect();
    let right = crowds.last().map_or(1, |crowd| crowd.clients) as f64;
    let decades = decades(curves.iter().flatten().map(|point| point.value));
    let mut chart = ChartBuilder::on(panel)
        .caption(metric.name(), ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((0.8..right * 1.25).log_scale(), decades.log_scale())?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 14))
        .light_line_style(RGBColor(242, 242, 242))
        .bold_line_style(RGBColor(215, 215, 215))
        .x_desc("clients")
        .x_label_formatter(&|clients| format!("{clients:.0}"))
        .y_label_formatter(&|&value| metric.show(value))
        .draw()?;
    for (curve, colour) in curves.into_iter().zip(COLOURS) {
        let places = curve.iter().map(|point| (point.clients, point.value));
        chart.draw_series(LineSeries::new(places, colour.stroke_width(2)))?;
        chart.draw_series(
            curve.iter().map(|point| Circle::new((point.clients, point.value), 4, WHITE.filled())),
        )?;
        chart.draw_series(curve.iter().map(|point| {
            let style = if point.all_served { colour.filled() } else { colour.stroke_width(2) };
            Circle::new((point.clients, point.value), 4, style)
        }))?;
    }
    Ok(())
}

/// A median.
struct Point {
    clients: f64,
    value: f64,
    all_served: bool,
}

fn curve(crowds: &[Crowd], metric: Metric, model: Peer) -> Vec<Point> {
    let point = |crowd: &Crowd| {
        // A logarithm has no place for zero, which memory is where all clients fit into a page that was there before.
        let value = Some(crowd.spread(metric, model)?.median).filter(|&value| value > 0.0)?;
        let all_served = crowd.served(model) == Some(crowd.clients);
        Some(Point { clients: crowd.clients as f64, value, all_served })
    };
    crowds.iter().filter_map(point).collect()
}

/// The powers of ten that all values lie between.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) =
        values.fold((f64::MAX, 1.0), |(least, most), value| (value.min(least), value.max(most)));
    let low = least.min(most).log10().floor();
    10_f64.powf(low)..10_f64.powf(most.log10().ceil().max(low + 1.0))
}

#[cfg(test)]
mod tests {
    use super::decades;

    #[test]
    fn an_axis_has_whole_decades_and_one_at_least() {
        assert_eq!(decades([310.0, 42_000.0].into_iter()), 100.0..100_000.0);
        assert_eq!(decades([1000.0].into_iter()), 1000.0..10_000.0);
        assert_eq!(decades([].into_iter()), 1.0..10.0);
    }
}
