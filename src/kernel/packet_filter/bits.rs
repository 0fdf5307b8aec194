//! A field of a packet of which all, some or none of the bits are known.

/// What may be known of a field: which bits, and between which values it lies.
///
/// Bytes are as they are in the packet or in a register of nf_tables; they are compared as memcmp(3) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    /// The least that it may be; the known bits are as they are.
    pub(crate) low: Vec<u8>,
    /// The most that it may be.
    pub(crate) high: Vec<u8>,
    /// Which bits are known.
    pub(crate) known: Vec<u8>,
    /// What the others depend on, in words.
    pub(crate) about: &'static str,
    /// A value that it does not have.
    pub(crate) except: Option<Vec<u8>>,
}

impl Bits {
    /// All of it is known.
    pub(crate) fn exact(bytes: &[u8]) -> Self {
        let known = vec![0xff; bytes.len()];
        Self { low: bytes.to_vec(), high: bytes.to_vec(), known, about: "", except: None }
    }

    /// A number in the byte order of the machine, as nf_tables has most that is not of the packet itself.
    pub(crate) fn number(number: u32) -> Self {
        Self::exact(&number.to_ne_bytes())
    }

    /// Nothing of it is known.
    pub(crate) fn unknown(length: usize, about: &'static str) -> Self {
        Self { low: vec![0; length], high: vec![0xff; length], known: vec![0; length], about, except: None }
    }

    /// Those bits of `bytes` are known that `known` has.
    pub(crate) fn partly(bytes: &[u8], known: &[u8], about: &'static str) -> Self {
        let pairs = || bytes.iter().zip(known);
        Self {
            low: pairs().map(|(byte, known)| byte & known).collect(),
            high: pairs().map(|(byte, known)| byte & known | !known).collect(),
            known: known.to_vec(),
            about,
            except: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.low.len()
    }

    /// Its value, where all of it is known.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.known.iter().all(|&known| known == 0xff).then_some(&self.low)
    }

    /// `(self & mask) ^ flip`; both masks go on in zeros.
    pub(crate) fn masked(&self, mask: &[u8], flip: &[u8]) -> Self {
        let at = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
        if (0..self.len()).all(|index| at(mask, index) == 0xff && at(flip, index) == 0) {
            return self.clone();
        }
        let bytes: Vec<u8> =
            (0..self.len()).map(|index| at(&self.low, index) & at(mask, index) ^ at(flip, index)).collect();
        let known: Vec<u8> = (0..self.len()).map(|index| at(&self.known, index) | !at(mask, index)).collect();
        // A name under a mask that leaves its end in place is still another one.
        let except = self.except.clone().filter(|except| {
            let end = except.iter().position(|&byte| byte == 0).unwrap_or(except.len());
            (0..=end).all(|index| at(mask, index) == 0xff) && flip.iter().all(|&byte| byte == 0)
        });
        Self { except, ..Self::partly(&bytes, &known, self.about) }
    }

    /// Its bytes in the other order, each `size` of them by themselves.
    pub(crate) fn swapped(&self, size: usize) -> Self {
        if cfg!(target_endian = "big") || size < 2 {
            return self.clone();
        }
        let swap = |bytes: &[u8]| -> Vec<u8> {
            bytes.chunks(size).flat_map(|chunk| chunk.iter().rev().copied()).collect()
        };
        Self {
            except: self.except.as_deref().map(swap),
            ..Self::partly(&swap(&self.low), &swap(&self.known), self.about)
        }
    }

    /// Whether it lies between these, both included; `None` where that is not known.
    pub(crate) fn is_within(&self, low: &[u8], high: &[u8]) -> Option<bool> {
        if low.len() != self.len() || high.len() != self.len() {
            return None;
        }
        if self.high.as_slice() < low || self.low.as_slice() > high {
            return Some(false);
        }
        if low <= self.low.as_slice() && self.high.as_slice() <= high {
            return Some(true);
        }
        let differs = || {
            let wrong = |((byte, known), wanted): ((&u8, &u8), &u8)| (byte ^ wanted) & known != 0;
            self.low.iter().zip(&self.known).zip(low).any(wrong) || self.except.as_deref() == Some(low)
        };
        (low == high && differs()).then_some(false)
    }

    /// The part of it that begins at `start`; `None` where it has none so long.
    pub(crate) fn part(&self, start: usize, length: usize) -> Option<Self> {
        let of = |bytes: &[u8]| Some(bytes.get(start..start.checked_add(length)?)?.to_vec());
        let whole = start == 0 && length == self.len();
        Some(Self {
            low: of(&self.low)?,
            high: of(&self.high)?,
            known: of(&self.known)?,
            about: self.about,
            except: self.except.clone().filter(|_| whole),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::num::u8::ANY;

    use super::*;

    #[test]
    fn what_is_known_decides_and_what_is_not_does_not() {
        let port = Bits::exact(&80_u16.to_be_bytes());
        let is = |bits: &Bits, low: u16, high: u16| bits.is_within(&low.to_be_bytes(), &high.to_be_bytes());
        assert_eq!(
            (is(&port, 80, 80), is(&port, 1, 79), is(&port, 80, 443)),
            (Some(true), Some(false), Some(true))
        );
        let any = Bits::unknown(2, "the source port");
        assert_eq!((is(&any, 0, 65_535), is(&any, 80, 80), is(&any, 1, 65_535)), (Some(true), None, None));
        let ephemeral = Bits { low: vec![0x80, 0], high: vec![0xee, 0], ..any };
        assert_eq!((is(&ephemeral, 1024, 65_535), is(&ephemeral, 1, 1023)), (Some(true), Some(false)));
        assert_eq!(port.is_within(&[0], &[1]), None);
    }

    #[test]
    fn a_mask_makes_known_what_it_takes_away() {
        let flags = Bits::partly(&[0x02], &[0x3f], "the flags");
        assert_eq!(flags.masked(&[0x12], &[]).value(), Some(&[0x02][..]));
        assert_eq!(flags.masked(&[0xff], &[]).value(), None);
        assert_eq!(flags.masked(&[0xff], &[]).is_within(&[0x12], &[0x12]), Some(false));
    }

    #[test]
    fn an_excepted_name_is_not_met_unless_its_end_is_masked_away() {
        let mut name = Bits::unknown(4, "the interface");
        name.except = Some(b"lo\0\0".to_vec());
        assert_eq!(name.is_within(b"lo\0\0", b"lo\0\0"), Some(false));
        assert_eq!(name.masked(&[0xff, 0xff, 0xff, 0], &[]).is_within(b"lo\0\0", b"lo\0\0"), Some(false));
        assert_eq!(name.masked(&[0xff, 0xff, 0, 0], &[]).is_within(b"lo\0\0", b"lo\0\0"), None);
    }

    proptest::proptest! {
        /// Whatever the unknown bits turn out to be.
        #[test]
        fn what_is_said_of_some_bits_holds_for_all(
            bytes in vec(ANY, 2), known in vec(ANY, 2), other in vec(ANY, 2), mask in vec(ANY, 2), range in vec(ANY, 4),
        ) {
            let real: Vec<u8> = (0..2).map(|at| bytes[at] & known[at] | other[at] & !known[at]).collect();
            let (mut low, mut high) = (range[..2].to_vec(), range[2..].to_vec());
            if low > high {
                std::mem::swap(&mut low, &mut high);
            }
            let (bits, real) = (Bits::partly(&bytes, &known, ""), Bits::exact(&real));
            for (bits, real) in [(bits.masked(&mask, &other), real.masked(&mask, &other)), (bits.swapped(2), real.swapped(2)), (bits, real)] {
                let said = bits.is_within(&low, &high);
                proptest::prop_assert!(said.is_none() || said == real.is_within(&low, &high));
                let said = bits.is_within(&low, &low);
                proptest::prop_assert!(said.is_none() || said == real.is_within(&low, &low));
            }
        }
    }
}
