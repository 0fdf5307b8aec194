//! A terminal with one line for what is being typed, and everything else above it.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use super::edit::{Edit, Typed};
use super::keys::{Key, Keys};
use crate::report::Harmless;

const PROMPT: &str = "> ";
/// Back to the first column, and the line is empty.
const ERASE: &str = "\r\x1b[K";

/// What stands on the terminal's last line.
#[derive(Debug)]
pub struct Screen {
    columns: usize,
    /// The prompt stands there.
    open: bool,
    keys: Keys,
    edit: Edit,
}

impl Screen {
    pub fn new() -> Self {
        Self { columns: 80, open: false, keys: Keys::default(), edit: Edit::default() }
    }

    /// Shows the prompt from now on.
    pub fn open(&mut self) -> String {
        self.open = true;
        self.line()
    }

    /// Shows no prompt any more; the line that was being typed is gone.
    pub fn close(&mut self) -> String {
        let erase = if self.open { ERASE } else { "" };
        self.open = false;
        erase.to_owned()
    }

    /// The terminal is so many columns wide, or shows something else than it did.
    pub fn resize(&mut self, columns: usize) -> String {
        self.columns = columns;
        self.line()
    }

    /// What to write so that `lines`, each with a newline, stand above the line being typed.
    pub fn above(&self, lines: &[u8]) -> Vec<u8> {
        match self.open {
            true => [ERASE.as_bytes(), lines, self.line().as_bytes()].concat(),
            false => lines.to_vec(),
        }
    }

    /// What these bytes from the keyboard have brought to an end, and what to write.
    pub fn type_in(&mut self, bytes: &[u8]) -> (Vec<Typed>, Vec<u8>) {
        let (mut typed, mut entered) = (Vec::new(), String::new());
        for key in self.keys.take(bytes) {
            if key == Key::Clear {
                entered.push_str("\x1b[H\x1b[2J");
            }
            let Some(ended) = self.edit.press(key) else { continue };
            if let Typed::Line(line) = &ended {
                // Writing to a String cannot fail.
                let _ = writeln!(entered, "{PROMPT}{}", Harmless(line));
            }
            typed.push(ended);
        }
        (typed, self.above(entered.as_bytes()))
    }

    /// The prompt and as much of the line around the cursor as fits; a line that wraps could not be erased safely
    /// once the window has another width.
    fn line(&self) -> String {
        if !self.open {
            return String::new();
        }
        let room = self.columns.saturating_sub(PROMPT.len() + 1);
        let (before, after) = (cells(&self.edit.before), cells(&self.edit.after));
        let width_after: usize = after.iter().map(|cell| cell.width).sum();
        let kept_for_after = width_after.min(room / 4);
        let before = fitting(before.iter().rev(), room - kept_for_after);
        let width_before: usize = before.iter().map(|cell| cell.width).sum();
        let after = fitting(after.iter(), room - width_before);
        let mut line = format!("{ERASE}{PROMPT}");
        line.extend(before.iter().rev().chain(&after).map(|cell| cell.text.as_str()));
        let back: usize = after.iter().map(|cell| cell.width).sum();
        if back > 0 {
            // Writing to a String cannot fail.
            let _ = write!(line, "\x1b[{back}D");
        }
        line
    }
}

/// A character as it is shown.
struct Cell {
    text: String,
    width: usize,
}

fn cells(text: &str) -> Vec<Cell> {
    let cell = |character: char| {
        let text = Harmless(character.encode_utf8(&mut [0; 4])).to_string();
        let width = text.chars().filter_map(UnicodeWidthChar::width).sum();
        Cell { text, width }
    };
    text.chars().map(cell).collect()
}

/// The first cells whose widths fit into `room`.
fn fitting<'a>(cells: impl Iterator<Item = &'a Cell>, room: usize) -> Vec<&'a Cell> {
    let mut left = room;
    let fits = |cell: &&Cell| {
        let rest = left.checked_sub(cell.width);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    cells.take_while(fits).collect()
}
