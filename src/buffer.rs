//! Bytes that the kernel copies in or out in bulk: they begin at a page.
//!
//! On x86-64, copy_to_user is one `rep movsb` where the processor says that it is fast. On some it is so only into an
//! aligned destination: on an AMD EPYC a recv(2) into a buffer that was not at a multiple of 32 bytes cost twice the time,
//! and malloc(3) puts a block that it maps 16 bytes behind a page. Other processors do not care where a buffer begins, and
//! none is slower at a page.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// The smallest page of any Linux machine, in bytes; larger ones are multiples of it.
const PAGE: usize = 4096;

/// Bytes that grow at the end, as those of a `Vec` do.
///
/// With room for a page or more it is a mapping of its own: pages never touched take no memory, and all are given back when
/// it is dropped. A smaller one is on the heap, for nothing in it is bulk; so is one that the kernel refuses to map, having
/// counted too many mappings.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    room: Storage,
    length: usize,
}

#[derive(Debug)]
enum Storage {
    Mapped(MmapMut),
    Heap(Vec<u8>),
}

impl Default for Storage {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Storage {
    /// Room for `bytes` at least, all zero.
    fn of(bytes: usize) -> Self {
        let mapped = (bytes >= PAGE).then(|| MmapMut::map_anon(bytes.next_multiple_of(PAGE)));
        mapped.and_then(io::Result::ok).map_or_else(|| Self::Heap(vec![0; bytes]), Self::Mapped)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl Buffer {
    /// An empty one with room for `bytes`, and for a page at least.
    pub(crate) fn with_room_for(bytes: usize) -> Self {
        Self { room: Storage::of(bytes.max(PAGE)), length: 0 }
    }

    /// So many bytes, all zero, for the kernel to fill.
    pub(crate) fn zeroed(length: usize) -> Self {
        Self { room: Storage::of(length), length }
    }

    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let length = self.length + bytes.len();
        if length > self.room.bytes().len() {
            self.grow(length);
        }
        if let Some(end) = self.room.bytes_mut().get_mut(self.length..length) {
            end.copy_from_slice(bytes);
        }
        self.length = length;
    }

    /// Makes room for `bytes`, and for twice as many as before at least: each byte moves a bounded number of times.
    fn grow(&mut self, bytes: usize) {
        let mut room = Storage::of(bytes.max(2 * self.room.bytes().len()));
        if let Some(begin) = room.bytes_mut().get_mut(..self.length) {
            begin.copy_from_slice(self);
        }
        self.room = room;
    }

    /// Takes the first `count` away; the rest moves to the front.
    pub(crate) fn remove_front(&mut self, count: usize) {
        let count = count.min(self.length);
        self.copy_within(count.., 0);
        self.length -= count;
    }

    /// Takes away all behind the first `length`.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.room.bytes().get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.room.bytes_mut().get_mut(..self.length).unwrap_or_default()
    }
}

/// As [`with_room_for`](Buffer::with_room_for) has them.
impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Self {
        let mut buffer = Self::with_room_for(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_at_a_page(buffer: &Buffer) -> bool {
        buffer.as_ptr().addr().is_multiple_of(PAGE)
    }

    #[test]
    fn a_page_or_more_begins_at_a_page() {
        for length in [PAGE, PAGE + 1, 64 * 1024, 256 * 1024] {
            assert!(is_at_a_page(&Buffer::zeroed(length)), "{length}");
            assert!(is_at_a_page(&Buffer::from(&vec![b'x'; length][..])), "{length}");
        }
        assert!(is_at_a_page(&Buffer::from(&b"x"[..])), "one that may grow");
    }

    #[test]
    fn what_grows_begins_at_a_page_from_a_page_on() {
        let mut buffer = Buffer::default();
        for length in 1..20 * 1024 {
            buffer.extend_from_slice(b"x");
            assert_eq!(buffer.len(), length);
            assert!(length < PAGE || is_at_a_page(&buffer), "{length}");
        }
    }

    #[test]
    fn less_than_a_page_maps_nothing() {
        for buffer in [Buffer::default(), Buffer::zeroed(PAGE - 1)] {
            assert!(matches!(buffer.room, Storage::Heap(_)), "{buffer:?}");
        }
    }

    #[test]
    fn what_the_kernel_is_to_fill_is_zero() {
        for length in [1, PAGE, 64 * 1024 + 1] {
            assert_eq!(&*Buffer::zeroed(length), vec![0; length]);
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_vec_holds(steps in prop::collection::vec((0..4_u8, 0..9000_usize), 0..20)) {
            let (mut buffer, mut vec) = (Buffer::default(), Vec::new());
            for (step, count) in steps {
                match step {
                    0 => {
                        buffer.remove_front(count);
                        vec.drain(..count.min(vec.len()));
                    }
                    1 => {
                        buffer.truncate(count);
                        vec.truncate(count);
                    }
                    _ => {
                        let bytes = vec![count as u8; count];
                        buffer.extend_from_slice(&bytes);
                        vec.extend_from_slice(&bytes);
                    }
                }
                prop_assert_eq!(&*buffer, &vec[..]);
            }
        }
    }
}
