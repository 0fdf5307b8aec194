//! How the other side's words reach standard output.

use std::borrow::Cow;

use super::lines::{LineSplitter, Piece};
use crate::report::{Event, TalkEvent};
use crate::text::Harmless;

/// What is made of the bytes that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Exact,
    /// Lines with the speaker's name, harmless to a terminal.
    Lines,
    /// An event for each line.
    Json,
}

/// The other side's words on their way to standard output.
#[derive(Debug)]
pub(super) struct View {
    show: Show,
    /// A relay's lines say by themselves who speaks.
    relay: bool,
    lines: LineSplitter,
}

impl View {
    pub(super) fn new(show: Show, relay: bool) -> Self {
        Self { show, relay, lines: LineSplitter::default() }
    }

    /// What to write now that these bytes have arrived.
    pub(super) fn arrived<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.show == Show::Exact {
            return bytes.into();
        }
        let pieces = self.lines.take(bytes);
        pieces.iter().flat_map(|piece| self.shown(piece)).collect()
    }

    /// Whether a line is there whose end has not come, and nothing of which has been shown.
    pub(super) fn waits(&self) -> bool {
        self.lines.unfinished()
    }

    /// What to write since the end of a line does not come.
    pub(super) fn so_far(&mut self) -> Vec<u8> {
        self.lines.so_far().map(|piece| self.shown(&piece)).unwrap_or_default()
    }

    /// What to write since nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.lines.rest().map(|piece| self.shown(&piece)).unwrap_or_default()
    }

    fn shown(&self, piece: &Piece) -> Vec<u8> {
        let (by, text) = self.speaker(piece);
        let line = match (self.show, by) {
            (Show::Json, by) => Event::Talk(TalkEvent::Said { by, text, unfinished: !piece.ends }).json(),
            (_, b"*") => format!("* {}", Harmless(text)),
            (_, by) => format!("{}: {}", Harmless(by), Harmless(text)),
        };
        format!("{line}\n").into_bytes()
    }

    /// Who says what: `*` stands for the relay itself.
    fn speaker<'a>(&self, piece: &'a Piece) -> (&'a [u8], &'a [u8]) {
        let text = piece.text.strip_suffix(b"\r").filter(|_| piece.ends).unwrap_or(&piece.text);
        if !self.relay {
            return (b"remote", text);
        }
        if let Some(text) = text.strip_prefix(b"* ") {
            return (b"*", text);
        }
        let colon = text.windows(2).position(|pair| pair == b": ");
        let split = colon.and_then(|at| Some((text.get(..at)?, text.get(at + 2..)?)));
        split.unwrap_or((b"remote", text))
    }
}
