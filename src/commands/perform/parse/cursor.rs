//! The words of one step, read one after the other.

use std::ops::Range;
use std::slice::Iter;

use crate::commands::perform::words::{Checked, Mistake, Word, WordKind};

/// The words that are still to be read.
pub(super) struct Cursor<'a> {
    words: Iter<'a, Word>,
    /// The place of the last word read.
    last: Range<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(words: &'a [Word]) -> Self {
        Self { words: words.iter(), last: 0..0 }
    }

    /// The place of the last word read.
    pub(super) fn last(&self) -> Range<usize> {
        self.last.clone()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.words.len() == 0
    }

    /// The next word, or a mistake that says `expected` was.
    pub(super) fn plain(&mut self, expected: &str) -> Checked<(String, Range<usize>)> {
        match self.next() {
            Some(Word { at, kind: WordKind::Plain(word) }) => Ok((word, at)),
            Some(Word { at, .. }) => Err(Mistake::new(at, format!("expected {expected}, not a text"))),
            None => Err(Mistake::new(self.after(), format!("expected {expected}"))),
        }
    }

    /// The next word as `read` reads it, or a mistake at that word.
    pub(super) fn read<T>(&mut self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Checked<T> {
        let (word, at) = self.plain(expected)?;
        read(&word).ok_or_else(|| Mistake::new(at, format!("expected {expected}")))
    }

    /// The next word where it is one that `read` reads; it stays where it is not.
    pub(super) fn optional<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some(Word { kind: WordKind::Plain(word), .. }) = self.peek() else { return None };
        let value = read(word)?;
        self.next();
        Some(value)
    }

    /// The next word where it is a text in quotes; it stays where it is not.
    pub(super) fn quoted(&mut self) -> Option<Vec<u8>> {
        let Some(Word { kind: WordKind::Quoted(bytes), .. }) = self.peek() else { return None };
        self.next();
        Some(bytes.clone())
    }

    pub(super) fn nothing_more(&self) -> Checked<()> {
        match self.peek() {
            Some(word) => Err(Mistake::new(word.at.clone(), "expected `;` or the end")),
            None => Ok(()),
        }
    }

    fn peek(&self) -> Option<&'a Word> {
        self.words.as_slice().first()
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.words.next()?.clone();
        self.last = word.at.clone();
        Some(word)
    }

    fn after(&self) -> Range<usize> {
        self.last.end..self.last.end
    }
}
