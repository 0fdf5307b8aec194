//! What the kernel has not taken yet.

use crate::drive::clock::Time;
use crate::drive::memory::OWN_MAPPING;

/// Bytes that the kernel did not take, the first `taken` of which it has by now, the latest at `last_sent`.
#[derive(Debug)]
pub struct Unsent {
    bytes: Vec<u8>,
    taken: usize,
    pub last_sent: Time,
}

impl Unsent {
    pub fn new(rest: &[u8], now: Time) -> Self {
        let mut bytes = Vec::with_capacity(rest.len().max(OWN_MAPPING));
        bytes.extend_from_slice(rest);
        Self { bytes, taken: 0, last_sent: now }
    }

    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub fn append(&mut self, bytes: &[u8]) {
        // Moves each byte at most once: the rest is no longer than what has been taken.
        if self.taken > self.rest().len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The kernel has taken so many more of them.
    pub fn take(&mut self, written: usize, now: Time) {
        self.taken += written;
        self.last_sent = now;
    }
}
