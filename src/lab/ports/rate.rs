//! Connections that come and go at a rate, each leaving its port in TIME-WAIT.

use std::time::Duration;

use super::pool::Pool;

/// What is asked of a pool of ports: so many new connections a second, each keeping its port for so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Demand {
    /// Connections a second, to all destinations that share the pool.
    pub rate: f64,
    /// How long a port is held after its connection is closed.
    pub hold: Duration,
}

impl Demand {
    /// How many ports are held at every moment, once the first of them come back; one at least, by the connection
    /// that is open.
    pub(super) fn ports(&self) -> u64 {
        ((self.rate * self.hold.as_secs_f64()).ceil() as u64).max(1)
    }
}

impl Pool {
    /// The highest rate that lasts, in connections a second; nothing where any does.
    pub(super) fn highest_rate(&self, hold: Duration) -> Option<f64> {
        (hold > Duration::ZERO).then(|| self.lasting() as f64 / hold.as_secs_f64())
    }

    /// When the first connection finds no port; nothing where that never happens.
    ///
    /// The connections themselves take no time here.
    pub(super) fn exhausted_after(&self, demand: Demand) -> Option<Duration> {
        let now = *self.capacity().start() as u64;
        let mut waiting = self.waiting.iter().peekable();
        let mut back = 0;
        // From the last of these on, a port comes back for every one that is taken.
        for made in 0..demand.ports() {
            let time = Duration::from_secs_f64(made as f64 / demand.rate);
            while waiting.next_if(|left| **left <= time).is_some() {
                back += 1;
            }
            if made >= now + back {
                return Some(time);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(free: usize, waiting: &[u64]) -> Pool {
        let waiting = waiting.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
        Pool { free, waiting, ..Pool::default() }
    }

    fn exhausted(pool: &Pool, rate: f64, seconds: u64) -> Option<u64> {
        let demand = Demand { rate, hold: Duration::from_secs(seconds) };
        pool.exhausted_after(demand).map(|after| after.as_secs())
    }

    #[test]
    fn a_rate_lasts_where_ports_come_back_as_fast_as_they_go() {
        let pool = pool(120, &[]);
        assert_eq!(pool.highest_rate(Duration::from_secs(60)), Some(2.0));
        assert_eq!(exhausted(&pool, 2.0, 60), None);
        assert_eq!(exhausted(&pool, 3.0, 60), Some(40));
    }

    #[test]
    fn ports_in_time_wait_come_back_one_after_the_other() {
        let waiting = pool(10, &[5, 20, 20, 20]);
        // 10 connections by 10 s, an 11th with what came back at 5 s; the 12th, at 11 s, finds none.
        assert_eq!(exhausted(&waiting, 1.0, 60), Some(11));
        assert_eq!(exhausted(&waiting, 1.0, 11), None);
        assert_eq!(waiting.highest_rate(Duration::from_secs(7)), Some(2.0));
    }

    #[test]
    fn without_time_wait_one_port_is_enough_and_none_is_not() {
        assert_eq!(pool(1, &[]).highest_rate(Duration::ZERO), None);
        assert_eq!(exhausted(&pool(1, &[]), 1000.0, 0), None);
        assert_eq!(exhausted(&pool(0, &[]), 1000.0, 0), Some(0));
        assert_eq!(exhausted(&pool(0, &[5]), 1000.0, 0), Some(0));
    }

    #[test]
    fn a_port_that_may_be_overlooked_or_kept_is_not_counted_on() {
        let pool = Pool { free: 7, overlooked: 1, unknown: 5, waiting: Vec::new() };
        assert_eq!(pool.capacity(), 6..=12);
        assert_eq!(exhausted(&pool, 1.0, 7), Some(6));
    }
}
