//! Who takes a connection to an address of this host: the socket table tells.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::{has_four_tuple, seen_on};
use super::ports::{self, FEW, Pick};
use super::{Answer, Doubt, InTheWay, Reason, Verdict};
use crate::error::Result;
use crate::kernel::holders::Holder;
use crate::kernel::settings::Settings;
use crate::kernel::table::Gap;
use crate::net::sharing_rule::{Newcomer, reaches};
use crate::net::{FourTuple, SocketOptions, TcpState};

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
    from: SourcePort,
    options: &SocketOptions,
    settings: &Settings,
    mut answer: Answer,
) -> Result<Answer> {
    let Some(port) = NonZeroU16::new(tuple.remote.port()) else {
        answer.verdict = refused();
        return Ok(answer);
    };
    let (there, gap) = seen_on(port)?;
    let unlisted = gap.filter(|gap| matches!(gap, Gap::Unlisted(_)));
    let is_listed = unlisted.is_none();
    answer = unlisted.into_iter().fold(answer, Answer::remark);
    let meeting = meeting(tuple, from, &there, options, settings)?;
    if let Meeting::Sure(words) = meeting {
        return Ok(answer.remark(words));
    }
    let listens = |holder: &Holder| holder.row.state == TcpState::Listen;
    let (listening, others): (Vec<Holder>, Vec<Holder>) = there
        .into_iter()
        .filter(listens)
        .partition(|holder| reaches(tuple.remote.ip(), holder.row.local.ip(), holder.sharing.v6_only));
    let group = chosen(tuple.remote.ip(), listening);
    if !group.is_empty() {
        return Ok(taken(group, is_listed, answer));
    }
    answer.beside = others;
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
    from: SourcePort,
    there: &[Holder],
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Meeting> {
    let FourTuple { local, remote } = tuple;
    if local.port() != 0 {
        return Ok(met(tuple, there).map_or(Meeting::Never, Meeting::Sure));
    }
    let at = |port| FourTuple { local: SocketAddr::new(local.ip(), port), remote };
    let on_their_way = there.iter().filter(|holder| holder.row.state == TcpState::SynSent);
    let mut ports: Vec<u16> =
        on_their_way.map(|holder| holder.row.remote.port()).chain([remote.port()]).collect();
    ports.retain(|&port| settings.ephemeral.contains(port) && met(at(port), there).is_some());
    if ports.is_empty() {
        return Ok(Meeting::Never);
    }
    let pick = match from {
        SourcePort::PickedByBind(new) => ports::by_bind(&new, options, settings)?,
        SourcePort::PickedByConnect(pick) => pick,
        SourcePort::Bound => return Ok(Meeting::Never),
    };
    let sure = ports.iter().find(|&&port| pick.is(port)).and_then(|&port| met(at(port), there));
    Ok(match sure {
        Some(words) => Meeting::Sure(words),
        None if !ports.iter().any(|&port| pick.may_be(port)) => Meeting::Never,
        None if pick.count() < FEW => Meeting::Likely,
        None => Meeting::Seldom,
    })
}

/// Whom a SYN with this four-tuple meets.
fn met(tuple: FourTuple, there: &[Holder]) -> Option<String> {
    let FourTuple { local, remote } = tuple;
    if local == remote {
        return Some("the socket would connect to itself: both ends have one address".to_owned());
    }
    let reversed = FourTuple { local: remote, remote: local };
    let on_its_way =
        |holder: &&Holder| holder.row.state == TcpState::SynSent && has_four_tuple(holder, reversed);
    there.iter().find(on_its_way).map(|other| format!("{other} is on its way here: a simultaneous open"))
}

/// The listening sockets of which the kernel gives one the connection: those on the address itself before those on the
/// wildcard, IPv4 before IPv6, and of several that share an address any.
fn chosen(ip: IpAddr, mut listening: Vec<Holder>) -> Vec<Holder> {
    let rank = |holder: &Holder| {
        (holder.row.local.ip().to_canonical() != ip.to_canonical(), holder.row.local.is_ipv6())
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
