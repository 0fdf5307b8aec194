//! What packet filters make of a connection before it comes to its socket: nf_tables, iptables-legacy, ip6tables-legacy.
//!
//! Their rules are read, never changed, and evaluated as the kernel would for the packets of a handshake. What of a packet
//! cannot be known before it is sent, and what a rule asks that is not followed here, leaves a doubt, which is said; a rule
//! that is not met changes nothing. Programs of BPF, of tc(8) and of XDP are not looked at.

mod bits;
mod describe;
mod element_set;
mod extension;
mod nf_tables;
mod packet;
mod passage;
mod presence;
mod registers;
mod rule;
mod ruling;
mod sets;
mod walk;
mod x_tables;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};

use super::route::{departure, route};
use crate::net::FourTuple;
use bits::Bits;
use packet::{ComingPacket, EndPoint, Interface, LOOPBACK, SocketUser, Tracking};
pub(crate) use passage::Passage;
use passage::{Journey, Ruleset, end_point};
use rule::Hook;
pub use ruling::{Effect, Ruling};

/// The rules that packets of one address family meet in this network namespace.
pub(crate) struct PacketFilters {
    rules: Ruleset,
    is_ipv6: bool,
    /// The ports that the kernel may pick from.
    ephemeral: (u16, u16),
}

/// Why the rules are not known, though there may be some: which ones, by the name of what has them.
#[derive(Debug)]
pub(crate) struct UnreadRules {
    pub(crate) names: Vec<&'static str>,
    pub(crate) error: io::Error,
}

impl PacketFilters {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Without CAP_NET_ADMIN over this network namespace, where this kernel may have rules at all.
    pub(crate) fn read(is_ipv6: bool, ephemeral: (u16, u16)) -> Result<Self, UnreadRules> {
        let (mut tables, mut names, mut failed) = (Vec::new(), Vec::new(), None::<io::Error>);
        let mut take = |name, outcome| match outcome {
            Ok(found) => tables.extend(found),
            Err(error) => {
                names.push(name);
                failed.get_or_insert(error);
            }
        };
        if presence::may_have_nf_tables() {
            take("nf_tables", nf_tables::tables().or_else(none_where_there_is_none));
        }
        if presence::may_have_x_tables(is_ipv6) {
            take(if is_ipv6 { "ip6tables" } else { "iptables" }, x_tables::tables(is_ipv6));
        }
        match failed {
            Some(error) => Err(UnreadRules { names, error }),
            None => {
                let sets = sets::Sets::new(nf_tables::element_set);
                Ok(Self { rules: Ruleset { tables, sets }, is_ipv6, ephemeral })
            }
        }
    }

    /// The way of a connection that a socket of this user opens.
    pub(crate) fn outgoing(&self, tuple: FourTuple, is_local: bool) -> FilteredWay<'_> {
        let user = SocketUser::Known(geteuid().as_raw(), getegid().as_raw());
        let [source, destination] = [(tuple.local, Some(true)), (tuple.remote, Some(is_local))]
            .map(|(end, local)| end_point(end, local));
        self.way_from_here(source, destination, user)
    }

    /// The way of a connection that some user of this host opens to `local`; the wildcard address is reached over loopback.
    pub(crate) fn way_from_this_host(&self, local: SocketAddr) -> FilteredWay<'_> {
        let ip = match local.ip().to_canonical() {
            ip if !ip.is_unspecified() => ip,
            _ if self.is_ipv6 => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let end = |port| end_point(SocketAddr::new(ip, port), Some(true));
        self.way_from_here(end(0), end(local.port()), SocketUser::Unknown)
    }

    /// The way of a connection that another host opens to `local`.
    pub(crate) fn way_from_elsewhere(&self, local: SocketAddr) -> FilteredWay<'_> {
        let packet = ComingPacket {
            source: EndPoint { ip: None, port: None, is_local: Some(false) },
            destination: end_point(local, Some(true)),
            incoming: Interface::Another,
            ephemeral: (0, u16::MAX),
            ..self.syn()
        };
        let mut journey = Journey::new(&self.rules, packet);
        journey.arrive();
        FilteredWay { journey, is_from_here: false }
    }

    /// A SYN of which nothing else is known.
    fn syn(&self) -> ComingPacket {
        let nowhere = EndPoint { ip: None, port: None, is_local: None };
        ComingPacket {
            is_ipv6: self.is_ipv6,
            source: nowhere,
            destination: nowhere,
            incoming: Interface::None,
            outgoing: Interface::None,
            // SYN alone; of the bits for congestion nothing is known.
            flags: (0b11_1111, 0b00_0010),
            tracking: Tracking::Invalid,
            original: None,
            mark: Bits::number(0),
            user: SocketUser::None,
            ephemeral: self.ephemeral,
        }
    }

    fn way_from_here(&self, source: EndPoint, destination: EndPoint, user: SocketUser) -> FilteredWay<'_> {
        let outgoing = outgoing_interface(source, destination);
        let packet = ComingPacket { source, destination, outgoing, user, ..self.syn() };
        let mut way = FilteredWay { journey: Journey::new(&self.rules, packet), is_from_here: true };
        way.leave();
        way
    }
}

/// The interface by which a packet leaves.
fn outgoing_interface(source: EndPoint, destination: EndPoint) -> Interface {
    let found = match (destination.is_local, destination.ip) {
        (Some(true), _) => Some(LOOPBACK),
        (_, Some(ip)) => departure(SocketAddr::new(ip, 0), source.ip).ok().flatten(),
        _ => None,
    };
    found.map_or(Interface::Another, Interface::Number)
}

/// A kernel without nf_tables knows no request for them.
fn none_where_there_is_none<T: Default>(error: io::Error) -> io::Result<T> {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::ENOENT) => Ok(T::default()),
        _ => Err(error),
    }
}

/// The way of a connection's first packet, to where it ends.
pub(crate) struct FilteredWay<'a> {
    journey: Journey<'a>,
    is_from_here: bool,
}

impl FilteredWay<'_> {
    fn leave(&mut self) {
        let journey = &mut self.journey;
        journey.through(Hook::Output);
        if journey.passage.stopped.is_some() {
            return;
        }
        if let Some(sent) = journey.passage.sent.clone() {
            let (source, new) = (journey.packet.source, journey.packet.destination);
            let Some(ip) = new.ip else { return };
            let address = SocketAddr::new(ip, new.port.unwrap_or(0));
            match route(address, source.ip, None) {
                Ok(route) => journey.packet.destination.is_local = Some(route.local),
                Err(_) => {
                    let effect = Effect::SendNowhere(address);
                    journey.passage.stopped = Some(Ruling { effect, ..sent });
                    return;
                }
            }
            journey.packet.outgoing = outgoing_interface(source, journey.packet.destination);
        }
        match journey.packet.destination.is_local {
            Some(true) => journey.over_loopback(),
            _ => journey.leave(),
        }
    }

    /// What rules make of the first packet.
    pub(crate) fn passage(&self) -> &Passage {
        &self.journey.passage
    }

    /// Whether it comes to a socket of this host; `None` where that is not known.
    pub(crate) fn is_local(&self) -> Option<bool> {
        self.journey.packet.destination.is_local
    }

    /// What rules make of the reply, from a socket of this user if from one.
    pub(crate) fn reply(&self, user: Option<u32>) -> Passage {
        let is_local = self.is_local() == Some(true);
        let mut reply = self.journey.reply(user.map_or(SocketUser::None, SocketUser::OfUser));
        match (self.is_from_here, is_local) {
            (true, true) => {
                reply.through(Hook::Output);
                reply.translate_back();
                reply.over_loopback();
            }
            (true, false) => {
                reply.packet.incoming = self.journey.packet.outgoing;
                reply.arrive();
            }
            (false, _) => {
                reply.through(Hook::Output);
                reply.translate_back();
                reply.leave();
            }
        }
        reply.passage
    }
}

/// Has every parser of this read these bytes, and packets pass what comes of it.
#[doc(hidden)]
pub fn read_any(bytes: &[u8]) {
    let again = bytes.to_vec();
    for is_ipv6 in [false, true] {
        let (mut tables, _) = nf_tables::read_any(bytes);
        tables.extend(x_tables::read_any(bytes));
        let again = again.clone();
        let sets = sets::Sets::new(move |_, _, _| Ok(nf_tables::read_any(&again).1));
        let filters = PacketFilters { rules: Ruleset { tables, sets }, is_ipv6, ephemeral: (32_768, 60_999) };
        let ip: IpAddr = if is_ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        for way in [filters.way_from_this_host((ip, 80).into()), filters.way_from_elsewhere((ip, 80).into())]
        {
            let _ = way.reply(Some(0));
        }
    }
}

#[cfg(test)]
mod tests;
