//! One client after the other: the next waits in the accept queue until the one before it has left.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use socket2::Socket;

use super::blocking::{Front, Model};
use super::event_loop::Ended;
use super::threads::{Threads, Turn};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::Totals;
use crate::service::Reply;

/// Serves one connection to its end before it accepts the next.
///
/// A second thread serves, for the first one must hear signals meanwhile.
pub struct Sequential<R> {
    threads: Threads<R>,
    /// Where clients wait for that thread: one at most, until the driver stops and accepts the last.
    line: Sender<Turn<R>>,
    thread: Arc<JoinHandle<()>>,
}

impl<R: Reply + Send + Sync + 'static> Sequential<R> {
    /// Serves what `front` accepts until a signal stops it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll`; `EAGAIN` from `clone`, `EMFILE` from `fcntl`.
    pub fn run(front: Front, reply: R) -> Result<(Ended, Totals)> {
        let (line, clients) = channel::<Turn<R>>();
        let thread = thread::Builder::new()
            .name("client".to_owned())
            .spawn(move || clients.into_iter().for_each(Turn::run))
            .map_err(|error| Error::new("clone", "a thread that serves", error))?;
        let mut model = Self { threads: Threads::new(&front, reply)?, line, thread: Arc::new(thread) };
        let ended = front.run(&mut model)?;
        Ok((ended, model.threads.totals()))
    }
}

impl<R: Reply + Send + Sync + 'static> Model for Sequential<R> {
    fn has_room(&self) -> bool {
        self.threads.unended() == 0
    }

    fn serve(&mut self, socket: Socket, tuple: FourTuple, _: &Socket) -> io::Result<()> {
        let (line, thread) = (&self.line, &self.thread);
        self.threads.take_on(socket, tuple, |turn| match line.send(turn) {
            Ok(()) => Ok(Arc::clone(thread)),
            Err(_) => Err(Errno::ESRCH.into()),
        })
    }

    fn note_ended(&mut self) {
        self.threads.note_ended();
    }

    fn unended(&self) -> usize {
        self.threads.unended()
    }

    fn finish_all(&mut self) {
        self.threads.finish_all();
    }

    fn abort_all(&mut self) {
        self.threads.abort_all();
    }
}
