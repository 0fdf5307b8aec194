//! Whether a client that accept(2) gave is let in.

use std::io;
use std::net::SocketAddr;

use super::connections::LoopSettings;
use crate::error::errno_of;
use crate::net::FourTuple;
use crate::report::RefuseReason;

impl LoopSettings {
    /// Counts a client of the socket at `listening` in, and returns its four-tuple; `getsockname` tells the local address.
    ///
    /// # Errors
    ///
    /// Why it is to be refused: it is not counted then.
    pub(super) fn admit(
        &self,
        listening: SocketAddr,
        remote: SocketAddr,
        getsockname: impl FnOnce() -> io::Result<SocketAddr>,
    ) -> Result<FourTuple, RefuseReason> {
        if !self.gauge.enter(self.max_connections) {
            return Err(RefuseReason::MaxConnections);
        }
        // Only a wildcard listener must ask which address the client meant.
        let local = match listening.ip().is_unspecified() {
            true => getsockname(),
            false => Ok(listening),
        };
        local.map(|local| FourTuple { local, remote }).map_err(|error| self.turn_out(&error))
    }

    /// A client that was counted in cannot be served: counts it out again, and says why it is refused.
    pub(super) fn turn_out(&self, error: &io::Error) -> RefuseReason {
        self.gauge.leave();
        RefuseReason::Failed(errno_of(error))
    }
}
