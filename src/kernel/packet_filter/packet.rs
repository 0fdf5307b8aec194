//! What is known of a packet before it is sent.

use std::net::IpAddr;

use nix::net::if_::if_indextoname;

use super::bits::Bits;
use super::rule::{Field, Hook};

/// The length of a name of an interface, with zeros behind it.
const NAME: usize = 16;
/// Of the loopback interface, in every network namespace.
pub(super) const LOOPBACK: u32 = 1;
const UNTRACKED: &str = "whether the connection is tracked";
/// `ARPHRD_LOOPBACK`.
const LOOPBACK_TYPE: u16 = 772;

/// A TCP packet that is yet to come, and all that rules may ask about it.
#[derive(Clone, Debug)]
pub(crate) struct ComingPacket {
    pub(crate) is_ipv6: bool,
    pub(crate) source: EndPoint,
    pub(crate) destination: EndPoint,
    pub(crate) incoming: Interface,
    pub(crate) outgoing: Interface,
    /// Of the TCP flags, those that are known, and which are set.
    pub(crate) flags: (u8, u8),
    pub(crate) tracking: Tracking,
    /// Where the connection went at first, where its packets are sent elsewhere.
    pub(crate) original: Option<EndPoint>,
    pub(crate) mark: Bits,
    /// Whose socket it comes from.
    pub(crate) user: SocketUser,
    /// Which port the kernel picks where none is known.
    pub(crate) ephemeral: (u16, u16),
}

/// An address and a port, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndPoint {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    /// Whether it is one of this host's.
    pub(crate) is_local: Option<bool>,
}

/// Where a packet comes in or goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    None,
    Number(u32),
    /// One that is not loopback.
    Another,
}

/// The user and the group of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketUser {
    /// No socket: the packet has come in.
    None,
    Known(u32, u32),
    /// Of this user, and some group.
    OfUser(u32),
    Unknown,
}

/// What connection tracking says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// It has not looked yet, or takes it for a part of no connection.
    Invalid,
    New,
    Established,
    Untracked,
    /// It may be untracked.
    Unknown,
}

impl Tracking {
    /// `NF_CT_STATE_BIT`; of a state that is not known none.
    fn bit(self) -> Option<u32> {
        match self {
            Self::Invalid => Some(1),
            Self::Established => Some(2),
            Self::New => Some(8),
            Self::Untracked => Some(64),
            Self::Unknown => None,
        }
    }
}

impl ComingPacket {
    /// Has connection tracking pass it over, or perhaps.
    pub(super) fn leave_untracked(&mut self, perhaps: bool) {
        self.tracking = if perhaps { Tracking::Unknown } else { Tracking::Untracked };
    }

    /// What a rule finds in this field; `None` where the packet lacks it, so that the rule does not match.
    pub(super) fn field(&self, field: Field, hook: Hook) -> Option<Bits> {
        match field {
            Field::Network { offset, length } => {
                Some(self.network(offset, length).unwrap_or(Bits::unknown(length, "the IP header")))
            }
            Field::Transport { offset, length } => {
                Some(self.transport(offset, length).unwrap_or(Bits::unknown(length, "the TCP options")))
            }
            Field::Meta(key) => self.meta(key, hook),
            Field::Conntrack(key) => Some(self.conntrack(key)),
            Field::ConntrackStates => Some(self.conntrack_states()),
            Field::AddressType { of_source } => {
                Some(address_type(if of_source { self.source } else { self.destination }))
            }
            Field::ReversePath { is_presence } => Some(match (self.incoming, is_presence) {
                (Interface::Number(LOOPBACK), true) => Bits::exact(&[1]),
                (Interface::Number(LOOPBACK), false) => Bits::number(LOOPBACK),
                (_, true) => Bits::unknown(1, "the way back to the source"),
                (_, false) => Bits::unknown(4, "the way back to the source"),
            }),
        }
    }

    fn network(&self, offset: usize, length: usize) -> Option<Bits> {
        let (mut bytes, mut known, addresses) = if self.is_ipv6 {
            let mut bytes = [0; 40];
            let mut known = [0; 40];
            (bytes[0], known[0]) = (0x60, 0xf0);
            (bytes[6], known[6]) = (6, 0xff);
            (bytes.to_vec(), known.to_vec(), [8, 24])
        } else {
            let mut bytes = [0; 20];
            let mut known = [0; 20];
            (bytes[0], known[0]) = (0x45, 0xff);
            // It is no fragment.
            (known[6], known[7]) = (0x3f, 0xff);
            (bytes[9], known[9]) = (6, 0xff);
            (bytes.to_vec(), known.to_vec(), [12, 16])
        };
        for (at, end) in addresses.into_iter().zip([self.source, self.destination]) {
            let octets = match end.ip {
                Some(IpAddr::V4(ip)) if !self.is_ipv6 => ip.octets().to_vec(),
                Some(IpAddr::V6(ip)) if self.is_ipv6 => ip.octets().to_vec(),
                _ => continue,
            };
            bytes.get_mut(at..at + octets.len())?.copy_from_slice(&octets);
            known.get_mut(at..at + octets.len())?.fill(0xff);
        }
        let [source, destination] = addresses;
        let about = match offset {
            _ if offset.saturating_add(length) <= source => "the IP header",
            _ if offset >= destination || self.source.ip.is_some() => "the destination's address",
            _ => "the source's address",
        };
        Bits::partly(&bytes, &known, about).part(offset, length)
    }

    fn transport(&self, offset: usize, length: usize) -> Option<Bits> {
        /// Where the flags are.
        const FLAGS: usize = 13;
        let (mut bytes, mut known) = (vec![0; 20], vec![0; 20]);
        for (at, end) in [(0, self.source), (2, self.destination)] {
            if let Some(port) = end.port {
                bytes.get_mut(at..at + 2)?.copy_from_slice(&port.to_be_bytes());
                known.get_mut(at..at + 2)?.fill(0xff);
            }
        }
        let (which, set) = self.flags;
        (*bytes.get_mut(FLAGS)?, *known.get_mut(FLAGS)?) = (set, which);
        let about = if offset < 4 { "the port that the kernel picks" } else { "the TCP header" };
        let mut header = Bits::partly(&bytes, &known, about);
        for (at, end) in [(0, self.source), (2, self.destination)] {
            if end.port.is_none() {
                let (least, most) = self.ephemeral;
                header.low.get_mut(at..at + 2)?.copy_from_slice(&least.to_be_bytes());
                header.high.get_mut(at..at + 2)?.copy_from_slice(&most.to_be_bytes());
            }
        }
        header.part(offset, length)
    }

    /// `enum nft_meta_keys`.
    fn meta(&self, key: u32, hook: Hook) -> Option<Bits> {
        let interface = |is_incoming| if is_incoming { self.incoming } else { self.outgoing };
        Some(match key {
            1 => Bits::exact(&(if self.is_ipv6 { 0x86dd_u16 } else { 0x0800 }).to_be_bytes()),
            3 => self.mark.clone(),
            4 | 5 => interface(key == 4).number(),
            6 | 7 => interface(key == 6).name(),
            8 | 9 => interface(key == 8).kind()?,
            10 | 11 => match self.user {
                SocketUser::None => return None,
                SocketUser::Known(user, _) | SocketUser::OfUser(user) if key == 10 => Bits::number(user),
                SocketUser::Known(_, group) => Bits::number(group),
                SocketUser::OfUser(_) | SocketUser::Unknown => Bits::unknown(4, "the user of the socket"),
            },
            15 => Bits::exact(&[if self.is_ipv6 { 10 } else { 2 }]),
            16 => Bits::exact(&[6]),
            // `PACKET_HOST`, over loopback too once it has come in.
            19 if self.incoming == Interface::Number(LOOPBACK) && hook != Hook::Ingress => Bits::exact(&[0]),
            // Names and times that are longer than a number.
            26 | 27 | 34 => Bits::unknown(NAME, "the kind of the interface"),
            30 => Bits::unknown(8, "the time of day"),
            28 | 29 => Bits::unknown(2, "a VLAN"),
            17 | 18 => Bits::unknown(NAME, "a bridge"),
            19 | 25 | 31 => Bits::unknown(1, "what only the packet itself shows"),
            _ => Bits::unknown(4, "what only the packet itself shows"),
        })
    }

    /// `enum nft_ct_keys`.
    fn conntrack(&self, key: u32) -> Bits {
        /// `IPS_EXPECTED`, `IPS_SRC_NAT` and `IPS_DST_NAT`.
        const STATUS: u32 = 1 | 1 << 4 | DESTINATION_CHANGED;
        const DESTINATION_CHANGED: u32 = 1 << 5;
        let destination = self.original.unwrap_or(self.destination);
        let is_reply = self.tracking == Tracking::Established;
        let octets = |end: EndPoint, length| match end.ip {
            _ if is_reply => None,
            Some(IpAddr::V4(ip)) if length == 4 => Some(Bits::exact(&ip.octets())),
            Some(IpAddr::V6(ip)) if length == 16 => Some(Bits::exact(&ip.octets())),
            _ => None,
        };
        let address = |end, length| octets(end, length).unwrap_or(Bits::unknown(length, "an address"));
        match key {
            0 => self.tracking.bit().map_or(Bits::unknown(4, UNTRACKED), Bits::number),
            1 => Bits::exact(&[u8::from(is_reply)]),
            2 if self.tracking == Tracking::New => {
                let set = if self.original.is_some() { DESTINATION_CHANGED } else { 0 };
                Bits::partly(&set.to_ne_bytes(), &STATUS.to_ne_bytes(), "the state of the connection")
            }
            7 => Bits::exact(&[if self.is_ipv6 { 10 } else { 2 }]),
            10 => Bits::exact(&[6]),
            19 => address(self.source, 4),
            20 => address(destination, 4),
            21 => address(self.source, 16),
            22 => address(destination, 16),
            12 if !is_reply && destination.port.is_some() => {
                Bits::exact(&destination.port.unwrap_or_default().to_be_bytes())
            }
            11 | 12 => Bits::unknown(2, "a port"),
            8 | 9 => Bits::unknown(if self.is_ipv6 { 16 } else { 4 }, "an address"),
            6 | 13 => Bits::unknown(16, "the state of the connection"),
            14..=16 => Bits::unknown(8, "the state of the connection"),
            17 => Bits::unknown(2, "the state of the connection"),
            _ => Bits::unknown(4, "the state of the connection"),
        }
    }

    /// As `XT_CONNTRACK_STATE_BIT` numbers them.
    fn conntrack_states(&self) -> Bits {
        const DNAT: u32 = 1 << 7;
        const SNAT: u32 = 1 << 6;
        let state = match (self.tracking, self.tracking.bit()) {
            (_, None) => return Bits::unknown(4, UNTRACKED),
            (Tracking::Untracked, _) => 1 << 8,
            (_, Some(bit)) => bit,
        };
        let changed = if self.original.is_some() { DNAT } else { 0 };
        // A reply may be one to a connection that is sent elsewhere.
        let known = if self.tracking == Tracking::Established { !(DNAT | SNAT) } else { !0 };
        Bits::partly(&(state | changed).to_ne_bytes(), &known.to_ne_bytes(), "the state of the connection")
    }
}

fn address_type(end: EndPoint) -> Bits {
    const UNICAST: u32 = 1;
    const LOCAL: u32 = 2;
    match end.is_local {
        Some(is_local) => Bits::number(if is_local { LOCAL } else { UNICAST }),
        None => Bits::unknown(4, "the source's address"),
    }
}

impl Interface {
    fn number(self) -> Bits {
        match self {
            Self::None => Bits::number(0),
            Self::Number(number) => Bits::number(number),
            Self::Another => {
                Bits { except: Some(LOOPBACK.to_ne_bytes().to_vec()), ..Bits::unknown(4, "the interface") }
            }
        }
    }

    /// Its name, where it is known to be one.
    pub(super) fn known_name(self) -> Option<String> {
        match self {
            Self::None | Self::Another => None,
            Self::Number(LOOPBACK) => Some("lo".to_owned()),
            Self::Number(number) => if_indextoname(number).ok()?.into_string().ok(),
        }
    }

    fn name(self) -> Bits {
        let padded = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(NAME, 0);
            bytes
        };
        match (self, self.known_name()) {
            (Self::None, _) => Bits::exact(&[0; NAME]),
            (_, Some(name)) => Bits::exact(&padded(&name)),
            (Self::Another, _) => Bits { except: Some(padded("lo")), ..Bits::unknown(NAME, "the interface") },
            (Self::Number(_), None) => Bits::unknown(NAME, "the interface"),
        }
    }

    fn kind(self) -> Option<Bits> {
        match self {
            Self::None => None,
            Self::Number(LOOPBACK) => Some(Bits::exact(&LOOPBACK_TYPE.to_ne_bytes())),
            Self::Number(_) | Self::Another => Some(Bits::unknown(2, "the kind of the interface")),
        }
    }
}
