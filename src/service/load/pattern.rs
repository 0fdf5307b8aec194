//! Bytes to send, in which a lost, doubled or moved piece shows.

use std::sync::Arc;

use crate::buffer::Buffer;

/// After so many bytes the pattern begins again. A prime, so that no usual size of a request is a multiple of it. Miri
/// takes a thousand times as long.
const PERIOD: usize = if cfg!(miri) { 251 } else { 65_521 };

/// A stream of bytes without end. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Arc<Buffer>);

impl Pattern {
    /// One of which a piece of so many bytes can be had.
    pub(super) fn with_pieces_of(bytes: usize) -> Self {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let period: Vec<u8> = (0..PERIOD).map(|_| next(&mut random)).collect();
        let mut stream = Buffer::with_room_for(PERIOD + bytes);
        while stream.len() < PERIOD + bytes {
            let length = period.len().min(PERIOD + bytes - stream.len());
            stream.extend_from_slice(period.get(..length).unwrap_or_default());
        }
        Self(Arc::new(stream))
    }

    /// The stream's bytes from `offset` on, as many as fit a piece at least.
    pub(super) fn from(&self, offset: u64) -> &[u8] {
        self.0.get((offset % PERIOD as u64) as usize..).unwrap_or_default()
    }

    /// Where `bytes` first differ from the stream at `offset`.
    pub(super) fn difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let expected = self.from(at);
            let (these, others) = rest.split_at(rest.len().min(expected.len()));
            if !expected.starts_with(these) {
                let same = these.iter().zip(expected).take_while(|(these, expected)| these == expected);
                return Some(at + same.count() as u64);
            }
            at += these.len() as u64;
            rest = others;
        }
        None
    }
}

/// The next number of xorshift64 (Marsaglia 2003), one byte of it.
fn next(random: &mut u64) -> u8 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 32) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_as_long_as_asked_wherever_it_begins() {
        let pattern = Pattern::with_pieces_of(100);
        for offset in [0, PERIOD as u64 - 1, PERIOD as u64, 10 * PERIOD as u64 - 1] {
            assert!(pattern.from(offset).len() >= 100, "{offset}");
        }
        assert_eq!(pattern.from(PERIOD as u64)[..100], pattern.from(0)[..100]);
    }

    #[test]
    fn the_first_byte_that_differs_is_found() {
        let pattern = Pattern::with_pieces_of(10);
        let offset = 3 * PERIOD as u64 - 5;
        let mut bytes: Vec<u8> = pattern.from(offset)[..5].to_vec();
        bytes.extend_from_slice(pattern.from(0));
        bytes.extend_from_slice(&pattern.from(10)[..20]);
        assert_eq!(pattern.difference(offset, &bytes), None);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(pattern.difference(offset, &bytes), Some(offset + last as u64));
        assert_eq!(pattern.difference(offset + 1, &bytes), Some(offset + 1), "a byte was lost");
    }
}
