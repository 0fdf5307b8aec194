//! One connection that sends requests: what is under way on it, and whether the answers are right.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::LoadPlan;
use super::pattern::Pattern;
use crate::net::FourTuple;
use crate::service::{ConnectionId, Io};

/// How far apart in the pattern the streams of two connections begin: no two send the same.
const APART: u64 = 1009;
/// The most bytes that are written at once, unless one request or those that go together are longer.
const PIECE: usize = if cfg!(miri) { 1024 } else { 64 * 1024 };

#[derive(Debug)]
pub(super) struct LoadClient {
    pub tuple: FourTuple,
    /// Where in the pattern its stream begins.
    offset: u64,
    sent: u64,
    received: u64,
    /// When the requests that have no answer yet were sent, or were due.
    waiting: VecDeque<Instant>,
    /// How many of them are still to be written, because the kernel takes no more now.
    owed: usize,
    blocked: bool,
}

/// What is the same for every client.
#[derive(Debug)]
pub(super) struct Requests {
    size: usize,
    /// The most requests that are written at once.
    together: usize,
    verify: bool,
    pattern: Pattern,
}

impl Requests {
    pub(super) fn of(plan: &LoadPlan) -> Self {
        let together = plan.depth.max(PIECE / plan.size);
        let pattern = Pattern::with_pieces_of(together * plan.size);
        Self { size: plan.size, together, verify: plan.verify, pattern }
    }
}

impl LoadClient {
    /// The client of this number.
    pub(super) fn new(number: usize, tuple: FourTuple) -> Self {
        Self {
            tuple,
            offset: number as u64 * APART,
            sent: 0,
            received: 0,
            waiting: VecDeque::new(),
            owed: 0,
            blocked: false,
        }
    }

    /// Sends so many requests more, which are due at this time.
    pub(super) fn ask(
        &mut self,
        io: &mut dyn Io,
        id: ConnectionId,
        requests: &Requests,
        count: usize,
        due: Instant,
    ) {
        self.waiting.extend(std::iter::repeat_n(due, count));
        self.owed += count;
        self.write(io, id, requests);
    }

    /// The kernel takes bytes again.
    pub(super) fn drained(&mut self, io: &mut dyn Io, id: ConnectionId, requests: &Requests) {
        self.blocked = false;
        self.write(io, id, requests);
    }

    fn write(&mut self, io: &mut dyn Io, id: ConnectionId, requests: &Requests) {
        while self.owed > 0 && !self.blocked {
            let count = self.owed.min(requests.together);
            let length = count * requests.size;
            let bytes = requests.pattern.from(self.offset + self.sent).get(..length).unwrap_or_default();
            self.blocked = io.send(id, bytes) > 0;
            self.sent += length as u64;
            self.owed -= count;
        }
    }

    /// What is wrong with these bytes, if anything is.
    pub(super) fn fault(&self, requests: &Requests, bytes: &[u8]) -> Option<String> {
        if self.received + bytes.len() as u64 > self.sent {
            return Some(format!("{} bytes were sent, and more came back", self.sent));
        }
        if !requests.verify && self.received >= requests.size as u64 {
            return None;
        }
        let at = requests.pattern.difference(self.offset + self.received, bytes)? - self.offset;
        Some(format!("byte {at} of the answers is not the one that was sent"))
    }

    /// Takes in so many bytes, and gives when the requests that they answer were due.
    pub(super) fn receive(
        &mut self,
        requests: &Requests,
        bytes: usize,
    ) -> impl ExactSizeIterator<Item = Instant> {
        let size = requests.size as u64;
        let before = self.received / size;
        self.received += bytes as u64;
        let answered = (self.received / size - before) as usize;
        self.waiting.drain(..answered.min(self.waiting.len()))
    }

    /// Whether a whole answer has come.
    pub(super) fn is_served(&self, requests: &Requests) -> bool {
        self.received >= requests.size as u64
    }

    /// Whether an answer is under way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the oldest answer has been under way for longer than this.
    pub(super) fn is_overdue(&self, now: Instant, limit: Duration) -> bool {
        self.waiting.front().is_some_and(|&due| now.saturating_duration_since(due) > limit)
    }
}
