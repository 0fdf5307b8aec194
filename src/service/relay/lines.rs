//! Bytes of a client as lines: bounded, and no memory while there are none.

/// What a client has said and nobody has been told yet: whole lines, then the beginning of one.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Up to here they have been taken.
    taken: usize,
    /// Up to here lines are whole.
    whole: usize,
}

/// What came of bytes that were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Kept,
    /// A line was exactly `exit`: it and what follows it are not kept.
    Exit,
    /// A line was longer than allowed: it and what follows it are not kept.
    TooLong,
}

impl LineBuffer {
    /// Adds what arrived; a line may be `longest` bytes long, its end not counted.
    pub(super) fn add(&mut self, bytes: &[u8], longest: usize) -> Added {
        self.bytes.reserve(bytes.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.bytes.extend_from_slice(piece);
            let line = content(self.partial());
            let added = match line {
                _ if line.len() > longest => Added::TooLong,
                b"exit" if piece.ends_with(b"\n") => Added::Exit,
                _ => Added::Kept,
            };
            if added != Added::Kept {
                self.bytes.truncate(self.whole);
                self.forget_taken();
                return added;
            }
            if piece.ends_with(b"\n") {
                self.whole = self.bytes.len();
            }
        }
        Added::Kept
    }

    /// Takes what there is of a last line as a line: no more will come.
    pub(super) fn end(&mut self) {
        if content(self.partial()) == b"exit" {
            self.bytes.truncate(self.whole);
            self.forget_taken();
        }
        self.whole = self.bytes.len();
    }

    /// The oldest whole line, without its end: `\n` or `\r\n`.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let whole = self.bytes.get(self.taken..self.whole)?;
        let line = whole.split_inclusive(|&byte| byte == b'\n').next()?;
        Some(content(line))
    }

    /// Takes the oldest whole line into the hands of `with`.
    pub(super) fn take<T>(&mut self, with: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let outcome = with(self.first()?);
        let whole = self.bytes.get(self.taken..self.whole).unwrap_or_default();
        self.taken += whole.iter().position(|&byte| byte == b'\n').map_or(whole.len(), |end| end + 1);
        self.forget_taken();
        Some(outcome)
    }

    /// The beginning of a line whose end has not come.
    pub(super) fn partial(&self) -> &[u8] {
        self.bytes.get(self.whole..).unwrap_or_default()
    }

    /// How many bytes are kept.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back the memory of what was taken; each byte is moved once at most.
    fn forget_taken(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        } else if self.taken > self.len() {
            self.bytes.drain(..self.taken);
            self.whole -= self.taken;
            self.taken = 0;
        }
    }
}

fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut LineBuffer) -> Vec<String> {
        std::iter::from_fn(|| lines.take(|line| String::from_utf8_lossy(line).into_owned())).collect()
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let text = b"one\ntwo\r\n\nthree\xff";
        for step in 1..text.len() {
            let mut lines = LineBuffer::default();
            for piece in text.chunks(step) {
                assert_eq!(lines.add(piece, 10), Added::Kept);
            }
            assert_eq!(all(&mut lines), ["one", "two", ""]);
            assert_eq!(lines.partial(), b"three\xff");
            lines.end();
            assert_eq!(all(&mut lines), ["three\u{fffd}"]);
        }
    }

    #[test]
    fn nothing_kept_is_no_memory() {
        let mut lines = LineBuffer::default();
        lines.add(b"one\ntwo\n", 10);
        all(&mut lines);
        assert_eq!(lines.bytes.capacity(), 0);
        lines.add(b"exit\n", 10);
        assert_eq!(lines.bytes.capacity(), 0);
    }

    #[test]
    fn a_line_may_be_as_long_as_allowed_and_no_longer() {
        for end in ["\n", "\r\n"] {
            let mut lines = LineBuffer::default();
            assert_eq!(lines.add(format!("1234{end}").as_bytes(), 4), Added::Kept);
            assert_eq!(lines.add(format!("12345{end}").as_bytes(), 4), Added::TooLong);
            assert_eq!(all(&mut lines), ["1234"]);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_kept_no_longer_than_allowed() {
        let mut lines = LineBuffer::default();
        assert_eq!(lines.add(b"before\n1234", 6), Added::Kept);
        assert_eq!(lines.add(b"567", 6), Added::TooLong);
        assert_eq!(lines.len(), 7);
        assert_eq!(all(&mut lines), ["before"]);
    }

    #[test]
    fn exit_is_a_line_of_its_own_and_the_last_one() {
        let mut lines = LineBuffer::default();
        assert_eq!(lines.add(b"exits\n exit\nexi", 10), Added::Kept);
        assert_eq!(lines.add(b"t\r\nafter\n", 10), Added::Exit);
        assert_eq!(all(&mut lines), ["exits", " exit"]);
        lines.add(b"exit", 10);
        lines.end();
        assert_eq!(all(&mut lines), [""; 0]);
    }
}
