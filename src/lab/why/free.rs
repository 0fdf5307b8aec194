//! Addresses and ports of this host that could be had instead.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;

use super::claim::{claim, stage};
use super::{Answer, Goal, PlannedCall, ports};
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::settings::Settings;
use crate::kernel::table::table;
use crate::net;
use crate::net::sharing_rule::{Newcomer, Stage, conflict, meet, overlap};

/// How many ports above the one in question are looked at for a free one.
const PORTS: u16 = 200;

/// How many addresses of this host are offered in place of another.
const ADDRESSES: usize = 4;

/// Addresses of this host, of the same family as `ip`, that could be bound instead of it.
pub(super) fn own_addresses(ip: IpAddr) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    if ip.to_canonical().is_loopback() {
        found.extend(LOOPBACK);
    }
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else { continue };
        found.extend(address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip())));
        found.extend(address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())));
    }
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut found: Vec<IpAddr> = found.into_iter().filter_map(|other| like(ip, other)).collect();
    found.retain(|other| *other != ip && !link_local(other));
    // What others reach comes first, unless only this host is to.
    let is_loopback = |ip: &IpAddr| ip.to_canonical().is_loopback();
    found.sort_by_key(|other| is_loopback(other) != is_loopback(&ip));
    found
}

/// All of 127/8 is loopback.
const LOOPBACK: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4)),
];

/// The other address as a socket takes it that takes `ip`: an IPv4 one mapped where that is.
fn like(ip: IpAddr, other: IpAddr) -> Option<IpAddr> {
    match (ip, other) {
        (IpAddr::V6(ip), IpAddr::V4(other)) if ip.to_ipv4_mapped().is_some() => {
            Some(other.to_ipv6_mapped().into())
        }
        (IpAddr::V6(ip), IpAddr::V6(_)) if ip.to_ipv4_mapped().is_some() => None,
        _ => Some(other).filter(|other| other.is_ipv4() == ip.is_ipv4()),
    }
}

/// The own addresses that are free, a few; of those that loopback has besides its own one.
pub(super) fn free_addresses(
    ip: IpAddr,
    question: &PlannedCall,
    answer: &Answer,
    settings: &Settings,
) -> Vec<IpAddr> {
    let mut is_offered = false;
    let others = own_addresses(ip).into_iter().filter(|&other| {
        let is_besides = LOOPBACK.contains(&other.to_canonical());
        let is_free = !(is_besides && is_offered) && is_free(other, question, answer, settings);
        is_offered |= is_free && is_besides;
        is_free
    });
    others.take(ADDRESSES).collect()
}

/// The wildcard address in place of `ip`, where it is free.
pub(super) fn free_wildcard(
    ip: IpAddr,
    question: &PlannedCall,
    answer: &Answer,
    settings: &Settings,
) -> Option<IpAddr> {
    Some(net::wildcard(ip)).filter(|&wildcard| is_free(wildcard, question, answer, settings))
}

/// Whether bind(2) would succeed at `ip` on the port in question, so far as the rules tell, and so listen(2); what is said
/// against the address in question too is another matter.
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
    let mut holders = answer.on_port(local.port());
    let is_in_the_way = holders.any(|holder| {
        conflict(&new, &claim(holder)).is_some() || has_four_tuple(&holder.row, local, question, settings)
    });
    !is_in_the_way && adds_no_refusal(local, question, settings)
}

/// Whether a connection from this address to where the call connects to is there, and not to be replaced.
fn has_four_tuple(row: &SocketRow, local: SocketAddr, question: &PlannedCall, settings: &Settings) -> bool {
    let Goal::Connect { remote, .. } = question.goal else { return false };
    let is_replaced = stage(row) == Stage::Waiting && settings.time_wait.timestamps;
    let is_from = |ip: IpAddr| ip.is_unspecified() || row.local.ip().to_canonical() == ip;
    row.local.port() == local.port()
        && row.remote.port() == remote.port()
        && row.remote.ip().to_canonical() == remote.ip().to_canonical()
        && is_from(local.ip().to_canonical())
        && !is_replaced
}

/// Whether nothing is said against this address and the right to its port but what is said of the one in question too:
/// of another address, that the right lacks.
fn adds_no_refusal(local: SocketAddr, question: &PlannedCall, settings: &Settings) -> bool {
    let Some(asked) = question.goal.local() else { return false };
    let refusals =
        |local| net::refusals(local, &question.options, settings.unprivileged_port_start).unwrap_or_default();
    let now = refusals(asked);
    let is_same_address = with_port(local, asked.port()) == asked;
    let is_there = |errno: &Errno| {
        now.contains(errno) && (is_same_address || matches!(errno, Errno::EACCES | Errno::EPERM))
    };
    refusals(local).iter().all(is_there)
}

/// The same address, with its zone, and another port.
pub(super) fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The first port from `from` on, if one is near, that nobody has at this address; else 0, if the kernel finds one.
pub(super) fn free_port(from: u16, question: &PlannedCall, settings: &Settings) -> Option<u16> {
    let mut local = question.goal.local()?;
    let new = settings.newcomer(local, &question.options);
    let near = first(&new, from..=from.saturating_add(PORTS)).unwrap_or_default();
    local.set_port(near);
    if near != 0 && adds_no_refusal(local, question, settings) {
        return Some(near);
    }
    picked_port(question, settings)
}

/// 0, where the kernel finds a port for this address that nobody has.
pub(super) fn picked_port(question: &PlannedCall, settings: &Settings) -> Option<u16> {
    let new = settings.newcomer(question.goal.local()?, &question.options);
    let pick = ports::by_bind(&new, &question.options, settings).ok()?;
    (!pick.free.is_empty()).then_some(0)
}

/// Whether no socket has this address and port, so that any may listen there.
pub(super) fn is_free_to_all(local: SocketAddr, question: &PlannedCall, settings: &Settings) -> bool {
    let new = settings.newcomer(local, &question.options);
    first(&new, std::iter::once(local.port())).is_some()
}

/// The first of these ports on which no socket has the address, whatever its options.
fn first(new: &Newcomer, mut ports: impl Iterator<Item = u16>) -> Option<u16> {
    let has_address = |row: &SocketRow| {
        meet(new.device, row.device) && overlap(new.ip, new.v6_only, row.local.ip(), row.v6_only).is_some()
    };
    let rows = table().ok()?.rows;
    let taken: BTreeSet<u16> =
        rows.iter().filter(|row| has_address(row)).map(|row| row.local.port()).collect();
    ports.find(|port| !taken.contains(port))
}
