//! Lines out of a stream that keeps no boundaries, each in bounded pieces.

/// A line of so many bytes without an end is not waited for any longer: what there is of it is a piece.
const LONGEST: usize = 64 * 1024;

/// Bytes that arrive, cut into lines.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    /// The beginning of a line, or of a further piece of one, whose end has not come.
    held: Vec<u8>,
}

/// A line without its end, or a piece of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The bytes, the newline left out.
    pub text: Vec<u8>,
    /// The newline stood behind it.
    pub ends: bool,
}

impl LineSplitter {
    /// The lines, and pieces of long lines, that `bytes` complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.held.extend_from_slice(text);
            if ends || self.held.len() >= LONGEST {
                pieces.push(self.piece(ends));
            }
        }
        pieces
    }

    /// Whether the end of a line has not come yet.
    pub(super) fn unfinished(&self) -> bool {
        !self.held.is_empty()
    }

    /// What has come of a line whose end has not, but for a character cut in two: its rest may still come.
    pub(super) fn so_far(&mut self) -> Option<Piece> {
        let piece = self.piece(false);
        (!piece.text.is_empty()).then_some(piece)
    }

    /// All that is left when nothing more comes.
    pub(super) fn rest(&mut self) -> Option<Piece> {
        let text = std::mem::take(&mut self.held);
        (!text.is_empty()).then_some(Piece { text, ends: false })
    }

    fn piece(&mut self, ends: bool) -> Piece {
        let mut text = std::mem::take(&mut self.held);
        if !ends {
            self.held = text.split_off(text.len() - cut_character(&text));
        }
        Piece { text, ends }
    }
}

/// How many bytes at the end begin a UTF-8 character that the next bytes may complete.
fn cut_character(text: &[u8]) -> usize {
    let begins_one = |&length: &usize| {
        let tail = text.len().checked_sub(length).and_then(|start| text.get(start..));
        let error = tail.and_then(|tail| std::str::from_utf8(tail).err());
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..4).find(begins_one).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(piece: &Piece) -> String {
        format!("{}{}", piece.text.escape_ascii(), if piece.ends { "$" } else { "" })
    }

    fn texts(pieces: &[Piece]) -> Vec<String> {
        pieces.iter().map(text).collect()
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut lines = LineSplitter::default();
        assert_eq!(texts(&lines.take(b"one\ntwo\nthr")), ["one$", "two$"]);
        assert!(lines.unfinished());
        assert_eq!(texts(&lines.take(b"ee\n\n")), ["three$", "$"]);
        assert!(!lines.unfinished());
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let mut lines = LineSplitter::default();
        let pieces = lines.take(&[b'x'; LONGEST]);
        assert_eq!((pieces.len(), pieces[0].text.len(), pieces[0].ends), (1, LONGEST, false));
        assert_eq!(texts(&lines.take(b"end\n")), ["end$"]);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        for (character, length) in [("é", 2), ("日", 3), ("🦀", 4)] {
            for cut in 1..length {
                let mut lines = LineSplitter::default();
                let (before, after) = character.as_bytes().split_at(cut);
                lines.take(&[b"a", before].concat());
                assert_eq!(lines.so_far().unwrap().text, b"a", "{character} {cut}");
                assert_eq!(lines.so_far(), None);
                assert_eq!(lines.take(&[after, b"\n"].concat())[0].text, character.as_bytes());
            }
        }
    }

    #[test]
    fn bytes_that_begin_no_character_are_not_held_back() {
        for bytes in [&b"a\xff"[..], b"a\x80\x80", b"a\xc0", b"\xe6\x97a"] {
            let mut lines = LineSplitter::default();
            lines.take(bytes);
            assert_eq!(lines.so_far().unwrap().text, bytes, "{}", bytes.escape_ascii());
        }
        let mut lines = LineSplitter::default();
        lines.take(b"a\xe6\x97");
        lines.so_far();
        assert_eq!(lines.rest().unwrap().text, b"\xe6\x97");
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn nothing_is_lost_or_moved(reads in proptest::collection::vec("(é|🦀|a|\n){0,4}", 0..12), cut in 0..9_usize) {
            let (mut lines, mut shown) = (LineSplitter::default(), Vec::new());
            let sent: Vec<u8> = reads.concat().into_bytes();
            for read in sent.chunks(cut + 1) {
                for piece in lines.take(read).into_iter().chain(if cut % 2 == 0 { lines.so_far() } else { None }) {
                    shown.extend(piece.text);
                    shown.extend(piece.ends.then_some(b'\n'));
                }
            }
            shown.extend(lines.rest().map(|piece| piece.text).unwrap_or_default());
            proptest::prop_assert_eq!(shown, sent);
        }
    }
}
