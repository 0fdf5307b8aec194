//! What a service may ask of its connections.

use std::net::SocketAddr;
use std::time::Duration;

use super::Connections;
use super::alarm::Alarm;
use crate::drive::connection::Connection;
use crate::drive::stream::Stream;
use crate::error::Result;
use crate::report::Event;
use crate::service::{ConnectionId, Io, Timer};

impl<S: Stream> Io for Connections<S> {
    fn open(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<ConnectionId> {
        self.begin_open(local, remote)
    }

    fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let now = self.now;
        let Some(connection) = self.get(id) else { return 0 };
        let before = connection.unsent();
        connection.send(bytes, now);
        let after = connection.unsent();
        self.unsent += after - before;
        self.enqueue(id);
        after
    }

    fn after(&mut self, id: ConnectionId, timer: Timer, delay: Duration) {
        let due = self.now.after(delay);
        if self.get(id).is_some() && self.reminders.set(id, timer, due) != Some(due) {
            self.push_timer(due, id, Alarm::Service(timer));
        }
    }

    fn cancel(&mut self, id: ConnectionId, timer: Timer) {
        self.reminders.cancel(id, timer);
    }

    fn wake_after(&mut self, delay: Duration) {
        self.wake_at = Some(self.clock.now().after(delay));
    }

    fn finish(&mut self, id: ConnectionId) {
        self.ask(id, Connection::finish);
    }

    fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            if connection.connecting {
                self.remove(id);
            } else {
                self.ask(id, Connection::close);
            }
        }
    }

    fn abort(&mut self, id: ConnectionId) {
        self.ask(id, Connection::abort);
    }

    fn pause(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            connection.pause();
        }
    }

    fn resume(&mut self, id: ConnectionId) {
        let now = self.now;
        self.ask(id, |connection| connection.resume(now));
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.standard.as_mut().map_or(0, |standard| standard.write(bytes))
    }

    fn pause_input(&mut self) {
        if let Some(standard) = &mut self.standard {
            standard.pause();
        }
    }

    fn resume_input(&mut self) {
        if let Some(standard) = &mut self.standard {
            standard.resume();
        }
    }

    fn report(&mut self, event: &Event) {
        self.reporter.report(event);
    }

    fn open_connections(&self) -> usize {
        self.settings.gauge.open()
    }

    fn stop(&mut self) {
        self.stopping = true;
    }
}
