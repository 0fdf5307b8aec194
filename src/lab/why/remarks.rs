//! What else is worth knowing about a port: who may come by it, and what is not seen.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::claim::stage;
use super::free::own_addresses;
use super::{Answer, Doubt, Goal, PlannedCall, Reason, Verdict, inheritance, not_here, sight, wsl};
use crate::kernel::device;
use crate::kernel::holders::Holder;
use crate::kernel::owners::ProcessList;
use crate::kernel::settings::Settings;
use crate::kernel::table::udp_on;
use crate::net::sharing_rule::Stage;
use crate::net::{TcpState, wildcard};

pub(super) fn remarks(question: &PlannedCall, answer: &Answer, settings: &Settings) -> Vec<String> {
    let local = question.goal.local().filter(|local| local.port() != 0);
    let in_the_way = answer.all_in_the_way();
    let holders = || in_the_way.iter().map(|found| &found.holder);
    let of_port = local.map(|local| match &answer.verdict {
        Verdict::Works => [picked_some_day(question, local, settings), reserved(local, settings)],
        Verdict::MayFail { doubt: Doubt::Sharing, .. } | Verdict::Fails { reason: Reason::Held, .. } => {
            [connection(local, answer, settings), None]
        }
        Verdict::MayFail { .. } | Verdict::Fails { .. } => [None, None],
    });
    let nonlocal =
        local.filter(|_| answer.verdict == Verdict::Works).and_then(|local| nonlocal(local, settings));
    let down = down(question, answer);
    let group = group(question, answer);
    let shared = holders().find_map(shared);
    let inherited = holders().find_map(inheritance::remark);
    let unseen_processes = sight::remarks(&holders().collect::<Vec<_>>());
    of_port
        .into_iter()
        .flatten()
        .flatten()
        .chain(half_closed(holders()))
        .chain(udp(question))
        .chain(down)
        .chain(group)
        .chain(nonlocal)
        .chain(shared)
        .chain(inherited)
        .chain(unseen_processes)
        .chain(wsl::remark(question, answer))
        .collect()
}

fn range(settings: &Settings) -> String {
    format!("net.ipv4.ip_local_port_range, {}", settings.ephemeral)
}

/// How a port is kept from being picked: the setting takes the whole list.
fn reserve(port: u16, settings: &Settings) -> String {
    format!("`sudo sysctl net.ipv4.ip_local_reserved_ports={}`", settings.ephemeral.reserving(port))
}

/// A free port that an outgoing connection may have some other day.
fn picked_some_day(question: &PlannedCall, local: SocketAddr, settings: &Settings) -> Option<String> {
    let is_server = matches!(question.goal, Goal::Bind(_) | Goal::Listen(_));
    (is_server && settings.ephemeral.contains(local.port())).then(|| {
        format!(
            "the kernel may pick port {} for an outgoing connection ({}): {} keeps it free",
            local.port(),
            range(settings),
            reserve(local.port(), settings)
        )
    })
}

fn reserved(local: SocketAddr, settings: &Settings) -> Option<String> {
    let port = local.port();
    (settings.ephemeral.spans(port) && settings.ephemeral.is_reserved(port)).then(|| {
        format!(
            "port {port} is in net.ipv4.ip_local_reserved_ports: the kernel never picks it; naming it works"
        )
    })
}

/// Where only connections are in the way: how they came to have the port.
fn connection(local: SocketAddr, answer: &Answer, settings: &Settings) -> Option<String> {
    let all = || answer.in_the_way.iter().map(|found| &found.holder).chain(&answer.beside);
    let listens = all().any(|holder| holder.row.state == TcpState::Listen);
    let is_connection = |holder: &Holder| holder.four_tuple().is_some();
    if listens || !answer.in_the_way.iter().all(|found| is_connection(&found.holder)) {
        return None;
    }
    let port = local.port();
    if settings.ephemeral.contains(port) {
        return Some(format!(
            "no socket listens on port {port}: the kernel may have picked it for an outgoing connection ({}); {} keeps it \
             free from now on",
            range(settings),
            reserve(port, settings)
        ));
    }
    Some(format!(
        "no socket listens on port {port}: its connections were accepted by a listener that is gone, or were bound to it \
         before they connected"
    ))
}

fn nonlocal(local: SocketAddr, settings: &Settings) -> Option<String> {
    let ip = local.ip().to_canonical();
    let [ipv4, ipv6] = settings.nonlocal_bind;
    let (allowed, family) = if ip.is_ipv4() { (ipv4, "ipv4") } else { (ipv6, "ipv6") };
    if !allowed {
        return None;
    }
    let is_own = ip.is_loopback() || ip.is_unspecified() || own_addresses(wildcard(ip)).contains(&ip);
    (!is_own).then(|| {
        format!("{ip} is not an address of this host: net.{family}.ip_nonlocal_bind allows the bind")
    })
}

/// Where an address is not there because its interface is switched off.
fn down(question: &PlannedCall, answer: &Answer) -> Option<String> {
    let Verdict::Fails { call, reason: Reason::NotLocal | Reason::NoRoute, .. } = &answer.verdict else {
        return None;
    };
    let address = match question.goal {
        Goal::Connect { remote, .. } if *call == "connect" => remote,
        _ => question.goal.local()?,
    };
    let name = not_here::down(address.ip(), device::of_zone(address).or(question.options.device))?;
    Some(format!("{name} is down in this network namespace: `ip link set {name} up`"))
}

/// Connections that come are shared among those who listen on one address.
fn group(question: &PlannedCall, answer: &Answer) -> Option<String> {
    let Goal::Listen(local) = question.goal else { return None };
    let device = device::of_zone(local).or(question.options.device);
    let is_one = |holder: &&Holder| {
        holder.row.state == TcpState::Listen && holder.row.local == local && holder.row.device == device
    };
    let count = answer.beside.iter().filter(is_one).count();
    (answer.verdict == Verdict::Works && count > 0).then(|| {
        format!("incoming connections are shared by SO_REUSEPORT, with listeners already there: {count}")
    })
}

/// Why the wait for FIN-WAIT-2 may be longer than its timer says.
fn half_closed<'a>(mut holders: impl Iterator<Item = &'a Holder>) -> Option<String> {
    let is_half_closed =
        |holder: &Holder| holder.row.state == TcpState::FinWait2 && stage(&holder.row) == Stage::Waiting;
    holders
        .any(is_half_closed)
        .then(|| "FIN-WAIT-2 becomes TIME-WAIT, of 60s, when the other side closes".to_owned())
}

/// A port that UDP has, by which somebody may have come to ask.
fn udp(question: &PlannedCall) -> Option<String> {
    let (Goal::Bind(local) | Goal::Listen(local)) = question.goal else { return None };
    let addresses: BTreeSet<String> = udp_on(local.port()).iter().map(SocketAddr::to_string).collect();
    let addresses: Vec<String> = addresses.into_iter().collect();
    (local.port() != 0 && !addresses.is_empty()).then(|| {
        format!(
            "this is about TCP: a UDP socket has port {} too ({}), and the two share no ports",
            local.port(),
            addresses.join(", ")
        )
    })
}

/// A socket that several processes have is free when the last of them has closed it.
fn shared(holder: &Holder) -> Option<String> {
    let count = holder.processes.len();
    (count > 1).then(|| {
        let processes = ProcessList(&holder.processes);
        format!("{count} processes share one socket, and each has to close it: {processes}")
    })
}
