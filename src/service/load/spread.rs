//! Very many four-tuples from one source address: source ports times destinations.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::net::FourTuple;

/// The most connections that share one source port: bind(2) looks at each socket of a port, so the cost of sharing is
/// quadratic in their number.
pub(crate) const MOST_OWNERS: usize = 100;

/// Source ports and destinations, from which connections are made up: each four-tuple once.
///
/// Connections take ports and destinations in turn, so all ports have the same number of owners and all destinations the
/// same number of connections, give or take one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub source: IpAddr,
    pub ports: Vec<u16>,
    pub remotes: Vec<SocketAddr>,
}

impl Spread {
    /// How many connections it is good for.
    pub(crate) fn capacity(&self) -> usize {
        self.ports.len() * self.remotes.len().min(MOST_OWNERS)
    }

    /// How many connections share a source port, where there are so many.
    pub(crate) fn owners(&self, connections: usize) -> usize {
        connections.div_ceil(self.ports.len().max(1))
    }

    /// The four-tuple of the connection of this number, from 0; `None` beyond the capacity.
    pub(crate) fn tuple(&self, number: usize) -> Option<FourTuple> {
        if number >= self.capacity() {
            return None;
        }
        let (ports, remotes) = (self.ports.len(), self.remotes.len());
        // Both going round at once, the same pairs come again after the least common multiple: one further then.
        let shift = number / (ports / gcd(ports, remotes) * remotes);
        let port = *self.ports.get(number % ports)?;
        let remote = *self.remotes.get((number + shift) % remotes)?;
        Some(FourTuple { local: SocketAddr::new(self.source, port), remote })
    }
}

/// The greatest common divisor (Euclid).
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn spread(ports: u16, remotes: u16) -> Spread {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        Spread {
            source: loopback,
            ports: (20_000..20_000 + ports).collect(),
            remotes: (3000..3000 + remotes).map(|port| SocketAddr::new(loopback, port)).collect(),
        }
    }

    #[test]
    fn every_four_tuple_is_there_once_and_then_no_more() {
        for (ports, remotes) in [(7, 3), (3, 7), (5, 5), (1, 1), (4, 120)] {
            let spread = spread(ports, remotes);
            let capacity = usize::from(ports) * usize::from(remotes).min(MOST_OWNERS);
            let tuples: HashSet<FourTuple> =
                (0..capacity).map(|number| spread.tuple(number).unwrap()).collect();
            assert_eq!((tuples.len(), spread.capacity()), (capacity, capacity));
            assert_eq!(spread.tuple(capacity), None);
        }
    }

    #[test]
    fn ports_and_destinations_bear_the_same_load() {
        let spread = spread(10, 4);
        let (mut owners, mut connections) = (HashMap::new(), HashMap::new());
        for tuple in (0..25).filter_map(|number| spread.tuple(number)) {
            *owners.entry(tuple.local).or_insert(0) += 1;
            *connections.entry(tuple.remote).or_insert(0) += 1;
        }
        assert_eq!(owners.values().max(), Some(&spread.owners(25)));
        assert!(owners.values().all(|count| (2..=3).contains(count)), "{owners:?}");
        assert!(connections.values().all(|count| (6..=7).contains(count)), "{connections:?}");
    }

    #[test]
    fn without_ports_or_destinations_there_is_nothing() {
        assert_eq!((spread(0, 3).tuple(0), spread(3, 0).tuple(0)), (None, None));
    }
}
