//! What is used now, by destination.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::range::PortRange;
use crate::evidence::inet_diag::SocketRow;
use crate::net::TcpState;

/// The connections from one address of this host to one remote address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go.
    pub remote: SocketAddr,
    /// The ports of the range that they have.
    pub ports: BTreeSet<u16>,
    /// How many are in each state.
    pub states: BTreeMap<TcpState, usize>,
}

impl Usage {
    /// How many are in `state`.
    pub fn count(&self, state: TcpState) -> usize {
        self.states.get(&state).copied().unwrap_or_default()
    }
}

/// The connections that have a port of `range`, by source and destination, those that have most ports first.
///
/// Which side opened a connection the socket table does not tell. What has the port of a listening socket of this
/// host was accepted by it, and is left out.
pub fn usage(range: &PortRange, rows: &[SocketRow]) -> Vec<Usage> {
    let listening: BTreeSet<u16> =
        rows.iter().filter(|row| row.state == TcpState::Listen).map(|row| row.local.port()).collect();
    let mut found: BTreeMap<(IpAddr, SocketAddr), Usage> = BTreeMap::new();
    for row in rows {
        let port = row.local.port();
        if row.state == TcpState::BoundInactive || !range.contains(port) || listening.contains(&port) {
            continue;
        }
        let source = row.local.ip().to_canonical();
        let remote = SocketAddr::new(row.remote.ip().to_canonical(), row.remote.port());
        let new = || Usage { source, remote, ports: BTreeSet::new(), states: BTreeMap::new() };
        let usage = found.entry((source, remote)).or_insert_with(new);
        usage.ports.insert(port);
        *usage.states.entry(row.state).or_default() += 1;
    }
    let mut usage: Vec<Usage> = found.into_values().collect();
    usage.sort_by_key(|usage| Reverse(usage.ports.len()));
    usage
}
