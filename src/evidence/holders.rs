//! Who stands in the way: the sockets that hold an address or a four-tuple.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::inet_diag::{SocketRow, TimerKind, sockets};
use super::owners::{Process, owners};
use crate::error::Result;
use crate::net::{FourTuple, TcpState};
use crate::report::Escaped;

/// A socket that has an address, and the processes known to have the socket.
///
/// Displays as `LISTEN 127.0.0.1:3001 pid=4711 (listener)`, as
/// `TIME-WAIT 127.0.0.1:3001 -> 127.0.0.1:50000 for another 58.2s`, or with `pid unknown (uid 1000)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The socket.
    pub row: SocketRow,
    /// Who has it open, as far as we may see.
    pub processes: Vec<Process>,
}

impl Holder {
    /// Whether the socket's local address overlaps this one.
    pub fn covers(&self, address: SocketAddr) -> bool {
        overlap(address, &self.row)
    }

    /// The socket's four-tuple, where it has a remote end.
    fn four_tuple(&self) -> Option<FourTuple> {
        let SocketRow { state, local, remote, .. } = self.row;
        let connected = !matches!(state, TcpState::Listen | TcpState::BoundInactive);
        connected.then_some(FourTuple { local, remote })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.four_tuple() {
            Some(tuple) => write!(f, "{} {tuple}", self.row.state)?,
            None => write!(f, "{} {}", self.row.state, self.row.local)?,
        }
        if let Some(timer) = self.row.timer.filter(|timer| timer.kind == TimerKind::TimeWait) {
            return write!(f, " for another {:.1}s", timer.remaining.as_secs_f64());
        }
        if self.row.inode == 0 {
            return f.write_str(", which no process has: not accepted yet, or closed");
        }
        if self.processes.is_empty() {
            return write!(f, " pid unknown (uid {})", self.row.uid);
        }
        self.processes
            .iter()
            .try_for_each(|Process { pid, name }| write!(f, " pid={pid} ({})", Escaped(name)))
    }
}

/// The sockets whose local address overlaps `local`, so that bind(2) may refuse it: LISTEN and BOUND first.
///
/// Whether one of them did refuse it depends on SO_REUSEADDR and SO_REUSEPORT of both sockets, which
/// the socket table does not tell; and on IPV6_V6ONLY, and where that is not known they count as
/// overlapping.
///
/// # Errors
///
/// As [`sockets`].
pub fn holders(local: SocketAddr) -> Result<Vec<Holder>> {
    select(|row| overlap(local, row))
}

/// The sockets connected from `local` to `remote`; more than one only where `local` has the wildcard address.
///
/// # Errors
///
/// As [`sockets`].
pub fn holders_of_four_tuple(local: SocketAddr, remote: SocketAddr) -> Result<Vec<Holder>> {
    select(|row| overlap(local, row) && same_address(remote, row.remote))
}

/// The processes besides this one that listen on exactly this address and port, sorted.
///
/// Those whose descriptors we may not see are missing.
///
/// # Errors
///
/// As [`sockets`].
pub fn listeners_on(local: SocketAddr) -> Result<Vec<u32>> {
    let holders = select(|row| row.state == TcpState::Listen && same_address(local, row.local))?;
    let pids: BTreeSet<u32> =
        holders.iter().flat_map(|holder| &holder.processes).map(|process| process.pid).collect();
    Ok(pids.into_iter().filter(|&pid| pid != std::process::id()).collect())
}

/// The sockets that listen at any of these addresses, on the wildcard address too.
///
/// # Errors
///
/// As [`sockets`].
pub fn listeners_at(addresses: &[SocketAddr]) -> Result<Vec<Holder>> {
    select(|row| row.state == TcpState::Listen && addresses.iter().any(|&address| overlap(address, row)))
}

fn select(wanted: impl Fn(&SocketRow) -> bool) -> Result<Vec<Holder>> {
    let rows: Vec<SocketRow> = sockets()?.into_iter().filter(wanted).collect();
    let owners = owners(&rows.iter().map(|row| row.inode).collect());
    let processes = |inode| owners.get(&inode).cloned().unwrap_or_default();
    Ok(rows.into_iter().map(|row| Holder { processes: processes(row.inode), row }).collect())
}

/// Whether a socket at `local` and this one want the same port of the same address.
fn overlap(local: SocketAddr, row: &SocketRow) -> bool {
    local.port() == row.local.port()
        && (same_address(local, row.local)
            || covers(local.ip(), None, row.local.ip())
            || covers(row.local.ip(), row.v6_only, local.ip()))
}

/// Whether a socket bound to `wildcard` has `ip` too. Only a v6-only `::` has no IPv4 address.
fn covers(wildcard: IpAddr, v6_only: Option<bool>, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    match wildcard.to_canonical() {
        IpAddr::V4(wildcard) => wildcard.is_unspecified() && ip.is_ipv4(),
        IpAddr::V6(wildcard) => wildcard.is_unspecified() && (ip.is_ipv6() || v6_only != Some(true)),
    }
}

/// Equal where an IPv4 address and the IPv6 address that it is mapped to are one, and scope 0 is any.
fn same_address(one: SocketAddr, other: SocketAddr) -> bool {
    let scope = |address| match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let (first, second) = (scope(one), scope(other));
    one.port() == other.port()
        && one.ip().to_canonical() == other.ip().to_canonical()
        && (first == 0 || second == 0 || first == second)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::inet_diag::Timer;
    use super::*;
    use crate::net::{SocketOptions, bind};

    fn row(state: TcpState, local: &str, remote: &str) -> SocketRow {
        SocketRow {
            state,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            v6_only: None,
            receive_queue: 0,
            send_queue: 0,
            timer: None,
            uid: 1000,
            inode: 7,
            cookie: 0,
        }
    }

    #[test]
    fn a_holder_is_told_with_what_can_be_done_about_it() {
        let mut holder =
            Holder { row: row(TcpState::Listen, "127.0.0.1:3001", "0.0.0.0:0"), processes: Vec::new() };
        assert_eq!(holder.to_string(), "LISTEN 127.0.0.1:3001 pid unknown (uid 1000)");
        holder.processes.push(Process { pid: 4711, name: b"listener".to_vec() });
        assert_eq!(holder.to_string(), "LISTEN 127.0.0.1:3001 pid=4711 (listener)");
        holder.processes.push(Process { pid: 4712, name: b"nc\n".to_vec() });
        assert_eq!(holder.to_string(), r"LISTEN 127.0.0.1:3001 pid=4711 (listener) pid=4712 (nc\n)");

        let mut row = row(TcpState::TimeWait, "127.0.0.1:3001", "127.0.0.1:50000");
        row.inode = 0;
        let remaining = Duration::from_millis(58_231);
        row.timer = Some(Timer { kind: TimerKind::TimeWait, remaining, retransmissions: 0 });
        let mut holder = Holder { row, processes: Vec::new() };
        assert_eq!(holder.to_string(), "TIME-WAIT 127.0.0.1:3001 -> 127.0.0.1:50000 for another 58.2s");
        holder.row.timer = None;
        holder.row.state = TcpState::LastAck;
        assert!(
            holder
                .to_string()
                .ends_with("127.0.0.1:50000, which no process has: not accepted yet, or closed")
        );
    }

    #[test]
    fn addresses_overlap_where_one_of_them_is_the_others_wildcard() {
        let overlapping = |wanted: &str, held: &str, v6_only| {
            let row = SocketRow { v6_only, ..row(TcpState::Listen, held, "0.0.0.0:0") };
            overlap(wanted.parse().unwrap(), &row)
        };
        for (wanted, held, v6_only, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", None, true),
            ("127.0.0.1:1", "127.0.0.1:2", None, false),
            ("127.0.0.1:1", "127.0.0.2:1", None, false),
            ("127.0.0.1:1", "0.0.0.0:1", None, true),
            ("0.0.0.0:1", "127.0.0.1:1", None, true),
            ("[::]:1", "127.0.0.1:1", None, true),
            ("[::]:1", "[::1]:1", Some(true), true),
            ("127.0.0.1:1", "[::]:1", None, true),
            ("127.0.0.1:1", "[::]:1", Some(false), true),
            ("127.0.0.1:1", "[::]:1", Some(true), false),
            ("[::1]:1", "[::]:1", Some(true), true),
            ("0.0.0.0:1", "[::1]:1", None, false),
            ("[::1]:1", "127.0.0.1:1", None, false),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", None, true),
            ("127.0.0.1:1", "[::ffff:0.0.0.0]:1", None, true),
            ("[fe80::1%2]:1", "[fe80::1%3]:1", None, false),
            ("[fe80::1]:1", "[fe80::1%3]:1", None, true),
        ] {
            assert_eq!(overlapping(wanted, held, v6_only), expected, "{wanted} against {held} {v6_only:?}");
        }
    }

    #[test]
    fn our_own_listening_socket_is_a_holder_and_not_another_listener() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let local = bound.local();
        let _listening = bound.listen(1).unwrap();
        let wildcard = SocketAddr::new("0.0.0.0".parse().unwrap(), local.port());
        for wanted in [local, wildcard] {
            let found = holders(wanted).unwrap();
            assert_eq!(found[0].row.local, local);
            assert_eq!(found[0].processes[0].pid, std::process::id());
        }
        assert!(listeners_on(local).unwrap().is_empty());
    }
}
