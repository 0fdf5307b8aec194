//! The other side's addresses, called in order until one answers.

use std::net::SocketAddr;

use crate::error::{Error, Result};
use crate::net::any_local;
use crate::service::{ConnectionId, Io};

/// Whom to call, and how that went so far.
#[derive(Debug)]
pub(super) struct CallAttempts {
    remotes: Vec<SocketAddr>,
    tried: usize,
    /// The call that has not been answered yet.
    open: Option<ConnectionId>,
    failure: Option<Error>,
}

impl CallAttempts {
    pub(super) fn to(remotes: Vec<SocketAddr>) -> Self {
        Self { remotes, tried: 0, open: None, failure: None }
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remotes.get(self.tried.checked_sub(1)?).copied()
    }

    /// Calls the first address not tried yet that does not fail at once.
    ///
    /// # Errors
    ///
    /// The last failure where none is left, with those before it as notes.
    pub(super) fn next(&mut self, io: &mut dyn Io) -> Result<()> {
        while let Some(&remote) = self.remotes.get(self.tried) {
            self.tried += 1;
            match io.open(any_local(remote), remote) {
                Ok(id) => {
                    self.open = Some(id);
                    return Ok(());
                }
                Err(error) => self.failed(error),
            }
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// A call came to nothing.
    pub(super) fn failed(&mut self, error: Error) {
        self.failure = Some(match self.failure.take() {
            Some(before) => error.note(format_args!("before that: {before}")),
            None => error,
        });
    }

    /// The call was answered, or is not wanted any more: its id, where it is open.
    pub(super) fn end(&mut self) -> Option<ConnectionId> {
        self.open.take()
    }
}
