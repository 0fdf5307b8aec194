//! Keys out of the bytes that a terminal sends when nobody edits the line for it.

const ESCAPE: u8 = 0x1b;
/// A sequence that is longer is none that we know.
const LONGEST_SEQUENCE: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Character(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-K: from the cursor to the end.
    KillRight,
    /// Ctrl-U: from the beginning to the cursor.
    KillLeft,
    /// Ctrl-W: the word before the cursor.
    KillWord,
    /// Ctrl-D: the end of input, or what [`Delete`](Self::Delete) does.
    EndOfInput,
    Clear,
}

/// Reads keys, however the bytes are cut.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The beginning of a character or of a sequence.
    pending: Vec<u8>,
}

impl Keys {
    /// The keys that `bytes` complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for &byte in bytes {
            self.pending.push(byte);
            keys.extend(self.complete());
        }
        // A sequence comes in one piece: ESC that nothing follows is the key of that name, and means nothing here.
        if self.pending == [ESCAPE] {
            self.pending.clear();
        }
        keys
    }

    /// The key that the last byte has completed.
    fn complete(&mut self) -> Option<Key> {
        let (complete, key) = match self.pending.as_slice() {
            [ESCAPE] | [ESCAPE, b'[' | b'O'] => (false, None),
            [ESCAPE, b'[', parameters @ .., last] => sequence(parameters, *last),
            [ESCAPE, b'O', last] => (true, movement(*last)),
            [ESCAPE, ..] => (true, None),
            [control @ (0..=0x1f | 0x7f)] => (true, key_of(*control)),
            bytes => character(bytes),
        };
        if complete {
            self.pending.clear();
        }
        key
    }
}

fn sequence(parameters: &[u8], last: u8) -> (bool, Option<Key>) {
    match (parameters, last) {
        (_, 0x20..=0x3f) => (parameters.len() > LONGEST_SEQUENCE, None),
        ([], last) => (true, movement(last)),
        (b"1" | b"7", b'~') => (true, Some(Key::Home)),
        (b"3", b'~') => (true, Some(Key::Delete)),
        (b"4" | b"8", b'~') => (true, Some(Key::End)),
        _ => (true, None),
    }
}

fn movement(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}

fn key_of(control: u8) -> Option<Key> {
    Some(match control {
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x08 | 0x7f => Key::Backspace,
        b'\t' => Key::Character('\t'),
        b'\r' | b'\n' => Key::Enter,
        0x0b => Key::KillRight,
        0x0c => Key::Clear,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::KillLeft,
        0x17 => Key::KillWord,
        _ => return None,
    })
}

fn character(bytes: &[u8]) -> (bool, Option<Key>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (true, text.chars().next().map(Key::Character)),
        Err(error) if error.error_len().is_none() => (false, None),
        Err(_) => (true, Some(Key::Character(char::REPLACEMENT_CHARACTER))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_and_sequences_may_be_cut_anywhere() {
        let bytes = "aé🦀\x1b[D\x1b[3~\x1bOHb".as_bytes();
        let mut expected: Vec<Key> = ['a', 'é', '🦀'].map(Key::Character).to_vec();
        expected.extend([Key::Left, Key::Delete, Key::Home, Key::Character('b')]);
        assert_eq!(Keys::default().take(bytes), expected);
        for cut in 1..bytes.len() {
            // A lone ESC is the key of that name.
            if bytes[cut - 1] != ESCAPE {
                let mut keys = Keys::default();
                let mut found = keys.take(&bytes[..cut]);
                found.extend(keys.take(&bytes[cut..]));
                assert_eq!(found, expected, "{cut}");
            }
        }
    }

    #[test]
    fn home_and_end_are_known_from_each_kind_of_terminal() {
        assert_eq!(Keys::default().take(b"\x1b[H\x1bOH\x1b[1~\x1b[7~\x01"), [Key::Home; 5]);
        assert_eq!(Keys::default().take(b"\x1b[F\x1bOF\x1b[4~\x1b[8~\x05"), [Key::End; 5]);
    }

    #[test]
    fn what_is_not_known_is_swallowed_whole() {
        assert_eq!(Keys::default().take(b"\x1b[1;5C\x1b[200~\x1bx\x07a"), [Key::Character('a')]);
        let mut keys = Keys::default();
        keys.take(b"\x1b");
        assert_eq!(keys.take(b"a"), [Key::Character('a')]);
    }

    #[test]
    fn a_sequence_without_end_ends() {
        let mut keys = Keys::default();
        keys.take(b"\x1b[");
        keys.take(&[b'1'; 1000]);
        assert!(keys.pending.len() < 32);
    }

    #[test]
    fn a_byte_that_is_not_utf8_shows_that_it_is_none() {
        assert_eq!(Keys::default().take(b"\xffa"), ['\u{fffd}', 'a'].map(Key::Character));
    }
}
