//! The state of a socket of ours, and how many wait in its accept queue, by TCP_INFO, tcp(7).

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, libc, sockopt_impl};
use socket2::Socket;

use super::TcpState;

// `struct tcp_info` begins with its state, and the kernel writes no more than it is asked for.
sockopt_impl!(
    /// The first byte of `struct tcp_info` (linux/tcp.h): `tcpi_state`.
    State,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    u8
);

sockopt_impl!(
    /// `struct tcp_info` as far as `tcpi_unacked`, the seventh word.
    Begin,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 7]
);

sockopt_impl!(
    /// `struct tcp_info` as far as `tcpi_segs_in`, the 36th word.
    AsFarAsSegments,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 36]
);

/// Whether a segment was sent or received, as far as that is known.
pub(crate) fn was_connected(socket: &Socket) -> bool {
    let segments = getsockopt(socket, AsFarAsSegments);
    segments.is_ok_and(|[.., sent, received]| sent != 0 || received != 0)
}

/// The state that the kernel has `socket` in.
///
/// A socket that was never connected is CLOSED, bound or not; so is one whose connection is over, also where
/// the kernel itself keeps that connection in TIME-WAIT.
///
/// # Errors
///
/// `EIO` for a state that RFC 9293 does not have.
pub(crate) fn state_of(socket: &Socket) -> io::Result<TcpState> {
    let number = getsockopt(socket, State)?;
    TcpState::from_number(number).ok_or_else(|| Errno::EIO.into())
}

/// How many connections wait in the accept queue of a listening socket.
///
/// Of such a socket `tcpi_unacked` tells that (tcp_get_info of Linux, net/ipv4/tcp.c).
///
/// # Errors
///
/// None on a TCP socket.
pub(crate) fn accept_queue(listener: &impl AsFd) -> io::Result<usize> {
    let [.., waiting] = getsockopt(listener, Begin)?;
    Ok(waiting as usize)
}
