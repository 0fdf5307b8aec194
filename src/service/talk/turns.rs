//! Strict alternation: a line from one side, then a line from the other.

/// With so many bytes held, no more are taken.
const MUCH_HELD: usize = 64 * 1024;

/// Whose turn it is, and what waits for ours.
#[derive(Debug)]
pub(super) struct Turns {
    ours: bool,
    /// What was said out of turn, or without the end of its line.
    held: Vec<u8>,
    /// No line will be finished that is not yet.
    ended: bool,
    /// How our first line began, as long as it may come back.
    first: Option<FirstLine>,
}

#[derive(Debug, Default)]
struct FirstLine {
    said: Vec<u8>,
    heard: usize,
}

impl Turns {
    pub(super) fn new(ours: bool) -> Self {
        Self { ours, held: Vec::new(), ended: false, first: Some(FirstLine::default()) }
    }

    pub(super) fn ours(&self) -> bool {
        self.ours
    }

    /// How many lines wait, the last one perhaps without its end.
    pub(super) fn waiting(&self) -> usize {
        self.held.split_inclusive(|&byte| byte == b'\n').count()
    }

    /// Whether so much waits that no more should be said.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= MUCH_HELD
    }

    /// We say this; [`next`](Self::next) tells what of it may go.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// We say nothing more: a line without an end is one too.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// What may go now: a line, or so much of one that more of it cannot be held.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        if !self.ours || self.held.is_empty() {
            return None;
        }
        let end = self.held.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let length = match end {
            None if !self.ended && !self.is_full() => return None,
            end => end.unwrap_or(self.held.len()),
        };
        self.ours = end.is_none() && !self.ended;
        let rest = self.held.split_off(length);
        let line = std::mem::replace(&mut self.held, rest);
        if let Some(echo) = &mut self.first
            && echo.heard == 0
            && echo.said.is_empty()
        {
            echo.said.clone_from(&line);
        }
        Some(line)
    }

    /// All that waits, whoever's turn it is.
    pub(super) fn all(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// This arrived: the end of a line gives us the turn. True when our first line has come back as it was.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> bool {
        self.ours |= bytes.contains(&b'\n');
        let Some(echo) = &mut self.first else { return false };
        let expected = echo.said.get(echo.heard..).unwrap_or_default();
        let length = expected.len().min(bytes.len());
        if length == 0 || !expected.starts_with(bytes.get(..length).unwrap_or_default()) {
            self.first = None;
            return false;
        }
        echo.heard += length;
        let whole = echo.heard == echo.said.len();
        if whole {
            self.first = None;
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(turns: &mut Turns) -> String {
        turns.next().map_or("-".to_owned(), |line| line.escape_ascii().to_string())
    }

    #[test]
    fn a_line_goes_and_the_next_waits_for_a_line_of_the_other_side() {
        let mut turns = Turns::new(true);
        turns.say(b"one\ntwo\nthr");
        assert_eq!((next(&mut turns), next(&mut turns)), ("one\\n".to_owned(), "-".to_owned()));
        assert_eq!(turns.waiting(), 2);
        turns.hear(b"an answer without its end");
        assert_eq!(next(&mut turns), "-");
        turns.hear(b".\n");
        assert_eq!((next(&mut turns), next(&mut turns)), ("two\\n".to_owned(), "-".to_owned()));
        turns.hear(b"\n\n");
        assert_eq!(next(&mut turns), "-");
        turns.end();
        assert_eq!((next(&mut turns), next(&mut turns)), ("thr".to_owned(), "-".to_owned()));
    }

    #[test]
    fn whoever_does_not_write_first_waits() {
        let mut turns = Turns::new(false);
        turns.say(b"one\n");
        assert_eq!(next(&mut turns), "-");
        turns.hear(b"\n");
        assert_eq!(next(&mut turns), "one\\n");
    }

    #[test]
    fn a_line_too_long_to_hold_goes_in_pieces_within_its_turn() {
        let mut turns = Turns::new(true);
        turns.say(&[b'x'; MUCH_HELD]);
        assert_eq!(turns.next().unwrap().len(), MUCH_HELD);
        turns.say(b"end\nnext\n");
        assert_eq!((next(&mut turns), next(&mut turns)), ("end\\n".to_owned(), "-".to_owned()));
    }

    #[test]
    fn an_echo_is_known_by_our_first_line_coming_back() {
        let begun = || {
            let mut turns = Turns::new(true);
            turns.say(b"hello\n");
            turns.next();
            turns
        };
        assert!(begun().hear(b"hello\n"));
        let mut turns = begun();
        assert!(!turns.hear(b"hel") && turns.hear(b"lo\n") && !turns.hear(b"hello\n"));
        let mut turns = begun();
        assert!(!turns.hear(b"hey\n") && !turns.hear(b"hello\n"));
        assert!(!Turns::new(false).hear(b"hello\n"));
    }
}
