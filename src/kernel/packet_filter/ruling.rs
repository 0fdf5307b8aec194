//! What rules do with a packet, and which one does it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::rule::Rejection;
use crate::error::errno_name;

/// What a rule does, and where it is.
///
/// Displays as `table inet filter, chain input, handle 7 drops it (tcp dport 80)`, or `may drop it, depending on the
/// source's address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Where the rule is: its table and chain, and its number there; or the policy of a chain.
    pub place: String,
    /// What it matches, as far as there are short words for it.
    pub matches: String,
    /// The command that shows it.
    pub command: String,
    /// What it does.
    pub effect: Effect,
    /// Where it may do so or not: what that depends on.
    pub depends: Option<String>,
    /// Whether it does so with the reply.
    pub is_reply: bool,
}

/// What a rule does with a connection's packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may go on.
    Accept,
    /// It is dropped without an answer.
    Drop,
    /// It is answered with an error, which connect(2) returns.
    Reject(Errno),
    /// The connection goes elsewhere, as far as it is known where to.
    SendTo(Option<IpAddr>, Option<u16>),
    /// The connection would go there, where no route leads from its source.
    SendNowhere(SocketAddr),
    /// Something that is not followed here, by its name.
    Unfollowed(String),
}

impl Ruling {
    /// What connect(2) returns then; `None` where it may work, or is not known.
    pub fn errno(&self) -> Option<Errno> {
        match self.effect {
            Effect::Reject(errno) if !self.is_reply => Some(errno),
            Effect::Drop | Effect::SendNowhere(_) | Effect::Reject(_) => Some(Errno::ETIMEDOUT),
            Effect::Accept | Effect::SendTo(..) | Effect::Unfollowed(_) => None,
        }
    }

    /// Whether it does so for sure.
    pub fn is_certain(&self) -> bool {
        self.depends.is_none() && !matches!(self.effect, Effect::Unfollowed(_))
    }

    /// What it does, in words about `it`.
    pub fn about(&self, it: &str) -> String {
        let it = if self.is_reply { format!("the reply to {it}") } else { it.to_owned() };
        let words = self.effect.words(&it, self.depends.is_some());
        let depends =
            self.depends.as_ref().map_or(String::new(), |depends| format!(", depending on {depends}"));
        let matches = if self.matches.is_empty() { String::new() } else { format!(" ({})", self.matches) };
        format!("{} {words}{depends}{matches}", self.place)
    }
}

impl Effect {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject(_) => "reject",
            Self::SendTo(..) | Self::SendNowhere(_) => "send-to",
            Self::Unfollowed(_) => "unfollowed",
        }
    }

    /// Where the connection goes, where that is known whole.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::SendTo(Some(ip), Some(port)) => Some(SocketAddr::new(*ip, *port)),
            Self::SendNowhere(address) => Some(*address),
            _ => None,
        }
    }

    /// In words about `it`.
    fn words(&self, it: &str, may: bool) -> String {
        let verb = |verb: &str| if may { format!("may {verb} {it}") } else { format!("{verb}s {it}") };
        match self {
            Self::Accept => verb("accept"),
            Self::Drop => verb("drop"),
            Self::Reject(errno) => format!("{} with {}", verb("reject"), errno_name(*errno)),
            Self::SendTo(Some(ip), Some(port)) => {
                format!("{} to {}", verb("send"), SocketAddr::new(*ip, *port))
            }
            Self::SendTo(Some(ip), None) => format!("{} to {ip}", verb("send")),
            Self::SendTo(None, Some(port)) => format!("{} to port {port}", verb("send")),
            Self::SendTo(None, None) => format!("{} elsewhere", verb("send")),
            Self::SendNowhere(address) => {
                format!("{} to {address}, where no route leads from its source", verb("send"))
            }
            Self::Unfollowed(what) => format!("may do anything with {it}: {what}"),
        }
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about("it"))
    }
}

/// What connect(2) returns when its SYN is answered so (`icmp_err_convert` and `tcp_v4_err`, `icmpv6_err_convert`).
pub(super) fn rejected_with(rejection: Rejection, is_ipv6: bool) -> Errno {
    let code = match (rejection, is_ipv6) {
        (Rejection::Reset, _) => return Errno::ECONNREFUSED,
        (Rejection::Unreachable(code), _) => code,
        // Of both families: no route, port, host, administratively prohibited.
        (Rejection::Icmpx(code), false) => [0, 3, 1, 13].get(usize::from(code)).copied().unwrap_or(3),
        (Rejection::Icmpx(code), true) => [0, 4, 3, 1].get(usize::from(code)).copied().unwrap_or(4),
    };
    match (code, is_ipv6) {
        (0 | 6 | 9 | 11, false) | (0, true) => Errno::ENETUNREACH,
        (2, false) => Errno::ENOPROTOOPT,
        (3, false) | (4, true) => Errno::ECONNREFUSED,
        (5, false) => Errno::EOPNOTSUPP,
        (7, false) => Errno::EHOSTDOWN,
        (8, false) => Errno::ENONET,
        (1 | 5 | 6, true) => Errno::EACCES,
        _ => Errno::EHOSTUNREACH,
    }
}
