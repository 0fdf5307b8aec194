//! One TCP socket, as the kernel describes it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{Device, OnDevice, TcpState, zone};
use crate::text::Short;

/// One TCP socket as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRow {
    /// Its state; a socket that is bound, and neither listening nor connected, is `BoundInactive`.
    pub state: TcpState,
    /// Its own address; an IPv4 connection of an IPv6 socket shows as `[::ffff:127.0.0.1]:3000`.
    pub local: SocketAddr,
    /// The other end's address, or the wildcard address and port 0 where there is none.
    pub remote: SocketAddr,
    /// The interface that it is bound to: by SO_BINDTODEVICE, or by the zone of a link-local address.
    pub device: Option<Device>,
    /// Whether IPV6_V6ONLY is set, where the kernel says so: of IPv6 sockets that listen or are only bound.
    pub v6_only: Option<bool>,
    /// Bytes received and not read yet; of a listening socket, connections not accepted yet.
    pub receive_queue: u32,
    /// Bytes sent or to be sent and not acknowledged yet; of a listening socket, its backlog.
    pub send_queue: u32,
    /// The timer that runs, if one does.
    pub timer: Option<SocketTimer>,
    /// The user who created it; 0 for a socket in TIME-WAIT.
    pub uid: u32,
    /// Its number in sockfs, as /proc/PID/fd shows it; 0 where no process has it: not accepted yet, or closed.
    pub inode: u32,
    /// The kernel's own number for it, which it keeps from its first state to its last, TIME-WAIT included.
    pub cookie: u64,
}

impl SocketRow {
    /// Its own address, and the interface that it is bound to.
    pub fn local_end(&self) -> OnDevice {
        OnDevice(self.local, self.device)
    }

    /// The other end's address, with its zone where it has one.
    pub fn remote_end(&self) -> OnDevice {
        OnDevice(self.remote, self.device.filter(|_| zone(self.remote).is_some()))
    }
}

#[cfg(test)]
impl SocketRow {
    /// A socket of uid 1000 with nothing in its queues.
    pub fn example(state: TcpState, local: &str, remote: &str) -> Self {
        Self {
            state,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            device: None,
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
pub struct SocketTimer {
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

impl fmt::Display for SocketTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), Short(self.remaining))?;
        match self.kind {
            TimerKind::TimeWait => Ok(()),
            _ => write!(f, "/{}", self.retransmissions),
        }
    }
}
