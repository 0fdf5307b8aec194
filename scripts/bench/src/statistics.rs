//! What is said of a series of measurements.

use serde::Serialize;

/// The spread of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// That of `values`; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = sorted.first().zip(sorted.last())?;
        Some(Self { min, median: middle(&sorted)?, max })
    }
}

/// The median of a sorted series; of an even number, the mean of the two in the middle.
fn middle(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        0 => Some((sorted.get(sorted.len() / 2 - 1)? + upper) / 2.0),
        _ => Some(upper),
    }
}

/// The ratio of two series round by round: a change of the machine's speed between rounds leaves it alone.
pub fn paired(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle_whatever_the_order() {
        assert_eq!(Spread::of(&[3.0, 1.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 9.0, 2.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
        assert_eq!(Spread::of(&[7.0]), Some(Spread { min: 7.0, median: 7.0, max: 7.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_machine_that_halves_its_speed_leaves_the_paired_ratio_alone() {
        let (ours, theirs) = ([10.0, 20.0, 10.0, 20.0], [20.0, 40.0, 20.0, 40.0]);
        assert_eq!(Spread::of(&paired(&ours, &theirs)), Some(Spread { min: 0.5, median: 0.5, max: 0.5 }));
    }

    #[test]
    fn the_median_of_the_ratios_is_not_the_ratio_of_the_medians() {
        let (ours, theirs) = ([1.0, 10.0, 100.0], [2.0, 10.0, 20.0]);
        assert_eq!(Spread::of(&paired(&ours, &theirs)).map(|spread| spread.median), Some(1.0));
    }
}
