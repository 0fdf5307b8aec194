//! Time as the loop counts it: small enough to keep by the hundred thousand.

use std::time::{Duration, Instant};

/// Microseconds since the loop began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(u64);

impl Time {
    /// This much later; the end of time where that is beyond it.
    pub(super) fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(microseconds(delay)))
    }

    /// This much earlier; the beginning of time where that is before it.
    pub(super) fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(microseconds(span)))
    }

    /// How long after `earlier` this is; nothing where it is before.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Counts from its making on.
#[derive(Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(&self) -> Time {
        Time(microseconds(self.0.elapsed()))
    }
}
