//! The ports that the kernel may pick for a socket by itself.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::kernel::inet_diag::{SocketRow, TimerKind, sockets};
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::in_one_domain;
use crate::net::{Device, FourTuple, SocketOptions, TcpState, hears};

/// The ports that a socket with these options may be given.
pub(super) fn choices(options: &SocketOptions, settings: &Settings) -> Vec<u16> {
    let range = &settings.ephemeral;
    options.local_port_range.map_or_else(|| range.clone(), |asked| range.within(asked)).ports().collect()
}

/// How many ports are left for an unbound socket that connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Those that the kernel may pick at all.
    pub(super) choices: usize,
    /// Those that are free for sure.
    pub(super) free: usize,
    /// Those of which the socket table does not tell: a connection to elsewhere may have been bound to one by itself.
    pub(super) unclear: usize,
}

/// Counts the ports from which connect(2) may choose for this four-tuple, whose local port is yet to be picked.
///
/// It passes over every port that bind(2) gave to a socket, and those with this four-tuple (`__inet_hash_connect`).
///
/// # Errors
///
/// As [`sockets`].
pub(super) fn left(
    tuple: FourTuple,
    device: Option<Device>,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Left> {
    let (mut taken, mut unclear) = (BTreeSet::new(), BTreeSet::new());
    for row in sockets()?.into_iter().filter(|row| in_one_domain(row.device, device)) {
        let port = row.local.port();
        let bound = matches!(row.state, TcpState::Listen | TcpState::BoundInactive);
        let same = is_like(&row, tuple) && hears(row.device, device);
        if bound || (same && !is_replaced(&row, settings)) {
            taken.insert(port);
        } else {
            unclear.insert(port);
        }
    }
    let mut left = Left { choices: 0, free: 0, unclear: 0 };
    for port in choices(options, settings) {
        left.choices += 1;
        left.free += usize::from(!taken.contains(&port) && !unclear.contains(&port));
        left.unclear += usize::from(!taken.contains(&port) && unclear.contains(&port));
    }
    Ok(left)
}

fn is_like(row: &SocketRow, tuple: FourTuple) -> bool {
    row.remote.port() == tuple.remote.port()
        && row.remote.ip().to_canonical() == tuple.remote.ip().to_canonical()
        && row.local.ip().to_canonical() == tuple.local.ip().to_canonical()
}

/// Whether the kernel may pick the four-tuple of a connection in TIME-WAIT again: net.ipv4.tcp_tw_reuse.
fn is_replaced(row: &SocketRow, settings: &Settings) -> bool {
    let waits =
        row.state == TcpState::TimeWait && row.timer.is_some_and(|timer| timer.kind == TimerKind::TimeWait);
    waits && settings.time_wait.may_pick(row.local.ip(), row.remote.ip())
}
