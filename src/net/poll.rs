//! poll(2) with POLLRDHUP, which the wrapper of nix neither asks for nor understands.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{self, POLLIN, POLLOUT, nfds_t, pollfd};
use socket2::Socket;

/// The events, those of `events` and POLLERR and POLLHUP, that `socket` has within `time`: the count of sockets
/// with any, 0 or 1, and the events.
///
/// # Errors
///
/// `EINTR` where a signal came, and nothing else on a socket of ours.
#[expect(unsafe_code, reason = "POLLRDHUP is what tells a half-close from data")]
pub fn poll(socket: &Socket, events: i16, time: Duration) -> io::Result<(i32, i16)> {
    let mut descriptor = pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // Rounded up: a wait that was asked for is never none.
    let milliseconds = i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let descriptors: *mut pollfd = &mut descriptor;
    // SAFETY: the pointer is to one pollfd, which lives until the call has returned, and the count says one.
    let ready = unsafe { libc::poll(descriptors, 1 as nfds_t, milliseconds) };
    Errno::result(ready)?;
    Ok((ready, descriptor.revents))
}

/// Waits for the outcome of a connect(2) that has begun.
///
/// # Errors
///
/// That of connect(2); `ETIMEDOUT` where there is none within `limit`.
pub(crate) fn connected_within(socket: &Socket, limit: Duration) -> io::Result<()> {
    match poll(socket, POLLOUT, limit)? {
        (0, _) => Err(Errno::ETIMEDOUT.into()),
        _ => socket.take_error()?.map_or(Ok(()), Err),
    }
}

/// Accepts the next connection of a listening socket, which does not block.
///
/// # Errors
///
/// That of accept(2); `EAGAIN` where none comes within `limit`.
pub(crate) fn accept_within(listening: &Socket, limit: Duration) -> io::Result<Socket> {
    poll(listening, POLLIN, limit)?;
    listening.accept().map(|(socket, _)| socket)
}
