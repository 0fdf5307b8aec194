//! Turns: each connection that has something to do does a bounded piece of it, one after the other.

use super::{BUFFER, Connections, MUCH_UNSENT, SMALL_READ};
use crate::drive::connection::{Connection, ReadOutcome, Readiness};
use crate::drive::stream::Stream;
use crate::net::FourTuple;
use crate::report::{Event, Verbosity};
use crate::service::{ConnectionId, Io, Service};

impl<S: Stream> Connections<S> {
    /// Notes what epoll tells of a connection and gives it a turn.
    pub(crate) fn note(&mut self, event: &mio::event::Event) {
        let readiness = Readiness {
            readable: event.is_readable(),
            more: event.is_read_closed() || event.is_priority(),
            ending: event.is_read_closed(),
            writable: event.is_writable(),
            errored: event.is_error(),
        };
        self.note_readiness(ConnectionId::new(event.token().0 as u64), readiness);
    }

    pub(super) fn note_readiness(&mut self, id: ConnectionId, readiness: Readiness) {
        let Some(connection) = self.get(id) else { return };
        connection.note(readiness);
        self.enqueue(id);
    }

    /// Asks something of a connection, which then gets a turn.
    pub(super) fn ask(&mut self, id: ConnectionId, request: impl FnOnce(&mut Connection<S>)) {
        if let Some(connection) = self.get(id) {
            request(connection);
            self.enqueue(id);
        }
    }

    pub(super) fn enqueue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id)
            && !connection.queued
        {
            connection.queued = true;
            self.turns.push_back(id);
        }
    }

    /// Gives everyone waiting one turn.
    pub(crate) fn take_turns(&mut self, service: &mut dyn Service) {
        for _ in 0..self.turns.len() {
            if let Some(id) = self.turns.pop_front() {
                self.turn(service, id);
            }
        }
    }

    pub(super) fn turn(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        if connection.connecting && !self.complete_open(service, id) {
            return;
        }
        self.flush(service, id);
        self.read(service, id);
        if self.get(id).is_some_and(Connection::tell_ending) {
            service.ending(self, id);
        }
        if let Some(connection) = self.get(id)
            && connection.errored
            && !connection.wants_read()
        {
            connection.check_error();
        }
        if let Some(connection) = self.get(id) {
            connection.queued = false;
        }
        self.settle(service, id);
    }

    pub(super) fn flush(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.get(id) else { return };
        let before = connection.unsent();
        let drained = connection.flush(now);
        let after = connection.unsent();
        self.unsent = self.unsent + after - before;
        if drained {
            service.drained(self, id);
        }
    }

    /// Reads once: whoever has more to read comes again after the others.
    pub(super) fn read(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let most = if self.unsent < MUCH_UNSENT { BUFFER } else { SMALL_READ };
        let size = (most / service.growth()).max(1);
        let mut buffer = std::mem::take(&mut self.buffer);
        let now = self.now;
        let verbose = self.reporter.tells(Verbosity::Verbose);
        if let Some(connection) = self.get(id)
            && connection.wants_read()
            && let Some(space) = buffer.get_mut(..size)
        {
            let discarding = connection.is_discarding();
            let outcome = connection.read(space, now);
            let tuple = verbose.then(|| connection.tuple());
            match outcome {
                ReadOutcome::Bytes(length) if !discarding => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if let Some(FourTuple { local, remote }) = tuple {
                        self.report(&Event::Received { local, remote, bytes });
                    }
                    service.received(self, id, bytes);
                }
                ReadOutcome::Finished if !discarding => service.finished(self, id),
                _ => {}
            }
        }
        self.buffer = buffer;
    }

    /// Ends the connection if it is over, else sees to it that it is woken.
    pub(super) fn settle(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        match connection.settle() {
            Some(reason) => self.end(service, id, reason),
            None => {
                if connection.wants_read() {
                    self.enqueue(id);
                }
                self.arm(id);
            }
        }
    }
}
