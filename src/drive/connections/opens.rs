//! How a connection comes to be: accepted, or by connect(2).

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;

use super::Connections;
use crate::drive::connection::Connection;
use crate::drive::stream::Stream;
use crate::error::errno_of;
use crate::error::{Error, Result};
use crate::net::{FourTuple, bind, local_address};
use crate::report::Event;
use crate::service::{ConnectionId, Service};

impl<S: Stream> Connections<S> {
    /// Takes on an accepted stream, or refuses it.
    pub(crate) fn adopt(
        &mut self,
        service: &mut dyn Service,
        stream: S,
        listening: SocketAddr,
        remote: SocketAddr,
    ) {
        let admitted = self.settings.admit(listening, remote, || stream.local());
        let outcome = admitted.and_then(|tuple| {
            let id = self.insert(Connection::new(stream, tuple, self.now));
            id.map(|id| (id, tuple)).map_err(|error| self.settings.turn_out(&error))
        });
        match outcome {
            Ok((id, tuple)) => {
                service.opened(self, id, tuple);
                self.settle(service, id);
            }
            Err(reason) => self.reporter.report(&Event::Refused { local: listening, remote, reason }),
        }
    }

    pub(super) fn begin_open(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<ConnectionId> {
        let bound = bind(local, &self.settings.options)?;
        if bound.local().port() != 0 {
            self.reporter.report(&Event::Bound { local: bound.local() });
        }
        let tuple = FourTuple { local: bound.local(), remote };
        let socket = bound.connect(remote)?;
        let tuple = FourTuple { local: local_address(&socket)?, ..tuple };
        let stream = S::watched(socket);
        let id = self
            .insert(Connection::connecting(stream, tuple, self.now))
            .map_err(|error| Error::new("epoll_ctl", tuple, error))?;
        self.settings.gauge.enter(None);
        self.arm(id);
        Ok(id)
    }

    /// Learns the outcome of connect(2); true if the connection is ESTABLISHED.
    pub(super) fn complete_open(&mut self, service: &mut dyn Service, id: ConnectionId) -> bool {
        let now = self.now;
        let Some(connection) = self.get(id) else { return false };
        connection.queued = false;
        match outcome_of_connect(connection.stream()) {
            Err((call, error)) => {
                self.fail_open(service, id, call, error);
                false
            }
            // Woken for another reason; SYN-SENT still.
            Ok(None) => {
                self.settle(service, id);
                false
            }
            Ok(Some(tuple)) => {
                connection.queued = true;
                connection.established(tuple, now);
                service.opened(self, id, tuple);
                true
            }
        }
    }

    pub(super) fn fail_open(
        &mut self,
        service: &mut dyn Service,
        id: ConnectionId,
        call: &'static str,
        error: io::Error,
    ) {
        let Some(connection) = self.remove(id) else { return };
        let error = Error::new(call, connection.tuple(), error);
        drop(connection);
        service.failed(self, id, error);
    }
}

/// The four-tuple if the connection stands, `None` while it is still in SYN-SENT; else the call that failed.
fn outcome_of_connect(
    stream: &mut impl Stream,
) -> std::result::Result<Option<FourTuple>, (&'static str, io::Error)> {
    if let Some(error) = stream.take_error().map_err(|error| ("getsockopt", error))? {
        return Err(("connect", error));
    }
    match stream.remote() {
        Ok(remote) => {
            let local = stream.local().map_err(|error| ("getsockname", error))?;
            Ok(Some(FourTuple { local, remote }))
        }
        Err(error) if errno_of(&error) == Errno::ENOTCONN => Ok(None),
        Err(error) => Err(("getpeername", error)),
    }
}
