//! What to answer, apart from how to wait: the same under every model.

use std::mem;
use std::sync::Arc;

use crate::buffer::Buffer;

/// The answer to a line.
const ACK: &[u8] = b"Ack!\n";
/// A piece of this size goes as it is: to copy it costs more than a system call of its own.
const LARGE: usize = 4096;

/// Answers what one connection receives. No line is buffered: a line ends with its newline, wherever it is cut by reads.
pub(crate) trait Reply: Clone {
    /// Answers `bytes`, which arrived behind those of the call before.
    fn reply(&mut self, bytes: &[u8], send: &mut dyn FnMut(&[u8]));

    /// Answers what the remote side's FIN has ended.
    fn end(&mut self, _send: &mut dyn FnMut(&[u8])) {}

    /// Whether the next byte is answered as a connection's first one is: then there is nothing to remember.
    fn is_fresh(&self) -> bool;

    /// The most bytes that one byte is answered with.
    fn growth(&self) -> usize;
}

/// The same bytes (RFC 862).
#[derive(Clone, Debug)]
pub(crate) struct Echo;

/// `Ack!` and a newline when a line ends, the last one without a newline included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ack {
    in_line: bool,
}

/// A text when a line begins, and the line's own bytes behind it.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    text: Arc<[u8]>,
    in_line: bool,
}

impl Prefix {
    /// Begins each line with `text`.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.as_bytes().into(), in_line: false }
    }
}

impl Reply for Echo {
    fn reply(&mut self, bytes: &[u8], send: &mut dyn FnMut(&[u8])) {
        send(bytes);
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn growth(&self) -> usize {
        1
    }
}

impl Reply for Ack {
    fn reply(&mut self, bytes: &[u8], send: &mut dyn FnMut(&[u8])) {
        for line in lines(bytes) {
            self.in_line = !line.ends_with(b"\n");
            if !self.in_line {
                send(ACK);
            }
        }
    }

    fn end(&mut self, send: &mut dyn FnMut(&[u8])) {
        if mem::take(&mut self.in_line) {
            send(ACK);
        }
    }

    fn is_fresh(&self) -> bool {
        !self.in_line
    }

    fn growth(&self) -> usize {
        ACK.len()
    }
}

impl Reply for Prefix {
    fn reply(&mut self, bytes: &[u8], send: &mut dyn FnMut(&[u8])) {
        for line in lines(bytes) {
            if !self.in_line {
                send(&self.text);
            }
            send(line);
            self.in_line = !line.ends_with(b"\n");
        }
    }

    fn is_fresh(&self) -> bool {
        !self.in_line
    }

    fn growth(&self) -> usize {
        1 + self.text.len()
    }
}

/// The lines of `bytes` with their newlines; the last one may have none.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n')
}

/// Puts the small pieces of an answer together: a system call each would cost more than the copy.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Buffer);

impl Pieces {
    /// Answers `bytes` by `reply`, in few calls of `send`.
    pub(crate) fn answer(&mut self, reply: &mut impl Reply, bytes: &[u8], send: &mut dyn FnMut(&[u8])) {
        let small = &mut self.0;
        reply.reply(bytes, &mut |piece| match small.is_empty() && piece.len() >= LARGE {
            true => send(piece),
            false => small.extend_from_slice(piece),
        });
        if !small.is_empty() {
            send(small);
            small.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that is sent for these reads and the FIN behind them.
    fn answers(mut reply: impl Reply, reads: &[&[u8]]) -> String {
        let mut sent = Vec::new();
        for read in reads {
            reply.reply(read, &mut |piece| sent.extend_from_slice(piece));
        }
        reply.end(&mut |piece| sent.extend_from_slice(piece));
        String::from_utf8(sent).unwrap()
    }

    fn numbered() -> Prefix {
        Prefix::new("> ")
    }

    #[test]
    fn each_line_is_acknowledged_once() {
        for (read, acknowledged) in [
            ("one\ntwo\n", "Ack!\nAck!\n"),
            ("\n\n\n", "Ack!\nAck!\nAck!\n"),
            ("cr lf\r\n", "Ack!\n"),
            ("cr\ralone\n", "Ack!\n"),
            ("", ""),
        ] {
            assert_eq!(answers(Ack::default(), &[read.as_bytes()]), acknowledged, "{read:?}");
        }
    }

    #[test]
    fn a_line_is_acknowledged_when_it_ends_and_not_before() {
        let mut sent = 0;
        Ack::default().reply(b"no newline yet", &mut |_| sent += 1);
        assert_eq!(sent, 0);
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        assert_eq!(answers(Ack::default(), &[b"one\ntw", b"o"]), "Ack!\nAck!\n");
        assert_eq!(answers(numbered(), &[b"one\ntw", b"o"]), "> one\n> two");
    }

    #[test]
    fn a_prefix_stands_before_each_line_and_changes_none() {
        for (read, answered) in
            [("one\ntwo\n", "> one\n> two\n"), ("\n\n", "> \n> \n"), ("cr lf\r\n", "> cr lf\r\n"), ("", "")]
        {
            assert_eq!(answers(numbered(), &[read.as_bytes()]), answered, "{read:?}");
        }
    }

    #[test]
    fn between_lines_there_is_nothing_to_remember() {
        let (mut ack, mut prefix) = (Ack::default(), numbered());
        for (bytes, fresh) in [("o", false), ("ne\n", true), ("two\nthr", false), ("ee\n", true)] {
            ack.reply(bytes.as_bytes(), &mut |_| {});
            prefix.reply(bytes.as_bytes(), &mut |_| {});
            assert_eq!((ack.is_fresh(), prefix.is_fresh()), (fresh, fresh), "{bytes:?}");
        }
    }

    #[test]
    fn small_pieces_go_together_and_large_ones_as_they_are() {
        fn sends(mut reply: impl Reply, bytes: &[u8]) -> Vec<usize> {
            let mut lengths = Vec::new();
            Pieces::default().answer(&mut reply, bytes, &mut |piece| lengths.push(piece.len()));
            lengths
        }
        assert_eq!(sends(Ack::default(), &[b'\n'; 100]), [500]);
        assert_eq!(sends(Ack::default(), b"x"), [0; 0]);
        assert_eq!(sends(Echo, &[b'x'; 9999]), [9999]);
        assert_eq!(sends(numbered(), &[b'x'; 9999]), [10_001]);
    }

    proptest! {
        #[test]
        fn reads_may_cut_lines_anywhere(text in "[ab\r\n]{0,40}", cuts in prop::collection::vec(0..40_usize, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]).collect();
            let whole = [text.as_bytes()];
            prop_assert_eq!(answers(Echo, &reads), text.clone());
            prop_assert_eq!(answers(Ack::default(), &reads), answers(Ack::default(), &whole));
            prop_assert_eq!(answers(numbered(), &reads), answers(numbered(), &whole));
            prop_assert_eq!(answers(Ack::default(), &reads), "Ack!\n".repeat(text.lines().count()));
        }

        #[test]
        fn no_answer_grows_beyond_what_is_told(text in "[ab\n]{0,40}") {
            fn grown(reply: impl Reply, text: &str) -> bool {
                let most = reply.growth() * text.len();
                // The FIN is answered too, once.
                answers(reply, &[text.as_bytes()]).len() <= most
            }
            prop_assert!(grown(Echo, &text) && grown(Ack::default(), &text) && grown(numbered(), &text));
        }
    }
}
