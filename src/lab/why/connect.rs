//! connect(2): whether the four-tuple can be had, and a route leads there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::{has_four_tuple, on_port, stage};
use super::ports;
use super::reach::{SourcePort, reach};
use super::{Answer, Doubt, InTheWay, Reason, Verdict, filtered, holding, not_here, unknown};
use crate::error::{Result, errno_of};
use crate::kernel::device;
use crate::kernel::holders::Holder;
use crate::kernel::ipv6::switched_off;
use crate::kernel::route::route;
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::Stage;
use crate::net::{
    Device, FourTuple, SocketOptions, any_local, hears, is_link_local, source_address, wildcard,
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
    match bound.verdict {
        Verdict::Works => from_bound(bound, local, remote, options, settings),
        _ => beyond(bound, local, remote, options, settings),
    }
}

/// What bind(2) met, and behind it what connect(2) would meet.
fn beyond(
    bound: Answer,
    local: Option<SocketAddr>,
    remote: SocketAddr,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Answer> {
    let mut options = options.clone();
    let mut from = local;
    for reason in bound.reasons() {
        match reason {
            Reason::Held | Reason::Privileged(_) | Reason::NoPortLeft(_) => {}
            Reason::V6Only => options.v6_only = Some(false),
            // From an address that is not to be had nothing leads anywhere; another one is supposed.
            _ => from = None,
        }
    }
    let met = from_bound(Answer::new(Verdict::Works), from, remote, &options, settings)?;
    Ok(bound.followed_by(met))
}

/// Whether connect(2) would succeed from where bind(2) has succeeded.
fn from_bound(
    bound: Answer,
    local: Option<SocketAddr>,
    remote: SocketAddr,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Answer> {
    let way = match way(local.unwrap_or(any_local(remote)), remote, options, settings) {
        Ok(way) => way,
        Err((errno, reason)) => {
            return Ok(Answer { verdict: Verdict::fails("connect", errno, reason), ..bound });
        }
    };
    let Way { tuple, device, is_local } = way;
    let picked_at = local.filter(|_| !options.bind_address_no_port);
    let (from, answer) = match (NonZeroU16::new(tuple.local.port()), picked_at) {
        (Some(port), _) => (SourcePort::Bound, four_tuple(&way, port, settings, bound)?),
        // bind(2) has picked one that nobody has at this address.
        (None, Some(local)) => (SourcePort::PickedByBind(settings.newcomer(local, options)), bound),
        (None, None) => {
            let pick = ports::by_connect(tuple, device, is_local, options, settings)?;
            let verdict = pick.verdict("connect", Errno::EADDRNOTAVAIL);
            (SourcePort::PickedByConnect(pick), Answer { verdict, ..bound })
        }
    };
    match answer.verdict {
        Verdict::Works => {
            let arrive = |answer, tuple, is_local: bool| {
                if is_local {
                    reach(tuple, device, from, options, settings, answer)
                } else {
                    Ok(sent_away(answer, tuple))
                }
            };
            filtered::connect(answer, tuple, is_local, options, settings, arrive)
        }
        // The four-tuple, or every port, is taken; who would answer another one is another matter.
        _ if is_local => {
            let met = reach(tuple, device, from, options, settings, Answer::new(Verdict::Works))?;
            Ok(answer.followed_by(met))
        }
        _ => Ok(answer),
    }
}

/// What is known of a connection to another host.
fn sent_away(answer: Answer, tuple: FourTuple) -> Answer {
    Answer { is_half: true, ..answer }.remark(format_args!(
        "nothing was sent: address, port, route and four-tuple are available; whether {} answers is \
         unknown",
        tuple.remote
    ))
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
    match (local, remote) {
        (SocketAddr::V4(_), SocketAddr::V6(_)) => return Err((Errno::EAFNOSUPPORT, Reason::OtherFamily)),
        // `struct sockaddr_in` is too short for an IPv6 socket.
        (SocketAddr::V6(_), SocketAddr::V4(_)) => return Err((Errno::EINVAL, Reason::OtherFamily)),
        _ => {}
    }
    let bound = Some(local.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
    let is_mapped = local.is_ipv6() && local.ip().to_canonical().is_ipv4();
    let device = on_device(local, remote, options)?;
    let target = target(remote, bound, is_mapped, device);
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
    let is_strange = is_mapped && target.is_ipv6();
    // What stands for this host is its own address and the remote one.
    let is_any = remote.ip().to_canonical().is_unspecified() && target.is_ipv4();
    let from = bound.filter(|_| !is_strange).or(is_any.then_some(target.ip()));
    let route = route(target, from, device).map_err(|error| {
        let errno = errno_of(&error);
        (errno, not_here::not_routed(errno, target, from, device))
    })?;
    if !route.unicast {
        return Err((Errno::ENETUNREACH, Reason::NotUnicast));
    }
    // `ip6_dst_lookup_tail` says so once it has the route.
    if is_strange {
        return Err((Errno::EAFNOSUPPORT, Reason::FromMapped));
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
fn target(remote: SocketAddr, bound: Option<IpAddr>, is_mapped: bool, device: Option<Device>) -> SocketAddr {
    match (remote.ip().to_canonical(), bound) {
        (IpAddr::V6(ip), _) if ip.is_unspecified() && is_mapped => {
            (Ipv4Addr::LOCALHOST, remote.port()).into()
        }
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
            continue;
        }
        match is_replaced(&holder, way.is_local, settings) {
            Some(true) => {
                answer = answer.remark(format_args!(
                    "{holder} would be replaced, which TCP timestamps allow: both ends are this host's"
                ));
                continue;
            }
            Some(false) => {
                answer.verdict = Verdict::fails("connect", Errno::EADDRNOTAVAIL, Reason::FourTuple);
            }
            None => {
                answer.verdict = Verdict::may_fail("connect", Errno::EADDRNOTAVAIL, Doubt::Timestamps);
            }
        }
        answer.in_the_way.push(InTheWay { holder, conflict: None });
    }
    Ok(answer)
}

/// Whether a socket that bind(2) gave the port takes the connection's place, whatever tcp_tw_reuse says
/// (`tcp_twsk_unique`).
///
/// It does where both ends used timestamps, which the kernel does not tell of a connection that no process has any more.
fn is_replaced(holder: &Holder, is_local: bool, settings: &Settings) -> Option<bool> {
    let waits = stage(&holder.row) == Stage::Waiting;
    match waits && settings.time_wait.timestamps {
        false => Some(false),
        true => is_local.then_some(true),
    }
}
