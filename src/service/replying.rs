//! A reply as a service of the event loop.

use std::collections::HashMap;

use super::reply::{Pieces, Reply};
use super::{Closed, ConnectionId, Io, Service, Signal};
use crate::net::FourTuple;
use crate::report::{Event, Totals};

/// Answers every connection by a reply of its own, and half-closes when the remote side does.
#[derive(Debug)]
pub(crate) struct Replying<R> {
    fresh: R,
    /// The replies that have something to remember: an idle connection costs nothing here.
    begun: HashMap<ConnectionId, R>,
    pieces: Pieces,
    totals: Totals,
}

impl<R: Reply> Replying<R> {
    /// Answers each connection by a copy of `reply`.
    pub(crate) fn new(reply: R) -> Self {
        Self { fresh: reply, begun: HashMap::new(), pieces: Pieces::default(), totals: Totals::default() }
    }

    /// The sums over all connections that have ended.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    fn take_reply(&mut self, id: ConnectionId) -> R {
        // An echo remembers nothing, and to hash an id costs a fifth of all that it does in user mode.
        let begun = if self.begun.is_empty() { None } else { self.begun.remove(&id) };
        begun.unwrap_or_else(|| self.fresh.clone())
    }
}

impl<R: Reply> Service for Replying<R> {
    fn opened(&mut self, io: &mut dyn Io, _: ConnectionId, tuple: FourTuple) {
        self.totals.accepted += 1;
        io.report(&Event::Accepted { local: tuple.local, remote: tuple.remote });
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let mut reply = self.take_reply(id);
        let mut unsent = 0;
        self.pieces.answer(&mut reply, bytes, &mut |piece| unsent = io.send(id, piece));
        // Whoever does not read the answer is not read from, so what we keep for it stays that of one read at most.
        if unsent > 0 {
            io.pause(id);
        }
        if !reply.is_fresh() {
            self.begun.insert(id, reply);
        }
    }

    fn finished(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.take_reply(id).end(&mut |piece| {
            io.send(id, piece);
        });
        io.finish(id);
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

    fn growth(&self) -> usize {
        self.fresh.growth()
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        self.begun.remove(&id);
        self.totals.received += account.received;
        self.totals.sent += account.sent;
        io.report(&account.event());
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::{ID, Recorder, account};
    use super::super::reply::{Ack, Echo, Prefix};
    use super::*;

    #[test]
    fn what_arrives_is_sent_back() {
        let mut io = Recorder::default();
        Replying::new(Echo).received(&mut io, ID, b"hello");
        assert_eq!(io.calls, ["send hello"]);
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_from_until_it_does() {
        let mut io = Recorder { unsent: 3, ..Recorder::default() };
        let mut echo = Replying::new(Echo);
        echo.received(&mut io, ID, b"hello");
        echo.drained(&mut io, ID);
        assert_eq!(io.calls, ["send hello", "pause", "resume"]);
    }

    #[test]
    fn a_half_close_is_answered_with_a_half_close() {
        let mut io = Recorder::default();
        Replying::new(Echo).finished(&mut io, ID);
        assert_eq!(io.calls, ["finish"]);
    }

    #[test]
    fn the_last_line_is_answered_before_the_half_close() {
        let (mut io, mut ack) = (Recorder::default(), Replying::new(Ack::default()));
        ack.received(&mut io, ID, b"one\ntwo");
        ack.finished(&mut io, ID);
        assert_eq!(io.calls, ["send Ack!\\n", "send Ack!\\n", "finish"]);
    }

    #[test]
    fn each_connection_has_a_line_of_its_own() {
        let (mut io, mut prefix) = (Recorder::default(), Replying::new(Prefix::new("> ")));
        let other = ConnectionId::new(8);
        prefix.received(&mut io, ID, b"on");
        prefix.received(&mut io, other, b"two\n");
        prefix.received(&mut io, ID, b"e\n");
        assert_eq!(io.calls, ["send > on", "send > two\\n", "send e\\n"]);
    }

    #[test]
    fn nothing_is_remembered_of_a_connection_between_lines_or_after_its_end() {
        let (mut io, mut ack) = (Recorder::default(), Replying::new(Ack::default()));
        ack.received(&mut io, ID, b"in a line");
        assert_eq!(ack.begun.len(), 1);
        ack.received(&mut io, ID, b"\n");
        assert_eq!(ack.begun.len(), 0);
        ack.received(&mut io, ID, b"in a line");
        ack.closed(&mut io, ID, account(9));
        assert_eq!(ack.begun.len(), 0);
    }

    #[test]
    fn totals_sum_what_ended() {
        let (mut io, mut echo) = (Recorder::default(), Replying::new(Echo));
        for received in [2, 3] {
            echo.opened(&mut io, ID, account(received).tuple);
            echo.closed(&mut io, ID, account(received));
        }
        assert_eq!(echo.totals(), Totals { accepted: 2, received: 5, sent: 5 });
    }
}
