//! A thread for each client.

use std::sync::Arc;
use std::thread;

use super::blocking::Front;
use super::event_loop::Ended;
use super::threads::{Threads, Turn};
use crate::error::Result;
use crate::report::Totals;
use crate::service::Reply;

/// Starts a thread for each connection of `front` and lets the kernel schedule them, until a signal stops it.
///
/// # Errors
///
/// `ENOMEM` from `ppoll`; `EMFILE` from `fcntl`.
pub(crate) fn thread_per_client<R: Reply + Send + Sync + 'static>(
    front: Front,
    reply: R,
) -> Result<(Ended, Totals)> {
    let start =
        |turn: Turn<R>| thread::Builder::new().name("client".to_owned()).spawn(|| turn.run()).map(Arc::new);
    Threads::new(&front, reply, usize::MAX, start)?.run(front)
}
