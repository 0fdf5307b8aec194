//! The kernel's table of TCP sockets, asked for over netlink: sock_diag(7).

mod dump;
mod lookup;
mod parse;

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use crate::error::Result;
use crate::net::{FourTuple, TcpState};
use crate::text::Short;
use dump::Wanted;

/// One TCP socket as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRow {
    /// Its state; a socket that is bound, and neither listening nor connected, is `BoundInactive`.
    pub state: TcpState,
    /// Its own address; an IPv4 connection of an IPv6 socket shows as `[::ffff:127.0.0.1]:3000`.
    pub local: SocketAddr,
    /// The other end's address, or the wildcard address and port 0 where there is none.
    pub remote: SocketAddr,
    /// Whether IPV6_V6ONLY is set, where the kernel says so: of IPv6 sockets that listen or are only bound.
    pub v6_only: Option<bool>,
    /// Bytes received and not read yet; of a listening socket, connections not accepted yet.
    pub receive_queue: u32,
    /// Bytes sent or to be sent and not acknowledged yet; of a listening socket, its backlog.
    pub send_queue: u32,
    /// The timer that runs, if one does.
    pub timer: Option<Timer>,
    /// The user who created it; 0 for a socket in TIME-WAIT.
    pub uid: u32,
    /// Its number in sockfs, as /proc/PID/fd shows it; 0 where no process has it: not accepted yet, or closed.
    pub inode: u32,
    /// The kernel's own number for it, which it keeps from its first state to its last, TIME-WAIT included.
    pub cookie: u64,
}

#[cfg(test)]
impl SocketRow {
    /// A socket of uid 1000 with nothing in its queues.
    pub fn example(state: TcpState, local: &str, remote: &str) -> Self {
        Self {
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
}

/// A timer of a socket.
///
/// Displays as one word: `retransmit/200ms/2`, `time-wait/58.231s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What it is for.
    pub kind: TimerKind,
    /// When it expires; zero where that is due.
    pub remaining: Duration,
    /// How often it has expired without an answer: retransmissions or probes sent.
    pub retransmissions: u8,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// To send again what was not acknowledged: RFC 6298.
    Retransmit,
    /// To see whether a silent remote side is still there: RFC 9293 §3.8.4.
    Keepalive,
    /// To forget the connection: RFC 9293 §3.6.1. Runs in FIN-WAIT-2 too, where no process has the socket.
    TimeWait,
    /// To ask for the window of a remote side that closed it: RFC 9293 §3.8.6.1.
    Probe,
}

impl TimerKind {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retransmit => "retransmit",
            Self::Keepalive => "keepalive",
            Self::TimeWait => "time-wait",
            Self::Probe => "probe",
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), Short(self.remaining))?;
        match self.kind {
            TimerKind::TimeWait => Ok(()),
            _ => write!(f, "/{}", self.retransmissions),
        }
    }
}

/// All TCP sockets of this network namespace: LISTEN first, then BOUND, then by address.
///
/// The kernel walks its table while sockets come and go, so a socket that changes state meanwhile
/// may show twice or not at all. Before Linux 6.8 the table has no row for a socket in BOUND.
///
/// ```
/// # fn main() -> fourtuple::Result<()> {
/// let listening = fourtuple::bind("127.0.0.1:0".parse().unwrap(), &Default::default())?;
/// let local = listening.local();
/// let _listening = listening.listen(1)?;
/// assert!(fourtuple::sockets()?.iter().any(|row| row.local == local && row.state == fourtuple::TcpState::Listen));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// `ENOENT` where the kernel has no `tcp_diag`; `EINTR` and `ENOBUFS` where the table changed or
/// overran the receive buffer at each of several attempts; what a security policy answers, such as
/// `EPERM`. sock_diag(7)
pub fn sockets() -> Result<Vec<SocketRow>> {
    dump::dump(Wanted::All).map(sorted)
}

/// The same of one local port, chosen in the kernel: on a host with very many sockets this costs a fraction.
///
/// # Errors
///
/// As [`sockets`].
pub fn sockets_on(port: NonZeroU16) -> Result<Vec<SocketRow>> {
    let mut rows = dump::dump(Wanted::On(port.get()))?;
    // The kernel lists every socket in BOUND all the same.
    rows.retain(|row| row.local.port() == port.get());
    Ok(sorted(rows))
}

/// Those of them that listen: a look at a short table, however many connections there are.
///
/// # Errors
///
/// As [`sockets`].
pub fn listening_on(port: NonZeroU16) -> Result<Vec<SocketRow>> {
    dump::dump(Wanted::ListeningOn(port.get())).map(sorted)
}

fn sorted(mut rows: Vec<SocketRow>) -> Vec<SocketRow> {
    rows.sort_by_key(|row| (rank(row.state), row.local, row.remote));
    rows
}

/// The connection with this four-tuple, in whatever state; the kernel looks it up in a few microseconds.
///
/// Where there is none, the kernel gives the listener that a segment of it would reach, if there is one.
///
/// ```
/// let nobody = fourtuple::FourTuple { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into() };
/// assert!(fourtuple::connection(nobody)?.is_none());
/// # Ok::<(), fourtuple::Error>(())
/// ```
///
/// # Errors
///
/// As [`sockets`].
pub fn connection(tuple: FourTuple) -> Result<Option<SocketRow>> {
    lookup::lookup(tuple)
}

/// Whether this kernel's table has rows for sockets in BOUND: Linux 6.8 and newer.
pub fn shows_bound() -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| version(&release) >= Some((6, 8)))
}

/// The first two numbers of a release such as `6.18.44-rc1`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What holds an address without a connection comes first.
fn rank(state: TcpState) -> u8 {
    match state {
        TcpState::Listen => 0,
        TcpState::BoundInactive => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_sockets_show_from_linux_6_8_on() {
        for (release, shown) in [
            ("6.8.0", true),
            ("6.18.44-rc1\n", true),
            ("7.0-rc1", true),
            ("6.7.12", false),
            ("5.15.0-91", false),
            ("", false),
        ] {
            assert_eq!(version(release) >= Some((6, 8)), shown, "{release}");
        }
    }
}
