//! What nf_tables says in attributes: numbers in network byte order, names that end in a zero, lists and nests.

use super::super::rule::Register;
use crate::kernel::netlink::attributes;

/// Attributes one after the other.
#[derive(Clone, Copy)]
pub(super) struct Nest<'a>(pub(super) &'a [u8]);

impl<'a> Nest<'a> {
    /// The first of this type.
    pub(super) fn get(self, kind: u16) -> Option<&'a [u8]> {
        attributes(self.0).find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    pub(super) fn nest(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self)
    }

    /// A number of four bytes.
    pub(super) fn number(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// A number of four bytes that is also meant as a size or an offset.
    pub(super) fn size(self, kind: u16) -> Option<usize> {
        usize::try_from(self.number(kind)?).ok()
    }

    /// A number of eight bytes.
    pub(super) fn long(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// A name; nothing keeps its bytes from being any.
    pub(super) fn name(self, kind: u16) -> Option<String> {
        Some(name(self.get(kind)?))
    }

    /// What is in the elements of a list: `NFTA_LIST_ELEM`.
    pub(super) fn elements(self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        const ELEMENT: u16 = 1;
        attributes(self.get(kind).unwrap_or_default())
            .filter(|(kind, _)| *kind == ELEMENT)
            .map(|(_, value)| value)
    }

    /// The value in a nest of `struct nft_data`: `NFTA_DATA_VALUE`.
    pub(super) fn data(self, kind: u16) -> Option<&'a [u8]> {
        const VALUE: u16 = 1;
        self.nest(kind)?.get(VALUE)
    }

    /// A register: one of 16 bytes, or one of four.
    pub(super) fn register(self, kind: u16) -> Option<Register> {
        match self.size(kind)? {
            number @ 1..=4 => Some((number - 1) * 16),
            number @ 8..=23 => Some((number - 8) * 4),
            _ => None,
        }
    }
}

/// The bytes up to the first zero.
pub(super) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
