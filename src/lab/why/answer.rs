//! What is answered: the verdict, who is in the way, what helps.

use std::fmt;
use std::net::IpAddr;

use nix::errno::Errno;

use super::network_namespace::NetworkNamespace;
use super::remedy::Remedy;
use crate::kernel::holders::Holder;
use crate::net::DeviceName;
use crate::net::sharing_rule::Conflict;

/// What is known about the question.
///
/// ```
/// use fourtuple::{Answer, Goal, PlannedCall, SocketOptions, bind, why};
///
/// let holder = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?;
/// let goal = Goal::Bind(holder.local());
/// let answer: Answer = why(&PlannedCall { goal, options: SocketOptions::default() })?;
/// assert_eq!(answer.in_the_way[0].holder.processes[0].pid, std::process::id());
/// # Ok::<(), fourtuple::Error>(())
/// ```
#[derive(Debug)]
pub struct Answer {
    /// Whether it would work.
    pub verdict: Verdict,
    /// Whether the verdict is about this host alone, and another one has its say.
    pub is_half: bool,
    /// The sockets because of which it fails.
    pub in_the_way: Vec<InTheWay>,
    /// The other sockets of the port.
    pub beside: Vec<Holder>,
    /// Who has the port in other network namespaces.
    pub elsewhere: Vec<(NetworkNamespace, Holder)>,
    /// What helps, cheapest first.
    pub advice: Vec<Advice>,
    /// What else is worth knowing, a sentence each.
    pub remarks: Vec<String>,
}

/// A step that makes the call work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub remedy: Remedy,
    /// Whether that was seen.
    pub trial: TrialOutcome,
}

/// Whether a step was taken somewhere to see that it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// The situation was made again in a scratch network, and the call worked.
    Works,
    /// It was not, for this reason.
    NotMade(String),
}

/// Whether a call would succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All calls up to the one in question would.
    Works,
    /// bind(2) may fail with `EADDRINUSE`: sockets are in the way unless they have options that nobody can read.
    MayFail,
    /// This call fails, with this errno.
    Fails {
        /// As its man page is named.
        call: &'static str,
        /// What the kernel answers.
        errno: Errno,
        /// What it means.
        reason: Reason,
    },
}

/// What an errno means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Other sockets have the address.
    Held,
    /// A connection with this four-tuple exists.
    FourTuple,
    /// The kernel may pick from so many ports, and each is taken.
    NoPortLeft(usize),
    /// Ports below this one take CAP_NET_BIND_SERVICE.
    Privileged(u16),
    /// The address is not this host's.
    NotLocal,
    /// A security policy forbids it.
    Forbidden,
    /// The address is being checked for a duplicate: RFC 4862 §5.4.
    Tentative,
    /// The address was found to be a duplicate, on the link of this interface.
    Duplicate(DeviceName),
    /// The interface of the address has no carrier, and without one the check does not begin.
    NoCarrier(DeviceName),
    /// The address is one of another interface of this host.
    OtherDevice {
        /// The interface that was asked for.
        asked: DeviceName,
        /// One that has the address.
        has: DeviceName,
    },
    /// The remote address is on another interface than the socket.
    OtherZone(DeviceName),
    /// No interface has the number that a zone names.
    NoDevice,
    /// An IPv6 socket with IPV6_V6ONLY and an address of IPv4.
    V6Only,
    /// The socket is of the other address family.
    OtherFamily,
    /// A link-local address without the interface that it is on.
    NoScope,
    /// This setting switches IPv6 off where the address could be.
    Ipv6Off(String),
    /// A broadcast or multicast address.
    NotUnicast,
    /// No route leads there.
    NoRoute,
    /// A route of type blackhole, or a rule.
    Blackhole,
    /// A route of type prohibit, or a rule.
    Prohibited,
    /// A route of type unreachable.
    Unreachable,
    /// No address of this host can be the local one.
    NoSource,
    /// The local address, which was bound all the same, is not this host's.
    ForeignSource,
    /// The socket is bound to loopback, and the remote address is elsewhere.
    FromLoopback,
    /// The socket at one of the ends is bound to an interface that lacks the local address.
    NoWayBack {
        /// The local address.
        source: IpAddr,
        /// The interface.
        device: DeviceName,
    },
    /// This interface, by which it would pass, is switched off.
    Down(DeviceName),
    /// The remote address is this host's, and no socket listens there.
    NobodyListens,
    /// Somebody listens there, and accepts none of the connections that wait already.
    QueueFull,
    /// The kernel refuses it, and nothing that is seen here tells why.
    Unexplained,
}

/// A socket because of which the call fails.
#[derive(Debug)]
pub struct InTheWay {
    /// The socket.
    pub holder: Holder,
    /// The rule, where it is one about addresses; else the four-tuple is the same.
    pub conflict: Option<Conflict>,
}

impl Reason {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::FourTuple => "four-tuple",
            Self::NoPortLeft(_) => "no-port-left",
            Self::Privileged(_) => "privileged",
            Self::NotLocal => "not-local",
            Self::Forbidden => "forbidden",
            Self::Tentative => "tentative",
            Self::Duplicate(_) => "duplicate",
            Self::NoCarrier(_) => "no-carrier",
            Self::OtherDevice { .. } => "other-device",
            Self::OtherZone(_) => "other-zone",
            Self::NoDevice => "no-device",
            Self::V6Only => "v6-only",
            Self::OtherFamily => "other-family",
            Self::NoScope => "no-scope",
            Self::Ipv6Off(_) => "ipv6-off",
            Self::NotUnicast => "not-unicast",
            Self::NoRoute => "no-route",
            Self::Blackhole => "blackhole",
            Self::Prohibited => "prohibited",
            Self::Unreachable => "unreachable",
            Self::NoSource => "no-source",
            Self::ForeignSource => "foreign-source",
            Self::FromLoopback => "from-loopback",
            Self::NoWayBack { .. } => "no-way-back",
            Self::Down(_) => "down",
            Self::NobodyListens => "nobody-listens",
            Self::QueueFull => "queue-full",
            Self::Unexplained => "unexplained",
        }
    }
}

impl fmt::Display for Reason {
    /// A sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "another socket has the address",
            Self::FourTuple => "this four-tuple is already in use",
            Self::NoPortLeft(ports) => {
                return write!(
                    f,
                    "the kernel may pick from {ports} ports (net.ipv4.ip_local_port_range), and all are taken"
                );
            }
            Self::Privileged(start) => {
                return write!(
                    f,
                    "ports below {start} (net.ipv4.ip_unprivileged_port_start) need CAP_NET_BIND_SERVICE"
                );
            }
            Self::NotLocal => "not an address of this host (in this network namespace)",
            Self::Forbidden => {
                "a security policy forbids it: SELinux, AppArmor, or a BPF program of the cgroup"
            }
            Self::Tentative => "duplicate address detection for this address is unfinished",
            Self::Duplicate(device) => {
                return write!(
                    f,
                    "another host on the link of {device} has this address: duplicate address detection failed"
                );
            }
            Self::NoCarrier(device) => {
                return write!(f, "{device} has no carrier, and until then this address is not usable");
            }
            Self::OtherDevice { asked, has } => {
                return write!(f, "not an address of {asked}: {has} has it");
            }
            Self::OtherZone(device) => {
                return write!(f, "the socket is bound to {device}, and the remote address names another one");
            }
            Self::NoDevice => "this network namespace has no interface of that number",
            Self::V6Only => "a socket with IPV6_V6ONLY has no IPv4 address",
            Self::OtherFamily => {
                "an IPv4 socket has no IPv6 address, and an IPv6 socket takes IPv4 ones as ::ffff:1.2.3.4"
            }
            Self::NoScope => "a link-local address needs its interface, as in fe80::1%eth0",
            Self::Ipv6Off(key) => return write!(f, "IPv6 is switched off ({key})"),
            Self::NotUnicast => "it is a broadcast or multicast address",
            Self::NoRoute => "no route leads there",
            Self::Blackhole => "the routing table has a blackhole for it",
            Self::Prohibited => "the routing table prohibits it",
            Self::Unreachable => "the routing table has it as unreachable",
            Self::NoSource => "no address of this host can be the local one",
            Self::ForeignSource => "the local address is not this host's (in this network namespace)",
            Self::FromLoopback => "a socket bound to loopback reaches loopback alone",
            Self::NoWayBack { source, device } => {
                return write!(f, "no answer comes back: {source} is not an address of {device}");
            }
            Self::Down(device) => return write!(f, "{device} is down in this network namespace"),
            Self::NobodyListens => "the address is this host's, and no socket listens there",
            Self::QueueFull => "the listener's accept queue is full: further SYNs go unanswered",
            Self::Unexplained => "no visible cause",
        })
    }
}

impl InTheWay {
    /// Whether all is known that it takes to say that it is in the way.
    pub(super) fn is_certain(&self) -> bool {
        self.conflict.is_none_or(|conflict| conflict.is_certain())
    }

    /// Whether it is in the way only if an option is off of which that is not known.
    pub(super) fn is_by_guess(&self) -> bool {
        self.conflict.is_some_and(|conflict| conflict.is_by_guess)
    }
}

impl Verdict {
    pub(super) fn fails(call: &'static str, errno: Errno, reason: Reason) -> Self {
        Self::Fails { call, errno, reason }
    }
}

impl Answer {
    pub(super) fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            is_half: false,
            in_the_way: Vec::new(),
            beside: Vec::new(),
            elsewhere: Vec::new(),
            advice: Vec::new(),
            remarks: Vec::new(),
        }
    }

    pub(super) fn remark(mut self, sentence: impl fmt::Display) -> Self {
        self.remarks.push(sentence.to_string());
        self
    }
}
