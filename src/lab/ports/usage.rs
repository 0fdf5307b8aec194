//! What is used now, by destination.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::kernel::inet_diag::SocketRow;
use crate::kernel::port_range::PortRange;
use crate::net::TcpState;

/// The connections from one address of this host to one remote address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub source: IpAddr,
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
pub(crate) fn usage(range: &PortRange, rows: &[SocketRow]) -> Vec<Usage> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_out_are_counted_by_destination_those_with_most_ports_first() {
        let range = PortRange::new(40_000, 40_007);
        let rows = [
            SocketRow::example(TcpState::Established, "127.0.0.1:40000", "127.0.0.1:8"),
            SocketRow::example(TcpState::Established, "127.0.0.1:40000", "127.0.0.1:9"),
            SocketRow::example(TcpState::TimeWait, "[::ffff:127.0.0.1]:40001", "[::ffff:127.0.0.1]:9"),
            SocketRow::example(TcpState::Established, "127.0.0.1:39999", "127.0.0.1:9"),
            SocketRow::example(TcpState::BoundInactive, "127.0.0.1:40002", "0.0.0.0:0"),
            SocketRow::example(TcpState::Listen, "127.0.0.1:40003", "0.0.0.0:0"),
            SocketRow::example(TcpState::Established, "127.0.0.1:40003", "127.0.0.1:9"),
        ];
        let found = usage(&range, &rows);
        let told: Vec<_> = found.iter().map(|usage| (usage.remote.port(), usage.ports.len())).collect();
        assert_eq!(told, [(9, 2), (8, 1)]);
        assert_eq!(found[0].count(TcpState::Established), 1);
        assert_eq!(found[0].count(TcpState::TimeWait), 1);
    }
}
