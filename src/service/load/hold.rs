//! Connections that are opened and kept.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::ports::is_taken;
use super::{Spread, Tally};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::service::{Closed, ConnectionId, Io, Service, Signal};

/// How many connections may be without their outcome at once: few enough for any accept queue.
const OPENING: usize = 64;
/// How often answers that are overdue are looked for.
const SCAN: Duration = Duration::from_millis(100);
/// Bytes of the request that verifies a connection.
const REQUEST: usize = 16;
/// How far apart in the pattern the requests of two connections begin.
const APART: usize = 1009;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HoldPlan {
    /// Where the four-tuples come from.
    pub spread: Spread,
    /// The numbers of those to open.
    pub share: Range<usize>,
    /// The numbers of those to open in the place of one whose port somebody has taken meanwhile.
    pub spare: Range<usize>,
    /// Send one request over each connection and compare its answer.
    pub verify: bool,
    /// How long that answer may take.
    pub timeout: Duration,
    /// End the connections by FIN; else by RST, which leaves no TIME-WAIT.
    pub finish: bool,
}

/// How far it has come, for another thread to look at.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    open: AtomicUsize,
    verified: AtomicUsize,
    settled: AtomicBool,
}

impl Holding {
    /// Connections that stand now, the verified ones where they are to be.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections whose answer was right.
    pub(crate) fn verified(&self) -> usize {
        self.verified.load(Ordering::Relaxed)
    }

    /// Whether every connection of the share has had its outcome.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }
}

/// Opens its share, and keeps it until it is told to stop.
#[derive(Debug)]
pub(crate) struct Hold {
    plan: HoldPlan,
    pattern: Pattern,
    /// Connections without their outcome yet.
    opening: HashMap<ConnectionId, Attempt>,
    held: Vec<ConnectionId>,
    holding: Arc<Holding>,
    over: bool,
    tally: Tally,
}

#[derive(Debug)]
struct Attempt {
    number: usize,
    tuple: FourTuple,
    begun: Instant,
    received: usize,
}

impl Hold {
    /// A share of which nothing is open yet.
    pub(crate) fn new(plan: HoldPlan, holding: Arc<Holding>) -> Self {
        Self {
            plan,
            pattern: Pattern::with_pieces_of(REQUEST),
            opening: HashMap::new(),
            held: Vec::new(),
            holding,
            over: false,
            tally: Tally::default(),
        }
    }

    /// The account of failures, complete once the driver has ended.
    pub(crate) fn tally(self) -> Tally {
        self.tally
    }

    fn open_more(&mut self, io: &mut dyn Io) {
        while !self.over && self.opening.len() < OPENING {
            let Some(number) = self.plan.share.next() else { break };
            self.open(io, number);
        }
        if self.opening.is_empty() {
            self.holding.settled.store(true, Ordering::Release);
        }
    }

    fn open(&mut self, io: &mut dyn Io, mut number: usize) {
        while let Some(tuple) = self.plan.spread.tuple(number) {
            match io.open(tuple.local, tuple.remote) {
                Ok(id) => {
                    let attempt = Attempt { number, tuple, begun: Instant::now(), received: 0 };
                    self.opening.insert(id, attempt);
                    return;
                }
                Err(error) => match self.plan.spare.next() {
                    Some(spare) if is_taken(&error) => number = spare,
                    _ => return self.tally.not_opened(tuple, error),
                },
            }
        }
    }

    /// The connection is as it should be, and kept from now on.
    fn keep(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.opening.remove(&id);
        self.held.push(id);
        self.holding.open.fetch_add(1, Ordering::Relaxed);
        self.open_more(io);
    }

    fn end(&mut self, io: &mut dyn Io) {
        self.over = true;
        let opening = self.opening.drain().map(|(id, _)| id);
        for id in self.held.drain(..).chain(opening) {
            if self.plan.finish {
                io.finish(id);
            } else {
                io.abort(id);
            }
        }
        io.stop();
    }
}

impl Service for Hold {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.open_more(io);
        io.wake_after(SCAN);
        Ok(())
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, _: FourTuple) {
        if !self.plan.verify {
            return self.keep(io, id);
        }
        if let Some(attempt) = self.opening.get(&id) {
            io.send(id, self.pattern.from(attempt.offset()).get(..REQUEST).unwrap_or_default());
        }
    }

    fn failed(&mut self, io: &mut dyn Io, id: ConnectionId, error: Error) {
        if let Some(attempt) = self.opening.remove(&id) {
            self.tally.not_opened(attempt.tuple, error);
            self.open_more(io);
        }
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(attempt) = self.opening.get_mut(&id) else { return };
        let at = attempt.offset() + attempt.received as u64;
        attempt.received += bytes.len();
        if attempt.received > REQUEST || self.pattern.difference(at, bytes).is_some() {
            self.tally.wrong(attempt.tuple, "the answer is not what was sent".to_owned());
            self.opening.remove(&id);
            io.abort(id);
            return self.open_more(io);
        }
        if attempt.received == REQUEST {
            self.holding.verified.fetch_add(1, Ordering::Relaxed);
            self.keep(io, id);
        }
    }

    fn woken(&mut self, io: &mut dyn Io) {
        let (now, limit) = (Instant::now(), self.plan.timeout);
        let overdue = |attempt: &Attempt| now.saturating_duration_since(attempt.begun) > limit;
        for (id, attempt) in self.opening.extract_if(|_, attempt| overdue(attempt)) {
            self.tally.unanswered(attempt.tuple, limit);
            io.abort(id);
        }
        self.open_more(io);
        if !self.opening.is_empty() {
            io.wake_after(SCAN);
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        if signal == Signal::Stop {
            self.end(io);
        }
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        if self.over {
            return;
        }
        if self.opening.remove(&id).is_some() {
            self.tally.ended(account.tuple, account.reason);
            return self.open_more(io);
        }
        // Not among those held: it was given up, and is counted already.
        if let Some(place) = self.held.iter().position(|&held| held == id) {
            self.held.swap_remove(place);
            self.holding.open.fetch_sub(1, Ordering::Relaxed);
            self.tally.ended(account.tuple, account.reason);
        }
    }
}

impl Attempt {
    /// Where in the pattern its request begins.
    fn offset(&self) -> u64 {
        (self.number * APART) as u64
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::service::recorder::{ID, Recorder, account};

    /// A share of these numbers, each verified.
    fn plan(share: Range<usize>) -> HoldPlan {
        let spread = Spread {
            source: [127, 0, 0, 1].into(),
            ports: (20_000..20_010).collect(),
            remotes: vec![([127, 0, 0, 1], 3000).into()],
        };
        HoldPlan { spread, share, spare: 5..6, verify: true, timeout: Duration::from_secs(5), finish: false }
    }

    /// One connection, number `number`, which has sent its request.
    fn asked(number: usize, timeout: Duration) -> (Hold, Recorder, Arc<Holding>, String) {
        let (mut io, holding) = (Recorder::default(), Arc::<Holding>::default());
        let plan = HoldPlan { timeout, ..plan(number..number + 1) };
        let mut hold = Hold::new(plan, Arc::clone(&holding));
        hold.start(&mut io).unwrap();
        hold.opened(&mut io, ID, account(0).tuple);
        let request = io.take().pop().unwrap();
        assert!(request.starts_with("send ") && !holding.is_settled());
        (hold, io, holding, request)
    }

    fn answer(bytes: usize) -> Vec<u8> {
        Pattern::with_pieces_of(bytes).from(0)[..bytes].to_vec()
    }

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_connection_is_kept_once_its_whole_answer_is_there() {
        let (mut hold, mut io, holding, _) = asked(0, PATIENCE);
        hold.received(&mut io, ID, &answer(REQUEST)[..1]);
        assert_eq!((holding.verified(), holding.open(), holding.is_settled()), (0, 0, false));
        hold.received(&mut io, ID, &answer(REQUEST)[1..]);
        assert_eq!((holding.verified(), holding.open(), holding.is_settled()), (1, 1, true));
        hold.signal(&mut io, Signal::Stop);
        assert_eq!(io.take(), ["abort", "stop"]);
        hold.closed(&mut io, ID, account(0));
        assert_eq!(hold.tally().failures.sum(), 0, "an end of our own is no loss");
    }

    #[test]
    fn a_wrong_answer_is_counted_and_its_connection_ended() {
        let mut wrong = answer(REQUEST);
        wrong[REQUEST - 1] ^= 1;
        for bytes in [wrong, answer(REQUEST + 1)] {
            let (mut hold, mut io, holding, _) = asked(0, PATIENCE);
            hold.received(&mut io, ID, &bytes);
            assert_eq!(io.take(), ["abort"]);
            assert_eq!((holding.verified(), holding.open(), holding.is_settled()), (0, 0, true));
            assert_eq!(hold.tally().failures.wrong, 1);
        }
    }

    #[test]
    fn an_answer_is_waited_for_until_it_is_overdue() {
        let (mut hold, mut io, _, _) = asked(0, PATIENCE);
        hold.woken(&mut io);
        assert_eq!(io.take(), ["wake after 100ms"]);
        let (mut hold, mut io, holding, _) = asked(0, Duration::ZERO);
        hold.woken(&mut io);
        assert_eq!((io.take(), holding.is_settled()), (vec!["abort".to_owned()], true));
        assert_eq!(hold.tally().failures.timed_out, 1);
    }

    #[test]
    fn no_two_connections_send_the_same() {
        assert_ne!(asked(0, PATIENCE).3, asked(1, PATIENCE).3);
    }

    #[test]
    fn what_is_lost_while_it_is_held_is_held_no_more() {
        let (mut hold, mut io, holding, _) = asked(0, PATIENCE);
        hold.received(&mut io, ID, &answer(REQUEST));
        hold.closed(&mut io, ID, account(0));
        assert_eq!(holding.open(), 0);
        hold.signal(&mut io, Signal::Stop);
        assert_eq!(io.take(), ["stop"], "there is nothing to end");
        assert_eq!(hold.tally().failures.closed, 1);
    }

    #[test]
    fn where_every_open_has_failed_nothing_is_waited_for() {
        let (mut io, holding) = (Recorder::default(), Arc::<Holding>::default());
        let mut hold = Hold::new(plan(0..1), Arc::clone(&holding));
        hold.start(&mut io).unwrap();
        hold.failed(&mut io, ID, Error::new("connect", "", Errno::ECONNREFUSED));
        assert!(holding.is_settled());
        assert_eq!(hold.tally().failures.refused, 1);
    }

    #[test]
    fn what_another_port_does_not_mend_takes_none() {
        let open_errors = vec![Error::new("bind", "", Errno::EADDRNOTAVAIL)];
        let mut io = Recorder { open_errors, ..Recorder::default() };
        let mut hold = Hold::new(plan(0..1), Arc::default());
        hold.start(&mut io).unwrap();
        assert_eq!(io.take()[..2], ["open 127.0.0.1:20000 -> 127.0.0.1:3000", "wake after 100ms"]);
        assert_eq!(hold.tally().failures.other, 1);
    }

    #[test]
    fn a_port_that_somebody_has_taken_meanwhile_is_replaced_while_there_are_others() {
        let plan = HoldPlan { verify: false, ..plan(0..2) };
        let (mut io, holding) = (Recorder::default(), Arc::<Holding>::default());
        let taken = || Error::new("bind", "", Errno::EADDRINUSE);
        io.open_errors = vec![taken(), taken()];
        let mut hold = Hold::new(plan, Arc::clone(&holding));
        hold.start(&mut io).unwrap();
        assert_eq!(
            io.take()[..3],
            [
                "open 127.0.0.1:20000 -> 127.0.0.1:3000",
                "open 127.0.0.1:20005 -> 127.0.0.1:3000",
                "open 127.0.0.1:20001 -> 127.0.0.1:3000",
            ]
        );
        assert_eq!(hold.tally().failures.other, 1, "with no spare left");
    }
}
