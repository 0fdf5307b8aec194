//! One connection from a fixed local address: a message at once, then every interval.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::answers::Answers;
use super::calls::CallAttempts;
use super::{Closed, ConnectionId, Io, Service, Signal, Timer};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{self, CloseReason, Event, RoundTrips};
use crate::text::{Setting, Short};

/// The next heartbeat is due.
const BEAT: Timer = Timer::named("beat");
/// An answer is overdue.
const ANSWER: Timer = Timer::named("answer");

/// What to connect, and what to send over it.
#[derive(Clone, Debug)]
pub(crate) struct HeartbeatPlan {
    pub local: SocketAddr,
    /// The addresses to connect to, tried in order until one accepts.
    pub remotes: Vec<SocketAddr>,
    /// What a heartbeat says; not empty.
    pub message: Vec<u8>,
    /// From one heartbeat to the next.
    pub interval: Duration,
    /// How many to send, then to close; `None`: until told to stop.
    pub count: Option<u64>,
    /// How long the oldest unanswered heartbeat may wait for its answer.
    pub receive_timeout: Option<Duration>,
}

/// Sends the plan's message at once and every interval, whatever the remote side answers or does not.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    plan: HeartbeatPlan,
    calls: CallAttempts,
    sent: u64,
    unsent: bool,
    answers: Answers,
    rtts: Rtts,
    failure: Option<Error>,
}

#[derive(Debug, Default)]
struct Rtts {
    sum: Duration,
    spread: Option<(Duration, Duration)>,
}

impl Rtts {
    fn add(&mut self, rtt: Duration) {
        self.sum += rtt;
        let (min, max) = self.spread.unwrap_or((rtt, rtt));
        self.spread = Some((min.min(rtt), max.max(rtt)));
    }

    fn round_trips(&self, count: u64) -> Option<RoundTrips> {
        let (min, max) = self.spread?;
        let mean = self.sum.div_f64(count as f64);
        Some(RoundTrips { min, mean, max })
    }
}

impl Heartbeat {
    /// A heartbeat that has not begun.
    pub(crate) fn new(plan: HeartbeatPlan) -> Self {
        let answers = Answers::to(&plan.message);
        Self {
            calls: CallAttempts::from(plan.local, plan.remotes.clone()),
            plan,
            sent: 0,
            unsent: false,
            answers,
            rtts: Rtts::default(),
            failure: None,
        }
    }

    /// What was sent and answered so far, once it is connected.
    pub(crate) fn summary(&self) -> Option<Event<'static>> {
        if self.sent == 0 {
            return None;
        }
        let answered = self.answers.answered();
        let rtt = self.rtts.round_trips(answered);
        Some(Event::Heartbeat(report::HeartbeatEvent::Summary { sent: self.sent, answered, rtt }))
    }

    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        self.calls.remote()
    }

    /// How it ended.
    ///
    /// # Errors
    ///
    /// Where it ended otherwise than by [`Signal::Stop`], by the count asked for, all answered, or,
    /// without a count, by the remote side's FIN.
    pub(crate) fn outcome(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    fn beat(&mut self, io: &mut dyn Io, id: ConnectionId) {
        // Bytes still unsent mean a remote side that does not read: wait, or they would pile up here.
        if !self.unsent {
            self.sent += 1;
            self.answers.expect(Instant::now());
            self.unsent = io.send(id, &self.plan.message) > 0;
            let (sequence, bytes) = (self.sent, self.plan.message.len());
            io.report(&Event::Heartbeat(report::HeartbeatEvent::Sent { sequence, bytes }));
            if self.sent == self.answers.answered() + 1 {
                self.await_answer(io, id);
            }
        }
        io.after(id, BEAT, self.plan.interval);
    }

    /// Arms the deadline of the oldest unanswered heartbeat.
    fn await_answer(&self, io: &mut dyn Io, id: ConnectionId) {
        let Some(limit) = self.plan.receive_timeout else { return };
        match self.answers.oldest() {
            Some(sent) => io.after(id, ANSWER, limit.saturating_sub(sent.elapsed())),
            None => io.cancel(id, ANSWER),
        }
    }

    /// Ends unanswered. Somebody who does not read would keep a close waiting for the unsent bytes.
    fn give_up(&mut self, io: &mut dyn Io, id: ConnectionId, words: String) {
        self.fail("recv", io::Error::other(words));
        if self.unsent {
            io.abort(id);
        } else {
            io.close(id);
        }
    }

    fn all_sent(&self) -> bool {
        self.plan.count.is_some_and(|count| self.sent >= count)
    }

    fn all_answered(&self) -> bool {
        self.answers.answered() == self.sent
    }

    fn fail(&mut self, call: &'static str, source: impl Into<io::Error>) {
        if let (None, Some((_, tuple))) = (&self.failure, self.calls.connection()) {
            self.failure = Some(Error::new(call, tuple, source));
        }
    }

    /// Why an end that the remote side or the kernel brought about is a failure, if it is one.
    fn judge(&mut self, reason: CloseReason) {
        if let Some((call, errno)) = reason.failed_call() {
            return self.fail(call, errno);
        }
        let (call, words) = match reason {
            CloseReason::Fin if self.plan.count.is_some() => {
                ("recv", format!("the remote side sent FIN, {} answered", self.answers.answered()))
            }
            CloseReason::ReceiveTimeout => ("recv", "no byte arrived in time".to_owned()),
            CloseReason::SendTimeout => {
                let within = Setting::SendTimeout;
                let words = format!("no byte could be sent within {within}: the remote side does not read");
                ("send", words)
            }
            _ => return,
        };
        self.fail(call, io::Error::other(words));
    }
}

impl Service for Heartbeat {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.calls.next(io)
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.calls.answered(io, id, tuple);
        self.beat(io, id);
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        for answer in self.answers.receive(bytes, Instant::now()) {
            self.rtts.add(answer.rtt);
            io.report(&Event::Heartbeat(report::HeartbeatEvent::Answer {
                sequence: answer.sequence,
                bytes: answer.text.len(),
                rtt: answer.rtt,
                text: &answer.text,
            }));
        }
        self.await_answer(io, id);
        if self.all_sent() && self.all_answered() {
            io.close(id);
        }
    }

    fn drained(&mut self, _: &mut dyn Io, _: ConnectionId) {
        self.unsent = false;
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        match timer {
            BEAT if self.all_sent() => {
                let (sent, answered) = (self.sent, self.answers.answered());
                let words = format!("{answered} of {sent} heartbeats answered");
                self.give_up(io, id, words);
            }
            BEAT => self.beat(io, id),
            ANSWER => {
                let limit = Short(self.plan.receive_timeout.unwrap_or_default());
                let words = format!("no answer within {limit} ({})", Setting::ReceiveTimeout);
                self.give_up(io, id, words);
            }
            _ => {}
        }
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        if let Some(error) = self.calls.failed(io, error) {
            self.failure = Some(error);
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        match signal {
            Signal::Stop | Signal::Goodbye => {
                self.failure = None;
                self.calls.hang_up(io);
                io.stop();
            }
            Signal::Status => {
                if let Some(summary) = self.summary() {
                    io.report(&summary);
                }
            }
        }
    }

    fn closed(&mut self, io: &mut dyn Io, _: ConnectionId, account: Closed) {
        io.report(&account.event());
        self.judge(account.reason);
        io.stop();
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::super::recorder::{ID, Recorder, account};
    use super::*;

    fn heartbeat(count: Option<u64>, receive_timeout: Option<Duration>) -> Heartbeat {
        Heartbeat::new(HeartbeatPlan {
            local: "127.0.0.1:3001".parse().unwrap(),
            remotes: vec!["127.0.0.1:3000".parse().unwrap(), "127.0.0.2:3000".parse().unwrap()],
            message: b"hello".to_vec(),
            interval: Duration::from_secs(5),
            count,
            receive_timeout,
        })
    }

    fn established(count: Option<u64>) -> (Heartbeat, Recorder) {
        let (mut heartbeat, mut io) = (heartbeat(count, None), Recorder::default());
        heartbeat.start(&mut io).unwrap();
        heartbeat.opened(&mut io, ID, account(0).tuple);
        io.take();
        (heartbeat, io)
    }

    #[test]
    fn the_message_leaves_at_once_and_again_after_every_interval_unanswered() {
        let (mut heartbeat, mut io) = (heartbeat(None, None), Recorder::default());
        heartbeat.start(&mut io).unwrap();
        heartbeat.opened(&mut io, ID, account(0).tuple);
        assert_eq!(io.take(), ["open 127.0.0.1:3001 -> 127.0.0.1:3000", "send hello", "after 5s beat"]);
        heartbeat.timer(&mut io, ID, BEAT);
        assert_eq!(io.take(), ["send hello", "after 5s beat"]);
    }

    #[test]
    fn the_next_remote_is_tried_when_one_fails() {
        let (mut heartbeat, mut io) = (heartbeat(None, None), Recorder::default());
        heartbeat.start(&mut io).unwrap();
        heartbeat.failed(&mut io, ID, Error::new("connect", "", Errno::ECONNREFUSED));
        assert_eq!(io.calls[1], "open 127.0.0.1:3001 -> 127.0.0.2:3000");
        heartbeat.failed(&mut io, ID, Error::new("connect", "", Errno::ECONNREFUSED));
        assert_eq!(io.calls[2..], ["stop"]);
        let failure = heartbeat.outcome().unwrap_err();
        assert_eq!(failure.errno(), Some(Errno::ECONNREFUSED));
        assert!(!failure.to_string().contains("before that"), "{failure}");
    }

    #[test]
    fn the_last_answer_ends_it_well() {
        let (mut heartbeat, mut io) = established(Some(1));
        heartbeat.received(&mut io, ID, b"hello");
        assert_eq!(io.take(), ["close"]);
        heartbeat.closed(&mut io, ID, Closed { reason: CloseReason::Local, ..account(5) });
        assert_eq!(io.take(), ["stop"]);
        assert!(heartbeat.outcome().is_ok());
    }

    #[test]
    fn the_count_sent_but_not_answered_within_an_interval_is_a_failure() {
        let (mut heartbeat, mut io) = established(Some(1));
        heartbeat.timer(&mut io, ID, BEAT);
        assert_eq!(io.take(), ["close"]);
        assert!(heartbeat.outcome().unwrap_err().to_string().contains("0 of 1"));
    }

    #[test]
    fn unsent_bytes_do_not_delay_the_end_of_what_is_given_up() {
        let (mut heartbeat, mut io) =
            (heartbeat(Some(1), None), Recorder { unsent: 5, ..Recorder::default() });
        heartbeat.opened(&mut io, ID, account(0).tuple);
        io.take();
        heartbeat.timer(&mut io, ID, BEAT);
        assert_eq!(io.take(), ["abort"]);
    }

    #[test]
    fn a_remote_side_that_does_not_read_gets_no_further_heartbeat() {
        let (mut heartbeat, mut io) = established(None);
        io.unsent = 5;
        heartbeat.timer(&mut io, ID, BEAT);
        heartbeat.timer(&mut io, ID, BEAT);
        assert_eq!(io.take(), ["send hello", "after 5s beat", "after 5s beat"]);
        heartbeat.drained(&mut io, ID);
        heartbeat.timer(&mut io, ID, BEAT);
        assert_eq!(io.take()[0], "send hello");
    }

    #[test]
    fn the_receive_timeout_runs_only_while_a_heartbeat_is_unanswered() {
        let limit = Duration::from_secs(2);
        let (mut heartbeat, mut io) = (heartbeat(None, Some(limit)), Recorder::default());
        heartbeat.opened(&mut io, ID, account(0).tuple);
        assert!(io.take().iter().any(|call| call.ends_with("answer")));
        heartbeat.received(&mut io, ID, b"hello");
        assert_eq!(io.take(), ["cancel answer"]);
    }

    #[test]
    fn a_stop_closes_without_waiting_for_an_answer() {
        let (mut heartbeat, mut io) = established(None);
        heartbeat.signal(&mut io, Signal::Stop);
        assert_eq!(io.take(), ["close", "stop"]);
        assert!(heartbeat.outcome().is_ok());
    }

    #[test]
    fn a_reset_is_a_failure_and_a_fin_is_none_unless_a_count_was_asked_for() {
        for (count, reason, well) in [
            (None, CloseReason::Fin, true),
            (Some(2), CloseReason::Fin, false),
            (None, CloseReason::Reset, false),
        ] {
            let (mut heartbeat, mut io) = established(count);
            heartbeat.closed(&mut io, ID, Closed { reason, ..account(0) });
            assert_eq!(heartbeat.outcome().is_ok(), well, "{count:?} {reason}");
        }
    }
}
