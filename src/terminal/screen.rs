//! A terminal with one line for what is being typed, and everything else above it.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use super::edit::{Edit, Typed};
use super::keys::{Key, Keys};
use crate::text::Harmless;

const PROMPT: &str = "> ";
/// A character had no place in the line.
const BELL: char = '\x07';
/// Back to the first column, and the line is empty.
const ERASE: &str = "\r\x1b[K";

/// What stands on the terminal's last line.
#[derive(Debug)]
pub(crate) struct Screen {
    columns: usize,
    /// The prompt stands there.
    open: bool,
    keys: Keys,
    edit: Edit,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { columns: 80, open: false, keys: Keys::default(), edit: Edit::default() }
    }

    /// Shows the prompt from now on.
    pub(crate) fn open(&mut self) -> String {
        self.open = true;
        self.line()
    }

    /// Shows no prompt any more; the line that was being typed is gone.
    pub(crate) fn close(&mut self) -> String {
        let erase = if self.open { ERASE } else { "" };
        self.open = false;
        erase.to_owned()
    }

    /// The terminal is so many columns wide, or shows something else than it did.
    pub(crate) fn resize(&mut self, columns: usize) -> String {
        self.columns = columns;
        self.line()
    }

    /// What to write so that `lines`, each with a newline, stand above the line being typed.
    pub(crate) fn above(&self, lines: &[u8]) -> Vec<u8> {
        match self.open {
            true => [ERASE.as_bytes(), lines, self.line().as_bytes()].concat(),
            false => lines.to_vec(),
        }
    }

    /// What these bytes from the keyboard have brought to an end, and what to write.
    pub(crate) fn type_in(&mut self, bytes: &[u8]) -> (Vec<Typed>, Vec<u8>) {
        let (mut typed, mut entered, mut lost) = (Vec::new(), String::new(), false);
        for key in self.keys.take(bytes) {
            lost |= matches!(key, Key::Character(_)) && self.edit.is_full();
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
        if lost {
            entered.push(BELL);
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
struct Glyph {
    text: String,
    width: usize,
}

fn cells(text: &str) -> Vec<Glyph> {
    let cell = |character: char| {
        let text = Harmless(character.encode_utf8(&mut [0; 4])).to_string();
        let width = text.chars().filter_map(UnicodeWidthChar::width).sum();
        Glyph { text, width }
    };
    text.chars().map(cell).collect()
}

/// The first cells whose widths fit into `room`.
fn fitting<'a>(cells: impl Iterator<Item = &'a Glyph>, room: usize) -> Vec<&'a Glyph> {
    let mut left = room;
    let fits = |cell: &&Glyph| {
        let rest = left.checked_sub(cell.width);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    cells.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that understands what we write, and panics at anything else.
    struct Terminal {
        columns: usize,
        rows: Vec<Vec<char>>,
        column: usize,
        bells: usize,
    }

    impl Terminal {
        fn new(columns: usize) -> Self {
            Self { columns, rows: vec![Vec::new()], column: 0, bells: 0 }
        }

        fn show(&mut self, written: impl AsRef<[u8]>) {
            let mut text = std::str::from_utf8(written.as_ref()).unwrap().chars();
            while let Some(character) = text.next() {
                let row = self.rows.last_mut().unwrap();
                match character {
                    '\r' => self.column = 0,
                    '\n' => {
                        self.rows.push(Vec::new());
                        self.column = 0;
                    }
                    '\x1b' => {
                        assert_eq!(text.next(), Some('['));
                        let sequence: String =
                            text.by_ref().take_while(|last| *last != 'K' && *last != 'D').collect();
                        match sequence.parse() {
                            Err(_) => row.truncate(self.column),
                            Ok(back) => self.column = self.column.checked_sub(back).unwrap(),
                        }
                    }
                    BELL => self.bells += 1,
                    _ => {
                        // A wide character takes two cells.
                        let cells = [character, '\0'].into_iter().take(character.width().unwrap());
                        for cell in cells {
                            row.resize(row.len().max(self.column), ' ');
                            row.splice(self.column..(self.column + 1).min(row.len()), [cell]);
                            self.column += 1;
                        }
                        assert!(self.column < self.columns, "the line wraps");
                    }
                }
            }
        }

        fn rows(&self) -> Vec<String> {
            let row = |row: &Vec<char>| row.iter().filter(|cell| **cell != '\0').collect();
            self.rows.iter().map(row).collect()
        }
    }

    fn opened(columns: usize) -> (Screen, Terminal) {
        let (mut screen, mut terminal) = (Screen::new(), Terminal::new(columns));
        terminal.show(screen.resize(columns));
        terminal.show(screen.open());
        (screen, terminal)
    }

    fn type_in(screen: &mut Screen, terminal: &mut Terminal, keys: &str) -> Vec<Typed> {
        let (typed, shown) = screen.type_in(keys.as_bytes());
        terminal.show(shown);
        typed
    }

    #[test]
    fn lines_that_arrive_stand_above_the_line_being_typed() {
        let (mut screen, mut terminal) = opened(40);
        for (number, key) in "où ça?".chars().enumerate() {
            terminal.show(screen.above(format!("remote: {number}\n").as_bytes()));
            type_in(&mut screen, &mut terminal, &key.to_string());
        }
        let arrived: Vec<String> = (0..6).map(|number| format!("remote: {number}")).collect();
        assert_eq!(terminal.rows(), [arrived.clone(), vec!["> où ça?".to_owned()]].concat());
        assert_eq!(type_in(&mut screen, &mut terminal, "\n"), [Typed::Line("où ça?".to_owned())]);
        assert_eq!(terminal.rows(), [arrived, vec!["> où ça?".to_owned(), "> ".to_owned()]].concat());
    }

    #[test]
    fn a_long_line_shows_what_is_around_the_cursor_and_never_wraps() {
        let (mut screen, mut terminal) = opened(20);
        type_in(&mut screen, &mut terminal, "0123456789abcdefghijklmnopqrst");
        assert_eq!(terminal.rows(), ["> defghijklmnopqrst"]);
        type_in(&mut screen, &mut terminal, "\x01");
        assert_eq!((terminal.rows(), terminal.column), (vec!["> 0123456789abcdefg".to_owned()], 2));
        type_in(&mut screen, &mut terminal, "世界🦀\x05世界");
        assert_eq!(terminal.rows(), ["> hijklmnopqrst世界"]);
        terminal.columns = 3;
        terminal.show(screen.resize(3));
        terminal.show(screen.resize(1));
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_sent_to_it() {
        let (mut screen, mut terminal) = opened(40);
        type_in(&mut screen, &mut terminal, "a\tb\u{202e}");
        assert_eq!(terminal.rows(), ["> a\\tb\\u{202e}"]);
    }

    #[test]
    fn a_closed_screen_shows_no_prompt() {
        let (mut screen, mut terminal) = opened(40);
        type_in(&mut screen, &mut terminal, "half");
        terminal.show(screen.close());
        terminal.show(screen.above(b"remote: more\n"));
        assert_eq!(terminal.rows(), ["remote: more", ""]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "too many keys")]
    fn a_character_that_has_no_place_any_more_rings_the_bell() {
        let (mut screen, mut terminal) = opened(40);
        type_in(&mut screen, &mut terminal, &"x".repeat(64 * 1024));
        assert_eq!(terminal.bells, 0);
        type_in(&mut screen, &mut terminal, "yz");
        assert_eq!((terminal.bells, terminal.rows().len()), (1, 1));
        type_in(&mut screen, &mut terminal, "\x7fy");
        assert_eq!(terminal.bells, 1);
    }

    #[test]
    fn several_lines_in_one_piece_are_several() {
        let (mut screen, mut terminal) = opened(40);
        let typed = type_in(&mut screen, &mut terminal, "one\rtwo\rthr");
        assert_eq!(typed, ["one", "two"].map(|line| Typed::Line(line.to_owned())));
        assert_eq!(terminal.rows(), ["> one", "> two", "> thr"]);
    }
}
