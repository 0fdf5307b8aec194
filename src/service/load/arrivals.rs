//! When requests are due that come at a rate of their own, whatever becomes of those before them.

use std::time::{Duration, Instant};

/// How often requests come, and which of them are one thread's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Of all threads together; above 0.
    pub per_second: f64,
    /// This thread's number, from 0.
    pub thread: usize,
    /// How many threads there are.
    pub threads: usize,
}

/// The requests of one thread: evenly spaced, and between those of the others.
#[derive(Debug)]
pub(super) struct Arrivals {
    rate: Rate,
    begin: Instant,
    duration: Duration,
    come: usize,
}

impl Arrivals {
    /// Those of the time from `begin` on that lasts so long.
    pub(super) fn new(rate: Rate, begin: Instant, duration: Duration) -> Self {
        Self { rate, begin, duration, come: 0 }
    }

    /// When the next one is due, if one is left.
    pub(super) fn due(&self) -> Option<Instant> {
        let number = self.rate.thread + self.come * self.rate.threads;
        let after = Duration::from_secs_f64(number as f64 / self.rate.per_second);
        (after < self.duration).then(|| self.begin + after)
    }

    /// Takes the next one if it is due by `now`, and says when it was.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.due().filter(|&due| due <= now)?;
        self.come += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_requests_evenly_and_in_turn() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let all = (0..2).flat_map(|thread| {
            let mut arrivals = Arrivals::new(Rate { per_second: 5.0, thread, threads: 2 }, begin, second);
            std::iter::from_fn(move || arrivals.take(begin + second).map(|due| (due - begin, thread)))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        let expected = (0..5).map(|number| (Duration::from_millis(200 * number), number as usize % 2));
        assert_eq!(all, expected.collect::<Vec<_>>());
    }
}
