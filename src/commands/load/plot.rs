//! Latency by percentile, as a picture.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::text::Short;
use hdrhistogram::Histogram;
use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 500);
/// How many points there are between 0 and 50 %, and in each half of what is left then.
const POINTS: u32 = 20;

/// A file that is to be the picture.
pub(super) struct Plot {
    path: PathBuf,
    file: File,
}

impl Plot {
    /// Opens the file, before the time is spent whose picture it is to be.
    ///
    /// # Errors
    ///
    /// What open(2) says.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| Error::new("open", path.display(), error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes `latency`, in nanoseconds, as SVG: percentiles to the right, each nine as wide as the one before; time
    /// upwards, each power of ten as high as the next.
    ///
    /// # Errors
    ///
    /// What write(2) says.
    pub(super) fn write(mut self, title: &str, latency: &Histogram<u64>) -> Result<()> {
        let mut picture = String::new();
        draw(&mut picture, title, latency)
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|()| self.file.write_all(picture.as_bytes()))
            .map_err(|error| Error::new("write", self.path.display(), error))
    }
}

fn draw(
    picture: &mut String,
    title: &str,
    latency: &Histogram<u64>,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let quantiles = latency.iter_quantiles(POINTS).filter(|step| step.quantile() < 1.0);
    let points: Vec<(f64, f64)> =
        quantiles.map(|step| (nines(step.quantile()), step.value_iterated_to() as f64)).collect();
    let right = points.last().map_or(1.0, |&(nines, _)| nines.max(1.0));
    let (low, high) = (latency.min().max(1) as f64, latency.max().max(10) as f64);

    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..right, (low..high * 1.1).log_scale())?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 14))
        .x_desc("percentile")
        .x_labels(right.ceil() as usize + 1)
        .x_label_formatter(&|&nines| percentile(nines))
        .y_label_formatter(&|&nanoseconds| Short(Duration::from_nanos(nanoseconds as u64)).to_string())
        .draw()?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    area.present()?;
    Ok(())
}

/// How many nines a quantile has: 0 for 0, 1 for 0.9, 2 for 0.99.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// The percentile of so many nines: `0`, `90`, `99`, `99.9`.
fn percentile(nines: f64) -> String {
    let value = 100.0 * (1.0 - 10_f64.powf(-nines));
    let decimals = (nines.round() as usize).saturating_sub(2);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_is_as_wide_as_the_one_before() {
        for (nines_, shown) in [(0.0, "0"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")] {
            assert_eq!(percentile(nines_), shown);
        }
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
    }
}
