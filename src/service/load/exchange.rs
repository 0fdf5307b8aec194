//! Requests and answers over connections that stay: each answer brings the next request, or they come at a rate.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::arrivals::Arrivals;
use super::client::{LoadClient, Requests};
use super::measure::{Measurement, Moment};
use super::{Course, LoadPlan, Tally};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::service::{Closed, ConnectionId, Io, Service, Signal};

/// How many connections may be in SYN-SENT at once: few enough for any accept queue.
const OPENING: usize = 64;

/// Opens its connections, waits for the other threads, and then keeps requests under way.
///
/// Without a rate each connection has so many requests under way, and sends one as one is answered (a closed loop). With
/// a rate requests are due at fixed times, and their latency counts from then on, however late they could be sent: what
/// a slow answer keeps waiting is not left out (coordinated omission). All that were due are waited for.
#[derive(Debug)]
pub(crate) struct Exchange {
    plan: LoadPlan,
    requests: Requests,
    /// Opens begun so far, and how many of them have no outcome yet.
    begun: usize,
    opening: usize,
    clients: HashMap<ConnectionId, LoadClient>,
    /// Until when the first requests are waited for, and how many are answered.
    warming: Option<Instant>,
    warm: usize,
    arrivals: Option<Arrivals>,
    /// Whose turn it is to send what arrives.
    turns: Vec<ConnectionId>,
    turn: usize,
    measure: Measurement,
}

impl Exchange {
    /// A load that has not begun.
    pub(crate) fn new(plan: LoadPlan, course: Arc<Course>) -> Self {
        Self {
            requests: Requests::of(&plan),
            begun: 0,
            opening: 0,
            clients: HashMap::new(),
            warming: None,
            warm: 0,
            arrivals: None,
            turns: Vec::new(),
            turn: 0,
            measure: Measurement::new(course, plan.duration, plan.rate.is_some()),
            plan,
        }
    }

    /// The account, complete once the driver has ended.
    pub(crate) fn tally(self) -> Tally {
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
            self.warm_up(io);
        }
    }

    /// Sends one request on each connection, if it is to, before this thread is ready.
    fn warm_up(&mut self, io: &mut dyn Io) {
        if self.plan.warm_up.is_zero() {
            return self.measure.ready(io);
        }
        let now = Instant::now();
        self.warming = Some(now + self.plan.warm_up);
        io.wake_after(self.plan.warm_up);
        for (&id, client) in &mut self.clients {
            client.ask(io, id, &self.requests, 1, now);
        }
    }

    /// Ready, once every connection is served or has had its time.
    fn end_warm_up(&mut self, io: &mut dyn Io) {
        let is_warm = self.warm >= self.clients.len();
        if self.warming.take_if(|until| is_warm || *until <= Instant::now()).is_some() {
            self.measure.ready(io);
        }
    }

    fn begin(&mut self, io: &mut dyn Io, begin: Instant) {
        if let Some(rate) = self.plan.rate {
            self.turns = self.clients.keys().copied().collect();
            self.arrivals = Some(Arrivals::new(rate, begin, self.plan.duration));
            return;
        }
        // Who still waits has the request of the warm-up under way.
        for (&id, client) in self.clients.iter_mut().filter(|(_, client)| !client.is_waiting()) {
            client.ask(io, id, &self.requests, self.plan.depth, Instant::now());
        }
    }

    /// Sends what has come to be due by `now`, over one connection after the other.
    fn send_arrivals(&mut self, io: &mut dyn Io, now: Instant) {
        let Some(arrivals) = &mut self.arrivals else { return };
        while let Some(due) = arrivals.take(now) {
            self.turn = (self.turn + 1) % self.turns.len().max(1);
            if let Some(&id) = self.turns.get(self.turn)
                && let Some(client) = self.clients.get_mut(&id)
            {
                self.measure.tally.due += 1;
                client.ask(io, id, &self.requests, 1, due);
            }
        }
    }

    /// Gives up the connections whose oldest answer is overdue.
    fn give_up_overdue(&mut self, io: &mut dyn Io, now: Instant) {
        let limit = self.plan.timeout;
        let overdue = self.clients.extract_if(|_, client| client.is_overdue(now, limit));
        for (id, client) in overdue {
            self.measure.tally.unanswered(client.tuple, limit);
            self.turns.retain(|&other| other != id);
            io.abort(id);
        }
        self.end_if_deserted(io);
    }

    fn remove(&mut self, id: ConnectionId) -> Option<LoadClient> {
        self.turns.retain(|&other| other != id);
        self.clients.remove(&id)
    }

    /// Ends where no connection is left, and says whether that is so.
    fn end_if_deserted(&mut self, io: &mut dyn Io) -> bool {
        let deserted = self.clients.is_empty() && self.opening == 0;
        if deserted {
            self.end(io);
        }
        deserted
    }

    /// Nothing more is due; ends once nothing is waited for.
    fn rest(&mut self, io: &mut dyn Io, now: Instant) {
        self.give_up_overdue(io, now);
        if !self.clients.values().any(LoadClient::is_waiting) {
            self.end(io);
        }
    }

    fn end(&mut self, io: &mut dyn Io) {
        let served = self.clients.values().filter(|client| client.is_served(&self.requests)).count();
        *self.measure.tally.served.get_or_insert_default() += served;
        // RST leaves no TIME-WAIT, which would keep the source ports from the next run.
        for (id, _) in self.clients.drain() {
            io.abort(id);
        }
        self.measure.end(io);
    }
}

impl Service for Exchange {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.open_more(io);
        Ok(())
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.clients.insert(id, LoadClient::new(self.clients.len(), tuple));
        self.opening -= 1;
        self.open_more(io);
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        self.measure.tally.not_opened(self.plan.tuple(), error);
        self.opening -= 1;
        self.open_more(io);
    }

    fn woken(&mut self, io: &mut dyn Io) {
        let now = Instant::now();
        self.end_warm_up(io);
        self.send_arrivals(io, now);
        match self.measure.woken(now) {
            Moment::Wait => {}
            Moment::Begin(begin) => self.begin(io, begin),
            Moment::Look => self.give_up_overdue(io, now),
            Moment::Rest => self.rest(io, now),
            Moment::End => return self.end(io),
        }
        self.measure.wake(io, self.arrivals.as_ref().and_then(Arrivals::due));
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let now = Instant::now();
        if self.measure.is_past(now) {
            return;
        }
        if let Some(words) = client.fault(&self.requests, bytes) {
            self.measure.tally.wrong(client.tuple, words);
            self.remove(id);
            io.abort(id);
            self.end_if_deserted(io);
            return;
        }
        let answered = client.receive(&self.requests, bytes.len());
        let count = answered.len();
        if !self.measure.has_begun() {
            drop(answered);
            self.warm += count;
            return self.end_warm_up(io);
        }
        for due in answered {
            self.measure.answered(self.plan.size, due, now);
        }
        if self.plan.rate.is_none() && count > 0 {
            client.ask(io, id, &self.requests, count, now);
        }
    }

    fn drained(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.drained(io, id, &self.requests);
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        if signal == Signal::Stop {
            self.end(io);
        }
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        // What has been given up is counted already.
        if let Some(client) = self.remove(id) {
            self.measure.tally.ended(client.tuple, account.reason);
            self.end_if_deserted(io);
        }
    }
}
