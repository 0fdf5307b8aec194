//! One client after the other: the next waits in the accept queue until the one before it has left.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use nix::errno::Errno;

use super::blocking::Front;
use super::event_loop::Ended;
use super::threads::{Threads, Turn};
use crate::error::{Error, Result};
use crate::report::Totals;
use crate::service::Reply;

/// Serves one connection of `front` to its end before it accepts the next, until a signal stops it.
///
/// A second thread serves, for the first one must hear signals meanwhile.
///
/// # Errors
///
/// `ENOMEM` from `ppoll`; `EAGAIN` from `clone`, `EMFILE` from `fcntl`.
pub(crate) fn sequential<R: Reply + Send + Sync + 'static>(
    front: Front,
    reply: R,
) -> Result<(Ended, Totals)> {
    // Where clients wait for that thread: one at most, until the driver stops and accepts the last.
    let (line, clients) = channel::<Turn<R>>();
    let thread = thread::Builder::new()
        .name("client".to_owned())
        .spawn(move || clients.into_iter().for_each(Turn::run))
        .map_err(|error| Error::new("clone", "a thread that serves", error))?;
    let thread = Arc::new(thread);
    let start = move |turn| match line.send(turn) {
        Ok(()) => Ok(Arc::clone(&thread)),
        Err(_) => Err(Errno::ESRCH.into()),
    };
    Threads::new(&front, reply, 1, start)?.run(front)
}
