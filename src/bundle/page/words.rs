//! Durations, counts and foreign text as a page shows them.

use std::fmt;
use std::time::Duration;

pub(super) use crate::text::{Harmless, Short};

/// A time since the beginning, to the microsecond.
pub(super) struct Since(pub Duration);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.0.as_secs_f64())
    }
}

pub(super) struct Count(pub usize, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// Harmless text of at most so many characters, the last of them `…` where some are left out.
pub(super) fn cut(text: &str, most: usize) -> String {
    let text = Harmless(text).to_string();
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Text of several lines, each harmless.
pub(super) fn harmless_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| Harmless(line).to_string()).collect();
    lines.join("\n")
}

/// A moment of Unix time as UTC, to the second.
pub(super) fn moment(time_us: u64) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_micros(time_us);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(Count(1, "segment").to_string(), "1 segment");
        assert_eq!(Count(0, "segment").to_string(), "0 segments");
    }

    #[test]
    fn what_is_cut_shows_it() {
        assert_eq!(cut("EADDRINUSE", 10), "EADDRINUSE");
        assert_eq!(cut("EADDRINUSE", 6), "EADDR…");
        assert_eq!(cut("\u{1b}[2J", 5), "\\x1b…");
    }

    #[test]
    fn lines_stay_lines_and_nothing_else_breaks_them() {
        assert_eq!(harmless_lines("a\r\nb\u{2028}c\u{1b}"), "a\nb\\u{2028}c\\x1b");
    }
}
