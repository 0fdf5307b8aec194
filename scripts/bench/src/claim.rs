//! What the listener must reach, and whether it did.

use serde::Serialize;

use crate::metric::Metric;
use crate::peers::Peer;
use crate::statistics::{Spread, paired};

/// A figure that the listener must reach.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub metric: Metric,
    pub measure: Measure,
    pub bound: Bound,
}

/// Two medians of one program differ by as much.
const NO_WORSE: f64 = 1.02;

/// How the figure comes out of the series.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// The median of the ratios to this server, round by round.
    Paired(Peer),
    /// The least of ours against the least of this server's.
    Least(Peer),
    /// The median of ours alone.
    Median,
    /// The greatest of ours alone.
    Greatest,
}

#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// What became of a claim.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub claim: String,
    /// None where one of the servers could not be measured.
    pub value: Option<f64>,
    pub measured: String,
    pub reached: bool,
}

impl Claim {
    /// That the listener does no worse than it did before, but for what two medians differ by anyway.
    pub fn no_worse(metric: Metric, before: Peer) -> Self {
        let bound = match metric.is_rate() {
            true => Bound::AtLeast(1.0 / NO_WORSE),
            false => Bound::AtMost(NO_WORSE),
        };
        Self { metric, measure: Measure::Paired(before), bound }
    }

    /// Judges it by what the listener and the other server did.
    pub fn judge(&self, ours: &[Option<f64>], of: impl Fn(Peer) -> Vec<Option<f64>>) -> Verdict {
        let value = self.value(ours, of);
        Verdict {
            claim: self.words(),
            value,
            measured: value.map_or("-".to_owned(), |value| self.show(value)),
            reached: value.is_some_and(|value| self.bound.holds(value)),
        }
    }

    fn value(&self, ours: &[Option<f64>], of: impl Fn(Peer) -> Vec<Option<f64>>) -> Option<f64> {
        Some(match self.measure {
            Measure::Paired(peer) => Spread::of(paired(ours, &of(peer)))?.median,
            Measure::Least(peer) => Spread::of(there(ours))?.min / Spread::of(there(&of(peer)))?.min,
            Measure::Median => Spread::of(there(ours))?.median,
            Measure::Greatest => Spread::of(there(ours))?.max,
        })
    }

    fn words(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtMost(bound) => ("≤", bound),
            Bound::AtLeast(bound) => ("≥", bound),
        };
        let (name, bound) = (self.metric.name(), self.show(bound));
        match self.measure {
            Measure::Paired(peer) => format!("{name} {sign} {bound} {}", peer.name),
            Measure::Least(peer) => format!("{name} {sign} {bound} {}, minimum against minimum", peer.name),
            Measure::Median => format!("{name} {sign} {bound}"),
            Measure::Greatest => format!("{name} {sign} {bound}, the greatest"),
        }
    }

    fn show(&self, value: f64) -> String {
        match self.measure {
            Measure::Paired(_) | Measure::Least(_) if value < 10.0 => format!("{value:.3} ×"),
            Measure::Paired(_) | Measure::Least(_) => format!("{value:.1} ×"),
            Measure::Median | Measure::Greatest => self.metric.show(value),
        }
    }
}

fn there(values: &[Option<f64>]) -> impl Iterator<Item = f64> {
    values.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{EPOLL, FLOOR};

    fn judge(measure: Measure, bound: Bound) -> Verdict {
        let claim = Claim { metric: Metric::CpuPerRequest, measure, bound };
        claim.judge(&[1100.0, 1200.0, 3000.0].map(Some), |_| [1000.0, 1000.0, 3000.0].map(Some).to_vec())
    }

    #[test]
    fn the_median_of_pairs_is_held_against_the_bound() {
        assert!(judge(Measure::Paired(EPOLL), Bound::AtMost(1.1)).reached);
        assert!(!judge(Measure::Paired(EPOLL), Bound::AtMost(1.09)).reached);
        assert!(judge(Measure::Paired(EPOLL), Bound::AtLeast(1.1)).reached);
        assert!(!judge(Measure::Paired(EPOLL), Bound::AtLeast(1.11)).reached);
    }

    #[test]
    fn the_floor_is_met_minimum_against_minimum() {
        assert_eq!(judge(Measure::Least(FLOOR), Bound::AtMost(1.14)).value, Some(1.1));
    }

    #[test]
    fn a_bound_on_the_listener_alone_needs_no_other() {
        let claim =
            Claim { metric: Metric::LatencyMedian, measure: Measure::Greatest, bound: Bound::AtMost(5e6) };
        let verdict = claim.judge(&[Some(4e6), Some(6e6)], |_| Vec::new());
        assert_eq!((verdict.reached, verdict.measured.as_str()), (false, "6.00 ms"));
    }

    #[test]
    fn the_median_of_ours_is_neither_the_least_nor_the_greatest() {
        let claim =
            Claim { metric: Metric::LatencyMedian, measure: Measure::Median, bound: Bound::AtMost(3.9e6) };
        let verdict = claim.judge(&[9e6, 1e6, 4e6].map(Some), |_| Vec::new());
        assert_eq!((verdict.reached, verdict.value), (false, Some(4e6)));
    }

    #[test]
    fn more_requests_and_less_time_are_no_worse() {
        for (metric, ours, reached) in [
            (Metric::RequestsPerSecond, 0.97, false),
            (Metric::RequestsPerSecond, 1.3, true),
            (Metric::CpuPerRequest, 1.03, false),
            (Metric::CpuPerRequest, 0.6, true),
        ] {
            let verdict = Claim::no_worse(metric, EPOLL).judge(&[Some(ours)], |_| vec![Some(1.0)]);
            assert_eq!(verdict.reached, reached, "{metric:?} {ours}");
        }
    }

    #[test]
    fn without_the_other_server_nothing_is_reached() {
        let claim = Claim {
            metric: Metric::CpuPerRequest,
            measure: Measure::Paired(EPOLL),
            bound: Bound::AtMost(1.0),
        };
        let verdict = claim.judge(&[Some(1.0)], |_| Vec::new());
        assert_eq!((verdict.value, verdict.reached), (None, false));
    }
}
