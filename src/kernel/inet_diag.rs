//! The kernel's table of TCP sockets, asked for over netlink: sock_diag(7).

mod dump;
mod lookup;
mod parse;
#[cfg(test)]
pub(crate) mod pretend;
mod row;

use std::num::NonZeroU16;
use std::sync::OnceLock;

use crate::error::Result;
use crate::net::{FourTuple, TcpState, bind_alone};
use dump::Wanted;

pub use row::{SocketRow, SocketTimer, TimerKind};

/// All TCP sockets of this network namespace: LISTEN first, then BOUND, then by address.
///
/// The kernel walks its table while sockets come and go, so a socket that changes state meanwhile
/// may show twice or not at all. Before Linux 6.8 the table has no row for a socket in BOUND.
///
/// ```
/// use fourtuple::{SocketOptions, SocketRow, TcpState, bind, sockets};
///
/// let bound = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?;
/// let local = bound.local();
/// let _listening = bound.listen(1)?;
/// let listens = |row: &SocketRow| row.local == local && row.state == TcpState::Listen;
/// assert_eq!(sockets()?.into_iter().filter(listens).count(), 1);
/// # Ok::<(), fourtuple::Error>(())
/// ```
///
/// # Errors
///
/// `ENOENT` where the kernel has no `tcp_diag`; `EINTR` and `ENOBUFS` where the table changed or
/// overran the receive buffer at each of several attempts; what a security policy answers, such as
/// `EPERM`. sock_diag(7)
pub fn sockets() -> Result<Vec<SocketRow>> {
    dump::dump(Wanted::All).map(sorted)
}

/// The same of one local port, chosen in the kernel: on a host with very many sockets this costs a fraction.
///
/// # Errors
///
/// As [`sockets`].
pub fn sockets_on(port: NonZeroU16) -> Result<Vec<SocketRow>> {
    let mut rows = dump::dump(Wanted::On(port.get()))?;
    // The kernel lists every socket in BOUND all the same.
    rows.retain(|row| row.local.port() == port.get());
    Ok(sorted(rows))
}

/// Those of them that listen: a look at a short table, however many connections there are.
///
/// # Errors
///
/// As [`sockets`].
pub fn listening_on(port: NonZeroU16) -> Result<Vec<SocketRow>> {
    dump::dump(Wanted::ListeningOn(port.get())).map(sorted)
}

/// In the order of [`sockets`].
pub(super) fn sorted(mut rows: Vec<SocketRow>) -> Vec<SocketRow> {
    rows.sort_by_key(|row| (rank(row.state), row.local, row.remote));
    rows
}

/// The connection with this four-tuple, in whatever state; the kernel looks it up in a few microseconds.
///
/// Where there is none, the kernel gives the listener that a segment of it would reach, if there is one.
///
/// ```
/// let nobody = fourtuple::FourTuple { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into() };
/// assert!(fourtuple::connection(nobody)?.is_none());
/// # Ok::<(), fourtuple::Error>(())
/// ```
///
/// # Errors
///
/// As [`sockets`].
pub fn connection(tuple: FourTuple) -> Result<Option<SocketRow>> {
    lookup::lookup(tuple)
}

/// Whether this kernel's table has rows for sockets in BOUND, as that of Linux 6.8 and newer: one is bound, and looked for.
pub fn shows_bound() -> bool {
    static SHOWN: OnceLock<bool> = OnceLock::new();
    #[cfg(test)]
    if pretend::is_pretended() {
        return lists_one().unwrap_or(false);
    }
    match SHOWN.get() {
        Some(shown) => *shown,
        // What could not be asked now may be later.
        None => lists_one().is_ok_and(|shown| *SHOWN.get_or_init(|| shown)),
    }
}

fn lists_one() -> Result<bool> {
    // Nobody else has its port.
    let bound = bind_alone()?;
    let rows = dump::dump(Wanted::Bound)?;
    Ok(rows.iter().any(|row| row.local.port() == bound.local().port()))
}

/// What holds an address without a connection comes first.
fn rank(state: TcpState) -> u8 {
    match state {
        TcpState::Listen => 0,
        TcpState::BoundInactive => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_bound_sockets_show_is_asked_of_the_kernel() {
        let bound = crate::net::bind("127.0.0.1:0".parse().unwrap(), &Default::default()).unwrap();
        let listed = || sockets().unwrap().iter().any(|row| row.local == bound.local());
        assert_eq!(shows_bound(), listed());
        pretend::without(pretend::Lacking::Bound, || assert!(!shows_bound() && !listed()));
        assert_eq!(shows_bound(), listed());
    }
}
