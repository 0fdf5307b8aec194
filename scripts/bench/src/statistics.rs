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
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
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

/// The ratio of two series in each round that both have: a change of the machine's speed between rounds leaves it alone.
pub fn paired(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Vec<f64> {
    ours.iter().zip(theirs).filter_map(|(ours, theirs)| Some((*ours)? / (*theirs)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<const N: usize>(values: [f64; N]) -> [Option<f64>; N] {
        values.map(Some)
    }

    #[test]
    fn the_median_stands_in_the_middle_whatever_the_order() {
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 9.0, 2.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
        assert_eq!(Spread::of([7.0]), Some(Spread { min: 7.0, median: 7.0, max: 7.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_machine_that_halves_its_speed_leaves_the_paired_ratio_alone() {
        let ratios = paired(&all([10.0, 20.0, 10.0, 20.0]), &all([20.0, 40.0, 20.0, 40.0]));
        assert_eq!(Spread::of(ratios), Some(Spread { min: 0.5, median: 0.5, max: 0.5 }));
    }

    #[test]
    fn the_median_of_the_ratios_is_not_the_ratio_of_the_medians() {
        assert_eq!(
            Spread::of(paired(&all([1.0, 10.0, 100.0]), &all([2.0, 10.0, 20.0]))).map(|spread| spread.median),
            Some(1.0)
        );
    }

    #[test]
    fn a_round_that_one_of_them_missed_pairs_nothing() {
        let ratios = paired(&[Some(1.0), None, Some(3.0)], &[Some(2.0), Some(9.0), Some(3.0)]);
        assert_eq!(ratios, [0.5, 1.0]);
    }
}
