//! What each method reaches, computed: no connection is made.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::method::{Failure, Method, PortChoice};
use super::pool::Pool;
use super::rate::Demand;
use super::situation::Situation;
use super::time_wait::hold;
use crate::error::Result;
use crate::kernel::time_wait::TIME_WAIT;
use crate::net::{source_address, wildcard};

/// What is asked of a plan.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The address that a socket is bound to, where it is bound.
    pub from: IpAddr,
    /// Where the connections go, none of them twice.
    pub destinations: Vec<Destination>,
    /// New connections a second to each destination.
    pub rate: Option<usize>,
    /// How long a connection that we close first stays in TIME-WAIT.
    pub time_wait: Duration,
}

/// Where connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The remote address.
    pub remote: SocketAddr,
    /// The address they come from where a socket is bound: that one, or the route's where it is the wildcard address.
    pub source: IpAddr,
    /// The address they come from where it is not: the route's.
    pub unbound_source: IpAddr,
}

impl Destination {
    /// A remote address, as it is reached from here by sockets bound to `from` and by those that are not.
    ///
    /// # Errors
    ///
    /// `ENETUNREACH` without a route; `EINVAL` from loopback to elsewhere; `EADDRNOTAVAIL` from `bind` for an address
    /// that is not this host's; `EMFILE` and `ENFILE` from `socket`.
    pub fn of(remote: SocketAddr, from: IpAddr) -> Result<Self> {
        let source = source_address(from, remote, None)?;
        let unbound_source = source_address(wildcard(remote.ip()), remote, None)?;
        Ok(Self { remote, source, unbound_source })
    }

    /// How many more connections to it connect(2) finds a port for, at least and at most.
    pub fn free(&self, situation: &Situation) -> RangeInclusive<usize> {
        let Self { remote, source, .. } = *self;
        let hold = hold(situation.time_wait, PortChoice::Connect, [source, remote.ip()], TIME_WAIT);
        Pool::new(situation, PortChoice::Connect, source, remote, hold).capacity()
    }
}

/// What one method reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The method.
    pub method: Method,
    /// How many more connections can be open at once, to all destinations together: at least and at most.
    pub open: RangeInclusive<usize>,
    /// What fails then.
    pub ends: Failure,
    /// How long TIME-WAIT keeps a port from the next connection.
    pub hold: Duration,
    /// The highest rate that lasts, in connections a second to each destination; nothing where any does.
    pub rate: Option<f64>,
    /// What comes of the rate that was asked for.
    pub at_rate: Option<AtRate>,
}

/// What comes of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtRate {
    /// How many ports it needs.
    pub ports: u64,
    /// When the first connection fails; nothing where it lasts.
    pub exhausted_after: Option<Duration>,
}

/// What every method reaches.
pub fn plan(situation: &Situation, asked: &Asked) -> Vec<Forecast> {
    Method::ALL.into_iter().map(|method| forecast(situation, asked, method)).collect()
}

/// A pool of ports and how many destinations have it together.
struct SharedPool {
    pool: Pool,
    destinations: usize,
    hold: Duration,
}

pub(super) fn forecast(situation: &Situation, asked: &Asked, method: Method) -> Forecast {
    let pools = pools(situation, asked, method);
    let capacity = |shared: &SharedPool| shared.pool.capacity();
    let least = pools.iter().map(|shared| *capacity(shared).start()).sum();
    let most = pools.iter().map(|shared| *capacity(shared).end()).sum();
    let rates = pools.iter().filter_map(SharedPool::highest_rate);
    Forecast {
        method,
        open: least..=most,
        ends: situation.lacks(method).cloned().unwrap_or_else(|| method.ends()),
        hold: pools.iter().map(|shared| shared.hold).max().unwrap_or_default(),
        rate: rates.reduce(f64::min),
        at_rate: asked.rate.map(|rate| at_rate(&pools, rate)),
    }
}

fn pools(situation: &Situation, asked: &Asked, method: Method) -> Vec<SharedPool> {
    let choice = method.choice();
    let pool = |destination: &Destination, destinations| {
        let Destination { remote, source, unbound_source } = *destination;
        let source = if method == Method::Connect { unbound_source } else { source };
        let hold = hold(situation.time_wait, choice, [source, remote.ip()], asked.time_wait);
        let local = if choice == PortChoice::Connect { source } else { asked.from };
        let pool = match situation.lacks(method) {
            Some(_) => Pool::default(),
            None => Pool::new(situation, choice, local, remote, hold),
        };
        SharedPool { pool, destinations, hold }
    };
    // What bind(2) picks may go anywhere.
    match (choice, asked.destinations.first()) {
        (PortChoice::Bind, Some(any)) => vec![pool(any, asked.destinations.len())],
        _ => asked.destinations.iter().map(|destination| pool(destination, 1)).collect(),
    }
}

fn at_rate(pools: &[SharedPool], rate: usize) -> AtRate {
    let demand =
        |shared: &SharedPool| Demand { rate: (rate * shared.destinations) as f64, hold: shared.hold };
    AtRate {
        ports: pools.iter().map(|shared| demand(shared).ports()).sum(),
        exhausted_after: pools.iter().filter_map(|shared| shared.pool.exhausted_after(demand(shared))).min(),
    }
}

impl SharedPool {
    fn highest_rate(&self) -> Option<f64> {
        Some(self.pool.highest_rate(self.hold)? / self.destinations as f64)
    }
}
