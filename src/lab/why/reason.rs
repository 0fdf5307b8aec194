//! Why a call fails, and what is not known where it may.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::net::DeviceName;

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
    /// An IPv6 socket is bound to an IPv4 address, and the remote address is an IPv6 one.
    FromMapped,
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
    /// A rule of a packet filter ends its way.
    Filtered,
    /// A rule of a packet filter sends it there, and no socket listens.
    SentToNobody(SocketAddr),
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
            Self::FromMapped => "from-mapped",
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
            Self::Filtered => "filtered",
            Self::SentToNobody(_) => "sent-to-nobody",
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
            Self::FromMapped => "a socket bound to an IPv4 address, as ::ffff:1.2.3.4, reaches IPv4 alone",
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
            Self::Filtered => "a packet filter stops it",
            Self::SentToNobody(address) => {
                return write!(f, "a packet filter sends it to {address}, and no socket listens there");
            }
        })
    }
}

/// What is not known where it decides whether a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Whether the sockets that have the address share it.
    Sharing,
    /// Whether one of so many ports can be picked, and none can for sure.
    PortLeft(usize),
    /// Whether a connection that is not quite over used TCP timestamps, without which it is not replaced.
    Timestamps,
    /// Which of a group of listeners is given the connection: the accept queue of some is full.
    Queue {
        /// How many have a full one, or may have.
        full: usize,
        /// How many there are.
        all: usize,
    },
    /// Whether the kernel picks the port that the call connects to, and the socket meets itself.
    Itself,
    /// Whether a rule of a packet filter stops the connection or sends it elsewhere.
    Filtered,
}

impl Doubt {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sharing => "sharing",
            Self::PortLeft(_) => "port-left",
            Self::Timestamps => "timestamps",
            Self::Queue { .. } => "queue",
            Self::Itself => "itself",
            Self::Filtered => "filtered",
        }
    }

    /// Why the call fails if it does.
    pub(super) fn supposed(&self) -> Reason {
        match self {
            Self::Sharing => Reason::Held,
            Self::PortLeft(ports) => Reason::NoPortLeft(*ports),
            Self::Timestamps => Reason::FourTuple,
            Self::Queue { .. } => Reason::QueueFull,
            Self::Itself => Reason::NobodyListens,
            Self::Filtered => Reason::Filtered,
        }
    }
}

impl fmt::Display for Doubt {
    /// A sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sharing => "it depends on options of the sockets below, which cannot be read",
            Self::PortLeft(ports) => {
                return write!(
                    f,
                    "no port of net.ipv4.ip_local_port_range is free for sure, and of {ports} it cannot be told"
                );
            }
            Self::Timestamps => {
                "a connection that used TCP timestamps at both ends would be replaced, and whether this one did cannot be \
                 read"
            }
            Self::Queue { full: 1, all: 1 } => {
                "connections wait to be accepted, and whether the accept queue is full cannot be read"
            }
            Self::Queue { full, all } => {
                return write!(
                    f,
                    "{full} of the {all} listeners that share the address have a full accept queue: SYNs that the kernel \
                     hands to these go unanswered, and which one it chooses cannot be told"
                );
            }
            Self::Itself => {
                "nothing listens there, but the kernel may pick this very port for the new socket, which then connects to \
                 itself"
            }
            Self::Filtered => "a packet filter may stop it or send it elsewhere, by what cannot be known here",
        })
    }
}
