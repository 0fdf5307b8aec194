//! What unblocks a call: the smallest changes, cheapest first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process;

use super::free::{free_port, is_free, own_addresses};
use super::held::{HeldAddress, wait};
use super::remedy::{AfterStop, OptionChange, Remedy};
use super::{Answer, Doubt, Goal, PlannedCall, Reason, Verdict};
use crate::kernel::owners::Process;
use crate::kernel::settings::Settings;
use crate::net::wildcard;
use crate::text::Setting;

/// The steps that the rules say help, cheapest first; none where it works already.
pub(super) fn steps(question: &PlannedCall, answer: &Answer, settings: &Settings) -> Vec<Remedy> {
    let local = question.goal.local();
    let (call, reason) = match &answer.verdict {
        Verdict::Works => return Vec::new(),
        Verdict::MayFail { call, doubt, .. } => (*call, &supposed(doubt)),
        Verdict::Fails { call, reason, .. } => (*call, reason),
    };
    match (reason, local) {
        (Reason::Held, Some(local)) => HeldAddress { question, answer, settings, local }.steps(),
        (Reason::FourTuple, _) => four_tuple(question, answer, settings),
        (Reason::NobodyListens, _) => nobody_listens(question, answer),
        (Reason::Privileged(start), Some(local)) => privileged(question, local, *start, settings),
        (Reason::NotLocal, Some(local)) => not_local(question, answer, local, settings),
        // What was to be bound; connect(2) has its words below.
        (Reason::NoScope, Some(local)) if call == "bind" => {
            vec![Remedy::Address(wildcard(local.ip()))]
        }
        (Reason::V6Only, _) => vec![Remedy::Set(vec![OptionChange::V6Only(false)])],
        (Reason::QueueFull, _) => answer
            .in_the_way
            .iter()
            .map(|found| &found.holder)
            .map(|holder| {
                Remedy::Elsewhere(format!(
                    "make {holder} accept: {} connections wait for it already",
                    holder.row.receive_queue
                ))
            })
            .collect(),
        (other, _) => elsewhere(other, question, settings).map(Remedy::Elsewhere).into_iter().collect(),
    }
}

/// Why it fails if it does.
fn supposed(doubt: &Doubt) -> Reason {
    match doubt {
        Doubt::Sharing => Reason::Held,
        Doubt::PortLeft(ports) => Reason::NoPortLeft(*ports),
        Doubt::Timestamps => Reason::FourTuple,
        Doubt::Queue { .. } => Reason::QueueFull,
        Doubt::Itself => Reason::NobodyListens,
    }
}

fn four_tuple(question: &PlannedCall, answer: &Answer, settings: &Settings) -> Vec<Remedy> {
    let holders = || answer.in_the_way.iter().map(|found| &found.holder);
    let Some(local) = question.goal.local() else { return Vec::new() };
    let address = own_addresses(local.ip())
        .into_iter()
        .find(|&ip| !local.ip().is_unspecified() && is_free(ip, question, answer, settings));
    let mut processes: Vec<Process> = holders().flat_map(|holder| holder.processes.clone()).collect();
    processes.retain(|process| process.pid != process::id());
    let stop = (!processes.is_empty()).then_some(Remedy::Stop(processes, AfterStop::Nothing));
    wait(holders(), settings)
        .into_iter()
        .chain(address.map(Remedy::Address))
        .chain([Remedy::Port(0)])
        .chain(stop)
        .collect()
}

fn nobody_listens(question: &PlannedCall, answer: &Answer) -> Vec<Remedy> {
    let Goal::Connect { local, remote } = question.goal else { return Vec::new() };
    let reached = answer.beside.iter().map(|holder| reached_at(holder.row.local));
    let mut others = reached.filter(|other| local.is_none_or(|local| local.is_ipv4() == other.is_ipv4()));
    let listener = Setting::Listener(remote);
    let listen = Remedy::Elsewhere(format!("nothing listens on {remote}: {listener} does"));
    others.next().map(Remedy::Remote).into_iter().chain([listen]).collect()
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
    let right = format!(
        "CAP_NET_BIND_SERVICE: `sudo setcap cap_net_bind_service=+ep PROGRAM`; or as root; or \
         `sudo sysctl net.ipv4.ip_unprivileged_port_start={}`",
        local.port()
    );
    port.into_iter().chain([Remedy::Elsewhere(right)]).collect()
}

fn not_local(question: &PlannedCall, answer: &Answer, local: SocketAddr, settings: &Settings) -> Vec<Remedy> {
    let free = |ip: &IpAddr| is_free(*ip, question, answer, settings);
    let address = own_addresses(local.ip()).into_iter().find(free);
    let (family, prefix) = if local.is_ipv4() { ("ipv4", 32) } else { ("ipv6", 128) };
    let words = format!(
        "give the address to this host: `sudo ip addr add {}/{prefix} dev lo`; or bind it without: `sudo sysctl \
         net.{family}.ip_nonlocal_bind=1`, or IP_FREEBIND on the new socket",
        local.ip()
    );
    address
        .into_iter()
        .chain(Some(wildcard(local.ip())).filter(free))
        .map(Remedy::Address)
        .chain([Remedy::Elsewhere(words)])
        .collect()
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
