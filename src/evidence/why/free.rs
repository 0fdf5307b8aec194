//! Addresses and ports of this host that could be had instead.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;

use super::try_bind;
use crate::net::SocketOptions;

/// How many ports above the one in question are tried for a free one.
const PORTS: u16 = 200;

/// Addresses of this host, of the same family as `ip`, that could be bound instead of it.
pub(super) fn own_addresses(ip: IpAddr) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    if ip.to_canonical().is_loopback() {
        // All of 127/8 is loopback.
        found.extend((2..5).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))));
    }
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else { continue };
        found.extend(address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip())));
        found.extend(address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())));
    }
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    found.retain(|other| *other != ip && other.is_ipv4() == ip.is_ipv4() && !link_local(other));
    // What others reach comes first, unless only this host is to.
    found.sort_by_key(|other| other.is_loopback() != ip.is_loopback());
    found
}

/// Whether bind(2) succeeds there now, and so listen(2).
pub(super) fn is_free(local: SocketAddr, options: &SocketOptions) -> bool {
    try_bind(local, options).is_ok_and(|outcome| outcome.is_ok())
}

/// The first port from `from` on, if one is near.
pub(super) fn free_port(local: SocketAddr, from: u16, options: &SocketOptions) -> Option<u16> {
    (from..=from.saturating_add(PORTS)).find(|&port| is_free(SocketAddr::new(local.ip(), port), options))
}
