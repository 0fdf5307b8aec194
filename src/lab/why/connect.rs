//! connect(2): whether the four-tuple can be had, a route leads there, and, on this host, somebody listens.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::{on_port, stage};
use super::ports::{self, Left};
use super::{Answer, InTheWay, Reason, Verdict, holding, not_here, unknown};
use crate::error::{Result, errno_of};
use crate::kernel::device;
use crate::kernel::holders::Holder;
use crate::kernel::ipv6::switched_off;
use crate::kernel::route::{arrival, route};
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::{Stage, reaches};
use crate::net::{
    Device, FourTuple, SocketOptions, TcpState, any_local, hears, is_link_local, source_address, wildcard,
    with_zone,
};

/// Whether bind(2) where there is a local address, and then connect(2), would succeed.
pub(super) fn answer(
    local: Option<SocketAddr>,
    remote: SocketAddr,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Answer> {
    let bound = match local {
        Some(local) => holding::answer(local, options, settings)?,
        None => Answer::new(Verdict::Works),
    };
    if bound.verdict != Verdict::Works {
        return Ok(bound);
    }
    let way = match way(local.unwrap_or(any_local(remote)), remote, options, settings) {
        Ok(way) => way,
        Err((errno, reason)) => {
            return Ok(Answer { verdict: Verdict::fails("connect", errno, reason), ..bound });
        }
    };
    let answer = match NonZeroU16::new(way.tuple.local.port()) {
        Some(port) => four_tuple(&way, port, settings, bound)?,
        None => any_port(&way, options, settings, bound)?,
    };
    match answer.verdict {
        Verdict::Works if way.is_local => reach(&way, settings, answer),
        Verdict::Works => Ok(Answer { is_half: true, ..answer }.remark(format_args!(
            "nothing was sent: address, port, route and four-tuple are available; whether {} answers is \
             unknown",
            way.tuple.remote
        ))),
        Verdict::Fails { .. } | Verdict::MayFail => Ok(answer),
    }
}

/// What the four-tuple comes to, and whether it stays on this host.
struct Way {
    /// IPv4 addresses are such, not mapped ones; port 0 is yet to be picked.
    tuple: FourTuple,
    /// The interface that the socket is bound to by then.
    device: Option<Device>,
    is_local: bool,
}

fn way(
    local: SocketAddr,
    remote: SocketAddr,
    options: &SocketOptions,
    settings: &Settings,
) -> std::result::Result<Way, (Errno, Reason)> {
    if local.is_ipv4() != remote.is_ipv4() {
        return Err((Errno::EAFNOSUPPORT, Reason::OtherFamily));
    }
    let bound = Some(local.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
    let device = on_device(local, remote, options)?;
    let target = target(remote, bound, device);
    if let IpAddr::V6(ip) = remote.ip() {
        // bind(2) sets IPV6_V6ONLY with an address of IPv6 alone.
        let v6_only =
            options.v6_only.unwrap_or(settings.v6_only) || bound.is_some_and(|bound| bound.is_ipv6());
        if ip.to_ipv4_mapped().is_some() && v6_only {
            return Err((Errno::ENETUNREACH, Reason::V6Only));
        }
    }
    if target.ip().is_multicast() || target.ip() == Ipv4Addr::BROADCAST {
        return Err((Errno::ENETUNREACH, Reason::NotUnicast));
    }
    if let (IpAddr::V6(ip), None) = (target.ip(), bound)
        && has_no_source(target, device)
    {
        let off = switched_off(ip, device::of_zone(target));
        return Err((Errno::EADDRNOTAVAIL, off.map_or(Reason::NoSource, Reason::Ipv6Off)));
    }
    // What stands for this host is its own address and the remote one.
    let is_any = remote.ip().to_canonical().is_unspecified() && target.is_ipv4();
    let from = bound.or(is_any.then_some(target.ip()));
    let route = route(target, from, device).map_err(|error| {
        let errno = errno_of(&error);
        (errno, not_here::not_routed(errno, target, from, device))
    })?;
    if !route.unicast {
        return Err((Errno::ENETUNREACH, Reason::NotUnicast));
    }
    let source = from.or(route.source).unwrap_or_else(|| wildcard(target.ip()));
    let tuple = FourTuple { local: SocketAddr::new(source, local.port()), remote: target };
    Ok(Way { tuple, device, is_local: route.local })
}

/// The interface that the socket is bound to once it connects: by its options, by the zone of its own address, or by
/// that of the remote one, which may not differ (`tcp_v6_connect`).
fn on_device(
    local: SocketAddr,
    remote: SocketAddr,
    options: &SocketOptions,
) -> std::result::Result<Option<Device>, (Errno, Reason)> {
    let bound = device::of_zone(local).or(options.device);
    match (bound, device::of_zone(remote)) {
        (None, None) if is_link_local(remote) => Err((Errno::EINVAL, Reason::NoScope)),
        (Some(bound), Some(zone)) if ![zone.index, zone.vrf].contains(&bound.index) => {
            Err((Errno::EINVAL, Reason::OtherZone(bound.name)))
        }
        (bound, zone) => Ok(zone.or(bound)),
    }
}

/// Whether connect(2) finds no address of this host that the connection could come from.
fn has_no_source(target: SocketAddr, device: Option<Device>) -> bool {
    let source = source_address(wildcard(target.ip()), target, device);
    source.is_err_and(|error| (error.call(), error.errno()) == ("connect", Some(Errno::EADDRNOTAVAIL)))
}

/// Where a connection to `remote` goes: the wildcard address stands for this host.
fn target(remote: SocketAddr, bound: Option<IpAddr>, device: Option<Device>) -> SocketAddr {
    match (remote.ip().to_canonical(), bound) {
        (IpAddr::V4(ip), Some(bound)) if ip.is_unspecified() => SocketAddr::new(bound, remote.port()),
        (IpAddr::V4(ip), None) if ip.is_unspecified() => {
            // Of an interface it is that one's address.
            let any = SocketAddr::new(ip.into(), remote.port());
            let own = device.and_then(|device| route(any, None, Some(device)).ok()?.source);
            SocketAddr::new(own.unwrap_or(Ipv4Addr::LOCALHOST.into()), remote.port())
        }
        (IpAddr::V6(ip), _) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, remote.port()).into(),
        (IpAddr::V4(ip), _) => (ip, remote.port()).into(),
        (IpAddr::V6(_), _) => remote,
    }
}

/// A connection with this four-tuple may exist already.
fn four_tuple(way: &Way, port: NonZeroU16, settings: &Settings, bound: Answer) -> Result<Answer> {
    let mut answer = Answer { beside: Vec::new(), ..bound };
    let mut holders = on_port(port)?;
    unknown::infer(&mut holders, settings);
    for holder in holders {
        if !has_four_tuple(&holder, way.tuple) || !hears(holder.row.device, way.device) {
            answer.beside.push(holder);
        } else if stage(&holder.row) == Stage::Waiting && settings.time_wait.timestamps {
            // `tcp_twsk_unique`: a port that bind(2) gave may be used again whatever tcp_tw_reuse says.
            answer = answer.remark(format_args!(
                "{holder} would be replaced, which TCP timestamps allow where both ends used them"
            ));
        } else {
            answer.in_the_way.push(InTheWay { holder, conflict: None });
        }
    }
    if !answer.in_the_way.is_empty() {
        answer.verdict = Verdict::fails("connect", Errno::EADDRNOTAVAIL, Reason::FourTuple);
    }
    Ok(answer)
}

fn has_four_tuple(holder: &Holder, tuple: FourTuple) -> bool {
    let has = |held: FourTuple| is_same(held.local, tuple.local) && is_same(held.remote, tuple.remote);
    holder.four_tuple().is_some_and(has)
}

/// Equal but for the zone.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// The kernel picks a port at connect(2).
fn any_port(way: &Way, options: &SocketOptions, settings: &Settings, mut answer: Answer) -> Result<Answer> {
    // bind(2) has picked one already, unless IP_BIND_ADDRESS_NO_PORT is set; it was free.
    let Left { choices, free, unclear } = ports::left(way.tuple, way.device, options, settings)?;
    if free == 0 && unclear == 0 {
        answer.verdict = Verdict::fails("connect", Errno::EADDRNOTAVAIL, Reason::NoPortLeft(choices));
    } else if free == 0 {
        answer = answer.remark(format_args!(
            "no port is entirely free: it works if one of {unclear} that other connections have was picked by the kernel"
        ));
    }
    Ok(answer)
}

/// On this host the socket table tells whether somebody would answer.
fn reach(way: &Way, settings: &Settings, mut answer: Answer) -> Result<Answer> {
    /// All that stays on this host passes through lo.
    const LO: u32 = 1;
    if let Some(lo) = device::numbered(LO).filter(|lo| !lo.is_up) {
        answer.verdict = Verdict::fails("connect", Errno::ETIMEDOUT, Reason::Down(lo.device.name));
        return Ok(answer);
    }
    let FourTuple { local, remote } = way.tuple;
    let Some(port) = NonZeroU16::new(remote.port()) else {
        answer.verdict = Verdict::fails("connect", Errno::ECONNREFUSED, Reason::NobodyListens);
        return Ok(answer);
    };
    let there = on_port(port)?;
    let from = Some(local.ip()).filter(|ip| !ip.is_unspecified());
    let is_bound = way.device.is_some() || there.iter().any(|holder| holder.row.device.is_some());
    let arrival = is_bound.then(|| arrival(remote, from, way.device)).flatten();
    if is_same(local, remote) {
        return Ok(answer.remark("the socket would connect to itself: both ends have one address"));
    }
    let reversed = FourTuple { local: remote, remote: local };
    let meets = |holder: &&Holder| {
        holder.row.state == TcpState::SynSent
            && has_four_tuple(holder, reversed)
            && hears(holder.row.device, arrival)
    };
    if let Some(other) = there.iter().find(meets) {
        return Ok(answer.remark(format_args!("{other} is on its way here: a simultaneous open")));
    }
    let (listening, others): (Vec<Holder>, Vec<Holder>) =
        there.into_iter().filter(|holder| holder.row.state == TcpState::Listen).partition(|holder| {
            reaches(remote.ip(), holder.row.local.ip(), holder.sharing.v6_only)
                && hears(holder.row.device, arrival)
        });
    let Some(acceptor) = acceptor(remote.ip(), listening) else {
        if local.port() == 0 && settings.ephemeral.contains(remote.port()) {
            answer = answer.remark(format_args!(
                "the kernel may pick port {} for the new socket itself, which then connects to itself",
                remote.port()
            ));
        }
        answer.beside = others;
        let refused = Verdict::fails("connect", Errno::ECONNREFUSED, Reason::NobodyListens);
        answer.verdict = unanswered(&way.tuple, way.device, None).unwrap_or(refused);
        return Ok(answer);
    };
    if let Some(verdict) = unanswered(&way.tuple, way.device, acceptor.row.device) {
        return Ok(Answer { verdict, ..answer });
    }
    if acceptor.row.receive_queue > acceptor.row.send_queue {
        answer.in_the_way = vec![InTheWay { holder: acceptor, conflict: None }];
        answer.verdict = Verdict::fails("connect", Errno::ETIMEDOUT, Reason::QueueFull);
        return Ok(answer);
    }
    Ok(answer.remark(format_args!("{acceptor} would get it")))
}

/// That no answer arrives, where the socket at one of the ends is bound to an interface that lacks the address of this end.
///
/// What is sent to an address of this host is taken to arrive by the interface that has it, and a socket that is bound to
/// another one does not get it; bound to one, the listener sends nothing to an address that this one lacks.
fn unanswered(tuple: &FourTuple, device: Option<Device>, listener: Option<Device>) -> Option<Verdict> {
    let bound = device.or(listener)?;
    let source = with_zone(tuple.local, device.map_or(0, |device| device.index));
    let is_local = route(source, None, listener).is_ok_and(|route| route.local);
    if is_local && hears(device, arrival(source, None, listener)) {
        return None;
    }
    let reason = Reason::NoWayBack { source: source.ip(), device: bound.name };
    Some(Verdict::fails("connect", Errno::ETIMEDOUT, reason))
}

/// The listening socket that gets the connection: one on the address itself before one on the wildcard, and one that is
/// bound to the interface, or is of IPv4 for such a connection, before one that is not (`compute_score`).
fn acceptor(ip: IpAddr, listening: Vec<Holder>) -> Option<Holder> {
    listening.into_iter().min_by_key(|holder| {
        let row = &holder.row;
        let score = u8::from(row.device.is_some()) + u8::from(ip.is_ipv4() && row.local.is_ipv4());
        // Of a group that shares the address any may get it; one with room answers for all.
        (row.local.ip().to_canonical() != ip, Reverse(score), row.receive_queue > row.send_queue)
    })
}
