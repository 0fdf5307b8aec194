//! For tests: what an older kernel lists, and one that lists nothing at all.

use std::cell::Cell;

use nix::errno::Errno;

use super::dump::{Wanted, dump_patiently, without_protocol};
use super::row::SocketRow;
use crate::error::{Error, Result};
use crate::net::TcpState;

/// What the kernel of a thread lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Rows for sockets in BOUND, as before Linux 6.8.
    Bound,
    /// NETLINK_SOCK_DIAG.
    Protocol,
}

thread_local! {
    static LACKING: Cell<Option<Lacking>> = const { Cell::new(None) };
}

/// What `act` finds on a kernel that lacks this.
pub(crate) fn without<T>(lacking: Lacking, act: impl FnOnce() -> T) -> T {
    let before = LACKING.replace(Some(lacking));
    let found = act();
    LACKING.set(before);
    found
}

/// Whether such a kernel is pretended.
pub(super) fn is_pretended() -> bool {
    LACKING.get().is_some()
}

pub(super) fn dump(wanted: Wanted) -> Option<Result<Vec<SocketRow>>> {
    Some(match LACKING.get()? {
        Lacking::Bound => dump_patiently(wanted)
            .map(|rows| rows.into_iter().filter(|row| row.state != TcpState::BoundInactive).collect()),
        Lacking::Protocol => {
            Err(without_protocol(Error::new("socket", "NETLINK_SOCK_DIAG", Errno::EPROTONOSUPPORT)))
        }
    })
}
