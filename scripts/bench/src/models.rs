//! `make compare-models`: the listener's four models under more and more clients.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::cpus::Cpus;
use crate::error::Result;
use crate::machine::Machine;
use crate::metric::Metric::{self, LatencyP99, MemoryPerClient, RequestsPerCpuSecond, ServedClients};
use crate::peers::{EVENT_LOOP, FORK, Peer, SEQUENTIAL, THREAD};
use crate::result::Outcome;
use crate::rounds::{OTHERS, Plan};
use crate::rows::{Kind, Row};
use crate::statistics::Spread;

/// In the order in which they are told of.
pub const MODELS: &[Peer] = &[EVENT_LOOP, SEQUENTIAL, THREAD, FORK];
/// The quantities that a model is compared by.
pub const METRICS: [Metric; 3] = [RequestsPerCpuSecond, LatencyP99, MemoryPerClient];

const CROWDS: [(usize, &str, &str); 4] = [
    (1, "models-1", "1 client"),
    (10, "models-10", "10 clients"),
    (100, "models-100", "100 clients"),
    (1000, "models-1000", "1,000 clients"),
];

/// What all models did under so many clients.
#[derive(Debug, Serialize)]
pub struct Crowd {
    pub clients: usize,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Measures one number of clients after the other.
pub fn crowds(cpus: &Cpus, rounds: Option<usize>) -> impl Iterator<Item = Result<Crowd>> {
    CROWDS.into_iter().map(move |(clients, key, title)| {
        let row = Row {
            key,
            title,
            kind: Kind::Model(clients),
            plan: Plan { servers: MODELS, beside: &[], rounds: 7, wall_clock: false },
            metrics: &[RequestsPerCpuSecond, LatencyP99, MemoryPerClient, ServedClients],
            claims: &[],
        };
        Ok(Crowd { clients, outcome: row.measure(cpus, rounds)? })
    })
}

impl Crowd {
    /// What a model did, where it did anything.
    pub fn spread(&self, metric: Metric, model: Peer) -> Option<Spread> {
        self.outcome.spread(metric, model)
    }

    /// How many clients were served in the worst round, where there was any.
    pub fn served(&self, model: Peer) -> Option<usize> {
        Some(self.spread(ServedClients, model)?.min as usize)
    }

    /// A model gave wrong bytes back, or could not be measured at all.
    pub fn failed(&self) -> bool {
        self.outcome.wrong || MODELS.iter().any(|&model| self.served(model).is_none())
    }

    /// Others had so much of the processors that a wall clock has little to say.
    fn is_disturbed(&self) -> bool {
        self.outcome.others.is_some_and(|others| others.median >= OTHERS)
    }
}

/// The whole page.
pub fn page(machine: &Machine, crowds: &[Crowd]) -> String {
    let rows: String = crowds.iter().map(Crowd::to_string).collect();
    let faults: String = crowds.iter().map(faults).collect();
    let load = crowds.last().map_or("", |crowd| &crowd.outcome.conditions);
    format!(
        "# The listener's models\n\n{machine}\n\n{HEAD}{rows}{faults}\n{HOW_TO_READ}\nThe load, last: {load}.\n"
    )
}

/// The head of the table.
pub const HEAD: &str = "\
| clients | model | served | requests per CPU second of the server | p99 of those served | user memory per client served (Pss_Anon) | others |
|---:|---|---:|---:|---:|---:|---:|
";

const HOW_TO_READ: &str = "\
Medians of rounds in which the models take turns, each time as a server that has just been started. *served*: how many clients
had an answer within the second of warm-up or the measured time, in the worst round; the rest waited all that time, and no
figure speaks of them. *sequential* serves one client until it leaves. Processor time is that of the server with its threads and
children, the ended ones too. Memory is what the clients add to the server and its children: `Pss_Anon` of
/proc/PID/smaps_rollup, where pages that processes share count once; what the kernel has for a connection, a thread or a process
is not in it. It grows by pages of 4 KiB: few clients of the event loop fit into what it has touched already. *others* is the
share of all processors that went to other processes, to the kernel's own work and to the host; from 0.05 on, the column of p99
has a question mark.
";

impl Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MODELS.iter().try_for_each(|&model| {
            let [requests, latency, memory] = METRICS.map(|metric| {
                self.spread(metric, model).map_or("-".to_owned(), |spread| metric.show(spread.median))
            });
            let (clients, doubt) = (self.clients, if self.is_disturbed() { " ?" } else { "" });
            let served = self.served(model).map_or("-".to_owned(), |served| format!("{served} of {clients}"));
            let name = model.name;
            let others = self.outcome.others.map_or("-".to_owned(), |others| format!("{:.3}", others.median));
            writeln!(
                f,
                "| {clients} | {name} | {served} | {requests} | {latency}{doubt} | {memory} | {others} |"
            )
        })
    }
}

/// How models failed, a line each.
pub fn faults(crowd: &Crowd) -> String {
    let line = |(model, fault, rounds): &(&str, String, usize)| {
        format!("\n{model} failed under {} clients in {rounds} of the rounds: {fault}.\n", crowd.clients)
    };
    crowd.outcome.faults.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Figure, Series};

    /// Ten clients, of whom `served` are in each round; the others' share was this.
    fn crowd(models: &[(Peer, [f64; 2])], others: f64) -> Crowd {
        let series = |metric: Metric| {
            let value = |served: f64| match metric {
                ServedClients => served,
                LatencyP99 => 80_000.0,
                _ => 70_000.0,
            };
            let series = models.iter().map(|&(model, served)| Series {
                server: model.name,
                values: served.map(|served| Some(value(served))).to_vec(),
                spread: Spread::of(served.map(value)).unwrap(),
                ratio: None,
            });
            Figure { metric, series: series.collect() }
        };
        let outcome = Outcome {
            key: "models-10",
            title: "10 clients",
            conditions: "`fourtuple load`".to_owned(),
            rounds: 2,
            others: Spread::of([others]),
            void: false,
            aligned_reads: Vec::new(),
            figures: METRICS.into_iter().chain([ServedClients]).map(series).collect(),
            verdicts: Vec::new(),
            faults: vec![(FORK.name, "fork: EAGAIN".to_owned(), 2)],
            wrong: false,
        };
        Crowd { clients: 10, outcome }
    }

    const ALL: [f64; 2] = [10.0, 10.0];

    #[test]
    fn who_waits_is_told_and_the_worst_round_counts() {
        let crowd = crowd(&[(EVENT_LOOP, ALL), (SEQUENTIAL, [1.0, 1.0]), (THREAD, [10.0, 7.0])], 0.01);
        let rows = crowd.to_string();
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(rows[0], "| 10 | event-loop | 10 of 10 | 70.0 k | 80.0 µs | 70.0 kB | 0.010 |");
        assert!(rows[1].starts_with("| 10 | sequential | 1 of 10 |"), "{}", rows[1]);
        assert!(rows[2].starts_with("| 10 | thread | 7 of 10 |"), "{}", rows[2]);
        assert_eq!(rows[3], "| 10 | fork | - | - | - | - | 0.010 |");
    }

    #[test]
    fn a_model_without_a_figure_is_a_failure_and_its_fault_is_told() {
        let three = [(EVENT_LOOP, ALL), (SEQUENTIAL, ALL), (THREAD, ALL)];
        assert!(crowd(&three, 0.0).failed());
        let all = [(EVENT_LOOP, ALL), (SEQUENTIAL, [1.0, 1.0]), (THREAD, ALL), (FORK, ALL)];
        let crowd = crowd(&all, 0.0);
        assert!(!crowd.failed());
        assert_eq!(faults(&crowd), "\nfork failed under 10 clients in 2 of the rounds: fork: EAGAIN.\n");
    }

    #[test]
    fn a_clock_read_beside_others_is_in_doubt() {
        assert!(crowd(&[(EVENT_LOOP, ALL)], 0.05).to_string().contains("| 80.0 µs ? |"));
    }
}
