//! Deadlines, earliest first: a lazy heap.
//!
//! Nothing is taken out when a deadline moves or its owner goes. Whoever pops an entry asks the owner
//! whether it still holds: one comparison at the end of a deadline instead of a search at every byte
//! that moves it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Time;

/// Below this many entries nobody looks for dead ones.
const FEW: usize = 1024;

/// Entries of a due time and a key.
#[derive(Debug)]
pub(super) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Time, K)>>,
    /// The number of entries at which the dead ones are thrown out.
    sweep_at: usize,
}

impl<K: Ord> Timers<K> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::with_capacity(FEW), sweep_at: FEW }
    }

    /// Adds an entry. Entries that no longer `hold` never outnumber the others by more than a thousand or so.
    pub(super) fn push(&mut self, due: Time, key: K, hold: impl Fn(Time, &K) -> bool) {
        if self.heap.len() >= self.sweep_at {
            self.sweep(hold);
        }
        self.heap.push(Reverse((due, key)));
    }

    /// Throws out the entries that no longer `hold`, and gives back their memory.
    pub(super) fn sweep(&mut self, hold: impl Fn(Time, &K) -> bool) {
        self.heap.retain(|Reverse((due, key))| hold(*due, key));
        self.sweep_at = FEW.max(2 * self.heap.len());
        self.heap.shrink_to_fit();
        self.heap.reserve(self.sweep_at - self.heap.len());
    }

    /// When the earliest entry is due.
    pub(super) fn earliest(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes out the earliest entry if it is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(Time, K)> {
        if self.earliest()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::default().after(Duration::from_millis(milliseconds))
    }

    #[test]
    fn entries_come_out_when_due_and_earliest_first() {
        let mut timers = Timers::new();
        for (due, key) in [(30, 'c'), (10, 'a'), (20, 'b')] {
            timers.push(at(due), key, |_, _| true);
        }
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(25)), Some((at(10), 'a')));
        assert_eq!(timers.pop_due(at(25)), Some((at(20), 'b')));
        assert_eq!(timers.pop_due(at(25)), None);
        assert_eq!(timers.earliest(), Some(at(30)));
    }

    #[test]
    fn entries_of_the_dead_do_not_pile_up() {
        let mut timers = Timers::new();
        // Miri takes a thousand times as long.
        for key in 0..if cfg!(miri) { 5_000 } else { 1_000_000 } {
            timers.push(at(key), key, |_, &other| other + 10 > key);
        }
        assert!(timers.heap.len() <= 2 * FEW);
    }
}
