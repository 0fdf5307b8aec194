//! The line being typed.

use super::keys::Key;

/// The longest line that can be typed, in bytes.
const LONGEST: usize = 64 * 1024;
/// How many lines can be called back.
const REMEMBERED: usize = 100;

/// A line, cut in two where the cursor stands.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    pub before: String,
    pub after: String,
    earlier: Vec<String>,
    /// How many lines back from the present one; what that was, if it is another.
    back: usize,
    present: String,
}

/// What a key has brought to an end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without a newline.
    Line(String),
    End,
}

impl Edit {
    /// Does what `key` stands for.
    pub(crate) fn press(&mut self, key: Key) -> Option<Typed> {
        match key {
            Key::Character(character) if !self.is_full() => self.before.push(character),
            Key::Character(_) | Key::Clear => {}
            Key::Enter => return Some(Typed::Line(self.enter())),
            Key::EndOfInput if self.before.is_empty() && self.after.is_empty() => return Some(Typed::End),
            Key::Backspace => drop(self.before.pop()),
            Key::Delete | Key::EndOfInput => drop(take_first(&mut self.after)),
            Key::Left => {
                if let Some(character) = self.before.pop() {
                    self.after.insert(0, character);
                }
            }
            Key::Right => self.before.extend(take_first(&mut self.after)),
            Key::Home => self.set(String::new(), self.line()),
            Key::End => self.set(self.line(), String::new()),
            Key::Up => self.recall(self.back + 1),
            Key::Down => self.recall(self.back.saturating_sub(1)),
            Key::KillRight => self.after.clear(),
            Key::KillLeft => self.before.clear(),
            Key::KillWord => {
                let kept =
                    self.before.trim_end().trim_end_matches(|character: char| !character.is_whitespace());
                self.before.truncate(kept.len());
            }
        }
        None
    }

    /// Whether no character has a place any more.
    pub(crate) fn is_full(&self) -> bool {
        self.before.len() + self.after.len() >= LONGEST
    }

    fn line(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    fn set(&mut self, before: String, after: String) {
        (self.before, self.after) = (before, after);
    }

    fn enter(&mut self) -> String {
        let line = self.line();
        self.set(String::new(), String::new());
        self.back = 0;
        if !line.is_empty() && self.earlier.last() != Some(&line) {
            self.earlier.push(line.clone());
            let excess = self.earlier.len().saturating_sub(REMEMBERED);
            self.earlier.drain(..excess);
        }
        line
    }

    /// Shows the line entered so many lines ago; 0 is the one that was being typed.
    fn recall(&mut self, back: usize) {
        if self.back == 0 {
            self.present = self.line();
        }
        let line = match back {
            0 => Some(&self.present),
            _ => self.earlier.iter().rev().nth(back - 1),
        };
        if let Some(line) = line.cloned() {
            self.set(line, String::new());
            self.back = back;
        }
    }
}

fn take_first(text: &mut String) -> Option<char> {
    let first = text.chars().next()?;
    text.drain(..first.len_utf8());
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line with a bar for the cursor, after these keys; lower-case words are typed.
    fn after(keys: &[Key]) -> String {
        let mut edit = Edit::default();
        for &key in keys {
            edit.press(key);
        }
        format!("{}|{}", edit.before, edit.after)
    }

    fn typed(text: &str, keys: &[Key]) -> String {
        let characters = text.chars().map(Key::Character);
        after(&characters.chain(keys.iter().copied()).collect::<Vec<_>>())
    }

    #[test]
    fn keys_edit_at_the_cursor() {
        use Key::*;
        for (keys, line) in [
            (&[][..], "où ça|"),
            (&[Left, Left, Backspace], "où|ça"),
            (&[Left, Delete], "où ç|"),
            (&[Home, Delete, Right, Character('x')], "ùx| ça"),
            (&[Home, End, KillWord], "où |"),
            (&[KillWord, KillWord], "|"),
            (&[Left, KillRight], "où ç|"),
            (&[Left, KillLeft], "|a"),
            (&[Left, EndOfInput], "où ç|"),
            (&[Home, Left, Backspace, End, Right, Delete], "où ça|"),
        ] {
            assert_eq!(typed("où ça", keys), line, "{keys:?}");
        }
    }

    #[test]
    fn enter_gives_the_whole_line_wherever_the_cursor_stands() {
        let mut edit = Edit::default();
        for key in [Key::Character('a'), Key::Character('b'), Key::Home] {
            assert_eq!(edit.press(key), None);
        }
        assert_eq!(edit.press(Key::Enter), Some(Typed::Line("ab".to_owned())));
        assert_eq!(edit.press(Key::Enter), Some(Typed::Line(String::new())));
        assert_eq!(edit.press(Key::EndOfInput), Some(Typed::End));
    }

    #[test]
    fn lines_entered_are_called_back_and_the_one_being_typed_is_kept() {
        use Key::*;
        let [a, b, c] = ['a', 'b', 'c'].map(Character);
        assert_eq!(after(&[a, Enter, b, Enter, c, Up]), "b|");
        assert_eq!(after(&[a, Enter, b, Enter, c, Up, Up, Up]), "a|");
        assert_eq!(after(&[a, Enter, b, Enter, c, Up, Up, Down, Down]), "c|");
    }

    #[test]
    fn a_line_has_an_end() {
        let mut edit = Edit::default();
        for _ in 0..LONGEST + 10 {
            edit.press(Key::Character('x'));
        }
        assert_eq!(edit.before.len(), LONGEST);
    }
}
