//! connect(2): whether the four-tuple can be had, a route leads there, and, on this host, somebody listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::{on_port, stage};
use super::ports::{self, Left};
use super::{Answer, InTheWay, Reason, Verdict, filtered, holding, unknown};
use crate::error::{Result, errno_of};
use crate::kernel::holders::Holder;
use crate::kernel::route::route;
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::{Stage, reaches};
use crate::net::{FourTuple, SocketOptions, TcpState, any_local, wildcard};

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
        Verdict::Works => from_bound(bound, local.unwrap_or(any_local(remote)), remote, options, settings),
        _ => beyond(bound, local.unwrap_or(any_local(remote)), remote, options, settings),
    }
}

/// What bind(2) met, and behind it what connect(2) would meet.
fn beyond(
    bound: Answer,
    local: SocketAddr,
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
            _ => from = any_local(remote),
        }
    }
    let met = from_bound(Answer::new(Verdict::Works), from, remote, &options, settings)?;
    Ok(bound.followed_by(met))
}

/// Whether connect(2) would succeed from where bind(2) has succeeded.
fn from_bound(
    bound: Answer,
    local: SocketAddr,
    remote: SocketAddr,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Answer> {
    let way = match way(local, remote, options, settings) {
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
        Verdict::Works => {
            let arrive = |answer, tuple, is_local| arrive(&Way { tuple, is_local }, settings, answer);
            filtered::connect(answer, way.tuple, way.is_local, options, settings, arrive)
        }
        // The four-tuple, or every port, is taken; who would answer another one is another matter.
        _ if way.is_local => Ok(answer.followed_by(reach(&way, settings, Answer::new(Verdict::Works))?)),
        _ => Ok(answer),
    }
}

/// What comes of a connection where no packet filter is in its way.
fn arrive(way: &Way, settings: &Settings, answer: Answer) -> Result<Answer> {
    if way.is_local {
        return reach(way, settings, answer);
    }
    Ok(Answer { is_half: true, ..answer }.remark(format_args!(
        "nothing was sent: address, port, route and four-tuple are available; whether {} answers is \
         unknown",
        way.tuple.remote
    )))
}

/// What the four-tuple comes to, and whether it stays on this host.
struct Way {
    /// IPv4 addresses are such, not mapped ones; port 0 is yet to be picked.
    tuple: FourTuple,
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
    let target = target(remote, bound);
    if let IpAddr::V6(ip) = remote.ip() {
        // bind(2) sets IPV6_V6ONLY with an address of IPv6 alone.
        let v6_only =
            options.v6_only.unwrap_or(settings.v6_only) || bound.is_some_and(|bound| bound.is_ipv6());
        if ip.to_ipv4_mapped().is_some() && v6_only {
            return Err((Errno::ENETUNREACH, Reason::V6Only));
        }
        if matches!(remote, SocketAddr::V6(remote) if ip.is_unicast_link_local() && remote.scope_id() == 0) {
            return Err((Errno::EINVAL, Reason::NoScope));
        }
    }
    if target.ip().is_multicast() || target.ip() == Ipv4Addr::BROADCAST {
        return Err((Errno::ENETUNREACH, Reason::NotUnicast));
    }
    if target.is_ipv6() && bound.is_none() && settings.ipv6_off {
        return Err((Errno::EADDRNOTAVAIL, Reason::Ipv6Off));
    }
    let route = route(target, bound).map_err(|error| {
        let errno = errno_of(&error);
        let from_loopback = bound.is_some_and(|ip| ip.is_loopback()) && !target.ip().is_loopback();
        (errno, if from_loopback { Reason::FromLoopback } else { Reason::NoRoute })
    })?;
    if !route.unicast {
        return Err((Errno::ENETUNREACH, Reason::NotUnicast));
    }
    let source = bound.or(route.source).unwrap_or_else(|| wildcard(target.ip()));
    let tuple = FourTuple { local: SocketAddr::new(source, local.port()), remote: target };
    Ok(Way { tuple, is_local: route.local })
}

/// Where a connection to `remote` goes: the wildcard address stands for this host.
fn target(remote: SocketAddr, bound: Option<IpAddr>) -> SocketAddr {
    match (remote.ip().to_canonical(), bound) {
        (IpAddr::V4(ip), Some(bound)) if ip.is_unspecified() => SocketAddr::new(bound, remote.port()),
        (IpAddr::V4(ip), None) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, remote.port()).into(),
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
        if !has_four_tuple(&holder, way.tuple) {
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
    let same = |one: SocketAddr, other: SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    holder.four_tuple().is_some_and(|held| same(held.local, tuple.local) && same(held.remote, tuple.remote))
}

/// The kernel picks a port at connect(2).
fn any_port(way: &Way, options: &SocketOptions, settings: &Settings, mut answer: Answer) -> Result<Answer> {
    // bind(2) has picked one already, unless IP_BIND_ADDRESS_NO_PORT is set; it was free.
    let Left { choices, free, unclear } = ports::left(way.tuple, options, settings)?;
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
    let FourTuple { local, remote } = way.tuple;
    let Some(port) = NonZeroU16::new(remote.port()) else {
        answer.verdict = Verdict::fails("connect", Errno::ECONNREFUSED, Reason::NobodyListens);
        return Ok(answer);
    };
    let there = on_port(port)?;
    if local == remote {
        return Ok(answer.remark("the socket would connect to itself: both ends have one address"));
    }
    let reversed = FourTuple { local: remote, remote: local };
    if let Some(other) =
        there.iter().find(|holder| holder.row.state == TcpState::SynSent && has_four_tuple(holder, reversed))
    {
        return Ok(answer.remark(format_args!("{other} is on its way here: a simultaneous open")));
    }
    let (listening, others): (Vec<Holder>, Vec<Holder>) = there
        .into_iter()
        .filter(|holder| holder.row.state == TcpState::Listen)
        .partition(|holder| reaches(remote.ip(), holder.row.local.ip(), holder.sharing.v6_only));
    let Some(acceptor) = acceptor(remote.ip(), listening) else {
        if local.port() == 0 && settings.ephemeral.contains(remote.port()) {
            answer = answer.remark(format_args!(
                "the kernel may pick port {} for the new socket itself, which then connects to itself",
                remote.port()
            ));
        }
        answer.beside = others;
        answer.verdict = Verdict::fails("connect", Errno::ECONNREFUSED, Reason::NobodyListens);
        return Ok(answer);
    };
    if acceptor.row.receive_queue > acceptor.row.send_queue {
        answer.in_the_way = vec![InTheWay { holder: acceptor, conflict: None }];
        answer.verdict = Verdict::fails("connect", Errno::ETIMEDOUT, Reason::QueueFull);
        return Ok(answer);
    }
    Ok(answer.remark(format_args!("{acceptor} would get it")))
}

/// The listening socket that gets the connection: one on the address itself before one on the wildcard.
fn acceptor(ip: IpAddr, listening: Vec<Holder>) -> Option<Holder> {
    listening.into_iter().min_by_key(|holder| {
        let row = &holder.row;
        // Of a group that shares the address any may get it; one with room answers for all.
        (row.local.ip().to_canonical() != ip, row.local.is_ipv6(), row.receive_queue > row.send_queue)
    })
}
