//! Who stands in the way: the sockets that hold an address or a four-tuple.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use nix::unistd::geteuid;

use crate::error::Result;
use crate::kernel::inet_diag::{SocketRow, TimerKind, listening_on, sockets};
use crate::kernel::owners::{Descriptor, Owners, Process, Sight, descriptors, of_supervisor, owners};
use crate::kernel::sharing;
use crate::net::sharing_rule::{Sharing, reaches};
use crate::net::{Device, FourTuple, TcpState, hears, zone};
use crate::text::few;

/// A socket that has an address, what is known of its options, and the processes known to have it.
///
/// Displays as `LISTEN 127.0.0.1:3001 pid=4711 (listener)`, as
/// `TIME-WAIT 127.0.0.1:3001 -> 127.0.0.1:50000 for another 58.2s`, or with `pid unknown (uid 1000)`.
///
/// ```
/// use fourtuple::{Holder, SocketOptions, bind, sockets};
///
/// let listening = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?.listen(1)?;
/// let local = listening.local_addr().unwrap().as_socket().unwrap();
/// let rows = sockets()?.into_iter().filter(|row| row.local == local).collect();
/// let [holder] = &Holder::of(rows)[..] else { panic!() };
/// assert_eq!(holder.processes[0].pid, std::process::id());
/// # Ok::<(), fourtuple::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The socket.
    pub row: SocketRow,
    /// Who has it open, as far as we may see.
    pub processes: Vec<Process>,
    /// How far the look for them went, where others may have it too.
    pub sight: Sight,
    /// The options that decide whether it shares its address.
    pub sharing: Sharing,
    /// How these are known.
    pub source: Source,
}

/// How the options of another's socket are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its process let us ask: getsockopt(2).
    Read,
    /// From what bind(2) answers next to it.
    Inferred,
    /// They are not.
    Unknown,
}

/// What is known of the processes that have a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// These are they.
    Known,
    /// These have it, and others may that may not be looked into.
    KnownInPart,
    /// None has it: it waits to be accepted, or was closed.
    Nobody,
    /// None was seen, and not every process may be looked into.
    Unseen,
    /// None has it of all that /proc shows.
    NotFound,
}

impl Ownership {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::KnownInPart => "known-in-part",
            Self::Nobody => "nobody",
            Self::Unseen => "unseen",
            Self::NotFound => "not-found",
        }
    }
}

/// Whether processes of other users may well have the socket: another one made it, or root, who starts theirs.
fn is_of_others(row: &SocketRow) -> bool {
    let user = geteuid();
    row.uid != user.as_raw() || user.is_root()
}

impl Holder {
    /// The sockets of these rows, with who has them and their options where we may look.
    pub fn of(rows: Vec<SocketRow>) -> Vec<Self> {
        let look = descriptors(&rows.iter().map(|row| row.inode).collect());
        let sharing = sharing::read(&look.found);
        let mut owners = Owners::new();
        for Descriptor { inode, process, .. } in &look.found {
            owners.entry(*inode).or_default().push(process.clone());
        }
        let is_in_doubt =
            |row: &SocketRow| row.inode != 0 && (is_of_others(row) || !owners.contains_key(&row.inode));
        let sight = if rows.iter().any(is_in_doubt) { look.sight() } else { Sight::default() };
        let holder = |row: SocketRow| Self {
            processes: owners.get(&row.inode).cloned().unwrap_or_default(),
            sight,
            source: if sharing.contains_key(&row.inode) { Source::Read } else { Source::Unknown },
            sharing: sharing
                .get(&row.inode)
                .copied()
                .unwrap_or(Sharing { v6_only: row.v6_only, ..Sharing::default() }),
            row,
        };
        rows.into_iter().map(holder).collect()
    }

    /// Whether a connection to this address would reach the socket if it listens, by whatever interface it comes.
    pub fn covers(&self, address: SocketAddr) -> bool {
        covers(&self.row, address)
    }

    /// Whether the socket, if it listens, may have accepted this connection.
    pub(crate) fn may_have_accepted(&self, connection: &Self) -> bool {
        // The kernel gives a connection the interface of its listener, and of a link-local remote address.
        self.covers(connection.row.local) && hears(self.row.device, connection.row.device)
    }

    /// What is known of the processes that have it.
    pub fn ownership(&self) -> Ownership {
        match self.row.inode {
            0 => Ownership::Nobody,
            _ if !self.processes.is_empty() => match self.sight.is_whole() || !is_of_others(&self.row) {
                true => Ownership::Known,
                false => Ownership::KnownInPart,
            },
            _ if self.sight.is_whole() => Ownership::NotFound,
            _ => Ownership::Unseen,
        }
    }

    /// Whether something has it, and no process is known that does.
    pub(crate) fn is_unseen(&self) -> bool {
        matches!(self.ownership(), Ownership::Unseen | Ownership::NotFound)
    }

    /// Whether no process has it because it was closed; else it waits to be accepted.
    pub(crate) fn is_closed(&self) -> bool {
        use TcpState::{CloseWait, Established, SynReceived};
        self.row.inode == 0 && !matches!(self.row.state, SynReceived | Established | CloseWait)
    }

    /// The socket's four-tuple, where it has a remote end.
    pub fn four_tuple(&self) -> Option<FourTuple> {
        let SocketRow { state, local, remote, .. } = self.row;
        let connected = !matches!(state, TcpState::Listen | TcpState::BoundInactive);
        connected.then_some(FourTuple { local, remote })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.row.state, self.row.local_end())?;
        if self.four_tuple().is_some() {
            write!(f, " -> {}", self.row.remote_end())?;
        }
        match self.row.timer.filter(|timer| timer.kind == TimerKind::TimeWait) {
            Some(timer) => write!(f, " for another {:.1}s", timer.remaining.as_secs_f64())?,
            None => self.fmt_processes(f)?,
        }
        let inferred = if self.source == Source::Inferred { " (inferred)" } else { "" };
        for (name, value) in
            [("SO_REUSEADDR", self.sharing.reuse_address), ("SO_REUSEPORT", self.sharing.reuse_port)]
        {
            if let Some(on) = value {
                write!(f, ", {name} {}{inferred}", if on { "on" } else { "off" })?;
            }
        }
        Ok(())
    }
}

impl Holder {
    fn fmt_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ownership() {
            Ownership::Nobody if self.is_closed() => f.write_str(", which no process has: it was closed"),
            Ownership::Nobody => f.write_str(", which no process has: not accepted yet"),
            Ownership::Unseen | Ownership::NotFound => write!(f, " pid unknown (uid {})", self.row.uid),
            Ownership::Known | Ownership::KnownInPart => {
                let (shown, more) = few(&self.processes);
                for process in shown {
                    write!(f, " pid={} ({})", process.pid, process.word())?;
                }
                if more > 0 {
                    write!(f, " and {more} more processes")?;
                }
                of_supervisor(&self.processes, f)
            }
        }
    }
}

/// The processes besides this one that listen on exactly this address and port, sorted; `own` of the sockets are ours.
///
/// Those whose descriptors we may not see are missing. Where there are no other sockets, nobody's descriptors are looked at,
/// which on a host with many processes takes longer than all else that a listener does before its first connection.
///
/// # Errors
///
/// As [`sockets`].
pub fn listeners_on(local: SocketAddr, own: usize) -> Result<Vec<u32>> {
    let Some(port) = NonZeroU16::new(local.port()) else { return Ok(Vec::new()) };
    let mut rows = listening_on(port)?;
    rows.retain(|row| same_address(local, row.local));
    if rows.len() <= own {
        return Ok(Vec::new());
    }
    let owners = owners(&rows.iter().map(|row| row.inode).collect());
    let pids: BTreeSet<u32> = owners.values().flatten().map(|process| process.pid).collect();
    Ok(pids.into_iter().filter(|&pid| pid != std::process::id()).collect())
}

/// The sockets that listen at any of these addresses, on the wildcard address too.
///
/// # Errors
///
/// As [`sockets`].
pub fn listeners_at(addresses: &[SocketAddr]) -> Result<Vec<Holder>> {
    let mut rows = sockets()?;
    rows.retain(|row| row.state == TcpState::Listen && addresses.iter().any(|&address| covers(row, address)));
    Ok(Holder::of(rows))
}

fn covers(row: &SocketRow, address: SocketAddr) -> bool {
    let is_elsewhere = |device: Device| zone(address).is_some_and(|zone| zone != device.index);
    row.local.port() == address.port()
        && reaches(address.ip(), row.local.ip(), row.v6_only)
        && !row.device.is_some_and(is_elsewhere)
}

/// Equal where an IPv4 address and the IPv6 address that it is mapped to are one, and no zone is any.
pub(crate) fn same_address(one: SocketAddr, other: SocketAddr) -> bool {
    let differ = matches!((zone(one), zone(other)), (Some(one), Some(other)) if one != other);
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical() && !differ
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kernel::inet_diag::SocketTimer;
    use crate::net::{SocketOptions, bind};

    fn unknown(row: SocketRow) -> Holder {
        Holder {
            row,
            processes: Vec::new(),
            sight: Sight::default(),
            sharing: Sharing::default(),
            source: Source::Unknown,
        }
    }

    #[test]
    fn a_holder_is_told_with_what_can_be_done_about_it() {
        let mut holder = unknown(SocketRow::example(TcpState::Listen, "127.0.0.1:3001", "0.0.0.0:0"));
        assert_eq!(holder.to_string(), "LISTEN 127.0.0.1:3001 pid unknown (uid 1000)");
        let process = |pid, name: &[u8]| Process { pid, name: name.to_owned(), supervisor: None };
        holder.processes.push(process(4711, b"listener"));
        assert_eq!(holder.to_string(), "LISTEN 127.0.0.1:3001 pid=4711 (listener)");
        holder.processes.push(process(4712, b"nc\n"));
        assert_eq!(holder.to_string(), r"LISTEN 127.0.0.1:3001 pid=4711 (listener) pid=4712 (nc\n)");

        holder.sharing.reuse_port = Some(false);
        assert!(holder.to_string().ends_with(r"pid=4712 (nc\n), SO_REUSEPORT off"), "{holder}");
        holder.source = Source::Inferred;
        assert!(holder.to_string().ends_with(", SO_REUSEPORT off (inferred)"), "{holder}");

        let mut row = SocketRow::example(TcpState::TimeWait, "127.0.0.1:3001", "127.0.0.1:50000");
        row.inode = 0;
        let remaining = Duration::from_millis(58_231);
        row.timer = Some(SocketTimer { kind: TimerKind::TimeWait, remaining, retransmissions: 0 });
        let mut holder = unknown(row);
        assert_eq!(holder.to_string(), "TIME-WAIT 127.0.0.1:3001 -> 127.0.0.1:50000 for another 58.2s");
        holder.row.timer = None;
        holder.row.state = TcpState::LastAck;
        assert!(
            holder.to_string().ends_with("127.0.0.1:50000, which no process has: it was closed"),
            "{holder}"
        );
        holder.row.state = TcpState::Established;
        assert!(holder.to_string().ends_with(", which no process has: not accepted yet"), "{holder}");
    }

    #[test]
    fn of_many_processes_some_are_told() {
        let mut holder = unknown(SocketRow::example(TcpState::Listen, "127.0.0.1:3001", "0.0.0.0:0"));
        let name = b"a) pid=1 (init".to_vec();
        holder.processes =
            (1..=300).map(|pid| Process { pid, name: name.clone(), supervisor: None }).collect();
        let said = holder.to_string();
        assert!(said.len() < 300 && said.ends_with(" and 295 more processes"), "{said}");
        assert_eq!(said.matches(" pid=").count(), 5, "{said}");
        assert_eq!(said.matches("pid=").count(), 5, "{said}");
    }

    #[test]
    fn that_no_process_has_a_socket_is_known_only_where_all_were_looked_into() {
        let mut holder = unknown(SocketRow::example(TcpState::Listen, "127.0.0.1:3001", "0.0.0.0:0"));
        assert_eq!(holder.ownership(), Ownership::NotFound);
        holder.sight.refused = 1;
        assert_eq!(holder.ownership(), Ownership::Unseen);
        holder.sight = Sight { hides: true, ..Sight::default() };
        assert_eq!(holder.ownership(), Ownership::Unseen);
        holder.processes = vec![Process { pid: 1, name: Vec::new(), supervisor: None }];
        holder.row.uid = geteuid().as_raw().wrapping_add(1);
        assert_eq!(holder.ownership(), Ownership::KnownInPart);
        holder.sight.hides = false;
        assert_eq!(holder.ownership(), Ownership::Known);
        holder.processes.clear();
        holder.row.inode = 0;
        assert_eq!(holder.ownership(), Ownership::Nobody);
    }

    #[test]
    fn our_own_listening_socket_is_not_another_listener() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let local = bound.local();
        let _listening = bound.listen(1).unwrap();
        for own in [0, 1] {
            assert!(listeners_on(local, own).unwrap().is_empty());
        }
    }

    #[test]
    fn among_the_sockets_of_a_port_those_that_listen_are_asked_for() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let local = bound.local();
        let _listening = bound.listen(1).unwrap();
        let _connection = std::net::TcpStream::connect(local).unwrap();
        let states: Vec<_> = listening_on(NonZeroU16::new(local.port()).unwrap())
            .unwrap()
            .into_iter()
            .map(|row| (row.state, row.local))
            .collect();
        assert_eq!(states, [(TcpState::Listen, local)]);
    }
}
