//! The other side's addresses, called in order until one answers.

use std::net::SocketAddr;

use super::{ConnectionId, Io};
use crate::error::{Error, Result};
use crate::net::{FourTuple, any_local};
use crate::report::Event;

/// Whom to call, and how that went so far.
#[derive(Debug)]
pub(super) struct CallAttempts {
    /// The address to call from; `None`: any.
    local: Option<SocketAddr>,
    remotes: Vec<SocketAddr>,
    tried: usize,
    /// The call that has not been answered yet.
    open: Option<ConnectionId>,
    /// The connection that the last call became.
    connection: Option<(ConnectionId, FourTuple)>,
    failure: Option<Error>,
}

impl CallAttempts {
    /// Calls from any address; the last failure has those before it as notes.
    pub(super) fn to(remotes: Vec<SocketAddr>) -> Self {
        Self { local: None, remotes, tried: 0, open: None, connection: None, failure: None }
    }

    /// Calls from `local`; the last failure stands alone.
    pub(super) fn from(local: SocketAddr, remotes: Vec<SocketAddr>) -> Self {
        Self { local: Some(local), ..Self::to(remotes) }
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remotes.get(self.tried.checked_sub(1)?).copied()
    }

    /// Calls the first address not tried yet that does not fail at once.
    ///
    /// # Errors
    ///
    /// The last failure where none is left.
    pub(super) fn next(&mut self, io: &mut dyn Io) -> Result<()> {
        while let Some(&remote) = self.remotes.get(self.tried) {
            self.tried += 1;
            match io.open(self.local.unwrap_or_else(|| any_local(remote)), remote) {
                Ok(id) => {
                    self.open = Some(id);
                    return Ok(());
                }
                Err(error) => self.note(error),
            }
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// A call came to nothing: calls the next, or stops the driver and returns the failure where none is left.
    pub(super) fn failed(&mut self, io: &mut dyn Io, error: Error) -> Option<Error> {
        self.note(error);
        let failure = self.next(io).err()?;
        io.stop();
        Some(failure)
    }

    fn note(&mut self, error: Error) {
        let before = self.failure.take().filter(|_| self.local.is_none());
        self.failure = Some(match before {
            Some(before) => error.note(format_args!("before that: {before}")),
            None => error,
        });
    }

    /// The call was answered: tells it.
    pub(super) fn answered(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.end();
        self.connection = Some((id, tuple));
        io.report(&Event::Established { local: tuple.local, remote: tuple.remote });
    }

    pub(super) fn connection(&self) -> Option<(ConnectionId, FourTuple)> {
        self.connection
    }

    /// Closes the call, whether it was answered or not.
    pub(super) fn hang_up(&mut self, io: &mut dyn Io) {
        if let Some(id) = self.end().or(self.connection.map(|(id, _)| id)) {
            io.close(id);
        }
    }

    /// The call was answered, or is not wanted any more: its id, where it is open.
    pub(super) fn end(&mut self) -> Option<ConnectionId> {
        self.open.take()
    }
}
