//! Clients that make work for an echo server, and measure how it does it.

mod arrivals;
mod client;
mod connect;
mod course;
mod exchange;
mod hold;
mod measure;
mod pattern;
mod ports;
mod spread;
mod tally;

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::FourTuple;

pub use arrivals::Rate;
pub use connect::Connects;
pub use course::Course;
pub use exchange::Exchange;
pub use hold::{Hold, HoldPlan, Holding};
pub use ports::SourcePorts;
pub use spread::{MOST_OWNERS, Spread};
pub use tally::Tally;

/// What the clients of one thread do.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The address to bind.
    pub local: SocketAddr,
    /// The address to connect to.
    pub remote: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// Bytes of a request, and of its answer; at least one.
    pub size: usize,
    /// How many requests of a connection may wait for their answers; at least one.
    pub depth: usize,
    /// At what rate requests come; `None`: as their predecessors are answered.
    pub rate: Option<Rate>,
    /// How long the first request of each connection may take, which comes before the measured time; zero where none
    /// does.
    pub warm_up: Duration,
    /// How long to go on.
    pub duration: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Compare every byte of every answer; the first answer of each connection is compared in any case.
    pub verify: bool,
}

impl LoadPlan {
    /// What a connection is before its open has chosen the port.
    fn tuple(&self) -> FourTuple {
        FourTuple { local: self.local, remote: self.remote }
    }
}

#[cfg(test)]
fn any_plan() -> LoadPlan {
    LoadPlan {
        local: ([127, 0, 0, 1], 0).into(),
        remote: ([127, 0, 0, 1], 3000).into(),
        connections: 1,
        size: 64,
        depth: 1,
        rate: None,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(3600),
        timeout: Duration::from_secs(5),
        verify: false,
    }
}
