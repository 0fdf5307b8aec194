//! How many connections the whole program has, over all its loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count that loops share. A clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    /// Counts one more, unless there are `most` already; whether it did.
    pub fn enter(&self, most: Option<usize>) -> bool {
        let most = most.unwrap_or(usize::MAX);
        let one_more = |open| (open < most).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_beyond_the_most_does_not_enter_until_another_leaves() {
        let gauge = Gauge::default();
        assert!(gauge.enter(Some(2)) && gauge.clone().enter(Some(2)));
        assert!(!gauge.enter(Some(2)));
        gauge.leave();
        assert!(gauge.enter(Some(2)));
        assert_eq!(gauge.open(), 2);
    }
}
