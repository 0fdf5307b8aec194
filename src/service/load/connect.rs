//! Connect, one request, its answer, close; and again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::measure::{Measure, Moment};
use super::pattern::Pattern;
use super::ports::is_taken;
use super::{Course, LoadPlan, SourcePorts, Tally};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::service::{Closed, ConnectionId, Io, Service, Signal};

/// How many ports that are not to be had are passed over for one connection.
const TRIES: usize = 100;

/// Keeps so many connections under way; each ends with its answer, and makes room for the next.
#[derive(Debug)]
pub struct Connects {
    plan: LoadPlan,
    ports: SourcePorts,
    pattern: Pattern,
    clients: HashMap<ConnectionId, Client>,
    measure: Measure,
}

/// One connection.
#[derive(Debug)]
struct Client {
    begun: Instant,
    tuple: FourTuple,
    received: usize,
}

impl Connects {
    /// A load that has not begun.
    pub fn new(plan: LoadPlan, ports: SourcePorts, course: Arc<Course>) -> Self {
        Self {
            ports,
            pattern: Pattern::with_pieces_of(plan.size),
            clients: HashMap::new(),
            measure: Measure::new(course, plan.duration, false),
            plan,
        }
    }

    /// The account, complete once the driver has ended.
    pub fn tally(self) -> Tally {
        self.measure.tally
    }

    fn begin(&mut self, io: &mut dyn Io) {
        for _ in 0..self.plan.connections {
            self.open(io);
        }
        self.end_if_deserted(io);
    }

    /// Begins one connection, from the next port that is to be had.
    fn open(&mut self, io: &mut dyn Io) {
        let begun = Instant::now();
        match self.open_from_some_port(io) {
            Ok((id, local)) => {
                let tuple = FourTuple { local, remote: self.plan.remote };
                self.clients.insert(id, Client { begun, tuple, received: 0 });
            }
            Err(error) => self.measure.tally.not_opened(self.plan.tuple(), error),
        }
    }

    fn open_from_some_port(&mut self, io: &mut dyn Io) -> Result<(ConnectionId, SocketAddr)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let local = SocketAddr::new(self.plan.local.ip(), self.ports.take());
            match io.open(local, self.plan.remote) {
                Ok(id) => return Ok((id, local)),
                Err(error) if tries < TRIES && is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn give_up_overdue(&mut self, io: &mut dyn Io, now: Instant) {
        let limit = self.plan.timeout;
        let overdue = |client: &Client| now.saturating_duration_since(client.begun) > limit;
        for (id, client) in self.clients.extract_if(|_, client| overdue(client)) {
            self.measure.tally.unanswered(client.tuple, limit);
            io.abort(id);
        }
        self.end_if_deserted(io);
    }

    fn end_if_deserted(&mut self, io: &mut dyn Io) {
        if self.clients.is_empty() {
            self.end(io);
        }
    }

    fn end(&mut self, io: &mut dyn Io) {
        for (id, _) in self.clients.drain() {
            io.abort(id);
        }
        self.measure.end(io);
    }
}

impl Service for Connects {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.measure.ready(io);
        Ok(())
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.tuple = tuple;
            io.send(id, self.pattern.from(0).get(..self.plan.size).unwrap_or_default());
        }
    }

    fn failed(&mut self, io: &mut dyn Io, id: ConnectionId, error: Error) {
        if let Some(client) = self.clients.remove(&id) {
            self.measure.tally.not_opened(client.tuple, error);
            self.end_if_deserted(io);
        }
    }

    fn woken(&mut self, io: &mut dyn Io) {
        let now = Instant::now();
        match self.measure.woken(now) {
            Moment::Wait => {}
            Moment::Begin(_) => self.begin(io),
            Moment::Look => self.give_up_overdue(io, now),
            Moment::Rest | Moment::End => self.end(io),
        }
        self.measure.wake(io, None);
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (before, size) = (client.received, self.plan.size);
        client.received += bytes.len();
        if client.received > size || self.pattern.difference(before as u64, bytes).is_some() {
            self.measure.tally.wrong(client.tuple, "the answer is not what was sent".to_owned());
            self.clients.remove(&id);
            io.abort(id);
            return self.end_if_deserted(io);
        }
        let now = Instant::now();
        if client.received < size || self.measure.is_past(now) {
            return;
        }
        self.measure.answered(size, client.begun, now);
        self.clients.remove(&id);
        io.close(id);
        self.open(io);
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
