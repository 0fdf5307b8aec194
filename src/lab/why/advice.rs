//! What unblocks a call: the smallest changes, cheapest first.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process;

use super::free::{
    free_addresses, free_port, free_wildcard, is_free, is_free_at, is_free_to_all, own_addresses, picked_port,
};
use super::held::{HeldAddress, wait};
use super::privilege::Rights;
use super::remedy::{AfterStop, OptionChange, Provision, Remedy};
use super::several::{self, Obstructed};
use super::{Answer, Goal, InTheWay, PlannedCall, Reason, orphan, sight, supervised};
use crate::kernel::device;
use crate::kernel::holders::Holder;
use crate::kernel::ipv6::{InterfaceAddress, interface_addresses};
use crate::kernel::owners::Process;
use crate::kernel::route::{arrival, route};
use crate::kernel::settings::Settings;
use crate::net::{Device, DeviceName, OnDevice, TcpState, hears, is_link_local, wildcard, with_zone};
use crate::text::Setting;

/// The steps that the rules say help, cheapest first; none where it works already.
pub(super) fn steps(question: &PlannedCall, answer: &Answer, settings: &Settings) -> Vec<Remedy> {
    let supposed = supposed(question, answer);
    let met = answer.obstacles().filter_map(|(verdict, in_the_way)| {
        let (call, errno, reason) = verdict.failure()?;
        let against = Against { call, reason: &reason, in_the_way, question: &supposed, answer, settings };
        let steps = against.steps();
        Some(Obstructed { call, errno, reason, steps })
    });
    let mut all: Vec<Obstructed> = met.collect();
    if all.len() > 1 {
        return several::steps(all, question, settings);
    }
    all.pop().map(|only| only.steps).unwrap_or_default()
}

/// The question of what is behind the first thing in the way: an address of IPv4 is no such of a socket of IPv6 alone.
fn supposed(question: &PlannedCall, answer: &Answer) -> PlannedCall {
    let mut supposed = question.clone();
    if answer.reasons().any(|reason| reason == Reason::V6Only) {
        supposed.options.v6_only = Some(false);
    }
    supposed
}

/// One thing in the way of the call.
struct Against<'a> {
    call: &'static str,
    reason: &'a Reason,
    in_the_way: &'a [InTheWay],
    question: &'a PlannedCall,
    answer: &'a Answer,
    settings: &'a Settings,
}

impl Against<'_> {
    /// What clears it, cheapest first.
    fn steps(&self) -> Vec<Remedy> {
        let Self { question, answer, in_the_way, settings, .. } = *self;
        match (self.reason, question.goal.local()) {
            (Reason::Held, Some(local)) => {
                HeldAddress { question, answer, in_the_way, settings, local }.steps()
            }
            (Reason::FourTuple, _) => four_tuple(question, answer, in_the_way, settings),
            (Reason::NobodyListens, _) => nobody_listens(question, answer, settings),
            (Reason::Filtered, _) => rules(answer).collect(),
            (Reason::SentToNobody(address), _) => {
                let listener = Setting::Listener(*address);
                let listen = Remedy::Elsewhere(format!("nothing listens on {address}: {listener} does"));
                std::iter::once(listen).chain(rules(answer)).collect()
            }
            (Reason::Privileged(start), Some(local)) => privileged(question, local, *start, settings),
            (Reason::NotLocal | Reason::ForeignSource, Some(local)) => {
                not_local(question, answer, local, settings)
            }
            (Reason::NoScope, Some(local)) if self.call == "bind" => zones(question, answer, local, settings),
            (Reason::NoScope, _) => remote_zones(question),
            (Reason::NoWayBack { device, .. }, Some(local)) => {
                way_back(question, answer, local, *device, settings)
            }
            (Reason::Duplicate(_), Some(local)) => duplicate(question, answer, local, settings),
            (Reason::OtherDevice { .. }, Some(local)) => other_device(question, answer, local, settings),
            (Reason::V6Only, _) => vec![Remedy::Set(vec![OptionChange::V6Only(false)])],
            (Reason::QueueFull, _) => in_the_way
                .iter()
                .map(|found| &found.holder)
                .map(|holder| {
                    Remedy::Elsewhere(format!(
                        "make {holder} accept: its accept queue is full, {} waiting",
                        holder.row.receive_queue
                    ))
                })
                .collect(),
            (Reason::Tentative, Some(local)) => {
                let others = free_addresses(local.ip(), question, answer, settings);
                let others = others.into_iter().map(Remedy::Address);
                others.chain(elsewhere(self.reason, question, settings).map(Remedy::Elsewhere)).collect()
            }
            (other, _) => elsewhere(other, question, settings).map(Remedy::Elsewhere).into_iter().collect(),
        }
    }
}

fn four_tuple(
    question: &PlannedCall,
    answer: &Answer,
    in_the_way: &[InTheWay],
    settings: &Settings,
) -> Vec<Remedy> {
    let holders = || in_the_way.iter().map(|found| &found.holder);
    let Some(local) = question.goal.local() else { return Vec::new() };
    let addresses = match local.ip().is_unspecified() {
        true => Vec::new(),
        false => free_addresses(local.ip(), question, answer, settings),
    };
    let mut processes: Vec<Process> = holders().flat_map(|holder| holder.processes.clone()).collect();
    processes.retain(|process| process.pid != process::id());
    let words = supervised::other_way(&processes, local).or_else(|| holders().find_map(sight::stop));
    let stop = words
        .map(Remedy::Elsewhere)
        .or_else(|| (!processes.is_empty()).then_some(Remedy::Stop(processes, AfterStop::Nothing)));
    wait(holders(), settings)
        .into_iter()
        .chain(addresses.into_iter().map(Remedy::Address))
        .chain(picked_port(question, settings).map(Remedy::Port))
        .chain(stop)
        .chain(orphan::end(holders()))
        .collect()
}

fn nobody_listens(question: &PlannedCall, answer: &Answer, settings: &Settings) -> Vec<Remedy> {
    let Goal::Connect { local, remote } = question.goal else { return Vec::new() };
    let is_of_family = |other: &SocketAddr| local.is_none_or(|local| local.is_ipv4() == other.is_ipv4());
    let mut listening = answer.on_port(remote.port()).filter(|holder| holder.row.state == TcpState::Listen);
    let other = listening.find_map(|holder| reached_at(holder, question.options.device).filter(is_of_family));
    let other = other.map(|other| Remedy::Remote(other, device::of_zone(other)));
    let listener = Setting::Listener(remote);
    let words = format!("nothing listens on {}: {listener} does", OnDevice(remote, device::of_zone(remote)));
    let listen = match is_free_to_all(remote, question, settings) {
        true => Remedy::Provide(Provision::Listener(remote), words),
        false => Remedy::Elsewhere(words),
    };
    other.into_iter().chain([listen]).collect()
}

/// The rules that decide: where they are shown, to be changed.
fn rules(answer: &Answer) -> impl Iterator<Item = Remedy> {
    let commands: BTreeSet<&str> = answer.rules.iter().map(|rule| rule.ruling.command.as_str()).collect();
    commands
        .into_iter()
        .map(|command| Remedy::Elsewhere(format!("change the rule: `sudo {command}` shows it")))
}

/// Where a listener is reached from this host; one that has the wildcard address and is not reached at IPv4 has IPv6.
///
/// One that is bound to an interface is reached at that one's addresses, and so is any by a socket that is.
fn reached_at(listener: &Holder, by: Option<Device>) -> Option<SocketAddr> {
    let local = listener.row.local;
    let at = |ip: IpAddr| SocketAddr::new(ip, local.port());
    let loopback = match local.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => at(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(ip) if ip.is_unspecified() => at(Ipv4Addr::LOCALHOST.into()),
        _ => local,
    };
    if listener.row.device.or(by).is_none() {
        return Some(loopback);
    }
    let others = own_addresses(loopback.ip()).into_iter().filter(|_| local.ip().is_unspecified()).map(at);
    let is_reached = |address: &SocketAddr| {
        route(*address, None, by).is_ok_and(|route| route.local)
            && hears(listener.row.device, arrival(*address, None, by))
    };
    std::iter::once(loopback).chain(others).find(is_reached)
}

/// A link-local address that is bound: the interfaces that have it, and the wildcard address.
fn zones(question: &PlannedCall, answer: &Answer, local: SocketAddr, settings: &Settings) -> Vec<Remedy> {
    let has = |found: &InterfaceAddress| IpAddr::V6(found.ip) == local.ip();
    let zones: Vec<Remedy> = interface_addresses()
        .into_iter()
        .filter(has)
        .filter(|found| is_free_at(with_zone(local, found.index), question, answer, settings))
        .map(|found| Remedy::Zone(with_zone(local, found.index), device::device(found.index)))
        .collect();
    let none = "no interface has this address free: `ip -6 -br addr` shows what each has";
    let none = zones.is_empty().then(|| Remedy::Elsewhere(none.to_owned()));
    let any = free_wildcard(local.ip(), question, answer, settings);
    zones.into_iter().chain(any.map(Remedy::Address)).chain(none).collect()
}

/// A link-local address that is connected to: the interfaces that have it or, where it is another host's, could lead there.
fn remote_zones(question: &PlannedCall) -> Vec<Remedy> {
    /// More would be a list of interfaces, and that `ip` has.
    const MOST: usize = 3;
    let Goal::Connect { remote, .. } = question.goal else { return Vec::new() };
    let own: Vec<InterfaceAddress> =
        interface_addresses().into_iter().filter(|found| found.ip.is_unicast_link_local()).collect();
    let is_own = own.iter().any(|found| IpAddr::V6(found.ip) == remote.ip());
    let mut indices: Vec<u32> = own
        .iter()
        .filter(|found| !is_own || IpAddr::V6(found.ip) == remote.ip())
        .map(|found| found.index)
        .collect();
    indices.dedup();
    let zone = |&index: &u32| Remedy::Zone(with_zone(remote, index), device::device(index));
    let named: Vec<Remedy> = indices.iter().take(MOST).map(zone).collect();
    let none = "no interface has a link-local address: `ip -6 -br addr` shows what each has";
    let none = named.is_empty().then(|| Remedy::Elsewhere(none.to_owned()));
    named.into_iter().chain(none).collect()
}

/// Another host has the address.
fn duplicate(question: &PlannedCall, answer: &Answer, local: SocketAddr, settings: &Settings) -> Vec<Remedy> {
    let has = |found: &InterfaceAddress| IpAddr::V6(found.ip) == local.ip();
    let own = interface_addresses().into_iter().find(has);
    let words = own.map(|InterfaceAddress { ip, prefix, device, .. }| {
        let on = format!("{ip}/{prefix} dev {device}");
        Remedy::Elsewhere(format!(
            "take the address from the other host, then anew: `sudo ip addr del {on} && sudo ip addr add {on}`; the \
             kernel does not check again by itself"
        ))
    });
    other_addresses(question, answer, local, settings).map(Remedy::Address).chain(words).collect()
}

/// The address is on another interface than the socket.
fn other_device(
    question: &PlannedCall,
    answer: &Answer,
    local: SocketAddr,
    settings: &Settings,
) -> Vec<Remedy> {
    if is_link_local(local) {
        return zones(question, answer, with_zone(local, 0), settings);
    }
    let words = question.options.device.map(|device| {
        Remedy::Elsewhere(format!("without SO_BINDTODEVICE {device}: the address is another interface's"))
    });
    other_addresses(question, answer, local, settings).map(Remedy::Address).chain(words).collect()
}

/// A local address that is the interface's, and the wildcard address, which leaves it to the route.
fn way_back(
    question: &PlannedCall,
    answer: &Answer,
    local: SocketAddr,
    on: DeviceName,
    settings: &Settings,
) -> Vec<Remedy> {
    let is_on =
        |ip: &IpAddr| arrival(SocketAddr::new(*ip, 0), None, None).is_some_and(|device| device.name == on);
    let own = own_addresses(local.ip()).into_iter().filter(is_on);
    let any = Some(wildcard(local.ip())).filter(|any| *any != local.ip());
    let free = |ip: &IpAddr| is_free(*ip, question, answer, settings);
    own.take(1).chain(any).filter(free).map(Remedy::Address).collect()
}

/// Addresses of this host that could be bound instead, and the wildcard address.
fn other_addresses(
    question: &PlannedCall,
    answer: &Answer,
    local: SocketAddr,
    settings: &Settings,
) -> impl Iterator<Item = IpAddr> {
    let addresses = free_addresses(local.ip(), question, answer, settings);
    addresses.into_iter().chain(free_wildcard(local.ip(), question, answer, settings))
}

fn privileged(question: &PlannedCall, local: SocketAddr, start: u16, settings: &Settings) -> Vec<Remedy> {
    // 80 and 443 have well-known doubles above.
    let from = local.port().saturating_add(8000).max(start);
    let port = free_port(from, question, settings).map(Remedy::Port);
    let right = Remedy::Provide(Provision::Privilege, Rights::read().words(local.port()));
    port.into_iter().chain([right]).collect()
}

fn not_local(question: &PlannedCall, answer: &Answer, local: SocketAddr, settings: &Settings) -> Vec<Remedy> {
    let (family, prefix) = if local.is_ipv4() { ("ipv4", 32) } else { ("ipv6", 128) };
    let on = device::of_zone(local).map_or_else(|| "lo".to_owned(), |zone| zone.to_string());
    let give = format!("give the address to this host: `sudo ip addr add {}/{prefix} dev {on}`", local.ip());
    let nonlocal = format!(
        "; or bind it without: `sudo sysctl net.{family}.ip_nonlocal_bind=1`, or IP_FREEBIND on the new socket"
    );
    // What is bound so connects to nobody.
    let words = if matches!(question.goal, Goal::Connect { .. }) { give } else { give + &nonlocal };
    let provide = Remedy::Provide(Provision::OwnAddress(local.ip()), words);
    other_addresses(question, answer, local, settings).map(Remedy::Address).chain([provide]).collect()
}

/// What to do where no change of the socket helps.
fn elsewhere(reason: &Reason, question: &PlannedCall, settings: &Settings) -> Option<String> {
    let remote = match question.goal {
        Goal::Connect { remote, .. } => Some(remote.ip()),
        _ => None,
    };
    match (reason, remote) {
        (Reason::NoRoute, Some(ip)) => {
            Some(format!("`ip route get {ip}` and `ip -br addr` show what is up and where it leads"))
        }
        (Reason::Ipv6Off(key), _) => {
            Some(format!("switch IPv6 on: `sudo sysctl {key}=0`; or an IPv4 address"))
        }
        (Reason::Down(device), _) => Some(format!("`sudo ip link set {device} up`")),
        (Reason::Blackhole, _) => Some(refusing("blackhole")),
        (Reason::Prohibited, _) => Some(refusing("prohibit")),
        (Reason::Unreachable, _) => Some(refusing("unreachable")),
        (Reason::NoSource, _) => Some("`ip -6 -br addr` shows which addresses there are".to_owned()),
        (Reason::NoDevice, _) => Some("`ip -br link` shows which interfaces there are".to_owned()),
        (Reason::NoCarrier(device), _) => {
            Some(format!("`ip link show {device}`: what it is connected to is down"))
        }
        (Reason::OtherZone(device), Some(ip)) => Some(format!("both on one interface: [{ip}%{device}]")),
        (Reason::NotUnicast, _) => Some("the address of one host: TCP has no other connections".to_owned()),
        (Reason::FromMapped, _) => {
            Some("bind an IPv6 address or [::]; or connect to an IPv4 address, as ::ffff:1.2.3.4".to_owned())
        }
        (Reason::FromLoopback, _) => Some(
            "bind the wildcard address, or one of `ip -br addr`: loopback reaches loopback alone".to_owned(),
        ),
        (Reason::NoPortLeft(_), _) => Some(format!(
            "a wider range: `sudo sysctl net.ipv4.ip_local_port_range='1024 65535'`, now {}; or \
                 name a port",
            settings.ephemeral
        )),
        (Reason::Tentative, _) => {
            Some("wait for the end of duplicate address detection, a second or two".to_owned())
        }
        _ => None,
    }
}

/// Where a route of this type is seen.
fn refusing(kind: &str) -> String {
    format!("`ip route show table all type {kind}` and `ip rule` show what says so")
}
