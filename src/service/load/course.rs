//! What the threads of one run share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// When all begin, how far they have come, and when they may end.
#[derive(Debug, Default)]
pub(crate) struct Course {
    ready: AtomicUsize,
    begin: OnceLock<Instant>,
    answered: AtomicU64,
    over: AtomicBool,
}

impl Course {
    /// How many threads have opened their connections, or as many as would open.
    pub(crate) fn ready(&self) -> usize {
        self.ready.load(Ordering::Acquire)
    }

    /// Lets all begin now, and says when that is.
    pub(crate) fn begin(&self) -> Instant {
        *self.begin.get_or_init(Instant::now)
    }

    /// How many requests have been answered so far, of all threads; it lags behind a little.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets all end whose time is over. Until then they keep their connections: a server process that ends with its own
    /// would take out of sight what it has spent.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn one_more_is_ready(&self) {
        self.ready.fetch_add(1, Ordering::Release);
    }

    pub(super) fn begun(&self) -> Option<Instant> {
        self.begin.get().copied()
    }

    pub(super) fn count(&self, answered: u64) {
        self.answered.fetch_add(answered, Ordering::Relaxed);
    }
}
