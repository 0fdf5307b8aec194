//! Interleaved rounds: every server once, then every server again, so that what happens to the machine happens to all.

use crate::error::{Error, Result};
use crate::metric::{Metric, Sample};
use crate::peers::Peer;

/// The greatest share of the processors that others may have while a wall clock is read.
pub const OTHERS: f64 = 0.05;
/// So many rounds without them make a row of wall-clock figures valid.
pub const CLEAN: usize = 15;
/// How often a round is tried, for each that is wanted.
const TRIES: usize = 3;

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub servers: &'static [Peer],
    /// Measured in the first few rounds only.
    pub beside: &'static [Peer],
    pub rounds: usize,
    /// A round that others disturbed is measured again.
    pub wall_clock: bool,
}

const ROUNDS_BESIDE: usize = 6;

/// Gives servers a go.
pub trait Work {
    /// One go of `peer`.
    fn measure(&mut self, peer: Peer) -> Result<Sample>;

    /// The share of the processors that others had since this was last asked.
    fn others(&mut self) -> Result<f64>;
}

/// All rounds of a row.
#[derive(Debug, Default)]
pub struct Rounds {
    series: Vec<Series>,
    /// The share of the processors that others had in each round.
    pub others: Vec<f64>,
}

#[derive(Debug)]
struct Series {
    peer: Peer,
    samples: Vec<Sample>,
    /// Why there are none, or no more.
    fault: Option<Error>,
}

impl Rounds {
    /// Measures round after round.
    pub fn run(plan: &Plan, work: &mut dyn Work) -> Result<Self> {
        let all = plan.servers.iter().chain(plan.beside);
        let series = all.map(|&peer| Series { peer, samples: Vec::new(), fault: None }).collect();
        let mut rounds = Self { series, others: Vec::new() };
        for _ in 0..TRIES * plan.rounds {
            if rounds.others.len() == plan.rounds {
                break;
            }
            let count = if rounds.others.len() < ROUNDS_BESIDE { usize::MAX } else { plan.servers.len() };
            work.others()?;
            let samples = rounds.one(count, work);
            let others = work.others()?;
            if !plan.wall_clock || others < OTHERS {
                rounds.keep(samples, others);
            }
        }
        Ok(rounds)
    }

    /// One round of the first `count` servers.
    fn one(&mut self, count: usize, work: &mut dyn Work) -> Vec<Option<Sample>> {
        let go = |series: &mut Series| {
            if series.fault.is_some() {
                return None;
            }
            work.measure(series.peer).map_err(|fault| series.fault = Some(fault)).ok()
        };
        self.series.iter_mut().take(count).map(go).collect()
    }

    fn keep(&mut self, samples: Vec<Option<Sample>>, others: f64) {
        self.others.push(others);
        for (series, sample) in self.series.iter_mut().zip(samples) {
            series.samples.extend(sample);
        }
    }

    /// The servers that were measured.
    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        self.series.iter().filter(|series| !series.samples.is_empty()).map(|series| series.peer)
    }

    /// What `peer` did in its rounds, from the first on.
    pub fn values(&self, peer: Peer, metric: Metric) -> Vec<f64> {
        let samples = self.series.iter().filter(|series| series.peer.name == peer.name);
        samples.flat_map(|series| &series.samples).filter_map(|sample| sample.get(&metric).copied()).collect()
    }

    /// Who could not be measured, or not to the end, and why.
    pub fn faults(&self) -> impl Iterator<Item = (Peer, &Error)> {
        self.series.iter().filter_map(|series| Some((series.peer, series.fault.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{EPOLL, LISTENER, SOCAT, TOKIO};

    const PLAN: Plan = Plan { servers: &[LISTENER, TOKIO], beside: &[SOCAT], rounds: 8, wall_clock: false };

    /// Counts who had a go, fails as `broken` says, and is disturbed as `others` says.
    #[derive(Default)]
    struct Script {
        order: Vec<&'static str>,
        broken: Option<&'static str>,
        others: Vec<f64>,
        asked: usize,
    }

    impl Work for Script {
        fn measure(&mut self, peer: Peer) -> Result<Sample> {
            self.order.push(peer.name);
            match self.broken {
                Some(name) if name == peer.name => Err(Error::unable("it broke")),
                _ => Ok(Sample::from([(Metric::CpuPerRequest, self.order.len() as f64)])),
            }
        }

        fn others(&mut self) -> Result<f64> {
            self.asked += 1;
            // Asked at the beginning and at the end of each round.
            Ok(self.others.get((self.asked - 1) / 2).copied().unwrap_or_default())
        }
    }

    #[test]
    fn servers_take_turns_and_those_beside_take_part_in_the_first_rounds() {
        let mut script = Script::default();
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        assert_eq!(rounds.values(LISTENER, Metric::CpuPerRequest)[..3], [1.0, 4.0, 7.0]);
        assert_eq!(rounds.values(TOKIO, Metric::CpuPerRequest).len(), 8);
        assert_eq!(rounds.values(SOCAT, Metric::CpuPerRequest).len(), ROUNDS_BESIDE);
        assert_eq!(script.order[18..], [LISTENER.name, TOKIO.name, LISTENER.name, TOKIO.name]);
    }

    #[test]
    fn a_server_that_fails_is_not_tried_again_and_the_others_go_on() {
        let mut script = Script { broken: Some(TOKIO.name), ..Script::default() };
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        assert_eq!(rounds.peers().map(|peer| peer.name).collect::<Vec<_>>(), [LISTENER.name, SOCAT.name]);
        assert_eq!(rounds.faults().map(|(peer, _)| peer.name).collect::<Vec<_>>(), [TOKIO.name]);
        assert_eq!(script.order.iter().filter(|&&name| name == TOKIO.name).count(), 1);
    }

    const WALL: Plan = Plan { servers: &[EPOLL], beside: &[], rounds: 2, wall_clock: true };

    #[test]
    fn a_disturbed_round_of_the_wall_clock_is_measured_again() {
        let mut script = Script { others: vec![0.5, 0.01, 0.04], ..Script::default() };
        let rounds = Rounds::run(&WALL, &mut script).unwrap();
        assert_eq!(rounds.values(EPOLL, Metric::CpuPerRequest), [2.0, 3.0]);
        assert_eq!(rounds.others, [0.01, 0.04]);
    }

    #[test]
    fn rounds_that_are_always_disturbed_come_to_an_end() {
        let mut script = Script { others: vec![0.06; 10], ..Script::default() };
        let rounds = Rounds::run(&WALL, &mut script).unwrap();
        assert_eq!(rounds.others, [0.0; 0]);
        assert_eq!(script.order.len(), TRIES * WALL.rounds);
    }
}
