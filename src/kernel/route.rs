//! Where a packet to an address would go, and from which address: rtnetlink(7), which sends none.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{
    AF_INET, AF_INET6, RTA_DST, RTA_OIF, RTA_PREFSRC, RTA_SRC, RTM_GETROUTE, RTM_NEWROUTE, RTN_BROADCAST,
    RTN_LOCAL, RTN_MULTICAST,
};

use super::netlink::{self, NetlinkReply};

/// `struct rtmsg`.
const ROUTE: usize = 12;
/// Where `rtm_type` stands in it.
const TYPE: usize = 7;

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

/// Asks the kernel for the way to `remote` from `local`, or from any address.
///
/// # Errors
///
/// What connect(2) would answer: `ENETUNREACH` without a route; `EHOSTUNREACH`, `EACCES` and `EINVAL` where the routing
/// table says so, and `EINVAL` for the way from loopback to another host.
pub(crate) fn route(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<Route> {
    let reply = netlink::ask(NETLINK_ROUTE, RTM_GETROUTE, 0, &request(remote, local))?;
    read(&reply)
}

/// `struct rtmsg`, then attributes.
fn request(remote: SocketAddr, local: Option<IpAddr>) -> Vec<u8> {
    let family = if remote.is_ipv4() { AF_INET } else { AF_INET6 };
    let bits = if remote.is_ipv4() { 32 } else { 128 };
    let mut message =
        vec![family as u8, bits, if local.is_some() { bits } else { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    attribute(&mut message, RTA_DST, &octets(remote.ip()));
    if let Some(local) = local {
        attribute(&mut message, RTA_SRC, &octets(local));
    }
    if let SocketAddr::V6(remote) = remote
        && remote.scope_id() != 0
    {
        attribute(&mut message, RTA_OIF, &remote.scope_id().to_ne_bytes());
    }
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // Every value here is a multiple of four bytes long.
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
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
    let reply = netlink::ask(NETLINK_ROUTE, RTM_GETROUTE, 0, &request(remote, local))?;
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
fn source(mut attributes: &[u8]) -> Option<IpAddr> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        let value = attributes.get(4..length)?;
        if kind == RTA_PREFSRC {
            let of_ipv4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
            return of_ipv4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn route_to(remote: &str, local: Option<&str>) -> io::Result<Route> {
        route(remote.parse().unwrap(), local.map(|local| local.parse().unwrap()))
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
}
