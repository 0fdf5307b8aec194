//! Foreign bytes made safe to show: nothing that came from the network reaches a terminal raw.

use std::fmt::{self, Write};

/// Bytes shown as text in which no control character, invisible character or line break is left.
///
/// Printable UTF-8 stays as it is; a backslash and a double quote are escaped, so the text can be
/// read back. Control and format characters show as `\n`, `\x1b`, `\u{202e}`; bytes that are not
/// UTF-8 as `\xff`.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                escape(f, character)?;
            }
            escape_bytes(f, chunk.invalid())?;
        }
        Ok(())
    }
}

/// Text in which no control character, invisible character or line break is left; all else stays as it is.
///
/// For text that no quotes enclose, such as a page's. Bytes that are not UTF-8 show as `\xff`.
pub(crate) struct Harmless<'a, T: ?Sized>(pub &'a T);

impl<T: AsRef<[u8]> + ?Sized> fmt::Display for Harmless<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_ref().utf8_chunks() {
            chunk.valid().chars().try_for_each(|character| match character {
                '\\' | '"' => f.write_char(character),
                _ => escape(f, character),
            })?;
            escape_bytes(f, chunk.invalid())?;
        }
        Ok(())
    }
}

fn escape_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

fn escape(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '\\' => f.write_str("\\\\"),
        '"' => f.write_str("\\\""),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\0'..='\x7f' if character.is_control() => write!(f, "\\x{:02x}", u32::from(character)),
        _ if is_deceptive(character) => write!(f, "\\u{{{:x}}}", u32::from(character)),
        _ => f.write_char(character),
    }
}

/// Characters that a terminal obeys or hides instead of showing: C1 controls, line separators, the
/// format characters (Unicode category Cf) that reorder or vanish, as in "Trojan Source", and fillers.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        Escaped(bytes).to_string()
    }

    #[test]
    fn printable_text_stays_as_it_is() {
        assert_eq!(escaped("héllo → 日本 🦀".as_bytes()), "héllo → 日本 🦀");
    }

    #[test]
    fn control_characters_are_named() {
        assert_eq!(escaped(b"a\0b\x1b[2J\x07\r\n\t\x7f"), r"a\x00b\x1b[2J\x07\r\n\t\x7f");
    }

    #[test]
    fn c1_controls_and_bidirectional_overrides_are_named() {
        assert_eq!(escaped("\u{9b}\u{202e}\u{2066}".as_bytes()), r"\u{9b}\u{202e}\u{2066}");
    }

    #[test]
    fn fillers_are_named() {
        assert_eq!(
            escaped("\u{115f}\u{1160}\u{3164}\u{ffa0}".as_bytes()),
            r"\u{115f}\u{1160}\u{3164}\u{ffa0}"
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn format_characters_are_named(text in r"\p{Cf}") {
            proptest::prop_assert!(escaped(text.as_bytes()).is_ascii());
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_in_hexadecimal() {
        assert_eq!(escaped(b"a\xff\xc3"), r"a\xff\xc3");
    }

    #[test]
    fn harmless_text_keeps_its_quotes_and_backslashes() {
        assert_eq!(Harmless("a \"b\" \\x1b\x1b\u{202e}\n").to_string(), r#"a "b" \x1b\x1b\u{202e}\n"#);
    }

    #[test]
    fn quote_and_backslash_cannot_end_the_text_early() {
        assert_eq!(escaped(br#"" reason=fin \"#), r#"\" reason=fin \\"#);
    }
}
