//! What the kernel has not taken yet.

use crate::buffer::Buffer;
use crate::drive::clock::Time;

/// Bytes that the kernel did not take, the first `taken` of which it has by now, the latest at `last_sent`.
///
/// However few they are, they have a mapping of their own, which is given back with them.
#[derive(Debug)]
pub(super) struct Unsent {
    bytes: Buffer,
    taken: usize,
    pub last_sent: Time,
}

impl Unsent {
    pub(super) fn new(rest: &[u8], now: Time) -> Self {
        Self { bytes: rest.into(), taken: 0, last_sent: now }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        // Moves each byte at most once: the rest is no longer than what has been taken.
        if self.taken > self.rest().len() {
            self.bytes.remove_front(self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The kernel has taken so many more of them.
    pub(super) fn take(&mut self, written: usize, now: Time) {
        self.taken += written;
        self.last_sent = now;
    }
}
