//! TCP states: the names of RFC 9293 and the numbers of the kernel.

use std::fmt;
use std::str::FromStr;

/// A connection's state (RFC 9293 §3.3.2), and the two that only Linux has.
///
/// ```
/// use fourtuple::TcpState;
///
/// assert_eq!("TIME-WAIT".parse(), Ok(TcpState::TimeWait));
/// assert_eq!(TcpState::SynReceived.to_string(), "SYN-RECEIVED");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 9293")]
pub enum TcpState {
    Established = 1,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    /// No connection at all. The socket table has no row for it, except where the socket is bound: `BoundInactive`.
    Closed,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    /// A connection request that the listener has not made into a socket yet (Linux `TCP_NEW_SYN_RECV`).
    NewSynReceived,
    /// Bound, and neither listening nor connected. A request to inet_diag has a bit for it (Linux 6.8
    /// `TCP_BOUND_INACTIVE`); the kernel answers with the number of `Closed`.
    BoundInactive,
}

impl TcpState {
    /// Every state, in the order of the kernel's numbers, which begin at 1 (`include/net/tcp_states.h`).
    pub const ALL: [Self; 13] = [
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Closed,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynReceived,
        Self::BoundInactive,
    ];

    /// The state that the kernel numbers so.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name RFC 9293 spells, such as `TIME-WAIT`; `BOUND` and `NEW-SYN-RECEIVED` are Linux's alone.
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
            Self::CloseWait => "CLOSE-WAIT",
            Self::LastAck => "LAST-ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynReceived => "NEW-SYN-RECEIVED",
            Self::BoundInactive => "BOUND",
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TcpState {
    type Err = String;

    /// Reads a name of RFC 9293 in either case, with `-` or `_`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.to_ascii_uppercase().replace('_', "-");
        Self::ALL
            .into_iter()
            .find(|state| state.name() == wanted)
            .ok_or_else(|| format!("not a TCP state; one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_number_and_by_its_name() {
        for (index, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.number()), index + 1);
            assert_eq!(TcpState::from_number(state.number()), Some(state));
            assert_eq!(state.name().to_lowercase().replace('-', "_").parse(), Ok(state));
        }
        assert_eq!(TcpState::from_number(0), None);
        assert_eq!(TcpState::from_number(14), None);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "CONNECTED".parse::<TcpState>().unwrap_err();
        assert!(error.contains("ESTABLISHED, SYN-SENT"), "{error}");
    }
}
