//! Where a packet to an address would go, and from which address: rtnetlink(7), which sends none.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{
    AF_INET, AF_INET6, RTA_DST, RTA_OIF, RTA_PREFSRC, RTA_SRC, RTM_GETROUTE, RTM_NEWROUTE, RTN_BROADCAST,
    RTN_LOCAL, RTN_MULTICAST,
};

use super::device;
use super::netlink::{self, NetlinkReply, attribute, attributes};
use crate::net::{Device, zone};

/// `struct rtmsg`.
const ROUTE: usize = 12;
/// Where `rtm_type` stands in it.
const TYPE: usize = 7;
/// RTM_F_FIB_MATCH: the entry of the routing table itself (linux/rtnetlink.h), since Linux 4.13.
const FIB_MATCH: u32 = 0x2000;

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Whether the address is one of this host's.
    pub local: bool,
    /// Whether it is one host's; TCP can do nothing with a broadcast or multicast address.
    pub unicast: bool,
    /// The address that a packet has as its own unless the socket is bound to one.
    pub source: Option<IpAddr>,
}

/// Asks the kernel for the way to `remote` from `local`, or from any address, by `via`, or by any interface.
///
/// # Errors
///
/// What connect(2) would answer: `ENETUNREACH` without a route; `EHOSTUNREACH`, `EACCES` and `EINVAL` where the routing
/// table says so, and `EINVAL` for the way from loopback to another host; `ENODEV` for an interface that is no more.
pub(crate) fn route(remote: SocketAddr, local: Option<IpAddr>, via: Option<Device>) -> io::Result<Route> {
    let reply = netlink::ask(NETLINK_ROUTE, RTM_GETROUTE, 0, &request(remote, local, via, 0))?;
    read(&reply)
}

/// The interface by which a packet to `remote`, an address of this host, is taken to arrive: the one that has the address.
///
/// It passes through lo all the same (`ip_route_output_key_hash_rcu`, `ip6_rcv_core`).
pub(crate) fn arrival(remote: SocketAddr, local: Option<IpAddr>, via: Option<Device>) -> Option<Device> {
    let request = request(remote, local, via, FIB_MATCH);
    let reply = netlink::ask(NETLINK_ROUTE, RTM_GETROUTE, 0, &request).ok()?;
    let found = attributes(reply.payload.get(ROUTE..)?).find(|(kind, _)| *kind == RTA_OIF)?;
    Some(device::device(u32::from_ne_bytes(*found.1.first_chunk()?)))
}

/// `struct rtmsg`, then attributes.
fn request(remote: SocketAddr, local: Option<IpAddr>, via: Option<Device>, flags: u32) -> Vec<u8> {
    let via = zone(remote).or(via.map(|via| via.index));
    // Of a socket that is bound to an interface IPv6 looks at no other route; of a request that does, if it has no source.
    let local = local.filter(|_| remote.is_ipv4() || via.is_none());
    let family = if remote.is_ipv4() { AF_INET } else { AF_INET6 };
    let bits = if remote.is_ipv4() { 32 } else { 128 };
    let mut message = vec![family as u8, bits, if local.is_some() { bits } else { 0 }, 0, 0, 0, 0, 0];
    message.extend(flags.to_ne_bytes());
    attribute(&mut message, RTA_DST, &octets(remote.ip()));
    if let Some(local) = local {
        attribute(&mut message, RTA_SRC, &octets(local));
    }
    if let Some(index) = via {
        attribute(&mut message, RTA_OIF, &index.to_ne_bytes());
    }
    message
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The number of the interface by which a packet from `local` to `remote` leaves, or lo's where it stays here.
///
/// # Errors
///
/// As [`route`].
pub(crate) fn departure(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<Option<u32>> {
    let reply = netlink::ask(NETLINK_ROUTE, RTM_GETROUTE, 0, &request(remote, local, None, 0))?;
    let attributes = reply.payload.get(ROUTE..).unwrap_or_default();
    let found = netlink::attributes(attributes).find(|(kind, _)| *kind == RTA_OIF);
    Ok(found.and_then(|(_, index)| index.first_chunk()).map(|index| u32::from_ne_bytes(*index)))
}

fn read(NetlinkReply { kind, payload }: &NetlinkReply) -> io::Result<Route> {
    let malformed =
        || io::Error::new(io::ErrorKind::InvalidData, "malformed reply of the kernel about a route");
    if *kind != RTM_NEWROUTE {
        return Err(malformed());
    }
    let kind = *payload.get(TYPE).ok_or_else(malformed)?;
    let unicast = ![RTN_BROADCAST, RTN_MULTICAST].contains(&kind);
    Ok(Route { local: kind == RTN_LOCAL, unicast, source: source(payload.get(ROUTE..).unwrap_or_default()) })
}

/// The preferred source among the attributes.
fn source(bytes: &[u8]) -> Option<IpAddr> {
    let (_, value) = attributes(bytes).find(|(kind, _)| *kind == RTA_PREFSRC)?;
    let of_ipv4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    of_ipv4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use nix::libc::RTN_UNICAST;

    use super::*;

    fn route_to(remote: &str, local: Option<&str>) -> io::Result<Route> {
        route(remote.parse().unwrap(), local.map(|local| local.parse().unwrap()), None)
    }

    #[test]
    fn loopback_is_local_and_has_its_source() {
        let found = route_to("127.0.0.2:1", None).unwrap();
        assert_eq!(found, Route { local: true, unicast: true, source: Some("127.0.0.1".parse().unwrap()) });
        if let Ok(found) = route_to("[::1]:1", None) {
            assert_eq!(found, Route { local: true, unicast: true, source: Some("::1".parse().unwrap()) });
        }
    }

    #[test]
    fn a_packet_arrives_by_the_interface_that_has_the_address() {
        let lo = device::named("lo").unwrap().device;
        assert_eq!(arrival("127.0.0.2:1".parse().unwrap(), None, None), Some(lo));
        let by_lo = route("127.0.0.2:1".parse().unwrap(), Some([127, 0, 0, 3].into()), Some(lo)).unwrap();
        assert!(by_lo.local);
    }

    #[test]
    fn what_connect_would_refuse_is_refused() {
        let errno = |remote, local| route_to(remote, local).unwrap_err().raw_os_error().map(Errno::from_raw);
        assert!(!route_to("127.255.255.255:1", None).unwrap().unicast);
        let refused = errno("192.0.2.7:1", Some("127.0.0.1"));
        assert!(matches!(refused, Some(Errno::EINVAL | Errno::ENETUNREACH)), "{refused:?}");
    }

    #[test]
    fn a_reply_cut_anywhere_is_no_panic() {
        let whole = [&[0; 12][..], &[8, 0, 7, 0, 127, 0, 0, 1]].concat();
        let cut = |length: usize| NetlinkReply { kind: RTM_NEWROUTE, payload: whole[..length].to_vec() };
        assert_eq!(read(&cut(whole.len())).unwrap().source, Some("127.0.0.1".parse().unwrap()));
        for length in 0..whole.len() {
            let _ = read(&cut(length));
        }
    }

    #[test]
    fn a_broadcast_and_a_multicast_address_are_not_one_hosts() {
        for (kind, expected) in
            [(RTN_UNICAST, true), (RTN_LOCAL, true), (RTN_BROADCAST, false), (RTN_MULTICAST, false)]
        {
            let mut payload = vec![0; ROUTE];
            payload[TYPE] = kind;
            let reply = NetlinkReply { kind: RTM_NEWROUTE, payload };
            assert_eq!(read(&reply).unwrap().unicast, expected, "{kind}");
        }
    }

    #[test]
    fn an_attribute_begins_where_the_length_of_the_one_before_is_rounded_up_to() {
        let mut attributes = vec![5, 0, 99, 0, 1, 0, 0, 0];
        attribute(&mut attributes, RTA_PREFSRC, &[127, 0, 0, 1]);
        assert_eq!(source(&attributes), Some("127.0.0.1".parse().unwrap()));
    }
}
