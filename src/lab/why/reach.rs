//! Who takes a connection to an address of this host: the socket table tells.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::{has_four_tuple, seen_on};
use super::ports::{self, FEW, Pick};
use super::{Answer, Doubt, InTheWay, Reason, Verdict};
use crate::error::Result;
use crate::kernel::device;
use crate::kernel::holders::Holder;
use crate::kernel::route::{arrival, route};
use crate::kernel::settings::Settings;
use crate::kernel::table::Gap;
use crate::net::sharing_rule::{Newcomer, reaches};
use crate::net::{Device, FourTuple, SocketOptions, TcpState, hears, with_zone};

/// How the socket comes by its port.
pub(super) enum SourcePort {
    /// It was bound to it.
    Bound,
    /// bind(2) of port 0 picks it.
    PickedByBind(Newcomer),
    /// connect(2) picks it, from these.
    PickedByConnect(Pick),
}

/// Whether somebody answers at the remote end of this four-tuple, which is this host's.
pub(super) fn reach(
    tuple: FourTuple,
    device: Option<Device>,
    from: SourcePort,
    options: &SocketOptions,
    settings: &Settings,
    mut answer: Answer,
) -> Result<Answer> {
    /// All that stays on this host passes through lo.
    const LO: u32 = 1;
    if let Some(lo) = device::numbered(LO).filter(|lo| !lo.is_up) {
        answer.verdict = Verdict::fails("connect", Errno::ETIMEDOUT, Reason::Down(lo.device.name));
        return Ok(answer);
    }
    let Some(port) = NonZeroU16::new(tuple.remote.port()) else {
        answer.verdict = refused();
        return Ok(answer);
    };
    let (there, gap) = seen_on(port)?;
    let unlisted = gap.filter(|gap| matches!(gap, Gap::Unlisted(_)));
    let is_listed = unlisted.is_none();
    answer = unlisted.into_iter().fold(answer, Answer::remark);
    let source = Some(tuple.local.ip()).filter(|ip| !ip.is_unspecified());
    let is_bound = device.is_some() || there.iter().any(|holder| holder.row.device.is_some());
    let arrival = is_bound.then(|| arrival(tuple.remote, source, device)).flatten();
    let meeting = meeting(tuple, arrival, from, &there, options, settings)?;
    if let Meeting::Sure(words) = meeting {
        return Ok(answer.remark(words));
    }
    let (listening, others): (Vec<Holder>, Vec<Holder>) =
        there.into_iter().filter(|holder| holder.row.state == TcpState::Listen).partition(|holder| {
            reaches(tuple.remote.ip(), holder.row.local.ip(), holder.sharing.v6_only)
                && hears(holder.row.device, arrival)
        });
    let group = chosen(tuple.remote.ip(), listening);
    // Those of a group are bound to one interface, or all to none.
    let unanswered = unanswered(&tuple, device, group.first().and_then(|listener| listener.row.device));
    if !group.is_empty() {
        return Ok(match unanswered {
            Some(verdict) => Answer { verdict, ..answer },
            None => taken(group, is_listed, answer),
        });
    }
    answer.beside = others;
    if let Some(verdict) = unanswered {
        return Ok(Answer { verdict, ..answer });
    }
    answer.verdict = refused();
    Ok(match meeting {
        Meeting::Likely => {
            Answer { verdict: Verdict::may_fail("connect", Errno::ECONNREFUSED, Doubt::Itself), ..answer }
        }
        Meeting::Seldom => answer.remark(format_args!(
            "the kernel may pick port {port} for the new socket itself, which then connects to itself"
        )),
        Meeting::Never | Meeting::Sure(_) => answer,
    })
}

fn refused() -> Verdict {
    Verdict::fails("connect", Errno::ECONNREFUSED, Reason::NobodyListens)
}

/// Whether the SYN arrives at a socket that does not listen, and both connect all the same: a simultaneous open.
enum Meeting {
    /// It does; with whom.
    Sure(String),
    /// Where the kernel picks one of a few ports.
    Likely,
    /// Where it picks one of many.
    Seldom,
    Never,
}

fn meeting(
    tuple: FourTuple,
    arrival: Option<Device>,
    from: SourcePort,
    there: &[Holder],
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Meeting> {
    let FourTuple { local, remote } = tuple;
    if local.port() != 0 {
        return Ok(met(tuple, arrival, there).map_or(Meeting::Never, Meeting::Sure));
    }
    let at = |port| FourTuple { local: SocketAddr::new(local.ip(), port), remote };
    let on_their_way = there.iter().filter(|holder| holder.row.state == TcpState::SynSent);
    let mut ports: Vec<u16> =
        on_their_way.map(|holder| holder.row.remote.port()).chain([remote.port()]).collect();
    ports.retain(|&port| settings.ephemeral.contains(port) && met(at(port), arrival, there).is_some());
    if ports.is_empty() {
        return Ok(Meeting::Never);
    }
    let pick = match from {
        SourcePort::PickedByBind(new) => ports::by_bind(&new, options, settings)?,
        SourcePort::PickedByConnect(pick) => pick,
        SourcePort::Bound => return Ok(Meeting::Never),
    };
    let sure = ports.iter().find(|&&port| pick.is(port)).and_then(|&port| met(at(port), arrival, there));
    Ok(match sure {
        Some(words) => Meeting::Sure(words),
        None if !ports.iter().any(|&port| pick.may_be(port)) => Meeting::Never,
        None if pick.count() < FEW => Meeting::Likely,
        None => Meeting::Seldom,
    })
}

/// Whom a SYN with this four-tuple meets.
fn met(tuple: FourTuple, arrival: Option<Device>, there: &[Holder]) -> Option<String> {
    let FourTuple { local, remote } = tuple;
    // Equal but for the zone.
    if (local.ip(), local.port()) == (remote.ip(), remote.port()) {
        return Some("the socket would connect to itself: both ends have one address".to_owned());
    }
    let reversed = FourTuple { local: remote, remote: local };
    let on_its_way = |holder: &&Holder| {
        holder.row.state == TcpState::SynSent
            && has_four_tuple(holder, reversed)
            && hears(holder.row.device, arrival)
    };
    there.iter().find(on_its_way).map(|other| format!("{other} is on its way here: a simultaneous open"))
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

/// The listening sockets of which the kernel gives one the connection: those on the address itself before those on the
/// wildcard; then those that are bound to the interface, or are of IPv4 for such a connection, before those that are not
/// (`compute_score`). Of several that share an address it is any.
fn chosen(ip: IpAddr, mut listening: Vec<Holder>) -> Vec<Holder> {
    let ip = ip.to_canonical();
    let rank = |holder: &Holder| {
        let row = &holder.row;
        let score = u8::from(row.device.is_some()) + u8::from(ip.is_ipv4() && row.local.is_ipv4());
        (row.local.ip().to_canonical() != ip, Reverse(score))
    };
    let best = listening.iter().map(rank).min();
    listening.retain(|holder| Some(rank(holder)) == best);
    listening
}

/// What comes of a connection that one of these is given; where the kernel does not list them, nobody tells a backlog.
fn taken(group: Vec<Holder>, is_listed: bool, mut answer: Answer) -> Answer {
    let all = group.len();
    let waits = |holder: &Holder| match is_listed {
        true => holder.row.receive_queue > holder.row.send_queue,
        false => holder.row.receive_queue > 0,
    };
    let (full, others): (Vec<Holder>, Vec<Holder>) = group.into_iter().partition(waits);
    if full.is_empty() {
        let first = others.first().map(Holder::to_string).unwrap_or_default();
        return answer.remark(match all {
            1 => format!("{first} would get it"),
            _ => format!("one of {all} listeners that share the address would get it, such as {first}"),
        });
    }
    answer.verdict = if others.is_empty() && is_listed {
        Verdict::fails("connect", Errno::ETIMEDOUT, Reason::QueueFull)
    } else {
        Verdict::may_fail("connect", Errno::ETIMEDOUT, Doubt::Queue { full: full.len(), all })
    };
    answer.in_the_way = full.into_iter().map(|holder| InTheWay { holder, conflict: None }).collect();
    answer.beside = others;
    answer
}
