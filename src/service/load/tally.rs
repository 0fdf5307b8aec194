//! What a run has brought, and what went wrong in it.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::errno::Errno;

use crate::error::Error;
use crate::net::FourTuple;
use crate::report::{CloseReason, Failures};
use crate::text::{Setting, Short};

/// The longest time that is told from longer ones, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// The account of one thread, or of all.
#[derive(Debug)]
pub(crate) struct Tally {
    pub requests: u64,
    /// Requests that were due, where they came at a rate.
    pub due: u64,
    /// Connections that stood at the end and had been answered, where they are to stay.
    pub served: Option<usize>,
    pub bytes: u64,
    /// From send, or from when it was due, to the answer's last byte, in nanoseconds, to three digits.
    pub latency: Histogram<u64>,
    /// How long the requests were counted.
    pub elapsed: Duration,
    /// Connections that came to nothing.
    pub failures: Failures,
    /// The first of them, and what it befell.
    pub first_failure: Option<(Error, FourTuple)>,
}

impl Default for Tally {
    fn default() -> Self {
        let Ok(latency) = Histogram::new_with_max(LONGEST, 3) else { unreachable!("constants that fit") };
        Self {
            requests: 0,
            due: 0,
            served: None,
            bytes: 0,
            latency,
            elapsed: Duration::ZERO,
            failures: Failures::default(),
            first_failure: None,
        }
    }
}

impl Tally {
    /// Takes in the account of another thread.
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.due += other.due;
        if let Some(served) = other.served {
            *self.served.get_or_insert_default() += served;
        }
        self.bytes += other.bytes;
        // Both have the same bounds.
        let _ = self.latency.add(other.latency);
        self.elapsed = self.elapsed.max(other.elapsed);
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// A request of so many bytes was answered.
    pub(super) fn answered(&mut self, bytes: usize, latency: Duration) {
        self.requests += 1;
        self.bytes += bytes as u64;
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
    }

    /// An open that came to nothing.
    pub(super) fn not_opened(&mut self, tuple: FourTuple, error: Error) {
        let failures = &mut self.failures;
        *match error.errno() {
            Some(Errno::ECONNREFUSED) => &mut failures.refused,
            Some(Errno::ECONNRESET) => &mut failures.reset,
            // Without an errno: our own limit.
            Some(Errno::ETIMEDOUT) | None => &mut failures.timed_out,
            Some(_) => &mut failures.other,
        } += 1;
        self.first_failure.get_or_insert((error, tuple));
    }

    /// The remote side or the kernel ended a connection.
    pub(super) fn ended(&mut self, tuple: FourTuple, reason: CloseReason) {
        let failures = &mut self.failures;
        *match reason {
            CloseReason::Reset => &mut failures.reset,
            CloseReason::Failed(_, Errno::ETIMEDOUT) => &mut failures.timed_out,
            CloseReason::Failed(..) => &mut failures.other,
            _ => &mut failures.closed,
        } += 1;
        let (call, source) = match reason.failed_call() {
            Some((call, errno)) => (call, errno.into()),
            None => ("recv", io::Error::other("the remote side sent FIN")),
        };
        self.first_failure.get_or_insert_with(|| (Error::new(call, tuple, source), tuple));
    }

    /// An answer did not come within `limit`.
    pub(super) fn unanswered(&mut self, tuple: FourTuple, limit: Duration) {
        self.failures.timed_out += 1;
        self.first_failure.get_or_insert_with(|| {
            let words = format!("no answer within {} ({})", Short(limit), Setting::ReplyTimeout);
            (Error::new("recv", tuple, io::Error::other(words)), tuple)
        });
    }

    /// An answer was not what had been sent.
    pub(super) fn wrong(&mut self, tuple: FourTuple, words: String) {
        self.failures.wrong += 1;
        self.first_failure.get_or_insert_with(|| (Error::new("recv", tuple, io::Error::other(words)), tuple));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::recorder::account;

    #[test]
    fn each_failure_is_counted_as_what_it_is() {
        let tuple = account(0).tuple;
        let not_opened = |error| {
            let mut tally = Tally::default();
            tally.not_opened(tuple, error);
            tally.failures
        };
        let ended = |reason| {
            let mut tally = Tally::default();
            tally.ended(tuple, reason);
            tally.failures
        };
        let of = |errno| not_opened(Error::new("connect", tuple, errno));
        let none = Failures::default();
        assert_eq!(of(Errno::ECONNREFUSED), Failures { refused: 1, ..none });
        assert_eq!(of(Errno::ECONNRESET), Failures { reset: 1, ..none });
        assert_eq!(of(Errno::ETIMEDOUT), Failures { timed_out: 1, ..none });
        assert_eq!(of(Errno::EADDRNOTAVAIL), Failures { other: 1, ..none });
        let own_limit = Error::new("connect", tuple, io::Error::other("no answer to SYN"));
        assert_eq!(not_opened(own_limit), Failures { timed_out: 1, ..none });
        assert_eq!(ended(CloseReason::Fin), Failures { closed: 1, ..none });
        assert_eq!(ended(CloseReason::Reset), Failures { reset: 1, ..none });
        assert_eq!(ended(CloseReason::Failed("send", Errno::ETIMEDOUT)), Failures { timed_out: 1, ..none });
        assert_eq!(ended(CloseReason::Failed("send", Errno::EPIPE)), Failures { other: 1, ..none });
    }

    #[test]
    fn what_threads_did_beside_each_other_is_summed_and_took_as_long_as_the_longest() {
        let account = |port: u16, seconds, nanoseconds| {
            let mut tally = Tally { due: 3, served: Some(2), ..Tally::default() };
            tally.elapsed = Duration::from_secs(seconds);
            tally.answered(10, Duration::from_nanos(nanoseconds));
            let tuple = FourTuple { local: ([127, 0, 0, 1], port).into(), ..account(0).tuple };
            tally.wrong(tuple, "wrong".to_owned());
            tally
        };
        let mut sum = Tally::default();
        sum.add(account(1, 5, 1000));
        sum.add(account(2, 4, 9000));
        assert_eq!((sum.requests, sum.due, sum.served, sum.bytes), (2, 6, Some(4), 20));
        assert_eq!((sum.elapsed, sum.failures.wrong), (Duration::from_secs(5), 2));
        assert_eq!((sum.latency.len(), sum.latency.min()), (2, 1000));
        assert!(sum.latency.max() >= 9000);
        assert_eq!(sum.first_failure.unwrap().1.local.port(), 1, "the first one's");
    }
}
