//! What came out of a row.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::claim::{Claim, Verdict};
use crate::cpus::Cpus;
use crate::error::Result;
use crate::metric::Metric;
use crate::peers::Peer;
use crate::rounds::{Plan, Rounds};
use crate::rows::{Kind, Row};
use crate::statistics::{Spread, paired};
use crate::work::{Alone, Arrangement, Exchange, Model, calls, idle, start};

/// A row as it was measured.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub key: &'static str,
    pub title: &'static str,
    /// What the servers got to do.
    pub conditions: String,
    pub rounds: usize,
    /// The share of the processors that others had, over the rounds.
    pub others: Option<Spread>,
    /// Too few rounds went without others, so a wall clock has nothing to say.
    pub void: bool,
    /// The share of each server's reads in bulk into a buffer at a multiple of 32 bytes.
    pub aligned_reads: Vec<(&'static str, f64)>,
    pub figures: Vec<Figure>,
    pub verdicts: Vec<Verdict>,
    /// Who failed, how (wrong bytes, or else the last time), and in how many rounds.
    pub faults: Vec<(&'static str, String, usize)>,
    /// A server gave wrong bytes back.
    pub wrong: bool,
}

impl Outcome {
    /// What one server did, if it was measured.
    pub fn spread(&self, metric: Metric, server: Peer) -> Option<Spread> {
        let figure = self.figures.iter().find(|figure| figure.metric == metric)?;
        Some(figure.series.iter().find(|series| series.server == server.name)?.spread)
    }
}

/// One quantity, of every server.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub metric: Metric,
    pub series: Vec<Series>,
}

/// One quantity of one server, a value a round; none where it took no part.
#[derive(Debug, Serialize)]
pub struct Series {
    pub server: &'static str,
    pub values: Vec<Option<f64>>,
    pub spread: Spread,
    /// The first server's value over this one's, round by round.
    pub ratio: Option<Spread>,
}

impl Row {
    /// Measures it, in so many rounds where that is asked.
    pub fn measure(&self, cpus: &Cpus, rounds: Option<usize>) -> Result<Outcome> {
        let mut servers = self.plan.servers.to_vec();
        let before = servers.first().and_then(|ours| ours.before());
        // Side by side with ours, so that little happens between the two.
        if let Some(before) = before {
            servers.insert(1, before);
        }
        let rounds = rounds.unwrap_or(self.plan.rounds);
        let plan = Plan { servers: &servers, rounds, ..self.plan };
        let mut aligned_reads = BTreeMap::new();
        let measured = match self.kind {
            Kind::Load(load, arrangement) => {
                let mut exchange = Exchange::new(load, arrangement, cpus)?;
                let measured = Rounds::run(&plan, &mut exchange);
                if load.contains("KiB") {
                    aligned_reads = exchange.aligned_reads();
                }
                measured
            }
            Kind::Idle => Rounds::run(&plan, &mut Alone::by(idle)?),
            Kind::Start => Rounds::run(&plan, &mut Alone::by(start)?),
            Kind::Calls => Rounds::run(&plan, &mut Alone::by(calls)?),
            Kind::Model(clients) => Rounds::run(&plan, &mut Model::new(clients, cpus)?),
        }?;
        Ok(self.outcome(&measured, before, &aligned_reads))
    }

    fn outcome(
        &self,
        rounds: &Rounds,
        before: Option<Peer>,
        aligned_reads: &BTreeMap<&'static str, f64>,
    ) -> Outcome {
        let share = |peer: Peer| Some((peer.name, *aligned_reads.get(peer.name)?));
        let subject = self.plan.servers.first().copied();
        let ours = |metric| subject.map(|peer| rounds.values(peer, metric)).unwrap_or_default();
        let no_worse = before.zip(self.metrics.first()).map(|(peer, metric)| Claim::no_worse(*metric, peer));
        let judge =
            |claim: &Claim| claim.judge(&ours(claim.metric), |peer| rounds.values(peer, claim.metric));
        Outcome {
            key: self.key,
            title: self.title,
            conditions: self.conditions(),
            rounds: rounds.others().len(),
            others: Spread::of(rounds.others()),
            void: rounds.is_void(),
            aligned_reads: rounds.peers().filter_map(share).collect(),
            figures: self.metrics.iter().map(|&metric| figure(metric, &ours(metric), rounds)).collect(),
            verdicts: no_worse.iter().chain(self.claims).map(judge).collect(),
            faults: rounds
                .faults()
                .map(|(peer, fault, count)| (peer.name, fault.words().to_owned(), count))
                .collect(),
            wrong: rounds.is_wrong(),
        }
    }

    fn conditions(&self) -> String {
        match self.kind {
            Kind::Load(load, arrangement) => by_load(load, arrangement),
            Kind::Model(clients) => by_load(&Model::load(clients), Arrangement::Apart),
            Kind::Idle => "each connection has been answered once".to_owned(),
            Kind::Start => "from fork to the answer of a client that knocks all the time".to_owned(),
            Kind::Calls => "counted by strace".to_owned(),
        }
    }
}

fn by_load(load: &str, arrangement: Arrangement) -> String {
    format!("`fourtuple load {load}`; {}", arrangement.words())
}

fn figure(metric: Metric, ours: &[Option<f64>], rounds: &Rounds) -> Figure {
    let series = |peer: Peer| {
        let values = rounds.values(peer, metric);
        let spread = Spread::of(values.iter().copied().flatten())?;
        let ratio = Spread::of(paired(ours, &values));
        Some(Series { server: peer.name, values, spread, ratio })
    };
    Figure { metric, series: rounds.peers().filter_map(series).collect() }
}
