//! The sockets of a port, and what each holds of it by the rules.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::remedy::OptionChange;
use crate::error::Result;
use crate::kernel::holders::{Holder, Ownership};
use crate::kernel::inet_diag::{SocketRow, TimerKind};
use crate::kernel::table::{Gap, Table, table_on};
use crate::net::sharing_rule::{Claim, Stage};
use crate::net::{FourTuple, TcpState};

/// The sockets that hold this local port, with what is known of each.
///
/// That no process has one is said after two looks, and of none that is gone after them: a process may end, or hand its
/// socket on, while /proc is read.
///
/// # Errors
///
/// As [`sockets`](crate::kernel::inet_diag::sockets), where /proc/net/tcp cannot be read either.
pub fn on_port(port: NonZeroU16) -> Result<Vec<Holder>> {
    seen_on(port).map(|(holders, _)| holders)
}

/// The same, and what may be missing.
pub(super) fn seen_on(port: NonZeroU16) -> Result<(Vec<Holder>, Option<Gap>)> {
    let look = || -> Result<(Vec<Holder>, Option<Gap>)> {
        let Table { mut rows, gap } = table_on(port)?;
        rows.retain(|row| !is_request(row));
        Ok((Holder::of(rows), gap))
    };
    let (mut holders, mut gap) = look()?;
    if holders.iter().any(|holder| holder.ownership() == Ownership::NotFound) {
        (holders, gap) = look()?;
    }
    if holders.iter().any(Holder::is_unseen) {
        let rows = table_on(port)?.rows;
        let still: BTreeSet<(u64, u32)> = rows.iter().map(|row| (row.cookie, row.inode)).collect();
        holders
            .retain(|holder| !holder.is_unseen() || still.contains(&(holder.row.cookie, holder.row.inode)));
    }
    Ok((holders, gap))
}

/// A connection request is no socket yet, and holds no address (`struct request_sock`).
pub(super) fn is_request(row: &SocketRow) -> bool {
    row.state == TcpState::SynReceived && row.inode == 0
}

/// Whether this is its four-tuple; an IPv4 address and the IPv6 address that it is mapped to are one.
pub(super) fn has_four_tuple(holder: &Holder, tuple: FourTuple) -> bool {
    let same = |one: SocketAddr, other: SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    holder.four_tuple().is_some_and(|held| same(held.local, tuple.local) && same(held.remote, tuple.remote))
}

/// What a socket holds by the rules.
pub fn claim(holder: &Holder) -> Claim {
    Claim {
        ip: holder.row.local.ip(),
        device: holder.row.device,
        sharing: holder.sharing,
        uid: holder.row.uid,
        stage: stage(&holder.row),
    }
}

/// The same with these options.
pub(super) fn changed(mut claim: Claim, changes: &[OptionChange]) -> Claim {
    for change in changes {
        match change {
            OptionChange::ReuseAddress => claim.sharing.reuse_address = Some(true),
            OptionChange::ReusePort => claim.sharing.reuse_port = Some(true),
            OptionChange::V6Only(on) => claim.sharing.v6_only = Some(*on),
        }
    }
    claim
}

/// Whether bind(2) gave the socket its port for sure: connect(2) then picks that port for nobody.
pub(crate) fn is_bound(row: &SocketRow) -> bool {
    matches!(row.state, TcpState::Listen | TcpState::BoundInactive)
}

/// What counts of a socket's state.
pub(crate) fn stage(row: &SocketRow) -> Stage {
    match (row.state, row.timer) {
        (TcpState::Listen, _) => Stage::Listening,
        // FIN-WAIT-2 has this timer where no process has the socket, and is then kept as TIME-WAIT is.
        (_, Some(timer)) if timer.kind == TimerKind::TimeWait => Stage::Waiting,
        _ => Stage::Open,
    }
}

/// Whether a connection is in a listener's queue: no process has it, and it has not been closed on this side, for then it
/// would be on its way to its end.
pub(super) fn waits_to_be_accepted(holder: &Holder) -> bool {
    holder.row.inode == 0
        && matches!(holder.row.state, TcpState::SynReceived | TcpState::Established | TcpState::CloseWait)
}
