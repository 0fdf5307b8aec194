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
/// So many failures of a server are one round's bad luck each; then it is given up.
const FAULTS: usize = 3;

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    pub servers: &'a [Peer],
    /// Measured in the first few rounds only.
    pub beside: &'a [Peer],
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
#[derive(Debug)]
pub struct Rounds {
    peers: Vec<Peer>,
    /// How each has failed so far.
    faults: Vec<Vec<Error>>,
    rounds: Vec<Round>,
    /// So many clean ones it takes to say anything.
    needed: usize,
}

#[derive(Debug)]
struct Round {
    /// In the order of the peers; none where one took no part.
    samples: Vec<Option<Sample>>,
    /// The share of the processors that others had.
    others: f64,
}

impl Round {
    fn is_clean(&self) -> bool {
        self.others < OTHERS
    }
}

impl Rounds {
    /// Measures round after round. Where a wall clock is read, the disturbed rounds are thrown away, unless too few
    /// are left.
    pub fn run(plan: &Plan, work: &mut dyn Work) -> Result<Self> {
        let peers: Vec<Peer> = plan.servers.iter().chain(plan.beside).copied().collect();
        let faults = peers.iter().map(|_| Vec::new()).collect();
        let needed = if plan.wall_clock { CLEAN.min(plan.rounds) } else { 0 };
        let mut measured = Self { peers, faults, rounds: Vec::new(), needed };
        let (wanted, most) =
            if plan.wall_clock { (plan.rounds, TRIES * plan.rounds) } else { (usize::MAX, plan.rounds) };
        while measured.rounds.len() < most && measured.clean() < wanted {
            let count = if measured.rounds.len() < ROUNDS_BESIDE { usize::MAX } else { plan.servers.len() };
            work.others()?;
            let samples = measured.one(count, work);
            measured.rounds.push(Round { samples, others: work.others()? });
        }
        if plan.wall_clock && !measured.is_void() {
            measured.rounds.retain(Round::is_clean);
        }
        Ok(measured)
    }

    /// One round of the first `count` servers.
    fn one(&mut self, count: usize, work: &mut dyn Work) -> Vec<Option<Sample>> {
        let go = |(peer, faults): (&Peer, &mut Vec<Error>)| {
            if faults.len() == FAULTS {
                return None;
            }
            work.measure(*peer).map_err(|error| faults.push(error)).ok()
        };
        self.peers.iter().zip(&mut self.faults).take(count).map(go).collect()
    }

    /// Whether a wall clock was read and others disturbed too many rounds: [`CLEAN`] must be left, or all where fewer
    /// were asked for.
    pub fn is_void(&self) -> bool {
        self.clean() < self.needed
    }

    /// How many rounds were not disturbed.
    fn clean(&self) -> usize {
        self.rounds.iter().filter(|round| round.is_clean()).count()
    }

    /// The share of the processors that others had in each round.
    pub fn others(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.others).collect()
    }

    /// What `peer` did in each round; none where it took no part.
    pub fn values(&self, peer: Peer, metric: Metric) -> Vec<Option<f64>> {
        let index = self.peers.iter().position(|other| other.name == peer.name);
        let value = |round: &Round| round.samples.get(index?)?.as_ref()?.get(&metric).copied();
        self.rounds.iter().map(value).collect()
    }

    /// All servers, measured or not.
    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        self.peers.iter().copied()
    }

    /// How servers failed, each with its worst fault and how many there were: wrong bytes, or else the last.
    pub fn faults(&self) -> impl Iterator<Item = (Peer, &Error, usize)> {
        let failed = self.peers.iter().zip(&self.faults);
        failed.filter_map(|(&peer, faults)| {
            let worst = faults.iter().rfind(|fault| fault.is_content()).or(faults.last())?;
            Some((peer, worst, faults.len()))
        })
    }

    /// Whether a server gave wrong bytes back in any round.
    pub fn is_wrong(&self) -> bool {
        self.faults.iter().flatten().any(Error::is_content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{EPOLL, LISTENER, SOCAT, TOKIO};

    const PLAN: Plan = Plan { servers: &[LISTENER, TOKIO], beside: &[SOCAT], rounds: 8, wall_clock: false };

    /// Counts who had a go; one fails so many times, and others disturb as they are told.
    #[derive(Default)]
    struct Script {
        order: Vec<&'static str>,
        failures: usize,
        /// One of these is wrong bytes: the one with so many to come.
        content: Option<usize>,
        others: Vec<f64>,
        asked: usize,
    }

    impl Work for Script {
        fn measure(&mut self, peer: Peer) -> Result<Sample> {
            self.order.push(peer.name);
            if peer.name == TOKIO.name && self.failures > 0 {
                self.failures -= 1;
                return Err(match self.content {
                    Some(left) if left == self.failures => Error::Content("wrong bytes".to_owned()),
                    _ => Error::unable("it broke"),
                });
            }
            Ok(Sample::from([(Metric::CpuPerRequest, self.order.len() as f64)]))
        }

        fn others(&mut self) -> Result<f64> {
            self.asked += 1;
            // Asked at the beginning and at the end of each round.
            Ok(self.others.get((self.asked - 1) / 2).copied().unwrap_or_default())
        }
    }

    fn values(rounds: &Rounds, peer: Peer) -> Vec<f64> {
        rounds.values(peer, Metric::CpuPerRequest).into_iter().flatten().collect()
    }

    #[test]
    fn servers_take_turns_and_those_beside_take_part_in_the_first_rounds() {
        let mut script = Script::default();
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        assert_eq!(values(&rounds, LISTENER)[..3], [1.0, 4.0, 7.0]);
        assert_eq!(values(&rounds, TOKIO).len(), 8);
        assert_eq!(values(&rounds, SOCAT).len(), ROUNDS_BESIDE);
        assert_eq!(script.order[18..], [LISTENER.name, TOKIO.name, LISTENER.name, TOKIO.name]);
    }

    #[test]
    fn a_server_that_always_fails_is_given_up_and_the_others_go_on() {
        let mut script = Script { failures: usize::MAX, ..Script::default() };
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        assert_eq!((values(&rounds, LISTENER).len(), values(&rounds, TOKIO).len()), (8, 0));
        let faults: Vec<_> = rounds.faults().map(|(peer, _, count)| (peer.name, count)).collect();
        assert_eq!(faults, [(TOKIO.name, FAULTS)]);
        assert!(!rounds.is_wrong());
        assert_eq!(script.order.iter().filter(|&&name| name == TOKIO.name).count(), FAULTS);
    }

    #[test]
    fn wrong_bytes_are_not_forgotten_when_the_server_then_fails_in_another_way() {
        let mut script = Script { failures: 3, content: Some(2), ..Script::default() };
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        assert!(rounds.is_wrong());
        let told: Vec<_> = rounds.faults().map(|(_, fault, count)| (fault.words(), count)).collect();
        assert_eq!(told, [("wrong bytes", 3)]);
    }

    #[test]
    fn a_round_that_failed_does_not_move_those_after_it() {
        let mut script = Script { failures: 1, ..Script::default() };
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        let tokio = rounds.values(TOKIO, Metric::CpuPerRequest);
        assert_eq!(tokio[..3], [None, Some(5.0), Some(8.0)]);
    }

    const WALL: Plan = Plan { servers: &[EPOLL], beside: &[], rounds: 2, wall_clock: true };

    #[test]
    fn a_disturbed_round_of_the_wall_clock_is_measured_again() {
        let mut script = Script { others: vec![0.5, 0.01, 0.04], ..Script::default() };
        let rounds = Rounds::run(&WALL, &mut script).unwrap();
        assert_eq!(values(&rounds, EPOLL), [2.0, 3.0]);
        assert_eq!(rounds.others(), [0.01, 0.04]);
        assert!(!rounds.is_void());
    }

    #[test]
    fn rounds_that_are_always_disturbed_come_to_an_end_and_are_told() {
        let mut script = Script { others: vec![0.06; 10], ..Script::default() };
        let rounds = Rounds::run(&WALL, &mut script).unwrap();
        assert!(rounds.is_void());
        assert_eq!(rounds.others().len(), TRIES * WALL.rounds);
    }

    #[test]
    fn of_many_rounds_as_many_as_are_needed_must_be_clean() {
        let plan = Plan { rounds: CLEAN + 1, ..WALL };
        for (clean, is_void) in [(CLEAN - 1, true), (CLEAN, false)] {
            let mut others = vec![0.01; clean];
            others.resize(TRIES * plan.rounds, 0.06);
            let rounds = Rounds::run(&plan, &mut Script { others, ..Script::default() }).unwrap();
            assert_eq!(rounds.is_void(), is_void);
            assert_eq!(rounds.others().len(), if is_void { TRIES * plan.rounds } else { CLEAN });
        }
    }

    #[test]
    fn cpu_time_is_not_measured_again_because_others_ran() {
        let mut script = Script { others: vec![0.9; 8], ..Script::default() };
        let rounds = Rounds::run(&PLAN, &mut script).unwrap();
        assert_eq!(rounds.others().len(), PLAN.rounds);
        assert!(!rounds.is_void());
    }
}
