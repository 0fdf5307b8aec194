//! Connect, one request, its answer, close; and again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::measure::{Measurement, Moment};
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
pub(crate) struct Connects {
    plan: LoadPlan,
    ports: SourcePorts,
    pattern: Pattern,
    clients: HashMap<ConnectionId, ConnectAttempt>,
    measure: Measurement,
}

/// One connection.
#[derive(Debug)]
struct ConnectAttempt {
    begun: Instant,
    tuple: FourTuple,
    received: usize,
}

impl Connects {
    /// A load that has not begun.
    pub(crate) fn new(plan: LoadPlan, ports: SourcePorts, course: Arc<Course>) -> Self {
        Self {
            ports,
            pattern: Pattern::with_pieces_of(plan.size),
            clients: HashMap::new(),
            measure: Measurement::new(course, plan.duration, false),
            plan,
        }
    }

    /// The account, complete once the driver has ended.
    pub(crate) fn tally(self) -> Tally {
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
                self.clients.insert(id, ConnectAttempt { begun, tuple, received: 0 });
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
        let overdue = |client: &ConnectAttempt| now.saturating_duration_since(client.begun) > limit;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::errno::Errno;

    use super::super::any_plan;
    use super::*;
    use crate::service::recorder::{ID, Recorder, account};

    /// One connection that has sent its request of four bytes.
    fn asked(plan: LoadPlan) -> (Connects, Recorder) {
        let (mut connects, mut io) = begun(LoadPlan { size: 4, ..plan });
        connects.opened(&mut io, ID, account(0).tuple);
        assert_eq!(io.take().len(), 1, "a request");
        (connects, io)
    }

    /// One connection that is to come to be.
    fn begun(plan: LoadPlan) -> (Connects, Recorder) {
        let (course, mut io) = (Arc::<Course>::default(), Recorder::default());
        let ports = SourcePorts::share((20_000, 20_009), 0, 1);
        let mut connects = Connects::new(plan, ports, Arc::clone(&course));
        connects.start(&mut io).unwrap();
        course.begin();
        connects.woken(&mut io);
        assert_eq!(io.take()[1], "open 127.0.0.1:20000 -> 127.0.0.1:3000");
        (connects, io)
    }

    fn answer(bytes: usize) -> Vec<u8> {
        Pattern::with_pieces_of(bytes).from(0)[..bytes].to_vec()
    }

    fn spin(time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {}
    }

    #[test]
    fn an_answer_ends_its_connection_by_fin_and_brings_the_next() {
        let (mut connects, mut io) = asked(any_plan());
        spin(Duration::from_millis(2));
        connects.received(&mut io, ID, &answer(3));
        assert!(io.take().is_empty(), "not whole yet");
        connects.received(&mut io, ID, &answer(4)[3..]);
        assert_eq!(io.take(), ["close", "open 127.0.0.1:20001 -> 127.0.0.1:3000"]);
        let tally = connects.tally();
        assert_eq!((tally.requests, tally.bytes), (1, 4));
        assert!(tally.latency.max() >= 2_000_000, "from connect(2) on: {} ns", tally.latency.max());
    }

    #[test]
    fn more_than_was_sent_is_wrong_whatever_it_is() {
        let (mut connects, mut io) = asked(any_plan());
        connects.received(&mut io, ID, &answer(5));
        assert_eq!(io.take(), ["abort", "stop"]);
        assert_eq!(connects.tally().failures.wrong, 1);
    }

    #[test]
    fn what_is_overdue_is_ended_and_without_any_left_the_run() {
        let (mut connects, mut io) = asked(LoadPlan { timeout: Duration::ZERO, ..any_plan() });
        spin(Duration::from_millis(101));
        connects.woken(&mut io);
        assert_eq!(io.take(), ["abort", "stop"]);
        assert_eq!(connects.tally().failures.timed_out, 1);
    }

    #[test]
    fn without_any_connection_left_the_run_ends() {
        let (mut connects, mut io) = begun(any_plan());
        connects.failed(&mut io, ID, Error::new("connect", "", Errno::ECONNREFUSED));
        assert_eq!(io.take(), ["stop"]);
        assert_eq!(connects.tally().failures.refused, 1);
        let (mut connects, mut io) = asked(any_plan());
        connects.closed(&mut io, ID, account(0));
        assert_eq!(io.take(), ["stop"]);
        assert_eq!(connects.tally().failures.closed, 1);
    }
}
