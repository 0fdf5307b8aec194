//! What a client may be called.

use crate::text::Harmless;

/// The most characters of a name.
const LONGEST: usize = 32;

/// A name that cannot be taken for anything else: 1 to 32 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(Box<str>);

/// What is wrong with a name, in words.
pub(crate) const RULE: &str = "a name has 1 to 32 letters, digits, '-', '_' or '.'";

impl Name {
    /// Takes `bytes` for a name, if they are one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(bytes).ok()?;
        let allowed = |character: char| character.is_alphanumeric() || "-_.".contains(character);
        // Some letters show as nothing: the Hangul fillers.
        let visible = Harmless(name).to_string() == name;
        let named = (1..=LONGEST).contains(&name.chars().count());
        (named && visible && name.chars().all(allowed)).then(|| Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_any_script_make_a_name() {
        for name in ["a", "alice", "Zoé", "李四", "r2-d2_v1.0", &"x".repeat(32)] {
            assert_eq!(Name::parse(name.as_bytes()).unwrap().as_str(), name);
        }
    }

    #[test]
    fn nothing_that_could_be_taken_for_something_else_is_a_name() {
        let long = "x".repeat(33);
        let hostile = ["", " ", "a b", "a:", "* status", "*", "a\tb", "a\x1b[2J", "a\0", "a\r", "\u{202e}a"];
        for name in hostile.iter().chain(&["\u{3164}", "a\u{ad}b", "\u{9b}", long.as_str()]) {
            assert_eq!(Name::parse(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(Name::parse(b"a\xff"), None);
    }
}
