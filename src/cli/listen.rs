//! The listening socket of a program.

use std::net::SocketAddr;

use socket2::Socket;

use crate::drive::EventLoop;
use crate::error::Result;
use crate::lab::explain::explain;
use crate::net::{SocketOptions, bind};
use crate::report::{Event, Reporter};

/// A socket that listens on `local`, with an accept queue of `backlog`.
///
/// # Errors
///
/// What bind(2) and listen(2) say, and who is in the way.
pub(crate) fn listen(local: SocketAddr, options: &SocketOptions, backlog: i32) -> Result<Socket> {
    bind(local, options)
        .and_then(|bound| bound.listen(backlog))
        .map_err(|error| explain(error, local, None, options))
}

/// Lets `event_loop` accept from such a socket, says that it listens, and where.
///
/// # Errors
///
/// As [`listen`], and `ENOSPC` from `epoll_ctl`.
pub(crate) fn accept_on(
    event_loop: &mut EventLoop,
    local: SocketAddr,
    options: &SocketOptions,
    backlog: i32,
    reporter: &Reporter,
) -> Result<SocketAddr> {
    let local = event_loop.accept_from(listen(local, options, backlog)?)?;
    let SocketOptions { reuse_address, reuse_port, .. } = *options;
    reporter.report(&Event::Listening { local, reuse_address, reuse_port, model: None, workers: 1 });
    Ok(local)
}
