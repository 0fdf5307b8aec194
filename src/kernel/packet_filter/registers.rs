//! Where a rule of nf_tables keeps what it has read, 64 bytes.

use super::bits::Bits;
use super::rule::Register;

const SIZE: usize = 64;
/// Values begin at a multiple of this, and have zeros behind them up to one.
const WORD: usize = 4;

/// What is known of the registers.
pub(super) struct Registers {
    low: [u8; SIZE],
    high: [u8; SIZE],
    known: [u8; SIZE],
    about: [&'static str; SIZE / WORD],
    /// The value that one of them does not have.
    except: Option<(Register, Vec<u8>)>,
}

impl Registers {
    pub(super) fn new() -> Self {
        Self { low: [0; SIZE], high: [0; SIZE], known: [0xff; SIZE], about: [""; SIZE / WORD], except: None }
    }

    /// Puts a value there; what finds no room is left out.
    pub(super) fn write(&mut self, to: Register, value: &Bits) {
        let end = to.saturating_add(value.len().next_multiple_of(WORD)).min(SIZE);
        for (at, place) in (to..end).enumerate() {
            let byte = |bytes: &[u8], padding| bytes.get(at).copied().unwrap_or(padding);
            let parts = [
                (&mut self.low, byte(&value.low, 0)),
                (&mut self.high, byte(&value.high, 0)),
                (&mut self.known, byte(&value.known, 0xff)),
            ];
            for (bytes, new) in parts {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = new;
                }
            }
            if let Some(about) = self.about.get_mut(place / WORD) {
                *about = value.about;
            }
        }
        self.except = value.except.clone().map(|except| (to, except));
    }

    /// The value that is there.
    pub(super) fn read(&self, from: Register, length: usize) -> Bits {
        let end = from.saturating_add(length);
        let (Some(low), Some(high), Some(known)) =
            (self.low.get(from..end), self.high.get(from..end), self.known.get(from..end))
        else {
            return Bits::unknown(length.min(SIZE), "a register that is none");
        };
        let unknown = known.iter().position(|&known| known != 0xff);
        let about = unknown.and_then(|at| self.about.get((from + at) / WORD)).copied().unwrap_or_default();
        let except = self.except.as_ref().filter(|(at, except)| (*at, except.len()) == (from, length));
        Bits {
            low: low.to_vec(),
            high: high.to_vec(),
            known: known.to_vec(),
            about,
            except: except.map(|(_, except)| except.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_side_by_side_are_one_and_what_is_behind_a_short_one_is_zero() {
        let mut registers = Registers::new();
        registers.write(0, &Bits::unknown(8, "before"));
        registers.write(0, &Bits::exact(&[127, 0, 0, 1]));
        registers.write(4, &Bits::exact(&[0, 80]));
        assert_eq!(registers.read(0, 8).value(), Some(&[127, 0, 0, 1, 0, 80, 0, 0][..]));
        registers.write(4, &Bits::unknown(2, "the port"));
        let both = registers.read(0, 8);
        assert_eq!((both.value(), both.about), (None, "the port"));
        assert_eq!(registers.read(60, 8).value(), None);
        registers.write(60, &Bits::exact(&[1; 16]));
        assert_eq!(registers.read(60, 4).value(), Some(&[1; 4][..]));
    }
}
