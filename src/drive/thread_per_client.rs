//! A thread for each client.

use std::io;
use std::sync::Arc;
use std::thread;

use socket2::Socket;

use super::blocking::{Front, Model};
use super::event_loop::Ended;
use super::threads::Threads;
use crate::error::Result;
use crate::net::FourTuple;
use crate::report::Totals;
use crate::service::Reply;

/// Starts a thread for each connection and lets the kernel schedule them.
pub struct ThreadPerClient<R>(Threads<R>);

impl<R: Reply + Send + Sync + 'static> ThreadPerClient<R> {
    /// Serves what `front` accepts until a signal stops it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll`; `EMFILE` from `fcntl`.
    pub fn run(front: Front, reply: R) -> Result<(Ended, Totals)> {
        let mut model = Self(Threads::new(&front, reply)?);
        let ended = front.run(&mut model)?;
        Ok((ended, model.0.totals()))
    }
}

impl<R: Reply + Send + Sync + 'static> Model for ThreadPerClient<R> {
    fn serve(&mut self, socket: Socket, tuple: FourTuple, _: &Socket) -> io::Result<()> {
        self.0.take_on(socket, tuple, |turn| {
            thread::Builder::new().name("client".to_owned()).spawn(|| turn.run()).map(Arc::new)
        })
    }

    fn note_ended(&mut self) {
        self.0.note_ended();
    }

    fn unended(&self) -> usize {
        self.0.unended()
    }

    fn finish_all(&mut self) {
        self.0.finish_all();
    }

    fn abort_all(&mut self) {
        self.0.abort_all();
    }
}
