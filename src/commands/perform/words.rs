//! Steps cut into words, each with its place.

use std::ops::Range;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The number of the step, from 1.
    pub step: usize,
    /// Bytes of the text.
    pub at: Range<usize>,
    pub why: String,
}

impl Mistake {
    pub(super) fn new(at: Range<usize>, why: impl Into<String>) -> Self {
        Self { step: 1, at, why: why.into() }
    }

    /// The same, in the step of this number.
    pub(super) fn in_step(self, step: usize) -> Self {
        Self { step, ..self }
    }
}

/// What was read, or the mistake in it.
pub(super) type Checked<T> = Result<T, Mistake>;

/// A word or a quoted text, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub at: Range<usize>,
    pub kind: WordKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    Plain(String),
    /// The bytes that a quoted text stands for.
    Quoted(Vec<u8>),
}

/// The words of each step; steps end at `;` or at the end of a line, and empty ones are left out.
pub(super) fn steps(text: &str) -> Result<Vec<Vec<Word>>, Mistake> {
    let (mut steps, mut step) = (Vec::new(), Vec::new());
    let mut rest = Rest { text, at: 0 };
    while let Some(character) = rest.peek() {
        let begin = rest.at;
        match character {
            ';' | '\n' => {
                rest.take();
                steps.extend(Some(std::mem::take(&mut step)).filter(|step| !step.is_empty()));
            }
            _ if character.is_whitespace() => {
                rest.take();
            }
            '"' => {
                let bytes = rest.quoted().map_err(|mistake| mistake.in_step(steps.len() + 1))?;
                step.push(Word { at: begin..rest.at, kind: WordKind::Quoted(bytes) });
            }
            _ => {
                let word = rest.plain();
                step.push(Word { at: begin..rest.at, kind: WordKind::Plain(word) });
            }
        }
    }
    steps.extend(Some(step).filter(|step| !step.is_empty()));
    Ok(steps)
}

/// The text that is still to be read.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl Rest<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn plain(&mut self) -> String {
        let begin = self.at;
        while self.peek().is_some_and(|next| !next.is_whitespace() && !matches!(next, ';' | '"')) {
            self.take();
        }
        self.text.get(begin..self.at).unwrap_or_default().to_owned()
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Mistake> {
        let begin = self.at;
        let mut bytes = Vec::new();
        self.take();
        loop {
            let at = self.at;
            match self.take() {
                Some('"') => return Ok(bytes),
                Some('\\') => self.escape(at, &mut bytes)?,
                Some(other) => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
                None => return Err(Mistake::new(begin..at, "the text that begins here has no closing \"")),
            }
        }
    }

    /// What follows a backslash, which stands at `begin`.
    fn escape(&mut self, begin: usize, bytes: &mut Vec<u8>) -> Result<(), Mistake> {
        let byte = match self.take() {
            Some('n') => Some(b'\n'),
            Some('r') => Some(b'\r'),
            Some('t') => Some(b'\t'),
            Some('"') => Some(b'"'),
            Some('\\') => Some(b'\\'),
            Some('x') => self.hexadecimal(),
            _ => None,
        };
        let wrong = || {
            Mistake::new(
                begin..self.at,
                r#"no such escape; expected \n, \r, \t, \", \\ or \xNN, two hexadecimal digits"#,
            )
        };
        bytes.push(byte.ok_or_else(wrong)?);
        Ok(())
    }

    fn hexadecimal(&mut self) -> Option<u8> {
        let high = self.digit()?;
        let low = self.digit()?;
        u8::try_from(high << 4 | low).ok()
    }

    /// A digit, which is taken only where it is one, so that a closing quote is not.
    fn digit(&mut self) -> Option<u32> {
        let digit = self.peek()?.to_digit(16)?;
        self.take();
        Some(digit)
    }
}
