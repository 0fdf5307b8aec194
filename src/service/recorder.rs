//! A driver that only writes down what a service asks of it.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Closed, ConnectionId, Io, Timer};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{CloseReason, Event};
use crate::text::Escaped;

/// The one connection of a test.
pub(super) const ID: ConnectionId = ConnectionId::new(7);

#[derive(Default)]
pub(super) struct Recorder {
    pub calls: Vec<String>,
    pub unsent: usize,
    pub unwritten: usize,
    /// How the next opens end; none left: well.
    pub open_errors: Vec<Error>,
}

impl Recorder {
    fn note(&mut self, call: impl Into<String>) {
        self.calls.push(call.into());
    }

    /// The calls since the last time, events left out.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls)
    }
}

/// The account of a connection that received and sent that many bytes.
pub(super) fn account(bytes: u64) -> Closed {
    Closed {
        tuple: FourTuple { local: ([127, 0, 0, 1], 3001).into(), remote: ([127, 0, 0, 1], 3000).into() },
        reason: CloseReason::Fin,
        received: bytes,
        sent: bytes,
        duration: Duration::from_millis(1),
    }
}

impl Io for Recorder {
    fn open(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<ConnectionId> {
        self.note(format!("open {local} -> {remote}"));
        match self.open_errors.pop() {
            Some(error) => Err(error),
            None => Ok(ID),
        }
    }

    fn send(&mut self, _: ConnectionId, bytes: &[u8]) -> usize {
        self.note(format!("send {}", Escaped(bytes)));
        self.unsent
    }

    fn after(&mut self, _: ConnectionId, timer: Timer, delay: Duration) {
        self.note(format!("after {delay:?} {timer:?}"));
    }

    fn cancel(&mut self, _: ConnectionId, timer: Timer) {
        self.note(format!("cancel {timer:?}"));
    }

    fn wake_after(&mut self, delay: Duration) {
        self.note(format!("wake after {delay:?}"));
    }

    fn finish(&mut self, _: ConnectionId) {
        self.note("finish");
    }

    fn close(&mut self, _: ConnectionId) {
        self.note("close");
    }

    fn abort(&mut self, _: ConnectionId) {
        self.note("abort");
    }

    fn pause(&mut self, _: ConnectionId) {
        self.note("pause");
    }

    fn resume(&mut self, _: ConnectionId) {
        self.note("resume");
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.note(format!("write {}", Escaped(bytes)));
        self.unwritten
    }

    fn pause_input(&mut self) {
        self.note("pause input");
    }

    fn resume_input(&mut self) {
        self.note("resume input");
    }

    fn report(&mut self, _: &Event) {}

    fn open_connections(&self) -> usize {
        1
    }

    fn stop(&mut self) {
        self.note("stop");
    }
}
