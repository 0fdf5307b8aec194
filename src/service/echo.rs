//! The echo service (RFC 862): the same bytes back.

use super::{Closed, ConnectionId, Io, Service, Signal};
use crate::net::FourTuple;
use crate::report::{Event, Totals};

/// Sends back what it receives, and half-closes when the remote side does.
#[derive(Debug, Default)]
pub struct Echo {
    totals: Totals,
}

impl Echo {
    /// The sums over all connections that have ended.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

impl Service for Echo {
    fn opened(&mut self, io: &mut dyn Io, _: ConnectionId, tuple: FourTuple) {
        self.totals.accepted += 1;
        io.report(&Event::Accepted { local: tuple.local, remote: tuple.remote });
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        // Whoever does not read its echo is not read from, so what we keep for it stays one read at most.
        if io.send(id, bytes) > 0 {
            io.pause(id);
        }
    }

    fn drained(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.resume(id);
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        match signal {
            Signal::Stop | Signal::Goodbye => io.stop(),
            Signal::Status => io.report(&Event::Connections { open: io.open_connections() }),
        }
    }

    fn closed(&mut self, io: &mut dyn Io, _: ConnectionId, account: Closed) {
        self.totals.received += account.received;
        self.totals.sent += account.sent;
        io.report(&account.event());
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::{ID, Recorder, account};
    use super::*;

    #[test]
    fn what_arrives_is_sent_back() {
        let mut io = Recorder::default();
        Echo::default().received(&mut io, ID, b"hello");
        assert_eq!(io.calls, ["send hello"]);
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_from_until_it_does() {
        let mut io = Recorder { unsent: 3, ..Recorder::default() };
        let mut echo = Echo::default();
        echo.received(&mut io, ID, b"hello");
        echo.drained(&mut io, ID);
        assert_eq!(io.calls, ["send hello", "pause", "resume"]);
    }

    #[test]
    fn a_half_close_is_answered_with_a_half_close() {
        let mut io = Recorder::default();
        Echo::default().finished(&mut io, ID);
        assert_eq!(io.calls, ["finish"]);
    }

    #[test]
    fn totals_sum_what_ended() {
        let (mut io, mut echo) = (Recorder::default(), Echo::default());
        for received in [2, 3] {
            echo.opened(&mut io, ID, account(received).tuple);
            echo.closed(&mut io, ID, account(received));
        }
        assert_eq!(echo.totals(), Totals { accepted: 2, received: 5, sent: 5 });
    }
}
