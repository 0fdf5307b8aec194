//! Requests and answers over connections that stay: each answer brings the next request.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::measure::{Measure, Moment};
use super::pattern::Pattern;
use super::{Course, LoadPlan, Tally};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::service::{Closed, ConnectionId, Io, Service, Signal};

/// How many connections may be in SYN-SENT at once: few enough for any accept queue.
const OPENING: usize = 64;
/// How far apart in the pattern the streams of two connections begin: no two send the same.
const APART: u64 = 1009;

/// Opens its connections, waits for the other threads, and then keeps requests under way on each.
#[derive(Debug)]
pub struct Exchange {
    plan: LoadPlan,
    pattern: Pattern,
    /// Opens begun so far, and how many of them have no outcome yet.
    begun: usize,
    opening: usize,
    clients: HashMap<ConnectionId, Client>,
    measure: Measure,
}

/// One connection.
#[derive(Debug)]
struct Client {
    tuple: FourTuple,
    /// Where in the pattern its stream begins.
    offset: u64,
    sent: u64,
    received: u64,
    /// When the requests that have no answer yet were sent.
    waiting: VecDeque<Instant>,
}

impl Exchange {
    /// A load that has not begun.
    pub fn new(plan: LoadPlan, course: Arc<Course>) -> Self {
        Self {
            pattern: Pattern::with_pieces_of(plan.size * plan.depth),
            begun: 0,
            opening: 0,
            clients: HashMap::new(),
            measure: Measure::new(course, plan.duration),
            plan,
        }
    }

    /// The account, complete once the driver has ended.
    pub fn tally(self) -> Tally {
        self.measure.tally
    }

    /// Begins as many opens as may be under way; when all have their outcome, this thread is ready.
    fn open_more(&mut self, io: &mut dyn Io) {
        while self.opening < OPENING && self.begun < self.plan.connections {
            self.begun += 1;
            match io.open(self.plan.local, self.plan.remote) {
                Ok(_) => self.opening += 1,
                Err(error) => self.measure.tally.not_opened(self.plan.tuple(), error),
            }
        }
        if self.opening == 0 && !self.end_if_deserted(io) {
            self.measure.ready(io);
        }
    }

    fn begin(&mut self, io: &mut dyn Io) {
        for (&id, client) in &mut self.clients {
            client.ask(io, id, &self.plan, &self.pattern, self.plan.depth, Instant::now());
        }
    }

    /// Gives up the connections whose oldest answer is overdue.
    fn give_up_overdue(&mut self, io: &mut dyn Io, now: Instant) {
        let limit = self.plan.timeout;
        let overdue = |client: &Client| {
            client.waiting.front().is_some_and(|&sent| now.saturating_duration_since(sent) > limit)
        };
        for (id, client) in self.clients.extract_if(|_, client| overdue(client)) {
            self.measure.tally.unanswered(client.tuple, limit);
            io.abort(id);
        }
        self.end_if_deserted(io);
    }

    /// Ends where no connection is left, and says whether that is so.
    fn end_if_deserted(&mut self, io: &mut dyn Io) -> bool {
        let deserted = self.clients.is_empty() && self.opening == 0;
        if deserted {
            self.end(io);
        }
        deserted
    }

    fn end(&mut self, io: &mut dyn Io) {
        // RST leaves no TIME-WAIT, which would keep the source ports from the next run.
        for (id, _) in self.clients.drain() {
            io.abort(id);
        }
        self.measure.end(io);
    }
}

impl Client {
    /// Sends so many requests at once.
    fn ask(
        &mut self,
        io: &mut dyn Io,
        id: ConnectionId,
        plan: &LoadPlan,
        pattern: &Pattern,
        requests: usize,
        now: Instant,
    ) {
        let length = requests * plan.size;
        io.send(id, pattern.from(self.offset + self.sent).get(..length).unwrap_or_default());
        self.sent += length as u64;
        self.waiting.extend(std::iter::repeat_n(now, requests));
    }

    /// What is wrong with these bytes, if anything is.
    fn fault(&self, plan: &LoadPlan, pattern: &Pattern, bytes: &[u8]) -> Option<String> {
        if self.received + bytes.len() as u64 > self.sent {
            return Some(format!("{} bytes were sent, and more came back", self.sent));
        }
        if !plan.verify && self.received >= plan.size as u64 {
            return None;
        }
        let at = pattern.difference(self.offset + self.received, bytes)? - self.offset;
        Some(format!("byte {at} of the answers is not the one that was sent"))
    }

    /// Takes in so many bytes, and returns how many requests they answer.
    fn receive(&mut self, bytes: usize, size: u64) -> usize {
        let before = self.received / size;
        self.received += bytes as u64;
        (self.received / size - before) as usize
    }
}

impl Service for Exchange {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.open_more(io);
        Ok(())
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        let offset = self.clients.len() as u64 * APART;
        let waiting = VecDeque::with_capacity(self.plan.depth);
        self.clients.insert(id, Client { tuple, offset, sent: 0, received: 0, waiting });
        self.opening -= 1;
        self.open_more(io);
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        self.measure.tally.not_opened(self.plan.tuple(), error);
        self.opening -= 1;
        self.open_more(io);
    }

    fn woken(&mut self, io: &mut dyn Io) {
        match self.measure.woken(io) {
            Moment::Wait => {}
            Moment::Begin => self.begin(io),
            Moment::Look(now) => self.give_up_overdue(io, now),
            Moment::End => self.end(io),
        }
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let now = Instant::now();
        if self.measure.is_past(now) {
            return;
        }
        if let Some(words) = client.fault(&self.plan, &self.pattern, bytes) {
            self.measure.tally.wrong(client.tuple, words);
            self.clients.remove(&id);
            io.abort(id);
            self.end_if_deserted(io);
            return;
        }
        let answered = client.receive(bytes.len(), self.plan.size as u64);
        for sent in client.waiting.drain(..answered) {
            self.measure.answered(self.plan.size, now.saturating_duration_since(sent));
        }
        if answered > 0 {
            client.ask(io, id, &self.plan, &self.pattern, answered, now);
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        if signal == Signal::Stop {
            self.end(io);
        }
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        // What has been given up is counted already.
        if let Some(client) = self.clients.remove(&id) {
            self.measure.tally.ended(client.tuple, account.reason);
            self.end_if_deserted(io);
        }
    }
}
