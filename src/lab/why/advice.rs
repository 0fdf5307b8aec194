//! What unblocks a call: the smallest changes, cheapest first.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process;

use super::free::{free_addresses, free_port, free_wildcard, is_free_to_all, picked_port};
use super::held::{HeldAddress, wait};
use super::privilege::Rights;
use super::remedy::{AfterStop, OptionChange, Provision, Remedy};
use super::several::{self, Obstructed};
use super::{Answer, Goal, InTheWay, PlannedCall, Reason, orphan, sight, supervised};
use crate::kernel::owners::Process;
use crate::kernel::settings::Settings;
use crate::net::TcpState;
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
            (Reason::NotLocal, Some(local)) => not_local(question, answer, local, settings),
            // What was to be bound; connect(2) has its words below.
            (Reason::NoScope, Some(local)) if self.call == "bind" => {
                free_wildcard(local.ip(), question, answer, settings)
                    .map(Remedy::Address)
                    .into_iter()
                    .collect()
            }
            (Reason::V6Only, _) => vec![Remedy::Set(vec![OptionChange::V6Only(false)])],
            (Reason::QueueFull, _) => in_the_way
                .iter()
                .map(|found| &found.holder)
                .map(|holder| {
                    Remedy::Elsewhere(format!(
                        "make {holder} accept: {} connections wait for it already",
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
    let listening = answer.on_port(remote.port()).filter(|holder| holder.row.state == TcpState::Listen);
    let reached = listening.map(|holder| reached_at(holder.row.local));
    let mut others = reached.filter(|other| local.is_none_or(|local| local.is_ipv4() == other.is_ipv4()));
    let listener = Setting::Listener(remote);
    let words = format!("nothing listens on {remote}: {listener} does");
    let listen = match is_free_to_all(remote, question, settings) {
        true => Remedy::Provide(Provision::Listener(remote), words),
        false => Remedy::Elsewhere(words),
    };
    others.next().map(Remedy::Remote).into_iter().chain([listen]).collect()
}

/// The rules that decide: where they are shown, to be changed.
fn rules(answer: &Answer) -> impl Iterator<Item = Remedy> {
    let commands: BTreeSet<&str> = answer.rules.iter().map(|rule| rule.ruling.command.as_str()).collect();
    commands
        .into_iter()
        .map(|command| Remedy::Elsewhere(format!("change the rule: `sudo {command}` shows it")))
}

/// Where a listener is reached from this host; one that has the wildcard address and is not reached at IPv4 has IPv6.
fn reached_at(listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listener.port()).into(),
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listener.port()).into(),
        _ => listener,
    }
}

fn privileged(question: &PlannedCall, local: SocketAddr, start: u16, settings: &Settings) -> Vec<Remedy> {
    // 80 and 443 have well-known doubles above.
    let from = local.port().saturating_add(8000).max(start);
    let port = free_port(from, question, settings).map(Remedy::Port);
    let right = Remedy::Provide(Provision::Privilege, Rights::read().words(local.port()));
    port.into_iter().chain([right]).collect()
}

fn not_local(question: &PlannedCall, answer: &Answer, local: SocketAddr, settings: &Settings) -> Vec<Remedy> {
    let addresses = free_addresses(local.ip(), question, answer, settings);
    let wildcard = free_wildcard(local.ip(), question, answer, settings);
    let (family, prefix) = if local.is_ipv4() { ("ipv4", 32) } else { ("ipv6", 128) };
    let words = format!(
        "give the address to this host: `sudo ip addr add {}/{prefix} dev lo`; or bind it without: `sudo sysctl \
         net.{family}.ip_nonlocal_bind=1`, or IP_FREEBIND on the new socket",
        local.ip()
    );
    let provide = Remedy::Provide(Provision::OwnAddress(local.ip()), words);
    addresses.into_iter().chain(wildcard).map(Remedy::Address).chain([provide]).collect()
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
        (Reason::Ipv6Off, _) => Some(
            "switch IPv6 on: `sudo sysctl net.ipv6.conf.all.disable_ipv6=0`; or an IPv4 address".to_owned(),
        ),
        (Reason::NotUnicast, _) => Some("the address of one host: TCP has no other connections".to_owned()),
        (Reason::FromMapped, _) => {
            Some("bind an IPv6 address or [::]; or connect to an IPv4 address, as ::ffff:1.2.3.4".to_owned())
        }
        (Reason::FromLoopback, _) => {
            Some("bind the wildcard address, or one of `ip -br addr`: loopback reaches loopback alone".to_owned())
        }
        (Reason::NoScope, Some(ip)) => Some(format!("name the interface: [{ip}%eth0], as `ip -br addr` has it")),
        (Reason::NoPortLeft(_), _) => {
            Some(format!(
                "a wider range: `sudo sysctl net.ipv4.ip_local_port_range='1024 65535'`, now {}; or \
                 name a port",
                settings.ephemeral
            ))
        }
        (Reason::Tentative, _) => Some(
            "wait for the end of duplicate address detection, a second or two; `ip -6 addr` shows dadfailed where \
             another host has the address"
                .to_owned(),
        ),
        _ => None,
    }
}
