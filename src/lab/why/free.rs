//! Addresses and ports of this host that could be had instead.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;

use super::claim::claim;
use super::{Answer, PlannedCall};
use crate::error::Result;
use crate::kernel::inet_diag::{SocketRow, sockets};
use crate::kernel::settings::Settings;
use crate::net;
use crate::net::sharing_rule::{Newcomer, conflict, meet, overlap};

/// How many ports above the one in question are looked at for a free one.
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

/// Whether bind(2) would succeed at `ip` on the port in question, so far as the rules tell, and so listen(2).
pub(super) fn is_free(ip: IpAddr, question: &PlannedCall, answer: &Answer, settings: &Settings) -> bool {
    let Some(local) = question.goal.local() else { return false };
    is_free_at(SocketAddr::new(ip, local.port()), question, answer, settings)
}

/// The same of an address with its zone.
pub(super) fn is_free_at(
    local: SocketAddr,
    question: &PlannedCall,
    answer: &Answer,
    settings: &Settings,
) -> bool {
    let new = settings.newcomer(local, &question.options);
    let holders = answer.in_the_way.iter().map(|found| &found.holder).chain(&answer.beside);
    let is_shared = holders.map(claim).all(|claim| conflict(&new, &claim).is_none());
    is_shared && is_own(local, question, settings)
}

/// Whether nothing is said against the address itself and the right to its port.
fn is_own(local: SocketAddr, question: &PlannedCall, settings: &Settings) -> bool {
    net::refused(local, &question.options, settings.unprivileged_port_start)
        .is_ok_and(|errno| errno.is_none())
}

/// The first port from `from` on, if one is near, that nobody has at this address.
pub(super) fn free_port(from: u16, question: &PlannedCall, settings: &Settings) -> Option<u16> {
    let mut local = question.goal.local()?;
    let new = settings.newcomer(local, &question.options);
    let port = first(&new, from..=from.saturating_add(PORTS)).ok()??;
    local.set_port(port);
    is_own(local, question, settings).then_some(port)
}

/// The first of these ports on which no socket has the address, whatever its options.
///
/// # Errors
///
/// As [`sockets`].
pub(super) fn first(new: &Newcomer, ports: impl Iterator<Item = u16>) -> Result<Option<u16>> {
    let has_address = |row: &SocketRow| {
        meet(new.device, row.device) && overlap(new.ip, new.v6_only, row.local.ip(), row.v6_only).is_some()
    };
    let taken: BTreeSet<u16> =
        sockets()?.iter().filter(|row| has_address(row)).map(|row| row.local.port()).collect();
    let mut ports = ports;
    Ok(ports.find(|port| !taken.contains(port)))
}
