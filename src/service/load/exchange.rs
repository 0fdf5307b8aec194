//! Requests and answers over connections that stay: each answer brings the next request.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pattern::Pattern;
use super::{Course, LoadPlan, Tally};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::Short;
use crate::service::{Closed, ConnectionId, Io, Service, Signal};

/// How many connections may be in SYN-SENT at once: few enough for any accept queue.
const OPENING: usize = 64;
/// How often a thread that is ready looks whether all are.
const LOOK: Duration = Duration::from_micros(200);
/// How often the answers that are overdue are looked for.
const SCAN: Duration = Duration::from_millis(100);

/// Opens its connections, waits for the other threads, and then keeps requests under way on each.
#[derive(Debug)]
pub struct Exchange {
    plan: LoadPlan,
    course: Arc<Course>,
    pattern: Pattern,
    /// Opens begun so far, and how many of them have no outcome yet.
    begun: usize,
    opening: usize,
    clients: HashMap<ConnectionId, Client>,
    /// From when on, and until when, requests are counted.
    running: Option<(Instant, Instant)>,
    /// Answers that the course has not been told of.
    untold: u64,
    over: bool,
    tally: Tally,
}

/// One connection.
#[derive(Debug)]
struct Client {
    tuple: FourTuple,
    /// Where in the pattern its stream begins, so that no two connections send the same.
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
            plan,
            course,
            begun: 0,
            opening: 0,
            clients: HashMap::new(),
            running: None,
            untold: 0,
            over: false,
            tally: Tally::default(),
        }
    }

    /// The account, complete once the driver has ended.
    pub fn tally(self) -> Tally {
        self.tally
    }

    /// Begins as many opens as may be under way; when all have their outcome, waits for the others.
    fn open_more(&mut self, io: &mut dyn Io) {
        while self.opening < OPENING && self.begun < self.plan.connections {
            self.begun += 1;
            match io.open(self.plan.local, self.plan.remote) {
                Ok(_) => self.opening += 1,
                Err(error) => self.tally.not_opened(error),
            }
        }
        if self.opening > 0 || self.over {
            return;
        }
        if self.clients.is_empty() {
            return self.end(io);
        }
        self.course.one_more_is_ready();
        io.wake_after(LOOK);
    }

    fn begin(&mut self, io: &mut dyn Io, begin: Instant) {
        let end = begin + self.plan.duration;
        self.running = Some((begin, end));
        for (&id, client) in &mut self.clients {
            client.ask(io, id, &self.plan, &self.pattern, self.plan.depth, Instant::now());
        }
        self.look_after(io, end);
    }

    /// Ends the run if it is time, else ends the connections whose answer is overdue.
    fn look_after(&mut self, io: &mut dyn Io, end: Instant) {
        let now = Instant::now();
        if now >= end {
            return self.end(io);
        }
        self.course.count(std::mem::take(&mut self.untold));
        let limit = self.plan.timeout;
        let overdue = |client: &Client| {
            client.waiting.front().is_some_and(|&sent| now.saturating_duration_since(sent) > limit)
        };
        for (id, client) in self.clients.extract_if(|_, client| overdue(client)) {
            self.tally
                .timed_out(client.tuple, format!("no answer within {} (--reply-timeout)", Short(limit)));
            io.abort(id);
        }
        self.end_if_deserted(io);
        io.wake_after(SCAN.min(end - now));
    }

    fn end_if_deserted(&mut self, io: &mut dyn Io) {
        if self.clients.is_empty() && self.opening == 0 {
            self.end(io);
        }
    }

    fn end(&mut self, io: &mut dyn Io) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some((begin, end)) = self.running {
            self.tally.elapsed = Instant::now().min(end).saturating_duration_since(begin);
        }
        // RST leaves no TIME-WAIT, which would keep the source ports from the next run.
        for (id, _) in self.clients.drain() {
            io.abort(id);
        }
        io.stop();
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
            return Some(format!("{} bytes were sent and more came back", self.sent));
        }
        if !plan.verify && self.received >= plan.size as u64 {
            return None;
        }
        let at = pattern.difference(self.offset + self.received, bytes)? - self.offset;
        Some(format!("byte {at} is not the one that was sent"))
    }
}

impl Service for Exchange {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.open_more(io);
        Ok(())
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        let offset = self.clients.len() as u64 * 1009;
        let waiting = VecDeque::with_capacity(self.plan.depth);
        self.clients.insert(id, Client { tuple, offset, sent: 0, received: 0, waiting });
        self.opening -= 1;
        self.open_more(io);
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        self.tally.not_opened(error);
        self.opening -= 1;
        self.open_more(io);
    }

    fn woken(&mut self, io: &mut dyn Io) {
        match (self.running, self.course.begun()) {
            _ if self.over => {}
            (Some((_, end)), _) => self.look_after(io, end),
            (None, Some(begin)) => self.begin(io, begin),
            (None, None) => io.wake_after(LOOK),
        }
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let now = Instant::now();
        if let Some(words) = client.fault(&self.plan, &self.pattern, bytes) {
            self.tally.wrong(client.tuple, words);
            self.clients.remove(&id);
            io.abort(id);
            return self.end_if_deserted(io);
        }
        if self.running.is_none_or(|(_, end)| now >= end) {
            return;
        }
        let size = self.plan.size as u64;
        let before = client.received / size;
        client.received += bytes.len() as u64;
        let answered = (client.received / size - before) as usize;
        for sent in client.waiting.drain(..answered) {
            self.tally.answered(self.plan.size, now.saturating_duration_since(sent));
        }
        self.untold += answered as u64;
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
            self.tally.ended(client.tuple, account.reason);
            self.end_if_deserted(io);
        }
    }
}
