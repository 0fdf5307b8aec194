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

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn admit(
        settings: &LoopSettings,
        listening: &str,
        getsockname: impl FnOnce() -> io::Result<SocketAddr>,
    ) -> Result<SocketAddr, RefuseReason> {
        let remote = "127.0.0.1:3001".parse().unwrap();
        settings.admit(listening.parse().unwrap(), remote, getsockname).map(|tuple| tuple.local)
    }

    #[test]
    fn a_client_whose_address_is_not_to_be_had_is_refused_and_does_not_count() {
        let settings = LoopSettings { max_connections: Some(1), ..LoopSettings::default() };
        let refused = admit(&settings, "0.0.0.0:3000", || Err(Errno::ENOBUFS.into()));
        assert_eq!(refused, Err(RefuseReason::Failed(Errno::ENOBUFS)));
        assert_eq!(settings.gauge.open(), 0);
        let local = "127.0.0.2:3000".parse().unwrap();
        assert_eq!(admit(&settings, "0.0.0.0:3000", || Ok(local)), Ok(local));
        assert_eq!(admit(&settings, "0.0.0.0:3000", || Ok(local)), Err(RefuseReason::MaxConnections));
    }

    #[test]
    fn a_listener_on_one_address_does_not_ask_which_it_was() {
        let settings = LoopSettings::default();
        let local = admit(&settings, "127.0.0.1:3000", || Err(Errno::ENOBUFS.into()));
        assert_eq!(local, Ok("127.0.0.1:3000".parse().unwrap()));
    }
}
