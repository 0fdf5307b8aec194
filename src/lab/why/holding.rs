//! bind(2) and listen(2): whether the address can be had.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::{claim, seen_on};
use super::{Answer, Doubt, InTheWay, Reason, Verdict, memory, not_here, ports, unknown};
use crate::error::Result;
use crate::kernel::device;
use crate::kernel::holders::{Holder, Source};
use crate::kernel::settings::Settings;
use crate::kernel::table::Gap;
use crate::net::sharing_rule::{Newcomer, conflict};
use crate::net::{self, SocketOptions};

/// Whether bind(2) and then listen(2) would succeed; whoever may bind may listen.
///
/// What is said against the address itself comes first, and behind it who has it.
pub(super) fn answer(local: SocketAddr, options: &SocketOptions, settings: &Settings) -> Result<Answer> {
    let mut refused = refusals(local, options, settings)?;
    let mut options = options.clone();
    if refused.iter().any(|(_, reason)| *reason == Reason::V6Only) {
        options.v6_only = Some(false);
        let more = refusals(local, &options, settings)?;
        refused.extend(more.into_iter().filter(|(errno, _)| *errno == Errno::EADDRNOTAVAIL));
    }
    let mut held = match NonZeroU16::new(local.port()) {
        None => any_port(local, &options, settings)?,
        Some(port) => on_this_port(port, local, &options, settings, refused.is_empty())?,
    };
    let mut refused =
        refused.into_iter().map(|(errno, reason)| Answer::new(Verdict::fails("bind", errno, reason)));
    let Some(first) = refused.next() else { return Ok(held) };
    let beside = std::mem::take(&mut held.beside);
    let answer = refused.fold(Answer { beside, ..first }, Answer::followed_by);
    Ok(answer.followed_by(held))
}

/// What bind(2) has against the address and the right to its port.
fn refusals(local: SocketAddr, options: &SocketOptions, settings: &Settings) -> Result<Vec<(Errno, Reason)>> {
    let refused = net::refusals(local, options, settings.unprivileged_port_start)?;
    Ok(refused.into_iter().map(|errno| (errno, reason(errno, local, options, settings))).collect())
}

/// Whether other sockets of the port keep the address; bind(2) is asked only where nothing else is said against it.
fn on_this_port(
    port: NonZeroU16,
    local: SocketAddr,
    options: &SocketOptions,
    settings: &Settings,
    may_ask: bool,
) -> Result<Answer> {
    let (mut holders, gap) = seen_on(port)?;
    unknown::infer(&mut holders, settings);
    let (in_the_way, beside) = divide(holders, &settings.newcomer(local, options));
    let verdict = match outcome(&in_the_way, options) {
        // Of a socket that may be missing bind(2) alone knows.
        RuleOutcome::Bound if !may_ask || gap.is_none() || memory::succeeds(local, options)? => {
            Verdict::Works
        }
        RuleOutcome::Bound => Verdict::fails("bind", Errno::EADDRINUSE, Reason::Unexplained),
        RuleOutcome::Refused if may_ask && options.reuse_port && memory::lets_in(local, options)? => {
            Verdict::Works
        }
        RuleOutcome::Refused => Verdict::fails("bind", Errno::EADDRINUSE, Reason::Held),
        RuleOutcome::Unknown => Verdict::may_fail("bind", Errno::EADDRINUSE, Doubt::Sharing),
    };
    let answer = match verdict {
        Verdict::Works => {
            let beside = in_the_way.into_iter().map(|found| found.holder).chain(beside).collect();
            Answer { beside, ..Answer::new(verdict) }
        }
        _ => Answer { in_the_way, beside, ..Answer::new(verdict) },
    };
    Ok(match gap {
        Some(Gap::Bound) if answer.verdict == Verdict::Works => answer,
        Some(gap) => answer.remark(gap),
        None => answer,
    })
}

/// What the rules say of a newcomer.
enum RuleOutcome {
    Bound,
    Refused,
    Unknown,
}

fn outcome(in_the_way: &[InTheWay], options: &SocketOptions) -> RuleOutcome {
    let certain: Vec<&InTheWay> = in_the_way.iter().filter(|found| found.is_certain()).collect();
    // Of several sockets it is known that not all share by one option, nor all by the other; each may share by one.
    let may_be_mixed = |found: &&InTheWay| {
        options.reuse_address && options.reuse_port && found.holder.source == Source::Inferred
    };
    match certain.len() {
        0 if in_the_way.is_empty() => RuleOutcome::Bound,
        0 => RuleOutcome::Unknown,
        1 => RuleOutcome::Refused,
        _ if certain.iter().all(may_be_mixed) => RuleOutcome::Unknown,
        _ => RuleOutcome::Refused,
    }
}

/// Who is in the way by the rules, and who is not; first those that are for sure.
fn divide(holders: Vec<Holder>, new: &Newcomer) -> (Vec<InTheWay>, Vec<Holder>) {
    let (mut in_the_way, mut beside) = (Vec::new(), Vec::new());
    for holder in holders {
        match conflict(new, &claim(&holder)) {
            None => beside.push(holder),
            conflict => in_the_way.push(InTheWay { holder, conflict }),
        }
    }
    in_the_way.sort_by_key(InTheWay::is_by_guess);
    (in_the_way, beside)
}

/// Port 0: the kernel looks for a port on which no socket has the address, whatever its options.
fn any_port(local: SocketAddr, options: &SocketOptions, settings: &Settings) -> Result<Answer> {
    if options.bind_address_no_port {
        return Ok(Answer::new(Verdict::Works));
    }
    let pick = ports::by_bind(&settings.newcomer(local, options), options, settings)?;
    Ok(Answer::new(pick.verdict("bind", Errno::EADDRINUSE)))
}

/// What bind(2) means by another errno than EADDRINUSE, ip(7) and ipv6(7).
fn reason(errno: Errno, local: SocketAddr, options: &SocketOptions, settings: &Settings) -> Reason {
    let start = settings.unprivileged_port_start;
    match (errno, local.ip()) {
        (Errno::EACCES, _) if local.port() < start => Reason::Privileged(start),
        (Errno::EACCES | Errno::EPERM, _) => Reason::Forbidden,
        (Errno::EADDRNOTAVAIL, _) => not_here::not_bound(local, device::of_zone(local).or(options.device)),
        (Errno::ENODEV, _) => Reason::NoDevice,
        (Errno::EINVAL, IpAddr::V6(ip)) if ip.is_multicast() => Reason::NotUnicast,
        (Errno::EINVAL, IpAddr::V6(ip)) if ip.is_unicast_link_local() => Reason::NoScope,
        (Errno::EINVAL, IpAddr::V6(ip))
            if ip.to_ipv4_mapped().is_some() && options.v6_only.unwrap_or(settings.v6_only) =>
        {
            Reason::V6Only
        }
        _ => Reason::Unexplained,
    }
}
