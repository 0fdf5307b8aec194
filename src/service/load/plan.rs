//! What the clients of a load do.

use std::net::SocketAddr;
use std::time::Duration;

use super::arrivals::Rate;
use crate::net::FourTuple;

/// What the clients of one thread do.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    pub local: SocketAddr,
    /// The address to connect to.
    pub remote: SocketAddr,
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
    pub(crate) fn tuple(&self) -> FourTuple {
        FourTuple { local: self.local, remote: self.remote }
    }
}
