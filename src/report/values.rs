//! What the fields of events hold.

use std::fmt::{self, Display};

use nix::errno::Errno;

use crate::error::errno_name;

/// What a program did, summed over its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub accepted: u64,
    /// Bytes read from all of them.
    pub received: u64,
    /// Bytes that the kernel took for all of them.
    pub sent: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.received += other.received;
        self.sent += other.sent;
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The remote side sent FIN, and all that was owed to it has been sent.
    Fin,
    /// We closed it.
    Local,
    /// The remote side sent RST.
    Reset,
    /// No byte arrived for as long as the receive timeout allows.
    ReceiveTimeout,
    /// No unsent byte could be sent for as long as the send timeout allows.
    SendTimeout,
    /// It was still open when the drain limit was over, or at the second signal: we sent RST.
    Abort,
    /// A call on its socket, named as its man page is, failed otherwise.
    Failed(&'static str, Errno),
}

impl CloseReason {
    /// The call that failed and its errno, where the remote side or the kernel broke the connection off.
    pub(crate) fn failed_call(self) -> Option<(&'static str, Errno)> {
        match self {
            Self::Reset => Some(("recv", Errno::ECONNRESET)),
            Self::Failed(call, errno) => Some((call, errno)),
            Self::Fin | Self::Local | Self::ReceiveTimeout | Self::SendTimeout | Self::Abort => None,
        }
    }
}

impl Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "fin",
            Self::Local => "local",
            Self::Reset => "reset",
            Self::ReceiveTimeout => "receive-timeout",
            Self::SendTimeout => "send-timeout",
            Self::Abort => "abort",
            Self::Failed(_, errno) => return f.write_str(&errno_name(*errno)),
        })
    }
}

/// Why an accepted connection was closed before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    MaxConnections,
    /// The conversation has its one caller.
    Busy,
    /// A call on its socket failed.
    Failed(Errno),
}

impl Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxConnections => f.write_str("max-connections"),
            Self::Busy => f.write_str("busy"),
            Self::Failed(errno) => f.write_str(&errno_name(*errno)),
        }
    }
}

/// How much a program tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing at all.
    Nothing,
    /// The program's own events, none of its connections'.
    Quiet,
    /// A line when a connection opens or closes, a heartbeat leaves or is answered.
    Normal,
    /// Every read too.
    Verbose,
}
